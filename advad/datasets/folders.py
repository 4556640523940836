"""A folder of images a class: anybody's own pictures, with or without splits and masks.

Layouts, names sorted, hidden files left out:

    root/<class>/*.png                        no official split
    root/<split>/<class>/*.png                splits `train`, `test`, and optionally `val`, which joins `train`
    root/ground_truth/<class>/<stem>_mask.png masks beside either of them, as in MVTec AD

With splits, a mask belongs to the *test* image of that class and stem. An image without one has no
anomalous pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from advad.checks import reject
from advad.datasets.pixels import from_pillow, resized, resized_masks, with_channels

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
SPLITS = ("train", "val", "test")
MASKS = "ground_truth"


@dataclass(frozen=True)
class Picture:
    """One image file, its class, and whether it is of the official test part."""

    path: Path
    label: str
    is_test: bool


def read_folder(
    folder: Path, size: int | None, channels: int | None
) -> tuple[Tensor, Tensor, tuple[str, ...], Tensor, Tensor | None]:
    """Return everything a folder of images holds.

    Parameters
    ----------
    folder : Path
        In one of the layouts above.
    size : int or None
        Height and width to resize to; None where all images already have one size.
    channels : {1, 3, None}
        None: 1 if the modes of all files are grey, else 3.

    Returns
    -------
    images : Tensor of shape (N, C, H, W), uint8
    labels : Tensor of shape (N,), int64
        Positions in `classes`.
    classes : tuple of str
        The class folders' names, sorted.
    is_test : Tensor of shape (N,), bool
    masks : Tensor of shape (N, H, W), uint8, or None
        1 where anomalous; None without a `ground_truth` folder.

    Raises
    ------
    ValueError
        Another layout, an empty class, a damaged image, mixed sizes without `size`, a mask that fits no image.
    """
    pictures = list_pictures(folder)
    classes = tuple(sorted({picture.label for picture in pictures}))
    labels = torch.tensor([classes.index(picture.label) for picture in pictures])
    is_test = torch.tensor([picture.is_test for picture in pictures])

    native = []  # (C, H, W) each, as the files are
    shapes = []
    for picture in pictures:
        image = read_picture(picture.path)
        shapes.append(tuple(image.shape[-2:]))
        if size is not None:
            image = resized(image[None], size)[0]
        elif shapes[-1] != shapes[0]:
            (h, w), (other_h, other_w) = shapes[0], shapes[-1]
            found = f"{h}×{w} ({pictures[0].path.name}) and {other_h}×{other_w} ({picture.path.name})"
            remedy = "Pass size=64, say, to resize them."
            raise ValueError(f"load: images of {folder} must have one size; got {found}. {remedy}")
        native.append(image)
    channels = channels or max(len(image) for image in native)
    images = torch.stack([with_channels(image, channels) for image in native])

    masks = read_masks(folder, pictures, shapes, size)
    return images, labels, classes, is_test, masks


def list_pictures(folder: Path) -> list[Picture]:
    """Return the image files of a folder, in the order of split, class and name."""
    inside = [name for name in _subfolders(folder) if name != MASKS]
    splits = [name for name in SPLITS if name in inside]
    if not inside:
        remedy = f"Make one, such as {folder / 'normal'}, and move the images there."
        reject("load", str(folder), "hold one folder a class", "none", remedy)
    if splits and (others := sorted(set(inside) - set(splits))):
        rule = "hold folders of splits (train, val, test) or of classes, not both"
        reject("load", str(folder), rule, splits + others)
    if splits and "train" not in splits:
        reject("load", str(folder), "hold the split train beside the others", splits)

    pictures = []
    for split in splits or [""]:
        names = _subfolders(folder / split) if split else inside
        if not names:
            reject("load", str(folder / split), "hold one folder a class", "none")
        for name in names:
            files = _files(folder / split / name)
            if not files:
                remedy = f"Put images there ({', '.join(SUFFIXES)}) or remove the folder."
                reject("load", f"class folder {folder / split / name}", "hold images", "none", remedy)
            pictures += [Picture(path, name, split == "test") for path in files]
    return pictures


def read_picture(path: Path) -> Tensor:
    """Return one image file as uint8 pixels of shape (C, H, W), upright, in its own size."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)  # decodes the whole file
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reject("load", str(path), "be a complete image", str(error), "It is damaged: replace or remove it.")
    return from_pillow(upright, path)


def read_masks(folder: Path, pictures: list[Picture], shapes: list[tuple[int, int]], size: int | None) -> Tensor | None:
    """Return the masks of all pictures, (N, H, W) of 0 and 1, or None where the folder has none."""
    if not (folder / MASKS).is_dir():
        return None
    has_splits = (folder / "train").is_dir()
    unused = {path for name in _subfolders(folder / MASKS) for path in _files(folder / MASKS / name)}
    masks = []
    for picture, shape in zip(pictures, shapes, strict=True):
        path = folder / MASKS / picture.label / f"{picture.path.stem}_mask.png"
        if path in unused and (picture.is_test or not has_splits):
            mask = (with_channels(read_picture(path), 1)[0] > 0).to(torch.uint8)
            if mask.shape != shape:
                reject("load", f"mask {path}", f"have the size of its image, {shape}", tuple(mask.shape))
            unused.remove(path)
        else:
            mask = torch.zeros(shape, dtype=torch.uint8)
        masks.append(mask if size is None else resized_masks(mask[None], size)[0])
    if unused:
        remedy = f"Masks lie in {MASKS}/<class>/<stem>_mask.png."
        reject("load", f"masks of {folder}", "fit an image each", str(min(unused).relative_to(folder)), remedy)
    return torch.stack(masks)


def _subfolders(folder: Path) -> list[str]:
    """Return the sorted names of the visible folders inside."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """Return the sorted visible image files inside."""
    found = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)
