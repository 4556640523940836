"""Masks: which files are masks of which images, and what they mark."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advad.checks import reject
from advad.datasets.image_files import files_in, opened, read_image, subfolders
from advad.datasets.pixels import from_pillow, is_deep_grey, resized_masks

MASK_NAME = re.compile(r"(?P<stem>.+)[_\-. ](mask|gt|label|seg|groundtruth|ground_truth)", re.IGNORECASE)
FEW_LEVELS = 8  # maximum number of grey values of a mask
GREYS = (16, 239)  # between them a pixel is neither black nor white, also in a JPEG
MOST_MARKED = 0.9  # share of an image that a mask hardly marks, unless it is white where it should be black
REMEDY_MASKS = "Masks lie in ground_truth/<class>/<stem>_mask.png."


@dataclass(frozen=True)
class ImageFile:
    """One image file, its class, whether it is of the official test part, and the files of its masks."""

    path: Path
    label: str
    is_test: bool
    masks: tuple[Path, ...] = ()


def with_masks_beside(folder: Path, files: list[Path], label: str, is_test: bool) -> list[ImageFile]:
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
    for stem, siblings in by_stem.items():
        siblings = [path for path in siblings if path not in named]
        if len(siblings) > 1:
            flat = [path for path in siblings if looks_like_mask(path)]
            if len(flat) == len(siblings):
                rule = "be told from masks where several have one name"
                reject(
                    "load",
                    f"images of {folder}",
                    rule,
                    [path.name for path in siblings],
                    f"Rename one, as {stem}_mask.",
                )
            masks.setdefault(stem, []).extend(flat)
    taken = {path for paths in masks.values() for path in paths}
    return [ImageFile(path, label, is_test, tuple(masks.get(path.stem, ()))) for path in files if path not in taken]


def looks_like_mask(path: Path) -> bool:
    """Return whether a file has at most eight grey values, or, as a JPEG of a mask, nearly only black and white."""
    pixels = read_image(path, check_depth=False)
    extreme = ((pixels < GREYS[0]) | (pixels > GREYS[1])).float().mean()
    same = bool((pixels == pixels[:1]).all())
    return same and (len(pixels[0].unique()) <= FEW_LEVELS or (path.suffix.lower() != ".png" and float(extreme) > 0.98))


def with_ground_truth(
    image_files: list[ImageFile], folder: Path, image_root: Path, has_splits: bool
) -> list[ImageFile]:
    """Return the images of a set with their masks from its folder of masks; each mask must fit an image."""
    by_image: dict[tuple[str, str], list[Path]] = {}
    for name in ("", *subfolders(folder)):  # "": the masks of images without class folders
        for path in files_in(folder / name):
            by_image.setdefault((name.lower(), path.stem), []).append(path)
            if match := MASK_NAME.fullmatch(path.stem):
                by_image.setdefault((name.lower(), match["stem"]), []).append(path)
        for stem in subfolders(folder / name) if name else ():
            by_image.setdefault((name.lower(), stem), []).extend(files_in(folder / name / stem))
    unused = {path for paths in by_image.values() for path in paths}
    result = []
    for image_file in image_files:
        if has_splits and not image_file.is_test:
            result.append(image_file)
            continue
        place = "" if image_file.path.parent == image_root else image_file.label.lower()
        fitting = by_image.get((place, image_file.path.stem), [])
        result.append(replace(image_file, masks=(*image_file.masks, *fitting)))
        unused -= set(fitting)
    if unused:
        name = min(unused).relative_to(folder.parent).as_posix()
        reject("load", f"masks of {folder.parent}", "fit an image each", name, REMEDY_MASKS)
    return result


def read_masks(
    image_files: list[ImageFile], shapes: list[tuple[int, int]], size: int | None
) -> tuple[Tensor, list[str]]:
    """Return the masks of all image files, (N, H, W) of 0 and 1, and what to know of them.

    Raises
    ------
    ValueError
        A mask of another size than its image, or a damaged one.
    """
    masks = []
    for image_file, shape in zip(image_files, shapes, strict=True):
        mask = torch.zeros(shape, dtype=torch.uint8)
        for path in image_file.masks:
            own = _read_mask(path)
            if tuple(own.shape) != shape:
                reject("load", f"mask {path}", f"have the size of its image, {shape}", tuple(own.shape))
            mask |= own
        masks.append(mask if size is None else resized_masks(mask[None], size)[0])
    return torch.stack(masks), _notes(image_files, masks)


def _notes(image_files: list[ImageFile], masks: list[Tensor]) -> list[str]:
    """Return which images lack a mask, and which masks mark nothing or nearly all, as parts of the report."""
    has_test = any(image_file.is_test for image_file in image_files)
    considered = [image_file for image_file in image_files if image_file.is_test or not has_test]
    counts = Counter(image_file.label for image_file in considered)
    masked = Counter(image_file.label for image_file in considered if image_file.masks)
    notes = [
        f"{counts[label] - n} of {counts[label]} images of {label!r} have no mask, so all their pixels count as normal"
        for label, n in masked.items()
        if n < counts[label]
    ]
    marked = {image_file.label for image_file, mask in zip(image_files, masks, strict=True) if mask.any()}
    empty = [
        image_file for image_file, mask in zip(image_files, masks, strict=True) if image_file.masks and not mask.any()
    ]
    if marked:  # a class without any defect may have empty masks
        empty = [image_file for image_file in empty if image_file.label in marked]
    if empty:
        notes.append(f"{len(empty)} masks mark no pixel, such as {empty[0].masks[0].name}")
    inverted = [
        image_file
        for image_file, mask in zip(image_files, masks, strict=True)
        if float(mask.float().mean()) > MOST_MARKED
    ]
    if inverted:
        name = inverted[0].masks[0].name
        notes.append(f"{len(inverted)} masks mark nearly the whole image, such as {name}: black and white swapped?")
    return notes


def _read_mask(path: Path) -> Tensor:
    """Return a mask file as 0 and 1 of shape (H, W); every value but 0 counts, whatever the mode or bit depth.

    Raises ValueError for a photograph: somebody has swapped image and mask.
    """
    image = opened(path)
    if image.mode in ("P", "I", "F") or is_deep_grey(image):  # indices of a palette, or deep values: none is lost
        values = np.asarray(image)
    else:
        values = from_pillow(image, path).amax(0).numpy()
        between = float(((values > GREYS[0]) & (values < GREYS[1])).mean())
        if between > 0.5 and len(np.unique(values)) > FEW_LEVELS:
            remedy = "Was it swapped with its image?"
            reject("load", f"mask {path}", "be black except for the defect", f"{between:.0%} of it grey", remedy)
    is_lossy = path.suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif", ".webp")
    return torch.from_numpy((values > (127 if is_lossy else 0)).astype(np.uint8))
