"""The bootstrap's inner part: stratified resamples, and the metrics of all resamples of a block at once.

A resample changes how often each score occurs, not the order of the scores. So the scores are sorted once, and a metric
is a function of two tables of counts. scikit-learn's functions take one sample at a time and sort it anew: 1,000
resamples of 10,000 images cost seconds for each AUROC in place of tenths of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_BLOCK = 2**20  # images drawn at a time: the tables of a block stay within some 10 MB


@dataclass(frozen=True)
class Counts:
    """How many images of each of n resamples have one of the r highest distinct scores, for r = 0 … R.

    Attributes
    ----------
    hits, false_alarms : ndarray of shape (n, R + 1)
        Anomalies and normal images; the last column holds how many there are.
    distinct : ndarray of shape (R,)
        The distinct scores, falling.
    """

    hits: np.ndarray
    false_alarms: np.ndarray
    distinct: np.ndarray


def resamples(anomalous: np.ndarray, n: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the drawn indices, block by block: anomalies (k, P) and normal images (k, M), each class from its own.

    Stratified, because a test set fixes its class sizes: no resample can lose a class.
    """
    generator = np.random.default_rng(seed)
    anomalies, normals = np.flatnonzero(anomalous), np.flatnonzero(~anomalous)
    rows = max(1, _BLOCK // len(anomalous))
    for first in range(0, n, rows):
        k = min(rows, n - first)
        yield (
            anomalies[generator.integers(len(anomalies), size=(k, len(anomalies)))],
            normals[generator.integers(len(normals), size=(k, len(normals)))],
        )


def count(scores: np.ndarray, anomalies: np.ndarray, normals: np.ndarray) -> Counts:
    """Return the counts of a block of resamples; `anomalies` (k, P) and `normals` (k, M) index `scores` (N,)."""
    rising, ranks = np.unique(scores, return_inverse=True)
    ranks = len(rising) - 1 - ranks  # 0 = the highest score

    def cumulated(drawn: np.ndarray) -> np.ndarray:
        k, width = len(drawn), len(rising) + 1
        columns = ranks[drawn] + 1 + width * np.arange(k)[:, None]  # column 0 stays empty: no alarm yet
        return np.bincount(columns.ravel(), minlength=k * width).reshape(k, width).cumsum(axis=1)

    return Counts(cumulated(anomalies), cumulated(normals), rising[::-1])


def auroc(counts: Counts) -> np.ndarray:
    """Area under the ROC curve, by trapezoids."""
    hits, false_alarms = counts.hits, counts.false_alarms
    doubled = (np.diff(false_alarms) * (hits[:, 1:] + hits[:, :-1])).sum(axis=1)
    return doubled / (2.0 * hits[:, -1] * false_alarms[:, -1])


def auprc(counts: Counts) -> np.ndarray:
    """Average precision."""
    hits, alarms = counts.hits, counts.hits + counts.false_alarms
    precision = hits[:, 1:] / np.maximum(alarms[:, 1:], 1)  # without an alarm there is no hit either
    return (np.diff(hits) * precision).sum(axis=1) / hits[:, -1]


def fpr_at_tpr(counts: Counts, tpr: float = 0.995) -> np.ndarray:
    """Share of normal images above the first cut that reaches the wanted true positive rate."""
    enough = counts.hits / counts.hits[:, -1:] >= tpr
    first = enough.argmax(axis=1)[:, None]
    return (np.take_along_axis(counts.false_alarms, first, axis=1) / counts.false_alarms[:, -1:])[:, 0]


def best_f1(counts: Counts) -> np.ndarray:
    """Highest 2 TP / (2 TP + FP + FN), where TP + FN is the number of anomalies."""
    return (2 * counts.hits / (counts.hits + counts.false_alarms + counts.hits[:, -1:])).max(axis=1)


def f1_at(counts: Counts, threshold: float) -> np.ndarray:
    """F1 of the alarms above a threshold."""
    r = int((counts.distinct > threshold).sum())
    return 2 * counts.hits[:, r] / (counts.hits[:, r] + counts.false_alarms[:, r] + counts.hits[:, -1])


def balanced_accuracy(counts: Counts, threshold: float) -> np.ndarray:
    """Mean of the true positive and true negative rates above a threshold."""
    r = int((counts.distinct > threshold).sum())
    caught = counts.hits[:, r] / counts.hits[:, -1]
    return (caught + 1 - counts.false_alarms[:, r] / counts.false_alarms[:, -1]) / 2
