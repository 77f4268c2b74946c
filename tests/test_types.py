"Type checkers see what a user writes: typed_page.py has three mistakes, and they find these and nothing else"
import json, re, shutil, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT/'tests'/'typed_page.py'
MISTAKES = {i for i,l in enumerate(PAGE.read_text().splitlines(), 1) if '# mistake: ' in l}

def test_mypy_finds_them():
    said = subprocess.run([sys.executable, '-m', 'mypy', str(PAGE)], cwd=ROOT, capture_output=True, text=True).stdout
    found = re.findall(r'typed_page\.py:(\d+): error', said)
    assert len(MISTAKES)==3 and set(map(int, found))==MISTAKES, said

@pytest.mark.skipif(not (shutil.which('pyright') or shutil.which('basedpyright')), reason='pyright is not installed')
def test_pyright_finds_them(tmp_path):
    page = shutil.copy(PAGE, tmp_path)
    (tmp_path/'pyrightconfig.json').write_text(json.dumps({'extraPaths': [str(ROOT)], 'typeCheckingMode': 'standard'}))
    pyright = shutil.which('pyright') or shutil.which('basedpyright')
    run = subprocess.run([pyright, '--outputjson', '--level', 'error', '-p', str(tmp_path), '--pythonpath', sys.executable],
                         capture_output=True, text=True)
    found = {o['range']['start']['line']+1 for o in json.loads(run.stdout)['generalDiagnostics'] if o['file']==str(page)}
    assert found==MISTAKES, run.stdout
