"""The reference of public names, from their docstrings."""

from __future__ import annotations

from collections.abc import Sequence

from advad import __all__ as public
from advad import attacks, explorers, plots
from advad.methods import METHODS

GROUPS = {
    "images": ("Images and splits", ["load", "ImageSet", "one_class", "leave_one_out", "merged", "Split"]),
    "detectors": (
        "What all detectors have",
        ["Detector", "load_detector", "DivergedError"],
    ),
    "classes": ("Methods", list(METHODS)),
    "metrics": (
        "Metrics",
        "auroc auprc balanced_accuracy best_f1 f1_at fpr_at_tpr threshold_at rate_interval bootstrap Interval".split(),
    ),
}
DATA = ("ARAE_A", "ARAE_R")  # settings, shown on the page of their method
LESSON = "start settings show finding image require predict reveal check record".split()


def pages() -> dict[str, str]:
    """Return the source of each page of the reference, and of their index, by file name without ending."""
    missing = set(public) - {name for _, names in GROUPS.values() for name in names} - set(DATA)
    if missing:
        raise ValueError(
            f"site: each public name must be in a group of the reference; {', '.join(missing)} is in none."
        )
    sources = {key: _page(title, "advad", names) for key, (title, names) in GROUPS.items()}
    sources["attacks"] = _page("Attacks", "advad.attacks", attacks.__all__)
    sources["explorers"] = _page("Explorers", "advad.explorers", explorers.__all__)
    figures = [name for name in plots.__all__ if callable(getattr(plots, name))]
    sources["plots"] = _page("Plots", "advad.plots", figures)
    sources["lesson"] = _page("What a lesson calls", "advad.lessons.lesson", LESSON)
    names = "\n".join(sources)
    return sources | {"index": f"# Public names\n\n```{{toctree}}\n:maxdepth: 2\n\n{names}\n```\n"}


def _page(title: str, module: str, names: Sequence[str]) -> str:
    return "\n\n".join([f"# {title}", *(f"```{{eval-rst}}\n{_directive(module, name)}\n```" for name in names)]) + "\n"


def _directive(module: str, name: str) -> str:
    """Return what asks autodoc for a name: a class with its own members, or a function."""
    import importlib

    value = getattr(importlib.import_module(module), name)
    if isinstance(value, type):
        return f".. autoclass:: {module}.{name}\n   :members:"
    return f".. autofunction:: {module}.{name}" if callable(value) else f".. autodata:: {module}.{name}"
