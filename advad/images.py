"""The one conversion of pixels: `uint8` to float and back, tensor to array."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Images = TypeVar("Images", Tensor, np.ndarray)


def as_float(images: Images) -> Images:
    """Return images as floating point in [0, 1]: `uint8` is divided by 255, floating point is returned as it is.

    Parameters
    ----------
    images : Tensor or ndarray of any shape
        `uint8` in [0, 255], or floating point in [0, 1].

    Returns
    -------
    Tensor or ndarray, as given
        float32 where the images were `uint8`; a tensor stays on its device.

    Examples
    --------
    >>> import numpy as np
    >>> as_float(np.array([0, 51, 255], dtype=np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    if isinstance(images, Tensor):
        return images.float().div_(255) if images.dtype == torch.uint8 else images
    return images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else images


def as_uint8(images: Images) -> Images:
    """Return images as `uint8` in [0, 255]: floating point is multiplied by 255 and rounded.

    Parameters
    ----------
    images : Tensor or ndarray of any shape
        `uint8`, which is returned as it is, or floating point. Values outside [0, 1] are clipped; NaN becomes 0.

    Returns
    -------
    Tensor or ndarray of `uint8`, as given

    Examples
    --------
    >>> import numpy as np
    >>> as_uint8(np.array([-0.1, 0.2, 1.5])).tolist()
    [0, 51, 255]
    """
    if isinstance(images, Tensor):
        if images.dtype == torch.uint8:
            return images
        return (images.nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
    if images.dtype == np.uint8:
        return images
    return (np.clip(np.nan_to_num(images), 0, 1) * 255).round().astype(np.uint8)


def as_numpy(value: Any) -> np.ndarray:
    """Return an array or tensor (on any device, with or without a gradient) as an ndarray."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()  # NumPy has no bfloat16
    return np.asarray(value)
