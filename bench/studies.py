"""The runs behind the lesson `nbs/tutorials/to_mask_or_not.ipynb`: three studies with SmolLM2-135M-Instruct on a CPU.

    python bench/studies.py data COMMITLINT GSM8K   rows, from a clone and from the data set's JSONL file
    python bench/studies.py run MODEL [NAME ...]    runs that are not finished; results go beside the rows

MODEL is a folder with the unpacked weights; the lesson on tools shows how to make it. What is finished is kept under
WORK (studies-work), so a run that was stopped goes on where it was."""
import json, math, os, random, re, sys, time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

os.environ.setdefault('HF_HUB_OFFLINE', '1')
sys.path.insert(0, str(Path(__file__).parents[1]/'tools'))
import history

import torch
import torch.nn.functional as F
from transformers import TrainerCallback

from segmask import (Encoded, Encoder, Segments, TrainingConfig, compare, load_tokenizer, masked, read_jsonl, train,
                     trained, write_jsonl)
from segmask.core import IGNORE_INDEX
from segmask.masks import train as train_rule, weigh
from segmask.training.arms import as_written
from segmask.training.comparison import Comparison
from segmask.training.losses import token_losses
from segmask.training.model import load_model

HERE = Path(__file__).parents[1]/'nbs'/'tutorials'/'studies'
WORK = Path(os.environ.get('WORK', 'studies-work'))
END = '<|im_end|>'
SEEDS = 5

# -- rows

KINDS = 'fix', 'feat', 'docs', 'chore'

def commit(entry: str) -> tuple[str, Segments]|None:
    "A commit as its type and a row: the title without the type, the files, some changed lines"
    author, subject, _, diff = entry.split('\1', 3)
    found = history.TYPE.match(subject)
    if history.BOT.search(author) or not found or found[1] not in KINDS: return None
    title = re.sub(r'\s*\(#\d+\)$', '', history.TYPE.sub('', subject))[:80]
    files = re.findall(r'^\+\+\+ b/(.*)$', diff, re.M)[:2]
    lines = [l[:60] for l in re.findall(r'^[+-](?![+-]).*\w.*$', diff, re.M)[:2]]
    question = '\n'.join([f'Title: {title}', f'Files: {" ".join(o[-40:] for o in files)}', *lines, 'Type:'])
    return found[1], masked(question) + trained(f' {found[1]}') # a token of one word: no end is needed

def commits(repository: str) -> list[Segments]:
    "Rows, the newest first, none twice"
    found = filter(None, map(commit, history.log(repository).split('\0')[1:]))
    return list({row.text: row for _,row in found}.values())

def calculator(problem: dict) -> Segments:
    "A problem of GSM8K; what the calculator answers is masked"
    row = masked(f"<|im_start|>user\n{problem['question']}{END}\n<|im_start|>assistant\n")
    parts = re.split(r'((?<==)[^=<>]*>>)', problem['answer'] + END)
    return sum((masked(o) if o.endswith('>>') else trained(o) for o in parts if o), row)

def middle(question: str, rng: random.Random) -> Segments|None:
    "A question cut inside a long word of its second half; what follows is trained"
    words = [m.span() for m in re.finditer(r'(?<= )[a-z]{6,}(?=[ .,?])', question) if m.start()>len(question)/2]
    if not words: return None
    a, b = rng.choice(words)
    at = rng.randrange(a+2, b-1)
    return masked(question[:at]) + trained(question[at:b+40])

def data(repository: str, problems: str):
    "Write the rows of all three studies"
    rows = commits(repository)
    write('commits', rows[48:144], rows[:48])
    with open(problems, encoding='utf-8') as f: some = [json.loads(line) for line in f]
    short = [o for o in some if len(o['question'] + o['answer'])<260]
    rng = random.Random(17)
    rng.shuffle(short)
    write('problems', [calculator(o) for o in short[:48]], [calculator(o) for o in short[48:72]])
    cut = [o for o in (middle(o['question'][:160], rng) for o in short[72:]) if o]
    write('middle', cut[:48], cut[48:80])

def write(name: str, learn: list[Segments], held: list[Segments]):
    HERE.mkdir(exist_ok=True)
    for part,rows in (('learn', learn), ('held', held)): write_jsonl(rows, HERE/f'{name}_{part}.jsonl')

# -- runs

def config(model: str, name: str, boundary: str='prompt', **more: Any) -> dict:
    "The settings that all runs share"
    entry = lambda part: dict(path=str(HERE/f'{name}_{part}.jsonl'), type='input_output', segmask=dict(boundary=boundary))
    return dict(base_model=model, datasets=[entry('learn')], test_datasets=[entry('held')], sequence_len=256, bf16=True,
                adapter='lora', lora_r=16, lora_alpha=32, lora_target_modules=TARGETS, peft_layers_to_transform=LAYERS,
                micro_batch_size=4, num_epochs=1, learning_rate=1e-3, lr_scheduler='linear', warmup_steps=4,
                save_strategy='no', segmask=dict(share_prefixes=False, cut_tail=False), **more)

TARGETS = 'q_proj k_proj v_proj o_proj gate_proj up_proj down_proj'.split()
LAYERS = list(range(20, 30)) # the last ten of thirty; the gradient need not go further down

def prompt_weights(*weights: float) -> dict[str, Callable]:
    "An arm for each weight of the masked text"
    return {f'{w:g}': weigh(weight=w, label=False) if w else as_written for w in weights}

def pull_requests(model: str, seeds: Any=0) -> Comparison:
    "What weight of the prompt is best where prompts are long and answers short?"
    return compare(config(model, 'commits'), prompt_weights(0, .01, .1, .5, 1), seeds=seeds or SEEDS, answer=str.strip,
                   work=WORK/'pull_requests', max_new_tokens=1)

RESULT = r'(?<==)[^=<>]*>>' # what the calculator writes

def results(model: Any, e: Encoded) -> dict[str, float]:
    "How a model would do the calculator's work: loss on the masked text after the question, and how many results are right"
    scores = model(input_ids=torch.tensor([e.input_ids])).logits[0, :-1].float()
    ids = torch.tensor(e.input_ids[1:])
    losses, right = F.cross_entropy(scores, ids, reduction='none'), scores.argmax(-1)==ids
    at = [i for i,l in enumerate(e.labels[1:]) if l==IGNORE_INDEX and i+1>=e.prompts[0][1]]
    groups = [[i for _,i in g] for _,g in groupby(enumerate(at), lambda o: o[1]-o[0])]
    if not at: return {'loss on results': math.nan, 'share of results right': math.nan}
    return {'loss on results': losses[at].mean().item(),
            'share of results right': sum(bool(right[g].all()) for g in groups)/len(groups)}

def calculator_results(model: str, seeds: Any=0) -> Comparison:
    "Should a model be trained on what the calculator will write for it?"
    arms = {'masked': as_written, '0.1': weigh(RESULT, weight=.1), 'trained': train_rule(RESULT)}
    return compare(config(model, 'problems'), arms, seeds=seeds or SEEDS, work=WORK/'calculator', generate=0, measures=results)

# -- the middle of a token

def word_of(row: Segments) -> tuple[int, int, int]:
    "Characters of a row's text: where the word with the cut begins (its space too), the cut, where the word ends"
    text, cut = row.text, len(row[0].text)
    return text.rindex(' ', 0, cut), cut, cut+re.match('[a-z]+', text[cut:]).end()

def chances(model: Any, tok: Any, row: Segments) -> tuple[float, float]: # log probabilities
    "Of the rest of the word after the cut, and of the whole word from its border"
    a, cut, b = word_of(row)
    ids = lambda text: tok(text, add_special_tokens=False)['input_ids']
    def chance(start, rest):
        losses = token_losses(model, start+rest)
        return -sum(losses[len(start):])
    return chance(ids(row.text[:cut]), ids(row.text[cut:b])), chance(ids(row.text[:a]), ids(row.text[a:b]))

def middle_of_token(model: str, seeds: int=0) -> dict:
    "How likely is the right continuation of a prompt that ends in the middle of a token, before and after training?"
    tok, held = load_tokenizer(model), list(read_jsonl(HERE/'middle_held.jsonl'))
    rows = [*read_jsonl(HERE/'middle_learn.jsonl'), *held]
    same = sum(Encoder(tok)(o).input_ids==Encoder(tok, boundary='prompt')(o).input_ids for o in rows)
    single = [len(tok(o.text[slice(*word_of(o)[::2])], add_special_tokens=False)['input_ids'])==1 for o in held]
    def asked(m): return dict(zip(('rest', 'whole'), zip(*(chances(m, tok, o) for o in held))))
    out = WORK/'middle'
    out.mkdir(parents=True, exist_ok=True)
    kept(out/'before.json', lambda: dict(same=same, rows=len(rows), single=single, **asked(load_model(TrainingConfig.of(config(model, 'middle'))))))
    for boundary in ('prompt', 'joint'):
        for seed in range(seeds or SEEDS):
            cfg = config(model, 'middle', boundary, seed=seed, output_dir=str(out/f'{boundary}-{seed}'))
            del cfg['test_datasets']
            kept(out/f'{boundary}-{seed}.json', lambda: asked(train(cfg, live=False, proof=False, log=silent).model))
    return {o.stem: json.loads(o.read_text()) for o in sorted(out.glob('*.json'))}

def silent(*lines: str): pass

def kept(path: Path, f: Callable[[], dict]):
    "Run what has not been run"
    if not path.exists():
        found = f()
        path.write_text(json.dumps(found))
        print(path.stem, 'is finished', flush=True)

# -- cost

class Meter(TrainerCallback):
    "CPU seconds of each update: a clock would measure what else the machine does"
    def __init__(self): self.seconds, self.began = [], 0.
    def on_step_begin(self, *args: Any, **kwargs: Any): self.began = time.process_time()
    def on_step_end(self, *args: Any, **kwargs: Any): self.seconds.append(time.process_time()-self.began)

def cost(model: str) -> dict[str, list[float]]:
    "CPU seconds of eight updates of the first study, prompts masked and trained"
    out = {}
    for arm,weight in (('0', 0), ('1', 1)):
        cfg = config(model, 'commits', seed=0, max_steps=8, output_dir=str(WORK/f'cost-{arm}'))
        cfg['datasets'][0]['segmask'] |= dict(mask=[dict(weigh=dict(label=False), weight=weight)])
        del cfg['test_datasets']
        meter = Meter()
        train(cfg, live=False, proof=False, log=silent, callbacks=[meter])
        out[arm] = meter.seconds
    return out

# -- results

def rounded(o: Any) -> Any:
    if isinstance(o, dict): return {k: rounded(v) for k,v in o.items()}
    if isinstance(o, (list, tuple)): return [rounded(v) for v in o]
    return None if o!=o else round(o, 4) if isinstance(o, float) else o # JSON has no nan

def stored(c: Comparison) -> dict:
    "What `Comparison` needs to be made again"
    answers = [o[-1].text.strip() for o in read_jsonl(HERE/'commits_learn.jsonl')] if c.answer else []
    return dict(runs=c.runs, train_answers=answers, notes=c.notes)

STUDIES: dict[str, Callable[[str], dict]] = dict(
    pull_requests=lambda model: stored(pull_requests(model)),
    calculator=lambda model: stored(calculator_results(model)),
    middle=middle_of_token,
    cost=cost)

def run(model: str, names: list[str]):
    torch.set_num_threads(1)
    for name in names or STUDIES:
        found = rounded(STUDIES[name](model))
        (HERE/f'{name}.json').write_text(json.dumps(found, separators=(',', ':')) + '\n')
        print(HERE/f'{name}.json', flush=True)

if __name__=='__main__':
    match sys.argv[1:]:
        case ['data', repository, problems]: data(repository, problems)
        case ['run', model, *names]: run(model, names)
        case _: sys.exit(__doc__)
