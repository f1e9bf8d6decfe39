"""Locates and fingerprints the sentences of a source, so that anyone who has the source can check a citation.

Normalization: Unicode NFKC, curly quotes to straight ones, every run of white space to one space, trimmed.
Paragraphs are the lines (ended by LF) that are not blank, headings included, numbered from 1.
A sentence ends at a run of ``.``, ``!`` or ``?``, with any closing quotes or brackets after it, that is followed by
white space and then an upper-case letter, a digit, or an opening quote or bracket; but not at a single full stop after a
single letter, such as in ``U.S.``, or after one of `ABBREVIATIONS`.
Sentences are numbered from 1 within their paragraph; the last one ends where the paragraph does.
Fingerprints are the lower-case hexadecimal SHA-256 of the UTF-8 bytes.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Words that `Sentence.first_words` shows.
FIRST_WORDS = 5
# The version of the rule for sentences. Version 1 knew no abbreviations, and took the `t` of `don't` for a single letter.
SENTENCE_RULE = 2
# The words that American newspapers write with a full stop; months and states as in the AP Stylebook. The list is closed, since
# another one would cut the sources that are cited already at other places: it needs a new version of the rule.
ABBREVIATIONS = {
    "titles": "Mr Mrs Ms Dr Prof Rev Gov Sen Rep Gen Col Capt Lt Sgt Jr Sr",
    "places": "St Mt Ft Ave Blvd",
    "companies": "Bros Co Corp Inc Ltd",
    "references": "No vs etc",
    "months": "Jan Feb Aug Sept Oct Nov Dec",
    "states": (
        "Ala Ariz Ark Calif Colo Conn Del Fla Ga Ill Ind Kan Ky La Md Mass Mich Minn Miss Mo Mont Neb Nev Okla Ore Pa Tenn Va "
        "Vt Wash Wis Wyo"
    ),
}

_STRAIGHT_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_BOUNDARY = re.compile(r"(?P<mark>[.!?]+)['\")\]}]*(?P<gap> )(?=(?P<next>.))")
_OPENING = frozenset("'\"([{")
_NO_WORD = re.compile(r"[^\w']|_")
_ABBREVIATED = frozenset(" ".join(ABBREVIATIONS.values()).split())


@dataclass(frozen=True)
class Sentence:
    """A sentence of a source, with its place: its paragraph and its number in that paragraph."""

    paragraph: int
    number: int
    text: str

    @property
    def sha256(self) -> str:
        """The fingerprint."""
        return sentence_sha256(self.text)

    @property
    def place(self) -> str:
        """The place as people write it, such as ``11.3``."""
        return f"{self.paragraph}.{self.number}"

    @property
    def first_words(self) -> str:
        """Enough words to recognize the sentence, and too few to quote it."""
        listed = self.text.split(" ")
        return " ".join(listed[:FIRST_WORDS]) + ("\u2026" if len(listed) > FIRST_WORDS else "")


def normalize(text: str) -> str:
    """Return the normalized text, the only form that is fingerprinted."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_STRAIGHT_QUOTES).split())


def paragraphs(text: str) -> list[str]:
    """Return the normalized lines that are not blank; locators number them from 1."""
    return [line for line in map(normalize, text.split("\n")) if line]


def sentences(paragraph: str) -> list[str]:
    """Return the normalized sentences of a paragraph; locators number them from 1."""
    text = normalize(paragraph)
    result, start = [], 0
    for match in _BOUNDARY.finditer(text):
        begins = match["next"].isupper() or match["next"].isdigit() or match["next"] in _OPENING
        if begins and not (match["mark"] == "." and _is_abbreviation(_word_before(text, match.start()))):
            result.append(text[start : match.start("gap")])
            start = match.end("gap")
    return [*result, text[start:]] if text else []


def located(text: str) -> Iterator[Sentence]:
    """Yield every sentence of a text with its place."""
    for paragraph, line in enumerate(paragraphs(text), 1):
        for number, sentence in enumerate(sentences(line), 1):
            yield Sentence(paragraph, number, sentence)


def _word_before(text: str, end: int) -> str:
    """Return the letters, digits and apostrophes directly before a place, without apostrophes at their start."""
    return _NO_WORD.split(text[text.rfind(" ", 0, end) + 1 : end])[-1].lstrip("'")


def _is_abbreviation(word: str) -> bool:
    return word in _ABBREVIATED or (len(word) == 1 and word.isalpha())


def sentence_sha256(sentence: str) -> str:
    """Return the fingerprint of a sentence, which does not depend on its kind of quotes and spaces."""
    return _sha256(normalize(sentence))


def text_sha256(text: str) -> str:
    """Return the fingerprint of a whole text: its normalized paragraphs joined by LF."""
    return _sha256("\n".join(paragraphs(text)))


def check(text: str, citations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each citation of this text that is wrong; an empty list means that all are right."""
    located = [sentences(paragraph) for paragraph in paragraphs(text)]
    return [f"{citation['id']}: {fault}" for citation in citations if (fault := _fault(located, citation))]


def _fault(located: list[list[str]], citation: Mapping[str, Any]) -> str | None:
    paragraph, sentence = citation["paragraph"], citation["sentence"]
    if not 1 <= paragraph <= len(located):
        return f"there is no paragraph {paragraph}; the text has {len(located)}"
    if not 1 <= sentence <= len(located[paragraph - 1]):
        return f"there is no sentence {sentence} in paragraph {paragraph}; it has {len(located[paragraph - 1])}"
    if sentence_sha256(located[paragraph - 1][sentence - 1]) != citation["sentence_sha256"]:
        return f"sentence {sentence} of paragraph {paragraph} has another fingerprint"
    return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
