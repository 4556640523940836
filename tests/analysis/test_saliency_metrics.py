"""Rank correlation against SciPy, shares by hand, and the errors."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from advad.analysis.saliency_metrics import rank_correlation, weight_share

MAPS, OTHERS = np.random.default_rng(0).normal(size=(2, 7, 5, 4))
TIED = np.round(MAPS)


@pytest.mark.parametrize(("maps", "others"), [(MAPS, OTHERS), (TIED, OTHERS), (TIED, np.round(OTHERS))])
def test_rank_correlation_is_spearmans(maps, others):
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(maps, others, strict=True)]
    assert rank_correlation(maps, torch.tensor(others)) == pytest.approx(expected)


def test_only_the_order_of_pixels_counts():
    assert rank_correlation(MAPS, np.exp(3 * MAPS)) == pytest.approx(np.ones(7))
    assert rank_correlation(MAPS, -MAPS) == pytest.approx(-np.ones(7))


def test_a_map_without_order_has_no_correlation():
    flat = MAPS.copy()
    flat[2] = 1
    found = rank_correlation(flat, OTHERS)
    assert np.isnan(found).tolist() == [False, False, True, False, False, False, False]


def test_weight_share_by_hand():
    maps = [[[1, -3], [0, 4]], [[0, 0], [0, 0]]]
    places = [[[1, 255], [0, 0]], [[1, 1], [1, 1]]]
    assert weight_share(maps, places) == pytest.approx([0.5, 0])
    assert weight_share(maps, np.ones((2, 2, 2))) == pytest.approx([1, 0])


def test_errors():
    with pytest.raises(ValueError, match=r"rank_correlation: others must have shape \(7, 5, 4\), as the maps; got"):
        rank_correlation(MAPS, OTHERS[:2])
    with pytest.raises(ValueError, match=r"weight_share: places must have shape \(7, 5, 4\), as the maps; got"):
        weight_share(MAPS, OTHERS[:, 1:])
    with pytest.raises(ValueError, match="weight_share: maps must be finite; got 1 of 4"):
        weight_share([[[1, np.nan], [0, 0]]], np.ones((1, 2, 2)))
