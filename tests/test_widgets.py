"Widgets without a browser: what is there when anywidget is not, and what a front end gets"
import json, subprocess, sys

import pytest

from segmask import Encoder, browse, edit, load_tokenizer, masked, trained, write_jsonl

@pytest.fixture(scope='module')
def tok(): return load_tokenizer('mistralai/Mistral-7B-v0.1')

def test_without_anywidget_segments_still_turn(tmp_path):
    code = '''
import sys; sys.modules['anywidget'] = None
from segmask import Encoder, edit, load_tokenizer, masked, trained, write_jsonl
write_jsonl([masked('a b') + trained('<img src=x>')], 'rows.jsonl')
e = edit('rows.jsonl', Encoder(load_tokenizer('mistralai/Mistral-7B-v0.1')))
assert not e.view.live and '&lt;' in e.view.value and '<img' not in e.view.value
e.segments.children[0].value = True
assert e.state[0][0].label and e.state.dirty==[0]
e.open_filters(); e.lengths.value = e.lengths.options[1][1]
assert e.query.tokens!=(None, None)
e.save()
print('fine')'''
    assert subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.endswith('fine\n')

def test_a_key_brings_its_selection(tok, tmp_path):
    "The selection travels as a trait, keys as messages; a key that arrives first must not act on an older selection"
    write_jsonl([masked('one two three four')], tmp_path/'rows.jsonl')
    e = edit(tmp_path/'rows.jsonl', Encoder(tok, 'joint'))
    e.view._handle_custom_msg({'command':'train', 'sel':[1, 2]}, [])
    assert [o.text for o in e.state[0] if o.label]==[' two three'] and e.view.sel==[]

def test_a_box_can_stand_in_a_box(tok):
    import ipywidgets as W
    b = browse([masked('a')], Encoder(tok))
    assert W.VBox([b]).children==(b,)

def test_rows_given_by_a_front_end_are_checked(tok, tmp_path):
    write_jsonl([masked('one two')], tmp_path/'rows.jsonl')
    e = edit(tmp_path/'rows.jsonl', Encoder(tok))
    e.view.chars = [0, 999]
    e.command('mask')
    assert 'not in this row' in e.error.value
    e.view._handle_custom_msg({'command':'nonsense'}, [])
    e.view._handle_custom_msg({'command':'turn', 'sel':'x'}, [])
    assert e.state.dirty==[]

def test_a_failed_save_leaves_the_file(tok, tmp_path, monkeypatch):
    file = tmp_path/'rows.jsonl'
    write_jsonl([masked('one two')], file)
    e = edit(file, Encoder(tok))
    e.turn(0)
    before = file.read_bytes()
    monkeypatch.setattr('os.replace', lambda *a: (_ for _ in ()).throw(OSError('disk full')))
    e.save()
    assert 'disk full' in e.error.value and file.read_bytes()==before and e.state.dirty==[0]
    monkeypatch.undo()
    e.save()
    assert e.error.value=='' and file.read_bytes()!=before

def test_only_public_state_is_sent(tok):
    b = browse([masked('<b>')], Encoder(tok))
    state = b.view.get_state()
    assert json.dumps(state['row']) and '_esm' in state and state['row']['t'][0] in ('·<', '<', '·<b', '·<b>', '·')
