"""What `advad data` does: say which image sets are there, and download the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from advad.datasets.load import NAMES, data_folder, load
from advad.datasets.torchvision_sets import NAMES as NAMED
from advad.datasets.torchvision_sets import check_present
from advad.lessons.parameters import closest


def check_names(names: Iterable[str]) -> None:
    """Raise ValueError for a name that is no image set's, before anything is downloaded."""
    for name in names:
        if name not in NAMES:
            raise ValueError(f"data: no image set {name!r}.{closest(name, NAMES)} There are {', '.join(NAMES)}.")


def is_present(name: str, root: Path) -> bool:
    """Return whether a set can be loaded without a download; the files are not read."""
    try:
        check_present(name, root)
    except FileNotFoundError:
        return False
    return True


def listing(root: Path | None) -> str:
    """Return one line for each image set: whether it is there, and where it comes from."""
    folder = data_folder(root)
    lines = [f"{name:<16}  comes with advad" for name in NAMES if name not in NAMED]
    for name in NAMED:
        lines.append(f"{name:<16}  {'there' if is_present(name, folder) else f'not there: advad data {name}'}")
    return "\n".join([*lines, f"Folder: {folder}"])


def fetched(name: str, root: Path | None) -> str:
    """Download a set where it is missing, with a bar for each file; return a line that says what there is now.

    Raises
    ------
    FileNotFoundError
        No address answered.
    ValueError
        A file is damaged.
    """
    folder = data_folder(root)
    was_present = is_present(name, folder)
    images = load(name, root=folder, download=True)  # torchvision's own bars, and its checksums
    where = f"in {folder}" if name in NAMED else "in advad"
    return f"{name}: {len(images):,} images {where}{' already' if was_present else ''}"
