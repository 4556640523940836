"""What users pass to a detector: numbers and images of other libraries, and what an earlier cell has set."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

import advad
from tests.cases import CASES, make, noise

QUICK = {"epochs": 1, "latent_dim": 2, "widths": (8,), "batch_size": 16, "device": "cpu"}
X = noise(32, (1, 8, 8))


def test_gradients_that_a_notebook_has_switched_off_do_not_break_fit():
    straight = advad.AE(**QUICK).fit(X, progress=False).anomaly_score(X)
    with torch.no_grad():
        scores = advad.AE(**QUICK).fit(X, progress=False).anomaly_score(X)
        assert not torch.is_grad_enabled()
    assert np.array_equal(scores, straight)


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
    assert "\n" not in str(caught.value)


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
