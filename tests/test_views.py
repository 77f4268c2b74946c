"Views on what other libraries hand out: trainers of transformers and TRL, prepared sets, data sets"
import json

import datasets
import pytest
from transformers import DataCollatorForSeq2Seq, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from segmask import Encoder, browse, diff, load_tokenizer, masked, preprocess, show_batch, show_tokens, trained, write_jsonl

@pytest.fixture(scope='module')
def tok():
    t = load_tokenizer('mistralai/Mistral-7B-v0.1')
    t.pad_token = t.unk_token
    return t

@pytest.fixture(scope='module')
def rows(tok): return [dict(Encoder(tok, 'prompt')(masked(f'<s>Q: {"more "*i}?\nA:') + trained(f' {i}</s>'))) for i in range(6)]

def tiny(tok): return LlamaForCausalLM(LlamaConfig(vocab_size=len(tok), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1))

def args(tmp_path, cls=TrainingArguments, **kw): return cls(output_dir=str(tmp_path), per_device_train_batch_size=3, report_to=[], use_cpu=True, **kw)

def known(rows): return {json.dumps([r['input_ids'], r['labels']]) for r in rows}

def test_batch_of_a_trainer(tok, rows, tmp_path):
    trainer = Trainer(tiny(tok), args(tmp_path), data_collator=DataCollatorForSeq2Seq(tok), train_dataset=datasets.Dataset.from_list(rows), processing_class=tok)
    b = show_batch(trainer) # it knows its tokenizer
    assert len(b.rows)==3 and known(b.rows) <= known(rows) and not b.notes
    assert sum(p for o in b.padding for p in o)==b.shape[0]*b.shape[1]-sum(len(o['input_ids']) for o in b.rows)

@pytest.mark.parametrize('packing', [False, True])
def test_batch_of_an_sft_trainer(tok, rows, tmp_path, packing):
    from trl import SFTConfig, SFTTrainer
    data = datasets.Dataset.from_list([{k:o[k] for k in ('input_ids', 'labels')} for o in rows])
    trainer = SFTTrainer(tiny(tok), args(tmp_path, SFTConfig, max_length=48, packing=packing, bf16=False), train_dataset=data, processing_class=tok)
    b = show_batch(trainer)
    examples = [e for r in range(len(b.rows)) for e in b.packed(r)]
    assert known(examples) <= known(rows), 'every example is as it was, its borders where they were'
    if packing: assert len(examples)>len(b.rows)

def test_prepared_sets_of_two_modes(tok, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl([masked(f'<s>Q: {i}?\nA: ') + trained('yes</s>') for i in range(5)] + [trained('<s>all</s>')], 'rows.jsonl')
    cfg = lambda mode: dict(base_model='mistralai/Mistral-7B-v0.1', datasets=[dict(path='rows.jsonl', type='input_output', segmask={'boundary':mode})])
    a, b = preprocess(cfg('segment')), preprocess(cfg('prompt'))
    assert diff(a, preprocess(cfg('segment'))).same
    d = diff(a, b, names=('segment', 'prompt'))
    assert len(d)==5 and {o.what for o in d.pairs}=={'tokens'} and 'rows.jsonl:' in d[0].html
    d = diff(a, a.dataset.shuffle(seed=3))
    assert not d.pairs and d.moved

def test_a_long_row_is_small(tok):
    e = Encoder(tok)(masked('word '*16_000) + trained('<b>&"'*4_000))
    assert len(e.input_ids)>30_000 and len(json.dumps(show_tokens(e).html, ensure_ascii=False).encode())<300_000

def test_browsing_a_prepared_set_reads_no_rows(tok, tmp_path, monkeypatch):
    "Opening and filtering by length use the few numbers a row that lie beside the data"
    monkeypatch.chdir(tmp_path)
    write_jsonl([masked('Q '*i) + trained('a</s>') for i in range(1, 200)], 'rows.jsonl')
    b = browse(preprocess(dict(base_model='mistralai/Mistral-7B-v0.1', datasets=[dict(path='rows.jsonl', type='input_output')])))
    reads, get = [], type(b.state.set).__getitem__
    monkeypatch.setattr(type(b.state.set), '__getitem__', lambda self, i: reads.append(i) or get(self, i))
    b.open_filters()
    b.lengths.picked = 2
    assert 0<len(b.rows)<199 and set(reads)=={b.state.row}
