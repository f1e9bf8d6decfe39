"""Changes as rows that are about to be written, and the foreign keys between the tables of nouns and parts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Select, Table
from sqlalchemy.orm import Session

from api.db import statements
from api.db.statements import Listed
from api.db.types import Base
from api.editing.operations import Change
from api.editing.rows import Row, layouts, owners, rows
from api.resources.citations import Subject
from api.schema import names
from api.schema.resource import Resource

# Ids or keys in one statement, because databases limit the number of parameters.
CHUNK = 500
# The values of a key's columns.
KeyValues = tuple[Any, ...]


def chunks(values: Iterable[Any]) -> Iterator[Sequence[Any]]:
    """Yield distinct values in pieces that one statement can take."""
    ordered = sorted(set(values))
    return (ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK))


@dataclass(frozen=True)
class StagedRow:
    """A row of a change."""

    change: Change
    row: Row

    def key(self, columns: Iterable[str], *, by_name: bool = False) -> KeyValues:
        """Return the values of some columns; with ``by_name``, those of names without case, spacing and normalization."""
        called, values = self.row.layout.called, self.row.values
        if not by_name:
            return tuple([values[name] for name in columns])
        return tuple(names.key(value) if (value := values[name]) and name in called else value for name in columns)

    @property
    def is_new(self) -> bool:
        """Whether the row is inserted: every row of a new record, and those of the parts that change."""
        member = self.row.pointer.split("/", 2)[1] if self.row.pointer else None
        return self.change.before is None or member in self.change.changed


@dataclass(frozen=True)
class Staging:
    """Changes that are valid by themselves: the changes by noun and id, and their rows by table."""

    changes: Mapping[str, Mapping[str, Change]]
    rows: Mapping[str, Sequence[StagedRow]]

    def changes_of(self, kind: str) -> Mapping[str, Change]:
        """Return the changes of a noun's records, by id."""
        return self.changes.get(kind, {})

    def rows_of(self, table: str) -> Sequence[StagedRow]:
        """Return the rows of a table."""
        return self.rows.get(table, ())


def staged(changes: Iterable[Change]) -> Staging:
    """Return the changes with their rows; unchanged records are left out."""
    by_id: dict[str, dict[str, Change]] = defaultdict(dict)
    by_table: dict[str, list[StagedRow]] = defaultdict(list)
    for change in (change for change in changes if change.status != "unchanged"):
        by_id[change.operation.resource.name][change.id] = change
        for row in rows(change.operation.resource, change.data) if change.data is not None else ():
            by_table[row.layout.table.name].append(StagedRow(change, row))
    return Staging(by_id, by_table)


def stored_keys(
    session: Session, table: Table, columns: Sequence[str], keys: Iterable[KeyValues], more: Sequence[str]
) -> Iterator[tuple[KeyValues, KeyValues]]:
    """Yield the key and the values of further columns of each stored row that has one of these keys; nulls are equal."""
    key = [table.c[name] for name in columns]
    by_nulls: dict[tuple[bool, ...], set[KeyValues]] = defaultdict(set)
    for values in keys:
        by_nulls[tuple(value is None for value in values)].add(tuple(value for value in values if value is not None))
    for are_null, several in by_nulls.items():
        # A list of values finds no nulls.
        unknown = [column for column, is_null in zip(key, are_null, strict=True) if is_null]
        known = [column for column, is_null in zip(key, are_null, strict=True) if not is_null]
        build = partial(_stored, [*key, *[table.c[name] for name in more]], known, unknown)
        shape = ("stored keys", table.name, *columns, are_null, *more)
        for chunk in chunks(several):
            for row in statements.of_listed(session, shape, [column.type for column in known], chunk, build):
                yield tuple(row[: len(key)]), tuple(row[len(key) :])


def _stored(
    columns: Sequence[Column[Any]], known: Sequence[Column[Any]], unknown: Sequence[Column[Any]], listed: Listed
) -> Select[Any]:
    """Select the rows whose known columns have listed values, and whose unknown ones are null."""
    are_equal = [column == value for column, value in zip(known, listed.columns, strict=True)]
    return listed.select(columns, *are_equal, *(column.is_(None) for column in unknown))


@dataclass(frozen=True)
class Reference:
    """A foreign key between tables of nouns or parts: ``columns`` of ``table`` refer to the columns ``referred`` of ``target``.

    ``member`` is the document's member that has it.
    """

    table: Table
    columns: Sequence[str]
    target: Table
    referred: Sequence[str]
    member: str

    @property
    def is_to_any_noun(self) -> bool:
        """Whether it refers to a record by kind and id, as a citation does."""
        return self.target.name == Subject.__tablename__


@cache
def references() -> Sequence[Reference]:
    """Return the foreign keys that curators set: all but those of parts to the records that they belong to."""
    result = []
    for table in (table for table in Base.metadata.sorted_tables if table.name in owners()):
        below = layouts()[table.name]
        for constraint in sorted(table.foreign_key_constraints, key=lambda constraint: str(constraint.name)):
            reference = _reference(constraint, below.member)
            if not set(reference.columns) <= set(below.owner):
                result.append(reference)
    return result


def _reference(constraint: ForeignKeyConstraint, member: str) -> Reference:
    columns = [element.parent.name for element in constraint.elements]
    referred = [element.column.name for element in constraint.elements]
    table = constraint.table
    return Reference(table, columns, constraint.referred_table, referred, member or layouts()[table.name].names[columns[-1]])


def referrers(resource: Resource) -> Sequence[str]:
    """Return the names of the tables that can keep a record of a noun, or a part of it, from being deleted."""
    to_nouns = [reference for reference in references() if not reference.is_to_any_noun]
    return [reference.table.name for reference in to_nouns if owners()[reference.target.name][0] is resource]
