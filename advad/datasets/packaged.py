"""Images that come with advad: a part of MNIST and of Fashion-MNIST, and cookies, for the lessons' `lab` profile.

`MNIST-lab` is the first 2,000 training images of each digit and the whole test part, `FashionMNIST-lab` the first
1,000 of each class and the whole test part, in the order of the full sets. So a split of `MNIST-lab` is the split of
a full MNIST whose training part was cut in this way, on every machine, whether the full set is there or not.
`cookie-lab` is a folder of photographs in MVTec AD's layout, with masks: 31 cookies to train on, 14 whole and 32 broken
ones to test on, 96×128 pixels. `data/images/README.md` says where they come from, and under which licences.

    python -m advad.datasets.packaged FOLDER   # writes the files again, from the full sets in FOLDER
"""

from __future__ import annotations

import io
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from advad.checks import reject
from advad.datasets.formats import read_npz
from advad.datasets.imageset import ImageSet
from advad.datasets.torchvision_sets import IDX_CLASSES, read_named
from advad.environment import shipped
from advad.files import replacing


@dataclass(frozen=True)
class Part:
    """A packaged part of a named set: the first `per_class` training images of each class, and the test part."""

    whole: str
    per_class: int


PACKAGED = {"MNIST-lab": Part("MNIST", 2000), "FashionMNIST-lab": Part("FashionMNIST", 1000)}
FOLDERS = {"cookie-lab": "cookie"}  # packaged sets of files: name -> folder
EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of every entry, so that the same images are the same bytes


def read_packaged(name: str) -> ImageSet:
    """Return a packaged set, one of `PACKAGED`.

    Raises
    ------
    FileNotFoundError
        This copy of advad was installed without its images.
    """
    path = file_of(name)
    if not path.is_file():
        rule, remedy = f"come with advad, in {path.parent}", "Install advad again."
        reject("load", name, rule, f"no {path.name} there", remedy, FileNotFoundError)
    images, labels, _, is_test, _ = read_npz(path)
    return ImageSet(name, images, labels, IDX_CLASSES[PACKAGED[name].whole], is_test)


def file_of(name: str) -> Path:
    """Return where the file of a packaged set lies; the folder, where it is one of files.

    Examples
    --------
    >>> sorted(path.name for path in file_of("cookie-lab").iterdir())
    ['ground_truth', 'test', 'train']
    """
    return shipped(f"data/images/{FOLDERS[name]}" if name in FOLDERS else f"data/images/{name}.npz")


def cut(images: ImageSet, per_class: int) -> ImageSet:
    """Return a set without its training images beyond the first `per_class` of each class; the test part stays whole.

    Examples
    --------
    >>> import advad
    >>> cut(advad.load("digits"), per_class=20)
    ImageSet(digits: 740 images of 1×8×8, 10 classes, 540 for test)
    """
    chosen = images.is_test.clone()
    for number in range(len(images.classes)):
        chosen[((images.labels == number) & ~images.is_test).nonzero()[:per_class, 0]] = True
    tensors = {name: getattr(images, name)[chosen] for name in ("images", "labels", "is_test")}
    return replace(images, **tensors)


def write_packaged(images: ImageSet, path: Path) -> Path:
    """Write a grey image set as a compressed `.npz` file with MedMNIST's key names; equal images give equal bytes."""
    parts = {"train": ~images.is_test, "test": images.is_test}
    arrays = {f"{part}_images": images.images[rows, 0].numpy() for part, rows in parts.items()}
    arrays |= {f"{part}_labels": images.labels[rows].to(torch.uint8).numpy() for part, rows in parts.items()}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return path


if __name__ == "__main__":
    for packaged, part in PACKAGED.items():
        whole = ImageSet(part.whole, *read_named(part.whole, Path(sys.argv[1]), download=False))
        print(write_packaged(cut(whole, part.per_class), file_of(packaged)))
