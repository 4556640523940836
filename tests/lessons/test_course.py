"""A course folder: the lessons are copied, a student's work is never written over, and the map tells the progress."""

import json
import re

import nbformat
import pytest

from advad.lessons import catalogue
from advad.lessons.catalogue import lessons
from advad.lessons.course import CourseError, course_map, find_course, map_of, open_course, progress, with_links
from advad.lessons.hand_in import digest_of
from tests import ROOT


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Return a folder with three lessons, an image and a map."""
    folder = tmp_path / "shipped"
    (folder / "images").mkdir(parents=True)
    for name in ("00_first", "01_second", "02_third"):
        write(folder / f"{name}.ipynb", name, "1 + 1")
    (folder / "images" / "one.png").write_bytes(b"png")
    (folder / ".ruff.toml").write_text("")
    (folder / "course.toml").write_text('[01_second]\nlevel = "core"\nneeds = ["00"]\nideas = "sums"\n')
    monkeypatch.setattr(catalogue, "lesson_folders", lambda: [folder])
    monkeypatch.chdir(tmp_path)
    return folder


def write(path, name, code):
    number, word = name.split("_")
    text = f"# {number} · The {word}\n\n**Is this the {word}?**\n\n*About 15 minutes of reading.*"
    cells = [nbformat.v4.new_markdown_cell(text, id="title"), nbformat.v4.new_code_cell(code, id="code")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_lessons_are_copied_with_their_images_and_a_map(shipped):
    course, outdated = open_course("mine")
    assert outdated == []
    files = ["lessons/.copied.json", *(f"lessons/{name}.ipynb" for name in ("00_first", "01_second", "02_third"))]
    assert tree(course) == [*files, "lessons/images/one.png", "welcome.ipynb"]
    assert (course / "runs").is_dir()


def test_a_copy_links_to_its_neighbours_and_is_else_the_lesson(shipped):
    course, _ = open_course("mine")
    copy = nbformat.read(course / "lessons" / "01_second.ipynb", as_version=4)
    links = (
        "← [00 The first](00_first.ipynb) · [map of the course](../welcome.ipynb) · [02 The third](02_third.ipynb) →"
    )
    assert copy.cells[0].source == copy.cells[-1].source == links
    original = nbformat.read(shipped / "01_second.ipynb", as_version=4)
    assert copy.cells[1:-1] == original.cells
    assert digest_of(copy) == digest_of(original)
    for name, absent in (("00_first", "←"), ("02_third", "→")):
        assert absent not in nbformat.read(course / "lessons" / f"{name}.ipynb", as_version=4).cells[0].source


def test_the_links_lead_to_files_that_are_there(shipped):
    course, _ = open_course("mine")
    for path in [course / "welcome.ipynb", *(course / "lessons").glob("*.ipynb")]:
        links = re.findall(r"\]\(([^)]+\.ipynb)\)", path.read_text())
        assert links
        for link in links:
            if link != "lessons/00_start.ipynb":  # the real course begins there; the test below holds it
                assert (path.parent / link).is_file(), f"{path}: {link}"


def test_a_students_work_is_never_written_over(shipped):
    course, _ = open_course("mine")
    own = course / "lessons" / "00_first.ipynb"
    own.write_text(own.read_text().replace("1 + 1", "my own work"))
    (course / "lessons" / "notes.ipynb").write_text("notes")
    assert open_course("mine") == (course, [])
    assert "my own work" in own.read_text()
    for name in ("00_first", "01_second"):  # an update of advad
        write(shipped / f"{name}.ipynb", name, "2 + 2")
    assert open_course("mine") == (course, ["00_first.ipynb"])
    assert "my own work" in own.read_text()
    assert "2 + 2" in (course / "lessons" / "01_second.ipynb").read_text()
    assert (course / "lessons" / "notes.ipynb").read_text() == "notes"
    own.rename(own.with_name("my_first.ipynb"))
    assert open_course("mine") == (course, [])
    assert "2 + 2" in own.read_text()


def test_a_folder_whose_record_is_lost_is_left_as_it_is(shipped):
    course, _ = open_course("mine")
    (course / "lessons" / ".copied.json").write_text("{")
    own = course / "lessons" / "00_first.ipynb"
    own.write_text(own.read_text().replace("1 + 1", "my own work"))
    assert open_course("mine") == (course, ["00_first.ipynb"])
    assert "my own work" in own.read_text()


def test_what_is_unchanged_is_not_touched(shipped):
    course, _ = open_course("mine")
    times = {path: path.stat().st_mtime_ns for path in (course / "lessons").glob("*.ipynb")}
    open_course("mine")
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_folder_is_found_from_inside_and_beside_it(shipped, monkeypatch):
    course, _ = open_course(None)
    assert course.name == "advad-course"
    assert find_course(None) == course
    monkeypatch.chdir(course)
    assert find_course(None) == course
    assert open_course(None)[0] == course
    with pytest.raises(CourseError, match="no lessons in elsewhere"):
        find_course("elsewhere")


def results(course, **content):
    folder = course / "runs" / "01_second"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content))


def test_the_map_tells_ones_own_progress(shipped):
    course, _ = open_course("mine")
    line = "| [01 The second](lessons/01_second.ipynb) | Is this the second? | 15 | core | 00 | sums | {} |"
    assert line.format("not finished") in map_of(course)
    asked = [{"chosen": "a", "truth": "a"}, {"chosen": "b", "truth": "a"}, {"chosen": None, "truth": "a"}]
    results(course, checks={"one": "right", "two": "wrong"}, predictions=asked)
    assert line.format("1 of 2 exercises right, 1 of 2 predicted right") in map_of(course)
    results(course, checks={"one": "right", "two": "right"}, predictions=[])
    assert progress(course, "01_second") == "✓ 2 of 2 exercises right"
    (course / "runs" / "01_second" / "results.json").write_text("{")
    assert progress(course, "01_second") == "its results are damaged"
    assert "0 h 45 min" in map_of(course)


def test_the_welcome_page_shows_the_map_before_anything_runs_and_renews_it(shipped):
    course, _ = open_course("mine")
    path = course / "welcome.ipynb"
    page = nbformat.read(path, as_version=4)
    page.cells.append(nbformat.v4.new_markdown_cell("my own note"))
    nbformat.write(page, path)
    results(course, checks={"one": "right"})
    open_course("mine")
    page = nbformat.read(path, as_version=4)
    assert page.cells[1].outputs[0]["data"]["text/markdown"] == map_of(course)
    assert "✓ 1 of 1 exercises right" in map_of(course)
    assert page.cells[-1].source == "my own note"
    path.write_text("a text of my own")
    open_course("mine")
    assert path.read_text() == "a text of my own"


def test_every_lesson_of_the_course_is_on_the_map():
    entries = {entry.number: entry for entry in course_map()}
    assert [entry.name for entry in entries.values()] == [path.stem for path in lessons()]
    assert "00_start" in [entry.name for entry in entries.values()]
    for entry in entries.values():
        assert entry.question.endswith("?")
        assert 10 <= entry.minutes <= 60
        assert entry.level in ("first steps", "core", "advanced")
        assert all(number in entries and number < entry.number for number in entry.needs)
        assert entry.ideas
        assert entry.computes > 0


def test_the_readme_shows_the_same_map():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for entry in course_map():
        cells = (entry.question, str(entry.minutes), entry.level, ", ".join(entry.needs) or "–")
        assert f"| [{entry.number} {entry.title}](notebooks/{entry.name}.ipynb) | {' | '.join(cells)} |" in readme


def test_links_are_added_to_every_lesson():
    entries = course_map()
    for path in lessons():
        notebook = with_links(nbformat.read(path, as_version=4), path.stem, entries)
        nbformat.validate(notebook)
