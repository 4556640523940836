"""Anomaly maps: which pixels make an image anomalous. What stands behind `BaseDetector.anomaly_map`.

| kind | a pixel's value | for |
|---|---|---|
| residual | the method's own power of the distance of x and x̂, a mean over the channels | methods that reconstruct |
| ssim | (1 − SSIM) / 2, a mean over scales and channels | the same, on photographs |
| occlusion | A(x) − A(x without the pixel's surroundings) | all methods |
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from advad.checks import check_choice, check_number, reject
from advad.images import as_float
from advad.occlusion import occlusion_changes

PIXELS = 2**21  # of the images of one batch, so that the memory beside the maps does not depend on their number
WINDOW, DEVIATION = 11, 1.5  # pixels, of SSIM's Gaussian window: Wang et al. 2004, Sec. III-B
STABLE_MEAN, STABLE_SPREAD = 0.01**2, 0.03**2  # C1 and C2, the same, for pixels in [0, 1]
SCALES = 3  # each half of the one before
PATCHES = 8  # occluding squares along the shorter side, before overlapping


def anomaly_map(detector: Any, images: Tensor, kind: str, smoothing: float) -> np.ndarray:
    """Return the maps of checked images, (N, C, H, W) -> (N, H, W), float32; see `BaseDetector.anomaly_map`."""
    owner = type(detector).__name__
    kinds = {"residual": residual_map, "ssim": ssim_map, "occlusion": occlusion_map}
    check_choice(owner, "kind", kind, ["own", *kinds])
    check_number(owner, "smoothing", smoothing, 0, remedy="It is the deviation of a Gaussian, in pixels.")
    if kind in ("residual", "ssim") and not detector.reconstructs:
        remedy = "This method gives no images back."
        reject(owner, "kind", "be 'own' or 'occlusion'", kind, remedy)
    own: Callable[[Tensor], Tensor] = detector.map_images
    function = own if kind == "own" else functools.partial(kinds[kind], detector)
    n = max(1, PIXELS // images[0].numel())
    result = np.empty((len(images), *images.shape[2:]), np.float32)
    for first in range(0, len(images), n):
        part = function(as_float(images[first : first + n].cpu()))
        result[first : first + n] = smoothed(part.numpy(), smoothing)
    return result


def residual_map(detector: Any, x: Tensor) -> Tensor:
    """Return |x − x̂|^p, p the detector's `residual_power`, a mean over the channels; (B, C, H, W) -> (B, H, W)."""
    x_hat = torch.from_numpy(detector.reconstruct(x))
    return (x - x_hat).abs().pow(detector.residual_power).mean(1)


def ssim_map(detector: Any, x: Tensor) -> Tensor:
    """Return (1 − SSIM) / 2 of image and reconstruction, a mean over scales and channels; (B, C, H, W) -> (B, H, W).

    The mean over scales is ours: Wang et al. 2003 multiply one number a scale, which leaves no map.
    """
    return dissimilarity(x, torch.from_numpy(detector.reconstruct(x)))


def dissimilarity(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return (1 − SSIM) / 2 at each pixel, in [0, 1], a mean over scales and channels; (B, C, H, W) -> (B, H, W)."""
    size, scales = x.shape[-2:], []
    for _ in range(SCALES):
        scales.append(F.interpolate((1 - ssim(x, x_hat)) / 2, size, mode="bilinear", align_corners=False))
        if min(x.shape[-2:]) < 2 * WINDOW:
            break
        x, x_hat = F.avg_pool2d(x, 2), F.avg_pool2d(x_hat, 2)
    return torch.stack(scales).mean((0, 2))


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the structural similarity of two images around each pixel, in [−1, 1]; (B, C, H, W) each and result.

    Source : Wang, Bovik, Sheikh, Simoncelli 2004, Eq. 13.
    """
    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    brightness = (2 * mean_x * mean_y + STABLE_MEAN) / (mean_x**2 + mean_y**2 + STABLE_MEAN)
    return brightness * (2 * covariance + STABLE_SPREAD) / (var_x + var_y + STABLE_SPREAD)


def local_mean(x: Tensor) -> Tensor:
    """Return the mean under SSIM's Gaussian window around each pixel, the border's pixels repeated outside."""
    offsets = torch.arange(WINDOW, device=x.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * DEVIATION**2))
    weights = (weights / weights.sum()).to(x.dtype)
    channels, margin = x.shape[1], WINDOW // 2
    x = F.pad(x, (margin,) * 4, mode="replicate")
    x = F.conv2d(x, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(x, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def occlusion_map(detector: Any, x: Tensor) -> Tensor:
    """Return A(x) − A(x with a patch covered), a mean over the patches at a pixel; (B, C, H, W) -> (B, H, W).

    A patch is covered with the mean of its surroundings: black or grey would itself be an anomaly of many images.
    """
    side = max(1, min(x.shape[-2:]) // PATCHES)
    surroundings = F.avg_pool2d(F.pad(x, (side,) * 4, mode="replicate"), 2 * side + 1, stride=1)
    score = lambda images: torch.from_numpy(detector.anomaly_score(images))  # noqa: E731
    n = max(1, PIXELS // x[0].numel())
    return -occlusion_changes(score, x, surroundings, patch=side, stride=max(1, side // 2), batch_size=n)


def smoothed(maps: np.ndarray, deviation: float) -> np.ndarray:
    """Return maps of shape (N, H, W) under a Gaussian of this deviation in pixels; 0 leaves them as they are."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(maps, (0, deviation, deviation)) if deviation else maps
