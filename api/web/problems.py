"""Turns every exception into an answer by RFC 9457 (`application/problem+json`)."""

import json
import re
from collections.abc import Iterable, Sequence
from http.client import INTERNAL_SERVER_ERROR, SERVICE_UNAVAILABLE
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Flask, Response, current_app, request
from marshmallow import Schema, fields
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wsgi import get_path_info

from api import logs
from api.db import failures
from api.errors import MAX_QUERY_STRING, MAX_REFUSALS, Item, ProblemError, error_item, nearest, shorten
from api.resources import BY_NAME
from api.web import frames
from api.web.observer import observer_of
from api.web.problem_types import BY_STATUS, PROBLEMS, ProblemType
from api.web.request_ids import request_id
from api.web.urls import base_url

if TYPE_CHECKING:
    from api.db.database import Database

MEDIA_TYPE = "application/problem+json"
# A server that refuses a request before its body has arrived gives the arguments of a ProblemError here.
REFUSAL = "digital_cities.refusal"
# Characters of an answer, of one of its errors, and of a text in it, at most.
MAX_ANSWER, MAX_ITEM, MAX_DETAIL = 90_000, 10_000, 4_000
# What the paths of other APIs begin with.
PREFIX = re.compile(r"^(?:/(?:api|rest|v\d{1,3})(?=/))+", re.IGNORECASE)
logger = logs.sparing(__name__)


class RecordInTheWaySchema(Schema):
    """A record that a change conflicts with."""

    kind = fields.String(required=True, metadata={"description": "Its noun.", "example": "cities"})
    id = fields.String(required=True, metadata={"description": "Its id.", "example": "san-diego-ca"})


class ErrorItemSchema(Schema):
    """One mistake, and what would have worked."""

    parameter = fields.String(
        metadata={"description": "Parameter, header or part of the request that has the mistake.", "example": "limti"}
    )
    pointer = fields.String(
        metadata={"description": "JSON Pointer (RFC 6901) of the mistake in the body.", "example": "/title"}
    )
    code = fields.String(required=True, metadata={"description": "Stable code of the mistake.", "example": "unknown-parameter"})
    detail = fields.String(
        required=True,
        metadata={
            "description": "The mistake in words.",
            "example": "`limti` is not a parameter here; did you mean `limit`?",
        },
    )
    allowed = fields.Raw(
        metadata={
            "description": "What would have worked: a list of values, or an object with bounds or a pattern.",
            "example": ["cursor", "limit"],
            "type": ["array", "object"],
            "items": {},
        }
    )
    more = fields.Integer(metadata={"description": "Number of further names that `allowed` leaves out.", "example": 40})
    all = fields.String(
        metadata={
            "description": "If `allowed` leaves out names: where all of them are, such as a place in the OpenAPI document.",
            "example": "https://api.example.org/openapi.json#/paths/~1cities",
            "format": "uri",
        }
    )
    suggestion = fields.String(metadata={"description": "What you probably meant.", "example": "limit"})
    records = fields.List(
        fields.Nested(RecordInTheWaySchema),
        metadata={"description": "On 409: at most 20 conflicting records."},
    )


def notes_field(*, required: bool = False) -> fields.List[str]:
    """Return the field of what was read of a file."""
    description = "What was read of a file as something else, or was not taken."
    example = ["cities.csv, row 2, City: `Boston, Mass.` read as `boston-ma`"]
    return fields.List(fields.String(), required=required, metadata={"description": description, "example": example})


class ProblemSchema(Schema):
    """An error, by RFC 9457."""

    type = fields.String(
        required=True,
        metadata={
            "description": "Address of a page that explains this type of problem.",
            "example": "https://api.example.org/problems/invalid-query",
            "format": "uri",
        },
    )
    title = fields.String(
        required=True, metadata={"description": "The type of problem in words.", "example": "A query parameter is wrong"}
    )
    status = fields.Integer(required=True, metadata={"description": "The HTTP status.", "example": 400})
    detail = fields.String(
        required=True,
        metadata={"description": "What is wrong here.", "example": "`limti` is not a parameter here."},
    )
    instance = fields.String(required=True, metadata={"description": "Path of the request.", "example": "/cities"})
    request_id = fields.String(
        required=True,
        metadata={
            "description": "The answer's `X-Request-Id`, also in the log.",
            "example": "0b6a4ac1b2c84a0e",
        },
    )
    errors = fields.List(
        fields.Nested(ErrorItemSchema),
        required=True,
        metadata={"description": "Every mistake; can be empty."},
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
            "description": "On 410: the dataset version that deleted the record, or the first one that was not trimmed.",
            "example": 1204,
        },
    )
    restart = fields.String(
        metadata={
            "description": "On 410: the address to start again at.",
            "example": "https://api.example.org/snapshot",
            "format": "uri",
        }
    )
    current = fields.Dict(
        allow_none=True,
        metadata={
            "description": "On 412: the record as it is now, or null.",
            "example": {"id": "san-diego-ca"},
        },
    )
    notes = notes_field()


def document(base: str, row: ProblemType, detail: str, errors: Sequence[Item], **members: Any) -> Item:
    """Return the JSON object of a problem; ``base`` is the address of the server."""
    head = {"type": f"{base}/problems/{row.name}", "title": row.title, "status": row.status, "detail": detail}
    return {**head, **members, "errors": list(errors)}


def example(row: ProblemType) -> Item:
    """Return an example of a problem of this type."""
    request = {"instance": "/cities", "request_id": "0b6a4ac1b2c84a0e"}
    return document("https://api.example.org", row, row.detail, row.errors, **request, **row.members)


def respond(row: ProblemType, detail: str, *errors: Item, headers: Iterable[tuple[str, str]] = (), **members: Any) -> Response:
    """Return the answer with a problem of the current request."""
    instance = {"instance": shorten(get_path_info(request.environ), 200), "request_id": request_id()}
    body = _bounded(base_url(), row, detail, errors, instance | members)
    if frames.wants_page():
        response = frames.page(
            "problem.html", title=row.title, problem=body, address=frames.here(), suggested=_suggested(errors)
        )
        response.status_code = row.status
    else:
        response = Response(json.dumps(body, separators=(",", ":")), row.status, content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if row.status == SERVICE_UNAVAILABLE:
        database: Database = current_app.extensions["database"]
        response.headers["Retry-After"] = str(database.settings.retry_after)
    response.headers.extend(headers)
    return response


def _suggested(errors: Sequence[Item]) -> str:
    """Return the address of the request with the id that was probably meant; "" if no id is wrong."""
    wrong = next((error for error in errors if error["code"] == "unknown-id" and "suggestion" in error), None)
    if wrong is None or not request.view_args or "id" not in request.view_args:
        return ""
    return str(frames.here()).replace(f"/{quote(request.view_args['id'])}", f"/{wrong['suggestion']}", 1)


def _bounded(base: str, row: ProblemType, detail: str, errors: Sequence[Item], members: Item) -> Item:
    """Return the JSON object of a problem, with at most `MAX_REFUSALS` errors and `MAX_ANSWER` characters.

    Members and errors that do not fit are left out, and each error that is long has no `allowed`.
    """
    room = MAX_ANSWER - 2 * MAX_DETAIL
    kept = {}
    for name, value in members.items():
        if (length := _length(value)) <= room // 2:
            kept[name], room = value, room - length
    return document(base, row, shorten(detail, MAX_DETAIL), fitting(base, errors, room), **kept)


def fitting(base: str, errors: Sequence[Item], room: int = MAX_ANSWER) -> list[Item]:
    """Return the errors that an answer with this many characters has."""
    items = []
    for error in errors[:MAX_REFUSALS]:
        item = error if _length(error) <= MAX_ITEM else {name: value for name, value in error.items() if name != "allowed"}
        item = item | {"detail": shorten(error["detail"], MAX_DETAIL)}
        if "more" in item:
            item["all"] = base + _names(item)
        if (length := _length(item)) > room:
            break
        items.append(item)
        room -= length
    return items


def _names(item: Item) -> str:
    """Return the path of all names that a request could have had: a place in the OpenAPI document."""
    if item["code"] == "unknown-path" or request.url_rule is None:
        return "/openapi.json#/paths"
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", request.url_rule.rule.removesuffix(".<string:format>"))
    body = "" if "parameter" in item else f"/{request.method.lower()}/requestBody"
    # A search takes the parameters of its list, and the document has them there.
    path = path if body else re.sub(r"(?<=\w)/search$", "", path)
    return f"/openapi.json#/paths/{quote(path.replace('/', '~1'), safe='~')}{body}"


def _length(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":")))


def register(app: Flask) -> None:
    """Answer every exception of an application with a problem."""
    app.register_error_handler(ProblemError, _problem)
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(MethodNotAllowed, _method_not_allowed)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DBAPIError, _database)
    app.register_error_handler(PoolTimeoutError, _database)
    app.register_error_handler(Exception, _unexpected)
    app.before_request(_request_line)


def _request_line() -> None:
    """Refuse requests that no view could answer. Raises 400, 404, 408, 413, 414 and 503."""
    if refusal := request.environ.get(REFUSAL):
        raise ProblemError(*refusal)
    is_host_missing = not request.headers.get("Host") and request.environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    if is_host_missing or (request.headers.get("Host") and not request.host):
        detail = "The `Host` header is missing." if is_host_missing else "The `Host` header is not a host name."
        raise ProblemError("bad-request", detail, error_item("Host", "invalid-value", detail))
    if "\0" in request.path or request.environ["PATH_INFO"].startswith("//"):
        # PostgreSQL takes no text with a null character, so no view looks one up. werkzeug reads `//keys` as `/keys`, which a
        # proxy that lets only some paths pass does not.
        raise NotFound
    length = len(request.query_string)
    if length > MAX_QUERY_STRING:
        detail = f"The query string has {length} bytes; at most {MAX_QUERY_STRING} are allowed."
        raise ProblemError(
            "uri-too-long", detail, error_item("query", "too-long", detail, allowed={"maximum": MAX_QUERY_STRING})
        )


def _problem(error: ProblemError) -> Response:
    return respond(PROBLEMS[error.name], error.detail, *error.errors, headers=error.headers.items(), **error.members)


def _not_found(_error: NotFound) -> Response:
    path = shorten(get_path_info(request.environ))
    detail = f"There is nothing at `{path}`."
    # Files of pages, and what crawlers read, are no part of the API: their routes are of no blueprint.
    rules = [rule for rule in current_app.url_map.iter_rules() if "." in rule.endpoint]
    paths = sorted({rule.rule for rule in rules if not rule.arguments})
    suggestion = _filtered_list(PREFIX.sub("", path)) or _nearest_path(path, paths)
    item = error_item("path", "unknown-path", detail, allowed=paths, word=path, suggestion=suggestion)
    return respond(PROBLEMS["not-found"], detail, item)


def _filtered_list(path: str) -> str | None:
    """Return the list and the filter for a path such as `/cities/boston-ma/awards`, which is nested in other APIs."""
    match path.strip("/").split("/"):
        case [noun, id, other] if noun in BY_NAME and other in BY_NAME:
            owner, listed, id = BY_NAME[noun], BY_NAME[other], quote(id)
        case _:
            return None
    if listed.name == "citations":
        return f"/citations?subject_kind={owner.name}&subject_id={id}"
    prefix = next((relation.prefix for relation in listed.relations if relation.to == owner.name), None)
    return prefix and f"/{listed.name}?{prefix}={id}"


def _nearest_path(path: str, paths: Sequence[str]) -> str | None:
    """Return the path without a prefix of other APIs and with its first segment corrected; only that if the rest is wrong."""
    first, _, rest = PREFIX.sub("", path).strip("/").partition("/")
    near = nearest("/" + first, paths)
    mended = f"{near}/{rest}" if near and rest else near
    return near if mended == path else mended


def _method_not_allowed(error: MethodNotAllowed) -> Response:
    allowed = sorted(error.valid_methods or ())
    detail = f"`{shorten(request.path)}` does not have the method `{shorten(request.method)}`."
    item = error_item("method", "method-not-allowed", f"Use {' or '.join(allowed)}.", allowed=allowed, suggestion=_read_above())
    return respond(PROBLEMS["method-not-allowed"], detail, item, headers=[("Allow", ", ".join(allowed))])


def _read_above() -> str | None:
    """Return the path above one that is not read itself, if a GET of that works: `/cities` for `/cities/search`."""
    above = request.path.rpartition("/")[0]
    is_read = request.method in {"GET", "HEAD"} and above and current_app.url_map.bind("").test(above, "GET")
    return above if is_read else None


def _http(error: HTTPException) -> Response:
    status = error.code or INTERNAL_SERVER_ERROR
    fallback = PROBLEMS["internal-error" if status >= INTERNAL_SERVER_ERROR else "bad-request"]
    row = BY_STATUS.get(status, fallback)
    return respond(row, error.description or row.detail)


def _database(error: DBAPIError | PoolTimeoutError) -> Response:
    database: Database = current_app.extensions["database"]
    # A missing table or column is a bug only if the database is migrated.
    reason = failures.reason(error) or database.readiness().reads
    if reason is None:
        return _unexpected(error)
    observer_of(current_app).count("database_failures", failures.CAUSES.get(reason, "other"))
    logger.warning("request %s is unavailable: %s", request_id(), logs.describe(error))
    return respond(PROBLEMS["unavailable"], reason)


def _unexpected(error: Exception) -> Response:
    logger.error("request %s failed, %s %s", request_id(), request.method, logs.escaped(request.path), exc_info=error)
    return respond(PROBLEMS["internal-error"], PROBLEMS["internal-error"].detail)
