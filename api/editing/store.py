"""Writes staged changes: deletes rows, then updates them, then inserts them.

Foreign keys are deferred to the end of the transaction, so the order of the rows within each step does not matter.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from sqlalchemy import Column, Delete, String, Table, UniqueConstraint, Update, bindparam, delete, update
from sqlalchemy.orm import Session

from api.db import inserts, statements
from api.db.statements import Among
from api.db.types import Base
from api.editing.operations import Change
from api.editing.rows import Layout, layout, owners
from api.editing.staging import CHUNK, Staging, chunks
from api.resources import RESOURCES
from api.resources.citations import Citation

SUBJECT = ("subject_kind", "subject_id")
DEFER: Mapping[str, str] = {"postgresql": "set constraints all deferred", "sqlite": "pragma defer_foreign_keys = on"}


def defer_foreign_keys(session: Session) -> None:
    """Let the database check foreign keys at the end of the transaction, or at `check_foreign_keys`."""
    connection = statements.connection_of(session)
    connection.exec_driver_sql(DEFER[connection.dialect.name])


def check_foreign_keys(session: Session) -> None:
    """Let PostgreSQL check foreign keys now, which raises IntegrityError; SQLite can only check them at the commit."""
    if session.get_bind().dialect.name == "postgresql":
        statements.connection_of(session).exec_driver_sql("set constraints all immediate")


def write(session: Session, staging: Staging) -> None:
    """Write the changes, which were checked."""
    table = Base.metadata.tables[Citation.__tablename__]
    citations = staging.changes_of(Citation.__tablename__).values()
    _delete(session, table, "id", [change.id for change in citations if change.content is None])
    # A citation goes with its subject: one that another record gets must leave a deleted one first.
    _move(session, [change for change in citations if change.before and change.content and change.changed & {*SUBJECT}])
    for resource in RESOURCES:
        changes = staging.changes_of(resource.name).values()
        _delete(session, layout(resource).table, "id", [change.id for change in changes if change.content is None])
    for resource in RESOURCES:
        changes = staging.changes_of(resource.name).values()
        if updated := [change for change in changes if change.content and change.before]:
            _update(session, staging, layout(resource), updated)
    new = [
        (table, rows) for table in _tables() if (rows := [row.row.values for row in staging.rows_of(table.name) if row.is_new])
    ]
    for place, (table, rows) in enumerate(new, 1):
        # The last one raises the errors of all.
        inserts.add(session, table, rows, awaited=place == len(new))


@cache
def _tables() -> Sequence[Table]:
    """Return the tables of nouns and parts, each after those that it refers to."""
    return [table for table in Base.metadata.sorted_tables if table.name in owners()]


def _move(session: Session, citations: Sequence[Change]) -> None:
    """Give citations their new subjects."""
    table = Base.metadata.tables[Citation.__tablename__]
    if citations:
        statement = (
            update(table).where(table.c.id == bindparam("key")).values({name: bindparam(f"new_{name}") for name in SUBJECT})
        )
        rows = [{"key": row.id, **{f"new_{name}": (row.content or {})[name] for name in SUBJECT}} for row in citations]
        session.connection().execute(statement, rows)


def _delete(session: Session, table: Table, column: str, ids: Sequence[str]) -> None:
    for chunk in chunks(ids):
        among = statements.among(session, chunk)
        shape = ("delete", table.name, column, among.shape)
        statements.change(session, shape, partial(_deletion, table.c[column], among), among.values)


def _deletion(column: Column[Any], among: Among) -> Delete:
    return delete(column.table).where(among.condition(column))


def _update(session: Session, staging: Staging, layout: Layout, changes: Sequence[Change]) -> None:
    """Update the rows of a noun's own table, and delete the rows of the parts that change, which are then inserted."""
    table, changed = layout.table, {change.id for change in changes}
    values = [row.row.values for row in staging.rows_of(table.name) if row.change.id in changed]
    _free_unique_values(session, layout, changes)
    if values:
        parameters = [{f"new_{name}": value for name, value in row.items()} for row in values]
        statements.change(session, ("update", table.name), partial(_new_values, table, [*values[0]]), parameters)
    for part in layout.parts:
        ids = [change.id for change in changes if part.member in change.changed]
        _delete(session, part.table, owners()[part.table.name][1], ids)


def _new_values(table: Table, names: Sequence[str]) -> Update:
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return update(table).where(table.c.id == new.pop("id")).values(new)


def _free_unique_values(session: Session, layout: Layout, changes: Sequence[Change]) -> None:
    """Clear a text of each unique key that changes, so that records can swap keys; SQLite cannot defer UNIQUE.

    The value that stands in meanwhile is the record's id after a slash, which no record has. A text that can be null is left
    alone: checks may want it to be null, and the key is unique without it.
    """
    table = layout.table
    for constraint in (constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)):
        texts = [column for column in constraint.columns if _can_be_freed(column)]
        members = {layout.names[column.name].partition("/")[0] for column in constraint.columns}
        ids = [change.id for change in changes if texts and not members.isdisjoint(change.changed)]
        for start in range(0, len(ids), CHUNK):
            chosen = table.c.id.in_(ids[start : start + CHUNK])
            session.execute(update(table).where(chosen).values({texts[-1]: "/" + table.c.id}))


def _can_be_freed(column: Column[Any]) -> bool:
    return isinstance(column.type, String) and not column.foreign_keys and not column.nullable
