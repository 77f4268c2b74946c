"The installed command in processes of its own: every kind of source, with and without torch, pipes, statuses, output for programs"
import gzip, json, os, shutil, subprocess, sys, time
from pathlib import Path

import pytest
import yaml

MISTRAL = 'mistralai/Mistral-7B-v0.1'
SEGMASK = shutil.which('segmask') or str(Path(sys.executable).parent/'segmask')
ROWS = [{'segments': [{'label': False, 'text': f'<s>Q: {i}+1?\nA:'}, {'label': True, 'text': f' {i+1}</s>'}]} for i in range(4)]
ALPACA = [{'instruction': f'{i}+1?', 'output': f'It is {i+1}.'} for i in range(4)]
NO_TORCH = '''
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0]=='torch': raise ModuleNotFoundError("No module named 'torch'", name='torch')
sys.meta_path.insert(0, Blocked())
import importlib.metadata as m, importlib.util as u
version, spec = m.version, u.find_spec
def hidden(name, *more):
    if name=='torch': raise m.PackageNotFoundError(name)
    return version(name, *more)
m.version, u.find_spec = hidden, lambda name, *more: None if name.split('.')[0]=='torch' else spec(name, *more)
'''

@pytest.fixture(scope='module')
def without_torch(tmp_path_factory) -> Path:
    "A folder for PYTHONPATH in whose processes torch is not installed"
    folder = tmp_path_factory.mktemp('no_torch')
    (folder/'sitecustomize.py').write_text(NO_TORCH)
    return folder

def run(*argv, cwd, status=0, env=None, path=None, **more):
    "Run the command; its status is checked, and no traceback is shown"
    here = [str(o) for o in (path, os.environ.get('PYTHONPATH')) if o]
    env = {**os.environ, 'HF_HUB_OFFLINE':'1', 'HF_DATASETS_CACHE':str(cwd/'cache'), 'PYTHONPATH':os.pathsep.join(here), **(env or {})}
    done = subprocess.run([SEGMASK, *argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, **more)
    assert done.returncode==status, (argv, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert 'Traceback' not in done.stderr and '\x1b' not in done.stdout+done.stderr, done.stderr
    return done

def write_arrow(path, rows):
    import pyarrow as pa
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), 'wb') as f, pa.ipc.new_stream(f, table.schema) as w: w.write_table(table)

def write_parquet(path, rows):
    import pyarrow as pa, pyarrow.parquet as pq
    pq.write_table(pa.Table.from_pylist(rows), path)

def write_zst(path, rows):
    import pyarrow as pa
    with pa.CompressedOutputStream(str(path), 'zstd') as f: f.write('\n'.join(map(json.dumps, rows)).encode())

def write_folder(path, rows):
    path.mkdir()
    (path/'train.jsonl').write_text('\n'.join(map(json.dumps, rows)))

SOURCES = { # name -> (writes it, its rows, its format)
    'a.jsonl':    (lambda p, rows: p.write_text('\n'.join(map(json.dumps, rows))), ROWS, 'input_output'),
    'a.json':     (lambda p, rows: p.write_text(json.dumps(rows)), ALPACA, 'alpaca'),
    'a.jsonl.gz': (lambda p, rows: p.write_bytes(gzip.compress('\n'.join(map(json.dumps, rows)).encode())), ROWS, 'input_output'),
    'a.jsonl.zst':(write_zst, ROWS, 'input_output'),
    'a.csv':      (lambda p, rows: p.write_text('instruction,output\n' + ''.join(f'{o["instruction"]},{o["output"]}\n' for o in rows)), ALPACA, 'alpaca'),
    'a.parquet':  (write_parquet, ROWS, 'input_output'),
    'a.arrow':    (write_arrow, ALPACA, 'alpaca'),
    'a.txt':      (lambda p, rows: p.write_text('\n'.join(o['instruction'] for o in rows)), ALPACA, 'completion'),
    'folder':     (write_folder, ALPACA, 'alpaca'),
}

def every_command(folder, name, kind, path=None):
    "preprocess, export, lint, show and convert on one source"
    keys = dict(base_model=MISTRAL, datasets=[dict(path=name, type=kind)], sequence_len=64)
    (folder/'c.yaml').write_text(yaml.safe_dump(keys))
    prepared = json.loads(run('preprocess', 'c.yaml', '--json', cwd=folder, path=path).stdout)
    assert prepared['totals']['stored']==4
    made = json.loads(run('export', 'c.yaml', '--json', cwd=folder, path=path).stdout)
    assert (folder/made['train']).exists()
    for target,more in ((name, ['--type', kind]), ('c.yaml', [])):
        found = json.loads(run('lint', target, *more, '--json', '--fail-on', 'never', cwd=folder, path=path).stdout)
        assert {'pad-is-eos'} <= {o['code'] for o in found['findings']} and not [o for o in found['findings'] if o['code']=='bad-row']
        table = json.loads(run('show', target, *more, '--json', cwd=folder, path=path).stdout)
        assert list(table[0])[:3]==['token', 'label', 'id']
    rows = run('convert', name, '--type', kind, '-o', '-', cwd=folder, path=path).stdout.splitlines()
    assert len(rows)==4 and all('segments' in json.loads(o) for o in rows)
    return table

@pytest.mark.parametrize('name', ['a.csv'])
def test_sources(name, tmp_path, without_torch):
    write, rows, kind = SOURCES[name]
    write(tmp_path/name, rows)
    tables = [every_command(tmp_path, name, kind, path) for path in (None, without_torch)]
    assert tables[0]==tables[1]

@pytest.mark.slow
@pytest.mark.parametrize('name', [o for o in SOURCES if o!='a.csv'])
def test_more_sources(name, tmp_path, without_torch): test_sources(name, tmp_path, without_torch)

def test_sources_in_one_process(tmp_path):
    "Every source through lint and show"
    for name,(write,rows,kind) in SOURCES.items():
        write(tmp_path/name, rows)
    script = 'import sys, json\nfrom segmask.cli import main\nfor name,kind in json.loads(sys.argv[1]):\n' \
             '    for command in ("show", "lint"): assert main([command, name, "--type", kind, "--quiet"])==0, name\n'
    env = {**os.environ, 'HF_HUB_OFFLINE':'1', 'HF_DATASETS_CACHE':str(tmp_path/'cache')}
    kinds = json.dumps([(k, v[2]) for k,v in SOURCES.items()])
    done = subprocess.run([sys.executable, '-c', script, kinds], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode==0, done.stderr[-2000:]

def test_names_on_the_hub(tmp_path):
    "A name that may be on the hub is looked up, and says so; one that cannot be is not"
    done = run('convert', 'someone/data', '--type', 'alpaca', cwd=tmp_path, status=2)
    assert 'asking the hub' in done.stderr and 'someone/data' in done.stderr
    start = time.perf_counter()
    for name in ('nope.jsonl', './nope', 'a/b/c', 'nope.csv.gz'):
        done = run('convert', name, '--type', 'alpaca', cwd=tmp_path, status=2, env={'HF_HUB_OFFLINE':'0'})
        assert 'there is no such file' in done.stderr and 'hub for a data set' not in done.stderr
    assert time.perf_counter()-start<40 # four times the start of Python; the hub's client alone retries for 25 s

@pytest.fixture
def folder(tmp_path):
    SOURCES['a.jsonl'][0](tmp_path/'a.jsonl', ROWS)
    (tmp_path/'c.yaml').write_text(f'base_model: {MISTRAL}\ndatasets:\n  - {{path: a.jsonl, type: input_output}}\nsequence_len: 64\n')
    return tmp_path

def test_standard_input_and_output(folder):
    text = (folder/'a.jsonl').read_text()
    found = run('lint', '-', '--details', '--fail-on', 'info', cwd=folder, input=text + '\nnot json', status=1)
    assert 'stdin:5: error: bad-row' in found.stdout and str(folder) not in found.stdout and 'segmask-' not in found.stdout
    assert json.loads(run('show', '-', '--row', '2', '--json', cwd=folder, input=text).stdout)[-1]['token']=='</s>'
    made = run('convert', '-', '--type', 'alpaca', '-o', '-', cwd=folder, input='\n'.join(map(json.dumps, ALPACA))).stdout
    assert json.loads(made.splitlines()[0])['segments'][-1]['label'] is True
    assert not (folder/'-').exists()

def test_a_reader_that_stops(folder):
    "`segmask show ... | head -1` is no error"
    rows = {'segments': [{'label': True, 'text': 'word '*30_000}]}
    (folder/'long.jsonl').write_text(json.dumps(rows))
    command = f'set -o pipefail; {SEGMASK} show long.jsonl 2>err | head -1'
    done = subprocess.run(['bash', '-c', command], cwd=folder, env={**os.environ, 'HF_HUB_OFFLINE':'1'}, capture_output=True, text=True)
    assert done.returncode==0 and 'pipe' not in (folder/'err').read_text().lower(), (folder/'err').read_text()

def test_statuses(folder):
    assert run('lint', 'a.jsonl', cwd=folder).stderr.count(MISTRAL)>0 # says whose tokenizer judges
    run('lint', 'a.jsonl', '--fail-on', 'info', cwd=folder, status=1)
    run('lint', 'a.jsonl', '--fail-on', 'no', cwd=folder, status=2)
    run('lint', 'b.jsonl', cwd=folder, status=2)
    run('preprocess', 'a.jsonl', cwd=folder, status=2)
    run('nothing', cwd=folder, status=2)
    (folder/'b.jsonl').write_text((folder/'a.jsonl').read_text().replace('0+1', '0+0'))
    found = json.loads(run('diff', 'a.jsonl', 'b.jsonl', '--base-model', MISTRAL, '--json', cwd=folder, status=1).stdout)
    assert not found['same'] and found['differences']==1
    run('diff', 'a.jsonl', 'a.jsonl', '--base-model', MISTRAL, cwd=folder)

def test_quiet_and_json(folder):
    for argv in (['preprocess', 'c.yaml'], ['lint', 'c.yaml'], ['show', 'c.yaml'], ['export', 'c.yaml'], ['convert', 'c.yaml', '-o', 'new.jsonl'],
                 ['config', 'check', 'c.yaml', '--fail-on', 'never'], ['config', 'diff', 'c.yaml', 'c.yaml']):
        done = run(*argv, '--json', '--quiet', cwd=folder)
        json.loads(done.stdout)
        assert done.stderr=='', argv

def test_findings_for_reviews(folder):
    (folder/'a.jsonl').write_text(json.dumps({'segments': [{'label': False, 'text': '<s>A:'}, {'label': True, 'text': ' 4'}, {'label': False, 'text': '</s>'}]}))
    log = json.loads(run('lint', 'a.jsonl', '--format', 'sarif', cwd=folder, status=1).stdout)
    result = next(o for o in log['runs'][0]['results'] if o['ruleId']=='eos-masked')
    assert result['locations'][0]['physicalLocation']==dict(artifactLocation=dict(uri='a.jsonl'), region=dict(startLine=1))
    notes = run('lint', 'a.jsonl', '--format', 'github', cwd=folder, status=1).stdout
    assert '::error file=a.jsonl,line=1,title=eos-masked::' in notes
    assert 'eos-masked' not in run('lint', 'a.jsonl', '--ignore', 'eos-masked', cwd=folder).stdout

def test_what_is_printed_reads_back(folder):
    done = run('convert', 'a.jsonl', '--type', 'input_output', '-o', 'x #1: y.jsonl', cwd=folder)
    text = done.stdout[done.stdout.index('datasets:'):]
    assert yaml.safe_load(text)['datasets'][0]['path']=='x #1: y.jsonl'

def test_terminal_commands_in_data_are_shown(folder):
    "Names of files and texts with control characters; `run` looks for them in all output"
    row = {'segments': [{'label': True, 'text': 'a\x1b[2Jb\u202ec'}], '\x1b[31m': 1}
    name = 'a\x1b[31m.jsonl'
    (folder/name).write_text(json.dumps(row) + '\n{"\x1b[2J": 1}\nno')
    run('lint', name, '--details', cwd=folder, status=1)
    run('lint', name, cwd=folder, status=1)
    run('show', name, cwd=folder), run('show', name, '--row', '-1', cwd=folder, status=2)
    run('show', 'b\x1b.jsonl', cwd=folder, status=2)
    (folder/'ok.jsonl').write_text(json.dumps(row))
    run('show', 'ok.jsonl', cwd=folder), run('show', 'ok.jsonl', '--debug', cwd=folder)
    run('config', 'set', 'c.yaml', 'seed=\x1b[2J', cwd=folder, status=2)

def test_start(tmp_path):
    "Help is there at once, and importing what the command needs for JSONL does not load torch"
    code = 'import sys\nfrom segmask.cli import main\ntry: main(["--help"])\nexcept SystemExit: pass\n' \
           'heavy = {"torch", "transformers", "datasets", "pandas", "numpy", "yaml", "pydantic"} & set(sys.modules)\nassert not heavy, heavy'
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, cwd=tmp_path)
    code = 'import sys\nfrom segmask.cli import main\nmain(["lint", "a.jsonl"])\nassert "torch" not in sys.modules and "datasets" not in sys.modules'
    SOURCES['a.jsonl'][0](tmp_path/'a.jsonl', ROWS)
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, cwd=tmp_path, env={**os.environ, 'HF_HUB_OFFLINE':'1'})
    assert run('--version', cwd=tmp_path).stdout.startswith('segmask ')

def test_completion(tmp_path):
    pytest.importorskip('shtab')
    script = tmp_path/'segmask.bash'
    script.write_text(run('completion', 'bash', cwd=tmp_path).stdout)
    (tmp_path/'rows.jsonl').touch()
    def completed(*words):
        code = f'source {script}; COMP_WORDS=(segmask {" ".join(words)}); COMP_CWORD={len(words)}; _shtab_segmask; echo "${{COMPREPLY[@]}}"'
        return subprocess.run(['bash', '-c', code], capture_output=True, text=True, cwd=tmp_path).stdout.split()
    assert completed('prep')==['preprocess'] and completed('lint', '--seq')==['--sequence-len']
    assert completed('lint', '--ignore', 'eos-m')==completed('audit', '--ignore', 'eos-m')==['eos-masked', 'eos-missing']
    assert completed('convert', '--chat-template', 'chat')==['chatml'] and completed('convert', '--type', 'share')==['sharegpt']
    assert completed('lint', 'ro')==completed('config', 'check', 'ro')==['rows.jsonl']
    for shell in ('zsh', 'tcsh'): assert 'eos-masked' in run('completion', shell, cwd=tmp_path).stdout

def test_mask(folder):
    "A rule changes the mask before rows are shown or looked at"
    table = json.loads(run('show', 'a.jsonl', '--mask', 'mask: 1', '--json', cwd=folder).stdout)
    assert [o['label'] for o in table][-2:]==[-100, 2]
    found = json.loads(run('lint', 'a.jsonl', '--mask', 'mask: .*', '--json', cwd=folder, status=1).stdout)
    assert 'nothing-trained' in {o['code'] for o in found['findings']} and found['findings'][0]['where']=='a.jsonl:1'
    run('show', 'a.jsonl', '--mask', 'mask: (', cwd=folder, status=2)
    run('lint', 'c.yaml', '--mask', 'mask: a', cwd=folder, status=2)

def test_several_files_and_own_checks(folder):
    "As a pre-commit hook calls them: all files at once"
    (folder/'b.jsonl').write_text((folder/'a.jsonl').read_text().replace('</s>', ''))
    shutil.copy(folder/'c.yaml', folder/'d.yaml')
    found = json.loads(run('lint', 'a.jsonl', 'b.jsonl', '--json', cwd=folder).stdout)['findings']
    assert {o['where'].split(':')[0] for o in found if o['code']=='eos-missing'}=={'b.jsonl'}
    assert {o['where'] for o in json.loads(run('config', 'check', 'c.yaml', 'd.yaml', '--json', cwd=folder, status=1).stdout)} >= {'c.yaml', 'd.yaml'}
    (folder/'mine.py').write_text('from segmask import check\n@check\ndef short(look): return len(look.ids)<99\n')
    out = run('lint', 'a.jsonl', '--checks', 'mine.py', '--code', 'short', '--fail-on', 'warning', cwd=folder, status=1).stdout
    assert 'short' in out and 'hint' not in out
    (folder/'mine.py').write_text('1/0')
    assert 'mine.py: ZeroDivisionError' in run('lint', 'a.jsonl', '--checks', 'mine.py', cwd=folder, status=2).stderr
