"""The LeNet-like encoder and decoder of Deep SVDD."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

SLOPE = 0.1  # of the leaky ReLU below zero; Ruff et al. 2018, Sec. 4


def lenet_encoder(image_shape: tuple[int, int, int], widths: Sequence[int], latent_dim: int) -> nn.Sequential:
    """Return the network φ of Ruff et al. 2018, (B, C, H, W) -> (B, latent_dim), without any bias.

    Parameters
    ----------
    image_shape : (C, H, W)
        Shape of one image.
    widths : sequence of int
        Feature maps of each level: a 5×5 convolution, batch normalisation, leaky ReLU, 2×2 max-pooling.
    latent_dim : int
        Units of the code.
    """
    maps, sizes = [image_shape[0], *widths], _sizes(image_shape, widths)
    layers: list[nn.Module] = []
    for n_in, n_out in zip(maps[:-1], maps[1:], strict=True):
        layers += [*_convolution(n_in, n_out), nn.LeakyReLU(SLOPE), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(maps[-1] * math.prod(sizes[-1]), latent_dim, bias=False))


def lenet_decoder(image_shape: tuple[int, int, int], widths: Sequence[int], latent_dim: int) -> nn.Sequential:
    """Return the mirror of `lenet_encoder` for its pre-training, upsampling for max-pooling; pixels in (0, 1)."""
    maps, sizes = [image_shape[0], *widths], _sizes(image_shape, widths)
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, maps[-1] * math.prod(sizes[-1]), bias=False),
        nn.Unflatten(1, (maps[-1], *sizes[-1])),
    ]
    for level in range(len(widths), 1, -1):
        layers += [nn.LeakyReLU(SLOPE), nn.Upsample(sizes[level - 1]), *_convolution(maps[level], maps[level - 1])]
    last = nn.Conv2d(maps[1], maps[0], 5, padding=2, bias=False)
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE), nn.Upsample(sizes[0]), last, nn.Sigmoid())


def _sizes(image_shape: tuple[int, int, int], widths: Sequence[int]) -> list[tuple[int, int]]:
    return [(image_shape[1] // 2**level, image_shape[2] // 2**level) for level in range(len(widths) + 1)]


def _convolution(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 5, padding=2, bias=False), nn.BatchNorm2d(n_out, eps=1e-4, affine=False)]
