"""The schemas of answers about changesets and commits."""

from marshmallow import Schema, fields, validate

from api.ledger.changesets import Effect
from api.ledger.models import ERASE, Op
from api.web.schemas import DifferenceSchema, LinksSchema, MetaSchema, author_field, merged_into_field


class CommitChangeSchema(Schema):
    """A change of a commit."""

    version = fields.Integer(required=True, metadata={"description": "The version that the change made.", "example": 619})
    kind = fields.String(required=True, metadata={"description": "The record's noun.", "example": "cities"})
    id = fields.String(required=True, metadata={"description": "The record's id.", "example": "san-diego-ca"})
    op = fields.String(
        required=True,
        validate=validate.OneOf([*(op.value for op in Op), ERASE]),
        metadata={"description": "What the change did.", "example": "upsert"},
    )
    effect = fields.String(
        required=True,
        validate=validate.OneOf([*Effect]),
        metadata={
            "description": "The same in detail; `derived`: no member changed but those that other records decide.",
            "example": "updated",
        },
    )
    merged_into = merged_into_field()
    differences = fields.List(
        fields.Nested(DifferenceSchema),
        required=True,
        allow_none=True,
        metadata={"description": "The members that differ; null for a record that is new or gone, or cut from the history."},
    )


class CommitSummarySchema(Schema):
    """What is known of a commit of the ledger."""

    version = fields.Integer(
        required=True, metadata={"description": "The commit's first version, which names it.", "example": 619}
    )
    last_version = fields.Integer(required=True, metadata={"description": "The commit's last version.", "example": 619})
    author = author_field()
    message = fields.String(
        required=True, allow_none=True, metadata={"description": "Why the changes were made.", "example": "Corrects a date."}
    )
    committed_at = fields.String(
        required=True,
        metadata={"description": "When the commit was made.", "example": "2025-01-31T12:00:00.000Z", "format": "date-time"},
    )
    import_id = fields.String(
        required=True, allow_none=True, metadata={"description": "The import that it is a piece of.", "example": None}
    )


class CommitSchema(CommitSummarySchema):
    """A commit of the ledger."""

    changes = fields.List(
        fields.Nested(CommitChangeSchema), required=True, metadata={"description": "The first 1,000 changes of the commit."}
    )


class CommitAnswerSchema(Schema):
    """An answer with one commit."""

    data = fields.Nested(CommitSchema, required=True, metadata={"description": "The commit."})


class ChangesetListSchema(Schema):
    """A page of changesets."""

    data = fields.List(fields.Nested(CommitSummarySchema), required=True, metadata={"description": "The newest first."})
    links = fields.Nested(LinksSchema, required=True, metadata={"description": "Links to this page and to the next one."})
    meta = fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."})
