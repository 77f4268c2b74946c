"Notebooks that the browser tests open"
import importlib.util, json, os
from pathlib import Path

import pytest

root = Path(__file__).parents[2]

SETUP = '''
import os, json, sys
from pathlib import Path
import segmask as sm
from segmask import Encoder, browse, edit, load_tokenizer, masked, trained, write_jsonl, show_tokens
from segmask.widgets.query import Query
from segmask.widgets.state import Edits
tok = load_tokenizer('mistralai/Mistral-7B-v0.1')
enc = Encoder(tok, 'prompt')
rows = [trained('<s>Hello\\n') + trained('hi there!. ') + masked('goodbye ') + trained('farewell</s>'),
        masked('<s>Q: Ann has 3 boxes of 4 pens.\\nA:') + trained(' She has 3*4=<<3*4=12>>12 pens.</s>'),
        masked('<s>Q: Half of 50?\\nA:') + trained(' 50/2=<<50/2=25>>25</s>')] + [masked(f'<s>Q: {i}+{i}?\\nA:') + trained(f' {2*i}</s>') for i in range(40)]
'''
EDITOR = '''
def fresh():
    Path('rows.jsonl').unlink(missing_ok=True)
    for o in [*Path('.').glob('rows.jsonl.bak*'), *Path('.').glob('.rows.jsonl.draft*')]: o.unlink()
    write_jsonl(rows, 'rows.jsonl')
    return Edits('rows.jsonl', enc)
fresh()
e = edit('rows.jsonl', enc)
e
'''
BROWSER = '''
b = browse(rows + [masked('<s>nothing</s>')], enc)
b
'''

APPS = ['jupyterlab', 'notebook']
def need(app: str):
    "JupyterLab, or Notebook 7"
    if importlib.util.find_spec(app) is None: pytest.skip(f'this machine has no {app}')

def notebook(path: Path, *cells: str) -> Path:
    cell = lambda s: dict(cell_type='code', id=f'c{abs(hash(s))%10**8}', metadata={}, source=s.strip(), execution_count=None, outputs=[])
    path.write_text(json.dumps(dict(cells=[cell(s) for s in cells], metadata={}, nbformat=4, nbformat_minor=5)))
    return path

def lab(tmp_path_factory, theme, *cells, name='test.ipynb', **kw):
    from rig import LabRig
    os.environ.update(PYTHONPATH=os.pathsep.join([str(root), os.environ.get('PYTHONPATH', '')]), HF_HUB_OFFLINE='1', TOKENIZERS_PARALLELISM='false')
    folder = tmp_path_factory.mktemp('lab')
    return LabRig(notebook(folder/name, *cells), theme=theme, timeout=120, **kw)
