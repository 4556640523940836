"""Files that hold many images each: idx (MNIST), CIFAR's binary version, .npz with MedMNIST's key names.

Each reader checks the whole file before it returns anything. None of them unpickles.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from advad.checks import reject
from advad.datasets.pixels import check_memory, chunks, converted, converted_shape

DAMAGED = "It is damaged: delete it, then pass download=True or put a good copy there."
MAX_CLASSES = 10_000  # a label beyond is an identifier, and a name for every number up to it would fill the memory


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


def read_cifar(path: Path, label_bytes: int, label_byte: int = -1) -> tuple[Tensor, Tensor]:
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
    label_byte : int
        Which of them is the label: of CIFAR-100's, 0 is the superclass (coarse) and 1 the class (fine).

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
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), records[:, :label_bytes][:, label_byte].long()


def read_npz(
    path: Path, size: int | None = None, channels: int | None = None
) -> tuple[Tensor, Tensor, tuple[str, ...], Tensor, tuple[str, ...]]:
    """Return everything an .npz file with MedMNIST's key names holds.

    `train_images` and `train_labels` must be there; `val_images` and `val_labels` join the training
    part where they are; `test_images` and `test_labels` are the official test part.
    Images are uint8, (N, H, W) or (N, H, W, C), of any size; labels are whole numbers from 0, (N,) or (N, 1), or, where
    an image may have several, 0 and 1 of shape (N, L), as in ChestMNIST.

    All sizes are checked before an image is read, and images are converted while they are read. So the memory needed
    is that of the result, and little beside it.

    Parameters
    ----------
    path : Path
        The file.
    size : int or None
        Height and width to resize to.
    channels : {1, 3, None}
        Number of channels to convert to.

    Returns
    -------
    images, labels, is_test : Tensor
        As in `torchvision_sets.read_named`.
    classes : tuple of str
        "0", "1", … up to the highest label. Of labels (N, L): "no label", "label 0", … for images with that label
        only, and "several labels".
    unread : tuple of str
        Names of the arrays that were not read.

    Raises
    ------
    ValueError
        Truncated, pickled objects inside, a key missing, a wrong shape, volumes, a label of 10,000 or more, several
        labels an image that are not 0 and 1, more images than the memory can hold.
    TypeError
        Images or labels of another dtype.
    """
    if not zipfile.is_zipfile(path):
        content = f"{path.stat().st_size} bytes of something else"
        reject("load", str(path), "be a complete .npz file", content, "It may be truncated: put a good copy there.")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_parts(path, archive, size, channels)
    # RuntimeError: an encrypted archive; NotImplementedError: a compression that Python cannot read
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        reject("load", str(path), "be a complete .npz file", str(error), "It is damaged: put a good copy there.")


class _Array(NamedTuple):
    """What the header of a stored array says of it."""

    name: str
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype


def _read_parts(
    path: Path, archive: zipfile.ZipFile, size: int | None, channels: int | None
) -> tuple[Tensor, Tensor, tuple[str, ...], Tensor, tuple[str, ...]]:
    """Return what `read_npz` does, from the opened archive."""
    arrays = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
    headers: list[tuple[str, _Array, _Array]] = []
    for part in ("train", "val", "test"):
        keys = f"{part}_images", f"{part}_labels"
        present = [key for key in keys if key in arrays]
        if len(present) == 1 or (part == "train" and not present):
            reject("load", str(path), f"hold both {keys[0]} and {keys[1]}", sorted(arrays))
        if present:
            images, labels = (_header(path, archive, arrays[key]) for key in keys)
            _check_images(path, keys[0], images)
            headers.append((part, images, labels))

    shapes = [(images.shape[0], *_channels_first(images.shape)) for _, images, _ in headers]
    if len({shape[1:] for shape in shapes}) > 1:
        distinct = sorted({shape[1:] for shape in shapes})
        reject("load", str(path), "hold images of one shape (C, H, W) in all its parts", distinct)
    total = converted_shape((sum(shape[0] for shape in shapes), *shapes[0][1:]), size, channels)
    check_memory(path, total)
    parts = [
        (part == "test", images, _read_labels(path, archive, f"{part}_labels", labels, images.shape[0]))
        for part, images, labels in headers
    ]
    result, start = torch.empty(total, dtype=torch.uint8), 0
    for _, images, labels in parts:
        _read_images(path, archive, images, result[start : start + len(labels)], size, channels)
        start += len(labels)
    widths = sorted({labels.shape[1:] for _, _, labels in parts})
    if len(widths) > 1:
        reject("load", str(path), "hold as many labels for each image in all its parts", [list(w) for w in widths])
    labels, classes = _classes_of(torch.cat([labels for _, _, labels in parts]))
    is_test = torch.cat([torch.full((len(labels),), test) for test, _, labels in parts])
    read = {images.name for _, images, _ in parts}
    unread = tuple(key for key, name in arrays.items() if name not in read and not key.endswith("_labels"))
    return result, labels, classes, is_test, unread


def _header(path: Path, archive: zipfile.ZipFile, name: str) -> _Array:
    """Return what the header of one stored array says, without reading the array."""
    with archive.open(name) as stream:
        array = _Array(name, *_parse_header(path, stream))
        stored = archive.getinfo(name).file_size - stream.tell()
    announced = math.prod(array.shape) * array.dtype.itemsize
    if stored != announced:
        rule = f"hold {announced:,} bytes, as its header says"
        reject("load", f"{name} of {path}", rule, f"{stored:,}", "It is damaged: put a good copy there.")
    return array


def _parse_header(path: Path, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header at the beginning of a stored array: shape, whether in Fortran order, dtype."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, is_fortran, dtype = readers[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError):
        dtype = np.dtype(object)
    if dtype.hasobject:  # NumPy's own message advises allow_pickle=True
        remedy = "Pickled objects are never loaded: save images and labels as plain arrays."
        reject("load", str(path), "hold plain arrays only", "an object array or a broken one", remedy)
    return shape, is_fortran, dtype


def _check_images(path: Path, key: str, images: _Array) -> None:
    """Check that an array holds images, by its header."""
    owner, shape, form = f"{key} of {path}", images.shape, f"shape {images.shape} and dtype {images.dtype}"
    if images.dtype != np.uint8:
        reject("load", owner, "be uint8, 0 to 255", form, error=TypeError)
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] not in (1, 3)) or 0 in shape:
        is_volume = len(shape) == 5 or (len(shape) == 4 and shape[-1] > 4)
        remedy = "Volumes (3-D) are not read: save slices of them, (N, H, W)." if is_volume else ""
        reject("load", owner, "have shape (N, H, W) or (N, H, W, C) with 1 or 3 channels", form, remedy)


def _channels_first(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (C, H, W) of images stored as (N, H, W) or (N, H, W, C)."""
    return (shape[3] if len(shape) == 4 else 1), shape[1], shape[2]


def _classes_of(labels: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Return one class number an image, (N,) or (N, L) -> (N,), and the names of the classes."""
    if labels.ndim == 1:
        return labels, tuple(str(number) for number in range(int(labels.max()) + 1))
    n_labels = labels.shape[1]
    count = labels.sum(1)
    single = labels.argmax(1) + 1
    numbers = torch.where(count == 1, single, torch.where(count == 0, 0, n_labels + 1))
    return numbers, ("no label", *(f"label {k}" for k in range(n_labels)), "several labels")


def _read_labels(path: Path, archive: zipfile.ZipFile, key: str, labels: _Array, count: int) -> Tensor:
    """Return one part's labels as (N,) or (N, L), int64, checked by their header before they are read."""
    owner, form = f"{key} of {path}", f"shape {labels.shape} and dtype {labels.dtype}"
    if labels.dtype.kind not in "ui":
        reject("load", owner, "be whole numbers", form, error=TypeError)
    several = len(labels.shape) == 2 and labels.shape[1] > 1
    if labels.shape[:1] != (count,) or len(labels.shape) > 2 or 0 in labels.shape:
        reject("load", owner, f"hold labels for each of {count} images", form)
    with archive.open(labels.name) as stream:
        try:
            values = np.lib.format.read_array(stream, allow_pickle=False)
        except ValueError as error:
            reject("load", owner, "be complete", str(error), "It is damaged: put a good copy there.")
    if int(values.max()) >= MAX_CLASSES:
        remedy = "Such numbers are identifiers: number the classes from 0."
        reject("load", owner, f"be class numbers below {MAX_CLASSES:,}", int(values.max()), remedy)
    if int(values.min()) < 0:
        reject("load", owner, "be class numbers from 0", int(values.min()), "Number the classes from 0.")
    if several and int(values.max()) > 1:
        remedy = "They say which of several labels an image has. One class an image is (N,) or (N, 1)."
        reject("load", owner, f"be 0 or 1 where each image has {values.shape[1]}", int(values.max()), remedy)
    return torch.from_numpy(values.astype(np.int64).reshape(labels.shape if several else count))


def _read_images(
    path: Path, archive: zipfile.ZipFile, images: _Array, result: Tensor, size: int | None, channels: int | None
) -> None:
    """Read one part's images into `result`, (N, C, H, W), converted some at a time."""
    row = math.prod(images.shape[1:])
    with archive.open(images.name) as stream:
        if images.is_fortran:  # columns come first, so there is no reading it row by row
            whole = np.ascontiguousarray(np.lib.format.read_array(stream, allow_pickle=False)).reshape(-1, row)
        else:
            whole = None
            _parse_header(path, stream)
        for rows in chunks(images.shape[0], row):
            count = rows.stop - rows.start
            content = bytearray(stream.read(count * row)) if whole is None else whole[rows]
            if whole is None and len(content) < count * row:
                raise EOFError(f"{images.name} ends after {rows.start + len(content) // row} images")
            pixels = torch.from_numpy(np.frombuffer(content, np.uint8).reshape(count, *images.shape[1:]))
            pixels = pixels[..., None] if pixels.ndim == 3 else pixels  # (n, H, W) -> (n, H, W, 1)
            result[rows] = converted(pixels.permute(0, 3, 1, 2).contiguous(), size, channels)
        stream.read(1)  # at the end of the stream, the archive compares its checksum
