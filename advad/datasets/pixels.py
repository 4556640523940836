"""Pixels of any picture as `uint8` tensors: modes, channels, sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from advad.checks import reject

if TYPE_CHECKING:
    from PIL.Image import Image

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's convert("L")


def from_pillow(image: Image, origin: object) -> Tensor:
    """Return a Pillow image of any mode as its pixels.

    Transparent pixels are laid over black: what they hide has an arbitrary colour.
    16-bit grey keeps its high byte, so that 0…65535 becomes 0…255 whatever the other images hold.

    Parameters
    ----------
    image : PIL.Image.Image
        Modes 1, L, LA and I;16 are grey; P, RGB, RGBA and all others are colour.
    origin : object
        What to call the image in an error, such as its path.

    Returns
    -------
    Tensor of shape (C, H, W), uint8
        C is 1 for grey and 3 for colour.

    Raises
    ------
    ValueError
        Grey values of more than 16 bits.
    """
    if image.mode.startswith("I;16") or image.mode == "I":  # a 16-bit file may open as either
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 65535:
            found = f"values from {grey.min()} to {grey.max()}"
            remedy = "Save it with 8 or 16 bits."
            raise ValueError(f"load: grey values of {origin} must be in [0, 65535]; got {found}. {remedy}")
        return torch.from_numpy((grey >> 8).astype(np.uint8))[None]
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
