"""Localisation metrics against a slow, obvious implementation, against masks by hand, and every error message."""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from advad.analysis import localisation as module
from advad.analysis.localisation import localisation
from tests.errors import one_line_errors


def regions_of(mask):
    """Return the connected regions as lists of pixels, by flood fill; corners touch."""
    left, regions = {tuple(pixel) for pixel in np.argwhere(mask)}, []
    while left:
        region, front = [], [left.pop()]
        while front:
            row, column = front.pop()
            region.append((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            front += near
        regions.append(region)
    return regions


def slow(maps, masks, limits=(0.3, 0.05)):
    """Return pixel AUROC, pixel AUPRC and AUPRO at the limits: every threshold, every region, one after the other."""
    truth, values = masks.ravel() > 0, maps.ravel()
    found = [(maps[k], region) for k, mask in enumerate(masks > 0) for region in regions_of(mask)]
    found = [np.array([image[pixel] for pixel in region]) for image, region in found]
    sound = np.sort(values[~truth])
    x, y = [0.0], [0.0]
    for threshold in np.unique(values)[::-1]:
        x.append(float((sound >= threshold).mean()))
        y.append(float(np.mean([(region >= threshold).mean() for region in found])))
    areas = []
    for limit in limits:
        inside = [k for k, rate in enumerate(x) if rate < limit]
        end = np.interp(limit, x, y) if limit not in x else y[x.index(limit)]
        areas.append(auc([*(x[k] for k in inside), limit], [*(y[k] for k in inside), end]) / limit)
    return [roc_auc_score(truth, values), average_precision_score(truth, values), *areas]


def scene(n=6, side=24, strength=1.5, seed=0, levels=None):
    """Return maps and masks of shape (n, side, side); every other image has defects, of different sizes."""
    rng = np.random.default_rng(seed)
    maps, masks = rng.standard_normal((n, side, side)).astype(np.float32), np.zeros((n, side, side), np.uint8)
    for k in range(0, n, 2):
        for size in (1, 3, 6):
            row, column = rng.integers(0, side - size, 2)
            masks[k, row : row + size, column : column + size] = 255
    maps += strength * (masks > 0)
    return (maps if levels is None else np.round(maps * levels) / levels), masks


def values_of(row):
    return [row.pixel_auroc.value, row.pixel_auprc.value, row.aupro_30.value, row.aupro_5.value]


@pytest.mark.parametrize("strength", [0.0, 1.5, 4.0])
@pytest.mark.parametrize("levels", [None, 2])  # with few levels, most pixels tie
def test_few_pixels_equal_the_slow_implementation(strength, levels):
    maps, masks = scene(strength=strength, levels=levels)
    result = localisation(maps, masks, n=10).overall
    assert values_of(result) == pytest.approx(slow(maps, masks), abs=1e-5)
    assert result.images == 3
    assert result.regions == sum(len(regions_of(mask)) for mask in masks)


@pytest.mark.parametrize(("strength", "seed"), [(0.5, 1), (2.0, 2), (5.0, 3)])
def test_with_more_pixels_than_bins_it_is_within_a_thousandth(strength, seed, monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 2**14)  # of 40,000 pixels: quantiles of a sample, as in large sets
    maps, masks = scene(n=4, side=100, strength=strength, seed=seed)
    maps[0] *= 3
    assert values_of(localisation(maps, masks, n=10).overall) == pytest.approx(slow(maps, masks), abs=1e-3)


def test_masks_by_hand():
    """One region of four pixels and one of a single pixel; half of the large one is found, then false alarms."""
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[0, :2, :2] = 1
    masks[0, 3, 3] = 1
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, 0, :2] = 3  # half of the large region: PRO 1/4
    maps[1, 0, :3] = 2  # 3 of 27 sound pixels
    maps[0, 3, 3] = 2
    result = localisation(maps, masks, n=10).overall
    # PRO is 1/4 at a rate of 0, (1/2 + 1) / 2 at 1/9, and 1 at 1, with straight lines between
    expected = ((1 / 4 + 3 / 4) / 2 / 9 + (0.3 - 1 / 9) * (3 / 4 + 3 / 4 + (0.3 - 1 / 9) / (8 / 9) / 4) / 2) / 0.3
    assert result.aupro_30.value == pytest.approx(expected, abs=1e-6)
    assert result.aupro_5.value == pytest.approx(1 / 4 + 0.05 * 9 / 2 / 2, abs=1e-6)
    # of 5 × 27 pairs: 2 pixels beat all; one beats 24 and ties with 3; two tie with 24
    assert result.pixel_auroc.value == pytest.approx((2 * 27 + 24 + 1.5 + 2 * 12) / (5 * 27))
    assert result.pixel_auprc.value == pytest.approx(2 / 5 * 1 + 1 / 5 * (3 / 6) + 2 / 5 * (5 / 32))
    assert result.image_auroc.value == 1


def test_a_perfect_map_and_regions_that_touch_at_a_corner():
    masks = np.zeros((2, 5, 5), bool)
    masks[0, [0, 1, 4], [0, 1, 4]] = True
    result = localisation(masks.astype(float), masks, n=10).overall
    assert result.regions == 2
    assert values_of(result) == [1, 1, 1, 1]


def test_rows_by_defect_are_of_that_defect_and_all_normal_images():
    maps, masks = scene(n=8)
    kinds = ["crack", "", "spot", "", "crack", "", "spot", ""]
    result = localisation(maps, masks, defects=kinds, n=10)
    assert [row.name for row in result.by_defect] == ["crack", "spot"]
    subset = [k for k, kind in enumerate(kinds) if kind != "spot"]
    assert values_of(result.by_defect[0]) == pytest.approx(slow(maps[subset], masks[subset]), abs=1e-5)
    assert result.normal_images == 4
    lines = str(result).splitlines()
    assert [line.split()[0] for line in lines] == ["defect", "crack", "spot", "all"]


def test_image_scores_are_the_highest_pixels_unless_given():
    maps, masks = scene(strength=3)
    truth = masks.any((1, 2))
    highest = maps.max((1, 2))
    assert localisation(maps, masks, n=10).overall.image_auroc.value == roc_auc_score(truth, highest)
    assert localisation(maps, masks, n=10, scores=-highest).overall.image_auroc.value == roc_auc_score(truth, -highest)


def test_an_anomalous_image_without_a_mask_counts_for_the_image_auroc_only():
    maps, masks = scene(n=6)
    truth = masks.any((1, 2))
    masks[0] = 0
    result = localisation(maps, masks, is_anomaly=truth, n=10)
    assert result.left_out == 1
    assert values_of(result.overall) == pytest.approx(slow(maps[1:], masks[1:]), abs=1e-5)
    assert result.overall.image_auroc.value == roc_auc_score(truth, maps.max((1, 2)))


def test_the_bootstrap_draws_images():
    """Pixels of one image depend on each other: with two different images of each kind, the interval is wide."""
    maps, masks = scene(n=4, side=32, strength=0.5)
    maps[0][masks[0] > 0] += 3
    row = localisation(maps, masks, n=400).overall
    values = []
    rng = np.random.default_rng(0)
    for _ in range(400):
        chosen = np.concatenate([rng.choice([0, 2], 2), rng.choice([1, 3], 2)])
        truth = masks[chosen].ravel() > 0
        values.append(roc_auc_score(truth, maps[chosen].ravel()))
    low, high = np.quantile(values, [0.025, 0.975])
    assert row.pixel_auroc.low == pytest.approx(low, abs=1e-3)
    assert row.pixel_auroc.high == pytest.approx(high, abs=1e-3)
    assert localisation(maps, masks, n=400).overall == row
    assert localisation(maps, masks, n=30, seed=1).overall != localisation(maps, masks, n=30, seed=2).overall


MAPS, MASKS = scene(n=4)
NAN = MAPS.copy()
NAN[2, 0, 0] = np.nan


VALUE_ERRORS = {
    "localisation: maps must be numbers of shape (N, H, W), one map an image; got": lambda: localisation(
        MAPS[0], MASKS
    ),
    "localisation: masks must have shape (4, 24, 24), as the maps; got": lambda: localisation(MAPS, MASKS[:2]),
    "localisation: maps must be finite; got NaN or infinite values in image 2": lambda: localisation(NAN, MASKS),
    "localisation: masks must hold an image with a defect; got '0 of 4": lambda: localisation(MAPS, 0 * MASKS),
    "localisation: masks must hold a normal image; got '2 of 2": lambda: localisation(MAPS[::2], MASKS[::2]),
    "localisation: masks must be empty for normal images; got 'image 0'": lambda: localisation(
        MAPS, MASKS, is_anomaly=[0, 0, 1, 0]
    ),
    "localisation: scores must have shape (4,), one an image; got": lambda: localisation(MAPS, MASKS, scores=[1, 2]),
    "localisation: defects must hold 4 names, one an image; got": lambda: localisation(MAPS, MASKS, defects=["a"]),
    "localisation: n must be at least 1; got 0": lambda: localisation(MAPS, MASKS, n=0),
}

test_errors_say_what_rule_and_got_in_one_line = one_line_errors(VALUE_ERRORS, {})
