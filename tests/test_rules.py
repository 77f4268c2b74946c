"One rule for every row: what `preprocess` reports, what `browse` shows, how `lint` splits and what the cluster decides agree row by row"
import contextlib, io, json, random, sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from segmask import SegmentError, load_tokenizer, preprocess
from segmask.config.config import ConfigError, TrainingConfig
from segmask.data import cluster, prepare, rules
from segmask.data.encoding import encodings_of
from segmask.data.rows import row_set
from segmask.linting import linter

CONFIGS = 200

@pytest.fixture
def model(small_model) -> str: return small_model

@pytest.fixture
def tok(model): return load_tokenizer(model)

@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch): monkeypatch.chdir(tmp_path)

# --- random data and configs --------------------------------------------------------------------------------------

WORDS = 'one two three four five six seven eight nine ten'.split()

def random_text(rng) -> str: return ' '.join(rng.choices(WORDS, k=rng.choice([0, 1, 1, 3, 6, 12])))

def random_rows(rng, kind: str) -> list[dict]:
    if kind=='completion': rows = [dict(text=random_text(rng)*rng.choice([1, 1, 8])) for _ in range(rng.randint(1, 12))]
    elif kind=='alpaca': rows = [dict(instruction=random_text(rng) or 'a', input='', output=random_text(rng)) for _ in range(rng.randint(1, 10))]
    elif kind=='tokens':
        rows = []
        for _ in range(rng.randint(1, 10)):
            ids = rng.choices(range(10, 16), k=rng.randint(0, 14))
            rows.append(dict(input_ids=ids, labels=[i if rng.random()<.4 else -100 for i in ids], attention_mask=[1]*len(ids)))
    else:
        def one(): # now and then a segment counts for less
            o = dict(label=rng.random()<.5, text=random_text(rng))
            return o | dict(weight=.25) if o['label'] and rng.random()<.1 else o
        rows = [dict(segments=[one() for _ in range(rng.randint(1, 3))]) for _ in range(rng.randint(1, 14))]
    return rows + rng.choices(rows, k=rng.choice([0, 0, 2, 5]))

def random_entry(rng, name: str) -> dict:
    kind = rng.choice(['input_output']*6 + ['completion', 'alpaca', 'tokens'])
    Path(name).write_text(''.join(json.dumps(o)+'\n' for o in random_rows(rng, kind)))
    return dict(path=name, type=None if kind=='tokens' else kind)

def random_config(rng, model: str) -> dict:
    cfg = dict(base_model=model, datasets=[random_entry(rng, f'train{i}.jsonl') for i in range(rng.choice([1, 1, 1, 2, 3]))])
    if rng.random()<.3: cfg['test_datasets'] = [random_entry(rng, f'test{i}.jsonl') for i in range(rng.choice([1, 2]))]
    elif rng.random()<.8: cfg['val_set_size'] = rng.choice([.1, .3, 1, 2])
    choices = dict(sequence_len=[4, 8, 12, 64], eval_sequence_len=[None, 6, 64], min_sample_len=[None, 0, 1, 3], excess_length_strategy=[None, 'drop', 'truncate'],
                   sample_packing=[None, False, True], dataset_exact_deduplication=[None, True], shuffle_merged_datasets=[True, True, False], seed=[None, 1, 7],
                   shuffle_before_merging_datasets=[None, True], curriculum_sampling=[None, None, True], train_on_inputs=[False, False, True])
    cfg |= {k: v for k,o in choices.items() if (v := rng.choice(o)) is not None}
    if rng.random()<.5: cfg['segmask'] = dict(fully_masked=rng.choice(['warn', 'drop']))
    return cfg

# --- the same answer from four places -----------------------------------------------------------------------------

def quietly(f, *args, **kw):
    with contextlib.redirect_stderr(io.StringIO()): return f(*args, **kw)

def reported(p, cfg: TrainingConfig, side: str) -> Counter:
    "(file, line, status) of each row that `preprocess` stored or reported"
    stored = Counter()
    names = [o['path'] for o in p.manifest['inputs']]
    for o in p.sizes.to_pylist(): stored[names[o['file']], o['line'], rules.STATUSES[o['status']]] += 1
    lines = Counter(zip(p.report.rows.file, p.report.rows.line, p.report.rows.status))
    assert all(stored[k]==n for k,n in lines.items() if rules.STATUSES.index(k[2])<rules.DROPPED)
    return stored + Counter({k: n for k,n in lines.items() if rules.STATUSES.index(k[2])>=rules.DROPPED})

def by_the_cluster(cfg: TrainingConfig, side: str, tok) -> tuple[Counter, list]:
    "The same from the pure functions that Ray calls, in small units and out of order; and where each stored row came from"
    import pyarrow as pa
    encodings = encodings_of(cfg, side, tok)
    units, within = cluster.units_of(encodings, 150), rules.limits(cfg, side)
    tables = [pa.concat_tables(cluster.encode_unit(encodings, n, u, within)) for n,u in enumerate(units)]
    m = cluster.merge(pa.concat_tables(tables[::-1]), units, encodings, within.once)
    n = m.numbers
    p = rules.plan(n.rows, rules.order_of(m.sizes, cfg, n.together), within, n.behind)
    where = [(n.names[f], line) for f,line in zip(n.file.tolist(), n.line.tolist())]
    found = Counter((*where[i], rules.STATUSES[s]) for i,s in enumerate(p.status.tolist()))
    found += Counter((n.names[f], line, 'empty') for f,line in n.empty)
    return found, [where[i] for i in p.stored]

def best(statuses: list[str]) -> str:
    "The status of a text that is several rows"
    return 'cut' if 'cut' in statuses else min(statuses, key=rules.STATUSES.index)

def browsed(cfg: TrainingConfig) -> dict|None:
    "Place -> status, as `browse` shows it before anything is prepared"
    try: s = row_set(cfg)
    except TypeError as e:
        assert 'holds tokens already' in str(e)
        return None
    return {s.where(i): rules.STATUSES[n] for i,n in enumerate(s.statuses())}

def linted(cfg: TrainingConfig, monkeypatch) -> tuple[list, list]:
    "Places of the rows on either side, as lint's leak check has them"
    sides = []
    def leaks(out, train, held_back): sides.extend([[out.places.name(i) for i in o] for o in (train, held_back)])
    monkeypatch.setattr(linter, 'leaks', leaks)
    quietly(linter.lint, cfg)
    return sides

def prepared(cfg: TrainingConfig):
    "The prepared set, or None where all rows are lost"
    try:
        p = quietly(preprocess, cfg)
        p.n_eval
        return p
    except SegmentError as e: assert 'no row is left' in str(e)
    except ConfigError as e: assert 'holds back all' in str(e)

def check(seed: int, model: str, tok, monkeypatch) -> Counter:
    "All of it for one config; how often each status was met"
    rng = random.Random(seed)
    cfg = TrainingConfig.of(random_config(rng, model))
    p = prepared(cfg)
    if p is None: return Counter()
    sides = {'datasets': p, **({'test_datasets': p._test} if p._test else {})}
    met = Counter()
    for side,s in sides.items():
        rows = reported(s, cfg, side)
        found, order = by_the_cluster(cfg, side, tok)
        assert found==rows
        assert [(o.file, o.line) for o in map(s.source, range(len(s)))]==order
        for (_,_,status),n in rows.items(): met[status] += n
        assert s.report.totals['read']==sum(rows.values())
        if side=='datasets' and (shown := browsed(cfg)) is not None:
            texts: dict[str, list] = {}
            for (file,line,status),n in rows.items(): texts.setdefault(f'{file}:{line}', []).extend([status]*n)
            assert shown=={k: best(v) for k,v in texts.items()}
        assert row_set(s).statuses().tolist()==s.sizes['status'].to_pylist()
    n = len(p)-p.n_eval
    train, held_back = ({str(p.source(i)) for i in o} for o in (range(n), range(n, len(p))))
    if p._test: held_back = {str(p._test.source(i)) for i in range(len(p._test))}
    a, b = linted(cfg, monkeypatch)
    assert len(set(a))==len(a) and set(a)==train and set(b)==held_back-train
    return met

@pytest.mark.parametrize('part', range(4))
def test_all_agree(part, model, tok, monkeypatch, record_property):
    met, seed, n = Counter(), 1000*part, 0
    while n<CONFIGS//4: # those that leave no row to train on do not count
        for f in Path('.').glob('*.jsonl'): f.unlink()
        found = check(seed, model, tok, monkeypatch)
        met, seed, n = met+found, seed+1, n+bool(found)
    record_property('statuses', dict(met))
    assert set(met)==set(rules.STATUSES) and seed-1000*part<CONFIGS//2, (seed, met)

@pytest.mark.slow
def test_ray_agrees(model, monkeypatch):
    "The same on five configs, in a real cluster of two workers"
    from functools import partial
    from ray_cluster import ray_cluster
    monkeypatch.setattr(prepare, 'on_ray', partial(cluster.on_ray, shard_tokens=60, unit=150))
    done = 0
    with ray_cluster(2) as made:
        import ray
        ray.init(address=made.address, log_to_driver=False, logging_level='ERROR')
        try:
            for seed in range(50):
                cfg = TrainingConfig.of(random_config(random.Random(seed), model))
                if (p := prepared(cfg)) is None: continue
                q = quietly(preprocess, cfg.model_copy(update=dict(dataset_prepared_path='there')), engine='ray')
                for a,b in ((p, q), (p._test, q._test)):
                    if a is None: continue
                    assert (a.path.name, a.report.totals, a.sizes.to_pylist())==(b.path.name, b.report.totals, b.sizes.to_pylist())
                    assert a.report.rows.equals(b.report.rows) and a.dataset.to_list()==b.dataset.to_list()
                    assert row_set(b).statuses().tolist()==row_set(a).statuses().tolist()
                done += 1
                if done==5: return
        finally: ray.shutdown()

# --- what packing drops -------------------------------------------------------------------------------------------

def write(name: str, rows: list): Path(name).write_text(''.join(json.dumps({'segments':[{'label':l, 'text':t} for l,t in row]})+'\n' for row in rows))

def test_packing_drops_what_has_nothing_to_train_on(model):
    "As axolotl does (process_datasets_for_packing): on both sides, and before rows are held back"
    F, T = (False, 'a question'), (True, ' an answer')
    write('rows.jsonl', [[F, T], [F], [T], [F, (True, '')], [F, T]])
    cfg = dict(base_model=model, datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=64)
    assert len(quietly(preprocess, cfg))==5
    p = quietly(preprocess, {**cfg, 'sample_packing':True, 'segmask':{'fully_masked':'warn'}})
    assert len(p)==3 and p.report.rows.status.tolist()==['masked away']*2
    p = quietly(preprocess, {**cfg, 'sample_packing':True, 'test_datasets':cfg['datasets']})
    assert len(p.eval)==3
    assert len(quietly(preprocess, {**cfg, 'sample_packing':True, 'segmask':{'fully_masked':'raise'}}))==3 # there as well
    with pytest.raises(SegmentError, match='nothing to train on'): quietly(preprocess, {**cfg, 'segmask':{'fully_masked':'raise'}})
    write('rows.jsonl', [[F, T] if i%3 else [F] for i in range(15)])
    p = quietly(preprocess, {**cfg, 'sample_packing':True, 'val_set_size':2})
    assert (len(p.train), len(p.eval))==(8, 2)

# --- sets of several shards ---------------------------------------------------------------------------------------

def test_a_set_of_two_shards_is_read_like_one(model):
    "Every set that a cluster makes has several"
    from segmask.data.store import shard, shard_name, write_info, write_manifest
    write('rows.jsonl', [[(False, f'row {i}'), (True, ' yes'*(i+1))] for i in range(6)])
    p = quietly(preprocess, dict(base_model=model, datasets=[dict(path='rows.jsonl', type='input_output')]))
    want, folder = p.dataset.to_list(), p.path
    (folder/shard_name(0, 1)).unlink()
    for n,part in enumerate((want[:2], want[2:])):
        flat = lambda k: np.concatenate([o[k] for o in part])
        with shard(folder/shard_name(n, 2)) as put: put(np.array([len(o['labels']) for o in part]), *map(flat, ('input_ids', 'labels', 'attention_mask')))
    write_info(folder, [shard_name(n, 2) for n in range(2)], 'x')
    kept = {k: v for k,v in p.manifest.items() if k!='files'}
    (folder/'segmask.json').unlink()
    write_manifest(folder, **kept)
    s = row_set(folder)
    assert len(s)==6 and [s[i]['labels'] for i in range(6)]==[o['labels'] for o in want]
    from segmask.views.plots import plot_lengths
    assert 'tokens of a row, 6 rows' in repr(plot_lengths(s))

# --- what runs on Ray, without Ray --------------------------------------------------------------------------------

@pytest.fixture
def one_process(monkeypatch):
    from functools import partial
    from types import SimpleNamespace as N
    remote = lambda **kw: lambda f: N(remote=f)
    monkeypatch.setitem(sys.modules, 'ray', N(is_initialized=lambda: True, put=lambda o: o, get=lambda o: o, remote=remote))
    monkeypatch.setattr(cluster, '_job', {})
    monkeypatch.setattr(prepare, 'on_ray', partial(cluster.on_ray, shard_tokens=60, unit=150))

def test_units_and_shards_make_the_same_set(model, one_process):
    "All that runs on a cluster, for thirty configs, but for the cluster"
    done, shards = 0, 0
    for seed in range(60):
        cluster._job.clear()
        cfg = TrainingConfig.of(random_config(random.Random(seed), model))
        if (p := prepared(cfg)) is None: continue
        q = quietly(preprocess, cfg.model_copy(update=dict(dataset_prepared_path='there')), engine='ray')
        for a,b in ((p, q), (p._test, q._test)):
            if a is None: continue
            assert (a.path.name, a.report.totals, a.sizes.to_pylist(), list(a))==(b.path.name, b.report.totals, b.sizes.to_pylist(), list(b))
            assert a.report.rows.equals(b.report.rows) and a.dataset.to_list()==b.dataset.to_list()
            shards += len(list(b.path.glob('data-*')))
        done += 1
        if done==30: break
    assert done==30 and shards>60

def test_what_a_killed_run_had_done_is_found_again(model, one_process, monkeypatch):
    Path('rows.jsonl').write_text(''.join(json.dumps(dict(text=f'row {i} one two three'))+'\n' for i in range(60)))
    cfg = dict(base_model=model, datasets=[dict(path='rows.jsonl', type='completion')], dataset_exact_deduplication=True)
    want, done = quietly(preprocess, {**cfg, 'dataset_prepared_path':'here'}), Counter()
    def counted(name, most):
        original = getattr(cluster, name)
        def count(*args, **kw):
            done[name] += 1
            if done[name]==most: raise KeyboardInterrupt
            return original(*args, **kw)
        return name, count
    def run(**limits):
        done.clear()
        with monkeypatch.context() as m:
            for o in ('encode_unit', 'write_shard'): m.setattr(cluster, *counted(o, limits.get(o)))
            return quietly(preprocess, {**cfg, 'dataset_prepared_path':'there'}, engine='ray')
    with pytest.raises(KeyboardInterrupt): run(encode_unit=4)
    with pytest.raises(KeyboardInterrupt): run(write_shard=3)
    encoded = done['encode_unit']
    p = run()
    shards = len(list(p.path.glob('data-*')))
    assert encoded>5 and done=={'write_shard': shards-2} and shards>5
    assert p.dataset.to_list()==want.dataset.to_list() and p.path.name==want.path.name
    assert [o.name for o in Path('there').iterdir()]==[p.path.name]
