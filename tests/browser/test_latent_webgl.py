"""The latent explorer with more points than an SVG can bear: the same clicks and lassos, in WebGL."""

import numpy as np

from tests.browser.hands import SHOTS, clear_box, loneliest

EXPLORER = """
digits = advad.load("digits")
explorer = explorers.LatentExplorer(detector, digits.images, labels=digits.labels, classes=digits.classes)
explorer
"""


def test_1797_points_are_drawn_and_answer_a_click_and_a_lasso(explorer):
    hands, here = explorer
    assert here.figure.points.type == "scattergl"
    hands.sees(here.summary())
    index = loneliest(here.map.points, here.limits)
    here.show_image(index)
    hands.click(*here.map.points[index])
    hands.sees(here.summary())
    low, high = clear_box(here.map.points)
    here.show_set(np.flatnonzero(((here.map.points > low) & (here.map.points < high)).all(axis=1)))
    (x0, y0), (x1, y1) = low, high
    hands.lasso([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], here.below_summary)
    hands.sees_image(here.below_summary, here.strip)
    hands.check_looks(SHOTS / "latent_webgl.png")
