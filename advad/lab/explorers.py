"""Widgets over figures: what a reader moves, Python answers. All explorers, by one import.

    from advad.lab import explorers

    explorers.LatentExplorer(detector, images, labels)

An explorer is shown by naming it at the end of a cell. Its callbacks run inside `Explorer.answering`, which shows
an error in a panel of its own instead of losing it; after it, a lesson shows its static twin:
`lesson.picture(explorer.twin(), explorer.sentence(), alt=...)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from advad.lab import figures
from advad.lab.contamination_explorer import ContaminationExplorer
from advad.lab.contamination_runs import ContaminationRuns, contaminated_runs, load_runs
from advad.lab.explorer import Answer, Explorer, Picture, plot, slider
from advad.lab.guess import GuessTheAnomaly
from advad.lab.latent_explorer import LatentExplorer
from advad.lab.noise_ladder import NoiseLadder
from advad.lab.occlusion_brush import OcclusionBrush
from advad.lab.occlusion_explorer import OcclusionExplorer
from advad.lab.prior_game import PriorGameExplorer
from advad.lab.shortcut_explorer import ShortcutExplorer

__all__ = [
    "ContaminationExplorer",
    "ContaminationRuns",
    "Explorer",
    "GuessTheAnomaly",
    "LatentExplorer",
    "NoiseLadder",
    "OcclusionBrush",
    "OcclusionExplorer",
    "PriorGameExplorer",
    "ReconstructionExplorer",
    "ShortcutExplorer",
    "ThresholdExplorer",
    "contaminated_runs",
    "load_runs",
]


class ThresholdExplorer(Explorer):
    """A slider for the false-alarm rate; the threshold, what it finds and what it misses answer.

    Parameters
    ----------
    images : array of shape (n, C, H, W)
        Test images, `uint8` or float in [0, 1].
    scores : array of shape (n,)
        Theirs, higher = more anomalous.
    is_anomaly : array of shape (n,)
        Truth.
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

    def sentence(self) -> str:
        """Return the present state in words."""
        false_alarms, found = self.rates()
        return (
            f"Threshold {self.threshold:.4f}: {found:.1%} of the anomalies are found, "
            f"and {false_alarms:.1%} of the normal test images are false alarms."
        )

    def build(self) -> list[widgets.Widget]:
        groups = {"normal": self.scores[~self.is_anomaly], "anomalous": self.scores[self.is_anomaly]}
        figure = figures.histograms(groups, title="Where to draw the line?", x_title="anomaly score")
        figures.mark_line(figure, "threshold", x=self.threshold)
        self.plot, self.text, self.strip = plot(figure, 760, 320), Answer(), Picture()
        self.slider.observe(self.answering(self.move), "value")
        self.move(None)
        return [self.slider, self.text, self.plot, self.strip]

    def move(self, _: Any) -> None:
        """Answer the slider."""
        with self.plot.batch_update():
            line = self.plot.layout.shapes[0]
            line.x0 = line.x1 = self.threshold
        self.text.say(self.sentence())
        alt = "Test images whose scores are nearest the threshold, eight below and eight above it"
        self.strip.show(self.twin(), f"{alt}. {self.sentence()}")

    def twin(self) -> Image.Image:
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
        return figures.grid(rows, captions=captions)


class ReconstructionExplorer(Explorer):
    """A slider over images: what each detector makes of the one shown, and its score there.

    Parameters
    ----------
    images : array of shape (n, C, H, W)
        `uint8` or float in [0, 1].
    names : sequence of str
        What each image is.
    reconstructions : mapping of str to array of shape (n, C, H, W)
        One entry a detector.
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

    def sentence(self) -> str:
        """Return the present state in words."""
        i = self.slider.value
        ranked = sorted(self.scores, key=lambda name: self.scores[name][i])
        errors = ", ".join(f"{name} {self.scores[name][i]:.4f}" for name in ranked)
        return f"Picture {i}, {self.names[i]}: mean squared error {errors}."

    def build(self) -> list[widgets.Widget]:
        self.text, self.strip = Answer(), Picture()
        self.slider.observe(self.answering(self.move), "value")
        self.move(None)
        return [self.slider, self.text, self.strip]

    def move(self, _: Any) -> None:
        """Answer the slider."""
        self.text.say(self.sentence())
        self.strip.show(self.twin(), f"Input, reconstructions, differences. {self.sentence()}")

    def twin(self) -> Image.Image:
        """Return the input and, for each detector, its reconstruction over the absolute difference."""
        i = self.slider.value
        x = self.images[i] / 255 if self.images.dtype == np.uint8 else self.images[i]
        shown = {"shown": [x, *(made[i] for made in self.reconstructions.values())]}
        shown["difference"] = [None, *(np.abs(made[i] - x) for made in self.reconstructions.values())]
        captions = {"difference": ["", *(f"{values[i]:.4f}" for values in self.scores.values())]}
        return figures.grid(shown, columns=["input", *self.reconstructions], captions=captions, tile=96)
