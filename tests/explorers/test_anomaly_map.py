"""The explorer of anomaly maps: threshold, precision and recall by hand, the outline, and every refusal."""

import html

import numpy as np
import pytest

from advad.explorers.anomaly_map import AnomalyMapExplorer


class Detector:
    """Its map is the image itself, times a factor."""

    def __init__(self, factor=1.0):
        self.factor, self.calls = factor, 0

    def anomaly_score(self, X):
        return np.asarray(X).reshape(len(X), -1).max(1)

    def anomaly_map(self, X, *, kind="own", smoothing=0.0):
        self.calls += 1
        return self.factor * np.asarray(X, dtype=np.float32)[:, 0]


IMAGES = (np.arange(3 * 100).reshape(3, 1, 10, 10) / 1000).astype(np.float32)  # 0 to 0.299, each pixel another value
MASKS = np.zeros((3, 10, 10), np.uint8)
MASKS[1, 9, :] = 255  # the ten highest pixels of image 1, 0.190 to 0.199
MASKS[2, 9, 5:] = 1  # the five highest of all


@pytest.fixture
def explorer():
    detectors = {"twice": Detector(2.0), "once": Detector(1.0)}
    return AnomalyMapExplorer(detectors, IMAGES, masks=MASKS, labels=["good", "crack", "spot"], outlined_share=10)


def test_the_threshold_is_a_quantile_of_all_maps(explorer):
    assert explorer.threshold == pytest.approx(np.quantile(IMAGES, 0.9))
    assert explorer.detected().sum() == 0
    explorer.slider.value = 2
    assert explorer.detected().sum() == 30  # a tenth of 300, all of them in the last image
    explorer.detector.value = "twice"
    assert explorer.threshold == pytest.approx(2 * np.quantile(IMAGES, 0.9))
    assert explorer.detected().sum() == 30


def test_precision_and_recall_by_hand(explorer):
    explorer.slider.value = 2
    assert explorer.rates() == (5 / 30, 1)
    text = "Image 2 (spot): once, threshold 0.2691 outlines 30.0% of it. Precision 16.7%, recall 100.0% of the defect"
    assert explorer.summary().startswith(text)
    explorer.share.value = 1  # 3 pixels
    assert explorer.rates() == (1, 3 / 5)
    explorer.slider.value = 1
    assert np.isnan(explorer.rates()[0])
    assert explorer.summary().endswith("outlines 0.0% of it. Recall 0.0% of the defect's pixels.")


def test_an_image_without_a_defect_has_false_alarms_only(explorer):
    explorer.share.value = 30
    assert explorer.summary().endswith("outlines 0.0% of it.")
    one = AnomalyMapExplorer(Detector(), IMAGES[:1], masks=MASKS[:1], outlined_share=10)
    assert one.summary().endswith("outlines 10.0% of it. It has no defect, so all of that is a false alarm.")
    assert "once" not in one.summary()  # one detector needs no name


def test_every_control_moves_text_and_image(explorer):
    seen = []
    for control, value in [(explorer.slider, 2), (explorer.share, 5.0), (explorer.share, 1.0), (explorer.slider, 1)]:
        control.value = value
        seen.append(explorer.strip.value)
        assert html.escape(explorer.summary()) in explorer.text.value
        assert not explorer.errors.outputs
    assert len(set(seen)) == 4
    explorer.detector.value = "twice"
    assert html.escape(explorer.summary()) in explorer.text.value


def test_the_outline_is_that_of_the_detected_pixels(explorer):
    explorer.slider.value = 2
    drawn = np.asarray(explorer.to_image().convert("RGB")).astype(int)
    orange = (drawn == [0xE6, 0x9F, 0x00]).all(2)
    width = drawn.shape[1] // 4
    thirds = [orange[:, k * width : (k + 1) * width].sum() for k in range(4)]
    assert thirds[0] == thirds[1] == 0
    assert thirds[2] > thirds[3] > 0  # 30 detected pixels, 5 of the defect
    explorer.share.value = 0
    assert (np.asarray(explorer.to_image().convert("RGB")).astype(int) == [0xE6, 0x9F, 0x00]).all(
        2
    ).sum() < orange.sum()


def test_maps_are_made_once_for_each_detector_that_is_shown():
    detectors = {"first": Detector(), "second": Detector()}
    explorer = AnomalyMapExplorer(detectors, IMAGES)
    explorer.share.value, explorer.slider.value = 4, 2
    assert (detectors["first"].calls, detectors["second"].calls) == (0, 1)
    explorer.detector.value = "first"
    explorer.detector.value = "second"
    assert (detectors["first"].calls, detectors["second"].calls) == (1, 1)


def test_without_masks_there_is_neither_precision_nor_a_fourth_image(explorer):
    without = AnomalyMapExplorer(Detector(), IMAGES)
    assert without.rates() is None
    assert "recall" not in without.summary().lower()
    assert without.to_image().width < explorer.to_image().width


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match=r"^AnomalyMapExplorer: masks must have shape \(3, 10, 10\), one for each ima"):
        AnomalyMapExplorer(Detector(), IMAGES, masks=MASKS[:2])
    with pytest.raises(ValueError, match="^AnomalyMapExplorer: outlined_share must be in .0, 30.; got 40. It is a"):
        AnomalyMapExplorer(Detector(), IMAGES, outlined_share=40)

    class Scores:
        def anomaly_score(self, X):
            return np.zeros(len(X))

    with pytest.raises(ValueError, match=r"^AnomalyMapExplorer: detectors must have anomaly maps \(anomaly_map\); got"):
        AnomalyMapExplorer(Scores(), IMAGES)
