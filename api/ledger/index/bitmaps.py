"""The bitmap index: for each value of a dimension, such as a facet or a word, the set of current revisions that have it.

A facet over a million records takes a few set operations for each value, whatever the filter is, and so does counting the
records that meet several filters (P. O'Neil, "Model 204 Architecture and Performance", HPTS 1987). Each set is stored in
pieces, so that a write rewrites little of a large set. `publish` updates the index in the transaction that changes the
revisions.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, groupby, islice, pairwise
from typing import Any

from pyroaring import BitMap, FrozenBitMap
from sqlalchemy import Delete, LargeBinary, Select, bindparam, delete, func, insert, literal, select
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from api.db import inserts, statements
from api.db.statements import Listed
from api.db.types import Base, Version, table_of
from api.ledger.index import words
from api.ledger.index.dimensions import dimensions, signature
from api.ledger.index.versions import WIDTH, UnreadableError, Versions, read_piece
from api.schema.canonical import Content
from api.schema.resource import Resource

# A piece of more bytes is split between blocks of 2^16 versions; one block takes at most 8 KB.
PIECE = 10_000
BLOCK = 1 << 16
# Sets that one statement reads, and rows that are fetched at once.
KEYS = 1_000
# Records whose versions are in memory one by one.
WINDOW = 1 << 15
NONE = FrozenBitMap()
# Above every version.
END = 2**63 - 1
PLACE = ("kind", "dimension", "value", "first")
# The parameters of a DELETE.
OLD = tuple(f"old_{name}" for name in PLACE)

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
    stored = _pieces(session, resource, [leaving, coming])
    firsts: dict[ValueKey, list[int]] = defaultdict(list)
    for *key, first in sorted(stored):
        firsts[key[0], key[1]].append(first)
    removed, added = (_by_place(sets_of_side, firsts) for sets_of_side in (leaving, coming))
    rows: dict[Place, dict[str, Any]] = {}
    places = removed.keys() | added.keys()
    for place in places:
        piece = stored.get(place) or BitMap()
        piece -= removed.get(place, NONE)
        piece |= added.get(place, NONE)
        rows |= {(row["dimension"], row["value"], row["first"]): row for row in _rows(resource, place, piece)}
    if gone := [dict(zip(OLD, (resource.name, *place), strict=True)) for place in places & stored.keys() - rows.keys()]:
        statements.change(session, "delete pieces", _deletion, gone, awaited=False)
    inserts.replace(session, table_of(Bitmap), [*rows.values()], awaited=False)


def rebuild(session: Session, resource: Resource, contents: Iterable[tuple[int, Content]]) -> None:
    """Replace the whole index of a noun, given the versions and documents of all its current revisions."""
    session.execute(delete(Bitmap).where(Bitmap.kind == resource.name))
    rest, whole = iter(contents), dict[ValueKey, Versions]()
    for first in rest:
        for key, versions in sets(resource, chain([first], islice(rest, WINDOW - 1))).items():
            whole[key] = whole[key] | versions if key in whole else versions
    for key, versions in whole.items():
        rows = [row for high, part in versions.parts.items() for row in _rows(resource, (*key, high * WIDTH), part)]
        session.connection().execute(insert(Bitmap), rows)


def faults(session: Session, resource: Resource, contents: Iterable[tuple[int, Content]]) -> Iterator[ValueKey]:
    """Yield each dimension and value of a noun whose set differs from the current revisions, or whose pieces are misplaced.

    ``contents`` come in the order of their versions. `WINDOW` records are compared at a time.
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
    result: dict[ValueKey, list[int]] = defaultdict(list)
    every = dimensions(resource).values()
    for version, content in contents:
        for dimension in every:
            for value in dimension.values(content):
                result[dimension.name, value].append(version)
    return {key: Versions(versions) for key, versions in result.items()}


def _by_place(sets: Mapping[ValueKey, Versions], firsts: Mapping[ValueKey, list[int]]) -> dict[Place, BitMap]:
    """Return the low bits of the versions of some sets, by the place of the piece that each belongs to."""
    result: dict[Place, BitMap] = defaultdict(BitMap)
    for key, versions in sets.items():
        for high, part in versions.parts.items():
            start = high * WIDTH
            # Without a piece before it, a version begins one at the start of its 2^32 versions.
            bounds = [0, *(first - start for first in firsts.get(key, ()) if 0 < first - start < WIDTH), WIDTH]
            for low, end in pairwise(bounds):
                some = part.copy()
                some.remove_range(0, low)
                some.remove_range(end, WIDTH)
                if some:
                    result[*key, start + low] = some
    return result


def _rows(resource: Resource, place: Place, piece: BitMap) -> Iterator[dict[str, Any]]:
    """Yield the rows of a piece: none if it is empty, several if it is large."""
    # Records that are entered together have many values in common, and their versions follow one another.
    piece.run_optimize()
    data = piece.serialize()
    if len(data) > PIECE and (middle := _middle(piece)) <= piece.max():
        low, high = piece.copy(), piece.copy()
        low.remove_range(middle, WIDTH)
        high.remove_range(0, middle)
        yield from _rows(resource, place, low)
        yield from _rows(resource, (*place[:2], place[2] // WIDTH * WIDTH + middle), high)
    elif piece:
        dimension, value, first = place
        key = {"kind": resource.name, "dimension": dimension, "value": value, "first": first}
        yield {**key, "records": len(piece), "versions": data}


def _middle(piece: BitMap) -> int:
    """Return where to split a piece: before the block of its middle version, or after it if that block is the first."""
    middle = int(piece[len(piece) // 2]) // BLOCK * BLOCK
    return middle if middle > piece.min() else middle + BLOCK


def _pieces(session: Session, resource: Resource, sides: Sequence[Mapping[ValueKey, Versions]]) -> dict[Place, BitMap]:
    """Return the stored pieces to which versions of these sets belong. Raises UnreadableError."""
    listed = [
        [*key, high * WIDTH + part.min(), high * WIDTH + part.max(), high * WIDTH]
        for sets_of_side in sides
        for key, versions in sets_of_side.items()
        for high, part in versions.parts.items()
    ]
    columns = table_of(Bitmap).c
    types = [columns.dimension.type, columns.value.type, *[columns.first.type] * 3]
    result: dict[Place, BitMap] = {}
    for start in range(0, len(listed), KEYS):
        rows = statements.of_listed(
            session, ("pieces", resource.name), types, listed[start : start + KEYS], partial(_select_pieces, resource)
        )
        result |= {(dimension, value, first): read_piece(data) for dimension, value, first, data in rows}
    return result


def _select_pieces(resource: Resource, listed: Listed) -> Select[Any]:
    """Select the pieces of sets, from the one that has the lowest of some versions to the one that has the highest."""
    dimension, value, low, high, start = listed.columns
    before = aliased(Bitmap)
    of_set = (before.kind == literal(resource.name), before.dimension == dimension, before.value == value)
    in_range = (before.first <= low, before.first >= start)
    lowest = select(func.max(before.first)).where(*of_set, *in_range).correlate(listed.table).scalar_subquery()
    table = table_of(Bitmap)
    is_of_set = (table.c.kind == literal(resource.name), table.c.dimension == dimension, table.c.value == value)
    columns = [table.c[name] for name in ("dimension", "value", "first", "versions")]
    return listed.select(columns, *is_of_set, table.c.first >= func.coalesce(lowest, low), table.c.first <= high)


def _deletion() -> Delete:
    table = table_of(Bitmap)
    return delete(table).where(*(table.c[name] == bindparam(old) for name, old in zip(PLACE, OLD, strict=True)))
