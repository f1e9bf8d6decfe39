"""The schemas of the feed."""

from typing import Any

from marshmallow import INCLUDE, Schema, fields

from api.ledger.models import ERASE
from api.web.schemas import (
    HintSchema,
    LinksSchema,
    author_field,
    changed_at_field,
    document_field,
    hash_field,
    id_field,
    kind_field,
    merged_into_field,
    op_field,
    reason_field,
    version_field,
)


def cursor_field() -> fields.String:
    """Return the field of the cursor of a change."""
    return fields.String(
        required=True,
        metadata={
            "description": "Continue after this change. Cursors have a fixed width and sort as texts in the order of the feed.",
            "example": "0000000000000603-0000000000000603-3c59dc048e885024",
        },
    )


def label_field() -> fields.String:
    """Return the field of the label of a record, for people."""
    return fields.String(
        metadata={
            "description": "Name or title of the record, also of a deleted one, and its city; only with `order=-version`.",
            "example": "San Diego",
        }
    )


class ChangeSchema(Schema):
    """A change of a record."""

    version = version_field("Version of the change: unique and ascending, without gaps within an epoch.")
    commit = version_field("First version of its commit, which names the commit: see `/changesets/{version}`.")
    kind = kind_field()
    id = id_field()
    op = op_field(
        "`upsert`: the record is now `document`; `delete`: it is deleted; `erase`: its past was erased, so delete all that you "
        "have of it up to this version. If the record lives on, its `upsert` follows in the same commit.",
        ERASE,
    )
    reason = reason_field()
    changed_at = changed_at_field()
    hash = hash_field("Leaf hash of the record in the digest; null for a deletion.", allow_none=True)
    cursor = cursor_field()
    merged_into = merged_into_field()
    document = document_field("The record; null for a deletion and for a document that was erased.", or_null=True)
    label = label_field()
    author = author_field(required=False)


class FlatChangeSchema(Schema):
    """A change of a record as one flat object: the record's own members and these; for a deletion, only these."""

    class Meta:
        """The members of the noun's records may follow."""

        unknown = INCLUDE

    id = id_field()
    version = version_field("Version of the change: unique and ascending.")
    changed_at = changed_at_field()
    deleted = fields.Boolean(required=True, metadata={"description": "Whether the record is deleted.", "example": False})
    erased = fields.Boolean(
        metadata={
            "description": "True in the row of an erasure: delete all that you have of the record up to this version. If it "
            "lives on, it follows in the same commit. No other row has this member.",
            "example": True,
        }
    )
    merged_into = merged_into_field()
    cursor = cursor_field()
    label = label_field()
    author = author_field(required=False)


def _page_of_changes(row: type[Schema]) -> dict[str, fields.Field[Any]]:
    links = {"description": "Links to this page and to the next one."}
    return {
        "data": fields.List(fields.Nested(row), required=True, metadata={"description": "The changes, by version."}),
        "links": fields.Nested(LinksSchema, required=True, metadata=links),
        "cursor": fields.String(
            required=True,
            metadata={"description": "Continue here, now or in years.", "example": "m3J1wYt9c2pUaDk0NjAzLjAu"},
        ),
        "head": version_field("Version of the dataset."),
        "hints": fields.List(
            fields.Nested(HintSchema),
            metadata={"description": "Each `city` or `survey` that there never was; if there are changes, only of several."},
        ),
    }


ChangesSchema = Schema.from_dict(_page_of_changes(ChangeSchema), name="ChangesSchema")
FlatChangesSchema = Schema.from_dict(_page_of_changes(FlatChangeSchema), name="FlatChangesSchema")
