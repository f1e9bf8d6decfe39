"""How a text becomes words, how a search is parsed, and which parts of a text it matches.

SQLite and PostgreSQL give the same results because neither of them tokenizes: this module makes the words, and each index
stores them as they are. They are those of UAX #29, with three rules of ours: each character of a script without spaces is a
word, a compound such as `Wi-Fi` or `O'Hare` has several forms, its parts, the whole and pairs of parts, and an abbreviation
such as `St.` is a word of a name only before another name.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from typing import NamedTuple, TypedDict

import regex
from snowballstemmer.english_stemmer import EnglishStemmer

from api.ledger.index import abbreviations
from api.ledger.index.abbreviations import SHORT
from api.ledger.index.folding import FOLDS, fold, ordered
from api.schema.canonical import Content
from api.schema.resource import Resource

# The revision that came with these rules for words. It is stored with the index, and an upgrade rebuilds an index that has
# another one. A change of the rules needs a new revision.
VERSION = "0020"
MAX_WORDS = 32
# How much of a document is indexed: words of the title and of the rest, letters of a word, and occurrences of one word.
# No record of ours comes near these limits, and they stay below those of a tsvector, so no text can block a publication.
TITLE_WORDS = 1_000
BODY_WORDS = 12_000
LETTERS = 100
OCCURRENCES = 80

QUOTES = dict.fromkeys(map(ord, "“”„‟«»\uff02"), '"')
TERM = re.compile(r'((?<!\S)-)?(?:"([^"]*)"?|([^\s"]+))')
# A character of a script without spaces, which is a word of its own; a letter; and a character that continues a word.
ALONE = r"[\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
LETTER, NEXT = rf"[\p{{L}}--{ALONE}]", rf"[[\p{{L}}\p{{N}}\p{{M}}]--{ALONE}]"


def _chunk(character: str) -> str:
    """Return the pattern of a word, or a compound of words."""
    return rf"{character}++(?:['.-]{character}++|(?<=\d)[,\u00a0]\d{{3}}(?!\d))*+"


# Nearly all texts fold to ASCII, where `re` is five times as fast.
ASCII_CHUNK = re.compile(_chunk("[0-9a-z]"))
CHUNK = regex.compile(rf"{ALONE}\p{{M}}*+|{_chunk(NEXT)}", regex.VERSION1)
PARTS = regex.compile(
    rf"{ALONE}\p{{M}}*+"
    # A number with separators between its thousands, and initials, such as `l.a`; bounded, because each can fail at its end.
    rf"|(?<!\d)\d{{1,3}}(?:[,'\u00a0]\d{{3}}){{1,9}}+(?!,?{NEXT})"
    rf"|(?<!{NEXT}){LETTER}\p{{M}}{{,9}}+(?:\.{LETTER}\p{{M}}{{,9}}+){{1,9}}+(?!{NEXT})"
    # A number digit by digit, such as `9-1-1` or `e9-1-1`, or a word, with its English ending.
    rf"|(?:(?<!{NEXT}|\d-){LETTER}{{,3}}\d(?:-\d){{2,9}}+(?!{NEXT}|-\d)|{NEXT}++)(?:'(?:s|t|d|m|re|ve|ll)(?!{NEXT}))?",
    regex.VERSION1,
)
SEPARATORS = dict.fromkeys(map(ord, "-,.\u00a0"))
# Fills a position that has no word: no word contains it, and both indexes count it as a position.
GAP = "·"
# Prefixes of words that are indexed a second time: the stems of a title, and the words of names as they are spelled.
# The posting lists of these are much shorter than those of the same words anywhere.
IN_TITLE, IN_NAME = "»", "«"

Phrase = tuple[str, ...]
# The forms of a text that mean the same, the first with its compounds apart.
Forms = tuple[Phrase, ...]
# The forms of a phrase, and whether it must be in the title.
Term = tuple[Forms, bool]


class TooManyWords(ValueError):  # noqa: N818 - read as a sentence where it is caught
    """A query of more than `MAX_WORDS` words."""


class HighlightSegment(TypedDict):
    """A piece of a text, and whether it is a word that the search matched."""

    text: str
    match: bool


class _Part(NamedTuple):
    """A word of a chunk, as it is spelled, and its place there."""

    word: str
    start: int
    end: int


def _chunks(folded: str) -> list[str]:
    return (ASCII_CHUNK if folded.isascii() else CHUNK).findall(folded)


def _parts(chunk: str) -> list[_Part]:
    """Return the words of a chunk: numbers without separators, initials without points."""
    if chunk.isalnum():
        return [_Part(chunk[:LETTERS], 0, len(chunk))]
    return [_Part(_spelled(match[0]), *match.span()) for match in PARTS.finditer(chunk)]


def _spelled(part: str) -> str:
    """Return a number or initials without separators; an apostrophe stays for the stemmer, unless it is in a number."""
    part = part.translate(SEPARATORS)[:LETTERS]
    return plain(part) if part[-1].isdecimal() else part


def _joined(words: Sequence[str]) -> Phrase:
    """Return parts of a compound as one word, or as they are if digits would meet: 1.5M is not 15M."""
    if any(left[-1].isdecimal() and right[0].isdecimal() for left, right in pairwise(words)):
        return tuple(words)
    return (("".join(map(plain, words[:-1])) + words[-1])[:LETTERS],)


def _in_pairs(words: Sequence[str], first: int) -> Phrase:
    """Return the parts of a compound with every two of them joined, from the first pair on."""
    pairs = (words[start : start + 2] for start in range(first, len(words), 2))
    return (*words[:first], *(word for pair in pairs for word in _joined(pair)))


def words(text: str) -> list[str]:
    """Return the folded words of a text, as they are spelled."""
    return [part.word for chunk in _chunks(fold(text)) for part in _parts(chunk)]


@lru_cache(maxsize=2**15)
def stem(word: str) -> str:
    """Return the stem of a folded word: ``city's``, ``citys`` and ``cities`` have the same.

    A word that ends with a digit has no ending to take off. Names the class, because `snowballstemmer.stemmer` would use
    another implementation if one is installed. Makes a new object each time, because it keeps the word that it works on.
    """
    return plain(word if word[-1:].isdecimal() else str(EnglishStemmer().stemWord(word)))


def plain(word: str) -> str:
    """Return a word as people type it: not stemmed, without apostrophes."""
    return word.replace("'", "")


def _split(chunk: str) -> tuple[Phrase, ...]:
    """Return the words of a chunk: its parts, these as one, and these in pairs from the first or the second on."""
    parts = tuple([part.word for part in _parts(chunk)])
    return (parts, _joined(parts), _in_pairs(parts, 0), _in_pairs(parts, 1)) if len(parts) > 1 else (parts,) * 4


_split_short = lru_cache(maxsize=2**12)(_split)


def forms(text: str, spell: Callable[[str], str] = stem) -> Forms:
    """Return the forms of a text: its words in order, and these with compounds joined.

    This makes the words of both the index and the queries, so a text always matches itself.
    """
    return _forms(abbreviations.written_out(text), spell)


def _forms(text: str, spell: Callable[[str], str]) -> Forms:
    """Return a text with all compounds apart, with all joined, and twice with pairs of parts joined.

    Where one of these has the first pair of a compound, the other has the second, and the next compound has them the other way
    round. So the form of a phrase with `wifi` and `24 hour` is in a text with `Wi-Fi` and `24-hour`.
    """
    chunks = _chunks(fold(text))
    if "".join(chunks).isalnum():
        # No chunk is a compound.
        return (tuple([spell(chunk[:LETTERS]) for chunk in chunks]),)
    splits = [(_split_short if len(chunk) <= LETTERS else _split)(chunk) for chunk in chunks]
    apart = [word for parts, *_ in splits for word in parts]
    if len(apart) == len(splits):
        return (tuple(map(spell, apart)),)
    joined: list[str] = []
    pairs: list[str] = []
    others: list[str] = []
    for parts, whole, first, second in splits:
        joined += whole
        pairs += first
        others += second
        if len(parts) > 1:
            pairs, others = others, pairs
    return tuple(dict.fromkeys(tuple(map(spell, form)) for form in (apart, joined, pairs, others)))


def searched_forms(text: str, spell: Callable[[str], str] = stem) -> Forms:
    """Return the forms of a text that is searched: `st` is looked for as it is, and as `saint`."""
    return tuple(dict.fromkeys(form for each in abbreviations.readings(text) for form in _forms(each, spell)))


def stems(text: str) -> Phrase:
    """Return the stems of the words of a text, in order."""
    return forms(text)[0]


def indexed(texts: Iterable[str]) -> list[str]:
    """Return the words that find some texts: those of each, then those with compounds joined, with gaps between them."""
    every = [forms(text) for text in texts]
    phrases = [phrase for phrase, *_ in every] + [phrase for _, *joined in every for phrase in joined]
    return [word for phrase in phrases for word in (*phrase, GAP)][:-1]


def names(text: str) -> Phrase:
    """Return the words whose beginnings complete a name, in no order: parts, wholes, and abbreviations."""
    spelled = dict.fromkeys(word for phrase in forms(text, plain) for word in phrase)
    return (*spelled, *(SHORT[word] for word in spelled if word in SHORT))


@dataclass(frozen=True)
class Search:
    """The phrases that a record must contain, and those that it must not; a single word is a phrase of one.

    A record contains a phrase if it contains any of its forms.
    """

    positive: tuple[Forms, ...] = ()
    negative: tuple[Forms, ...] = ()

    @property
    def is_of_words(self) -> bool:
        """Whether every phrase is a single word, and at least one of them must be present."""
        return bool(self.positive) and all([*map(len, forms)] == [1] for forms in (*self.positive, *self.negative))

    @property
    def words(self) -> frozenset[str]:
        """The stems that can be in a record that matches."""
        return frozenset(word for forms in self.positive for phrase in forms for word in phrase)


def parse(text: str) -> Search:
    """Return the search that a text stands for; every text is valid. Raises TooManyWords.

    A record must contain every word, and the words of ``"a phrase"`` in order, next to each other; it must not contain
    ``-word`` or ``-"a phrase"``. Words that are joined (``24-hour``, ``roads/bridges``) are a phrase, and a quote without an
    end reaches to the end of the text. Every other character is plain text.
    """
    phrases: dict[bool, list[Forms]] = {False: [], True: []}
    for minus, quoted, bare in TERM.findall(text.translate(QUOTES)):
        phrase = searched_forms(quoted or bare)
        if phrase[0]:
            phrases[bool(minus)].append(phrase)
    limit_words([word for both in phrases.values() for apart, *_ in both for word in apart])
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
    names = abbreviations.places(text)
    spelled = {position: names[origin] for position, origin in enumerate(origins) if origin in names}
    matched = bytearray(len(text))
    for first, last in _matches(ordered("".join(folded)), searched, spelled):
        start, end = origins[first], origins[last - 1] + 1
        # The accents after the last letter belong to it.
        while end < len(text) and not folded[end]:
            end += 1
        matched[start:end] = b"\1" * (end - start)
    runs = groupby(zip(text, matched, strict=True), key=lambda pair: pair[1])
    return [{"text": "".join(character for character, _ in run), "match": bool(match)} for match, run in runs]


def _matches(folded: str, searched: frozenset[str], names: Mapping[int, str]) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each word and compound of a folded text that is searched.

    ``names`` has the full words of abbreviations by their places.
    """
    for chunk in CHUNK.finditer(folded):
        parts = _parts(chunk[0])
        for run in (parts, *pairwise(parts), *((part,) for part in parts)):
            word = _joined([part.word for part in run])
            start, end = chunk.start() + run[0].start, chunk.start() + run[-1].end
            if len(word) == 1 and stem(names.get(start, word[0]) if len(run) == 1 else word[0]) in searched:
                yield start, end
