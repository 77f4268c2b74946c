"Addresses come from settings.ini: while it names nobody nothing links to the repository; else lessons, README and package do"
import json, re, shutil, subprocess, sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
OURS = r'github\.com/[\w.-]*/segmask|[\w.-]*\.github\.io|colab\.research\.google\.com' # a repository, a site, a badge

@pytest.fixture(scope='module')
def named(tmp_path_factory) -> Path:
    "A copy of the checkout that somebody owns"
    copy = tmp_path_factory.mktemp('copy')
    for o in ('nbs', 'tools', 'segmask'): shutil.copytree(HERE/o, copy/o, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints'))
    for o in ('settings.ini', 'setup.py', 'pyproject.toml', 'zensical.toml', 'AGENTS.md', 'CONTRIBUTING.md', 'README.md', 'LICENSE', 'output.jsonl'): shutil.copy(HERE/o, copy)
    (copy/'settings.ini').write_text(re.sub(r'(?m)^user =.*$', 'user = somebody', (HERE/'settings.ini').read_text()))
    write(copy)
    return copy

def write(folder): subprocess.run([sys.executable, 'tools/docs.py'], cwd=folder, check=True)
def cells(path): return [''.join(c['source']) for c in json.loads(path.read_text())['cells']]
def lessons(folder): return sorted((folder/'nbs/tutorials').glob('*.ipynb'))

def test_nobody_is_named_and_nothing_is_linked():
    settings = (HERE/'settings.ini').read_text()
    if not re.search(r'(?m)^user =\s*$', settings): pytest.skip('settings.ini names an owner')
    files = subprocess.run(['git', 'ls-files', '*.md', '*.ipynb', '*.py', '*.toml', '*.yml', '*.yaml'], cwd=HERE, check=True, capture_output=True, text=True)
    made = [o for o in files.stdout.split() if not o.startswith(('tests/', 'tools/'))]
    assert [o for o in made if (HERE/o).exists() and re.search(OURS, (HERE/o).read_text())]==[]

def test_every_lesson_has_one_badge_and_one_install_cell(named):
    for p in lessons(named):
        text = '\n'.join(cells(p))
        assert text.count(f'(https://colab.research.google.com/github/somebody/segmask/blob/main/nbs/tutorials/{p.name})')==1, p
        assert text.count('%pip install')==1 and '"segmask[train] @ git+https://github.com/somebody/segmask"' in text, p
        assert cells(p)[2].startswith('#| notest')
    before = [p.read_bytes() for p in lessons(named)]
    write(named)
    assert before==[p.read_bytes() for p in lessons(named)]

def test_readme_site_and_package(named):
    assert 'github.com/somebody/segmask/actions/workflows/test.yml/badge.svg' in (named/'README.md').read_text()
    assert 'blob/main/segmask/core.py)' in (named/'_md/core.md').read_text()
    assert 'https://somebody.github.io/segmask/core.md' in (named/'_md/llms.txt').read_text()
    (named/'out').mkdir()
    code = 'import setuptools.build_meta; setuptools.build_meta.prepare_metadata_for_build_wheel("out")'
    subprocess.run([sys.executable, '-c', code], cwd=named, check=True, capture_output=True)
    meta = next((named/'out').glob('*.dist-info/METADATA')).read_text()
    assert 'Project-URL: Repository, https://github.com/somebody/segmask' in meta
    links = re.findall(r'\]\(([^)]*)\)|(?:src|srcset)="([^"]*)"', meta)
    assert links and all(o.startswith('https://') for o in map(''.join, links))

def test_an_owner_can_be_taken_away(named, tmp_path):
    copy = shutil.copytree(named, tmp_path/'copy')
    shutil.copy(HERE/'settings.ini', copy)
    write(copy)
    if not re.search(r'(?m)^user =\s*$', (HERE/'settings.ini').read_text()): return
    assert [p.read_bytes() for p in lessons(copy)]==[p.read_bytes() for p in lessons(HERE)]
    assert (copy/'README.md').read_bytes()==(HERE/'README.md').read_bytes()

def test_llms_txt_leads_to_pages(named):
    names = re.findall(r'\]\(https://somebody.github.io/segmask/([^)]*)\)', (named/'_md/llms.txt').read_text())
    assert len(names)>90 and all((named/'_md'/o).exists() for o in names)
