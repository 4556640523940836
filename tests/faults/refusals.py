"""What every test of faults asks of a refusal: one line, of a kind that a caller can catch."""

from collections.abc import Callable
from typing import Any

import pytest


def refusal(call: Callable[[], Any], *kinds: type[Exception], of: str = "", length: int = 600) -> str:
    """Return the line with which `call` refuses: a ValueError, unless other `kinds` are given, that names `of`.

    Fails where it does not refuse, raises another kind of error, says nothing, or says more than a line.
    """
    with pytest.raises(kinds or ValueError) as caught:
        call()
    assert type(caught.value).__module__ in ("builtins", "advad.lessons.parameters"), repr(caught.value)
    text = str(caught.value)
    assert text.strip()
    assert "\n" not in text
    assert of in text
    assert len(text) < length
    return text
