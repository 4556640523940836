"""The examples in docstrings run, and what a reader meets first has one."""

import doctest
import importlib
from pathlib import Path

import pytest

import advad
from advad import explorers
from advad.engine.base import BaseDetector
from advad.experiments.sweep import sweep

PACKAGE = Path(advad.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
FIRST_MET = [
    *(getattr(advad, name) for name in "auroc auprc fpr_at_tpr f1_at best_f1 balanced_accuracy".split()),
    *(advad.threshold_at, advad.bootstrap, advad.load, advad.one_class, advad.leave_one_out, advad.merged),
    *(advad.Detector.fit, BaseDetector.anomaly_score, BaseDetector.calibrate, sweep),
    *(getattr(explorers, name) for name in explorers.__all__ if name.endswith(("Explorer", "Brush", "Game"))),
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what an example writes is not left in the checkout
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(module), optionflags=flags)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("thing", FIRST_MET, ids=lambda thing: thing.__qualname__)
def test_what_a_reader_meets_first_has_an_example(thing):
    assert thing is explorers.Explorer or ">>> " in thing.__doc__
