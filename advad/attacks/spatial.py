"""A search over rotations and shifts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from advad.attacks.ball import Objective, check_images, checked_shape, per_item
from advad.checks import reject


def transform(x: Tensor, degrees: float | Tensor, shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """Return images rotated about their centre, then shifted; what comes in from outside is black.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
        In [0, 1].
    degrees : float or Tensor of shape (B,)
        Counter-clockwise.
    shift : (float, float)
        Pixels to the right and down.
    """
    height, width = x.shape[-2:]
    angle = torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float32, device=x.device)).expand(len(x))
    cos, sin = angle.cos(), angle.sin()
    # affine_grid asks where an output pixel comes from, in units of half a side: undo the shift, then the turn.
    right, down = 2 * shift[0] / width, 2 * shift[1] / height
    ratio = height / width
    matrix = torch.stack(
        [
            torch.stack([cos, -sin * ratio, -(cos * right - sin * ratio * down)], -1),
            torch.stack([sin / ratio, cos, -(sin / ratio * right + cos * down)], -1),
        ],
        1,
    )  # (B, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)


def worst_transform(
    objective: Objective, x: Tensor, *, degrees: Sequence[float], shifts: Sequence[tuple[float, float]]
) -> Tensor:
    """Return, of all rotations and shifts on a grid, the one that raises each image's objective most.

    Parameters
    ----------
    objective : callable (B, C, H, W) -> (B,)
        The function to maximise.
    x : Tensor of shape (B, C, H, W)
        In [0, 1].
    degrees : sequence of float
        Rotations to try.
    shifts : sequence of (float, float)
        Shifts to try with each, in pixels to the right and down.

    Returns
    -------
    Tensor of shape (B, C, H, W)

    Raises
    ------
    TypeError, ValueError
        Bad images; no transform to try; an objective of another shape than (B,).

    Source : Engstrom et al. 2019, Sec. 3 (grid search); Salehi et al. 2020, Ablation.
    """
    check_images("worst_transform", x)
    if not (len(degrees) and len(shifts)):
        remedy = "[0.0] and [(0.0, 0.0)] leave the images as they are."
        reject("worst_transform", "degrees and shifts", "hold at least one entry each", (degrees, shifts), remedy)
    best, highest = x, torch.full((len(x),), -math.inf, device=x.device)
    with torch.no_grad():
        for degree in degrees:
            for shift in shifts:
                moved = transform(x, degree, shift)
                value = checked_shape("worst_transform", objective(moved), x)
                better = value > highest
                best = torch.where(per_item(better, x), moved, best)
                highest = torch.where(better, value, highest)
    return best
