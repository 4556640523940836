"""An explorer of evaluation shortcuts: tick them, and see what a paper would report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from PIL import Image

from advad import plots
from advad.analysis.evaluation_pitfalls import SWITCHES, EvaluationTable, Pitfalls, Report
from advad.checks import check_number, reject
from advad.explorers.base import Explorer
from advad.explorers.controls import StatusText, plot, row, toggle_buttons
from advad.plots.to_image import image_of

LABELS = {  # in the order of `SWITCHES`
    "batch_statistics": "batch norm in training mode",
    "class_order": "test batches in class order",
    "best_epoch": "best epoch, chosen on test",
    "scale_on_test": "scores scaled on test",
    "threshold_on_test": "threshold fitted on test",
    "flip_signs": "signs flipped below 0.5",
    "best_seed": "best seed, chosen on test",
    "drop_classes": "classes below 0.6 dropped",
}
GREY = "#777777"


class EvaluationPitfallsExplorer(Explorer):
    """Tick evaluation shortcuts, and see the value of each class and the reported mean change.

    Parameters
    ----------
    table : EvaluationTable
        The measures of all runs.
    names : sequence of C str
        Names of the normal classes, in the order of the table.
    published : (str, float), optional
        A name and an AUROC to draw beside ours.

    Examples
    --------
    >>> import numpy as np
    >>> from advad import explorers
    >>> from advad.analysis.evaluation_pitfalls import EvaluationTable
    >>> values = np.random.default_rng(0).uniform(0.5, 0.9, size=(4, 3, 2, 10, 5))
    >>> explorers.EvaluationPitfallsExplorer(EvaluationTable(values), range(10)).summary()
    'Honest: AUROC 0.719, balanced accuracy 0.702, means over 10 classes.'
    """

    def __init__(self, table: EvaluationTable, names: Sequence[str], published: tuple[str, float] | None = None):
        self.table, self.names, self.published = table, [str(name) for name in names], published
        if len(self.names) != table.values.shape[3]:
            reject(
                "EvaluationPitfallsExplorer", "names", f"have {table.values.shape[3]} entries, one a class", self.names
            )
        if published is not None:
            check_number("EvaluationPitfallsExplorer", "the published AUROC", published[1], 0, 1)
        wide = widgets.Layout(width="260px")
        self.boxes = {
            name: widgets.Checkbox(value=False, description=LABELS[name], indent=False, layout=wide)
            for name in SWITCHES
        }
        self.measure = toggle_buttons({"AUROC": 0, "balanced accuracy": 1}, 0)
        self.none, self.all = widgets.Button(description="honest"), widgets.Button(description="every shortcut")
        super().__init__()

    def ticked(self) -> Pitfalls:
        """Return the shortcuts that are ticked."""
        boxes: dict[str, Any] = self.boxes
        return Pitfalls(**{name: box.value for name, box in boxes.items()})

    def _shown(self, report: Report) -> tuple[float, np.ndarray]:
        """Return mean and classes of the measure that is shown."""
        return (report.bacc, report.baccs) if self.measure.value else (report.auroc, report.aurocs)

    def summary(self) -> str:
        """Return the present state in words."""
        before, now = self.table.report(Pitfalls()), self.table.report(self.ticked())
        shortcuts = [LABELS[name] for name, box in self.boxes.items() if box.value]
        count = (
            f"{now.class_mask.sum()} of {len(self.names)} classes"
            if not now.class_mask.all()
            else f"{len(self.names)} classes"
        )
        if not shortcuts:
            return f"Honest: AUROC {now.auroc:.3f}, balanced accuracy {now.bacc:.3f}, means over {count}."
        text = (
            f"With {', '.join(shortcuts)}: AUROC {before.auroc:.3f} becomes {now.auroc:.3f} "
            f"({now.auroc - before.auroc:+.3f}), balanced accuracy {before.bacc:.3f} becomes {now.bacc:.3f} "
            f"({now.bacc - before.bacc:+.3f}), means over {count}."
        )
        if self.boxes["class_order"].value and not self.boxes["batch_statistics"].value:
            text += " In evaluation mode the order of the images changes nothing."
        return text

    def build(self) -> list[widgets.Widget]:
        figure = go.Figure(layout=plots.layout("What would be reported", "normal class"))
        hollow = {"symbol": "circle-open", "size": 11, "color": GREY, "line": {"color": GREY, "width": 2}}
        figure.add_scatter(mode="markers", name="each class, honest", marker=hollow)
        figure.add_scatter(mode="markers", name="each class, as reported", marker={"size": 11})
        figure.add_scatter(mode="lines", line={"color": GREY, "dash": "dash", "width": 2})
        figure.add_scatter(mode="lines", line={"color": plots.VERMILION, "width": 3})
        if self.published is not None:
            figure.add_scatter(mode="lines", line={"color": plots.INK, "dash": "dot", "width": 2})
        last = len(self.names) - 1
        figure.update_xaxes(tickvals=list(range(last + 1)), ticktext=self.names, range=[-0.5, last + 0.5])
        figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top"})
        self.plot, self.text = plot(figure, 560, 420), StatusText()
        for control in (*self.boxes.values(), self.measure):
            control.observe(self.guarded(self.move), "value")
        self.none.on_click(self.guarded(lambda _: self.tick_all(False)))
        self.all.on_click(self.guarded(lambda _: self.tick_all(True)))
        self.refresh()
        boxes = list(self.boxes.values())
        return [
            *(row(*boxes[k : k + 3]) for k in range(0, len(boxes), 3)),
            row(self.none, self.all, "shown", self.measure),
            self.text,
            self.plot,
        ]

    def tick_all(self, value: bool) -> None:
        """Tick all boxes, or none."""
        with self.callbacks_paused():
            for box in self.boxes.values():
                box.value = value
        self.move(None)

    def move(self, _: Any) -> None:
        """Answer the controls."""
        self.refresh()

    def refresh(self) -> None:
        """Show the present state anew."""
        before, now = self.table.report(Pitfalls()), self.table.report(self.ticked())
        (honest, old), (reported, new) = self._shown(before), self._shown(now)
        places, ends = np.arange(len(self.names)), [-0.5, len(self.names) - 0.5]
        with self.plot.batch_update():
            each, moved, base, mean, *beside = self.plot.data
            each.x, each.y, moved.x, moved.y = places, old, places, new
            moved.marker.color = [plots.BLUE if included else plots.ORANGE for included in now.class_mask]
            moved.marker.symbol = ["diamond" if included else "x" for included in now.class_mask]
            base.x, base.y, base.name = ends, [honest] * 2, f"mean, honest: {honest:.3f}"
            count = "" if now.class_mask.all() else f" (n = {now.class_mask.sum()}; ✕ dropped)"
            mean.x, mean.y, mean.name = ends, [reported] * 2, f"mean, as reported: {reported:.3f}{count}"
            for trace in beside:
                assert self.published is not None
                name, value = self.published
                trace.x, trace.y, trace.name = ends, [value] * 2, f"{name}: {value:.3f}"
                trace.visible = self.measure.value == 0
            title = "balanced accuracy" if self.measure.value else "AUROC"
            self.plot.layout.yaxis.title.text = title
            low = float(min(old.min(), new.min(), 0.5))
            self.plot.layout.yaxis.range = [max(0.0, low - 0.05), 1.03]
        self.text.say(self.summary())

    def to_image(self) -> Image.Image:
        """Return the figure as it stands."""
        return image_of(go.Figure(self.plot))
