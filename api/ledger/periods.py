"""Fills the columns that stand for dates in filters and sort keys, because raw SQL changes dates and not these."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, class_mapper

from api.schema import dates
from api.schema.resource import Field, Resource

# The ends of the names of the columns that stand for a date.
SUFFIXES = (*dates.derived(None),)


class _Dated(NamedTuple):
    """A column with dates, and the column of its table that has the id of the record.

    ``part`` is the list that holds the table's rows, "" for the noun's own table, and ``columns`` are those that stand for it.
    """

    date: InstrumentedAttribute[Any]
    owner: InstrumentedAttribute[Any]
    field: Field
    part: str
    columns: Sequence[str]


@cache
def _dated(resource: Resource) -> Sequence[_Dated]:
    """Return the dates of a noun's own table and of the tables of its parts."""
    parts: dict[Any, str] = {part.mapper.class_: part.key for part in class_mapper(resource.model).relationships}
    rows = [(resource.model.id, field) for field in resource.fields.values()]
    rows += [(relation.owner, field) for relation in resource.relations for field in relation.fields.values()]
    dates_of_rows = [(owner, field) for owner, field in rows if field.type.name == "date"]
    return [
        _Dated(field.column, owner, field, parts.get(field.column.class_, ""), [field.compared(name).key for name in SUFFIXES])
        for owner, field in dates_of_rows
    ]


def is_stale(resource: Resource, row: Any) -> bool:
    """Tell whether a record, as `records.read` returns it, has a date that its columns do not stand for."""
    return any(
        [getattr(each, column) for column in dated.columns] != [*dates.derived(getattr(each, dated.date.key)).values()]
        for dated in _dated(resource)
        for each in (getattr(row, dated.part) if dated.part else [row])
    )


def fill(session: Session, resource: Resource, ids: Sequence[str]) -> int:
    """Fill the columns of records that can be read; returns the number of rows that change, which the triggers note."""
    return sum(_fill(session, dated, ids) for dated in _dated(resource))


def _fill(session: Session, dated: _Dated, ids: Sequence[str]) -> int:
    table = dated.date.class_.__table__
    rows = [
        {**{f"key_{name}": value for name, value in key.items()}, **{f"new{name}": value for name, value in due.items()}}
        for _, key, due in _stale(session, dated, ids)
    ]
    if rows:
        statement = update(table).where(*(column == bindparam(f"key_{column.name}") for column in table.primary_key))
        columns: dict[str, Any] = {
            column: bindparam(f"new{suffix}") for column, suffix in zip(dated.columns, SUFFIXES, strict=True)
        }
        session.connection().execute(statement.values(columns), rows)
    return len(rows)


def _stale(
    session: Session, dated: _Dated, ids: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, str | int | None]]]:
    """Yield the record's id, the primary key and the right values of each row whose columns have others."""
    keys = list(dated.date.class_.__table__.primary_key)
    columns = [dated.field.compared(suffix) for suffix in SUFFIXES]
    statement = select(dated.owner, dated.date, *columns, *keys).where(dated.owner.in_(ids))
    for owner, date, *rest in session.execute(statement).all():
        due = dates.derived(date)
        if rest[: len(due)] != [*due.values()]:
            yield owner, dict(zip((key.name for key in keys), rest[len(due) :], strict=True)), due
