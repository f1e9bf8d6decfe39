"""`/changesets`: carry out many operations as one commit, and read a commit of the past."""

import json
from collections.abc import Sequence
from typing import Any

from flask import Response, request
from flask.views import MethodView
from sqlalchemy.orm import Session

from api.editing.writer import Outcome
from api.endpoints.changesets.reading import ChangesetSchema, read_changeset
from api.endpoints.changesets.schemas import ChangesetAnswerSchema, CommitAnswerSchema
from api.errors import ProblemError, error_item
from api.ledger import head, history, publish
from api.query import parser
from api.schema.fields import MAX_INTEGER, instant
from api.web import auth, tags
from api.web.blueprints import Blueprint, documents
from api.web.commits import (
    IDEMPOTENCY_KEY,
    LOCATION,
    WRITE_PARAMETERS,
    WRITE_REFUSALS,
    WRITTEN,
    begin,
    carry_out,
    read_arguments,
)
from api.web.consistency import ReadView, reading
from api.web.headers import CONDITIONS, HEADERS, UNCHANGED
from api.web.responses import JSON, NDJSON, conditional, json_response, negotiate, tagged
from api.web.urls import base_url

MAX_SHOWN = 1_000


blueprint = Blueprint(
    "changesets", __name__, description="Make many changes at once, all or none; read who made a commit and why."
)
OPERATION = {"op": "patch", "kind": "cities", "id": "san-diego-ca", "if_match": "*", "document": {"summary": "By the sea."}}
BODIES = {
    "required": True,
    "content": {
        JSON: {"schema": ChangesetSchema, "example": {"message": "Describes a city.", "operations": [OPERATION]}},
        NDJSON: {"schema": {"type": "string"}, "example": json.dumps(OPERATION) + "\n"},
    },
}


@blueprint.route("/changesets", endpoint="commit")
class Changesets(MethodView):
    """The changesets that were carried out."""

    @blueprint.response(200, ChangesetAnswerSchema, description="The outcome.", headers=WRITTEN | LOCATION)
    @documents(
        blueprint,
        *WRITE_REFUSALS,
        "conflict",
        "precondition-failed",
        "precondition-required",
        "record-not-found",
        "record-deleted",
    )
    @auth.documented(blueprint)
    @blueprint.doc(operationId="create_changeset", summary="Change many records at once", requestBody=BODIES)
    @blueprint.doc(parameters=[*WRITE_PARAMETERS, IDEMPOTENCY_KEY])
    def post(self) -> Response:
        """Carry out all operations as one commit, or none of them. The key needs the scope of each noun that they name."""
        key = begin()
        options = read_arguments()
        message, operations = read_changeset()
        auth.require(key, *{f"write:{operation.resource.name}" for operation in operations})
        return carry_out(key, operations, {"message": message, **options}, committed)


VERSION = {
    "name": "version",
    "in": "path",
    "description": "The commit's first version.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_INTEGER},
    "example": 1,
}


@blueprint.route(f"/changesets/<int(max={MAX_INTEGER}):version>", endpoint="show", parameters=[VERSION])
class Commits(ReadView):
    """A commit."""

    @blueprint.response(200, CommitAnswerSchema, description="The commit.", headers=HEADERS)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, "invalid-query", "not-found", "not-acceptable", "precondition-failed", "unavailable")
    @blueprint.doc(operationId="get_changeset", summary="Read one commit", parameters=CONDITIONS)
    def get(self, version: int) -> Response:
        """Read who changed what, when and why."""
        negotiate(JSON)
        parser.parse_named({}, request.args.lists())
        return read_commit(version)


def committed(outcomes: Sequence[Outcome], publication: publish.Publication) -> Response:
    """Return the answer with the outcome of each operation."""
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


def read_commit(version: int) -> Response:
    """Answer with the commit whose first version this is. Raises a 404."""
    with reading() as session:
        if version > head.state(session).version and head.is_standby(session):
            raise head.AheadError(version)
        commit = commit_of(session, version)
        etag = tags.of_version(head.state(session), version, head.chain_at(session, commit["last_version"]))
    return conditional(etag) or tagged(json_response({"data": commit}), etag)


def commit_of(session: Session, version: int) -> dict[str, Any]:
    """Return a commit as JSON. Raises a 404."""
    revisions = history.revisions_of_commit(session, version, MAX_SHOWN)
    if not revisions:
        containing = history.commit_of(session, version)
        detail = f"No commit begins with the version {version}."
        suggestion = None if containing is None else f"/changesets/{containing}"
        raise ProblemError("not-found", detail, error_item("version", "unknown-version", detail, suggestion=suggestion))
    first = revisions[0]
    return {
        "version": version,
        "last_version": history.last_version(session, version),
        "author": first.author,
        "message": first.reason,
        "committed_at": instant(first.changed_at),
        "changes": [{"version": row.version, "kind": row.kind, "id": row.id, "op": history.effect(row)} for row in revisions],
    }
