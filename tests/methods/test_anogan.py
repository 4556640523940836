"""AnoGAN: the game and the search's loss by hand, a search that finds what it should, and its gradient."""

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine.training import Networks
from advad.methods.anogan import normalised
from advad.networks.autoencoders import conv_decoder
from tests.cases import GAN, digits
from tests.methods.test_berg import linear_critic

QUICK = GAN | {"epochs": 2, "search_steps": 10}


def trained(**settings):
    return advad.AnoGAN(**(QUICK | settings)).fit(digits().train, progress=False)


def networks_by_hand():
    """Return G(z) = z as two pixels, and a discriminator with logit 3x₁ + 4x₂ + 0.5, whose features are x itself."""
    return Networks(generator=nn.Unflatten(1, (1, 1, 2)), discriminator=linear_critic(3.0, 4.0))


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def test_game_by_hand():
    x, z, networks = torch.tensor([[[[0.2, 0.1]]]]), torch.tensor([[0.0, -0.5]]), networks_by_hand()
    loss, terms = advad.AnoGAN().discriminator_loss(networks, x, z)
    assert loss.item() == pytest.approx(-np.log(sigmoid(1.5)) - np.log(1 - sigmoid(-1.5)), rel=1e-5)
    assert terms["D_real"].item() == pytest.approx(sigmoid(1.5))
    assert terms["D_fake"].item() == pytest.approx(sigmoid(-1.5))
    assert advad.AnoGAN().generator_loss(networks, z)[0].item() == pytest.approx(-np.log(sigmoid(-1.5)), rel=1e-5)


def test_the_searchs_loss_by_hand():
    anogan, networks = advad.AnoGAN(feature_weight=0.25), networks_by_hand()
    x, z = torch.tensor([[[[0.2, 0.1]]]]), torch.tensor([[0.0, -0.5]])
    assert anogan.residual(x, networks.generator(z)).item() == pytest.approx((0.2 + 0.6) / 2)  # Eq. 2
    networks.discriminator.insert(1, nn.Linear(2, 1, bias=False))
    networks.discriminator[1].weight.data.copy_(torch.tensor([[1.0, 10.0]]))
    assert anogan.discrimination(networks, x, networks.generator(z)).item() == pytest.approx(1.2 + 5.0)  # Eq. 4
    assert anogan.loss_of(networks, x, z).item() == pytest.approx(0.75 * 0.4 + 0.25 * 6.2)  # Eq. 5


def test_the_search_finds_the_code_of_an_image_that_can_be_drawn():
    """With G(z) = z, the code of any image is the image itself, and the score 0; where G is a line, its distance."""
    anogan, networks = advad.AnoGAN(latent_dim=2, search_steps=300, search_rate=0.2), networks_by_hand()
    x = torch.tensor([[[[0.2, 0.9]]], [[[0.7, 0.3]]]])
    assert torch.allclose(anogan.search(networks, x), x.flatten(1), atol=0.01)
    assert anogan.score_images(networks, x).max() < 0.01
    networks.generator = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Unflatten(1, (1, 1, 2)))
    networks.generator[0].weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))  # G(z) = (z₁, 0)
    assert anogan.score_images(networks, x).tolist() == pytest.approx([0.45, 0.15], abs=0.01)


def test_each_image_starts_at_the_same_place_and_is_searched_for_alone():
    detector, x = trained(search_steps=0), digits().test[:6]
    codes = detector.encode(x)
    assert (codes == codes[0]).all()
    assert np.array_equal(codes[0], detector.start().numpy())
    assert not torch.equal(advad.AnoGAN(seed=1).start(), advad.AnoGAN(seed=0).start())
    detector.set_params(search_steps=40)
    assert np.allclose(detector.encode(x)[2:3], detector.encode(x[2:3]), atol=1e-4)


def test_a_longer_search_comes_closer():
    detector, x = trained(epochs=10), digits().test[:60]
    scores = [detector.set_params(search_steps=steps).anomaly_score(x).mean() for steps in (0, 5, 20, 80)]
    assert scores == sorted(scores, reverse=True)


def test_the_gradient_holds_the_code_fixed():
    """At rest, it is the gradient of the whole search, as finite differences over new searches show."""
    detector = trained(epochs=20, search_steps=400, feature_weight=0.5)
    x = (digits().test[:1].double() / 255).float().requires_grad_()
    (gradient,) = torch.autograd.grad(detector.score_tensor(x).sum(), x)
    direction = gradient.sign()
    step = 1e-2
    ends = [detector.score_tensor((x + s * step * direction).detach()).item() for s in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(gradient.abs().sum().item(), rel=0.25)


def test_scoring_leaves_no_gradients_behind():
    detector = trained()
    with torch.no_grad():
        scores = detector.score_tensor(digits().test[:3].float() / 255)
    assert not scores.requires_grad
    assert all(p.grad is None or not p.requires_grad for p in detector.networks_.parameters())


def test_batch_normalisation_stands_before_each_activation_of_the_generator():
    layers = list(normalised(conv_decoder((1, 28, 28), 5, 4, last="sigmoid")))
    for before, layer in zip(layers[:-1], layers[1:], strict=True):
        assert isinstance(layer, nn.LeakyReLU) == isinstance(before, nn.BatchNorm2d)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in layers) == 2
    assert nn.Sequential(*layers)(torch.randn(2, 5)).shape == (2, 1, 28, 28)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "AnoGAN: width must be at least 1; got 0"),
        ({"search_steps": -1}, "AnoGAN: search_steps must be at least 0; got -1"),
        ({"search_rate": 0}, "AnoGAN: search_rate must be above 0; got 0"),
        ({"feature_weight": 2}, r"AnoGAN: feature_weight must be in \[0, 1\]; got 2. It is λ; 0.1 in the paper"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trained(**settings)
