"""Residual networks of the Wasserstein GAN with gradient penalty: generator, critic and encoder.

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville: Improved Training of Wasserstein GANs. NIPS 2017, Appendix C ("Good"),
as f-AnoGAN's released code uses them: one block per halving, down to 4 to 7 pixels a side. Images are in [−1, 1].
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from advad.networks.autoencoders import halvings


class ChannelsLastLayerNorm(nn.LayerNorm):
    """Layer normalisation over C, H and W, (B, C, H, W) -> the same, channels last in memory, like a convolution.

    PyTorch's own returns channels first, so that the layers after it, and their gradients, copy or are slow.
    """

    def forward(self, input: Tensor) -> Tensor:
        x, weight, bias = input.permute(0, 2, 3, 1), self.weight.permute(1, 2, 0), self.bias.permute(1, 2, 0)
        return F.layer_norm(x, list(x.shape[1:]), weight, bias, self.eps).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Norm, ReLU, 3×3 convolution, twice, in parallel with a 1×1 convolution; both paths change the size.

    Parameters
    ----------
    n_in, n_out : int
        Feature maps of input and output.
    size : (height, width)
        Size of the input.
    resize : Module
        Upsampling, which comes before the first convolution, or pooling, which comes after the second.
    norm : {"batch", "layer"}
        Normalisation. The critic takes "layer", because its penalty is defined for each image separately.
    bias : bool
        Whether the output has a bias.
    """

    def __init__(self, n_in: int, n_out: int, size: tuple[int, int], resize: nn.Module, norm: str, bias: bool = True):
        super().__init__()
        up = isinstance(resize, nn.Upsample)
        middle = n_out if up else n_in
        inside = (round(resize.size[0]), round(resize.size[1])) if up else size  # type: ignore[index]
        first = [resize] if up else []
        self.residual = nn.Sequential(
            _norm(norm, n_in, size),
            nn.ReLU(),
            *first,
            nn.Conv2d(n_in, middle, 3, padding=1, bias=False),
            _norm(norm, middle, inside),
            nn.ReLU(),
            nn.Conv2d(middle, n_out, 3, padding=1, bias=bias),
            *([] if up else [resize]),
        )
        self.shortcut = nn.Sequential(resize, nn.Conv2d(n_in, n_out, 1, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.residual(x)


def residual_generator(image_shape: tuple[int, int, int], latent_dim: int, width: int) -> nn.Sequential:
    """Return a generator, (B, latent_dim) -> (B, C, H, W) in [−1, 1], for images of 8 to 256 pixels a side.

    `image_shape` and `latent_dim` are those of `dcgan_encoder`. `width` is the number of feature maps at the full size;
    they double with each halving, up to eight times as many.
    """
    channels, *size = image_shape
    sizes = halvings(*size)
    maps = _maps(len(sizes), width)
    blocks = [
        Block(maps[level + 1], maps[level], sizes[level + 1], nn.Upsample(sizes[level], mode="nearest"), "batch")
        for level in range(len(sizes) - 2, -1, -1)
    ]
    return nn.Sequential(
        nn.Linear(latent_dim, maps[-1] * math.prod(sizes[-1])),
        nn.Unflatten(1, (maps[-1], *sizes[-1])),
        *blocks,
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, channels, 3, padding=1),
        nn.Tanh(),
    )


def residual_critic(image_shape: tuple[int, int, int], units: int, width: int, norm: str) -> nn.Sequential:
    """Return the mirror of `residual_generator`, (B, C, H, W) -> (B, units): a critic ("layer") or encoder ("batch").

    The last layer is linear; all layers before it, `network[:-1]`, give the features, (B, n). A Wasserstein critic is
    determined up to a constant only, so that the biases after its last normalisation, which add one, are left out.

    Parameters
    ----------
    image_shape, width
        See `residual_generator`.
    units : int
        Units of the output.
    norm : {"batch", "layer"}
        See `Block`.
    """
    channels, *size = image_shape
    sizes = halvings(*size)
    maps = _maps(len(sizes), width)
    top = len(sizes) - 2
    blocks = [
        Block(maps[k], maps[k + 1], sizes[k], nn.AvgPool2d(2), norm, bias=norm == "batch" or k < top)
        for k in range(top + 1)
    ]
    head = nn.Linear(maps[-1] * math.prod(sizes[-1]), units, bias=norm == "batch")
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), *blocks, nn.Flatten(), head)


def _maps(levels: int, width: int) -> list[int]:
    return [width * min(2**level, 8) for level in range(levels)]


def _norm(norm: str, maps: int, size: tuple[int, int]) -> nn.Module:
    return nn.BatchNorm2d(maps) if norm == "batch" else ChannelsLastLayerNorm([maps, *size])
