"""Answers to changesets: the outcome of each operation."""

import json
from collections.abc import Sequence

from flask import Response
from marshmallow import Schema, fields, validate

from api.editing.writer import Outcome
from api.ledger import publish
from api.web.envelopes import merged_into
from api.web.responses import JSON
from api.web.schemas import merged_into_field
from api.web.urls import base_url

STATUSES = ("created", "updated", "unchanged", "deleted")


class OutcomeSchema(Schema):
    """The outcome of an operation."""

    kind = fields.String(required=True, metadata={"description": "The record's noun.", "example": "cities"})
    id = fields.String(required=True, metadata={"description": "The record's id.", "example": "san-diego-ca"})
    status = fields.String(
        required=True,
        validate=validate.OneOf(STATUSES),
        metadata={"description": "What the operation did.", "example": "updated"},
    )
    version = fields.Integer(
        required=True, metadata={"description": "The record's version after the operation.", "example": 619}
    )
    merged_into = merged_into_field()


class CommitMetaSchema(Schema):
    """About the commit."""

    version = fields.Integer(required=True, metadata={"description": "The dataset's version after the commit.", "example": 619})
    commit = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The commit's first version, which names it; null if nothing changed.", "example": 619},
    )


class ChangesetAnswerSchema(Schema):
    """The outcome of a changeset."""

    data = fields.List(
        fields.Nested(OutcomeSchema),
        required=True,
        metadata={"description": "The outcome of each operation, in their order, and then of what merges and renames changed."},
    )
    meta = fields.Nested(CommitMetaSchema, required=True, metadata={"description": "About the commit."})


def committed(outcomes: Sequence[Outcome], publication: publish.Publication) -> Response:
    """Return the answer with the outcome of each operation."""
    commit = publication.before + 1 if publication.revisions else None
    rows = [
        {
            "kind": outcome.resource.name,
            "id": outcome.revision.id,
            "status": outcome.status,
            "version": outcome.revision.version,
            **merged_into(outcome.revision),
        }
        for outcome in outcomes
    ]
    body = {"data": rows, "meta": {"version": publication.version, "commit": commit}}
    response = Response(json.dumps(body, separators=(",", ":")), content_type=JSON)
    if commit:
        response.headers["Location"] = f"{base_url()}/changesets/{commit}"
    response.headers["Cache-Control"] = "no-store"
    return response
