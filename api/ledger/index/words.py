"""Full text: how a text becomes words, the index that holds them, and what finds records by them.

Both databases answer alike, because neither of them reads a text: words are made here, and each index takes them
as they are. What is indexed is each current revision, by its version; `ledger` keeps the index in step.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TypedDict

from snowballstemmer.english_stemmer import EnglishStemmer

from api.schema.canonical import Content
from api.schema.resource import Resource

MAX_WORDS = 32
# Of a document, so many words and characters a word are searched, and so many occurrences of one word: more of
# them than any text of ours has, and fewer than a tsvector's limits, so that no text can stop a publication.
TITLE_WORDS = 1_000
BODY_WORDS = 12_000
LETTERS = 100
OCCURRENCES = 80

QUOTES = dict.fromkeys(map(ord, "“”„‟«»\uff02"), '"')
APOSTROPHES = "'\u2018\u2019\u02bb\u02bc"
SOFT_HYPHEN = "\u00ad"
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
TERM = re.compile(r'((?<!\S)-)?(?:"([^"]*)"?|([^\s"]+))')
# Stands where no word is: no word contains it, and both indexes count it as a position.
GAP = "·"
# Before a word that is indexed once more, for being in a title or as it is written there: such words have lists of their
# own, much shorter than that of the word anywhere.
IN_TITLE, IN_NAME = "»", "«"

Phrase = tuple[str, ...]
Term = tuple[Phrase, bool]


class TooManyWords(ValueError):  # noqa: N818 - what is wrong, not that something is
    """A query of more than `MAX_WORDS` words."""


class Segment(TypedDict):
    """A piece of a text, and whether it is a word that was searched for."""

    text: str
    match: bool


class _Folds(dict[int, str]):
    """What becomes of each character, worked out when it is first met; each is folded by itself."""

    def __missing__(self, code: int) -> str:
        """Fold one character."""
        kept = [c for c in unicodedata.normalize("NFKD", chr(code)) if unicodedata.category(c)[0] != "M" and c != SOFT_HYPHEN]
        return self.setdefault(code, "".join("'" if c in APOSTROPHES else c.casefold() for c in kept))


FOLDS = _Folds()


def fold(text: str) -> str:
    """Return a text without case, accents and compatibility forms (NFKD), its apostrophes all alike."""
    return text.translate(FOLDS)


def words(text: str) -> list[str]:
    """Return the words of a text, folded: letters and digits, with apostrophes between them."""
    return [word[:LETTERS] for word in WORD.findall(fold(text))]


@lru_cache(maxsize=2**15)
def stem(word: str) -> str:
    """Return what a folded word is indexed as: ``city's``, ``citys`` and ``cities`` are one, ``o'fallon`` is ``ofallon``.

    The class is named, since `snowballstemmer.stemmer` would take another implementation where it finds one, and
    made anew, since it holds the word that it is at.
    """
    return str(EnglishStemmer().stemWord(word[:LETTERS])).replace("'", "")


def stems(text: str) -> Phrase:
    """Return the words of a text as they are indexed."""
    return tuple(map(stem, words(text)))


def names(text: str) -> Phrase:
    """Return the words of a text as someone types them: unstemmed, without apostrophes."""
    return tuple(word.replace("'", "") for word in words(text))


@dataclass(frozen=True)
class Search:
    """What a query asks for: phrases that must be there, a single word being one, and phrases that must not."""

    positive: tuple[Phrase, ...] = ()
    negative: tuple[Phrase, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it is of single words, of which at least one must be there."""
        return bool(self.positive) and all(len(phrase) == 1 for phrase in (*self.positive, *self.negative))

    @property
    def words(self) -> frozenset[str]:
        """The stems that are looked for."""
        return frozenset(word for phrase in self.positive for word in phrase)


def parse(text: str) -> Search:
    """Read a query; any text is one. Raises TooManyWords.

    Every word must be there; ``"a phrase"`` in order, side by side; ``-word`` and ``-"a phrase"`` must not. Words
    written together (``24-hour``, ``roads/bridges``) are a phrase; a quote that is not closed runs to the end. All
    else is plain text.
    """
    found: dict[bool, list[Phrase]] = {False: [], True: []}
    for minus, quoted, bare in TERM.findall(text.translate(QUOTES)):
        if phrase := stems(quoted or bare):
            found[bool(minus)].append(phrase)
    _limit(word for phrases in found.values() for phrase in phrases for word in phrase)
    return Search(tuple(found[False]), tuple(found[True]))


def _limit(asked: Iterable[str]) -> None:
    if len(list(asked)) > MAX_WORDS:
        raise TooManyWords(f"a search is of at most {MAX_WORDS} words")


def highlights(search: Search, resource: Resource, document: Content) -> dict[str, list[Segment]]:
    """Return each searched field in which a word of the search is, cut into segments that join to its text."""
    found = {}
    for field in resource.search:
        segments = _segments(document.get(field) or "", search.words)
        if any(segment["match"] for segment in segments):
            found[field] = segments
    return found


def _segments(text: str, wanted: frozenset[str]) -> list[Segment]:
    folded = [FOLDS[ord(character)] for character in text]
    origins = [position for position, piece in enumerate(folded) for _ in piece]
    matched = bytearray(len(text))
    for word in WORD.finditer("".join(folded)):
        if stem(word[0][:LETTERS]) in wanted:
            start, end = origins[word.start()], origins[word.end() - 1] + 1
            # The accents of the last letter are its own.
            while end < len(text) and not folded[end]:
                end += 1
            matched[start:end] = b"\1" * (end - start)
    runs = groupby(zip(text, matched, strict=True), key=lambda pair: pair[1])
    return [{"text": "".join(character for character, _ in run), "match": bool(match)} for match, run in runs]
