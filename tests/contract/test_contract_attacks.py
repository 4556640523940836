"""Every method under the ensemble of attacks: it is the worst case, and Square does not beat the gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advad.analysis.attack_checks import MORE, SOME
from advad.analysis.attack_ensemble import FAR_END, SQUARE, Budget
from advad.analysis.robustness import evaluate
from tests.cases import CASES, CLASSICAL, digits, make

SMALL = Budget(steps=20, starts=2, queries=150, probes=4)
IMAGES = 12
BRIEF = Budget(steps=5, starts=1, queries=30, probes=2)
SLOW = {
    "AnoGAN": {"search_steps": 5},
    "GeoTrans": {},
}  # a search for each score, or 72 passes -> settings that shorten it
BLACK_BOXES = [case for case in CLASSICAL if not hasattr(make(case), "score_tensor")]


@pytest.mark.parametrize("case", [*CASES, *(case for case in CLASSICAL if case not in BLACK_BOXES)])
def test_the_ensemble_is_the_worst_case_and_gradients_find_it(case, figure):
    split = digits()
    n, budget = (4, BRIEF) if case in SLOW else (IMAGES, SMALL)
    normals, anomalies = split.test[~split.test_is_anomaly][:n], split.test[split.test_is_anomaly][:n]
    detector = make(case, **SLOW.get(case, {}))
    detector = detector.fit(split.train, **({"progress": False} if case in CASES else {}))
    result = evaluate(detector, normals, anomalies, 0.1, "both", budget=budget, progress=False)
    assert result.differentiable
    assert result.draws == 1  # no method's score is random

    sign = np.where(result.is_anomaly, -1, 1)
    rescored = detector.anomaly_score(result.images)
    assert result.after == pytest.approx(rescored, rel=1e-4, abs=1e-5)
    for values in result.by_attack.values():
        run = np.isfinite(values)
        assert (sign * result.after >= sign * values)[run].all()
    given = torch.cat([normals, anomalies]).numpy() / np.float32(255)
    assert np.abs(result.images - given).max() <= 0.1 + 1e-6
    assert (result.gain > 0).mean() > 0.9
    assert (FAR_END in result.by_attack) == detector.reconstructs

    beaten = {name: result.checks[f"{name}, black box"].value for name in ("normals", "anomalies")}
    figure(f"{case}: AUROC {result.auroc_before:.3f} to {result.auroc:.3f}, Square wins on {beaten}, {result.warnings}")
    if max(beaten.values()) > SOME:
        assert not result.is_robust_auroc
    one_image = 1 / n  # with so few images, and other rounding on other processors, one of them may go either way
    assert max(beaten.values()) <= max(SOME, one_image) + 1e-6, (
        f"Square finds over {MORE:.0%} more on {beaten}: {result}"
    )
    assert SQUARE in result.by_attack


@pytest.mark.parametrize("case", BLACK_BOXES)
def test_a_classical_detector_is_attacked_by_square_alone_and_its_figure_is_no_robust_auroc(case, figure):
    split = digits()
    normals, anomalies = split.test[~split.test_is_anomaly][:IMAGES], split.test[split.test_is_anomaly][:IMAGES]
    detector = make(case).fit(split.train)
    result = evaluate(detector, normals, anomalies, 0.1, "both", budget=SMALL, progress=False)
    assert list(result.by_attack) == [SQUARE]
    assert not result.differentiable
    assert not result.is_robust_auroc
    assert result.draws == 1
    assert result.after == pytest.approx(detector.anomaly_score(result.images), rel=1e-4, abs=1e-5)
    assert (result.gain > 0).mean() > 0.9
    figure(f"{case}: AUROC {result.auroc_before:.3f} to {result.auroc:.3f} under Square alone")
