"Rows as people hold them, wherever rows are taken: lists, generators, pandas, polars, Arrow, datasets, streams"
import pytest

from segmask import browse, lint, masked, plot_lengths, plot_lost, plot_packing, plot_trained_share, read_jsonl, to_segments, trained, write_jsonl
from segmask.tokens.encoder import Encoder

pytestmark = pytest.mark.filterwarnings('ignore')
ROWS = [{'segments': [{'label': False, 'text': 'Q: 2+2? A:'}, {'label': True, 'text': f' {i}'}]} for i in range(3)]
WANTED = [masked('Q: 2+2? A:') + trained(f' {i}') for i in range(3)]

def frame(name):
    return pytest.importorskip(name).DataFrame(ROWS)

def objects():
    polars = pytest.importorskip('polars')
    return polars.DataFrame({'segments': polars.Series(WANTED, dtype=polars.Object)})

def column():
    import pandas
    return pandas.Series(WANTED)

def arrow():
    import pyarrow as pa
    return pa.Table.from_pylist(ROWS)

def dataset(stream: bool=False):
    from datasets import Dataset
    made = Dataset.from_list(ROWS)
    return made.to_iterable_dataset() if stream else made

SOURCES = dict(list=lambda: ROWS, tuple=lambda: tuple(ROWS), segments=lambda: WANTED, generator=lambda: iter(ROWS), arrow=arrow,
               batches=lambda: arrow().to_reader(), pandas=lambda: frame('pandas'), polars=lambda: frame('polars'), lazy=lambda: frame('polars').lazy(), objects=objects,
               column=column, dataset=dataset, streaming=lambda: dataset(True))

@pytest.fixture(scope='module')
def encoder(small_model): return Encoder(small_model)

TAKERS = dict(
    to_segments=lambda rows, enc, tmp: to_segments(rows) == WANTED,
    lint=lambda rows, enc, tmp: set((found := lint(rows, enc))['row'].dropna())=={0, 1, 2} and 'bad-row' not in set(found['code']),
    write_jsonl=lambda rows, enc, tmp: write_jsonl(rows, tmp/'rows.jsonl')==3 and read_jsonl(tmp/'rows.jsonl')==WANTED,
    browse=lambda rows, enc, tmp: browse(rows, enc).state.rows is not None,
    plot_lengths=lambda rows, enc, tmp: '3 rows' in str(plot_lengths(rows, enc)),
    plot_trained_share=lambda rows, enc, tmp: '3 rows' in repr(plot_trained_share(rows, enc)),
    plot_lost=lambda rows, enc, tmp: 'sequence_len' in str(plot_lost(rows, enc, sequence_len=8)),
    plot_packing=lambda rows, enc, tmp: '3 rows' in str(plot_packing(rows, enc, sequence_len=32)),
    batch=lambda rows, enc, tmp: enc.batch(to_segments(rows)).num_rows==3,
)

@pytest.mark.parametrize('source', SOURCES)
@pytest.mark.parametrize('taker', TAKERS)
def test_rows_are_taken(taker, source, encoder, tmp_path):
    assert TAKERS[taker](SOURCES[source](), encoder, tmp_path)

def test_plots_overlay_sets(encoder):
    said = str(plot_lengths({'mine': ROWS, 'theirs': frame('pandas')}, encoder))
    assert 'mine' in said and 'theirs' in said

def test_a_name_is_enough_for_an_encoder(small_model): assert Encoder(str(small_model))(WANTED[0]).row==WANTED[0]
