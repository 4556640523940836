"""VAE: divergence, likelihood and bound by hand, the bound below log p(x), and the two scores."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine.training import Networks
from tests.cases import SMALL, digits


def trained(**settings):
    return advad.VAE(**(SMALL | {"epochs": 3} | settings)).fit(digits(normal=8).train, progress=False)


def linear_gaussian(slope, deviation):
    """Return networks of one pixel, x = slope·z + N(0, deviation²), whose encoder is the exact posterior."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    decoder = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Unflatten(1, (1, 1, 1)))
    total = slope**2 + deviation**2  # variance of x
    with torch.no_grad():
        encoder[1].weight.copy_(torch.tensor([[slope / total], [0.0]]))
        encoder[1].bias.copy_(torch.tensor([0.0, math.log(deviation**2 / total)]))
        decoder[0].weight.fill_(slope)
    return Networks(encoder=encoder, decoder=decoder)


def test_divergence_is_that_of_two_gaussians():
    mu, log_variance = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    q = torch.distributions.Normal(mu, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(advad.VAE().divergence(mu, log_variance), expected, atol=1e-6)
    by_hand = -0.5 * (1 + math.log(4) - 9 - 4)  # μ = 3, σ = 2
    assert advad.VAE().divergence(torch.tensor([[3.0]]), torch.tensor([[math.log(4)]])).item() == pytest.approx(by_hand)


def test_reparametrised_draw_by_hand():
    z = advad.VAE().reparametrised(torch.tensor([[1.0]]), torch.tensor([[math.log(4)]]), torch.tensor([[-0.5]]))
    assert z.item() == pytest.approx(1 - 2 * 0.5)


def test_likelihoods_by_hand():
    x, z = torch.tensor([[[[0.25, 1.0]]]]), torch.tensor([[0.2, 0.9]])
    networks = Networks(decoder=nn.Unflatten(1, (1, 1, 2)))  # the decoder's pixels are z
    bernoulli = 0.25 * math.log(0.2) + 0.75 * math.log(0.8) + math.log(0.9)
    binary = advad.VAE(likelihood="bernoulli")
    assert binary.log_likelihood(networks, x, z).item() == pytest.approx(bernoulli)
    gaussian = sum(-0.5 * (d / 0.5) ** 2 - math.log(0.5 * math.sqrt(2 * math.pi)) for d in (0.05, 0.1))
    detector = advad.VAE(likelihood="gaussian", deviation=0.5)
    assert detector.log_likelihood(networks, x, z).item() == pytest.approx(gaussian)
    certain = binary.log_likelihood(networks, x, torch.tensor([[0.0, 0.0]]))  # wrong and sure of it
    assert certain.item() == pytest.approx(1.25 * math.log(1e-6), rel=1e-3)


def test_by_default_a_perfectly_drawn_image_does_not_pay_for_being_grey():
    black, grey = torch.zeros(1, 1, 1, 2), torch.full((1, 1, 1, 2), 0.5)
    networks = Networks(decoder=nn.Unflatten(1, (1, 1, 2)))  # draws its code, here the image itself

    def both(detector):
        return [detector.log_likelihood(networks, x, x.flatten(1)).item() for x in (black, grey)]

    assert both(advad.VAE())[0] == both(advad.VAE())[1]
    at_best = both(advad.VAE(likelihood="bernoulli"))
    assert at_best == pytest.approx([0, -2 * math.log(2)], abs=1e-5)  # −H(x), which has nothing to do with the model


def test_the_bound_is_log_p_at_the_exact_posterior_and_below_it_elsewhere():
    """One pixel, x ~ N(0, slope² + deviation²). ε = ±1 has a normal's first two moments, all that a square needs."""
    detector = advad.VAE(likelihood="gaussian", deviation=0.3, latent_dim=1)
    networks, x = linear_gaussian(0.8, 0.3), torch.tensor([0.1, 0.5, 0.9]).reshape(3, 1, 1, 1)
    epsilon = torch.tensor([1.0, -1.0]).reshape(2, 1, 1)
    log_p = torch.distributions.Normal(0.0, math.sqrt(0.8**2 + 0.3**2)).log_prob(x.flatten())
    assert torch.allclose(sum(detector.lower_bound(networks, x, epsilon)), log_p, atol=1e-5)
    loss, terms = detector.loss(networks, x, epsilon)
    assert loss.item() == pytest.approx(-log_p.mean().item(), abs=1e-5)
    assert loss.item() == pytest.approx(terms["divergence"].item() - terms["log_likelihood"].item(), abs=1e-6)
    with torch.no_grad():
        networks.encoder[1].bias += torch.tensor([0.2, 0.7])  # another q
    assert (sum(detector.lower_bound(networks, x, epsilon)) < log_p - 0.01).all()


def test_a_step_draws_one_epsilon_an_image():
    class Recorder:
        generator = torch.Generator().manual_seed(0)
        calls: list = []  # noqa: RUF012

        def __call__(self, player, loss, *tensors):
            self.calls.append((player, loss.__name__, *tensors))

    recorder, x = Recorder(), torch.rand(300, 1, 8, 8)
    advad.VAE().step(recorder, x)
    ((player, loss, images, epsilon),) = recorder.calls
    assert (player, loss) == ("autoencoder", "loss")
    assert images is x
    assert epsilon.shape == (1, 300, 20)
    assert epsilon.std() == pytest.approx(1, abs=0.03)


def test_both_scores_by_numpy():
    detector, x = trained(draws=3, likelihood="bernoulli"), digits(normal=8).test[:10]
    pixels = x.numpy() / np.float32(255)
    mu, log_variance = (t.numpy() for t in detector.posterior(detector.networks_, torch.from_numpy(pixels)))
    assert np.allclose(detector.encode(x), mu, atol=1e-5)
    noises = torch.randn(3, 1, detector.latent_dim, generator=torch.Generator().manual_seed(0)).numpy()
    each = []
    for noise in noises:
        y = detector.decode(mu + np.exp(log_variance / 2) * noise)
        each.append((pixels * np.log(y) + (1 - pixels) * np.log(1 - y)).sum((1, 2, 3)))
    divergence = -0.5 * (1 + log_variance - mu**2 - np.exp(log_variance)).sum(1)
    assert np.allclose(detector.anomaly_score(x), divergence - np.mean(each, 0), rtol=1e-4)
    assert np.allclose(detector.set_params(score="probability").anomaly_score(x), -np.mean(each, 0), rtol=1e-4)


def test_training_raises_the_bound_and_the_prior_holds_the_codes():
    history = trained(epochs=60, likelihood="bernoulli").history_
    assert history["autoencoder_loss"][-1] < 0.8 * history["autoencoder_loss"][0]
    free = trained(epochs=60, likelihood="gaussian", deviation=0.02)  # so sure of its pixels that the prior is cheap
    held = trained(epochs=60, likelihood="gaussian", deviation=1.0)
    x = digits(normal=8).holdout
    assert held.encode(x).std() < 0.5 * free.encode(x).std()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "sigmoid"}, "VAE: activation must be one of 'relu', 'leaky_relu'; got 'sigmoid'"),
        ({"likelihood": "poisson"}, "VAE: likelihood must be one of 'bernoulli', 'gaussian'; got 'poisson'"),
        ({"deviation": 0}, "VAE: deviation must be above 0; got 0. It is in pixel units"),
        ({"score": "mse"}, "VAE: score must be one of 'elbo', 'probability'; got 'mse'"),
        ({"draws": 0}, "VAE: draws must be at least 1; got 0"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises(ValueError, match=message):
        trained(**settings)
