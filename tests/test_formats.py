"Formats and conversations, beyond what the notebooks show"
import json, random

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from goldens import golden_cases
from segmask.formats.chat import Chat
from segmask.files import read_jsonl
from segmask.tokens.encoder import Encoder
from segmask.data.exchange import convert, export
from segmask.formats.formats import to_segments
from segmask.data.prepare import preprocess
from segmask.formats.fields import FormatError
from segmask.formats.templates import TEMPLATES
from segmask.tokens.tokenizer import load_tokenizer

ZEPHYR = ("{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|assistant|>\n' }}{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}{{ '\n' }}"
          "{% else %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endif %}{% endfor %}")
VICUNA = ("{% for m in messages %}{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}{% elif m['role'] == 'system' %}{{ m['content'] + '\n\n' }}"
          "{% else %}{{ 'ASSISTANT: ' }}{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}{% endif %}{% endfor %}")
FAMILIES = {'chatml': ('<|im_end|>', ['<|im_start|>']), 'qwen_25': ('<|im_end|>', ['<|im_start|>']), 'llama3': ('<|eot_id|>', ['<|start_header_id|>', '<|end_header_id|>']), 'mistral_v1': (None, []),
            'mistral_v2v3': (None, []), 'gemma': ('<end_of_turn>', ['<start_of_turn>']), 'phi_3': ('<|end|>', ['<|user|>', '<|assistant|>']), 'phi_35': ('<|end|>', ['<|user|>', '<|assistant|>']),
            'exaone': ('[|endofturn|]', []), 'zephyr': (None, []), 'vicuna': (None, [])} # template -> the token that ends a turn (None: eos), other markers
JINJA = {**TEMPLATES, 'zephyr':ZEPHYR, 'vicuna':VICUNA}

_toks = {}
def setup(family: str, base: str):
    "Tokenizer with the family's markers, and the reader of its conversations"
    end, more = FAMILIES[family]
    if (family, base) not in _toks: _toks[family, base] = load_tokenizer(base, tokens=[o for o in (end, *more) if o] or None)
    tok = _toks[family, base]
    return tok, Chat(tok, None, dict(chat_template='jinja', chat_template_jinja=JINJA[family], **(dict(eot_tokens=[end]) if end else {})))

def conversation(rng, family: str, system: bool):
    words = ['yes', ' no ', '42.', 'naïve café', '日本語', '  two', '\n', 'a\n\nb', '👩‍👩‍👧 ok', '$5 <b>', 'USER: hi', "it's"]
    say = lambda: ''.join(rng.choices(words, k=rng.randint(1, 4))).strip() or 'x'
    turns = [dict(role=r, content=say()) for r in ('user', 'assistant')*rng.randint(1, 3)]
    return [dict(role='system', content=say())]*(system and family!='gemma') + turns

@pytest.mark.parametrize('base', ['mistral-v1', 'gpt2'])
@pytest.mark.parametrize('family', FAMILIES)
def test_what_is_trained_is_what_the_template_marks_as_the_assistants(family, base, base_models):
    "Trained tokens are those that transformers finds inside `{% generation %}`"
    tok, chat = setup(family, base_models[base])
    rng, enc = random.Random(0), Encoder(tok, 'joint')
    for i in range(20):
        messages = conversation(rng, family, i%3==0)
        want = tok.apply_chat_template(messages, chat_template=chat.template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        got = enc(chat.segments(dict(messages=messages)))
        assert got.input_ids == list(want['input_ids'])
        assert [int(l!=-100) for l in got.labels] == list(want['assistant_masks']), messages

text = st.text(st.characters(codec='utf-8', exclude_characters='\ue000\ue001'), max_size=12) | st.sampled_from(['', ' ', '\n', '<|im_end|>', '<s>', '[INST]', 'assistant\n', ' a ', '{{ x }}'])

@pytest.mark.parametrize('family', FAMILIES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(text, text), min_size=1, max_size=3), system=st.none()|text)
def test_trained_text_is_what_was_rendered_of_the_assistant(family, pairs, system, base_models):
    "The trained text is exactly what the template rendered of the assistant's turns, and the token that ends each"
    tok, chat = setup(family, base_models['gpt2'])
    messages = ([dict(role='system', content=system)] if system is not None and family!='gemma' else []) + [dict(role=r, content=c) for p in pairs for r,c in zip(('user', 'assistant'), p)]
    try: s = chat.segments(dict(messages=messages))
    except FormatError as e:
        assert 'rendered as nothing' in str(e)
        return
    trims = family in ('llama3', 'gemma', 'mistral_v2v3')
    shown = [(c.strip() if trims else c) for _,c in pairs]
    end = FAMILIES[family][0] or tok.eos_token
    assert ''.join(o.text for o in s if o.label) == ''.join(c+end for c in shown if c) # nothing is trained of an empty turn
    rendered = tok.apply_chat_template(messages, chat_template=chat.template, tokenize=False)
    assert s.text == rendered

def test_spaces_at_the_end_of_a_turn_stay_masked_where_the_tokenizer_trims_spans(base_models):
    "As with Llama 3's tokenizer in axolotl, which does not find them"
    from tokenizers import processors
    tok = load_tokenizer(base_models['gpt2'], tokens=['<|im_start|>', '<|im_end|>'], special_tokens={'eos_token':'<|im_end|>'})
    row, trained = dict(messages=[dict(role='user', content='hi'), dict(role='assistant', content='so ')]), lambda: [o.text for o in Chat(tok, None, dict(chat_template='chatml')).segments(row) if o.label]
    assert trained() == ['so ', '<|im_end|>']
    tok.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    assert trained() == ['so', '<|im_end|>']

@pytest.mark.parametrize('name', [k for k in golden_cases() if 'input_output' not in k and 'mixed' not in k])
def test_converted_rows_train_as_before(name, base_models, tmp_path, monkeypatch):
    "convert, then preprocess as input_output in the mode that convert names: the same ids and labels"
    monkeypatch.chdir(tmp_path)
    case = golden_cases()[name]
    (ds,), config = case['datasets'], case['config']
    (tmp_path/'data.jsonl').write_text(''.join(json.dumps(o)+'\n' for o in ds['rows']))
    options = {k:v for k,v in ds.items() if k not in ('rows', 'type')}
    common = dict(base_model=base_models[case['tokenizer']], shuffle_merged_datasets=False, **{k:v for k,v in config.items() if k in ('special_tokens', 'tokens')})
    tok = load_tokenizer(common['base_model'], config.get('special_tokens'), config.get('tokens'))
    made = convert('data.jsonl', ds['type'], 'output.jsonl', tok, config, **options)
    a = preprocess(dict(common, datasets=[dict(path='data.jsonl', type=ds['type'], **options)], **{k:v for k,v in config.items() if k not in common}))
    b = preprocess(dict(common, datasets=[dict(path='output.jsonl', type='input_output', segmask=dict(boundary=made.boundary))]))
    assert a.train.to_list() == b.train.to_list()
    again = convert('output.jsonl', 'input_output', 'again.jsonl')
    assert (tmp_path/'again.jsonl').read_bytes() == (tmp_path/'output.jsonl').read_bytes() and again.rows==made.rows
    # rows that differ under mode 'segment' are counted, no more and no less
    enc = {o: Encoder(tok, o) for o in ('segment', made.boundary)}
    assert made.differ == sum(dict(enc['segment'](r)) != dict(enc[made.boundary](r)) for r in read_jsonl('output.jsonl'))

def test_trl_takes_what_export_wrote(tmp_path, monkeypatch):
    "The ids and labels that reach TRL's collator are ours"
    trl = pytest.importorskip('trl')
    from datasets import load_dataset
    from transformers import LlamaConfig, LlamaForCausalLM
    monkeypatch.chdir(tmp_path)
    rows = golden_cases()['mistral-v1/chatml_eos_is_im_end']
    (tmp_path/'chat.jsonl').write_text(''.join(json.dumps(o)+'\n' for o in rows['datasets'][0]['rows']*4))
    p = preprocess(dict(base_model='mistralai/Mistral-7B-v0.1', val_set_size=2, datasets=[dict(path='chat.jsonl', type='chat_template')], **rows['config']))
    x = export(p)
    data = load_dataset('parquet', data_files={'train':x.train, 'eval':x.eval}, cache_dir=str(tmp_path/'cache'))
    model = LlamaForCausalLM(LlamaConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, vocab_size=len(p.tokenizer)))
    args = trl.SFTConfig(max_length=None, output_dir=str(tmp_path/'o'), report_to=[], bf16=False, use_cpu=True, per_device_train_batch_size=2)
    trainer = trl.SFTTrainer(model, args=args, train_dataset=data['train'], eval_dataset=data['eval'], processing_class=p.tokenizer)
    got = []
    for b in trainer.get_train_dataloader():
        for i,l,m in zip(*(b[k].tolist() for k in ('input_ids', 'labels', 'attention_mask'))): got.append((i[:sum(m)], l[:sum(m)]))
    assert sorted(got) == sorted((r['input_ids'], r['labels']) for r in p.train)

DEEP = '['*100_000
@pytest.mark.parametrize('row', [
    dict(messages=[dict(role=['user'], content='hi')]), dict(messages=[dict(role=dict(a=1), content='hi')]), dict(messages=DEEP),
    dict(messages=[dict(role='assistant', content='a', tool_calls=5)]), dict(messages=[dict(role='assistant', tool_calls='{')]),
    dict(messages=[dict(role='user', content=[5])]), dict(messages=[dict(role='user', content=[dict(text=5)])]), dict(messages=5), dict(messages={}),
    dict(messages=[dict(role='user', content='a')], tools=5), dict(messages=[dict(role='user', content='a')], tools=DEEP),
    dict(messages=[dict(role='user', content='a')], system=[1])])
def test_bad_conversations_are_told_with_their_field(row, base_models):
    tok = load_tokenizer(base_models['gpt2'])
    with pytest.raises(FormatError, match='row 0: '): to_segments([row], 'chat_template', tok, config=dict(chat_template='qwen_25'))

@pytest.mark.parametrize('type,options', [
    (5, {}), ('alpaca', dict(field_messages='m')), (dict(field_instruction=5), {}), (dict(formt='a'), {}), ('chat_template', dict(roles=5)),
    ('chat_template', dict(roles_to_train=5)), ('chat_template', dict(message_property_mappings=5)), ('chat_template', dict(field_messages=[1])),
    ('chat_template', dict(mesage_field_training='weight')), ('chat_template', dict(segmask=dict(train='x'))), ('chat_template', dict(train_on_eos=True)),
    ('chat_template', dict(field_tools='functions'))])
def test_bad_options_are_told_with_their_name(type, options, base_models):
    tok, name = load_tokenizer(base_models['gpt2']), next(iter(options or (type if isinstance(type, dict) else {'type':0})))
    with pytest.raises(FormatError, match=name): to_segments([], type, tok, config=dict(chat_template='chatml'), **options)

@pytest.mark.parametrize('options,fields', [
    (dict(message_property_mappings=dict(content='value')), ('role', 'value')), (dict(message_field_role='from'), ('from', 'content')),
    (dict(message_field_role='from', message_field_content='value'), ('from', 'value'))])
def test_partial_and_older_mappings_are_read_as_axolotl_reads_them(options, fields, base_models):
    tok, (role, content) = load_tokenizer(base_models['gpt2']), fields
    row = dict(messages=[{role:'human', content:'7*6?'}, {role:'gpt', content:'42'}])
    [s] = to_segments([row], 'chat_template', tok, config=dict(chat_template='chatml'), **options)
    assert [(o.text, o.role, o.turn) for o in s if o.label] == [('42', 'assistant', 1)]

def test_an_answer_that_begins_with_bos_loses_it_as_in_axolotl(base_models):
    tok = load_tokenizer(base_models['gpt2'])
    [s] = to_segments([dict(instruction='a', output='<|endoftext|>hello')], 'alpaca', tok)
    assert [o.text for o in s if o.label] == ['hello', '<|endoftext|>']

PIECES = ['yes', ' no ', '42.', 'naïve', '日本語', '  two', '\n', 'a\n\nb', '👩‍👩‍👧', '$5 <b>', "it's", '</s>', '<think>']

@pytest.mark.parametrize('base', ['mistral-v1', 'gpt2'])
@pytest.mark.parametrize('name', [o for o in TEMPLATES if o!='mistral'])
def test_labels_of_parts_land_on_the_parts(name, base, base_models):
    "Also where the template trims the content, and where a character is several tokens"
    rng, tok = random.Random(f'{name} {base}'), load_tokenizer(base_models[base], tokens=['<|im_start|>', '<|im_end|>'])
    chat, looked = Chat(tok, dict(message_field_training_detail='detail'), dict(chat_template=name)), 0
    for n in range(30):
        parts = [dict(text=''.join(rng.choices(PIECES, k=rng.randint(1, 4))), train=rng.random()<.5) for _ in range(rng.randint(2, 4))]
        content, of = ''.join(o['text'] for o in parts), [i for i,o in enumerate(parts) for _ in o['text']]
        answer = dict(role='assistant', content=[dict(o, type='text') for o in parts])
        if n%3==0: # the same, said in offsets
            ends = [len(''.join(o['text'] for o in parts[:i+1])) for i in range(len(parts))]
            detail = [dict(begin_offset=a, end_offset=b-1, train=o['train']) for a,b,o in zip([0, *ends], ends, parts)]
            answer = dict(role='assistant', content=content, detail=detail)
        s = chat.segments(dict(messages=[dict(role='user', content='Q?'), answer]))
        at, lead = s.text.rfind(content.strip()), len(content)-len(content.lstrip())
        assert at>0 and content.strip()
        lit = [o.label for o in s for _ in o.text]
        spans = [o for o in tok(s.text, add_special_tokens=False, return_offsets_mapping=True)['offset_mapping'] if at<=o[0]<o[1]<=at+len(content.strip())]
        within = [{of[lead+i-at] for i in range(*o)} for o in spans]
        shared = {i for o,w in zip(spans, within) if len(w)>1 for i in range(*o)} # of tokens in two parts nothing is promised
        for o,w in zip(spans, within):
            if shared & set(range(*o)): continue
            assert {*lit[slice(*o)]}=={parts[w.pop()]['train']}, (s, s.text[slice(*o)])
            looked += 1
    assert looked>300
