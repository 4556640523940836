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

from advad.analysis.latent import origin_distance
from advad.files import plain
from advad.thresholds import lowest_threshold


@dataclass(frozen=True)
class Exercise:
    """What is known of an exercise.

    Attributes
    ----------
    accepts : callable
        Takes an answer; returns whether it is right.
    own : callable
        The library's own answer, with which the lesson goes on meanwhile.
    hints : (str, str)
        A nudge, and a recipe.
    """

    accepts: Callable[[Any], bool]
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

        EXERCISES[lesson, name] = Exercise(accepts, own, (nudge, recipe))
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
    lowest_threshold,
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


# ---------------------------------------------------------------- 02


def truths(n: int = 60, seed: int = 3) -> np.ndarray:
    """Return which of n images are anomalous."""
    return np.random.default_rng(seed).random(n) < 0.3


@function(
    "02_contamination",
    "balanced accuracy",
    "Which of the two rates does a threshold that lies too high harm? Take the normal images and the anomalies apart.",
    "alarm = scores > threshold; then the mean of 1 - alarm[~is_anomaly].mean() and alarm[is_anomaly].mean().",
    lambda: [(gamma_scores(60, 3) + 0.02 * truths(), truths(), limit) for limit in (0.02, 0.04, 9.0)],
)
def balanced_accuracy(scores: np.ndarray, is_anomaly: np.ndarray, threshold: float) -> float:
    """Return the mean of the true negative and the true positive rate."""
    alarm = scores > threshold
    return float(1 - alarm[~is_anomaly].mean() + alarm[is_anomaly].mean()) / 2


@function(
    "02_contamination",
    "enrichment",
    "What share of the flagged images slipped in? And of all images?",
    "Divide slipped_in[flagged].mean() by slipped_in.mean().",
    lambda: [(truths(60, 4), truths(60, 5)), (truths(60, 5), truths(60, 5)), (~truths(60, 5), truths(60, 5))],
)
def enrichment(flagged: np.ndarray, slipped_in: np.ndarray) -> float:
    """Return by what factor images that slipped in are more frequent among the flagged ones."""
    return float(slipped_in[flagged].mean() / slipped_in.mean())


@function(
    "02_contamination",
    "either or",
    "Is a high likelihood a sign of a normal image or of an anomaly? How are two arrays of True and False joined?",
    "Join error > T_error and likelihood < T_likelihood by |, each in parentheses.",
    lambda: [(gamma_scores(50, 6), -100 * gamma_scores(50, 7), 0.03, -3.0)],
)
def either_or(error: np.ndarray, likelihood: np.ndarray, T_error: float, T_likelihood: float) -> np.ndarray:
    """Return the alarms of Beggel et al.: a large error, or a small likelihood."""
    return (error > T_error) | (likelihood < T_likelihood)


# ---------------------------------------------------------------- 03


@function(
    "03_latent_space",
    "invented neighbours",
    "The order does not matter, only who is in the lists.",
    "Turn both into sets; the length of the difference of the first and the second.",
    lambda: [([1, 2, 3], [3, 2, 9]), (np.array([4, 5, 6, 7]), np.array([7, 6, 5, 4])), ([1, 2], [3, 4])],
)
def invented_neighbours(on_map: Sequence[int], in_code: Sequence[int]) -> int:
    """Return how many neighbours on a map are none in the code."""
    return len(set(on_map) - set(in_code))


@function(
    "03_latent_space",
    "a path",
    "Where on the line is the code of step k of n, if step 0 is `start` and step n - 1 is `end`?",
    "np.linspace takes arrays as its ends: np.linspace(start, end, n).",
    lambda: [
        (np.array([0.0, 1.0]), np.array([2.0, -1.0]), 7),
        (np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, -3.0]), 2),
        (np.zeros((1, 2, 2)), np.ones((1, 2, 2)), 3),
    ],
)
def path(start: np.ndarray, end: np.ndarray, n: int) -> np.ndarray:
    """Return n codes on a straight line, both ends included."""
    return np.linspace(start, end, n)


# ---------------------------------------------------------------- 04


def patches_to_cover() -> list[tuple[Any, ...]]:
    """Return `uint8` images, grey and coloured, and where to cover them with what."""
    rng = np.random.default_rng(4)
    grey, colour = (rng.integers(1, 255, shape, dtype=np.uint8) for shape in ((1, 8, 8), (3, 6, 9)))
    return [(grey, 2, 3, 4, 128), (grey, 0, 0, 1, 0), (colour, 1, 5, 3, 255)]


def covered(image: np.ndarray, row: int, column: int, patch: int, fill: int) -> np.ndarray:
    """Return a copy of an image in which a square has one grey value."""
    copied = image.copy()
    copied[:, row : row + patch, column : column + patch] = fill
    return copied


def covers(answer: Any) -> bool:
    """Return whether a function covers the square, and nothing else, and leaves the image alone."""
    for arguments in patches_to_cover():
        image = arguments[0].copy()
        value = answer(image, *arguments[1:])
        if value is None:
            raise ValueError("the function returns None; is there a `return`?")
        if not (equal(value, covered(*arguments)) and np.array_equal(image, arguments[0])):
            return False
    return True


EXERCISES["04_saliency", "cover a patch"] = Exercise(
    covers,
    covered,
    (
        "Which pixels belong to the square, and is `image` itself as it was, after the call?",
        "copied = image.copy(); then set copied[:, row : row + patch, column : column + patch], and return it.",
    ),
)


def maps_and_masks() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return maps of shape (H, W), and masks of different sizes."""
    rng = np.random.default_rng(5)
    maps = [rng.normal(size=shape) for shape in ((8, 8), (6, 9), (7, 7))]
    masks = [rng.random(m.shape) < share for m, share in zip(maps, (0.1, 0.5), strict=False)]
    return [*zip(maps, masks, strict=False), (maps[2], maps[2] > 1)]


@function(
    "04_saliency",
    "IoU by hand",
    "How many pixels do you mark, and which? What do mask and marked pixels share, and what do they cover in all?",
    "The k-th highest value is np.sort(values, axis=None)[-k], with k = mask.sum(). Shared: &. In all: |.",
    maps_and_masks,
)
def iou(values: np.ndarray, mask: np.ndarray) -> float:
    """Return the intersection over union of a mask and as many pixels with the highest values."""
    marked = values >= np.sort(values, axis=None)[-mask.sum()]
    return float((marked & mask).sum() / (marked | mask).sum())


# ---------------------------------------------------------------- 05


def image_pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images in [0, 1] and others of the same shape."""
    rng = np.random.default_rng(8)
    return [(rng.random(shape), rng.random(shape)) for shape in ((4, 1, 6, 6), (2, 3, 5, 4))]


@function(
    "05_noise",
    "the blend",
    "What should come out for alpha = 1, and what for alpha = 0?",
    "alpha times the image, plus (1 - alpha) times the noise.",
    lambda: [(*pair, alpha) for pair in image_pairs() for alpha in (1.0, 0.3, 0.0)],
)
def blend(x: np.ndarray, n: np.ndarray, alpha: float) -> np.ndarray:
    """Return the corruption of ALCN."""
    return alpha * x + (1 - alpha) * n


@function(
    "05_noise",
    "strength",
    "In which order: square, mean over an image's pixels, root, mean over the images?",
    "np.sqrt(((changed - x) ** 2).mean((1, 2, 3))) has one number for each image; return its mean.",
    lambda: [(x, x + (other - x) * np.arange(len(x)).reshape(-1, 1, 1, 1)) for x, other in image_pairs()],
)
def strength(x: np.ndarray, changed: np.ndarray) -> float:
    """Return the root mean squared change of a pixel, a mean over images."""
    return float(np.sqrt(((changed - x) ** 2).mean((1, 2, 3))).mean())


# ---------------------------------------------------------------- 06


def steps_uphill() -> list[tuple[Any, ...]]:
    """Return images, changes within the radius and the box, and gradients."""
    import torch

    made = torch.Generator().manual_seed(0)
    cases = []
    for scale, step, size in ((1e-6, 0.02, 0.1), (1.0, 0.05, 0.2), (100.0, 0.5, 0.2)):
        x = torch.rand(3, 1, 5, 5, generator=made).round(decimals=1)
        delta = (x + (2 * torch.rand(x.shape, generator=made) - 1) * size).clamp(0, 1) - x
        cases.append((x, delta, scale * torch.randn(x.shape, generator=made), step, size))
    return cases


@function(
    "06_attacks",
    "one step uphill",
    "Three things in a row: a step, the ball, the box. Which of them does your function leave out or turn round?",
    "delta + step * uphill.sign(), clamped to ±size; then (x + delta).clamp(0, 1) - x.",
    steps_uphill,
)
def step_uphill(x: Any, delta: Any, uphill: Any, step: float, size: float) -> Any:
    """Return the change after a step of projected gradient ascent."""
    delta = (delta + step * uphill.sign()).clamp(-size, size)
    return (x + delta).clamp(0, 1) - x


@function(
    "06_attacks",
    "the far end",
    "Each pixel has two candidates. What are they for a black pixel, whose value cannot fall?",
    "up = np.minimum(x + size, 1), down = np.maximum(x - size, 0); np.where takes the one whose distance is larger.",
    lambda: [(x.round(1), r, size) for x, r in image_pairs() for size in (0.05, 0.3)],
)
def far_end(x: np.ndarray, reconstruction: np.ndarray, size: float) -> np.ndarray:
    """Return the images within the ball that are farthest from reconstructions which stand still."""
    up, down = np.minimum(x + size, 1), np.maximum(x - size, 0)
    return np.where(up - reconstruction > reconstruction - down, up, down)


@function(
    "06_attacks",
    "which way did it go?",
    "What does the cosine of two vectors not depend on?",
    "The sum of the products of each row, divided by the product of both rows' lengths (np.linalg.norm(…, axis=1)).",
    lambda: [(x.reshape(len(x), -1) - 0.5, 3 * other.reshape(len(x), -1) - 1) for x, other in image_pairs()],
)
def cosine(change: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between each two rows."""
    lengths = np.linalg.norm(change, axis=1) * np.linalg.norm(direction, axis=1)
    return (change * direction).sum(1) / lengths


# ---------------------------------------------------------------- 07


@function(
    "07_few_labels",
    "how many is five per cent",
    "Five per cent of what? Put your number of labels into γ = a / (n + a).",
    "Solve γ = a / (n + a) for a, and round it: for 950 normal images and γ = 0.05 it is 50.",
    lambda: [(1000, 0.05), (950, 0.05), (400, 0.2), (99, 0.01)],
)
def labels_needed(n: int, gamma: float) -> int:
    """Return how many labels make this share of the training set."""
    return round(gamma * n / (1 - gamma))


def generators() -> list[tuple[Any, ...]]:
    """Return functions that reconstruct, and images."""
    images = [x.astype(np.float32) for x, _ in image_pairs()]
    return [(lambda x: x**2, images[0]), (lambda x: 0.5 * x + 0.1, images[1]), (lambda x: x, images[0])]


@function(
    "07_few_labels",
    "the contextual adversarial loss",
    "What is G shown the second time? And is the loss smaller or larger when it fails there?",
    "reconstruction = G(x); minus the mean of abs(reconstruction - G(reconstruction)). x itself no longer appears.",
    generators,
)
def contextual_loss(G: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> float:
    """Return Eq. 8 of AGAD."""
    reconstruction = G(x)
    return float(-abs(reconstruction - G(reconstruction)).mean())


@function(
    "07_few_labels",
    "the loss of Deep SAD",
    "What does a labelled anomaly pay that lies at the centre, and what one far away?",
    "np.where(y == 1, 1 / distance, distance).mean().",
    lambda: [(20 * gamma_scores(12, 9) + 0.1, np.arange(12) % 3 == 0), (np.array([0.5, 4.0]), np.array([0, 1]))],
)
def sad_loss(distance: np.ndarray, y: np.ndarray) -> float:
    """Return Eq. 7 of Deep SAD with η = 1, without the decay of weights."""
    return float(np.where(np.asarray(y) == 1, 1 / distance, distance).mean())


# ---------------------------------------------------------------- 08


def activations() -> list[tuple[np.ndarray]]:
    """Return activations of shape (N, d), one column of which does not vary."""
    rng = np.random.default_rng(11)
    wide = rng.normal(2.0, 3.0, (16, 5))
    return [(wide,), (np.hstack([1e-3 * wide, np.ones((16, 1))]),)]


@function(
    "08_how_to_cheat",
    "the batch decides",
    "Over which axis lie the images of the batch? And is eps added to the variance, or to its root?",
    "(h - h.mean(0)) / np.sqrt(h.var(0) + eps): mean and variance along axis 0, eps under the root.",
    activations,
)
def batch_normalised(h: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """Return batch normalisation in training mode, without scale and shift."""
    return (h - h.mean(0)) / np.sqrt(h.var(0) + eps)


@function(
    "08_how_to_cheat",
    "seeds for a new state of the art",
    "The best of one seed is expected at 0.5. Where is the best of two, and when is it high enough?",
    "Go through k = 1, 2, 3, …; return the first with 0.5 + auroc_sd(n_normal, n_other) * expected_best(k) >= goal.",
    lambda: [(52, 148, 0.55), (100, 900, 0.55), (30, 30, 0.6)],
)
def seeds_needed(n_normal: int, n_other: int, goal: float) -> int:
    """Return how many seeds make the best of them reach an AUROC that nothing earns, in expectation."""
    from advad.analysis.evaluation_pitfalls import auroc_sd, expected_best

    deviation, k = auroc_sd(n_normal, n_other), 1
    while 0.5 + deviation * expected_best(k) < goal:
        k += 1
    return k


# ---------------------------------------------------------------- 09


@function(
    "09_your_images",
    "how many do you need?",
    "For each n there is an interval. Which end of it must lie below `limit`?",
    "Go through range(20, 10000, 20); return the first n with advad.rate_interval(n // 20, n).high < limit.",
    lambda: [(0.1,), (0.2,), (0.08,)],
)
def images_needed(limit: float) -> int:
    """Return how many held-out images promise a rate below the limit, where one in twenty lies above the threshold."""
    from advad.analysis.metrics import rate_interval

    return next(n for n in range(20, 10000, 20) if rate_interval(n // 20, n).high < limit)


@function(
    "09_your_images",
    "a score that people understand",
    "For each score, how many held-out scores are at least as high? And who is counted as one more?",
    "scores[:, None] <= held_scores compares each with each: its sum over axis 1 is c; return (1 + c) / (1 + n).",
    lambda: [
        (np.array([0.5, 2.0, 2.5, 9.0]), np.array([1.0, 2.0, 3.0])),
        (gamma_scores(7, 12), gamma_scores(40, 13)),
    ],
)
def p_values(scores: np.ndarray, held_scores: np.ndarray) -> np.ndarray:
    """Return how often a normal image would score at least as high."""
    as_high = (np.asarray(scores)[:, None] <= np.asarray(held_scores)).sum(1)
    return (1 + as_high) / (1 + len(held_scores))


# ---------------------------------------------------------------- 10


def tables_of_auroc() -> list[tuple[np.ndarray]]:
    """Return AUROCs of shape (classes, seeds)."""
    rng = np.random.default_rng(10)
    return [(rng.uniform(0.6, 1, (3, 1)) + rng.normal(0, 0.02, shape),) for shape in ((3, 3), (3, 5))]


@function(
    "10_scoreboard",
    "one number for all classes",
    "How many numbers are left after the mean over classes? Over those the spread is taken.",
    "by_seed = aurocs.mean(0) has one number for each seed; return by_seed.mean() and by_seed.std(ddof=1).",
    tables_of_auroc,
)
def summary(aurocs: np.ndarray) -> tuple[float, float]:
    """Return the mean over all, and the deviation over seeds of the means over classes."""
    by_seed = aurocs.mean(0)
    return float(by_seed.mean()), float(by_seed.std(ddof=1))


@function(
    "10_scoreboard",
    "the price of honesty",
    "Which axis are the seeds? The best is taken of those, the mean of the rest.",
    "aurocs.max(1) has the best seed of each class; subtract aurocs.mean() from its mean.",
    tables_of_auroc,
)
def flattery(aurocs: np.ndarray) -> float:
    """Return by how much the mean rises if only the best seed of each class is told."""
    return float(aurocs.max(1).mean() - aurocs.mean())


# ---------------------------------------------------------------- 11


def codes_of_two_sizes() -> list[np.ndarray]:
    """Return codes of shape (N, d), whose mean is not the origin."""
    rng = np.random.default_rng(11)
    return [rng.normal(0.3, 1.0, shape) for shape in ((7, 2), (5, 5))]


function(
    "11_where_anomalies_live",
    "the distance from the origin",
    "By Pythagoras: what is the length of the code (3, 4)? There is one length for each row.",
    "The root of (z**2).sum(axis=1); or np.linalg.norm(z, axis=1).",
    lambda: [(z,) for z in codes_of_two_sizes()],
)(origin_distance)


@function(
    "11_where_anomalies_live",
    "in the corners",
    "-0.95 is as near to a corner as 0.95. And what are you taking the share of: codes, or coefficients?",
    "abs(z) > size is True or False for each coefficient; its mean is the share.",
    lambda: [(z, size) for z in codes_of_two_sizes() for size in (0.4, 0.9)],
)
def share_beyond(z: np.ndarray, size: float) -> float:
    """Return the share of all coefficients whose absolute value is above a size."""
    return float((abs(z) > size).mean())


def generators_and_encoders() -> list[tuple[Any, ...]]:
    """Return pairs of G, codes of 3 to images of 4×4, and E, images to codes, with codes."""
    rng = np.random.default_rng(12)
    cases = []
    for scale in (0.2, 2.0):
        to_image, to_code = rng.normal(size=(3, 16)), rng.normal(size=(16, 3))

        def G(z: np.ndarray, weights: np.ndarray = scale * to_image) -> np.ndarray:
            return np.tanh(z @ weights).reshape(-1, 1, 4, 4)

        def E(x: np.ndarray, weights: np.ndarray = to_code) -> np.ndarray:
            return x.reshape(len(x), -1) @ weights

        cases.append((G, E, rng.normal(size=(6, 3))))
    return cases


@function(
    "11_where_anomalies_live",
    "d_I",
    "Which two images are compared? One is G(z); the other is what G makes of the code that E finds for it.",
    "x = G(z); then abs(x - G(E(x))).mean().",
    generators_and_encoders,
)
def d_I(G: Callable[[Any], np.ndarray], E: Callable[[Any], np.ndarray], z: np.ndarray) -> float:
    """Return Berg's |G(z) - G(E(G(z)))|, a mean over all pixels."""
    x = G(z)
    return float(abs(x - G(E(x))).mean())
