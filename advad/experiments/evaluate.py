"""What is measured of a trained detector, for all methods alike; no choice is made on test data."""

from __future__ import annotations

from functools import partial

import torch

import advad
from advad.analysis.metrics import Interval
from advad.engine.base import BaseDetector

ITSR_SHARE = 0.1  # Beggel et al. 2019, Sec. 3.3: the threshold is the 90th percentile of the training errors


def measured(detector: BaseDetector, split: advad.Split) -> dict[str, Interval]:
    """Return the metrics of a trained detector on the test part, each with its bootstrap interval of 95 %.

    "auroc", "auprc", "fpr_at_tpr" need no threshold. "f1_holdout" and "balanced_accuracy_holdout" have theirs from
    held-out normals (5 % false alarms). Where named classes contaminate the training part, "balanced_accuracy_observed"
    and "…_unobserved" follow Beggel et al. 2019, Sec. 3.3: against test anomalies of those classes, or of all others,
    at the 90th percentile of the training errors.
    """
    scores, truth = detector.anomaly_score(split.test), split.test_is_anomaly.numpy()
    found = {metric.__name__: advad.bootstrap(metric, truth, scores) for metric in (advad.auroc, advad.auprc)}
    found["fpr_at_tpr"] = advad.bootstrap(advad.fpr_at_tpr, truth, scores)
    if len(split.holdout):
        threshold = advad.threshold_at(detector.anomaly_score(split.holdout))
        for metric in (advad.f1_at, advad.balanced_accuracy):
            name = f"{metric.__name__.removesuffix('_at')}_holdout"
            found[name] = advad.bootstrap(partial(metric, threshold=threshold), truth, scores)
    if len(split.indices["contaminating"]):
        threshold = advad.threshold_at(detector.anomaly_score(split.train), ITSR_SHARE)
        metric = partial(advad.balanced_accuracy, threshold=threshold)
        of_observed = torch.isin(split.test_labels, torch.tensor(split.settings["contaminants"])).numpy()
        for part, anomalies in {"observed": truth & of_observed, "unobserved": truth & ~of_observed}.items():
            if anomalies.any():
                rows = ~truth | anomalies
                found[f"balanced_accuracy_{part}"] = advad.bootstrap(metric, truth[rows], scores[rows])
    return found
