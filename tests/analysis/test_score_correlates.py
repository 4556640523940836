"""Statistics by hand, rank correlations by SciPy, and the sentence in each of its cases."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import advad
from advad.analysis.score_correlates import image_statistics, rank_correlation, score_correlates
from tests.errors import one_line_errors

RNG = np.random.default_rng(0)
TRUTH = np.arange(60) >= 30
NOISE = RNG.random((60, 1, 12, 12)).astype(np.float32) * 0.2 + 0.2
BRIGHT = NOISE + 0.3 * TRUTH[:, None, None, None].astype(np.float32) * RNG.random((60, 1, 1, 1)).astype(np.float32)


def test_statistics_by_hand():
    image = np.full((1, 1, 10, 10), 0.2, np.float32)
    image[0, 0, 2:6, 3:5] = 0.8  # 8 of 100 pixels, not in the middle
    values = {name: float(value[0]) for name, value in image_statistics(image).items()}
    assert values["brightness"] == pytest.approx(0.2 + 0.08 * 0.6, abs=1e-6)
    assert values["contrast"] == pytest.approx(0.6 * np.sqrt(0.08 * 0.92), abs=1e-6)
    assert (values["darkest"], values["brightest"]) == pytest.approx((0.2, 0.8), abs=1e-6)
    assert values["object size"] == pytest.approx(0.08)
    assert values["border brightness"] == pytest.approx(0.2)
    assert values["sharpness"] == pytest.approx((2 * 2 + 2 * 4) * 0.6 / 90 / 2, abs=1e-6)  # steps down, steps across
    assert values["edges"] == pytest.approx(values["sharpness"] / values["contrast"])
    assert values["asymmetry"] == pytest.approx(4 * 4 * 0.6 / 100, abs=1e-6)  # columns 3 and 4 mirror to 6 and 5
    assert "colourfulness" not in values
    dark = image_statistics(1 - image)
    assert float(dark["object size"][0]) == pytest.approx(0.08)


def test_colour_and_grey_agree_and_only_colour_has_colourfulness():
    grey = image_statistics(NOISE)
    colour = image_statistics(np.repeat(NOISE, 3, axis=1))
    assert set(colour) - set(grey) == {"colourfulness"}
    assert all(np.allclose(colour[name], grey[name], atol=1e-6) for name in grey)
    assert colour["colourfulness"].max() < 1e-6
    uint8 = image_statistics((NOISE * 255).round().astype(np.uint8))
    assert np.allclose(uint8["contrast"], grey["contrast"], atol=2e-3)


def test_statistics_do_not_depend_on_batches(monkeypatch):
    whole = image_statistics(NOISE)
    monkeypatch.setattr("advad.analysis.score_correlates.BATCH_PIXELS", 7 * 144)
    parts = image_statistics(NOISE)
    assert all(np.allclose(whole[name], parts[name]) for name in whole)


def test_rank_correlation_is_scipys():
    a, b = RNG.integers(0, 5, 40), RNG.random(40)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert np.isnan(rank_correlation(a, np.ones(40)))


def test_a_score_that_is_the_brightness_knows_no_more():
    scores = BRIGHT.mean((1, 2, 3))
    result = score_correlates(scores, BRIGHT, TRUTH, n=200)
    assert result.rows[0].auroc.value >= result.auroc.value
    brightness = next(row for row in result.rows if row.name == "brightness")
    assert brightness.correlation == pytest.approx(1)
    assert brightness.auroc.value == pytest.approx(roc_auc_score(TRUTH, scores))
    assert brightness.direction == "higher"
    assert not result.knows_more
    assert result.summary().startswith(("It does not show that the detector knows more", "The detector knows less"))
    assert "the score follows brightness most (rank correlation +1.00)." in result.summary()


def test_a_score_against_the_brightness_knows_less_and_the_direction_is_named():
    result = score_correlates(BRIGHT.mean((1, 2, 3)), 1 - BRIGHT, TRUTH, n=200)
    assert next(row for row in result.rows if row.name == "brightness").direction == "lower"
    result = score_correlates(-BRIGHT.mean((1, 2, 3)), BRIGHT, TRUTH, n=200)
    assert result.auroc.value < 0.5
    assert result.difference.high < 0
    assert result.summary().startswith("The detector knows less than a cheap statistic: its AUROC is 0.")


def test_a_score_that_sees_what_no_statistic_does_knows_more():
    hidden = TRUTH + 0.3 * RNG.standard_normal(60)
    result = score_correlates(hidden, NOISE, TRUTH, n=200)
    assert result.knows_more
    assert result.summary().startswith("The detector knows more than cheap statistics: its AUROC is")
    best = result.rows[0]
    assert str(result).splitlines()[1].split()[-1] == best.direction
    assert best.auroc.value == max(row.auroc.value for row in result.rows)


def test_further_statistics_and_detectors():
    detector = advad.PCA(n_components=4).fit(NOISE[:20])
    result = score_correlates(detector, NOISE, TRUTH, statistics={"hour": -1.0 * TRUTH}, n=50)
    assert (result.rows[0].name, result.rows[0].direction, result.rows[0].auroc.value) == ("hour", "lower", 1)
    assert result.auroc.value == pytest.approx(roc_auc_score(TRUTH, detector.anomaly_score(NOISE)))


def test_pneumonia_is_told_by_sharpness_and_a_reconstruction_error_ranks_it_below():
    folder = os.environ.get("ADVAD_DATA")
    if not folder or not (Path(folder) / "pneumoniamnist.npz").is_file():
        pytest.skip("needs pneumoniamnist.npz in the folder that ADVAD_DATA names")
    split = advad.one_class(advad.load(Path(folder) / "pneumoniamnist.npz"), normal=0, train_size=500)
    detector = advad.PCA(n_components=32).fit(split.train)
    result = score_correlates(detector, split.test, split.test_is_anomaly, n=50)
    assert result.auroc.value < 0.5
    contrast = next(row for row in result.rows if row.name == "contrast")
    assert contrast.auroc.value == pytest.approx(0.83, abs=0.01)
    assert contrast.direction == "lower"
    assert result.summary().startswith("The detector knows less than a cheap statistic")


SCORES = np.zeros(60)
VALUE_ERRORS = {
    "score_correlates: score must have shape (60,), one number an image; got": lambda: score_correlates(
        SCORES[:5], NOISE, TRUTH
    ),
    "score_correlates: is_anomaly must have shape (60,)": lambda: score_correlates(SCORES, NOISE, TRUTH[:5]),
    "score_correlates: is_anomaly must mark at least one image of each class": lambda: score_correlates(
        SCORES, NOISE, TRUTH & False
    ),
    "score_correlates: hour must have shape (60,), one number an image; got": lambda: score_correlates(
        SCORES, NOISE, TRUTH, statistics={"hour": [1, 2]}
    ),
    "score_correlates: images must be in [0, 1] when float": lambda: score_correlates(SCORES, NOISE * 9, TRUTH),
    "score_correlates: n must be at least 1; got 0": lambda: score_correlates(SCORES, NOISE, TRUTH, n=0),
}

test_errors_say_what_rule_and_got_in_one_line = one_line_errors(VALUE_ERRORS, {})
