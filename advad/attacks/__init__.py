"""Attacks on a score: by gradient, from corners, without any gradient, and by rotations and shifts.

Plain functions of an objective `(B, C, H, W) -> (B,)`, which is *maximised* for each image on its own.
"""

from advad.attacks.ball import Objective, into_ball, project_l2, project_linf, random_l2, random_linf
from advad.attacks.black_box import square
from advad.attacks.corners import corner_search, far_end, random_corner
from advad.attacks.gradient import apgd, pgd, smoothed_ascent
from advad.attacks.spatial import transform, worst_transform

__all__ = [
    "Objective",
    "apgd",
    "corner_search",
    "far_end",
    "into_ball",
    "pgd",
    "project_l2",
    "project_linf",
    "random_corner",
    "random_l2",
    "random_linf",
    "smoothed_ascent",
    "square",
    "transform",
    "worst_transform",
]
