"""Hand-ins: what a zip holds, what is refused, and what a class of them gives."""

import copy
import json
import random
import socket
import stat
import zipfile
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from advad.cli.main import main
from advad.lessons import catalogue, class_table, hand_in
from advad.lessons.outcome import HandInError

PARAMETERS = """\
profile: str = "lab"  # {smoke, lab}
seed: int = 0  # [0, 100]
device: str = "cpu"  # {auto, cpu}
mode: str = "student"  # {student, solution}
folder: str = ""  # your own
output_dir: str = "../runs/00_tiny"\
"""
START = "from advad.lessons import lesson\n" + (
    'lesson.start("00_tiny", parameters={"profile": profile, "seed": seed, "mode": mode, "device": device,\n'
    '    "folder": folder}, output_dir=output_dir)'
)
CHECK = 'lesson.check("twice", doubled, 6 + 2 * seed, hint="Double it.")'
RECORD = 'lesson.record("Twice three is six.", value=6.0 + seed / 10, auroc=[0.9, 0.8, 0.95], words="none")'


@pytest.fixture
def lessons(tmp_path, monkeypatch):
    """Return the notebook of the only lesson there is: one prediction, one exercise."""
    cells = [
        nbformat.v4.new_markdown_cell("# 00 · Tiny", id="title"),
        nbformat.v4.new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(START, id="start"),
        nbformat.v4.new_code_cell('guess = lesson.predict("Up?", ["yes", "no"])', id="predict"),
        nbformat.v4.new_code_cell("doubled = ...", id="exercise-1", metadata={"tags": ["exercise"]}),
        nbformat.v4.new_code_cell(CHECK, id="check-1"),
        nbformat.v4.new_code_cell('lesson.reveal(guess, "yes")', id="reveal"),
        nbformat.v4.new_code_cell(RECORD, id="record"),
    ]
    folder = tmp_path / "shipped"
    folder.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "00_tiny.ipynb")
    monkeypatch.setattr(catalogue, "lesson_folders", lambda: [folder])
    return folder / "00_tiny.ipynb"


def worked(shipped, course, answer="doubled = 2 * 3", seed=0, **changes):
    """Make a course folder in which a student has worked."""
    notebook = nbformat.read(shipped, as_version=4)
    for cell in notebook.cells:
        cell.source = answer if cell.id == "exercise-1" else cell.source
    (course / "lessons").mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, course / "lessons" / shipped.name)
    results = {
        "lesson": "00_tiny",
        "finding": "Twice three is six.",
        "parameters": {"profile": "lab", "seed": seed, "mode": "student", "device": "cpu", "folder": str(Path.home())},
        "metrics": {"value": 6.0 + seed / 10, "auroc": [0.9, 0.8, 0.95], "words": "none"},
        "findings": ["Six."],
        "checks": {"twice": "right"},
        "predictions": [
            {
                "question": "Up?",
                "options": ["yes", "no"],
                "chosen": ["yes", "no"][seed % 2],
                "truth": "yes",
                "committed_at": f"2026-01-01T10:00:{seed:02d}+00:00",
            }
        ],
        "seconds": 1.5,
        "device": "cpu",
        "versions": {"python": "3.12"},
    } | changes
    (course / "runs" / "00_tiny").mkdir(parents=True, exist_ok=True)
    (course / "runs" / "00_tiny" / "results.json").write_text(json.dumps(results))
    return course


@pytest.fixture
def content(lessons, tmp_path):
    return hand_in.collect(worked(lessons, tmp_path / "course"), "Ada Lovelace")


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


# --- making one -------------------------------------------------------------------------------------------------------


def test_a_hand_in_holds_answers_predictions_checks_and_the_lessons_identity(content, lessons):
    (lesson,) = content["lessons"]
    assert lesson["answers"] == {"exercise-1": "doubled = 2 * 3"}
    assert lesson["predictions"][0]["committed_at"] == "2026-01-01T10:00:00+00:00"
    assert lesson["checks"] == {"twice": "right"}
    assert lesson["digest"] == hand_in.digest_of(nbformat.read(lessons, as_version=4))
    assert lesson["changed_cells"] == []


def test_a_prediction_of_a_lesson_that_recorded_nothing_is_handed_in(lessons, tmp_path):
    folder = worked(lessons, tmp_path / "course") / "runs" / "00_tiny"
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").unlink()
    early = {key: results[key] for key in ("parameters", "predictions")}
    (folder / "predictions.json").write_text(json.dumps(early))
    (lesson,) = hand_in.collect(tmp_path / "course", "Ada")["lessons"]
    assert lesson["predictions"] == results["predictions"]
    assert lesson["finding"] == ""
    (folder / "predictions.json").write_text("{")
    (lesson,) = hand_in.collect(tmp_path / "course", "Ada")["lessons"]
    assert lesson["predictions"] == []


def test_all_that_is_saved_is_said_and_nothing_else(content, tmp_path, monkeypatch):
    told = hand_in.contents_text(content)
    for keys, part in ((hand_in.CONTENTS, content), (hand_in.PER_LESSON, content["lessons"][0])):
        assert set(part) == set(keys)
        assert all(text in told for text in keys.values())
    saved = json.dumps(content)
    assert str(tmp_path) not in saved
    assert str(Path.home()) not in saved  # it was in a parameter of free text
    assert socket.gethostname() not in saved
    assert set(content["lessons"][0]["parameters"]) == {"profile", "seed", "mode", "device"}


def test_what_is_written_is_read_again(content, tmp_path):
    path = hand_in.write(content, tmp_path / "a.zip")
    assert zipfile.ZipFile(path).namelist() == ["hand-in.json"]
    assert hand_in.read(path).content == content


def test_equal_content_gives_equal_bytes(content, tmp_path):
    paths = [hand_in.write(content, tmp_path / name) for name in ("a.zip", "b.zip")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_changed_cells_are_told(lessons, tmp_path):
    course = worked(lessons, tmp_path / "course")
    path = course / "lessons" / lessons.name
    path.write_text(path.read_text().replace("6 + 2 * seed", "doubled"))
    (lesson,) = hand_in.collect(course, "Bo")["lessons"]
    assert lesson["changed_cells"] == ["check-1"]


def test_a_lesson_that_was_not_touched_is_left_out(lessons, tmp_path):
    course = tmp_path / "course"
    (course / "lessons").mkdir(parents=True)
    with pytest.raises(HandInError, match="nothing was done in .*course so far"):
        hand_in.collect(course, "Ada")
    (course / "lessons" / lessons.name).write_bytes(lessons.read_bytes())
    with pytest.raises(HandInError, match="nothing was done"):
        hand_in.collect(course, "Ada")


def test_an_answer_counts_before_anything_is_recorded(lessons, tmp_path):
    course = worked(lessons, tmp_path / "course")
    (course / "runs" / "00_tiny" / "results.json").unlink()
    (lesson,) = hand_in.collect(course, "Ada")["lessons"]
    assert (lesson["answers"], lesson["checks"]) == ({"exercise-1": "doubled = 2 * 3"}, {})


def test_the_command_lists_what_it_saves(lessons, tmp_path, monkeypatch):
    course = worked(lessons, tmp_path / "course")
    monkeypatch.chdir(course)
    result = call("hand-in", "--name", "Ada Lovelace")
    assert result.exit_code == 0
    assert "Hand-in of Ada Lovelace:\n  00_tiny: 1 of 1 checks right, 1 predicted" in result.output
    assert hand_in.NOT_SAVED in result.output
    assert hand_in.read(course / "hand-in-Ada-Lovelace.zip").name == "Ada Lovelace"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--name", "<b>Ada</b>"], 2, "advad: name must be a name of at most 80 letters"),
        (["elsewhere", "--name", "Ada"], 1, "advad: no lessons in elsewhere. `advad lab` makes a folder"),
    ],
)
def test_a_hand_in_that_cannot_be_made_is_one_line(lessons, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(worked(lessons, tmp_path / "course"))
    result = call("hand-in", *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1)
    assert result.stderr.startswith(message)


def test_damaged_results_are_named(lessons, tmp_path):
    course = worked(lessons, tmp_path / "course")
    (course / "runs" / "00_tiny" / "results.json").write_text("{")
    result = call("hand-in", course, "--name", "Ada")
    assert result.exit_code == 1
    assert "results.json is damaged. Delete it, and run the last cell of 00_tiny again" in result.stderr


# --- refusing ---------------------------------------------------------------------------------------------------------


def archive(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in entries.items():
            file.writestr(name, text)
    return path


def changed(content, *path, value):
    """Return the text of a hand-in in which one value is another."""
    copied = copy.deepcopy(content)
    place = copied
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(copied)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["form"], 2, "form must be 1"),
        (["name"], "<script>alert(1)</script>", "name must be a name"),
        (["name"], "../../etc/passwd", "name must be a name"),
        (["name"], "Ada\x1b[2J", "name must be a name"),
        (["name"], "A" * 81, "name must be a name"),
        (["made"], "yesterday", "made must be a time"),
        (["extra"], 1, "a hand-in must have the keys form, name"),
        (["lessons"], {}, "lessons must be a list"),
        (["lessons", 0, "lesson"], "../00_tiny", "lesson must be a lesson's name"),
        (["lessons", 0, "lesson"], "00_" + "a" * 100, "lesson must be a lesson's name"),
        (["lessons", 0, "digest"], "0", "00_tiny: digest must be 16"),
        (["lessons", 0, "answers"], {"../x": "1"}, "00_tiny: answers must be ids of cells"),
        (["lessons", 0, "answers"], {"a": "x" * 20_001}, "00_tiny: answers must be printable text of at most 20,000"),
        (["lessons", 0, "answers"], {"a": "\x1b[31m"}, "00_tiny: answers must be printable"),
        (["lessons", 0, "checks"], {"twice": "perfect"}, "00_tiny: checks must be in"),
        (["lessons", 0, "checks"], {"twice\n": "right"}, "00_tiny: checks must be printable"),
        (["lessons", 0, "metrics"], {"value": 1e300}, "00_tiny: metrics must be a number"),
        (["lessons", 0, "metrics"], {"value": float("nan")}, "NaN is no number"),
        (["lessons", 0, "predictions", 0, "chosen"], "maybe", "must have its chosen among the options"),
        (["lessons", 0, "predictions", 0, "committed_at"], "now", "must be a time"),
        (["lessons", 0, "parameters"], {"seed": [1]}, "00_tiny: parameters must be a number"),
        (["lessons", 0, "seconds"], True, "00_tiny: seconds must be a number"),
    ],
)
def test_another_form_is_refused(content, tmp_path, path, value, message):
    file = archive(tmp_path / "a.zip", {"hand-in.json": changed(content, *path, value=value)})
    with pytest.raises(HandInError, match=message) as caught:
        hand_in.read(file)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "must hold hand-in.json alone; it holds nothing"),
        ({"../../hand-in.json": "{}"}, r"it holds '\.\./\.\./hand-in\.json'"),
        ({"/etc/hand-in.json": "{}"}, "it holds '/etc/hand-in.json'"),
        ({"hand-in.json": "{}", "run.py": "import os"}, "it holds 'hand-in.json', 'run.py'"),
        ({"<script>.json": "{}"}, "it holds '<script>.json'"),
        ({"hand-in.json": "{"}, "is no JSON of a hand-in"),
        ({"hand-in.json": "[" * 100_000}, "is no JSON of a hand-in"),
        ({"hand-in.json": b"\xff\xfe"}, "is no JSON of a hand-in"),
        ({"hand-in.json": "9" * 10_000}, "is no JSON of a hand-in"),
        ({"hand-in.json": " " * (hand_in.MAX_CONTENT + 1)}, "is larger than 4 MB"),
    ],
)
def test_another_zip_is_refused_and_nothing_is_unpacked(tmp_path, entries, message):
    (tmp_path / "inside").mkdir()
    file = archive(tmp_path / "inside" / "a.zip", entries)
    with pytest.raises(HandInError, match=message):
        hand_in.read(file)
    assert list(tmp_path.rglob("*")) == [tmp_path / "inside", file]


def test_a_bomb_whose_header_lies_is_refused(tmp_path):
    file = archive(tmp_path / "a.zip", {"hand-in.json": "0" * (50 * 2**20)})
    data = file.read_bytes()
    size = (50 * 2**20).to_bytes(4, "little")
    assert data.count(size) >= 2
    file.write_bytes(data.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(HandInError):
        hand_in.read(file)


def test_a_large_file_and_a_link_are_refused(content, tmp_path):
    large = tmp_path / "large.zip"
    large.write_bytes(b"PK" + bytes(hand_in.MAX_ZIP))
    with pytest.raises(HandInError, match="it is larger than 2 MB"):
        hand_in.read(large)
    hand_in.write(content, tmp_path / "real")
    (tmp_path / "link.zip").symlink_to(tmp_path / "real")
    with pytest.raises(HandInError, match="it is no file"):
        hand_in.read(tmp_path / "link.zip")


def test_any_damage_is_told_in_one_line(content, tmp_path):
    """Bytes changed at random: a hand-in is read as it is or refused, and nothing else happens."""
    whole, rng = hand_in.write(content, tmp_path / "a.zip").read_bytes(), random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / "b.zip").write_bytes(damaged[: rng.randint(1, len(damaged))] if rng.random() < 0.3 else damaged)
        said = refusal(tmp_path / "b.zip")
        refused += bool(said)
        assert said.isprintable()
        assert said or hand_in.read(tmp_path / "b.zip").content == content
    assert refused > 200


def refusal(path):
    """Return why a file is refused; "" where it is not."""
    try:
        hand_in.read(path)
    except HandInError as error:
        return str(error)
    return ""


# --- the class --------------------------------------------------------------------------------------------------------


@pytest.fixture
def class_folder(content, tmp_path):
    """Return a folder with thirty hand-ins: twenty-five good ones, one of them copied, and five hostile or broken."""
    folder = tmp_path / "class"
    for seed in range(25):
        own = copy.deepcopy(content)
        own["name"] = f"Student {chr(ord('A') + seed)}"
        (lesson,) = own["lessons"]
        lesson["parameters"]["seed"] = seed
        lesson["metrics"]["value"] = 6.0 + seed / 10
        at = f"2026-01-01T10:00:{seed:02d}+00:00"
        lesson["predictions"][0] |= {"chosen": ["yes", "no"][seed % 2], "committed_at": at}
        lesson["checks"]["twice"] = "wrong" if seed < 5 else "right"
        if seed == 24:  # what B handed in, under another name
            lesson.update(copy.deepcopy(json.loads((folder / "B" / "1.zip.json").read_text())))
        place = folder / chr(ord("A") + seed)
        place.mkdir(parents=True)
        hand_in.write(own, place / f"{seed}.zip")
        if seed == 1:
            (place / "1.zip.json").write_text(json.dumps(lesson))
    (folder / "B" / "1.zip.json").unlink()
    archive(folder / "path.zip", {"../../../tmp/evil.py": "print('evil')"})
    archive(folder / "bomb.zip", {"hand-in.json": " " * (60 * 2**20)})
    archive(folder / "<script>.zip", {"hand-in.json": changed(content, "name", value="<script>alert(1)</script>")})
    (folder / "broken.zip").write_bytes((folder / "A" / "0.zip").read_bytes()[:200])
    archive(folder / "program.zip", {"hand-in.json": "__import__('os').system('touch ran')"})
    return folder


def test_thirty_hand_ins_give_25_rows_and_5_refusals(class_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    result = call("class", class_folder)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["name", "lessons", "solved", "predicted", "made", "notes"]
    rows = [line for line in lines if line.startswith("Student ")]
    refused = [line for line in lines if line.startswith("refused: ")]
    assert (len(rows), len(refused)) == (25, 5)
    assert rows[0].split()[:9] == ["Student", "A", "00", "0", "of", "1", "1", "of", "1"]
    assert rows[7].split()[:9] == ["Student", "H", "00", "1", "of", "1", "0", "of", "1"]
    assert {line.split(": ")[1] for line in refused} == {
        *("path.zip", "bomb.zip", "<script>.zip", "broken.zip", "program.zip")
    }
    made = ("", "class", "class/index.html", "class/class.csv", "class/findings.csv")
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "runs" / name for name in made}
    page = (tmp_path / "runs" / "class" / "index.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;.zip" in page
    assert "25 hand-ins, 5 refused" in page


def test_the_page_says_who_predicted_and_solved_what_and_how_findings_spread(class_folder, tmp_path):
    table = class_table.collect(class_folder)
    (question,) = class_table.predicted(table)
    assert question["question"] == "Up?"
    assert len(question["who"]["yes"]) == 12  # A, C, …, W; the last has copied from B
    assert question["who"]["no"][0] == "Student B"
    assert question["truths"] == {"yes": 25}
    solved = {row.name: row.checks()["00_tiny", "twice"] for row in table.rows}
    assert [name for name, state in solved.items() if state == "wrong"] == [f"Student {c}" for c in "ABCDEY"]
    spread = {row["result"]: row for row in class_table.findings(table)}
    assert set(spread) == {"value", "auroc"}
    values = [6.0 + seed / 10 for seed in range(24)] + [6.1]
    assert spread["value"]["n"] == 25
    assert spread["value"]["mean"] == pytest.approx(sum(values) / 25)
    assert (spread["value"]["lowest"], spread["value"]["highest"]) == (6.0, 8.3)
    assert spread["auroc"]["mean"] == pytest.approx(0.9)
    page = class_table.write(table, tmp_path / "out").read_text()
    assert "Student B, 00_tiny: no, 2026-01-01T10:00:01+00:00" in page


def test_equal_hand_ins_are_told(class_folder):
    (class_folder / "B" / "again.zip").write_bytes((class_folder / "B" / "1.zip").read_bytes())
    same = {}
    for row in class_table.collect(class_folder).rows:
        same.setdefault(row.name, []).append(row.same)
    copied = "Student Y (00, byte for byte)"
    assert same.pop("Student B") == [["Student B (the whole file, byte for byte)", copied]] * 2
    assert same.pop("Student Y") == [["Student B (00, byte for byte)"] * 2]
    assert not any(any(others) for others in same.values())


def test_what_ran_with_the_solutions_is_told(content, tmp_path):
    content["lessons"][0]["parameters"]["mode"] = "solution"
    content["lessons"][0]["changed_cells"] = ["check-1"]
    hand_in.write(content, tmp_path / "in" / "a.zip")
    (row,) = class_table.collect(tmp_path / "in").rows
    assert row.notes() == ["00 ran with the solutions", "00: 1 other cells changed"]


def test_run_again_an_answer_shows_what_it_is(lessons, content, tmp_path):
    """One honest hand-in, one that claims more than its answer gives, one that fails, one of another version."""
    answers = ("doubled = 2 * 3", "doubled = 7", "raise SystemError('no')", "doubled = 6")
    for number, answer in enumerate(answers):
        own = copy.deepcopy(content)
        own["name"] = f"Student {number}"
        own["lessons"][0]["answers"]["exercise-1"] = answer
        if number == 3:
            own["lessons"][0]["digest"] = "0" * 16
        hand_in.write(own, tmp_path / "in" / f"{number}.zip")
    table = class_table.collect(tmp_path / "in")
    assert not any(row.rerun for row in table.rows)  # trusted until asked
    class_table.rerun(table, tmp_path / "again", timeout=60)
    said = [row.rerun["00_tiny"] for row in table.rows]
    assert said[0] == "agrees"
    assert said[1] == "“twice” is wrong, handed in as right"
    assert said[2].startswith("failed, 00_tiny: cell [")
    assert "failed with SystemError: no" in said[2]
    assert said[3] == "not possible, it is of another version of the lesson"
    assert [row.checks()["00_tiny", "twice"] for row in table.rows] == ["right", "wrong", "right", "right"]
    assert "run again here" in class_table.write(table, tmp_path / "out", "run again here").read_text()


def test_a_folder_without_hand_ins_is_one_line(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        result = call("class", folder, "--out", tmp_path / "out")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "must be a folder with hand-ins; got no zip file in it" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_spreadsheet_sees_no_formula(content, tmp_path):
    content["lessons"][0]["metrics"] = {"=1+1": 2.0}
    for number in range(2):
        hand_in.write(content | {"name": f"S {number}"}, tmp_path / "in" / f"{number}.zip")
    class_table.write(class_table.collect(tmp_path / "in"), tmp_path / "out")
    assert ",'=1+1,2," in (tmp_path / "out" / "findings.csv").read_text()


def test_modes_of_entries_do_not_matter(content, tmp_path):
    """An entry that calls itself a link is read like any other: nothing is unpacked."""
    entry = zipfile.ZipInfo("hand-in.json")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(HandInError, match="is no JSON of a hand-in"):
        hand_in.read(tmp_path / "a.zip")
