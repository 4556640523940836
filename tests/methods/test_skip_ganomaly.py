"""Skip-GANomaly: losses, game and score by hand, its limit, and what the skip connections carry."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine import training
from advad.engine.training import Networks
from tests.cases import DCGAN, digits
from tests.methods.test_agad import BY_HAND, X, softplus

L_LAT = math.hypot(0.1, 0.3) / math.sqrt(2)  # x = (0.2, 0.6), x̂ = (0.1, 0.3); features are pixels, logits sums


def test_the_generators_loss_by_hand():
    loss, terms = advad.SkipGANomaly().generator_loss(BY_HAND, X)
    assert [terms[name].item() for name in ("adversarial", "reconstruction", "latent")] == pytest.approx(
        [softplus(-0.4), 0.2, L_LAT]
    )
    assert loss.item() == pytest.approx(softplus(-0.4) + 40 * 0.2 + L_LAT)
    weighted = advad.SkipGANomaly(adversarial_weight=2, reconstruction_weight=3, latent_weight=5)
    assert weighted.generator_loss(BY_HAND, X)[0].item() == pytest.approx(2 * softplus(-0.4) + 3 * 0.2 + 5 * L_LAT)


def test_the_discriminator_plays_its_game_and_nothing_else():
    """−log D(x) − log(1 − D(x̂)); the released code adds L_lat to it (see Departures)."""
    loss, terms = advad.SkipGANomaly().discriminator_loss(BY_HAND, X / 2, X)
    assert loss.item() == pytest.approx(softplus(0.4) + softplus(-0.8))
    assert terms == {}


def test_the_score_by_hand():
    two = torch.cat([X, 2 * X])
    for weight in (0.9, 0.0, 1.0):
        A = weight * 0.2 + (1 - weight) * L_LAT
        scores = advad.SkipGANomaly(score_weight=weight).score_images(BY_HAND, two)
        assert scores.tolist() == pytest.approx([A, 2 * A])


def test_the_terms_make_the_score_and_are_those_of_numpy():
    detector, x = advad.SkipGANomaly(**DCGAN, epochs=2).fit(digits().train, progress=False), digits().test[:20]
    R, L = detector.score_terms(x)
    assert np.allclose(detector.anomaly_score(x), 0.9 * R + 0.1 * L, rtol=1e-5)
    pixels, drawn = x.numpy() / np.float32(255), detector.reconstruct(x)
    assert np.allclose(R, np.abs(pixels - drawn).mean((1, 2, 3)), rtol=1e-4)
    with torch.no_grad():
        f, f_hat = (detector.networks_.discriminator(torch.from_numpy(i))[1].numpy() for i in (pixels, drawn))
    assert np.allclose(L, np.sqrt(((f - f_hat) ** 2).mean(1)), rtol=1e-4)


def test_without_game_and_features_it_is_a_unet_with_an_l1_loss():
    detector = advad.SkipGANomaly(**DCGAN, adversarial_weight=0, latent_weight=0)
    networks = Networks(**detector.build((1, 8, 8)))
    x, weights = torch.rand(16, 1, 8, 8), list(networks.generator.parameters())
    limit = torch.autograd.grad(detector.generator_loss(networks, x)[0], weights)
    plain = torch.autograd.grad(40 * (x - networks.generator(x)).abs().mean(), weights)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(limit, plain, strict=True))


def test_a_step_moves_each_player_in_its_own_update_only(monkeypatch):
    """The generator's loss has gradients in the discriminator, too, and they must not be used."""
    moved, plain = {}, training.Update.__call__

    def watched(self, player, loss, *tensors):
        before = {name: p.clone() for name, p in self.networks.named_parameters()}
        plain(self, player, loss, *tensors)
        now = self.networks.named_parameters()
        moved[player] = {name.split(".")[0] for name, p in now if not torch.equal(p, before[name])}

    monkeypatch.setattr(training.Update, "__call__", watched)
    advad.SkipGANomaly(**DCGAN, epochs=1).fit(digits().train[:32], progress=False)
    assert moved == {"generator": {"generator"}, "discriminator": {"discriminator"}}


def test_skip_connections_carry_the_image_past_the_code():
    """With a code of zeros, x̂ still follows x: the score sees what the code does not hold. `decode` is refused."""
    detector = advad.SkipGANomaly(**DCGAN, epochs=20).fit(digits().train, progress=False)
    x = digits().test[:50]
    nn.init.zeros_(detector.networks_.generator.encoder[-1][0].weight)
    nn.init.zeros_(detector.networks_.generator.encoder[-1][0].bias)
    assert np.abs(detector.encode(x)).max() == 0
    drawn, pixels = detector.reconstruct(x), x.numpy() / 255
    follows = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(drawn, pixels, strict=True)]
    print(f"correlation of x and x̂ without a code: {np.mean(follows):.2f}")
    assert np.mean(follows) > 0.5
    with pytest.raises(NotImplementedError, match="SkipGANomaly: decode needs a decoder"):
        detector.decode(np.zeros((1, 8)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adversarial_weight": -1}, "SkipGANomaly: adversarial_weight must be at least 0; got -1"),
        ({"reconstruction_weight": -1}, "SkipGANomaly: reconstruction_weight must be at least 0; got -1"),
        ({"latent_weight": True}, "SkipGANomaly: latent_weight must be a number; got True"),
        ({"score_weight": 1.1}, r"SkipGANomaly: score_weight must be in \[0, 1\]; got 1.1. It is λ; 0.9 in the paper"),
        ({"conv_width": 0}, "SkipGANomaly: conv_width must be at least 1; got 0"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        advad.SkipGANomaly(**(DCGAN | settings)).fit(digits().train, progress=False)
