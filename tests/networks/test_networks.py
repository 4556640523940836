"""Shared networks: shapes for every size, the mirror, and the layers that the paper names."""

import pytest
import torch
from torch import nn

from advad.networks.autoencoders import conv_decoder, conv_encoder, dense_decoder, dense_encoder
from advad.networks.losses import squared_error


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (28, 28), (32, 32), (33, 50), (64, 64), (128, 128), (256, 256)])
@pytest.mark.parametrize("channels", [1, 3])
def test_conv_networks_take_every_size(size, channels):
    shape = (channels, *size)
    x = torch.rand(2, *shape)
    z = conv_encoder(shape, 10, width=4)(x)
    assert z.shape == (2, 10)
    decoded = conv_decoder(shape, 10, width=4, last="sigmoid")(z)
    assert decoded.shape == x.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_dense_networks_are_those_of_salehi():
    """784-512-256-128 and its mirror, a sigmoid after every layer."""
    encoder = dense_encoder((1, 28, 28), (512, 256), 128, "sigmoid", last="sigmoid")
    decoder = dense_decoder((1, 28, 28), (512, 256), 128, "sigmoid", last="sigmoid")
    linear = [m for m in [*encoder, *decoder] if isinstance(m, nn.Linear)]
    assert [m.in_features for m in linear] == [784, 512, 256, 128, 256, 512]
    assert linear[-1].out_features == 784
    assert sum(isinstance(m, nn.Sigmoid) for m in [*encoder, *decoder]) == 6
    assert decoder(encoder(torch.rand(2, 1, 28, 28))).shape == (2, 1, 28, 28)


def test_initial_weights_have_glorots_deviation_and_their_own_shape():
    """Deviation √(2 / (784 + 512)); a uniform never leaves ±√3 deviations, a normal does in 8 % of the draws."""
    deviation = (2 / (784 + 512)) ** 0.5
    beyond = {}
    for init in ("glorot_uniform", "glorot_normal"):
        torch.manual_seed(0)
        weight = dense_encoder((1, 28, 28), (512,), 8, "sigmoid", init=init)[1].weight
        assert weight.std().item() == pytest.approx(deviation, rel=0.01)
        beyond[init] = (weight.abs() > 3**0.5 * deviation * 1.0001).float().mean().item()
    assert beyond["glorot_uniform"] == 0
    assert beyond["glorot_normal"] == pytest.approx(0.083, abs=0.005)


def test_squared_error_by_hand():
    x, y = torch.tensor([[[[0.0, 1.0]]], [[[1.0, 1.0]]]]), torch.tensor([[[[1.0, 1.0]]], [[[0.5, 1.0]]]])
    assert squared_error(x, y).tolist() == [0.5, 0.125]
