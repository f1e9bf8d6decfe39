"""What `make test` shortens: `make test-slow` tries every case of a table, and all examples of a property."""

import random
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import hypothesis
import pytest

SHORT, LONG = "short", "long"
Case = TypeVar("Case")
# A slow machine is no fault of the code.
hypothesis.settings.register_profile(SHORT, deadline=None, max_examples=25)
hypothesis.settings.register_profile(LONG, deadline=None, max_examples=100)


def is_long() -> bool:
    """Tell whether this is the long run."""
    return hypothesis.settings.get_current_profile_name() == LONG


def examples(number: int) -> int:
    """Return how many examples of a property to try: all of them in the long run, otherwise a quarter."""
    return number if is_long() else -(-number // 4)


class Sample(Protocol):
    """The fixture `sample`."""

    def __call__(self, cases: Sequence[Case], number: int, /) -> Sequence[Case]:
        """Return what `sampled` returns."""


def sampled(cases: Sequence[Case], number: int) -> Sequence[Case]:
    """Return the cases of a loop: all of them in the long run, otherwise ``number`` of them, by the seed that pytest prints."""
    return cases if is_long() else random.sample(cases, min(number, len(cases)))


def few(cases: Iterable[Any], *kept: Any) -> list[Any]:
    """Return the cases of a test: `make test` runs only the ``kept`` ones, and `make test-slow` the others."""
    return [case if case in kept else late(case) for case in cases]


def late(*values: Any) -> Any:
    """Return a case that only `make test-slow` runs."""
    return pytest.param(*values, marks=pytest.mark.slow)
