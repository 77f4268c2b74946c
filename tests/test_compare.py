"compare: arms that differ in nothing but weights, what is said while it runs, and what is never said"
import json, random

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from segmask import TrainingConfig, compare, masked, trained, write_jsonl
from segmask.config.config import ConfigError
from segmask.masks import mask, train, weigh
from segmask.training.arms import as_written
from segmask.training.experiment import Progress

KINDS = dict(pump='leaks', wire='sparks', door='sticks')

def notes(n, seed=0):
    rng, words = random.Random(seed), 'one two three four five six seven eight nine ten'.split()
    kinds = [rng.choice(list(KINDS)) for _ in range(n)]
    return [masked('<s>' + ' '.join([*rng.sample(words, 4), KINDS[k]]) + ' ->') + trained(f' {k}</s>') for k in kinds]

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('compare')
    rows = notes(160)
    write_jsonl(rows, path/'rows.jsonl')
    t = Tokenizer(models.WordLevel(unk_token='<unk>'))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='never')
    t.decoder = decoders.Metaspace(prepend_scheme='never')
    texts = [r.text.replace('<s>', '').replace('</s>', '') for r in rows]
    t.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=['<unk>', '<s>', '</s>'], show_progress=False))
    names = dict(bos_token='<s>', eos_token='</s>', unk_token='<unk>', pad_token='</s>')
    PreTrainedTokenizerFast(tokenizer_object=t, **names).save_pretrained(path/'tiny')
    return path

def config(folder, **more):
    entry = dict(path=str(folder/'rows.jsonl'), type='input_output', segmask=dict(boundary='prompt'))
    return TrainingConfig.of(dict(base_model=str(folder/'tiny'), datasets=[entry], val_set_size=.25, sequence_len=64, micro_batch_size=8,
                                  max_steps=4, learning_rate=5e-3, seed=1, save_strategy='no', bf16=False) | more)

def model(seed):
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                                        num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=2))

def test_weights_are_between(folder):
    "An arm whose prompt weighs .1 is neither the masked nor the unmasked one, and a weight of 0 or 1 is exactly one of them"
    prompt = lambda w: weigh(weight=w, label=False)
    arms = {'masked': as_written, '0': prompt(0.), '.1': prompt(.1), '1': prompt(1.), 'unmasked': train()}
    r = compare(config(folder), arms, model=model, seeds=1, work=folder/'between', generate=0, log=None)
    rest = {name: runs[0]['rest_loss'] for name,runs in r.runs.items()}
    assert rest['0']==rest['masked'] and rest['1']==rest['unmasked']
    mean = {name: sum(v)/len(v) for name,v in rest.items()}
    assert mean['unmasked']<mean['.1']<mean['masked']

def test_what_is_said(folder, capsys):
    arms = {'masked': as_written, 'all': train()}
    first = compare(config(folder), arms, model=model, seeds=1, work=folder/'said')
    out, err = capsys.readouterr()
    assert 'compare: 2 runs to do: 8 updates' in err and 'masked, seed 0 is finished' in err and 'compare:' not in out
    again = compare(config(folder), arms, model=model, seeds=2, work=folder/'said')
    err = capsys.readouterr().err
    assert err.count('reusing the run of')==2 and '2 runs to do' in err
    assert again.runs['all'][0]==first.runs['all'][0]
    compare(config(folder), arms, model=model, seeds=1, work=folder/'said', log=None)
    assert 'compare:' not in ''.join(capsys.readouterr())
    assert 'One seed gives no verdict' in first.verdict and 'better' not in first.verdict

def test_lines_where_there_is_no_bar():
    lines, p = [], None
    p = Progress(10, lines.append, every=0)
    p.begin('masked, seed 3')
    for _ in range(3): p.update()
    assert [o.split(', about')[0] for o in lines]==[f'compare: masked, seed 3: update {i} of 10 in all' for i in (1, 2, 3)]

def test_trained_rows_are_no_test(folder):
    write_jsonl(notes(160)[:5] + notes(3, seed=9), folder/'test.jsonl')
    cfg = config(folder, test_datasets=[dict(path=str(folder/'test.jsonl'), type='input_output')], val_set_size=None)
    with pytest.raises(ConfigError, match='test_datasets.*5 rows of 8 that are in datasets.*test.jsonl:1') as e: compare(cfg, model=model, work=folder/'test')
    assert 'Remove them' in str(e.value)

def test_rules_as_they_are_written(folder):
    arms = {'own': as_written, 'yaml': [{'train': 'leaks|sparks|sticks'}, {'mask': 'door'}], 'rule': mask('</s>')}
    r = compare(config(folder), arms, model=model, seeds=1, steps=1, work=folder/'written', generate=0, log=None)
    assert len({runs[0]['trained_tokens'] for runs in r.runs.values()})==3

def test_a_budget_in_a_shell(folder, tmp_path, capsys):
    from segmask.cli import main
    model(0).save_pretrained(folder/'tiny')
    cfg = config(folder).to_dict()
    (tmp_path/'run.yaml').write_text(json.dumps(cfg)) # JSON is YAML
    args = ['compare', str(tmp_path/'run.yaml'), '--seeds', '0', '--generate', '0', '--work', str(tmp_path/'work'), '--json']
    assert main([*args, '--steps', '2'])==0
    assert {o['updates'] for o in json.loads(capsys.readouterr().out)['arms']}=={2}
    assert main([*args, '--minutes', '0.000001'])==0
    assert {o['updates'] for o in json.loads(capsys.readouterr().out)['arms']}=={1}
    with pytest.raises(SystemExit): main([*args, '--steps', '2', '--minutes', '1'])

def test_own_measures_are_measured_and_kept(folder):
    asked = []
    def length(model, e):
        assert not model.training
        asked.append(len(e.input_ids))
        return {'share of a hundred': len(e.input_ids)/100}
    r = compare(config(folder), model=model, seeds=2, work=folder/'measures', generate=0, log=None, measures=length)
    held = len(r.values['loss on answers']['masked'][0])
    assert len(asked)==4*held and 'share of a hundred' in r.table and '%' in r.table['share of a hundred'][0]
    compare(config(folder), model=model, seeds=2, work=folder/'measures', generate=0, log=None, measures=length)
    assert len(asked)==4*held
    other = lambda model, e: {'tokens': len(e.input_ids)}
    assert 'tokens' in compare(config(folder), model=model, seeds=2, work=folder/'measures', generate=0, log=None, measures=other).table
