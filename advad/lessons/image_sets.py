"""Which image set a lesson loads, and whether it is there: asked before anything runs.

| profile | image set | where it is |
|---|---|---|
| `smoke` | the 8×8 digits; for another data set than MNIST as `lab` | in scikit-learn |
| `lab`   | the part of the data set that comes with advad, such as `MNIST-lab`; else the data set | in advad |
| `paper` | the data set itself | on the disk: `advad data MNIST` |
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advad.datasets.imageset import ImageSet
from advad.datasets.load import NAMES, data_folder
from advad.datasets.packaged import PACKAGED
from advad.datasets.torchvision_sets import check_present
from advad.lessons.parameters import read_parameters

DATASET = "MNIST"  # of a lesson without a parameter for it


def image_set(profile: str, dataset: str = DATASET) -> str:
    """Return the name of the image set that a profile loads for a data set, for :func:`advad.load`.

    Examples
    --------
    >>> image_set("lab", "FashionMNIST"), image_set("lab", "CIFAR10"), image_set("paper"), image_set("smoke")
    ('FashionMNIST-lab', 'CIFAR10', 'MNIST', 'digits')
    """
    if profile == "smoke" and dataset == DATASET:
        return "digits"
    part = f"{dataset}-lab"
    return part if profile != "paper" and part in PACKAGED else dataset


def class_name(images: ImageSet, number: int) -> str:
    """Return what a finding calls a class: "the digit 8", or "the class “Bag”"."""
    name = images.classes[number]
    return f"the digit {name}" if name.isdigit() else f"the class “{name}”"


def class_nouns(images: ImageSet) -> tuple[str, str]:
    """Return what a finding calls a class of these and several: ("digit", "digits"), or ("class", "classes")."""
    return ("digit", "digits") if all(name.isdigit() for name in images.classes) else ("class", "classes")


def check_image_set(notebook: str | Path, values: Mapping[str, Any]) -> None:
    """Raise FileNotFoundError where a lesson would run into a missing image set; the message names the remedy.

    Parameters
    ----------
    notebook : path
        One without a parameter `profile` is not checked: what it loads cannot be known.
    values : mapping of str to object
        The parameters that are not left at their defaults.
    """
    full = {name: parameter.default for name, parameter in read_parameters(notebook).items()} | dict(values)
    if "profile" not in full or full.get("folder"):  # somebody's own folder is looked at by the lesson itself
        return
    name = image_set(full["profile"], full.get("dataset", DATASET))
    if name in NAMES:
        check_present(name, data_folder())
