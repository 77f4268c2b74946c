"""How fast is preparing, and how much memory does it take?   `make bench` runs it and writes RESULTS.md and rows.svg beside it.

Every ratio is taken within one round, in which the ways to do it follow one another; the median of the rounds is reported.
Set AXOLOTL to the command of a real axolotl (or have `axolotl` on the PATH) to compare with it, GSM8K to its train.jsonl to use it."""
import argparse, contextlib, datetime, io, json, math, os, platform, random, re, resource, shlex, shutil, statistics, subprocess, sys, sysconfig, tempfile, time
from importlib.metadata import version
from pathlib import Path

here = Path(__file__).parent
MODEL = 'mistralai/Mistral-7B-v0.1'

# --- data that anyone has -----------------------------------------------------------------------------------------

def long_rows(n: int):
    "Rows of about 2,000 to 8,000 tokens, like pull requests: a file of Python's standard library to read, a diff of it to write"
    root, rng, made = Path(sysconfig.get_paths()['stdlib']), random.Random(0), 0
    for file in sorted(o for o in root.rglob('*.py') if 'site-packages' not in o.parts):
        try: lines = file.read_text(encoding='utf8').splitlines(keepends=True)
        except UnicodeDecodeError: continue
        a = 0
        while a<len(lines):
            b, chars, want = a, 0, rng.randint(6000, 26000)
            while b<len(lines) and chars<want: chars, b = chars+len(lines[b]), b+1
            part, a = lines[a:b], b
            if chars<5000: continue
            diff = ''.join(' -+ '[rng.randrange(4)]+l for l in part[:len(part)//3])
            made += 1
            yield [(False, f'<s># Pull request {made}: {file.relative_to(root)}\n{"".join(part)}'), (True, f'{diff}</s>')]
            if made==n: return

_who, _what, _did = 'Ana Ben Chi Dora Emil Fay Gus Hana Ivo June'.split(), 'apples pens cards shells stamps coins marbles books'.split(), 'bought found sold painted packed counted'.split()

def problem(i: int):
    "One arithmetic problem, its calculator marks masked: about 8 short segments"
    r = random.Random(i)
    who, what, a = r.choice(_who), r.choice(_what), r.randint(2, 999)
    ask, segs = f'<s>Problem {i}. {who} has {a} {what}.', []
    for day in r.sample(range(1, 99), r.randint(2, 4)):
        did, b = r.choice(_did), r.randint(2, 99)
        ask += f' On day {day} {who} {did} {b} times as many as before.'
        segs += [(True, f'On day {day} of problem {i}, {who} {did} {a}*{b} = '), (False, f'<<{a}*{b}={a*b}>>')]
        a *= b
    return [(False, f'{ask} How many {what} are there?\n'), *segs, (True, f'{a} {what}.\n#### {a} ({i})</s>')]

def gsm8k_rows(path: str, n: int):
    "GSM8K cut at the calculator marks, repeated to n rows; a text that was there before gets a number, so that none repeats"
    rows, seen = [json.loads(l) for l in open(path, encoding='utf8')], set()
    def once(text):
        end = text[len(text.rstrip()):]
        if text in seen: text = f'{text.rstrip()} {len(seen)}{end}'
        seen.add(text)
        return text
    for i in range(n):
        o = rows[i%len(rows)]
        parts = re.split(r'(<<[^>]*>>)', o['answer']+'</s>')
        yield [(False, once(f'<s>{o["question"]}\n')), *((not p.startswith('<<'), once(p)) for p in parts if p)]

def write(rows, path: Path) -> Path:
    with open(path, 'w', encoding='utf8') as f:
        for row in rows: f.write(json.dumps({'segments':[dict(label=l, text=t) for l,t in row]}, ensure_ascii=False)+'\n')
    return path

def config(path: Path, **more) -> dict: return dict(base_model=MODEL, datasets=[dict(path=str(path), type='input_output')], sequence_len=32768, **more)

# --- measuring ----------------------------------------------------------------------------------------------------

def cpu() -> float: return sum(o.ru_utime+o.ru_stime for o in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))

def timed(f) -> tuple[float, float]: # wall, CPU seconds
    a, b = time.perf_counter(), cpu()
    f()
    return time.perf_counter()-a, cpu()-b

def rounds(ways: dict, n: int) -> dict[str, list[tuple[float, float]]]:
    "Every way once a round, n rounds"
    out = {k:[] for k in ways}
    for i in range(n):
        for k,f in ways.items():
            out[k].append(timed(f))
            print(f'  round {i+1} {k}: {out[k][-1][0]:.2f} s', file=sys.stderr)
    return out

def ratios(times: dict, to: str) -> dict[str, tuple[float, float, float]]:
    "way -> median seconds, median ratio of wall time, median ratio of CPU time"
    med = statistics.median
    return {k: (med(w for w,_ in v), *(med(o[j]/r[j] for o,r in zip(v, times[to])) for j in (0,1))) for k,v in times.items()}

@contextlib.contextmanager
def quiet():
    with contextlib.redirect_stderr(io.StringIO()): yield

def speed(path: Path, n: int) -> tuple[dict, int, int]:
    "Raw tokenizer, our encoding, our whole call and datasets.map on one file; (ratios to raw, segments, tokens)"
    import datasets
    from segmask import Encoder, load_tokenizer, preprocess
    from segmask.files import iter_jsonl
    from segmask.data.encoding import batches
    datasets.disable_progress_bars()
    with quiet(): tok = load_tokenizer(MODEL)
    enc, backend = Encoder(tok), tok.backend_tokenizer
    parts = [b for b,_ in batches(iter_jsonl(path), lambda r: sum(len(o['text']) for o in r['segments']))]
    texts = [[o['text'] for r in b for o in r['segments']] for b in parts]
    source = datasets.Dataset.from_json(str(path), cache_dir=str(path.parent/'cache'))
    tokens = 0

    def raw():
        for t in texts: backend.encode_batch_fast(t, add_special_tokens=False)
    def encoding():
        nonlocal tokens
        tokens = sum(len(enc.columns(b, checked=True)[0]) for b in parts)
    def whole():
        with tempfile.TemporaryDirectory(dir=path.parent) as d, quiet(): preprocess(config(path, dataset_prepared_path=d))
    def one(row): # axolotl/prompt_strategies/input_output.py
        ids, labels = [], []
        for o in row['segments']:
            new = tok(o['text'], add_special_tokens=False)['input_ids']
            ids += new
            labels += new if o['label'] else [-100]*len(new)
        return dict(input_ids=ids, labels=labels, attention_mask=[1]*len(ids))
    def by_map():
        with tempfile.TemporaryDirectory(dir=path.parent) as d: source.map(one, remove_columns='segments', load_from_cache_file=False, cache_file_name=f'{d}/a.arrow')

    encoding() # warm
    ways = {'raw encode_batch_fast':raw, 'encoding':encoding, 'whole preprocess':whole, 'datasets.map, a row at a time':by_map}
    return ratios(rounds(ways, n), 'raw encode_batch_fast'), sum(map(len, texts)), tokens

def run_preprocess(yaml: Path, argv: list[str], env: dict|None=None) -> float:
    "Wall seconds of one command in the folder of its config, whose prepared data is removed first"
    shutil.rmtree(yaml.parent/'last_run_prepared', ignore_errors=True)
    a = time.perf_counter()
    p = subprocess.run([*argv, yaml.name, '--debug'], cwd=yaml.parent, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if p.returncode: raise SystemExit(f'{" ".join(argv)} failed:\n{p.stdout[-1000:]}\n{p.stderr[-3000:]}')
    return time.perf_counter()-a

def stored(yaml: Path) -> list:
    from datasets import load_from_disk
    return load_from_disk(str(next((yaml.parent/'last_run_prepared').iterdir()))).select_columns(['input_ids', 'labels']).to_list()

OURS = [sys.executable, '-c', 'import sys; from segmask.cli import main; sys.exit(main())', 'preprocess']

def commands(folder: Path, rows_500: Path, many: Path, n: int) -> list[tuple]:
    "The commands on the documentation's example and on many rows: (data, ours, axolotl's or None, ratio, equal?)"
    import yaml
    from segmask import load_tokenizer
    axolotl = shlex.split(os.environ.get('AXOLOTL', '')) or ([shutil.which('axolotl')] if shutil.which('axolotl') else None)
    if not axolotl: print('SKIPPED: the axolotl command is not here (set AXOLOTL to compare with it)', file=sys.stderr)
    model = folder/'model'
    with quiet(): load_tokenizer(MODEL).save_pretrained(model)
    (model/'config.json').write_text(json.dumps(dict(architectures=['MistralForCausalLM'], model_type='mistral', hidden_size=64, intermediate_size=128, num_attention_heads=4,
                                                     num_hidden_layers=2, num_key_value_heads=2, vocab_size=32000, max_position_embeddings=32768)))
    out = []
    for name,path,ours_from in (('500 rows', rows_500, MODEL), ('500 rows, tokenizer from a folder', rows_500, model), ('many rows', many, MODEL)):
        work = folder/name.replace(' ', '-')
        work.mkdir()
        cfg = dict(base_model=str(ours_from), seed=49, datasets=[dict(path=str(path), type='input_output')], val_set_size=.1, sequence_len=896, micro_batch_size=2,
                   gradient_accumulation_steps=3, num_epochs=1, learning_rate=2e-4, special_tokens=dict(bos_token='<s>', eos_token='</s>', unk_token='<unk>'))
        (work/'c.yaml').write_text(yaml.safe_dump(cfg, sort_keys=False))
        (work/'a.yaml').write_text(yaml.safe_dump({**cfg, 'base_model':str(model)}, sort_keys=False)) # axolotl has no tokenizer of its own
        ours, theirs = [], []
        for i in range(n if axolotl else max(n, 5)):
            ours.append(run_preprocess(work/'c.yaml', OURS))
            rows = stored(work/'c.yaml') if i==0 else None
            fresh = dict(HF_HUB_OFFLINE='1', AXOLOTL_DO_NOT_TRACK='1', HF_DATASETS_CACHE=str(work/f'cache-{i}')) # so that no run finds what the one before it cached
            if axolotl: theirs.append(run_preprocess(work/'a.yaml', [*axolotl, 'preprocess'], fresh))
            if rows is not None: equal = axolotl and rows==stored(work/'c.yaml')
            print(f'  {name}, round {i+1}: ours {ours[-1]:.2f} s' + (f', axolotl {theirs[-1]:.2f} s' if axolotl else ''), file=sys.stderr)
        count = sum(1 for _ in open(path, 'rb'))
        out.append((f'{count:,} rows{name.partition(" rows")[2]}', statistics.median(ours), statistics.median(theirs) if theirs else None,
                    statistics.median(t/o for t,o in zip(theirs, ours)) if theirs else None, equal))
    return out

def watch(argv: list[str]) -> tuple[float, str]:
    "(peak anonymous memory in MiB, output) of a process, looked at 50 times a second"
    p, peak = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True), 0
    while p.poll() is None:
        with contextlib.suppress(OSError, TypeError): # it has just ended
            peak = max(peak, int(re.search(r'RssAnon:\s*(\d+)', Path(f'/proc/{p.pid}/status').read_text())[1]))
        time.sleep(.02)
    if p.returncode: raise SystemExit(f'{argv} failed')
    return peak/1024, p.stdout.read()

def prepare(path: str):
    "What the watched process does: one preprocess call"
    from segmask import load_tokenizer, preprocess
    load_tokenizer(MODEL)
    a, b = time.perf_counter(), cpu()
    p = preprocess(config(Path(path), dataset_prepared_path=f'{path}.prepared'))
    print(json.dumps(dict(rows=len(p), tokens=p.report.totals['tokens'], wall=time.perf_counter()-a, cpu=cpu()-b)))

def growth(folder: Path, sizes: list[int]) -> list[dict]:
    out = []
    for n in sizes:
        path = write(map(problem, range(n)), folder/f'{n}.jsonl')
        peak, said = watch([sys.executable, __file__, '--prepare', str(path)])
        out.append({**json.loads(said), 'MiB':peak, 'asked':n})
        print('  ' + json.dumps(out[-1]), file=sys.stderr)
        path.unlink()
        shutil.rmtree(f'{path}.prepared')
    return out

def exponent(points: list[dict], key: str) -> float:
    "The slope of log time against log tokens"
    x, y = ([math.log(o[k]) for o in points] for k in ('tokens', key))
    mx, my = statistics.mean(x), statistics.mean(y)
    return sum((a-mx)*(b-my) for a,b in zip(x, y))/sum((a-mx)**2 for a in x)

def startup(n: int) -> list[tuple[str, float]]:
    def run(code): return statistics.median(timed(lambda: subprocess.run([sys.executable, '-c', code], check=True, capture_output=True))[0] for _ in range(n))
    return [('python', run('pass')), ('import segmask', run('import segmask')), ('segmask --help', run('from segmask.cli import main\ntry: main(["--help"])\nexcept SystemExit: pass')),
            ('load_tokenizer', run(f'import segmask; segmask.load_tokenizer({MODEL!r})'))]

def plot(points: list[dict], path: Path):
    import matplotlib
    matplotlib.use('svg')
    import matplotlib.pyplot as plt
    matplotlib.rcParams.update({'svg.hashsalt':'segmask', 'font.size':10})
    fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout='constrained')
    for ax,key,label in zip(axes, ('wall', 'MiB'), ('seconds', 'peak anonymous memory, MiB')):
        ax.plot([o['rows'] for o in points], [o[key] for o in points], 'o-', color='#2979ff')
        ax.set(xscale='log', xlabel='rows', ylabel=label)
        ax.spines[['top', 'right']].set_visible(False)
        ax.grid(alpha=.3)
    axes[0].set_yscale('log')
    axes[1].set_ylim(0)
    fig.savefig(path, metadata={'Date':None})

def machine() -> str:
    info = Path('/proc/cpuinfo')
    model = re.search(r'model name\s*:\s*(.*)', info.read_text()) if info.exists() else None
    memory = os.sysconf('SC_PAGE_SIZE')*os.sysconf('SC_PHYS_PAGES')/2**30
    versions = ', '.join(f'{o} {version(o)}' for o in ('segmask', 'tokenizers', 'transformers', 'datasets', 'pyarrow', 'numpy'))
    return f'{model[1] if model else platform.processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; {platform.system()}, Python {platform.python_version()}, {versions}'

def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--runs', type=int, default=5, help='rounds (default: 5)')
    ap.add_argument('--long', type=int, default=1000, help='long rows (default: 1000)')
    ap.add_argument('--short', type=int, default=29_892, help='rows of short segments (default: 29892)')
    ap.add_argument('--sizes', default='10000,100000,1000000', help='rows, for memory and growth')
    ap.add_argument('--only', default='speed,commands,growth,startup', help='parts to run')
    ap.add_argument('--gsm8k', default=os.environ.get('GSM8K'), help='train.jsonl of GSM8K, for the short segments; else problems are made up')
    ap.add_argument('--output', type=Path, default=here, help='folder for RESULTS.md and rows.svg')
    ap.add_argument('--prepare', help=argparse.SUPPRESS)
    args = ap.parse_args()
    if args.prepare: return prepare(args.prepare)
    os.environ['HF_HUB_OFFLINE'] = '1'
    os.environ.pop('TOKENIZERS_PARALLELISM', None)
    parts, lines = args.only.split(','), []
    with tempfile.TemporaryDirectory(prefix='segmask-bench-') as d:
        folder = Path(d)
        sets = {'long rows': write(long_rows(args.long), folder/'long.jsonl'),
                'short segments': write(gsm8k_rows(args.gsm8k, args.short) if args.gsm8k else map(problem, range(args.short)), folder/'short.jsonl')}
        if 'speed' in parts:
            lines += ['## Speed', '', f'Medians of {args.runs} alternated rounds. Ratios to raw `encode_batch_fast` over the same texts in the same batches, each within a round: wall time, and CPU time in brackets.', '',
                      '| | ' + ' | '.join(f'{k}: seconds | ratio (CPU) | M tokens/s' for k in sets) + ' |', '|---|' + '---|'*(3*len(sets))]
            got = {k: speed(p, args.runs) for k,p in sets.items()}
            for way in next(iter(got.values()))[0]:
                lines.append(f'| {way} | ' + ' | '.join(f'{r[way][0]:.2f} | {r[way][1]:.2f} ({r[way][2]:.2f}) | {t/r[way][0]/1e6:.2f}' for r,_,t in got.values()) + ' |')
            for k,(r,s,t) in got.items():
                n = sum(1 for _ in open(sets[k], 'rb'))
                lines += ['', f'{k}: {n:,} rows, {s:,} segments, {t:,} tokens. `datasets.map` takes {r["datasets.map, a row at a time"][0]/r["whole preprocess"][0]:.1f} times as long as the whole `preprocess`.']
            lines += ['', 'Short segments are GSM8K cut at its calculator marks.' if args.gsm8k else 'Short segments are made-up arithmetic problems.', '']
        if 'commands' in parts:
            lines += ['## The commands', '', '`segmask preprocess --debug` against `axolotl preprocess --debug`, wall time of the whole process, medians.', '', '| | segmask | axolotl | times faster | rows equal |', '|---|---|---|---|---|']
            example = write(([(True, '<s>Hello\n'), (True, 'hi there!. '), (False, 'goodbye '), (True, 'farewell</s>')] for _ in range(500)), folder/'example.jsonl')
            for name,ours,theirs,times,equal in commands(folder, example, sets['short segments'], args.runs):
                lines.append(f'| {name} | {ours:.2f} s | ' + (f'{theirs:.2f} s | {times:.1f} | {"all, in order" if equal else "NO"} |' if theirs else 'SKIPPED: not here | | |'))
            lines.append('')
        if 'growth' in parts:
            points = growth(folder, [int(o) for o in args.sizes.split(',')])
            lines += ['## Growth', '', 'One `preprocess` call a process, over made-up arithmetic problems; anonymous memory (mapped Arrow pages not counted) of the whole process.', '',
                      '| rows | tokens | seconds | CPU seconds | M tokens/s | peak MiB | against the first |', '|---|---|---|---|---|---|---|']
            lines += [f'| {o["rows"]:,} | {o["tokens"]:,} | {o["wall"]:.2f} | {o["cpu"]:.2f} | {o["tokens"]/o["wall"]/1e6:.2f} | {o["MiB"]:.0f} | {o["MiB"]/points[0]["MiB"]:.2f} |' for o in points]
            if len(points)>1: lines += ['', f'Time grows with tokens to the power {exponent(points, "wall"):.2f} (CPU time: {exponent(points, "cpu"):.2f}).']
            lines += ['', '![time and memory against rows](rows.svg)', '']
            plot(points, args.output/'rows.svg')
        if 'startup' in parts:
            lines += ['## Start-up', '', '| | seconds |', '|---|---|', *(f'| {k} | {v:.2f} |' for k,v in startup(args.runs)), '']
    text = '\n'.join(['# Results', '', f'`make bench`, {datetime.date.today()}. {machine()}.', '', *lines])
    print(text)
    (args.output/'RESULTS.md').write_text(text)

if __name__=='__main__': main()
