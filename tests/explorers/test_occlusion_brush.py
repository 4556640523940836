"""The occlusion brush answers the canvas and its controls: score, map and images against direct computation."""

import asyncio
import base64
import html
import io
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

import advad
from advad import plots
from advad.analysis.saliency import occlusion_map
from advad.explorers.base import WIDTH
from advad.explorers.canvas import Canvas, outlined
from advad.explorers.occlusion_brush import OcclusionBrush


def run_apart(coroutine):
    """Run a coroutine in a thread of its own: a browser test before may have left a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


class Detector:
    """Draws grey, whatever it is shown, and scores by the mean squared difference from that."""

    image_shape_, device_, threshold_ = (1, 4, 6), torch.device("cpu"), 0.05

    def score_tensor(self, x):
        return (x - 0.5).square().mean(dim=(1, 2, 3))

    def anomaly_score(self, X):
        return self.score_tensor(torch.as_tensor(X).float()).numpy()

    def reconstruct(self, X):
        return np.full(np.shape(X), 0.5, dtype=np.float32)


IMAGES = np.full((3, 1, 4, 6), 0.5, dtype=np.float32)
IMAGES[1, 0, 2, 3:5] = [1, 0.75]
SPOT, BESIDE = 2 * 6 + 3, 2 * 6 + 4  # where image 1 is too bright


@pytest.fixture
def brush():
    return OcclusionBrush(Detector(), IMAGES, labels=[8, 3, 8])


def test_it_starts_uncovered_on_the_first_image(brush):
    assert brush.canvas.covered == []
    said = "Image 0 (class 8): score 0, higher than 0% of the 3 images. It is called normal. Nothing is covered."
    assert brush.summary() == said
    assert said in brush.text.value
    assert brush.canvas.label == "Image 0 (class 8), to be covered by the brush"


def test_covered_pixels_change_the_score_as_computed_by_hand(brush):
    brush.picker.value = 1
    before = (0.5**2 + 0.25**2) / 24
    assert brush.before.score == pytest.approx(before)
    brush.fill.value = 0.5
    brush.canvas.covered = [SPOT]
    assert brush.after.score == pytest.approx(0.25**2 / 24)
    assert brush.after.image[0, 2, 3] == 0.5
    assert (brush.after.image != IMAGES[1]).sum() == 1
    assert brush.summary() == (
        "Image 1 (class 3), 1 pixel covered with grey: the score 0.01302 becomes 0.002604, -0.0104; "
        "each covered alone, they sum to -0.0104. It is still called normal."
    )
    assert html.escape(brush.summary()) in brush.text.value


def test_the_maps_are_those_of_the_image_as_it_is_and_as_it_is_covered(brush):
    brush.picker.value = 1
    brush.canvas.covered = [SPOT, 0]
    covered = IMAGES[1].copy()
    covered[0, 2, 3] = covered[0, 0, 0] = 0
    assert np.array_equal(brush.covered_image(), covered)
    assert np.array_equal(brush.before.map, occlusion_map(Detector(), IMAGES[1:2])[0])
    assert np.array_equal(brush.after.map, occlusion_map(Detector(), covered[None])[0])
    assert brush.after.map[2, 3] == 0  # black already
    alone = brush.before.map[2, 3] + brush.before.map[0, 0]
    assert alone == pytest.approx(0.25 / 24, abs=1e-6)  # 0.5 → 0 costs as much as 1 had cost; the corner pays anew
    assert f"they sum to {alone:+.3g}." in brush.summary()


def test_what_pixels_do_together_is_not_the_sum_of_what_they_do_alone():
    class Whole(Detector):
        def score_tensor(self, x):
            return x.sum(dim=(1, 2, 3)).square()

    brush = OcclusionBrush(Whole(), IMAGES)
    brush.canvas.covered = [0, 1]  # 24 pixels of 0.5: 12² becomes 11², each alone 11.5²
    assert brush.after.score - brush.before.score == -23
    assert "-23; each covered alone, they sum to -23.5." in brush.summary()


def test_a_trained_detector_is_seen_as_it_scores_and_draws():
    split = advad.one_class(advad.load("digits"), normal=8, seed=0, test_size=40)
    detector = advad.AE(epochs=3, latent_dim=4, widths=(32, 16), device="cpu").fit(split.train, progress=False)
    brush = OcclusionBrush(detector, split.test, labels=split.test_labels, is_anomaly=split.test_is_anomaly)
    brush.picker.value = 5
    brush.canvas.covered = list(range(16, 40))
    covered = split.test[5:6].numpy().copy()
    covered.reshape(-1)[16:40] = 0
    assert brush.after.score == pytest.approx(float(detector.anomaly_score(covered)[0]), rel=1e-5)
    assert brush.before.score == pytest.approx(float(detector.anomaly_score(split.test[5:6])[0]), rel=1e-5)
    assert np.allclose(brush.after.reconstruction, detector.reconstruct(covered)[0], atol=1e-6)
    alone = occlusion_map(detector, split.test[5:6])[0].reshape(-1)[16:40].sum()
    assert f"they sum to {alone:+.3g}." in brush.summary()
    assert "called" not in brush.summary()  # it has no threshold


def test_the_verdict_turns_where_the_score_crosses_the_threshold(brush):
    brush.canvas.covered = list(range(5))
    assert brush.after.score == pytest.approx(5 * 0.25 / 24)  # 0.052
    assert brush.summary().endswith("It is now called anomalous.")
    brush.canvas.covered = list(range(4))
    assert brush.summary().endswith("It is still called normal.")


def test_each_control_is_answered(brush):
    seen = [brush.image_view.value]
    for act in (
        lambda: setattr(brush.picker, "value", 1),
        lambda: setattr(brush.canvas, "covered", [0, 1]),
        lambda: setattr(brush.fill, "value", 1.0),
        brush.clear.click,
    ):
        act()
        seen.append(brush.image_view.value)
        assert html.escape(brush.summary()) in brush.text.value
        assert [trace.x[0] for trace in brush.plot.data[-2:]] == [brush.before.score, brush.after.score]
    assert all(before != after for before, after in pairwise(seen))
    assert brush.canvas.covered == []
    assert brush.canvas.fill == "#ffffff"
    brush.side.value, brush.eraser.value = 2, True
    assert (brush.canvas.side, brush.canvas.erasing) == (2, True)


def test_another_image_comes_uncovered_and_is_shown(brush):
    brush.canvas.covered = [3]
    brush.picker.value = 1
    assert brush.canvas.covered == []
    assert brush.after is brush.before
    png = base64.b64decode(brush.canvas.source.partition(",")[2])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), plots.to_pixels(IMAGES[1]))


def test_brushes_are_not_larger_than_half_the_image(brush):
    assert [side for _, side in brush.side.options.items()] == [1, 2]


def test_both_maps_have_one_scale():
    maps = np.array([[[1.0, -2.0]], [[0.5, 0.0]]])
    images = np.zeros((2, 1, 1, 2))
    alike = plots.overlay(images, maps, 2.0)
    assert np.allclose(alike[0, :, 0, 1], np.array([0xD5, 0x5E, 0x00]) / 255)  # the strongest, in full vermilion
    pale, blue = 0.35, np.array([0x00, 0x72, 0xB2]) / 255
    assert np.allclose(alike[1, :, 0, 0], 0.75 * pale + 0.25 * blue)


def test_the_line_lies_inside_the_edge_of_what_is_covered():
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True
    drawn = outlined(np.zeros((1, 4, 4)), mask, side=40)
    orange = (drawn == np.array([0xE6, 0x9F, 0x00])[:, None, None]).all(axis=0)
    expected = np.zeros((40, 40), bool)
    expected[10:30, 10:30] = True
    expected[12:28, 12:28] = False
    assert np.array_equal(orange, expected)


def test_a_mask_has_the_covered_pixels():
    assert np.argwhere(Canvas(shape=[4, 6], covered=[SPOT]).mask).tolist() == [[2, 3]]


def test_a_detector_that_draws_nothing_still_scores():
    class Blind(Detector):
        reconstructs = False

    with_pictures, without = OcclusionBrush(Detector(), IMAGES), OcclusionBrush(Blind(), IMAGES)
    assert without.table().width < with_pictures.table().width
    without.canvas.covered = [1]
    assert without.after.score == pytest.approx(0.25 / 24)


def test_the_static_image_is_one_that_changes_with_the_brush(brush):
    before = brush.to_image()
    brush.canvas.covered = [7, 8]
    assert brush.to_image().size == before.size
    assert brush.to_image().tobytes() != before.tobytes()
    assert before.width <= 2 * WIDTH


def test_an_error_shows_in_its_panel(brush):
    brush.set.detector.score_tensor = lambda x: x
    with pytest.raises(ValueError, match="the scores of Detector must be numbers of shape"):
        brush.canvas.covered = [1]  # without a kernel, the panel lets the error through


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"OcclusionBrush: labels must have shape \(3,\), one an image; got"):
        OcclusionBrush(Detector(), IMAGES, labels=[1, 2])
    with pytest.raises(ValueError, match="OcclusionBrush: labels must be whole numbers in .0, 1., positions"):
        OcclusionBrush(Detector(), IMAGES, labels=[0, 1, 2], classes=["a", "b"])


def test_another_detector_sees_the_same_covered_pixels_with_its_own_scores():
    class Bright(Detector):
        threshold_ = 0.3

        def score_tensor(self, x):
            return x.square().mean(dim=(1, 2, 3))

    brush = OcclusionBrush({"bright": Bright(), "grey": Detector()}, IMAGES)
    plot = brush.plot
    brush.canvas.covered = [0, 1]
    assert brush.summary().startswith("grey, image 0, 2 pixels covered with black: the score 0 becomes 0.02083")
    brush.detector.value = "bright"
    assert brush.canvas.covered == [0, 1]
    assert brush.after.score == pytest.approx(22 * 0.25 / 24)
    assert brush.summary().startswith("bright, image 0, 2 pixels covered with black: the score 0.25 becomes 0.2292")
    assert html.escape(brush.summary()) in brush.text.value
    assert brush.plot is not plot
    assert brush.plot_box.children == (brush.plot,)
    assert brush.plot.data[-1].x[0] == pytest.approx(brush.after.score)


class Large(Detector):
    """As `Detector`, for large images; counts the pixels that it scores."""

    image_shape_ = (1, 128, 128)
    pixels = 0

    def score_tensor(self, x):
        Large.pixels += x.numel()
        return super().score_tensor(x)


@pytest.fixture
def large_images():
    return np.random.default_rng(0).random((2, 1, 128, 128)).astype(np.float32)


def test_a_stroke_on_a_large_image_costs_a_coarse_map_only(large_images):
    brush = OcclusionBrush(Large(), large_images)
    Large.pixels = 0
    brush.canvas.covered = [0, 1]
    assert Large.pixels < 2.2e6  # the finest map costs 268 million
    assert (brush.before.maps.side, brush.after.maps.side) == (16, 16)
    assert np.array_equal(brush.after.map, occlusion_map(Large(), brush.after.image[None], patch=16, stride=16)[0])
    assert brush.summary().endswith("The map is coarse as yet: 16×16 pixels are covered at a time.")
    assert "each covered alone" not in brush.summary()


def test_small_images_have_their_finest_map_at_once(brush):
    assert brush.before.maps.is_finest


def test_a_kernel_refines_the_maps_when_it_has_nothing_else_to_do(monkeypatch):
    monkeypatch.setattr("advad.analysis.saliency.FIRST_PIXELS", 5000)
    monkeypatch.setattr("advad.analysis.saliency.BATCH_PIXELS", 5000)
    monkeypatch.setattr(Large, "image_shape_", (1, 16, 16))
    images, shown = np.random.default_rng(0).random((2, 1, 16, 16)).astype(np.float32), []

    async def notebook():
        brush = OcclusionBrush(Large(), images)
        brush.canvas.covered = [0, 1]
        work = brush._work
        assert brush.after.maps.side == 4
        while not work.done():  # as the kernel does between two messages
            await asyncio.sleep(0)
            shown.append((brush.coarseness, brush.image_view.value))
        return brush

    brush = run_apart(notebook())
    sides = [side for side, _ in shown]
    assert sides == sorted(sides, reverse=True)
    assert {side for side in sides} == {4, 2, 1}
    assert len({html for _, html in shown}) >= 3  # the page sees each
    for seen, image in ((brush.before, images[0]), (brush.after, brush.covered_image())):
        assert np.allclose(seen.map, occlusion_map(Large(), image[None])[0], atol=1e-7)
    assert "coarse" not in brush.text.value
    assert "each covered alone" in brush.text.value
    script = OcclusionBrush(Large(), images)
    script.canvas.covered = [0, 1]
    script.refine()
    assert script.to_image().tobytes() == brush.to_image().tobytes()


def test_a_new_stroke_replaces_the_work_on_the_one_before(monkeypatch):
    monkeypatch.setattr("advad.analysis.saliency.FIRST_PIXELS", 5000)
    monkeypatch.setattr(Large, "image_shape_", (1, 16, 16))
    images = np.random.default_rng(0).random((2, 1, 16, 16)).astype(np.float32)

    async def notebook():
        brush = OcclusionBrush(Large(), images)
        first = brush._work
        brush.canvas.covered = [0]
        await asyncio.sleep(0)
        assert first.cancelled() or first.cancelling()
        brush.close()
        await asyncio.wait_for(asyncio.gather(brush._work), 5)  # a closed explorer does nothing more
        assert not brush.after.maps.is_finest

    run_apart(notebook())


def test_an_error_while_the_maps_are_refined_shows_in_the_panel(monkeypatch):
    monkeypatch.setattr("advad.analysis.saliency.FIRST_PIXELS", 5000)
    monkeypatch.setattr(Large, "image_shape_", (1, 16, 16))

    async def notebook():
        brush = OcclusionBrush(Large(), np.ones((2, 1, 16, 16), np.float32))
        monkeypatch.setattr(brush, "_refine", lambda: 1 / 0)
        brush.canvas.covered = [0]
        with pytest.raises(ZeroDivisionError):  # without a kernel, the panel lets the error through
            await brush._work
        assert brush._failed

    run_apart(notebook())
