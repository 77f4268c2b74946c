"The package as users get it: built, installed into an empty environment outside the checkout, and run"
import os, re, subprocess, sys, venv, zipfile
from pathlib import Path

import pytest
import yaml

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

@pytest.fixture(scope='module')
def env(wheel, tmp_path_factory) -> dict:
    "Variables of a shell in which the wheel is installed, and nothing of the checkout is seen"
    folder = tmp_path_factory.mktemp('env')
    venv.create(folder, with_pip=True)
    kept = {k:v for k,v in os.environ.items() if k not in ('PYTHONPATH', 'VIRTUAL_ENV')}
    made = {**kept, 'HF_HUB_OFFLINE':'1', 'HF_HOME':str(folder/'hf'), 'PATH':f'{folder}/bin{os.pathsep}{kept["PATH"]}',
            'PIP_CONSTRAINT':str(HERE/'constraints.txt'), 'PIP_DISABLE_PIP_VERSION_CHECK':'1'}
    run(folder/'bin/python', '-m', 'pip', 'install', '--quiet', wheel, cwd=folder, env=made) # not beside the checkout, which pip would take for an installed one
    return made

def shell(code, env, cwd, status=0):
    "A step, as a workflow of GitHub runs it"
    done = subprocess.run(['bash', '--noprofile', '--norc', '-eo', 'pipefail', '-c', code], env=env, cwd=cwd, capture_output=True, text=True)
    assert done.returncode==status, (code, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout

def test_it_runs_in_an_empty_environment(env, tmp_path):
    out = shell(f'python - <<"EOF"\n{CODE}\nEOF', env, tmp_path).splitlines()
    assert out[0]=='[1, 22557, 13, 12014, 736, 28808, 28723, 28705, 1179, 17664, 28705, 19111, 5458, 2]'
    assert out[1].startswith("['data_seed']") and out[1].endswith(' 3')
    help = shell('segmask --help', env, tmp_path)
    assert all(o in help for o in ('preprocess', 'lint', 'config'))

@pytest.fixture
def project(tmp_path):
    "A repository that trains on two files"
    row = '{"segments": [{"label": false, "text": "<s>%s+1?\\nA:"}, {"label": true, "text": " %s"}, {"label": %s, "text": "</s>"}]}\n'
    for name,label in (('good.jsonl', 'true'), ('bad.jsonl', 'false')):
        (tmp_path/name).write_text(''.join(row % (i, i+1, label) for i in range(3)))
    config = 'base_model: mistralai/Mistral-7B-v0.1\ndatasets:\n  - path: good.jsonl\n    type: input_output\nsequence_len: 64\n'
    config += 'learning_rate: 0.0002\nmicro_batch_size: 1\ngradient_accumulation_steps: 1\n'
    (tmp_path/'training_config.yaml').write_text(config)
    return tmp_path

def step(action, name, inputs, env, cwd, status=0):
    "One step of the action, its inputs filled in"
    found = next(o for o in action['runs']['steps'] if o['name']==name)
    values = {k: v['default'] for k,v in action['inputs'].items()} | inputs
    fill = lambda text: re.sub(r'\$\{\{ inputs\.([\w-]+) \}\}', lambda m: values[m[1]], text)
    more = {k: fill(v) for k,v in found.get('env', {}).items()}
    assert '${{' not in found['run'] # what somebody wrote is never a part of a script
    return shell(found['run'], {**env, **more, 'GITHUB_ACTION_PATH':str(HERE)}, cwd, status)

def test_the_action(env, project):
    action = yaml.safe_load((HERE/'action.yml').read_text())
    assert [o['name'] for o in action['runs']['steps']]==['Install', 'Lint', 'Compare with the lockfile']
    lint, compare = (lambda inputs={}, status=0, name=o: step(action, name, inputs, env, project, status) for o in ('Lint', 'Compare with the lockfile'))
    step(action, 'Install', {}, env, project)
    assert 'pad-is-eos' in lint()
    assert '::notice file=training_config.yaml::no lockfile' in compare()
    assert '::error file=bad.jsonl,line=1,title=eos-masked::' in lint({'path': 'good.jsonl bad.jsonl'}, 1)
    lint({'path': 'bad.jsonl', 'fail-on': 'never'})
    shell('segmask lock training_config.yaml', env, project)
    assert '3 rows, all as locked' in compare()
    (project/'good.jsonl').write_text((project/'good.jsonl').read_text().replace('" 2"', '" 3"'))
    out = compare(status=1)
    assert 'good.jsonl:2: other ids' in out and '::error file=good.jsonl,line=2,title=lock%2C other ids::not as locked' in out

def test_the_hooks(env, project):
    "As pre-commit calls them: the entry, its arguments, then all files whose names match"
    hooks = {o['id']: o for o in yaml.safe_load((HERE/'.pre-commit-hooks.yaml').read_text())}
    def call(id, status=0):
        hook = hooks[id]
        files = sorted(p.name for p in project.iterdir() if re.search(hook['files'], p.name))
        assert files
        given = [*hook.get('args', []), *(files if hook.get('pass_filenames', True) else [])]
        return files, shell(f'{hook["entry"]} {" ".join(given)}', env, project, status)
    files, out = call('segmask-lint', 1)
    assert len(files)==2 and 'eos-masked' in out
    assert call('segmask-config-check')[0]==['training_config.yaml']
    call('segmask-lock', 2) # there is no lockfile yet
    shell('segmask lock training_config.yaml', env, project)
    assert '3 rows, all as locked' in call('segmask-lock')[1]
    (project/'good.jsonl').write_text((project/'good.jsonl').read_text().replace('" 2"', '" 3"'))
    assert 'good.jsonl:2: other ids' in call('segmask-lock', 1)[1]
    assert set(hooks)=={'segmask-lint', 'segmask-config-check', 'segmask-lock'}

def test_the_guide_for_assistants(env, wheel, tmp_path):
    "Its blocks, to the letter, in an empty folder"
    blocks = re.findall(r'^```(sh|python)\n(.*?)^```$', (HERE/'AGENTS.md').read_text(), re.M|re.S)
    out = [shell(code if kind=='sh' else f'python - <<"EOF"\n{code}\nEOF', {**env, 'SEGMASK':str(wheel)}, tmp_path) for kind,code in blocks]
    assert 'eos-masked' in out[2] and 'status 1' in out[2] and (tmp_path/'more.jsonl').exists()
    assert 'Prepared data' in out[4] and '2 rows, all as locked' in out[5]
    assert "['pad-is-eos', 'bos-at-inference']" in out[6]

def test_actions_are_pinned():
    files = [*(HERE/'.github/workflows').glob('*.yml'), HERE/'action.yml']
    used = [o for f in files for o in re.findall(r'uses: (\S+)', f.read_text())]
    assert used and all(re.fullmatch(r'[\w./-]+@v\d+(\.\d+)*', o) for o in used)
