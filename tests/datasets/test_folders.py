"""Folders of images: modes, sizes, layouts, masks, and every complaint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advad.datasets.folders import LeftOutWarning
from advad.datasets.layouts import find_layout
from advad.datasets.load import load
from advad.datasets.pixels import converted, from_pillow, resized, resized_masks, with_channels
from advad.datasets.protocols import one_class
from advad.datasets.splits import MaskWarning

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
    Image.new("RGB", (8, 6), "white").save(tmp_path / "a" / "0.jpg", exif=turned)
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
    save(tmp_path / "ground_truth" / "crack" / "0_mask.png", size=(3, 3))
    with pytest.raises(ValueError, match=r"must have the size of its image, \(6, 8\); got \(3, 3\)"):
        load(tmp_path)


def test_folders_that_do_not_fit(tmp_path):
    with pytest.raises(
        ValueError,
        match="must hold one folder per class; got 'no image that can be read'. Put images there, such as .*normal",
    ):
        load(tmp_path)
    save(tmp_path / "a" / "0.png")
    save(tmp_path / "b" / "1.png", size=(5, 9))
    with pytest.raises(ValueError, match=r"must have one size; got 6×8 \(0.png\) and 9×5 \(1.png\). Pass size=64"):
        load(tmp_path)
    (tmp_path / "c").mkdir()
    with pytest.warns(LeftOutWarning, match="left out folder c without images"):
        assert load(tmp_path, size=8).classes == ("a", "b")
    save(tmp_path / "test" / "a" / "0.png")
    with pytest.raises(ValueError, match="of classes, not both; got"):
        load(tmp_path, size=8)


def test_a_split_folder_needs_its_training_part(tmp_path):
    save(tmp_path / "test" / "a" / "0.png")
    with pytest.raises(ValueError, match=r"must hold the split train beside the others; got \['test'\]"):
        load(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match=r"train must hold one folder per class; got '0 images and no folder'"):
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


# --- bit depths -------------------------------------------------------------------------------------------------------


def put(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def grey(side: int = 16) -> np.ndarray:
    return RNG.integers(0, 256, (side, side), dtype=np.uint8)


@pytest.mark.parametrize(("bits", "depth"), [(8, 8), (9, 10), (10, 10), (12, 12), (13, 14), (16, 16)])
def test_sixteen_bit_files_are_scaled_by_the_bits_that_the_whole_set_uses(tmp_path, bits, depth):
    values = np.linspace(0, 2**bits - 1, 256).reshape(16, 16).astype(np.uint16)
    put(tmp_path / "a" / "full.png", values)
    put(tmp_path / "a" / "half.png", values // 2)
    images = load(tmp_path)
    assert images.bit_depth == depth
    np.testing.assert_array_equal(images.images[0, 0], values >> (depth - 8))
    np.testing.assert_array_equal(images.images[1, 0], (values // 2) >> (depth - 8))  # not stretched on its own
    assert f"2 16-bit files are read as {depth} bits, since their highest value is {2**bits - 1}" in images.report


def test_files_of_different_bit_depths_are_refused_unless_the_depth_is_given(tmp_path):
    put(tmp_path / "a" / "twelve.png", np.linspace(0, 4095, 256).reshape(16, 16).astype(np.uint16))
    put(tmp_path / "a" / "dark.png", grey().astype(np.uint16))
    with pytest.raises(ValueError, match=r"one bit depth; got values up to 4095 \(twelve.png\) and up to 25\d \(dark"):
        load(tmp_path)
    images = load(tmp_path, bit_depth=12)
    assert images.images.amax((1, 2, 3)).tolist() == [15, 255]
    assert "read as 12 bits, as given" in images.report
    with pytest.raises(ValueError, match=r"grey values of .*twelve.png must be in \[0, 1023\].* larger bit_depth"):
        load(tmp_path, bit_depth=10)
    with pytest.raises(ValueError, match=r"load: bit_depth must be in \[8, 16\]; got 7"):
        load(tmp_path, bit_depth=7)
    with pytest.raises(ValueError, match="load: bit_depth must be given for a folder of images only; got 12"):
        load("digits", bit_depth=12)


def write_deep_colour(path: Path, values: np.ndarray) -> None:
    """Write a PNG of 16-bit colour, which Pillow cannot: (H, W, 3), uint16."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_colour_of_sixteen_bits_that_would_come_out_black_is_refused(tmp_path):
    values = np.linspace(0, 4095, 16 * 16 * 3).reshape(16, 16, 3).astype(np.uint16)
    write_deep_colour(tmp_path / "a" / "twelve.png", values)
    with pytest.raises(ValueError, match=r"16-bit colour files of .* must use all 16 bits.*twelve.png.*bit_depth=16"):
        load(tmp_path)
    write_deep_colour(tmp_path / "a" / "twelve.png", values * 16)
    np.testing.assert_array_equal(load(tmp_path).images[0].permute(1, 2, 0), (values * 16) >> 8)


def test_images_that_are_nearly_black_are_said(tmp_path):
    put(tmp_path / "a" / "0.png", np.eye(8, dtype=np.uint8))
    with pytest.warns(LeftOutWarning, match="its brightest pixel is 1 of 255"):
        load(tmp_path)


# --- masks beside their images ----------------------------------------------------------------------------------------


def test_masks_of_the_same_stem_are_masks(tmp_path):  # as in magnetic tiles
    marked = np.zeros((16, 16), np.uint8)
    marked[3, 4] = 255
    for i in range(3):
        put(tmp_path / "blowhole" / f"{i}.jpg", grey())
        put(tmp_path / "blowhole" / f"{i}.png", marked * (i != 2))
    put(tmp_path / "free" / "0.jpg", grey())
    with pytest.warns(LeftOutWarning, match="1 masks mark no pixel, such as 2.png"):
        images = load(tmp_path)
    assert images.files == ("blowhole/0.jpg", "blowhole/1.jpg", "blowhole/2.jpg", "free/0.jpg")
    assert images.masks is not None
    assert images.masks.sum((1, 2)).tolist() == [1, 1, 0, 0]
    assert "3 of them with masks" in images.report


@pytest.mark.parametrize("ending", ["_mask.png", "_gt.bmp", "-label.tif", "_GT.png", "_seg.png", ".mask.png"])
def test_masks_with_a_name_of_their_own_are_masks(tmp_path, ending):
    put(tmp_path / "a" / "part.1.png", grey())
    put(tmp_path / "a" / f"part.1{ending}", np.eye(16, dtype=np.uint8))
    images = load(tmp_path)
    assert images.files == ("a/part.1.png",)
    assert images.masks is not None
    assert images.masks.sum() == 16


def test_images_called_like_masks_stay_images(tmp_path):
    for name in ("front_label.png", "back_label.png", "weight.png"):
        put(tmp_path / "bottles" / name, grey())
    assert len(load(tmp_path)) == 3
    put(tmp_path / "bottles" / "front.png", grey())
    with pytest.raises(ValueError, match=r"must lie beside the image of their name; got 'back_label.png'"):
        load(tmp_path)


def test_one_name_for_two_images_is_no_mask_and_two_masks_are_refused(tmp_path):
    put(tmp_path / "a" / "0.jpg", grey())
    put(tmp_path / "a" / "0.png", grey())
    assert len(load(tmp_path)) == 2
    for suffix in (".bmp", ".png"):
        put(tmp_path / "a" / f"1{suffix}", np.eye(16, dtype=np.uint8) * 255)
    with pytest.raises(ValueError, match=r"told from masks .* got \['1.bmp', '1.png'\]. Rename one, as 1_mask"):
        load(tmp_path)


def test_a_mask_marks_by_any_value_in_any_mode(tmp_path):
    ones = np.zeros((8, 8), np.uint8)
    ones[2, 3] = 1
    palette = Image.fromarray(ones, "P")
    palette.putpalette([0, 0, 0, 0, 0, 1])  # nearly black: its brightness says nothing
    deep = Image.fromarray(ones.astype(np.uint16))
    for i, mask in enumerate((Image.fromarray(ones), palette, deep, Image.fromarray(ones * 255).convert("1"))):
        put(tmp_path / "crack" / f"{i}.png", grey(8))
        (tmp_path / "ground_truth" / "crack").mkdir(parents=True, exist_ok=True)
        mask.save(tmp_path / "ground_truth" / "crack" / f"{i}.png")
    masks = load(tmp_path).masks
    assert masks is not None
    np.testing.assert_array_equal(masks, np.stack([ones] * 4))


def test_a_jpeg_of_a_mask_has_noise_that_marks_nothing(tmp_path):
    square = np.zeros((16, 16), np.uint8)
    square[4:12, 4:12] = 255
    put(tmp_path / "a" / "0.png", grey())
    put(tmp_path / "a" / "0_mask.jpg", square)
    masks = load(tmp_path).masks
    assert masks is not None
    np.testing.assert_array_equal(masks[0], square // 255)


def test_a_photograph_in_the_place_of_a_mask_is_refused_by_its_name(tmp_path):
    photo, mask = grey(), np.eye(16, dtype=np.uint8) * 255
    put(tmp_path / "crack" / "0.png", mask)  # swapped
    put(tmp_path / "ground_truth" / "crack" / "0_mask.png", photo)
    with pytest.raises(ValueError, match=r"0_mask.png must be black except for the defect; got '\d+% of it grey'"):
        load(tmp_path)
    soft = np.zeros((16, 16), np.uint8)
    soft[4:10, 4:10] = np.arange(1, 37).reshape(6, 6) * 7  # a mask that was resized has grey edges
    put(tmp_path / "crack" / "0.png", photo)
    put(tmp_path / "ground_truth" / "crack" / "0_mask.png", soft)
    masks = load(tmp_path).masks
    assert masks is not None
    assert int(masks.sum()) == 36


def test_grey_masks_of_0_1_and_255_mark_by_both(tmp_path):
    levels = np.zeros((8, 8), np.uint8)
    levels[1, 1], levels[6, 2:4] = 1, 255
    put(tmp_path / "crack" / "0.png", grey(8))
    put(tmp_path / "ground_truth" / "crack" / "0_mask.png", levels)
    masks = load(tmp_path).masks
    assert masks is not None
    np.testing.assert_array_equal(masks[0], levels > 0)


def test_empty_masks_are_said_of_defects_and_not_of_a_class_without_any(tmp_path, recwarn):
    square = np.eye(16, dtype=np.uint8) * 255
    for name, mask in (("crack/0", square), ("crack/1", square), ("good/0", 0 * square)):
        put(tmp_path / f"{name}.png", grey())
        put(tmp_path / "ground_truth" / f"{name}_mask.png", mask)
    load(tmp_path)
    assert not recwarn
    put(tmp_path / "ground_truth" / "crack" / "1_mask.png", 0 * square)
    with pytest.warns(LeftOutWarning, match="1 masks mark no pixel, such as 1_mask.png"):
        load(tmp_path)
    put(tmp_path / "ground_truth" / "crack" / "0_mask.png", 0 * square)
    with pytest.warns(LeftOutWarning, match="3 masks mark no pixel, such as 0_mask.png"):
        load(tmp_path)


def test_a_mask_with_black_and_white_swapped_is_said(tmp_path):
    hole = np.full((16, 16), 255, np.uint8)
    hole[4:8, 4:8] = 0
    put(tmp_path / "crack" / "0.png", grey())
    put(tmp_path / "ground_truth" / "crack" / "0_mask.png", 255 - hole)
    load(tmp_path)
    put(tmp_path / "ground_truth" / "crack" / "0_mask.png", hole)
    with pytest.warns(LeftOutWarning, match="1 masks mark nearly the whole image, such as 0_mask.png: black and white"):
        load(tmp_path)


def test_a_defect_folder_without_masks_is_said_by_the_split(tmp_path):
    for name in ("train/good/0", "train/good/1", "test/good/2", "test/crack/0", "test/hole/0", "test/hole/1"):
        put(tmp_path / f"{name}.png", grey())
    put(tmp_path / "ground_truth" / "crack" / "0_mask.png", np.eye(16, dtype=np.uint8) * 255)
    images = load(tmp_path)
    said = "2 anomalous test images have no marked pixel, such as test/hole/0.png"
    with pytest.warns(MaskWarning, match=said):
        one_class(images, normal="good", holdout=0.0)


def test_a_class_folder_of_masks_is_refused(tmp_path):
    for i in range(2):
        put(tmp_path / "original" / f"{i}.png", grey())
        put(tmp_path / "mask" / f"{i}.png", np.eye(16, dtype=np.uint8) * 255)
    with pytest.raises(ValueError, match=r"class folder mask must hold images, not the masks of original; got '0.png'"):
        load(tmp_path)
    for i in range(2):  # people with a mask, and without
        put(tmp_path / "mask" / f"{i}.png", grey())
    assert load(tmp_path).classes == ("mask", "original")


def test_defects_whose_masks_are_missing_are_said(tmp_path):
    for i in range(2):
        put(tmp_path / "crack" / f"{i}.png", grey())
    put(tmp_path / "ground_truth" / "crack" / "0_mask.png", np.eye(16, dtype=np.uint8))
    with pytest.warns(LeftOutWarning, match="1 of 2 images of 'crack' have no mask"):
        load(tmp_path)


# --- what is left out -------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_counted_and_said(tmp_path):
    put(tmp_path / "good" / "first.jpg", grey())
    put(tmp_path / "bad" / "first.jpg", grey())
    put(tmp_path / "loose.png", grey())
    for i in range(20):
        put(tmp_path / "good" / "monday" / f"{i}.jpg", grey())
        (tmp_path / "good" / f"IMG_{i}.HEIC").write_bytes(b"x")
        put(tmp_path / "good" / f"{i}.jpg", grey())
        (tmp_path / "good" / f"{i}.jpg").rename(tmp_path / "good" / f"{i}.jfif")  # a JPEG by another name
    (tmp_path / "good" / "notes.txt").write_text("no image")
    with pytest.warns(LeftOutWarning) as caught:
        images = load(tmp_path)
    assert len(images) == 22
    assert images.report.startswith(f"load: took 22 images of 2 classes (bad 1, good 21) from {tmp_path}; left out ")
    for part in ("20 in folders inside class folders", "20 of type .HEIC, which is not read", "1 beside the class fol"):
        assert part in images.report
    assert [str(warning.message) for warning in caught] == [images.report]
    assert "\n" not in images.report


def test_a_folder_that_is_read_whole_gives_no_warning(tmp_path, recwarn):
    put(tmp_path / "good" / "0.png", grey())
    (tmp_path / "good" / "Thumbs.db").write_text("no image")
    assert load(tmp_path).report == f"load: took 1 image of 1 class (good 1) from {tmp_path}."
    assert not recwarn.list


def test_a_class_whose_images_cannot_be_read_is_refused(tmp_path):
    put(tmp_path / "good" / "0.png", grey())
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "0.dcm").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"bad must hold images that can be read; got '1 of type .dcm'. Convert"):
        load(tmp_path)


def test_an_image_of_too_many_pixels_is_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    put(tmp_path / "a" / "0.png", grey())
    with pytest.raises(ValueError, match=r"must have at most 200 pixels, Pillow's limit; got .* Cut it") as caught:
        load(tmp_path)
    assert "damaged" not in str(caught.value)


# --- layouts ----------------------------------------------------------------------------------------------------------


def make(root: Path, *files: str) -> Path:
    for file in files:
        mask = "ground_truth" in file or "Masks" in file
        put(root / file, np.eye(16, dtype=np.uint8) if mask else grey())
    return root


def test_visas_and_btads_masks(tmp_path):
    visa = make(tmp_path / "v", "train/good/0.png", "test/bad/0.png", "test/good/0.png", "ground_truth/bad/0.png")
    btad = make(tmp_path / "b", "train/ok/0.bmp", "test/ko/1.bmp", "ground_truth/ko/1.png")
    loco = make(tmp_path / "l", "train/good/0.png", "test/odd/0.png", "ground_truth/odd/0/0.png")
    raw = make(tmp_path / "candle", "Data/Images/Normal/0.JPG", "Data/Images/Anomaly/0.JPG", "Data/Masks/Anomaly/0.png")
    for folder, expected in ((visa, [0, 16, 0]), (btad, [0, 16]), (loco, [0, 16]), (raw, [16, 0])):
        masks = load(folder).masks
        assert masks is not None
        assert masks.sum((1, 2)).tolist() == expected, folder
    assert (load(raw).name, load(raw).classes) == ("candle", ("Anomaly", "Normal"))


def test_masks_of_images_without_class_folders(tmp_path):
    with pytest.warns(LeftOutWarning, match="1 of 2 images of 'images' have no mask"):
        images = load(make(tmp_path, "images/0.png", "images/1.png", "Masks/1.png"))
    assert images.masks is not None
    assert images.masks.sum((1, 2)).tolist() == [0, 16]
    make(tmp_path, "Masks/2.png")
    with pytest.raises(ValueError, match=r"must fit an image each; got 'Masks/2.png'"):
        load(tmp_path)


@pytest.mark.parametrize("masks", ["labels", "masks", "Annotations", "ground_truth", "gt", "SegmentationClass"])
@pytest.mark.parametrize("images", ["images", "img", "JPEGImages"])
def test_a_folder_of_images_and_one_of_their_masks(tmp_path, images, masks):
    make(tmp_path, f"{images}/0.png", f"{images}/1.png")
    put(tmp_path / masks / "1.png", np.eye(16, dtype=np.uint8))
    with pytest.warns(LeftOutWarning, match=f"1 of 2 images of '{images}' have no mask"):
        read = load(tmp_path)
    assert (read.classes, read.masks is not None) == ((images,), True)
    assert read.masks.sum((1, 2)).tolist() == [0, 16]


PARTS_OF_A_SET = {  # public layouts that are no classes -> the folders, and what the line names
    "labels as text (YOLO)": (["images/train/0.jpg", "images/val/1.jpg"], "hold one folder per class"),
    "three kinds (VOC)": (["JPEGImages/0.jpg", "SegmentationClass/0.png", "SegmentationObject/0.png"], "JPEGImages"),
    "beside in splits (DRIVE)": (["train/images/0.png", "train/1st_manual/0.png", "test/images/1.png"], "train/images"),
    "beside, with splits (DeepCrack)": (["train_img/0.jpg", "train_lab/0.png", "test_img/0.jpg"], "train_img"),
    "with longer names (AITEX)": (["Defect_images/0.png", "Mask_images/0.png", "Other_images/1.png"], "Defect_images"),
    "below the images (DAGM)": (["Train/0.png", "Train/Label/0.png"], "ground_truth"),
    "flat, with labels": (["0.png", "labels/0.png"], "ground_truth"),
    "splits by number (COCO)": (["train2017/0.jpg", "val2017/0.jpg"], "train2017"),
    "splits by name (Severstal)": (["train_images/0.jpg", "test_images/0.jpg"], "test_images"),
    "parts (HAM10000)": (["HAM_images_part_1/0.jpg", "HAM_images_part_2/1.jpg"], "into one folder"),
    "both (ISIC)": (["ISIC_Training_Input/0.jpg", "ISIC_Training_GroundTruth/0.png"], "ISIC_Training_Input"),
}


@pytest.mark.parametrize("name", PARTS_OF_A_SET)
def test_parts_of_a_set_are_no_classes(tmp_path, name):
    files, said = PARTS_OF_A_SET[name]
    with pytest.raises(ValueError, match="hold one folder per class") as caught:
        load(make(tmp_path, *files))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_classes_whose_names_hold_such_words_are_classes(tmp_path):
    for k, names in enumerate((["good", "label_missing"], ["test_tube_ok", "test_tube_bad"], ["mask", "no_mask"])):
        assert load(make(tmp_path / str(k), *(f"{name}/0.png" for name in names))).classes == tuple(sorted(names))


def test_labels_that_are_text_are_no_masks(tmp_path):
    make(tmp_path, "images/0.png", "images/1.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "0.txt").write_text("0 .5 .5 .1 .1")
    images = load(tmp_path)
    assert (images.classes, images.masks) == (("images",), None)
    assert "labels holds no image, so there are no masks" in images.report


def test_images_beside_the_classes_of_a_part_are_said(tmp_path):
    with pytest.warns(LeftOutWarning, match="left out 2 beside the class folders"):
        load(make(tmp_path, "train/good/0.png", "train/1.png", "test/good/0.png", "test/1.png"))


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Valid"])
def test_validation_parts_join_the_training_part(tmp_path, name):
    images = load(make(tmp_path, "train/good/0.png", f"{name}/good/1.png", "test/bad/0.png"))
    assert images.is_test.tolist() == [False, False, True]
    assert images.classes == ("bad", "good")


def test_a_root_one_level_above_the_set(tmp_path):
    images = load(make(tmp_path, "bottle/train/good/0.png", "bottle/test/bad/0.png", "__MACOSX/bottle/x.png"))
    assert images.name == "bottle"
    assert "read bottle, the only set inside" in images.report
    make(tmp_path, "cable/train/good/0.png")
    with pytest.raises(ValueError, match=r"be one set of images; got '2 sets: bottle, cable'. Take one .*/bottle\."):
        load(tmp_path)
    flat = load(make(tmp_path / "up", "parts/good/0.png", "parts/bad/0.png"))
    assert flat.classes == ("bad", "good")


def test_what_archives_and_systems_add_is_no_class(tmp_path):
    make(tmp_path, "good/0.png", "bad/0.png", "__MACOSX/good/x.png", "good/._0.png", ".git/a.png", "@eaDir/a.png")
    assert load(tmp_path).classes == ("bad", "good")
    assert len(load(tmp_path)) == 2


def test_one_folder_within_a_class_folder_is_read(tmp_path):  # as in magnetic tiles
    images = load(make(tmp_path, "MT_Free/Imgs/0.jpg", "MT_Blowhole/Imgs/0.jpg"))
    assert images.classes == ("MT_Blowhole", "MT_Free")
    assert images.files == ("MT_Blowhole/Imgs/0.jpg", "MT_Free/Imgs/0.jpg")
    with pytest.raises(ValueError, match=r"got '2 images in folders inside'. Move them up, or take .*/MT_Free"):
        load(make(tmp_path, "MT_Free/More/0.jpg"))


def test_a_folder_without_class_folders_is_one_class(tmp_path):
    images = load(make(tmp_path / "photos", "1.png", "0.png"))
    assert (images.classes, images.files) == (("photos",), ("0.png", "1.png"))
    assert "all images are of one class, 'photos'" in images.report


def test_coil100_by_its_file_names(tmp_path):
    images = load(make(tmp_path, "obj1__0.png", "obj10__5.png", "obj2__355.png"))
    assert images.classes == ("obj01", "obj02", "obj10")
    assert images.files == ("obj1__0.png", "obj2__355.png", "obj10__5.png")


def test_the_layout_names_the_files_that_load_reads(tmp_path):
    make(tmp_path, "good/0.png", "bad/0.png", "ground_truth/bad/0_mask.png")
    assert [file.path.name for file in find_layout(tmp_path).image_files] == ["0.png", "0.png"]
    assert [len(file.masks) for file in find_layout(tmp_path).image_files] == [1, 0]


# --- groups -----------------------------------------------------------------------------------------------------------


def test_groups_from_a_table(tmp_path):
    make(tmp_path / "set", "good/0.png", "good/1.png", "bad/0.png")
    table = tmp_path / "groups.csv"
    table.write_text("\ufefffile,group\ngood/0.png,Ann\nbad/0.png,Bob\n1.png,Ann\n", encoding="utf-8")
    assert load(tmp_path / "set", groups=table).groups == ("Bob", "Ann", "Ann")
    assert load(tmp_path / "set", groups=[3, 1, 1]).groups == ("3", "1", "1")
    for text, message in (
        ("file,group\ngood/0.png,Ann\n1.png,Ann\n", "must name every image; got 'none for bad/0.png'. Add the row"),
        ("name,patient\n", "must have the columns file and group"),
        ("file,group\n1.png,Ann\n1.png,Bob\n", "must give each file one group; got '1.png'"),
        ("file,group\n0.png,Ann\n1.png,Ann\n", "must name every image; got 'none for bad/0.png'"),  # which 0.png?
    ):
        table.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=f"load: groups .*{message}"):
            load(tmp_path / "set", groups=table)
    with pytest.raises(ValueError, match="load: groups must hold one group for each of 3 images; got 2"):
        load(tmp_path / "set", groups=["a", "b"])


def test_converting_in_chunks_changes_nothing(monkeypatch):
    images = torch.from_numpy(RNG.integers(0, 256, (10, 3, 9, 9), dtype=np.uint8))
    whole = resized(with_channels(images, 1), 5)
    monkeypatch.setattr("advad.datasets.pixels.CHUNK", 3 * 3 * 81)
    assert torch.equal(converted(images, 5, 1), whole)
    assert converted(images, None, None) is images
