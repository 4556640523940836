"""Detectors of patches: where patches come from, how tiles are blended, what does not depend on what."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import advad
from advad.engine import patches
from advad.engine.base import BaseDetector
from advad.engine.patches import PatchDetector, blended, random_patches, starts
from advad.files import write_state


@dataclass(kw_only=True, eq=False, repr=False)
class Darkness(BaseDetector):
    """A pixel's map value depends on this pixel alone."""

    def fit(self, X, y=None, *, progress=True):
        self.fitted_on = X
        self.image_shape_ = tuple(X.shape[1:])
        return self

    def anomaly_score(self, X):
        return self.anomaly_map(X).max((1, 2))

    def map_images(self, x):
        return (1 - x).square().mean(1)

    def state(self):
        return {}, {"method": "Darkness"}

    @classmethod
    def from_state(cls, tensors, metadata, device=None):
        return cls()


def photographs(n=4, height=37, width=50, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 3, height, width), dtype=np.uint8))


@pytest.mark.parametrize(("patch", "stride"), [(16, None), (16, 16), (16, 5), (37, None), (7, 1)])
def test_the_map_of_a_pixelwise_method_is_that_of_the_whole_image(patch, stride):
    x = photographs()
    detector = PatchDetector(detector=Darkness(), patch=patch, stride=stride, per_image=2).fit(x)
    whole = Darkness().fit(x)
    assert np.allclose(detector.anomaly_map(x), whole.anomaly_map(x), rtol=0, atol=1e-6)
    assert np.allclose(detector.anomaly_score(x), whole.anomaly_score(x), rtol=0, atol=1e-6)


def test_tiles_of_a_constant_blend_to_the_constant_and_a_seam_is_a_ramp():
    places = [(0, 0), (0, 4)]
    assert torch.equal(blended(torch.full((1, 2, 8, 8), 0.3), places, (8, 12)), torch.full((1, 8, 12), 0.3))
    two = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])[None]
    row = blended(two, places, (8, 12))[0, 3]
    assert row[:4].tolist() == [0] * 4
    assert row[8:].tolist() == [1] * 4
    assert row[4:8].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize(("side", "patch", "stride"), [(10, 4, 4), (10, 4, 3), (4, 4, 2), (11, 4, 1)])
def test_tiles_cover_a_side(side, patch, stride):
    first = starts(side, patch, stride)
    assert sorted({k for start in first for k in range(start, start + patch)}) == list(range(side))
    assert first == sorted(set(first))


def test_patches_are_cut_from_random_places_of_their_images():
    x = photographs(n=3, height=12, width=20)
    cut = random_patches(x, 5, 40, seed=0)
    assert cut.shape == (120, 3, 5, 5)
    places = set()
    for k, one in enumerate(cut):
        windows = x[k // 40].unfold(1, 5, 1).unfold(2, 5, 1)  # (C, 8, 16, 5, 5)
        equal = (windows == one[:, None, None]).all(-1).all(-1).all(0)
        assert equal.any()
        places.add(tuple(equal.nonzero()[0].tolist()))
    assert len(places) > 60  # of 128
    assert torch.equal(cut, random_patches(x, 5, 40, seed=0))
    assert not torch.equal(cut, random_patches(x, 5, 40, seed=1))


def test_maps_and_scores_are_of_the_image_alone(monkeypatch):
    x = photographs(n=6, height=24, width=24)
    detector = PatchDetector(detector=advad.PCA(n_components=4), patch=8, per_image=10).fit(x)
    maps, scores = detector.anomaly_map(x), detector.anomaly_score(x)
    assert np.allclose(np.concatenate([detector.anomaly_map(image[None]) for image in x]), maps, rtol=1e-5)
    monkeypatch.setattr(patches, "PIXELS", 1)
    assert np.allclose(detector.anomaly_score(x.flip(0))[::-1], scores, rtol=1e-5)


def test_a_defect_of_few_pixels_is_seen_at_full_resolution():
    rng = np.random.default_rng(0)
    columns = np.sin(np.arange(96) / 3 + rng.uniform(0, 6, (40, 1, 1)))
    x = (0.5 + 0.2 * columns + 0.03 * rng.normal(size=(40, 96, 96))).clip(0, 1).astype(np.float32)
    test = x[30:].copy()
    test[:, 50:53, 40:43] = 1.0 - test[:, 50:53, 40:43]
    inner = advad.AE(network="conv", conv_width=8, latent_dim=8, epochs=20, batch_size=32, device="cpu")
    detector = PatchDetector(detector=inner, patch=32, per_image=8).fit(x[:30], progress=False)
    maps = detector.anomaly_map(test, smoothing=1)
    inside = maps[:, 50:53, 40:43].max((1, 2))
    limits = np.quantile(maps.reshape(len(maps), -1), 0.99, axis=1)
    assert (inside >= limits).all()


def test_errors():
    x = photographs()
    for settings, line in (
        ({"detector": "AE"}, "^PatchDetector: detector must be a detector; got 'AE'"),
        ({"detector": Darkness(), "patch": 64}, "^PatchDetector: images must have at least 64 pixels a side"),
        ({"detector": Darkness(), "patch": 8, "stride": 9}, "^PatchDetector: stride must be in"),
        ({"detector": Darkness(), "patch": 8, "per_image": 0}, "^PatchDetector: per_image must be at least 1"),
    ):
        with pytest.raises((ValueError, TypeError), match=line):
            PatchDetector(**settings).fit(x)


def test_the_detector_that_is_given_stays_unfitted():
    inner = Darkness()
    detector = PatchDetector(detector=inner, patch=8, per_image=3).fit(photographs())
    assert not hasattr(inner, "image_shape_")
    assert detector.detector_.fitted_on.shape == (12, 3, 8, 8)


@pytest.mark.parametrize(
    "inner", [advad.AE(widths=(8,), latent_dim=2, epochs=1, device="cpu"), advad.PCA(n_components=2)]
)
def test_a_saved_one_scores_as_before(inner, tmp_path):
    x = photographs()
    detector = PatchDetector(detector=inner, patch=16, stride=12, per_image=3).fit(x, progress=False).calibrate(x, 0.3)
    again = advad.load_detector(detector.save(tmp_path / "patches"))
    assert np.array_equal(again.anomaly_score(x), detector.anomaly_score(x))
    assert np.array_equal(again.anomaly_map(x), detector.anomaly_map(x))
    assert (again.threshold_, again.stride, again.get_params(deep=False).keys()) == (
        detector.threshold_,
        12,
        detector.get_params(deep=False).keys(),
    )
    assert not hasattr(again.detector, "image_shape_")
    again.fit(x, progress=False)


def test_an_edited_file_is_refused_in_one_line(tmp_path):
    detector = PatchDetector(detector=advad.PCA(n_components=2), patch=16, per_image=3).fit(photographs())
    tensors, metadata = detector.state()
    for edited, line in (
        ({"parameters": metadata["parameters"] | {"patch": 8}}, "detector must be fitted on patches of .3, 8, 8"),
        ({"parameters": metadata["parameters"] | {"stride": 17}}, "stride must be in"),
        ({"image_shape": [3, 8, 50]}, "detector must be fitted on patches"),
        ({"detector": metadata["detector"] | {"home": "os"}}, "detector must be one of advad's methods"),
        ({"detector": None}, "cannot be loaded"),
    ):
        path = write_state(tmp_path / "edited.safetensors", tensors, metadata | edited)
        with pytest.raises(ValueError, match=f"^PatchDetector: .*{line}"):
            advad.load_detector(path)
    foreign = PatchDetector(detector=Darkness(), patch=8).fit(photographs())
    with pytest.raises(ValueError, match="detector must be one of advad's methods, to be saved and loaded"):
        advad.load_detector(foreign.save(tmp_path / "foreign"))
