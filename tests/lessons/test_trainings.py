"""Trainings that lessons keep: the same one is taken, another is trained, and nothing that is kept can be wrong."""

import os

import numpy as np
import pytest
import torch

import advad
from advad.engine import training
from advad.environment import NO_CACHE
from advad.files import in_use
from advad.lessons import lesson, trainings
from advad.lessons.trainings import digest, fit, make_room
from tests.cases import digits

BRIEF = {"epochs": 2, "latent_dim": 4, "widths": (16,), "device": "cpu"}
SILENT = {"progress": False}


@pytest.fixture
def epochs(monkeypatch):
    """Return a list that grows by one with every epoch that is trained."""
    done, epoch = [], training._epoch
    monkeypatch.setattr(training, "_epoch", lambda *given: (done.append(1), epoch(*given))[1])
    return done


def test_the_same_training_is_done_once_and_gives_the_same_detector(tmp_path, epochs):
    split = digits()
    alone = advad.AE(**BRIEF).fit(split.train, **SILENT)
    first = fit(advad.AE(**BRIEF), split.train, folder=tmp_path, **SILENT)
    assert len(epochs) == 4
    second = fit(advad.AE(**BRIEF), split.train, folder=tmp_path, **SILENT)
    assert len(epochs) == 4
    for detector in (first, second):
        assert np.array_equal(detector.anomaly_score(split.test), alone.anomaly_score(split.test))
        assert detector.history_["autoencoder_loss"] == alone.history_["autoencoder_loss"]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 3},
        {"learning_rate": 2e-3},
        {"precision": "bfloat16"},
        {"images": digits().train[1:]},
        {"method": advad.VAE},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_training_is_another(tmp_path, epochs, change):
    settings = BRIEF | {key: value for key, value in change.items() if key not in ("images", "method")}
    images = digits().train
    fit(advad.AE(**BRIEF), images, folder=tmp_path, **SILENT)
    fit(change.get("method", advad.AE)(**settings), change.get("images", images), folder=tmp_path, **SILENT)
    assert len(epochs) == 2 + settings["epochs"]


def test_labels_threads_and_code_make_another_training(monkeypatch):
    images, y = digits().train, torch.zeros(len(digits().train))
    y[:3] = 1
    detector = advad.DeepSAD(device="cpu")
    names = {digest(detector, images, None), digest(detector, images, y), digest(detector, images, y.flip(0))}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    names.add(digest(detector, images, y))
    monkeypatch.setattr(trainings, "_code", lambda: "another method")
    names.add(digest(detector, images, y))
    assert len(names) == 5


def test_who_watches_sees_every_epoch_and_leaves_the_result_for_others(tmp_path, epochs):
    images, seen = digits().train, []
    for _ in range(2):
        fit(
            advad.AE(**BRIEF),
            images,
            folder=tmp_path,
            on_epoch=lambda d: seen.append(d.history_["epoch"][-1]),
            **SILENT,
        )
    assert seen == [1, 2, 1, 2]
    fit(advad.AE(**BRIEF), images, folder=tmp_path, **SILENT)
    assert len(epochs) == 4


def test_a_damaged_training_and_one_that_is_in_use_are_done_again(tmp_path, epochs):
    images = digits().train
    fit(advad.AE(**BRIEF), images, folder=tmp_path, **SILENT)
    place = tmp_path / digest(advad.AE(**BRIEF), images, None)
    with in_use(place, "another lesson"):
        fit(advad.AE(**BRIEF), images, folder=tmp_path, **SILENT)
    assert len(epochs) == 4
    (place / "checkpoint.safetensors").write_bytes(b"no weights")
    fit(advad.AE(**BRIEF), images, folder=tmp_path, **SILENT)
    assert len(epochs) == 6


def test_a_mistake_is_told_as_without_a_cache(tmp_path):
    with pytest.raises(ValueError, match="AE: epochs must be"):
        fit(advad.AE(epochs=-1), digits().train, folder=tmp_path)
    with pytest.raises((TypeError, ValueError), match="AE: X must"):
        fit(advad.AE(**BRIEF), torch.zeros(3), folder=tmp_path)


def test_where_it_is_not_wanted_nothing_is_kept(tmp_path, epochs, monkeypatch):
    monkeypatch.setenv(NO_CACHE, "1")
    for _ in range(2):
        fit(advad.AE(**BRIEF), digits().train, folder=tmp_path, **SILENT)
    assert len(epochs) == 4
    monkeypatch.delenv(NO_CACHE)
    own = type("Mine", (advad.AE,), {"__module__": "__main__"})  # a class of the notebook: its code may change
    for _ in range(2):
        fit(own(**BRIEF), digits().train, folder=tmp_path, **SILENT)
    assert len(epochs) == 8
    assert list(tmp_path.iterdir()) == []


def test_what_was_used_longest_ago_makes_room(tmp_path):
    for age, name in enumerate(["new", "older", "oldest"]):
        place = tmp_path / name
        place.mkdir()
        (place / "file").write_bytes(bytes(100))
        os.utime(place, (1e9 - age, 1e9 - age))
    make_room(tmp_path, 200, current=tmp_path / "new")
    assert {place.name for place in tmp_path.iterdir()} == {"new", "older"}
    make_room(tmp_path, 50, current=tmp_path / "older")  # what was just used stays, however large
    assert {place.name for place in tmp_path.iterdir()} == {"older"}


def test_lessons_of_one_course_share_them(tmp_path, epochs):
    images = digits().train
    for name in ("one", "another"):
        lesson.start(name, {"seed": 0}, tmp_path / name)
        lesson.fit(advad.AE(**BRIEF), images, **SILENT)
    assert len(epochs) == 2
    assert len(list((tmp_path / "cache").iterdir())) == 1
