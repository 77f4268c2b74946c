"""The runs behind the lesson `nbs/tutorials/to_mask_or_not.ipynb`: three studies with SmolLM2-135M-Instruct on a CPU.

    python bench/studies.py data COMMITLINT GSM8K   rows, from a clone and from the data set's JSONL file
    python bench/studies.py run MODEL [NAME ...]    runs that are not finished; results go beside the rows

MODEL is a folder with the unpacked weights; the lesson on tools shows how to make it. What is finished is kept under
WORK (studies-work), so a run that was stopped goes on where it was."""
import json, os, random, re, sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault('HF_HUB_OFFLINE', '1')
sys.path.insert(0, str(Path(__file__).parents[1]/'tools'))
import history

from segmask import Encoder, Segments, compare, masked, read_jsonl, trained, write_jsonl
from segmask.masks import weigh
from segmask.training.arms import as_written
from segmask.training.comparison import Comparison

HERE = Path(__file__).parents[1]/'nbs'/'tutorials'/'studies'
WORK = Path(os.environ.get('WORK', 'studies-work'))
END = '<|im_end|>'
SEEDS = 3

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

def middle(question: str, tok: Any, rng: random.Random) -> Segments|None:
    "A question cut inside a word that is one token, past its first third; what follows is trained"
    enc = tok(question, return_offsets_mapping=True, add_special_tokens=False)
    words = [(a, b) for a,b in enc['offset_mapping'] if re.fullmatch(' [a-z]{6,}', question[a:b])]
    words = [o for o in words if o[0]>len(question)/3]
    if not words: return None
    a, b = rng.choice(words)
    at = rng.randrange(a+3, b-1)
    return masked(question[:at]) + trained(question[at:b+40])

def data(repository: str, problems: str):
    "Write the rows of all three studies"
    from segmask import load_tokenizer
    rows = commits(repository)
    write('commits', rows[48:144], rows[:48])
    with open(problems, encoding='utf-8') as f: some = [json.loads(line) for line in f]
    short = [o for o in some if len(o['question'] + o['answer'])<260]
    random.Random(17).shuffle(short)
    write('problems', [calculator(o) for o in short[:64]], [calculator(o) for o in short[64:104]])

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

def pull_requests(model: str, seeds: Any=SEEDS) -> Comparison:
    "What weight of the prompt is best where prompts are long and answers short?"
    return compare(config(model, 'commits'), prompt_weights(0, .01, .1, .5, 1), seeds=seeds, answer=str.strip,
                   work=WORK/'pull_requests', max_new_tokens=1)
