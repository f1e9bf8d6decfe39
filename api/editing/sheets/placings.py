"""Placings as people write them: a rank, whether it is tied, or words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from api.editing.sheets.questions import ask

WORDS: Mapping[str, int] = {
    word: number
    for number, word in enumerate(
        ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"), 1
    )
}
RANK = re.compile(
    rf"""(?P<before>t(?:ied)?(?:\s+for)?\s*[-.]?\s*|=\s*)?
    (?:\#|no\.?\s*|rank\s+)?
    (?:(?P<number>[0-9]+)\s*(?:st|nd|rd|th)?|(?P<word>{"|".join(WORDS)}))
    (?:\s*place)?
    (?P<after>\s*=|\s*t|[\s,]*\(?(?:tied?|t)\)?)?\.?""",
    re.IGNORECASE | re.VERBOSE,
)
PLACEMENT = re.compile(r"[^\W\d_][^\d_?=#]{1,60}")


@dataclass(frozen=True)
class Placing:
    """A placing; ``tied`` is None if the text does not say that it is tied."""

    rank: int | None = None
    placement: str | None = None
    tied: bool | None = None


def read(text: str) -> Placing:
    """Return the placing that a text gives. Raises Question for one that gives none."""
    if match := RANK.fullmatch(text.strip()):
        rank = int(match["number"]) if match["number"] else WORDS[match["word"].lower()]
        return Placing(rank=rank, tied=True if match["before"] or match["after"] else None)
    if PLACEMENT.fullmatch(text):
        return Placing(placement=text)
    raise ask(text, (), "Write a rank such as `2`, `2nd` or `T-2nd`, or the words of the source, such as `gold`.")
