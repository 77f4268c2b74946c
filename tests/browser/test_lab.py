"The rest of what was promised of the widgets, in JupyterLab: `make browser-test`"
import json, time

import pytest
from notebooks import EDITOR, SETUP, lab
from test_smoke import drag, labels, states

pytestmark = pytest.mark.browser

def test_toggle_a_segment(light, editor):
    share = editor.locator('.widget-html', has_text='trained (').last
    before = share.inner_text()
    editor.locator('.sm-seg').nth(1).click()
    light.until(lambda: light.kernel('print([o.label for o in e.state[0]])'), '[True, False, False, True]')
    light.until(lambda: states(editor)==labels(light))
    assert share.inner_text()!=before and editor.locator('.sm-seg').nth(1).inner_text().startswith('○')

def test_undo_and_redo(light, editor):
    editor.locator('.sm-seg').nth(0).click()
    light.until(lambda: light.kernel('print(e.state.dirty)'), '[0]')
    editor.locator('.sm-view').focus()
    light.page.keyboard.press('Control+z')
    light.until(lambda: light.kernel('print(e.state.dirty, e.state[0] == rows[0])'), '[] True')
    light.until(lambda: states(editor)==labels(light))
    light.page.keyboard.press('Control+Shift+Z')
    light.until(lambda: light.kernel('print(e.state.dirty)'), '[0]')
    light.page.keyboard.press('u')
    light.until(lambda: light.kernel('print(e.state.dirty)'), '[]')
    light.until(lambda: 'not saved' in editor.inner_text(), False)

def test_keys_move_and_leave_the_cell_alone(light, editor):
    kinds = lambda: light.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.type)")
    before, row = kinds(), lambda: int(light.kernel('print(e.state.row)'))
    editor.get_by_role('button', name='▶').click() # a plain button: Lab's own keys would be next
    light.until(row, 1)
    for key,want in (('j', 2), ('ArrowRight', 3), ('k', 2), ('ArrowLeft', 1), ('End', 42), ('Home', 0)):
        light.page.keyboard.press(key)
        light.until(row, want)
    for key in ('m', 'y', 'a', 'b', 'd', 'd', 'x'): light.page.keyboard.press(key)
    light.until(lambda: 'nothing is selected' in editor.inner_text() or 'which segment' in editor.inner_text())
    assert kinds()==before and editor.count()==1 and light.kernel('print(e.state.dirty)')=='[]'
    light.page.keyboard.press('?')
    light.until(lambda: 'ctrl-shift-z' in editor.inner_text())
    light.page.keyboard.press('?')
    light.until(lambda: 'ctrl-shift-z' in editor.inner_text(), False)
    light.page.keyboard.press('Shift+ArrowRight'), light.page.keyboard.press('Shift+ArrowRight')
    light.until(lambda: editor.locator('.sm-sel').count(), 2)
    light.page.keyboard.press('Escape')
    light.until(lambda: editor.locator('.sm-sel').count(), 0)

def test_drag_over_characters(light, editor):
    editor.get_by_role('button', name='characters').click()
    pre = editor.locator('.sm-text')
    pre.wait_for()
    box = light.page.evaluate("""() => { const o = document.querySelector('.sm-text span:nth-child(2)'), r = document.createRange();
        r.setStart(o.firstChild, 3); r.setEnd(o.firstChild, 8); const b = r.getBoundingClientRect(); return [b.left, b.right, b.top + b.height / 2]; }""")
    m = light.page.mouse
    m.move(box[0]+.5, box[2]), m.down(), m.move((box[0]+box[1])/2, box[2]), m.move(box[1]-.5, box[2]), m.up()
    light.until(lambda: light.kernel('print(e.state.selection)'), '(12, 17)')
    light.page.keyboard.press('m')
    light.until(lambda: light.kernel('print(e.state[0].segments[1:4])'), "(trained('hi '), masked('there'), trained('!. '))")
    editor.get_by_role('button', name='tokens').click()
    light.until(lambda: states(editor)==labels(light))

def test_search(light, browser):
    search = browser.locator('.sm-search input')
    search.fill('<<3*4'); search.press('Enter')
    light.until(lambda: light.kernel('print(b.rows.tolist(), b.query)'), "[1] Query(text='<<3*4')")
    assert '1 of 1 in view' in browser.inner_text()
    browser.get_by_role('button', name='.*', exact=True).click()
    search.fill('^ 1[0-4]</s>'); browser.locator('select').first.select_option('trained text'); search.press('Enter')
    light.until(lambda: light.kernel('print(b.rows.tolist())'), '[8, 9, 10]')
    search.fill('('); search.press('Enter')
    light.until(lambda: 'no regular expression' in browser.inner_text())
    browser.locator('.sm-view').focus()
    light.page.keyboard.press('/')
    assert search.evaluate('o => o === document.activeElement')

def test_filter_by_clicking_a_bar(light, browser):
    browser.get_by_role('button', name='filters').click()
    bars = browser.locator('.sm-bars').nth(1).locator('button')
    bars.first.wait_for()
    assert bars.count()==20
    bars.first.click()
    light.until(lambda: light.kernel('print(b.rows.tolist())'), '[43]')
    assert bars.first.get_attribute('aria-pressed')=='true' and 'Nothing is trained' in browser.inner_text()
    browser.get_by_role('button', name='clear').click()
    light.until(lambda: light.kernel('print(len(b.rows))'), '44')
    browser.get_by_role('button', name='find mistakes').click()
    light.until(lambda: 'nothing-trained (1)' in browser.inner_text() or browser.locator('select option', has_text='nothing-trained (1)').count()==1)

def test_rule_over_rows_in_view(light, editor):
    find, to = (editor.get_by_placeholder(o) for o in ('find, or from', 'to (or nothing)'))
    find.fill('<<'); to.fill('>>')
    light.until(lambda: '21 characters at 2 places in 2 rows' in editor.inner_text())
    editor.get_by_role('button', name='apply').click()
    light.until(lambda: light.kernel('print(e.state.dirty)'), '[1, 2]')
    assert light.kernel('print(e.state[2][2])')=="masked('<<50/2=25>>')"

def test_findings_beside_the_text(light, editor):
    assert 'trailing-space' in editor.inner_text()
    drag(light, editor, 10, 11)
    light.until(lambda: light.kernel('print(e.state.selection is not None)'), 'True')
    light.page.keyboard.press('m')
    light.until(lambda: 'eos-masked' in editor.inner_text() or 'eos-missing' in editor.inner_text() or 'skewed-prompt' in editor.inner_text() or 'trailing-space' not in editor.inner_text())

def test_errors_are_shown(light, editor):
    light.kernel("""
def broken(): raise ZeroDivisionError('a bug in a callback')
e.state.undo, keep = broken, e.state.undo
""")
    light.kernel("e.state._undo.append(None); e.undo_button.disabled = False")
    editor.get_by_role('button', name='undo').click()
    light.until(lambda: 'ZeroDivisionError: a bug in a callback' in editor.inner_text())
    light.until(lambda: [e[1] for e in light.errors()], ['ZeroDivisionError']) # and it is in the log as well
    light.kernel('e.state._undo.clear(); del e.state.undo')
    light.page.evaluate('() => { window.__rig.errors = []; }')

def test_hover_links_token_and_segment(light, editor):
    editor.locator('[data-i="8"]').hover()
    light.until(lambda: editor.locator('.sm-seg.sm-hover').all_inner_texts(), ['○ goodbye·'])
    info = editor.locator('.sm-info').inner_text()
    assert info.startswith('token 8 · id ') and 'segment 2' in info and info==editor.locator('[data-i="8"]').get_attribute('title')
    editor.locator('.sm-seg').nth(0).hover()
    light.until(lambda: editor.locator('[data-i].sm-hover').count(), 3)

CONTRAST = '''sel => { const lum = ([r, g, b]) => { const f = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }; return .2126*f(r) + .7152*f(g) + .0722*f(b); };
    const cv = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = c => { cv.clearRect(0, 0, 1, 1); cv.fillStyle = '#000'; cv.fillStyle = c; cv.fillRect(0, 0, 1, 1); const d = [...cv.getImageData(0, 0, 1, 1).data]; return [d[0], d[1], d[2], d[3] / 255]; };
    const over = (t, u) => [0, 1, 2].map(i => t[i] * t[3] + u[i] * (1 - t[3]));
    return [...document.querySelectorAll(sel)].filter(o => o.textContent.trim() && o.offsetParent).map(o => { const chain = []; let alpha = 1; for (let n = o; n; n = n.parentElement) chain.unshift(n);
        let bg = [255, 255, 255]; for (const n of chain) { const s = getComputedStyle(n); bg = over(rgba(s.backgroundColor), bg); alpha *= +s.opacity; }
        const c = rgba(getComputedStyle(o).color); c[3] *= alpha; const fg = over(c, bg), [a, b] = [lum(fg), lum(bg)].sort((x, y) => y - x);
        return [(a + .05) / (b + .05), o.className + ': ' + o.textContent.slice(0, 30)]; }).sort((x, y) => x[0] - y[0])[0]; }'''
TEXT = ('.sm-t', '.sm-m', '.sm-sel', '.sm-info', '.segmask-box .widget-html-content *', '.jp-OutputArea-output ins', '.jp-OutputArea-output pre span', '.jp-OutputArea-output small', '.jp-OutputArea-output mark')
VIEWS = 'from segmask import diff, style_tokens, show_batch, shifted_table, token_table\nfrom IPython.display import display\nfor o in (show_tokens(enc(rows[0])), diff(Encoder(tok)(rows[0]), enc(rows[0])), style_tokens(enc(rows[0])), shifted_table(enc(rows[0]))): display(o)'

@pytest.mark.parametrize('theme', ['light', 'dark'])
def test_contrast(tmp_path_factory, theme, request):
    "Text on what is behind it, at least 4.5 in both themes; what is trained differs from what is masked for colour-blind readers and without colours"
    with lab(tmp_path_factory, theme, SETUP, EDITOR, VIEWS) as rig:
        rig.open().run_all()
        box = rig.page.locator('.segmask-box').nth(0)
        drag(rig, box, 3, 4)
        rig.until(lambda: box.locator('.sm-sel').count(), 2)
        rig.kernel("e.command('mask') if False else e.command('python')")
        found = {sel: rig.page.evaluate(CONTRAST, sel) for sel in TEXT}
        print(theme, {k: round(v[0], 2) for k,v in found.items() if v})
        assert not {k:v for k,v in found.items() if v and v[0]<4.5}
        assert found['.sm-t'] and found['.sm-m'] and found['.jp-OutputArea-output ins']
        assert all(o[0]=='solid' for o in rig.page.locator('.sm-t').evaluate_all("s => s.map(o => [getComputedStyle(o).textDecorationStyle])"))
        assert all(o[0]=='dotted' for o in rig.page.locator('.sm-m').evaluate_all("s => s.map(o => [getComputedStyle(o).textDecorationStyle])"))
        distances(rig, box)
        rig.page.emulate_media(forced_colors='active')
        assert rig.page.locator('.sm-t').first.evaluate('o => getComputedStyle(o).borderBottomStyle')=='solid'
        assert rig.page.locator('.sm-m').first.evaluate('o => getComputedStyle(o).borderBottomStyle')=='dotted'

def distances(rig, box):
    "With each kind of colour blindness emulated, the line below a trained token differs from that below a masked one"
    import base64
    cdp = rig.ctx.new_cdp_session(rig.page)
    box.locator('.sm-view').scroll_into_view_if_needed()
    rig.kernel('e.view.sel = []')
    rig.page.mouse.move(0, 0)
    rig.page.add_style_tag(content='.sm-t, .sm-m { color: transparent !important; }') # lines and backgrounds alone, not the shapes of words
    for kind in ('none', 'protanopia', 'deuteranopia', 'tritanopia', 'achromatopsia'):
        cdp.send('Emulation.setEmulatedVisionDeficiency', {'type': kind})
        rig.page.wait_for_timeout(150)
        colors = []
        for i in (4, 8): # 'there' is trained, 'goodbye' masked
            b = box.locator(f'[data-i="{i}"]').bounding_box()
            png = rig.page.screenshot(clip=dict(x=b['x']+2, y=b['y'], width=b['width']-4, height=b['height']+6))
            colors.append(rig.page.evaluate("""async url => { const i = new Image(); i.src = url; await i.decode(); const c = document.createElement('canvas'); c.width = i.width; c.height = i.height;
                const x = c.getContext('2d'); x.drawImage(i, 0, 0); const d = x.getImageData(0, 0, i.width, i.height).data, n = i.width, rows = [];
                for (let y = 0; y < i.height; y++) { let s = [0, 0, 0]; for (let k = 0; k < n; k++) for (let j = 0; j < 3; j++) s[j] += d[4 * (y * n + k) + j] / n; rows.push(s); } return rows; }""", 'data:image/png;base64,'+base64.b64encode(png).decode()))
        far = max(sum((p-q)**2 for p,q in zip(a, b))**.5 for a,b in zip(*colors)) # the row of pixels in which they differ most
        print(f'{kind}: trained and masked differ by {far:.0f}')
        assert far>25, (kind, far)
    cdp.send('Emulation.setEmulatedVisionDeficiency', {'type': 'none'})

LONG = '''
long = Encoder(tok)(masked('<s>' + 'A long question about many things. '*1000) + trained('A long answer that says little. '*3571 + '</s>'))
print(len(long.input_ids))
show_tokens(long)
'''
LIVE = '''
write_jsonl([long.row], 'long.jsonl')
e = edit('long.jsonl', Encoder(tok))
e
'''
def test_32000_tokens(tmp_path_factory, tmp_path):
    with lab(tmp_path_factory, 'light', SETUP, LONG, LIVE) as rig:
        rig.open()
        rig.run_all()
        n = next(int(o) for o in rig.output_text().split() if o.isdigit())
        assert 31_500<n<32_500
        drawn = rig.page.evaluate("""() => new Promise(done => { const o = [...document.querySelectorAll('.jp-OutputArea-output pre[dir=ltr]')][0].parentElement, html = o.outerHTML, box = document.createElement('div'); document.body.append(box);
            const t = performance.now(); box.innerHTML = html; box.getBoundingClientRect(); requestAnimationFrame(() => requestAnimationFrame(() => { done(performance.now() - t); box.remove(); })); })""")
        live = rig.page.evaluate("""() => new Promise(done => { const pre = document.querySelector('.sm-tokens'), all = [...pre.childNodes]; pre.replaceChildren(); pre.getBoundingClientRect(); const t = performance.now();
            pre.replaceChildren(...all); pre.getBoundingClientRect(); requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - t))); })""")
        box = rig.page.locator('.segmask-box').nth(0)
        assert box.locator('[data-i]').count()>31_500
        drag(rig, box, 3, 5)
        rig.until(lambda: rig.kernel('print(e.state.selection is not None)'), 'True')
        t = time.time()
        rig.page.keyboard.press('t')
        rig.until(lambda: states(box)[3:6], [True]*3, 60)
        change = time.time()-t
        rig.kernel('e.close()')
        rig.save(tmp_path/'long.ipynb')
        nb = json.loads((tmp_path/'long.ipynb').read_text())
        sizes = [len(json.dumps(c['outputs'], ensure_ascii=False).encode()) for c in nb['cells']]
        print(f'{n:,} tokens: static drawn in {drawn:.0f} ms, live layout {live:.0f} ms, a change seen after {change:.1f} s; outputs of the static cell {sizes[1]:,} bytes, of the editor {sizes[2]:,}')
        assert sizes[1]<300_000 and sizes[2]<300_000
        assert not rig.errors()

def test_opening_without_a_kernel(tmp_path_factory, tmp_path):
    "What is saved shows the mask to somebody who runs nothing, trusted or not, and with every style stripped"
    from rig import LabRig
    with lab(tmp_path_factory, 'light', SETUP, EDITOR, 'show_tokens(enc(rows[0]))') as rig:
        rig.open().run_all()
        rig.save(tmp_path/'saved.ipynb')
    with LabRig(tmp_path/'saved.ipynb', keep_outputs=True, timeout=120) as rig:
        rig.open().wait_idle()
        page = rig.page
        assert page.locator('.jp-OutputArea-output ins').count()>10 and page.evaluate('() => document.querySelectorAll(".jp-OutputArea-output script").length')==0
        page.locator('summary', has_text='without a kernel').first.click()
        kept = page.locator('details pre').first
        assert 'goodbye' in kept.inner_text() and [kept.locator(o).first.evaluate('o => getComputedStyle(o).borderBottomStyle') for o in ('ins', 'span')]==['solid', 'dotted'] # untrusted, and told apart
        page.evaluate("() => document.querySelectorAll('.jp-OutputArea-output [style]').forEach(o => o.removeAttribute('style'))")
        assert 'underline' in kept.locator('ins').first.evaluate('o => getComputedStyle(o).textDecorationLine') # <ins> alone tells it
        assert 'underline' not in kept.locator('span').first.evaluate('o => getComputedStyle(o).textDecorationLine')

def test_without_anywidget(tmp_path_factory):
    "Segments can be turned around, rules applied, and the row is a picture"
    with lab(tmp_path_factory, 'light', 'import sys; sys.modules["anywidget"] = None', SETUP, EDITOR) as rig:
        rig.open().run_all()
        assert not rig.errors() and not rig.widget_failures()
        box = rig.page.locator('.segmask-box').nth(0)
        n = box.locator('ins').count()
        box.locator('.sm-seg').nth(0).click()
        rig.until(lambda: rig.kernel('print(e.state[0][0].label)'), 'False')
        rig.until(lambda: box.locator('ins').count()<n)
        assert box.locator('.sm-view').count()==0

PAYLOADS = '''
import sys; sys.path.insert(0, {tests!r})
from payloads import ALL
from IPython.display import display
from segmask import diff, show_batch, style_tokens, token_table, shifted_table, lint
from segmask.data.rows import row_set
from segmask import plot_lengths
odd = load_tokenizer('mistralai/Mistral-7B-v0.1'); odd.add_tokens([p for p in ALL if p.strip() and len(p) < 200])
rows = [masked(p) + trained(p + '.') for p in ALL]
write_jsonl(rows, 'rows.jsonl')
from IPython.display import HTML
for t in (tok, odd):
    en = Encoder(t)
    for p, r in zip(ALL, rows):
        x = en(r)
        views = [show_tokens(x), diff(x, en(trained(p)), names=(p[:80], 'b')), show_batch(dict(input_ids=[x.input_ids], labels=[x.labels]), t)]
        if t is odd and len(x.input_ids) < 60: views += [token_table(x), style_tokens(x)]
        display(HTML(''.join(v._repr_html_() for v in views)))
'''
ALL_ROWS = "e = edit('rows.jsonl', Encoder(odd))\ne"
def test_every_payload_in_the_browser(tmp_path_factory):
    from pathlib import Path
    with lab(tmp_path_factory, 'light', SETUP, PAYLOADS.format(tests=str(Path(__file__).parents[1])), ALL_ROWS) as rig:
        rig.open().run_all()
        assert not rig.errors()
        bad = lambda: rig.page.evaluate("""() => [window.__pwn ?? null, document.querySelectorAll('mjx-container').length, document.querySelectorAll('.jp-OutputArea-output :is(img, script, iframe, svg, object, embed, form, h1, marquee, math, video, base, meta, link)').length]""")
        assert bad()==[None, 0, 0]
        wide = rig.page.evaluate("() => Math.max(...[...document.querySelectorAll('.jp-OutputArea-output pre')].map(o => o.scrollWidth - o.clientWidth))")
        assert wide<=1, 'no text is wider than its place'
        n = int(rig.kernel('print(len(rows))'))
        for i in range(n): rig.kernel(f"e.jump({i}); e.mode.value = {['tokens', 'text'][i%2]!r}")
        rig.kernel("e.find.value = '<img src=x onerror=window.__pwn=1> $x$'; e.command('python')")
        rig.page.wait_for_timeout(1500)
        assert bad()==[None, 0, 0] and not rig.page_errors
        print(n, 'payloads')
