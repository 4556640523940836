"""Base of all explorers: the box of widgets and the panel for errors."""

from __future__ import annotations

import asyncio
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
from IPython.core.getipython import get_ipython
from IPython.display import display
from PIL import Image

from advad.checks import reject
from advad.explorers.controls import row, toggle_buttons

PAUSE = 0.01  # seconds in which the kernel takes messages between two steps of work in the background
SHOWN: dict[str, tuple[str, list[Explorer]]] = {}  # cell of a notebook -> its last execution, and what that has shown
WIDTH = 900  # CSS pixels that an explorer may take: what a notebook's cell has on a small laptop
STYLE = """<style>
.advad-explorer{max-width:920px;overflow:visible}
.advad-explorer .widget-html-content{line-height:1.45;height:auto;overflow-wrap:anywhere}
.advad-explorer .widget-html{height:auto;overflow:visible}
.advad-explorer .advad-row{flex-flow:row wrap;gap:4px 8px;overflow:visible}
.advad-explorer .advad-row,.advad-explorer .advad-row>.widget-hbox{align-items:center;max-width:100%}
.advad-explorer .advad-columns{flex-flow:row wrap;gap:4px 16px;overflow:visible}
.advad-explorer .advad-columns>*,.advad-explorer .widget-box{overflow:visible}
.advad-explorer .advad-plot{overflow:visible}
.advad-explorer .advad-answer{display:block;max-width:880px;min-height:1.45em}
.advad-explorer .widget-toggle-buttons{width:max-content;max-width:100%;min-width:0;margin-right:20px}
.advad-explorer .widget-toggle-buttons>div{display:flex;flex-wrap:wrap;row-gap:4px}
.advad-explorer .advad-row .widget-label{flex-shrink:0}
.advad-explorer .widget-toggle-button,.advad-explorer .widget-button{padding:0 8px}
.advad-explorer .advad-sets .widget-readout{min-width:106px;overflow:visible;white-space:nowrap}
.advad-explorer .jupyter-button:focus-visible{outline:2px solid #0072B2;outline-offset:1px}
</style>"""


class Explorer(ABC):
    """Base of all explorers: a box of widgets, a panel for errors, and the same state as a static image.

    Parameters
    ----------
    detectors : Detector, or mapping of str to Detector
        In explorers of detectors. Fitted.
    images : array of shape (N, C, H, W) or (N, H, W)
        In explorers of images. `uint8`, or float in [0, 1].
    **known
        `labels`, `classes` and `is_anomaly` of the images, each optional; see `Known`. An image's score is compared
        with the scores of the normal images where `is_anomaly` is known, and of all images where it is not.
    """

    def __init__(self) -> None:
        self.errors = widgets.Output()
        self.errors.add_class("advad-errors")
        self._silent = self._failed = False
        self._work: asyncio.Task[None] | None = None
        self.view = widgets.VBox([widgets.HTML(STYLE, layout={"display": "none"}), *self.build(), self.errors])
        self.view.add_class("advad-explorer")

    @abstractmethod
    def build(self) -> list[widgets.Widget]:
        """Return the widgets from top to bottom, showing the first state."""

    @abstractmethod
    def to_image(self) -> Image.Image:
        """Return the present state as one image, without a browser."""

    @abstractmethod
    def summary(self) -> str:
        """Return the present state as text, which screen readers announce."""

    def refresh(self) -> None:  # noqa: B027 (an explorer that never computes anything need not override it)
        """Compute and show anew all that follows from the controls: called when a callback has failed in its middle."""

    def guarded(self, callback: Callable[..., object]) -> Callable[..., None]:
        """Return the callback with its errors shown in the explorer's own panel; silent inside `callbacks_paused`.

        The panel is the explorer's: what one control has left there goes when any control is moved again. A callback
        that an error or an interrupt has ended may have left half of its work undone; so all is shown anew first.
        """

        def answer(*event: Any) -> None:
            if self._silent:
                return
            failed_before, self._failed = self._failed, True
            if failed_before:
                self.errors.clear_output()
            with self.errors:  # in a kernel it keeps the error
                try:
                    if failed_before:
                        self.refresh()
                    callback(*event)
                    self._failed = False
                except KeyboardInterrupt:
                    if get_ipython() is None:  # a script is to be ended by it
                        raise
                    print("Interrupted. Move any control to go on.")

        return answer

    def work_in_background(self, step: Callable[[], bool]) -> None:
        """Repeat a step while the kernel has nothing else to do, until it returns False or other work replaces it.

        Only where an event loop runs, as it does in a kernel; a script has to call the steps itself.
        """
        if self._work is not None:
            self._work.cancel()
        try:
            self._work = asyncio.get_running_loop().create_task(self._repeat(step))
        except RuntimeError:
            self._work = None

    async def _repeat(self, step: Callable[[], bool]) -> None:
        """Repeat a step; an error ends the work, and is shown in the panel."""
        await asyncio.sleep(PAUSE)  # the event that began the work is answered first
        try:
            while self.view.comm is not None and step():
                await asyncio.sleep(PAUSE)
        except Exception:
            self._failed = True
            with self.errors:
                raise

    @contextmanager
    def callbacks_paused(self) -> Iterator[None]:
        """Within this context, controls can be set without running their callbacks."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def twin(self) -> Image.Image:
        """Return `to_image()`, under its name before 0.2."""
        warnings.warn("explorer.twin() is now explorer.to_image().", FutureWarning, stacklevel=2)
        return self.to_image()

    def sentence(self) -> str:
        """Return `summary()`, under its name before 0.2."""
        warnings.warn("explorer.sentence() is now explorer.summary().", FutureWarning, stacklevel=2)
        return self.summary()

    def close(self) -> None:
        """Close all widgets of the explorer: it leaves the page, and the kernel forgets it."""
        for widget in {id(widget): widget for widget in widgets_in(vars(self))}.values():
            widget.close()

    def _ipython_display_(self) -> None:
        close_replaced(self)
        for figure in figures_in(self.view):
            figure._repr_mimebundle_()  # has its state sent as it is now; nobody calls it for a figure inside a box
        display(self.view)


class PlotBox(widgets.VBox):
    """A box that holds one figure, which can be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.add_class("advad-plot")

    def show(self, figure: go.FigureWidget) -> None:
        """Show a figure instead of the present one, which is closed."""
        figure._repr_mimebundle_()  # has its state sent: see `Explorer._ipython_display_`
        before, self.children = self.children, (figure,)
        for old in before:
            old.close()


def running_cell() -> tuple[str, str] | None:
    """Return the names of the cell that runs and of its execution; None where the notebook does not tell them.

    JupyterLab, Notebook and VS Code tell them.
    """
    shell: Any = get_ipython()
    request = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = request.get("metadata", {}).get("cellId")
    return (cell, request["header"]["msg_id"]) if cell else None


def close_replaced(explorer: Explorer) -> None:
    """Close what an earlier execution of the running cell has shown: its output has left the page."""
    names = running_cell()
    if names is None:
        return
    cell, execution = names
    last, shown = SHOWN.get(cell, ("", []))
    SHOWN[cell] = execution, [explorer] if last != execution else [*shown, explorer]
    if last != execution:
        elsewhere = [other for _, others in SHOWN.values() for other in others]
        for old in shown:
            if old not in elsewhere:  # an explorer may be shown by several cells
                old.close()


def widgets_in(value: Any) -> Iterator[widgets.Widget]:
    """Yield all widgets in a value, also those that a widget is made of: its children, its layout, its style."""
    if isinstance(value, widgets.Widget):
        yield value
        parts: Iterable[Any] = [getattr(value, key) for key in value.keys]
    elif isinstance(value, Mapping):
        parts = value.values()
    else:
        parts = value if isinstance(value, (list, tuple)) else ()
    for part in parts:
        yield from widgets_in(part)


def named(owner: str, detectors: Any) -> dict[str, Any]:
    """Return a mapping of detectors as it is, and one detector under the name of its class.

    Raises
    ------
    TypeError, ValueError
        It is neither, or the mapping is empty.
    """
    mapping = dict(detectors) if isinstance(detectors, Mapping) else {type(detectors).__name__: detectors}
    remedy = "For example detector, or {'AE': detector}."
    if not mapping:
        reject(owner, "detectors", "hold at least one fitted detector", detectors, remedy)
    for detector in mapping.values():
        if isinstance(detector, type) or not any(hasattr(detector, name) for name in ("anomaly_score", "reconstruct")):
            reject(
                owner,
                "detectors",
                "be a fitted detector, or a mapping of names to detectors",
                detector,
                remedy,
                TypeError,
            )
    return mapping


def detector_buttons(detectors: Mapping[str, Any]) -> widgets.ToggleButtons:
    """Return buttons for detectors by name, the last one pressed: an explorer shows them where there are several."""
    return toggle_buttons(list(detectors), list(detectors)[-1])


def row_of_detectors(buttons: widgets.ToggleButtons) -> list[widgets.Widget]:
    """Return the row with the detectors' buttons, and no row where there is one detector only."""
    return [row("detector", buttons)] if len(buttons.options) > 1 else []


def figures_in(box: widgets.Widget) -> Iterator[go.FigureWidget]:
    """Yield the figures inside a widget, at any depth."""
    for child in getattr(box, "children", ()):
        if isinstance(child, go.FigureWidget):
            yield child
        yield from figures_in(child)
