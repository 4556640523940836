"""Images as a detector sees them: their codes, their scores, what is known of them, and places between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from advad.analysis.inputs import as_numpy
from advad.analysis.latent import nearest
from advad.checks import as_images, as_labels, reject
from advad.lab.explorer import as_unit
from advad.lab.maps import Map, Maps

OWNER = "LatentExplorer"
SETS = 30  # classes that can be picked out, at most


@dataclass
class Probe:
    """What is looked at: a picture of the set, or what a place on a map decodes to."""

    place: np.ndarray  # (2,), on the present map
    code: np.ndarray  # (d,)
    image: np.ndarray  # (C, H, W) in [0, 1]
    score: float
    index: int | None = None  # of the picture; None for a place
    distance: float = 0.0  # from a place's code to the code of what it decodes to

    @property
    def name(self) -> str:
        """What it is, in two words."""
        return "a place" if self.index is None else f"picture {self.index}"


class LatentSet:
    """Images with their codes and scores. Parameters: see `LatentExplorer`.

    Attributes
    ----------
    images : ndarray of shape (N, C, H, W), float32 in [0, 1]
    codes : ndarray of shape (N, d)
    scores : ndarray of shape (N,)
    groups : dict of str to ndarray of shape (N,)
        The kinds of names that images have ("class", "truth", "part"), and each image's.
    maps : Maps
    order, rank : ndarray of shape (N,)
        Images from the lowest score to the highest, and each image's place in that order.
    """

    def __init__(
        self,
        detector: Any,
        images: ArrayLike,
        labels: ArrayLike | None,
        classes: Sequence[str] | None,
        is_anomaly: ArrayLike | None,
        parts: Sequence[str] | None,
        seed: int,
    ):
        tensor = as_images(OWNER, images, name="images")
        self.detector, self.images, n = detector, as_unit(tensor.numpy()), len(tensor)
        self.scores = np.asarray(detector.anomaly_score(tensor), dtype=float)
        has_codes = hasattr(detector, "encode")
        self.codes = detector.encode(tensor) if has_codes else self.images.reshape(n, -1)
        self.can_decode = has_codes and _works(lambda: detector.decode(self.codes[:1]))
        self.can_reconstruct = _works(lambda: detector.reconstruct(tensor[:1]))
        self.truth: np.ndarray | None = None
        self.groups: dict[str, np.ndarray] = {}
        if labels is not None:
            self.groups["class"] = _names("labels", as_numpy(labels), n, classes)
        if is_anomaly is not None:
            self.truth = as_labels(OWNER, as_numpy(is_anomaly), n, name="is_anomaly").numpy()
            self.groups["truth"] = np.where(self.truth, "anomalous", "normal")
        if parts is not None:
            self.groups["part"] = _names("parts", np.asarray(parts), n, None)
        compared = np.ones(n, bool) if self.truth is None or self.truth.all() else ~self.truth
        self._reference = np.sort(self.scores[compared])
        self._reference_name = f"{compared.sum():,} {'pictures' if compared.all() else 'normal ones'}"
        self.order = np.argsort(self.scores, kind="stable")
        self.rank = np.argsort(self.order)
        self.maps = Maps(OWNER, self.codes, seed)

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, index: int, on: Map) -> Probe:
        """Return a picture of the set, with its place on a map."""
        return Probe(on.points[index], self.codes[index], self.images[index], float(self.scores[index]), index)

    def place(self, place: np.ndarray, on: Map) -> Probe:
        """Return what a place of a map with an inverse decodes to, encoded and scored again."""
        code = on.code_at(place)
        image = self.detector.decode(code[None])
        distance = float(np.linalg.norm(self.detector.encode(image)[0] - code))
        return Probe(place, code, image[0], float(self.detector.anomaly_score(image)[0]), None, distance)

    def path(self, start: Probe, end: Probe, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return codes on the straight way between two, what they decode to, and the scores of that."""
        share = np.linspace(0, 1, steps + 1, dtype=np.float32)[:, None]
        codes = (1 - share) * start.code + share * end.code
        made = self.detector.decode(codes)
        return codes, made, self.detector.anomaly_score(made)

    def near(self, probe: Probe, k: int) -> np.ndarray:
        """Return the k pictures with codes nearest to one's own, itself left out."""
        close = nearest(self.codes, probe.code, min(k + 1, len(self)))
        return close[close != probe.index][:k]

    def sets(self, k: int) -> dict[str, np.ndarray]:
        """Return what can be picked out by name: the k lowest and highest scores, and each class, truth and part."""
        sets = {"lowest scores": self.order[:k], "highest scores": self.order[-k:]}
        for kind, names in self.groups.items():
            sets |= {f"{kind} {name}": np.flatnonzero(names == name) for name in in_order(names)[:SETS]}
        return sets

    # ------------------------------------------------------------------ in words

    def high(self, score: float) -> str:
        """Return where a score stands among those of the normal pictures (all, where nobody says which are)."""
        share = float(np.searchsorted(self._reference, score)) / len(self._reference)
        return f"higher than {share:.0%} of the {self._reference_name}"

    def called(self, score: float) -> str:
        """Return what the detector calls such a score, if it has a threshold."""
        if not hasattr(self.detector, "threshold_"):
            return ""
        return f" It is called {'anomalous' if score > self.detector.threshold_ else 'normal'}."

    def describe(self, index: int) -> str:
        """Return what is known of a picture."""
        known = [f"class {names[index]}" if kind == "class" else names[index] for kind, names in self.groups.items()]
        return f"Picture {index}" + (f" ({', '.join(known)})" if known else "")

    def mix(self, indices: np.ndarray) -> str:
        """Return how many of some pictures are of which class (else truth, else part)."""
        if not self.groups or len(indices) == 0:
            return ""
        kind, names = next(iter(self.groups.items()))
        counts = Counter(names[indices].tolist()).most_common()
        rest = sum(count for _, count in counts[4:])
        shares = [f"{name} ({count})" for name, count in counts[:4]] + ([f"others ({rest})"] if rest else [])
        return f": {'class ' if kind == 'class' else ''}{', '.join(shares)}"

    def statistics(self, indices: np.ndarray) -> str:
        """Return how many pictures these are, of which classes, and their scores."""
        if len(indices) == 0:
            return "No picture lies inside."
        scores = self.scores[indices]
        truth = "" if self.truth is None else f" {int(self.truth[indices].sum())} are anomalous."
        return (
            f"{len(indices)} pictures{self.mix(indices)}. Scores from {scores.min():.3g} to {scores.max():.3g}, "
            f"mean {scores.mean():.3g} (of all: {self.scores.mean():.3g}).{truth}"
        )


def in_order(names: np.ndarray) -> list[str]:
    """Return the different names in a reader's order: numbers by size, else as they come."""
    different = list(dict.fromkeys(names.tolist()))
    return sorted(different, key=int) if all(name.isdecimal() for name in different) else different


def _names(name: str, values: np.ndarray, n: int, classes: Sequence[str] | None) -> np.ndarray:
    """Return one name an image."""
    if values.shape != (n,):
        reject(OWNER, name, f"have shape ({n},), one an image", values)
    if classes is None:
        return values.astype(str)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= len(classes):
        reject(OWNER, name, f"be whole numbers in [0, {len(classes) - 1}], positions in classes", values)
    return np.asarray(classes, dtype=str)[values]


def _works(call: Callable[[], object]) -> bool:
    """Return whether a detector can do this at all."""
    try:
        call()
    except (AttributeError, NotImplementedError):
        return False
    return True
