"""Parameters in other types than Python's: all methods take NumPy's numbers, as from a grid, and can be saved."""

import numpy as np
import pytest
import torch

import advad
from tests.cases import CASES, CLASSICAL, make, noise
from tests.faults.refusals import refusal

X = noise(12, (1, 16, 16))
METHODS = list({case[0]: name for name, case in reversed((CASES | CLASSICAL).items())}.values())
OF_NUMPY = {int: np.int64, float: np.float64, str: np.str_}


def as_of_numpy(value):
    if isinstance(value, tuple):
        return tuple(map(as_of_numpy, value))
    return OF_NUMPY.get(type(value), lambda same: same)(value)


@pytest.mark.parametrize("case", METHODS)
def test_parameters_of_numpys_types_are_trained_with_and_saved(case, tmp_path):
    """Each parameter of 27 methods."""
    plain = make(case, epochs=1)
    detector = type(plain)(**{name: as_of_numpy(value) for name, value in plain.get_params(deep=False).items()})
    scores = detector.fit(X, progress=False).anomaly_score(X)
    assert np.array_equal(scores, plain.fit(X, progress=False).anomaly_score(X))
    loaded = advad.load_detector(detector.save(tmp_path / "d"))
    assert np.array_equal(loaded.anomaly_score(X), scores)
    assert loaded.get_params(deep=False) == plain.get_params(deep=False)


def test_a_device_of_torch_can_be_saved(tmp_path):
    detector = advad.AE(epochs=1, device=torch.device("cpu")).fit(X, progress=False, run_dir=tmp_path)
    assert advad.load_detector(detector.save(tmp_path / "d")).device == "cpu"


@pytest.mark.parametrize("seed", [2**63, 10**40, -1])
@pytest.mark.parametrize("case", ["AE", "IForest", "FeatureKNN"])
def test_a_seed_that_no_generator_takes_is_refused(case, seed):
    refusal(lambda: make(case, seed=seed).fit(X, progress=False), of=f"{case}: seed must be in [0, ")
