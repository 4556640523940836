"""Attacks on an objective of images by its gradient, in l∞ and l2: PGD, APGD, and ascent of a smoothed objective.

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
    interval,
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
MOMENTUM = 0.75  # α of APGD: share of the new step, the rest is the step before
SAME = 1e-6  # pixels that differ by less are equal but for rounding
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
    drop_converged: bool = False,
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
    drop_converged : bool
        Whether an image leaves the batch once every further step would return to its best point, as at a corner of the
        ball from which the gradient points outward. The result is the same but for rounding, in less time. The
        objective must then take some of the images alone, and must not be random.

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
    value, gradient = value_and_gradient("apgd", objective, here)
    best, highest, best_gradient = here, value, gradient
    step_size = torch.full_like(value, 2 * radius)  # (B,), as all that follows
    rises = torch.zeros_like(value)
    highest_then, halved_then = highest, torch.ones_like(value, dtype=torch.bool)  # at the checkpoint before
    checkpoints, checkpoint_then = set(_checkpoints(steps)), 0
    ends, rows = best.clone(), torch.arange(len(x), device=x.device)  # of all images; which of them are still here
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
            value, gradient = value_and_gradient("apgd", objective, here)
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
        if drop_converged:
            moves = torch.stack([here - point for point in (previous, z, best)]).abs().flatten(2).amax((0, 2)) > SAME
            if not bool(moves.all()):
                ends[rows] = best
                x, here, previous, value, gradient = (t[moves] for t in (x, here, previous, value, gradient))
                best, highest, best_gradient = (t[moves] for t in (best, highest, best_gradient))
                rows, rises, step_size = (t[moves] for t in (rows, rises, step_size))
                highest_then, halved_then = highest_then[moves], halved_then[moves]
            if not len(rows):
                return ends
    ends[rows] = best
    return ends


def _checkpoints(steps: int) -> list[int]:
    """Return the steps after which APGD looks back: ⌈p_j · steps⌉, p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06)."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return [math.ceil(share * steps - 1e-9) for share in shares[1:] if share <= 1]


def smoothed_ascent(
    objective: Objective,
    x: Tensor,
    *,
    momentum: float = 0.0,
    steps: int = 100,
    norm: str = "linf",
    radius: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x + δ that raises the objective, by the gradient of a smoothed objective which sharpens step by step.

    Step k takes the gradient at here + t (v − here), with v drawn from the whole ball and t falling from 1 to 0; so
    does the length of the step, from 2 · radius. At first, therefore, a pixel sees its mean slope over its whole
    interval, and passes maxima that are only local; later, draws still break ties, such as several equal pixels at
    the maximum that an image is scaled by, which hold one another where they are. A start for `apgd`.

    Parameters
    ----------
    objective, x, norm, radius, steps, generator
        As in `apgd`; each step costs one forward pass more.
    momentum : float in [0, 1)
        Share of the mean of earlier gradients in each step's direction. With 0.9 it is a mean over about ten draws,
        which passes more local maxima; 0 follows kinks more closely.

    Returns
    -------
    Tensor of shape (B, C, H, W)
        Detached; for each image the best of all points stepped to, the random start included.

    Raises
    ------
    TypeError, ValueError
        As in `apgd`.

    Source : Duchi, Bartlett and Wainwright 2012 (the gradient of an objective smoothed by draws); the schedule is ours.
    """
    check_attack("smoothed_ascent", x, norm, radius)
    check_number("smoothed_ascent", "momentum", momentum, 0, 1, ends="[)")
    check_number("smoothed_ascent", "steps", steps, 1, integer=True)
    x = x.detach()
    here = best = _in_ball(x, norm, radius, generator)
    with torch.no_grad():
        highest = checked_values("smoothed_ascent", objective, here)
    mean = torch.zeros_like(x)
    for step in range(steps):
        t = 1 - step / steps
        around = here + t * (_in_ball(x, norm, radius, generator) - here)
        _, gradient = value_and_gradient("smoothed_ascent", objective, around)
        mean = momentum * mean + (1 - momentum) * gradient / norms(gradient).clamp_min(1e-12)
        ascent = mean.sign() if norm == "linf" else mean / norms(mean).clamp_min(1e-12)
        here = into_ball(x, here + 2 * radius * t * ascent, norm, radius)
        with torch.no_grad():
            value = checked_values("smoothed_ascent", objective, here)
        better = value > highest
        best, highest = torch.where(per_item(better, x), here, best), torch.where(better, value, highest)
    return best


def _in_ball(x: Tensor, norm: str, radius: float, generator: torch.Generator | None) -> Tensor:
    """Return a random point of each image's ball; in l∞ uniform in what of it lies in [0, 1]."""
    if norm == "l2":
        return into_ball(x, x + random_l2(x, radius, generator), norm, radius)
    lower, upper = interval(x, radius)
    return lower + (upper - lower) * torch.rand(x.shape, generator=generator, device=x.device)


def value_and_gradient(owner: str, objective: Objective, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the objective (B,) and its gradients (B, C, H, W)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():  # a caller may be inside no_grad
        value = checked_values(owner, objective, x)
        if value.grad_fn is None:
            reject(owner, "objective", "be differentiable", value, NO_GRADIENT)
        (gradient,) = torch.autograd.grad(value.sum(), x, allow_unused=True, materialize_grads=True)
    return value.detach(), gradient.nan_to_num(0.0)  # √(x²) has no slope at 0: such a pixel stays where it is
