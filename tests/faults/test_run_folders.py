"""Folders of sweeps in which something is damaged or hostile: it is named, and the other runs and the board go on.

53 folders: 24 of damaged or edited results, 8 of what is no file, 6 records of starts, 7 checkpoints, 8 records of a
sweep. Each is looked at by the board first, and then the sweep is started again.
"""

import json
import os
import shutil

import pytest
from click.testing import CliRunner

from advad.cli.main import main
from advad.engine.detector import CHECKPOINT
from advad.experiments.run_files import ERROR, STARTS
from advad.experiments.spec import read_plan
from advad.experiments.sweep import collected, sweep
from advad.lessons.parameters import SpecError
from tests.faults.refusals import refusal

METHOD = {"method": "AE", "epochs": 2, "widths": [4], "latent_dim": 2}
DATA = {"dataset": "digits", "normal": 8, "train_size": 30, "test_size": 30}
SPEC = {"seed": [0, 1], "device": "cpu", "data": DATA, "methods": [METHOD]}
RESULTS = "results.json"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a finished sweep of two runs."""
    folder = tmp_path_factory.mktemp("sweep") / "out"
    sweep(SPEC, folder=folder, progress=False)
    return folder


@pytest.fixture
def out(finished, tmp_path):
    """Return a copy of it."""
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture
def home(out):
    """Return the folder of the first run."""
    return out / read_plan(SPEC).runs[0].name


def looked_at(out):
    """Show the board; return what it says beside."""
    result = CliRunner().invoke(main, ["board", str(out), "--out", str(out.parent / "board")], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stderr


def started_again(out):
    """Start the sweep again: the second run must be left alone. Return the outcome of the first."""
    first, second = sweep(SPEC, folder=out, progress=False)
    assert (second.fresh, second.error) == (False, "")
    assert "\n" not in first.error
    return first


def undo(path):
    """Remove whatever lies there."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


# ------------------------------------------------------------------ results

NO_RESULTS = {
    "empty": b"",
    "torn": b'{"method": "AE", "se',
    "null": b"null",
    "list": b"[1, 2]",
    "bytes": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "a number of many digits": b'{"seed": ' + b"9" * 6000 + b"}",
    "no method and no lesson": b'{"finished": 1}',
    "a lesson without a name": b'{"lesson": 3}',
    "a method alone": b'{"method": "AE", "seed": 0}',
}


@pytest.mark.parametrize("damage", NO_RESULTS)
def test_damaged_results_are_named_left_out_and_computed_again(out, home, damage, capsys):
    """10 folders."""
    before = json.loads((home / RESULTS).read_text())
    (home / RESULTS).write_bytes(NO_RESULTS[damage])
    assert f"{home / RESULTS} is damaged (" in looked_at(out)
    assert len(collected(out)) == 1
    again = started_again(out)
    assert f"{home / RESULTS} is damaged (" in capsys.readouterr().err
    assert again.fresh
    assert again.results["metrics"] == before["metrics"]


def of_data(**edits):
    return lambda results: results["data"].update(edits)


EDITS = {
    "method unknown": lambda results: results.update(method="Nope"),
    "method a list": lambda results: results.update(method=["AE"]),
    "seed a text": lambda results: results.update(seed="x"),
    "seconds NaN": lambda results: results.update(seconds=float("nan")),
    "no device": lambda results: results.pop("device"),
    "metrics a list": lambda results: results.update(metrics=[1]),
    "a metric NaN": lambda results: results["metrics"].update(auroc={"value": float("nan")}),
    "a metric without a value": lambda results: results["metrics"].update(auroc={}),
    "a metric that is a number": lambda results: results["metrics"].update(auroc=0.5),
    "images a list": of_data(images=[1]),
    "contamination a text": of_data(contamination="x"),
    "contamination of no classes": of_data(contamination=0.1, contaminants=None),
    "no classes": of_data(normal=3),
    "size a text": of_data(size="x"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_results_are_named_left_out_and_computed_again(out, home, edit):
    """14 folders."""
    results = json.loads((home / RESULTS).read_text())
    metrics = dict(results["metrics"])
    EDITS[edit](results)
    (home / RESULTS).write_text(json.dumps(results))
    assert f"{home / RESULTS} is damaged (" in looked_at(out)
    again = started_again(out)
    assert again.fresh
    assert again.results["metrics"].keys() == metrics.keys()


NO_FILES = {
    "a folder": os.mkdir,
    "a pipe": os.mkfifo,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_results_that_are_no_file(out, home, kind):
    """5 folders: nobody waits for them; what cannot be replaced is told as this run's error."""
    undo(home / RESULTS)
    NO_FILES[kind](home / RESULTS)
    looked_at(out)
    again = started_again(out)
    assert again.fresh
    assert bool(again.error) == (kind == "a folder")
    assert not again.error or RESULTS in again.error


def as_a_file(home):
    shutil.rmtree(home)
    home.write_text("x")


def as_a_link_to_nothing(home):
    shutil.rmtree(home)
    home.symlink_to("nowhere")


def as_a_folder_whose_lock_is_a_folder(home):
    undo(home / RESULTS)
    undo(home / ".lock")
    (home / ".lock").mkdir()


@pytest.mark.parametrize("make", [as_a_file, as_a_link_to_nothing, as_a_folder_whose_lock_is_a_folder])
def test_a_run_whose_folder_cannot_be_used_is_told(out, home, make):
    """3 folders."""
    make(home)
    looked_at(out)
    assert str(home) in started_again(out).error


# ------------------------------------------------------------------ starts and errors

STARTS_THERE = {
    "torn": b'{"session": "x"}\n{"session": "x", "ti',
    "bytes": b"\xff\xfe\n\x00",
    "lists": b"[1]\nnull\n",
    "deep": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("damage", STARTS_THERE)
def test_a_damaged_record_of_starts_is_named_and_counts_as_far_as_it_can_be_read(out, home, damage, capsys):
    """4 folders."""
    undo(home / RESULTS)
    (home / STARTS).write_bytes(STARTS_THERE[damage])
    n_lines = len(STARTS_THERE[damage].splitlines())
    assert started_again(out).results["starts"] == n_lines + 1
    assert f"{home / STARTS} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["a folder", "a pipe"])
def test_a_record_of_starts_that_is_no_file(out, home, kind):
    """2 folders."""
    undo(home / RESULTS)
    undo(home / STARTS)
    NO_FILES[kind](home / STARTS)
    assert f"{home / STARTS} must be a file; got something else. Remove it." in started_again(out).error


def test_results_count_where_the_error_of_before_cannot_be_removed(out, home):
    undo(home / RESULTS)
    (home / ERROR).mkdir()
    assert started_again(out).error == ""


# ------------------------------------------------------------------ checkpoints

CHECKPOINTS = {
    "empty": b"",
    "no checkpoint": b"not a checkpoint",
    "zeros": bytes(4096),
    "a header of 4 EiB": (2**62).to_bytes(8, "little") + b"{}",
    "a folder": None,
    "a pipe": None,
    "an endless device": None,
}


@pytest.mark.parametrize("damage", CHECKPOINTS)
def test_a_damaged_checkpoint_is_set_aside_and_the_run_begins_anew(out, home, damage, capsys):
    """7 folders."""
    before = json.loads((home / RESULTS).read_text())
    undo(home / RESULTS)
    path, content = home / CHECKPOINT, CHECKPOINTS[damage]
    path.write_bytes(content) if content is not None else NO_FILES[damage](path)
    again = started_again(out)
    assert again.results["metrics"] == before["metrics"]
    assert again.results["damaged"] == f"{CHECKPOINT}.damaged"
    assert (home / f"{CHECKPOINT}.damaged").exists()
    said = f"sweep: the checkpoint of {home.name} was damaged: it is set aside as {CHECKPOINT}.damaged"
    assert said in capsys.readouterr().err


# ------------------------------------------------------------------ the record of the sweep

NO_RECORDS = {
    "text": '"x"',
    "list": "[1, 2]",
    "null": "null",
    "torn": '{"name": "sw',
    "deep": "[" * 100_000,
    "other names": '{"name": ["x"], "subject": {}, "runs": []}',
}


@pytest.mark.parametrize("damage", NO_RECORDS)
def test_a_damaged_record_of_a_sweep_is_one_line(out, damage):
    """6 folders; nothing is done in them."""
    (out / "sweep.json").write_text(NO_RECORDS[damage])
    refusal(lambda: sweep(SPEC, folder=out, progress=False), SpecError, of=str(out))
    assert (out / "sweep.json").read_text() == NO_RECORDS[damage]
    if damage != "other names":
        assert "the folder must be a sweep's" in refusal(lambda: collected(out), SpecError)


@pytest.mark.parametrize("kind", ["a folder", "a pipe"])
def test_a_record_of_a_sweep_that_is_no_file(out, kind):
    """2 folders."""
    undo(out / "sweep.json")
    NO_FILES[kind](out / "sweep.json")
    refusal(lambda: sweep(SPEC, folder=out, progress=False), SpecError, of="sweep.json is no file")
    refusal(lambda: collected(out), SpecError)


def test_a_record_of_a_sweep_leads_nowhere_else(out, tmp_path):
    """Names of runs that climb out of the folder, or are no names, are looked up in vain."""
    record = json.loads((out / "sweep.json").read_text())
    names = record["runs"] + [3, None, "../../etc", "a\0b", {"a": 1}]
    (out / "sweep.json").write_text(json.dumps(record | {"runs": names}))
    assert len(collected(out)) == 2
    assert started_again(out).fresh is False
