"""What analyses and explorers ask of a detector. A class of another library that has the methods fits as well.

A method of advad inherits `reconstruct` and `decode` even where it cannot answer them, and says so by its properties
`reconstructs` and `decodes`: ask `can_reconstruct` and `can_decode`, which look at both.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor


@runtime_checkable
class ScoresImages(Protocol):
    """Gives each image an anomaly score."""

    def anomaly_score(self, X: ArrayLike | Tensor, /) -> np.ndarray:
        """Return one score per image, higher = more anomalous; (N, C, H, W) or (N, H, W) -> (N,)."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """Gives each image a code."""

    def encode(self, X: ArrayLike | Tensor, /) -> np.ndarray:
        """Return one code per image; (N, C, H, W) or (N, H, W) -> (N, D)."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Draws the image that a code stands for."""

    def decode(self, z: ArrayLike | Tensor, /) -> np.ndarray:
        """Return images in [0, 1]; (N, D) -> (N, C, H, W)."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Reconstructs images."""

    def reconstruct(self, X: ArrayLike | Tensor, /) -> np.ndarray:
        """Return the reconstructions in [0, 1]; (N, C, H, W) or (N, H, W) -> (N, C, H, W)."""
        ...


@runtime_checkable
class MapsAnomalies(Protocol):
    """Says where an image is anomalous."""

    def anomaly_map(self, X: ArrayLike | Tensor, /, *, kind: str = "own", smoothing: float = 0.0) -> np.ndarray:
        """Return a value for each pixel, higher = more anomalous; (N, C, H, W) or (N, H, W) -> (N, H, W)."""
        ...


def can_encode(detector: Any) -> bool:
    """Return whether `detector.encode(images)` gives codes."""
    return isinstance(detector, Encodes)


def can_decode(detector: Any) -> bool:
    """Return whether `detector.decode(codes)` gives images: not where skip connections carry the image past the code.

    Examples
    --------
    >>> import advad
    >>> can_decode(advad.AE()), can_decode(advad.DeepSVDD())
    (True, False)
    """
    return isinstance(detector, Decodes) and bool(getattr(detector, "decodes", True))


def can_reconstruct(detector: Any) -> bool:
    """Return whether `detector.reconstruct(images)` gives images."""
    return isinstance(detector, Reconstructs) and bool(getattr(detector, "reconstructs", True))
