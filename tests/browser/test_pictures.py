"What a reader sees who runs and trusts nothing: pictures are drawn, text of strangers is text"
import json, sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from payloads import ALL

pytestmark = pytest.mark.browser

BAD = """() => [window.__pwn ?? null, document.querySelectorAll('mjx-container').length,
    [...document.querySelectorAll(`.jp-OutputArea-output :is(img, script, iframe, svg, object, embed, form, h1, marquee, math,
        video, base, meta, link)`)].filter(o => !(o.tagName === 'IMG' && o.src.startsWith('data:image/svg+xml;base64,'))).length]"""
DRAWN = """() => { const o = [...document.querySelectorAll('.jp-OutputArea-output img')];
    return [o.length, o.filter(i => i.complete && i.naturalWidth > 200).length, o.filter(i => i.alt).length]; }"""

def run(seed, word):
    "A run of `compare`, made up"
    return dict(seed=seed, answer_loss=[1., 2.], rest_loss=[3., 4.], answer_tokens=[2, 2], rest_tokens=[3, 3], generated=[word, 'a'],
                expected=[word, 'b'], trained_tokens=9, seconds=1., memory=1., steps=3, learning_rate=.1, curve=[[1, 2.], [2, 1.5]])

def views(payload, enc):
    "Everything of the package that draws itself, about one payload"
    from segmask import lint, masked, show_batch, show_tokens, style_tokens, token_table, trained
    from segmask.core import Segment, Segments
    from segmask.data.rows import row_set
    from segmask.html import View
    from segmask.tokens.skew import inference_skew
    from segmask.training.comparison import Comparison
    from segmask.training.live import Counts, Status, status_html
    from segmask.views.differences import diff
    from segmask.views.plots import plot_lengths, plot_lost, plot_trained_share
    row = masked(payload) + trained(payload+'.')
    e, rows = enc(row), row_set([row, trained('a')], enc)
    rows.name = payload[:200]
    moment = Status(1, 2, [dict(step=1, loss=1.)], 1., 1, Counts(), None, payload)
    found = [Segments([Segment('a', False, payload), Segment('b', True, f'turn, {payload}')]), show_tokens(e), token_table(e),
             diff(e, enc(trained(payload)), names=(payload[:80], 'b')), diff([e], [enc(trained(payload))], names=(payload[:80], 'b')),
             show_batch(dict(input_ids=[e.input_ids], labels=[e.labels]), enc.tokenizer), inference_skew(row, enc),
             plot_lengths(rows), plot_trained_share({payload: rows, 'b': rows}), plot_lost(rows), View(status_html(moment), ''),
             Comparison({payload[:80]: [run(s, payload) for s in (0, 1)], 'b': [run(s, 'b') for s in (0, 1)]}, [payload], str, notes=[payload]),
             lint([row], enc)]
    if len(e.input_ids)<60: found.append(style_tokens(e))
    return ''.join(o._repr_html_() or '' for o in found)

def test_every_payload_without_a_kernel(tmp_path):
    from rig import LabRig
    from segmask import Encoder, load_tokenizer
    odd = load_tokenizer('mistralai/Mistral-7B-v0.1')
    odd.add_tokens([p for p in ALL if p.strip() and len(p)<200])
    cell = lambda html: dict(cell_type='code', id=f'c{abs(hash(html))}'[:12], metadata={}, source='', execution_count=1, outputs=[
        dict(output_type='display_data', metadata={}, data={'text/html': html, 'text/plain': 'a view'})])
    nb = dict(cells=[cell(views(p, Encoder(odd))) for p in ALL], metadata={}, nbformat=4, nbformat_minor=5)
    (tmp_path/'saved.ipynb').write_text(json.dumps(nb))
    assert len(ALL)>=110
    with LabRig(tmp_path/'saved.ipynb', keep_outputs=True, timeout=240) as rig:
        rig.open().wait_idle()
        rig.page.wait_for_timeout(3000)
        assert rig.page.evaluate(BAD)==[None, 0, 0] and not rig.page_errors
        n, drawn, named = rig.page.evaluate(DRAWN)
        assert n==drawn==named>=5*len(ALL), (n, drawn, named)
        print(len(ALL), 'payloads,', n, 'pictures drawn')
