"""All lessons, several at a time, each in a kernel of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor

from advad.lessons import run
from advad.lessons.course import course_map
from advad.lessons.outcome import LessonError, LessonResult
from advad.progress import progress_bar


def run_lessons(
    parameters: Mapping[Path, Mapping[str, Any]], *, folder: Path, timeout: int, workers: int, progress: bool = True
) -> list[LessonResult]:
    """Execute lessons, the longest first, so that all cores end at once; one that fails does not stop the others.

    Parameters
    ----------
    parameters : mapping of Path to mapping
        The notebooks, and the parameters of each.
    folder : Path
        Where to write, as `run_lesson` does.
    timeout : int
        Seconds that one cell may take.
    workers : int
        Lessons at a time; they divide the processor's threads. With one worker, bars count cells, else lessons.
    progress : bool
        Whether there is a bar.

    Returns
    -------
    list of LessonResult
        In the order of `parameters`; `error` says why a lesson failed.
    """
    settings = {"folder": folder, "timeout": timeout, "progress": progress and workers == 1}
    computes = {entry.name: entry.computes for entry in course_map()}
    order = sorted(parameters, key=lambda notebook: computes.get(notebook.stem, 0), reverse=True)
    tasks = [delayed(attempt)(notebook, parameters=parameters[notebook], **settings) for notebook in order]
    done: dict[Path, LessonResult] = {}
    with _workers(workers), progress_bar(total=len(tasks), unit="lesson", disable=not progress or workers == 1) as bar:
        parallel: Any = Parallel(return_as="generator_unordered", batch_size=1)  # pyright: ignore[reportArgumentType]
        for notebook, outcome in parallel(tasks):
            done[notebook] = outcome
            bar.set_description(f"{outcome.lesson} {'failed' if outcome.error else 'done'}")
            bar.update()
    return [done[notebook] for notebook in parameters]


def attempt(notebook: Path, **settings: Any) -> tuple[Path, LessonResult]:
    """Run a lesson; return it with what it left behind, failed or not."""
    try:
        return notebook, run.run_lesson(notebook, **settings)
    except LessonError as error:
        return notebook, error.outcome


@contextlib.contextmanager
def _workers(n: int) -> Iterator[None]:
    """Make joblib use this process, or n others, inside."""
    if n == 1:
        with parallel_config("sequential", n_jobs=1):
            yield
        return
    try:
        with parallel_config("loky", n_jobs=n, inner_max_num_threads=max(1, cpu_count() // n)):
            yield
    finally:  # at once: after Ctrl-C nobody waits for lessons that go on
        get_reusable_executor().shutdown(kill_workers=True)
