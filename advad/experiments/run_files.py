"""The files in the folder of a run: its starts, its results, and what is wrong with them.

Whatever lies there may be damaged, edited, or no file at all. It is named in a few words, and nothing here raises an
error that would stop the other runs of the sweep, unless the folder itself cannot be read or written.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from pathlib import Path
from typing import Any

from advad.checks import brief
from advad.engine.detector import CHECKPOINT
from advad.files import clear_leftovers, read_json
from advad.lessons.record import FILE
from advad.methods import METHODS

ERROR, STARTS, LOCK = "error.txt", "starts.jsonl", ".lock"
MISSING = "it is missing"
KINDS = {  # of what the results of a method must hold
    "data": dict,
    "parameters": dict,
    "metrics": dict,
    "seed": int,
    "seconds": (int, float),
    "weights": int,
    "device": str,
    "finished": str,
}
DATA = {  # what its data must hold
    "images": str,
    "protocol": str,
    "contamination": (int, float),
    "labelled": (int, float),
    "size": (int, type(None)),
    "channels": (int, type(None)),
    "train_size": (int, type(None)),
    "test_size": (int, type(None)),
}


def begun_in(home: Path, session: str | None = None) -> int:
    """Return how often a run was begun, in one start of the sweep or in all.

    A line that was cut off, by a full disk for example, counts as a start, but of no known session.
    """
    return sum(session is None or start.get("session") == session for start in _starts(home))


def _starts(home: Path) -> list[dict[str, Any]]:
    """Return the lines of `starts.jsonl`; {} for one that cannot be read."""
    path = home / STARTS
    if not path.is_file():
        return [{}] if path.exists() else []
    starts = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            start = json.loads(line)
        except (ValueError, RecursionError):
            start = {}
        starts.append(start if isinstance(start, dict) else {})
    return starts


def damage_in(home: Path) -> list[str]:
    """Return what is damaged in the folder of a run and how that is dealt with, one line a file."""
    lines = []
    if (fault := fault_of(home / FILE)) and fault != MISSING:
        lines.append(f"{home / FILE} is damaged ({fault}): the run counts as not done")
    if any("session" not in start for start in _starts(home)):
        lines.append(f"{home / STARTS} is damaged: what can be read of it counts")
    return lines


def fault_of(path: Path) -> str:
    """Return what is wrong with a `results.json`, in a few words; "" where nothing is."""
    try:
        results = read_json(path)
    except FileNotFoundError:
        return MISSING
    except ValueError:
        return "not JSON"
    except OSError as error:
        return f"not readable: {error.strerror}"
    if not isinstance(results, dict):
        return "not a table of results"
    if "method" not in results:
        about_a_run = isinstance(results.get("lesson"), str) or isinstance(results.get("digest"), str)
        return "" if about_a_run else "neither a method's nor a lesson's"
    if not isinstance(results["method"], str) or results["method"] not in METHODS:
        return f"unknown method {brief(results['method'])}"
    for name, kind in KINDS.items():
        if not isinstance(results.get(name), kind):
            return f"no usable {name!r}"
    data, metrics = results["data"], results["metrics"]
    for name, kind in DATA.items():
        if name not in data or not isinstance(data[name], kind):
            return f"no usable {name!r} in its data"
    classes = [data.get("normal", data.get("anomalous"))]
    classes += [data.get("contaminants")] if data["contamination"] else []
    classes += [data.get("labelled_classes")] if data["labelled"] else []
    if not all(isinstance(names, list) for names in classes):
        return "no classes in its data"
    values = [metric.get("value") if isinstance(metric, dict) else None for metric in metrics.values()]
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in [*values, results["seconds"]]):
        return "a metric or a time that is no finite number"
    return ""


def begin(home: Path, session: str) -> None:
    """Write that a run is begun."""
    path = home / STARTS
    start = {"session": session, "time": time.strftime("%FT%T%z"), "host": socket.gethostname(), "pid": os.getpid()}
    if path.exists() and not path.is_file():  # a pipe would wait for ever
        raise FileExistsError(f"{path} must be a file; got something else. Remove it.")
    before = path.read_bytes() if path.is_file() else b""
    torn = bool(before) and not before.endswith(b"\n")  # a line that was cut off must not swallow this one
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * torn + json.dumps(start) + "\n")


def tidy(home: Path) -> None:
    """Delete what a finished run no longer needs, and the temporary files of processes that were killed."""
    for name in (CHECKPOINT, ERROR):
        with contextlib.suppress(OSError):  # the results are there, and they count
            (home / name).unlink(missing_ok=True)
    for name in (CHECKPOINT, FILE):
        clear_leftovers(home / name)
