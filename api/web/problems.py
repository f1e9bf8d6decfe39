"""Every error: one builder of answers, by RFC 9457, and what turns each exception into one."""

import json
import re
import uuid
from collections.abc import Iterable, Sequence
from http.client import INTERNAL_SERVER_ERROR, SERVICE_UNAVAILABLE
from typing import Any

from flask import Flask, Response, current_app, g, request
from marshmallow import Schema, fields
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from api.db.database import BUSY, Database, unavailability
from api.errors import MAX_QUERY_STRING, Item, ProblemError, error_item, nearest, shorten
from api.web.problem_types import BY_STATUS, PROBLEMS, ProblemType

MEDIA_TYPE = "application/problem+json"
# What PostgreSQL says of a write where it only follows (read_only_sql_transaction).
READ_ONLY = "25006"


class RecordInTheWaySchema(Schema):
    """A record that an operation would collide with."""

    kind = fields.String(required=True, metadata={"description": "Its noun.", "example": "cities"})
    id = fields.String(required=True, metadata={"description": "Its id.", "example": "san-diego-ca"})


class ErrorItemSchema(Schema):
    """One thing that is wrong, and its cure."""

    parameter = fields.String(
        metadata={"description": "Parameter, header or part of the request that it is about.", "example": "limti"}
    )
    pointer = fields.String(
        metadata={"description": "JSON Pointer of the place in the body that it is about.", "example": "/title"}
    )
    code = fields.String(
        required=True, metadata={"description": "What is wrong, as a stable code.", "example": "unknown-parameter"}
    )
    detail = fields.String(
        required=True,
        metadata={
            "description": "What is wrong, in words.",
            "example": "`limti` is not a parameter here; did you mean `limit`?",
        },
    )
    allowed = fields.Raw(
        metadata={
            "description": "What would have worked: a list of values, or an object with bounds.",
            "example": ["cursor", "limit"],
            "type": ["array", "object"],
            "items": {},
        }
    )
    suggestion = fields.String(metadata={"description": "What was probably meant.", "example": "limit"})
    records = fields.List(
        fields.Nested(RecordInTheWaySchema), metadata={"description": "On 409: the records that are in the way, at most 20."}
    )


class ProblemSchema(Schema):
    """An error, by RFC 9457."""

    type = fields.String(
        required=True,
        metadata={
            "description": "Address of a page that explains this kind of problem.",
            "example": "https://api.example.org/problems/invalid-query",
            "format": "uri",
        },
    )
    title = fields.String(
        required=True, metadata={"description": "The kind of problem in words.", "example": "A query parameter is wrong"}
    )
    status = fields.Integer(required=True, metadata={"description": "The HTTP status again.", "example": 400})
    detail = fields.String(
        required=True, metadata={"description": "What went wrong this time.", "example": "`limti` is not a parameter here."}
    )
    instance = fields.String(required=True, metadata={"description": "Path that was asked for.", "example": "/cities"})
    request_id = fields.String(
        required=True,
        metadata={"description": "The answer's `X-Request-Id`, for the log.", "example": "0b6a4ac1b2c84a0e9d5d1b1f0a2c3d4e"},
    )
    errors = fields.List(
        fields.Nested(ErrorItemSchema), required=True, metadata={"description": "Each thing that is wrong; may be empty."}
    )
    deleted_at = fields.String(
        metadata={
            "description": "On 410: when the record was deleted.",
            "example": "2025-03-01T12:00:00.000Z",
            "format": "date-time",
        }
    )
    version = fields.Integer(
        allow_none=True,
        metadata={
            "description": "On 410: the dataset version that deleted it, or from which on there is a past.",
            "example": 1204,
        },
    )
    restart = fields.String(
        metadata={
            "description": "On 410: where to begin again.",
            "example": "https://api.example.org/snapshot",
            "format": "uri",
        }
    )
    current = fields.Dict(
        allow_none=True,
        metadata={"description": "On 412: the record as it is now; null if there is none.", "example": {"id": "san-diego-ca"}},
    )


def base_url() -> str:
    """Return the scheme and host that absolute links begin with, without a slash at the end."""
    database: Database = current_app.extensions["database"]
    return (database.settings.public_url or (request.host_url if request.host else "")).rstrip("/")


def document(base: str, row: ProblemType, detail: str, errors: Sequence[Item], **members: Any) -> Item:
    """Return a problem's JSON object; ``base`` is the address of the server."""
    head = {"type": f"{base}/problems/{row.name}", "title": row.title, "status": row.status, "detail": detail}
    return {**head, **members, "errors": list(errors)}


def example(row: ProblemType) -> Item:
    """Return what a problem of this type looks like."""
    members: Item = {"instance": "/cities", "request_id": "0b6a4ac1b2c84a0e9d5d1b1f0a2c3d4e"}
    if row.name == "record-deleted":
        members |= {"deleted_at": "2025-03-01T12:00:00.000Z", "version": 1204}
    if row.name == "history-trimmed":
        members["version"] = 1204
    if row.name == "cursor-diverged":
        members["restart"] = "https://api.example.org/snapshot"
    if row.name == "precondition-failed":
        members["current"] = {"id": "san-diego-ca", "name": "San Diego", "version": 620}
    return document("https://api.example.org", row, row.detail, row.errors, **members)


def respond(row: ProblemType, detail: str, *errors: Item, headers: Iterable[tuple[str, str]] = (), **members: Any) -> Response:
    """Build the answer for a problem of the request at hand."""
    instance = {"instance": shorten(request.path, 200), "request_id": request_id()}
    body = document(base_url(), row, detail, errors, **instance, **members)
    response = Response(json.dumps(body, separators=(",", ":")), row.status, content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if row.status == SERVICE_UNAVAILABLE:
        database: Database = current_app.extensions["database"]
        response.headers["Retry-After"] = str(database.settings.retry_after)
    response.headers.extend(headers)
    return response


def request_id() -> str:
    """Return this request's id: the caller's, when it is a plain token, or a new one."""
    if "request_id" not in g:
        g.request_id = request_name(request.headers.get("X-Request-Id", ""))
    return str(g.request_id)


def request_name(given: str) -> str:
    """Return what a caller names a request, when it is a plain token, or a new name."""
    return given if re.fullmatch(r"[A-Za-z0-9_-]{1,128}", given) else uuid.uuid4().hex


def register(app: Flask) -> None:
    """Answer every error of the application with a problem."""
    app.register_error_handler(ProblemError, _problem)
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(MethodNotAllowed, _method_not_allowed)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DBAPIError, _database)
    app.register_error_handler(PoolTimeoutError, _database)
    app.register_error_handler(Exception, _unexpected)
    app.before_request(_request_line)


def _request_line() -> None:
    """Refuse what no view should have to think of."""
    if request.headers.get("Host") and not request.host:
        detail = "The `Host` header is not the name of a host."
        raise ProblemError("bad-request", detail, error_item("Host", "invalid-value", detail))
    length = len(request.query_string)
    if length > MAX_QUERY_STRING:
        detail = f"The query string has {length} bytes, {MAX_QUERY_STRING} at most are read."
        raise ProblemError(
            "uri-too-long", detail, error_item("query", "too-long", detail, allowed={"maximum": MAX_QUERY_STRING})
        )


def _problem(error: ProblemError) -> Response:
    return respond(PROBLEMS[error.name], error.detail, *error.errors, headers=error.headers.items(), **error.members)


def _not_found(_error: NotFound) -> Response:
    path = shorten(request.path)
    detail = f"There is nothing at `{path}`."
    paths = sorted({rule.rule for rule in current_app.url_map.iter_rules() if not rule.arguments})
    item = error_item("path", "unknown-path", detail, allowed=paths, suggestion=_nearest_path(path, paths))
    return respond(PROBLEMS["not-found"], detail, item)


def _nearest_path(path: str, paths: Sequence[str]) -> str | None:
    """Mend the first segment of a path, or what follows a right one."""
    first, _, rest = path.strip("/").partition("/")
    near = nearest("/" + first, paths)
    mended = f"{near}/{rest}" if rest else near
    return near if mended == path else mended


def _method_not_allowed(error: MethodNotAllowed) -> Response:
    allowed = sorted(error.valid_methods or ())
    detail = f"`{shorten(request.method)}` does not work on `{shorten(request.path)}`."
    item = error_item("method", "method-not-allowed", f"Use {' or '.join(allowed)}.", allowed=allowed)
    return respond(PROBLEMS["method-not-allowed"], detail, item, headers=[("Allow", ", ".join(allowed))])


def _http(error: HTTPException) -> Response:
    status = error.code or INTERNAL_SERVER_ERROR
    fallback = PROBLEMS["internal-error" if status >= INTERNAL_SERVER_ERROR else "bad-request"]
    row = BY_STATUS.get(status, fallback)
    return respond(row, error.description or row.detail)


def _database(error: DBAPIError | PoolTimeoutError) -> Response:
    database: Database = current_app.extensions["database"]
    connected = isinstance(error, DBAPIError) and error.statement is not None and not error.connection_invalidated
    reason = database.unreadiness() if connected else unavailability(error)
    if reason is None and getattr(getattr(error, "orig", None), "sqlstate", None) == READ_ONLY:
        reason = "This database only follows another: write to its primary."
    # A statement that ran into a limit, or a file that another process holds, will pass by itself.
    if reason is None and isinstance(error, OperationalError | PoolTimeoutError):
        reason = BUSY
    if reason is None:
        return _unexpected(error)
    current_app.logger.warning("%s: %s", request_id(), error)
    return respond(PROBLEMS["unavailable"], reason)


def _unexpected(error: Exception) -> Response:
    current_app.logger.error("%s: %s %s", request_id(), request.method, request.path, exc_info=error)
    return respond(PROBLEMS["internal-error"], PROBLEMS["internal-error"].detail)
