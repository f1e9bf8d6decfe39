"""The bitmap index: for each value of a dimension, such as a facet or a word, the set of current revisions that have it.

A facet over a million records takes a few set operations for each value, whatever the filter is, and so does counting the
records that meet several filters (P. O'Neil, "Model 204 Architecture and Performance", HPTS 1987). Each set is stored in
pieces, so that a write rewrites little of a large set. `publish` updates the index in the transaction that changes the
revisions.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice, pairwise
from typing import Any

from pyroaring import BitMap
from sqlalchemy import LargeBinary, bindparam, delete, insert, select, tuple_
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.db.types import Base, Version
from api.ledger.index import words
from api.ledger.index.dimensions import dimensions, signature
from api.ledger.index.versions import WIDTH, UnreadableError, Versions, read_piece
from api.schema.canonical import Content
from api.schema.resource import Resource

# A piece of more bytes is split between blocks of 2^16 versions; one block takes at most 8 KB.
PIECE = 10_000
BLOCK = 1 << 16
# Keys in one statement, because databases limit the number of parameters.
KEYS = 1_000
# Records whose sets `faults` holds in memory at once.
WINDOW = 1 << 15
# Above every version.
END = 2**63 - 1
PLACE = ("kind", "dimension", "value", "first")

# A dimension and a value.
ValueKey = tuple[str, str]
# The same, with the first version of a piece.
Place = tuple[str, str, int]


class Bitmap(Base):
    """A piece of the set of a value: its versions, modulo 2^32, from ``first`` up to the first version of the next piece."""

    __tablename__ = "bitmap_index"
    kind: Mapped[str] = mapped_column(primary_key=True)
    dimension: Mapped[str] = mapped_column(primary_key=True)
    # As `encode` writes it.
    value: Mapped[str] = mapped_column(primary_key=True)
    first: Mapped[int] = mapped_column(Version, primary_key=True, autoincrement=False)
    records: Mapped[int]
    versions: Mapped[bytes] = mapped_column(LargeBinary)


def stamp(version: int) -> str:
    """Return the text that `Head.indexed` has if the index is complete at a version and has today's dimensions and words."""
    return f"{signature()} {words.VERSION} {version}"


def replace(session: Session, resource: Resource, old: Mapping[int, Content], new: Mapping[int, Content]) -> None:
    """Remove old versions with their documents, and add new ones.

    The caller holds the lock on the ledger's head, so no other transaction changes the index. Raises UnreadableError before
    anything was changed.
    """
    leaving, coming = sets(resource, old.items()), sets(resource, new.items())
    firsts = _firsts(session, resource, leaving.keys() | coming.keys())
    removed, added = (_by_place(sets_of_side, firsts) for sets_of_side in (leaving, coming))
    places = removed.keys() | added.keys()
    stored = _pieces(session, resource, places)
    rows: list[dict[str, Any]] = []
    for place in places:
        rows += _rows(resource, place, (stored.get(place, BitMap()) - removed[place]) | added[place])
    if stored:
        # One statement for each place: a list of all places would have too many parameters.
        statement = delete(Bitmap).where(*(getattr(Bitmap, name) == bindparam(f"old_{name}") for name in PLACE))
        session.connection().execute(statement, [_primary_key(resource, place, "old_") for place in stored])
    if rows:
        session.connection().execute(insert(Bitmap), rows)


def rebuild(session: Session, resource: Resource, contents: Iterable[tuple[int, Content]]) -> None:
    """Replace the whole index of a noun, given the versions and documents of all its current revisions."""
    session.execute(delete(Bitmap).where(Bitmap.kind == resource.name))
    for key, versions in sets(resource, contents).items():
        rows = [row for high, part in versions.parts.items() for row in _rows(resource, (*key, high * WIDTH), part)]
        session.connection().execute(insert(Bitmap), rows)


def faults(session: Session, resource: Resource, contents: Iterable[tuple[int, Content]]) -> Iterator[ValueKey]:
    """Yield each dimension and value of a noun whose set differs from the current revisions, or whose pieces are misplaced.

    ``contents`` come in the order of their versions. The sets of `WINDOW` records are in memory at a time.
    """
    rows, start, due, wrong = iter(contents), 0, dict[ValueKey, Versions](), set[ValueKey]()
    for version, content in rows:
        wrong |= _differences(session, resource, due, start, version)
        start, due = version, sets(resource, chain([(version, content)], islice(rows, WINDOW - 1)))
    wrong |= _differences(session, resource, due, start, END)
    yield from sorted(wrong)


def _differences(session: Session, resource: Resource, due: dict[ValueKey, Versions], start: int, end: int) -> set[ValueKey]:
    """Return the keys whose sets differ between two versions, and those with misplaced pieces before the second."""
    columns = (Bitmap.dimension, Bitmap.value, Bitmap.first, Bitmap.records, Bitmap.versions)
    statement = select(*columns).where(Bitmap.kind == resource.name, Bitmap.first < end)
    ordered = statement.order_by(*columns[:3]).execution_options(yield_per=KEYS)
    wrong = set()
    for key, rows in groupby(session.execute(ordered), lambda row: (row.dimension, row.value)):
        pieces = [_piece(row) for row in rows]
        stored = Versions.of((first // WIDTH, piece) for first, piece in pieces).within(start, end)
        expected = due.pop(key, Versions())
        if _are_misplaced(pieces) or not len(stored) == len(expected) == stored.common(expected):
            wrong.add(key)
    return wrong | due.keys()


def _piece(row: Any) -> tuple[int, BitMap]:
    """Return the first version of a stored piece, and the piece; an empty one if it is damaged."""
    try:
        piece = read_piece(row.versions)
    except UnreadableError:
        return row.first, BitMap()
    is_whole = len(piece) == row.records and piece and piece.min() >= row.first % WIDTH
    return row.first, piece if is_whole else BitMap()


def _are_misplaced(pieces: Sequence[tuple[int, BitMap]]) -> bool:
    """Tell whether a piece of a set is empty or reaches into the next one; no stored piece is empty."""
    return not all(piece for _, piece in pieces) or any(
        first // WIDTH * WIDTH + piece.max() >= after for (first, piece), (after, _) in pairwise(pieces)
    )


def sets(resource: Resource, contents: Iterable[tuple[int, Content]]) -> dict[ValueKey, Versions]:
    """Return the versions that have each value, by dimension and value."""
    result: dict[ValueKey, Versions] = defaultdict(Versions)
    for version, content in contents:
        for dimension in dimensions(resource).values():
            for value in dimension.values(content):
                result[dimension.name, value].add(version)
    return result


def _by_place(sets: Mapping[ValueKey, Versions], firsts: Mapping[ValueKey, list[int]]) -> dict[Place, BitMap]:
    """Return the low bits of the versions of some sets, by the place of the piece that each belongs to."""
    result: dict[Place, BitMap] = defaultdict(BitMap)
    for key, versions in sets.items():
        for high, part in versions.parts.items():
            for low in part:
                before = firsts[key][: bisect_right(firsts[key], high * WIDTH + low)]
                # Without a piece before it, a version begins one at the start of its 2^32 versions.
                result[*key, max([high * WIDTH, *before[-1:]])].add(low)
    return result


def _rows(resource: Resource, place: Place, piece: BitMap) -> Iterator[dict[str, Any]]:
    """Yield the rows of a piece: none if it is empty, several if it is large."""
    data = piece.serialize()
    middle = piece[len(piece) // 2] // BLOCK * BLOCK if piece else 0
    # Split at a block's boundary: before the block of the middle version, or after it if nothing is before it.
    middle += BLOCK if piece and middle <= piece.min() else 0
    if len(data) > PIECE and middle <= piece.max():
        low, high = piece.copy(), piece.copy()
        low.remove_range(middle, WIDTH)
        high.remove_range(0, middle)
        yield from _rows(resource, place, low)
        yield from _rows(resource, (*place[:2], place[2] // WIDTH * WIDTH + middle), high)
    elif piece:
        yield {**_primary_key(resource, place), "records": len(piece), "versions": data}


def _primary_key(resource: Resource, place: Place, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in zip(PLACE, (resource.name, *place), strict=True)}


def _firsts(session: Session, resource: Resource, keys: Collection[ValueKey]) -> dict[ValueKey, list[int]]:
    """Return the first versions of the pieces of these sets, in ascending order."""
    result: dict[ValueKey, list[int]] = {key: [] for key in keys}
    for dimension, value, first in _stored(session, resource, keys, Bitmap.first):
        insort(result[dimension, value], first)
    return result


def _pieces(session: Session, resource: Resource, places: Collection[Place]) -> dict[Place, BitMap]:
    """Return the stored pieces of some places. Raises UnreadableError."""
    rows = _stored(session, resource, places, Bitmap.first, Bitmap.versions)
    return {(dimension, value, first): read_piece(data) for dimension, value, first, data in rows}


def _stored(
    session: Session, resource: Resource, keys: Collection[ValueKey] | Collection[Place], *columns: Any
) -> Iterator[Any]:
    """Yield the dimension, the value and further columns of the pieces whose primary key begins with one of these keys."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), KEYS):
        some = ordered[start : start + KEYS]
        key = tuple_(*[getattr(Bitmap, name) for name in PLACE[1 : 1 + len(some[0])]])
        statement = select(Bitmap.dimension, Bitmap.value, *columns).where(Bitmap.kind == resource.name, key.in_(some))
        yield from session.connection().execute(statement)
