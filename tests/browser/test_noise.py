"""The noise ladder in JupyterLab: sliders by keyboard, buttons, and that Python's answer is the right one."""

import numpy as np
import pytest

from tests.browser.hands import SHOTS

EXPLORER = """
clean = split.test[~split.test_is_anomaly]
blurred = advad.AE(epochs=2, latent_dim=2, widths=(64, 32), device="cpu").fit(split.train, progress=False)
explorer = explorers.NoiseExplorer({"two epochs": blurred, "thirty epochs": detector}, clean)
explorer
"""
TILES = "A clean image, the noise alone"
PICTURE, RUNG = 0, 1  # the sliders, from left to right


def sees_all(hands, here):
    hands.sees(here.summary())
    hands.sees_image(TILES, here.table())
    climbed = here.scores_by_strength(here.picker.value, here.detector.value)
    for k, (_, _, scores) in enumerate(climbed.values()):
        hands.sees_curve(0, k, scores)
    _, _, _, score = here.current()
    hands.sees_curve(0, len(climbed), [score])


def test_it_shows_what_python_has(explorer):
    hands, here = explorer
    sees_all(hands, here)
    assert hands.root.locator(".legendtext").all_text_contents() == ["uniform", "Gaussian", "speckle"]
    hands.check_looks(SHOTS / "noise.png")


def test_the_arrow_keys_change_the_noise_level(explorer):
    hands, here = explorer
    for _ in range(3):
        here.rung.value += 1
        hands.press(".noUi-handle", "ArrowRight", nth=RUNG)
        sees_all(hands, here)
    here.rung.value = 0
    hands.press(".noUi-handle", "Home", nth=RUNG)
    sees_all(hands, here)
    assert "of strength 0.000" in here.summary()


def test_the_arrow_keys_choose_an_image(explorer):
    hands, here = explorer
    before = here.table()
    here.picker.value += 1
    hands.press(".noUi-handle", "ArrowRight", nth=PICTURE)
    sees_all(hands, here)
    assert not np.array_equal(np.asarray(before), np.asarray(here.table()))


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_button_switches_the_corruption(explorer, key):
    hands, here = explorer
    name = {"Enter": "Gaussian", "Space": "speckle"}[key]
    here.rung.value = 10
    hands.press(".noUi-handle", "Home", *["ArrowRight"] * 10, nth=RUNG)
    here.noise.value = name
    hands.press_button(name, key)
    sees_all(hands, here)
    assert f"under {name} noise" in here.summary()
    hands.check_looks(SHOTS / f"noise_{name.lower()}.png")


def test_a_click_switches_the_detector(explorer):
    hands, here = explorer
    here.detector.value = "two epochs"
    hands.root.get_by_role("button", name="two epochs", exact=True).click()
    sees_all(hands, here)
    assert "two epochs scores it" in here.summary()
    hands.check_looks(SHOTS / "noise_detector.png")
