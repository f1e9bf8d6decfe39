"""What answers share: negotiation, entity tags, bodies, streams and links."""

import codecs
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus

from flask import Response, current_app, request
from werkzeug.datastructures import MultiDict

from api.db.database import Database
from api.db.wal import WriteAheadLog
from api.errors import ProblemError, error_item, shorten
from api.schema import strict_json
from api.schema.formats import FORMATS
from api.web import suffixes, tags
from api.web.cache import ASK
from api.web.negotiation import preferred_types
from api.web.urls import base_url

JSON, NDJSON = (FORMATS[name].media_type for name in ("json", "ndjson"))
# Not every proxy passes a longer header; `links` in the body always has all links.
MAX_LINK = 4_000
# Pieces of at least 65,536 characters: an answer that has fewer is sent with its length.
WHOLE = 16
# Characters that a query need not escape, and that are easier to read as they are.
SAFE = ",:/"
PLAIN = re.compile(rf"[A-Za-z0-9_.~\-{SAFE}]*")


class CutOffError(Exception):
    """An answer must end before it is complete, since it keeps SQLite's write-ahead log from being used again."""


def database() -> Database:
    """Return the database of the application."""
    result: Database = current_app.extensions["database"]
    return result


def writable() -> Database:
    """Return the database that takes writes: the primary, if this server reads from a standby and knows its address."""
    result: Database = current_app.extensions["primary"] or database()
    return result


def negotiate(*offered: str) -> str:
    """Return the offered media type that `Accept` prefers. Raises a 406 if it accepts none of them."""
    best = next((name for name in preferred_types(request.headers.get("Accept", "")) if name in offered), None)
    if best is None:
        accept = shorten(request.headers["Accept"])
        item = error_item(
            "Accept", "not-acceptable", f"Use {' or '.join(offered)}, or leave the header out.", allowed=list(offered)
        )
        raise ProblemError("not-acceptable", f"None of `{accept}` can be served here.", item)
    return best


def conditional(etag: str) -> Response | None:
    """Return a 304 if the client has the answer that it would get, else None. Raises a 412 if `If-Match` names another."""
    accept_encoding = request.headers.get("Accept-Encoding")
    selected = tags.coded(etag, accept_encoding)
    if_match, if_none_match = (request.headers.get(name) for name in ("If-Match", "If-None-Match"))
    if if_match is not None and not tags.matches(if_match, selected, accept_encoding):
        detail = f'The answer is not the one that `If-Match` names: its `ETag` is `"{selected}"`.'
        raise ProblemError("precondition-failed", detail, error_item("If-Match", "precondition-failed", detail))
    if if_none_match is None or not tags.matches(if_none_match, selected, accept_encoding):
        return None
    return tagged(Response(status=304), selected)


def tagged(response: Response, etag: str) -> Response:
    """Set the entity tag of an answer, and let caches keep it."""
    response.set_etag(etag)
    # Who waits for changes must not be answered at once by what another one waited for.
    response.headers["Cache-Control"] = ASK if "wait" in request.args else database().settings.cache_control
    if response.status_code == 304:  # noqa: PLR2004 - an answer without a body has no media type
        response.headers.pop("Content-Type", None)
    return response


def no_store(response: Response) -> Response:
    """Forbid to cache an answer."""
    response.headers["Cache-Control"] = "no-store"
    return response


def redirect(location: str, status: HTTPStatus) -> Response:
    """Return an answer without a body that leads to another address."""
    response = Response(status=status, headers={"Location": location})
    del response.headers["Content-Type"]
    return response


def json_response(body: Any, links: Mapping[str, str | None] | None = None) -> Response:
    """Return a body as JSON, with the `Link` header of its links, if it has any."""
    response = Response(json.dumps(body, separators=(",", ":")), content_type=JSON)
    if links:
        response.headers["Link"] = link_header(links)
    return response


def read_body(*media_types: str, exact: bool = False) -> Any:
    """Return the JSON of the request's body; for NDJSON, a list of its lines. Raises 400, 413 and 415."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype not in media_types or charset != "utf-8" or request.content_encoding:
        detail = f"The body must be `{'` or `'.join(media_types)}` in UTF-8, not compressed."
        item = error_item("Content-Type", "unsupported-media-type", detail, allowed=list(media_types))
        raise ProblemError("unsupported-media-type", detail, item)
    # Windows programs begin a file with a byte order mark, which a reader may ignore (RFC 8259, 8.1).
    body, lines = request.get_data().removeprefix(codecs.BOM_UTF8), request.mimetype == NDJSON
    values = []
    for number, line in enumerate(body.split(b"\n") if lines else [body]):
        try:
            if line.strip() or not lines:
                values.append(strict_json.load(line, exact=exact))
        except ValueError as error:
            detail = f"{f'Line {number + 1}' if lines else 'The body'} is not JSON: {error}."
            pointer = f"/{number}" if lines else ""
            raise ProblemError("invalid-json", detail, error_item("", "invalid-json", detail, pointer=pointer)) from None
    return values if lines else values[0]


def streamed(resources: ExitStack, body: Iterator[bytes], content_type: str) -> Response:
    """Return an answer that is sent while it is read; what it is read from is closed after its last piece.

    Takes over all that ``resources`` holds, so return it from the block that opened them.
    """
    kept = resources.pop_all()
    response = Response(_held(kept, body, database().wal), content_type=content_type)
    # A client can go away before the first piece; a generator that has not started does not close anything.
    response.call_on_close(kept.close)
    return response


def whole_or_streamed(resources: ExitStack, body: Iterator[bytes], content_type: str) -> Response:
    """Return an answer with its length if it is short, else one that is sent while it is read, as `streamed` does."""
    first = list(itertools.islice(body, WHOLE))
    if len(first) < WHOLE:
        return Response(b"".join(first), content_type=content_type)
    return streamed(resources, itertools.chain(first, body), content_type)


def ranged(response: Response) -> Response:
    """Cut an answer that has its length and its tag down to the bytes that `Range` asks for (RFC 9110, 14.2).

    Several ranges, and one of another version than `If-Range` names, get the whole answer. Raises a 416 for one that begins
    behind the end.
    """
    if response.is_streamed:
        return response
    response.headers["Accept-Ranges"] = "bytes"
    is_same = request.headers.get("If-Range") in {None, response.headers["ETag"]}
    body, asked = response.get_data(), request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) > 1 or not is_same or request.method != "GET":
        return response
    if asked.ranges[0][0] >= len(body):
        raise _beyond(asked.ranges[0][0], len(body))
    bounds = asked.range_for_length(len(body))
    if bounds is None:
        return response
    response.headers["Content-Range"] = asked.to_content_range_header(len(body))
    response.status_code = HTTPStatus.PARTIAL_CONTENT
    response.set_data(body[slice(*bounds)])
    return response


def _beyond(start: int, length: int) -> ProblemError:
    """Return the 416 of a range that begins behind the end of an answer."""
    detail = f"The file has {length} bytes, so no range begins at byte {shorten(str(start))}."
    item = error_item("Range", "range-not-satisfiable", detail, allowed={"maximum": length - 1} if length else None)
    return ProblemError("range-not-satisfiable", detail, item, headers={"Content-Range": f"bytes */{length}"})


def _held(resources: ExitStack, body: Iterator[bytes], wal: WriteAheadLog) -> Iterator[bytes]:
    with resources:
        for piece in body:
            if wal.is_full():
                raise CutOffError
            yield piece


def link_header(links: Mapping[str, str | None]) -> str:
    """Return the `Link` header of some links (RFC 8288); only `next` if the header would be too long."""
    header = ", ".join(f'<{url}>; rel="{relation}"' for relation, url in links.items() if url)
    return header if len(header) <= MAX_LINK else ", ".join(f'<{url}>; rel="next"' for url in [links.get("next")] if url)


def quoted(text: str) -> str:
    """Return a text as the query of a URL has it. Most have nothing to quote, and to see that takes a tenth of the time."""
    return text if PLAIN.fullmatch(text) else quote_plus(text, safe=SAFE)


def address(arguments: MultiDict[str, str], *, without: str = "", path: str | None = None, **changed: str) -> str:
    """Return the absolute URL of this path, or of another, with these query parameters, some changed or left out."""
    kept = [(name, values) for name, values in arguments.lists() if name not in {without, *changed}]
    pairs = [(name, value) for name, values in kept for value in values] + [*changed.items()]
    text = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs)
    return base_url() + suffixes.kept(request.environ, path or request.path) + (f"?{text}" if text else "")
