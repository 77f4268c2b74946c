"Messages, docstrings, pages and lessons are written in plain words"
import json, re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# said once, and better said otherwise
AVOIDED = '''
    segmask does nothing of the kind | with these weights gives the same scores | moved no other | would train otherwise
    knows the mode segment only | nothing to say | is looked at as the tokens | only an Encoded knows | against the bound
    surely does better | says little about masking | both in axolotl's words | lies where axolotl would | better where you ask for better
    its author thinks | believes in something | that is whole
'''
AVOIDED = [o.strip() for l in AVOIDED.strip().splitlines() for o in l.split('|')]

def texts():
    for p in [*(ROOT/'segmask').rglob('*.py'), *(ROOT/'segmask').rglob('*.js'), ROOT/'README.md', ROOT/'CONTRIBUTING.md']:
        yield str(p.relative_to(ROOT)), p.read_text()
    for p in (ROOT/'nbs').rglob('*.ipynb'):
        if '.ipynb_checkpoints' in p.parts: continue
        for i,c in enumerate(json.loads(p.read_text())['cells']): yield f'{p.relative_to(ROOT)} cell {i}', json.dumps(c, ensure_ascii=False)

TEXTS = dict(texts())

@pytest.mark.parametrize('words', AVOIDED)
def test_words_that_are_avoided(words): assert [k for k,v in TEXTS.items() if words in v] == []

def test_lessons_show_what_is_printed():
    lessons = {k: json.loads(v) for k,v in TEXTS.items() if k.startswith(('nbs/tutorials/', 'nbs/index'))}
    shown = {k: ''.join(c['source']) for k,c in lessons.items() if c['cell_type']=='code'}
    assert [k for k,s in shown.items() if re.search('redirect_stderr|quietly', s)] == []

def test_the_figures_of_the_readme_have_a_source():
    said = TEXTS['README.md']
    threads = re.findall(r'^ *@bug\(', '\n'.join(v for k,v in cells('nbs/tutorials/other_peoples_bugs.ipynb')), re.M)
    assert f'[{len(threads)} public bugs]' in said
    pythons = re.search(r"python: \[(.*?)\]", (ROOT/'.github/workflows/test.yml').read_text())[1].replace("'", '').split(', ')
    assert f'Python {pythons[0]} to {pythons[-1]}' in said
    assert set(re.findall(r'axolotl (\d[\d.]*\d)', said))==set(re.findall(r'axolotl (\d[\d.]*\d)', (ROOT/'tests/goldens.py').read_text()))
    # anything else that is counted would need a line above
    prose = re.sub(r'```.*?```|`[^`]*`|\]\([^)]*\)', '', said, flags=re.S)
    assert set(re.findall(r'\d[\d.,]*', prose)) <= {'0', '1', str(len(threads)), '0.19', '2.0.', '2.0'}

def cells(path): return [(k, ''.join(json.loads(v)['source'])) for k,v in TEXTS.items() if k.startswith(path)]
