"""How letters fold: a text without case, accents and characters that nobody sees, so that different spellings compare equal."""

import unicodedata

import regex
from anyascii import anyascii

# Every character that people type for an apostrophe, or between the parts of a word, and the spaces that separate thousands.
SPELLINGS = {
    **dict.fromkeys("'`\u00b4\u1ffd\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb", "'"),
    **dict.fromkeys("\u2018\u2019\u201b\u2032\u2035\ua78c\uff07\uff40", "'"),
    **dict.fromkeys("-\u00b7\u2010\u2011\u2012\u2013\u2027\u2212\ufe63\uff0d", "-"),
    **dict.fromkeys("\u00a0\u2007\u2009\u202f", "\u00a0"),
    # Their compatibility forms are letters.
    **dict.fromkeys("™℠", " "),
}
# Accents, and characters without a width. The marks of other scripts, such as ガ and क़ have, make a different letter.
DROPPED = regex.compile(
    r"[\p{Default_Ignorable_Code_Point}"
    r"[\p{M}&&[\p{Inherited}\p{Latin}\p{Greek}\p{Cyrillic}\p{Hebrew}\p{Arabic}\p{Syriac}]--[\u3099\u309a]]]",
    regex.VERSION1,
)
# No part of a word, and not between the parts of one.
OTHER = regex.compile(r"[^\p{L}\p{N}\p{M}'.,\u00a0-]")
LATIN = regex.compile(r"\p{Latin}")
# At most this number of folded characters are kept; texts in the languages of a dataset need fewer.
MAX_FOLDS = 8_192


class _Folds(dict[int, str]):
    """Maps a code point to its folded text, computed when it is needed; every character folds by itself."""

    def __missing__(self, code: int) -> str:
        """Fold one character."""
        folded = _folded(chr(code))
        # All characters that there are would take 150 MB.
        if len(self) >= MAX_FOLDS:
            self.clear()
        return self.setdefault(code, folded)


FOLDS = _Folds()


def fold(text: str) -> str:
    """Return a text without case, accents, compatibility forms (NFKD) and invisible characters, and with spaces for signs."""
    return ordered(text.translate(FOLDS))


def ordered(folded: str) -> str:
    """Return a folded text with its marks in the order of their classes; its length stays, because it is decomposed."""
    return unicodedata.normalize("NFD", folded)


def _folded(character: str) -> str:
    if character in SPELLINGS:
        return SPELLINGS[character]
    if DROPPED.match(character):
        return ""
    pieces = unicodedata.normalize("NFKD", character).casefold()
    if pieces != character:
        return pieces.translate(FOLDS)
    if OTHER.match(character):
        return " "
    # Letters such as ł and ø have no decomposition.
    ascii = anyascii(character).casefold() if not character.isascii() and LATIN.match(character) else ""
    return ascii if ascii.isalnum() else character
