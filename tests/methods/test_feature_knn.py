"""The yardstick of frozen features: the contract, distances by NumPy, encoders of every kind, files."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn
from torchvision import models

import advad
from advad.methods import METHODS
from advad.networks.frozen import FeatureMaps
from tests.cases import digits, make, noise
from tests.contract.test_contract import (  # what the contract asks of anything with the face
    test_fit_returns_self_and_clone_is_unfitted,  # noqa: F401
    test_it_beats_chance_clearly_on_digits,  # noqa: F401
    test_scores_are_finite_not_constant_and_one_an_image,  # noqa: F401
    test_small_and_large_grey_and_colour,  # noqa: F401
)

KINDS = ["FeatureKNN", "FeatureKNN-image"]


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", KINDS)


def fitted(case="FeatureKNN", x=None, **changes):
    return make(case, **changes).fit(digits().train if x is None else x)


# ---------------------------------------------------------------- the contract


def test_scores_do_not_depend_on_batch_mates(case, monkeypatch):
    detector, x = fitted(case), digits().test[:30]
    scores = detector.anomaly_score(x)
    alike = lambda values, expected: np.allclose(values, expected, rtol=1e-5, atol=1e-6)  # noqa: E731
    assert alike(detector.anomaly_score(x.flip(0))[::-1], scores)
    assert alike([detector.anomaly_score(image[None])[0] for image in x], scores)
    monkeypatch.setattr("advad.methods.feature_knn.PIXELS", 7 * 64)
    monkeypatch.setattr("advad.methods.feature_knn.DISTANCES", 50 * len(detector.bank_))
    assert alike(detector.anomaly_score(x), scores)
    assert torch.allclose(fitted(case).bank_, detector.bank_, atol=1e-6)  # nor does the bank


def test_the_seed_decides(case):
    x = digits().test[:20]
    scores = fitted(case).anomaly_score(x)
    assert np.array_equal(fitted(case).anomaly_score(x), scores)
    assert not np.array_equal(fitted(case, seed=1).anomaly_score(x), scores)


def test_save_and_load_give_equal_scores(case, tmp_path):
    detector = fitted(case).calibrate(digits().holdout)
    path, x = detector.save(tmp_path / "detector"), digits().test[:20]
    for loaded in (advad.load_detector(path), advad.FeatureKNN.load(path, "cpu")):
        assert np.array_equal(loaded.anomaly_score(x), detector.anomaly_score(x))
        assert np.array_equal(loaded.predict(x), detector.predict(x))
        assert loaded.get_params() == detector.get_params()


def test_named_layers_survive_saving(tmp_path):
    detector = fitted(layers=("level2",))
    loaded = advad.load_detector(detector.save(tmp_path / "detector"))
    assert np.array_equal(loaded.anomaly_score(digits().test[:5]), detector.anomaly_score(digits().test[:5]))
    assert loaded.layers == ("level2",)


def test_pipeline_cross_validation_and_grid_search(case):
    x, y = digits().test[:60], np.where(digits().test_is_anomaly[:60], -1, 1)
    quiet = FunctionTransformer(lambda images: images)
    values = cross_val_score(make_pipeline(quiet, make(case)), x, y, cv=2, scoring="roc_auc", error_score="raise")
    assert ((values >= 0) & (values <= 1)).all()
    grid = {"n_neighbors": [1, 5]}
    assert GridSearchCV(make(case), grid, cv=2, scoring="roc_auc", error_score="raise").fit(x, y).best_params_


def test_the_score_has_a_gradient(case):
    detector = fitted(case)
    x = (digits().test[:4].float() / 255).requires_grad_()
    (gradient,) = torch.autograd.grad(detector.score_tensor(x).sum(), x)
    assert gradient.abs().flatten(1).sum(1).min() > 0
    assert torch.isfinite(gradient).all()


def test_it_gives_no_images_back(case):
    detector = fitted(case)
    assert not detector.reconstructs
    with pytest.raises(NotImplementedError, match="^FeatureKNN: it gives no images back"):
        detector.reconstruct(digits().test[:2])


def test_the_name_is_known_to_load_detector():
    assert METHODS["FeatureKNN"] == "feature_knn"


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (5, 7)])
def test_tiny_images(case, size):
    assert np.isfinite(fitted(case, noise(8, (1, *size))).anomaly_score(noise(3, (1, *size), seed=1))).all()


# ---------------------------------------------------------------- distances


class Halves(nn.Module):
    """Two features at each of four places: the mean of a quarter, and twice that."""

    def forward(self, x):
        quarters = nn.functional.avg_pool2d(x, x.shape[-1] // 2)
        return torch.cat([quarters, 2 * quarters], 1)


def places(images):
    """Return the features of `Halves` under the 3×3 mean, (N, 4, 2): with 2×2 places, the mean of all four."""
    mean = images.reshape(len(images), -1).mean(1)
    return np.repeat(np.stack([mean, 2 * mean], 1)[:, None], 4, 1)


def test_distances_by_numpy():
    rng = np.random.default_rng(0)
    train, test = (rng.random((n, 1, 8, 8)).astype(np.float32) for n in (5, 3))
    for k in (1, 2):
        detector = advad.FeatureKNN(encoder=Halves(), n_neighbors=k, level="image", device="cpu").fit(train)
        bank, rows = places(train)[:, 0], places(test)[:, 0]
        distance = np.sort(np.linalg.norm(rows[:, None] - bank, axis=2), axis=1)[:, :k].mean(1)
        assert detector.anomaly_score(test) == pytest.approx(distance, rel=1e-4)


def test_a_patch_is_compared_with_the_nearest_patch_of_any_image_and_the_worst_one_counts():
    maps = lambda x: x  # noqa: E731 (the pixels are the features)
    encoder = nn.Identity()
    train = np.zeros((2, 1, 9, 9), np.float32)
    train[1] = 0.5
    detector = advad.FeatureKNN(encoder=encoder, device="cpu").fit(maps(train))
    x = np.full((1, 1, 9, 9), 0.1, np.float32)
    assert detector.anomaly_score(x)[0] == pytest.approx(0.1, abs=1e-5)
    x[0, 0, :3, :3] = 0.8
    assert detector.anomaly_score(x)[0] == pytest.approx(0.3, abs=1e-5)  # from 0.5
    values = detector.anomaly_map(x)[0]
    assert values.argmax() in np.flatnonzero(x[0, 0] == np.float32(0.8))
    assert values[8, 8] == pytest.approx(0.1, abs=1e-5)


def test_the_bank_holds_as_many_features_of_each_image_and_no_more_than_asked():
    train = np.arange(1, 11, dtype=np.uint8)[:, None, None, None].repeat(9, 2).repeat(9, 3)
    detector = advad.FeatureKNN(encoder=nn.Identity(), bank_size=30, device="cpu").fit(train)
    values, counts = np.unique(detector.bank_.numpy().round(5), return_counts=True)
    assert len(values) == 10
    assert set(counts) == {3}
    few = advad.FeatureKNN(encoder=nn.Identity(), bank_size=4, device="cpu").fit(train)
    assert few.bank_.shape == (4, 1)


def test_a_photograph_has_as_many_places_as_a_small_image():
    for side, places_a_side in [(16, 8), (64, 32), (128, 32), (256, 32)]:
        detector = make("FeatureKNN").fit(noise(2, (3, side, side)))
        assert detector.features(torch.zeros(1, 3, side, side)).shape[1:3] == (places_a_side, places_a_side)


# ---------------------------------------------------------------- encoders


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_network_of_torchvision_with_weights_from_a_file(tmp_path, suffix):
    torch.manual_seed(3)
    network = models.resnet18(weights=None).eval()
    path = tmp_path / f"resnet18{suffix}"
    torch.save(network.state_dict(), path) if suffix == ".pth" else save_file(network.state_dict(), path)
    x = noise(4, (1, 32, 32))
    detector = advad.FeatureKNN(encoder="resnet18", weights=path, device="cpu").fit(x)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        y = (x.float() / 255 - mean) / std
        for name, part in network.named_children():
            y = part(y)
            if name == "layer2":
                break
    expected = nn.functional.avg_pool2d(y, 3, 1, 1, count_include_pad=False).permute(0, 2, 3, 1)
    assert torch.allclose(detector.features(x.float() / 255)[..., :128], expected, atol=1e-5)
    again = advad.load_detector(detector.save(tmp_path / "saved"))
    path.unlink()  # the weights are in the detector's own file
    assert np.array_equal(advad.load_detector(tmp_path / "saved").anomaly_score(x), again.anomaly_score(x))


def test_layers_of_a_module_are_taken_by_their_names():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, padding=1))
    x = torch.rand(2, 1, 8, 8)
    maps = FeatureMaps(network, ("1", "2"))(x)
    assert maps.shape == (2, 10, 8, 8)
    pooled = nn.functional.avg_pool2d(network[1](network[0](x)), 3, 1, 1, count_include_pad=False)
    assert torch.allclose(maps[:, :4], pooled, atol=1e-6)


def test_a_module_is_not_changed_and_cannot_be_saved(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).train()
    detector = advad.FeatureKNN(encoder=module, device="cpu").fit(digits().train[:20])
    assert module.training
    assert all(weight.requires_grad for weight in module.parameters())
    assert clone(detector).fit(digits().train[:20]).anomaly_score(digits().test[:5]) == pytest.approx(
        detector.anomaly_score(digits().test[:5]), rel=1e-5
    )
    with pytest.raises(
        ValueError, match="^FeatureKNN: encoder must be a name, to be saved and loaded; got 'Sequential'"
    ):
        detector.save(tmp_path / "detector")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"encoder": 3}, "FeatureKNN: encoder must be 'random', a name of torchvision's, or an nn.Module; got 3"),
        ({"encoder": "resnet17"}, "FeatureKNN: encoder must be 'random', a network of torchvision's.* got 'resnet17'"),
        ({"encoder": "vgg11"}, r"FeatureKNN: layers must name parts of vgg11 \(features, avgpool, classifier\)"),
        ({"weights": "x.pth"}, "FeatureKNN: weights must be given for a network of torchvision's only; got 'x.pth'"),
        ({"encoder": "resnet18", "weights": "no.pth"}, "FeatureKNN: weights must be a file that exists; got 'no.pth'"),
        ({"layers": ("level9",)}, "FeatureKNN: layers must be parts of the encoder, such as stem, level1, level2; got"),
        ({"encoder": nn.Unflatten(1, (1, 1, 1))}, r"FeatureKNN: encoder must give features \(B, D\) or"),
        ({"level": "pixel"}, "FeatureKNN: level must be one of 'patch', 'image'; got 'pixel'"),
        ({"n_neighbors": 0}, "FeatureKNN: n_neighbors must be at least 1; got 0"),
        ({"bank_size": 0}, "FeatureKNN: bank_size must be at least 1; got 0"),
        ({"seed": -1}, "FeatureKNN: seed must be in .0, 9.22337e.18.; got -1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(settings, line):
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=f"^{line}") as refusal:
        fitted(**settings)
    assert "\n" not in str(refusal.value)


def test_other_weights_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="^FeatureKNN: weights must hold the state of resnet18; got 'other.pth: ") as e:
        fitted(encoder="resnet18", weights=tmp_path / "other.pth")
    assert "\n" not in str(e.value)
