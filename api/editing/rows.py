"""Documents as rows: the tables in which a record is stored, derived from its model and its relationships."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.orm import Mapper, RelationshipProperty, class_mapper

from api.resources import RESOURCES
from api.schema import dates
from api.schema.canonical import Content
from api.schema.fields import Date, Name, Object
from api.schema.resource import Resource

Values = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Layout:
    """A table of a noun: the noun's own table, or the table of one of its parts.

    ``names`` maps the table's columns to the members that hold their values, as `location/latitude` within an object. Of a
    part, ``member`` is the document's list of its rows, ``owner`` maps its columns to those of the table that it belongs to,
    and ``position`` is the column that counts its rows, from ``first``; without one, they are published in the order of the
    members ``sorted_by``. ``plucked``: a row is a single value in the document.
    ``called`` are the columns that hold names, ``dated`` those that hold dates.
    """

    table: Table
    names: Mapping[str, str]
    parts: tuple["Layout", ...] = ()
    member: str = ""
    owner: Mapping[str, str] = field(default_factory=dict)
    position: str | None = None
    first: int = 0
    plucked: bool = False
    sorted_by: tuple[str, ...] = ()
    called: frozenset[str] = frozenset()
    dated: frozenset[str] = frozenset()

    @cached_property
    def key(self) -> Sequence[str]:
        """Members that tell an item of a part from the others of its list: those of the first key that identifies rows."""
        rests = ([name for name in key if name not in {*self.owner, self.position}] for key in unique_keys(self.table))
        return next([self.names[name] for name in rest] for rest in rests if rest)

    def place_of(self, item: Any) -> Any:
        """Return the value that an item of a document's list is sorted by."""
        return item if self.plucked else tuple(item[name] for name in self.sorted_by)

    def key_of(self, item: Any) -> Any:
        """Return the value that tells an item of a document's list from the others."""
        return item if self.plucked else tuple(item[name] for name in self.key)


@dataclass(frozen=True)
class Row:
    """A row of a record, and the JSON Pointer of its place in the document."""

    layout: Layout
    values: Values
    pointer: str

    def pointer_of(self, column: str) -> str:
        """Return the JSON Pointer of a column's value."""
        return self.pointer if self.layout.plucked else f"{self.pointer}/{self.layout.names.get(column, column)}"


@cache
def unique_keys(table: Table) -> Sequence[Sequence[str]]:
    """Return the columns of the primary key, and of each unique constraint."""
    unique = (constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint))
    constraints = (table.primary_key, *sorted(unique, key=lambda constraint: str(constraint.name)))
    return [[column.name for column in constraint.columns] for constraint in constraints]


@cache
def layout(resource: Resource) -> Layout:
    """Return the layout of a noun's own table, with those of its parts."""
    return _layout(class_mapper(resource.model), resource.schema())


@cache
def layouts() -> Mapping[str, Layout]:
    """Return the layouts of the tables of all nouns and parts, by table name."""
    result: dict[str, Layout] = {}

    def add(below: Layout) -> None:
        result[below.table.name] = below
        for part in below.parts:
            add(part)

    for resource in RESOURCES:
        add(layout(resource))
    return result


@cache
def owners() -> Mapping[str, tuple[Resource, str]]:
    """Return the noun that a table's rows belong to, and the column with its record's id, by table name."""
    result: dict[str, tuple[Resource, str]] = {}

    def add(resource: Resource, below: Layout, column: str) -> None:
        result[below.table.name] = (resource, column)
        for part in below.parts:
            # A part of a part has the id in the column that refers to this one.
            add(resource, part, next(name for name, above in part.owner.items() if above == column))

    for resource in RESOURCES:
        add(resource, layout(resource), "id")
    return result


def rows(resource: Resource, data: Values) -> Iterator[Row]:
    """Yield the rows of a record, each before the rows of its parts; ``data`` is what `inputs.read` returns."""
    return _rows(layout(resource), data, {}, "")


def _rows(below: Layout, data: Values, fixed: Values, pointer: str) -> Iterator[Row]:
    values = {**fixed, **{column: _value(data, column, name) for column, name in below.names.items() if column not in fixed}}
    for column in below.dated:
        values |= {f"{column}{suffix}": value for suffix, value in dates.derived(values[column]).items()}
    yield Row(below, values, pointer)
    for part in below.parts:
        owner = {column: values[above] for column, above in part.owner.items()}
        for number, item in enumerate(data[part.member]):
            place = {part.position: number + part.first} if part.position else {}
            yield from _rows(part, item, {**owner, **place}, f"{pointer}/{part.member}/{number}")


def arranged(below: Layout, content: Content) -> Content:
    """Return a document, or a row of it, as it is published: its lists that have no order of their own are sorted."""
    for part in below.parts:
        items = [arranged(part, item) for item in content[part.member]] if part.parts else content[part.member]
        content = {**content, part.member: items if part.position else sorted(items, key=part.place_of)}
    return content


def _value(data: Values, column: str, member: str) -> Any:
    """Return the value of a column, which may be in an object, or null with it."""
    name, _, below = member.partition("/")
    if not below:
        return data[column]
    return None if data[name] is None else data[name][below]


def _layout(mapper: Mapper[Any], schema: Schema, **of_part: Any) -> Layout:
    names = {member.attribute or name: name for name, member in schema.fields.items()}
    objects = {name: member for name, member in schema.fields.items() if isinstance(member, Object)}
    names |= {column: f"{name}/{below}" for name, member in objects.items() for below, column in member.columns(name).items()}
    table = mapper.local_table
    assert isinstance(table, Table)
    columns = {column.name: names.get(column.name, column.name) for column in table.c if column.name in names}
    parts = tuple(_part(relationship, schema) for relationship in mapper.relationships if not relationship.viewonly)
    called, dated = (
        frozenset(column for column, member in columns.items() if isinstance(schema.fields.get(member), kind))
        for kind in (Name, Date)
    )
    return Layout(table=table, names=columns, parts=parts, called=called, dated=dated, **of_part)


def _part(relationship: RelationshipProperty[Any], schema: Schema) -> Layout:
    """Return the layout of the table that a relationship of a noun or a part leads to."""
    member = schema.fields[relationship.key]
    nested = getattr(member, "inner", member)
    assert isinstance(nested, fields.Nested)
    assert relationship.order_by
    order, *others = (column.name for column in relationship.order_by)
    members = {field.attribute or name: name for name, field in nested.schema.fields.items()}
    is_counted = order not in members
    return _layout(
        relationship.mapper,
        nested.schema,
        member=relationship.key,
        owner={child.name: parent.name for parent, child in relationship.local_remote_pairs or ()},
        position=order if is_counted else None,
        first=relationship.mapper.local_table.c[order].info.get("first", 0),
        sorted_by=() if is_counted else tuple(members[name] for name in (order, *others)),
        plucked=isinstance(nested, fields.Pluck),
    )
