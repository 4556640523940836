"""What a protocol returns, a Split, the options that all protocols share, and how images are drawn, a Draw."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from advad.checks import check_choice, check_number, reject
from advad.datasets.imageset import Classes, ImageSet, class_numbers, class_settings

HOLDOUTS = ("clean", "contaminated")
TRAIN, HOLDOUT, TEST = "train", "holdout", "test"


class GroupLeakWarning(UserWarning):
    """Images of one group are trained on and tested on, so the test flatters the detector."""


class MaskWarning(UserWarning):
    """A mask contradicts the class of its image, so that metrics of pixels would be wrong."""


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """The options that all protocols share, with their defaults; `one_class` explains each."""

    contamination: float = 0.0
    contaminants: Classes | None = None
    labelled: float = 0.0
    labelled_classes: Classes | None = None
    holdout: float = 0.1
    seed: int = 0
    train_size: int | None = None
    test_size: int | None = None
    holdout_from: str = "clean"
    by_group: bool = False
    stratified: bool = False

    def check(self, protocol: str, images: ImageSet) -> None:
        """Raise TypeError or ValueError, in the name of the protocol, where an option is not allowed."""
        check_number(protocol, "seed", self.seed, 0, 2**32 - 1, integer=True)
        for name in ("contamination", "labelled", "holdout"):
            check_number(protocol, name, getattr(self, name), 0, 1, ends="[)", remedy="It is a share, so 0.05 is 5 %.")
        for name, cap, least in (("train_size", self.train_size, 1), ("test_size", self.test_size, 2)):
            if cap is not None:
                check_number(protocol, name, cap, least, integer=True)
        check_choice(protocol, "holdout_from", self.holdout_from, HOLDOUTS)
        for name in ("by_group", "stratified"):
            check_choice(protocol, name, getattr(self, name), (True, False))
        if self.by_group and images.groups is None:
            remedy = "advad.load(..., groups=...) gives it some."
            reject(protocol, "images", "have groups where by_group is True", "none", remedy)


class SplitKeywords(TypedDict, total=False):
    """The types of `SplitOptions`, for the keywords of the protocols."""

    contamination: float
    contaminants: Classes | None
    labelled: float
    labelled_classes: Classes | None
    holdout: float
    seed: int
    train_size: int | None
    test_size: int | None
    holdout_from: str
    by_group: bool
    stratified: bool


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """What a protocol chose: images to train on, to calibrate on, to test on.

    Rows of `train` are the images `indices["normal"]`, `indices["contaminating"]`, `indices["labelled"]`, in that
    order; rows of `holdout` and `test` are those of their own indices. Each is sorted.
    Fields marked † are the truth, for evaluation only: a detector must not see them.

    Parameters
    ----------
    train : Tensor of shape (N, C, H, W), uint8
    train_y : Tensor of shape (N,), int64
        1 for labelled anomalies, which the detector is told of; else 0, contaminating images too.
    train_labels : Tensor of shape (N,), int64
        Class numbers †.
    train_is_anomaly : Tensor of shape (N,), bool
        True for contaminating and labelled anomalies †.
    holdout : Tensor of shape (M, C, H, W), uint8
        Images that are neither trained on nor tested on, for thresholds: normal ones, or, with
        `holdout_from="contaminated"`, as many anomalous ones among them as chance has it.
    holdout_labels : Tensor of shape (M,), int64
        Class numbers †.
    test : Tensor of shape (T, C, H, W), uint8
    test_labels : Tensor of shape (T,), int64
        Class numbers †.
    test_is_anomaly : Tensor of shape (T,), bool
        The truth that scores are compared with †. All False where the image set has no anomalous image: then
        false alarms can be counted, but no metric that needs anomalies can be computed.
    indices : dict of str to Tensor of int64
        Positions in the image set, by role: "normal", "contaminating", "labelled", "holdout", "test"; disjoint.
    classes : tuple of str
        Class names.
    normal : tuple of int
        Class numbers of the normal classes.
    settings : dict
        The protocol's name and all its arguments, fit for JSON.
    holdout_is_anomaly : Tensor of shape (M,), bool
        True for contaminating images that are held out †.
    masks : dict of str to Tensor of shape (N, H, W), uint8, or None
        The masks of the parts "train", "holdout" and "test" †; None where the image set has none.
    files, groups : dict of str to tuple of str, or None
        File names and groups of the images of each part; None where the image set has none.
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
    holdout_is_anomaly: Tensor
    masks: dict[str, Tensor] | None = None
    files: dict[str, tuple[str, ...]] | None = None
    groups: dict[str, tuple[str, ...]] | None = None

    @property
    def normal_names(self) -> tuple[str, ...]:
        """Names of the normal classes."""
        return tuple(self.classes[number] for number in self.normal)

    @property
    def contaminants(self) -> tuple[int, ...]:
        """Class numbers of the classes that the contamination comes from, in `settings` by number or by name."""
        classes = self.settings["contaminants"]
        return tuple(self.classes.index(entry) if isinstance(entry, str) else entry for entry in classes)

    def describe(self) -> str:
        """Return one line that says what is in the split."""
        count = {role: len(chosen) for role, chosen in self.indices.items()}
        anomalous, held_out = int(self.test_is_anomaly.sum()), int(self.holdout_is_anomaly.sum())
        return (
            f"{self.settings['protocol']} on {self.settings['images']}, normal: {', '.join(self.normal_names)}; "
            f"train {len(self.train)} ({count['normal']} normal, {count['contaminating']} contaminating, "
            f"{count['labelled']} labelled), holdout {count['holdout']}"
            f"{f' ({held_out} contaminating)' if held_out else ''}, "
            f"test {len(self.test)} ({len(self.test) - anomalous} normal, {anomalous} anomalous); "
            f"seed {self.settings['seed']}"
        )

    def __repr__(self) -> str:
        return f"Split({self.describe()})"


class Draw:
    """Images drawn without replacement, in one random order of the whole set.

    A role takes the first candidates in that order, or the last ones. So the same seed gives the same images to
    a role whatever a later role takes, and a role that takes more gets the same ones and others besides.

    With groups, each group is on one side (training, held out, test), which the first image taken of it decides;
    its other images are candidates for that side only.

    Parameters
    ----------
    count : int
        How many images there are.
    seed : int
        Decides the order.
    groups : sequence of str, optional
        The group of each image; without, each image is free to go anywhere.
    strata : Tensor of shape (N,), optional
        The class of each image. With it, the first images in the order, however many, hold each class in its
        proportion, as nearly as whole images allow; so do the last ones.
    """

    def __init__(
        self, count: int, seed: int, groups: Iterable[str] | None = None, strata: Tensor | None = None
    ) -> None:
        generator = torch.Generator().manual_seed(int(seed))
        self.order = torch.randperm(count, generator=generator)
        if strata is not None:
            self.order = self.order[_interleaved(strata[self.order]).argsort(stable=True)]
        self.rank = torch.randperm(count, generator=generator)  # a second order, independent of the first
        self.is_free = torch.ones(count, dtype=torch.bool)
        self.group = None if groups is None else torch.from_numpy(np.unique(list(groups), return_inverse=True)[1])
        self.side = np.full(count, "", dtype=object)  # only with groups

    def candidates(self, mask: Tensor, side: str) -> Tensor:
        """Return the free positions where `mask` is True, in the random order; with groups, those open to `side`.

        With groups, those of groups on that side come first, then one undecided group after the other.
        """
        pool = self.order[(mask & self.is_free)[self.order]]
        if self.group is None:
            return pool
        sides = self.side[pool.numpy()]
        undecided = pool[torch.from_numpy(sides == "")]
        return torch.cat([pool[torch.from_numpy(sides == side)], self.group_by_group(undecided)])

    def group_by_group(self, pool: Tensor) -> Tensor:
        """Return positions with those of a group together, the groups in the order of their first positions."""
        assert self.group is not None
        _, first, member = np.unique(self.group[pool].numpy(), return_index=True, return_inverse=True)
        return pool[torch.from_numpy(first[member]).argsort(stable=True)]

    def take(
        self, mask: Tensor, count: int | None = None, *, side: str, last: bool = False, whole: bool = False
    ) -> Tensor:
        """Take candidates for a side, and return their positions in the order in which they were taken.

        Parameters
        ----------
        mask : Tensor of shape (N,), bool
            Which images are candidates.
        count : int or None
            How many to take; None takes all.
        side : {"train", "holdout", "test"}
            Where they go.
        last : bool
            Whether to take the last ones instead of the first.
        whole : bool
            With groups, whether to take all candidates of a group of which one is taken, so more than `count`.
        """
        pool = self.candidates(mask, side)
        taken = (pool.flip(0) if last else pool)[:count]
        if whole and self.group is not None:
            taken = pool[torch.isin(self.group[pool], self.group[taken])]
        self.assign(taken, side)
        return taken

    def assign(self, taken: Tensor, side: str) -> None:
        """Mark images as taken, and their groups as being on that side."""
        self.is_free[taken] = False
        if self.group is not None:
            self.side[torch.isin(self.group, self.group[taken]).numpy()] = side


def _interleaved(labels: Tensor) -> Tensor:
    """Return where along [0, 1] each image stands if those of each class are spread evenly, in their present order."""
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique():
        members = labels == label
        n = int(members.sum())
        place[members] = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return place


def fill(
    settings: dict[str, Any],
    images: ImageSet,
    draw: Draw,
    normal: list[int],
    test: tuple[Tensor, Tensor],
    options: SplitOptions,
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
    options : SplitOptions
        Checked.

    Raises
    ------
    TypeError, ValueError
        As `protocols.one_class` lists.
    """
    protocol = settings["protocol"]
    contaminants = _anomalous_classes(protocol, "contaminants", options.contaminants, images, normal)
    labelled_classes = _anomalous_classes(protocol, "labelled_classes", options.labelled_classes, images, normal)
    is_normal = images.is_of(normal)
    left = images.labels[draw.candidates(is_normal, TRAIN)].tolist()
    if used_up := [images.classes[number] for number in normal if number not in left]:
        reject(protocol, "normal", "be classes with images outside the test part", used_up)

    def take_anomalies(name: str, numbers: list[int], count: int, rate: str, last: bool) -> Tensor:
        mask = images.is_of(numbers)
        if (available := len(draw.candidates(mask, TRAIN))) < count:
            remedy = f"Lower {rate} or train_size, or name more classes."
            reject(protocol, name, f"have {count} images outside the test part to give for {rate}", available, remedy)
        return draw.take(mask, count, side=TRAIN, last=last)

    n_holdout = _holdout_size(protocol, options.holdout, len(left))
    if options.holdout_from == "clean":
        held_out = draw.take(is_normal, n_holdout, side=HOLDOUT, whole=True)
        n_left = len(draw.candidates(is_normal, TRAIN))
        if n_left == 0:
            reject(protocol, "holdout", "leave a group of normal images to train on", options.holdout)
        n_normal, n_contaminating, n_labelled = _counts(protocol, n_left, options)
        sound = draw.take(is_normal, n_normal, side=TRAIN)
        contaminating = take_anomalies("contaminants", contaminants, n_contaminating, "contamination", last=False)
    else:
        n_contaminating = _counts(protocol, len(left), dataclasses.replace(options, labelled=0.0, train_size=None))[1]
        sound = draw.take(is_normal, side=TRAIN)  # first, so that with groups the contamination spreads over theirs
        contaminating = take_anomalies("contaminants", contaminants, n_contaminating, "contamination", last=False)
        pool = torch.cat([sound, contaminating])
        held_out, unlabelled, n_labelled = _blind_parts(protocol, draw, pool, options)
        sound, contaminating = unlabelled[is_normal[unlabelled]], unlabelled[~is_normal[unlabelled]]
        if len(sound) == 0:
            reject(protocol, "train_size", "leave room for a normal image", options.train_size)
    # the last ones, so that they stay the same when the contamination changes
    labelled = take_anomalies("labelled_classes", labelled_classes, n_labelled, "labelled", last=True)
    roles = {
        "holdout": held_out,
        "normal": sound,
        "contaminating": contaminating,
        "labelled": labelled,
        "test": _cut_test(protocol, *test, options.test_size, may_lack_anomalies=bool(is_normal.all())),
    }
    indices = {role: positions.sort().values for role, positions in roles.items()}
    train = torch.cat([indices["normal"], indices["contaminating"], indices["labelled"]])
    parts = {TRAIN: train, HOLDOUT: indices["holdout"], TEST: indices["test"]}
    groups = _of_parts(images.groups, parts)
    if groups is not None:
        _warn_of_leaks(protocol, groups)
    _warn_of_masks(protocol, images, is_normal, parts)
    return Split(
        train=images.images[train],
        train_y=(torch.arange(len(train)) >= len(train) - len(labelled)).long(),
        train_labels=images.labels[train],
        train_is_anomaly=~is_normal[train],
        holdout=images.images[indices["holdout"]],
        holdout_labels=images.labels[indices["holdout"]],
        holdout_is_anomaly=~is_normal[indices["holdout"]],
        test=images.images[indices["test"]],
        test_labels=images.labels[indices["test"]],
        test_is_anomaly=~is_normal[indices["test"]],
        indices=indices,
        classes=images.classes,
        normal=tuple(normal),
        settings={
            **settings,
            "contamination": float(options.contamination),
            "contaminants": class_settings(contaminants, images),
            "labelled": float(options.labelled),
            "labelled_classes": class_settings(labelled_classes, images),
            "holdout": float(options.holdout),
            "train_size": None if options.train_size is None else int(options.train_size),
            "test_size": None if options.test_size is None else int(options.test_size),
            "holdout_from": options.holdout_from,
            "by_group": options.by_group,
            "stratified": options.stratified,
        },
        masks=None if images.masks is None else {part: images.masks[rows] for part, rows in parts.items()},
        files=_of_parts(images.files, parts),
        groups=groups,
    )


def _of_parts(values: tuple[str, ...] | None, parts: dict[str, Tensor]) -> dict[str, tuple[str, ...]] | None:
    """Return the values of the images of each part; None where there are no values."""
    return None if values is None else {part: tuple(values[k] for k in rows.tolist()) for part, rows in parts.items()}


def _warn_of_leaks(protocol: str, groups: dict[str, tuple[str, ...]]) -> None:
    """Warn where a group has images on both sides: in the test part, and among those trained or calibrated on."""
    shared = sorted(set(groups[TEST]) & (set(groups[TRAIN]) | set(groups[HOLDOUT])))
    if shared:
        text = f"{protocol}: {len(shared)} of {len(set(groups[TEST]))} groups of the test part are also trained or "
        text += f"calibrated on, such as {shared[0]!r}, so the test flatters the detector."
        warnings.warn(f"{text} by_group=True splits by group.", GroupLeakWarning, stacklevel=4)


def _warn_of_masks(protocol: str, images: ImageSet, is_normal: Tensor, parts: dict[str, Tensor]) -> None:
    """Warn where a normal image has a defect marked, or an anomalous test image has none."""
    if images.masks is None:
        return
    marked = images.masks.flatten(1).amax(1) > 0
    used = torch.cat(list(parts.values()))
    test = parts[TEST]
    cases = {
        "normal images have marked pixels": used[is_normal[used] & marked[used]],
        "anomalous test images have no marked pixel": test[~is_normal[test] & ~marked[test]],
    }
    for what, rows in cases.items():
        if len(rows):
            name = f"number {int(rows[0])}" if images.files is None else images.files[int(rows[0])]
            text = f"{protocol}: {len(rows)} {what}, such as {name}, so metrics of pixels would be wrong."
            warnings.warn(f"{text} Mend the masks, or leave the images out.", MaskWarning, stacklevel=4)


def _anomalous_classes(
    protocol: str, name: str, classes: Classes | None, images: ImageSet, normal: list[int]
) -> list[int]:
    """Return the numbers of the named classes, all of them anomalous; None names all the anomalous classes."""
    if classes is None:
        return [number for number in images.labels.unique().tolist() if number not in normal]
    numbers = class_numbers(protocol, name, classes, images)
    if overlap := [images.classes[number] for number in numbers if number in normal]:
        reject(protocol, name, "be anomalous classes", overlap, "It is normal here.")
    return numbers


def _holdout_size(protocol: str, holdout: float, available: int) -> int:
    """Return how many of the available images are held out: at least one where any are asked for, and not all."""
    count = round(holdout * available)
    if (holdout > 0 and count == 0) or count == available:
        reject(protocol, "holdout", f"hold out at least one of {available} normal images, and not all", holdout)
    return count


def _counts(protocol: str, n_normal: int, options: SplitOptions) -> tuple[int, int, int]:
    """Return how many normal, contaminating and labelled images make a training part with the given shares."""
    contamination, labelled = float(options.contamination), float(options.labelled)

    def added(n: int) -> tuple[int, int]:
        n_contaminating = round(contamination / (1 - contamination) * n)
        return n_contaminating, round(labelled / (1 - labelled) * (n + n_contaminating))

    if options.train_size is not None:
        n_normal = min(n_normal, options.train_size)
        while n_normal + sum(added(n_normal)) > options.train_size:
            n_normal -= 1
    if n_normal == 0:
        reject(protocol, "train_size", "leave room for a normal image", options.train_size)
    n_contaminating, n_labelled = added(n_normal)
    for name, rate, count in (("contamination", contamination, n_contaminating), ("labelled", labelled, n_labelled)):
        if rate > 0 and count == 0:  # a rate that is recorded must be there
            rule = f"give at least one image beside {n_normal} normal ones"
            reject(protocol, name, rule, rate, "Raise it, or pass 0.")
    return n_normal, n_contaminating, n_labelled


def _blind_parts(protocol: str, draw: Draw, pool: Tensor, options: SplitOptions) -> tuple[Tensor, Tensor, int]:
    """Divide unlabelled images into held-out and training ones without looking at their classes.

    They come in an order of its own, since in the usual order contaminating images were chosen first.

    Returns
    -------
    held_out, training : Tensor
        Positions.
    n_labelled : int
        How many labelled anomalies the training part needs.
    """
    pool = pool[draw.rank[pool].argsort()]
    n_holdout = _holdout_size(protocol, options.holdout, len(pool))
    if draw.group is None:
        held_out, rest = pool[:n_holdout], pool[n_holdout:]
    else:
        pool = draw.group_by_group(pool)
        in_holdout = torch.isin(draw.group[pool], draw.group[pool[:n_holdout]])
        held_out, rest = pool[in_holdout], pool[~in_holdout]
        if len(rest) == 0:
            reject(protocol, "holdout", "leave a group of images to train on", options.holdout)
    draw.assign(held_out, HOLDOUT)

    def n_labelled(n: int) -> int:
        return round(options.labelled / (1 - options.labelled) * n)

    n = len(rest) if options.train_size is None else min(len(rest), options.train_size)
    while options.train_size is not None and n + n_labelled(n) > options.train_size:
        n -= 1
    if options.labelled > 0 and n_labelled(n) == 0:
        reject(protocol, "labelled", f"give at least one image beside {n} unlabelled ones", options.labelled)
    return held_out, rest[:n], n_labelled(n)


def _cut_test(protocol: str, normal: Tensor, anomalous: Tensor, size: int | None, may_lack_anomalies: bool) -> Tensor:
    """Return the test part, at most `size` images of it, at the same share of normal ones."""
    n_normal, n_anomalous = len(normal), len(anomalous)
    if n_normal == 0 or (n_anomalous == 0 and not may_lack_anomalies):
        reject(protocol, "the test part", "hold normal and anomalous images", [n_normal, n_anomalous])
    if size is None or size >= n_normal + n_anomalous:
        return torch.cat([normal, anomalous])
    if n_anomalous == 0:
        return normal[:size]
    share = n_normal / (n_normal + n_anomalous)
    n_kept = min(max(round(size * share), 1), size - 1)  # at least one of each, or no score can be measured
    return torch.cat([normal[:n_kept], anomalous[: size - n_kept]])
