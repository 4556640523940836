"""Arrays in, figures out: the plots and image grids of the lessons and explorers.

Plots are plotly's; image grids are one PIL image, so that a hundred images cost one PNG. Colours are
Okabe and Ito's, which colour-blind readers can tell apart, and each comes with a second cue: a dash or a symbol.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from advad.plots.theme import BLUE, CLEAR, DASHES, FAINT, INK, PALETTE, SYMBOLS, VERMILION, layout

if TYPE_CHECKING:
    import plotly.graph_objects as go


FEW = 8  # positions on a logarithmic axis that all get a tick


def curves(
    x: ArrayLike | Mapping[str, ArrayLike],
    series: Mapping[str, ArrayLike],
    *,
    title: str,
    x_title: str,
    y_title: str,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    log_y: bool = False,
    log_x: bool = False,
    y_range: tuple[float, float] | None = None,
) -> go.Figure:
    """Return lines over a common axis, each in its own colour, dash and symbol.

    Parameters
    ----------
    x : array of shape (n,), or a mapping of names to such arrays
        Common to all lines, or one a line.
    series : mapping of str to array of shape (n,)
        The lines; None and NaN leave gaps.
    bands : mapping of str to (low, high), optional
        A shaded range around a line, such as the spread over seeds.
    title, x_title, y_title : str
        Texts of the title and of the axes.
    log_x, log_y : bool
        Whether the axes are logarithmic.
    y_range : (low, high), optional
        Ends of the vertical axis; by default those of the lines. In logarithms where the axis is logarithmic.
    """
    import plotly.graph_objects as go

    figure = go.Figure(layout=layout(title, x_title, y_title))
    for k, (name, y) in enumerate(series.items()):
        colour, positions = PALETTE[k % len(PALETTE)], np.asarray(x[name] if isinstance(x, Mapping) else x)
        if bands and name in bands:
            low, high = (np.asarray(end) for end in bands[name])
            around = {"x": np.concatenate([positions, positions[::-1]]), "y": np.concatenate([high, low[::-1]])}
            look = {"fill": "toself", "fillcolor": colour, "opacity": 0.15, "line": {"width": 0}}
            figure.add_scatter(**around, **look, hoverinfo="skip", showlegend=False, legendgroup=name)
        figure.add_scatter(
            x=positions,
            y=np.asarray(y, dtype=float),
            name=name,
            legendgroup=name,
            mode="lines+markers" if len(positions) <= 60 else "lines",
            line={"color": colour, "dash": DASHES[k % len(DASHES)], "width": 2.5},
            marker={"symbol": SYMBOLS[k % len(SYMBOLS)], "size": 7},
        )
    figure.update_xaxes(**_axis(figure, "x", log_x, FEW))
    figure.update_yaxes(**_axis(figure, "y", log_y), range=y_range)
    return figure


def _axis(figure: go.Figure, letter: str, log: bool, few: int = 0) -> dict[str, Any]:
    """Return what an axis of a figure is like; its traces are there already."""
    if not log:
        return {"type": "linear"}
    values = [np.asarray(getattr(trace, letter), dtype=float) for trace in figure.data]
    return log_axis(np.concatenate([np.zeros(0), *values]), few)


def log_axis(values: ArrayLike, few: int = 0) -> dict[str, Any]:
    """Return a logarithmic axis with plain ticks: at 0.01, 0.1, 1, or within a decade at 1, 2, 5, 10.

    Parameters
    ----------
    values : array
        What is shown on it.
    few : int
        Where there are at most so many different values, each has a tick.

    Examples
    --------
    >>> log_axis([2, 8, 32], few=5)["ticktext"], log_axis([0.0008, 3])["ticktext"]
    (['2', '8', '32'], ['0.001', '0.01', '0.1', '1'])
    """
    positive = np.unique([value for value in np.ravel(values) if np.isfinite(value) and value > 0])
    if not len(positive):
        return {"type": "log"}
    ticks = positive
    if len(ticks) > few:
        powers = range(*(np.floor(np.log10(positive[[0, -1]])).astype(int) + (0, 2)))
        for digits in ((1,), (1, 2, 5), range(1, 10)):
            all_ticks = np.array([digit * 10.0**power for power in powers for digit in digits])
            ticks = all_ticks[(all_ticks >= 0.99 * positive[0]) & (all_ticks <= 1.01 * positive[-1])]
            if len(ticks) > 2:
                break
    return {"type": "log", "tickvals": ticks.tolist(), "ticktext": [f"{tick:.3g}" for tick in ticks]}


def interval_curves(
    x: ArrayLike, intervals: Mapping[str, Sequence[tuple[float, float, float]]], **settings: Any
) -> go.Figure:
    """Return lines with a shaded interval around each; `settings` are those of :func:`curves`.

    Parameters
    ----------
    x : array of shape (n,)
        Positions common to all lines.
    intervals : mapping of str to n triples (value, low, high)
        Such as `advad.bootstrap` returns.
    """
    columns = {name: np.asarray(triples, dtype=float).T for name, triples in intervals.items()}  # (3, n) each
    bands = {name: (low, high) for name, (_, low, high) in columns.items()}
    return curves(x, {name: values for name, (values, _, _) in columns.items()}, bands=bands, **settings)


def scatter(
    groups: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    x_line: float | None = None,
    y_line: float | None = None,
    log_x: bool = False,
) -> go.Figure:
    """Return points in groups, each in its own colour and symbol, with a line at a level of x and of y.

    Parameters
    ----------
    groups : mapping of str to (x, y), arrays of shape (n,)
        Small groups come last, on top.
    title, x_title, y_title : str
        Texts of the title and of the axes.
    x_line, y_line : float, optional
        Positions of threshold lines.
    log_x : bool
        Whether the horizontal axis is logarithmic.
    """
    import plotly.graph_objects as go

    figure = go.Figure(layout=layout(title, x_title, y_title))
    for k, (name, (x, y)) in enumerate(groups.items()):
        marker = {"color": PALETTE[k % len(PALETTE)], "symbol": SYMBOLS[k % len(SYMBOLS)], "size": 7, "opacity": 0.7}
        figure.add_scattergl(x=np.asarray(x), y=np.asarray(y), name=f"{name} (n = {len(np.asarray(x))})", marker=marker)
    figure.update_traces(mode="markers")
    for level, add in ((x_line, figure.add_vline), (y_line, figure.add_hline)):
        if level is not None:
            add(level, line={"color": INK, "dash": "dash", "width": 1.5})
    figure.update_xaxes(**_axis(figure, "x", log_x))
    return figure


def panels(
    parts: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    *,
    title: str,
    columns: int = 3,
    equal: bool = True,
    log_x: bool = False,
) -> go.Figure:
    """Return small scatter plots beside each other, whose groups share colours, symbols and one legend.

    Parameters
    ----------
    parts : mapping of str to (mapping of str to (x, y))
        A title each (`<br>` breaks its line), and groups as in :func:`scatter`.
    title : str
        Title above all plots.
    columns : int
        Number of plots in a row.
    equal : bool
        For maps: as many units a pixel on both axes, and no ticks, which would mean nothing.
    log_x : bool
        Logarithmic horizontal axes; for plots whose axes mean something.
    """
    from plotly.subplots import make_subplots

    n_rows = -(-len(parts) // columns)
    titles = 16 * max(name.count("<br>") + 1 for name in parts)  # their height in pixels
    row = 218 + titles
    space: dict[str, Any] = {"horizontal_spacing": 0.03 if equal else 0.07}
    space["vertical_spacing"] = (10 + titles) / (row * n_rows)
    figure = make_subplots(n_rows, columns, subplot_titles=list(parts), **space)
    figure.update_layout(layout(title, height=110 + row * n_rows))
    figure.update_layout(margin={"l": 20 if equal else 60, "r": 10, "t": figure.layout.margin.t + 8 + titles, "b": 64})
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -16 / (row * n_rows), "yanchor": "top"})
    figure.update_annotations(font={"size": 12.5})
    names = list(dict.fromkeys(name for groups in parts.values() for name in groups))
    shown = set()
    for k, groups in enumerate(parts.values()):
        for name, (x, y) in groups.items():
            at = names.index(name)
            look = {"color": PALETTE[at % len(PALETTE)], "symbol": SYMBOLS[at % len(SYMBOLS)], "opacity": 0.7}
            marker = look | {"size": 6 if len(np.asarray(x)) < 100 else 4.5}
            legend = {"name": name, "legendgroup": name, "showlegend": name not in shown, "mode": "markers"}
            x, y = (np.asarray(values, np.float32) for values in (x, y))
            figure.add_scattergl(x=x, y=y, marker=marker, **legend, row=k // columns + 1, col=k % columns + 1)
            shown.add(name)
    figure.update_layout(legend={"itemsizing": "constant"})
    figure.update_xaxes(showline=True, linecolor="#888", zeroline=False, mirror=equal)
    figure.update_yaxes(showline=True, linecolor="#888", zeroline=False, mirror=equal)
    if equal:
        bare = {"showticklabels": False, "ticks": "", "showgrid": False}
        figure.update_xaxes(**bare)
        figure.update_yaxes(**bare)
        for k in range(len(parts)):
            anchor = f"x{k + 1}" if k else "x"
            figure.update_yaxes(scaleanchor=anchor, row=k // columns + 1, col=k % columns + 1)
    else:
        figure.update_xaxes(type="log" if log_x else "linear", gridcolor=FAINT, ticks="outside")
        figure.update_yaxes(gridcolor=FAINT, ticks="outside")
    return figure


def roc(is_anomaly: ArrayLike, scores: Mapping[str, ArrayLike], *, title: str = "ROC curve") -> go.Figure:
    """Return ROC curves with their AUROC in the legend, and the diagonal of chance.

    Parameters
    ----------
    is_anomaly : array of shape (n,)
        True labels: 1 or True = anomalous.
    scores : mapping of str to array of shape (n,)
        Higher = more anomalous.
    title : str
        Title.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    truth = np.asarray(is_anomaly).astype(int)
    lines, positions = {}, {}
    for name, values in scores.items():
        false_alarms, detected, _ = roc_curve(truth, np.asarray(values))
        label = f"{name} (AUROC {roc_auc_score(truth, np.asarray(values)):.3f})"
        positions[label], lines[label] = false_alarms, detected
    x_title, y_title = "share of normals called anomalous", "share of anomalies found"
    figure = curves(positions, lines, title=title, x_title=x_title, y_title=y_title)
    figure.update_traces(mode="lines")
    figure.add_scatter(
        x=[0, 1], y=[0, 1], name="chance", mode="lines", line={"color": "#999", "dash": "dot", "width": 1}
    )
    # a square, and the legend under it: inside, on a narrow page, it would cover the curves
    below = {"x": 0, "y": -0.2, "xanchor": "left", "yanchor": "top"}
    figure.update_layout(legend=below, height=430 + 30 * (len(scores) + 1))
    square = {"range": [-0.01, 1.01], "constrain": "domain", "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1]}
    figure.update_xaxes(**square, constraintoward="left")
    figure.update_yaxes(**square, scaleanchor="x")
    return figure


def embeddings(
    layouts: Mapping[str, Any], groups: Mapping[str, ArrayLike], *, title: str, columns: int = 3
) -> go.Figure:
    """Return maps of latent codes beside each other; above each map stand its title and its two quality measures.

    Parameters
    ----------
    layouts : mapping of str to Layout
        What `advad.analysis.latent.lay_out` returns, by title.
    groups : mapping of str to ndarray of shape (N,), bool
        Members of each group, the same on all maps; small groups come last, on top.
    title : str
        Title above all maps.
    columns : int
        Number of maps in a row.
    """
    members = {name: np.asarray(mask, dtype=bool) for name, mask in groups.items()}

    def heading(name: str, layout: Any) -> str:
        neighbours = 10 * layout.neighbourhood_preservation
        return f"{name}<br>trust {layout.trustworthiness:.3f}<br>kept {neighbours:.1f} of 10"

    parts = {
        heading(name, layout): {group: tuple(layout.points[mask].T) for group, mask in members.items()}
        for name, layout in layouts.items()
    }
    return panels(parts, title=title, columns=columns)


def histograms(
    groups: Mapping[str, ArrayLike],
    *,
    title: str,
    x_title: str,
    threshold: float | None = None,
    threshold_name: str = "threshold",
    bins: int = 40,
) -> go.Figure:
    """Return the groups' histograms over common bins as outlines, each summing to 1, with a threshold line.

    Parameters
    ----------
    groups : mapping of str to array
        Values of each group; each group has one histogram.
    title, x_title : str
        Texts of the title and of the axes.
    threshold : float, optional
        Position of a vertical line.
    threshold_name : str
        Label of that line.
    bins : int
        Number of bins.
    """
    import plotly.graph_objects as go

    everything = np.concatenate([np.ravel(values) for values in groups.values()])
    low, high = np.quantile(everything, [0, 0.995])
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    figure = go.Figure(layout=layout(title, x_title, "share of the group"))
    for k, (name, values) in enumerate(groups.items()):
        values = np.clip(np.ravel(values), edges[0], edges[-1])  # larger values count in the last bin
        share = np.histogram(values, edges)[0] / len(values)
        colour = PALETTE[k % len(PALETTE)]
        figure.add_scatter(
            x=edges,
            y=np.append(share, share[-1]),
            name=f"{name} (n = {len(values)})",
            mode="lines",
            line={"shape": "hv", "color": colour, "dash": DASHES[k % len(DASHES)], "width": 2},
            fill="tozeroy",
            fillcolor=f"rgba{(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)), 0.15)}",
        )
    if threshold is not None:
        mark_line(figure, threshold_name, x=threshold)
    return figure


def mark_line(figure: go.Figure, name: str, *, x: float | None = None, y: float | None = None) -> None:
    """Draw a dashed line across a figure at `x` or at `y`, its name beside it; the name moves with the line."""
    line = {"color": INK, "dash": "dash", "width": 1.5}
    if x is not None:
        beside = {"textangle": 0, "textposition": "end", "xanchor": "left", "yanchor": "top"}
        figure.add_vline(x=x, line=line, label={"text": name, "font": {"size": 12}, **beside})
    if y is not None:
        figure.add_hline(y=y, line=line, label={"text": name, "font": {"size": 12}, "textposition": "end"})


def dots(
    values: Mapping[str, float],
    *,
    title: str,
    y_title: str,
    x_title: str = "",
    intervals: Mapping[str, tuple[float, float]] | None = None,
    highlight: Sequence[str] = (),
    line: float | None = None,
    line_name: str = "",
) -> go.Figure:
    """Return a dot for each name, with its value above it.

    Parameters
    ----------
    values : mapping of str to float
    title, y_title, x_title : str
        Texts of the title and of the axes.
    intervals : mapping of str to (low, high), optional
        Drawn around the dots of these names.
    highlight : sequence of str
        Names whose dots differ in colour and symbol.
    line, line_name : float, str
        A level to compare with, and what it is called.
    """
    import plotly.graph_objects as go

    names, heights = list(values), [float(value) for value in values.values()]
    marked = [name in highlight for name in names]
    ends = [(intervals or {}).get(name, (value, value)) for name, value in values.items()]
    spread = {
        "array": [high - value for value, (_, high) in zip(heights, ends, strict=True)],
        "arrayminus": [value - low for value, (low, _) in zip(heights, ends, strict=True)],
        "thickness": 1.5,
        "width": 0,
        "color": "#888",
    }
    figure = go.Figure(layout=layout(title, x_title, y_title))
    figure.add_scatter(
        x=names,
        y=heights,
        error_y=spread if intervals else None,
        text=with_equal_decimals(heights),
        textposition="middle right" if intervals else "top center",
        mode="markers+text",
        cliponaxis=False,
        showlegend=False,
        marker={
            "size": 12,
            "color": [VERMILION if mark else BLUE for mark in marked],
            "symbol": ["diamond" if mark else "circle" for mark in marked],
        },
    )
    if line is not None:
        note = {"text": line_name, "bgcolor": CLEAR}
        figure.add_hline(y=line, line={"color": INK, "dash": "dash"}, annotation=note)
    figure.update_xaxes(type="category", range=[-0.5, len(names) - 0.5])
    return figure


def bars(*values: Any, **settings: Any) -> go.Figure:
    """Return :func:`dots`, under its former name."""
    warnings.warn("plots: bars() is called dots() now.", DeprecationWarning, stacklevel=2)
    return dots(*values, **settings)


def with_equal_decimals(values: ArrayLike) -> list[str]:
    """Return numbers as texts of equal decimals, so that the largest has three digits; "" for NaN.

    Examples
    --------
    >>> with_equal_decimals([0.7, 0.0677, -0.2])
    ['0.700', '0.068', '−0.200']
    >>> with_equal_decimals([12, 3])
    ['12', '3']
    """
    numbers = np.asarray(values, dtype=float)
    finite = np.abs(numbers[np.isfinite(numbers)])
    largest = finite.max(initial=0.0)
    whole = bool((finite == finite.round()).all()) and largest > 1
    decimals = 0 if whole or largest == 0 else max(0, 3 - math.ceil(math.log10(largest)))
    return ["" if np.isnan(number) else f"{number:.{decimals}f}".replace("-", "−") for number in numbers]


def heatmap(
    values: ArrayLike | Mapping[str, Mapping[Any, float]],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    *,
    title: str,
    x_title: str = "",
    y_title: str = "",
    limits: tuple[float, float] | None = None,
) -> go.Figure:
    """Return a table of numbers as coloured cells, each with its number (of equal decimals); first row at the top.

    Parameters
    ----------
    values : array of shape (n_rows, n_columns), or a mapping of row names to mappings of column names to numbers
        NaN leaves a cell empty.
    rows, columns : sequence of str
        Names of the rows and of the columns; by default the mapping's own, with the columns of its first row. A column
        that is named by a tuple is labelled in several lines.
    title, x_title, y_title : str
        Texts of the title and of the axes.
    limits : (low, high), optional
        Ends of the colour scale (cividis, bright = high); by default the smallest and the largest value.

    Examples
    --------
    >>> table = {"AE": {"seen": 0.75, "unseen": 0.5}, "ARAE": {"seen": 0.9, "unseen": 0.25}}
    >>> [list(row) for row in heatmap(table, title="AUROC").data[0].text]
    [['0.750', '0.500'], ['0.900', '0.250']]
    """
    import plotly.graph_objects as go

    if isinstance(values, Mapping):
        by_row = {name: dict(row) for name, row in values.items()}
        names = list(next(iter(by_row.values()), {}))
        labels = [",<br>".join(name) if isinstance(name, tuple) else name for name in names]
        rows, columns = rows or list(by_row), columns or labels
        values = [[row[name] for name in names] for row in by_row.values()]
    cells = np.asarray(values, dtype=float)
    low, high = limits or (None, None)
    figure = go.Figure(layout=layout(title, x_title, y_title, height=120 + 42 * len(rows)))
    look = {"colorscale": "Cividis", "texttemplate": "%{text}", "xgap": 2, "ygap": 2, "showscale": False}
    text = np.reshape(with_equal_decimals(cells.ravel()), cells.shape).tolist()
    figure.add_heatmap(z=cells, x=list(columns), y=list(rows), text=text, zmin=low, zmax=high, **look)
    bare = {"type": "category", "showline": False, "showgrid": False, "ticks": ""}  # else "5%" is read as the number 5
    figure.update_yaxes(autorange="reversed", **bare)
    figure.update_xaxes(side="bottom", **bare)
    return figure
