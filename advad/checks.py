"""Argument checks with one message form: what, rule, got, remedy, in one line.

The ground that every other module stands on; it knows none of them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

ROUNDING = (
    1e-3  # how far resized floating-point images may lie outside [0, 1]: torchvision's own Resize gives 1.0000002
)
LONGEST_SIDE = 2**14  # pixels of an image that `load` or a saved detector may ask for; more is a mistake or damage


class AmbiguousImagesWarning(UserWarning):
    """An array may be one colour image, or as many grey images as a colour image has channels."""


def brief(value: Any, length: int = 60) -> str:
    """Return `value` as a short text for an error message."""
    if isinstance(value, (np.ndarray, Tensor)):
        return f"{type(value).__name__} of shape {tuple(value.shape)} and dtype {value.dtype}"
    text = " ".join(repr(value).split())  # a message is one line
    return text if len(text) <= length else text[: length - 1] + "…"


def reject(
    owner: str, name: str, rule: str, value: Any, remedy: str = "", error: type[Exception] = ValueError
) -> NoReturn:
    """Raise `error` in advad's form of messages: "owner: name must rule; got value. Remedy", in one line."""
    message = f"{owner}: {name} must {rule}; got {brief(value)}. {remedy}"
    raise error(" ".join(message.split()))  # the name of a file or a class may hold line breaks


def check_number(
    owner: str,
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    ends: str = "[]",
    integer: bool = False,
    remedy: str = "",
) -> None:
    """Check that `value` is a finite number inside an interval.

    Parameters
    ----------
    owner, name : str
        Who asks, and what the argument is called; both open the message.
    value : object
        The argument.
    low, high : float
        The interval; infinite ends are left out of the message.
    ends : {"[]", "(]", "[)", "()"}
        Whether each end belongs to it.
    integer : bool
        Whether only whole numbers are allowed.
    remedy : str
        A last sentence that tells what to do.

    Raises
    ------
    TypeError
        Not a number (or not a whole one).
    ValueError
        Outside the interval, or not finite.
    """
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        reject(owner, name, "be a whole number" if integer else "be a number", value, remedy, TypeError)
    above = value > low if ends[0] == "(" else value >= low
    below = value < high if ends[1] == ")" else value <= high
    if not (above and below and math.isfinite(value)):
        if math.isinf(low) and math.isinf(high):
            rule = "be finite"
        elif math.isinf(high):
            rule = f"be {'above' if ends[0] == '(' else 'at least'} {low:g}"
        elif math.isinf(low):
            rule = f"be {'below' if ends[1] == ')' else 'at most'} {high:g}"
        else:
            rule = f"be in {ends[0]}{low:g}, {high:g}{ends[1]}"
        reject(owner, name, rule, value, remedy)


def check_choice(owner: str, name: str, value: Any, choices: Iterable[Any], remedy: str = "") -> None:
    """Check that `value` is one of `choices`; raise ValueError with the list otherwise."""
    choices = list(choices)
    if isinstance(value, np.generic):  # such as GridSearchCV takes out of an array
        value = value.item()
    if not any(type(value) is type(option) and value == option for option in choices):
        reject(owner, name, "be one of " + ", ".join(map(repr, choices)), value, remedy)


def as_images(owner: str, X: Any, *, name: str = "X", image_shape: tuple[int, int, int] | None = None) -> Tensor:
    """Return images as one tensor of shape (N, C, H, W), `uint8` or `float32` in [0, 1].

    Parameters
    ----------
    owner, name : str
        Who asks, and what the argument is called; both open the message.
    X : ndarray or Tensor of shape (N, H, W) or (N, C, H, W)
        Three dimensions are N grey images. One image is refused as (H, W, C) and (H, W, 1); of (3, H, W) and
        (4, H, W), where either may be meant, a warning says how it is read. `uint8`, or floating
        point in [0, 1]; values outside by at most 0.001, as resizing rounds, are clipped.
    image_shape : (C, H, W), optional
        The shape that is expected of each image.

    Raises
    ------
    TypeError
        `X` is no array of images, or of another dtype.
    ValueError
        It has no image, or seems to be one image; another shape; values that are not finite or lie outside [0, 1].
    """
    listed = isinstance(X, (list, tuple))
    if listed:
        try:
            X = np.asarray(X)
        except ValueError:  # images of different sizes
            reject(owner, name, "hold images of one size", X, "Resize them first.")
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        reject(owner, name, "have no masked pixels", X, "X.filled(0) makes them black.")
    if isinstance(X, np.ndarray):
        if X.dtype.kind not in "uif":
            reject(owner, name, "be uint8 or float in [0, 1]", X, error=TypeError)
        native = np.dtype(np.float64) if X.dtype == np.longdouble else X.dtype.newbyteorder("=")
        X = X.astype(native, copy=False)  # torch has no foreign byte order, and no floats beyond 64 bits
        if min(X.strides, default=0) < 0:  # also where NumPy calls it contiguous, because that side has one pixel
            X = X.copy()
        X = torch.from_numpy(np.require(X, requirements=["C", "W"]))  # copies what torch could not share
    if not isinstance(X, Tensor):
        reject(owner, name, "be an array of images, (N, H, W) or (N, C, H, W)", X, error=TypeError)
    if X.is_meta:
        reject(owner, name, "hold pixels", "a tensor on the device 'meta', which has none")
    if X.layout != torch.strided:
        reject(owner, name, "be a dense tensor", X, "X.to_dense() is one.")
    if X.ndim == 3:
        X = _grey(owner, name, X, image_shape, listed)
    if X.ndim != 4:
        remedy = "One image is X[None]; flat rows need X.reshape(-1, channels, height, width)."
        reject(owner, name, "have shape (N, H, W) or (N, C, H, W)", X, remedy)
    if len(X) == 0 or 0 in X.shape:
        reject(owner, name, "hold at least one image", X)
    if X.shape[1] not in (1, 3):
        reject(
            owner, name, "have 1 or 3 channels, as in (N, C, H, W)", X, "From (N, H, W, C): X.transpose(0, 3, 1, 2)."
        )
    if X.dtype != torch.uint8:
        if not X.is_floating_point():
            reject(owner, name, "be uint8 or float in [0, 1]", X, error=TypeError)
        X = X.detach().to(torch.float32)
        lowest, highest = X.aminmax()
        if not (torch.isfinite(lowest) and torch.isfinite(highest)):
            reject(owner, name, "be finite", X, "It holds NaN or infinite pixels.")
        if lowest < -ROUNDING or highest > 1 + ROUNDING:
            extremes = f"values from {lowest.item():.4g} to {highest.item():.4g}"
            raise ValueError(
                f"{owner}: {name} must be in [0, 1] when float; got {extremes}. Divide by 255, or pass uint8."
            )
        if lowest < 0 or highest > 1:
            X = X.clamp(0, 1)
    if image_shape is not None and tuple(X.shape[1:]) != tuple(image_shape):
        expected = "×".join(map(str, image_shape))
        reject(owner, name, f"hold images of shape {expected}, as in fit", X)
    return X


def _grey(owner: str, name: str, X: Tensor, image_shape: tuple[int, int, int] | None, listed: bool) -> Tensor:
    """Return (N, H, W) as (N, 1, H, W), unless it is one image: that is refused where it shows, else warned of."""
    if image_shape is not None and tuple(X.shape[1:]) == tuple(image_shape[1:]) and image_shape[0] == 1:
        return X.unsqueeze(1)  # as in fit, so nothing is ambiguous
    rule, wide = "be several images; this looks like one {} image, {}", X.shape[1] > 4
    if wide and X.shape[2] in (3, 4):  # N grey images so narrow would be no images
        remedy = f"One colour image is {name}[None].transpose(0, 3, 1, 2), without the transparency of RGBA."
        reject(owner, name, rule.format("colour", "(H, W, C)"), X, remedy)
    if wide and X.shape[2] == 1:
        remedy = f"One grey image is {name}[None, ..., 0]; {name}[:, None] is many, one pixel wide."
        reject(owner, name, rule.format("grey", "(H, W, 1)"), X, remedy)
    if len(X) in (3, 4) and tuple(X.shape) == image_shape:
        reject(owner, name, rule.format("colour", "(C, H, W)"), X, f"One image is {name}[None].")
    if wide and len(X) in (3, 4) and not listed:  # may be either
        colour = f"{name}[None]" if len(X) == 3 else f"{name}[None, :3]"
        warnings.warn(
            f"{owner}: {name} of shape {tuple(X.shape)} is read as {len(X)} grey images, (N, H, W). "
            f"Write {name}[:, None] for these; one colour image, (C, H, W), is {colour}.",
            AmbiguousImagesWarning,
            stacklevel=4,
        )
    return X.unsqueeze(1)


def as_labels(owner: str, y: Any, n: int, *, name: str = "y") -> Tensor:
    """Return labels as a bool tensor of shape (n,); True marks an anomaly.

    Raises
    ------
    TypeError
        `y` is no array of numbers.
    ValueError
        Another length, or values other than 0 (normal) and 1 (anomalous).
    """
    try:
        labels = np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y)
    except ValueError:  # lists of different lengths
        labels = np.array(None)
    if labels.dtype.kind not in "buif":
        reject(owner, name, "be an array of 0 and 1", y, error=TypeError)
    labels = torch.from_numpy(labels.astype(np.float64 if labels.dtype.kind == "f" else np.int64))  # native byte order
    if tuple(labels.shape) != (n,):
        reject(owner, name, f"have shape ({n},), one label an image", labels)
    if not bool(((labels == 0) | (labels == 1)).all()):
        values = sorted(set(labels.tolist()))[:5]
        reject(owner, name, "be 0 (normal) or 1 (anomalous)", values)
    return labels.bool()


def new_name(owner: str, name: str, names: Mapping[str, str], remedy: str) -> str:
    """Return the name that a module's member has today, for a module's `__getattr__`; warns that it was renamed.

    Parameters
    ----------
    owner, name : str
        The module and the old name.
    names : mapping of str to str
        Old names to new ones.
    remedy : str
        What to say where `name` is none of them.

    Raises
    ------
    AttributeError
        No such old name.
    """
    if name not in names:
        raise AttributeError(f"{owner} has no {name!r}. {remedy}")
    warnings.warn(f"{owner}.{name} is now {names[name]}.", FutureWarning, stacklevel=3)
    return names[name]
