"""Changesets over HTTP: many operations as one commit, and what a commit was."""

import json
from collections.abc import Sequence
from typing import Any

from flask import Response, request
from flask.views import MethodView
from marshmallow import Schema, fields, validate
from sqlalchemy.orm import Session

from api import __version__
from api.db.database import Database
from api.editing.operations import Expected, Operation
from api.editing.writer import Outcome
from api.errors import ErrorList, ProblemError, error_item, nearest
from api.ledger import head, history, publish
from api.ledger.models import Op
from api.query import parser
from api.resources import BY_NAME, RESOURCES
from api.schema.fields import MAX_INTEGER, instant
from api.web import auth
from api.web.commits import ASKED, IDEMPOTENCY_KEY, LOCATION, MAX_MESSAGE, WRITE_REFUSALS, WRITTEN, arguments, begin, carry_out
from api.web.consistency import served
from api.web.problems import base_url
from api.web.responses import (
    HEADERS,
    IF_NONE_MATCH,
    JSON,
    UNCHANGED,
    Blueprint,
    conditional,
    documents,
    negotiate,
    read_body,
    tagged,
)

NDJSON = "application/x-ndjson"
MAX_OPERATIONS = 1_000
MAX_SHOWN = 1_000
VERBS = ("create", "put", "patch", "delete")
STATUSES = ("created", "updated", "unchanged", "deleted")


class OperationSchema(Schema):
    """One operation of a changeset."""

    op = fields.String(
        required=True,
        validate=validate.OneOf(VERBS),
        metadata={
            "description": "`create`; `put`: create or replace; `patch`: change some members; `delete`.",
            "example": "patch",
        },
    )
    kind = fields.String(
        required=True,
        validate=validate.OneOf([resource.name for resource in RESOURCES]),
        metadata={"description": "The record's noun.", "example": "cities"},
    )
    id = fields.String(metadata={"description": "The record's id; `document` may say it instead.", "example": "san-diego-ca"})
    if_match = fields.Raw(
        metadata={
            "description": "The record's `version` as you know it, or `*`; needed to change what is there.",
            "example": 3,
            "anyOf": [{"type": "integer", "minimum": 1}, {"const": "*"}],
        }
    )
    document = fields.Dict(
        metadata={"description": "The record, or the patch; none to delete.", "example": {"summary": "By the sea."}}
    )


class ChangesetSchema(Schema):
    """Operations that are carried out together."""

    message = fields.String(
        validate=validate.Length(max=MAX_MESSAGE), metadata={"description": "Why.", "example": "Part two of the series."}
    )
    operations = fields.List(
        fields.Nested(OperationSchema),
        required=True,
        validate=validate.Length(min=1, max=MAX_OPERATIONS),
        metadata={"description": "At most 1,000; each record once. They may refer to what later ones create."},
    )


class OutcomeSchema(Schema):
    """What became of an operation."""

    kind = fields.String(required=True, metadata={"description": "The record's noun.", "example": "cities"})
    id = fields.String(required=True, metadata={"description": "The record's id.", "example": "san-diego-ca"})
    status = fields.String(
        required=True,
        validate=validate.OneOf(STATUSES),
        metadata={"description": "What was done.", "example": "updated"},
    )
    version = fields.Integer(required=True, metadata={"description": "The record's version now.", "example": 619})


class CommitMetaSchema(Schema):
    """About the commit."""

    version = fields.Integer(required=True, metadata={"description": "The version that the dataset is at.", "example": 619})
    commit = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The commit's version, its first; null when nothing changed.", "example": 619},
    )


class ChangesetAnswerSchema(Schema):
    """What became of a changeset."""

    data = fields.List(
        fields.Nested(OutcomeSchema), required=True, metadata={"description": "An outcome for each operation, in their order."}
    )
    meta = fields.Nested(CommitMetaSchema, required=True, metadata={"description": "About the commit."})


class CommitChangeSchema(Schema):
    """A change of a commit."""

    version = fields.Integer(required=True, metadata={"description": "Its version.", "example": 619})
    kind = fields.String(required=True, metadata={"description": "The record's noun.", "example": "cities"})
    id = fields.String(required=True, metadata={"description": "The record's id.", "example": "san-diego-ca"})
    op = fields.String(
        required=True,
        validate=validate.OneOf([op.value for op in Op]),
        metadata={"description": "What it did.", "example": "upsert"},
    )


class CommitSchema(Schema):
    """A commit of the ledger."""

    version = fields.Integer(required=True, metadata={"description": "Its first version, which names it.", "example": 619})
    last_version = fields.Integer(required=True, metadata={"description": "Its last version.", "example": 619})
    author = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Name of the key that made it; null for migrations and raw SQL.", "example": "curator"},
    )
    message = fields.String(required=True, allow_none=True, metadata={"description": "Why.", "example": "Corrects a date."})
    committed_at = fields.String(
        required=True, metadata={"description": "When.", "example": "2025-01-31T12:00:00.000Z", "format": "date-time"}
    )
    changes = fields.List(
        fields.Nested(CommitChangeSchema), required=True, metadata={"description": "What it changed: the first 1,000."}
    )


class CommitAnswerSchema(Schema):
    """An answer with one commit."""

    data = fields.Nested(CommitSchema, required=True, metadata={"description": "The commit."})


changesets = Blueprint("changesets", __name__, description="Many changes at once, all or nothing, and who made them and why.")
OPERATION = {"op": "patch", "kind": "cities", "id": "san-diego-ca", "if_match": "*", "document": {"summary": "By the sea."}}
BODIES = {
    "required": True,
    "content": {
        JSON: {"schema": ChangesetSchema, "example": {"message": "Describes a city.", "operations": [OPERATION]}},
        NDJSON: {"schema": {"type": "string"}, "example": json.dumps(OPERATION) + "\n"},
    },
}


@changesets.route("/changesets", endpoint="commit")
class Changesets(MethodView):
    """Commits."""

    @changesets.response(200, ChangesetAnswerSchema, description="What became of it.", headers=WRITTEN | LOCATION)
    @documents(
        changesets,
        *WRITE_REFUSALS,
        "conflict",
        "precondition-failed",
        "precondition-required",
        "record-not-found",
        "record-deleted",
    )
    @auth.documented(changesets)
    @changesets.doc(operationId="create_changeset", summary="Change many records at once", requestBody=BODIES)
    @changesets.doc(parameters=[*ASKED, IDEMPOTENCY_KEY])
    def post(self) -> Response:
        """Carry out all of the operations or none, as one commit; needs the scope of each noun that they name."""
        key = begin()
        asked = arguments()
        operations = read_changeset(asked)
        auth.require(key, *{f"write:{operation.resource.name}" for operation in operations})
        return carry_out(key, operations, asked, committed)


VERSION = {
    "name": "version",
    "in": "path",
    "description": "The commit's version: its first.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_INTEGER},
    "example": 1,
}


@changesets.route(f"/changesets/<int(max={MAX_INTEGER}):version>", endpoint="show", parameters=[VERSION])
class Commits(MethodView):
    """One commit."""

    @changesets.response(200, CommitAnswerSchema, description="The commit.", headers=HEADERS)
    @changesets.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(changesets, "invalid-query", "not-found", "not-acceptable", "unavailable")
    @changesets.doc(operationId="get_changeset", summary="Read one commit", parameters=[IF_NONE_MATCH])
    def get(self, version: int) -> Response:
        """Show who changed what, when and why."""
        negotiate(JSON)
        parser.parse_named({}, request.args.lists())
        return served(lambda database: _show(database, version))


def _show(database: Database, version: int) -> Response:
    with database.reading() as session:
        if version > head.state(session).version and head.is_standby(session):
            raise head.AheadError(version)
        body = json.dumps({"data": shown(session, version)}, separators=(",", ":"))
    etag = f"{__version__}-{version}"
    return conditional(etag) or tagged(Response(body, content_type=JSON), etag)


def read_changeset(asked: dict[str, Any]) -> list[Operation]:
    """Read the operations of the body, and add its message to what was asked. Raises 400, 413, 415 and 422."""
    wrong = ErrorList(MAX_OPERATIONS)
    if request.mimetype == NDJSON:
        found, place = read_body(NDJSON, exact=True), ""
    else:
        body = read_body(JSON, NDJSON, exact=True)
        found, place = _operations(body, asked, wrong), "/operations"
    if not 1 <= len(found) <= MAX_OPERATIONS:
        detail, limits = f"A changeset has 1 to {MAX_OPERATIONS} operations.", {"minimum": 1, "maximum": MAX_OPERATIONS}
        wrong.add("", "wrong-number", detail, pointer=place, allowed=limits)
        found = []
    operations = [_operation(row, f"{place}/{number}", wrong) for number, row in enumerate(found)]
    wrong.raise_any("invalid-body")
    return [operation for operation in operations if operation]


def _operations(body: Any, asked: dict[str, Any], wrong: ErrorList) -> list[Any]:
    if not isinstance(body, dict):
        wrong.add("", "invalid-value", "A changeset is an object with `operations`.", pointer="")
    else:
        for name in body.keys() - {"message", "operations"}:
            wrong.unknown(name, ["message", "operations"], "member", parameter="", pointer=f"/{name}")
        message, operations = body.get("message"), body.get("operations")
        if not (message is None or (isinstance(message, str) and len(message) <= MAX_MESSAGE and "\0" not in message)):
            wrong.add("", "invalid-value", f"`message` is a text of at most {MAX_MESSAGE} characters.", pointer="/message")
        asked.setdefault("message", message)
        if isinstance(operations, list):
            return operations
        wrong.add("", "invalid-value", "`operations` is a list.", pointer="/operations")
    wrong.raise_any("invalid-body")
    return []


def _operation(row: Any, place: str, wrong: ErrorList) -> Operation | None:
    """Read one operation; None where something is wrong, which is then said."""
    before = len(wrong)
    if not isinstance(row, dict):
        wrong.add("", "invalid-value", "An operation is an object.", pointer=place)
        return None
    names = list(OperationSchema().fields)
    for name in row.keys() - set(names):
        wrong.unknown(str(name), names, "member", parameter="", pointer=f"{place}/{name}")
    for name, allowed in (("op", list(VERBS)), ("kind", list(BY_NAME))):
        value = row.get(name)
        if value not in allowed:
            suggestion = nearest(value, allowed) if isinstance(value, str) else None
            detail = f"`{name}` is one of {', '.join(allowed)}."
            wrong.add("", "invalid-value", detail, pointer=f"{place}/{name}", allowed=allowed, suggestion=suggestion)
    expects = row.get("if_match")
    is_version = isinstance(expects, int) and not isinstance(expects, bool) and expects >= 1
    if not (is_version or expects in {None, "*"} if isinstance(expects, str | int | None) else False):
        wrong.add("", "invalid-value", "`if_match` is the version of the record, or `*`.", pointer=f"{place}/if_match")
    if row.get("op") == "delete" and "document" in row:
        wrong.add("", "invalid-value", "There is no `document` to delete.", pointer=f"{place}/document")
    elif row.get("op") in VERBS[:3] and "document" not in row:
        wrong.add("", "missing", "`document` is missing.", pointer=f"{place}/document")
    if len(wrong) > before:
        return None
    return Operation(
        verb=row["op"],
        resource=BY_NAME[row["kind"]],
        id=row.get("id"),
        body=row.get("document"),
        expected=None if expects is None else Expected(any=True) if expects == "*" else Expected(frozenset([expects])),
        place=place,
        pointer=f"{place}/document",
    )


def committed(outcomes: Sequence[Outcome], publication: publish.Publication) -> Response:
    """Answer with what became of each operation."""
    commit = publication.before + 1 if publication.revisions else None
    rows = [
        {
            "kind": outcome.resource.name,
            "id": outcome.revision.id,
            "status": outcome.status,
            "version": outcome.revision.version,
        }
        for outcome in outcomes
    ]
    body = {"data": rows, "meta": {"version": publication.version, "commit": commit}}
    response = Response(json.dumps(body, separators=(",", ":")), content_type=JSON)
    if commit:
        response.headers["Location"] = f"{base_url()}/changesets/{commit}"
    response.headers["Cache-Control"] = "no-store"
    return response


def shown(session: Session, version: int) -> dict[str, Any]:
    """Return a commit as it is answered. Raises a 404."""
    revisions = history.revisions_of_commit(session, version, MAX_SHOWN)
    if not revisions:
        whole = history.commit_of(session, version)
        detail = f"No commit has the version {version}."
        suggestion = None if whole is None else f"/changesets/{whole}"
        raise ProblemError("not-found", detail, error_item("version", "unknown-version", detail, suggestion=suggestion))
    first = revisions[0]
    return {
        "version": version,
        "last_version": history.last_version(session, version),
        "author": first.author,
        "message": first.reason,
        "committed_at": instant(first.changed_at),
        "changes": [{"version": row.version, "kind": row.kind, "id": row.id, "op": row.op.value} for row in revisions],
    }
