"""How long the runs of a sweep may take, before any of them has run."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import advad
from advad.experiments.run import MethodRun, Run
from advad.experiments.spec import Plan
from advad.experiments.sweep import finished


def estimate(
    plan: Plan, home: Path, workers: int = 1, only: Collection[str] | None = None
) -> tuple[dict[str, float | None], float | None]:
    """Return the seconds that each unfinished run (of those in `only`) may take, and all of them together.

    A run takes as long as finished runs of the same kind (the same but for class and seed). Where there is none, two
    batches are trained and the time of the second is multiplied; lessons without a finished run have no estimate.

    Returns
    -------
    by_run : dict of str to float or None
        Seconds of each unfinished run, by its name; None where they are not known.
    total : float or None
        Seconds until all are done, with that many workers; None where the seconds of one run are not known.
    """
    done = finished(plan, home)
    known: dict[str, list[float]] = {}
    for run in plan.runs:
        if "seconds" in done.get(run.name, {}):
            known.setdefault(_kind(run), []).append(done[run.name]["seconds"])
    guesses: dict[str, float | None] = {kind: statistics.median(seconds) for kind, seconds in known.items()}
    by_run: dict[str, float | None] = {}
    for run in plan.runs:
        if run.name not in done and (only is None or run.name in only):
            kind = _kind(run)
            if kind not in guesses:
                guesses[kind] = _probed(run) if isinstance(run, MethodRun) else None
            by_run[run.name] = guesses[kind]
    seconds = [guess for guess in by_run.values() if guess is not None]
    return by_run, sum(seconds) / workers if len(seconds) == len(by_run) else None


def listing(plan: Plan, home: Path, workers: int = 1, only: Collection[str] | None = None) -> str:
    """Return the runs of a plan as text, one a line: finished or how long it may take, its name, what it varies."""
    by_run, total = estimate(plan, home, workers, only)
    lines = []
    for run in (run for run in plan.runs if only is None or run.name in only):
        state = spoken(by_run[run.name]) if run.name in by_run else "finished"
        lines.append((state, run.name, " ".join(f"{name}={value}" for name, value in run.varied.items())))
    width, wide = (max(len(line[column]) for line in lines) for column in (0, 1))
    rows = [f"{state:<{width}}  {name:<{wide}}  {varied}".rstrip() for state, name, varied in lines]
    note = f", {workers} workers" if workers > 1 else ""
    summary = f"{len(lines)} runs, {len(lines) - len(by_run)} finished, {len(by_run)} to do: {spoken(total)}{note}"
    return "\n".join([*rows, "", f"{summary}, in {home}"])


def spoken(seconds: float | None) -> str:
    """Return a duration in words, with the unit that fits it."""
    if seconds is None:
        return "unknown"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"about {seconds / length:.0f} {unit}"
    return f"about {seconds:.0f} s" if seconds >= 1 else "under 1 s"


def _kind(run: Run) -> str:
    """Return what runs that take about as long have in common."""
    identity = run.identity()
    same = {key: value for key, value in identity.get("data", {}).items() if key not in ("normal", "anomalous")}
    parameters = {key: value for key, value in identity["parameters"].items() if key not in ("normal", "seed")}
    return json.dumps([identity.get("method", identity.get("lesson")), parameters, same], sort_keys=True)


class _Enough(Exception):
    """Two epochs have been timed."""


def _probed(run: MethodRun) -> float | None:
    """Return what `_probe` returns; None where the run fails, which the sweep itself will report."""
    try:
        return _probe(run)
    except (ValueError, RuntimeError, MemoryError):
        return None


def _probe(run: MethodRun) -> float:
    """Return the seconds that a run may take, by two epochs of a single batch each; a classical one is simply done."""
    detector, split = run.detector(), run.split()
    if not isinstance(detector, advad.Detector):  # a classical one has no epochs
        begin = time.perf_counter()
        detector.fit(split.train)
        return time.perf_counter() - begin
    epochs = sum(stage.epochs for stage in detector.stages())

    def enough(detector: Any) -> None:
        if len(detector.history_["seconds"]) == 2:
            raise _Enough

    images = split.train[: detector.batch_size]
    with contextlib.suppress(_Enough):
        detector.fit(images, progress=False, on_epoch=enough)
    return detector.history_["seconds"][-1] * epochs * len(split.train) / len(images)
