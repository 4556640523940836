"""The wheel, outside a clone, has all that advad ships beside its code, and every command works there, offline."""

import json
import os
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

import advad
from advad.lessons.course import course_map

ROOT = Path(advad.__file__).parents[1]

PROGRAM = """
import advad
from advad.environment import checkout, git_state
from advad.scoreboard import table as board
from advad.scoreboard.published import published
from advad.lessons.catalogue import lessons

assert checkout() is None, checkout()
assert git_state() is None
assert len(advad.load("MNIST-lab")) == 30_000
assert len(advad.load("FashionMNIST-lab")) == 20_000
print(advad.__file__)
print(len(published(paper="arae")), len(board.rows(())), len(lessons()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling", reason="needs hatchling, of the extra 'test'")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("needs a checkout")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_finds_published_results_board_rows_and_lessons(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site-packages")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site-packages")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    where, counts = done.stdout.splitlines()
    assert Path(where) == tmp_path / "site-packages" / "advad" / "__init__.py"
    published, board, lessons = map(int, counts.split())
    assert published > 100
    assert board > 10
    assert lessons == len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))) >= 11


def test_the_wheel_holds_types_and_one_version(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"advad/py.typed", "advad/__init__.pyi"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "data/", "notebooks/"))]
    assert wheel.name.startswith(f"advad-{advad.__version__}-")


OFFLINE = """
import socket

def refuse(address):
    with open({log!r}, "a") as log:
        log.write(f"{{address}}\\n")
    raise OSError("no network in this test")

connect, look_up = socket.socket.connect, socket.getaddrinfo

def connect_here(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        refuse(address)
    return connect(self, address)

def look_up_here(host, *arguments, **keywords):
    if host not in (None, "", "127.0.0.1", "::1", "localhost", socket.gethostname()):
        refuse(host)
    return look_up(host, *arguments, **keywords)

socket.socket.connect, socket.getaddrinfo = connect_here, look_up_here
"""
SPEC = """
[data]
dataset = "digits"
normal = 8

[[methods]]
method = "PCA"
"""


@pytest.fixture
def installed(wheel, tmp_path):
    """Return a function that calls the installed `advad` in an empty folder, without a network."""
    log, folder = tmp_path / "network.log", tmp_path / "empty"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site-packages")
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "sitecustomize.py").write_text(OFFLINE.format(log=str(log)))
    folder.mkdir()
    paths = os.pathsep.join(map(str, (tmp_path / "offline", tmp_path / "site-packages")))
    own = {"PYTHONPATH": paths, "HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    environment = {name: value for name, value in os.environ.items() if name != "ADVAD_DATA"} | own
    command = [sys.executable, "-c", "from advad.cli.main import main; main()"]

    def start(*arguments):
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*command, *map(str, arguments)], cwd=folder, env=environment, **streams)

    def call(*arguments):
        process = start(*arguments)
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, f"{arguments}: {errors[-2000:]}"
        return output

    call.start, call.folder, call.log, call.runtime = start, folder, log, tmp_path / "runtime"
    return call


def test_lab_serves_the_course_from_a_wheel(installed):
    options = ["--no-browser", "--port=0", "--IdentityProvider.token=secret"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    process = installed.start("lab", "mine", *options)
    try:
        info = wait_for(lambda: next(installed.runtime.glob("jpserver-*.json"), None), process)
        address = json.loads(wait_for(lambda: (text := info.read_text()).strip().endswith("}") and text, process))[
            "url"
        ]

        def ask(path, data=None):
            request = urllib.request.Request(f"{address}{path}", data, {"Authorization": "token secret"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read().decode()

        assert course_map()[0].question in ask("api/contents/welcome.ipynb")
        assert "00_start.ipynb" in ask("api/contents/lessons?content=1")
        ask("api/shutdown", b"")
        process.wait(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (installed.folder / "mine" / "lessons" / "00_start.ipynb").is_file()
    assert not installed.log.exists(), installed.log.read_text()


def test_every_command_works_from_a_wheel_in_an_empty_folder_without_network(installed, request):
    profile = request.config.getoption("--profile")
    assert "fail" not in [line.split()[0] for line in installed("doctor").splitlines()]
    assert "MNIST-lab         comes with advad" in installed("data")
    advad_lab = "from advad.lessons.course import open_course; open_course('mine')"  # what lab does before it serves
    environment = {"PYTHONPATH": str(installed.folder.parent / "site-packages")}
    subprocess.run([sys.executable, "-c", advad_lab], cwd=installed.folder, env=os.environ | environment, check=True)
    assert "AUROC" in installed("run", "01", "--profile", profile, "--out", "mine/runs")
    (installed.folder / "spec.toml").write_text(SPEC)
    assert "1 runs, 0 of them finished before" in installed("sweep", "spec.toml")
    assert "published" in installed("board")
    assert "Overview: " in installed("tour", "00", "--profile", "smoke", "--workers", "1")
    assert "Hand-in of Ada Lovelace" in installed("hand-in", "mine", "--name", "Ada Lovelace", "--out", "in/ada.zip")
    rows = installed("class", "in").splitlines()
    assert rows[1].split()[:3] == ["Ada", "Lovelace", "01"]
    assert "guide.html" in installed("guide")
    assert not installed.log.exists(), installed.log.read_text()


def wait_for(get, process):
    """Return the first true value of `get`, unless the process ends before."""
    for _ in range(1200):
        if value := get():
            return value
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(process.communicate()[1][-2000:])
    pytest.fail("no server within two minutes")


@pytest.mark.parametrize("address", ["example.org", "192.0.2.1"])
def test_the_network_is_really_cut(installed, address):
    """Else the tests above would show nothing."""
    program = f"import urllib.request; urllib.request.urlopen('http://{address}', timeout=5)"
    environment = os.environ | {"PYTHONPATH": str(installed.folder.parent / "offline"), "no_proxy": "*"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "no network in this test" in done.stderr
    assert address in installed.log.read_text()
