"""LSA: masks and the autoregressive property, both terms and their scaling by hand, what reaches whose weights."""

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine.training import Networks
from advad.methods.lsa import BINS, MaskedLinear, estimator
from tests.cases import SMALL, digits

RNG = torch.Generator()


def trained(**settings):
    return advad.LSA(**(SMALL | {"epochs": 2} | settings)).fit(digits().train, progress=False)


def test_masks_by_hand():
    first, later = MaskedLinear(3, 1, 2, own=False), MaskedLinear(2, 2, 1, own=True)
    assert first.mask.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0]]
    assert later.mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    x = torch.rand(4, 4, generator=RNG.manual_seed(0))
    expected = x.numpy() @ (later.weight * later.mask).detach().numpy().T + later.bias.detach().numpy()
    assert np.allclose(later(x).detach(), expected, atol=1e-6)


@pytest.mark.parametrize("widths", [(4,), (3, 5), (4, 4, 4, 4)])
def test_a_unit_is_guessed_from_those_before_it_alone_and_from_all_of_them(widths):
    h, d = estimator(5, widths).double(), 5
    z = torch.rand(1, d, generator=RNG.manual_seed(0), dtype=torch.float64)
    slopes = torch.autograd.functional.jacobian(lambda z: h(z)[0], z)[:, :, 0]  # (unit, bin, code)
    reach = slopes.abs().amax(1)
    assert torch.equal(reach > 0, torch.ones(d, d, dtype=torch.bool).tril(-1))


def test_probabilities_sum_to_one():
    """Over all 100² codes at the centres of bins, the p(z) of two units add up to 1."""
    networks = Networks(estimator=estimator(2, (4, 4)))
    centres = (torch.arange(BINS) + 0.5) / BINS
    z = torch.cartesian_prod(centres, centres)
    for density in ("interpolated", "histogram"):
        p = (-advad.LSA(density=density).surprise(networks, z, z)).exp()
        assert p.sum().item() == pytest.approx(1, abs=1e-4)
        assert p.std() > 0


class Logits(nn.Module):
    """An estimator whose histograms are fixed, (d, BINS)."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, z):
        return self.logits.expand(len(z), *self.logits.shape)


def test_terms_and_score_by_hand():
    logits = torch.randn(2, BINS, generator=RNG.manual_seed(1))
    networks = Networks(encoder=nn.Flatten(), decoder=nn.Unflatten(1, (1, 1, 2)), estimator=Logits(logits))
    log_p = logits.numpy() - np.log(np.exp(logits.numpy()).sum(1, keepdims=True))
    z = torch.tensor([[0.005, 0.995], [0.31, 0.5075], [0.0, 1.0]])  # centres; an edge, a quarter past a centre; ends
    surprise = [
        -(log_p[0, 0] + log_p[1, 99]),
        -((log_p[0, 30] + log_p[0, 31]) / 2 + 0.75 * log_p[1, 50] + 0.25 * log_p[1, 51]),
        -(log_p[0, 0] + log_p[1, 99]),
    ]
    detector = advad.LSA(surprise_weight=0.5)
    assert detector.surprise(networks, z, z).tolist() == pytest.approx(surprise, rel=1e-4)
    in_bins = [-(log_p[0, 0] + log_p[1, 99]), -(log_p[0, 31] + log_p[1, 50]), -(log_p[0, 0] + log_p[1, 99])]
    z[1, 0] = 0.311  # away from the edge, where rounding would decide
    assert advad.LSA(density="histogram").surprise(networks, z, z).tolist() == pytest.approx(in_bins, rel=1e-4)
    z[1, 0] = 0.31
    x = torch.tensor([[[[0.2, 0.4]]]])
    assert detector.reconstruction(networks, x, z[1:2]).item() == pytest.approx(0.11**2 + 0.1075**2, rel=1e-4)
    loss, terms = detector.loss(networks, x)
    assert loss.item() == pytest.approx((terms["reconstruction"] + 0.5 * terms["surprise"]).item())
    assert terms["reconstruction"].item() == 0
    detector.buffers_ = {"low": torch.tensor([-1.0, 2.0]), "high": torch.tensor([3.0, 7.0])}
    nll = detector.surprise(networks, x.flatten(1), x.flatten(1)).item()
    for detector.score, expected in (("novelty", 1 / 4 + (nll - 2) / 5), ("reconstruction", 0), ("surprise", nll)):
        assert detector.score_images(networks, x).item() == pytest.approx(expected, rel=1e-5)


def test_the_scale_is_the_training_images():
    """Each term of a training image lies in [0, 1] once it is scaled, and both ends occur."""
    detector, x = trained(), digits().train
    assert detector.anomaly_score(x).min() >= 0
    assert detector.anomaly_score(x).max() <= 2
    for position, detector.score in enumerate(["reconstruction", "surprise"]):
        scores = detector.anomaly_score(x)
        assert scores.min() == pytest.approx(detector.buffers_["low"][position].item(), rel=1e-4)
        assert scores.max() == pytest.approx(detector.buffers_["high"][position].item(), rel=1e-4)


def test_codes_lie_between_0_and_1():
    for settings in ({}, {"network": "conv", "conv_width": 8}):
        codes = trained(**settings).encode(digits().test)
        assert codes.min() > 0
        assert codes.max() < 1


def test_the_surprise_reaches_the_encoder_through_what_it_predicts_from():
    detector = trained()
    networks = detector.networks_.requires_grad_(True)
    z = networks.encoder(digits().train[:8].float() / 255)
    (slope,) = torch.autograd.grad(detector.surprise(networks, z, z.detach()).sum(), z)
    assert (slope[:, :-1].abs().amax(0) > 0).all()
    assert not slope[:, -1].any()  # nothing is predicted from the last, and a target is not differentiated
    (slope,) = torch.autograd.grad(detector.surprise(networks, z, z).sum(), z)  # but in the score it is
    assert slope[:, -1].any()


def test_the_terms_of_the_score():
    detector, x = trained(), digits().test[:20]
    terms = detector.score_terms(x)
    assert list(terms) == ["reconstruction", "surprise"]
    for detector.score in terms:
        assert np.allclose(terms[detector.score], detector.anomaly_score(x))


def test_the_estimator_learns_to_be_less_surprised(figure):
    history = trained(epochs=30).history_["surprise"]
    uniform = SMALL["latent_dim"] * np.log(BINS)
    figure(f"LSA on digits 0: −log p(z) {history[0]:.1f} → {history[-1]:.1f} nats; uniform codes have {uniform:.1f}")
    assert history[-1] < 0.9 * uniform


def test_without_its_weight_the_estimator_stands_still():
    first = advad.LSA(**SMALL | {"epochs": 0}).fit(digits().train, progress=False).networks_.estimator
    still = trained(surprise_weight=0.0).networks_.estimator
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), still.parameters(), strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"surprise_weight": -1}, "LSA: surprise_weight must be at least 0; got -1. It is λ"),
        ({"score": "nll"}, "LSA: score must be one of 'novelty', 'reconstruction', 'surprise'; got 'nll'"),
        ({"density": "kde"}, "LSA: density must be one of 'interpolated', 'histogram'; got 'kde'"),
        ({"activation": "sigmoid"}, "LSA: activation must be one of 'relu', 'leaky_relu'; got 'sigmoid'"),
        (
            {"estimator_widths": 8},
            r"LSA: estimator_widths must be a tuple of whole numbers; got 8. For example \(8, 8\)",
        ),
        ({"estimator_widths": (8, 0)}, "LSA: each of estimator_widths must be at least 1; got 0"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trained(**settings)
