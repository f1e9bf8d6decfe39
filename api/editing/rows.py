"""Documents as rows: which tables a record is kept in, worked out from its model and its relationships."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import Table
from sqlalchemy.orm import Mapper, class_mapper

from api.resources import RESOURCES
from api.schema.resource import Resource

Values = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Layout:
    """A table of a noun: its own, or that of a part.

    ``member`` is the document's member that a part's rows come from; ``owner`` maps the part's columns to those of what
    it belongs to; ``position`` is the column that counts its rows, from ``first``; ``names`` maps columns to the members that
    hold their values; ``plucked``: a row is a single value in the document.
    """

    table: Table
    names: Mapping[str, str]
    parts: tuple["Layout", ...] = ()
    member: str = ""
    owner: Mapping[str, str] = field(default_factory=dict)
    position: str | None = None
    first: int = 0
    plucked: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a record, and the JSON Pointer of where it stands in the document."""

    layout: Layout
    values: Values
    pointer: str

    def pointer_of(self, column: str) -> str:
        """Return the JSON Pointer of a column's value."""
        return self.pointer if self.layout.plucked else f"{self.pointer}/{self.layout.names.get(column, column)}"


@cache
def layout(resource: Resource) -> Layout:
    """Return the tables of a noun."""
    return _layout(class_mapper(resource.model), resource.schema())


@cache
def owners() -> Mapping[str, tuple[Resource, str]]:
    """Return, by each table's name, the noun that its rows belong to, and the column with the record's id."""
    found: dict[str, tuple[Resource, str]] = {}

    def add(resource: Resource, below: Layout, column: str) -> None:
        found[below.table.name] = (resource, column)
        for part in below.parts:
            # A part's part holds the same id under the name that it has above.
            add(resource, part, next(name for name, above in part.owner.items() if above == column))

    for resource in RESOURCES:
        add(resource, layout(resource), "id")
    return found


def rows(resource: Resource, data: Values) -> Iterator[Row]:
    """Yield the rows of a record, each before those of its parts; ``data`` is what `inputs.read` returns."""
    return _rows(layout(resource), data, {}, "")


def _rows(below: Layout, data: Values, fixed: Values, pointer: str) -> Iterator[Row]:
    values = {**fixed, **{column: data[column] for column in below.names if column not in fixed}}
    yield Row(below, values, pointer)
    for part in below.parts:
        owner = {column: values[above] for column, above in part.owner.items()}
        for number, item in enumerate(data[part.member]):
            place = {part.position: number + part.first} if part.position else {}
            yield from _rows(part, item, {**owner, **place}, f"{pointer}/{part.member}/{number}")


def _layout(mapper: Mapper[Any], schema: Schema, **known: Any) -> Layout:
    names = {found.attribute or name: name for name, found in schema.fields.items()}
    parts = []
    for relationship in mapper.relationships:
        if relationship.viewonly:
            continue
        member = schema.fields[relationship.key]
        nested = getattr(member, "inner", member)
        assert isinstance(nested, fields.Nested)
        assert relationship.order_by
        order = next(column.name for column in relationship.order_by)
        counted = order not in {found.attribute or name for name, found in nested.schema.fields.items()}
        below = relationship.mapper.local_table.c[order]
        parts.append(
            _layout(
                relationship.mapper,
                nested.schema,
                member=relationship.key,
                owner={child.name: parent.name for parent, child in relationship.local_remote_pairs or ()},
                position=order if counted else None,
                first=below.info.get("first", 0),
                plucked=isinstance(nested, fields.Pluck),
            )
        )
    table = mapper.local_table
    assert isinstance(table, Table)
    columns = {column.name: names.get(column.name, column.name) for column in table.c if column.name in names}
    return Layout(table=table, names=columns, parts=tuple(parts), **known)
