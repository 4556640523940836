"""Write the results of a shipped sweep to `data/measured.csv`, and those of its runs to `data/results`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from advad.experiments.spec import read_plan, refuse
from advad.experiments.sweep import collected, record_of
from advad.files import replacing
from advad.scoreboard.rows import MEASURED, Row, compare, is_shown, rows_of

SPECS = MEASURED.with_name("sweeps")
COLUMNS: Sequence[str] = (
    "method dataset protocol normal contamination contaminants labelled metric value spread n_seeds seconds "
    "parameters settings hardware date command"
).split()
NOT_ARCHIVED = ("versions", "git", "starts", "varied")  # what no row is made of
KEY = (*COLUMNS[: COLUMNS.index("value")], "settings", "hardware", "command")


def update_measured(sweeps: Iterable[str | Path]) -> list[dict[str, str]]:
    """Write the rows of the sweeps to `data/measured.csv`, single classes only; return those written.

    The results of their runs go to `data/results` beside those that are there, and the rows are of both: a table can be
    measured piece by piece, on several machines. A row says of how many seeds it is the mean.

    Parameters
    ----------
    sweeps : paths
        Folders of sweeps. Their specs must be those of `data/sweeps`, so that a reader of the row can run it again.

    Raises
    ------
    SpecError
        Another spec, or no finished run.
    """
    folders = [Path(folder) for folder in sweeps]
    lines: list[dict[str, str]] = []
    for folder in folders:
        command = command_of(folder)
        rows = [row for row in rows_of(archive(folder), folder.name) if not row.normal.startswith("mean")]
        lines += [line_of(row, command) for row in map(compare, rows) if is_shown(row)]
    if not lines:
        refuse("--keep", "find finished runs of SWEEPS", ", ".join(map(str, folders)) or "no sweep")
    write_lines(lines, MEASURED)
    return lines


def archive(folder: Path) -> list[dict[str, Any]]:
    """Add the results in a sweep's folder to `data/results`; return all results of its runs that are there now.

    A run is known by its name, which has a hash of what it is: several tables can share one. A run that was done again
    takes the place of the older one, and runs that the sweep no longer asks for are dropped.
    """
    record = record_of(folder)
    new = {run["run"]: {name: run[name] for name in run if name not in NOT_ARCHIVED} for run in collected(folder)}
    path = _archive_of(record["name"])
    former = {run["run"]: run for run in _lines_of(path)}
    lines = [(former | new)[name] for name in record["runs"] if name in former | new]
    if lines:
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(run) + "\n" for run in lines), encoding="utf-8")
    results = archived() | new
    return [results[name] for name in record["runs"] if name in results]


def archived_rows(sweep: str) -> list[Row]:
    """Return the rows of a sweep's runs in `data/results`, with the means that `data/measured.csv` leaves out."""
    return rows_of(_lines_of(_archive_of(sweep)), f"data/results/{sweep}.jsonl")


def archived() -> dict[str, dict[str, Any]]:
    """Return the results of all runs in `data/results`, by the names of the runs."""
    paths = sorted(_archive_of("any").parent.glob("*.jsonl"))
    return {run["run"]: run for path in paths for run in _lines_of(path)}


def _archive_of(sweep: str) -> Path:
    return MEASURED.with_name("results") / f"{sweep}.jsonl"


def _lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def command_of(folder: Path) -> str:
    """Return the command that repeats a sweep; SpecError unless the runs are those of a spec in `data/sweeps`."""
    record = record_of(folder)
    spec, budget = record.get("spec", {}), record.get("budget", "")
    path = SPECS / f"{str(record.get('name')).removesuffix(f'-{budget}')}.toml"
    shipped = [run.name for run in read_plan(path, budget).runs] if path.is_file() else []
    if shipped != record["runs"]:  # runs, not words: a parameter that got another name since is the same
        refuse("--keep", f"be of a sweep whose spec is in {SPECS.parent.name}/{SPECS.name}", str(folder))
    if "table" in spec:
        return f"advad reproduce {spec['paper']} {spec['table']} --budget {budget}"
    return f"advad sweep {SPECS.parent.name}/{SPECS.name}/{path.name}"


def line_of(row: Row, command: str) -> dict[str, str]:
    """Return a row in the columns of `data/measured.csv`."""
    return {
        "method": row.method,
        "dataset": row.dataset,
        "protocol": row.protocol,
        "normal": row.normal,
        "contamination": row.contamination,
        "contaminants": row.contaminants,
        "labelled": row.labelled,
        "metric": row.metric,
        "value": f"{row.value:.4f}",
        "spread": f"{row.spread:.4f}" if row.spread is not None else "",
        "n_seeds": str(row.n),
        "seconds": f"{row.seconds:.3g}",
        "parameters": str(row.weights),
        "settings": json.dumps(row.settings | row.sizes),
        "hardware": row.hardware,
        "date": row.date,
        "command": command,
    }


def write_lines(lines: Sequence[Mapping[str, Any]], path: Path = MEASURED) -> None:
    """Write lines to a file of measured results, all or nothing.

    A line takes the place of one of the same key, unless that is the mean of more seeds.
    """
    by_key: dict[tuple[str, ...], dict[str, str]] = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            by_key = {tuple(line[name] for name in KEY): dict(line) for line in csv.DictReader(file)}
    for line in lines:
        key = tuple(str(line[name]) for name in KEY)
        if key not in by_key or int(by_key[key]["n_seeds"]) <= int(line["n_seeds"]):
            by_key[key] = {name: str(value) for name, value in line.items()}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(by_key[key] for key in sorted(by_key))
