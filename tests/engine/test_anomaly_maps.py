"""The parts of anomaly maps: SSIM against scikit-image's definition by hand, smoothing, and a planted defect."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import advad
from advad.engine import anomaly_maps


def textures(n: int, side: int, seed: int) -> np.ndarray:
    """Return grey textures of shape (n, side, side), float in [0, 1]: stripes of one direction, and fine noise."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:side, :side]
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    stripes = 0.5 + 0.2 * np.sin(2 * np.pi * (row + column) / 16 + phase)
    return (stripes + 0.02 * rng.standard_normal((n, side, side))).clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def autoencoder():
    detector = advad.AE(epochs=30, widths=(64,), latent_dim=8, device="cpu", batch_size=32)
    return detector.fit(textures(200, 48, seed=0), progress=False)


@pytest.mark.parametrize(("kind", "smoothing"), [("own", 0), ("own", 1), ("ssim", 0)])
def test_a_planted_defect_is_in_the_top_hundredth_of_the_pixels(autoencoder, kind, smoothing):
    rng, images = np.random.default_rng(2), textures(20, 48, seed=1)
    defects = np.zeros(images.shape, bool)
    for image, defect in zip(images, defects, strict=True):
        row, column = rng.integers(4, 40, 2)
        defect[row : row + 3, column : column + 3] = True  # 9 of 2,304 pixels
        image[defect] = 1 - np.round(image[defect])
    values = autoencoder.anomaly_map(images, kind=kind, smoothing=smoothing)
    top = values >= np.quantile(values, 0.99, axis=(1, 2), keepdims=True)
    share = (top & defects).sum((1, 2)) / 9
    assert share.min() == 1 if kind == "own" else share.mean() > 0.9, share


def test_ssim_by_numpy():
    """The Gaussian window of Wang et al. 2004: 11 pixels, deviation 1.5; population variances."""
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 24, 24))
    blur = lambda image: gaussian_filter(image, 1.5, radius=5, mode="nearest")  # noqa: E731
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    expected = (2 * mean_x * mean_y + 1e-4) * (2 * cov + 9e-4)
    expected /= (mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4)
    values = anomaly_maps.ssim(*(torch.from_numpy(image)[None, None] for image in (x, y)))[0, 0].numpy()
    assert values == pytest.approx(expected, abs=1e-6)


def test_equal_images_have_no_dissimilarity_and_a_blurred_one_has_it_where_there_is_texture():
    x = torch.from_numpy(textures(1, 64, seed=0))[None]
    x[..., :32] = 0.5
    assert anomaly_maps.dissimilarity(x, x).abs().max() < 1e-6
    blurred = torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, 3, 3)))
    values = anomaly_maps.dissimilarity(x, blurred)[0]
    assert values[:, 48:].mean() > 10 * values[:, :16].mean()


def test_smoothing_keeps_each_maps_sum_and_mixes_no_images():
    values = np.zeros((2, 32, 32), np.float32)
    values[0, 16, 16] = 1
    smooth = anomaly_maps.smoothed(values, 2.0)
    assert smooth[0].sum() == pytest.approx(1, abs=1e-5)
    assert smooth[0].max() < 0.1
    assert not smooth[1].any()
