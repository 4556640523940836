"""An explorer of occlusion maps: which picture, which detector, what covers it, how large, and what answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.analysis.saliency import mask_agreement, occlusion_map
from advad.checks import reject
from advad.explorers.base import Explorer
from advad.explorers.controls import Picture, StatusText, row, slider, toggle_buttons
from advad.images import as_float
from advad.plots.images import without_label

FILLS = {"black": 0.0, "grey": 0.5, "white": 1.0}


class OcclusionExplorer(Explorer):
    """A slider over pictures, buttons for detector, patch and fill: the occlusion map is computed on the spot.

    Parameters
    ----------
    detectors : mapping of str to detector
        A fitted detector.
    images : array of shape (n, C, H, W)
        `uint8` or float in [0, 1].
    names : sequence of n str
        Name of each image.
    masks : array of shape (n, H, W), optional
        Above 0 where a defect truly is; images without a defect have an empty one.
    patches : sequence of int
        Sides of the square that occludes, to choose from.
    """

    def __init__(
        self,
        detectors: Mapping[str, Any],
        images: ArrayLike,
        names: Sequence[str],
        masks: ArrayLike | None = None,
        patches: Sequence[int] = (1, 2, 3, 4),
    ):
        self.detectors, self.images, self.names = dict(detectors), np.asarray(images), list(names)
        self.masks = np.zeros(self.images[:, 0].shape) if masks is None else np.asarray(masks)
        for name, values in {"names": self.names, "masks": self.masks}.items():
            if len(values) != len(self.images):
                reject("OcclusionExplorer", name, f"have {len(self.images)} entries, one an image", values)
        self.slider = slider("picture", len(self.images))
        self.detector = toggle_buttons(list(self.detectors), list(self.detectors)[-1])
        self.patch = toggle_buttons({str(side): side for side in patches}, patches[0])
        self.fill = toggle_buttons(FILLS, FILLS["black"])
        super().__init__()

    def chosen(self) -> tuple[int, str, int, float]:
        """Return what the controls say: picture, detector, patch, fill."""
        controls: tuple[Any, ...] = (self.slider, self.detector, self.patch, self.fill)
        picture, detector, patch, fill = (control.value for control in controls)
        return picture, detector, patch, fill

    def map(self) -> np.ndarray:
        """Return the present occlusion map, (H, W)."""
        i, name, patch, fill = self.chosen()
        return occlusion_map(self.detectors[name], self.images[i : i + 1], patch=patch, fill=fill)[0]

    def summary(self) -> str:
        """Return the present state in words."""
        return self._sentence(self.map())

    def _sentence(self, values: np.ndarray) -> str:
        i, name, _, _ = self.chosen()
        score = float(self.detectors[name].anomaly_score(self.images[i : i + 1])[0])
        said = f"Picture {i}, {self.names[i]}: {name} scores it {score:.4f}."
        worst = np.unravel_index(values.argmin(), values.shape)
        if values[worst] < 0:
            said += f" Covering row {worst[0]}, column {worst[1]} lowers that most, by {-values[worst] / score:.1%}."
        else:
            said += " Covering it lowers that nowhere."
        if 0 < (self.masks[i] > 0).mean() < 1:
            found = mask_agreement(-values[None], self.masks[i : i + 1])
            said += f" Of the defect and the map's highest places {found.iou:.0%} are common (IoU)."
        return said

    def build(self) -> list[widgets.Widget]:
        self.text, self.strip = StatusText(), Picture()
        for control in (self.slider, self.detector, self.patch, self.fill):
            control.observe(self.guarded(self.move), "value")
        self.move(None)
        return [
            row(self.slider, *(["detector", self.detector] if len(self.detectors) > 1 else [])),
            row("patch", self.patch, "covered with", self.fill),
            self.text,
            self.strip,
        ]

    def move(self, _: Any) -> None:
        """StatusText the controls."""
        values = self.map()
        sentence = self._sentence(values)
        self.text.say(sentence)
        self.strip.show(self._tiles(values), f"A picture, its reconstruction and its occlusion map. {sentence}")

    def to_image(self) -> Image.Image:
        """Return the picture, what the detector draws, its error, the map, and where the defect truly is."""
        return self._tiles(self.map())

    def _tiles(self, values: np.ndarray) -> Image.Image:
        i, name, _, _ = self.chosen()
        one = self.images[i : i + 1]
        x = as_float(one)
        drawn = self.detectors[name].reconstruct(one)
        error = np.square(x - drawn).mean(1, keepdims=True)
        pictures = {
            "picture": x[0],
            f"{name} draws": drawn[0],
            "squared error": error[0] / max(error.max(), 1e-9),
            "occlusion map": plots.overlay(one, values[None])[0],
        }
        if (self.masks[i] > 0).any():
            pictures["the defect"] = plots.overlay(one, np.where(self.masks[i : i + 1] > 0, -1, 0))[0]
        columns = list(pictures)
        drawn = plots.grid({"": [_colour(p) for p in pictures.values()]}, columns=columns, tile=128)
        return without_label(drawn)


def _colour(picture: np.ndarray) -> np.ndarray:
    """Return a picture as three channels, so that all in a row have one shape."""
    return np.broadcast_to(picture, (3, *picture.shape[1:]))
