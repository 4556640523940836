"""Trainings that are kept, so that two lessons, or two runs of one, need not do the same one twice: `lesson.fit`.

Each is kept as a run folder of its detector (`Detector.fit`, `run_dir`), named by a digest of all that its result
depends on: the method, every parameter, the images and labels, the processor with its threads, and the code that
trains. So nothing that is kept can be out of date; what is not used for long gives way to newer ones.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advad.engine.detector import Detector
from advad.engine.training import choose_device
from advad.environment import NO_CACHE, versions
from advad.files import to_json

LIMIT = 2**30  # bytes in all
PACKAGES = ("engine", "methods", "networks")  # whose code a training runs


def fit(
    detector: Detector,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    folder: Path,
    on_epoch: Callable[[Any], object] | None = None,
    progress: bool = True,
) -> Detector:
    """Train a detector, or give it the state in which an earlier training of the same ended; return it.

    Parameters
    ----------
    detector, images, labels, on_epoch, progress
        As in `Detector.fit`. With `on_epoch` it is trained in any case, since somebody watches; the result is kept.
    folder : Path
        Where trainings are kept. Where the environment variable `ADVAD_NO_CACHE` is set, none is looked for.
    """
    train = functools.partial(detector.fit, images, labels, on_epoch=on_epoch, progress=progress)
    if NO_CACHE in os.environ or type(detector).__module__ == "__main__":  # a class of the notebook may change
        return train()
    place = folder / digest(detector, images, labels)
    try:
        train(run_dir=place, resume=on_epoch is None, checkpoint_every=2**31)
        os.utime(place)  # used now
    except (ValueError, OSError):  # another process is at it, the file is damaged, or the disk full
        return train()
    make_room(folder, LIMIT, current=place)
    return detector


def digest(detector: Detector, images: Tensor, labels: Tensor | None) -> str:
    """Return the name of a training: 32 characters that depend on whatever its result depends on."""
    device = choose_device(detector.device)
    facts = {
        "parameters": detector.get_params(deep=False),
        "processor": [str(device), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()],
        "versions": versions(),
        "code": _code(),
    }
    found = hashlib.sha256(f"{type(detector).__qualname__} {to_json(facts)}".encode())
    for part in (images,) if labels is None else (images, labels):
        array = np.ascontiguousarray(part)
        found.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return found.hexdigest()[:32]


@functools.cache
def _code() -> str:
    """Return a digest of the code that trains."""
    home = Path(__file__).parents[1]
    files = sorted(path for package in PACKAGES for path in (home / package).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def make_room(folder: Path, limit: int, current: Path) -> None:
    """Remove the trainings that were used longest ago until all take at most `limit` bytes; `current` stays."""
    sizes: dict[Path, int] = {}
    used: dict[Path, float] = {}
    for place in folder.iterdir():
        try:  # another process may remove it meanwhile
            sizes[place] = sum(file.stat().st_size for file in place.iterdir())
            used[place] = place.stat().st_mtime
        except OSError:
            continue
    total = sum(sizes.values())
    for place in sorted(used, key=lambda place: used[place]):
        if total <= limit:
            break
        if place != current:
            shutil.rmtree(place, ignore_errors=True)
            total -= sizes[place]
