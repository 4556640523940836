"""GANomaly: losses, game and score by hand, its limit, and who hears whom."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine.training import Networks
from tests.cases import DCGAN, digits
from tests.methods.test_agad import Look, X, softplus


class Times(nn.Module):
    """x -> factor · x, flat or as an image of two pixels."""

    def __init__(self, factor, shape):
        super().__init__()
        self.factor, self.shape = nn.Parameter(torch.tensor(factor)), shape

    def forward(self, x):
        return (self.factor * x).reshape(len(x), *self.shape)


def networks_by_hand():
    """Return G_E(x) = x, G_D(z) = z / 2, E(x̂) = 4 x̂: x = (0.2, 0.6) gives x̂ = (0.1, 0.3) and ẑ = (0.4, 1.2)."""
    generator = nn.Sequential()
    generator.add_module("encoder", Times(1.0, (2,)))
    generator.add_module("decoder", Times(0.5, (1, 1, 2)))
    return Networks(generator=generator, second_encoder=Times(4.0, (2,)), discriminator=Look())


BY_HAND = networks_by_hand()


def test_the_generators_loss_by_hand():
    loss, terms = advad.GANomaly().generator_loss(BY_HAND, X)
    L_adv, L_con, L_enc = math.hypot(0.1, 0.3) / math.sqrt(2), 0.2, math.hypot(0.2, 0.6) / math.sqrt(2)
    assert [terms[name].item() for name in ("adversarial", "reconstruction", "encoder")] == pytest.approx(
        [L_adv, L_con, L_enc]
    )
    assert loss.item() == pytest.approx(L_adv + 50 * L_con + L_enc)
    weighted = advad.GANomaly(adversarial_weight=2, reconstruction_weight=3, encoder_weight=5)
    assert weighted.generator_loss(BY_HAND, X)[0].item() == pytest.approx(2 * L_adv + 3 * L_con + 5 * L_enc)


def test_the_discriminators_loss_and_the_score_by_hand():
    loss, _ = advad.GANomaly().discriminator_loss(BY_HAND, X / 2, X)
    assert loss.item() == pytest.approx(softplus(0.4) + softplus(-0.8))  # logits of x̂ and x
    two = torch.cat([X, 2 * X])
    assert advad.GANomaly().score_images(BY_HAND, two).tolist() == pytest.approx([0.4, 0.8])  # mean of (0.2, 0.6)


def test_the_score_is_that_of_numpy():
    detector, x = advad.GANomaly(**DCGAN, epochs=2).fit(digits().train, progress=False), digits().test[:20]
    drawn = torch.from_numpy(detector.reconstruct(x))
    with torch.no_grad():
        z_hat = detector.networks_.second_encoder(drawn).numpy()
    assert np.allclose(detector.anomaly_score(x), np.abs(detector.encode(x) - z_hat).mean(1), rtol=1e-4, atol=1e-6)


def test_without_features_and_second_code_it_is_an_autoencoder_with_an_l1_loss():
    detector = advad.GANomaly(**DCGAN, adversarial_weight=0, encoder_weight=0)
    networks = Networks(**detector.build((1, 8, 8)))
    x, weights = torch.rand(16, 1, 8, 8), list(networks.generator.parameters())
    limit = torch.autograd.grad(detector.generator_loss(networks, x)[0], weights)
    plain = torch.autograd.grad(50 * (x - networks.generator(x)).abs().mean(), weights)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(limit, plain, strict=True))


def test_the_generator_hears_what_the_discriminator_looks_at_and_not_what_it_says():
    """Its loss has a gradient in D's features, none in D's last layer."""
    detector = advad.GANomaly(**DCGAN)
    networks = Networks(**detector.build((1, 8, 8)))
    detector.generator_loss(networks, torch.rand(8, 1, 8, 8))[0].backward()
    discriminator = networks.discriminator
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.features.parameters())
    assert all(p.grad is None for p in discriminator.classifier.parameters())


def test_the_encoder_loss_teaches_both_encoders():
    """As in the released code: z is no fixed target. With G_E(x) = ax and ẑ = 2ax, ‖z − ẑ‖ = a‖x‖ at a = 1."""
    networks = networks_by_hand()
    alone = advad.GANomaly(adversarial_weight=0, reconstruction_weight=0)
    alone.generator_loss(networks, X)[0].backward()
    slope = math.hypot(0.2, 0.6) / math.sqrt(2)
    assert networks.generator.encoder.factor.grad.item() == pytest.approx(slope)  # were z fixed: twice that
    assert networks.generator.decoder.factor.grad.item() == pytest.approx(4 * slope)  # ẑ − z = (4b − 1)x at b = 1/2
    assert networks.second_encoder.factor.grad.item() == pytest.approx(slope / 2)  # (c/2 − 1)x at c = 4


def test_a_step_trains_the_generator_and_then_the_discriminator_on_the_images_of_before():
    calls = []

    class Recorder:
        networks = networks_by_hand()

        def __call__(self, player, loss, *tensors):
            calls.append((player, loss.__name__, *tensors))
            self.networks.generator.decoder.factor.data.zero_()  # had it drawn afterwards, x̂ would be black

    advad.GANomaly().step(Recorder(), X)
    assert [call[:2] for call in calls] == [
        ("generator", "generator_loss"),
        ("discriminator", "discriminator_loss"),
    ]
    assert torch.equal(calls[0][2], X)
    assert torch.allclose(calls[1][2], X / 2)
    assert not calls[1][2].requires_grad
    assert torch.equal(calls[1][3], X)


def test_the_two_encoders_have_one_shape_with_weights_of_their_own():
    networks = Networks(**advad.GANomaly(**DCGAN).build((1, 8, 8)))
    first, second = networks.generator.encoder.state_dict(), networks.second_encoder.state_dict()
    assert {name: t.shape for name, t in first.items()} == {name: t.shape for name, t in second.items()}
    assert not torch.equal(first["0.0.weight"], second["0.0.weight"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adversarial_weight": -1}, "GANomaly: adversarial_weight must be at least 0; got -1"),
        ({"reconstruction_weight": "50"}, "GANomaly: reconstruction_weight must be a number; got '50'"),
        ({"encoder_weight": float("inf")}, "GANomaly: encoder_weight must be at least 0; got inf"),
        ({"conv_width": 0}, "GANomaly: conv_width must be at least 1; got 0"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        advad.GANomaly(**(DCGAN | settings)).fit(digits().train, progress=False)
