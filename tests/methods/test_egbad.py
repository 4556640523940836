"""EGBAD: the game and both scores by hand, who learns from what, and whether E becomes the inverse of G."""

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine.training import Networks
from advad.methods.egbad import PairDiscriminator
from tests.cases import digits, make


class Pairs(nn.Module):
    """D(x, z) = x₁ + 2 x₂ + 3 z₁, whose features are (x₁, x₂, z₁)."""

    def forward(self, x, z):
        f = torch.cat([x.flatten(1), z], 1)
        return f @ torch.tensor([1.0, 2.0, 3.0]), f


def networks_by_hand():
    """Return E(x) = x₁ − x₂ and G(z) = (z, z / 2), an image of two pixels, with the D above."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
    generator = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Unflatten(1, (1, 1, 2)))
    encoder[1].weight.data.copy_(torch.tensor([[1.0, -1.0]]))
    generator[0].weight.data.copy_(torch.tensor([[1.0], [0.5]]))
    return Networks(encoder=encoder, generator=generator, discriminator=Pairs())


X, Z = torch.tensor([[[[0.5, 0.1]]]]), torch.tensor([[-0.2]])  # E(x) = 0.4, G(z) = (−0.2, −0.1)
REAL, FAKE = 0.5 + 0.2 + 1.2, -0.2 - 0.2 - 0.6  # D(x, E(x)), D(G(z), z)


def cross_entropy(logit, real):
    p = 1 / (1 + np.exp(-logit))
    return -np.log(p if real else 1 - p)


def test_the_game_by_hand():
    egbad, networks = advad.EGBAD(), networks_by_hand()
    loss, terms = egbad.discriminator_loss(networks, X, Z)
    assert loss.item() == pytest.approx(cross_entropy(REAL, True) + cross_entropy(FAKE, False), rel=1e-5)
    assert terms["D_real"].item() == pytest.approx(1 / (1 + np.exp(-REAL)), rel=1e-5)
    assert terms["D_fake"].item() == pytest.approx(1 / (1 + np.exp(-FAKE)), rel=1e-5)
    assert egbad.generator_loss(networks, Z)[0].item() == pytest.approx(cross_entropy(FAKE, True), rel=1e-5)
    assert egbad.encoder_loss(networks, X)[0].item() == pytest.approx(cross_entropy(REAL, False), rel=1e-5)


def test_the_scores_by_hand():
    """G(E(x)) = (0.4, 0.2): |x − x̂| = 0.1 + 0.1, in the pixels and, as z is the same, in the features."""
    networks = networks_by_hand()
    for score, L_D in (("features", 0.2), ("sigmoid", cross_entropy(REAL, True))):
        egbad = advad.EGBAD(score=score, reconstruction_weight=0.75)
        assert torch.cat([*egbad.term_images(networks, X).values()]).tolist() == pytest.approx([0.2, L_D], rel=1e-5)
        assert egbad.score_images(networks, X).item() == pytest.approx(0.75 * 0.2 + 0.25 * L_D, rel=1e-5)


def test_each_player_is_taught_by_the_pairs_it_makes():
    """G's loss knows no E and E's no G; D's reaches neither."""
    networks = Networks(**make("EGBAD").build((1, 8, 8)))
    x, z = torch.rand(4, 1, 8, 8), torch.randn(4, 8)

    def reached(loss):
        networks.zero_grad(set_to_none=True)
        loss.backward()
        return {name.split(".")[0] for name, p in networks.named_parameters() if p.grad is not None and p.grad.any()}

    egbad = make("EGBAD")
    assert reached(egbad.discriminator_loss(networks, x, z)[0]) == {"discriminator"}
    assert reached(egbad.generator_loss(networks, z)[0]) == {"generator", "discriminator"}
    assert reached(egbad.encoder_loss(networks, x)[0]) == {"encoder", "discriminator"}


def test_the_discriminator_learns_at_its_own_rate():
    egbad = advad.EGBAD(learning_rate=3e-3, discriminator_learning_rate=1e-4)
    weights = [nn.Parameter(torch.zeros(1))]
    assert {p: egbad.optimiser(p, weights).param_groups[0]["lr"] for p in egbad.optimised} == {
        "discriminator": 1e-4,
        "generator": 3e-3,
        "encoder": 3e-3,
    }


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (1, 28, 28)])
def test_the_discriminator_sees_both_and_judges_each_pair_alone(shape):
    torch.manual_seed(0)
    D = PairDiscriminator(shape, 5, 4, 16, dropout=0.0)
    x, z = torch.rand(6, *shape), torch.randn(6, 5)
    y, f = D(x, z)
    assert (y.shape, f.shape) == ((6,), (6, 16))
    assert torch.allclose(D(x[:1], z[:1])[0], y[:1], atol=1e-5)  # in training mode: it has no batch norm
    assert not torch.allclose(D(x, z.flip(0))[0], y, atol=1e-4)
    assert not torch.allclose(D(x.flip(0), z)[0], y, atol=1e-4)


def test_the_terms_make_the_score():
    egbad = make("EGBAD", epochs=2, reconstruction_weight=0.5).fit(digits().train, progress=False)
    x = digits().test[:20]
    for score in ("features", "sigmoid"):
        L_G, L_D = egbad.set_params(score=score).score_terms(x).values()
        assert np.allclose(egbad.anomaly_score(x), 0.5 * L_G + 0.5 * L_D, rtol=1e-5)
        assert np.allclose(L_G, np.abs(x.numpy() / 255 - egbad.reconstruct(x)).sum((1, 2, 3)), rtol=1e-4)


def test_the_encoder_comes_to_invert_the_generator():
    """D., Theorem 2, which no loss asks for: unseen normals come back, x ≈ G(E(x)), far better than untrained."""
    split = digits()
    normal = split.test[~split.test_is_anomaly]
    pixels = normal.numpy() / 255
    errors = []
    for epochs in (0, 60):
        drawn = make("EGBAD", epochs=epochs).fit(split.train, progress=False).reconstruct(normal)
        errors.append(float(np.abs(drawn - pixels).mean()))
    print(f"error of G(E(x)), untrained and after 60 epochs: {errors}")
    assert errors[1] < 0.75 * errors[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "l2"}, "EGBAD: score must be one of 'features', 'sigmoid'; got 'l2'"),
        ({"reconstruction_weight": 2}, r"EGBAD: reconstruction_weight must be in \[0, 1\]; got 2. It is α; 0.9 in the"),
        ({"width": 0}, "EGBAD: width must be at least 1; got 0"),
        ({"units": 0}, "EGBAD: units must be at least 1; got 0"),
        ({"dropout": 1}, r"EGBAD: dropout must be in \[0, 1\); got 1"),
        ({"discriminator_learning_rate": 0}, "EGBAD: discriminator_learning_rate must be above 0; got 0"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make("EGBAD", **settings).fit(digits().train, progress=False)
