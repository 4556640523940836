"""The noise ladder: one frozen noise on rungs of known strength, scores computed on them, and controls that answer."""

import html

import numpy as np
import pytest

from advad.analysis.corruption import at_strength, strength
from advad.explorers.noise import NoiseExplorer, frozen_noise


class Detector:
    """Draws the same grey image, whatever it is shown."""

    def __init__(self, grey, threshold=None):
        self.grey = grey
        if threshold is not None:
            self.threshold_ = threshold

    def anomaly_score(self, X):
        return np.square(np.asarray(X) - self.grey).mean(axis=(1, 2, 3))

    def reconstruct(self, X):
        return np.full(np.shape(X), self.grey, dtype=np.float32)


class Learned(Detector):
    """Has a noise of its own, as ALCN does: white in the first row."""

    def noise(self, n, seed=0):
        white = np.zeros((n, 1, 6, 6), np.float32)
        white[:, :, 0] = 1
        return white


IMAGES = np.random.default_rng(1).uniform(0.4, 0.6, (3, 1, 6, 6)).astype(np.float32)
RUNGS = (0, 0.1, 0.2, 0.3)


@pytest.fixture
def ladder():
    detectors = {"grey": Detector(0.5, threshold=0.05), "learned": Learned(0.25)}
    return NoiseExplorer(detectors, IMAGES, strengths=RUNGS, seed=3)


def test_one_line_is_enough():
    alone = NoiseExplorer(Detector(0.5), (255 * IMAGES[:, 0]).astype(np.uint8))
    assert list(alone.corruptions) == ["uniform", "Gaussian", "speckle"]
    assert alone.summary().startswith("Image 0 under uniform noise of strength 0.200: Detector scores it ")


def test_the_rungs_are_the_frozen_noise_at_each_strength(ladder):
    noises = frozen_noise(ladder.detectors, IMAGES, seed=3)
    assert list(noises) == ["uniform", "Gaussian", "speckle", "learned"]
    for name, (images, reached, scores) in ladder.scores_by_strength(1, "grey").items():
        assert np.array_equal(images[0], IMAGES[1])
        wanted = [at_strength(IMAGES[1:2], noises[name][1:2].astype(np.float32), rung)[0] for rung in RUNGS[1:]]
        assert np.array_equal(images[1:], wanted)
        assert reached == pytest.approx(strength(IMAGES[[1] * 4], images))
        assert scores == pytest.approx(np.square(images - 0.5).mean(axis=(1, 2, 3)))
    reached = {name: climbed[1] for name, climbed in ladder.scores_by_strength(1, "grey").items()}
    assert reached["Gaussian"] == pytest.approx(RUNGS, abs=1e-5)
    assert reached["learned"] == pytest.approx(RUNGS, abs=1e-5)


def test_the_same_seed_freezes_the_same_noise():
    first, again, other = (frozen_noise({}, IMAGES, seed)["Gaussian"] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_each_control_is_answered(ladder):
    seen = [ladder.image_view.value]
    for control, value in [(ladder.picker, 2), (ladder.noise, "speckle"), (ladder.rung, 3), (ladder.detector, "grey")]:
        control.value = value
        seen.append(ladder.image_view.value)
        assert html.escape(ladder.summary()) in ladder.text.value
        assert html.escape(ladder.summary()) in ladder.image_view.value  # the text alternative
        assert not ladder.errors.outputs
        lines = zip(
            ladder.plot.data,
            ladder.scores_by_strength(ladder.picker.value, ladder.detector.value).values(),
            strict=False,
        )
        assert all(np.array_equal(line.y, scores) for line, (_, _, scores) in lines)
        _, shown, reached, score = ladder.current()
        assert (ladder.plot.data[-1].x[0], ladder.plot.data[-1].y[0]) == (reached, score)
        assert score == pytest.approx(ladder.detectors[ladder.detector.value].anomaly_score(shown[None])[0])
    assert len(set(seen)) == 5


def test_the_summary_says_how_far_and_when_it_is_called_anomalous(ladder):
    ladder.detector.value, ladder.noise.value, ladder.rung.value = "grey", "Gaussian", 2
    clean, shown, _, score = ladder.current()
    before = float(np.square(clean - 0.5).mean())
    assert score == pytest.approx(np.square(shown - 0.5).mean())
    assert ladder.summary() == (
        f"Image 0 under Gaussian noise of strength 0.200: grey scores it {score:.4f}, {score / before:.1f} times the "
        f"clean one's {before:.4f}. With this noise it is first called anomalous at strength 0.300."
    )
    ladder.detectors["grey"].threshold_ = 1.0
    assert ladder.summary().endswith("With this noise it is never called anomalous.")


def test_the_threshold_is_drawn_where_there_is_one(ladder):
    across = ladder.plot.layout.shapes[0]
    assert not across.visible
    ladder.detector.value = "grey"
    assert across.visible
    assert (across.y0, across.y1) == (0.05, 0.05)


def test_corruptions_can_be_given():
    ladder = NoiseExplorer(Detector(0.5), IMAGES, corruptions={"brighter": IMAGES + 1}, strengths=RUNGS)
    _, shown, _, _ = ladder.current()
    assert shown == pytest.approx(IMAGES[0] + 0.2, abs=1e-5)


def test_the_static_image_is_the_images_beside_the_curves(ladder):
    tiles = ladder.table()
    twin = ladder.to_image()
    assert np.array_equal(np.asarray(twin)[: tiles.height, : tiles.width], np.asarray(tiles))
    assert twin.width == tiles.width + 2 * 560
    ladder.rung.value = 0
    assert not np.array_equal(np.asarray(ladder.table()), np.asarray(tiles))


def test_an_error_shows_in_its_panel(ladder):
    ladder.detectors["grey"].anomaly_score = lambda X: np.zeros(3)
    with pytest.raises(ValueError, match=r"must be numbers of shape \(16,\), one an image"):
        ladder.detector.value = "grey"  # without a kernel, the panel lets the error through


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strengths": (0.1, 0.2)}, "NoiseExplorer: strengths must rise from 0; got"),
        ({"strengths": (0, 2)}, r"NoiseExplorer: strengths must be in \[0, 1\]; got 2.0. They are in pixel units"),
        ({"corruptions": {"odd": IMAGES[:1]}}, r"NoiseExplorer: corruptions\['odd'\] must have the shape of images"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        NoiseExplorer(Detector(0.5), IMAGES, **given)


def test_a_detector_that_draws_nothing_still_climbs():
    class Blind(Detector):
        reconstructs = False

    ladder = NoiseExplorer(Blind(0.5), IMAGES, labels=[4, 7, 9], strengths=RUNGS)
    assert ladder.summary().startswith("Image 0 (class 4) under uniform noise of strength 0.200: Blind scores it")
    assert "reconstruction" not in ladder.image_view.value
    drawn = NoiseExplorer(Detector(0.5), IMAGES, strengths=RUNGS)
    assert "reconstruction" in drawn.image_view.value
    assert ladder.table().width == drawn.table().width  # the place of the reconstruction is left empty
    assert np.array_equal(ladder.current()[1], drawn.current()[1])
