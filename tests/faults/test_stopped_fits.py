"""Fits that stop, by 4 exceptions, 3 refusals, a divergence: a detector is what its history says, or not fitted."""

import itertools

import numpy as np
import pytest

import advad
from advad.files import read_state
from tests.cases import make, noise

QUICK = {"epochs": 1, "latent_dim": 2, "widths": (8,), "batch_size": 16, "device": "cpu"}
X = noise(32, (1, 8, 8))


class Stopping(advad.AE):
    """Raises `error` in the third batch of the second epoch."""

    def step(self, update, x):
        super().step(update, x)
        if update.epoch == self.stop_in and update.batch == 1:
            raise self.error


@pytest.fixture
def copied_each_epoch(monkeypatch):
    """Let the loop keep a copy of its state after each epoch, not after each second."""
    clock = itertools.count(step=10)
    monkeypatch.setattr("advad.engine.training.time.monotonic", lambda: float(next(clock)))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("out of memory"), SystemExit(), KeyboardInterrupt()])
def test_any_exception_in_mid_epoch_leaves_the_state_of_the_history(error, copied_each_epoch, tmp_path):
    """4 kinds of exception: the weights are those of the whole epochs in the history."""
    stopped = Stopping(**QUICK | {"epochs": 4})
    stopped.stop_in, stopped.error = 2, error
    with pytest.raises(type(error)):
        stopped.fit(X, progress=False, run_dir=tmp_path, checkpoint_every=1)
    assert stopped.history_["epoch"] == [1, 2]
    straight = advad.AE(**QUICK | {"epochs": 2}).fit(X, progress=False)
    assert np.array_equal(stopped.anomaly_score(X), straight.anomaly_score(X))
    assert read_state(tmp_path / "checkpoint.safetensors")[1]["epoch"] == 2
    resumed = Stopping(**QUICK | {"epochs": 4})
    resumed.stop_in = None
    resumed.fit(X, progress=False, run_dir=tmp_path)
    whole = advad.AE(**QUICK | {"epochs": 4}).fit(X, progress=False)
    assert np.array_equal(resumed.anomaly_score(X), whole.anomaly_score(X))


@pytest.mark.parametrize("case", ["AAE", "ITSR", "OCGAN"])
def test_a_refused_fit_leaves_an_unfitted_detector(case):
    detector = make(case, epochs=1)
    with pytest.raises(ValueError, match=type(detector).__name__):
        detector.fit(X[:1], progress=False)
    assert not [name for name in vars(detector) if name.endswith("_")]
    with pytest.raises(Exception, match="not fitted"):
        detector.anomaly_score(X)


def test_a_run_that_diverges_in_its_first_epoch_is_not_fitted():
    detector = Stopping(**QUICK)
    detector.stop_in, detector.error = 0, advad.DivergedError("not finite")
    with pytest.raises(advad.DivergedError):
        detector.fit(X, progress=False)
    with pytest.raises(Exception, match="not fitted"):
        detector.anomaly_score(X)
