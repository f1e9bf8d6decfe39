"""The schemas that several answers share: envelopes, and fields that look the same everywhere."""

from functools import cache
from typing import Any

from marshmallow import Schema, fields, validate

from api.ledger.models import Op
from api.query.language import CAP
from api.resources import BY_NAME, RESOURCES
from api.schema.resource import Resource


class PageSchema(Schema):
    """Which part of the list this page is."""

    limit = fields.Integer(required=True, metadata={"description": "The most records that a page has.", "example": 50})
    cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The next page's `cursor`; null on the last page.", "example": "WyI4ZjE0ZTQ1ZiJd"},
    )
    total = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": f"Records in the whole list, counted up to {CAP:,} unless `count=exact`; null if not counted.",
            "example": 46,
        },
    )
    total_relation = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["eq", "gte"]),
        metadata={
            "description": "`eq`: `total` is exact; `gte`: there are at least `total` records; null if not counted.",
            "example": "eq",
        },
    )


class LinksSchema(Schema):
    """Links to this page and to the next one."""

    self = fields.String(
        required=True,
        metadata={"description": "This page.", "example": "https://api.example.org/cities?limit=2", "format": "uri"},
    )
    next = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The next page; null on the last page.",
            "example": "https://api.example.org/cities?limit=2&cursor=WyI4ZjE0ZTQ1ZiJd",
            "format": "uri",
        },
    )


class ListLinksSchema(LinksSchema):
    """Links to this page, to the next one and to the one before."""

    prev = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The page before, with the records that are before this page now; null on the first page.",
            "example": "https://api.example.org/cities?limit=2&cursor=-WyI4ZjE0ZTQ1ZiJd",
            "format": "uri",
        },
    )


class HintSchema(Schema):
    """A value of a filter that no record has."""

    parameter = fields.String(required=True, metadata={"description": "The filter.", "example": "metric.unit"})
    detail = fields.String(
        required=True,
        metadata={
            "description": "The hint in words.",
            "example": "No initiative has `usd` as its `metric.unit`; did you mean `USD`?",
        },
    )
    allowed = fields.List(
        fields.Raw(metadata={"type": ["string", "number", "boolean"]}),
        required=True,
        metadata={"description": "Values that records have: the ten nearest.", "example": ["USD"]},
    )
    suggestion = fields.Raw(
        required=True,
        metadata={
            "description": "What you probably meant; null if no value is near.",
            "example": "USD",
            "type": ["string", "number", "boolean", "null"],
        },
    )


class MetaSchema(Schema):
    """About the answer."""

    version = fields.Integer(
        required=True,
        metadata={
            "description": ("The dataset's version; for a record without `include`, the version that last changed it."),
            "example": 618,
        },
    )
    hints = fields.List(
        fields.Nested(HintSchema),
        metadata={"description": "Values of filters that no record has: all in an empty list, else of several."},
    )


class FacetValueSchema(Schema):
    """One value of a facet."""

    value = fields.Raw(
        required=True,
        metadata={
            "description": "The value, as the records have it.",
            "example": "CA",
            "type": ["string", "number", "boolean", "null"],
        },
    )
    label = fields.String(required=True, allow_none=True, metadata={"description": "The value in words.", "example": "CA"})
    count = fields.Integer(
        required=True,
        metadata={
            "description": "Number of records that have it, by all other conditions of the request.",
            "example": 46,
        },
    )
    selected = fields.Boolean(
        required=True, metadata={"description": "Whether the URL filters by the value.", "example": False}
    )
    add = fields.String(
        required=True,
        metadata={
            "description": (
                "This list with the value among the selected ones; if it is selected, the list as it is. "
                "For a search, send the same body."
            ),
            "example": "https://api.example.org/cities?facets=state&state=CA",
            "format": "uri",
        },
    )
    remove = fields.String(
        required=True,
        metadata={
            "description": "This list without the value among the selected ones.",
            "example": "https://api.example.org/cities?facets=state",
            "format": "uri",
        },
    )


class FacetSchema(Schema):
    """Number of records for each value of one field."""

    values = fields.List(
        fields.Nested(FacetValueSchema),
        required=True,
        metadata={
            "description": "The 100 most frequent values, the most frequent first, equal ones by value, and selected ones."
        },
    )
    more = fields.Boolean(required=True, metadata={"description": "Whether there are more than 100 values.", "example": False})


class PieceSchema(Schema):
    """A piece of a field's text."""

    text = fields.String(
        required=True, metadata={"description": "The text; all pieces joined are the text of the field.", "example": "Digital"}
    )
    match = fields.Boolean(required=True, metadata={"description": "Whether it is a word of `q`.", "example": True})


def highlights_field() -> fields.Dict:
    """Return the field of the highlights of one record: pieces of text by the name of the record's field."""
    return fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.Nested(PieceSchema)),
        metadata={
            "description": "Where the words of `q` are, by field.",
            "example": {"title": [{"text": "Digital", "match": True}, {"text": " permits", "match": False}]},
        },
    )


def schema_name(resource: Resource) -> str:
    """Return the name of a noun's schema in the OpenAPI document."""
    return resource.singular.title()


@cache
def included() -> type[Schema]:
    """Return the schema of the records that `include` adds, by noun and id."""
    members: dict[str, Any] = {
        noun: fields.Dict(
            keys=fields.String(),
            values=fields.Nested(resource.schema),
            metadata={"description": f"Related {noun} by id.", "example": {}},
        )
        for noun, resource in BY_NAME.items()
    }
    return type("IncludedSchema", (Schema,), {**members, "__doc__": "Related records, by noun and id."})


@cache
def list_of(resource: Resource) -> type[Schema]:
    """Return the schema of a page of a noun."""
    members: dict[str, Any] = {
        "data": fields.List(
            fields.Nested(resource.schema),
            required=True,
            metadata={"description": f"The {resource.name} of this page. With `fields`, they have only those members."},
        ),
        "included": fields.Nested(
            included(), required=True, metadata={"description": "The records that `include` adds, by noun and id."}
        ),
        "facets": fields.Dict(
            keys=fields.String(),
            values=fields.Nested(FacetSchema),
            required=True,
            metadata={"description": "The facets that `facets` names, by name.", "example": {}},
        ),
        "page": fields.Nested(PageSchema, required=True, metadata={"description": "Which part of the list this page is."}),
        "links": fields.Nested(ListLinksSchema, required=True, metadata={"description": "Links to pages of the list."}),
        "meta": fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."}),
    }
    if resource.search:
        members["highlights"] = fields.Dict(
            keys=fields.String(),
            values=highlights_field(),
            metadata={"description": "With `highlights=true`, where the words of `q` are, by id and field.", "example": {}},
        )
    return Schema.from_dict(members, name=f"{schema_name(resource)}List")


@cache
def record_of(resource: Resource) -> type[Schema]:
    """Return the schema of an answer with one record."""
    members: dict[str, Any] = {
        "data": fields.Nested(
            resource.schema,
            required=True,
            metadata={"description": f"The {resource.singular}. With `fields`, it has only those members."},
        ),
        "included": fields.Nested(
            included(), required=True, metadata={"description": "The records that `include` adds, by noun and id."}
        ),
        "meta": fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."}),
    }
    return Schema.from_dict(members, name=f"{schema_name(resource)}Answer")


class DifferenceSchema(Schema):
    """A member that a revision changed."""

    pointer = fields.String(required=True, metadata={"description": "The member (RFC 6901).", "example": "/summary"})
    before = fields.Raw(
        required=True, allow_none=True, metadata={"description": "Value before; null if it had none.", "example": None}
    )
    after = fields.Raw(
        required=True, allow_none=True, metadata={"description": "Value after; null if it has none.", "example": "A port."}
    )


def version_field(description: str) -> fields.Integer:
    """Return the field of a version of the dataset."""
    return fields.Integer(required=True, metadata={"description": description, "example": 603})


def hash_field(description: str, *, allow_none: bool = False) -> fields.String:
    """Return the field of a SHA-256 hash in hexadecimal."""
    example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    return fields.String(
        required=True,
        allow_none=allow_none,
        metadata={"description": description, "example": example, "pattern": "^[0-9a-f]{64}$"},
    )


def op_field(description: str, *others: str) -> fields.String:
    """Return the field of the operation of a revision; ``others`` are values that are not stored."""
    return fields.String(
        required=True,
        validate=validate.OneOf([*(op.value for op in Op), *others]),
        metadata={"description": description, "example": "upsert"},
    )


def reason_field() -> fields.String:
    """Return the field of the reason of a change."""
    description = "Why, in the words of its author."
    return fields.String(required=True, allow_none=True, metadata={"description": description, "example": "Corrects a date."})


def author_field(*, required: bool = True) -> fields.String:
    """Return the field of the author of a change."""
    description = "Name of the key that made the commit; null for migrations and raw SQL."
    return fields.String(required=required, allow_none=True, metadata={"description": description, "example": "curator"})


def merged_into_field() -> fields.String:
    """Return the field of the id of the record into which another one was merged."""
    description = "Id of the record that took the place of this one; only in such a deletion."
    return fields.String(metadata={"description": description, "example": "san-jose-ca"})


def kind_field() -> fields.String:
    """Return the field of a noun's name."""
    names = [resource.name for resource in RESOURCES]
    return fields.String(
        required=True, validate=validate.OneOf(names), metadata={"description": "Its noun.", "example": "cities"}
    )


def id_field() -> fields.String:
    """Return the field of a record's id."""
    return fields.String(required=True, metadata={"description": "Its id.", "example": "san-diego-ca"})


def changed_at_field() -> fields.String:
    """Return the field of the time of a change."""
    example = "2024-12-02T09:30:00.000Z"
    return fields.String(
        required=True, metadata={"description": "When the change was committed.", "example": example, "format": "date-time"}
    )


def document_field(description: str, *, or_null: bool = False) -> fields.Raw:
    """Return the field of a record of any noun."""
    schemas: list[dict[str, Any]] = [{"$ref": f"#/components/schemas/{schema_name(resource)}"} for resource in RESOURCES]
    return fields.Raw(
        required=True,
        allow_none=or_null,
        metadata={"description": description, "anyOf": [*schemas, {"type": "null"}] if or_null else schemas},
    )
