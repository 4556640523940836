"""The other explorers and the prediction in one notebook of JupyterLab: each control, and Python's answer to it."""

import json
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ASK, DETECTOR, cut, leave, write_notebook
from tests.browser.hands import ANSWER, ROOT, SHOTS, Hands, press

SCORES = """
digits = [str(label) for label in split.test_labels[:9].tolist()]
from advad.analysis.evaluation_pitfalls import EvaluationTable
table = EvaluationTable(np.random.default_rng(0).uniform(0.5, 0.9, size=(4, 3, 2, 10, 3)))
codes = np.random.default_rng(1).normal(size=(4, 240, 2)) * np.array([0.5, 1, 1.5, 2])[:, None, None]
games = {"batch norm: hidden": codes[:2], "batch norm: none": codes[2:]}
groups = {f"the digit {k}": split.test_labels.numpy() == k for k in (8, 1, 2)}
"""
EXPLORERS = {
    "threshold": """explorers.ThresholdExplorer(
    detector, split.test, is_anomaly=split.test_is_anomaly, holdout=split.holdout
)""",
    "reconstruction": "explorers.ReconstructionExplorer(detector, split.test[:9], labels=digits)",
    "occlusion": "explorers.OcclusionExplorer(detector, split.test[:9], labels=digits)",
    "map": """explorers.AnomalyMapExplorer(
    detector, split.test[:9], labels=digits, masks=(split.test[:9, 0] > 200).numpy()
)""",
    "shortcuts": "explorers.EvaluationPitfallsExplorer(table, [str(digit) for digit in range(10)])",
    "game": "explorers.AAEPriorExplorer(games, (1e-4, 1e-3), groups)",
    "attack": "explorers.AttackExplorer(detector, split.test[:9], labels=digits)",
}
LESSON = """
from advad.lessons import lesson
lesson.start("browser", parameters={"device": "cpu"}, output_dir="recorded")
"""
WIDGETS = "len(__import__('ipywidgets.widgets.widget', fromlist=['widget'])._instances)"
PREDICT = 'guess = lesson.predict("Which is the odd one?", ["the first", "the second"])'
RECORD = 'lesson.record("Asked.")'
REVEAL = 'lesson.reveal(guess, "the second", because="It was measured.")'
BREAK = """[setattr(explorers, "kept", explorers.ReconstructionExplorer.summary),
            setattr(explorers.ReconstructionExplorer, "summary", None)]"""
MEND = 'setattr(explorers.ReconstructionExplorer, "summary", explorers.kept)'
RERUN = """cell => {
  const {content} = window.jupyterapp.shell.currentWidget;
  content.activeCellIndex = (cell + content.widgets.length) % content.widgets.length;
  return window.jupyterapp.commands.execute('notebook:run-cell')}"""


@pytest.fixture(scope="module")
def desk(lab, run_notebook, detector_file):
    """Return hands on each explorer in the page, and the same explorers here."""
    setup = DETECTOR.format(path=detector_file) + SCORES
    cells = [setup + LESSON + cut(), *EXPLORERS.values(), PREDICT, RECORD, REVEAL]
    write_notebook(lab.folder / "explorers.ipynb", *cells)
    names = {}
    exec(setup, names)
    page = run_notebook("explorers.ipynb")
    page.wait_for_selector("text=The answer appears here when you have committed your prediction")
    page.set_default_timeout(ANSWER)
    hands = {name: Hands(page, nth) for nth, name in enumerate(EXPLORERS)}
    here = {name: eval(source, names) for name, source in EXPLORERS.items()}
    yield SimpleNamespace(page=page, hands=hands, here=here, results=lab.folder / "recorded/results.json")
    leave(page)


def test_the_threshold_follows_the_slider(desk):
    hands, here = desk.hands["threshold"], desk.here["threshold"]
    hands.sees(here.summary())
    hands.press(".noUi-handle", *["ArrowRight"] * 6)
    here.slider.value += 6 * 0.5
    hands.sees(here.summary())
    hands.sees_image("Test images whose scores are nearest", here.to_image())
    line = "k => document.querySelectorAll('.advad-explorer .js-plotly-plot')[0].layout.shapes[0].x0"
    assert desk.page.evaluate(line) == pytest.approx(here.threshold)
    hands.check_looks(SHOTS / "threshold.png")


def test_the_reconstruction_follows_the_slider(desk):
    hands, here = desk.hands["reconstruction"], desk.here["reconstruction"]
    hands.press(".noUi-handle", "ArrowRight", "ArrowRight")
    here.slider.value += 2
    hands.sees(here.summary())
    hands.sees_image("Input, reconstructions, differences", here.to_image())
    hands.check_looks(SHOTS / "reconstruction.png")


def test_an_error_in_a_callback_shows_in_its_explorers_panel_until_an_answer_succeeds(desk):
    hands, here = desk.hands["reconstruction"], desk.here["reconstruction"]
    panel = hands.root.locator(".advad-errors")
    desk.page.evaluate(ASK, BREAK)
    hands.press(".noUi-handle", "ArrowRight")
    panel.get_by_text("TypeError: 'NoneType' object is not callable").first.wait_for()
    hands.root.screenshot(path=SHOTS / "error.png")
    desk.page.evaluate(ASK, MEND)
    hands.press(".noUi-handle", "ArrowLeft")
    expect(panel).to_have_text("", timeout=ANSWER)
    hands.sees(here.summary())
    hands.check_looks(SHOTS / "reconstruction.png")


def test_the_occlusion_map_follows_its_slider_and_buttons(desk):
    hands, here = desk.hands["occlusion"], desk.here["occlusion"]
    hands.press(".noUi-handle", "ArrowRight")
    here.slider.value += 1
    hands.sees(here.summary())
    hands.press_button("2")
    hands.press_button("grey")
    here.patch.value, here.fill.value = 2, 0.5
    hands.sees(here.summary())
    hands.sees_image("An image, its reconstruction and its occlusion map", here.to_image())
    hands.check_looks(SHOTS / "occlusion.png")


def test_the_outline_follows_the_threshold_and_the_image(desk):
    hands, here = desk.hands["map"], desk.here["map"]
    hands.press(".noUi-handle", "ArrowRight", "ArrowRight")
    here.slider.value += 2
    hands.sees(here.summary())
    hands.press(".noUi-handle", *["ArrowRight"] * 8, nth=1)
    here.share.value += 8 * 0.1
    hands.sees(here.summary())
    hands.sees_image("An image, its anomaly map, and the outline", here.to_image())
    hands.check_looks(SHOTS / "map.png")


def test_the_shortcuts_follow_their_boxes_and_buttons(desk):
    hands, here = desk.hands["shortcuts"], desk.here["shortcuts"]
    plot = 1  # in the page; the threshold's is the first

    def sees_all():
        hands.sees(here.summary())
        for trace in range(4):
            hands.sees_curve(plot, trace, here.plot.data[trace].y)

    sees_all()
    hands.press("input[type=checkbox]", "Space", nth=2)
    list(here.boxes.values())[2].value = True
    sees_all()
    hands.press_button("balanced accuracy")
    here.measure.value = 1
    sees_all()
    hands.press_button("every shortcut")
    here.all.click()
    sees_all()
    assert hands.root.locator("input[type=checkbox]:checked").count() == 8
    hands.check_looks(SHOTS / "shortcuts.png")
    hands.press_button("honest")
    here.none.click()
    sees_all()


def test_the_prior_game_follows_its_slider_and_buttons(desk):
    hands, here = desk.hands["game"], desk.here["game"]
    plane, distances = 2, 3  # in the page

    def sees_all():
        hands.sees(here.summary())
        for trace in range(3):
            hands.sees_curve(plane, trace, here.plane.data[trace].x, axis="x")
            hands.sees_curve(plane, trace, here.plane.data[trace].y)
        for trace in range(2):
            hands.sees_curve(distances, trace, here.distances.data[trace].y)

    sees_all()
    hands.press(".noUi-handle", "ArrowRight")
    here.strength.value = 1
    sees_all()
    hands.press_button("batch norm: none")
    here.variant.value = "batch norm: none"
    sees_all()
    hands.check_looks(SHOTS / "game.png")


def test_the_attack_follows_its_sliders_and_buttons(desk):
    hands, here = desk.hands["attack"], desk.here["attack"]
    plot = 4  # in the page

    def sees_all():
        hands.sees(here.summary())
        hands.sees_image("The image as it is and attacked, the amplified change", here.table())
        for trace in range(3):
            hands.sees_curve(plot, trace, here.plot.data[trace].y)

    sees_all()
    hands.press(".noUi-handle", "ArrowRight", nth=0)
    here.picker.value += 1
    hands.press(".noUi-handle", *["ArrowRight"] * 4, nth=1)
    here.radius.value = here.radii[4]
    sees_all()
    hands.press_button("far end, then APGD")
    here.attack.value = "far end, then APGD"
    sees_all()
    hands.press(".noUi-handle", *["ArrowLeft"] * 12, nth=2)
    here.frame.value -= 12
    sees_all()
    hands.press_button("lower the score")  # which has no far end
    here.direction.value = "lower"
    sees_all()
    hands.check_looks(SHOTS / "attack.png")


def test_the_frames_of_an_attack_play_by_themselves(desk):
    hands, here = desk.hands["attack"], desk.here["attack"]
    hands.press(".noUi-handle", "Home", nth=2)
    here.frame.value = 0
    hands.sees(here.summary())
    press(hands.root.locator("button:has(.fa-play)"))
    here.frame.value = here.frame.max
    hands.sees(here.summary())


def test_a_prediction_is_committed_then_revealed_and_recorded(desk):
    page = desk.page
    commit = page.get_by_role("button", name="Commit my prediction")
    assert commit.is_disabled()
    page.get_by_label("the second").first.check()
    press(commit)
    page.get_by_text("Predicted: the second. It is: the second. It was measured.").first.wait_for()  # by itself
    page.get_by_text("The answer appears here").wait_for(state="detached")
    assert page.get_by_role("button", name="Commit my prediction").count() == 0
    (recorded,) = json.loads(desk.results.read_text())["predictions"]
    assert (recorded["chosen"], recorded["truth"]) == ("the second", "the second")
    page.locator(".jp-OutputArea-output", has=page.get_by_text("As predicted")).first.screenshot(
        path=SHOTS / "predict.png"
    )
    assert page.locator(ROOT).count() == len(EXPLORERS)


def test_a_cell_that_runs_again_leaves_no_widgets_of_its_old_explorer(desk):
    page, cell = desk.page, 1 + list(EXPLORERS).index("threshold")
    before = page.evaluate(ASK, WIDGETS)
    for _ in range(2):
        old = desk.hands["threshold"].root.element_handle()
        page.evaluate(RERUN, cell)
        old.wait_for_element_state("hidden")
        desk.hands["threshold"].root.locator(".js-plotly-plot .legend").first.wait_for()
        desk.hands["threshold"].rest()
        assert page.evaluate(ASK, WIDGETS) == before
    assert page.locator(ROOT).count() == len(EXPLORERS)
