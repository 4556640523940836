"""Servers (Voila, JupyterLab) that end with the command that started them, however that command ends.

SIGTERM and SIGHUP make the command leave in order, and so it ends its server. A command that is killed (SIGKILL) can do
nothing; therefore a server runs under `python -m advad.cli.servers`, which looks for its parent and ends without it.
The kernels of a server do the same by themselves (ipykernel).
"""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO, Any

ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
POLITENESS = 20  # seconds that a server has to end its kernels
POLL = 0.5  # seconds between two looks for the parent


@contextmanager
def orderly_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block by SystemExit, so that all it holds is closed; the exit code is 128 + n.

    A signal that the caller ignores (nohup ignores SIGHUP) stays ignored.
    """

    def leave(number: int, _: Any) -> None:
        for other in ENDINGS:  # a second one must not break off the cleaning up
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in ENDINGS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path | None = None,
    log: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m module arguments` while the block runs; yield its process.

    Parameters
    ----------
    module : str
        Such as "voila".
    arguments : sequence of str
        Its command line.
    environment : mapping of str to str
        Its environment.
    folder : Path, optional
        A temporary folder of the caller's, which the server removes if the caller no longer can.
    log : file, optional
        Where its output goes; the caller's own unless given.
    """
    command = [sys.executable, "-m", __name__, str(os.getpid()), str(folder or ""), module, *arguments]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT if log else None)
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server; SIGTERM lets it end its kernels first."""
    process.terminate()
    try:
        process.wait(POLITENESS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(parent: int, folder: str, module: str, arguments: Sequence[str]) -> None:
    """Be the server: run the module in this process, until it ends or the process `parent` is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(POLITENESS)
        clean()
        os._exit(1)

    def clean() -> None:
        if folder and os.getppid() != parent:
            shutil.rmtree(folder, ignore_errors=True)

    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # until the module has a handler
    for number in ENDINGS[1:]:  # a closed terminal tells all processes; Voila and JupyterLab would leave their kernels
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    Thread(target=watch, daemon=True).start()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        clean()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
