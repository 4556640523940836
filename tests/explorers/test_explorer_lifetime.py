"""What all explorers owe a notebook: they close when their cell runs again, and an interrupt leaves them usable."""

import sys

import pytest
from ipywidgets.widgets.widget import _instances

from advad import explorers
from advad.explorers import base
from tests.contract.test_contract_explorers import FULL, KINDS, opened


@pytest.fixture
def cell(monkeypatch):
    """Return a function that shows explorers in an execution of a cell, as a notebook does."""
    monkeypatch.setattr(base, "SHOWN", {})
    monkeypatch.setattr(base, "display", lambda view: None)

    def run(names, *shown):
        monkeypatch.setattr(base, "running_cell", lambda: names)
        for explorer in shown:
            explorer._ipython_display_()

    return run


def is_open(explorer):
    return explorer.view.comm is not None


@pytest.mark.parametrize("kind", KINDS)
def test_an_explorer_that_is_closed_leaves_no_widget(kind):
    base_figure = opened("ThresholdExplorer", "AE", FULL)  # brings plotly's script, which all figures share
    before = set(_instances)
    explorer = opened(kind, "AE", FULL)
    if kind not in ("ReconstructionExplorer", "GuessingGame"):
        explorer.detector.value = "first"  # a figure makes room for another
    assert len(_instances) > len(before) + 10
    explorer.close()
    assert set(_instances) == before
    base_figure.close()


def test_a_cell_that_runs_again_closes_what_it_had_shown(cell):
    first, second, other = (opened("OcclusionExplorer", "AE", FULL) for _ in range(3))
    cell(("cell 1", "execution 1"), first)
    cell(("cell 2", "execution 2"), other)
    before = len(_instances)
    cell(("cell 1", "execution 3"), second)
    assert [is_open(explorer) for explorer in (first, second, other)] == [False, True, True]
    assert len(_instances) < before


def test_what_another_cell_still_shows_stays_open(cell):
    first, second = (opened("OcclusionExplorer", "AE", FULL) for _ in range(2))
    cell(("cell 1", "execution 1"), first)
    cell(("cell 2", "execution 2"), first)
    cell(("cell 1", "execution 3"), second)
    assert is_open(first)
    cell(("cell 2", "execution 4"), second)
    assert not is_open(first)
    cell(("cell 2", "execution 5"), second, second)  # shown once more, it is not closed for itself
    assert is_open(second)


def test_where_no_cell_is_named_all_stay_open(cell):
    first, second = (opened("OcclusionExplorer", "AE", FULL) for _ in range(2))
    cell(None, first)
    cell(None, second)
    assert is_open(first)


MOVES = {  # explorer -> its controls, and the values they are moved to, one after another
    "AnomalyMapExplorer": [("slider", 3), ("detector", "first"), ("share", 10.0)],
    "AttackExplorer": [("radius", 0.1), ("detector", "first"), ("frame", 5)],
    "ThresholdExplorer": [("detector", "first"), ("slider", 20.0)],
    "GuessingGame": [("detector_control", "first"), ("detector_control", "second")],
    "OcclusionExplorer": [("slider", 3), ("detector", "first"), ("fill", 1.0)],
    "OcclusionBrush": [("picker", 3), ("fill", 1.0), ("detector", "first"), ("picker", 2)],
    "NoiseExplorer": [("picker", 3), ("detector", "first"), ("rung", 0)],
    "LatentExplorer": [("map_buttons", "tsne"), ("picker", 3), ("detector", "first"), ("set_slider", "lowest scores")],
    "ReconstructionExplorer": [("slider", 3), ("slider", 4)],
}


class Interrupt:
    """Raises KeyboardInterrupt at the nth call of a function of the explorers, as Ctrl-C does somewhere in them."""

    def __init__(self, nth=None):
        self.calls, self.nth = 0, nth

    def __call__(self, frame, event, _):
        if event == "call" and "advad/explorers" in frame.f_code.co_filename:
            self.calls += 1
            if self.calls == self.nth:
                sys.setprofile(None)
                raise KeyboardInterrupt

    def during(self, act):
        sys.setprofile(self)
        try:
            act()
        finally:
            sys.setprofile(None)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_anywhere_in_a_callback_leaves_the_explorer_usable(kind):
    (control, value), *others = MOVES[kind]
    untouched = opened(kind, "AE", FULL)
    counted = Interrupt()
    counted.during(lambda: setattr(getattr(untouched, control), "value", value))
    assert counted.calls > 3
    for other in others:
        getattr(untouched, other[0]).value = other[1]
    for nth in {2, 3, counted.calls // 2, counted.calls}:  # 1 is `answer` itself, outside the panel
        explorer = opened(kind, "AE", FULL)
        with pytest.raises(KeyboardInterrupt):  # a script ends
            Interrupt(nth).during(lambda: setattr(getattr(explorer, control), "value", value))  # noqa: B023
        for other in others:
            getattr(explorer, other[0]).value = other[1]
        assert explorer.summary() == untouched.summary()
        assert explorer.text.value == untouched.text.value
        assert explorer.to_image().tobytes() == untouched.to_image().tobytes()
        assert images_in(explorer) == images_in(untouched)


def images_in(explorer):
    """Return all that an explorer shows as HTML, which holds its images."""
    shown = {id(each): each for each in base.widgets_in(explorer.view)}.values()
    return [each.value for each in shown if isinstance(each, base.widgets.HTML)]


def test_an_interrupt_in_a_kernel_is_told_in_the_panel(monkeypatch, capsys):
    explorer = explorers.EvaluationPitfallsExplorer(table(), range(3))
    monkeypatch.setattr(base, "get_ipython", lambda: object())

    def interrupted():
        raise KeyboardInterrupt

    explorer.guarded(interrupted)()
    assert capsys.readouterr().out == "Interrupted. Move any control to go on.\n"


def table():
    import numpy as np

    from advad.analysis.evaluation_pitfalls import EvaluationTable

    return EvaluationTable(np.full((4, 3, 1, 3, 1), 0.7))
