"JupyterLab in headless Chromium, one for all tests of a theme; the machine may lack either, and that is said"
import importlib.util, os, sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from notebooks import BROWSER, EDITOR, SETUP, lab, need

MISSING = [o for o in ('jupyterlab', 'ipykernel', 'playwright', 'anywidget') if importlib.util.find_spec(o) is None]
if not Path(os.environ.get('RIG_CHROMIUM', '/usr/bin/chromium')).exists(): MISSING.append('chromium')

def pytest_collection_modifyitems(items):
    for o in items:
        if MISSING and Path(__file__).parent in Path(o.fspath).parents: o.add_marker(pytest.mark.skip(reason=f'no {", ".join(MISSING)}'))

def pytest_terminal_summary(terminalreporter):
    if MISSING and terminalreporter.stats.get('skipped'): terminalreporter.write_line(f'BROWSER TESTS WERE SKIPPED: this machine has no {", ".join(MISSING)}', yellow=True, bold=True)

@pytest.fixture(scope='session', params=['jupyterlab', pytest.param('notebook', marks=pytest.mark.browser)])
def light(request, tmp_path_factory):
    "An editor and a browser, in the light theme of JupyterLab, then of Notebook 7"
    need(request.param)
    with lab(tmp_path_factory, 'light', SETUP, EDITOR, BROWSER, app=request.param) as rig:
        rig.open().run_all()
        assert not rig.errors() and not rig.widget_failures(), (rig.errors(), rig.widget_failures())
        yield rig

def calm(rig, box):
    "No drawer is open, nothing is typed or selected"
    for o in box.locator('.sm-opener[aria-expanded=true]').all(): o.click()
    mode = box.get_by_role('button', name='plain text')
    if mode.get_attribute('aria-pressed')=='true': mode.click()
    box.locator('.sm-view').focus()
    rig.page.keyboard.press('Escape')

@pytest.fixture
def editor(light):
    "The editor's box, with a fresh file"
    light.kernel("e.state = fresh(); e.note = {}; e.draw()")
    box = light.page.locator('.segmask-box').nth(0)
    calm(light, box)
    yield box
    assert not light.errors(), light.errors()

@pytest.fixture
def browser(light):
    light.kernel('b.command("query", query={}); b.command("jump", row=0)')
    box = light.page.locator('.segmask-box').nth(1)
    calm(light, box)
    yield box
    assert not light.errors(), light.errors()
