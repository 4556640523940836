"""Images with a detector's codes and scores, and what places between the codes decode to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from advad.analysis.inputs import as_numbers
from advad.analysis.latent import nearest
from advad.checks import reject
from advad.explorers.latent.embeddings import Map, Maps
from advad.explorers.scored_images import Known, ScoredImages, scores_of
from advad.types import can_decode, can_encode

OWNER = "LatentExplorer"
SETS = 30  # classes that can be picked out, at most


@dataclass
class Probe:
    """What is chosen: an image of the set, or what a place on a map decodes to."""

    place: np.ndarray  # (2,), on the present map
    code: np.ndarray  # (d,)
    image: np.ndarray  # (C, H, W) in [0, 1]
    score: float
    index: int | None = None  # of the image; None for a place
    distance: float = 0.0  # from a place's code to the code of what it decodes to

    @property
    def name(self) -> str:
        """What it is, in two words."""
        return "a place" if self.index is None else f"image {self.index}"


class EncodedImages(ScoredImages):
    """A `ScoredImages` with the images' codes. Parameters: see `LatentExplorer`.

    Attributes
    ----------
    codes : ndarray of shape (N, d)
    maps : Maps
    order, rank : ndarray of shape (N,)
        Images from the lowest score to the highest, and each image's place in that order.
    can_decode : bool
    """

    def __init__(
        self,
        detector: Any,
        images: ArrayLike,
        parts: Sequence[str] | None,
        seed: int,
        **known: Unpack[Known],
    ):
        super().__init__(OWNER, detector, images, parts, **known)
        has_codes = can_encode(detector)
        self.codes = self.images.reshape(len(self), -1)
        if has_codes:
            name = f"the codes of {type(detector).__name__}"
            self.codes = as_numbers(OWNER, name, detector.encode(self.images), 2).astype(np.float32)
            if len(self.codes) != len(self):
                reject(OWNER, name, f"have {len(self)} rows, one for each image", self.codes)
        self.can_decode = has_codes and can_decode(detector)
        self.order = np.argsort(self.scores, kind="stable")
        self.rank = np.argsort(self.order)
        self.maps = Maps(OWNER, self.codes, seed)

    def probe_image(self, index: int, on: Map) -> Probe:
        """Return an image of the set, with its place on a map."""
        return Probe(on.points[index], self.codes[index], self.images[index], float(self.scores[index]), index)

    def probe_place(self, place: np.ndarray, on: Map) -> Probe:
        """Return what a place of a map with an inverse decodes to, encoded and scored again."""
        code = on.code_at(place)
        image = self.detector.decode(code[None])
        distance = float(np.linalg.norm(self.detector.encode(image)[0] - code))
        return Probe(place, code, image[0], float(scores_of(OWNER, self.detector, image)[0]), None, distance)

    def path(self, start: Probe, end: Probe, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return codes on the straight way between two, what they decode to, and the scores of that."""
        share = np.linspace(0, 1, steps + 1, dtype=np.float32)[:, None]
        codes = (1 - share) * start.code + share * end.code
        images = self.detector.decode(codes)
        return codes, images, scores_of(OWNER, self.detector, images)

    def nearest_images(self, probe: Probe, k: int) -> np.ndarray:
        """Return the k images with codes nearest to one's own, itself left out."""
        close = nearest(self.codes, probe.code, min(k + 1, len(self)))
        return close[close != probe.index][:k]

    def sets(self, k: int) -> dict[str, np.ndarray]:
        """Return what can be picked out by name: the k lowest and highest scores, and each class, truth and part."""
        sets = {"lowest scores": self.order[:k], "highest scores": self.order[-k:]}
        for kind, names in self.groups.items():
            sets |= {f"{kind} {name}": np.flatnonzero(names == name) for name in in_order(names)[:SETS]}
        return sets

    def statistics(self, indices: np.ndarray) -> str:
        """Return how many images these are, of which classes, and their scores."""
        if len(indices) == 0:
            return "No image lies inside."
        scores = self.scores[indices]
        truth = "" if self.truth is None else f" {int(self.truth[indices].sum())} are anomalous."
        count = "1 image" if len(indices) == 1 else f"{len(indices)} images"
        return (
            f"{count}{self.class_counts(indices)}. Scores from {scores.min():.3g} to {scores.max():.3g}, "
            f"mean {scores.mean():.3g} (of all: {self.scores.mean():.3g}).{truth}"
        )


def in_order(names: np.ndarray) -> list[str]:
    """Return the different names in a reader's order: numbers by size, else as they come."""
    different = list(dict.fromkeys(names.tolist()))
    return sorted(different, key=int) if all(name.isdecimal() for name in different) else different
