"A tokenizer without transformers is the real one, for text, or is not used"
import json
import os
import pickle
import subprocess
import sys

import pytest

import families
from segmask import TrainingConfig, debug_line, load_tokenizer, masked, preprocess, trained, write_jsonl
from segmask.data import prepare
from segmask.tokens.tokenizer import TextTokenizer, text_tokenizer

MISTRAL = 'mistralai/Mistral-7B-v0.1'
TEXTS = ['', ' ', '<s>Hello\n', 'a</s> b', '日本 👍🏽 e\u0301', '\x00\ufffd']

def config(**more): return TrainingConfig(**{'base_model':MISTRAL, 'datasets':[dict(path='rows.jsonl', type='input_output')]} | more)

def same(text, real):
    cfg = config()
    assert prepare._tokenizer(cfg, text)==prepare._tokenizer(cfg, real)
    assert len(text)==len(real)
    for o in TEXTS:
        ids = real(o, add_special_tokens=False)['input_ids']
        assert text.backend_tokenizer.encode(o, add_special_tokens=False).ids==ids
        assert text.decode(ids)==real.decode(ids) and [text.decode(i) for i in ids]==[real.decode(i) for i in ids]

def saved(tok, folder, model='mistral', **more):
    tok.save_pretrained(folder)
    (folder/'config.json').write_text(json.dumps(dict(model_type=model, vocab_size=len(tok))))
    told = json.loads((folder/'tokenizer_config.json').read_text())
    (folder/'tokenizer_config.json').write_text(json.dumps({**told, **more}))
    return str(folder)

def test_the_embedded_one(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    for _ in range(2): same(text_tokenizer(MISTRAL), load_tokenizer(MISTRAL)) # made, and from the cache
    file, = (tmp_path/'segmask').iterdir()
    file.write_text(file.read_text().replace('Hello', 'Hallo'))
    same(text_tokenizer(MISTRAL), load_tokenizer(MISTRAL)) # not what was written
    roles = dict(bos_token='<s>', eos_token='</s>', unk_token='<unk>', pad_token='<unk>')
    same(text_tokenizer(MISTRAL, roles), load_tokenizer(MISTRAL, roles))
    again = pickle.loads(pickle.dumps(text_tokenizer(MISTRAL)))
    same(again, load_tokenizer(MISTRAL))
    assert again.real.eos_token=='</s>' and again.padding_side==again.real.padding_side

@pytest.mark.parametrize('family', ['gpt2', 'qwen', 'deepseek', 'llama3', 'unigram', 'mistral'])
@pytest.mark.parametrize('more', [{}, dict(chat_template='{{ messages }}'), dict(model_max_length=5)])
def test_a_folder(family, more, tmp_path):
    tok = load_tokenizer(MISTRAL) if family=='mistral' else getattr(families, family)()
    name = saved(tok, tmp_path, 'mistral' if family=='mistral' else 'llama', **more)
    if (text := text_tokenizer(name)) is not None: same(text, load_tokenizer(name))
    assert text is not None or family!='mistral'

@pytest.mark.parametrize('more', [dict(add_prefix_space=True), dict(clean_up_tokenization_spaces=True), dict(tokenizer_class='LlamaTokenizer'),
    dict(extra_special_tokens=['<x>']), dict(eos_token='<new>'), dict(eos_token={'content':'</s>'}), dict(auto_map={}), dict(split_special_tokens=True)])
def test_folders_that_say_more_than_their_backend(more, tmp_path):
    assert text_tokenizer(saved(load_tokenizer(MISTRAL), tmp_path, **more)) is None

def test_other_names_and_tokens(tmp_path):
    assert text_tokenizer(MISTRAL, {'eos_token':'<|im_end|>'}) is None
    assert text_tokenizer(MISTRAL, {'additional_special_tokens':['<s>']}) is None
    assert text_tokenizer(MISTRAL, revision='abc') is None
    for name in ('nobody/nothing', str(tmp_path), 7): assert text_tokenizer(name) is None
    assert isinstance(config().text_tokenizer(), TextTokenizer)
    for more in (dict(tokens=['<x>']), dict(tokenizer_type='LlamaTokenizer'), dict(datasets=[dict(path='r.jsonl', type='alpaca')])):
        assert config(**more).text_tokenizer() is None

def test_the_same_set_and_no_transformers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl([masked(f'<s>{i}+1=')+trained(f'{i+1}</s>') for i in range(50)], 'rows.jsonl')
    (tmp_path/'c.yaml').write_text(f'base_model: {MISTRAL}\nsequence_len: 64\ndatasets: [{{path: rows.jsonl, type: input_output}}]\n')
    code = ('import sys; from segmask.cli import main; status = main(["preprocess", "c.yaml", "--debug"]); '
            'print(*(o for o in ("transformers", "torch", "pandas", "datasets") if o in sys.modules), file=sys.stderr); sys.exit(status)')
    p = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, env={**os.environ, 'HF_HUB_OFFLINE':'1'})
    assert p.stderr.splitlines()[-1]==''
    here = preprocess('c.yaml')
    assert str(here.path) in p.stdout and debug_line(here[0], here.tokenizer) in p.stdout
    assert type(here.tokenizer) is type(here.config.tokenizer())
    monkeypatch.setattr(TrainingConfig, 'text_tokenizer', lambda self: None)
    bytes_of = lambda p: {f.name: f.read_bytes() for f in p.path.iterdir() if f.suffix!='.json'}
    first = bytes_of(here)
    real = preprocess('c.yaml', force=True)
    assert real.path==here.path and bytes_of(real)==first
