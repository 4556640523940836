"""What a protocol returns, a Split, and how it draws images, a Draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from advad.checks import check_number, reject
from advad.datasets.imageset import Classes, ImageSet, class_numbers


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """What a protocol chose: images to train on, to calibrate on, to test on.

    Rows of `train` are the images `indices["normal"]`, `indices["contaminating"]`, `indices["labelled"]`, in that
    order; rows of `holdout` and `test` are those of their own indices. Each is sorted. So the masks of the test part,
    where a set has some, are `images.masks[split.indices["test"]]`.
    Fields marked † are the truth, for evaluation only: a detector is not to see them.

    Parameters
    ----------
    train : Tensor of shape (N, C, H, W), uint8
    train_y : Tensor of shape (N,), int64
        1 for labelled anomalies, which the detector is told of; else 0, contaminating images too.
    train_labels : Tensor of shape (N,), int64
        Class numbers †.
    train_is_anomaly : Tensor of shape (N,), bool
        True for contaminating and labelled anomalies †.
    holdout : Tensor of shape (H, C, H, W), uint8
        Normal images that are neither trained on nor tested on, for thresholds.
    holdout_labels : Tensor of shape (H,), int64
        Class numbers †.
    test : Tensor of shape (T, C, H, W), uint8
    test_labels : Tensor of shape (T,), int64
        Class numbers †.
    test_is_anomaly : Tensor of shape (T,), bool
        The truth that scores are compared with †.
    indices : dict of str to Tensor of int64
        Positions in the image set, by role: "normal", "contaminating", "labelled", "holdout", "test"; disjoint.
    classes : tuple of str
        Class names.
    normal : tuple of int
        Class numbers of the normal classes.
    settings : dict
        The protocol's name and all its arguments, fit for JSON.
    """

    train: Tensor
    train_y: Tensor
    train_labels: Tensor
    train_is_anomaly: Tensor
    holdout: Tensor
    holdout_labels: Tensor
    test: Tensor
    test_labels: Tensor
    test_is_anomaly: Tensor
    indices: dict[str, Tensor]
    classes: tuple[str, ...]
    normal: tuple[int, ...]
    settings: dict[str, Any]

    def describe(self) -> str:
        """Return one line that says what is in the split."""
        normal = ", ".join(self.classes[number] for number in self.normal)
        count = {role: len(chosen) for role, chosen in self.indices.items()}
        anomalous = int(self.test_is_anomaly.sum())
        return (
            f"{self.settings['protocol']} on {self.settings['images']}, normal: {normal}; "
            f"train {len(self.train)} ({count['normal']} normal, {count['contaminating']} contaminating, "
            f"{count['labelled']} labelled), holdout {count['holdout']}, "
            f"test {len(self.test)} ({len(self.test) - anomalous} normal, {anomalous} anomalous); "
            f"seed {self.settings['seed']}"
        )

    def __repr__(self) -> str:
        return f"Split({self.describe()})"


class Draw:
    """Images drawn without replacement, in one random order of the whole set.

    Whoever draws gets the first candidates in that order, or the last. So the same seed gives the same images to
    a role whatever a later role takes, and who takes more gets the same ones and others besides.

    Parameters
    ----------
    count : int
        How many images there are.
    seed : int
        Decides the order.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.order = torch.randperm(count, generator=torch.Generator().manual_seed(int(seed)))
        self.is_free = torch.ones(count, dtype=torch.bool)

    def candidates(self, mask: Tensor) -> Tensor:
        """Return the positions where `mask` is True and nobody has taken the image, in the random order."""
        return self.order[(mask & self.is_free)[self.order]]

    def take(self, mask: Tensor, count: int | None = None, *, last: bool = False) -> Tensor:
        """Take `count` candidates (None: all), the first or the last ones; return their positions in that order."""
        pool = self.candidates(mask)
        taken = (pool.flip(0) if last else pool)[:count]
        self.is_free[taken] = False
        return taken


def fill(
    settings: dict[str, Any],
    images: ImageSet,
    draw: Draw,
    normal: list[int],
    test: tuple[Tensor, Tensor],
    *,
    contamination: float,
    contaminants: Classes | None,
    labelled: float,
    labelled_classes: Classes | None,
    holdout: float,
    train_size: int | None,
    test_size: int | None,
) -> Split:
    """Return the split of a protocol that has taken its test part: the rest is drawn from what is left.

    Parameters
    ----------
    settings : dict
        The protocol's name and own arguments, to be recorded.
    images : ImageSet
    draw : Draw
        Of all images, those of the test part taken.
    normal : list of int
        The normal classes' numbers.
    test : (Tensor, Tensor)
        Positions of normal and of anomalous test images.
    contamination, contaminants, labelled, labelled_classes, holdout, train_size, test_size
        As in `protocols.one_class`, which also lists what is raised.

    Returns
    -------
    Split
    """
    protocol = settings["protocol"]
    for name, rate in (("contamination", contamination), ("labelled", labelled), ("holdout", holdout)):
        check_number(protocol, name, rate, 0, 1, ends="[)", remedy="It is a share, so 0.05 is 5 %.")
    for name, cap, least in (("train_size", train_size, 1), ("test_size", test_size, 2)):
        if cap is not None:
            check_number(protocol, name, cap, least, integer=True)
    contaminants = _anomalous_classes(protocol, "contaminants", contaminants, images, normal)
    labelled_classes = _anomalous_classes(protocol, "labelled_classes", labelled_classes, images, normal)

    is_normal = images.is_of(normal)
    left = images.labels[draw.candidates(is_normal)].tolist()
    if used_up := [images.classes[number] for number in normal if number not in left]:
        reject(protocol, "normal", "be classes with images outside the test part", used_up)
    n_holdout = round(holdout * len(left))
    if (holdout > 0 and n_holdout == 0) or n_holdout == len(left):
        reject(protocol, "holdout", f"hold out at least one of {len(left)} normal images, and not all", holdout)
    n_normal, n_contaminating, n_labelled = _counts(
        protocol, len(left) - n_holdout, float(contamination), float(labelled), train_size
    )

    def take_anomalies(name: str, numbers: list[int], count: int, rate: str, last: bool) -> Tensor:
        mask = images.is_of(numbers)
        if (available := len(draw.candidates(mask))) < count:
            remedy = f"Lower {rate} or train_size, or name more classes."
            reject(protocol, name, f"have {count} images outside the test part to give for {rate}", available, remedy)
        return draw.take(mask, count, last=last)

    roles = {
        "holdout": draw.take(is_normal, n_holdout),
        "normal": draw.take(is_normal, n_normal),
        "contaminating": take_anomalies("contaminants", contaminants, n_contaminating, "contamination", last=False),
        # the last ones, so that they stay the same when the contamination changes
        "labelled": take_anomalies("labelled_classes", labelled_classes, n_labelled, "labelled", last=True),
        "test": _cut_test(protocol, *test, test_size),
    }
    indices = {role: positions.sort().values for role, positions in roles.items()}
    train = torch.cat([indices["normal"], indices["contaminating"], indices["labelled"]])
    train_y = (torch.arange(len(train)) >= n_normal + n_contaminating).long()
    return Split(
        train=images.images[train],
        train_y=train_y,
        train_labels=images.labels[train],
        train_is_anomaly=~is_normal[train],
        holdout=images.images[indices["holdout"]],
        holdout_labels=images.labels[indices["holdout"]],
        test=images.images[indices["test"]],
        test_labels=images.labels[indices["test"]],
        test_is_anomaly=~is_normal[indices["test"]],
        indices=indices,
        classes=images.classes,
        normal=tuple(normal),
        settings={
            **settings,
            "contamination": float(contamination),
            "contaminants": contaminants,
            "labelled": float(labelled),
            "labelled_classes": labelled_classes,
            "holdout": float(holdout),
            "train_size": None if train_size is None else int(train_size),
            "test_size": None if test_size is None else int(test_size),
        },
    )


def _anomalous_classes(
    protocol: str, name: str, classes: Classes | None, images: ImageSet, normal: list[int]
) -> list[int]:
    """Return the numbers of the named classes, all of them anomalous; None names all the anomalous classes."""
    if classes is None:
        return [number for number in images.labels.unique().tolist() if number not in normal]
    numbers = class_numbers(protocol, name, classes, images)
    if both := [images.classes[number] for number in numbers if number in normal]:
        reject(protocol, name, "be anomalous classes", both, "It is normal here.")
    return numbers


def _counts(
    protocol: str, n_normal: int, contamination: float, labelled: float, train_size: int | None
) -> tuple[int, int, int]:
    """Return how many normal, contaminating and labelled images make a training part with the given shares."""

    def added(n: int) -> tuple[int, int]:
        n_contaminating = round(contamination / (1 - contamination) * n)
        return n_contaminating, round(labelled / (1 - labelled) * (n + n_contaminating))

    if train_size is not None:
        n_normal = min(n_normal, train_size)
        while n_normal + sum(added(n_normal)) > train_size:
            n_normal -= 1
    if n_normal == 0:
        reject(protocol, "train_size", "leave room for a normal image", train_size)
    n_contaminating, n_labelled = added(n_normal)
    for name, rate, count in (("contamination", contamination, n_contaminating), ("labelled", labelled, n_labelled)):
        if rate > 0 and count == 0:  # a rate that is recorded must be there
            rule = f"give at least one image beside {n_normal} normal ones"
            reject(protocol, name, rule, rate, "Raise it, or pass 0.")
    return n_normal, n_contaminating, n_labelled


def _cut_test(protocol: str, normal: Tensor, anomalous: Tensor, size: int | None) -> Tensor:
    """Return the test part, at most `size` images of it, at the same share of normal ones."""
    n_normal, n_anomalous = len(normal), len(anomalous)
    if n_normal == 0 or n_anomalous == 0:
        reject(protocol, "the test part", "hold normal and anomalous images", [n_normal, n_anomalous])
    if size is None or size >= n_normal + n_anomalous:
        return torch.cat([normal, anomalous])
    share = n_normal / (n_normal + n_anomalous)
    kept = min(max(round(size * share), 1), size - 1)  # at least one of each, or no score can be measured
    return torch.cat([normal[:kept], anomalous[: size - kept]])
