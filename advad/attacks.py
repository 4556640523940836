"""Attacks on an objective of images: projected gradient descent in l∞ and l2, and a search over rotations and shifts.

Plain functions of an objective `(B, C, H, W) -> (B,)`, to be *maximised* for each image on its own.
Radii and steps are in pixel units, where an image lies in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from advad.checks import check_choice

Objective = Callable[[Tensor], Tensor]


def project_linf(delta: Tensor, radius: float) -> Tensor:
    """Return the nearest δ with ‖δ‖∞ ≤ radius, for each of (B, ...)."""
    return delta.clamp(-radius, radius)


def project_l2(delta: Tensor, radius: float) -> Tensor:
    """Return the nearest δ with ‖δ‖₂ ≤ radius, for each of (B, ...)."""
    return delta * (radius / _norms(delta).clamp_min(radius)) if radius > 0 else torch.zeros_like(delta)


def random_linf(x: Tensor, radius: float, generator: torch.Generator | None = None) -> Tensor:
    """Return δ like x, uniform in the l∞ ball."""
    return (2 * torch.rand(x.shape, generator=generator, device=x.device) - 1) * radius


def random_l2(x: Tensor, radius: float, generator: torch.Generator | None = None) -> Tensor:
    """Return δ like x, uniform in the l2 ball: a Gaussian direction, and a radius of density r^(d−1)."""
    direction = torch.randn(x.shape, generator=generator, device=x.device)
    share = torch.rand((len(x), *[1] * (x.ndim - 1)), generator=generator, device=x.device)
    return direction / _norms(direction).clamp_min(1e-12) * radius * share ** (1 / x[0].numel())


def pgd(
    objective: Objective,
    x: Tensor,
    *,
    norm: str = "linf",
    radius: float,
    step_size: float | None = None,
    steps: int = 40,
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
    box: str = "project",
    best: bool = True,
) -> Tensor:
    """Return x + δ that raises the objective, by projected gradient ascent from a random start.

    δ ← Π(δ + step_size · sign(∇)) in l∞, or Π(δ + step_size · ∇/‖∇‖₂) in l2, where Π projects onto the ball of
    `radius`. `box` says how x + δ stays an image with pixels in [0, 1].

    Parameters
    ----------
    objective : callable (B, C, H, W) -> (B,)
        What to maximise; the images are independent of each other.
    x : Tensor of shape (B, C, H, W)
        Pixels in [0, 1].
    norm : {"linf", "l2"}
        Norm of the ball.
    radius : float
        Radius of the ball, in pixel units.
    step_size : float, optional
        Length of a step, in pixel units; 2.5 · radius / steps unless given (Madry et al. 2018).
    steps : int
        Number of gradient steps.
    generator : torch.Generator, optional
        For the random start.
    start : Tensor of shape (B, C, H, W), optional
        First δ, instead of a random one.
    box : {"project", "clip", "none"}
        "project": each step shortens δ so that x + δ lies in [0, 1], and the next step begins there. This is the
        stronger attack. "clip": only the image is clipped; the gradient is taken at the clipped image, but δ keeps
        its values outside, so that a black pixel with a negative δ stays black until δ has become positive.
        "none": pixels may leave [0, 1].
    best : bool
        Whether to return, for each image, the best of all points visited, the random start included. Otherwise the
        last point is returned, which saves one evaluation of the objective.

    Returns
    -------
    Tensor of shape (B, C, H, W)
        Detached.

    Raises
    ------
    ValueError
        An unknown `norm` or `box`.

    Source : Madry et al. 2018, Sec. 2.1; l2 step as in their released code; "clip" as in the released code of Salehi
    et al. 2020.
    """
    check_choice("pgd", "norm", norm, ["linf", "l2"])
    check_choice("pgd", "box", box, ["project", "clip", "none"])
    project = {"linf": project_linf, "l2": project_l2}[norm]
    draw = {"linf": random_linf, "l2": random_l2}[norm]
    step_size = 2.5 * radius / max(steps, 1) if step_size is None else step_size
    x = x.detach()
    delta = project(draw(x, radius, generator) if start is None else start, radius)
    found, highest = x, torch.full((len(x),), -math.inf, device=x.device)
    for step in range(steps + 1):
        x_star = x + delta if box == "none" else (x + delta).clamp(0, 1)
        if step == steps and not best:
            return x_star
        x_star.requires_grad_(step < steps)
        with torch.set_grad_enabled(step < steps):  # nothing is differentiated at the last point
            value = objective(x_star)
        better = value.detach() > highest
        found = torch.where(_like(better, x), x_star.detach(), found)
        highest = torch.where(better, value.detach(), highest)
        if step < steps:
            (gradient,) = torch.autograd.grad(value.sum(), x_star)
            ascent = gradient.sign() if norm == "linf" else gradient / _norms(gradient).clamp_min(1e-12)
            begin = delta if box == "clip" else x_star.detach() - x
            delta = project(begin + step_size * ascent, radius)
    return found


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
        What to maximise.
    x : Tensor of shape (B, C, H, W)
        In [0, 1].
    degrees : sequence of float
        Rotations to try.
    shifts : sequence of (float, float)
        Shifts to try with each, in pixels to the right and down.

    Returns
    -------
    Tensor of shape (B, C, H, W)

    Source : Engstrom et al. 2019, Sec. 3 (grid search); Salehi et al. 2020, Ablation.
    """
    best, highest = x, torch.full((len(x),), -math.inf, device=x.device)
    with torch.no_grad():
        for degree in degrees:
            for shift in shifts:
                moved = transform(x, degree, shift)
                value = objective(moved)
                better = value > highest
                best = torch.where(_like(better, x), moved, best)
                highest = torch.where(better, value, highest)
    return best


def _norms(t: Tensor) -> Tensor:
    """Return each item's l2 norm, shaped (B, 1, ..., 1) to divide by."""
    return _like(t.flatten(1).norm(dim=1), t)


def _like(values: Tensor, t: Tensor) -> Tensor:
    """Return one value an item, (B,), shaped (B, 1, ..., 1)."""
    return values.view(-1, *[1] * (t.ndim - 1))
