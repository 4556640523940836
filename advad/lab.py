"""Deprecated in 0.2, gone in 0.3: the old address of what notebooks imported, with a warning that names the new one."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

NEW_ADDRESS = {
    "board": "advad.scoreboard.table",
    "explorers": "advad.explorers",
    "figures": "advad.plots",
    "lesson": "advad.lessons.lesson",
    "sweep": "advad.experiments.sweep",
}


def __getattr__(name: str) -> ModuleType:
    """Import a module under its old name."""
    if name not in NEW_ADDRESS:
        raise AttributeError(f"advad.lab was divided into rooms and has no {name!r}. CONTRIBUTING.md shows the rooms.")
    warnings.warn(f"advad.lab.{name} is now {NEW_ADDRESS[name]}.", FutureWarning, stacklevel=2)
    return importlib.import_module(NEW_ADDRESS[name])
