"""Write the results of a shipped sweep to `data/measured.csv`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from advad.experiments.spec import read_plan, refuse
from advad.experiments.sweep import record_of
from advad.files import replacing
from advad.scoreboard.rows import MEASURED, Row

SPECS = MEASURED.with_name("sweeps")
COLUMNS: Sequence[str] = (
    "method dataset protocol normal contamination contaminants labelled metric value spread n_seeds seconds "
    "parameters settings hardware date command"
).split()
KEY = (*COLUMNS[: COLUMNS.index("value")], "hardware", "command")


def keep(rows: Iterable[Row], sweeps: Iterable[str | Path]) -> list[dict[str, str]]:
    """Write the rows of the sweeps to `data/measured.csv`, single classes only; return those written.

    A row says of how many seeds it is the mean; a later one, of more seeds, takes its place.

    Parameters
    ----------
    rows : iterable of Row
        As `advad.scoreboard.table.rows` gives them.
    sweeps : paths
        Folders of sweeps. Their specs must be those of `data/sweeps`, so that a reader of the row can run it again.

    Raises
    ------
    SpecError
        Another spec, or no finished run.
    """
    commands = {Path(folder).name: command_of(Path(folder)) for folder in sweeps}
    selected = [row for row in rows if row.source in commands and not row.normal.startswith("mean")]
    if not selected:
        refuse("--keep", "find finished runs of SWEEPS", ", ".join(commands) or "no sweep")
    lines = [line_of(row, commands[row.source]) for row in selected]
    write_lines(lines, MEASURED)
    return lines


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
    """Write lines to a file of measured results, in place of older ones of the same key, all or nothing."""
    new = [{name: str(value) for name, value in line.items()} for line in lines]
    taken = {tuple(line[name] for name in KEY) for line in new}
    old: list[dict[str, str]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            old = [dict(line) for line in csv.DictReader(file) if tuple(line[name] for name in KEY) not in taken]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*old, *new], key=lambda line: tuple(line[name] for name in KEY)))
