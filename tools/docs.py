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

def table_md(html):
    "A pandas table as a Markdown table: short, and legible where styles are stripped"
    rows = [[unescape(re.sub(r'<[^>]*>', '', c)).replace('|', '\\|') for c in re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', r, re.S)] for r in re.findall(r'<tr.*?</tr>', html, re.S)]
    code = lambda c, head: escape(c) if head or not re.search(r'[^\w.\-]', c) else f'`{c}`'
    rows = [[code(c, i==0 or j==0) for j,c in enumerate(r)] for i,r in enumerate(rows)]
    return '\n'.join('| '+' | '.join(r)+' |' for r in [rows[0], ['---']*len(rows[0]), *rows[1:]])

def out_md(o, out, stem, i):
    "Markdown for one cell output"
    if o['output_type']=='stream': return '\n'.join('    '+l for l in text(o['text']).splitlines())
    d = o.get('data', {})
    if 'text/markdown' in d: return text(d['text/markdown'])
    if 'text/html' in d and 'class="dataframe"' in text(d['text/html']): return table_md(text(d['text/html']))
    if 'text/html' in d: return text(d['text/html'])
    if 'image/svg+xml' in d: return text(d['image/svg+xml'])
    if 'image/png' in d:
        (out/f'{stem}-{i}.png').write_bytes(b64decode(text(d['image/png'])))
        return f'![]({stem}-{i}.png)'
    return '\n'.join('    '+l for l in text(d.get('text/plain','')).splitlines())

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

def page(path): return re.sub(r'^\d+[a-z]?_', '', path.stem) # '03_encoder.ipynb' -> 'encoder'

def short_names(md):
    "Signatures with the names that a reader writes: `Segments`, not `segmask.core.Segments`"
    shorter = lambda m: re.sub(r'\b(?:__main__|typing|collections\.abc|segmask\.\w+|pandas(?:\.\w+)+)\.(?=[A-Z_])', '', m[0])
    return re.sub(r'^```python\n\n?def \w+\(.*?^```', shorter, md, flags=re.M|re.S)

def site_links(md, pages):
    "Links to notebooks and to the published site as links between pages"
    md = re.sub(r'\]\((?:\.\./|nbs/|tutorials/)*(?:\d+[a-z]?_)?(\w+)\.ipynb(#[^)]*)?\)', lambda m: f']({m[1]}.md{m[2] or ""})' if m[1] in pages else m[0], md)
    md = re.sub(r'\[(`_[^`]*`)\]\([^)]*\)', r'\1', md) # private names have no place of their own
    return re.sub(r'\]\(https://example\.github\.io/segmask/(?:tutorials/)?(\w+)\.html(#[^)]*)?\)', lambda m: f']({m[1]}.md{(m[2] or "").lower()})' if m[1] in pages else m[0], md)

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
    made = {page(p): short_names(nb_md(p, out)) for p in sorted(cache.rglob('*.ipynb'), key=lambda p: ('tutorials' in p.parts, p.stem!='index', p.name))}
    (cfg.config_path/'README.md').write_text(re.sub(r'\[(`[^`]*`)\]\(https://example[^)]*\)', r'\1', made['index']))
    made['contributing'] = (cfg.config_path/'CONTRIBUTING.md').read_text()
    for name,md in made.items(): (out/f'{name}.md').write_text(site_links(md, made))
    (out/'llms.txt').write_text(llms_txt(made, out))
