"""The scoreboard: means and spreads by hand, the right published figure beside them, and the flags."""

import csv
import io
import os
import statistics
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

import advad
from advad.cli.main import main
from advad.experiments.sweep import sweep
from advad.files import write_json
from advad.lessons.parameters import SpecError
from advad.scoreboard import table as board
from advad.scoreboard.measured import line_of, write_lines
from advad.scoreboard.rows import Row, changed_settings, rows_of

TINY = {"method": "AE", "epochs": 2, "widths": [16], "latent_dim": 4}
SPEC = {"seed": [0, 1], "device": "cpu", "data": {"dataset": "digits", "normal": [0, 8]}, "methods": [TINY]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def row(**changes):
    given = {"method": "ARAE", "dataset": "MNIST", "protocol": "one_class", "normal": "8", "metric": "auroc"}
    return Row(**given | {"value": 0.9, "spread": 0.01, "n": 3, "settings": {}, "source": "mine"} | changes)


@pytest.mark.parametrize(
    ("ours", "figure", "paper"),
    [
        ({}, 0.924, "arae, table 2"),
        ({"settings": {"target": "reconstruction"}}, 0.912, "arae, table 6"),
        ({"settings": {"attacks": ["linf", "l2"]}}, 0.956, "arae, table 6"),
        ({"normal": "mean", "n_classes": 10}, 0.975, "arae, table 2"),
        ({"normal": "mean", "n_classes": 3}, None, ""),  # a mean over other classes is another figure
        ({"method": "DAE"}, 0.891, "arae, table 6"),
        ({"method": "DAE", "settings": {"noise": "speckle"}}, None, ""),
        ({"dataset": "digits"}, None, ""),
        ({"metric": "auprc"}, None, ""),
        ({"labelled": "0.05"}, None, ""),
        ({"contamination": "0.01"}, None, ""),
    ],
)
def test_the_published_figure_is_that_of_the_same_thing(ours, figure, paper):
    found = board.compare(row(**ours))
    assert (found.published, found.paper) == (pytest.approx(figure) if figure else None, paper)
    if figure:
        assert found.difference == pytest.approx(0.9 - figure)


def test_contamination_must_be_by_the_same_class():
    metric = "balanced_accuracy_either_or_observed"
    given = {"method": "ITSR", "normal": "0", "contamination": "0.01", "metric": metric}
    assert board.compare(row(**given, contaminants="2")).published == 0.94
    assert board.compare(row(**given, contaminants="3")).published is None
    assert board.compare(row(**given | {"contamination": "0.001"}, contaminants="2")).published == 0.91


def test_a_balanced_accuracy_is_compared_by_the_rule_of_the_paper():
    given = {"normal": "0", "contamination": "0.01", "contaminants": "2"}
    by_error, either = "balanced_accuracy_observed", "balanced_accuracy_either_or_observed"
    assert board.compare(row(**given, method="ITSR", metric=by_error)).published is None
    assert board.compare(row(**given, method="AE", metric=by_error)).published == 0.69
    assert board.compare(row(**given, method="AAE", metric=either)).published == 0.91


def test_flags_say_what_must_be_known():
    paper = {"settings": changed_settings("ARAE", advad.ARAE.paper_settings("MNIST"))}
    assert board.compare(row(**paper)).flags == ()
    assert board.compare(row(**paper, n=1, spread=None)).flags == ("1 seed",)
    assert board.compare(row(**paper, n=2, flags=("test subset",))).flags == ("test subset", "2 seeds")
    assert board.compare(row(method="DAE")).flags == ("paper: a rival's figure",)
    leave_one_out = {"method": "ALCN", "protocol": "leave_one_out", "normal": "all-but-8"}
    paper = {"settings": changed_settings("ALCN", advad.ALCN.paper_settings("MNIST"))}
    assert board.compare(row(**leave_one_out, **paper)).flags == ("paper: own 80:20 split",)


def test_settings_that_are_not_the_papers_are_named():
    def unlike(**changes):
        return [flag for flag in board.compare(row(**changes)).flags if flag.startswith("not the paper's")]

    paper = changed_settings("ARAE", advad.ARAE.paper_settings("FashionMNIST"))
    assert unlike(dataset="FashionMNIST", settings=paper) == []
    others = {name: value for name, value in paper.items() if name != "attack_radius"} | {"activation": "relu"}
    # one stays at our default where the paper has another value, one is changed where the paper has our default
    assert unlike(dataset="FashionMNIST", settings=others) == ["not the paper's activation, attack_radius"]
    assert unlike(dataset="digits", settings=others) == []  # no paper has settings for it
    assert unlike(method="LOF", settings={"n_neighbors": 5}) == []


def test_the_projects_own_results_are_there():
    found = {(line.method, line.normal): line for line in board.measured_rows() if line.metric == "auroc"}
    assert found["DAE", "8"].n >= 3
    assert found["DAE", "8"].flags == ("lab budget",)
    assert all(line.source == "data/measured.csv" for line in found.values())


def test_a_sweeps_means_are_taken_over_seeds_and_then_over_classes(here):
    outcomes = sweep(SPEC, folder="mine", progress=False)
    auroc = {
        (outcome.run.data["normal"], outcome.run.seed): outcome.results["metrics"]["auroc"]["value"]
        for outcome in outcomes
    }
    found = {line.normal: line for line in board.sweep_rows("mine") if line.metric == "auroc"}
    assert list(found) == ["0", "8", "mean"]
    assert found["8"].value == pytest.approx(statistics.mean([auroc[8, 0], auroc[8, 1]]))
    assert found["8"].spread == pytest.approx(statistics.stdev([auroc[8, 0], auroc[8, 1]]))
    by_seed = [(auroc[0, seed] + auroc[8, seed]) / 2 for seed in (0, 1)]
    assert found["mean"].value == pytest.approx(statistics.mean(by_seed))
    assert found["mean"].spread == pytest.approx(statistics.stdev(by_seed))
    assert (found["mean"].n, found["mean"].n_classes) == (2, 2)
    assert found["8"].settings == {"epochs": 2, "latent_dim": 4, "widths": [16]}
    assert found["8"].source == "mine"


def test_a_seed_of_an_earlier_version_which_knew_fewer_settings_counts_with_the_others(here):
    results = [outcome.results for outcome in sweep(SPEC, folder="mine", progress=False)]
    for earlier in (run for run in results if run["seed"] == 0):
        del earlier["data"]["stratified"], earlier["data"]["by_group"]
    assert {line.n for line in rows_of(results, "mine")} == {2}


def test_pairs_and_draws_of_four_have_means_of_their_own(here):
    drawn = [8, [0, 8], [1, 7], [0, 1, 2, 3], [4, 5, 6, 7]]
    data = {"dataset": "digits", "protocol": "merged", "normal": drawn, "test_normal_share": 0.9, "holdout": 0.0}
    pca = {"method": "PCA", "n_components": 4}
    outcomes = sweep(SPEC | {"seed": 0, "data": data, "methods": [pca]}, folder="drawn", progress=False)
    one, *others = [outcome.results["metrics"]["best_f1"]["value"] for outcome in outcomes]
    assert 0 < one < 1
    wanted = {"mean-of-pairs": statistics.mean(others[:2]), "mean-of-4": statistics.mean(others[2:])}
    rows = [line for line in board.sweep_rows("drawn") if line.metric == "best_f1"]
    means = {line.normal: line.value for line in rows if line.normal.startswith("mean")}
    assert means == pytest.approx(wanted)  # of one class there is no mean
    path = here / "measured.csv"
    write_lines([line_of(line, "advad sweep drawn.toml") for line in rows if not line.normal.startswith("mean")], path)
    again = {line.normal: line for line in board.measured_rows(path) if line.normal.startswith("mean")}
    assert {normal: line.value for normal, line in again.items()} == pytest.approx(wanted, abs=1e-4)
    assert {line.n_classes for line in again.values()} == {2}


def test_measured_rows_of_left_out_classes_have_a_mean(here):
    of_class = {"protocol": "leave_one_out", "method": "VAE"}
    rows = [row(**of_class, normal=f"all-but-{k}", value=0.5 + 0.1 * k) for k in (0, 1)]
    write_lines([line_of(line, "advad reproduce alcn 1") for line in rows], here / "measured.csv")
    (mean,) = [line for line in board.measured_rows(here / "measured.csv") if line.normal == "mean"]
    assert (mean.value, mean.n_classes, mean.protocol) == (pytest.approx(0.55), 2, "leave_one_out")


def test_a_mean_over_draws_of_classes_stands_beside_the_printed_one():
    drawn = {"dataset": "coil100_32", "protocol": "merged", "normal": "mean-of-4", "n_classes": 30}
    assert board.compare(row(**drawn)).published == 0.997
    assert board.compare(row(**drawn, metric="best_f1")).published == 0.973
    assert board.compare(row(**drawn | {"n_classes": 10})).published is None


def test_other_settings_are_other_rows_and_subsets_are_flagged(here):
    data = {"dataset": "digits", "normal": 0, "test_size": 100}
    sweep(SPEC | {"data": data, "methods": [TINY | {"epochs": [1, 2]}]}, folder="mine", progress=False)
    found = [line for line in board.sweep_rows("mine") if line.metric == "auroc"]
    assert [line.settings["epochs"] for line in found] == [1, 2]
    assert all(line.flags == ("test subset",) for line in found)


def test_the_command_writes_a_table_a_csv_and_a_page(here):
    sweep(SPEC, progress=False)
    result = CliRunner().invoke(main, ["board"], catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    (ours,) = (line for line in lines if line.startswith("AE ") and "mean of 2" in line)
    assert "(n = 2)" in ours
    assert any("0.924 (arae, table 2)" in line and "−0.0" in line for line in lines)
    assert lines[-1] == "Page: runs/board/index.html"
    cells = list(csv.DictReader(io.StringIO((here / "runs/board/board.csv").read_text())))
    assert tuple(cells[0]) == tuple(board.COLUMNS)
    asked = {"method": "ARAE", "dataset": "MNIST", "normal": "8", "metric": "auroc"}
    eights = [line for line in cells if asked.items() <= line.items()]
    assert eights
    for line in eights:
        assert float(line["difference"]) == pytest.approx(float(line["value"]) - 0.924, abs=1e-4)
    page = (here / "runs/board/index.html").read_text()
    assert "digits: AUROC" in page
    topics = {
        tuple(line[name] for name in ("dataset", "protocol", "contamination", "contaminants", "labelled", "metric"))
        for line in cells
    }
    assert len(topics) == page.count("<h2>")
    assert page.count("<tr>") == len(cells) + page.count("<h2>")  # a head each
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")  # nothing from a network
    assert advad.__version__ in page


@pytest.mark.parametrize(("sources", "beside"), [(["a.csv", "a.csv"], 0), (["a.csv", "b.csv"], 1)])
def test_a_source_that_all_rows_share_stands_once_above_them(here, sources, beside):
    rows = [replace(board.compare(row(value=0.9)), source=source) for source in sources]
    page = board.write(rows, "out").read_text()
    assert page.count("a.csv") == 1
    assert page.count("b.csv") == beside
    assert "2 results</span>" in page


@pytest.mark.parametrize(("n", "is_open"), [(4, 4), (5, 0)])
def test_many_tables_are_folded(here, n, is_open):
    rows = [replace(board.compare(row(value=0.9)), dataset=f"set {k}") for k in range(n)]
    assert board.write(rows, "out").read_text().count("<details open>") == is_open


def test_a_drawing_keeps_to_its_scale(here):
    rows = [board.compare(row(value=value)) for value in (0.5, 0.95)]
    page = board.write(rows, "out").read_text()
    assert 'aria-label="ours 0.500, published 0.924"' in page
    places = [float(part.split('"')[0]) for part in page.split('class="ours" cx="')[1:]]
    assert all(0 <= place <= 200 for place in places)


def test_one_figure_far_below_does_not_squeeze_the_others(here):
    rows = [row(value=value) for value in (0.5, *[0.9 + at / 100 for at in range(10)])]
    page = board.write(rows, "out").read_text()
    assert "<span>0.90</span><span>1.00</span>" in page
    assert page.count('<path class="ours"') == 1  # an arrow at the scale's end
    places = [float(part.split('"')[0]) for part in page.split('class="ours" cx="')[1:]]
    assert places[1:] == sorted(places[1:])  # the first is the key's
    assert places[1] == 8


def test_a_class_is_written_once_and_so_is_the_hardware(here):
    rows = [row(method=method, hardware="a CPU") for method in ("AE", "ARAE", "DAE")]
    page = board.write([board.compare(line) for line in rows], "out").read_text()
    assert page.count('<td class="group" rowspan="3">8</td>') == 1
    assert page.count("a CPU") == 1
    page = board.write([*rows, replace(rows[0], hardware="a GPU")], "out").read_text()
    assert page.count("a CPU") == 3


def test_a_figure_of_a_sweep_that_was_kept_stands_once(here, monkeypatch):
    sweep(SPEC, folder="mine", progress=False)
    kept = [replace(line, value=round(line.value, 4), source="data/measured.csv") for line in board.sweep_rows("mine")]
    other = replace(kept[0], value=0.1, metric="auroc")
    monkeypatch.setattr(board, "measured_rows", lambda: [*kept, other])
    found = [(line.source, line.value) for line in board.rows(["mine"]) if line.normal != "mean"]
    assert [source for source, _ in found].count("mine") == 2
    assert [value for source, value in found if source != "mine"] == [0.1]


def test_no_sweeps_folder(here):
    (here / "other").mkdir()
    with pytest.raises(SpecError, match="the folder must be a sweep's; got 'other'. advad sweep SPEC.toml makes one."):
        board.rows(["other"])
    result = CliRunner().invoke(main, ["board", "other"], catch_exceptions=False)
    assert result.exit_code == 2


def test_a_lessons_sweep_has_no_row(here):
    write_json(here / "mine" / "run" / "results.json", {"lesson": "00_start", "metrics": {"auroc": 0.9}})
    write_json(here / "mine" / "sweep.json", {"name": "mine", "subject": "00_start", "runs": ["run"]})
    assert board.sweep_rows("mine") == []


def test_no_figures_at_all_is_one_line(here, monkeypatch):
    monkeypatch.setattr(board, "measured_rows", list)
    result = CliRunner().invoke(main, ["board"], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("advad: board: there must be results to show; got none.")


def test_a_damaged_sweep_does_not_stop_the_board(here, capsys):
    sweep(SPEC, progress=False)
    (here / "runs" / "sweeps" / "other").mkdir()
    (here / "runs" / "sweeps" / "other" / "sweep.json").write_text("{")
    assert {line.source for line in board.rows()} >= {"sweep"}
    assert "other/sweep.json is damaged: the sweep is left out" in capsys.readouterr().err


def test_a_terminal_of_latin_letters_shows_the_board(here):
    """PYTHONIOENCODING stands for the code page of a Windows terminal, which has no "─"."""
    code = "from advad.cli.main import main; main(['board'])"
    surroundings = os.environ | {"PYTHONIOENCODING": "cp1252"}
    ran = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"??????" in ran.stdout


def test_folders_stand_beside_what_is_printed_of_their_sets():
    for changes, figure, paper in (
        ({"method": "ALCN", "dataset": "mvtec_bottle", "normal": "good"}, 0.94, "alcn, table 3"),
        (
            {"method": "GANomaly", "dataset": "plantvillage_pepper", "normal": "all-but-bacterial_spot"},
            0.73,
            "alcn, ta",
        ),
        ({"dataset": "BrainMRI", "protocol": "merged", "normal": "no"}, 0.970, "arae, table 1"),
        ({"dataset": "BrainMRI", "normal": "yes"}, None, ""),
    ):
        compared = board.compare(row(**changes))
        assert compared.published == (pytest.approx(figure) if figure else None)
        assert compared.paper.startswith(paper)


def test_the_best_statistic_stands_beside_the_auroc_of_its_images_and_below_half_its_lack_is_said(here):
    sweep(SPEC | {"methods": [{"method": "PCA", "n_components": 4}, TINY]}, folder="out", progress=False)
    rows = board.rows(["out"])
    digits = [r for r in rows if r.dataset == "digits"]
    assert not [r.metric for r in digits if r.metric.startswith("auroc_of_")]
    (eight,) = {r.yardstick for r in digits if (r.normal, r.metric) == ("8", "auroc")}
    name, direction, value = eight.rsplit(" ", 2)
    assert direction in ("higher", "lower")
    assert 0.5 <= float(value) <= 1
    assert eight in board.text(rows)
    lines = board.markdown([row(value=0.5), row(published=0.25, paper="a|b", value=0.5)]).splitlines()
    assert {line.count("|") for line in lines} == {6}  # five cells, whatever is in them
    assert "| 0.250 (a&#124;b) |" in lines[3]
    assert "| +0.250 |" in lines[3]
    assert {r.yardstick for r in digits if r.normal == "mean"} == {""}
    low = board.with_yardstick(row(value=0.4), {})
    assert low.flags == ("below 0.5: no yardstick",)
    assert board.with_yardstick(row(value=0.6), {}).flags == ()
    known = {board._part(low): "contrast lower 0.830"}
    assert board.with_yardstick(row(value=0.4), known).yardstick == "contrast lower 0.830"
