"""Writing over HTTP: the verbs of every noun, and how a request is carried out once."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Response, request
from flask.views import MethodView
from marshmallow import Schema
from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api import __version__, auth, idempotency, ledger, parsing
from api.answers import record_of
from api.codings import plain
from api.documents import instant
from api.inputs import example_of, input_of, patch_of
from api.keys import Key
from api.operators import TYPES
from api.problem_types import PROBLEMS
from api.problems import ProblemError, base_url, mistake, respond
from api.query import Parameter
from api.resource import Resource
from api.rest import id_of
from api.rest import parameter_component as component
from api.staging import Expected, Operation, referrers
from api.web import COUNTED, JSON, NOT_KEPT, Blueprint, database, documents, header, negotiate, read_body
from api.writing import Outcome, Writer

MERGE_PATCH = "application/merge-patch+json"
MAX_MESSAGE = 500
TOKEN = re.compile(r'"?([\x21\x23-\x7e]{1,255}?)"?')
Answering = Callable[[Sequence[Outcome], ledger.Publication], Response]

PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "message",
            "Why: it is kept with the commit, as `message` of `/changesets/{version}`.",
            {"type": "string", "maxLength": MAX_MESSAGE},
            example=lambda _: "Corrects a date.",
        ),
        Parameter(
            "dry_run",
            "With `true`, the answer is exactly what it would be, and nothing is written.",
            TYPES["flag"].schema,
            example=lambda _: "true",
        ),
    )
}

ASKED = [{"name": row.name, "in": "query", **component(row)} for row in PARAMETERS.values()]


def _request_header(name: str, description: str, example: str | None, **schema: Any) -> dict[str, Any]:
    found = {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}}
    return found if example is None else {**found, "example": example}


# RFC 9110, 13.1.1: any, or a list of tags, weak ones too: a proxy that compresses weakens them, and ours name a version.
TAG = '(W/)?"[^"]*"'
TAGS = rf"\*|{TAG}([ \t]*,[ \t]*{TAG})*"
IF_MATCH = _request_header(
    "If-Match",
    "`ETag` of the record as you know it, or `*` for whatever it is.",
    '"0.1.0-17"',
    pattern=f"^({TAGS})$",
)
IF_NONE_MATCH = _request_header("If-None-Match", "With `*`: only if there is no such record yet.", "*", enum=["*"])
IDEMPOTENCY_KEY = _request_header(
    "Idempotency-Key",
    "Any text of your own, such as a UUID: for 24 hours, the same request under it is answered again, not carried out again.",
    # The interactive page would send an example, again and again.
    None,
    pattern=r'^"?[\x21\x23-\x7e]{1,255}"?$',
)
PREFER = _request_header("Prefer", "`return=minimal` leaves the record out of the answer (RFC 7240).", "return=minimal")
LOCATION = header("Location", "Address of the record, or of the changeset.", "https://api.example.org/cities/fresno-ca")
ETAG = header("ETag", "Version of the record, for `If-Match`.", '"0.1.0-619"')
PREFERENCE = header("Preference-Applied", "The preference that the answer follows.", "return=minimal")
WRITTEN = NOT_KEPT | COUNTED
REFUSALS = ("invalid-query", "invalid-json", "not-acceptable", "content-too-large", "unsupported-media-type", "unavailable")
WRITE_REFUSALS = ("bad-request", *REFUSALS, "invalid-body", "idempotency-mismatch")


# --- carrying out


def carry_out(key: Key, operations: Sequence[Operation], asked: Mapping[str, Any], answer: Answering) -> Response:
    """Carry out a request's operations as one commit, or answer as it was answered before. Raises what is wrong with it."""
    known = _known_by(key)
    with database().writing() as session:
        writer = Writer(session)
        now = dt.datetime.now(dt.UTC)
        if known and (before := idempotency.recall(session, known, now)):
            return _again(known, before)
        response = _attempt(session, writer, operations, asked, key, answer)
        if known:
            rows = [row for row in response.headers if row[0] != "Content-Length"]
            body = response.get_data(as_text=True)
            idempotency.remember(session, known, now, status=response.status_code, headers=rows, body=body)
    return response


def _attempt(  # noqa: PLR0913, PLR0917 - what an attempt is made of
    session: Session,
    writer: Writer,
    operations: Sequence[Operation],
    asked: Mapping[str, Any],
    key: Key,
    answer: Answering,
) -> Response:
    """Answer with what became of the operations; a refusal, and a dry run, leave nothing behind."""
    savepoint = session.begin_nested()
    try:
        changes = writer.apply(operations)
        publication = writer.publish(reason=asked.get("message"), author=key.name)
        response = answer(writer.outcomes(changes), publication)
    except IntegrityError:
        savepoint.rollback()
        detail = "What only one record can have would pass from one to another of these: take it from the one first."
        return respond(PROBLEMS["conflict"], detail, mistake("", "not-unique", detail, pointer=""))
    except ProblemError as error:
        savepoint.rollback()
        return respond(error.row, error.detail, *error.errors, **error.members)
    if asked.get("dry_run"):
        savepoint.rollback()
    else:
        savepoint.commit()
    return response


def _known_by(key: Key) -> idempotency.Request | None:
    """Return what this request is remembered by, if its caller wants that. Raises a 400 for a key that is none."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    found = TOKEN.fullmatch(given)
    if not found:
        detail = "`Idempotency-Key` is 1 to 255 visible ASCII characters, in double quotes or not."
        raise ProblemError("bad-request", detail, mistake("Idempotency-Key", "invalid-value", detail))
    said = [request.headers.get(name) for name in ("If-Match", "If-None-Match", "Prefer", "Content-Type")]
    asked = [request.method, request.path, sorted(request.args.items(multi=True)), said]
    digest = hashlib.sha256(json.dumps(asked).encode() + b"\0" + request.get_data())
    return idempotency.Request(key.name, found[1], digest.hexdigest())


def _again(known: idempotency.Request, before: idempotency.Answer) -> Response:
    """Return an earlier answer. Raises a 422 when the key was used for another request."""
    if before.request_sha256 != known.sha256:
        detail = f"This `Idempotency-Key` was used for another request, at {instant(before.created_at)}."
        raise ProblemError("idempotency-mismatch", detail, mistake("Idempotency-Key", "idempotency-mismatch", detail))
    response = Response(before.body, before.status)
    response.headers.clear()
    response.headers.extend([*before.header_rows, ("Idempotent-Replayed", "true")])
    return response


# --- what a request says


def arguments() -> dict[str, Any]:
    """Read the query's parameters. Raises a 400."""
    return parsing.parse_named(PARAMETERS, request.args.lists())


def expected() -> Expected | None:
    """Read `If-Match`. Raises a 400 for what is none of our tags."""
    given = request.headers.get("If-Match")
    if given is None:
        return None
    if not re.fullmatch(TAGS, given):
        detail = '`If-Match` is the `ETag` of the record, with its quotes, as in `"0.1.0-17"`, or `*`.'
        raise ProblemError("bad-request", detail, mistake("If-Match", "invalid-value", detail))
    tags = map(plain, re.findall(r'"([^"]*)"', given))
    found = [re.fullmatch(r"(?:.*-)?(\d{1,19})", tag) for tag in tags]
    return Expected(frozenset(int(match[1]) for match in found if match), any=given == "*")


def absent() -> bool:
    """Read `If-None-Match`. Raises a 400 for anything but `*`."""
    given = request.headers.get("If-None-Match")
    if given not in {None, "*"}:
        detail = "`If-None-Match` is `*` where something is written."
        raise ProblemError("bad-request", detail, mistake("If-None-Match", "invalid-value", detail, allowed=["*"]))
    return given == "*"


def _prefers_minimal() -> bool:
    return "return=minimal" in [part.strip().lower() for part in request.headers.get("Prefer", "").split(",")]


def written(outcomes: Sequence[Outcome], _publication: ledger.Publication) -> Response:
    """Answer with the record of one operation."""
    (outcome,) = outcomes
    status = 201 if outcome.status == "created" else 200
    document, minimal = outcome.revision.document, _prefers_minimal()
    if document is None:
        response = Response(status=204)
    elif minimal:
        response = Response(status=status if status == 201 else 204)  # noqa: PLR2004 - created
    else:
        body = f'{{"data":{document},"included":{{}},"meta":{{"version":{outcome.revision.version}}}}}'
        response = Response(body, status, content_type=JSON)
    if document is not None:
        response.set_etag(f"{__version__}-{outcome.revision.version}")
    if outcome.status == "created":
        response.headers["Location"] = f"{base_url()}/{outcome.resource.name}/{outcome.revision.id}"
    if minimal:
        response.headers["Preference-Applied"] = "return=minimal"
    if not response.content_length:
        response.headers.pop("Content-Type", None)
    response.headers["Cache-Control"] = "no-store"
    return response


def begin(*scopes: str) -> Key:
    """Return the key that a request with an answer is made with. Raises 401, 403, 406 and 429."""
    key = auth.authorize(*scopes)
    negotiate(JSON)
    return key


# --- the verbs


def add_verbs(blp: Blueprint, resource: Resource) -> None:
    """Add what changes the records of a noun to its routes."""
    name, singular, scope = resource.name, resource.singular, f"write:{resource.name}"
    headers = WRITTEN | ETAG | PREFERENCE
    kept: dict[str, Any] = {"description": f"The {singular} as it is now.", "headers": headers}
    made: dict[str, Any] = {"description": f"The {singular} as it was created.", "headers": headers | LOCATION}
    nothing: dict[str, Any] = {"description": "It is changed.", "headers": headers, "success": True}

    def body(schema: type[Schema], example: Any, *media_types: str) -> dict[str, Any]:
        return {"required": True, "content": {kind: {"schema": schema, "example": example} for kind in media_types}}

    at_path = ("method-not-allowed", "precondition-failed", "precondition-required")
    missing = ("record-not-found", "record-deleted")
    clashes = (
        ["conflict"]
        if any(isinstance(found, UniqueConstraint) for found in resource.model.metadata.tables[name].constraints)
        else []
    )
    in_use = ["conflict"] if referrers(resource) else []
    whole = body(input_of(resource.schema), example_of(resource), JSON)

    @blp.route(f"/{name}", endpoint="create")
    class Creation(MethodView):
        @blp.response(201, record_of(resource), **made)
        @documents(blp, *WRITE_REFUSALS, "conflict")
        @auth.documented(blp, scope)
        @blp.doc(operationId=f"create_{singular}", summary=f"Create {_a(singular)}", requestBody=whole)
        @blp.doc(parameters=[*ASKED, IDEMPOTENCY_KEY, PREFER])
        def post(self) -> Response:
            """Create a record under the `id` in the body; one that is there already is a 409."""
            key = begin(scope)
            operation = Operation(verb="create", resource=resource, body=read_body(JSON, exact=True))
            return carry_out(key, [operation], arguments(), written)

    @blp.route(f"/{name}/<record:id>", endpoint="change", parameters=[id_of(resource)])
    class Change(MethodView):
        @blp.response(200, record_of(resource), **kept)
        @blp.alt_response(201, schema=record_of(resource), **made, success=True)
        @blp.alt_response(204, **nothing)
        @documents(blp, *WRITE_REFUSALS, *at_path, *clashes)
        @auth.documented(blp, scope)
        @blp.doc(operationId=f"put_{singular}", summary=f"Create or replace {_a(singular)}", requestBody=whole)
        @blp.doc(parameters=[*ASKED, IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY_KEY, PREFER])
        def put(self, id: str) -> Response:
            """Replace a record as a whole, which needs `If-Match`, or create it."""
            key = begin(scope)
            body = read_body(JSON, exact=True)
            operation = Operation(verb="put", resource=resource, id=id, body=body, expected=expected(), absent=absent())
            return carry_out(key, [operation], arguments(), written)

        @blp.response(200, record_of(resource), **kept)
        @blp.alt_response(204, **nothing)
        @documents(blp, *WRITE_REFUSALS, *at_path, *clashes, *missing)
        @auth.documented(blp, scope)
        @blp.doc(operationId=f"patch_{singular}", summary=f"Change {_a(singular)}")
        @blp.doc(requestBody=body(patch_of(resource), {resource.label.key: "A better one"}, JSON, MERGE_PATCH))
        @blp.doc(parameters=[*ASKED, IF_MATCH, IDEMPOTENCY_KEY, PREFER])
        def patch(self, id: str) -> Response:
            """Change some members (JSON Merge Patch, RFC 7396): null empties one, and a list is replaced as a whole."""
            key = begin(scope)
            body = read_body(JSON, MERGE_PATCH, exact=True)
            operation = Operation(verb="patch", resource=resource, id=id, body=body, expected=expected())
            return carry_out(key, [operation], arguments(), written)

        @blp.response(204, description="It is gone, and its citations with it.", headers=WRITTEN)
        @documents(blp, "bad-request", "invalid-query", "unavailable", "idempotency-mismatch", *at_path, *in_use, *missing)
        @auth.documented(blp, scope)
        @blp.doc(operationId=f"delete_{singular}", summary=f"Delete {_a(singular)}")
        @blp.doc(parameters=[*ASKED, IF_MATCH, IDEMPOTENCY_KEY])
        def delete(self, id: str) -> Response:
            """Delete a record, unless others refer to it."""
            key = auth.authorize(scope)
            operation = Operation(verb="delete", resource=resource, id=id, expected=expected())
            return carry_out(key, [operation], arguments(), written)


def _a(singular: str) -> str:
    return f"{'an' if singular[0] in 'aeiou' else 'a'} {singular}"
