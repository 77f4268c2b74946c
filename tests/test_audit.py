"Audits of trainers that run: nothing of them changes, and a run with an error is stopped before its first step"
import random

import datasets
import numpy as np
import pytest

torch = pytest.importorskip('torch')
from torch.utils.data import DataLoader
from transformers import DataCollatorForLanguageModeling, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from segmask.auditing.report import audit, audit_first
from segmask.tokens.tokenizer import load_tokenizer


@pytest.fixture(scope='module')
def tok():
    out = load_tokenizer('mistralai/Mistral-7B-v0.1')
    out.pad_token = out.eos_token
    return out

class Collator:
    "Pads, and masks where the attention mask does"
    def __init__(self, tok): self.tok = tok
    def __call__(self, rows):
        batch = self.tok.pad(rows, return_tensors='pt')
        return {**batch, 'labels': batch['input_ids'].masked_fill(batch['attention_mask']==0, -100)}

def trainer_of(tok, folder, collator, kind=Trainer, **kwargs):
    torch.manual_seed(0)
    small = LlamaConfig(vocab_size=len(tok), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    args = TrainingArguments(str(folder), per_device_train_batch_size=2, gradient_accumulation_steps=2, max_steps=2,
                             report_to='none', disable_tqdm=True, use_cpu=True, logging_steps=1, save_strategy='no')
    rows = [dict(tok(f'What is {i}+{i}? {"so "*i}{2*i}</s>')) for i in range(8)]
    return kind(LlamaForCausalLM(small), args, train_dataset=datasets.Dataset.from_list(rows), data_collator=collator,
                processing_class=tok, **kwargs)

def test_a_run_with_an_error_is_stopped_before_its_first_step(tok, tmp_path):
    bad = trainer_of(tok, tmp_path, DataCollatorForLanguageModeling(tok, mlm=False), callbacks=[audit_first()])
    with pytest.raises(RuntimeError, match='before its first step(.|\n)*eos-masked'): bad.train()
    assert bad.state.global_step==0
    good = trainer_of(tok, tmp_path, Collator(tok), callbacks=[audit_first()])
    assert good.train().global_step==2

def test_training_after_an_audit_is_the_training_without_it(tok, tmp_path):
    def losses(audited):
        trainer = trainer_of(tok, tmp_path, Collator(tok))
        if audited: audit(trainer, model=trainer.model)
        trainer.train()
        return [o['loss'] for o in trainer.state.log_history if 'loss' in o]
    assert losses(True)==losses(False)

def test_generators_and_lists_are_as_before(tok, tmp_path):
    trainer = trainer_of(tok, tmp_path, Collator(tok))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()
    audit(trainer, model=trainer.model)
    assert before==(random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist())
    assert trainer.accelerator._dataloaders==[] and trainer.model.training

def test_the_mean_of_means_is_found(tok, tmp_path):
    class Mean(Trainer):
        "Averages over each micro batch, whatever the update holds"
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return super().compute_loss(model, inputs, return_outputs)
    assert 'loss-differs' in audit(trainer_of(tok, tmp_path, Collator(tok), Mean), model=True).codes
    assert 'loss-differs' not in audit(trainer_of(tok, tmp_path, Collator(tok)), model=True).codes

def test_workers_and_streams(tok):
    rows = [dict(tok(f'{i} and {i}</s>')) for i in range(12)]
    stream = datasets.Dataset.from_list(rows).to_iterable_dataset()
    loader = DataLoader(stream, batch_size=3, collate_fn=Collator(tok), num_workers=1)
    found = audit(loader, tok, rows=6)
    assert len(found.rows)==6 and found.codes=={'everything-trained': 6}

def test_markers_that_the_tokenizer_lacks_are_told_once(tok):
    bare = load_tokenizer('mistralai/Mistral-7B-v0.1')
    bare.chat_template = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
                          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    talk = [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'}]
    ids = bare(bare.apply_chat_template(talk, tokenize=False)+'</s>')['input_ids']
    found = audit([dict(input_ids=ids, labels=ids[:])], bare)
    assert found.codes['split-marker']==1 and '<|im_end|>, <|im_start|>' in str(found)

def test_a_prepared_set_has_two_sides(tmp_path, monkeypatch):
    from segmask import masked, preprocess, trained, write_jsonl
    monkeypatch.chdir(tmp_path)
    write_jsonl([masked(f'<s>{i % 7}+1=')+trained(f'{i % 7+1}</s>') for i in range(20)], 'rows.jsonl')
    (tmp_path/'c.yaml').write_text('base_model: mistralai/Mistral-7B-v0.1\nsequence_len: 64\nval_set_size: 6\n'
                                   'datasets: [{path: rows.jsonl, type: input_output}]\n')
    found = audit(preprocess('c.yaml'))
    assert (len(found.rows), len(found.held))==(14, 6)
    assert 'train-eval-leak' in found.codes and not found.ok
    with pytest.raises(ValueError, match='was not found; there is: train-eval-leak'): found.show('eos-masked')
