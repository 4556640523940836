"""Protocols: which images a detector is trained on, calibrated on and tested on.

| function        | known as                         | normal      | test part                                  |
|-----------------|----------------------------------|-------------|--------------------------------------------|
| `one_class`     | protocol 2 (ARAE)                | the named   | the official one, all classes              |
| `merged`        | protocol 1 (ARAE)                | the named   | 20 % of the normals, a share τ beside      |
|                 |                                  |             | anomalies drawn from all other classes     |
| `leave_one_out` | protocol 1 (ALCN)                | all but one | 20 % of everything                         |

The rest is common, and so are its options (`splits.SplitOptions`). From what is not of the test part, images are held
out for thresholds; the others are trained on; anomalies join them, contaminating (unseen) or labelled. Everything is
drawn from one random order (`splits.Draw`): a seed keeps its test images, and its clean held-out images, whatever the
contamination is, and a higher rate adds anomalies without exchanging any.

An image set without any anomalous image can be split, too: then the test part holds normal images only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from torch import Tensor

from advad.checks import check_number, reject
from advad.datasets.imageset import Classes, ImageSet, class_numbers, class_settings
from advad.datasets.splits import TEST, Draw, Split, SplitKeywords, SplitOptions, fill

__all__ = ["Split", "leave_one_out", "merged", "one_class"]

TRAIN_SHARE = 0.8  # of merged sets, in both papers
# A sweep's run is known by its arguments: these are left out at their defaults, so that older runs stay finished.
ADDED_LATER = ("train_share", "holdout_from", "by_group", "stratified")
Protocol = TypeVar("Protocol", bound=Callable[..., Split])


def _with_options(protocol: Protocol) -> Protocol:
    """Show the shared options one by one in a protocol's signature, for help, completion and sweeps."""
    signature = inspect.signature(protocol)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    shared = inspect.signature(SplitOptions).parameters.values()
    protocol.__signature__ = signature.replace(parameters=[*own, *shared])  # pyright: ignore[reportFunctionMemberAccess]
    return protocol


@_with_options
def one_class(images: ImageSet, *, normal: Classes, **options: Unpack[SplitKeywords]) -> Split:
    """Split by protocol 2: train on normal classes of the official training part, test on the official test part.

    Parameters
    ----------
    images : ImageSet
        With an official split.
    normal : int, str, or several
        The normal classes, by number or name; all others are anomalous.
    contamination : float in [0, 1)
        Share α of the unlabelled training images that is anomalous: round(α / (1 − α) · n) beside n normal ones.
    contaminants : int, str, or several, optional
        Classes the contamination comes from; by default all anomalous ones.
    labelled : float in [0, 1)
        Share γ of all training images that is anomalous and labelled so: round(γ / (1 − γ) · m) beside m unlabelled.
    labelled_classes : int, str, or several, optional
        Classes the labelled anomalies come from; by default all anomalous ones.
    holdout : float in [0, 1)
        Share of the images outside the test part that is held out of training, for thresholds. Default 0.1.
    seed : int
        Decides every choice. Default 0.
    train_size : int, optional
        Maximum number of training images in all, at the same α and γ.
    test_size : int, optional
        Maximum number of test images, at the same share of normal ones.
    holdout_from : {"clean", "contaminated"}
        "clean" (default) holds out normal images only, as if somebody had looked through them. "contaminated" holds
        out a random part of the unlabelled images, contaminating ones included, which needs no labels; then α is the
        share in training and held-out images together, and each part's own share varies by chance.
    by_group : bool
        Whether all images of a group (`ImageSet.groups`) go to the same side; training images of a group that is in
        the official test part are then left out. Default False.
    stratified : bool
        Whether each class keeps its proportion in the parts that are drawn, as nearly as whole images allow: held-out
        images from the clean pool, and what `train_size`, `test_size` and a protocol's own test part take. With
        `by_group`, groups come first. Default False.

    Returns
    -------
    Split

    Raises
    ------
    TypeError
        An argument of another type, or one that does not exist.
    ValueError
        A class that does not exist or has no image, a rate outside [0, 1), a rate that asks for more images
        than there are or for less than one, a set without an official split.

    Warns
    -----
    GroupLeakWarning
        A group of the test part is also trained or calibrated on.
    MaskWarning
        A normal image has marked pixels, or an anomalous test image has none.

    Notes
    -----
    Source : Salehi et al. 2020, "Protocol 2"; α: Beggel et al. 2019; γ: Shi and Zhang 2023.

    Examples
    --------
    >>> import advad
    >>> split = advad.one_class(advad.load("digits"), normal=8, contamination=0.05)
    >>> split.describe()
    'one_class on digits, normal: 8; train 116 (110 normal, 6 contaminating, 0 labelled), holdout 12, test 540 \
(52 normal, 488 anomalous); seed 0'
    >>> tuple(split.train.shape)
    (116, 1, 8, 8)
    """
    numbers, is_normal, draw, chosen = _begin("one_class", images, normal, options)
    if not images.is_test.any() or images.is_test.all():
        reject("one_class", "images", "have an official training and test part", images, "advad.merged makes its own.")
    test = draw.take(is_normal & images.is_test, side=TEST), draw.take(~is_normal & images.is_test, side=TEST)
    settings = {"protocol": "one_class", "images": images.name, "seed": int(chosen.seed)}
    return fill(settings | {"normal": class_settings(numbers, images)}, images, draw, numbers, test, chosen)


@_with_options
def merged(
    images: ImageSet,
    *,
    normal: Classes,
    test_normal_share: float | None = 0.5,
    train_share: float = TRAIN_SHARE,
    **options: Unpack[SplitKeywords],
) -> Split:
    """Split by protocol 1: merge the official parts, train on 80 % of the normal images, test on the other 20 %.

    Anomalies drawn from all anomalous classes join the test part until the share of normal images in it is τ:
    round(n · (1 − τ) / τ) beside n normal ones. Contaminating and labelled anomalies come from those that are left.

    Parameters
    ----------
    images : ImageSet
        With or without an official split, which is ignored. Without any anomalous image, the test part holds
        normal images only.
    normal : int, str, or several
        The normal classes, by number or name; all others are anomalous.
    test_normal_share : float in (0, 1), optional
        Share τ of normal images in the test part; None takes as large a share of the anomalies as of the normal
        images, whatever τ comes of it.
    train_share : float in (0, 1)
        Share of the normal images that is not tested on; 0.8 in the paper.
    contamination, contaminants, labelled, labelled_classes, holdout, seed, train_size, test_size, holdout_from
    stratified
        As in `one_class`.
    by_group : bool
        Whether all images of a group go to the same side. Groups are whole, so the shares hold approximately only.

    Returns
    -------
    Split

    Raises
    ------
    TypeError, ValueError
        As in `one_class`, and where τ asks for more anomalies than there are.

    Notes
    -----
    Source : Salehi et al. 2020, "Protocol 1".

    Examples
    --------
    >>> import advad
    >>> split = advad.merged(advad.load("digits"), normal=[0, 8], test_normal_share=0.9, seed=1)
    >>> split.normal_names, len(split.train), len(split.holdout)
    (('0', '8'), 254, 28)
    >>> int(split.test_is_anomaly.sum()), len(split.test)  # one tenth, as nearly as whole images allow
    (8, 78)
    """
    numbers, is_normal, draw, chosen = _begin("merged", images, normal, options)
    if test_normal_share is not None:
        check_number("merged", "test_normal_share", test_normal_share, 0, 1, ends="()")
    test = _merged_test("merged", draw, is_normal, test_normal_share, train_share)
    settings = {"protocol": "merged", "images": images.name, "seed": int(chosen.seed)}
    settings |= {"normal": class_settings(numbers, images), "test_normal_share": test_normal_share}
    return fill(settings | {"train_share": float(train_share)}, images, draw, numbers, test, chosen)


@_with_options
def leave_one_out(
    images: ImageSet, *, anomalous: Classes, train_share: float = TRAIN_SHARE, **options: Unpack[SplitKeywords]
) -> Split:
    """Split leave-one-out: one class is anomalous, all others are normal; merged, 80 % to train, 20 % to test.

    The same as `merged` with all other classes normal and `test_normal_share=None`: the test part holds 20 % of
    the normal and 20 % of the anomalous images. The other anomalous ones can contaminate or be labelled.

    Parameters
    ----------
    images : ImageSet
        With or without an official split, which is ignored.
    anomalous : int, str, or several
        The class left out, by number or name.
    train_share : float in (0, 1)
        Share of the images that is not tested on; 0.8 in the paper.
    contamination, contaminants, labelled, labelled_classes, holdout, seed, train_size, test_size, holdout_from
    stratified
        As in `one_class`.
    by_group : bool
        As in `merged`.

    Raises
    ------
    TypeError, ValueError
        As in `one_class`.

    Notes
    -----
    Source : Barker et al. 2023, "Protocol 1" (their own name for it; ARAE's protocol 1 is `merged`).

    Examples
    --------
    >>> import advad
    >>> split = advad.leave_one_out(advad.load("digits"), anomalous=8)
    >>> split.describe()
    'leave_one_out on digits, normal: 0, 1, 2, 3, 4, 5, 6, 7, 9; train 1168 (1168 normal, 0 contaminating, 0 labelled)\
, holdout 130, test 360 (325 normal, 35 anomalous); seed 0'
    """
    left_out = class_numbers("leave_one_out", "anomalous", anomalous, images)
    normal = [number for number in images.labels.unique().tolist() if number not in left_out]
    if not normal:
        reject("leave_one_out", "anomalous", "leave at least one class to be normal", anomalous)
    names = [images.classes[number] for number in normal]
    numbers, is_normal, draw, chosen = _begin("leave_one_out", images, names, options)
    test = _merged_test("leave_one_out", draw, is_normal, None, train_share)
    settings = {"protocol": "leave_one_out", "images": images.name, "seed": int(chosen.seed)}
    settings |= {"anomalous": class_settings(left_out, images), "train_share": float(train_share)}
    return fill(settings, images, draw, numbers, test, chosen)


def _begin(
    protocol: str, images: ImageSet, normal: Classes, options: Any
) -> tuple[list[int], Tensor, Draw, SplitOptions]:
    """Return the normal classes' numbers, which images are of them, the draw of all images, and the options."""
    if unknown := [name for name in options if name not in SplitOptions.__dataclass_fields__]:
        known = ", ".join(SplitOptions.__dataclass_fields__)
        raise TypeError(f"{protocol}: no argument {unknown[0]!r}. Its options are {known}.")
    numbers = class_numbers(protocol, "normal", normal, images)
    chosen = SplitOptions(**options)
    chosen.check(protocol, images)
    groups = images.groups if chosen.by_group else None
    strata = images.labels if chosen.stratified else None
    return numbers, images.is_of(numbers), Draw(len(images), chosen.seed, groups, strata), chosen


def _merged_test(
    protocol: str, draw: Draw, is_normal: Tensor, normal_share: float | None, train_share: float
) -> tuple[Tensor, Tensor]:
    """Take the test part of merged images: normal and anomalous ones."""
    check_number(protocol, "train_share", train_share, 0, 1, ends="()")
    n_normal, n_anomalous = (int(mask.sum()) for mask in (is_normal, ~is_normal))
    n_test = n_normal - round(train_share * n_normal)
    if n_test == 0:
        rule = f"leave at least one of {n_normal} normal images to test on"
        reject(protocol, "train_share", rule, train_share)
    normal = draw.take(is_normal, n_test, side=TEST, whole=True)
    if n_anomalous == 0:
        n_other = 0  # a set of normal images only
    elif normal_share is None:
        n_other = n_anomalous - round(train_share * n_anomalous)
    else:
        n_other = round(len(normal) * (1 - normal_share) / normal_share)
        if n_other > n_anomalous:
            rule = f"ask for no more than the {n_anomalous} anomalous images beside {len(normal)} normal ones"
            reject(protocol, "test_normal_share", rule, normal_share, f"It asks for {n_other}.")
    return normal, draw.take(~is_normal, n_other, side=TEST)
