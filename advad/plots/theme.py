"""Colours, dashes, symbols and the layout that all plots share."""

from __future__ import annotations

import textwrap
from typing import Any

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, INK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#767676",  # contrast 4.5 to 1 with white, 4.6 to 1 with black: a figure does not know the page it lies on
)
CLEAR, FAINT = "rgba(0,0,0,0)", "rgba(128,128,128,0.25)"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star")


TITLE_WIDTH, AXIS_WIDTH = 46, 36  # characters in a line of a title: what a narrow page, and a low figure, have room for


def layout(title: str, x_title: str = "", y_title: str = "", **settings: Any) -> dict[str, Any]:
    """Return the layout that all our plots share, with a long title in several lines; `settings` go over it."""
    lines = [line for part in title.split("<br>") for line in textwrap.wrap(part, TITLE_WIDTH) or [""]]
    y_title = "<br>".join(textwrap.wrap(y_title, AXIS_WIDTH))
    axis = {"showline": True, "linecolor": "#888", "gridcolor": FAINT, "zeroline": False, "ticks": "outside"}
    return {
        "template": "none",
        "title": {"text": "<br>".join(lines), "font": {"size": 16}, "x": 0.01, "xanchor": "left"},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "xaxis": {**axis, "title": {"text": x_title, "standoff": 8}, "automargin": True},
        "yaxis": {**axis, "title": {"text": y_title, "standoff": 8}, "automargin": True},
        "margin": {"l": 60, "r": 20, "t": 36 + 20 * len(lines), "b": 50},
        "legend": {"bgcolor": CLEAR},
        "height": 400,
        "hoverlabel": {"font": {"size": 13}},
        **settings,
    }
