"""A course folder: a student's own copy of the lessons, with a map of the course and the results.

    FOLDER/welcome.ipynb     the map, with one's own progress
    FOLDER/lessons/          the notebooks, to be worked in
    FOLDER/runs/             what they recorded, one folder a lesson

`open_course` makes the folder, and may be called again: it adds what is missing, renews what nobody has changed, and
never writes over a file that a student has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode

from advad.files import expanded, replacing, write_json
from advad.lessons.catalogue import lessons
from advad.lessons.parameters import ParameterError, read_notebook
from advad.lessons.record import COMMITTED, FILE

if TYPE_CHECKING:
    from IPython.display import Markdown

HOME = Path("advad-course")  # where `advad lab` makes the folder
LESSONS, RUNS, WELCOME = "lessons", "runs", "welcome.ipynb"
MAP = "course.toml"  # beside the lessons that ship
COPIED = ".copied.json"  # in LESSONS: a hash of each file as it was copied
TEXT = """\
# Image anomaly detection: the course

A detector has only seen what is normal. Can it tell when something is not? Each lesson asks one question.
You **predict**, run the cells (`Shift+Enter`), see what comes out, and write a few lines of code yourself.

- Begin with [00](lessons/00_start.ipynb). After it, the column *after* says which lessons a lesson builds on.
- The notebooks in `lessons/` are yours: what you change stays, also when advad is updated.
- What the lessons record lies in `runs/`. `advad hand-in` in this folder packs your work into one file.

Click on the table and press `Shift+Enter` to renew your progress.
"""


class CourseError(FileNotFoundError):
    """A folder that is no course folder, or has something in the way; in one line."""


@dataclass(frozen=True)
class Entry:
    """What the map says of a lesson.

    Attributes
    ----------
    name, title, question : str
        "00_start", "What is normal?", and the question in bold in its first cell.
    minutes : int
        Of reading and playing, as its first cell says; 0 where it says nothing.
    level : str
        "first steps", "core" or "advanced".
    needs : tuple of str
        The numbers of the lessons to take before it.
    ideas : str
        What else one must know.
    computes : int
        Seconds that it computes for in the profile lab, about; 0 where unknown.
    """

    name: str
    title: str
    question: str
    minutes: int
    level: str
    needs: tuple[str, ...]
    ideas: str
    computes: int

    @property
    def number(self) -> str:
        """Its number, as text: "00"."""
        return self.name.split("_")[0]


def course_map() -> list[Entry]:
    """Return what the map says of each lesson, in order."""
    notebooks = lessons()
    file = notebooks[0].parent / MAP
    settings = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return [_entry(path, settings.get(path.stem, {})) for path in notebooks]


def _entry(path: Path, settings: dict[str, Any]) -> Entry:
    first = next(iter(read_notebook(path).cells), {"source": ""})["source"]
    title = re.search(r"^# (?:\S+ · )?(.+)$", first, re.MULTILINE)
    question = re.search(r"^\*\*(.+?)\*\*", first, re.MULTILINE)
    minutes = re.search(r"\b(\d+) minutes", first)
    return Entry(
        name=path.stem,
        title=title[1].strip() if title else path.stem,
        question=question[1] if question else "",
        minutes=int(minutes[1]) if minutes else 0,
        level=settings.get("level", ""),
        needs=tuple(settings.get("needs", ())),
        ideas=settings.get("ideas", ""),
        computes=settings.get("computes", 0),
    )


# ---------------------------------------------------------------- the folder


def find_course(folder: str | Path | None) -> Path:
    """Return the absolute path of a course folder: `folder`, else the working folder, else `advad-course` in it.

    Raises
    ------
    CourseError
        There are no lessons in it.
    """
    places = [expanded(folder)] if folder is not None else [Path.cwd(), HOME]
    for place in places:
        if any((place / LESSONS).glob("[0-9][0-9]*_*.ipynb")):
            return place.resolve()
    names = " or ".join(map(str, places))
    raise CourseError(
        f"no {LESSONS} in {names}. `advad lab` makes a folder with them; name it where it lies elsewhere."
    )


def open_course(folder: str | Path | None) -> tuple[Path, list[str]]:
    """Make a course folder, or bring one up to date without touching a student's work.

    Parameters
    ----------
    folder : path, optional
        By default the working folder where it is a course folder, else `advad-course` in it.

    Returns
    -------
    course : Path
        Its absolute path.
    outdated : list of str
        Names of files that a student has changed, and of which this version of advad has another one.

    Raises
    ------
    CourseError
        A file is where the folder should be.
    """
    try:
        course = find_course(folder)
    except CourseError:
        course = expanded(folder or HOME).resolve()
    places = (course, course / LESSONS, course / RUNS)
    if in_the_way := [place for place in places if place.exists() and not place.is_dir()]:
        raise CourseError(f"{in_the_way[0]} must be a folder; it is a file. Name another folder.")
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    record = course / LESSONS / COPIED
    copied = _read_json(record) or {}
    shipped = lessons()[0].parent
    outdated, entries = [], course_map()
    for source in sorted(path for path in shipped.rglob("*") if _is_for_students(path.relative_to(shipped))):
        name = source.relative_to(shipped).as_posix()
        if not _copy(_content(source, entries), course / LESSONS / name, copied, name):
            outdated.append(name)
    write_json(record, copied)
    _write_welcome(course)
    return course, outdated


def _is_for_students(path: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in path.parts)
    return not hidden and path.suffix in (".ipynb", ".png", ".jpg", ".svg")


def _copy(content: bytes, target: Path, copied: dict[str, str], name: str) -> bool:
    """Write a file unless somebody has changed it; return whether the student has this very version, or did have it.

    Parameters
    ----------
    content : bytes
    target : Path
    copied : dict of str to str
        The hashes of what was copied before; renewed.
    name : str
        Key of the file in it.
    """
    new = hashlib.sha256(content).hexdigest()
    before = copied.get(name)
    is_untouched = not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() in (before, new)
    if is_untouched:
        if not target.exists() or target.read_bytes() != content:  # JupyterLab asks about files that it sees changed
            _write(target, content)
        copied[name] = new
    return is_untouched or before == new


def _write(target: Path, content: bytes) -> None:
    with replacing(target) as temporary:
        temporary.write_bytes(content)


def _content(source: Path, entries: Sequence[Entry]) -> bytes:
    """Return what a file of the lessons is in a course folder: a lesson gets links to its neighbours."""
    if source.suffix != ".ipynb" or source.stem not in [entry.name for entry in entries]:
        return source.read_bytes()
    return _bytes(with_links(read_notebook(source), source.stem, entries))


def with_links(notebook: NotebookNode, name: str, entries: Sequence[Entry]) -> NotebookNode:
    """Add links to the map, the previous and the next lesson at the top and at the end, in place; return it."""
    place = [entry.name for entry in entries].index(name)
    parts = ["[map of the course](../welcome.ipynb)"]
    if place > 0:
        parts.insert(0, f"← [{_short(entries[place - 1])}]({entries[place - 1].name}.ipynb)")
    if place < len(entries) - 1:
        parts.append(f"[{_short(entries[place + 1])}]({entries[place + 1].name}.ipynb) →")
    text = " · ".join(parts)
    cells = [nbformat.v4.new_markdown_cell(text, id=f"links-{end}") for end in ("top", "end")]
    notebook.cells = [cells[0], *notebook.cells, cells[1]]
    return notebook


def _short(entry: Entry) -> str:
    return f"{entry.number} {entry.title}"


def _bytes(notebook: NotebookNode) -> bytes:
    return nbformat.writes(notebook).encode() + b"\n"


def _read_json(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file holds; None where it is missing, damaged or no dictionary."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


# ---------------------------------------------------------------- the map


def welcome(course: Path) -> NotebookNode:
    """Return the welcome page: what to do, and the map with the progress so far, shown before anything is run."""
    code = nbformat.v4.new_code_cell(
        "from advad.lessons.course import show_map\n\nshow_map()",
        id="map",
        metadata={"jupyter": {"source_hidden": True}},
        outputs=[nbformat.v4.new_output("display_data", {"text/markdown": map_of(course)})],
    )
    cells = [nbformat.v4.new_markdown_cell(TEXT, id="welcome"), code]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _write_welcome(course: Path) -> None:
    """Write the welcome page; of one that is there, renew the map and nothing else."""
    path, fresh = course / WELCOME, welcome(course)
    if path.exists():
        try:
            page = read_notebook(path)
        except ParameterError:  # no notebook, so a student's own
            return
        for cell in page.cells:
            if cell.get("id") == "map" and cell.cell_type == "code":
                cell.outputs = fresh.cells[-1].outputs
        fresh = page
    _write(path, _bytes(fresh))


def show_map() -> Markdown:
    """Return the map for the notebook `welcome.ipynb`, whose kernel works in the course folder."""
    from IPython.display import Markdown

    return Markdown(map_of(Path.cwd()))


def map_of(course: Path) -> str:
    """Return the map of the course as a Markdown table: question, minutes, level, prerequisites and progress."""
    lines = ["| lesson | question | minutes | level | after | you should know | your progress |", "|---" * 7 + "|"]
    entries = course_map()
    for entry in entries:
        link = f"[{_short(entry)}]({LESSONS}/{entry.name}.ipynb)"
        cells = (link, entry.question, str(entry.minutes), entry.level, ", ".join(entry.needs) or "–", entry.ideas)
        lines.append("| " + " | ".join([*cells, progress(course, entry.name)]) + " |")
    total, computing = (sum(getattr(entry, name) for entry in entries) for name in ("minutes", "computes"))
    lines.append(
        f"\n{total // 60} h {total % 60} min of reading and playing in all; the lessons compute for "
        f"{computing / 60:.0f} min on a recent laptop, and longer on an old one."
    )
    return "\n".join(lines)


def progress(course: Path, lesson: str) -> str:
    """Return what a student has done in a lesson, in a few words, from what it recorded."""
    try:
        results = results_of(course, lesson)
    except CourseError:
        return "its results are damaged"
    if not results:
        return "not finished"
    states = list(results.get("checks", {}).values())
    predictions = [each for each in results.get("predictions", []) if each.get("chosen") is not None]
    hits = sum(each["chosen"] == each.get("truth") for each in predictions)
    words = [f"{states.count('right')} of {len(states)} exercises right"] if states else ["finished"]
    words += [f"{hits} of {len(predictions)} predicted right"] if predictions else []
    mark = "✓ " if states and all(state == "right" for state in states) else ""
    return mark + ", ".join(words)


def committed_in(course: Path, lesson: str) -> dict[str, Any]:
    """Return the parameters and predictions of a lesson that has recorded nothing yet; empty where there are none."""
    return _read_json(course / RUNS / lesson / COMMITTED) or {}


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
    content = _read_json(path)
    if content is None:
        raise CourseError(f"{path} is damaged. Delete it, and run the last cell of {lesson} again.")
    return content
