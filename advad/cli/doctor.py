"""The checks of `advad doctor`: each returns one line, or raises an error that says what is wrong."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
PACKAGES = ("numpy", "scikit-learn", "torchvision", "plotly", "ipywidgets", "jupyterlab", "papermill")


class Lacking(Warning):
    """Something optional is missing."""


def examine(check: Callable[[Path | None], str], root: Path | None) -> tuple[str, str]:
    """Run a check; return "ok", "warn" or "fail", and one line."""
    try:
        return "ok", check(root)
    except Lacking as lack:
        return "warn", str(lack)
    except Exception as error:  # the doctor reports every fault, of any kind
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return "fail", reason


def python(_: Path | None) -> str:
    """Return the interpreter and the system."""
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def packages(_: Path | None) -> str:
    """Return the versions of the main dependencies."""
    from importlib import metadata

    return ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)


def torch(_: Path | None) -> str:
    """Return torch's version after a small computation, with torchvision imported beside it."""
    import torch
    import torchvision

    value = torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3)).item()
    if value != 9:
        raise ArithmeticError(f"a convolution of ones gives {value}, not 9")
    return f"torch {torch.__version__}, torchvision {torchvision.__version__}"


def device(_: Path | None) -> str:
    """Return the device and the precision that "auto" chooses, after a computation on the device."""
    import torch

    from advad.engine.training import choose_device, choose_precision

    chosen = choose_device("auto")
    torch.ones(8, 8, device=chosen).mm(torch.ones(8, 8, device=chosen)).sum().item()
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{chosen.type} ({name}); precision auto is {choose_precision('auto', chosen)}"


def data(root: Path | None) -> str:
    """Return the image sets that can be loaded; Lacking where those that come with advad are missing."""
    from advad.datasets.load import NAMES, data_folder, load
    from advad.datasets.torchvision_sets import NAMES as NAMED

    loaded, missing = {}, []
    for name in NAMES:
        try:
            loaded[name] = f"{name} ({len(load(name, root=root).images):,})"
        except FileNotFoundError:
            missing.append(name)
    if lacking := [name for name in missing if name not in NAMED]:
        raise Lacking(f"{', '.join(lacking)} should come with advad: install it again")
    packaged, full = ([text for name, text in loaded.items() if (name in NAMED) == named] for named in (False, True))
    where = f"in {data_folder(root)}{'' if full else ' (advad data downloads)'}"
    return f"{', '.join(packaged)} with advad; {', '.join(full) or 'none'} {where}"


def lessons(_: Path | None) -> str:
    """Return how many lessons there are; Lacking when there are none."""
    from advad.lessons.catalogue import lessons
    from advad.lessons.outcome import NoLessonError
    from advad.lessons.run import shown

    try:
        notebooks = lessons()
    except NoLessonError as error:
        raise Lacking(str(error)) from None
    return f"{len(notebooks)} in {shown(notebooks[0].parent)}"


def kernel(_: Path | None) -> str:
    """Start a kernel as the lessons do, and compute in it."""
    import nbformat
    from nbclient import NotebookClient

    from advad.lessons.kernel import ThisInterpreter

    began = time.perf_counter()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import sys\nprint(sys.executable)")])
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", kernel_manager_class=ThisInterpreter)
    client.execute()
    return f"answered in {time.perf_counter() - began:.1f} s from {notebook.cells[0].outputs[0].text.strip()}"


def widgets(_: Path | None) -> str:
    """Build a figure and a slider, move the slider, and see that the figure follows."""
    import ipywidgets
    import plotly.graph_objects as go

    figure = go.FigureWidget(go.Scatter(y=[0.0]))
    slider = ipywidgets.IntSlider()
    slider.observe(lambda change: figure.update_traces(y=[change["new"]]), "value")
    slider.value = 7
    if list(figure.to_dict()["data"][0]["y"]) != [7]:
        raise RuntimeError("a slider moved and the figure did not follow")
    return "a slider moves a figure"


def umap(_: Path | None) -> str:
    """Load UMAP, which numba compiles; Lacking where numba can write neither beside its packages nor at home."""
    from importlib import metadata

    before = os.environ.get("NUMBA_CACHE_DIR")
    from advad.analysis.latent import load_umap

    load_umap()
    folder = os.environ.get("NUMBA_CACHE_DIR")
    if folder != before:
        raise Lacking(
            f"numba can write neither beside its packages nor at home, so it compiles UMAP into {folder}. "
            "Set NUMBA_CACHE_DIR to a folder that stays, and it compiles only once"
        )
    return f"umap-learn {metadata.version('umap-learn')} loads"


CHECKS = {
    "python": python,
    "packages": packages,
    "torch": torch,
    "device": device,
    "data": data,
    "lessons": lessons,
    "kernel": kernel,
    "widgets": widgets,
    "umap": umap,
}
