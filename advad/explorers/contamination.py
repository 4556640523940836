"""An explorer of contaminated training data: the ROC curve, the scores and the missed anomalies of each run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image

from advad import plots
from advad.analysis.contamination import ContaminationRuns
from advad.analysis.metrics import threshold_at
from advad.checks import check_number, reject
from advad.explorers.base import Explorer
from advad.explorers.controls import ImageView, StatusText, columns, plot, row, select_slider, toggle_buttons
from advad.plots.images import stack
from advad.plots.to_image import image_of

OWNER = "ContaminationExplorer"
STRIP = 11  # missed anomalies that are shown
SIZE = (440, 350)  # of each plot, in CSS pixels
FALSE_ALARMS = np.linspace(0, 1, 201)
BIN = 0.25  # width of a bin, in units of the threshold


class ContaminationExplorer(Explorer):
    """Choose a contamination rate and an epoch, and see the ROC curve, the scores and the missed anomalies.

    The runs are computed before.

    Curves are means over the seeds, with a band from the lowest seed to the highest. Scores are shown on a scale of
    their own run, on which 0 is the median of the held-out normal images and 1 is the threshold that they set: so
    seeds, rates and epochs can be compared.

    Parameters
    ----------
    runs : ContaminationRuns, or mapping of str to ContaminationRuns
        Of one method, or of several that share their rates, seeds and epochs.
    false_alarm_rate : float in (0, 1)
        Share of the held-out normal images above the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from advad import explorers
    >>> rng, truth = np.random.default_rng(0), np.arange(40) % 2 == 1
    >>> runs = explorers.ContaminationRuns(
    ...     rates=np.array([0.0, 0.05]),
    ...     seeds=np.array([0]),
    ...     epochs=np.array([1, 2]),
    ...     scores=(rng.normal(size=(2, 1, 2, 40)) + 3 * truth).astype(np.float32),
    ...     holdout_scores=rng.normal(size=(2, 1, 2, 50)).astype(np.float32),
    ...     is_anomaly=truth[None],
    ...     images=rng.random((1, 40, 1, 8, 8)),
    ... )
    >>> print(explorers.ContaminationExplorer(runs).summary())
    α = 5%, epoch 2: AUROC 0.995; at 5% false alarms on held-out images 5.0% of the anomalies are missed,
    25.0% at α = 0%. One seed: no band.
    """

    def __init__(self, runs: ContaminationRuns | Mapping[str, ContaminationRuns], false_alarm_rate: float = 0.05):
        check_number(OWNER, "false_alarm_rate", false_alarm_rate, 0, 1, ends="()", remedy="0.05 is 5 %.")
        self.runs = {"detector": runs} if isinstance(runs, ContaminationRuns) else dict(runs)
        if not self.runs:
            reject(OWNER, "runs", "hold the runs of at least one method", runs)
        self.first = next(iter(self.runs.values()))
        for name, result in self.runs.items():
            for axis in ("rates", "seeds", "epochs"):
                if not np.array_equal(getattr(result, axis), getattr(self.first, axis)):
                    reject(OWNER, f"runs[{name!r}]", f"have the {axis} of the first", getattr(result, axis).tolist())
        self.false_alarm_rate = false_alarm_rate
        scaled = {name: Scaled(result, false_alarm_rate) for name, result in self.runs.items()}
        highest = max(float(np.quantile(each.anomalous_scores(), 0.95)) for each in scaled.values())
        self.edges = np.arange(-1, min(max(highest, 2), 8) + BIN, BIN)  # 1 is an edge
        self.views = {name: View(each, self.edges) for name, each in scaled.items()}
        super().__init__()

    # ------------------------------------------------------------------ in words

    def chosen(self) -> tuple[str, int, int]:
        """Return what the controls say: method, and the places of the rate and of the epoch in the runs."""
        controls: tuple[Any, ...] = (self.method, self.rate, self.epoch)
        method, rate, epoch = (control.value for control in controls)
        return method, rate, epoch

    def summary(self) -> str:
        """Return the present state in words."""
        method, rate, epoch = self.chosen()
        view, first = self.views[method], self.first
        count = len(first.seeds)
        prefix = f"{method}, " if len(self.runs) > 1 else ""
        text = (
            f"{prefix}α = {_percent(first.rates[rate])}, epoch {first.epochs[epoch]}: "
            f"AUROC {_spread(view.auroc[rate, :, epoch], '.3f')}; at {self.false_alarm_rate:.0%} false alarms on "
            f"held-out images {_spread(view.missed[rate, :, epoch], '.1%')} of the anomalies are missed"
        )
        if rate:
            text += f", {view.missed[0, :, epoch].mean():.1%} at α = {_percent(first.rates[0])}"
        return f"{text}. {f'{count} seeds: mean, lowest and highest.' if count > 1 else 'One seed: no band.'}"

    # ------------------------------------------------------------------ the widgets

    def build(self) -> list[widgets.Widget]:
        first = self.first
        self.method = toggle_buttons(list(self.runs), next(iter(self.runs)))
        rates = {_percent(rate): k for k, rate in enumerate(first.rates)}
        self.rate = select_slider("contamination α", rates, len(rates) - 1)
        epochs = {str(epoch): k for k, epoch in enumerate(first.epochs)}
        self.epoch = select_slider("epoch", epochs, len(epochs) - 1)
        self.text, self.image_view = StatusText(), ImageView()
        self.text.layout.min_height, self.image_view.layout.min_height = "48px", "92px"
        self.roc, self.histograms = plot(self._roc(), *SIZE), plot(self._histograms(), *SIZE)
        self.refresh()
        for control in (self.method, self.rate, self.epoch):
            control.observe(self.guarded(self.move), "value")
        which = [row("method", self.method)] if len(self.runs) > 1 else []
        return [
            *which,
            row(self.rate, self.epoch),
            self.text,
            columns(self.roc, self.histograms),
            self.image_view,
        ]

    def move(self, _: Any) -> None:
        """Answer the controls."""
        self.refresh()

    def _roc(self) -> Any:
        """Return the figure of the ROC curve: the present one, one without (or the least) contamination, chance."""
        nothing = np.zeros(len(FALSE_ALARMS))
        figure: Any = plots.curves(
            FALSE_ALARMS,
            {"now": nothing, "least": nothing, "chance": FALSE_ALARMS},
            bands={"now": (nothing, nothing)},
            title="ROC curve",
            x_title="share of normals called anomalous",
            y_title="share of anomalies found",
        )
        looks = zip(figure.data[1:], (plots.GREEN, plots.INK, "#999"), ("solid", "dash", "dot"), strict=True)
        for trace, colour, dash in looks:
            trace.line.color, trace.line.dash, trace.line.width = colour, dash, 2.5 if dash == "solid" else 1.5
        figure.data[3].showlegend = False  # the diagonal needs no name
        figure.data[0].update(fillcolor=plots.GREEN, opacity=0.25)
        diamond = {"symbol": "diamond", "size": 12, "color": plots.YELLOW, "line": {"width": 1.5}}
        diamond["line"]["color"] = plots.INK
        figure.add_scatter(x=[0], y=[0], mode="markers", name="threshold", marker=diamond, cliponaxis=False)
        figure.update_layout(legend={"x": 0.99, "y": 0.02, "xanchor": "right", "yanchor": "bottom"})
        figure.update_xaxes(range=[-0.02, 1.02])
        figure.update_yaxes(range=[-0.02, 1.02])
        return figure

    def _histograms(self) -> Any:
        """Return the figure of the scores' histograms, and the threshold."""
        nothing = np.zeros(2 * len(self.edges) - 2)
        names = ("normal", "anomalous")
        figure = plots.curves(
            np.repeat(self.edges, 2)[1:-1],
            dict.fromkeys(names, nothing),
            bands=dict.fromkeys(names, (nothing, nothing)),
            title="Scores of the test images",
            x_title="score (0: median normal, 1: threshold)",
            y_title="share of the group in a bin",
        )
        figure.update_traces(opacity=0.25, selector={"fill": "toself"})
        # markers would stand at both ends of each bin
        figure.update_traces(mode="lines", selector={"mode": "lines+markers"})
        figure.add_vline(x=1, line={"color": plots.INK, "dash": "dash", "width": 1.5})
        figure.update_layout(legend={"x": 0.93, "y": 0.98, "xanchor": "right"})  # beside the last bin, which is high
        highest = max(float(view.shares.max()) for view in self.views.values())  # of the bands, too
        figure.update_yaxes(range=[0, 1.05 * highest])
        return figure

    def refresh(self) -> None:
        """Show the present state in all views."""
        method, rate, epoch = self.chosen()
        view, rates = self.views[method], self.first.rates
        with self.roc.batch_update():
            band, now, least, _, threshold = self.roc.data
            band.y, now.y = _band_and_mean(view.detected[rate, :, epoch])
            least.y = view.detected[0, :, epoch].mean(0)
            now.name = f"α = {_percent(rates[rate])}: AUROC {view.auroc[rate, :, epoch].mean():.3f}"
            least.name = f"α = {_percent(rates[0])}: AUROC {view.auroc[0, :, epoch].mean():.3f}"
            threshold.x = [view.alarms[rate, :, epoch].mean()]
            threshold.y = [1 - view.missed[rate, :, epoch].mean()]
        with self.histograms.batch_update():
            for group in (0, 1):
                steps = np.repeat(view.shares[rate, :, epoch, group], 2, axis=1)
                self.histograms.data[2 * group].y, self.histograms.data[2 * group + 1].y = _band_and_mean(steps)
        self.text.say(self.summary())
        self.image_view.show(self.strip(), f"The anomalies with the lowest scores. {self.summary()}")

    def strip(self) -> Image.Image:
        """Return the missed anomalies of the first seed, from the lowest score on; an empty row if there is none."""
        method, rate, epoch = self.chosen()
        runs, scores = self.runs[method], self.views[method].scaled.scores[rate, 0, epoch]
        missed = np.flatnonzero(runs.is_anomaly[0] & (scores <= 1))
        lowest = missed[np.argsort(scores[missed], kind="stable")][:STRIP]
        label = f"{'missed' if len(missed) else 'none missed'}\n(seed {runs.seeds[0]})"
        return plots.grid(
            {label: runs.images[0][lowest]}, captions={label: [f"{score:.2f}" for score in scores[lowest]]}
        )

    def to_image(self) -> Image.Image:
        """Return both plots over the missed anomalies."""
        return stack([stack([image_of(self.roc), image_of(self.histograms)], across=True), self.strip()])


class Scaled:
    """Scores of runs on a scale of their own: 0 is the median held-out normal image, 1 the threshold.

    Attributes
    ----------
    runs : ContaminationRuns
    scores : ndarray of shape (A, S, E, N)
    """

    def __init__(self, runs: ContaminationRuns, false_alarm_rate: float):
        self.runs = runs
        middle = np.median(runs.holdout_scores, axis=-1, keepdims=True)
        threshold = np.apply_along_axis(threshold_at, -1, runs.holdout_scores, false_alarm_rate)[..., None]
        unit = threshold - middle
        self.scores = 1 + (runs.scores - threshold) / np.where(unit > 0, unit, 1)

    def anomalous_scores(self) -> np.ndarray:
        """Return the scores of the anomalous images of all runs."""
        return np.concatenate([self.scores[:, s][..., truth].ravel() for s, truth in enumerate(self.runs.is_anomaly)])


class View:
    """What is shown of runs, all of it computed before anything moves.

    Attributes
    ----------
    auroc, missed, alarms : ndarray of shape (A, S, E)
        AUROC, the share of anomalies up to the threshold, the share of normal images above it.
    detected : ndarray of shape (A, S, E, F)
        The ROC curve: the share of anomalies found at each of `FALSE_ALARMS`.
    shares : ndarray of shape (A, S, E, 2, B)
        The histograms of normal and anomalous images; values outside the edges count in the first or last bin.
    """

    def __init__(self, scaled: Scaled, edges: np.ndarray):
        self.scaled, grid = scaled, scaled.scores.shape[:3]
        self.auroc = scaled.runs.auroc()
        self.missed, self.alarms = np.zeros(grid), np.zeros(grid)
        self.detected, self.shares = np.zeros((*grid, len(FALSE_ALARMS))), np.zeros((*grid, 2, len(edges) - 1))
        for a, s, e in np.ndindex(grid):
            truth, scores = scaled.runs.is_anomaly[s], scaled.scores[a, s, e]
            groups = scores[~truth], scores[truth]
            self.alarms[a, s, e], self.missed[a, s, e] = (groups[0] > 1).mean(), (groups[1] <= 1).mean()
            self.detected[a, s, e] = roc_at(*groups, FALSE_ALARMS)
            for group, members in enumerate(groups):
                inside = members.clip(edges[0], edges[-1])
                self.shares[a, s, e, group] = np.histogram(inside, edges)[0] / len(members)


def roc_at(normal: np.ndarray, anomalous: np.ndarray, false_alarms: np.ndarray) -> np.ndarray:
    """Return the share of anomalies found at the lowest thresholds that keep the false alarms at given shares.

    Parameters
    ----------
    normal, anomalous : ndarray of shape (n,) and (m,)
        Scores, higher = more anomalous.
    false_alarms : ndarray of shape (F,), in [0, 1]
        At most this share of the normal scores lies above the threshold.

    Returns
    -------
    ndarray of shape (F,)
    """
    falling = np.append(-np.sort(-normal), -np.inf)
    thresholds = falling[np.floor(false_alarms * len(normal) + 1e-9).astype(int)]
    return 1 - np.searchsorted(np.sort(anomalous), thresholds, side="right") / len(anomalous)


def _band_and_mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outline of a band, highest values forth and lowest back, and the mean; (S, n) -> (2 n,), (n,)."""
    return np.concatenate([values.max(0), values.min(0)[::-1]]), values.mean(0)


def _percent(share: float) -> str:
    """Return a share in percent, with as many digits as it has."""
    return f"{100 * share:.4g}%"


def _spread(values: np.ndarray, form: str) -> str:
    """Return the mean over seeds, and where they differ the lowest and the highest."""
    mean = format(values.mean(), form)
    return mean if len(values) == 1 else f"{mean} ({values.min():{form}} to {values.max():{form}})"
