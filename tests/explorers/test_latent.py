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
    assert list(explorer.map_buttons.options.values()) == ["pca", "tsne", "umap"]


def test_another_detector_brings_its_own_codes_and_scores_and_keeps_the_image(explorer):
    explorer.show_image(7)
    explorer.path_switch.value = True
    five = explorer.to_image()
    explorer.detector.value = "plane"
    assert list(explorer.map_buttons.options.values()) == ["latent", "pca", "tsne", "umap"]
    assert explorer.map_buttons.value == "pca"  # both have it
    assert explorer.probe.index == 7
    assert explorer.probe.score == pytest.approx(IMAGES[7].reshape(-1)[:2].sum())
    assert explorer.summary() in explorer.text.value
    assert not explorer.path_switch.value
    assert explorer.path_from is None
    assert explorer.to_image().tobytes() != five.tobytes()
    points = explorer.figure.points
    assert np.allclose(np.stack([points.x, points.y], 1), explorer.map.points, atol=1e-5)
    explorer.set_slider.value = "lowest scores"
    assert "11 images" in explorer.below_summary
    lowest = np.sort(IMAGES.reshape(12, -1)[:, :2].sum(axis=1))[0]
    assert f"Scores from {lowest:.3g}" in explorer.below_summary


def test_a_detector_without_a_decoder_has_no_paths(explorer):
    assert not explorer.path_switch.disabled
    explorer.detector.value = "turned"
    assert explorer.path_switch.disabled
    assert explorer.probe.score < 0


def test_a_map_that_only_another_detector_has_is_left(explorer):
    explorer.detector.value = "plane"
    explorer.map_buttons.value = "latent"
    explorer.detector.value = "five"
    assert explorer.map_buttons.value == "pca"
    assert "PCA" in explorer.about.value


class Event:
    """What plotly tells of a lasso."""

    def __init__(self, indices):
        self.point_inds = indices


class Selector:
    def __init__(self, *corners):
        self._xs, self._ys = zip(*corners, strict=True)


@pytest.fixture
def plane():
    return LatentExplorer({"plane": Detector(2), "five": Detector(5)}, IMAGES, labels=np.arange(12) % 2)


def test_a_lasso_survives_a_change_of_map(plane):
    plane.detector.value = "plane"
    outline = Selector((0, 0), (1, 0), (1, 1))
    plane.lasso(None, Event([2, 5, 7]), outline)
    sentence = plane.below_summary
    assert sentence.startswith("3 images")
    for method in ("pca", "tsne", "latent"):
        plane.map_buttons.value = method
        plane.lasso(None, Event([]), Selector((0, 0), (1, 0), (1, 1)))  # the page tests its old outline once more
        plane.figure.points.selectedpoints = []  # which the page has faded anew
        plane.lasso(None, Event([]), None)  # and tells that it is cleared
        assert plane.below_summary == sentence
        assert plane.figure.points.selectedpoints == (2, 5, 7)
    plane.lasso(None, Event([1]), Selector((0, 0), (2, 0), (1, 1)))  # another outline is another choice
    assert plane.below_summary.startswith("1 image")
    plane.show_image(3)
    assert plane.selected is None
    assert plane.figure.points.selectedpoints is None
    plane.lasso(None, Event([2]), outline)  # the first one again, drawn anew
    assert plane.below_summary.startswith("1 image")


def test_a_set_picked_out_by_name_survives_a_change_of_map_too(plane):
    plane.set_slider.value = "class 1"
    sentence = plane.below_summary
    plane.map_buttons.value = "tsne"
    assert (plane.set_slider.value, plane.below_summary) == ("class 1", sentence)
    assert plane.figure.points.selectedpoints == tuple(range(1, 12, 2))
    plane.set_slider.value = "–"
    assert plane.figure.points.selectedpoints is None
    assert "nearest to this image" in plane.below_summary


def test_a_path_from_a_decoded_place_draws_no_line_where_the_map_has_no_inverse(plane):
    plane.detector.value = "plane"
    plane.map_buttons.value = "latent"
    plane.show_place(np.array([0.2, 9.0]))
    plane.path_switch.value = True
    plane.show_image(4)
    path = plane.figure._path
    assert np.column_stack([path.x, path.y])[0] == pytest.approx([0.2, 9.0])
    plane.map_buttons.value = "tsne"
    assert np.isnan([*path.x, *path.y]).all()
    assert "t-SNE cannot show the way between." in plane.below_summary
    plane.map_buttons.value = "latent"
    assert np.column_stack([path.x, path.y])[0] == pytest.approx([0.2, 9.0])


def test_a_path_between_two_images_is_a_line_on_every_map(plane):
    plane.show_image(1)
    plane.path_switch.value = True
    plane.show_image(4)
    plane.map_buttons.value = "tsne"
    path = plane.figure._path
    assert np.column_stack([path.x, path.y]) == pytest.approx(plane.map.points[[1, 4]])
    assert path.line.dash == "dot"


def test_a_place_stays_the_same_code_on_another_map(plane):
    plane.detector.value = "plane"
    plane.map_buttons.value = "latent"
    plane.show_place(np.array([0.2, 0.9]))
    code = plane.probe.code
    plane.map_buttons.value = "pca"
    assert plane.probe.code == pytest.approx(code, abs=1e-4)
    assert plane.probe.index is None


def test_the_old_name_of_a_method_warns(plane):
    with pytest.warns(FutureWarning, match=r"explorer.show_image\(\)"):
        plane.show_picture(3)
    assert plane.probe.index == 3


def test_a_long_layout_is_announced_before_it_begins(explorer, monkeypatch):
    said = []
    monkeypatch.setattr(explorer.about, "say", said.append)
    explorer.map_buttons.value = "tsne"
    assert said[0] == "Laying out 12 codes by t-SNE, this once …"
    monkeypatch.setattr("advad.explorers.latent.explorer.MANY", 12)
    explorer.detector.value = "turned"
    said.clear()
    explorer.map_buttons.value = "umap"
    assert said[0].startswith("Laying out 12 codes by UMAP, this once …")
    assert said[0].endswith("This takes a minute or two.")
