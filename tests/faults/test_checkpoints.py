"""Checkpoints that were edited, damaged or made up: `fit` names the file and a remedy, and leaves it as it was.

31 files: 16 edits whose checksum fits, 9 that are no checkpoint, 6 of another run or another file of ours.
"""

import json
import os

import pytest
import torch

import advad
from advad.files import read_state, write_state
from tests.cases import noise
from tests.faults.refusals import refusal

QUICK = {"epochs": 1, "latent_dim": 2, "widths": (8,), "batch_size": 16, "device": "cpu"}
MORE = QUICK | {"epochs": 2}
X = noise(32, (1, 8, 8))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    advad.AE(**QUICK).fit(X, progress=False, run_dir=folder)
    return (folder / "checkpoint.safetensors").read_bytes()


@pytest.fixture
def path(tmp_path, checkpoint):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(checkpoint)
    return path


def weight(tensors):
    return next(name for name in tensors if name.startswith("networks.") and tensors[name].ndim > 1)


def moment(tensors):
    return next(name for name in tensors if name.endswith("exp_avg"))


EDITS = {
    "no epoch": lambda t, f: f.pop("epoch"),
    "no history": lambda t, f: f.pop("history"),
    "no method": lambda t, f: f.pop("method"),
    "epoch 99": lambda t, f: f.update(epoch=99),
    "epoch text": lambda t, f: f.update(epoch="x"),
    "history a number": lambda t, f: f.update(history=3),
    "history of a number": lambda t, f: f.update(history={"stage": 3}),
    "history ragged": lambda t, f: f["history"].update(seconds=[]),
    "no parameters": lambda t, f: f.update(parameters=None),
    "images a list": lambda t, f: f.update(images=[1]),
    "a weight gone": lambda t, f: t.pop(weight(t)),
    "a weight of another shape": lambda t, f: t.update({weight(t): t[weight(t)][:-1]}),
    "a weight NaN": lambda t, f: t[weight(t)].fill_(float("nan")),
    "a tensor without a dot": lambda t, f: t.update(x=torch.zeros(1)),
    "a moment of nothing": lambda t, f: t.update({"optimisers.autoencoder.99.step": torch.zeros(1)}),
    "a moment of another shape": lambda t, f: t.update({moment(t): torch.zeros(3)}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_checkpoint_is_refused_with_a_remedy(edit, path):
    """16 edits, each with a checksum that fits."""
    tensors, metadata = read_state(path)
    EDITS[edit](tensors, metadata)
    before = write_state(path, tensors, metadata).read_bytes()
    text = refusal(lambda: advad.AE(**MORE).fit(X, progress=False, run_dir=path.parent), of=str(path.parent))
    assert "pass resume=False to start again" in text
    assert path.read_bytes() == before


DAMAGE = {
    "empty": lambda whole: b"",
    "one byte": lambda whole: whole[:1],
    "half its header": lambda whole: whole[:100],
    "all but its last byte": lambda whole: whole[:-1],
    "a byte more": lambda whole: whole + b"\0",
    "garbage": lambda whole: bytes(range(256)) * 20,
    "a header of 4 EiB": lambda whole: (2**62).to_bytes(8, "little") + whole[8:],
    "a bit of a weight": lambda whole: whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:],
    "a digit of its metadata": lambda whole: whole.replace(b'\\"epoch\\": 1', b'\\"epoch\\": 0'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_with_a_remedy(damage, path):
    """9 files; with resume=False each is overwritten and the fit is the undisturbed one."""
    damaged = DAMAGE[damage](path.read_bytes())
    path.write_bytes(damaged)
    text = refusal(lambda: advad.AE(**MORE).fit(X, progress=False, run_dir=path.parent), of=str(path))
    assert text.endswith("Delete it, or pass resume=False to start again.")
    assert path.read_bytes() == damaged
    advad.AE(**MORE).fit(X, progress=False, run_dir=path.parent, resume=False)
    assert read_state(path)[1]["epoch"] == 2


def test_what_is_no_file_is_refused(path):
    """A folder, a pipe, an endless device."""
    for make in (os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)):
        path.unlink()
        make(path)
        assert "it is no file" in refusal(lambda: advad.AE(**MORE).fit(X, progress=False, run_dir=path.parent))
        path.rmdir() if path.is_dir() else path.unlink()
        path.touch()


def test_another_run_and_another_file_are_named(path):
    """6 files that are whole."""
    folder = path.parent
    fits = {
        "a run of AE": lambda: advad.DAE(**MORE).fit(X, progress=False, run_dir=folder),
        "a run on other images": lambda: advad.AE(**MORE).fit(X[:20], progress=False, run_dir=folder),
        "latent_dim=2 (now 3)": lambda: advad.AE(**MORE | {"latent_dim": 3}).fit(X, progress=False, run_dir=folder),
    }
    for words, fit in fits.items():
        assert words in refusal(fit, of=f"run_dir {folder} holds another run")
    saved = advad.AE(**QUICK).fit(X, progress=False).save(folder / "d")
    path.write_bytes(saved.read_bytes())
    assert "is no checkpoint: it has no epoch, images" in refusal(
        lambda: advad.AE(**MORE).fit(X, progress=False, run_dir=folder)
    )
    for metadata in ([], {"format": "pt"}):
        write_state(path, {"w": torch.zeros(1)}, json.loads(json.dumps(metadata)))
        refusal(lambda: advad.AE(**MORE).fit(X, progress=False, run_dir=folder), of=str(path))
