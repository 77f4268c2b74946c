"Widgets without a browser: what a front end gets, what it may send, and the script that draws"
import json, shutil, subprocess, threading
from importlib.resources import files

import pytest

from segmask import Encoder, browse, edit, load_tokenizer, masked, write_jsonl

@pytest.fixture(scope='module')
def tok(): return load_tokenizer('mistralai/Mistral-7B-v0.1')

def test_a_key_brings_its_selection(tok, tmp_path):
    "What is selected travels with the key that acts on it"
    write_jsonl([masked('one two three four')], tmp_path/'rows.jsonl')
    e = edit(tmp_path/'rows.jsonl', Encoder(tok, 'joint'))
    e._handle_custom_msg({'do': 'train', 'n': 0, 'key': e.row['key'], 'first': 1, 'last': 2}, [])
    assert [o.text for o in e.state[0] if o.label]==[' two three'] and e.state.selection is None

def test_a_box_can_stand_in_a_box(tok):
    import ipywidgets as W
    b = browse([masked('a')], Encoder(tok))
    assert W.VBox([b]).children==(b,)

def test_what_a_front_end_sends_is_checked(tok, tmp_path):
    write_jsonl([masked('one two')], tmp_path/'rows.jsonl')
    e = edit(tmp_path/'rows.jsonl', Encoder(tok))
    e.hear({'do': 'mask', 'from': 0, 'to': 999})
    assert 'not in this row' in e.note['text']
    for odd in ({'do': 'nonsense'}, {'do': 'turn', 'segment': 'x'}, {'do': 'jump', 'row': None}, {'do': 'window', 'from': []}, [],
                None, {'do': 'mask', 'first': 10**9, 'last': -1}, {'do': 'query', 'query': {'within': 'x'}}, {'do': 'at'}):
        e._handle_custom_msg(odd, [])
    assert e.state.dirty==[] and e.row['n']==0

def test_a_failed_save_leaves_the_file(tok, tmp_path, monkeypatch):
    file = tmp_path/'rows.jsonl'
    write_jsonl([masked('one two')], file)
    e = edit(file, Encoder(tok))
    e.command('turn', segment=0)
    before = file.read_bytes()
    monkeypatch.setattr('os.replace', lambda *a: (_ for _ in ()).throw(OSError('disk full')))
    e.save()
    assert 'disk full' in e.note['text'] and file.read_bytes()==before and e.state.dirty==[0]
    monkeypatch.undo()
    e.save()
    assert e.note['kind']=='done' and file.read_bytes()!=before

def test_only_public_state_is_sent(tok):
    b = browse([masked('<b>')], Encoder(tok))
    state = b.get_state()
    assert json.loads(state['text'])['runs']==[['<b>', 0.0]] and '_esm' in state and json.dumps(state['lines'])

def test_rows_that_were_seen_are_those_that_change(tok, tmp_path):
    "A rule acts on the rows that were in view when it was written, or on none"
    write_jsonl([masked('one'), masked('two')], tmp_path/'rows.jsonl')
    e = edit(tmp_path/'rows.jsonl', Encoder(tok))
    e.command('query', query=dict(text='one'))
    seen = e.view['generation']
    e.command('query', query=dict(text=''))
    e.command('apply', rule=dict(find='o', label=True), generation=seen)
    assert 'changed meanwhile' in e.note['text'] and e.state.dirty==[]

def test_two_threads(tok, tmp_path):
    "Messages in one thread, cells in another: whatever is drawn belongs together"
    write_jsonl([masked(f'row {i} {"x"*(i%3)}') for i in range(60)], tmp_path/'rows.jsonl')
    e = edit(tmp_path/'rows.jsonl', Encoder(tok))
    want = {f'row {i}': [j for j in range(60) if f'row {i}' in f'row {j} '] for i in range(60)}
    wrong = []
    def clicks():
        for i in range(400):
            e.hear(dict(do='query', query=dict(text=f'row {i%60}')))
            e.hear(dict(do='go', by=1))
    def cells():
        for i in range(400):
            e.state.toggle(i%60, 0)
            query, rows = e.state.view
            if query.text and rows.tolist()!=want[query.text]: wrong.append((query, rows))
    threads = [threading.Thread(target=f) for f in (clicks, cells)]
    for t in threads: t.start()
    for t in threads: t.join()
    e.draw()
    assert not wrong and e.view['shown']==len(e.rows) and e.row['n']==e.state.row and len(e.state.steps)==400

def test_the_script_is_typed(tmp_path):
    "`tsc --checkJs` has nothing to say"
    if not shutil.which('npx'): pytest.skip('the script is not type-checked: this machine has no npx')
    (tmp_path/'segmask.js').write_text(files('segmask.widgets').joinpath('static/segmask.js').read_text(encoding='utf8'))
    tsc = ['npx', '--yes', '--package', 'typescript@5.9', 'tsc', '--noEmit', '--allowJs', '--checkJs', '--strict', '--target', 'es2022',
           '--lib', 'es2023,dom,dom.iterable', '--module', 'esnext', 'segmask.js']
    try: got = subprocess.run(tsc, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired: pytest.skip('the script is not type-checked: npm does not answer')
    if got.returncode and 'error TS' not in got.stdout: pytest.skip(f'the script is not type-checked: {got.stderr[-120:]!r}')
    assert got.stdout=='' and got.returncode==0
