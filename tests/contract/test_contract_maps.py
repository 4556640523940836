"""Anomaly maps of every method: one value a pixel, higher = more anomalous, of the image alone."""

import functools

import numpy as np
import pytest
import torch

from advad.engine import anomaly_maps
from tests.cases import CASES, CLASSICAL, digits, make

ABSOLUTE = {"GANomaly", "SkipGANomaly", "EGBAD", "AnoGAN"}  # their residual is |x − x̂|, the others' its square


@functools.cache
def fitted(case):
    """Return a detector of a case, hardly trained: what it has learned does not matter here."""
    train = digits().train[:40]
    if case in CLASSICAL:
        return make(case).fit(train)
    quick = {"epochs": 1, "batch_size": 16} | ({"search_steps": 1} if case == "AnoGAN" else {})
    if case == "GeoTrans":  # its score is in the thousands, and changes by less than float32 resolves before that
        del quick["epochs"]
    return make(case, **quick).fit(train, progress=False)


def alike(values, expected):
    """Return whether maps are the same but for rounding."""
    return np.allclose(values, expected, rtol=1e-4, atol=1e-4 * expected.std())


@pytest.mark.parametrize("case", [*CASES, *CLASSICAL])
def test_a_map_is_of_its_image_alone(case, monkeypatch):
    detector, x = fitted(case), digits().test[:6]
    values = detector.anomaly_map(x)
    assert values.shape == (6, 8, 8)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.std((1, 2)).min() > 0
    assert alike(np.concatenate([detector.anomaly_map(image[None]) for image in x]), values)
    assert alike(detector.anomaly_map(x.flip(0)), values[::-1])
    monkeypatch.setattr(anomaly_maps, "PIXELS", 2 * 64)
    assert alike(detector.anomaly_map(x[:, 0].numpy()), values)


@pytest.mark.parametrize("case", [*CASES, *CLASSICAL])
def test_its_kind_is_the_residual_where_there_is_one(case):
    detector, x = fitted(case), digits().test[:4]
    values = detector.anomaly_map(x)
    if detector.reconstructs:
        difference = np.abs(x.numpy() / np.float32(255) - detector.reconstruct(x))[:, 0]
        expected = difference if case in ABSOLUTE else difference**2
        assert np.array_equal(values, detector.anomaly_map(x, kind="residual"))
        assert detector.anomaly_map(x, kind="ssim").max() <= 1
        assert alike(values, expected)
        return
    for kind in ("residual", "ssim"):
        line = rf"^{type(detector).__name__}: kind must be 'own' or 'occlusion'; got '{kind}'. This method gives no"
        with pytest.raises(ValueError, match=line):
            detector.anomaly_map(x, kind=kind)


@pytest.mark.parametrize("case", ["AE", "DeepSVDD", "KDE"])
def test_an_occlusion_map_is_how_much_the_score_falls_without_a_pixel(case):
    detector, x = fitted(case), digits().test[:1].float() / 255
    values = detector.anomaly_map(x, kind="occlusion")
    padded = np.pad(x[0, 0].numpy(), 1, mode="edge")
    for row, column in [(0, 0), (3, 4), (7, 2)]:
        covered = x.clone()
        covered[0, 0, row, column] = float(padded[row : row + 3, column : column + 3].mean())
        fall = detector.anomaly_score(x) - detector.anomaly_score(covered)
        assert values[0, row, column] == pytest.approx(float(fall[0]), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"kind": "gradient"}, "^PCA: kind must be one of 'own', 'residual', 'ssim', 'occlusion'; got 'gradient'"),
        ({"smoothing": -1}, "^PCA: smoothing must be at least 0; got -1. It is the deviation of a Gaussian"),
    ],
)
def test_what_is_no_map_is_refused_in_one_line(settings, line):
    with pytest.raises(ValueError, match=line):
        fitted("PCA").anomaly_map(torch.zeros(1, 1, 8, 8), **settings)
