"""Checks that no two records have a name in common: names that differ only in case, spacing or normalization are the same.

The database knows only equal texts: no two databases fold the letters of all scripts alike.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import CompoundSelect, Select, Table, func, select, union_all
from sqlalchemy.orm import Session

from api.db import statements
from api.db.statements import Among, Listed
from api.db.types import beyond_ascii, never_null
from api.editing.operations import Operation, Refused
from api.editing.rows import layout, unique_keys
from api.editing.staging import CHUNK, KeyValues, chunks
from api.ledger.models import BATCH
from api.schema import names
from api.schema.resource import Resource

# Returns the operations that changed one of the members of a noun's records, by id.
Changed = Callable[..., Mapping[str, Operation]]


class NameKey(NamedTuple):
    """A unique key of a noun with names: the columns of its other values (``rest``), and those of the names (``called``)."""

    table: Table
    rest: tuple[str, ...]
    called: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns."""
        return (*self.rest, *self.called)

    def of(self, values: Sequence[Any]) -> KeyValues:
        """Return what records have in common if they cannot have these values of the columns at the same time."""
        count = len(self.rest)
        return (*values[:count], *map(names.key, values[count:]))


@cache
def _keys(resource: Resource) -> Sequence[NameKey]:
    """Return the keys of a noun that have names."""
    below = layout(resource)
    keys = [(columns, tuple(name for name in columns if name in below.called)) for columns in unique_keys(below.table)]
    return [
        NameKey(below.table, tuple(name for name in columns if name not in called), called)
        for columns, called in keys
        if called
    ]


def keys_of(resource: Resource, data: Mapping[str, Any]) -> Sequence[KeyValues]:
    """Return each key that has names of a record, given its values by column."""
    return [key.of([data[name] for name in key.columns]) for key in _keys(resource)]


def check(
    session: Session, resource: Resource, changed: Changed, refused: Refused, keys: Mapping[str, Sequence[KeyValues]]
) -> None:
    """Refuse changed records that have the name of another record with the same values of the rest of the key.

    ``keys`` has what `keys_of` returns of those of them that are known, by id.
    """
    below = layout(resource)
    for number, key in enumerate(_keys(resource)):
        members = [below.names[name] for name in key.columns]
        operations = changed(resource.name, *members)
        for chunk in map(frozenset, chunks(operations)):
            known = {id: keys[id][number] for id in chunk if id in keys}
            for ids in _namesakes(session, key, chunk, known):
                for id in (id for id in ids if id in chunk):
                    _refuse(operations[id], members, next(other for other in ids if other != id), refused)


def suspects(session: Session, resource: Resource) -> Iterator[AbstractSet[str]]:
    """Yield the ids of the records that have a name in common, for each such name; they are sorted in a file, not in memory."""
    for key in _keys(resource):
        columns = [key.table.c[name] for name in ("id", *key.columns)]
        rows = session.execute(select(*columns).execution_options(yield_per=BATCH))
        keyed = ((id, repr(key.of(values))) for id, *values in rows)
        # SQLite deletes a file without a name when it is closed.
        with closing(sqlite3.connect("")) as disk:
            disk.execute("create table called (id, key)")
            disk.executemany("insert into called values (?, ?)", keyed)
            shared = "select key from called group by key having count(*) > 1"
            namesakes = disk.execute(f"select key, id from called where key in ({shared}) order by key, id")  # noqa: S608
            yield from (frozenset(id for _, id in some) for _, some in groupby(namesakes, itemgetter(0)))


def _namesakes(
    session: Session, key: NameKey, ids: AbstractSet[str], known: Mapping[str, KeyValues]
) -> Sequence[Sequence[str]]:
    """Return the ids of the records that have a name in common with some; ``known`` has the keys of some of these."""
    by_name: dict[KeyValues, set[str]] = defaultdict(set)
    for id, values in known.items():
        by_name[values].add(id)
    read = statements.of_ids(session, ("named", *key), sorted(ids - known.keys()), partial(_select_named, key))
    for id, *values in (*read, *_alike(session, key, {*by_name, *(key.of(values) for _, *values in read)})):
        by_name[key.of(values)].add(id)
    return [sorted(namesakes) for namesakes in by_name.values() if len(namesakes) > 1 and namesakes & ids]


def _select_named(key: NameKey, ids: Among) -> Select[Any]:
    return select(*(key.table.c[name] for name in ("id", *key.columns))).where(ids.condition(key.table.c.id))


def _alike(session: Session, key: NameKey, wanted: AbstractSet[KeyValues]) -> Iterator[Any]:
    """Yield the id and the values of each record that may have one of these names, some of them several times.

    A name in ASCII has its key in lower case, which an index finds. Any other name may have any key.
    """
    build = partial(_select_alike, session.get_bind().dialect.name, key)
    types = [key.table.c[name].type for name in key.columns]
    # Null and text have no order.
    every = sorted(wanted, key=repr)
    for start in range(0, len(every), CHUNK):
        yield from statements.of_listed(session, ("alike", *key), types, every[start : start + CHUNK], build)


def _select_alike(dialect: str, key: NameKey, listed: Listed) -> CompoundSelect[Any]:
    columns = key.table.c
    values = dict(zip(key.columns, listed.columns, strict=True))
    same = [never_null(columns[name]) == never_null(values[name]) for name in key.rest]
    read, name = [columns[name] for name in ("id", *key.columns)], columns[key.called[-1]]
    in_ascii = listed.select(read, func.lower(name) == values[name.name], *same)
    return union_all(in_ascii, listed.select(read, beyond_ascii(name, dialect), *same))


def _refuse(operation: Operation, members: Sequence[str], other: str, refused: Refused) -> None:
    kind = operation.resource
    named = " and ".join(f"`{member}`" for member in members)
    detail = (
        f"{named} {'are those' if len(members) > 1 else 'is that'} of the {kind.singular} `{other}`: case, spacing and "
        "normalization make no difference."
    )
    records = [{"kind": kind.name, "id": other}]
    refused.value(operation, f"/{members[-1]}", "not-unique", detail, problem="conflict", records=records)
