"""A course folder: a student's own copy of the lessons, the runs beside them.

FOLDER/welcome.ipynb     the map of the course
FOLDER/lessons/          the notebooks, to be worked in
FOLDER/runs/             what they recorded, one folder a lesson
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from advad.files import expanded
from advad.lessons.record import FILE

HOME = Path("advad-course")  # where `advad lab` makes the folder
LESSONS, RUNS = "lessons", "runs"


class CourseError(FileNotFoundError):
    """A folder that is no course folder, or has something in the way; in one line."""


def find_course(folder: str | Path | None) -> Path:
    """Return the absolute path of a course folder: `folder`, else the working folder, else `advad-course` in it.

    Raises
    ------
    CourseError
        There are no lessons in it.
    """
    places = [expanded(folder)] if folder is not None else [Path.cwd(), HOME]
    for place in places:
        if (place / LESSONS).is_dir():
            return place.resolve()
    names = " or ".join(map(str, places))
    raise CourseError(f"no folder {LESSONS} in {names}. `advad lab` makes one; name it where it lies elsewhere.")


def results_of(course: Path, lesson: str) -> dict[str, Any]:
    """Return what a lesson recorded in a course folder; empty where it has recorded nothing.

    Raises
    ------
    CourseError
        The file is damaged.
    """
    path = course / RUNS / lesson / FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise CourseError(f"{path} is damaged. Delete it, and run the last cell of {lesson} again.")
    return content
