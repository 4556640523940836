"""What an evaluation of robustness costs: 200 MNIST images and a dense autoencoder; batches against single images.

    python -m tests.benchmarks.attacks

On one thread. Wanted: the ensemble with its checks in under 120 seconds, and 64 images at a time at least 5 times as
fast as one by one. Images are MNIST's test images where `ADVAD_DATA` holds them, else noise of their size:
the cost does not depend on what they show.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

import advad
from advad.analysis.attack_ensemble import APGD, Budget, target_of, worst_case
from advad.analysis.robustness import evaluate

NORMAL = 8
WIDTHS = (512, 256)
SECONDS = 120
SPEEDUP = 5


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return 200 normal images and 200 anomalies, uint8 of shape (200, 1, 28, 28)."""
    folder = os.environ.get("ADVAD_DATA")
    if folder and (Path(folder) / "MNIST").is_dir():
        split = advad.one_class(advad.load("MNIST"), normal=NORMAL, seed=0)
        test, anomalous = split.test.numpy(), np.asarray(split.test_is_anomaly)
        return test[~anomalous][:200], test[anomalous][:200]
    noise = np.random.default_rng(0).integers(0, 256, (400, 1, 28, 28), dtype=np.uint8)
    return noise[:200], noise[200:]


def main() -> int:
    """Print both figures; return 1 if one of them misses its mark."""
    torch.set_num_threads(1)
    normals, anomalies = images()
    detector = advad.AE(widths=WIDTHS, latent_dim=128, epochs=5, batch_size=64, device="cpu")
    detector.fit(normals, progress=False)

    start = time.process_time()  # on one thread: others may share the processor
    found = evaluate(detector, normals, anomalies, 0.1, progress=False)
    seconds = time.process_time() - start
    print(f"ensemble with checks, 200 images, {Budget()}: {seconds:.0f} s; wanted under {SECONDS}")
    print(found)

    x = torch.tensor(normals[:64] / 255, dtype=torch.float32)
    target = target_of("bench_attacks", detector, x[:2], 2)
    taken = {}
    for size in (64, 1):
        start = time.perf_counter()
        budget = Budget(steps=20, starts=1)
        worst_case(target, x, 1, norm="linf", radius=0.1, budget=budget, batch_size=size, members=(APGD,))
        taken[size] = time.perf_counter() - start
    ratio = taken[1] / taken[64]
    print(f"APGD on 64 images: {taken[1]:.1f} s one by one, {taken[64]:.2f} s in a batch: {ratio:.1f} times as fast")
    return int(seconds > SECONDS or ratio < SPEEDUP)


if __name__ == "__main__":
    sys.exit(main())
