"""From click to picture in the kernel: the latent explorer with 10,000 points, the brush; 28×28, ARAE's networks.

    python -m tests.bench_explorers

An event goes in as plotly's page sends it; the clock stops when all widgets have their new state. It is to take less
than 150 ms. The images are MNIST's where `ADVAD_DATA` holds it, else noise: how long it takes does not depend on that.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

import numpy as np
import torch

import advad
from advad.lab import explorers

ROUNDS, LIMIT = 30, 150.0


def pictures(n: int = 10_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Return n images of 28×28 and their classes."""
    if os.path.isdir(os.path.join(os.environ.get("ADVAD_DATA", "data"), "MNIST")):
        images = advad.load("MNIST")
        return images.images[-n:], images.labels[-n:]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return images, torch.randint(0, 10, (n,), generator=generator)


def strokes(detector: advad.AE, images: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """Print and return how long the brush takes to answer a stroke, in ms, for each fill."""
    brush = explorers.OcclusionBrush(detector, images, labels)
    medians = []
    for name, fill in brush.fill.options.items():
        brush.fill.value = fill
        taken = []
        for k in range(ROUNDS):
            start = time.perf_counter()
            brush.canvas.covered = list(range(300, 304 + 3 * k))
            taken.append(1000 * (time.perf_counter() - start))
        medians.append(statistics.median(taken))
        print(f"    stroke of {name:5}          median {medians[-1]:5.1f} ms   worst {max(taken):5.1f} ms")
    return medians


def main() -> int:
    """Print a line for each kind of event; return 1 if one takes too long."""
    torch.set_num_threads(1)
    images, labels = pictures()
    worst = 0.0
    for latent_dim in (2, 128):
        detector = advad.AE(epochs=1, latent_dim=latent_dim, device="cpu").fit(images[:2000], progress=False)
        start = time.perf_counter()
        explorer = explorers.LatentExplorer(detector, images, labels)
        print(f"latent_dim {latent_dim:3}: {len(images):,} points shown after {time.perf_counter() - start:.1f} s")
        random = np.random.default_rng(0)
        for kind, trace in (("click", 1), ("click", 0), ("hover", 1), ("hover", 0)):
            taken = []
            for index in random.integers(0, len(images), ROUNDS).tolist():
                x, y = explorer.map.points[index].tolist()
                where = {"trace_indexes": [trace], "point_indexes": [index if trace else [3, 4]], "xs": [x], "ys": [y]}
                message = {"event_type": f"plotly_{kind}", "points": where, "device_state": None, "selector": None}
                start = time.perf_counter()
                explorer.figure.widget._js2py_pointsCallback = message
                taken.append(1000 * (time.perf_counter() - start))
            median, high = statistics.median(taken), max(taken)
            print(
                f"    {kind} on {'a point' if trace else 'the plane':9}  median {median:5.1f} ms   worst {high:5.1f} ms"
            )
            worst = max(worst, median)
        worst = max(worst, *strokes(detector, images[:500], labels[:500]))
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
