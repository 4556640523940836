"""`advad reproduce`: which runs a published table becomes, and how ours stand beside its cells."""

import csv
import io
import json
import shutil
import tomllib
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

import advad
from advad.cli.main import main
from advad.engine import training
from advad.lessons.parameters import SpecError
from advad.scoreboard import measured, reproduce
from advad.scoreboard.published import published
from advad.scoreboard.reproduce import Cell, half_width
from advad.scoreboard.rows import Row, changed_settings, is_same, printed_name

SPEC = """
paper = "arae"
table = "2"
seed = [0, 1]
seeds_first = true
device = "cpu"
[data]
dataset = "digits"
normal = [0, 8]
[[methods]]
method = "PCA"
[[methods]]
method = "PCA"
n_components = 0
[[methods]]
method = "VAE"
epochs = 1
widths = [16]
latent_dim = 4
[[causes]]
method = "VAE"
normal = "8"
cause = "one epoch"
[[causes]]
cause = "not digits"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A table of the digits: the published figures of MNIST, read as if they were of the digits."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arae-2.toml").write_text(SPEC)
    monkeypatch.setattr(reproduce, "SPECS", tmp_path)
    monkeypatch.setattr(reproduce, "measured_rows", list)
    rows = [row | {"dataset": "digits"} for row in published(paper="arae", table="2") if row["dataset"] == "MNIST"]
    monkeypatch.setattr(reproduce, "published", lambda **asked: rows)
    return tmp_path


def row(**given):
    about = {"method": "ARAE", "dataset": "MNIST", "protocol": "one_class", "normal": "8", "metric": "auroc"}
    return Row(**(about | {"value": 0.9, "n": 3, "spread": 0.01, "settings": {}, "source": "here"} | given))


def call(*arguments):
    return CliRunner().invoke(main, ["reproduce", *arguments, "--workers", "1"], catch_exceptions=False)


def test_the_interval_is_students():
    assert half_width(row(spread=0.01, n=3)) == pytest.approx(4.303 * 0.01 / 3**0.5, rel=1e-3)
    assert half_width(row(spread=None, n=1)) == 0


@pytest.mark.parametrize(
    ("value", "spread", "verdict"),
    [
        (0.914, 0.0, "agrees"),  # 0.010 below
        (0.9139, 0.0, "worse"),
        (0.935, 0.0, "better"),
        (0.900, 0.01, "agrees"),  # 0.924 is within 0.0248
        (0.899, 0.01, "worse"),
    ],
)
def test_a_verdict(value, spread, verdict):
    cell = Cell(section="MNIST", column="8", method="ARAE", published=0.924, row=row(value=value, spread=spread))
    assert cell.verdict == verdict


def test_verdicts_without_ours_or_without_theirs():
    cell = Cell(section="MNIST", column="8", method="ARAE", published=0.924)
    assert cell.verdict == "not run"
    assert replace(cell, published=None, row=row()).verdict == "yardstick"


def test_an_attacked_result_stands_beside_the_figure_of_its_radius():
    plan = reproduce.outline_of("arae", "5")
    results = [row(metric=f"auroc_attacked_{radius}", value=value) for radius, value in (("0.05", 0.7), ("0.1", 0.5))]
    results.append(row(metric="auroc_robust_0.1", value=0.2))  # no paper has such a figure
    figures = published(paper="arae", table="5", method="ARAE")
    pairs = [
        (figure["settings"]["attack_radius"], [r.value for r in results if is_same(r, figure)]) for figure in figures
    ]
    assert plan.spec["attack_radii"] == [0.05, 0.1]
    assert pairs == [("0.05", [0.7]), ("0.1", [0.5])]


def test_the_runs_of_a_class_a_data_set_and_a_seed(here):
    plan = reproduce.plan_of("arae", "2")
    assert plan.name == "arae-2-laptop"
    assert len(reproduce.chosen(plan)) == 3 * 2 * 2
    names = reproduce.chosen(plan, normal=["8"], datasets=["digits"], seeds=1)
    assert [name.rsplit("-", 1)[0] for name in names] == [f"{m}-digits-8-seed0" for m in ("PCA", "PCA", "VAE")]
    for how, said in (
        ({"normal": ["7"]}, "--normal must be one of 0, 8; got '7'"),
        ({"datasets": ["MNIST"]}, "--dataset must be one of digits; got 'MNIST'"),
        ({"methods": ["AE"]}, "--method must be one of PCA, VAE; got 'AE'"),
        ({"seeds": 3}, "--seeds must be at most 2; got 3"),
    ):
        with pytest.raises(SpecError, match=said):
            reproduce.chosen(plan, **how)
    with pytest.raises(SpecError, match="the table must be one of arae 2; got 'arae 9'. Did you mean arae 2"):
        reproduce.plan_of("arae", "9")


def test_only_what_is_missing_is_run_also_where_another_table_has_it(here, monkeypatch):
    monkeypatch.setattr(measured, "MEASURED", here / "measured.csv")
    plan = reproduce.plan_of("arae", "2")
    vae = reproduce.chosen(plan, methods=["VAE"])
    assert [name.partition("-")[0] for name in vae] == ["VAE"] * 4
    assert reproduce.chosen(plan, methods=["VAE"], missing=True) == vae
    (here / "results").mkdir()
    (here / "results" / "alcn-2-laptop.jsonl").write_text(json.dumps({"run": vae[1]}) + "\n")
    assert reproduce.chosen(plan, methods=["VAE"], missing=True) == [vae[0], *vae[2:]]


def test_the_table_has_the_papers_rows_and_columns_and_ours_beside_them(here):
    result = call("arae", "2", "--normal", "8", "--seeds", "2")
    assert result.exit_code == 0
    plan = reproduce.plan_of("arae", "2")
    table = reproduce.table_of(plan)
    cells = {(cell.method, cell.column): cell for cell in table.cells}
    assert list(dict.fromkeys(cell.column for cell in table.cells)) == [*"0123456789", "mean"]
    assert cells["ARAE", "8"].published == 0.924
    assert cells["ARAE", "8"].verdict == "not run"
    ours = cells["VAE", "8"]
    tiny: dict[str, Any] = {"epochs": 1, "widths": (16,), "latent_dim": 4, "device": "cpu", "precision": "float32"}
    split = advad.one_class(advad.load("digits"), normal=8, seed=0)
    vae = advad.VAE(**tiny, seed=0).fit(split.train, progress=False)
    other = advad.one_class(advad.load("digits"), normal=8, seed=1)
    second = advad.VAE(**tiny, seed=1).fit(other.train, progress=False)
    values = [
        advad.auroc(part.test_is_anomaly, detector.anomaly_score(part.test))
        for part, detector in ((split, vae), (other, second))
    ]
    assert ours.row.value == pytest.approx(sum(values) / 2)
    assert cells["PCA", "8"].verdict == "yardstick"
    assert cells["mean image", "8"].row.settings["n_components"] == 0
    assert ("PCA", "0") not in cells
    assert cells["VAE", "0"].verdict == "not run"
    text = result.stdout
    assert "Budget laptop." in text
    assert f"{ours.row.value:.3f}{reproduce.SIGNS[ours.verdict]}" in text
    counted = f"1 of {sum(cell.published is not None for cell in table.cells)} published cells have a result of ours"
    assert counted in text


def test_the_csv_and_the_page_link_each_result_to_what_gave_it(here):
    assert call("arae", "2", "--normal", "8", "--seeds", "1").exit_code == 0
    lines = list(csv.DictReader(io.StringIO((here / "runs/reproduce/arae-2.csv").read_text(encoding="utf-8"))))
    (ours,) = (line for line in lines if (line["method"], line["column"]) == ("VAE", "8"))
    assert ours["command"] == "advad reproduce arae 2 --budget laptop --normal 8 --seeds 1"
    assert len(ours["splits"]) == 16
    assert (ours["n"], ours["verdict"], ours["cause"]) == ("1", "worse", "one epoch")
    assert "latent_dim=4" in ours["settings"]
    page = (here / "runs/reproduce/arae-2.html").read_text(encoding="utf-8")
    for text in ("Cause: one epoch", ours["splits"], ours["command"], "not run", "mean image"):
        assert text in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")  # nothing from a network


def test_it_goes_on_where_it_stopped_and_shows_without_running(here):
    assert call("arae", "2", "--normal", "8").exit_code == 0  # one seed, unless more are asked for
    before = {path: path.stat().st_mtime_ns for path in here.glob("runs/sweeps/arae-2-laptop/*/results.json")}
    assert len(before) == 3
    assert call("arae", "2", "--show").exit_code == 0
    assert len(list(here.glob("runs/sweeps/arae-2-laptop/*/results.json"))) == 3
    assert call("arae", "2", "--normal", "8", "--seeds", "2").exit_code == 0
    after = {path: path.stat().st_mtime_ns for path in here.glob("runs/sweeps/arae-2-laptop/*/results.json")}
    assert len(after) == 6
    assert before.items() <= after.items()


def test_a_dry_run_says_how_long_and_runs_nothing(here):
    result = call("arae", "2", "--normal", "8", "--seeds", "1", "--dry-run")
    assert result.exit_code == 0
    assert "3 runs, 0 finished, 3 to do: under 1 s" in result.stdout
    assert not (here / "runs").exists()


def test_a_recipe_in_bfloat16_is_also_run_without_it(here, monkeypatch):
    (here / "arae-2.toml").write_text(SPEC.replace("epochs = 1", 'epochs = 1\nprecision = "bfloat16"'))
    arguments = ("arae", "2", "--normal", "8", "--method", "VAE")
    monkeypatch.setattr(training, "has_bfloat16", lambda device: False)
    warned = call(*arguments, "--dry-run").stderr
    assert warned.startswith("VAE: this processor emulates bfloat16. --precision float32 takes about a tenth")
    plain = call(*arguments, "--precision", "float32")
    assert (plain.exit_code, "emulates" in plain.stderr) == (0, False)
    (results,) = here.glob("runs/sweeps/arae-2-laptop/VAE-*/results.json")
    assert json.loads(results.read_text())["parameters"]["precision"] == "float32"
    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    assert "emulates" not in call(*arguments, "--dry-run").stderr


def test_kept_results_stand_in_the_table_of_a_fresh_clone(here, monkeypatch):
    kept = row(method="VAE", dataset="digits", value=0.86, command="advad reproduce arae 2 --budget laptop")
    others = [replace(kept, value=0.1, command=other) for other in ("advad reproduce arae 2 --budget paper", "x")]
    monkeypatch.setattr(reproduce, "measured_rows", lambda: [*others, kept])
    table = reproduce.table_of(reproduce.plan_of("arae", "2"))
    assert [cell.row.value for cell in table.cells if cell.row] == [0.86]
    assert [cell.verdict for cell in table.cells if cell.row] == ["agrees"]  # 0.864 is published


@pytest.mark.parametrize(
    ("method", "n", "counted"), [("VAE", 3, True), ("VAE", 2, False), ("OCSVM", 1, True), ("VAE", 1, False)]
)
def test_ten_class_cells_of_three_seeds_are_counted_on_their_own(here, monkeypatch, method, n, counted):
    (here / "arae-2.toml").write_text(SPEC + '[[methods]]\nmethod = "OCSVM"\nseeds = 1\n')
    kept = row(method=method, dataset="digits", value=0.1, n=n, command="advad reproduce arae 2 --budget laptop")
    monkeypatch.setattr(reproduce, "measured_rows", lambda: [kept])
    summary = reproduce.summary(reproduce.table_of(reproduce.plan_of("arae", "2")))
    said = "1 of these are of ten-class tables and rest on three seeds, or on a method in which nothing depends on the"
    assert summary.startswith("1 of 88 published cells have a result of ours: 0 agree")
    assert (said in summary) == counted
    assert not counted or summary.endswith(
        ": 0 agree, 0 within 0.01, 0 are better, 1 are worse (1 with a stated cause)."
    )


def test_archived_runs_stand_there_too(here, monkeypatch):
    monkeypatch.setattr(measured, "MEASURED", here / "measured.csv")
    assert call("arae", "2", "--normal", "0", "--normal", "8").exit_code == 0
    plan = reproduce.plan_of("arae", "2")
    before = reproduce.table_of(plan)
    measured.archive(here / "runs/sweeps/arae-2-laptop")
    shutil.rmtree(here / "runs")
    values = [(cell.method, cell.column, cell.row.value) for cell in reproduce.table_of(plan).cells if cell.row]
    assert values == [(cell.method, cell.column, cell.row.value) for cell in before.cells if cell.row]
    assert len(values) == 3 * 2


@pytest.mark.parametrize("method", ["VAE", "LSA", "OCSVM"])
def test_a_run_of_an_earlier_version_is_still_a_run_of_its_table(real_data, method):
    """Neither a new parameter nor a new default of a method may change the names of finished runs."""
    names = {run.name for table in "25" for run in reproduce.plan_of("arae", table).runs}
    finished = [name for name in measured.archived() if name.startswith(f"{method}-MNIST-8-")]
    assert finished
    assert names.issuperset(finished)


def test_an_unknown_table_is_one_line(here):
    result = call("arae", "9")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("advad: sweep: the table must be one of arae 2; got 'arae 9'.")
    assert call("nobody").exit_code == 2
    assert call("nobody", "--show").exit_code == 2


def test_all_tables_are_counted_together_without_any_image(here, monkeypatch):
    (here / "arae-3.toml").write_text(SPEC.replace('table = "2"', 'table = "3"').replace('"digits"', '"nowhere.npz"'))
    kept = row(method="VAE", dataset="digits", value=0.86, command="advad reproduce arae 2 --budget laptop")
    monkeypatch.setattr(reproduce, "measured_rows", lambda: [kept])
    result = call("all", "--show")
    assert result.exit_code == 0
    n_cells = 2 * len(reproduce.published())
    said = f"All tables: 1 of {n_cells} published cells have a result of ours: 1 agree, 1 within 0.01"
    assert said in result.stdout


SHIPPED = reproduce.tables()


@pytest.mark.parametrize("budget", ["laptop", "paper"])
@pytest.mark.parametrize(("paper", "table"), SHIPPED, ids=["-".join(pair) for pair in SHIPPED])
def test_the_shipped_specs_are_of_published_tables(real_data, paper, table, budget):
    spec = tomllib.loads((reproduce.SPECS / f"{paper}-{table}.toml").read_text(encoding="utf-8"))
    assert (spec["paper"], spec["table"]) == (paper, table)
    plan = reproduce.plan_of(paper, table, budget)
    assert reproduce.outline_of(paper, table, budget).spec == plan.spec
    result = reproduce.table_of(plan, folder="nowhere")
    printed = {cell.method for cell in result.cells if cell.published is not None}
    mine = {printed_name(run.method, changed_settings(run.method, run.settings)) for run in plan.runs}
    assert printed & mine
    for entry in spec.get("causes", []):
        assert any(
            all(figure[name] == text for name, text in entry.items() if name != "cause")
            for figure in published(paper=paper, table=table)
        )


def test_the_mean_of_pairs_stands_beside_the_pairs():
    table = reproduce.table_of(reproduce.outline_of("arae", "6"), folder="nowhere")
    assert {cell.section for cell in table.cells} == {"MNIST"}
    assert list(dict.fromkeys(cell.column for cell in table.cells))[-2:] == ["4+9", "mean-of-pairs"]


def test_a_table_of_means_has_their_conditions_as_columns():
    table = reproduce.table_of(reproduce.outline_of("arae", "3"), folder="nowhere")
    assert {cell.section for cell in table.cells} == {"auroc", "f1"}
    columns = list(dict.fromkeys(cell.column for cell in table.cells))
    assert columns == [f"normal classes {k}, tau {tau}" for k, tau in ((1, "0.50"), (4, "0.75"), (7, "0.85"))]
