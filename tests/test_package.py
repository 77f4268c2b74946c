"The package as a whole"
import subprocess, sys
from pathlib import Path

import pytest

root = Path(__file__).parents[1]

def run(code: str) -> str: return subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout

def test_import_is_light():
    heavy = 'torch transformers tokenizers datasets pandas ipywidgets matplotlib pyarrow pydantic yaml numpy'.split()
    assert run(f'import sys, segmask; print([o for o in {heavy} if o in sys.modules])') == '[]\n'

def test_star_import_needs_no_torch():
    run("import sys; sys.modules['torch'] = None\nfrom segmask import *\nassert masked('a')+trained('b')")

def test_public_names_are_what_their_modules_export():
    import segmask
    from importlib import import_module
    for name,module in segmask._module_of.items(): assert getattr(segmask, name) is getattr(import_module(f'segmask.{module}'), name)
    with pytest.raises(AttributeError): segmask.nothing

def test_no_module_bears_the_name_of_a_public_function():
    import segmask
    assert not {o.stem for o in (root/'segmask').glob('*.py')} & set(segmask.__all__)

def test_the_version_has_its_changes():
    import segmask
    assert f'## {segmask.__version__}' in (root/'CHANGELOG.md').read_text()

def test_loading_the_embedded_tokenizer_needs_no_torch():
    run("import sys\nfrom segmask import load_tokenizer\nload_tokenizer('mistralai/Mistral-7B-v0.1')\nassert 'torch' not in sys.modules")
