"""The state of a running lesson, and the `results.json` that it becomes."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advad.checks import reject

FILE = "results.json"
UNATTENDED = "ADVAD_UNATTENDED"  # set in the kernels of advad.lessons.run: nobody is there to commit a prediction
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "plotly")


@dataclass
class Prediction:
    """What a reader expects before seeing; `chosen` is None until it is committed, `truth` until it is revealed."""

    question: str
    options: tuple[str, ...]
    chosen: str | None = None
    truth: str | None = None


@dataclass
class Lesson:
    """What a lesson has shown, asked and measured so far."""

    name: str
    parameters: dict[str, Any]
    output_dir: Path
    device: str
    began: float = field(default_factory=time.perf_counter)
    seconds: float | None = None  # from start() to the last record(); None before
    finding: str = ""
    findings: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    predictions: dict[str, Prediction] = field(default_factory=dict)

    def saw(self, finding: str) -> None:
        """Remember the finding of a figure; a cell that is run again adds none."""
        if finding not in self.findings:
            self.findings.append(finding)

    def results(self) -> dict[str, Any]:
        """Return the content of `results.json`."""
        return {
            "lesson": self.name,
            "finding": self.finding,
            "parameters": plain(self.parameters, "parameters"),
            "metrics": self.metrics,
            "findings": self.findings,
            "checks": self.checks,
            "predictions": [dataclasses.asdict(prediction) for prediction in self.predictions.values()],
            "seconds": round(self.seconds or 0.0, 1),
            "device": self.device,
            "versions": versions(),
        }

    def save(self) -> None:
        """Write `results.json`, all or nothing, once record() was called; later checks and predictions renew it."""
        if self.seconds is None:
            return
        write_json(self.output_dir / FILE, self.results())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, all or nothing, as `advad.engine.storage.write_state` does; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def git_state() -> dict[str, Any] | None:
    """Return the commit of the checkout that advad is imported from, and whether it was changed; None without one."""
    git = ["git", "-C", str(Path(__file__).resolve().parents[2])]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "changed": bool(changed.strip())}


def hardware(device: torch.device) -> str:
    """Return what a run computes on: the GPU's name, or the processor and the threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    n = torch.get_num_threads()
    return f"{platform.machine()} {device.type.upper()}, {n} thread{'s' * (n > 1)}"


def versions() -> dict[str, str]:
    """Return the versions of Python, advad and the packages that decide its numbers."""
    import advad

    found = {"python": platform.python_version(), "advad": advad.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def plain(value: Any, name: str) -> Any:
    """Return `value` as JSON can hold it: arrays as lists, scalars as numbers, what is not finite as None.

    Raises
    ------
    TypeError
        Something else inside; `name` says where.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple, set, range)):
        return [plain(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, (np.ndarray, np.generic, Tensor)):
        return plain(value.tolist(), name)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    reject("lesson.record", name, "be made of numbers, text, arrays, lists and dictionaries", value, error=TypeError)
