"""Attacks on an objective of images: PGD and APGD in l∞ and l2, a far-end start, a search over rotations and shifts.

Plain functions of an objective `(B, C, H, W) -> (B,)`, to be *maximised* for each image on its own.
Radii and steps are in pixel units, where an image lies in [0, 1]. The attack that needs no gradient is `square`, in
`black_box.py`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from advad.attacks.ball import (
    Objective,
    check_attack,
    checked_shape,
    checked_values,
    into_ball,
    norms,
    per_item,
    project_l2,
    project_linf,
    random_l2,
    random_linf,
)
from advad.checks import check_choice, check_number, reject

NO_GRADIENT = "The attack `square` needs no gradient."
PROBES = 4  # pairs of opposite corners between which `corner_search` estimates curvature
MOMENTUM = 0.75  # α of APGD: share of the new step, the rest is the step before
ENOUGH_RISES = 0.75  # ρ of APGD: a step size is kept while at least this share of its steps raises the objective


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
        The function to maximise; the images are independent of each other.
    x : Tensor of shape (B, C, H, W)
        Pixels in [0, 1].
    norm : {"linf", "l2"}
        Norm that bounds δ.
    radius : float
        Radius of the ball, in pixel units; 0 returns the images.
    step_size : float, optional
        Length of a step, in pixel units; 2.5 · radius / steps unless given (Madry et al. 2018).
    steps : int
        Number of gradient steps.
    generator : torch.Generator, optional
        Source of the random start.
    start : Tensor of shape (B, C, H, W), optional
        First δ, instead of a random one.
    box : {"project", "clip", "saturate", "none"}
        "project": each step shortens δ so that x + δ lies in [0, 1], and the next step begins there. This is the
        stronger attack. "clip": only the image is clipped; the gradient is taken at the clipped image, but δ keeps
        its values outside, so that a black pixel with a negative δ stays black until δ has become positive.
        "saturate": as "clip", but the gradient is that of the clipping, too: it is zero for pixels outside, so that a
        black pixel with a negative δ stays black for good in l∞. "none": pixels may leave [0, 1].
    best : bool
        Whether to return, for each image, the best of all points visited, the random start included. Otherwise the
        last point is returned, which saves one evaluation of the objective.

    Returns
    -------
    Tensor of shape (B, C, H, W)
        Detached.

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers, an unknown `norm` or `box`; an objective without a gradient, or of another shape than
        (B,).

    Source : Madry et al. 2018, Sec. 2.1; l2 step as in their released code; "clip" as in the released code of Salehi
    et al. 2020.
    """
    check_attack("pgd", x, norm, radius, ends="[]")
    check_choice("pgd", "box", box, ["project", "clip", "saturate", "none"])
    check_number("pgd", "steps", steps, 0, integer=True)
    if step_size is not None:
        check_number("pgd", "step_size", step_size, 0)
    project = {"linf": project_linf, "l2": project_l2}[norm]
    draw = {"linf": random_linf, "l2": random_l2}[norm]
    step_size = 2.5 * radius / max(steps, 1) if step_size is None else step_size
    x = x.detach()
    delta = project(draw(x, radius, generator) if start is None else start, radius)
    highest_images, highest = x, torch.full((len(x),), -math.inf, device=x.device)
    for step in range(steps + 1):
        x_star = x + delta if box == "none" else (x + delta).clamp(0, 1)
        if step == steps and not best:
            return x_star
        x_star.requires_grad_(step < steps)
        with torch.set_grad_enabled(step < steps):  # nothing is differentiated at the last point
            value = checked_shape("pgd", objective(x_star), x)
        if step < steps and value.grad_fn is None:
            reject("pgd", "objective", "be differentiable", value, NO_GRADIENT)
        better = value.detach() > highest
        highest_images = torch.where(per_item(better, x), x_star.detach(), highest_images)
        highest = torch.where(better, value.detach(), highest)
        if step < steps:
            (gradient,) = torch.autograd.grad(value.sum(), x_star)
            gradient = gradient.nan_to_num(0.0)
            if box == "saturate":
                gradient = gradient * (x_star.detach() == x + delta)
            ascent = gradient.sign() if norm == "linf" else gradient / norms(gradient).clamp_min(1e-12)
            begin = x_star.detach() - x if box == "project" else delta
            delta = project(begin + step_size * ascent, radius)
    return highest_images


def apgd(
    objective: Objective,
    x: Tensor,
    *,
    norm: str = "linf",
    radius: float,
    steps: int = 100,
    generator: torch.Generator | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Return x + δ that raises the objective, by projected gradient ascent that chooses its step size itself.

    Auto-PGD. The step size begins at 2 · radius. At checkpoints, which come closer and closer, it is halved for each
    image that no longer makes progress, and this image goes on from its best point so far. A step carries momentum:

        z = Π(x_k + η · ascent),   x_{k+1} = Π(x_k + 0.75 (z − x_k) + 0.25 (x_k − x_{k−1})).

    Of all the points visited, the start included, the best is kept for each image.

    Parameters
    ----------
    objective, x, norm, radius
        As in `pgd`; x + δ stays in [0, 1], and the radius must be above 0.
    steps : int
        Gradient steps; each costs one forward and one backward pass.
    generator : torch.Generator, optional
        Source of the random start.
    start : Tensor of shape (B, C, H, W), optional
        First δ, instead of a random one; it is projected first.

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers; an objective without a gradient, not finite, or of another shape than (B,).

    Source : Croce and Hein 2020, Algorithm 1 and Sec. 3; the direction in l2 as in their released code.
    """
    check_attack("apgd", x, norm, radius)
    check_number("apgd", "steps", steps, 1, integer=True)
    x = x.detach()
    draw = {"linf": random_linf, "l2": random_l2}[norm]
    here = previous = into_ball(x, x + (draw(x, radius, generator) if start is None else start), norm, radius)
    value, gradient = _value_and_gradient("apgd", objective, here)
    best, highest, best_gradient = here, value, gradient
    step_size = torch.full_like(value, 2 * radius)  # (B,), as all that follows
    rises = torch.zeros_like(value)
    highest_then, halved_then = highest, torch.ones_like(value, dtype=torch.bool)  # at the checkpoint before
    checkpoints, checkpoint_then = set(_checkpoints(steps)), 0
    for step in range(1, steps + 1):
        ascent = gradient.sign() if norm == "linf" else gradient / norms(gradient).clamp_min(1e-12)
        z = into_ball(x, here + per_item(step_size, x) * ascent, norm, radius)
        momentum = MOMENTUM if step > 1 else 1.0
        ahead = into_ball(x, here + momentum * (z - here) + (1 - momentum) * (here - previous), norm, radius)
        previous, here, value_before = here, ahead, value
        if step == steps:  # the last point is only looked at
            with torch.no_grad():
                value = checked_values("apgd", objective, here)
        else:
            value, gradient = _value_and_gradient("apgd", objective, here)
        rises = rises + (value > value_before)
        better = value > highest
        best, best_gradient = (
            torch.where(per_item(better, x), new, old) for new, old in ((here, best), (gradient, best_gradient))
        )
        highest = torch.where(better, value, highest)
        if step in checkpoints:
            few_rises = rises < ENOUGH_RISES * (step - checkpoint_then)  # condition 1
            stands_still = ~halved_then & (highest == highest_then)  # condition 2
            halve = few_rises | stands_still
            step_size = torch.where(halve, step_size / 2, step_size)
            here, gradient = (
                torch.where(per_item(halve, x), new, old) for new, old in ((best, here), (best_gradient, gradient))
            )
            value = torch.where(halve, highest, value)
            highest_then, halved_then, checkpoint_then, rises = highest, halve, step, torch.zeros_like(value)
    return best


def _checkpoints(steps: int) -> list[int]:
    """Return the steps after which APGD looks back: ⌈p_j · steps⌉, p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06)."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return [math.ceil(share * steps - 1e-9) for share in shares[1:] if share <= 1]


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
    lower, upper = (x - radius).clamp(min=0), (x + radius).clamp(max=1)
    return torch.where(reconstruction - lower > upper - reconstruction, lower, upper)


def corner_search(
    objective: Objective,
    x: Tensor,
    start: Tensor,
    radius: float,
    *,
    steps: int = 50,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return images that raise the objective, by moving pixels from one end of their l∞ interval to the other.

    Where an objective is convex in δ, the gradient at one end of a pixel's interval may point out of it although the
    other end, at the distance Δ, is higher. A second-order estimate of the gain sees this: g Δ + ½ h Δ², where h is the
    mean curvature over pixels. Each step moves the pixels with the highest gains; where it fails, half as many.

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

    Source : ours; the curvature after Hutchinson 1990.
    """
    check_attack("corner_search", x, "linf", radius)
    lower, upper = (x - radius).clamp(min=0), (x + radius).clamp(max=1)
    best = into_ball(x, start, "linf", radius).detach()
    highest, gradient = _value_and_gradient("corner_search", objective, best)
    curvature = torch.zeros_like(highest)  # (B,)
    for _ in range(PROBES):  # between opposite corners: Σ_i (g⁺ − g⁻)_i s_i = Σ_i h_ii (upper − lower)_i in the mean
        up = torch.rand(x.shape, generator=generator, device=x.device) < 0.5
        _, here = _value_and_gradient("corner_search", objective, torch.where(up, upper, lower))
        _, there = _value_and_gradient("corner_search", objective, torch.where(up, lower, upper))
        change = torch.where(up, here - there, there - here).flatten(1).sum(1)
        curvature += change / (upper - lower).flatten(1).sum(1) / PROBES
    share = torch.ones_like(highest)  # of the promising pixels, to be moved
    for _ in range(steps):
        ahead = torch.where(best - lower > upper - best, lower, upper) - best  # Δ
        gain = gradient * ahead + per_item(curvature, x) / 2 * ahead.square()
        rank = gain.flatten(1).argsort(dim=1, descending=True).argsort(dim=1)
        count = ((gain > 0).flatten(1).sum(1) * share).ceil()
        moved = best + ahead * ((rank < count[:, None]).view_as(x))
        value, slope = _value_and_gradient("corner_search", objective, moved)
        better = value > highest
        best, gradient = (torch.where(per_item(better, x), a, b) for a, b in ((moved, best), (slope, gradient)))
        highest = torch.where(better, value, highest)
        share = torch.where(better, torch.ones_like(share), share / 2)
    return best


def _value_and_gradient(owner: str, objective: Objective, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the objective (B,) and its gradients (B, C, H, W)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():  # a caller may be inside no_grad
        value = checked_values(owner, objective, x)
        if value.grad_fn is None:
            reject(owner, "objective", "be differentiable", value, NO_GRADIENT)
        (gradient,) = torch.autograd.grad(value.sum(), x, allow_unused=True, materialize_grads=True)
    return value.detach(), gradient.nan_to_num(0.0)  # √(x²) has no slope at 0: such a pixel stays where it is
