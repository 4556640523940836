"""An occlusion map that is coarse at first, and becomes finer while a reader looks at it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from advad.analysis.saliency import occlusion_maps

SLICE = 0.15  # seconds that maps are refined between two messages to the kernel


class RefinedMap:
    """The occlusion maps of one image, from a coarse one, which costs little, to the finest.

    Parameters
    ----------
    detector : detector
    image : ndarray of shape (C, H, W), float in [0, 1]
    patch : int
        Side of the squares that the finest map covers, in pixels.
    fill : float in [0, 1]
        What covers them.

    Attributes
    ----------
    maps : dict of int to ndarray of shape (H, W)
        The maps so far, by the side of the squares that were covered.
    is_finest : bool
        Whether the last map is `occlusion_map` with these settings.
    """

    def __init__(self, detector: Any, image: np.ndarray, patch: int = 1, fill: float = 0.0):
        self._batches = occlusion_maps(detector, image, patch=patch, fill=fill)
        self.maps: dict[int, np.ndarray] = {}
        self.is_finest = False
        while not self.maps:
            self.refine()

    @property
    def side(self) -> int:
        """Side of the squares of the finest map so far, in pixels."""
        return min(self.maps)

    def refine(self) -> bool:
        """Score one more batch of covered images; return whether this has finished a map."""
        level = next(self._batches)
        if level is not None:
            self.maps[level.side], self.is_finest = level.values, level.stride == 1
        return level is not None


def refine_for(maps: list[RefinedMap], seconds: float = SLICE) -> bool:
    """Refine the coarsest of some maps for a while; return whether this has finished one."""
    end, has_new = time.perf_counter() + seconds, False
    while (unfinished := [each for each in maps if not each.is_finest]) and not has_new:
        has_new = max(unfinished, key=lambda each: each.side).refine()
        if time.perf_counter() > end:
            break
    return has_new


def coarseness(side: int, finest: int = 1) -> str:
    """Return a sentence on how coarse a map of squares is, "" where it is as fine as it becomes."""
    return f" The map is coarse as yet: {side}×{side} pixels are covered at a time." if side > finest else ""
