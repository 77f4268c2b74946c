#!/usr/bin/env python3
"""Run a notebook in *real* JupyterLab in headless Chromium, on loopback only.

    browser_rig.py NOTEBOOK --shots DIR [--click TEXT ...] [--theme light|dark]

Starts its own JupyterLab (fresh settings, random port and token, 127.0.0.1), opens a
COPY of the notebook, runs all cells, waits for the kernel to be idle and the widgets
to be drawn, prints each cell error's traceback, clicks the named ipywidgets buttons and
asserts that the page's output changed after each, takes screenshots, stops what it started.

Exit codes: 0 fine; 1 a cell raised; 2 a widget did not draw / the page logged an
uncaught error; 3 a --click changed nothing (or found no button); 4 the rig itself failed.

Needs: pip install jupyterlab ipywidgets ipykernel playwright; apt-get install chromium.
Importable too:  with LabRig(nb) as rig: rig.run_all(); rig.click('Next'); rig.page...
"""
from __future__ import annotations
import argparse, contextlib, json, os, re, secrets, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path
from playwright.sync_api import sync_playwright, Error as PWError

CHROMIUM = os.environ.get('RIG_CHROMIUM', '/usr/bin/chromium')
# --host-resolver-rules: the browser can name nothing but loopback, whatever a page asks for
CHROME_ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
               '--disable-background-networking', '--disable-component-update', '--disable-sync',
               '--disable-dev-shm-usage', '--force-color-profile=srgb', '--font-render-hinting=none',
               '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']
ANSI = re.compile(r'\x1b\[[0-9;]*[A-Za-z]')
# the settings that keep JupyterLab quiet, offline and fully drawn
LAB_SETTINGS = {
    '@jupyterlab/apputils-extension/notification.jupyterlab-settings':
        {'fetchNews': 'false', 'checkForUpdates': False, 'doNotDisturbMode': True},
    '@jupyterlab/extensionmanager-extension/plugin.jupyterlab-settings': {'enabled': False},
    # 'none': every cell stays in the DOM (the default 'contentVisibility' skips off-screen ones)
    '@jupyterlab/notebook-extension/tracker.jupyterlab-settings':
        {'windowingMode': 'none', 'maxNumberOutputs': 100000, 'autoStartDefaultKernel': True},
    '@jupyterlab/docmanager-extension/plugin.jupyterlab-settings': {'autosave': False},
}

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0)); return s.getsockname()[1]

def stop(proc, grace=8):
    "End one process that we started, by pid (SIGTERM, then SIGKILL), with its own session's children."
    if proc is None or proc.poll() is not None: return
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError): os.killpg(proc.pid, sig)
        try: proc.wait(grace); return
        except subprocess.TimeoutExpired: continue

def die_with_parent():
    "In the child, Linux: SIGTERM when this process goes, were it even by kill -9."
    with contextlib.suppress(Exception):
        import ctypes; ctypes.CDLL('libc.so.6').prctl(1, signal.SIGTERM)

def wait_http(url, proc, timeout=180, log=None):
    t0 = time.time()
    while time.time() - t0 < timeout:
        if proc.poll() is not None:
            raise RuntimeError(f'server exited {proc.returncode}: {Path(log).read_text()[-3000:] if log else ""}')
        try:
            with urllib.request.urlopen(url, timeout=2) as r:
                if r.status < 500: return
        except OSError: time.sleep(.1)
    raise RuntimeError(f'server did not answer in {timeout}s')

_playwright = None
def playwright():
    "One Playwright for all browsers of this process: it does not start twice"
    global _playwright
    if _playwright is None:
        import atexit
        _playwright = sync_playwright().start()
        atexit.register(_playwright.stop)
    return _playwright

class Browser:
    "Headless Chromium that can reach loopback only; keeps console errors and blocked addresses."
    def __init__(self, width=1280, height=900, color_scheme='light', routes=None):
        self.size, self.scheme = dict(width=width, height=height), color_scheme
        self.routes = routes or {}          # {url substring: (body bytes, content type)}: local stand-ins for a CDN
        self.console_errors, self.page_errors, self.blocked = [], [], []
    def __enter__(self):
        self.browser = playwright().chromium.launch(executable_path=CHROMIUM, headless=True, args=CHROME_ARGS)
        self.ctx = self.browser.new_context(viewport=self.size, color_scheme=self.scheme, accept_downloads=True)
        self.ctx.route('**/*', self._route)
        self.page = self.ctx.new_page()
        self.page.on('console', lambda m: m.type == 'error' and self.console_errors.append(m.text[:400]))
        self.page.on('pageerror', lambda e: self.page_errors.append(str(e)[:400]))
        return self
    def _route(self, route):
        url = route.request.url
        if url.startswith(('http://127.0.0.1', 'ws://127.0.0.1', 'data:', 'blob:', 'file:')): return route.continue_()
        for sub, (body, ctype) in self.routes.items():
            if sub in url:
                return route.fulfill(body=body, content_type=ctype, headers={'Access-Control-Allow-Origin': '*'})
        self.blocked.append(url); route.abort()
    def __exit__(self, *a):
        with contextlib.suppress(Exception): self.browser.close()

class LabRig(Browser):
    def __init__(self, notebook, theme='light', timeout=180, beside=False, keep_outputs=False, python=None, keep_going=False,
                 app='jupyterlab', # or 'notebook': Notebook 7
                 **kw):
        super().__init__(color_scheme=theme, **kw)
        self.app = app
        self.nb, self.theme, self.timeout, self.beside = Path(notebook).resolve(), theme, timeout, beside
        self.keep_outputs, self.python, self.keep_going, self.times, self.server = keep_outputs, python, keep_going, {}, None
    def _t(self, name, t0): self.times[name] = round(time.time() - t0, 2)

    def __enter__(self):
        t0 = time.time()
        self.tmp = Path(tempfile.mkdtemp(prefix='labrig-'))
        try: self._start(); self._t('server', t0); t1 = time.time(); super().__enter__(); self._t('browser', t1)
        except BaseException: self.__exit__(); raise
        return self

    def _start(self):
        nb = json.loads(self.nb.read_text('utf8'))
        if not self.keep_outputs:
            for c in nb['cells']:
                if c['cell_type'] == 'code': c['outputs'], c['execution_count'] = [], None
            nb['metadata'].pop('widgets', None)
        if self.keep_going:                 # Jupyter drops the cells after a failing one unless it is tagged so
            for c in nb['cells']: c['metadata'].setdefault('tags', []).append('raises-exception')
        kname = 'python3'
        for k in ('config', 'data/kernels', 'runtime', 'settings', 'workspaces', 'ipython', 'root'): (self.tmp/k).mkdir(parents=True)
        if self.python:                     # run the kernel in another environment than JupyterLab's
            kname = 'rig'; (self.tmp/'data/kernels/rig').mkdir()
            (self.tmp/'data/kernels/rig/kernel.json').write_text(json.dumps(dict(
                argv=[self.python, '-m', 'ipykernel_launcher', '-f', '{connection_file}'], display_name='rig', language='python')))
        # a notebook that names a kernel this machine lacks would stop at a "Select Kernel" dialog
        nb['metadata']['kernelspec'] = dict(name=kname, display_name=kname, language='python')
        if self.beside:                     # cwd = the notebook's own folder; '_' so that nbdev skips it
            root = self.nb.parent; self.copy = root/f'_rig_{os.getpid()}_{self.nb.name}'
        else:                               # cwd = a scratch folder with links to the notebook's neighbours
            root = self.tmp/'root'; self.copy = root/self.nb.name
            for p in self.nb.parent.iterdir():
                if p.name != self.nb.name and not p.name.startswith('.'): (root/p.name).symlink_to(p)
        self.copy.write_text(json.dumps(nb), 'utf8')
        settings = dict(LAB_SETTINGS)
        settings['@jupyterlab/apputils-extension/themes.jupyterlab-settings'] = {
            'theme': 'JupyterLab Dark' if self.theme == 'dark' else 'JupyterLab Light', 'adaptive-theme': False}
        for rel, val in settings.items():
            p = self.tmp/'settings'/rel; p.parent.mkdir(parents=True, exist_ok=True); p.write_text(json.dumps(val))
        self.port, self.token = free_port(), secrets.token_hex(16)
        env = dict(os.environ, JUPYTER_CONFIG_DIR=str(self.tmp/'config'), JUPYTER_DATA_DIR=str(self.tmp/'data'),
                   JUPYTER_RUNTIME_DIR=str(self.tmp/'runtime'), IPYTHONDIR=str(self.tmp/'ipython'),
                   JUPYTERLAB_SETTINGS_DIR=str(self.tmp/'settings'), JUPYTERLAB_WORKSPACES_DIR=str(self.tmp/'workspaces'),
                   JUPYTER_TOKEN=self.token, JUPYTER_PLATFORM_DIRS='1')   # token by environment: not in `ps`
        self.log = self.tmp/'server.log'
        server = dict(jupyterlab='LabApp', notebook='JupyterNotebookApp')[self.app]
        quiet = ['extension_manager=readonly', 'news_url=None', 'check_for_updates_class=jupyterlab.NeverCheckForUpdate'] * (self.app == 'jupyterlab')
        self.server = subprocess.Popen([sys.executable, '-m', self.app, '--no-browser', '--allow-root',
            '--ServerApp.ip=127.0.0.1', f'--ServerApp.port={self.port}', '--ServerApp.port_retries=0',
            f'--ServerApp.root_dir={root}', '--ServerApp.terminals_enabled=False',
            f'--{server}.expose_app_in_browser=True',         # window.jupyterapp: run commands, read the model
            *[f'--{server}.{o}' for o in quiet],
            '--KernelProvisionerFactory.default_provisioner_name=local-provisioner'],
            env=env, cwd=root, stdout=open(self.log, 'wb'), stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent)
        wait_http(f'http://127.0.0.1:{self.port}/api/status?token={self.token}', self.server, log=self.log)

    # -- JupyterLab ------------------------------------------------------------
    def open(self):
        t0 = time.time(); p = self.page; p.set_default_timeout(self.timeout*1000)
        place = dict(jupyterlab='lab/tree', notebook='notebooks')[self.app]
        p.goto(f'http://127.0.0.1:{self.port}/{place}/{self.copy.name}?reset&token={self.token}')
        p.wait_for_function('() => window.jupyterapp && window.jupyterapp.restored && true')
        p.evaluate('async () => { await window.jupyterapp.restored; }')
        p.wait_for_function("""() => { const w = window.jupyterapp.shell.currentWidget;
            return w && w.content && w.content.model && w.context && w.context.isReady; }""")
        # the kernel must be connected before "run all", or cells are queued against nothing
        p.wait_for_function("""() => { const s = window.jupyterapp.shell.currentWidget.sessionContext;
            return s.isReady && s.session && s.session.kernel && s.session.kernel.status === 'idle'; }""")
        # every 'error' and stderr message of the kernel: an exception in a widget callback has no cell, and
        # JupyterLab only writes it to the log console, where nobody looks
        p.evaluate("""() => { window.__rig = {errors: [], stderr: []}; const seen = new Set();
            const hook = k => k && !seen.has(k.id) && seen.add(k.id) && k.iopubMessage.connect((_, m) => {
                if (m.header.msg_type === 'error') window.__rig.errors.push(m.content);
                if (m.header.msg_type === 'stream' && m.content.name === 'stderr') window.__rig.stderr.push(m.content.text); });
            const s = window.jupyterapp.shell.currentWidget.sessionContext; hook(s.session.kernel);
            s.kernelChanged.connect((_, a) => hook(a.newValue)); }""")
        with contextlib.suppress(Exception):
            p.evaluate("""() => { const a = window.jupyterapp; if (!a.shell.leftCollapsed) a.commands.execute('application:toggle-left-area'); }""")
        self._t('open', t0); return self
    def command(self, name, args=None):
        "A JupyterLab command, awaited with a time limit (page.evaluate alone would wait for ever on a busy kernel)."
        self.page.evaluate("""([n, a]) => { window.__rig.cmd = 'running';
            window.jupyterapp.commands.execute(n, a || {}).then(() => { window.__rig.cmd = 'done'; }, e => { window.__rig.cmd = 'failed: ' + e; }); }""", [name, args])
        self.page.wait_for_function("() => window.__rig.cmd !== 'running'")
        if (r := self.page.evaluate('() => window.__rig.cmd')) != 'done': raise RuntimeError(f'{name}: {r}')
    def run_all(self):
        t0 = time.time(); self.command('notebook:run-all-cells'); self.wait_idle(); self._t('run_all', t0); return self
    def wait_idle(self, quiet=0.6):
        "Kernel idle, nothing queued ([*]), and the page's outputs unchanged for `quiet` seconds."
        p = self.page
        p.wait_for_function("""() => { const w = window.jupyterapp.shell.currentWidget;
            const k = w.sessionContext.session.kernel;
            return k && k.status === 'idle' && ![...w.node.querySelectorAll('.jp-InputArea-prompt')].some(e => e.textContent.includes('*')); }""")
        last, since, end = None, time.time(), time.time() + self.timeout
        while time.time() < end:
            now = self.output_state()
            if now != last: last, since = now, time.time()
            elif time.time() - since >= quiet: return
            time.sleep(.1)
    def model(self):   return self.page.evaluate('() => window.jupyterapp.shell.currentWidget.content.model.toJSON()')
    def errors(self):
        res = []
        for i, c in enumerate(self.model()['cells']):
            for o in c.get('outputs', []):
                if o['output_type'] == 'error':
                    tb = o.get('traceback') or [f"{o['ename']}: {o['evalue']}"]
                    if isinstance(tb, str): tb = [tb]
                    res.append((i, o['ename'], o['evalue'], ANSI.sub('', '\n'.join(tb))))
        for e in self.page.evaluate('() => window.__rig.errors'):
            tb = ANSI.sub('', '\n'.join(e['traceback']))
            if not any((e['ename'], e['evalue']) == r[1:3] for r in res): res.append((-1, e['ename'], e['evalue'], tb))
        return res
    # page text that JupyterLab, ipywidgets and anywidget show in place of a widget that failed to draw
    BAD = ('Error displaying widget', 'Error creating widget', 'Loading widget...', 'Error rendering widget', 'show javascript error', 'Failed to load model class')
    def widget_failures(self):
        return [f'{b!r}: {t.strip()[:300]}' for t in self.page.locator('.jp-OutputArea-output').all_inner_texts() for b in self.BAD if b.lower() in t.lower()]
    def output_text(self): return '\n'.join(self.page.locator('.jp-Cell .jp-Cell-outputWrapper').all_inner_texts())
    def output_state(self):
        "A short digest of what the outputs show: markup (so colours too), field values, canvas sizes; not focus or selection."
        return self.page.evaluate("""() => { let h = 5381, n = 0; const add = t => { n += t.length; for (let i = 0; i < t.length; i++) h = (h * 33 ^ t.charCodeAt(i)) | 0; };
            for (const e of document.querySelectorAll('.jp-OutputArea-output')) { add(e.innerHTML);
                for (const i of e.querySelectorAll('input,textarea,select')) add(i.value + '|' + i.checked); }
            return h + ':' + n; }""")
    def click(self, text, quiet=0.6):
        "Click the first button (exact label first) in the notebook's outputs; True if the outputs then changed."
        before = self.output_state()
        for exact in (True, False):
            b = self.page.locator('.jp-OutputArea').get_by_role('button', name=text, exact=exact)
            if b.count(): b.first.scroll_into_view_if_needed(); b.first.click(); break
        else: raise LookupError(f'no button {text!r} in the outputs; there are: ' + repr(
            [t for t in self.page.locator('.jp-OutputArea button').all_inner_texts() if t.strip()][:40]))
        end = time.time() + 10
        while time.time() < end and self.output_state() == before: time.sleep(.05)
        self.wait_idle(quiet)
        return self.output_state() != before
    def kernel(self, code):
        "Run code in the notebook's kernel, apart from its cells; what it printed. RuntimeError when it raises"
        out, err = self.page.evaluate("""async code => { const k = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const f = k.requestExecute({code, store_history: false, stop_on_error: false}); let out = '', err = null;
            f.onIOPub = m => { if (m.header.msg_type === 'stream') out += m.content.text; if (m.header.msg_type === 'error') err = m.content.traceback.join('\\n'); };
            await f.done; return [out, err]; }""", code)
        if err: raise RuntimeError(ANSI.sub('', err))
        return out.strip()
    def until(self, f, want=True, seconds=20):
        "Wait until `f()` is `want`; an AssertionError tells what it was last"
        end = time.time()+seconds
        while (got := f())!=want:
            if time.time()>end: raise AssertionError(f'after {seconds} s it is {got!r}, not {want!r}')
            time.sleep(.1)
        return got
    def save(self, to=None):
        self.command('docmanager:save')
        if to: shutil.copy(self.copy, to)
        return self.copy

    # -- pictures --------------------------------------------------------------
    def shots(self, folder, name='lab', scroll=True, full=True, max_px=15000):
        "Screen by screen, plus one tall picture (JupyterLab scrolls inside a panel, so full_page alone shows one screen)."
        folder = Path(folder); folder.mkdir(parents=True, exist_ok=True); p, out = self.page, []
        sc = '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer'
        # end of the last cell, not scrollHeight: JupyterLab pads the notebook by most of a screen
        h, vh = p.evaluate("""s => { const e = document.querySelector(s), c = [...e.querySelectorAll('.jp-Cell')].pop();
            e.scrollTop = 0; return [c.getBoundingClientRect().bottom - e.getBoundingClientRect().top + 20, e.clientHeight]; }""", sc)
        if scroll:
            y = i = 0
            while True:
                p.evaluate('([s, y]) => { document.querySelector(s).scrollTop = y; }', [sc, y]); p.wait_for_timeout(150)
                f = folder/f'{name}-{i:02d}.png'; p.screenshot(path=f); out.append(f); i += 1
                if y + vh >= h or i > 60: break
                y += int(vh*.9)
        if full:
            p.set_viewport_size(dict(width=self.size['width'], height=int(min(max_px, max(self.size['height'], self.size['height'] - vh + h)))))
            p.wait_for_timeout(300); p.evaluate('s => { document.querySelector(s).scrollTop = 0; }', sc); p.wait_for_timeout(150)
            f = folder/f'{name}-full.png'; p.screenshot(path=f); out.append(f)
            p.set_viewport_size(self.size)
        return out

    def __exit__(self, *a):
        if getattr(self, 'browser', None): super().__exit__()
        if self.server and self.server.poll() is None:       # kernels first (they outlive a killed server)
            with contextlib.suppress(Exception):
                hdr = {'Authorization': f'token {self.token}'}; base = f'http://127.0.0.1:{self.port}/api/kernels'
                for k in json.load(urllib.request.urlopen(urllib.request.Request(base, headers=hdr), timeout=5)):
                    urllib.request.urlopen(urllib.request.Request(f"{base}/{k['id']}", headers=hdr, method='DELETE'), timeout=10)
        stop(self.server)
        if self.beside and getattr(self, 'copy', None): self.copy.unlink(missing_ok=True)
        shutil.rmtree(self.tmp, ignore_errors=True)

def main(argv=None):
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('notebook'); ap.add_argument('--shots', metavar='DIR', help='folder for the screenshots')
    ap.add_argument('--click', metavar='TEXT', action='append', default=[], help='click this button after the run; the outputs must change (repeatable)')
    ap.add_argument('--theme', choices=('light', 'dark'), default='light'); ap.add_argument('--timeout', type=int, default=180)
    ap.add_argument('--width', type=int, default=1280); ap.add_argument('--height', type=int, default=900)
    ap.add_argument('--beside', action='store_true', help="run a copy in the notebook's own folder (needed when it looks up parent folders)")
    ap.add_argument('--python', help="this environment's python runs the kernel (needs ipykernel)")
    ap.add_argument('--keep-going', action='store_true', help='run the cells after a failing one too, so that every error is reported')
    ap.add_argument('--norun', action='store_true', help='only open it, outputs kept, nothing run: what a reader without a kernel sees (untrusted)')
    ap.add_argument('--save-to', metavar='IPYNB', help='write the executed notebook (outputs and widget state) here')
    ap.add_argument('--strict', action='store_true', help='uncaught page errors fail the run too')
    a = ap.parse_args(argv); t0 = time.time(); rc = 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))   # so that `timeout` still stops the server and the browser
    try:
        with LabRig(a.notebook, theme=a.theme, timeout=a.timeout, beside=a.beside, python=a.python, keep_outputs=a.norun, keep_going=a.keep_going,
                    width=a.width, height=a.height) as rig:
            rig.open()
            if not a.norun: rig.run_all()
            else: rig.wait_idle()
            seen = set()
            def report():
                new = [e for e in rig.errors() if e not in seen]; seen.update(new)
                for i, en, ev, tb in new: print(f'--- {f"cell {i}" if i >= 0 else "in a widget callback"}: {en}: {ev}\n{tb}\n', file=sys.stderr)
                return bool(new)
            rc = 1 if report() else 0
            for w in rig.widget_failures():
                rc = rc or 2; print(f'--- widget not drawn: {w}', file=sys.stderr)
            if a.shots: print(*rig.shots(a.shots, f'run-{a.theme}'), sep='\n')
            for n, text in enumerate(a.click):
                t = time.time()
                try: ok = rig.click(text)
                except LookupError as e: ok = False; print(f'--- {e}', file=sys.stderr)
                print(f'click {text!r}: outputs {"changed" if ok else "DID NOT CHANGE"} ({time.time()-t:.2f}s)')
                if not ok: rc = rc or 3
                if a.shots: print(*rig.shots(a.shots, f'click{n+1}-{a.theme}', scroll=False), sep='\n')
                if report(): rc = 1
            if a.save_to: rig.save(a.save_to)
            if rig.page_errors: print('page errors:', *rig.page_errors[:10], sep='\n  ', file=sys.stderr); rc = rc or (2 if a.strict else 0)
            if rig.console_errors: print('console errors:', *rig.console_errors[:10], sep='\n  ', file=sys.stderr)
            if rig.blocked: print('blocked (not loopback):', *sorted(set(rig.blocked))[:20], sep='\n  ', file=sys.stderr)
            n = sum(c['cell_type'] == 'code' for c in rig.model()['cells']); times = rig.times
    except (PWError, RuntimeError) as e:
        print(f'--- rig failed: {e}', file=sys.stderr); return 4
    print(f'{n} code cells, exit {rc}, total {time.time()-t0:.1f}s, of it {times}')
    return rc

if __name__ == '__main__': sys.exit(main())
