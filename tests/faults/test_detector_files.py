"""Detector files that were edited, damaged or made up: `load_detector` raises a ValueError in one line, or loads.

91 files: 41 edits of a trained detector, 17 of a classical one, 9 of one on the codes of another, 15 files that are no
such file, and 9 flipped bits.
"""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

import advad
from advad.files import read_state, write_state
from tests.cases import digits, make, noise
from tests.faults.refusals import refusal

QUICK = {"epochs": 1, "latent_dim": 2, "widths": (8,), "batch_size": 16, "device": "cpu"}
X = noise(32, (1, 8, 8))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the tensors and the metadata of a trained detector, as its file holds them."""
    detector = make("DeepSVDD", epochs=1).fit(digits().train[:32], progress=False).calibrate(digits().holdout)
    return read_state(detector.save(tmp_path_factory.mktemp("saved") / "d"))


@pytest.fixture(scope="module")
def saved_classical(tmp_path_factory):
    detector = advad.PCA(n_components=4).fit(X).calibrate(digits().holdout)
    return read_state(detector.save(tmp_path_factory.mktemp("saved") / "d"))


@pytest.fixture(scope="module")
def saved_on_codes(tmp_path_factory):
    detector = advad.KDE(codes_of=advad.AE(**QUICK).fit(X, progress=False)).fit(X)
    return read_state(detector.save(tmp_path_factory.mktemp("saved") / "d"))


def edited(saved, edit, path):
    """Write a detector's content after an edit, with a checksum that fits."""
    tensors, metadata = {name: tensor.clone() for name, tensor in saved[0].items()}, json.loads(json.dumps(saved[1]))
    edit(tensors, metadata)
    return write_state(path, tensors, metadata)


def weight(tensors):
    return next(name for name in tensors if name.startswith("networks.") and tensors[name].ndim > 1)


EDITS = {
    "no parameters": lambda t, f: f.pop("parameters"),
    "parameters a list": lambda t, f: f.update(parameters=[1]),
    "unknown parameter": lambda t, f: f["parameters"].update(evil=1),
    "negative seed": lambda t, f: f["parameters"].update(seed=-1),
    "epochs text": lambda t, f: f["parameters"].update(epochs="x"),
    "latent_dim huge": lambda t, f: f["parameters"].update(latent_dim=10**12),
    "latent_dim beyond integers": lambda t, f: f["parameters"].update(latent_dim=10**40),
    "latent_dim other": lambda t, f: f["parameters"].update(latent_dim=3),
    "device unknown": lambda t, f: f["parameters"].update(device="quantum"),
    "no threshold": lambda t, f: f.pop("threshold"),
    "threshold text": lambda t, f: f.update(threshold="x"),
    "threshold NaN": lambda t, f: f.update(threshold=float("nan")),
    "threshold list": lambda t, f: f.update(threshold=[1.0]),
    "shape huge": lambda t, f: f.update(image_shape=[1, 10**9, 10**9]),
    "shape text": lambda t, f: f.update(image_shape="888"),
    "shape of two": lambda t, f: f.update(image_shape=[8, 8]),
    "shape zero": lambda t, f: f.update(image_shape=[1, 0, 8]),
    "history text": lambda t, f: f.update(history="x"),
    "history ragged": lambda t, f: f.update(history={"epoch": [1], "stage": []}),
    "no history": lambda t, f: f.pop("history"),
    "method a list": lambda t, f: f.update(method=["AE"]),
    "method unknown": lambda t, f: f.update(method="os.system"),
    "method another": lambda t, f: f.update(method="AE"),
    "weights NaN": lambda t, f: t[weight(t)].fill_(float("nan")),
    "weights infinite": lambda t, f: t[weight(t)].fill_(float("inf")),
    "weights int": lambda t, f: t.update({weight(t): t[weight(t)].int()}),
    "weights double": lambda t, f: t.update({weight(t): t[weight(t)].double()}),
    "weights complex": lambda t, f: t.update({weight(t): t[weight(t)].to(torch.complex64)}),
    "weights of another shape": lambda t, f: t.update({weight(t): t[weight(t)][:-1]}),
    "a weight missing": lambda t, f: t.pop(weight(t)),
    "a weight more": lambda t, f: t.update({"networks.evil.weight": torch.zeros(1)}),
    "a name without a dot": lambda t, f: t.update({"evil": torch.zeros(1)}),
    "threshold of the wrong sign of infinity": lambda t, f: f.update(threshold=-float("inf")),
    "shape with a text": lambda t, f: f.update(image_shape=[1, "8", 8]),
    "shape of another size": lambda t, f: f.update(image_shape=[1, 16, 16]),
    "batch_size zero": lambda t, f: f["parameters"].update(batch_size=0),
    "learning_rate infinite": lambda t, f: f["parameters"].update(learning_rate=float("inf")),
    "device a number": lambda t, f: f["parameters"].update(device=3),
    "memory gone": lambda t, f: [t.pop(name) for name in list(t) if name.startswith("memory.")] == [],
    "memory of another shape": lambda t, f: t.update({"memory.centre": torch.zeros(3)}),
    "memory NaN": lambda t, f: t.update({"memory.centre": torch.full((8,), float("nan"))}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_detector_file_gets_one_value_error_line(saved, edit, tmp_path):
    """41 edits, each with a checksum that fits."""
    path = edited(saved, EDITS[edit], tmp_path / "d.safetensors")
    assert refusal(lambda: advad.load_detector(path)).startswith(("DeepSVDD: ", "AE: ", "load_detector: "))


CLASSICAL_EDITS = {
    "no features": lambda t, f: t.pop("features"),
    "no probes": lambda t, f: t.pop("probes"),
    "probes of another number": lambda t, f: t.update(probes=t["probes"][:-1]),
    "probes NaN": lambda t, f: t.update(probes=t["probes"] * float("nan")),
    "features NaN": lambda t, f: t.update(features=torch.full((4, 64), float("nan"))),
    "features of other columns": lambda t, f: t.update(features=t["features"][:, :-1]),
    "features of one dimension": lambda t, f: t.update(features=t["features"].flatten()),
    "features empty": lambda t, f: t.update(features=t["features"][:0]),
    "features other": lambda t, f: t.update(features=t["features"].flip(1) // 2),
    "parameter unknown": lambda t, f: f["parameters"].update(evil=1),
    "n_components text": lambda t, f: f["parameters"].update(n_components="x"),
    "n_components huge": lambda t, f: f["parameters"].update(n_components=10**9),
    "parameters a list": lambda t, f: f.update(parameters=[]),
    "threshold text": lambda t, f: f.update(threshold="x"),
    "codes_of a text": lambda t, f: f.update(codes_of="AE"),
    "no codes_of": lambda t, f: f.pop("codes_of"),
    "shape of another size": lambda t, f: f.update(image_shape=[3, 16, 16]),
}


@pytest.mark.parametrize("edit", CLASSICAL_EDITS)
def test_an_edited_file_of_a_classical_detector(saved_classical, edit, tmp_path):
    """17 edits."""
    path = edited(saved_classical, CLASSICAL_EDITS[edit], tmp_path / "d.safetensors")
    assert refusal(lambda: advad.load_detector(path)).startswith("PCA: ")


ON_CODES_EDITS = {
    "home outside": lambda t, f: f["codes_of"].update(home="os"),
    "home unknown": lambda t, f: f["codes_of"].update(home="advad.methods.evil"),
    "home climbing": lambda t, f: f["codes_of"].update(home="advad.methods.."),
    "method no class": lambda t, f: f["codes_of"].update(method="annotations"),
    "method no detector": lambda t, f: f["codes_of"].update(method="Path"),
    "weights NaN": lambda t, f: next(v for k, v in t.items() if k.startswith("codes_of.networks")).fill_(float("nan")),
    "latent_dim other": lambda t, f: f["codes_of"]["parameters"].update(latent_dim=3),
    "threshold text": lambda t, f: f["codes_of"].update(threshold="x"),
    "shape other": lambda t, f: f["codes_of"].update(image_shape=[1, 16, 16]),
}


@pytest.mark.parametrize("edit", ON_CODES_EDITS)
def test_an_edited_file_of_a_detector_on_the_codes_of_another(saved_on_codes, edit, tmp_path):
    """9 edits; no module but the methods' own is imported."""
    path = edited(saved_on_codes, ON_CODES_EDITS[edit], tmp_path / "d.safetensors")
    assert refusal(lambda: advad.load_detector(path)).startswith("KDE: ")


class Evil:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, folder):
        self.command = f"touch {folder / 'evil'}"

    def __reduce__(self):
        return os.system, (self.command,)


def safetensors(header, size=None, tail=b""):
    """Return a file of this form with any header, and any number for its length."""
    return (len(header) if size is None else size).to_bytes(8, "little") + header + tail


NO_DETECTORS = {
    "empty": b"",
    "one byte": b"\0",
    "zeros": bytes(4096),
    "text": b"a detector\n" * 50,
    "a header of 4 EiB": safetensors(b"{}", 2**62),
    "a header beyond the file": safetensors(b"{}", 3000),
    "a header that is no JSON": safetensors(b"{{{{"),
    "a header that is a list": safetensors(b"[1, 2]"),
    "a header that is deep": safetensors(b'{"__metadata__":' + b'{"a":' * 30000),
    "no metadata": safetensors(b"{}"),
    "metadata of another program": safetensors(b'{"__metadata__":{"format":"pt"}}'),
    "metadata that are no JSON": safetensors(b'{"__metadata__":{"advad":"{"}}'),
    "metadata that are a list": safetensors(b'{"__metadata__":{"advad":"[1]"}}'),
    "metadata of nothing": safetensors(b'{"__metadata__":{"advad":"{}"}}'),
    "a tensor beyond the file": safetensors(b'{"w":{"dtype":"F32","shape":[99999999],"data_offsets":[0,399999996]}}'),
}


@pytest.mark.parametrize("form", NO_DETECTORS)
def test_a_file_that_is_no_detector(form, tmp_path):
    """15 files."""
    path = tmp_path / "d.safetensors"
    path.write_bytes(NO_DETECTORS[form])
    assert str(tmp_path) in refusal(lambda: advad.load_detector(path))


def test_no_pickle_runs(tmp_path):
    """A pickle, and torch's form of one: neither runs."""
    path = tmp_path / "d.safetensors"
    path.write_bytes(pickle.dumps(Evil(tmp_path)))
    refusal(lambda: advad.load_detector(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("d/data.pkl", pickle.dumps(Evil(tmp_path)))
    refusal(lambda: advad.load_detector(path))
    assert not (tmp_path / "evil").exists()


def test_what_is_no_file_at_all(tmp_path):
    """A folder, a pipe, an endless device, a link to nothing: nobody waits for them."""
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "endless.safetensors").symlink_to("/dev/zero")
    for name in ("folder", "pipe", "endless"):
        assert name in refusal(lambda name=name: advad.load_detector(tmp_path / name))
    (tmp_path / "nothing.safetensors").symlink_to("nowhere")
    refusal(lambda: advad.load_detector(tmp_path / "nothing"), FileNotFoundError)


def test_the_file_itself_loads(saved, tmp_path):
    assert advad.load_detector(write_state(tmp_path / "d.safetensors", *saved)).threshold_ == saved[1]["threshold"]


def test_a_flipped_bit_is_noticed(saved, tmp_path):
    """9 places, from the header to the last weight; `tests/engine/test_files.py` flips a bit of every byte."""
    path = write_state(tmp_path / "d.safetensors", *saved)
    whole = path.read_bytes()
    for place in np.linspace(9, len(whole) - 3, 9).astype(int):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        refusal(lambda: advad.load_detector(path))
    assert "its checksum does not fit" in refusal(lambda: advad.load_detector(path))
