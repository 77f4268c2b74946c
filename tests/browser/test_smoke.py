"The three that matter most, in every test run: drag to mask, save with a backup, hostile text"
import json

def states(box): return box.locator('[data-i]').evaluate_all("s => s.map(o => o.classList.contains('sm-t'))")
def labels(rig): return json.loads(rig.kernel("print(json.dumps([l != -100 for l in e.state.encoded['labels']]))"))

def drag(rig, box, a, b):
    "Press on token a, move to token b, let go"
    box.scroll_into_view_if_needed()
    token = lambda i: box.locator(f'[data-i="{i}"]').first # a second boundary mode may stand beside
    token(a).scroll_into_view_if_needed()
    at = [token(i).bounding_box() for i in (a, b)]
    x, y = ((o['x']+o['width']/2, o['y']+o['height']/2) for o in at)
    m = rig.page.mouse
    m.move(*x), m.down(), m.move((x[0]+y[0])/2, (x[1]+y[1])/2), m.move(*y), m.up()

def test_drag_to_mask(light, editor):
    assert states(editor)==labels(light)
    drag(light, editor, 3, 5)
    light.until(lambda: light.kernel('print(e.state.selection)'), '(9, 18)')
    assert editor.locator('.sm-sel').count()==3
    light.page.keyboard.press('m')
    light.until(lambda: light.kernel('print(e.state.dirty)'), '[0]')
    light.until(lambda: states(editor)==labels(light))
    assert states(editor)[3:6]==[False]*3 and '1 row not saved' in editor.inner_text()
    drag(light, editor, 4, 4)
    light.page.keyboard.press('t')
    light.until(lambda: states(editor)[4])
    assert light.kernel("print(e.state[0].text == rows[0].text)")=='True'

REPEAT = """
before, after, code = Path('rows.jsonl.bak').read_bytes(), Path('rows.jsonl').read_bytes(), e.python()
Path('rows.jsonl').write_bytes(before)
keep, e0 = e, None
exec(code.replace("Edits('rows.jsonl')", "Edits('rows.jsonl', enc)"), ns := dict(globals()))
print(Path('rows.jsonl').read_bytes() == after)"""

def test_save_keeps_a_backup(light, editor):
    before = light.kernel("print(hash(Path('rows.jsonl').read_bytes()))")
    editor.locator('.sm-seg').nth(2).click() # the first of two clicks
    light.until(lambda: light.kernel('print(e.state.dirty)'), '[0]')
    assert light.kernel("print([o.name for o in Path('.').glob('.rows*')])")=="['.rows.jsonl.draft']"
    editor.get_by_role('button', name='save', exact=True).click() # the second
    light.until(lambda: 'the original is rows.jsonl.bak' in editor.inner_text())
    assert '1 row changed' in editor.inner_text() and light.kernel("print(*Path('.').glob('.rows*'))")==''
    assert light.kernel("print(hash(Path('rows.jsonl.bak').read_bytes()))")==before
    saved = "print(sm.read_jsonl('rows.jsonl')[0][2].label, len(sm.read_jsonl('rows.jsonl')))"
    assert light.kernel(saved)=='True 43'
    assert light.kernel(REPEAT)=='True' # the Python that it hands out makes the same file

HOSTILE = """
bad = masked('<img src=x onerror="window.__pwn=1"><script>window.__pwn=1</script> $x^2$ ') + trained('\\x1b[31m \\u202e </pre><svg onload=window.__pwn=1> \\\\(y\\\\)')
write_jsonl([bad], '<b>$z$.jsonl')
keep, e.state = e.state, Edits('<b>$z$.jsonl', enc)
e.draw()"""

def test_hostile_text_is_text(light, editor):
    light.kernel(HOSTILE)
    light.until(lambda: '<b>$z$.jsonl' in editor.inner_text())
    editor.get_by_role('button', name='plain text').click()
    editor.locator('.sm-text').wait_for()
    light.page.keyboard.press('w')
    editor.locator('.sm-tokens').wait_for()
    light.page.wait_for_timeout(300)
    assert '<img' in editor.locator('.sm-tokens').inner_text()
    assert light.page.evaluate('() => window.__pwn') is None
    assert light.page.locator('mjx-container').count()==0 and editor.locator('img, script, svg').count()==0
    light.kernel('e.state = keep; e.draw()')
