"""Plain reads: the requests that may be answered from the cache, and what an answer depends on."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from api.web import suffixes
from api.web.exchanges import LATEST
from api.web.negotiation import preferred_coding, preferred_types
from api.web.watch import WatchedState

READS = ("GET", "HEAD")
# Answered without a look at the database, or for one person alone: nobody waits for another one's page of the desk.
UNCACHED, DESK = frozenset({"/livez", "/readyz", "/metrics", "/edit"}), ("/edit/", "/edit.")
# A version has at most 19 digits; the view refuses longer ones.
MIN_VERSION = re.compile(r"(?:^|&)min_version=([0-9]{1,19})(?:&|$)")

# The headers that decide whether an answer may come from the cache, and which: their variables in PEP 3333.
VARIABLES = {
    "accept": "HTTP_ACCEPT",
    "accept-encoding": "HTTP_ACCEPT_ENCODING",
    "authorization": "HTTP_AUTHORIZATION",
    "content-length": "CONTENT_LENGTH",
    "host": "HTTP_HOST",
    "if-match": "HTTP_IF_MATCH",
    "if-none-match": "HTTP_IF_NONE_MATCH",
    "range": "HTTP_RANGE",
    "transfer-encoding": "HTTP_TRANSFER_ENCODING",
    "x-request-id": "HTTP_X_REQUEST_ID",
}

# Those with which a request is never answered from the cache.
UNPLAIN = {"authorization", "if-match", "range", "transfer-encoding"}

Environ = dict[str, Any]


class PlainRead(NamedTuple):
    """What a request asks for that may be answered from the cache.

    ``key`` is everything that an answer depends on besides the state; different spellings of one preference share it.
    """

    key: tuple[Any, ...]
    query: str
    is_head: bool
    if_none_match: str | None
    accept_encoding: str | None
    request_id: str

    def is_behind(self, state: WatchedState) -> bool:
        """Return whether `min_version` names a version that the dataset has not reached."""
        match = MIN_VERSION.search(self.query) if "min_version" in self.query else None
        return match is not None and int(match[1]) > state.version


def read_of(environ: Environ) -> PlainRead | None:
    """Return the plain read that a WSGI request asks for; None if it asks for something else."""
    if environ.get(LATEST):
        return None
    headers = {name: value for name, variable in VARIABLES.items() if (value := environ.get(variable)) is not None}
    path = environ["SCRIPT_NAME"], environ.get(suffixes.SENT) or environ["PATH_INFO"]
    return plain_read(environ["REQUEST_METHOD"], environ["wsgi.url_scheme"], path, environ["QUERY_STRING"], headers)


def plain_read(method: str, scheme: str, path: tuple[str, str], query: str, headers: Mapping[str, str]) -> PlainRead | None:
    """Return what a request asks for if it is a plain read, which neither waits for changes nor asks for the health; else None.

    The desk has none. ``path`` has two parts, as in PEP 3333; ``headers`` have small letters. Without a `Host`, HTTP/1.0 gets
    an answer and HTTP/1.1 a refusal, which is not made here.
    """
    get = headers.get
    if not (host := get("host")) or method not in READS or "wait=" in query or path[1] in UNCACHED or path[1].startswith(DESK):
        return None
    if not UNPLAIN.isdisjoint(headers):
        return None
    if get("content-length") not in {None, "", "0"}:
        return None
    coding, (_, media_type) = get("accept-encoding", ""), suffixes.split(path[1])
    return PlainRead(
        (scheme, host, path, query, preferred_types(media_type or get("accept", "")), preferred_coding(coding)),
        query,
        method == "HEAD",
        get("if-none-match"),
        get("accept-encoding"),
        get("x-request-id", ""),
    )
