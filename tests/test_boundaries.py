"The invariants of the boundary modes, on random text cut at random, for every family of tokenizers"
import random, unicodedata

import pytest

from families import FAMILIES, REFUSED, family
from segmask.core import IGNORE_INDEX, Segment, Segments
from segmask.tokens.encoder import Encoder

ATOMS = ['a', 'b', ' ', '  ', '   ', '\n', '\n\n', '\r\n', '\t', 'hello', ' there', 'unbreakable', 'é', 'e\u0301', 'ﬁ', '日', '本語', '한국', 'и', '👩‍👩‍👧', '🇨🇦', '▁', 'Ġ', '.', ',', '#', '<', '12', '3', '\u200b', '\u202e', '\xa0', '\ufeff', '$', '—', "'s", '\x00', '\x1b[31m']

def random_text(rng, specials) -> list[str]:
    "Atoms that are not cut: one character each, or a special token"
    out = []
    for _ in range(rng.randint(0, 14)):
        x = rng.random()
        if x<.12 and specials: out.append(rng.choice(specials))
        elif x<.25: out.append(chr(rng.choice([rng.randint(32, 126), rng.randint(160, 0x2fff), rng.randint(0x3040, 0xd7ff), rng.randint(0x1f300, 0x1faff)])))
        else: out += list(rng.choice(ATOMS))
    return out

def random_row(rng, specials) -> Segments:
    atoms = random_text(rng, specials)
    cuts = sorted(rng.randint(0, len(atoms)) for _ in range(rng.randint(0, 5)))
    return Segments(Segment(''.join(atoms[a:b]), rng.random()<.5) for a,b in zip([0, *cuts], [*cuts, len(atoms)]))

def check(name: str, n: int, seed: int):
    tok, rng = family(name), random.Random(seed)
    specials = [str(o.content) for o in tok.added_tokens_decoder.values() if o.special][:4]
    backend = tok.backend_tokenizer
    same = (lambda s: unicodedata.normalize('NFC', s)) if 'NFC' in name else (lambda s: s) # NFC composes across a cut: equal up to that
    decode = lambda ids: same(backend.decode(ids, skip_special_tokens=False))
    encoders = {b: Encoder(tok, b) for b in ('segment', 'prompt', 'joint')}
    whole = lambda t: tok(t, add_special_tokens=False)['input_ids']
    for start in range(0, n, 200):
        rows = [random_row(rng, specials) for _ in range(min(200, n-start))]
        for b,enc in encoders.items():
            batch = enc.batch(rows).to_pylist()
            for r,e,col in zip(rows, enc.many(rows), batch):
                assert dict(e)==col, (b, r)                                                                            # 6
                assert all(l in (i, IGNORE_INDEX) for i,l in zip(e.input_ids, e.labels))                               # 3
                assert len(e.input_ids)==len(e.labels)==len(e.attention_mask)==len(e.offsets)==len(e.segment)
                text, lit = r.text, [o.label for o in r for _ in o.text]
                if b=='segment': assert e.input_ids==[i for o in r for i in whole(o.text)], r                          # 1
                else: assert decode(e.input_ids)==decode(whole(text)), (b, r)                                          # 2
                if 'NFC' not in name:
                    covered = set()
                    for l,(x,y) in zip(e.labels, e.offsets):
                        if l!=IGNORE_INDEX:
                            covered.update(range(x, y))
                            if b!='joint': assert all(lit[x:y]), (b, r)                                                # 4
                    if b!='prompt': assert {i for i,o in enumerate(lit) if o} <= covered, (b, r)
                if b=='prompt':                                                                                        # 5
                    p = e.prompts[0][0] if e.prompts else len(text)
                    first = whole(text[:p])
                    assert e.input_ids[:len(first)]==first, r
                    if e.prompts: assert e.prompts[0][1]==len(first), r
                    assert [x for x,_ in e.prompts]==[i for i in range(1, len(lit)) if lit[i] and not lit[i-1]]
                if b=='joint': assert e.input_ids==whole(text)
                for x,t in e.prompts: # the token at a later boundary begins there, or straddles it
                    if 'NFC' not in name and t<len(e.offsets): assert e.offsets[t][0]==x or t in e.straddling, (b, r)

@pytest.mark.parametrize('name', FAMILIES)
def test_invariants(name): check(name, 300, seed=1)

@pytest.mark.slow
@pytest.mark.parametrize('name', FAMILIES)
def test_invariants_at_length(name): check(name, 20_000, seed=2)

@pytest.mark.parametrize('name', REFUSED)
def test_prompt_is_refused_where_it_would_not_be_exact(name):
    with pytest.raises(ValueError, match='would not be exact'): Encoder(family(name), 'prompt')
    Encoder(family(name), 'joint')

def test_a_tokenizer_written_in_python_has_only_segments():
    class Python:
        backend_tokenizer, name_or_path = None, 'python'
        def __call__(self, text, add_special_tokens=False): return {'input_ids': [list(o.encode()) for o in text] if isinstance(text, list) else list(text.encode())}
    enc = Encoder(Python())
    r = Segments([Segment('a', True), Segment('é', False)])
    assert dict(enc(r))==enc.batch([r]).to_pylist()[0]==dict(input_ids=[97, 195, 169], labels=[97, -100, -100], attention_mask=[1]*3)
    assert enc(r).offsets is None and enc(r).segment==[0, 1, 1]
    for b in ('prompt', 'joint'):
        with pytest.raises(ValueError, match='fast tokenizer'): Encoder(Python(), b)
