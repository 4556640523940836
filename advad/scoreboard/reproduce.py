"""A published table again: each of its cells with our result beside it, and a verdict.

    from advad.scoreboard import reproduce

    plan = reproduce.plan_of("arae", "2", "laptop")
    reproduce.run(plan, normal=["8"])
    table = reproduce.table_of(plan)
    print(reproduce.text(table))

The specs are `data/sweeps/<paper>-<table>.toml`, each a sweep with two budgets (see `advad.experiments.spec`); the
published values are those of `data/published.csv`. A run that is finished is not done again.

Verdicts: "agrees" where the published value lies within 0.01 of ours or within our interval, the 95 % interval of the
mean over seeds by Student's t; else "better" or "worse". A "worse" has a cause where the spec states one.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from advad.experiments.run import MethodRun, RunResult
from advad.experiments.spec import BUDGETS, Plan, read_plan, read_spec, refuse
from advad.experiments.sweep import RECORD, folder_of, sweep
from advad.files import expanded
from advad.lessons.parameters import closest
from advad.pages.html import render, write_html
from advad.scoreboard.measured import SPECS, archived, archived_rows
from advad.scoreboard.published import published
from advad.scoreboard.rows import Row, is_same, measured_rows, ours, printed_name, signed, sweep_rows

TEN, THREE = 10, 3  # classes of a table, seeds of a result: with these, a comparison says most
NEAR = 0.01  # a difference that counts as none, whatever the seeds say
ROUNDING = 1e-9  # 0.924 − 0.914 is a little above 0.01 in binary numbers
MEAN_IMAGE = "mean image"
SIGNS = {"agrees": "=", "better": "+", "worse": "−", "not run": "·", "yardstick": " "}
SECTION = ("dataset", "protocol", "metric")  # what tells the parts of a table from each other
CONDITIONS = ("contamination", "contaminants", "labelled", "attack_radius", "normal_classes", "tau")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A published value and our result.

    Attributes
    ----------
    section, column : str
        Where it stands: the part of the table, and the column there.
    method : str
        As printed; of a yardstick, ours.
    published : float, optional
        None for a yardstick, which the paper's table does not have.
    row : Row, optional
        Our result; None where it has not been run.
    cause : str
        Why ours is worse; "" where that is not known or ours is not.
    ten_classes : bool
        Whether its part of the table has a column for each of ten classes.
    three_seeds : bool
        Whether our result is of three seeds or more, or of a method in which nothing depends on the seed.
    """

    section: str
    column: str
    method: str
    published: float | None
    row: Row | None = None
    cause: str = ""
    ten_classes: bool = False
    three_seeds: bool = False

    @property
    def verdict(self) -> str:
        """Return "agrees", "better", "worse", "not run", or "yardstick" where there is nothing to agree with."""
        if self.row is None:
            return "not run"
        if self.published is None:
            return "yardstick"
        if abs(self.row.value - self.published) <= max(NEAR, half_width(self.row)) + ROUNDING:
            return "agrees"
        return "better" if self.row.value > self.published else "worse"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A published table with our results.

    Attributes
    ----------
    paper, table, budget : str
    cells : list of Cell
        In the paper's order, section by section and row by row; the yardsticks of a section come last.
    """

    paper: str
    table: str
    budget: str
    cells: list[Cell]


def half_width(row: Row) -> float:
    """Return half the 95 % interval of a mean over seeds, by Student's t; 0 for a single seed."""
    from scipy.stats import t

    if row.spread is None or row.n < 2:
        return 0.0
    return float(t.ppf(0.975, row.n - 1)) * row.spread / row.n**0.5


# ------------------------------------------------------------------ the runs


def tables() -> list[tuple[str, str]]:
    """Return the paper and the table of each spec that ships, ("arae", "2") and so on."""
    names = (path.stem.split("-", 1) for path in sorted(SPECS.glob("*-*.toml")))
    papers = {row["paper"] for row in published()}
    return [(paper, table) for paper, table in names if paper in papers]


def plan_of(paper: str, table: str, budget: str = BUDGETS[0], precision: str | None = None) -> Plan:
    """Return the runs of a published table; SpecError where no spec of it ships.

    A `precision` stands in place of that of the recipes which name one.
    """
    _know(paper, table)
    name, spec = read_spec(SPECS / f"{paper}-{table}.toml")
    for method in spec["methods"]:
        for settings in (method, *(method.get(kind, {}) for kind in BUDGETS)):
            if precision and "precision" in settings:
                settings["precision"] = precision
    return read_plan(spec | {"name": name}, budget)


def emulated(plan: Plan, names: Collection[str]) -> list[str]:
    """Return the methods whose runs ask for bfloat16, where the device has none in hardware."""
    from advad.engine.training import choose_device, has_bfloat16

    runs = [run for run in plan.runs if isinstance(run, MethodRun) and run.name in names]
    asking = [run for run in runs if run.settings.get("precision") == "bfloat16"]
    return sorted({run.method for run in asking if not has_bfloat16(choose_device(run.device))})


def outline_of(paper: str, table: str, budget: str = BUDGETS[0]) -> Plan:
    """Return a plan without its runs, which is enough for `table_of` and needs no images."""
    _know(paper, table)
    name, spec = read_spec(SPECS / f"{paper}-{table}.toml")
    return Plan(f"{name}-{budget}", spec, [], budget)


def _know(paper: str, table: str) -> None:
    if (paper, table) not in tables():
        names = [" ".join(pair) for pair in tables()]
        label = f"{paper} {table}".strip()
        refuse("the table", f"be one of {', '.join(names)}", label, closest(label, names).strip())


def chosen(
    plan: Plan,
    normal: Collection[str] = (),
    datasets: Collection[str] = (),
    seeds: int | None = None,
    methods: Collection[str] = (),
    missing: bool = False,
) -> list[str]:
    """Return the names of the runs of some classes, data sets, seeds and methods; all unless restricted.

    Parameters
    ----------
    plan : Plan
    normal : collection of str
        Classes as the table names them, "8" or "0+1".
    datasets : collection of str
    seeds : int, optional
        How many, from the first.
    methods : collection of str
        By the names of their classes.
    missing : bool
        Whether to leave out runs whose results are in `data/results`.

    Raises
    ------
    SpecError
        A class, a data set, a method or a number of seeds that the table does not have.
    """
    runs = [run for run in plan.runs if isinstance(run, MethodRun)]
    for what, wanted, there in (
        ("--normal", normal, {_class_of(run) for run in runs}),
        ("--dataset", datasets, {run.data["dataset"] for run in runs}),
        ("--method", methods, {run.method for run in runs}),
    ):
        for name in wanted:
            if name not in there:
                refuse(what, f"be one of {', '.join(sorted(there))}", name)
    order = list(dict.fromkeys(run.seed for run in runs))
    done = archived() if missing else {}
    if seeds is not None and seeds > len(order):
        refuse("--seeds", f"be at most {len(order)}", seeds, "The spec in data/sweeps says which.")
    return [
        run.name
        for run in runs
        if (not normal or _class_of(run) in normal)
        and (not datasets or run.data["dataset"] in datasets)
        and (not methods or run.method in methods)
        and run.seed in order[:seeds]
        and run.name not in done
    ]


def run(
    plan: Plan,
    names: Collection[str] | None = None,
    *,
    folder: str | Path | None = None,
    workers: int = 1,
    progress: bool = True,
) -> list[RunResult]:
    """Do the runs of a table that are not finished; `names` restricts them, see `chosen`."""
    return sweep(plan, folder=folder, workers=workers, progress=progress, only=names)


def _class_of(run: MethodRun) -> str:
    normal = run.data.get("normal", run.data.get("anomalous"))
    return "+".join(map(str, normal if isinstance(normal, list) else [normal]))


# ------------------------------------------------------------------ the table


def table_of(plan: Plan, folder: str | Path | None = None) -> Table:
    """Return the published table with what has been run: in the sweep's folder, `data/results` and `data/measured.csv`.

    Where several have a result, the one of most seeds counts, and of those alike the first in this order.
    """
    paper, number = plan.spec["paper"], plan.spec["table"]
    home = folder_of(plan, folder)
    command = command_of(plan)
    rows = sweep_rows(home) if (home / RECORD).is_file() else []
    rows += archived_rows(plan.name)
    rows += [row for row in measured_rows() if row.command == command]
    printed = [entry for entry in published(paper=paper, table=number) if "unassigned" not in entry["metric"]]
    if not printed:
        refuse("the table", "be one of data/published.csv", f"{paper} {number}")
    placed = _placed(printed)
    causes = plan.spec.get("causes", [])
    seedless = {method["method"] for method in plan.spec["methods"] if method.get("seeds") == 1}
    cells: list[Cell] = []
    for section in dict.fromkeys(section for section, _, _ in placed):
        entries = [(column, entry) for where, column, entry in placed if where == section]
        classes = {entry["normal"] for _, entry in entries if not entry["normal"].startswith("mean")}
        used: list[Row] = []
        for column, entry in entries:
            row = _best([row for row in rows if is_same(row, entry)])
            used += [row] if row else []
            cell = Cell(
                section=section,
                column=column,
                method=entry["method"],
                published=entry["value"],
                row=row,
                ten_classes=len(classes) == TEN,
                three_seeds=row is not None and (row.n >= THREE or row.method in seedless),
            )
            cells.append(_with_cause(cell, entry, causes))
        cells += _yardsticks(section, entries, [row for row in rows if row not in used])
    return Table(paper=paper, table=number, budget=plan.budget, cells=cells)


def command_of(plan: Plan) -> str:
    """Return the command that makes a table."""
    return f"advad reproduce {plan.spec['paper']} {plan.spec['table']} --budget {plan.budget}"


def _placed(printed: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return section, column and entry of each printed value.

    Classes are the columns, and the conditions tell sections apart; where a table has one class only, or means only,
    the conditions are the columns.
    """
    conditions = [{**entry["settings"], **entry} for entry in printed]
    for row in conditions:
        if row["normal"] == "mean-of-pairs":
            del row["normal_classes"]  # the column says it
    varied = [name for name in CONDITIONS if len({row.get(name, "") for row in conditions}) > 1]
    classes = {entry["normal"] for entry in printed}
    many_classes = len(classes) > 1 and not all(name.startswith("mean") for name in classes)
    tells = [name for name in SECTION if len({row[name] for row in conditions}) > 1] or ["dataset"]
    cells = []
    for entry, row in zip(printed, conditions, strict=True):
        words = [f"{name.replace('_', ' ')} {row.get(name) or 0}" for name in varied]
        section = [str(row[name]).replace("_", " ") for name in tells]
        column = entry["normal"] if many_classes else (", ".join(words) or entry["normal"] or "all")
        cells.append((", ".join([*section, *words] if many_classes else section), column, entry))
    return cells


def _yardsticks(section: str, entries: Sequence[tuple[str, Mapping[str, Any]]], rows: Sequence[Row]) -> list[Cell]:
    """Return cells of our methods that the paper's table does not have, in its columns."""
    printed = {entry["method"] for _, entry in entries}
    best: dict[tuple[str, str], Cell] = {}
    for column, entry in dict(entries).items():
        for row in rows:
            name = printed_name(row.method, row.settings)
            if name in printed or not is_same(row, {**entry, "method": name}):
                continue
            name = MEAN_IMAGE if _is_mean_image(row) else name
            cell = Cell(section=section, column=column, method=name, published=None, row=row)
            rival = best.get((cell.method, column))
            if rival is None or rival.row is None or row.n > rival.row.n:
                best[cell.method, column] = cell
    order = list(dict.fromkeys(method for method, _ in best))
    return sorted(best.values(), key=lambda cell: order.index(cell.method))


def _is_mean_image(row: Row) -> bool:
    """Return whether a yardstick scores images by their distance from the mean of the training images."""
    return row.method == "PCA" and row.settings.get("n_components") == 0


def _best(rows: Sequence[Row]) -> Row | None:
    return max(rows, key=lambda row: row.n) if rows else None  # the first of several


def _with_cause(cell: Cell, entry: Mapping[str, Any], causes: Sequence[Mapping[str, str]]) -> Cell:
    """Return a cell that is worse with its cause, the first in the spec that fits it."""
    if cell.verdict != "worse":
        return cell
    for reason in causes:
        if all(entry[name] == text for name, text in reason.items() if name != "cause"):
            return replace(cell, cause=reason["cause"])
    return cell


# ------------------------------------------------------------------ what is shown


def summary(*several: Table) -> str:
    """Return in a sentence how many cells of tables agree, are better, are worse, and have not been run.

    A second sentence, where there are such cells, counts those of ten-class tables with three seeds.
    """
    cells = [cell for table in several for cell in table.cells if cell.published is not None]
    done = [cell for cell in cells if cell.row is not None]
    sentences = [f"{len(done)} of {len(cells)} published cells have a result of ours: {_verdicts(done)}."]
    strict = [cell for cell in done if cell.ten_classes and cell.three_seeds]
    if strict:
        what = "are of ten-class tables and rest on three seeds, or on a method in which nothing depends on the seed"
        sentences.append(f"{len(strict)} of these {what}: {_verdicts(strict)}.")
    return " ".join(sentences)


def _verdicts(cells: Sequence[Cell]) -> str:
    """Return the verdicts of published cells that have a result, counted."""
    counts = Counter(cell.verdict for cell in cells)
    near = sum(
        cell.row is not None and cell.published is not None and abs(cell.row.value - cell.published) <= NEAR + ROUNDING
        for cell in cells
    )
    caused = sum(cell.verdict == "worse" and bool(cell.cause) for cell in cells)
    return (
        f"{counts['agrees']} agree, {near} within {NEAR}, {counts['better']} are better, {counts['worse']} are worse "
        f"({caused} with a stated cause)"
    )


def text(table: Table) -> str:
    """Return the table for the terminal: under each published value our result, its verdict and its spread."""
    lines = []
    for section in dict.fromkeys(cell.section for cell in table.cells):
        cells = [cell for cell in table.cells if cell.section == section]
        columns = list(dict.fromkeys(cell.column for cell in cells))
        lines += [section, ""]
        grid = [["", *columns]]
        for method in dict.fromkeys(cell.method for cell in cells):
            by_column = {cell.column: cell for cell in cells if cell.method == method}
            rows = [cell.row for cell in by_column.values() if cell.row]
            if any(cell.published is not None for cell in by_column.values()):
                grid.append(
                    [method, *(_number(by_column[name].published) if name in by_column else "" for name in columns)]
                )
            if rows:
                seeds = "-".join(map(str, sorted({min(row.n for row in rows), max(row.n for row in rows)})))
                label = f"  ours, n={seeds}" if grid[-1][0] == method else f"{method}, n={seeds}"
                grid.append([label, *(_ours(by_column.get(name)) for name in columns)])
                grid.append(["", *(_spread(by_column.get(name)) for name in columns)])
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        for first, *rest in grid:
            shaped = [
                first.ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
            ]
            lines.append("  ".join(shaped).rstrip())
        lines.append("")
    signs = ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items() if sign.strip() and verdict != "not run")
    lines += [f"Budget {table.budget}. {signs}.", summary(table)]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f} "


def _ours(cell: Cell | None) -> str:
    return "· " if cell is None or cell.row is None else f"{cell.row.value:.3f}{SIGNS[cell.verdict]}"


def _spread(cell: Cell | None) -> str:
    return "" if cell is None or cell.row is None or cell.row.spread is None else f"±{cell.row.spread:.3f} "


COLUMNS: Sequence[str] = (
    "paper table budget section column method published value spread n difference verdict cause settings splits "
    "hardware source command"
).split()


def as_csv(table: Table, command: str) -> str:
    """Return the table as CSV, one cell a line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell in table.cells:
        row = cell.row
        line: dict[str, Any] = {"paper": table.paper, "table": table.table, "budget": table.budget}
        line |= {name: getattr(cell, name) for name in ("section", "column", "method", "published", "verdict", "cause")}
        if row is not None:
            line |= {"value": f"{row.value:.4f}", "n": row.n, "hardware": row.hardware, "source": row.source}
            line |= {"spread": "" if row.spread is None else f"{row.spread:.4f}"}
            line |= {"settings": _settings(row), "splits": " ".join(row.splits), "command": command}
            line |= {} if cell.published is None else {"difference": f"{row.value - cell.published:.4f}"}
        writer.writerow(line)
    return buffer.getvalue()


def _settings(row: Row) -> str:
    return ", ".join(f"{name}={value}" for name, value in (row.settings | row.sizes).items()) or "defaults"


def write(table: Table, folder: str | Path, command: str) -> Path:
    """Write `<paper>-<table>.csv` and the page `<paper>-<table>.html`; return the path of the page."""
    folder = expanded(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{table.paper}-{table.table}"
    (folder / f"{name}.csv").write_text(as_csv(table, command), encoding="utf-8")
    sections = []
    for section in dict.fromkeys(cell.section for cell in table.cells):
        cells = [cell for cell in table.cells if cell.section == section]
        by_method = {
            method: {cell.column: cell for cell in cells if cell.method == method}
            for method in dict.fromkeys(cell.method for cell in cells)
        }
        sections.append((section, list(dict.fromkeys(cell.column for cell in cells)), by_method))
    values = {"table": table, "sections": sections, "summary": summary(table), "command": command, "signs": SIGNS}
    body = render("reproduce", **values, settings=_settings, signed=signed, ours=ours)
    return write_html(folder / f"{name}.html", f"advad: {table.paper}, table {table.table}", body, "board")
