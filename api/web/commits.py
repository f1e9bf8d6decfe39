"""Writing over HTTP: parameters and headers of a write, idempotency, and one commit per request."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Response, request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.http import parse_list_header, unquote_header_value

from api.db.database import begin_savepoint
from api.db.types import broken_check
from api.editing import idempotency
from api.editing.changes import checked
from api.editing.inputs import MAX_MESSAGE
from api.editing.operations import Expected, Operation, Refused
from api.editing.writer import Outcome, Writer, examined, outcomes_of
from api.errors import ProblemError, error_item
from api.ledger import publish
from api.query import parser
from api.query.parameters import Parameter
from api.schema.fields import instant
from api.schema.operators import TYPES
from api.web import auth, tags
from api.web.bodies import BODY_PROBLEMS
from api.web.headers import COUNTED, NOT_KEPT, header, header_parameter
from api.web.keys import ApiKey
from api.web.parameters import query_parameters
from api.web.problem_types import PROBLEMS
from api.web.problems import respond
from api.web.responses import JSON, negotiate, no_store, writable
from api.web.urls import base_url

TOKEN = re.compile(r'"?([\x21\x23-\x7e]{1,255}?)"?')
# Returns the answer to a write from its outcomes.
Answering = Callable[[Sequence[Outcome], publish.Publication], Response]
# Returns the operations of a write from the dataset as it is once others have ended.
Planning = Callable[[Session], Sequence[Operation]]
# Does what a request asks for, and returns its answer.
Working = Callable[[Session], Response]

PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "message",
            "Reason of the change; kept with the commit, as `message` of `/changesets/{version}`.",
            {"type": "string", "maxLength": MAX_MESSAGE},
            example=lambda _: "Corrects a date.",
        ),
        Parameter(
            "dry_run",
            "With `true`, nothing is written, nor stored for an `Idempotency-Key`, and the answer is that of the real write.",
            TYPES["flag"].schema,
            example=lambda _: "true",
        ),
    )
}
WRITE_PARAMETERS = query_parameters(PARAMETERS)


# RFC 9110, 13.1.1: `*` or a list of tags. Weak ones count, too: a proxy that compresses weakens them, and ours name a version.
TAG = '(W/)?"[^"]*"'
TAGS = rf"\*|{TAG}([ \t]*,[ \t]*{TAG})*"
IF_MATCH = header_parameter(
    "If-Match",
    "`ETag` of the record that you want to change, or `*` for any version of it.",
    tags.EXAMPLE,
    pattern=f"^({TAGS})$",
)
IF_NONE_MATCH = header_parameter("If-None-Match", "`*`: create the record, and fail if it exists.", "*", enum=["*"])
IDEMPOTENCY_KEY = header_parameter(
    "Idempotency-Key",
    "Any text of your own, such as a UUID. For 24 hours, the same request gets the same answer and writes nothing again.",
    # No example: tools would send it with every request.
    pattern=r'^"?[\x21\x23-\x7e]{1,255}"?$',
)
PREFER = header_parameter("Prefer", "`return=minimal` leaves the record out of the answer (RFC 7240).", "return=minimal")
LOCATION = header("Location", "URL of the record, or of the changeset.", "https://api.example.org/cities/fresno-ca")
ETAG = header("ETag", "Tag of the record, for `If-Match`.", tags.EXAMPLE)
PREFERENCE = header("Preference-Applied", "The preference that the answer follows.", "return=minimal")
WRITTEN = NOT_KEPT | COUNTED
WRITE_REFUSALS = (
    *("bad-request", "invalid-query", *BODY_PROBLEMS),
    *("not-acceptable", "idempotency-mismatch", "unavailable"),
)


# --- the commit


def begin(*scopes: str) -> ApiKey:
    """Return the API key of a request whose answer has a body. Raises 401, 403, 406 and 429."""
    key = auth.authorize(*scopes)
    negotiate(JSON)
    return key


def carry_out(key: ApiKey, operations: Sequence[Operation], arguments: Mapping[str, Any], answer: Answering) -> Response:
    """Write operations as `carry_out_plan` does. Raises a 422 for errors of their bodies, which are not stored."""
    known = identity(key, arguments)
    operations = checked_bodies(operations)
    return once(known, _commit(key, lambda _: operations, arguments, answer), arguments)


def checked_bodies(operations: Sequence[Operation]) -> Sequence[Operation]:
    """Return operations with the values of their bodies. Raises a 422 for errors of their bodies."""
    refused = Refused()
    operations = checked(operations, refused)
    if refused or any(operation.errors for operation in operations):
        # Nobody waits for the ledger's lock meanwhile; a reader can find the other errors.
        with writable().reading() as session:
            examined(session, operations, refused, {})
        refused.raise_any()
    return operations


def carry_out_plan(key: ApiKey, plan: Planning, arguments: Mapping[str, Any], answer: Answering) -> Response:
    """Write the operations of a plan as one commit and return the answer, as `once` does.

    The author is the key, unless ``arguments`` name another one.
    """
    return once(identity(key, arguments), _commit(key, plan, arguments, answer), arguments)


def _commit(key: ApiKey, plan: Planning, arguments: Mapping[str, Any], answer: Answering) -> Working:
    def commit(session: Session) -> Response:
        writer = Writer(session)
        changes = writer.apply(plan(session))
        publication = writer.publish(reason=arguments.get("message"), author=arguments.get("author", key.name))
        return answer(outcomes_of(session, changes, publication), publication)

    return commit


def once(known: idempotency.RequestIdentity | None, work: Working, arguments: Mapping[str, Any]) -> Response:
    """Work under the ledger's lock and return the answer, or the stored one of an earlier request with this `identity`.

    A refusal is an answer, too, and stored like any other. Raises a 422 for an `Idempotency-Key` of another request.
    """
    with writable().writing(bounded=True) as session:
        # Of two equal requests one waits here for the other's stored answer.
        publish.wait(session)
        now = dt.datetime.now(dt.UTC)
        if known and (stored := idempotency.recall(session, known, now)):
            return _replay(known, stored)
        dry_run = arguments.get("dry_run", False)
        response = _attempt(session, work, dry_run=dry_run) if known or dry_run else _done(session, work)
        if known:
            rows = [row for row in response.headers if row[0] != "Content-Length"]
            body = response.get_data(as_text=True)
            idempotency.remember(session, known, now, status=response.status_code, headers=rows, body=body)
    return response


def _done(session: Session, work: Working) -> Response:
    """Work, and return the answer. Raises a ProblemError for a refusal, which takes back the whole transaction."""
    try:
        return work(session)
    except IntegrityError as error:
        raise broken_constraint(error) from None


def _attempt(session: Session, work: Working, *, dry_run: bool) -> Response:
    """Work, and return the answer. A refusal and a dry run change nothing: neither do they publish raw SQL."""
    savepoint = begin_savepoint(session)
    try:
        response = _done(session, work)
    except ProblemError as error:
        savepoint.rollback()
        return respond(PROBLEMS[error.name], error.detail, *error.errors, **error.members)
    if dry_run:
        savepoint.rollback()
    else:
        savepoint.commit()
    return response


def broken_constraint(error: IntegrityError) -> ProblemError:
    """Return the refusal of a value that only the database refuses: a bound that our schemas lack, or a value in a swap."""
    if name := broken_check(error):
        detail = f"A value breaks the rule `{name}` of the database."
        return ProblemError("invalid-body", detail, error_item("", "invalid-value", detail, pointer=""))
    detail = "A unique value would pass from one of these records to another: clear it in a changeset before this one."
    return ProblemError("conflict", detail, error_item("", "not-unique", detail, pointer=""))


def record_written(outcomes: Sequence[Outcome], _publication: publish.Publication) -> Response:
    """Return the answer to the write of one record."""
    (outcome,) = outcomes
    revision, created, minimal = outcome.revision, outcome.status == "created", _prefers_minimal()
    response = Response(status=201 if created else 204)
    if revision.document is not None:
        if not minimal:
            body = f'{{"data":{revision.document},"included":{{}},"meta":{{"version":{revision.version}}}}}'
            response = Response(body, status=201 if created else 200, content_type=JSON)
        response.set_etag(tags.of_record(revision))
    if created:
        response.headers["Location"] = f"{base_url()}/{outcome.resource.name}/{revision.id}"
    if minimal:
        response.headers["Preference-Applied"] = "return=minimal"
    if not response.content_length:
        response.headers.pop("Content-Type", None)
    return no_store(response)


# --- idempotency


def identity(key: ApiKey, arguments: Mapping[str, Any]) -> idempotency.RequestIdentity | None:
    """Return this request as it is stored; None without `Idempotency-Key`, and for a dry run. Raises a 400, for both alike."""
    text = request.headers.get("Idempotency-Key")
    if text is None:
        return None
    token = TOKEN.fullmatch(text)
    if not token:
        detail = "`Idempotency-Key` is 1 to 255 visible ASCII characters, with or without double quotes."
        raise ProblemError("bad-request", detail, error_item("Idempotency-Key", "invalid-value", detail))
    if arguments.get("dry_run"):
        return None
    headers = [request.headers.get(name) for name in ("If-Match", "If-None-Match", "Prefer", "Content-Type")]
    facts = [request.method, request.path, sorted(request.args.items(multi=True)), headers]
    digest = hashlib.sha256(json.dumps(facts).encode() + b"\0" + request.get_data())
    return idempotency.RequestIdentity(key.name, token[1], digest.hexdigest())


def replayed(known: idempotency.RequestIdentity | None) -> Response | None:
    """Return the stored answer of an earlier request, before `once` would, so that costly work is not done again for it."""
    if known is None:
        return None
    with writable().reading() as session:
        stored = idempotency.find(session, known, dt.datetime.now(dt.UTC))
    return _replay(known, stored) if stored else None


def _replay(known: idempotency.RequestIdentity, stored: idempotency.StoredAnswer) -> Response:
    """Return a stored answer. Raises a 422 if it is the answer to another request."""
    if stored.request_sha256 != known.sha256:
        detail = f"This `Idempotency-Key` was used for another request, at {instant(stored.created_at)}."
        raise ProblemError("idempotency-mismatch", detail, error_item("Idempotency-Key", "idempotency-mismatch", detail))
    response = Response(stored.body, stored.status)
    response.headers.clear()
    response.headers.extend([*stored.header_rows, ("Idempotent-Replayed", "true")])
    return response


# --- parameters and headers


def read_arguments() -> dict[str, Any]:
    """Return the query parameters of a write. Raises a 400."""
    return parser.parse_named(PARAMETERS, request.args.lists())


def read_if_match() -> Expected | None:
    """Return the revisions that `If-Match` names; tags that are not a record's name none. Raises a 400 if it is malformed."""
    text = request.headers.get("If-Match")
    if text is None:
        return None
    if not re.fullmatch(TAGS, text):
        detail = f"`If-Match` is the `ETag` of the record, with its quotes, as in `{tags.EXAMPLE}`, or `*`."
        raise ProblemError("bad-request", detail, error_item("If-Match", "invalid-value", detail))
    named = map(tags.record_version, re.findall(r'"([^"]*)"', text))
    return Expected(frozenset(version for version in named if version), any=text == "*")


def must_be_absent() -> bool:
    """Return whether `If-None-Match` is `*`. Raises a 400 for anything else."""
    text = request.headers.get("If-None-Match")
    if text not in {None, "*"}:
        detail = "In a write, `If-None-Match` can only be `*`."
        raise ProblemError("bad-request", detail, error_item("If-None-Match", "invalid-value", detail, allowed=["*"]))
    return text == "*"


def _prefers_minimal() -> bool:
    return _preference("return") == "minimal"


def _preference(name: str) -> str | None:
    """Return the value of a preference (RFC 7240), without its parameters; the first counts if there are several."""
    for item in parse_list_header(request.headers.get("Prefer", "")):
        key, _, value = item.partition(";")[0].partition("=")
        if key.strip().lower() == name:
            return unquote_header_value(value.strip()).lower()
    return None
