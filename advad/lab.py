"""Deprecated in 0.2, gone in 0.3: the old address of what notebooks imported, with a warning that names the new one."""

from __future__ import annotations

import importlib
from types import ModuleType

from advad.checks import new_name

NEW_ADDRESS = {
    "board": "advad.scoreboard.table",
    "explorers": "advad.explorers",
    "figures": "advad.plots",
    "lesson": "advad.lessons.lesson",
    "sweep": "advad.experiments.sweep",
}


def __getattr__(name: str) -> ModuleType:
    """Import a module under its old name."""
    remedy = "It was divided into rooms, which CONTRIBUTING.md shows."
    return importlib.import_module(new_name("advad.lab", name, NEW_ADDRESS, remedy))
