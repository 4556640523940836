"""An explorer of what each detector reconstructs of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.explorers.base import Explorer
from advad.explorers.controls import Picture, StatusText, slider
from advad.images import as_float


class ReconstructionExplorer(Explorer):
    """A slider over images: what each detector makes of the one shown, and its score there.

    Parameters
    ----------
    images : array of shape (n, C, H, W)
        `uint8` or float in [0, 1].
    names : sequence of str
        Name of each image.
    reconstructions : mapping of str to array of shape (n, C, H, W)
        One entry for each detector.
    scores : mapping of str to array of shape (n,)
        Theirs, higher = more anomalous.
    """

    def __init__(
        self,
        images: ArrayLike,
        names: list[str],
        reconstructions: Mapping[str, ArrayLike],
        scores: Mapping[str, ArrayLike],
    ):
        self.images, self.names = np.asarray(images), list(names)
        self.reconstructions = {name: np.asarray(values) for name, values in reconstructions.items()}
        self.scores = {name: np.asarray(values) for name, values in scores.items()}
        self.slider = slider("picture", len(self.images), width=640)
        super().__init__()

    def summary(self) -> str:
        """Return the present state in words."""
        i = self.slider.value
        ranked = sorted(self.scores, key=lambda name: self.scores[name][i])
        errors = ", ".join(f"{name} {self.scores[name][i]:.4f}" for name in ranked)
        return f"Picture {i}, {self.names[i]}: mean squared error {errors}."

    def build(self) -> list[widgets.Widget]:
        self.text, self.strip = StatusText(), Picture()
        self.slider.observe(self.guarded(self.move), "value")
        self.move(None)
        return [self.slider, self.text, self.strip]

    def move(self, _: Any) -> None:
        """StatusText the slider."""
        self.text.say(self.summary())
        self.strip.show(self.to_image(), f"Input, reconstructions, differences. {self.summary()}")

    def to_image(self) -> Image.Image:
        """Return the input and, for each detector, its reconstruction over the absolute difference."""
        i = self.slider.value
        x = as_float(self.images[i])
        shown: dict[str, list[np.ndarray | None]] = {"shown": [x, *(made[i] for made in self.reconstructions.values())]}
        shown["difference"] = [None, *(np.abs(made[i] - x) for made in self.reconstructions.values())]
        captions = {"difference": ["", *(f"{values[i]:.4f}" for values in self.scores.values())]}
        return plots.grid(shown, columns=["input", *self.reconstructions], captions=captions, tile=96)
