"""A threshold at a false-alarm rate means one thing: whoever sets one, the same scores give the same number."""

import re

import numpy as np
import pytest
import torch

import advad
from advad.explorers.threshold import ThresholdExplorer
from advad.thresholds import lowest_threshold
from tests import ROOT

RATES = (0.02, 0.05, 0.1, 0.29, 0.5)


class FirstPixel(advad.PCA):
    """Scores the first pixel."""

    def anomaly_score(self, X):
        return np.asarray(X, dtype=float)[:, 0, 0, 0]


class Likelihoods(advad.AAE):
    """Its error and its log-likelihood are pixels."""

    def reconstruction_error(self, X):
        return np.asarray(X, dtype=float)[:, 0, 0, 0]

    def log_likelihood(self, X):
        return -np.asarray(X, dtype=float)[:, 0, 0, 1]


def pictures(n):
    return np.random.default_rng(n).random((n, 1, 4, 4), dtype=np.float32)


def test_it_is_the_lowest_score_that_at_most_the_share_exceeds():
    scores = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    assert [lowest_threshold(scores, rate) for rate in (0, 0.19, 0.2, 0.4, 0.99)] == [5, 5, 4, 3, 1]
    assert lowest_threshold(np.arange(100.0), 0.29) == 70  # 0.29 * 100 is 28.999999999999996
    assert lowest_threshold(np.array([1.0, 1.0, 1.0, 0.0]), 0.5) == 1  # ties


@pytest.mark.parametrize("n", [1, 12, 16, 100])
@pytest.mark.parametrize("rate", RATES)
def test_all_who_set_one_agree(n, rate):
    x = pictures(n)
    scores = x[:, 0, 0, 0].astype(float)
    expected = lowest_threshold(scores, rate)
    assert (scores > expected).mean() <= rate
    assert advad.threshold_at(scores, rate) == expected
    assert FirstPixel().calibrate(x, rate).threshold_ == expected
    explorer = ThresholdExplorer(FirstPixel(), x[[0, 0]], is_anomaly=[0, 1], holdout=x, false_alarm_rate=rate)
    assert explorer.threshold == expected
    T_rec, T_prior = Likelihoods().thresholds(torch.as_tensor(x), rate)
    assert T_rec == expected
    assert T_prior == -lowest_threshold(x[:, 0, 0, 1].astype(float), rate)


def test_nothing_sets_one_by_a_quantile_between_two_scores():
    """What is left of `np.quantile` are ends of axes and of intervals, and of sets other than normal scores."""
    allowed = {
        "advad/analysis/metrics.py": 1,  # the ends of a bootstrap interval
        "advad/explorers/contamination.py": 1,  # the end of an axis
        "advad/plots/charts.py": 1,  # the same
        "advad/explorers/latent/explorer.py": 1,  # the ends of a colour scale
        "advad/analysis/localisation.py": 3,  # the edges of bins of pixels, and the ends of intervals
        "advad/analysis/score_correlates.py": 1,  # the contrast of an image
        "notebooks/09_your_images.ipynb": 1,  # the strangest twentieth of the pixels of one map
        "advad/explorers/anomaly_map.py": 1,  # where the slider of the map's threshold stands, a share of all pixels
    }
    sources = [*(ROOT / "advad").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
    counts = {
        str(path.relative_to(ROOT)): len(re.findall(r"np\.(?:nan)?(?:quantile|percentile)", path.read_text("utf-8")))
        for path in sources
    }
    assert {path: n for path, n in counts.items() if n} == allowed
