"What inference supplies and what the model writes: over templates and conversations, and through preprocess and lint"
import json, random, re
from copy import copy
from functools import lru_cache
from pathlib import Path

import pytest

from segmask.cli import main
from segmask.config.config import ConfigError, TrainingConfig
from segmask.config.refusals import all_advice
from segmask.core import Segments, masked, trained
from segmask.data import rules
from segmask.data.prepare import preprocess
from segmask.data.exchange import convert
from segmask.data.prepared import Prepared
from segmask.data.rows import row_set
from segmask.files import read_jsonl
from segmask.formats.chat import Chat
from segmask.formats.chatrows import as_marked, chat_rows
from segmask.formats.contract import CONTRACT_CODES, Contract
from segmask.formats.fields import FormatError
from segmask.formats.formats import to_segments
from segmask.linting.codes import CODES
from segmask.linting.fixes import fix
from segmask.linting.linter import lint
from segmask.tokens.encoder import Encoder
from segmask.tokens.skew import inference_skew
from segmask.tokens.tokenizer import load_tokenizer
from segmask.training.arms import split_rows
from segmask.views.batches import show_batch
from segmask.views.tokens import parts_of, show_tokens, tokens_of
from segmask.widgets.browser import browse
from segmask.widgets.drawing import row_drawing
from segmask.widgets.page import write_page

trl = pytest.importorskip('trl')
FOLDER = Path(trl.__file__).parent/'chat_templates'
MARKER = re.compile(r'<\|[^\s<>|]+\|?>|<[^\s<>|/]+\|>|<｜[^｜]+｜>|<\w+_of_\w+>|\[/?INST\]|<</?SYS>>|</?s>'
                    r'|</?think>|</?tool_call>|</?tool_response>|</?arg_(?:key|value)>|\[gMASK\]|<sop>')
TALK = [dict(role='user', content='Hi'), dict(role='assistant', content='Hello'),
        dict(role='user', content='Bye'), dict(role='assistant', content='See you')]
THOUGHTS = [dict(o, reasoning_content='Think.') if o['role']=='assistant' else o for o in TALK]

@lru_cache(maxsize=None)
def chat_of(name: str, base: str, **options) -> Chat:
    "A template of TRL's, with its markers as tokens"
    template = (FOLDER/f'{name}.jinja').read_text()
    tok = load_tokenizer(base, tokens=sorted(set(MARKER.findall(template))))
    return Chat(tok, options, dict(chat_template='jinja', chat_template_jinja=template))

def codes(chat: Chat, messages: list, train: str|None=None) -> set[str]:
    row = chat_rows(Contract(chat), dict(messages=messages), train)
    return {o.code for o in row.notes(Encoder(chat.tokenizer, 'joint')(row))}

@pytest.mark.parametrize('name', sorted(p.stem for p in FOLDER.glob('*_training.jinja')))
def test_marked_is_what_transformers_marks(name, base_models):
    chat = chat_of(name, base_models['gpt2'])
    try: c = chat.read(dict(messages=TALK))
    except FormatError: pytest.skip('it takes contents in parts only, which axolotl joins to text')
    want = chat.tokenizer.apply_chat_template(TALK, chat_template=chat.template, tokenize=True, return_dict=True,
                                              return_assistant_tokens_mask=True)
    got = Encoder(chat.tokenizer, 'joint')(as_marked(chat, c))
    assert got.input_ids == list(want['input_ids'])
    assert [int(l!=-100) for l in got.labels] == list(want['assistant_masks'])

CONTRADICT = 'deepseek', 'nemotron', 'qwen3_5_nothink', 'idefics3', 'smolvlm' # the prompt is not in the row, or text is not rendered
REWRITE = 'glm4moe', 'gptoss', 'qwen3', 'qwen3_5', 'qwen3_6', 'lfm2_2_5', 'nemotron', 'diffusion', 'gemma4'

@pytest.mark.parametrize('name', sorted(p.stem for p in FOLDER.glob('*.jinja') if not p.stem.startswith(CONTRADICT)))
def test_written_leaves_nothing_to_say_under_consistent_templates(name, base_models):
    try: found = codes(chat_of(name, base_models['gpt2']), TALK, 'written')
    except FormatError: pytest.skip('it takes contents in parts only, which axolotl joins to text')
    assert found-{'tokens-join', 'date-in-text'} <= ({'history-rewritten', 'stop-missing'} if name.startswith(REWRITE) else set())

@pytest.mark.parametrize('name', sorted(p.stem for p in FOLDER.glob('*.jinja') if 'training' not in p.stem))
def test_views_tell_as_written_what_train_written_trains(name, base_models):
    chat = chat_of(name, base_models['gpt2'])
    try: row = chat_rows(Contract(chat), dict(messages=THOUGHTS), 'written')
    except FormatError: pytest.skip('it takes contents in parts only, which axolotl joins to text')
    e = Encoder(chat.tokenizer, 'joint')(row)
    told = parts_of(e, chat.tokenizer)
    assert [o=='written' for o in told]==[l!=-100 for l in e.labels]
    for _,s in chat_rows(Contract(chat), dict(messages=THOUGHTS), expand='turns'):
        e = Encoder(chat.tokenizer, 'prompt')(s)
        told = parts_of(e, chat.tokenizer)
        assert [o=='written' for o in told]==[l!=-100 for l in e.labels]
        if 'written' in told: assert told[told.index('written')-1]=='supplied' or name.startswith('idefics3')
    plain = chat_rows(Contract(chat), dict(messages=TALK))
    e = Encoder(chat.tokenizer, 'joint')(plain)
    if {o.code for o in plain.notes(e)} & {'prompt-not-prefix', 'history-rewritten', 'stop-missing', 'tokens-join'}: return
    if name.startswith('llama3'): return # GPT-2's splitting has other tokens for a prompt that ends in two line breaks
    chat.tokenizer.chat_template = chat.template
    told = parts_of(dict(e), chat.tokenizer) # tokens alone tell the same, where the template is consistent
    chat.tokenizer.chat_template = None
    assert told in (parts_of(e, chat.tokenizer), [])

def test_inference_skew_asks_the_template(base_models):
    chat = chat_of('qwen3', base_models['gpt2'])
    enc, contract = Encoder(chat.tokenizer, 'joint'), Contract(chat)
    first, last = inference_skew(chat_rows(contract, dict(messages=THOUGHTS)), enc)
    assert not first.skewed and 'expand: turns' in first.hint
    assert last.skewed and last.hint=='segmask: {train: written}' and last.prompt==chat.draw(THOUGHTS[:3], prompt=True)
    assert chat.tokenizer.decode(last.trained_on[last.parts_at:])=='<think>\n' and last.inference[last.parts_at:]==[]
    written, = inference_skew(chat_rows(contract, dict(messages=THOUGHTS), 'written'), enc)
    assert not written.skewed and not written.hint
    for _,s in chat_rows(contract, dict(messages=THOUGHTS), expand='turns'):
        alone, = inference_skew(s, Encoder(chat.tokenizer, 'prompt'))
        assert not alone.skewed and not alone.hint
    inner = chat_rows(contract, dict(messages=THOUGHTS), 'written').mask('Think') # the model's own text, masked
    assert [o.skewed for o in inference_skew(inner, enc)]==[False, False]
    # a template whose prompt is longer than what is masked, one that contradicts itself, and one that refuses
    assert inference_skew(chat_rows(contract, dict(messages=TALK)).train('<.im_start.>assistant\n'), enc)[-1].skewed
    deep = chat_of('deepseekv3', base_models['gpt2'])
    assert any('not the beginning' in o.hint for o in inference_skew(chat_rows(Contract(deep), dict(messages=TALK)), Encoder(deep.tokenizer, 'joint')))
    begins = chat_rows(contract, dict(messages=TALK[1:]))
    assert all(not o.hint.startswith('segmask') for o in inference_skew(begins, enc)[:1])

def test_supplied_and_written_are_told_in_words(base_models, tmp_path):
    chat = chat_of('qwen3', base_models['gpt2'])
    row = chat_rows(Contract(chat), dict(messages=THOUGHTS))
    e = Encoder(chat.tokenizer, 'joint')(row)
    v = show_tokens(e)
    assert 'supplied (0 trained)' in str(v) and '2 rewritten (1 trained)' in str(v) and str(v).endswith('s supplied  w written  r rewritten  no line above: context')
    for o in ('supplied by the prompt', 'trained · written by the model', 'masked · written by the model', 'masked · context', 'rewritten since the model wrote it'):
        assert f'{o} · segment' in v.html
    drawn = row_drawing(e, chat.tokenizer)
    assert set(drawn['p'])==set('cswr') and len(drawn['p'])==len(e.input_ids)
    write_page([row], tmp_path/'page.html', Encoder(chat.tokenizer, 'joint'))
    assert 'written' in str(browse([row], Encoder(chat.tokenizer, 'joint')))
    ruled = row.mask('Think')
    assert [o.part for o in tokens_of(Encoder(chat.tokenizer, 'joint')(ruled))]==[o.part for o in tokens_of(e)]
    chat.tokenizer.chat_template = chat.template # a batch is tokens alone, and so are the rows of a prepared set
    batch = dict(input_ids=[e.input_ids], labels=[e.labels])
    b = show_batch(batch, chat.tokenizer)
    assert 'supplied' in b.text and 'written by the model' in b.html and b.text.endswith('s supplied  w written  no line above: context')
    chat.tokenizer.chat_template = None
    assert 'supplied' not in show_batch(batch, chat.tokenizer).text and row_drawing(dict(e), chat.tokenizer)['p']==''

def test_qwen3_removes_reasoning_and_masks_the_beginning_of_thought(base_models):
    chat = chat_of('qwen3', base_models['gpt2'])
    notes = chat_rows(Contract(chat), dict(messages=THOUGHTS)).notes()
    assert [(o.turn, o.code) for o in notes if o.code!='written-but-masked'] == [(1, 'history-rewritten')]
    assert any(o.turn==3 and '<think>' in o.message for o in notes)
    rows = chat_rows(Contract(chat), dict(messages=THOUGHTS), expand='turns')
    assert [[o.text for o in s if o.label] for _,s in rows] == [['<think>\nThink.\n</think>\n\nHello<|im_end|>'],
                                                                 ['<think>\nThink.\n</think>\n\nSee you<|im_end|>']]

def test_glm_masks_the_stop_of_every_turn(base_models):
    notes = chat_rows(Contract(chat := chat_of('glm4moe', base_models['gpt2'])), dict(messages=TALK)).notes()
    assert [o.turn for o in notes if 'ends the turn' in o.message] == [1]
    assert [o.turn for o in notes if o.code=='stop-missing'] == [3] # the last message has none in the row
    assert all('<|user|>' in o.message for o in notes if 'ends the turn' in o.message or o.code=='stop-missing')
    assert len(chat_rows(Contract(chat), dict(messages=TALK), expand='turns')) == 2

def test_gemma_supplies_the_header(base_models):
    chat = chat_of('gemma3', base_models['gpt2'])
    t = Contract(chat).turns(chat.read(dict(messages=TALK)))[0]
    assert t.supplied.endswith('<start_of_turn>model\n') and t.written == 'Hello<end_of_turn>'

FAMILIES = {'chatml': ('<|im_end|>', ['<|im_start|>']), 'llama3': ('<|eot_id|>', ['<|start_header_id|>', '<|end_header_id|>']),
            'qwen_25': ('<|im_end|>', ['<|im_start|>'])}

@pytest.mark.parametrize('name', FAMILIES)
def test_five_hundred_conversations_under_common_templates_give_no_finding(name, base_models):
    end, more = FAMILIES[name]
    tok = load_tokenizer(base_models['gpt2'], tokens=[end, *more], special_tokens={'eos_token':end})
    contract, rng = Contract(Chat(tok, None, dict(chat_template=name))), random.Random(0)
    words = ['yes', 'no', '42.', 'naïve café', '日本語', 'two', 'a\n\nb', '👩‍👩‍👧 ok', '$5 <b>', 'USER: hi', "it's"]
    for _ in range(500):
        say = lambda: ' '.join(rng.choices(words, k=rng.randint(1, 4)))
        messages = [dict(role=r, content=say()) for r in ('user', 'assistant')*rng.randint(1, 3)]
        if rng.random()<.3: messages.insert(0, dict(role='system', content=say()))
        row = chat_rows(contract, dict(messages=messages))
        assert [o for o in row.notes() if o.code!='trained-after-stop'] == []

BAD = { # what a template may do wrong -> the code that says so
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '<|im_end|>' }}{% endfor %}": 'written-but-masked', # no prompt
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}": 'prompt-not-prefix',
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}": 'stop-missing',
    "{{ messages|length }}{% for m in messages %}{{ '<' + m.role + '>' + m.content + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}": 'prompt-not-prefix',
    "{% if messages|length < 2 %}{{ raise_exception('too short') }}{% endif %}{% for m in messages %}{{ m.content + '<|im_end|>' }}{% endfor %}": 'prompt-refused',
}

@pytest.mark.parametrize('template', BAD)
def test_what_a_template_does_wrong_is_found(template, base_models):
    tok = load_tokenizer(base_models['gpt2'], tokens=['<|im_end|>'])
    chat = Chat(tok, None, dict(chat_template='jinja', chat_template_jinja=template))
    assert BAD[template] in codes(chat, TALK)
    for s in [chat_rows(Contract(chat), dict(messages=TALK), 'written'), *(s for _,s in chat_rows(Contract(chat), dict(messages=TALK), expand='turns'))]:
        assert all('Hi' not in o.text and 'Bye' not in o.text for o in s if o.label) # never a wrong mask

HEAD = "<|im_start|>{{ m.role }}\n"
TURN, PROMPT = HEAD+"{{ m.content }}<|im_end|>\n", "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
def each(turn: str, prompt: str=PROMPT, head: str='') -> str: return head+"{% for m in messages %}"+turn+"{% endfor %}"+prompt
def of_assistant(turn: str) -> str: return "{% if m.role=='assistant' %}"+turn+"{% else %}"+TURN+"{% endif %}"
CALLS = [TALK[0], dict(role='assistant', content='4', tool_calls=[dict(type='function', function=dict(name='add', arguments={}))])]

CODE_CASES = { # code -> template, messages and mask under which it is found; its twin is ChatML, or the same messages under it
    'supplied-but-trained': (each(of_assistant("{% generation %}"+TURN[:-1]+"{% endgeneration %}\n")), TALK, 'marked'),
    'written-but-masked': (each(of_assistant(HEAD+"<think>\n\n</think>\n\n{{ m.content }}<|im_end|>\n")), TALK, None),
    'history-rewritten': (each(HEAD+"{% if m.role=='assistant' and loop.last %}<think></think>{% endif %}{{ m.content }}<|im_end|>\n"), TALK, None),
    'prompt-not-prefix': (each(TURN, "{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}"), TALK, None),
    'stop-missing': (each("{{ m.role }}: {{ m.content }}\n", "{% if add_generation_prompt %}assistant: {% endif %}"), TALK, None),
    'trained-after-stop': (each(of_assistant(HEAD+"{% generation %}{{ m.content }}<|im_end|>\n{% endgeneration %}")), TALK, 'marked'),
    'tokens-join': (each("<|im_start|>{{ m.role }}: {{ m.content }}<|im_end|>\n", "{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}"), TALK, None),
    'prompt-refused': (each(TURN), TALK[1:], None),
    'field-not-rendered': (each(TURN), CALLS, None),
    'weight-ignored': (each(TURN), [TALK[0], dict(TALK[1], weight=.3)], None),
    'date-in-text': (each(TURN, head="<|im_start|>system\n{{ strftime_now('%d %b %Y') }}<|im_end|>\n"), TALK, None),
}

def bare_chat(template: str, base: str) -> Chat:
    "A template over GPT-2's tokens and ChatML's markers"
    return Chat(_chatml_tokens(base), None, dict(chat_template='jinja', chat_template_jinja=template))

@lru_cache(maxsize=None)
def _chatml_tokens(base: str):
    return load_tokenizer(base, tokens=['<|im_start|>', '<|im_end|>', '<think>', '</think>'], special_tokens={'eos_token':'<|im_end|>'})

def test_every_code_has_a_case(): assert set(CODE_CASES)==set(CONTRACT_CODES)

@pytest.mark.parametrize('code', CODE_CASES)
def test_every_code_is_found_and_its_twin_is_silent(code, base_models):
    template, messages, train = CODE_CASES[code]
    chat = bare_chat(template, base_models['gpt2'])
    assert code in codes(chat, messages, train)
    plain = [{k:o[k] for k in ('role', 'content')} for o in messages]
    if plain[0]['role']=='assistant': plain = plain[1:]
    assert codes(bare_chat(each(TURN), base_models['gpt2']), plain)==set()
    if code in ('supplied-but-trained', 'written-but-masked', 'trained-after-stop'): # what its hint says mends it
        assert code not in codes(chat, messages, 'written')

UNSURE = { # templates that do not do the same twice, or refuse: what is said of the row
    'chance': (each(TURN, head="{{ range(90000)|random ~ range(90000)|random }} "), {'prompt-not-prefix', 'history-rewritten'}),
    'chance in the prompt': (each(TURN, PROMPT.replace('assistant', 'assistant {{ range(90000)|random ~ range(90000)|random }}')), {'prompt-not-prefix'}),
    'a time of its own making': (each(TURN, head="{% set f = '%' ~ 'f' %}{{ strftime_now(f) }} "), {'prompt-not-prefix', 'history-rewritten'}),
    'earlier turns change': (each("<|im_start|>{{ m.role }} {{ loop.revindex }}\n{{ m.content }}<|im_end|>\n"), {'prompt-not-prefix', 'history-rewritten'}),
    'earlier turns go': ("{% for m in messages[-2:] %}"+TURN+"{% endfor %}"+PROMPT, {'prompt-not-prefix', 'history-rewritten', 'prompt-refused'}),
}

@pytest.mark.parametrize('name', UNSURE)
def test_a_template_that_cannot_be_trusted_is_told_and_trains_nothing_wrong(name, base_models):
    template, expected = UNSURE[name]
    contract = Contract(bare_chat(template, base_models['gpt2']))
    row = chat_rows(contract, dict(messages=TALK), 'written')
    assert {o.code for o in row.notes()} & expected
    for s in [row, *(s for _,s in chat_rows(contract, dict(messages=TALK), expand='turns'))]:
        lit = ''.join(o.text for o in s if o.label)
        assert not any(o in lit for o in ('Hi', 'Bye', 'user')) and re.fullmatch(r'((Hello|See you)<.im_end.>)*', lit), lit

@pytest.mark.parametrize('template', [each(TURN, head="{{ strftime_now('%f') }} "), each(TURN, head='{%- set now = strftime_now( "%H:%M:%S.%f" ) -%}{{ now }} ')])
def test_a_run_sees_one_moment(template, base_models):
    chat = bare_chat(template, base_models['gpt2'])
    assert chat.template==template and len({chat.draw(TALK) for _ in range(5)})==1
    assert codes(chat, TALK)=={'date-in-text'} and codes(chat, TALK, 'written')=={'date-in-text'}
    assert ''.join(o.text for o in chat_rows(Contract(chat), dict(messages=TALK), 'written') if o.label)=='Hello<|im_end|>See you<|im_end|>'

@pytest.mark.parametrize('refused', ['system', 'tool'])
def test_a_role_that_the_template_refuses_is_an_error_with_its_place(refused, base_models, tmp_path, monkeypatch):
    template = each("{% if m.role=='"+refused+"' %}{{ raise_exception('no such role') }}{% endif %}"+TURN)
    cfg = config(tmp_path, monkeypatch, base_models['gpt2'], [TALK, [*TALK, dict(role=refused, content='x'), *TALK]], train='written')
    (tmp_path/'qwen3.jinja').write_text(template)
    found = lint(cfg)
    told = found[found.message.str.contains('no such role')]
    assert told['where'].tolist()==['chat.jsonl:2'] and told.severity.tolist()==['error']

def config(tmp_path, monkeypatch, base, rows, **own):
    monkeypatch.chdir(tmp_path)
    (tmp_path/'chat.jsonl').write_text(''.join(json.dumps(dict(messages=o))+'\n' for o in rows))
    (tmp_path/'qwen3.jinja').write_text((FOLDER/'qwen3.jinja').read_text())
    tokens = ['<|im_start|>', '<|im_end|>', '<think>', '</think>']
    return dict(base_model=base, tokens=tokens, special_tokens={'eos_token':'<|im_end|>'}, sequence_len=512,
                chat_template='jinja', chat_template_jinja='qwen3.jinja', shuffle_merged_datasets=False,
                datasets=[dict(path='chat.jsonl', type='chat_template', **({'segmask':own} if own else {}))])

def test_expand_gives_one_row_a_turn_with_its_source(base_models, tmp_path, monkeypatch):
    cfg = config(tmp_path, monkeypatch, base_models['gpt2'], [THOUGHTS, TALK[:1]], expand='turns')
    p = preprocess(cfg)
    assert [str(p.source(i)) for i in range(len(p))] == ['chat.jsonl:1 turn 2', 'chat.jsonl:1 turn 4', 'chat.jsonl:2']
    text = p.tokenizer.decode([i for i in p.train[0]['labels'] if i!=-100])
    assert text == '<think>\nThink.\n</think>\n\nHello<|im_end|>'
    assert all(l==-100 for l in p.train[2]['labels'])

def sides(p): return [{str(p.source(i)) for i in o} for o in (range(len(p)-p.n_eval), range(len(p)-p.n_eval, len(p)))]

@pytest.mark.parametrize('more', [dict(val_set_size=.3), dict(val_set_size=4), dict(val_set_size=.3, dataset_exact_deduplication=True, sequence_len=40),
                                  dict(val_set_size=2, shuffle_merged_datasets=False), dict(val_set_size=.5, shuffle_before_merging_datasets=True)], ids=str)
def test_a_conversation_lies_on_one_side(more, base_models, tmp_path, monkeypatch):
    "preprocess, the functions of the cluster, browse and lint: one split, which counts conversations"
    import test_rules
    talks = [[dict(o, content=f'{o["content"]} {i}{j}') for j,o in enumerate(TALK*(1+i%3))] for i in range(12)]
    cfg = config(tmp_path, monkeypatch, base_models['gpt2'], talks+[TALK[:1]]+talks[:2], expand='turns')
    (tmp_path/'plain.jsonl').write_text(''.join(json.dumps(dict(segments=[dict(label=True, text=f'row {i}')]))+'\n' for i in range(5)))
    cfg['datasets'].append(dict(path='plain.jsonl', type='input_output'))
    cfg = TrainingConfig.of({**cfg, 'shuffle_merged_datasets':True, **more})
    p = preprocess(cfg)
    train, held = ({re.sub(' turn.*', '', o) for o in side} for side in sides(p))
    n, size = len(train | held), cfg.val_set_size
    assert not train & held and len(held)==(size if size>=1 else -(-n*size//1)) and p.n_eval>=len(held)
    found, order = test_rules.by_the_cluster(cfg, 'datasets', p.tokenizer)
    assert order==[(p.source(i).file, line) for i,line in enumerate(p.sizes['line'].to_pylist())] and sum(found.values())==p.report.totals['read']
    s = row_set(cfg)
    kept = {s.where(i) for i,o in enumerate(s.statuses()) if o<rules.DROPPED}
    assert kept==set.union(*sides(p))
    a, b = test_rules.linted(cfg, monkeypatch)
    assert [set(a), set(b)]==sides(p)

def test_an_experiment_holds_whole_conversations_back(base_models, tmp_path, monkeypatch):
    talks = [[dict(o, content=f'{o["content"]} {i if n else i//2}') for n,o in enumerate(TALK)] for i in range(12)] # two begin alike
    cfg = TrainingConfig.of(dict(config(tmp_path, monkeypatch, base_models['gpt2'], talks, expand='turns'), val_set_size=.25))
    found = split_rows(cfg, cfg.tokenizer())
    lines = [{re.sub(' turn.*', '', e.row.where) for e in side} for side in (found.train, found.held)]
    assert not lines[0] & lines[1] and len(lines[0] | lines[1])==12 and len(found.train)+len(found.held)==24
    firsts = [{e.row.text for e in side if ' turn 2' in e.row.where} for side in (found.train, found.held)]
    prompts = [{o.split('<|im_start|>assistant')[0] for o in side} for side in firsts]
    assert not prompts[0] & prompts[1]

def trained_text(p) -> list[str]: return [p.tokenizer.decode([i for i in row['labels'] if i!=-100]) for row in p.dataset]

RULES = [{'mask': 'See'}, {'weigh': {'role': 'user'}, 'weight': .5}]

@pytest.mark.parametrize('own', [{}, dict(train='written'), dict(expand='turns')], ids=str)
def test_a_mask_of_an_entry_changes_what_is_trained_and_makes_another_set(own, base_models, tmp_path, monkeypatch):
    plain = preprocess(cfg := config(tmp_path, monkeypatch, base_models['gpt2'], [TALK]*2, **own))
    cfg['datasets'][0]['segmask'] = {**own, 'mask': RULES}
    p = preprocess(cfg)
    assert p.path!=plain.path and [o['input_ids'] for o in p.dataset]==[o['input_ids'] for o in plain.dataset]
    cfg['datasets'][0]['segmask'] = {**own, 'mask': RULES[::-1]}
    assert preprocess(cfg).path not in (p.path, plain.path)
    assert any('See you' in o for o in trained_text(plain)) and not any('See' in o for o in trained_text(p))
    assert any(' you<|im_end|>' in o for o in trained_text(p))
    if not own.get('expand'): assert all(o.startswith('Hi') for o in trained_text(p)) and {.5, 1.} <= set(p.dataset[0]['weights'])
    s = row_set(TrainingConfig.of(cfg)) # and the same where rows are looked at
    assert [[i for i in s[k]['labels'] if i!=-100] for k in range(len(s))]==[[i for i in o['labels'] if i!=-100] for o in preprocess(cfg).dataset]
    assert not {'written-but-masked', 'supplied-but-trained'} & set(lint(cfg).code) - set(lint(config(tmp_path, monkeypatch, base_models['gpt2'], [TALK]*2, **own)).code)

@pytest.mark.parametrize('kind', ['input_output', 'completion', 'alpaca'])
def test_a_mask_of_an_entry_works_in_any_format(kind, base_models, tmp_path, monkeypatch):
    rows = dict(input_output=dict(segments=[dict(label=False, text='Q: a secret?'), dict(label=True, text=' the secret is 42')]),
                completion=dict(text='the secret is 42'), alpaca=dict(instruction='a secret?', input='', output='the secret is 42'))
    monkeypatch.chdir(tmp_path)
    Path('rows.jsonl').write_text(json.dumps(rows[kind])+'\n')
    entry = dict(path='rows.jsonl', type=kind, segmask=dict(mask='secret'))
    cfg = dict(base_model=base_models['gpt2'], datasets=[entry], sequence_len=256, test_datasets=[{k:entry[k] for k in ('path', 'type')}])
    p = preprocess(cfg)
    assert 'secret' not in trained_text(p)[0] and '42' in trained_text(p)[0] and 'secret' in trained_text(p._test)[0]
    s, = to_segments('rows.jsonl', kind, p.tokenizer, segmask=dict(mask='secret'))
    assert 'secret' not in ''.join(o.text for o in s if o.label)
    made = convert(entry, kind, 'out.jsonl', p.tokenizer)
    back, = read_jsonl(made.path)
    assert back.text==s.text and not any('secret' in o.text for o in back if o.label)
    shown = row_set(TrainingConfig.of(cfg))[0]
    assert p.tokenizer.decode([i for i in shown['labels'] if i!=-100])==trained_text(p)[0]
    # and from the command line
    Path('c.yaml').write_text(json.dumps({**cfg, 'datasets': [{**entry, 'segmask': None}], 'test_datasets': None}))
    assert main(['preprocess', 'c.yaml', '--mask', 'secret', '-q'])==0 and main(['preprocess', 'c.yaml', '-q'])==0
    texts = {tuple(trained_text(Prepared(o.parent))) for o in Path('last_run_prepared').glob('*/segmask.json')}
    assert len(texts)==2 and any('secret' not in o[0] for o in texts)
    assert main(['convert', 'rows.jsonl', '--type', kind, '--base-model', base_models['gpt2'], '--mask', 'secret', '-o', 'cli.jsonl'])==0
    assert not any('secret' in o.text for o in read_jsonl('cli.jsonl')[0] if o.label)

def test_a_mask_beside_tokens_is_refused(base_models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('rows.jsonl').write_text(json.dumps(dict(input_ids=[5, 6], labels=[5, 6], attention_mask=[1, 1]))+'\n')
    cfg = dict(base_model=base_models['gpt2'], datasets=[dict(path='rows.jsonl', type=None, segmask=dict(mask='a'))], sequence_len=64)
    with pytest.raises(ConfigError, match='hold tokens already'): preprocess(cfg)

def test_config_check_says_first_what_is_refused_beside_train_and_expand(base_models, tmp_path, monkeypatch):
    cfg = config(tmp_path, monkeypatch, base_models['gpt2'], [TALK], expand='turns', train='marked')
    cfg['datasets'][0] |= dict(train_on_eos='all', train_on_eot='turn')
    cfg |= dict(train_on_inputs=True, chat_template='chatml')
    del cfg['chat_template_jinja']
    found = {o.problem.field: o.problem.what for o in all_advice(cfg) if o.problem.code=='option-value' and o.stops=='preprocess'}
    assert set(found)=={'train_on_inputs', *(f'datasets[0].{o}' for o in ('train_on_eos', 'train_on_eot', 'segmask.train'))}
    assert 'expand: turns trains what is written' in found['datasets[0].segmask.train']
    with pytest.raises(ConfigError) as e: preprocess(cfg)
    assert set(found) <= {o.field for o in e.value.problems}

def test_written_changes_where_and_keeps_ids(base_models, tmp_path, monkeypatch):
    plain = preprocess(config(tmp_path, monkeypatch, base_models['gpt2'], [THOUGHTS]))
    written = preprocess(config(tmp_path, monkeypatch, base_models['gpt2'], [THOUGHTS], train='written'))
    assert plain.train[0]['input_ids'] == written.train[0]['input_ids']
    decode = lambda p: p.tokenizer.decode([i for i in p.train[0]['labels'] if i!=-100])
    assert decode(plain) == 'Hello<|im_end|>Think.\n</think>\n\nSee you<|im_end|>'
    assert decode(written) == '<think>\nThink.\n</think>\n\nSee you<|im_end|>'

def test_lint_says_it_once_for_a_data_set(base_models, tmp_path, monkeypatch):
    cfg = config(tmp_path, monkeypatch, base_models['gpt2'], [THOUGHTS]*6)
    found = lint(cfg)
    rewritten = found[found.code=='history-rewritten']
    assert len(rewritten)==1 and 'and so in 6 rows' in rewritten.message.iloc[0] and rewritten['where'].iloc[0]=='chat.jsonl:1'
    assert 'expand: turns' in rewritten.hint.iloc[0]
    masked = found[found.code=='written-but-masked']
    assert set(masked.severity)=={'warning'} and '<think>' in masked.message.iloc[0]
    left = lint(config(tmp_path, monkeypatch, base_models['gpt2'], [THOUGHTS], train='written'))
    assert not {'written-but-masked', 'supplied-but-trained'} & set(left.code)
    assert not {'history-rewritten', 'written-but-masked'} & set(lint(config(tmp_path, monkeypatch, base_models['gpt2'], [THOUGHTS], expand='turns')).code)

def test_a_token_over_the_border_of_prompt_and_answer_is_told(base_models):
    "The prompt of this template ends in a space, which GPT-2's splitting takes into the first word of the answer"
    template = "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}"
    tok = load_tokenizer(base_models['gpt2'], tokens=['<|im_start|>', '<|im_end|>'], special_tokens={'eos_token':'<|im_end|>'})
    chat = Chat(tok, None, dict(chat_template='jinja', chat_template_jinja=template))
    row = chat_rows(Contract(chat), dict(messages=TALK))
    found = [o for o in row.notes(Encoder(tok, 'joint')(row)) if o.code=='tokens-join']
    assert [o.turn for o in found]==[1, 3] and all(o.message.endswith('is one token, and the prompt ends inside it') for o in found)
    assert found[0].message.startswith("' H") and not [o for o in row.notes(Encoder(tok, 'prompt')(row)) if o.code=='tokens-join']

def test_the_generation_config_of_a_model_folder_names_stops(base_models, tmp_path):
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|stop|>{% if m.role=='assistant' %}<|im_end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    tok = load_tokenizer(base_models['gpt2'], tokens=['<|im_start|>', '<|im_end|>', '<|stop|>'])
    tok.save_pretrained(tmp_path/'model')
    def written():
        chat = Chat(load_tokenizer(str(tmp_path/'model')), None, dict(chat_template='jinja', chat_template_jinja=template))
        return [t.written for t in Contract(chat).turns(chat.read(dict(messages=TALK)))]
    assert written()==['Hello<|stop|><|im_end|>', 'See you<|stop|><|im_end|>']
    for bad in ('{', '[]', '{"eos_token_id": null}', '{"eos_token_id": 99999999}'):
        (tmp_path/'model/generation_config.json').write_text(bad)
        assert written()[0]=='Hello<|stop|><|im_end|>'
    (tmp_path/'model/generation_config.json').write_text(json.dumps(dict(eos_token_id=[tok.eos_token_id, tok.convert_tokens_to_ids('<|stop|>')])))
    assert written()==['Hello<|stop|>', 'See you<|stop|>']

def test_lint_finds_fields_that_leave_no_trace_and_weights(base_models, tmp_path, monkeypatch):
    calls = [TALK[0], dict(role='assistant', content='4', weight=.3, tool_calls=[dict(function=dict(name='add', arguments={}))])]
    cfg = config(tmp_path, monkeypatch, base_models['gpt2'], [calls])
    cfg.update(chat_template='chatml'); del cfg['chat_template_jinja']
    found = lint(cfg)
    assert 'tool_calls' in found[found.code=='field-not-rendered'].message.iloc[0]
    assert '0.3' in found[found.code=='weight-ignored'].message.iloc[0]

@pytest.mark.parametrize('key', ['train', 'expand'])
def test_a_format_without_conversations_has_no_turns_to_choose(key, tmp_path, monkeypatch):
    from segmask import ConfigError, TrainingConfig, preprocess
    monkeypatch.chdir(tmp_path)
    (tmp_path/'rows.jsonl').write_text('{"instruction": "a", "output": "b"}\n')
    value = dict(train='written', expand='turns')[key]
    cfg = TrainingConfig.of(dict(base_model='mistralai/Mistral-7B-v0.1', datasets=[
        dict(path='rows.jsonl', type='alpaca', segmask={key: value})]))
    with pytest.raises(ConfigError, match=f'segmask.{key}: is for conversations'): preprocess(cfg)
    assert any(f'segmask.{key}: is for conversations' in str(o) for o in cfg.check())

def test_the_table_of_other_renderers_is_what_they_say(monkeypatch):
    "Made again for two families where the packages are installed; the others are as the script wrote them"
    monkeypatch.syspath_prepend(Path(__file__).parents[1]/'bench')
    stored = json.loads((Path(__file__).parents[1]/'bench/oracles.json').read_text())['rows']
    assert len({o['family'] for o in stored})>=10 and not any('cannot be asked' in o for row in stored for o in row['differs'])
    pytest.importorskip('renderers'), pytest.importorskip('tml_renderers')
    import oracles
    monkeypatch.setattr(oracles, 'FAMILIES', {k: oracles.FAMILIES[k] for k in ('Qwen3.5', 'GLM-4.5')})
    assert oracles.compared()==[o for o in stored if o['family'] in oracles.FAMILIES]

# rows that a person marked, without a template: the tokenizer's own template still knows what inference supplies

CUE, ASKED, ENDED = '<|im_start|>assistant\n', '<|im_start|>user\nHi<|im_end|>\n', '<|im_end|>'
BY_HAND = { # a row -> what lint says of its mask
    'right': (masked(ASKED+CUE)+trained('Yes'+ENDED), set()),
    'two turns, right': (masked(ASKED+CUE)+trained('Yes'+ENDED)+masked('\n'+ASKED+CUE)+trained('No'+ENDED), set()),
    'a forced beginning': (masked(ASKED+CUE+'<think>\n\n</think>\n\n')+trained('Yes'+ENDED), set()),
    'a result in the middle is masked': (masked(ASKED+CUE)+trained('2+2=')+masked('4')+trained(' so 4'+ENDED), set()),
    'the prompt is trained too': (trained(ASKED, weight=.1)+trained(CUE, weight=.1)+trained('Yes'+ENDED), {'weight-ignored'}),
    'everything is trained': (trained(ASKED+CUE+'Yes'+ENDED), set()),
    'the cue is trained': (masked(ASKED)+trained(CUE+'Yes'+ENDED), {'supplied-but-trained'}),
    'half of the cue is trained': (masked(ASKED+'<|im_start|>')+trained('assistant\nYes'+ENDED), {'supplied-but-trained'}),
    'the cue of an earlier answer': (masked(ASKED)+trained(CUE+'Yes'+ENDED)+masked('\n'+ASKED+CUE)+trained('No'+ENDED), {'supplied-but-trained'}),
    'a line break after the stop': (masked(ASKED+CUE)+trained('Yes'+ENDED+'\n'), {'trained-after-stop'}),
    'the same in an earlier answer': (masked(ASKED+CUE)+trained('Yes'+ENDED+'\n')+masked(ASKED+CUE)+trained('No'+ENDED), {'trained-after-stop'}),
    'the last stop is masked': (masked(ASKED+CUE)+trained('Yes')+masked(ENDED), {'eos-masked'}),
    'an earlier stop is masked': (masked(ASKED+CUE)+trained('Yes')+masked(ENDED+'\n'+ASKED+CUE)+trained('No'+ENDED), {'eos-masked'}),
    'a stop behind a line break is masked': (masked(ASKED+CUE)+trained('Yes')+masked('\n'+ENDED+'\n'+ASKED+CUE)+trained('No'+ENDED), {'eos-masked'}),
    'no stop': (masked(ASKED+CUE)+trained('Yes'), {'eos-missing'}),
}

@pytest.mark.parametrize('name', BY_HAND)
def test_a_row_marked_by_hand_is_asked_the_same(name, base_models):
    tok, (row, expected) = copy(_chatml_tokens(base_models['gpt2'])), BY_HAND[name]
    tok.chat_template = each(TURN)
    of_mask = {*CONTRACT_CODES, 'eos-masked', 'eos-missing', 'eos-doubled'}
    found = lint([row], Encoder(tok))
    assert set(found.code) & of_mask==expected
    mended = fix([row], [o for o in expected if CODES[o].fixable], tok)
    if 'eos-masked' in expected: assert not {*lint(mended, Encoder(tok)).code} & of_mask

def test_what_train_written_makes_is_right_by_hand_too(base_models, tmp_path):
    for name in ('qwen2_5', 'llama3'):
        chat = chat_of(name, base_models['gpt2'])
        rows = [Segments(chat_rows(Contract(chat), dict(messages=TALK[:n]), 'written').segments) for n in (2, 4)]
        tok = copy(chat.tokenizer)
        tok.chat_template = chat.template
        assert not {*lint(rows, Encoder(tok, 'joint')).code} & {*CONTRACT_CODES, 'eos-masked', 'eos-missing'}
