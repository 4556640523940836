"""What the reconstructing GANs share: networks like DCGAN's, a discriminator with features, losses, batch norm.

The encoder and the decoder are sequences with one block per level, so that a network with skip connections
(`networks.unet`) can be built of the same blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

from advad.networks.autoencoders import ACTIVATIONS, halvings

Norm = Callable[[int], nn.Module]  # feature maps -> the layer that normalises them
Network = TypeVar("Network", bound=nn.Module)


def feature_maps(image_shape: tuple[int, int, int], width: int) -> list[int]:
    """Return the number of feature maps at each size in `halvings`: C, width, 2·width, 4·width, then 8·width always.

    With width 64 and 32 pixels a side: [C, 64, 128, 256] (Shi and Zhang 2023, Table 7).
    """
    depth = len(halvings(*image_shape[1:])) - 1
    return [image_shape[0], *(width * min(2**level, 8) for level in range(depth))]


def dcgan_encoder(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    width: int = 64,
    norm: Norm = nn.BatchNorm2d,
    blocks: int | None = None,
    first_norm: bool = False,
) -> nn.Sequential:
    """Return an encoder like DCGAN's, (B, C, H, W) -> (B, latent_dim), for images of 8 to 256 pixels a side.

    Each block halves the sides: a 4×4 convolution of stride 2, `norm`, leaky ReLU 0.2; down to a map of 4 to 7 pixels a
    side. A last convolution over that whole map gives the code.

    Parameters
    ----------
    image_shape : (C, H, W)
        Shape of one image.
    latent_dim : int
        Units of the code.
    width : int
        Feature maps of the first level.
    norm : callable (int) -> Module
        Makes the normalising layers.
    blocks : int, optional
        Maximum number of blocks; as many as the image's size allows unless given.
    first_norm : bool
        Whether the first block has `norm`, too; DCGAN's has none.

    Source : Radford et al. 2016; Akçay et al. 2018; Shi and Zhang 2023, Table 7.
    """
    sizes, maps = halvings(*image_shape[1:]), feature_maps(image_shape, width)
    if blocks is not None:
        sizes, maps = sizes[: blocks + 1], maps[: blocks + 1]
    layers = []
    for level, (n_in, n_out) in enumerate(zip(maps[:-1], maps[1:], strict=True)):
        between = [norm(n_out)] if level or first_norm else []
        layers.append(nn.Sequential(nn.Conv2d(n_in, n_out, 4, 2, 1, bias=not between), *between, nn.LeakyReLU(0.2)))
    code = nn.Sequential(nn.Conv2d(maps[-1], latent_dim, sizes[-1]), nn.Flatten())
    return dcgan_weights(nn.Sequential(*layers, code))


def dcgan_decoder(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    width: int = 64,
    norm: Norm = nn.BatchNorm2d,
    last: str | None = "sigmoid",
) -> nn.Sequential:
    """Return the mirror of `dcgan_encoder`, (B, latent_dim) -> (B, C, H, W); the activation `last` ends it."""
    sizes, maps = halvings(*image_shape[1:]), feature_maps(image_shape, width)
    blocks = [nn.Sequential(nn.Unflatten(1, (latent_dim, 1, 1)), *from_code(latent_dim, maps[-1], sizes[-1], norm))]
    blocks += [upwards(maps[level], maps[level - 1], sizes[level - 1], norm) for level in range(len(sizes) - 1, 1, -1)]
    return dcgan_weights(nn.Sequential(*blocks, to_image(maps[1], image_shape, last)))


def dcgan_generator(
    image_shape: tuple[int, int, int], latent_dim: int, width: int = 64, norm: Norm = nn.BatchNorm2d
) -> nn.Sequential:
    """Return `dcgan_decoder` after `dcgan_encoder`, (B, C, H, W) -> (B, C, H, W), as `.decoder` and `.encoder`."""
    generator = nn.Sequential()
    generator.add_module("encoder", dcgan_encoder(image_shape, latent_dim, width, norm))
    generator.add_module("decoder", dcgan_decoder(image_shape, latent_dim, width, norm))
    return generator


def from_code(latent_dim: int, n_out: int, size: tuple[int, int], norm: Norm) -> nn.Sequential:
    """Return the block that makes the smallest map of a code, (B, latent_dim, 1, 1) -> (B, n_out, *size)."""
    return nn.Sequential(nn.ConvTranspose2d(latent_dim, n_out, size, bias=False), norm(n_out), nn.ReLU())


def upwards(n_in: int, n_out: int, size: tuple[int, int], norm: Norm) -> nn.Sequential:
    """Return a block that doubles the sides of a map, (B, n_in, H//2, W//2) -> (B, n_out, H, W) with size (H, W)."""
    return nn.Sequential(_doubling(n_in, n_out, size, bias=False), norm(n_out), nn.ReLU())


def to_image(n_in: int, image_shape: tuple[int, int, int], last: str | None) -> nn.Sequential:
    """Return the last block, (B, n_in, H//2, W//2) -> (B, C, H, W), without `norm`; the activation `last` ends it."""
    pixels = _doubling(n_in, image_shape[0], (image_shape[1], image_shape[2]), bias=True)
    return nn.Sequential(pixels) if last is None else nn.Sequential(pixels, ACTIVATIONS[last]())


def _doubling(n_in: int, n_out: int, size: tuple[int, int], bias: bool) -> nn.ConvTranspose2d:
    odd = (size[0] % 2, size[1] % 2)  # a side that was odd lost a pixel on the way down: give it back
    return nn.ConvTranspose2d(n_in, n_out, 4, 2, 1, output_padding=odd, bias=bias)


def dcgan_weights(network: Network) -> Network:
    """Draw the weights of convolutions from N(0, 0.02²), as DCGAN does, and return the network.

    Source : Radford et al. 2016, Sec. 3.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


class Discriminator(nn.Module):
    """A discriminator that also returns its features: `logit, features = discriminator(x)`.

    The layers are those of `dcgan_encoder`: all but the last give the features, the last one the logit.

    Parameters
    ----------
    image_shape : (C, H, W)
        Shape of one image.
    width : int
        Feature maps of the first level.
    norm : callable (int) -> Module
        Makes the normalising layers.
    blocks, first_norm
        See `dcgan_encoder`.

    Source : Akçay et al. 2018 (GANomaly), Sec. 3.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        width: int = 64,
        norm: Norm = nn.BatchNorm2d,
        blocks: int | None = None,
        first_norm: bool = False,
    ):
        super().__init__()
        layers = dcgan_encoder(image_shape, 1, width, norm, blocks, first_norm)
        self.features, self.classifier = layers[:-1], layers[-1]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of "real", (B,), and the features, (B, n_features), of images (B, C, H, W)."""
        features = self.features(x)
        return self.classifier(features)[:, 0], features.flatten(1)
