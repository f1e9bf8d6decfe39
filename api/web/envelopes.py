"""The envelopes of answers, as OpenAPI has them."""

from copy import copy
from functools import cache
from typing import Any

from marshmallow import Schema, fields, validate

from api.query.language import CAP, includable
from api.resources import BY_NAME, RESOURCES
from api.schema.fields import Document
from api.schema.resource import Resource


class PageSchema(Schema):
    """Where a page stands in its list."""

    limit = fields.Integer(required=True, metadata={"description": "How many records the page has at most.", "example": 50})
    cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The `cursor` of the next page; null on the last.", "example": "WyI4ZjE0ZTQ1ZiJd"},
    )
    total = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": f"Records in the whole list, up to {CAP:,} unless `count` says otherwise; null when not counted.",
            "example": 46,
        },
    )
    total_relation = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["eq", "gte"]),
        metadata={
            "description": "`eq`: `total` is exact; `gte`: there are that many or more; null when not counted.",
            "example": "eq",
        },
    )


class LinksSchema(Schema):
    """Addresses of this page and the next."""

    self = fields.String(
        required=True,
        metadata={"description": "This page.", "example": "https://api.example.org/cities?limit=2", "format": "uri"},
    )
    next = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The next page; null on the last.",
            "example": "https://api.example.org/cities?limit=2&cursor=WyI4ZjE0ZTQ1ZiJd",
            "format": "uri",
        },
    )


class MetaSchema(Schema):
    """About the answer."""

    version = fields.Integer(
        required=True,
        metadata={
            "description": (
                "The version that the dataset is at; of a record without `include`: the version that last changed it."
            ),
            "example": 618,
        },
    )


class FacetValueSchema(Schema):
    """One value of a facet."""

    value = fields.Raw(
        required=True,
        metadata={
            "description": "The value, as in the records.",
            "example": "CA",
            "type": ["string", "number", "boolean", "null"],
        },
    )
    label = fields.String(required=True, allow_none=True, metadata={"description": "What a reader calls it.", "example": "CA"})
    count = fields.Integer(
        required=True, metadata={"description": "How many records of the whole list have it.", "example": 46}
    )
    link = fields.String(
        required=True,
        metadata={
            "description": "This list with only those records.",
            "example": "https://api.example.org/cities?facets=state&state=CA",
            "format": "uri",
        },
    )


class FacetSchema(Schema):
    """Counts by the values of one field."""

    values = fields.List(
        fields.Nested(FacetValueSchema),
        required=True,
        metadata={"description": "The most frequent values first, at most 100; ties in the values' order."},
    )
    more = fields.Boolean(
        required=True, metadata={"description": "Whether there are more values than these.", "example": False}
    )


class PieceSchema(Schema):
    """A piece of a text."""

    text = fields.String(
        required=True, metadata={"description": "The text; all pieces joined are the field.", "example": "Digital"}
    )
    match = fields.Boolean(required=True, metadata={"description": "Whether it is a word of `q`.", "example": True})


def highlights_of() -> fields.Dict:
    """Return the field that holds, by a field's name, the pieces of its text."""
    return fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.Nested(PieceSchema)),
        metadata={
            "description": "Where the words of `q` are, by the name of the field.",
            "example": {"title": [{"text": "Digital", "match": True}, {"text": " permits", "match": False}]},
        },
    )


@cache
def selection_of(resource: Resource) -> type[Schema]:
    """Return the schema of a record with the members that `fields` named: any of them can be left out."""
    # marshmallow has no other way to copy a schema with its fields.
    members: dict[str, Any] = {name: copy(field) for name, field in resource.schema._declared_fields.items()}  # noqa: SLF001
    for field in members.values():
        field.required = False
    members |= {"Meta": Document.Meta, "__doc__": "Some members of a record."}
    return type(f"{_title(resource)}SelectionSchema", (Schema,), members)


def _title(resource: Resource) -> str:
    return resource.singular.title()


def _record_or_selection(resource: Resource) -> dict[str, Any]:
    whole, some = (f"#/components/schemas/{_title(resource)}{kind}" for kind in ("", "Selection"))
    return {"anyOf": [{"$ref": whole}, {"$ref": some}]}


@cache
def included_of(resource: Resource) -> type[Schema]:
    """Return the schema of what `include` adds: records by noun and id."""
    nouns = sorted({path[-1].to or "" for path in includable(resource).values()})
    members: dict[str, Any] = {
        noun: fields.Dict(
            keys=fields.String(),
            values=fields.Nested(BY_NAME[noun].schema),
            metadata={"description": f"Related {noun} by id.", "example": {}},
        )
        for noun in nouns
    }
    return type(f"{_title(resource)}IncludedSchema", (Schema,), {**members, "__doc__": "Related records, by noun and id."})


@cache
def list_of(resource: Resource) -> type[Schema]:
    """Return the schema of a page of a noun."""
    members: dict[str, Any] = {
        "data": fields.List(
            fields.Raw(metadata=_record_or_selection(resource)),
            required=True,
            metadata={"description": f"The {resource.name} of this page, in order; with only the members that `fields` named."},
        ),
        "included": fields.Nested(
            included_of(resource), required=True, metadata={"description": "What `include` asked for, by noun and id."}
        ),
        "facets": fields.Dict(
            keys=fields.String(),
            values=fields.Nested(FacetSchema),
            required=True,
            metadata={"description": "What `facets` asked for, by name.", "example": {}},
        ),
        "page": fields.Nested(PageSchema, required=True, metadata={"description": "Where this page stands in the list."}),
        "links": fields.Nested(LinksSchema, required=True, metadata={"description": "Addresses of this page and the next."}),
        "meta": fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."}),
    }
    if resource.search:
        members["highlights"] = fields.Dict(
            keys=fields.String(),
            values=highlights_of(),
            metadata={"description": "With `highlights=true`: where the words of `q` are, by id and field.", "example": {}},
        )
    return Schema.from_dict(members, name=f"{_title(resource)}List")


@cache
def record_of(resource: Resource) -> type[Schema]:
    """Return the schema of an answer with one record."""
    members: dict[str, Any] = {
        "data": fields.Raw(
            required=True,
            metadata={
                "description": f"The {resource.singular}; with only the members that `fields` named.",
                **_record_or_selection(resource),
            },
        ),
        "included": fields.Nested(
            included_of(resource), required=True, metadata={"description": "What `include` asked for, by noun and id."}
        ),
        "meta": fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."}),
    }
    return Schema.from_dict(members, name=f"{_title(resource)}Answer")


def _version(description: str) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "example": 603})


def _hash(description: str, *, allow_none: bool = False) -> fields.String:
    example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    return fields.String(
        required=True,
        allow_none=allow_none,
        metadata={"description": description, "example": example, "pattern": "^[0-9a-f]{64}$"},
    )


def _kind() -> fields.String:
    names = [resource.name for resource in RESOURCES]
    return fields.String(
        required=True, validate=validate.OneOf(names), metadata={"description": "Its noun.", "example": "cities"}
    )


def _id() -> fields.String:
    return fields.String(required=True, metadata={"description": "Its id.", "example": "san-diego-ca"})


def _changed_at() -> fields.String:
    example = "2024-12-02T09:30:00.000Z"
    return fields.String(
        required=True, metadata={"description": "When it was committed.", "example": example, "format": "date-time"}
    )


def _any_document(description: str, *, or_null: bool = False) -> fields.Raw:
    rows: list[dict[str, Any]] = [{"$ref": f"#/components/schemas/{_title(resource)}"} for resource in RESOURCES]
    return fields.Raw(
        required=True,
        allow_none=or_null,
        metadata={"description": description, "anyOf": [*rows, {"type": "null"}] if or_null else rows},
    )


def register(components: Any) -> None:
    """Add the schemas that others refer to by name."""
    for resource in RESOURCES:
        components.schema(f"{_title(resource)}Selection", schema=selection_of(resource))
