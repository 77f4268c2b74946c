"Documented for those who never open the notebooks: what help() and an editor show of each public name"
import doctest, inspect, re, shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

import segmask

ROOT = Path(__file__).parents[1]

def functions(cls: type):
    "Public methods and properties that a class defines itself, or has from a base in segmask"
    for base in cls.__mro__:
        if not base.__module__.startswith('segmask'): continue
        for name,o in vars(base).items():
            if name.startswith('_') and name!='__call__': continue
            f = getattr(o, '__func__', getattr(o, 'func', getattr(o, 'fget', o)))
            if inspect.isfunction(f) and f.__module__.startswith('segmask'): yield f'{cls.__name__}.{name}', f

def public():
    for name in sorted(segmask._module_of):
        o = getattr(segmask, name)
        if not callable(o): continue
        yield name, o
        if inspect.isclass(o): yield from functions(o)

PUBLIC = dict(public())
ERRORS = [n for n,o in PUBLIC.items() if inspect.isclass(o) and issubclass(o, Exception)]
EXAMPLES = {n: found for n,o in PUBLIC.items() if (found := doctest.DocTestParser().get_examples(inspect.getdoc(o) or ''))}

def parameters(o) -> list[str]:
    if hasattr(o, 'model_fields'): return list(o.model_fields)
    return [p for p in inspect.signature(o).parameters if p not in ('self', 'cls')]

def missing(name: str, o) -> list[str]:
    doc = inspect.getdoc(o) or ''
    out = [] if doc else ['docstring']
    if name in ERRORS: return out # raised for the user; `Problems` describes what they hold
    out += [p for p in parameters(o) if not re.search(rf'^    \*{{0,2}}{p}( \([^:]*?\))?: \S', doc, re.M)]
    returns = getattr(o, '__annotations__', {}).get('return') if not inspect.isclass(o) else None
    if parameters(o) and returns not in (None, 'None') and not re.search(r'^Returns:\n    \S', doc, re.M): out.append('Returns')
    if '.' not in name and name not in EXAMPLES: out.append('Example')
    return out

def test_everything_public_is_described():
    assert {n: found for n,o in PUBLIC.items() if (found := missing(n, o))} == {}

def test_types_and_defaults_are_said():
    doc = inspect.getdoc(segmask.Encoder)
    assert "boundary (Boundary, default 'segment'): 'segment' (axolotl's `input_output`), 'prompt' or 'joint'" in doc
    assert 'learning_rate (float|None, default None): ' in inspect.getdoc(segmask.TrainingConfig)

# the examples run as they stand, beside the documentation's files and with these names

def fresh(folder: Path):
    shutil.copy(ROOT/'output.jsonl', folder)
    config = (ROOT/'training_config.yaml').read_text()
    (folder/'training_config.yaml').write_text(config.replace('num_epochs: 1', 'max_steps: 2'))

@pytest.fixture(scope='module')
def names(tmp_path_factory):
    torch = pytest.importorskip('torch')
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
    folder = tmp_path_factory.mktemp('examples')
    chat = '{"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]}\n'
    (folder/'chat.jsonl').write_text(chat)
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(StringIO()):
        patch.chdir(folder)
        patch.setenv('HF_HUB_OFFLINE', '1')
        fresh(folder)
        out = {n: getattr(segmask, n) for n in segmask._module_of}
        encoder = segmask.Encoder('mistralai/Mistral-7B-v0.1', boundary='prompt')
        row = segmask.masked('Q: 2+2? A:') + segmask.trained(' 4')
        torch.manual_seed(0)
        small = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
        model = LlamaForCausalLM(LlamaConfig(vocab_size=len(encoder.tokenizer), pad_token_id=2, **small))
        prepared = segmask.preprocess('training_config.yaml')
        trainer = Trainer(model, TrainingArguments('trainer', report_to=[]), segmask.SegmentCollator(encoder.tokenizer),
                          prepared.train, processing_class=encoder.tokenizer)
        yield out | dict(encoder=encoder, tokenizer=encoder.tokenizer, row=row, rows=[row]*3, model=model,
                         prepared=prepared, trainer=trainer)

SLOW = 'compare', 'Comparison' # minutes of training

@pytest.mark.parametrize('name', EXAMPLES)
def test_examples_run(name, names):
    names = dict(names)
    fresh(Path.cwd()) # one example changes a file
    for e in EXAMPLES[name]:
        code = compile(e.source, f'<help of {name}>', 'single')
        if name in SLOW: continue
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()): exec(code, names)
        if e.want: assert out.getvalue().strip() == e.want.strip()
