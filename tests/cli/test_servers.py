"""`advad app` and `advad lab`, started in earnest and ended by signals: nothing of theirs stays behind."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import psutil
import pytest

import advad
from advad.cli.app import HOST

pytestmark = [
    pytest.mark.xdist_group("browser"),  # one after the other, as the machine's memory and ports want
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
]
COMMAND = [sys.executable, "-c", "from advad.cli.main import main; main()"]
START, END = 240, 30  # seconds; the machine may be busy
SIGNALS = {"SIGTERM": 128 + signal.SIGTERM, "SIGHUP": 128 + signal.SIGHUP, "SIGKILL": -signal.SIGKILL}


def until(get, seconds, what):
    """Return the first true value of `get`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := get():
            return value
        time.sleep(0.1)
    return pytest.fail(f"{what} within {seconds} s")


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def kernels(process):
    """Return the kernels among all processes that a process has started."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if any("ipykernel" in word for word in child.cmdline()):
                found.append(child)
    return found


@pytest.fixture
def start(tmp_path):
    """Return a function that starts `advad` with a home and a folder for temporary files of its own."""
    started = []

    def run(*arguments):
        places = {"HOME": "home", "TMPDIR": "tmp", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_CONFIG_DIR": "config"}
        environment = os.environ | {name: str(tmp_path / place) for name, place in places.items()}
        for place in places.values():
            (tmp_path / place).mkdir()
        environment["PYTHONPATH"] = str(Path(advad.__file__).parents[1])
        environment |= {"PYTHONUNBUFFERED": "1", "NUMBA_CACHE_DIR": str(tmp_path / "home")}
        output = open(tmp_path / "output", "wb")  # noqa: SIM115 (the process needs it open)
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=environment,
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup lets these tests ignore it
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:  # the test has failed
            family = psutil.Process(process.pid).children(recursive=True)
            for member in [process, *family]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    detector = advad.AE(epochs=0, latent_dim=2, network="dense", widths=(8,), device="cpu")
    return detector.fit(advad.load("digits").images[:8], progress=False).save(
        tmp_path_factory.mktemp("saved") / "eight"
    )


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@pytest.fixture
def app(start, saved, tmp_path):
    """Return a function that starts the app and opens its page, so that it has a kernel."""

    def run():
        port = free_port()
        process = start("app", str(saved), "--explorer", "brush", "--no-browser", "--port", str(port), "--images", "5")
        until(lambda: b"Ctrl-C stops it" in (tmp_path / "output").read_bytes(), START, "no page")
        url = (tmp_path / "output").read_text().splitlines()[0]
        Thread(target=read, args=(url,), daemon=True).start()
        return SimpleNamespace(process=process, port=port, folder=tmp_path / "tmp")

    return run


@pytest.fixture
def lab(start, tmp_path):
    """Return a function that starts JupyterLab and a kernel in it."""

    def run():
        options = ["--no-browser", f"--ServerApp.ip={HOST}", "--port=0", "--IdentityProvider.token=secret"]
        process = start("lab", *options, *["--allow-root"] * (os.geteuid() == 0))
        read_info = lambda: [p.read_text() for p in (tmp_path / "runtime").glob("jpserver-*.json")]  # noqa: E731
        (info,) = until(lambda: [text for text in read_info() if text.strip().endswith("}")], START, "no server")
        info = json.loads(info)
        read(f"{info['url']}api/kernels?token=secret", data=b"{}")
        return SimpleNamespace(process=process, port=info["port"], folder=tmp_path / "runtime")

    return run


def read(url, data=None):
    with contextlib.suppress(OSError, http.client.HTTPException):  # the server is ended meanwhile
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, data, timeout=START).read()


@pytest.mark.parametrize(
    ("command", "name"),
    [("app", "SIGTERM"), ("app", "SIGKILL"), ("lab", "SIGHUP"), ("lab", "SIGKILL")],
)
def test_no_process_port_or_temporary_file_outlives_the_command(command, name, request):
    server = request.getfixturevalue(command)()
    until(lambda: kernels(server.process), START, "no kernel")
    family = psutil.Process(server.process.pid).children(recursive=True)
    assert is_open(server.port)
    server.process.send_signal(getattr(signal, name))
    assert server.process.wait(END) == SIGNALS[name]
    assert psutil.wait_procs(family, END)[1] == []
    assert not is_open(server.port)
    left = [path.name for path in server.folder.iterdir() if path.name != "jupyter_cookie_secret"]  # kept by Jupyter
    assert left == []


def test_a_signal_while_the_server_starts_ends_it_too(start, saved, tmp_path):
    process = start("app", str(saved), "--no-browser", "--port", str(free_port()))
    until(lambda: psutil.Process(process.pid).children(), START, "no server")
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(END) == SIGNALS["SIGTERM"]
    assert psutil.wait_procs(family, END)[1] == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert "Traceback" not in (tmp_path / "output").read_text()
