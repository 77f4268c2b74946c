"Render `nbs/` without Quarto: pages for the site in `_md/`, its configuration, and `README.md` from `nbs/index.ipynb`"
import ast, gzip, json, re, shutil
from base64 import b64decode
from configparser import ConfigParser
from functools import lru_cache
from html import escape, unescape
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
SETTINGS = ConfigParser(delimiters=['='])
SETTINGS.read(ROOT/'settings.ini', encoding='utf-8')
SET = SETTINGS['DEFAULT']
REPO, SITE = (SET['git_url'], SET['doc_host']+SET['doc_baseurl']) if SET['user'] else ('', '') # no user, no links
COLAB = 'https://colab.research.google.com/assets/colab-badge.svg'
SECTIONS = dict(tutorials='Lessons', root='Segments and files', tokens='Tokens', formats='Formats', config='Configs',
                data='Data sets', linting='Finding mistakes', views='Looking', training='Training',
                auditing='Auditing', widgets='Widgets', commands='In a shell')

def joined(o) -> str: return ''.join(o) if isinstance(o, list) else o

def directives(source: str) -> set[str]: return set(re.findall(r'^#\|\s*(\S.*?)\s*$', source, re.M))

# outputs

PLAIN = {'token', 'piece', 'text', 'code', 'key', 'where', 'label', 'id'} # columns of names and tokens: shown as code

def whole(text: str) -> str:
    "Text for a Markdown table"
    return re.sub(r'([*_|])', lambda m: f'&#{ord(m[0])};', escape(text, quote=False).replace('\n', ' '))

def table_cell(text: str, column: str) -> str:
    if column not in PLAIN or re.fullmatch(r'[\w.\-]*', text) and column not in ('token', 'text'): return whole(text)
    return f'<code>{whole(text if text.strip() else "␣"*len(text))}</code>' if text else ''

def table_md(html: str) -> str:
    "A pandas table as a Markdown table: short, and legible where styles are stripped"
    rows = [[unescape(re.sub(r'<[^>]*>', '', c)) for c in re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', r, re.S)]
            for r in re.findall(r'<tr.*?</tr>', html, re.S)]
    if len(rows)>1 and rows[1][0] and not any(rows[1][1:]) and not rows[0][0]:
        rows[:2] = [[rows[1][0], *rows[0][1:]]] # the name of the index stands in a row of its own
    head, body = rows[0], rows[1:]
    if not head[0] and 'token' not in head and [r[0] for r in body]==[str(i) for i in range(len(body))]:
        head, body = head[1:], [r[1:] for r in body] # row numbers
    head = [head[0] or '#', *head[1:]]
    lines = [[whole(c) for c in head], ['---']*len(head), *([table_cell(c, k) for c,k in zip(r, head)] for r in body)]
    return '\n'.join(f'| {" | ".join(r)} |' for r in lines)

def shown(html: str) -> str:
    "HTML of an output: wide tables scroll by themselves, and the theme's rules for text do not touch it"
    html = re.sub(r'<th( class="blank[^>]*)>&nbsp;</th>', r'<td\1></td>', html) # a heading is never empty
    return f'<div class="shown" style="overflow-x:auto" tabindex="0">{re.sub("^#", "&#35;", html, flags=re.M)}</div>'

def printed(text: str) -> str:
    fence = '`'*max(3, 1+max((len(m) for m in re.findall('`+', text)), default=0))
    return f'{fence}text\n{text.rstrip()}\n{fence}'

def output_md(output: dict, image: Path) -> str:
    "Markdown for one output; a picture is written to `image`"
    if output['output_type']=='stream':
        return printed(joined(output['text'])) if output.get('name')!='stderr' else ''
    data = {k: joined(v) for k,v in output.get('data', {}).items()}
    if 'text/markdown' in data: return data['text/markdown']
    if 'text/html' in data:
        is_table = re.search(r'class="dataframe[ "]', data['text/html'])
        return (table_md if is_table else shown)(data['text/html'])
    if 'image/svg+xml' in data: return shown(data['image/svg+xml'])
    if 'image/png' in data:
        image.write_bytes(b64decode(data['image/png']))
        return f'![{escape(data.get("text/plain", "").splitlines()[0][:200])}]({image.name})'
    return printed(data.get('text/plain', ''))

# what an exported cell defines

def unquoted(line: str) -> str: return re.sub(r"(:|->) '([^'\n]*)'(?=\s*[,=):#]|\s*$)", r'\1 \2', line)

def signature(node: ast.FunctionDef, lines: list[str]) -> list[str]:
    "A function's lines up to its body, as written, annotations without quotes"
    body = node.body[0]
    same = lines[body.lineno-1].encode()[:body.col_offset].decode().rstrip() # before a body in the same line
    head = lines[node.lineno-1:body.lineno-1] + ([same] if same else [])
    indent = len(head[0])-len(head[0].lstrip())
    return [unquoted(l[indent:]) for l in head if l.strip()]

def methods(node: ast.ClassDef) -> list[str]:
    "A line for each public method that has a docstring"
    out = []
    for o in node.body:
        if not isinstance(o, ast.FunctionDef) or o.name.startswith('_') or not ast.get_docstring(o): continue
        kinds = {ast.unparse(d).split('.')[-1] for d in o.decorator_list}
        names = [a.arg for a in (*o.args.args, *o.args.kwonlyargs)][0 if 'staticmethod' in kinds else 1:]
        call = '' if kinds & {'property', 'cached_property'} else f'({", ".join(names)})'
        out.append(f'- `{o.name}{call}`: {ast.get_docstring(o).splitlines()[0]}')
    return out

def class_code(node: ast.ClassDef, lines: list[str]) -> list[str]:
    "A class as one uses it: its fields, `__init__` and `__call__`"
    code = [f'class {node.name}{"(" + ", ".join(map(ast.unparse, node.bases)) + ")" if node.bases else ""}:']
    for o in node.body:
        if isinstance(o, ast.AnnAssign) and not o.target.id.startswith('_'):
            code += [unquoted(l) for l in lines[o.lineno-1:o.end_lineno]]
        if isinstance(o, ast.FunctionDef) and o.name in ('__init__', '__call__') and not o.decorator_list:
            code += ['    '+l for l in signature(o, lines)]
    return code

def described(doc: str) -> str:
    "A docstring as Markdown: its sentences, then its sections `Raises:` and `Example:`"
    said, *sections = re.split(r'^(?=(?:Args|Returns|Raises|Example):$)', doc, flags=re.M)
    parts = ['\n\n'.join(f'*{whole(o)}*' for o in said.strip().split('\n\n'))]
    for o in sections:
        title, _, rest = o.partition('\n')
        lines = dedent(rest).strip('\n')
        if title=='Example:': parts.append(f'```python\n{lines}\n```')
        else: parts.append(f'{title}\n\n' + '\n'.join(f'- {whole(l)}' for l in lines.split('\n')))
    return '\n\n'.join(parts)

def api(source: str, url: str) -> str:
    "How to use what an exported cell defines: signatures as written, docstrings, methods, a place to link to"
    lines, parts = source.splitlines(), []
    for node in ast.parse(source).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_'): continue
        if any(ast.unparse(d)=='overload' for d in node.decorator_list): continue
        is_class = isinstance(node, ast.ClassDef)
        code = '\n'.join((class_code if is_class else signature)(node, lines))
        doc = ast.get_docstring(node)
        more = '\n'.join(methods(node)) if is_class else ''
        parts += [f'### {node.name} {{ #api-{node.name} }}', f'```python\n{code}\n```',
                  described(doc) if doc else '', more, f'<small>[source]({url})</small>' if url else '']
    return '\n\n'.join(o for o in parts if o)

# pages

def stepped(md: str) -> str:
    "Headings of the third level that stand before any of the second are of the second"
    out, fenced, second = [], False, False
    for line in md.split('\n'):
        fenced ^= line.startswith('```')
        second |= not fenced and line.startswith('## ')
        out.append(line[1:] if line.startswith('### ') and not (fenced or second) else line)
    return '\n'.join(out)

def bare(path: Path) -> str: return re.sub(r'^\d+[a-z]?_', '', path.stem) # '12_encoder.ipynb' -> 'encoder'

@lru_cache
def chapters() -> tuple[Path, ...]:
    "Notebooks in reading order: the index, the lessons in the order of its last list, the chapters by number"
    found = [p for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts]
    index = (ROOT/'nbs/index.ipynb').read_text()
    lesson = lambda p: index.rindex(f'tutorials/{p.name}') if 'tutorials' in p.parts else len(index)
    return tuple(sorted(found, key=lambda p: (p.stem!='index', lesson(p), p.name)))

def page(path: Path) -> str:
    "The name of a notebook's page: its own, with the folder before it where two have the same"
    same = [p for p in chapters() if bare(p)==bare(path)]
    return bare(path) if len(same)<2 else f'{path.parent.name}_{bare(path)}'

def cell_md(cell: dict, image: Path, url: str) -> str:
    source = joined(cell['source'])
    if cell['cell_type']=='markdown': return source
    told = directives(source)
    if 'hide' in told or any(o.startswith('default_exp') for o in told): return ''
    if 'export' in told: return api(source, url)
    code = re.sub(r'^#\|.*\n?', '', source, flags=re.M).strip()
    outputs = [output_md(o, image.with_name(f'{image.stem}-{n}.png')) for n,o in enumerate(cell.get('outputs', []))]
    shown_code = f'```python\n{code}\n```' if code and 'echo: false' not in told else ''
    return '\n\n'.join(o for o in (shown_code, *outputs) if o)

def without_empty(md: str) -> str:
    "Headings under which nothing is left, since their code is exported and defines nothing public, go"
    kept: list[str] = []
    def hold(m): return kept.append(m[0]) or f'\0{len(kept)-1}\0'
    held, before = re.sub(r'^(`{3,}).*?^\1\n?', hold, md, flags=re.M|re.S), ''
    while before!=held:
        before = held
        held = re.sub(r'^(#{2,6}) [^\n{]*\n+(?=(#{1,6}) |\Z)',
                      lambda m: m[0] if m[2] and len(m[2])>len(m[1]) else '', held, flags=re.M)
    return re.sub('\0(\\d+)\0', lambda m: kept[int(m[1])], held)

def notebook_md(path: Path, out: Path) -> str:
    cells = json.loads(path.read_text())['cells']
    module = next((m[1] for c in cells if (m := re.search(r'default_exp (\S+)', joined(c['source'])))), '')
    url = REPO and f'{REPO}/blob/{SET["branch"]}/segmask/{module.replace(".", "/")}.py'
    parts = (cell_md(c, out/f'{page(path)}-{i}.png', url).strip('\n') for i,c in enumerate(cells))
    return without_empty('\n\n'.join(o for o in parts if o) + '\n')

def linked(md: str, pages: dict[str, str], places: dict[str, str]) -> str:
    """Links between notebooks as links between pages, and public names as links to where they are described.
    A name is one when it cannot be an English word: it has a capital, an underscore or parentheses"""
    numbered = {p.stem: page(p) for p in chapters()} # no two notebooks have one number and name
    def to_page(m): return f']({to}.md{m[2] or ""})' if (to := numbered.get(Path(m[1]).name)) in pages else m[0]
    def to_place(m):
        name, called = m[1], m[2]
        if name not in places or not (called or '_' in name or name!=name.lower()): return m[0]
        return f'[`{name}{called}`]({places[name]}.md#api-{name})'
    md = re.sub(r'\]\(((?:[\w./]*/)?\w+)\.ipynb(#[^)]*)?\)', to_page, md)
    for o in ('AGENTS', 'CONTRIBUTING'): md = md.replace(f']({o}.md)', f']({o.lower()}.md)')
    parts = re.split(r'(^`{3,}.*?^`{3,}$)', md, flags=re.M|re.S) # prose and code by turns
    name = r'(?<!\[)`(\w+)((?:\([^`]*\))?)`(?!\])'
    text = ''.join(p if i%2 else re.sub(name, to_place, p) for i,p in enumerate(parts))
    return re.sub(r'^(`{3,})text$', r'\1 { .text .output .no-copy }', text, flags=re.M)

def title(md: str) -> str: return next(iter(re.findall(r'^# (.*)$', md, re.M)), '')

def summary(md: str) -> str: return next(iter(re.findall(r'^> (.*)$', md, re.M)), '')

def nav(paths: tuple[Path, ...], made: dict[str, str]) -> str:
    "The site's navigation, in reading order, as TOML"
    groups: dict[str, list[Path]] = {o: [] for o in SECTIONS}
    for p in paths:
        if p.stem=='index': continue
        wing = p.parent.name
        groups[wing if wing!='nbs' else 'root' if p.name<'10' else 'commands'].append(p)
    def one(p): return f'{{ {json.dumps(title(made[page(p)]))} = "{page(p)}.md" }}'
    sections = [f'  {{ "{SECTIONS[k]}" = [{", ".join(map(one, v))}] }},' for k,v in groups.items() if v]
    first = '  { "Start" = "index.md" },'
    last = '  { "For assistants" = "agents.md" }, { "Contributing" = "contributing.md" },'
    return '\n'.join(['nav = [', first, *sections, last, ']'])

BADGE, INSTALL = 'colab-badge', 'colab-install' # ids of the cells

def addressed(
    cells: list[dict], # of a lesson
    path: Path,        # of its notebook, in the repository
) -> list[dict]: # with a badge that opens it in Colab and a cell that installs the package, where there is an address
    "A lesson that can be opened in Colab"
    rest = [c for c in cells if c['id'] not in (BADGE, INSTALL)]
    if not REPO: return rest
    to = REPO.replace('github.com', 'colab.research.google.com/github', 1)
    badge = f'[![Open in Colab]({COLAB})]({to}/blob/{SET["branch"]}/{path.as_posix()})'
    install = f'#| notest\n%pip install -q "{SET["repo"]}[train] @ git+{REPO}"'
    return [rest[0], dict(cell_type='markdown', id=BADGE, metadata={}, source=[badge]),
            dict(cell_type='code', execution_count=None, id=INSTALL, metadata={}, outputs=[],
                 source=install.splitlines(keepends=True)), *rest[1:]]

def with_addresses():
    "Write the badge and the install cell of every lesson, or take them away"
    for p in sorted((ROOT/'nbs/tutorials').glob('*.ipynb')):
        nb = json.loads(p.read_text())
        cells = addressed(nb['cells'], p.relative_to(ROOT))
        if cells!=nb['cells']: p.write_text(json.dumps({**nb, 'cells':cells}, ensure_ascii=False, indent=1)+'\n')

def badges(readme: str) -> str:
    "README with the state of its tests and its documentation under the subtitle, where there is an address"
    tests = f'{REPO}/actions/workflows/test.yml'
    line = f'[![tests]({tests}/badge.svg)]({tests}) [documentation]({SITE}/)'
    return re.sub(r'^(> .*\n)', lambda m: f'{m[1]}\n{line}\n', readme, count=1, flags=re.M) if REPO else readme

def llms_txt(made: dict[str, str]) -> str:
    "An index of the pages for language models (https://llmstxt.org)"
    site = f'{SITE}/' if SITE else ''
    line = lambda name: f'- [{title(made[name])}]({site}{name}.md): {summary(made[name])}'
    head = [f'# {title(made["index"])}', f'> {summary(made["index"])}', f'Begin here:\n\n{line("agents")}', '## Pages']
    return '\n\n'.join([*head, '\n'.join(line(o) for o in made if o not in ('index', 'agents'))]) + '\n'

GSM8K = ROOT/'nbs/tutorials/data/gsm8k.jsonl.gz' # 500 questions of its test split, MIT
LOOK = """
## Look without installing

`segmask view` writes rows into one file that anyone opens in a browser. Here are two: [the example above](example.html)
and [500 questions of GSM8K](gsm8k.html), to look at, search, and step through what the linter found.
"""

def views(out: Path):
    "Rows to look at, as `segmask view` makes pages of them"
    from segmask import Encoder, load_tokenizer, masked, trained
    from segmask.data.rows import WrittenRows
    from segmask.widgets.page import write_page
    enc = Encoder(load_tokenizer('mistralai/Mistral-7B-v0.1'), 'prompt')
    lines = map(json.loads, gzip.decompress(GSM8K.read_bytes()).splitlines())
    rows = [masked(f'<s>Question: {o["question"]}\nAnswer:') + trained(f' {o["answer"]}</s>') for o in lines]
    print(write_page(ROOT/'output.jsonl', out/'example.html', enc))
    print(write_page(WrittenRows(rows, enc, 'GSM8K, 500 questions'), out/'gsm8k.html'))

if __name__=='__main__':
    out = ROOT/'_md'
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    with_addresses()
    paths = chapters()
    made = {page(p): notebook_md(p, out) for p in paths}
    (ROOT/'README.md').write_text(badges(re.sub(r'(\]\(|src(?:set)?=")images/', r'\1nbs/images/', made['index'])))
    made['index'] += LOOK
    made |= {k: (ROOT/f'{k.upper()}.md').read_text() for k in ('agents', 'contributing')}
    places = {n: name for name,md in made.items() for n in re.findall(r'\{ #api-(\w+) \}', md)}
    for name,md in made.items(): (out/f'{name}.md').write_text(linked(stepped(md), made, places))
    for o in ('site.css', 'site.js'): shutil.copy(Path(__file__).parent/o, out/o)
    shutil.copytree(ROOT/'nbs/images', out/'images')
    views(out)
    (out/'llms.txt').write_text(llms_txt(made))
    places = f'site_url = "{SITE}/"\nrepo_url = "{REPO}"\n' if REPO else ''
    settings = (ROOT/'zensical.toml').read_text().replace('# nav: written by tools/docs.py', places + nav(paths, made))
    (ROOT/'_zensical.toml').write_text(settings)
