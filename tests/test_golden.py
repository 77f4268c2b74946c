"What axolotl 0.19 makes of a data set is what `preprocess` makes of it, id for id, in order, through YAML and JSONL files"
import json
from pathlib import Path

import pytest, yaml
from datasets import load_from_disk

from conftest import GOLDEN, golden_cases
from segmask.prepare import preprocess

cases = {k:v for k,v in golden_cases().items() if all(o['type']=='input_output' for o in v['datasets'])}

def config_of(case: dict, base_model: str, folder: Path) -> Path:
    "Write a golden case's data sets and config as files"
    datasets = []
    for i,ds in enumerate(case['datasets']):
        (folder/f'{i}.jsonl').write_text(''.join(json.dumps(o, ensure_ascii=False)+'\n' for o in ds['rows']))
        datasets.append(dict(path=f'{i}.jsonl', **{k:v for k,v in ds.items() if k!='rows'}))
    (folder/'training_config.yaml').write_text(yaml.safe_dump(dict(base_model=base_model, datasets=datasets, shuffle_merged_datasets=False, **case['config']), sort_keys=False))
    return folder/'training_config.yaml'

def test_there_are_cases(): assert len(cases)>=6

@pytest.mark.parametrize('name', cases)
def test_golden(name, base_models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = cases[name]
    p = preprocess(config_of(case, base_models[case['tokenizer']], tmp_path))
    ds = load_from_disk(str(p.path))
    for k,want in case['expected'].items(): assert [list(o) for o in ds[k]] == want, k
    assert all(set(o)=={1} for o in ds['attention_mask'])

def test_golden_files_are_the_originals():
    "Where the files that axolotl's output was first stored in are there, ours are the same"
    originals = Path(__file__).parents[2]/'shared'/'golden'
    if not originals.is_dir(): pytest.skip('the originals are not on this machine')
    for f in originals.glob('axolotl_*.json'): assert (GOLDEN/f.name).read_bytes() == f.read_bytes()
