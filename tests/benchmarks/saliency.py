"""Occlusion at every pixel of a 28×28 image: ours against Captum's `Occlusion` at its best setting.

    python -m tests.benchmarks.saliency

Captum is no dependency of advad: `pip install captum` brings it. Both get the same score function, networks and image,
on one thread; the runs alternate in one process, and the figure is the median of the ratios of neighbouring runs.
Each digit, covered with black, is to cost at most a third: ours skips pixels that are black already. The image of
noise, which has none, shows what is left without that. Digits are the first of each class in MNIST's test set where
`ADVAD_DATA` holds it, else scikit-learn's, enlarged to 20×20 with a margin of 4, as MNIST's are.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advad.analysis.saliency import occlusion_map

ROUNDS = 30
PERTURBATIONS = (1, 16, 64, 128, 256, 784)  # Captum's own choice is 1


def handwritten() -> Tensor:
    """Return a real handwritten digit of each class, (10, 1, 28, 28)."""
    root = os.environ.get("ADVAD_DATA", "data")
    if os.path.isdir(os.path.join(root, "MNIST")):
        from torchvision.datasets import MNIST

        digits = MNIST(root, train=False)
        return torch.stack([digits.data[digits.targets == k][:1] for k in range(10)]) / 255
    from sklearn.datasets import load_digits

    small = torch.tensor(load_digits().images[:10] / 16, dtype=torch.float32)[:, None]  # they begin with 0 to 9
    return nn.functional.pad(nn.functional.interpolate(small, size=(20, 20), mode="bilinear"), (4, 4, 4, 4))


def dense() -> nn.Module:
    """ARAE's network for MNIST: 784-512-256-128 and mirror, a sigmoid after each layer."""
    sizes = 784, 512, 256, 128, 256, 512, 784
    layers = [layer for pair in zip(sizes, sizes[1:], strict=False) for layer in (nn.Linear(*pair), nn.Sigmoid())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Unflatten(1, (1, 28, 28)))


def convolutional() -> nn.Module:
    """A small autoencoder of strided and transposed convolutions."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 49, 64), nn.Linear(64, 32 * 49), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid(),
    )  # fmt: skip


def mean_squared_error(network: nn.Module, x: Tensor) -> Tensor:
    """Score images by their reconstruction error, (B,)."""
    return (x - network(x)).square().mean(dim=(1, 2, 3))


def milliseconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def compare(occlusion: Any, score: Callable[[Tensor], Tensor], image: Tensor) -> tuple[float, str]:
    """Return the ratio of our time to Captum's on an image, and a line that tells it."""
    captum = occlusion(score)

    def ours() -> np.ndarray:
        return occlusion_map(score, image)

    @torch.no_grad()
    def theirs(size: int) -> Tensor:  # score(image) − score(occluded): the other sign
        return captum.attribute(image, (1, 1, 1), baselines=0, perturbations_per_eval=size)

    apart = np.abs(ours() + theirs(64)[0].numpy()).max()
    best = min(PERTURBATIONS, key=lambda size: min(milliseconds(lambda: theirs(size)) for _ in range(5)))
    pairs = [(milliseconds(ours), milliseconds(lambda: theirs(best))) for _ in range(ROUNDS)]
    ratio = statistics.median(mine / their for mine, their in pairs)
    mine, their = (statistics.median(column) for column in zip(*pairs, strict=True))
    return ratio, (
        f"ours {mine:5.1f} ms   Captum {their:5.1f} ms at {best:3} perturbations a call   ratio {ratio:.2f}"
        f"   {(image == 0).float().mean():4.0%} black   maps differ by at most {apart:.0e}"
    )


def main() -> int:
    """Print a line for each network and image; return 1 if a digit costs more than a third."""
    try:
        from captum.attr import Occlusion
    except ImportError:
        print("Captum is not installed. It is no dependency of advad: pip install captum")
        return 2
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = {str(k): image[None] for k, image in enumerate(handwritten())} | {"noise": torch.rand(1, 1, 28, 28)}
    worst = 0.0
    for kind, network in (("dense", dense().eval()), ("convolutional", convolutional().eval())):
        score = partial(mean_squared_error, network)
        for name, image in images.items():
            ratio, line = compare(Occlusion, score, image)
            print(f"{kind:13} {name:5}  {line}")
            if name != "noise":
                worst = max(worst, ratio)
    print(f"worst ratio of a digit {worst:.2f}; wanted at most 0.33")
    return int(worst > 1 / 3)


if __name__ == "__main__":
    sys.exit(main())
