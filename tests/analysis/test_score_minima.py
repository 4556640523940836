"""Descent on the score: it falls at each step taken, ends at hand-made minima, keeps to [0, 1]; every error message."""

import numpy as np
import pytest
import torch
from torch import nn

from advad.analysis.score_minima import minimise_score, nearest_correlation, noise
from tests.errors import one_line_errors


class Detector:
    """An untrained autoencoder with the differentiable face of a fitted detector."""

    device_ = torch.device("cpu")

    def __init__(self):
        torch.manual_seed(0)
        layers = nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 4), nn.Tanh(), nn.Linear(4, 64), nn.Sigmoid()
        self.networks_ = nn.Sequential(nn.Flatten(), *layers).eval()
        for layer in layers[::2]:
            nn.init.normal_(layer.weight, std=0.5)  # steep, so that minima are several

    def score_tensor(self, x):
        return (x.flatten(1) - self.networks_(x)).square().mean(dim=1)


def squared_distance(target):
    return lambda x: (x - target).square().sum(dim=(1, 2, 3))


START = noise(6, (1, 8, 8), seed=0)


@pytest.mark.parametrize("step_size", [0.001, 0.1, 1.0])
def test_error_falls_at_every_accepted_step(step_size):
    detector = Detector()
    found = minimise_score(detector, START, steps=60, step_size=step_size)
    fall = np.diff(found.errors, axis=0)
    assert len(found.errors) == len(found.accepted) + 1 == 61
    assert (fall[found.accepted] < 0).all()
    assert (fall[~found.accepted] == 0).all()
    assert found.accepted.any(axis=0).all()
    assert (found.errors[-1] < 0.2 * found.errors[0]).all()
    with torch.no_grad():  # the images returned are those of the last errors, the starts those of the first
        assert detector.score_tensor(torch.tensor(found.images)).numpy() == pytest.approx(found.errors[-1], rel=1e-5)
        assert detector.score_tensor(torch.tensor(START)).numpy() == pytest.approx(found.errors[0], rel=1e-5)


def test_it_ends_at_the_minimum_and_stops_there():
    target = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))
    found = minimise_score(squared_distance(target), START, steps=1000)
    assert found.images == pytest.approx(target.expand(6, 1, 8, 8).numpy(), abs=1e-3)
    assert len(found.accepted) < 1000


def test_it_keeps_to_pixels_that_exist():
    target = torch.tensor([[[-1.0, 0.25], [0.75, 2.0]]])  # beyond black and beyond white
    found = minimise_score(squared_distance(target), noise(3, (1, 2, 2)), steps=200)
    assert found.images == pytest.approx(np.tile([[0.0, 0.25], [0.75, 1.0]], (3, 1, 1, 1)), abs=1e-3)
    assert found.images.min() >= 0
    assert found.images.max() <= 1


def test_the_end_is_a_local_minimum():
    detector = Detector()
    found = minimise_score(detector, START, steps=3000)
    generator = np.random.default_rng(0)
    for _ in range(20):
        near = np.clip(found.images + generator.normal(scale=0.02, size=START.shape), 0, 1).astype(np.float32)
        with torch.no_grad():
            assert (detector.score_tensor(torch.tensor(near)).numpy() >= found.errors[-1]).all()


def test_backtracking_survives_a_narrow_valley():
    weights = torch.logspace(0, 3, 64).view(1, 8, 8)
    found = minimise_score(lambda x: (weights * (x - 0.5).square()).sum(dim=(1, 2, 3)), START, steps=300, step_size=1.0)
    assert (np.diff(found.errors, axis=0) <= 0).all()
    assert (~found.accepted).any()  # some tries were too long
    assert (found.errors[-1] < 1e-3 * found.errors[0]).all()


def test_each_image_goes_its_own_way():
    detector = Detector()
    together = minimise_score(detector, START, steps=25)
    alone = minimise_score(detector, START[2:3], steps=25)
    assert alone.images[0] == pytest.approx(together.images[2], abs=1e-3)
    assert np.array_equal(minimise_score(detector, START, steps=25).images, together.images)


def test_a_flat_score_leaves_the_images():
    scale = torch.ones(1, requires_grad=True)
    found = minimise_score(lambda x: scale.expand(len(x)), START)
    assert np.array_equal(found.images, START)
    assert found.errors.shape == (1, 6)
    assert found.accepted.shape == (0, 6)


def test_networks_collect_no_gradient_and_the_start_stays():
    detector, start = Detector(), torch.tensor(START)
    with torch.no_grad():  # a lesson may be inside one
        minimise_score(detector, start, steps=3)
    assert np.array_equal(start.numpy(), START)
    assert all(weights.grad is None for weights in detector.networks_.parameters())


def test_noise_is_seeded_and_uniform():
    images = noise(40, (3, 16, 16), seed=1)
    assert images.shape == (40, 3, 16, 16)
    assert images.dtype == np.float32
    assert np.array_equal(images, noise(40, (3, 16, 16), seed=1))
    assert not np.array_equal(images, noise(40, (3, 16, 16), seed=2))
    assert images.mean() == pytest.approx(0.5, abs=0.01)
    assert images.std() == pytest.approx(12**-0.5, abs=0.01)


VALUE_ERRORS = {  # how the message begins: what causes it
    "minimise_score: score must be differentiable (score_tensor, ": lambda: minimise_score(
        lambda x: x.detach().sum((1, 2, 3)), START
    ),
    "minimise_score: score must return finite numbers; got NaN or infinite scores": lambda: minimise_score(
        lambda x: x.log().sum(dim=(1, 2, 3)), START * 0
    ),
    "minimise_score: score must return shape (6,), one number per image; got": lambda: minimise_score(torch.sum, START),
    "minimise_score: start must be in [0, 1] when float": lambda: minimise_score(Detector(), START + 1),
    "minimise_score: steps must be at least 1; got 0": lambda: minimise_score(Detector(), START, steps=0),
    "minimise_score: step_size must be in (0, 1]; got 0": lambda: minimise_score(Detector(), START, step_size=0),
    "noise: n must be at least 1; got 0": lambda: noise(0, (1, 8, 8)),
}
TYPE_ERRORS = {  # how the message begins: what causes it
    "minimise_score: score must be a fitted detector or a function of images; got 3": lambda: minimise_score(3, START),
    "noise: seed must be a whole number; got 0.5": lambda: noise(1, (1, 8, 8), seed=0.5),
}


test_errors_say_what_rule_and_got_in_one_line = one_line_errors(VALUE_ERRORS, TYPE_ERRORS)


def test_the_nearest_correlation_is_that_of_pixels_with_the_best_reference():
    rng = np.random.default_rng(0)
    images, references = rng.random((3, 1, 4, 4)), rng.integers(0, 256, (5, 1, 4, 4), dtype=np.uint8)
    by_numpy = [max(np.corrcoef(x.ravel(), r.ravel())[0, 1] for r in references) for x in images]
    assert nearest_correlation(images, references) == pytest.approx(by_numpy)
    grey = np.full((1, 1, 4, 4), 7, np.uint8)
    assert np.isnan(nearest_correlation(grey, references)).all()
    assert nearest_correlation(images[:1], grey) == pytest.approx([0])
