"""The words of a document that both indexes hold."""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from api.ledger.index.words import BODY_WORDS, GAP, OCCURRENCES, TITLE_WORDS, indexed, names
from api.schema.canonical import Content
from api.schema.resource import Resource

# Entries that are kept; as many records are published at once.
RECENT = 500


@dataclass(frozen=True)
class IndexEntry:
    """What is indexed of a document: its noun, the stems of its title and of its other texts, and the words of its names."""

    kind: str
    title: Sequence[str]
    body: Sequence[str]
    name: Sequence[str]

    @property
    def words(self) -> AbstractSet[str]:
        """The stems that occur anywhere in the document."""
        return {*self.title, *self.body} - {GAP}

    @classmethod
    def of(cls, resource: Resource, content: Content) -> Self:
        """Return the entry of a document, published or about to be."""
        title, *rest = (text for field in resource.search for text in texts(content.get(field)))
        # A tsvector has room for this many characters of 4 bytes each.
        title, rest = title[: TITLE_WORDS * 10], [text[: BODY_WORDS * 10] for text in rest]
        return cls._of(resource.name, title, tuple(rest), tuple(texts(content.get("aliases", []))))

    @classmethod
    # Both indexes need the entries of the records that are published at once.
    @lru_cache(RECENT)
    def _of(cls, kind: str, title: str, rest: Sequence[str], aliases: Sequence[str]) -> Self:
        words, body = _limited(indexed([title]), TITLE_WORDS), _limited(indexed(rest), BODY_WORDS)
        named = [word for name in (title, *aliases) for word in names(name)]
        return cls(kind, words, body, _limited(named, TITLE_WORDS))


def texts(value: Any) -> Sequence[str]:
    """Return the texts of a member: the items of a list, or one text."""
    return value if isinstance(value, list) else [value or ""]


def _limited(words: Sequence[str], most: int) -> list[str]:
    """Return the first ``most`` words, with a gap in place of each occurrence of a word after its `OCCURRENCES`-th."""
    kept = list(words[:most])
    if len(kept) <= OCCURRENCES:
        return kept
    seen = Counter(kept)
    if max(seen.values(), default=0) > OCCURRENCES:
        seen.clear()
        for position, word in enumerate(kept):
            seen[word] += 1
            kept[position] = word if seen[word] <= OCCURRENCES else GAP
    return kept
