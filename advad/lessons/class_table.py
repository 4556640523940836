"""What a class handed in: one table and one page of who predicted what, who solved what, and what was found.

The hand-ins are read, never unpacked. Their checks and results are either trusted, or computed again from the answers:
`rerun` puts a student's answers into this installation's own lessons and runs these. That executes students' code on
this machine, with the rights of the person who asks for it.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, TypeGuard

from advad.files import expanded, to_json, write_text
from advad.lessons.catalogue import lessons
from advad.lessons.hand_in import HandIn, digest_of, read, write_answered
from advad.lessons.outcome import HandInError, LessonError
from advad.lessons.parameters import ParameterError, read_notebook

TRUSTED = "as handed in"


@dataclass
class Row:
    """A hand-in in the table: what it counts, which others equal it, and what came of running it again."""

    hand_in: HandIn
    same: list[str] = field(default_factory=list)
    rerun: dict[str, str] = field(default_factory=dict)  # lesson -> "agrees", or what differs
    results: dict[str, dict[str, Any]] = field(default_factory=dict)  # lesson -> checks and metrics, of the second run

    @property
    def name(self) -> str:
        """The student's name."""
        return self.hand_in.name

    def checks(self) -> dict[tuple[str, str], str]:
        """Return the state of each exercise, by lesson and name; of the second run where there is one."""
        result = {}
        for name, lesson in self.hand_in.lessons.items():
            states = self.results.get(name, lesson)["checks"]
            result |= {(name, exercise): state for exercise, state in states.items()}
        return result

    def predictions(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the predictions that were committed, each with its lesson."""
        pairs = ((name, each) for name, lesson in self.hand_in.lessons.items() for each in lesson["predictions"])
        return [(name, each) for name, each in pairs if each["chosen"] is not None]

    def notes(self) -> list[str]:
        """Return what an instructor should know before believing the row."""
        texts = [f"the same as {other}" for other in self.same]
        for name, lesson in self.hand_in.lessons.items():
            number = name.split("_")[0]
            if lesson["parameters"].get("mode") == "solution":
                texts.append(f"{number} ran with the solutions")
            if lesson["changed_cells"]:
                texts.append(f"{number}: {len(lesson['changed_cells'])} other cells changed")
        return texts + [f"{name.split('_')[0]} run again: {text}" for name, text in self.rerun.items()]


@dataclass(frozen=True)
class ClassTable:
    """All rows, sorted by name, and the refused files, each with its reason."""

    rows: list[Row]
    refused: dict[str, str]


def collect(folder: str | Path) -> ClassTable:
    """Read all hand-ins in a folder and the folders in it.

    Parameters
    ----------
    folder : path
        Holds zip files of any names.

    Raises
    ------
    HandInError
        There is no such folder, or no zip file in it.
    """
    folder = expanded(folder)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".zip")
    if not paths:
        raise HandInError(f"class: {folder} must be a folder with hand-ins; got no zip file in it.")
    rows, refused = [], {}
    for path in paths:
        try:
            rows.append(Row(read(path)))
        except HandInError as error:
            refused[printable(path.relative_to(folder).as_posix())] = str(error)
    rows.sort(key=lambda row: (row.name.casefold(), row.hand_in.content["made"]))
    _mark_equal(rows)
    return ClassTable(rows, refused)


def _mark_equal(rows: Sequence[Row]) -> None:
    """Note which hand-ins are equal byte for byte, and which lessons in them are, whoever's name is on them.

    A lesson counts only where a prediction was committed: no two students commit it at the same time, and in as many
    seconds.
    """
    holders: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        holders["the whole file", row.hand_in.digest].append(row)
        for name, lesson in row.hand_in.lessons.items():
            if any(prediction["chosen"] is not None for prediction in lesson["predictions"]):
                holders[name.split("_")[0], to_json(lesson)].append(row)
    for (what, _), equal in holders.items():
        for row in equal:
            others = [other for other in equal if other is not row]
            if what != "the whole file":  # equal files are named once, as whole files
                others = [other for other in others if other.hand_in.digest != row.hand_in.digest]
            row.same += [f"{other.name} ({what}, byte for byte)" for other in others]


def rerun(table: ClassTable, folder: Path, *, timeout: int) -> None:
    """Run each lesson with each student's answers, and note in the rows what differs from what was handed in.

    Parameters
    ----------
    table : ClassTable
        Its rows are changed.
    folder : Path
        Where the executed lessons go, one folder a hand-in.
    timeout : int
        Seconds that one cell may take.
    """
    from advad.lessons.run import run_lesson

    shipped = {path.stem: path for path in lessons()}
    digests = {name: digest_of(read_notebook(path)) for name, path in shipped.items()}
    for number, row in enumerate(table.rows):
        for name, lesson in row.hand_in.lessons.items():
            if digests.get(name) != lesson["digest"]:
                row.rerun[name] = "not possible, it is of another version of the lesson"
                continue
            place = folder / f"{number:03d}"
            notebook = write_answered(shipped[name], lesson["answers"], place / "answered" / f"{name}.ipynb")
            overrides = {key: value for key, value in lesson["parameters"].items() if key != "mode"}
            try:
                outcome = run_lesson(notebook, parameters=overrides, folder=place, timeout=timeout, progress=False)
            except (LessonError, ParameterError, OSError) as error:
                row.rerun[name] = f"failed, {printable(str(error))}"
                continue
            row.results[name] = {key: outcome.results[key] for key in ("checks", "metrics")}
            row.rerun[name] = _difference(lesson["checks"], outcome.results["checks"])


def _difference(handed_in: Mapping[str, str], again: Mapping[str, str]) -> str:
    """Return what checks say again that they did not say before."""
    other = [name for name in {**handed_in, **again} if handed_in.get(name) != again.get(name)]
    words = (
        f"“{name}” is {again.get(name, 'missing')}, handed in as {handed_in.get(name, 'missing')}" for name in other
    )
    return "; ".join(words) or "agrees"


# ---------------------------------------------------------------- what the table says


def findings(table: ClassTable) -> list[dict[str, Any]]:
    """Return each numeric result with its spread over the class: lesson, name, n, mean, deviation, lowest, highest.

    Results are compared among hand-ins with the same parameters but for the seed and the device only; `setting` says
    which. A result that only one student has is left out.
    """
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in table.rows:
        for name, lesson in row.hand_in.lessons.items():
            varied = {"seed", "device", "mode"}
            setting = ", ".join(f"{k}={v}" for k, v in sorted(lesson["parameters"].items()) if k not in varied)
            for key, value in numbers(row.results.get(name, lesson)["metrics"]).items():
                values[name, setting, key].append(value)
    rows = []
    for (name, setting, key), sample in sorted(values.items()):
        if len(sample) > 1:
            about = {"lesson": name, "setting": setting, "result": key, "n": len(sample), "mean": fmean(sample)}
            rows.append(about | {"deviation": stdev(sample), "lowest": min(sample), "highest": max(sample)})
    return rows


def numbers(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the single numbers among results by their names; of an interval `[value, low, high]` the value.

    Examples
    --------
    >>> numbers({"auroc": [0.9, 0.85, 0.95], "n": 3, "by_class": [1, 2, 3, 4], "error": {"AE": 0.1}})
    {'auroc': 0.9, 'n': 3.0, 'error: AE': 0.1}
    """
    singles: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            singles |= numbers(value, f"{prefix}{name}: ")
        elif (single := _single(value)) is not None:
            singles[f"{prefix}{name}"] = single
    return singles


def _single(value: Any) -> float | None:
    """Return the one number that a result is, or that an interval is about; None where it is something else."""
    if isinstance(value, list):
        is_interval = len(value) == 3 and all(map(_is_number, value)) and value[1] <= value[0] <= value[2]
        return float(value[0]) if is_interval else None
    return float(value) if _is_number(value) else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def predicted(table: ClassTable) -> list[dict[str, Any]]:
    """Return each question with its options, who chose which and when, and what came out."""
    questions: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for row in table.rows:
        for name, prediction in row.predictions():
            questions[name, prediction["question"]].append((row.name, prediction))
    rows = []
    for (lesson, question), predictions in sorted(questions.items()):
        options = list(dict.fromkeys(option for _, each in predictions for option in each["options"]))
        truths = Counter(each["truth"] for _, each in predictions if each["truth"] is not None)
        who = {option: [name for name, each in predictions if each["chosen"] == option] for option in options}
        rows.append({"lesson": lesson, "question": question, "who": who, "truths": truths, "n": len(predictions)})
    return rows


def exercises(table: ClassTable) -> list[tuple[str, str]]:
    """Return all exercises of the class, by lesson and name, in the order of the lessons."""
    return sorted({key for row in table.rows for key in row.checks()}, key=lambda key: key[0])


def summary(row: Row) -> dict[str, str]:
    """Return the columns of the table for one hand-in."""
    states, made = row.checks().values(), row.predictions()
    truths = [prediction for _, prediction in made if prediction["truth"] is not None]
    hits = sum(prediction["chosen"] == prediction["truth"] for prediction in truths)
    return {
        "name": row.name,
        "lessons": " ".join(name.split("_")[0] for name in row.hand_in.lessons),
        "solved": f"{sum(state == 'right' for state in states)} of {len(states)}",
        "predicted": f"{hits} of {len(truths)}" if truths else "none",
        "made": row.hand_in.content["made"][:16].replace("T", " "),
        "notes": "; ".join(row.notes()),
    }


def text(table: ClassTable) -> str:
    """Return the table for a terminal: one line a hand-in, then one line a refused file."""
    rows = [summary(row) for row in table.rows]
    columns = ("name", "lessons", "solved", "predicted", "made", "notes")
    width = {column: max([len(column), *(_width(row[column]) for row in rows)]) for column in columns}
    lines = ["  ".join(f"{column:<{width[column]}}" for column in columns).rstrip()]
    for row in rows:
        cells = (row[column] + " " * (width[column] - _width(row[column])) for column in columns)
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *(f"refused: {name}: {reason}" for name, reason in table.refused.items())])


def _width(text: str) -> int:
    """Return how many columns a text takes in a terminal."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text if not unicodedata.combining(c))


def printable(text: str) -> str:
    """Return a text in one line without letters that steer a terminal."""
    return " ".join(re.sub(r"\s", " ", text).split()) if text.isprintable() else ascii(text)[1:-1]


def write(table: ClassTable, folder: Path, how: str = TRUSTED) -> Path:
    """Write `class.csv`, `findings.csv` and the page `index.html`; return the path of the page.

    Parameters
    ----------
    table : ClassTable
    folder : Path
        Made where it is missing.
    how : str
        Where the checks and results come from, as the page says it.
    """
    from advad.pages.html import render, write_html

    spread, rows = findings(table), [summary(row) for row in table.rows]
    write_text(folder / "class.csv", _csv(rows))
    write_text(folder / "findings.csv", _csv(spread))
    names = exercises(table)
    handed_in = [(row.name, name, lesson) for row in table.rows for name, lesson in row.hand_in.lessons.items()]
    body = render(
        "class",
        rows=rows,
        refused=table.refused,
        how=how,
        exercises=names,
        solved=[(row.name, [row.checks().get(name, "") for name in names]) for row in table.rows],
        marks={"right": "✓", "wrong": "✗", "not attempted": "○", "": ""},
        predicted=predicted(table),
        times=[(row.name, name, each) for row in table.rows for name, each in row.predictions()],
        answers=[(name, lesson, content["answers"]) for name, lesson, content in handed_in],
        findings=spread,
        number=number,
    )
    return write_html(folder / "index.html", "advad: the class", body, "class")


def number(value: float) -> str:
    """Return a result as the page shows it: three decimals, two digits where it is smaller than that.

    Examples
    --------
    >>> number(-0.9), number(10000.0), number(0.000675)
    ('−0.900', '10,000.000', '0.00068')
    """
    text = f"{value:,.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"
    return text.replace("-", "−", 1) if value < 0 else text


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    if rows:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t") else value
