"""What a detector's score follows: brightness, contrast, sharpness, size, and whether it knows more than they do.

On real images a reconstruction error often follows how bright or how detailed an image is. If anomalies happen to be
brighter, such a score has a fine AUROC and knows nothing; if they happen to be darker, it ranks them below the normal
images. Here are the score's rank correlations with cheap statistics, and what each statistic reaches alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from advad.analysis.inputs import as_anomalous, as_numbers
from advad.analysis.metrics import Interval, auroc, bootstrap
from advad.checks import as_images, check_number, reject
from advad.images import as_float

OWNER = "score_correlates"
BATCH_PIXELS = 2**22


class Correlate(NamedTuple):
    """One statistic beside the score.

    Attributes
    ----------
    name : str
    correlation : float in [-1, 1]
        Spearman's, of the statistic and the score over the normal images; NaN where either is constant.
    auroc : Interval
        Of the statistic alone, in the direction that separates better: at least 0.5.
    direction : {"higher", "lower"}
        Which side of the statistic is then the anomalous one. It was chosen with the labels, so this AUROC is a bound
        for a rule of this statistic, no result of one.
    """

    name: str
    correlation: float
    auroc: Interval
    direction: str


@dataclass(frozen=True)
class Correlates:
    """What `score_correlates` returns.

    Attributes
    ----------
    auroc : Interval
        Of the score.
    rows : tuple of Correlate
        One a statistic, the one with the highest AUROC first.
    difference : Interval
        AUROC of the score minus that of the first row's statistic, on the same resamples; the statistic is chosen
        anew, and its direction too, in each.
    """

    auroc: Interval
    rows: tuple[Correlate, ...]
    difference: Interval

    @property
    def knows_more(self) -> bool:
        """Whether the score's AUROC is above that of the best statistic, beyond chance."""
        return self.difference.low > 0

    def summary(self) -> str:
        """Return in one or two sentences whether the detector knows more than the statistics do."""
        best = self.rows[0]
        rule = f"{best.name} alone ({best.direction} = anomalous)"
        score, alone = f"{self.auroc.value:.3f}", f"{best.auroc.value:.3f}"
        if self.knows_more:
            text = f"The detector knows more than cheap statistics: its AUROC is {score}, {rule} reaches {alone}."
        elif self.difference.high < 0:
            text = f"The detector knows less than a cheap statistic: its AUROC is {score}, {rule} reaches {alone}."
        else:
            text = f"It does not show that the detector knows more than a cheap statistic: its AUROC is {score}, "
            text += f"{rule} reaches {alone}."
        followed = [row for row in self.rows if np.isfinite(row.correlation)]
        if followed:
            most = max(followed, key=lambda row: abs(row.correlation))
            text += f" On normal images the score follows {most.name} most (rank correlation {most.correlation:+.2f})."
        return text

    def __str__(self) -> str:
        lines = [f"{'statistic':20}{'correlation':>12}{'AUROC alone':>23}  anomalous"]
        for row in self.rows:
            lines.append(f"{row.name:20}{row.correlation:12.2f}{row.auroc!s:>23}  {row.direction}")
        lines.append(f"{'the score':20}{'':12}{self.auroc!s:>23}")
        return "\n".join([*lines, self.summary()])


def image_statistics(images: Any) -> dict[str, np.ndarray]:
    """Return cheap statistics of images, each of shape (N,).

    Parameters
    ----------
    images : array of shape (N, C, H, W) or (N, H, W)
        `uint8`, or float in [0, 1].

    Returns
    -------
    dict of str to ndarray
        Of the grey image (the mean of the channels) g, in units of [0, 1] where nothing else is said:

        - "brightness": the mean of g; "contrast": its standard deviation;
        - "darkest", "brightest": the 1st and the 99th percentile;
        - "sharpness": mean absolute difference of neighbouring pixels; "edges": the same over the contrast (a ratio),
          so that a faint image can have many;
        - "object size": share of the pixels that lie nearer to the extreme opposite the border than to the border's
          median; "border brightness": that median;
        - "asymmetry": mean absolute difference of g and its mirror image;
        - "colourfulness": mean standard deviation of the channels at a pixel, only for colour images.

    Examples
    --------
    >>> import numpy as np
    >>> image_statistics(np.full((1, 8, 8), 51, np.uint8))["brightness"].round(3).tolist()
    [0.2]
    """
    x = as_images(OWNER, images, name="images")
    n = max(1, BATCH_PIXELS // x[0].numel())
    parts = [_statistics(as_float(part).numpy()) for part in x.split(n)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _statistics(x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the statistics of a batch, (B, C, H, W) float."""
    grey = x.mean(1, dtype=np.float64)  # (B, H, W)
    contrast = grey.std((1, 2))
    steps = [np.abs(np.diff(grey, axis=axis)) for axis in (1, 2)]
    sharpness = np.mean([step.mean((1, 2)) if step.size else np.zeros(len(x)) for step in steps], axis=0)
    darkest, brightest = np.quantile(grey, [0.01, 0.99], axis=(1, 2))
    border = np.concatenate([grey[:, [0, -1]].reshape(len(x), -1), grey[:, :, [0, -1]].reshape(len(x), -1)], axis=1)
    ground = np.median(border, axis=1)
    far = np.where(brightest - ground > ground - darkest, brightest, darkest)  # the extreme opposite the border
    middle = ((ground + far) / 2)[:, None, None]
    is_object = np.where((far > ground)[:, None, None], grey > middle, grey < middle)
    result = {
        "brightness": grey.mean((1, 2)),
        "contrast": contrast,
        "darkest": darkest,
        "brightest": brightest,
        "sharpness": sharpness,
        "edges": sharpness / np.maximum(contrast, 1e-6),
        "object size": is_object.mean((1, 2)),
        "border brightness": ground,
        "asymmetry": np.abs(grey - grey[:, :, ::-1]).mean((1, 2)),
    }
    if x.shape[1] == 3:
        result["colourfulness"] = x.std(1, dtype=np.float64).mean((1, 2))
    return result


def score_correlates(
    score: Any,
    images: Any,
    is_anomaly: Any,
    *,
    statistics: dict[str, Any] | None = None,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Correlates:
    """Compare a detector's score with cheap statistics of the images.

    Parameters
    ----------
    score : detector, or array of shape (N,)
        A fitted detector, or the scores of the images, higher = more anomalous.
    images : array of shape (N, C, H, W) or (N, H, W)
        Test images, `uint8` or float in [0, 1].
    is_anomaly : array of shape (N,)
        1 = anomalous, 0 = normal; both must occur.
    statistics : dict of str to array of shape (N,), optional
        More statistics by name, such as the file size or the hour at which an image was taken.
    n, level, seed
        Of the bootstrap over images, as in `advad.bootstrap`.

    Returns
    -------
    Correlates
        It prints as a table that ends with the sentence.

    Raises
    ------
    TypeError, ValueError
        Bad images, labels, scores or statistics.

    Notes
    -----
    The statistics' directions are chosen with the labels, which favours them, the more so in small test sets: a
    detector that knows more than they do in spite of that does know more.

    Examples
    --------
    >>> import advad
    >>> split = advad.one_class(advad.load("digits"), normal=1)
    >>> detector = advad.PCA(n_components=8).fit(split.train)
    >>> result = score_correlates(detector, split.test, split.test_is_anomaly, n=100)
    >>> result.knows_more
    True
    """
    x = as_images(OWNER, images, name="images")
    anomalous = as_anomalous(OWNER, is_anomaly, len(x))
    scores = as_numbers(OWNER, "score", score.anomaly_score(x) if hasattr(score, "anomaly_score") else score, 1)
    columns = image_statistics(x) | {
        name: as_numbers(OWNER, f"statistics[{name!r}]", values, 1) for name, values in (statistics or {}).items()
    }
    for name, values in {"score": scores, **columns}.items():
        if len(values) != len(x):
            reject(OWNER, name, f"have shape ({len(x)},), one number an image", values)
    check_number(OWNER, "n", n, 1, integer=True)
    interval = partial(bootstrap, n=n, level=level, seed=seed)

    rows = []
    for name, values in columns.items():
        direction = "higher" if auroc(anomalous, values) >= 0.5 else "lower"
        signed = values if direction == "higher" else -values
        correlation = rank_correlation(values[~anomalous], scores[~anomalous])
        rows.append(Correlate(name, correlation, interval(auroc, anomalous, signed), direction))
    rows.sort(key=lambda row: -row.auroc.value)
    difference = interval(partial(_difference, scores, np.stack(list(columns.values()))), anomalous, np.arange(len(x)))
    return Correlates(interval(auroc, anomalous, scores), tuple(rows), difference)


def best_statistic(images: Any, is_anomaly: Any) -> tuple[str, np.ndarray]:
    """Return the cheap statistic that separates the classes best, in its better direction.

    Parameters
    ----------
    images, is_anomaly
        As in `score_correlates`.

    Returns
    -------
    name : str
        The statistic and which side of it is anomalous: "sharpness higher".
    score : ndarray of shape (N,)
        Its values with that side upwards, so that their AUROC is at least 0.5. It was chosen with the labels.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.array([10, 20, 30, 5], np.uint8)[:, None, None, None] * np.ones((1, 8, 8), np.uint8)
    >>> best_statistic(images, [0, 0, 0, 1])[0]
    'brightness lower'
    """
    anomalous = as_anomalous(OWNER, is_anomaly, len(images))
    columns = image_statistics(images)
    names = list(columns)
    values = np.stack(list(columns.values()))
    aurocs = _aurocs(anomalous, values)
    k = int(np.abs(aurocs - 0.5).argmax())
    return (f"{names[k]} higher", values[k]) if aurocs[k] >= 0.5 else (f"{names[k]} lower", -values[k])


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's correlation of two arrays of shape (N,); NaN where one of them is constant."""
    from scipy.stats import rankdata

    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (first, second))
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / length) if length > 0 else float("nan")


def _difference(scores: np.ndarray, columns: np.ndarray, truth: np.ndarray, drawn: np.ndarray) -> float:
    """Return the score's AUROC minus that of the best statistic, on the images that were drawn."""
    rows = drawn.astype(int)
    aurocs = _aurocs(truth, np.concatenate([scores[None], columns])[:, rows])
    return float(aurocs[0] - np.maximum(aurocs[1:], 1 - aurocs[1:]).max())


def _aurocs(truth: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the AUROC of each row of values, (K, N) -> (K,): the rank sum of Mann and Whitney."""
    from scipy.stats import rankdata

    positive = int(truth.sum())
    ranks = rankdata(values, axis=1)[:, truth].sum(1)
    return (ranks - positive * (positive + 1) / 2) / (positive * (len(truth) - positive))
