"""Runs at several contamination rates: what a detector scores after which epoch, kept in one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advad.analysis.inputs import as_anomalous
from advad.analysis.metrics import auroc
from advad.checks import reject
from advad.files import expanded, replacing
from advad.images import as_numpy
from advad.progress import progress_bar

OWNER = "ContaminationRuns"


@dataclass(frozen=True, eq=False)
class ContaminationRuns:
    """Scores of one method over contamination rates, seeds and epochs. A seed has its own test images.

    Parameters
    ----------
    rates : ndarray of shape (A,)
        Shares α of the training set that is anomalous, rising.
    seeds : ndarray of shape (S,)
    epochs : ndarray of shape (E,)
        After how many epochs the scores were taken, rising.
    scores : ndarray of shape (A, S, E, N), float32
        Of the test images, higher = more anomalous.
    holdout_scores : ndarray of shape (A, S, E, H), float32
        Of normal images that were neither trained on nor tested on: thresholds come from them.
    is_anomaly : ndarray of shape (S, N), bool
        True labels: 1 or True = anomalous.
    images : ndarray of shape (S, N, C, H, W)
        The test images, `uint8` or float in [0, 1].

    Raises
    ------
    ValueError
        The shapes do not fit, rates or epochs do not rise, or a score is missing.
    """

    rates: np.ndarray
    seeds: np.ndarray
    epochs: np.ndarray
    scores: np.ndarray
    holdout_scores: np.ndarray
    is_anomaly: np.ndarray
    images: np.ndarray

    def __post_init__(self) -> None:
        grid = (len(self.rates), len(self.seeds), len(self.epochs))
        n = self.scores.shape[-1]
        for name, values, shape in (
            ("scores", self.scores, (*grid, n)),
            ("holdout_scores", self.holdout_scores, (*grid, self.holdout_scores.shape[-1])),
            ("is_anomaly", self.is_anomaly, (grid[1], n)),
            ("images", self.images, (grid[1], n, *self.images.shape[2:])),
        ):
            if values.shape != shape or 0 in shape:
                reject(OWNER, name, f"have shape {shape}: rates, seeds, epochs, images", values)
        for name in ("rates", "epochs"):
            if (np.diff(getattr(self, name)) <= 0).any():
                reject(OWNER, name, "rise", getattr(self, name).tolist())
        for name in ("scores", "holdout_scores"):
            if not np.isfinite(getattr(self, name)).all():
                reject(OWNER, name, "be finite", getattr(self, name), "Have all runs been finished?")
        truth = np.stack([as_anomalous(OWNER, of_seed, n) for of_seed in self.is_anomaly])
        object.__setattr__(self, "is_anomaly", truth)  # bool: as a number, `~1` is no `False`

    def auroc(self) -> np.ndarray:
        """Return the AUROC of every run at every epoch, (A, S, E)."""
        a, s, e, _ = self.scores.shape
        values = [auroc(self.is_anomaly[k], self.scores[i, k, j]) for i in range(a) for k in range(s) for j in range(e)]
        return np.array(values).reshape(a, s, e)


def contaminated_runs(
    make: Callable[[int], Any],
    split_at: Callable[[float, int], Any],
    *,
    rates: Sequence[float],
    epochs: Sequence[int],
    seeds: Sequence[int] = (0,),
    path: str | Path | None = None,
    progress: bool = True,
) -> ContaminationRuns:
    """Train a detector at each contamination rate with each seed, and score the test images after some epochs.

    Parameters
    ----------
    make : callable (seed)
        Returns an unfitted `Detector`.
    split_at : callable (rate, seed)
        Returns a `Split`. A seed keeps its test and held-out images whatever the rate is, as in all our protocols.
    rates : sequence of float, rising
    epochs : sequence of int, rising
        After which to score; the last is not beyond the training's end.
    seeds : sequence of int
    path : str or Path, optional
        An .npz file that each finished run is added to. Called again, only the missing ones are trained.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ValueError
        `path` holds other runs, training ends before the last of `epochs`, or a seed's test images change.
    """
    owner, grid = "contaminated_runs", (len(rates), len(seeds), len(epochs))
    first = [split_at(rates[0], seed) for seed in seeds]
    arrays = {
        "rates": np.array(rates, float),
        "seeds": np.array(seeds, int),
        "epochs": np.array(epochs, int),
        "scores": np.full((*grid, len(first[0].test)), np.nan, np.float32),
        "holdout_scores": np.full((*grid, len(first[0].holdout)), np.nan, np.float32),
        "is_anomaly": np.stack([as_numpy(split.test_is_anomaly) for split in first]),
        "images": np.stack([as_numpy(split.test) for split in first]),
    }
    file, method = None if path is None else expanded(path), _identity(make(seeds[0]), split_at(rates[-1], seeds[0]))
    if file is not None and file.exists():
        arrays = _resumed(file, method, arrays)
    scores, holdout_scores = arrays["scores"], arrays["holdout_scores"]
    with progress_bar(total=int(np.prod(grid)), desc=owner, disable=not progress, unit="score") as bar:
        for a, s in np.ndindex(grid[:2]):
            if not np.isnan(scores[a, s]).any():
                bar.update(grid[2])
                continue
            split = split_at(rates[a], seeds[s])
            if not np.array_equal(as_numpy(split.test), arrays["images"][s]):
                reject(owner, "split_at", "keep a seed's test images at every rate", rates[a])

            def note(detector: Any, at: tuple[int, int] = (a, s), split: Any = split) -> None:
                for e in np.flatnonzero(arrays["epochs"] == detector.history_["epoch"][-1]):
                    scores[*at, e] = detector.anomaly_score(split.test)
                    holdout_scores[*at, e] = detector.anomaly_score(split.holdout)
                    bar.update()

            bar.set_description(f"α = {rates[a]:.1%}, seed {seeds[s]}")
            trained = make(seeds[s]).fit(split.train, split.train_y, progress=False, on_epoch=note)
            if np.isnan(scores[a, s]).any():
                reject(owner, "epochs", f"be whole numbers in [1, {trained.history_['epoch'][-1]}]", list(epochs))
            if file is not None:
                _write(file, method, arrays)
    return ContaminationRuns(**arrays)


def load_runs(path: str | Path) -> ContaminationRuns:
    """Return the runs in a file that `contaminated_runs` has finished."""
    return ContaminationRuns(**_read(expanded(path))[1])


def _identity(detector: Any, split: Any) -> str:
    """Return what makes runs what they are: the method, its parameters (but the place), and the protocol's."""
    parameters = {name: value for name, value in detector.get_params(deep=False).items() if name != "device"}
    identity = {"method": type(detector).__name__, "parameters": parameters, "split": split.settings}
    return json.dumps(identity, sort_keys=True)


def _read(file: Path) -> tuple[str, dict[str, np.ndarray]]:
    """Return the identity and the arrays in a file."""
    with np.load(file, allow_pickle=False) as stored:
        arrays = dict(stored)
    return str(arrays.pop("method")), arrays


def _resumed(file: Path, method: str, wanted: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays in a file; ValueError if they are of other runs than the wanted ones."""
    stored_method, stored = _read(file)
    computed = ("scores", "holdout_scores")
    other = [name for name in wanted if name not in computed and not np.array_equal(stored[name], wanted[name])]
    other += ["method"] if stored_method != method else []
    if other:
        remedy = "Choose another file, or delete it."
        raise ValueError(f"contaminated_runs: path {file} holds other runs: {', '.join(other)} differ. {remedy}")
    return stored


def _write(file: Path, method: str, arrays: dict[str, np.ndarray]) -> None:
    """Write a file, all or nothing."""
    with replacing(file) as temporary, temporary.open("wb") as stream:  # a path would get the ending .npz
        np.savez_compressed(stream, allow_pickle=False, method=method, **arrays)
