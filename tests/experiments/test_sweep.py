"""Sweeps: what a spec becomes, what a run leaves behind, and that no finished run is ever lost or done again."""

import json
import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import advad
from advad.cli.main import main
from advad.engine.detector import CHECKPOINT
from advad.experiments.run import STARTS_AT_MOST, RunResult, attempt
from advad.experiments.run_files import ERROR, STARTS
from advad.experiments.spec import Plan, read_plan
from advad.experiments.sweep import collected, sweep
from advad.experiments.time_estimate import listing
from advad.lessons import catalogue
from advad.lessons.parameters import SpecError
from advad.scoreboard import table as board
from tests.waiting import Waits

TINY = {"method": "AE", "epochs": 3, "widths": [16], "latent_dim": 4}
# The same without a spec, which means float32 where it names no precision.
BY_HAND: dict[str, Any] = {"widths": (16,), "latent_dim": 4, "device": "cpu", "precision": "float32"}
SPEC = {"seed": [0, 1], "device": "cpu", "data": {"dataset": "digits", "normal": [0, 8]}, "methods": [TINY]}
TOML = """
seed = [0, 1]
device = "cpu"
[data]
dataset = "digits"
normal = [0, 8]
[[methods]]
method = "AE"
epochs = 3
widths = [16]
latent_dim = 4
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(**changes):
    return SPEC | changes


def call(*arguments):
    return CliRunner().invoke(main, ["sweep", *map(str, arguments)], catch_exceptions=False)


def starts(folder):
    """Return how often each run was begun, by its own append-only record."""
    return {path.parent.name: len(path.read_text().splitlines()) for path in Path(folder).glob(f"*/{STARTS}")}


def finished(folder):
    return {path.parent.name for path in Path(folder).glob("*/results.json")}


# ------------------------------------------------------------------ what is asked for


def test_every_list_is_a_side_of_the_grid():
    methods = [TINY | {"epochs": [1, 2], "widths": [[16], [16, 8]]}, {"method": "DAE", "noise": ["uniform", "speckle"]}]
    plan = read_plan(changed(methods=methods, data={"dataset": "digits", "normal": [0, [1, 2]], "contamination": 0}))
    assert len(plan.runs) == (2 * 2 + 2) * 2 * 2
    assert len({run.name for run in plan.runs}) == len(plan.runs)
    first = plan.runs[0]
    assert first.settings["widths"] == (16,)
    assert first.settings["batch_size"] == 128  # the default is part of what a run is
    assert first.data["contamination"] == 0.0
    assert first.varied == {"method": "AE", "epochs": 1, "widths": [16], "normal": 0, "seed": 0}
    assert plan.runs[2].label == "AE-digits-1+2-seed0"


def test_a_list_by_nature_is_one_value():
    data = {"dataset": "digits", "normal": 0, "contamination": 0.05, "contaminants": [2, 3]}
    plan = read_plan(changed(methods=[TINY], data=data, seed=0))
    assert len(plan.runs) == 1
    assert plan.runs[0].split().settings["contaminants"] == [2, 3]


def test_a_run_is_told_by_what_it_is_not_by_where_it_is_computed():
    one, cpu = (read_plan(changed(device=device)).runs[0] for device in ("auto", "cpu"))
    assert one.name == cpu.name
    others = [changed(methods=[TINY | {"epochs": 4}]), changed(data={"dataset": "digits", "normal": 0, "holdout": 0.2})]
    assert all(read_plan(spec).runs[0].name != one.name for spec in others)


def test_the_same_run_twice_is_one():
    assert len(read_plan(changed(seed=[0, 0])).runs) == 2


BAD = {  # a change of the spec -> what its one line says
    'seed = "a"\n': "sweep: seed must be a whole number; got 'a'.",
    "sead = 1\n": "sweep: the spec: no parameter 'sead'. Did you mean seed?",
    "seed = []\n": "sweep: the spec: seed must have at least one value; got [].",
    'device = "gpu"\n': "sweep: device must be one of 'auto', 'cpu', 'cuda', 'mps'; got 'gpu'.",
    "seed = 0\nmethods = []\n": "sweep: methods must be one table or more; got [].",
    "[data\n": "sweep: spec.toml must be TOML; ",
    'name = "a/b"\n': "sweep: name must be a word fit for a folder; got 'a/b'.",
    '[data]\ndataset = "digit"\nnormal = 8\n': "sweep: load: name must be one of digits, ",
    '[data]\ndataset = "MNIST"\nnormal = 8\n': "sweep: load: MNIST must lie in ",
    '[data]\ndataset = "digits"\n': "sweep: data must name normal, which one_class asks for.",
    '[data]\ndataset = "digits"\nnormal = 12\n': "sweep: one_class: normal must be classes of digits (0, 1, 2, 3, ",
    '[data]\ndataset = "digits"\nnormal = 1\ncontamination = 2\n': "sweep: one_class: contamination must be in [0, 1)",
    '[data]\ndataset = "digits"\nnormal = 1\nprotocol = "one"\n': "sweep: data: protocol must be one of leave_one",
    '[data]\ndataset = "digits"\nnormel = 1\n': "sweep: data: no parameter 'normel'. Did you mean normal?",
    '[[methods]]\nmethod = "ARAY"\n': "sweep: methods[1].method must be one of AE, ",
    '[[methods]]\nmethod = "PyOD"\n': "sweep: methods[1].method must be one of AE, ",
    '[[methods]]\nmethod = "PCA"\ndevice = "cpu"\n': "sweep: PCA: device must stand at the top of the spec",
    '[[methods]]\nmethod = "ARAE"\natack_radius = 0.1\n': "sweep: ARAE: no parameter 'atack_radius'. Did you mean at",
    '[[methods]]\nmethod = "ARAE"\nattack_radius = [0.1, 20]\n': "sweep: ARAE: attack_radius must be in [0, 1]; got 20",
    '[[methods]]\nmethod = "ARAE"\nepochs = []\n': "sweep: ARAE: epochs must have at least one value; got [].",
    '[[methods]]\nmethod = ["AE", "DAE"]\n': "sweep: methods[1].method must be one of AE, ",
    'lesson = "00"\ntimeout = "long"\n': "sweep: timeout must be a whole number; got 'long'.",
    '[[methods]]\nmethod = "ARAE"\nseed = 3\n': "sweep: ARAE: seed must stand at the top of the spec",
    'lesson = "77"\n': "sweep: no lesson '77'.",
    'lesson = "00"\n[parameters]\nnormale = 3\n': "sweep: 00_start: no parameter 'normale'. Did you mean normal?",
    'lesson = "00"\n[parameters]\nnormal = [3, 10]\n': "sweep: 00_start: normal must be in [0, 9]; got 10.",
    'lesson = "00"\n[parameters]\nnormal = []\n': "sweep: parameters: normal must have at least one value; got [].",
}


@pytest.mark.parametrize(("text", "said"), BAD.items(), ids=[text.splitlines()[-1].strip() for text in BAD])
def test_a_bad_spec_is_one_line_and_exit_code_2(here, monkeypatch, text, said):
    monkeypatch.setenv("ADVAD_DATA", str(here))
    if "[data" not in text and "lesson" not in text:
        text += '\n[data]\ndataset = "digits"\nnormal = 8\n'
    if "methods" not in text and "lesson" not in text:
        text += '\n[[methods]]\nmethod = "AE"\n'
    (here / "spec.toml").write_text(text)
    result = call("spec.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"advad: {said}")
    assert result.stderr.count("\n") == 1
    assert not (here / "runs").exists()


def test_a_missing_spec_and_an_unfit_folder(here):
    assert call("none.toml").stderr.startswith("advad: sweep: the spec must be a file that can be read; got none.toml")
    (here / "spec.toml").write_text(TOML)
    (here / "taken").mkdir()
    (here / "taken" / "thesis.tex").touch()
    (here / "file").touch()
    for out, said in (
        ("taken", "must be empty or a sweep's; got"),
        ("file/x", "must be readable; got [Errno 20] Not a"),
    ):
        result = call("spec.toml", "--out", out)
        assert result.exit_code == 2
        assert said in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written(here, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("advad.experiments.sweep.write_json", refuse)
    with pytest.raises(
        SpecError, match=r"the folder must be writable \(Permission denied\); got '.*there'. --out names"
    ):
        sweep(SPEC, folder="there", progress=False)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc, where even root cannot write")
def test_a_folder_where_nobody_can_write(here):
    (here / "spec.toml").write_text(TOML)
    result = call("spec.toml", "--out", "/proc/sweep")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("advad: sweep: the folder must be writable (")
    assert result.stderr.count("\n") == 1


def test_another_sweeps_folder_is_left_alone(here):
    sweep(changed(name="first", seed=0), folder="out", progress=False)
    before = starts("out")
    with pytest.raises(SpecError, match="must hold the sweep 'second' of methods; got the sweep 'first' of methods"):
        sweep(changed(name="second"), folder="out", progress=False)
    assert starts("out") == before


def test_a_dry_run_lists_and_does_nothing(here):
    (here / "spec.toml").write_text(TOML)
    result = call("spec.toml", "--dry-run")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("under 1 s  AE-digits-0-seed0-")
    assert lines[0].endswith("normal=0 seed=0")
    assert lines[-1].startswith("4 runs, 0 finished, 4 to do: under 1 s, in ")
    assert not (here / "runs").exists()


# ------------------------------------------------------------------ what is left behind


def test_what_a_run_leaves_behind(here):
    (outcome,) = sweep(changed(seed=1, data={"dataset": "digits", "normal": 8}), progress=False)
    folder = here / "runs" / "sweeps" / "sweep"
    (home,) = (path for path in folder.iterdir() if path.is_dir())
    results = json.loads((home / "results.json").read_text())
    assert results == outcome.results == collected(folder)[0]
    assert not (home / CHECKPOINT).exists()
    split = advad.one_class(advad.load("digits"), normal=8, seed=1)
    detector = advad.AE(**BY_HAND, epochs=3, seed=1).fit(split.train, progress=False)
    truth, scores = split.test_is_anomaly, detector.anomaly_score(split.test)
    auroc = results["metrics"]["auroc"]
    assert auroc["value"] == advad.auroc(truth, scores)
    assert auroc["low"] < auroc["value"] < auroc["high"]
    threshold = detector.calibrate(split.holdout).threshold_
    assert results["metrics"]["f1_holdout"]["value"] == advad.f1_at(truth, scores, threshold)
    assert results["seed"] == results["parameters"]["seed"] == results["data"]["seed"] == 1
    assert results["images"]["test"] == 540
    assert len(results["indices"]) == 16
    assert results["starts"] == 1
    assert results["device"].endswith("CPU, 1 thread")
    assert results["versions"]["advad"] == advad.__version__
    assert results["git"] is None or len(results["git"]["commit"]) == 40


def test_contaminated_runs_have_the_papers_metrics(here):
    data = {"dataset": "digits", "normal": 0, "contamination": 0.05, "contaminants": [2]}
    (outcome,) = sweep(changed(seed=0, data=data), progress=False)
    split = advad.one_class(advad.load("digits"), normal=0, contamination=0.05, contaminants=[2], seed=0)
    detector = advad.AE(**BY_HAND, epochs=3, seed=0).fit(split.train, progress=False)
    threshold = advad.threshold_at(detector.anomaly_score(split.train), 0.1)
    rows = (~split.test_is_anomaly | (split.test_labels == 2)).numpy()
    truth, scores = split.test_is_anomaly.numpy()[rows], detector.anomaly_score(split.test)[rows]
    found = outcome.results["metrics"]["balanced_accuracy_observed"]["value"]
    assert found == advad.balanced_accuracy(truth, scores, threshold)


def test_classical_methods_are_swept_too(here):
    methods = [{"method": "PCA", "n_components": [4, 8]}, {"method": "IForest", "n_estimators": 10}]
    plan = read_plan(changed(methods=methods, data={"dataset": "digits", "normal": 8}))
    assert "under 1 s" in listing(plan, here / "out")
    outcomes = sweep(plan, folder="out", progress=False)
    assert [outcome.error for outcome in outcomes] == [""] * 6
    split = advad.one_class(advad.load("digits"), normal=8, seed=1)
    for outcome, detector in (
        (outcomes[1], advad.PCA(n_components=4)),
        (outcomes[5], advad.IForest(n_estimators=10, seed=1)),
    ):
        expected = advad.auroc(split.test_is_anomaly, detector.fit(split.train).anomaly_score(split.test))
        assert outcome.results["metrics"]["auroc"]["value"] == expected
        assert outcome.results["weights"] == 0
        assert outcome.results["seconds"] >= 0


def test_auroc_over_the_last_epochs_is_that_of_each_of_them(here):
    spec = changed(seed=0, data={"dataset": "digits", "normal": 8}, last_epochs=2, methods=[TINY, {"method": "PCA"}])
    plan = read_plan(spec)
    assert [run.last_epochs for run in plan.runs] == [2, 0]
    assert plan.runs[0].digest != read_plan(spec | {"last_epochs": 0}).runs[0].digest
    outcome, classical = sweep(plan, folder="out", progress=False)
    split = advad.one_class(advad.load("digits"), normal=8, seed=0)
    by_epoch = [
        advad.auroc(split.test_is_anomaly, advad.AE(**BY_HAND, epochs=n).fit(split.train).anomaly_score(split.test))
        for n in (2, 3)
    ]
    metrics = outcome.results["metrics"]
    assert metrics["auroc_last_2_epochs"]["value"] == pytest.approx(np.mean(by_epoch))
    assert metrics["auroc_sd_last_2_epochs"]["value"] == pytest.approx(np.std(by_epoch, ddof=1))
    assert metrics["auroc"]["value"] == by_epoch[-1]
    assert not [name for name in classical.results["metrics"] if "epochs" in name]


def test_started_again_it_does_what_is_missing_or_changed(here):
    first = sweep(SPEC, folder="out", progress=False)
    assert [outcome.fresh for outcome in first] == [True] * 4
    gone = first[2].run.name
    (here / "out" / gone / "results.json").unlink()
    (here / "out" / first[1].run.name / "results.json").write_text('{"half')
    again = sweep(SPEC, folder="out", progress=False)
    assert [outcome.fresh for outcome in again] == [False, True, True, False]
    assert again[2].results["metrics"] == first[2].results["metrics"]
    larger = sweep(changed(seed=[1, 2]), folder="out", progress=False)
    assert [outcome.fresh for outcome in larger] == [False, True, False, True]
    assert len(finished("out")) == 6
    assert len(collected("out")) == 4  # the spec, as last started, asks for these


def test_a_run_that_fails_is_kept_and_does_not_stop_the_others(here, monkeypatch):
    (here / "spec.toml").write_text(TOML)
    step = advad.AE.step

    def breaks(self, update, x):
        if self.seed == 1:
            raise ArithmeticError("it\nbroke")
        step(self, update, x)

    monkeypatch.setattr(advad.AE, "step", breaks)
    result = call("spec.toml", "--out", "out")
    assert result.exit_code == 1
    failures = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert len(failures) == 2
    assert failures[0].endswith("ArithmeticError: it broke")
    assert result.stderr.splitlines()[-1] == "advad: 2 of 4 runs failed; error.txt in their folders says why"
    assert {name.split("-")[3] for name in finished("out")} == {"seed0"}
    (error, _) = Path("out").glob(f"*/{ERROR}")
    assert "in breaks" in error.read_text()
    monkeypatch.setattr(advad.AE, "step", step)
    result = call("spec.toml", "--out", "out")
    assert result.exit_code == 0
    assert "4 runs, 2 of them finished before: out" in result.stdout
    assert not list(Path("out").glob(f"*/{ERROR}"))
    assert sorted(starts("out").values()) == [1, 1, 2, 2]


def test_ctrl_c_loses_nothing_that_is_finished(here, monkeypatch):
    (here / "spec.toml").write_text(TOML.replace("epochs = 3", "epochs = 30"))
    step = advad.AE.step

    def interrupted(self, update, x):
        if len(finished("out")) == 2 and update.epoch == 15:
            raise KeyboardInterrupt
        step(self, update, x)

    monkeypatch.setattr(advad.AE, "step", interrupted)
    result = call("spec.toml", "--out", "out")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "advad: interrupted"
    assert len(finished("out")) == 2
    assert len(list(Path("out").glob(f"*/{CHECKPOINT}"))) == 1  # the run in flight
    monkeypatch.setattr(advad.AE, "step", step)
    assert call("spec.toml", "--out", "out").exit_code == 0
    assert sorted(starts("out").values()) == [1, 1, 1, 2]


def test_a_run_that_kills_its_workers_is_given_up(here):
    run = read_plan(changed(seed=0)).runs[0]
    folder = here / "out" / run.name
    folder.mkdir(parents=True)
    line = json.dumps({"session": "now"}) + "\n"
    about = {"slot": 0, "threads": None, "git": None}
    (folder / STARTS).write_text(line * STARTS_AT_MOST)
    outcome = attempt(run, here / "out", session="now", **about)
    assert outcome.error == "its worker died 3 times; there may be too little memory"
    assert "died 3 times" in (folder / ERROR).read_text()
    assert attempt(run, here / "out", session="another", **about).results["starts"] == STARTS_AT_MOST + 1


def test_runs_are_dealt_to_the_gpus(here, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    seen = []

    def noted(run, folder, *, slot, **_):
        seen.append(run.detector(slot).device)
        return RunResult(run, {"method": "none"})

    monkeypatch.setattr("advad.experiments.sweep.attempt", noted)
    sweep(changed(device="auto"), folder="out", progress=False)
    assert seen == ["cuda:0", "cuda:1"] * 2
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert read_plan(changed(device="auto")).runs[1].detector(1).device == "auto"  # one is shared


# ------------------------------------------------------------------ what a run is


def test_a_finished_sweep_stays_finished():
    """Digests of version 0.1: if one changes, every finished sweep of a user would run again."""
    spec = {"seed": 0, "data": {"dataset": "digits", "normal": 0}}
    methods = [TINY, {"method": "PCA", "components": 4}]
    names = [run.name for run in read_plan(spec | {"methods": methods}).runs]
    assert names == ["AE-digits-0-seed0-f60d4ce2", "PCA-digits-0-seed0-616e33c9"]


def test_a_later_parameter_and_a_new_name_do_not_change_a_run(monkeypatch):
    data = {"dataset": "digits", "normal": 0}
    before = read_plan(changed(seed=0, data=data, methods=[TINY])).runs[0]
    monkeypatch.setattr(advad.AE, "former_values", {"activation": "relu"}, raising=False)
    (after,) = read_plan(changed(seed=0, data=data, methods=[TINY])).runs
    assert "activation" not in after.identity()["parameters"]
    (other,) = read_plan(changed(seed=0, data=data, methods=[TINY | {"activation": "sigmoid"}])).runs
    assert other.identity()["parameters"]["activation"] == "sigmoid"
    monkeypatch.setattr(advad.AE, "former_values", {}, raising=False)
    monkeypatch.setattr(advad.AE, "renamed_parameters", {"code_size": "latent_dim"}, raising=False)
    old = {name: value for name, value in TINY.items() if name != "latent_dim"} | {"code_size": 4}
    (renamed,) = read_plan(changed(seed=0, data=data, methods=[old])).runs
    assert renamed.settings == before.settings
    assert renamed.identity()["parameters"]["code_size"] == 4


def folder_of_images(root, bad=200):
    rng = np.random.default_rng(0)
    for name, value in {"1": 60, "2": bad}.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(20):
            pixels = np.full((8, 8), value, np.uint8) + rng.integers(0, 12, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def test_changed_images_of_a_folder_are_another_run_and_classes_have_names(here, capsys):
    folder_of_images(here / "images")
    spec = {"data": {"dataset": "images", "protocol": "merged", "normal": "1"}, "methods": [{"method": "PCA"}]}
    (first,) = sweep(spec, folder="out", progress=False)
    assert first.results["data"]["normal"] == ["1"]
    assert [row.normal for row in board.sweep_rows("out")][0] == "1"
    (again,) = sweep(spec, folder="out", progress=False)
    assert (again.fresh, again.run.name) == (False, first.run.name)
    planned = read_plan(spec)
    folder_of_images(here / "images", bad=60)
    (second,) = sweep(spec, folder="out", progress=False)
    assert second.fresh
    assert second.results["metrics"]["auroc"]["value"] < 0.9 < first.results["metrics"]["auroc"]["value"]
    (late,) = sweep(planned, folder="late", progress=False)
    assert "the images of images must stay as they are" in late.error


def test_a_spec_from_windows(here):
    (here / "spec.toml").write_bytes(b"\xef\xbb\xbf" + TOML.encode())
    assert len(read_plan(here / "spec.toml").runs) == 4


def test_too_many_runs_are_refused_at_once():
    with pytest.raises(SpecError, match="the spec must ask for at most 10,000 runs; got 100001"):
        read_plan(changed(seed=list(range(100_001))))
    with pytest.raises(SpecError, match="the spec must ask for at most 10,000 runs; got 10002"):
        read_plan(changed(seed=list(range(5001))))


# ------------------------------------------------------------------ published tables

TABLE = {
    "paper": "arae",
    "table": "2",
    "seed": [0, 1],
    "seeds_first": True,
    "device": "cpu",
    "data": [{"dataset": "digits", "normal": [0, 8]}, {"dataset": "digits", "normal": 1, "holdout": 0.2}],
    "methods": [
        {"method": "PCA"},
        {"method": "AE", "latent_dim": 4, "laptop": {"epochs": 2, "digits": {"learning_rate": 2e-3}}, "paper": {}},
    ],
}


def test_a_table_has_several_data_sets_and_all_runs_of_a_seed_first():
    plan = read_plan(TABLE)
    assert (plan.name, plan.budget) == ("sweep-laptop", "laptop")
    found = [(run.seed, run.method, run.data["normal"], run.data["holdout"]) for run in plan.runs]
    one = [(method, normal, holdout) for method in ("PCA", "AE") for normal, holdout in ((0, 0.1), (8, 0.1), (1, 0.2))]
    assert found == [(seed, *rest) for seed in (0, 1) for rest in one]
    settings = plan.runs[3].settings
    assert (settings["epochs"], settings["learning_rate"], settings["latent_dim"]) == (2, 2e-3, 4)


def test_a_method_may_take_fewer_seeds():
    methods = [{"method": "PCA", "seeds": 1}, TINY]
    found = [(run.method, run.seed) for run in read_plan(changed(methods=methods)).runs]
    assert found == [("PCA", 0)] * 2 + [("AE", 0), ("AE", 1)] * 2
    with pytest.raises(SpecError, match=r"PCA: seeds must be in \[1, 2\]; got 3"):
        read_plan(changed(methods=[{"method": "PCA", "seeds": 3}]))


def test_the_paper_budget_begins_with_the_published_settings(monkeypatch):
    def settings_of(published):
        @classmethod
        def paper_settings(cls, dataset, paper=None):
            if (dataset, paper) not in published:
                raise ValueError("none")
            return published[dataset, paper]

        return paper_settings

    def found(published):
        monkeypatch.setattr(advad.AE, "paper_settings", settings_of(published), raising=False)
        monkeypatch.setattr(advad.PCA, "paper_settings", settings_of({}), raising=False)
        return read_plan(TABLE, "paper").runs

    own = {("digits", None): {"epochs": 7, "widths": (9,)}}
    runs = [run for run in found(own) if run.method == "AE"]
    assert {(run.settings["epochs"], run.settings["widths"], run.settings["latent_dim"]) for run in runs} == {
        (7, (9,), 4)
    }
    theirs = own | {("digits", "arae"): {"epochs": 8}}
    assert {run.settings["epochs"] for run in found(theirs) if run.method == "AE"} == {8}
    assert {run.method for run in found({})} == {"PCA"}  # nothing is published of AE, and the spec says nothing


def test_a_budget_that_is_not_there():
    with pytest.raises(SpecError, match="sweep: budget must be one of laptop, paper; got 'lab'"):
        read_plan(TABLE, "lab")
    with pytest.raises(SpecError, match="sweep: the spec must have budgets"):
        read_plan(SPEC, "paper")
    methods = [{"method": "AE", "laptop": {"MNISTT": {"epochs": 2}}}]
    with pytest.raises(SpecError, match="AE: the table laptop.MNISTT must name one of the data sets digits"):
        read_plan(TABLE | {"methods": methods})


# ------------------------------------------------------------------ kills


def begin(spec, folder, **how):
    """Start a sweep in a process of its own."""
    process = multiprocessing.get_context("fork").Process(
        target=sweep, args=(spec,), kwargs={"folder": folder, "progress": False, **how}
    )
    process.start()
    return process


def wait_for(condition, process):
    """Wait until something has happened, or the sweep has ended by itself."""
    while not condition() and process.is_alive():
        process.join(0.005)


def test_killed_three_times_every_run_is_finished_once(here):
    long = changed(methods=[TINY | {"epochs": 60}], data={"dataset": "digits", "normal": [0, 1, 2, 8]})
    chance, kills, kept = random.Random(0), 0, {}
    for _ in range(3):
        process = begin(long, "out")
        enough = sum(starts("out").values()) + chance.randint(1, 2)
        wait_for(lambda enough=enough: sum(starts("out").values()) >= enough, process)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        assert set(kept) <= finished("out")
        assert all(starts("out")[name] == count for name, count in kept.items())
        kept = {name: starts("out")[name] for name in finished("out")}
    assert kills == 3
    outcomes = sweep(long, folder="out", progress=False)
    assert len(outcomes) == 8
    assert {outcome.run.name for outcome in outcomes} == finished("out")
    assert all(starts("out")[name] == count for name, count in kept.items())  # no finished run was begun again
    assert 8 < sum(starts("out").values()) <= 8 + kills  # one run was in flight at each kill, or none
    undisturbed = sweep(long, folder="undisturbed", progress=False)
    assert [o.results["metrics"] for o in outcomes] == [o.results["metrics"] for o in undisturbed]


def test_a_run_in_flight_goes_on_from_its_checkpoint(here, monkeypatch):
    long = changed(methods=[TINY | {"epochs": 300}], data={"dataset": "digits", "normal": 0}, seed=0)
    process = begin(long, "out")
    wait_for(lambda: list(Path("out").glob(f"*/{CHECKPOINT}")), process)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    step, epochs = advad.AE.step, []

    def counted(self, update, x):
        epochs.append(update.epoch)
        step(self, update, x)

    monkeypatch.setattr(advad.AE, "step", counted)
    (outcome,) = sweep(long, folder="out", progress=False)
    assert outcome.results["starts"] == 2
    assert epochs[0] >= 10
    assert epochs[-1] == 299


@pytest.mark.xdist_group("sweep-workers")
def test_one_of_two_workers_is_killed(here):
    plan = Plan("waiting", {}, [Waits(number=number, gate=here / "gate") for number in range(4)])
    process = begin(plan, "out", workers=2)
    wait_for(lambda: sum(starts("out").values()) == 2, process)
    victim = json.loads(next(Path("out").glob(f"*/{STARTS}")).read_text())["pid"]
    assert victim != process.pid
    os.kill(victim, signal.SIGKILL)
    (here / "gate").touch()
    process.join()
    assert process.exitcode == 0
    assert sorted(results["number"] for results in collected("out")) == [0, 1, 2, 3]
    assert {results["threads"] for results in collected("out")} == {1}
    assert 4 < sum(starts("out").values()) <= 4 + 2  # loky gives up the other worker, too


# ------------------------------------------------------------------ lessons


def test_a_lessons_parameters(here, monkeypatch):
    recording = "import json, pathlib\nif epochs == 2: raise KeyError('x')\n"
    recording += "about = {'lesson': '00_good', 'finding': 'It ran.', 'metrics': {'twice': 2 * epochs}, 'seconds': 1}\n"
    recording += "pathlib.Path(output_dir, 'results.json').write_text(json.dumps(about))"
    parameters = 'epochs: int = 3  # [1, 10]\nprofile: str = "smoke"\noutput_dir: str = "elsewhere"'
    cells = [
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(recording),
    ]
    (here / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), here / "notebooks" / "00_good.ipynb")
    monkeypatch.setattr(catalogue, "lesson_folders", lambda: [here / "notebooks"])
    outcomes = sweep({"lesson": "00", "parameters": {"epochs": [1, 2]}}, folder="out", progress=False)
    assert outcomes[0].results["metrics"] == {"twice": 2}
    assert outcomes[0].results["varied"] == {"epochs": 1}
    assert outcomes[0].run.parameters == {"epochs": 1, "profile": "smoke"}
    assert "KeyError" in outcomes[1].error
    assert finished("out") == {outcomes[0].run.name}
    with pytest.raises(SpecError, match="must hold the sweep 'sweep' of methods; got the sweep 'sweep' of 00_good"):
        sweep(SPEC, folder="out", progress=False)
