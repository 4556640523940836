"""How well maps find defects: pixel AUROC and AUPRC, and AUPRO, the overlap with each defect's region.

All pixels of all images are pooled. The values of the maps are put into some thousand bins, narrow where few sound
pixels or few defects lie, so that time and memory do not grow with the number of pixels: per image, three rows of
counts are left, of which every metric and every bootstrap resample is made. With no more distinct values than bins the
metrics are exact; else they are within 0.001.

Bergmann, Batzner, Fauser, Sattlegger, Steger: The MVTec Anomaly Detection Dataset. IJCV 2021 (AUPRO: Sec. 5.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from advad.analysis import resampling
from advad.analysis.inputs import as_anomalous, as_numbers
from advad.analysis.metrics import Interval, auroc, bootstrap
from advad.checks import brief, check_number, reject
from advad.images import as_numpy

OWNER = "localisation"
QUANTILES = 2048  # of each kind of pixel, as edges of bins
TAILS = (1.0, 0.05, 0.001)  # shares of the highest sound pixels that have so many edges each
SAMPLE = 2**20  # pixels that the edges are taken from
RESAMPLES = 64  # at a time
NEIGHBOURS = np.ones((3, 3))  # pixels that touch at a corner are of one region, as in MVTec's own evaluation


class LocalisationRow(NamedTuple):
    """The metrics of all images, or of one kind of defect and the normal images.

    Attributes
    ----------
    name : str
        "all", or the kind of defect.
    images, regions : int
        Images with a defect, and their connected regions.
    pixel_auroc, pixel_auprc : Interval
        Of the pooled pixels; a pixel of a defect is positive.
    aupro_30, aupro_5 : Interval
        Mean share of a region that is found, a mean over false positive rates from 0 to 30 % or 5 % of the sound
        pixels; in [0, 1].
    image_auroc : Interval
        Of the images' scores.
    """

    name: str
    images: int
    regions: int
    pixel_auroc: Interval
    pixel_auprc: Interval
    aupro_30: Interval
    aupro_5: Interval
    image_auroc: Interval


@dataclass(frozen=True)
class Localisation:
    """What `localisation` returns.

    Attributes
    ----------
    overall : LocalisationRow
    by_defect : tuple of LocalisationRow
        One a kind of defect, each together with all normal images.
    normal_images : int
    left_out : int
        Anomalous images without a mask: they count for the image AUROC only.
    """

    overall: LocalisationRow
    by_defect: tuple[LocalisationRow, ...]
    normal_images: int
    left_out: int

    def __str__(self) -> str:
        columns = ("image AUROC", "pixel AUROC", "pixel AUPRC", "AUPRO 30 %", "AUPRO 5 %")
        lines = ["".join([f"{'defect':20}{'images':>7}{'regions':>9}", *(f"{name:>23}" for name in columns)])]
        for row in (*self.by_defect, self.overall):
            values = (row.image_auroc, row.pixel_auroc, row.pixel_auprc, row.aupro_30, row.aupro_5)
            cells = "".join(f"{value!s:>23}" for value in values)
            lines.append(f"{row.name[:20]:20}{row.images:7}{row.regions:9}{cells}")
        return "\n".join(lines)


def localisation(
    maps: Any,
    masks: Any,
    *,
    scores: Any = None,
    is_anomaly: Any = None,
    defects: Sequence[str] | None = None,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Localisation:
    """Compare anomaly maps with ground-truth masks.

    Parameters
    ----------
    maps : array of shape (N, H, W)
        Higher = more anomalous, comparable between images, as `detector.anomaly_map` returns them.
    masks : array of shape (N, H, W)
        Above 0 = defect. A normal image has an empty mask.
    scores : array of shape (N,), optional
        The images' scores; else the highest value of each map.
    is_anomaly : array of shape (N,), optional
        1 = anomalous; else the images whose mask is not empty. Anomalous images with an empty mask are left out of the
        metrics of pixels: nobody knows which of theirs are sound.
    defects : sequence of N str, optional
        The kind of each image's defect, such as the name of its folder; gives rows by defect.
    n : int
        Number of bootstrap resamples: images are drawn, not pixels, which depend on each other; normal and anomalous
        ones separately.
    level : float in (0, 1)
        Of the intervals.
    seed : int

    Returns
    -------
    Localisation
        It prints as a table.

    Raises
    ------
    TypeError, ValueError
        Different shapes, values that are not finite, no defect, or no normal image.

    Examples
    --------
    >>> import numpy as np
    >>> masks = np.zeros((4, 8, 8), np.uint8)
    >>> masks[2:, 2:4, 2:4] = 1
    >>> maps = masks + np.random.default_rng(0).random((4, 8, 8))
    >>> localisation(maps, masks, n=100).overall.aupro_30.value
    1.0
    """
    values, truth = _checked(maps, masks)
    count = len(values)
    marked: np.ndarray = np.any(truth.reshape(count, -1), axis=1)
    anomalous = marked if is_anomaly is None else as_anomalous(OWNER, is_anomaly, count)
    for name, images in (("an image with a defect", marked), ("a normal image", ~anomalous)):
        if not images.any():
            reject(OWNER, "masks", f"hold {name}", f"{int(marked.sum())} of {count} with a defect")
    if (marked & ~anomalous).any():
        reject(OWNER, "masks", "be empty for normal images", f"image {int(np.argmax(marked & ~anomalous))}")
    if scores is None:
        scores = values.reshape(count, -1).max(1)
    scores = as_numbers(OWNER, "scores", scores, 1)
    if len(scores) != count:
        reject(OWNER, "scores", f"have shape ({count},), one an image", scores)
    kinds = np.asarray(["" for _ in range(count)] if defects is None else list(defects), dtype=str)
    if kinds.shape != (count,):
        reject(OWNER, "defects", f"hold {count} names, one an image", brief(defects))
    check_number(OWNER, "n", n, 1, integer=True)
    check_number(OWNER, "level", level, 0, 1, ends="()")
    check_number(OWNER, "seed", seed, 0, integer=True)

    counted = ~anomalous | marked
    tables = _tables(values, truth, counted)
    row = partial(_row, tables, scores, anomalous, marked, n=n, level=level, seed=seed)
    names = sorted(set(kinds[marked].tolist())) if defects is not None else []
    by_defect = tuple(row(name, ~anomalous | (anomalous & (kinds == name))) for name in names)
    return Localisation(row("all", np.ones(count, bool)), by_defect, int((~anomalous).sum()), int((~counted).sum()))


def _checked(maps: Any, masks: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return maps and masks (bool), (N, H, W) each, without a copy of the maps."""
    values, truth = as_numpy(maps), as_numpy(masks)
    if values.dtype.kind not in "uif" or values.ndim != 3 or values.size == 0:
        reject(OWNER, "maps", "be numbers of shape (N, H, W), one map an image", values)
    if truth.dtype.kind not in "buif" or truth.shape != values.shape:
        reject(OWNER, "masks", f"have shape {values.shape}, as the maps", truth)
    for k, image in enumerate(values):
        if not np.isfinite(image).all():
            raise ValueError(f"{OWNER}: maps must be finite; got NaN or infinite values in image {k}.")
    return values, truth > 0


# --- counts -----------------------------------------------------------------------------------------------------------


class _Tables(NamedTuple):
    """What is left of the pixels: a row of B bins per image, the highest values first.

    Attributes
    ----------
    sound, defect : ndarray of shape (N, B), float32
        Numbers of pixels.
    overlap : ndarray of shape (N, B), float32
        The pixels of defects, each one over the size of its region.
    regions : ndarray of shape (N,)
        Connected regions.
    """

    sound: np.ndarray
    defect: np.ndarray
    overlap: np.ndarray
    regions: np.ndarray


def _tables(values: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> _Tables:
    """Return the counts of each image; those that are not counted have none."""
    from scipy.ndimage import label

    edges = _edges(values, truth, counted)
    bins = len(edges) + 1
    sound, defect, overlap = (np.zeros((len(values), bins), np.float32) for _ in range(3))
    regions = np.zeros(len(values))
    for k in np.flatnonzero(counted):
        rising = np.sort(values[k][~truth[k]])  # then each edge is looked for, in place of each pixel: half the time
        below = np.searchsorted(rising, edges)
        sound[k] = np.diff(below, prepend=0, append=len(rising))[::-1]
        if truth[k].any():
            labelled: Any = label(truth[k], NEIGHBOURS)  # (numbers of regions, how many)
            member, regions[k] = labelled[0][truth[k]], labelled[1]
            place = len(edges) - np.searchsorted(edges, values[k][truth[k]], side="right")
            defect[k] = np.bincount(place, minlength=bins)
            overlap[k] = np.bincount(place, 1 / np.bincount(member)[member], minlength=bins)
    return _Tables(sound, defect, overlap, regions)


def _edges(values: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return rising edges of the bins: all distinct values, or quantiles of the sound and of the defects' pixels."""
    most = QUANTILES * (len(TAILS) + 1)
    sample = np.concatenate(list(_sampled(values, ~truth, counted)))
    positive = np.concatenate(list(_sampled(values, truth, counted)))
    if values.size <= SAMPLE and len(distinct := np.unique(values)) <= most:
        return distinct
    parts = [np.quantile(sample, 1 - share * np.linspace(0, 1, QUANTILES), method="higher") for share in TAILS]
    parts.append(np.quantile(positive, np.linspace(0, 1, QUANTILES), method="higher"))
    return np.unique(np.concatenate(parts))


def _sampled(values: np.ndarray, where: np.ndarray, counted: np.ndarray) -> Iterator[np.ndarray]:
    """Yield about `SAMPLE` of the pixels where `where` is True, evenly from all images."""
    total = int(np.count_nonzero(where[counted]))
    step = max(1, total // SAMPLE)
    for k in np.flatnonzero(counted):
        yield values[k][where[k]][k % step :: step]


# --- metrics ----------------------------------------------------------------------------------------------------------


def _row(
    tables: _Tables,
    scores: np.ndarray,
    anomalous: np.ndarray,
    marked: np.ndarray,
    name: str,
    chosen: np.ndarray,
    *,
    n: int,
    level: float,
    seed: int,
) -> LocalisationRow:
    """Return the metrics of the chosen images, with their intervals."""
    subset = _Tables(*(table[chosen] for table in tables))
    whole = _metrics(subset, np.ones((1, int(chosen.sum())), np.float32))[:, 0]
    drawn = [_metrics(subset, weights) for weights in _weights((marked[chosen], ~anomalous[chosen]), n, seed)]
    ends = np.quantile(np.concatenate(drawn, 1), [(1 - level) / 2, (1 + level) / 2], axis=1)
    intervals = [Interval(*values) for values in np.stack([whole, *ends], 1).tolist()]
    intervals.append(bootstrap(auroc, anomalous[chosen], scores[chosen], n=n, level=level, seed=seed))
    return LocalisationRow(name, int(marked[chosen].sum()), int(subset.regions.sum()), *intervals)


def _weights(strata: tuple[np.ndarray, ...], n: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each image occurs in each resample, (k, N), block by block; those of a stratum from its own.

    Images of no stratum have no pixel that counts.
    """
    generator = np.random.default_rng(seed)
    for first in range(0, n, RESAMPLES):
        weights = np.zeros((min(RESAMPLES, n - first), len(strata[0])), np.float32)
        for images in map(np.flatnonzero, strata):
            shares = np.full(len(images), 1 / len(images))
            weights[:, images] = generator.multinomial(len(images), shares, size=len(weights))
        yield weights


def _metrics(tables: _Tables, weights: np.ndarray) -> np.ndarray:
    """Return pixel AUROC, pixel AUPRC, AUPRO 30 % and 5 % of resamples, (k, N) -> (4, k); NaN without a defect."""
    sound, hits, overlap = (_cumulated(weights @ table) for table in (tables.sound, tables.defect, tables.overlap))
    regions = (weights @ tables.regions)[:, None]
    counts = resampling.Counts(hits, sound, np.empty(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        rates, shares = sound / sound[:, -1:], overlap / regions
    pro = [area_up_to(rates, shares, limit) for limit in (0.3, 0.05)]
    return np.stack([resampling.auroc(counts), resampling.auprc(counts), *pro])


def _cumulated(table: np.ndarray) -> np.ndarray:
    """Return the sums over the bins so far, with a column of 0 before them: nothing is found yet."""
    return np.pad(table.astype(np.float64).cumsum(1), ((0, 0), (1, 0)))


def area_up_to(x: np.ndarray, y: np.ndarray, limit: float) -> np.ndarray:
    """Return the mean of curves y(x) over x in [0, limit], by trapezoids; the last one ends at the limit.

    Parameters
    ----------
    x, y : ndarray of shape (k, B)
        Points of k curves, x rising from 0 to 1.
    limit : float in (0, 1]

    Returns
    -------
    ndarray of shape (k,)
    """
    step = np.diff(x)
    inside = np.minimum(x[:, 1:], limit) - np.minimum(x[:, :-1], limit)  # how much of a step is below the limit
    share = np.divide(inside, step, out=np.zeros_like(step), where=step > 0)
    start = y[:, :-1]
    return (inside * (start + share * np.diff(y) / 2)).sum(1) / limit
