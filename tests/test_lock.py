"segmask lock: what is trained, held to; and the action and hooks that check it, run as their users run them"
import json

import pytest
import yaml

from segmask.cli import main
from test_commands import MISTRAL, ROWS, run

CONFIG = dict(base_model=MISTRAL, datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=64, val_set_size=2)

def write(folder, rows, **more):
    (folder/'rows.jsonl').write_text('\n'.join(map(json.dumps, rows)) + '\n')
    (folder/'run.yaml').write_text(yaml.safe_dump({**CONFIG, **more}))

def edited(label=True, text=' 3', i=2):
    rows = json.loads(json.dumps(ROWS))
    rows[i]['segments'][1] = dict(label=label, text=f'{text}</s>')
    return rows

@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    "Runs `segmask lock` in this process, which is quicker; its output"
    monkeypatch.chdir(tmp_path)
    def lock(*argv, config='run.yaml', status=0):
        capsys.readouterr()
        assert main(['lock', config, *argv])==status
        out = capsys.readouterr()
        return out.err if status==2 else out.out
    return lock

@pytest.fixture
def check(said):
    return lambda status=1: json.loads(said('--check', '--json', status=status))

@pytest.fixture
def locked(tmp_path, said):
    write(tmp_path, ROWS)
    assert '4 rows locked' in said()
    return tmp_path

def test_nothing_changed(locked, check):
    assert check(0)==dict(same=True, order=False, causes=[], rows=[])
    assert (locked/'run.lock').read_text().splitlines()[-5:][0]=='# rows.jsonl'

def test_rows_are_named(locked, said, check):
    write(locked, edited(text=' 4'))
    found = check()
    assert found['rows']==[dict(where='rows.jsonl:3', what='other ids')] and found['causes']==['the data: rows.jsonl']
    write(locked, edited(label=False))
    assert check()['rows']==[dict(where='rows.jsonl:3', what='the same ids, another mask')]
    write(locked, [ROWS[0], ROWS[1], edited()[0] | {'note': 1}, *ROWS[2:]])
    assert [o['where'] for o in check()['rows']]==['rows.jsonl:3']
    write(locked, ROWS[1:])
    assert [(o['where'], o['what'][:17]) for o in check()['rows']]==[('rows.jsonl:1', 'no longer trained')]
    out = said('--check', status=1)
    assert 'rows.jsonl:1: no longer trained' in out and 'segmask lock run.yaml' in out
    said()
    assert check(0)['same']

def test_weights_count(locked, check):
    rows = edited()
    write(locked, [*rows[:2], {'segments': [ROWS[2]['segments'][0], dict(ROWS[2]['segments'][1], weight=.5)]}, rows[3]])
    assert check()['rows']==[dict(where='rows.jsonl:3', what='the same ids, another mask')]

def test_causes(locked, check, small_model):
    write(locked, ROWS, sequence_len=63)
    found = check(0) # another value, the same rows
    assert found['causes']==['sequence_len: 64 -> 63']
    write(locked, ROWS, seed=7, val_set_size=3)
    found = check()
    assert found['order'] and not found['rows'] and found['causes']==['val_set_size: 2 -> 3', 'seed: not set -> 7']
    write(locked, ROWS, base_model=small_model)
    found = check()
    assert len(found['rows'])==4 and 'the tokenizer' in found['causes']

def test_a_template(tmp_path, said, check):
    chat = [{'messages': [dict(role='user', content=f'{i}?'), dict(role='assistant', content='yes')]} for i in range(3)]
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    (tmp_path/'t.jinja').write_text(template)
    entry = dict(path='rows.jsonl', type='chat_template')
    write(tmp_path, chat, datasets=[entry], chat_template_jinja='t.jinja')
    said()
    (tmp_path/'t.jinja').write_text(template.replace(': ', '> '))
    found = check()
    assert len(found['rows'])==3 and found['causes']==['the chat template']

def test_the_lockfile_itself(locked, said):
    assert '`segmask lock other.yaml` writes it' in said('--check', config='other.yaml', status=2)
    (locked/'run.lock').write_text((locked/'run.lock').read_text().replace('\n# rows', '\n<<<<<<< mine\n# rows'))
    assert 'no lockfile' in said('--check', status=2)

def test_the_command(locked):
    write(locked, edited(text=' 4'))
    out = run('lock', 'run.yaml', '--check', cwd=locked, status=1).stdout
    assert '  rows.jsonl:3: other ids\n' in out and '1 row differs' in out and 'the data: rows.jsonl' in out
    run('lock', 'run.yaml', cwd=locked)
    run('lock', 'run.yaml', '--check', cwd=locked)

def test_it_does_not_depend_on_the_machine(locked, tmp_path_factory):
    "Another folder and another engine, the same bytes"
    other = tmp_path_factory.mktemp('clone')
    write(other, ROWS)
    run('preprocess', 'run.yaml', '--engine', 'raw', cwd=other)
    run('lock', 'run.yaml', cwd=other)
    assert (other/'run.lock').read_bytes()==(locked/'run.lock').read_bytes()

def test_annotations_and_many_configs(locked, said):
    assert '4 rows, all as locked' in said('--check', '--format', 'github')
    (locked/'other.yaml').write_text((locked/'run.yaml').read_text())
    said('other.yaml')
    assert said('other.yaml', '--check').count('all as locked')==2
    write(locked, [edited(text=' 4')[2], *edited(text=' 4')[1:]])
    out = said('--check', '--format', 'github', status=1).splitlines()
    notes = [o for o in out if o.startswith('::')]
    assert notes==['::error file=rows.jsonl,line=1,title=lock%2C other ids::not as locked: other ids (2 findings). Hint: if that is meant: segmask lock run.yaml']
    found = json.loads(said('other.yaml', '--check', '--format', 'json', status=1))
    assert [o['same'] for o in found]==[False, False]
    assert 'one config' in said('other.yaml', '--file', 'a.lock', status=2)
