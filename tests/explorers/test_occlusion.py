"""The occlusion explorer answers its controls: the map, the sentence and the picture follow, and errors show."""

import html

import numpy as np
import pytest
import torch

from advad.analysis.saliency import mask_agreement, occlusion_map
from advad.explorers.occlusion import OcclusionExplorer


class Detector:
    """Draws the same grey picture, whatever it is shown."""

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
    return OcclusionExplorer(detectors, IMAGES, ["sound", "with a spot", "sound too"], MASKS, patches=(1, 2))


def test_it_starts_with_the_last_detector_and_says_that_nothing_is_wrong(explorer):
    assert explorer.detector.value == "dark"
    assert not explorer.map().any() or explorer.map().min() >= 0
    assert explorer.summary() == "Picture 0, sound: dark scores it 0.0000. Covering it lowers that nowhere."
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


def test_the_sentence_names_the_place_and_its_agreement_with_the_truth(explorer):
    explorer.slider.value = 1
    score = 0.75**2 / 36
    fall = 1 - (0.25**2 / 36) / score  # black is 0.25 away from the grey, white 0.75
    said = explorer.summary()
    assert f"dark scores it {score:.4f}. Covering row 2, column 3 lowers that most, by {fall:.1%}." in said
    found = mask_agreement(-explorer.map()[None], MASKS[1:2])
    assert found.iou == 1
    assert said.endswith("100% are common (IoU).")


def test_the_twin_shows_the_truth_only_where_there_is_one(explorer):
    without = explorer.to_image().size
    explorer.slider.value = 1
    assert explorer.to_image().size[0] > without[0]


def test_an_error_shows_in_its_panel(explorer):
    explorer.detectors["pale"].score_tensor = lambda x: x
    with pytest.raises(ValueError, match="score must return shape"):
        explorer.detector.value = "pale"  # without a kernel, the panel lets the error through


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="OcclusionExplorer: names must have 3 entries, one an image; got"):
        OcclusionExplorer({"dark": Detector(0.25)}, IMAGES, ["one"])
    with pytest.raises(ValueError, match="OcclusionExplorer: masks must have 3 entries, one an image; got"):
        OcclusionExplorer({"dark": Detector(0.25)}, IMAGES, ["a", "b", "c"], MASKS[:1])
