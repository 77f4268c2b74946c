"Render `nbs/` without Quarto: Markdown pages in `_md/`, and `README.md` from `nbs/index.ipynb`"
import ast, builtins, re, shutil
from base64 import b64decode
from html import escape, unescape
from pathlib import Path
import yaml
from fastcore.nbio import read_nb
from nbdev.config import get_config
from nbdev.serve import proc_nbs

attrs = re.compile(r'\{target="_blank"[^}]*\}|<!-- WARNING.*?-->') # Quarto-only markup
text = lambda o: ''.join(o) if isinstance(o, list) else o

CODE = {'token', 'text', 'code', 'key', 'where', 'label', 'id'} # columns of names and tokens; others hold prose and numbers

def table_md(html):
    "A pandas table as a Markdown table: short, and legible where styles are stripped"
    rows = [[unescape(re.sub(r'<[^>]*>', '', c)) for c in re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', r, re.S)] for r in re.findall(r'<tr.*?</tr>', html, re.S)]
    if len(rows)>1 and rows[1][0] and not any(rows[1][1:]) and not rows[0][0]: rows[:2] = [[rows[1][0], *rows[0][1:]]] # the name of the index
    head, body = rows[0], rows[1:]
    if not head[0] and 'token' not in head and [r[0] for r in body]==[str(i) for i in range(len(body))]: head, body = head[1:], [r[1:] for r in body] # numbers that say nothing
    whole = lambda c: re.sub(r'([*_|])', lambda m: f'&#{ord(m[0])};', escape(c, quote=False).replace('\n', ' '))
    def cell(c, col):
        if col not in CODE or re.fullmatch(r'[\w.\-]*', c) and col not in ('token', 'text'): return whole(c)
        return f'<code>{whole(c if c.strip() else "␣"*len(c))}</code>' if c else ''
    return '\n'.join('| '+' | '.join(r)+' |' for r in [[whole(c) for c in head], ['---']*len(head), *([cell(c, k) for c,k in zip(r, head)] for r in body)])

def shown(html):
    "HTML of an output, apart from the page's own text: wide tables scroll by themselves, and the theme's rules for text do not touch it"
    html = re.sub('^#', '&#35;', html, flags=re.M) # no heading
    return f'<div class="shown" style="overflow-x:auto">{html}</div>'

def output(s):
    "What a cell printed"
    fence = '`'*max(3, 1+max((len(m) for m in re.findall('`+', s)), default=0))
    return f'{fence}text\n{s.rstrip()}\n{fence}'

def out_md(o, out, stem, i):
    "Markdown for one cell output"
    if o['output_type']=='stream': return output(text(o['text'])) if o.get('name')!='stderr' or 'tokenizer' in stem else '' # what goes to stderr is about this machine
    d = o.get('data', {})
    if 'text/markdown' in d: return text(d['text/markdown'])
    if 'text/html' in d and re.search(r'class="dataframe[ "]', text(d['text/html'])): return table_md(text(d['text/html']))
    if 'text/html' in d: return shown(text(d['text/html']))
    if 'image/svg+xml' in d: return shown(text(d['image/svg+xml']))
    if 'image/png' in d:
        (out/f'{stem}-{i}.png').write_bytes(b64decode(text(d['image/png'])))
        return f'![{escape(text(d.get("text/plain", "")).splitlines()[0][:200])}]({stem}-{i}.png)'
    return output(text(d.get('text/plain', '')))

def nb_md(path, out):
    "Markdown for one notebook processed by `proc_nbs`"
    parts, stem = [], path.stem
    for i,c in enumerate(read_nb(path).cells):
        src = c.source
        if c.cell_type=='raw':
            fm = yaml.safe_load(src.strip().strip('-')) or {}
            if fm.get('title'): parts += [f"# {fm.get('title')}", f"> {fm.get('description')}"]
        elif c.cell_type=='markdown': parts.append(src)
        else:
            code = re.sub(r'^#\|.*\n?', '', src, flags=re.M).strip()
            if code and not re.search(r'^#\|\s*echo:\s*false', src, re.M): parts.append(f'```python\n{code}\n```')
            parts += [out_md(o, out, stem, i) for o in c.get('outputs', [])]
    return '\n\n'.join(p for p in (attrs.sub('', o).strip('\n') for o in parts) if p) + '\n'

def import_types(folder):
    "Make the types known that modules import for type checkers only: signatures name them"
    for p in folder.glob('[!_]*.py'):
        for node in ast.parse(p.read_text()).body:
            if isinstance(node, ast.If) and getattr(node.test, 'id', '')=='TYPE_CHECKING': exec(ast.unparse(node.body), vars(builtins))

def page(path): return re.sub(r"^\d+_", "", path.stem) # "12_encoder.ipynb" -> "encoder"

def definitions(folder):
    "Functions and classes of the library as they are written: (module, name) -> node and source lines"
    out = {}
    for p in folder.glob('*.py'):
        src = p.read_text()
        for node in ast.parse(src).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)): out[p.stem, node.name] = node, src.splitlines()
    return out

def unquoted(line): return re.sub(r"(:|->) '([^'\n]*)'(?=\s*[,=):#]|\s*$)", r'\1 \2', line)

def head_of(node, lines):
    "A function's lines up to its docstring, annotations without quotes"
    body = node.body[0]
    first = lines[node.lineno-1:body.lineno-1] + ([lines[body.lineno-1].encode()[:body.col_offset].decode().rstrip()] if lines[body.lineno-1].encode()[:body.col_offset].strip() else [])
    cut = [l for l in first if l.strip() and not l.strip().startswith('@')]
    indent = len(cut[0])-len(cut[0].lstrip())
    return [unquoted(l[indent:]) for l in cut]

def entry(node, lines):
    "(code that says how to use it, its public methods)"
    if isinstance(node, ast.FunctionDef): return '\n'.join(head_of(node, lines)), ''
    code = [lines[node.lineno-1].split(':')[0].strip()+':' if not node.bases else lines[node.lineno-1].rsplit('):', 1)[0]+'):']
    code += [unquoted(lines[i]) for o in node.body if isinstance(o, ast.AnnAssign) and not o.target.id.startswith('_') for i in range(o.lineno-1, o.end_lineno)]
    methods = [o for o in node.body if isinstance(o, ast.FunctionDef)]
    for o in methods:
        if o.name in ('__init__', '__call__'): code += ['    '+l for l in head_of(o, lines)]
    public = []
    for o in methods:
        if o.name.startswith('_') or not ast.get_docstring(o): continue
        decorators = {ast.unparse(d).split('.')[-1] for d in o.decorator_list}
        names = [a.arg for a in (*o.args.args, *o.args.kwonlyargs)][0 if 'staticmethod' in decorators else 1:]
        public.append(f'- `{o.name}{"" if decorators & {"property", "cached_property"} else "("+", ".join(names)+")"}`: {ast.get_docstring(o).splitlines()[0]}')
    return '\n'.join(code), '\n'.join(public)

def api(md, known):
    "API entries with the source's own signatures, a class's fields and methods, and a place of their own to link to"
    modules = {m for m,_ in known}
    def one(m):
        url, level, name, code, doc = m.groups()
        module = re.search(r'segmask/(\w+)\.py', url or '')
        found = known.get((module[1], name)) if module else next((known[o, name] for o in sorted(modules) if (o, name) in known), None)
        code, methods = entry(*found) if found else (code, '')
        return '\n\n'.join(o for o in (f'{level} {name} {{ #api-{name} }}', f'```python\n{code}\n```', doc.strip() if doc else '', methods, f'<small>[source]({url})</small>' if url else '') if o) + '\n'
    return re.sub(r'^---\n\n(?:\[source\]\((\S+)\)\n\n)?(#{2,4}) (\w+)\n\n```python\n\n?(.*?)\n```\n(?:\n(\*[^\n]+\*)\n)?', one, md, flags=re.M|re.S)

def without_empty(md):
    "Headings under which nothing is left, since their code is exported and not shown, go"
    fences = re.compile(r'^(`{3,}).*?^\1\n?', re.M|re.S)
    kept: list[str] = []
    held = fences.sub(lambda m: (kept.append(m[0]), f'\0{len(kept)-1}\0')[1], md)
    while (new := re.sub(r'^(#{2,6}) [^\n{]*\n+(?=(#{1,6}) |\Z)', lambda m: m[0] if m[2] and len(m[2])>len(m[1]) else '', held, flags=re.M))!=held: held = new
    return re.sub('\0(\\d+)\0', lambda m: kept[int(m[1])], held)

# words in backticks that nbdev takes for our functions, where they are keys, roles and commands
WORDS = {'': {'diff', 'split', 'trained', 'masked', 'pack', 'input_output', 'completion', 'alpaca', 'edit'}, 'chat': {'train'}, 'prepare': {'train'}, 'store': {'train'}}

def site_links(md, pages, name):
    "Links to notebooks and to the published site as links between pages"
    md = re.sub(r'\]\((?:\.\./|nbs/|tutorials/)*(?:\d+[a-z]?_)?(\w+)\.ipynb(#[^)]*)?\)', lambda m: f']({m[1]}.md{m[2] or ""})' if m[1] in pages else m[0], md)
    md = re.sub(r'\[(`_[^`]*`)\]\([^)]*\)', r'\1', md) # private names have no place of their own
    def ours(m):
        word, to = m[1].split('.')[0], m[2]
        if word in WORDS['']|WORDS.get(name, set()) or to not in pages: return f'`{m[1]}`'
        return f'[`{m[1]}`]({to}.md#api-{word})' if f'{{ #api-{word} }}' in pages[to] else f'[`{m[1]}`]({to}.md)'
    md = re.sub(r'\[`([\w.]+)`\]\(https://example\.github\.io/segmask/(?:tutorials/)?(\w+)\.html(?:#[^)]*)?\)', ours, md)
    md = re.sub(r'\]\(https://example\.github\.io/segmask/(?:tutorials/)?(\w+)\.html(#[^)]*)?\)', lambda m: f']({m[1]}.md{(m[2] or "").lower()})' if m[1] in pages else m[0], md)
    return re.sub(r'^(`{3,})text$', r'\1 { .text .output .no-copy }', md, flags=re.M)

def llms_txt(pages, out):
    "An index of the pages for language models (https://llmstxt.org)"
    first = {p: re.findall(r'^(?:# |> )(.*)$', (out/f'{p}.md').read_text(), re.M)[:2] for p in pages}
    title, what = first['index']
    return f'# {title}\n\n> {what}\n\n## Pages\n\n' + ''.join(f'- [{o[0]}](https://example.github.io/segmask/{p}.html.md): {o[1] if len(o)>1 else ""}\n' for p,o in first.items() if p!='index')

if __name__=='__main__':
    cfg = get_config()
    import_types(cfg.lib_path)
    cache, out = Path(proc_nbs(n_workers=0, force=True)), cfg.config_path/'_md'
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    known = definitions(cfg.lib_path)
    made = {page(p): without_empty(api(nb_md(p, out), known)) for p in sorted(cache.rglob('*.ipynb'), key=lambda p: ('tutorials' in p.parts, p.stem!='index', p.name))}
    (cfg.config_path/'README.md').write_text(re.sub(r'\[(`[^`]*`)\]\(https://example[^)]*\)', r'\1', made['index']).replace('](images/', '](nbs/images/'))
    made['contributing'] = (cfg.config_path/'CONTRIBUTING.md').read_text()
    for name,md in made.items(): (out/f'{name}.md').write_text(site_links(md, made, name))
    shutil.copy(Path(__file__).parent/'site.css', out/'site.css')
    shutil.copytree(cfg.nbs_path/'images', out/'images')
    (out/'llms.txt').write_text(llms_txt(made, out))
