"""What a training step costs: transformers' Trainer with padding, TRL's SFTTrainer, and segmask's collator, on the same rows.

FLOPs are counted (torch's FlopCounterMode) and exact. CPU time is measured: the modes take turns, and a figure is the median of its
ratios to the first mode of the same turn. Rows and weights are random; neither decides how long a step takes.

`make bench-train`, or in pieces, which are kept in --work until the page is made of them:
python bench/train.py --only tree,regroup; python bench/train.py --only history --history CLONE; python bench/train.py --only page"""
import argparse, ctypes, importlib.util, json, math, os, platform, random, statistics, sys, tempfile, time, warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path

os.environ.setdefault('HF_HUB_OFFLINE', '1')
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
warnings.filterwarnings('ignore')

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import (CONFIG_MAPPING, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast,
                          Qwen2Config, Qwen2ForCausalLM, Trainer, TrainerCallback, TrainingArguments)

from segmask.data.batches import plain_batch
from segmask.training.collator import SegmentCollator, needed
from segmask.training.trial import segment_attention, segment_trial
from segmask.training.updates import regrouped

transformers.logging.set_verbosity_error()
here = Path(__file__).parent
CUDA = False # --cuda

# -- models

def llama(vocab, hidden=256, layers=6):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        hidden_size=hidden, intermediate_size=int(hidden*2.6875), num_hidden_layers=layers, vocab_size=vocab,
        num_attention_heads=hidden//64, num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=4096))

def model_of(vocab, layers=6):
    if not CUDA: return llama(vocab, layers=layers)
    torch.manual_seed(0)
    shape = dict(hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2)
    config = Qwen2Config(**shape, vocab_size=vocab, tie_word_embeddings=True, max_position_embeddings=4096)
    return Qwen2ForCausalLM(config).to('cuda', torch.bfloat16) # the shape of Qwen2.5-0.5B

# -- rows

def text(rng, n, vocab): return [rng.randrange(3, vocab) for _ in range(n)]

def answered(ids, n):
    "A row whose last n tokens are trained"
    return dict(input_ids=ids, labels=[-100]*(len(ids)-n)+ids[len(ids)-n:])

def turns(n, length, share, vocab, count=4):
    "Rows of one length with four turns, the end of each trained"
    rng, rows, part = random.Random(0), [], length//count
    for _ in range(n):
        ids = text(rng, length, vocab)
        on = {t for k in range(count) for t in range((k+1)*part-max(1, round(part*share)), (k+1)*part)}
        rows.append(dict(input_ids=ids, labels=[i if t in on else -100 for t,i in enumerate(ids)]))
    return rows

def mixed(n, vocab):
    "Lengths as they are: log-normal, median 150, up to 1024; the last fifth of each row is trained"
    rng, rows = random.Random(1), []
    for _ in range(n):
        length = min(1024, max(16, int(math.exp(rng.gauss(math.log(150), .8)))))
        rows.append(answered(text(rng, length, vocab), length-int(length*.8)))
    return rows

def template(n, vocab):
    "One instruction of 110 tokens before each of n short texts, an answer of two tokens"
    rng = random.Random(2)
    start = text(rng, 110, vocab)
    return [answered(start+text(rng, rng.randrange(8, 29)+2, vocab), 2) for _ in range(n)]

def unrolled(count, conversations, vocab, reasoning=0.):
    """Conversations with a row for each turn, and with one row each. A turn has 60 to 200 tokens, a quarter of them a question,
    the rest a trained reply; it begins with reasoning (a share of the turn) that later rows do not show"""
    rng, rows, whole = random.Random(3), [], []
    for _ in range(conversations):
        past, ids, labels = [], [], []
        for _ in range(count):
            n = rng.randrange(60, 201)
            question, thought = text(rng, n//4, vocab), text(rng, round(n*reasoning), vocab)
            answer = text(rng, n-len(question)-len(thought), vocab)
            rows.append(answered(past+question+thought+answer, n-len(question)))
            past = past+question+answer
            ids, labels = ids+question+thought+answer, labels+[-100]*len(question)+thought+answer
        whole.append(dict(input_ids=ids, labels=labels))
    return rows, whole

# -- what is counted and measured

def attention_flops(query, key, value, dropout=0., causal=False, **kwargs):
    "Half of the pairs are computed where it is causal"
    key, value = [*query[:2], *key[2:]], [*query[:2], *value[2:]] # each head of the keys serves several
    return sdpa_flop_count(query, key, value)//(1+causal)

def attention_backward_flops(grad, query, key, value, out, logsumexp, dropout=0., causal=False, **kwargs):
    key, value = [*query[:2], *key[2:]], [*query[:2], *value[2:]]
    return sdpa_backward_flop_count(grad, query, key, value)//(1+causal)

def flops(work: Callable) -> float: # GFLOP
    "What a piece of work takes: matrix products and attention, which torch leaves out on a CPU"
    more = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
              torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops}
    with FlopCounterMode(display=False, custom_mapping=more) as counter: work()
    return counter.get_total_flops()/1e9

def alternate(works: dict[str, Callable], times: int) -> dict[str, list[float]]: # CPU seconds of each
    "Works taking turns; the first time of each is not counted"
    for o in works.values(): o()
    out: dict[str, list[float]] = {k: [] for k in works}
    for _ in range(times):
        for k,work in works.items():
            began = time.process_time()
            work()
            out[k].append(time.process_time()-began)
    return out

def ratio(some, base): return round(statistics.median(a/b for a,b in zip(some, base)), 2)

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
    "CPU time, wall time and peak memory of each step (after the batch was made, which is the same small work for all)"
    def __init__(self): self.steps = []
    def on_step_begin(self, *args, **kwargs): self.start = (reset_peak(), time.process_time(), time.perf_counter())
    def on_pre_optimizer_step(self, *args, **kwargs):
        base, cpu, wall = self.start
        if CUDA: torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()/2**20 if CUDA else memory('VmHWM')
        self.steps.append((time.process_time()-cpu, time.perf_counter()-wall, peak-base))

# -- trainers

class Rows(torch.utils.data.Dataset):
    def __init__(self, rows): self.rows = rows
    def __len__(self): return len(self.rows)
    def __getitem__(self, i): return self.rows[i]

def arguments(n):
    return dict(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=n, max_steps=1, optim='sgd', learning_rate=1e-4,
                report_to='none', use_cpu=not CUDA, bf16=CUDA, save_strategy='no', logging_strategy='no', disable_tqdm=True,
                remove_unused_columns=False)

def plain(model, rows, collator=plain_batch):
    if isinstance(collator, SegmentCollator) and (collator.pack or collator.share_prefixes):
        trial = segment_attention(model)
        assert trial.passed, trial
    else: model.set_attn_implementation('sdpa')
    return Trainer(model, TrainingArguments(**arguments(len(rows))), train_dataset=Rows(rows), data_collator=collator)

def trl(model, rows, padding_free=False):
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from trl import SFTConfig, SFTTrainer
    words = Tokenizer(models.WordLevel({f't{i}': i for i in range(10)}, unk_token='t0'))
    tok = PreTrainedTokenizerFast(tokenizer_object=words, pad_token='t0', eos_token='t1')
    model.set_attn_implementation('sdpa')
    args = SFTConfig(**arguments(len(rows)), max_length=None, gradient_checkpointing=False, padding_free=padding_free,
                     dataset_kwargs=dict(skip_prepare_dataset=True))
    data = Dataset.from_list([dict(input_ids=r['input_ids'], labels=r['labels']) for r in rows])
    return SFTTrainer(model, args, train_dataset=data, processing_class=tok)

PLAIN, TRL, FREE = 'plain Trainer, padded', 'TRL SFTTrainer, padded', 'TRL SFTTrainer, padding-free'
KEEP, PACK, TREE, ONE = 'segmask: keep, cut', 'segmask: packed', 'segmask: tree', 'segmask: one row each, packed'
COLLATORS = {KEEP: {}, PACK: dict(pack=True), TREE: dict(share_prefixes=True), ONE: dict(pack=True)}
FEW = [PLAIN, TRL, FREE, KEEP, PACK]

def trainer_of(mode, model, rows):
    if mode==PLAIN: return plain(model, rows)
    if mode in (TRL, FREE): return trl(model, rows, mode==FREE)
    return plain(model, rows, SegmentCollator(keep_trained=True, **COLLATORS[mode]))

def step(trainer):
    "(CPU seconds, wall seconds, peak MB above what was there before) of one step"
    watch = Watch()
    trainer.add_callback(watch)
    trainer.train()
    trainer.remove_callback(watch)
    trainer.model.zero_grad(set_to_none=True)
    return watch.steps[0]

def measure(name, vocab, rows, modes, times, whole=None, layers=6):
    "One line for each mode"
    trainers, gflop, got = {}, {}, {}
    for m in modes: # the first time is for the FLOPs
        try:
            trainers[m] = trainer_of(m, model_of(vocab, layers), whole if m==ONE else rows)
            gflop[m], got[m] = flops(lambda m=m: step(trainers[m])), []
        except Exception as e:
            print(f'{name}: {m}: {type(e).__name__}: {str(e).splitlines()[0][:200]}', file=sys.stderr)
    for _ in range(times):
        for m in got: got[m].append(step(trainers[m]))
    first = got[modes[0]]
    for m,steps in got.items():
        med = lambda i: statistics.median(o[i] for o in steps)
        batch = trainers[m].data_collator(whole if m==ONE else rows) if m not in (TRL, FREE) else {}
        read = dict(read=batch['input_ids'].numel(), scored=batch['labels'].numel()) if batch else {}
        line = dict(rows=name, vocabulary=f'{vocab//1000}k', mode=m, GFLOP=round(gflop[m]), **{
            'GFLOP, ratio': round(gflop[m]/gflop[modes[0]], 2), 'CPU time, ratio': ratio(*([o[0] for o in s] for s in (steps, first))),
            'CPU s': round(med(0), 3 if CUDA else 2), 'wall s': round(med(1), 3 if CUDA else 2),
            'tokens/s': round(sum(len(r['input_ids']) for r in rows)/med(1)), 'peak MB': round(med(2))}, **read)
        yield line

# -- parts

def shares(o, vocab, some):
    n, length = (4, 2048) if CUDA else (2, 512)
    for s in (.2,) if o.quick else some:
        yield from measure(f'{s:.0%} trained, {n} x {length} tokens', vocab, turns(n, length, s, vocab), FEW, o.turns)

def lengths(o):
    vocab = 151_936 if CUDA else 4_000
    yield from measure('16 mixed lengths, 20% of each trained', vocab, mixed(16, vocab), FEW, o.turns)

def templates(o): yield from measure('8 rows of one template', 16_000, template(8, 16_000), [*FEW, TREE], o.turns)

def trees(o, counts, conversations=1, reasoning=0.):
    for n in counts:
        rows, whole = unrolled(n, conversations, 16_000, reasoning)
        name = f'{conversations} conversation{"s"*(conversations>1)} of {n} turns'+', 30% dropped later'*bool(reasoning)
        yield from measure(name, 16_000, rows, [KEEP, PACK, TREE, ONE], o.turns, whole, layers=4)

def update_of(model, micros, collator):
    "The gradients of one update"
    batches = [collator(m) for m in micros if m]
    total = torch.tensor(sum(b['shift_labels'].ne(-100).sum() for b in batches))
    def work():
        model.zero_grad(set_to_none=True)
        for b in batches: model(**b, num_items_in_batch=total, use_cache=False).loss.backward()
    return work

def moving(name, rows, micro, vocab, times, accumulation=16):
    "A line: positions of all updates, and the FLOPs and time of the first, before and after rows move"
    collator, longest = SegmentCollator(keep_trained=True, share_prefixes='auto'), max(len(r['input_ids']) for r in rows)
    size, read, largest, first = micro*accumulation, [0, 0], 0, None
    for a in range(0, len(rows)-size+1, size):
        micros = [rows[i:i+micro] for i in range(a, a+size, micro)]
        both = micros, regrouped(micros, collator, micro*longest)
        first = first or both
        counts = [[collator.positions([needed(r) for r in m]) for m in some if m] for some in both]
        read, largest = [x+sum(c) for x,c in zip(read, counts)], max(largest, *counts[1])
    model = llama(vocab, layers=4)
    assert segment_attention(model).passed
    works = {k: update_of(model, some, collator) for k,some in zip(('before', 'after'), first)}
    cost, seconds = [flops(o) for o in works.values()], alternate(works, times)
    return {'rows': name, 'micro batch': micro, 'positions': read[0], 'after moving': read[1], 'fewer': f'{1-read[1]/read[0]:.0%}',
            'largest micro batch': largest, 'longest row x size': micro*longest, 'GFLOP, ratio': round(cost[1]/cost[0], 2),
            'CPU time, ratio': ratio(seconds['after'], seconds['before'])}

def regrouping(o):
    for n in (1, 4): yield moving('instruction of 110 tokens, texts of 8 to 28', template(256, 16_000), n, 16_000, o.turns)

INSTRUCTION = '''You are given a pull request: its title, its description and its changes. Say which category it belongs to.
feat: something that users can do and could not do before
fix: something that was wrong and now is right
docs: words only, in documentation or comments
test: tests that were missing, or that are corrected
refactor: code that does the same as before, written differently
perf: the same result, sooner or with less memory
style: white space, formatting, names of no consequence
build: how the package is built, and what it depends on
ci: what runs on the servers that test and publish
chore: anything else that has to be done
other: none of these
Judge by the changes where title and description say something else. Answer with JSON and nothing else.
'''

def pull_requests(repository, diff, instruction, n=640):
    "Rows of a git history, as tools/history.py makes them, behind an instruction"
    from segmask.core import Segments, masked
    from segmask.tokens.encoder import Encoder
    from segmask.tokens.tokenizer import load_tokenizer
    spec = importlib.util.spec_from_file_location('history', here.parent/'tools'/'history.py')
    history = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(history)
    history.DIFF = diff
    encode, out = Encoder(load_tokenizer('mistralai/Mistral-7B-v0.1')), []
    for row in list(history.rows(history.log(repository)))[:n]:
        start = masked('<s>'+instruction+row[0].text.removeprefix('<s>'))
        out.append({k: list(v) for k,v in encode(start+Segments(row[1:])).items() if k in ('input_ids', 'labels')})
    return out

def histories(o):
    if not o.history: return print('history: give --history a git repository with conventional commits', file=sys.stderr)
    for diff,instruction in ((1500, ''), (1500, INSTRUCTION), (500, INSTRUCTION)):
        rows = pull_requests(o.history, diff, instruction)
        name = f'diffs of {diff:,} characters, '+('an instruction of 173 tokens' if instruction else 'no instruction')
        yield moving(name, rows, 1, 32_000, o.turns)

KINDS = '''phi3 gpt_neox smollm3 olmo2 granite mixtral cohere starcoder2 llama mistral qwen2 qwen3 gpt2 gemma gemma3_text gemma2
phi olmo olmoe cohere2 stablelm qwen3_moe glm4 exaone4 helium opt ministral seed_oss llama_yarn llama_dynamic
falcon falcon_alibi bloom mpt mamba rwkv falcon_h1 lfm2'''.split()
_heads, _experts = dict(head_dim=16), dict(num_experts=4, num_experts_per_tok=2)
_rope = dict(factor=2., rope_theta=1e4, original_max_position_embeddings=64)
SPECIAL = dict(
    gpt2=dict(n_embd=64, n_layer=2, n_head=4), gemma=_heads, gemma2=dict(_heads, sliding_window=48),
    gemma3_text=dict(_heads, sliding_window=48), qwen3=_heads, glm4=_heads, helium=_heads, mixtral=dict(num_local_experts=4),
    olmoe=_experts, qwen3_moe=dict(_heads, moe_intermediate_size=32, **_experts), mistral=dict(sliding_window=48),
    ministral=dict(_heads, sliding_window=48), cohere2=dict(sliding_window=48), phi3=dict(sliding_window=48), seed_oss=_heads,
    starcoder2=dict(sliding_window=48), opt=dict(ffn_dim=96, word_embed_proj_dim=64),
    bloom=dict(n_layer=2, n_head=4), falcon=dict(alibi=False),
    falcon_alibi=dict(alibi=True), mpt=dict(d_model=64, n_heads=4, n_layers=2), mamba=dict(state_size=4),
    llama_yarn=dict(rope_parameters=dict(_rope, rope_type='yarn')),
    llama_dynamic=dict(max_position_embeddings=64, rope_parameters=dict(_rope, rope_type='dynamic')),
    lfm2=dict(layer_types=['conv', 'full_attention']))

def small_model(kind):
    "A small model of an architecture, with random weights"
    more = SPECIAL.get(kind, {})
    name = kind if kind in CONFIG_MAPPING else next(kind[:i] for i in range(len(kind), 0, -1) if kind[:i] in CONFIG_MAPPING)
    shape = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=500,
                 max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[name](**{**shape, **more})).eval()

def gradients(model, batches, total):
    model.zero_grad(set_to_none=True)
    for b in batches: model(**b, num_items_in_batch=total, use_cache=False).loss.backward()
    return {k: p.grad.double() for k,p in model.named_parameters() if p.grad is not None}

def apart(some, other): # relative to the largest gradient
    largest = max(g.abs().max().item() for g in some.values())
    return max((some[k]-other[k]).abs().max().item() for k in some)/largest

def architecture(kind, times=3):
    "A line: the trial, and what packing gives where it passes"
    model, rng = small_model(kind), random.Random(4)
    trial = segment_trial(model, sequence_len=320)
    if not trial.passed: return dict(architecture=kind, trial=trial.line.split(': ', 2)[2][:90])
    start = text(rng, 30, 500)
    rows = [answered(start[:rng.choice([0, 30])]+text(rng, n, 500), 10) for n in (200, 150, 120, 90, 60, 60, 40, 40, 30, 30, 20, 20)]
    total, padded = torch.tensor(120), plain_batch(rows)
    single, many = gradients(model, [plain_batch([r]) for r in rows], total), gradients(model, [padded], total)
    segment_attention(model, sequence_len=320)
    both = SegmentCollator(keep_trained=True, pack=True)(rows), SegmentCollator(keep_trained=True, share_prefixes=True)(rows)
    off = [apart(single, gradients(model, [b], total)) for b in both]
    cost = [flops(lambda b=b: gradients(model, [b], total)) for b in (padded, *both)]
    seconds = alternate({k: (lambda b=b: gradients(model, [b], total)) for k,b in zip('abc', (padded, *both))}, times)
    return dict(architecture=kind, trial='passed', **{
        'packed: GFLOP, ratio': round(cost[1]/cost[0], 2), 'CPU time, ratio': ratio(seconds['b'], seconds['a']),
        'tree: GFLOP, ratio': round(cost[2]/cost[0], 2), 'CPU time, ratio ': ratio(seconds['c'], seconds['a']),
        **{f'{k}: gradients apart': float(f'{v:.0e}') for k,v in zip(('packed', 'tree', 'padded'), (*off, apart(single, many)))}})

def architectures(o):
    for kind in KINDS: yield architecture(kind, o.turns)

def scores_needed(model, ids, keep):
    "The forward pass of a Llama whose last layer computes keys and values everywhere, and the rest only where scores are needed"
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
    core, (n, length) = model.model, ids.shape
    hidden, positions = core.embed_tokens(ids), torch.arange(length)[None]
    cos, sin = core.rotary_emb(hidden, position_ids=positions)
    for layer in core.layers[:-1]:
        hidden = layer(hidden, attention_mask=None, position_embeddings=(cos, sin), position_ids=positions)
    last = core.layers[-1]
    attention, normed, out = last.self_attn, last.input_layernorm(hidden), []
    key, value = (o(normed).view(n, length, -1, attention.head_dim).transpose(1, 2) for o in (attention.k_proj, attention.v_proj))
    key, _ = apply_rotary_pos_emb(key, key, cos, sin)
    for b in range(n):
        at = keep[b].nonzero()[:,0]
        query = attention.q_proj(normed[b,at]).view(1, len(at), -1, attention.head_dim).transpose(1, 2)
        query, _ = apply_rotary_pos_emb(query, query, cos[:,at], sin[:,at])
        mask = torch.arange(length)[None]<=at[:,None]
        seen = torch.nn.functional.scaled_dot_product_attention(query, key[b:b+1], value[b:b+1], mask, scale=attention.scaling, enable_gqa=True)
        out.append(seen.transpose(1, 2).reshape(len(at), -1))
    hidden = hidden[keep]+attention.o_proj(torch.cat(out))
    return model.lm_head(core.norm(hidden+last.mlp(last.post_attention_layernorm(hidden))))

def last_layers(o):
    "The last layer only where scores are needed: tried, not built"
    for layers in (6, 24):
        model, rows = llama(16_000, layers=layers), turns(2, 512, .2, 16_000)
        model.set_attn_implementation('sdpa')
        batch = SegmentCollator(keep_trained=True)(rows)
        total = torch.tensor(len(batch['shift_labels']))
        def usual():
            model.zero_grad(set_to_none=True)
            model(**batch, num_items_in_batch=total, use_cache=False).loss.backward()
        def skipping():
            model.zero_grad(set_to_none=True)
            scores = scores_needed(model, batch['input_ids'], batch['logits_to_keep'])
            (torch.nn.functional.cross_entropy(scores, batch['shift_labels'], reduction='sum')/total).backward()
        usual()
        want = {k: p.grad.double().clone() for k,p in model.named_parameters()}
        skipping()
        off = apart(want, {k: p.grad.double() for k,p in model.named_parameters()})
        cost, seconds = [flops(usual), flops(skipping)], alternate(dict(usual=usual, skipping=skipping), o.turns)
        yield {'rows': '20% trained, 2 x 512 tokens', 'layers': layers, 'GFLOP': round(cost[0]), 'with less of the last layer': round(cost[1]),
               'GFLOP, ratio': round(cost[1]/cost[0], 3), 'CPU time, ratio': ratio(seconds['skipping'], seconds['usual']), 'gradients apart': f'{off:.0e}'}

def part(run, *some, **more): return lambda o: run(o, *some, **more)

STEPS: dict[str, Callable] = dict(
    shares=lambda o: shares(o, *((151_936, (1., .2, .05)) if CUDA else (16_000, (1., .5, .2, .05)))), shares_64k=part(shares, 64_000, (1., .2)), lengths=lengths, templates=templates)
TREES: dict[str, Callable] = dict(
    trees=part(trees, (2, 4)), trees_8=part(trees, (8,)), trees_many=part(trees, (2, 4), 4), trees_dropped=part(trees, (2, 4, 8), reasoning=.3))
PARTS = STEPS|TREES|dict(regrouping=regrouping, history=histories, architectures=architectures, last=last_layers)

# -- the page

GOALS = [('20% trained, 2 x 512 tokens', '64k', KEEP, PLAIN, .5), ('20% trained, 2 x 512 tokens', '16k', KEEP, PLAIN, .7),
         ('16 mixed lengths, 20% of each trained', '4k', PACK, PLAIN, .35), ('8 rows of one template', '16k', TREE, PLAIN, .25),
         ('100% trained, 2 x 512 tokens', '16k', KEEP, PLAIN, 1.05)]
for _n,_most in ((2, .7), (4, .4), (8, .25)):
    GOALS += [(f'1 conversation of {_n} turns', '16k', TREE, KEEP, _most), (f'1 conversation of {_n} turns', '16k', TREE, ONE, 1.1)]
GOALS += [('1 conversation of 8 turns, 30% dropped later', '16k', TREE, base, most) for base,most in ((KEEP, .35), (ONE, 1.3))]

def table(lines: list[dict]) -> list[str]:
    "Markdown; a cell that repeats the one above is left empty in the first two columns"
    names = list(dict.fromkeys(k for l in lines for k in l))
    out, above = ['| '+' | '.join(n.strip() for n in names)+' |', '|'+' --- |'*len(names)], {}
    for l in lines:
        same = [k for k in names[:2] if k in ('rows', 'vocabulary') and all(l[j]==above.get(j) for j in names[:names.index(k)+1])]
        out.append('| '+' | '.join('' if k in same else f'{v:,}' if type(v:=l.get(k, '')) is int else str(v) for k in names)+' |')
        above = l
    return out

def goals(lines: list[dict]) -> list[str]:
    "Whether each was met, by FLOPs and by CPU time"
    found, out = {(l['rows'], l['vocabulary'], l['mode']): l for l in lines}, []
    for rows,vocabulary,mode,base,most in GOALS:
        a, b = (found.get((rows, vocabulary, m)) for m in (mode, base))
        if not a or not b: continue
        got = [a['GFLOP']/b['GFLOP'], a['CPU time, ratio']/b['CPU time, ratio']]
        said = ['met' if o<=most else '**missed**' for o in got]
        out.append(f'- {rows}, {vocabulary}: {mode.removeprefix("segmask: ")} to {base.removeprefix("segmask: ")}, at most {most:.2f}: '
                   f'FLOPs {got[0]:.2f} {said[0]}, CPU time {got[1]:.2f} {said[1]}')
    pairs = [(l, found.get((l['rows'], l['vocabulary'], PACK if l['mode']==FREE else KEEP))) for l in lines if l['mode'] in (TRL, FREE)]
    if pairs: out.append('- ahead of TRL\'s SFTTrainer in the same mode (padded against keep and cut, padding-free against packed), by CPU time: '
                         f'{sum(b is not None and b["CPU time, ratio"]<a["CPU time, ratio"] for a,b in pairs)} of {len(pairs)} lines')
    return out

def machine() -> str:
    info = Path('/proc/cpuinfo')
    names = [l.split(':')[1].strip() for l in info.read_text().splitlines() if l.startswith('model name')] if info.exists() else []
    import trl
    where = torch.cuda.get_device_name() if CUDA else f'{names[0] if names else platform.processor()}, {torch.get_num_threads()} thread'
    return f'{where}, torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}'

TITLES = dict(regrouping='Rows that move within an update', history='The same with a real history', architectures='Architectures', last='The last layer only where it is needed')
NOTES = dict(
    regrouping='Sixteen micro batches an update, shared beginnings, the model with 4 layers. Positions are those of all updates; FLOPs and CPU time those of the first. '
               'A micro batch takes no more than was asked for: the longest row times the size. Of these rows, which are about equally long, two seldom fit into the place of one.',
    history='The newest 640 commits of commitlint as rows of tools/history.py, tokens of Mistral 7B. At micro batch 1 nothing can be saved but what rows share: without an instruction that is nothing, '
            'and the shorter the rows are beside it, the more.',
    architectures='Small models with random weights, 64 wide, two layers, 500 words; twelve rows of 20 to 230 tokens. The ratios are to the plain padded batch. Gradients are compared with rows one by one, '
                  'in 32 bits, relative to the largest; the last column is what padding alone makes of rounding. So small a model spends its time on calls, and CPU time falls less than FLOPs.',
    last='Tried with a forward pass written for one architecture, not built: keys and values of the last layer everywhere, the rest of it where scores are needed. '
         'It would need the inside of each architecture\'s attention (fused projections, norms of heads, parallel layers), and gives little in models as deep as people train.')

def loads(parts): # processes that wanted a core
    some = [o['load'] for o in parts.values() if 'load' in o]
    return f'{min(some):.0f} to {max(some):.0f} on {os.cpu_count()} cores' if some else 'not recorded'

def page(parts: dict[str, dict]) -> str:
    lines, trees = ([l for k in some if k in parts for l in parts[k]['lines']] for some in (STEPS, TREES))
    model = 'a model of the shape of Qwen2.5-0.5B, bf16' if CUDA else 'Llama, hidden 256, 6 layers, tied embeddings, 32 bits'
    dates, turned = sorted({o['date'] for o in parts.values()}), [o['turns'] for o in parts.values()]
    out = ['## Training', '',
           f'`make bench-train` (bench/train.py). One training step (forward, backward, clipping) through the trainer itself, on the same random rows: {model}, SGD.', '',
           'FLOPs are counted by torch\'s FlopCounterMode, one step each, and exact: matrix products and attention (half of it where it is causal). '
           f'CPU time is measured: the modes take turns ({min(turned)} to {max(turned)} of them), and a ratio is the median over turns, to the first mode of the same rows. '
           f'Other work ran on the machine at the same time (load {loads(parts)}): CPU ratios scatter by a tenth, and wall time says nothing.', '',
           f'{" and ".join(dates)}, {machine()}.', '', *table(lines), '',
           '### Unrolled conversations', '',
           'A row for each turn, as the model will meet it: all that was said before, a question, and a reply, which is trained; the same model with 4 layers, scores at trained positions only. '
           'The ratios are to these rows padded. The last line of each is the conversation as one ordinary row. "30% dropped later": a reply begins with reasoning, a third of the turn, '
           'that later rows do not show, so that each answer stands twice, behind its reasoning and without it.', '', *table(trees), '',
           '### Goals', '', *goals(lines+trees), '']
    for k,title in TITLES.items():
        if parts.get(k, {}).get('lines'): out += [f'### {title}', '', NOTES[k], '', *table(parts[k]['lines']), '']
    out += ['### What the columns leave out', '',
            'The peak of a whole step holds weights, gradients and activations; only the part that scores take goes with the trained share (vocabulary x 4 bytes for each). '
            'TRL skips masked scores only on GPUs, with Triton; on a CPU it computes all of them, and its metrics besides. A product that its loss adds in place is not counted, so its GFLOP are too low.', '']
    return '\n'.join([*out, *([] if CUDA else ['Not measured: anything on a GPU (`python bench/train.py --cuda`).', ''])])

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--only', default=','.join(PARTS), help=f'parts to run: {", ".join(PARTS)}; page: none, only write the page')
    a.add_argument('--quick', action='store_true', help='two turns, and fewer cases')
    a.add_argument('--turns', type=int, default=3, help='how often the modes take turns (default: 3)')
    a.add_argument('--threads', type=int, default=1, help='one by default: threads that wait for each other burn CPU time on a busy machine')
    a.add_argument('--cuda', action='store_true', help='on a GPU: a model of 0.5 B weights in bf16; tokens a second and peak memory are the figures to look at')
    a.add_argument('--history', default=os.environ.get('COMMITLINT'), help='a git repository with conventional commits, for the part history')
    a.add_argument('--work', type=Path, default=here/'.parts', help='where the lines of parts are kept')
    a.add_argument('--out', type=Path, help='write the page here')
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    global CUDA
    CUDA, o.turns = o.cuda, 2 if o.quick else o.turns
    o.work.mkdir(exist_ok=True)
    wanted = [k for k in o.only.split(',') if k!='page']
    if unknown := set(wanted)-set(PARTS): a.error(f'there is no part {", ".join(unknown)}; there are {", ".join(PARTS)}')
    for k in wanted:
        if CUDA and k not in ('shares', 'lengths'): continue # the others say it in ratios already
        lines = []
        for line in PARTS[k](o):
            print('  '.join(f'{name} {v}' for name,v in line.items()), flush=True)
            lines.append(line)
            (o.work/f'{k}.json').write_text(json.dumps(dict(date=str(date.today()), turns=o.turns, load=os.getloadavg()[1], lines=lines), indent=1))
    made = page({k: json.loads(f.read_text()) for k in PARTS if (f := o.work/f'{k}.json').exists()})
    print('\n'+made)
    if o.out: o.out.write_text(made)

if __name__=='__main__': main()
