"""Base of all explorers: the box of widgets and the panel for errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
from IPython.display import display
from PIL import Image

WIDTH = 900  # CSS pixels that an explorer may take: what a notebook's cell has on a small laptop
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
    def to_image(self) -> Image.Image:
        """Return the present state as one picture."""

    @abstractmethod
    def summary(self) -> str:
        """Return the present state in words."""

    def guarded(self, callback: Callable[..., object]) -> Callable[..., None]:
        """Return the callback with its errors shown in the explorer's own panel; silent inside `callbacks_paused`."""
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
    def callbacks_paused(self) -> Iterator[None]:
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


def named(values: Any) -> dict[str, Any]:
    """Return a mapping as it is, and one object under the name of its class."""
    return dict(values) if isinstance(values, Mapping) else {type(values).__name__: values}


def figures_in(box: widgets.Widget) -> Iterator[go.FigureWidget]:
    """Yield the figures inside a widget, however deep."""
    for child in getattr(box, "children", ()):
        if isinstance(child, go.FigureWidget):
            yield child
        yield from figures_in(child)
