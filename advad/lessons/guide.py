"""The instructor's guide as a page, and the part of it that is measured: what each lesson should find, and how exactly.

The guide is `notebooks/guide.md`; the expected findings are `notebooks/expected_findings.md`, which `renew` writes from
the results of a few tours with different seeds. Nothing in that file is typed by hand.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from markupsafe import Markup

import advad
from advad.environment import checkout, shipped
from advad.files import expanded, write_text
from advad.lessons.catalogue import lessons
from advad.lessons.class_table import numbers
from advad.lessons.course import course_map
from advad.lessons.parameters import ParameterError
from advad.lessons.record import FILE

GUIDE, EXPECTED = "notebooks/guide.md", "notebooks/expected_findings.md"
CONFIDENCE = 0.95
HEAD = """\
# Expected findings

Written by `advad guide --from FOLDER …` from the results of tours; not to be edited. *low* and *high* are the ends of
the 95 % prediction interval (normal distribution) from these runs: a run with another seed should lie between them.
With few runs the interval is wide. A result outside is a reason to look, and no proof of a fault.
"""


def renew(folders: Sequence[str | Path], path: Path | None = None) -> Path:
    """Write the expected findings from tours of the lessons; return the file's path.

    Parameters
    ----------
    folders : sequence of path
        What `advad tour --out FOLDER` wrote, one folder a seed; all of one profile.
    path : Path, optional
        By default that of the checkout.

    Raises
    ------
    ParameterError
        No lesson in the folders, or lessons of several profiles; no `path` and no checkout.
    """
    if path is None and checkout() is None:
        raise ParameterError("guide: --from writes into a checkout of advad; this is an installed package.")
    runs_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for folder in folders:
        for notebook in lessons():
            file = expanded(folder) / notebook.stem / FILE
            if file.is_file():
                runs_of[notebook.stem].append(json.loads(file.read_text(encoding="utf-8")))
    if not runs_of:
        raise ParameterError(f"guide: {', '.join(map(str, folders))} must hold the results of lessons; there are none.")
    profiles = {results["parameters"].get("profile") for runs in runs_of.values() for results in runs}
    if len(profiles) > 1:
        raise ParameterError(f"guide: all results must be of one profile; got {', '.join(map(str, sorted(profiles)))}.")
    titles = {entry.name: f"{entry.number} {entry.title}" for entry in course_map()}
    missing = [titles[notebook.stem] for notebook in lessons() if notebook.stem not in runs_of]
    parts = [HEAD, f"Profile {profiles.pop()}, advad {advad.__version__}.\n"]
    parts += [f"Not measured yet: {', '.join(missing)}.\n"] if missing else []
    parts += [_section(titles[name], runs) for name, runs in sorted(runs_of.items())]
    return write_text(path or shipped(EXPECTED), "\n".join(parts))


def _section(title: str, runs: Sequence[dict[str, Any]]) -> str:
    """Return what one lesson should find, as Markdown: its sentences, the answers to its questions, and its results."""
    seconds, devices = [run["seconds"] for run in runs], sorted({run["device"] for run in runs})
    seeds = ", ".join(str(run["parameters"].get("seed", "?")) for run in runs)
    lines = [f"## {title}", "", f"{runs[0]['finding']}", ""]
    times = f"{median(seconds):.0f} s ({min(seconds):.0f} to {max(seconds):.0f}) on {', '.join(devices)}"
    lines += [f"{len(runs)} run{'s' * (len(runs) > 1)}, seeds {seeds}; {times}.", ""]
    for question, truths in _answers(runs).items():
        lines.append(
            f"- *{question}* {', '.join(f'{truth} ({count} of {len(runs)})' for truth, count in truths.items())}"
        )
    lines += ["", "<details><summary>The findings of the figures with the first seed, and the results</summary>", ""]
    lines += [f"- {finding}" for finding in runs[0]["findings"]]
    lines += ["", "| result | runs | mean | low | high |", "|---|---:|---:|---:|---:|"]
    lines += [_row(name, values) for name, values in results(runs).items()]
    return "\n".join([*lines, "", "</details>", ""])


def _answers(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return how often each answer came out, by question."""
    counts_of: dict[str, dict[str, int]] = {}
    for run in runs:
        for prediction in run["predictions"]:
            if prediction["truth"] is not None:
                counts = counts_of.setdefault(prediction["question"], {})
                counts[prediction["truth"]] = counts.get(prediction["truth"], 0) + 1
    return counts_of


def results(runs: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the values of each numeric result over the runs that have it."""
    values: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for name, value in numbers(run["metrics"]).items():
            values[name].append(value)
    return dict(values)


def _row(name: str, values: Sequence[float]) -> str:
    low, high = tolerance(values)
    cells = [name.replace("|", "/"), str(len(values)), *map(_number, (fmean(values), low, high))]
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", "−")


def tolerance(values: Sequence[float]) -> tuple[float, float]:
    """Return the interval in which the next run's value should lie: Student's prediction interval at 95 %.

    Parameters
    ----------
    values : sequence of float
        Of independent runs. From one run alone nothing follows, and both ends are nan.

    Notes
    -----
    mean ± t(0.975, n − 1) · s · √(1 + 1/n).

    Examples
    --------
    >>> low, high = tolerance([1.0, 2.0, 3.0])
    >>> round(low, 2), round(high, 2)
    (-2.97, 6.97)
    """
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return math.nan, math.nan
    reach = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * stdev(values) * math.sqrt(1 + 1 / n)
    return fmean(values) - reach, fmean(values) + reach


def write_page(path: Path) -> Path:
    """Write the guide with the expected findings as a page; return its path."""
    from advad.pages.html import contents, write_html
    from advad.pages.markdown import to_html

    texts = [shipped(name).read_text(encoding="utf-8") for name in (GUIDE, EXPECTED)]
    boxes = [text.replace("- [ ] ", "- ☐ ") for text in texts]
    parts = [to_html(text, shipped("notebooks")) for text in boxes]
    body = "".join(f'<main class="rendered_html">{contents(part)}{part}</main>' for part in parts)
    return write_html(path, "advad: the instructor's guide", Markup(body), "executed")
