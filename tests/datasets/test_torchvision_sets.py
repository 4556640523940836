"""MNIST, its successors and CIFAR: the files on the disk, and their downloads."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from advad.datasets import torchvision_sets
from advad.datasets.load import data_folder, load
from tests import ROOT

RNG = np.random.default_rng(0)


# --- MNIST and its successors -----------------------------------------------------------------------------------------


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def fashion(tmp_path):
    """Twelve training and five test images in torchvision's layout."""
    raw = tmp_path / "FashionMNIST" / "raw"
    arrays = {}
    for part, count in (("train", 12), ("t10k", 5)):
        arrays[part] = RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count) % 10
        write_idx(raw / f"{part}-images-idx3-ubyte", arrays[part][0])
        write_idx(raw / f"{part}-labels-idx1-ubyte", arrays[part][1])
    return tmp_path, raw, arrays


def test_idx_files_are_read_exactly(fashion):
    root, _, arrays = fashion
    images = load("FashionMNIST", root=root)
    expected = np.concatenate([arrays["train"][0], arrays["t10k"][0]])
    np.testing.assert_array_equal(images.images[:, 0], expected)
    assert images.labels.tolist() == [*range(10), 0, 1, *range(5)]
    assert images.is_test.tolist() == [False] * 12 + [True] * 5
    assert images.classes[7] == "Sneaker"


def test_idx_files_read_as_torchvision_reads_them(fashion):
    from torchvision.datasets import FashionMNIST

    root = fashion[0]
    images = load("FashionMNIST", root=root)
    for train in (True, False):
        theirs = FashionMNIST(root, train=train)
        ours = images.images[images.is_test != train]
        assert torch.equal(ours[:, 0], theirs.data)
        assert torch.equal(images.labels[images.is_test != train], theirs.targets)
        assert images.classes == tuple(theirs.classes)


def test_old_pickles_beside_idx_files_are_not_touched(fashion):
    root, raw, _ = fashion
    (raw.parent / "processed").mkdir()
    for file in ("training.pt", "test.pt"):  # torchvision's class would unpickle these instead
        (raw.parent / "processed" / file).write_bytes(pickle.dumps("no image"))
    assert len(load("FashionMNIST", root=root)) == 17


def test_class_names_of_kmnist_are_torchvisions():
    from torchvision.datasets import KMNIST

    assert torchvision_sets.IDX_CLASSES["KMNIST"] == tuple(KMNIST.classes)


def test_root_comes_from_the_argument_the_environment_or_data(fashion, monkeypatch, tmp_path):
    monkeypatch.setenv("ADVAD_DATA", str(fashion[0]))
    assert len(load("FashionMNIST")) == 17
    assert data_folder(tmp_path / "x") == tmp_path / "x"
    monkeypatch.delenv("ADVAD_DATA")
    monkeypatch.chdir(tmp_path)
    assert data_folder() == ROOT / "data"  # wherever a notebook's kernel works


def test_a_missing_set_names_the_folder_and_both_remedies(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load("KMNIST", root=tmp_path)
    message = str(caught.value)
    assert message.startswith(f"load: KMNIST must lie in {tmp_path / 'KMNIST' / 'raw'}; got no train-images-idx3-ubyte")
    assert "download=True" in message
    assert "ADVAD_DATA" in message
    assert "\n" not in message


@pytest.mark.parametrize("kept", [0, 3, 15, 16, 3935])
def test_a_truncated_idx_file(fashion, kept):
    root, raw, _ = fashion
    path = raw / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"load: .*t10k-images-idx3-ubyte must .* It is damaged: delete it"):
        load("FashionMNIST", root=root)


def test_idx_files_that_do_not_fit_each_other(fashion):
    root, raw, _ = fashion
    write_idx(raw / "t10k-labels-idx1-ubyte", np.zeros(4))
    with pytest.raises(ValueError, match="must hold one label for each of 5 images in t10k-images-idx3-ubyte; got 4"):
        load("FashionMNIST", root=root)
    write_idx(raw / "t10k-labels-idx1-ubyte", np.full(5, 10))
    with pytest.raises(ValueError, match=r"labels must be in \[0, 9\], positions in classes; got 0 to 10"):
        load("FashionMNIST", root=root)
    write_idx(raw / "t10k-images-idx3-ubyte", np.zeros((5, 8, 8)))
    with pytest.raises(
        ValueError, match=r"must have training and test images of one shape; got \[\(1, 28, 28\), \(1, 8"
    ):
        load("FashionMNIST", root=root)


# --- CIFAR ------------------------------------------------------------------------------------------------------------


def write_cifar(folder: Path, files: dict[str, int], label_bytes: int, classes: int, names_file: str) -> np.ndarray:
    """Write small batches; return all images in the order of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file, count in files.items():
        pixels = RNG.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        labels = np.zeros((count, label_bytes), dtype=np.uint8)
        labels[:, -1] = np.arange(count) % classes
        labels[:, :-1] = 19  # the superclass, not to be read
        (folder / file).write_bytes(np.hstack([labels, pixels.reshape(count, -1)]).tobytes())
        written.append(pixels)
    (folder / names_file).write_text("\n".join(f"class_{i}" for i in range(classes)) + "\n\n")
    return np.concatenate(written)


CIFAR10_FILES = {**{f"data_batch_{i}.bin": i for i in range(1, 6)}, "test_batch.bin": 4}


def test_cifar10_is_read_from_its_binary_version(tmp_path):
    written = write_cifar(tmp_path / "cifar-10-batches-bin", CIFAR10_FILES, 1, 10, "batches.meta.txt")
    images = load("CIFAR10", root=tmp_path)
    np.testing.assert_array_equal(images.images, written)
    assert images.labels.tolist() == [0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert images.is_test.tolist() == [False] * 15 + [True] * 4
    assert images.classes[9] == "class_9"


def test_cifar100_has_fine_labels(tmp_path):
    files = {"train.bin": 100, "test.bin": 3}
    write_cifar(tmp_path / "cifar-100-binary", files, 2, 100, "fine_label_names.txt")
    images = load("CIFAR100", root=tmp_path, channels=1, size=16)
    assert images.images.shape == (103, 1, 16, 16)
    assert images.labels.tolist() == [*range(100), 0, 1, 2]


def test_cifar100_coarse_has_the_superclasses_of_the_same_images(tmp_path):
    folder = tmp_path / "cifar-100-binary"
    write_cifar(folder, {"train.bin": 100, "test.bin": 3}, 2, 100, "fine_label_names.txt")
    with pytest.raises(FileNotFoundError, match="CIFAR100-coarse must lie in .* got no coarse_label_names.txt"):
        load("CIFAR100-coarse", root=tmp_path)
    (folder / "coarse_label_names.txt").write_text("\n".join(f"super_{i}" for i in range(20)))
    coarse, fine = load("CIFAR100-coarse", root=tmp_path), load("CIFAR100", root=tmp_path)
    assert torch.equal(coarse.images, fine.images)
    assert coarse.labels.tolist() == [19] * 103
    assert (coarse.name, coarse.classes[19], len(coarse.classes)) == ("CIFAR100-coarse", "super_19", 20)
    assert fine.labels.max() == 99


def test_a_truncated_cifar_file(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    write_cifar(folder, CIFAR10_FILES, 1, 10, "batches.meta.txt")
    content = (folder / "data_batch_5.bin").read_bytes()
    for kept in (len(content) - 1, 0):
        (folder / "data_batch_5.bin").write_bytes(content[:kept])
        with pytest.raises(ValueError, match=r"data_batch_5.bin must hold whole records of 3073 bytes; got .* damaged"):
            load("CIFAR10", root=tmp_path)


def test_cifars_pickles_are_not_touched(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps({"data": [0]}))
    with pytest.raises(
        FileNotFoundError, match=r"cifar-10-batches-bin; got no data_batch_1.bin.*pickles are never read"
    ):
        load("CIFAR10", root=tmp_path)


# --- downloads --------------------------------------------------------------------------------------------------------


def test_nothing_is_downloaded_unless_asked(tmp_path, monkeypatch):
    def fail(*arguments, **keywords):
        raise AssertionError("a download was tried")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fail)
    with pytest.raises(FileNotFoundError):
        load("MNIST", root=tmp_path)


def test_a_download_uses_torchvisions_mirrors_and_checksums(tmp_path, monkeypatch):
    from torchvision.datasets import KMNIST

    asked = []

    def fetch(url, folder, filename, md5):
        asked.append((url, md5))
        kind = np.zeros((3, 28, 28)) if "images" in filename else np.arange(3)
        write_idx(Path(folder) / filename.removesuffix(".gz"), kind)

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fetch)
    assert len(load("KMNIST", root=tmp_path, download=True)) == 6
    assert asked == [(KMNIST.mirrors[0] + archive, md5) for archive, md5 in KMNIST.resources]
    load("KMNIST", root=tmp_path, download=True)
    assert len(asked) == 4  # what is there is not fetched again


def test_a_failed_download_tries_the_next_mirror_and_then_says_so(tmp_path, monkeypatch):
    asked = []

    def unreachable(url, folder, filename, md5):
        asked.append(url)
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", unreachable)
    with pytest.raises(
        FileNotFoundError, match=r"load: train-images-idx3-ubyte.gz must be downloaded from .*no network"
    ):
        load("MNIST", root=tmp_path, download=True)
    assert len(asked) == 2
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary.tar.gz.*Check the network, or unpack"):
        load("CIFAR10", root=tmp_path, download=True)
