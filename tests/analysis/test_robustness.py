"""Attacks on a score: the exact answer where there is one, the ball kept, never worse than the start; every message."""

import numpy as np
import pytest
import torch
from torch import nn

from advad.analysis.robustness import Attacked, attack_curve, attack_scores, auroc_curve
from tests.errors import one_line_errors


class Detector:
    """An untrained autoencoder with the differentiable face of a fitted detector."""

    device_ = torch.device("cpu")
    image_shape_ = (1, 4, 4)

    def __init__(self):
        torch.manual_seed(0)
        self.networks_ = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 16), nn.Sigmoid())

    def score_tensor(self, x):
        return (x.flatten(1) - self.networks_(x)).square().mean(dim=1)

    def anomaly_score(self, X):
        return self.score_tensor(torch.as_tensor(X)).detach().numpy()


class Classical:
    def anomaly_score(self, X):
        return np.asarray(X).mean((1, 2, 3))


IMAGES = np.random.default_rng(0).random((12, 1, 4, 4), dtype=np.float32)
CENTRE = np.random.default_rng(1).random((1, 1, 4, 4), dtype=np.float32)


def distance(x):
    """The detector that draws CENTRE, whatever it is shown: each pixel can be attacked by itself."""
    return (x - torch.tensor(CENTRE)).square().mean(dim=(1, 2, 3))


def test_lowering_a_distance_finds_the_nearest_point_of_the_ball():
    radius = 0.3
    found = attack_scores(distance, IMAGES, radius=radius, goal="lower", steps=100)
    nearest = np.clip(CENTRE, IMAGES - radius, IMAGES + radius)
    assert found.images == pytest.approx(nearest, abs=0.01)
    assert found.before == pytest.approx(((IMAGES - CENTRE) ** 2).mean((1, 2, 3)), rel=1e-5)
    assert found.after == pytest.approx(((nearest - CENTRE) ** 2).mean((1, 2, 3)), abs=1e-4)


def test_raising_a_distance_comes_near_the_exact_maximum_and_never_beyond():
    radius = 0.1
    far = np.maximum(np.minimum(IMAGES + radius, 1) - CENTRE, CENTRE - np.maximum(IMAGES - radius, 0))
    exact = (far**2).mean((1, 2, 3))
    one, many = (attack_scores(distance, IMAGES, radius=radius, restarts=n).after for n in (1, 20))
    assert (many <= exact + 1e-6).all()
    assert (many >= one).all()
    assert many.mean() > one.mean()  # a pixel on the wrong side of the centre is moved by another start
    assert many.mean() > 0.98 * exact.mean()


@pytest.mark.parametrize("goal", ["raise", "lower"])
@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.0), ("linf", 0.05), ("l2", 0.0), ("l2", 0.5)])
def test_the_ball_is_kept_and_the_scores_are_those_of_the_images(goal, norm, radius):
    detector = Detector()
    found = attack_scores(detector, IMAGES, radius=radius, goal=goal, norm=norm, steps=10)
    change = (found.images - IMAGES).reshape(12, -1)
    size = np.abs(change).max(1) if norm == "linf" else np.linalg.norm(change, axis=1)
    assert size.max() <= radius + 1e-6
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert found.before == pytest.approx(detector.anomaly_score(IMAGES), rel=1e-5)
    assert found.after == pytest.approx(detector.anomaly_score(found.images), rel=1e-5)
    gain = found.after - found.before if goal == "raise" else found.before - found.after
    assert (gain >= 0).all()
    assert (gain > 0).all() == (radius > 0)


def test_a_search_that_only_does_harm_to_the_attacker_leaves_the_image():
    """At a minimum of the distance, every random start is farther off than the image itself."""
    found = attack_scores(distance, CENTRE, radius=0.5, goal="lower", steps=1)
    assert np.array_equal(found.images, CENTRE)
    assert found.after == pytest.approx(found.before)


def test_it_ends_no_worse_than_its_start():
    detector = Detector()
    best = attack_scores(detector, IMAGES, radius=0.2, steps=50)
    again = attack_scores(detector, IMAGES, radius=0.2, steps=1, start=best.images)
    assert (again.after >= best.after - 1e-6).all()
    outside = attack_scores(distance, IMAGES, radius=0.1, steps=1, start=1 - IMAGES)  # moved into the ball first
    assert np.abs(outside.images - IMAGES).max() <= 0.1 + 1e-6


def test_a_curve_rises_with_its_radius():
    detector, radii = Detector(), [0.01, 0.011, 0.012, 0.1]
    found = attack_curve(detector, IMAGES, radii, steps=2)
    after = np.stack([found[0].before, *(attacked.after for attacked in found)])
    assert (np.diff(after, axis=0) >= -1e-6).all()
    for radius, attacked in zip(radii, found, strict=True):
        assert np.abs(attacked.images - IMAGES).max() <= radius + 1e-6
    falling = attack_curve(detector, IMAGES, [0.1, 0.2], goal="lower")
    assert (falling[1].after <= falling[0].after + 1e-6).all()


def test_seeds_batches_and_dtypes():
    detector = Detector()
    first, same, other = (attack_scores(detector, IMAGES, radius=0.2, steps=2, seed=s).images for s in (0, 0, 1))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    start = IMAGES * 0.9
    whole, parts = (attack_scores(detector, IMAGES, radius=0.2, start=start, batch_size=n).images for n in (64, 5))
    assert whole == pytest.approx(parts, abs=1e-6)
    bytes_ = (IMAGES[:, 0] * 255).round().astype(np.uint8)  # (N, H, W)
    found = attack_scores(detector, bytes_, radius=0.2, start=bytes_)
    assert found.images.shape == (12, 1, 4, 4)
    assert np.abs(found.images[:, 0] - bytes_ / 255).max() <= 0.2 + 1e-6


def test_networks_collect_no_gradient_and_the_images_stay():
    detector, images = Detector(), torch.tensor(IMAGES)
    with torch.no_grad():  # a lesson may be inside one
        attack_scores(detector, images, radius=0.1, steps=2)
    assert np.array_equal(images.numpy(), IMAGES)
    assert all(weights.grad is None for weights in detector.networks_.parameters())


VALUE_ERRORS = {  # how the message begins: what causes it
    "attack_scores: radius must be in [0, 1]; got 20. It is in pixel units": lambda: attack_scores(
        distance, IMAGES, radius=20
    ),
    "attack_scores: radius must be at least 0; got -1": lambda: attack_scores(distance, IMAGES, radius=-1, norm="l2"),
    "attack_scores: goal must be one of 'raise', 'lower'; got 'up'": lambda: attack_scores(
        distance, IMAGES, radius=0.1, goal="up"
    ),
    "attack_scores: norm must be one of 'linf', 'l2'; got 'l1'": lambda: attack_scores(
        distance, IMAGES, radius=0.1, norm="l1"
    ),
    "attack_scores: steps must be at least 1; got 0": lambda: attack_scores(distance, IMAGES, radius=0.1, steps=0),
    "attack_scores: restarts must be at least 1; got 0": lambda: attack_scores(
        distance, IMAGES, radius=0.1, restarts=0
    ),
    "attack_scores: batch_size must be at least 1; got 0": lambda: attack_scores(
        distance, IMAGES, radius=0.1, batch_size=0
    ),
    "attack_scores: start must have shape (12, 1, 4, 4), as the images": lambda: attack_scores(
        distance, IMAGES, radius=0.1, start=IMAGES[:3]
    ),
    "attack_scores: images must hold images of shape 1×4×4, as in fit": lambda: attack_scores(
        Detector(), IMAGES[..., 1:], radius=0.1
    ),
    "attack_scores: images must be in [0, 1] when float": lambda: attack_scores(distance, IMAGES * 255, radius=0.1),
    "attack_scores: detector must have a score that can be differentiated": lambda: attack_scores(
        lambda x: distance(x.detach()), IMAGES, radius=0.1
    ),
    "attack_scores: score must return finite numbers": lambda: attack_scores(
        lambda x: distance(x) / 0, IMAGES, radius=0.1
    ),
    "attack_curve: radii must be rising numbers; got [0.2, 0.1]. Sort them.": lambda: attack_curve(
        distance, IMAGES, [0.2, 0.1]
    ),
    "attack_curve: radii must be rising numbers; got []": lambda: attack_curve(distance, IMAGES, []),
}
TYPE_ERRORS = {
    "attack_scores: detector must have a score_tensor; got <": lambda: attack_scores(Classical(), IMAGES, radius=0.1),
    "attack_scores: score must be a fitted detector or a function of images; got 'AE'": lambda: attack_scores(
        "AE", IMAGES, radius=0.1
    ),
    "attack_scores: steps must be a whole number; got 2.5": lambda: attack_scores(
        distance, IMAGES, radius=0.1, steps=2.5
    ),
    "attack_scores: seed must be a whole number; got None": lambda: attack_scores(
        distance, IMAGES, radius=0.1, seed=None
    ),
}


test_errors_say_what_rule_and_got_in_one_line = one_line_errors(VALUE_ERRORS, TYPE_ERRORS)


def test_the_auroc_falls_with_the_attack_whichever_side_is_attacked():
    """Normal images at 0.1 and 0.3 rise to 0.5, above one of the two anomalies; or the anomalies sink to 0.2."""
    nothing, normal, anomalous = np.zeros((2, 1, 1, 1)), np.array([0.1, 0.3]), np.array([0.4, 0.6])
    raised = auroc_curve([Attacked(nothing, normal, np.array([0.1, 0.5]))], anomalous, n=20, seed=1)
    assert [point.value for point in raised] == [1, 0.75]
    assert raised[1].low < 0.75 <= raised[1].high
    lowered = auroc_curve([Attacked(nothing, anomalous, np.array([0.2, 0.6]))], normal, goal="lower", n=20)
    assert [point.value for point in lowered] == [1, 0.75]
    assert Attacked(nothing, normal, np.array([0.1, 0.5])).above(0.2) == (0.5, 0.5)
    assert Attacked(nothing, normal, np.array([0.4, 0.5])).above(0.3) == (0, 1), "a score at the threshold is no alarm"
    with pytest.raises(ValueError, match=r"auroc_curve: goal must be one of 'raise', 'lower'; got 'up'"):
        auroc_curve([], normal, goal="up")
    with pytest.raises(ValueError, match=r"auroc_curve: curve must hold at least one attack; got \[\]"):
        auroc_curve([], normal)
