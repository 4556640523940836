"""A finding that claims a direction says so only where it is true: its cell is run with results of both kinds."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import nbformat
import numpy as np
import pytest

from advad.lessons.catalogue import find_lesson


def said(number, cell, **names):
    """Return what a lesson's cell shows, reveals and finds, when the names in it have these values."""
    notebook = nbformat.read(find_lesson(number), as_version=4)
    (source,) = [each.source for each in notebook.cells if each.id == cell]
    texts = []

    def show(_, finding, *__, **___):
        texts.append(finding)

    def reveal(_, truth, because=""):
        texts.append(f"It is: {truth}. {because}")

    lesson = SimpleNamespace(show=show, image=show, finding=texts.append, reveal=reveal)
    exec(source, {"lesson": lesson, "plots": MagicMock(), "np": np, **names})
    return " ".join(texts)


def detectors(**scores):
    """Return stand-ins that give each image these scores, by name."""
    return {
        name: SimpleNamespace(reconstruct=MagicMock(), anomaly_score=lambda x, s=s: np.full(8, s))
        for name, s in scores.items()
    }


def watched(copying, auroc):
    seen = {"epoch": [1, 2, 3], "auroc": auroc, "other digits": [1 - rate for rate in copying], "noise": [1, 1, 1]}
    return seen | {"the digit 8": [3, 2, 1], "checkerboards": [1, 1, 1]}


@pytest.mark.parametrize(
    ("ratio", "yes", "no"),
    [
        ({"AE": 0.7, "ARAE": 0.8}, "Below 1 (AE, ARAE), the anomaly is reconstructed better", "Above 1"),
        ({"AE": 0.9, "ARAE": 1.2}, "Below 1 (AE), the anomaly", "Above 1"),
        ({"AE": 1.1, "ARAE": 1.9}, "Above 1, the anomaly is reconstructed worse", "Below 1"),
    ],
)
def test_lesson_01_says_of_fig_1_whether_the_anomaly_gives_itself_away(ratio, yes, no):
    names = {"anomalous": 1, "normal": 8, "others": np.zeros((9, 1, 4, 4)), "detectors": detectors(AE=0.1, ARAE=0.2)}
    text = said("01", "fig1-figure", ratio=ratio, **names)
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("auroc", "truth", "yes", "no"),
    [
        ([0.8, 0.9, 0.9], "stays", "has not harmed it here", "other digits, too"),
        ([0.8, 0.9, 0.885], "falls a little", "served to give back other digits, too", "has not harmed"),
        ([0.95, 0.9, 0.8], "falls far", "served to give back other digits, too", "has not harmed"),
    ],
)
def test_lesson_01_says_where_the_auroc_ends(auroc, truth, yes, no):
    seen = watched([0, 0.5, 0.9], auroc)
    text = said("01", "auroc-epochs", seen=seen, watched={"AE": seen, "ARAE": seen}, guess=None)
    assert f"It is: {truth}." in text
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(
    ("copying", "yes", "no"),
    [
        (
            {"AE": [0.1, 0.9], "DAE": [0.1, 0.8], "ARAE": [0.1, 0.3]},
            ["learns to give back what it has never seen", "makes copying expensive"],
            "does not do so here",
        ),
        (
            {"AE": [0.5, 0.5], "DAE": [0.1, 0.4], "ARAE": [0.1, 0.6]},
            ["of use for its own digit only", "does not do so here"],
            "makes copying expensive",
        ),
    ],
)
def test_lesson_01_says_who_copies(copying, yes, no):
    names = {"copying": copying, "watched": {name: {"epoch": [1, 2]} for name in copying}, "copier_guess": None}
    at_end = {name: rates[-1] for name, rates in copying.items()}
    text = said("01", "copying-figure", **names)
    text += said("01", "copying-reveal", at_end=at_end, copier=max(at_end, key=at_end.get), copier_guess=None)
    assert f"It is: {max(at_end, key=at_end.get)}." in text
    assert all(part in text for part in yes)
    assert no not in text


@pytest.mark.parametrize(
    ("arae", "yes"),
    [(0.5, "ARAE has learned to hold its code still"), (2.0, "It is DAE whose code moves least, although")],
)
def test_lesson_01_says_whose_code_moves_least(arae, yes):
    moves = {"AE": [0.1, 1.5], "DAE": [0.1, 0.9], "ARAE": [0.1, arae]}
    assert yes in said("01", "adversary-figure", moves=moves, normal=8)


@pytest.mark.parametrize(
    ("wide", "narrow", "truth", "yes"),
    [
        (
            [0.74, 0.83, 0.80],
            [0.7, 0.8, 0.86],
            "a code of 8",
            ["it collapses", "the narrow code is the cure", "ARAE, above"],
        ),
        ([0.74, 0.83, 0.83], [0.7, 0.8, 0.86], "a code of 8", ["no collapse here", "the narrow code is the cure"]),
        ([0.74, 0.83, 0.80], [0.7, 0.8, 0.75], "a code of 64", ["it collapses", "is no cure", "look at both figures"]),
        (
            [0.74, 0.83, 0.85],
            [0.7, 0.8, 0.75],
            "a code of 64",
            ["no collapse here", "is no cure", "look at both figures"],
        ),
    ],
)
def test_lesson_01_says_whether_it_collapses_and_what_cures_it(wide, narrow, truth, yes):
    collapse = {
        "a code of 64": {"copying": [0.03, 0.5, 0.8], "auroc": wide},
        "a code of 8": {"copying": [-0.1, 0.2, 0.3], "auroc": narrow},
    }
    text = said("01", "collapse-figure", collapse=collapse, collapse_guess=None)
    assert f"It is: {truth}." in text
    assert all(part in text for part in yes)
    assert ("it collapses" in text) != ("no collapse here" in text)
    assert "goes from 3% to 80%, with a code of 8 to 30%" in text


def test_lesson_01_calls_no_fall_a_collapse_without_copying():
    seen = {"copying": [0.03, 0.1, 0.2], "auroc": [0.7, 0.9, 0.6]}
    assert "no collapse here" in said(
        "01", "collapse-figure", collapse={"a code of 64": seen, "a code of 8": seen}, collapse_guess=None
    )


@pytest.mark.parametrize(
    ("gains", "right", "truth", "yes"),
    [
        (
            (-0.03, 0.06, 0.05),
            (0.0, 0.2, 0.3),
            "0.02 or more",
            ["make the difference", "On clothes it pays", "fewest flags are right"],
        ),
        ((0.03, 0.06, 0.0), (0.1, 0.2, 0.3), "0.02 or more", ["pays, short or long", "does not pay", "does not tell"]),
        ((0.0, 0.01, 0.05), (0.1, 0.2, 0.3), "between −0.02 and 0.02", ["does not pay, short or long", "it pays"]),
        ((0.03, -0.06, 0.05), (0.3, 0.2, 0.3), "−0.02 or less", ["take the gain away", "fewest flags are right"]),
    ],
)
def test_lesson_02_says_where_refinement_pays(gains, right, truth, yes):
    keys = [(rule, kind) for rule in ("error alone", "either or") for kind in ("observed", "unobserved")]
    names = ("digits, short", "digits, longer", "clothes, longer")
    settings_gain = {name: dict.fromkeys(keys, value) for name, value in zip(names, gains, strict=True)}
    flags_right = {name: (share, 0.5) for name, share in zip(names, right, strict=True)}
    names = {"settings_gain": settings_gain, "flags_right": flags_right, "gain": settings_gain["digits, short"]}
    text = said("02", "second-figure", **names, second_guess=None)
    assert f"It is: {truth}." in text
    assert all(part in text for part in yes)


@pytest.mark.parametrize(
    ("in_order", "yes", "no"), [(0.1, "is gone when the batch", "takes little"), (0.9, "takes little away", "is gone")]
)
def test_lesson_08_says_what_a_batch_of_one_class_takes_away(in_order, yes, no):
    normalised = {"shuffled": [-1, 1], "class order": [-in_order, in_order]}
    text = said("08", "brightness-figure", normalised=normalised)
    assert yes in text
    assert no not in text


@pytest.mark.parametrize(("seeds", "yes"), [(5, "makes a record cheap"), (500, "a record is dear")])
def test_lesson_08_says_what_a_record_costs(seeds, yes):
    names = {"seeds_needed": lambda n, m, goal: seeds, "n_normal": 50, "n_other": 150}
    assert yes in said("08", "seeds-needed", **names)
