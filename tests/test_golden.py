"What axolotl 0.19 makes of a data set is what `preprocess` makes of it, id for id, in order, through YAML and JSONL files"
import copy, gzip, json
from pathlib import Path

import pytest, yaml
from datasets import load_from_disk

from goldens import GOLDEN, golden_cases
from segmask.core import SegmentError
from segmask.data.prepare import preprocess
from segmask.tokens.tokenizer import load_tokenizer

cases = golden_cases()

# Where axolotl contradicts its own documentation we do as it says: its turn finder passes over a leading system turn when
# the tokenizer's path has "mistral" in it. (case -> labels that are trained with us: row, position -> token)
deliberate = {
    'mistral-v1/chatml_train_on_inputs': {(0, i): t for i,t in enumerate([1976, 460, 3636, 331, 28723, 32000], 3)}, # 'You are terse.' and its end
    'mistral-v1/chatml_train_on_eos_all': {(0, 8): 32000},                                                          # its end
}

def config_of(case: dict, base_model: str, folder: Path) -> Path:
    "Write a golden case's data sets and config as files"
    datasets = []
    for i,ds in enumerate(case['datasets']):
        (folder/f'{i}.jsonl').write_text(''.join(json.dumps(o, ensure_ascii=False)+'\n' for o in ds['rows']))
        datasets.append(dict(path=f'{i}.jsonl', **{k:v for k,v in ds.items() if k!='rows'}))
    config = dict(base_model=base_model, datasets=datasets, shuffle_merged_datasets=False, sequence_len=2048)
    (folder/'training_config.yaml').write_text(yaml.safe_dump({**config, **case['config']}, sort_keys=False))
    return folder/'training_config.yaml'

def test_there_are_cases(): assert len(cases)==36

@pytest.mark.parametrize('name', cases)
def test_golden(name, base_models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = cases[name]
    p = preprocess(config_of(case, base_models[case['tokenizer']], tmp_path))
    ds, want = load_from_disk(str(p.path)), copy.deepcopy(case['expected'])
    for (row,i),token in deliberate.get(name, {}).items():
        assert want['labels'][row][i]==-100 and want['input_ids'][row][i]==token
        want['labels'][row][i] = token
    for k in want: assert [list(o) for o in ds[k]] == want[k], k
    assert all(set(o)=={1} for o in ds['attention_mask'])

# more of the same: what axolotl 0.19 prepared of 138 configs that were not among the first ones
more = json.loads(gzip.decompress((GOLDEN/'more.json.gz').read_bytes()))
deliberate['mistral/chat_chatml_all'] = deliberate['mistral/chatml_toi'] = None # a leading system turn, as above

def prepared(case: dict, base_models: dict, folder: Path) -> dict:
    "input_ids and labels that we make of a case"
    p = preprocess(config_of(case, base_models[case['tokenizer']], folder))
    return {k: [list(o) for o in p.train[k]] for k in ('input_ids', 'labels')} | ({'eval': [list(o) for o in p.eval['input_ids']]} if p.eval is not None else {})

@pytest.mark.parametrize('name', [pytest.param(k, marks=() if k.startswith('mistral') else pytest.mark.slow) for k in more])
def test_more(name, base_models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = more[name]
    got, want = prepared(case, base_models, tmp_path), dict(case['expected'], **({'eval':case['eval']['input_ids']} if 'eval' in case else {}))
    if name in deliberate: # everything is equal but the system turn, which we train
        for a,b in zip(got.pop('labels'), want.pop('labels')):
            first = next((i for i,l in enumerate(b) if l!=-100), len(b))
            assert a[first:]==b[first:] and all(l==-100 for l in b[:first])
    assert got == want

different = json.loads((GOLDEN/'differences.json').read_text())

def test_a_long_prompt_with_an_empty_answer_is_too_long(base_models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = different['mistral/long prompt, empty answer']
    assert [len(o) for o in case['expected']['input_ids']] == [8, 3] # axolotl cuts the prompt and keeps it, with nothing to train on
    p = preprocess(config_of(case, base_models[case['tokenizer']], tmp_path))
    assert [len(o) for o in p.train['input_ids']] == [3]
    assert p.report.rows.status.tolist() == ['too long', 'too long']

def test_parts_are_trained_where_they_are(base_models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = different['mistral/parts that tokenize otherwise alone']
    got, tok = prepared(case, base_models, tmp_path), load_tokenizer('mistralai/Mistral-7B-v0.1', **{k:case['config'][k] for k in ('special_tokens', 'tokens')})
    words = lambda labels: [tok.convert_ids_to_tokens(l) for l in labels[0] if l!=-100]
    assert got['input_ids'] == case['expected']['input_ids']
    assert words(case['expected']['labels']) == ['4', '▁it', '<|im_end|>'] # only '4' was to be trained
    assert words(got['labels']) == ['4', '<|im_end|>']

def test_what_the_template_reads_is_handed_to_it(base_models, tmp_path, monkeypatch):
    "axolotl looks for what a template reads in loops over a variable called `message` only"
    monkeypatch.chdir(tmp_path)
    a, b = (different[f'gpt2/reasoning, loop variable {o}'] for o in ('m', 'message'))
    assert len(a['expected']['input_ids'][0]) < len(b['expected']['input_ids'][0])
    assert prepared(a, base_models, tmp_path) == prepared(b, base_models, tmp_path) == b['expected']

def test_a_null_is_no_text(base_models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = different['gpt2/nulls']
    assert len(case['expected']['input_ids']) == 2 # axolotl writes None into the prompt
    with pytest.raises(SegmentError, match='0.jsonl:1: instruction: is null'): prepared(case, base_models, tmp_path)

def test_train_on_inputs_of_one_data_set_is_not_read(base_models, tmp_path, monkeypatch):
    "It is a key of the whole config, in axolotl as here"
    monkeypatch.chdir(tmp_path)
    case = different['gpt2/ds train_on_inputs']
    assert prepared(case, base_models, tmp_path) == case['expected']

def test_golden_files_are_the_originals():
    "Where the files that axolotl's output was first stored in are there, ours are the same"
    originals = Path(__file__).parents[2]/'shared'/'golden'
    if not originals.is_dir(): pytest.skip('the originals are not on this machine')
    for f in originals.glob('axolotl_*.json'): assert (GOLDEN/f.name).read_bytes() == f.read_bytes()
