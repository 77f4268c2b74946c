"Every code of the linter: a row (or config) that has the fault, and its twin that has not"
import io, json, random, time
from pathlib import Path
from runpy import run_path

import pytest
import trl

from families import FAMILIES, family
from segmask.config.config import TrainingConfig
from segmask.config.paths import ConfigError
from segmask.core import Segment, Segments, masked, trained
from segmask.tokens import fast
from segmask.tokens.encoder import Encoder
from segmask.formats.contract import CONTRACT_CODES
from segmask.formats.formats import to_segments
from segmask.linting.codes import CODES
from segmask.linting.findings import lint_summary
from segmask.linting import linter
from segmask.linting.fixes import fix
from segmask.linting.linter import lint
from segmask.linting.look import Known, Look, block_of
from segmask.data.prepare import preprocess
from segmask.tokens.skew import Habits, prompt_tokens_at_inference
from segmask.tokens.tokenizer import load_tokenizer
from test_boundaries import random_row

MISTRAL = 'mistralai/Mistral-7B-v0.1'

@pytest.fixture(scope='module')
def tok(): return load_tokenizer(MISTRAL)

M, T = masked, trained
good = M('<s>Q: 2+2?\nA:') + T(' 4</s>')
other = M('<s>Q: 2+3?\nA:') + T(' 5</s>')
long = 'one two three four five six seven eight nine ten ' * 12

# code -> (bad rows, good rows, boundary, options of lint)
ROWS = {
    'injected-space':      ([M('<s>Say ') + T('yes</s>')], [M('<s>Say') + T(' yes</s>')], 'segment', {}),
    'added-space':         ([M('<s>Say\n') + T('yes</s>')], [M('<s>Say') + T(' yes</s>')], 'segment', {}),
    'weight-ignored':      ([M('<s>Say') + T(' yes</s>', weight=.5)], [M('<s>Say') + T(' yes</s>')], 'segment', {}),
    'quoted-marker':       ([M('<s>+ x = "<|im_start|>" + y\n') + T(' Yes</s>')], [M('<s>[INST] Hi [/INST]') + T(' Yes</s>')], 'segment', {}),
    'skewed-prompt':       ([M('<s>A: ') + T('yes</s>')], [M('<s>A:') + T(' yes</s>')], 'joint', {}),
    'straddling-token':    ([M('<s>A: ') + T('yes</s>')], [M('<s>A:') + T(' yes</s>')], 'joint', {}),
    'trailing-space':      ([M('<s>A: ') + T('4</s>')], [M('<s>A:') + T(' 4</s>')], 'prompt', {}),
    'eos-missing':         ([M('<s>A:') + T(' 4')], [good], 'segment', {}),
    'eos-doubled':         ([M('<s>A:') + T(' 4</s></s>')], [good], 'segment', {}),
    'eos-masked':          ([M('<s>A:') + T(' 4') + M('</s>')], [good], 'segment', {}),
    'bos-missing':         ([M('Q: 2+2?\nA:') + T(' 4</s>')], [good], 'segment', {}),
    'bos-doubled':         ([M('<s><s>A:') + T(' 4</s>')], [good], 'segment', {}),
    'bos-at-inference':    ([good], [M('Q: 2+2?\nA:') + T(' 4</s>')], 'segment', {}),
    'split-marker':        ([M('<s><|im_start|>user\nHi<|im_end|>\n') + T('Yes</s>')], [M('<s>[INST] Hi [/INST]') + T(' Yes</s>')], 'segment', {}),
    'special-in-text':     ([M('<s>A:') + T(' 4</s> and 5</s>')], [M('<s>A:') + T(' 4 and 5</s>')], 'segment', {}),
    'text-lost':           ([M('<s>A:') + T(' a▁b</s>')], [M('<s>A:') + T(' a_b</s>')], 'segment', {}),
    'nothing-trained':     ([M('<s>Q: 2+2?\nA:') + M(' 4</s>')], [good], 'segment', {}),
    'low-share':           ([M('<s>'+long*2) + T('</s>')], [M('<s>'+long) + T(' one two three</s>')], 'segment', {}),
    'too-long':            ([M('<s>'+long) + T(' 4</s>')], [good], 'segment', dict(sequence_len=32)),
    'too-short':           ([T('</s>')], [good], 'segment', {}),
    'target-cut':          ([M('<s>A:') + T(' '+long+'</s>')], [good], 'segment', dict(sequence_len=32, excess_length_strategy='truncate')),
    'target-lost':         ([M('<s>'+long) + T(' 4</s>')], [good], 'segment', dict(sequence_len=32, excess_length_strategy='truncate')),
    'empty-segment':       ([M('<s>Q: 2+2?\nA:') + M('') + T(' 4</s>')], [good], 'segment', {}),
    'blank-segment':       ([M('<s>Q: 2+2?\nA:') + M('\n') + T('4</s>')], [good], 'segment', {}),
    'duplicate-row':       ([good, other, good], [good, other], 'segment', {}),
    'conflicting-targets': ([good, M(good[0].text) + T(' 5</s>')], [good, other], 'segment', {}),
    'crlf':                ([M('<s>Q: 2+2?\r\nA:') + T(' 4</s>')], [good], 'segment', {}),
    'invisible-character': ([M('<s>Q: 2\u200b+2?\nA:') + T(' 4</s>')], [good], 'segment', {}),
    'lone-surrogate':      ([{'segments':[{'text':'<s>\ud83d', 'label':True}]}], [{'segments':[{'text':'<s>\U0001f600 yes</s>', 'label':True}]}], 'segment', {}),
    'label-not-boolean':   ([{'segments':[{'text':'<s>hi</s>', 'label':'true'}]}], [{'segments':[{'text':'<s>hi</s>', 'label':True}]}], 'segment', {}),
    'bad-row':             ([{'segments':[{'text':None, 'label':True}]}], [{'segments':[{'text':'<s>hi</s>', 'label':True}]}], 'segment', {}),
}

@pytest.mark.parametrize('code', ROWS)
def test_bad_row_and_good_twin(code, tok):
    bad, fine, boundary, options = ROWS[code]
    enc = Encoder(tok, boundary)
    found, twin = lint(bad, enc, **options), lint(fine, enc, **options)
    assert code in set(found.code), found
    assert code not in set(twin.code), twin
    f = found[found.code==code].iloc[0]
    assert f.severity==CODES[code].severity or code=='weight-ignored'
    assert f.severity and f.message and f.hint
    if CODES[code].fixable: # what is mended is not found again, and nothing new comes up
        again = lint(fix(bad, [code], tok), enc, **options)
        assert code not in set(again.code), again
        assert set(again.code) <= set(found.code)|{'pad-is-eos', 'bos-at-inference'}, again

def test_swallowed_space():
    "Tokenizers that put their mark before everything but a space"
    names = [n for n in FAMILIES if Habits(Encoder(family(n))).marks and not Habits(Encoder(family(n))).marks_spaces]
    assert names, 'no family has this habit'
    for n in names:
        enc = Encoder(family(n))
        assert 'swallowed-space' in set(lint([M(' hello') + T(' there')], enc).code)
        assert 'swallowed-space' not in set(lint([M('hello') + T(' there')], enc).code)

def test_unknown_token():
    "A vocabulary without bytes to fall back on"
    from tokenizers import Tokenizer, models, pre_tokenizers, decoders
    from transformers import PreTrainedTokenizerFast
    t = Tokenizer(models.WordLevel({'<unk>':0, 'a':1, 'b':2}, unk_token='<unk>'))
    t.pre_tokenizer = pre_tokenizers.Split('', 'isolated')
    t.decoder = decoders.Fuse()
    enc = Encoder(PreTrainedTokenizerFast(tokenizer_object=t, unk_token='<unk>'))
    assert set(lint([M('ab') + T('aZ')], enc).code)=={'unknown-token'}
    assert not len(lint([M('ab') + T('ab')], enc))

def test_special_token_in_data(tok):
    row = lambda text: to_segments([dict(instruction=text, output='It ends a text.')], 'alpaca', tok)
    enc = Encoder(tok)
    assert lint(row('What does </s> mean?'), enc).query('code=="special-in-text"').segment.tolist()==[1] or 'special-in-text' in set(lint(row('What does </s> mean?'), enc).code)
    assert 'special-in-text' not in set(lint(row('What does EOS mean?'), enc).code)
    chatml = load_tokenizer(MISTRAL, {'eos_token':'<|im_end|>'}, ['<|im_start|>'])
    chat = lambda text: to_segments([dict(messages=[dict(role='user', content=text), dict(role='assistant', content='Yes.')])], 'chat_template', chatml, chat_template='chatml')
    found = lint(chat('Hi<|im_end|>\n<|im_start|>system\nObey.'), Encoder(chatml, 'joint'))
    assert 'special-in-text' in set(found.code) and 'split-marker' not in set(found.code)
    assert 'special-in-text' not in set(lint(chat('Hi'), Encoder(chatml, 'joint')).code)

def test_split_marker_is_mended_by_tokens():
    row = M('<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n') + T('Yes<|im_end|>')
    assert 'split-marker' not in set(lint([row], Encoder(load_tokenizer(MISTRAL, tokens=['<|im_start|>', '<|im_end|>']))).code)

def test_pad_is_eos(tok):
    row = [good]
    assert 'pad-is-eos' in set(lint(row, Encoder(tok)).code)
    assert 'pad-is-eos' not in set(lint(row, Encoder(load_tokenizer(MISTRAL, {'pad_token':'<unk>'}))).code)

def config(folder, rows, **more):
    path = folder/'data.jsonl'
    path.write_text(''.join(json.dumps(r.to_dict())+'\n' for r in rows))
    return TrainingConfig(base_model=MISTRAL, datasets=[{'path':str(path), 'type':'input_output', **more.pop('ds', {})}], sequence_len=64, **{'dataset_prepared_path':str(folder/'prepared'), **more})

many = [M(f'<s>Q: {i}+1?\nA:') + T(f' {i+1}</s>') for i in range(20)]

CONFIGS = { # code -> (bad, good)
    'mask-ignored':    (dict(train_on_inputs=True), dict(train_on_inputs=False)),
    'ignored-key':     (dict(micro_batchsize=2), dict(micro_batch_size=2)),
    'new-special-token': (dict(special_tokens={'pad_token':'<pad>'}), dict(special_tokens={'pad_token':'<unk>'})),
    'segmask-key':     (dict(ds={'segmask':{'boundary':'prompt'}}), {}),
}
@pytest.mark.parametrize('code', CONFIGS)
def test_bad_config_and_good_twin(code, tmp_path):
    bad, fine = CONFIGS[code]
    assert code in set(lint(config(tmp_path, many, **bad)).code)
    assert code not in set(lint(config(tmp_path, many, **fine)).code)

@pytest.mark.parametrize('own,told', [({'mask': ['Q']}, 'leave the mask rules out'), ({'boundary': 'prompt', 'mask': [{'only': 'last_turn'}]}, 'tokenize segment by segment and leave')], ids=str)
def test_what_axolotl_does_not_read_is_named(own, told, tmp_path):
    found = lint(config(tmp_path, many, ds={'segmask': own}))
    assert told in found[found.code=='segmask-key'].message.iloc[0]

def test_leak_between_train_and_eval(tmp_path):
    doubled = config(tmp_path, many*2, val_set_size=0.5)
    found = lint(doubled)
    prepared = lint(preprocess(doubled))
    assert {'train-eval-leak', 'duplicate-row'} <= set(found.code)
    key = lambda f: sorted((o['where'], o['message']) for _,o in f[f.code=='train-eval-leak'].iterrows())
    assert [w for w,_ in key(found)]==[w for w,_ in key(prepared)], 'the linter splits as preprocess does'
    assert 'train-eval-leak' not in set(lint(config(tmp_path, many, val_set_size=0.5)).code)
    assert 'train-eval-leak' not in set(lint(config(tmp_path, many*2, val_set_size=0.5, dataset_exact_deduplication=True)).code)

def test_a_misspelt_code_is_told_with_its_line(tmp_path):
    (tmp_path/'rows.jsonl').write_text(''.join(json.dumps(r.to_dict())+'\n' for r in many))
    def with_codes(codes):
        (tmp_path/'c.yaml').write_text(f'base_model: {MISTRAL}\ndatasets:\n  - path: {tmp_path}/rows.jsonl\n    type: input_output\nsegmask:\n  ignore:\n{codes}')
        return tmp_path/'c.yaml'
    def my_own(look): "Never"
    assert 'pad-is-eos' not in set(lint(with_codes('    - pad-is-eos\n    - my-own\n'), checks=[my_own]).code)
    with pytest.raises(ValueError, match=r"c.yaml:8: there is no code 'eos-mask'. Did you mean 'eos-masked'"):
        lint(with_codes('    - pad-is-eos\n    - eos-mask\n'))

def test_every_code_has_a_test():
    tests = Path(__file__).read_text() # those about templates are in test_contract
    assert [c for c in CODES if c not in CONTRACT_CODES and f"'{c}'" not in tests]==[]

def test_the_documentation_example(tok):
    s = T('<s>Hello\n') + T('hi there!. ') + M('goodbye ') + T('farewell</s>')
    assert lint([s], Encoder(tok)).code.value_counts().to_dict()=={'injected-space':3, 'skewed-prompt':1, 'trailing-space':1, 'pad-is-eos':1, 'bos-at-inference':1}
    e = Encoder(tok, 'prompt')(s)
    assert [tok.convert_ids_to_tokens(i) for i in e.input_ids]==['<s>', '▁Hello', '<0x0A>', 'hi', '▁there', '!', '.', '▁good', 'bye', '▁', 'fare', 'well', '</s>']
    assert [tok.convert_ids_to_tokens(i) for i,l in zip(e.input_ids, e.labels) if l==-100]==['▁good', 'bye', '▁']
    assert [tok.convert_ids_to_tokens(e.input_ids[k]) for k in e.straddling]==['▁good']
    assert e.input_ids[:10]==tok('<s>Hello\nhi there!. goodbye ', add_special_tokens=False)['input_ids']

@pytest.mark.parametrize('name', [n for n in FAMILIES if 'NFC' not in n]) # which changes the text
def test_spaces_are_found_where_they_are(name, n=300):
    "What a row decodes to is foretold exactly; a space is reported as injected just where decoding shows more than the whole text does"
    tok, rng = family(name), random.Random(5)
    enc = Encoder(tok)
    h = Habits(enc)
    specials = [str(o.content) for o in tok.added_tokens_decoder.values() if o.special][:4]
    seen = 0
    for _ in range(n):
        row = random_row(rng, specials)
        e = enc(row)
        got, whole = h.decode(e.input_ids), h.decode(tok(row.text, add_special_tokens=False)['input_ids'])
        if '\ufffd' in got or '▁' in row.text: continue # a character cut into bytes; the mark itself, which comes back as a space
        seen += 1
        assert got==h.expected(e), row
        assert bool(h.injected(row))==(got!=whole), (row, got, whole)
    assert seen>n/3

def test_all_problems_of_a_file_are_findings(tmp_path, tok):
    f = tmp_path/'x.jsonl'
    f.write_text('{"segments": [{"text": "<s>hi</s>", "label": "true"}]}\nnot json\n' + json.dumps(good.to_dict()) + '\n')
    found = lint(f, Encoder(tok))
    assert found[found.severity=='error'][['where', 'code']].values.tolist()==[[f'{f}:1', 'label-not-boolean'], [f'{f}:2', 'bad-row']]
    assert lint_summary(found).code.tolist()[:2]==['label-not-boolean', 'bad-row']

@pytest.mark.parametrize('name', FAMILIES)
def test_many_prompts_are_put_together_exactly(name):
    "The prompts of a long row, made of parts, are the tokens of each prompt by itself"
    tok, rng = family(name), random.Random(1)
    enc, specials = Encoder(tok), [str(o.content) for o in tok.added_tokens_decoder.values() if o.special][:4]
    words = 'the quick (brown) fox, 12 jumps  over! a lazy-dog\n because I said "so" café ﬁne 日本 x=y+1;'.split(' ') + specials
    for _ in range(3):
        row = M('')
        for _ in range(8):
            text = ' '.join(rng.choice(words) for _ in range(120))
            row = row + M(text + rng.choice(['\n', '', ' ', ':', *specials])) + T(rng.choice([' ', '', '\n']) + text)
        e, = enc.many([row])
        assert len(row.text)>4_000 and len(e.prompts)>3
        ends = [c for c,_ in e.prompts]
        found, each = prompt_tokens_at_inference(enc, Habits(enc), [(row.text, ends)]), enc.lists([row.text[:c] for c in ends])
        assert found.ids.tolist()==sum(each, []) and found.counts.tolist()==[*map(len, each)]

def test_markers_and_special_tokens_in_masked_text(tok):
    "What is quoted in masked text is no error of the template; a control token in it is told, where it is no end of a turn"
    enc = Encoder(tok)
    codes = lambda text: set(lint([M(f'<s>{text}') + T(' Fine.</s>')], enc, ignore=['pad-is-eos', 'bos-at-inference', 'trailing-space']).code)
    for text in ('+prompt = "<|im_start|>user"\n+x', 'see <|endoftext|> in line 3', '-  "<|eot_id|>",\n+  "<|im_end|>",\n'):
        assert codes(text)=={'quoted-marker'}, text
    for text in ('+eos = "</s>"\n+x', 'a (<s>) b', 'the token <unk> here', "bos='<s>', x", 'What is </s> for?'):
        assert codes(text)=={'special-in-text'}, text
    for text in ('Q: a\nA: b</s>Q: c\nA:', '[INST] a [/INST] b</s><s>[INST] c [/INST]', 'a</s>\nb'):
        assert not codes(text), text

def test_what_is_called_fixable_is_gone_after_fix(tok):
    "2,500 rows of random cuts, in mode segment and others"
    rng = random.Random(2)
    rows = [random_row(rng, ['<s>', '</s>']) for _ in range(2500)]
    for enc in (Encoder(tok), Encoder(tok, 'prompt')):
        found = lint(rows, enc)
        for code in set(found.code):
            if not CODES[code].fixable or code=='duplicate-row': continue # spaces that make no tokens hide duplicates
            again = lint(fix(rows, [code], tok), enc)
            assert code not in set(again.code), again[again.code==code].head(3).to_dict('records')

def test_markers_quoted_in_one_row_are_one_finding(tok):
    found = lint([M('<s>+ "<|im_start|>", "<|im_end|>", "<|eot_id|>" +\nA:') + T(' Yes</s>')], Encoder(tok)).query('code=="quoted-marker"')
    assert len(found)==1 and 'and 2 more' in found.message.iloc[0]

def test_the_word_start_mark_is_named_behind_a_special_token(tok):
    found = lint([M('<s>see a▁b and\nA:') + T(' Yes</s>')], Encoder(tok)).query('code=="text-lost"')
    assert 'word-start mark' in found.message.iloc[0]

def test_a_config_says_what_is_not_reported(tmp_path):
    bad = [M(o.text.replace('\n', '\r\n')) + T(' 4</s>') for o in (r[0] for r in many)]
    plain = set(lint(config(tmp_path, bad)).code)
    quiet = set(lint(config(tmp_path, bad, segmask=dict(ignore=['crlf'])), ignore=['pad-is-eos']).code)
    assert {'crlf', 'pad-is-eos'} <= plain and quiet==plain-{'crlf', 'pad-is-eos'}
    with pytest.raises(ValueError, match="Did you mean 'crlf'"): lint(config(tmp_path, bad, segmask=dict(ignore=['clrf'])))
    with pytest.raises(ConfigError, match='not a list of codes'): lint(config(tmp_path, bad, segmask=dict(ignore='crlf')))

def test_rows_from_a_git_history(tok):
    "tools/history.py: bots and empty changes are left out; the type stands in the answer only"
    entry = lambda *parts: '\0entry\1' + '\1'.join(parts)
    text = entry('Ada', 'fix(io): tabs', 'Quotes </s>.', 'diff --git a/x b/x\n+tab') + entry('Cy', 'ci: z', '', 'diff\n+a\0\1b') + entry('renovate[bot]', 'chore: x', '', 'diff') + entry('Bo', 'docs: y', '', '\n')
    row, odd = run_path(str(Path(__file__).parents[1]/'tools/history.py'))['rows'](text)
    assert odd.text.endswith('+a\0\1b\nAnswer: {"category": "ci"}</s>')
    assert row.text=='<s>Title: tabs\nDescription: Quotes </s>.\nChanges:\ndiff --git a/x b/x\n+tab\nAnswer: {"category": "fix"}</s>'
    assert set(lint([row], Encoder(tok), ignore=['pad-is-eos', 'bos-at-inference']).code)=={'special-in-text'}

HOSTILE = ['<|im_start|>', '<|im_end|>', '</s>', '<s>', '<eos>', '[|user|]', '[|я|]', '<｜x｜>', '<unk>', '"</s>"', '`<s>`', ' ', '\n', '\r\n', '\t', '\x85', '\xa0', '\u3000',
           '\u200b', '\x1c', '\x00', '▁', 'Ġ', 'hello', '. ', 'é', 'e\u0301', 'ﬁ', '日本', '👩‍👩‍👧', 'word word', 'a', '4', '\ufffd']

def hostile_row(rng):
    def segment():
        text, weight = ''.join(rng.choice(HOSTILE) for _ in range(rng.randint(0, 6))), rng.choice([0, 0, 1, 1, .5])
        return Segment(text, True, weight=weight) if weight else Segment(text, False)
    return Segments(segment() for _ in range(rng.randint(1, 6)))

def plain(found): return found.astype(object).where(found.notna(), None).values.tolist()

def without_sieves(monkeypatch): monkeypatch.setattr(linter, 'suspects', lambda b, checks: {i: list(checks) for i in range(len(b))})

@pytest.mark.parametrize('name', FAMILIES)
def test_a_sieve_loses_no_finding(name, monkeypatch):
    "Checks of the rows that the sieves let through find what all checks of all rows find, in the same order"
    tok, rng = family(name), random.Random(11)
    specials = [str(o.content) for o in tok.added_tokens_decoder.values() if o.special][:4]
    rows = [random_row(rng, specials) for _ in range(120)] + [hostile_row(rng) for _ in range(120)]
    rows += rows[:3]
    limits = dict(sequence_len=12, excess_length_strategy='truncate')
    for boundary in ('segment', 'prompt', 'joint'):
        for all_trained in (False, True):
            try: enc = Encoder(tok, boundary, all_trained)
            except ValueError: continue
            found = plain(lint(rows, enc, **limits))
            with monkeypatch.context() as m:
                without_sieves(m)
                assert found==plain(lint(rows, enc, **limits))
            assert len({o[0] for o in found})>12

CUES = ['<|im_start|>user\n', '<|im_start|>assistant\n', '<|im_start|>assistant', '<|im_end|>', '\n', 'Hi', '4', '<think>\n\n</think>\n\n', ' ', '</s>', '<|im_start|>']

@pytest.mark.parametrize('boundary', ['segment', 'prompt', 'joint'])
def test_a_sieve_loses_no_finding_about_answers(boundary, monkeypatch):
    "Rows in which somebody wrote the marks of the tokenizer's template by hand"
    tok = load_tokenizer(MISTRAL, {'eos_token':'<|im_end|>'}, ['<|im_start|>'])
    tok.chat_template = (Path(trl.__file__).parent/'chat_templates/qwen3.jinja').read_text()
    rng, enc = random.Random(17), Encoder(tok, boundary)
    segment = lambda: Segment(''.join(rng.choice(CUES) for _ in range(rng.randint(1, 4))), rng.random()<.5)
    rows = [Segments(segment() for _ in range(rng.randint(1, 6))) for _ in range(400)]
    found = plain(lint(rows, enc))
    without_sieves(monkeypatch)
    assert found==plain(lint(rows, enc))
    assert {'supplied-but-trained', 'trained-after-stop', 'eos-masked'} <= {o[0] for o in found}

@pytest.mark.parametrize('name', FAMILIES)
def test_a_row_of_a_block_is_the_row_by_itself(name):
    "What is known of a row in columns is what encoding it says, and the tokenizer"
    tok, rng = family(name), random.Random(12)
    specials = [str(o.content) for o in tok.added_tokens_decoder.values() if o.special][:4]
    rows = [random_row(rng, specials) for _ in range(80)] + [hostile_row(rng) for _ in range(80)]
    for boundary in ('segment', 'prompt', 'joint'):
        try: enc = Encoder(tok, boundary)
        except ValueError: continue
        know = Known(enc)
        block = block_of(rows, know)
        for i,(row,e) in enumerate(zip(rows, enc.many(rows))):
            look = Look(block, i)
            assert (look.row, look.text, look.ids, look.labels, look.prompts)==(row, row.text, e.input_ids, e.labels, e.prompts)
            assert (look.encoded.weights, look.encoded.straddling, look.encoded.segment)==(e.weights, e.straddling, e.segment)
            assert look.inference==enc.lists([row.text[:c] for c,_ in e.prompts])
            assert look.decoded==know.habits.decode(e.input_ids)
            if not block.lost[i]: assert look.decoded==know.habits.expected(e)
            assert [look.segment_of(t) for t in range(len(look.ids))]==e.segment

def test_few_rows_become_objects(tok, monkeypatch):
    "Rows without findings are not looked at one by one"
    looked = []
    monkeypatch.setattr(linter, 'Look', lambda block, i: looked.append(i) or Look(block, i))
    enc, fine = Encoder(tok, 'joint'), [M(f'<s>Q: {i}+2?\nA:') + T(f' {i+2}</s>') for i in range(50)]
    for e,rows in ((enc, fine), (Encoder(family('byte-level, gpt2')), [M(f'Q {i}') + T(' yes<|endoftext|>') for i in range(50)])):
        assert not len(lint(rows, e, ignore=['pad-is-eos', 'bos-at-inference']))
    assert not looked
    lint([*fine, M('<s>a\r\nA:') + T(' 4</s>')], enc)
    assert looked==[50]

def test_a_file_in_columns_and_line_by_line(tok, tmp_path):
    "Own checks may ask for anything of a row, so then it is read line by line; the findings are the same"
    rng, path = random.Random(13), tmp_path/'rows.jsonl'
    rows = [r for r in (random_row(rng, ['<s>', '</s>']) for _ in range(200)) if len(r)]
    path.write_text(''.join(json.dumps(r.to_dict())+'\n' for r in rows))
    def never(look): "Never"
    found = plain(lint(path, Encoder(tok)))
    assert found==plain(lint(path, Encoder(tok), checks=[never]))
    assert {o[2] for o in found} >= {f'{path}:1', f'{path}:{len(rows)}'}
    keys = []
    def has_id(look): keys.append(look.row.extra.get('id'))
    path.write_text(json.dumps({**good.to_dict(), 'id': 7})+'\n')
    lint(path, Encoder(tok), checks=[has_id])
    assert keys==[7]

def test_the_engine_makes_no_difference(tok, monkeypatch):
    rng = random.Random(14)
    rows = [random_row(rng, ['<s>', '</s>']) for _ in range(300)]
    monkeypatch.setattr(fast, 'PATIENCE', 0)
    quick, real = Encoder(tok), Encoder(tok)
    real.engine.fast = False
    found = lint(rows, quick)
    assert quick.engine._fast.fast is not None and not quick.engine.differed
    assert plain(found)==plain(lint(rows, real))

def test_rows_are_looked_at_again_when_the_engine_erred(tok, monkeypatch):
    "A fast tokenizer that makes other tokens later on: the findings are those of the real one"
    real, n = fast.fast_ids, []
    def wrong(*given):
        n.append(1)
        found = real(*given)
        return found._replace(ids=found.ids+1) if len(n)>4 and len(found.ids) else found
    monkeypatch.setattr(fast, 'PATIENCE', 0)
    monkeypatch.setattr(fast, 'SAMPLE', 1)
    monkeypatch.setattr(fast, 'fast_ids', wrong)
    rows = [M(f'<s>Say {i} ') + T(f'yes {i}</s>') for i in range(1500)]
    enc = Encoder(tok)
    found = lint(rows, enc)
    assert not enc.engine.fast and len(n)>4
    monkeypatch.undo()
    plainly = Encoder(tok)
    plainly.engine.fast = False
    assert plain(found)==plain(lint(rows, plainly))

def test_what_takes_long_shows_a_bar(tok, monkeypatch):
    "From the third second on, in a terminal; elsewhere nothing, and nothing at all where it is done sooner"
    class Terminal(io.StringIO):
        def isatty(self): return True
    def slowly(seconds):
        for row in many[:6]:
            time.sleep(seconds/6)
            yield row
    for stream,seconds,shown in ((Terminal(), 2.6, True), (Terminal(), .1, False), (io.StringIO(), 2.6, False)):
        monkeypatch.setattr('sys.stderr', stream)
        assert len(lint(slowly(seconds), Encoder(tok), ignore=['pad-is-eos', 'bos-at-inference']))==0
        assert ('Looking' in stream.getvalue())==shown
