"""Progress bars: tqdm's line of text in a terminal, a bar of HTML in a notebook.

In a notebook a bar is gone when its work is done. tqdm's own bar for notebooks is a widget, in whose place stands an
error message when the notebook is opened the next day.
"""

from __future__ import annotations

import html
import io
import sys
from typing import Any

from tqdm.std import tqdm

INTERVAL = 0.2  # seconds between two pictures of a bar


def progress_bar(**settings: Any) -> tqdm:
    """Return a progress bar that fits where it is shown; the settings are tqdm's.

    Examples
    --------
    >>> with progress_bar(total=2, desc="images", disable=True) as bar:
    ...     bar.update()
    """
    return NotebookBar(**settings) if _in_notebook() else tqdm(**settings)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # where nobody has imported it, this is no notebook
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


class NotebookBar(tqdm):
    """A bar of HTML in an output of its own, which is emptied when the bar is closed."""

    def __init__(self, **settings: Any) -> None:
        self._output: Any = None
        super().__init__(**settings, file=io.StringIO(), leave=False, mininterval=INTERVAL)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        from IPython.display import HTML, display

        picture = HTML(self._markup() if msg is None else "")  # closing displays the empty message
        if self._output is not None:
            self._output.update(picture)
        elif msg is None:
            self._output = display(picture, display_id=True)

    def _markup(self) -> str:
        state = self.format_dict
        n, total, rate = state["n"], state["total"], state["rate"]
        facts = [f"{n / total:.0%}" if total else f"{n} {self.unit}", self.format_interval(state["elapsed"])]
        if total and rate:
            facts.append(f"{self.format_interval((total - n) / rate)} to go")
        facts += [state["postfix"]] if state["postfix"] else []
        bar = f'<progress value="{n}" max="{total}" style="width: 12em"></progress>' if total else ""
        words = [html.escape(text) for text in (self.desc.removesuffix(": "), ", ".join(facts))]
        style = "display: flex; flex-wrap: wrap; gap: 0 0.7em; align-items: center; font-size: 90%"
        return f'<div style="{style}"><span>{words[0]}</span>{bar}<span>{words[1]}</span></div>'
