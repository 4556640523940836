"""What a detector believes to be normal: inputs that minimise its score, found from noise by gradient descent."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from advad.analysis.inputs import Score, as_pixels, as_score
from advad.checks import check_number, reject

# A step is taken when the score falls by at least this share of what the gradient promises (Armijo's condition).
_ENOUGH = 1e-4
_SHORTER, _LONGER = 0.5, 1.5
_SHORTEST = 1e-7  # largest change of a pixel, below which float32 images stand still


class Inversion(NamedTuple):
    """Where a descent ended, and how it got there.

    Attributes
    ----------
    images : ndarray of shape (N, C, H, W), float32 in [0, 1]
    errors : ndarray of shape (steps + 1, N), float32
        The score before the first step and after each; it never rises.
    accepted : ndarray of shape (steps, N), bool
        Whether the step was taken; the error falls at each that was.
    """

    images: np.ndarray
    errors: np.ndarray
    accepted: np.ndarray


def minimise_score(score: Any, start: Any, *, steps: int = 300, step_size: float = 0.1) -> Inversion:
    """Descend from each start to a local minimum of the score: x ← clip(x − t · ∇score(x), 0, 1).

    Projected gradient descent with backtracking. Each image has its own step length t: it grows while steps are taken;
    a step after which the score has not fallen enough is taken back, and a shorter one tried. The descent ends early
    when all images stand still.

    Parameters
    ----------
    score : detector or callable
        A detector with `score_tensor`, or a function: as `detector` in `robustness.attack_scores`.
    start : array-like of shape (N, C, H, W) or (N, H, W)
        Where to begin: `noise(n, image_shape)`, or images.
    steps : int
        How many steps to try, one forward and backward pass each.
    step_size : float in (0, 1]
        The first try's largest change of a pixel.

    Returns
    -------
    Inversion
        The images, the history of the scores, and which steps were taken.

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers; a score that is not finite, or through which no gradient flows.

    Source : Salehi et al. 2020 (ARAE), "Local Minima Visualization", Fig. 7.
    """
    owner = "minimise_score"
    function = as_score(owner, score)
    x = as_pixels(owner, "start", start, score)  # (N, C, H, W)
    check_number(owner, "steps", steps, 1, integer=True)
    check_number(owner, "step_size", step_size, 0, 1, ends="(]")

    error, gradient = _score_and_gradient(owner, function, x)
    steepest = gradient.abs().amax(dim=(1, 2, 3))  # (N,)
    length = step_size / steepest.clamp_min(torch.finfo(x.dtype).tiny)
    errors, accepted = [error], []
    for _ in range(steps):
        trial = (x - _each(length) * gradient).clamp(0, 1)
        moved = trial - x
        if moved.abs().max() < _SHORTEST:
            break
        trial_error, trial_gradient = _score_and_gradient(owner, function, trial)
        promised = moved.square().sum(dim=(1, 2, 3)) / length  # at least this much, to first order
        taken = (trial_error < error) & (trial_error <= error - _ENOUGH * promised)  # (N,)
        x, gradient = (torch.where(_each(taken), new, old) for new, old in ((trial, x), (trial_gradient, gradient)))
        error = torch.where(taken, trial_error, error)
        length = length * torch.where(taken, _LONGER, _SHORTER)
        errors.append(error)
        accepted.append(taken)
    flags = torch.stack(accepted) if accepted else torch.zeros((0, len(x)), dtype=torch.bool)
    return Inversion(x.cpu().numpy(), torch.stack(errors).float().cpu().numpy(), flags.cpu().numpy())


def noise(n: int, image_shape: tuple[int, int, int], *, seed: int = 0) -> np.ndarray:
    """Return n images of uniform noise in [0, 1] to start from, float32 of shape (n, C, H, W)."""
    check_number("noise", "n", n, 1, integer=True)
    check_number("noise", "seed", seed, 0, integer=True)
    return np.random.default_rng(seed).random((n, *image_shape), dtype=np.float32)


def nearest_correlation(images: Any, references: Any) -> np.ndarray:
    """Return how much each image resembles the closest of several others: the highest correlation of their pixels.

    Parameters
    ----------
    images, references : array-like of shape (N, C, H, W) and (M, C, H, W)
        In any units; shifts and scales of the grey values do not matter. An image of one grey value has no
        correlation, and its entry is NaN; with such a reference the correlation counts as 0.

    Returns
    -------
    ndarray of shape (N,), float64 in [-1, 1]
        1 = a reference up to brightness and contrast.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [2.0, 3.0]]).reshape(1, 1, 2, 2)
    >>> nearest_correlation(np.concatenate([x, -x]), 10 * x + 5).round(3).tolist()
    [1.0, -1.0]
    """

    def standardised(batch: Any) -> np.ndarray:
        rows = np.asarray(batch, dtype=float).reshape(len(batch), -1)
        rows = rows - rows.mean(1, keepdims=True)
        with np.errstate(invalid="ignore"):  # 0 / 0
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    correlations = standardised(images) @ np.nan_to_num(standardised(references)).T
    return correlations.max(1)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]  # (N,) -> (N, 1, 1, 1)


def _score_and_gradient(owner: str, function: Score, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores (N,) and their gradients (N, C, H, W); images do not mix, so the sum's gradient serves all."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        scores = function(x)
        if scores.grad_fn is None:
            reject(owner, "score", "be differentiable (score_tensor, or torch operations throughout)", scores.detach())
        (gradient,) = torch.autograd.grad(scores.sum(), x, allow_unused=True, materialize_grads=True)
    return scores.detach(), gradient
