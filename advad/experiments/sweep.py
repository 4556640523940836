"""Do the runs of a sweep on this machine or on a cluster: each run once, and no finished run is lost.

    from advad.experiments.sweep import sweep

    outcomes = sweep("spec.toml", workers=2)

`advad.experiments.run` says which files a run leaves behind. A run is finished if its `results.json` can be read. A
sweep that was killed is started again in the same way and does what is missing; nothing else is remembered.
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from advad.environment import git_state
from advad.experiments.run import Run, RunResult, attempt
from advad.experiments.run_files import MISSING, damage_in, fault_of, tidy
from advad.experiments.spec import Plan, read_plan, refuse
from advad.files import expanded, read_json, write_json
from advad.lessons.parameters import SpecError
from advad.lessons.record import FILE
from advad.progress import progress_bar

RECORD = "sweep.json"  # in a sweep's folder: whose it is, and which of its runs count
HOME = Path("runs/sweeps")


def sweep(
    spec: str | Path | Mapping[str, Any] | Plan,
    *,
    folder: str | Path | None = None,
    workers: int = 1,
    dask: str | None = None,
    progress: bool = True,
    only: Collection[str] | None = None,
) -> list[RunResult]:
    """Do all runs of a sweep that are not finished; return the outcome of each, in the order of the spec.

    Parameters
    ----------
    spec : path, mapping or Plan
        See `advad.experiments.spec`.
    folder : path, optional
        Folder of the runs' folders; `runs/sweeps/<name>` unless given. The workers of a cluster must see it, too.
    workers : int
        Number of processes on this machine, which share its cores. 1 computes in the current process.
    dask : str, optional
        The address of a running scheduler, `tcp://host:port`, whose workers do the runs instead.
    progress : bool
        Whether to show a progress bar.
    only : collection of str, optional
        Names of the runs to do and to return; all unless given.

    Returns
    -------
    list of RunResult
        A run that failed has an `error` of one line; `error.txt` in its folder has the traceback.

    Raises
    ------
    SpecError
        The spec, the folder or the cluster cannot be used; nothing has run.
    KeyboardInterrupt
        Passed on. Finished runs are kept, and the interrupted run of a method continues from its last checkpoint.

    Examples
    --------
    >>> methods = [{"method": "PCA", "n_components": [2, 4]}]
    >>> spec = {"methods": methods, "data": {"dataset": "digits", "normal": 0}}
    >>> for outcome in sweep(spec, folder="runs/pca", progress=False):
    ...     print(outcome.results["parameters"]["n_components"], f"{outcome.results['metrics']['auroc']['value']:.2f}")
    2 1.00
    4 1.00
    """
    plan = spec if isinstance(spec, Plan) else read_plan(spec)
    home = folder_of(plan, folder)
    wanted = [run for run in plan.runs if only is None or run.name in only]
    done = finished(plan, home)
    outcomes = {name: RunResult(run, done[name], fresh=False) for run in wanted if (name := run.name) in done}
    todo = [run for run in wanted if run.name not in done]
    for name in done:  # a run that was killed between its last two steps has left its checkpoint
        tidy(home / name)
    if workers < 1:
        refuse("workers", "be at least 1", workers)
    with _backend(workers, dask) as options:
        _claim(plan, home)
        for line in (line for run in todo for line in damage_in(home / run.name)):
            say(line)
        with progress_bar(
            total=len(wanted), initial=len(outcomes), desc=plan.name, unit="run", disable=not progress
        ) as bar:
            for outcome in _outcomes(todo, home, options, partial(bar.write, file=sys.stderr)):
                outcomes[outcome.run.name] = outcome
                if failed := sum(bool(outcome.error) for outcome in outcomes.values()):
                    bar.set_postfix({"failed": failed}, refresh=False)
                bar.update()
    return [outcomes[run.name] for run in wanted]


def folder_of(plan: Plan, folder: str | Path | None) -> Path:
    """Return the absolute path of the folder of a sweep; SpecError if it is in use for something else."""
    home = expanded(folder or HOME / plan.name).resolve()
    identity = {"name": plan.name, "subject": plan.subject}
    remedy = "--out names another folder."
    try:
        record = read_json(home / RECORD)
    except FileNotFoundError:
        if home.is_dir() and any(home.iterdir()):
            refuse("the folder", "be empty or a sweep's", str(home), remedy)
    except (OSError, ValueError) as error:
        raise SpecError(f"sweep: the folder {home} must be readable; got {error}. {remedy}") from None
    else:
        if not isinstance(record, dict):
            refuse(f"{RECORD} in {home}", "say which sweep it is of", record, remedy)
        recorded = {name: record.get(name) for name in identity}
        if recorded != identity:
            text = "the sweep {name!r} of {subject}".format
            raise SpecError(f"sweep: the folder {home} must hold {text(**identity)}; got {text(**recorded)}. {remedy}")
    return home


def finished(plan: Plan, home: Path) -> dict[str, dict[str, Any]]:
    """Return the results of the plan's runs that are finished, by name."""
    results_of = {run.name: run.results(home) for run in plan.runs}
    return {name: results for name, results in results_of.items() if results is not None}


def collected(home: str | Path) -> list[dict[str, Any]]:
    """Return the results of the finished runs that the spec of a sweep, as last started, asks for.

    Results that are damaged are named on stderr and left out.

    Raises
    ------
    SpecError
        The folder is not that of a sweep.
    """
    home, results = expanded(home), []
    for name in record_of(home)["runs"]:
        path = home / str(name) / FILE
        fault = fault_of(path)
        if not fault:
            results.append(read_json(path))
        elif fault != MISSING:
            say(f"{path} is damaged ({fault}): left out")
    return results


def say(text: str) -> None:
    """Print one line for the user, beside the results and not among them."""
    print(f"sweep: {text}", file=sys.stderr)


def record_of(home: str | Path) -> dict[str, Any]:
    """Return what a sweep's folder says about the sweep; SpecError where it is no sweep's folder."""
    try:
        record = read_json(expanded(home) / RECORD)
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("runs"), list):
        refuse("the folder", "be a sweep's", str(home), "advad sweep SPEC.toml makes one.")
    return record


def _claim(plan: Plan, home: Path) -> None:
    """Write which sweep the folder belongs to."""
    about: dict[str, Any] = {"name": plan.name, "subject": plan.subject, "spec": plan.spec}
    about |= {"budget": plan.budget} if plan.budget else {}
    try:
        write_json(home / RECORD, about | {"runs": [run.name for run in plan.runs]})
    except OSError as error:
        refuse("the folder", f"be writable ({error.strerror})", str(home), "--out names another folder.")


def _outcomes(
    todo: Sequence[Run], home: Path, options: Mapping[str, Any], tell: Callable[[str], object]
) -> Iterator[RunResult]:
    """Do the runs; yield their outcomes in the order in which they end."""
    session, git = uuid.uuid4().hex[:12], git_state()
    threads = options["threads"]
    left = {run.name: run for run in todo}
    while left:
        tasks = [
            delayed(attempt)(run, home, slot=slot, threads=threads, session=session, git=git)
            for slot, run in enumerate(left.values())
        ]
        parallel: Any = Parallel(return_as="generator_unordered", batch_size=1)  # pyright: ignore[reportArgumentType]
        try:
            for outcome in parallel(tasks):
                if outcome.fresh and outcome.results and (damaged := outcome.results.get("damaged")):
                    what = f"the checkpoint of {outcome.run.name} was damaged"
                    tell(f"sweep: {what}: it is set aside as {damaged}, and the run was begun anew.")
                if outcome.results is not None and outcome.run.results(home) is None:
                    write_json(home / outcome.run.name / FILE, outcome.results)  # its worker wrote elsewhere
                del left[outcome.run.name]
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
