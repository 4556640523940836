"""What counts as a right answer to each exercise, the library's own answer, and two hints.

It stands here and not in the notebooks, where a reader would see it under the question. An answer is right when it does
what the exercise asks for, however it is written: a function is called with several inputs, and its values compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from advad.files import plain
from advad.thresholds import lowest_threshold


@dataclass(frozen=True)
class Exercise:
    """What is known of an exercise.

    Attributes
    ----------
    accepts : callable
        Takes an answer, and by name what the lesson hands over with it; returns whether the answer is right.
    own : callable
        Takes the same by name; returns the library's own answer, with which the lesson goes on meanwhile.
    hints : (str, str)
        A nudge, and a recipe.
    """

    accepts: Callable[..., bool]
    own: Callable[..., Any]
    hints: tuple[str, str]


EXERCISES: dict[tuple[str, str], Exercise] = {}  # by lesson and name


def equal(answer: Any, correct: Any, tolerance: float = 1e-6) -> bool:
    """Return whether an answer equals the correct value, numbers up to this much and this share of the correct one."""
    if isinstance(correct, (str, bool, set, dict)):
        return bool(answer == correct)
    values, wanted = (np.asarray(plain(value, "answer"), dtype=float) for value in (answer, correct))
    return values.shape == wanted.shape and np.allclose(values, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


def results(answer: Callable[..., Any], inputs: Iterable[Sequence[Any]]) -> list[Any]:
    """Return what a function returns for each of several inputs, of which it gets copies.

    Raises
    ------
    ValueError
        It returns None: a `return` is missing.
    """
    values = [answer(*copy.deepcopy(list(arguments))) for arguments in inputs]
    if any(value is None for value in values):
        raise ValueError("the function returns None; is there a `return`?")
    return values


def function(
    lesson: str,
    name: str,
    nudge: str,
    recipe: str,
    inputs: Callable[[], Iterable[Sequence[Any]]],
    tolerance: float = 1e-4,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the library's own answer: right is what returns the same for all inputs.

    Parameters
    ----------
    lesson, name : str
        "00_start", and what the exercise is called in it.
    nudge, recipe : str
        The two hints.
    inputs : callable
        Returns the arguments of several calls.
    tolerance : float
        As in :func:`equal`.
    """

    def register(own: Callable[..., Any]) -> Callable[..., Any]:
        def accepts(answer: Any) -> bool:
            wanted = results(own, inputs())
            return all(map(lambda value, right: equal(value, right, tolerance), results(answer, inputs()), wanted))

        EXERCISES[lesson, name] = Exercise(accepts, lambda: own, (nudge, recipe))
        return own

    return register


def gamma_scores(n: int, seed: int = 0) -> np.ndarray:
    """Return scores as a detector might give them."""
    return np.random.default_rng(seed).gamma(3.0, 0.01, n)


# ---------------------------------------------------------------- 00


def images_and_reconstructions() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return `uint8` images and reconstructions in [0, 1], grey and coloured."""
    rng = np.random.default_rng(0)
    shapes = [(5, 1, 8, 8), (2, 3, 6, 4)]
    return [(rng.integers(0, 256, shape, dtype=np.uint8), rng.random(shape, dtype=np.float32)) for shape in shapes]


@function(
    "00_start",
    "the score by hand",
    "The two have different scales: what are the largest pixels of `images` and of `reconstructions`?",
    "Divide the images by 255, subtract the reconstructions, square, and take .mean(axis=(1, 2, 3)).",
    images_and_reconstructions,
)
def my_score(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each image."""
    return ((np.asarray(images) / 255 - reconstructions) ** 2).mean((1, 2, 3))


@function(
    "00_start",
    "AUROC from pairs",
    "Compare every score of the one group with every score of the other: how many comparisons are there?",
    "anomalous[:, None] > normal[None, :] is a table of all pairs; its mean is the share. Ties count one half.",
    lambda: [(gamma_scores(20, 1), gamma_scores(30, 2)), (np.ones(3), np.array([1.0, 2.0])), (np.ones(2), np.zeros(4))],
)
def my_auroc(anomalous: np.ndarray, normal: np.ndarray) -> float:
    """Return the share of pairs in which the anomalous score is the higher one."""
    above, tied = (np.mean(compare.outer(anomalous, normal)) for compare in (np.greater, np.equal))
    return float(above + tied / 2)


def is_threshold(answer: Any) -> bool:
    """Return whether a function finds the lowest thresholds that no larger share exceeds, up to the next score."""
    for n, rate in ((40, 0.05), (200, 0.02), (12, 0.02), (100, 0.5), (33, 0.1)):
        scores = gamma_scores(n, n)
        (threshold,) = results(answer, [(scores, rate)])
        lowest = lowest_threshold(scores, rate)
        next_higher = scores[scores > lowest].min() if rate * n >= 1 else np.inf
        if np.ndim(threshold) or not lowest - 1e-9 <= float(threshold) < next_higher:
            return False
    return True


EXERCISES["00_start", "a threshold"] = Exercise(
    is_threshold,
    lambda: lowest_threshold,
    (
        "How many of the held-out scores may lie above the threshold, if their share may be `rate`?",
        "Sort the scores. int(rate × n) of them may lie above: so take the score just below these, "
        "np.sort(scores)[-1 - int(rate * len(scores))].",
    ),
)


# ---------------------------------------------------------------- 01


@function(
    "01_identity_collapse",
    "a number for copying",
    "What should come out for the identity function, whose error is 0? And for the mean image itself?",
    "One minus the error's share in the error of the mean image.",
    lambda: [(0.0, 0.1), (0.1, 0.1), (0.03, 0.12), (np.array([0.01, 0.2]), 0.1)],
)
def copying_rate(error: Any, error_of_mean_image: float) -> Any:
    """Return 1 where all is given back, 0 where no more than the mean image gives."""
    return 1 - np.asarray(error) / error_of_mean_image


def changes_and_gradients() -> list[tuple[Any, ...]]:
    """Return changes within the radius, and gradients of very different size."""
    import torch

    made = torch.Generator().manual_seed(0)
    cases = []
    for scale, step, radius in ((1e-6, 0.05, 0.1), (1.0, 0.05, 0.2), (100.0, 0.3, 0.2)):
        delta = (2 * torch.rand(4, 1, 5, 5, generator=made) - 1) * radius
        cases.append((delta, scale * torch.randn(delta.shape, generator=made), step, radius))
    return cases


@function(
    "01_identity_collapse",
    "the adversary by hand",
    "The gradient says in which direction each pixel should go; how far it goes does not depend on its size.",
    "Add step times gradient.sign() to delta, and .clamp(-radius, radius) the sum.",
    changes_and_gradients,
)
def attack_step(delta: Any, gradient: Any, step: float, radius: float) -> Any:
    """Return the change after a step along the sign of the gradient."""
    return (delta + step * gradient.sign()).clamp(-radius, radius)
