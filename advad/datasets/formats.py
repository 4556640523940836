"""Files that hold many images each: idx (MNIST), CIFAR's binary version, .npz with MedMNIST's key names.

Each reader checks the whole file before it returns anything. None of them unpickles.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advad.checks import reject

DAMAGED = "It is damaged: delete it, then pass download=True or put a good copy there."


def read_idx(path: Path, dimensions: int) -> Tensor:
    """Return the array of an idx file of bytes, the format of MNIST and its successors.

    Parameters
    ----------
    path : Path
        An uncompressed idx file.
    dimensions : int
        1 for labels, 3 for images.

    Returns
    -------
    Tensor of shape (N,) or (N, H, W), uint8

    Raises
    ------
    ValueError
        Not such a file, or truncated.
    """
    content = path.read_bytes()
    start = 4 + 4 * dimensions
    magic = bytes([0, 0, 8, dimensions])  # 8: unsigned bytes
    if len(content) < start or content[:4] != magic:
        reject("load", str(path), f"start as an idx file of {dimensions}-dimensional bytes", content[:4], DAMAGED)
    shape = np.frombuffer(content[4:start], dtype=">i4").astype(np.int64)
    if len(content) != start + shape.prod():
        rule = f"hold {start + shape.prod()} bytes, as its header says"
        reject("load", str(path), rule, len(content), DAMAGED)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def read_cifar(path: Path, label_bytes: int) -> tuple[Tensor, Tensor]:
    """Return images and labels of one file of CIFAR's *binary* version.

    Each record is its label bytes (CIFAR-10: the class; CIFAR-100: the superclass, then the class)
    and then 32×32 red, green and blue values. CIFAR's Python version, which torchvision reads,
    consists of pickles.

    Parameters
    ----------
    path : Path
        Such as `data_batch_1.bin`.
    label_bytes : int
        1 for CIFAR-10, 2 for CIFAR-100.

    Returns
    -------
    images : Tensor of shape (N, 3, 32, 32), uint8
    labels : Tensor of shape (N,), int64

    Raises
    ------
    ValueError
        Truncated, or empty.
    """
    content = np.fromfile(path, dtype=np.uint8)
    record = label_bytes + 3 * 32 * 32
    if len(content) == 0 or len(content) % record:
        reject("load", str(path), f"hold whole records of {record} bytes", f"{len(content)} bytes", DAMAGED)
    records = torch.from_numpy(content.reshape(-1, record))
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), records[:, label_bytes - 1].long()


def read_npz(path: Path) -> tuple[Tensor, Tensor, tuple[str, ...], Tensor]:
    """Return everything an .npz file with MedMNIST's key names holds.

    `train_images` and `train_labels` must be there; `val_images` and `val_labels` join the training
    part where they are; `test_images` and `test_labels` are the official test part.
    Images are uint8, (N, H, W) or (N, H, W, C); labels are whole numbers from 0, (N,) or (N, 1).

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    images : Tensor of shape (N, C, H, W), uint8
    labels : Tensor of shape (N,), int64
    classes : tuple of str
        "0", "1", … up to the highest label.
    is_test : Tensor of shape (N,), bool

    Raises
    ------
    ValueError
        Truncated, pickled objects inside, a key missing, a wrong shape.
    TypeError
        Images or labels of another dtype.
    """
    arrays = _npz_arrays(path)
    parts = []
    for part in ("train", "val", "test"):
        keys = f"{part}_images", f"{part}_labels"
        present = [key for key in keys if key in arrays]
        if len(present) == 1 or (part == "train" and not present):
            reject("load", str(path), f"hold both {keys[0]} and {keys[1]}", sorted(arrays))
        if present:
            images, labels = (arrays[key] for key in keys)
            parts.append((part == "test", *_checked_pair(path, part, images, labels)))

    shapes = {tuple(images.shape[1:]) for _, images, _ in parts}
    if len(shapes) > 1:
        reject("load", str(path), "hold images of one shape (C, H, W) in all its parts", sorted(shapes))
    images = torch.cat([images for _, images, _ in parts])
    labels = torch.cat([labels for _, _, labels in parts])
    is_test = torch.cat([torch.full((len(labels),), test) for test, _, labels in parts])
    classes = tuple(str(number) for number in range(int(labels.max()) + 1))
    return images, labels, classes, is_test


def _npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an .npz file, or raise one line."""
    if not zipfile.is_zipfile(path):
        found = f"{path.stat().st_size} bytes of something else"
        reject("load", str(path), "be a complete .npz file", found, "It may be truncated: put a good copy there.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        reject("load", str(path), "be a complete .npz file", str(error), "It is damaged: put a good copy there.")
    except ValueError:  # NumPy's own message advises allow_pickle=True
        remedy = "Pickled objects are never loaded: save images and labels as plain arrays."
        reject("load", str(path), "hold plain arrays only", "an object array or a broken one", remedy)


def _checked_pair(path: Path, part: str, images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return one part's images as (N, C, H, W) and labels as (N,)."""
    if images.dtype != np.uint8:
        reject("load", f"{part}_images of {path}", "be uint8, 0 to 255", images, error=TypeError)
    if images.ndim == 3:
        images = images[..., None]  # (N, H, W) -> (N, H, W, 1)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        rule = "have shape (N, H, W) or (N, H, W, C) with 1 or 3 channels"
        reject("load", f"{part}_images of {path}", rule, images)
    if labels.dtype.kind not in "ui":
        reject("load", f"{part}_labels of {path}", "be whole numbers", labels, error=TypeError)
    if labels.shape not in ((len(images),), (len(images), 1)):
        reject("load", f"{part}_labels of {path}", f"hold one label for each of {len(images)} images", labels)
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()  # (N, H, W, C) -> (N, C, H, W)
    return channels_first, torch.from_numpy(labels.reshape(-1).astype(np.int64))
