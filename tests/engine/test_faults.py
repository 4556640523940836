"""What must not go wrong in silence: damaged files, stopped and refused fits, two processes with one folder."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

import advad
from advad.files import read_state, write_state
from tests.cases import CASES, digits, make, noise

QUICK = {"epochs": 1, "latent_dim": 2, "widths": (8,), "batch_size": 16, "device": "cpu"}
X = noise(32, (1, 8, 8))


def one_line(caught):
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- fits that stop


class Stopping(advad.AE):
    """Raises `error` in the third batch of the second epoch."""

    def step(self, update, x):
        super().step(update, x)
        if update.epoch == self.stop_in and update.batch == 1:
            raise self.error


@pytest.fixture
def copied_each_epoch(monkeypatch):
    """Let the loop keep a copy of its state after each epoch, not after each second."""
    clock = itertools.count(step=10)
    monkeypatch.setattr("advad.engine.training.time.monotonic", lambda: float(next(clock)))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("out of memory"), SystemExit(), KeyboardInterrupt()])
def test_any_exception_in_mid_epoch_leaves_the_state_of_the_history(error, copied_each_epoch, tmp_path):
    """4 kinds of exception: the weights are those of the whole epochs in the history."""
    stopped = Stopping(**QUICK | {"epochs": 4})
    stopped.stop_in, stopped.error = 2, error
    with pytest.raises(type(error)):
        stopped.fit(X, progress=False, run_dir=tmp_path, checkpoint_every=1)
    assert stopped.history_["epoch"] == [1, 2]
    straight = advad.AE(**QUICK | {"epochs": 2}).fit(X, progress=False)
    assert np.array_equal(stopped.anomaly_score(X), straight.anomaly_score(X))
    resumed = advad.AE(**QUICK | {"epochs": 4})
    assert read_state(tmp_path / "checkpoint.safetensors")[1]["epoch"] == 2
    resumed.fit(X, progress=False)
    whole = advad.AE(**QUICK | {"epochs": 4}).fit(X, progress=False)
    assert np.array_equal(resumed.anomaly_score(X), whole.anomaly_score(X))


@pytest.mark.parametrize("case", ["AAE", "ITSR", "OCGAN"])
def test_a_refused_fit_leaves_an_unfitted_detector(case):
    detector = make(case, epochs=1)
    with pytest.raises(ValueError, match=type(detector).__name__):
        detector.fit(X[:1], progress=False)
    assert not [name for name in vars(detector) if name.endswith("_")]
    with pytest.raises(Exception, match="not fitted"):
        detector.anomaly_score(X)


def test_a_run_that_diverges_in_its_first_epoch_is_not_fitted():
    detector = Stopping(**QUICK)
    detector.stop_in, detector.error = 0, advad.DivergedError("not finite")
    with pytest.raises(advad.DivergedError):
        detector.fit(X, progress=False)
    with pytest.raises(Exception, match="not fitted"):
        detector.anomaly_score(X)


def test_gradients_that_a_notebook_has_switched_off_do_not_break_fit():
    straight = advad.AE(**QUICK).fit(X, progress=False).anomaly_score(X)
    with torch.no_grad():
        scores = advad.AE(**QUICK).fit(X, progress=False).anomaly_score(X)
        assert not torch.is_grad_enabled()
    assert np.array_equal(scores, straight)


# ---------------------------------------------------------------- two processes

HOLD = """
import sys, advad
x = advad.load("digits").images[:32]
def hold(detector):
    print("holding", flush=True)
    sys.stdin.read(1)
advad.AE(epochs=1, latent_dim=2, widths=(8,), device="cpu").fit(x, run_dir=sys.argv[1], progress=False, on_epoch=hold)
"""


def test_a_folder_in_use_is_refused_and_the_holder_is_named(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=-1, stdout=-1, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    with pytest.raises(ValueError, match=rf"AE: run_dir .* is in use by process {holder.pid} on .*, since ") as caught:
        advad.AE(**QUICK).fit(X, run_dir=tmp_path, progress=False)
    one_line(caught)
    holder.communicate("x")
    assert holder.returncode == 0
    assert read_state(tmp_path / "checkpoint.safetensors")[1]["epoch"] == 1
    advad.AE(**QUICK).fit(X, run_dir=tmp_path, resume=False, progress=False)  # free again


def test_a_killed_holder_leaves_the_folder_free(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=-1, stdout=-1, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    holder.kill()
    holder.wait()
    advad.AE(**QUICK).fit(X, run_dir=tmp_path, resume=False, progress=False)


# ---------------------------------------------------------------- damaged files


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the tensors and the facts of a small detector, as its file holds them."""
    detector = make("DeepSVDD", epochs=1).fit(digits().train[:32], progress=False).calibrate(digits().holdout)
    return read_state(detector.save(tmp_path_factory.mktemp("saved") / "d"))


def edited(saved, change):
    tensors, facts = {name: tensor.clone() for name, tensor in saved[0].items()}, json.loads(json.dumps(saved[1]))
    return change(tensors, facts) or (tensors, facts)


def weight(tensors):
    return next(name for name in tensors if name.startswith("networks.") and tensors[name].ndim > 1)


DAMAGE = {
    "no parameters": lambda t, f: f.pop("parameters") and None,
    "parameters a list": lambda t, f: f.update(parameters=[1]),
    "unknown parameter": lambda t, f: f["parameters"].update(evil=1),
    "negative seed": lambda t, f: f["parameters"].update(seed=-1),
    "epochs text": lambda t, f: f["parameters"].update(epochs="x"),
    "latent_dim huge": lambda t, f: f["parameters"].update(latent_dim=10**12),
    "latent_dim beyond integers": lambda t, f: f["parameters"].update(latent_dim=10**40),
    "latent_dim other": lambda t, f: f["parameters"].update(latent_dim=3),
    "device unknown": lambda t, f: f["parameters"].update(device="quantum"),
    "no threshold": lambda t, f: f.pop("threshold") and None,
    "threshold text": lambda t, f: f.update(threshold="x"),
    "threshold NaN": lambda t, f: f.update(threshold=float("nan")),
    "threshold list": lambda t, f: f.update(threshold=[1.0]),
    "shape huge": lambda t, f: f.update(image_shape=[1, 10**9, 10**9]),
    "shape text": lambda t, f: f.update(image_shape="888"),
    "shape of two": lambda t, f: f.update(image_shape=[8, 8]),
    "shape zero": lambda t, f: f.update(image_shape=[1, 0, 8]),
    "history text": lambda t, f: f.update(history="x"),
    "history ragged": lambda t, f: f.update(history={"epoch": [1], "stage": []}),
    "no history": lambda t, f: f.pop("history") and None,
    "method a list": lambda t, f: f.update(method=["AE"]),
    "method unknown": lambda t, f: f.update(method="os.system"),
    "method another": lambda t, f: f.update(method="AE"),
    "weights NaN": lambda t, f: t[weight(t)].fill_(float("nan")) is None,
    "weights infinite": lambda t, f: t[weight(t)].fill_(float("inf")) is None,
    "weights int": lambda t, f: t.update({weight(t): t[weight(t)].int()}),
    "weights double": lambda t, f: t.update({weight(t): t[weight(t)].double()}),
    "weights complex": lambda t, f: t.update({weight(t): t[weight(t)].to(torch.complex64)}),
    "weights of another shape": lambda t, f: t.update({weight(t): t[weight(t)][:-1]}),
    "a weight missing": lambda t, f: t.pop(weight(t)) is None,
    "a weight more": lambda t, f: t.update({"networks.evil.weight": torch.zeros(1)}),
    "a name without a dot": lambda t, f: t.update({"evil": torch.zeros(1)}),
    "memory NaN": lambda t, f: t.update({"memory.centre": torch.full((8,), float("nan"))}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_edited_detector_file_gets_one_value_error_line(saved, damage, tmp_path):
    """33 edits, each with a checksum that fits: a ValueError in one line, and no code of another kind of error."""
    tensors, facts = edited(saved, lambda t, f: (DAMAGE[damage](t, f), None)[1])
    path = write_state(tmp_path / "d.safetensors", tensors, facts)
    with pytest.raises(ValueError, match=r"DeepSVDD|AE|load_detector") as caught:
        advad.load_detector(path)
    one_line(caught)


def test_the_file_itself_loads(saved, tmp_path):
    assert advad.load_detector(write_state(tmp_path / "d.safetensors", *saved)).threshold_ == saved[1]["threshold"]


def test_a_flipped_bit_in_a_weight_is_noticed(tmp_path):
    path = advad.AE(**QUICK).fit(X, progress=False).save(tmp_path / "d")
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="its checksum does not fit") as caught:
        advad.load_detector(path)
    one_line(caught)


@pytest.mark.parametrize(
    "change",
    [
        lambda t, f: f.pop("epoch"),
        lambda t, f: f.pop("history"),
        lambda t, f: f.pop("method"),
        lambda t, f: f.update(epoch=99),
        lambda t, f: f.update(history=3),
        lambda t, f: f.update(history={"stage": 3}),
        lambda t, f: f.update(parameters=None),
        lambda t, f: t.pop(weight(t)),
        lambda t, f: t.update(x=torch.zeros(1)),
        lambda t, f: t.update({"optimisers.autoencoder.99.step": torch.zeros(1)}),
    ],
)
def test_an_edited_checkpoint_is_refused_with_a_remedy(change, tmp_path):
    """10 edits, each with a checksum that fits; the file is left as it was."""
    advad.AE(**QUICK).fit(X, progress=False, run_dir=tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    tensors, facts = read_state(path)
    change(tensors, facts)
    before = write_state(path, tensors, facts).read_bytes()
    with pytest.raises(ValueError, match=r"Delete it, or pass resume=False|resume=False to start again") as caught:
        advad.AE(**QUICK | {"epochs": 2}).fit(X, progress=False, run_dir=tmp_path)
    one_line(caught)
    assert path.read_bytes() == before


# ---------------------------------------------------------------- what users pass


def test_numpy_numbers_are_parameters_and_are_saved_as_plain_ones(tmp_path):
    given = {"latent_dim": np.int64(2), "batch_size": np.int32(8), "learning_rate": np.float32(1e-3)}
    detector = advad.AE(**QUICK | given | {"precision": np.str_("float32")})
    detector.fit(X, progress=False, run_dir=tmp_path / "run").save(tmp_path / "d")
    loaded = advad.load_detector(tmp_path / "d")
    assert type(loaded.latent_dim) is int
    assert np.array_equal(loaded.anomaly_score(X), detector.anomaly_score(X))


def test_the_best_of_a_grid_search_can_be_saved(tmp_path):
    y = np.arange(32) % 2
    search = GridSearchCV(
        advad.AE(**QUICK), {"latent_dim": np.array([1, 2])}, cv=2, scoring=lambda e, x, y: -e.anomaly_score(x).mean()
    )
    search.fit(X.numpy(), y)
    best = advad.load_detector(search.best_estimator_.save(tmp_path / "best"))
    assert best.latent_dim == search.best_params_["latent_dim"]


def test_floats_a_rounding_above_one_are_clipped():
    white = torch.full((4, 1, 8, 8), 1 + 1e-6)
    assert np.array_equal(
        advad.AE(**QUICK).fit(white, progress=False).anomaly_score(white),
        advad.AE(**QUICK).fit(torch.ones(4, 1, 8, 8), progress=False).anomaly_score(torch.ones(4, 1, 8, 8)),
    )
    for wrong in (1.01, -0.01):
        with pytest.raises(ValueError, match="must be in"):
            advad.AE(**QUICK).fit(white * wrong if wrong > 0 else white + wrong - 1, progress=False)


def test_the_home_folder_is_found_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    advad.AE(**QUICK).fit(X, progress=False, run_dir="~/run").save("~/d")
    advad.load_detector("~/d")
    assert sorted(os.listdir(tmp_path)) == ["home"]
    assert {"d.safetensors", "run"} <= set(os.listdir(tmp_path / "home"))


@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        (
            np.zeros((16, 24, 3), np.uint8),
            ValueError,
            r"AE: X must be several images; this looks like one colour image",
        ),
        (torch.zeros(4, 1, 8, 8, device="meta"), ValueError, "must hold pixels"),
        ([np.zeros((8, 8)), np.zeros((9, 9))], ValueError, "must hold images of one size"),
    ],
)
def test_images_that_cannot_be_read_get_one_line(images, error, match):
    with pytest.raises(error, match=match) as caught:
        advad.AE(**QUICK).fit(images, progress=False)
    one_line(caught)


def test_images_of_another_byte_order_are_read():
    x = np.random.default_rng(0).random((8, 1, 8, 8))
    scores = [advad.AE(**QUICK).fit(x.astype(t), progress=False).anomaly_score(x) for t in (">f4", "<f4")]
    assert np.array_equal(*scores)


@pytest.mark.parametrize("case", CASES)
def test_networks_can_be_described_without_memory(case):
    """A detector's file is compared with networks on torch's meta device before anything is allocated."""
    detector = make(case)
    with torch.device("meta"):
        described = detector.build((1, 16, 16))
    for name, network in detector.build((1, 16, 16)).items():
        meta = described[name].state_dict()
        assert {key: (t.shape, t.dtype) for key, t in network.state_dict().items()} == {
            key: (t.shape, t.dtype) for key, t in meta.items()
        }
        assert all(parameter.is_meta for parameter in described[name].parameters())
