"""JupyterLab in a real headless Chromium. Skipped, with the reason, where there is no Chromium.

One server and one browser serve all tests; each module opens a notebook of its own, with a small trained detector
and one explorer. What the page must show is computed here by the same code: the same file of weights gives the same
numbers and images. Screenshots go to runs/browser.

To see that a test fails when its callback is cut:  ADVAD_CUT=explorers.LatentExplorer.click_point pytest tests/browser
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from playwright.sync_api import sync_playwright

import advad
from tests.browser.hands import ANSWER, SHOTS, Hands

TOKEN = "test-token"
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--use-angle=swiftshader"]
FLAGS += ["--enable-unsafe-swiftshader"]  # WebGL without a graphics card
PATIENCE = 240_000  # ms: the machine may be busy

# A page asks a new kernel which widgets it has. If cells run before it has the answer, it can end up with two models
# of one widget: a view of one, and the kernel's news to the other.
RESTORED = """async () => {
  const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session, began = performance.now();
  const asks = () => [...kernel._comms.values()].some(comm => comm.targetName == 'jupyter.widget.control');
  const patient = () => performance.now() - began < 5000;  // the page itself waits for 4 s, then asks otherwise
  while (asks() && patient()) await new Promise(r => setTimeout(r, 50));
  await kernel.requestCommInfo({})}"""

LISTEN = """() => {
  window.unanswered = new Set();
  window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.anyMessage.connect((_, {msg, direction}) => {
    if (direction == 'send' && msg.channel == 'shell') unanswered.add(msg.header.msg_id);
    if (msg.header.msg_type == 'status' && msg.content.execution_state == 'idle')
      unanswered.delete(msg.parent_header.msg_id)})}"""

ASK = """async code => {
  const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
  const {content} = await kernel.requestExecute({code: '', silent: true, user_expressions: {it: code}}).done;
  return content.user_expressions.it.data?.['text/plain'] ?? content.user_expressions.it.evalue}"""

SHUT = "() => window.jupyterapp?.shell.currentWidget?.sessionContext.shutdown()"

DETECTOR = """
import advad, numpy as np
from advad import explorers
split = advad.one_class(advad.load("digits"), normal=8, seed=0, test_size=240)
detector = advad.load_detector({path!r})
"""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    """Let one process run all tests of this folder: they share a server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


def chromium() -> str | None:
    """Return the path of a Chromium, or None."""
    if path := os.environ.get("CHROMIUM"):
        return path
    names = ["chromium", "chromium-browser", "google-chrome"]
    return next(filter(None, map(shutil.which, names)), None) or playwrights_own()


def playwrights_own() -> str | None:
    """Return the path of the Chromium that `playwright install chromium` brings, or None."""
    with sync_playwright() as p:
        path = p.chromium.executable_path
    return path if Path(path).exists() else None


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return a headless Chromium."""
    path = chromium()
    SHOTS.mkdir(parents=True, exist_ok=True)
    if path is None:
        pytest.skip("needs a Chromium: apt-get install chromium, or playwright install chromium")
    with sync_playwright() as p:
        running = p.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield running
        running.close()


@contextmanager
def server(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """Run `python -m <arguments>` with configuration and settings of its own; its log is folder/server.log."""
    for name in ("config", "runtime", "settings", "workspaces", "ipython"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},  # outputs stay in the page
    }
    for name, values in settings.items():
        path = folder / f"settings/@jupyterlab/{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    environment = os.environ | {name: str(folder / place) for name, place in places.items()}
    environment |= {"JUPYTER_PLATFORM_DIRS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    environment["PYTHONPATH"] = str(Path(advad.__file__).parents[1])  # the kernels run what is tested
    with open(folder / "server.log", "w+b") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen) -> None:
    """End this process only; SIGTERM lets Jupyter shut its kernels down first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def wait_for(get: Callable[[], Any], seconds: float, what: str, log: Path | None = None) -> Any:
    """Return the first true value of `get`; fail after some seconds with the end of the log."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := get():
            return value
        time.sleep(0.2)
    pytest.fail(f"{what} within {seconds} s" + (f":\n{log.read_text()[-3000:]}" if log else ""))


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    notebook.cells = [nbformat.v4.new_code_cell(source.strip()) for source in cells]
    nbformat.write(notebook, path)


def cut() -> str:
    """Return lines that cut the callbacks which ADVAD_CUT names, separated by commas."""
    names = filter(None, os.environ.get("ADVAD_CUT", "").split(","))
    return "\n".join(f"{name} = lambda *event: None" for name in names)


@pytest.fixture(scope="session")
def detector_file(tmp_path_factory) -> str:
    """Return the file of a small detector of the digit 8, with a latent plane."""
    split = advad.one_class(advad.load("digits"), normal=8, seed=0)
    detector = advad.AE(epochs=30, latent_dim=2, widths=(64, 32), batch_size=32, learning_rate=3e-3, device="cpu")
    detector.fit(split.train, progress=False).calibrate(split.holdout)
    return str(detector.save(tmp_path_factory.mktemp("detector") / "eight"))


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory) -> Iterator[SimpleNamespace]:
    """Return a running JupyterLab: its address and the folder of its notebooks."""
    folder = tmp_path_factory.mktemp("lab")
    work = folder / "work"
    work.mkdir()
    options = [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={work}", "--ip=127.0.0.1", "--port=0"]
    options += ["--no-browser", "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    with server(folder, "jupyterlab", *options) as process:
        log, info = folder / "server.log", folder / f"runtime/jpserver-{process.pid}.json"
        wait_for(lambda: info.exists() and info.read_text().strip().endswith("}"), 240, "no server", log)
        yield SimpleNamespace(url=json.loads(info.read_text())["url"], folder=work, log=log)


@pytest.fixture(scope="session")
def open_page(browser) -> Callable[..., Any]:
    """Return a function that opens an address in a page of its own, which notes errors and requests."""

    def go(url: str, first: str = "") -> Any:
        page = browser.new_page(viewport={"width": 1280, "height": 1100})
        page.add_init_script(first)
        page.set_default_timeout(PATIENCE)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url)
        return page

    return go


@pytest.fixture(scope="session")
def run_notebook(lab, open_page) -> Callable[..., Any]:
    """Return a function that opens a notebook of the lab's folder, runs all its cells, and returns the page.

    A second argument is a script that the page runs before its own.
    """

    def run(name: str, first: str = "") -> Any:
        page = open_page(f"{lab.url}lab/tree/{name}?token={TOKEN}&reset", first)
        page.wait_for_function("() => window.jupyterapp && document.querySelector('.jp-NotebookPanel .jp-Cell')")
        page.wait_for_function(
            """() => {const w = window.jupyterapp.shell.currentWidget;
            const kernel = w?.context?.isReady && w.sessionContext?.session?.kernel;
            return kernel?.status == 'idle' && 'jupyter.widget' in kernel._targetRegistry}"""
        )
        page.evaluate(RESTORED)
        page.evaluate(LISTEN)
        page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        return page

    return run


def leave(page: Any) -> None:
    """End the kernel of a page of JupyterLab, and close the page; it must have asked nothing of other machines."""
    page.evaluate(SHUT)
    page.close()
    assert asked_outside(page) == []


def asked_outside(page: Any) -> list[str]:
    """Return the addresses on other machines that a page has asked for."""
    return [url for url in page.asked if not re.match(r"https?://(127\.0\.0\.1|localhost):|data:|blob:", url)]


@pytest.fixture(scope="module")
def explorer(request, lab, run_notebook, detector_file) -> Iterator[tuple[Hands, Any]]:
    """Return hands on the module's explorer in a page of JupyterLab, and the same explorer here, to compare with."""
    make, setup = request.module.EXPLORER.strip(), DETECTOR.format(path=detector_file)
    name = f"{request.module.__name__.rpartition('.')[2]}.ipynb"
    write_notebook(lab.folder / name, setup + cut(), make)
    names: dict[str, Any] = {}
    exec(setup, names)  # the same code as in the notebook
    *lines, last = make.splitlines()
    exec("\n".join(lines), names)
    here = eval(last, names)
    page = run_notebook(name)
    page.wait_for_selector(".advad-explorer .advad-answer")
    page.set_default_timeout(ANSWER)
    yield Hands(page), here
    leave(page)
