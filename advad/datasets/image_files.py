"""Image files: reading one upright and whole, the bits that 16-bit files use, and what lies in a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from advad.checks import check_number, reject
from advad.datasets.pixels import from_pillow, is_deep_colour, is_deep_grey

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm"),
    *(".png", ".ppm", ".tif", ".tiff", ".webp"),
)
FORMATS = (
    "BMP",
    "GIF",
    "JPEG",
    "PNG",
    "PPM",
    "TIFF",
    "WEBP",
)  # whatever the suffix: PostScript can run code
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
JUNK = ("__macosx", "@eadir", "$recycle.bin", "system volume information")
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners use


def read_image(path: Path, bit_depth: int = 16, *, check_depth: bool = True) -> Tensor:
    """Return one image file as uint8 pixels of shape (C, H, W), upright, in its own size."""
    image = opened(path)
    if not check_depth and is_deep_grey(image):
        values = np.asarray(image).astype(np.int64)
        return torch.from_numpy((values * 255 // max(1, values.max())).clip(0, 255).astype(np.uint8))[None]
    return from_pillow(image, path, bit_depth)


def opened(path: Path) -> Image:
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


def used_depth(root: Path, paths: Iterable[Path], bit_depth: int | None) -> tuple[int, list[str]]:
    """Return how many bits the 16-bit files of a set use, and what the report says of it."""
    from PIL import Image

    if bit_depth is not None:
        check_number("load", "bit_depth", bit_depth, 8, 16, integer=True)
    tops: dict[Path, int] = {}
    deep_colour: dict[Path, int] = {}
    for path in paths:
        try:
            with Image.open(path, formats=FORMATS) as image:
                if is_deep_grey(image):
                    tops[path] = int(np.asarray(image).max())
                elif is_deep_colour(image):
                    deep_colour[path] = int(np.asarray(image.convert("RGB")).max())
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
            continue  # the reading that follows says what is wrong with it
    if deep_colour and bit_depth != 16 and max(deep_colour.values()) < 128:
        path = max(deep_colour, key=lambda path: deep_colour[path])
        remedy = "Save them with 8 bits, or pass bit_depth=16 if they are merely dark."
        rule = "use all 16 bits, of which only the upper 8 can be read"
        reject("load", f"16-bit colour files of {root}", rule, f"at most half of the range ({path.name})", remedy)
    if not tops:
        return 8, []
    highest = max(tops, key=lambda path: tops[path])
    depth = bit_depth or next((bits for bits in DEPTHS if tops[highest] < 2**bits), 16)
    dark = [path for path, top in tops.items() if path != highest and top > 0 and top >> (depth - 8) < 16]
    if dark and bit_depth is None:
        values = f"values up to {tops[highest]} ({highest.name}) and up to {tops[dark[0]]} ({dark[0].name})"
        remedy = f"Save them alike, or pass bit_depth={depth} if the second is merely dark."
        raise ValueError(f"load: 16-bit files of {root} must use one bit depth; got {values}. {remedy}")
    how = "as given" if bit_depth else f"since their highest value is {tops[highest]}"
    return depth, [f"the values of {len(tops)} 16-bit files are read as {depth} bits, {how}"]


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in JUNK


def subfolders(folder: Path) -> list[str]:
    """Return the sorted names of the visible folders inside."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and _is_visible(path.name))


def _visible_files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.is_file() and _is_visible(path.name))


def files_in(folder: Path) -> list[Path]:
    """Return the sorted visible image files inside."""
    return sorted(path for path in _visible_files(folder) if path.suffix.lower() in SUFFIXES)


def unread_in(folder: Path) -> Counter[str]:
    """Return, by suffix, the number of files that are not read although they may be images."""
    known = (*SUFFIXES, *NO_IMAGES)
    others = (path for path in _visible_files(folder) if path.suffix.lower() not in known)
    return Counter(path.suffix or "without suffix" for path in others)


def count_images(folder: Path) -> int:
    """Return how many image files lie in folders inside a folder, at any depth; links are not followed."""
    count = 0
    for place, names, files in os.walk(folder):
        names[:] = [name for name in names if _is_visible(name)]
        if Path(place) != folder:
            count += sum(_is_visible(name) and Path(name).suffix.lower() in SUFFIXES for name in files)
    return count
