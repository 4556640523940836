"""`advad data`: what is there, and what is downloaded; the downloader is a fake, the bar is torchvision's own."""

import gzip
import hashlib
import io
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from click.testing import CliRunner

from advad.cli.main import main


def call(*arguments):
    return CliRunner().invoke(main, ["data", *arguments], catch_exceptions=False)


def archive_of(name):
    """Return a gzipped idx file: three images or labels."""
    array = np.zeros((3, 28, 28)) if "images" in name else np.arange(3)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def web(monkeypatch):
    """Serve small archives in the place of the real ones; return the addresses that were asked for."""
    from torchvision.datasets import KMNIST, MNIST, utils

    asked = []

    class Answer(io.BytesIO):
        @property
        def length(self):
            return len(self.getvalue())

    def answer(request):
        asked.append(request.full_url)
        return Answer(archive_of(request.full_url.rsplit("/", 1)[1]))

    for source in (MNIST, KMNIST):
        small = [(name, hashlib.md5(archive_of(name)).hexdigest()) for name, _ in source.resources]
        monkeypatch.setattr(source, "resources", small)
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(utils.urllib.request, "urlopen", answer)
    return asked


def test_sets_are_downloaded_with_a_bar_for_each_file_and_once(web, tmp_path):
    result = call("MNIST", "KMNIST", "--root", str(tmp_path))
    assert result.exit_code == 0
    assert result.stdout == f"MNIST: 6 images in {tmp_path}\nKMNIST: 6 images in {tmp_path}\n"
    assert result.stderr.count("100%") == 8
    assert len(web) == 8
    again = call("MNIST", "--root", str(tmp_path))
    assert again.stdout == f"MNIST: 6 images in {tmp_path} already\n"
    assert len(web) == 8


def test_without_a_name_it_lists_what_is_there(web, tmp_path):
    call("MNIST", "--root", str(tmp_path))
    lines = call("--root", str(tmp_path)).stdout.splitlines()
    states = {line.split()[0]: line[16:].strip() for line in lines[:-1]}
    assert states["MNIST"] == "there"
    assert states["KMNIST"] == "not there: advad data KMNIST"
    assert states["digits"] == states["MNIST-lab"] == states["FashionMNIST-lab"] == "comes with advad"
    assert lines[-1] == f"Folder: {tmp_path}"


def test_what_comes_with_advad_is_not_downloaded(web, tmp_path):
    assert call("MNIST-lab", "--root", str(tmp_path)).stdout == "MNIST-lab: 30,000 images in advad already\n"
    assert web == []


def test_an_unknown_name_is_refused_before_anything_is_downloaded(web, tmp_path):
    result = call("MNIST", "FashonMNIST", "--root", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith("advad: data: no image set 'FashonMNIST'. Did you mean FashionMNIST? There are ")
    assert result.stderr.count("\n") == 1
    assert web == []


def test_without_a_network_it_says_so_in_one_line(monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", unreachable)
    result = call("CIFAR10", "--root", str(tmp_path))
    assert result.exit_code == 1
    assert "no network" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(Path(tmp_path).iterdir())


def test_a_damaged_file_on_the_disk_is_one_line(web, tmp_path):
    call("MNIST", "--root", str(tmp_path))
    (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte").write_bytes(b"short")
    result = call("MNIST", "--root", str(tmp_path))
    assert result.exit_code == 2
    assert "It is damaged: delete it" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_damaged_archive_is_one_line(web, monkeypatch, tmp_path):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "resources", [(name, "0" * 32) for name, _ in MNIST.resources])
    result = call("MNIST", "--root", str(tmp_path))
    assert result.exit_code == 1
    assert "corrupted" in result.stderr
    *bars, last = result.stderr.splitlines()
    assert last.startswith("advad: load: train-images-idx3-ubyte.gz must be downloaded from ")
    assert not any(line.startswith("advad: ") for line in bars)
