"""SIGKILL in the middle of training, then the same call again: the detector is that of an undisturbed run, bit for bit.

In each run of the tests 21 kills: 3 of each of 7 methods, most with stages or a memory.
With `-m slow` 72 more: 9 of each of 8 methods.
"""

import multiprocessing
import os
import random
import signal
import time
from functools import partial

import pytest
import torch

from advad.files import read_state
from tests.cases import make, noise

# games, stages, a centre, growth, a density
SEVEN = [
    "DAE-uniform",
    "AAE",
    "ITSR",
    "DeepSVDD",
    "Berg",
    "FAnoGAN",
    "LSA",
]
SMALL = {"DAE-uniform": {"widths": (8,)}, "LSA": {"widths": (8,)}, "AAE": {"widths": (8,)}, "ITSR": {"widths": (8,)}}
X = noise(24, (1, 16, 16))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")


def train(folder, case, epochs, on_epoch=None):
    """Train in a folder, going on with what is there, and save the end."""
    detector = make(case, **SMALL.get(case, {}) | {"epochs": epochs})
    detector.fit(X, run_dir=folder, progress=False, checkpoint_every=1, on_epoch=on_epoch)
    detector.threshold_ = float(detector.anomaly_score(X).sum())  # saved, and so compared
    detector.save(folder / "final")


def reached(folder):
    """Return how many epochs the checkpoint in a folder has."""
    path = folder / "checkpoint.safetensors"
    return read_state(path)[1]["epoch"] if path.exists() else 0


def in_child(function):
    """Start `function` in a process of its own, which need not import torch again."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    return process


def killed(folder, case, epochs, goal, delay):
    """Kill the training `delay` seconds after its epoch `goal` is done; the epoch after that is never left."""
    told, tell = multiprocessing.Pipe(duplex=False)

    def on_epoch(detector):
        done = len(detector.history_["epoch"])
        if done == goal:
            tell.send(done)
        elif done > goal:
            signal.pause()

    process = in_child(partial(train, folder, case, epochs, on_epoch))
    tell.close()  # so that the end of the child would end the wait
    told.recv()
    time.sleep(delay)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def check(case, kills, folder):
    """Kill a method so often; compare what it ends with."""
    chance, epochs = random.Random(4), 5 * kills // 2 + 1
    ends = []
    train(folder / "straight", case, epochs, lambda _: ends.append(time.perf_counter()))
    total = reached(folder / "straight")  # with all stages
    an_epoch = (ends[-1] - ends[0]) / (total - 1)  # and a checkpoint
    assert total >= 2 * kills
    # a kill may come one epoch late, and then moves the next goal: room for all of them, so that none is after the end
    goals = sorted(chance.sample(range(1, total - kills), kills))
    resumed = []
    for goal in goals:
        resumed.append(reached(folder / "killed"))
        killed(folder / "killed", case, epochs, max(goal, resumed[-1] + 1), chance.random() * an_epoch)
    assert resumed == sorted(set(resumed)), "each start got further than the one before"
    resumes = in_child(partial(train, folder / "killed", case, epochs))
    resumes.join()
    assert resumes.exitcode == 0
    (straight, metadata), (tensors, described) = (
        read_state(folder / name / "final.safetensors") for name in ("straight", "killed")
    )
    assert tensors.keys() == straight.keys()
    assert all(torch.equal(tensors[name], straight[name]) for name in straight)
    for stored in (metadata, described):
        del stored["history"]["seconds"]
    assert described == metadata
    left = sorted(path.name for path in (folder / "killed").iterdir() if path.name != ".checkpoint.lock")
    assert left == ["checkpoint.safetensors", "final.safetensors"], "temporary files of killed runs are cleared"


@pytest.mark.parametrize("case", SEVEN)
def test_a_method_killed_three_times(case, tmp_path):
    """21 kills of 7 methods at random moments."""
    check(case, 3, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*SEVEN, "OCGAN"])
def test_a_method_killed_nine_times(case, tmp_path):
    """72 kills of 8 methods."""
    check(case, 9, tmp_path)
