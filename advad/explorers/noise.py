"""An explorer of noise: one frozen noise at rising strengths, and how each detector scores the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.analysis.corruption import at_strength, strength
from advad.checks import check_number, reject
from advad.explorers.base import Explorer, detector_buttons, named, row_of_detectors
from advad.explorers.controls import ImageView, StatusText, columns, plot, row, select_slider, slider, toggle_buttons
from advad.explorers.scored_images import Known, LabelledImages, reconstructions_of, scores_of, threshold_of
from advad.images import as_float, as_numpy
from advad.plots.images import stack, without_label
from advad.plots.to_image import image_of
from advad.types import can_reconstruct

OWNER = "NoiseExplorer"
STRENGTHS = tuple(k / 40 for k in range(17))  # 0 to 0.4 in pixel units
SIZE = (560, 366)  # of the plot, in CSS pixels


class NoiseExplorer(Explorer):
    """Choose the kind and the strength of a frozen noise, and see how the image and its score change.

    Every kind of noise is brought to the same strength, the root of the mean squared change of a pixel, so that
    the curves can be compared. Where a noise cannot become stronger inside [0, 1], its curve ends.

    Parameters
    ----------
    detectors, images, **known
        See `Explorer`. The images are clean; a detector without `reconstruct` shows its scores only.
    corruptions : mapping of str to array of the images' shape, optional
        Corrupted versions of the images; a strength is a point on the line from an image to its own. Unless given:
        uniform, Gaussian and speckle noise, and the learned noise of a detector that has one (ALCN).
    strengths : sequence of float in [0, 1], rising from 0
        Strengths to choose from, in pixel units.
    seed : int
        Freezes the noise.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> explorer = explorers.NoiseExplorer(detector, split.test[:2])
    >>> explorer.summary()
    "Image 0 under uniform noise of strength 0.200: PCA scores it 0.0768, 1.5 times the clean one's 0.0506."
    """

    def __init__(
        self,
        detectors: Any,
        images: ArrayLike,
        *,
        corruptions: Mapping[str, ArrayLike] | None = None,
        strengths: Sequence[float] = STRENGTHS,
        seed: int = 0,
        **known: Unpack[Known],
    ):
        self.detectors = named(OWNER, detectors)
        self.known = LabelledImages(OWNER, images, **known)
        self.images = self.known.images
        self.strengths = tuple(map(float, strengths))
        for value in self.strengths:
            check_number(OWNER, "strengths", value, 0, 1, remedy="They are in pixel units of [0, 1].")
        if len(self.strengths) < 2 or self.strengths[0] != 0 or (np.diff(self.strengths) <= 0).any():
            reject(OWNER, "strengths", "rise from 0", strengths)
        check_number(OWNER, "seed", seed, 0, integer=True)
        corrupted = frozen_noise(self.detectors, self.images, seed) if corruptions is None else corruptions
        self.corruptions = {name: as_float(as_numpy(values)).astype(np.float32) for name, values in corrupted.items()}
        if not self.corruptions:
            reject(OWNER, "corruptions", "hold at least one", corruptions)
        for name, values in self.corruptions.items():
            if values.shape != self.images.shape:
                reject(OWNER, f"corruptions[{name!r}]", f"have the shape of images, {self.images.shape}", values)
            if not np.isfinite(values).all():
                reject(OWNER, f"corruptions[{name!r}]", "be finite", values, "It holds NaN or infinite pixels.")
        self._computed: dict[tuple[int, str], dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        super().__init__()

    # ------------------------------------------------------------------ the numbers

    def scores_by_strength(self, index: int, detector: str) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return for each noise the images at each strength, (R, C, H, W), the strengths and the scores, (R,).

        The strengths are those reached; computed once for an image and a detector.
        """
        if (index, detector) not in self._computed:
            x, rungs = self.images[index : index + 1], len(self.strengths)
            below = x.repeat(rungs - 1, axis=0)
            shown = {
                name: np.concatenate([x, at_strength(below, values[[index] * (rungs - 1)], self.strengths[1:])])
                for name, values in self.corruptions.items()
            }
            scores = scores_of(OWNER, self.detectors[detector], np.concatenate(list(shown.values())))
            self._computed[index, detector] = {
                name: (on_rungs, strength(x.repeat(rungs, axis=0), on_rungs), scores_on_rungs)
                for (name, on_rungs), scores_on_rungs in zip(
                    shown.items(), scores.reshape(len(shown), rungs), strict=True
                )
            }
        return self._computed[index, detector]

    def chosen(self) -> tuple[int, int, str, str]:
        """Return what the controls say: image, position in `strengths`, noise, detector."""
        controls: tuple[Any, ...] = (self.picker, self.rung, self.noise, self.detector)
        index, rung, noise, detector = (control.value for control in controls)
        return index, rung, noise, detector

    def current(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Return the clean image and the one that is shown, (C, H, W), the shown one's strength and score."""
        index, rung, noise, detector = self.chosen()
        on_rungs, strengths, scores = self.scores_by_strength(index, detector)[noise]
        return self.images[index], on_rungs[rung], float(strengths[rung]), float(scores[rung])

    def summary(self) -> str:
        """Return the present state in words."""
        index, _, noise, detector = self.chosen()
        _, _, reached, score = self.current()
        measured = self.scores_by_strength(index, detector)
        clean = float(measured[noise][2][0])
        text = f"{self.known.describe(index)} under {noise} noise of strength {reached:.3f}: "
        text += f"{detector} scores it {score:.4f}"
        times = f", {score / clean:.1f} times the clean one's" if clean > 0 else "; the clean one"
        text += f"{times} {clean:.4f}."
        threshold = threshold_of(OWNER, self.detectors[detector])
        if threshold is not None:
            above = measured[noise][1][measured[noise][2] > threshold]
            where = f"first called anomalous at strength {above.min():.3f}" if len(above) else "never called anomalous"
            text += f" With this noise it is {where}."
        return text

    # ------------------------------------------------------------------ the widgets

    def build(self) -> list[widgets.Widget]:
        rungs = {f"{value:.3f}".rstrip("0").rstrip("."): k for k, value in enumerate(self.strengths)}
        self.picker = slider("image", len(self.images))
        self.rung = select_slider("strength", rungs, len(rungs) // 2)
        self.noise = toggle_buttons(list(self.corruptions), next(iter(self.corruptions)))
        self.detector = detector_buttons(self.detectors)
        self.text, self.image_view = StatusText(), ImageView()
        self.text.layout.min_height = "48px"
        figure = plots.curves(
            self.strengths,
            {name: np.zeros(len(self.strengths)) for name in self.corruptions},
            title="Score over strength",
            x_title="strength (root mean squared change of a pixel)",
            y_title="anomaly score",
        )
        figure.add_scatter(
            x=[0],
            y=[0],
            mode="markers",
            showlegend=False,
            hoverinfo="skip",
            marker={
                "symbol": "circle-open",
                "size": 15,
                "color": plots.INK,
                "line": {"width": 2.5, "color": plots.INK},
            },
        )
        plots.mark_line(figure, "threshold", y=0)
        above = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
        title = {"y": 1, "yanchor": "top", "yref": "container", "pad": {"t": 10}}
        rows = 1 + (len(self.corruptions) - 1) // 4  # of the legend, below the title
        figure.update_layout(legend=above, title=title, margin={"t": 34 + 22 * rows, "b": 46})
        figure.update_xaxes(range=[-0.02 * self.strengths[-1], 1.04 * self.strengths[-1]])
        self.plot = plot(figure, *SIZE)
        self.refresh()
        for control in (self.picker, self.detector):  # the curves are of one image and one detector
            control.observe(self.guarded(lambda _: self.refresh()), "value")
        for control in (self.noise, self.rung):
            control.observe(self.guarded(lambda _: self._show()), "value")
        return [
            row(self.picker, self.rung),
            row("noise", self.noise, *row_of_detectors(self.detector)),
            self.text,
            columns(self.image_view, self.plot),
        ]

    def refresh(self) -> None:
        """Show the curves and the images anew."""
        self._draw()
        self._show()

    def _draw(self) -> None:
        """Draw the curves of the present image and detector, and the threshold where there is one."""
        index, _, _, detector = self.chosen()
        threshold = threshold_of(OWNER, self.detectors[detector])
        with self.plot.batch_update():
            for line, (_, strengths, scores) in zip(
                self.plot.data, self.scores_by_strength(index, detector).values(), strict=False
            ):
                line.x, line.y = strengths, scores
            across = self.plot.layout.shapes[0]
            across.visible = threshold is not None
            across.y0 = across.y1 = threshold or 0

    def _show(self) -> None:
        """Show the present rung: where it lies on its curve, and its images."""
        _, _, reached, score = self.current()
        with self.plot.batch_update():
            self.plot.data[-1].x, self.plot.data[-1].y = [reached], [score]
        self.text.say(self.summary())
        alt = "A clean image, the noise alone, both together, and the reconstruction"
        if not can_reconstruct(self.detectors[str(self.detector.value)]):
            alt = "A clean image, the noise alone, and both together"
        self.image_view.show(self.table(), f"{alt}. {self.summary()}")

    def table(self) -> Image.Image:
        """Return the clean image, the amplified noise, the image shown and any reconstruction, two by two."""
        clean, shown, reached, _ = self.current()
        change = shown - clean
        top = float(np.abs(change).max())
        detector, reconstruction, caption = self.detectors[str(self.detector.value)], None, ""
        if can_reconstruct(detector):
            reconstruction = reconstructions_of(OWNER, detector, shown[None])[0]
            caption = f"reconstructed, off by {float(np.square(reconstruction - clean).mean()):.4f}"
        labelled = plots.grid(
            {"": [clean, 0.5 + change / (2 * top or 1)], " ": [shown, reconstruction]},
            captions={
                "": ["clean", f"noise, {0.5 / top:.1f}-fold" if top else "no noise"],
                " ": [f"shown, {reached:.3f}", caption],
            },
            tile=150,
        )
        return without_label(labelled)

    def to_image(self) -> Image.Image:
        """Return the images beside the curves."""
        return stack([self.table(), image_of(self.plot)], across=True)


def frozen_noise(detectors: Mapping[str, Any], images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return images under each kind of noise, drawn once; their strength is set by the explorer.

    Parameters
    ----------
    detectors : mapping of str to Detector
        One that has learned a noise adds it.
    images : array of shape (N, C, H, W), float in [0, 1]
    seed : int
        Seed of the noise.
    """
    rng = np.random.default_rng(seed)
    uniform = rng.random(images.shape)
    noises = {"uniform": images + uniform, "Gaussian": images + rng.normal(size=images.shape), "speckle": uniform}
    for detector in detectors.values():
        if callable(getattr(detector, "noise", None)):
            noises["learned"] = detector.noise(len(images), seed)
    return noises
