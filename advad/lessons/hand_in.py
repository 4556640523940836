"""A hand-in: one zip file with what a student answered, predicted and found; made by the student, read by the class.

The zip holds one file, `hand-in.json`, of the form that `check_form` describes. It is written from a course folder,
and everything that goes into it is in `CONTENTS` or `PER_LESSON`: what is not said there is not saved. Reading
refuses whatever has another form, in one line; nothing in a hand-in is ever executed or unpacked while it is read.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

import advad
from advad.files import expanded, replacing
from advad.lessons.catalogue import lessons
from advad.lessons.course import LESSONS, CourseError, committed_in, results_of
from advad.lessons.outcome import HandInError
from advad.lessons.parameters import read_notebook, read_parameters

ENTRY = "hand-in.json"  # the one file in the zip
FORM = 1  # version of the form
CONTENTS = {  # key -> what it is, as the student is told
    "form": "the version of this form",
    "name": "your name, as you typed it",
    "made": "the time of the hand-in",
    "advad": "the version of advad",
    "lessons": "for each lesson that you worked on:",
}
PER_LESSON = {
    "lesson": "its name",
    "digest": "which version of it you have",
    "changed_cells": "which of its other cells you changed",
    "answers": "your answers: the exercise cells, as you left them",
    "predictions": "your predictions, with the time of each",
    "checks": "which exercises were right",
    "finding": "what the lesson found",
    "findings": "the finding of each figure",
    "metrics": "its results",
    "parameters": "its parameters, except free text",
    "seconds": "how long it computed",
    "device": "on which kind of device",
    "versions": "the versions of Python and of the packages",
}
NOT_SAVED = "No other file, no folder's name, no user's or computer's name is saved."
MAX_ZIP, MAX_CONTENT, MAX_TEXT, MAX_NAME = 2 * 2**20, 4 * 2**20, 20_000, 80  # bytes, bytes, letters, letters
STATES = ("right", "wrong", "not attempted")
CHANGED = {"exercise", "parameters", "injected-parameters"}  # tags of cells that differ from student to student


@dataclass(frozen=True)
class HandIn:
    """A hand-in that was read: its file, a hash of its bytes, and its content, of the form that `check_form` checks."""

    path: Path
    digest: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """The student's name."""
        return self.content["name"]

    @property
    def lessons(self) -> dict[str, dict[str, Any]]:
        """What was handed in of each lesson, by its name."""
        return {lesson["lesson"]: lesson for lesson in self.content["lessons"]}


# ---------------------------------------------------------------- writing


def collect(course: Path, name: str) -> dict[str, Any]:
    """Return the content of a hand-in: what a student did in a course folder.

    Parameters
    ----------
    course : Path
        A course folder.
    name : str
        The student's: letters, digits, spaces, and . , ' ’ - ( ).

    Raises
    ------
    HandInError
        A name that is none; nothing was done; something does not fit into a hand-in.
    CourseError
        A damaged file in the course folder.
    """
    entries = [entry for shipped in lessons() if (entry := _lesson(course, shipped))]
    if not entries:
        raise HandInError(f"hand-in: nothing was done in {course} so far: no lesson has recorded or been answered.")
    made = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"form": FORM, "name": name.strip(), "made": made, "advad": advad.__version__, "lessons": entries}
    check_form(content)
    return content


def write(content: Mapping[str, Any], path: str | Path) -> Path:
    """Write a hand-in as a zip file, all or nothing; return its path."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    path = expanded(path)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(ENTRY), text.encode(), zipfile.ZIP_DEFLATED)
    if path.stat().st_size > MAX_ZIP:
        path.unlink()
        raise HandInError(f"hand-in: it must be at most {MAX_ZIP // 2**20} MB. Shorten your answers.")
    return path


def file_name(name: str) -> str:
    """Return the name of a student's zip file.

    Examples
    --------
    >>> file_name("Émilie du Châtelet")
    'hand-in-Emilie-du-Chatelet.zip'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return f"hand-in-{'-'.join(re.findall(r'[A-Za-z0-9]+', plain)) or 'student'}.zip"


def contents_text(content: Mapping[str, Any]) -> str:
    """Return what a hand-in holds, as it is said to the student before it is written."""
    lines = [f"  {text}" for text in CONTENTS.values()]
    lines += [f"    {text}" for text in PER_LESSON.values()]
    counts = []
    for lesson in content["lessons"]:
        right = sum(state == "right" for state in lesson["checks"].values())
        committed = sum(prediction["chosen"] is not None for prediction in lesson["predictions"])
        counts.append(f"  {lesson['lesson']}: {right} of {len(lesson['checks'])} checks right, {committed} predicted")
    return "\n".join([f"Hand-in of {content['name']}:", *counts, "It holds", *lines, NOT_SAVED])


def _lesson(course: Path, shipped: Path) -> dict[str, Any]:
    """Return what a student did in one lesson; empty where nothing."""
    lesson, original = shipped.stem, read_notebook(shipped)
    copy = course / LESSONS / shipped.name
    results = results_of(course, lesson) or committed_in(course, lesson)
    notebook = _read_copy(copy) if copy.is_file() else original
    answers = answers_of(notebook)
    if not results and answers == answers_of(original):
        return {}
    sources = {cell.id: cell.source for cell in notebook.cells}
    changed = [id for id, source in _fixed_cells(original).items() if sources.get(id) != source]
    return {
        "lesson": lesson,
        "digest": digest_of(original),
        "changed_cells": changed,
        "answers": answers,
        "predictions": results.get("predictions", []),
        "checks": results.get("checks", {}),
        "finding": results.get("finding", ""),
        "findings": results.get("findings", []),
        "metrics": results.get("metrics", {}),
        "parameters": _without_free_text(shipped, results.get("parameters", {})),
        "seconds": results.get("seconds", 0.0),
        "device": results.get("device", ""),
        "versions": results.get("versions", {}),
    }


def _read_copy(path: Path) -> NotebookNode:
    try:
        return read_notebook(path)
    except ValueError as error:
        raise CourseError(f"hand-in: {path} is damaged ({error})") from None


def _without_free_text(shipped: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without texts that can be anything: they may name folders."""
    declared = read_parameters(shipped)
    is_free = {name: rule.type is str and not rule.choices for name, rule in declared.items()}
    return {name: value for name, value in parameters.items() if not is_free.get(name, True)}


def answers_of(notebook: NotebookNode) -> dict[str, str]:
    """Return the sources of a notebook's exercises, by the ids of their cells."""
    return {cell.id: cell.source for cell in notebook.cells if "exercise" in _tags(cell)}


def with_answers(notebook: NotebookNode, answers: Mapping[str, str]) -> NotebookNode:
    """Put answers into a notebook's exercises, in place; return it. Ids that are no exercise's are left out."""
    for cell in notebook.cells:
        if "exercise" in _tags(cell) and cell.id in answers:
            cell.source = answers[cell.id]
    return notebook


def digest_of(notebook: NotebookNode) -> str:
    """Return a hash that identifies a lesson: its code but for parameters and exercises, which are a student's."""
    return hashlib.sha256(json.dumps(_fixed_cells(notebook)).encode()).hexdigest()[:16]


def _fixed_cells(notebook: NotebookNode) -> dict[str, str]:
    """Return the sources of the code cells that are not a student's to change, by their ids."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return {cell.id: cell.source for cell in cells if not CHANGED & set(_tags(cell))}


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


# ---------------------------------------------------------------- reading


def read(path: str | Path) -> HandIn:
    """Read a hand-in; whatever is not of its form is refused. Nothing of it is unpacked or executed.

    Raises
    ------
    HandInError
        Why it is refused, in one line.
    """
    path = expanded(path)
    try:
        content = _content(path)
        document = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
        check_form(document)
    except HandInError:
        raise
    except (ValueError, RecursionError) as error:
        raise HandInError(f"{ENTRY} is no JSON of a hand-in ({_line(error)})") from None
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, RuntimeError) as error:
        raise HandInError(f"it is damaged or no zip file ({_line(error)})") from None
    return HandIn(path, hashlib.sha256(content).hexdigest(), document)


def _content(path: Path) -> bytes:
    """Return the bytes of the one file in the zip, and no more than may be there."""
    if path.is_symlink() or not path.is_file():
        raise HandInError("it is no file")
    if (size := path.stat().st_size) > MAX_ZIP:
        raise HandInError(f"it is larger than {MAX_ZIP // 2**20} MB ({size:,} bytes)")
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if [entry.filename for entry in entries] != [ENTRY]:
            names = ", ".join(ascii(entry.filename[:40]) for entry in entries[:3]) or "nothing"
            raise HandInError(f"it must hold {ENTRY} alone; it holds {names}")
        entry = entries[0]
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise HandInError(f"{ENTRY} is encrypted, or compressed in another way than advad does it")
        if entry.file_size > MAX_CONTENT:
            raise HandInError(f"{ENTRY} is larger than {MAX_CONTENT // 2**20} MB ({entry.file_size:,} bytes)")
        try:
            with archive.open(entry) as stream:
                content = stream.read(MAX_CONTENT + 1)  # whatever the header says
        except zlib.error as error:
            raise zipfile.BadZipFile(str(error)) from None
    if len(content) > MAX_CONTENT:
        raise HandInError(f"{ENTRY} is larger than {MAX_CONTENT // 2**20} MB")
    return content


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _line(error: BaseException) -> str:
    return " ".join(ascii(str(error)).strip("'\"").split())[:100] or type(error).__name__


# ---------------------------------------------------------------- the form


def check_form(content: Any) -> None:
    """Raise HandInError where something is not as a hand-in has it: a key, a type, a length, a letter.

    The keys are those of `CONTENTS`, and of `PER_LESSON` in each entry of `lessons`; none may be missing or added.
    """
    _keys(content, CONTENTS, "a hand-in")
    _ensure(content["form"] == FORM, "form", f"be {FORM}: this version of advad reads no other")
    _ensure(is_name(content["name"]), "name", f"be a name of at most {MAX_NAME} letters")
    _time(content["made"], "made")
    _text(content["advad"], "advad", 40)
    _ensure(isinstance(content["lessons"], list) and len(content["lessons"]) <= 100, "lessons", "be a list of lessons")
    for lesson in content["lessons"]:
        _keys(lesson, PER_LESSON, "a lesson")
        _check_lesson(lesson)
    names = [lesson["lesson"] for lesson in content["lessons"]]
    _ensure(len(set(names)) == len(names), "lessons", "name each lesson once")


def is_name(text: Any) -> bool:
    """Return whether a text is a name: it begins with a letter, and has letters, digits, spaces and . , ' ’ - ( ).

    Examples
    --------
    >>> is_name("Jean-Luc O'Neil"), is_name("李小龙"), is_name("<script>"), is_name("../Bob")
    (True, True, False, False)
    """
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_NAME or text != text.strip():
        return False
    allowed = (unicodedata.category(letter)[0] in "LMN" or letter in " .,'’-()" for letter in text)
    return text[0].isalpha() and all(allowed)


def _check_lesson(lesson: Mapping[str, Any]) -> None:
    _ensure(_matches(r"[0-9]{2}[a-z]?_[a-z0-9_]{1,60}", lesson["lesson"]), "lesson", "be a lesson's name")
    owner = lesson["lesson"]
    _ensure(_matches(r"[0-9a-f]{16}", lesson["digest"]), f"{owner}: digest", "be 16 hexadecimal digits")
    _list(lesson["changed_cells"], f"{owner}: changed_cells", _cell)
    _dict(lesson["answers"], f"{owner}: answers", _answer, _cell)
    _list(lesson["predictions"], f"{owner}: predictions", _prediction)
    _dict(lesson["checks"], f"{owner}: checks", lambda value, place: _ensure(value in STATES, place, f"be in {STATES}"))
    _text(lesson["finding"], f"{owner}: finding")
    _list(lesson["findings"], f"{owner}: findings", _text)
    _dict(lesson["metrics"], f"{owner}: metrics", _value)
    _dict(lesson["parameters"], f"{owner}: parameters", _scalar)
    _number(lesson["seconds"], f"{owner}: seconds")
    _text(lesson["device"], f"{owner}: device", 200)
    _dict(lesson["versions"], f"{owner}: versions", _text)


def _prediction(value: Any, place: str) -> None:
    keys = ("question", "options", "chosen", "truth", "committed_at")
    _keys(value, keys, place, optional=("committed_at",))
    _text(value["question"], place)
    _list(value["options"], place, _text)
    for key in ("chosen", "truth"):
        _ensure(value[key] is None or value[key] in value["options"], place, f"have its {key} among the options")
    if value.get("committed_at") is not None:
        _time(value["committed_at"], place)


def _ensure(condition: bool, place: str, rule: str) -> None:
    if not condition:
        raise HandInError(f"{ascii(place)[1:-1]} must {rule}")


def _keys(value: Any, keys: Sequence[str] | Mapping[str, str], place: str, optional: Sequence[str] = ()) -> None:
    fits = isinstance(value, dict) and set(keys) - set(optional) <= set(value) <= set(keys)
    _ensure(fits, place, f"have the keys {', '.join(keys)}, and no other")


def _matches(pattern: str, value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _text(value: Any, place: str, length: int = 2000) -> None:
    fits = isinstance(value, str) and len(value) <= length and value.isprintable()
    _ensure(fits, place, f"be printable text of at most {length:,} letters, in one line")


def _answer(value: Any, place: str) -> None:
    fits = isinstance(value, str) and len(value) <= MAX_TEXT and value.replace("\n", "").replace("\t", "").isprintable()
    _ensure(fits, place, f"be printable text of at most {MAX_TEXT:,} letters")


def _cell(value: Any, place: str) -> None:
    _ensure(_matches(r"[A-Za-z0-9_-]{1,64}", value), place, "be ids of cells")


def _time(value: Any, place: str) -> None:
    _ensure(_matches(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}\+00:00", value), place, "be a time in UTC")


def _number(value: Any, place: str) -> None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    _ensure(fits and abs(value) < 1e15, place, "be a number of a usual size")  # a comparison with nan is False


def _scalar(value: Any, place: str) -> None:
    if isinstance(value, str):
        _text(value, place)
    elif value is not None and not isinstance(value, bool):
        _number(value, place)


def _value(value: Any, place: str) -> None:
    """Check a result: numbers and texts, in lists and dictionaries."""
    if isinstance(value, list):
        _list(value, place, _value)
    elif isinstance(value, dict):
        _dict(value, place, _value)
    else:
        _scalar(value, place)


def _list(value: Any, place: str, check: Callable[[Any, str], None]) -> None:
    _ensure(isinstance(value, list), place, "be a list")
    for item in value:
        check(item, place)


def _dict(
    value: Any, place: str, check: Callable[[Any, str], None], check_key: Callable[[Any, str], None] = _text
) -> None:
    _ensure(isinstance(value, dict), place, "be a dictionary")
    for key, item in value.items():
        check_key(key, place)
        check(item, place)


def write_answered(shipped: Path, answers: Mapping[str, str], path: Path) -> Path:
    """Write a lesson with a student's answers in its exercises; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(with_answers(read_notebook(shipped), answers), path)
    return path
