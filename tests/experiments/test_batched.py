"""Sweeps on a GPU: runs of one method trained in one loop, dealt to GPUs, and done one by one where that cannot be.

What is a GPU's is told so here by hand, and computed on the processor: a stack is the same there.
"""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

import advad
from advad.engine.detector import CHECKPOINT
from advad.experiments import batched
from advad.experiments.run_files import ERROR, STARTS
from advad.experiments.spec import read_plan
from advad.experiments.sweep import collected, sweep
from tests.experiments.test_sweep import begin, finished, starts, wait_for

SMALL = {"epochs": 3, "widths": [16], "latent_dim": 4}
DATA = {"dataset": "digits", "normal": [0, 8], "train_size": 60}


def spec(*methods, **data):
    return {"seed": [0, 1], "device": "cpu", "data": DATA | data, "methods": [SMALL | method for method in methods]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(batched, "on_gpu", lambda run: True)


def values(outcomes):
    return np.array([outcome.results["metrics"]["auroc"]["value"] for outcome in outcomes])


def test_runs_that_differ_in_class_and_seed_are_one_loop_with_the_same_figures(here, gpu, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(batched, "on_gpu", lambda run: False)
        alone = sweep(spec({"method": "AE"}, {"method": "ARAE"}), folder="alone", progress=False)
    sizes = []
    fit = batched.fit_stacked

    def counted(detectors, images, **how):
        sizes.append((type(detectors[0]).__name__, len(images)))
        return fit(detectors, images, **how)

    monkeypatch.setattr(batched, "fit_stacked", counted)
    outcomes = sweep(spec({"method": "AE"}, {"method": "ARAE"}), folder="out", progress=False)
    assert sizes == [("AE", 4), ("ARAE", 4)]
    assert [outcome.run.name for outcome in outcomes] == [outcome.run.name for outcome in alone]
    np.testing.assert_allclose(values(outcomes), values(alone), atol=0.005)  # single precision
    assert len(set(values(outcomes))) > 4  # each has weights of its own
    for outcome, by_itself in zip(outcomes, alone, strict=True):
        assert outcome.results["together"] == 4
        assert outcome.results["indices"] == by_itself.results["indices"]
        assert outcome.results["parameters"] == by_itself.results["parameters"]
        assert outcome.results["seconds"] > 0
    assert set(starts("out").values()) == {1}
    assert capsys.readouterr().err == ""
    again = sweep(spec({"method": "AE"}, {"method": "ARAE"}), folder="out", progress=False)
    assert not any(outcome.fresh for outcome in again)
    assert len(sizes) == 2


def test_what_cannot_be_stacked_is_told_in_one_line_and_done_one_by_one(here, gpu, capsys):
    methods = {"method": "AAE", "critic_widths": [16]}, {"method": "AE"}
    outcomes = sweep(spec(*methods), folder="out", progress=False)
    why = "sweep: AAE is trained one by one: its training has stages, or begins with all images."
    assert capsys.readouterr().err.splitlines() == [why]
    assert ["together" in outcome.results for outcome in outcomes] == [False] * 4 + [True] * 4
    assert len(finished("out")) == len(collected("out")) == 8


def test_one_that_fails_does_not_stop_the_others(here, gpu, monkeypatch, capsys):
    loss = advad.AE.loss

    def diverges(self, networks, x):
        return loss(self, networks, x) if self.seed == 0 else (x.sum() * networks.encoder(x).sum() * torch.inf, {})

    monkeypatch.setattr(advad.AE, "loss", diverges)
    outcomes = sweep(spec({"method": "AE"}) | {"seed": [1, 0]}, folder="out", progress=False)
    assert ["not finite" in outcome.error for outcome in outcomes] == [True, False] * 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sweep: AE is trained one by one")
    assert len(finished("out")) == 2


@pytest.mark.parametrize("hook", ["on_fit_end", "score_images"])
def test_a_fault_of_the_program_is_told_and_not_trained_a_second_time(here, gpu, monkeypatch, capsys, hook):
    def faulty(*_):
        raise KeyError("low")

    fits = []
    monkeypatch.setattr(advad.AE, hook, faulty)
    monkeypatch.setattr(advad.AE, "fit", lambda *_, **__: fits.append("one by one"))
    outcomes = sweep(spec({"method": "AE"}), folder="out", progress=False)
    assert [outcome.error for outcome in outcomes] == ["KeyError: 'low'"] * 4
    assert fits == []
    assert all("in faulty" in (Path("out") / outcome.run.name / ERROR).read_text() for outcome in outcomes)
    assert capsys.readouterr().err == ""


def test_a_sweep_killed_in_a_loop_begins_it_anew_and_nothing_else(here, gpu):
    some = spec({"method": "AE"}, {"method": "DAE", "epochs": 300})
    process = begin(some, "out")
    wait_for(lambda: sum(starts("out").values()) > 4, process)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    kept = {name: starts("out")[name] for name in finished("out")}
    assert len(kept) == 4
    outcomes = sweep(some, folder="out", progress=False)
    assert [outcome.fresh for outcome in outcomes] == [False] * 4 + [True] * 4
    assert all(starts("out")[name] == count for name, count in kept.items())
    assert {outcome.run.name for outcome in outcomes} == finished("out")


def test_after_a_dead_worker_each_is_done_by_itself(here, gpu):
    runs = read_plan(spec({"method": "AE"})).runs
    about = {"slot": 0, "threads": None, "git": None}
    folder = here / runs[2].name
    folder.mkdir()
    (folder / STARTS).write_text(json.dumps({"session": "now"}) + "\n")
    outcomes, rest, why = batched.attempt_all(runs, here, session="now", **about)
    assert (outcomes, rest) == ([], [run.name for run in runs])
    assert "died" in why
    outcomes, rest, why = batched.attempt_all(runs, here, session="another", **about)
    assert (len(outcomes), rest, why) == (4, [], "")


def test_what_is_put_together(here, monkeypatch):
    monkeypatch.setattr(batched, "choose_device", lambda device: torch.device("cuda"))
    many = spec({"method": "AE"}, {"method": "DAE"}, normal=list(range(10)))
    sizes = [len(group) for group in batched.groups(read_plan(many).runs, here)]
    assert sizes == [10, 10, 10, 10]
    whole = {"dataset": "digits", "normal": [0, 8]}  # of another size each: only seeds go together
    runs = read_plan(spec({"method": "AE"}) | {"data": whole}).runs
    assert [[t.data["normal"] for t in group] for group in batched.groups(runs, here)] == [[0, 0], [8, 8]]
    (here / runs[0].name).mkdir()
    (here / runs[0].name / CHECKPOINT).touch()
    assert [len(group) for group in batched.groups(runs, here, [runs[2].name])] == [1, 1, 1, 1]
    classical = read_plan({"seed": [0, 1], "data": DATA, "methods": [{"method": "PCA"}]}).runs
    assert [len(group) for group in batched.groups(classical, here)] == [1] * 4
    monkeypatch.undo()
    cpu = read_plan(spec({"method": "AE"})).runs
    assert [len(group) for group in batched.groups(cpu, here)] == [1] * 4


def test_runs_are_dealt_to_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    run = read_plan(spec({"method": "AE"}) | {"device": "auto"}).runs[0]
    assert [run.detector(slot).device for slot in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert run.detector(1).device == "auto"  # one is shared


def test_a_loop_is_one_task(here, monkeypatch):
    seen = []

    def noted(runs, folder, *, slot, **_):
        seen.append((slot, len(runs)))
        return [batched.RunResult(run, {"method": "none"}) for run in runs], [], ""

    monkeypatch.setattr(batched, "on_gpu", lambda run: True)
    monkeypatch.setattr("advad.experiments.sweep.attempt_all", noted)
    sweep(spec({"method": "AE"}, {"method": "DAE"}), folder="out", progress=False)
    assert seen == [(0, 4), (1, 4)]  # so that two loops take two GPUs
    assert len(list(Path("out").glob("*/results.json"))) == 8
