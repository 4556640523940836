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
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from advad.checks import check_number, reject
from advad.datasets.pixels import (
    check_memory,
    from_pillow,
    is_deep_colour,
    is_deep_grey,
    resized,
    resized_masks,
    with_channels,
)

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm"),
    *(".png", ".ppm", ".tif", ".tiff", ".webp"),
)
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # no other, whatever a file is called: not PostScript
NO_IMAGES = (
    ".cfg",
    ".csv",
    ".db",
    ".html",
    ".ini",
    ".json",
    ".log",
    ".md",
    ".pdf",
    ".py",
    ".toml",
    ".txt",
    ".xml",
    ".yaml",
)
SPLITS = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
GROUND_TRUTH = ("ground_truth", "groundtruth", "ground-truth")
MASK_FOLDERS = ("annotation", "annotations", "gt", "label", "labels", "mask", "masks", "segmentation")
MASK_NAME = re.compile(r"(?P<stem>.+)[_\-. ](mask|gt|label|seg|groundtruth|ground_truth)", re.IGNORECASE)
COIL = re.compile(r"obj(?P<number>\d+)__\d+", re.IGNORECASE)
JUNK = ("__macosx", "@eadir", "$recycle.bin", "system volume information")
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners use
FEW_LEVELS = 8  # a mask has at most so many grey values
REMEDY_MASKS = "Masks lie in ground_truth/<class>/<stem>_mask.png."


class LeftOutWarning(UserWarning):
    """Images of a folder were left out, or read in a way that should be known."""


@dataclass(frozen=True)
class Picture:
    """One image file, its class, whether it is of the official test part, and the files of its masks."""

    path: Path
    label: str
    is_test: bool
    masks: tuple[Path, ...] = ()


@dataclass
class Layout:
    """What a folder holds, and what was left out of it.

    Parameters
    ----------
    root : Path
        The folder that is read, below the one that was given where that holds nothing else.
    pictures : list of Picture
    notes : list of str
        How the folder was read, for the report.
    left_out : Counter of str
        Images that were left out: reasons, and how many.
    has_masks : bool
    """

    root: Path
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    has_masks: bool = False


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
    pictures = layout.pictures
    depth, depth_note = _used_depth(layout, bit_depth)
    classes = tuple(sorted({picture.label for picture in pictures}))
    labels = torch.tensor([classes.index(picture.label) for picture in pictures])
    is_test = torch.tensor([picture.is_test for picture in pictures])

    native = []  # (C, H, W) each, as the files are
    shapes: list[tuple[int, int]] = []
    for picture in pictures:
        image = read_picture(picture.path, depth)
        shapes.append((image.shape[-2], image.shape[-1]))
        if size is not None:
            image = resized(image[None], size)[0]
        elif shapes[-1] != shapes[0]:
            (h, w), (other_h, other_w) = shapes[0], shapes[-1]
            found = f"{h}×{w} ({pictures[0].path.name}) and {other_h}×{other_w} ({picture.path.name})"
            remedy = "Pass size=64, say, to resize them."
            raise ValueError(f"load: images of {folder} must have one size; got {found}. {remedy}")
        if not native:
            check_memory(folder, (len(pictures), *image.shape))
        native.append(image)
    channels = channels or max(len(image) for image in native)
    images = torch.stack([with_channels(image, channels) for image in native])

    masks, warnings = read_masks(pictures, shapes, size) if layout.has_masks else (None, [])
    warnings += _left_out_note(layout) + depth_note
    brightest = int(images.max())
    if brightest < 16:
        warnings.append(f"its brightest pixel is {brightest} of 255, so the images are nearly black")
    report = "; ".join([_taken_note(folder, layout, classes, labels, masks), *layout.notes, *warnings]) + "."
    files = tuple(picture.path.relative_to(layout.root).as_posix() for picture in pictures)
    attention = bool(warnings) and warnings != depth_note
    name = layout.root.name if layout.root.name.lower() != "data" else layout.root.parent.name  # as in VisA
    return FolderImages(name, images, labels, classes, is_test, masks, files, depth, report, attention)


def list_pictures(folder: Path) -> list[Picture]:
    """Return the image files of a folder, in the order of split, class and name."""
    return find_layout(folder).pictures


# --- layouts ----------------------------------------------------------------------------------------------------------


def find_layout(folder: Path) -> Layout:
    """Return which files of a folder are images, of which class and part, and which are masks.

    Raises
    ------
    ValueError
        A layout that cannot be read; the message names what was found and which folder to take.
    """
    root = _descended(folder)
    layout = Layout(root)
    if root != folder:
        layout.notes.append(f"read {root.relative_to(folder).as_posix()}, the only set inside")
    inside = _subfolders(root)
    by_name = {name.lower(): name for name in inside}
    truth_name = next((by_name[name] for name in GROUND_TRUTH if name in by_name), None)
    if {"images", "masks"} <= by_name.keys():  # VisA
        truth_name = by_name["masks"]
        image_root = root / by_name["images"]
        inside = _subfolders(image_root)
    else:
        image_root = root
        inside = [name for name in inside if name != truth_name]
    splits = [name for name in inside if name.lower() in SPLITS]
    if splits:
        _check_splits(layout, inside, splits)
        splits.sort(key=lambda name: list(SPLITS).index(name.lower()))
        for split in splits:
            names = _subfolders(root / split)
            if not names:
                found = f"{len(_files(root / split))} images and no folder"
                remedy = f"Put them in {root / split / 'good'}, say."
                reject("load", str(root / split), "hold one folder per class", found, remedy)
            for name in names:
                _add_class(layout, root / split / name, name, is_test=SPLITS[split.lower()] == "test")
    elif inside:
        _refuse_sets_inside(image_root, inside)
        for name in inside:
            _add_class(layout, image_root / name, name, is_test=False)
        _refuse_folder_of_masks(layout, inside)
        layout.left_out["beside the class folders"] += len(_files(image_root))
    else:
        _add_flat(layout, image_root)
    if not layout.pictures:
        remedy = f"Put images there, such as {folder / 'normal' / '0001.png'}."
        reject("load", str(folder), "hold one folder per class", "no image that can be read", remedy)
    layout.has_masks = any(picture.masks for picture in layout.pictures) or truth_name is not None
    if truth_name is not None:
        _add_ground_truth(layout, root / truth_name, image_root, has_splits=bool(splits))
    return layout


def _descended(folder: Path) -> Path:
    """Return the folder itself, or the set inside where it holds nothing else: archives often unpack like this."""
    while len(inside := _subfolders(folder)) == 1 and not _files(folder):
        only = folder / inside[0]
        if only.name.lower() in SPLITS or _files(only) or not _subfolders(only):
            break
        if not (_is_set(only) or any(_files(only / name) for name in _subfolders(only))):
            break
        folder = only
    return folder


def _is_set(folder: Path) -> bool:
    """Return whether a folder looks like a set of its own: by its splits, or by VisA's two folders."""
    names = {name.lower() for name in _subfolders(folder)}
    return "train" in {SPLITS.get(name) for name in names} or {"images", "masks"} <= names


def _check_splits(layout: Layout, inside: list[str], splits: list[str]) -> None:
    """Refuse folders beside the splits that hold images, and splits without a training part."""
    others = [name for name in inside if name not in splits]
    if holding := [name for name in others if _files(layout.root / name) or _count_images(layout.root / name)]:
        rule = "hold folders of splits (train, val, test) or of classes, not both"
        reject("load", str(layout.root), rule, splits + holding)
    layout.notes += [f"{name} holds no image" for name in others]
    if "train" not in {SPLITS[name.lower()] for name in splits}:
        reject("load", str(layout.root), "hold the split train beside the others", splits)


def _refuse_sets_inside(folder: Path, inside: list[str]) -> None:
    """Refuse a folder of several sets, such as all of MVTec AD, and name them."""
    sets = [name for name in inside if _is_set(folder / name)]
    sets += [
        f"{name}/{inner}" for name in inside for inner in _subfolders(folder / name) if _is_set(folder / name / inner)
    ]
    if sets:
        remedy = f"Take one of them, such as {folder / sets[0]}."
        reject("load", str(folder), "be one set of images", f"{len(sets)} sets: {', '.join(sets)}", remedy)


def _add_class(layout: Layout, folder: Path, label: str, is_test: bool) -> None:
    """Add the images of one class folder, and count what it holds besides."""
    files, nested = _files(folder), _count_images(folder)
    if not files and nested and len(inner := [name for name in _subfolders(folder) if _files(folder / name)]) == 1:
        layout.notes.append(f"read {(folder / inner[0]).relative_to(layout.root).as_posix()} as class {label!r}")
        folder = folder / inner[0]
        files, nested = _files(folder), _count_images(folder)
    unread = _unread(folder)
    if not files:
        if not nested and not unread:
            layout.left_out[f"folder {folder.relative_to(layout.root).as_posix()} without images"] += 0
            return
        found = [f"{nested} images in folders inside"] * bool(nested) + [f"{n} of type {s}" for s, n in unread.items()]
        remedy = f"Move them up, or take {folder}." if nested else f"Convert them to one of {', '.join(SUFFIXES)}."
        reject("load", f"class folder {folder}", "hold images that can be read", ", ".join(found), remedy)
    layout.left_out["in folders inside class folders"] += nested
    for suffix, count in unread.items():
        layout.left_out[f"of type {suffix}, which is not read"] += count
    layout.pictures += _with_masks_beside(folder, files, label, is_test)


def _add_flat(layout: Layout, folder: Path) -> None:
    """Add the images of a folder without class folders: one class, or COIL-100's objects by their file names."""
    files = _files(folder)
    objects = [COIL.fullmatch(path.stem) for path in files]
    if files and all(objects):
        numbered = [(int(match["number"]), path) for match, path in zip(objects, files, strict=True) if match]
        digits = len(str(max(number for number, _ in numbered)))
        layout.pictures += [Picture(path, f"obj{number:0{digits}d}", False) for number, path in sorted(numbered)]
        layout.notes.append("one class per object, by the file names of COIL-100")
    elif files:
        layout.pictures += _with_masks_beside(folder, files, folder.name, False)
        layout.notes.append(f"it has no class folders, so all images are of one class, {folder.name!r}")
    for suffix, count in _unread(folder).items():
        layout.left_out[f"of type {suffix}, which is not read"] += count


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
    n_masks = sum(bool(picture.masks) for picture in layout.pictures)
    with_masks = "" if masks is None else f", {n_masks} of them with masks"
    images = "1 image" if len(labels) == 1 else f"{len(labels)} images"
    return f"load: took {images} of {len(classes)} {word} ({listed}) from {folder}{with_masks}"


# --- masks ------------------------------------------------------------------------------------------------------------


def _with_masks_beside(folder: Path, files: list[Path], label: str, is_test: bool) -> list[Picture]:
    """Return the images among the files of a class folder, each with the masks that lie beside it."""
    by_stem: dict[str, list[Path]] = {}
    for path in files:
        by_stem.setdefault(path.stem, []).append(path)
    masks: dict[str, list[Path]] = {}
    orphans = []
    for path in files:
        if match := MASK_NAME.fullmatch(path.stem):
            if match["stem"] in by_stem:
                masks.setdefault(match["stem"], []).append(path)
            else:
                orphans.append(path)
    if masks and orphans:
        reject("load", f"masks of {folder}", "lie beside the image of their name", orphans[0].name)
    named = {path for paths in masks.values() for path in paths}
    for stem, twins in by_stem.items():
        twins = [path for path in twins if path not in named]
        if len(twins) > 1:
            flat = [path for path in twins if _looks_like_mask(path)]
            if len(flat) == len(twins):
                rule = "be told from masks where several have one name"
                reject(
                    "load", f"images of {folder}", rule, [path.name for path in twins], f"Rename one, as {stem}_mask."
                )
            masks.setdefault(stem, []).extend(flat)
    taken = {path for paths in masks.values() for path in paths}
    return [Picture(path, label, is_test, tuple(masks.get(path.stem, ()))) for path in files if path not in taken]


def _looks_like_mask(path: Path) -> bool:
    """Return whether a file has at most eight grey values, or, as a JPEG of a mask, nearly only black and white."""
    pixels = read_picture(path, check_depth=False)
    extreme = ((pixels < 16) | (pixels > 239)).float().mean()
    same = bool((pixels == pixels[:1]).all())
    return same and (len(pixels[0].unique()) <= FEW_LEVELS or (path.suffix.lower() != ".png" and float(extreme) > 0.98))


def _refuse_folder_of_masks(layout: Layout, inside: list[str]) -> None:
    """Refuse a class folder whose name and files say that it holds the masks of another one."""
    for name in inside:
        own = [picture for picture in layout.pictures if picture.label == name]
        stems = {picture.path.stem for picture in layout.pictures if picture.label != name}
        plain = [(match["stem"] if (match := MASK_NAME.fullmatch(p.path.stem)) else p.path.stem) for p in own]
        if name.lower() in MASK_FOLDERS and own and all(stem in stems for stem in plain):
            if _looks_like_mask(own[0].path):
                other = next(label for label in inside if label != name)
                remedy = f"If they are, move them to {layout.root / 'ground_truth' / other}."
                reject(
                    "load", f"class folder {name}", f"hold images, not the masks of {other}", own[0].path.name, remedy
                )


def _add_ground_truth(layout: Layout, folder: Path, image_root: Path, has_splits: bool) -> None:
    """Give the images of a set their masks from its folder of masks; each mask must fit an image."""
    by_image: dict[tuple[str, str], list[Path]] = {}
    for name in ("", *_subfolders(folder)):  # "": the masks of images without class folders
        for path in _files(folder / name):
            by_image.setdefault((name.lower(), path.stem), []).append(path)
            if match := MASK_NAME.fullmatch(path.stem):
                by_image.setdefault((name.lower(), match["stem"]), []).append(path)
        for stem in _subfolders(folder / name) if name else ():
            by_image.setdefault((name.lower(), stem), []).extend(_files(folder / name / stem))
    unused = {path for paths in by_image.values() for path in paths}
    for k, picture in enumerate(layout.pictures):
        if has_splits and not picture.is_test:
            continue
        place = "" if picture.path.parent == image_root else picture.label.lower()
        found = by_image.get((place, picture.path.stem), [])
        layout.pictures[k] = replace(picture, masks=(*picture.masks, *found))
        unused -= set(found)
    if unused:
        found = min(unused).relative_to(layout.root).as_posix()
        reject("load", f"masks of {layout.root}", "fit an image each", found, REMEDY_MASKS)


def read_masks(pictures: list[Picture], shapes: list[tuple[int, int]], size: int | None) -> tuple[Tensor, list[str]]:
    """Return the masks of all pictures, (N, H, W) of 0 and 1, and what to know of them.

    Raises
    ------
    ValueError
        A mask of another size than its image, or a damaged one.
    """
    masks, empty = [], []
    for picture, shape in zip(pictures, shapes, strict=True):
        mask = torch.zeros(shape, dtype=torch.uint8)
        for path in picture.masks:
            own = _read_mask(path)
            if tuple(own.shape) != shape:
                reject("load", f"mask {path}", f"have the size of its image, {shape}", tuple(own.shape))
            mask |= own
        if picture.masks and not mask.any():
            empty.append(picture.masks[0].name)
        masks.append(mask if size is None else resized_masks(mask[None], size)[0])
    considered = [picture for picture in pictures if picture.is_test or not any(p.is_test for p in pictures)]
    counts = Counter(picture.label for picture in considered)
    masked = Counter(picture.label for picture in considered if picture.masks)
    notes = [
        f"{counts[label] - n} of {counts[label]} images of {label!r} have no mask, so all their pixels count as normal"
        for label, n in masked.items()
        if n < counts[label]
    ]
    if empty and len(empty) < sum(masked.values()):
        notes.append(f"{len(empty)} masks mark no pixel, such as {empty[0]}")
    return torch.stack(masks), notes


def _read_mask(path: Path) -> Tensor:
    """Return a mask file as 0 and 1 of shape (H, W); every value but 0 counts, whatever the mode or bit depth."""
    image = _opened(path)
    if image.mode in ("P", "I", "F") or is_deep_grey(image):  # indices of a palette, or deep values: none is lost
        values = np.asarray(image)
    else:
        values = from_pillow(image, path).amax(0).numpy()
    is_lossy = path.suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif", ".webp")
    return torch.from_numpy((values > (127 if is_lossy else 0)).astype(np.uint8))


# --- files ------------------------------------------------------------------------------------------------------------


def read_picture(path: Path, bit_depth: int = 16, *, check_depth: bool = True) -> Tensor:
    """Return one image file as uint8 pixels of shape (C, H, W), upright, in its own size."""
    image = _opened(path)
    if not check_depth and is_deep_grey(image):
        values = np.asarray(image).astype(np.int64)
        return torch.from_numpy((values * 255 // max(1, values.max())).clip(0, 255).astype(np.uint8))[None]
    return from_pillow(image, path, bit_depth)


def _opened(path: Path) -> Image:
    """Return an image file, decoded and upright."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=FORMATS) as image:
            return ImageOps.exif_transpose(image)  # decodes the whole file
    except Image.DecompressionBombError as error:
        pixels = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        remedy = "Cut it into parts, or make it smaller, with another program."
        reject("load", str(path), f"have at most {pixels:,} pixels, Pillow's limit", str(error), remedy)
    except PermissionError as error:
        reject("load", str(path), "be readable", str(error), "Change its permissions.")
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        reject("load", str(path), "be a complete image", str(error), "It is damaged: replace it, or move it away.")


def _used_depth(layout: Layout, given: int | None) -> tuple[int, list[str]]:
    """Return how many bits the 16-bit files of a set use, and what the report says of it."""
    from PIL import Image

    if given is not None:
        check_number("load", "bit_depth", given, 8, 16, integer=True)
    tops: dict[Path, int] = {}
    deep_colour: dict[Path, int] = {}
    for path in (picture.path for picture in layout.pictures):
        try:
            with Image.open(path, formats=FORMATS) as image:
                if is_deep_grey(image):
                    tops[path] = int(np.asarray(image).max())
                elif is_deep_colour(image):
                    deep_colour[path] = int(np.asarray(image.convert("RGB")).max())
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
            continue  # the reading that follows says what is wrong with it
    if deep_colour and given != 16 and max(deep_colour.values()) < 128:
        path = max(deep_colour, key=lambda path: deep_colour[path])
        remedy = "Save them with 8 bits, or pass bit_depth=16 if they are merely dark."
        rule = "use all 16 bits, of which only the upper 8 can be read"
        reject(
            "load", f"16-bit colour files of {layout.root}", rule, f"at most half of the range ({path.name})", remedy
        )
    if not tops:
        return 8, []
    highest = max(tops, key=lambda path: tops[path])
    depth = given or next((bits for bits in DEPTHS if tops[highest] < 2**bits), 16)
    dark = [path for path, top in tops.items() if path != highest and top > 0 and top >> (depth - 8) < 16]
    if dark and given is None:
        found = f"values up to {tops[highest]} ({highest.name}) and up to {tops[dark[0]]} ({dark[0].name})"
        remedy = f"Save them alike, or pass bit_depth={depth} if the second is merely dark."
        raise ValueError(f"load: 16-bit files of {layout.root} must use one bit depth; got {found}. {remedy}")
    how = "as given" if given else f"since their highest value is {tops[highest]}"
    return depth, [f"the values of {len(tops)} 16-bit files are read as {depth} bits, {how}"]


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


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in JUNK


def _subfolders(folder: Path) -> list[str]:
    """Return the sorted names of the visible folders inside."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and _is_visible(path.name))


def _visible_files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.is_file() and _is_visible(path.name))


def _files(folder: Path) -> list[Path]:
    """Return the sorted visible image files inside."""
    return sorted(path for path in _visible_files(folder) if path.suffix.lower() in SUFFIXES)


def _unread(folder: Path) -> Counter[str]:
    """Return how many files of which suffix are neither read nor known to be no images."""
    known = (*SUFFIXES, *NO_IMAGES)
    others = (path for path in _visible_files(folder) if path.suffix.lower() not in known)
    return Counter(path.suffix or "without suffix" for path in others)


def _count_images(folder: Path) -> int:
    """Return how many image files lie in folders inside a folder, at any depth; links are not followed."""
    count = 0
    for place, names, files in os.walk(folder):
        names[:] = [name for name in names if _is_visible(name)]
        if Path(place) != folder:
            count += sum(_is_visible(name) and Path(name).suffix.lower() in SUFFIXES for name in files)
    return count
