"""Records as the tables have them: rows with the rows of their parts, read by one statement for each table."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, select
from sqlalchemy.orm import Mapper, RelationshipProperty, class_mapper
from sqlalchemy.sql.elements import BooleanClauseList
from sqlalchemy.sql.visitors import iterate

from api.db import statements
from api.db.statements import Among
from api.schema.resource import Resource

# A row: an attribute for each column, and for each part a list of its rows.
Row = SimpleNamespace


@dataclass(frozen=True, eq=False)
class _Source:
    """A table that has rows of records, and its parts.

    ``owner`` is its column with the ids of the records. Of a part, ``member`` is the list that holds its rows; ``local`` and
    ``remote`` are the columns that its rows have in common with the row above; ``conditions`` choose its rows, in ``order``.
    """

    shape: Hashable
    table: FromClause
    owner: str
    member: str = ""
    local: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    conditions: Sequence[ColumnElement[bool]] = ()
    order: Sequence[ColumnElement[Any]] = ()
    parts: tuple["_Source", ...] = ()

    def select(self, ids: Among) -> Select[Any]:
        """Return a SELECT of the rows of some records."""
        rows = select(*self.table.c).where(ids.condition(self.table.c[self.owner]), *self.conditions)
        return rows.order_by(*self.order)


def read(session: Any, resource: Resource, ids: Sequence[str]) -> dict[str, Row]:
    """Return the rows of those records that exist, by id. Raises what SQLAlchemy does for a value that is not of its type."""
    return {row.id: row for row in _read(session, _source(resource), ids)}


def _read(session: Any, source: _Source, ids: Sequence[str]) -> list[Row]:
    rows = [Row(**row._asdict()) for row in statements.of_ids(session, source.shape, ids, source.select)]
    for part in source.parts if rows else ():
        below: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in _read(session, part, ids):
            below[tuple([getattr(row, name) for name in part.remote])].append(row)
        for row in rows:
            setattr(row, part.member, below.get(tuple([getattr(row, name) for name in part.local]), []))
    return rows


@cache
def _source(resource: Resource) -> _Source:
    mapper = class_mapper(resource.model)
    return _Source(("rows", resource.name), mapper.local_table, "id", parts=_parts(mapper, "id"))


def _parts(mapper: Mapper[Any], owner: str) -> tuple[_Source, ...]:
    return tuple(_part(relationship, owner) for relationship in mapper.relationships)


def _part(relationship: RelationshipProperty[Any], owner: str) -> _Source:
    """Return the table that a relationship leads to; ``owner`` is the column above with the ids of the records."""
    above, joined = relationship.parent.local_table, relationship.primaryjoin
    pairs = {local.name: remote.name for local, remote in relationship.local_remote_pairs or ()}
    clauses = joined.clauses if isinstance(joined, BooleanClauseList) else [joined]
    own = [clause for clause in clauses if not any(getattr(element, "table", None) is above for element in iterate(clause))]
    return _Source(
        shape=("rows", str(relationship)),
        table=relationship.mapper.local_table,
        owner=pairs[owner],
        member=relationship.key,
        local=(*pairs,),
        remote=(*pairs.values(),),
        conditions=own,
        order=relationship.order_by or (),
        parts=_parts(relationship.mapper, pairs[owner]),
    )
