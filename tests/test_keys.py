"One table of keys: what `preprocess` and `train` refuse, `config check` says first, with the line; secrets are written nowhere"
import json, traceback
from dataclasses import fields
from types import SimpleNamespace

import pytest

from segmask.config.key_checks import unused
from segmask.config.config import ConfigError, TrainingConfig
from segmask.config.keys import changes_nothing, grouped, key, may_change, names, table, without_secrets
from segmask.config.refusals import refused
from segmask.config.schema import axolotl_keys
from segmask.core import masked, trained
from segmask.data.prepare import preprocess
from segmask.files import write_jsonl

GOOD = '''base_model: mistralai/Mistral-7B-v0.1
datasets:
  - path: rows.jsonl
    type: input_output
learning_rate: 0.0002
micro_batch_size: 1
gradient_accumulation_steps: 1
'''
CHAT = GOOD.replace('input_output', 'chat_template')

# (the config, the line, the key, words of the message): each stops `preprocess`
REFUSED = [
    (GOOD.replace('input_output', 'input_ouput'), 4, 'datasets[0].type', 'Did you mean `input_output`?'),
    (GOOD.replace('input_output', 'alpaca:nothing'), 4, 'datasets[0].type', "there is no style 'nothing'"),
    (GOOD.replace('type: input_output', 'type:\n      formt: x'), 5, 'datasets[0].type.formt', 'Did you mean `format`?'),
    (GOOD.replace('type: input_output', 'type:\n      format: "{instructon}"'), 5, 'datasets[0].type.format', 'placeholder'),
    (GOOD.replace('rows.jsonl', './row.jsonl'), 3, 'datasets[0].path', 'Did you mean rows.jsonl?'),
    (GOOD.replace('input_output', 'input_output\n    segmask: {boundary: promt}'), 5, 'datasets[0].segmask.boundary', 'segment, prompt or joint'),
    (GOOD.replace('input_output', 'input_output\n    segmask: {boundry: prompt}'), 5, 'datasets[0].segmask.boundry', 'Did you mean `boundary`?'),
    (GOOD.replace('input_output', 'input_output\n    segmask:\n      train: all'), 6, 'datasets[0].segmask.train', 'written or marked'),
    (GOOD.replace('input_output', 'input_output\n    segmask:\n      expand: rows'), 6, 'datasets[0].segmask.expand', 'Write turns'),
    (GOOD.replace('input_output', 'input_output\n    segmask:\n      mask:\n        - mask: "("'), 7, 'datasets[0].segmask.mask[0]', 'no regular expression'),
    (GOOD.replace('input_output', 'input_output\n    segmask: {keep_trained: true}'), 5, 'datasets[0].segmask.keep_trained', 'at the top level'),
    (GOOD+'segmask: {boundary: prompt}\n', 8, 'segmask.boundary', 'an entry of datasets'),
    (GOOD+'segmask:\n  fully_masked: explode\n', 9, 'segmask.fully_masked', 'warn, drop or raise'),
    (GOOD+'segmask:\n  keep_traind: false\n', 9, 'segmask.keep_traind', 'Did you mean `keep_trained`?'),
    (GOOD+'segmask: {keep_trained: maybe}\n', 8, 'segmask.keep_trained', 'true or false'),
    (GOOD+'segmask: [1]\n', 8, 'segmask', 'not a mapping of keys'),
    (GOOD+'special_tokens:\n  end_token: "</s>"\n', 9, 'special_tokens.end_token', 'Did you mean `eos_token`?'),
    (GOOD+'special_tokens:\n  pad_token: ""\n', 9, 'special_tokens.pad_token', 'not a token'),
    (CHAT+'chat_template: jinja\nchat_template_jinja: "{% for m in messages %}"\n', 9, 'chat_template_jinja', 'not a Jinja template'),
    (CHAT+'chat_template: gemma3\n', 8, 'chat_template', 'which is not here'),
    (GOOD.replace('mistralai/Mistral-7B-v0.1', './no-model'), 1, 'base_model', 'no such folder'),
    (GOOD+'val_set_size: 1.0\n', 8, 'val_set_size', 'holds back all rows'),
    (GOOD+'rl: dpo\n', 8, 'rl', 'prepares no rows for it')]

# what stops `train` alone
NOT_TRAINED = [
    (GOOD+'relora: true\n', 8, 'relora', 'does not honour it'),
    (GOOD+'micro_batchsize: 2\n', 8, 'micro_batchsize', 'Did you mean `micro_batch_size`?'),
    (GOOD.replace('type: input_output', 'type: input_output\n    typo: 1'), 5, 'datasets[0].typo', 'nobody reads this key'),
    (GOOD+'optimizer: muon\n', 8, 'optimizer', 'only axolotl brings'),
    (GOOD+'bf16: true\nfp16: true\n', 9, 'fp16', 'both on'),
    (GOOD+'adapter: lora\nlora_target_linear: true\n', 1, 'lora_r', 'is missing for adapter'),
    (GOOD+'save_strategy: best\nmetric_for_best_model: eval_loss\n', 8, 'save_strategy', 'needs rows to evaluate on'),
    (GOOD+'deepspeed: nowhere.json\n', 8, 'deepspeed', 'does not exist here'),
    (GOOD.replace('learning_rate: 0.0002\n', ''), 1, 'learning_rate', 'is missing')]

@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl([masked('Q: 2+2?\nA:') + trained(' 4</s>')]*3, 'rows.jsonl')
    return tmp_path

@pytest.mark.parametrize('text,line,field,words', REFUSED+NOT_TRAINED, ids=lambda o: o if isinstance(o, str) and o.count('\n')==0 else '')
def test_what_a_command_refuses_is_said_by_check_first_with_its_line(place, text, line, field, words):
    (place/'c.yaml').write_text(text)
    cfg = TrainingConfig.load('c.yaml')
    stops = 'preprocess' if (text, line, field, words) in REFUSED else 'train'
    said = [o for o in cfg.check() if o.key.startswith(field) and o.stops==stops]
    assert said and words in f'{said[0].what}. {said[0].hint}', cfg.check()
    assert said[0].where.startswith('c.yaml') and (line==1 or said[0].where==f'c.yaml:{line}'), said[0].where
    assert said[0].code and all(getattr(said[0].problem, f.name) is not None for f in fields(said[0].problem))
    assert bool(refused(cfg, 'preprocess'))==(stops=='preprocess') and refused(cfg, 'train')
    if stops=='preprocess':
        with pytest.raises(ConfigError) as e: preprocess(cfg)
        assert any(p.field.startswith(field) for p in e.value.problems)

def test_a_good_config_is_refused_by_nobody(place):
    (place/'c.yaml').write_text(GOOD)
    cfg = TrainingConfig.load('c.yaml')
    assert refused(cfg, 'preprocess')==refused(cfg, 'train')==cfg.check()==[]
    with pytest.raises(ValueError, match='choose preprocess or train'): refused(cfg, 'lint')

def test_the_demo_says_one_note():
    from pathlib import Path
    cfg = TrainingConfig.load(Path(__file__).parents[1]/'training_config.yaml')
    assert [(o.severity, o.key) for o in cfg.check() if o.code!='no-file']==[('info', 'data_seed')]

SECRETS = dict(hub_token='s3cret', wandb_key='s3cret', comet_api_key='s3cret', env={'HF_TOKEN':'s3cret'}, storage_options={'secret':'s3cret', 'key_file':'x'},
               mlflow_tracking_uri='https://me:s3cret@host/x')

def test_secrets_reach_no_file(place):
    cfg = {**TrainingConfig.parse(GOOD).to_dict(), **SECRETS, 'datasets':[{'path':'rows.jsonl', 'type':'input_output', 'token':'s3cret'}]}
    p = preprocess(cfg)
    written = [o for o in p.path.rglob('*') if o.is_file()]
    assert written and not [o for o in written if b's3cret' in o.read_bytes()]
    assert preprocess({**cfg, 'hub_token':'other', 'datasets':[{'path':'rows.jsonl', 'type':'input_output', 'token':'other'}]}).path==p.path
    said = [str(o) for o in [*TrainingConfig.of(cfg).check(), *refused(TrainingConfig.of(cfg), 'train')]]
    assert not [o for o in said if 's3cret' in o], said

@pytest.mark.parametrize('address', ['https://me:s3cret@host/rows.jsonl', 's3://KEY:s3/cret@bucket/rows.jsonl', 'https://s3cret@host/rows.jsonl', 'https://host/rows.jsonl?X-Amz-Signature=s3cret'])
def test_the_password_of_an_address_is_nowhere(place, address, monkeypatch, capsys):
    from datasets import Dataset
    from segmask import lint
    from segmask.data import prepare
    from segmask.formats import sources
    hashed, rows = [], [dict(segments=[dict(label=False, text='a'), dict(label=i<2, text='b')]) for i in range(3)]
    monkeypatch.setattr(sources, '_open_dataset', lambda *args: Dataset.from_list(rows))
    monkeypatch.setattr(prepare, 'json', SimpleNamespace(dumps=lambda o, **kw: hashed.append(json.dumps(o, **kw)) or hashed[-1]))
    cfg = {**TrainingConfig.parse(GOOD).to_dict(), 'datasets':[{'path':address, 'type':'input_output'}]}
    p = preprocess(cfg)
    said = [str(p.source(0)), p.report.lines(), repr(p), lint(cfg).to_csv(), *hashed, *capsys.readouterr()]
    assert any('rows.jsonl' in o for o in hashed)
    def fails(*args): raise OSError(f'{address} gives 404')
    monkeypatch.setattr(sources, '_open_dataset', fails)
    with pytest.raises(ValueError, match='rows.jsonl.*gives 404') as e: preprocess(cfg)
    said += traceback.format_exception(e.value)
    assert not [o for o in said if 's3cret' in o or 's3/cret' in o]
    for f in p.path.rglob('*'): assert b's3cret' not in f.read_bytes() and b's3/cret' not in f.read_bytes(), f

def test_what_is_no_secret_stays():
    keep = dict(special_tokens={'pad_token':'<pad>', 'eos_token':'</s>'}, tokens=['<x>'], hf_use_auth_token=True, eot_tokens=['<e>'],
                datasets=[dict(path='a', template_thinking_key='think', field_messages='m')], added_tokens_overrides={5:'<y>'})
    assert without_secrets(keep)==keep

def test_the_table_and_the_schema_agree():
    schema = axolotl_keys()['keys']
    from segmask.config.fields import TrainingFields
    assert [k for k in TrainingFields.model_fields if not key(k).group]==[]
    assert [k for k in grouped('form') if k not in ('model', 'data', 'length', 'training', 'adapter')]==[]
    assert [k for v in grouped('form').values() for k in v if k not in TrainingFields.model_fields]==[]
    assert [k for k in names(rows='refused') if k not in schema]==[]
    for k,o in schema.items():
        if 'default' in o: assert changes_nothing(k, o['default']), k
    assert [k for k,o in table().items() if o.train=='unused' and not o.rows and not may_change(k)]==[]

def test_arguments_exist():
    from transformers import TrainingArguments
    known = set(TrainingArguments.__dataclass_fields__)
    assert [o.argument for o in table().values() if o.argument and o.argument not in known]==[]

def test_what_is_unused_is_told_and_what_is_off_is_not():
    assert unused(dict(use_mlflow=True, tiled_mlp=False, strict=None, relora=True, hub_token='x'))==['use_mlflow']

@pytest.mark.parametrize('values', [dict(segmask=5), dict(datasets=5), dict(datasets=[5]), dict(datasets=[dict(path='a', type=5)]),
    dict(datasets=[dict(path='a', roles=5)]), dict(datasets=[dict(path='a', roles_to_train=5)]), dict(datasets=[dict(path='a', message_property_mappings=5)]),
    dict(datasets=[dict(path='a', segmask=3)]), dict(tokens=5), dict(special_tokens=5), dict(plugins=5), dict(deepspeed=5), dict(fsdp_config=5)])
def test_values_of_another_type_are_problems_with_a_place(values):
    base = dict(base_model='m', datasets=[dict(path='a')])
    try: problems = refused(TrainingConfig.of({**base, **values}), 'train')
    except ConfigError as e: problems = e.problems
    assert any(p.field.startswith(next(iter(values))) for p in problems), problems

@pytest.mark.parametrize('text', ['['*100_000, 'a: &a [*a]', 'a: \0', 'a: !!python/name:os.system', '{'*300+'}'*300])
def test_yaml_that_no_config_is(text):
    with pytest.raises(ConfigError): TrainingConfig.parse(text)

def test_values_that_hold_themselves():
    itself: list = []
    itself.append(itself)
    cfg = TrainingConfig.of(dict(base_model='m', datasets=[dict(path='a')]))
    for k in ('x', 'tokens', 'datasets[0].roles'):
        with pytest.raises(ConfigError, match='more than a config can be'): cfg.with_keys({k: itself})

def test_to_transformers_is_what_train_runs(tmp_path):
    from transformers import TrainingArguments
    from segmask.config.arguments import evaluates
    from segmask.training.arguments import training_arguments
    some = dict(micro_batch_size=2, num_epochs=2, evals_per_epoch=2, val_set_size=.1, saves_per_epoch=1, optimizer='adamw_torch', lr_scheduler='linear', bf16=False,
                warmup_ratio=.1, weight_decay=.1, adam_beta2=.95, save_total_limit=2, data_seed=49, seed=7, neftune_noise_alpha=5, load_best_model_at_end=True,
                dataloader_num_workers=0, lr_scheduler_kwargs={}, optim_args={'eps':1e-6}, output_dir=str(tmp_path), wandb_name='a run', ddp_timeout=60)
    for more in ({}, dict(eval_steps=5, evals_per_epoch=None, save_steps=10, saves_per_epoch=None), dict(group_by_length=True, max_steps=9), dict(val_set_size=0, load_best_model_at_end=None)):
        cfg = TrainingConfig.of({**TrainingConfig.parse(GOOD).to_dict(), **some, **more})
        a, b = training_arguments(cfg, evaluates(cfg), use_cpu=True), TrainingArguments(**cfg.to_transformers(), use_cpu=True)
        assert a.to_dict()==b.to_dict()

def test_wandb_keys_arrive():
    from segmask.config.arguments import arguments, wandb_environment
    cfg = TrainingConfig.of({**TrainingConfig.parse(GOOD).to_dict(), 'bf16':False, 'wandb_project':'p', 'wandb_mode':'offline', 'wandb_run_id':'r', 'wandb_watch':'false',
                             'wandb_log_model':'end', 'wandb_entity':None, 'wandb_name':'n'})
    assert wandb_environment(cfg)=={f'WANDB_{k}': v for k,v in dict(PROJECT='p', MODE='offline', RUN_ID='r', WATCH='false', LOG_MODEL='end', NAME='n').items()}
    assert arguments(cfg)['run_name']=='n'
