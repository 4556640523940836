"""Run a lesson from top to bottom: checked parameters, one kernel, an executed copy, a page and its results.

Where the parameter `mode` is "solution", an exercise (a cell tagged `exercise`) is replaced by the python code in the
next markdown cell tagged `solution`, so that a solution is written once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from advad.lab.parameters import ParameterError, check_parameters, closest, read_notebook, read_parameters
from advad.lab.results import FILE

PACKAGE = Path(__file__).resolve().parents[2]  # the folder that holds advad/
WIDGET = "application/vnd.jupyter.widget-view+json"
FENCE = re.compile(r"^[ \t]*```python\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
BAR = re.compile(r"%\||\d(it|s)/(s|it)|\?it/s")  # a progress bar, as tqdm prints it


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes
    ----------
    lesson : str
        Its name, such as "00_start".
    notebook, page : Path
        The executed copy, and the same as HTML.
    finding, device : str
        As recorded.
    seconds : float
        Of the lesson itself, without the start of the kernel.
    results : dict
        The content of `results.json`.
    error : str
        Why it did not run to its end; "" when it did.
    """

    lesson: str
    notebook: Path
    page: Path
    finding: str = ""
    device: str = ""
    seconds: float = 0.0
    results: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class NoLessonError(FileNotFoundError):
    """No notebook goes by that name."""


class LessonError(RuntimeError):
    """A lesson that did not run to its end, in one line; `outcome` holds what there is of it."""

    def __init__(self, message: str, outcome: Outcome):
        super().__init__(message)
        self.outcome = outcome


def lesson_folders() -> list[Path]:
    """Return where lessons are looked for: beside the package, then in the working folder."""
    return [PACKAGE / "notebooks", Path.cwd() / "notebooks"]


def lessons() -> list[Path]:
    """Return the lessons' notebooks (`NN_name.ipynb`) in order; NoLessonError when there are none."""
    for folder in lesson_folders():
        found = sorted(path for path in folder.glob("*.ipynb") if re.match(r"\d\d_", path.name))
        if found:
            return found
    places = " or ".join(map(str, dict.fromkeys(lesson_folders())))
    raise NoLessonError(f"no lessons in {places}. They come with the repository: run advad inside a clone.")


def find_lesson(name: str) -> Path:
    """Return the notebook that `name` means: a path, a lesson's name, or its number; else raise NoLessonError."""
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    names = {notebook.stem: notebook for notebook in lessons()}
    for stem, notebook in names.items():
        if name in (stem, notebook.name, stem.split("_")[0]):
            return notebook
    raise NoLessonError(f"no lesson {name!r}.{closest(name, names)} There are {', '.join(names)}.")


def run_lesson(
    notebook: str | Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    folder: str | Path = "runs",
    timeout: int = 3600,
    progress: bool = True,
) -> Outcome:
    """Execute a lesson; write `<folder>/<lesson>.ipynb`, `<lesson>.html` and `<lesson>/results.json`.

    Parameters
    ----------
    notebook : path
    parameters : mapping, optional
        Values, or texts as typed on a command line. `output_dir` moves `results.json`.
    folder : path
        Made where it is missing.
    timeout : int
        Seconds that one cell may take.
    progress : bool
        Whether a bar counts the cells.

    Raises
    ------
    ParameterError
        A parameter does not fit, or an exercise has no solution; nothing has run.
    LessonError
        A cell or a widget's callback failed, a cell took too long, the kernel died, or nothing was recorded.
    """
    from advad.lab import gallery
    from advad.lab.execution import execute

    path, out = Path(notebook).resolve(), Path(folder).resolve()
    name, declared = path.stem, read_parameters(path)
    values = check_parameters(path, parameters or {})
    results_dir = Path(values.get("output_dir") or out / name).resolve()
    if "output_dir" in declared:
        values["output_dir"] = str(results_dir)
    source = read_notebook(path)
    if values.get("mode", getattr(declared.get("mode"), "default", None)) == "solution":
        source = solved(source, name)
    recorded = results_dir / FILE
    results_dir.mkdir(parents=True, exist_ok=True)
    recorded.unlink(missing_ok=True)  # an earlier run's, which must not pass for this one's
    outcome = Outcome(name, out / f"{name}.ipynb", out / f"{name}.html")
    out.mkdir(parents=True, exist_ok=True)

    error = execute(source, outcome.notebook, parameters=values, home=path.parent, timeout=timeout, progress=progress)
    executed = tidy(nbformat.read(outcome.notebook, as_version=4))
    nbformat.write(executed, outcome.notebook)
    gallery.write_page(executed, outcome.page, pictures=path.parent)
    results = json.loads(recorded.read_text(encoding="utf-8")) if recorded.is_file() else {}
    if not (error or results):
        error = "it recorded nothing; its last cell should call lesson.record(finding, …)"
    facts = {key: results[key] for key in ("finding", "device", "seconds") if key in results}
    outcome = Outcome(name, outcome.notebook, outcome.page, **facts, results=results, error=error)
    if error:
        raise LessonError(f"{name}: {error}. See {shown(outcome.notebook)}", outcome)
    return outcome


def solved(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return a notebook with each exercise replaced by its solution.

    Parameters
    ----------
    notebook : NotebookNode
    name : str
        What to call it in an error.

    Raises
    ------
    ParameterError
        An exercise without a solution before the next exercise.
    """
    copy = deepcopy(notebook)
    waiting = None
    for cell in copy.cells:
        tags = cell.metadata.get("tags", [])
        if "solution" in tags and waiting is not None and (code := FENCE.findall(cell.source)):
            waiting.source, waiting = "\n".join(code).strip(), None
        elif "exercise" in tags:
            if waiting is not None:
                break
            waiting = cell
    if waiting is not None:
        first = next(iter(waiting.source.splitlines()), "")
        rule = "needs a markdown cell after it, tagged solution, with a fence of python code"
        raise ParameterError(f"{name}: the exercise {first!r} {rule}.")
    return copy


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Take from an executed notebook, in place, what only a live kernel can show; return it.

    A widget gives way to the HTML twin in the same output, else to a note; progress bars go.
    """
    note = "<p><em>Here is an interactive control. Run this cell in JupyterLab to use it.</em></p>"
    for cell in notebook.cells:
        kept = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.pop(WIDGET, None) is not None:
                if BAR.search(data.get("text/plain", "")):
                    continue
                data.setdefault("text/html", note)
                data["text/plain"] = data.get("text/plain", "")[:200]
            kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    for key in ("input_path", "output_path"):  # the first is the whole notebook once more
        notebook.metadata.get("papermill", {}).pop(key, None)
    return notebook


def shown(path: Path) -> str:
    """Return a path as short as it can be written from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
