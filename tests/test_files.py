"Files: never half written, never readable by more people than before, never somebody else's change lost"
import json, os, subprocess, sys, time

import pytest

from segmask import SegmentError, masked, read_jsonl, trained, write_jsonl
from segmask import files
from segmask.files import keep_copy, line_of, rewrite_lines, stamp, write_beside

ROWS = [masked(f'Q{i}') + trained(f'A{i}', weight=.5, role='assistant', turn=1) for i in range(5)]

@pytest.fixture
def file(tmp_path):
    write_jsonl(ROWS, tmp_path/'rows.jsonl')
    return tmp_path/'rows.jsonl'

def leftovers(path): return [o.name for o in path.parent.iterdir() if o.name.endswith('.tmp')]

@pytest.mark.parametrize('mode', [0o600, 0o640, 0o644])
def test_a_copy_is_readable_by_nobody_else(file, mode):
    os.chmod(file, mode)
    copy = keep_copy(file)
    assert copy.stat().st_mode & 0o777==mode and copy.read_bytes()==file.read_bytes()
    rewrite_lines(file, {1: None})
    assert file.stat().st_mode & 0o777==mode

@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid()!=0, reason='only root may give files away')
def test_the_owner_stays(file):
    os.chown(file, 1234, 5678)
    rewrite_lines(file, {1: line_of(ROWS[0].to_dict())})
    assert [(o.stat().st_uid, o.stat().st_gid) for o in (file, keep_copy(file))]==[(1234, 5678)]*2

def test_a_full_disk_leaves_nothing_behind(file):
    code = f'''import resource, signal
from segmask.files import write_beside
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with write_beside({str(file)!r}) as f: f.write(b'x'*5000)'''
    before = file.read_bytes()
    made = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert made.returncode and 'File too large' in made.stderr
    assert file.read_bytes()==before and leftovers(file)==[]

def test_a_killed_writer_is_cleaned_up_after(file):
    code = f'''import os
from segmask.files import write_beside
with write_beside({str(file)!r}) as f:
    f.write(b'half')
    f.flush()
    os.kill(os.getpid(), 9)'''
    subprocess.run([sys.executable, '-c', code])
    left, = leftovers(file)
    write_jsonl(ROWS, file)
    assert leftovers(file)==[left] # it might still be written
    os.utime(file.parent/left, (time.time()-7200,)*2)
    write_jsonl(ROWS, file)
    assert leftovers(file)==[] and read_jsonl(file)==ROWS

def test_nobody_elses_change_is_lost(file):
    seen = stamp(file)
    rewrite_lines(file, {1: line_of(ROWS[1].to_dict())}, seen) # nothing happened
    theirs = file.read_bytes()
    for write in (lambda: rewrite_lines(file, {1: None}, seen), lambda: write_beside(file, seen).__enter__()):
        with pytest.raises(SegmentError, match='changed by something else') as e: write()
        assert e.value.problems[0].code=='changed-since'
    with pytest.raises(SegmentError, match='changed by something else'):
        with write_beside(file, stamp(file)) as f:
            f.write(b'ours')
            file.write_bytes(theirs+b'\n') # while we write
    assert file.read_bytes()==theirs+b'\n' and leftovers(file)==[]

def test_a_changed_line_keeps_its_line_break(tmp_path):
    f = tmp_path/'crlf.jsonl'
    f.write_bytes(b'1\r\n2\n3\r\n4')
    rewrite_lines(f, {1: b'one', 2: b'two', 3: None})
    assert f.read_bytes()==b'one\r\ntwo\n4'

def test_reading_takes_time_in_proportion(tmp_path):
    def seconds(size):
        f = tmp_path/'long.jsonl'
        f.write_bytes(json.dumps({'segments': [{'label': True, 'text': 'a'*size}]}).encode())
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            for _ in files._lines(f): pass
            best = min(best, time.process_time()-start)
        return best
    seconds(1_000_000)
    assert seconds(64_000_000) < 12*seconds(16_000_000)+.05

@pytest.mark.parametrize('line,what', [('['*100_000, 'nested too deeply'), ('{"a":'*100_000, 'nested too deeply'), ('{"segments": [], "n": '+'9'*5000+'}', 'thousands of digits'),
    ('{"segments": [{"label": '+'1'*400+', "text": "a"}]}', 'not a boolean'), ('{"segments": [{"label": {"a": 1}, "text": "a"}]}', 'is an object, not a boolean'), ('NaN', 'not an object')])
def test_bad_lines_are_told(tmp_path, line, what):
    (tmp_path/'rows.jsonl').write_text(line)
    with pytest.raises(SegmentError, match=what) as e: read_jsonl(tmp_path/'rows.jsonl')
    assert all(p.where.endswith('rows.jsonl:1') for p in e.value.problems) and len(str(e.value))<1000

def test_what_json_cannot_hold_leaves_the_old_file(file):
    deep: list = []
    for _ in range(100_000): deep = [deep]
    before = file.read_bytes()
    with pytest.raises(ValueError, match='nested too deeply'): write_jsonl([{'segments': [{'label': True, 'text': 'a'}], 'deep': deep}], file)
    assert file.read_bytes()==before and leftovers(file)==[]
    while deep: deep = deep.pop() # taken apart, for deleting it at once would recurse
