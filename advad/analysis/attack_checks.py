"""Checks on an evaluation of robustness: the signs by which the field tells that attacks were too weak.

Source : Athalye et al. 2018, Sec. 3.1; Carlini et al. 2019; the flags of AutoAttack (Croce and Hein 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from advad.analysis.attack_ensemble import SQUARE, Budget, Target, WorstCase, worst_case
from advad.attacks import into_ball, random_l2, random_linf

MORE = 0.01  # a gain of more than this share counts as more
SOME = 0.02  # a share of images above this counts as some


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes
    ----------
    name : str
        Name of the check.
    warns : bool
        Whether it is a warning.
    text : str
        One sentence with the numbers.
    value : float
        The share that the check judges, in [0, 1].
    blocks : bool
        Whether this warning forbids the name "robust AUROC".
    """

    name: str
    warns: bool
    text: str
    value: float
    blocks: bool = True


def random_score(target: Target) -> Check:
    """Tell whether the score is random; if so, its mean over draws has been attacked, which is the remedy."""
    random = target.draws > 1
    text = (
        f"The score is random: two calls differ. Attacks and scores use the mean of {target.draws} draws (EOT)."
        if random
        else "The score is not random: two calls agree."
    )
    return Check("random score", random, text, float(random), blocks=False)


def attack_checks(
    target: Target,
    x: Tensor,
    worst: WorstCase,
    sign: int,
    *,
    extreme: float,
    norm: str,
    radius: float,
    budget: Budget,
    seed: int,
    batch_size: int,
    folder: Path | None = None,
) -> list[Check]:
    """Return the results of the checks of an attack on the images of one class.

    Parameters
    ----------
    target, x, sign, norm, radius, budget, seed, batch_size, folder
        As in `worst_case`.
    worst : WorstCase
        The ensemble's result for x.
    extreme : float
        A score that an attacker without a bound can certainly reach, since an image at hand has it.
    """
    chosen = torch.linspace(0, len(x) - 1, min(budget.probes, len(x)), device=x.device).round().long()
    probes, after, gain = x[chosen], worst.after[chosen], (sign * (worst.after - worst.before))[chosen]
    members = tuple(name for name in target.members if name != SQUARE) or (SQUARE,)

    def attacked(radius: float, budget: Budget, seed: int) -> Tensor:
        ball: dict[str, Any] = {"norm": norm, "radius": radius, "budget": budget}
        settings: dict[str, Any] = {"seed": seed, "members": members, "batch_size": batch_size, "folder": folder}
        return worst_case(target, probes, sign, **ball, **settings).after

    longer = replace(budget, steps=2 * budget.steps, starts=2 * budget.starts, queries=2 * budget.queries)
    largest = 1.0 if norm == "linf" else math.sqrt(x[0].numel())
    single = replace(budget, starts=1)
    checks = []
    if target.differentiable:
        checks.append(_zero_gradients(target, probes, gain, norm, radius, seed))
        checks.append(_black_box(worst, sign))
    checks.append(_longer_search(sign * (attacked(radius, longer, seed + 1) - after), gain))
    half, double = attacked(radius / 2, single, seed), attacked(min(2 * radius, largest), single, seed)
    checks.append(_monotone(sign * (half - after), sign * (after - double), gain))
    checks.append(_unbounded(sign * (attacked(largest, single, seed) - extreme)))
    return checks


def _zero_gradients(target: Target, x: Tensor, gain: Tensor, norm: str, radius: float, seed: int) -> Check:
    """Count gradients of exactly 0, and see whether the pixels that have them matter to the score all the same."""
    generator = torch.Generator(x.device).manual_seed(int(seed))
    draw = {"linf": random_linf, "l2": random_l2}[norm]
    here, there = (into_ball(x, x + draw(x, radius, generator), norm, radius) for _ in range(2))
    with torch.enable_grad():
        score = target.score(here.requires_grad_())
        (gradient,) = torch.autograd.grad(score.sum(), here, allow_unused=True, materialize_grads=True)
    zero = (gradient == 0) | gradient.isnan()
    with torch.no_grad():
        again, moved = target.score(here), target.score(torch.where(zero, there, here))
    noise = 3 * (again - score).abs()  # 0 unless the score is random
    share = float(((moved - score).abs() > MORE * gain.abs() + noise).float().mean())
    images, pixels = float(zero.flatten(1).all(1).float().mean()), float(zero.float().mean())
    text = f"The gradient is exactly 0 on {images:.0%} of the images and {pixels:.0%} of the pixels"
    text += f"; on {share:.0%} of the images these pixels change the score all the same." if pixels else "."
    return Check("zero gradients", share > SOME, text, share)


def _black_box(worst: WorstCase, sign: int) -> Check:
    """Tell on how many images the attack without a gradient found more than all that use it."""
    gain = sign * (worst.after - worst.before)
    by_gradient = torch.stack([sign * values for name, values in worst.by_attack.items() if name != SQUARE]).amax(0)
    share = float((sign * worst.by_attack[SQUARE] - by_gradient > MORE * gain).float().mean())
    text = f"Square, without a gradient, finds over {MORE:.0%} more than gradient attacks on {share:.0%} of the images."
    return Check("black box", share > SOME, text, share)


def _longer_search(more: Tensor, gain: Tensor) -> Check:
    """Tell how much a search with twice the steps, starts and queries still gains."""
    share = float(more.clamp_min(0).mean() / gain.mean().clamp_min(1e-12))
    text = f"Twice the steps and starts gain {share:.1%} more on {len(gain)} images."
    return Check("longer search", share > MORE, text, share)


def _monotone(half: Tensor, double: Tensor, gain: Tensor) -> Check:
    """Tell on how many images a smaller radius gave a worse score."""
    wrong = (half > MORE * gain) | (double > MORE * gain)
    share = float(wrong.float().mean())
    text = f"A smaller radius (half against whole, whole against double) does more harm on {share:.0%} of the images."
    return Check("monotone in the radius", share > SOME, text, share)


def _unbounded(beyond: Tensor) -> Check:
    """Tell on how many images an attack without a bound misses a score that another image has."""
    share = float((beyond < 0).float().mean())
    text = f"Without a bound, the attack misses the other class's extreme score on {share:.0%} of {len(beyond)} images."
    return Check("unbounded radius", share > SOME, text, share)
