"""f-AnoGAN: both stages and the score by hand, who moves when, and what a tanh head does to the codes."""

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine.training import Networks
from advad.networks.residual import residual_critic, residual_generator
from tests.cases import GAN, digits
from tests.methods.test_berg import linear_critic

QUICK = GAN | {"gan_epochs": 2, "epochs": 2}


def trained(**settings):
    return advad.FAnoGAN(**(QUICK | settings)).fit(digits().train, progress=False)


def networks_by_hand():
    """Return E(x) = 2x, G(z) = z as an image of two pixels, and D(x) = 3x₁ + 4x₂ + 0.5, whose features are x itself."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    nn.init.eye_(encoder[1].weight).data.mul_(2)
    return Networks(generator=nn.Unflatten(1, (1, 1, 2)), encoder=encoder, critic=linear_critic(3.0, 4.0))


def test_losses_and_score_by_hand():
    x, z = torch.tensor([[[[0.4, -0.2]]]]), torch.tensor([[0.1, 0.3]])
    networks, plain = networks_by_hand(), advad.FAnoGAN(penalty_weight=0, feature_weight=3.0)
    assert plain.generator_loss(networks, z)[0].item() == pytest.approx(-(0.3 + 1.2 + 0.5))
    critic, _ = plain.critic_loss(networks, x, z, torch.rand(1, 1, 1, 1))
    assert critic.item() == pytest.approx((0.3 + 1.2) - (1.2 - 0.8))
    penalised, _ = advad.FAnoGAN().critic_loss(networks, x, z, torch.rand(1, 1, 1, 1))
    assert penalised.item() == pytest.approx(critic.item() + 10 * (5 - 1) ** 2, rel=1e-5)
    error = (0.4**2 + 0.2**2) / 2  # G(E(x)) = 2x: as far from x as x from 0, in pixels and in features
    assert torch.cat(plain.izi_f(networks, x)).tolist() == pytest.approx([error, error])
    assert plain.encoder_loss(networks, x)[0].item() == pytest.approx(4 * error)
    assert plain.score_images(networks, (x + 1) / 2).item() == pytest.approx(4 * error)  # pixels in [0, 1] → [−1, 1]


def test_the_terms_make_the_score():
    detector, x = trained(feature_weight=0.5), digits().test[:20]
    A_R, A_D = detector.score_terms(x).values()
    assert np.allclose(detector.anomaly_score(x), A_R + 0.5 * A_D, rtol=1e-5)
    pixels = x.numpy() / np.float32(255)
    assert np.allclose(A_R, 4 * ((pixels - detector.reconstruct(x)) ** 2).mean((1, 2, 3)), rtol=1e-4)


def test_five_batches_for_the_critic_and_one_for_the_generator():
    seen = []

    class Recorder:
        generator = torch.Generator().manual_seed(0)
        epoch, batches = 0, 7

        def __call__(self, player, loss, *tensors):
            seen.append(player)

    recorder, x = Recorder(), torch.rand(3, 1, 8, 8)
    for recorder.epoch in range(2):
        for recorder.batch in range(7):
            advad.FAnoGAN().gan_step(recorder, x)
    assert seen.count("critic") == 14
    assert [seen[:k].count("critic") for k, player in enumerate(seen) if player == "generator"] == [1, 6, 11]


def test_the_gan_is_frozen_while_the_encoder_learns():
    """Its weights and the statistics of its batch normalisation are those of the end of the first stage."""
    states = []
    keep = lambda detector: states.append({k: v.clone() for k, v in detector.networks_.state_dict().items()})  # noqa: E731
    detector = advad.FAnoGAN(**QUICK).fit(digits().train, progress=False, on_epoch=keep)
    assert detector.history_["stage"] == ["gan"] * 2 + ["encoder"] * 2
    for name in states[0]:
        network = name.split(".")[0]
        in_gan = not torch.equal(states[0][name], states[1][name])
        in_encoder = not torch.equal(states[1][name], states[3][name])
        if network == "encoder":
            assert in_encoder > in_gan, name
        else:
            assert not in_encoder, name
    assert detector.history_["encoder_loss"][:2] == [None, None]


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (28, 28), (33, 50), (64, 64), (256, 256)])
def test_residual_networks_take_every_size(size):
    shape = (3, *size)
    x = torch.rand(2, *shape)
    assert residual_critic(shape, 1, 2, "layer")(x).shape == (2, 1)
    z = residual_critic(shape, 7, 2, "batch")(x)
    drawn = residual_generator(shape, 7, 2)(z)
    assert drawn.shape == x.shape
    assert -1 <= drawn.min() < drawn.max() <= 1


def test_the_critic_judges_each_image_alone():
    critic, x = residual_critic((1, 8, 8), 1, 4, "layer"), torch.rand(5, 1, 8, 8)
    assert torch.allclose(critic(x)[:1], critic(x[:1]), atol=1e-5)  # in training mode


def test_a_tanh_head_puts_codes_towards_the_corners_of_a_hypercube():
    """Fig. 3a of Berg et al. 2020: with tanh, the coordinates of normal test codes pile up at −1 and 1."""
    x = digits().test[~digits().test_is_anomaly]
    codes = {
        head: np.abs(trained(gan_epochs=10, epochs=25, encoder_head=head).encode(x)) for head in ("tanh", "linear")
    }
    near_one = {head: float(((z > 0.9) & (z <= 1)).mean()) for head, z in codes.items()}
    print(f"share of coordinates with size in (0.9, 1]: {near_one}; largest: {codes['linear'].max():.1f}")
    assert codes["tanh"].max() <= 1
    assert codes["linear"].max() > 1.5
    assert near_one["tanh"] > 0.4
    assert near_one["linear"] < near_one["tanh"] / 2  # of the prior itself: 0.05


def test_berg_et_al_measure_it_by_other_scores():
    """Berg et al. 2020, Table 2, rows b to d, by hand from reconstructions and codes."""
    detector, x = trained(), digits().test[:20]
    pixels, x_hat, z_hat = x.numpy() / np.float32(255), detector.reconstruct(x), detector.encode(x)

    def minmax(images):
        low, high = images.min((1, 2, 3), keepdims=True), images.max((1, 2, 3), keepdims=True)
        return (images - low) / (high - low)

    by_hand = {
        "residual": np.linalg.norm((pixels - x_hat).reshape(20, -1), axis=1),
        "normalised_residual": np.linalg.norm((minmax(pixels) - minmax(x_hat)).reshape(20, -1), axis=1) / 64,
        "origin": -np.linalg.norm(z_hat, axis=1) / np.sqrt(8),
    }
    for score, expected in by_hand.items():
        assert np.allclose(detector.set_params(score=score).anomaly_score(x), expected, rtol=1e-4), score
    A_R, A_D = detector.score_terms(x).values()
    assert np.allclose(detector.set_params(score="izi_f").anomaly_score(x), A_R + A_D, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gan_epochs": 0}, "FAnoGAN: gan_epochs must be at least 1; got 0"),
        ({"width": 0}, "FAnoGAN: width must be at least 1; got 0"),
        ({"critic_steps": 0}, "FAnoGAN: critic_steps must be at least 1; got 0"),
        ({"penalty_weight": -1}, "FAnoGAN: penalty_weight must be at least 0; got -1"),
        ({"encoder_head": "clip"}, "FAnoGAN: encoder_head must be one of 'tanh', 'linear'; got 'clip'"),
        ({"encoder_learning_rate": 0}, "FAnoGAN: encoder_learning_rate must be above 0; got 0"),
        ({"score": "A"}, "FAnoGAN: score must be one of 'izi_f', 'residual', 'normalised_residual', 'origin'; got 'A'"),
        ({"feature_weight": -1}, "FAnoGAN: feature_weight must be at least 0; got -1. It is κ; 1 in the paper"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trained(**settings)
