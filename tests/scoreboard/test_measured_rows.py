"""`advad board --keep`: what of a sweep lands in data/measured.csv, and what does not."""

import csv
import json
import statistics

import pytest
from click.testing import CliRunner

from advad.cli.main import main
from advad.experiments.sweep import collected, sweep
from advad.scoreboard import measured
from advad.scoreboard.rows import measured_rows
from tests.scoreboard.test_measured import test_every_row_is_whole_and_says_what_gave_it as check_rows

TOML = """
seed = [0, 1, 2]
device = "cpu"
[data]
dataset = "digits"
normal = [0, 8]
train_size = 50
[[methods]]
method = "PCA"
components = [4, 8]
[[methods]]
method = "AE"
epochs = 1
widths = [16]
latent_dim = 4
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "small.toml").write_text(TOML)
    monkeypatch.setattr(measured, "SPECS", tmp_path / "sweeps")
    monkeypatch.setattr(measured, "MEASURED", tmp_path / "measured.csv")
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["board", *arguments], catch_exceptions=False)


def test_a_shipped_sweeps_figures_are_kept_once(here, monkeypatch):
    sweep("sweeps/small.toml", folder="out", progress=False)
    for _ in range(2):  # the second time, they stand in place of themselves
        result = call("out", "--keep")
        assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "6 rows: measured.csv")
    with open("measured.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == measured.COLUMNS
    assert [(row["method"], row["normal"], row["n_seeds"]) for row in rows] == [
        ("AE", "0", "3"),
        ("AE", "8", "3"),
        ("PCA", "0", "3"),
        ("PCA", "0", "3"),
        ("PCA", "8", "3"),
        ("PCA", "8", "3"),
    ]
    runs = [run for run in collected("out") if run["method"] == "AE" and run["data"]["normal"] == [8]]
    values = [run["metrics"]["auroc"]["value"] for run in runs]
    assert rows[1]["value"] == f"{statistics.mean(values):.4f}"
    assert rows[1]["spread"] == f"{statistics.stdev(values):.4f}"
    assert rows[1]["command"] == "advad sweep sweeps/small.toml".replace("sweeps/", f"{here.name}/sweeps/")
    assert '"train_size": 50' in rows[1]["settings"]
    assert rows[1]["parameters"] == str(runs[0]["weights"])
    (back,) = (row for row in measured_rows(here / "measured.csv") if (row.method, row.normal) == ("AE", "8"))
    assert back.flags == ("train subset",)
    assert back.settings == {"epochs": 1, "widths": [16], "latent_dim": 4}
    monkeypatch.setattr("tests.scoreboard.test_measured.rows", lambda: [row | {"seconds": "1"} for row in rows])
    monkeypatch.setattr("tests.scoreboard.test_measured.SPECS", here / "sweeps")
    for row in rows:
        row["command"] = row["command"].replace(here.name, "data")
    check_rows()


def test_what_cannot_be_run_again_is_not_kept(here):
    sweep("sweeps/small.toml", folder="out", progress=False)
    (here / "sweeps" / "small.toml").write_text(TOML.replace("train_size = 50", "train_size = 60"))
    result = call("out", "--keep")
    assert result.exit_code == 2
    assert result.stderr.startswith("advad: sweep: --keep must be of a sweep whose spec is in ")
    for path in (here / "out").glob("*/results.json"):
        path.unlink()
    (here / "sweeps" / "small.toml").write_text(TOML)
    result = call("out", "--keep")
    assert result.exit_code == 2
    assert "--keep must find finished runs of SWEEPS; got 'out'" in result.stderr
    assert not (here / "measured.csv").exists()


def test_a_table_is_kept_with_its_command_and_the_number_of_seeds(here):
    text = TOML.replace("[0, 1, 2]", "[0, 1]").replace('device = "cpu"', 'device = "cpu"\npaper = "arae"\ntable = "2"')
    (here / "sweeps" / "small.toml").write_text(text)
    sweep("sweeps/small.toml", folder="two", progress=False)
    assert call("two", "--keep").exit_code == 0
    rows = measured_rows(here / "measured.csv")
    assert {row.n for row in rows} == {2}
    commands = {line["command"] for line in csv.DictReader((here / "measured.csv").open(encoding="utf-8"))}
    assert commands == {"advad reproduce arae 2 --budget laptop"}


def values_of(path):
    return {(row.method, row.normal, str(row.settings)): (row.value, row.n) for row in measured_rows(path)}


def test_a_table_can_be_measured_piece_by_piece_on_several_machines(here):
    """Runs of two folders, as of two machines, make the same rows as all runs in one."""
    sweep("sweeps/small.toml", folder="all", progress=False)
    assert call("all", "--keep").exit_code == 0
    whole, lines = values_of(here / "measured.csv"), (here / "results" / "small.jsonl").read_text()
    (here / "measured.csv").unlink()
    (here / "results" / "small.jsonl").unlink()
    names = [run["run"] for run in collected("all")]
    for folder, only in (("one", names[:5]), ("two", names[5:])):
        sweep("sweeps/small.toml", folder=folder, progress=False, only=only)
        assert call(folder, "--keep").exit_code == 0
    assert values_of(here / "measured.csv") == whole
    run_names = [json.loads(line)["run"] for line in (here / "results" / "small.jsonl").read_text().splitlines()]
    assert run_names == [json.loads(line)["run"] for line in lines.splitlines()] == names


def test_a_mean_of_more_seeds_is_not_replaced_by_one_of_fewer(here):
    sweep("sweeps/small.toml", folder="all", progress=False)
    assert call("all", "--keep").exit_code == 0
    before = values_of(here / "measured.csv")
    (here / "results" / "small.jsonl").unlink()
    sweep("sweeps/small.toml", folder="less", progress=False, only=[run["run"] for run in collected("all")][:2])
    assert call("less", "--keep").exit_code == 0
    assert values_of(here / "measured.csv") == before
