"Rows read by Arrow are the rows that are read one by one, or they are read one by one"
import gzip
import json
import random
from itertools import accumulate

import pytest

from segmask import SegmentError, masked, preprocess, trained, write_jsonl
from segmask.data import encoding
from segmask.files import SegmentColumns, iter_jsonl, segment_columns

GOOD = b'{"segments": [{"label": false, "text": "2+2="}, {"label": true, "text": "4\\n"}]}\n'

def flat(path, many):
    "[(line, [(label, text), ...]), ...] of a file, or the error; and how many rows were columns"
    rows, plain = [], 0
    try:
        for n,o in iter_jsonl(path, many=many):
            if isinstance(o, SegmentColumns):
                pairs, ends = list(zip(o.labels.tolist(), o.texts.to_pylist())), [*accumulate(o.counts.tolist(), initial=0)]
                rows += [(n+i, pairs[a:b]) for i,(a,b) in enumerate(zip(ends, ends[1:]))]
                plain += len(o.counts)
            else: rows.append((n, [(s['label'], s['text']) for s in o['segments']]))
    except SegmentError as e: return str(e), e.total, plain
    return rows, 0, plain

def both(path):
    "The rows or errors of a file, the same both ways; and how many rows came as columns"
    one, many = flat(path, None), flat(path, segment_columns)
    assert many[:2]==one[:2]
    return many

def line(*segments, **more): return json.dumps({'segments': [dict(label=l, text=t) for l,t in segments], **more}).encode()+b'\n'

PLAIN = dict(
    two=GOOD*2, no_end=GOOD+GOOD[:-1], crlf=GOOD[:-1]+b'\r\n'+GOOD[:-1]+b'\r\n', unicode=line((True, 'ä 日本 👍🏽 \u2028 \x0b\0')),
    raw=json.dumps({'segments':[dict(label=True, text='ä 日本 👍🏽')]}, ensure_ascii=False).encode()+b'\n',
    dates=line((True, '2020-01-01T00:00:00'))+line((False, '2020-01-01')), empty_text=line((True, ''), (False, '')),
    extra=line((True, 'a'), id=3, name='2020-01-01', good=True, none=None)*2, surrogates=line((True, '\U0001f600')),
    roles=b'{"segments":[{"label":true,"text":"a","role":"user","turn":0},{"text":"b","label":false}]}\n'*2,
    braces=line((True, '}{ \\frac{a}{b} }\n{'))*2, spaces=GOOD.replace(b'{"segments', b'{ "segments').replace(b'}]}', b'} ] } '))
UNUSUAL = dict(
    weight=GOOD+line((True, 'a'))[:-4]+b', "weight": 0.5}]}\n', blank=GOOD+b'\n'+GOOD, spaces=GOOD+b'  \t\n'+GOOD, indented=b' '+GOOD,
    late_key=GOOD+line((True, 'a'), id=3), other_type=line((True, 'a'), id=3)+line((True, 'a'), id='3'),
    big=line((True, 'a'), id=3)+line((True, 'a'), id=2**70), nested=line((True, 'a'), id=[1])*2, fraction=line((True, 'a'), id=.5)*2,
    twice=GOOD+b'{"segments": [], '+GOOD[1:], two_on_a_line=GOOD[:-1]+GOOD+b'\n', on_two=GOOD[:-1].replace(b'}]', b'}\n]')+GOOD[:-1]+GOOD,
    label_1=GOOD+GOOD.replace(b'true', b'1'), label_text=GOOD+GOOD.replace(b'true', b'"true"'), number=GOOD+GOOD.replace(b'"2+2="', b'7'),
    null=GOOD+GOOD.replace(b'"2+2="', b'null'), no_text=GOOD+b'{"segments": [{"label": true}]}\n', no_label=GOOD+b'{"segments": [{"text": "a"}]}\n',
    none=GOOD+b'{"segments": []}\n', missing=GOOD+b'{}\n', other=GOOD+b'{"messages": []}\n', list=b'['+GOOD[:-1]+b']', not_json=GOOD+b'{"segments"\n'+GOOD,
    half=GOOD+GOOD.replace(b'4', b'\\ud83d'), low=GOOD+GOOD.replace(b'4', b'\\udc00 x'), latin=GOOD+GOOD.replace(b'4', b'\xe4'), tab=GOOD+GOOD.replace(b'4', b'\t'),
    cesu=GOOD.replace(b'4', b'\xed\xa0\x80'), bom=b'\xef\xbb\xbf'+GOOD*2, utf16=GOOD.decode().encode('utf-16'), nul=GOOD+b'\0\n', comma=GOOD[:-1]+b',\n'+GOOD,
    python=GOOD.replace(b'true', b'True'), nan=GOOD.replace(b'true', b'NaN'), inf=line((True, 'a'), id=0).replace(b'0', b'Inf'),
    digits=GOOD+b'{"x": '+b'9'*5000+b', '+GOOD[1:], deep=GOOD+b'{"x": '+b'['*100_000+b']'*100_000+b', '+GOOD[1:], empty=b'', newline=b'\n\n', null_row=GOOD+b'null\n',
    segment_null=GOOD+b'{"segments": [null]}\n', dict=GOOD+b'{"segments": {"label": true, "text": "a"}}\n', own=GOOD+b'{"segmask:line": true, '+GOOD[1:],
    surrogate_key=GOOD+b'{"\\ud800": 1, '+GOOD[1:])

@pytest.mark.parametrize('name', PLAIN)
def test_plain_rows_are_read_as_columns(name, tmp_path):
    (tmp_path/'rows.jsonl').write_bytes(PLAIN[name])
    rows, total, plain = both(tmp_path/'rows.jsonl')
    assert not total and plain==len(rows)

@pytest.mark.parametrize('name', UNUSUAL)
def test_unusual_rows_are_read_one_by_one(name, tmp_path):
    (tmp_path/'rows.jsonl').write_bytes(UNUSUAL[name])
    assert segment_columns(UNUSUAL[name]) is None
    assert both(tmp_path/'rows.jsonl')[2]==0

def test_only_the_unusual_stretch_of_a_file_is_read_one_by_one(tmp_path):
    long = line((True, 'x'*1_000_000))
    for n,odd in enumerate((b'', b'\n', GOOD.replace(b'true', b'2'), GOOD[:-3]+b'\n', long*9)):
        (tmp_path/'rows.jsonl').write_bytes(GOOD*70_000+odd+GOOD*70_000)
        rows, total, plain = both(tmp_path/'rows.jsonl')
        assert (plain==len(rows) if n in (0, 4) else 50_000<plain<140_000) or total

def test_a_row_longer_than_a_stretch(tmp_path):
    (tmp_path/'rows.jsonl').write_bytes(GOOD+line((True, 'x'*9_000_000))+GOOD)
    assert both(tmp_path/'rows.jsonl')[2]==3

@pytest.mark.parametrize('cut', [0, 1, 10, 1000, 100_000])
def test_a_compressed_file_and_one_that_is_cut_off(cut, tmp_path):
    draw = random.Random(0)
    data = gzip.compress(b''.join(line((True, str(draw.random()))) for _ in range(100_000)), 1)
    (tmp_path/'rows.jsonl.gz').write_bytes(data[:len(data)-cut] if cut else data)
    rows, total, plain = both(tmp_path/'rows.jsonl.gz')
    assert total==(cut>0) and plain>0

BYTES = [*map(bytes, zip(b'{}[]",:\n\r\t \\u0d8aeE+-.\0\xed\xa0\x80\xff1'))] + [b'\n{', b'}{', b'}\n', b'null', b'true', b'\\ud83d', b'\\u0041', GOOD, b'"weight": 1', b'\xf0\x9f\x98\x80']

@pytest.mark.parametrize('seed', range(4))
def test_mutated_rows(seed, tmp_path):
    draw, plain = random.Random(seed), 0
    pool = [*PLAIN.values(), line((True, 'a'), id=3)*3]
    for _ in range(600):
        data = bytearray(draw.choice(pool)*draw.randint(1, 2))
        for _ in range(draw.randint(0, 3)):
            a = draw.randrange(len(data)+1)
            data[a:a+draw.choice((0, 0, 1, 2, 9))] = draw.choice(BYTES) if draw.random()<.8 else b''
        if (found := segment_columns(bytes(data))) is None: continue
        (tmp_path/'rows.jsonl').write_bytes(data)
        assert both(tmp_path/'rows.jsonl')[2]==len(found.counts)
        plain += 1
    assert plain>80

def made(cfg, monkeypatch, many):
    if many is not None: monkeypatch.setattr(encoding, 'segment_columns', many)
    p = preprocess(cfg, force=True)
    return p.path.name, p.report.totals, {f.name: f.read_bytes() for f in p.path.iterdir() if f.suffix!='.json'}

@pytest.mark.parametrize('boundary,more', [
    ('segment', {}), ('segment', dict(sequence_len=16, excess_length_strategy='truncate')),
    ('segment', dict(train_on_inputs=True, dataset_exact_deduplication=True)), ('prompt', {}), ('joint', {})])
def test_a_set_has_the_same_bytes_either_way(boundary, more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [masked(f'<s>{i%2500}+1=')+trained(f'{i%2500+1}</s>') for i in range(3000)]
    write_jsonl(rows, 'rows.jsonl')
    data = (tmp_path/'rows.jsonl').read_bytes()
    more_rows = 15 if boundary=='segment' else 1
    (tmp_path/'odd.jsonl').write_bytes(data*more_rows + UNUSUAL['weight']+b'\n'+data)
    entry = dict(type='input_output', segmask=dict(boundary=boundary))
    cfg = dict(base_model='mistralai/Mistral-7B-v0.1', sequence_len=64, seed=1, val_set_size=.1, dataset_prepared_path='p',
               datasets=[dict(path='rows.jsonl', **entry), dict(path='odd.jsonl', **entry)]) | more
    assert made(cfg, monkeypatch, None)==made(cfg, monkeypatch, lambda lines: None)
