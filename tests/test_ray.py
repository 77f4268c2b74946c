"On a cluster, here of two workers on one machine: the rows of the local engine, also when a worker dies"
import json, os, random, signal, socket, subprocess, sys, threading, time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from ray_cluster import ROOT, RayCluster, ray_cluster # before ray: it sets what ray reads
import ray

from segmask import preprocess

MODEL = 'mistralai/Mistral-7B-v0.1'

@contextmanager
def driving(cluster: RayCluster):
    "This process as its driver"
    ray.init(address=cluster.address, log_to_driver=False, logging_level='ERROR')
    try: yield cluster
    finally: ray.shutdown()

@pytest.fixture(scope='module')
def cluster():
    with ray_cluster(2) as made: yield made

@pytest.fixture
def driver(cluster):
    with driving(cluster): yield cluster

def row(i, rng): return {'segments': [{'label':False, 'text':f'<s>Row {i}: '}, {'label':i%9!=0, 'text':' '.join(map(str, range(rng.randint(0, 60))))+'</s>'}]}

@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)
    rows = [row(i, rng) for i in range(3000)] + [row(i, random.Random(i)) for i in range(200)]*2
    Path('rows.jsonl').write_text('\n\n'.join(map(json.dumps, rows))) # blank lines count
    return tmp_path

UNITS = 15 # of 40,000 bytes of rows.jsonl

def both(monkeypatch, **cfg):
    "The same config here and on Ray, in small units and shards"
    from functools import partial
    from segmask.data import cluster, prepare
    monkeypatch.setattr(prepare, 'on_ray', partial(cluster.on_ray, shard_tokens=40_000, unit=40_000))
    cfg = {'base_model':MODEL, **cfg}
    a = preprocess({**cfg, 'dataset_prepared_path':'here'})
    b = preprocess({**cfg, 'dataset_prepared_path':'there'}, engine='ray')
    return a, b

def same(a, b):
    assert a.path.name==b.path.name and a.report.totals==b.report.totals
    assert a.report.rows.equals(b.report.rows)
    assert a.dataset.to_list()==b.dataset.to_list() # in the same order
    assert a.sizes.to_pylist()==b.sizes.to_pylist()
    assert (len(a.train), a.eval and len(a.eval))==(len(b.train), b.eval and len(b.eval))

def test_the_same_rows(driver, place, monkeypatch):
    a, b = both(monkeypatch, datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=150, excess_length_strategy='truncate', dataset_exact_deduplication=True, val_set_size=.1)
    same(a, b)
    assert len(json.loads((b.path/'state.json').read_text())['_data_files'])>3
    assert b.row(len(b)-1)==a.row(len(a)-1)
    from datasets import load_dataset
    files = [str(b.path/o['filename']) for o in json.loads((b.path/'state.json').read_text())['_data_files']]
    assert load_dataset('arrow', data_files=files, split='train', cache_dir='cache').to_list()==a.dataset.to_list()

@pytest.mark.slow
def test_sharded_parquet_and_completions(driver, place, monkeypatch):
    from datasets import Dataset
    Path('parts').mkdir()
    for i in range(4): Dataset.from_list([dict(text=f'part {i}, row {k}. '*(k%40)) for k in range(50)]).to_parquet(f'parts/{i}.parquet')
    a, b = both(monkeypatch, datasets=[dict(path='parts', type='completion'), dict(path='rows.jsonl', type='input_output')], sequence_len=64)
    assert a.report.totals['empty']>0
    same(a, b)

# --- what dies --------------------------------------------------------------------------------------------------------

def workers(cluster: RayCluster, *tasks: str) -> list[int]:
    "Those that are at such a task at the moment"
    found = []
    for p in psutil.Process(cluster.process.pid).children(recursive=True):
        with suppress(psutil.Error, IndexError): # it has just ended
            if p.cmdline()[0].startswith(tasks): found.append(p.pid)
    return found

def slowly(monkeypatch, seconds: float):
    "So that there is time to kill"
    from segmask.data import cluster
    original = cluster.encode_into
    def slow(*args):
        import time
        time.sleep(seconds)
        return original(*args)
    monkeypatch.setattr(cluster, 'encode_into', slow)

def once(there, act) -> threading.Thread:
    "Do something as soon as something is there"
    def wait():
        for _ in range(1200):
            if found := there(): return act(found)
            time.sleep(.05)
    thread = threading.Thread(target=wait)
    thread.start()
    return thread

def until(there, seconds: float=60):
    for _ in range(int(seconds/.1)):
        if found := there(): return found
        time.sleep(.1)
    raise AssertionError(f'not within {seconds} s')

@pytest.mark.slow
def test_a_worker_is_killed(driver, place, monkeypatch):
    killed = []
    def kill(pids):
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])
    slowly(monkeypatch, .3)
    thread = once(lambda: workers(driver, 'ray::encode'), kill)
    a, b = both(monkeypatch, datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=150)
    thread.join()
    assert len(killed)==1
    same(a, b)

@pytest.mark.slow
def test_a_node_is_killed(place, monkeypatch):
    "Of two, with what it had encoded and what it was encoding"
    busy = []
    alive = lambda: sum(o['Alive'] for o in ray.nodes())
    with ray_cluster(1, 1) as cluster, driving(cluster):
        assert alive()==2
        def kill(pids):
            cluster.remove_node()
            busy.extend(pids)
        slowly(monkeypatch, .3)
        thread = once(lambda: len(found := workers(cluster, 'ray::encode'))==2 and found, kill)
        a, b = both(monkeypatch, datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=150)
        thread.join()
        assert len(busy)==2
        until(lambda: alive()==1)
    same(a, b)

# --- a driver that is killed finds what was done --------------------------------------------------------------------

DRIVER = """
import json, os, sys, time
from functools import partial
import ray_cluster, ray
from segmask import preprocess
from segmask.data import cluster, prepare
address, log, config = sys.argv[1], os.path.abspath('log'), json.loads(sys.argv[2])
def note(what, seconds=.5):
    with open(log, 'a') as f: f.write(what+'\\n')
    time.sleep(seconds)
encode_into, write_shard = cluster.encode_into, cluster.write_shard
def encode(folder, encodings, n, *args):
    if not list(folder.glob(f'{n:06}-*.arrow')): note('unit')
    return encode_into(folder, encodings, n, *args)
def write(*args):
    note('shard')
    return write_shard(*args)
cluster.encode_into, cluster.write_shard = encode, write
prepare.on_ray = partial(cluster.on_ray, shard_tokens=40_000, unit=40_000)
preprocess(config, engine='ray', ray_address=address)
"""

def drive(cluster: RayCluster, config: dict) -> subprocess.Popen:
    env = {**os.environ, 'PYTHONPATH':os.pathsep.join([ROOT, str(Path(__file__).parent)])}
    return subprocess.Popen([sys.executable, '-c', DRIVER, cluster.address, json.dumps(config)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

@pytest.mark.slow
@pytest.mark.parametrize('finished', ['units/*.arrow', 'shards-*/data-*.arrow'])
def test_a_killed_driver_finds_what_was_finished(cluster, place, finished):
    cfg = dict(base_model=MODEL, datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=150)
    done = lambda: sorted(o.name for o in place.glob(f'there/.*/{finished}'))
    config = {**cfg, 'dataset_prepared_path':'there'}
    driver = drive(cluster, config)
    until(lambda: len(done())>=3)
    driver.kill()
    driver.communicate()
    until(lambda: not workers(cluster, 'ray::encode', 'ray::write'))
    found, first = done(), (place/'log').read_text().split()
    (place/'log').unlink()
    driver = drive(cluster, config)
    said = driver.communicate(timeout=120)[1]
    assert driver.returncode==0, said
    log = (place/'log').read_text().split()
    a, b = preprocess({**cfg, 'dataset_prepared_path':'here'}), preprocess(config) # which is there already
    same(a, b)
    shards = len(list(b.path.glob('data-*.arrow')))
    if finished.startswith('units'):
        assert 3<=len(found)<=first.count('unit') and log.count('shard')==shards>3
        assert log.count('unit')+len(found)==UNITS
    else: assert log==['shard']*(shards-len(found)) and first.count('unit')==UNITS and 3<=len(found)<shards
    assert [o.name for o in place.glob('there/*')]==[b.path.name]

# --- nobody answers -----------------------------------------------------------------------------------------------

REFUSED = """
import json, sys, time, ray
from segmask.data.cluster import connect
for address in sys.argv[1:]:
    start = time.time()
    try: connect(address)
    except ValueError as e: print(json.dumps([str(e), time.time()-start]))
"""

def refusals(*addresses: str, **more: str) -> list[tuple[str, float]]:
    "What `connect` says of each, and after how many seconds"
    env = {**os.environ, **more, 'PYTHONPATH':os.pathsep.join([ROOT, os.environ.get('PYTHONPATH', '')])}
    said = subprocess.run([sys.executable, '-c', REFUSED, *addresses], env=env, capture_output=True, text=True).stdout
    return list(map(json.loads, said.splitlines()))

def test_who_does_not_answer_is_told_soon():
    whats = 'does not answer within 8 seconds', 'does not answer', 'is no address'
    with socket.create_server(('127.0.0.1', 0)) as silent:
        found = refusals(f'127.0.0.1:{silent.getsockname()[1]}', '127.0.0.1:9', 'nonsense')
    for (said, seconds), what in zip(found, whats, strict=True):
        assert what in said and 'name another with ray_address' in said and seconds<20, (said, seconds)

@pytest.mark.slow
def test_a_cluster_that_has_died_is_told_soon(tmp_path):
    "By its address, and by the file in which Ray keeps the address of the last one"
    (tmp_path/'ray').mkdir()
    with ray_cluster(1) as cluster:
        kept = (Path(cluster.folder)/'ray'/'ray_current_cluster').read_text()
        assert kept==cluster.address
        cluster.stop(kill=True)
    (tmp_path/'ray'/'ray_current_cluster').write_text(kept)
    for (said, seconds), whence in zip(refusals(kept, 'auto', RAY_TMPDIR=str(tmp_path)), ('ray_address', 'ray_current_cluster'), strict=True):
        print(f'{seconds:.1f} s: {said}')
        assert f'the Ray cluster {kept!r}' in said and whence in said and 'does not answer' in said and 'name another with ray_address' in said and seconds<20, (said, seconds)
