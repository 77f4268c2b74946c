"""Millions of strings by the fast tokenizer and by the real one:   python bench/fuzz.py   writes their section of RESULTS.md.

Each tokenizer is proved as `preprocess` proves it; then strings of mixed kinds are encoded both ways. A string with a
suspect character goes to the real tokenizer in `preprocess` and is not compared; it does not count."""
import argparse, inspect, json, os, re, sys, time
from pathlib import Path
from typing import NamedTuple

here = Path(__file__).parent
sys.path[:0] = [str(here), str(here.parent/'tests')]
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
os.environ.setdefault('HF_HUB_OFFLINE', '1')

import gigatoken
import numpy as np
import pyarrow.compute as pc

import families
from segmask.tokens.fast import differing, fast_ids, in_arrow, pattern_of, prove, raw_ids, spec_of

BATCH = 50_000 # strings
TOKENIZERS = {'GPT-2': families.gpt2, 'Mistral': lambda: families.load_tokenizer(families.MISTRAL), 'Qwen': families.qwen}

# --- strings ------------------------------------------------------------------------------------------------------

def points(*spans: tuple[int, int]) -> str: return ''.join(map(chr, (c for a,b in spans for c in range(a, b) if not 0xd800<=c<0xe000)))

KINDS = [ # characters that are drawn together
    'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'etaoin shrdlu ETAOIN', '0123456789', ' ', ' \t\n\r', '\n', '.,;:!?-_()[]{}',
    points((0x21, 0x7f)), points((0, 0x20), (0x7f, 0xa0)), "'sSdDmMtT 'll've're", points((0xa0, 0x250)), points((0x250, 0x370)),
    points((0x370, 0x400)), points((0x400, 0x530)), points((0x590, 0x700)), points((0x900, 0xe00)), points((0xe00, 0x1200)),
    points((0x1e00, 0x2000)), points((0x2000, 0x2070)), points((0x2070, 0x2c00)), points((0x3040, 0x3100)), points((0x4e00, 0x9fff)),
    points((0xac00, 0xd7a4)), points((0x1f000, 0x1fb00)), '👍🏽👨👩👧🇩🇪\u200d\ufe0f\U0001f3fb', '\u00a0\u1680\u2003\u2028\u2029\u202f\u3000\u200b\ufeff\x85\x0b\x0c\x1c',
    'aeiouAEIOUn\u0300\u0301\u0302\u0303\u0308\u030a\u0327\u0345', 'ªº²³¼½Ⅰⅷ①㈠٣५๔𝟘', '가힣ᄀ\u1161\u11a8ﬁﬀＡａ１ﾊﾟ\u212b\u2126', '\x00\ufffd\uffff\U0010ffff\ue000\ue3a7\ue1c5',
    points((0, 0x3000)), points((0x3000, 0x11_0000))]

class Pool(NamedTuple):
    "What strings are made of; `kinds` and `texts` hold the place and the length of each in `chars`"
    chars: np.ndarray  # code points
    kinds: np.ndarray  # any of their characters
    tokens: np.ndarray # as a whole
    texts: np.ndarray  # stretches of them

def pool(tokens: list[str]) -> Pool:
    texts = [(here.parent/'LICENSE').read_text(), inspect.getsource(argparse), ' '.join(families.SOME_TEXT)]
    every = [*KINDS, *tokens, *texts]
    lens = np.array(list(map(len, every)))
    places = np.stack([np.cumsum(lens)-lens, lens], 1)
    chars = np.frombuffer(''.join(every).encode('utf-32-le'), np.uint32)
    return Pool(chars, *np.split(places, np.cumsum([len(KINDS), len(tokens)])))

def strings(made_of: Pool, seed: int, n: int=BATCH) -> list[str]:
    "Strings of one to eight pieces: characters of a kind, one of them again and again, a stretch of a text, an added token"
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, n)
    total = counts.sum()
    what = rng.choice(4, total, p=[.55, .15, .2, .1]) # of a kind, repeated, a text, a token
    if not len(made_of.tokens): what[what==3] = 0
    draw = lambda some: some[rng.integers(0, max(1, len(some)), total)] if len(some) else np.ones((total, 2), int)
    start, size = np.where((what<2)[:,None], draw(made_of.kinds), np.where((what==2)[:,None], draw(made_of.texts), draw(made_of.tokens))).T
    lens = np.select([what<2, what==2], [rng.integers(1, 10, total), rng.integers(1, 60, total)], size)
    first = np.where(what==3, 0, (rng.random(total)*size).astype(int))
    piece = np.repeat(np.arange(total), lens)
    within = np.arange(len(piece)) - np.repeat(np.cumsum(lens)-lens, lens)
    at = np.where(what[piece]==0, (rng.random(len(piece))*size[piece]).astype(int), first[piece] + np.where(what[piece]==1, 0, within))
    text = made_of.chars[start[piece] + at%size[piece]].tobytes().decode('utf-32-le')
    ends = np.cumsum(np.add.reduceat(lens, np.cumsum(counts)-counts)).tolist()
    return [text[a:b] for a,b in zip([0, *ends], ends)]

# --- both ways ----------------------------------------------------------------------------------------------------

class Count(NamedTuple):
    strings: int; suspect: int; tokens: int; different: list[str]; points: int; proof: float; raw: float; fast: float

def compare(tokenizer, n: int, tell=lambda said: None) -> Count:
    "Prove, then encode `n` strings without suspect characters both ways; times in CPU seconds"
    clock, used = time.process_time, {'raw': 0., 'fast': 0.}
    backend, a = tokenizer.backend_tokenizer, clock()
    fast = gigatoken.Tokenizer.from_json(spec := spec_of(backend))
    proof = prove(backend, fast)
    if proof.reason: raise ValueError(f'it is not used: {proof.reason}')
    took, pattern, odd = clock()-a, pattern_of(proof, json.loads(spec)), []
    made_of, done, suspect, tokens, seed = pool([o.content for o in backend.get_added_tokens_decoder().values()]), 0, 0, 0, 0
    while done<n:
        texts, seed = strings(made_of, seed), seed+1
        if pattern:
            found = pc.match_substring_regex(in_arrow(texts), pattern).to_pylist()
            suspect += sum(found)
            texts = [t for t,o in zip(texts, found) if not o]
        texts = texts[:n-done]
        ids = {}
        for name,make in (('raw', lambda: raw_ids(backend, texts)), ('fast', lambda: fast_ids(fast, in_arrow(texts)))):
            a = clock()
            ids[name] = make()
            used[name] += clock()-a
        if not all(map(np.array_equal, ids['raw'], ids['fast'])): odd += [texts[i] for i in differing(backend, fast, texts)]
        done, tokens = done+len(texts), tokens+len(ids['raw'].ids)
        if seed%20==0: tell(f'{done:,} strings, {len(odd)} differ{": "+ascii(odd[-1]) if odd else ""}, {clock():.0f} CPU seconds')
    return Count(done, suspect, tokens, odd, len(proof.suspects), took, **used)

def lines(counts: dict[str, Count], before: str) -> list[str]:
    "A line for each tokenizer; one that was not tried now keeps that of `before`"
    out = ['Strings of mixed kinds (all scripts, runs of white space, digits, marks, controls, unassigned characters, added tokens, prose and code), encoded by gigatoken and by '
           '`tokenizers`, every string by itself. A string with a suspect character is not compared: `preprocess` gives it to `tokenizers`. '
           'One process; CPU seconds.', '',
           '| tokenizer | strings | tokens | strings that differ | characters found suspect | strings with one, not compared | proof | tokenizers | gigatoken |', '|---|---|---|---|---|---|---|---|---|']
    for name in TOKENIZERS:
        if name not in counts:
            out += re.findall(rf'^\| {name} \|.*$', before, re.M)
            continue
        o = counts[name]
        out.append(f'| {name} | {o.strings:,} | {o.tokens:,} | {len(o.different)} | {o.points} | {o.suspect:,} | {o.proof:.0f} s | {o.raw:.0f} s | {o.fast:.0f} s |')
    return out

def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--strings', type=int, default=10_000_000, help='for each tokenizer (default: 10000000)')
    ap.add_argument('--only', default=','.join(TOKENIZERS), help=f'of {", ".join(TOKENIZERS)}')
    ap.add_argument('--output', type=Path, default=here, help='folder for RESULTS.md')
    args = ap.parse_args()
    import bench
    counts, results = {}, args.output/'RESULTS.md'
    for name in args.only.split(','):
        counts[name] = compare(TOKENIZERS[name](), args.strings, lambda said: print(f'{name}: {said}', file=sys.stderr, flush=True))
        for t in counts[name].different[:20]: print(name, json.dumps(t), file=sys.stderr)
        bench.put_into(results, None, {bench.TITLES['fuzz']: lines(counts, results.read_text() if results.exists() else '')})
    if any(o.different for o in counts.values()): sys.exit(1)

if __name__=='__main__': main()
