"A page of a user's code. A type checker finds its three mistakes, each marked `mistake`, and nothing else"
from segmask import (Encoder, Prepared, Segments, TrainingConfig, browse, debug_line, lint, load_tokenizer, masked, plot_lengths,
                     preprocess, read_jsonl, to_segments, token_table, trained, write_jsonl)

tokenizer = load_tokenizer('mistralai/Mistral-7B-v0.1')
encoder = Encoder(tokenizer, boundary='prompt')
wrong_mode = Encoder(tokenizer, boundary='prmpt') # mistake: no such mode

row: Segments = masked('Q: 2+2? A:') + trained(' 4', weight=.5)
encoded = encoder(row)
ids: list[int] = encoded.input_ids
text: str = encoded.row.mask(r'[0-9]').text
missing = encoded.input_id # mistake: no such attribute
again: list[int] = encoder({'segments': [{'label': True, 'text': 'a'}]}).labels

rows = read_jsonl('output.jsonl')
first: str = rows[0][0].text
total: int = write_jsonl(rows + to_segments([{'instruction': 'a', 'output': 'b'}], 'alpaca', tokenizer), 'rows.jsonl')
findings = lint(rows, encoder, sequence_len=512, ignore=['pad-is-eos'])
errors = findings[findings['severity']=='error']

config = TrainingConfig(base_model='mistralai/Mistral-7B-v0.1', learning_rate=2e-4)
for advice in config.check(): print(advice)
prepared: Prepared = preprocess(config)
n_rows: int = len(prepared.train) + len(prepared)
place: str = prepared.source(0).file
print(debug_line(encoded), token_table(encoded).head(), plot_lengths({'mine': rows}, encoder), browse(rows, encoder))
write_jsonl('rows.jsonl', rows) # mistake: the file comes second
