"""UNet and UNet++: the DCGAN-like encoder and decoder of `engine.adversarial`, with skip connections between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from advad.networks.autoencoders import halvings
from advad.networks.dcgan import Norm, dcgan_encoder, dcgan_weights, feature_maps, from_code, to_image, upwards


class UNet(nn.Module):
    """A generator whose decoder sees the encoder's maps as well as the code; (B, C, H, W) -> (B, C, H, W).

    Level 0 is the image, level d the smallest map, and the code stands below it. At level l the encoder has the map
    X_l, and the decoder one map, or, in UNet++ ("dense skip pathways"), several: the j-th is made from X and the first
    j − 1 decoder maps of the level below. The image is made from all that level 1 has.

    The image is no function of the code: skip connections carry information past it. So there is an `encoder`
    (`unet.encoder(x)` is the code), but no decoder. Where the image is halved once only (8 to 15 pixels a side),
    UNet and UNet++ are the same network.

    Parameters
    ----------
    image_shape : (C, H, W)
        Shape of one image, 8 to 256 pixels a side.
    latent_dim : int
        Units of the code.
    width : int
        Feature maps of the first level.
    norm : callable (int) -> Module
        Makes the normalising layers.
    nested : bool
        Whether to be a UNet++.

    Source : Ronneberger et al. 2015; Zhou et al. 2020; Shi and Zhang 2023, Fig. 5.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        latent_dim: int,
        width: int = 64,
        norm: Norm = nn.BatchNorm2d,
        nested: bool = False,
    ):
        super().__init__()
        sizes, maps = halvings(*image_shape[1:]), feature_maps(image_shape, width)
        self.encoder = dcgan_encoder(image_shape, latent_dim, width, norm)
        self.from_code = from_code(latent_dim, maps[-1], sizes[-1], norm)
        self.rows = nn.ModuleList()  # the decoder's blocks of each level, from d − 1 to 1
        n_below = 2  # maps at level d: the encoder's and the one made from the code
        for level in range(len(sizes) - 2, 0, -1):
            taken = range(1, n_below + 1) if nested else [n_below]
            blocks = [upwards(n * maps[level + 1], maps[level], sizes[level], norm) for n in taken]
            self.rows.append(nn.ModuleList(blocks))
            n_below = 1 + len(blocks)
        self.to_image = to_image(n_below * maps[1], image_shape, "sigmoid")
        dcgan_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        down = []  # X_1 to X_d, and the code
        for block in self.encoder:
            x = block(x)
            down.append(x)
        code, *down = reversed(down)
        below = [down[0], self.from_code(code[:, :, None, None])]
        for X, row in zip(down[1:], self.rows, strict=True):
            assert isinstance(row, nn.ModuleList)
            first = 1 + len(below) - len(row)  # how many maps the row's first block takes: 1 if nested, else all
            below = [X, *(block(torch.cat(below[: first + j], 1)) for j, block in enumerate(row))]
        return self.to_image(torch.cat(below, 1))
