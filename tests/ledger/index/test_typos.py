"""Typing errors: the beginnings that are one error away from a typed one."""

from functools import lru_cache
from itertools import product

import pytest

from api.ledger.index.typos import FEWEST, MOST, misspelled, one_error


@lru_cache
def distance(left: str, right: str) -> int:
    """Return how many letters are missing, too many, other ones or swapped with the next (optimal string alignment)."""
    if not left or not right:
        return len(left) + len(right)
    steps = [
        distance(left[1:], right) + 1,
        distance(left, right[1:]) + 1,
        distance(left[1:], right[1:]) + (left[0] != right[0]),
    ]
    if left[:2] == right[1::-1]:
        steps.append(distance(left[2:], right[2:]) + 1)
    return min(steps)


@pytest.mark.parametrize("typed", ["abca", "aabb", "abcba", "ccc"])
def test_one_error(typed: str) -> None:
    """A word begins with one of the beginnings if, and only if, one of its own is at most one error away from what was typed."""
    starts = one_error(typed)
    for word in ("".join(letters) for length in range(7) for letters in product("abc", repeat=length)):
        near = any(distance(typed, word[:end]) <= 1 for end in range(len(word) + 1))
        assert (word, word.startswith(starts)) == (word, near)


def test_one_word_has_the_error() -> None:
    """Each word in turn can have the error, but a short one; a text that is too long has none."""
    assert misspelled((("san", "diego"),)) == [[("san",), one_error("diego")]]
    assert misspelled((("data", "diego"),)) == [[one_error("data"), ("diego",)], [("data",), one_error("diego")]]
    assert misspelled((("a" * (FEWEST - 1),), ("a" * (MOST + 1),))) == []
