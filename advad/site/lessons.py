"""The lessons as sources of the site, and the front page with one card a lesson."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from markupsafe import Markup
from nbformat import NotebookNode

from advad.files import expanded
from advad.lessons.catalogue import lessons
from advad.lessons.hand_in import digest_of
from advad.lessons.outcome import LessonResult
from advad.lessons.pages import card, with_cards
from advad.lessons.parameters import read_notebook
from advad.lessons.record import FILE
from advad.pages.html import render

IMAGE_ENDINGS = (".png", ".jpg", ".svg")
FRONT = """\
# Image anomaly detection: the course

A detector has only seen what is normal. Can it tell when something is not? Each lesson asks one question, asks for
your prediction, and shows what comes out. To work in the lessons, install advad and start `advad lab`; here they can be
read, each as it was executed, and downloaded. Instructors find plans, checklists and expected findings in the
[guide](guide/guide.md).

{cards}

```{{toctree}}
:caption: Lessons
:hidden:

{lessons}
```

```{{toctree}}
:caption: Teaching
:hidden:

guide/guide
guide/expected_findings
```

```{{toctree}}
:caption: Methods and results
:hidden:

methods/index
board
measured/attacks
measured/mvtec_bottle
measured/precision
measured/speed
```

```{{toctree}}
:caption: Reference
:hidden:

reference/library
reference/data
reference/images/README
reference/index
```
"""


@dataclass(frozen=True)
class Lesson:
    """A lesson of the site: as it ships, and as it was executed.

    Attributes
    ----------
    path : Path
        The notebook as it ships.
    executed : NotebookNode, optional
        None where it was not.
    results : dict
        What it recorded then.
    """

    path: Path
    executed: NotebookNode | None
    results: dict[str, Any]

    @property
    def result(self) -> LessonResult:
        """What it left behind, as its card shows it."""
        recorded = {key: self.results[key] for key in ("finding", "device", "seconds") if key in self.results}
        return LessonResult(self.path.stem, self.path, Path(), **recorded, results=self.results)


def collect(tour: str | Path) -> list[Lesson]:
    """Return all lessons, executed where a tour has executed the version that ships.

    Parameters
    ----------
    tour : path
        The folder that `advad tour --out` wrote; it may hold a part of the lessons, or not exist.
    """
    collected = []
    for path in lessons():
        executed, results = expanded(tour) / path.name, expanded(tour) / path.stem / FILE
        if executed.is_file() and results.is_file():
            notebook = read_notebook(executed)
            if digest_of(notebook) == digest_of(read_notebook(path)):
                collected.append(Lesson(path, notebook, json.loads(results.read_text(encoding="utf-8"))))
                continue
        collected.append(Lesson(path, None, {}))
    return collected


def front_page(lessons: list[Lesson]) -> str:
    """Return the source of the front page."""
    cards = []
    for lesson in lessons:
        notebook = lesson.executed or read_notebook(lesson.path)
        cards.append(card(lesson.result, notebook, f"lessons/{lesson.path.stem}.html"))
    paths = "\n".join(f"lessons/{lesson.path.stem}" for lesson in lessons)
    return FRONT.format(cards=raw(render("cards", cards=cards)), lessons=paths)


def raw(markup: Markup) -> str:
    """Return HTML as a block of a MyST source."""
    return f"````{{raw}} html\n{markup}\n````"


def write_lesson(folder: Path, lesson: Lesson) -> None:
    """Write a lesson's source, the notebook to download, and the images that its text shows."""
    for name in ("lessons", "files"):
        (folder / name).mkdir(exist_ok=True)
    shutil.copyfile(lesson.path, folder / "files" / lesson.path.name)
    for path in lesson.path.parent.rglob("*"):
        if path.suffix in IMAGE_ENDINGS:
            target = folder / "lessons" / path.relative_to(lesson.path.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    notebook = with_cards(lesson.executed or read_notebook(lesson.path), "figure")
    for cell in notebook.cells:
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata["tags"] = [*_tags(cell), "hide-input"]
    about = nbformat.v4.new_markdown_cell(_about(lesson), id="about-this-page")
    notebook.cells.insert(1, about)
    nbformat.write(notebook, folder / "lessons" / lesson.path.name)


def _tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _about(lesson: Lesson) -> str:
    """Return where the notebook can be had, and how what is on the page came about."""
    name = lesson.path.name
    link = f"{{download}}`Download this lesson <../files/{name}>` and open it with `advad lab`."
    if not lesson.results:
        return f"{link} Nothing was executed for this page: it shows the lesson as it ships."
    results = lesson.results
    parameters = results["parameters"]
    how = f"profile {parameters['profile']}, " if "profile" in parameters else ""
    how += f"seed {parameters['seed']}, " if "seed" in parameters else ""
    where = f"in {results['seconds']:.0f} s on {results['device']}, advad {results['versions']['advad']}"
    return f"{link} Executed with {how}{where}."
