"""Occlusion maps against a plain double loop, agreement with masks by hand, shuffled weights, every error message."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from advad.analysis.saliency import mask_agreement, occlusion_map, randomised_weights
from tests.errors import one_line_errors

DIGITS = torch.tensor(load_digits().images[:4] / 16, dtype=torch.float32)[:, None]  # (4, 1, 8, 8)


class Detector:
    """What an analysis may know of a fitted detector, over an untrained autoencoder."""

    device_ = torch.device("cpu")

    def __init__(self, *image_shape):
        self.image_shape_ = image_shape or (1, 8, 8)
        pixels = int(np.prod(self.image_shape_))
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 16), nn.Tanh())
        self.networks_ = nn.ModuleDict({"encoder": encoder, "decoder": nn.Linear(16, pixels)}).eval()

    def score_tensor(self, x):
        rebuilt = self.networks_["decoder"](self.networks_["encoder"](x))
        return (x.flatten(1) - rebuilt).square().mean(dim=1)

    def anomaly_score(self, X):
        return self.score_tensor(torch.as_tensor(X)).detach().numpy()


@torch.no_grad()
def double_loop(score, images, patch=1, stride=1, fill=0.0):
    """Occlude one place of one image at a time; a pixel gets the mean over its patches."""
    n, _, height, width = images.shape
    total, covered = np.zeros((n, height, width)), np.zeros((n, height, width))
    tops = sorted({*range(0, height - patch + 1, stride), height - patch})
    lefts = sorted({*range(0, width - patch + 1, stride), width - patch})
    for i in range(n):
        before = float(score(images[i : i + 1])[0])
        for top in tops:
            for left in lefts:
                occluded = images[i : i + 1].clone()
                occluded[:, :, top : top + patch, left : left + patch] = fill
                place = (i, slice(top, top + patch), slice(left, left + patch))
                total[place] += float(score(occluded)[0]) - before
                covered[place] += 1
    return total / covered


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (2, 1), (3, 2), (3, 3), (8, 1), (5, 4)])
@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("batch_size", [7, 512])
@pytest.mark.parametrize("places", [1, 2**16])
def test_occlusion_equals_a_double_loop(patch, stride, fill, batch_size, places, monkeypatch):
    monkeypatch.setattr("advad.occlusion.PLACES", places)
    detector = Detector()
    found = occlusion_map(detector, DIGITS, patch=patch, stride=stride, fill=fill, batch_size=batch_size)
    assert found.shape == (4, 8, 8)
    assert found.dtype == np.float32
    assert found == pytest.approx(double_loop(detector.score_tensor, DIGITS, patch, stride, fill), abs=1e-6)


def test_occlusion_of_colour_images_that_are_not_square():
    torch.manual_seed(1)
    images, detector = torch.rand(2, 3, 6, 9), Detector(3, 6, 9)
    images[0, :, :3] = 0  # a black band in the first, a red one in the second
    images[1, 1:, :3] = 0
    found = occlusion_map(detector, images, patch=2, stride=2)
    assert found == pytest.approx(double_loop(detector.score_tensor, images, 2, 2), abs=1e-6)
    assert not found[0, :2].any()
    assert found[1, :2].all()


def test_places_with_the_fill_value_cost_no_call():
    asked = []

    def score(x):
        asked.append(len(x))
        return x.sum(dim=(1, 2, 3))

    found = occlusion_map(score, DIGITS)
    assert sum(asked) == len(DIGITS) + int((DIGITS > 0).sum())
    assert found == pytest.approx(-DIGITS[:, 0].numpy(), abs=1e-5)  # of a sum, each pixel takes its own value
    asked.clear()
    assert not occlusion_map(score, torch.zeros(2, 1, 8, 8), patch=3).any()
    assert asked == [2]


def test_sign_suspicious_places_are_below_zero():
    image = np.full((1, 8, 8), 0.5, dtype=np.float32)
    image[0, 2, 5] = 1  # the defect
    found = occlusion_map(lambda x: (x - 0.5).square().sum(dim=(1, 2, 3)), image, fill=0.5)
    assert found[0, 2, 5] == pytest.approx(-0.25)
    assert np.count_nonzero(found) == 1


def test_all_faces_of_a_detector_give_one_map():
    detector = Detector()
    expected = occlusion_map(detector, DIGITS)

    class Classical:
        anomaly_score = staticmethod(detector.anomaly_score)

    assert np.array_equal(occlusion_map(Classical(), DIGITS), expected)
    assert np.array_equal(occlusion_map(detector.score_tensor, DIGITS.numpy()), expected)
    grey = (DIGITS[:, 0] * 255).round().to(torch.uint8)
    assert occlusion_map(detector, grey) == pytest.approx(expected, abs=0.01)


def test_images_and_networks_stay_as_they_were():
    images, detector = DIGITS.clone(), Detector()
    detector.networks_.requires_grad_(True)
    occlusion_map(detector, images)
    assert torch.equal(images, DIGITS)
    assert all(weights.grad is None for weights in detector.networks_.parameters())


# Agreement with masks


def test_agreement_by_hand():
    mask = np.zeros((3, 4, 4), dtype=np.uint8)
    mask[0, :2, :2] = 255
    mask[1, 0, :2] = 1  # the third image has no defect and is left out
    maps = np.zeros((3, 4, 4))
    maps[0, :2, :2] = 1  # found exactly
    maps[1, 0, 1:3] = [2, 3]  # one of two found, one false alarm above it
    # 2 × 14 pairs of the second image: the pixel at 2 beats all but the 3; the other ties with 13 and loses to the 3
    second = (13 + 13 / 2) / 28
    assert mask_agreement(maps, mask) == pytest.approx(((1 + second) / 2, (1 + 1 / 3) / 2, 2))


def test_agreement_limits():
    generator = np.random.default_rng(0)
    mask = generator.random((20, 16, 16)) < 0.2
    assert mask_agreement(mask.astype(float), mask) == (1, 1, 20)
    assert mask_agreement(-mask.astype(float), mask).auroc == 0
    assert mask_agreement(generator.random(mask.shape), mask).auroc == pytest.approx(0.5, abs=0.05)
    constant = mask_agreement(np.zeros(mask.shape), torch.tensor(mask))  # marks everything: IoU is the defect's share
    assert constant.auroc == 0.5
    assert constant.iou == pytest.approx(mask.mean(), abs=1e-9)


def test_a_planted_defect_is_found():
    images = DIGITS.clone()
    images[:, :, 3:5, 6:8] = 1
    maps = occlusion_map(lambda x: (x - DIGITS[: len(x)].mean(dim=0)).square().mean(dim=(1, 2, 3)), images, patch=2)
    masks = np.zeros((4, 8, 8))
    masks[:, 3:5, 6:8] = 1
    assert mask_agreement(-maps, masks).auroc > 0.9


# Randomised weights


def test_randomised_copy_has_the_same_weights_in_another_order():
    detector = Detector()
    kept = [weights.clone() for weights in detector.networks_.parameters()]
    forgetful = randomised_weights(detector, seed=1)
    for before, original, shuffled in zip(
        kept, detector.networks_.parameters(), forgetful.networks_.parameters(), strict=True
    ):
        assert torch.equal(before, original)
        assert not torch.equal(original, shuffled)
        assert torch.equal(original.flatten().sort().values, shuffled.flatten().sort().values)
    assert not np.allclose(forgetful.anomaly_score(DIGITS), detector.anomaly_score(DIGITS), rtol=1e-3)
    again, other = randomised_weights(detector, seed=1), randomised_weights(detector, seed=2)
    assert np.array_equal(again.anomaly_score(DIGITS), forgetful.anomaly_score(DIGITS))
    assert not np.array_equal(other.anomaly_score(DIGITS), forgetful.anomaly_score(DIGITS))


# Errors


def total(x):
    return x.sum(dim=(1, 2, 3))


VALUE_ERRORS = {  # how the message begins: what causes it
    "occlusion_map: score must return shape (4,), one number per image; got Tensor of shape ()": lambda: occlusion_map(
        lambda x: x.sum(), DIGITS
    ),
    "occlusion_map: score must return finite numbers; got NaN or infinite scores": lambda: occlusion_map(
        lambda x: total(x) / 0, DIGITS
    ),
    "occlusion_map: images must have shape (N, H, W) or (N, C, H, W)": lambda: occlusion_map(total, DIGITS[0, 0]),
    "occlusion_map: images must be in [0, 1] when float; got values from 0 to 16": lambda: occlusion_map(
        total, DIGITS * 16
    ),
    "occlusion_map: images must hold images of shape 1×8×8, as in fit": lambda: occlusion_map(
        Detector(), DIGITS[..., 1:]
    ),
    "occlusion_map: patch must be in [1, 8]; got 9": lambda: occlusion_map(total, DIGITS, patch=9),
    "occlusion_map: stride must be in [1, 2]; got 3. A longer step leaves pixels uncovered.": lambda: occlusion_map(
        total, DIGITS, patch=2, stride=3
    ),
    "occlusion_map: fill must be in [0, 1]; got 255": lambda: occlusion_map(total, DIGITS, fill=255),
    "occlusion_map: batch_size must be at least 1; got 0": lambda: occlusion_map(total, DIGITS, batch_size=0),
    "mask_agreement: masks must have shape (2, 4, 4), as the maps; got ndarray of shape (2, 4, 5)": lambda: (
        mask_agreement(np.ones((2, 4, 4)), np.ones((2, 4, 5)))
    ),
    "mask_agreement: masks must hold at least one image with defect and sound pixels": lambda: mask_agreement(
        np.ones((2, 4, 4)), np.ones((2, 4, 4))
    ),
    "mask_agreement: maps must be finite; got 32 of 32 values": lambda: mask_agreement(
        np.full((2, 4, 4), np.nan), np.eye(4)[None]
    ),
    "mask_agreement: maps must have shape (N, H, W), one map per image": lambda: mask_agreement(
        np.ones((4, 4)), np.eye(4)
    ),
    "randomised_weights: seed must be in [0, 9.22337e+18]; got -1": lambda: randomised_weights(Detector(), seed=-1),
}
TYPE_ERRORS = {  # how the message begins: what causes it
    "occlusion_map: score must be a fitted detector or a function of images; got 'ARAE'": lambda: occlusion_map(
        "ARAE", DIGITS
    ),
    "occlusion_map: score must be a fitted detector or a function of images; got <class": lambda: occlusion_map(
        Detector, DIGITS
    ),
    "occlusion_map: patch must be a whole number; got 1.5": lambda: occlusion_map(total, DIGITS, patch=1.5),
    "randomised_weights: detector must be a fitted detector with networks; got <function": lambda: randomised_weights(
        total
    ),
}


test_errors_say_what_rule_and_got_in_one_line = one_line_errors(VALUE_ERRORS, TYPE_ERRORS)
