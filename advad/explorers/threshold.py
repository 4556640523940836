"""Widgets over figures: what a reader moves, Python answers. All explorers, by one import.

    from advad import explorers

    explorers.LatentExplorer(detector, images, labels)

An explorer is shown by naming it at the end of a cell. Its callbacks run inside `Explorer.guarded`, which shows
an error in a panel of its own instead of losing it; after it, a lesson shows its static twin:
`lesson.picture(explorer.to_image(), explorer.summary(), alt=...)`.
"""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad import plots
from advad.explorers.base import Explorer
from advad.explorers.controls import Picture, StatusText, plot


class ThresholdExplorer(Explorer):
    """A slider for the false-alarm rate; the threshold, what it finds and what it misses answer.

    Parameters
    ----------
    images : array of shape (n, C, H, W)
        Test images, `uint8` or float in [0, 1].
    scores : array of shape (n,)
        Theirs, higher = more anomalous.
    is_anomaly : array of shape (n,)
        True labels: 1 or True = anomalous.
    holdout_scores : array of shape (m,)
        Of held-out normals: the threshold is their quantile.
    false_alarm_rate : float
        Where the slider starts.
    """

    def __init__(
        self,
        images: ArrayLike,
        scores: ArrayLike,
        is_anomaly: ArrayLike,
        holdout_scores: ArrayLike,
        false_alarm_rate: float = 0.05,
    ):
        self.images, self.scores = np.asarray(images), np.asarray(scores)
        self.is_anomaly, self.holdout_scores = np.asarray(is_anomaly, bool), np.asarray(holdout_scores)
        self.slider = widgets.FloatSlider(
            value=100 * false_alarm_rate,
            min=0,
            max=50,
            step=0.5,
            description="false alarms wanted (%)",
            continuous_update=True,
            readout_format=".1f",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="640px", max_width="100%"),
        )
        super().__init__()

    @property
    def threshold(self) -> float:
        """The score above which an image is called anomalous."""
        return float(np.quantile(self.holdout_scores, 1 - self.slider.value / 100))

    def rates(self) -> tuple[float, float]:
        """Return the shares of normal and of anomalous test images above the threshold."""
        above = self.scores > self.threshold
        return float(above[~self.is_anomaly].mean()), float(above[self.is_anomaly].mean())

    def summary(self) -> str:
        """Return the present state in words."""
        false_alarms, found = self.rates()
        return (
            f"Threshold {self.threshold:.4f}: {found:.1%} of the anomalies are found, "
            f"and {false_alarms:.1%} of the normal test images are false alarms."
        )

    def build(self) -> list[widgets.Widget]:
        groups = {"normal": self.scores[~self.is_anomaly], "anomalous": self.scores[self.is_anomaly]}
        figure = plots.histograms(groups, title="Where to draw the line?", x_title="anomaly score")
        plots.mark_line(figure, "threshold", x=self.threshold)
        self.plot, self.text, self.strip = plot(figure, 760, 320), StatusText(), Picture()
        self.slider.observe(self.guarded(self.move), "value")
        self.move(None)
        return [self.slider, self.text, self.plot, self.strip]

    def move(self, _: Any) -> None:
        """StatusText the slider."""
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
                captions[name] = ["anomaly" if truth else "normal" for truth in self.is_anomaly[chosen]]
        return plots.grid(rows, captions=captions)
