"""Image sets as one `uint8` tensor in memory.

`digits` is embedded, and a part of MNIST and of Fashion-MNIST comes with advad; the full MNIST, its successors and
CIFAR lie on the disk and are downloaded only when asked; `.npz` files and folders of images are anybody's own. No
pickle is ever loaded: CIFAR-10 and CIFAR-100 are read from their authors' *binary* version, because the one that
torchvision reads is made of pickles.
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advad.checks import LONGEST_SIDE, check_choice, check_number, reject
from advad.datasets import torchvision_sets
from advad.datasets.folders import LeftOutWarning, read_folder, read_groups
from advad.datasets.formats import read_npz
from advad.datasets.imageset import ImageSet
from advad.datasets.packaged import PACKAGED, read_packaged
from advad.datasets.pixels import check_memory, converted, converted_shape
from advad.environment import checkout
from advad.files import expanded

__all__ = ["ImageSet", "data_folder", "load"]

PART_OF = {
    "cifar10_part": "CIFAR10",
    "coil100_32": "COIL100",
}  # name of a set or file -> the data set that it is a part of
PART_OF |= {name: part.whole for name, part in PACKAGED.items()}
NAMES = ("digits", *PACKAGED, *torchvision_sets.NAMES)
DIGITS_TEST = 540  # the last 30 % of 1,797, fixed: a set with no official split needs one that all share


def load(
    name_or_path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    size: int | None = None,
    channels: int | None = None,
    bit_depth: int | None = None,
    groups: str | os.PathLike[str] | Sequence[object] | np.ndarray | None = None,
) -> ImageSet:
    """Return an image set, by its name or from a file or folder.

    Parameters
    ----------
    name_or_path : str or path
        One of

        - "digits": embedded, 8×8, grey; grey values 0…16 are scaled to 0…255; the last 540 of 1,797
          images are its test part;
        - "MNIST-lab", "FashionMNIST-lab": come with advad; the first 2,000 training images of each digit, or 1,000 of
          each kind of clothing, and the whole test part (see `packaged`);
        - "MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", "CIFAR100-coarse" (the 20 superclasses), from
          `root` (see `named`);
        - the path of an `.npz` file with MedMNIST's key names (see `formats.read_npz`);
        - the path of a folder of images (see `folders`).

        A relative path is looked up in the working directory, then in `root`.
    root : path, optional
        The folder that holds the sets; else the environment variable ADVAD_DATA, else `data/`.
    download : bool
        Whether a named set that is missing may be downloaded to `root`.
    size : int, optional
        Height and width in pixels to resize to (bilinear, antialiased, aspect ratio not kept).
    channels : {1, 3}, optional
        1 makes grey of colour, 3 colour of grey. By default as the set is; for a folder, 1 if the modes
        of all files are grey, else 3.
    bit_depth : int in [8, 16], optional
        Only for a folder: how many bits the values of its 16-bit files use. By default the smallest of 8, 10, 12, 14
        and 16 that holds all values of the folder. New images must be read with the `bit_depth` of those that a
        detector was trained on.
    groups : path or sequence of N labels, optional
        The group of each image (a patient, a part, a day), for splits by group: a sequence in the order of the
        images, or, for a folder, a CSV table with the columns `file` (relative to the folder) and `group`.

    Returns
    -------
    ImageSet
        Its `report` is one sentence that says what was read, how, and what was left out and why.

    Raises
    ------
    FileNotFoundError
        The set is not there; the message names the folder and both remedies.
    ValueError
        An unknown name, a damaged file, a wrong shape, mixed sizes without `size`, more images than the memory holds,
        a folder that can be read in several ways.
    TypeError
        An argument or array of another type.

    Warns
    -----
    LeftOutWarning
        Images of a folder were left out, or they look as if they were read wrongly: the report.

    Notes
    -----
    No pickle is ever loaded: CIFAR is read from its authors' *binary* version (`cifar-10-batches-bin`,
    `cifar-100-binary`), object arrays are refused.

    Examples
    --------
    >>> import advad
    >>> images = advad.load("digits", size=28)
    >>> images
    ImageSet(digits: 1797 images of 1×28×28, 10 classes, 540 for test)
    >>> images.images.dtype, images.classes[int(images.labels[0])]
    (torch.uint8, '0')
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        reject("load", "name_or_path", "be a name or a path", name_or_path, error=TypeError)
    if size is not None:
        remedy = "It is the new height and width in pixels."
        check_number("load", "size", size, 1, LONGEST_SIDE, integer=True, remedy=remedy)
    if channels is not None:
        check_choice("load", "channels", channels, (1, 3))

    folder = data_folder(root)
    path = None if name_or_path in NAMES else _find(name_or_path, folder)
    if path is not None and path.is_dir():  # its images may differ in size and mode, so it converts them one by one
        contents = read_folder(path, size, channels, bit_depth)
        report = " ".join(contents.report.split())  # a name may hold line breaks
        if contents.needs_attention:
            warnings.warn(report, LeftOutWarning, stacklevel=2)
        images = ImageSet(*contents[:6], files=contents.files, bit_depth=contents.bit_depth, report=report)
        return _with_groups(images, groups)
    if bit_depth is not None:
        reject("load", "bit_depth", "be given for a folder of images only", bit_depth)

    unread: tuple[str, ...] = ()
    if path is not None:
        pixels, labels, classes, is_test, unread = read_npz(path, size, channels)
        images = ImageSet(path.stem, pixels, labels, classes, is_test)
    else:
        name = str(name_or_path)
        images = _named(name, folder, download)
        check_memory(name, converted_shape(tuple(images.images.shape), size, channels))
        images = replace(images, images=converted(images.images, size, channels))
    report = f"load: took {len(images)} images of {len(images.classes)} classes from {path or name_or_path}"
    report += "; an image may have several labels, so the classes are which one it has" * ("no label" in images.classes)
    report += f"; left out the arrays {', '.join(unread)}." if unread else "."
    return _with_groups(replace(images, report=report), groups)


def _with_groups(images: ImageSet, groups: Any) -> ImageSet:
    """Return the set with its groups, from a sequence or from the table that a path names."""
    if groups is None:
        return images
    if isinstance(groups, (str, os.PathLike)):
        path = expanded(groups)
        if not path.is_file():
            reject("load", "groups", "be a sequence or a CSV file that exists", str(groups), error=FileNotFoundError)
        if images.files is None:
            reject("load", "groups", "be a sequence where the set is no folder", str(groups))
        return replace(images, groups=read_groups(path, images.files))
    names = tuple(str(group) for group in (groups.tolist() if hasattr(groups, "tolist") else groups))
    if len(names) != len(images):
        reject("load", "groups", f"hold one group for each of {len(images)} images", len(names))
    return replace(images, groups=names)


def data_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute path of the folder of all sets: `root`, else $ADVAD_DATA, else `data/`.

    `data/` is the checkout's, wherever a notebook's kernel works; without a checkout, the working directory's.
    """
    home = checkout()
    data = Path("data") if home is None else home / "data"
    return expanded(root or os.environ.get("ADVAD_DATA") or data).resolve()


def _named(name: str, folder: Path, download: bool) -> ImageSet:
    """Return the set of that name, one of `NAMES`."""
    if name == "digits":
        return _digits()
    if name in PACKAGED:
        return read_packaged(name)
    return ImageSet(name, *torchvision_sets.read_named(name, folder, download))


def _digits() -> ImageSet:
    """Return scikit-learn's handwritten digits."""
    from sklearn.datasets import load_digits

    pixels, labels = (np.asarray(array) for array in load_digits(return_X_y=True))  # (N, 64), (N,)
    grey = (pixels * (255 / 16)).round().astype(np.uint8)
    images = torch.from_numpy(grey).reshape(-1, 1, 8, 8)
    is_test = torch.arange(len(images)) >= len(images) - DIGITS_TEST
    return ImageSet("digits", images, torch.from_numpy(labels).long(), tuple("0123456789"), is_test)


def _find(name: str | os.PathLike[str], root: Path) -> Path:
    """Return the folder or .npz file of that name, in the working directory or in `root`."""
    path = expanded(name)
    for candidate in (path, root / path):
        if candidate.is_dir() and os.fspath(name):  # an empty name is not the working directory
            return candidate.resolve()
        if candidate.is_file():
            if candidate.suffix.lower() != ".npz":
                remedy = "Images lie in a folder, one folder per class."
                reject("load", "a file", "be an .npz file", candidate.name, remedy)
            return candidate.resolve()
    if path.suffix or len(path.parts) > 1:
        places = f"{path}" if path.is_absolute() else f"{Path.cwd()} or {root}"
        remedy = "root=… or the environment variable ADVAD_DATA names another folder."
        reject("load", "the file or folder", f"lie in {places}", os.fspath(name), remedy, FileNotFoundError)
    rule = f"be one of {', '.join(NAMES)}, or the path of a folder or .npz file"
    lower = {known_name.lower(): known_name for known_name in NAMES}
    close = difflib.get_close_matches(os.fspath(name).lower(), lower, n=1)
    remedy = f"Did you mean {lower[close[0]]!r}?" if close else f"No folder of that name is in {Path.cwd()} or {root}."
    reject("load", "name", rule, os.fspath(name), remedy)
