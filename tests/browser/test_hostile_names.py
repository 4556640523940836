"""Classes and detectors with hostile names, in every explorer that shows names: no script runs, the layout holds."""

from types import SimpleNamespace

import pytest

from tests.browser.conftest import DETECTOR, leave, write_notebook
from tests.browser.hands import ANSWER, ROOT, SHOTS, WIDTHS

HIT = "window.hit = (window.hit || 0) + 1"
NAMES = [
    f"<script>{HIT}</script>",
    f'<img src=x onerror="{HIT}">',
    f'"\'`><svg onload="{HIT}">',
    "two\nlines\tand a tab",
    "long" * 60,
    "שלום \u202e right to left",
    "$\\frac{$ and $math$",
    "100 %s %d {0} %(x)s",
    "emoji 🦄👩‍🔬 &amp; &lt;b&gt;",
    f'</style></script><a href="javascript:{HIT}">a link</a>',
]
SETUP = """
names = {names!r}
where = np.arange(90)
known = dict(labels=split.test_labels[where], classes=names, is_anomaly=split.test_labels[where] != 8)
images = split.test[where]
several = {{names[0]: detector, names[1]: detector, names[4]: detector}}
from advad.analysis.evaluation_pitfalls import EvaluationTable
table = EvaluationTable(np.random.default_rng(0).uniform(0.5, 0.9, size=(4, 3, 2, 10, 3)))
codes = np.random.default_rng(1).normal(size=(2, 240, 2))
def at(rate, seed):
    return advad.one_class(advad.load("digits"), normal=8, contamination=rate, seed=seed, test_size=240)
def ae(seed):
    return advad.AE(epochs=1, latent_dim=2, widths=(4,), seed=seed, device="cpu")
runs = explorers.contaminated_runs(ae, at, rates=(0, 0.1), seeds=(0, 1), epochs=(1,))
groups = {{name: split.test_labels.numpy() == k for k, name in enumerate(names[:4])}}
"""
EXPLORERS = {
    "AttackExplorer": "(several, images, steps=2, queries=3, **known)",
    "ThresholdExplorer": "(several, images, holdout=split.holdout, **known)",
    "GuessingGame": "(several, images, **known)",
    "OcclusionExplorer": "(several, images, patches=(2,), **known)",
    "OcclusionBrush": "(several, images, **known)",
    "NoiseExplorer": "(several, images, strengths=(0, 0.2), **known)",
    "LatentExplorer": "(several, images, **known)",
    "ReconstructionExplorer": "(several, images, **known)",
    "AnomalyMapExplorer": "(several, images, masks=(images[:, 0] > 200), **known)",
    "EvaluationPitfallsExplorer": "(table, names)",
    "ContaminationExplorer": "({names[0]: runs, names[4]: runs})",
    "AAEPriorExplorer": "({names[0]: codes, names[4]: codes}, (1e-4, 1e-3), groups)",
}
ELEMENTS = """() => [...document.querySelectorAll('.advad-explorer')].flatMap(root =>
  [...root.querySelectorAll('script, [onerror], [onload], a[href^="javascript"]')].map(e => e.outerHTML))"""
OVERFLOWING = """root => {
  const edge = root.parentElement.getBoundingClientRect().right + 1, found = [];
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const owner = texts.currentNode.parentElement, range = document.createRange();
    if (!owner.checkVisibility() || owner.closest('svg, button, select, style')) continue;  // these clip their text
    range.selectNodeContents(texts.currentNode);
    if ([...range.getClientRects()].some(box => box.right > edge)) found.push(texts.currentNode.data.slice(0, 60))}
  for (const element of root.querySelectorAll('button, select, img, .js-plotly-plot'))
    if (element.checkVisibility() && element.getBoundingClientRect().right > edge) found.push(element.className);
  return found}"""
PRESSES = """root => {
  for (const b of [...root.querySelectorAll('.widget-toggle-button')].slice(0, 12)) b.click();
  for (const s of root.querySelectorAll('select')) {
    s.selectedIndex = s.options.length - 1; s.dispatchEvent(new Event('change', {bubbles: true}))}}"""


@pytest.fixture(scope="module")
def desk(lab, run_notebook, detector_file):
    """Return a page with every explorer in it."""
    setup = DETECTOR.format(path=detector_file) + SETUP.format(names=NAMES)
    write_notebook(lab.folder / "hostile.ipynb", setup, *(f"explorers.{k}{call}" for k, call in EXPLORERS.items()))
    page = run_notebook("hostile.ipynb")
    page.wait_for_function(f"() => document.querySelectorAll('{ROOT}').length == {len(EXPLORERS)}")
    page.set_default_timeout(ANSWER)
    yield SimpleNamespace(page=page, roots=page.locator(ROOT))
    leave(page)


def test_no_script_of_a_name_runs_and_no_name_becomes_an_element(desk):
    for nth in range(len(EXPLORERS)):
        desk.roots.nth(nth).evaluate(PRESSES)
    desk.page.wait_for_function("() => !window.unanswered?.size")
    assert desk.page.evaluate("() => window.hit") is None
    assert desk.page.evaluate(ELEMENTS) == []
    assert desk.page.problems == []
    assert desk.page.locator(".advad-errors .jp-RenderedText, .advad-errors pre").all_text_contents() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_name_does_not_break_the_layout(desk, width):
    desk.page.set_viewport_size({"width": {850: 1280, 570: 1000}[width], "height": 1100})
    desk.page.wait_for_timeout(500)
    for nth, name in enumerate(EXPLORERS):
        root = desk.roots.nth(nth)
        root.scroll_into_view_if_needed()
        root.screenshot(path=SHOTS / f"hostile-{name}-{width}.png")
        assert root.evaluate(OVERFLOWING) == [], name
