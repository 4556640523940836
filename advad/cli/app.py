"""An explorer of a saved detector as a page: Voila serves it, on loopback, to anyone who has the token.

Voila runs a notebook of one cell and shows what it displays. Its server asks for the token at the page and at the
kernel's own addresses; the token travels in the environment, because other users of a machine can read command lines.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import subprocess
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from advad.checks import check_choice
from advad.cli.servers import orderly_end, running
from advad.files import expanded

EXPLORERS = {"latent": "LatentExplorer", "brush": "OcclusionBrush"}  # name -> class in `explorers`
DEFAULT_SETS = {(1, 8, 8): "digits", (1, 28, 28): "MNIST-lab"}  # image shape -> data set
TEMPLATES = Path(__file__).parents[1] / "pages" / "jupyter"  # an entry of JUPYTER_PATH, with the template "advad"
HOST, PATIENCE = "127.0.0.1", 120  # seconds until the server must answer


class AppError(Exception):
    """An app cannot be served; the message tells what to do, in one line."""


def explorer(path: str | Path, name: str, data: str | None = None, n: int = 500) -> Any:
    """Return an explorer of a saved detector, which the page shows.

    Parameters
    ----------
    path : path
        A file that `Detector.save` wrote.
    name : str
        Key of `EXPLORERS`.
    data : str, optional
        The name or path of an image set, as :func:`advad.load` takes it; by default the set of `DEFAULT_SETS`.
    n : int
        Number of images: the first of its test part, or of all images where it has no test part.

    Raises
    ------
    AppError
        Images of another shape than the detector's, or a shape without a default set.
    FileNotFoundError, ValueError
        No such detector or image set, a damaged file, an unknown name.
    """
    import advad
    from advad import explorers

    check_choice("app", "explorer", name, EXPLORERS)
    detector = advad.load_detector(path, "cpu")
    shape = detector.image_shape_
    data = data or DEFAULT_SETS.get(shape)
    if data is None:
        raise AppError(f"app: {path} wants images of shape {by(shape)}; name a set of such images with --data.")
    images = advad.load(data)
    actual = tuple(images.images.shape[1:])
    if actual != shape:
        raise AppError(
            f"app: {path} wants images of shape {by(shape)}; {data} has {by(actual)}. Name another set with --data."
        )
    part = images.is_test if bool(images.is_test.any()) else ~images.is_test
    subset, labels = images.images[part][:n], images.labels[part][:n]
    return getattr(explorers, EXPLORERS[name])(detector, subset, labels=labels, classes=images.classes)


def by(shape: tuple[int, ...]) -> str:
    """Return a shape as text, such as 1×28×28."""
    return "×".join(map(str, shape))


def check_voila() -> None:
    """Raise AppError if Voila is missing."""
    if importlib.util.find_spec("voila") is None:
        raise AppError("app: needs Voila, which is not installed. Run: pip install 'advad[app]'")


def check_port(port: int) -> None:
    """Raise AppError if a port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise AppError(f"app: port {port} cannot be used ({error.strerror}). Choose another with --port.") from None


@contextmanager
def served(
    path: str | Path, name: str, data: str | None = None, n: int = 500, port: int = 8866
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve an explorer while the block runs; yield the server's process, and the page's address with its token.

    Parameters
    ----------
    path, name, data, n
        As in :func:`explorer`. Call that first: here an error would show only in the page.
    port : int
        Port on loopback.

    Raises
    ------
    AppError
        No Voila, a port in use, or a server that does not start.
    """
    check_voila()
    check_port(port)
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="advad_app_") as folder:
        page = write_app_notebook(Path(folder), expanded(path), name, data, n)
        arguments = [str(page), f"--Voila.ip={HOST}", f"--port={port}", "--Voila.port_retries=0", "--no-browser"]
        arguments += [f"--Voila.connection_dir_root={folder}", "--template=advad"]
        arguments += ["--token"]  # the flag alone: it is in the environment
        environment = os.environ | {"JUPYTER_TOKEN": token, "JUPYTER_PREFER_ENV_PATH": "1"}
        environment["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(TEMPLATES), os.environ.get("JUPYTER_PATH")]))
        log = Path(folder) / "server.log"
        with open(log, "wb") as output:
            with running("voila", arguments, environment, Path(folder), output) as process:
                _wait(process, port, log)
                yield process, f"http://{HOST}:{port}/?token={token}"


def write_app_notebook(folder: Path, path: Path, name: str, data: str | None, n: int) -> Path:
    """Write the notebook that Voila runs; its name is the page's title."""
    import nbformat

    if data is not None and expanded(data).exists():
        data = str(expanded(data).resolve())  # the kernel works elsewhere
    source = f"from advad.cli import app\napp.explorer({str(path.resolve())!r}, {name!r}, {data!r}, {n})"
    cells = [nbformat.v4.new_code_cell(source)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    page = folder / f"advad {name}, {path.stem}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), page)
    return page


def serve(path: str | Path, name: str, data: str | None, n: int, port: int, browser: bool) -> None:
    """Check everything, then serve until the server ends, or Ctrl-C, SIGTERM or SIGHUP comes; arguments of `served`."""
    check_voila()
    check_port(port)
    explorer(path, name, data, n=8)  # so that an error shows here in one line, not in the page
    with orderly_end(), served(path, name, data, n, port) as (process, url):
        print(f"{url}\nCtrl-C stops it.", flush=True)
        if browser:
            webbrowser.open(url)
        with suppress(KeyboardInterrupt):
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the server takes connections."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    last = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    raise AppError(f"app: Voila did not start: {last}")
