"""Guess the anomaly in JupyterLab: tiles picked by keyboard and by click, committed, counted, and another round."""

import numpy as np

from advad.plots.images import small
from tests.browser.hands import SHOTS

EXPLORER = """
explorer = explorers.GuessingGame(detector, split.test, is_anomaly=split.test_is_anomaly, seed=0)
explorer
"""


def button(hands, k):
    return hands.root.locator(".widget-toggle-button").nth(k)


def sees_all(hands, here):
    hands.sees(here.summary())
    for k, index in enumerate(here.shown):
        hands.sees_image(here.describe(k), small(here.images[index]))


def test_a_round_by_keyboard_then_one_by_click(explorer):
    hands, here = explorer
    sees_all(hands, here)
    commit = hands.root.get_by_role("button", name="Commit my picks")
    assert commit.is_disabled()
    hands.check_looks(SHOTS / "guess.png")

    for k in (1, 4, 6, 10):
        here.buttons[k].value = True
        hands.press(".widget-toggle-button", "Space", nth=k)
        hands.sees(here.summary())
        assert button(hands, k).inner_text().strip() == f"✓ {k + 1}"
    hands.check_looks(SHOTS / "guess_picked.png")
    here.commit_button.click()
    hands.press_button("Commit my picks")
    sees_all(hands, here)
    assert "You find" in here.summary()
    assert commit.is_disabled()
    assert button(hands, 0).is_disabled()
    notes = hands.root.get_by_text("◆ anomalous")
    assert notes.count() == 4
    hands.check_looks(SHOTS / "guess_told.png")

    first = here.shown
    here.next_button.click()
    hands.root.get_by_role("button", name="Twelve others").click()
    assert not np.array_equal(first, here.shown)
    sees_all(hands, here)
    assert notes.count() == 0
    for k in range(4):
        here.buttons[k].value = True
        button(hands, k).click()
        hands.sees(here.summary())
    here.commit_button.click()
    commit.click()
    sees_all(hands, here)
    assert "In 2 rounds" in here.summary()
    hands.check_looks(SHOTS / "guess_rounds.png")
