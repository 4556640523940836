"""The state of a running lesson, and the `results.json` that it becomes."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advad.checks import reject
from advad.environment import versions
from advad.files import expanded, plain, write_json
from advad.lessons.parameters import ParameterError

FILE = "results.json"
COMMITTED = "predictions.json"  # what was committed before the first record(); it goes with that


@dataclass
class Prediction:
    """What a reader expects before seeing; `chosen` is None until it is committed, `truth` until it is revealed.

    `committed_at` is the time of the commitment (ISO 8601, UTC).
    """

    question: str
    options: tuple[str, ...]
    chosen: str | None = None
    truth: str | None = None
    committed_at: str | None = None


@dataclass(frozen=True)
class Held:
    """An output that waits for predictions; `release` puts it where its note stands."""

    predictions: tuple[Prediction, ...]
    release: Callable[[], object]


@dataclass
class Lesson:
    """What a lesson has shown, asked and measured so far.

    `earlier` are the predictions of its last run, by question: what was committed stays committed. `held`
    are the outputs that wait for a prediction.
    """

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
    earlier: dict[str, Prediction] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)

    def saw(self, finding: str) -> None:
        """Remember the finding of a figure; a cell that is run again adds none."""
        if finding not in self.findings:
            self.findings.append(finding)

    def release(self) -> None:
        """Show the outputs whose predictions are all committed."""
        ready = [held for held in self.held if all(each.chosen is not None for each in held.predictions)]
        self.held = [held for held in self.held if held not in ready]
        for held in ready:
            held.release()

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
        """Write `results.json`, all or nothing, once record() was called; later checks and predictions renew it.

        Before that a prediction is in `predictions.json` as soon as it is committed, for a kernel may be restarted.
        """
        early = self.output_dir / COMMITTED
        if self.seconds is not None:
            write_json(self.output_dir / FILE, self.results())
            early.unlink(missing_ok=True)
        elif any(prediction.chosen is not None for prediction in self.predictions.values()):
            results = self.results()
            write_json(early, {key: results[key] for key in ("parameters", "predictions")})


def earlier_predictions(folder: Path, parameters: Mapping[str, Any]) -> dict[str, Prediction]:
    """Return the predictions that were committed in a lesson's last run, recorded or not, by question.

    Empty where it ran with other parameters (then it asks about something else), or where there are none.
    """
    earlier = {}
    for file in (FILE, COMMITTED):
        try:
            results = json.loads((folder / file).read_text(encoding="utf-8"))
            if results["parameters"] != plain(parameters, "parameters"):
                continue
            keys = ("question", "chosen", "committed_at")
            committed = [each for each in results["predictions"] if each["chosen"] in each["options"]]
            made = [
                Prediction(options=tuple(each["options"]), **{key: each[key] for key in keys}) for each in committed
            ]
            earlier |= {prediction.question: prediction for prediction in made}
        except (OSError, ValueError, LookupError, TypeError):  # none, or a damaged one
            pass
    return earlier


def output_folder(owner: str, folder: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a lesson's results, made where it is missing; `~` is the home folder.

    It is tried at the start whether results can be written there, so that no training is lost at the end.

    Raises
    ------
    ParameterError
        Nothing can be written there.
    """
    path = Path(folder)
    try:
        path = expanded(path).resolve()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except (OSError, RuntimeError, ValueError) as error:  # read-only, a file, no such user, a null byte
        reason = f"{getattr(error, 'strerror', None) or error}."
        reject(owner, "output_dir", "be a folder to write in", str(path), reason, ParameterError)
