"""How a text becomes words, how a search is parsed, and which parts of a text it matches.

SQLite and PostgreSQL give the same results because neither of them tokenizes: this module makes the words, and each index
stores them as they are.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TypedDict

from snowballstemmer.english_stemmer import EnglishStemmer

from api.schema.canonical import Content
from api.schema.resource import Resource

MAX_WORDS = 32
# How much of a document is indexed: words of the title and of the rest, letters of a word, and occurrences of one word.
# No record of ours comes near these limits, and they stay below those of a tsvector, so no text can block a publication.
TITLE_WORDS = 1_000
BODY_WORDS = 12_000
LETTERS = 100
OCCURRENCES = 80

QUOTES = dict.fromkeys(map(ord, "“”„‟«»\uff02"), '"')
APOSTROPHES = "'\u2018\u2019\u02bb\u02bc"
SOFT_HYPHEN = "\u00ad"
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
TERM = re.compile(r'((?<!\S)-)?(?:"([^"]*)"?|([^\s"]+))')
# Fills a position that has no word: no word contains it, and both indexes count it as a position.
GAP = "·"
# Prefixes of words that are indexed a second time: the stems of a title, and the words of a title as they are spelled.
# The posting lists of these are much shorter than those of the same words anywhere.
IN_TITLE, IN_NAME = "»", "«"

Phrase = tuple[str, ...]
# At most this number of folded characters are kept; texts in the languages of a dataset need fewer.
MAX_FOLDS = 8_192
# A phrase, and whether it must be in the title.
Term = tuple[Phrase, bool]


class TooManyWords(ValueError):  # noqa: N818 - read as a sentence where it is caught
    """A query of more than `MAX_WORDS` words."""


class HighlightSegment(TypedDict):
    """A piece of a text, and whether it is a word that the search matched."""

    text: str
    match: bool


class _Folds(dict[int, str]):
    """Maps a code point to its folded text, computed when it is needed; every character folds by itself."""

    def __missing__(self, code: int) -> str:
        """Fold one character."""
        # All characters that there are would take 150 MB.
        if len(self) >= MAX_FOLDS:
            self.clear()
        kept = [c for c in unicodedata.normalize("NFKD", chr(code)) if unicodedata.category(c)[0] != "M" and c != SOFT_HYPHEN]
        return self.setdefault(code, "".join("'" if c in APOSTROPHES else c.casefold() for c in kept))


FOLDS = _Folds()


def fold(text: str) -> str:
    """Return a text without case, accents and compatibility forms (NFKD), and with one kind of apostrophe."""
    return text.translate(FOLDS)


def words(text: str) -> list[str]:
    """Return the folded words of a text: letters and digits, with apostrophes between them."""
    return [word[:LETTERS] for word in WORD.findall(fold(text))]


@lru_cache(maxsize=2**15)
def stem(word: str) -> str:
    """Return the stem of a folded word: ``city's``, ``citys`` and ``cities`` have the same, ``o'fallon`` has ``ofallon``.

    Names the class, because `snowballstemmer.stemmer` would use another implementation if one is installed. Makes a new
    object each time, because it keeps the word that it works on.
    """
    return str(EnglishStemmer().stemWord(word[:LETTERS])).replace("'", "")


def stems(text: str) -> Phrase:
    """Return the stems of the words of a text, in order."""
    return tuple(map(stem, words(text)))


def names(text: str) -> Phrase:
    """Return the words of a text as people type them: not stemmed, without apostrophes."""
    return tuple(word.replace("'", "") for word in words(text))


@dataclass(frozen=True)
class Search:
    """The phrases that a record must contain, and those that it must not; a single word is a phrase of one."""

    positive: tuple[Phrase, ...] = ()
    negative: tuple[Phrase, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether every phrase is a single word, and at least one of them must be present."""
        return bool(self.positive) and all(len(phrase) == 1 for phrase in (*self.positive, *self.negative))

    @property
    def words(self) -> frozenset[str]:
        """The stems that a record must contain."""
        return frozenset(word for phrase in self.positive for word in phrase)


def parse(text: str) -> Search:
    """Return the search that a text stands for; every text is valid. Raises TooManyWords.

    A record must contain every word, and the words of ``"a phrase"`` in order, next to each other; it must not contain
    ``-word`` or ``-"a phrase"``. Words that are joined (``24-hour``, ``roads/bridges``) are a phrase, and a quote without an
    end reaches to the end of the text. Every other character is plain text.
    """
    phrases: dict[bool, list[Phrase]] = {False: [], True: []}
    for minus, quoted, bare in TERM.findall(text.translate(QUOTES)):
        if phrase := stems(quoted or bare):
            phrases[bool(minus)].append(phrase)
    limit_words([word for both in phrases.values() for phrase in both for word in phrase])
    return Search(tuple(phrases[False]), tuple(phrases[True]))


def limit_words(searched: Collection[str]) -> None:
    """Raise TooManyWords for more than `MAX_WORDS` words."""
    if len(searched) > MAX_WORDS:
        raise TooManyWords(f"a search has at most {MAX_WORDS} words")


def highlights(search: Search, resource: Resource, document: Content) -> dict[str, list[HighlightSegment]]:
    """Return each searched field that contains a word of the search, cut into segments that join to its text."""
    matched = {}
    for field in resource.search:
        value = document.get(field) or ""
        # The items of a list are shown as one text.
        segments = _segments(", ".join(value) if isinstance(value, list) else value, search.words)
        if any(segment["match"] for segment in segments):
            matched[field] = segments
    return matched


def _segments(text: str, searched: frozenset[str]) -> list[HighlightSegment]:
    folded = [FOLDS[ord(character)] for character in text]
    origins = [position for position, piece in enumerate(folded) for _ in piece]
    matched = bytearray(len(text))
    for word in WORD.finditer("".join(folded)):
        if stem(word[0][:LETTERS]) in searched:
            start, end = origins[word.start()], origins[word.end() - 1] + 1
            # The accents after the last letter belong to it.
            while end < len(text) and not folded[end]:
                end += 1
            matched[start:end] = b"\1" * (end - start)
    runs = groupby(zip(text, matched, strict=True), key=lambda pair: pair[1])
    return [{"text": "".join(character for character, _ in run), "match": bool(match)} for match, run in runs]
