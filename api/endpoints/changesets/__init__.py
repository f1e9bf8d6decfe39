"""`/changesets`: carry out many operations as one commit, list and read the commits of the past, and revert them."""

import json
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask.views import MethodView

from api.editing import reverts
from api.editing.replacing import touched
from api.endpoints.changesets.listing import PARAMETERS as OF_LIST
from api.endpoints.changesets.listing import read_list, summary
from api.endpoints.changesets.schemas import ChangesetListSchema, CommitAnswerSchema
from api.errors import ProblemError, error_item, shorten
from api.ledger import changesets, head, history
from api.ledger.changesets import Changed, Effect, Wanted
from api.ledger.models import Revision
from api.query import parser
from api.query.parameters import Parameter
from api.schema.fields import MAX_INTEGER
from api.web import auth, frames, suffixes, tags
from api.web.blueprints import Blueprint, documents
from api.web.commits import (
    IDEMPOTENCY_KEY,
    LOCATION,
    PARAMETERS,
    WRITE_PARAMETERS,
    WRITE_REFUSALS,
    WRITTEN,
    begin,
    carry_out,
    carry_out_plan,
    read_arguments,
)
from api.web.consistency import ReadView, reading
from api.web.envelopes import merged_into
from api.web.headers import CONDITIONS, HEADERS, LINK, UNCHANGED, VARY
from api.web.negotiation import HTML
from api.web.operations import BODIES, read_changeset
from api.web.outcomes import ChangesetAnswerSchema, committed
from api.web.pages.past import changeset_page
from api.web.parameters import query_parameters
from api.web.responses import JSON, json_response, negotiate, redirect, tagged, writable
from api.web.urls import base_url

# Changes of a commit in an answer, and on a page for people.
MAX_SHOWN, FOR_PEOPLE = 1_000, 500
LIST_PARAMETERS = [*query_parameters(OF_LIST), *CONDITIONS]
REVERT_REFUSALS = (
    *("bad-request", "invalid-query", "not-found", "not-acceptable"),
    *("conflict", "idempotency-mismatch", "unavailable"),
)
REVERT_PARAMETERS = {
    **PARAMETERS,
    "import_id": Parameter(
        "import_id",
        "Revert all pieces of this import as one commit; the commit is one of them.",
        {"type": "string", "maxLength": 200},
        example=lambda _: "part-two",
    ),
}


blueprint = Blueprint(
    "changesets", __name__, description="Make many changes at once, all or none; read who made a commit and why."
)


@blueprint.route("/changesets", endpoint="list")
class Changesets(ReadView):
    """The changesets that were carried out."""

    @blueprint.response(200, ChangesetListSchema, description="A page of changesets.", headers=HEADERS | LINK | VARY)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
    @documents(blueprint, "invalid-query", "invalid-cursor", "not-acceptable", "precondition-failed", "unavailable")
    @blueprint.doc(operationId="list_changesets", summary="List changesets", parameters=LIST_PARAMETERS)
    def get(self) -> Response:
        """List the commits, the newest first: who made them, when and why. A browser gets these as a page."""
        response = read_list(negotiate(JSON, HTML))
        response.headers["Vary"] = "Accept"
        return response


@blueprint.route("/changesets", endpoint="commit")
class Changes(MethodView):
    """A new changeset."""

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
        changeset = read_changeset()
        auth.require(key, *(f"write:{kind}" for operation in changeset.operations for kind in touched(operation)))
        return carry_out(key, changeset.operations, {"message": changeset.message, **options}, committed)


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

    @blueprint.response(200, CommitAnswerSchema, description="The commit.", headers=HEADERS | VARY)
    @blueprint.alt_response(303, description="The commit of the version.", headers=HEADERS | LOCATION | VARY, success=True)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
    @documents(blueprint, "invalid-query", "not-found", "not-acceptable", "precondition-failed", "unavailable")
    @blueprint.doc(operationId="get_changeset", summary="Read one commit", parameters=CONDITIONS)
    def get(self, version: int) -> Response:
        """Read who changed what, when and why, in a browser as a page. A version within a commit leads to the commit."""
        media_type = negotiate(JSON, HTML)
        parser.parse_named({}, request.args.lists())
        response = read_commit(version, media_type)
        response.headers["Vary"] = "Accept"
        return response


@blueprint.route(f"/changesets/<int(max={MAX_INTEGER}):version>/revert", endpoint="revert", parameters=[VERSION])
class Reverts(MethodView):
    """The opposites of commits."""

    @blueprint.response(200, ChangesetAnswerSchema, description="The outcome.", headers=WRITTEN | LOCATION)
    @documents(blueprint, *REVERT_REFUSALS)
    @auth.documented(blueprint)
    @blueprint.doc(operationId="revert_changeset", summary="Revert one commit")
    @blueprint.doc(parameters=[*query_parameters(REVERT_PARAMETERS), IDEMPOTENCY_KEY])
    def post(self, version: int) -> Response:
        """Make the opposite of a commit, as a new one. It is refused if it would undo later changes, and names these.

        The key needs the scope of each noun whose records the commit changed.
        """
        key = begin()
        options = parser.parse_named(REVERT_PARAMETERS, request.args.lists())
        commits, kinds = find_commits(version, options.get("import_id"))
        auth.require(key, *{f"write:{kind}" for kind in kinds})
        options.setdefault("message", reverts.message(commits, options.get("import_id")))
        return carry_out_plan(key, partial(reverts.operations, commits=commits), options, committed)


def read_commit(version: int, media_type: str) -> Response:
    """Answer with the commit whose first version this is, or lead to the commit of another version. Raises a 404."""
    with reading() as session:
        state, is_page = head.state(session), media_type == HTML
        if version > state.version and head.is_standby(session):
            raise head.AheadError(version)
        first = history.commit_of(session, version)
        if first is None:
            raise _unknown(f"There is no version {version}.")
        (commit,) = changesets.commits(session, Wanted([Revision.version == first]), first + 1, 1)
        etag = tags.of_version(state, version, head.chain_at(session, commit.last_version))
        # A page has the names of other records.
        etag = tags.of_dataset(state, *frames.tag_parts(media_type)) if is_page else etag
        if first != version:
            path = suffixes.kept(request.environ, f"/changesets/{first}")
            return tagged(redirect(base_url() + path, HTTPStatus.SEE_OTHER), etag)
        if unchanged := frames.unchanged(etag, media_type):
            return unchanged
        changes = changesets.changes(session, version, FOR_PEOPLE if is_page else MAX_SHOWN)
        if is_page:
            return tagged(changeset_page(session, commit, changes, state.version), etag)
    return tagged(json_response({"data": {**summary(commit), "changes": [_change(row) for row in changes]}}), etag)


def find_commits(version: int, import_id: str | None) -> tuple[Sequence[int], Sequence[str]]:
    """Return the commit whose first version this is, or all pieces of its import, and the nouns that they changed.

    Raises a 404 for another version or another import.
    """
    with writable().reading() as session:
        first = history.commit_of(session, version)
        if first != version:
            suggestion = None if first is None else f"/changesets/{first}/revert"
            raise _unknown(f"No commit begins with the version {version}.", suggestion)
        commits = [version] if import_id is None else changesets.of_import(session, import_id)
        if version not in commits:
            detail = f"The commit {version} is no piece of the import `{shorten(str(import_id))}`."
            raise ProblemError("not-found", detail, error_item("import_id", "unknown-id", detail))
        return commits, changesets.kinds_of(session, commits)


def _unknown(detail: str, suggestion: str | None = None) -> ProblemError:
    return ProblemError("not-found", detail, error_item("version", "unknown-version", detail, suggestion=suggestion))


def _change(change: Changed) -> dict[str, Any]:
    """Return a change as JSON; the differences are those of a record that there was before and afterwards."""
    row, before = change.revision, change.before
    has_both = change.effect in {Effect.UPDATED, Effect.DERIVED} and not change.is_cut
    return {
        "version": row.version,
        "kind": row.kind,
        "id": row.id,
        "op": history.effect(row),
        "effect": change.effect,
        **merged_into(row),
        "differences": history.differences(_content(before), _content(row)) if has_both else None,
    }


def _content(revision: Revision | None) -> dict[str, Any]:
    return json.loads(revision.document) if revision and revision.document else {}
