"README's picture, from a real encoding: `python tools/pictures.py` writes nbs/images/double_space_*.svg"
from html import escape
from pathlib import Path

from segmask import Encoder, load_tokenizer, masked, trained

OUT = Path(__file__).parents[1]/'nbs/images'
STEP, LEFT = 11, 130
DOTTED = ' stroke-dasharray="2 2"'
PARTS = 'text quiet trained masked added back'.split()
COLORS = {'light': dict(zip(PARTS, '#1f2328 #59636e #0969da #818b98 #cf222e #ffebe9'.split())),
          'dark': dict(zip(PARTS, '#f0f6fc #9198a1 #58a6ff #9198a1 #ff7b72 #4c1d1d'.split()))}

def characters(segments, tokens: list[tuple[str, bool]]) -> tuple[list, list]:
    "(character, trained?, added?) as it was written, and as the tokens read"
    written = [(c, o.label, False) for o in segments for c in o.text]
    shown, at = [], 0
    for text,is_trained in tokens:
        for c in text:
            same = at<len(written) and written[at][0]==c
            shown.append((c, is_trained, not same))
            at += same
    return written, shown

def line(chars: list, y: int, colors: dict) -> str:
    "A line of characters, each at its own place, underlined as it is trained or masked"
    glyph = {'\n': '⏎', ' ': '·'}
    boxes = ''.join(f'<rect x="{LEFT+i*STEP-1}" y="{y-16}" width="{STEP+1}" height="22" rx="3" fill="{colors["back"]}" '
                    f'stroke="{colors["added"]}"/>' for i,(_,_,added) in enumerate(chars) if added)
    marks = ''.join(f'<line x1="{LEFT+i*STEP}" x2="{LEFT+(i+1)*STEP-1}" y1="{y+9}" y2="{y+9}" stroke-width="2" '
                    f'stroke="{colors["trained" if t else "masked"]}"{"" if t else DOTTED}/>'
                    for i,(_,t,_) in enumerate(chars))
    def one(c, t, added): return colors['added' if added else 'text' if t else 'quiet']
    text = ''.join(f'<text x="{LEFT+i*STEP}" y="{y}" fill="{one(c, t, a)}">{escape(glyph.get(c, c))}</text>'
                   for i,(c,t,a) in enumerate(chars))
    return boxes + marks + text

def picture(colors: dict, written: list, shown: list) -> str:
    def label(text, y):
        return f'<text x="0" y="{y}" fill="{colors["quiet"]}" font-family="sans-serif" font-size="15">{text}</text>'
    width, y = LEFT+STEP*len(shown)+8, 128
    def dash(x, color, how=''):
        return f'<line x1="{x}" x2="{x+26}" y1="{y-5}" y2="{y-5}" stroke="{color}" stroke-width="2"{how}/>'
    def words(text, x): return label(text, y).replace('x="0"', f'x="{x}"')
    box = (f'<rect x="{LEFT+225}" y="{y-16}" width="12" height="20" rx="3" fill="{colors["back"]}" '
           f'stroke="{colors["added"]}"/>')
    legend = (dash(LEFT, colors['trained']) + words('trained', LEFT+34) + dash(LEFT+110, colors['masked'], DOTTED)
              + words('masked', LEFT+144) + box + words('a space that nobody wrote', LEFT+245))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 140" width="{width}" height="140" '
            'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="17">'
            f'{label("you wrote", 28)}{line(written, 28, colors)}'
            f'{label("axolotl trains on", 80)}{line(shown, 80, colors)}{legend}</svg>\n')

if __name__=='__main__':
    tok = load_tokenizer('mistralai/Mistral-7B-v0.1')
    row = trained('<s>Hello\n') + trained('hi there!. ') + masked('goodbye ') + trained('farewell</s>')
    encoded = Encoder(tok)(row)
    pieces = tok.convert_ids_to_tokens(encoded.input_ids)
    tokens = [(p.replace('▁', ' ').replace('<0x0A>', '\n'), l!=-100) for p,l in zip(pieces, encoded.labels)]
    written, shown = characters(row, tokens)
    for name,colors in COLORS.items(): (OUT/f'double_space_{name}.svg').write_text(picture(colors, written, shown))
