"""Lessons in JupyterLab as a reader has them, in their smallest profile: all cells run, and their explorers answer.

For the first lesson, what Python must answer is computed in the kernel without the explorer. For the others, whose
explorers are driven through and through in the tests beside this one, it is enough that a key moves the kernel's
explorer, and that the page then says what the kernel says.
"""

import ast

import nbformat
import pytest

from advad.lessons.catalogue import lessons
from advad.lessons.run import WIDGET
from tests.browser.conftest import ASK, TOKEN, leave, wait_for, write_notebook
from tests.browser.hands import ANSWER, ROOT, SHOTS, Hands

PATHS = {path.stem: path for path in lessons()}
# lesson -> its explorers from top to bottom: the variable, what takes the keys there, the keys
SLIDER = ".noUi-handle"
EXPLORERS = {
    "01_identity_collapse": [("explorer", SLIDER, ["ArrowRight"])],
    "02_contamination": [("rates_explorer", SLIDER, ["Home"]), ("explorer", SLIDER, ["End"])],
    "03_latent_space": [("explorer", SLIDER, ["ArrowRight"])],
    "04_saliency": [
        ("explorer", SLIDER, ["ArrowRight"]),
        ("brush", "canvas", ["ArrowUp", "Space"]),
        ("photo_explorer", SLIDER, ["ArrowRight"]),
    ],
    "05_noise": [("climb", SLIDER, ["ArrowRight"]), ("explorer", SLIDER, ["ArrowRight"])],
    "06_attacks": [("explorer", SLIDER, ["End"])],
    "07_few_labels": [("explorer", SLIDER, ["Home"])],
    "09_your_images": [("explorer", SLIDER, ["End"]), ("map_explorer", SLIDER, ["ArrowRight"])],
    "11_where_anomalies_live": [("game_explorer", SLIDER, ["ArrowRight"])],
}
LONG = ("02_contamination", "06_attacks")  # to run; their explorers are those of other tests, too
FAILED = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"], .jp-RenderedText pre .ansi-red-fg'


@pytest.fixture
def lesson(request, lab, run_notebook):
    """Return the page of a lesson once all its cells have run, and a function that asks its kernel."""
    name = request.param
    source = PATHS[name].read_text(encoding="utf-8")
    assert (default := r'"profile: str = \"lab\"') in source
    smoke = source.replace(default, r'"profile: str = \"smoke\"')
    (lab.folder / PATHS[name].name).write_text(smoke, encoding="utf-8")
    page = run_notebook(f"{name}.ipynb")
    page.get_by_text("Recorded.").last.wait_for()  # by the last cell
    page.set_default_timeout(ANSWER)
    assert page.locator(FAILED).count() == 0
    commit_predictions(page)
    yield page, lambda expression: ast.literal_eval(page.evaluate(ASK, expression))
    leave(page)


def commit_predictions(page):
    """Commit the first option of every prediction; after that nothing is held back any more."""
    buttons = page.get_by_role("button", name="Commit my prediction")
    for left in range(buttons.count(), 0, -1):
        page.locator(".widget-radio input").first.check()
        buttons.first.click()
        wait_for(lambda left=left: buttons.count() == left - 1, ANSWER / 1000, "a prediction is not committed")
    waiting = page.locator(".jp-OutputArea-output").get_by_text("appears here when you have committed")
    wait_for(lambda: waiting.count() == 0, ANSWER / 1000, "something is still held back")


def check_all_looks(page, name, n):
    assert page.locator(ROOT).count() == n
    for k in range(n):
        Hands(page, k).check_looks(SHOTS / f"lesson_{name}_{k}.png")


def sees_another_sentence(hands, ask, explorer, before):
    """Wait until page and kernel say the same, and not what they said before."""

    def same():
        said = ask(f"{explorer}.summary()")
        return said != before and hands.root.get_by_text(said, exact=True).first.is_visible()

    wait_for(same, ANSWER / 1000, f"the page does not say what {explorer} says")


@pytest.mark.parametrize("lesson", ["00_start"], indirect=True)
def test_the_first_lessons_game_and_threshold_answer(lesson):
    page, ask = lesson
    game, threshold = Hands(page, 0), Hands(page, 1)
    for k in (0, 3, 5, 8):
        game.press(".widget-toggle-button", "Space", nth=k)
    game.press_button("Commit my picks")
    mine = ask("sum(split.test_is_anomaly[game.shown[[0, 3, 5, 8]]].tolist())")
    its = ask("sum(split.test_is_anomaly[game.shown[np.argsort(-scores[game.shown])[:4]]].tolist())")
    game.sees(f"You find {mine} of 4 anomalies, the detector {its}; blind picks find 1.3 on average.")

    threshold.press(".noUi-handle", *["ArrowRight"] * 4)
    limit = ask("advad.threshold_at(detector.anomaly_score(split.holdout), 0.07)")
    found, alarms = (
        ask(f"float((scores[{group}split.test_is_anomaly.numpy()] > {limit}).mean())") for group in ("", "~")
    )
    threshold.sees(
        f"Threshold {limit:.4f}: {found:.1%} of the anomalies are found, "
        f"and {alarms:.1%} of the normal test images are false alarms."
    )
    check_all_looks(page, "00", 2)


@pytest.mark.parametrize(
    "lesson",
    [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in EXPLORERS],
    indirect=True,
)
def test_the_other_lessons_explorers_say_what_their_kernel_says(lesson, request):
    page, ask = lesson
    name = request.node.callspec.params["lesson"]
    for nth, (explorer, selector, keys) in enumerate(EXPLORERS[name]):
        hands, before = Hands(page, nth), ask(f"{explorer}.summary()")
        hands.sees(before)
        hands.press(selector, *keys)
        sees_another_sentence(hands, ask, explorer, before)
    check_all_looks(page, name[:2], len(EXPLORERS[name]))


LESSON = [
    """
import advad, numpy as np
import plotly.graph_objects as go
from advad import explorers
from advad.lessons import lesson
lesson.start("00_test", {{"seed": 0, "device": "cpu"}}, output_dir="held")
detector = advad.load_detector({path!r})
split = advad.one_class(advad.load("digits"), normal=8, seed=0, test_size=240)
advad.AE(epochs=2, widths=(8,), device="cpu").fit(split.train)
""",
    'guess = lesson.predict("Up or down?", ["up", "down"])',
    """
lesson.show(go.Figure(go.Scatter(y=[1, 2])), "It goes up by one.", alt="A rising line", after=guess)
lesson.reveal(guess, "up", because="Two is more than one.")
""",
    """
explorer = explorers.ThresholdExplorer(detector, split.test, is_anomaly=split.test_is_anomaly, holdout=split.holdout)
lesson.explore(explorer, alt="Images beside the threshold", after=guess)
""",
    'lesson.record("The line rises.")',
]


def test_a_figure_appears_when_the_prediction_is_committed_and_is_there_the_next_day(
    lab, run_notebook, open_page, detector_file
):
    write_notebook(lab.folder / "held.ipynb", LESSON[0].format(path=detector_file), *LESSON[1:])
    page = run_notebook("held.ipynb")
    page.get_by_text("Recorded.").wait_for()
    page.set_default_timeout(ANSWER)
    cells, outputs = page.locator(".jp-CodeCell"), page.locator(".jp-OutputArea-output")
    plot, fallback = cells.nth(2).locator(".js-plotly-plot"), page.get_by_alt_text("Images beside the threshold")
    assert outputs.get_by_text("Predict first.").count() == 3
    assert plot.count() == page.locator(ROOT).count() == 0
    assert outputs.get_by_text("by one").count() == outputs.get_by_text("The line rises").count() == 0

    page.get_by_label("down", exact=True).check()
    page.get_by_role("button", name="Commit my prediction").click()
    plot.wait_for()
    for text in ("It goes up by one.", "Predicted: down. It is: up. Two is more than one.", "The line rises."):
        outputs.get_by_text(text).wait_for()
    assert outputs.get_by_text("Predict first.").count() == 0
    assert cells.nth(1).get_by_text("Up or down? down").is_visible()
    hands = Hands(page)
    before = page.evaluate(ASK, "explorer.summary()")
    hands.press(SLIDER, "End")
    wait_for(lambda: page.evaluate(ASK, "explorer.summary()") != before, ANSWER / 1000, "the explorer is not alive")
    assert fallback.is_hidden(), "the explorer is alive"

    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")  # what is committed stays
    page.wait_for_function("() => document.querySelectorAll('.jp-InputPrompt')[4].textContent.includes('10')")
    plot.wait_for()
    assert page.get_by_role("button", name="Commit my prediction").count() == 0
    page.screenshot(path=SHOTS / "lesson_predicted.png", full_page=True)
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    leave(page)
    first = nbformat.read(lab.folder / "held.ipynb", as_version=4).cells[0]  # its progress bar is not kept as a widget
    assert first.outputs
    assert not [output for output in first.outputs if WIDGET in output.data]

    page = open_page(f"{lab.url}lab/tree/held.ipynb?token={TOKEN}&reset")
    page.set_default_timeout(ANSWER)
    page.locator(".jp-CodeCell").nth(2).locator(".jp-OutputArea-output img, .js-plotly-plot").first.wait_for()
    page.locator(".jp-OutputArea-output").get_by_text("Predicted: down. It is: up.").wait_for()
    page.get_by_alt_text("Images beside the threshold").wait_for()
    visible = [each for each in page.get_by_text("Error displaying widget").all() if each.is_visible()]
    page.screenshot(path=SHOTS / "lesson_reopened.png", full_page=True)
    assert not visible
    leave(page)
