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
from advad.explorers.controls import Picture, StatusText, slider
from advad.explorers.scored_images import Known, Pictures, reconstructions_of
from advad.types import can_reconstruct


class ReconstructionExplorer(Explorer):
    """A slider over images: what each detector makes of the one shown, and how far off that is.

    Parameters
    ----------
    detectors, images, **known
        See `Explorer`. Each detector must give images back.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> explorers.ReconstructionExplorer(detector, split.test[:20], labels=split.test_labels[:20]).summary()
    'Picture 0 (class 4): mean squared error PCA 0.0498.'
    """

    def __init__(self, detectors: Any, images: ArrayLike, **known: Unpack[Known]):
        owner = "ReconstructionExplorer"
        self.detectors = named(owner, detectors)
        for name, detector in self.detectors.items():
            if not can_reconstruct(detector):
                remedy = "Leave it out, or look at it with LatentExplorer or OcclusionBrush."
                reject(owner, "detectors", "give images back (reconstruct)", name, remedy)
        self.known = Pictures(owner, images, **known)
        self.images = self.known.images
        self.reconstructions = {
            name: reconstructions_of(owner, detector, self.images) for name, detector in self.detectors.items()
        }
        self.errors_of = {
            name: np.square(made - self.images).mean((1, 2, 3)) for name, made in self.reconstructions.items()
        }
        self.slider = slider("picture", len(self.images), width=640)
        super().__init__()

    def summary(self) -> str:
        """Return the present state in words."""
        i = self.slider.value
        ranked = sorted(self.errors_of, key=lambda name: self.errors_of[name][i])
        errors = ", ".join(f"{name} {self.errors_of[name][i]:.4f}" for name in ranked)
        return f"{self.known.describe(i)}: mean squared error {errors}."

    def build(self) -> list[widgets.Widget]:
        self.text, self.strip = StatusText(), Picture()
        self.slider.observe(self.guarded(self.move), "value")
        self.move(None)
        return [self.slider, self.text, self.strip]

    def refresh(self) -> None:
        """Show the chosen image anew."""
        self.move(None)

    def move(self, _: Any) -> None:
        """StatusText the slider."""
        self.text.say(self.summary())
        self.strip.show(self.to_image(), f"Input, reconstructions, differences. {self.summary()}")

    def to_image(self) -> Image.Image:
        """Return the input and, for each detector, its reconstruction over the absolute difference."""
        i = self.slider.value
        x = self.images[i]
        shown: dict[str, list[np.ndarray | None]] = {"shown": [x, *(made[i] for made in self.reconstructions.values())]}
        shown["difference"] = [None, *(np.abs(made[i] - x) for made in self.reconstructions.values())]
        captions = {"difference": ["", *(f"{values[i]:.4f}" for values in self.errors_of.values())]}
        return plots.grid(shown, columns=["input", *self.reconstructions], captions=captions, tile=96)
