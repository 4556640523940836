"""Colours, dashes, symbols and the layout that all plots share."""

from __future__ import annotations

import textwrap
from typing import Any

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#222222",
)
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star")


TITLE_WIDTH, AXIS_WIDTH = 60, 36  # characters in a line of a title: what a narrow page, and a low figure, have room for


def layout(title: str, x_title: str = "", y_title: str = "", **settings: Any) -> dict[str, Any]:
    """Return the layout that all our plots share, with a long title in several lines; `settings` go over it."""
    lines = [line for part in title.split("<br>") for line in textwrap.wrap(part, TITLE_WIDTH) or [""]]
    y_title = "<br>".join(textwrap.wrap(y_title, AXIS_WIDTH))
    axis = {"showline": True, "linecolor": "#888", "gridcolor": "#e6e6e6", "zeroline": False, "ticks": "outside"}
    return {
        "template": "none",
        "title": {"text": "<br>".join(lines), "font": {"size": 16}, "x": 0.01, "xanchor": "left"},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#222"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": {**axis, "title": {"text": x_title, "standoff": 8}, "automargin": True},
        "yaxis": {**axis, "title": {"text": y_title, "standoff": 8}, "automargin": True},
        "margin": {"l": 60, "r": 20, "t": 36 + 20 * len(lines), "b": 50},
        "legend": {"bgcolor": "rgba(255,255,255,0.8)"},
        "height": 400,
        "hoverlabel": {"font": {"size": 13}},
        **settings,
    }
