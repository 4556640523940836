"""The latent explorer with several detectors: each has codes, maps and scores of its own of the same images."""

import numpy as np
import pytest

from advad.explorers import LatentExplorer

IMAGES = np.random.default_rng(0).random((12, 1, 4, 4)).astype(np.float32)


class Detector:
    """Encodes some first pixels and scores by their sum."""

    def __init__(self, d, sign=1):
        self.d, self.sign = d, sign

    def encode(self, X):
        return np.asarray(X, dtype=np.float32).reshape(len(X), -1)[:, : self.d]

    def decode(self, z):
        padded = np.pad(np.asarray(z), ((0, 0), (0, 16 - self.d)))
        return padded.reshape(-1, 1, 4, 4).clip(0, 1).astype(np.float32)

    def reconstruct(self, X):
        return self.decode(self.encode(X))

    def anomaly_score(self, X):
        return self.sign * self.encode(X).sum(axis=1)


class NoDecoder(Detector):
    reconstructs = decodes = False


@pytest.fixture
def explorer():
    detectors = {"plane": Detector(2), "turned": NoDecoder(3, -1), "five": Detector(5)}
    return LatentExplorer(detectors, IMAGES, labels=np.arange(12) % 2)


def test_it_starts_with_the_last_detector(explorer):
    assert explorer.detector.value == "five"
    assert np.array_equal(explorer.set.codes, Detector(5).encode(IMAGES))
    assert list(explorer.map_choice.options.values()) == ["pca", "tsne", "umap"]


def test_another_detector_brings_its_own_codes_and_scores_and_keeps_the_picture(explorer):
    explorer.show_image(7)
    explorer.path_switch.value = True
    five = explorer.to_image()
    explorer.detector.value = "plane"
    assert list(explorer.map_choice.options.values()) == ["latent", "pca", "tsne", "umap"]
    assert explorer.map_choice.value == "pca"  # both have it
    assert explorer.probe.index == 7
    assert explorer.probe.score == pytest.approx(IMAGES[7].reshape(-1)[:2].sum())
    assert explorer.summary() in explorer.text.value
    assert not explorer.path_switch.value
    assert explorer.path_from is None
    assert explorer.to_image().tobytes() != five.tobytes()
    points = explorer.figure.points
    assert np.allclose(np.stack([points.x, points.y], 1), explorer.map.points, atol=1e-5)
    explorer.set_choice.value = "lowest scores"
    assert "11 images" in explorer.below_sentence
    lowest = np.sort(IMAGES.reshape(12, -1)[:, :2].sum(axis=1))[0]
    assert f"Scores from {lowest:.3g}" in explorer.below_sentence


def test_a_detector_without_a_decoder_has_no_paths(explorer):
    assert not explorer.path_switch.disabled
    explorer.detector.value = "turned"
    assert explorer.path_switch.disabled
    assert explorer.probe.score < 0


def test_a_map_that_only_another_detector_has_is_left(explorer):
    explorer.detector.value = "plane"
    explorer.map_choice.value = "latent"
    explorer.detector.value = "five"
    assert explorer.map_choice.value == "pca"
    assert "PCA" in explorer.about.value
