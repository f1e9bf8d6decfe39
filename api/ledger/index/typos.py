"""Typing errors: what else was probably meant by a text that is typed."""

from collections.abc import Sequence
from string import ascii_lowercase

from api.ledger.index.words import Forms

# Shorter words have too many neighbours, and all spellings of longer texts would take too long to look up.
FEWEST, MOST = 4, 24

# The words of a phrase, each with its possible beginnings.
Beginnings = Sequence[Sequence[str]]


def one_error(typed: str) -> tuple[str, ...]:
    """Return the beginnings of the words that differ from a typed beginning by one letter.

    A letter is missing, too many, another one, or swapped with the next (F. J. Damerau, "A technique for computer detection and
    correction of spelling errors", Communications of the ACM, 1964).
    """
    halves = [(typed[:n], typed[n:]) for n in range(len(typed))]
    shorter = typed[:-1]
    others = {
        *(start + end[1:] for start, end in halves),
        *(start + end[1] + end[0] + end[2:] for start, end in halves[:-1]),
        *(start + letter + end[rest:] for start, end in halves for letter in ascii_lowercase for rest in (0, 1)),
    }
    # Whatever begins with all letters but the last is found by these alone.
    return (shorter, *sorted(other for other in others if not other.startswith(shorter)))


def misspelled(forms: Forms) -> list[Beginnings]:
    """Return each form once for each of its words, with the beginnings that this word can have if it has an error."""
    return [
        [one_error(word) if place == wrong else (word,) for place, word in enumerate(phrase)]
        for phrase in forms
        if sum(map(len, phrase)) <= MOST
        for wrong, word in enumerate(phrase)
        if len(word) >= FEWEST
    ]
