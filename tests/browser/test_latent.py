"""The latent explorer in JupyterLab: every way to ask it, and that Python's answer is the right one."""

import numpy as np
import pytest

from advad.plots.images import small
from tests.browser.conftest import ASK
from tests.browser.hands import HOVERED, SHOTS, clear_box, emptiest, loneliest

EXPLORER = """
explorer = explorers.LatentExplorer.of_split(detector, split)
explorer
"""
TRIPLE = "Input, reconstruction, difference"
SLOW = """[setattr(explorers, "kept", explorers.LatentExplorer._under),
           setattr(explorers.LatentExplorer, "_under", lambda *_: __import__("time").sleep(2))]"""
MEND = 'setattr(explorers.LatentExplorer, "_under", explorers.kept)'
STAR = 4  # the trace of the map that marks what is chosen


@pytest.fixture(autouse=True)
def _fresh(explorer):
    """Let each test begin on the latent plane, without a path."""
    begin(*explorer)


def begin(hands, here):
    if here.path_switch.value:
        hands.press_button("Path from here")
        here.path_switch.value = False
    if here.map_buttons.value != "latent":
        hands.press_button("latent plane")
        here.map_buttons.value = "latent"
        hands.sees("362 codes: latent plane")


def test_it_shows_what_python_has(explorer):
    hands, here = explorer
    hands.sees(here.summary())
    hands.sees(here.below_summary)
    hands.sees_image(TRIPLE, here.triple())
    names = hands.root.locator(".legendtext").all_text_contents()
    assert names == [str(digit) for digit in range(10)]
    hands.check_looks(SHOTS / "latent.png")


def test_the_arrow_keys_go_through_the_images_by_score(explorer):
    hands, here = explorer
    for _ in range(3):
        here.picker.value += 1
        hands.press(".noUi-handle", "ArrowRight")
        hands.sees(here.summary())
    hands.sees_image(TRIPLE, here.triple())


def test_the_pointer_over_a_point_shows_its_image(explorer):
    hands, here = explorer
    index = loneliest(here.map.points, here.limits)
    hands.hover(*here.map.points[index])
    hands.sees(here.set.describe(index))
    hands.sees_image(f"Under the pointer: {here.set.describe(index)}", small(here.set.images[index]))


def test_a_click_on_a_point_shows_what_the_detector_makes_of_it(explorer):
    hands, here = explorer
    index = loneliest(here.map.points, here.limits)
    here.show_image(index)
    hands.click(*here.map.points[index])
    hands.sees(here.summary())
    hands.sees(here.below_summary)
    hands.sees_image(TRIPLE, here.triple())
    hands.sees_image(here.below_summary, here.strip)
    hands.sees_rings(11)


def test_a_click_while_the_kernel_answers_a_hover_is_not_lost_to_the_next_hover(explorer):
    hands, here = explorer
    index = loneliest(here.map.points, here.limits)
    here.show_image(int(here.set.order[1]))
    hands.press(".noUi-handle", "Home", "ArrowRight")
    hands.sees(here.summary())
    hands.page.evaluate(ASK, SLOW)
    x, y = here.map.points[index]
    place = hands.at(x, y)
    hands.page.mouse.move(place[0] - 4, place[1] - 3)
    hands.page.mouse.move(*place, steps=4)
    hands.page.wait_for_function(HOVERED, arg=[0, float(x), float(y)])
    hands.page.mouse.click(*place)
    hands.page.mouse.move(place[0] + 30, place[1] + 20, steps=4)
    hands.page.mouse.move(2, 2)
    here.show_image(index)
    hands.sees(here.summary())
    hands.page.evaluate(ASK, MEND)


def test_a_click_on_the_empty_plane_decodes_encodes_and_scores_that_place(explorer):
    hands, here = explorer
    place = emptiest(here.map.points, here.figure.net.x, here.figure.net.y, here.limits)
    here.show_place(np.array(place))
    hands.hover(*place)
    hands.sees(f"Decoded from ({place[0]:.2f}, {place[1]:.2f})")
    hands.click(*place)
    hands.sees(here.summary())
    hands.sees_image(TRIPLE, here.triple())
    hands.sees_curve(0, STAR, [place[0]], axis="x")
    hands.sees_curve(0, STAR, [place[1]])
    hands.check_looks(SHOTS / "latent_place.png")


def test_a_lasso_shows_the_images_inside_and_their_statistics(explorer):
    hands, here = explorer
    low, high = clear_box(here.map.points)
    inside = np.flatnonzero(((here.map.points > low) & (here.map.points < high)).all(axis=1))
    assert len(inside) > 20
    here.show_set(inside)
    (x0, y0), (x1, y1) = low, high
    hands.lasso([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], here.below_summary)
    hands.sees_image(here.below_summary, here.strip)
    hands.check_looks(SHOTS / "latent_lasso.png")
    hands.sees_faded(len(here.set) - len(inside))
    hands.sees_rings(0)
    hands.press_button("PCA")  # the same images stay chosen
    here.map_buttons.value = "pca"
    hands.sees("362 codes: PCA")
    hands.rest()
    hands.sees(here.below_summary)
    hands.sees_faded(len(here.set) - len(inside))
    hands.sees_image(here.below_summary, here.strip)
    here.show_image(int(here.set.order[1]))  # another choice ends the lasso
    hands.press(".noUi-handle", "Home", "ArrowRight")
    hands.sees(here.summary())
    hands.sees(here.below_summary)
    hands.sees_faded(0)


def test_a_path_decodes_the_codes_between_two_images(explorer):
    hands, here = explorer
    hands.press_button("Path from here")
    here.path_switch.value = True
    here.picker.value = 5
    hands.press(".noUi-handle", "Home", *["ArrowRight"] * 5)
    hands.sees(here.below_summary)
    hands.sees_image(here.below_summary, here.strip)
    hands.check_looks(SHOTS / "latent_path.png")


def test_fields_and_lists_do_by_keyboard_what_click_and_lasso_do(explorer):
    hands, here = explorer
    for box, value in enumerate(("6.5", "-1.25")):
        hands.press("input[type=number]", "Control+a", nth=box)
        hands.page.keyboard.type(value)
        hands.page.keyboard.press("Tab")
    hands.press_button("Go there", "Space")
    here.show_place(np.array([6.5, -1.25]))
    hands.sees(here.summary())
    here.set_slider.value = "class 3"
    hands.press(".noUi-handle", *["ArrowRight"] * list(here.sets).index("class 3"), nth=1)
    hands.sees(here.below_summary)
    hands.sees_image(here.below_summary, here.strip)


def test_tsne_shows_the_nearest_images_and_says_that_it_has_no_inverse(explorer):
    hands, here = explorer
    here.map_buttons.value = "tsne"
    hands.press_button("t-SNE")
    hands.sees("362 codes: t-SNE")
    place = emptiest(here.map.points, here.figure.net.x, here.figure.net.y, here.limits)
    here.show_place(np.array(place))
    hands.click(*place)
    assert "t-SNE has no inverse" in here.below_summary
    hands.sees(here.below_summary)
    hands.sees_image(here.below_summary, here.strip)


def test_pca_decodes_places_of_its_plane_and_scores_colour_the_points(explorer):
    hands, here = explorer
    here.map_buttons.value, here.colour_buttons.value = "pca", "score"
    hands.press_button("PCA")
    hands.sees("362 codes: PCA")
    hands.press_button("score")
    hands.root.locator(".cbtitle").wait_for()
    place = emptiest(here.map.points, here.figure.net.x, here.figure.net.y, here.limits)
    here.show_place(np.array(place))
    hands.click(*place)
    hands.sees(here.summary())
    hands.sees_image(TRIPLE, here.triple())
    hands.check_looks(SHOTS / "latent_pca.png")
