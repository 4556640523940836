"""The static form of a figure has the figure's own colours and marks."""

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image, ImageColor

from advad import plots
from advad.plots.images import _font, stack
from advad.plots.theme import INK
from advad.plots.to_image import image_of

COLOURS = ["#D55E00", "#0072B2", "#009E73"]


def on(page, image):
    """Return the pixels of an image on a page of this colour, int of shape (H, W, 3)."""
    below = Image.new("RGBA", image.size, page)
    return np.asarray(Image.alpha_composite(below, image).convert("RGB")).astype(int)


def shares(image):
    """Return the share of pixels of each of the colours."""
    pixels = on("white", image)
    return [
        (np.abs(pixels - [int(colour[k : k + 2], 16) for k in (1, 3, 5)]).sum(axis=2) < 12).mean() for colour in COLOURS
    ]


@pytest.mark.parametrize("symbols", [["circle", "diamond-open", "square-open"], ["circle-open", "circle", "x-open"]])
def test_each_marker_has_its_own_colour_whatever_its_symbol(symbols):
    marker = {"color": COLOURS, "symbol": symbols, "size": 40, "line": {"width": 4, "color": COLOURS}}
    figure = go.Figure(go.Scatter(x=[1, 2, 3], y=[1, 2, 3], mode="markers", marker=marker))
    drawn = shares(image_of(figure))
    for k in range(3):  # one after another: only that one has its colour
        figure.data[0].x = [1 if at == k else None for at in range(3)]
        alone = shares(image_of(figure))
        assert alone[k] > 0.0002
        assert [share < 0.0001 for share in alone] == [at != k for at in range(3)]
    assert all(share > 0.0002 for share in drawn)


def test_points_beside_an_empty_selection_fade():
    marker = {"color": COLOURS[1], "size": 40}
    figure = go.Figure(go.Scatter(x=[1, 2, 3], y=[1, 2, 3], mode="markers", marker=marker))
    assert shares(image_of(figure))[1] > 0.001
    figure.data[0].selectedpoints = []
    assert shares(image_of(figure))[1] == 0


@pytest.mark.parametrize("page", ["white", "#111111"])
def test_an_image_takes_the_page_as_its_ground_and_its_texts_are_legible_there(page):
    ground, ink = (np.array(ImageColor.getrgb(colour)) for colour in (page, INK))
    light, dark = sorted((luminance(ground), luminance(ink)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4
    curve = plots.curves([1, 2], {"a": [1.0, 2.0], "b": [2.0, 1.0]}, title="a title", x_title="x", y_title="y")
    grid = plots.grid({"a row": np.ones((2, 1, 8, 8))}, captions={"a row": ["one", "two"]}, columns=["c", "d"])
    for image in (image_of(curve), grid, stack([grid, grid]), plots.overlay_key()):
        pixels = on(page, image)
        assert (pixels == ground).all(2).mean() > 0.15
        assert (np.abs(pixels - ink).sum(2) < 6).sum() > 20  # texts
        nearly_black = (pixels.max(2) < 60).mean()
        assert nearly_black < 0.01 or page != "white", "a text in another ink"


def luminance(colour):
    """Return the relative luminance of an sRGB colour, as WCAG 2 defines it."""
    share = np.asarray(colour) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def test_the_key_of_overlays_has_their_colours():
    key = on("white", plots.overlay_key())
    row = key[16]  # inside the bar
    ends = plots.overlay(np.full((1, 1, 1, 2), 0.5), np.array([[[-1.0, 1.0]]]))[0, :, 0]  # (3, 2)
    assert np.abs(row[0] - 255 * ends[:, 0]).max() < 2
    assert np.abs(row[-1] - 255 * ends[:, 1]).max() < 2
    assert np.ptp(row[len(row) // 2]) < 6  # grey


def test_captions_wider_than_an_image_are_broken_not_cut():
    images = np.zeros((2, 1, 8, 8))
    captions = {"row": ["-0.00081 to +0.0022"] * 2}
    one_line = plots.grid({"row": images}, captions={"row": ["a"] * 2}, tile=92)
    two_lines = plots.grid({"row": images}, captions=captions, tile=92)
    assert two_lines.height > one_line.height
    ink = np.asarray(two_lines.convert("L"))[one_line.height - 36 :] < 128
    assert not ink[:, -4:].any()  # nothing at the right edge


def test_what_labels_are_made_of_is_in_the_font_of_images():
    """A character that is not is drawn as a box, the same for all."""
    box = bytes(_font(24).getmask("\ue000"))
    assert [character for character in "−×±–·εαλσ²→≤’“”" if bytes(_font(24).getmask(character)) == box] == []


def test_labels_of_images_have_a_true_minus():
    images = np.zeros((1, 1, 8, 8))
    hyphen, minus = (plots.grid({f"{sign}1.5": images}, columns=[f"{sign}2.0"]) for sign in "-−")
    assert np.array_equal(hyphen, minus)
    assert not np.array_equal(minus, plots.grid({"+1.5": images}, columns=["+2.0"]))


def test_dots_keep_their_order_whatever_their_symbol():
    """Names lie across in the order of the figure; matplotlib would put those of one symbol first."""
    names = {"a": 1.0, "b": 5.0, "c": 3.0}
    figure = plots.dots(names, title="", y_title="", highlight=["a"])
    pixels = on("white", image_of(figure))
    vermilion = np.abs(pixels - [0xD5, 0x5E, 0x00]).sum(axis=2) < 12
    rows, columns = np.nonzero(vermilion)
    assert columns.mean() < pixels.shape[1] / 3, "the first name, at the left"
    assert rows.mean() > pixels.shape[0] / 2, "the smallest value, below"


def test_a_heatmap_with_names_keeps_its_first_row_on_top():
    table = {"top": {"5%": 0.0, "20%": 1.0}, "bottom": {"5%": 1.0, "20%": 1.0}}
    pixels = on("white", image_of(plots.heatmap(table, title=""), width=480, height=300))
    low = np.abs(pixels - [0, 34, 78]).sum(axis=2) < 30  # cividis at 0; the other three cells are yellow
    high = np.abs(pixels - [254, 232, 56]).sum(axis=2) < 30
    assert low.mean() > 0.1
    assert high.mean() > 2.5 * low.mean()
    (rows, columns), (others, across) = np.nonzero(low), np.nonzero(high)
    assert rows.max() < others.max()  # in the upper row,
    assert columns.max() < across.max()  # on the left
