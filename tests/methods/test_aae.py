"""AAE: priors against scipy, each loss by hand, the either-or decision, and codes that follow the prior."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.spatial.distance import cdist
from torch import nn

import advad
from advad.engine.training import Networks
from advad.networks.priors import PRIORS, draw_prior, log_prior, mixture_means
from tests.cases import GAME, SMALL, digits
from tests.methods.test_autoencoder import linear_networks


def networks_by_hand():
    """Return encoder and decoder of `linear_networks`, and the critic D(z) = sigmoid(2z)."""
    critic = nn.Linear(1, 1, bias=False)
    nn.init.constant_(critic.weight, 2.0)
    linear = linear_networks()
    return Networks(encoder=linear.encoder, decoder=linear.decoder, critic=critic)


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z)))


def test_losses_by_hand():
    x = torch.tensor([[[[0.2, 0.6]]], [[[1.0, 0.0]]]])  # codes 0.8 and 1.0; errors 0.2 and 0.125
    z, p, w = torch.tensor([[0.8], [1.0]]), torch.tensor([[0.1], [-0.4]]), torch.tensor([3.0, 1.0])
    networks, aae = networks_by_hand(), advad.AAE()
    assert aae.reconstruction_loss(networks, x, w)[0].item() == pytest.approx((3 * 0.2 + 0.125) / 2)
    prior, codes = -np.log(sigmoid([0.2, -0.8])), -np.log(1 - sigmoid([1.6, 2.0]))
    critic = prior.mean() + (3 * codes[0] + codes[1]) / 4
    assert aae.critic_loss(networks, z, p, w)[0].item() == pytest.approx(critic, rel=1e-5)
    encoder = -np.log(sigmoid([1.6, 2.0]))
    assert aae.encoder_loss(networks, x, w)[0].item() == pytest.approx((3 * encoder[0] + encoder[1]) / 2, rel=1e-5)


def test_scores_by_hand():
    x = torch.tensor([[[[0.2, 0.6]]]])
    assert advad.AAE().score_images(networks_by_hand(), x).item() == pytest.approx(0.2)
    surprise = advad.AAE(score="likelihood").score_images(networks_by_hand(), x).item()
    assert surprise == pytest.approx(-stats.norm.logpdf(0.8), rel=1e-6)


def test_densities_of_the_priors():
    z = torch.tensor([[0.3, -1.2], [2.0, 0.1], [0.0, 4.0]], dtype=torch.float64)
    gaussian = stats.multivariate_normal(np.zeros(2)).logpdf(z)
    assert np.allclose(log_prior("gaussian", z), gaussian)
    means = [(2 * math.cos(angle), 2 * math.sin(angle)) for angle in (0, math.tau / 3, 2 * math.tau / 3)]
    assert np.allclose(mixture_means(2, 3), means, atol=1e-6)
    mixture = np.mean([stats.multivariate_normal(mean, 0.25).pdf(z) for mean in means], axis=0)
    assert np.allclose(log_prior("mixture", z, components=3), np.log(mixture), rtol=1e-5)
    assert log_prior("uniform", torch.zeros(1, 2)).item() == pytest.approx(-2 * math.log(2 * math.sqrt(3)))


@pytest.mark.parametrize("prior", PRIORS)
def test_a_density_has_mass_one_and_its_draws_follow_it(prior):
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = log_prior(prior, grid[:, None]).exp().numpy()
    distribution = integrate.cumulative_trapezoid(density, grid, initial=0)
    assert distribution[-1] == pytest.approx(1, abs=1e-4)
    draws = draw_prior(prior, 4000, 1, torch.Generator().manual_seed(0))[:, 0].numpy()
    assert stats.kstest(draws, lambda v: np.interp(v, grid, distribution)).pvalue > 0.01
    far = torch.full((1, 2), 50.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(log_prior(prior, far).sum(), far)
    assert torch.isfinite(gradient).all()  # also where the density is 0 in float32
    assert (gradient < 0).all()


@pytest.mark.parametrize(("where", "norms"), [("none", 0), ("hidden", 2), ("all", 3)])
def test_batch_normalisation_stands_where_it_is_asked_for(where, norms):
    settings = {"batch_norm": where, "widths": (8, 8)}
    encoder = advad.AAE(**settings).build((1, 8, 8))["encoder"]
    assert sum(isinstance(module, nn.BatchNorm1d) for module in encoder.modules()) == norms
    last = list(encoder.modules())[-1]
    assert isinstance(last, nn.BatchNorm1d if where == "all" else nn.Linear)


def test_each_player_has_its_own_learning_rate():
    aae, weight = advad.AAE(learning_rate=0.1, game_learning_rate=0.01), nn.Parameter(torch.zeros(1))
    rates = {player: aae.optimiser(player, [weight]).param_groups[0]["lr"] for player in aae.optimised}
    assert rates == {"autoencoder": 0.1, "critic": 0.01, "encoder": 0.01}


def test_either_or_is_either_or():
    detector = advad.AAE(**(GAME | {"epochs": 5})).fit(digits().train, progress=False)
    x, train = digits().test[:200], digits().train
    T_rec, T_prior = detector.thresholds(train, 0.1)
    assert (detector.reconstruction_error(train) > T_rec).mean() == pytest.approx(0.1, abs=1 / len(train))
    assert (detector.log_likelihood(train) < T_prior).mean() == pytest.approx(0.1, abs=1 / len(train))
    by_hand = (detector.reconstruction_error(x) > T_rec) | (detector.log_likelihood(x) < T_prior)
    assert np.array_equal(detector.either_or(x, T_rec, T_prior), by_hand)
    assert 0.1 - 1 / len(train) <= detector.either_or(train, T_rec, T_prior).mean() <= 0.2 + 2 / len(train)
    assert np.array_equal(detector.anomaly_score(x), detector.reconstruction_error(x))
    detector.set_params(score="likelihood")
    assert np.array_equal(detector.anomaly_score(x), -detector.log_likelihood(x))


def energy_distance(a, b):
    """Return 2 E|a − b| − E|a − a'| − E|b − b'| of two samples; 0 in the limit if and only if they agree in law."""
    return 2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean()


def null_distances(a, b, n=99):
    """Return the energy distances of n random relabellings of both samples: what chance alone gives."""
    rng, both = np.random.default_rng(0), np.concatenate([a, b])
    orders = (rng.permutation(len(both)) for _ in range(n))
    return np.array([energy_distance(both[order[: len(a)]], both[order[len(a) :]]) for order in orders])


def test_codes_follow_the_prior():
    """A two-sample test, 300 codes against 300 fresh draws: p 0.25, 0.01, 0.15 for seeds 0, 1, 2.

    So the bound is one and a half times what chance gives at most; an AE's codes are a hundred times it away.
    """
    x, generator = advad.load("digits").images, torch.Generator().manual_seed(5)
    draws = {prior: draw_prior(prior, 300, 2, generator).numpy() for prior in ("gaussian", "mixture")}
    small = SMALL | {"latent_dim": 2, "batch_size": 128, "epochs": 40, "learning_rate": 1e-3}
    codes = {
        prior: advad.AAE(**(small | {"critic_widths": (32,), "batch_norm": "all", "prior": prior}))
        .fit(x, progress=False)
        .encode(x[:300])
        for prior in draws
    }
    plain = advad.AE(**small).fit(x, progress=False).encode(x[:300])
    near, far = energy_distance(codes["gaussian"], draws["gaussian"]), energy_distance(plain, draws["gaussian"])
    null = null_distances(codes["gaussian"], draws["gaussian"])
    print(f"energy distance: AAE {near:.3f} (p {(null >= near).mean():.2f}), AE {far:.2f}, chance {null.max():.3f}")
    assert near < 1.5 * null.max()
    assert far > 20 * null_distances(plain, draws["gaussian"]).max()
    for own, other in [("gaussian", "mixture"), ("mixture", "gaussian")]:  # and it is the prior that was asked for
        assert energy_distance(codes[own], draws[own]) < energy_distance(codes[own], draws[other]) / 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("prior", "laplace", "prior must be one of 'gaussian', 'uniform', 'mixture'; got 'laplace'"),
        ("score", "both", "score must be one of 'reconstruction', 'likelihood'; got 'both'"),
        ("batch_norm", True, "batch_norm must be one of 'hidden', 'all', 'none'; got True"),
        ("activation", "sigmoid", "activation must be one of 'relu', 'leaky_relu'; got 'sigmoid'"),
        ("components", 0, "components must be at least 1; got 0"),
        ("game_learning_rate", 0, "game_learning_rate must be above 0; got 0"),
        ("critic_widths", 64, r"critic_widths must be a tuple of whole numbers; got 64. For example \(256, 256\)"),
        ("critic_widths", (0,), "each of critic_widths must be at least 1; got 0"),
        ("batch_size", 1, "X must give each batch 2 images or more; got 113. Batch normalisation needs 2 at least"),
    ],
)
def test_bad_parameters(name, value, message):
    with pytest.raises((ValueError, TypeError), match=f"^AAE: {message}"):
        advad.AAE(**(GAME | {name: value})).fit(digits().train, progress=False)


def test_one_image_a_batch_without_batch_normalisation():
    detector = advad.AAE(**(GAME | {"epochs": 1, "batch_size": 1, "batch_norm": "none"}))
    assert np.isfinite(detector.fit(digits().train[:5], progress=False).anomaly_score(digits().test)).all()
