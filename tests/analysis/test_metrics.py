"""Metrics against their definitions, hand numbers and scikit-learn; thresholds, intervals, every error message."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest

from advad.analysis import metrics
from advad.analysis.metrics import (
    Interval,
    auprc,
    auroc,
    balanced_accuracy,
    best_f1,
    bootstrap,
    f1_at,
    fpr_at_tpr,
    rate_interval,
    threshold_at,
)
from tests.errors import one_line_errors

TRUTH = np.array([0, 0, 1, 0, 1, 1])
SCORES = np.array([0.1, 0.2, 0.2, 0.3, 0.4, 0.9])  # one tie, one normal image above one anomaly
RANKING = [auroc, auprc, fpr_at_tpr, lambda y, s: best_f1(y, s)[0]]


def sample(seed, n=60, decimals=1):
    """Scores with ties (one decimal), a third anomalous and a little higher."""
    generator = np.random.default_rng(seed)
    truth = np.arange(n) % 3 == 0
    return truth, np.round(generator.normal(size=n) + truth, decimals)


def test_hand_numbers():
    assert auroc(TRUTH, SCORES) == pytest.approx((1.5 + 3 + 3) / 9)  # pairs won by each anomaly, a tie one half
    assert auprc(TRUTH, SCORES) == pytest.approx((1 + 1 + 3 / 5) / 3)  # precision 1, 1, and 3/5 at the tie
    assert fpr_at_tpr(TRUTH, SCORES, 1.0) == pytest.approx(2 / 3)  # two of three normal images score 0.2 or more
    assert fpr_at_tpr(TRUTH, SCORES, 0.6) == 0.0
    assert fpr_at_tpr([0, 1] * 3, [3, 3, 2, 2, 1, 1], 0.6) == 2 / 3  # a point on a straight piece of the ROC curve
    assert best_f1(TRUTH, SCORES) == (pytest.approx(0.8), 0.3)  # precision 1, recall 2/3
    assert f1_at(TRUTH, SCORES, 0.1) == pytest.approx(2 * 3 / (2 * 3 + 2))
    assert balanced_accuracy(TRUTH, SCORES, 0.3) == pytest.approx((2 / 3 + 1) / 2)  # 0.3 itself is no alarm


@pytest.mark.parametrize("seed", range(5))
def test_definitions(seed):
    truth, scores = sample(seed)
    cuts = np.unique(scores)
    pairs = scores[truth][:, None] - scores[~truth]
    assert auroc(truth, scores) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    hits = np.array([(scores[truth] >= cut).sum() for cut in cuts[::-1]])
    alarms = np.array([(scores >= cut).sum() for cut in cuts[::-1]])
    assert auprc(truth, scores) == pytest.approx((np.diff(hits, prepend=0) * hits / alarms).sum() / truth.sum())
    enough = [cut for cut in cuts if (scores[truth] >= cut).mean() >= 0.9]
    assert fpr_at_tpr(truth, scores, 0.9) == pytest.approx((scores[~truth] >= max(enough)).mean())
    assert best_f1(truth, scores)[0] == pytest.approx((2 * hits / (alarms + truth.sum())).max())


@pytest.mark.parametrize("metric", RANKING)
def test_rising_functions_of_the_scores_change_nothing(metric):
    truth, scores = sample(0)
    assert metric(truth, np.exp(scores)) == pytest.approx(metric(truth, scores))
    assert metric(truth, 3 * scores - 7) == pytest.approx(metric(truth, scores))
    order = np.random.default_rng(1).permutation(len(scores))
    assert metric(truth[order], scores[order]) == pytest.approx(metric(truth, scores))


def test_limits():
    truth, scores = sample(0)
    assert auroc(truth, -scores) == pytest.approx(1 - auroc(truth, scores))
    perfect = truth.astype(float)
    assert (auroc(truth, perfect), auprc(truth, perfect), fpr_at_tpr(truth, perfect)) == (1, 1, 0)
    assert best_f1(truth, perfect) == (1.0, 0.0)
    constant = np.zeros(len(truth))
    assert (auroc(truth, constant), auprc(truth, constant), fpr_at_tpr(truth, constant)) == (0.5, truth.mean(), 1)
    assert f1_at(truth, scores, scores.max()) == 0.0  # no alarm at all


@pytest.mark.parametrize("scores", [sample(3)[1], sample(3, decimals=9)[1], np.full(60, 2.5), np.full(60, -1e30)])
def test_best_f1_is_reached_at_its_threshold_and_nowhere_exceeded(scores):
    truth = sample(3)[0]
    f1, threshold = best_f1(truth, scores)
    assert f1_at(truth, scores, threshold) == pytest.approx(f1)
    assert all(f1_at(truth, scores, other) <= f1 + 1e-12 for other in [threshold, *scores])


def test_tensors_lists_and_low_precision_are_taken():
    truth, scores = sample(0)
    value = auroc(truth, scores)
    assert auroc(torch.tensor(truth), torch.tensor(scores, requires_grad=True)) == value
    assert auroc(truth.astype(int).tolist(), scores.tolist()) == value
    halves = torch.tensor(scores).bfloat16()
    assert auroc(truth, halves) == pytest.approx(auroc(truth, halves.float().numpy()))


# Thresholds and rates


@pytest.mark.parametrize("rate", [0, 0.01, 0.05, 0.07, 0.29, 0.5, 0.99])
def test_threshold_allows_the_wanted_share_and_no_more(rate):
    scores = np.random.default_rng(0).permutation(100) / 7
    threshold = threshold_at(scores, rate)
    assert (scores > threshold).sum() == round(100 * rate)
    assert (scores >= threshold).sum() == round(100 * rate) + 1  # a lower one would let one more through


def test_threshold_with_ties_stays_on_the_safe_side():
    assert threshold_at([1, 2, 3, 3, 3], 0.4) == 3.0
    assert threshold_at([5.0], 0.5) == 5.0
    assert threshold_at([1, 2, 3, 4, 5], 0.2) == 4.0


@pytest.mark.parametrize(("count", "total"), [(0, 20), (1, 20), (7, 20), (20, 20), (3, 1000)])
def test_rate_interval_is_clopper_pearson(count, total):
    expected = binomtest(count, total).proportion_ci(0.9, "exact")
    assert rate_interval(count, total, level=0.9) == pytest.approx((count / total, expected.low, expected.high))


def test_rate_interval_by_hand_and_its_promise():
    assert rate_interval(0, 20).high == pytest.approx(1 - 0.025 ** (1 / 20))  # no alarm in 20: up to 17 % are possible
    intervals = [rate_interval(k, 30) for k in range(31)]
    for rate in np.linspace(0.01, 0.99, 50):
        covering = [k for k, (_, low, high) in enumerate(intervals) if low <= rate <= high]
        covered = binom.pmf(covering, 30, rate).sum()
        assert covered >= 0.95


# Bootstrap


METRICS = [
    auroc,
    auprc,
    fpr_at_tpr,
    best_f1,
    partial(fpr_at_tpr, tpr=0.7),
    partial(f1_at, threshold=0.3),
    partial(f1_at, threshold=99),
    partial(balanced_accuracy, threshold=0.3),
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("decimals", [0, 9])
def test_bootstrap_at_once_equals_one_call_a_resample(metric, decimals):
    truth, scores = sample(4, decimals=decimals)
    slow = bootstrap(lambda y, s: metric(y, s), truth, scores, n=40, seed=5)
    assert bootstrap(metric, truth, scores, n=40, seed=5) == pytest.approx(slow, abs=1e-12)


def test_own_metrics_are_computed_for_all_resamples_at_once(monkeypatch):
    truth, scores = sample(4)
    blocks, count = [], metrics.resampling.count
    monkeypatch.setattr(metrics.resampling, "count", lambda *block: blocks.append(block) or count(*block))
    for metric in METRICS:
        bootstrap(metric, truth, scores, n=30)
    assert len(blocks) == len(METRICS)
    bootstrap(lambda y, s: auroc(y, s), truth, scores, n=30)
    bootstrap(partial(lambda share, y, s: s[y].mean() + share, 0.5), truth, scores, n=30)
    assert len(blocks) == len(METRICS)


def test_bootstrap_in_blocks_equals_one_block(monkeypatch):
    truth, scores = sample(4)
    rows = []

    def counted(y, s):
        rows.append((len(y), y.sum()))
        return auroc(y, s)

    monkeypatch.setattr(metrics.resampling, "_BLOCK", 7 * len(truth))
    interval = bootstrap(counted, truth, scores, n=40)
    assert rows == [(60, 20)] * 41  # the images as they are, then 40 resamples, each class at its own size
    assert interval == pytest.approx(bootstrap(auroc, truth, scores, n=40))


def test_bootstrap_is_seeded_and_narrows_with_more_images():
    truth, scores = sample(0, n=300)
    interval = bootstrap(auroc, truth, scores, seed=1)
    assert interval == bootstrap(auroc, truth, scores, seed=1)
    assert interval != bootstrap(auroc, truth, scores, seed=2)
    assert interval.low < interval.value == auroc(truth, scores) < interval.high
    four_times = bootstrap(auroc, np.tile(truth, 4), np.tile(scores, 4), seed=1)
    assert (four_times.high - four_times.low) / (interval.high - interval.low) == pytest.approx(0.5, abs=0.1)
    assert bootstrap(auroc, truth, scores, level=0.5).low > interval.low


def test_bootstrap_covers_the_true_auroc():
    generator = np.random.default_rng(0)
    truth = np.arange(200) < 100
    true_auroc = 0.760249938906524  # Φ(1 / √2): two unit normals, one apart
    drawn = [bootstrap(auroc, truth, generator.normal(size=200) + truth, n=200, level=0.9) for _ in range(200)]
    assert 0.84 <= np.mean([interval.low <= true_auroc <= interval.high for interval in drawn]) <= 0.95


def test_interval_prints():
    assert str(Interval(0.91234, 0.9, 0.92)) == "0.912 [0.900, 0.920]"
    assert f"{Interval(1, 1, 1)}" == "1.000 [1.000, 1.000]"


# Errors

GOOD = [0.1, 0.2, 0.2, 0.3, 0.4, 0.9]
VALUE_ERRORS = {  # how the message begins: what causes it
    "auroc: is_anomaly must mark at least one image of each class; got 6 normal and 0 anomalous.": lambda: auroc(
        [0] * 6, GOOD
    ),
    "auprc: is_anomaly must mark at least one image of each class; got 0 normal and 6 anomalous.": lambda: auprc(
        [1] * 6, GOOD
    ),
    "best_f1: scores must be finite; got 1 of 6 values NaN or infinite. Did the training diverge?": lambda: best_f1(
        TRUTH, [np.nan, *GOOD[1:]]
    ),
    "f1_at: scores must be finite; got 6 of 6 values NaN or infinite. Did the training diverge?": lambda: f1_at(
        TRUTH, [np.inf] * 6, 1
    ),
    "auroc: is_anomaly must have shape (6,), one label an image; got Tensor of shape (5,)": lambda: auroc(
        TRUTH[:5], GOOD
    ),
    "auroc: is_anomaly must be 0 (normal) or 1 (anomalous); got [0, 1, 2]": lambda: auroc([0, 1, 2, 0, 1, 1], GOOD),
    "auroc: scores must have shape (N,), one number per image; got ndarray of shape (6, 1)": lambda: auroc(
        TRUTH, np.ones((6, 1))
    ),
    "auroc: scores must hold at least one number; got ndarray of shape (0,)": lambda: auroc([], []),
    "auroc: scores must have shape (N,), one number per image; got [[1], [2, 3]]": lambda: auroc(TRUTH, [[1], [2, 3]]),
    "fpr_at_tpr: tpr must be in (0, 1]; got 0": lambda: fpr_at_tpr(TRUTH, GOOD, 0),
    "fpr_at_tpr: tpr must be in (0, 1]; got 99.5": lambda: fpr_at_tpr(TRUTH, GOOD, 99.5),
    "f1_at: threshold must be finite; got nan": lambda: f1_at(TRUTH, GOOD, np.nan),
    "threshold_at: false_alarm_rate must be in [0, 1); got 1. 0.05 is 5 %.": lambda: threshold_at(GOOD, 1),
    "threshold_at: false_alarm_rate must be in [0, 1); got -0.1": lambda: threshold_at(GOOD, -0.1),
    "threshold_at: holdout_scores must be finite; got 1 of 1 values": lambda: threshold_at([np.nan]),
    "threshold_at: holdout_scores must hold at least one number": lambda: threshold_at([]),
    "rate_interval: total must be at least 1; got 0": lambda: rate_interval(1, 0),
    "rate_interval: count must be in [0, 4]; got 5": lambda: rate_interval(5, 4),
    "rate_interval: level must be in (0, 1); got 95": lambda: rate_interval(1, 4, level=95),
    "bootstrap: is_anomaly must mark at least one image of each class": lambda: bootstrap(auroc, [0] * 6, GOOD),
    "bootstrap: n must be at least 1; got 0": lambda: bootstrap(auroc, TRUTH, GOOD, n=0),
    "bootstrap: level must be in (0, 1); got 1": lambda: bootstrap(auroc, TRUTH, GOOD, level=1),
    "bootstrap: seed must be at least 0; got -1": lambda: bootstrap(auroc, TRUTH, GOOD, seed=-1),
}
TYPE_ERRORS = {  # how the message begins: what causes it
    "auroc: scores must hold numbers; got ['high', ": lambda: auroc(TRUTH, ["high"] * 6),
    "balanced_accuracy: threshold must be a number; got '0.5'": lambda: balanced_accuracy(TRUTH, GOOD, "0.5"),
    "rate_interval: count must be a whole number; got 0.5": lambda: rate_interval(0.5, 4),
    "bootstrap: metric must be a function of (is_anomaly, scores); got 'auroc'": lambda: bootstrap(
        "auroc", TRUTH, GOOD
    ),
}


test_errors_say_what_rule_and_got_in_one_line = one_line_errors(VALUE_ERRORS, TYPE_ERRORS)


def test_the_wing_is_light_to_import():
    imports = "import sys; from advad.analysis import metrics, latent, saliency, score_minima"
    loaded = "print(sorted({'sklearn', 'scipy', 'umap'} & set(sys.modules)))"
    command = [sys.executable, "-c", f"{imports}; {loaded}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
