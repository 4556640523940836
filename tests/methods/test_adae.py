"""ADAE: losses and score by hand, its bound and its limit, and why the paper's weight of 1 teaches D nothing."""

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine.training import Networks
from advad.networks.losses import pixel_distance
from tests.cases import digits, make


class Scale(nn.Module):
    """x → factor · x."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return self.factor * x


def networks_by_hand():
    """Return G(x) = x / 2 and D(x) = 0.8 x; the codes are the images."""
    names = {"encoder": 1.0, "decoder": 0.5, "critic_encoder": 1.0, "critic_decoder": 0.8}
    return Networks(**{name: Scale(factor) for name, factor in names.items()})


X = torch.tensor([[[[0.2, 0.6]]], [[[1.0, 0.0]]]])  # mean 0.45


def test_losses_and_score_by_hand():
    """‖x − D(x)‖ = 0.2 x, ‖G(x) − D(G(x))‖ = 0.1 x, ‖x − G(x)‖ = 0.5 x, D(G(x)) = 0.4 x."""
    networks = networks_by_hand()
    for weight in (1.0, 0.5, 0.0):
        loss, terms = advad.ADAE(fake_weight=weight).discriminator_loss(networks, X)
        assert loss.item() == pytest.approx(0.45 * (0.2 - weight * 0.1), rel=1e-5)
        assert [terms[name].item() for name in ("D_real", "D_fake")] == pytest.approx([0.09, 0.045], rel=1e-5)
    loss, terms = advad.ADAE().generator_loss(networks, X)
    assert loss.item() == pytest.approx(0.45 * (0.5 + 0.1), rel=1e-5)
    assert terms["reconstruction"].item() == pytest.approx(0.225, rel=1e-5)
    scores = advad.ADAE().score_images(networks, X)
    assert scores.tolist() == pytest.approx([0.6 * np.hypot(0.2, 0.6), 0.6], rel=1e-5)
    assert torch.allclose(advad.ADAE().reconstruct_images(networks, X), 0.4 * X)


def test_the_generator_is_taught_through_d_and_d_not_through_g():
    networks = networks_by_hand()
    advad.ADAE().discriminator_loss(networks, X)[0].backward()
    assert networks.decoder.factor.grad is None
    assert networks.critic_decoder.factor.grad.item() == pytest.approx(0.45 * (-1 + 0.5 * 0.5), rel=1e-5)
    advad.ADAE().generator_loss(networks, X)[0].backward()
    assert networks.decoder.factor.grad.item() == pytest.approx(0.45 * (-1 + 0.2), rel=1e-5)  # |x̂ − D(x̂)| = 0.2 x̂


def test_the_discriminators_loss_is_bounded_because_pixels_are():
    """However far D's weights go, L_D ≥ −w: a sigmoid ends D and G."""
    adae, x = make("ADAE"), torch.rand(8, 1, 8, 8)
    networks = Networks(**adae.build((1, 8, 8)))
    for scale in (1.0, 1e3, -1e3):
        for p in networks.critic_decoder.parameters():
            p.data = torch.full_like(p, scale)
        loss, terms = adae.discriminator_loss(networks, x)
        assert -adae.fake_weight <= loss.item() <= 1
        assert all(0 <= term.item() <= 1 for term in terms.values())


def test_without_the_fake_term_the_discriminator_is_an_autoencoder():
    adae = make("ADAE", fake_weight=0)
    networks, x = Networks(**adae.build((1, 8, 8))), torch.rand(16, 1, 8, 8)
    weights = [*networks.critic_encoder.parameters(), *networks.critic_decoder.parameters()]
    limit = torch.autograd.grad(adae.discriminator_loss(networks, x)[0], weights)
    plain = torch.autograd.grad(pixel_distance(x, networks.critic_decoder(networks.critic_encoder(x))), weights)
    assert all(torch.allclose(one, other, atol=1e-7) for one, other in zip(limit, plain, strict=True))


def test_at_the_papers_weight_a_pixel_outside_has_no_slope():
    """x = 0 and G(x) = 0.5, both given back as d: L_D's slope is 0 for d > 0.5, and 2 between; 1 − w with w < 1."""

    class Constant(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.d = nn.Parameter(torch.tensor(d))

        def forward(self, x):
            return self.d.expand(x.shape)

    def slope(d, weight):
        networks = Networks(
            encoder=nn.Identity(), decoder=Constant(0.5), critic_encoder=nn.Identity(), critic_decoder=Constant(d)
        )
        loss, _ = advad.ADAE(fake_weight=weight).discriminator_loss(networks, torch.zeros(1, 1, 1, 1))
        return torch.autograd.grad(loss, networks.critic_decoder.d)[0].item()

    assert slope(0.8, 1.0) == 0
    assert slope(0.2, 1.0) == 2
    assert slope(0.8, 0.5) == 0.5
    assert slope(0.2, 0.5) == 1.5


def test_d_copies_normals_with_the_smaller_weight_and_not_with_the_papers():
    """Training images of digits: the error of D(x), against that of the best constant image; G copies either way."""
    x = digits().train
    pixels = x.float() / 255
    median = pixel_distance(pixels, pixels.median(0).values).item()
    errors = {}
    for weight in (0.5, 1.0):
        networks = (adae := make("ADAE", fake_weight=weight, epochs=20)).fit(x, progress=False).networks_
        errors[weight] = [pixel_distance(pixels, player(networks, pixels)).item() for player in (adae.D, adae.G)]
    print(f"error of D(x) and G(x) by weight: {errors}, of the median image {median:.3f}")
    assert errors[0.5][0] < 1.5 * median
    assert errors[1.0][0] > 2 * median
    assert errors[1.0][0] > 2 * errors[0.5][0]


def test_early_on_d_gives_back_normals_better_than_what_g_draws_of_anomalies():
    """What the score lives on: D(G(x)) is near x for unseen normals, and not for anomalies."""
    split = digits()
    adae = make("ADAE", epochs=15).fit(split.train, progress=False)
    error = np.abs(adae.reconstruct(split.test) - split.test.numpy() / 255).mean((1, 2, 3))
    anomalous = split.test_is_anomaly.numpy()
    print(f"mean |x − D(G(x))| of normals and anomalies: {error[~anomalous].mean():.3f}, {error[anomalous].mean():.3f}")
    assert error[anomalous].mean() > 1.3 * error[~anomalous].mean()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fake_weight": 1.5}, r"ADAE: fake_weight must be in \[0, 1\]; got 1.5. It is 1 in the paper"),
        ({"fake_weight": -1}, r"ADAE: fake_weight must be in \[0, 1\]; got -1"),
        ({"network": "unet"}, "ADAE: network must be one of 'dense', 'conv'; got 'unet'"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make("ADAE", **settings).fit(digits().train, progress=False)
