"""A cache of finished answers in each process, in front of Flask, valid as long as the dataset stays in one state.

Answers belong to a state of the dataset, and the cache starts empty with each new state, so no answer needs to be invalidated.
The least recently used answers are dropped when `CACHE_MB` is full. If many requests ask for the same answer at once, one of
them computes it and the others wait for it.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cachetools import LRUCache
from werkzeug.datastructures import Headers
from werkzeug.http import parse_etags, unquote_etag

from api.db.database import Database
from api.web.compression import matching, plain
from api.web.problems import request_name
from api.web.watch import PostgresWatch, SqliteWatch, WatchedState

READS = ("GET", "HEAD")
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
RequestKey = tuple[str | None, ...]


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


@dataclass
class StateCache:
    """The answers of one state of the dataset, and the flights: the keys of answers that are being computed."""

    state: WatchedState
    room: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    flights: dict[RequestKey, threading.Event] = field(default_factory=dict)
    answers: LRUCache[RequestKey, CachedAnswer] = field(init=False)

    def __post_init__(self) -> None:
        """Limit the answers to ``room`` bytes."""
        self.answers = LRUCache(self.room, getsizeof=lambda answer: answer.size)

    def find(self, key: RequestKey) -> CachedAnswer | None:
        """Return an answer; None if it is not cached."""
        with self.lock:
            return self.answers.get(key)

    def keep(self, key: RequestKey, answer: CachedAnswer) -> None:
        """Cache an answer."""
        with self.lock:
            self.answers[key] = answer

    def board(self, key: RequestKey) -> threading.Event | None:
        """Return the event that is set when an answer is computed; None if nobody computes it, so that the caller must."""
        with self.lock:
            if (flight := self.flights.get(key)) is None:
                self.flights[key] = threading.Event()
            return flight

    def land(self, key: RequestKey) -> None:
        """Wake those who wait for an answer: it is cached now, or cannot be."""
        with self.lock:
            flight = self.flights.pop(key)
        flight.set()


class Cache:
    """A WSGI application (PEP 3333) in front of another; its ``watch`` knows the state of the dataset."""

    def __init__(self, app: Callable[[Environ, StartResponse], Iterable[bytes]], database: Database) -> None:
        """Hold up to `CACHE_MB`."""
        self.app = app
        self.room = database.settings.cache_mb * 1_000_000
        self.watch = SqliteWatch(database) if database.engine.dialect.name == "sqlite" else PostgresWatch(database)
        self.current: StateCache | None = None

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer a request, from the cache if possible."""
        key = request_key(environ)
        state = self.watch.state() if key else None
        if key is None or state is None or is_behind(environ["QUERY_STRING"], state):
            return self.app(environ, start)
        cache = self._cache_of(state)
        if (body := answer_from(cache, key, environ, start)) is not None:
            return body
        if environ["REQUEST_METHOD"] != "GET":
            return self.app(environ, start)
        if flight := cache.board(key):
            flight.wait()
            body = answer_from(cache, key, environ, start)
            return self.app(environ, start) if body is None else body
        try:
            # Another request may have cached it after the first look.
            body = answer_from(cache, key, environ, start)
            return self._compute(cache, key, environ, start) if body is None else body
        finally:
            cache.land(key)

    def _cache_of(self, state: WatchedState) -> StateCache:
        """Return the answers of a state; those of any other state are dropped."""
        cache = self.current
        if cache is None or cache.state != state:
            cache = self.current = StateCache(state, self.room)
        return cache

    def _compute(self, cache: StateCache, key: RequestKey, environ: Environ, start: StartResponse) -> Iterable[bytes]:
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
        etag = plain(unquote_etag(headers["ETag"])[0] or "")
        cache.keep(key, CachedAnswer(kept_rows, None if status.startswith("304") else whole, etag, time.monotonic()))
        return [whole]

    def _may_keep(self, status: str, headers: Headers) -> bool:
        if headers.get("Cache-Control") != CACHE_CONTROL or "ETag" not in headers:
            return False
        size = headers.get("Content-Length", type=int)
        is_small = size is not None and size <= self.room // LARGEST_PART
        return status.startswith("304") or (status.startswith("200") and is_small)


def request_key(environ: Environ) -> RequestKey | None:
    """Return all parts of a request on which its answer depends; None if it is no plain read, or waits for changes."""
    query = environ["QUERY_STRING"]
    get = environ.get
    if environ["REQUEST_METHOD"] not in READS or "HTTP_AUTHORIZATION" in environ or "wait=" in query:
        return None
    if get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        return None
    address = (environ["wsgi.url_scheme"], get("HTTP_HOST"), environ["SCRIPT_NAME"], environ["PATH_INFO"], query)
    return (*address, get("HTTP_ACCEPT"), get("HTTP_ACCEPT_ENCODING"))


def is_behind(query: str, state: WatchedState) -> bool:
    """Return whether `min_version` names a version that the dataset has not reached."""
    match = MIN_VERSION.search(query) if "min_version" in query else None
    return match is not None and int(match[1]) > state.version


def answer_from(cache: StateCache, key: RequestKey, environ: Environ, start: StartResponse) -> list[bytes] | None:
    """Answer a request from the cache; None if the answer is not cached, or its body is needed and only its tag is known."""
    answer = cache.find(key)
    if answer is None:
        return None
    if_none_match = environ.get("HTTP_IF_NONE_MATCH")
    unchanged = matching(parse_etags(if_none_match), answer.etag) if if_none_match else None
    if unchanged is None and answer.body is None:
        return None
    added = [
        ("X-Request-Id", request_name(environ.get("HTTP_X_REQUEST_ID", ""))),
        ("Age", str(int(time.monotonic() - answer.computed))),
        ("Server-Timing", "cache;desc=hit"),
    ]
    if unchanged is not None:
        headers = [row for row in answer.headers if row[0].lower() not in BODY_HEADERS and row[0] != "ETag"]
        start("304 NOT MODIFIED", [*headers, ("ETag", f'"{unchanged}"'), *added])
        return []
    start("200 OK", [*answer.headers, *added])
    return [answer.body or b""] if environ["REQUEST_METHOD"] == "GET" else []
