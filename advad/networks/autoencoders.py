"""Encoders and decoders that two or more methods share. A network of one method only is in that method's file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "leaky_relu": lambda: nn.LeakyReLU(0.2)}

INITS = {"glorot_uniform": nn.init.xavier_uniform_, "glorot_normal": nn.init.xavier_normal_}


def dense_encoder(
    image_shape: tuple[int, int, int],
    widths: Sequence[int],
    latent_dim: int,
    activation: str,
    last: str | None = None,
    init: str = "glorot_uniform",
) -> nn.Sequential:
    """Return a fully connected encoder, (B, C, H, W) -> (B, latent_dim).

    Parameters
    ----------
    image_shape : (C, H, W)
        Shape of one image.
    widths : sequence of int
        Units of the hidden layers, from the image inwards.
    latent_dim : int
        Units of the code.
    activation : {"sigmoid", "relu", "leaky_relu"}
        Activation after each hidden layer.
    last : same, optional
        Activation after the code; none unless given.
    init : {"glorot_uniform", "glorot_normal"}
        Distribution of the initial weights.
    """
    sizes = [math.prod(image_shape), *widths, latent_dim]
    return nn.Sequential(nn.Flatten(), *_dense_layers(sizes, activation, last, init))


def dense_decoder(
    image_shape: tuple[int, int, int], widths: Sequence[int], latent_dim: int, activation: str, **layers: Any
) -> nn.Sequential:
    """Return the mirror of `dense_encoder`, (B, latent_dim) -> (B, C, H, W).

    The parameters are those of `dense_encoder`; `last` follows the output pixels.
    """
    sizes = [latent_dim, *reversed(widths), math.prod(image_shape)]
    return nn.Sequential(*_dense_layers(sizes, activation, **layers), nn.Unflatten(1, image_shape))


def _dense_layers(
    sizes: Sequence[int], activation: str, last: str | None = None, init: str = "glorot_uniform"
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        linear = nn.Linear(n_in, n_out)
        # Initial weights of Glorot and Bengio, as in Keras, where ARAE was written. PyTorch's own are half as large:
        # through them a stack of sigmoids passes so little that it gives back the mean image for dozens of epochs.
        INITS[init](linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, ACTIVATIONS[activation]()]
    layers.pop()
    return layers if last is None else [*layers, ACTIVATIONS[last]()]


def halvings(height: int, width: int) -> list[tuple[int, int]]:
    """Return the feature-map sizes of the convolutional networks: halved while both sides stay at least 4."""
    sizes = [(height, width)]
    while min(sizes[-1]) // 2 >= 4:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def _channels(depth: int, width: int) -> list[int]:
    """Return the feature maps of each level: doubled at each, four times `width` at most."""
    return [width * min(2**level, 4) for level in range(depth)]


def conv_encoder(image_shape: tuple[int, int, int], latent_dim: int, width: int = 32) -> nn.Sequential:
    """Return a convolutional encoder, (B, C, H, W) -> (B, latent_dim), for images of 8 to 256 pixels a side.

    4×4 convolutions of stride 2 with leaky ReLU 0.2 down to a map of 4 to 7 pixels a side, then one linear layer. It
    is a smaller relative of the network of Bergmann et al. 2019, Table 1, not that network: their 3×3 and 8×8 layers
    of stride 1 are left out, and the maps are doubled at each level.

    `image_shape`, `latent_dim` and `width` are those of `dcgan_encoder`.
    """
    channels, *size = image_shape
    sizes = halvings(*size)
    maps = [channels, *_channels(len(sizes) - 1, width)]
    layers: list[nn.Module] = []
    for n_in, n_out in zip(maps[:-1], maps[1:], strict=True):
        layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(maps[-1] * math.prod(sizes[-1]), latent_dim))


def conv_decoder(
    image_shape: tuple[int, int, int], latent_dim: int, width: int = 32, last: str | None = None
) -> nn.Sequential:
    """Return the mirror of `conv_encoder`, (B, latent_dim) -> (B, C, H, W); `last` follows the output pixels."""
    channels, *size = image_shape
    sizes = halvings(*size)
    maps = [channels, *_channels(len(sizes) - 1, width)]
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, maps[-1] * math.prod(sizes[-1])),
        nn.Unflatten(1, (maps[-1], *sizes[-1])),
    ]
    for level in range(len(sizes) - 1, 0, -1):
        odd = (sizes[level - 1][0] % 2, sizes[level - 1][1] % 2)  # a side that was odd lost a pixel: give it back
        layers += [
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(maps[level], maps[level - 1], 4, stride=2, padding=1, output_padding=odd),
        ]
    return nn.Sequential(*layers) if last is None else nn.Sequential(*layers, ACTIVATIONS[last]())
