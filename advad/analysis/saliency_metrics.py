"""Comparing saliency maps: with each other, and with the places where they should be."""

from __future__ import annotations

from typing import Any

import numpy as np

from advad.analysis.inputs import as_numbers
from advad.checks import reject
from advad.images import as_numpy


def rank_correlation(maps: Any, others: Any) -> np.ndarray:
    """Spearman's correlation of two maps of each image: do they rank its pixels alike?

    Parameters
    ----------
    maps, others : array-like of shape (N, H, W)
        Maps in any units.

    Returns
    -------
    ndarray of shape (N,), in [-1, 1]
        1 for the same order of pixels, about 0 for maps that have nothing to do with each other; NaN where a map is
        the same everywhere.

    Raises
    ------
    ValueError
        Different shapes, NaN.

    Source : Adebayo et al. 2018, Sec. 3.
    """
    from scipy.stats import rankdata

    first, second = _pair("rank_correlation", "others", maps, others)
    ranks = [rankdata(values.reshape(len(values), -1), axis=1) for values in (first, second)]
    a, b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.divide((a * b).sum(axis=1), lengths, out=np.full(len(a), np.nan), where=lengths > 0)


def weight_share(maps: Any, places: Any) -> np.ndarray:
    """Share of each map's weight, Σ|value|, that lies on given places.

    Parameters
    ----------
    maps : array-like of shape (N, H, W)
    places : array-like of shape (N, H, W)
        Above 0 = counts.

    Returns
    -------
    ndarray of shape (N,), in [0, 1]
        0 where a map is empty. What it would be by chance is the places' share of the image.

    Raises
    ------
    ValueError
        Different shapes, NaN.
    """
    values, where = _pair("weight_share", "places", maps, places)
    weight = np.abs(values)
    total = weight.sum(axis=(1, 2))
    return np.divide((weight * (where > 0)).sum(axis=(1, 2)), total, out=np.zeros(len(total)), where=total > 0)


def _pair(owner: str, name: str, maps: Any, others: Any) -> tuple[np.ndarray, np.ndarray]:
    first, second = as_numbers(owner, "maps", maps, 3), as_numbers(owner, name, others, 3)
    if first.shape != second.shape:
        reject(owner, name, f"have shape {first.shape}, as the maps", as_numpy(others))
    return first, second
