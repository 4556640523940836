"""Files that version 0.1 wrote still load and resume: `tests/data/v0_1`, made by commit 3d02a29."""

import json
import shutil

import numpy as np
import pytest

import advad
from advad.experiments.sweep import sweep
from advad.files import read_state
from tests import ROOT
from tests.faults.refusals import refusal

OLD = ROOT / "tests" / "data" / "v0_1"
SCORES = json.loads((OLD / "scores.json").read_text())
TINY = {"latent_dim": 2, "widths": (8,), "batch_size": 32, "device": "cpu", "seed": 0}


@pytest.fixture(scope="module")
def images():
    return advad.load("digits").images[:64]


def test_a_saved_detector_scores_as_it_did(images):
    detector = advad.load_detector(OLD / "ae")
    np.testing.assert_allclose(detector.anomaly_score(images[:8]), SCORES["ae"], rtol=1e-4)
    assert detector.threshold_ == pytest.approx(SCORES["ae_threshold"])
    assert detector.history_["epoch"] == [1, 2, 3]


def test_agad_loads_and_its_u_nets_are_refused_with_the_reason(images):
    detector = advad.load_detector(OLD / "agad-naive")
    np.testing.assert_allclose(detector.anomaly_score(images[:8]), SCORES["agad_naive"], rtol=1e-4)
    text = refusal(lambda: advad.load_detector(OLD / "agad-unet"))
    assert text.startswith(f"AGAD: {OLD / 'agad-unet'} cannot be loaded (the U-Nets of version 0.1 were built of DCGAN")
    assert text.endswith("Version 0.1 of advad loads it still). Fit and save it again.")


def test_a_checkpoint_in_mid_training_resumes_to_the_same_scores(images, tmp_path):
    shutil.copy(OLD / "aae" / "checkpoint.safetensors", tmp_path)
    assert read_state(tmp_path / "checkpoint.safetensors")[1]["epoch"] == 2
    epochs = []
    detector = advad.AAE(epochs=4, critic_widths=(8,), **TINY)
    detector.fit(images, progress=False, run_dir=tmp_path, on_epoch=lambda d: epochs.append(d.history_["epoch"][-1]))
    assert epochs == [3, 4]  # it went on and did not start again
    np.testing.assert_allclose(detector.anomaly_score(images[:8]), SCORES["aae_after_4_epochs"], rtol=1e-4)


def test_a_finished_sweep_is_still_finished(tmp_path):
    shutil.copytree(OLD / "sweep", tmp_path / "sweep")
    outcomes = sweep(json.loads((OLD / "sweep-spec.json").read_text()), folder=tmp_path / "sweep", progress=False)
    assert [(outcome.error, outcome.fresh) for outcome in outcomes] == [("", False)] * 2
    assert outcomes[0].results is not None
    assert outcomes[0].results["versions"]["advad"] == "0.1.0"
