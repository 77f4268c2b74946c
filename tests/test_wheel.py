"The package as users get it: built, installed into an empty environment outside the checkout, and run"
import os, subprocess, sys, venv, zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
CODE = '''
import sys
from segmask import Encoder, debug_line, load_tokenizer, masked, trained, TrainingConfig, lint, preprocess, write_jsonl
s = trained('<s>Hello\\n') + trained('hi there!. ') + masked('goodbye ') + trained('farewell</s>')
enc = Encoder(load_tokenizer('mistralai/Mistral-7B-v0.1'))
print(enc(s).input_ids)
write_jsonl([s]*3, 'output.jsonl')
cfg = TrainingConfig(base_model='mistralai/Mistral-7B-v0.1', datasets=[dict(path='output.jsonl', type='input_output')], data_seed=1)
print([o.key for o in cfg.check() if o.severity=='info'], len(lint(cfg)), len(preprocess(cfg)))
assert 'torch' not in sys.modules and 'site-packages' in __import__('segmask').__file__, __import__('segmask').__file__
'''

def run(*argv, **kw):
    done = subprocess.run([str(o) for o in argv], capture_output=True, text=True, **kw)
    assert done.returncode==0, done.stdout+done.stderr
    return done.stdout

@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('dist')
    run(sys.executable, '-m', 'pip', 'wheel', '--quiet', '--disable-pip-version-check', '--no-deps', '--wheel-dir', out, HERE)
    return next(out.glob('*.whl'))

def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in n}
    files = (p for p in (HERE/'segmask').rglob('*') if p.is_file() and '__pycache__' not in p.parts)
    assert names=={p.relative_to(HERE).as_posix() for p in files}
    assert {'segmask/py.typed', 'segmask/config/keys.txt', 'segmask/config/axolotl_keys.json'} <= names
    meta = next(zipfile.ZipFile(wheel).read(n).decode() for n in zipfile.ZipFile(wheel).namelist() if n.endswith('METADATA'))
    assert 'Requires-Python: >=3.11' in meta and 'License-Expression: Apache-2.0' in meta and 'Requires-Dist: torch' not in meta.replace('Requires-Dist: torch>=2.6; extra', '')

def test_it_runs_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path/'env', with_pip=True)
    python = tmp_path/'env/bin/python'
    env = {k:v for k,v in os.environ.items() if k not in ('PYTHONPATH', 'VIRTUAL_ENV')} | {'HF_HUB_OFFLINE':'1', 'HF_HOME':str(tmp_path/'hf')}
    run(python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-c', HERE/'constraints.txt', wheel, cwd=tmp_path, env=env) # not beside the checkout, which pip would take for an installed one
    out = run(python, '-c', CODE, cwd=tmp_path, env=env).splitlines()
    assert out[0]=='[1, 22557, 13, 12014, 736, 28808, 28723, 28705, 1179, 17664, 28705, 19111, 5458, 2]'
    assert out[1].startswith("['data_seed']") and out[1].endswith(' 3')
    help = run(tmp_path/'env/bin/segmask', '--help', cwd=tmp_path, env=env)
    assert all(o in help for o in ('preprocess', 'lint', 'config'))
