"""Where advad runs: its files in a checkout or in the installed package, its version, git state and hardware."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NO_CACHE = "ADVAD_NO_CACHE"  # set where no training is to be taken from an earlier one
UNATTENDED = "ADVAD_UNATTENDED"  # set in kernels that run a lesson without a reader, who could predict something
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "plotly")  # they decide a run's numbers
PACKAGE = Path(__file__).resolve().parent  # advad/
SHIPPED = PACKAGE / "_shipped"  # where the wheel has what lies beside advad/ in a checkout; see pyproject.toml


def import_folder() -> Path:
    """Return the folder that holds the package advad/, as an entry of PYTHONPATH."""
    return PACKAGE.parent


def checkout() -> Path | None:
    """Return the root of the git checkout that advad is imported from; None where it is installed as a package."""
    root = import_folder()
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def shipped(path: str) -> Path:
    """Return where a file or folder lies that advad ships beside its code; the checkout's is preferred.

    Parameters
    ----------
    path : str
        Relative to the root of a checkout: "data/published.csv", "notebooks".
    """
    return (checkout() or SHIPPED) / path


def private_folder(name: str) -> Path:
    """Return a folder among the temporary files that only this user can write, the same for all their processes.

    Another user may have made a folder of this name before, to make us load files of theirs; in that case a new folder
    is made.
    """
    folder = Path(tempfile.gettempdir()) / f"advad_{name}_{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    is_ours = stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())
    if not is_ours or (os.name == "posix" and status.st_mode & 0o077):
        return Path(tempfile.mkdtemp(prefix=f"advad_{name}_"))
    return folder


def git_state() -> dict[str, Any] | None:
    """Return the checkout's commit and whether it was changed; None without a checkout or without git."""
    root = checkout()
    if root is None:
        return None
    git = ["git", "-C", str(root)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "changed": bool(changed.strip())}


def hardware(device: torch.device) -> str:
    """Return what a run computes on: the name of the GPU, or the processor and its number of threads."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    n = torch.get_num_threads()
    return f"{platform.machine()} {device.type.upper()}, {n} thread{'s' * (n > 1)}"


def versions() -> dict[str, str]:
    """Return the versions of Python, advad and the packages that decide its numbers; "missing" where one is."""
    import advad

    installed = {"python": platform.python_version(), "advad": advad.__version__}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "missing"
    return installed
