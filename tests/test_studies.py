"The three studies of the lesson `to_mask_or_not`, small: made-up rows, a model of a few weights, a few updates"
import json, random, sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from segmask import read_jsonl
from segmask.training.comparison import Comparison

sys.path.insert(0, str(Path(__file__).parents[1]/'bench'))
import studies

KEPT = studies.HERE # rows and results of the lesson

@pytest.fixture(scope='module')
def model(tmp_path_factory) -> str:
    "A folder with a small Llama, and a tokenizer like SmolLM2's in what matters: byte-level, no space is put before a text"
    folder = tmp_path_factory.mktemp('model')
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special, alphabet = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'], pre_tokenizers.ByteLevel.alphabet()
    texts = [o.text for name in ('commits', 'middle') for o in read_jsonl(KEPT/f'{name}_learn.jsonl')]
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    tok = PreTrainedTokenizerFast(tokenizer_object=t, bos_token=special[1], eos_token=special[2], pad_token=special[2])
    tok.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tok), bos_token_id=1, eos_token_id=2, pad_token_id=2, **sizes)).save_pretrained(folder)
    return str(folder)

@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    "The first rows of each study, and the layers that a small model has"
    for path in KEPT.glob('*.jsonl'): (tmp_path/path.name).write_text(''.join(path.open(encoding='utf-8').readlines()[:8]))
    monkeypatch.setattr(studies, 'HERE', tmp_path)
    monkeypatch.setattr(studies, 'WORK', tmp_path/'work')
    monkeypatch.setattr(studies, 'LAYERS', [1])
    monkeypatch.setattr(studies, 'SEEDS', 2)
    return tmp_path

def made(small: Path, model: str, name: str) -> dict:
    studies.run(model, [name])
    return json.loads((small/f'{name}.json').read_text())

def again(found: dict) -> Comparison: return Comparison(found['runs'], found['train_answers'], str.strip, notes=found['notes'])

def test_pull_requests(small, model):
    c = again(made(small, model, 'pull_requests'))
    assert list(c.runs)==['0', '0.01', '0.1', '0.5', '1'] and c.seeds==2
    assert c.primary=='accuracy' and c.baseline is not None and len(c.verdict.splitlines())>=3
    trained = [runs[0]['trained_tokens'] for runs in c.runs.values()]
    assert trained[0]<trained[1]==trained[2]==trained[3]==trained[4]

def test_calculator(small, model):
    found = made(small, model, 'calculator')
    c = again({**found, 'train_answers': []})
    assert {'loss on results', 'share of results right', 'loss on answers'} <= set(c.values)
    trained = [runs[0]['trained_tokens'] for runs in c.runs.values()]
    assert trained[0]<trained[1]==trained[2]

def test_middle(small, model):
    found = made(small, model, 'middle')
    assert set(found)=={'before', *(f'{a}-{seed}' for a in ('prompt', 'joint') for seed in (0, 1))}
    assert found['before']['same']==found['before']['rows']==16
    assert all(len(o['rest'])==len(o['whole'])==8 and max(o['rest']+o['whole'])<0 for o in found.values())
    before = (small/'middle.json').read_text()
    made(small, model, 'middle') # nothing is run again
    assert (small/'middle.json').read_text()==before

def test_cost(small, model):
    assert {k: len(v) for k,v in made(small, model, 'cost').items()}=={'0': 8, '1': 8}

def test_rows_are_made():
    entry = '\1'.join(['Ann', 'fix(load): read it (#12)', 'why\n', '\ndiff --git a/x.ts b/x.ts\n+++ b/x.ts\n@@ -1 +1 @@\n-old line\n+new line\n'])
    kind, row = studies.commit(entry)
    assert (kind, row.text)==('fix', 'Title: read it\nFiles: x.ts\n-old line\n+new line\nType: fix')
    assert [o.label for o in row]==[False, True]
    assert studies.commit(entry.replace('Ann', 'renovate[bot]')) is None and studies.commit(entry.replace('fix(', 'perf(')) is None
    row = studies.calculator(dict(question='2+2?', answer='It is 2+2 = <<2+2=4>>4.\n#### 4'))
    assert [o.text for o in row if not o.label][1:]==['4>>']
    row = studies.middle('There are some little animals here, and the others went away.', random.Random(0))
    a, cut, b = studies.word_of(row)
    assert row.text[a]==' ' and a+2<cut<b and row.text[b] in ' .,?' and row.text[a:b].strip().isalpha()

@pytest.mark.parametrize('name', ['commits', 'problems', 'middle'])
def test_what_is_held_back_is_not_trained(name):
    learn, held = (list(read_jsonl(KEPT/f'{name}_{part}.jsonl')) for part in ('learn', 'held'))
    assert held and not {o.text for o in held} & {o.text for o in learn}
