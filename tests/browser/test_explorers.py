"""The other explorers and the prediction in one notebook of JupyterLab: each control, and Python's answer to it."""

import json
from types import SimpleNamespace

import pytest

from tests.browser.conftest import ANSWER, DETECTOR, cut, write_notebook
from tests.browser.hands import ROOT, SHOTS, Hands, press

SCORES = """
scores, holdout_scores = detector.anomaly_score(split.test), detector.anomaly_score(split.holdout)
made = detector.reconstruct(split.test[:9])
"""
EXPLORERS = {
    "threshold": "explorers.ThresholdExplorer(split.test, scores, split.test_is_anomaly, holdout_scores)",
    "reconstruction": """explorers.ReconstructionExplorer(
    split.test[:9], [str(label) for label in split.test_labels[:9].tolist()], {"AE": made}, {"AE": scores[:9]}
)""",
    "occlusion": """explorers.OcclusionExplorer(
    {"AE": detector}, split.test[:9].numpy(), [str(label) for label in split.test_labels[:9].tolist()]
)""",
}
LESSON = """
from advad.lab import lesson
lesson.start("browser", parameters={"device": "cpu"}, output_dir="recorded")
"""
PREDICT = 'guess = lesson.predict("Which is the odd one?", ["the first", "the second"])'
RECORD = 'lesson.record("Asked.")'
REVEAL = 'lesson.reveal(guess, "the second", because="It was measured.")'
RERUN = """() => {
  const {content} = window.jupyterapp.shell.currentWidget;
  content.activeCellIndex = content.widgets.length - 1;
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
    page.wait_for_selector("text=Commit a prediction above, then run this cell again.")
    page.set_default_timeout(ANSWER)
    hands = {name: Hands(page, nth) for nth, name in enumerate(EXPLORERS)}
    here = {name: eval(source, names) for name, source in EXPLORERS.items()}
    yield SimpleNamespace(page=page, hands=hands, here=here, results=lab.folder / "recorded/results.json")
    page.close()


def test_the_threshold_follows_the_slider(desk):
    hands, here = desk.hands["threshold"], desk.here["threshold"]
    hands.sees(here.sentence())
    hands.press(".noUi-handle", *["ArrowRight"] * 6)
    here.slider.value += 6 * 0.5
    hands.sees(here.sentence())
    hands.sees_picture("Test images whose scores are nearest", here.twin())
    line = "k => document.querySelectorAll('.advad-explorer .js-plotly-plot')[0].layout.shapes[0].x0"
    assert desk.page.evaluate(line) == pytest.approx(here.threshold)
    hands.check_looks(SHOTS / "threshold.png")


def test_the_reconstruction_follows_the_slider(desk):
    hands, here = desk.hands["reconstruction"], desk.here["reconstruction"]
    hands.press(".noUi-handle", "ArrowRight", "ArrowRight")
    here.slider.value += 2
    hands.sees(here.sentence())
    hands.sees_picture("Input, reconstructions, differences", here.twin())
    hands.check_looks(SHOTS / "reconstruction.png")


def test_the_occlusion_map_follows_its_slider_and_buttons(desk):
    hands, here = desk.hands["occlusion"], desk.here["occlusion"]
    hands.press(".noUi-handle", "ArrowRight")
    here.slider.value += 1
    hands.sees(here.sentence())
    hands.press_button("2")
    hands.press_button("grey")
    here.patch.value, here.fill.value = 2, 0.5
    hands.sees(here.sentence())
    hands.sees_picture("A picture, its reconstruction and its occlusion map", here.twin())
    hands.check_looks(SHOTS / "occlusion.png")


def test_a_prediction_is_committed_then_revealed_and_recorded(desk):
    page = desk.page
    commit = page.get_by_role("button", name="Commit my prediction")
    assert commit.is_disabled()
    page.get_by_label("the second").first.check()
    press(commit)
    page.get_by_text("✓ Committed: the second. Go on to see.").wait_for()
    page.evaluate(RERUN)
    page.get_by_text("Predicted: the second. It is: the second. It was measured.").first.wait_for()
    (recorded,) = json.loads(desk.results.read_text())["predictions"]
    assert (recorded["chosen"], recorded["truth"]) == ("the second", "the second")
    page.locator(".jp-OutputArea-output", has=page.get_by_text("Committed")).first.screenshot(
        path=SHOTS / "predict.png"
    )
    assert page.locator(ROOT).count() == len(EXPLORERS)
