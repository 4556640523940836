"""An explorer of what each detector reconstructs of an image."""

from __future__ import annotations

from typing import Any, Unpack

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.checks import reject
from advad.explorers.base import Explorer, named
from advad.explorers.controls import ImageView, StatusText, slider
from advad.explorers.scored_images import Known, LabelledImages, reconstructions_of
from advad.types import can_reconstruct


class ReconstructionExplorer(Explorer):
    """Choose an image, and see what each detector reconstructs of it and how large the error is.

    Parameters
    ----------
    detectors, images, **known
        See `Explorer`. Each detector must have `reconstruct`.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> explorers.ReconstructionExplorer(detector, split.test[:20], labels=split.test_labels[:20]).summary()
    'Image 0 (class 4): mean squared error PCA 0.0498.'
    """

    def __init__(self, detectors: Any, images: ArrayLike, **known: Unpack[Known]):
        owner = "ReconstructionExplorer"
        self.detectors = named(owner, detectors)
        for name, detector in self.detectors.items():
            if not can_reconstruct(detector):
                remedy = "Leave it out, or look at it with LatentExplorer or OcclusionBrush."
                reject(owner, "detectors", "give images back (reconstruct)", name, remedy)
        self.known = LabelledImages(owner, images, **known)
        self.images = self.known.images
        self.reconstructions = {
            name: reconstructions_of(owner, detector, self.images) for name, detector in self.detectors.items()
        }
        self.errors_of = {
            name: np.square(reconstructions - self.images).mean((1, 2, 3))
            for name, reconstructions in self.reconstructions.items()
        }
        self.slider = slider("image", len(self.images), width=560)
        super().__init__()

    def summary(self) -> str:
        """Return the present state in words."""
        index = self.slider.value
        ranked = sorted(self.errors_of, key=lambda name: self.errors_of[name][index])
        errors = ", ".join(f"{name} {self.errors_of[name][index]:.4f}" for name in ranked)
        return f"{self.known.describe(index)}: mean squared error {errors}."

    def build(self) -> list[widgets.Widget]:
        self.text, self.strip = StatusText(), ImageView()
        self.slider.observe(self.guarded(self.move), "value")
        self.move(None)
        return [self.slider, self.text, self.strip]

    def refresh(self) -> None:
        """Show the chosen image anew."""
        self.move(None)

    def move(self, _: Any) -> None:
        """Answer the slider."""
        self.text.say(self.summary())
        self.strip.show(self.to_image(), f"Input, reconstructions, differences. {self.summary()}")

    def to_image(self) -> Image.Image:
        """Return the input and, for each detector, its reconstruction over the absolute difference."""
        index = self.slider.value
        x = self.images[index]
        shown: dict[str, list[np.ndarray | None]] = {
            "shown": [x, *(each[index] for each in self.reconstructions.values())]
        }
        shown["difference"] = [None, *(np.abs(each[index] - x) for each in self.reconstructions.values())]
        captions = {"difference": ["", *(f"{values[index]:.4f}" for values in self.errors_of.values())]}
        return plots.grid(shown, columns=["input", *self.reconstructions], captions=captions, tile=96)
