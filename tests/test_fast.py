"The fast tokenizer makes the tokens of the real one, or is not used"
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

gigatoken = pytest.importorskip('gigatoken')

import families
from segmask.tokens import fast as module
from segmask.tokens.fast import (Fast, Proof, differing, hostile, mixed_ids, not_admitted, pattern_of, prove, raw_ids,
                                 spec_of, suspects)
from segmask.tokens.tokenizer import load_tokenizer

FAMILIES = {'mistral': lambda: load_tokenizer('mistralai/Mistral-7B-v0.1'), 'gpt2': families.gpt2, 'qwen': families.qwen,
            'deepseek': families.deepseek, 'llama3': families.llama3, 'unigram': families.unigram}
SOME = [*range(0x20, 0x3000, 7), *range(0x1ac0, 0x1b00), *range(0x10930, 0x10950), *range(0x1f600, 0x1f700, 3)]

@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch): monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))

def pair(name):
    "(real, fast) tokenizers of a family; skips one that is not admitted"
    backend = FAMILIES[name]().backend_tokenizer
    if why := not_admitted(json.loads(spec_of(backend))): return backend, None, why
    return backend, gigatoken.Tokenizer.from_json(spec_of(backend)), ''

@pytest.mark.parametrize('name', FAMILIES)
def test_equal_or_not_used(name):
    backend, fast, why = pair(name)
    if fast is None:
        assert name=='unigram' and 'model is Unigram' in why
        return
    proof = prove(backend, fast, SOME, 500)
    if proof.reason: return # not used, and says why
    texts = hostile(3000, [o.content for o in backend.get_added_tokens_decoder().values()], set())
    pattern = pattern_of(proof, json.loads(spec_of(backend)))
    for a,b in zip(raw_ids(backend, texts), mixed_ids(backend, fast, pattern, texts)): assert np.array_equal(a, b)

def test_marks_that_one_table_does_not_know():
    "NFC sorts neighbouring marks and composes pairs; each character alone is the same"
    backend, fast, _ = pair('qwen')
    points = [chr(c) for c in range(0xa0, 0x20000) if not 0xac00<=c<0xf900]
    parts = [unicodedata.decomposition(c).split() for c in points]
    pairs = [''.join(chr(int(o, 16)) for o in d) for d in parts if len(d)==2 and d[0][0]!='<']
    later = ['\U000105d2\u0307', '\U000105da\u0307', '\U0001611e\U0001611e', '\U00016d63\U00016d67'] # Unicode 16
    texts = [f'\u0345{c}\u0334' for c in points] + pairs + later + ['\u09fe\u09cd', '\u0300\u0d3c', '\u09cd\u0c3c']
    alone = lambda text: not suspects(backend, fast, list(map(ord, text)))
    def wrong(pattern): # texts of characters that a proof finds nothing in
        a, b = raw_ids(backend, texts), mixed_ids(backend, fast, pattern, texts)
        if len(a.ids)==len(b.ids) and all(map(np.array_equal, a, b)): return []
        x, y = (np.split(o.ids, np.cumsum(o.counts)[:-1]) for o in (a, b))
        return [t for t,i,j in zip(texts, x, y) if not np.array_equal(i, j) and alone(t)]
    missed = wrong(None)
    assert len(missed)>20 and '\u09fe\u09cd' in missed
    assert not wrong(pattern_of(Proof(()), json.loads(spec_of(backend))))

@pytest.mark.slow
@pytest.mark.parametrize('name', ['GPT-2', 'Mistral', 'Qwen'])
def test_millions_of_strings(name, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1]/'bench')
    import fuzz
    count = fuzz.compare(fuzz.TOKENIZERS[name](), int(os.environ.get('STRINGS', 10_000_000)))
    assert count.strings>=1000 and not count.different

class Wrong:
    "One token in a thousand is another"
    def __init__(self, fast): self.fast = fast
    def encode_batch(self, texts):
        import awkward as ak
        out = ak.to_packed(self.fast.encode_batch(texts))
        ids = np.asarray(out.layout.content.data).copy()
        ids[::1000] += 1
        return ak.Array(ak.contents.ListOffsetArray(out.layout.offsets, ak.contents.NumpyArray(ids)))

def test_a_wrong_engine_is_noticed_and_its_proof_forgotten():
    backend, fast, _ = pair('mistral')
    said = []
    engine = Fast(backend, tell=said.append)
    module.keep_proof(name := module.proof_name(spec_of(backend)), module.Proof(()))
    engine.fast = Wrong(fast)
    for n in range(20): engine([f'{n} and {i} is {n+i}' for i in range(5000)])
    assert engine.differed and engine.fast is None and len(said)==1
    assert not (module.cache_folder()/f'{name}.json').exists()

def test_the_real_one_until_there_is_a_proof(monkeypatch):
    backend, _, _ = pair('mistral')
    monkeypatch.setattr(module, 'shipped', dict)
    monkeypatch.setattr(module, 'PATIENCE', 1000)
    monkeypatch.setattr(module, 'prove', lambda *a: module.Proof((0x37,)))
    said, texts = [], [f'text {i}' for i in range(600)]
    engine = Fast(backend, tell=said.append)
    real = raw_ids(backend, texts)
    assert engine(texts) is None
    for _ in range(2): assert all(np.array_equal(a, b) for a,b in zip(engine(texts), real))
    assert len(said)==1 and 'once' in said[0]
    again = Fast(backend, tell=said.append) # finds the proof that was kept
    assert again(texts) is not None and len(said)==1
    assert Fast(backend, 'raw').reason=='the real tokenizer was asked for'

def test_nothing_without_the_package(monkeypatch):
    backend, _, _ = pair('mistral')
    monkeypatch.setattr(module, 'installed', lambda: False)
    engine = Fast(backend)
    assert engine(['a']*5000) is None and engine.reason=='gigatoken is not installed'

@pytest.mark.parametrize('flag', ['lstrip', 'rstrip', 'single_word'])
def test_added_tokens_with_flags_are_not_admitted(flag):
    from tokenizers import AddedToken
    tok = load_tokenizer('mistralai/Mistral-7B-v0.1')
    tok.add_tokens([AddedToken('<odd>', **{flag: True})])
    assert "its added token '<odd>'" in not_admitted(json.loads(spec_of(tok.backend_tokenizer)))

def test_differences_are_told_text_by_text():
    backend, fast, _ = pair('mistral')
    texts = [f'{i} words' for i in range(2000)]
    found = differing(backend, Wrong(fast), texts)
    assert 0<len(found)<=len(raw_ids(backend, texts).ids)//1000+1

@pytest.mark.parametrize('kind', ['segments', 'completion'])
def test_a_set_has_the_same_bytes_whichever_tokenizer_made_it(kind, tmp_path, monkeypatch):
    from segmask import preprocess, write_jsonl
    from segmask.core import masked, trained
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, 'PATIENCE', 100)
    if kind=='segments': write_jsonl([masked(f'<s>{i}+1=')+trained(f'{i+1}</s>') for i in range(3000)], 'rows.jsonl')
    else: (tmp_path/'rows.jsonl').write_text(''.join(json.dumps({'text': f'{i} and {i}'})+'\n' for i in range(3000)))
    name = 'input_output' if kind=='segments' else 'completion'
    (tmp_path/'c.yaml').write_text('base_model: mistralai/Mistral-7B-v0.1\nsequence_len: 64\n'
                                   f'datasets: [{{path: rows.jsonl, type: {name}}}]\n')
    def made(engine):
        p = preprocess('c.yaml', force=True, engine=engine)
        return p.path.name, {f.name: f.read_bytes() for f in sorted(p.path.iterdir()) if f.suffix in ('.arrow', '.parquet')}
    assert made('local')==made('raw')

def test_a_wrong_engine_in_preprocess_is_noticed_and_everything_encoded_again(tmp_path, monkeypatch, capsys):
    from segmask import preprocess, write_jsonl
    from segmask.core import masked, trained
    monkeypatch.chdir(tmp_path)
    write_jsonl([masked(f'<s>{i}+1=')+trained(f'{i+1}</s>') for i in range(30_000)], 'rows.jsonl')
    (tmp_path/'c.yaml').write_text('base_model: mistralai/Mistral-7B-v0.1\nsequence_len: 64\n'
                                   'datasets: [{path: rows.jsonl, type: input_output}]\n')
    real = preprocess('c.yaml', engine='raw')
    rows = real.dataset['input_ids'][:]
    load = gigatoken.Tokenizer.from_json
    monkeypatch.setattr(gigatoken.Tokenizer, 'from_json', lambda spec: Wrong(load(spec)))
    again = preprocess('c.yaml', force=True)
    assert 'made other tokens of a text' in capsys.readouterr().err
    assert again.dataset['input_ids'][:]==rows

def test_a_few_long_texts_are_worth_a_start_too():
    backend, _, _ = pair('mistral')
    engine = Fast(backend)
    texts = ['one word after another, '*2000]*40
    assert all(np.array_equal(a, b) for a,b in zip(engine(texts), raw_ids(backend, texts)))
