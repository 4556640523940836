"""What explorers owe every method: each opens with it, in every form of the images, or refuses in one line."""

import functools
import html

import numpy as np
import pytest
import torch

import advad
from advad import explorers
from advad.environment import UNATTENDED
from tests.cases import CASES, CLASSICAL, digits, make

FORMS = {  # name -> (how the images are shaped, whether labels are given, whether one detector or a mapping)
    "(N, H, W), nothing known": (lambda images: images[:, 0].numpy(), False, False),
    "(N, C, H, W), all known, several": (lambda images: images, True, True),
    "(N, H, W), all known": (lambda images: images[:, 0], True, False),
    "(N, C, H, W), several": (lambda images: images.float() / 255, False, True),
}
PLAIN, FULL, *_ = FORMS  # each method is opened in these two, which have each choice once; one method in all
KINDS = {  # explorer -> what it must be given besides
    "AttackExplorer": lambda split: {"steps": 2, "queries": 3},
    "ThresholdExplorer": lambda split: {"holdout": split.holdout[:8], "is_anomaly": shown(split)[1]},
    "GuessingGame": lambda split: {"is_anomaly": shown(split)[1]},
    "OcclusionExplorer": lambda split: {"patches": (2,)},
    "OcclusionBrush": lambda split: {},
    "NoiseExplorer": lambda split: {"strengths": (0, 0.2)},
    "LatentExplorer": lambda split: {},
    "ReconstructionExplorer": lambda split: {},
    "AnomalyMapExplorer": lambda split: {"masks": (split.test[shown(split)[0], 0] > 200)},
}


def shown(split):
    """Return which test images are shown, eight normal and four anomalous ones, and their truth."""
    truth = split.test_is_anomaly
    where = torch.cat([torch.where(~truth)[0][:8], torch.where(truth)[0][:4]])
    return where, truth[where]


@functools.cache
def fitted(case):
    """Return a detector of a case, hardly trained: what it has learned does not matter here."""
    quick = {} if case in CLASSICAL else {"epochs": 1, "batch_size": 16}
    if case == "AnoGAN":
        quick |= {"search_steps": 1}
    detector = make(case, **quick)
    train = digits().train[:40]
    return detector.fit(train) if case in CLASSICAL else detector.fit(train, progress=False)


def opened(kind, case, form):
    """Return an explorer of a case, with its images in a form."""
    split = digits()
    shape, with_labels, several = FORMS[form]
    where, _ = shown(split)
    given = KINDS[kind](split)
    if with_labels:
        given |= {"labels": split.test_labels[where], "classes": split.classes, "is_anomaly": shown(split)[1]}
    detector = fitted(case)
    detectors = {"first": detector, "second": detector} if several else detector
    return getattr(explorers, kind)(detectors, shape(split.test[where]), **given)


@pytest.fixture(autouse=True)
def _a_reader(monkeypatch):
    monkeypatch.delenv(UNATTENDED, raising=False)


def test_every_explorer_of_detectors_is_checked():
    without = {
        "Explorer",
        "ContaminationExplorer",
        "AAEPriorExplorer",
        "EvaluationPitfallsExplorer",
    }  # they take no detector
    every = {name for name in explorers.__all__ if isinstance(getattr(explorers, name), type)}
    assert {name for name in every if issubclass(getattr(explorers, name), explorers.Explorer)} - without == set(KINDS)


@pytest.mark.parametrize("case", [*CASES, *CLASSICAL])
@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_in_every_form_or_refuses_in_one_line(kind, case):
    reconstructs = fitted(case).reconstructs
    for form in FORMS if case == "AE" else (PLAIN, FULL):
        if kind == "ReconstructionExplorer" and not reconstructs:
            with pytest.raises(ValueError, match=rf"^{kind}: detectors must give images back") as refusal:
                opened(kind, case, form)
            assert "\n" not in str(refusal.value)
            continue
        explorer = opened(kind, case, form)
        assert html.escape(explorer.summary()) in explorer.text.value
        if form == PLAIN or case == "AE":
            assert explorer.to_image().width > 0
        if kind == "AttackExplorer" and form == PLAIN:
            explorer.radius.value = 0.1
            assert html.escape(explorer.summary()) in explorer.text.value
            assert "the change is at most 0.1" in explorer.summary() or "has found no" in explorer.summary()
        assert not explorer.errors.outputs
        if FORMS[form][2] and kind != "ReconstructionExplorer":  # which shows all detectors at once
            control = explorer.detector_control if kind == "GuessingGame" else explorer.detector
            assert control.value == "second"
            control.value = "first"
            assert html.escape(explorer.summary()) in explorer.text.value


@pytest.mark.parametrize("kind", KINDS)
def test_one_detector_and_a_mapping_of_it_say_the_same(kind):
    alone, (where, truth) = fitted("AE"), shown(digits())
    given = KINDS[kind](digits()) | {"is_anomaly": truth}
    both = [getattr(explorers, kind)(each, digits().test[where], **given) for each in (alone, {"AE": alone})]
    assert both[0].summary() == both[1].summary()
    assert np.array_equal(np.asarray(both[0].to_image()), np.asarray(both[1].to_image()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": [1, 2]}, r"labels must have shape \(12,\), one an image; got"),
        ({"is_anomaly": [1, 2]}, r"is_anomaly must have shape \(12,\), one label an image; got"),
        (
            {"labels": [9] * 12, "classes": ["a", "b"]},
            r"labels must be whole numbers in \[0, 1\], positions in classes",
        ),
    ],
)
def test_what_is_known_of_the_images_must_fit_them(kind, given, message):
    where, _ = shown(digits())
    with pytest.raises(ValueError, match=rf"^{kind}: {message}"):
        getattr(explorers, kind)(fitted("AE"), digits().test[where], **KINDS[kind](digits()) | given)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("detectors", [{}, advad.AE, ["AE"]])
def test_detectors_must_be_detectors(kind, detectors):
    where, _ = shown(digits())
    with pytest.raises((TypeError, ValueError), match=rf"^{kind}: detectors must .*; got .*For example detector, or"):
        getattr(explorers, kind)(detectors, digits().test[where], **KINDS[kind](digits()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_panel_of_errors_empties_when_any_control_works_again(kind, monkeypatch):
    explorer, cleared = opened(kind, "AE", PLAIN), []
    monkeypatch.setattr(explorer.errors, "clear_output", lambda: cleared.append(True))
    fails, works = explorer.guarded(lambda: 1 / 0), explorer.guarded(lambda: None)
    works()
    assert not cleared  # nothing to clear
    with pytest.raises(ZeroDivisionError):  # without a kernel, the panel lets the error through
        fails()
    works()
    works()
    assert len(cleared) == 1
