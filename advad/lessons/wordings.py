"""Texts that the findings of several lessons share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def listed(values: Mapping[str, Any], form: str = "{} {:.3f}", separator: str = ", ") -> str:
    """Return one text for each name and its value, joined.

    Parameters
    ----------
    values : mapping of str to object
        A tuple or list counts as several values.
    form : str
        As of `str.format`, of the name and the value or values: {0} is the name, {1} the first value.
    separator : str
        What stands between two texts.

    Examples
    --------
    >>> listed({"AE": 0.8125, "ARAE": 0.9})
    'AE 0.812, ARAE 0.900'
    >>> listed({"AE": (0.05, 0.6), "ARAE": (0.05, 0.1)}, "from {1:.0%} to {2:.0%} ({0})", "; ")
    'from 5% to 60% (AE); from 5% to 10% (ARAE)'
    """
    parts = {name: value if isinstance(value, (tuple, list)) else (value,) for name, value in values.items()}
    return separator.join(form.format(name, *part) for name, part in parts.items())
