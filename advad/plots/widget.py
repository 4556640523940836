"""Plotly's figures as widgets that hold even where a page is slow: plotly's script is sent and read once for all.

anywidget gives a widget two seconds to initialise. Plotly's `FigureWidget` sends its script, five megabytes, with each
figure, and initialises with it. Where a busy laptop needs longer, anywidget gives up: the figure stays empty, or keeps
to its first state, whatever Python says afterwards (seen in JupyterLab 4.6 with anywidget 0.11 and plotly 7.1). Here a
figure initialises at once, waits for the script, and then receives what Python has sent in between.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import anywidget
import plotly.graph_objects as go
import traitlets
from plotly.serializers import custom_serializers


class Script(anywidget.AnyWidget):
    """Carries plotly's script into a page, for all figures there; it shows nothing.

    Attributes
    ----------
    source : str
        The script, an ECMAScript module.
    """

    _esm = """
    export default { initialize({ model }) {
      const address = URL.createObjectURL(new Blob([model.get("source")], { type: "text/javascript" }));
      globalThis.advadPlotly ??= import(address).then(script => script.default);
    } }"""
    source = traitlets.Unicode().tag(sync=True)


@functools.cache
def script() -> Script:
    """Return the kernel's one `Script`."""
    return Script(source=str(go.FigureWidget._esm))


class Figure(go.FigureWidget):
    """A `FigureWidget` that takes plotly's script from `script()`; `figure_widget.js` is its part in the page."""

    _esm: Any = Path(__file__).with_suffix(".js")

    def __init__(self, *arguments: Any, **settings: Any):
        script()  # a page must have it
        self._whole = False
        super().__init__(*arguments, **settings)
        self._whole = True
        self.open()
        self.on_msg(lambda _, message, __: self._hear(message))

    def open(self) -> None:
        """Tell the page of this figure, once it is whole: plotly's own is born empty, and sends its traces after."""
        if self._whole:
            super().open()

    def _hear(self, message: dict[str, Any]) -> None:
        """Answer a click or a selection, as plotly's own does when it finds one in its state."""
        self._js2py_pointsCallback = custom_serializers["from_json"](message, self)
