"""The explorers of thresholds and of reconstructions: their numbers by hand, their controls, their refusals."""

import html

import numpy as np
import pytest

from advad.analysis.metrics import threshold_at
from advad.explorers.reconstruction import ReconstructionExplorer
from advad.explorers.threshold import ThresholdExplorer


class Detector:
    """Scores the first pixel and draws everything darker by a factor."""

    def __init__(self, sign=1, factor=0.5):
        self.sign, self.factor = sign, factor

    def anomaly_score(self, X):
        return self.sign * np.asarray(X, dtype=float)[:, 0, 0, 0]

    def reconstruct(self, X):
        return np.float32(self.factor) * np.asarray(X)


N = 20
IMAGES = np.full((N, 1, 4, 4), 0.5, dtype=np.float32)
IMAGES[:, 0, 0, 0] = np.arange(N) / N  # the score
TRUTH = np.arange(N) >= 12
HOLDOUT = IMAGES[:10]  # scores 0, 0.05, …, 0.45


@pytest.fixture
def threshold():
    return ThresholdExplorer(Detector(), IMAGES, is_anomaly=TRUTH, holdout=HOLDOUT, false_alarm_rate=0.1)


def test_the_threshold_is_the_one_of_threshold_at_and_calibrate(threshold):
    for rate in (0, 5, 9.5, 10, 20, 29, 30, 50):
        threshold.slider.value = rate
        assert threshold.threshold == threshold_at(HOLDOUT[:, 0, 0, 0], rate / 100)
        assert (HOLDOUT[:, 0, 0, 0] > threshold.threshold).mean() <= rate / 100


def test_the_summary_and_the_line_by_hand(threshold):
    said = "Threshold 0.4000: 100.0% of the anomalies are found, and 25.0% of the normal test images are false alarms."
    assert threshold.summary() == said
    threshold.slider.value = 0
    assert threshold.threshold == pytest.approx(0.45)
    assert threshold.rates() == (pytest.approx(2 / 12), 1.0)
    line = threshold.plot.layout.shapes[0]
    assert line.x0 == line.x1 == threshold.threshold
    assert html.escape(threshold.summary()) in threshold.text.value


def test_another_detector_has_a_threshold_and_a_plot_of_its_own():
    both = {"upside down": Detector(-1), "upright": Detector()}
    explorer = ThresholdExplorer(both, IMAGES, is_anomaly=TRUTH, holdout=HOLDOUT, false_alarm_rate=0.1)
    before, plot = explorer.to_image(), explorer.plot
    assert explorer.summary().startswith("upright, threshold 0.4000: 100.0% of the anomalies")
    explorer.detector.value = "upside down"
    assert explorer.threshold == pytest.approx(-0.05)
    assert explorer.summary().startswith("upside down, threshold -0.0500: 0.0% of the anomalies")
    assert explorer.summary() in explorer.text.value
    assert explorer.plot is not plot
    assert explorer.plot_box.children == (explorer.plot,)
    assert explorer.plot.layout.shapes[0].x0 == explorer.threshold
    assert explorer.to_image().tobytes() != before.tobytes()


def test_a_threshold_explorer_refuses_what_it_cannot_use():
    given = {"is_anomaly": TRUTH, "holdout": HOLDOUT}
    for changed, message in (
        ({"is_anomaly": None}, "is_anomaly must tell which images are anomalous, 0 or 1 for each; got None."),
        ({"is_anomaly": np.zeros(N)}, r"is_anomaly must have normal \(0\) and anomalous \(1\) images; got 0."),
        ({"is_anomaly": np.ones(N)}, r"is_anomaly must have normal \(0\) and anomalous \(1\) images; got 20."),
        ({"is_anomaly": TRUTH[:5]}, r"is_anomaly must have shape \(20,\), one label an image; got"),
        ({"holdout": None}, "holdout must be normal images that were not trained on; got None. For example"),
        ({"holdout": HOLDOUT[0, 0]}, r"holdout must have shape \(N, H, W\) or \(N, C, H, W\); got"),
        ({"false_alarm_rate": 5}, r"false_alarm_rate must be in \[0, 0.5\]; got 5. 0.05 is 5 %"),
    ):
        with pytest.raises(ValueError, match=f"^ThresholdExplorer: {message}"):
            ThresholdExplorer(Detector(), IMAGES, **given | changed)


def test_each_detectors_error_by_hand():
    explorer = ReconstructionExplorer(
        {"dark": Detector(factor=0), "half": Detector(factor=0.5)}, IMAGES[:3], labels=[4, 4, 7]
    )
    mean = (15 * 0.5**2) / 16
    assert explorer.summary() == f"Image 0 (class 4): mean squared error half {mean / 4:.4f}, dark {mean:.4f}."
    before = explorer.to_image()
    explorer.slider.value = 2
    mean = (15 * 0.5**2 + 0.1**2) / 16
    assert explorer.summary() == f"Image 2 (class 7): mean squared error half {mean / 4:.4f}, dark {mean:.4f}."
    assert explorer.summary() in explorer.text.value
    assert explorer.summary() in explorer.strip.value  # the text alternative
    assert explorer.to_image().tobytes() != before.tobytes()


def test_a_reconstruction_explorer_takes_bytes_as_it_takes_floats():
    pixels = (255 * IMAGES[:3]).round().astype(np.uint8)
    by_bytes, by_floats = (ReconstructionExplorer(Detector(), some) for some in (pixels, pixels / np.float32(255)))
    assert by_bytes.summary() == by_floats.summary()


def test_a_reconstruction_explorer_refuses_what_it_cannot_use():
    class Blind(Detector):
        reconstructs = False

    class Crops(Detector):
        def reconstruct(self, X):
            return np.asarray(X)[..., 1:]

    with pytest.raises(ValueError, match=r"^ReconstructionExplorer: detectors must give images back .*; got 'blind'"):
        ReconstructionExplorer({"blind": Blind()}, IMAGES)
    with pytest.raises(
        ValueError, match="the reconstructions of Crops must have the images' shape, .20, 1, 4, 4.; got"
    ):
        ReconstructionExplorer(Crops(), IMAGES)
    with pytest.raises(ValueError, match=r"^ReconstructionExplorer: labels must have shape \(20,\), one an image; got"):
        ReconstructionExplorer(Detector(), IMAGES, labels=["a", "b", "c"])
