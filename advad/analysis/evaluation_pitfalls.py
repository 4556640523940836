"""How much each evaluation pitfall adds to a result: each is a switch over the measures of many trained runs.

A run is one seed on one normal class. After each epoch its scores (`batch_norm.score_modes`) are measured honestly
and in the ways that flatter (`measures`); all values form one `EvaluationTable`. An evaluation reads it in one way:
`table.report(Pitfalls(best_epoch=True))`. Only one should be reported: `Pitfalls()`, with none.

What a shortcut gains where there is nothing to detect follows from the size of the test set alone: `chance_gains`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from advad.analysis.batch_norm import MODES
from advad.analysis.inputs import as_anomalous, as_numbers
from advad.analysis.metrics import auroc, balanced_accuracy, threshold_at
from advad.checks import check_number, reject

MEASURES = ("AUROC", "BACC", "BACC, scaled on test", "BACC, fitted on test")
FALSE_ALARM_RATE = 0.05  # that the held-out threshold is set for
SCALED_THRESHOLD = 0.2  # of min-max scaled scores: GANomaly's released code, lib/evaluate.py
LEAST = 0.6  # classes below this AUROC are dropped

# ---------------------------------------------------------------------- measures of one state of one run


def fitted_threshold(is_anomaly: Any, scores: Any) -> tuple[float, float]:
    """Return the highest balanced accuracy over all thresholds, and that threshold: fitted on the test set.

    Parameters
    ----------
    is_anomaly, scores : array-like of shape (N,)
        As in `advad.auroc`.

    Returns
    -------
    bacc, threshold : float
        `advad.balanced_accuracy` gives the same there. Without any threshold above chance: no alarms, 0.5.
    """
    from sklearn.metrics import roc_curve

    scores = as_numbers("fitted_threshold", "scores", scores, 1)
    anomalous = as_anomalous("fitted_threshold", is_anomaly, len(scores))
    false_alarms, detected, cuts = roc_curve(anomalous, scores)  # alarm where score >= cut; the first cut is infinite
    best = int(np.argmax(detected - false_alarms))
    lower = scores[scores < cuts[best]]
    threshold = lower.max() if lower.size else scores.min() - 1 - abs(scores.min())
    return float(1 + detected[best] - false_alarms[best]) / 2, float(threshold)


def min_max(scores: Any) -> np.ndarray:
    """Return scores scaled to [0, 1] by their own extremes, (N,): every other score of the set moves an image's."""
    scores = as_numbers("min_max", "scores", scores, 1)
    spread = scores.max() - scores.min()
    return (scores - scores.min()) / (spread if spread > 0 else 1)


def measures(is_anomaly: Any, scores: Any, holdout_scores: Any) -> np.ndarray:
    """Return the `MEASURES` of one set of test scores, (4,).

    Parameters
    ----------
    is_anomaly, scores : array-like of shape (N,)
        As in `advad.auroc`.
    holdout_scores : array-like of shape (M,)
        Of held-out normal images: the honest threshold is their quantile.

    Returns
    -------
    ndarray of shape (4,)
        AUROC; balanced accuracy at the held-out threshold; at `SCALED_THRESHOLD` of scores scaled by the extremes
        of the test set; at the threshold that is best on the test set.
    """
    return np.array(
        [
            auroc(is_anomaly, scores),
            balanced_accuracy(is_anomaly, scores, threshold_at(holdout_scores, FALSE_ALARM_RATE)),
            balanced_accuracy(is_anomaly, min_max(scores), SCALED_THRESHOLD),
            fitted_threshold(is_anomaly, scores)[0],
        ]
    )


# ---------------------------------------------------------------------- reading a table of measures


@dataclass(frozen=True, kw_only=True)
class Pitfalls:
    """The switches; all off is the honest evaluation.

    Parameters
    ----------
    batch_statistics : bool
        Batch normalisation in training mode, on shuffled test batches.
    class_order : bool
        The test batches in the order of their classes; nothing follows from it without `batch_statistics`.
    best_epoch : bool
        The epoch with the best value on the test set, for each run, instead of the last.
    scale_on_test : bool
        Scores scaled by the test set's extremes, then a fixed threshold. No AUROC can change.
    threshold_on_test : bool
        The threshold that is best on the test set (after which scaling changes nothing). No AUROC can change.
    flip_signs : bool
        Each value v becomes max(v, 1 − v): whatever is below chance is turned round.
    best_seed : bool
        The seed with the best mean over classes, instead of the mean over seeds.
    drop_classes : bool
        Classes with an AUROC below `LEAST` leave the means (all stay where all are below).
    """

    batch_statistics: bool = False
    class_order: bool = False
    best_epoch: bool = False
    scale_on_test: bool = False
    threshold_on_test: bool = False
    flip_signs: bool = False
    best_seed: bool = False
    drop_classes: bool = False


SWITCHES = tuple(field.name for field in fields(Pitfalls))


class Report(NamedTuple):
    """What a paper would print: two means over classes, and what they are means of."""

    auroc: float
    bacc: float
    aurocs: np.ndarray  # (C,), of all classes
    baccs: np.ndarray  # (C,)
    class_mask: np.ndarray  # (C,) bool: the classes that the means are over

    @property
    def kept(self) -> np.ndarray:
        """The former name of `class_mask`."""
        warnings.warn("Report.kept is called class_mask now.", DeprecationWarning, stacklevel=2)
        return self.class_mask


def condense(values: Any, shortcuts: Pitfalls) -> np.ndarray:
    """Return one value a class, (S, C, E) -> (C,): by flips, then an epoch, then a seed or the mean over seeds."""
    values = np.asarray(values, dtype=float)
    if shortcuts.flip_signs:
        values = np.maximum(values, 1 - values)
    values = values.max(axis=2) if shortcuts.best_epoch else values[:, :, -1]  # (S, C)
    return values[values.mean(axis=1).argmax()] if shortcuts.best_seed else values.mean(axis=0)


@dataclass(frozen=True)
class EvaluationTable:
    """The measures of runs over seeds, classes and epochs.

    Parameters
    ----------
    values : ndarray of shape (4, 3, S, C, E)
        Measure (`MEASURES`), mode (`MODES`), seed, normal class, epoch.
    """

    values: np.ndarray

    def __post_init__(self) -> None:
        if np.ndim(self.values) != 5 or self.values.shape[:2] != (len(MEASURES), len(MODES)):
            reject("EvaluationTable", "values", f"have shape ({len(MEASURES)}, {len(MODES)}, S, C, E)", self.values)
        if np.size(self.values) == 0 or not ((self.values >= 0) & (self.values <= 1)).all():  # a NaN fails both
            reject("EvaluationTable", "values", "be measures in [0, 1]", self.values, "Have all runs been finished?")

    def report(self, shortcuts: Pitfalls) -> Report:
        """Return what comes out with these shortcuts; each measure takes its own best epochs and seed."""
        mode = (2 if shortcuts.class_order else 1) if shortcuts.batch_statistics else 0
        rule = 3 if shortcuts.threshold_on_test else 2 if shortcuts.scale_on_test else 1
        aurocs, baccs = (condense(self.values[measure, mode], shortcuts) for measure in (0, rule))
        mask = (aurocs >= LEAST) | (not shortcuts.drop_classes) | (aurocs.max() < LEAST)
        return Report(float(aurocs[mask].mean()), float(baccs[mask].mean()), aurocs, baccs, mask)

    def gains(self) -> dict[str, tuple[float, float]]:
        """Return what each switch alone adds to the mean AUROC and the mean BACC of the honest report.

        The class order, which is nothing alone, is measured against shuffled batches in training mode.
        """
        gains = {}
        for name in SWITCHES:
            base = {"batch_statistics": True} if name == "class_order" else {}
            before, after = self.report(Pitfalls(**base)), self.report(Pitfalls(**base, **{name: True}))
            gains[name] = (after.auroc - before.auroc, after.bacc - before.bacc)
        return gains


# ---------------------------------------------------------------------- where there is nothing to detect


def auroc_sd(n_normal: int, n_anomalous: int) -> float:
    """Return the standard deviation of the AUROC of scores that know nothing: √((n₀ + n₁ + 1) / (12 n₀ n₁)).

    Source : Mann and Whitney 1947.
    """
    check_number("auroc_sd", "n_normal", n_normal, 1, integer=True)
    check_number("auroc_sd", "n_anomalous", n_anomalous, 1, integer=True)
    return math.sqrt((n_normal + n_anomalous + 1) / (12 * n_normal * n_anomalous))


def expected_best(k: int) -> float:
    """Return the mean of the largest of k independent standard normal numbers: 0, 0.564, 0.846, 1.029, …"""
    from scipy.special import ndtr

    check_number("expected_best", "k", k, 1, integer=True)
    z = np.linspace(-10, 10, 20001)
    density = k * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * ndtr(z) ** (k - 1)
    return float(np.sum(z * density) * (z[1] - z[0]))


def chance_gains(n_normal: int, n_anomalous: int, k: int) -> dict[str, float]:
    """Return what shortcuts gain on average with scores that know nothing, for a test set of this size.

    Parameters
    ----------
    n_normal, n_anomalous : int
        Number of test images.
    k : int
        Independent tries: seeds, or epochs that have nothing in common.

    Returns
    -------
    dict of str to float
        "best of k" and "flipped" in AUROC (where AUROC is as good as normally distributed), "fitted threshold" in
        balanced accuracy (half the mean of Smirnov's one-sided D, by its limit law P(D > d) = exp(−2 d² n₀n₁/(n₀+n₁))).
    """
    sd = auroc_sd(n_normal, n_anomalous)
    return {
        "best of k": sd * expected_best(k),
        "flipped": sd * math.sqrt(2 / math.pi),
        "fitted threshold": math.sqrt(math.pi / 8 * (1 / n_normal + 1 / n_anomalous)) / 2,
    }
