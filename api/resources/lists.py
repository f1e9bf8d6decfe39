"""Lists that several nouns have: aliases, ids elsewhere, and the lists of a record that its source leaves open."""

from typing import Any

from marshmallow import fields
from sqlalchemy.orm import Mapped, mapped_column

from api.schema.fields import Part, named, slug, text
from api.schema.resource import Column, Relation


class Alias:
    """The columns of another name of a record."""

    alias: Mapped[str] = mapped_column(primary_key=True, sort_order=1)


class AliasSchema(Part):
    """Another name."""

    alias = named("The name.", "L.A.")


def aliases(description: str, *examples: str) -> fields.Pluck:
    """Return the field of the other names of a record."""
    return fields.Pluck(
        AliasSchema, "alias", many=True, metadata={"description": f"{description}, sorted.", "example": [*examples]}
    )


def named_also(owner: Column, alias: Column) -> Relation:
    """Return a noun's relation to its other names."""
    return Relation(
        name="aliases",
        prefix="alias",
        owner=owner,
        target=alias,
        part=AliasSchema,
        description="Other names, as people write them.",
    )


class Identifier:
    """The columns of an id that a record has elsewhere."""

    scheme: Mapped[str] = mapped_column(primary_key=True, sort_order=1)
    value: Mapped[str] = mapped_column(primary_key=True, sort_order=2)


class IdentifierSchema(Part):
    """An id that a record has elsewhere."""

    scheme = slug("The list of ids, as a slug.", "geonames")
    value = text("The id in that list.", "5391811")


def identifiers() -> fields.List[Any]:
    """Return the field of the ids that a record has elsewhere."""
    description = "Ids of the record elsewhere, as join keys; sorted by scheme and value."
    return fields.List(fields.Nested(IdentifierSchema), metadata={"description": description})


def identified(owner: Column) -> Relation:
    """Return a noun's relation to the ids that its records have elsewhere."""
    return Relation(
        name="identifiers", prefix="identifier", owner=owner, part=IdentifierSchema, description="Ids that it has elsewhere."
    )


class Gap:
    """The columns of a list of a record that its source leaves open."""

    pointer: Mapped[str] = mapped_column(primary_key=True, sort_order=1)


def incomplete(schema: type[Part], *examples: str) -> fields.Pluck:
    """Return the field of the lists that a source leaves open."""
    description = 'JSON Pointers (RFC 6901) to the lists of this record that the source leaves open, as by "including"; sorted.'
    return fields.Pluck(schema, "pointer", many=True, metadata={"description": description, "example": [*examples]})


def left_open(owner: Column, pointer: Column, schema: type[Part]) -> Relation:
    """Return a noun's relation to the lists that a source leaves open."""
    return Relation(
        name="incomplete",
        prefix="incomplete",
        owner=owner,
        target=pointer,
        part=schema,
        description="The lists of the record that the source leaves open.",
    )
