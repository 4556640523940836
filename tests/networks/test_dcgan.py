"""The image game's networks: shapes for every size, the papers' layers, skip connections, losses and batch norm."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from advad.networks.batch_norm import AuxiliaryBatchNorm2d, auxiliary_norm, frozen_norm
from advad.networks.dcgan import Discriminator, dcgan_decoder, dcgan_encoder
from advad.networks.losses import binary_loss, feature_distance, pixel_distance
from advad.networks.unet import DCGANUNet, UNet


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (28, 28), (32, 32), (33, 50), (64, 64), (256, 256)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size(size, channels):
    shape = (channels, *size)
    x = torch.rand(2, *shape)
    z = dcgan_encoder(shape, 10, width=2)(x)
    assert z.shape == (2, 10)
    decoded = dcgan_decoder(shape, 10, width=2)(z)
    logit, features = Discriminator(shape, width=2)(x)
    assert logit.shape == (2,)
    assert features.ndim == 2
    unets = DCGANUNet(shape, 10, width=2), UNet(shape, 10, width=2), UNet(shape, 10, width=2, nested=True)
    for unet in unets:
        assert unet.encoder(x).shape == (2, 10)
    for image in (decoded, *(unet(x) for unet in unets)):
        assert image.shape == x.shape
        assert 0 <= image.min() <= image.max() <= 1


def convolutions(network):
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [(m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, kinds)]


def test_the_naive_network_is_that_of_the_paper():
    """Shi and Zhang 2023, Table 7: 1-64-128-256-100-256-128-64-1, no batch norm after the first and last layers."""
    encoder, decoder = dcgan_encoder((1, 32, 32), 100), dcgan_decoder((1, 32, 32), 100)
    assert convolutions(encoder) == [(1, 64), (64, 128), (128, 256), (256, 100)]
    assert convolutions(decoder) == [(100, 256), (256, 128), (128, 64), (64, 1)]
    norms = [m.num_features for m in [*encoder.modules(), *decoder.modules()] if isinstance(m, nn.BatchNorm2d)]
    assert norms == [128, 256, 256, 128, 64]
    weights = torch.cat([p.flatten() for p in encoder.parameters() if p.ndim == 4])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)


def test_the_dcgan_unet():
    """32 pixels: levels of 16, 8 and 4, one decoder map a level."""
    unet = DCGANUNet((3, 32, 32), 50, width=4)
    assert convolutions(unet) == [(3, 4), (4, 8), (8, 16), (16, 50), (50, 16), (32, 8), (16, 4), (8, 3)]


def test_unet_and_its_dense_skip_pathways():
    """16 pixels: levels of 16, 8, 4, 2. U-Net has one decoder node a level; U-Net++ 1, 2 and 3 from the bottom up."""
    plain, nested = (UNet((3, 16, 16), 50, width=4, nested=nested) for nested in (False, True))
    down = [(3, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 50), (50, 50)]
    for unet in (plain, nested):
        assert convolutions(unet.encoder) == down
        assert convolutions(unet.to_image) == [(2, 3)]
    inputs = [{name: node[0].in_channels for name, node in unet.nodes.items()} for unet in (plain, nested)]
    assert inputs[0] == {"2,1": 16, "1,2": 8, "0,3": 4}
    assert inputs[1] == {"2,1": 16, "1,1": 8, "0,1": 4, "1,2": 12, "0,2": 6, "0,3": 8}


@pytest.mark.parametrize("unet", [DCGANUNet, UNet, functools.partial(UNet, nested=True)])
def test_a_unet_lets_the_image_pass_beside_the_code(unet):
    """Without a code (its last weights 0) the image still depends on the input, and every weight has a gradient."""
    unet = unet((1, 16, 16), 5, width=4)
    x = torch.rand(4, 1, 16, 16)
    unet(x).square().sum().backward()
    assert all(p.grad is not None for p in unet.parameters())
    last = [module for module in unet.encoder.modules() if isinstance(module, nn.Conv2d)][-1]
    nn.init.zeros_(last.weight)
    assert unet.encoder(x).abs().max() == 0
    first, second = unet(x)[:2]
    assert not torch.allclose(first, second, atol=1e-4)


def test_blocks_and_their_batch_norm_in_a_discriminator():
    """Shi and Zhang 2023, Sec. 3.3.1: two blocks, both with batch norm, then a convolution over the whole map."""
    D = Discriminator((1, 32, 32), 4, blocks=2, first_norm=True)
    assert convolutions(D) == [(1, 4), (4, 8), (8, 1)]
    assert [m.num_features for m in D.modules() if isinstance(m, nn.BatchNorm2d)] == [4, 8]
    assert D(torch.rand(2, 1, 32, 32))[1].shape == (2, 8 * 8 * 8)


def test_losses_by_hand():
    logits = torch.tensor([0.0, np.log(3.0)])  # D = 1/2, 3/4
    assert binary_loss(logits, real=True).item() == pytest.approx(-(np.log(1 / 2) + np.log(3 / 4)) / 2)
    assert binary_loss(logits, real=False).item() == pytest.approx(-(np.log(1 / 2) + np.log(1 / 4)) / 2)
    z, z_hat = torch.tensor([[3.0, 4.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert feature_distance(z, z_hat).item() == pytest.approx((5 / np.sqrt(2) + 0) / 2)
    assert pixel_distance(z, z_hat).item() == pytest.approx((3 + 4) / 4)
    same = z.clone().requires_grad_()
    feature_distance(same, z).backward()
    assert torch.isfinite(same.grad).all()  # also where the norm has a corner


def test_copied_and_frozen_batch_norm():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), AuxiliaryBatchNorm2d(2)).train()
    norm, x = network[1], torch.rand(8, 1, 4, 4) + 3

    def statistics():
        return norm.running_mean.clone(), norm.auxiliary.running_mean.clone()

    before = statistics()
    with auxiliary_norm(network):
        network(x)
    after = statistics()
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])
    with frozen_norm(network):
        frozen = network(x)
    assert all(torch.equal(now, then) for now, then in zip(statistics(), after, strict=True))
    assert norm.training
    assert norm.auxiliary.training
    network(x)
    assert not torch.equal(statistics()[0], after[0])
    assert torch.equal(statistics()[1], after[1])
    network.eval()
    with frozen_norm(network):
        pass
    assert not norm.training  # what was in evaluation mode stays so
    assert not torch.allclose(frozen, network(x), atol=1e-3)
