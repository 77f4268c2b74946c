// @ts-check
// All that segmask's widgets draw. Python sends plain data (traits), this sends messages back: {do: 'mask', ...}.
// Text from data goes through textContent only; nothing here makes markup of it.

/** @typedef {{get(name: string): any, send(message: any): void, on(event: string, f: (m: any) => void): void}} Model */
/** @typedef {{n: number, key: string, t: string[], id: number[], l: string, sp: string, p: string, s: [number, number][], a: number[], b: number[],
 *   runs: [string, number][], hits: [number, number, number, number][], said: string, where: string, nats?: (number|null)[]}} Row */
/** @typedef {{el: HTMLElement, spans: HTMLElement[], key: string, a: number, b: number, built: boolean}} Chunk */
/** @typedef {{first: number, last: number} | {from: number, to: number} | null} Selection_ */

const KEYS = [
  ['← → or k j', 'row before, row after'], ['Home End', 'first, last row'], ['/', 'search; Enter goes to the next hit'],
  ['Esc', 'leave a field; select nothing'], ['n p', 'next, previous finding'], ['w', 'tokens or plain text'], ['c', 'copy the text'], ['l', 'loss of each token, where there is a model'],
  ['?', 'this help'],
];
const EDIT_KEYS = [
  ['drag, shift ← →', 'select tokens'], ['m t', 'mask, train what is selected'], ['x', 'turn the segment around'],
  ['f', 'fix the finding that is selected'], ['u or ctrl-z', 'undo'], ['r or ctrl-shift-z', 'redo'], ['ctrl-s', 'save'],
];
/** @type {Record<string, string>} */
const COMMANDS = {
  j: 'next', k: 'prev', ArrowRight: 'next', ArrowLeft: 'prev', Home: 'first', End: 'last', m: 'mask', t: 'train', x: 'toggle', u: 'undo',
  r: 'redo', c: 'copy', l: 'loss', w: 'mode', n: 'next-finding', p: 'prev-finding', f: 'fix', '?': 'help', Escape: 'clear',
};
const LINE = 24; // height of a line in the list of rows, as in the style sheet
let views = 0; // for ids

/** An element; properties where it has them, else attributes. @param {string} tag @param {Record<string, any>} [props] @param {...(Node|string)} inside @returns {any} */
function make(tag, props = {}, ...inside) {
  const o = /** @type {any} */ (document.createElement(tag));
  for (const [k, v] of Object.entries(props)) k in o && !k.startsWith('aria') ? (o[k] = v) : o.setAttribute(k, String(v));
  o.append(...inside);
  return o;
}
/** @param {string} text @param {string} hint @param {() => void} [onclick] @returns {HTMLButtonElement} */
const button = (text, hint, onclick, more = {}) => make('button', { type: 'button', textContent: text, title: hint, onclick, ...more });
/** @param {string} name @param {...(Node|string)} inside @returns {HTMLElement} */
const group = (name, ...inside) => make('div', { role: 'group', 'aria-label': name, className: 'sm-group' }, ...inside);
/** @param {string} name @param {[string, string][]} options @returns {HTMLSelectElement} */
const choice = (name, options) => make('select', { 'aria-label': name, title: name }, ...options.map(([value, text]) => make('option', { value, textContent: text })));
/** @param {string} text @param {string} hint @returns {HTMLButtonElement} */
const flag = (text, hint) => button(text, hint, undefined, { 'aria-pressed': 'false', 'aria-label': `${text}: ${hint}` });
/** @param {Element} o */
const pressed = o => o.getAttribute('aria-pressed') === 'true';
/** @param {Element} o @param {boolean} v */
const press = (o, v) => o.setAttribute('aria-pressed', String(v));
/** @param {number} n */
const count = n => n.toLocaleString('en');
/** @param {number} n @param {string} what */
const many = (n, what) => `${count(n)} ${what}${n === 1 ? '' : 's'}`;
/** @param {(...a: any[]) => void} f @param {number} ms */
function later(f, ms) {
  let timer = 0;
  return (/** @type {any[]} */ ...a) => { clearTimeout(timer); timer = window.setTimeout(() => f(...a), ms); };
}
/** New children, the focus on the one that stands where it was. @param {HTMLElement} box @param {...(Node|string)} inside */
function refill(box, ...inside) {
  const list = () => /** @type {HTMLElement[]} */ ([...box.querySelectorAll('button, [tabindex]')]);
  const at = list().indexOf(/** @type {any} */ (box.getRootNode()).activeElement);
  box.replaceChildren(...inside);
  if (at >= 0) (list()[at] || box).focus({ preventScroll: true });
}
/** Characters, not UTF-16 units. @param {string} s */
const size = s => /[\ud800-\udbff]/.test(s) ? [...s].length : s.length;

// ---- the text of a row ----------------------------------------------------------------------------------------------------------

/** Where a row is cut into blocks that are laid out only when they are seen: after line breaks. @param {Row} r @returns {[number, number][]} */
function blocks(r) {
  const out = /** @type {[number, number][]} */ ([]);
  let a = 0;
  r.t.forEach((t, i) => {
    if ((i - a >= 200 && t.endsWith('⏎')) || i - a >= 600) { out.push([a, i + 1]); a = i + 1; }
  });
  if (a < r.t.length) out.push([a, r.t.length]);
  return out;
}
/** Each token's segment. @param {Row} r @returns {number[]} */
const segments = r => r.s.flatMap(([v, n]) => Array(n).fill(v));
const MOST = 8; // nats at which the colour of a loss is full
/** How strong a token's loss is drawn, 0 to 8. @param {Row} r @param {number} i */
const level = (r, i) => Math.min(8, Math.round(8 * (r.nats?.[i] || 0) / MOST));
/** Who a token is from, where a chat template tells: kind -> words. @type {Record<string, string>} */
const PARTS = { c: 'context', s: 'supplied by the prompt', w: 'written by the model', r: 'rewritten since the model wrote it' };
/** @param {Row} r @param {number} i */
const kind = (r, i) => (r.l[i] === '1' ? 'trained' : 'masked') + (r.p[i] ? `, ${PARTS[r.p[i]]}` : '');
/** @param {Row} r @param {number[]} seg @param {number} i */
function tip(r, seg, i) {
  return `token ${i} · id ${r.id[i]} · label ${r.l[i] === '1' ? r.id[i] : -100}, ${kind(r, i)}` +
    (seg[i] == null ? '' : ` · segment ${seg[i]}`) + (r.a[i] == null ? '' : ` · characters ${r.a[i]}–${r.b[i]}`) +
    (r.nats ? (r.nats[i] == null ? ' · nothing predicts it' : ` · loss ${r.nats[i]}`) : '');
}
/** What a block looks like: tokens, labels, where segments begin. Not their numbers: these change behind a mark. @param {Row} r @param {number[]} seg @param {number} a @param {number} b */
function blockKey(r, seg, a, b) {
  const edges = [];
  for (let i = a; i < b; i++) if (i && seg[i] !== seg[i - 1]) edges.push(i - a);
  return [b < r.t.length, r.id.slice(a, b).join(), r.l.slice(a, b), r.p.slice(a, b), edges.join(), r.nats ? r.nats.slice(a, b).join() : ''].join(' ');
}

/** Write the tokens of a block. @param {Row} r @param {number[]} seg @param {Chunk} c */
function build(r, seg, c) {
  const all = document.createDocumentFragment();
  c.built = true;
  for (let i = c.a; i < c.b; i++) {
    const lit = r.l[i] === '1', t = r.t[i];
    if (i === c.a || r.l[i] !== r.l[i - 1] || r.p[i] !== r.p[i - 1]) all.append(make('span', { className: 'sm-said', textContent: ` ${kind(r, i)}: ` }));
    const span = document.createElement('span');
    span.textContent = t;
    span.dataset.i = String(i);
    span.className = (lit ? 'sm-t' : 'sm-m') + (r.sp[i] === '1' ? ' sm-special' : i && seg[i] !== seg[i - 1] ? ' sm-edge' : ' sm-tok') + ('swr'.includes(r.p[i] || '-') ? ` sm-${r.p[i]}-part` : '') + (r.nats ? ` sm-l${level(r, i)}` : '');
    c.spans.push(span);
    if (t[0] === '·' && i > c.a) all.append(document.createElement('wbr')); // lines break before words
    all.append(span);
    if (t.endsWith('⏎') && i < c.b - 1) all.append('\n');
  }
  c.el.append(all);
  if (c.b < r.t.length && !r.t[c.b - 1].endsWith('⏎')) c.el.classList.add('sm-cut');
}

/** The text in the middle: tokens or characters, dragged over, with hits. @param {{select(s: Selection_): void, hover(text: string, segment: number|null): void}} tell @param {string} name */
function textPane(tell, name) {
  const pre = make('pre', { dir: 'ltr' });
  const view = make('div', { className: 'sm-view', tabIndex: 0, role: 'group', 'aria-label': name }, pre);
  let row = /** @type {Row|null} */ (null), seg = /** @type {number[]} */ ([]), chunks = /** @type {Chunk[]} */ ([]), spans = /** @type {HTMLElement[]} */ ([]);
  let mode = 'tokens', lo = -1, hi = -2, anchor = /** @type {number|null} */ (null), timer = 0, heated = /** @type {Row['nats']} */ (undefined);

  const soon = new IntersectionObserver(seen => seen.forEach(o => { if (o.isIntersecting) write(chunks.find(c => c.el === o.target)); }), { root: pre, rootMargin: '600px' });
  const idle = later(() => { // the rest, so that a page can be searched
    const c = chunks.find(o => !o.built);
    if (c) { write(c); idle(); }
  }, 20);

  /** Write a block, if it is not there yet. @param {Chunk|undefined} c */
  function write(c) {
    if (!c || c.built || !row) return;
    soon.unobserve(c.el);
    build(row, seg, c);
    c.spans.forEach((o, k) => { spans[c.a + k] = o; });
    for (let i = Math.max(c.a, lo); i < c.b && i <= hi; i++) spans[i].classList.add('sm-sel');
    for (const [i, j] of row.hits) for (let k = Math.max(i, c.a); k <= j && k < c.b; k++) spans[k].classList.add('sm-hit');
  }
  /** @param {number} i */
  const ensure = i => write(chunks.find(c => i >= c.a && i < c.b));

  /** @param {Row} r @param {string} how */
  function draw(r, how) {
    const same = row && row.n === r.n && mode === how, top = pre.scrollTop;
    const changed = !row || row.key !== r.key || mode !== how || how === 'text' || heated !== r.nats;
    if (changed) paint(-1, -2);
    for (const o of pre.querySelectorAll('.sm-hit')) o.classList.remove('sm-hit', 'sm-now');
    row = r; mode = how; heated = r.nats;
    if (changed) mode === 'tokens' ? drawTokens(r, !!same) : drawText(r);
    if (mode === 'tokens') for (const [i, j] of r.hits) for (let k = i; k <= j && i >= 0; k++) spans[k]?.classList.add('sm-hit');
    pre.scrollTop = same ? top : 0;
  }
  /** @param {Row} r @param {boolean} same */
  function drawTokens(r, same) {
    seg = segments(r);
    const was = pre.className === 'sm-tokens' ? chunks : [];
    chunks = blocks(r).map(([a, b], k) => {
      const key = blockKey(r, seg, a, b), old = was[k];
      if (old?.key !== key) {
        const el = make('div', { className: 'sm-block' });
        if (same && old?.built) el.style.containIntrinsicSize = `auto ${old.el.offsetHeight}px`; // so that nothing moves
        return { el, spans: [], key, a, b, built: false };
      }
      if (old.a !== a) old.spans.forEach((o, n) => { o.dataset.i = String(a + n); });
      return Object.assign(old, { a, b });
    });
    spans = [];
    for (const c of chunks) c.spans.forEach((o, k) => { spans[c.a + k] = o; });
    if (was.length !== chunks.length) pre.replaceChildren(...chunks.map(o => o.el));
    else chunks.forEach((o, k) => { if (o !== was[k]) was[k].el.replaceWith(o.el); });
    pre.className = 'sm-tokens';
    let n = 0;
    chunks.forEach((c, k) => { if (!c.built && (c.b < 1200 || (same && was[k]?.built && (n += c.b - c.a) < 4000))) write(c); });
    for (const c of chunks) if (!c.built) soon.observe(c.el);
    idle();
    if (!r.t.length) pre.replaceChildren(make('em', { textContent: 'nothing to show' }));
  }
  /** @param {Row} r */
  function drawText(r) {
    const marks = r.hits.filter(o => o[2] >= 0).map(o => [o[2], o[3]]), out = [];
    let at = 0;
    for (const [text, weight] of r.runs) {
      const chars = [...text], cuts = new Set([0, chars.length]);
      for (const [a, b] of marks) for (const c of [a, b]) if (c > at && c < at + chars.length) cuts.add(c - at);
      const sorted = [...cuts].sort((x, y) => x - y);
      out.push(make('span', { className: 'sm-said', textContent: weight ? ' trained: ' : ' masked: ' }));
      for (let k = 0; k + 1 < sorted.length; k++) {
        const a = at + sorted[k], hit = marks.some(([x, y]) => a >= x && a < y);
        const span = make('span', { textContent: chars.slice(sorted[k], sorted[k + 1]).join(''), className: (weight ? 'sm-t' : 'sm-m') + (hit ? ' sm-hit' : '') });
        span.dataset.at = String(a);
        out.push(span);
      }
      at += chars.length;
    }
    chunks = []; spans = [];
    pre.className = 'sm-text';
    pre.replaceChildren(...out);
  }
  /** Show tokens a to b as selected. @param {number} a @param {number} b */
  function paint(a, b) {
    for (let i = Math.max(lo, 0); i <= hi; i++) if (i < a || i > b) spans[i]?.classList.remove('sm-sel');
    for (let i = Math.max(a, 0); i <= b; i++) if (i < lo || i > hi || !spans[i]?.classList.contains('sm-sel')) spans[i]?.classList.add('sm-sel');
    [lo, hi] = [a, b];
  }
  /** @param {number} x @param {number} y */
  function tokenAt(x, y) {
    const o = /** @type {any} */ (pre.getRootNode()).elementFromPoint(x, y)?.closest?.('[data-i]');
    return o && pre.contains(o) ? Number(o.dataset.i) : null;
  }
  /** @param {number|null} i */
  const reach = i => { if (i != null && anchor != null) paint(Math.min(anchor, i), Math.max(anchor, i)); };
  /** Scroll while the mouse is held at an edge. @param {PointerEvent} e */
  function edge(e) {
    cancelAnimationFrame(timer);
    const box = pre.getBoundingClientRect(), by = e.clientY > box.bottom - 16 ? 12 : e.clientY < box.top + 16 ? -12 : 0;
    const step = () => {
      pre.scrollTop += by;
      reach(tokenAt(Math.min(Math.max(e.clientX, box.left + 12), box.right - 24), by > 0 ? box.bottom - 20 : box.top + 20));
      timer = requestAnimationFrame(step);
    };
    if (anchor != null && by) timer = requestAnimationFrame(step);
  }
  pre.addEventListener('pointerdown', (/** @type {PointerEvent} */ e) => {
    if (e.button || mode !== 'tokens') return;
    const i = tokenAt(e.clientX, e.clientY);
    view.focus({ preventScroll: true });
    if (i == null) return;
    anchor = e.shiftKey && lo >= 0 ? lo : i;
    pre.setPointerCapture(e.pointerId);
    reach(i);
    e.preventDefault();
  });
  pre.addEventListener('pointermove', (/** @type {PointerEvent} */ e) => { if (anchor != null) { reach(tokenAt(e.clientX, e.clientY)); edge(e); } });
  pre.addEventListener('pointerup', () => { cancelAnimationFrame(timer); if (anchor != null) { anchor = null; tell.select({ first: lo, last: hi }); } });
  pre.addEventListener('pointercancel', () => { cancelAnimationFrame(timer); anchor = null; paint(-1, -2); tell.select(null); });
  /** @param {Node} node @param {number} off */
  function place(node, off) {
    const span = /** @type {any} */ (node.nodeType === 3 ? node.parentElement : node).closest('[data-at]');
    if (!span) return node === pre && row ? (off ? row.runs.reduce((n, [t]) => n + size(t), 0) : 0) : null;
    return Number(span.dataset.at) + (node.nodeType === 3 ? size(/** @type {Text} */ (node).data.slice(0, off)) : off ? size(span.textContent) : 0);
  }
  pre.addEventListener('mouseup', () => {
    if (mode !== 'text') return;
    const s = getSelection();
    if (!s || !s.rangeCount || s.isCollapsed || !s.anchorNode || !s.focusNode || !pre.contains(s.anchorNode) || !pre.contains(s.focusNode)) return;
    const [a, b] = [place(s.anchorNode, s.anchorOffset), place(s.focusNode, s.focusOffset)];
    view.focus({ preventScroll: true });
    if (a != null && b != null && a !== b) tell.select({ from: Math.min(a, b), to: Math.max(a, b) });
  });
  pre.addEventListener('mouseover', (/** @type {MouseEvent} */ e) => {
    const o = /** @type {any} */ (e.target).closest?.('[data-i]');
    if (!o || !row) return tell.hover('', null);
    o.title = tip(row, seg, Number(o.dataset.i));
    tell.hover(o.title, seg[Number(o.dataset.i)] ?? null);
  });
  pre.addEventListener('mouseleave', () => tell.hover('', null));

  return {
    el: view, draw, paint,
    /** Select by program, and bring it into view. @param {number} i @param {number} j */
    show(i, j) {
      if (mode !== 'tokens' || i < 0) return;
      ensure(i);
      paint(i, j);
      spans[i]?.scrollIntoView({ block: 'nearest' });
      const box = pre.getBoundingClientRect(), o = spans[i]?.getBoundingClientRect(); // nearest may leave it under an edge
      if (o && (o.top < box.top || o.bottom > box.bottom)) pre.scrollTop += o.top - box.top - box.height / 3;
    },
    /** @param {number} i @param {number} j */
    now(i, j) {
      for (const o of pre.querySelectorAll('.sm-now')) o.classList.remove('sm-now');
      ensure(i);
      for (let k = i; k <= j; k++) spans[k]?.classList.add('sm-now');
      const box = pre.getBoundingClientRect(), o = spans[i]?.getBoundingClientRect();
      if (o && (o.top < box.top || o.bottom > box.bottom)) pre.scrollTop += o.top - box.top - box.height / 3;
    },
    /** @param {number|null} n */
    segment(n) {
      for (const o of pre.querySelectorAll('.sm-hover')) o.classList.remove('sm-hover');
      if (n != null) for (let i = seg.indexOf(n); i >= 0 && seg[i] === n; i++) spans[i]?.classList.add('sm-hover');
    },
    /** Grow the selection by a token. @param {number} by @returns {Selection_} */
    grow(by) {
      if (mode !== 'tokens' || !row?.t.length) return null;
      if (anchor == null && lo < 0) paint(0, 0);
      else paint(lo, Math.max(lo, Math.min(row.t.length - 1, hi + by)));
      ensure(hi);
      spans[hi]?.scrollIntoView({ block: 'nearest' });
      return { first: lo, last: hi };
    },
  };
}

// ---- the list of rows --------------------------------------------------------------------------------------------------------------

/** A list of any length: only the lines in view are there. @param {(what: string, more?: any) => void} send @param {string} id @param {boolean} losses are there any to show? */
function rowList(send, id, losses) {
  const head = make('div', { className: 'sm-sorts', role: 'group', 'aria-label': 'Sort rows' });
  const pad = make('div', { className: 'sm-pad' });
  const box = make('div', { className: 'sm-rows', role: 'listbox', tabIndex: 0, 'aria-label': 'Rows in view' }, pad);
  const sorts = [['number', 'row', 'number'], ['tokens', 'tokens', 'length'], ['share', 'trained', 'trained share'], ['findings', 'found', 'findings'], ['loss', 'loss', 'mean loss of its trained text']].map(([key, text, name]) => {
    const b = button(text, `sort by ${name}; again turns it around`, () => send('sort', { sort: view.sort === key ? '-' + key : key }), { 'aria-label': `${text}: sort by ${name}` });
    b.dataset.sort = key;
    b.hidden = key === 'loss' && !losses;
    head.append(b);
    return b;
  });
  let view = /** @type {any} */ ({ shown: 0, position: 0, sort: 'number' }), list = /** @type {any} */ ({ from: 0, rows: [] }), at = -1;
  const height = () => Math.min(view.shown * LINE, 8e6); // a browser's elements end somewhere
  const first = () => {
    const whole = view.shown * LINE, room = box.clientHeight || 400;
    return whole <= 8e6 ? Math.floor(box.scrollTop / LINE) : Math.round(box.scrollTop / Math.max(1, 8e6 - room) * Math.max(0, view.shown - room / LINE));
  };
  const want = later(() => {
    const a = first(), n = Math.ceil((box.clientHeight || 400) / LINE);
    if (a < list.from || Math.min(a + n, view.shown) > list.from + list.rows.length) send('window', { from: Math.max(0, a - 20), to: a + n + 20 });
  }, 60);
  function place() {
    pad.style.height = height() + 'px';
    const big = view.shown * LINE > 8e6, a = first();
    for (const o of pad.children) o.style.top = (big ? box.scrollTop + (Number(o.dataset.at) - a) * LINE : Number(o.dataset.at) * LINE) + 'px';
  }
  /** @param {any} row @param {number} k */
  function line(row, k) {
    const [n, where, tokens, share, found, text, loss] = row, here = k === view.position;
    const word = (/** @type {string} */ text) => make('span', { className: 'sm-said', textContent: text });
    const bar = make('span', { className: 'sm-share' });
    if (share >= 0) { bar.style.setProperty('--share', 100 * share + '%'); bar.append(word(`${Math.round(100 * share)}% trained, `)); }
    const o = make('div', { className: 'sm-line', role: 'option', id: `${id}-${k}`, 'aria-selected': here, 'aria-posinset': k + 1, 'aria-setsize': view.shown, title: where },
      make('span', {}, word('row '), String(n), word(', ')), make('span', {}, tokens < 0 ? '…' : count(tokens), word(tokens < 0 ? 'not counted, ' : ' tokens, ')), bar,
      make('span', { className: found > 0 ? 'sm-some' : '' }, found < 0 ? '' : String(found), word(found < 0 ? '' : ' findings, ')),
      ...(losses ? [make('span', {}, loss == null ? '' : loss.toFixed(2), word(loss == null ? '' : ' loss, '))] : []), make('span', { className: 'sm-begins', textContent: text, dir: 'auto' }));
    o.dataset.at = String(k);
    o.onclick = () => send('at', { position: k });
    return o;
  }
  function draw(/** @type {any} */ v, /** @type {any} */ l) {
    view = v; list = l;
    const down = v.sort.startsWith('-'), key = v.sort.replace('-', '');
    view = { ...v };
    for (const b of sorts) { const on = b.dataset.sort === key; press(b, on); b.dataset.down = on ? (down ? '▼' : '▲') : ''; }
    pad.replaceChildren(...list.rows.map((/** @type {any} */ o, /** @type {number} */ k) => line(o, list.from + k)));
    if (v.position !== at) { // keep the row that is looked at in sight
      at = v.position;
      const y = at * LINE, whole = v.shown * LINE <= 8e6;
      if (whole && (y < box.scrollTop || y + LINE > box.scrollTop + box.clientHeight)) { pad.style.height = height() + 'px'; box.scrollTop = y - box.clientHeight / 3; }
      else if (!whole && (at < first() || at > first() + box.clientHeight / LINE - 1)) { pad.style.height = height() + 'px'; box.scrollTop = at / v.shown * 8e6; }
    }
    const there = v.position >= list.from && v.position < list.from + list.rows.length;
    there ? box.setAttribute('aria-activedescendant', `${id}-${v.position}`) : box.removeAttribute('aria-activedescendant');
    place();
    want();
  }
  box.addEventListener('scroll', () => { place(); want(); });
  box.addEventListener('keydown', (/** @type {KeyboardEvent} */ e) => {
    const by = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 })[e.key];
    if (by) { send('go', { by }); e.preventDefault(); e.stopPropagation(); }
  });
  return { el: make('div', { className: 'sm-list' + (losses ? ' sm-with-loss' : '') }, head, box), draw };
}

// ---- findings and segments --------------------------------------------------------------------------------------------------------

/** @param {{pick(k: number): void, mend(code: string, all: boolean): void, turn(n: number): void, over(n: number|null): void}} tell */
function sidePane(tell) {
  const findings = make('div', { className: 'sm-findings', role: 'group', 'aria-label': 'Findings of this row', tabIndex: 0 });
  const chips = make('div', { className: 'sm-segments', role: 'group', 'aria-label': 'Segments of this row', tabIndex: 0 });
  let items = /** @type {any[]} */ ([]);
  /** @param {any} found @param {boolean} editable */
  function drawFindings(found, editable) {
    items = [];
    const total = found.groups.reduce((/** @type {number} */ n, /** @type {any} */ g) => n + g.items.length, 0);
    const title = found.state === 'waiting' ? 'looking for mistakes …' : total ? many(total, 'finding') : 'no findings';
    refill(findings, make('div', { className: 'sm-title', textContent: title }), ...found.groups.map((/** @type {any} */ g) => {
      const lines = g.items.slice(0, 50).map((/** @type {any} */ o) => {
        const k = items.push({ ...o, code: g.code, fixable: g.fixable }) - 1;
        return button(o.message, o.text ? `select: ${o.text}` : 'about the whole row', () => tell.pick(k), { className: 'sm-finding' });
      });
      const fixes = editable && g.fixable ? [make('div', { className: 'sm-fixes' }, button('fix', `fix ${g.code} in this row`, () => tell.mend(g.code, false), { 'aria-label': `fix ${g.code} in this row` }),
        button('fix in all rows', `fix ${g.code} in all rows in view`, () => tell.mend(g.code, true), { 'aria-label': `fix ${g.code} in all rows in view` }))] : [];
      const head = make('div', { className: 'sm-code' }, make('span', { className: 'sm-severity', textContent: g.severity }), ' ',
        make('code', { textContent: g.code }), g.items.length > 1 ? ` ${g.items.length}` : '');
      const more = g.items.length > 50 ? [make('div', { className: 'sm-hint', textContent: `and ${g.items.length - 50} more` })] : [];
      return make('div', { className: `sm-group-of sm-of-${g.severity}`, role: 'group', 'aria-label': `${g.severity} ${g.code}` }, head, ...lines, ...more,
        make('div', { className: 'sm-hint', textContent: g.hint }), ...fixes);
    }));
  }
  /** @param {Row} r @param {boolean} editable */
  function drawSegments(r, editable) {
    const most = 150;
    refill(chips, make('div', { className: 'sm-title', textContent: many(r.runs.length, r.s.length ? 'segment' : 'stretch').replace('stretchs', 'stretches') }), ...r.runs.slice(0, most).map(([text, weight], n) => {
      const shown = [...text.slice(0, 60)].slice(0, 28).join('').replaceAll(' ', '·').replaceAll('\n', '⏎').replaceAll('\t', '→');
      const name = make('span', { className: 'sm-said', textContent: `segment ${n}, ${weight ? 'trained' : 'masked'}: ` });
      const chip = button('', editable ? 'turn it around' : '', () => editable && tell.turn(n), { className: 'sm-seg' + (weight ? ' sm-lit' : '') });
      chip.append(name, `${weight ? '●' : '○'} ${shown}${text.length > 28 ? '…' : ''}`);
      if (editable) press(chip, !!weight);
      else chip.disabled = true;
      if (weight > 0 && weight < 1) chip.append(make('small', { textContent: ` weight ${weight}` }));
      chip.onmouseenter = chip.onfocus = () => tell.over(n);
      chip.onmouseleave = chip.onblur = () => tell.over(null);
      return chip;
    }));
    if (r.runs.length > most) chips.append(make('div', { className: 'sm-hint', textContent: `and ${count(r.runs.length - most)} more: select text and press x` }));
  }
  return {
    el: make('div', { className: 'sm-side' }, findings, chips), drawFindings, drawSegments,
    item: (/** @type {number} */ k) => items[k], get size() { return items.length; },
    mark(/** @type {number} */ k) { findings.querySelectorAll('.sm-finding').forEach((/** @type {any} */ o, /** @type {number} */ i) => { o.classList.toggle('sm-picked', i === k); if (i === k) o.scrollIntoView({ block: 'nearest' }); }); },
    hover(/** @type {number|null} */ n) { chips.querySelectorAll('.sm-seg').forEach((/** @type {any} */ o, /** @type {number} */ i) => o.classList.toggle('sm-hover', i === n)); },
  };
}

// ---- drawers ------------------------------------------------------------------------------------------------------------------------

/** Bars of which each is a button. @param {string} title @param {(low: any, high: any) => void} pick */
function bars(title, pick) {
  const name = make('small'), box = make('div', { className: 'sm-bars' });
  /** @param {[number, number, number][]} data @param {[any, any]} picked @param {(o: [number, number, number]) => string} label @param {boolean} ready */
  function draw(data, picked, label, ready) {
    const most = Math.max(1, ...data.map(o => o[2]));
    const on = data.find(o => o[0] === picked[0] && o[1] === picked[1]);
    name.textContent = title + (on ? ': ' + label(on) : data.length ? `, ${label([data[0][0], data[data.length - 1][1], 0])}` : '');
    refill(box, ...data.map(o => {
      const fill = make('span'), b = button('', `${label(o)}: ${many(o[2], 'row')}`, () => o === on ? pick(null, null) : pick(o[0], o[1]), { 'aria-label': `${title} ${label(o)}: ${many(o[2], 'row')}`, 'aria-pressed': o === on, disabled: !o[2] || !ready });
      fill.style.height = o[2] ? Math.max(2, 44 * o[2] / most) + 'px' : '0';
      b.append(fill);
      return b;
    }));
  }
  return { el: make('div', { className: 'sm-hist', role: 'group', 'aria-label': title }, name, box), draw };
}

/** Stretches of text, trained and masked. @param {[string, number][]} runs */
const stretch = runs => make('span', { className: 'sm-sample', dir: 'ltr' }, ...runs.map(([text, weight]) => make('span', { textContent: text, className: weight ? 'sm-t' : 'sm-m' })));

/** @param {(what: string, more?: any) => void} send @param {() => number} generation */
function ruleDrawer(send, generation) {
  const what = choice('what becomes of it', [['0', 'mask'], ['1', 'train'], ['w', 'train with weight']]);
  const weight = make('input', { type: 'number', min: 0, max: 1, step: .05, value: '0.3', 'aria-label': 'weight', hidden: true });
  const field = (/** @type {string} */ name) => make('input', { type: 'text', placeholder: name, 'aria-label': name });
  const find = field('find, or from'), to = field('to (or nothing)'), within = choice('rule: within', [['all', 'in all text'], ['trained', 'in trained text'], ['masked', 'in masked text']]);
  const role = choice('role', [['', 'any role'], ...['assistant', 'user', 'system', 'tool'].map(o => /** @type {[string, string]} */ ([o, o]))]), turn = choice('turn', [['', 'any turn'], ['last', 'last turn'], ['first', 'first turn']]);
  const kase = flag('Aa', 'rule: capitals matter'), word = flag('word', 'rule: whole words only'), regex = flag('.*', 'rule: regular expressions'), marks = flag('with the ends', 'the two ends belong to it');
  press(kase, true); press(marks, true);
  const apply = button('apply', 'change all rows in view', () => send('apply', { rule: rule(), generation: generation() }), { className: 'sm-main-button' });
  const said = make('span', { role: 'status' }), samples = make('div', { className: 'sm-samples' });
  const rule = () => ({ find: find.value, to: to.value, label: what.value !== '0', weight: what.value === 'w' ? Number(weight.value) : null, regex: pressed(regex), marks: pressed(marks), case: pressed(kase), word: pressed(word), within: within.value, role: role.value, turn: turn.value });
  const ask = later(() => send('rule', { rule: rule() }), 150);
  for (const o of [find, to, weight]) o.oninput = ask;
  what.onchange = () => { weight.hidden = what.value !== 'w'; ask(); };
  within.onchange = role.onchange = turn.onchange = ask;
  for (const o of [kase, word, regex, marks]) o.onclick = () => { press(o, !pressed(o)); ask(); };
  return {
    el: make('div', { className: 'sm-drawer', role: 'group', 'aria-label': 'A rule for all rows in view' }, make('div', { className: 'sm-row' }, what, weight, find, to, regex, kase, word, marks, within, role, turn, apply), said, samples),
    focus: () => { find.focus(); find.select(); }, ask,
    /** @param {any} p */
    draw(p) {
      said.textContent = p.error || p.said || '';
      said.className = p.error ? 'sm-wrong' : '';
      samples.replaceChildren(...(p.error ? [] : p.examples || []).map((/** @type {any} */ o) => make('div', { className: 'sm-example' }, make('small', { textContent: `row ${o.n}` }), stretch(o.before), make('span', { textContent: '→' }), stretch(o.after))));
    },
  };
}

// ---- the whole ----------------------------------------------------------------------------------------------------------------------

/** The widgets of `browse` and `edit`. @param {{model: Model, el: HTMLElement}} where */
function renderRows({ model, el }) {
  const id = `segmask-${model.get('uid')}-${++views}`, root = make('div', { className: 'sm-box segmask-box' + (model.get('head').offline ? ' sm-page' : '') });
  root.setAttribute('data-lm-suppress-shortcuts', 'true');
  const hide = make('style', { textContent: `.sm-picture-${model.get('uid')} { display: none !important; }` }); // the picture is for readers without a kernel
  /** @param {string} what */
  const send = (what, more = {}) => model.send({ do: what, ...more });
  let parsed = /** @type {Row} */ (JSON.parse(model.get('text')));
  const row = () => parsed, head = () => model.get('head'), view = () => model.get('view');
  let selection = /** @type {Selection_} */ (null), mode = 'tokens', finding = -1, hit = -1, wanted = '', stopped = false, query = { ...view().query };

  const name = make('b'), how = make('span', { className: 'sm-how' }), dirty = make('span', { className: 'sm-dirty', role: 'status' });
  const boundary = choice('boundary mode', [['segment', 'segment'], ['prompt', 'prompt'], ['joint', 'joint']]);
  boundary.onchange = () => send('boundary', { boundary: boundary.value });
  const beside = choice('second boundary mode', [['', 'nothing'], ['segment', 'segment'], ['prompt', 'prompt'], ['joint', 'joint']]);
  beside.onchange = () => send('beside', { boundary: beside.value });
  const modes = make('span', { className: 'sm-modes' }, 'boundary ', boundary, ' beside it ', beside);

  // rows: move and find
  const box = make('input', { type: 'number', min: 0, 'aria-label': 'row number', title: 'row number', className: 'sm-number' });
  box.onchange = () => send('jump', { row: Number(box.value) });
  const of = make('span', { className: 'sm-of' });
  const search = make('input', { type: 'search', placeholder: 'search (/)', 'aria-label': 'search', className: 'sm-search' });
  const kase = flag('Aa', 'capitals matter'), word = flag('word', 'whole words only'), regex = flag('.*', 'a regular expression');
  const within = ['trained', 'masked'].map(o => flag(o, `search ${o} text only`));
  const hits = make('span', { className: 'sm-hits' });
  const maskHits = button('mask all hits', 'mask every hit in all rows in view', () => send('hits', { label: false, generation: view().generation }));
  const trainHits = button('train all hits', 'train every hit in all rows in view', () => send('hits', { label: true, generation: view().generation }));
  const ask = (/** @type {any} */ patch) => { query = { ...query, ...patch }; stopped = false; send('query', { query }); };
  const typed = later(() => { if (search.value !== query.text) ask({ text: search.value }); }, 250);
  search.oninput = typed;
  search.onchange = () => { if (search.value !== query.text) ask({ text: search.value }); };
  search.addEventListener('keydown', (/** @type {KeyboardEvent} */ e) => {
    if (e.key !== 'Enter') return;
    if (search.value !== query.text) ask({ text: search.value });
    else nextHit(e.shiftKey ? -1 : 1);
  });
  for (const [o, k] of /** @type {[Element, string][]} */ ([[kase, 'case'], [word, 'word'], [regex, 'regex']])) /** @type {any} */ (o).onclick = () => { press(o, !pressed(o)); ask({ [k]: pressed(o), text: search.value }); };
  within.forEach((o, k) => { o.onclick = () => ask({ within: pressed(o) ? 'all' : ['trained', 'masked'][k], text: search.value }); });
  const opener = (/** @type {string} */ text, /** @type {string} */ hint, /** @type {string} */ which) => button(text, hint, () => open(which), { 'aria-expanded': 'false', className: 'sm-opener', 'data-drawer': which });
  const working = make('span', { className: 'sm-work' }), bar = make('progress', { 'aria-label': 'progress' }), doing = make('span', { role: 'status' });
  const stop = () => { stopped = true; send('stop'); };
  working.append(doing, bar, button('stop', 'stop here', stop));
  const busy = (/** @type {string} */ what) => !stopped && model.get('work').what === what;
  /** A button that says how far its work is, and stops it. @param {string} text @param {string} hint @param {string} command @param {string} what @param {string} done */
  function worker(text, hint, command, what, done) {
    const o = button(text, hint, () => { if (busy(what)) stop(); else { stopped = false; send(command); } }, { className: 'sm-check' });
    const draw = (/** @type {any} */ w) => {
      o.textContent = busy(what) ? `${done} ${count(w.at)} of ${count(w.total)} ✕` : text;
      o.title = busy(what) ? 'stop here' : hint;
      o.style.setProperty('--done', busy(what) ? `${100 * w.at / (w.total || 1)}%` : '0%');
    };
    return { el: o, draw };
  }
  const check = worker('find mistakes', 'lint the rows in view', 'check', 'checking', 'checked'), score = worker('score rows', 'mean loss of the rows in view', 'score', 'scoring', 'scored');
  score.el.hidden = !head().model;
  const copy = choice('copy', [['', 'copy …'], ['text', 'text'], ['json', 'JSON'], ['ids', 'token ids'], ['python', 'Python']]);
  copy.onchange = () => { if (copy.value) send('copy', { what: copy.value }); copy.value = ''; };
  const swap = button('plain text', 'tokens or plain text (w)', () => flip(), { 'aria-pressed': 'false' });
  const heat = button('loss', 'colour tokens by what the model makes of them (l)', () => warm(), { 'aria-pressed': 'false', hidden: !head().model });
  const viewing = make('span', { className: 'sm-steps sm-viewing' }, heat, swap, copy);
  const rows = make('div', { className: 'sm-row', role: 'group', 'aria-label': 'Rows: move and find' },
    button('prev', 'the row before (k)', () => go(-1), { 'aria-label': 'prev row' }), box, of, button('next', 'the row after (j)', () => go(1), { 'aria-label': 'next row' }),
    group('Search', search, kase, word, regex), group('Search only', make('span', { className: 'sm-label', textContent: 'only' }), ...within, hits), opener('filters', 'length, trained share, status, findings', 'filters'),
    check.el, score.el, working, opener('? keys', 'all keys', 'help'));

  if (head().offline) { check.el.remove(); score.el.remove(); rows.querySelector('[data-drawer=filters]')?.remove(); } // these need a kernel

  // what one does to the text
  const act = (/** @type {string} */ what, more = {}) => send(what, { n: row().n, key: row().key, ...selection, ...more });
  const undo = button('undo', 'undo (ctrl-z)', () => send('undo')), redo = button('redo', 'redo (ctrl-shift-z)', () => send('redo'));
  const save = button('save', 'write the file and keep the original beside it (ctrl-s)', () => send('save'), { className: 'sm-main-button' });
  const weight = make('input', { type: 'number', min: 0, max: 1, step: .05, value: '0.5', 'aria-label': 'weight of the selection', title: 'weight', className: 'sm-weight' });
  const steps = make('span', { className: 'sm-steps' }, undo, redo, save);
  /** A button about the row as a whole. @param {string} text @param {string} hint @param {string} what */
  const whole = (text, hint, what) => button(text, hint, () => act(what), { 'aria-label': `${text} row` });
  const tools = make('div', { className: 'sm-row', role: 'group', 'aria-label': 'Change the mask' },
    group('Selection', button('mask', 'mask what is selected (m)', () => act('mask')), button('train', 'train what is selected (t)', () => act('train')),
      button('weigh', 'train what is selected, with this weight', () => act('weigh', { weight: Number(weight.value) })), weight),
    group('Segment', make('span', { className: 'sm-label', textContent: 'segment' }), button('turn around', 'train it where it was masked, mask it where it was trained (x)', () => act('toggle')),
      button('split', 'cut the segment where the selection begins', () => act('split')), button('join', 'join the segment with the next one', () => act('join')), button('edit text', 'change the text of the segment', () => act('text'))),
    group('Row', make('span', { className: 'sm-label', textContent: 'row' }), whole('reset', 'take back all changes of this row', 'reset'), whole('flag', 'flag this row for later, in the file; again takes the flag away', 'flag'),
      whole('duplicate', 'write this row twice when it is saved, the copy below it; again takes that back', 'duplicate'), whole('remove', 'take this row out of the file when it is saved', 'remove')),
    group('All rows in view', make('span', { className: 'sm-label', textContent: 'all rows' }), opener('rule …', 'change all rows in view', 'rule'), maskHits, trainHits, opener('Python', 'the code that repeats all this', 'python')));
  tools.hidden = steps.hidden = !head().editable;

  const note = make('div', { className: 'sm-note', role: 'alert' }), offer = make('div', { className: 'sm-note sm-offer' });
  // drawers
  const lengths = bars('tokens of a row', (a, b) => ask({ tokens: [a, b] })), shares = bars('trained share', (a, b) => ask({ share: [a, b] }));
  const status = choice('status', [['', 'any status']]), code = choice('finding', [['', 'any finding']]), counting = make('small'), dropped = make('pre', { className: 'sm-dropped' });
  status.onchange = () => ask({ status: status.value });
  code.onchange = () => ask({ codes: code.value ? [code.value] : [] });
  const filters = make('div', { className: 'sm-drawer', role: 'group', 'aria-label': 'Filters' }, make('div', { className: 'sm-row' }, lengths.el, shares.el, status, code,
    button('clear', 'show all rows', () => { search.value = ''; ask({ text: '', tokens: [null, null], share: [null, null], codes: [], status: '', within: 'all', regex: false, case: true, word: false }); }), counting), dropped);
  const rule = ruleDrawer(send, () => view().generation);
  const python = make('div', { className: 'sm-drawer' }, make('pre', { className: 'sm-python', tabIndex: 0, role: 'group', 'aria-label': 'Python that repeats the changes' }));
  const help = make('div', { className: 'sm-drawer sm-keys' }, ...[...KEYS, ...(head().editable ? EDIT_KEYS : [])].map(([k, v]) => make('div', {}, make('kbd', { textContent: k }), make('span', { textContent: v }))));
  const area = make('textarea', { 'aria-label': 'text of the segment', rows: 4 });
  const writing = make('div', { className: 'sm-drawer' }, area, make('div', { className: 'sm-row' }, button('change', 'put this text in', () => { send('rewrite', { n: wrote.n, segment: wrote.segment, text: area.value }); open(''); }), button('cancel', 'leave the text as it is', () => open(''))));
  let wrote = /** @type {any} */ ({});
  /** @type {Record<string, HTMLElement>} */
  const drawers = { filters, rule: rule.el, python, help, text: writing };
  const shelf = make('div', { className: 'sm-shelf' });

  const hovered = (/** @type {string} */ text, /** @type {number|null} */ segment) => { info.textContent = text || chosen(); side.hover(segment); };
  const pane = textPane({ select: s => select(s), hover: hovered }, 'Text of the row. Press ? for keys.');
  const second = textPane({ select: () => second.paint(-1, -2), hover: hovered }, 'The row in the second boundary mode'), caption = make('small'), title = make('small', { hidden: true });
  const first = make('div', { className: 'sm-pane' }, title, pane.el), other = make('div', { className: 'sm-pane sm-other', hidden: true });
  const list = rowList((what, more) => { if (what === 'at' || what === 'go') leave(); send(what, more); }, id, !!head().model);
  const side = sidePane({ pick: k => pick(k), mend: (c, all) => send('mend', { code: c, all, n: row().n, generation: view().generation }), turn: n => send('turn', { n: row().n, segment: n }), over: n => pane.segment(n) });
  const where = make('div', { className: 'sm-where' }), legend = make('span', { className: 'sm-legend' }, make('span', { className: 'sm-t', textContent: 'trained' }), ' ', make('span', { className: 'sm-m', textContent: 'masked' })), parts = make('span');
  const ramp = make('span', { className: 'sm-heat', hidden: true }, 'loss 0 ', make('span', { className: 'sm-ramp' }), ` ${MOST} nats`);
  const differs = make('span', { className: 'sm-differs', textContent: 'differs', hidden: true });
  const info = make('div', { className: 'sm-info' }), spoken = make('div', { className: 'sm-said', 'aria-live': 'polite' });
  const middle = make('div', { className: 'sm-middle' }, make('div', { className: 'sm-panes' }, first, other)), foot = make('div', { className: 'sm-foot' }, info, legend, differs, parts, ramp);
  root.append(hide, make('div', { className: 'sm-head' }, name, how, modes, make('span', { className: 'sm-last' }, dirty, steps)), rows, tools, note, offer, shelf, make('div', { className: 'sm-over' }, where, viewing), make('div', { className: 'sm-main' }, list.el, middle, side.el), foot, spoken);
  el.append(root);

  function chosen() {
    const r = row();
    if (!selection) return '';
    if ('from' in selection) return `selected: characters ${selection.from}–${selection.to}`;
    const { first, last } = selection, a = Math.min(...r.a.slice(first, last + 1)), b = Math.max(...r.b.slice(first, last + 1));
    return `selected: ${many(last - first + 1, 'token')}` + (r.a.length ? `, characters ${a}–${b}` : '') + `: ${r.t.slice(first, last + 1).join('').slice(0, 60)}`;
  }
  /** @param {Selection_} s */
  function select(s, tellPython = true) {
    selection = s;
    info.textContent = chosen();
    spoken.textContent = chosen();
    if (tellPython) send('select', { n: row().n, ...s });
  }
  function leave() { selection = null; pane.paint(-1, -2); info.textContent = ''; finding = -1; hit = -1; }
  function go(/** @type {number} */ by) { leave(); send('go', { by }); }
  function open(/** @type {string} */ which) {
    const now = shelf.firstElementChild && Object.keys(drawers).find(k => drawers[k] === shelf.firstElementChild);
    const next = which && which !== now ? which : '';
    shelf.replaceChildren(...(next ? [drawers[next]] : []));
    for (const o of root.querySelectorAll('.sm-opener')) o.setAttribute('aria-expanded', String(o.getAttribute('data-drawer') === next));
    if (next === 'filters') { stopped = false; send('filters'); }
    if (next === 'python' || now === 'python') send('python', { open: next === 'python' });
    if (next === 'rule') { rule.focus(); rule.ask(); }
    if (next === 'text') area.focus();
    else if (!next) pane.el.focus({ preventScroll: true });
  }
  function warm() { press(heat, !pressed(heat)); ramp.hidden = !pressed(heat); send('losses', { on: pressed(heat) }); }
  function flip() { mode = mode === 'tokens' ? 'text' : 'tokens'; press(swap, mode === 'text'); select(null); drawRow(); }
  function pick(/** @type {number} */ k) {
    const o = side.item(k);
    if (!o) return;
    finding = k;
    side.mark(k);
    if (mode === 'text') flip();
    finding = k;
    pane.show(o.tokens[0], o.tokens[1]);
    select(o.tokens[0] >= 0 ? { first: o.tokens[0], last: o.tokens[1] } : null);
    spoken.textContent = o.message;
  }
  function nextFinding(/** @type {number} */ by) {
    const k = finding + by;
    if (k >= 0 && k < side.size && !(by < 0 && finding < 0)) return pick(k);
    wanted = by > 0 ? 'first' : 'last';
    send('next-finding', { by });
  }
  function nextHit(/** @type {number} */ by) {
    const all = row().hits;
    if (hit + by >= 0 && hit + by < all.length) { hit += by; pane.now(all[hit][0], all[hit][1]); drawHits(); }
    else if (view().shown > 1 && query.text) { wanted = by > 0 ? 'hit' : 'last-hit'; leave(); send('go', { by, around: true }); }
  }
  function drawHits() {
    const n = row().hits.length;
    hits.textContent = query.text ? (n ? `hit ${hit + 1 > 0 ? hit + 1 + ' of ' : ''}${n}` : 'no hit in this row') : '';
    maskHits.hidden = trainHits.hidden = !query.text;
  }

  function drawHead() {
    const h = head();
    name.textContent = h.name;
    how.textContent = `${many(h.rows, 'row')} · ${h.how}`;
    modes.hidden = !h.boundary;
    if (h.boundary) boundary.value = h.boundary;
    dirty.textContent = !h.editable ? '' : h.dirty ? `● ${many(h.dirty, 'row')} not saved` : 'saved';
    dirty.classList.toggle('sm-unsaved', !!h.dirty);
    if (shelf.firstElementChild === rule.el) rule.ask(); // what it would do now
    undo.disabled = !h.undo; redo.disabled = !h.redo; save.disabled = !h.dirty;
    const inside = offer.contains(document.activeElement);
    offer.replaceChildren(...(h.left ? [h.left + ' ', button('take up', 'repeat these steps', () => send('restore')), button('discard', 'remove them', () => send('discard'))] : []));
    if (inside && !h.left) pane.el.focus({ preventScroll: true });
  }
  function drawView() {
    const v = view();
    box.max = String(Math.max(0, head().rows - 1));
    drawNumber();
    of.textContent = `of ${count(head().rows)}` + (v.asked ? ` · ${count(v.shown)} in view` : '');
    query = { ...query, ...v.query, text: document.activeElement === search && search.value !== query.text ? query.text : v.query.text };
    if (document.activeElement !== search) search.value = v.query.text;
    press(kase, v.query.case); press(word, v.query.word); press(regex, v.query.regex);
    within.forEach((o, k) => press(o, v.query.within === ['trained', 'masked'][k]));
    drawHits();
    list.draw(v, model.get('lines'));
  }
  const drawNumber = () => { if (document.activeElement !== box) box.value = row().n < 0 ? '' : String(row().n); };
  function drawRow() {
    drawNumber(); // the row and the view may come in either order
    const r = row(), losses = model.get('loss') || {};
    if (losses.n === r.n && losses.key === r.key && losses.nats) r.nats = losses.nats;
    else if (!pressed(heat)) delete r.nats;
    where.textContent = r.n < 0 ? 'no row is in view' : `row ${r.n}${r.where === `row ${r.n}` ? '' : ` · ${r.where}`} · ${r.said}` + (r.nats ? ` · ${losses.said}` : '');
    const before = shownKey;
    shownKey = `${r.n} ${r.key}`;
    if (before !== shownKey) { selection = null; hit = -1; finding = -1; info.textContent = ''; }
    const drawn = mode === 'tokens' ? ['s', 'w', 'r'].filter(k => r.p.includes(k)) : [];
    parts.replaceChildren(...drawn.flatMap(k => [make('span', { className: `sm-${k}-part`, textContent: PARTS[k].split(' ')[0], title: PARTS[k] }), ' ']), drawn.length ? 'no line above: context' : '');
    pane.draw(r, mode);
    side.drawSegments(r, head().editable);
    drawHits();
    if (query.text && r.hits.length && hit < 0) { hit = wanted === 'last-hit' ? r.hits.length - 1 : 0; pane.now(r.hits[hit][0], r.hits[hit][1]); drawHits(); }
    if (wanted.endsWith('hit')) wanted = '';
  }
  let shownKey = '';
  function drawFound() {
    const f = model.get('found');
    side.drawFindings(f, head().editable);
    if (f.state === 'waiting') askFindings(f.n);
    else if (wanted === 'first' || wanted === 'last') { const k = wanted === 'first' ? 0 : side.size - 1; wanted = ''; pick(k); }
  }
  function drawLoss() {
    const f = model.get('loss') || {};
    if (f.state === 'waiting') askLoss(f.n);
    else drawRow();
  }
  function drawOther() {
    const text = model.get('other'), o = text ? JSON.parse(text) : null;
    other.hidden = title.hidden = differs.hidden = !o;
    beside.value = o ? o.boundary : '';
    other.replaceChildren(...(o ? [caption, second.el] : []));
    if (!o) return;
    title.textContent = `${head().boundary}: ${row().said}`;
    caption.textContent = `${o.boundary}: ` + (o.hits.length ? o.said : 'the same tokens and labels');
    second.draw(o, 'tokens');
  }
  const askLoss = later(n => { if (row().n === n) send('score-row'); }, 50);
  const askFindings = later(n => { if (row().n === n) send('findings'); }, 300);
  function drawWork() {
    const w = model.get('work');
    working.hidden = !w.what || w.what === 'checking' || w.what === 'scoring';
    check.draw(w); score.draw(w);
    if (!w.what) return;
    doing.textContent = `${w.what} ${count(w.at)} of ${count(w.total)}`;
    bar.max = w.total || 1; bar.value = w.at;
    if (!stopped) setTimeout(() => send('on', { turn: w.turn }), 10);
  }
  function drawNote() {
    const n = model.get('note');
    note.className = 'sm-note' + (n.kind ? ' sm-is-' + n.kind : '');
    const inside = note.contains(document.activeElement);
    note.replaceChildren(...(n.text ? [make('span', { textContent: n.text })] : []), ...(n.actions || []).map((/** @type {[string, string]} */ [what, text]) => button(text, text, () => send(what))));
  }
  function drawFilters() {
    const f = model.get('filters');
    if (!f.lengths) return;
    const ready = f.done;
    lengths.draw(f.lengths, query.tokens || [null, null], o => `${count(o[0])}–${count(o[1])}`, ready);
    shares.draw(f.shares, query.share || [null, null], o => `${Math.round(100 * o[0])}–${Math.round(100 * o[1])}%`, ready);
    fill(status, 'any status', f.statuses, query.status || '');
    fill(code, 'any finding', f.codes, (query.codes || [])[0] || '');
    counting.textContent = ready ? '' : `${count(f.counted)} of ${count(head().rows)} rows counted`;
    dropped.textContent = f.dropped || '';
    dropped.hidden = !f.dropped;
  }
  /** @param {HTMLSelectElement} o @param {string} none @param {[string, number][]} options @param {string} value */
  function fill(o, none, options, value) {
    const all = options.some(([k]) => k === value) || !value ? options : [...options, /** @type {[string, number]} */ ([value, 0])];
    o.replaceChildren(make('option', { value: '', textContent: none }), ...all.map(([k, n]) => make('option', { value: k, textContent: `${k} (${count(n)})` })));
    o.value = value;
  }
  const rest = later(() => send('rest'), 1500);
  /** @type {[string, () => void][]} */
  const draws = [['head', drawHead], ['text', () => { parsed = JSON.parse(model.get('text')); drawRow(); }], ['view', drawView], ['lines', () => list.draw(view(), model.get('lines'))], ['found', drawFound], ['loss', drawLoss], ['other', drawOther], ['work', drawWork], ['note', drawNote],
    ['filters', drawFilters], ['preview', () => rule.draw(model.get('preview'))], ['code', () => { python.firstElementChild.textContent = model.get('code'); }]];
  for (const [trait, f] of draws) {
    const timed = () => { const start = performance.now(); f(); performance.measure('segmask ' + trait, { start }); };
    model.on('change:' + trait, () => { timed(); if (trait !== 'work') rest(); });
    timed();
  }
  model.on('msg:custom', m => {
    if (m.copy != null) toClipboard(m.copy).then(ok => { info.textContent = spoken.textContent = ok ? 'copied' : 'the browser does not allow copying'; });
    if (m.write != null) { wrote = m.write; area.value = m.write.text; if (shelf.firstElementChild !== writing) open('text'); }
  });

  root.addEventListener('focusin', (/** @type {FocusEvent} */ e) => /** @type {Element} */ (e.target).setAttribute('data-lm-suppress-shortcuts', 'true')); // Jupyter asks the focused element itself
  root.addEventListener('keydown', (/** @type {KeyboardEvent} */ e) => {
    const at = /** @type {HTMLElement} */ (e.target), ctrl = e.ctrlKey || e.metaKey;
    let command = COMMANDS[e.key];
    if (at.matches('input, textarea, select')) {
      e.stopPropagation();
      if (e.key === 'Escape') { at.dispatchEvent(new Event('change')); pane.el.focus({ preventScroll: true }); e.preventDefault(); } // what was typed counts
      else if (ctrl && e.key === 's') { e.preventDefault(); send('save'); }
      return;
    }
    if (ctrl) command = /** @type {Record<string, string>} */ ({ z: e.shiftKey ? 'redo' : 'undo', Z: 'redo', y: 'redo', s: 'save' })[e.key];
    else if (e.altKey) return;
    else if (e.key === '/') { search.focus(); search.select(); e.preventDefault(); e.stopPropagation(); return; }
    else if (e.shiftKey && (e.key === 'ArrowRight' || e.key === 'ArrowLeft')) {
      const s = pane.grow(e.key === 'ArrowRight' ? 1 : -1);
      if (s) select(s);
      e.preventDefault(); e.stopPropagation();
      return;
    } else if ((e.key === 'Enter' || e.key === ' ') && at.matches('button')) return e.stopPropagation();
    if (!command) return;
    e.preventDefault(); e.stopPropagation();
    if (command === 'next' || command === 'prev') go(command === 'next' ? 1 : -1);
    else if (command === 'first' || command === 'last') { leave(); send('go', { by: command === 'first' ? -1e12 : 1e12 }); }
    else if (command === 'next-finding' || command === 'prev-finding') nextFinding(command === 'next-finding' ? 1 : -1);
    else if (command === 'mode') flip();
    else if (command === 'loss') { if (head().model) warm(); }
    else if (command === 'help') open('help');
    else if (command === 'clear') { getSelection()?.removeAllRanges(); pane.paint(-1, -2); select(null); side.mark(-1); finding = -1; }
    else if (command === 'copy') send('copy', { what: 'text' });
    else if (!head().editable) return;
    else if (command === 'fix') { const o = side.item(finding); if (o?.fixable) send('mend', { code: o.code, all: false, n: row().n }); else send('say', { text: 'no finding is selected that can be fixed: n goes to the next' }); }
    else if (command === 'mask' || command === 'train' || command === 'toggle') act(command);
    else send(command);
  });
  return () => root.remove();
}

// ---- the form of a config -----------------------------------------------------------------------------------------------------------

/** @param {(what: string, more?: any) => void} send @param {string} id */
function formField(send, id) {
  let key = '', sent = '';
  const label = make('label', { htmlFor: id }, make('code')), wrong = make('div', { className: 'sm-wrong', id: id + '-w', role: 'alert' });
  const list = make('datalist', { id: id + '-l' });
  let input = /** @type {any} */ (null);
  const put = () => { if (input.value !== sent) { sent = input.value; send('put', { key, text: input.value }); } };
  const soon = later(put, 300);
  const el = make('div', { className: 'sm-field' }, label);
  /** @param {any} f */
  function draw(f) {
    if (!input) {
      key = f.key;
      label.firstChild.textContent = key;
      input = f.choices.length ? make('select', {}, ...['', ...f.choices].map(o => make('option', { value: o, textContent: o }))) : make('input', { type: 'text' });
      input.id = id;
      if (f.near.length) { list.replaceChildren(...f.near.map((/** @type {string} */ o) => make('option', { value: o }))); input.setAttribute('list', list.id); }
      if (f.choices.length) input.onchange = put;
      else { input.oninput = soon; input.onchange = put; }
      el.append(input, list, wrong);
    }
    if (!f.wrong && (document.activeElement !== input || f.choices.length)) { input.value = f.value; sent = f.value; }
    wrong.textContent = f.wrong ? `${f.wrong}. ${f.hint}` : '';
    wrong.hidden = !f.wrong;
    input.setAttribute('aria-invalid', String(!!f.wrong));
    f.wrong ? input.setAttribute('aria-describedby', wrong.id) : input.removeAttribute('aria-describedby');
  }
  return { el, draw, get wrong() { return !wrong.hidden; } };
}

/** The widget of `configure`. @param {{model: Model, el: HTMLElement}} where */
function renderForm({ model, el }) {
  const id = `segmask-${model.get('uid')}-${++views}`, root = make('div', { className: 'sm-box segmask-form' });
  root.setAttribute('data-lm-suppress-shortcuts', 'true');
  const hide = make('style', { textContent: `.sm-picture-${model.get('uid')} { display: none !important; }` });
  /** @param {string} what */
  const send = (what, more = {}) => model.send({ do: what, ...more });
  const tabs = make('div', { className: 'sm-row', role: 'tablist', 'aria-label': 'Keys of the config' }), panel = make('div', { className: 'sm-fields', role: 'tabpanel', tabIndex: 0, id: id + '-panel' });
  const yaml = make('pre', { className: 'sm-yaml', tabIndex: 0, role: 'group', 'aria-label': 'YAML' }), advice = make('div', { className: 'sm-advice', role: 'status' });
  const note = make('div', { className: 'sm-note', role: 'alert' });
  const key = make('input', { type: 'text', placeholder: 'another key', 'aria-label': 'another key' }), value = make('input', { type: 'text', placeholder: 'its value', 'aria-label': 'its value' });
  const save = button('save', 'write the YAML and keep an older one (ctrl-s)', () => send('save'), { className: 'sm-main-button' });
  const fields = /** @type {Record<string, ReturnType<typeof formField>>} */ ({});
  let now = '', shown = '', made = 0;
  root.append(hide, make('div', { className: 'sm-head' }, make('b', { textContent: model.get('path') })),
    make('div', { className: 'sm-form' }, make('div', { className: 'sm-left' }, tabs, panel, make('div', { className: 'sm-row' }, key, value, button('set', 'set a key that has no field', () => send('put', { key: key.value, text: value.value })), save), note), make('div', { className: 'sm-right' }, yaml, advice)));
  el.append(root);

  function field(/** @type {any} */ f) {
    fields[f.key] ||= formField(send, `${id}-f${made++}`);
    fields[f.key].draw(f);
    return fields[f.key].el;
  }
  function drawForm() {
    const groups = model.get('form');
    now ||= groups[0].name;
    const wrong = (/** @type {any} */ g) => [...g.fields, ...g.sets.flat()].some((/** @type {any} */ f) => f.wrong);
    refill(tabs, ...groups.map((/** @type {any} */ g) => button(g.name + (wrong(g) ? ' !' : ''), wrong(g) ? `${g.name}: something is wrong` : g.name, () => { now = g.name; drawForm(); },
      { role: 'tab', 'aria-selected': g.name === now, 'aria-controls': panel.id, tabIndex: g.name === now ? 0 : -1 })));
    const group = groups.find((/** @type {any} */ g) => g.name === now), what = now + group.sets.length;
    panel.setAttribute('aria-label', now);
    const sets = group.sets.map((/** @type {any[]} */ set, /** @type {number} */ n) => make('div', { className: 'sm-set', role: 'group', 'aria-label': `data set ${n}` }, ...set.map(field),
      ...(group.sets.length > 1 ? [button('take away', `take data set ${n} away`, () => { for (const f of set) delete fields[f.key]; send('remove', { n }); }, { 'aria-label': `take data set ${n} away` })] : [])));
    const rest = group.fields.map(field);
    if (shown !== what) { // fields stay where they are while one types
      shown = what;
      panel.replaceChildren(...sets, ...(group.name === 'data' ? [button('add a data set', 'one more', () => send('add'))] : []), ...rest);
    }
    save.disabled = groups.some(wrong);
    drawAdvice();
  }
  function drawAdvice() {
    const all = model.get('advice');
    advice.replaceChildren(...(all.length ? all.map((/** @type {any} */ a) => make('div', { className: `sm-group-of sm-of-${a.severity}` }, make('span', { className: 'sm-severity', textContent: a.severity }), ' ', make('code', { textContent: a.key }), `: ${a.what}.`, make('div', { className: 'sm-hint', textContent: a.hint }))) : ['nothing found']));
  }
  function drawNote() {
    const n = model.get('note'), inside = note.contains(document.activeElement);
    note.className = 'sm-note' + (n.kind ? ' sm-is-' + n.kind : '');
    note.replaceChildren(...(n.text ? [make('span', { textContent: n.text })] : []), ...(n.actions || []).map((/** @type {[string, string]} */ [what, text]) => button(text, text, () => send(what))));
    if (inside) save.focus();
  }
  tabs.addEventListener('keydown', (/** @type {KeyboardEvent} */ e) => {
    const by = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1 })[e.key], names = model.get('form').map((/** @type {any} */ g) => g.name);
    if (!by) return;
    now = names[(names.indexOf(now) + by + names.length) % names.length];
    drawForm();
    /** @type {any} */ (tabs.querySelector('[aria-selected=true]')).focus();
    e.preventDefault();
  });
  root.addEventListener('focusin', (/** @type {FocusEvent} */ e) => /** @type {Element} */ (e.target).setAttribute('data-lm-suppress-shortcuts', 'true'));
  root.addEventListener('keydown', (/** @type {KeyboardEvent} */ e) => {
    if ((e.ctrlKey || e.metaKey) && e.key === 's') { /** @type {any} */ (document.activeElement)?.dispatchEvent(new Event('change')); send('save'); e.preventDefault(); }
    e.stopPropagation();
  });
  const rest = later(() => send('rest'), 1500);
  /** @type {[string, () => void][]} */
  const draws = [['form', drawForm], ['advice', drawAdvice], ['note', drawNote], ['yaml', () => { yaml.textContent = model.get('yaml'); }]];
  for (const [trait, f] of draws) { model.on('change:' + trait, () => { f(); if (trait !== 'note') rest(); }); f(); }
  return () => root.remove();
}

// ---- a page without a kernel --------------------------------------------------------------------------------------------------------

/** A text from its runs. @param {[string, number][]} runs */
const repeated = runs => runs.map(([v, n]) => v.repeat(n)).join('');
/** A row as the widgets get it, from what a page holds of it. @param {any} data @param {number} k @returns {Row} */
function unpacked(data, k) {
  const r = data.rows[k], [n, where] = data.lines[k], names = r.id.map((/** @type {number} */ i) => data.vocabulary[i]);
  let at = 0;
  const a = r.step.map((/** @type {number} */ o) => (at += o));
  return { n, key: String(k), where, said: r.said, id: r.id, t: names.map((/** @type {any} */ o) => o[0]), sp: names.map((/** @type {any} */ o) => o[1]).join(''),
    l: repeated(r.l), p: repeated(r.p), s: r.s, a, b: a.map((/** @type {number} */ o, /** @type {number} */ i) => o + r.len[i]), runs: r.runs, hits: [] };
}

/** Where a query is found in a row: characters. @param {[string, number][]} runs @param {any} q @returns {[number, number][]} */
function found(runs, q) {
  const source = q.regex ? q.text : q.text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const pattern = new RegExp(q.word ? `\\b(?:${source})\\b` : source, 'gu' + (q.case ? '' : 'i')), out = /** @type {[number, number][]} */ ([]);
  const parts = /** @type {[string, number][]} */ ([]);
  let at = 0, last = /** @type {boolean|null} */ (null);
  for (const [text, weight] of runs) { // neighbours of one label are one stretch
    const lit = weight > 0;
    if (q.within === 'all' || lit === (q.within === 'trained')) { if (parts.length && (q.within === 'all' || last === lit)) parts[parts.length - 1][0] += text; else parts.push([text, at]); }
    at += size(text); last = lit;
  }
  for (const [text, start] of parts) for (const m of text.matchAll(pattern)) if (m[0]) { const a = start + size(text.slice(0, m.index)); out.push([a, a + size(m[0])]); }
  return out;
}

/** The rows of a file, with all that a kernel would do for looking. @param {any} data @returns {Model} */
function offline(data) {
  const none = { text: '', regex: false, case: true, word: false, within: 'all', tokens: [null, null], share: [null, null], codes: [], status: '' };
  const heard = /** @type {Record<string, Function[]>} */ ({}), all = data.rows.map((/** @type {any} */ _, /** @type {number} */ k) => k);
  let order = all, position = 0, heated = false, sort = 'number', query = { ...none }, shown = all, generation = 0, from = 0, to = 60;
  const state = /** @type {Record<string, any>} */ ({ uid: 'page', head: data.head, note: {}, work: {}, filters: {}, preview: {}, loss: {}, other: '', code: '' });
  const value = (/** @type {number} */ k, /** @type {string} */ key) => data.lines[k][/** @type {Record<string, number>} */ ({ number: 0, tokens: 2, share: 3, findings: 4, loss: 6 })[key]];
  function update() {
    const k = shown[position], row = k == null ? { n: -1, key: '', t: [], id: [], l: '', sp: '', p: '', s: [], a: [], b: [], runs: [], hits: [], said: '', where: '' } : unpacked(data, k);
    if (k != null && query.text) row.hits = /** @type {any} */ (found(row.runs, query).map(([a, b]) => [row.a.length ? row.b.findIndex(o => o > a) : -1, row.a.length ? row.a.findLastIndex(o => o < b) : -1, a, b]));
    const next = { text: JSON.stringify(row), view: { shown: shown.length, position, sort, generation, asked: !!query.text, query }, lines: { from, rows: shown.slice(from, to).map((/** @type {number} */ k) => data.lines[k]) }, found: { n: row.n, key: row.key, state: '', groups: k == null ? [] : data.found[k] },
      loss: heated && k != null ? { n: row.n, key: row.key, state: '', ...data.rows[k].loss } : {}, note: state.note };
    const changed = Object.entries(next).filter(([name, v]) => JSON.stringify(v) !== JSON.stringify(state[name]));
    Object.assign(state, next);
    for (const [name] of changed) for (const f of heard['change:' + name] || []) f();
  }
  function arrange() {
    const here = shown[position], key = sort.replace('-', ''), sign = sort.startsWith('-') ? -1 : 1;
    order = [...all].sort((x, y) => sign * (value(x, key) - value(y, key)) || x - y);
    shown = query.text ? order.filter((/** @type {number} */ k) => found(data.rows[k].runs, query).length) : order;
    position = Math.max(0, shown.indexOf(here));
  }
  /** @type {Record<string, (m: any) => void>} */
  const does = {
    go: m => { const n = Math.max(1, shown.length); position = m.around ? (position + m.by + n) % n : Math.max(0, Math.min(n - 1, position + m.by)); },
    at: m => { position = m.position; }, window: m => { from = m.from; to = m.to; }, losses: m => { heated = m.on; },
    jump: m => { const k = shown.findIndex((/** @type {number} */ k) => data.lines[k][0] >= m.row); position = k < 0 ? Math.max(0, shown.length - 1) : k; },
    sort: m => { sort = m.sort; arrange(); },
    query: m => { const before = query; query = { ...none, ...m.query }; generation += 1; try { arrange(); } catch (e) { query = before; state.note = { text: String(e), kind: 'error' }; } },
    'next-finding': m => { let k = position + m.by; while (k >= 0 && k < shown.length && !value(shown[k], 'findings')) k += m.by; if (k >= 0 && k < shown.length) position = k; else state.note = { text: `no more findings ${m.by > 0 ? 'below' : 'above'}` }; },
    copy: m => { const r = unpacked(data, shown[position]), text = r.runs.map(o => o[0]).join('');
      const json = JSON.stringify({ segments: r.runs.map(([t, w]) => ({ label: w > 0, text: t, ...(w > 0 && w < 1 ? { weight: w } : {}) })) });
      for (const f of heard['msg:custom'] || []) f({ copy: m.what === 'ids' ? JSON.stringify(r.id) : m.what === 'text' ? text : json }); },
  };
  update();
  return {
    get: name => state[name], on: (event, f) => { (heard[event] ||= []).push(f); },
    send: m => { if (!does[m.do]) return; if (m.do !== 'window') state.note = {}; does[m.do](m); const note = state.note; update(); if (note.text) for (const f of heard['change:note'] || []) f(); },
  };
}

/** Draw a page from its rows: JSON, compressed, as text. @param {HTMLElement} el @param {string} text */
async function page(el, text) {
  const bytes = Uint8Array.from(atob(text.trim()), c => c.charCodeAt(0));
  const data = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
  el.replaceChildren();
  renderRows({ model: offline(data), el });
}

/** @param {string} text @returns {Promise<boolean>} */
async function toClipboard(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed here: the old way */ }
  const area = make('textarea', { value: text });
  document.body.append(area);
  area.select();
  try { return document.execCommand('copy'); } finally { area.remove(); }
}

/** @param {{model: Model, el: HTMLElement}} where */
const render = where => where.model.get('form') ? renderForm(where) : renderRows(where);

export { page };
export default { render };
