"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import advad

PACKAGE = Path(advad.__file__).parent
WITH_EXAMPLES = [path for path in sorted(PACKAGE.rglob("*.py")) if "\n    >>> " in path.read_text(encoding="utf-8")] + [
    path for path in sorted(PACKAGE.rglob("*.py")) if "\n        >>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", sorted(set(WITH_EXAMPLES)), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_examples_of_a_file(path):
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
