"""Corruptions of equal strength, so that what they do can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from advad.checks import check_number, reject
from advad.images import as_numpy


def strength(images: ArrayLike, corrupted: ArrayLike) -> np.ndarray:
    """Return how far each corrupted image is from its original: the root of the mean squared difference, (N,)."""
    x, x_tilde = _pair(images, corrupted)
    return np.sqrt(((x_tilde - x) ** 2).reshape(len(x), -1).mean(1))


def at_strength(images: ArrayLike, corrupted: ArrayLike, rms: float | Sequence[float]) -> np.ndarray:
    """Return corruptions of the same kind, each `rms` away from its image, inside [0, 1].

    The result lies on the line from the image through its corrupted version, clipped to [0, 1], where the root of the
    mean squared difference is `rms`; a bisection finds it. Where the line ends before (all pixels at 0 or 1), it is the
    end of the line.

    Parameters
    ----------
    images, corrupted : array of shape (N, ...)
        Float in [0, 1]; `corrupted` may lie outside.
    rms : float in (0, 1], or N of them
        Strength of the corruption, in pixel units: one value for all images, or one per image.

    Returns
    -------
    ndarray of shape (N, ...), float32 in [0, 1]

    Raises
    ------
    ValueError
        Shapes differ, or a corrupted image equals its original: it has no direction to go.
    """
    x, x_tilde = _pair(images, corrupted)
    for strength in np.atleast_1d(rms).tolist():
        check_number("at_strength", "rms", strength, 0, 1, ends="(]", remedy="It is in pixel units of [0, 1].")
    flat, direction = x.reshape(len(x), -1), (x_tilde - x).reshape(len(x), -1)
    if not direction.any(1).all():
        same = int((~direction.any(1)).argmax())
        reject("at_strength", "corrupted", "differ from images", same, "That one does not.")

    def walk(distance: np.ndarray) -> np.ndarray:
        return np.clip(flat + distance[:, None] * direction, 0, 1)

    near = np.zeros(len(x))
    far = 1 / np.abs(np.where(direction == 0, np.inf, direction)).min(1)  # by then every pixel is at its end
    for _ in range(64):  # halves the interval to nothing, however long it was
        middle = (near + far) / 2
        too_far = np.sqrt(((walk(middle) - flat) ** 2).mean(1)) > rms
        near, far = np.where(too_far, near, middle), np.where(too_far, middle, far)
    return walk((near + far) / 2).reshape(x.shape).astype(np.float32)


def _pair(images: ArrayLike, corrupted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, x_tilde = (as_numpy(array).astype(np.float64) for array in (images, corrupted))
    if x.shape != x_tilde.shape:
        reject("corruption", "corrupted", f"have the shape of images, {x.shape}", x_tilde.shape)
    return x, x_tilde
