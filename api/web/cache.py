"""A cache of finished answers in each process, in front of Flask, valid as long as the dataset stays in one state.

The state is a part of an answer's key, so no answer needs to be invalidated, and threads that see different states do not
disturb each other. The least recently used answers, such as those of past states, are dropped when `CACHE_MB` is full. If many
requests ask for the same answer at once, one of them computes it and the others wait for it.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache
from werkzeug.datastructures import Headers
from werkzeug.http import unquote_etag

from api.db.database import Database
from api.web import tags
from api.web.negotiation import preferred_coding, preferred_types
from api.web.problems import request_name
from api.web.watch import PostgresWatch, SqliteWatch, WatchedState

READS = ("GET", "HEAD")
# Answered without a look at the database.
UNCACHED = frozenset({"/livez", "/readyz"})
# Bytes of an answer besides its body: headers, request key, and Python's objects.
OVERHEAD = 2_500
# No answer may take more than this fraction of the cache.
LARGEST_PART = 8
# Headers of a 200 that its 304 leaves out.
BODY_HEADERS = ("content-type", "content-length", "content-encoding", "content-disposition", "link")
# A version has at most 19 digits; the view refuses longer ones.
MIN_VERSION = re.compile(r"(?:^|&)min_version=([0-9]{1,19})(?:&|$)")
# Any cache may keep an answer, but has to ask each time whether it is still the latest: that costs one small query.
CACHE_CONTROL = "public, no-cache"

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
# Seconds to wait for another request that computes the same answer; then a request computes it itself.
PATIENCE = 10.0
# The parts of a request, and the state of the dataset.
AnswerKey = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A finished answer. One without a body was a 304: only the tag of the body is known."""

    headers: Sequence[tuple[str, str]]
    body: bytes | None
    etag: str
    computed: float

    @property
    def size(self) -> int:
        """Approximate size in bytes."""
        return len(self.body or b"") + OVERHEAD


class Answers:
    """Finished answers by their keys, and the flights: the keys of answers that are being computed."""

    def __init__(self, room: int) -> None:
        """Keep at most ``room`` bytes."""
        self.room = room
        self.lock = threading.Lock()
        self.flights: dict[AnswerKey, threading.Event] = {}
        self.kept: LRUCache[AnswerKey, CachedAnswer] = LRUCache(room, getsizeof=lambda answer: answer.size)

    def find(self, key: AnswerKey) -> CachedAnswer | None:
        """Return an answer; None if it is not cached."""
        # `get` would look the key up twice, and hash it each time.
        with self.lock:
            try:
                return self.kept[key]
            except KeyError:
                return None

    def keep(self, key: AnswerKey, answer: CachedAnswer) -> None:
        """Cache an answer."""
        with self.lock:
            self.kept[key] = answer

    def board(self, key: AnswerKey) -> threading.Event | None:
        """Return the event that is set when an answer is computed; None if nobody computes it, so that the caller must."""
        with self.lock:
            if (flight := self.flights.get(key)) is None:
                self.flights[key] = threading.Event()
            return flight

    def land(self, key: AnswerKey) -> None:
        """Wake those who wait for an answer: it is cached now, or cannot be."""
        with self.lock:
            flight = self.flights.pop(key)
        flight.set()


class Cache:
    """A WSGI application (PEP 3333) in front of another; its ``watch`` knows the state of the dataset."""

    def __init__(self, app: Callable[[Environ, StartResponse], Iterable[bytes]], database: Database) -> None:
        """Hold up to `CACHE_MB`."""
        self.app = app
        self.answers = Answers(database.settings.cache_mb * 1_000_000)
        self.watch = SqliteWatch(database) if database.engine.dialect.name == "sqlite" else PostgresWatch(database)
        self.stale_if_error = database.settings.stale_if_error
        # When the database was reached last, and its state then.
        self.reached: tuple[float, WatchedState | None] = (0.0, None)

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer a request, from the cache if possible."""
        is_plain = may_be_kept(environ)
        state = self.watch.state() if is_plain else None
        if is_plain and state is None and (body := self._stale(environ, start)) is not None:
            return body
        if state is None or is_behind(environ["QUERY_STRING"], state):
            return self.app(environ, start)
        self.reached = (time.monotonic(), state)
        key = answer_key(environ, state)
        if (body := answer_from(self.answers, key, environ, start)) is not None:
            return body
        if environ["REQUEST_METHOD"] != "GET":
            return self.app(environ, start)
        if flight := self.answers.board(key):
            flight.wait(PATIENCE)
            body = answer_from(self.answers, key, environ, start)
            return self.app(environ, start) if body is None else body
        try:
            # Another request may have cached it after the first look.
            body = answer_from(self.answers, key, environ, start)
            return self._compute(key, environ, start) if body is None else body
        finally:
            self.answers.land(key)

    def at_once(self, environ: Environ, start: StartResponse) -> list[bytes] | None:
        """Answer a request without waiting for anything; None if the answer is not cached, or the state must be looked up."""
        state = self.watch.state_at_once() if may_be_kept(environ) else None
        if state is None or is_behind(environ["QUERY_STRING"], state):
            return None
        self.reached = (time.monotonic(), state)
        return answer_from(self.answers, answer_key(environ, state), environ, start)

    def _stale(self, environ: Environ, start: StartResponse) -> list[bytes] | None:
        """Answer by the last known state if that is recent enough (RFC 5861, 4) and the answer is cached; else None."""
        moment, state = self.reached
        is_recent = time.monotonic() - moment <= self.stale_if_error
        if state is None or not is_recent or is_behind(environ["QUERY_STRING"], state):
            return None
        return answer_from(self.answers, answer_key(environ, state), environ, start, "stale")

    def _compute(self, key: AnswerKey, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer a request by the application, and cache the answer if that is allowed and it is small enough."""
        begun = time.perf_counter()
        started: list[Any] = []
        body = self.app(environ, lambda *arguments: started.append(arguments))
        status, rows, *trace = started[-1]
        headers = Headers(rows)
        milliseconds = (time.perf_counter() - begun) * 1000
        start(status, [*rows, ("Server-Timing", f"cache;desc=miss, app;dur={milliseconds:.1f}")], *trace)
        if not self._may_keep(status, headers):
            return body
        try:
            whole = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        kept_rows = [(name, value) for name, value in rows if name != "X-Request-Id"]
        etag = unquote_etag(headers["ETag"])[0] or ""
        self.answers.keep(key, CachedAnswer(kept_rows, None if status.startswith("304") else whole, etag, time.monotonic()))
        return [whole]

    def _may_keep(self, status: str, headers: Headers) -> bool:
        if headers.get("Cache-Control") != CACHE_CONTROL or "ETag" not in headers:
            return False
        size = headers.get("Content-Length", type=int)
        is_small = size is not None and size <= self.answers.room // LARGEST_PART
        return status.startswith("304") or (status.startswith("200") and is_small)


def may_be_kept(environ: Environ) -> bool:
    """Tell whether a request is a plain read, which neither waits for changes nor asks for the health.

    Without a `Host`, HTTP/1.0 gets an answer and HTTP/1.1 a refusal, which is not made here.
    """
    if not environ.get("HTTP_HOST"):
        return False
    if environ["REQUEST_METHOD"] not in READS or "wait=" in environ["QUERY_STRING"] or environ["PATH_INFO"] in UNCACHED:
        return False
    if "HTTP_AUTHORIZATION" in environ or "HTTP_IF_MATCH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
        return False
    return environ.get("CONTENT_LENGTH") in (None, "", "0")


def answer_key(environ: Environ, state: WatchedState) -> AnswerKey:
    """Return everything that an answer depends on. Different spellings of one preference share an answer."""
    get = environ.get
    return (
        state,
        environ["wsgi.url_scheme"],
        get("HTTP_HOST"),
        environ["SCRIPT_NAME"],
        environ["PATH_INFO"],
        environ["QUERY_STRING"],
        preferred_types(get("HTTP_ACCEPT", "")),
        preferred_coding(get("HTTP_ACCEPT_ENCODING", "")),
    )


def is_behind(query: str, state: WatchedState) -> bool:
    """Return whether `min_version` names a version that the dataset has not reached."""
    match = MIN_VERSION.search(query) if "min_version" in query else None
    return match is not None and int(match[1]) > state.version


def answer_from(
    answers: Answers, key: AnswerKey, environ: Environ, start: StartResponse, kind: str = "hit"
) -> list[bytes] | None:
    """Answer a request from the cache; None if the answer is not cached, or its body is needed and only its tag is known.

    ``kind`` tells the client whether the answer is fresh or stale.
    """
    answer = answers.find(key)
    if answer is None:
        return None
    if_none_match = environ.get("HTTP_IF_NONE_MATCH")
    is_known = if_none_match is not None and tags.matches(if_none_match, answer.etag, environ.get("HTTP_ACCEPT_ENCODING"))
    if not is_known and answer.body is None:
        return None
    added = [
        ("X-Request-Id", request_name(environ.get("HTTP_X_REQUEST_ID", ""))),
        ("Age", str(int(time.monotonic() - answer.computed))),
        ("Server-Timing", f"cache;desc={kind}"),
    ]
    if is_known:
        start("304 NOT MODIFIED", [*(row for row in answer.headers if row[0].lower() not in BODY_HEADERS), *added])
        return []
    start("200 OK", [*answer.headers, *added])
    return [answer.body or b""] if environ["REQUEST_METHOD"] == "GET" else []
