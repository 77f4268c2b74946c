"Text of strangers in every place that shows text: nothing becomes markup, nothing is typeset, no control character reaches a terminal"
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from payloads import ALL, MARKUP

from segmask import Encoder, browse, diff, edit, load_tokenizer, masked, show_batch, show_tokens, shifted_table, style_tokens, token_table, trained, write_jsonl
from segmask.core import Segment, Segments
from segmask.views.plots import plot_lengths, plot_lost, plot_packing, plot_trained_share
from segmask.data.rows import row_set
from segmask.tokens.skew import inference_skew

TAGS = set('img div small pre ins span b br mark table tr td th tbody thead caption style details summary code em kbd wbr'.split())
ATTRIBUTES = set('style title dir class id open role scope colspan border alt src'.split())
RAW = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]')

class Page(HTMLParser):
    "All tags and attributes of a page are ours, and the table or <pre> that text stands in is closed once"
    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.text, self.open, self.n = [], [], 0
        self.feed(html), self.close()
        assert not self.open, self.open
    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        assert all(v.startswith('data:image/svg+xml;base64,') for k,v in attrs if k=='src')
        for k,v in attrs: assert k in ATTRIBUTES and not (k=='style' and re.search(r'url|expression|/\*', v or '')), (tag, k, v)
        if tag not in ('br', 'img', 'wbr'): self.open.append(tag)
    def handle_endtag(self, tag): assert self.open and self.open.pop()==tag, tag
    def handle_data(self, data): self.text.append(data)
    def handle_comment(self, data): raise AssertionError('a comment')
    def handle_decl(self, data): raise AssertionError('a declaration')
    def handle_pi(self, data): raise AssertionError('a processing instruction')
    unknown_decl = handle_decl

def html_is_ours(html: str, markup: bool=False):
    Page(html)
    outside = re.sub(r'<(pre|code)\b.*?</\1>|<[^>]*>(?<!<span>)', '', html, flags=re.S) # what MathJax looks at
    assert not (found := re.search(r'(?<!<span>)[$\\]', outside)), outside[max(0, found.start()-40):][:80]
    assert '\x1b' not in html and not RAW.search(html.replace('\n', '').replace('\t', '')), RAW.search(html)

def drawing_is_ours(plot):
    "An image, whose drawing is well-formed XML of a few shapes and holds no more than text"
    text_is_ours(str(plot)), html_is_ours(plot.html)
    assert {o.tag.split('}')[1] for o in ElementTree.fromstring(plot.svg).iter()} <= {'svg', 'text', 'rect', 'circle', 'polyline'}
    text_is_ours(plot.svg.replace('\n', ''))

def text_is_ours(text: str): assert not RAW.search(text), repr(RAW.search(text))

@pytest.fixture(scope='module')
def tok(): return load_tokenizer('mistralai/Mistral-7B-v0.1')

@pytest.fixture(scope='module')
def odd():
    "A tokenizer with each payload as one token of its vocabulary"
    t = load_tokenizer('mistralai/Mistral-7B-v0.1')
    t.add_tokens([p for p in ALL if p.strip() and len(p)<200])
    return t

def test_there_are_enough(): assert len(ALL)==len(set(ALL))>=110

@pytest.mark.parametrize('where', ['text', 'vocabulary'])
@pytest.mark.parametrize('boundary', ['segment', 'joint'])
def test_views(tok, odd, where, boundary):
    t = odd if where=='vocabulary' else tok
    if where=='vocabulary': assert sum(len(t(p, add_special_tokens=False).input_ids)<=2 for p in MARKUP)>len(MARKUP)*.8
    enc = Encoder(t, boundary)
    for p in ALL:
        e, other = enc(masked(p) + trained(p)), enc(trained(p[:3000]))
        for v in (show_tokens(e), diff(e, other, names=(p[:60], 'b')), show_batch(dict(input_ids=[e.input_ids], labels=[e.labels]), t)):
            html_is_ours(v.html), text_is_ours(str(v)), text_is_ours(repr(v))
        text_is_ours(token_table(e).to_string()), text_is_ours(shifted_table(e).to_string())
        for table in (token_table(e), shifted_table(e)): html_is_ours(table._repr_html_())
        if len(e.input_ids)<300: html_is_ours_but_for_pandas(style_tokens(e).to_html())

def html_is_ours_but_for_pandas(html: str):
    "pandas' own style sheet and void tags aside"
    html_is_ours(re.sub(r'<p>\d+ rows × \d+ columns</p>', '', re.sub(r'<style[^>]*>.*?</style>', '', html, count=1, flags=re.S)))

def test_roles_and_origins(tok):
    enc = Encoder(tok)
    for p in ALL:
        row = Segments([Segment('a', False, p), Segment('b', True, f'turn 1, {p}')])
        html_is_ours(row._repr_html_())
        for o in inference_skew(masked(p+'a') + trained('b'), enc): html_is_ours(o._repr_html_()), text_is_ours(str(o))

CONTROLS = re.compile('[\x00-\x08\x0e-\x1f\u202a-\u202e\u2066-\u2069]')

def texts(x):
    "All text in what a page is sent"
    if isinstance(x, str): yield x
    for o in x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else (): yield from texts(o)

def test_widgets(tok, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [masked(p) + trained(p+'.') for p in ALL]
    write_jsonl(rows, 'rows.jsonl')
    e = edit('rows.jsonl', Encoder(tok))
    e.command('python'), e.command('filters'), e.command('check')
    for i in range(len(rows)):
        e.command('jump', row=i)
        e.command('turn', segment=0)
        e.command('mask', **{'from': 0, 'to': len(rows[i].text)})
        sent = e.head, e.row, e.lines, e.found, e.note, e.filters, e.code
        for o in texts(sent): assert not CONTROLS.search(o), (i, o)
        html_is_ours(e.picture.html), text_is_ours(str(e.picture))
        assert not any(RAW.search(t) for t in e.row['t'])
        assert [len(t) for t,_ in e.row['runs']]==[len(o.text) for o in e.state[i]] # positions stay
    for p in ALL[::3]: # in what a user types, and in the messages about it
        typed = p[:300].replace('\n', ' ')
        e.command('query', query=dict(text=typed, regex=True))
        e.command('rule', rule=dict(find=typed)), e.command('apply', rule=dict(find=typed)), e.command('undo')
        for o in texts((e.note, e.preview)): assert not CONTROLS.search(o), o
    text_is_ours(e.python())

def test_file_names(tok, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    enc = Encoder(tok)
    for p in [o for o in ALL[::2] if '/' not in o and '\x00' not in o and len(o.encode())<200 and o.strip('. -|=')]:
        try: Path(p+'.jsonl').write_text('{"segments": [{"label": true, "text": "a"}]}\n')
        except OSError: continue
        w = edit(Path(p+'.jsonl'), enc)
        w.command('turn', segment=0), w.save()
        for o in texts((w.head, w.row, w.lines, w.found, w.note)): assert not CONTROLS.search(o), o
        html_is_ours(w.picture.html), text_is_ours(str(w.picture))
        drawing_is_ours(plot_lengths(Path(p+'.jsonl'), enc))

@pytest.mark.parametrize('step', [6, pytest.param(1, marks=pytest.mark.slow)])
def test_column_names(tok, step):
    enc = Encoder(tok)
    for p in ALL[::step]:
        frame = pd.DataFrame([{'segments': [{'label': True, 'text': 'a'}], p: p}])
        w = browse(frame, enc)
        html_is_ours(w.picture.html)
        d = diff([Encoder(tok)(trained('a'))], [Encoder(tok)(trained('b'))], names=(p, 'b'))
        html_is_ours(d.html), text_is_ours(str(d)), text_is_ours(d.rows.to_string())

@pytest.mark.parametrize('step', [5, pytest.param(1, marks=pytest.mark.slow)]) # all of them in the long run
def test_plots(tok, step):
    for p in ALL[::step]:
        s = row_set([trained(p), masked('a')], Encoder(tok))
        s.name = p[:200]
        for f in (plot_lengths, plot_trained_share, plot_lost, lambda s: plot_packing(s, sequence_len=64)):
            drawing_is_ours(f(s))
        drawing_is_ours(plot_trained_share({p: s, 'b': s}))

def test_a_megabyte_without_a_space(tok):
    e = Encoder(tok)(trained('ab'*500_000))
    v = show_tokens(e)
    html_is_ours(v.html)
    assert len(v.html)<300_000 and len(repr(v))<5000
