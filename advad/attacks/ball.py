"""The ball that attacks search: projections, random starts, and checks of the arguments of an attack."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from advad.checks import check_choice, check_number, reject

Objective = Callable[[Tensor], Tensor]
SCALINGS = 8  # rounds of the projection onto ball and box in l2; each comes nearer to the border of the ball


def project_linf(delta: Tensor, radius: float) -> Tensor:
    """Return the nearest δ with ‖δ‖∞ ≤ radius, for each of (B, ...)."""
    return delta.clamp(-radius, radius)


def project_l2(delta: Tensor, radius: float) -> Tensor:
    """Return the nearest δ with ‖δ‖₂ ≤ radius, for each of (B, ...)."""
    return delta * (radius / norms(delta).clamp_min(radius)) if radius > 0 else torch.zeros_like(delta)


def random_linf(x: Tensor, radius: float, generator: torch.Generator | None = None) -> Tensor:
    """Return δ like x, uniform in the l∞ ball."""
    return (2 * torch.rand(x.shape, generator=generator, device=x.device) - 1) * radius


def random_l2(x: Tensor, radius: float, generator: torch.Generator | None = None) -> Tensor:
    """Return δ like x, uniform in the l2 ball: a Gaussian direction, and a radius of density r^(d−1)."""
    direction = torch.randn(x.shape, generator=generator, device=x.device)
    share = torch.rand((len(x), *[1] * (x.ndim - 1)), generator=generator, device=x.device)
    return direction / norms(direction).clamp_min(1e-12) * radius * share ** (1 / x[0].numel())


def interval(x: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return the lower and the upper end of what each pixel may become in the l∞ ball and in [0, 1]; like x."""
    return (x - radius).clamp(min=0), (x + radius).clamp(max=1)


def into_ball(x: Tensor, moved: Tensor, norm: str, radius: float) -> Tensor:
    """Return the images nearest to `moved` that lie both in [0, 1] and in the ball of `radius` around x.

    In l2 this is clip(x + s · (moved − x)) with the largest s ≤ 1 that stays in the ball. The search for s comes from
    below, so that each of its iterates is in the ball.
    """
    if norm == "linf":
        return torch.minimum(torch.maximum(moved, x - radius), x + radius).clamp(0, 1)
    delta = moved - x
    inside = moved.clamp(0, 1) - x
    if bool((norms(inside) <= radius).all()):
        return moved.clamp(0, 1)
    scale = (radius / norms(delta).clamp_min(1e-12)).clamp(max=1)
    for _ in range(SCALINGS):  # what [0, 1] cuts off a pixel is left to the others
        inside = (x + scale * delta).clamp(0, 1) - x
        scale = (scale * radius / norms(inside).clamp_min(1e-12)).clamp(max=1)
    return (x + scale * delta).clamp(0, 1)


def check_images(owner: str, x: Tensor) -> None:
    """Check that x holds images; raise TypeError or ValueError with one clear line."""
    if not isinstance(x, Tensor) or x.ndim != 4 or not x.is_floating_point():
        reject(owner, "x", "be a float Tensor of shape (B, C, H, W)", x, error=TypeError)
    if not bool(((x >= 0) & (x <= 1)).all()):  # a NaN fails both
        reject(owner, "x", "hold images in [0, 1]", x, "Some pixels are NaN or outside.")


def check_attack(owner: str, x: Tensor, norm: str, radius: float, ends: str = "(]") -> None:
    """Check the arguments that all attacks in a ball share; `ends` says whether its radius may be 0."""
    check_images(owner, x)
    check_choice(owner, "norm", norm, ["linf", "l2"])
    largest = 1 if norm == "linf" else math.inf
    remedy = "It is in pixel units of [0, 1], so 0.1 is 10 %."
    check_number(owner, "radius", radius, 0, largest, ends=ends, remedy=remedy)


def checked_shape(owner: str, value: Tensor, x: Tensor) -> Tensor:
    """Return the objective's values of x, checked to be one number per image."""
    if value.shape != (len(x),):
        reject(owner, "objective", f"return shape ({len(x)},), one number per image", value)
    return value


def checked_values(owner: str, objective: Objective, x: Tensor) -> Tensor:
    """Return the objective of x, checked to be finite, and one number per image."""
    value = checked_shape(owner, objective(x), x)
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{owner}: objective must return finite numbers; got NaN or infinite ones.")
    return value


def norms(t: Tensor) -> Tensor:
    """Return each item's l2 norm, shaped (B, 1, ..., 1) to divide by."""
    return per_item(t.flatten(1).norm(dim=1), t)


def per_item(values: Tensor, t: Tensor) -> Tensor:
    """Return one value for each item, (B,), shaped (B, 1, ..., 1)."""
    return values.view(-1, *[1] * (t.ndim - 1))
