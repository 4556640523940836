"""The examples in docstrings run, and what a reader meets first has one."""

import doctest
import importlib
from pathlib import Path

import pytest

import advad

PACKAGE = Path(advad.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
METRICS = ["auroc", "auprc", "fpr_at_tpr", "f1_at", "best_f1", "balanced_accuracy", "threshold_at", "bootstrap"]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what an example writes is not left in the checkout
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(module), optionflags=flags)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_an_example(name):
    assert ">>> " in getattr(advad, name).__doc__
