"See, edit, check and prove which tokens a language model is trained on"
__version__ = "0.1.0"

from typing import TYPE_CHECKING as _TYPE_CHECKING

# Every public name and the module it lives in. Modules are imported when a name is first used, so that
# `import segmask` loads neither torch nor transformers, datasets, pandas or ipywidgets.
_where = {
    'core': 'IGNORE_INDEX Problem Problems Segment SegmentError Segments masked read_jsonl trained write_jsonl',
    'tokenizer': 'TokenizerError load_tokenizer',
    'encoder': 'Encoded Encoder',
    'sources': 'FormatError SourceError',
    'formats': 'FORMATS register to_segments',
    'config': 'ConfigError DatasetConfig TrainingConfig',
    'store': 'StoreError',
    'prepare': 'Prepared Report Source preprocess',
    'exchange': 'Converted Exported convert export',
    'packing': 'Packed fill_of join_rows pack pack_prepared',
    'skew': 'inference_skew round_trip',
    'linter': 'CODES fix fix_file lint lint_summary',
    'collator': 'SegmentCollator',
    'attention': 'segment_attention',
    'losses': 'before_after loss_table row_losses segment_losses show_losses',
    'checkpoint': 'TrainingError',
    'training': 'TrainResult train',
    'differences': 'diff',
    'batches': 'show_batch',
    'plots': 'plot_lengths plot_lost plot_packing plot_trained_share',
    'experiment': 'Comparison RULES compare',
    'widgets': 'browse edit',
    'form': 'configure',
    'views': 'debug_line shifted_table show_tokens style_tokens token_table',
}
_module_of = {name: module for module, names in _where.items() for name in names.split()}
__all__ = list(_module_of)

if _TYPE_CHECKING:
    from .attention import segment_attention
    from .batches import show_batch
    from .checkpoint import TrainingError
    from .collator import SegmentCollator
    from .config import ConfigError, DatasetConfig, TrainingConfig
    from .core import IGNORE_INDEX, Problem, Problems, Segment, SegmentError, Segments, masked, read_jsonl, trained, write_jsonl
    from .differences import diff
    from .encoder import Encoded, Encoder
    from .exchange import Converted, Exported, convert, export
    from .experiment import RULES, Comparison, compare
    from .form import configure
    from .formats import FORMATS, register, to_segments
    from .linter import CODES, fix, fix_file, lint, lint_summary
    from .losses import before_after, loss_table, row_losses, segment_losses, show_losses
    from .packing import Packed, fill_of, join_rows, pack, pack_prepared
    from .plots import plot_lengths, plot_lost, plot_packing, plot_trained_share
    from .prepare import Prepared, Report, Source, preprocess
    from .skew import inference_skew, round_trip
    from .sources import FormatError, SourceError
    from .store import StoreError
    from .tokenizer import TokenizerError, load_tokenizer
    from .training import TrainResult, train
    from .views import debug_line, shifted_table, show_tokens, style_tokens, token_table
    from .widgets import browse, edit

def __getattr__(name):
    if name not in _module_of: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    value = globals()[name] = getattr(import_module(f'{__name__}.{_module_of[name]}'), name)
    return value

def __dir__(): return sorted({*globals(), *__all__})
