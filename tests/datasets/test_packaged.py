"""The images that come with advad are those of the full sets, and so are the splits and lessons made of them."""

from pathlib import Path

import pytest
import torch

import advad
from advad.datasets.load import PART_OF
from advad.datasets.packaged import PACKAGED, cut, file_of, write_packaged
from advad.lessons.image_sets import class_name, class_nouns, image_set


@pytest.mark.parametrize(("name", "per_class"), [("MNIST-lab", 2000), ("FashionMNIST-lab", 1000)])
def test_a_packaged_set_is_whole_and_needs_no_folder(name, per_class, tmp_path):
    images = advad.load(name, root=tmp_path)
    assert images.labels[~images.is_test].bincount().tolist() == [per_class] * 10
    assert images.images.shape == (per_class * 10 + 10_000, 1, 28, 28)
    assert int(images.is_test.sum()) == 10_000
    assert images.name == name
    assert file_of(name).stat().st_size < 9e6


def test_packaged_classes_have_their_names():
    images = advad.load("FashionMNIST-lab")
    assert images.classes[9] == "Ankle boot"
    assert "Ankle boot" in repr(advad.one_class(images, normal="Ankle boot").normal_names)


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_set_is_the_full_set_cut(real_data, name, tmp_path):
    part = PACKAGED[name]
    packaged, full = advad.load(name), cut(advad.load(part.whole), part.per_class)
    for field in ("images", "labels", "is_test"):
        assert torch.equal(getattr(packaged, field), getattr(full, field)), field
    assert packaged.classes == full.classes
    assert write_packaged(full, tmp_path / "again.npz").read_bytes() == file_of(name).read_bytes()


@pytest.mark.parametrize("train_size", [1000, 1800])
def test_lab_equals_lab_on_the_full_set_with_the_same_train_size(real_data, train_size):
    """The same split, image by image, and the same scores: a lesson cannot tell whether MNIST is on the disk."""
    options = {"normal": 8, "contamination": 0.05, "contaminants": [2], "train_size": train_size, "seed": 3}
    splits = [
        advad.one_class(images, **options) for images in (advad.load("MNIST-lab"), cut(advad.load("MNIST"), 2000))
    ]
    for field in ("train", "train_labels", "holdout", "test", "test_is_anomaly"):
        assert torch.equal(getattr(splits[0], field), getattr(splits[1], field)), field
    scores = [advad.PCA(n_components=8).fit(split.train).anomaly_score(split.test[:500]) for split in splits]
    assert (scores[0] == scores[1]).all()
    assert len(splits[0].train) == train_size


def test_cut_keeps_the_first_of_each_class_and_the_whole_test_part():
    images = advad.load("digits")
    few = cut(images, 3)
    assert few.labels[~few.is_test].bincount().tolist() == [3] * 10
    first_eights = images.images[(images.labels == 8) & ~images.is_test][:3]
    assert torch.equal(few.images[(few.labels == 8) & ~few.is_test], first_eights)
    assert torch.equal(few.images[few.is_test], images.images[images.is_test])


def test_a_part_is_measured_against_what_is_published_of_the_whole():
    assert PART_OF["MNIST-lab"] == "MNIST"
    assert PART_OF["FashionMNIST-lab"] == "FashionMNIST"


def test_the_full_set_is_never_replaced_by_the_part(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"MNIST must lie in .*`advad data MNIST` or download=True fetches it"):
        advad.load("MNIST", root=tmp_path)


def test_an_installation_without_images_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("advad.datasets.packaged.shipped", lambda path: Path(tmp_path) / path)
    with pytest.raises(FileNotFoundError, match=r"load: MNIST-lab must come with advad, in .*Install advad again"):
        advad.load("MNIST-lab")


def test_each_profile_has_its_image_set():
    assert [image_set(profile) for profile in ("smoke", "lab", "paper")] == ["digits", "MNIST-lab", "MNIST"]
    assert [image_set(profile, "FashionMNIST") for profile in ("smoke", "paper")] == [
        "FashionMNIST-lab",
        "FashionMNIST",
    ]
    assert [image_set("lab", name) for name in ("FashionMNIST", "CIFAR10")] == ["FashionMNIST-lab", "CIFAR10"]


def test_a_finding_says_digit_of_digits_only():
    digits, clothes = advad.load("digits"), advad.load("FashionMNIST-lab")
    assert (class_name(digits, 8), class_nouns(digits)) == ("the digit 8", ("digit", "digits"))
    assert (class_name(clothes, 8), class_nouns(clothes)) == ("the class “Bag”", ("class", "classes"))
