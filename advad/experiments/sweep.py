"""Do the runs of a sweep: on this machine or a cluster, each once, never losing a finished one.

    from advad.experiments.sweep import sweep

    outcomes = sweep("spec.toml", workers=2)

`advad.experiments.run` defines what a run leaves behind. A run is finished when its `results.json` exists, so a sweep
that was killed is simply started again: it does the runs that are missing.
"""

from __future__ import annotations

import contextlib
import json
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from advad.environment import git_state
from advad.experiments.batched import attempt_all, groups
from advad.experiments.run import Run, RunResult
from advad.experiments.spec import Plan, read_plan, refuse
from advad.files import write_json
from advad.lessons.parameters import SpecError
from advad.lessons.record import FILE

RECORD = "sweep.json"  # in a sweep's folder: whose it is, and which of its runs count
HOME = Path("runs/sweeps")


def sweep(
    spec: str | Path | Mapping[str, Any] | Plan,
    *,
    folder: str | Path | None = None,
    workers: int = 1,
    dask: str | None = None,
    progress: bool = True,
) -> list[RunResult]:
    """Do all runs of a sweep that are not finished; return what became of each, in the spec's order.

    Parameters
    ----------
    spec : path, mapping or Plan
        See `advad.experiments.spec`.
    folder : path, optional
        Where the runs' folders lie; else `runs/sweeps/<name>`. On a cluster, the workers must see it, too.
    workers : int
        Processes on this machine, which share its cores. 1 computes in this very process.
    dask : str, optional
        The address of a running scheduler, `tcp://host:port`, whose workers do the runs instead.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    list of RunResult
        A run that failed has its `error` in one line, and the rest of it in its folder.

    Raises
    ------
    SpecError
        The spec, the folder or the cluster is not as it should be; nothing has run.
    KeyboardInterrupt
        Passed on. What was finished is kept, and a method's run goes on from its last checkpoint.
    """
    from tqdm.auto import tqdm

    plan = spec if isinstance(spec, Plan) else read_plan(spec)
    home = folder_of(plan, folder)
    done = finished(plan, home)
    outcomes = {
        name: RunResult(trial, done[name], fresh=False) for trial in plan.trials if (name := trial.name) in done
    }
    todo = [trial for trial in plan.trials if trial.name not in done]
    if workers < 1:
        refuse("workers", "be at least 1", workers)
    with _backend(workers, dask) as options:
        _claim(plan, home)
        with tqdm(
            total=len(plan.trials), initial=len(outcomes), desc=plan.name, unit="run", disable=not progress
        ) as bar:
            for outcome in _outcomes(todo, home, options, partial(bar.write, file=sys.stderr)):
                outcomes[outcome.trial.name] = outcome
                if failed := sum(bool(outcome.error) for outcome in outcomes.values()):
                    bar.set_postfix({"failed": failed}, refresh=False)
                bar.update()
    return [outcomes[trial.name] for trial in plan.trials]


def folder_of(plan: Plan, folder: str | Path | None) -> Path:
    """Return the absolute path of a sweep's folder; SpecError where it is no place for this sweep."""
    home = Path(folder or HOME / plan.name).resolve()
    mine = {"name": plan.name, "subject": plan.subject}
    remedy = "--out names another folder."
    try:
        found = json.loads((home / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if home.is_dir() and any(home.iterdir()):
            refuse("the folder", "be empty or a sweep's", str(home), remedy)
    except (OSError, json.JSONDecodeError) as error:
        raise SpecError(f"sweep: the folder {home} must be readable; got {error}. {remedy}") from None
    else:
        theirs = {name: found.get(name) for name in mine}
        if theirs != mine:
            text = "the sweep {name!r} of {subject}".format
            raise SpecError(f"sweep: the folder {home} must hold {text(**mine)}; got {text(**theirs)}. {remedy}")
    return home


def finished(plan: Plan, home: Path) -> dict[str, dict[str, Any]]:
    """Return the results of the plan's runs that are finished, by name."""
    found = {trial.name: trial.results(home) for trial in plan.trials}
    return {name: results for name, results in found.items() if results is not None}


def collected(home: str | Path) -> list[dict[str, Any]]:
    """Return the results in a sweep's folder: of the finished runs that its spec, as last started, asks for.

    Raises
    ------
    SpecError
        No sweep's folder.
    """
    home = Path(home)
    try:
        names = json.loads((home / RECORD).read_text(encoding="utf-8"))["runs"]
    except (OSError, json.JSONDecodeError, KeyError):
        refuse("the folder", "be a sweep's", str(home), "advad sweep SPEC.toml makes one.")
    files = [home / name / FILE for name in names]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]


def _claim(plan: Plan, home: Path) -> None:
    """Write whose folder it is."""
    names = [trial.name for trial in plan.trials]
    try:
        write_json(home / RECORD, {"name": plan.name, "subject": plan.subject, "spec": plan.spec, "runs": names})
    except OSError as error:
        refuse("the folder", f"be writable ({error.strerror})", str(home), "--out names another folder.")


def _outcomes(
    todo: Sequence[Run], home: Path, options: Mapping[str, Any], tell: Callable[[str], object]
) -> Iterator[RunResult]:
    """Do the runs; yield what became of each, in the order in which they end."""
    session, git = uuid.uuid4().hex[:12], git_state()
    threads = options["threads"]
    left = {trial.name: trial for trial in todo}
    alone: set[str] = set()  # what was tried together with others, in vain
    told: set[str] = set()
    while left:
        tasks = [
            delayed(attempt_all)(some, home, slot=slot, threads=threads, session=session, git=git)
            for slot, some in enumerate(groups(list(left.values()), home, alone))
        ]
        parallel: Any = Parallel(return_as="generator_unordered", batch_size=1)  # pyright: ignore[reportArgumentType]
        try:
            for outcomes, rest, why in parallel(tasks):
                alone.update(rest)
                if why and why not in told:
                    told.add(why)
                    tell(f"sweep: {why}.")
                for outcome in outcomes:
                    if outcome.results is not None and outcome.trial.results(home) is None:
                        write_json(home / outcome.trial.name / FILE, outcome.results)  # its worker wrote elsewhere
                    del left[outcome.trial.name]
                    yield outcome
        except TerminatedWorkerError:
            continue  # a worker was killed, and loky gave up the others: go on with what is left


@contextlib.contextmanager
def _backend(workers: int, dask: str | None) -> Iterator[dict[str, Any]]:
    """Make joblib use this process, this machine or a cluster inside; give the threads that a run may use."""
    if dask is not None:
        with _client(dask) as client, parallel_config("dask", client=client):
            yield {"threads": None}  # the workers' own
    elif workers == 1:
        with parallel_config("sequential", n_jobs=1):
            yield {"threads": None}
    else:
        # Two processes of two threads each on two cores run several times slower than two of one thread each.
        threads = max(1, min(torch.get_num_threads(), cpu_count()) // workers)
        try:
            with parallel_config("loky", n_jobs=workers, inner_max_num_threads=threads):
                yield {"threads": threads}
        finally:
            get_reusable_executor().shutdown(wait=True)  # else they wait for more, and hold their memory


@contextlib.contextmanager
def _client(address: str) -> Iterator[Any]:
    """Connect to a dask scheduler; SpecError where there is none, or its workers do not fit."""
    try:
        from distributed import Client
    except ImportError:
        raise SpecError('sweep: --dask needs dask; got none. pip install "advad[cluster]" brings it.') from None
    remedy = "Start one with dask scheduler, and workers with dask worker ADDRESS --nthreads 1."
    try:
        client: Any = Client(address, timeout="5s", set_as_default=False)
    except (OSError, ValueError, TimeoutError):
        refuse("dask", "be the address of a running scheduler, such as tcp://host:8786", address, remedy)
    with client:
        try:
            client.wait_for_workers(1, timeout=30)
        except TimeoutError:
            refuse("dask", "have at least one worker", address, remedy)
        threads = max(client.nthreads().values())
        if threads > 1:  # a run seeds the generators of its whole process
            refuse("dask", "have workers of one thread each", threads, "Start them with --nthreads 1.")
        yield client
