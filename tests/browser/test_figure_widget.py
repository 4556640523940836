"""A figure in a page so slow that plotly's script is late: it shows what Python has said meanwhile, and goes on."""

from tests.browser.conftest import DETECTOR, leave, write_notebook
from tests.browser.hands import ANSWER, ROOT, Hands
from tests.browser.test_explorers import EXPLORERS, SCORES

LATE = """Object.defineProperty(globalThis, 'advadPlotly', {
  get() { return this.late },
  set(script) { this.late = script.then(it => new Promise(go => { globalThis.hurry = () => go(it) })) }})"""
AT = """at => Math.abs(document.querySelector('.js-plotly-plot')?.layout?.shapes?.[0]?.x0 - at) < 1e-6"""


def test_what_python_says_before_the_script_is_there_is_not_lost(lab, run_notebook, detector_file):
    setup = DETECTOR.format(path=detector_file) + SCORES
    write_notebook(lab.folder / "late.ipynb", setup, EXPLORERS["threshold"])
    names = {}
    exec(setup, names)
    here = eval(EXPLORERS["threshold"], names)
    page = run_notebook("late.ipynb", LATE)
    page.wait_for_selector(f"{ROOT} .advad-answer")
    page.set_default_timeout(ANSWER)
    hands = Hands(page)

    hands.press(".noUi-handle", *["ArrowRight"] * 4)
    here.slider.value += 4 * 0.5
    hands.sees(here.summary())
    page.wait_for_timeout(2500)  # anywidget's patience with a figure that initialises with its script is 2000
    assert page.locator(f"{ROOT} .js-plotly-plot").count() == 0
    page.evaluate("() => hurry()")
    page.wait_for_function(AT, arg=float(here.threshold))

    hands.press(".noUi-handle", "ArrowLeft")
    here.slider.value -= 0.5
    hands.sees(here.summary())
    page.wait_for_function(AT, arg=float(here.threshold))
    assert page.problems == []
    leave(page)
