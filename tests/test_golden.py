"What axolotl 0.19 makes of a data set is what `preprocess` makes of it, id for id, in order, through YAML and JSONL files"
import copy, json
from pathlib import Path

import pytest, yaml
from datasets import load_from_disk

from conftest import GOLDEN, golden_cases
from segmask.prepare import preprocess

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
    (folder/'training_config.yaml').write_text(yaml.safe_dump(dict(base_model=base_model, datasets=datasets, shuffle_merged_datasets=False, **case['config']), sort_keys=False))
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

def test_golden_files_are_the_originals():
    "Where the files that axolotl's output was first stored in are there, ours are the same"
    originals = Path(__file__).parents[2]/'shared'/'golden'
    if not originals.is_dir(): pytest.skip('the originals are not on this machine')
    for f in originals.glob('axolotl_*.json'): assert (GOLDEN/f.name).read_bytes() == f.read_bytes()
