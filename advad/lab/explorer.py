"""What all explorers are made of: the box, the panel for errors, pictures with text alternatives."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from IPython.display import display
from PIL import Image
from plotly.colors import sequential

from advad.lab import figures
from advad.lab.figure_widget import Figure
from advad.lab.notes import picture_markup

WIDTH = 900  # CSS pixels that an explorer may take: what a notebook's cell has on a small laptop
CONFIG = {"displaylogo": False, "scrollZoom": False}
CIVIDIS = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in sequential.Cividis])
STYLE = """<style>
.advad-explorer{max-width:920px;overflow:visible}
.advad-explorer .widget-html-content{line-height:1.45;height:auto}
.advad-explorer .widget-html{height:auto;overflow:visible}
.advad-explorer .advad-row{flex-flow:row wrap;gap:4px 8px;overflow:visible}
.advad-explorer .advad-row,.advad-explorer .advad-row>.widget-hbox{align-items:center}
.advad-explorer .advad-columns{flex-flow:row wrap;gap:4px 16px;overflow:visible}
.advad-explorer .advad-columns>*,.advad-explorer .widget-box{overflow:visible}
.advad-explorer .advad-answer{display:block;max-width:880px;min-height:1.45em}
.advad-explorer .widget-toggle-buttons{width:max-content;max-width:100%;margin-right:20px}
.advad-explorer .widget-toggle-button,.advad-explorer .widget-button{padding:0 8px}
.advad-explorer .advad-sets .widget-readout{min-width:106px;overflow:visible;white-space:nowrap}
.advad-explorer .jupyter-button:focus-visible{outline:2px solid #0072B2;outline-offset:1px}
</style>"""


class Explorer(ABC):
    """Base of all explorers: a box of widgets, a panel for errors, a static twin."""

    def __init__(self) -> None:
        self.errors = widgets.Output()
        self.errors.add_class("advad-errors")
        self._silent = False
        self.view = widgets.VBox([widgets.HTML(STYLE, layout={"display": "none"}), *self.build(), self.errors])
        self.view.add_class("advad-explorer")

    @abstractmethod
    def build(self) -> list[widgets.Widget]:
        """Return the widgets from top to bottom, showing the first state."""

    @abstractmethod
    def twin(self) -> Image.Image:
        """Return the present state as one picture."""

    @abstractmethod
    def sentence(self) -> str:
        """Return the present state in words."""

    def answering(self, callback: Callable[..., object]) -> Callable[..., None]:
        """Return the callback with its errors shown in the explorer's own panel; silent inside `silently`."""
        failed = False

        def answer(*event: Any) -> None:
            nonlocal failed
            if self._silent:
                return
            if failed:
                self.errors.clear_output()
            failed = True
            with self.errors:
                callback(*event)
                failed = False

        return answer

    @contextmanager
    def silently(self) -> Iterator[None]:
        """Let controls be moved without being answered."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def _ipython_display_(self) -> None:
        for figure in figures_in(self.view):
            figure._repr_mimebundle_()  # has its state sent as it is now; nobody calls it for a figure inside a box
        display(self.view)


class Picture(widgets.HTML):
    """A picture with a text alternative; `widgets.Image` has none."""

    def show(self, image: Image.Image, alt: str, width: int | None = None) -> None:
        """Show an image; one that is drawn for a dense screen (192 dots an inch) at half its pixels."""
        element, width = picture_markup(image, alt, width)
        self.value = f'<div style="width:{width}px;max-width:100%">{element}</div>'


class Answer(widgets.HTML):
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
        layout=widgets.Layout(width=f"{width}px", max_width="100%"),
    )


def ladder(description: str, options: Mapping[str, Any], value: Any, *, width: int = 420) -> widgets.SelectionSlider:
    """Return a slider over named values; arrow keys move it. (In JupyterLab a drop-down list loses its keys.)"""
    return widgets.SelectionSlider(
        options=list(options.items()),
        value=value,
        description=description,
        style={"description_width": "initial"},
        layout=widgets.Layout(width=f"{width}px", max_width="100%"),
    )


def choice(options: Sequence[str] | Mapping[str, Any], value: Any) -> widgets.ToggleButtons:
    """Return buttons of which one is pressed; Tab and Enter reach them."""
    return widgets.ToggleButtons(options=options, value=value, style={"button_width": "auto"})


def named(values: Any) -> dict[str, Any]:
    """Return a mapping as it is, and one object under the name of its class."""
    return dict(values) if isinstance(values, Mapping) else {type(values).__name__: values}


def plot(figure: go.Figure, width: int, height: int, **layout: Any) -> Any:
    """Return a figure as a widget of a fixed size, without plotly's button that sends it elsewhere."""
    figure.update_layout(width=width, height=height, modebar={"remove": ["sendChartToCloud"]}, **layout)
    widget = Figure(figure)
    widget._config = CONFIG
    return widget


def figures_in(box: widgets.Widget) -> Iterator[go.FigureWidget]:
    """Yield the figures inside a widget, however deep."""
    for child in getattr(box, "children", ()):
        if isinstance(child, go.FigureWidget):
            yield child
        yield from figures_in(child)


def stack(images: Sequence[Image.Image], *, across: bool = False) -> Image.Image:
    """Return images below each other (or side by side) as one on white, for a dense screen."""
    widths, heights = [image.width for image in images], [image.height for image in images]
    size = (sum(widths), max(heights)) if across else (max(widths), sum(heights))
    canvas = Image.new("RGB", size, "white")
    at = 0
    for image in images:
        canvas.paste(image, (at, 0) if across else (0, at))
        at += image.width if across else image.height
    canvas.info["dpi"] = (192, 192)
    return canvas


def as_unit(images: np.ndarray) -> np.ndarray:
    """Return images as float32 in [0, 1]."""
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images.astype(np.float32)


def heat(values: np.ndarray, high: float | None = None) -> np.ndarray:
    """Return values in [0, high] as colours from dark blue over grey to yellow (cividis), (3, H, W) `uint8`.

    Parameters
    ----------
    values : array of shape (H, W)
    high : float, optional
        What becomes yellow; else the largest value.
    """
    top = float(values.max()) if high is None else high
    place = np.clip(values / top if top > 0 else values * 0, 0, 1)
    stops = np.linspace(0, 1, len(CIVIDIS))
    return np.stack([np.interp(place, stops, CIVIDIS[:, k]) for k in range(3)]).round().astype(np.uint8)


def tiles(pictures: Sequence[np.ndarray], names: Sequence[str], captions: Sequence[str], tile: int = 96) -> Image.Image:
    """Return pictures side by side with a name above and a caption under each; at the left edge, without a label."""
    drawn = figures.grid({"": pictures}, columns=names, captions={"": captions}, tile=tile)
    return without_label(drawn)


def without_label(drawn: Image.Image) -> Image.Image:
    """Return a grid whose rows have no label without the room for it: its pictures stand at the left edge."""
    cropped = drawn.crop((24, 0, *drawn.size))
    cropped.info["dpi"] = (192, 192)
    return cropped


def small(image: np.ndarray) -> Image.Image:
    """Return an image of shape (C, H, W) at its own size, as a picture."""
    return Image.fromarray(np.ascontiguousarray(figures.to_pixels(image)))
