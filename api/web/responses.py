"""What all routes share: the headers that they document, strict arguments, negotiation, tags, links and bodies."""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import reduce
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import urlencode

from flask import Request, Response, current_app, request
from flask.views import MethodView
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MIMEAccept, MultiDict
from werkzeug.http import parse_accept_header

from api import __version__
from api.db.database import Database
from api.errors import ErrorList, ProblemError, error_item, shorten
from api.schema import strict_json
from api.schema.formats import FORMATS
from api.schema.resource import Resource
from api.web.cache import CACHE_CONTROL
from api.web.compression import matching
from api.web.problem_types import PROBLEMS
from api.web.problems import base_url

JSON = "application/json"
UNCHANGED = "You have the latest version already."
ALWAYS = ("internal-error", "uri-too-long")


def header(name: str, description: str, example: str) -> dict[str, Any]:
    """Return the description of one header of an answer."""
    return {name: {"description": description, "schema": {"type": "string"}, "example": example}}


VARIES = "The answer depends on these headers of the request."
REQUEST_ID = header("X-Request-Id", "Names this request in our log.", "0b6a4ac1b2c84a0e")
ENCODED = header("Content-Encoding", "How the body is compressed, if it is: as `Accept-Encoding` likes it.", "zstd")
NOT_KEPT = header("Cache-Control", "It may not be kept.", "no-store") | REQUEST_ID
HEADERS = (
    header("ETag", "Version of this answer, for `If-None-Match`.", f'"{__version__}-618"')
    | header("Cache-Control", "How long it may be kept.", CACHE_CONTROL)
    | header("Vary", VARIES, "Accept-Encoding")
    | ENCODED
    | header("Age", "Seconds since this answer was computed; it is checked to be the latest when it is sent.", "0")
    | header("Server-Timing", "Whether the answer was there already, and what computing it took.", "cache;desc=hit")
    | REQUEST_ID
)
LINK = header(
    "Link",
    "The same links as in `links` (RFC 8288); of more than 4,000 characters, only `next`.",
    '<https://api.example.org/cities?limit=2>; rel="self"',
)
VARY = header("Vary", VARIES, "Accept, Accept-Encoding")
# A header of more bytes would not pass every proxy; `links` in the body always has both.
MAX_LINK = 4_000
# What need not be escaped in the parameters of an address, and is read more easily as it is.
SAFE = ",:/"
ALLOW = header("Allow", "The methods that work here.", "OPTIONS, POST")
CHALLENGE = header("WWW-Authenticate", "How to authenticate (RFC 6750).", 'Bearer realm="digital-cities"')
RATE_LIMIT = header(
    "RateLimit-Policy", "The limit that counted this request: how many, in how many seconds.", '"writes";q=600;w=60'
) | header("RateLimit", "How many are left, and in how many seconds there are more.", '"writes";r=599;t=60')
REPLAYED = header("Idempotent-Replayed", "The answer is that of an earlier request under this key.", "true")
# What only the answers to writes have, and not all of those.
COUNTED = RATE_LIMIT | REPLAYED
RETRY_AFTER = header("Retry-After", "Seconds to wait before trying again.", "5")
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "`ETag` of the copy that you have: the answer is 304 when it is still the latest.",
    "schema": {"type": "string"},
    # No version of anything is 0: the interactive page sends this as it is, and gets the whole answer.
    "example": f'"{__version__}-0"',
}


class NoArguments(Schema):
    """The parameters of a path that has none."""

    class Meta:
        """An unknown parameter is an error, never ignored."""

        unknown = RAISE


class StrictParser(FlaskParser):
    """Refuses what webargs lets pass: unknown query parameters."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": None}  # noqa: RUF012 - webargs' interface
    DEFAULT_VALIDATION_STATUS = 400

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:  # noqa: ARG002 - webargs' interface
        """Answer with everything that is wrong at once."""
        wrong = ErrorList()
        messages: dict[str, dict[str, list[str]]] = error.normalized_messages()  # type: ignore[no-untyped-call]
        for name in messages["query"]:
            wrong.unknown(name, schema.load_fields)
        wrong.raise_any()
        raise error


class Blueprint(SmorestBlueprint):
    """A blueprint that is strict about its arguments."""

    ARGUMENTS_PARSER = StrictParser()


def database() -> Database:
    """Return the application's database."""
    found: Database = current_app.extensions["database"]
    return found


def documents(blp: Blueprint, *names: str) -> Any:
    """Return a decorator that documents the problems a view can answer with, besides those of every view."""

    def decorate(view: Any) -> Any:
        for status in sorted({PROBLEMS[name].status for name in (*names, *ALWAYS)}):
            view = blp.alt_response(status, response_name(status))(view)
        # flask-smorest takes a docstring's first line for the summary, which we give in fewer words.
        description = inspect.getdoc(view)
        return blp.doc(description=description)(view) if description else view

    return decorate


def noun_view(view: type[MethodView], resource: Resource, **decorators: Sequence[Callable[[Any], Any]]) -> type[MethodView]:
    """Return a subclass of a view for one noun; ``decorators`` document its methods, by the name of the method.

    flask-smorest takes the documentation of an operation from its method, and each noun documents its own.
    """
    methods = {name: reduce(lambda method, row: row(method), rows, getattr(view, name)) for name, rows in decorators.items()}
    return type(f"{resource.singular.title()}{view.__name__}", (view,), {"resource": resource, **methods})


def response_name(status: int) -> str:
    """Return the name under which the problems of one status are documented once."""
    return HTTPStatus(status).name


def negotiate(*offered: str) -> str:
    """Return the offered media type that `Accept` likes best. Raises a 406 when it likes none."""
    # What we send is UTF-8 anyhow, so a client that asks for just that is not refused for it.
    accepted = parse_accept_header(
        re.sub(r";\s*(charset|header)=[^;,]*", "", request.headers.get("Accept") or "*/*"), MIMEAccept
    )
    best = accepted.best_match(offered)
    if best is None:
        accept = shorten(request.headers["Accept"])
        item = error_item(
            "Accept", "not-acceptable", f"Use {' or '.join(offered)}, or leave the header out.", allowed=list(offered)
        )
        raise ProblemError("not-acceptable", f"None of `{accept}` can be served here.", item)
    return best


def conditional(etag: str) -> Response | None:
    """Return the 304 for a caller who has this version already, else None."""
    # What is unchanged is what the caller has, compressed or not.
    own = matching(request.if_none_match, etag)
    return tagged(Response(status=304), own) if own else None


def tag(version: int, *parts: object) -> str:
    """Return the entity tag of an answer: the release, a version, and all else that tells its bytes from others."""
    return "-".join(map(str, (__version__, version, *parts)))


def tagged(response: Response, etag: str) -> Response:
    """Say which version an answer is, and how it may be kept."""
    response.set_etag(etag)
    response.headers["Cache-Control"] = CACHE_CONTROL
    if response.status_code == 304:  # noqa: PLR2004 - nothing is described where nothing is sent
        response.headers.pop("Content-Type", None)
    return response


def no_store(response: Response) -> Response:
    """Forbid to cache an answer."""
    response.headers["Cache-Control"] = "no-store"
    return response


def json_response(body: Any, links: Mapping[str, str | None] | None = None) -> Response:
    """Return a body as JSON, with the `Link` header of its links, if it has any."""
    response = Response(json.dumps(body, separators=(",", ":")), content_type=JSON)
    if links:
        response.headers["Link"] = link_header(links)
    return response


def read_body(*media_types: str, exact: bool = False) -> Any:
    """Return the JSON of the request's body; of NDJSON, a list of its lines. Raises 400, 413 and 415."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype not in media_types or charset != "utf-8" or request.content_encoding:
        detail = f"The body is `{'` or `'.join(media_types)}`, in UTF-8 and not compressed."
        item = error_item("Content-Type", "unsupported-media-type", detail, allowed=list(media_types))
        raise ProblemError("unsupported-media-type", detail, item)
    body, lines = request.get_data(), request.mimetype == FORMATS["ndjson"].media_type
    found = []
    for number, line in enumerate(body.split(b"\n") if lines else [body]):
        try:
            if line.strip() or not lines:
                found.append(strict_json.load(line, exact=exact))
        except ValueError as error:
            detail = f"{f'Line {number + 1}' if lines else 'The body'} is no JSON: {error}."
            pointer = f"/{number}" if lines else ""
            raise ProblemError("invalid-json", detail, error_item("", "invalid-json", detail, pointer=pointer)) from None
    return found if lines else found[0]


def streamed(resources: ExitStack, body: Iterator[bytes], content_type: str) -> Response:
    """Return an answer that is sent while it is read; what it is read from is closed after its last piece.

    Takes over all that ``resources`` holds, so return it from the block that opened them.
    """
    kept = resources.pop_all()
    response = Response(_held(kept, body), content_type=content_type)
    # A client can go away before the first piece; a generator that has not started does not close anything.
    response.call_on_close(kept.close)
    return response


def _held(resources: ExitStack, body: Iterator[bytes]) -> Iterator[bytes]:
    with resources:
        yield from body


def streaming() -> AbstractContextManager[None]:
    """Hold one of the places for streams: slow readers may not take every thread. Raises a 503 when there is none."""
    return _place("streams", "As many lists are being streamed as can be at once.")


def waiting() -> AbstractContextManager[None]:
    """Hold one of the places for who waits: they may not take every thread. Raises a 503 when there is none."""
    return _place("waiters", "As many requests are waiting for changes as can be at once.")


@contextmanager
def _place(of: str, taken: str) -> Iterator[None]:
    places = current_app.extensions[of]
    if not places.acquire(blocking=False):
        raise ProblemError("unavailable", taken)
    try:
        yield
    finally:
        places.release()


def link_header(links: Mapping[str, str | None]) -> str:
    """Return the header that says what `links` does (RFC 8288)."""
    header = ", ".join(f'<{url}>; rel="{relation}"' for relation, url in links.items() if url)
    return header if len(header) <= MAX_LINK else ", ".join(f'<{url}>; rel="next"' for url in [links.get("next")] if url)


def address(arguments: MultiDict[str, str], *, without: str = "", **changed: str) -> str:
    """Return the absolute address of this path with these parameters."""
    asked = [(name, values) for name, values in arguments.lists() if name not in {without, *changed}]
    text = urlencode([*asked, *((name, [value]) for name, value in changed.items())], doseq=True, safe=SAFE)
    return base_url() + request.path + (f"?{text}" if text else "")
