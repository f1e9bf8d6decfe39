"""The schemas of proposals."""

from marshmallow import Schema, fields, validate

from api.editing.inputs import MESSAGE_CHECKS
from api.editing.proposals import State
from api.web.operations import OPERATION
from api.web.outcomes import STATUSES
from api.web.problems import ErrorItemSchema, notes_field
from api.web.schemas import DifferenceSchema, LinksSchema


def _text(description: str, example: str | None, *, or_null: bool = False, **more: str) -> fields.String:
    return fields.String(required=True, allow_none=or_null, metadata={"description": description, "example": example, **more})


def _time(description: str, *, or_null: bool = False) -> fields.String:
    return _text(description, "2025-01-31T12:00:00.000Z", or_null=or_null, format="date-time")


class ProposalSchema(Schema):
    """What is known of a proposal."""

    id = _text("Its id.", "pr-6f1ed002ab559585")
    state = fields.String(
        required=True, validate=validate.OneOf([*State]), metadata={"description": "What became of it.", "example": "open"}
    )
    author = _text("Name of the key that proposed it.", "intern")
    message = _text("Why the changes are to be made.", "Corrects a date.", or_null=True)
    created_at = _time("When it was proposed.")
    expires_at = _time("When it expires, if nobody decides.")
    decided_by = _text("Name of the key that published or refused it.", None, or_null=True)
    decided_at = _time("When that was.", or_null=True)
    reason = _text("Why, as that key said.", None, or_null=True)
    version = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The changeset that it became; null if there is none.", "example": None},
    )


class ProposedChangeSchema(Schema):
    """What a proposal would do to a record."""

    kind = _text("The record's noun.", "cities")
    id = _text("The record's id.", "san-diego-ca")
    status = fields.String(
        required=True, validate=validate.OneOf(STATUSES), metadata={"description": "What it would do.", "example": "updated"}
    )
    differences = fields.List(
        fields.Nested(DifferenceSchema), required=True, metadata={"description": "The members that it would change."}
    )


class ProposalAnswerSchema(Schema):
    """A proposal, and its review."""

    data = fields.Nested(ProposalSchema, required=True, metadata={"description": "The proposal."})
    operations = fields.List(
        fields.Dict(),
        required=True,
        metadata={"description": "Its operations, as they were sent.", "example": [OPERATION]},
    )
    changes = fields.List(
        fields.Nested(ProposedChangeSchema),
        required=True,
        metadata={"description": "If it is open: its changes to today's data, without those of operations with errors."},
    )
    problem = _text("If it is open: the problem that publishing it would have today.", None, or_null=True)
    errors = fields.List(
        fields.Nested(ErrorItemSchema), required=True, metadata={"description": "The mistakes that cause the problem."}
    )


class ImportAnswerSchema(Schema):
    """What was read of a file, and the proposal that it became."""

    data = fields.Nested(
        ProposalSchema, required=True, allow_none=True, metadata={"description": "The proposal; null if nothing would change."}
    )
    changes = fields.List(
        fields.Nested(ProposedChangeSchema), required=True, metadata={"description": "Its changes to today's data."}
    )
    unchanged = fields.Integer(
        required=True, metadata={"description": "Number of records that are as in the file.", "example": 12}
    )
    notes = notes_field(required=True)


class ProposalListSchema(Schema):
    """A page of proposals."""

    data = fields.List(fields.Nested(ProposalSchema), required=True, metadata={"description": "The newest first."})
    links = fields.Nested(LinksSchema, required=True, metadata={"description": "Links to this page and to the next one."})


class RefusalSchema(Schema):
    """A decision against a proposal."""

    reason = fields.String(
        required=True,
        validate=[validate.Length(min=1), *MESSAGE_CHECKS],
        metadata={"description": "Why it is refused.", "example": "The source says 2023."},
    )
