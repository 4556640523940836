"""Large images: train on random patches, score overlapping tiles, and blend their maps.

A network for 64 pixels sees a photograph of 256 only after it was made small, and a scratch of two pixels is then gone.
`PatchDetector` lets any detector work on patches at full resolution instead: it is fitted on patches from random
places, and an image is as anomalous as its worst tile. What it cannot see is what no patch shows: that a part is
missing, say, or stands in the wrong place.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import clone
from torch import Tensor

from advad.checks import as_images, check_number, reject
from advad.engine.anomaly_maps import PIXELS
from advad.engine.base import BaseDetector, inner_detector, inner_state
from advad.images import as_float


@dataclass(kw_only=True, eq=False, repr=False)
class PatchDetector(BaseDetector):
    """A detector of patches as a detector of whole images; A(x) is the highest score of its tiles.

    Parameters
    ----------
    detector : BaseDetector
        Works on patches. A copy of it is fitted, not the detector itself.
    patch : int
        Pixels a side of a patch.
    stride : int, optional
        Pixels from one tile to the next; half a patch unless given. At most `patch`, so that no pixel is left out.
    per_image : int
        Random patches that are drawn from each training image.
    seed : int
        Of the places.

    Attributes
    ----------
    detector_ : BaseDetector
        The fitted copy.
    image_shape_, threshold_
        See `BaseDetector`.

    Examples
    --------
    >>> import advad
    >>> split = advad.one_class(advad.load("digits"), normal=0)
    >>> detector = PatchDetector(detector=advad.PCA(n_components=4), patch=4, per_image=8).fit(split.train)
    >>> detector.anomaly_map(split.test[:3]).shape
    (3, 8, 8)
    """

    detector: Any
    patch: int = 64
    stride: int | None = None
    per_image: int = 16
    seed: int = 0

    def check(self) -> None:
        """Check the parameters; raises ValueError or TypeError with one clear line."""
        owner = "PatchDetector"
        if not isinstance(self.detector, BaseDetector):
            reject(owner, "detector", "be a detector", self.detector, "For example advad.AE().", TypeError)
        check_number(owner, "patch", self.patch, 1, integer=True)
        if self.stride is not None:
            check_number(owner, "stride", self.stride, 1, self.patch, integer=True, remedy="It is at most the patch.")
        check_number(owner, "per_image", self.per_image, 1, integer=True)
        check_number(owner, "seed", self.seed, 0, integer=True)

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor | None = None, *, progress: bool = True) -> Self:
        """Fit the detector on random patches of images.

        Parameters
        ----------
        X : array of shape (N, C, H, W) or (N, H, W)
            As in `Detector.fit`, of at least `patch` pixels a side: normal images, perhaps contaminated.
        y
            Ignored: a label of an image says nothing about its patches.
        progress : bool
            Whether to show the detector's progress bar.

        Returns
        -------
        self
        """
        self.check()
        images = as_images("PatchDetector", X)
        if min(images.shape[2:]) < self.patch:
            rule = f"have at least {self.patch} pixels a side, as the patches"
            reject("PatchDetector", "images", rule, tuple(images.shape[2:]), "Lower patch.")
        self.detector_ = copy.deepcopy(self.detector)
        self.detector_.fit(random_patches(images, self.patch, self.per_image, self.seed), progress=progress)
        self.image_shape_ = (images.shape[1], images.shape[2], images.shape[3])
        if hasattr(self, "threshold_"):
            del self.threshold_  # it belonged to the fit before
        return self

    def _places(self) -> list[tuple[int, int]]:
        """Return the top left corner of each tile."""
        step = self.stride or max(1, self.patch // 2)
        rows, columns = (starts(side, self.patch, step) for side in self.image_shape_[1:])
        return [(row, column) for row in rows for column in columns]

    def _tiles(self, x: Tensor) -> Tensor:
        """Return the tiles of each image, (B, C, H, W) -> (B·T, C, patch, patch), those of an image one by one."""
        side = self.patch
        cut_out = [x[:, :, row : row + side, column : column + side] for row, column in self._places()]
        return torch.stack(cut_out, 1).flatten(0, 1)

    def anomaly_score(self, X: ArrayLike | Tensor) -> np.ndarray:
        images, count = self._images(X), len(self._places())
        n = max(1, PIXELS // (count * images.shape[1] * self.patch**2))
        scores = [self.detector_.anomaly_score(self._tiles(part)) for part in images.split(n)]
        return np.concatenate(scores).reshape(len(images), count).max(1)

    def map_images(self, x: Tensor) -> Tensor:
        """Return the tiles' own maps, blended; (B, C, H, W) -> (B, H, W)."""
        maps = torch.from_numpy(self.detector_.anomaly_map(self._tiles(as_float(x))))
        places = self._places()
        return blended(maps.view(len(x), len(places), *maps.shape[1:]), places, (x.shape[2], x.shape[3]))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, inner = inner_state("detector", self.detector_)
        metadata = {
            "method": "PatchDetector",
            "parameters": {name: value for name, value in self.get_params(deep=False).items() if name != "detector"},
            "image_shape": self.image_shape_,
            "threshold": getattr(self, "threshold_", None),
            "detector": inner,
        }
        return tensors, metadata

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], metadata: dict[str, Any], device: str | None = None) -> Self:
        inner = inner_detector("PatchDetector", "detector", BaseDetector, tensors, metadata["detector"], device)
        detector = cls(detector=clone(inner), **metadata["parameters"])
        detector.check()
        detector.detector_, detector.image_shape_ = inner, tuple(metadata["image_shape"])
        side = (inner.image_shape_[0], detector.patch, detector.patch)
        if tuple(inner.image_shape_) != side or min(detector.image_shape_[1:]) < detector.patch:
            reject("PatchDetector", "detector", f"be fitted on patches of {side}", tuple(inner.image_shape_))
        if metadata["threshold"] is not None:
            detector.threshold_ = metadata["threshold"]
        return detector


def random_patches(images: Tensor, patch: int, per_image: int, seed: int) -> Tensor:
    """Return patches from random places, (N, C, H, W) -> (N·per_image, C, patch, patch), those of an image in a row."""
    generator = torch.Generator().manual_seed(seed)
    height, width = images.shape[2:]
    rows = torch.randint(height - patch + 1, (len(images), per_image), generator=generator).tolist()
    columns = torch.randint(width - patch + 1, (len(images), per_image), generator=generator).tolist()
    return torch.stack(
        [
            image[:, row : row + patch, column : column + patch]
            for image, down, across in zip(images, rows, columns, strict=True)
            for row, column in zip(down, across, strict=True)
        ]
    )


def starts(side: int, patch: int, stride: int) -> list[int]:
    """Return where tiles begin along a side, so that the last one ends with it.

    Examples
    --------
    >>> starts(10, 4, 4)
    [0, 4, 6]
    """
    return [*range(0, side - patch, stride), side - patch]


def blended(maps: Tensor, places: list[tuple[int, int]], size: tuple[int, int]) -> Tensor:
    """Return whole maps from those of tiles, (B, T, p, p) -> (B, H, W).

    Where tiles overlap, a pixel is their mean, in which a tile counts the less the nearer the pixel is to its edge: so
    there are no seams, and tiles that agree are not changed.
    """
    side = maps.shape[-1]
    ramp = torch.minimum(torch.arange(1, side + 1), torch.arange(side, 0, -1)).double()
    window = ramp[:, None] * ramp  # (p, p), above 0 everywhere
    total, weight = torch.zeros(len(maps), *size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    for k, (row, column) in enumerate(places):
        total[:, row : row + side, column : column + side] += maps[:, k] * window
        weight[row : row + side, column : column + side] += window
    return (total / weight).float()
