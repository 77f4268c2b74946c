"Every row is accounted for, whatever the data and the settings"
import contextlib, io, json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from segmask import Encoder, SegmentError, load_tokenizer, preprocess, read_jsonl

MODEL = 'mistralai/Mistral-7B-v0.1'
DROPPED = 'too long', 'too short', 'duplicate', 'masked away', 'empty'
STORED = 'kept', 'cut', 'fully masked'

@pytest.fixture(scope='module')
def tok(): return load_tokenizer(MODEL)

@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch): monkeypatch.chdir(tmp_path)

def prepare(rows, **cfg):
    "(prepared set or None when no row is left, the config)"
    with open('rows.jsonl', 'w') as f: f.writelines(json.dumps(o)+'\n' for o in rows)
    kind = cfg.pop('type', 'input_output')
    try:
        with contextlib.redirect_stderr(io.StringIO()): return preprocess({'base_model':MODEL, 'datasets':[dict(path='rows.jsonl', type=kind)], **cfg})
    except SegmentError as e:
        assert 'no row is left' in str(e)

def balanced(p):
    t, lines = p.report.totals, p.report.rows
    assert t['read']==sum(t[o] for o in STORED+DROPPED)
    assert t['stored']==sum(t[o] for o in STORED)==len(p)==len(p.dataset)
    assert Counter(lines.status)==Counter({o:t[o] for o in STORED[1:]+DROPPED if t[o]}) # a line for each row that was not simply kept
    assert t['tokens']==sum(map(len, p.dataset['input_ids'])) and t['trained tokens']==sum(l!=-100 for r in p.dataset['labels'] for l in r)
    assert lines.reason.str.len().min()>10 if len(lines) else True
    assert list(lines.line)==sorted(lines.line)
    return t

segment = st.fixed_dictionaries(dict(label=st.booleans(), text=st.sampled_from(['', 'a', '<s>Hi', ' there', 'one two three four five six seven ', 'x\ny\n', 'naïve 日本 '])))
rows = st.lists(st.fixed_dictionaries(dict(segments=st.lists(segment, min_size=1, max_size=4))), min_size=1, max_size=12)

@settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows, st.integers(1, 20), st.sampled_from([None, 0, 1, 4]), st.sampled_from(['drop', 'truncate']), st.sampled_from(['warn', 'drop']), st.booleans(), st.booleans())
def test_every_row_has_one_status(tok, data, longest, shortest, strategy, masked, once, shuffle):
    p = prepare(data, sequence_len=longest, min_sample_len=shortest, excess_length_strategy=strategy, segmask=dict(fully_masked=masked), dataset_exact_deduplication=once, shuffle_merged_datasets=shuffle)
    if p is None: return
    t = balanced(p)
    assert t['read']==len(data)
    status = dict(zip(p.report.rows.line, p.report.rows.status))
    enc, low = Encoder(tok), shortest or 2
    stored = {p.source(i).line: p.row(i) for i in range(len(p))}
    assert len(stored)==len(p)
    for n,row in enumerate(read_jsonl('rows.jsonl'), 1): # the status of each row, worked out again one by one
        e = enc(row)
        ids, labels = e.input_ids, e.labels
        if len(ids)<low: want = 'too short'
        elif len(ids)>longest and strategy=='drop': want = 'too long'
        elif not any(l!=-100 for l in labels[:longest]): want = 'fully masked' if masked=='warn' else 'masked away'
        else: want = 'cut' if len(ids)>longest else 'kept'
        got = status.get(n, 'kept')
        assert got==want or (once and got=='duplicate' and want in STORED)
        assert (n in stored) == (got in STORED)
        if n in stored: assert (stored[n]['input_ids'], stored[n]['labels'])==(ids[:longest], labels[:longest])

@settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(['', 'a', 'one two three four five six seven ', 'w '*300]), min_size=1, max_size=8), st.integers(2, 5))
def test_completions_too(tok, texts, longest):
    "A long text is several rows; what is behind them, and a text that is none, are told"
    p = prepare([dict(text=t) for t in texts], type='completion', sequence_len=longest)
    if p is None: return
    balanced(p)
    lines = p.report.rows
    assert {p.source(i).line for i in range(len(p))} | set(lines.line) == set(range(1, len(texts)+1)), 'no text goes unmentioned'
    assert ('64 rows' in ''.join(lines.reason)) == any(len(o)==600 for o in texts) or longest>4

def test_masked_rows_are_reported_dropped_or_refused():
    data = [dict(segments=[dict(label=i!=1, text='some text')]) for i in range(3)]
    p = prepare(data)
    assert len(p)==3 and list(p.report.rows.status)==['fully masked'] and 'nothing is trained' in p.report.rows.reason[0]
    assert len(prepare(data, segmask=dict(fully_masked='drop')))==2
    with open('rows.jsonl') as f: assert f.read().count('\n')==3
    with pytest.raises(SegmentError, match=r'rows.jsonl:2: has nothing to train on'):
        preprocess(dict(base_model=MODEL, datasets=[dict(path='rows.jsonl', type='input_output')], segmask=dict(fully_masked='raise')))

def test_an_unknown_policy_is_refused():
    from segmask import ConfigError
    with open('rows.jsonl', 'w') as f: f.write('{"segments": [{"label": true, "text": "some text"}]}')
    with pytest.raises(ConfigError, match='warn, drop or raise'):
        preprocess(dict(base_model=MODEL, datasets=[dict(path='rows.jsonl', type='input_output')], segmask=dict(fully_masked='ignore')))
