"""What stacked training owes every method: it equals one-by-one training, or it is refused in one line."""

import re
import warnings

import numpy as np
import pytest

import advad
from advad.engine.stacking import fit_stacked
from tests.cases import CASES, digits, make

QUICK = {"epochs": 2, "batch_size": 16}
SEEDS = (0, 1)
TOLERANCE = 2e-3  # relative: single precision over a few steps of Adam
STACKED = {  # every other case is trained one by one
    "AE",
    "AE-conv",
    "DAE-uniform",
    "DAE-gaussian",
    "ARAE",
    "ARAE-sigmoid",
    "ARAE-conv",
    "ARAE-A",
    "ARAE-R",
    "ADAE",
    "LSA",
}


def two(case):
    """Return two unfitted detectors of a case that differ in their seeds, and the training images of each."""
    images = digits().train
    return [make(case, **QUICK, seed=seed) for seed in SEEDS], [images[:48], images[48:96]]


@pytest.mark.parametrize("case", CASES)
def test_stacked_training_equals_one_by_one_training_or_is_refused_in_one_line(case):
    detectors, images = two(case)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_stacked(detectors, images, progress=False)
    lines = [str(warning.message) for warning in caught if "fit_stacked" in str(warning.message)]
    assert len(lines) == (case not in STACKED)
    for line in lines:
        assert re.fullmatch(rf"fit_stacked: {type(detectors[0]).__name__} is trained one by one: \S.*[^.]\.", line)
    x = digits().test[:20]
    alone = make(case, **QUICK, seed=SEEDS[1]).fit(images[1], progress=False)
    found, expected = detectors[1].anomaly_score(x), alone.anomaly_score(x)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * expected.std())
    for detector in detectors:
        assert list(detector.history_) == list(alone.history_)
        assert detector.buffers_.keys() == alone.buffers_.keys()
    for column in set(alone.history_) - {"seconds", "stage"}:
        values = [np.array(each.history_[column], float) for each in (*detectors, alone)]
        np.testing.assert_allclose(values[1], values[2], rtol=TOLERANCE, atol=1e-5, err_msg=column)
        if column.endswith("_loss"):
            assert not np.array_equal(values[0], values[1])  # each model has a column of its own


@pytest.mark.parametrize("case", sorted(set(CASES) - STACKED))
def test_what_cannot_be_stacked_is_refused_before_any_training(case, monkeypatch):
    detectors, images = two(case)
    monkeypatch.setattr(advad.Detector, "fit", lambda *_, **__: pytest.fail("a refusal trains nothing"))
    with pytest.raises(advad.engine.stacking.NotStackableError) as refusal:
        fit_stacked(detectors, images, progress=False, one_by_one=False)
    assert "\n" not in str(refusal.value)
    assert not any(hasattr(detector, "networks_") for detector in detectors)
