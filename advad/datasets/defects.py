"""Defects planted into sound images, with the masks of where they are: ground truth for saliency maps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from advad.checks import as_images, check_choice, check_number, reject
from advad.images import as_uint8

KINDS = {"spot": 255, "gap": 0}  # what a defect's square is filled with
_VISIBLE = 64  # of 255: a pixel that changes by less in each channel does not belong to the mask
_ENOUGH = 0.5  # a place must change the image by this share of the most that any place could


class Planted(NamedTuple):
    """Images with one defect each, and where it is.

    Attributes
    ----------
    images : Tensor of shape (N, C, H, W), uint8
    masks : Tensor of shape (N, H, W), uint8
        1 where the defect changed a pixel visibly, else 0.
    """

    images: Tensor
    masks: Tensor


def plant_defects(images: ArrayLike | Tensor, kind: str, *, side: int, seed: int = 0) -> Planted:
    """Plant a square defect into each image: a white spot where it is dark, or a black gap where it is bright.

    The square lies within the smallest rectangle that holds the image's bright pixels, at a place drawn from those
    where it changes the image at least half as much as at the best place. So a spot is not simply in an empty corner,
    and a gap really takes something away.

    Parameters
    ----------
    images : array-like of shape (N, C, H, W) or (N, H, W)
        `uint8`, or float in [0, 1]; mostly dark, such as digits.
    kind : {"spot", "gap"}
    side : int
        Of the square, in pixels; at most the image's shorter side.
    seed : int
        Decides the places.

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers; an image in which the defect would change nothing.
    """
    check_choice("plant_defects", "kind", kind, KINDS)
    x = as_uint8(as_images("plant_defects", images, name="images")).clone()  # (N, C, H, W)
    check_number("plant_defects", "side", side, 1, min(x.shape[-2:]), integer=True)
    check_number("plant_defects", "seed", seed, 0, integer=True)
    difference = (x.int() - KINDS[kind]).abs().amax(1)  # (N, H, W)
    gains = F.avg_pool2d(difference.double(), side, stride=1).numpy()  # (N, R, S): at each place of the corner
    generator = np.random.default_rng(seed)
    masks = torch.zeros(difference.shape, dtype=torch.uint8)
    for i, gain in enumerate(gains):
        inside = np.zeros(gain.shape, dtype=bool)
        inside[_places(x[i], side)] = True
        best = gain[inside].max()
        if best < _VISIBLE / side**2:
            reject("plant_defects", "images", f"have room for a {kind}", x[i], f"Image {i} has none.")
        tops, lefts = np.nonzero(inside & (gain >= _ENOUGH * best))
        k = generator.integers(len(tops))
        square = slice(tops[k], tops[k] + side), slice(lefts[k], lefts[k] + side)
        masks[i][square] = (difference[i][square] >= _VISIBLE).to(torch.uint8)
        x[i][:, *square] = KINDS[kind]
    return Planted(x, masks)


def _places(image: Tensor, side: int) -> tuple[slice, slice]:
    """Return where the square's corner may lie, for it to be within the rectangle of the bright pixels, or just fit."""
    bright = image.amax(0) >= _VISIBLE  # (H, W)
    ends = []
    for axis, length in ((1, image.shape[1]), (0, image.shape[2])):
        lines = bright.any(axis).nonzero()[:, 0]  # with a bright pixel
        first, last = (int(lines[0]), int(lines[-1])) if len(lines) else (0, length - 1)
        lowest = min(first, length - side)
        ends.append(slice(lowest, max(lowest, last + 1 - side) + 1))
    return ends[0], ends[1]
