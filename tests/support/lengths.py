"""What `make test` shortens: `make test-slow` tries every case of a table, and all examples of a property."""

from collections.abc import Iterable
from typing import Any

import hypothesis
import pytest

SHORT, LONG = "short", "long"
# A slow machine is no fault of the code.
hypothesis.settings.register_profile(SHORT, deadline=None, max_examples=35)
hypothesis.settings.register_profile(LONG, deadline=None, max_examples=100)


def examples(number: int) -> int:
    """Return how many examples of a property to try: all of them in the long run, otherwise a third."""
    return number if hypothesis.settings.get_current_profile_name() == LONG else -(-number // 3)


def few(cases: Iterable[Any], *kept: Any) -> list[Any]:
    """Return the cases of a test: `make test` runs only the ``kept`` ones, and `make test-slow` the others."""
    return [case if case in kept else late(case) for case in cases]


def late(*values: Any) -> Any:
    """Return a case that only `make test-slow` runs."""
    return pytest.param(*values, marks=pytest.mark.slow)
