"""An explorer of the threshold: what is found and what is missed at a wanted false-alarm rate."""

from __future__ import annotations

from typing import Any, Unpack

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.analysis.metrics import threshold_at
from advad.checks import as_images, check_number, reject
from advad.explorers.base import Explorer, PlotBox, detector_buttons, named, row_of_detectors
from advad.explorers.controls import ALL_THERE_IS, ImageView, StatusText, plot
from advad.explorers.scored_images import Known, ScoredImages, scores_of


class ThresholdExplorer(Explorer):
    """Choose a false-alarm rate, and see the threshold, what it finds and what it misses.

    Parameters
    ----------
    detectors : Detector, or mapping of str to Detector
        A fitted detector.
    images : array of shape (N, C, H, W) or (N, H, W)
        Test images, `uint8` or float in [0, 1].
    holdout : array of shape (M, C, H, W) or (M, H, W)
        Normal images that were not trained on: the threshold is set by their scores, as `advad.threshold_at` does it.
    false_alarm_rate : float in [0, 0.5]
        Where the slider starts.
    **known
        `is_anomaly`, in which both kinds occur; `labels` and `classes` if wanted. See `Known`.

    Examples
    --------
    >>> from advad import PCA, explorers, load, one_class
    >>> split = one_class(load("digits"), normal=0)
    >>> detector = PCA(n_components=8).fit(split.train)
    >>> explorer = explorers.ThresholdExplorer(
    ...     detector, split.test, is_anomaly=split.test_is_anomaly, holdout=split.holdout
    ... )
    >>> print(explorer.summary())
    Threshold 0.0091: 100.0% of the anomalies are found, and 37.7% of the normal test images are false alarms.
    """

    def __init__(
        self,
        detectors: Any,
        images: ArrayLike,
        *,
        holdout: ArrayLike | None = None,
        false_alarm_rate: float = 0.05,
        **known: Unpack[Known],
    ):
        owner = "ThresholdExplorer"
        self.detectors = named(owner, detectors)
        check_number(owner, "false_alarm_rate", false_alarm_rate, 0, 0.5, remedy="0.05 is 5 %.")
        if known.get("is_anomaly") is None:
            reject(owner, "is_anomaly", "tell which images are anomalous, 0 or 1 for each", None)
        if holdout is None:
            remedy = "For example split.holdout."
            reject(owner, "holdout", "be normal images that were not trained on", holdout, remedy)
        held_out = as_images(owner, holdout, name="holdout")
        self.scored = {
            name: ScoredImages(owner, detector, images, **known) for name, detector in self.detectors.items()
        }
        self.holdout_scores = {name: scores_of(owner, detector, held_out) for name, detector in self.detectors.items()}
        self.detector = detector_buttons(self.detectors)
        self.images, truth = self.set.images, self.set.truth
        assert truth is not None
        if truth.all() or not truth.any():
            reject(owner, "is_anomaly", "have normal (0) and anomalous (1) images", int(truth.sum()))
        self.is_anomaly = truth
        self.slider = widgets.FloatSlider(
            value=100 * false_alarm_rate,
            min=0,
            max=50,
            step=0.5,
            description="false alarms wanted (%)",
            continuous_update=True,
            readout_format=".1f",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="560px", max_width=ALL_THERE_IS),
        )
        super().__init__()

    @property
    def set(self) -> ScoredImages:
        """The images as the chosen detector scores them."""
        return self.scored[str(self.detector.value)]

    @property
    def scores(self) -> np.ndarray:
        """The scores of the chosen detector, (N,)."""
        return self.set.scores

    @property
    def threshold(self) -> float:
        """The score above which an image is called anomalous: at most the wanted share of `holdout` is above it."""
        return threshold_at(self.holdout_scores[str(self.detector.value)], self.slider.value / 100)

    def rates(self) -> tuple[float, float]:
        """Return the shares of normal and of anomalous test images above the threshold."""
        above = self.scores > self.threshold
        return float(above[~self.is_anomaly].mean()), float(above[self.is_anomaly].mean())

    def summary(self) -> str:
        """Return the present state in words."""
        false_alarms, detected = self.rates()
        threshold = f"{self.detector.value}, threshold" if len(self.detectors) > 1 else "Threshold"
        return (
            f"{threshold} {self.threshold:.4f}: {detected:.1%} of the anomalies are found, "
            f"and {false_alarms:.1%} of the normal test images are false alarms."
        )

    def build(self) -> list[widgets.Widget]:
        self.plot_box, self.text, self.strip = PlotBox(), StatusText(), ImageView()
        self.slider.observe(self.guarded(self.move), "value")
        self.detector.observe(self.guarded(self.change_detector), "value")
        self.refresh()
        return [self.slider, *row_of_detectors(self.detector), self.text, self.plot_box, self.strip]

    def refresh(self) -> None:
        """Show the chosen detector's scores and the threshold anew."""
        self.change_detector(None)

    def change_detector(self, _: Any) -> None:
        """Answer the choice of a detector: the histograms are of its scores."""
        groups = {"normal": self.scores[~self.is_anomaly], "anomalous": self.scores[self.is_anomaly]}
        figure = plots.histograms(groups, title="Where to draw the line?", x_title="anomaly score")
        plots.mark_line(figure, "threshold", x=self.threshold)
        self.plot = plot(figure, 560, 320)
        self.plot_box.show(self.plot)
        self.move(None)

    def move(self, _: Any) -> None:
        """Answer the slider."""
        with self.plot.batch_update():
            line = self.plot.layout.shapes[0]
            line.x0 = line.x1 = self.threshold
        self.text.say(self.summary())
        alt = "Test images whose scores are nearest the threshold, eight below and eight above it"
        self.strip.show(self.to_image(), f"{alt}. {self.summary()}")

    def to_image(self) -> Image.Image:
        """Return the eight images just below the threshold and the eight just above it."""
        order = np.argsort(self.scores)
        cut = int(np.searchsorted(self.scores[order], self.threshold, side="right"))
        rows, captions = {}, {}
        for name, chosen in {
            "called normal": order[max(cut - 8, 0) : cut],
            "called anomalous": order[cut : cut + 8],
        }.items():
            if len(chosen):
                rows[name] = self.images[chosen]
                captions[name] = [self._caption(index) for index in chosen]
        return plots.grid(rows, captions=captions)

    def _caption(self, index: int) -> str:
        """Return what an image truly is, with its class where that is known."""
        kind = "anomaly" if self.is_anomaly[index] else "normal"
        names = self.set.groups.get("class")
        return kind if names is None else f"{kind}\n{names[index]}"
