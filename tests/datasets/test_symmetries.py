"""Augmentation by the symmetries of a set: which versions there are, and that no pixel changes its value."""

import numpy as np
import pytest
import torch

from advad.datasets.symmetries import SYMMETRIES_OF, TRANSFORMS, symmetric

CORNER = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8)[None, None]


def versions(name):
    return {tuple(image.flatten().tolist()) for image in symmetric(CORNER, name)}


def test_versions_by_hand():
    assert versions("none") == {(1, 2, 3, 4)}
    assert versions("mirror") == {(1, 2, 3, 4), (2, 1, 4, 3)}
    assert versions("flips") == {(1, 2, 3, 4), (2, 1, 4, 3), (4, 3, 2, 1), (3, 4, 1, 2)}
    assert versions("turns") == {(1, 2, 3, 4), (2, 4, 1, 3), (4, 3, 2, 1), (3, 1, 4, 2)}
    assert len(versions("square")) == len(symmetric(CORNER, "square")) == 8


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_images_come_first_and_keep_their_values(name):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 6, 6), dtype=np.uint8))
    result = symmetric(images, name)
    assert torch.equal(result[:3], images)
    assert result.dtype == torch.uint8
    for k, image in enumerate(result):
        assert torch.equal(image.flatten().sort().values, images[k % 3].flatten().sort().values)


def test_errors():
    with pytest.raises(ValueError, match=r"^symmetric: images must be square for 'turns'; got \(4, 6\)"):
        symmetric(torch.zeros(1, 1, 4, 6), "turns")
    assert symmetric(torch.zeros(1, 1, 4, 6), "flips").shape == (4, 1, 4, 6)
    with pytest.raises(ValueError, match="^symmetric: symmetries must be one of 'none', 'mirror'"):
        symmetric(torch.zeros(1, 1, 4, 4), "all")


def test_the_sets_have_symmetries_that_exist():
    assert set(SYMMETRIES_OF.values()) <= set(TRANSFORMS)
