"""AE and DAE: the loss by hand, the corruptions as they are described, and the AE as the noise-free limit."""

import numpy as np
import pytest
import torch
from torch import nn

import advad
from advad.engine.training import Networks
from tests.cases import SMALL, digits


def linear_networks():
    """Return an encoder (2 pixels to 1 code) and a decoder whose products are easy to do by hand."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
    decoder = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Unflatten(1, (1, 1, 2)))
    with torch.no_grad():
        encoder[1].weight.copy_(torch.tensor([[1.0, 1.0]]))
        decoder[0].weight.copy_(torch.tensor([[0.5], [0.0]]))
    return Networks(encoder=encoder, decoder=decoder)


def test_losses_and_score_by_hand():
    x = torch.tensor([[[[0.2, 0.6]]], [[[1.0, 0.0]]]])  # codes 0.8 and 1.0; reconstructions (0.4, 0) and (0.5, 0)
    errors = [(0.2**2 + 0.6**2) / 2, 0.5**2 / 2]
    assert advad.AE().score_images(linear_networks(), x).tolist() == pytest.approx(errors)
    assert advad.AE().loss(linear_networks(), x)[0].item() == pytest.approx(np.mean(errors))
    x_tilde = torch.zeros_like(x)  # reconstructed as black
    assert advad.DAE().loss(linear_networks(), x, x_tilde)[0].item() == pytest.approx((0.2 + 0.5) / 2)


def test_the_dae_denoises_from_the_corrupted_image_and_scores_the_clean_one():
    seen = []
    networks = linear_networks()
    networks.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    x, x_tilde = torch.rand(2, 1, 1, 2), torch.rand(2, 1, 1, 2)
    advad.DAE().loss(networks, x, x_tilde)
    advad.DAE().score_images(networks, x)
    assert torch.equal(seen[0], x_tilde)
    assert torch.equal(seen[1], x)


def sizes(detector):
    """Return the units of each dense layer and the activations in order, on MNIST's images."""
    networks = detector.build((1, 28, 28))
    layers = [*networks["encoder"], *networks["decoder"]]
    units = [layer.out_features for layer in layers if isinstance(layer, nn.Linear)]
    return units, [type(layer).__name__ for layer in layers if isinstance(layer, (nn.ReLU, nn.Sigmoid))]


def test_in_salehi_s_comparison_ae_dae_and_arae_have_one_network():
    networks = [sizes(cls(**cls.paper_settings("MNIST"))) for cls in (advad.AE, advad.DAE, advad.ARAE)]
    assert networks == [([512, 256, 128, 256, 512, 784], ["Sigmoid"] * 6)] * 3
    dae = advad.DAE(**advad.DAE.paper_settings("MNIST"))
    assert (dae.noise, dae.noise_level, dae.weight_init) == ("uniform", 0.1, "glorot_normal")


def test_in_beggel_s_comparison_the_ae_has_two_layers_of_1000_and_32_codes():
    ae = advad.AE(**advad.AE.paper_settings("MNIST", paper="itsr"))
    assert sizes(ae) == ([1000, 1000, 32, 1000, 1000, 784], ["ReLU"] * 4 + ["Sigmoid"])
    assert ae.epochs == 4000
    assert advad.AE.paper_settings("FashionMNIST", paper="itsr")["epochs"] == 10000


def test_corruptions_have_the_moments_they_are_described_with():
    x = torch.full((50, 1, 40, 40), 0.5)
    rng = torch.Generator().manual_seed(0)
    uniform = advad.DAE(noise="uniform", noise_level=0.4).corrupt(x, rng) - x
    assert uniform.min() >= 0
    assert uniform.max() <= 0.4
    assert uniform.mean() == pytest.approx(0.2, abs=2e-3)
    gaussian = advad.DAE(noise="gaussian", noise_level=0.5).corrupt(x, rng) - x
    assert gaussian.mean() == pytest.approx(0, abs=6e-3)
    assert gaussian.std() == pytest.approx(0.5, abs=6e-3)
    speckle = advad.DAE(noise="speckle", blend=(0.3, 0.3)).corrupt(x, rng)  # 0.3 x + 0.7 n, n uniform
    assert speckle.mean() == pytest.approx(0.3 * 0.5 + 0.7 * 0.5, abs=3e-3)
    assert speckle.std() == pytest.approx(0.7 / np.sqrt(12), abs=3e-3)


def test_speckle_draws_one_alpha_a_batch_from_its_range():
    x, rng = torch.ones(4, 1, 8, 8), torch.Generator().manual_seed(0)
    dae = advad.DAE(noise="speckle")
    lows = [dae.corrupt(x, rng).min().item() for _ in range(300)]  # about α + (1 − α)·0
    assert 0.2 <= min(lows) < 0.25
    assert 0.85 < max(lows) <= 0.92


@pytest.mark.parametrize("noise", ["uniform", "gaussian"])
def test_without_noise_the_dae_is_the_ae(noise):
    x = digits().train[:40]
    ae = advad.AE(**SMALL, epochs=3).fit(x, progress=False)
    dae = advad.DAE(**SMALL, epochs=3, noise=noise, noise_level=0).fit(x, progress=False)
    assert np.array_equal(ae.anomaly_score(x), dae.anomaly_score(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": "pink"}, "DAE: noise must be one of 'uniform', 'gaussian', 'speckle'; got 'pink'"),
        ({"noise_level": -1}, "DAE: noise_level must be at least 0; got -1. It is in pixel units"),
        ({"blend": (0.2, 2)}, r"DAE: each end of blend must be in \[0, 1\]; got 2"),
        ({"network": "resnet"}, "DAE: network must be one of 'dense', 'conv'; got 'resnet'"),
        ({"activation": "gelu"}, "DAE: activation must be one of 'sigmoid', 'relu', 'leaky_relu'; got 'gelu'"),
        ({"widths": 512}, r"DAE: widths must be a tuple of whole numbers; got 512. For example \(512, 256\)"),
        ({"widths": (512, 0)}, "DAE: each of widths must be at least 1; got 0"),
        ({"conv_width": 0}, "DAE: conv_width must be at least 1; got 0"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        advad.DAE(**settings).fit(digits().train, progress=False)
