"""Protocols: which images a detector is trained on, calibrated on and tested on.

| function        | known as                         | normal      | test part                                  |
|-----------------|----------------------------------|-------------|--------------------------------------------|
| `one_class`     | protocol 2 (ARAE)                | the named   | the official one, all classes              |
| `merged`        | protocol 1 (ARAE)                | the named   | 20 % of the normals, a share τ beside      |
|                 |                                  |             | anomalies drawn from all other classes     |
| `leave_one_out` | protocol 1 (ALCN)                | all but one | 20 % of everything                         |

The rest is common. From what is not of the test part, normal images are held out for thresholds; the others are
trained on; anomalies join them, contaminating (unseen) or labelled. Everything is drawn from one random order
(`splits.Draw`): a seed keeps its test and held-out images whatever the contamination is, and a higher rate adds
anomalies without exchanging any.
"""

from __future__ import annotations

from torch import Tensor

from advad.checks import check_number, reject
from advad.datasets.imageset import Classes, ImageSet, class_numbers
from advad.datasets.splits import Draw, Split, fill

__all__ = ["Split", "leave_one_out", "merged", "one_class"]

TRAIN_SHARE = 0.8  # of merged sets, in both papers


def one_class(
    images: ImageSet,
    *,
    normal: Classes,
    contamination: float = 0.0,
    contaminants: Classes | None = None,
    labelled: float = 0.0,
    labelled_classes: Classes | None = None,
    holdout: float = 0.1,
    seed: int = 0,
    train_size: int | None = None,
    test_size: int | None = None,
) -> Split:
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
        Share of the normal images outside the test part that is held out of training, for thresholds.
    seed : int
        Decides every choice.
    train_size : int, optional
        At most so many training images in all, at the same α and γ.
    test_size : int, optional
        At most so many test images, at the same share of normal ones.

    Returns
    -------
    Split

    Raises
    ------
    TypeError
        An argument of another type.
    ValueError
        A class that does not exist or has no image, a rate outside [0, 1), a rate that asks for more images
        than there are or for less than one, a set without an official split.

    Notes
    -----
    Source : Salehi et al. 2020, "Protocol 2"; α: Beggel et al. 2019; γ: Shi and Zhang 2023.
    """
    numbers, is_normal, draw = _begin("one_class", images, normal, seed)
    if not images.is_test.any() or images.is_test.all():
        reject("one_class", "images", "have an official training and test part", images, "advad.merged makes its own.")
    test = draw.take(is_normal & images.is_test), draw.take(~is_normal & images.is_test)
    return fill(
        {"protocol": "one_class", "images": images.name, "seed": int(seed), "normal": numbers},
        images,
        draw,
        numbers,
        test,
        contamination=contamination,
        contaminants=contaminants,
        labelled=labelled,
        labelled_classes=labelled_classes,
        holdout=holdout,
        train_size=train_size,
        test_size=test_size,
    )


def merged(
    images: ImageSet,
    *,
    normal: Classes,
    test_normal_share: float | None = 0.5,
    contamination: float = 0.0,
    contaminants: Classes | None = None,
    labelled: float = 0.0,
    labelled_classes: Classes | None = None,
    holdout: float = 0.1,
    seed: int = 0,
    train_size: int | None = None,
    test_size: int | None = None,
) -> Split:
    """Split by protocol 1: merge the official parts, train on 80 % of the normal images, test on the other 20 %.

    Anomalies drawn from all anomalous classes join the test part until the share of normal images in it is τ:
    round(n · (1 − τ) / τ) beside n normal ones. Contaminating and labelled anomalies come from those that are left.

    Parameters
    ----------
    images : ImageSet
        With or without an official split, which is ignored.
    normal : int, str, or several
        The normal classes, by number or name; all others are anomalous.
    test_normal_share : float in (0, 1), optional
        Share τ of normal images in the test part; None takes 20 % of the anomalies, whatever share comes of it.
    contamination, contaminants, labelled, labelled_classes, holdout, seed, train_size, test_size
        As in `one_class`.

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
    """
    numbers, is_normal, draw = _begin("merged", images, normal, seed)
    if test_normal_share is not None:
        check_number("merged", "test_normal_share", test_normal_share, 0, 1, ends="()")
    test = _merged_test("merged", draw, is_normal, test_normal_share)
    return fill(
        {
            "protocol": "merged",
            "images": images.name,
            "seed": int(seed),
            "normal": numbers,
            "test_normal_share": test_normal_share,
        },
        images,
        draw,
        numbers,
        test,
        contamination=contamination,
        contaminants=contaminants,
        labelled=labelled,
        labelled_classes=labelled_classes,
        holdout=holdout,
        train_size=train_size,
        test_size=test_size,
    )


def leave_one_out(
    images: ImageSet,
    *,
    anomalous: Classes,
    contamination: float = 0.0,
    contaminants: Classes | None = None,
    labelled: float = 0.0,
    labelled_classes: Classes | None = None,
    holdout: float = 0.1,
    seed: int = 0,
    train_size: int | None = None,
    test_size: int | None = None,
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
    contamination, contaminants, labelled, labelled_classes, holdout, seed, train_size, test_size
        As in `one_class`.

    Returns
    -------
    Split

    Raises
    ------
    TypeError, ValueError
        As in `one_class`.

    Notes
    -----
    Source : Barker et al. 2023, "Protocol 1" (their own name for it; ARAE's protocol 1 is `merged`).
    """
    left_out = class_numbers("leave_one_out", "anomalous", anomalous, images)
    normal = [number for number in images.labels.unique().tolist() if number not in left_out]
    if not normal:
        reject("leave_one_out", "anomalous", "leave at least one class to be normal", anomalous)
    numbers, is_normal, draw = _begin("leave_one_out", images, normal, seed)
    test = _merged_test("leave_one_out", draw, is_normal, None)
    return fill(
        {"protocol": "leave_one_out", "images": images.name, "seed": int(seed), "anomalous": left_out},
        images,
        draw,
        numbers,
        test,
        contamination=contamination,
        contaminants=contaminants,
        labelled=labelled,
        labelled_classes=labelled_classes,
        holdout=holdout,
        train_size=train_size,
        test_size=test_size,
    )


def _begin(protocol: str, images: ImageSet, normal: Classes, seed: int) -> tuple[list[int], Tensor, Draw]:
    """Return the normal classes' numbers, which images are of them, and the draw of all images."""
    numbers = class_numbers(protocol, "normal", normal, images)
    check_number(protocol, "seed", seed, 0, 2**32 - 1, integer=True)
    is_normal = images.is_of(numbers)
    if is_normal.all():
        reject(protocol, "normal", "leave at least one class to be anomalous", normal)
    return numbers, is_normal, Draw(len(images), seed)


def _merged_test(protocol: str, draw: Draw, is_normal: Tensor, normal_share: float | None) -> tuple[Tensor, Tensor]:
    """Take the test part of merged images: normal and anomalous ones."""
    n_normal, n_anomalous = (int(mask.sum()) for mask in (is_normal, ~is_normal))
    n_test = n_normal - round(TRAIN_SHARE * n_normal)
    if normal_share is None:
        n_other = n_anomalous - round(TRAIN_SHARE * n_anomalous)
    else:
        n_other = round(n_test * (1 - normal_share) / normal_share)
        if n_other > n_anomalous:
            rule = f"ask for no more than the {n_anomalous} anomalous images beside {n_test} normal ones"
            reject(protocol, "test_normal_share", rule, normal_share, f"It asks for {n_other}.")
    return draw.take(is_normal, n_test), draw.take(~is_normal, n_other)
