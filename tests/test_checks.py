"""The form of the messages: what, rule, got, remedy, in one line."""

import warnings

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
    for several in ((5, 4, 3), (20, 3, 3), (5, 16, 24)):  # too small to tell, or not of that form
        assert checks.as_images("A", np.zeros(several, np.uint8)).shape == (several[0], 1, *several[1:])


@pytest.mark.parametrize("of", [np.zeros, torch.zeros])
def test_one_grey_image_is_not_taken_for_many_of_one_column(of):
    image = of((16, 24, 1))
    with pytest.raises(
        ValueError, match=r"looks like one grey image, \(H, W, 1\); got .*\(16, 24, 1\).*X\[None, ..., 0\]"
    ):
        checks.as_images("A", image)
    assert checks.as_images("A", image[None, ..., 0]).shape == (1, 1, 16, 24)
    assert checks.as_images("A", image[:, None]).shape == (16, 1, 24, 1)  # the remedies of the line


@pytest.mark.parametrize("of", [np.zeros, torch.zeros])
def test_what_may_be_one_colour_image_or_several_grey_ones_is_said(of):
    for n in (3, 4):
        X = of((n, 16, 24))
        with pytest.warns(checks.AmbiguousImagesWarning, match=rf"A: X of shape \({n}, 16, 24\) is read as {n} grey"):
            assert checks.as_images("A", X).shape == (n, 1, 16, 24)
        for clear in (X[:, None], list(X), X[:2], of((5, 16, 24))):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert len(checks.as_images("A", clear)) == len(clear)
    assert checks.as_images("A", of((3, 16, 24))[None]).shape == (1, 3, 16, 24)
    assert checks.as_images("A", of((4, 16, 24))[None, :3]).shape == (1, 3, 16, 24)


def test_what_was_fitted_settles_what_is_scored():
    three = np.zeros((3, 16, 24), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checks.as_images("A", three, image_shape=(1, 16, 24)).shape == (3, 1, 16, 24)
        with pytest.raises(
            ValueError, match=r"looks like one colour image, \(C, H, W\); got .* One image is X\[None\]"
        ):
            checks.as_images("A", three, image_shape=(3, 16, 24))
    assert checks.as_images("A", np.zeros((9, 16, 1)), image_shape=(1, 16, 1)).shape == (9, 1, 16, 1)
    assert checks.as_images("A", np.zeros((9, 16, 3)), image_shape=(1, 16, 3)).shape == (9, 1, 16, 3)
