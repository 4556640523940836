"""An explorer of occlusion maps: choose an image, a detector, and the patch that covers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.analysis.saliency import mask_agreement
from advad.checks import check_number, reject
from advad.explorers.base import Explorer, detector_buttons, named, row_of_detectors
from advad.explorers.controls import ImageView, StatusText, row, slider, toggle_buttons
from advad.explorers.refined_map import RefinedMap, coarseness, refine_for
from advad.explorers.scored_images import Known, LabelledImages, reconstructions_of, scores_of
from advad.images import as_numpy
from advad.plots.images import stack, without_label
from advad.types import can_reconstruct

OWNER = "OcclusionExplorer"
FILLS = {"black": 0.0, "grey": 0.5, "white": 1.0}


class OcclusionExplorer(Explorer):
    """Choose an image, a patch size and a fill, and see which places raise or lower the score.

    Parameters
    ----------
    detectors, images, **known
        See `Explorer`. A detector without `reconstruct` shows its scores and maps only.
    masks : array of shape (N, H, W), optional
        Above 0 where a defect truly is; images without a defect have an empty one.
    patches : sequence of int
        Sides of the square that occludes, to choose from.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> explorers.OcclusionExplorer(detector, split.test[:2]).summary()
    'Image 0: PCA scores it 0.0506. Covering row 5, column 1 lowers that most, by 10.9%.'
    """

    def __init__(
        self,
        detectors: Any,
        images: ArrayLike,
        *,
        masks: ArrayLike | None = None,
        patches: Sequence[int] = (1, 2, 3, 4),
        **known: Unpack[Known],
    ):
        self.detectors = named(OWNER, detectors)
        self.known = LabelledImages(OWNER, images, **known)
        self.images = self.known.images
        shape = self.images[:, 0].shape
        self.masks = np.zeros(shape) if masks is None else as_numpy(masks)
        if self.masks.shape != shape:
            reject(OWNER, "masks", f"have shape {shape}, one for each image", self.masks)
        for side in patches:
            check_number(OWNER, "each of patches", side, 1, min(shape[1:]), integer=True)
        self.slider = slider("image", len(self.images))
        self.detector = detector_buttons(self.detectors)
        self.patch = toggle_buttons({str(side): side for side in patches}, patches[0])
        self.fill = toggle_buttons(FILLS, FILLS["black"])
        super().__init__()

    def chosen(self) -> tuple[int, str, int, float]:
        """Return what the controls say: image, detector, patch, fill."""
        controls: tuple[Any, ...] = (self.slider, self.detector, self.patch, self.fill)
        index, detector, patch, fill = (control.value for control in controls)
        return index, detector, patch, fill

    def map(self) -> np.ndarray:
        """Return the present occlusion map, (H, W); coarse until it is refined."""
        return self.maps.maps[self.maps.side]

    def summary(self) -> str:
        """Return the present state in words."""
        index, name, patch, _ = self.chosen()
        values, score = self.map(), float(scores_of(OWNER, self.detectors[name], self.images[index : index + 1])[0])
        text = f"{self.known.describe(index)}: {name} scores it {score:.4f}."
        worst = np.unravel_index(values.argmin(), values.shape)
        if values[worst] < 0:
            fall = f"{-values[worst] / score:.1%}" if score > 0 else f"{-values[worst]:.3g}"  # of 0 there is no share
            text += f" Covering row {worst[0]}, column {worst[1]} lowers that most, by {fall}."
        else:
            text += " Covering it lowers that nowhere."
        if 0 < (self.masks[index] > 0).mean() < 1:
            agreement = mask_agreement(-values[None], self.masks[index : index + 1])
            text += f" Of the defect and the map's highest places {agreement.iou:.0%} are common (IoU)."
        return text + coarseness(self.maps.side, patch)

    def build(self) -> list[widgets.Widget]:
        self.text, self.strip = StatusText(), ImageView()
        for control in (self.slider, self.detector, self.patch, self.fill):
            control.observe(self.guarded(self.move), "value")
        self.refresh()
        return [
            row(self.slider, *row_of_detectors(self.detector)),
            row("patch", self.patch, "covered with", self.fill),
            self.text,
            self.strip,
        ]

    def move(self, _: Any) -> None:
        """Answer the controls."""
        self.refresh()

    def refresh(self) -> None:
        """Compute the map anew, a coarse one of large images first, and show it."""
        index, name, patch, fill = self.chosen()
        self.maps = RefinedMap(self.detectors[name], self.images[index], patch, fill)
        self._show()
        self.work_in_background(self._refine)

    def _refine(self) -> bool:
        """Refine the map a little, and show each that is finished; return whether there is more to do."""
        if refine_for([self.maps]):
            self._show()
        return not self.maps.is_finest

    def refine(self) -> None:
        """Compute the finest map now. In a notebook it comes by itself, after a coarse first answer."""
        while self._refine():
            pass

    def _show(self) -> None:
        """Show the map that there is."""
        self.text.say(self.summary())
        shown = "An image, its reconstruction and its occlusion map"
        if not can_reconstruct(self.detectors[self.chosen()[1]]):
            shown = "An image and its occlusion map"
        self.strip.show(self.to_image(), f"{shown}. {self.summary()}")

    def to_image(self) -> Image.Image:
        """Return the image, its reconstruction and error, the map, and where the defect truly is."""
        values, (index, name, _, _) = self.map(), self.chosen()
        batch = self.images[index : index + 1]
        images = {"image": batch[0]}
        if can_reconstruct(self.detectors[name]):
            reconstructed = reconstructions_of(OWNER, self.detectors[name], batch)
            error = np.square(batch - reconstructed).mean(1, keepdims=True)
            images |= {f"{name} reconstructs": reconstructed[0], "squared error": error[0] / max(error.max(), 1e-9)}
        images["occlusion map"] = plots.overlay(batch, values[None])[0]
        if (self.masks[index] > 0).any():
            images["the defect"] = plots.overlay(batch, np.where(self.masks[index : index + 1] > 0, -1, 0))[0]
        columns = list(images)
        labelled = plots.grid({"": [_colour(image) for image in images.values()]}, columns=columns, tile=128)
        return stack([without_label(labelled), plots.overlay_key()])


def _colour(image: np.ndarray) -> np.ndarray:
    """Return an image as three channels, so that all in a row have one shape."""
    return np.broadcast_to(image, (3, *image.shape[1:]))
