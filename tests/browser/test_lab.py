"The rest of what was promised of the widgets, in JupyterLab: `make browser-test`"
import json, shutil, subprocess, time
from pathlib import Path

import pytest
from notebooks import APPS, EDITOR, SETUP, lab, need
from test_smoke import drag, labels, states

pytestmark = pytest.mark.browser

def says(rig, box, text): rig.until(lambda: text in box.inner_text())
def prints(rig, code, want): rig.until(lambda: rig.kernel(f'print({code})'), want)

def test_toggle_a_segment(light, editor):
    share = editor.locator('.sm-where')
    before = share.inner_text()
    editor.locator('.sm-seg').nth(1).click()
    prints(light, '[o.label for o in e.state[0]]', '[True, False, False, True]')
    light.until(lambda: states(editor)==labels(light))
    light.until(lambda: share.inner_text()!=before)
    chip = editor.locator('.sm-seg').nth(1)
    assert '○' in chip.inner_text() and chip.get_attribute('aria-pressed')=='false'

def test_undo_and_redo(light, editor):
    editor.locator('.sm-seg').nth(0).click()
    prints(light, 'e.state.dirty', '[0]')
    editor.locator('.sm-view').focus()
    light.page.keyboard.press('Control+z')
    prints(light, 'e.state.dirty, e.state[0] == rows[0]', '[] True')
    light.until(lambda: states(editor)==labels(light))
    light.page.keyboard.press('Control+Shift+Z')
    prints(light, 'e.state.dirty', '[0]')
    light.page.keyboard.press('u')
    prints(light, 'e.state.dirty', '[]')
    light.until(lambda: 'not saved' in editor.inner_text(), False)

def test_keys_move_and_leave_the_cell_alone(light, editor):
    kinds = lambda: light.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.type)")
    before, row = kinds(), lambda: int(light.kernel('print(e.state.row)'))
    editor.get_by_role('button', name='next row').click() # a plain button: Lab's own keys would be next
    light.until(row, 1)
    for key,want in (('j', 2), ('ArrowRight', 3), ('k', 2), ('ArrowLeft', 1), ('End', 42), ('Home', 0)):
        light.page.keyboard.press(key)
        light.until(row, want)
    for key in ('m', 'y', 'a', 'b', 'd', 'd', 'x'): light.page.keyboard.press(key)
    light.until(lambda: 'nothing is selected' in editor.inner_text() or 'which segment' in editor.inner_text())
    assert kinds()==before and editor.count()==1 and light.kernel('print(e.state.dirty)')=='[]'
    light.page.keyboard.press('?')
    says(light, editor, 'ctrl-shift-z')
    light.page.keyboard.press('?')
    light.until(lambda: 'ctrl-shift-z' in editor.inner_text(), False)
    light.page.keyboard.press('Shift+ArrowRight'), light.page.keyboard.press('Shift+ArrowRight')
    light.until(lambda: editor.locator('.sm-sel').count(), 2)
    light.page.keyboard.press('Escape')
    light.until(lambda: editor.locator('.sm-sel').count(), 0)

RANGE = """() => { const o = document.querySelector('.sm-text [data-at="9"]'), r = document.createRange();
    r.setStart(o.firstChild, 3); r.setEnd(o.firstChild, 8);
    const b = r.getBoundingClientRect(); return [b.left, b.right, b.top + b.height / 2]; }"""

def test_drag_over_characters(light, editor):
    editor.get_by_role('button', name='plain text').click()
    editor.locator('.sm-text').wait_for()
    a, b, y = light.page.evaluate(RANGE)
    m = light.page.mouse
    m.move(a+.5, y), m.down(), m.move((a+b)/2, y), m.move(b-.5, y), m.up()
    prints(light, 'e.state.selection', '(12, 17)')
    light.page.keyboard.press('m')
    prints(light, 'e.state[0].segments[1:4]', "(trained('hi '), masked('there'), trained('!. '))")
    light.page.keyboard.press('w')
    light.until(lambda: states(editor)==labels(light))

def test_search(light, browser):
    search = browser.get_by_label('search', exact=True)
    search.fill('<<3*4') # it is searched while one types
    prints(light, 'b.rows.tolist(), b.query', "[1] Query(text='<<3*4')")
    says(light, browser, '1 in view')
    light.until(lambda: ''.join(browser.locator('.sm-hit').all_inner_texts()), '<<3*4')
    says(light, browser, 'hit 1 of 1')
    browser.get_by_role('button', name='a regular expression').click()
    search.fill('^ 1[0-4]</s>')
    browser.get_by_role('button', name='search trained text only').click()
    prints(light, 'b.rows.tolist()', '[8, 9, 10]')
    search.fill('(')
    says(light, browser, 'no regular expression')
    browser.locator('.sm-view').focus()
    light.page.keyboard.press('/')
    assert search.evaluate('o => o === document.activeElement')

def test_escape_leaves_the_search_box(light, browser):
    light.page.keyboard.press('/')
    light.page.keyboard.type('Q: 1')
    light.page.keyboard.press('Escape')
    light.page.keyboard.press('j') # a row further, not a letter in the box
    prints(light, 'b.query.text', 'Q: 1')
    light.until(lambda: browser.get_by_label('search', exact=True).input_value(), 'Q: 1')
    prints(light, 'b.state.position', '1')

def test_hits_by_key_and_masked_at_once(light, editor):
    light.page.keyboard.press('/')
    light.page.keyboard.type('=')
    says(light, editor, 'hit 1 of 2')
    light.page.keyboard.press('Enter')
    says(light, editor, 'hit 2 of 2')
    light.page.keyboard.press('Enter') # on to the next row with one
    prints(light, 'e.state.row', '2')
    editor.get_by_role('button', name='mask all hits').click()
    says(light, editor, '2 rows changed')
    prints(light, 'e.state.dirty', '[1, 2]')
    assert light.kernel("print(e.python().split(chr(10))[3])")=="e.apply(Rule('='), [1, 2])"

def test_a_list_of_rows(light, browser):
    line = browser.locator('.sm-line')
    assert line.first.get_attribute('aria-setsize')=='44'
    line.nth(3).click()
    prints(light, 'b.state.row', '3')
    light.until(lambda: 'row 3' in ' '.join(browser.locator('.sm-line[aria-selected=true]').inner_text().split()))
    browser.get_by_role('button', name='sort by length').click()
    browser.get_by_role('button', name='sort by length').click()
    light.until(lambda: 'row 1' in ' '.join(line.first.inner_text().split())) # the longest
    browser.locator('.sm-rows').focus()
    light.page.keyboard.press('ArrowDown')
    prints(light, 'b.view["sort"], b.state.position > 0', '-tokens True')
    browser.get_by_role('button', name='sort by number').click()

def test_filter_by_clicking_a_bar(light, browser):
    browser.get_by_role('button', name='filters').click()
    bars = browser.locator('.sm-bars').nth(1).locator('button')
    bars.first.wait_for()
    assert bars.count()==20
    bars.first.click()
    prints(light, 'b.rows.tolist()', '[43]')
    light.until(lambda: bars.first.get_attribute('aria-pressed'), 'true')
    says(light, browser, 'Nothing is trained')
    browser.get_by_role('button', name='clear').click()
    prints(light, 'len(b.rows)', '44')
    browser.get_by_role('button', name='find mistakes').click()
    says(light, browser, '44 rows checked')
    light.until(lambda: browser.locator('option', has_text='nothing-trained (1)').count(), 1)
    browser.get_by_label('finding', exact=True).select_option('nothing-trained')
    prints(light, 'b.rows.tolist()', '[43]')

def test_finding_mistakes_in_many_rows(light, browser):
    "How far it is stands in the button, and a click on it stops it"
    light.kernel("from segmask.widgets.browsing import Browsing\nkeep_b, b.state = b.state, Browsing(rows*175, enc)\nb.draw()")
    says(light, browser, 'of 7,525')
    check = browser.locator('.sm-check').first # the other one scores
    check.click()
    light.until(lambda: check.inner_text().startswith('checked '))
    assert check.inner_text().endswith(' of 7,525 ✕')
    check.click()
    light.until(lambda: check.inner_text(), 'find mistakes')
    light.page.wait_for_timeout(500)
    assert light.kernel('print(0 < b.state.checking.at < 7525)')=='True'
    t = time.time()
    browser.get_by_role('button', name='filters').click()
    browser.locator('.sm-bars button').first.wait_for()
    print(f'filters of 7,525 rows are open after {time.time()-t:.2f} s')
    browser.get_by_role('button', name='filters').click()
    light.kernel('b.state = keep_b; b.draw()')

def test_rule_over_rows_in_view(light, editor):
    editor.get_by_role('button', name='rule …').click()
    find, to = (editor.get_by_placeholder(o) for o in ('find, or from', 'to (or nothing)'))
    find.fill('<<'); to.fill('>>')
    says(light, editor, '21 characters at 2 places in 2 rows')
    assert editor.locator('.sm-example').count()==2 and '<<3*4=12>>' in editor.locator('.sm-example').first.inner_text()
    editor.get_by_role('button', name='apply').click()
    prints(light, 'e.state.dirty', '[1, 2]')
    assert light.kernel('print(e.state[2][2])')=="masked('<<50/2=25>>')"
    says(light, editor, '2 rows changed')
    says(light, editor, 'nothing to change in the rows in view')
    light.page.keyboard.press('Escape')
    light.page.keyboard.press('u')
    prints(light, 'e.state.dirty', '[]')
    says(light, editor, '21 characters at 2 places in 2 rows') # after undo it says again what it would do
    find.fill('(')
    editor.get_by_role('button', name='rule: regular expressions').click()
    says(light, editor, 'no regular expression')
    assert editor.locator('.sm-example').count()==0 # nothing stale beside an error
    alert = editor.locator('.sm-wrong').bounding_box()
    assert alert and abs(alert['y']-find.bounding_box()['y'])<80
    editor.get_by_role('button', name='rule: regular expressions').click()

def test_findings_beside_the_text(light, editor):
    found = editor.locator('.sm-findings')
    assert 'trailing-space' in found.inner_text() and '2 findings' in found.inner_text()
    light.page.keyboard.press('n')
    light.until(lambda: editor.locator('.sm-picked').count(), 1)
    light.until(lambda: editor.locator('.sm-sel').count()>0)
    prints(light, 'e.state.selection is not None', 'True')
    light.page.keyboard.press('f') # fix the one that is selected
    light.until(lambda: 'trailing-space' in found.inner_text(), False)
    prints(light, 'e.state[0].segments[-1]', "trained(' farewell</s>')")
    light.page.keyboard.press('u')
    light.until(lambda: 'trailing-space' in found.inner_text())
    editor.locator('.sm-finding').first.click()
    light.until(lambda: editor.locator('.sm-sel').count()>0)

def test_rows_flagged_doubled_removed(light, editor):
    first = editor.locator('.sm-line')
    def do(what, row, says_so):
        light.kernel(f'e.command("jump", row={row})')
        editor.get_by_role('button', name=what).click()
        light.until(lambda: says_so in first.nth(row).inner_text())
    do('flag row', 0, '⚑'), do('duplicate row', 1, 'twice when it is saved'), do('remove row', 2, 'removed when it is saved')
    editor.get_by_role('button', name='save', exact=True).click()
    says(light, editor, '3 rows changed')
    prints(light, "[sm.read_jsonl('rows.jsonl')[i] == rows[k] for i, k in enumerate((0, 1, 1, 3))]", str([True]*4))
    light.until(lambda: [o in first.nth(2).inner_text() for o in ('Ann has', 'twice')], [True, False])

def test_errors_are_shown(light, editor):
    light.kernel("""
def broken(): raise ZeroDivisionError('a bug in a callback')
e.state.undo = broken
""")
    light.page.keyboard.press('u')
    says(light, editor, 'ZeroDivisionError: a bug in a callback')
    light.until(lambda: [e[1] for e in light.errors()], ['ZeroDivisionError']) # and it is in the log as well
    light.kernel('del e.state.undo')
    light.page.evaluate('() => { window.__rig.errors = []; }')

def test_hover_links_token_and_segment(light, editor):
    editor.locator('[data-i="8"]').hover()
    light.until(lambda: [o[-10:] for o in editor.locator('.sm-seg.sm-hover').all_inner_texts()], ['○ goodbye·'])
    info = editor.locator('.sm-info').inner_text()
    assert info.startswith('token 8 · id ') and 'segment 2' in info
    assert info==editor.locator('[data-i="8"]').get_attribute('title')
    editor.locator('.sm-seg').nth(0).hover()
    light.until(lambda: editor.locator('[data-i].sm-hover').count(), 3)

TALL = """
write_jsonl([masked('Q: ' + 'one two three\\n'*400) + trained(' yes</s>')]*2, 'tall.jsonl')
keep, e.state = e.state, Edits('tall.jsonl', enc)
e.draw()"""

def test_marking_keeps_the_place(light, editor):
    light.kernel(TALL)
    light.until(lambda: editor.locator('[data-i]').count()>1000)
    pre = editor.locator('.sm-tokens')
    pre.evaluate('o => { o.scrollTop = 2000; }')
    i = light.page.evaluate("""() => { const b = document.querySelector('.sm-tokens').getBoundingClientRect();
        return +document.elementFromPoint(b.left + 30, b.top + 100).closest('[data-i]').dataset.i; }""")
    top = pre.evaluate('o => o.scrollTop')
    assert top>1000
    drag(light, editor, i, i+2)
    light.page.keyboard.press('t')
    prints(light, 'e.state.dirty', '[0]')
    light.until(lambda: states(editor)[i:i+3], [True]*3)
    assert abs(pre.evaluate('o => o.scrollTop')-top)<30
    light.page.keyboard.press('j')
    light.until(lambda: pre.evaluate('o => o.scrollTop'), 0) # another row begins at its top
    light.kernel('e.state.draft.remove(); e.state = keep; e.draw()')

def test_dragging_scrolls_at_the_edge(light, editor):
    light.kernel(TALL)
    light.until(lambda: editor.locator('[data-i]').count()>1000)
    pre = editor.locator('.sm-tokens')
    box, start, m = pre.bounding_box(), editor.locator('[data-i="2"]').bounding_box(), light.page.mouse
    m.move(start['x']+3, start['y']+5), m.down(), m.move(box['x']+60, box['y']+box['height']-6)
    light.until(lambda: pre.evaluate('o => o.scrollTop')>300)
    m.up()
    light.until(lambda: editor.locator('.sm-sel').count()>100)
    light.kernel('e.state = keep; e.draw()')

def test_a_draft_is_offered(light, editor):
    light.kernel("e.state.mask(0, 9, 12); e.state = Edits('rows.jsonl', enc); e.draw()") # as after a kernel that died
    says(light, editor, 'was not saved')
    editor.get_by_role('button', name='take up').click()
    prints(light, 'e.state.dirty', '[0]')
    says(light, editor, '1 row changed again')
    light.until(lambda: 'was not saved' in editor.inner_text(), False)

def test_a_file_that_changed_meanwhile(light, editor):
    editor.locator('.sm-seg').nth(0).click()
    prints(light, 'e.state.dirty', '[0]')
    light.kernel("write_jsonl([masked('new')] + rows, 'rows.jsonl')")
    light.page.keyboard.press('Control+s')
    says(light, editor, 'was changed by something else')
    editor.get_by_role('button', name='read it again and repeat my changes').click()
    prints(light, 'len(e.state.set), e.state.dirty', '44 [1]')
    editor.get_by_role('button', name='save', exact=True).click()
    says(light, editor, '1 row changed; the original is')

def test_other_boundaries_and_weights(light, editor):
    n = editor.locator('[data-i]').count()
    editor.get_by_label('boundary mode', exact=True).select_option('segment')
    light.until(lambda: editor.locator('[data-i]').count()!=n)
    assert states(editor)==labels(light)
    editor.get_by_label('boundary mode', exact=True).select_option('prompt')
    light.until(lambda: editor.locator('[data-i]').count(), n)
    editor.get_by_label('second boundary mode', exact=True).select_option('segment')
    second = editor.locator('.sm-other [data-i]')
    light.until(lambda: second.count()>0)
    ids = "print(len(Encoder(tok)(e.state[0]).input_ids))"
    assert second.count()==int(light.kernel(ids))!=n and editor.locator('.sm-other .sm-hit').count()>0
    assert 'segment: ' in editor.locator('.sm-other small').inner_text()
    editor.get_by_label('second boundary mode', exact=True).select_option('prompt')
    says(light, editor, 'the same tokens and labels')
    editor.get_by_label('second boundary mode', exact=True).select_option('')
    light.until(lambda: editor.locator('.sm-other').is_visible(), False)
    drag(light, editor, 3, 4)
    editor.get_by_label('weight of the selection').fill('0.25')
    editor.get_by_role('button', name='weigh', exact=True).click()
    prints(light, '[o.weight for o in e.state[0]]', '[1.0, 0.25, 1.0, 0.0, 1.0]')

def test_narrow(light, editor):
    light.page.set_viewport_size(dict(width=680, height=900))
    try:
        light.until(lambda: editor.bounding_box()['width']<700)
        box = editor.bounding_box()
        assert box['height']<=900 and editor.evaluate('o => o.scrollWidth - o.clientWidth')<=1
        for o in ('.sm-rows', '.sm-view', '.sm-findings', '.sm-segments'):
            b = editor.locator(o).bounding_box()
            assert b['height']>60 and b['width']>200 and b['x']+b['width']<=box['x']+box['width']+1, (o, b)
        editor.get_by_role('button', name='rule …').click()
        light.until(lambda: editor.get_by_role('group', name='A rule for all rows in view').is_visible())
        assert editor.bounding_box()['height']<=900
        editor.get_by_role('button', name='rule …').click()
    finally: light.page.set_viewport_size(light.size)
    assert editor.bounding_box()['height']<=900

CLICKS = """() => { window.__clicks = 0; const typed = e => e.type === 'keydown' && e.target.matches('input');
    for (const k of ['pointerdown', 'keydown']) document.addEventListener(k, e => { if (!typed(e)) window.__clicks += 1; }, true); }"""

def test_clicks(light, editor):
    "Five tasks, in clicks, drags and keys; typing a text is not counted"
    page, done = light.page, {}
    editor.get_by_role('button', name='rule …').click()
    editor.get_by_placeholder('to (or nothing)').fill('')
    editor.get_by_role('button', name='rule …').click()
    page.evaluate(CLICKS)
    def task(name):
        done[name] = page.evaluate('() => { const n = window.__clicks; window.__clicks = 0; return n; }')
    task('')
    drag(light, editor, 3, 5)
    page.keyboard.press('m')
    prints(light, 'e.state.dirty', '[0]')
    task('mask a phrase')
    editor.locator('.sm-seg').nth(0).click()
    prints(light, 'len(e.state.steps)', '2')
    editor.get_by_role('button', name='save', exact=True).click()
    says(light, editor, 'the original is')
    task('flip a segment and save')
    editor.get_by_role('button', name='rule …').click() # its first field has the focus, what stands in it is selected
    page.keyboard.type('pens')
    says(light, editor, '4 characters at 1 place in 1 row')
    editor.get_by_role('button', name='apply').click()
    prints(light, 'e.state.dirty', '[1]')
    task('a rule on all rows')
    editor.get_by_role('button', name='rule …').click()
    task('')
    page.keyboard.press('/')
    page.keyboard.type('Half')
    editor.get_by_role('button', name='search masked text only').click()
    prints(light, 'e.rows.tolist()', '[2]')
    task('search in masked text')
    page.keyboard.press('Escape')
    light.kernel('e.command("query", query={}); e.command("jump", row=0)')
    light.until(lambda: editor.locator('.sm-where').inner_text()[:6], 'row 0 ')
    task('')
    page.keyboard.press('n')
    light.until(lambda: editor.locator('.sm-picked').count(), 1)
    task('next finding')
    del done['']
    print(done)
    most = dict(zip(done, (2, 2, 3, 2, 1)))
    assert all(done[k]<=most[k] for k in most), done

@pytest.fixture(scope='module')
def axe(tmp_path_factory):
    "The accessibility checks of axe-core, from npm"
    folder = tmp_path_factory.mktemp('axe')
    if not shutil.which('npm'): pytest.skip('axe-core is not checked: this machine has no npm')
    got = subprocess.run(['npm', 'pack', 'axe-core@4.11'], cwd=folder, capture_output=True, text=True, timeout=120)
    if got.returncode: pytest.skip(f'axe-core is not checked: npm cannot be reached ({got.stderr[-80:]!r})')
    subprocess.run(['tar', 'xzf', got.stdout.split()[-1]], cwd=folder, check=True)
    return (folder/'package/axe.min.js').read_text()

RUN_AXE = """async sel => (await axe.run(sel, {resultTypes: ['violations']})).violations.map(
    v => `${v.id}: ${v.help}: ` + v.nodes.slice(0, 3).map(n => n.html.slice(0, 120)).join(' | '))"""

def test_accessible(light, editor, browser, axe):
    light.page.evaluate(axe)
    found = {}
    for name in ('', 'filters', 'rule …', 'Python', '? keys'):
        if name: editor.get_by_role('button', name=name).click()
        light.page.wait_for_timeout(400)
        found[name] = light.page.evaluate(RUN_AXE, '.segmask-box')
    print({k: len(v) for k,v in found.items()})
    assert not any(found.values()), found
    said = editor.locator('.sm-tokens .sm-said').all_inner_texts()
    assert [o.strip() for o in said]==['trained:', 'masked:', 'trained:'] # each run says what it is

FORM = """
from segmask import configure
Path('config.yaml').write_text('base_model: mistralai/Mistral-7B-v0.1\\ndatasets:\\n  - path: rows.jsonl\\n    type: input_output\\n')
f = configure('config.yaml')
f"""

def test_the_form(tmp_path_factory, axe):
    with lab(tmp_path_factory, 'light', SETUP, EDITOR, FORM) as rig:
        rig.open().run_all()
        form = rig.page.locator('.segmask-form')
        form.get_by_role('tab', name='length').click()
        length = form.get_by_label('sequence_len')
        length.fill('long')
        rig.until(lambda: length.get_attribute('aria-invalid'), 'true')
        says(rig, form, 'not a whole number')
        assert form.get_by_role('button', name='save', exact=True).is_disabled()
        length.fill('896')
        rig.until(lambda: 'sequence_len: 896' in form.locator('.sm-yaml').inner_text())
        form.get_by_role('tab', name='data').click()
        form.get_by_role('button', name='add a data set').click()
        says(rig, form, 'is missing')
        rig.page.evaluate(axe)
        assert not rig.page.evaluate(RUN_AXE, '.segmask-form')
        form.get_by_role('button', name='take data set 1 away').click()
        rig.until(lambda: 'is missing' in form.locator('.sm-fields').inner_text(), False)
        rig.kernel("Path('config.yaml').write_text(Path('config.yaml').read_text() + 'seed: 5\\n')")
        form.get_by_role('button', name='save', exact=True).click()
        says(rig, form, 'was changed by something else')
        form.get_by_role('button', name='read it again and repeat what I typed').click()
        rig.until(lambda: 'seed: 5' in form.locator('.sm-yaml').inner_text())
        form.get_by_role('button', name='save', exact=True).click()
        says(rig, form, 'the older one is config.yaml.bak')
        prints(rig, "sm.TrainingConfig.load('config.yaml').seed, sm.TrainingConfig.load('config.yaml').sequence_len", '5 896')
        assert not rig.errors() and not rig.page_errors

def test_a_page_without_a_kernel(tmp_path):
    "A file that anyone opens: drawn, searched and stepped through, without a network"
    from rig import Browser
    from segmask import Encoder, load_tokenizer, masked, trained
    from segmask.widgets.page import write_page
    rows = [masked(f'<s>Q: {i}+{i}?\nA:') + trained(f' {2*i}</s>') for i in range(80)] + [masked('<s>nothing</script><img src=x>')]
    write_page(rows, tmp_path/'page.html', Encoder(load_tokenizer('mistralai/Mistral-7B-v0.1'), 'prompt'))
    with Browser() as b:
        b.page.goto(f'file://{tmp_path}/page.html')
        box = b.page.locator('.segmask-box')
        box.locator('[data-i]').first.wait_for()
        box.locator('.sm-view').focus()
        b.page.keyboard.press('j')
        assert box.locator('.sm-where').inner_text().startswith('row 1 ·')
        box.get_by_label('search', exact=True).fill('7+7')
        box.get_by_text('of 81 · 2 in view').wait_for()
        assert ''.join(box.locator('.sm-hit').all_inner_texts()).strip('·')=='7+7' and 'hit 1 of 1' in box.inner_text()
        box.get_by_label('search', exact=True).fill('')
        box.get_by_text('in view').wait_for(state='detached')
        box.locator('.sm-view').focus()
        b.page.keyboard.press('n') # on to the row of which nothing is trained
        box.locator('.sm-picked').wait_for()
        assert 'nothing-trained' in box.inner_text() and box.locator('img').count()==0
        assert not b.page_errors and not b.console_errors and not b.blocked

COMPARED = """
from segmask.training.comparison import Comparison
run = lambda seed, word: dict(seed=seed, answer_loss=[1., 2.], rest_loss=[3., 4.], answer_tokens=[2, 2], rest_tokens=[3, 3], generated=[word, 'a'],
    expected=[word, 'b'], trained_tokens=9, seconds=1., memory=1., steps=3, learning_rate=.1, curve=[[1, 2.], [2, 1.5]])
compared = Comparison({k: [run(i, k) for i in (0, 1)] for k in ('masked', 'unmasked')}, ['Q: 1+1?'], str, notes=['Two seeds.'])
prepared = sm.preprocess('config.yaml', dict(sequence_len=20))
for o in (show_tokens(enc(rows[0])), compared, sm.lint(rows, enc), prepared, prepared.report, sm.plot_lengths(prepared), sm.diff(Encoder(tok)(rows[0]), enc(rows[0])),
          sm.inference_skew(rows[0], Encoder(tok)), sm.show_losses(sm.loss_table(model, enc(rows[0]), tok)), e.picture, f.picture): display(o)"""

@pytest.mark.parametrize('theme', ['light', 'dark'])
def test_accessible_in_every_state(tmp_path_factory, axe, theme):
    "Losses, a second boundary mode, flags, the form, static views and a page have no violations of axe-core"
    from rig import Browser
    with lab(tmp_path_factory, theme, SETUP, EDITOR, SCORED, FORM, 'from IPython.display import display'+COMPARED) as rig:
        rig.open().run_all()
        assert not rig.errors()
        rig.page.evaluate(axe)
        found = {}
        def look(state, sel):
            rig.page.wait_for_timeout(500)
            found[state] = rig.page.evaluate(RUN_AXE, sel)
        editor, scored = (rig.page.locator('.segmask-box').nth(i) for i in (0, 1))
        scored.get_by_role('button', name='loss', exact=True).click()
        scored.get_by_role('button', name='score rows').click()
        prints(rig, 'bool((s.state.scoring.means>0).all())', 'True')
        for what in ('flag row', 'duplicate row'): editor.get_by_role('button', name=what).click()
        editor.get_by_label('second boundary mode', exact=True).select_option('segment')
        editor.get_by_label('search', exact=True).fill('e')
        rig.until(lambda: editor.locator('.sm-other [data-i]').count()>0)
        drag(rig, editor, 3, 5)
        look('losses, flags, a second mode, hits, a selection', '.segmask-box')
        editor.get_by_role('button', name='plain text').click()
        rig.kernel('e.command("jump", row=1); e.command("remove"); s.state.check(); s.draw(); e.say("a note", "error", [["reload", "again"]])')
        scored.get_by_role('button', name='filters').click()
        look('plain text, a removed row, filters, an error', '.segmask-box')
        form = rig.page.locator('.segmask-form')
        for i in range(form.get_by_role('tab').count()):
            form.get_by_role('tab').nth(i).click()
            look(f'the form: {form.get_by_role("tab").nth(i).inner_text()}', '.segmask-form')
        look('static views', '.jp-Cell:last-of-type .jp-OutputArea-output')
        rig.kernel("from segmask.widgets.page import write_page\nwrite_page(rows, 'page.html', enc)")
        page = rig.copy.parent/'page.html'
        with Browser(color_scheme=theme) as b:
            b.page.goto(f'file://{page}')
            b.page.locator('[data-i]').first.wait_for()
            b.page.get_by_label('search', exact=True).fill('e')
            b.page.evaluate(axe)
            found['a page'] = b.page.evaluate(RUN_AXE, 'html')
        print(theme, {k: len(v) for k,v in found.items()})
        assert not any(found.values()), {k: v for k,v in found.items() if v}

CONTRAST = """sel => {
    const f = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
    const lum = ([r, g, b]) => .2126*f(r) + .7152*f(g) + .0722*f(b);
    const cv = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = c => { cv.clearRect(0, 0, 1, 1); cv.fillStyle = '#000'; cv.fillStyle = c; cv.fillRect(0, 0, 1, 1);
        const d = [...cv.getImageData(0, 0, 1, 1).data]; return [d[0], d[1], d[2], d[3] / 255]; };
    const over = (t, u) => [0, 1, 2].map(i => t[i] * t[3] + u[i] * (1 - t[3]));
    const one = o => {
        const chain = []; let alpha = 1, bg = [255, 255, 255];
        for (let n = o; n; n = n.parentElement) chain.unshift(n);
        for (const n of chain) { const s = getComputedStyle(n); bg = over(rgba(s.backgroundColor), bg); alpha *= +s.opacity; }
        const c = rgba(getComputedStyle(o).color); c[3] *= alpha;
        const [a, b] = [lum(over(c, bg)), lum(bg)].sort((x, y) => y - x);
        return [(a + .05) / (b + .05), o.className + ': ' + o.textContent.slice(0, 30)]; };
    const seen = [...document.querySelectorAll(sel)].filter(o => o.textContent.trim() && o.offsetParent);
    return seen.map(one).sort((x, y) => x[0] - y[0])[0]; }"""
TEXT = ('.sm-t', '.sm-m', '.sm-sel', '.sm-hit', '.sm-info', '.sm-hint', '.sm-line span', '.sm-box button:enabled', '.sm-how',
        '.sm-python', '.jp-OutputArea-output ins', '.jp-OutputArea-output pre span', '.jp-OutputArea-output small',
        '.jp-OutputArea-output mark')
VIEWS = """from segmask import diff, style_tokens, show_batch, shifted_table, token_table
from IPython.display import display
x = enc(rows[0])
for o in (show_tokens(x), diff(Encoder(tok)(rows[0]), x), style_tokens(x), shifted_table(x)): display(o)"""

@pytest.mark.parametrize('theme', ['light', 'dark'])
def test_contrast(tmp_path_factory, theme):
    "Text on what is behind it, at least 4.5; trained and masked differ for colour-blind readers and without colours"
    with lab(tmp_path_factory, theme, SETUP, EDITOR, VIEWS) as rig:
        rig.open().run_all()
        box = rig.page.locator('.segmask-box').nth(0)
        rig.kernel("e.query = Query('farewell')")
        rig.until(lambda: box.locator('.sm-hit').count()>0)
        drag(rig, box, 3, 4)
        rig.until(lambda: box.locator('.sm-sel').count(), 2)
        box.get_by_role('button', name='Python').click()
        rig.until(lambda: 'Edits(' in box.inner_text())
        found = {sel: rig.page.evaluate(CONTRAST, sel) for sel in TEXT}
        print(theme, {k: round(v[0], 2) for k,v in found.items() if v})
        assert not {k:v for k,v in found.items() if v and v[0]<4.5}
        assert all(found[o] for o in TEXT[:10]) and found['.jp-OutputArea-output ins']
        line = "s => [...new Set(s.map(o => getComputedStyle(o).textDecorationStyle))]"
        assert rig.page.locator('.sm-tokens .sm-t').evaluate_all(line)==['solid']
        assert rig.page.locator('.sm-tokens .sm-m').evaluate_all(line)==['dotted']
        distances(rig, box)
        rig.page.emulate_media(forced_colors='active')
        below = 'o => getComputedStyle(o).borderBottomStyle'
        assert [rig.page.locator(o).first.evaluate(below) for o in ('.sm-t', '.sm-m')]==['solid', 'dotted']

ROWS_OF_PIXELS = """async url => {
    const i = new Image(); i.src = url; await i.decode();
    const c = document.createElement('canvas'); c.width = i.width; c.height = i.height;
    const x = c.getContext('2d'); x.drawImage(i, 0, 0);
    const d = x.getImageData(0, 0, i.width, i.height).data, n = i.width, rows = [];
    for (let y = 0; y < i.height; y++) {
        const s = [0, 0, 0];
        for (let k = 0; k < n; k++) for (let j = 0; j < 3; j++) s[j] += d[4 * (y * n + k) + j] / n;
        rows.push(s); }
    return rows; }"""

def distances(rig, box):
    "With each kind of colour blindness emulated, the line below a trained token differs from that below a masked one"
    import base64
    cdp = rig.ctx.new_cdp_session(rig.page)
    rig.kernel('e.query = Query()')
    rig.page.keyboard.press('Escape')
    rig.until(lambda: box.locator('.sm-hit').count(), 0)
    box.locator('.sm-view').scroll_into_view_if_needed()
    rig.page.mouse.move(0, 0)
    bare = '.sm-t, .sm-m { color: transparent !important; }' # lines and backgrounds alone, not the shapes of words
    rig.page.add_style_tag(content=bare)
    for kind in ('none', 'protanopia', 'deuteranopia', 'tritanopia', 'achromatopsia'):
        cdp.send('Emulation.setEmulatedVisionDeficiency', {'type': kind})
        rig.page.wait_for_timeout(150)
        colors = []
        for i in (4, 8): # 'there' is trained, 'goodbye' masked
            b = box.locator(f'[data-i="{i}"]').bounding_box()
            clip = dict(x=b['x']+2, y=b['y'], width=b['width']-4, height=b['height']+6)
            png = base64.b64encode(rig.page.screenshot(clip=clip)).decode()
            colors.append(rig.page.evaluate(ROWS_OF_PIXELS, 'data:image/png;base64,'+png))
        far = max(sum((p-q)**2 for p,q in zip(a, b))**.5 for a,b in zip(*colors)) # where they differ most
        print(f'{kind}: trained and masked differ by {far:.0f}')
        assert far>25, (kind, far)
    cdp.send('Emulation.setEmulatedVisionDeficiency', {'type': 'none'})

LONG = """
long = Encoder(tok)(masked('<s>' + 'A long question about many things. '*1000) + trained('A long answer that says little. '*3571 + '</s>'))
print(len(long.input_ids))
show_tokens(long)
"""
LIVE = """
write_jsonl([long.row, long.row + masked('more')], 'long.jsonl')
e = edit('long.jsonl', Encoder(tok))
e
"""
LAYOUT = """() => new Promise(done => { const pre = document.querySelector('.sm-tokens'), all = [...pre.childNodes];
    pre.replaceChildren(); pre.getBoundingClientRect(); const t = performance.now(); pre.replaceChildren(...all);
    pre.getBoundingClientRect(); requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - t))); })"""
CPU = """
import time
def cpu(name, **more):
    t = time.thread_time()
    e.command(name, **more)
    return time.thread_time()-t
span = {'n': 0, 'from': 60, 'to': 70}
some = dict(back=cpu('go', by=-1), next=cpu('go', by=1),  mark=cpu('train', **span), undo=cpu('undo'))
print(json.dumps({k: round(1000*v) for k,v in some.items()}))"""
DRAWING = 'ScriptDuration', 'LayoutDuration', 'RecalcStyleDuration'

def test_32000_tokens(tmp_path_factory, tmp_path):
    "Milliseconds of a processor, as the machine may have other things to do: Python 300, drawing 100"
    with lab(tmp_path_factory, 'light', SETUP, LONG, LIVE) as rig:
        rig.open().run_all()
        n = next(int(o) for o in rig.output_text().split() if o.isdigit())
        assert 31_500<n<32_500
        live = rig.page.evaluate(LAYOUT)
        box = rig.page.locator('.segmask-box').nth(0)
        rig.until(lambda: box.locator('[data-i]').count()>31_500) # the rest is written while nobody waits
        cdp = rig.ctx.new_cdp_session(rig.page)
        cdp.send('Performance.enable', {'timeDomain': 'threadTicks'})
        spent = lambda: sum(o['value'] for o in cdp.send('Performance.getMetrics')['metrics'] if o['name'] in DRAWING)
        def key(name, seen):
            rig.page.wait_for_timeout(2500) # what was put off is done
            before, t = spent(), time.time()
            rig.page.keyboard.press(name)
            rig.page.wait_for_function(seen, timeout=60_000)
            rig.page.wait_for_timeout(100)
            return round(1000*(spent()-before)), round(time.time()-t, 2)
        drag(rig, box, 3, 5)
        rig.until(lambda: rig.kernel('print(e.state.selection is not None)'), 'True')
        third = """() => document.querySelector('.sm-tokens [data-i="3"]').className.includes("sm-t ")"""
        drawn = dict(mark=key('t', third), undo=key('u', third.replace('=> ', '=> !')),
                     next=key('j', "() => document.querySelector('.sm-where').textContent.includes('row 1 ')"))
        python = json.loads(rig.kernel(CPU))
        rig.kernel('e.command("rest")')
        rig.save(tmp_path/'long.ipynb')
        nb = json.loads((tmp_path/'long.ipynb').read_text())
        sizes = [len(json.dumps(c['outputs'], ensure_ascii=False).encode()) for c in nb['cells']]
        print(f'{n:,} tokens: laid out in {live:.0f} ms; milliseconds of drawing, and seconds until it is seen: {drawn}; '
              f'milliseconds of Python: {python}; outputs of the static cell {sizes[1]:,} bytes, of the editor {sizes[2]:,}')
        assert sizes[1]<300_000 and sizes[2]<300_000
        assert max(o for o,_ in drawn.values())<=100 and max(python.values())<=300
        assert not rig.errors()

@pytest.mark.parametrize('app', APPS)
def test_opening_without_a_kernel(tmp_path_factory, tmp_path, app):
    "What is saved shows the mask to somebody who runs nothing, trusted or not, and with every style stripped"
    from rig import LabRig
    need(app)
    with lab(tmp_path_factory, 'light', SETUP, EDITOR, 'show_tokens(enc(rows[0]))', app=app) as rig:
        rig.open().run_all()
        shown = rig.page.locator('[class^=sm-picture]')
        assert shown.count()==1 and not shown.is_visible() # the widget is there
        rig.save(tmp_path/'saved.ipynb')
    outputs = [o for c in json.loads((tmp_path/'saved.ipynb').read_text())['cells'] for o in c['outputs']]
    plain = [''.join(o['data'].get('text/plain', '')) for o in outputs if 'application/vnd.jupyter.widget-view+json' in o.get('data', {})]
    assert plain and plain[0]=='rows.jsonl: run this cell to work with it'
    with LabRig(tmp_path/'saved.ipynb', keep_outputs=True, timeout=120, app=app) as rig:
        rig.open().wait_idle()
        page = rig.page
        assert page.locator('.jp-OutputArea-output ins').count()>10
        assert page.evaluate('() => document.querySelectorAll(".jp-OutputArea-output script").length')==0
        kept = page.locator('.jp-OutputArea-output pre', has_text='goodbye').first
        assert kept.is_visible() and 'trailing-space' in rig.output_text() # without a click
        below = 'o => getComputedStyle(o).borderBottomStyle'
        assert [kept.locator(o).first.evaluate(below) for o in ('ins', 'span')]==['solid', 'dotted'] # untrusted, and told apart
        page.evaluate("() => document.querySelectorAll('.jp-OutputArea-output [style]').forEach(o => o.removeAttribute('style'))")
        line = 'o => getComputedStyle(o).textDecorationLine'
        assert 'underline' in kept.locator('ins').first.evaluate(line) # <ins> alone tells it
        assert 'underline' not in kept.locator('span').first.evaluate(line)

PAYLOADS = """
import sys; sys.path.insert(0, {tests!r})
from payloads import ALL
from IPython.display import HTML, display
from segmask import diff, show_batch, style_tokens, token_table
odd = load_tokenizer('mistralai/Mistral-7B-v0.1'); odd.add_tokens([p for p in ALL if p.strip() and len(p) < 200])
rows = [masked(p) + trained(p + '.') for p in ALL]
write_jsonl(rows, 'rows.jsonl')
for t in (tok, odd):
    en = Encoder(t)
    for p, r in zip(ALL, rows):
        x = en(r)
        batch = dict(input_ids=[x.input_ids], labels=[x.labels])
        views = [show_tokens(x), diff(x, en(trained(p)), names=(p[:80], 'b')), show_batch(batch, t)]
        if t is odd and len(x.input_ids) < 60: views += [token_table(x), style_tokens(x)]
        display(HTML(''.join(v._repr_html_() for v in views)))
"""
ALL_ROWS = "e = edit('rows.jsonl', Encoder(odd))\ne"
BAD = """() => [window.__pwn ?? null, document.querySelectorAll('mjx-container').length,
    [...document.querySelectorAll(`.jp-OutputArea-output :is(img, script, iframe, svg, object, embed, form, h1, marquee, math,
        video, base, meta, link)`)].filter(o => !(o.tagName === 'IMG' && o.src.startsWith('data:'))).length]"""
WIDE = """() => Math.max(...[...document.querySelectorAll('.jp-OutputArea-output pre')].map(o => o.scrollWidth - o.clientWidth))"""

def test_every_payload_in_the_browser(tmp_path_factory):
    with lab(tmp_path_factory, 'light', SETUP, PAYLOADS.format(tests=str(Path(__file__).parents[1])), ALL_ROWS) as rig:
        rig.open().run_all()
        assert not rig.errors()
        assert rig.page.evaluate(BAD)==[None, 0, 0]
        assert rig.page.evaluate(WIDE)<=1, 'no text is wider than its place'
        n, box = int(rig.kernel('print(len(rows))')), rig.page.locator('.segmask-box').nth(0)
        for i in range(n):
            rig.kernel(f'e.command("jump", row={i})')
            if i%5==0: box.get_by_role('button', name='plain text').click()
        box.get_by_label('search', exact=True).fill('<img src=x onerror=window.__pwn=1> $x$')
        rig.kernel('e.command("python"); e.command("rest")')
        rig.page.wait_for_timeout(1500)
        assert rig.page.evaluate(BAD)==[None, 0, 0] and not rig.page_errors
        print(n, 'payloads')

SCORED = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tok), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
x = enc(rows[0])
for _ in range(30): # so that some tokens are likely, and others are not
    model(input_ids=torch.tensor([x.input_ids]), labels=torch.tensor([x.labels])).loss.backward(), optimizer.step(), optimizer.zero_grad()
s = edit('rows.jsonl', enc, model=model)
s"""

def test_losses(tmp_path_factory):
    "A model's loss on each token, in the text and in the list, in strengths that everybody can tell"
    import base64
    from rig import Browser
    with lab(tmp_path_factory, 'light', SETUP, EDITOR, SCORED) as rig:
        rig.open().run_all()
        assert not rig.errors()
        box = rig.page.locator('.segmask-box').nth(1)
        box.get_by_role('button', name='loss', exact=True).click()
        rig.until(lambda: box.locator('.sm-l8').count()>0)
        levels = "[min(8, round(v)) if v==v else 0 for v in s.state.scoring.of(0, s.state.encoded).round(2).tolist()]"
        seen = box.locator('[data-i]').evaluate_all("all => all.map(o => +o.className.match(/sm-l(\\d)/)[1])")
        assert json.loads(rig.kernel(f'print(json.dumps({levels}))'))==seen and 0 in seen[1:]
        says(rig, box, 'mean loss: trained')
        box.locator('[data-i="9"]').hover()
        rig.until(lambda: ' · loss ' in box.locator('.sm-info').inner_text())
        drag(rig, box, 3, 4)
        rig.page.keyboard.press('m') # a mark keeps the losses
        rig.until(lambda: rig.kernel('print(s.state.dirty)'), '[0]')
        rig.until(lambda: box.locator('.sm-l8').count()>0 and states(box)[3:5]==[False, False])
        rig.page.keyboard.press('u')
        box.get_by_role('button', name='score rows').click()
        rig.until(lambda: rig.kernel('print(bool((s.state.scoring.means>0).all()))'), 'True')
        box.get_by_role('button', name='sort by mean loss').click()
        prints(rig, 's.view["sort"], int(s.rows[0]) == int(s.state.scoring.means.argmin())', "loss True")
        rig.until(lambda: ' 0.' in box.locator('.sm-line').first.inner_text().replace('\n', ' '))
        rig.kernel("from segmask.widgets.page import write_page\nwrite_page(s.state, 'losses.html')")
        with Browser() as b: # a page brings them along
            b.page.goto(f'file://{rig.copy.parent}/losses.html')
            b.page.get_by_role('button', name='loss', exact=True).click()
            b.page.locator('.sm-l8').first.wait_for()
            assert 'mean loss: trained' in b.page.locator('.sm-where').inner_text() and not b.page_errors
        low, high = (next(i for i in range(1, len(seen)) if seen[i]==k and len(box.locator(f'[data-i="{i}"]').inner_text())>2) for k in (0, 8))
        cdp = rig.ctx.new_cdp_session(rig.page)
        rig.kernel('s.command("jump", row=0)')
        rig.until(lambda: box.locator('.sm-l8').count()>0)
        rig.page.mouse.move(0, 0)
        rig.page.add_style_tag(content='.sm-t, .sm-m { color: transparent !important; }')
        for kind in ('none', 'protanopia', 'deuteranopia', 'tritanopia', 'achromatopsia'):
            cdp.send('Emulation.setEmulatedVisionDeficiency', {'type': kind})
            rig.page.wait_for_timeout(150)
            colors = []
            for i in (low, high):
                b = box.locator(f'[data-i="{i}"]').bounding_box()
                png = rig.page.screenshot(clip=dict(x=b['x']+3, y=b['y']+2, width=6, height=b['height']-6))
                colors.append(rig.page.evaluate(ROWS_OF_PIXELS, 'data:image/png;base64,'+base64.b64encode(png).decode())[3])
            far = sum((p-q)**2 for p,q in zip(*colors))**.5
            print(f'{kind}: a likely and an unlikely token differ by {far:.0f}')
            assert far>25, (kind, far)
