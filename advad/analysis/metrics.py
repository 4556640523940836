"""Metrics of anomaly scores, with confidence intervals.

Everywhere: `is_anomaly` is the truth (1 or True = anomalous, the positive class), `scores` are higher = more anomalous,
and an image raises an alarm when its score is *above* the threshold, as in scikit-learn's outlier detectors.

AUROC and AUPRC need no threshold. F1 and balanced accuracy do, and an honest one comes from normal images held out
of the training (`threshold_at`), never from the test set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from advad.analysis import resampling
from advad.analysis.inputs import as_anomalous, as_numbers
from advad.checks import check_number, reject
from advad.thresholds import lowest_threshold


class Interval(NamedTuple):
    """A value and the ends of its confidence interval; prints as "0.912 [0.901, 0.922]"."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _checked(owner: str, is_anomaly: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    scores = as_numbers(owner, "scores", scores, 1)
    return as_anomalous(owner, is_anomaly, len(scores)), scores


def auroc(is_anomaly: Any, scores: Any) -> float:
    """Area under the ROC curve: how often an anomaly scores above a normal image (a tie counts one half).

    Parameters
    ----------
    is_anomaly : array-like of shape (N,)
        1 = anomalous, 0 = normal; both must occur.
    scores : array-like of shape (N,)
        Higher = more anomalous. Any strictly rising function of them gives the same AUROC.

    Returns
    -------
    float in [0, 1]
        Higher = better; 0.5 is chance. Below 0.5 the scores are the wrong way round: report that, never flip them.

    Raises
    ------
    ValueError
        One class only, NaN or infinite scores, different lengths.

    Examples
    --------
    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*_checked("auroc", is_anomaly, scores)))


def auprc(is_anomaly: Any, scores: Any) -> float:
    """Area under the precision-recall curve, as average precision: Σ (recall_k − recall_{k−1}) · precision_k.

    Parameters and errors as in `auroc`.

    Returns
    -------
    float in (0, 1]
        Higher = better; chance is the share of anomalies, so values of different test sets cannot be compared.

    Examples
    --------
    >>> round(auprc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 3)
    0.833
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*_checked("auprc", is_anomaly, scores)))


def fpr_at_tpr(is_anomaly: Any, scores: Any, tpr: float = 0.995) -> float:
    """Smallest false positive rate at which at least the share `tpr` of the anomalies raises an alarm.

    Parameters
    ----------
    is_anomaly, scores : array-like of shape (N,)
        As in `auroc`.
    tpr : float in (0, 1]
        The wanted true positive rate.

    Returns
    -------
    float in [0, 1]
        Lower = better.

    Source : Salehi et al. 2020 (ARAE), Fig. 5.

    Examples
    --------
    >>> fpr_at_tpr([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.5
    """
    from sklearn.metrics import roc_curve

    check_number("fpr_at_tpr", "tpr", tpr, 0, 1, ends="(]")
    false_rates, true_rates, _ = roc_curve(*_checked("fpr_at_tpr", is_anomaly, scores), drop_intermediate=False)
    return float(false_rates[np.argmax(true_rates >= tpr)])


def f1_at(is_anomaly: Any, scores: Any, threshold: float) -> float:
    """F1 of the alarms `scores > threshold`: 2 · precision · recall / (precision + recall), 0 without a true alarm.

    Parameters
    ----------
    is_anomaly, scores : array-like of shape (N,)
        As in `auroc`.
    threshold : float
        In units of the scores.

    Returns
    -------
    float in [0, 1]
        Higher = better. It depends on the share of anomalies: alarm on everything and F1 is 2π / (1 + π).

    Examples
    --------
    >>> f1_at([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], threshold=0.5)  # one of two anomalies, no false alarm
    0.6666666666666666
    """
    from sklearn.metrics import f1_score

    check_number("f1_at", "threshold", threshold)
    anomalous, scores = _checked("f1_at", is_anomaly, scores)
    return float(f1_score(anomalous, scores > threshold))


def best_f1(is_anomaly: Any, scores: Any) -> tuple[float, float]:
    """Highest F1 over all thresholds, and that threshold: optimistic, for the threshold is chosen on the test set.

    Parameters and errors as in `auroc`.

    Returns
    -------
    f1, threshold : float
        The threshold is the highest score without an alarm; where alarming on everything is best, it lies below
        all scores. `f1_at` gives the same F1 there.

    Examples
    --------
    >>> best_f1([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    (0.8, 0.1)
    """
    from sklearn.metrics import precision_recall_curve

    anomalous, scores = _checked("best_f1", is_anomaly, scores)
    # At point k there is an alarm where score >= cuts[k]; the cuts rise.
    precision, recall, cuts = precision_recall_curve(anomalous, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    best = int(np.argmax(f1[:-1]))  # the curve's last point has no threshold
    lower = scores[scores < cuts[best]]
    return float(f1[best]), float(lower.max() if lower.size else scores.min() - 1 - abs(scores.min()))


def balanced_accuracy(is_anomaly: Any, scores: Any, threshold: float) -> float:
    """Mean of the true positive and true negative rates of the alarms `scores > threshold`.

    Parameters as in `f1_at`.

    Returns
    -------
    float in [0, 1]
        Higher = better; 0.5 is chance, whatever the share of anomalies.

    Source : Beggel et al. 2019 (ITSR), BACC.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], threshold=0.5)  # TPR 1/2, TNR 1
    0.75
    """
    from sklearn.metrics import balanced_accuracy_score

    check_number("balanced_accuracy", "threshold", threshold)
    anomalous, scores = _checked("balanced_accuracy", is_anomaly, scores)
    return float(balanced_accuracy_score(anomalous, scores > threshold))


def threshold_at(holdout_scores: Any, false_alarm_rate: float = 0.05) -> float:
    """Lowest threshold above which at most the share `false_alarm_rate` of held-out normal images scores.

    Parameters
    ----------
    holdout_scores : array-like of shape (N,)
        Scores of normal images that the detector was not trained on.
    false_alarm_rate : float in [0, 1)
        Share of false alarms to aim at.

    Returns
    -------
    float
        One of the scores. On new normal images the rate will be near this one, not equal to it:
        `rate_interval(alarms, images)` says how near.

    Examples
    --------
    >>> threshold_at([0.2, 0.1, 0.5, 0.3], false_alarm_rate=0.25)  # one of the four scores lies above
    0.3
    """
    check_number("threshold_at", "false_alarm_rate", false_alarm_rate, 0, 1, ends="[)", remedy="0.05 is 5 %.")
    return lowest_threshold(as_numbers("threshold_at", "holdout_scores", holdout_scores, 1), false_alarm_rate)


def rate_interval(count: int, total: int, *, level: float = 0.95) -> Interval:
    """Exact confidence interval of a rate of which `count` cases in `total` were seen (say, false alarms).

    Parameters
    ----------
    count, total : int
        0 <= count <= total, total >= 1.
    level : float in (0, 1)
        How often, at least, such an interval holds the true rate.

    Returns
    -------
    Interval
        count / total, and its ends in [0, 1].

    Source : Clopper and Pearson 1934.

    Examples
    --------
    >>> print(rate_interval(5, 100))
    0.050 [0.016, 0.113]
    """
    from scipy.special import betaincinv

    check_number("rate_interval", "total", total, 1, integer=True)
    check_number("rate_interval", "count", count, 0, total, integer=True)
    check_number("rate_interval", "level", level, 0, 1, ends="()")
    tail = (1 - level) / 2
    lower = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    upper = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1 - tail))
    return Interval(count / total, lower, upper)


def bootstrap(
    metric: Callable[..., Any],
    is_anomaly: Any,
    scores: Any,
    *,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a metric: its sampling uncertainty for a test set of this size and balance.

    Normal images and anomalies are each drawn anew from their own, with replacement. The interval knows nothing of
    how the detector's training varies: for that, train with several seeds.

    Parameters
    ----------
    metric : callable
        `metric(is_anomaly, scores)` -> float, or a tuple whose first entry counts (`best_f1`). This module's metrics,
        and `functools.partial` of them (`partial(f1_at, threshold=0.3)`), are computed for all resamples at once;
        any other function is called n times.
    is_anomaly, scores : array-like of shape (N,)
        As in `auroc`.
    n : int
        Number of resamples.
    level : float in (0, 1)
        The share of the resamples' values that lies inside the interval.
    seed : int
        The same seed gives the same interval.

    Returns
    -------
    Interval
        The metric on the images as they are, and the ends. Where all resamples agree (a perfect AUROC of 1) the
        interval has no width, which is no proof of certainty.

    Source : Efron and Tibshirani 1993, ch. 13.

    Examples
    --------
    >>> print(bootstrap(auroc, [0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.2, 0.35, 0.8, 0.3]))
    0.778 [0.333, 1.000]
    """
    check_number("bootstrap", "n", n, 1, integer=True)
    check_number("bootstrap", "level", level, 0, 1, ends="()")
    check_number("bootstrap", "seed", seed, 0, integer=True)
    if not callable(metric):
        reject("bootstrap", "metric", "be a function of (is_anomaly, scores)", metric, error=TypeError)
    anomalous, scores = _checked("bootstrap", is_anomaly, scores)
    whole = np.asarray(metric(anomalous, scores)).flat[0]
    values = np.concatenate(
        [_values(metric, scores, anomalies, normals) for anomalies, normals in resampling.resamples(anomalous, n, seed)]
    )
    lower, upper = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(whole), float(lower), float(upper))


_AT_ONCE = {
    auroc: resampling.auroc,
    auprc: resampling.auprc,
    fpr_at_tpr: resampling.fpr_at_tpr,
    best_f1: resampling.best_f1,
    f1_at: resampling.f1_at,
    balanced_accuracy: resampling.balanced_accuracy,
}


def auroc_between(normal_scores: Any, anomalous_scores: Any, *, n: int = 1000, seed: int = 0) -> Interval:
    """Return the AUROC of two groups of scores, with its bootstrap interval.

    Parameters
    ----------
    normal_scores, anomalous_scores : array-like of shape (N,) and (M,)
        Higher = more anomalous.
    n, seed : int
        As in `bootstrap`.

    Examples
    --------
    >>> print(auroc_between([0.1, 0.4, 0.2], [0.35, 0.8, 0.3]))
    0.778 [0.333, 1.000]
    """
    groups = [np.asarray(normal_scores), np.asarray(anomalous_scores)]
    is_anomaly = np.repeat([0, 1], [len(group) for group in groups])
    return bootstrap(auroc, is_anomaly, np.concatenate(groups), n=n, seed=seed)


def _values(metric: Callable[..., Any], scores: np.ndarray, anomalies: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the metric on each resample of a block, shape (k,)."""
    named = isinstance(metric, partial) and not metric.args
    function, options = (metric.func, metric.keywords) if named else (metric, {})
    if function in _AT_ONCE:
        return _AT_ONCE[function](resampling.count(scores, anomalies, normals), **options)
    truth = np.arange(anomalies.shape[1] + normals.shape[1]) < anomalies.shape[1]
    drawn = np.concatenate([anomalies, normals], axis=1)  # (k, P + M)
    return np.array([np.asarray(metric(truth, scores[row])).flat[0] for row in drawn])
