"""An image set in memory, and the numbers of its classes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advad.checks import reject

Classes = int | str | Iterable[int | str]  # by number or name, one or several


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images with their classes, all in memory.

    Parameters
    ----------
    name : str
        What to call the set.
    images : Tensor of shape (N, C, H, W), uint8
        C is 1 or 3.
    labels : Tensor of shape (N,), int64
        Class numbers, positions in `classes`.
    classes : tuple of str
        Class names.
    is_test : Tensor of shape (N,), bool
        The official test part; all False where a set has none.
    masks : Tensor of shape (N, H, W), uint8, optional
        1 where a pixel is anomalous, else 0.
    files : tuple of N str, optional
        The image files, relative to the set's folder.
    groups : tuple of N str, optional
        What each image belongs to: a patient, a part, a day. Images of one group resemble each other, so a group
        should not be trained on and tested on.
    bit_depth : int
        How many bits the values of its 16-bit files use (see `folders`); 8 where it has none.
    report : str
        One sentence: what was loaded, what was left out, and why.

    Raises
    ------
    ValueError
        The tensors do not fit each other.
    """

    name: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    is_test: Tensor
    masks: Tensor | None = None
    files: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    bit_depth: int = 8
    report: str = ""

    def __post_init__(self) -> None:
        owner, shape = f"ImageSet {self.name!r}", tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape:
            reject(owner, "images", "be uint8 of shape (N, C, H, W) with 1 or 3 channels", self.images)
        if self.labels.dtype != torch.int64 or tuple(self.labels.shape) != shape[:1]:
            reject(owner, "labels", f"be int64 of shape ({shape[0]},), one label per image", self.labels)
        lowest, highest, last = int(self.labels.min()), int(self.labels.max()), len(self.classes) - 1
        if lowest < 0 or highest > last:
            raise ValueError(
                f"{owner}: labels must be in [0, {last}], positions in classes; got {lowest} to {highest}."
            )
        if self.is_test.dtype != torch.bool or tuple(self.is_test.shape) != shape[:1]:
            reject(owner, "is_test", f"be bool of shape ({shape[0]},), one per image", self.is_test)
        mask_shape = (shape[0], *shape[2:])
        if self.masks is not None and (self.masks.dtype != torch.uint8 or tuple(self.masks.shape) != mask_shape):
            reject(owner, "masks", f"be uint8 of shape {mask_shape}, one mask per image", self.masks)
        for name, values in (("files", self.files), ("groups", self.groups)):
            if values is not None and (not isinstance(values, tuple) or len(values) != shape[0]):
                reject(owner, name, f"be a tuple of {shape[0]} texts, one per image", values)

    def __len__(self) -> int:
        return len(self.images)

    def is_of(self, numbers: Iterable[int]) -> Tensor:
        """Return which images are of the classes with these numbers, a bool tensor of shape (N,)."""
        return torch.isin(self.labels, torch.tensor(list(numbers), dtype=torch.int64))

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.images.shape[1:]))
        masks = "" if self.masks is None else ", with masks"
        counts = f"{len(self)} images of {shape}, {len(self.classes)} classes, {int(self.is_test.sum())} for test"
        return f"ImageSet({self.name}: {counts}{masks})"


def class_numbers(owner: str, name: str, classes: Classes, images: ImageSet) -> list[int]:
    """Return the sorted numbers of one or several classes, given by number or name.

    Parameters
    ----------
    owner, name : str
        Who asks, and what the argument is called; both open the message.
    classes : int, str, or several of them
        A text is always a name. A number is the position in `images.classes`; but where a class is named by a number
        that is not its position, a number is a name too: of the folders "1", "2" and "3", 1 is the folder "1", and 0
        is refused.
    images : ImageSet
        The set the classes belong to.

    Raises
    ------
    TypeError
        Neither number nor name; no ImageSet.
    ValueError
        No class given, or one that does not exist or has no image.
    """
    if not isinstance(images, ImageSet):
        reject(owner, "images", "be an ImageSet", images, "advad.load makes one.", TypeError)
    if isinstance(classes, (np.ndarray, Tensor)):
        classes = classes.tolist()
    entries = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else [classes]
    if not entries:
        reject(owner, name, "name at least one class", classes)
    return sorted({_class_number(owner, name, entry, images) for entry in entries})


def _class_number(owner: str, name: str, entry: Any, images: ImageSet) -> int:
    """Return the number of one class."""
    known = ", ".join(images.classes[:12]) + (", …" if len(images.classes) > 12 else "")
    rule = f"be classes of {images.name} ({known}) or their numbers, 0 to {len(images.classes) - 1}"
    if isinstance(entry, str):
        if entry not in images.classes:
            close = difflib.get_close_matches(entry, images.classes, n=1, cutoff=0.5)
            reject(owner, name, rule, entry, f"Did you mean {close[0]!r}?" if close else "")
        number = images.classes.index(entry)
    elif isinstance(entry, (int, np.integer)) and not isinstance(entry, bool):
        number = _number_meant(owner, name, int(entry), images, rule)
    else:
        reject(owner, name, rule, entry, error=TypeError)
    if not (images.labels == number).any():
        reject(owner, name, "be classes that have images", images.classes[number], f"{images.name} has none of it.")
    return number


def _number_meant(owner: str, name: str, entry: int, images: ImageSet, rule: str) -> int:
    """Return the number of the class that an integer means: its position, or the name where names are numbers."""
    if not _names_clash(images):
        if not 0 <= entry < len(images.classes):
            reject(owner, name, rule, entry)
        return entry
    named = [k for k, label in enumerate(images.classes) if label.isdecimal() and int(label) == entry]
    if len(named) != 1:
        known = ", ".join(images.classes[:12]) + (", …" if len(images.classes) > 12 else "")
        remedy = "Its class names are numbers, so a number is read as a name. A text is clear."
        reject(owner, name, f"be classes of {images.name} ({known})", entry, remedy)
    return named[0]


def _names_clash(images: ImageSet) -> bool:
    """Return whether a class is named by a number that is not its position."""
    return any(label.isdecimal() and label != str(k) for k, label in enumerate(images.classes))


def class_settings(numbers: list[int], images: ImageSet) -> list[int] | list[str]:
    """Return classes as settings record them, so that `class_numbers` gives these numbers again.

    They are recorded by number; by name where class names are numbers that differ from the positions.
    """
    return [images.classes[number] for number in numbers] if _names_clash(images) else numbers
