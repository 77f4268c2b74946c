"Commands and public functions with bad types, depths, sizes, encodings and names: every call works, or ends in a message"
import contextlib, io, json, os, random

import pytest

from segmask import (Encoder, Segments, fix, inference_skew, lint, lint_summary, load_tokenizer, masked, read_jsonl,
                     to_segments, token_table, trained, TrainingConfig)
from segmask.cli import main

MISTRAL = 'mistralai/Mistral-7B-v0.1'
EXPECTED = ValueError, TypeError, OSError # with a message; anything else is a defect
VALUES = [None, True, False, 0, -1, 7, 1<<70, 1.5, float('nan'), float('inf'), '', ' ', 'a', 'ü\u202e\x1b[2J', '\x00', '\ud83d', 'a'*5000,
          [], [[]], [None], [1, 'a'], {}, {'a': 1}, {'segments': 5}, {'segments': [{}]}, {'text': 'a', 'label': 'no'}, b'a', object()]

def value(rng, depth=0):
    pick = rng.random()
    if depth<4 and pick<.15: return [value(rng, depth+1) for _ in range(rng.randrange(4))]
    if depth<4 and pick<.3: return {rng.choice(['segments', 'text', 'label', 'messages', 'role', 'content', 'weight', 'x']): value(rng, depth+1) for _ in range(3)}
    return rng.choice(VALUES)

def row(rng):
    "Nearly a row: one thing of it is wrong, or nothing"
    seg = {'text': rng.choice(['<s>hi', 'there</s>', '', ' ', '\r\n']), 'label': rng.choice([True, False])}
    good = {'segments': [dict(seg), dict(seg)], 'messages': [{'role':'user', 'content':'a'}, {'role':'assistant', 'content':'b'}],
            'instruction': 'a', 'output': 'b'}
    where = rng.choice([good, good['segments'][0], good['messages'][1], {}])
    where[rng.choice([*where, 'weight', 'label', 'extra'])] = value(rng)
    return good if rng.random()<.9 else value(rng)

def lines(rng) -> bytes:
    "A file of such rows, perhaps in another encoding, cut off, or deeply nested"
    data = '\n'.join(json.dumps(row(rng), default=str) for _ in range(rng.randrange(4))).encode()
    return rng.choice([data, data, data, data[:-3], b'\xef\xbb\xbf'+data, data.decode().encode('utf-16'), b'\xff'+data, b'['*50_000, data.replace(b'\n', b'\r\n')])

@pytest.fixture(scope='module')
def tok(): return load_tokenizer(MISTRAL)

def functions(tok):
    enc = Encoder(tok)
    kinds = ['input_output', 'alpaca', 'chat_template', 'completion', 'sharegpt', 'nothing', None, 5]
    good = [masked('<s>a') + trained('b</s>')]
    return [
        lambda r: lint([row(r) for _ in range(3)], enc),
        lambda r: lint(value(r), enc),
        lambda r: lint(good, enc, ignore=value(r)),
        lambda r: lint(good, enc, checks=[lambda look: value(r)]),
        lambda r: lint_summary(lint(good, enc, value(r))),
        lambda r: fix([row(r)], r.choice([None, ['crlf'], value(r)]), r.choice([tok, None])),
        lambda r: enc(row(r)),
        lambda r: inference_skew(row(r), enc),
        lambda r: token_table(row(r), tok),
        lambda r: Segments.from_dict(row(r)),
        lambda r: to_segments([row(r)], r.choice(kinds), tok, chat_template='chatml'),
        lambda r: TrainingConfig.of({'base_model': MISTRAL, 'datasets': [{'path':'a.jsonl', 'type':value(r)}], 'sequence_len': value(r)}).check(),
        lambda r: TrainingConfig.of(value(r)),
        lambda r: read_jsonl(value(r)),
    ]

def commands(rng):
    text = rng.choice(['a.jsonl', 'c.yaml', 'nothing', '', '.', 'a\x1b', '-x', 'a.csv', '\udce9'])
    return rng.choice([
        ['lint', text], ['lint', text, '--details', '--fail-on', 'never'], ['lint', text, '--fix'], ['show', text, '--row', str(rng.choice([0, -1, 9, 1<<70]))],
        ['convert', text, '--type', rng.choice(['alpaca', 'input_output', 'chat_template', 'zz', '']), '--chat-template', 'chatml'],
        ['lint', text, '--type', 'chat_template', '--set', rng.choice(['roles=5', 'field_messages=[1]', 'type=5', 'x={', 'a=b'])],
        ['config', 'check', text], ['config', 'set', 'c.yaml', rng.choice(['x=&a [*a]', 'sequence_len=[', 'datasets[9].type=a', '=', 'a']), '--yes'],
        ['diff', text, 'a.jsonl'], ['preprocess', text], ['export', text], ['lint', text, '--format', 'sarif'], ['zz'], [],
    ])

def attempt(f, what):
    try: f()
    except EXPECTED as e: assert str(e).strip(), (what, repr(e))
    except SystemExit as e: assert e.code in (0, 1, 2), what
    except Exception as e: raise AssertionError(f'{what}: {type(e).__name__}: {e}') from e

def fuzz(tok, folder, calls, seed):
    rng, all_functions = random.Random(seed), functions(tok)
    old = os.getcwd()
    os.chdir(folder)
    try:
        for n in range(calls):
            attempt(lambda: rng.choice(all_functions)(rng), f'call {n} of seed {seed}')
            if n%8: continue
            (folder/'a.jsonl').write_bytes(lines(rng))
            kind = rng.choice(['input_output', 'alpaca', 'chat_template', 'zz', '5', '{field_instruction: 5}'])
            (folder/'c.yaml').write_text(f'base_model: {MISTRAL}\ndatasets:\n  - {{path: a.jsonl, type: {kind}}}\nchat_template: chatml\n')
            argv = commands(rng)
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as said:
                attempt(lambda: main(argv), f'{argv} in call {n} of seed {seed}')
            assert '\x1b' not in out.getvalue()+said.getvalue(), argv
    finally: os.chdir(old)

def test_some_calls(tok, tmp_path): fuzz(tok, tmp_path, 250, 0)

@pytest.mark.slow
@pytest.mark.parametrize('seed', range(1, 6))
def test_thousands_of_calls(tok, tmp_path, seed): fuzz(tok, tmp_path, 1000, seed)
