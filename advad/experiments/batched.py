"""Runs of a sweep that differ only in class and seed, trained in one loop on a GPU with `advad.engine.stacking`.

A small network leaves most of a GPU idle, and ten of them, stacked, cost little more than one. On a processor stacking
saves nothing (`tests/benchmarks/many.py`), so each run is done by itself there. Runs that are trained together have no
checkpoints: if the sweep is killed, up to `AT_ONCE` runs begin anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

import advad
from advad.engine.detector import CHECKPOINT
from advad.engine.stacking import NotStackableError, fit_stacked
from advad.engine.training import DivergedError, choose_device
from advad.experiments.run import MethodRun, Run, RunResult, attempt, complete, tell
from advad.experiments.run_files import LOCK, begin, begun_in

AT_ONCE = 10  # the papers' ten classes; more would save little, and a kill would cost more


def groups(todo: Sequence[Run], folder: Path, alone: Collection[str] = ()) -> list[list[Run]]:
    """Return the runs in their order, grouped: the runs of a group are trained in one loop.

    Parameters
    ----------
    todo : sequence of Run
        The runs that are not finished.
    folder : Path
        The folder of the sweep. A run that has a checkpoint there continues from it, in a group of its own.
    alone : collection of str
        Names of runs that must be done in a group of their own.
    """
    by_kind: dict[str, list[Run]] = {}
    for run in todo:
        by_itself = run.name in alone or not on_gpu(run) or (folder / run.name / CHECKPOINT).exists()
        by_kind.setdefault(run.name if by_itself else _kind(run), []).append(run)
    return [group[at : at + AT_ONCE] for group in by_kind.values() for at in range(0, len(group), AT_ONCE)]


def on_gpu(run: Run) -> bool:
    """Return whether a run trains networks on CUDA, and by images alone."""
    if not isinstance(run, MethodRun) or choose_device(run.device).type != "cuda":
        return False
    method = getattr(advad, run.method)
    return issubclass(method, advad.Detector) and not (method.uses_labels and run.data["labelled"])


def attempt_all(
    runs: Sequence[Run],
    folder: Path,
    *,
    slot: int,
    threads: int | None,
    session: str,
    git: Mapping[str, Any] | None,
) -> tuple[list[RunResult], list[str], str]:
    """Do runs, together where there are several; parameters as in `attempt`.

    Returns
    -------
    outcomes : list of RunResult
        Of the runs that are done.
    rest : list of str
        Names of the other runs, which must be done one by one.
    why : str
        The reason for that, in one line; "" where there is none.
    """
    if len(runs) == 1:
        return [attempt(runs[0], folder, slot=slot, threads=threads, session=session, git=git)], [], ""
    with contextlib.ExitStack() as locks:
        try:
            for home in sorted(
                folder / run.name for run in runs
            ):  # in the same order everywhere, or two wait for each other
                home.mkdir(parents=True, exist_ok=True)
                locks.enter_context(FileLock(home / LOCK))
        except OSError as error:  # of one of them; each by itself will tell
            return [], [run.name for run in runs], f"{_line(error)}: the runs beside it are done one by one"
        results = {run.name: run.results(folder) for run in runs}
        before = [RunResult(run, done, fresh=False) for run in runs if (done := results[run.name]) is not None]
        left = [run for run in runs if isinstance(run, MethodRun) and results[run.name] is None]
        names = [run.name for run in left]
        if any(begun_in(folder / run.name, session) for run in left):
            return before, names, "a worker that trained several models at once died: now each is trained by itself"
        try:
            for run in left:
                begin(folder / run.name, session)
        except OSError as error:
            return before, names, f"{_line(error)}: the runs beside it are done one by one"
        if threads is not None:
            torch.set_num_threads(threads)
        method = left[0].method
        try:
            splits = [run.split() for run in left]
        except Exception as error:  # of one of them; nothing is trained yet, and each by itself will tell
            return before, names, f"{method} is trained one by one after {_line(error)}"
        try:
            detectors = _trained(left, splits, slot)
        except NotStackableError as error:  # refused before any training
            return before, names, f"{method} is trained one by one: {error}"
        except (DivergedError, torch.OutOfMemoryError) as error:  # each by itself may do better
            return before, names, f"{method} is trained one by one after {_line(error)}"
        except Exception as error:  # a fault of the program, which another training would only hide
            return before + [tell(run, folder / run.name, error) for run in left], [], ""
        after = []
        for run, split, detector in zip(left, splits, detectors, strict=True):
            report = partial(_report, run, split, detector, len(left))
            after.append(complete(run, folder, report, git))
        return before + after, [], ""


def _trained(runs: Sequence[MethodRun], splits: Sequence[advad.Split], slot: int) -> list[advad.Detector]:
    """Return the runs' detectors, trained in one loop."""
    detectors = [run.detector(slot) for run in runs]
    stackable = [detector for detector in detectors if isinstance(detector, advad.Detector)]
    return fit_stacked(stackable, [split.train for split in splits], progress=False, one_by_one=False)


def _line(error: Exception) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _report(run: MethodRun, split: advad.Split, detector: advad.Detector, n_together: int) -> dict[str, Any]:
    """Return a run's part of `results.json`."""
    return run.report(split, detector, 0.0) | {"together": n_together}


def _kind(run: Run) -> str:
    """Return what runs that can be stacked have in common: all but the seed, and but the class where sizes are set."""
    assert isinstance(run, MethodRun)
    identity = run.identity()
    of_class = ("normal", "anomalous") if run.data["train_size"] is not None else ()
    data = {name: value for name, value in run.data.items() if name not in of_class}
    return json.dumps([run.method, identity["parameters"], data, run.device], sort_keys=True)
