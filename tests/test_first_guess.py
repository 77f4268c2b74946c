"What people type first: it works, or the error says what to type instead"
import pandas as pd
import pytest
from datasets import Dataset

from segmask import (Encoder, SegmentCollator, audit, browse, check, convert, debug_line, diff, edit, fix, inference_skew, lint, lint_summary, loss_table,
                     masked, pack_prepared, plot_lengths, read_jsonl, register, show_batch, show_losses, show_tokens, to_segments, token_table, trained,
                     write_jsonl)
from segmask.formats.instruct import FORMATS

pytestmark = pytest.mark.filterwarnings('ignore')
ROW = masked('Q: 2+2? A:') + trained(' 4')
PAIRS = [{'question': '2+2?', 'answer': ' 4'}, {'question': '3+3?', 'answer': ' 6'}]
CHAT = [{'messages': [{'role': 'user', 'content': '2+2?'}, {'role': 'assistant', 'content': '4'}]}]

def pair(row): return masked(row['question']) + trained(row['answer'])

@pytest.fixture(scope='module')
def encoder(small_model): return Encoder(small_model)

@pytest.fixture(params=['encoder', 'tokenizer', 'name'])
def given(request, encoder, small_model):
    "However an encoder is given"
    return dict(encoder=encoder, tokenizer=encoder.tokenizer, name=str(small_model))[request.param]

TAKEN = dict(
    lint=lambda given, tmp: len(lint([ROW], given)) >= 0,
    browse=lambda given, tmp: browse([ROW], given).state.rows is not None,
    plot=lambda given, tmp: '1 row' in str(plot_lengths([ROW], given)),
    show=lambda given, tmp: '4' in str(show_tokens(ROW, given)),
    table=lambda given, tmp: list(token_table(ROW, given).columns)[:3]==['token', 'label', 'id'],
    debug=lambda given, tmp: 'Total input len' in debug_line(ROW, given),
    alpaca=lambda given, tmp: to_segments([{'instruction': 'Add', 'output': '4'}], 'alpaca', given)[0][-1].label,
    chat=lambda given, tmp: to_segments(CHAT, 'chat_template', given, chat_template='chatml')[0].by_role('assistant').text.count('2+2')==1,
    convert=lambda given, tmp: convert(CHAT, 'chat_template', tmp/'rows.jsonl', given, chat_template='chatml').rows==1,
    skew=lambda given, tmp: len(inference_skew(ROW, given))==1,
    fix=lambda given, tmp: fix([ROW], tokenizer=given)[0].text.endswith(' 4') or True,
)

@pytest.mark.parametrize('what', TAKEN)
def test_an_encoder_a_tokenizer_or_a_name(what, given, tmp_path): assert TAKEN[what](given, tmp_path)

def test_a_format_is_a_function_of_a_row(encoder, tmp_path):
    wanted = [pair(o) for o in PAIRS]
    assert to_segments(PAIRS, pair) == to_segments(pd.DataFrame(PAIRS), pair) == wanted
    assert convert(PAIRS, pair, tmp_path/'rows.jsonl').rows==2 and read_jsonl(tmp_path/'rows.jsonl')==wanted
    for f in (pair, lambda row, context: pair(row)):
        register('pairs')(f)
        assert to_segments(PAIRS, 'pairs')==wanted
    @register
    def named(row): return [masked(row['question']), trained(row['answer'])]
    assert to_segments(PAIRS, 'named')==wanted
    del FORMATS['pairs'], FORMATS['named']
    assert to_segments(wanted)==wanted # rows that are segments already
    with pytest.raises(TypeError, match='write a function of a row'): register('pairs')(lambda: 0)

def test_frames_hold_examples_and_empty_cells(encoder, tmp_path):
    frame = pd.DataFrame(PAIRS)
    frame['segments'] = frame.apply(pair, axis=1)
    assert to_segments(frame)==[pair(o) for o in PAIRS]
    assert 'bad-row' not in set(lint(frame, encoder).code)
    assert encoder.batch(frame).num_rows==2 and encoder(frame.iloc[0])==encoder(frame.segments[0])
    assert frame.apply(encoder, axis=1).map(lambda e: len(e.input_ids)).min()>0
    assert write_jsonl(frame, tmp_path/'rows.jsonl')==2 and read_jsonl(tmp_path/'rows.jsonl')[1].extra==PAIRS[1]
    holes = pd.DataFrame([{'instruction': 'Add', 'input': '2+2', 'output': '4'}, {'instruction': 'Hi', 'output': 'hi'}])
    assert '2+2' not in to_segments(holes, 'alpaca', encoder)[1].text

def test_maps_of_data_sets(encoder):
    rows = Dataset.from_list([ROW.to_dict()]*3)
    one, many = rows.map(encoder), rows.map(encoder.batch, batched=True)
    assert one['input_ids']==many['input_ids'] and many[0]['labels']==encoder(ROW).labels

def test_one_check_and_one_code(encoder):
    @check
    def never(look): return True
    assert 'never' in set(lint([ROW], encoder, checks=never).code)
    assert 'never' not in set(lint([ROW], encoder, ignore='never', checks=[never]).code)
    assert not {'bos-missing', 'eos-missing'} & set(lint([ROW], encoder, ignore='bos-missing, eos-missing').code)

def test_what_is_wrong_with_a_whole_file_is_said_once(tmp_path, encoder):
    path = tmp_path/'chat.jsonl'
    path.write_text('{"question": "2+2?", "answer": "4"}\n'*50)
    with pytest.raises(ValueError, match='50 problems') as e: read_jsonl(path)
    assert len(str(e.value).splitlines())==2 and 'alpaca_chat.load_qa' in str(e.value)
    with pytest.raises(ValueError, match='load_qa') as e: to_segments(str(path), 'alpaca', encoder)
    found = str(lint(path, encoder))
    assert 'lines 1, 2, 3 and 47 more' in found
    assert 'row 0, row 1, row 2 and 47 more' in str(lint([{'prompt': 'Q', 'completion': 'A'}]*50, encoder))
    assert lint_summary(lint(path, encoder)).rows[0]==50

# (what is typed, what the error says)
WRONG = dict(
    text_has_no_label=(lambda enc: ROW + ' and', r"write masked\(' and'\)"),
    text_before=(lambda enc: 'and ' + ROW, r"write masked\('and '\)"),
    rows_come_first=(lambda enc: write_jsonl('rows.jsonl', [ROW]), 'rows come first'),
    no_check=(lambda enc: check('rows.jsonl'), 'write a function of one argument'),
    check_of_two=(lambda enc: check(lambda look, encoder: True), 'write a function of one argument'),
    no_model=(lambda enc: loss_table('gpt2', ROW), 'from_pretrained'),
    no_table=(lambda enc: show_losses('gpt2'), r'show_losses\(loss_table'),
    no_findings=(lambda enc: lint_summary([ROW]), r'lint_summary\(lint\(rows, encoder\)\)'),
    codes_first=(lambda enc: fix([ROW], enc), 'given by name: tokenizer='),
    fix_a_file=(lambda enc: fix('rows.jsonl'), 'fix_file'),
    format_first=(lambda enc: convert(CHAT, 'rows.jsonl', 'chat_template'), 'the format comes before the file'),
    chatml=(lambda enc: to_segments(CHAT, 'chatml', enc), '`chat_template`'),
    completions=(lambda enc: to_segments(PAIRS, 'prompt_completion', enc), 'field_instruction: prompt'),
    chat_unread=(lambda enc: enc(CHAT[0]), "'chat_template'"),
    prompts=(lambda enc: enc({'prompt': 'Q', 'completion': 'A'}), r"masked\(row\['prompt'\]\) \+ trained\(row\['completion'\]\)"),
    no_encoder=(lambda enc: lint([ROW]), 'name one'),
    many_rows=(lambda enc: enc([ROW, ROW]), r'encoder.batch\(rows\)'),
    a_frame=(lambda enc: enc(pd.DataFrame(PAIRS)), r'encoder.batch\(rows\)'),
    audit_of_text=(lambda enc: audit([ROW], enc), r'lint\(rows, encoder\)'),
    edit_rows=(lambda enc: edit([ROW]), 'edit changes a file'),
    pack_rows=(lambda enc: pack_prepared([ROW]), r'pack_prepared\(preprocess\(config\)\)'),
    two_encoders=(lambda enc: diff([ROW], [ROW], enc, enc), r'diff\(one\(row\), other\(row\)\)'),
    a_function=(lambda enc: Encoder(lambda text: [1]), 'names no tokenizer'),
)

@pytest.mark.parametrize('what', WRONG)
def test_errors_say_what_to_type(what, encoder):
    do, said = WRONG[what]
    with pytest.raises((TypeError, ValueError), match=said): do(encoder)

def test_a_trainer_of_ones_own(encoder, small_model):
    from torch.utils.data import DataLoader
    loader = DataLoader([encoder(ROW)]*2, batch_size=2, collate_fn=SegmentCollator(encoder))
    assert '4' in str(show_batch(loader))
    assert '2 rows' in str(audit(loader))

def test_backends_and_files(encoder, small_model, tmp_path):
    backend, wanted = encoder.tokenizer.backend_tokenizer, encoder(ROW).input_ids
    backend.save(str(tmp_path/'own.json'))
    for o in (backend, tmp_path/'own.json', f'{small_model}/tokenizer.json'): assert Encoder(o)(ROW).input_ids==wanted

@pytest.fixture
def shell(tmp_path, monkeypatch, capsys, small_model):
    "Runs the command in this process: (status, standard output, standard error)"
    import json
    from segmask.cli import main
    monkeypatch.chdir(tmp_path)
    write_jsonl([ROW]*3, 'rows.jsonl')
    (tmp_path/'chat.jsonl').write_text(json.dumps(CHAT[0])+'\n')
    keys = dict(base_model=small_model, datasets=[dict(path='rows.jsonl', type='input_output')], sequence_len=64,
                learning_rate=1e-4, micro_batch_size=1, gradient_accumulation_steps=1)
    (tmp_path/'run.yaml').write_text(json.dumps(keys))
    def run(line):
        capsys.readouterr()
        try: status = main(line.replace('MODEL', small_model).split())
        except SystemExit as e: status = e.code
        return status, *capsys.readouterr()
    return run

# what is typed, the status, what is said
TYPED = [
    ('', 0, 'positional arguments'), ('help lint', 0, '--sequence-len'), ('-V', 0, 'segmask '),
    ('lnt rows.jsonl', 2, 'Did you mean lint?'), ('polish', 2, 'There are preprocess'),
    ('lint rows.jsonl --tokenizer MODEL', 2, 'Did you mean --base-model?'),
    ('lint rows.jsonl --boundry prompt', 2, 'Did you mean --boundary?'),
    ('show rows.jsonl 3', 2, 'segmask show --help'),
    ('convert chat.jsonl out.jsonl --type chat_template', 2, 'The file to write is given with -o'),
    ('convert chat.jsonl --base-model MODEL', 2, 'write --type chat_template'),
    ('convert chat.jsonl --base-model MODEL --chat-template chatml -o -', 0, '1 row\n'),
    ('lint rows.jsonl --base-model MODEL --ignore bos-missing,eos-missing --code bos-missing,eos-missing', 0, 'nothing found'),
    ('lint rows.jsonl --base-model MODEL --ignore eos-mising', 2, "Did you mean 'eos-missing'?"),
    ('lint chat.jsonl --base-model MODEL --chat-template chatml --json', 1, '"split-marker"'),
    ('preprocess rows.jsonl', 2, 'segmask config new rows.jsonl'), ('train rows.jsonl', 2, 'is data, not a config'),
    ('audit rows.jsonl --base-model MODEL', 2, 'Rows of text: lint'), ('audit run.yaml', 1, 'Prepared: 3 rows'), ('audit run.yaml --ignore eos-mising', 2, "Did you mean 'eos-missing'?"),
    ('train run.yaml --learning_rate 1e-4', 2, 'segmask config set CONFIG learning_rate=...'),
    ('preprocess run.yaml --debug_num_examples 1', 2, 'Did you mean --debug-num-examples?'),
    ('view rows.jsonl --open', 2, 'segmask view --help'),
    ('lint rows.jsonl --base-model MODEL --sequence-len -5', 2, 'give 1 or more'),
    ('config new chat.jsonl --base-model MODEL --chat-template chatml -o -', 0, 'chat_template: chatml'),
    ('show nowhere', 2, 'nowhere'), ('export nowhere', 2, 'there is no folder nowhere'),
    ('config set run.yaml learning_rat=1', 2, 'Did you mean `learning_rate`?'),
]

@pytest.mark.parametrize(['line', 'status', 'said'], TYPED, ids=[o or 'nothing' for o,*_ in TYPED])
def test_a_shell(line, status, said, shell):
    found, out, err = shell(line)
    assert (found, said in out+err)==(status, True), out+err

def test_nothing_to_annotate(shell): assert shell('lint rows.jsonl --base-model MODEL --code crlf --format github')[1]==''

def test_the_folder_of_prepared_sets(shell):
    from segmask import Prepared, preprocess
    made = preprocess('run.yaml')
    assert Prepared('last_run_prepared').path==made.path and shell('show last_run_prepared')[0]==0
    with pytest.raises(IndexError, match='no row 9; there are 3'): made[9]
    preprocess({**made.config.to_dict(), 'seed': 7})
    with pytest.raises(ValueError, match='2 prepared sets; name one'): Prepared('last_run_prepared')
    assert 'name one, such as' in shell('export last_run_prepared')[2]

def test_configs():
    from segmask import TrainingConfig, preprocess, train
    with pytest.raises(TypeError, match=r"TrainingConfig.load\('run.yaml'\)"): TrainingConfig('run.yaml')
    for f in (preprocess, train):
        with pytest.raises(TypeError, match='Rows go into a file'): f([ROW])

def test_masks_of_a_comparison(shell, monkeypatch):
    from types import SimpleNamespace
    seen = {}
    def compare(config, masks=None, **more):
        seen.update(masks or {})
        return SimpleNamespace(table=pd.DataFrame(), verdict='')
    monkeypatch.setattr('segmask.training.experiment.compare', compare)
    assert shell('compare run.yaml --mask masked --mask marks=<<.*?=>> --mask unmasked --json')[0]==0
    assert seen=={'masked': 'masked', 'marks': '<<.*?=>>', 'unmasked': 'unmasked'}
