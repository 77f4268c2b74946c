"The collator computes the same loss and gradients as padding, and packed rows do not see each other"
import random

import pytest
import torch
from transformers import GPT2Config, GemmaConfig, Gemma3TextConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, AutoModelForCausalLM, Trainer, TrainingArguments

from segmask.data.batches import batch_rows, lost_and_added, plain_batch
from segmask.training.attention import KERNEL
from segmask.training.collator import SegmentCollator
from segmask.training.proof import prove
from segmask.training.trial import segment_attention, segment_trial
from segmask.training.weights import use_weights, weight_of

V = 150
torch.set_num_threads(1) # small models: more threads wait for each other
small = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=V, max_position_embeddings=128)
configs = {
    'llama': lambda: LlamaConfig(**small),
    'mistral': lambda: MistralConfig(**small, sliding_window=12), # shorter than the rows
    'qwen2': lambda: Qwen2Config(**small, tie_word_embeddings=True),
    'qwen3': lambda: Qwen3Config(**small, head_dim=8),
    'gpt2': lambda: GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=128, vocab_size=V, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0),
    'gemma': lambda: GemmaConfig(**small, head_dim=8),
    'gemma3_text': lambda: Gemma3TextConfig(**small, head_dim=8, sliding_window=12, layer_types=['sliding_attention', 'full_attention']),
}
# largest difference of the loss, and of a gradient relative to the largest gradient
bounds = {torch.float64: (1e-11, 1e-10),
           torch.float32: (2e-6, 2e-5), torch.bfloat16: (3e-2, 6e-2)}
modes = {'keep and cut': dict(keep_trained=True), 'cut': {}, 'usual': dict(cut_tail=False), 'keep': dict(keep_trained=True, cut_tail=False),
         'pack': dict(pack=True), 'pack and keep': dict(pack=True, keep_trained=True), 'share': dict(share_prefixes=True), 'pack and share': dict(pack=True, share_prefixes='auto', keep_trained=True)}

def model_of(kind, dtype=torch.float64, **kw):
    torch.manual_seed(0)
    cfg = configs[kind]()
    for k,v in kw.items(): setattr(cfg, k, v)
    model = AutoModelForCausalLM.from_config(cfg, attn_implementation='sdpa').to(dtype)
    if dtype==torch.float64:
        model.loss_function = loss_in_64_bits
        for m in model.modules(): norm_in_64_bits(m)
    return model

def norm_in_64_bits(m):
    "transformers computes these in 32 bits, whatever the model's dtype"
    if not type(m).__name__.endswith('RMSNorm'): return
    eps, one = getattr(m, 'variance_epsilon', None) or m.eps, float('Gemma' in type(m).__name__)
    m.forward = lambda x: x*torch.rsqrt(x.pow(2).mean(-1, keepdim=True)+eps)*(m.weight+one)

def loss_in_64_bits(logits, labels, vocab_size, num_items_in_batch=None, shift_labels=None, **kwargs):
    "transformers' ForCausalLMLoss without the cast to 32 bits"
    if shift_labels is None: shift_labels = torch.nn.functional.pad(labels, (0, 1), value=-100)[...,1:]
    total = torch.nn.functional.cross_entropy(logits.reshape(-1, vocab_size), shift_labels.reshape(-1), reduction='sum')
    return total/(num_items_in_batch if num_items_in_batch is not None else (shift_labels!=-100).sum())

def row(rng, n, trained, start=()):
    ids = [*start, *(rng.randrange(3, V) for _ in range(n-len(start)))]
    return dict(input_ids=ids, labels=[i if t in trained else -100 for t,i in enumerate(ids)])

def some_rows(seed=0):
    "Mixed lengths, two templates, several turns, text after the last trained token, the first token trained, nothing trained"
    rng = random.Random(seed)
    a, b = [[rng.randrange(3, V) for _ in range(n)] for n in (18, 9)]
    return [row(rng, 30, range(25, 30), a), row(rng, 22, {20}, a), row(rng, 26, [*range(20, 23), 25], a), row(rng, 14, range(10, 12), b), row(rng, 16, range(12, 16), b),
            row(rng, 40, [5, 6, 7, 20, 21]), row(rng, 7, range(7)), row(rng, 11, []), row(rng, 2, {1}), row(rng, 24, range(20, 24), a)]

def measure(model, batches, n=None):
    "Loss and gradients of some batches that are one update"
    model.zero_grad()
    n, total = torch.tensor(n if n is not None else 1), 0.
    for b in batches:
        loss = model(**b, num_items_in_batch=n, use_cache=False).loss
        loss.backward()
        total += loss.item()
    return total, {k: p.grad.double().clone() for k,p in model.named_parameters() if p.requires_grad and p.grad is not None}

def trained(rows): return sum(o!=-100 for r in rows for o in r['labels'][1:])

def check(model, rows, collator, bound, batches=1):
    k = -(-len(rows)//batches)
    parts, n = [rows[i:i+k] for i in range(0, len(rows), k)], trained(rows)
    if model.config._attn_implementation==KERNEL: model.set_attn_implementation('sdpa')
    a, g = measure(model, [plain_batch(o) for o in parts], n)
    if collator.pack or collator.share_prefixes: assert (t := segment_attention(model)).passed, t
    b, h = measure(model, [collator(o) for o in parts], n)
    largest = max(o.abs().max() for o in g.values())
    assert abs(a-b)<=bound[0]*max(1, abs(a))
    assert set(g)==set(h) and largest>0
    assert max((g[k]-h[k]).abs().max() for k in g)<=bound[1]*largest

@pytest.mark.parametrize('mode', modes)
@pytest.mark.parametrize('kind', configs)
def test_exact_in_64_bits(kind, mode): check(model_of(kind), some_rows(), SegmentCollator(**modes[mode]), bounds[torch.float64])

@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=['fp32', 'bf16'])
@pytest.mark.parametrize('mode', ['keep and cut', 'pack and share'])
@pytest.mark.parametrize('kind', configs)
def test_exact_up_to_rounding(kind, mode, dtype): check(model_of(kind, dtype), some_rows(), SegmentCollator(**modes[mode]), bounds[dtype])

@pytest.mark.parametrize('mode', modes)
@pytest.mark.parametrize('rows', [some_rows()[:1], some_rows()[8:9], some_rows()[6:8], [some_rows()[0]]*3], ids=['one row', 'two tokens', 'one is masked', 'the same row'])
def test_odd_batches(rows, mode): check(model_of('llama'), rows, SegmentCollator(**modes[mode]), bounds[torch.float64])

@pytest.mark.parametrize('mode', modes)
def test_random_batches(mode):
    "Rows from a few beginnings, trained at random"
    model, rng = model_of('llama'), random.Random(1)
    for _ in range(8):
        starts = [[rng.randrange(3, V) for _ in range(rng.randrange(0, 12))] for _ in range(3)]
        rows = [row(rng, n, {t for t in range(n) if rng.random()<.2}, rng.choice(starts)[:n]) for n in (rng.randrange(2, 30) for _ in range(rng.randrange(1, 9)))]
        if trained(rows): check(model, rows, SegmentCollator(**modes[mode]), bounds[torch.float64])

@pytest.mark.parametrize('mode', modes)
def test_a_batch_can_be_read_back(mode):
    "Every trained token of every row, and nothing else, is in the batch"
    seen = sorted(tuple(zip(o['input_ids'], o['labels'])) for o in batch_rows(SegmentCollator(**modes[mode])(some_rows())))
    want = [tuple(zip(o['input_ids'], [-100, *o['labels'][1:]])) for o in some_rows()]
    cut = lambda o: o[:max((i+1 for i,(_,l) in enumerate(o) if l!=-100), default=0)]
    assert [o for o in map(cut, seen) if o]==sorted(o for o in map(cut, want) if o)

@pytest.mark.parametrize('mode', ['keep and cut', 'pack and share'])
def test_accumulation(mode): check(model_of('llama'), some_rows(), SegmentCollator(**modes[mode]), bounds[torch.float64], batches=4)

@pytest.mark.parametrize('mode', ['keep and cut', 'pack and share'])
@pytest.mark.parametrize('kind', configs)
def test_gradient_checkpointing(kind, mode):
    model = model_of(kind)
    model.gradient_checkpointing_enable(dict(use_reentrant=False))
    model.train()
    check(model, some_rows(), SegmentCollator(**modes[mode]), bounds[torch.float64])

@pytest.mark.parametrize('mode', ['keep and cut', 'pack and share'])
@pytest.mark.parametrize('kind', ['llama', 'gpt2'])
def test_lora(kind, mode):
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(1)
    model = get_peft_model(model_of(kind), LoraConfig(r=4, target_modules='all-linear', init_lora_weights=False, task_type='CAUSAL_LM')).double()
    base = model.get_base_model()
    a, g = measure(model, [plain_batch(some_rows())], n := trained(some_rows()))
    if mode!='keep and cut': assert segment_attention(model).passed and base.config._attn_implementation==KERNEL
    b, h = measure(model, [SegmentCollator(**modes[mode])(some_rows())], n)
    assert abs(a-b)<1e-11 and set(g)==set(h) and all('lora' in k for k in g)
    assert max((g[k]-h[k]).abs().max() for k in g)<1e-10*max(o.abs().max() for o in g.values())

def test_all_masked_batch_has_gradients_of_zero():
    model = model_of('llama')
    for mode in modes.values():
        if mode.get('pack') or mode.get('share_prefixes'): segment_attention(model)
        loss, g = measure(model, [SegmentCollator(**mode)([some_rows()[7]]*2)], 5)
        assert loss==0 and all(o.abs().max()==0 for o in g.values())

@pytest.mark.parametrize('dtype', bounds, ids=str)
@pytest.mark.parametrize('kind', configs)
def test_trial_passes(kind, dtype): assert (t := segment_trial(model_of(kind, dtype))).passed, t

@pytest.mark.parametrize('share', [False, True])
@pytest.mark.parametrize('kind', configs)
def test_no_leak(kind, share):
    "Another token somewhere moves no loss by a bit that does not see it"
    model, rng = model_of(kind).eval(), random.Random(9)
    assert segment_attention(model).passed
    batch = SegmentCollator(pack=True, share_prefixes=share, keep_trained=True)(some_rows()[:7])
    closes, at = batch['attention_mask'][0,0,0], batch['logits_to_keep']
    n = len(closes)
    def own_losses(ids):
        with torch.no_grad():
            logits = model(**{k: v for k,v in batch.items() if 'labels' not in k} | dict(input_ids=ids), use_cache=False).logits[0]
        return torch.nn.functional.cross_entropy(logits, batch['shift_labels'][0], reduction='none')
    before = own_losses(batch['input_ids'])
    for hit in rng.sample(range(n), 12):
        moved = own_losses(batch['input_ids'].where(torch.arange(n)!=hit, (batch['input_ids']+1)%V))!=before
        sees = (at>=hit) & (at<closes[hit])
        assert not moved[~sees].any() and (moved[sees & (at-hit<5)].any() or not (sees & (at-hit<5)).any())

def test_stock_attention_does_not_take_a_layout():
    for how in ('sdpa', 'eager'):
        model = model_of('llama')
        model.set_attn_implementation(how)
        for rows in (some_rows(), some_rows()[:1], some_rows()[8:9]):
            with pytest.raises(RuntimeError, match='segment_attention'): model(**SegmentCollator(pack=True)(rows), use_cache=False)

def test_padded_batches_and_generation_go_on_as_before():
    model = model_of('mistral').eval()
    ids, batch = torch.tensor([some_rows()[0]['input_ids']]), plain_batch(some_rows())
    before = model(**batch).loss, model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    segment_attention(model)
    after = model(**batch).loss, model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])

def test_prove_finds_a_leak():
    model = model_of('llama')
    segment_attention(model)
    class Leaky(SegmentCollator):
        def __call__(self, rows):
            batch = super().__call__(rows)
            n = batch['input_ids'].shape[1]
            layout = batch['attention_mask'].clone()
            layout[0,0,0] = n
            return {**batch, 'attention_mask': layout}
    assert prove(model, SegmentCollator(pack=True), some_rows()).close
    assert not prove(model, Leaky(pack=True), some_rows()).close

# -- the trainers of others

class Rows(torch.utils.data.Dataset):
    def __init__(self, rows): self.rows = rows
    def __len__(self): return len(self.rows)
    def __getitem__(self, i): return self.rows[i]

def arguments(tmp_path, **kw):
    return dict(output_dir=str(tmp_path), per_device_train_batch_size=3, gradient_accumulation_steps=2, max_steps=4, logging_steps=1, learning_rate=1e-2, report_to='none', use_cpu=True,
                save_strategy='no', disable_tqdm=True, seed=3, eval_strategy='steps', eval_steps=2, prediction_loss_only=True, per_device_eval_batch_size=20, **kw)

def losses(trainer):
    trainer.train()
    return [(o.get('loss'), o.get('grad_norm'), o.get('eval_loss')) for o in trainer.state.log_history if 'loss' in o or 'eval_loss' in o]

def equal(a, b, bound): return len(a)==len(b) and all((x is None and y is None) or abs(x-y)<=bound*max(1, abs(x)) for o,p in zip(a, b) for x,y in zip(o, p))

@pytest.mark.parametrize('mode', ['keep and cut', 'pack and share'])
def test_unmodified_trainer(mode, tmp_path):
    rows = some_rows()+some_rows(1)
    def run(collator):
        model = model_of('llama', torch.float32)
        if collator and collator.pack: segment_attention(model)
        return losses(Trainer(model, TrainingArguments(**arguments(tmp_path)), train_dataset=Rows(rows), eval_dataset=Rows(rows), data_collator=collator or plain_batch))
    plain, ours = run(None), run(SegmentCollator(**modes[mode]))
    assert len(plain)==6 and equal(plain, ours, 2e-4)

def test_trl_sft_trainer(tmp_path):
    "In its padding mode, with pre-tokenized rows"
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
    from transformers import PreTrainedTokenizerFast
    from tokenizers import Tokenizer, models
    tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({f't{i}': i for i in range(V)}, unk_token='t0')), pad_token='t0', eos_token='t1')
    rows = some_rows()+some_rows(1)
    def run(collator):
        args = SFTConfig(**arguments(tmp_path), max_length=None, dataset_kwargs=dict(skip_prepare_dataset=True), remove_unused_columns=False, bf16=False, loss_type='nll')
        return losses(SFTTrainer(model_of('llama', torch.float32), args, train_dataset=Dataset.from_list(rows), eval_dataset=Dataset.from_list(rows), processing_class=tok, data_collator=collator))
    plain, ours = run(plain_batch), run(SegmentCollator(tok))
    assert len(plain)==6 and equal(plain, ours, 2e-4)

# -- trees

def conversations(n=2, turns=4, seed=3):
    "Each conversation as one row a turn, with all before it; the turn's answer is trained"
    rng, rows, whole = random.Random(seed), [], []
    for _ in range(n):
        ids = [1]
        whole.append((ids, [-100]))
        for _ in range(turns):
            ids = [*ids, *(rng.randrange(3, V) for _ in range(rng.randrange(6, 14)))]
            rows.append(dict(input_ids=ids, labels=[-100]*(len(ids)-4)+ids[-4:]))
            whole[-1] = ids, [*whole[-1][1], *[-100]*(len(ids)-4-len(whole[-1][1])), *ids[-4:]]
    return rows, [dict(input_ids=i, labels=l) for i,l in whole]

def branching(seed=1):
    "Branches of branches, a row inside another, a row twice, other labels and weights at one token"
    rng, rows = random.Random(seed), []
    text = lambda k: [rng.randrange(3, V) for _ in range(k)]
    for _ in range(14):
        old = rng.choice(rows)['input_ids'] if rows else text(40)
        ids = old[:rng.randint(2, len(old))]+text(rng.choice([0, 3, 30, 9]))
        labels = [i if rng.random()<.5 else rng.choice([-100, 7]) for i in ids]
        rows.append(dict(input_ids=ids, labels=labels, weights=[rng.choice([1., .25, .5]) if l!=-100 else 0. for l in labels]))
    return rows+[rows[0], dict(input_ids=rows[1]['input_ids'], labels=rows[1]['input_ids'])]

def by_hand(model, rows):
    "sum(w*l)/sum(w), a row at a time, from all scores in 64 bits"
    model.zero_grad()
    weights = lambda r: r.get('weights') or [float(l!=-100) for l in r['labels']]
    total = sum(w for r in rows for w,l in zip(weights(r)[1:], r['labels'][1:]) if l!=-100)
    loss = 0.
    for r in rows:
        logits = model(input_ids=torch.tensor([r['input_ids']]), use_cache=False).logits[0,:-1].double()
        losses = torch.nn.functional.cross_entropy(logits, torch.tensor(r['labels'][1:]), reduction='none')
        some = (losses*torch.tensor(weights(r)[1:], dtype=torch.float64)).sum()/total
        some.backward()
        loss += some.item()
    return loss, {k: p.grad.double().clone() for k,p in model.named_parameters() if p.grad is not None}, total

def equal_by_hand(model, rows, collator, parts=1, bound=(1e-11, 1e-10)):
    a, g, total = by_hand(model, rows)
    if collator.pack or collator.share_prefixes: assert segment_attention(model).passed
    batches = [collator(rows[i::parts]) for i in range(parts)]
    assert abs(sum(weight_of(b).item() for b in batches)-total)<1e-6
    b, h = measure(model, batches, total)
    if hasattr(model, 'config') and model.config._attn_implementation==KERNEL: model.set_attn_implementation('sdpa')
    largest = max(o.abs().max() for o in g.values())
    assert abs(a-b)<=bound[0]*max(1, abs(a)) and set(g)==set(h)
    assert max((g[k]-h[k]).abs().max() for k in g)<=bound[1]*largest

@pytest.mark.parametrize('turns,read', [(2, .5), (4, .25), (8, .13)])
def test_unrolled_conversations_are_read_once(turns, read):
    "Exactly as many tokens as the conversations have, less the last of each, which is not read"
    rows, whole = conversations(3, turns)
    batch = SegmentCollator(share_prefixes=True, report=True)(rows)
    assert batch['input_ids'].numel()==sum(len(r['input_ids'])-1 for r in whole)-2 # they begin with the same token
    assert lost_and_added(rows, {k: v for k,v in batch.items() if k!='segmask'})==(0, 0)
    assert lost_and_added(whole, {k: v for k,v in batch.items() if k!='segmask'})==(0, 0) # and that is all there is to learn
    assert batch['segmask']['computed']<=1.3*read*batch['segmask']['padded']

@pytest.mark.parametrize('kind', configs)
def test_trees_are_exact(kind):
    model = model_of(kind)
    use_weights(model)
    for rows in (branching(), conversations()[0]): equal_by_hand(model, rows, SegmentCollator(share_prefixes=True))

def test_trees_are_exact_in_32_bits():
    model = model_of('llama', torch.float32)
    use_weights(model)
    equal_by_hand(model, conversations(2, 4)[0], SegmentCollator(share_prefixes=True), bound=(1e-6, 2e-6))

@pytest.mark.parametrize('reentrant', [False, True])
def test_trees_with_checkpointing(reentrant):
    model = model_of('qwen3').train()
    use_weights(model)
    model.gradient_checkpointing_enable(dict(use_reentrant=reentrant))
    equal_by_hand(model, branching(), SegmentCollator(share_prefixes=True))

# -- weights

def some_weighted(seed=0):
    rng = random.Random(seed)
    return [dict(r, weights=[0. if l==-100 else rng.choice([1., .5, .25, .125]) for l in r['labels']]) for r in some_rows(seed)]

@pytest.mark.parametrize('parts', [1, 3])
@pytest.mark.parametrize('mode', modes)
def test_weights_equal_a_loss_by_hand(mode, parts):
    model = model_of('llama')
    use_weights(model)
    equal_by_hand(model, some_weighted(), SegmentCollator(**modes[mode]), parts)

@pytest.mark.parametrize('mode', ['keep and cut', 'pack and share'])
def test_weights_with_lora(mode):
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(1)
    model = get_peft_model(model_of('llama'), LoraConfig(r=4, target_modules='all-linear', init_lora_weights=False, task_type='CAUSAL_LM')).double()
    use_weights(model)
    a, g, total = by_hand(model, some_weighted())
    if mode!='keep and cut': assert segment_attention(model).passed
    b, h = measure(model, [SegmentCollator(**modes[mode])(some_weighted())], total)
    assert abs(a-b)<1e-11 and max((g[k]-h[k]).abs().max() for k in g)<1e-10*max(o.abs().max() for o in g.values())

@pytest.mark.parametrize('mode', modes)
def test_weights_of_nothing_and_one_are_labels_to_the_bit(mode):
    plain, weighted = model_of('llama', torch.float32), model_of('llama', torch.float32)
    use_weights(weighted)
    rng, rows = random.Random(4), some_rows()
    on = [[l!=-100 and rng.random()<.7 for l in r['labels']] for r in rows]
    as_labels = [dict(r, labels=[l if o else -100 for l,o in zip(r['labels'], w)]) for r,w in zip(rows, on)]
    as_weights = [dict(r, weights=[float(o) for o in w]) for r,w in zip(rows, on)]
    collator, n = SegmentCollator(**modes[mode]), trained(as_labels)
    for m in (plain, weighted):
        if collator.pack or collator.share_prefixes: segment_attention(m)
    a, g = measure(plain, [collator(as_labels)], n)
    b, h = measure(weighted, [collator(as_weights)], n)
    assert a==b and all(torch.equal(g[k], h[k]) for k in g)

@pytest.mark.parametrize('mode', ['usual', 'keep and cut', 'pack and share'])
def test_weights_in_the_unmodified_trainer(mode, tmp_path):
    "The update is divided by its weights, over micro batches of different weight"
    rows = some_weighted()+some_weighted(1)
    def run(collator):
        model = model_of('llama', torch.float32)
        use_weights(model)
        if collator.pack: assert segment_attention(model).passed
        args = {**arguments(tmp_path), 'eval_strategy':'no'}
        return losses(Trainer(model, TrainingArguments(**args, remove_unused_columns=False), train_dataset=Rows(rows), data_collator=collator))
    model = model_of('llama', torch.float32)
    got = run(SegmentCollator(**modes[mode]))
    from transformers import set_seed
    set_seed(3)
    trainer = Trainer(model, TrainingArguments(**{**arguments(tmp_path), 'eval_strategy':'no'}, remove_unused_columns=False), train_dataset=Rows(rows), data_collator=lambda o: o)
    first = [r for b,_ in zip(trainer.get_train_dataloader(), range(2)) for r in b]
    assert abs(by_hand(model, first)[0]-got[0][0])<1e-4 and len(got)==4

# -- rows move within an update

def pull_requests(n=64, seed=5):
    "Two instructions before texts of mixed lengths, an answer of two tokens: in the shape of pull requests to classify"
    rng = random.Random(seed)
    starts = [[rng.randrange(3, V) for _ in range(k)] for k in (40, 28)]
    return [row(rng, len(s)+k+2, range(len(s)+k, len(s)+k+2), s) for s,k in ((rng.choice(starts), rng.choice([6, 10, 14, 20, 60])) for _ in range(n))]

@pytest.mark.parametrize('micro,less', [(1, .25), (4, 0)])
def test_regrouped_rows_are_the_same_update(micro, less):
    from segmask.training.updates import regrouped
    rows, model = pull_requests(), model_of('llama')
    collator, longest = SegmentCollator(share_prefixes='auto', keep_trained=True), max(len(r['input_ids']) for r in rows)
    assert segment_attention(model).passed
    before = after = 0
    for a in range(0, len(rows), 16):
        micros = [rows[i:i+micro] for i in range(a, a+16, micro)]
        moved = regrouped(micros, collator, micro*longest)
        assert len(moved)==len(micros) and sorted(str(r) for o in moved for r in o)==sorted(str(r) for o in micros for r in o)
        batches = [collator(o) for o in moved if o]
        assert max(b['input_ids'].numel() for b in batches)<=micro*longest
        before += sum(collator(o)['input_ids'].numel() for o in micros)
        after += sum(b['input_ids'].numel() for b in batches)
        if not a:
            (x, g), (y, h) = (measure(model, o, trained(rows[:16])) for o in ([collator(o) for o in micros], batches))
            assert abs(x-y)<1e-11 and max((g[k]-h[k]).abs().max() for k in g)<1e-10*max(o.abs().max() for o in g.values())
    assert after<=(1-less)*before, (before, after)

@pytest.mark.parametrize('share', [False, True, 'auto'])
@pytest.mark.parametrize('pack', [False, True])
def test_moved_rows_take_no_more_memory(pack, share):
    from segmask.training.collator import needed
    from segmask.training.updates import regrouped
    rng, collator, moves = random.Random(3), SegmentCollator(keep_trained=True, pack=pack, share_prefixes=share), 0
    def size(rows, read): return read(rows)+sum(o!=-100 for r in rows for o in r.wants) # positions read and scored
    def asked(rows): return sum(len(r.ids) for r in rows) if pack else max(len(r.ids) for r in rows)*len(rows)
    for _ in range(200):
        micro, start = rng.randrange(1, 5), [3]*rng.choice([0, 2, 20])
        rows = [row(rng, len(start)+n, {len(start)+n-1}, start) for n in (rng.choice([rng.randrange(18, 23), 66]) for _ in range(4*micro))]
        micros = [rows[i:i+micro] for i in range(0, len(rows), micro)]
        limit = max(size([needed(r) for r in o], asked) for o in micros)
        moved = [[needed(r) for r in o] for o in regrouped(micros, collator) if o]
        assert all(size(o, collator.positions)<=limit for o in moved)
        moves += moved!=[[needed(r) for r in o] for o in micros]
    assert moves or not share

@pytest.mark.parametrize('workers', [0, 2])
def test_a_loader_with_workers(workers):
    rows = some_rows()+some_weighted(1)
    loader = torch.utils.data.DataLoader(rows, 4, collate_fn=SegmentCollator(pack=True, share_prefixes=True), num_workers=workers)
    model = model_of('llama')
    use_weights(model)
    assert segment_attention(model).passed
    for k,b in enumerate(loader):
        assert lost_and_added(rows[4*k:4*k+4], b)==(0, 0)
        assert model(**b, use_cache=False).loss.isfinite()

def test_a_streaming_data_set(tmp_path):
    "Accelerate cuts batches of a stream by rows, which the usual columns allow"
    from datasets import Dataset
    rows = some_rows()+some_rows(1)
    args = {**arguments(tmp_path), 'eval_strategy':'no', 'gradient_accumulation_steps':1}
    def run(data, collator):
        return losses(Trainer(model_of('llama', torch.float32), TrainingArguments(**args), train_dataset=data, data_collator=collator))
    stream = lambda: Dataset.from_list(rows).to_iterable_dataset()
    assert equal(run(stream(), plain_batch), run(stream(), SegmentCollator()), 2e-4)

def test_noise_is_scaled_to_the_plain_length(tmp_path):
    from segmask.config.config import TrainingConfig
    from segmask.training.trainer import SegmentTrainer
    rows, seen = [dict(r, row=i) for i,r in enumerate(some_rows()[:6])], []
    model = model_of('llama', torch.float32)
    assert segment_attention(model).passed
    args = TrainingArguments(**{**arguments(tmp_path), 'eval_strategy':'no', 'max_steps':1}, neftune_noise_alpha=5., remove_unused_columns=False)
    collator = SegmentCollator(pack=True, keep_trained=True, report=True)
    trainer = SegmentTrainer(model=model, args=args, train_dataset=rows, cfg=TrainingConfig.of(dict(base_model='m', datasets=[dict(path='a', type='input_output')])), data_collator=collator, regroup=False)
    forward = model.forward
    def watched(*a, **kw):
        seen.append(model.get_input_embeddings().neftune_noise_alpha/kw['input_ids'].shape[1]**.5)
        return forward(*a, **kw)
    model.forward = watched
    trainer.train()
    lens = {len(r['input_ids']) for r in rows}
    assert len(seen)==2 and all(any(abs(o-5/n**.5)<1e-6 for n in lens) for o in seen) # as long as the longest row of each batch

# -- the proof

def faulty(mode, fault):
    class Faulty(SegmentCollator):
        def __call__(self, rows):
            rows = [dict(r, labels=list(r['labels'])) for r in rows]
            on = [i for i,l in enumerate(rows[2]['labels']) if l!=-100]
            if fault=='dropped': rows[2]['labels'][on[0]] = -100
            if fault=='changed': rows[2]['labels'][on[0]] = (rows[2]['labels'][on[0]]+1)%V
            if fault=='shifted': rows[2]['labels'] = rows[2]['labels'][1:]+[-100]
            if fault=='another token': rows[2] = dict(rows[2], input_ids=[*rows[2]['input_ids'][:3], 4, *rows[2]['input_ids'][4:]])
            return super().__call__(rows)
    return Faulty(**modes[mode])

@pytest.mark.parametrize('fault', ['dropped', 'changed', 'shifted', 'another token'])
@pytest.mark.parametrize('mode', ['keep and cut', 'usual', 'pack and share'])
@pytest.mark.parametrize('how', ['fp32', 'bf16', 'lora'])
def test_a_wrong_label_is_refused(how, mode, fault):
    model = model_of('llama', torch.bfloat16 if how=='bf16' else torch.float32)
    if how=='lora':
        from peft import LoraConfig, get_peft_model
        model = get_peft_model(model, LoraConfig(r=4, target_modules='all-linear', task_type='CAUSAL_LM'))
    if 'pack' in mode: assert segment_attention(model).passed
    assert prove(model, SegmentCollator(**modes[mode]), some_rows()).close
    found = prove(model, faulty(mode, fault), some_rows())
    assert not found.close and 'NOT the same labels' in repr(found) and 'the same loss' not in repr(found)

# -- architectures

@pytest.fixture(scope='module')
def bench():
    import importlib.util
    from pathlib import Path
    spec = importlib.util.spec_from_file_location('bench_train', Path(__file__).parents[1]/'bench'/'train.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def same_gradients(line):
    "Packed, as a tree and padded: within rounding of rows one by one"
    return all(line[f'{k}: gradients apart']<2e-6 for k in ('packed', 'tree', 'padded'))

@pytest.mark.parametrize('kind', 'phi3 gpt_neox smollm3 olmo2 granite mixtral cohere starcoder2'.split())
def test_eight_more_architectures(bench, kind):
    line = bench.architecture(kind, 1)
    assert line['trial']=='passed' and same_gradients(line), line
    assert line['tree: GFLOP, ratio']<=line['packed: GFLOP, ratio']<.3

@pytest.mark.slow
def test_the_trial_decides(bench):
    "At least 24 architectures share a sequence; what keeps more than attention from token to token does not"
    lines = {k: bench.architecture(k, 1) for k in bench.KINDS}
    passed = {k for k,o in lines.items() if o['trial']=='passed'}
    assert not passed&set('llama_dynamic falcon_alibi bloom mpt mamba rwkv falcon_h1 lfm2'.split())
    assert len(passed-{'llama_yarn'})>=24 and all(same_gradients(lines[k]) for k in passed), lines
