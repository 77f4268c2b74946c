"""What a training step costs: transformers' Trainer with padding, TRL's SFTTrainer, and segmask's collator, on the same rows.

Ratios within one run: the modes take turns, step by step, and each figure is the median of its ratios to the plain step of the same
turn. CPU time as well as wall time, since a machine may be busy with other things. Rows and weights are random; neither decides how
long a step takes. `make bench-train`, or: python bench/train.py [--quick] [--only NAME] [--json FILE] [--out FILE]
"""
import argparse, ctypes, json, math, os, platform, random, statistics, sys, tempfile, time, warnings
from datetime import date

os.environ.setdefault('HF_HUB_OFFLINE', '1')
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
warnings.filterwarnings('ignore')

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Trainer, TrainerCallback, TrainingArguments
from segmask.data.batches import plain_batch
from segmask.training.trial import segment_attention
from segmask.training.collator import SegmentCollator

transformers.logging.set_verbosity_error()

CUDA = False # --cuda

def model_of(vocab, hidden=512, layers=6):
    torch.manual_seed(0)
    if CUDA: # the shape of Qwen2.5-0.5B
        return Qwen2ForCausalLM(Qwen2Config(hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, vocab_size=vocab, tie_word_embeddings=True, max_position_embeddings=4096)).to('cuda', torch.bfloat16)
    return LlamaForCausalLM(LlamaConfig(hidden_size=hidden, intermediate_size=int(hidden*2.6875), num_hidden_layers=layers, num_attention_heads=hidden//64, num_key_value_heads=2, vocab_size=vocab, tie_word_embeddings=True, max_position_embeddings=2048))

# -- rows

def turns(n, length, share, vocab, count=4):
    "Rows of one length with four turns, the end of each trained"
    rng, rows, part = random.Random(0), [], length//count
    for _ in range(n):
        ids = [rng.randrange(3, vocab) for _ in range(length)]
        on = {t for k in range(count) for t in range((k+1)*part-max(1, round(part*share)), (k+1)*part)}
        rows.append(dict(input_ids=ids, labels=[i if t in on else -100 for t,i in enumerate(ids)]))
    return rows

def mixed(n, vocab):
    "Lengths as they are: log-normal, median 150, up to 1024; the last fifth of each row is trained"
    rng, rows = random.Random(1), []
    for _ in range(n):
        length = min(1024, max(16, int(math.exp(rng.gauss(math.log(150), .8)))))
        ids = [rng.randrange(3, vocab) for _ in range(length)]
        rows.append(dict(input_ids=ids, labels=[-100]*int(length*.8)+ids[int(length*.8):]))
    return rows

def template(n, vocab):
    "One instruction of 110 tokens before each of n short texts, an answer of two tokens"
    rng = random.Random(2)
    start, rows = [rng.randrange(3, vocab) for _ in range(110)], []
    for _ in range(n):
        text, answer = [rng.randrange(3, vocab) for _ in range(rng.randrange(8, 29))], [rng.randrange(3, vocab) for _ in range(2)]
        rows.append(dict(input_ids=start+text+answer, labels=[-100]*(110+len(text))+answer))
    return rows

def unrolled(count, conversations, vocab, keep=1.):
    "Conversations with a row for each turn, as the model will meet it: a turn of 60 to 200 tokens, its last 40 trained; `keep`: the share of a reply that stays in the history"
    rng, rows = random.Random(3), []
    for _ in range(conversations):
        past: list = []
        for _ in range(count):
            turn = [rng.randrange(3, vocab) for _ in range(rng.randrange(60, 201))]
            ids = past+turn
            rows.append(dict(input_ids=ids, labels=[-100]*(len(ids)-40)+ids[-40:]))
            past = past+turn[:round(len(turn)*keep)]
    return rows

def whole(rows):
    "The same conversations, one row each, with all turns trained"
    out = []
    for r in rows:
        if out and out[-1]['input_ids']==r['input_ids'][:len(out[-1]['input_ids'])]: out[-1] = dict(r, labels=out[-1]['labels']+r['labels'][len(out[-1]['labels']):])
        else: out.append(dict(r))
    return out

def flops(model, read, scored):
    "Of a step forward and backward, without attention's own: six for each weight and position, the head's for scored positions only"
    head = model.get_output_embeddings().weight.numel()
    return 6*((sum(p.numel() for p in model.parameters())-head)*read + head*scored)

# -- trainers

class Rows(torch.utils.data.Dataset):
    def __init__(self, rows): self.rows = rows
    def __len__(self): return len(self.rows)
    def __getitem__(self, i): return self.rows[i]

def memory(key):
    with open('/proc/self/status') as f: return next(int(l.split()[1])/1024 for l in f if l.startswith(key))

def reset_peak(): # MB in use
    if CUDA:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()/2**20
    try: ctypes.CDLL('libc.so.6').malloc_trim(0)
    except OSError: pass
    with open('/proc/self/clear_refs', 'w') as f: f.write('5')
    return memory('VmRSS')

class Watch(TrainerCallback):
    "Wall time, CPU time and peak memory of each step (after the batch was made, which is the same small work for all)"
    def __init__(self): self.steps = []
    def on_step_begin(self, *args, **kwargs): self.start = (reset_peak(), time.perf_counter(), time.process_time())
    def on_pre_optimizer_step(self, *args, **kwargs):
        base, wall, cpu = self.start
        if CUDA: torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()/2**20 if CUDA else memory('VmHWM')
        self.steps.append((time.perf_counter()-wall, time.process_time()-cpu, peak-base))

def arguments(n, **kw):
    return dict(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=n, max_steps=1, optim='sgd', learning_rate=1e-4, report_to='none', use_cpu=not CUDA, bf16=CUDA, save_strategy='no', logging_strategy='no', disable_tqdm=True, remove_unused_columns=False, **kw)

def ours(model, rows, **kw):
    if kw.get('pack') or kw.get('share_prefixes'):
        trial = segment_attention(model)
        assert trial.passed, trial
    else: model.set_attn_implementation('sdpa')
    return Trainer(model, TrainingArguments(**arguments(len(rows))), train_dataset=Rows(rows), data_collator=SegmentCollator(keep_trained=True, **kw))

def plain(model, rows):
    model.set_attn_implementation('sdpa')
    return Trainer(model, TrainingArguments(**arguments(len(rows))), train_dataset=Rows(rows), data_collator=plain_batch)

def trl(model, rows, padding_free):
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from trl import SFTConfig, SFTTrainer
    tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({f't{i}': i for i in range(10)}, unk_token='t0')), pad_token='t0', eos_token='t1')
    model.set_attn_implementation('sdpa')
    data = Dataset.from_list([dict(input_ids=r['input_ids'], labels=r['labels']) for r in rows])
    args = SFTConfig(**arguments(len(rows)), max_length=None, gradient_checkpointing=False, padding_free=padding_free, dataset_kwargs=dict(skip_prepare_dataset=True))
    return SFTTrainer(model, args, train_dataset=data, processing_class=tok)

def ours_whole(model, rows): return ours(model, whole(rows), pack=True)

MODES = {'plain Trainer, padded': plain, 'TRL SFTTrainer, padded': lambda m, r: trl(m, r, False), 'TRL SFTTrainer, padding-free': lambda m, r: trl(m, r, True),
         'segmask: keep, cut': lambda m, r: ours(m, r), 'segmask: packed': lambda m, r: ours(m, r, pack=True), 'segmask: shared beginnings': lambda m, r: ours(m, r, share_prefixes=True), 'segmask: packed, shared': lambda m, r: ours(m, r, pack=True, share_prefixes='auto'), 'segmask: tree': lambda m, r: ours(m, r, share_prefixes=True), 'segmask: one row each': ours_whole}

def step(trainer):
    "(wall seconds, CPU seconds, peak MB above what was there before) of one step"
    watch = Watch()
    trainer.add_callback(watch)
    trainer.train()
    trainer.remove_callback(watch)
    trainer.model.zero_grad(set_to_none=True)
    return watch.steps[0]

def measure(name, vocab, rows, modes, turns):
    "One line for each mode"
    got, trainers = {}, {}
    positions = max(len(r['input_ids']) for r in rows)*len(rows)
    for m in modes: # the first time is not counted
        try:
            trainers[m] = MODES[m](model_of(vocab), rows)
            step(trainers[m])
            got[m] = []
        except Exception as e: print(f'{name}: {m}: {type(e).__name__}: {str(e).splitlines()[0][:200]}', file=sys.stderr)
    for _ in range(turns):
        for m in got: got[m].append(step(trainers[m]))
    first = next(iter(modes))
    out = []
    for m,steps in got.items():
        ratio = lambda i: statistics.median(a[i]/b[i] for a,b in zip(steps, got[first]))
        med = lambda i: statistics.median(o[i] for o in steps)
        line = dict(case=name, vocab=vocab, mode=m, wall=round(ratio(0), 2), cpu=round(ratio(1), 2), seconds=round(med(0), 3 if CUDA else 2), tokens_s=round(sum(len(r['input_ids']) for r in rows)/med(0)), peak_mb=round(med(2)))
        if m.startswith('segmask'):
            kw = {'segmask: packed': dict(pack=True), 'segmask: tree': dict(share_prefixes=True), 'segmask: one row each': dict(pack=True), 'segmask: shared beginnings': dict(share_prefixes=True), 'segmask: packed, shared': dict(pack=True, share_prefixes='auto')}.get(m, {})
            info = SegmentCollator(keep_trained=True, report=True, **kw)(whole(rows) if m.endswith('one row each') else rows)['segmask']
            line |= dict(read=info['computed'], scored=info['head'], logits_mb=round(info['head']*vocab*4/2**20))
        elif 'plain' in m: line |= dict(read=positions, scored=positions, logits_mb=round(positions*vocab*4/2**20))
        if 'read' in line: line['gflop'] = round(flops(trainers[m].model, line['read'], line['scored'])/1e9)
        out.append(line)
        print('  '.join(f'{k} {v}' for k,v in line.items()), flush=True)
    return out

def regrouping(rows, micro, accumulation=16):
    "Positions that updates read before and after their rows move"
    from segmask.training.collator import needed
    from segmask.training.updates import regrouped
    collator, longest = SegmentCollator(keep_trained=True, share_prefixes='auto'), max(len(r['input_ids']) for r in rows)
    read, size = [0, 0], micro*accumulation
    for a in range(0, len(rows)-size+1, size):
        micros = [rows[i:i+micro] for i in range(a, a+size, micro)]
        for k,some in enumerate((micros, regrouped(micros, collator, micro*longest))): read[k] += sum(collator.positions([needed(r) for r in o]) for o in some if o)
    return read

GOALS = [('20% trained, 2 x 512 tokens', 128_000, 'segmask: keep, cut', .5), ('20% trained, 2 x 512 tokens', 32_000, 'segmask: keep, cut', .7), ('16 mixed lengths, 20% of each trained', 8_000, 'segmask: packed', .35),
         ('8 rows of one template', 32_000, 'segmask: shared beginnings', .25), ('100% trained, 2 x 512 tokens', 32_000, 'segmask: keep, cut', 1.05),
         *((f'1 conversation of {n} turns, unrolled', 32_000, 'segmask: tree', g) for n,g in ((2, .7), (4, .4), (8, .25))), ('1 conversation of 8 turns, 30% of each dropped later', 32_000, 'segmask: tree', .35)]

def report(lines, turns, threads):
    "The lines as a page"
    cols = dict(mode='mode', cpu='CPU time', wall='wall', seconds='s a step', tokens_s='tokens/s', peak_mb='peak MB', read='positions read', scored='scored', gflop='GFLOP', logits_mb='logits MB')
    out, last = [], None
    for o in lines:
        here = o['case'], o['vocab']
        out.append('| '+' | '.join([o['case'] if here!=last else '', f'{o["vocab"]//1000}k' if here!=last else '', *(str(o.get(c, '')) for c in cols)])+' |')
        last = here
    found = {(o['case'], o['vocab'], o['mode']): o for o in lines}
    goals = [f'- {c}, {v//1000}k, {m.removeprefix("segmask: ")}: {o["cpu"]:.2f}, goal at most {g:.2f}: {"met" if o["cpu"]<=g else "**missed**"}' for c,v,m,g in GOALS if (o := found.get((c, v, m)))]
    pairs = [(o, found.get((o['case'], o['vocab'], 'segmask: packed' if 'free' in o['mode'] else 'segmask: keep, cut'))) for o in lines if 'TRL' in o['mode']]
    ahead = sum(b is not None and b['cpu']<a['cpu'] for a,b in pairs)
    cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), platform.processor() or platform.machine()) if os.path.exists('/proc/cpuinfo') else platform.machine()
    model = 'a model of the shape of Qwen2.5-0.5B, bf16' if CUDA else 'Llama, hidden 512, 6 layers, tied embeddings, 32 bits'
    import trl
    return '\n'.join(['## Training', '',
        f'`make bench-train` (bench/train.py). One training step (forward, backward, clipping) through the trainer itself, on the same random rows: {model}, SGD. The modes take turns, and a figure is the median of its ratios to the plain step of the same turn.', '',
        f'{date.today()}, {torch.cuda.get_device_name() if CUDA else cpu}, {threads} thread{"s"*(threads>1)}, torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}; {turns} turns.', '',
        '| rows | vocabulary | '+' | '.join(cols.values())+' |', '|'+' --- |'*(len(cols)+2), *out, '', '### Goals (CPU time, ratio to the plain Trainer)', '', *goals,
        f'- ahead of TRL\'s SFTTrainer in the same mode (padded against keep and cut, padding-free against packed): {ahead} of {len(pairs)} lines', '',
        '### Rows that move within an update', '', *(f'- template rows, micro batch {n}, 16 an update: {a:,} positions read, {b:,} when rows move ({1-b/a:.0%} fewer)' for n in (1, 4) for a,b in [regrouping(template(256, 32_000), n)]), '',
        'GFLOP counts the weights alone, and is computed from the shapes; so is the last column: the memory of the scores goes with the trained share. The peak of the whole step does not, since weights, gradients and activations stay. TRL skips masked scores only on GPUs, with Triton; on a CPU it computes all of them, and its metrics besides.', '',
        *([] if CUDA else ['Not measured: anything on a GPU (`python bench/train.py --cuda`).', ''])])

def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument('--quick', action='store_true', help='two turns, and fewer cases')
    a.add_argument('--only', help='cases whose name contains this')
    a.add_argument('--turns', type=int, default=3)
    a.add_argument('--threads', type=int, default=1, help='one by default: threads that wait for each other burn CPU time on a busy machine')
    a.add_argument('--cuda', action='store_true', help='on a GPU: a model of 0.5 B weights in bf16; tokens a second and peak memory are the figures to look at')
    a.add_argument('--json', help='write the lines here as they come')
    a.add_argument('--out', help='write the page here')
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    global CUDA
    CUDA = o.cuda
    few = ['plain Trainer, padded', 'TRL SFTTrainer, padded', 'TRL SFTTrainer, padding-free', 'segmask: keep, cut', 'segmask: packed']
    cases = [(f'{s:.0%} trained, 2 x 512 tokens', v, (lambda s=s, v=v: turns(2, 512, s, v)), few) for v in (32_000, 128_000) for s in ((.2,) if o.quick else (1., .5, .2, .05))]
    cases.append(('16 mixed lengths, 20% of each trained', 8_000, lambda: mixed(16, 8_000), few))
    cases.append(('8 rows of one template', 32_000, lambda: template(8, 32_000), [*few, 'segmask: shared beginnings']))
    tree = ['plain Trainer, padded', 'segmask: packed', 'segmask: tree', 'segmask: one row each']
    for n in ((4,) if o.quick else (2, 4, 8)):
        cases += [(f'{c} conversation{"s"*(c>1)} of {n} turns, unrolled', 32_000, (lambda n=n, c=c: unrolled(n, c, 32_000)), tree) for c in ((1,) if o.quick else (1, 4))]
    if not o.quick: cases.append(('1 conversation of 8 turns, 30% of each dropped later', 32_000, lambda: unrolled(8, 1, 32_000, .7), tree[:3]))
    if CUDA: # 0.5 B weights in bf16, the vocabulary of Qwen2.5
        cases = [(f'{s:.0%} trained, 4 x 2048 tokens', 151_936, (lambda s=s: turns(4, 2048, s, 151_936)), few) for s in (1., .2, .05)] + [('16 mixed lengths, 20% of each trained', 151_936, lambda: mixed(16, 151_936), few)]
    lines = []
    for name,vocab,rows,modes in cases:
        if o.only and o.only not in name: continue
        lines += measure(name, vocab, rows(), modes, 2 if o.quick else o.turns)
        if o.json:
            with open(o.json, 'w') as f: json.dump(lines, f, indent=1)
    page = report(lines, 2 if o.quick else o.turns, o.threads)
    print('\n'+page)
    if o.out:
        with open(o.out, 'w') as f: f.write(page)

if __name__=='__main__': main()
