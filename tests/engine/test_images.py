import numpy as np
import pytest
import torch

from advad.images import as_float, as_numpy, as_uint8

LEVELS = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_every_grey_level_survives_the_way_to_float_and_back(make):
    floats = as_float(make(LEVELS))
    assert str(floats.dtype).endswith("float32")
    assert (floats.min(), floats.max()) == (0, 1)
    assert type(floats) is type(make(LEVELS))
    assert (as_uint8(floats) == make(LEVELS)).all()


def test_tensors_and_arrays_get_the_same_bits():
    assert np.array_equal(as_float(LEVELS), as_float(torch.tensor(LEVELS)).numpy())
    x = np.linspace(-0.5, 1.5, 1001, dtype=np.float32)
    assert np.array_equal(as_uint8(x), as_uint8(torch.tensor(x)).numpy())


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_floats_stay_as_they_are_and_what_lies_outside_is_clipped(make):
    x = make([0.25, 0.5])
    assert as_float(x) is x
    assert as_uint8(make([-1.0, 2.0, float("nan")])).tolist() == [0, 255, 0]


def test_the_input_is_not_changed():
    pixels = torch.tensor([0, 255], dtype=torch.uint8)
    as_float(pixels)
    assert pixels.tolist() == [0, 255]


def test_as_numpy_takes_gradients_and_bfloat16():
    assert as_numpy(torch.ones(2, requires_grad=True)).tolist() == [1, 1]
    assert as_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32
