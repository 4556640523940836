"""Networks that grow: each level doubles the image's side, and a new level is faded in.

Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and Variation. ICLR 2018.

Level 0 has 4×4 pixels, level k has 4·2ᵏ on each side. `depth` tells how far a network has grown: 2 is level 2; 1.25 is
level 2 with the share α = 0.25 of its own output and 0.75 of the output of level 1. It is stored with the weights, as a
Python number, so that no forward pass waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def levels_of(height: int, width: int) -> int:
    """Return the level whose images hold these: the smallest power of two that is at least the longer side."""
    return max(1, math.ceil(math.log2(max(height, width) / 4)))


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images resized to (height, width), bilinear and antialiased; unchanged if they have that size."""
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", antialias=True)


def depth_at(progress: float, levels: int) -> float:
    """Return the depth after this share of the growth: stay at 0, fade to 1, stay at 1, fade to 2, …, to `levels`.

    Parameters
    ----------
    progress : float in [0, 1]
        0 at the first step of the growth, 1 when it is over. All phases take equally long.
    levels : int
        The level to reach.
    """
    phase = min(progress, 1.0) * 2 * levels
    hold = math.floor(phase / 2)
    return hold + max(0.0, phase - 2 * hold - 1)


def faded(x: Tensor, depth: float) -> Tensor:
    """Return real images as a network of this depth sees them: (B, C, H, W) -> (B, C, h, w), h = w = 4·2^⌈depth⌉.

    While a level is being faded in, they are a blend of both levels' images as well.
    """
    level = math.ceil(depth)
    side = 4 * 2**level
    x = F.adaptive_avg_pool2d(x, side)
    alpha = depth - level + 1
    return x if level == 0 or alpha == 1 else torch.lerp(_twice(F.avg_pool2d(x, 2)), x, alpha)


def maps(level: int, width: int) -> int:
    """Return the feature maps of a level: `width` up to 32 pixels a side, then halved with each doubling."""
    return max(1, width >> max(0, level - 3))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class ScaledConv(nn.Conv2d):
    """A convolution with He's scale in the forward pass ("equalized learning rate"); its weights start as N(0, 1)."""

    def __init__(self, n_in: int, n_out: int, size: int = 3, gain: float = math.sqrt(2)):
        super().__init__(n_in, n_out, size, padding=size // 2)
        self.scale = gain / math.sqrt(n_in * size**2)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight * self.scale, self.bias, padding=self.padding)


class ScaledLinear(nn.Linear):
    """The same for a fully connected layer."""

    def __init__(self, n_in: int, n_out: int, gain: float = math.sqrt(2)):
        super().__init__(n_in, n_out)
        self.scale = gain / math.sqrt(n_in)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.scale, self.bias)


class PixelNorm(nn.Module):
    """Divide each pixel's features (or a latent code) by their root mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Growing(nn.Module):
    """A network whose state includes its depth; the method that trains it sets `depth`."""

    depth: float = 0.0

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.depth, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        self.depth = float(state)

    def top(self) -> tuple[int, float]:
        """Return the highest level in use and its share α of the output, in (0, 1]; level 0's is 1."""
        level = math.ceil(self.depth)
        return level, self.depth - level + 1


class GrowingGenerator(Growing):
    """G, (B, latent_dim) -> (B, C, h, w) with h = w = 4·2^⌈depth⌉; it normalises z, so ‖z‖ does not count.

    Parameters
    ----------
    channels : int
        C of the images, with pixels in about [−1, 1] (no activation follows the last layer).
    levels : int
        Depth of the fully grown network.
    latent_dim : int
        Units of z.
    width : int
        Feature maps up to 32 pixels a side; see `maps`.
    """

    def __init__(self, channels: int, levels: int, latent_dim: int, width: int):
        super().__init__()
        self.width = width
        self.dense = ScaledLinear(latent_dim, 16 * width, gain=math.sqrt(2) / 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *([] if level == 0 else _up(maps(level - 1, width), maps(level, width))),
                *_normed(maps(level, width), maps(level, width)),
            )
            for level in range(levels + 1)
        )
        self.to_image = nn.ModuleList(ScaledConv(maps(k, width), channels, 1, gain=1) for k in range(levels + 1))
        self.norm = PixelNorm()

    def forward(self, z: Tensor) -> Tensor:
        level, alpha = self.top()
        x = self.dense(self.norm(z)).view(-1, self.width, 4, 4)
        x = below = self.blocks[0](self.norm(F.leaky_relu(x, 0.2)))  # (B, width, 4, 4)
        for block in self.blocks[1 : level + 1]:
            below, x = x, block(x)
        image = self.to_image[level](x)
        return image if level == 0 or alpha == 1 else torch.lerp(_twice(self.to_image[level - 1](below)), image, alpha)


class Shrinking(Growing):
    """The mirror of `GrowingGenerator`, (B, C, h, w) -> (B, units).

    Parameters
    ----------
    channels, levels, width
        See `GrowingGenerator`.
    tail : sequence of modules
        Layers after the 4×4 features, (B, 16·width) -> (B, units).
    compares : bool
        Whether the last block is given how much the images of the batch differ ("minibatch standard deviation": the
        deviation of each feature over the batch, averaged). An output then depends on the other images of the
        batch.
    """

    def __init__(self, channels: int, levels: int, width: int, tail: Sequence[nn.Module], compares: bool = False):
        super().__init__()
        self.compares = compares
        self.from_image = nn.ModuleList(_layer(channels, maps(k, width), 1) for k in range(levels + 1))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                _layer(maps(k, width), maps(k, width)), _layer(maps(k, width), maps(k - 1, width)), nn.AvgPool2d(2)
            )
            for k in range(1, levels + 1)
        )
        self.head = nn.Sequential(_layer(width + compares, width), nn.Flatten(), *tail)

    def forward(self, x: Tensor) -> Tensor:
        maps_4x4 = self._maps(x)
        if self.compares:
            spread = (maps_4x4.float().var(0, correction=0) + 1e-8).sqrt().mean()
            maps_4x4 = self._with_spread(maps_4x4, spread)
        return self.head(maps_4x4)

    def features(self, x: Tensor) -> Tensor:
        """Return what the last layer is given, each image as a batch of its own; (B, C, h, w) -> (B, n)."""
        maps_4x4 = self._maps(x)
        if self.compares:
            maps_4x4 = self._with_spread(maps_4x4, maps_4x4.new_tensor(1e-8).sqrt())  # one image does not vary
        return self.head[:-1](maps_4x4)

    def _maps(self, x: Tensor) -> Tensor:
        level, alpha = self.top()
        features = self.from_image[level](x)
        for k in range(level, 0, -1):
            features = self.blocks[k - 1](features)  # (B, maps, 4·2ᵏ⁻¹, 4·2ᵏ⁻¹)
            if k == level and alpha < 1:
                features = torch.lerp(self.from_image[k - 1](F.avg_pool2d(x, 2)), features, alpha)
        return features

    @staticmethod
    def _with_spread(features: Tensor, spread: Tensor) -> Tensor:
        return torch.cat([features, spread.to(features.dtype).expand(len(features), 1, 4, 4)], 1)


class GrowingCritic(Shrinking):
    """D, (B, C, h, w) -> (B, 1); it compares the images of a batch, in one group. Parameters: see `Shrinking`."""

    def __init__(self, channels: int, levels: int, width: int):
        tail = [ScaledLinear(16 * width, width), nn.LeakyReLU(0.2), ScaledLinear(width, 1, gain=1)]
        super().__init__(channels, levels, width, tail, compares=True)


class GrowingEncoder(Shrinking):
    """E, (B, C, h, w) -> (B, latent_dim), each image separately; its last layer, with a leaky ReLU, is the code."""

    def __init__(self, channels: int, levels: int, latent_dim: int, width: int):
        super().__init__(channels, levels, width, [ScaledLinear(16 * width, latent_dim), nn.LeakyReLU(0.2)])


def _layer(n_in: int, n_out: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(ScaledConv(n_in, n_out, size), nn.LeakyReLU(0.2))


def _normed(n_in: int, n_out: int) -> list[nn.Module]:
    return [ScaledConv(n_in, n_out), nn.LeakyReLU(0.2), PixelNorm()]


def _up(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Upsample(scale_factor=2.0, mode="nearest"), *_normed(n_in, n_out)]
