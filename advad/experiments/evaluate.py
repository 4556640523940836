"""What is measured of a trained detector, for all methods alike; only "best_f1" makes a choice on test data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

import advad
from advad.analysis.localisation import localisation
from advad.analysis.metrics import Interval
from advad.analysis.robustness import robust_auroc
from advad.analysis.score_correlates import best_statistic
from advad.engine.base import BaseDetector

STATISTIC = "auroc_of_"  # and the name of a cheap statistic
PIXEL_METRICS = ("pixel_auroc", "pixel_auprc", "aupro_30", "aupro_5")
ITSR_SHARE = 0.1  # Beggel et al. 2019, Sec. 5: 90th percentile of the training errors, 10th of their likelihoods


def measure(detector: BaseDetector, split: advad.Split) -> dict[str, Interval]:
    """Return the metrics of a trained detector on the test part, each with its bootstrap interval of 95 %.

    "auroc", "auprc" and "fpr_at_tpr" need no threshold. "auroc_of_…" is that of the cheap statistic of the images that
    separates them best, "auroc_of_sharpness_higher" say: what a detector should exceed, by no merit of the detector.

    "f1_holdout" and "balanced_accuracy_holdout" take their threshold from held-out normals (5 % false alarms). Where
    named classes contaminate the training part, balanced accuracies follow Beggel et al. 2019, Sec. 5: against the test
    anomalies of those classes ("…_observed") and against all other anomalies ("…_unobserved"), with thresholds from the
    training images, by two rules:

    - "balanced_accuracy_observed": the score alone exceeds its 90th percentile (the paper's rule for its AE);
    - "balanced_accuracy_either_or_observed": the error exceeds its 90th percentile *or* the likelihood falls below its
      10th (the paper's rule for its AAE and ITSR), for detectors whose `decisions` offer it.

    Each further rule that a detector's `decisions` offer is measured in the same way under its own name.

    By `advad.merged`, protocol 1 of Salehi et al. 2020, "best_f1" is measured too, as they print it for COIL-100: the
    largest F1 over all thresholds. It is chosen on the test part, so it bounds what a threshold can reach.

    Where the test part has masks, "pixel_auroc", "pixel_auprc", "aupro_30" and "aupro_5" compare them with the
    detector's own anomaly maps; see `advad.analysis.localisation`.
    """
    scores, truth = detector.anomaly_score(split.test), split.test_is_anomaly.numpy()
    metrics = {metric.__name__: advad.bootstrap(metric, truth, scores) for metric in (advad.auroc, advad.auprc)}
    metrics["fpr_at_tpr"] = advad.bootstrap(advad.fpr_at_tpr, truth, scores)
    if split.settings["protocol"] == "merged":
        metrics["best_f1"] = advad.bootstrap(advad.best_f1, truth, scores)
    name, values = best_statistic(split.test, truth)
    metrics[STATISTIC + name.replace(" ", "_")] = advad.bootstrap(advad.auroc, truth, values)
    if len(split.holdout):
        threshold = advad.threshold_at(detector.anomaly_score(split.holdout))
        for metric in (advad.f1_at, advad.balanced_accuracy):
            name = f"{metric.__name__.removesuffix('_at')}_holdout"
            metrics[name] = advad.bootstrap(partial(metric, threshold=threshold), truth, scores)
    if len(split.indices["contaminating"]):
        threshold = advad.threshold_at(detector.anomaly_score(split.train), ITSR_SHARE)
        decisions = {"": scores > threshold} | detector.decisions(split.test, split.train, ITSR_SHARE)
        metric = partial(advad.balanced_accuracy, threshold=0.5)  # of alarms: 0 or 1
        of_observed = torch.isin(split.test_labels, torch.tensor(split.contaminants)).numpy()
        for rule, alarms in decisions.items():
            stem = f"balanced_accuracy_{rule}_" if rule else "balanced_accuracy_"
            for part, anomalies in {"observed": truth & of_observed, "unobserved": truth & ~of_observed}.items():
                if anomalies.any():
                    rows = ~truth | anomalies
                    metrics[stem + part] = advad.bootstrap(metric, truth[rows], alarms[rows].astype(float))
    masks = None if split.masks is None else split.masks["test"].numpy()
    if masks is not None and masks[truth].any() and not masks[~truth].any():
        row = localisation(detector.anomaly_map(split.test), masks, scores=scores, is_anomaly=truth).overall
        metrics |= {name: getattr(row, name) for name in PIXEL_METRICS}
    return metrics


def measure_attacked(
    detector: BaseDetector, split: advad.Split, radii: Sequence[float]
) -> tuple[dict[str, Interval], dict[str, str]]:
    """Return what attacks on the normal test images leave of the AUROC, and what it may be called, by metric.

    For each of `radii`, in pixel units, "auroc_attacked_…" is the AUROC under PGD, as Salehi et al. 2020, Table 5,
    report it, and "auroc_robust_…" that under the worst case of an ensemble of attacks. The verdict of the latter says
    whether checks found the attacks too weak; see `advad.analysis.robustness.robust_auroc`. Both need a gradient.
    """
    truth, metrics, verdicts = split.test_is_anomaly.numpy(), {}, {}
    for radius in radii:
        attacked = robust_auroc(detector, split.test[~truth], split.test[truth], radius, progress=False)
        for metric, of_images in {"attacked": attacked.scores_attacked, "robust": attacked.scores_robust}.items():
            name = f"auroc_{metric}_{radius:g}"
            metrics[name] = advad.bootstrap(advad.auroc, attacked.evaluation.is_anomaly, of_images)
        verdicts[f"auroc_robust_{radius:g}"] = attacked.evaluation.verdict
    return metrics, verdicts
