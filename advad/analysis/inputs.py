"""What an analysis accepts: arrays or tensors of numbers, and detectors or plain functions that score images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advad.checks import as_images, as_labels, reject
from advad.images import as_float, as_numpy

Score = Callable[[Tensor], Tensor]
_SHAPES = {1: "(N,), one number per image", 2: "(N, d), one row per image", 3: "(N, H, W), one map per image"}


def as_numbers(owner: str, name: str, value: Any, ndim: int) -> np.ndarray:
    """Return `value` as a float64 array of `ndim` dimensions (1, 2 or 3).

    Raises
    ------
    TypeError
        It holds no numbers.
    ValueError
        It is empty, has another number of dimensions, or holds NaN or infinite values.
    """
    try:
        numbers = as_numpy(value)
    except ValueError:  # rows of different lengths
        reject(owner, name, f"have shape {_SHAPES[ndim]}", value)
    if numbers.dtype.kind not in "buif":
        reject(owner, name, "hold numbers", value, error=TypeError)
    if numbers.ndim != ndim:
        remedy = f"For rows: {name}.reshape(len({name}), -1)." if numbers.ndim > ndim else ""
        reject(owner, name, f"have shape {_SHAPES[ndim]}", numbers, remedy)
    if numbers.size == 0:
        reject(owner, name, "hold at least one number", numbers)
    numbers = numbers.astype(np.float64)
    broken = numbers.size - int(np.isfinite(numbers).sum())
    if broken:
        observed = f"{broken} of {numbers.size} values NaN or infinite"
        raise ValueError(f"{owner}: {name} must be finite; got {observed}. Did the training diverge?")
    return numbers


def as_pixels(owner: str, name: str, images: Any, score: Any) -> Tensor:
    """Return images as float32 of shape (N, C, H, W) in [0, 1], of the shape and on the device that `score` wants.

    Raises
    ------
    TypeError, ValueError
        No images, values outside [0, 1], or not of the shape that the detector was fitted to.
    """
    x = as_images(owner, images, name=name, image_shape=getattr(score, "image_shape_", None))
    x = x.to(getattr(score, "device_", x.device))  # a plain function gets the images where they are
    return as_float(x)


def as_anomalous(owner: str, is_anomaly: Any, n: int) -> np.ndarray:
    """Return the truth as a bool array of shape (n,), and see that both classes are there.

    Raises
    ------
    TypeError, ValueError
        No array of 0 and 1, another length, or one class only.
    """
    anomalous = as_labels(owner, as_numpy(is_anomaly), n, name="is_anomaly").numpy()
    count = int(anomalous.sum())
    if count in (0, n):
        observed = f"{n - count} normal and {count} anomalous"
        raise ValueError(f"{owner}: is_anomaly must mark at least one image of each class; got {observed}.")
    return anomalous


def as_score(owner: str, score: Any) -> Score:
    """Return a function from images to scores of shape (B,), on the images' device.

    Parameters
    ----------
    owner : str
        Who asks; opens the messages.
    score : detector or callable
        A detector is taken by its `score_tensor`, or, where it has none (classical methods), by `anomaly_score`.
        A callable takes a float Tensor (B, C, H, W) in [0, 1] and returns B numbers, higher = more anomalous.

    Raises
    ------
    TypeError
        `score` is neither.
    ValueError
        (When called) the scores have another shape, or are not finite.
    """
    function = getattr(score, "score_tensor", None) or getattr(score, "anomaly_score", None) or score
    if not callable(function) or isinstance(score, type):
        remedy = "A function takes images (B, C, H, W) and returns B scores."
        reject(owner, "score", "be a fitted detector or a function of images", score, remedy, TypeError)

    by_arrays = function == getattr(score, "anomaly_score", None)  # which may be NumPy's, and takes no gradient

    def checked(images: Tensor) -> Tensor:
        returned = function(images.detach() if by_arrays else images)
        try:
            scores = torch.as_tensor(returned).to(images.device)
        except (TypeError, ValueError):
            reject(owner, "score", f"return shape ({len(images)},), one number an image", returned, error=TypeError)
        if scores.shape != (len(images),):
            reject(owner, "score", f"return shape ({len(images)},), one number per image", scores)
        if not bool(torch.isfinite(scores).all()):
            raise ValueError(f"{owner}: score must return finite numbers; got NaN or infinite scores.")
        return scores

    return checked
