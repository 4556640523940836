"""Several at once: 2 processes, 4 threads and 2 sweeps with one folder; clocks that go back; specs that are edited."""

import multiprocessing
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import advad
from advad.engine.detector import CHECKPOINT
from advad.experiments.run_files import STARTS
from advad.experiments.sweep import collected, sweep
from advad.files import HOST, read_state
from tests.cases import noise
from tests.faults.refusals import refusal

QUICK = {"epochs": 1, "latent_dim": 2, "widths": (8,), "batch_size": 16, "device": "cpu"}
X = noise(32, (1, 8, 8))
METHOD = {"method": "AE", "epochs": 2, "widths": [4], "latent_dim": 2}
DATA = {"dataset": "digits", "normal": 8, "train_size": 30, "test_size": 30}
SPEC = {"seed": [0, 1, 2], "device": "cpu", "data": DATA, "methods": [METHOD]}

HOLD = """
import sys, advad
x = advad.load("digits").images[:32]
def hold(detector):
    print("holding", flush=True)
    sys.stdin.read(1)
advad.AE(epochs=1, latent_dim=2, widths=(8,), device="cpu").fit(x, run_dir=sys.argv[1], progress=False, on_epoch=hold)
"""


@pytest.fixture
def holder(tmp_path):
    """Return a process that trains in `tmp_path` until it is told to end."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_in_use_is_refused_and_the_holder_is_named(tmp_path, holder):
    text = refusal(lambda: advad.AE(**QUICK).fit(X, run_dir=tmp_path, progress=False))
    assert text.startswith(f"AE: run_dir {tmp_path} is in use by process {holder.pid} on ")
    holder.communicate("x")
    assert holder.returncode == 0
    assert read_state(tmp_path / CHECKPOINT)[1]["epoch"] == 1
    advad.AE(**QUICK).fit(X, run_dir=tmp_path, resume=False, progress=False)  # free again


def test_a_killed_holder_leaves_the_folder_free(tmp_path, holder):
    holder.kill()
    holder.wait()
    advad.AE(**QUICK).fit(X, run_dir=tmp_path, resume=False, progress=False)


def test_threads_with_one_folder(tmp_path):
    """4 threads at once: one trains, and each of the others trains after it or is refused in one line."""
    together, results = threading.Barrier(4), []

    def train(latent_dim):
        together.wait()
        try:
            advad.AE(**QUICK | {"latent_dim": latent_dim}).fit(X, run_dir=tmp_path, progress=False)
            results.append("trained")
        except ValueError as error:
            results.append(str(error))

    threads = [threading.Thread(target=train, args=(latent_dim,)) for latent_dim in (2, 3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("trained") == 1
    assert all(f"AE: run_dir {tmp_path} " in text and "\n" not in text for text in results if text != "trained")


def test_two_sweeps_at_once_do_each_run_once(tmp_path):
    """2 processes, 3 runs, 3 starts."""
    fork = multiprocessing.get_context("fork")
    how = {"folder": tmp_path / "out", "progress": False}
    processes = [fork.Process(target=sweep, args=(SPEC,), kwargs=how) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(collected(tmp_path / "out")) == 3
    assert [len(path.read_text().splitlines()) for path in (tmp_path / "out").glob(f"*/{STARTS}")] == [1, 1, 1]


def test_a_clock_that_goes_back_changes_nothing(tmp_path, monkeypatch):
    """Each look at the clock is a day before the last one: durations stay positive, and finished runs finished."""
    straight = sweep(SPEC, folder=tmp_path / "straight", progress=False)
    now = [time.time()]
    formatted = time.strftime

    def back():
        now[0] -= 24 * 60 * 60
        return now[0]

    monkeypatch.setattr(time, "time", back)
    monkeypatch.setattr(time, "strftime", lambda form, *_: formatted(form, time.localtime(back())))
    outcomes = sweep(SPEC, folder=tmp_path / "out", progress=False)
    assert [outcome.results["metrics"] for outcome in outcomes] == [o.results["metrics"] for o in straight]
    assert all(outcome.results["seconds"] > 0 for outcome in outcomes)
    assert not any(outcome.fresh for outcome in sweep(SPEC, folder=tmp_path / "out", progress=False))
    folder = tmp_path / "run"
    advad.AE(**QUICK).fit(X, run_dir=folder, progress=False)
    detector = advad.AE(**QUICK | {"epochs": 2}).fit(X, run_dir=folder, progress=False)
    assert min(detector.history_["seconds"]) > 0
    whole = advad.AE(**QUICK | {"epochs": 2}).fit(X, progress=False)
    assert np.array_equal(detector.anomaly_score(X), whole.anomaly_score(X))


def test_a_spec_that_is_edited_between_starts(tmp_path):
    """5 starts: what is still asked for stays finished, what is new is done, what is wrong changes nothing."""
    out = tmp_path / "out"

    def fresh(**edits):
        return [outcome.fresh for outcome in sweep(SPEC | edits, folder=out, progress=False)]

    assert fresh() == [True, True, True]
    assert fresh(methods=[METHOD | {"epochs": 3}], seed=[0]) == [True]  # other runs, beside the old ones
    assert len(collected(out)) == 1
    assert fresh(seed=[2, 1, 0]) == [False, False, False]
    for wrong in ({"methods": [METHOD | {"epochs": -1}]}, {"name": "another"}):
        refusal(lambda wrong=wrong: fresh(**wrong), Exception)
    assert fresh(methods=[METHOD, {"method": "PCA"}]) == [False, False, False, True, True, True]
    assert len(collected(out)) == 6


def test_what_killed_processes_left_is_cleared_at_the_next_start(tmp_path):
    """Temporary files and a checkpoint of a finished run, those of an unfinished run, and those of a sweep."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    temporary = f".{HOST}.{ended.stdout.strip()}.0123456789ab.tmp"
    out = tmp_path / "out"
    finished, unfinished = (o.run.name for o in sweep(SPEC | {"seed": [0, 1]}, folder=out, progress=False))
    (out / unfinished / "results.json").unlink()
    for name in (finished, unfinished):
        for file in (CHECKPOINT, "results.json"):
            (out / name / f".{file}{temporary}").write_bytes(b"half")
    (out / finished / CHECKPOINT).write_bytes(b"killed after its results were written")
    (out / f".sweep.json{temporary}").write_bytes(b"half")
    sweep(SPEC | {"seed": [0, 1]}, folder=out, progress=False)
    assert not list(out.glob("**/*.tmp"))
    assert not list(out.glob(f"**/{CHECKPOINT}"))
    assert len(collected(out)) == 2
