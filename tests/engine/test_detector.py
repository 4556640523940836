"""What the base classes give every detector, tested with a trained one and a classical one, not with all methods."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

import advad
from tests.cases import digits, make, noise

QUICK = {"epochs": 2, "batch_size": 32, "widths": (16,), "latent_dim": 4, "device": "cpu"}


def images(n=64):
    return digits().train[:n]


@pytest.fixture(params=["AE", "PCA"])
def unfitted(request):
    return make(request.param, epochs=2, batch_size=32)


@pytest.fixture
def fitted(unfitted):
    return unfitted.fit(images(), progress=False)


def alike(found, scores):
    """Return whether scores are the same but for rounding."""
    return np.allclose(found, scores, rtol=1e-5, atol=1e-4 * scores.std())


def test_the_form_of_the_images_does_not_matter(fitted):
    detector, x = fitted, digits().test[:10]
    scores = detector.anomaly_score(x)
    for same in (x.numpy(), x[:, 0], x.float() / 255, x.double().numpy() / 255, list(x[:, 0].numpy())):
        assert alike(detector.anomaly_score(same), scores)


def test_a_run_folder_of_another_run_is_refused(tmp_path):
    advad.AE(**QUICK).fit(images(), run_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"run_dir .* holds another run: seed=0 \(now 3\)\. Choose another folder"):
        advad.AE(**QUICK, seed=3).fit(images(), run_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match="holds another run: a run on other images"):
        advad.AE(**QUICK).fit(images(50), run_dir=tmp_path, progress=False)
    advad.AE(**QUICK, seed=3).fit(images(), run_dir=tmp_path, resume=False, progress=False)


def test_threshold_from_held_out_normals(fitted):
    detector, holdout = fitted, digits().holdout
    with pytest.raises(NotFittedError, match=r"predict needs a threshold. Call calibrate\(holdout\)"):
        detector.predict(holdout)
    detector.calibrate(holdout, false_alarm_rate=0.25)
    verdicts = detector.predict(holdout)
    assert set(verdicts) <= {-1, 1}
    assert (verdicts == -1).mean() == pytest.approx(0.25, abs=1 / len(holdout))
    assert np.array_equal(verdicts == -1, detector.decision_function(holdout) < 0)
    with pytest.raises(TypeError, match="fit_predict has no held-out normals. Use fit, calibrate, predict"):
        detector.fit_predict(holdout)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", -1, "epochs must be at least 0; got -1"),
        ("epochs", 2.5, "epochs must be a whole number; got 2.5"),
        ("batch_size", 0, "batch_size must be at least 1; got 0"),
        ("learning_rate", 0, "learning_rate must be above 0; got 0"),
        ("learning_rate", float("nan"), "learning_rate must be above 0; got nan"),
        ("latent_dim", True, "latent_dim must be a whole number; got True"),
        ("seed", -3, "seed must be in [0, 9.22337e+18]; got -3"),
        ("device", "tpu", "device must be one of 'auto', 'cpu', 'cuda', 'mps'; got 'tpu'"),
        ("precision", "half", "precision must be one of 'float32', 'bfloat16', 'auto'; got 'half'"),
    ],
)
def test_a_bad_parameter_gets_one_clear_line(name, value, message):
    detector = advad.AE().set_params(**{name: value})
    with pytest.raises((ValueError, TypeError)) as caught:
        detector.fit(images(), progress=False)
    assert str(caught.value).startswith(f"{type(detector).__name__}: {message}")
    assert "\n" not in str(caught.value)


def test_bad_images_get_one_clear_line(unfitted):
    detector = unfitted
    name = type(detector).__name__
    bad = {
        "X must hold at least one image": images()[:0],
        r"X must have shape \(N, H, W\) or \(N, C, H, W\)": images().flatten(1),
        "X must have 1 or 3 channels": images().expand(-1, 2, -1, -1),
        "X must be uint8 or float": images().long(),
        "X must be finite": torch.full((2, 8, 8), torch.nan),
        r"X must be in \[0, 1\] when float; got values from 0 to 255. Divide by 255": images().float(),
        "X must be an array of images": "digits",
        "X must hold images of one size": [np.zeros((2, 2)), np.zeros((3, 3))],
    }
    for message, x in bad.items():
        with pytest.raises((ValueError, TypeError), match=f"^{name}: {message}"):
            detector.fit(x, progress=False)
    with pytest.raises(NotFittedError):
        detector.anomaly_score(images())
    detector.fit(images(), progress=False)
    with pytest.raises(ValueError, match=f"{name}: X must hold images of shape 1×8×8, as in fit"):
        detector.anomaly_score(noise(2, (1, 9, 9)))
