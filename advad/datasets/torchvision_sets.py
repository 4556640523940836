"""The named sets on the disk: MNIST, FashionMNIST, KMNIST in torchvision's layout, CIFAR in its binary version.

CIFAR-100 has two names: `CIFAR100` has its 100 classes (fine labels), `CIFAR100-coarse` the same images with their
20 superclasses (coarse labels).

Torchvision gives the layout, the mirrors and the checksums; the files are read here, because its own classes
unpickle: always for CIFAR (hence the authors' *binary* version instead), and for MNIST where an old
`processed/*.pt` lies beside the files. Without a download, torchvision is not even imported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from advad.checks import reject
from advad.datasets.formats import read_cifar, read_idx

IDX_CLASSES = {
    "MNIST": tuple("0123456789"),
    "FashionMNIST": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "KMNIST": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
IDX_TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
IDX_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class CifarFiles:
    """The files of one CIFAR set, and the archive they come from."""

    folder: str
    train: tuple[str, ...]
    test: str
    class_names: str
    label_bytes: int
    archive: str
    md5: str  # as published on the authors' page
    label_byte: int = -1  # which of the label bytes is read


CIFAR = {
    "CIFAR10": CifarFiles(
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test="test_batch.bin",
        class_names="batches.meta.txt",
        label_bytes=1,
        archive="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
    ),
    "CIFAR100": CifarFiles(
        folder="cifar-100-binary",
        train=("train.bin",),
        test="test.bin",
        class_names="fine_label_names.txt",
        label_bytes=2,
        archive="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
    ),
}
CIFAR["CIFAR100-coarse"] = replace(CIFAR["CIFAR100"], class_names="coarse_label_names.txt", label_byte=0)
NAMES = (*IDX_CLASSES, *CIFAR)
Part = tuple[Tensor, Tensor]  # images (N, C, H, W), labels (N,)


def read_named(name: str, root: Path, download: bool) -> tuple[Tensor, Tensor, tuple[str, ...], Tensor]:
    """Return everything a named set holds, the training part first.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    root : Path
        The folder of all sets.
    download : bool
        Whether to download what is missing.

    Returns
    -------
    images : Tensor of shape (N, C, H, W), uint8
    labels : Tensor of shape (N,), int64
    classes : tuple of str
    is_test : Tensor of shape (N,), bool

    Raises
    ------
    FileNotFoundError
        A file is missing, or could not be downloaded.
    ValueError
        A file is damaged.
    """
    read = _read_idx_set if name in IDX_CLASSES else _read_cifar_set
    (images, labels), (test_images, test_labels), classes = read(name, root, download)
    if images.shape[1:] != test_images.shape[1:]:
        sizes = [tuple(part.shape[1:]) for part in (images, test_images)]
        reject("load", f"{name} in {root}", "have training and test images of one shape", sizes)
    is_test = torch.arange(len(labels) + len(test_labels)) >= len(labels)
    return torch.cat([images, test_images]), torch.cat([labels, test_labels]), classes, is_test


def _read_idx_set(name: str, root: Path, download: bool) -> tuple[Part, Part, tuple[str, ...]]:
    """Return the training part, the test part and the classes of MNIST or one of its successors."""
    folder, needed = _files_of(name, root)
    if _lacks(folder, needed, name, download):
        from torchvision import datasets

        source = getattr(datasets, name)
        for archive, md5 in source.resources:
            _download([mirror + archive for mirror in source.mirrors], folder, archive, md5)

    parts = []
    for images_file, labels_file in (IDX_TRAIN, IDX_TEST):
        images = read_idx(folder / images_file, dimensions=3)
        labels = read_idx(folder / labels_file, dimensions=1)
        if len(images) != len(labels):
            rule = f"hold one label for each of {len(images)} images in {images_file}"
            reject("load", str(folder / labels_file), rule, len(labels))
        parts.append((images.unsqueeze(1), labels.long()))  # (N, H, W) -> (N, 1, H, W)
    return parts[0], parts[1], IDX_CLASSES[name]


def _read_cifar_set(name: str, root: Path, download: bool) -> tuple[Part, Part, tuple[str, ...]]:
    """Return the training part, the test part and the classes of CIFAR-10 or CIFAR-100, with fine or coarse labels."""
    files = CIFAR[name]
    folder, needed = _files_of(name, root)
    if _lacks(folder, needed, name, download):
        _download([f"https://www.cs.toronto.edu/~kriz/{files.archive}"], root, files.archive, files.md5)

    *batches, test = (
        read_cifar(folder / file, files.label_bytes, files.label_byte) for file in (*files.train, files.test)
    )
    images, labels = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    classes = tuple((folder / files.class_names).read_text(encoding="utf-8").split())
    return (images, labels), test, classes


def check_present(name: str, root: Path) -> None:
    """Raise FileNotFoundError where a file of a named set is missing; a name that is not one of `NAMES` passes."""
    if name in NAMES:
        _lacks(*_files_of(name, root), name, download=False)


def _files_of(name: str, root: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of a named set, and its files."""
    if name in IDX_CLASSES:
        return root / name / "raw", IDX_TRAIN + IDX_TEST
    files = CIFAR[name]
    return root / files.folder, (*files.train, files.test, files.class_names)


def _lacks(folder: Path, files: tuple[str, ...], name: str, download: bool) -> bool:
    """Return whether files are missing that may be downloaded; raise if they may not."""
    missing = [file for file in files if not (folder / file).is_file()]
    if missing and not download:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        version = " (the binary version: pickles are never read)" if name in CIFAR else ""
        raise FileNotFoundError(
            f"load: {name} must lie in {folder}; got no {missing[0]}{more} there. `advad data {name}` or "
            f"download=True fetches it; or put its files{version} there, or name the folder of all sets by root=… or "
            "the environment variable ADVAD_DATA."
        )
    return bool(missing)


def _download(urls: list[str], folder: Path, archive: str, md5: str) -> None:
    """Download an archive from the first address that answers, check it, and unpack it beside itself."""
    from torchvision.datasets.utils import download_and_extract_archive

    reason = ""
    for url in urls:
        try:
            return download_and_extract_archive(url, str(folder), filename=archive, md5=md5)
        except (OSError, RuntimeError, HTTPException) as error:  # no network, a broken transfer, a wrong checksum
            reason = str(error)
    remedy = f"Check the network, or unpack {archive} in {folder} yourself."
    reject("load", archive, f"be downloaded from {' or '.join(urls)}", reason, remedy, FileNotFoundError)
