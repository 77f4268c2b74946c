"Do all links between the pages of `_docs/` lead somewhere, anchors too?"
import re, sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

site = Path(sys.argv[1] if len(sys.argv)>1 else '_docs').resolve()
pages = {p: p.read_text() for p in site.rglob('*.html')}
ids = {p: set(re.findall(r'\s(?:id|name)="?([^"\s>]+)', t)) for p,t in pages.items()}
bad = []
for p,t in pages.items():
    if p.name=='404.html': continue
    for link in map(unescape, re.findall(r'<a [^>]*?href="?([^"\s>]+)', t)):
        if re.match(r'[a-z]+:|//', link): continue
        path, _, anchor = link.partition('#')
        to = (site/path.lstrip('/') if path.startswith('/') else p.parent/unquote(path)).resolve() if path else p
        if to.is_dir(): to = to/'index.html'
        if not to.exists(): bad.append(f'{p.relative_to(site)}: {link}: no such page')
        elif anchor and to in ids and unquote(anchor) not in ids[to] and not anchor.startswith('__'):
            bad.append(f'{p.relative_to(site)}: {link}: no such place')
print(*bad, sep='\n') if bad else print(f'{len(pages)} pages, all links lead somewhere')
sys.exit(bool(bad))
