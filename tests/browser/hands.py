"""What a test does in a page, and what it looks for: by role, text and alternative text, as a reader would."""

from __future__ import annotations

import base64
import io
import time
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, TimeoutError, expect

from tests import ROOT

ANSWER = 60_000  # ms that Python may take, once the page is up: the machine may be busy
WIDTHS = (850, 570)  # of a cell beside the list of files, on a screen of 1280 and of 1000 pixels
SHOTS = ROOT / "runs" / "browser"
ROOT = ".advad-explorer"
TO_PIXELS = """([k, x, y]) => {
  const plot = document.querySelectorAll('.advad-explorer .js-plotly-plot')[k];
  const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.l2p(x), box.top + yaxis._offset + yaxis.l2p(y)]}"""
SCROLLS = """() => [...document.querySelectorAll('.advad-explorer, .advad-explorer *')].filter(e => {
  const s = getComputedStyle(e), rolls = v => v == 'auto' || v == 'scroll';
  return e.offsetParent && (rolls(s.overflowX) && e.scrollWidth > e.clientWidth + 1
    || rolls(s.overflowY) && e.scrollHeight > e.clientHeight + 1)}).map(e => e.className)"""

HOVERED = """([k, x, y]) => {
  const plot = document.querySelectorAll('.advad-explorer .js-plotly-plot')[k], {xaxis, yaxis} = plot._fullLayout;
  return plot._hoverdata?.some(p => Math.hypot(xaxis.l2p(p.x) - xaxis.l2p(x), yaxis.l2p(p.y) - yaxis.l2p(y)) < 3)}"""

FRAME = "() => new Promise(requestAnimationFrame)"
HEARD = "() => new Promise(go => setTimeout(go, 200))"  # plotly tells of a hover up to 50 ms after it

QUIET = "() => !window.unanswered?.size"  # see conftest.LISTEN

UNSETTLED = """root => {
  const all = selector => [...root.querySelectorAll(selector)];
  const plot = e => `a plot ${e.layout?.title?.text} of ${e.data?.length} traces, ${e._fullData?.length} of them drawn`;
  return [
    ...all('.js-plotly-plot').filter(e => !e._fullData?.length).map(plot),
    ...all('.hovertext').map(e => `a hover's text: ${e.textContent}`),
    ...all('img').filter(e => !e.complete).map(e => `an image on its way: ${e.alt}`),
    ...(document.fonts.status == 'loaded' ? [] : ['fonts on their way'])]}"""

BEYOND = """root => {
  const edge = root.parentElement.getBoundingClientRect().right + 1;
  return [...root.querySelectorAll('*')].filter(e => e.checkVisibility() && !e.closest('.modebar, .js-plotly-tester')
    && e.getBoundingClientRect().right > edge).map(e => `${e.tagName}.${e.className?.baseVal ?? e.className}`)}"""

ROOM = "root => root.parentElement.getBoundingClientRect().width"

FADED = """n => n == [...document.querySelectorAll('.advad-explorer .scatterlayer .trace:first-child path.point')]
  .filter(e => Number(e.style.opacity) < 0.5).length"""

RINGS = """n => n == document.querySelectorAll('.advad-explorer .scatterlayer .trace:nth-child(3) path.point').length"""

CURVE = """([plot, trace, axis, values]) => {
  const drawn = document.querySelectorAll('.advad-explorer .js-plotly-plot')[plot]?._fullData[trace]?.[axis];
  return drawn?.length == values.length && values.every((value, k) => Math.abs(value - drawn[k]) < 1e-6)}"""

THERE = """([plot, trace, axis]) => {
  const plots = document.querySelectorAll('.advad-explorer .js-plotly-plot');
  const there = plots[plot]?._fullData[trace]?.[axis], traces = plots[plot]?._fullData.length;
  return `${plots.length} plots, ${traces} traces, ${there?.length} values: ${there?.slice(0, 9)}`}"""


class Hands:
    """The nth explorer of a page."""

    def __init__(self, page: Any, nth: int = 0):
        self.page, self.root = page, page.locator(ROOT).nth(nth)

    def sees(self, text: str) -> None:
        """Wait until a text is there; if it does not come, leave a screenshot, and say what is there instead."""
        try:
            self.root.get_by_text(text, exact=True).first.wait_for()
        except Exception as error:
            self.page.screenshot(path=SHOTS / "missing.png")
            there = self.root.locator(".advad-answer").all_text_contents()
            raise AssertionError(f"{text!r} did not appear; there is {there}. See {SHOTS / 'missing.png'}") from error

    def image(self, alt: str) -> np.ndarray:
        """Return the pixels of the image whose alternative text begins so, once it is there."""
        element = self.root.locator(f'img[alt^="{alt}"]').first
        element.wait_for()
        source = element.get_attribute("src")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")).astype(int)

    def sees_image(self, alt: str, expected: Image.Image) -> None:
        """Wait until an image is what it must be, but for rounding: the sentence beside it may come first."""
        wanted = np.asarray(expected.convert("RGB")).astype(int)
        end = time.monotonic() + ANSWER / 1000
        found = self.image(alt)
        while not alike(found, wanted) and time.monotonic() < end:
            self.page.wait_for_timeout(100)
            found = self.image(alt)
        assert alike(found, wanted)

    def press(self, selector: str, *keys: str, nth: int = 0) -> None:
        """Focus what the selector names, and press keys."""
        element = self.root.locator(selector).nth(nth)
        element.scroll_into_view_if_needed()
        element.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def press_button(self, name: str, key: str = "Enter") -> None:
        """Press a button by its name and a key."""
        press(self.root.get_by_role("button", name=name, exact=True), key)

    def at(self, x: float, y: float, plot: int = 0) -> tuple[float, float]:
        """Return where in the page a place of a plot is."""
        self.root.locator(".js-plotly-plot").nth(plot).scroll_into_view_if_needed()
        return tuple(self.page.evaluate(TO_PIXELS, [plot, float(x), float(y)]))

    def hover(self, x: float, y: float, plot: int = 0) -> tuple[float, float]:
        """Move the pointer to a place of a plot, and rest there."""
        place = self.at(x, y, plot)
        self.page.mouse.move(place[0] - 4, place[1] - 3)
        self.page.mouse.move(*place, steps=4)
        self.page.wait_for_function(HOVERED, arg=[plot, float(x), float(y)])
        self.rest()
        return place

    def rest(self) -> None:
        """Wait until the kernel has answered all: what a plot tells a busy one replaces what it told it before."""
        self.page.wait_for_function(QUIET)

    def click(self, x: float, y: float, plot: int = 0) -> None:
        """Click on a place of a plot."""
        self.page.mouse.click(*self.hover(x, y, plot))

    def drag(self, corners: list[tuple[float, float]], plot: int = 0) -> None:
        """Drag the pointer along places of a plot."""
        first, *others = [self.at(*corner, plot) for corner in corners]
        self.page.mouse.move(*first)
        self.page.evaluate(HEARD)
        self.rest()
        self.page.mouse.down()
        for place in others:
            self.page.mouse.move(*place, steps=6)
            self.page.evaluate(FRAME)  # a busy page takes the moves of a frame for one, and would cut the corner
        self.page.mouse.up()

    def lasso(self, corners: list[tuple[float, float]], text: str) -> None:
        """Draw a lasso until a text is there: a plot that a busy page draws anew in mid-drag drops it, so once more."""
        for _ in range(3):
            self.drag(corners)
            try:
                self.root.get_by_text(text, exact=True).first.wait_for(timeout=ANSWER / 4)
                break
            except TimeoutError:
                continue
        self.sees(text)

    def sees_faded(self, n: int) -> None:
        """Wait until n points of the map are faded."""
        self.page.wait_for_function(FADED, arg=n)

    def sees_rings(self, n: int) -> None:
        """Wait until n points of the map have rings."""
        self.page.wait_for_function(RINGS, arg=n)

    def sees_curve(self, plot: int, trace: int, values: Any, axis: str = "y") -> None:
        """Wait until a trace of a plot is drawn at these heights, or places on another axis."""
        wanted = np.asarray(values, float).tolist()
        try:
            self.page.wait_for_function(CURVE, arg=[plot, trace, axis, wanted])
        except Exception as error:
            there = self.page.evaluate(THERE, [plot, trace, axis])
            raise AssertionError(f"trace {trace} of plot {plot} is not at {wanted[:9]}…, but {there}") from error

    def check_looks(self, shot: Any) -> None:
        """Take screenshots at three widths; all is whole, every image has a text, no script failed."""
        self._settle(shot)
        assert self.page.evaluate(SCROLLS) == []
        assert self.root.locator("img:not([alt]), img[alt='']").count() == 0
        assert self.root.locator(".advad-errors").inner_text().strip() == ""
        assert self.page.problems == []
        root, whole = self.root.element_handle(), self.page.viewport_size
        room = root.evaluate(ROOM)
        for width in WIDTHS:
            self._make_room(width)
            self._settle(shot.with_stem(f"{shot.stem}_{width}"))
            beyond = root.evaluate(BEYOND)
            self.page.set_viewport_size(whole)
            self.page.wait_for_function(f"([root, room]) => Math.abs(({ROOM})(root) - room) < 1", arg=[root, room])
            assert beyond == [], f"beyond the right edge of {width} pixels: {beyond[:5]}"

    def _make_room(self, width: int) -> None:
        """Give the explorer a width in pixels; JupyterLab lays its panels out a while after the window's size."""
        root = self.root.element_handle()
        for _ in range(20):
            missing = width - root.evaluate(ROOM)
            if abs(missing) < 1:
                return
            size = self.page.viewport_size
            self.page.set_viewport_size({**size, "width": round(size["width"] + missing)})
            self.page.wait_for_timeout(500)
        raise AssertionError(f"the explorer has {root.evaluate(ROOM)} pixels, not {width}")

    def _settle(self, shot: Any) -> None:
        """Wait until the page has settled, and take a screenshot."""
        self.page.mouse.move(2, 2)
        self.root.scroll_into_view_if_needed()
        root = self.root.element_handle()
        try:
            self.page.wait_for_function(f"root => !({UNSETTLED})(root).length", arg=root)
        except TimeoutError as error:
            raise AssertionError(f"the page does not settle: {self.page.evaluate(UNSETTLED, root)}") from error
        self.root.screenshot(path=shot)


def press(button: Locator, key: str = "Enter") -> None:
    """Focus a button and press a key, once Python has enabled it: before that it takes neither."""
    expect(button).to_be_enabled(timeout=ANSWER)
    button.scroll_into_view_if_needed()
    button.focus()
    expect(button).to_be_focused(timeout=ANSWER)
    button.page.keyboard.press(key)


def alike(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Return whether two images are the same but for rounding."""
    return found.shape == wanted.shape and np.abs(found - wanted).max() <= 2


def loneliest(points: np.ndarray, box: tuple[tuple[float, float], tuple[float, float]]) -> int:
    """Return the index of the point farthest from all others, among those well inside the axes."""
    (x0, x1), (y0, y1) = box
    scaled = (points - [x0, y0]) / [x1 - x0, y1 - y0]
    distance = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    np.fill_diagonal(distance, 9)
    inside = ((scaled > 0.05) & (scaled < 0.95)).all(axis=1)
    return int(np.argmax(np.where(inside, distance.min(axis=1), -1)))


def emptiest(points: np.ndarray, x: np.ndarray, y: np.ndarray, box: Any) -> tuple[float, float]:
    """Return the node of a net (x, y) that is farthest from all points, among those well inside the axes."""
    (x0, x1), (y0, y1) = box
    nodes = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    scale = np.array([x1 - x0, y1 - y0])
    share = (nodes - [x0, y0]) / scale
    nodes = nodes[((share > 0.1) & (share < 0.9)).all(axis=1)]
    gap = np.linalg.norm((nodes[:, None] - points[None]) / scale, axis=2).min(axis=1)
    return tuple(nodes[int(np.argmax(gap))].tolist())


def clear_box(points: np.ndarray, at_least: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of a box around some of the points whose border is far from all of them."""
    random = np.random.default_rng(0)
    low, high = points.min(axis=0), points.max(axis=0)
    best, gap = (low, high), 0.0
    for _ in range(3000):
        corners = np.sort(random.uniform(low, high, (2, 2)), axis=0)
        outside = np.maximum(corners[0] - points, points - corners[1])  # (n, 2), negative = between the sides
        distance = np.where((outside < 0).all(axis=1), -outside.max(axis=1), np.linalg.norm(outside.clip(0), axis=1))
        inside = int((outside < 0).all(axis=1).sum())
        if at_least < inside < len(points) / 2 and distance.min() > gap:
            best, gap = (corners[0], corners[1]), float(distance.min())
    return best
