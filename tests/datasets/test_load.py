"""Image sets: digits, .npz files, names and arguments, the real ones, and every complaint."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from advad.datasets.imageset import ImageSet
from advad.datasets.load import data_folder, load
from advad.datasets.pixels import resized, with_channels
from advad.datasets.protocols import one_class

RNG = np.random.default_rng(0)


# --- digits -----------------------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns_with_a_fixed_split():
    from sklearn.datasets import load_digits

    digits, truth = load("digits"), load_digits()
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.images.dtype == torch.uint8
    np.testing.assert_allclose(digits.images[:, 0].numpy(), truth["images"] * 255 / 16, atol=0.5)
    assert digits.images.max() == 255
    np.testing.assert_array_equal(digits.labels, truth["target"])
    assert digits.is_test.sum() == 540
    assert digits.is_test[-540:].all()
    assert digits.classes == tuple("0123456789")
    assert repr(digits) == "ImageSet(digits: 1797 images of 1×8×8, 10 classes, 540 for test)"


def test_size_and_channels_convert():
    large = load("digits", size=28, channels=3)
    assert large.images.shape == (1797, 3, 28, 28)
    assert torch.equal(large.images[:, 0], large.images[:, 2])
    assert torch.equal(large.is_test, load("digits").is_test)


# --- .npz -------------------------------------------------------------------------------------------------------------


def medmnist(**changed) -> dict[str, np.ndarray]:
    arrays = {
        "train_images": RNG.integers(0, 256, (6, 9, 7, 3), dtype=np.uint8),
        "train_labels": np.array([[0], [1], [2], [0], [1], [3]]),
        "test_images": RNG.integers(0, 256, (2, 9, 7, 3), dtype=np.uint8),
        "test_labels": np.array([[0], [1]]),
    }
    return {key: array for key, array in {**arrays, **changed}.items() if array is not None}


def test_npz_with_colour_and_validation_part(tmp_path):
    arrays = medmnist(val_images=np.full((2, 9, 7, 3), 5, np.uint8), val_labels=np.array([[3], [3]]))
    np.savez(tmp_path / "pathmnist.npz", **arrays)
    images = load(tmp_path / "pathmnist.npz")
    assert images.name == "pathmnist"
    assert images.images.shape == (10, 3, 9, 7)
    np.testing.assert_array_equal(images.images[:6].permute(0, 2, 3, 1), arrays["train_images"])
    assert images.labels.tolist() == [0, 1, 2, 0, 1, 3, 3, 3, 0, 1]
    assert images.is_test.tolist() == [False] * 8 + [True] * 2  # the validation part is no test part
    assert images.classes == ("0", "1", "2", "3")


def test_npz_in_grey_without_test_part(tmp_path, monkeypatch):
    grey = RNG.integers(0, 256, (4, 5, 5), dtype=np.uint8)
    np.savez_compressed(tmp_path / "mine.npz", train_images=grey, train_labels=np.array([0, 1, 1, 0], np.int8))
    monkeypatch.setenv("ADVAD_DATA", str(tmp_path))
    images = load("mine.npz")  # relative: found in the root folder
    np.testing.assert_array_equal(images.images[:, 0], grey)
    assert not images.is_test.any()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"train_images": None}, ValueError, "must hold both train_images and train_labels; got"),
        ({"test_labels": None}, ValueError, "must hold both test_images and test_labels; got"),
        ({"train_images": np.zeros((6, 9, 7))}, TypeError, "train_images of .* must be uint8, 0 to 255; got .*float64"),
        ({"train_images": np.zeros((6, 9, 7, 4), np.uint8)}, ValueError, r"with 1 or 3 channels; got .*\(6, 9, 7, 4\)"),
        ({"train_images": np.zeros((6, 63), np.uint8)}, ValueError, r"must have shape \(N, H, W\)"),
        ({"train_images": np.zeros((0, 9, 7, 3), np.uint8)}, ValueError, "train_images of .* must have shape"),
        ({"test_images": np.zeros((2, 8, 8, 3), np.uint8)}, ValueError, r"one shape \(C, H, W\) in all its parts"),
        ({"train_labels": np.zeros((6, 14), int)}, ValueError, r"as many labels for each image in all its parts; got"),
        ({"train_labels": np.full((6, 14), 2)}, ValueError, "must be 0 or 1 where each image has 14; got 2. They say"),
        ({"train_labels": np.zeros(5, int)}, ValueError, "must hold labels for each of 6 images; got"),
        ({"train_labels": np.zeros((6, 2, 2), int)}, ValueError, "must hold labels for each of 6 images; got"),
        ({"train_labels": np.zeros(6)}, TypeError, "train_labels of .* must be whole numbers"),
        ({"train_labels": np.array([0, 1, 2, 3, -1, 0])}, ValueError, "must be class numbers from 0; got -1"),
        ({"train_labels": np.full(6, 10**8)}, ValueError, "class numbers below 10,000; got 100000000. Such .* identif"),
        ({"test_labels": np.full(2, 2**64 - 1, np.uint64)}, ValueError, "must be class numbers below 10,000; got 184"),
        ({"train_images": np.zeros((6, 8, 8, 8), np.uint8)}, ValueError, r"got .*8, 8, 8.*Volumes \(3-D\) are not"),
        ({"train_images": np.zeros((6, 8, 8, 8, 3), np.uint8)}, ValueError, r"Volumes \(3-D\) are not read: save sli"),
        ({"train_labels": np.array([{}] * 6)}, ValueError, "Pickled objects are never loaded"),
    ],
)
def test_npz_files_that_do_not_fit(tmp_path, changed, error, message):
    np.savez(tmp_path / "wrong.npz", **medmnist(**changed))
    with pytest.raises(error, match=message) as caught:
        load(tmp_path / "wrong.npz")
    assert "\n" not in str(caught.value)


def test_npz_with_several_labels_an_image(tmp_path):  # as in ChestMNIST
    labels = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], np.uint8)
    np.savez(tmp_path / "chest.npz", **medmnist(train_labels=labels, test_labels=labels[[3, 0]]))
    images = load(tmp_path / "chest.npz")
    assert images.classes == ("no label", "label 0", "label 1", "label 2", "several labels")
    assert images.labels.tolist() == [0, 1, 3, 4, 2, 0, 4, 0]
    assert "an image may have several labels" in images.report
    split = one_class(images, normal="no label", holdout=0.0)
    assert split.test_is_anomaly.tolist() == [True, False]
    assert one_class(images, normal=0, holdout=0.0).indices["test"].equal(split.indices["test"])


@pytest.mark.parametrize("side", [64, 128, 224])
def test_npz_of_the_larger_medmnists(tmp_path, side):
    large = RNG.integers(0, 256, (4, side, side), dtype=np.uint8)
    np.savez_compressed(tmp_path / "larger.npz", train_images=large, train_labels=np.array([[0], [1], [1], [0]]))
    assert load(tmp_path / "larger.npz").images.shape == (4, 1, side, side)
    assert load(tmp_path / "larger.npz", size=28).images.shape == (4, 1, 28, 28)


def test_a_damaged_npz_file(tmp_path):
    path = tmp_path / "whole.npz"
    np.savez(path, **medmnist())
    content = path.read_bytes()
    for kept in (0, 2, 100, len(content) - 30):
        path.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=r"whole.npz must be a complete .npz file; got .* truncated"):
            load(path)
    broken = bytearray(content)
    broken[400] ^= 255  # a pixel: the checksum of the archive notices
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=r"whole.npz must be a complete .npz file; got .* damaged"):
        load(path)


def test_npz_is_converted_while_it_is_read(tmp_path, monkeypatch):
    arrays = medmnist()
    arrays["test_images"] = np.asfortranarray(arrays["test_images"])
    np.savez_compressed(tmp_path / "x.npz", **arrays, train_angles=np.zeros(6))
    whole = load(tmp_path / "x.npz")
    np.testing.assert_array_equal(whole.images[6:].permute(0, 2, 3, 1), arrays["test_images"])
    assert whole.report.endswith("left out the arrays train_angles.")
    monkeypatch.setattr("advad.datasets.pixels.CHUNK", 2 * 9 * 7 * 3)  # two images at once
    assert torch.equal(load(tmp_path / "x.npz").images, whole.images)
    expected = resized(with_channels(whole.images, 1), 5)
    assert torch.equal(load(tmp_path / "x.npz", size=5, channels=1).images, expected)


def test_npz_takes_little_memory_beside_its_result(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", train_images=np.zeros((2000, 64, 64, 3), np.uint8), train_labels=np.zeros(2000, int))
    monkeypatch.setattr("advad.datasets.pixels.CHUNK", 1 << 20)
    tracemalloc.start()  # NumPy reports its memory, bytes are Python's; torch holds the result, 2000 * 32 * 32 bytes
    load(tmp_path / "x.npz", size=32, channels=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20  # the file holds 23 MiB


def test_npz_larger_than_the_memory_is_refused_by_its_header(tmp_path, monkeypatch):
    """A small file that says that it holds 2**50 images, and one that really holds more than the memory."""
    header = io.BytesIO()
    shape = (2**50, 28, 28)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    labels = io.BytesIO()
    np.lib.format.write_array_header_1_0(labels, {"descr": "|u1", "fortran_order": False, "shape": shape[:1]})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("train_images.npy", header.getvalue())
        archive.writestr("train_labels.npy", labels.getvalue())
    with pytest.raises(ValueError, match=r"train_images.npy of .*bomb.npz must hold 882,705,526,964,617,216 bytes"):
        load(tmp_path / "bomb.npz")
    np.savez_compressed(
        tmp_path / "honest.npz", train_images=np.zeros((999, 64, 64), np.uint8), train_labels=np.zeros(999, int)
    )
    monkeypatch.setattr("advad.datasets.pixels.available_memory", lambda: 1e6)
    with pytest.raises(ValueError, match=r"honest.npz must fit in memory; got 0.0 GiB for 0.0. Pass a smaller size"):
        load(tmp_path / "honest.npz")
    assert len(load(tmp_path / "honest.npz", size=8)) == 999


def test_npz_that_ends_before_its_header_says(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (4, 5, 5)})
    labels = io.BytesIO()
    np.save(labels, np.zeros(4, np.uint8))
    for pixels in (60, 101):
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("train_images.npy", header.getvalue() + bytes(pixels))
            archive.writestr("train_labels.npy", labels.getvalue())
        with pytest.raises(
            ValueError, match=rf"must hold 100 bytes, as its header says; got '{pixels}'. It is damaged"
        ):
            load(tmp_path / "x.npz")


# --- names and arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "meant"), [("mnist", "MNIST"), ("CIFAR-10", "CIFAR10"), ("Digits", "digits")])
def test_an_unknown_name_suggests_the_close_one(name, meant):
    with pytest.raises(ValueError, match=rf"load: name must be one of digits, MNIST.*Did you mean '{meant}'\?"):
        load(name)


def test_names_and_paths_that_lead_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVAD_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=f"No folder of that name is in .* or {tmp_path}"):
        load("bottles")
    with pytest.raises(ValueError, match="got ''"):
        load("")
    with pytest.raises(FileNotFoundError, match=f"must lie in .* or {tmp_path}; got 'my/bottles'"):
        load("my/bottles")
    with pytest.raises(FileNotFoundError, match=f"must lie in {tmp_path}/x.npz"):
        load(tmp_path / "x.npz")
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"a file must be an .npz file; got 'x.csv'"):
        load("x.csv")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name_or_path": 3}, TypeError, "load: name_or_path must be a name or a path; got 3"),
        ({"size": 0}, ValueError, r"load: size must be in \[1, 16384\]; got 0"),
        ({"size": 10**6}, ValueError, r"load: size must be in \[1, 16384\]; got 1000000"),
        ({"size": 16384, "channels": 3}, ValueError, r"load: images of digits must fit in memory; got 1,347.8 GiB for"),
        ({"size": 8.5}, TypeError, "load: size must be a whole number; got 8.5"),
        ({"channels": 2}, ValueError, "load: channels must be one of 1, 3; got 2"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        load(**{"name_or_path": "digits", **arguments})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": torch.zeros(4, 1, 2, 2)}, "images must be uint8"),
        ({"images": torch.zeros(4, 2, 2, 2, dtype=torch.uint8)}, "images must be .* with 1 or 3 channels"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"labels must be int64 of shape \(4,\)"),
        ({"labels": torch.full((4,), 2)}, r"labels must be in \[0, 1\], positions in classes; got 2 to 2"),
        ({"is_test": torch.zeros(4)}, r"is_test must be bool of shape \(4,\)"),
        ({"masks": torch.zeros(4, 3, 3, dtype=torch.uint8)}, r"masks must be uint8 of shape \(4, 2, 2\)"),
    ],
)
def test_an_image_set_whose_tensors_do_not_fit(changed, message):
    fitting = {
        "name": "mine",
        "images": torch.zeros(4, 1, 2, 2, dtype=torch.uint8),
        "labels": torch.tensor([0, 1, 0, 1]),
        "classes": ("a", "b"),
        "is_test": torch.zeros(4, dtype=torch.bool),
    }
    assert len(ImageSet(**fitting)) == 4
    with pytest.raises(ValueError, match=f"ImageSet 'mine': {message}"):
        ImageSet(**{**fitting, **changed})


# --- real images ------------------------------------------------------------------------------------------------------


def has_real(name: str) -> pytest.MarkDecorator:
    found = bool(os.environ.get("ADVAD_DATA")) and (data_folder() / name).exists()
    return pytest.mark.skipif(not found, reason=f"{name} is not in the folder ADVAD_DATA names")


@has_real("MNIST")
def test_real_mnist():
    mnist = load("MNIST")
    assert mnist.images.shape == (70000, 1, 28, 28)
    assert mnist.is_test.sum() == 10000
    assert mnist.is_test[60000:].all()
    assert mnist.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.labels.bincount().tolist() == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
    mean = mnist.images[:60000].float().mean() / 255
    assert mean.item() == pytest.approx(0.1307, abs=1e-4)  # the constant that everybody normalises with


@has_real("FashionMNIST")
def test_real_fashion_mnist():
    fashion = load("FashionMNIST")
    assert fashion.labels[fashion.is_test].bincount().tolist() == [1000] * 10
    assert fashion.classes[int(fashion.labels[0])] == "Ankle boot"


@has_real("cifar10_part.npz")
def test_real_cifar_part():
    images = load("cifar10_part.npz")
    assert images.images.shape == (32979, 3, 32, 32)
    assert images.is_test.sum() == 9980
    assert images.labels[~images.is_test].bincount().tolist() == [5000, 5000, 500, 500, 4999, 500, 5000, 500, 500, 500]


@has_real("BrainMRI")
def test_real_folder_of_mixed_sizes_and_modes():
    images = load("BrainMRI", size=64)
    assert images.images.shape == (228, 3, 64, 64)
    assert images.labels.bincount().tolist() == [87, 141]
    assert images.classes == ("no", "yes")
    assert images.images.float().std((1, 2, 3)).min() > 5  # none came out blank
    with pytest.raises(ValueError, match="must have one size"):
        load("BrainMRI")


@has_real("mvtec_bottle")
def test_real_mvtec_bottle(recwarn):
    images = load("mvtec_bottle", size=32)
    assert images.labels.bincount().tolist() == [20, 22, 21, 229]
    assert images.classes == ("broken_large", "broken_small", "contamination", "good")
    assert images.is_test.sum() == 83
    assert images.masks is not None
    marked = images.masks.flatten(1).any(1)
    assert marked.sum() == 63
    assert torch.equal(marked, images.is_test & (images.labels != 3))
    assert not recwarn.list


@has_real("coil100")
def test_real_coil100():
    images = load("coil100/coil100_32.npz")
    assert images.images.shape == (7168, 3, 32, 32)
    assert len(images.classes) == 100
    assert images.labels.bincount().max() == 72
    assert "left out the arrays train_angles" in images.report


@has_real("pneumoniamnist.npz")
def test_real_pneumoniamnist():
    images = load("pneumoniamnist.npz")
    assert images.images.shape == (5856, 1, 28, 28)
    assert images.is_test.sum() == 624
