"""Which pixels a detector looks at: occlusion maps, and two tests of whether to believe them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from advad.analysis.inputs import as_numbers, as_pixels, as_score
from advad.analysis.metrics import auroc
from advad.checks import check_number, reject
from advad.images import as_numpy
from advad.occlusion import occlusion_batches, occlusion_changes, starts_along

FIRST_PIXELS, BATCH_PIXELS = 2**21, 2**20  # pixels of all occluded images of `occlusion_maps`: first map, each batch


def occlusion_map(
    score: Any, images: Any, *, patch: int = 1, stride: int = 1, fill: float = 0.0, batch_size: int = 512
) -> np.ndarray:
    """Occlude each place of each image in turn and map the change of the score: score(occluded) − score(image).

    A pixel's value is the mean over the patches that cover it; with `patch=1` (occlusion-1) it is that pixel's change.
    A patch that already has the fill value changes nothing, so it costs no call and its change is exactly 0.

    Parameters
    ----------
    score : detector or callable
        A callable takes a float Tensor (B, C, H, W) in [0, 1] and returns B scores, higher = more anomalous.
    images : array-like of shape (N, C, H, W) or (N, H, W)
        `uint8`, or float in [0, 1].
    patch : int
        Side of the occluded square, in pixels; at most the image's shorter side.
    stride : int
        Step between patches, in pixels; at most `patch`. The last patch ends at the border, whatever the step.
    fill : float in [0, 1]
        What covers the patch; 0 is black. Occluding dark pixels of a bright image says nothing of them unless the
        fill differs: compare several.
    batch_size : int
        Occluded images in one call.

    Returns
    -------
    ndarray of shape (N, H, W), float32, in units of the score
        Below 0 (red in the paper): without this place the image is *less* anomalous, so the place is suspicious.
        Above 0 (blue): the place speaks for a normal image.

    Raises
    ------
    TypeError, ValueError
        Bad images or numbers; a score that is not finite or not one number per image.

    Source : Salehi et al. 2020 (ARAE), "Interpreting with Occlusion-1"; Zeiler and Fergus 2014.
    """
    owner = "occlusion_map"
    function = as_score(owner, score)
    x = as_pixels(owner, "images", images, score)  # (N, C, H, W)
    height, width = x.shape[-2:]
    check_number(owner, "patch", patch, 1, min(height, width), integer=True)
    check_number(owner, "stride", stride, 1, patch, integer=True, remedy="A longer step leaves pixels uncovered.")
    check_number(owner, "fill", fill, 0, 1)
    check_number(owner, "batch_size", batch_size, 1, integer=True)
    filling = x.new_tensor(fill).expand_as(x)
    return occlusion_changes(function, x, filling, patch=patch, stride=stride, batch_size=batch_size).numpy()


class CoarseMap(NamedTuple):
    """An occlusion map, (H, W), of squares of a side and a stride in pixels; with stride 1 it is the finest."""

    values: np.ndarray
    side: int
    stride: int


def occlusion_maps(score: Any, image: np.ndarray, *, patch: int = 1, fill: float = 0.0) -> Iterator[CoarseMap | None]:
    """Yield occlusion maps of one image from coarse to fine: large squares first, for an answer at once.

    The sides of the squares halve until `patch`, whose map with stride 1 is the last. The first map is the finest that
    costs about two million pixels of occluded images; so up to 37×37 grey pixels, it is the last one as well.

    Parameters
    ----------
    score, patch, fill
        As in `occlusion_map`.
    image : ndarray of shape (C, H, W)
        `uint8`, or float in [0, 1].

    Yields
    ------
    CoarseMap or None
        A map, as `occlusion_map` returns it; None after each batch of images, so that other work can be done meanwhile.
    """
    function, x = as_score("occlusion_maps", score), as_pixels("occlusion_maps", "image", image[None], score)
    size, (height, width), filling = x[0].numel(), x.shape[2:], x.new_tensor(fill).expand_as(x)
    levels = [(patch, 1)]  # side and stride, from fine to coarse
    side = patch if patch > 1 else 2
    while side <= min(height, width):
        levels.append((side, side))
        side *= 2
    costs = [size * len(starts_along(height, *level)) * len(starts_along(width, *level)) for level in levels]
    first = next((k for k, cost in enumerate(costs) if cost <= FIRST_PIXELS), len(levels) - 1)
    for side, stride in reversed(levels[: first + 1]):
        batches = occlusion_batches(
            function, x, filling, patch=side, stride=stride, batch_size=max(1, BATCH_PIXELS // size)
        )
        for changes in batches:
            yield None if changes is None else CoarseMap(changes[0].numpy(), side, stride)


class Agreement(NamedTuple):
    """How well maps find the defects of `images` images: the means of the AUROC and of the IoU, both in [0, 1]."""

    auroc: float
    iou: float
    images: int


def mask_agreement(maps: Any, masks: Any) -> Agreement:
    """Compare maps with ground-truth masks, image by image.

    Parameters
    ----------
    maps : array-like of shape (N, H, W)
        Higher = more suspicious. An occlusion map is *low* at suspicious places: pass its negative.
    masks : array-like of shape (N, H, W)
        Above 0 = defect. Images whose mask is empty or full are left out.

    Returns
    -------
    Agreement
        `auroc` of the pixels of an image, and `iou`: intersection over union of the mask and the map's highest
        pixels, as many as the mask has (and all that tie with the last of them). Both higher = better, and both means
        over the images; chance is 0.5 for the AUROC.

    Raises
    ------
    ValueError
        Different shapes, NaN, or no image with both a defect and sound pixels.
    """
    maps = as_numbers("mask_agreement", "maps", maps, 3)
    defects = as_numbers("mask_agreement", "masks", masks, 3) > 0
    if defects.shape != maps.shape:
        reject("mask_agreement", "masks", f"have shape {maps.shape}, as the maps", as_numpy(masks))
    aurocs, ious = [], []
    for values, defect in zip(maps, defects, strict=True):
        area = int(defect.sum())
        if area in (0, defect.size):
            continue
        aurocs.append(auroc(defect.ravel(), values.ravel()))
        detected = values >= np.sort(values, axis=None)[-area]
        ious.append((detected & defect).sum() / (detected | defect).sum())
    if not ious:
        reject("mask_agreement", "masks", "hold at least one image with defect and sound pixels", as_numpy(masks))
    return Agreement(float(np.mean(aurocs)), float(np.mean(ious)), len(ious))


def randomised_weights(detector: Any, *, seed: int = 0) -> Any:
    """Return a copy of a detector that has forgotten what it learned: each weight tensor's entries are shuffled.

    A map that looks the same for the copy shows the image, not what the detector learned. Shuffling in place of a new
    draw keeps the scale of every layer, so that the copy's scores and maps stay comparable.

    Parameters
    ----------
    detector : detector
        Fitted, with its networks in `networks_`; it is not changed.
    seed : int

    Raises
    ------
    TypeError
        The detector has no networks (it is classical, or not fitted).

    Source : Adebayo et al. 2018, the model parameter randomisation test (which draws new weights).
    """
    check_number("randomised_weights", "seed", seed, 0, 2**63 - 1, integer=True)
    if not isinstance(getattr(detector, "networks_", None), torch.nn.Module):
        reject("randomised_weights", "detector", "be a fitted detector with networks", detector, error=TypeError)
    forgetful = copy.deepcopy(detector)
    generator = torch.Generator().manual_seed(int(seed))
    with torch.no_grad():
        for weights in forgetful.networks_.parameters():
            order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
            weights.copy_(weights.flatten()[order].view_as(weights))
    return forgetful
