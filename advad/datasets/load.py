"""Image sets as one `uint8` tensor in memory.

`digits` is embedded; MNIST, its successors and CIFAR lie on the disk and are downloaded only when asked;
`.npz` files and folders of images are anybody's own. No pickle is ever loaded: CIFAR-10 and CIFAR-100 are
read from their authors' *binary* version, because the one that torchvision reads is made of pickles.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np
import torch

from advad.checks import check_choice, check_number, reject
from advad.datasets import torchvision_sets
from advad.datasets.folders import read_folder
from advad.datasets.formats import read_npz
from advad.datasets.imageset import ImageSet
from advad.datasets.pixels import resized, with_channels
from advad.environment import checkout

__all__ = ["ImageSet", "data_folder", "load"]

DIGITS_TEST = 540  # the last 30 % of 1,797, fixed: a set with no official split needs one that all share


def load(
    name_or_path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    size: int | None = None,
    channels: int | None = None,
) -> ImageSet:
    """Return an image set, by its name or from a file or folder.

    Parameters
    ----------
    name_or_path : str or path
        One of

        - "digits": embedded, 8×8, grey; grey values 0…16 are scaled to 0…255; the last 540 of 1,797
          images are its test part;
        - "MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", from `root` (see `named`);
        - the path of an `.npz` file with MedMNIST's key names (see `formats.read_npz`);
        - the path of a folder of images (see `folders`).

        A relative path is looked up in the working directory, then in `root`.
    root : path, optional
        The folder that holds the sets; else the environment variable ADVAD_DATA, else `data/`.
    download : bool
        Whether a named set that is missing may be downloaded to `root`.
    size : int, optional
        Height and width to resize to (bilinear, antialiased, aspect ratio not kept).
    channels : {1, 3}, optional
        1 makes grey of colour, 3 colour of grey. By default as the set is; for a folder, 1 if the modes
        of all files are grey, else 3.

    Returns
    -------
    ImageSet

    Raises
    ------
    FileNotFoundError
        The set is not there; the message names the folder and both remedies.
    ValueError
        An unknown name, a damaged file, a wrong shape, an empty class, mixed sizes without `size`.
    TypeError
        An argument or array of another type.

    Notes
    -----
    CIFAR-10 and CIFAR-100 are read from their authors' binary version (`cifar-10-batches-bin`,
    `cifar-100-binary`), never from pickles.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        reject("load", "name_or_path", "be a name or a path", name_or_path, error=TypeError)
    if size is not None:
        check_number("load", "size", size, 1, integer=True, remedy="It is the new height and width in pixels.")
    if channels is not None:
        check_choice("load", "channels", channels, (1, 3))

    folder = data_folder(root)
    if name_or_path == "digits":
        images = _digits()
    elif name_or_path in torchvision_sets.NAMES:
        images = ImageSet(str(name_or_path), *torchvision_sets.read_named(str(name_or_path), folder, download))
    else:
        path = _find(name_or_path, folder)
        if path.is_dir():  # its images may differ in size and mode, so it converts them one by one
            return ImageSet(path.name, *read_folder(path, size, channels))
        images = ImageSet(path.stem, *read_npz(path))

    pixels = images.images if channels is None else with_channels(images.images, channels)
    pixels = pixels if size is None else resized(pixels, size)
    return ImageSet(images.name, pixels, images.labels, images.classes, images.is_test)


def data_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute path of the folder of all sets: `root`, else $ADVAD_DATA, else `data/`.

    `data/` is the checkout's, wherever a notebook's kernel works; without a checkout, the working directory's.
    """
    home = checkout()
    data = Path("data") if home is None else home / "data"
    return Path(root or os.environ.get("ADVAD_DATA") or data).expanduser().resolve()


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
    path = Path(name).expanduser()
    for candidate in (path, root / path):
        if candidate.is_dir() and os.fspath(name):  # an empty name is not the working directory
            return candidate.resolve()
        if candidate.is_file():
            if candidate.suffix.lower() != ".npz":
                remedy = "Images lie in a folder, one folder a class."
                reject("load", "a file", "be an .npz file", candidate.name, remedy)
            return candidate.resolve()
    if path.suffix or len(path.parts) > 1:
        places = f"{path}" if path.is_absolute() else f"{Path.cwd()} or {root}"
        remedy = "root=… or the environment variable ADVAD_DATA names another folder."
        reject("load", "the file or folder", f"lie in {places}", os.fspath(name), remedy, FileNotFoundError)
    choices = ("digits", *torchvision_sets.NAMES)
    rule = f"be one of {', '.join(choices)}, or the path of a folder or .npz file"
    lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(os.fspath(name).lower(), lower, n=1)
    remedy = f"Did you mean {lower[close[0]]!r}?" if close else f"No folder of that name is in {Path.cwd()} or {root}."
    reject("load", "name", rule, os.fspath(name), remedy)
