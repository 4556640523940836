"""Plotly figures as images, without a browser: matplotlib draws the traces that our figures are made of.

It reads scatter, bar and heatmap traces, titles, ranges, legends, colour bars and lines across with
their names; what else a figure may hold is left out. Plotly's own way (kaleido) starts a Chromium.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from advad.plots.theme import INK

DASHES = {
    "solid": "-",
    "dash": (0, (5, 3)),
    "dot": (0, (1, 2)),
    "dashdot": (0, (5, 2, 1, 2)),
    "longdash": (0, (9, 3)),
    "longdashdot": (0, (9, 3, 1, 3)),
}
MARKERS = {
    "circle": "o",
    "diamond": "D",
    "square": "s",
    "triangle-up": "^",
    "cross": "P",
    "x": "X",
    "star": "*",
}


def image_of(figure: Any, *, width: int | None = None, height: int | None = None) -> Image.Image:
    """Return a plotly figure as an image for a dense screen (192 dots an inch), clear where nothing is drawn.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure or FigureWidget
        It is not changed.
    width, height : int, optional
        In CSS pixels; else the figure's own, else 700 × 400.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layout = figure.layout
    size = (width or layout.width or 700) / 96, (height or layout.height or 400) / 96
    canvas = Figure(figsize=size, dpi=192, layout="constrained", facecolor="none")
    axes = canvas.add_subplot(facecolor="none")
    axes.spines[:].set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(color=INK, labelcolor=INK)
    axes.grid(color="#80808040", zorder=0)
    axes.set_axisbelow(True)
    axes.set_title((layout.title.text or "").replace("<br>", "\n"), loc="left", fontsize=12, color=INK)
    axes.set_xlabel(layout.xaxis.title.text or "", color=INK)
    axes.set_ylabel((layout.yaxis.title.text or "").replace("<br>", "\n"), color=INK)
    for trace in figure.data:
        if trace.visible is False or trace.opacity == 0:
            continue
        if trace.type == "bar":
            axes.bar([str(name) for name in trace.x], trace.y, color=trace.marker.color, label=trace.name)
        elif trace.type == "heatmap":
            _heatmap(axes, trace)
        else:
            _scatter(canvas, axes, trace)
    for shape in layout.shapes:
        if shape.type == "line" and shape.visible is not False:
            _line(axes, shape)
    for scale, axis in ((axes.set_xscale, layout.xaxis), (axes.set_yscale, layout.yaxis)):
        if axis.type == "log":
            scale("log")
    for limit, axis in ((axes.set_xlim, layout.xaxis), (axes.set_ylim, layout.yaxis)):
        if axis.range is not None:
            limit(*(10 ** np.asarray(axis.range, float) if axis.type == "log" else axis.range))
    if layout.yaxis.autorange == "reversed":
        axes.invert_yaxis()
    handles, names = axes.get_legend_handles_labels()
    if handles and layout.showlegend is not False and (len(handles) > 1 or layout.showlegend):
        outside = len(handles) > 3
        where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if outside else {"loc": "best"}
        axes.legend(handles, names, fontsize=8, frameon=False, labelcolor=INK, **where)
    buffer = io.BytesIO()
    FigureCanvasAgg(canvas).print_png(buffer)
    image = Image.open(buffer).convert("RGBA")
    image.info["dpi"] = (192, 192)
    return image


def _line(axes: Any, shape: Any) -> None:
    """Draw a line across, and its name beside it."""
    look = {"color": shape.line.color or INK, "linestyle": DASHES[shape.line.dash or "solid"]}
    text = {"s": f" {shape.label.text or ''}", "fontsize": 9, "color": INK}
    if shape.y0 == shape.y1:
        axes.axhline(shape.y0, **look)
        axes.text(0.99, shape.y0, transform=axes.get_yaxis_transform(), ha="right", va="bottom", **text)
    else:
        axes.axvline(shape.x0, **look)
        axes.text(shape.x0, 0.98, transform=axes.get_xaxis_transform(), ha="left", va="top", **text)


def _heatmap(axes: Any, trace: Any) -> None:
    """Draw a heatmap, with its texts in the cells."""
    x, y = _places(axes.xaxis, trace.x), _places(axes.yaxis, trace.y)
    z = np.asarray(trace.z, dtype=float)
    look = {"cmap": "cividis", "vmin": trace.zmin, "vmax": trace.zmax, "zorder": 2}
    mesh = axes.pcolormesh(x, y, z, shading="nearest", edgecolor="white", linewidth=trace.xgap or 0, **look)
    if trace.text is None:
        return
    for (row, column), text in np.ndenumerate(np.asarray(trace.text)):
        dark = np.isfinite(z[row, column]) and mesh.norm(z[row, column]) < 0.5
        look = {"ha": "center", "va": "center", "fontsize": 8, "color": "white" if dark else "black"}
        axes.text(x[column], y[row], text, **look)


def _scatter(canvas: Any, axes: Any, trace: Any) -> None:
    """Draw a scatter trace: its lines, its markers, what it fills."""
    mode = trace.mode or "lines"
    x, y = _places(axes.xaxis, trace.x), _numbers(trace.y)
    label = trace.name if trace.name and trace.showlegend is not False else "_"
    if trace.fill == "toself":
        axes.fill(x, y, color=trace.fillcolor, alpha=trace.opacity or 1, linewidth=0)
    steps = {"drawstyle": "steps-post"} if trace.line.shape == "hv" else {}
    if trace.fill == "tozeroy":
        axes.fill_between(x, 0, y, color=trace.line.color, alpha=0.15, linewidth=0, step="post" if steps else None)
    if "lines" in mode and trace.fill != "toself":
        look = {"color": trace.line.color, "linestyle": DASHES[trace.line.dash or "solid"]}
        if "markers" in mode and trace.marker.symbol in MARKERS:  # the same for all points: the legend shows both
            look |= {"marker": MARKERS[trace.marker.symbol], "markersize": (trace.marker.size or 6) * 0.75}
            mode = "lines"
        axes.plot(x, y, linewidth=(trace.line.width or 2) * 0.75, label=label, zorder=2, **look, **steps)
        label = "_"
    if "markers" in mode:
        _markers(canvas, axes, trace, x, y, label)


def _markers(canvas: Any, axes: Any, trace: Any, x: np.ndarray, y: np.ndarray, label: str) -> None:
    """Draw a trace's markers, one matplotlib collection a symbol; what is not picked out fades."""
    from matplotlib.colors import to_rgba_array

    marker = trace.marker
    symbols = np.broadcast_to(np.asarray("circle" if marker.symbol is None else marker.symbol, dtype=object), x.shape)
    sizes = np.broadcast_to(np.asarray(6 if marker.size is None else marker.size, dtype=float), x.shape)
    colours = np.asarray(marker.color if marker.color is not None else trace.line.color)
    by_number = colours.dtype.kind in "fiu"
    colours = np.broadcast_to(colours, x.shape)
    strength = np.full(len(x), 1.0 if trace.opacity is None else trace.opacity)
    if trace.selectedpoints is not None:
        strength *= 0.15
        strength[list(map(int, trace.selectedpoints))] = 1
    points: Any = None
    for symbol in dict.fromkeys(symbols):
        of, hollow = symbols == symbol, symbol.endswith("-open")
        settings: dict[str, Any] = {"marker": MARKERS[symbol.removesuffix("-open")], "s": (sizes[of] * 0.75) ** 2}
        if by_number:
            settings |= {"c": colours[of], "cmap": "cividis", "vmin": marker.cmin, "vmax": marker.cmax}
            settings["alpha"] = strength[of]
        else:
            paint = to_rgba_array(colours[of].tolist())
            paint[:, 3] = strength[of]
            edge = marker.line.color
            if edge is not None and not isinstance(edge, str):  # a colour for each point
                edge = np.asarray(edge, dtype=object)[of].tolist()
            settings |= {"facecolors": "none" if hollow else paint, "edgecolors": paint if edge is None else edge}
        wide = 0.9 if hollow else (marker.line.width or 0) * 0.75
        points = axes.scatter(x[of], y[of], zorder=3, linewidths=wide, **settings)
    if points is not None:
        points.set_label(label)
        if by_number and marker.showscale:
            bar = canvas.colorbar(points, ax=axes, shrink=0.75)
            bar.set_label(marker.colorbar.title.text or "", color=INK)
            bar.ax.tick_params(color=INK, labelcolor=INK)


def _places(axis: Any, values: Any) -> np.ndarray:
    """Return an axis's coordinates as floats; names get ticks, and lie at 0, 1, 2, …"""
    if values is None or not any(isinstance(value, str) for value in values):
        return _numbers(values)
    axis.set_ticks(range(len(values)), labels=[str(value).replace("<br>", "\n") for value in values])
    return np.arange(len(values), dtype=float)


def _numbers(values: Any) -> np.ndarray:
    """Return coordinates as floats; None becomes NaN."""
    return np.asarray([] if values is None else values, dtype=float)
