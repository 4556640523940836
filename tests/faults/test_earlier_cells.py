"""What an earlier cell of a notebook has set does not reach a detector: 3 settings of torch, all methods.

A detector that is fitted under each is that of a fit without it, bit for bit, and so are a loaded one's scores.
"""

import contextlib

import numpy as np
import pytest
import torch

import advad
from tests.cases import CASES, make, noise

X = noise(12, (1, 16, 16))
METHODS = list({cls: case for case, (cls, *_) in reversed(CASES.items())}.values())


@contextlib.contextmanager
def no_gradients():
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(True)


@contextlib.contextmanager
def double_precision():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS = {"no gradients": no_gradients, "inference mode": torch.inference_mode, "double precision": double_precision}


@pytest.mark.parametrize("case", METHODS)
def test_global_settings_of_torch_do_not_reach_a_fit(case, tmp_path):
    """63 fits: 3 settings, 21 methods."""
    detector = make(case, epochs=1).fit(X, progress=False)
    scores = detector.anomaly_score(X)
    path = detector.save(tmp_path / "d")
    for name, setting in SETTINGS.items():
        with setting():
            again = make(case, epochs=1).fit(X.clone(), progress=False).anomaly_score(X)
            loaded = advad.load_detector(path).anomaly_score(X)
        assert np.array_equal(again, scores), name
        assert np.array_equal(loaded, scores), name
    assert torch.get_default_dtype() == torch.float32
