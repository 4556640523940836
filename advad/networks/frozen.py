"""Frozen encoders: random convolutions, or a network of torchvision's with weights from a file."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advad.checks import reject
from advad.files import expanded

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of torchvision's weights
GRID = 32  # places along a side, at most, of the random encoder's first level
RANDOM_LAYERS = ("level1", "level2")
RESNET_LAYERS = ("layer2", "layer3")  # Roth et al. 2022, Sec. 4.1


class FeatureMaps(nn.Module):
    """The outputs of some layers of a network as one map of features, (B, C, H, W) -> (B, D, h, w).

    Each output is averaged over 3×3 places and enlarged to the size of the first one.

    Parameters
    ----------
    network : Module
        It is used in evaluation mode.
    layers : sequence of str
        Names of its parts, as `named_modules` has them; () takes the network's output.
    mean, std : sequence of 3 floats, optional
        What colour images in [0, 1] are normalised by; grey ones are then repeated three times.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        layers: tuple[str, ...] = (),
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ):
        super().__init__()
        self.network, self.layers = network, layers
        known = dict(network.named_modules())
        if unknown := [name for name in layers if name not in known]:
            named = [name for name in known if name and "." not in name]
            reject("FeatureKNN", "layers", f"be parts of the encoder, such as {', '.join(named[:8])}", unknown[0])
        self.is_normalised = mean is not None
        if mean is not None and std is not None:
            self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.is_normalised:
            x = (x.expand(-1, 3, -1, -1) - self.mean) / self.std
        maps = [as_map(output) for output in self.outputs(x)]
        maps = [F.avg_pool2d(part, 3, stride=1, padding=1, count_include_pad=False) for part in maps]
        size = maps[0].shape[-2:]
        rest = [F.interpolate(part, size, mode="bilinear", align_corners=False) for part in maps[1:]]
        return torch.cat([maps[0], *rest], 1)

    def outputs(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the layers, in their order."""
        if not self.layers:
            return [self.network(x)]
        caught: dict[str, Tensor] = {}
        known = dict(self.network.named_modules())
        handles = [
            known[name].register_forward_hook(lambda *call, name=name: caught.__setitem__(name, call[2]))
            for name in self.layers
        ]
        try:
            self.network(x)
        finally:
            for handle in handles:
                handle.remove()
        return [caught[name] for name in self.layers]


def as_map(output: Tensor) -> Tensor:
    """Return features as a map, (B, D) -> (B, D, 1, 1); maps stay as they are.

    Raises
    ------
    TypeError
        The encoder gives something else.
    """
    if not isinstance(output, Tensor) or output.ndim not in (2, 4):
        reject("FeatureKNN", "encoder", "give features (B, D) or (B, D, h, w)", output, error=TypeError)
    return output[:, :, None, None] if output.ndim == 2 else output


def random_encoder(image_shape: tuple[int, int, int], layers: tuple[str, ...] | None) -> FeatureMaps:
    """Return convolutions with random weights; two levels of 64 and 128 features, from torch's own randomness.

    The first level has at most 32 places along the shorter side, so that a photograph has as many as a small image.
    """
    channels, height, width = image_shape
    halvings = max(1, math.ceil(math.log2(min(height, width) / GRID)))
    parts: list[nn.Module] = [_block(channels, 32)]
    parts += [_block(32, 32) for _ in range(halvings - 1)]
    network = nn.Sequential()
    network.add_module("stem", nn.Sequential(*parts))
    network.add_module("level1", nn.Sequential(_convolution(32, 64), nn.ReLU()))
    network.add_module("level2", nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), _convolution(64, 128), nn.ReLU()))
    return FeatureMaps(network, RANDOM_LAYERS if layers is None else layers)


def _block(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(_convolution(n_in, n_out), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True))


def _convolution(n_in: int, n_out: int) -> nn.Conv2d:
    """Return a 3×3 convolution that keeps the size of its inputs on average (He et al. 2015)."""
    layer = nn.Conv2d(n_in, n_out, 3, padding=1, padding_mode="replicate")
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def torchvision_encoder(
    owner: str, name: str, weights: str | Path | None, layers: tuple[str, ...] | None
) -> FeatureMaps:
    """Return a network of torchvision's with weights from a file; without a file its weights are untrained.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Torchvision has no network of this name, or the file holds other weights.
    """
    from torchvision import models

    known = models.list_models(models)
    if name not in known:
        close = [other for other in known if other.startswith(name[:3])][:3]
        remedy = f"For example {', '.join(close or ['resnet18', 'wide_resnet50_2'])}."
        reject(owner, "encoder", "be 'random', a network of torchvision's, or an nn.Module", name, remedy)
    network = models.get_model(name, weights=None)
    if weights is not None:
        _load_weights(owner, network, expanded(weights), name)
    if layers is None:
        if "resnet" not in name:
            parts = ", ".join(part for part, _ in network.named_children())
            reject(owner, "layers", f"name parts of {name} ({parts})", layers)
        layers = RESNET_LAYERS
    return FeatureMaps(network, layers, IMAGENET_MEAN, IMAGENET_STD)


def _load_weights(owner: str, network: nn.Module, path: Path, name: str) -> None:
    """Put the tensors of a file into a network; a .pth is read by torch's reader of tensors, which runs no code."""
    from safetensors.torch import load_file

    if not path.is_file():
        remedy = "Nothing is downloaded: save torchvision's weights there."
        reject(owner, "weights", "be a file that exists", str(path), remedy, FileNotFoundError)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        network.load_state_dict(state)
    except Exception as error:  # whatever another file leads to
        reason = " ".join(str(error).split())[:160]
        reject(owner, "weights", f"hold the state of {name}", f"{path.name}: {reason}")
