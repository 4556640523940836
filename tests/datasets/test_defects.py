"""Planted defects: where they are is what the mask says, they change the image, and they are not in empty corners."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from advad.datasets.defects import plant_defects

DIGITS = torch.tensor(load_digits().images[:60] * 255 / 16).to(torch.uint8)[:, None]  # (60, 1, 8, 8)


@pytest.mark.parametrize(("kind", "value"), [("spot", 255), ("gap", 0)])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_masks_say_where_the_image_changed(kind, value, side):
    images, masks = plant_defects(DIGITS, kind, side=side, seed=0)
    changed = (images.int() - DIGITS.int()).abs()[:, 0]
    assert torch.equal(masks > 0, changed >= 64)
    assert (images[changed[:, None] > 0] == value).all()
    assert ((1 <= masks.sum((1, 2))) & (masks.sum((1, 2)) <= side**2)).all()
    for mask in masks:  # one square, within the digit's rectangle
        rows, columns = mask.nonzero(as_tuple=True)
        assert rows.max() - rows.min() < side
        assert columns.max() - columns.min() < side


def test_a_defect_lies_within_the_rectangle_of_the_bright_pixels():
    images = torch.zeros((30, 1, 9, 9), dtype=torch.uint8)
    images[:, :, 3:7, 4:8] = 100
    images[:, :, 3, 4:8] = 255
    for kind in ("spot", "gap"):
        masks = plant_defects(images, kind, side=2, seed=3).masks
        assert not masks[:, :3].any()
        assert not masks[:, 7:].any()
        assert not masks[:, :, :4].any()
        assert not masks[:, :, 8:].any()
        assert masks.any(0).sum() > 2  # not always at the same place


def test_it_takes_away_at_least_half_of_what_it_could():
    images, masks = plant_defects(DIGITS, "gap", side=2, seed=1)
    for before, after in zip(DIGITS[:, 0].int(), images[:, 0].int(), strict=True):
        squares = before.unfold(0, 2, 1).unfold(1, 2, 1).sum((2, 3))
        assert (before - after).sum() >= 0.5 * squares.max() - 1


def test_a_narrow_digit_gets_a_square_that_reaches_beyond_it():
    images = torch.zeros((5, 1, 6, 6), dtype=torch.uint8)
    images[:, :, 1:5, 5] = 255  # a one at the border
    spots, masks = plant_defects(images, "spot", side=3)
    assert masks.sum((1, 2)).tolist() == [6] * 5
    assert (spots[:, :, :, 3:].sum((1, 2, 3)) > images.sum((1, 2, 3))).all()


def test_seeds_dtypes_colours_and_the_original():
    kept = DIGITS.clone()
    first, same, other = (plant_defects(DIGITS, "gap", side=2, seed=s) for s in (0, 0, 1))
    assert torch.equal(DIGITS, kept)
    assert torch.equal(first.images, same.images)
    assert not torch.equal(first.masks, other.masks)
    as_float = plant_defects(DIGITS[:, 0].numpy().astype(np.float32) / 255, "gap", side=2, seed=0)
    assert torch.equal(as_float.images, first.images)
    colour = torch.cat([DIGITS, DIGITS // 2, DIGITS // 4], dim=1)
    images, masks = plant_defects(colour, "spot", side=2)
    assert images.shape == (60, 3, 8, 8)
    assert (images.amin(1)[masks > 0] == 255).all()


def test_errors():
    black = np.zeros((2, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"plant_defects: images must have room for a gap; .* Image 0 has none\."):
        plant_defects(black, "gap", side=2)
    with pytest.raises(ValueError, match="Image 0 has none"):
        plant_defects(255 - black, "spot", side=2)
    with pytest.raises(ValueError, match="plant_defects: kind must be one of 'spot', 'gap'; got 'scratch'"):
        plant_defects(DIGITS, "scratch", side=2)
    with pytest.raises(ValueError, match=r"plant_defects: side must be in \[1, 8\]; got 9"):
        plant_defects(DIGITS, "spot", side=9)
    with pytest.raises(TypeError, match="plant_defects: seed must be a whole number; got 1.5"):
        plant_defects(DIGITS, "spot", side=2, seed=1.5)
