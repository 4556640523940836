"""The test that an error is one line which says what, the rule, and what was given."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

Causes = Mapping[str, Callable[[], Any]]  # how the message begins -> what causes it


def one_line_errors(value_errors: Causes, type_errors: Causes) -> Callable[..., None]:
    """Return a test over all these errors, to be given a name that begins with "test"."""
    cases = [(ValueError, *item) for item in value_errors.items()]
    cases += [(TypeError, *item) for item in type_errors.items()]

    @pytest.mark.parametrize(("error", "message", "cause"), cases, ids=[message for _, message, _ in cases])
    def test(error, message, cause):
        with pytest.raises(error) as caught:
            cause()
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)

    return test
