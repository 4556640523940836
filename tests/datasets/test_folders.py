"""Folders of images: modes, sizes, layouts, masks, and every complaint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advad.datasets.load import load
from advad.datasets.pixels import from_pillow, resized, resized_masks, with_channels

RNG = np.random.default_rng(0)


# --- pixels -----------------------------------------------------------------------------------------------------------


def test_resizing_equals_pillows():
    photo = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    ours = resized(from_pillow(Image.fromarray(photo), "x")[None], 16)[0].permute(1, 2, 0).numpy()
    pillows = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(ours.astype(int), pillows.astype(int), atol=1)


def test_grey_is_pillows_luminance():
    photo = Image.fromarray(RNG.integers(0, 256, (5, 4, 3), dtype=np.uint8))
    ours = with_channels(from_pillow(photo, "x"), 1)[0].numpy()
    np.testing.assert_allclose(ours.astype(int), np.asarray(photo.convert("L")).astype(int), atol=1)


@pytest.mark.parametrize(
    ("mode", "pixel", "expected"),
    [
        ("1", 1, [255]),
        ("L", 77, [77]),
        ("LA", (200, 255), [200]),
        ("LA", (200, 51), [40]),  # a fifth of it over black
        ("I;16", 0x1234, [0x12]),
        ("I", 0xFFFF, [255]),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGBA", (10, 20, 30, 255), [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), [0, 0, 0]),  # the hidden colour stays hidden
        ("CMYK", (0, 0, 0, 255), [0, 0, 0]),
    ],
)
def test_each_mode_becomes_its_pixels(mode, pixel, expected):
    assert from_pillow(Image.new(mode, (3, 2), pixel), "x").tolist() == [[[value] * 3] * 2 for value in expected]


def test_palettes_are_looked_up():
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 9, 8, 7])
    assert from_pillow(image, "x")[:, 0, 0].tolist() == [9, 8, 7]
    image.info["transparency"] = 1
    assert from_pillow(image, "x").sum() == 0


def test_pixels_of_too_many_bits_are_refused():
    with pytest.raises(ValueError, match=r"load: grey values of x must be in \[0, 65535\]; got values from 70000"):
        from_pillow(Image.new("I", (2, 2), 70000), "x")
    with pytest.raises(ValueError, match="load: pixels of x must be whole numbers"):
        from_pillow(Image.new("F", (2, 2), 0.5), "x")


def test_a_small_defect_survives_the_resizing_of_its_mask():
    mask = torch.zeros(1, 50, 50, dtype=torch.uint8)
    mask[0, 33, 7] = 1
    small = resized_masks(mask, 8)
    assert small.sum() >= 1
    assert small[0, 33 * 8 // 50, 7 * 8 // 50] == 1
    assert resized_masks(mask, 50).equal(mask)


# --- folders ----------------------------------------------------------------------------------------------------------


def save(path: Path, mode: str = "L", size: tuple[int, int] = (8, 6), value: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "I;16":
        image = Image.fromarray(np.full(size[::-1], value * 256, np.uint16))
    else:
        image = Image.new("RGB", size, (value, value, value)).convert(mode)
    image.save(path)


def test_a_folder_of_all_modes_and_sizes(tmp_path):
    modes = ("L", "LA", "P", "RGB", "RGBA", "I;16", "1")
    for i, mode in enumerate(modes):
        save(
            tmp_path / "many" / "no" / f"{i}.png", mode, size=(8 + i, 6), value=255 if mode == "1" else 102
        )  # 102: a colour of the palette
        assert Image.open(tmp_path / "many" / "no" / f"{i}.png").mode == mode
    save(tmp_path / "many" / "yes" / "a.JPG", "L", value=102)
    (tmp_path / "many" / "yes" / "notes.txt").write_text("left out")
    (tmp_path / "many" / "yes" / ".hidden.png").write_text("left out")
    save(tmp_path / "many" / ".ipynb_checkpoints" / "a.png")

    images = load(tmp_path / "many", size=5)
    assert images.name == "many"
    assert images.images.shape == (8, 3, 5, 5)  # three channels, as some are colour
    assert images.images.amax((1, 2, 3)).tolist() == [102] * 6 + [255, 102]
    assert images.images.amin((1, 2, 3)).tolist() == [102] * 6 + [255, 102]
    assert images.labels.tolist() == [0] * 7 + [1]
    assert images.classes == ("no", "yes")
    assert not images.is_test.any()
    assert images.masks is None
    assert load(tmp_path / "many", size=5, channels=1).images.shape == (8, 1, 5, 5)


def test_a_folder_of_grey_images_has_one_channel_and_keeps_its_size(tmp_path):
    for i, mode in enumerate(("L", "LA", "I;16", "1")):
        save(tmp_path / "a" / f"{i}.png", mode)
    assert load(tmp_path).images.shape == (4, 1, 6, 8)
    assert load(tmp_path, channels=3).images.shape == (4, 3, 6, 8)


def test_photographs_are_turned_upright(tmp_path):
    (tmp_path / "a").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: turn clockwise to see it upright
    Image.new("RGB", (8, 6)).save(tmp_path / "a" / "0.jpg", exif=turned)
    assert load(tmp_path).images.shape == (1, 3, 8, 6)


def test_splits_and_masks(tmp_path):
    for path in ("train/crack/0.png", "train/good/0.png", "val/good/0.png", "test/good/0.png", "test/crack/0.png"):
        save(tmp_path / path, size=(8, 8))
    mask = np.zeros((8, 8), np.uint8)
    mask[2, 3] = 255
    (tmp_path / "ground_truth" / "crack").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "ground_truth" / "crack" / "0_mask.png")

    images = load(tmp_path)
    assert images.classes == ("crack", "good")
    assert images.labels.tolist() == [0, 1, 1, 0, 1]
    assert images.is_test.tolist() == [False, False, False, True, True]
    assert images.masks is not None
    assert images.masks.sum((1, 2)).tolist() == [0, 0, 0, 1, 0]  # train/crack/0.png has the same name, but no mask
    assert images.masks[3, 2, 3] == 1
    assert "with masks" in repr(images)
    small = load(tmp_path, size=4)
    assert small.masks is not None
    assert small.masks[3].nonzero().tolist() == [[1, 1]]


def test_masks_that_do_not_fit(tmp_path):
    save(tmp_path / "crack" / "0.png")
    save(tmp_path / "ground_truth" / "crack" / "1_mask.png")
    with pytest.raises(ValueError, match=r"must fit an image each; got 'ground_truth/crack/1_mask.png'"):
        load(tmp_path)
    (tmp_path / "ground_truth" / "crack" / "1_mask.png").rename(tmp_path / "ground_truth" / "crack" / "0_mask.png")
    assert load(tmp_path).masks is not None
    save(tmp_path / "ground_truth" / "crack" / "0_mask.png", size=(3, 3))
    with pytest.raises(ValueError, match=r"must have the size of its image, \(6, 8\); got \(3, 3\)"):
        load(tmp_path)


def test_folders_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="must hold one folder a class; got 'none'.* move the images there"):
        load(tmp_path)
    save(tmp_path / "a" / "0.png")
    save(tmp_path / "b" / "1.png", size=(5, 9))
    with pytest.raises(ValueError, match=r"must have one size; got 6×8 \(0.png\) and 9×5 \(1.png\). Pass size=64"):
        load(tmp_path)
    (tmp_path / "c").mkdir()
    with pytest.raises(ValueError, match=r"load: class folder .*/c must hold images; got 'none'"):
        load(tmp_path, size=8)
    save(tmp_path / "test" / "a" / "0.png")
    with pytest.raises(ValueError, match="of classes, not both; got"):
        load(tmp_path, size=8)


def test_a_split_folder_needs_its_training_part(tmp_path):
    save(tmp_path / "test" / "a" / "0.png")
    with pytest.raises(ValueError, match=r"must hold the split train beside the others; got \['test'\]"):
        load(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match=r"train must hold one folder a class"):
        load(tmp_path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow also warns of it
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_truncated_image(tmp_path, suffix):
    save(tmp_path / "a" / f"0{suffix}", "RGB", size=(64, 64))
    path = tmp_path / "a" / f"0{suffix}"
    content = path.read_bytes()
    for kept in (0, 20, len(content) // 2):
        path.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=rf"load: .*0{suffix} must be a complete image; got .* It is damaged"):
            load(tmp_path)
