"""`score_tensor` is what attacks and saliency maps differentiate: its gradient is compared with finite differences."""

import contextlib

import numpy as np
import pytest
import torch

import advad
from tests.cases import CASES, digits, make

STEP = 1e-7  # so short that hardly a ReLU has its kink within it; double precision bears it
DIRECTIONS = 4


@contextlib.contextmanager
def double_precision():
    """Let what a score draws (noise, first codes) or casts for itself be in double precision as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def fitted(case, **settings):
    """Return a detector that was trained in single precision and scores in double precision."""
    detector = make(case, epochs=2, batch_size=32, **settings).fit(digits().train[:64], progress=False)
    detector.networks_.double()
    detector.buffers_ = {name: t.double() if t.is_floating_point() else t for name, t in detector.buffers_.items()}
    return detector


@pytest.mark.parametrize("case", CASES)
def test_score_tensor_has_the_gradient_of_the_score(case):
    """Slopes along random directions, at images away from black and white."""
    detector = fitted(case)
    with double_precision():
        check_gradient(detector)


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("LSA", {"score": "surprise"}),
        ("LSA", {"density": "histogram"}),
        ("OLED", {"score": "covered"}),
        ("EGBAD", {"score": "sigmoid"}),
        ("GeoTrans", {"score": "simplified"}),
        ("GeoTrans", {"score": "likelihood"}),
    ],
)
def test_other_scores_too(case, settings):
    detector = fitted(case, **settings)
    with double_precision():
        check_gradient(detector)


def check_gradient(detector):
    rng = torch.Generator().manual_seed(0)
    x = digits().test[:6].double() / 255
    x = 0.2 + 0.6 * x + 0.02 * torch.rand(x.shape, generator=rng, dtype=torch.float64)  # ties and flat parts are left
    if isinstance(detector, advad.AnoGAN):  # its file says so: the code that the search ends at is held fixed
        found = detector.search(detector.networks_, x)
        detector.search = lambda networks, x: found
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(detector.score_tensor(x).sum(), x)
    for _ in range(DIRECTIONS):
        d = torch.randn(x.shape, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            ahead, behind = (detector.score_tensor(x + step * d) for step in (STEP, -STEP))
        slope = ((ahead - behind) / (2 * STEP)).numpy()
        expected = (gradient * d).flatten(1).sum(1).numpy()
        assert np.abs(expected).max() > 0
        assert slope == pytest.approx(expected, rel=1e-3, abs=1e-4 * np.abs(expected).max())
