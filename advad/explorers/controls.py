"""The widgets that explorers are built of."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
from PIL import Image

from advad.plots.images import image_markup
from advad.plots.widget import Figure

CONFIG = {"displaylogo": False, "scrollZoom": False}
ALL_THERE_IS = "calc(100% - 4px)"  # the width around a widget, less the widget's own margins


class ImageView(widgets.HTML):
    """An image with a text alternative; `widgets.Image` has none."""

    def show(self, image: Image.Image, alt: str, width: int | None = None) -> None:
        """Show an image; one that is drawn for a dense screen (192 dots an inch) at half its pixels."""
        self.value, width = image_markup(image, alt, width)
        self.layout.width, self.layout.max_width = f"{width}px", ALL_THERE_IS


class StatusText(widgets.HTML):
    """A sentence that changes; screen readers say it when it does."""

    def say(self, text: str) -> None:
        """Show a text."""
        self.value = f'<span class="advad-answer" role="status">{html.escape(text)}</span>'


def row(*children: widgets.Widget | str) -> widgets.HBox:
    """Return widgets side by side, wrapped where there is no room; a text is the label of what comes after it."""
    parts, labels = [], []
    for child in children:
        if isinstance(child, str):
            labels = [widgets.Label(child)]
        else:
            parts.append(widgets.HBox([*labels, child]) if labels else child)
            labels = []
    box = widgets.HBox(parts)
    box.add_class("advad-row")
    return box


def columns(*children: widgets.Widget) -> widgets.HBox:
    """Return parts side by side, aligned at their tops, wrapped where there is no room."""
    box = widgets.HBox(children)
    box.add_class("advad-columns")
    return box


def slider(description: str, n: int, value: int = 0, *, width: int = 420, readout: bool = True) -> widgets.IntSlider:
    """Return a slider over 0 … n − 1; arrow keys move it."""
    return widgets.IntSlider(
        value=value,
        min=0,
        max=n - 1,
        description=description,
        readout=readout,
        style={"description_width": "initial"},
        layout=widgets.Layout(width=f"{width}px", max_width=ALL_THERE_IS),
    )


def select_slider(
    description: str, options: Mapping[str, Any], value: Any, *, width: int = 420
) -> widgets.SelectionSlider:
    """Return a slider over named values; arrow keys move it. (In JupyterLab a drop-down list loses its keys.)"""
    return widgets.SelectionSlider(
        options=list(options.items()),
        value=value,
        description=description,
        style={"description_width": "initial"},
        layout=widgets.Layout(width=f"{width}px", max_width=ALL_THERE_IS),
    )


def toggle_buttons(options: Sequence[str] | Mapping[str, Any], value: Any) -> widgets.ToggleButtons:
    """Return buttons of which one is pressed; Tab and Enter reach them."""
    return widgets.ToggleButtons(options=options, value=value, style={"button_width": "auto"})


def plot(figure: go.Figure, width: int, height: int, **layout: Any) -> Any:
    """Return a figure as a widget of a fixed size, without plotly's button that sends it elsewhere."""
    figure.update_layout(width=width, height=height, modebar={"remove": ["sendChartToCloud"]}, **layout)
    widget = Figure(figure)
    widget._config = CONFIG
    return widget
