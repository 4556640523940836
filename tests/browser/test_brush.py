"""The occlusion brush in JupyterLab: click, drag, keys and buttons, and that Python's answer is the right one."""

import pytest

from tests.browser.hands import SHOTS

EXPLORER = """
explorer = explorers.OcclusionBrush(detector, split.test, labels=split.test_labels, is_anomaly=split.test_is_anomaly)
explorer
"""
TABLE = "The image as it is and covered"
COLOUR = """([row, column]) => {
  const canvas = document.querySelector('.advad-explorer canvas'), cell = canvas.width / 8;
  return [...canvas.getContext('2d').getImageData((column + 0.5) * cell, (row + 0.5) * cell, 1, 1).data].slice(0, 3)}"""


@pytest.fixture(autouse=True)
def _fresh(explorer):
    """Let each test begin with an uncovered image."""
    hands, here = explorer
    hands.press_button("Uncover all")
    here.clear.click()
    hands.sees(here.summary())


def place(hands, row, column):
    """Return where in the page the middle of a pixel is."""
    canvas = hands.root.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    return box["x"] + (column + 0.5) * box["width"] / 8, box["y"] + (row + 0.5) * box["height"] / 8


def answered(hands, here, *pixels):
    """Cover these pixels (row, column) here too, and wait until the page shows the same."""
    here.canvas.covered = sorted({*here.canvas.covered, *(8 * row + column for row, column in pixels)})
    hands.sees(here.summary())
    hands.sees_image(TABLE, here.table())
    for trace in (-2, -1):  # the marks of both scores
        hands.sees_curve(0, len(here.plot.data) + trace, here.plot.data[trace].x, axis="x")


def test_a_click_covers_a_pixel(explorer):
    hands, here = explorer
    hands.page.mouse.click(*place(hands, 2, 3))
    answered(hands, here, (2, 3))
    assert hands.page.evaluate(COLOUR, [2, 3]) == [0, 0, 0]
    hands.check_looks(SHOTS / "brush_click.png")


def test_a_drag_covers_all_pixels_on_its_way_however_quick_it_is(explorer):
    hands, here = explorer
    hands.page.mouse.move(*place(hands, 1, 1))
    hands.page.mouse.down()
    hands.page.mouse.move(*place(hands, 6, 6))  # in one leap
    hands.page.mouse.up()
    answered(hands, here, *[(k, k) for k in range(1, 7)])


def test_a_wider_brush_of_white_covers_a_square_and_the_eraser_uncovers(explorer):
    hands, here = explorer
    hands.press_button("2×2")
    hands.press_button("white")
    here.side.value, here.fill.value = 2, 1.0
    hands.sees(here.summary())
    hands.page.mouse.click(*place(hands, 4, 4))
    answered(hands, here, (4, 4), (4, 5), (5, 4), (5, 5))
    assert hands.page.evaluate(COLOUR, [5, 5]) == [255, 255, 255]
    hands.check_looks(SHOTS / "brush_white.png")
    hands.press_button("Erase")
    hands.page.mouse.click(*place(hands, 5, 5))
    here.canvas.covered = [8 * 4 + 4, 8 * 4 + 5, 8 * 5 + 4]
    answered(hands, here)
    for name in ("Erase", "1×1", "black"):
        hands.press_button(name)
    here.side.value, here.fill.value = 1, 0.0
    hands.sees(here.summary())


def test_arrows_and_space_do_what_the_pointer_does(explorer):
    hands, here = explorer
    hands.page.mouse.move(2, 2)
    hands.press("canvas", "ArrowUp", "ArrowLeft", "Space", "Shift+ArrowDown")  # it begins in the middle, at (4, 4)
    hands.sees("Brush at row 4, column 3")
    answered(hands, here, (3, 3), (4, 3))


def test_the_slider_shows_another_image_uncovered(explorer):
    hands, here = explorer
    hands.page.mouse.click(*place(hands, 2, 3))
    answered(hands, here, (2, 3))
    hands.press(".noUi-handle", "ArrowRight")
    here.picker.value += 1
    assert here.canvas.covered == []
    answered(hands, here)
