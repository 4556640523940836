"""A folder of images per class: anybody's own images, with or without splits and masks.

Layouts, names sorted, hidden files and `__MACOSX` left out:

    root/<class>/*.png                        no official split
    root/<split>/<class>/*.png                splits `train`, `test`, and optionally `val`, which joins `train`
    root/*.png                                one class, named after the folder; of COIL-100, one class per object
    root/Images/<class>/*, root/Masks/<class>/*                      VisA

Splits may also be called `training`, `valid`, `validation`, `testing`. A class folder whose images lie in one folder
inside it is read, too, and so is a root that holds nothing but one such set.

Masks are recognised

- in `ground_truth/<class>/`, named `<stem>_mask.png` (MVTec AD) or `<stem>.png` (VisA, BTAD), or in a folder
  `<stem>/` (MVTec LOCO, several per image); with splits, a mask belongs to the *test* image of that class and stem;
- beside their images, named `<stem>_mask`, `_gt`, `_label`, `_seg` or `_groundtruth`;
- beside their images, of the same stem and another suffix, if one of the two has at most eight grey values.

An image without a mask has no anomalous pixel. Any value but 0 marks a pixel; in a JPEG, any value above 127.

Grey files of 16 bits often hold 8, 10, 12 or 14: all of a folder are scaled alike, by the smallest of these depths
that holds all their values, and `load` refuses a folder whose files seem to use different ones.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from advad.checks import reject
from advad.datasets.image_files import read_image, used_depth
from advad.datasets.layouts import Layout, find_layout
from advad.datasets.masks import ImageFile, read_masks
from advad.datasets.pixels import check_memory, resized, with_channels


class LeftOutWarning(UserWarning):
    """Images of a folder were left out, or read in a way that should be known."""


class FolderImages(NamedTuple):
    """What `read_folder` returns: the fields of an ImageSet, and whether its report must be shown."""

    name: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    is_test: Tensor
    masks: Tensor | None
    files: tuple[str, ...]
    bit_depth: int
    report: str
    needs_attention: bool


def read_folder(folder: Path, size: int | None, channels: int | None, bit_depth: int | None = None) -> FolderImages:
    """Return everything a folder of images holds.

    Parameters
    ----------
    folder : Path
        In one of the layouts above.
    size : int or None
        Height and width to resize to; None where all images already have one size.
    channels : {1, 3, None}
        None: 1 if the modes of all files are grey, else 3.
    bit_depth : int in [8, 16] or None
        How many bits the values of 16-bit files use; None finds it out from all of them.

    Returns
    -------
    FolderImages
        `images` uint8 of shape (N, C, H, W); `labels` int64 of shape (N,), positions in `classes`, which are sorted;
        `is_test` bool of shape (N,); `masks` uint8 of shape (N, H, W), 1 where anomalous, or None without any.

    Raises
    ------
    ValueError
        Another layout, a class folder whose images cannot be read, a damaged image, mixed sizes without `size`,
        a mask that fits no image, 16-bit files of different depths.
    """
    layout = find_layout(folder)
    image_files = layout.image_files
    depth, depth_note = used_depth(layout.root, [image_file.path for image_file in image_files], bit_depth)
    classes = tuple(sorted({image_file.label for image_file in image_files}))
    labels = torch.tensor([classes.index(image_file.label) for image_file in image_files])
    is_test = torch.tensor([image_file.is_test for image_file in image_files])

    native = []  # (C, H, W) each, as the files are
    shapes: list[tuple[int, int]] = []
    for image_file in image_files:
        image = read_image(image_file.path, depth)
        shapes.append((image.shape[-2], image.shape[-1]))
        if size is not None:
            image = resized(image[None], size)[0]
        elif shapes[-1] != shapes[0]:
            (h, w), (other_h, other_w) = shapes[0], shapes[-1]
            sizes = f"{h}×{w} ({image_files[0].path.name}) and {other_h}×{other_w} ({image_file.path.name})"
            remedy = "Pass size=64, say, to resize them."
            raise ValueError(f"load: images of {folder} must have one size; got {sizes}. {remedy}")
        if not native:
            check_memory(folder, (len(image_files), *image.shape))
        native.append(image)
    channels = channels or max(len(image) for image in native)
    images = torch.stack([with_channels(image, channels) for image in native])

    masks, warnings = read_masks(image_files, shapes, size) if layout.has_masks else (None, [])
    warnings += _left_out_note(layout) + depth_note
    brightest = int(images.max())
    if brightest < 16:
        warnings.append(f"its brightest pixel is {brightest} of 255, so the images are nearly black")
    report = "; ".join([_taken_note(folder, layout, classes, labels, masks), *layout.notes, *warnings]) + "."
    files = tuple(image_file.path.relative_to(layout.root).as_posix() for image_file in image_files)
    attention = bool(warnings) and warnings != depth_note
    name = layout.root.name if layout.root.name.lower() != "data" else layout.root.parent.name  # as in VisA
    return FolderImages(name, images, labels, classes, is_test, masks, files, depth, report, attention)


def list_image_files(folder: Path) -> list[ImageFile]:
    """Return the image files of a folder, in the order of split, class and name."""
    return find_layout(folder).image_files


def _left_out_note(layout: Layout) -> list[str]:
    """Return what was left out, as a part of the report; empty if nothing was."""
    parts = [
        f"{n} {reason}" if n else reason for reason, n in layout.left_out.items() if n or "without images" in reason
    ]
    return [f"left out {', '.join(parts)}"] if parts else []


def _taken_note(folder: Path, layout: Layout, classes: tuple[str, ...], labels: Tensor, masks: Tensor | None) -> str:
    """Return what was taken, as the beginning of the report."""
    counts = labels.bincount(minlength=len(classes)).tolist()
    listed = ", ".join(f"{name} {n}" for name, n in list(zip(classes, counts, strict=True))[:12])
    listed += ", …" if len(classes) > 12 else ""
    word = "class" if len(classes) == 1 else "classes"
    n_masks = sum(bool(image_file.masks) for image_file in layout.image_files)
    with_masks = "" if masks is None else f", {n_masks} of them with masks"
    images = "1 image" if len(labels) == 1 else f"{len(labels)} images"
    return f"load: took {images} of {len(classes)} {word} ({listed}) from {folder}{with_masks}"


def read_groups(path: Path, files: tuple[str, ...]) -> tuple[str, ...]:
    """Return the group of each file from a CSV table with the columns `file` and `group`.

    Parameters
    ----------
    path : Path
        The table. A file is named relative to the set's folder, or by its bare name where that is unique.
    files : tuple of str
        The set's files, relative to its folder.

    Raises
    ------
    ValueError
        Another header, a file without a group, or with two.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not {"file", "group"} <= {str(name) for name in rows[0]}:
        reject(
            "load", f"groups {path}", "have the columns file and group", sorted(map(str, rows[0])) if rows else "none"
        )
    named: dict[str, str] = {}
    for row in rows:
        name = str(row["file"]).replace("\\", "/").removeprefix("./")
        if named.setdefault(name, row["group"]) != row["group"]:
            reject("load", f"groups {path}", "give each file one group", name)
    bare = Counter(Path(file).name for file in files)
    groups = [named.get(file, named.get(Path(file).name) if bare[Path(file).name] == 1 else None) for file in files]
    if None in groups:
        missing = files[groups.index(None)]
        reject("load", f"groups {path}", "name every image", f"none for {missing}", f"Add the row {missing},<group>.")
    return tuple(str(group) for group in groups)
