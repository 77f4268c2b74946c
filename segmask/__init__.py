"See, edit, check and prove which tokens a language model is trained on"
__version__ = "0.2.0"

from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING as _TYPE_CHECKING

# Every public name and the module it lives in. Modules are imported when a name is first used, so that
# `import segmask` loads neither torch nor transformers, datasets, pandas or ipywidgets.
_where = {
    'problems': 'Problem Problems',
    'masks': 'by_role mask only only_last_turn weigh',
    'core': 'IGNORE_INDEX Segment SegmentError Segments masked trained',
    'files': 'read_jsonl write_jsonl',
    'tokens.tokenizer': 'TokenizerError load_tokenizer',
    'tokens.encoder': 'Encoded Encoder',
    'formats.fields': 'FormatError',
    'formats.sources': 'SourceError',
    'formats.formats': 'FORMATS register to_segments',
    'config.config': 'ConfigError DatasetConfig TrainingConfig',
    'data.rules': 'Source',
    'data.store': 'StoreError',
    'data.prepared': 'Prepared Report',
    'data.prepare': 'preprocess',
    'data.exchange': 'Converted Exported convert export',
    'data.packing': 'Packed fill_of join_rows pack pack_prepared',
    'tokens.skew': 'inference_skew round_trip',
    'linting.codes': 'CODES',
    'linting.checks': 'check',
    'linting.findings': 'lint_summary',
    'linting.linter': 'lint',
    'linting.fixes': 'fix fix_file',
    'training.collator': 'SegmentCollator',
    'training.trial': 'segment_attention',
    'training.weights': 'use_weights',
    'training.losses': 'before_after loss_table row_losses segment_losses show_losses',
    'training.checkpoint': 'TrainingError',
    'training.result': 'TrainResult',
    'training.run': 'train',
    'views.differences': 'diff',
    'views.batches': 'show_batch',
    'views.plots': 'plot_lengths plot_lost plot_packing plot_trained_share',
    'training.experiment': 'Comparison RULES compare',
    'widgets.browser': 'browse',
    'widgets.editor': 'edit',
    'widgets.form': 'configure',
    'auditing.report': 'Audit assert_clean audit audit_first',
    'views.tokens': 'debug_line shifted_table show_tokens style_tokens token_table',
}
_module_of = {name: module for module, names in _where.items() for name in names.split()}

# What `from segmask import *` and the documentation begin with; every other name of the table can be imported, too.
__all__ = '''
    Segment Segments masked trained read_jsonl write_jsonl load_tokenizer Encoder Encoded to_segments register FORMATS
    TrainingConfig preprocess Prepared convert export pack_prepared inference_skew lint lint_summary fix fix_file check
    loss_table show_losses audit diff show_batch
    plot_lengths plot_lost plot_packing plot_trained_share browse edit configure debug_line show_tokens token_table
'''.split()
if _find_spec('torch'): __all__ += 'SegmentCollator segment_attention use_weights train compare'.split()

if _TYPE_CHECKING:
    from .training.trial import segment_attention
    from .training.weights import use_weights
    from .views.batches import show_batch
    from .training.checkpoint import TrainingError
    from .training.collator import SegmentCollator
    from .auditing.report import Audit, assert_clean, audit, audit_first
    from .config.config import ConfigError, DatasetConfig, TrainingConfig
    from .core import IGNORE_INDEX, Segment, SegmentError, Segments, masked, trained
    from .files import read_jsonl, write_jsonl
    from .masks import by_role, mask, only, only_last_turn, weigh
    from .problems import Problem, Problems
    from .views.differences import diff
    from .tokens.encoder import Encoded, Encoder
    from .data.exchange import Converted, Exported, convert, export
    from .training.experiment import RULES, Comparison, compare
    from .widgets.form import configure
    from .formats.formats import FORMATS, register, to_segments
    from .linting.checks import check
    from .linting.codes import CODES
    from .linting.findings import lint_summary
    from .linting.fixes import fix, fix_file
    from .linting.linter import lint
    from .training.losses import before_after, loss_table, row_losses, segment_losses, show_losses
    from .data.packing import Packed, fill_of, join_rows, pack, pack_prepared
    from .views.plots import plot_lengths, plot_lost, plot_packing, plot_trained_share
    from .data.prepared import Prepared, Report
    from .data.rules import Source
    from .data.prepare import preprocess
    from .tokens.skew import inference_skew, round_trip
    from .formats.fields import FormatError
    from .formats.sources import SourceError
    from .data.store import StoreError
    from .tokens.tokenizer import TokenizerError, load_tokenizer
    from .training.result import TrainResult
    from .training.run import train
    from .views.tokens import debug_line, shifted_table, show_tokens, style_tokens, token_table
    from .widgets.browser import browse
    from .widgets.editor import edit

def __getattr__(name):
    if name not in _module_of: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    value = globals()[name] = getattr(import_module(f'{__name__}.{_module_of[name]}'), name)
    return value

def __dir__(): return sorted({*globals(), *_module_of})
