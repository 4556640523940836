"""`advad app` in Chromium: the page shows the explorer to who has the token, and Python answers there, too."""

import socket

import pytest

from advad.lab import app
from tests.browser.conftest import ANSWER
from tests.browser.hands import ROOT, SHOTS, Hands


@pytest.fixture(scope="module")
def address(detector_file):
    """Return the address, with its token, of a page with the brush."""
    with socket.socket() as probe:
        probe.bind((app.HOST, 0))
        port = probe.getsockname()[1]
    with app.served(detector_file, "brush", n=20, port=port) as (_, url):
        yield url


def test_the_page_asks_for_the_token(address, open_page):
    page = open_page(address.partition("?")[0])
    assert "/login" in page.url
    assert page.locator("input[type=password]").count() == 1
    assert page.locator(ROOT).count() == 0
    page.close()


def test_the_brush_answers_in_the_page(address, open_page, detector_file):
    page = open_page(address)
    page.wait_for_selector(f"{ROOT} canvas")
    page.set_default_timeout(ANSWER)
    hands, here = Hands(page), app.explorer(detector_file, "brush", n=20)
    hands.sees(here.sentence())
    hands.press("canvas", "Space")
    here.canvas.covered = [4 * 8 + 4]
    hands.sees(here.sentence())
    hands.sees_picture("The picture as it is and covered", here.table())
    hands.check_looks(SHOTS / "app.png")
    page.close()
