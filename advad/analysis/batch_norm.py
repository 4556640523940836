"""Scores with batch normalisation in training mode, where an image's score depends on the images beside it.

In evaluation mode a batch-normalised network maps each image by itself. In training mode it normalises by the mean
and variance of the batch, so that the batch tells it what is usual: shuffled test images tell it the mix of the test
set, images in the order of their classes tell it the class. Released code that never calls `eval()` scores like this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from advad.analysis.inputs import as_pixels, as_score
from advad.checks import check_number, reject

MODES = ("evaluation", "training, shuffled", "training, in class order")


@contextmanager
def batch_statistics(detector: Any) -> Iterator[None]:
    """Let a detector's batch normalisation use each batch's own mean and variance, as in training.

    On leaving, also by an error, every such layer has its former mode and running statistics, bit for bit.

    Parameters
    ----------
    detector : detector
        Fitted; its `networks_` must have batch normalisation.
    """
    layers = [layer for layer in detector.networks_.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        remedy = "Without it, evaluation and training mode are the same: there is nothing to gain."
        reject("batch_statistics", "detector", "have batch normalisation", type(detector).__name__, remedy)
    modes = [layer.training for layer in layers]
    former = [[(buffer, buffer.clone()) for buffer in layer.buffers()] for layer in layers]
    try:
        for layer in layers:
            layer.train()
        yield
    finally:
        for layer, mode, buffers in zip(layers, modes, former, strict=True):
            layer.train(mode)
            for buffer, value in buffers:
                buffer.copy_(value)


def scores_in_batches(detector: Any, X: Any, order: Any, batch_size: int) -> np.ndarray:
    """Return each image's score with batch normalisation by the batch it happens to be in, (N,).

    Parameters
    ----------
    detector : detector
        Fitted, with batch normalisation.
    X : array of shape (N, C, H, W) or (N, H, W)
        `uint8`, or float in [0, 1].
    order : array of shape (N,)
        A permutation: batches are cut from `X[order]`. The scores come back in the order of X.
    batch_size : int
        At least 2. Batches are as equal as can be and hold no fewer images (so none is left over alone).
    """
    owner = "scores_in_batches"
    check_number(owner, "batch_size", batch_size, 2, integer=True, remedy="One image has no variance.")
    score, x, order = as_score(owner, detector), as_pixels(owner, "X", X, detector), np.asarray(order)
    if not np.array_equal(np.sort(order), np.arange(len(x))):
        reject(owner, "order", f"be a permutation of 0 … {len(x) - 1}", order)
    scores = np.empty(len(x))
    with batch_statistics(detector), torch.no_grad():
        for part in np.array_split(order, max(1, len(x) // batch_size)):
            scores[part] = score(x[torch.as_tensor(part, device=x.device)]).float().cpu().numpy()
    return scores


def score_modes(detector: Any, X: Any, labels: Any, *, batch_size: int = 64, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the scores of images in each of the `MODES`, by the mode's name, (N,) each.

    Parameters
    ----------
    detector : detector
        Fitted, with batch normalisation.
    X : array of shape (N, C, H, W) or (N, H, W)
        Number of test images.
    labels : array of shape (N,)
        Their classes, by which the third mode sorts them.
    batch_size : int
        As in `scores_in_batches`.
    seed : int
        Seed of the shuffling.
    """
    orders = np.random.default_rng(seed).permutation(len(X)), np.argsort(np.asarray(labels), kind="stable")
    batched = (scores_in_batches(detector, X, order, batch_size) for order in orders)
    return dict(zip(MODES, (np.asarray(detector.anomaly_score(X), dtype=float), *batched), strict=True))
