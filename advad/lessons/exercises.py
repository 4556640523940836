"""Exercises and their solutions: a solution is written once, in the notebook."""

from __future__ import annotations

import re
from copy import deepcopy

from nbformat import NotebookNode

from advad.lessons.parameters import ParameterError

FENCE = re.compile(r"^[ \t]*```python\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)


def solved(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return a notebook with each exercise replaced by its solution.

    Parameters
    ----------
    notebook : NotebookNode
    name : str
        What to call it in an error.

    Raises
    ------
    ParameterError
        An exercise without a solution before the next exercise.
    """
    copy = deepcopy(notebook)
    waiting = None
    for cell in copy.cells:
        tags = cell.metadata.get("tags", [])
        if "solution" in tags and waiting is not None and (code := FENCE.findall(cell.source)):
            waiting.source, waiting = "\n".join(code).strip(), None
        elif "exercise" in tags:
            if waiting is not None:
                break
            waiting = cell
    if waiting is not None:
        first = next(iter(waiting.source.splitlines()), "")
        rule = "needs a markdown cell after it, tagged solution, with a fence of python code"
        raise ParameterError(f"{name}: the exercise {first!r} {rule}.")
    return copy
