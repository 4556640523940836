"""The scoreboard: our results beside the published values, with what must be known before comparing them.

    from advad.scoreboard import table as board

    rows = board.rows(["runs/sweeps/mnist"])
    print(board.text(rows))
    board.write(rows, "runs/board")

Ours are means over seeds with their standard deviation, from the last epoch, with no choice made on test data. The
published value is taken from the method's own paper if it prints one, else from the first other paper that does.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from advad.experiments.evaluate import STATISTIC
from advad.experiments.sweep import HOME, RECORD, record_of, say
from advad.files import expanded
from advad.lessons.parameters import SpecError
from advad.scoreboard.measured import archived
from advad.scoreboard.page import write_board_page
from advad.scoreboard.rows import Row, compare, is_shown, measured_rows, ours, rows_of, signed, sweep_rows


def rows(sweeps: Iterable[str | Path] | None = None) -> list[Row]:
    """Return our results with the published values beside them.

    AUROC and the metrics of pixels are always shown; another metric only if a paper prints it. Beside an AUROC stands
    what the best cheap statistic of the same images reaches, where it was computed.

    Parameters
    ----------
    sweeps : paths, optional
        Folders of sweeps; all in `runs/sweeps` unless given. Those of lessons have no published counterpart.

    Raises
    ------
    SpecError
        One of them is no sweep's folder.
    """
    folders = _sweeps_at_home() if sweeps is None else map(Path, sweeps)
    from_sweeps = [row for folder in folders for row in sweep_rows(folder)]
    there = {_key(row) for row in from_sweeps}  # so that a result that data/measured.csv holds, too, appears once
    compared = [compare(row) for row in [*(row for row in measured_rows() if _key(row) not in there), *from_sweeps]]
    statistics = yardsticks([*rows_of(archived().values(), "data/results"), *from_sweeps])
    return sorted(
        (with_yardstick(row, statistics) for row in compared if is_shown(row)),
        key=lambda row: (row.dataset, row.protocol, row.contamination, row.metric, *_order(row)),
    )


def yardsticks(rows: Iterable[Row]) -> dict[tuple[str, ...], str]:
    """Return by test part what its best cheap statistic reaches alone, from rows whose metric names a statistic."""
    return {
        _part(row): f"{row.metric.removeprefix(STATISTIC).replace('_', ' ')} {row.value:.3f}"
        for row in rows
        if row.metric.startswith(STATISTIC)
    }


def with_yardstick(row: Row, statistics: Mapping[tuple[str, ...], str]) -> Row:
    """Return a row of AUROC with its yardstick; below 0.5 without one, a flag says that it is missing."""
    if row.metric != "auroc" or row.normal.startswith("mean"):
        return row
    if statistic := statistics.get(_part(row)):
        return replace(row, yardstick=statistic)
    return replace(row, flags=(*row.flags, "below 0.5: no yardstick")) if row.value < 0.5 else row


def _part(row: Row) -> tuple[str, ...]:
    return row.dataset, row.protocol, row.normal, json.dumps(row.sizes, sort_keys=True)


def _sweeps_at_home() -> list[Path]:
    """Return the folders of all sweeps in `runs/sweeps`; one that cannot be read is named and left out."""
    folders = []
    for path in sorted(HOME.glob(f"*/{RECORD}")):
        try:
            record_of(path.parent)
        except SpecError:
            say(f"{path} is damaged: the sweep is left out")
        else:
            folders.append(path.parent)
    return folders


def _key(row: Row) -> str:
    return json.dumps([row.method, row.dataset, row.normal, row.metric, row.settings, f"{row.value:.4f}", row.n])


def _order(row: Row) -> tuple[Any, ...]:
    return row.normal.startswith("mean"), len(row.normal), row.normal, row.method, row.source, json.dumps(row.settings)


COLUMNS = (
    "method dataset protocol normal n_classes contamination contaminants labelled metric published paper value spread "
    "n difference yardstick flags settings source hardware"
).split()


def table(rows: Sequence[Row]) -> str:
    """Return the board as CSV, one row for each result."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = {name: getattr(row, name) for name in COLUMNS}
        cells |= {"flags": "; ".join(row.flags), "settings": json.dumps(row.settings)}
        numbers = {name: f"{cells[name]:.4f}" for name in ("value", "spread", "difference") if cells[name] is not None}
        writer.writerow((cells | numbers).values())
    return buffer.getvalue()


def text(rows: Sequence[Row]) -> str:
    """Return the board as a table for the terminal."""
    lines: list[tuple[str, ...]] = [
        ("method", "data", "normal", "metric", "published", "ours", "difference", "best statistic", "flags")
    ]
    lines += [
        (
            row.name,
            " ".join(filter(None, (row.dataset, row.protocol, row.contamination and f"α={row.contamination}"))),
            f"mean of {row.n_classes}" if row.normal == "mean" else row.normal,
            row.metric,
            "–" if row.published is None else f"{row.published:.3f} ({row.paper})",
            ours(row),
            "" if row.difference is None else signed(row.difference),
            row.yardstick,
            ", ".join(row.flags),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("─" * width for width in widths))
    shaped = ("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in shaped)


def markdown(rows: Sequence[Row]) -> str:
    """Return the board as a Markdown table of what a reader compares, narrow enough for a notebook."""
    lines = ["| method | published | ours | difference | note |", "|---|---:|---:|---:|---|"]
    for row in rows:
        published = "–" if row.published is None else f"{row.published:.3f} ({row.paper})"
        difference = "" if row.difference is None else signed(row.difference)
        cells = (f"{row.name}, {row.dataset}", published, ours(row), difference, ", ".join(row.flags))
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def write(rows: Sequence[Row], folder: str | Path) -> Path:
    """Write `board.csv` and the page `index.html`; return the page's path."""
    folder = expanded(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "board.csv").write_text(table(rows), encoding="utf-8")
    return write_board_page(folder / "index.html", rows)
