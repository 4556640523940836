"""U-Net and U-Net++ of their original papers, and the U-Net built of DCGAN's blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from advad.networks.autoencoders import halvings
from advad.networks.dcgan import Norm, dcgan_encoder, dcgan_weights, feature_maps, from_code, to_image, upwards

HALVINGS = 4  # of the original U-Nets


class DCGANUNet(nn.Module):
    """The encoder and decoder of DCGAN with a skip connection at each level; (B, C, H, W) -> (B, C, H, W).

    Each level of the decoder takes the map of the level below and the encoder's map of that level. `unet.encoder(x)` is
    the code, (B, latent_dim). There is no decoder: the image is no function of the code, since skip connections carry
    information past it.

    The parameters are those of `dcgan_encoder`.

    Source : Ronneberger et al. 2015; Radford et al. 2016.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], latent_dim: int, width: int = 64, norm: Norm = nn.BatchNorm2d
    ):
        super().__init__()
        sizes, maps = halvings(*image_shape[1:]), feature_maps(image_shape, width)
        self.encoder = dcgan_encoder(image_shape, latent_dim, width, norm)
        self.from_code = from_code(latent_dim, maps[-1], sizes[-1], norm)
        self.rows = nn.ModuleList(  # a list of one block a level: saved files name the blocks so
            nn.ModuleList([upwards(2 * maps[level + 1], maps[level], sizes[level], norm)])
            for level in range(len(sizes) - 2, 0, -1)
        )
        self.to_image = to_image(2 * maps[1], image_shape, "sigmoid")
        dcgan_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        down = []  # the encoder's maps from the largest to the smallest, and the code
        for block in self.encoder:
            x = block(x)
            down.append(x)
        code, smallest, *skips = reversed(down)
        joined = torch.cat([smallest, self.from_code(code[:, :, None, None])], 1)
        for skip, row in zip(skips, self.rows, strict=True):
            assert isinstance(row, nn.ModuleList)
            joined = torch.cat([skip, row[0](joined)], 1)
        return self.to_image(joined)


class UNetEncoder(nn.Module):
    """The encoder of `UNet`; (B, C, H, W) -> (B, latent_dim), the mean of the smallest map over its positions."""

    def __init__(self, maps: list[int], channels: int, norm: Norm):
        super().__init__()
        self.blocks = nn.ModuleList(
            _two_convolutions(n_in, n_out, norm) for n_in, n_out in zip([channels, *maps[:-1]], maps, strict=True)
        )

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the map of each level, from the size of the image to the smallest."""
        maps = []
        for level, block in enumerate(self.blocks):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x)[-1].mean((2, 3))


class UNet(nn.Module):
    """U-Net, or U-Net++ with its dense skip pathways, as in the original papers; (B, C, H, W) -> (B, C, H, W).

    Level 0 has the size of the image; each further level halves the sides, at most four times and to 2 pixels or more.
    A node is two 3×3 convolutions, each with `norm` and a ReLU. X_i,0 is the encoder's map at level i; X_i,j is made of
    the upsampled X_i+1,j−1 and of X_i,0 (U-Net), or of all X_i,0 … X_i,j−1 (U-Net++). The image is a 1×1 convolution of
    the last map at level 0, with a sigmoid. With `width` 64, `latent_dim` 512 and 32×32 pixels the levels have 32, 64,
    128, 256 and 512 maps, as in Zhou et al. 2018: 7.76 M and 9.04 M parameters.

    `unet.encoder(x)` is the code, (B, latent_dim). There is no decoder; see `DCGANUNet`.

    Parameters
    ----------
    image_shape : (C, H, W)
        Shape of one image, 4 pixels a side or more.
    latent_dim : int
        Feature maps of the smallest level, and units of the code.
    width : int
        Feature maps at half the image's size, as in `dcgan_encoder`; half of that at its full size.
    norm : callable (int) -> Module
        Makes the normalising layers.
    nested : bool
        Whether to be a U-Net++.

    Source : Ronneberger et al. 2015; Zhou et al. 2018, Fig. 1 and Table 3; Shi and Zhang 2023, Table 8.
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
        self.nested = nested
        sizes = [(image_shape[1], image_shape[2])]
        while len(sizes) <= HALVINGS and min(sizes[-1]) >= 4:
            sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
        depth = len(sizes) - 1
        maps = [max(1, width // 2) * 2**level for level in range(depth)] + [latent_dim]
        self.encoder = UNetEncoder(maps, image_shape[0], norm)
        self.upsamplings, self.nodes = nn.ModuleDict(), nn.ModuleDict()  # of X_i,j by the name "i,j"
        for name, level, column in self._places(depth):
            odd = (sizes[level][0] % 2, sizes[level][1] % 2)  # a side that was odd lost a pixel: give it back
            n_in, n_out = maps[level + 1], maps[level]
            self.upsamplings[name] = nn.ConvTranspose2d(n_in, n_out, 2, 2, output_padding=odd, bias=False)
            n_maps = column + 1 if nested else 2
            self.nodes[name] = _two_convolutions(n_maps * n_out, n_out, norm)
        self.to_image = nn.Sequential(nn.Conv2d(maps[0], image_shape[0], 1), nn.Sigmoid())
        dcgan_weights(self)

    def _places(self, depth: int) -> list[tuple[str, int, int]]:
        """Return name, level i and column j of all X_i,j with j > 0, in the order in which they can be computed."""
        columns = range(1, depth + 1)
        levels = {j: range(depth - j, -1, -1) if self.nested else [depth - j] for j in columns}
        return [(f"{i},{j}", i, j) for j in columns for i in levels[j]]

    def forward(self, x: Tensor) -> Tensor:
        rows = [[X] for X in self.encoder.maps(x)]  # X_i,0, X_i,1, … of each level i
        for name, level, _ in self._places(len(rows) - 1):
            below = rows[level + 1][len(rows[level]) - 1 if self.nested else -1]
            rows[level].append(self.nodes[name](torch.cat([*rows[level], self.upsamplings[name](below)], 1)))
        return self.to_image(rows[0][-1])


def _two_convolutions(n_in: int, n_out: int, norm: Norm) -> nn.Sequential:
    """Return a node, (B, n_in, H, W) -> (B, n_out, H, W)."""
    return nn.Sequential(
        *(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), norm(n_out), nn.ReLU()),
        *(nn.Conv2d(n_out, n_out, 3, padding=1, bias=False), norm(n_out), nn.ReLU()),
    )
