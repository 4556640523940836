"""Attacks that go from corner to corner of the l∞ ball, where objectives that are nearly convex have their maxima.

The conventions are those of `gradient.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from advad.attacks.ball import Objective, check_attack, interval, into_ball, norms, per_item
from advad.attacks.gradient import value_and_gradient
from advad.checks import check_number, reject

PROBES = 4  # pairs of opposite corners between which `corner_search` estimates curvature


def far_end(x: Tensor, reconstruction: Tensor, radius: float, norm: str = "linf") -> Tensor:
    """Return the point of the ball that lies farthest from a reconstruction, were this to stay as it is.

    A start for attacks that raise a reconstruction error. The error is nearly convex in δ, so its maxima lie in corners
    of the ball. A gradient finds the wrong corner where a pixel is black and its reconstruction a little brighter: it
    points below 0, and the pixel never leaves the border.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
        In [0, 1].
    reconstruction : Tensor of shape (B, C, H, W)
        The detector's own, of x.
    radius : float above 0
        Radius of the ball, in pixel units.
    norm : {"linf", "l2"}
        l∞: each pixel moves to that end of [max(0, x − radius), min(1, x + radius)] that is farther from its
        reconstruction. l2: the image moves away from its reconstruction, as far as the ball and [0, 1] allow.

    Returns
    -------
    Tensor of shape (B, C, H, W)
        Images, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers; a reconstruction of another shape.
    """
    check_attack("far_end", x, norm, radius)
    if reconstruction.shape != x.shape:
        reject("far_end", "reconstruction", f"have shape {tuple(x.shape)}, as the images", reconstruction)
    if norm == "l2":
        away = x - reconstruction
        return into_ball(x, x + away * (1e3 * radius / norms(away).clamp_min(1e-12)), "l2", radius)
    lower, upper = interval(x, radius)
    return torch.where(reconstruction - lower > upper - reconstruction, lower, upper)


def random_corner(x: Tensor, radius: float, generator: torch.Generator | None = None) -> Tensor:
    """Return a random corner of each image's l∞ ball: a start for `apgd`.

    A third of the corners is a coin's toss for each pixel, a third for each row, a third for each column: objectives
    with many local maxima, such as absolute differences of codes, have some that only smooth changes lead to, and some
    that only rough ones do.

    Parameters
    ----------
    x, radius, generator
        As in `apgd`.

    Returns
    -------
    Tensor of shape (B, C, H, W)
        Images, each at a corner, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        No images in [0, 1], or a radius outside (0, 1].

    Source : ours; columns as in the first step of Square (Andriushchenko et al. 2020, Sec. 4.2).
    """
    check_attack("random_corner", x, "linf", radius)
    lower, upper = interval(x, radius)
    kind = torch.randint(3, (len(x), 1, 1, 1), generator=generator, device=x.device)
    tossed = torch.rand(x.shape, generator=generator, device=x.device)
    tossed = torch.where(kind == 1, tossed[..., :1], torch.where(kind == 2, tossed[..., :1, :], tossed))
    return torch.where(tossed < 0.5, lower, upper)


def corner_search(
    objective: Objective,
    x: Tensor,
    start: Tensor,
    radius: float,
    *,
    steps: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return images that raise the objective, by moving pixels from one end of their l∞ interval to the other.

    Where an objective is convex in δ, the gradient at one end of a pixel's interval may point out of it although the
    other end, at the distance Δ, is higher. A second-order estimate of the gain sees this: g Δ + ½ h Δ², where h is the
    mean curvature over pixels. Each step moves the pixels with the highest gains; where it fails, half as many, down to
    single pixels, each of which is tried once between two rises; where it succeeds, twice as many. Pixels that promise
    no gain are tried last, alone and once: at a kink of the objective the estimate may be wrong. Pixels without a
    gradient are not moved: where it is 0 everywhere, the search stays where it is.

    Parameters
    ----------
    objective, x, radius, steps, generator
        As in `apgd`, in l∞; the curvature costs eight passes more.
    start : Tensor of shape (B, C, H, W)
        Images in the ball from which to search, such as the ends of other attacks.

    Returns
    -------
    Tensor of shape (B, C, H, W)
        Detached; no image has a lower objective than its start.

    Raises
    ------
    TypeError, ValueError
        As in `apgd`.

    Source : ours; the curvature after Hutchinson 1990.
    """
    check_attack("corner_search", x, "linf", radius)
    check_number("corner_search", "steps", steps, 1, integer=True)
    lower, upper = interval(x, radius)
    best = into_ball(x, start, "linf", radius).detach()
    highest, gradient = value_and_gradient("corner_search", objective, best)
    curvature = torch.zeros_like(highest)  # (B,)
    for _ in range(PROBES):  # between opposite corners: Σ_i (g⁺ − g⁻)_i s_i = Σ_i h_ii (upper − lower)_i in the mean
        up = torch.rand(x.shape, generator=generator, device=x.device) < 0.5
        _, here = value_and_gradient("corner_search", objective, torch.where(up, upper, lower))
        _, there = value_and_gradient("corner_search", objective, torch.where(up, lower, upper))
        change = torch.where(up, here - there, there - here).flatten(1).sum(1)
        curvature += change / (upper - lower).flatten(1).sum(1) / PROBES
    share = torch.ones_like(highest)  # of the promising pixels, to be moved
    failed = torch.zeros_like(x, dtype=torch.bool)  # pixels that were moved alone, and lowered the objective
    for _ in range(steps):
        ahead = torch.where(best - lower > upper - best, lower, upper) - best  # Δ
        gain = gradient * ahead + per_item(curvature, x) / 2 * ahead.square()
        promising = gain > 0
        gain = gain.masked_fill(failed | (gradient == 0), -torch.inf)
        count = ((gain > 0).flatten(1).sum(1) * share).ceil().clamp_min(1)
        count = count.where(gain.isfinite().flatten(1).any(1), 0)
        ranked = gain.flatten(1).argsort(dim=1, descending=True)
        first = torch.arange(ranked.shape[1], device=x.device) < count[:, None]
        chosen = torch.zeros_like(first).scatter(1, ranked, first).view_as(x)
        moved = best + ahead * chosen
        value, slope = value_and_gradient("corner_search", objective, moved)
        better = value > highest
        alone = chosen.view_as(x) & per_item(count == 1, x)
        failed = (failed & ~(promising & per_item(better, x))) | (alone & ~per_item(better, x))
        best, gradient = (torch.where(per_item(better, x), a, b) for a, b in ((moved, best), (slope, gradient)))
        highest = torch.where(better, value, highest)
        share = torch.where(better, (2 * share).clamp_max(1), share / 2)
    return best
