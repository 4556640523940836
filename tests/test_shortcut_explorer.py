"""The shortcut explorer answers each box: the means, the classes, the sentence and the picture follow."""

import html

import numpy as np
import pytest

from advad.analysis.shortcuts import SWITCHES, Shortcuts, Trials
from advad.lab.shortcut_explorer import LABELS, ShortcutExplorer


@pytest.fixture
def trials():
    rng = np.random.default_rng(0)
    values = rng.uniform(0.45, 0.9, size=(4, 3, 2, 4, 3))
    values[:, :, :, 3] -= 0.4  # the fourth class is below chance
    return Trials(values)


@pytest.fixture
def explorer(trials):
    return ShortcutExplorer(trials, ["0", "1", "2", "3"], published=("a paper", 0.98))


def test_there_is_a_box_for_each_shortcut():
    assert tuple(LABELS) == SWITCHES


def test_it_starts_honest(explorer, trials):
    honest = trials.report(Shortcuts())
    assert explorer.sentence() == (
        f"Honest: AUROC {honest.auroc:.3f}, balanced accuracy {honest.bacc:.3f}, means over 4 classes."
    )
    each, moved, base, mean, beside = explorer.plot.data
    assert np.array_equal(each.y, honest.aurocs)
    assert np.array_equal(moved.y, honest.aurocs)
    assert list(base.y) == list(mean.y) == [honest.auroc] * 2
    assert list(beside.y) == [0.98] * 2


@pytest.mark.parametrize("name", SWITCHES)
def test_each_box_is_answered(explorer, trials, name):
    explorer.boxes[name].value = True
    now = trials.report(Shortcuts(**{name: True}))
    assert LABELS[name] in explorer.sentence()
    assert f"becomes {now.auroc:.3f}" in explorer.sentence()
    assert html.escape(explorer.sentence()) in explorer.text.value
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
    assert f"means over {kept} of 4 classes" in explorer.sentence()
    assert f"(n = {kept}; ✕ dropped)" in explorer.plot.data[3].name


def test_the_class_order_alone_is_said_to_change_nothing(explorer):
    explorer.boxes["class_order"].value = True
    assert "In evaluation mode the order of the images changes nothing." in explorer.sentence()
    explorer.boxes["batch_statistics"].value = True
    assert "changes nothing" not in explorer.sentence()


def test_two_buttons_tick_all_or_none(explorer, trials):
    explorer.all.click()
    assert all(box.value for box in explorer.boxes.values())
    everything = trials.report(Shortcuts(**dict.fromkeys(SWITCHES, True)))
    assert list(explorer.plot.data[3].y) == [everything.auroc] * 2
    before = explorer.twin()
    explorer.none.click()
    assert explorer.ticked() == Shortcuts()
    assert np.asarray(before).tobytes() != np.asarray(explorer.twin()).tobytes()


def test_an_error_shows_in_its_panel(explorer):
    explorer.trials = None
    with pytest.raises(AttributeError):
        explorer.boxes["best_epoch"].value = True  # without a kernel, the panel lets the error through


def test_names_that_do_not_belong_are_refused(trials):
    with pytest.raises(ValueError, match="ShortcutExplorer: names must have 4 entries, one a class; got"):
        ShortcutExplorer(trials, ["0"])
