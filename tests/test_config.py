"Configs: what is wrong is said, with its line; what is right is left alone; what is written reads back"
import random, re

import numpy as np
import pytest
import yaml

from segmask.config.hardware import GPUS as _gpus, find_gpu
from segmask.config.config import ConfigError, TrainingConfig
from segmask.core import masked, trained
from segmask.files import write_jsonl
from segmask.config.recipe import recipe
from segmask.config.schema import axolotl_keys

GOOD = '''base_model: mistralai/Mistral-7B-v0.1
seed: 49

datasets:
  - path: org/data
    type: input_output
val_set_size: 0.1

sequence_len: 896
micro_batch_size: 2
gradient_accumulation_steps: 3
num_epochs: 1
learning_rate: 0.0002
train_on_inputs: false
special_tokens:
  bos_token: "<s>"
'''
ADD = GOOD.count('\n')+1 # the line of what is added at the end

# (what is replaced, by what; or '' to add at the end), the line, words of the message
WRONG = [
    # what cannot be read
    (('seed: 49', 'seed: -1'), 2, 'seed: is -1'),
    (('seed: 49', 'seed: forty'), 2, "seed: is 'forty', not a whole number"),
    (('seed: 49', 'seed: 49\nseed: 50'), 3, 'seed: stands twice (also in line 2)'),
    (('base_model: mistralai/Mistral-7B-v0.1', 'base_model: ""'), 1, 'base_model: is empty'),
    (('base_model: mistralai/Mistral-7B-v0.1', 'base_model: 7'), 1, 'base_model: is 7, not text'),
    (('base_model: mistralai/Mistral-7B-v0.1\n', ''), None, 'base_model: is missing'),
    (('sequence_len: 896', 'sequence_len: long'), 9, "sequence_len: is 'long', not a whole number"),
    (('sequence_len: 896', 'sequence_len: 0'), 9, 'sequence_len: is 0'),
    (('sequence_len: 896', 'sequence_len: 896.5'), 9, 'not a whole number'),
    (('micro_batch_size: 2', 'micro_batch_size: 0'), 10, 'micro_batch_size: is 0'),
    (('num_epochs: 1', 'num_epochs: -1'), 12, 'num_epochs: is -1'),
    (('learning_rate: 0.0002', 'learning_rate: fast'), 13, "learning_rate: is 'fast', not a number"),
    (('learning_rate: 0.0002', 'learning_rate: 0'), 13, 'learning_rate: is 0'),
    (('train_on_inputs: false', 'train_on_inputs: maybe'), 14, "train_on_inputs: is 'maybe', not a boolean"),
    (('special_tokens:\n  bos_token: "<s>"', 'special_tokens: "<s>"'), 15, "special_tokens: is '<s>', not a mapping"),
    (('special_tokens:\n  bos_token: "<s>"', 'special_tokens: ["<s>"]'), 15, 'not a mapping'),
    (('  - path: org/data\n    type: input_output', '  path: org/data'), 4, 'datasets: is'),
    (('  - path: org/data\n    type: input_output', '  - org/data'), 5, 'datasets[0]: is'),
    (('  - path: org/data\n', '  - split: train\n'), 5, 'datasets[0].path: is missing'),
    (('    type: input_output', '    type: input_output\n    shards: many'), 7, "datasets[0].shards: is 'many', not a whole number"),
    (('    type: input_output', '    type: [input_output]'), 6, 'datasets[0].type: is'),
    (('datasets:\n  - path: org/data\n    type: input_output\n', 'datasets: []\n'), 4, 'datasets: is empty'),
    (('datasets:\n  - path: org/data\n    type: input_output\n', ''), None, 'datasets: is missing'),
    (('', 'bf16: maybe'), ADD, "bf16: is 'maybe'"),
    (('', 'warmup_steps: 0.1'), ADD, 'warmup_steps: is 0.1, not a whole number'),
    (('', 'warmup_ratio: 3'), ADD, 'warmup_ratio: is 3'),
    (('', 'tokens: "<|im_start|>"'), ADD, "tokens: is '<|im_start|>', not a list"),
    (('', 'excess_length_strategy: cut'), ADD, "excess_length_strategy: is 'cut'"),
    (('', 'lora_dropout: 5'), ADD, 'lora_dropout: is 5'),
    (('', 'wandb_project: 12'), ADD, 'wandb_project: is 12, not text'),
    (('', 'output_dir:'), ADD, 'output_dir: is None, not text'),
    (('', 'fsdp_config: yes please'), ADD, "fsdp_config: is 'yes please', not a mapping"),
    (('', 'gradient_checkpointing_kwargs: [1]'), ADD, 'gradient_checkpointing_kwargs: is [1], not a mapping'),
    (('', 'x: [1'), ADD+1, 'is not plain YAML'),
    (('', 'x: !!python/name:os.system'), ADD, 'is not plain YAML'),
    (('seed: 49', '\tseed: 49'), 2, 'Indent with spaces, not tabs'),
    # what nobody reads
    (('', 'data_seed: 49'), ADD, 'data_seed: is not read by axolotl'),
    (('', 'micro_batchsize: 2'), ADD, 'Did you mean `micro_batch_size`?'),
    (('', 'Sequence-Len: 2'), ADD, 'Did you mean `sequence_len`?'),
    (('', 'context_parapllel_size: 2'), ADD, 'Did you mean `context_parallel_size`?'),
    (('', 'liger_rope: true'), ADD, 'add it under plugins:'),
    (('', 'lr_div_factor: 2'), ADD, 'accepted by axolotl and never read'),
    (('    type: input_output', '    typ: input_output'), 6, 'Did you mean `type`?'),
    (('    type: input_output', '    type: input_output\n    train_on_inputs: true'), 7, 'read only at the top level'),
    (('', 'fsdp_config:\n  offload_parms: true'), ADD+1, 'Did you mean `offload_params`?'),
    # old names
    (('', 'evaluation_strategy: steps'), ADD, 'Write eval_strategy'),
    (('', 'flash_attention: true'), ADD, 'Write attn_implementation: flash_attention_2'),
    (('', 's2_attention: true'), ADD, 'is gone, and axolotl stops at it'),
    (('', 'max_packed_sequence_len: 512'), ADD, 'Use sequence_len with sample_packing: true'),
    (('    type: input_output', '    type: sharegpt'), 6, 'which axolotl no longer has'),
    # what contradicts
    (('learning_rate: 0.0002\n', ''), None, 'learning_rate: is missing'),
    (('gradient_accumulation_steps: 3\n', ''), None, 'gradient_accumulation_steps: is missing: axolotl wants two of'),
    (('', 'batch_size: 6'), ADD, 'say the same thing twice'),
    (('gradient_accumulation_steps: 3', 'batch_size: 3'), 11, 'does not divide'),
    (('', 'eval_batch_size: 16'), ADD, 'more than micro_batch_size: 2'),
    (('', 'test_datasets:\n  - path: org/test'), 7, 'val_set_size: and test_datasets exclude each other'),
    (('', 'sample_packing: true'), ADD, 'rows packed together may see each other'),
    (('', 'bf16: true'), ADD, 'T4 cannot compute in bfloat16'),
    (('', 'sample_packing: true\nattn_implementation: flash_attention_2'), ADD+1, 'needs an Ampere GPU or later'),
    (('', 'bf16: true\nfp16: true'), ADD+1, 'are both on'),
    (('', 'adapter: qlora\nlora_target_linear: true'), ADD, 'Add load_in_4bit: true'),
    (('', 'load_in_4bit: true'), ADD, 'quantized weights cannot be trained'),
    (('', 'lora_r: 8'), ADD, 'there is no adapter: all weights are trained'),
    (('', 'adapter: lora'), ADD, 'no layer is named'),
    (('train_on_inputs: false', 'train_on_inputs: true'), 14, 'masks with "label": false'),
    (('org/data', 'no_such_file.jsonl'), 5, 'there is no such file'),
    (('', 'output_dir: last_run_prepared/out'), ADD, 'is inside the folder of prepared data'),
    (('', 'output_dir: out\ndataset_prepared_path: out/prepared'), ADD+1, 'is inside output_dir'),
    (('', 'warmup_steps: 10\nwarmup_ratio: 0.1'), ADD+1, 'exclude each other'),
    (('', 'save_steps: 10\nsaves_per_epoch: 2'), ADD+1, 'exclude each other'),
    (('', 'eval_strategy: epoch\neval_steps: 5'), ADD, 'but eval_steps is set'),
    (('val_set_size: 0.1', 'val_set_size: 0\neval_steps: 5'), 8, 'no rows are held back'),
    (('', 'early_stopping_patience: 3'), ADD, 'needs save_steps and eval_steps'),
    (('', 'early_stopping_patience: 3\nsave_steps: 10\neval_steps: 4'), ADD, 'to divide save_steps'),
    (('', 'save_strategy: best'), ADD, 'best at what?'),
    (('', 'attn_implementation: flash'), ADD, 'Did you mean flash_attention_2?'),
    (('', 'attn_implementation: sdpa\nflash_attention: true'), ADD+1, 'exclude each other'),
    (('', 'chat_template: chatlm'), ADD, 'Did you mean chatml?'),
    (('', 'chat_template: jinja'), ADD, 'there is no template'),
    (('', 'deepspeed: x.json\nfsdp_config: {}\nfsdp: [full_shard]'), ADD, 'and fsdp exclude each other'),
    (('learning_rate: 0.0002', 'learning_rate: 2'), 13, 'a thousand times what is usual'),
    (('', 'max_steps: 5'), 12, 'num_epochs: is not looked at'),
]

def said(text: str) -> list[str]:
    "All that is said about a config, on a T4"
    try: return [str(o) for o in TrainingConfig.parse(text, 'c.yaml').check('T4')]
    except ConfigError as e: return [str(p) for p in e.problems]

def test_a_good_config_is_left_alone():
    assert said(GOOD)==[]
    assert len(WRONG)>=60

@pytest.mark.parametrize('edit, line, words', WRONG, ids=[f'{i}-{w[:40]}' for i,(_,_,w) in enumerate(WRONG)])
def test_wrong(edit, line, words):
    old, new = edit
    text = GOOD.replace(old, new, 1) if old else GOOD+new+'\n'
    assert text!=GOOD
    hits = [o for o in said(text) if words in o]
    assert hits, said(text)
    assert hits[0].startswith(f'c.yaml:{line}:' if line else 'c.yaml:'), hits

def test_all_mistakes_at_once():
    text = GOOD.replace('seed: 49', 'seed: x').replace('896', 'long').replace('0.0002', 'fast')
    assert [re.match(r'c.yaml:(\d+)', o)[1] for o in said(text)]==['2', '9', '13']

def test_special_tokens_that_are_not_in_the_tokenizer(tmp_path):
    "Known only with the tokenizer: the linter says it"
    from segmask.linting.linter import lint
    write_jsonl([masked('<s>Q:') + trained(' 4</s>')], tmp_path/'d.jsonl')
    at = lambda **tokens: TrainingConfig(base_model='mistralai/Mistral-7B-v0.1', datasets=[{'path':str(tmp_path/'d.jsonl'), 'type':'input_output'}], special_tokens=tokens)
    assert 'new-special-token' in set(lint(at(pad_token='<pad>')).code)
    assert 'new-special-token' not in set(lint(at(pad_token='<unk>')).code)

def test_every_key_of_axolotl_is_known_and_its_default_fits():
    for k,o in axolotl_keys()['keys'].items():
        if o.get('default') is None or k in ('base_model', 'datasets'): continue
        cfg = TrainingConfig.parse(GOOD.replace(f'{k}:', f'old_{k}:')+yaml.safe_dump({k: o['default']}))
        assert not [a for a in cfg.check() if a.key==k and 'nobody reads' in a.what], k

def test_recipes_pass_their_own_checks_and_read_back():
    rng = np.random.default_rng(0)
    for model in ('mistralai/Mistral-7B-v0.1', 'HuggingFaceTB/SmolLM2-135M', 'meta-llama/Llama-3.1-70B', 'openai-community/gpt2'):
        for gpu in (None, *_gpus):
            for lens in (rng.integers(20, 200, 5000), rng.integers(100, 900, 25), rng.integers(3000, 30000, 400)):
                g = find_gpu(gpu)
                settings, why = recipe(lens, model, g)
                cfg = TrainingConfig.of({'base_model':model, 'datasets':[{'path':'org/data', 'type':'input_output'}], **settings})
                cfg._why = why
                text = cfg.to_yaml()
                back = TrainingConfig.parse(text)
                assert back.to_yaml()==text and back.to_dict()==TrainingConfig.parse(cfg.to_yaml(comments=False)).to_dict()
                assert not [o for o in back.check(g) if o.severity!='info'], (model, gpu)
                assert set(why) <= set(settings)|{'base_model'}

def test_arguments_are_those_of_the_trainers(tmp_path):
    transformers, trl = pytest.importorskip('transformers'), pytest.importorskip('trl')
    cfg = TrainingConfig.parse(GOOD+'evals_per_epoch: 2\nsave_steps: 5\noptimizer: adamw_torch\nlr_scheduler: linear\nwarmup_ratio: 0.1\nweight_decay: 0.1\nbf16: false\n')
    cfg.output_dir = str(tmp_path)
    a, b = transformers.TrainingArguments(**cfg.to_transformers(), use_cpu=True), trl.SFTConfig(**cfg.to_trl(), use_cpu=True)
    for o in (a, b): assert (o.per_device_train_batch_size, o.gradient_accumulation_steps, o.learning_rate, o.num_train_epochs, o.seed, o.eval_steps, o.save_steps, o.weight_decay, o.warmup_steps)==(2, 3, .0002, 1, 49, .5, 5, .1, .1)
    assert (b.max_length, b.packing)==(896, False)

def test_random_changes_keep_the_other_lines():
    rng = random.Random(0)
    keys = [('sequence_len', [128, 4096]), ('seed', [1, 2]), ('val_set_size', [0.2, 0.0]), ('optimizer', ['sgd']), ('tokens', [['<a>', 'no']]), ('output_dir', ['./x y']), ('special_tokens', [{'bos_token':'<s>', 'pad_token':'</s>'}])]
    text = GOOD.replace('seed: 49', 'seed: 49   # a lucky number').replace('sequence_len', '# as long as needed\nsequence_len')
    for _ in range(200):
        cfg, changed = TrainingConfig.parse(text), {}
        for k,values in rng.sample(keys, rng.randint(1, 4)):
            changed[k] = rng.choice(values)
            setattr(cfg, k, changed[k])
        out = cfg.to_yaml()
        for line in text.splitlines():
            if not any(line.startswith(f'{k}:') for k in changed) and not (line.startswith('  bos') and 'special_tokens' in changed): assert line in out.splitlines(), (line, changed)
        back = TrainingConfig.parse(out)
        assert all(getattr(back, k)==v for k,v in changed.items())
        assert '# a lucky number' in out and '# as long as needed' in out
