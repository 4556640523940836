"""Attacks on an objective of images: PGD and APGD in l∞ and l2, a far-end start, a search over rotations and shifts.

Plain functions of an objective `(B, C, H, W) -> (B,)`, to be *maximised* for each image on its own.
Radii and steps are in pixel units, where an image lies in [0, 1]. The attack that needs no gradient is `square`, in
`black_box.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from advad.checks import check_choice, check_number, reject

Objective = Callable[[Tensor], Tensor]
PROBES = 4  # pairs of opposite corners between which `corner_search` estimates curvature
SCALINGS = 8  # rounds of the projection onto ball and box in l2; each comes nearer to the border of the ball
MOMENTUM = 0.75  # α of APGD: share of the new step, the rest is the step before
ENOUGH_RISES = 0.75  # ρ of APGD: a step size is kept while at least this share of its steps raises the objective


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
    clip: bool = True,
) -> Tensor:
    """Return x + δ that raises the objective, by projected gradient ascent from a random start.

    δ ← Π(δ + step_size · sign(∇)) in l∞, or · ∇/‖∇‖₂ in l2; Π projects onto the ball of `radius`, then onto
    images in [0, 1]. Of all the points visited, the random start included, the best is kept for each image.

    Parameters
    ----------
    objective : callable (B, C, H, W) -> (B,)
        What to maximise; the images are independent of each other.
    x : Tensor of shape (B, C, H, W)
        In [0, 1].
    norm : {"linf", "l2"}
        Norm that bounds δ.
    radius : float
        The ball's, in pixel units.
    step_size : float, optional
        2.5 · radius / steps unless given (Madry et al. 2018).
    steps : int
        Gradient steps.
    generator : torch.Generator, optional
        For the random start.
    start : Tensor of shape (B, C, H, W), optional
        First δ, instead of a random one.
    clip : bool
        Whether x + δ must stay in [0, 1].

    Returns
    -------
    Tensor of shape (B, C, H, W)
        Detached.

    Source : Madry et al. 2018, Sec. 2.1; l2 step as in their released code.
    """
    project = {"linf": project_linf, "l2": project_l2}[norm]
    step_size = 2.5 * radius / max(steps, 1) if step_size is None else step_size
    x = x.detach()

    def feasible(delta: Tensor) -> Tensor:
        delta = project(delta, radius)
        return (x + delta).clamp(0, 1) if clip else x + delta

    draw = {"linf": random_linf, "l2": random_l2}[norm]
    adversary = feasible(draw(x, radius, generator) if start is None else start)
    best, highest = adversary, torch.full((len(x),), -math.inf, device=x.device)
    for step in range(steps + 1):
        adversary = adversary.detach().requires_grad_(step < steps)
        with torch.set_grad_enabled(step < steps):  # the last point is only looked at
            value = objective(adversary)
        better = value.detach() > highest
        best = torch.where(_like(better, x), adversary.detach(), best)
        highest = torch.where(better, value.detach(), highest)
        if step < steps:
            (gradient,) = torch.autograd.grad(value.sum(), adversary)
            ascent = gradient.sign() if norm == "linf" else gradient / _norms(gradient).clamp_min(1e-12)
            adversary = feasible(adversary.detach() - x + step_size * ascent)
    return best


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
        For the random start.
    start : Tensor of shape (B, C, H, W), optional
        First δ, instead of a random one; it is projected first.

    Returns
    -------
    Tensor of shape (B, C, H, W)
        Detached.

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
        ascent = gradient.sign() if norm == "linf" else gradient / _norms(gradient).clamp_min(1e-12)
        z = into_ball(x, here + _like(step_size, x) * ascent, norm, radius)
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
            torch.where(_like(better, x), new, old) for new, old in ((here, best), (gradient, best_gradient))
        )
        highest = torch.where(better, value, highest)
        if step in checkpoints:
            few_rises = rises < ENOUGH_RISES * (step - checkpoint_then)  # condition 1
            stands_still = ~halved_then & (highest == highest_then)  # condition 2
            halve = few_rises | stands_still
            step_size = torch.where(halve, step_size / 2, step_size)
            here, gradient = (
                torch.where(_like(halve, x), new, old) for new, old in ((best, here), (best_gradient, gradient))
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
        return into_ball(x, x + away * (1e3 * radius / _norms(away).clamp_min(1e-12)), "l2", radius)
    low, high = (x - radius).clamp(min=0), (x + radius).clamp(max=1)
    return torch.where(reconstruction - low > high - reconstruction, low, high)


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
    low, high = (x - radius).clamp(min=0), (x + radius).clamp(max=1)
    best = into_ball(x, start, "linf", radius).detach()
    highest, gradient = _value_and_gradient("corner_search", objective, best)
    curvature = torch.zeros_like(highest)  # (B,)
    for _ in range(PROBES):  # between opposite corners: Σ_i (g⁺ − g⁻)_i s_i = Σ_i h_ii (high − low)_i in the mean
        up = torch.rand(x.shape, generator=generator, device=x.device) < 0.5
        _, one = _value_and_gradient("corner_search", objective, torch.where(up, high, low))
        _, other = _value_and_gradient("corner_search", objective, torch.where(up, low, high))
        change = torch.where(up, one - other, other - one).flatten(1).sum(1)
        curvature += change / (high - low).flatten(1).sum(1) / PROBES
    share = torch.ones_like(highest)  # of the promising pixels, to be moved
    for _ in range(steps):
        ahead = torch.where(best - low > high - best, low, high) - best  # Δ
        gain = gradient * ahead + _like(curvature, x) / 2 * ahead.square()
        rank = gain.flatten(1).argsort(dim=1, descending=True).argsort(dim=1)
        count = ((gain > 0).flatten(1).sum(1) * share).ceil()
        moved = best + ahead * ((rank < count[:, None]).view_as(x))
        value, slope = _value_and_gradient("corner_search", objective, moved)
        better = value > highest
        best, gradient = (torch.where(_like(better, x), a, b) for a, b in ((moved, best), (slope, gradient)))
        highest = torch.where(better, value, highest)
        share = torch.where(better, torch.ones_like(share), share / 2)
    return best


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


def into_ball(x: Tensor, moved: Tensor, norm: str, radius: float) -> Tensor:
    """Return the images nearest to `moved` that lie both in [0, 1] and in the ball of `radius` around x.

    In l2 this is clip(x + s · (moved − x)) with the largest s ≤ 1 that stays in the ball. The search for s comes from
    below, so that each of its iterates is in the ball.
    """
    if norm == "linf":
        return torch.minimum(torch.maximum(moved, x - radius), x + radius).clamp(0, 1)
    delta = moved - x
    inside = moved.clamp(0, 1) - x
    if bool((_norms(inside) <= radius).all()):
        return moved.clamp(0, 1)
    scale = (radius / _norms(delta).clamp_min(1e-12)).clamp(max=1)
    for _ in range(SCALINGS):  # what [0, 1] cuts off a pixel is left to the others
        inside = (x + scale * delta).clamp(0, 1) - x
        scale = (scale * radius / _norms(inside).clamp_min(1e-12)).clamp(max=1)
    return (x + scale * delta).clamp(0, 1)


def check_attack(owner: str, x: Tensor, norm: str, radius: float) -> None:
    """Check what all attacks are given; raise TypeError or ValueError with one clear line."""
    if not isinstance(x, Tensor) or x.ndim != 4 or not x.is_floating_point():
        reject(owner, "x", "be a float Tensor of shape (B, C, H, W)", x, error=TypeError)
    if not bool(((x >= 0) & (x <= 1)).all()):  # a NaN fails both
        reject(owner, "x", "hold images in [0, 1]", x, "Some pixels are NaN or outside.")
    check_choice(owner, "norm", norm, ["linf", "l2"])
    high = 1 if norm == "linf" else math.inf
    check_number(owner, "radius", radius, 0, high, ends="(]", remedy="It is in pixel units of [0, 1], so 0.1 is 10 %.")


def checked_values(owner: str, objective: Objective, x: Tensor) -> Tensor:
    """Return the objective of x, checked to be finite and one number an image."""
    value = objective(x)
    if value.shape != (len(x),):
        reject(owner, "objective", f"return shape ({len(x)},), one number an image", value)
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{owner}: objective must return finite numbers; got NaN or infinite ones.")
    return value


def _value_and_gradient(owner: str, objective: Objective, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the objective (B,) and its gradients (B, C, H, W)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():  # a caller may be inside no_grad
        value = checked_values(owner, objective, x)
        if value.grad_fn is None:
            reject(owner, "objective", "be differentiable", value, "The attack `square` needs no gradient.")
        (gradient,) = torch.autograd.grad(value.sum(), x, allow_unused=True, materialize_grads=True)
    return value.detach(), gradient


def _norms(t: Tensor) -> Tensor:
    """Return each item's l2 norm, shaped (B, 1, ..., 1) to divide by."""
    return _like(t.flatten(1).norm(dim=1), t)


def _like(values: Tensor, t: Tensor) -> Tensor:
    """Return one value an item, (B,), shaped (B, 1, ..., 1)."""
    return values.view(-1, *[1] * (t.ndim - 1))
