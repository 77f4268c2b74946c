"A prepared set is found again when nothing that decides its bytes has changed, and never otherwise"
import contextlib, gzip, io, json, os, shutil, subprocess, sys, time
from pathlib import Path

import pytest

from segmask import ConfigError, FormatError, StoreError, preprocess
from segmask.config.keys import names
from segmask.data import cluster, prepare, store

JINJA = "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + eos_token }}{% endfor %}"

def row(*segments: tuple) -> dict: return {'segments': [{'label':l, 'text':t} for l,t in segments]}

def write(name: str, rows: list):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(''.join(json.dumps(o)+'\n' for o in rows))

def talk(i: int) -> dict: return {'messages': [{'role':'user', 'content':f'question {i}'}, {'role':'assistant', 'content':f'answer {i}'}]}

ROWS = [row((False, f'one {i} '), (True, 'two '*(i+1))) for i in range(8)] + [row((False, 'masked'))]

@pytest.fixture
def place(tmp_path, monkeypatch, small_model) -> Path:
    "A folder with data, a tokenizer in `model`, and nothing prepared"
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_model, 'model')
    write('rows.jsonl', ROWS)
    write('chat.jsonl', [talk(i) for i in range(4)])
    write('test.jsonl', ROWS[:3])
    Path('template.jinja').write_text(JINJA)
    return tmp_path

CONFIG = dict(base_model='model', sequence_len=512, chat_template='jinja', chat_template_jinja=JINJA,
              datasets=[dict(path='rows.jsonl', type='input_output'), dict(path='chat.jsonl', type='chat_template')],
              test_datasets=[dict(path='test.jsonl', type='input_output')])

def prepared(cfg: dict=CONFIG, **kw):
    with contextlib.redirect_stderr(io.StringIO()): return preprocess(cfg, **kw)

def sides(cfg: dict=CONFIG) -> tuple[str, str]:
    p = prepared(cfg)
    return p.path.name, p._test.path.name

def entry(i: int, **kw) -> dict: return {'datasets': [{**o, **kw} if n==i else o for n,o in enumerate(CONFIG['datasets'])]}

# --- what must make a new set -------------------------------------------------------------------------------------

# every key of the table that changes rows, and a value that is not the one above
KEYS = dict(
    sequence_len=400, min_sample_len=3, excess_length_strategy='truncate', shuffle_merged_datasets=False, seed=7,
    shuffle_before_merging_datasets=True, curriculum_sampling=True, dataset_exact_deduplication=True, train_on_inputs=True,
    chat_template='chatml', chat_template_jinja=JINJA.replace('|>', '|>\n'), chat_template_kwargs={'a': 1}, eot_tokens=['<unk>'],
    segmask={'fully_masked':'drop'}, sample_packing=True, eval_sequence_len=300)

def test_the_table_is_covered(): assert set(names(rows='rows')) <= set(KEYS)

CHANGES = {
    **{k: {k: v} for k,v in KEYS.items()},
    'fully_masked raise': {'segmask':{'fully_masked':'raise'}, 'datasets':[dict(path='chat.jsonl', type='chat_template')]},
    'eos role': {'special_tokens':{'eos_token':'<unk>'}},
    'bos role': {'special_tokens':{'bos_token':'<unk>'}},
    'unk role': {'special_tokens':{'unk_token':'</s>'}},
    'pad role': {'special_tokens':{'pad_token':'<unk>'}},
    'new eos': {'special_tokens':{'eos_token':'<|end|>'}},
    'additional': {'special_tokens':{'additional_special_tokens':['<|x|>']}},
    'tokens': {'tokens':['<|y|>']},
    'other tokens': {'tokens':['<|z|>']},
    'tokens in another order': {'tokens':['<|y|>', '<|z|>']},
    'tokenizer_config': {'tokenizer_config':'other'},
    'base_model': {'base_model':'other'},
    'template file': {'chat_template_jinja':'template.jinja'},
    'tokenizer template': {'chat_template':'tokenizer_default', 'chat_template_jinja':None},
    'boundary prompt': entry(0, segmask={'boundary':'prompt'}),
    'boundary joint': entry(0, segmask={'boundary':'joint'}),
    'mask rule': entry(0, segmask={'mask':[{'mask':'two'}]}),
    'another mask rule': entry(0, segmask={'mask':[{'mask':'t.o'}]}),
    'weigh rule': entry(0, segmask={'mask':[{'weigh':'two', 'weight':.5}]}),
    'another weight': entry(0, segmask={'mask':[{'weigh':'two', 'weight':.25}]}),
    'only the last turn': entry(1, segmask={'mask':[{'only':'last_turn'}]}),
    'expand': entry(1, segmask={'expand':'turns'}),
    'roles_to_train': entry(1, roles_to_train=['user']),
    'train_on_eos': entry(1, train_on_eos='all'),
    'train_on_eot': entry(1, train_on_eot='none'),
    'field_messages': entry(1, field_messages='messages'),
    'mappings': entry(1, message_property_mappings={'role':'role', 'content':'content'}),
    'roles': entry(1, roles={'user':['user', 'human'], 'assistant':['assistant']}),
    'entry template': entry(1, chat_template='chatml'),
    'shards': entry(0, shards=2),
    'shards_idx': entry(0, shards=2, shards_idx=1),
    'preprocess_shards': entry(0, preprocess_shards=2),
    'ds_type': entry(0, ds_type='json'),
    'split': entry(0, split='train'),
    'one entry': {'datasets':CONFIG['datasets'][:1]},
    'twice': {'datasets':CONFIG['datasets']+CONFIG['datasets'][:1]},
    'other order': {'datasets':CONFIG['datasets'][::-1]},
    'alpaca': {'datasets':[dict(path='alpaca.jsonl', type='alpaca')]},
    'alpaca chat': {'datasets':[dict(path='alpaca.jsonl', type='alpaca:chatml')]},
    'completion': {'datasets':[dict(path='texts.jsonl', type='completion')]},
    'spelled out': {'datasets':[dict(path='alpaca.jsonl', type={'format':'{instruction}!', 'no_input_format':'{instruction}!'})]},
    'spelled otherwise': {'datasets':[dict(path='alpaca.jsonl', type={'format':'{instruction}?', 'no_input_format':'{instruction}?'})]},
    'a copy': entry(0, path='copy.jsonl'),
    'compressed': entry(0, path='rows.jsonl.gz'),
    'a folder': entry(0, path='folder'),
}

# changes that come to the same: packing drops masked rows too; a tokenizer is a tokenizer; the other side's length
ALIKE = {('segmask', 'sample_packing'), ('tokenizer_config', 'base_model'), ('as it was', 'eval_sequence_len')}

@pytest.fixture
def more(place):
    "What some of the changes name"
    shutil.copytree('model', 'other')
    config = json.loads(Path('other/tokenizer_config.json').read_text())
    Path('other/tokenizer_config.json').write_text(json.dumps({**config, 'eos_token':'<unk>'}))
    Path('model/chat_template.jinja').write_text(JINJA.replace('<|', '[').replace('|>', ']'))
    shutil.copy('rows.jsonl', 'copy.jsonl')
    Path('rows.jsonl.gz').write_bytes(gzip.compress(Path('rows.jsonl').read_bytes()))
    write('folder/train.jsonl', ROWS)
    write('alpaca.jsonl', [dict(instruction='one', input='', output='two')]*2)
    write('texts.jsonl', [dict(text='one two three')])

def test_each_change_makes_another_set(more):
    "None of these is found for another, on the side that it belongs to"
    made = {'as it was': sides()}
    for k,change in CHANGES.items(): made[k] = sides({**CONFIG, **change})
    first: dict[str, str] = {}
    for k in made:
        same = first.setdefault(made[k][0], k)
        assert same==k or (same, k) in ALIKE, (same, k)
    assert len(CHANGES)>=60
    assert made['eval_sequence_len'][0]==made['as it was'][0] and made['eval_sequence_len'][1]!=made['as it was'][1]
    assert made['shards'][1]==made['as it was'][1] # the test side has nothing to do with an entry of the other
    again = {k: sides({**CONFIG, **CHANGES.get(k, {})}) for k in list(made)[::9]}
    assert all(made[k]==v for k,v in again.items())

def keep_looks(file: Path, text: str):
    "Other contents of the same size, with the same time"
    old = file.stat()
    assert len(text.encode())==old.st_size
    file.write_text(text)
    os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))

FILES = {
    'rows': ('rows.jsonl', 'one 0', 'one 9'),
    'a label': ('rows.jsonl', '"label": false, "text": "one 1', '"label": true,  "text": "one 1'),
    'white space': ('rows.jsonl', '{"segments": [', '{"segments":[ '),
    'chat': ('chat.jsonl', 'answer 1', 'answer 7'),
    'eos in the tokenizer': ('model/tokenizer_config.json', '"eos_token": "</s>"', '"eos_token": "<s>" '),
    'bos in the tokenizer': ('model/tokenizer_config.json', '"bos_token": "<s>"', '"bos_token":"</s>"'),
    'vocabulary': ('model/tokenizer.json', '"<unk>"', '"<unt>"'),
}

@pytest.mark.parametrize('what', FILES)
def test_a_file_that_looks_the_same(place, what):
    name, old, new = FILES[what]
    a, text = sides(), Path(name).read_text()
    assert old in text
    keep_looks(Path(name), text.replace(old, new))
    try: b = sides()
    except (ConfigError, FormatError): return # no set at all
    assert b[0]!=a[0]
    keep_looks(Path(name), text)
    assert sides()==a

@pytest.mark.parametrize('name', ['special_tokens_map.json', 'added_tokens.json', 'chat_template.jinja', 'tokenizer.model', 'vocab.json'])
def test_a_new_file_beside_the_tokenizer(place, name):
    a = sides()
    Path('model', name).write_text('{}')
    assert sides()[0]!=a[0]

def test_another_version_of_segmask(place, monkeypatch):
    a = sides()
    monkeypatch.setattr(prepare, '__version__', '99')
    b = sides()
    assert a[0]!=b[0] and a[1]!=b[1]

def test_rows_that_come_and_go(place):
    "A file of a folder is added, renamed, removed"
    write('folder/a.jsonl', ROWS)
    cfg, seen = {**CONFIG, 'datasets':[dict(path='folder', type='input_output')]}, []
    def again():
        seen.append(sides(cfg)[0])
        assert len(set(seen))==len(seen)
    again()
    write('folder/b.jsonl', ROWS[:2]); again()
    os.rename('folder/b.jsonl', 'folder/c.jsonl'); again()
    os.unlink('folder/c.jsonl')
    assert sides(cfg)[0]==seen[0]

# --- what must not ------------------------------------------------------------------------------------------------

SAME = dict(learning_rate=1e-4, num_epochs=3, val_set_size=0, output_dir='out', micro_batch_size=4, gradient_accumulation_steps=2, optimizer='adamw_torch',
            warmup_steps=3, weight_decay=.1, bf16=False, gradient_checkpointing=True, wandb_project='x', hub_token='hf_secret', max_steps=5, dataset_num_proc=2,
            adapter='lora', lora_r=8, data_seed=3, logging_steps=1, save_steps=10, eval_batch_size=2)

def test_what_does_not_matter(place):
    a = sides()
    for k,v in SAME.items(): assert sides({**CONFIG, k:v})==a, k
    assert sides({**CONFIG, **entry(0, token='hf_secret')})==a
    assert sides({**CONFIG, 'segmask':{'share_prefixes':False, 'cut_tail':True, 'ignore':['crlf']}})==a # of training and of lint
    for o in ('rows.jsonl', 'model/tokenizer.json'): os.utime(o)
    for o in ('README.md', 'model.safetensors', 'config.json'): Path('model', o).write_text('{"model_type": "llama"}')
    os.chmod('rows.jsonl', 0o600)
    assert sides()==a
    assert sides({**CONFIG, 'segmask':{'fully_masked':'warn'}, 'min_sample_len':2, 'excess_length_strategy':'drop'})[1]==a[1]

def test_the_stops_of_a_generation_config_matter(place):
    a = sides()
    Path('model', 'generation_config.json').write_text('{"eos_token_id": 2}')
    assert all(x!=y for x,y in zip(a, sides()))

# --- two sides ----------------------------------------------------------------------------------------------------

def test_one_folder_on_both_sides(place):
    write('both/train.jsonl', ROWS[:6])
    write('both/test.jsonl', ROWS[6:8])
    both = [dict(path='both', type='input_output')]
    p = prepared({**CONFIG, 'datasets':both, 'test_datasets':both})
    assert p.path!=p._test.path and (len(p), len(p.eval))==(6, 2)

def test_one_file_on_both_sides(place):
    both = [dict(path='rows.jsonl', type='input_output')]
    cfg = {**CONFIG, 'datasets':both, 'test_datasets':both, 'excess_length_strategy':'truncate', 'sequence_len':12, 'eval_sequence_len':6}
    p = prepared(cfg)
    assert (max(p.sizes['tokens'].to_pylist()), max(p._test.sizes['tokens'].to_pylist()))==(12, 6)

# --- what changes while it is read --------------------------------------------------------------------------------

def changing(monkeypatch, before, after=lambda: None, times=1):
    "Do something between hashing and reading, and after reading, a few times"
    read, left = prepare.read_all, [times]
    def slow(*args):
        if not left[0]: return read(*args)
        left[0] -= 1
        before()
        try: return read(*args)
        finally: after()
    monkeypatch.setattr(prepare, 'read_all', slow)

ONE = {**CONFIG, 'datasets':[dict(path='rows.jsonl', type='input_output')], 'test_datasets':None}

@pytest.mark.parametrize('put_back', [False, True])
def test_a_file_that_changes_while_it_is_read(place, monkeypatch, capsys, put_back):
    text = Path('rows.jsonl').read_text()
    new = text.replace('one', 'six')
    keep = lambda o: lambda: keep_looks(Path('rows.jsonl'), o)
    changing(monkeypatch, keep(new), keep(text) if put_back else lambda: None)
    p = preprocess(ONE)
    assert 'changed while it was read; reading again' in capsys.readouterr().err
    decoded = lambda p: ''.join(p.tokenizer.decode(o['input_ids']) for o in p)
    assert ('six' in decoded(p))==(not put_back)
    keep(text)()
    q = preprocess(ONE)
    assert 'one' in decoded(q) and 'six' not in decoded(q)
    assert sorted(o.name for o in place.iterdir() if o.name.startswith('.'))==[]

def test_a_file_that_does_not_come_to_rest(place, monkeypatch):
    n = iter(range(100))
    def add(): Path('rows.jsonl').open('a').write(json.dumps(row((True, f'more {next(n)}')))+'\n')
    changing(monkeypatch, add, times=99)
    with pytest.raises(StoreError, match='rows.jsonl: changed each time it was read'): prepared(ONE)
    assert not list(Path('last_run_prepared').iterdir())

def test_half_a_file(place, monkeypatch, capsys):
    "Somebody writes: at first there is half a line"
    text = Path('rows.jsonl').read_text()
    changing(monkeypatch, lambda: Path('rows.jsonl').write_text(text[:len(text)//2]), lambda: Path('rows.jsonl').write_text(text))
    assert len(prepared(ONE))==len(ROWS)

# --- what is written, and what stays ------------------------------------------------------------------------------

def test_no_secret_is_written(place):
    cfg = {**CONFIG, **entry(0, token='hf_SECRET'), 'hub_token':'hf_SECRET', 'wandb_key':'SECRET', 'env':{'API_KEY':'SECRET'}, 'special_tokens':{'eos_token':'<unk>'}}
    p = prepared(cfg)
    for f in (*p.path.iterdir(), *p._test.path.iterdir()): assert b'SECRET' not in f.read_bytes(), f
    assert p.manifest['config']['special_tokens']=={'eos_token':'<unk>'}

def test_a_killed_run_leaves_nothing_for_long(place, monkeypatch, tmp_path):
    "The folder for converted data is swept by the next run"
    (tmp_path/'tmp').mkdir()
    code = 'import os, signal\nfrom segmask.data.store import scratch_folder\nwith scratch_folder() as f: (f/"x").write_text("x"); os.kill(os.getpid(), signal.SIGKILL)'
    subprocess.run([sys.executable, '-c', code], env={**os.environ, 'TMPDIR':str(tmp_path/'tmp')})
    assert len(list((tmp_path/'tmp').iterdir()))==2
    monkeypatch.setattr(store.tempfile, 'tempdir', str(tmp_path/'tmp'))
    prepared(ONE)
    assert not list((tmp_path/'tmp').iterdir())

@pytest.mark.parametrize('bad', [dict(labels=[-100, -7, 6]), dict(attention_mask=[1, 700, 1]), dict(labels=[-100, 5, 10**9])])
def test_rows_of_tokens_are_checked(place, bad):
    write('tokens.jsonl', [dict(input_ids=[4, 5, 6], labels=[-100, 5, 6], attention_mask=[1, 1, 1]) | bad])
    with pytest.raises(ValueError, match='tokens.jsonl:1: (labels|attention_mask)'): prepared({**ONE, 'datasets':[dict(path='tokens.jsonl')]})

def test_weights_are_stored_where_there_are_any(place):
    assert 'weights' not in prepared(ONE)[0]
    rows = [{'segments':[{'label':False, 'text':'one '}, {'label':True, 'text':'two', 'weight':.25}, {'label':True, 'text':' three'}]}]
    write('rows.jsonl', [*ROWS, *rows])
    p = prepared({**ONE, 'shuffle_merged_datasets':False})
    assert p.weighted and p.manifest['weights'] and 'with weights' in repr(p) and p.dataset.features['weights'].feature.dtype=='float32'
    for o in p: assert all((w>0)==(l!=-100) for w,l in zip(o['weights'], o['labels']))
    assert set(p[-1]['weights'])=={0, .25, 1}

# --- a cluster that is not there ----------------------------------------------------------------------------------

class NoRay:
    @staticmethod
    def is_initialized(): return False
    @staticmethod
    def init(**kw): raise AssertionError('Ray would wait for minutes')

@pytest.mark.parametrize('address', ['127.0.0.1:9', 'ray://127.0.0.1:9', 'nonsense', 'a:b', None])
def test_a_cluster_that_does_not_answer(place, monkeypatch, address):
    monkeypatch.setitem(sys.modules, 'ray', NoRay)
    monkeypatch.setenv('RAY_TMPDIR', str(place))
    monkeypatch.delenv('RAY_ADDRESS', raising=False)
    (place/'ray').mkdir()
    (place/'ray'/'ray_current_cluster').write_text('127.0.0.1:9') # what a dead cluster left
    a = time.monotonic()
    with pytest.raises(ValueError, match='does not answer|is no address') as e: cluster.connect(address)
    assert time.monotonic()-a<20 and 'Start it, name another with ray_address, or write "local"' in str(e.value)

def test_a_cluster_that_does_not_start_here(place, monkeypatch):
    class Busy(NoRay):
        @staticmethod
        def init(**kw): raise Exception('The current node timed out during startup.') # Ray's own is no more than that
    monkeypatch.setitem(sys.modules, 'ray', Busy)
    with pytest.raises(ValueError, match='did not start on this machine .The current node timed out') as e: cluster.connect('local')
    assert 'less busy' in str(e.value) and 'ray_address' in str(e.value)
