"""The bitmap index: for each value that facets count, and each word, the set of the current revisions that hold it.

So a facet of a million records is a few set operations for each of its values, whatever the filter is, and so is the
number of records that several filters leave (P. O'Neil, "Model 204 Architecture and Performance", HPTS 1987). A set is a
roaring bitmap of versions (S. Chambi, D. Lemire, O. Kaser and R. Godin, "Better bitmap performance with Roaring bitmaps",
Software: Practice and Experience, 2016), kept in pieces, so that a write rewrites little of a large one. `ledger` keeps the
index in step, as it does that of full text; what it holds is worked out from the nouns' facets.
"""

import hashlib
import json
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from operator import itemgetter
from typing import Any

from marshmallow import fields
from pyroaring import BitMap
from sqlalchemy import LargeBinary, bindparam, delete, insert, select, tuple_
from sqlalchemy.orm import Mapped, Session, class_mapper, mapped_column

from api.db.types import Base, Version
from api.ledger.index.fulltext import Entry
from api.resources import RESOURCES
from api.schema.canonical import Content
from api.schema.resource import Column, Resource

# A set of more bytes is cut, between blocks of 2^16 versions: such a block takes 8 KB at most.
PIECE = 10_000
BLOCK = 1 << 16

# So many keys are asked for in a statement, whose parameters are limited.
AT_ONCE = 1_000
# So many rows are taken at once.
TAKEN = 10_000
# The dimension of what full text finds.
WORDS = "q"
# No piece reaches over a multiple of this.
WIDTH = 1 << 32
PLACE = ("kind", "dimension", "value", "first")

Key = tuple[str, str]
Place = tuple[str, str, int]


class UnreadableError(Exception):
    """A piece that is kept is no bitmap."""


# What the library says of such.
UNREADABLE = (ValueError, IndexError)


_ENCODER = json.JSONEncoder(ensure_ascii=False)


def encode(value: Any) -> str:
    """Return a value as the index has it: JSON, in which a text is hardly longer than it is, since keys have a limit."""
    return _ENCODER.encode(value)


class Bitmap(Base):
    """A piece of the set of a value: its versions from ``first`` on, up to where the next piece begins, modulo 2^32."""

    __tablename__ = "bitmap_index"
    kind: Mapped[str] = mapped_column(primary_key=True)
    dimension: Mapped[str] = mapped_column(primary_key=True)
    # As `encode` writes it.
    value: Mapped[str] = mapped_column(primary_key=True)
    first: Mapped[int] = mapped_column(Version, primary_key=True, autoincrement=False)
    records: Mapped[int]
    versions: Mapped[bytes] = mapped_column(LargeBinary)


class Versions:
    """A set of versions: bitmaps of what they are modulo 2^32, by what they are divided by it, which differs between epochs.

    A bitmap of 64 bits would do, but takes several times as long: it keeps a tree of its blocks.
    """

    def __init__(self, versions: Iterable[int] = ()) -> None:
        """Make a set of these."""
        several = list(versions)
        self.parts: dict[int, BitMap] = defaultdict(BitMap)
        if max(several, default=0) < WIDTH:
            self.parts[0] = BitMap(several)
            return
        for version in several:
            self.add(version)

    def add(self, version: int) -> None:
        """Put a version into the set."""
        self.parts[version // WIDTH].add(version % WIDTH)

    @classmethod
    def taken(cls, cursor: Any) -> "Versions":
        """Take versions from the rows of a driver's cursor."""
        found = cls()
        while rows := cursor.fetchmany(TAKEN):
            found |= cls(version for (version,) in rows)
        return found

    @classmethod
    def read(cls, rows: Iterable[Sequence[Any]]) -> "Versions":
        """Join pieces as they are stored: each row ends with a piece's first version and its bytes. Raises UnreadableError."""
        by_high = defaultdict(list)
        for row in rows:
            by_high[row[-2] // WIDTH].append(row[-1])
        try:
            return cls.of((high, piece) for high, stored in by_high.items() for piece in map(BitMap.deserialize, stored))
        except UNREADABLE as error:
            raise UnreadableError from error

    @classmethod
    def of(cls, pieces: Iterable[tuple[int, BitMap]]) -> "Versions":
        """Join pieces, each with what its versions are divided by 2^32."""
        by_high = defaultdict(list)
        for high, piece in pieces:
            by_high[high].append(piece)
        found = cls()
        found.parts |= {high: some[0] if len(some) == 1 else BitMap().union(*some) for high, some in by_high.items()}
        return found

    @classmethod
    def union(cls, sets: Iterable["Versions"]) -> "Versions":
        """Return what is in any of these sets."""
        return cls.of(part for one in sets for part in one.parts.items())

    def __and__(self, other: "Versions") -> "Versions":
        """Return what is in both."""
        return Versions.of((high, part & other.parts[high]) for high, part in self.parts.items() if high in other.parts)

    def __sub__(self, other: "Versions") -> "Versions":
        """Return what is in the first alone."""
        return Versions.of((high, part - other.parts.get(high, BitMap())) for high, part in self.parts.items())

    def __or__(self, other: "Versions") -> "Versions":
        """Return what is in either."""
        return Versions.union((self, other))

    def __iter__(self) -> Iterator[int]:
        """Yield them, in order."""
        return (high * WIDTH + low for high, part in sorted(self.parts.items()) for low in part)

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(map(len, self.parts.values()))

    def common(self, other: "Versions") -> int:
        """Return how many are in both."""
        parts = ((part, other.parts[high]) for high, part in self.parts.items() if high in other.parts)
        return sum(part.intersection_cardinality(theirs) for part, theirs in parts)

    def meets(self, other: "Versions") -> bool:
        """Tell whether any is in both."""
        return any(part.intersect(other.parts[high]) for high, part in self.parts.items() if high in other.parts)


@dataclass(frozen=True, eq=False)
class Dimension:
    """What of a noun's documents is indexed: a member, or of each item of a list, where it is ``many``, the item's ``item``.

    ``name`` is that of the filter, or `q`; ``column`` where the tables have it.
    """

    name: str
    column: Column | None
    member: str
    many: bool = False
    item: str | None = None

    def values(self, content: Content) -> Iterator[str]:
        """Yield what a content holds, as JSON; one of an earlier release may lack the member."""
        held: Any = content.get(self.member, () if self.many else None)
        for value in dict.fromkeys(row[self.item] if self.item else row for row in held) if self.many else (held,):
            yield encode(value)


@dataclass(frozen=True, eq=False)
class _Words(Dimension):
    """The words by which full text finds a record."""

    resource: Resource = field(kw_only=True)

    def values(self, content: Content) -> Iterator[str]:
        """Yield the words of a content, as JSON."""
        return map(encode, Entry.of(self.resource, content).words)


@cache
def dimensions(resource: Resource) -> Mapping[str, Dimension]:
    """Return what is indexed of a noun, by name: what facets count in its documents, or reach by an id there; dates; words."""
    dates = (name for name, field in resource.fields.items() if field.type.name == "date")
    found = [_dimension(resource, *name.split(".")[:2]) for name in dict.fromkeys([*resource.facets, *dates])]
    found += [_Words(WORDS, None, "", many=True, resource=resource)] if resource.search else []
    return {dimension.name: dimension for dimension in found if dimension}


def _dimension(resource: Resource, head: str, rest: str = "") -> Dimension | None:
    if head in resource.fields:
        field = resource.fields[head]
        return Dimension(head, field.column, field.name)
    relation = next(found for found in resource.relations if found.prefix == head)
    parts = (found for found in class_mapper(resource.model).relationships if found.mapper.class_ is relation.link)
    part = next(parts, None)
    field_of_part = relation.fields.get(rest)
    column = field_of_part.column if field_of_part else relation.target
    if part is None or column is None:
        # Others refer to the record, or there is nothing to count.
        return None
    member = resource.schema().fields[part.key]
    nested = getattr(member, "inner", member)
    assert isinstance(nested, fields.Nested)
    item = next(name for name, found in nested.schema.fields.items() if (found.attribute or name) == column.key)
    name = f"{head}.{rest}" if field_of_part and column is not relation.target else head
    return Dimension(name, column, part.key, many=True, item=None if isinstance(nested, fields.Pluck) else item)


@cache
def _signature() -> str:
    found = [
        (resource.name, resource.search, [(row.name, row.member, row.item) for row in dimensions(resource).values()])
        for resource in RESOURCES
    ]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def mark(version: int) -> str:
    """Return what says that the index is whole at a version of the dataset, and of which dimensions."""
    return f"{_signature()} {version}"


def read(stored: bytes) -> BitMap:
    """Return a piece. Raises UnreadableError."""
    try:
        return BitMap.deserialize(stored)
    except UNREADABLE as error:
        raise UnreadableError from error


def dimension_of(resource: Resource, column: Column | None) -> Dimension | None:
    """Return the dimension of a column, if there is one."""
    return next((found for found in dimensions(resource).values() if column is not None and found.column is column), None)


def replace(session: Session, resource: Resource, old: Mapping[int, Content], new: Mapping[int, Content]) -> None:
    """Take versions out of the index, and put others into it, each with what it says.

    The caller holds the ledger's head, so nobody else changes the index meanwhile. Raises UnreadableError, and has
    changed nothing then.
    """
    leaving, coming = sets(resource, old.items()), sets(resource, new.items())
    firsts = _firsts(session, resource, leaving.keys() | coming.keys())
    changed: dict[Place, tuple[BitMap, BitMap]] = defaultdict(lambda: (BitMap(), BitMap()))
    for side, by_key in enumerate((leaving, coming)):
        for key, versions in by_key.items():
            for high, part in versions.parts.items():
                for low in part:
                    # A piece begins at the latest where versions with these high bits do.
                    before = firsts[key][: bisect_right(firsts[key], high * WIDTH + low)]
                    changed[*key, max([high * WIDTH, *before[-1:]])][side].add(low)
    kept = _pieces(session, resource, changed.keys())
    written: list[dict[str, Any]] = []
    for place, (out, into) in changed.items():
        written += rows(resource, place, (kept.get(place, BitMap()) - out) | into)
    if kept:
        # One by one, where a list of places would be as long as they are many.
        gone = delete(Bitmap).where(*(getattr(Bitmap, name) == bindparam(f"old_{name}") for name in PLACE))
        session.connection().execute(gone, [_named(resource, place, "old_") for place in kept])
    if written:
        session.connection().execute(insert(Bitmap), written)


def rebuild(session: Session, resource: Resource, contents: Iterable[tuple[int, Content]]) -> None:
    """Make the index of a noun anew, from all that is published of it."""
    session.execute(delete(Bitmap).where(Bitmap.kind == resource.name))
    for key, versions in sets(resource, contents).items():
        written = [row for high, part in versions.parts.items() for row in rows(resource, (*key, high * WIDTH), part)]
        session.connection().execute(insert(Bitmap), written)


def faults(session: Session, resource: Resource, contents: Iterable[tuple[int, Content]]) -> Iterator[Key]:
    """Yield each dimension and value of a noun of which the index does not hold what is published, or not in its place."""
    kept: dict[Key, list[tuple[int, BitMap]]] = defaultdict(list)
    wrong = set()
    columns = (Bitmap.dimension, Bitmap.value, Bitmap.first, Bitmap.records, Bitmap.versions)
    for dimension, value, first, records, stored in session.execute(select(*columns).where(Bitmap.kind == resource.name)):
        try:
            piece = read(stored)
        except UnreadableError:
            piece = BitMap()
        kept[dimension, value].append((first, piece))
        if len(piece) != records or not piece or piece.min() < first % WIDTH:
            wrong.add((dimension, value))
    expected = sets(resource, contents)
    for key in sorted(kept.keys() | expected.keys()):
        pieces = sorted(kept.get(key, ()), key=itemgetter(0))
        overlap = any(
            piece and first // WIDTH * WIDTH + piece.max() >= after for (first, piece), (after, _) in pairwise(pieces)
        )
        there, due = Versions.of((first // WIDTH, piece) for first, piece in pieces), expected.get(key, Versions())
        if key in wrong or overlap or not len(there) == len(due) == there.common(due):
            yield key


def sets(resource: Resource, contents: Iterable[tuple[int, Content]]) -> dict[Key, Versions]:
    """Return the versions that hold each value, by dimension and value."""
    found: dict[Key, Versions] = defaultdict(Versions)
    for version, content in contents:
        for dimension in dimensions(resource).values():
            for value in dimension.values(content):
                found[dimension.name, value].add(version)
    return found


def rows(resource: Resource, place: Place, piece: BitMap) -> Iterator[dict[str, Any]]:
    """Yield the rows of what begins at a place; none where it is empty, more than one where it is large."""
    stored = piece.serialize()
    middle = piece[len(piece) // 2] // BLOCK * BLOCK if piece else 0
    # The block of the middle is cut off whole: before it, or behind it where there is nothing before.
    middle += BLOCK if piece and middle <= piece.min() else 0
    if len(stored) > PIECE and middle <= piece.max():
        low, high = piece.copy(), piece.copy()
        low.remove_range(middle, WIDTH)
        high.remove_range(0, middle)
        yield from rows(resource, place, low)
        yield from rows(resource, (*place[:2], place[2] // WIDTH * WIDTH + middle), high)
    elif piece:
        yield {**_named(resource, place), "records": len(piece), "versions": stored}


def _named(resource: Resource, place: Place, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in zip(PLACE, (resource.name, *place), strict=True)}


def _firsts(session: Session, resource: Resource, keys: Collection[Key]) -> dict[Key, list[int]]:
    """Return where the pieces of these sets begin, in their order."""
    found: dict[Key, list[int]] = {key: [] for key in keys}
    for dimension, value, first in _stored(session, resource, keys, Bitmap.first):
        insort(found[dimension, value], first)
    return found


def _pieces(session: Session, resource: Resource, places: Collection[Place]) -> dict[Place, BitMap]:
    rows = _stored(session, resource, places, Bitmap.first, Bitmap.versions)
    return {(dimension, value, first): read(stored) for dimension, value, first, stored in rows}


def _stored(session: Session, resource: Resource, keys: Collection[Key] | Collection[Place], *columns: Any) -> Iterator[Any]:
    """Yield the dimension, the value and further columns of all pieces with these first columns of their key."""
    wanted = sorted(keys)
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        key = tuple_(*[getattr(Bitmap, name) for name in PLACE[1 : 1 + len(some[0])]])
        asked = select(Bitmap.dimension, Bitmap.value, *columns).where(Bitmap.kind == resource.name, key.in_(some))
        yield from session.connection().execute(asked)
