"Mask rules on random rows: the text never changes, and what a rule says is what becomes of it"
import re

import pytest
from hypothesis import given, settings, strategies as st

from segmask import Segment, Segments, masked, trained
from segmask import patterns
from segmask.masks import MaskError, Rules, changes, disjoint, effect, mask, only, rules_from, train, weigh
from segmask.masks import MaskError

text = st.text('ab<>\n\u202eé日 #', max_size=8)
weights = st.sampled_from([0, .25, .5, 1])
segment = st.builds(lambda t, w, role, turn: Segment(t, w>0, weight=w, role=role, turn=turn), text, weights,
                    st.sampled_from(['user', 'assistant']), st.integers(0, 3))
rows = st.lists(segment, max_size=6).map(Segments)
choices = st.fixed_dictionaries({}, optional=dict(role=st.sampled_from(['user', 'assistant']), turn=st.sampled_from(['last', 'first', 0, -1]),
                                                  segment=st.integers(-2, 2), label=st.booleans()))
rules = st.one_of(st.builds(lambda f, p, c: f(p, **c), st.sampled_from([mask, train, only]), st.sampled_from([None, 'a+', '<.*?>', '(?s).', '^b', '\\n']), choices),
                  st.builds(lambda p, w, c: weigh(p, w, **c), st.sampled_from([None, 'b', 'a|é']), weights, choices))
on = lambda row: [o.weight for o in row for _ in o.text]
fast = settings(max_examples=200, deadline=None)

@fast
@given(rows, rules)
def test_a_rule_sets_the_weight_of_its_characters_and_of_no_others(row, rule):
    new, inside = rule(row), {i for a,b in rule.spans(row) for i in range(a, b)}
    assert new.text==row.text and (new.where, new.extra)==(row.where, row.extra)
    assert on(new)==[rule.weight if i in inside else w for i,w in enumerate(on(row))]
    if not (rule.where.label is not None or rule.where.turn or rule.where.segment): assert rule(new) is new # done twice is done once
    assert (new is row)==(on(new)==on(row))

@fast
@given(rows, rules)
def test_boundaries_stay(row, rule):
    cuts = lambda r: {sum(len(o.text) for o in r[:i]) for i in range(len(r)+1)}
    assert cuts(row) <= cuts(rule(row))
    assert [o for o in row if not o.text]==[o for o in rule(row) if not o.text]

@fast
@given(rows, st.lists(rules, max_size=4))
def test_rules_come_back_from_yaml_and_from_python(row, some):
    import yaml
    again = rules_from(yaml.safe_load(yaml.safe_dump(Rules(some).to_dict())))
    assert again==Rules(some) and again(row)==Rules(some)(row)
    assert all(eval(repr(o))==o for o in some)

@fast
@given(rows, rules)
def test_changes_are_what_differs(row, rule):
    new = rule(row)
    found = {i: (c.before, c.after) for c in changes(row, new) for i in range(c.start, c.start+len(c.text))}
    assert found=={i: (a, b) for i,(a,b) in enumerate(zip(on(row), on(new))) if a!=b}
    e = effect(rule, [row])
    assert (e.changed, e.characters, e.split)==(bool(found), len(found), len(new)>len(row))

@fast
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20))))
def test_disjoint(spans):
    out = disjoint(spans)
    assert {i for a,b in out for i in range(a, b)}=={i for a,b in spans for i in range(a, b)}
    assert all(a<b for a,b in out) and all(b<c for (_,b),(c,_) in zip(out, out[1:]))

@fast
@given(text, st.sampled_from(['a+', '<.*?>', '(?s)(.)\\1', '[ab]|#', '^.', '\\s*']))
def test_patterns_mean_what_re_means(t, pattern): assert list(patterns.found(pattern, t))==[m.span() for m in re.finditer(pattern, t)]

def test_three_opinions():
    s = masked('Q') + trained('A')
    assert only(label=True)(s) is s and train()(s)==trained('Q')+trained('A') and weigh(label=False, weight=.1)(s)==trained('Q', weight=.1)+trained('A')

@pytest.mark.parametrize('pattern', [r'(a|aa)+$', r'(?:a?){25}a{25}b', r'(a*)*c(?:.*?,)*', r'.*.*.*.*=.*', r'(?R)?a', r'(?:(?R)|a)+', '((a{1000}){1000}){1000}', '('*5000+')'*5000, '(?<=(a+)+)b', '[', 'a{99999999999999}', '(?P<x>'])
def test_a_pattern_cannot_hang(pattern, monkeypatch):
    import time
    monkeypatch.setattr(patterns, 'SECONDS', .2)
    start = time.process_time()
    try: masked('a'*2000+'!').mask(pattern)
    except MaskError as e: assert len(str(e))<20_000 and str(e).count('. ')
    assert time.process_time()-start<8

def test_rows_of_many_matches_take_no_long_time():
    import time
    row, start = masked('ab'*20_000), time.process_time()
    assert len(row.train('a'))==40_000
    many = Segments(Segment('ab', False) for _ in range(20_000))
    assert len(many.train('a'))==40_000 and time.process_time()-start<8

def test_a_function_can_choose_and_weigh():
    s = masked('one', role='user') + trained('two', role='assistant')
    assert train(test=lambda o: o.role=='user')(s)==trained('one')+trained('two')
    assert weigh(weight=lambda o: .5*o.weight)(s)==masked('one')+trained('two', weight=.5)
    with pytest.raises(MaskError, match='is 7'): weigh(weight=lambda o: 7)(s)

@pytest.mark.parametrize('wrong,what', [
    ('[', r'mask\[0\].mask.regex: .* no regular expression'), ({'maks': 'a'}, 'Did you mean mask'), ({}, 'no keys'), (7, 'not a list of rules'), ([7], 'is 7, not a rule'),
    ({'mask': None}, 'is None, not a pattern'), ({'mask': ''}, 'not a pattern'), ({'mask': 'a', 'train': 'b'}, 'is given beside mask'), ({'weigh': 'a'}, 'weight: is missing'),
    ({'weigh': 'a', 'weight': 2}, r'mask\[0\].weight: is 2'), ({'weigh': 'a', 'weight': '1'}, 'not a number'), ({'weigh': 'a', 'weight': float('nan')}, 'not a number'),
    ({'mask': 'a', 'weight': 1}, 'does not belong to mask'), ({'mask': 'a', 'role': 'user'}, 'Write mask: {role'), ({'mask': {'rol': 'user'}}, 'Did you mean role'),
    ({'mask': {'turn': 'lats'}}, "is 'lats', not a number, 'first' or 'last'"), ({'mask': {'test': 'a'}}, 'only be given in Python'), ({'mask': {5: 6}}, 'no way to choose'),
    ({'mask': {'regex': 'a', 'text': 'b'}}, 'given beside regex'), ({'mask': {'part': 'cod'}}, 'not one of reasoning'), ({'mask': {'role': []}}, 'empty list'), ('weigh x: a', "is 'x', not a number")])
def test_what_is_no_rule_is_told(wrong, what):
    with pytest.raises(MaskError, match=what): rules_from(wrong)

def test_all_that_is_wrong_is_told_with_its_line():
    with pytest.raises(MaskError) as e: rules_from([{'mask': '['}, {'weigh': 'a', 'weight': 'b'}, {'mask': 'fine'}], 'segmask.mask', lambda *path: f'a.yml:{path[0]}')
    assert [(p.where, p.field) for p in e.value.problems]==[('a.yml:0', 'segmask.mask[0].mask.regex'), ('a.yml:1', 'segmask.mask[1].weight')]

def test_rules_work_on_any_dataclass():
    from dataclasses import dataclass
    @dataclass
    class Piece: text: str; label: bool; weight: float; role: str = 'user'; turn: int|None = None; origin: str|None = None
    assert mask('b')([Piece('abc', True, 1.)])==(Piece('a', True, 1.), Piece('b', False, 0.), Piece('c', True, 1.))
