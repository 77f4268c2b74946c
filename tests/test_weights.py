"Weights between 0 and 1: what a token gets, in every mode and by every way of encoding"
import json
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from families import family
from segmask import Encoder, Segment, SegmentError, Segments, masked, read_jsonl, trained, write_jsonl
from segmask.core import IGNORE_INDEX

BOUNDARIES = 'segment', 'prompt', 'joint'
text = st.lists(st.sampled_from(['a', ' ', ' there', 'unbreak', 'able', '\n', 'é', '日', '👩‍👧', '12', '<s>', '.']), max_size=5).map(''.join)
segment = st.builds(lambda t, w: Segment(t, w>0, weight=w), text, st.sampled_from([0, 0, 1, 1, .1, .5, .75, 1e-6]))
rows = st.lists(segment, max_size=6).map(Segments)
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@lru_cache(maxsize=None)
def encoder(name: str, boundary: str, **kw) -> Encoder: return Encoder(family(name), boundary, **kw)

families = pytest.mark.parametrize('name', ['sentencepiece, legacy', 'byte-level, gpt2', 'unigram'])

@families
@few
@given(data=st.lists(rows, max_size=4))
def test_all_ways_agree(name, data):
    for b in BOUNDARIES:
        enc = encoder(name, b)
        made, batch, one = enc.columns(data), enc.batch(data), [enc(r) for r in data]
        flat = [w for e in one for w in e.weights]
        assert (made.weights is not None)==any(0<w<1 for w in flat)==('weights' in batch.column_names)
        assert made.trained.tolist()==[w>0 for w in flat] and made.lens.tolist()==[len(e.input_ids) for e in one]
        if made.weights is not None: assert made.weights.tolist()==flat and made.weights.dtype==np.float32
        again = enc.columns([r.to_dict() for r in data if len(r)])
        assert again.ids.tolist()==[i for r,e in zip(data, one) if len(r) for i in e.input_ids]
        for e,col in zip(one, batch.to_pylist()):
            assert e.weights==col.pop('weights', e.weights) and {k: v for k,v in e.items() if k!='weights'}==col
            assert ('weights' in e)==any(0<w<1 for w in e.weights)

@families
@few
@given(row=rows)
def test_a_token_gets_the_weight_of_its_characters(name, row):
    chars = [float(np.float32(o.weight)) for o in row for _ in o.text]
    for b in BOUNDARIES:
        e = encoder(name, b)(row)
        assert len(e.weights)==len(e.input_ids)
        for i,label,w,(x,y) in zip(e.input_ids, e.labels, e.weights, e.offsets):
            assert label==(i if w>0 else IGNORE_INDEX)
            alone = e.offsets.count((x, y))==1 or y-x==1 # bytes of unknown characters share the span of all of them
            if y>x and alone: assert w==(min if b=='prompt' else max)(chars[x:y]), (b, row)
        if b=='segment': assert e.weights==[float(np.float32(row[n].weight)) for n in e.segment]

@few
@given(row=rows)
def test_labels_ids_and_prompts_do_not_depend_on_weights(row):
    plain = Segments(Segment(o.text, o.label) for o in row)
    for b in BOUNDARIES:
        enc = encoder('sentencepiece, legacy', b)
        a, p = enc(row), enc(plain)
        assert (a.input_ids, a.labels, a.prompts, a.straddling)==(p.input_ids, p.labels, p.prompts, p.straddling)
        assert set(p.weights) <= {0., 1.} and set(encoder('sentencepiece, legacy', b, train_on_inputs=True)(row).weights) <= {1.}

@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.lists(segment, min_size=1, max_size=5).map(Segments), min_size=1, max_size=4))
def test_weights_come_back_from_a_file(tmp_path, data):
    write_jsonl(data, tmp_path/'rows.jsonl')
    assert read_jsonl(tmp_path/'rows.jsonl')==data
    for line,row in zip((tmp_path/'rows.jsonl').read_text().splitlines(), data):
        for o,s in zip(json.loads(line)['segments'], row): assert ('weight' in o)==(0<s.weight<1) and o['label']==s.label

@pytest.mark.parametrize('weight,label,what', [(-.1, True, 'below 0'), (1.5, True, 'above 1'), (float('nan'), True, 'NaN'), (float('inf'), True, 'above 1'), ('0.3', True, 'not a number'),
                                               (True, True, 'not a number'), ([1], True, 'not a number'), (.3, False, 'on masked text'), (1, False, 'on masked text'), (1e-50, True, 'too small')])
def test_bad_weights_are_refused_with_their_place(tmp_path, weight, label, what):
    with pytest.raises(SegmentError, match=what): Segment('a', label, weight=weight)
    (tmp_path/'rows.jsonl').write_text('{"segments": [{"label": true, "text": "a"}]}\n' + json.dumps({'segments': [{'label': True, 'text': 'a'}, {'label': label, 'text': 'b', 'weight': weight}]}))
    with pytest.raises(SegmentError) as e: read_jsonl(tmp_path/'rows.jsonl')
    p, = e.value.problems
    assert p.where.endswith('rows.jsonl:2') and p.field=='segments[1].weight' and what in p.what and p.hint and p.code=='bad-weight'
    with pytest.raises(SegmentError, match=what): Encoder(family('byte-level, gpt2')).batch([{'segments': [{'label': label, 'text': 'b', 'weight': weight}]}])

def test_weights_0_and_1_are_labels():
    assert trained('a', weight=0)==masked('a') and trained('a', weight=1).to_dict()==trained('a').to_dict()
    assert 'weights' not in Encoder(family('byte-level, gpt2')).batch([masked('a')+trained('b', weight=1)]).column_names
