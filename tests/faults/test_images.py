"""Hostile archives and images: `load` refuses in one line that names the file, or reads what can be read.

41 inputs: 20 archives, 12 image files, 9 entries and names of folders. None is unpickled, none fills the memory, and
nobody waits for a pipe.
"""

import io
import os
import pickle
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

import advad
from tests.faults.refusals import refusal

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 8, 8), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 0, 1])


# ------------------------------------------------------------------ archives


def stored(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def announced(shape, descr="|u1", content=b""):
    """Return an array's file whose header says what it likes."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def archive(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(f"{name}.npy", content)


WHOLE = {"train_images": stored(IMAGES), "train_labels": stored(LABELS)}
ARRAYS = {  # an archive with one of its arrays exchanged -> what the line says
    "labels of 10⁸": ({"train_labels": stored(LABELS + 10**8)}, "Such numbers are identifiers"),
    "a label of 2⁶⁴ − 1": ({"train_labels": stored(np.full(6, 2**64 - 1, np.uint64))}, "below 10,000"),
    "a label below 0": ({"train_labels": stored(LABELS - 1)}, "must be class numbers from 0"),
    "labels that are objects": ({"train_labels": stored(np.array([{}] * 6))}, "Pickled objects are never loaded"),
    "labels that are texts": ({"train_labels": stored(np.array(["a"] * 6))}, "must be whole numbers"),
    "labels of fractions": ({"train_labels": stored(LABELS / 2)}, "must be whole numbers"),
    "images that are objects": ({"train_images": stored(np.array([{}] * 6))}, "Pickled objects are never loaded"),
    "images of fractions": ({"train_images": stored(IMAGES / 255)}, "must be uint8"),
    "images of 2⁵⁰": ({"train_images": announced((2**50, 28, 28))}, "bytes, as its header says"),
    "images of no size": ({"train_images": stored(IMAGES[:, :0])}, "must have shape"),
    "images of a negative number": ({"train_images": announced((-6, 8, 8), content=IMAGES.tobytes())}, ""),
    "volumes": ({"train_images": stored(np.zeros((6, 8, 8, 8), np.uint8))}, "Volumes (3-D) are not read"),
    "a header that is code": ({"train_images": b"\x93NUMPY\x01\x00\x20\x00__import__('os').system('x')  \n"}, ""),
    "a header of another version": ({"train_images": b"\x93NUMPY\x09\x00" + stored(IMAGES)[8:]}, ""),
    "no array at all": ({"train_images": b"not an array"}, ""),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_archive_with_a_hostile_array(name, tmp_path):
    """15 archives."""
    changes, said = ARRAYS[name]
    archive(tmp_path / "x.npz", **WHOLE | changes)
    assert said in refusal(lambda: advad.load(tmp_path / "x.npz"), ValueError, TypeError, of="x.npz")


def test_an_archive_that_is_none_or_is_locked(tmp_path):
    """4 files: empty, a pickle, a cut archive, one with a password."""
    path = tmp_path / "x.npz"
    archive(path, **WHOLE)
    whole = path.read_bytes()
    locked = bytearray(whole)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of encryption in both headers
        place = whole.find(signature)
        while place >= 0:
            locked[place + offset] |= 1
            place = whole.find(signature, place + 1)
    for content in (b"", pickle.dumps({"a": 1}), whole[:-40], bytes(locked)):
        path.write_bytes(content)
        refusal(lambda: advad.load(path), of="x.npz must be a complete .npz file")


def test_an_archive_larger_than_the_memory(tmp_path, monkeypatch):
    """A file of some kilobytes that really holds more than there is: refused by its header, before it is read."""
    archive(
        tmp_path / "x.npz",
        train_images=stored(np.zeros((999, 64, 64), np.uint8)),
        train_labels=stored(np.zeros(999, int)),
    )
    monkeypatch.setattr("advad.datasets.pixels.available_memory", lambda: 1e6)
    assert "must fit in memory" in refusal(lambda: advad.load(tmp_path / "x.npz"))


# ------------------------------------------------------------------ image files


def png(width, height, content=b""):
    """Return a PNG file whose header says what it likes."""

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(content)) + part(b"IEND", b"")


def encoded(image, form, **how):
    stream = io.BytesIO()
    image.save(stream, form, **how)
    return stream.getvalue()


GREY = Image.fromarray(IMAGES[0])
FILES = {
    "empty": ("x.png", b""),
    "text": ("x.png", b"an image"),
    "a page": ("x.jpg", b"<html><script>alert(1)</script></html>"),
    "a cut PNG": ("x.png", encoded(GREY, "PNG")[:-30]),
    "a cut JPEG": ("x.jpg", encoded(GREY, "JPEG")[:-200]),
    "a cut TIFF": ("x.tif", encoded(GREY, "TIFF")[:60]),
    "a PNG of 2·10⁹ pixels": ("x.png", png(2**16, 2**15)),
    "a PNG of no width": ("x.png", png(0, 8)),
    "a PNG without its pixels": ("x.png", png(8, 8)),
    "a PNG with a wrong checksum": ("x.png", png(8, 8, bytes(72))[:29] + bytes(4) + png(8, 8, bytes(72))[33:]),
    "PostScript": ("x.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(ls) run\n"),
    "fractions": ("x.tif", encoded(Image.fromarray(IMAGES[0].astype(np.float32)), "TIFF")),
}


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two classes of three good images."""
    for name in ("good", "bad"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(IMAGES[k]).save(tmp_path / "set" / name / f"{k}.png")
    return tmp_path / "set"


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_image(name, folder):
    """12 image files among good ones."""
    file, content = FILES[name]
    (folder / "bad" / file).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own, beside the refusal
        refusal(lambda: advad.load(folder), of=file)


# ------------------------------------------------------------------ folders


def test_what_is_no_file_is_not_waited_for(folder):
    """3 entries: a pipe, an endless device, a link to nothing. None is an image; the others are read."""
    os.mkfifo(folder / "bad" / "pipe.png")
    (folder / "bad" / "endless.png").symlink_to("/dev/zero")
    (folder / "bad" / "nothing.png").symlink_to("nowhere")
    assert len(advad.load(folder)) == 6


def test_folders_that_lead_into_themselves(folder):
    """2 links, to the set itself and to the folder above: left out or refused, and nobody goes round."""
    (folder / "bad" / "round").symlink_to(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(advad.load(folder)) == 6
    (folder / "root").symlink_to(folder.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "root" in refusal(lambda: advad.load(folder))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a\nb", "..hidden", "αβγ 中", "a" * 200])
def test_classes_with_hostile_names(name, folder):
    """5 folders: the names are kept, and messages about them stay one line."""
    (folder / "bad").rename(folder / name.replace("/", "∕"))
    images = advad.load(folder)
    assert len(images) in (3, 6)  # a hidden folder is none
    assert "\n" not in refusal(lambda: advad.one_class(images, normal="nothing"))
    assert "\n" not in images.report


def test_a_name_with_a_zero_is_no_path():
    refusal(lambda: advad.load("a\0b"))
