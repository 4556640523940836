"""The lessons there are, and where they lie."""

from __future__ import annotations

import re
from pathlib import Path

from advad.environment import shipped
from advad.files import expanded
from advad.lessons.outcome import NoLessonError
from advad.lessons.parameters import closest


def lesson_folders() -> list[Path]:
    """Return where lessons are looked for: the checkout or the installed package, then the working folder."""
    return [shipped("notebooks"), Path.cwd() / "notebooks"]


def lessons() -> list[Path]:
    """Return the lessons' notebooks (`NN_name.ipynb`) in order; NoLessonError when there are none."""
    for folder in lesson_folders():
        notebooks = sorted(path for path in folder.glob("*.ipynb") if re.match(r"\d\d_", path.name))
        if notebooks:
            return notebooks
    places = " or ".join(map(str, dict.fromkeys(lesson_folders())))
    raise NoLessonError(f"no lessons in {places}. They come with advad: install it again, or run it inside a clone.")


def find_lesson(name: str) -> Path:
    """Return the notebook that `name` means: a path, a lesson's name, or its number; else raise NoLessonError."""
    if name.endswith(".ipynb") and expanded(name).is_file():
        return expanded(name).resolve()
    names = {notebook.stem: notebook for notebook in lessons()}
    for stem, notebook in names.items():
        if name in (stem, notebook.name, stem.split("_")[0]):
            return notebook
    raise NoLessonError(f"no lesson {name!r}.{closest(name, names)} There are {', '.join(names)}.")
