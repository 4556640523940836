"""The occlusion explorer answers its controls: the map, the sentence and the image follow, and errors show."""

import html

import numpy as np
import pytest
import torch

from advad.analysis.saliency import mask_agreement, occlusion_map
from advad.explorers.occlusion import OcclusionExplorer


class Detector:
    """Draws the same grey image, whatever it is shown."""

    image_shape_, device_ = (1, 6, 6), torch.device("cpu")

    def __init__(self, grey):
        self.grey = grey

    def score_tensor(self, x):
        return (x - self.grey).square().mean(dim=(1, 2, 3))

    def anomaly_score(self, X):
        return self.score_tensor(torch.as_tensor(X).float()).numpy()

    def reconstruct(self, X):
        return np.full(np.shape(X), self.grey, dtype=np.float32)


IMAGES = np.full((3, 1, 6, 6), 0.25, dtype=np.float32)
IMAGES[1, 0, 2, 3] = 1
MASKS = (IMAGES[:, 0] == 1).astype(np.uint8)


@pytest.fixture
def explorer():
    detectors = {"pale": Detector(0.75), "dark": Detector(0.25)}
    names = ["sound", "with a spot", "sound too"]
    return OcclusionExplorer(detectors, IMAGES, labels=names, masks=MASKS, patches=(1, 2))


def test_it_starts_with_the_last_detector_and_says_that_nothing_is_wrong(explorer):
    assert explorer.detector.value == "dark"
    assert not explorer.map().any() or explorer.map().min() >= 0
    assert explorer.summary() == "Image 0 (sound): dark scores it 0.0000. Covering it lowers that nowhere."
    assert explorer.summary() in explorer.text.value


def test_each_control_is_answered(explorer):
    seen = []
    for control, value in [
        (explorer.slider, 1),
        (explorer.fill, 1.0),
        (explorer.patch, 2),
        (explorer.detector, "pale"),
    ]:
        control.value = value
        seen.append(explorer.strip.value)
        assert html.escape(explorer.summary()) in explorer.text.value
        assert not explorer.errors.outputs
    assert len(set(seen)) == 4
    detector = explorer.detectors["pale"]
    expected = occlusion_map(detector, IMAGES[1:2], patch=2, fill=1.0)[0]
    assert np.array_equal(explorer.map(), expected)


def test_the_summary_names_the_place_and_its_agreement_with_the_truth(explorer):
    explorer.slider.value = 1
    score = 0.75**2 / 36
    fall = 1 - (0.25**2 / 36) / score  # black is 0.25 away from the grey, white 0.75
    said = explorer.summary()
    assert f"dark scores it {score:.4f}. Covering row 2, column 3 lowers that most, by {fall:.1%}." in said
    found = mask_agreement(-explorer.map()[None], MASKS[1:2])
    assert found.iou == 1
    assert said.endswith("100% are common (IoU).")


def test_the_static_image_shows_the_truth_only_where_there_is_one(explorer):
    without = explorer.to_image().size
    explorer.slider.value = 1
    assert explorer.to_image().size[0] > without[0]


def test_an_error_shows_in_its_panel(explorer):
    explorer.detectors["pale"].score_tensor = lambda x: x
    with pytest.raises(ValueError, match="score must return shape"):
        explorer.detector.value = "pale"  # without a kernel, the panel lets the error through


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match=r"OcclusionExplorer: labels must have shape \(3,\), one an image; got"):
        OcclusionExplorer(Detector(0.25), IMAGES, labels=["one"])
    with pytest.raises(ValueError, match=r"OcclusionExplorer: masks must have shape \(3, 6, 6\), one for each image"):
        OcclusionExplorer(Detector(0.25), IMAGES, masks=MASKS[:1])
    with pytest.raises(ValueError, match=r"OcclusionExplorer: each of patches must be in \[1, 6\]; got 7"):
        OcclusionExplorer(Detector(0.25), IMAGES, patches=(1, 7))
    with pytest.raises(ValueError, match="OcclusionExplorer: detectors must hold at least one fitted detector; got"):
        OcclusionExplorer({}, IMAGES)
    with pytest.raises(TypeError, match="OcclusionExplorer: detectors must be a fitted detector, or a mapping"):
        OcclusionExplorer([Detector(0.25)], IMAGES)


def test_a_detector_that_draws_nothing_still_has_a_map():
    class Blind(Detector):
        reconstructs = False

    blind, draws = (OcclusionExplorer(kind(0.25), IMAGES) for kind in (Blind, Detector))
    assert np.array_equal(blind.map(), draws.map())
    assert blind.to_image().width < draws.to_image().width
    assert "An image and its occlusion map." in blind.strip.value


def test_the_fall_of_a_score_below_zero_is_no_share():
    class Negative(Detector):
        def score_tensor(self, x):
            return super().score_tensor(x) - 1

    explorer = OcclusionExplorer(Negative(0.25), IMAGES)
    explorer.slider.value = 1
    score, covered = 0.75**2 / 36, 0.25**2 / 36  # a black pixel is as far from the grey as the others are not
    assert f"lowers that most, by {score - covered:.3g}." in explorer.summary()


def test_images_have_either_form_and_either_kind_of_numbers():
    pixels = (255 * IMAGES).round().astype(np.uint8)
    forms = [OcclusionExplorer(Detector(0.25), some) for some in (pixels, pixels[:, 0], pixels / np.float32(255))]
    assert all(np.array_equal(each.map(), forms[0].map()) for each in forms)
