"""The shortcut explorer answers each box: the means, the classes, the sentence and the image follow."""

import html

import numpy as np
import pytest

from advad.analysis.evaluation_pitfalls import SWITCHES, EvaluationTable, Pitfalls
from advad.explorers.evaluation_pitfalls import LABELS, EvaluationPitfallsExplorer


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    values = rng.uniform(0.45, 0.9, size=(4, 3, 2, 4, 3))
    values[:, :, :, 3] -= 0.4  # the fourth class is below chance
    return EvaluationTable(values)


@pytest.fixture
def explorer(table):
    return EvaluationPitfallsExplorer(table, ["0", "1", "2", "3"], published=("a paper", 0.98))


def test_there_is_a_box_for_each_shortcut():
    assert tuple(LABELS) == SWITCHES


def test_it_starts_honest(explorer, table):
    honest = table.report(Pitfalls())
    assert explorer.summary() == (
        f"Honest: AUROC {honest.auroc:.3f}, balanced accuracy {honest.bacc:.3f}, means over 4 classes."
    )
    each, moved, base, mean, beside = explorer.plot.data
    assert np.array_equal(each.y, honest.aurocs)
    assert np.array_equal(moved.y, honest.aurocs)
    assert list(base.y) == list(mean.y) == [honest.auroc] * 2
    assert list(beside.y) == [0.98] * 2


@pytest.mark.parametrize("name", SWITCHES)
def test_each_box_is_answered(explorer, table, name):
    explorer.boxes[name].value = True
    now = table.report(Pitfalls(**{name: True}))
    assert LABELS[name] in explorer.summary()
    assert f"becomes {now.auroc:.3f}" in explorer.summary()
    assert html.escape(explorer.summary()) in explorer.text.value
    assert list(explorer.plot.data[3].y) == [now.auroc] * 2
    explorer.measure.value = 1
    assert np.array_equal(explorer.plot.data[1].y, now.baccs)
    assert list(explorer.plot.data[3].y) == [now.bacc] * 2
    assert explorer.plot.layout.yaxis.title.text == "balanced accuracy"
    assert not explorer.plot.data[4].visible, "what was published is an AUROC"
    assert not explorer.errors.outputs


def test_a_dropped_class_changes_its_symbol_and_is_counted(explorer):
    explorer.boxes["drop_classes"].value = True
    symbols = list(explorer.plot.data[1].marker.symbol)
    assert symbols[3] == "x"
    kept = symbols.count("diamond")
    assert f"means over {kept} of 4 classes" in explorer.summary()
    assert f"(n = {kept}; ✕ dropped)" in explorer.plot.data[3].name


def test_the_class_order_alone_is_said_to_change_nothing(explorer):
    explorer.boxes["class_order"].value = True
    assert "In evaluation mode the order of the images changes nothing." in explorer.summary()
    explorer.boxes["batch_statistics"].value = True
    assert "changes nothing" not in explorer.summary()


def test_two_buttons_tick_all_or_none(explorer, table):
    explorer.all.click()
    assert all(box.value for box in explorer.boxes.values())
    everything = table.report(Pitfalls(**dict.fromkeys(SWITCHES, True)))
    assert list(explorer.plot.data[3].y) == [everything.auroc] * 2
    before = explorer.to_image()
    explorer.none.click()
    assert explorer.ticked() == Pitfalls()
    assert np.asarray(before).tobytes() != np.asarray(explorer.to_image()).tobytes()


def test_an_error_shows_in_its_panel(explorer):
    explorer.table = None
    with pytest.raises(AttributeError):
        explorer.boxes["best_epoch"].value = True  # without a kernel, the panel lets the error through


def test_names_that_do_not_belong_are_refused(table):
    with pytest.raises(ValueError, match="EvaluationPitfallsExplorer: names must have 4 entries, one a class; got"):
        EvaluationPitfallsExplorer(table, ["0"])
