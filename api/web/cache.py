"""A cache of finished answers in each process, in front of Flask, valid as long as the dataset stays in one state.

The state is a part of an answer's key, so no answer needs to be invalidated, and threads that see different states do not
disturb each other. The least recently used answers, such as those of past states, are dropped when `CACHE_MB` is full. If many
requests ask for the same answer at once, one of them computes it and the others wait for it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

from cachetools import LRUCache
from werkzeug.datastructures import Headers
from werkzeug.http import unquote_etag

from api.db.database import Database
from api.web import tags
from api.web.exchanges import CACHE, CACHED_AT, REQUEST_ID, ROUTE
from api.web.plain_reads import Environ, PlainRead, read_of
from api.web.request_ids import request_name
from api.web.watch import PostgresWatch, SqliteWatch, WatchedState

# Bytes of an answer besides its body: headers, request key, and Python's objects.
OVERHEAD = 2_500
# No answer may take more than this fraction of the cache.
LARGEST_PART = 8
# Headers of a 200 that its 304 leaves out.
BODY_HEADERS = ("accept-ranges", "content-type", "content-length", "content-encoding", "content-disposition", "link")
# How `Cache-Control` begins if any cache may keep an answer. By default it has to ask each time whether that is still the
# latest, which costs one small query.
PUBLIC, ASK = "public", "public, no-cache"

StartResponse = Callable[..., Any]
# Seconds to wait for another request that computes the same answer; then a request computes it itself.
PATIENCE = 10.0
# The state of the dataset, and the key of a plain read.
AnswerKey = tuple[WatchedState, tuple[Any, ...]]


class Answer(NamedTuple):
    """An answer as it is sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    route: str
    request_id: str
    kind: str

    def told(self) -> Environ:
        """Return the variables by which the application tells of a request."""
        return {CACHE: self.kind, ROUTE: self.route, REQUEST_ID: self.request_id}


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A finished answer. One without a body was a 304: only the tag of the body is known.

    ``bare`` has the headers of its 304.
    """

    headers: Sequence[tuple[str, str]]
    bare: Sequence[tuple[str, str]]
    body: bytes | None
    etag: str
    computed: float
    route: str

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
        # A shared cache gives everyone the headers of the one who asked first, and adds our `Age` to its own.
        self.is_shared = bool(database.settings.s_maxage)
        # When the database was reached last, and its state then.
        self.reached: tuple[float, WatchedState | None] = (0.0, None)

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer a request, from the cache if possible."""
        if (read := read_of(environ)) is None:
            answer = None
        elif (state := self.watch.state()) is None:
            answer = self._stale(read)
        elif not read.is_behind(state):
            self.reached = (time.monotonic(), state)
            answer = self._find(read, state)
            if answer is None and not read.is_head:
                return self._once(read, state, environ, start)
        else:
            answer = None
        return sent(answer, start, environ) if answer else self.app(environ, start)

    def _once(self, read: PlainRead, state: WatchedState, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Compute an answer, or wait for another request that does so."""
        key = (state, read.key)
        if flight := self.answers.board(key):
            flight.wait(PATIENCE)
            answer = self._find(read, state)
            return sent(answer, start, environ) if answer else self.app(environ, start)
        try:
            # Another request may have cached it after the first look.
            answer = self._find(read, state)
            return sent(answer, start, environ) if answer else self._compute(key, environ, start)
        finally:
            self.answers.land(key)

    def at_once(self, read: PlainRead) -> Answer | None:
        """Answer a request without waiting for anything; None if the answer is not cached, or the state is not known."""
        if (state := self.watch.state_at_once()) is None or read.is_behind(state):
            return None
        self.reached = (time.monotonic(), state)
        return self._find(read, state)

    def _stale(self, read: PlainRead) -> Answer | None:
        """Answer by the last known state if that is recent enough (RFC 5861, 4) and the answer is cached; else None."""
        moment, state = self.reached
        is_recent = time.monotonic() - moment <= self.stale_if_error
        if state is None or not is_recent or read.is_behind(state):
            return None
        return self._find(read, state, "stale")

    def _find(self, read: PlainRead, state: WatchedState, kind: str = "hit") -> Answer | None:
        """Answer a request from the cache; None if the answer is not cached, or its body is needed and only its tag is known.

        ``kind`` tells the client whether the answer is fresh or stale.
        """
        kept = self.answers.find((state, read.key))
        if kept is None:
            return None
        is_known = read.if_none_match is not None and tags.matches(read.if_none_match, kept.etag, read.accept_encoding)
        if not is_known and kept.body is None:
            return None
        headers = [*(kept.bare if is_known else kept.headers)]
        request_id = request_name(read.request_id)
        if not self.is_shared:
            age = str(int(time.monotonic() - kept.computed))
            headers += [("X-Request-Id", request_id), ("Age", age), ("Server-Timing", f"cache;desc={kind}")]
        status, body = (304, b"") if is_known else (200, b"" if read.is_head else kept.body or b"")
        return Answer(status, headers, body, kept.route, request_id, kind)

    def _compute(self, key: AnswerKey, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer a request by the application, and cache the answer if that is allowed and it is small enough."""
        begun = time.perf_counter()
        environ |= {CACHE: "miss", CACHED_AT: key[0].version}
        started: list[Any] = []
        body = self.app(environ, lambda *arguments: started.append(arguments))
        status, rows, *trace = started[-1]
        headers = Headers(rows)
        milliseconds = (time.perf_counter() - begun) * 1000
        timing = [("Server-Timing", f"cache;desc=miss, app;dur={milliseconds:.1f}")]
        start(status, rows if self.is_shared else [*rows, *timing], *trace)
        if not self._may_keep(status, headers):
            return body
        try:
            whole = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        kept_rows = [(name, value) for name, value in rows if name != "X-Request-Id"]
        bare = [row for row in kept_rows if row[0].lower() not in BODY_HEADERS]
        etag = unquote_etag(headers["ETag"])[0] or ""
        known = None if status.startswith("304") else whole
        self.answers.keep(key, CachedAnswer(kept_rows, bare, known, etag, time.monotonic(), environ.get(ROUTE, "")))
        return [whole]

    def _may_keep(self, status: str, headers: Headers) -> bool:
        if not headers.get("Cache-Control", "").startswith(PUBLIC) or "ETag" not in headers:
            return False
        size = headers.get("Content-Length", type=int)
        is_small = size is not None and size <= self.answers.room // LARGEST_PART
        return status.startswith("304") or (status.startswith("200") and is_small)


def sent(answer: Answer, start: StartResponse, environ: Environ) -> list[bytes]:
    """Start to send an answer by PEP 3333, and return its body."""
    environ |= answer.told()
    start("304 NOT MODIFIED" if answer.status == HTTPStatus.NOT_MODIFIED else "200 OK", answer.headers)
    return [answer.body]
