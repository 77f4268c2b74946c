"On a cluster, here of two workers on one machine: the rows of the local engine, also when a worker dies"
import json, os, random, signal, socket, subprocess, sys, threading, time
from pathlib import Path

import pytest

os.environ.setdefault('RAY_raylet_start_wait_time_s', '600') # read when ray is imported; a busy machine takes its time
ray = pytest.importorskip('ray', reason='Ray is not installed (pip install segmask[ray])')

from segmask import preprocess

MODEL, ROOT = 'mistralai/Mistral-7B-v0.1', str(Path(__file__).parents[1])

@pytest.fixture(scope='module')
def cluster():
    "Workers inherit what the environment is now"
    os.environ.update(PYTHONPATH=os.pathsep.join([ROOT, os.environ.get('PYTHONPATH', '')]), RAY_USAGE_STATS_ENABLED='0')
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level='ERROR', object_store_memory=128<<20)
    yield
    ray.shutdown()

def row(i, rng): return {'segments': [{'label':False, 'text':f'<s>Row {i}: '}, {'label':i%9!=0, 'text':' '.join(map(str, range(rng.randint(0, 60))))+'</s>'}]}

@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)
    rows = [row(i, rng) for i in range(3000)] + [row(i, random.Random(i)) for i in range(200)]*2
    Path('rows.jsonl').write_text('\n\n'.join(map(json.dumps, rows))) # blank lines count
    return tmp_path

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

@pytest.mark.slow # on a busy machine Ray's own agents miss their 15 seconds
def test_the_same_rows(cluster, place, monkeypatch):
    a, b = both(monkeypatch, datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=150, excess_length_strategy='truncate', dataset_exact_deduplication=True, val_set_size=.1)
    same(a, b)
    assert len(json.loads((b.path/'state.json').read_text())['_data_files'])>3
    assert b.row(len(b)-1)==a.row(len(a)-1)
    from datasets import load_dataset
    files = [str(b.path/o['filename']) for o in json.loads((b.path/'state.json').read_text())['_data_files']]
    assert load_dataset('arrow', data_files=files, split='train', cache_dir='cache').to_list()==a.dataset.to_list()

@pytest.mark.slow
def test_sharded_parquet_and_completions(cluster, place, monkeypatch):
    from datasets import Dataset
    Path('parts').mkdir()
    for i in range(4): Dataset.from_list([dict(text=f'part {i}, row {k}. '*(k%40)) for k in range(50)]).to_parquet(f'parts/{i}.parquet')
    a, b = both(monkeypatch, datasets=[dict(path='parts', type='completion'), dict(path='rows.jsonl', type='input_output')], sequence_len=64)
    assert a.report.totals['empty']>0
    same(a, b)

def workers() -> list[int]:
    "Those that encode at the moment"
    import psutil
    return [p.pid for p in psutil.process_iter(['cmdline']) if (p.info['cmdline'] or [''])[0].startswith('ray::encode')]

def slowly(monkeypatch, seconds: float):
    "So that there is time to kill"
    from segmask.data import cluster
    original = cluster.encode_into
    def slow(*args):
        import time
        time.sleep(seconds)
        return original(*args)
    monkeypatch.setattr(cluster, 'encode_into', slow)

def when_workers_are_there(kill) -> threading.Thread:
    def wait():
        for _ in range(2400):
            if found := workers():
                kill(found)
                return
            time.sleep(.05)
    thread = threading.Thread(target=wait)
    thread.start()
    return thread

@pytest.mark.slow
def test_a_worker_is_killed(cluster, place, monkeypatch):
    killed = []
    def kill(pids):
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])
    slowly(monkeypatch, .3)
    thread = when_workers_are_there(kill)
    a, b = both(monkeypatch, datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=150)
    thread.join()
    assert len(killed)==1
    same(a, b)

# --- nobody answers -----------------------------------------------------------------------------------------------

def refusal(address: str) -> tuple[str, float]:
    "What `connect` says, and after how many seconds"
    code = 'import sys, time, ray\nfrom segmask.data.cluster import connect\nt = time.time()\ntry: connect(sys.argv[1])\nexcept ValueError as e: print(time.time()-t, e)'
    env = {**os.environ, 'PYTHONPATH':os.pathsep.join([ROOT, os.environ.get('PYTHONPATH', '')])}
    seconds, _, said = subprocess.run([sys.executable, '-c', code, address], env=env, capture_output=True, text=True).stdout.partition(' ')
    return said, float(seconds)

def test_who_does_not_answer_is_told_soon():
    with socket.create_server(('127.0.0.1', 0)) as silent:
        for address, what in ((f'127.0.0.1:{silent.getsockname()[1]}', 'does not answer within 8 seconds'), ('127.0.0.1:9', 'does not answer'), ('nonsense', 'is no address')):
            said, seconds = refusal(address)
            assert what in said and 'name another with ray_address' in said and seconds<20, (said, seconds)
