"Every training config of axolotl's examples: it is prepared and trained, or refused for something that matters"
import json
from collections import Counter
from pathlib import Path

import pytest

from segmask.config.config import ConfigError, TrainingConfig
from segmask.config.keys import changes_nothing, key
from segmask.config.refusals import refused

ABOUT, *STOCK = map(json.loads, (Path(__file__).parent/'stock_configs.jsonl').read_text().splitlines())
RATES = dict(learning_rate=2e-4, micro_batch_size=1, gradient_accumulation_steps=1)

def load(stock: dict) -> TrainingConfig:
    values = {k: v for k,v in stock.items() if k!='file'}
    return TrainingConfig.of({**RATES, **{k: v for k,v in values.items()}})

def reasons(stock: dict, command: str) -> set[tuple[str, str]]:
    "(code, key) of all that a command would refuse"
    try: cfg = load(stock)
    except ConfigError as e: return {('axolotl-refuses', p.field) for p in e.problems}
    return {(p.code, p.field.partition('[')[0]) for p in refused(cfg, command)}

@pytest.fixture(scope='module')
def outcomes() -> dict[str, list[set]]:
    return {command: [reasons(o, command) for o in STOCK] for command in ('preprocess', 'train')}

def test_all_are_here(): assert len(STOCK)==250 and ABOUT['license']=='Apache-2.0'

def test_preprocess_runs_or_refuses_what_changes_rows(outcomes):
    "Counts of configs; one with several reasons counts at each"
    found = outcomes['preprocess']
    assert sum(not o for o in found)==138
    assert Counter(r for o in found for r in o)=={
        ('template', 'chat_template'): 38,            # not among segmask's templates
        ('changes-rows', 'skip_prepare_dataset'): 28, # images: rows are made while training
        ('changes-rows', 'processor_type'): 28,
        ('changes-rows', 'rl'): 19,                   # preferences
        ('changes-rows', 'tokenizer_use_mistral_common'): 12,
        ('changes-rows', 'pretraining_dataset'): 5,
        ('changes-rows', 'reward_model'): 3,
        ('changes-rows', 'process_reward_model'): 1,
        ('changes-rows', 'streaming'): 1,
        ('axolotl-refuses', 'warmup_steps'): 4,       # 0.1 of a step
        ('axolotl-refuses', 'tokens'): 3,             # a mapping where a list belongs
        ('axolotl-refuses', 'output_dir'): 2}         # null

def test_train_runs_or_refuses_what_changes_losses(outcomes):
    found = outcomes['train']
    codes = Counter(code for o in found for code in {c for c,_ in o})
    assert sum(not o for o in found)==76
    assert codes=={'changes-rows': 65, 'not-honoured': 96, 'template': 38, 'axolotl-refuses': 9, 'no-file': 9, 'unknown-key': 12, 'attention': 6}

@pytest.mark.parametrize('command', ['preprocess', 'train'])
def test_a_key_that_changes_nothing_is_never_a_reason(command, outcomes):
    for stock,found in zip(STOCK, outcomes[command]):
        for code,k in found:
            if code!='axolotl-refuses' and '.' not in k: assert not changes_nothing(k, stock[k]), (stock['file'], k)

def test_defaults_of_axolotl_stop_nothing():
    base = dict(base_model='org/model', datasets=[dict(path='org/data', type='input_output')], **RATES)
    for k,v in dict(tokenizer_type='AutoTokenizer', model_type='AutoModelForCausalLM', type_of_model='AutoModelForCausalLM', strict=False,
                    rl=None, streaming=False, tokenizer_legacy=True, context_parallel_size=1, dp_shard_size=1, tensor_parallel_size=1).items():
        assert refused(TrainingConfig.of({**base, k:v}), 'train')==[], k

def test_the_table_says_who_refuses():
    for o in STOCK:
        for code,k in reasons(o, 'preprocess'):
            if code=='changes-rows': assert key(k).rows=='refused'
