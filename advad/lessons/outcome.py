"""What a run of a lesson leaves behind, and the errors that it can end with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class LessonResult:
    """What a run left behind.

    Attributes
    ----------
    lesson : str
        Its name, such as "00_start".
    notebook, page : Path
        The executed copy, and the same as HTML.
    finding, device : str
        As the lesson recorded them.
    seconds : float
        Of the lesson itself, without the start of the kernel.
    results : dict
        The content of `results.json`.
    error : str
        Why it did not run to its end; "" when it did.
    """

    lesson: str
    notebook: Path
    page: Path
    finding: str = ""
    device: str = ""
    seconds: float = 0.0
    results: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class NoLessonError(FileNotFoundError):
    """No notebook goes by that name."""


class HandInError(ValueError):
    """A hand-in that cannot be made or is refused, in one line."""


class LessonError(RuntimeError):
    """A lesson that did not run to its end, in one line; `outcome` holds what there is of it."""

    def __init__(self, message: str, outcome: LessonResult):
        super().__init__(message)
        self.outcome = outcome
