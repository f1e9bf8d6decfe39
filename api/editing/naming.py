"""Checks that no two records have a name in common: names that differ only in case, spacing or normalization are the same.

The database knows only equal texts: no two databases fold the letters of all scripts alike.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from functools import cache, partial
from typing import Any

from sqlalchemy import Column, CompoundSelect, Select, Table, func, select, union_all
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


def check(session: Session, resource: Resource, changed: Changed, refused: Refused) -> None:
    """Refuse changed records that have the name of another record with the same values of the rest of the key."""
    below = layout(resource)
    for rest, called in _keys(resource):
        if operations := changed(resource.name, *(below.names[name] for name in (*rest, *called))):
            for ids in _namesakes(session, resource, rest, called, operations):
                for id in (id for id in ids if id in operations):
                    other = next(other for other in ids if other != id)
                    members = [below.names[name] for name in (*rest, *called)]
                    _refuse(operations[id], members, other, refused)


def suspects(session: Session, resource: Resource) -> AbstractSet[str]:
    """Return the ids of all records that have a name in common, sorted in a file and not in memory."""
    table, ids = layout(resource).table, set()
    for rest, called in _keys(resource):
        columns = [table.c[name] for name in ("id", *rest, *called)]
        rows = session.execute(select(*columns).execution_options(yield_per=BATCH))
        keyed = ((id, repr((values[: len(rest)], [*map(names.key, values[len(rest) :])]))) for id, *values in rows)
        # SQLite deletes a file without a name when it is closed.
        with closing(sqlite3.connect("")) as disk:
            disk.execute("create table called (id, key)")
            disk.executemany("insert into called values (?, ?)", keyed)
            shared = "select key from called group by key having count(*) > 1"
            ids |= {id for (id,) in disk.execute(f"select id from called where key in ({shared})")}  # noqa: S608
    return ids


@cache
def _keys(resource: Resource) -> Sequence[tuple[Sequence[str], Sequence[str]]]:
    """Return the columns of each key of a noun that has names: those of its other values, and those of names."""
    below = layout(resource)
    keys = [(columns, [name for name in columns if name in below.called]) for columns in unique_keys(below.table)]
    return [([name for name in columns if name not in called], called) for columns, called in keys if called]


def _namesakes(
    session: Session, resource: Resource, rest: Sequence[str], called: Sequence[str], operations: Mapping[str, Operation]
) -> Sequence[Sequence[str]]:
    """Return the ids of the records that have a name in common."""
    table = layout(resource).table
    by_name: dict[KeyValues, set[str]] = defaultdict(set)

    def add(rows: Iterable[Any]) -> None:
        for id, *values in rows:
            by_name[*values[: len(rest)], *map(names.key, values[len(rest) :])].add(id)

    build = partial(_select_keys, [table.c[name] for name in ("id", *rest, *called)])
    for chunk in chunks(operations):
        add(statements.of_ids(session, ("named", table.name, *rest, *called), chunk, build))
    add(_alike(session, table, rest, called, by_name.keys()))
    return [sorted(ids) for ids in by_name.values() if len(ids) > 1 and ids & operations.keys()]


def _select_keys(columns: Sequence[Column[Any]], ids: Among) -> Select[Any]:
    return select(*columns).where(ids.condition(columns[0]))


def _alike(
    session: Session, table: Table, rest: Sequence[str], called: Sequence[str], wanted: AbstractSet[KeyValues]
) -> Iterator[Any]:
    """Yield the id and the key of each record that may have one of these names, some of them several times.

    A name in ASCII has its key in lower case, which an index finds. Any other name may have any key.
    """
    build = partial(_select_alike, session.get_bind().dialect.name, table, rest, called)
    columns = (*rest, *called)
    types = [table.c[name].type for name in columns]
    # Null and text have no order.
    every = sorted(wanted, key=repr)
    for start in range(0, len(every), CHUNK):
        yield from statements.of_listed(session, ("alike", table.name, *columns), types, every[start : start + CHUNK], build)


def _select_alike(
    dialect: str, table: Table, rest: Sequence[str], called: Sequence[str], listed: Listed
) -> CompoundSelect[Any]:
    name, columns = table.c[called[-1]], [table.c[column] for column in ("id", *rest, *called)]
    values = dict(zip((*rest, *called), listed.columns, strict=True))
    same = [never_null(table.c[column]) == never_null(values[column]) for column in rest]
    in_ascii = listed.select(columns, func.lower(name) == values[called[-1]], *same)
    return union_all(in_ascii, listed.select(columns, beyond_ascii(name, dialect), *same))


def _refuse(operation: Operation, members: Sequence[str], other: str, refused: Refused) -> None:
    kind = operation.resource
    named = " and ".join(f"`{member}`" for member in members)
    detail = (
        f"{named} {'are those' if len(members) > 1 else 'is that'} of the {kind.singular} `{other}`: case, spacing and "
        "normalization make no difference."
    )
    records = [{"kind": kind.name, "id": other}]
    refused.value(operation, f"/{members[-1]}", "not-unique", detail, problem="conflict", records=records)
