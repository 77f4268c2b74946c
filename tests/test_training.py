"Real runs: what they give, what stops them, and what is left when they are killed"
import json, os, random, signal, subprocess, sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from segmask.views.batches import Batch
from segmask.training.checkpoint import TrainingError, checkpoints, half
from segmask.config.config import ConfigError
from segmask.core import masked, trained
from segmask.files import write_jsonl
from segmask.training.live import Live
from segmask.training.result import model_card
from segmask.training.run import train

torch.set_num_threads(1)
TOK = 'mistralai/Mistral-7B-v0.1'
words = 'red green blue white black silver golden brown'.split()

@pytest.fixture(scope='module')
def base(tmp_path_factory) -> dict:
    "A config with a small model and 24 rows of mixed lengths, two of them with nothing trained"
    tmp, rng = tmp_path_factory.mktemp('train'), random.Random(0)
    start = '<s>Name the colours that you are shown, in the same order, and nothing else.\n'
    def row(i):
        some = ' '.join(rng.choices(words, k=rng.randrange(2, 14)))
        if i in (5, 17): return masked(start+some)
        return masked(start+some+'\n') + trained(some.split(' ')[0]+'</s>') + (masked('\nThank you.') if i%2 else masked(''))
    write_jsonl([row(i) for i in range(24)], tmp/'rows.jsonl')
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=32000, tie_word_embeddings=True, initializer_range=.1, attention_dropout=.1, bos_token_id=1, eos_token_id=2)).save_pretrained(tmp/'small')
    return dict(base_model=str(tmp/'small'), tokenizer_config=TOK, datasets=[dict(path=str(tmp/'rows.jsonl'), type='input_output')], dataset_prepared_path=str(tmp/'prepared'),
                sequence_len=96, micro_batch_size=3, gradient_accumulation_steps=2, max_steps=4, learning_rate=1e-2, optimizer='adamw_torch', save_strategy='no', seed=1)

def run(base, out, live=False, **more): return train({**base, 'output_dir': str(out), **{k:v for k,v in more.items() if k not in ('model', 'callbacks', 'proof', 'log')}}, live=live, **{k:v for k,v in more.items() if k in ('model', 'callbacks', 'proof', 'log')})

def losses(r): return r.history.loss.dropna().tolist()

def plainly(**more): return dict(segmask=dict(keep_trained=False, cut_tail=False, share_prefixes=False), **more)

def no_dropout(base): # a model object in place of a path
    model = LlamaForCausalLM.from_pretrained(base['base_model'], attention_dropout=0.)
    return model

@pytest.mark.parametrize('more', [{}, dict(batch_flattening=True), dict(gradient_checkpointing=True), dict(adapter='lora', lora_r=4), dict(group_by_length=True)], ids=str)
def test_equals_plain_training(base, tmp_path, more):
    a = run(base, tmp_path/'a', model=no_dropout(base), **{**more, 'batch_flattening':None}, **plainly())
    b = run(base, tmp_path/'b', model=no_dropout(base), **more)
    assert len(losses(a))==4 and b.saved.computed<a.saved.computed==a.saved.padded
    assert max(abs(x-y) for x,y in zip(losses(a), losses(b)))<1e-4
    assert max(abs(x-y) for x,y in zip(a.history.grad_norm, b.history.grad_norm))<1e-2

def test_a_model_object_in_the_config(base, tmp_path):
    a, b = run(base, tmp_path/'a', model=no_dropout(base)), run(base, tmp_path/'b', base_model=no_dropout(base))
    assert losses(a)==losses(b) and b.config.base_model==base['base_model']

def test_bf16(base, tmp_path):
    a, b = (run(base, tmp_path/str(i), bf16=True, model=None, **o) for i,o in enumerate((plainly(), {})))
    assert max(abs(x-y) for x,y in zip(losses(a)[:1], losses(b)[:1]))<.1 and next(b.model.parameters()).dtype==torch.bfloat16

def test_packing_takes_rows_into_sequences(base, tmp_path):
    said = []
    r = run(base, tmp_path, sample_packing=True, micro_batch_size=1, gradient_accumulation_steps=1, max_steps=None, num_epochs=1, log=lambda *lines: said.extend(lines))
    assert 'rows may share a sequence' in r.note and 'the same loss' in r.note and any('the first batch' in o for o in said)
    assert len(losses(r))<24 and r.saved.trained==sum(r.prepared.sizes['trained'].to_pylist()) # each row once

def test_packing_falls_back(base, tmp_path):
    r = run(base, tmp_path, sample_packing=True, eager_attention=True)
    assert 'rows are padded, not packed: the model runs eager attention' in r.note and len(losses(r))==4

def test_evaluation_is_weighted_by_trained_tokens(base, tmp_path):
    evals = []
    for i,more in enumerate((dict(eval_batch_size=1), dict(eval_batch_size=4), dict(eval_batch_size=5, sample_packing=True), plainly(eval_batch_size=8))):
        r = run(base, tmp_path/str(i), val_set_size=8, max_steps=1, eval_steps=1, learning_rate=1e-9, **more)
        evals += r.history.eval_loss.dropna().tolist()
    assert len(evals)==4 and max(evals)-min(evals)<2e-4
    from segmask.training.losses import token_losses
    rows = [r.prepared.row(i) for i in range(16, 24)]
    by_hand = [v for o in rows for v,l in zip(token_losses(r.model, o['input_ids']), o['labels']) if l!=-100]
    assert abs(sum(by_hand)/len(by_hand)-evals[0])<2e-4

def test_batches_of_masked_rows_do_not_spoil_a_run(base, tmp_path):
    write_jsonl([masked('<s>nothing here')]*7 + [masked('<s>a')+trained(' b')], tmp_path/'rows.jsonl')
    r = run(base, tmp_path/'out', datasets=[dict(path=str(tmp_path/'rows.jsonl'), type='input_output')], micro_batch_size=1, gradient_accumulation_steps=2, num_epochs=1, max_steps=None)
    assert len(losses(r))==4 and sum(o>0 for o in losses(r))==1 and sum(o==0 for o in losses(r))==3

def test_nothing_to_train_on(base, tmp_path):
    write_jsonl([masked('<s>nothing here')]*4, tmp_path/'rows.jsonl')
    with pytest.raises(TrainingError, match='none of the rows has anything to train on'): run(base, tmp_path/'out', datasets=[dict(path=str(tmp_path/'rows.jsonl'), type='input_output')])

def test_early_stopping_and_best_model(base, tmp_path):
    r = run(base, tmp_path, val_set_size=4, max_steps=30, learning_rate=1., eval_steps=1, save_strategy=None, save_steps=1, save_total_limit=2, early_stopping_patience=2, load_best_model_at_end=True)
    assert len(losses(r))<30 and len(checkpoints(tmp_path))<=3 and not any(half(o) for o in checkpoints(tmp_path))

def test_result(base, tmp_path):
    r = run(base, tmp_path, val_set_size=4, eval_steps=2)
    assert {'README.md', 'model.safetensors', 'config.json', 'trainer_state.json', 'tokenizer.json'} <= {o.name for o in tmp_path.iterdir()}
    assert not [o for o in tmp_path.rglob('*') if o.suffix in ('.bin', '.pkl')]
    again = LlamaForCausalLM.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a,b in zip(again.state_dict().values(), r.model.state_dict().values()))
    card = (tmp_path/'README.md').read_text()
    assert card==model_card(r) and r.prepared.path.name in card and 'fully masked' in card and 'learning_rate: 0.01' in card
    assert r.history.columns.tolist()[:4]==['step', 'epoch', 'loss', 'eval_loss'] and '<polyline' in r.plot().svg
    assert r.worst(6).trained.dropna().is_monotonic_decreasing and 'rows.jsonl:' in r.worst(6).source[0]

def test_generation_uses_the_ids_of_training(base, tmp_path):
    from segmask.tokens.encoder import Encoder
    seen = []
    for boundary in ('segment', 'prompt'):
        r = run(base, tmp_path/boundary, max_steps=1, datasets=[{**base['datasets'][0], 'segmask':{'boundary':boundary}}])
        generate = r.model.generate
        r.model.generate = lambda input_ids, **kw: seen.append(input_ids[0].tolist()) or generate(input_ids=input_ids, **kw)
        prompt = masked('<s>Name ') + masked('two')
        assert isinstance(r.generate(prompt, max_new_tokens=3), str)
        assert seen[-1]==Encoder(r.tokenizer, boundary)(prompt).input_ids
    assert seen[0]!=seen[1]

@pytest.mark.parametrize('key,value', [('relora', True), ('rl', 'dpo'), ('embedding_lr', 1e-3), ('use_pose', True), ('unfrozen_parameters', ['lm_head']), ('cosine_min_lr_ratio', .1), ('reward_model', True), ('micro_batchsize', 2), ('optimizer', 'nothing'), ('adapter', 'qlora')])
def test_what_is_not_honoured_is_refused(base, tmp_path, key, value):
    with pytest.raises(ConfigError, match=key if key!='adapter' else 'lora_r'): run(base, tmp_path, **{key: value})
    assert not any(tmp_path.iterdir())

def test_qlora_names_its_extra(base, tmp_path):
    if __import__('importlib.util').util.find_spec('bitsandbytes'): pytest.skip('bitsandbytes is installed')
    with pytest.raises(ConfigError, match=r'segmask\[qlora\]'): run(base, tmp_path, adapter='qlora', lora_r=4)

def test_a_checkpoint_of_another_run_is_refused(base, tmp_path):
    cfg = {**base, 'adapter':'lora', 'lora_r':4, 'save_strategy':None, 'save_steps':2, 'max_steps':4}
    run(cfg, tmp_path/'out')
    for change in (dict(learning_rate=1e-5), dict(lora_r=8), dict(max_steps=2), dict(weight_decay=.5), dict(adapter=None, lora_r=None)):
        with pytest.raises(ConfigError, match=f'other settings.*{next(iter(change))}'): run({k:v for k,v in {**cfg, **change}.items() if v is not None}, tmp_path/'out', resume_from_checkpoint='auto')
    said = []
    run(cfg, tmp_path/'out', learning_rate=1e-5, log=lambda *lines: said.extend(lines))
    assert any('2 checkpoints of an earlier run' in o for o in said)
    run({**cfg, 'logging_steps':2, 'eval_batch_size':3}, tmp_path/'out', resume_from_checkpoint='auto', learning_rate=1e-5) # these change nothing

def test_where_nothing_can_be_written(base, tmp_path):
    (tmp_path/'file').write_text('mine')
    with pytest.raises(ConfigError, match='output_dir'): run(base, tmp_path/'file')
    assert (tmp_path/'file').read_text()=='mine'

# -- seen while it runs

def test_live_in_a_notebook(base, tmp_path, monkeypatch):
    shown, values = [], []
    monkeypatch.setattr('IPython.display.display', shown.append)
    live = Live(notebook=True, every=0)
    show = live.show
    live.show = lambda *a, **kw: (show(*a, **kw), values.append(live.widget.value))
    run(base, tmp_path, live=live, val_set_size=4, eval_steps=2)
    assert isinstance(shown.pop(0), Batch) and shown[0] is live.widget and '0 of 4' in values[0] and 'the same loss' in values[0]
    assert any('2 of 4' in o for o in values) and 'evaluation loss' in values[-1] and '4 of 4' in values[-1] and '<img' in values[-1] and 'GiB' in values[-1]
    assert shown[-1].html==values[-1] and len(shown)==2 # the picture that stays

def test_live_in_a_terminal(base, tmp_path):
    live = Live(notebook=False, every=0)
    run(base, tmp_path, live=live)
    assert live.bar.total==4 and (live.bar.disable or live.bar.n==4)

# -- faults

def poisoned(base, word):
    "A model that gives nan for rows with a certain word"
    from segmask.tokens.tokenizer import load_tokenizer
    model = no_dropout(base)
    model.set_input_embeddings(torch.nn.Embedding.from_pretrained(model.get_input_embeddings().weight.detach().clone(), freeze=False))
    with torch.no_grad(): model.get_input_embeddings().weight[load_tokenizer(TOK)(word, add_special_tokens=False)['input_ids'][-1]] = float('nan')
    return model

def test_nan_names_the_rows(base, tmp_path):
    write_jsonl([masked(f'<s>{"zebra" if i==9 else "horse"}\n')+trained(' yes') for i in range(12)], tmp_path/'rows.jsonl')
    with pytest.raises(TrainingError) as e: run(base, tmp_path/'out', model=poisoned(base, 'zebra'), proof=False, datasets=[dict(path=str(tmp_path/'rows.jsonl'), type='input_output')], micro_batch_size=2, max_steps=9)
    assert 'the loss of a batch is nan' in str(e.value) and 'rows.jsonl:10' in str(e.value) and str(e.value).count('rows.jsonl:')<=4 # the rows of a micro batch, or of the update where they moved

def test_out_of_memory_says_what_to_change(base, tmp_path):
    def full(*args, **kwargs): raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
    for more,want in ((dict(micro_batch_size=4), 'Set micro_batch_size: 2 and gradient_accumulation_steps: 4'), (dict(micro_batch_size=1), 'Set gradient_checkpointing: true'), (dict(micro_batch_size=1, gradient_checkpointing=True), 'adapter: lora')):
        model = no_dropout(base)
        model.model.layers[0].mlp.forward = full
        with pytest.raises(TrainingError) as e: run(base, tmp_path, model=model, proof=False, **{'segmask':{'share_prefixes':False}, **more})
        assert want in str(e.value)

def test_other_data_is_not_resumed(base, tmp_path):
    run(base, tmp_path, save_strategy=None, save_steps=2)
    with pytest.raises(ConfigError, match='was trained on other data'): run(base, tmp_path, train_on_inputs=True, resume_from_checkpoint='auto')
    with pytest.raises(ConfigError, match='is not a checkpoint'): run(base, tmp_path, resume_from_checkpoint=str(tmp_path/'nothing'))
    (tmp_path/'checkpoint-4'/'model.safetensors').write_bytes(b'')
    with pytest.raises(ConfigError, match='is not whole'): run(base, tmp_path, resume_from_checkpoint=str(tmp_path/'checkpoint-4'))

# A process that has loaded everything and forks a child for each run, so that a kill costs no start
driver = '''
import json, os, signal, sys, time
import torch
torch.set_num_threads(1)
import transformers, peft
from transformers import TrainerCallback, Trainer
from segmask.training.run import train
from segmask.training.checkpoint import TrainingError
class Tell(TrainerCallback):
    def __init__(self, file, limit=None): self.file, self.limit = file, limit
    def on_log(self, args, state, control, logs=None, **kw):
        if 'loss' in logs:
            with open(self.file, 'a') as f: f.write(json.dumps([state.global_step, logs['loss']])+'\\n')
    def on_save(self, args, state, control, **kw):
        if self.limit:
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.limit))
print('ready', flush=True)
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid==0:
        code = 0
        sys.stdout = open(os.devnull, 'w')
        if job.get('limit'): signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try: train(job['config'], live=False, proof=False, callbacks=[Tell(job['file'], job.get('limit'))])
        except TrainingError as e:
            print(e, file=sys.stderr)
            code = 3
        except BaseException as e:
            import traceback
            traceback.print_exc()
            code = 4
        os._exit(code)
    began = time.time()
    while job.get('kill') is not None and time.time()-began<job['kill'] and os.waitpid(pid, os.WNOHANG)==(0, 0): time.sleep(.002)
    status = None
    try:
        if job.get('kill') is not None: os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    except (ChildProcessError, ProcessLookupError): pass
    print(json.dumps(dict(status=status, seconds=time.time()-began)), flush=True)
'''

class Runs:
    def __init__(self, tmp):
        self.err = open(tmp/'err', 'w+')
        self.p = subprocess.Popen([sys.executable, '-c', driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err, text=True)
        assert self.p.stdout.readline()=='ready\n'
    def __call__(self, **job):
        self.p.stdin.write(json.dumps(job)+'\n')
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())
    def said(self):
        self.err.seek(0)
        return self.err.read()
    def close(self):
        self.p.stdin.close()
        self.p.wait()

@pytest.fixture
def runs(tmp_path):
    r = Runs(tmp_path)
    yield r
    r.close()

def killed(base, tmp_path, runs, kills):
    "Kill a run at random moments, let it resume, and compare each loss that was ever seen with those of a run in peace"
    cfg = {**base, 'save_strategy':None, 'save_steps':1, 'save_total_limit':2, 'max_steps':12, 'num_epochs':3, 'adapter':'lora', 'lora_r':4, 'lora_dropout':.1, 'resume_from_checkpoint':'auto'}
    read = lambda f: [json.loads(o) for o in Path(f).read_text().splitlines()] if Path(f).exists() else []
    runs(config={**cfg, 'output_dir':str(tmp_path/'warm')}, file=str(tmp_path/'warm.jsonl'))
    whole = runs(config={**cfg, 'output_dir':str(tmp_path/'peace')}, file=str(tmp_path/'peace.jsonl'))
    want = dict(read(tmp_path/'peace.jsonl'))
    assert sorted(want)==list(range(1, 13)), runs.said()
    rng, halves, progress = random.Random(7), 0, set()
    job = dict(config={**cfg, 'output_dir':str(tmp_path/'war')}, file=str(tmp_path/'war.jsonl'))
    for k in range(kills):
        runs(**job, kill=whole['seconds']*rng.uniform(.1, .9))
        found = checkpoints(tmp_path/'war')
        halves += sum(half(o) is not None for o in found)
        progress.add(max((int(o.name.split('-')[1]) for o in found if not half(o)), default=0))
        if progress and max(progress)==12: # it got to the end: begin again
            import shutil
            shutil.rmtree(tmp_path/'war')
            progress = set()
    assert runs(**job)['status']==0, runs.said()
    seen = read(tmp_path/'war.jsonl')
    assert {s for s,_ in seen}==set(want) or max(s for s,_ in seen)==12
    assert all(want[s]==l for s,l in seen) # to the last bit, and so are the weights
    assert len({next((tmp_path/o).glob('adapter_model.safetensors')).read_bytes() for o in ('peace', 'war')})==1
    return halves

def test_killed_and_resumed(base, tmp_path, runs): killed(base, tmp_path, runs, 3)

@pytest.mark.slow
def test_killed_twenty_times(base, tmp_path, runs): killed(base, tmp_path, runs, 20)

def test_half_a_checkpoint_is_not_resumed_from(base, tmp_path):
    want = run(base, tmp_path/'a', save_strategy=None, save_steps=2)
    cfg = dict(save_strategy=None, save_steps=2, resume_from_checkpoint='auto')
    run(base, tmp_path/'b', **cfg)
    (tmp_path/'b'/'checkpoint-4'/'segmask.json').unlink() # killed before the seal
    (tmp_path/'b'/'checkpoint-4'/'optimizer.pt').write_bytes(b'half')
    r = run(base, tmp_path/'b', **cfg)
    assert 'checkpoint-4 is not used: it was not finished' in r.note and f'going on from {tmp_path}/b/checkpoint-2' in r.note
    assert losses(r)==pytest.approx(losses(want), abs=1e-6) and half(tmp_path/'b'/'checkpoint-4') is None

def test_full_disk_keeps_the_last_checkpoint(base, tmp_path, runs):
    cfg = {**base, 'save_strategy':None, 'save_steps':1, 'save_total_limit':1, 'output_dir':str(tmp_path/'out'), 'resume_from_checkpoint':'auto'}
    assert runs(config=cfg, file=str(tmp_path/'l.jsonl'), limit=4000)['status']==3<<8
    said = runs.said()
    assert 'the checkpoint cannot be written' in said and 'Make room' in said and 'checkpoint-1, which is whole' in said
    assert [o.name for o in checkpoints(tmp_path/'out')]==['checkpoint-1'] and half(tmp_path/'out'/'checkpoint-1') is None
    assert runs(config=cfg, file=str(tmp_path/'l.jsonl'))['status']==0

# -- more than one device

def launch(tmp_path, cfg, *launcher):
    import yaml
    (tmp_path/'c.yaml').write_text(yaml.safe_dump({k:v for k,v in cfg.items() if v is not None}))
    env = {**os.environ, 'OMP_NUM_THREADS':'1', 'PYTHONPATH':os.pathsep.join(sys.path)}
    p = subprocess.Popen([sys.executable, '-m', *launcher, '-m', 'segmask.training', str(tmp_path/'c.yaml')], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True)
    try: out, err = p.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        raise
    assert p.returncode==0, err[-3000:]
    return json.loads((Path(cfg['output_dir'])/'trainer_state.json').read_text())['log_history'], out, err

def free_port():
    import socket
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def same_log(one, two):
    for k in ('loss', 'eval_loss', 'grad_norm', 'trained', 'eval_trained'):
        a, b = ([o[k] for o in log if k in o] for log in (one, two))
        assert len(a)==len(b)>0 and a==pytest.approx(b, abs=2e-5, rel=2e-5), k

def test_two_processes_equal_one_with_the_doubled_batch(base, tmp_path):
    "gloo; accelerate launches more than one CPU process only through MPI, so this is torchrun, which it uses for GPUs"
    no_dropout(base).save_pretrained(tmp_path/'model')
    cfg = {**base, 'base_model':str(tmp_path/'model'), 'val_set_size':5, 'eval_steps':2, 'max_steps':3, 'gradient_accumulation_steps':1}
    two, out, err = launch(tmp_path, {**cfg, 'micro_batch_size':2, 'output_dir':str(tmp_path/'two')}, 'torch.distributed.run', '--nproc-per-node', '2', '--master-port', str(free_port()))
    one = run({**cfg, 'micro_batch_size':4}, tmp_path/'one').log
    same_log(one, two)
    assert out.count('TrainResult')==1 and err.count('the same loss')==1

@pytest.mark.slow
def test_accelerate_launch(base, tmp_path):
    no_dropout(base).save_pretrained(tmp_path/'model')
    cfg = {**base, 'base_model':str(tmp_path/'model'), 'val_set_size':5, 'eval_steps':2, 'max_steps':3}
    log, out, _ = launch(tmp_path, {**cfg, 'output_dir':str(tmp_path/'a')}, 'accelerate.commands.launch', '--cpu', '--num_processes', '1', '--num_machines', '1', '--mixed_precision', 'no', '--dynamo_backend', 'no')
    same_log(run(cfg, tmp_path/'b').log, log)
    assert 'TrainResult' in out

# -- weights

def weighted_rows(base, tmp_path):
    start = '<s>Name the colours that you are shown.\n'
    write_jsonl([masked(start)+trained('red green'[:3+i%5], weight=.25)+trained(' red'+' green'*(i%4)+'</s>') for i in range(16)], tmp_path/'weighted.jsonl')
    return {**base, 'datasets':[dict(path=str(tmp_path/'weighted.jsonl'), type='input_output')]}

@pytest.mark.parametrize('more', [{}, dict(sample_packing=True, micro_batch_size=1), plainly(), dict(gradient_accumulation_steps=4, micro_batch_size=2)], ids=str)
def test_weights_in_train(base, tmp_path, more):
    from segmask.training.losses import token_losses
    cfg = {**weighted_rows(base, tmp_path), 'max_steps':1, 'micro_batch_size':16, 'gradient_accumulation_steps':1, 'learning_rate':1e-9, **more}
    r = run(cfg, tmp_path/'out', model=no_dropout(base), val_set_size=4, eval_steps=1)
    assert 'the same labels' in r.note
    def by_hand(rows):
        pairs = [(w, l) for o in rows for w,l in zip(o['weights'], token_losses(r.model, o['input_ids'])) if w]
        return sum(w*l for w,l in pairs)/sum(w for w,_ in pairs)
    rows = [r.prepared.row(i) for i in range(16)]
    assert any(0<w<1 for o in rows for w in o['weights'])
    assert r.evaluation==pytest.approx(by_hand(rows[12:]), abs=2e-4)
    if cfg['micro_batch_size']==16: assert losses(r)[0]==pytest.approx(by_hand(rows[:12]), abs=2e-4)

@pytest.mark.slow
def test_weights_over_two_processes(base, tmp_path):
    no_dropout(base).save_pretrained(tmp_path/'model')
    cfg = {**weighted_rows(base, tmp_path), 'base_model':str(tmp_path/'model'), 'val_set_size':4, 'eval_steps':2, 'max_steps':2, 'gradient_accumulation_steps':1}
    two, _, _ = launch(tmp_path, {**cfg, 'micro_batch_size':2, 'output_dir':str(tmp_path/'two')}, 'torch.distributed.run', '--nproc-per-node', '2', '--master-port', str(free_port()))
    same_log(run({**cfg, 'micro_batch_size':4}, tmp_path/'one').log, two)
