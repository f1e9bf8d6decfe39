"""Records as the tables have them: rows with the rows of their parts, read by one statement for each table."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, select
from sqlalchemy.orm import RelationshipProperty, Session, class_mapper
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
    columns: Sequence[str]
    member: str = ""
    local: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    conditions: Sequence[ColumnElement[bool]] = ()
    order: Sequence[ColumnElement[Any]] = ()
    parts: tuple["_Source", ...] = ()

    def select(self, ids: Among) -> Select[Any]:
        """Return a SELECT of the rows of some records."""
        of_records = ids.condition(self.table.c[self.owner])
        rows = select(*(self.table.c[name] for name in self.columns))
        return rows.where(of_records, *self.conditions).order_by(*self.order)


def read(session: Session, resource: Resource, ids: Sequence[str], *, derived: bool = False) -> dict[str, Row]:
    """Return the rows of those records that exist, by id. Raises what SQLAlchemy does for a value that is not of its type.

    With ``derived``, they have nothing but the id, and the parts that other records decide.
    """
    return {row.id: row for row in _read(session, _source(resource, derived=derived), ids)}


def new(resource: Resource) -> Row:
    """Return what `read` does of a record that no other one has anything to do with, with ``derived``."""
    return Row(**{part.member: [] for part in _source(resource, derived=True).parts})


def _read(session: Session, source: _Source, ids: Sequence[str]) -> list[Row]:
    rows = [Row(**row._asdict()) for row in statements.of_ids(session, source.shape, ids, source.select)]
    for part in source.parts if rows else ():
        below: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in _read(session, part, ids):
            below[tuple([getattr(row, name) for name in part.remote])].append(row)
        for row in rows:
            setattr(row, part.member, below.get(tuple([getattr(row, name) for name in part.local]), []))
    return rows


@cache
def _source(resource: Resource, *, derived: bool) -> _Source:
    mapper = class_mapper(resource.model)
    parts = [part for part in mapper.relationships if part.viewonly or not derived]
    columns = ["id"] if derived else [*mapper.local_table.c.keys()]
    shape = ("rows", resource.name, derived)
    return _Source(shape, mapper.local_table, "id", columns, parts=tuple(_part(part, "id") for part in parts))


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
        columns=[*relationship.mapper.local_table.c.keys()],
        member=relationship.key,
        local=(*pairs,),
        remote=(*pairs.values(),),
        conditions=own,
        order=relationship.order_by or (),
        parts=tuple(_part(part, pairs[owner]) for part in relationship.mapper.relationships),
    )
