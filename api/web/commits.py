"""What all writes share: their headers, preconditions, idempotency and answers."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Response, request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api import __version__
from api.editing import idempotency
from api.editing.operations import Expected, Operation
from api.editing.writer import Outcome, Writer
from api.errors import ProblemError, error_item
from api.ledger import publish
from api.query import parser
from api.query.language import Parameter
from api.schema.fields import instant
from api.schema.operators import TYPES
from api.web import auth
from api.web.compression import plain
from api.web.keys import ApiKey
from api.web.parameters import parameter_component as component
from api.web.problem_types import PROBLEMS
from api.web.problems import base_url, respond
from api.web.responses import COUNTED, JSON, NOT_KEPT, database, header, negotiate

MAX_MESSAGE = 500
TOKEN = re.compile(r'"?([\x21\x23-\x7e]{1,255}?)"?')
Answering = Callable[[Sequence[Outcome], publish.Publication], Response]

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
    f'"{__version__}-17"',
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
ETAG = header("ETag", "Version of the record, for `If-Match`.", f'"{__version__}-619"')
PREFERENCE = header("Preference-Applied", "The preference that the answer follows.", "return=minimal")
WRITTEN = NOT_KEPT | COUNTED
REFUSALS = ("invalid-query", "invalid-json", "not-acceptable", "content-too-large", "unsupported-media-type", "unavailable")
WRITE_REFUSALS = ("bad-request", *REFUSALS, "invalid-body", "idempotency-mismatch")


# --- carrying out


def carry_out(key: ApiKey, operations: Sequence[Operation], asked: Mapping[str, Any], answer: Answering) -> Response:
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
    key: ApiKey,
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
        return respond(PROBLEMS["conflict"], detail, error_item("", "not-unique", detail, pointer=""))
    except ProblemError as error:
        savepoint.rollback()
        return respond(PROBLEMS[error.name], error.detail, *error.errors, **error.members)
    if asked.get("dry_run"):
        savepoint.rollback()
    else:
        savepoint.commit()
    return response


def _known_by(key: ApiKey) -> idempotency.Request | None:
    """Return what this request is remembered by, if its caller wants that. Raises a 400 for a key that is none."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    found = TOKEN.fullmatch(given)
    if not found:
        detail = "`Idempotency-Key` is 1 to 255 visible ASCII characters, in double quotes or not."
        raise ProblemError("bad-request", detail, error_item("Idempotency-Key", "invalid-value", detail))
    said = [request.headers.get(name) for name in ("If-Match", "If-None-Match", "Prefer", "Content-Type")]
    asked = [request.method, request.path, sorted(request.args.items(multi=True)), said]
    digest = hashlib.sha256(json.dumps(asked).encode() + b"\0" + request.get_data())
    return idempotency.Request(key.name, found[1], digest.hexdigest())


def _again(known: idempotency.Request, before: idempotency.Answer) -> Response:
    """Return an earlier answer. Raises a 422 when the key was used for another request."""
    if before.request_sha256 != known.sha256:
        detail = f"This `Idempotency-Key` was used for another request, at {instant(before.created_at)}."
        raise ProblemError("idempotency-mismatch", detail, error_item("Idempotency-Key", "idempotency-mismatch", detail))
    response = Response(before.body, before.status)
    response.headers.clear()
    response.headers.extend([*before.header_rows, ("Idempotent-Replayed", "true")])
    return response


# --- what a request says


def arguments() -> dict[str, Any]:
    """Read the query's parameters. Raises a 400."""
    return parser.parse_named(PARAMETERS, request.args.lists())


def expected() -> Expected | None:
    """Read `If-Match`. Raises a 400 for what is none of our tags."""
    given = request.headers.get("If-Match")
    if given is None:
        return None
    if not re.fullmatch(TAGS, given):
        detail = f'`If-Match` is the `ETag` of the record, with its quotes, as in `"{__version__}-17"`, or `*`.'
        raise ProblemError("bad-request", detail, error_item("If-Match", "invalid-value", detail))
    tags = map(plain, re.findall(r'"([^"]*)"', given))
    found = [re.fullmatch(r"(?:.*-)?(\d{1,19})", tag) for tag in tags]
    return Expected(frozenset(int(match[1]) for match in found if match), any=given == "*")


def absent() -> bool:
    """Read `If-None-Match`. Raises a 400 for anything but `*`."""
    given = request.headers.get("If-None-Match")
    if given not in {None, "*"}:
        detail = "`If-None-Match` is `*` where something is written."
        raise ProblemError("bad-request", detail, error_item("If-None-Match", "invalid-value", detail, allowed=["*"]))
    return given == "*"


def _prefers_minimal() -> bool:
    return "return=minimal" in [part.strip().lower() for part in request.headers.get("Prefer", "").split(",")]


def written(outcomes: Sequence[Outcome], _publication: publish.Publication) -> Response:
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


def begin(*scopes: str) -> ApiKey:
    """Return the key that a request with an answer is made with. Raises 401, 403, 406 and 429."""
    key = auth.authorize(*scopes)
    negotiate(JSON)
    return key
