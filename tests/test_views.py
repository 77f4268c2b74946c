"Views on what other libraries hand out: trainers of transformers and TRL, prepared sets, data sets"
import json
from dataclasses import replace
from xml.etree import ElementTree

import datasets
import numpy as np
import pytest
from transformers import DataCollatorForSeq2Seq, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from segmask import Encoder, browse, diff, load_tokenizer, masked, preprocess, show_batch, show_tokens, trained, write_jsonl
from segmask.views.plots import plot_lengths, plot_lost, plot_trained_share, share_bins

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

def test_browsing_a_prepared_set_reads_what_is_in_view(tok, tmp_path, monkeypatch):
    "Opening and filtering by length use the few numbers a row that lie beside the data"
    monkeypatch.chdir(tmp_path)
    write_jsonl([masked('Q '*(i%200)) + trained('a</s>') for i in range(1, 2000)], 'rows.jsonl')
    b = browse(preprocess(dict(base_model='mistralai/Mistral-7B-v0.1', datasets=[dict(path='rows.jsonl', type='input_output')])))
    reads, get = [], type(b.state.set).__getitem__
    monkeypatch.setattr(type(b.state.set), '__getitem__', lambda self, i: reads.append(i) or get(self, i))
    b.query = replace(b.query, tokens=(20, 120))
    assert 500<len(b.rows)<1999 and len(set(reads))<=60 and set(reads) <= set(b.rows.tolist())

def kinds_of_rows(rows):
    "The same rows as people have them"
    import pandas as pd
    import pyarrow as pa
    plain = [o.to_dict() for o in rows]
    data = datasets.Dataset.from_list(plain)
    return dict(list=rows, dicts=plain, generator=(o for o in rows), frame=pd.DataFrame(plain), arrow=pa.Table.from_pylist(plain),
                dataset=data, shuffled=data.shuffle(seed=0), streaming=data.to_iterable_dataset())

@pytest.mark.parametrize('kind', ['list', 'dicts', 'generator', 'frame', 'arrow', 'dataset', 'shuffled', 'streaming'])
def test_rows_of_any_kind(tok, kind):
    rows = [masked(f'<s>Q: {"more "*i}?\nA:') + trained(f' {i}</s>') for i in range(9)]
    enc = Encoder(tok)
    for f in (plot_lengths, plot_trained_share, plot_lost): assert '9 rows' in str(f(kinds_of_rows(rows)[kind], enc)) or f is plot_lost
    d = diff(rows, kinds_of_rows(rows)[kind], enc)
    assert not d.pairs and (d.same or kind=='shuffled')

def test_several_sets_in_one_plot(tok):
    rows = [masked('Q '*i) + trained('a</s>') for i in range(1, 60)]
    for f in (plot_lengths, plot_trained_share, plot_lost):
        plot = f({'short ones': rows[:30], 'long ones': rows[30:]}, Encoder(tok))
        assert plot.svg.count('short ones')>=1 and 'long ones' in plot.svg and '<rect' not in plot.svg
        assert 'long ones:' in str(plot)

def test_bins_where_the_rows_are():
    "A few rows elsewhere do not push nearly all rows into one bin"
    shares = np.concatenate([np.random.default_rng(0).uniform(.96, .99, 7407), np.linspace(0, .9, 66)])
    counts = np.histogram(shares, share_bins(shares))[0]
    assert counts.max()<.2*len(shares) and counts.sum()==len(shares)

def test_whole_numbers_on_counts(tok):
    plot = plot_lengths([trained('a')]*3, Encoder(tok))
    texts = [o.text for o in ElementTree.fromstring(plot.svg).iter('{http://www.w3.org/2000/svg}text')]
    assert {'rows', 'tokens of a row'} <= set(texts) and not any('.5' in o for o in texts) # titles of both axes

def test_no_hint_names_another_function(tok):
    rows = [masked('a') + trained('b')]
    with pytest.raises(TypeError, match=r'diff\(a, b, Encoder') as e: diff(rows, rows)
    assert 'browse' not in str(e.value)

def test_a_trainer_without_its_tokenizer(tok, rows, tmp_path):
    "The tokenizer in the folder of its model will do"
    tiny(tok).save_pretrained(tmp_path/'m'), tok.save_pretrained(tmp_path/'m')
    model = LlamaForCausalLM.from_pretrained(tmp_path/'m')
    same = [{k: v[:9] for k,v in o.items()} for o in rows]
    assert len(show_batch(Trainer(model, args(tmp_path), train_dataset=datasets.Dataset.from_list(same))).rows)==3

def test_whatever_takes_long_shows_how_far_it_is(tok, tmp_path, monkeypatch):
    "Reading, counting, hashing, writing: a bar in a terminal, once two seconds have passed"
    import io, sys
    from segmask import export
    from segmask.data.rows import row_set
    from segmask.data.store import hash_file
    class Terminal(io.StringIO):
        def isatty(self): return True
    monkeypatch.chdir(tmp_path)
    write_jsonl([masked(f'<s>Q: {i}?\nA:') + trained(' yes</s>') for i in range(600)], 'rows.jsonl')
    config = dict(base_model='mistralai/Mistral-7B-v0.1', datasets=[dict(path='rows.jsonl', type='input_output')])
    def shown(f):
        with monkeypatch.context() as m:
            m.setattr(sys, 'stderr', said := Terminal())
            now = iter(range(0, 10**9, 3))
            m.setattr('segmask.html.time.monotonic', lambda: next(now))
            f()
        return said.getvalue()
    prepared = preprocess(config)
    for doing,f in (('Reading', lambda: row_set('rows.jsonl', tok)), ('Counting', lambda: row_set('rows.jsonl', tok).tokens), ('Hashing', lambda: hash_file('rows.jsonl')),
                    ('Encoding', lambda: preprocess(config, force=True)), ('Writing', lambda: export(prepared, 'jsonl')), ('Looking', lambda: __import__('segmask').lint('rows.jsonl', tok))):
        assert doing in shown(f), doing
    monkeypatch.setattr(sys, 'stderr', said := Terminal())
    row_set('rows.jsonl', tok)
    assert not said.getvalue(), 'what is done at once shows nothing'

def test_losses_are_drawn_like_tokens(tok):
    from segmask import loss_table, show_losses
    from segmask.training.losses import before_after
    e = Encoder(tok)(trained('<s>Hello\n') + masked(' ') + trained('you', weight=.3))
    table = loss_table(tiny(tok), e)
    drawn = str(show_losses(table))
    assert '∅' not in drawn and all(o in drawn for o in ('·Hello', '⏎', '<wbr><ins', '2px dashed')), 'a space, a line break, a weight can be seen'
    assert '⏎' in str(show_losses(before_after(table, table), 'change'))
