"""Attacks on what a detector says: images moved a little, so that their scores rise or fall as far as they can.

An analysis knows no engine, and an attack needs its projected gradient descent; so it stands here, above both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from advad.analysis.inputs import Score, as_pixels, as_score
from advad.attacks import pgd
from advad.checks import as_images, check_choice, check_number, reject
from advad.images import as_float

NO_GRADIENT = "Attack another detector, and show its images to this one."


class Attacked(NamedTuple):
    """Images after an attack, and what the attacked detector says of them.

    Attributes
    ----------
    images : ndarray of shape (N, C, H, W), float32 in [0, 1]
    before, after : ndarray of shape (N,), float32
        The score of each image before the attack and after it; higher = more anomalous.
    """

    images: np.ndarray
    before: np.ndarray
    after: np.ndarray


def attack_scores(
    detector: Any,
    images: ArrayLike | Tensor,
    *,
    radius: float,
    goal: str = "raise",
    norm: str = "linf",
    steps: int = 40,
    restarts: int = 1,
    start: ArrayLike | Tensor | None = None,
    seed: int = 0,
    batch_size: int = 1024,
) -> Attacked:
    """Move each image within a ball so that its score rises (a false alarm) or falls (a miss): max ±A(x + δ).

    Projected gradient descent (`advad.attacks.pgd`) with steps of 2.5 · radius / steps. The attacker knows the
    detector and its weights. No image ends worse for the attacker than it began, nor than where its search started.

    Parameters
    ----------
    detector : detector or callable
        A detector with `score_tensor`; or a differentiable function from a float Tensor (B, C, H, W) in [0, 1]
        to B scores, higher = more anomalous, each of its own image alone.
    images : array-like of shape (N, C, H, W) or (N, H, W)
        `uint8`, or float in [0, 1].
    radius : float
        Of the ball, in pixel units of [0, 1]: the largest change of a pixel in l∞, the length of the change in l2.
    goal : {"raise", "lower"}
        Where the scores are to go.
    norm : {"linf", "l2"}
        Norm that bounds δ.
    steps : int
        Gradient steps; a single one is no test of a detector.
    restarts : int
        How many searches; the best end is kept. Each begins at a random point of the ball.
    start : array-like like images, optional
        Where the first search begins instead, say the images that a smaller radius gave; moved into the ball first.
    seed : int
        Seed of the random starts.
    batch_size : int
        Images in one call.

    Returns
    -------
    Attacked

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers; a score that is not finite, or through which no gradient flows.

    Source : Madry et al. 2018, Sec. 2.1; on normal images and the reconstruction error: Salehi et al. 2020, Table 5.
    """
    owner = "attack_scores"
    score = as_score(owner, detector)
    if not (hasattr(detector, "score_tensor") or callable(detector)):
        reject(owner, "detector", "have a score_tensor", detector, NO_GRADIENT, TypeError)
    x = as_pixels(owner, "images", images, detector)  # (N, C, H, W)
    check_choice(owner, "goal", goal, ["raise", "lower"])
    check_choice(owner, "norm", norm, ["linf", "l2"])
    percent = "It is in pixel units of [0, 1], so 0.1 is 10 %."
    check_number(owner, "radius", radius, 0, 1 if norm == "linf" else float("inf"), remedy=percent)
    check_number(owner, "steps", steps, 1, integer=True)
    check_number(owner, "restarts", restarts, 1, integer=True)
    check_number(owner, "seed", seed, 0, integer=True)
    check_number(owner, "batch_size", batch_size, 1, integer=True)
    first = _first_change(owner, start, x)
    sign = 1 if goal == "raise" else -1
    generator = torch.Generator(x.device).manual_seed(seed)
    parts, searches = [], {"norm": norm, "radius": radius, "steps": steps, "generator": generator}
    for begin in range(0, len(x), batch_size):
        batch = x[begin : begin + batch_size]
        before = best = _differentiable(owner, score, batch)
        found = batch
        for search in range(restarts):
            delta = first[begin : begin + batch_size] if first is not None and search == 0 else None
            with torch.enable_grad():  # a caller may be inside no_grad
                moved = pgd(lambda images: sign * score(images), batch, start=delta, **searches)
            with torch.no_grad():
                after = score(moved)
            better = sign * after > sign * best  # (B,)
            found = torch.where(better[:, None, None, None], moved, found)
            best = torch.where(better, after, best)
        parts.append([part.float().cpu().numpy() for part in (found, before, best)])
    return Attacked(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def attack_curve(detector: Any, images: ArrayLike | Tensor, radii: Sequence[float], **settings: Any) -> list[Attacked]:
    """Attack images at several radii, each search beginning where that of the radius before it ended.

    So a larger radius never does less harm to an image than a smaller one.

    Parameters
    ----------
    detector, images
        As in `attack_scores`.
    radii : sequence of float
        In rising order.
    **settings
        Further arguments of `attack_scores`; `start` is where the first search begins.

    Returns
    -------
    list of Attacked
        One a radius.

    Raises
    ------
    TypeError, ValueError
        As in `attack_scores`; radii that do not rise.
    """
    radii, found = list(radii), []
    if not radii or any(b <= a for a, b in zip(radii, radii[1:], strict=False)):
        reject("attack_curve", "radii", "be rising numbers", radii, "Sort them.")
    for radius in radii:
        found.append(attack_scores(detector, images, radius=radius, **settings))
        settings["start"] = found[-1].images
    return found


def _first_change(owner: str, start: ArrayLike | Tensor | None, x: Tensor) -> Tensor | None:
    """Return where the first search begins, less the images; None for a random point."""
    if start is None:
        return None
    images = as_images(owner, start, name="start").to(x.device)
    if images.shape != x.shape:
        reject(owner, "start", f"have shape {tuple(x.shape)}, as the images", images)
    return as_float(images) - x


def _differentiable(owner: str, score: Score, x: Tensor) -> Tensor:
    """Return the scores of x, (B,), detached, once it is seen that they can be differentiated."""
    with torch.enable_grad():
        scores = score(x.detach().requires_grad_())
    if scores.grad_fn is None:
        reject(owner, "detector", "have a score that can be differentiated", scores.detach(), NO_GRADIENT)
    return scores.detach()
