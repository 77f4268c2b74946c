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

def ratios(times: dict, to: str) -> dict[str, tuple[float, float, float, float]]:
    "way -> median seconds, median ratio of wall time, median ratio of CPU time, median CPU seconds"
    med = statistics.median
    return {k: (med(w for w,_ in v), *(med(o[j]/r[j] for o,r in zip(v, times[to])) for j in (0,1)), med(c for _,c in v)) for k,v in times.items()}

@contextlib.contextmanager
def quiet():
    with contextlib.redirect_stderr(io.StringIO()): yield

def texts_of(path: str) -> list[list[str]]:
    "The texts of all segments, those of a thousand rows together"
    rows = [[o['text'] for o in json.loads(l)['segments']] for l in open(path, encoding='utf8')]
    return [[t for r in rows[i:i+1000] for t in r] for i in range(0, len(rows), 1000)]

def raw(path: str):
    "Only the real tokenizer, loaded already"
    from segmask import load_tokenizer
    backend, parts = load_tokenizer(MODEL).backend_tokenizer, texts_of(path)
    def encode():
        for t in parts: backend.encode_batch_fast(t, add_special_tokens=False)
    return encode

def whole(path: str):
    "The whole call in a process that has imported nothing yet: imports, tokenizer, engine, reading, encoding, writing"
    def call():
        from segmask import preprocess
        with tempfile.TemporaryDirectory(dir=Path(path).parent) as d: preprocess(config(Path(path), dataset_prepared_path=d))
    return call

def linted(path: str):
    from segmask import Encoder, lint
    enc = Encoder(MODEL)
    return lambda: lint(path, enc)

def by_map(path: str):
    "What one would write: datasets.map, a row at a time"
    import datasets
    from segmask import load_tokenizer
    datasets.disable_progress_bars()
    tok, source = load_tokenizer(MODEL), datasets.Dataset.from_json(path, cache_dir=f'{path}.cache')
    def one(row): # axolotl/prompt_strategies/input_output.py
        ids, labels = [], []
        for o in row['segments']:
            new = tok(o['text'], add_special_tokens=False)['input_ids']
            ids += new
            labels += new if o['label'] else [-100]*len(new)
        return dict(input_ids=ids, labels=labels, attention_mask=[1]*len(ids))
    def call():
        with tempfile.TemporaryDirectory(dir=Path(path).parent) as d:
            source.map(one, remove_columns='segments', load_from_cache_file=False, cache_file_name=f'{d}/a.arrow')
    return call

WAYS = {'raw encode_batch_fast': raw, 'whole preprocess': whole, 'lint': linted, 'datasets.map, a row at a time': by_map}

def way(name: str, path: str):
    "What a process of its own does: one way, timed"
    with quiet():
        call = WAYS[name](path)
        wall, used = timed(call)
    print(json.dumps([wall, used]))

def apart(name: str, path: Path, tree: Path=here.parent) -> tuple[float, float]: # wall, CPU seconds
    "One way in a fresh process; `tree` is the checkout to take segmask from"
    argv = [sys.executable, str(Path(tree)/'bench'/'bench.py') if tree!=here.parent else __file__, '--way', name, str(path)]
    p = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, 'PYTHONPATH':str(tree)}, cwd=path.parent)
    if p.returncode: raise SystemExit(p.stderr[-3000:])
    return tuple(json.loads(p.stdout))

def speed(path: Path, n: int, names: list[str]) -> dict:
    "way -> medians, of rounds in which the ways follow one another, each in a fresh process"
    out = {k:[] for k in names}
    for i in range(n):
        for k in names:
            out[k].append(apart(k, path))
            print(f'  round {i+1} {k}: {out[k][-1][0]:.2f} s, {out[k][-1][1]:.2f} CPU s', file=sys.stderr)
    return ratios(out, 'raw encode_batch_fast')

def run_preprocess(yaml: Path, argv: list[str], env: dict|None=None) -> tuple[float, float]:
    "(wall, CPU) seconds of one command in the folder of its config, whose prepared data is removed first"
    shutil.rmtree(yaml.parent/'last_run_prepared', ignore_errors=True)
    def call():
        p = subprocess.run([*argv, yaml.name, '--debug'], cwd=yaml.parent, capture_output=True, text=True, env={**os.environ, **(env or {})})
        if p.returncode: raise SystemExit(f'{" ".join(argv)} failed:\n{p.stdout[-1000:]}\n{p.stderr[-3000:]}')
    return timed(call)

def stored(yaml: Path) -> list:
    from datasets import load_from_disk
    folder = next(o for o in (yaml.parent/'last_run_prepared').iterdir() if o.is_dir()) # beside it may lie a lock
    return load_from_disk(str(folder)).select_columns(['input_ids', 'labels']).to_list()

OURS = [sys.executable, '-c', f'import sys; sys.path.insert(0, {str(here.parent)!r}); from segmask.cli import main; sys.exit(main())', 'preprocess']

def folders(folder: Path, rows_500: Path, many: Path) -> list[tuple[str, Path, Path]]: # (name, data, folder with the configs)
    "A folder for each command, with a config for us and one for axolotl, which has no tokenizer of its own"
    import yaml
    from segmask import load_tokenizer
    model = folder/'model'
    with quiet(): load_tokenizer(MODEL).save_pretrained(model)
    (model/'config.json').write_text(json.dumps(dict(architectures=['MistralForCausalLM'], model_type='mistral', hidden_size=64, intermediate_size=128, num_attention_heads=4,
                                                     num_hidden_layers=2, num_key_value_heads=2, vocab_size=32000, max_position_embeddings=32768)))
    out = []
    for name,path,ours_from in (('500 rows', rows_500, MODEL), ('500 rows, tokenizer from a folder', rows_500, model), ('many rows', many, MODEL)):
        work = folder/name.replace(' ', '-')
        work.mkdir(exist_ok=True)
        cfg = dict(base_model=str(ours_from), seed=49, datasets=[dict(path=str(path), type='input_output')], val_set_size=.1, sequence_len=896, micro_batch_size=2,
                   gradient_accumulation_steps=3, num_epochs=1, learning_rate=2e-4, special_tokens=dict(bos_token='<s>', eos_token='</s>', unk_token='<unk>'))
        (work/'c.yaml').write_text(yaml.safe_dump(cfg, sort_keys=False))
        (work/'a.yaml').write_text(yaml.safe_dump({**cfg, 'base_model':str(model)}, sort_keys=False))
        out.append((name, path, work))
    return out

def commands(folder: Path, rows_500: Path, many: Path, n: int) -> list[tuple]:
    "The commands on the documentation's example and on many rows: (data, ours, axolotl's or None, ratios, equal?)"
    axolotl = shlex.split(os.environ.get('AXOLOTL', '')) or ([shutil.which('axolotl')] if shutil.which('axolotl') else None)
    if not axolotl: print('SKIPPED: the axolotl command is not here (set AXOLOTL to compare with it)', file=sys.stderr)
    out, both = [], lambda times: tuple(statistics.median(o[j] for o in times) for j in (0, 1))
    for name,path,work in folders(folder, rows_500, many):
        ours, theirs, equal = [], [], None
        for i in range(n):
            ours.append(run_preprocess(work/'c.yaml', OURS))
            rows = stored(work/'c.yaml') if i==0 and axolotl else None
            fresh = dict(HF_HUB_OFFLINE='1', AXOLOTL_DO_NOT_TRACK='1', HF_DATASETS_CACHE=str(work/f'cache-{i}'), PYTHONPATH='') # so that no run finds what the one before it cached
            if axolotl: theirs.append(run_preprocess(work/'a.yaml', [*axolotl, 'preprocess'], fresh))
            if rows is not None: equal = rows==stored(work/'c.yaml')
            print(f'  {name}, round {i+1}: ours {ours[-1]}, axolotl {theirs[-1] if axolotl else None}', file=sys.stderr)
        count = sum(1 for _ in open(path, 'rb'))
        times = both([(t[0]/o[0], t[1]/o[1]) for o,t in zip(ours, theirs)]) if theirs else None
        out.append((f'{count:,} rows{name.partition(" rows")[2]}', both(ours), both(theirs) if theirs else None, times, equal))
    return out

def watch(argv: list[str], folder: Path) -> tuple[float, str]:
    "(peak anonymous memory in MiB, output) of a process, looked at 50 times a second"
    env = {k:v for k,v in os.environ.items() if k!='PYTHONPATH'}
    p, peak = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder, env=env), 0
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

def growth(folder: Path, sizes: list[int], before: Path|None) -> tuple[list[dict], list[dict]]:
    "One call a process, with this version and with the one before"
    out: tuple[list, list] = [], []
    for n in sizes:
        path = write(map(problem, range(n)), folder/f'{n}.jsonl')
        for tree,points in zip([here.parent, *([before] if before else [])], out):
            code = f'import sys; sys.path.insert(0, {str(tree)!r}); sys.path.insert(0, {str(tree/"bench")!r}); import bench; bench.prepare({str(path)!r})'
            peak, said = watch([sys.executable, '-c', code], folder)
            points.append({**json.loads(said), 'MiB':peak, 'asked':n})
            print('  ' + json.dumps(points[-1]), file=sys.stderr)
            shutil.rmtree(f'{path}.prepared')
        path.unlink()
    return out

def exponent(points: list[dict], key: str) -> float:
    "The slope of log time against log tokens"
    x, y = ([math.log(o[k]) for o in points] for k in ('tokens', key))
    mx, my = statistics.mean(x), statistics.mean(y)
    return sum((a-mx)*(b-my) for a,b in zip(x, y))/sum((a-mx)**2 for a in x)

def startup(n: int, folder: Path, before: Path|None) -> list[tuple[str, float, float|None]]:
    "(command, CPU seconds, share of what the version before took); the trees take turns"
    trees = [here.parent, *([before] if before else [])]
    def run(tree, argv, cwd):
        shutil.rmtree(cwd/'last_run_prepared', ignore_errors=True)
        code = f'import sys; sys.path.insert(0, {str(tree)!r}); from segmask.cli import main; sys.exit(main())'
        env = {k:v for k,v in os.environ.items() if k!='PYTHONPATH'}
        call = lambda: subprocess.run([sys.executable, '-c', code, *argv], cwd=cwd, env=env, check=True, capture_output=True)
        return timed(call)[1]
    out = []
    for name,argv,cwd in (('segmask --help', ['--help'], folder), ('500 rows', ['preprocess', 'c.yaml', '--debug'], folder/'500-rows'),
                          ('500 rows, tokenizer from a folder', ['preprocess', 'c.yaml', '--debug'], folder/'500-rows,-tokenizer-from-a-folder')):
        times = [[run(t, argv, cwd) for t in trees] for _ in range(n)]
        share = statistics.median(o[0]/o[1] for o in times) if before else None
        out.append((name, statistics.median(o[0] for o in times), share))
    return out

def plot(points: list[dict], old: list[dict], path: Path):
    import matplotlib
    matplotlib.use('svg')
    import matplotlib.pyplot as plt
    matplotlib.rcParams.update({'svg.hashsalt':'segmask', 'font.size':10})
    fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout='constrained')
    for ax,key,label in zip(axes, ('cpu', 'MiB'), ('CPU seconds', 'peak anonymous memory, MiB')):
        for some,name,color in ((points, 'this version', '#2979ff'), (old, 'the version before', '#888888')):
            if some: ax.plot([o['rows'] for o in some], [o[key] for o in some], 'o-', color=color, label=name)
        ax.set(xscale='log', xlabel='rows', ylabel=label)
        ax.spines[['top', 'right']].set_visible(False)
        ax.grid(alpha=.3)
    axes[0].set_yscale('log')
    axes[0].legend(frameon=False)
    axes[1].set_ylim(0)
    fig.savefig(path, metadata={'Date':None})

def machine() -> str:
    info = Path('/proc/cpuinfo')
    model = re.search(r'model name\s*:\s*(.*)', info.read_text()) if info.exists() else None
    memory = os.sysconf('SC_PAGE_SIZE')*os.sysconf('SC_PHYS_PAGES')/2**30
    from segmask import __version__
    versions = ', '.join([f'segmask {__version__}', *(f'{o} {version(o)}' for o in ('tokenizers', 'gigatoken', 'transformers', 'datasets', 'pyarrow', 'numpy'))])
    return f'{model[1] if model else platform.processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; {platform.system()}, Python {platform.python_version()}, {versions}'

def speed_lines(sets: dict[str, Path], n: int) -> list[str]:
    names = ['raw encode_batch_fast', 'whole preprocess', 'datasets.map, a row at a time']
    lines = [f'Medians of {n} rounds, in which the ways follow one another, each in a process of its own. Ratios to raw `encode_batch_fast` over the same texts, whose '
             'tokenizer is loaded already; `preprocess` includes its imports and the loading of the tokenizer. Wall time, and CPU time in brackets.', '',
             '| | ' + ' | '.join(f'{k}: seconds (CPU) | ratio (CPU)' for k in sets) + ' |', '|---|' + '---|'*(2*len(sets))]
    got = {k: speed(p, n, names) for k,p in sets.items()}
    for way in names:
        lines.append(f'| {way} | ' + ' | '.join('{0:.2f} ({3:.2f}) | {1:.2f} ({2:.2f})'.format(*r[way]) for r in got.values()) + ' |')
    for k,r in got.items():
        rows = [json.loads(l)['segments'] for l in open(sets[k], encoding='utf8')]
        lines += ['', f'{k}: {len(rows):,} rows, {sum(map(len, rows)):,} segments. `datasets.map` takes {r[names[2]][3]/r[names[1]][3]:.1f} times the CPU time of the whole `preprocess`.']
    return lines

def fine(i: int):
    "A row in which the linter finds nothing"
    return [(False, f'<s>Question {i}: what is {i} plus {i%97}, and why is that so? Think about it for a while.\nAnswer:'), (True, f' It is {i+i%97}, since {i} and {i%97} make so many.</s>')]

def look(path: str):
    "What the watched process does: one lint call over rows without findings"
    from segmask import Encoder, lint
    enc = Encoder(MODEL)
    lint(str(Path(path).parent/'few.jsonl'), enc) # what is there once, however many rows come: pandas, the engine
    print(len(lint(path, enc, ignore=['pad-is-eos', 'bos-at-inference'])))

def lint_memory(folder: Path, sizes: tuple[int, int]) -> float:
    "Bytes of peak anonymous memory that one more row without findings takes"
    write(map(fine, range(20_000)), folder/'few.jsonl')
    peaks = []
    for n in sizes:
        path = write(map(fine, range(n)), folder/f'fine-{n}.jsonl')
        peak, found = watch([sys.executable, str(here/'bench.py'), '--look', str(path)], folder)
        if int(found): raise SystemExit(f'{found} findings in rows that are fine')
        peaks.append(peak)
        print(f'  lint of {n:,} rows: {peak:.1f} MiB', file=sys.stderr)
    return (peaks[1]-peaks[0])*2**20/(sizes[1]-sizes[0])

def lint_lines(path: Path, n: int, sizes: tuple[int, int]=(100_000, 500_000)) -> list[str]:
    r = speed(path, n, ['raw encode_batch_fast', 'lint'])
    took, memory = r['lint'], lint_memory(path.parent, sizes)
    return [f'`lint` over the short segments takes {took[2]:.2f} times the CPU time of raw `encode_batch_fast` over the same texts ({took[3]:.2f} CPU seconds; wall time {took[1]:.2f} times). '
            'Every one of these rows has findings, most of them for each of its segments: the tokenizer puts a space before it.', '',
            f'Each further row without findings takes {memory:.0f} bytes of anonymous memory (between {sizes[0]:,} and {sizes[1]:,} rows). '
            f'The machine had a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {n} rounds.']

def command_lines(folder: Path, example: Path, many: Path, n: int) -> list[str]:
    lines = ['`segmask preprocess --debug` against `axolotl preprocess --debug`, the whole process, medians; wall time, and CPU time in brackets.', '',
             '| | segmask | axolotl | times faster (CPU) | rows equal |', '|---|---|---|---|---|']
    for name,ours,theirs,times,equal in commands(folder, example, many, n):
        lines.append(f'| {name} | {ours[0]:.2f} s ({ours[1]:.2f}) | ' + (f'{theirs[0]:.2f} s ({theirs[1]:.2f}) | {times[0]:.1f} ({times[1]:.1f}) | {"all, in order" if equal else "NO"} |' if theirs else 'SKIPPED: not here | | |'))
    return lines

def growth_lines(folder: Path, sizes: list[int], before: Path|None, output: Path) -> list[str]:
    points, old = growth(folder, sizes, before)
    lines = ['One `preprocess` call a process, over made-up arithmetic problems; anonymous memory (mapped Arrow pages not counted) of the whole process.', '',
             '| rows | tokens | seconds | CPU seconds | CPU before | share | peak MiB | against the first |', '|---|---|---|---|---|---|---|---|']
    for i,o in enumerate(points):
        was = f'{old[i]["cpu"]:.2f} | {o["cpu"]/old[i]["cpu"]:.2f}' if old else '|'
        lines.append(f'| {o["rows"]:,} | {o["tokens"]:,} | {o["wall"]:.2f} | {o["cpu"]:.2f} | {was} | {o["MiB"]:.0f} | {o["MiB"]/points[0]["MiB"]:.2f} |')
    if len(points)>1: lines += ['', f'CPU time grows with tokens to the power {exponent(points, "cpu"):.2f}.']
    plot(points, old, output/'rows.svg')
    return lines + ['', '![CPU time and memory against rows](rows.svg)']

def startup_lines(n: int, folder: Path, before: Path|None) -> list[str]:
    rows = startup(n, folder, before)
    return ['CPU seconds of the whole process, medians.', '', '| | CPU seconds | of the version before |', '|---|---|---|',
            *(f'| {k} | {v:.2f} | {"" if share is None else f"{share:.2f}"} |' for k,v,share in rows)]

def put_into(path: Path, head: str|None, sections: dict[str, list[str]]):
    "Replace these sections of the results; others stay, and the head where none is given"
    parts = re.split(r'^## (.*)\n', path.read_text() if path.exists() else '', flags=re.M)
    old = {k: v.strip() for k,v in zip(parts[1::2], parts[2::2])}
    all = {k: '\n'.join(sections[k]) if k in sections else old.get(k) for k in TITLES.values()}
    path.write_text('\n\n'.join([parts[0].strip() if head is None else head, *(f'## {k}\n\n{v}' for k,v in all.items() if v)])+'\n')

PARTS = dict(speed='Speed', lint='Lint', commands='The commands', growth='Growth', startup='Start-up')
TITLES = {**PARTS, 'fuzz':'Equality'} # the last by fuzz.py

def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--runs', type=int, default=5, help='rounds (default: 5)')
    ap.add_argument('--long', type=int, default=1000, help='long rows (default: 1000)')
    ap.add_argument('--short', type=int, default=29_892, help='rows of short segments (default: 29892)')
    ap.add_argument('--sizes', default='10000,100000,1000000', help='rows, for memory and growth')
    ap.add_argument('--only', default=','.join(PARTS), help='parts to run; the others stay as they are in RESULTS.md')
    ap.add_argument('--before', type=Path, help='a checkout of an older version, for growth and start-up')
    ap.add_argument('--gsm8k', default=os.environ.get('GSM8K'), help='train.jsonl of GSM8K, for the short segments; else problems are made up')
    ap.add_argument('--output', type=Path, default=here, help='folder for RESULTS.md and rows.svg')
    ap.add_argument('--note', default='', help='what to say of the machine, such as that others used it too')
    ap.add_argument('--prepare', help=argparse.SUPPRESS)
    ap.add_argument('--look', help=argparse.SUPPRESS)
    ap.add_argument('--way', nargs=2, help=argparse.SUPPRESS)
    args = ap.parse_args()
    os.environ['HF_HUB_OFFLINE'] = '1'
    for k in ('TOKENIZERS_PARALLELISM', 'PYTHONDONTWRITEBYTECODE'): os.environ.pop(k, None) # as for anyone who installed it
    if args.prepare: return prepare(args.prepare)
    if args.look: return look(args.look)
    if args.way: return way(*args.way)
    parts, found = args.only.split(','), {}
    with tempfile.TemporaryDirectory(prefix='segmask-bench-') as d:
        folder = Path(d)
        short = write(gsm8k_rows(args.gsm8k, args.short) if args.gsm8k else map(problem, range(args.short)), folder/'short.jsonl')
        example = write(([(True, '<s>Hello\n'), (True, 'hi there!. '), (False, 'goodbye '), (True, 'farewell</s>')] for _ in range(500)), folder/'example.jsonl')
        kind = 'Short segments are GSM8K cut at its calculator marks.' if args.gsm8k else 'Short segments are made-up arithmetic problems.'
        if 'speed' in parts:
            sets = {'short segments': short, 'long rows': write(long_rows(args.long), folder/'long.jsonl')}
            found['Speed'] = [*speed_lines(sets, args.runs), '', kind]
        if 'lint' in parts: found['Lint'] = lint_lines(short, args.runs)
        if 'commands' in parts: found['The commands'] = command_lines(folder, example, short, args.runs)
        if 'growth' in parts: found['Growth'] = growth_lines(folder, [int(o) for o in args.sizes.split(',')], args.before, args.output)
        if 'startup' in parts:
            folders(folder, example, example)
            found['Start-up'] = startup_lines(args.runs, folder, args.before)
    head = f'# Results\n\n`make bench`, {datetime.date.today()}. {machine()}.' + (f'\n\n{args.note}' if args.note else '')
    put_into(args.output/'RESULTS.md', head, found)
    print((args.output/'RESULTS.md').read_text())

if __name__=='__main__': main()
