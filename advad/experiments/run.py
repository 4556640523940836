"""One run of a sweep: what it is, how it is done, and the folder that it leaves behind.

    <sweep>/ARAE-MNIST-8-seed0-1f3a9c0e/
        results.json    once it is finished: parameters, seed, hash of the split, metrics with intervals, …
        error.txt       where it failed; it is tried again when the sweep is started again
        starts.jsonl    a line each time that it was begun
        checkpoint.safetensors    while it is in flight

What a run *is* decides the hash in its folder's name: method, every parameter (defaults too), data and seed; not where
it is computed. A parameter that is changed, or a default, is another run. Versions and git state are recorded, not
compared.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import socket
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

import advad
from advad.datasets import protocols
from advad.engine.base import BaseDetector
from advad.engine.detector import CHECKPOINT
from advad.environment import hardware, versions
from advad.experiments.evaluate import measured
from advad.files import plain, write_json
from advad.lessons.record import FILE

ERROR, STARTS, LOCK = "error.txt", "starts.jsonl", ".lock"
STARTS_AT_MOST = 3  # in one sweep: a run whose worker died so often (of memory, say) will kill the next one, too


@dataclass(frozen=True, kw_only=True)
class Run(ABC):
    """One run of a sweep.

    Attributes
    ----------
    varied : dict
        What tells it from the sweep's other runs: the grid's names with its own values.
    """

    varied: dict[str, Any] = field(default_factory=dict)

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what makes it the run that it is, as JSON holds it."""

    @property
    @abstractmethod
    def label(self) -> str:
        """A short name, fit for a folder; not unique."""

    @abstractmethod
    def execute(self, home: Path, slot: int) -> dict[str, Any]:
        """Do it, with checkpoints in `home` where it can; return its part of `results.json`.

        `slot` is its place in the sweep, by which runs are dealt to several GPUs.
        """

    @property
    def digest(self) -> str:
        """A hash of the identity, 16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.label}-{self.digest[:8]}"

    def results(self, folder: Path) -> dict[str, Any] | None:
        """Return what it has left in a sweep's folder, or None while it is not finished."""
        try:
            found = json.loads((folder / self.name / FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return found if found.get("digest") == self.digest else None


@dataclass(frozen=True, kw_only=True)
class MethodRun(Run):
    """A method, trained and tested on one split.

    Attributes
    ----------
    method : str
        Name of the class.
    settings : dict
        All its parameters but seed and device.
    data : dict
        "dataset", "protocol", and that function's arguments; "size" and "channels" are `load`'s.
    seed : int
        Of the split and of the training.
    device : str
    source, root : str
        Where the data set lies on the machine that planned the sweep.
    """

    method: str
    settings: dict[str, Any]
    data: dict[str, Any]
    seed: int
    device: str = "auto"
    source: str = ""
    root: str = ""

    def identity(self) -> dict[str, Any]:
        """Return what makes it the run that it is, in the words of the version that first had each parameter.

        A parameter that is newer than a finished sweep does not appear where it does what was done before it existed.
        """
        cls = getattr(advad, self.method)
        former, old_names = getattr(cls, "former_values", {}), {new: old for old, new in cls.renamed_parameters.items()}
        parameters = {
            old_names.get(name, name): value
            for name, value in plain(self.settings, "settings").items()
            if name not in former or plain(former[name], name) != value
        }
        return {"method": self.method, "parameters": parameters, "data": self.data, "seed": self.seed}

    @property
    def label(self) -> str:
        normal = self.data.get("normal", self.data.get("anomalous"))
        classes = "+".join(map(str, normal if isinstance(normal, list) else [normal]))
        words = f"{self.method}-{Path(self.data['dataset']).stem}-{classes}-seed{self.seed}"
        return "".join(letter if letter.isalnum() or letter in "-+_." else "_" for letter in words)

    def split(self) -> advad.Split:
        """Return its split; raises what `load` and the protocol raise."""
        images = _load(self.source, self.root, self.data["size"], self.data["channels"])
        given = {name: value for name, value in self.data.items() if name not in NOT_THE_PROTOCOLS}
        return getattr(protocols, self.data["protocol"])(images, **given, seed=self.seed)

    def detector(self, slot: int = 0) -> BaseDetector:
        """Return the untrained detector, its device dealt by `slot` where there are several GPUs."""
        device, gpus = self.device, torch.cuda.device_count()
        if device in ("auto", "cuda") and gpus > 1:
            device = f"cuda:{slot % gpus}"
        method, common = getattr(advad, self.method), {"seed": self.seed, "device": device}
        names = inspect.signature(method).parameters  # the classical methods have no device, and few have a seed
        return method(**self.settings, **{name: value for name, value in common.items() if name in names})

    def execute(self, home: Path, slot: int) -> dict[str, Any]:
        split, detector = self.split(), self.detector(slot)
        begin = time.perf_counter()
        resumed: dict[str, Any] = {"run_dir": home} if isinstance(detector, advad.Detector) else {}
        detector.fit(split.train, split.train_y, progress=False, **resumed)
        return self.report(split, detector, time.perf_counter() - begin)

    def report(self, split: advad.Split, detector: BaseDetector, took: float) -> dict[str, Any]:
        """Return its part of `results.json` once the detector is trained, in `took` seconds unless it knows better."""
        trained = isinstance(detector, advad.Detector)
        seconds = sum(detector.history_.get("seconds", [])) if trained else 0.0  # a resumed run's, from its beginning
        parts = {role: chosen.numpy().tobytes() for role, chosen in sorted(split.indices.items())}
        return {
            "method": self.method,
            "parameters": detector.get_params(deep=False),
            "data": split.settings | {"size": self.data["size"], "channels": self.data["channels"]},
            "seed": self.seed,
            "images": {role: len(chosen) for role, chosen in split.indices.items()},
            "indices": hashlib.sha256(b"".join(role.encode() + part for role, part in parts.items())).hexdigest()[:16],
            "weights": sum(tensor.numel() for tensor in detector.networks_.parameters()) if trained else 0,
            "metrics": {name: interval._asdict() for name, interval in measured(detector, split).items()},
            "seconds": round(seconds or took, 4),
            "device": hardware(detector.device_ if trained else torch.device("cpu")),
        }


NOT_THE_PROTOCOLS = ("dataset", "protocol", "size", "channels")


@dataclass(frozen=True, kw_only=True)
class LessonRun(Run):
    """A lesson, run with other parameters; it cannot resume in its middle.

    Attributes
    ----------
    notebook : Path
    parameters : dict
        All that it declares, but `output_dir`.
    timeout : int
        Seconds that one cell may take.
    """

    notebook: Path
    parameters: dict[str, Any]
    timeout: int = 3600

    def identity(self) -> dict[str, Any]:
        return {"lesson": self.notebook.stem, "parameters": self.parameters}

    @property
    def label(self) -> str:
        return (
            f"{self.notebook.stem}-seed{self.parameters['seed']}" if "seed" in self.parameters else self.notebook.stem
        )

    def execute(self, home: Path, slot: int) -> dict[str, Any]:
        from advad.lessons.run import run_lesson

        given = self.parameters
        outcome = run_lesson(self.notebook, parameters=given, folder=home, timeout=self.timeout, progress=False)
        kept = ("lesson", "finding", "parameters", "metrics", "seconds", "device")
        return {name: outcome.results[name] for name in kept if name in outcome.results}


@dataclass(frozen=True)
class RunResult:
    """What became of a run: `results`, or an `error` in one line; `fresh` where it was computed just now."""

    trial: Run
    results: dict[str, Any] | None = None
    error: str = ""
    fresh: bool = True


def attempt(
    trial: Run, folder: Path, *, slot: int, threads: int | None, session: str, git: Mapping[str, Any] | None
) -> RunResult:
    """Do a run unless it is finished, and write what became of it; errors are returned in the result, not raised.

    Parameters
    ----------
    trial : Run
    folder : Path
        The sweep's.
    slot : int
        Its place in the sweep.
    threads : int, optional
        That torch may use; None leaves them as they are.
    session : str
        Which start of the sweep this is.
    git : mapping, optional
        As `git_state` gives it where the sweep was started.
    """
    home = folder / trial.name
    home.mkdir(parents=True, exist_ok=True)
    # A sweep that was killed leaves workers that end their run first: wait for it instead of doing it twice.
    with FileLock(home / LOCK):
        if (done := trial.results(folder)) is not None:
            return RunResult(trial, done, fresh=False)
        if begun_in(home, session) >= STARTS_AT_MOST:
            return _failed(trial, home, f"its worker died {STARTS_AT_MOST} times; there may be too little memory")
        begin(home, session)
        if threads is not None:
            torch.set_num_threads(threads)
        return complete(trial, folder, lambda: trial.execute(home, slot), git)


def begun_in(home: Path, session: str | None = None) -> int:
    """Return how often a run was begun, in one start of the sweep or in all."""
    lines = (home / STARTS).read_text(encoding="utf-8").splitlines() if (home / STARTS).is_file() else []
    return sum(session is None or json.loads(line)["session"] == session for line in lines)


def begin(home: Path, session: str) -> None:
    """Write that a run is begun."""
    mine = {"session": session, "time": time.strftime("%FT%T%z"), "host": socket.gethostname(), "pid": os.getpid()}
    with (home / STARTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(mine) + "\n")


def complete(
    trial: Run, folder: Path, execute: Callable[[], dict[str, Any]], git: Mapping[str, Any] | None
) -> RunResult:
    """Execute a run that is begun, and write what became of it: its results, or its error."""
    try:
        found = execute()
    except Exception as error:  # whatever it is, it must not stop the other runs
        return tell(trial, folder / trial.name, error)
    return finish(trial, folder, found, git)


def finish(trial: Run, folder: Path, found: Mapping[str, Any], git: Mapping[str, Any] | None) -> RunResult:
    """Write the results of a run, and clear away what was only needed until then."""
    home = folder / trial.name
    about = {"run": trial.name, "digest": trial.digest, "varied": trial.varied}
    surroundings = {
        "starts": begun_in(home),
        "finished": time.strftime("%FT%T%z"),
        "versions": versions(),
        "git": git,
    }
    results: dict[str, Any] = plain(about | dict(found) | surroundings, "results")
    write_json(home / FILE, results)
    for leftover in (CHECKPOINT, ERROR):
        (home / leftover).unlink(missing_ok=True)
    return RunResult(trial, results)


def tell(trial: Run, home: Path, error: Exception) -> RunResult:
    """Write an exception, with its traceback, into a run's folder, and return the outcome that tells it in one line."""
    return _failed(trial, home, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def _failed(trial: Run, home: Path, error: str, text: str = "") -> RunResult:
    (home / ERROR).write_text(text or error + "\n", encoding="utf-8")
    return RunResult(trial, error=" ".join(error.split()))


@functools.lru_cache(maxsize=2)
def _load(source: str, root: str, size: int | None, channels: int | None) -> advad.ImageSet:
    """Return an image set; the next runs of this process find it in memory."""
    return advad.load(source, root=root, size=size, channels=channels)
