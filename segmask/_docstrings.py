"""What `nbdev-export` does to docstrings: the comments beside parameters become sections `Args` and `Returns`.

`export_procs` in pyproject.toml names `document`, so that help() and editors show what the notebooks say.
"""
import ast, re, textwrap
from collections.abc import Iterator
from typing import Any

WIDTH = 110
LAST = r'^(?=(?:Raises|Example):$)' # sections of a docstring in a notebook that come after the others

def comments(source: str) -> dict[int, str]:
    "Line -> the comment at its end"
    import io, tokenize
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string[1:].strip() for t in tokens if t.type==tokenize.COMMENT}

def arguments(node: ast.FunctionDef) -> Iterator[tuple[str, ast.arg, ast.expr|None]]:
    "(name, argument, default) of each parameter but `self` and `cls`"
    found = node.args
    positional = [*found.posonlyargs, *found.args]
    defaults = [None]*(len(positional)-len(found.defaults)) + list(found.defaults)
    pairs = [('', a, d) for a,d in zip(positional, defaults)]
    if found.vararg: pairs.append(('*', found.vararg, None))
    pairs += [('', a, d) for a,d in zip(found.kwonlyargs, found.kw_defaults)]
    if found.kwarg: pairs.append(('**', found.kwarg, None))
    return ((stars+a.arg, a, d) for stars,a,d in pairs if a.arg not in ('self', 'cls'))

def annotation(node: ast.expr|None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str): return node.value
    return ast.unparse(node).replace(' | ', '|') if node else ''

def entry(name: str, kind: str, default: ast.expr|None, what: str) -> str:
    "`name (type, default 3): what it is`, wrapped"
    given = ast.unparse(default) if default else '_'
    told = ', '.join(o for o in (kind, '' if given.startswith('_') else f'default {given}') if o)
    line = f'{name} ({told}): {what}' if told else f'{name}: {what}'
    return textwrap.fill(line.rstrip(': '), WIDTH-8, subsequent_indent='    ', break_long_words=False,
                         break_on_hyphens=False)

def header_end(node: ast.FunctionDef, lines: list[str]) -> int:
    "The line of the colon after a function's head"
    last = max([node.lineno, *(o.end_lineno or 0 for _,a,d in arguments(node) for o in (a, d) if o),
                node.returns.end_lineno or 0 if node.returns else 0])
    while last<node.body[0].lineno and not re.search(r':\s*(#.*)?$', lines[last-1]): last += 1
    return last

def parameters(node: ast.FunctionDef, notes: dict[int, str], end: int) -> list[str]:
    "An entry for each parameter; none where no parameter has a comment"
    found = list(arguments(node))
    last = [(d or a).end_lineno or 0 for _,a,d in found]
    what = ['' if n==end or last.count(n)>1 and n==node.lineno else notes.get(n, '') for n in last]
    if not any(what): return []
    return [entry(name, annotation(a.annotation), d, w) for (name,a,d),w in zip(found, what)]

def field_default(node: ast.expr|None) -> ast.expr|None:
    "The default of a field: a constant, `field(default=...)` or pydantic's `Field(...)`"
    if not isinstance(node, ast.Call): return node if isinstance(node, (ast.Constant, ast.Tuple)) else None
    named = [o.value for o in node.keywords if o.arg=='default']
    return next(iter([*named, *node.args]), None)

def fields(node: ast.ClassDef, notes: dict[int, str]) -> list[str]:
    "An entry for each field of a class that has a comment"
    found = [(ast.unparse(o.target), o) for o in node.body if isinstance(o, ast.AnnAssign)]
    return [entry(name, annotation(o.annotation), field_default(o.value), notes[o.end_lineno or 0])
            for name,o in found if o.end_lineno in notes and not name.startswith('_')]

def section(title: str, entries: list[str]) -> str:
    return f'{title}:\n' + textwrap.indent('\n'.join(entries), '    ') if entries else ''

def function_sections(node: ast.FunctionDef, notes: dict[int, str], lines: list[str]) -> list[str]:
    end = header_end(node, lines)
    note, kind = notes.get(end, ''), annotation(node.returns)
    doc, args = ast.get_docstring(node) or '', section('Args', parameters(node, notes, end))
    if '\nReturns:' in doc or not args and not note and '\nArgs:' not in doc: return []
    line = ': '.join(o for o in (kind, note) if o)
    returns = textwrap.fill(line, WIDTH-8, break_long_words=False, break_on_hyphens=False)
    return [args, section('Returns', [returns] if line and kind!='None' else [])]

def class_sections(node: ast.ClassDef, notes: dict[int, str], lines: list[str]) -> list[str]:
    made = [o for o in node.body if isinstance(o, ast.FunctionDef) and o.name=='__init__']
    args = section('Args', parameters(made[0], notes, header_end(made[0], lines))) if made else ''
    built = any(ast.unparse(o).split('(')[0]=='dataclass' for o in node.decorator_list)
    built = built or any(ast.unparse(o)=='NamedTuple' for o in node.bases)
    return [args, section('Args' if built else 'Attributes', fields(node, notes))]

def narrow(line: str, indent: int) -> str:
    "A line of prose that fits; code is left as it is"
    fits = len(line)+indent<=WIDTH+6 or line.lstrip().startswith(('>>>', '...'))
    return line if fits else textwrap.fill(line, WIDTH-indent, break_long_words=False, break_on_hyphens=False)

def joined(doc: str, sections: list[str]) -> str:
    "A docstring with sections between its sentences and those that were written by hand"
    told, *by_hand = re.split(LAST, doc, maxsplit=1, flags=re.M)
    return '\n\n'.join(o.strip('\n') for o in (told.rstrip(), *sections, *by_hand) if o.strip())

def literal(doc: str, indent: int) -> str:
    doc = '\n'.join(narrow(l, indent) for l in doc.split('\n'))
    text = doc.replace('\\', '\\\\').replace('"""', '\\"\\"\\"')
    first, *rest = text.split('\n')
    return '"""' + '\n'.join([first, *(' '*indent + l if l else '' for l in rest), ' '*indent + '"""'])

def documented(source: str) -> str:
    "The source of a cell, with what the comments say in its docstrings"
    try: tree = ast.parse(source)
    except SyntaxError: return source # a cell with magics
    lines, notes = source.splitlines(), comments(source)
    edits = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith('_') and node.name!='__call__':
            continue
        doc = ast.get_docstring(node)
        if not doc: continue
        at = node.body[0]
        sections = class_sections(node, notes, lines) if isinstance(node, ast.ClassDef) else function_sections(
            node, notes, lines)
        if any(sections): edits.append((at.lineno, at.end_lineno, at.col_offset, joined(doc, sections)))
    for start,end,indent,doc in sorted(edits, reverse=True):
        lines[start-1:end] = (' '*indent + literal(doc, indent)).split('\n')
    return '\n'.join(lines)

def document(cell: Any):
    "The processor: an exported cell gets its docstrings"
    if cell.cell_type=='code' and {'export', 'exporti'} & set(cell.directives_ or ()):
        cell.source = documented(cell.source)
