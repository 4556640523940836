"""An explorer of anomaly maps: image, map and mask, and a threshold that moves the outline of what is found."""

from __future__ import annotations

from typing import Any, Unpack

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.analysis.inputs import as_numbers
from advad.checks import check_number, reject
from advad.explorers.base import Explorer, detector_buttons, named, row_of_detectors
from advad.explorers.canvas import outlined
from advad.explorers.controls import ALL_THERE_IS, ImageView, StatusText, row, slider
from advad.explorers.scored_images import Known, LabelledImages
from advad.images import as_numpy
from advad.plots.images import image_row
from advad.types import MapsAnomalies

OWNER = "AnomalyMapExplorer"
TILE = 176  # CSS pixels a side
MOST = 30  # percent: where AUPRO ends, too


class AnomalyMapExplorer(Explorer):
    """A slider over images and one for the threshold: the outline moves, and precision and recall of the pixels.

    Parameters
    ----------
    detectors, images, **known
        See `Explorer`. A detector needs `anomaly_map`, as all of advad have it.
    masks : array of shape (N, H, W), optional
        Above 0 where a defect truly is; images without a defect have an empty one.
    kind, smoothing
        Of the maps; see `detector.anomaly_map`.
    outlined_share : float in [0, 30]
        Where the threshold starts, as the percentage of the pixels of all the images' maps that are above it.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> explorers.AnomalyMapExplorer(detector, split.test[:20], labels=split.test_labels[:20]).summary()
    'Image 0 (class 4): threshold 0.7029 outlines 0.0% of it.'
    """

    def __init__(
        self,
        detectors: Any,
        images: ArrayLike,
        *,
        masks: ArrayLike | None = None,
        kind: str = "own",
        smoothing: float = 0.0,
        outlined_share: float = 2.0,
        **known: Unpack[Known],
    ):
        self.detectors = named(OWNER, detectors)
        for name, detector in self.detectors.items():
            if not isinstance(detector, MapsAnomalies):
                reject(OWNER, "detectors", "have anomaly maps (anomaly_map)", name)
        check_number(OWNER, "outlined_share", outlined_share, 0, MOST, remedy="It is a percentage of the pixels.")
        self.known = LabelledImages(OWNER, images, **known)
        self.images = self.known.images
        self.options = {"kind": kind, "smoothing": smoothing}
        shape = self.images[:, 0].shape
        self.masks = None if masks is None else as_numpy(masks) > 0
        if self.masks is not None and self.masks.shape != shape:
            reject(OWNER, "masks", f"have shape {shape}, one for each image", self.masks)
        self.maps: dict[str, np.ndarray] = {}  # by detector, made when it is first shown
        self.slider = slider("image", len(self.images))
        self.detector = detector_buttons(self.detectors)
        self.share = widgets.FloatSlider(
            value=outlined_share,
            min=0,
            max=MOST,
            step=0.1,
            description="pixels outlined (%)",
            readout_format=".1f",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="640px", max_width=ALL_THERE_IS),
        )
        super().__init__()

    @property
    def all_maps(self) -> np.ndarray:
        """The maps of all images by the chosen detector, (N, H, W)."""
        name = str(self.detector.value)
        if name not in self.maps:
            maps = self.detectors[name].anomaly_map(self.images, **self.options)
            self.maps[name] = as_numbers(OWNER, f"the anomaly maps of {name}", maps, 3)
        return self.maps[name]

    @property
    def threshold(self) -> float:
        """The value that the wanted share of the pixels of all maps is above."""
        return float(np.quantile(self.all_maps, 1 - self.share.value / 100))

    def detected(self) -> np.ndarray:
        """Return which pixels of the shown image are above the threshold, (H, W)."""
        return self.all_maps[self.slider.value] > self.threshold

    def rates(self) -> tuple[float, float] | None:
        """Return precision and recall of the shown image's pixels; NaN without any pixel, None without a mask."""
        if self.masks is None:
            return None
        detected, defect = self.detected(), self.masks[self.slider.value]
        hits = float((detected & defect).sum())
        precision, recall = (hits / int(n) if n else float("nan") for n in (detected.sum(), defect.sum()))
        return precision, recall

    def summary(self) -> str:
        """Return the present state in words."""
        i, detected = self.slider.value, self.detected()
        by = f"{self.detector.value}, threshold" if len(self.detectors) > 1 else "threshold"
        text = f"{self.known.describe(i)}: {by} {self.threshold:.4g} outlines {detected.mean():.1%} of it."
        rates = self.rates()
        if rates is None or self.masks is None:
            return text
        if not self.masks[i].any():
            return f"{text} It has no defect, so all of that is a false alarm." if detected.any() else text
        precision, recall = rates
        if not detected.any():
            return f"{text} Recall 0.0% of the defect's pixels."
        return f"{text} Precision {precision:.1%}, recall {recall:.1%} of the defect's pixels."

    def build(self) -> list[widgets.Widget]:
        self.text, self.strip = StatusText(), ImageView()
        for control in (self.slider, self.detector, self.share):
            control.observe(self.guarded(self.move), "value")
        self.move(None)
        return [row(self.slider, *row_of_detectors(self.detector)), self.share, self.text, self.strip]

    def move(self, _: Any) -> None:
        """Show what the controls say."""
        text = self.summary()
        self.text.say(text)
        shown = "An image, its anomaly map, and the outline of what is above the threshold"
        shown += "" if self.masks is None else ", and of the defect"
        self.strip.show(self.to_image(), f"{shown}. {text}")

    def to_image(self) -> Image.Image:
        """Return the image, its map, the outline of what is detected, and of the defect where masks are known."""
        i = self.slider.value
        image, maps = self.images[i], self.all_maps
        low, top = float(maps.min()), float(maps.max())
        views = {
            "image": image,
            "anomaly map": plots.heat(maps[i] - low, top - low),  # one scale for all images
            "above the threshold": outlined(image, self.detected(), 2 * TILE),
        }
        if self.masks is not None:
            views["the defect"] = outlined(image, self.masks[i], 2 * TILE)
        return image_row(list(views.values()), list(views), [""] * len(views), tile=TILE)
