"""Deep SAD: the objective by hand, Deep SVDD as its limit without labels, and what labels do."""

import numpy as np
import pytest
import torch

import advad
from advad.analysis.metrics import auroc
from tests.cases import SPHERE, digits
from tests.methods.test_deep_svdd import C, X, flat


def test_objective_by_hand():
    """Eq. 7: unlabelled images pay their squared distance (0.25 and 1), anomalies η times its inverse (4)."""
    loss, terms = advad.DeepSAD(eta=3.0).loss(flat(), X[:2], X[2:], C)
    assert loss.item() == pytest.approx((0.25 + 1 + 3 / 4) / 3)
    assert terms["distance"].item() == pytest.approx(1.25 / 2)
    assert terms["anomaly_distance"].item() == pytest.approx(4)
    at_the_centre = advad.DeepSAD().loss(flat(), X[:2], C.reshape(1, 1, 1, 2), C)[0]
    assert at_the_centre.item() == pytest.approx((1.25 + 1e6) / 3)  # ε keeps it finite
    assert advad.DeepSAD().loss(flat(), X, X[:0], C)[0].item() == pytest.approx(5.25 / 3)  # Eq. 4 of Deep SVDD


def test_without_labels_it_is_deep_svdd():
    x, settings = digits(normal=8), SPHERE | {"epochs": 3}
    svdd = advad.DeepSVDD(**settings).fit(x.train, progress=False)
    for labels in (None, np.zeros(len(x.train))):
        sad = advad.DeepSAD(**settings).fit(x.train, labels, progress=False)
        assert np.array_equal(sad.anomaly_score(x.test), svdd.anomaly_score(x.test))


def test_a_step_draws_the_batchs_share_of_the_anomalies():
    seen = []

    class Watched(advad.DeepSAD):
        def loss(self, networks, x, anomalies, c):
            seen.append((len(x), anomalies))
            return super().loss(networks, x, anomalies, c)

    x = torch.cat([torch.zeros(60, 1, 8, 8), torch.ones(21, 1, 8, 8)])
    x[:, 0, 0, 0] = torch.linspace(0.1, 0.9, 81)
    labels = [0] * 60 + [1] * 21
    Watched(**SPHERE | {"epochs": 1, "batch_size": 20}).fit(x, labels, progress=False)
    assert [(n, len(anomalies)) for n, anomalies in seen] == [(20, 7)] * 3  # 21 anomalies over three batches
    assert all((anomalies[:, 0, 1, 1] == 1).all() for _, anomalies in seen)
    seen.clear()
    Watched(**SPHERE | {"epochs": 1, "batch_size": 20}).fit(x[:61], labels[:61], progress=False)
    assert [len(anomalies) for _, anomalies in seen] == [1, 1, 1]  # one at least


def test_labelled_anomalies_are_pushed_out():
    """Eights are normal; with a few threes labelled, threes that were never seen lie further out."""
    split = digits(normal=8)
    threes = split.test[split.test_labels == 3]
    x = torch.cat([split.train, threes[:30]])
    y = np.r_[np.zeros(len(split.train)), np.ones(30)]
    settings = SPHERE | {"epochs": 30}
    blind = advad.DeepSAD(**settings).fit(split.train, progress=False)
    taught = advad.DeepSAD(**settings).fit(x, y, progress=False)
    rest = torch.cat([threes[30:], split.holdout, split.test[split.test_labels == 8]])
    truth = np.r_[np.ones(len(threes) - 30), np.zeros(len(rest) - len(threes) + 30)]
    assert auroc(truth, taught.anomaly_score(rest)) > auroc(truth, blind.anomaly_score(rest)) + 0.01
    history = taught.history_
    assert history["anomaly_distance"][-1] > 10 * history["distance"][-1]


@pytest.mark.parametrize(
    ("settings", "labels", "message"),
    [
        ({"eta": -1}, None, "DeepSAD: eta must be at least 0; got -1. 1 weighs labelled anomalies like other images"),
        ({}, "ones", r"DeepSAD: y must leave some images unlabelled \(0\)"),
        ({}, "short", r"DeepSAD: y must have shape \(\d+,\), one label an image"),
    ],
)
def test_bad_parameters_and_labels(settings, labels, message):
    x = digits(normal=8).train
    y = {"ones": np.ones(len(x)), "short": np.zeros(3), None: None}[labels]
    with pytest.raises(ValueError, match=message):
        advad.DeepSAD(**SPHERE | settings).fit(x, y, progress=False)
