"""Occlusion: how the score of an image changes when a part of it is covered. A plain function of a score."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

PLACES = 2**16  # of all images that are looked at together


def occlusion_changes(
    score: Callable[[Tensor], Tensor], x: Tensor, filling: Tensor, *, patch: int, stride: int, batch_size: int
) -> Tensor:
    """Cover each place of each image in turn and return the change of the score, score(covered) − score(image).

    A pixel's value is the mean over the patches that cover it. A patch that already equals its filling changes
    nothing, so it costs no call and its change is exactly 0.

    Parameters
    ----------
    score : callable
        (B, C, H, W) -> (B,), on any device.
    x : Tensor of shape (N, C, H, W)
        Float in [0, 1].
    filling : Tensor of shape (N, C, H, W)
        What covers the patches; it may be an expanded number.
    patch : int
        Side of the covered square, in pixels; at most the image's shorter side.
    stride : int
        Step between patches, in pixels; at most `patch`. The last patch ends at the border, whatever the step.
    batch_size : int
        Covered images in one call.

    Returns
    -------
    Tensor of shape (N, H, W), float32, on the CPU
        Below 0 where the image without this place is less anomalous.

    Source : Zeiler and Fergus 2014, Sec. 4.2.
    """
    places = len(starts_along(x.shape[-2], patch, stride)) * len(starts_along(x.shape[-1], patch, stride))
    n = max(1, PLACES // places)  # images at a time: the lists of places would outgrow the images and their maps
    maps = torch.zeros(len(x), *x.shape[-2:])
    for first in range(0, len(x), n):
        k = slice(first, first + n)
        *_, changes = occlusion_batches(score, x[k], filling[k], patch=patch, stride=stride, batch_size=batch_size)
        assert changes is not None
        maps[k] = changes
    return maps


@torch.no_grad()
def occlusion_batches(
    score: Callable[[Tensor], Tensor], x: Tensor, filling: Tensor, *, patch: int, stride: int, batch_size: int
) -> Iterator[Tensor | None]:
    """Yield None after each batch, for other work meanwhile, and at last what `occlusion_changes` returns.

    Parameters
    ----------
    score, x, filling, patch, stride, batch_size
        As in `occlusion_changes`.
    """
    height, width = x.shape[-2:]
    # The book-keeping stays on the CPU, in float64, which Apple's devices lack; only images travel.
    tops, lefts = starts_along(height, patch, stride), starts_along(width, patch, stride)
    differs = (x != filling).any(dim=1, keepdim=True).float().cpu()  # (N, 1, H, W)
    altered = F.max_pool2d(differs, patch, stride=1)[:, 0, tops][:, :, lefts]  # (N, R, S): 1 where a patch differs
    which, row, column = altered.nonzero(as_tuple=True)  # (K,) each: the occlusions to try
    along = torch.arange(patch)

    before = torch.cat([score(batch) for batch in x.split(batch_size)]).cpu().double()  # (N,)
    change = torch.zeros(altered.shape, dtype=torch.float64)
    for first in range(0, len(which), batch_size):
        k = slice(first, first + batch_size)
        covered = x[which[k]]  # (B, C, H, W), a copy
        rows = (tops[row[k], None] + along)[:, :, None]  # (B, patch, 1)
        columns = (lefts[column[k], None] + along)[:, None, :]  # (B, 1, patch)
        patches = filling[which[k, None, None], :, rows, columns]  # (B, patch, patch, C)
        covered[torch.arange(len(covered))[:, None, None], :, rows, columns] = patches
        change[which[k], row[k], column[k]] = score(covered).cpu().double() - before[which[k]]
        yield None

    down, across = (_cover(starts, patch, length) for starts, length in ((tops, height), (lefts, width)))
    times = torch.outer(down.sum(dim=0), across.sum(dim=0))  # (H, W): how many patches cover each pixel
    yield ((down.T @ change @ across) / times).float()


def starts_along(length: int, patch: int, stride: int) -> Tensor:
    """Return where patches start along a side; the last one ends at the border."""
    last = length - patch
    return torch.tensor(sorted({*range(0, last, stride), last}))


def _cover(starts: Tensor, patch: int, length: int) -> Tensor:
    """Return 1 where a patch covers a pixel along a side, shape (number of patches, length)."""
    after = torch.arange(length) - starts[:, None]
    return ((after >= 0) & (after < patch)).double()
