"""Cover pixels of an image with a brush, and see the reconstruction, the score and the occlusion map change."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Unpack

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.explorers.base import WIDTH, Explorer, PlotBox, detector_buttons, named, row_of_detectors
from advad.explorers.canvas import Canvas, outlined
from advad.explorers.controls import ImageView, StatusText, columns, plot, row, slider, toggle_buttons
from advad.explorers.occlusion import FILLS
from advad.explorers.refined_map import RefinedMap, coarseness, refine_for
from advad.explorers.scored_images import Known, ScoredImages, reconstructions_of, scores_of
from advad.plots.images import heat, stack
from advad.plots.to_image import image_of

OWNER = "OcclusionBrush"
SIDES = (1, 2, 3, 5)  # of the brush, in pixels
TILE = 92  # CSS pixels a side


@dataclass
class Inspection:
    """An image, and what the detector makes of it."""

    image: np.ndarray  # (C, H, W) in [0, 1]
    score: float
    reconstruction: np.ndarray | None  # (C, H, W), the reconstruction, where there is one
    maps: RefinedMap

    @property
    def map(self) -> np.ndarray:
        """The change of the score by covering each place alone, (H, W); coarse until the maps are refined."""
        return self.maps.maps[self.maps.side]


class OcclusionBrush(Explorer):
    """Click or drag over an image to cover pixels, and see the reconstruction, the score and the map change.

    Parameters
    ----------
    detectors, images, **known
        See `Explorer`. A detector without `reconstruct` shows its scores and maps only.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> explorers.OcclusionBrush(detector, split.test[:20]).summary()
    'Image 0: score 0.05064, higher than 15% of the 20 images. Nothing is covered.'
    """

    def __init__(self, detectors: Any, images: ArrayLike, **known: Unpack[Known]):
        self.scored = {
            name: ScoredImages(OWNER, detector, images, **known) for name, detector in named(OWNER, detectors).items()
        }
        self.detector = detector_buttons(self.scored)
        super().__init__()

    @property
    def set(self) -> ScoredImages:
        """The images as the chosen detector scores them."""
        return self.scored[str(self.detector.value)]

    # ------------------------------------------------------------------ the widgets

    def build(self) -> list[widgets.Widget]:
        shape = self.set.images.shape[2:]
        sides = {f"{side}×{side}": side for side in SIDES if side == 1 or 2 * side <= min(shape)}
        self.picker = slider("image", len(self.set), width=300)
        self.side, self.fill = toggle_buttons(sides, 1), toggle_buttons(FILLS, FILLS["black"])
        self.eraser = widgets.ToggleButton(description="Erase", layout={"width": "72px"})
        self.eraser.tooltip = "Let the brush uncover"
        self.clear = widgets.Button(description="Uncover all", layout={"width": "100px"})
        self.canvas = Canvas(shape=list(shape))
        self.text, self.image_view = StatusText(), ImageView()
        self.text.layout.min_height = "2.9em"
        self.plot_box = PlotBox()
        self.refresh()
        self._listen()
        painting = widgets.VBox([self.canvas, row(self.eraser, self.clear)], layout={"width": "304px"})
        return [
            *row_of_detectors(self.detector),
            row(self.picker, "brush", self.side, "covers with", self.fill),
            self.text,
            columns(painting, self.image_view),
            self.plot_box,
        ]

    def _listen(self) -> None:
        """Connect the controls and the canvas with their callbacks."""
        self.detector.observe(self.guarded(self.change_detector), "value")
        self.picker.observe(self.guarded(lambda change: self.show_image(change["new"])), "value")
        self.side.observe(self.guarded(self.change_brush), "value")
        self.eraser.observe(self.guarded(self.change_brush), "value")
        self.fill.observe(self.guarded(self.change_fill), "value")
        self.clear.on_click(self.guarded(self.uncover))
        self.canvas.observe(self.guarded(self.paint), "covered")

    def _score_figure(self) -> Any:
        """Return the histogram of the scores with the threshold, and two marks that move."""
        scores, truth = self.set.scores, self.set.truth
        if truth is None or truth.all() or not truth.any():
            groups = {"all images": scores}
        else:
            groups = {"normal": scores[~truth], "anomalous": scores[truth]}
        figure = plots.histograms(groups, title="", x_title="anomaly score")
        threshold = self.set.threshold
        if threshold is not None:
            figure.add_vline(x=threshold, line={"color": plots.INK, "dash": "dash", "width": 1.5})
            line = {"color": plots.INK, "dash": "dash", "width": 1.5}
            figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name="threshold")
        edge = {"line": {"color": plots.INK, "width": 1.5}}
        on_top = {"mode": "markers", "y": [0], "cliponaxis": False}
        figure.add_scatter(
            **on_top, x=[0], name="as it is", marker={"symbol": "circle", "size": 12, "color": "white", **edge}
        )
        figure.add_scatter(
            **on_top, x=[0], name="covered", marker={"symbol": "star", "size": 17, "color": plots.YELLOW, **edge}
        )
        figure.update_layout(legend={"x": 1.01, "y": 1, "xanchor": "left"})
        figure.update_yaxes(rangemode="tozero", title_text="share")  # the plot is low
        return plot(figure, 560, 190, margin={"l": 60, "r": 150, "t": 12, "b": 46})

    # ------------------------------------------------------------------ callbacks

    def show_image(self, index: int) -> None:
        """Answer the choice of an image: it comes uncovered."""
        with self.callbacks_paused():
            self.picker.value, self.canvas.covered = index, []
        self._show_canvas()
        self.change_fill(None)

    def show_picture(self, index: int) -> None:
        """Choose an image, under the method's name before 0.2."""
        warnings.warn("brush.show_picture() is now brush.show_image().", FutureWarning, stacklevel=2)
        self.show_image(index)

    def change_detector(self, _: Any) -> None:
        """Answer the choice of a detector: what is covered stays covered."""
        self.refresh()

    def refresh(self) -> None:
        """Show the chosen image with what is covered, and what the chosen detector makes of it."""
        self._draw()
        self._show_canvas()
        self.change_fill(None)

    def _show_canvas(self) -> None:
        """Show the chosen image, to be painted on."""
        index = self.picker.value
        self.canvas.show(self.set.images[index], f"{self.set.describe(index)}, to be covered by the brush")

    def _draw(self) -> None:
        """Draw where the chosen detector's scores stand."""
        self.plot = self._score_figure()
        self.plot_box.show(self.plot)

    def change_brush(self, _: Any) -> None:
        """Answer the brush's side and the eraser."""
        side: Any = self.side.value
        self.canvas.side, self.canvas.erasing = side, self.eraser.value

    def change_fill(self, _: Any) -> None:
        """Answer the choice of what covers: the map of the image as it is changes, too."""
        self.canvas.fill = "#" + 3 * f"{round(255 * self.shade):02x}"
        self.before = self.inspect(self.set.images[self.picker.value])
        self.paint(None)

    def uncover(self, _: Any) -> None:
        """Answer the button that uncovers all."""
        self.canvas.covered = []

    def paint(self, _: Any) -> None:
        """Answer the brush."""
        self.after = self.inspect(self.covered_image()) if self.canvas.covered else self.before
        self._show()
        self.work_in_background(self._refine)

    def _refine(self) -> bool:
        """Refine the maps a little, and show each that is finished; return whether there is more to do."""
        maps = [self.before.maps, self.after.maps]
        if refine_for(maps):
            self._show()
        return not all(each.is_finest for each in maps)

    def refine(self) -> None:
        """Compute the finest maps now. In a notebook they come by themselves, after a coarse first answer."""
        while self._refine():
            pass

    # ------------------------------------------------------------------ the two images

    @property
    def shade(self) -> float:
        """What covers pixels: 0 is black, 1 white."""
        value: Any = self.fill.value
        return value

    def covered_image(self) -> np.ndarray:
        """Return the image as the detector sees it now, (C, H, W)."""
        return np.where(self.canvas.mask, np.float32(self.shade), self.set.images[self.picker.value])

    def inspect(self, image: np.ndarray) -> Inspection:
        """Return what the detector makes of an image of shape (C, H, W)."""
        detector, batch = self.set.detector, image[None]
        reconstruction = reconstructions_of(OWNER, detector, batch)[0] if self.set.can_reconstruct else None
        score = float(scores_of(OWNER, detector, batch)[0])
        return Inspection(image, score, reconstruction, RefinedMap(detector, image, fill=self.shade))

    @property
    def coarseness(self) -> int:
        """Side of the squares of the maps that are shown, in pixels; the same for both, to compare them."""
        return max(self.before.maps.side, self.after.maps.side)

    def summary(self) -> str:
        """Return what the covered pixels do to the score, in words."""
        before, after, n = self.before.score, self.after.score, len(self.canvas.covered)
        verdict, was = self.set.verdict(after), self.set.verdict(before)
        called = f" It is {'still' if verdict == was else 'now'} called {verdict}." if verdict else ""
        name = self.set.describe(self.picker.value)
        if len(self.scored) > 1:
            name = f"{self.detector.value}, {name[0].lower()}{name[1:]}"
        if n == 0:
            called = called.replace(" still", "")
            text = f"{name}: score {before:.4g}, {self.set.comparison(before)}.{called} Nothing is covered."
            return text + coarseness(self.coarseness)
        text = (
            f"{name}, {n} pixel{'s' * (n > 1)} covered with {self.fill.label}: the score {before:.4g} becomes "
            f"{after:.4g}, {after - before:+.3g}"
        )
        if self.before.maps.is_finest:
            text += f"; each covered alone, they sum to {self.before.map[self.canvas.mask].sum():+.3g}"
        return f"{text}.{called}{coarseness(self.coarseness)}"

    def table(self) -> Image.Image:
        """Return the image as it is and as it is covered, with what the detector makes of both, on equal scales."""
        views = [self.before, self.after]
        maps = [each.maps.maps[self.coarseness] for each in views]
        strongest = max(np.abs(values).max() for values in maps)
        shown: dict[str, list[np.ndarray]] = {"image": [views[0].image, outlined(views[1].image, self.canvas.mask)]}
        captions = [[f"score {each.score:.4g}"] for each in views]
        if self.set.can_reconstruct:
            errors = [np.abs(each.image - each.reconstruction).mean(axis=0) for each in views]
            top = max(error.max() for error in errors)
            shown["reconstruction"] = [each.reconstruction for each in views if each.reconstruction is not None]
            shown["difference"] = [heat(error, top) for error in errors]
            captions = [[*texts, "", f"up to {error.max():.2f}"] for texts, error in zip(captions, errors, strict=True)]
        overlaid = [
            plots.overlay(each.image[None], values[None], strongest)[0]
            for each, values in zip(views, maps, strict=True)
        ]
        shown["occlusion map"] = overlaid
        names = ("as it is", "covered")
        rows = {name: [column[k] for column in shown.values()] for k, name in enumerate(names)}
        all_captions = {
            name: [*captions[k], f"{maps[k].min():+.2g}\nto {maps[k].max():+.2g}"] for k, name in enumerate(names)
        }
        return stack([plots.grid(rows, columns=list(shown), captions=all_captions, tile=TILE), plots.overlay_key()])

    def _show(self) -> None:
        """Show the image as it is and covered."""
        self.text.say(self.summary())
        self.image_view.show(
            self.table(), f"The image as it is and covered, and what the detector makes of both. {self.summary()}"
        )
        *_, before, after = self.plot.data
        with self.plot.batch_update():
            before.x, after.x = [self.before.score], [self.after.score]

    def to_image(self) -> Image.Image:
        """Return the table of images beside the scores."""
        table = self.table()
        scores = image_of(self.plot, width=WIDTH - table.width // 2 - 1, height=table.height // 2)
        return stack([table, scores], across=True)
