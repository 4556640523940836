"""The contamination explorer in JupyterLab: both sliders by keyboard, a switch of method, all views answer."""

from tests.browser.hands import SHOTS

EXPLORER = """
def at(rate, seed):
    return advad.one_class(advad.load("digits"), normal=8, contamination=rate, seed=seed, test_size=240)
def runs_of(method):
    make = lambda seed: method(epochs=4, latent_dim=8, widths=(64,), batch_size=32, seed=seed, device="cpu")
    return explorers.contaminated_runs(make, at, rates=(0, 0.05, 0.2), seeds=(0, 1), epochs=(1, 2, 4))
explorer = explorers.ContaminationExplorer({"AE": runs_of(advad.AE), "DAE": runs_of(advad.DAE)})
explorer
"""
STRIP = "The anomalies with the lowest scores"
RATE, EPOCH = 0, 1  # the sliders, from left to right


def sees_all(hands, here):
    hands.sees(here.summary())
    hands.sees_image(STRIP, here.strip())
    for plot, figure in enumerate((here.roc, here.histograms)):
        for trace, drawn in enumerate(figure.data):
            hands.sees_curve(plot, trace, drawn.y)
    traces = [*here.roc.data, *here.histograms.data]
    names = [trace.name for trace in traces if trace.showlegend is not False]
    assert hands.root.locator(".legendtext").all_text_contents() == names


def test_it_shows_what_python_has(explorer):
    hands, here = explorer
    sees_all(hands, here)
    hands.check_looks(SHOTS / "contamination.png")


def test_the_arrow_keys_move_the_rate(explorer):
    hands, here = explorer
    for _ in range(2):
        here.rate.value -= 1
        hands.press(".noUi-handle", "ArrowLeft", nth=RATE)
        sees_all(hands, here)
    assert here.summary().startswith("AE, α = 0%")
    hands.check_looks(SHOTS / "contamination_clean.png")
    here.rate.value = 2
    hands.press(".noUi-handle", "End", nth=RATE)
    sees_all(hands, here)


def test_the_arrow_keys_move_the_epoch(explorer):
    hands, here = explorer
    here.epoch.value = 0
    hands.press(".noUi-handle", "Home", nth=EPOCH)
    sees_all(hands, here)
    assert "epoch 1:" in here.summary()
    hands.check_looks(SHOTS / "contamination_early.png")


def test_a_button_switches_the_method(explorer):
    hands, here = explorer
    here.method.value = "DAE"
    hands.press_button("DAE")
    sees_all(hands, here)
    assert here.summary().startswith("DAE, ")
