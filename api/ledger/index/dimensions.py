"""The dimensions of the bitmap index: which members of a noun's documents have a set of versions for each of their values."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
from marshmallow import fields
from sqlalchemy.orm import class_mapper

from api.ledger.index.entries import IndexEntry
from api.resources import RESOURCES
from api.schema import dates
from api.schema.canonical import Content
from api.schema.resource import Column, Resource

# The dimension of the words that full text finds.
WORDS = "q"
NULL = "null"


def encode(value: Any) -> str:
    """Return a value as the index stores it: JSON without escapes of other alphabets, because keys have a limited length."""
    return orjson.dumps(value).decode()


@dataclass(frozen=True, eq=False)
class Dimension:
    """A member of a noun's documents that is indexed.

    If it is a list (``many``), each item is indexed, or the item's member ``item``. ``name`` is the name of its filter, or
    `q`; ``column`` is its column in the tables, if it has one.
    """

    name: str
    column: Column | None
    member: str
    many: bool = False
    item: str | None = None

    def values(self, content: Content) -> Iterator[str]:
        """Yield the values of a document, encoded; a document of an earlier release may lack the member."""
        held: Any = content.get(self.member, () if self.many else None)
        for value in dict.fromkeys(row[self.item] if self.item else row for row in held) if self.many else (held,):
            yield encode(value)


@dataclass(frozen=True, eq=False)
class _Words(Dimension):
    """The stems of a document's texts."""

    resource: Resource = field(kw_only=True)

    def values(self, content: Content) -> Iterator[str]:
        """Yield the stems of a document, encoded."""
        return map(encode, IndexEntry.of(self.resource, content).words)


@dataclass(frozen=True, eq=False)
class _Derived(Dimension):
    """A column that stands for a date in filters and sort keys."""

    suffix: str = field(kw_only=True)

    def values(self, content: Content) -> Iterator[str]:
        """Yield the value of a document's date, encoded."""
        yield encode(dates.derived(content.get(self.member))[self.suffix])


@cache
def dimensions(resource: Resource) -> Mapping[str, Dimension]:
    """Return the dimensions of a noun by name: facets that its documents answer by themselves, dates, and words."""
    dated = {name: field for name, field in resource.fields.items() if field.type.name == "date"}
    candidates = [_dimension(resource, *name.split(".")[:2]) for name in dict.fromkeys([*resource.facets, *dated])]
    candidates += [
        _Derived(f"{name}{suffix}", field.compared(suffix), field.name, suffix=suffix)
        for name, field in dated.items()
        for suffix in dates.derived(None)
    ]
    candidates += [_Words(WORDS, None, "", many=True, resource=resource)] if resource.search else []
    return {dimension.name: dimension for dimension in candidates if dimension}


def dimension_of(resource: Resource, column: Column | None) -> Dimension | None:
    """Return the dimension of a column; None if it has none."""
    return next((row for row in dimensions(resource).values() if column is not None and row.column is column), None)


@cache
def signature() -> str:
    """Return a hash of the definitions of all dimensions."""
    definitions = [
        (resource.name, resource.search, [(row.name, row.member, row.item) for row in dimensions(resource).values()])
        for resource in RESOURCES
    ]
    return hashlib.sha256(repr(definitions).encode()).hexdigest()[:12]


def _dimension(resource: Resource, head: str, rest: str = "") -> Dimension | None:
    """Return the dimension of a filter's name; None if the noun's own documents do not hold its values."""
    if head in resource.fields:
        field = resource.fields[head]
        return Dimension(head, field.column, field.name)
    relation = next(row for row in resource.relations if row.prefix == head)
    relationships = class_mapper(resource.model).relationships
    part = next((row for row in relationships if row.mapper.class_ is relation.link), None)
    field_of_part = relation.fields.get(rest)
    column = field_of_part.column if field_of_part else relation.target
    if part is None or column is None or relation.where:
        # Other records refer to this one, or the rows of the part have no key, or they are a member of another shape.
        return None
    member = resource.schema().fields[part.key]
    nested = getattr(member, "inner", member)
    assert isinstance(nested, fields.Nested)
    item = next(name for name, below in nested.schema.fields.items() if (below.attribute or name) == column.key)
    name = f"{head}.{rest}" if field_of_part and column is not relation.target else head
    return Dimension(name, column, part.key, many=True, item=None if isinstance(nested, fields.Pluck) else item)
