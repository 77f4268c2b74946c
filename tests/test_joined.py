"Many short texts are tokenized as few joined ones: the ids are those of every text alone, for every family of tokenizers"
import random

import numpy as np
import pytest
from tokenizers import AddedToken

from families import FAMILIES, REFUSED, family
from segmask.tokens import engine
from segmask.tokens.continuing import as_called
from segmask.tokens.encoder import Encoder
from segmask.tokens.engine import Engine, Joiner
from test_boundaries import random_text

NAMES = [*FAMILIES, *REFUSED]
FIRST = 'sentencepiece, not legacy' # treats the first word of a text differently
LEGACY = 'sentencepiece, legacy'

def check(tok, n: int, seed: int, more=()) -> bool:
    "Compare; is this tokenizer one that texts are joined for?"
    rng = random.Random(seed)
    specials = [*more, *(str(o.content) for o in tok.added_tokens_decoder.values())][:6]
    joiner = Joiner(tok.backend_tokenizer)
    if joiner.backend is None: return False
    enc = Engine(tok)
    as_called(joiner.backend, tok)
    for a in range(0, n, 2000):
        texts = [''.join(random_text(rng, specials)) for _ in range(2000)]
        ids, lens = joiner.encode(texts)
        want = enc.lists(texts)
        assert lens.tolist()==list(map(len, want))
        for t,i,w in zip(texts, np.split(ids, np.cumsum(lens)[:-1]), want): assert i.tolist()==w, t
    return True

@pytest.mark.parametrize('name', NAMES)
def test_joined_texts_have_the_same_ids(name): assert check(family(name), 4_000, seed=3) == (name!=FIRST)

@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_joined_texts_at_length(name): assert check(family(name), 400_000, seed=4) == (name!=FIRST)

def test_tokens_with_habits():
    "Added tokens that take the space around them, or stand as a word only; special tokens read as text"
    tok = FAMILIES[LEGACY]() # one of its own, for it is changed
    tok.add_tokens([AddedToken('<L>', lstrip=True), AddedToken('<R>', rstrip=True), AddedToken('<W>', single_word=True), AddedToken('<N>', normalized=True)])
    habits = ['<L>', '<R>', '<W>', ' <W> ', '<N>', ' <L> <R> ']
    assert check(tok, 5_000, 5, habits)
    tok.split_special_tokens = True
    assert check(tok, 5_000, 6, habits)

def test_text_that_holds_the_mark(monkeypatch):
    monkeypatch.setattr(engine, 'MANY', 0)
    tok = FAMILIES[LEGACY]()
    enc, (a, b) = Engine(tok), engine.MARK
    for texts in ([a, b, a, f'x{a}', f'{b}y', a+a, b+b, f'{b}{a}'], ['one', f'has {a}{b} inside', 'two'], ['', a+b, '']):
        ids, lens = enc.flat(texts)
        assert lens.tolist()==[len(o) for o in enc.lists(texts)] and ids.tolist()==sum(enc.lists(texts), [])
        assert (enc._joiner.encode(texts) is None)==any(a+b in o for o in texts)

def test_a_pickle_does_not_depend_on_what_was_encoded(monkeypatch):
    import pickle
    monkeypatch.setattr(engine, 'MANY', 0)
    enc = Encoder(FAMILIES[LEGACY]())
    before = pickle.dumps(enc)
    enc.columns([{'segments': [dict(text='a', label=True)]}])
    assert enc.engine._joiner is not None and pickle.dumps(enc)==before
