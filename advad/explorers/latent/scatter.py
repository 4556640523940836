"""The map of the latent explorer as a figure: points to click and to lasso, and a plane that says where it was hit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import plotly.graph_objects as go

from advad import plots
from advad.explorers.controls import plot
from advad.explorers.latent.embeddings import Map
from advad.explorers.latent.encoded_images import in_order

SIZE, MARGIN = (560, 500), {"l": 60, "r": 118, "t": 44, "b": 52}  # in CSS pixels
CELLS = 150  # a side of the net that catches clicks on the empty plane
SVG_POINTS = 1200  # up to so many, the map needs no WebGL, of which a page can hold a few contexts only
LOOKS = list(zip(plots.PALETTE, plots.SYMBOLS, strict=True))
LOOKS += [(colour, f"{plots.SYMBOLS[(k + 1) % 7]}-open") for k, colour in enumerate(plots.PALETTE)]
NOWHERE = np.full((1, 2), np.nan)  # an empty array would change nothing in the page
OTHERS = ("#888888", "circle-open")
Looks = tuple[Any, Any, list[tuple[str, tuple[str, str]]]]  # colours, symbols, legend of names with their look


class MapFigure:
    """A plotly widget of n points on a plane.

    A transparent heatmap lies under them, because a click beside all points tells plotly's listeners nothing.

    Attributes
    ----------
    widget : FigureWidget
    net, points : traces
        What to listen to: the empty plane, and the points.
    """

    def __init__(self, n: int):
        figure = go.Figure(
            layout=plots.layout("", dragmode="lasso", hovermode="closest", margin=MARGIN, uirevision="map")
        )
        figure.update_layout(legend={"x": 1.02, "y": 1, "itemclick": False, "itemdoubleclick": False})
        nothing = np.zeros((CELLS, CELLS), np.uint8)
        figure.add_heatmap(z=nothing, opacity=0, showscale=False, hoverinfo="none", showlegend=False)
        kind = go.Scatter if n <= SVG_POINTS else go.Scattergl
        bar = {"thickness": 12, "len": 0.7, "y": 0, "yanchor": "bottom", "title": {"text": "score"}}
        marker = {"size": 7 if n <= 2000 else 5, "colorbar": bar, "colorscale": "Cividis"}
        pale = {"marker": {"opacity": 0.12}}
        figure.add_trace(kind(mode="markers", marker=marker, unselected=pale, hoverinfo="none", showlegend=False))
        over = {"showlegend": False, "hoverinfo": "skip", "unselected": {"marker": {"opacity": 1}}}
        line = {"color": plots.INK, "width": 2}
        figure.add_scatter(mode="lines+markers", line=line, marker={"size": 5, "color": plots.INK}, **over)
        ring = {"symbol": "circle-open", "size": 13, "color": plots.INK, "line": {"width": 1.5}}
        figure.add_scatter(mode="markers", marker=ring, **over)
        star = {"symbol": "star", "size": 17, "color": plots.YELLOW, "line": {"width": 1.5, "color": plots.INK}}
        figure.add_scatter(mode="markers", marker=star, **over)
        for _ in range(len(LOOKS) + 1):
            figure.add_scatter(x=[None], y=[None], mode="markers", marker={"size": 8}, visible=False)
        self.widget: Any = plot(figure, *SIZE)
        self.net, self.points, self._path, self._rings, self._star, *self._legend = self.widget.data

    def draw(self, current: Map, looks: Looks, limits: tuple[float, float] | None) -> None:
        """Show a map; `limits` are the ends of the colour bar where colours are numbers."""
        horizontal, vertical = ranges(current.points)
        colours, symbols, legend = looks
        with self.widget.batch_update():
            self.net.x, self.net.y = (np.linspace(*_wider(*ends), CELLS) for ends in (horizontal, vertical))
            self.points.x, self.points.y = current.points.T
            marker, layout = self.points.marker, self.widget.layout
            marker.color, marker.symbol, marker.showscale = colours, symbols, limits is not None
            marker.cmin, marker.cmax = limits or (None, None)
            marker.line.width, marker.line.color = (1, colours) if limits is None else (0, None)  # WebGL's open symbols
            for k, entry in enumerate(self._legend):
                entry.visible = entry.showlegend = k < len(legend)
                if k < len(legend):
                    entry.name, (entry.marker.color, entry.marker.symbol) = legend[k]
            layout.title.text = f"{len(current.points):,} codes: {current.name}"
            layout.xaxis.range, layout.yaxis.range = horizontal, vertical
            layout.xaxis.title.text, layout.yaxis.title.text = current.axes

    def mark(self, star: np.ndarray, rings: np.ndarray, path: np.ndarray, *, dash: str = "solid") -> None:
        """Move the star, shape (2,), the rings, (n, 2), and the path, (m, 2)."""
        with self.widget.batch_update():
            for trace, places in ((self._star, star[None]), (self._rings, rings), (self._path, path)):
                trace.x, trace.y = (places if len(places) else NOWHERE).T
            self._path.line.dash = dash

    def clear_outline(self) -> None:
        """Clear the outline of a lasso."""
        # Assigning to layout.selections does nothing: plotly.py does not notice the outlines that are drawn by hand.
        self.widget.plotly_relayout({"selections": []})

    def fade(self, indices: np.ndarray | None) -> None:
        """Fade all other points; None: no fading."""
        with self.widget.batch_update():
            for trace in self.widget.data[1:]:
                trace.selectedpoints = None
        if indices is not None:  # after the batch, in which the same indices as before would be no change
            self.points.selectedpoints = indices.tolist()


def looks_of(names: np.ndarray) -> Looks:
    """Return a colour and a symbol for each name, shape (N,); the rarest names beyond fourteen look the same."""
    known = in_order(names)
    if len(known) > len(LOOKS):
        frequent = {name for name, _ in Counter(names.tolist()).most_common(len(LOOKS))}
        known = [name for name in known if name in frequent]
    look = dict(zip(known, LOOKS, strict=False))
    look_of_each = [look.get(name, OTHERS) for name in names]
    legend = [(name[:14], entry) for name, entry in look.items()]
    legend += [("others", OTHERS)] if len(set(names.tolist())) > len(look) else []
    return [colour for colour, _ in look_of_each], [symbol for _, symbol in look_of_each], legend


def looks_of_scores(scores: np.ndarray, truth: np.ndarray | None) -> Looks:
    """Return scores as numbers to be coloured, and the truth, where it is known, as symbols."""
    if truth is None:
        return scores, "circle", []
    legend = [("normal", ("#555555", "circle")), ("anomalous", ("#555555", "diamond"))]
    return scores, np.where(truth, "diamond", "circle"), legend


def ranges(points: np.ndarray) -> list[tuple[float, float]]:
    """Return the ranges of both axes around all points, with the same scale on both, so that distances are true."""
    room = np.array([SIZE[0] - MARGIN["l"] - MARGIN["r"], SIZE[1] - MARGIN["t"] - MARGIN["b"]])
    low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
    half = room * (max((high - low) / room) * 1.1 or 1.0) / 2
    middle = (low + high) / 2
    return list(zip((middle - half).tolist(), (middle + half).tolist(), strict=True))


def _wider(low: float, high: float) -> tuple[float, float]:
    """Return a range with a quarter more on both sides, as padding for zooming out."""
    return low - (high - low) / 4, high + (high - low) / 4
