"""Run a lesson from top to bottom: checked parameters, one kernel, an executed copy, a page and its results.

Where the parameter `mode` is "solution", an exercise (a cell tagged `exercise`) is replaced by the python code in the
next markdown cell tagged `solution`, so that a solution is written once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from advad.files import expanded
from advad.lessons.exercises import solved
from advad.lessons.image_sets import check_image_set
from advad.lessons.outcome import LessonError, LessonResult
from advad.lessons.parameters import check_parameters, read_notebook, read_parameters
from advad.lessons.record import FILE, output_folder

WIDGET = "application/vnd.jupyter.widget-view+json"
BAR = re.compile(r"%\||\d(it|s)/(s|it)|\?it/s")  # a progress bar, as tqdm prints it


def run_lesson(
    notebook: str | Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    folder: str | Path = "runs",
    timeout: int = 3600,
    progress: bool = True,
) -> LessonResult:
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
    FileNotFoundError
        The image set that the profile needs is not there; nothing has run.
    LessonError
        A cell or a widget's callback failed, a cell took too long, the kernel died, or nothing was recorded.
    """
    from advad.lessons.kernel import execute
    from advad.lessons.pages import write_lesson_page

    path, out = expanded(notebook).resolve(), expanded(folder).resolve()
    name, declared = path.stem, read_parameters(path)
    values = check_parameters(path, parameters or {})
    check_image_set(path, values)
    results_dir = output_folder(name, values.get("output_dir") or out / name)
    if "output_dir" in declared:
        values["output_dir"] = str(results_dir)
    source = read_notebook(path)
    if values.get("mode", getattr(declared.get("mode"), "default", None)) == "solution":
        source = solved(source, name)
    recorded = results_dir / FILE
    recorded.unlink(missing_ok=True)  # an earlier run's, which must not pass for this one's
    outcome = LessonResult(name, out / f"{name}.ipynb", out / f"{name}.html")
    out.mkdir(parents=True, exist_ok=True)

    error = execute(source, outcome.notebook, parameters=values, home=path.parent, timeout=timeout, progress=progress)
    executed = tidy(nbformat.read(outcome.notebook, as_version=4))
    nbformat.write(executed, outcome.notebook)
    write_lesson_page(executed, outcome.page, image_folder=path.parent)
    results = json.loads(recorded.read_text(encoding="utf-8")) if recorded.is_file() else {}
    if not (error or results):
        error = "it recorded nothing; its last cell should call lesson.record(finding, …)"
    recorded_facts = {key: results[key] for key in ("finding", "device", "seconds") if key in results}
    outcome = LessonResult(name, outcome.notebook, outcome.page, **recorded_facts, results=results, error=error)
    if error:
        raise LessonError(f"{name}: {error}. See {shown(outcome.notebook)}", outcome)
    return outcome


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Strip widget views and progress bars from an executed notebook, in place; return it.

    A widget gives way to the HTML in the same output, else to a note; progress bars go.
    """
    note = "<p><em>Here is an interactive control. Run this cell in JupyterLab to use it.</em></p>"
    for cell in notebook.cells:
        outputs = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.get("text/html") == "":  # a progress bar that is done
                continue
            if data.pop(WIDGET, None) is not None:
                if BAR.search(data.get("text/plain", "")):
                    continue
                data.setdefault("text/html", note)
                data["text/plain"] = data.get("text/plain", "")[:200]
            outputs.append(output)
        if "outputs" in cell:
            cell.outputs = outputs
    for key in ("input_path", "output_path"):  # the first is the whole notebook once more
        notebook.metadata.get("papermill", {}).pop(key, None)
    return notebook


def shown(path: Path) -> str:
    """Return a path as short as it can be written from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
