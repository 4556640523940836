"""Corruptions of equal strength: by hand, and inside [0, 1]."""

import numpy as np
import pytest

from advad.analysis.corruption import at_strength, strength


def test_strength_by_hand():
    x, x_tilde = np.zeros((2, 1, 1, 2)), np.array([[[[0.3, 0.4]]], [[[0.0, 1.0]]]])
    assert strength(x, x_tilde) == pytest.approx([np.sqrt(0.125), np.sqrt(0.5)])


def test_it_goes_along_the_line():
    x = np.full((1, 1, 1, 2), 0.5)
    moved = at_strength(x, x + np.array([0.03, -0.04]), 0.1)
    assert moved.ravel() == pytest.approx([0.5 + 0.1 * 0.6 * np.sqrt(2), 0.5 - 0.1 * 0.8 * np.sqrt(2)], abs=1e-6)


@pytest.mark.parametrize("rms", [0.01, 0.2, 0.45])
def test_all_are_as_strong_as_asked_and_stay_images(rms):
    rng = np.random.default_rng(0)
    x = rng.random((20, 1, 8, 8))
    for x_tilde in (x + rng.normal(size=x.shape), x + 1e-3 * rng.random(x.shape), np.roll(x, 1, 0)):
        moved = at_strength(x, x_tilde, rms)
        assert moved.min() >= 0
        assert moved.max() <= 1
        assert np.all(strength(x, moved) <= rms + 1e-5)
        reached = np.isclose(strength(x, moved), rms, atol=1e-5)
        at_the_end = np.all((np.abs(moved - 0.5) > 0.5 - 1e-6) | (x_tilde == x), axis=(1, 2, 3))
        assert np.all(reached | at_the_end)
    assert np.allclose(strength(x, at_strength(x, x + rng.normal(size=x.shape), 0.2)), 0.2, atol=1e-5)


def test_each_image_can_have_a_strength_of_its_own():
    rng = np.random.default_rng(0)
    x = rng.random((3, 1, 8, 8))
    x_tilde, wanted = x + rng.normal(size=x.shape), [0.05, 0.1, 0.3]
    moved = at_strength(x, x_tilde, wanted)
    assert strength(x, moved) == pytest.approx(wanted, abs=1e-5)
    for k, one in enumerate(wanted):
        assert np.array_equal(moved[k : k + 1], at_strength(x[k : k + 1], x_tilde[k : k + 1], one))


def test_errors():
    x = np.zeros((2, 1, 2, 2))
    with pytest.raises(ValueError, match=r"at_strength: rms must be in \(0, 1\]; got 0. It is in pixel units"):
        at_strength(x, x + 1, 0)
    with pytest.raises(ValueError, match=r"at_strength: rms must be in \(0, 1\]; got 2.0. It is in pixel units"):
        at_strength(x, x + 1, [0.1, 2])
    with pytest.raises(ValueError, match="at_strength: corrupted must differ from images; got 0. That one does not"):
        at_strength(x, x, 0.1)
    with pytest.raises(ValueError, match="corruption: corrupted must have the shape of images"):
        strength(x, x[:1])
