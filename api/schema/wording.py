"""Finds the words that a text shares with a source, so that our texts stay in our own words."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, fields

from api.schema.fields import Name, Prose, Title
from api.schema.fingerprints import normalize

# A sequence of at least this many shared words is listed, and one of `COPIED` words is too long.
LISTED, COPIED = 6, 8
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")

Words = tuple[str, ...]


def words(text: str) -> Words:
    """Return the words of a text as they are spelled: letters and digits, with apostrophes between them."""
    return tuple(_WORD.findall(normalize(text)))


@dataclass(frozen=True)
class Text:
    """A text of a record, and the pointer to it."""

    pointer: str
    text: str
    field: fields.Field[Any]

    @property
    def is_ours(self) -> bool:
        """Whether it is in our own words; a name is not."""
        return isinstance(self.field, Prose | Title)


def texts(schema: Schema, content: Mapping[str, Any], pointer: str = "") -> Iterator[Text]:
    """Yield the names, titles and prose of a record and of its parts."""
    for name, inner, items in _members(schema, content):
        for number, item in items:
            place = f"{pointer}/{name}{number}"
            if isinstance(inner, fields.Nested) and isinstance(item, dict):
                yield from texts(inner.schema, item, place)
            elif isinstance(inner, Name | Prose) and item:
                yield Text(place, item, inner)


def names(schema: Schema, content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names and titles of a record itself."""
    for _, inner, items in _members(schema, content):
        if isinstance(inner, Name):
            yield from (item for _, item in items if item)


def _members(schema: Schema, content: Mapping[str, Any]) -> Iterator[tuple[str, fields.Field[Any], list[tuple[str, Any]]]]:
    """Yield the name of each member, the field of its values, and each of these with the rest of its pointer."""
    for name, field in schema.fields.items():
        value = content.get(name)
        items = [(f"/{number}", item) for number, item in enumerate(value)] if isinstance(value, list) else [("", value)]
        yield name, field.inner if isinstance(field, fields.List) else field, items


@dataclass(frozen=True)
class Shared:
    """A sequence of words that a text shares with a source, and the number of them that belong to no proper name."""

    text: str
    length: int


class Wording:
    """The words of a source, and the proper names that a text may share with it."""

    def __init__(self, source: str, names: Iterable[str]) -> None:
        """Index each sequence of `LISTED` words by its places, and the names by their words."""
        self._source = _folded(words(source))
        self._places: dict[Words, list[int]] = defaultdict(list)
        for start in range(len(self._source) - LISTED + 1):
            self._places[self._source[start : start + LISTED]].append(start)
        self._names = set(filter(None, map(words, names)))
        self._sizes = {len(name) for name in self._names}

    def shared(self, text: Text) -> Iterator[Shared]:
        """Yield the longest sequences of at least `LISTED` words that a text shares; words of proper names do not count.

        A name counts as one where it is spelled as declared, upper and lower case included. A text is not its own excuse.
        """
        spelled = words(text.text)
        ours, end = _folded(spelled), 0
        named = set(self._named(spelled))
        for start in range(len(ours) - LISTED + 1):
            reach = self._reach(ours, start)
            if reach > end:
                end = reach
                length = len(set(range(start, end)) - named)
                if length >= LISTED:
                    yield Shared(" ".join(spelled[start:end]), length)

    def _reach(self, ours: Words, start: int) -> int:
        """Return the end of the longest shared sequence that begins at a word; 0 if it is too short."""
        reach = 0
        for place in self._places.get(ours[start : start + LISTED], ()):
            size = LISTED
            while ours[start + size : start + size + 1] == self._source[place + size : place + size + 1] != ():
                size += 1
            reach = max(reach, start + size)
        return reach

    def _named(self, spelled: Words) -> Iterator[int]:
        """Yield the places of the words that belong to a proper name, unless that is the whole text."""
        for size in self._sizes:
            for start in range(len(spelled) - size + 1):
                if size < len(spelled) and spelled[start : start + size] in self._names:
                    yield from range(start, start + size)


def _folded(spelled: Words) -> Words:
    return tuple(word.casefold() for word in spelled)
