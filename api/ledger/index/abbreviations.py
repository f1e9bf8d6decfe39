"""Abbreviations in names: `St. Paul` and `Saint Paul` are one name, but `Main St.` is no saint.

The next letter decides: an abbreviation is part of a name before a capital, and in a text without capitals before any letter.
So `Main St. Station` has a saint, which costs a search for `saint` a wrong result; `Port St. Lucie` looks the same.
"""

import re
from collections.abc import Collection, Mapping

import regex

NAMES = {"st": "saint", "ft": "fort", "mt": "mount"}
SHORT = {name: short for short, name in NAMES.items()}
# `re` is several times as fast as `regex` to see that a text has none.
ANY = re.compile(rf"\b(?:{'|'.join(NAMES)})\b", re.IGNORECASE)
BEFORE_A_CAPITAL, BEFORE_A_LETTER, ANYWHERE = (
    regex.compile(rf"(?<![\p{{L}}\p{{N}}\p{{M}}'])(?i:({'|'.join(NAMES)})){rest}", regex.VERSION1)
    for rest in (r"(?:\.\s*|\s+)(?=\p{Lu})", r"(?:\.\s*|\s+)(?=\p{L})", r"(?![\p{L}\p{N}\p{M}])\.?")
)


def written_out(text: str) -> str:
    """Return a text with the abbreviations of its names written out."""
    return _pattern(text).sub(_name, text) if ANY.search(text) else text


def readings(text: str) -> Collection[str]:
    """Return the meanings of a text that is searched: with no abbreviation written out, with those of names, and with all."""
    return dict.fromkeys([text, written_out(text), ANYWHERE.sub(_name, text)]) if ANY.search(text) else [text]


def places(text: str) -> Mapping[int, str]:
    """Return the words for which the abbreviations in the names of a text stand, by their places."""
    return {match.start(): NAMES[match[1].casefold()] for match in _pattern(text).finditer(text)}


def _pattern(text: str) -> regex.Pattern[str]:
    return BEFORE_A_LETTER if text == text.lower() else BEFORE_A_CAPITAL


def _name(abbreviation: regex.Match[str]) -> str:
    return f"{NAMES[abbreviation[1].casefold()]} "
