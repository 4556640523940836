"""The form of the messages: what, rule, got, remedy, in one line."""

import numpy as np
import pytest
import torch

from advad import checks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 2), "A: b must be at least 1; got 0."),
        ((3, -np.inf, 2), "A: b must be at most 2; got 3."),
        ((3, 0, 2), "A: b must be in [0, 2]; got 3."),
        ((np.nan,), "A: b must be finite; got nan."),
        (("3",), "A: b must be a number; got '3'."),
        ((True,), "A: b must be a number; got True."),
    ],
)
def test_numbers(arguments, message):
    value, low, high = (*arguments, -np.inf, np.inf)[:3] if len(arguments) == 1 else arguments
    high = np.inf if arguments[1:] == (1, 2) else high
    with pytest.raises((ValueError, TypeError)) as caught:
        checks.check_number("A", "b", value, low, high)
    assert str(caught.value) == message


def test_ends_of_intervals():
    checks.check_number("A", "b", 0, 0, 1)
    checks.check_number("A", "b", np.float32(1), 0, 1)
    for value, ends in ((0, "(]"), (1, "[)")):
        with pytest.raises(ValueError, match="must be in"):
            checks.check_number("A", "b", value, 0, 1, ends=ends)


def test_whole_numbers_and_remedies():
    checks.check_number("A", "b", np.int64(3), 1, integer=True)
    with pytest.raises(TypeError, match="^A: b must be a whole number; got 2.5. Round it.$"):
        checks.check_number("A", "b", 2.5, integer=True, remedy="Round it.")


def test_choices():
    checks.check_choice("A", "b", "x", ["x", "y"])
    for value in ("z", 1, None, ["x"]):
        with pytest.raises(ValueError, match="^A: b must be one of 'x', 'y'; got "):
            checks.check_choice("A", "b", value, ["x", "y"])


def test_values_are_told_briefly():
    assert checks.brief(np.zeros((3, 4), np.uint8)) == "ndarray of shape (3, 4) and dtype uint8"
    assert checks.brief(torch.zeros(2)) == "Tensor of shape (2,) and dtype torch.float32"
    assert len(checks.brief("x" * 500)) == 60


def test_images_are_shared_not_copied_and_get_a_channel():
    x = np.zeros((5, 8, 8), np.uint8)
    images = checks.as_images("A", x)
    assert images.shape == (5, 1, 8, 8)
    assert images.dtype == torch.uint8
    x[0] = 7
    assert images[0].unique().tolist() == [7]


def test_labels():
    assert checks.as_labels("A", [0, 1, 0], 3).tolist() == [False, True, False]
    with pytest.raises(ValueError, match=r"A: y must have shape \(3,\), one label an image"):
        checks.as_labels("A", [0, 1], 3)
    with pytest.raises(ValueError, match=r"A: y must be 0 \(normal\) or 1 \(anomalous\); got \[-1, 1\]"):
        checks.as_labels("A", [-1, 1, 1], 3)
    with pytest.raises(TypeError, match="A: y must be an array of 0 and 1"):
        checks.as_labels("A", ["a", "b", "c"], 3)


@pytest.mark.parametrize("shape", [(16, 24, 3), (480, 640, 4)])
def test_one_colour_image_is_not_taken_for_many_grey_ones(shape):
    with pytest.raises(ValueError, match=r"A: X must be several images; this looks like one colour image, \(H, W, C\)"):
        checks.as_images("A", np.zeros(shape, np.uint8))
    for several in ((5, 4, 3), (20, 3, 3), (3, 16, 24)):  # too small to tell, or not of that form
        assert checks.as_images("A", np.zeros(several, np.uint8)).shape == (several[0], 1, *several[1:])
