"""One run of a sweep: its identity, how it is computed, and the files in its folder.

    <sweep>/ARAE-MNIST-8-seed0-1f3a9c0e/
        results.json    after the run: parameters, seed, hash of the split, metrics with intervals, …
        error.txt       if the run failed; it is tried again when the sweep is started again
        starts.jsonl    one line for each time that the run was started
        checkpoint.safetensors            during the run
        checkpoint.safetensors.damaged    a checkpoint that could not be read, after which the run began anew

What a run *is* decides the hash in the name of its folder: the method, every parameter (also the defaults), the data
and the seed; not where it is computed. A parameter or a default that is changed makes another run, and so do images of
a folder or file that have changed. Versions and the git state are recorded, but not compared.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
import statistics
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

import advad
from advad.analysis.metrics import Interval
from advad.checks import reject
from advad.datasets import protocols
from advad.datasets.torchvision_sets import NAMES
from advad.engine.base import BaseDetector
from advad.engine.detector import CHECKPOINT
from advad.environment import hardware, versions
from advad.experiments.evaluate import measure, measure_attacked
from advad.experiments.run_files import ERROR, LOCK, begin, begun_in, fault_of, tidy
from advad.files import plain, read_json, write_json
from advad.lessons.record import FILE

STARTS_AT_MOST = 3  # in one sweep: a run whose worker died so often (of memory, say) will kill the next one, too


@dataclass(frozen=True, kw_only=True)
class Run(ABC):
    """One run of a sweep.

    Attributes
    ----------
    varied : dict
        How the run differs from the other runs of the sweep: the names of the grid with the values of this run.
    """

    varied: dict[str, Any] = field(default_factory=dict)

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what distinguishes this run from all others, as JSON can hold it."""

    @property
    @abstractmethod
    def label(self) -> str:
        """A short name, fit for a folder; not unique."""

    @abstractmethod
    def execute(self, home: Path, slot: int) -> dict[str, Any]:
        """Do the run, with checkpoints in `home` if it can have them; return its part of `results.json`.

        `slot` is the position of the run in the sweep, by which runs are distributed over several GPUs.
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
        """Return the results of this run in the folder of a sweep; None if it is not finished or they are damaged."""
        path = folder / self.name / FILE
        results = None if fault_of(path) else read_json(path)
        return results if results is not None and results.get("digest") == self.digest else None


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
    fingerprint : str
        A hash of all images and labels, where the data set is a folder or file; "" for a named data set.
    attack_radii : tuple of float
        Radii in pixel units at which the trained detector is attacked.
    last_epochs : int
        Over how many of the last epochs AUROC is averaged, beside that of the last one; 0 for none.
    """

    method: str
    settings: dict[str, Any]
    data: dict[str, Any]
    seed: int
    device: str = "auto"
    source: str = ""
    root: str = ""
    fingerprint: str = ""
    attack_radii: tuple[float, ...] = ()
    last_epochs: int = 0

    def identity(self) -> dict[str, Any]:
        parameters = plain(self.settings, "settings")
        # A parameter that the method got later does not count while it says what was so before: else every sweep that
        # is finished would have to be done again.
        former = plain(getattr(getattr(advad, self.method), "former_values", {}), "former_values")
        parameters = {name: value for name, value in parameters.items() if name not in former or value != former[name]}
        old_names = {new: old for old, new in _renamed(self.method).items()}
        parameters = {old_names.get(name, name): value for name, value in parameters.items()}
        images = {"images": self.fingerprint} if self.fingerprint else {}
        attacks: dict[str, Any] = {"attack_radii": list(self.attack_radii)} if self.attack_radii else {}
        attacks |= {"last_epochs": self.last_epochs} if self.last_epochs else {}
        about = {"method": self.method, "parameters": parameters, "data": self.data, "seed": self.seed}
        return about | images | attacks

    @property
    def label(self) -> str:
        normal = self.data.get("normal", self.data.get("anomalous"))
        classes = "+".join(map(str, normal if isinstance(normal, list) else [normal]))
        words = f"{self.method}-{Path(self.data['dataset']).stem}-{classes}-seed{self.seed}"
        return "".join(letter if letter.isalnum() or letter in "-+_." else "_" for letter in words)

    def split(self) -> advad.Split:
        """Return its split.

        Raises
        ------
        ValueError
            The images are no longer those that the sweep was planned with; also what `load` and the protocol raise.
        """
        images = self._images()
        arguments = {name: value for name, value in self.data.items() if name not in NOT_THE_PROTOCOLS}
        return getattr(protocols, self.data["protocol"])(images, **arguments, seed=self.seed)

    def _images(self) -> advad.ImageSet:
        images, fingerprint = _load(self.source, self.root, self.data["size"], self.data["channels"])
        if self.fingerprint and fingerprint != self.fingerprint:
            reject("sweep", f"the images of {self.data['dataset']}", "stay as they are", "others", "Start it again.")
        return images

    def detector(self, slot: int = 0) -> BaseDetector:
        """Return the untrained detector; if there are several GPUs, `slot` decides which it gets."""
        device, gpus = self.device, torch.cuda.device_count()
        if device in ("auto", "cuda") and gpus > 1:
            device = f"cuda:{slot % gpus}"
        method, common = getattr(advad, self.method), {"seed": self.seed, "device": device}
        names = inspect.signature(method).parameters  # the classical methods have no device, and few have a seed
        return method(**self.settings, **{name: value for name, value in common.items() if name in names})

    def execute(self, home: Path, slot: int) -> dict[str, Any]:
        split, detector = self.split(), self.detector(slot)
        begin = time.perf_counter()
        if self.last_epochs and isinstance(detector, advad.Detector):
            over_epochs = self._watched_fit(detector, split)
            report = self.report(split, detector, time.perf_counter() - begin)
            report["metrics"] |= {name: interval._asdict() for name, interval in over_epochs.items()}
            return report
        set_aside = self._fit(detector, split, home)
        report = self.report(split, detector, time.perf_counter() - begin)
        return report | {"damaged": set_aside} if set_aside else report

    def _watched_fit(self, detector: advad.Detector, split: advad.Split) -> dict[str, Interval]:
        """Train, and return the mean AUROC of the last epochs, with the lowest and the highest, and its deviation.

        There is no checkpoint: a run that went on from one would lack the epochs before it.
        """
        first = sum(stage.epochs for stage in detector.stages()) - self.last_epochs
        aurocs: list[float] = []

        def watch(watched: advad.Detector) -> None:
            if watched.history_["epoch"][-1] > first:
                aurocs.append(advad.auroc(split.test_is_anomaly, watched.anomaly_score(split.test)))

        detector.fit(split.train, split.train_y, progress=False, on_epoch=watch)
        deviation = statistics.stdev(aurocs) if len(aurocs) > 1 else 0.0
        return {
            f"auroc_last_{self.last_epochs}_epochs": Interval(statistics.mean(aurocs), min(aurocs), max(aurocs)),
            f"auroc_sd_last_{self.last_epochs}_epochs": Interval(deviation, deviation, deviation),
        }

    def _fit(self, detector: BaseDetector, split: advad.Split, home: Path) -> str:
        """Train; return the new name of a damaged checkpoint that was set aside, or ""."""
        if not isinstance(detector, advad.Detector):
            detector.fit(split.train, split.train_y, progress=False)
            return ""
        checkpoint = home / CHECKPOINT
        options: dict[str, Any] = {"progress": False, "run_dir": home}
        try:
            detector.fit(split.train, split.train_y, **options)
        except ValueError as error:
            if not checkpoint.exists() or str(checkpoint) not in str(error):  # something else is wrong
                raise
            damaged = checkpoint.replace(checkpoint.with_name(f"{CHECKPOINT}.damaged"))
            detector.fit(split.train, split.train_y, **options)
            return damaged.name
        return ""

    def report(self, split: advad.Split, detector: BaseDetector, took: float) -> dict[str, Any]:
        """Return its part of `results.json`; `took` seconds of training count unless the detector has its own."""
        trained = isinstance(detector, advad.Detector)
        seconds = sum(detector.history_.get("seconds", [])) if trained else 0.0  # a resumed run's, from its beginning
        attacked, verdicts = measure_attacked(detector, split, self.attack_radii)
        metrics = measure(detector, split) | attacked
        parts = {role: chosen.numpy().tobytes() for role, chosen in sorted(split.indices.items())}
        return {
            "method": self.method,
            "parameters": detector.get_params(deep=False),
            "data": self._named(split.settings) | {"size": self.data["size"], "channels": self.data["channels"]},
            "seed": self.seed,
            "images": {role: len(chosen) for role, chosen in split.indices.items()},
            "indices": hashlib.sha256(b"".join(role.encode() + part for role, part in parts.items())).hexdigest()[:16],
            **({"precision": detector.precision_} if trained else {}),
            "weights": sum(tensor.numel() for tensor in detector.networks_.parameters()) if trained else 0,
            "metrics": {name: interval._asdict() for name, interval in metrics.items()},
            **({"verdicts": verdicts} if verdicts else {}),
            "seconds": round(seconds or took, 4),
            "device": hardware(detector.device_ if trained else torch.device("cpu")),
        }

    def _named(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return a split's settings, with the classes of a folder or file by their names.

        Classes of a named data set stay numbers, as the papers print them.
        """
        if not self.fingerprint:
            return dict(settings)
        names = self._images().classes
        return {
            name: [names[entry] if isinstance(entry, int) else entry for entry in value]
            if name in CLASSES and value
            else value
            for name, value in settings.items()
        }


CLASSES = ("normal", "anomalous", "contaminants", "labelled_classes")  # settings of a split that hold class numbers
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

        overrides = self.parameters
        outcome = run_lesson(self.notebook, parameters=overrides, folder=home, timeout=self.timeout, progress=False)
        names = ("lesson", "finding", "parameters", "metrics", "seconds", "device")
        return {name: outcome.results[name] for name in names if name in outcome.results}


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run: `results`, or an `error` of one line; `fresh` if it was computed just now."""

    run: Run
    results: dict[str, Any] | None = None
    error: str = ""
    fresh: bool = True


def attempt(
    run: Run, folder: Path, *, slot: int, threads: int | None, session: str, git: Mapping[str, Any] | None
) -> RunResult:
    """Do a run unless it is finished, and write its outcome; errors are returned in the outcome, not raised.

    Parameters
    ----------
    run : Run
    folder : Path
        Folder of the sweep; the run has a folder of its own in it.
    slot : int
        Its place in the sweep.
    threads : int, optional
        That torch may use; None leaves them as they are.
    session : str
        Identifies this start of the sweep.
    git : mapping, optional
        As `git_state` gives it where the sweep was started.
    """
    home = folder / run.name
    try:
        home.mkdir(parents=True, exist_ok=True)
        # A sweep that was killed leaves workers that end their run first: wait for it instead of doing it twice.
        with FileLock(home / LOCK):
            if (done := run.results(folder)) is not None:
                return RunResult(run, done, fresh=False)
            if begun_in(home, session) >= STARTS_AT_MOST:
                return _failed(run, home, f"its worker died {STARTS_AT_MOST} times; there may be too little memory")
            begin(home, session)
            if threads is not None:
                torch.set_num_threads(threads)
            return _finish(run, home, run.execute(home, slot), git)
    except Exception as error:  # whatever it is, also of its folder, it must not stop the other runs
        text = "".join(traceback.format_exception(error))
        return _failed(run, home, f"{type(error).__name__}: {error}", text)


def _finish(run: Run, home: Path, report: Mapping[str, Any], git: Mapping[str, Any] | None) -> RunResult:
    """Write the results of a run, and delete the files that were only needed until then."""
    about = {"run": run.name, "digest": run.digest, "varied": run.varied}
    surroundings = {
        "starts": begun_in(home),
        "finished": time.strftime("%FT%T%z"),
        "versions": versions(),
        "git": git,
    }
    results: dict[str, Any] = plain(about | dict(report) | surroundings, "results")
    write_json(home / FILE, results)
    tidy(home)
    return RunResult(run, results)


def _failed(run: Run, home: Path, error: str, text: str = "") -> RunResult:
    """Write into a run's folder why it failed, and return the outcome, which says so in one line."""
    with contextlib.suppress(OSError):  # the disk is full: only the line on the screen reports the error
        (home / ERROR).write_text(text or error + "\n", encoding="utf-8")
    return RunResult(run, error=" ".join(error.split()))


def with_new_names(method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters under the names that the method has for them now."""
    return {_renamed(method).get(name, name): value for name, value in parameters.items()}


def _renamed(method: str) -> Mapping[str, str]:
    return getattr(getattr(advad, method), "renamed_parameters", {})  # old name -> new name


def fingerprint_of(source: str, root: str, size: int | None, channels: int | None) -> str:
    """Return a hash of all images and labels of a folder or file; "" for a named data set."""
    return _load(source, root, size, channels)[1]


def forget_images() -> None:
    """Read image sets anew from now on."""
    _load.cache_clear()


@functools.lru_cache(maxsize=2)
def _load(source: str, root: str, size: int | None, channels: int | None) -> tuple[advad.ImageSet, str]:
    """Return an image set and its fingerprint; both stay in memory for the next runs of this process."""
    images = advad.load(source, root=root, size=size, channels=channels)
    if source == "digits" or source in NAMES:
        return images, ""
    digest = hashlib.sha256(json.dumps([list(images.images.shape), images.classes]).encode())
    for part in (images.images, images.labels, images.is_test):
        digest.update(part.contiguous().numpy().tobytes())
    return images, digest.hexdigest()[:16]
