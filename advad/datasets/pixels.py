"""Pixels of any image file as `uint8` tensors: modes, bit depths, channels, sizes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from advad.checks import reject

if TYPE_CHECKING:
    from PIL.Image import Image

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's convert("L")
CHUNK = 1 << 21  # bytes of source pixels that are converted at once


def from_pillow(image: Image, origin: object, bit_depth: int = 16) -> Tensor:
    """Return a Pillow image of any mode as its pixels.

    Transparent pixels are laid over black, because the colour that they hide is arbitrary.
    Of 16-bit grey values, the highest eight of the `bit_depth` bits in use are kept: with 12 bits, 0…4095 becomes
    0…255.

    Parameters
    ----------
    image : PIL.Image.Image
        Modes 1, L, LA and I;16 are grey; P, RGB, RGBA and all others are colour.
    origin : object
        What to call the image in an error, such as its path.
    bit_depth : int in [8, 16]
        How many bits the values of a 16-bit file really use. Files of eight bits are not affected.

    Returns
    -------
    Tensor of shape (C, H, W), uint8
        C is 1 for grey and 3 for colour.

    Raises
    ------
    ValueError
        Grey values that need more bits, or that are not whole numbers.
    """
    if is_deep_grey(image):  # a 16-bit file may open as I;16 or as I
        grey = np.asarray(image)
        highest = 2**bit_depth - 1
        if grey.min() < 0 or grey.max() > highest:
            extremes = f"values from {grey.min()} to {grey.max()}"
            remedy = "Save it with 8 or 16 bits." if bit_depth == 16 else "Pass a larger bit_depth."
            raise ValueError(f"load: grey values of {origin} must be in [0, {highest}]; got {extremes}. {remedy}")
        return torch.from_numpy((grey >> (bit_depth - 8)).astype(np.uint8))[None]
    if image.mode == "F":
        remedy = "Save it with 8 or 16 bits."
        reject("load", f"pixels of {origin}", "be whole numbers", "a floating-point image", remedy)

    is_grey = image.mode in ("1", "L", "LA", "La")
    if not image.has_transparency_data:
        pixels = np.array(image.convert("L" if is_grey else "RGB"))  # a copy: Pillow's own memory is read-only
        pixels = pixels.reshape(*pixels.shape[:2], -1)
    else:
        layers = np.asarray(image.convert("LA" if is_grey else "RGBA")).astype(np.uint16)
        colour, alpha = layers[..., :-1], layers[..., -1:]
        pixels = ((colour * alpha + 127) // 255).astype(np.uint8)  # + 127 rounds; 255² + 127 fits in 16 bits
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()  # (H, W, C) -> (C, H, W)


def is_deep_grey(image: Image) -> bool:
    """Return whether an opened image holds grey values of more than eight bits."""
    return image.mode.startswith("I;16") or image.mode == "I"


def is_deep_colour(image: Image) -> bool:
    """Return whether an opened file, not yet decoded, holds 16-bit colour, of which Pillow keeps the high byte only."""
    return not is_deep_grey(image) and any(";16" in str(tile[3]) for tile in getattr(image, "tile", []))


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Return images of 1 or 3 channels with `channels` channels: luminance, or grey three times.

    Parameters
    ----------
    images : Tensor of shape (..., C, H, W), uint8
        C is 1 or 3.
    channels : {1, 3}
        How many are wanted.

    Returns
    -------
    Tensor of shape (..., channels, H, W), uint8
    """
    if images.shape[-3] == channels:
        return images
    if channels == 3:
        return images.repeat_interleave(3, dim=-3)
    red, green, blue = (images.select(-3, c) * weight for c, weight in enumerate(LUMA))
    return (red + green + blue).round().to(torch.uint8).unsqueeze(-3)


def resized(images: Tensor, size: int) -> Tensor:
    """Return images resized to size × size, bilinear and antialiased; the aspect ratio is not kept.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W), uint8
    size : int
        New height and width.

    Returns
    -------
    Tensor of shape (N, C, size, size), uint8
    """
    if images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)


def converted(images: Tensor, size: int | None, channels: int | None) -> Tensor:
    """Return images with the wanted number of channels, then resized; None leaves either as it is.

    The images are converted some at a time, so that the memory needed beside the result stays small.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W), uint8
    size : int or None
        New height and width.
    channels : {1, 3, None}
        New number of channels.

    Returns
    -------
    Tensor of shape (N, channels, size, size), uint8
    """
    shape = converted_shape(tuple(images.shape), size, channels)
    if shape == tuple(images.shape):
        return images
    result = torch.empty(shape, dtype=torch.uint8)
    for rows in chunks(len(images), images[0].numel()):
        part = images[rows]
        part = part if channels is None else with_channels(part, channels)
        result[rows] = part if size is None else resized(part, size)
    return result


def converted_shape(shape: tuple[int, ...], size: int | None, channels: int | None) -> tuple[int, ...]:
    """Return the shape (N, C, H, W) that `converted` gives to images of that shape."""
    n, c, h, w = shape
    return n, channels or c, size or h, size or w


def chunks(count: int, row_bytes: int) -> Iterator[slice]:
    """Yield slices that cover `count` rows, at most about 2 MiB each."""
    step = max(1, CHUNK // max(1, row_bytes))
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))


def check_memory(origin: object, shape: tuple[int, ...]) -> None:
    """Check that `uint8` images of this shape fit in the machine's memory, before it is allocated.

    Raises
    ------
    ValueError
        They are larger than the memory that this process may have.
    """
    needed, available = math.prod(shape), available_memory()
    if needed > available:
        amounts = f"{needed / 2**30:,.1f} GiB for {available / 2**30:,.1f}"
        raise ValueError(f"load: images of {origin} must fit in memory; got {amounts}. Pass a smaller size.")


def available_memory() -> float:
    """Return how many bytes this process may have: the machine's memory, or a lower limit that was set."""
    amounts = [float("inf")]
    if hasattr(os, "sysconf") and {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys():
        amounts.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        import resource
    except ImportError:  # Windows has none
        return min(amounts)
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min(amounts if limit == resource.RLIM_INFINITY else [*amounts, limit])


def resized_masks(masks: Tensor, size: int) -> Tensor:
    """Return masks resized to size × size; a pixel is marked where any pixel under it is.

    Taking the nearest pixel instead would lose small defects.

    Parameters
    ----------
    masks : Tensor of shape (N, H, W), uint8, 0 or 1
    size : int
        New height and width.

    Returns
    -------
    Tensor of shape (N, size, size), uint8, 0 or 1
    """
    return functional.adaptive_max_pool2d(masks.float(), (size, size)).to(torch.uint8)
