"""Locates and fingerprints the sentences of a source, so that anyone who has the source can check a citation.

Normalization: Unicode NFKC, curly quotes to straight ones, every run of white space to one space, trimmed.
Paragraphs are the lines (ended by LF) that are not blank, headings included, numbered from 1.
A sentence ends at a run of ``.``, ``!`` or ``?``, with any closing quotes or brackets after it, that is followed by
white space and then an upper-case letter, a digit, or an opening quote or bracket; but not at a full stop that closes
an initialism such as ``U.S.``, that is, one whose preceding letter stands alone (no letter or digit before it).
Sentences are numbered from 1 within their paragraph; the last one ends where the paragraph does.
Fingerprints are the lower-case hexadecimal SHA-256 of the UTF-8 bytes.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

_STRAIGHT_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_INITIALISM = r"(?<![^\W_])[^\W\d_]\."
_BOUNDARY = re.compile(rf"(?P<initialism>{_INITIALISM})(?![.!?])|[.!?]+['\")\]}}]*(?P<gap> )(?=(?P<next>.))")
_OPENING = frozenset("'\"([{")


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
        following = match["next"]
        if following and (following.isupper() or following.isdigit() or following in _OPENING):
            result.append(text[start : match.start("gap")])
            start = match.end("gap")
    return [*result, text[start:]] if text else []


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
