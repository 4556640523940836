"""Attacks on verdicts: at which radius does a detector with a calibrated threshold change its mind?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from advad.analysis.attack_ensemble import PIXEL_UNITS, Budget, attackable, rising_radii, scores_of, worst_case
from advad.checks import check_number
from advad.files import expanded
from advad.progress import progress_bar


@dataclass(frozen=True)
class DecisionCurve:
    """How many verdicts an attacker changes, over the radius.

    Attributes
    ----------
    threshold : float
        Scores above it raise an alarm.
    radii : ndarray of shape (R + 1,)
        In pixel units; the first is 0, without an attack.
    false_alarms : ndarray of shape (R + 1,)
        Share of the normals that can be moved above the threshold.
    misses : ndarray of shape (R + 1,)
        Share of the anomalies that can be moved to the threshold or below it.
    normals_cross_at, anomalies_cross_at : ndarray of shape (N,) and (M,)
        The smallest of the radii at which each image's verdict is wrong; infinite where none is.
    """

    threshold: float
    radii: np.ndarray
    false_alarms: np.ndarray
    misses: np.ndarray
    normals_cross_at: np.ndarray
    anomalies_cross_at: np.ndarray


def decision_curve(
    detector: Any,
    normals: ArrayLike | Tensor,
    anomalies: ArrayLike | Tensor,
    radii: Sequence[float],
    *,
    threshold: float | None = None,
    folder: str | Path | None = None,
    norm: str = "linf",
    budget: Budget | None = None,
    seed: int = 0,
    batch_size: int = 256,
    progress: bool = True,
) -> DecisionCurve:
    """Attack a detector's verdicts: which share of them is wrong at each radius?

    An image whose verdict is wrong at a radius is wrong at each larger one, so it is attacked no further. The others
    are attacked by the ensemble of `evaluate`, with one more search from where the smaller radius ended.

    Parameters
    ----------
    detector, normals, anomalies, norm, budget, seed, batch_size, progress, folder
        As in `advad.analysis.robustness.evaluate`.
    radii : sequence of float
        Rising, above 0, in pixel units.
    threshold : float, optional
        Scores above it raise an alarm; the detector's own, set by `calibrate`, unless given.

    Returns
    -------
    DecisionCurve

    Raises
    ------
    TypeError, ValueError
        As in `advad.analysis.robustness.evaluate`; radii that do not rise; no threshold.
    """
    owner = "decision_curve"
    budget = budget or Budget()
    x, target = attackable(owner, detector, normals, anomalies, norm, budget, seed, batch_size)
    radii = rising_radii(owner, radii)
    for radius in radii:
        check_number(owner, "radii", radius, 0, 1 if norm == "linf" else float("inf"), ends="(]", remedy=PIXEL_UNITS)
    threshold = getattr(detector, "threshold_", None) if threshold is None else threshold
    check_number(owner, "threshold", threshold, remedy="Call calibrate(holdout) first, or pass one.")
    limit = float(threshold)  # type: ignore[arg-type]  # a number, as was checked
    settings: dict[str, Any] = {"norm": norm, "budget": budget, "seed": seed, "batch_size": batch_size}
    settings["folder"] = None if folder is None else expanded(folder)
    cross_at = {}
    with progress_bar(total=len(radii) * len(x), desc="decisions", disable=not progress, unit="radius") as bar:
        for (name, images), sign in zip(x.items(), (1, -1), strict=True):
            scores = scores_of(target, images, batch_size)
            crossed = scores > limit if sign > 0 else scores <= limit
            smallest = torch.where(crossed, 0.0, float("inf")).double()
            worst = images
            for radius in radii:
                rest = (~crossed).nonzero()[:, 0]  # images whose verdict is still right
                if len(rest):
                    attacked = worst_case(target, images[rest], sign, radius=radius, start=worst[rest], **settings)
                    worst = worst.index_copy(0, rest, attacked.images)
                    wrong = attacked.after > limit if sign > 0 else attacked.after <= limit
                    smallest[rest[wrong]] = radius
                    crossed = smallest.isfinite()
                bar.update()
            cross_at[name] = smallest.cpu().numpy()
    at = np.array([0.0, *radii])
    false_alarms, misses = ((cross_at[name] <= at[:, None]).mean(1) for name in ("normals", "anomalies"))
    return DecisionCurve(limit, at, false_alarms, misses, cross_at["normals"], cross_at["anomalies"])
