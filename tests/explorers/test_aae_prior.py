"""The explorer of the prior game: what it says of where a class lies is what the codes hold."""

import html

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from advad.explorers import AAEPriorExplorer
from advad.explorers.aae_prior import side_of

N = 60
WHO = np.repeat([0, 1, 2], [30, 20, 10])
GROUPS = {"normal": WHO == 0, "other digits": WHO == 1, "the digit 2": WHO == 2}


def codes(seed, shrink):
    """Return Gaussian codes, those of the last group pulled towards the origin or away from it."""
    z = np.random.default_rng(seed).normal(size=(N, 2))
    z[WHO == 2] *= shrink
    return z


@pytest.fixture
def explorer():
    variants = {"hidden": [codes(0, 0.1), codes(1, 6.0)], "none": [codes(2, 1.0), codes(3, 6.0)]}
    return AAEPriorExplorer(variants, (1e-4, 1e-3), GROUPS)


def test_the_slider_moves_the_class_from_inside_to_outside(explorer):
    assert "game at 0.0001" in explorer.summary()
    assert "the digit 2 lies inside, where Berg" in explorer.summary()
    explorer.strength.value = 1
    assert "game at 0.001" in explorer.summary()
    assert "the digit 2 lies outside, where ITSR" in explorer.summary()
    assert html.escape(explorer.summary()) in explorer.text.value
    z = explorer.codes["hidden"][1]
    assert np.column_stack([explorer.plane.data[0].x, explorer.plane.data[0].y]) == pytest.approx(z[WHO == 0])
    explorer.variant.value = "none"
    assert explorer.plane.data[0].x == pytest.approx(explorer.codes["none"][1][WHO == 0, 0])
    assert not explorer.errors.outputs


def test_it_says_how_many_codes_are_beyond_its_edge(explorer):
    assert "beyond" not in explorer.summary()
    explorer.codes["hidden"][0][[3, 40, 55], [0, 1, 1]] = [-5.1, 7, 9]
    assert explorer.summary().endswith(" 5.0% of the codes lie beyond ±5, and are drawn at the edge.")


def test_the_number_is_the_auroc_of_the_norm_against_normal_images_alone(explorer):
    z = explorer.codes["none"][0]
    some = WHO != 1
    expected = roc_auc_score(WHO[some] == 2, np.linalg.norm(z[some], axis=1))
    assert explorer.auroc["none"][0] == pytest.approx(expected)


def test_histograms_hold_each_group_once(explorer):
    for trace, members in zip(explorer.distances.data, (30, 10), strict=True):
        assert sum(trace.y[::2]) == pytest.approx(1)
        assert np.allclose(np.asarray(trace.y) * members, np.round(np.asarray(trace.y) * members))


def test_sides():
    assert [side_of(value) for value in (0.61, 0.6, 0.4, 0.39)] == ["outside", "neither", "neither", "inside"]


def test_the_static_image_is_an_image_of_both_plots(explorer):
    assert explorer.to_image().width >= 2 * 2 * 400


def test_codes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match=r"AAEPriorExplorer: codes\['a'\] must hold 2 arrays of shape \(N, 2\)"):
        AAEPriorExplorer({"a": [codes(0, 1)]}, (1e-4, 1e-3), GROUPS)
