"Whatever goes wrong while data is prepared, there is the whole old result, the whole new one, or none, and the next run needs no help"
import json, multiprocessing, os, random, resource, shutil, signal, subprocess, sys, time
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='kills processes as POSIX systems do')

ROWS, PREPARED = 120, 'last_run_prepared'
PHASES = 'reading', 'writing', 'reporting', 'renaming'
CONFIG = dict(base_model='mistralai/Mistral-7B-v0.1', datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=120, seed=3)

def write_rows(path: Path, n: int=ROWS):
    rng = random.Random(0)
    row = lambda i: {'segments': [{'label':False, 'text':f'<s>Row {i}: '}, {'label':i%9!=0, 'text':' '.join(map(str, range(rng.randint(1, 50))))+'</s>'}]}
    path.write_text('\n'.join(json.dumps(row(i)) for i in range(n)))

def prepared_rows(folder: Path) -> list:
    from datasets import load_from_disk
    return load_from_disk(str(folder)).to_list()

def slowly(phase, pause: float):
    "Make every phase of `preprocess` last, and tell when it begins"
    from segmask.data import encoding, prepare, store
    def tell_first(module, name, what):
        f = getattr(module, name)
        def g(*args, **kw):
            phase(what)
            time.sleep(pause)
            out = f(*args, **kw)
            time.sleep(pause)
            return out
        setattr(module, name, g)
    batches, by_tokens = encoding.batches, store._by_tokens
    encoding.batches = lambda rows, size: batches(rows, size, most=20)
    store._by_tokens = lambda lens: by_tokens(lens, 500)
    tell_first(prepare, 'read_all', 'reading')
    tell_first(prepare, 'write_dataset', 'writing')
    tell_first(store, '_write_report', 'reporting')
    tell_first(prepare, 'write_manifest', 'reporting')
    tell_first(store, '_put', 'renaming')
    tell_first(store, '_exchange', 'renaming')
    add, gather = store.Spool.add, store.Spooled.gather
    def slow_add(self, *args): time.sleep(pause/4); return add(self, *args)
    def slow_gather(self, *args): time.sleep(pause/8); return gather(self, *args)
    store.Spool.add, store.Spooled.gather = slow_add, slow_gather

def child(folder: str, pipe, pause: float, one_call: bool):
    "Prepare, slowly, and tell each phase through the pipe"
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    from segmask import preprocess
    from segmask.data import store
    if not one_call: store._exchange = lambda a, b: False # as on a system without that call: two renames, and a moment without either
    slowly(pipe.send, pause)
    rename = os.rename
    def slow_rename(a, b): time.sleep(pause); rename(a, b); time.sleep(pause)
    os.rename = slow_rename
    preprocess(CONFIG, force=True)
    pipe.send('done')

@pytest.fixture(scope='module')
def ctx():
    "New processes are forked from one that has everything imported"
    ctx = multiprocessing.get_context('forkserver')
    ctx.set_forkserver_preload(['segmask.data.prepare', 'transformers', 'tokenizers', 'pyarrow.parquet', 'filelock', 'xxhash'])
    return ctx

@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path/'rows.jsonl')
    return tmp_path

def check(place: Path, before: list|None, want: list) -> str:
    "The state after a fault, and that the next run mends all; 'old', 'new' or 'none'"
    from segmask import preprocess
    from segmask.data.store import broken
    found = sorted((place/PREPARED).iterdir()) if (place/PREPARED).exists() else []
    assert len(found)<=1, 'something else lies beside the prepared set'
    for o in found:
        assert broken(o) is None
        assert prepared_rows(o)==want
    state = 'none' if not found else 'old' if before and found[0].stat().st_ino==before else 'new'
    p = preprocess(CONFIG)
    assert prepared_rows(p.path)==want
    assert not found or p.path.stat().st_ino==found[0].stat().st_ino, 'a whole result was made again'
    again = preprocess(CONFIG, force=True)
    assert prepared_rows(again.path)==want
    assert sorted(o.name for o in place.iterdir())==[PREPARED, 'rows.jsonl'], 'something was left behind'
    return state

def kill_in(ctx, place: Path, want_phase: str, rng, old: bool, one_call: bool, pause: float=.02) -> tuple[str, str]:
    "Kill a run some time after a phase began; (the phase it was in, what was there afterwards)"
    from segmask import preprocess
    shutil.rmtree(place/PREPARED, ignore_errors=True)
    want = prepared_rows(preprocess(CONFIG).path)
    before = next((place/PREPARED).iterdir()).stat().st_ino if old else None
    if not old: shutil.rmtree(place/PREPARED)
    here, there = ctx.Pipe()
    p = ctx.Process(target=child, args=(str(place), there, pause, one_call))
    p.start()
    there.close()
    phase = 'start'
    while phase!=want_phase:
        assert here.poll(120), f'no {want_phase} within two minutes'
        phase = here.recv()
    time.sleep(rng.random()*pause*5)
    os.kill(p.pid, signal.SIGKILL)
    p.join()
    try:
        while here.poll(): phase = here.recv() # what it said before it died
    except EOFError: pass
    assert p.exitcode==-signal.SIGKILL or phase=='done'
    return phase, check(place, before, want)

def kill_many(ctx, place, n, record):
    rng, seen = random.Random(0), []
    for i in range(n):
        old, one_call = i//len(PHASES)%2==0, i%3>0
        seen.append((*kill_in(ctx, place, PHASES[i%len(PHASES)], rng, old, one_call), 'old there' if old else 'none there'))
    counts = Counter(seen)
    for k,v in sorted(counts.items()): record(f'killed while {k[0]} ({k[2]}): {k[1]} afterwards, {v} times')
    return Counter(o[0] for o in seen), seen

def test_killed(ctx, place, record_property):
    phases, seen = kill_many(ctx, place, 4, lambda line: record_property('kill', line))
    assert len(seen)==4 and sum(phases[o] for o in PHASES)>=3

@pytest.mark.slow
def test_killed_at_fifty_moments(ctx, place, capsys):
    lines = []
    phases, seen = kill_many(ctx, place, 56, lines.append)
    with capsys.disabled(): print('', *lines, dict(phases), sep='\n')
    assert sum(phases[o] for o in PHASES)>=50
    assert all(phases[o]>=5 for o in PHASES)
    assert {'old', 'new', 'none'} >= {o[1] for o in seen}

# --- a full disk --------------------------------------------------------------------------------------------------

def run(code: str, cwd: Path, **kw) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-c', code], cwd=cwd, capture_output=True, text=True, timeout=300, **kw)

COMMAND = 'import sys; from segmask.cli import main; sys.exit(main(["preprocess", "c.yaml"]))'

@pytest.fixture
def small_disk(tmp_path):
    "A file system of 3 MB"
    disk = tmp_path/'disk'
    disk.mkdir()
    if os.geteuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', str(disk)], capture_output=True).returncode: pytest.skip('may not mount a small tmpfs here')
    yield disk
    subprocess.run(['umount', '-l', str(disk)], check=True)

def fill(path: Path, leave: int):
    "Fill a file system but for about `leave` bytes"
    s = os.statvfs(path.parent)
    path.write_bytes(bytes(max(0, s.f_bavail*s.f_frsize-leave)))

@pytest.mark.parametrize('leave', [200_000, 900_000, 1_400_000], ids=['spool', 'rows', 'report'])
def test_disk_full(small_disk, tmp_path, leave):
    import yaml
    write_rows(tmp_path/'rows.jsonl', 800)
    write_rows(tmp_path/'few.jsonl', 20)
    cfg = {**CONFIG, 'dataset_prepared_path':str(small_disk/PREPARED)}
    config = lambda file, seed=3: (tmp_path/'c.yaml').write_text(yaml.safe_dump({**cfg, 'seed':seed, 'datasets':[dict(path=file, type='input_output')]}))
    config('few.jsonl')
    assert run(COMMAND, tmp_path).returncode==0
    kept = sorted((small_disk/PREPARED).iterdir())
    rows = prepared_rows(kept[0])
    fill(small_disk/'filler', leave)
    config('rows.jsonl')
    full = run(COMMAND, tmp_path)
    if full.returncode: assert full.returncode==2 and 'no space left' in full.stderr and 'Free some space' in full.stderr and 'Traceback' not in full.stderr, full.stderr
    else: assert leave==1_400_000 # it just fitted
    if leave<1_000_000: assert full.returncode
    from segmask.data.store import broken
    assert all(broken(o) is None for o in (small_disk/PREPARED).iterdir())
    assert prepared_rows(kept[0])==rows
    (small_disk/'filler').unlink()
    assert run(COMMAND, tmp_path).returncode==0
    assert sorted(o.name for o in small_disk.iterdir())==[PREPARED] and len(list((small_disk/PREPARED).iterdir()))==2

@pytest.mark.parametrize('limit', [4_000, 40_000, 150_000])
def test_file_too_large(place, limit):
    "The same where nothing may be mounted: the system refuses to let a file grow"
    import yaml
    write_rows(place/'rows.jsonl', 800)
    (place/'c.yaml').write_text(yaml.safe_dump(CONFIG))
    full = run(COMMAND, place, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert full.returncode==2 and 'cannot be written further' in full.stderr and 'Traceback' not in full.stderr, full.stderr
    assert not list((place/PREPARED).iterdir()) and sorted(o.name for o in place.iterdir())==['c.yaml', PREPARED, 'rows.jsonl']
    assert run(COMMAND, place).returncode==0

# --- two at once, and damage --------------------------------------------------------------------------------------

def at_once(folder: str, start, force: bool, pipe):
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    from segmask import preprocess
    start.wait()
    try: pipe.send(len(preprocess(CONFIG, force=force)))
    except BaseException as e: pipe.send(repr(e))

@pytest.mark.parametrize('force', [False, True])
def test_two_at_once(ctx, place, force):
    from segmask import preprocess
    want = prepared_rows(preprocess(CONFIG).path)
    for i in range(4):
        if i%2: shutil.rmtree(place/PREPARED)
        start, pipes = ctx.Event(), [ctx.Pipe() for _ in range(3)]
        ps = [ctx.Process(target=at_once, args=(str(place), start, force, there)) for _,there in pipes]
        for p in ps: p.start()
        start.set()
        assert [here.recv() for here,_ in pipes]==[len(want)]*3
        for p in ps: p.join()
        assert prepared_rows(preprocess(CONFIG).path)==want
        assert sorted(o.name for o in place.iterdir())==[PREPARED, 'rows.jsonl']

def test_damage_is_noticed(place, capsys):
    from segmask import preprocess
    p = preprocess(CONFIG)
    want, rng = prepared_rows(p.path), random.Random(0)
    for name in sorted(o.name for o in p.path.iterdir()):
        for what in ('a bit', 'another', 'a third', 'the end', 'everything'):
            file, data = p.path/name, (p.path/name).read_bytes()
            if what in ('a bit', 'another', 'a third'):
                at = rng.randrange(len(data))
                file.write_bytes(data[:at] + bytes([data[at]^1]) + data[at+1:])
            elif what=='the end': file.write_bytes(data[:-1])
            else: file.unlink()
            capsys.readouterr()
            q = preprocess(CONFIG)
            assert 'is broken' in capsys.readouterr().err, (name, what)
            assert q.path==p.path and prepared_rows(q.path)==want
    preprocess(CONFIG)
    assert 'found' in capsys.readouterr().err

def test_found_again_in_under_a_second(place, capsys):
    from segmask import preprocess
    preprocess(CONFIG)
    capsys.readouterr()
    a = time.process_time()
    preprocess(CONFIG)
    assert time.process_time()-a<1
    assert capsys.readouterr().err.count('\n')==1
