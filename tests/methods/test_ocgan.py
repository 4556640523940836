"""OCGAN: each player's loss by hand, mining by hand, and what the constraints do to codes and drawings."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import advad
from advad.engine.training import Networks
from tests.cases import CASES, digits

SETTINGS = CASES["OCGAN"][1]
RNG = torch.Generator()


def trained(**settings):
    return advad.OCGAN(**(SETTINGS | {"epochs": 3} | settings)).fit(digits().train, progress=False)


class Verdict(nn.Module):
    """A discriminator whose logit is a linear function of its input's elements."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, x):
        return x.flatten(1) @ self.slope, x.flatten(1)


class Latent(Verdict):
    def forward(self, x):
        return super().forward(x)[0][:, None]


def by_hand():
    """Networks of two pixels and two codes: En gives the pixels back, De doubles them."""

    class Double(nn.Module):
        def forward(self, z):
            return 2 * z.view(-1, 1, 1, 2)

    return Networks(
        encoder=nn.Flatten(),
        decoder=Double(),
        latent=Latent([1.0, -2.0]),
        visual=Verdict([0.5, 1.0]),
        classifier=Verdict([3.0, -1.0]),
    )


X = torch.tensor([[0.2, 0.1], [0.4, 0.3]]).view(2, 1, 1, 2)
S = torch.tensor([[0.5, -0.5], [-0.2, 0.6]])


def minus_log(logits, real):
    """Return the mean of −log D or −log(1 − D), D the logits' sigmoid, by NumPy."""
    probability = 1 / (1 + np.exp(-logits.numpy().astype(float)))
    return -np.log(probability if real else 1 - probability).mean()


def test_losses_by_hand():
    detector, networks = advad.OCGAN(reconstruction_weight=100.0, latent_weight=3.0, visual_weight=0.5), by_hand()
    z, drawn = X.flatten(1), 2 * S
    latent, visual, classifier = (torch.tensor(s) for s in ([1.0, -2.0], [0.5, 1.0], [3.0, -1.0]))
    expected = (minus_log(S @ latent, True) + minus_log(z @ latent, False)) / 2
    assert detector.latent_loss(networks, z, S)[0].item() == pytest.approx(expected, rel=1e-5)
    expected = (minus_log(z @ visual, True) + minus_log(drawn @ visual, False)) / 2
    assert detector.visual_loss(networks, X, drawn.view_as(X))[0].item() == pytest.approx(expected, rel=1e-5)
    expected = (minus_log(2 * z @ classifier, True) + minus_log(drawn @ classifier, False)) / 2
    assert detector.classifier_loss(networks, 2 * X, drawn.view_as(X))[0].item() == pytest.approx(expected, rel=1e-5)
    noisy = X + 0.05
    mse = (X - 2 * noisy).square().mean().item()
    expected = 100 * mse + 3 * minus_log(noisy.flatten(1) @ latent, True) + 0.5 * minus_log(drawn @ visual, True)
    loss, terms = detector.autoencoder_loss(networks, X, noisy, S)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert terms["mse"].item() == pytest.approx(mse, rel=1e-5)


def test_informative_negatives_by_hand():
    """−log C(De(s)) has the gradient −(1 − C) · 2 · slope: one step of η, each code by its own, then the cube."""
    detector, networks = advad.OCGAN(mining_rate=0.3), by_hand()
    slope = torch.tensor([3.0, -1.0])
    c = torch.sigmoid(2 * S @ slope)
    expected = (S - 0.3 * (1 - c)[:, None] * 2 * slope).clamp(-1, 1)
    assert torch.allclose(detector.informative(networks, S), expected, atol=1e-6)
    assert torch.allclose(detector.informative(networks, S[1:]), expected[1:], atol=1e-6)
    assert torch.equal(advad.OCGAN(mining_steps=0).informative(networks, S), S)


def test_informative_negatives_look_less_like_the_class_and_stay_in_the_cube():
    detector = trained(mining_steps=5)
    networks, s = detector.networks_, 2 * torch.rand(64, 8, generator=RNG.manual_seed(0)) - 1
    moved = detector.informative(networks, s)
    before, after = (networks.classifier(networks.decoder(each))[0] for each in (s, moved))
    assert (after < before).float().mean() > 0.9
    assert moved.abs().max() <= 1
    assert not moved.requires_grad


def test_without_both_games_and_noise_it_is_an_autoencoder():
    """The same loss, up to its weight, and the same gradients."""
    detector = advad.OCGAN(reconstruction_weight=1.0, latent_weight=0.0, visual_weight=0.0)
    networks, x = trained().networks_.requires_grad_(True), digits().train[:16].float() / 255
    weights = [*networks.encoder.parameters(), *networks.decoder.parameters()]
    loss, _ = detector.autoencoder_loss(networks, x, x, torch.zeros(16, 8))
    plain = F.mse_loss(networks.decoder(networks.encoder(x)), x)
    pairs = zip(torch.autograd.grad(loss, weights), torch.autograd.grad(plain, weights), strict=True)
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in pairs)


def test_mining_begins_when_it_is_told_to(monkeypatch):
    mined = []
    plain = advad.OCGAN.informative
    monkeypatch.setattr(advad.OCGAN, "informative", lambda self, n, s: (mined.append(1), plain(self, n, s))[1])
    trained(epochs=3, mining_start=3)
    assert not mined
    detector = trained(epochs=3, mining_start=2)
    batches = -(-len(digits().train) // detector.batch_size)
    assert len(mined) == batches


def test_codes_are_in_the_cube_and_not_all_in_one_corner(figure):
    """Without batch norm before the tanh, all codes end in one corner of (−1, 1)^8: their deviation is 0."""
    codes = trained(epochs=40).encode(digits().train)
    assert np.abs(codes).max() <= 1
    deviation = codes.std(0).mean()
    figure(f"OCGAN on digits 0: deviation of the codes {deviation:.2f}; the uniform's is {3**-0.5:.2f}")
    assert 0.35 < deviation < 0.85


def test_a_batch_of_one_image_is_refused():
    with pytest.raises(ValueError, match="OCGAN: X must give each batch 2 images or more; got 3. Batch normalisation"):
        advad.OCGAN(**SETTINGS | {"batch_size": 1}).fit(digits().train[:3], progress=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "sigmoid"}, "OCGAN: activation must be one of 'relu', 'leaky_relu'; got 'sigmoid'"),
        ({"noise_level": -1}, "OCGAN: noise_level must be at least 0; got -1"),
        ({"latent_weight": -1}, "OCGAN: latent_weight must be at least 0; got -1"),
        ({"mining_steps": 0.5}, "OCGAN: mining_steps must be a whole number; got 0.5"),
        ({"mining_start": -1}, "OCGAN: mining_start must be at least 0; got -1"),
        ({"critic_width": 0}, "OCGAN: critic_width must be at least 1; got 0"),
        ({"critic_widths": 8}, r"OCGAN: critic_widths must be a tuple of whole numbers; got 8. For example \(128, 64"),
        ({"critic_widths": (0,)}, "OCGAN: each of critic_widths must be at least 1; got 0"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trained(**settings)
