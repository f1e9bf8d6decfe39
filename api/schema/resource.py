"""What a noun declares about itself. Nothing here executes: routes, the query language, its SQL and the ledger read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from marshmallow import fields
from sqlalchemy.orm import InstrumentedAttribute, RelationshipProperty, class_mapper

from api.db.types import Base, Record
from api.schema.canonical import PUBLICATION
from api.schema.fields import Document, Part
from api.schema.operators import Type, type_of, value_schema

Column = InstrumentedAttribute[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """A value that a record, or a row that belongs to it, has once: what can be filtered by, and mostly ordered by."""

    name: str
    column: Column
    type: Type
    schema: Mapping[str, Any]
    description: str
    example: Any

    @property
    def nullable(self) -> bool:
        """Whether it can be null."""
        return bool(self.column.property.columns[0].nullable)

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the operators that it takes."""
        return (*self.type.operators, *(["isnull"] if self.nullable else []))


@dataclass(frozen=True, kw_only=True, eq=False)
class Relation:
    """A way from a record to others, or to the rows of one of its parts.

    ``name`` is what `include` calls it, ``prefix`` what the names of filters begin with. ``owner`` and ``target`` are
    two columns of one table: the id of the record that the way begins at, and the id of the one that it leads to (or a
    part's own key). ``to`` is the noun there, None for a part. ``part`` is the schema of that table's further
    fields, ``offers`` names the fields and relations of the noun ``to`` that filters reach through it; ``where``
    are values that columns of the table must have.
    """

    name: str
    prefix: str
    owner: Column
    target: Column | None = None
    to: str | None = None
    part: type[Part] | None = None
    offers: Sequence[str] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    description: str

    @property
    def link(self) -> type[Base]:
        """The table of the two columns."""
        return cast("type[Base]", self.owner.class_)

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The fields of the table itself, by name."""
        return scalars(self.part, self.link) if self.part else {}


@dataclass(frozen=True, kw_only=True, eq=False)
class Resource:
    """A noun: its table, its document, how it is related to others, and how a list of it is ordered.

    ``singular``, ``description`` (a sentence) and ``details`` are for readers. ``default_sort`` is written as in
    `sort=`, and completed by the id, so that the order is total. ``label`` is the column that names a record to a
    reader. ``search`` are the document's fields that full text looks in, the title first. ``facets`` are the
    filters whose values can be counted, ``aliases`` further names of fields. ``example`` are the members
    of a record to send that the members' own examples would not do for.
    """

    model: type[Record]
    schema: type[Document]
    singular: str
    description: str
    details: str = ""
    default_sort: str
    label: Column
    relations: Sequence[Relation] = ()
    search: Sequence[str] = ()
    facets: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The plural noun: the path, the table, the OpenAPI tag and the ledger's ``kind``."""
        return str(self.model.__tablename__)

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The fields of a record itself, by name; `version` and `updated_at` are the ledger's."""
        own = scalars(self.schema, self.model)
        return own | {alias: own[name] for alias, name in self.aliases.items()}

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Names of the document's members, as `fields=` takes them and in the order of a CSV's columns."""
        return tuple(self.schema().fields)

    def relation(self, name: str) -> Relation | None:
        """Return the relation that `include` calls so."""
        return next((found for found in self.relations if found.name == name), None)

    @property
    def parts(self) -> tuple[tuple[RelationshipProperty[object], ...], ...]:
        """Paths of relationships to the rows that a document is made of, besides its own."""
        return tuple(_paths(self.model))


def scalars(schema: type[Document | Part], model: type[Base]) -> dict[str, Field]:
    """Return the fields of a schema that hold one value and are a column of a table."""
    found = {}
    for name, member in schema().fields.items():
        key = member.attribute or name
        if name in PUBLICATION or key not in class_mapper(model).columns or isinstance(member, fields.List | fields.Nested):
            continue
        found[name] = Field(
            name=name,
            column=getattr(model, key),
            type=type_of(member),
            schema=value_schema(member),
            description=member.metadata["description"],
            example=member.metadata["example"],
        )
    return found


def _paths(model: type) -> list[tuple[RelationshipProperty[object], ...]]:
    found = []
    for relationship in class_mapper(model).relationships:
        below = _paths(relationship.mapper.class_)
        found += [(relationship, *path) for path in below] or [(relationship,)]
    return found
