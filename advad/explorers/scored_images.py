"""Images with their labels and scores, and the texts by which explorers describe them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike

from advad.analysis.inputs import as_numbers
from advad.checks import as_images, as_labels, check_number, reject
from advad.images import as_float, as_numpy
from advad.types import can_reconstruct


class Known(TypedDict, total=False):
    """Labels and truth of the images of an explorer: optional keyword arguments.

    Attributes
    ----------
    labels : array of shape (N,)
        The class of each image: numbers, or names.
    classes : sequence of str
        Names of the class numbers.
    is_anomaly : array of shape (N,)
        True labels: 1 or True = anomalous.
    """

    labels: ArrayLike | None
    classes: Sequence[str] | None
    is_anomaly: ArrayLike | None


class LabelledImages:
    """Images with their names.

    Parameters
    ----------
    owner : str
        Who asks; opens the error messages.
    images : array of shape (N, C, H, W) or (N, H, W)
        `uint8`, or float in [0, 1].
    labels, classes, is_anomaly : optional
        See `Known`.
    parts : sequence of N str, optional
        Where each image comes from.

    Attributes
    ----------
    images : ndarray of shape (N, C, H, W), float32 in [0, 1]
    groups : dict of str to ndarray of shape (N,)
        The kinds of names that images have ("class", "truth", "part"), and each image's.
    truth : ndarray of shape (N,), bool, or None
    """

    def __init__(
        self,
        owner: str,
        images: ArrayLike,
        labels: ArrayLike | None = None,
        classes: Sequence[str] | None = None,
        is_anomaly: ArrayLike | None = None,
        parts: Sequence[str] | None = None,
    ):
        self.images = as_float(as_images(owner, images, name="images").numpy()).astype(np.float32, copy=False)
        n = len(self.images)
        self.truth: np.ndarray | None = None
        self.groups: dict[str, np.ndarray] = {}
        if classes is not None and labels is None:
            reject(owner, "labels", "be given with classes: the class number of each image", None)
        if labels is not None:
            self.groups["class"] = _names(owner, "labels", as_numpy(labels), n, classes)
        if is_anomaly is not None:
            self.truth = as_labels(owner, as_numpy(is_anomaly), n, name="is_anomaly").numpy()
            self.groups["truth"] = np.where(self.truth, "anomalous", "normal")
        if parts is not None:
            self.groups["part"] = _names(owner, "parts", np.asarray(parts), n, None)

    def __len__(self) -> int:
        return len(self.images)

    def describe(self, index: int) -> str:
        """Return the name of an image in texts: its number, class, truth and part, as far as they are known."""
        known = [
            f"class {names[index]}" if kind == "class" and names[index].isdecimal() else names[index]
            for kind, names in self.groups.items()
        ]
        return f"Image {index}" + (f" ({', '.join(known)})" if known else "")

    def class_counts(self, indices: np.ndarray) -> str:
        """Return the number of images of each class (or truth, or part, where no classes are known)."""
        if not self.groups or len(indices) == 0:
            return ""
        kind, names = next(iter(self.groups.items()))
        counts = Counter(names[indices].tolist()).most_common()
        rest = sum(count for _, count in counts[4:])
        shares = [f"{name} ({count})" for name, count in counts[:4]] + ([f"others ({rest})"] if rest else [])
        return f": {'class ' if kind == 'class' else ''}{', '.join(shares)}"


class ScoredImages(LabelledImages):
    """`LabelledImages` with a fitted detector's scores.

    Attributes
    ----------
    detector : Detector
    scores : ndarray of shape (N,)
    can_reconstruct : bool
    """

    def __init__(
        self,
        owner: str,
        detector: Any,
        images: ArrayLike,
        parts: Sequence[str] | None = None,
        **known: Unpack[Known],
    ):
        super().__init__(owner, images, parts=parts, **known)
        self.detector, self.can_reconstruct = detector, can_reconstruct(detector)
        self._owner = owner
        threshold_of(owner, detector)  # is checked before anything is shown
        self.scores = scores_of(owner, detector, self.images)
        compared = np.ones(len(self), bool) if self.truth is None or self.truth.all() else ~self.truth
        self._reference = np.sort(self.scores[compared])
        self._reference_name = f"{compared.sum():,} {'images' if compared.all() else 'normal ones'}"

    @property
    def threshold(self) -> float | None:
        """The score above which the detector calls an image anomalous; None where it has not been calibrated."""
        return threshold_of(self._owner, self.detector)

    def comparison(self, score: float) -> str:
        """Return how many of the normal images score lower; of all images, where the truth is not known."""
        share = float(np.searchsorted(self._reference, score)) / len(self._reference)
        return f"higher than {share:.0%} of the {self._reference_name}"

    def verdict(self, score: float) -> str:
        """Return "normal" or "anomalous" for a score, "" where the detector has no threshold."""
        if self.threshold is None:
            return ""
        return "anomalous" if score > self.threshold else "normal"


def scores_of(owner: str, detector: Any, images: Any) -> np.ndarray:
    """Return the detector's scores of images, float64 of shape (N,).

    Raises
    ------
    TypeError, ValueError
        They are not one finite number an image.
    """
    name = f"the scores of {type(detector).__name__}"
    scores = as_numpy(detector.anomaly_score(images))
    if scores.shape != (len(images),) or scores.dtype.kind not in "uif":
        reject(owner, name, f"be numbers of shape ({len(images)},), one an image", scores)
    return as_numbers(owner, name, scores, 1)


def reconstructions_of(owner: str, detector: Any, images: np.ndarray) -> np.ndarray:
    """Return the detector's reconstructions of images, of the images' shape (N, C, H, W).

    Raises
    ------
    ValueError
        They have another shape, or are not finite.
    """
    name, reconstructions = f"the reconstructions of {type(detector).__name__}", as_numpy(detector.reconstruct(images))
    if reconstructions.shape != images.shape:
        reject(owner, name, f"have the images' shape, {images.shape}", reconstructions)
    if not np.isfinite(reconstructions).all():
        reject(owner, name, "be finite", reconstructions, "It holds NaN or infinite pixels.")
    return reconstructions


def threshold_of(owner: str, detector: Any) -> float | None:
    """Return the score above which a detector calls an image anomalous; None where it has not been calibrated.

    Raises
    ------
    TypeError, ValueError
        It is no finite number.
    """
    threshold = getattr(detector, "threshold_", None)
    if threshold is None:
        return None
    check_number(owner, f"the threshold of {type(detector).__name__}", threshold, remedy="calibrate(holdout) sets it.")
    return float(threshold)


def _names(owner: str, name: str, values: np.ndarray, n: int, classes: Sequence[str] | None) -> np.ndarray:
    """Return one name an image."""
    if values.shape != (n,):
        reject(owner, name, f"have shape ({n},), one an image", values)
    if values.dtype.kind == "f" and bool((values == np.round(values)).all()):  # a NaN is not equal to itself
        values = values.astype(np.int64)
    if classes is not None:
        names = [] if isinstance(classes, str) else list(map(str, classes))
        if not names or len(set(names)) < len(names):
            reject(owner, "classes", "be different names, one for each class number", classes)
        if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= len(names):
            reject(owner, name, f"be whole numbers in [0, {len(names) - 1}], positions in classes", values)
        return np.asarray(names)[values]
    words = values.dtype.kind == "U" or (values.dtype.kind == "O" and all(isinstance(label, str) for label in values))
    if not (words or values.dtype.kind in "iu"):
        remedy = "Truth goes into is_anomaly." if values.dtype.kind == "b" else ""
        reject(owner, name, "be whole numbers or names", values, remedy)
    return values.astype(str)
