"""`advad app` in Chromium: the page shows the explorer to who has the token, Python answers, nothing is from afar."""

import socket

import pytest

from advad.cli import app
from tests.browser.conftest import asked_outside
from tests.browser.hands import ANSWER, ROOT, SHOTS, Hands


@pytest.fixture(scope="module")
def address(detector_file):
    """Return the address, with its token, of a page with the brush."""
    with socket.socket() as probe:
        probe.bind((app.HOST, 0))
        port = probe.getsockname()[1]
    with app.served(detector_file, "brush", n=20, port=port) as (_, url):
        yield url


@pytest.mark.parametrize("query", ["", "?token=wrong"])
def test_without_the_token_there_is_a_form_that_asks_for_it_and_no_explorer(address, open_page, query):
    page = open_page(address.partition("?")[0] + query)
    for _ in range(2):  # the second time after a wrong token in the form
        assert "/login" in page.url
        assert page.locator(ROOT).count() == 0
        page.get_by_label("Password or token").fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_text("Invalid credentials").wait_for()
    page.close()
    assert asked_outside(page) == []


def test_the_kernels_are_not_to_be_had_without_the_token(address, browser):
    page, _, token = address.partition("?")
    kernel = f"{page}api/kernels/00000000-0000-0000-0000-000000000000"
    context = browser.new_context()
    assert [context.request.get(f"{kernel}{query}").status for query in ("", "?token=wrong")] == [403, 403]
    assert context.request.get(f"{kernel}?{token}").status == 404  # who has the token learns that there is none
    context.close()


def test_the_brush_answers_in_the_page(address, open_page, detector_file):
    page = open_page(address)
    page.wait_for_selector(f"{ROOT} canvas")
    page.set_default_timeout(ANSWER)
    hands, here = Hands(page), app.explorer(detector_file, "brush", n=20)
    hands.sees(here.summary())
    hands.press("canvas", "Space")
    here.canvas.covered = [4 * 8 + 4]
    hands.sees(here.summary())
    hands.sees_image("The image as it is and covered", here.table())
    hands.check_looks(SHOTS / "app.png")
    assert asked_outside(page) == []
    page.close()
