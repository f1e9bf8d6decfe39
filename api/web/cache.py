"""Finished answers, kept by each process ahead of Flask, for as long as the dataset stays as it is.

Which state the database is in is looked up for every request on SQLite (one `PRAGMA data_version`); on PostgreSQL when that
is `CACHE_LAG` milliseconds ago, by one request when it is half as long ago, and when the process has written since. Each state
has a shelf of its own, so that nothing has to be taken out when it is old; what was used last stays, up to so many bytes.
However many ask for the same, one computes it.
"""

import os
import re
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

from cachetools import LRUCache
from sqlalchemy import event, func, select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import Headers
from werkzeug.http import parse_etags, unquote_etag

from api.db.database import Database
from api.ledger.models import Dirty, Head
from api.web.compression import matching, plain
from api.web.problems import request_name

READS = ("GET", "HEAD")
# After such a part of `CACHE_LAG`, PostgreSQL is asked by one request, so that no other has to wait for that when it is over.
EARLY = 0.5
# Of an answer, besides its body: headers, key and what Python needs to hold them.
OVERHEAD = 2_500
# No answer may take more than such a part of the room.
PART = 8
# What of an answer is not in the one that says that it is unchanged.
OF_BODIES = ("content-type", "content-length", "content-encoding", "content-disposition", "link")
# As long as a version can be; what is longer is refused by who reads it.
MIN_VERSION = re.compile(r"(?:^|&)min_version=([0-9]{1,19})(?:&|$)")
# Anyone may keep an answer, but asks each time whether it is still the latest: that costs one small query.
CACHE_CONTROL = "public, no-cache"

Environ = dict[str, Any]
Start = Callable[..., Any]
Key = tuple[str | None, ...]


class State(NamedTuple):
    """What the dataset is at: its version, its chain, how often it was cut, and what is written but not published."""

    version: int
    chain: bytes
    cuts: int
    dirty: int | None


NOW = select(Head.version, Head.chain, Head.cuts, select(func.max(Dirty.seq)).scalar_subquery())


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished answer; without a body it is only known which tag the caller would get."""

    headers: Sequence[tuple[str, str]]
    body: bytes | None
    etag: str
    computed: float

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return len(self.body or b"") + OVERHEAD


@dataclass
class Shelf:
    """The answers of one state, and the keys of those that are being computed."""

    state: State
    room: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    flights: dict[Key, threading.Event] = field(default_factory=dict)
    entries: LRUCache[Key, Entry] = field(init=False)

    def __post_init__(self) -> None:
        """Make the room."""
        self.entries = LRUCache(self.room, getsizeof=lambda entry: entry.size)

    def find(self, key: Key) -> Entry | None:
        """Return an answer, if it is here."""
        with self.lock:
            return self.entries.get(key)

    def keep(self, key: Key, entry: Entry) -> None:
        """Put an answer here."""
        with self.lock:
            self.entries[key] = entry

    def board(self, key: Key) -> threading.Event | None:
        """Return what is set when an answer is computed; None where nobody does yet, and it is the caller's now to do."""
        with self.lock:
            if (flight := self.flights.get(key)) is None:
                self.flights[key] = threading.Event()
            return flight

    def land(self, key: Key) -> None:
        """Say that an answer is computed, or can't be kept."""
        with self.lock:
            flight = self.flights.pop(key)
        flight.set()


class Cache:
    """A WSGI application in front of another (PEP 3333); ``watch`` tells which state the database is in."""

    def __init__(self, app: Callable[[Environ, Start], Iterable[bytes]], database: Database) -> None:
        """Keep up to `CACHE_MB`."""
        self.app = app
        self.room = database.settings.cache_mb * 1_000_000
        self.watch = OnSQLite(database) if database.engine.dialect.name == "sqlite" else OnPostgreSQL(database)
        self.shelf: Shelf | None = None

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer a request: from the shelf, if it is there."""
        key = key_of(environ)
        state = self.watch.state() if key else None
        if key is None or state is None or is_behind(environ["QUERY_STRING"], state):
            return self.app(environ, start)
        shelf = self.shelf
        if shelf is None or shelf.state != state:
            shelf = self.shelf = Shelf(state, self.room)
        if (answer := kept(shelf, key, environ, start)) is not None:
            return answer
        if environ["REQUEST_METHOD"] != "GET":
            return self.app(environ, start)
        if flight := shelf.board(key):
            flight.wait()
            answer = kept(shelf, key, environ, start)
            return self.app(environ, start) if answer is None else answer
        try:
            # Between the look and now, somebody else may have computed it.
            answer = kept(shelf, key, environ, start)
            return self.compute(shelf, key, environ, start) if answer is None else answer
        finally:
            shelf.land(key)

    def compute(self, shelf: Shelf, key: Key, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer a request, and keep the answer if it may be kept."""
        begun = time.perf_counter()
        told: list[Any] = []
        body = self.app(environ, lambda *arguments: told.append(arguments))
        status, given, *trace = told[-1]
        headers = Headers(given)
        unchanged = status.startswith("304")
        keepable = headers.get("Cache-Control") == CACHE_CONTROL and "ETag" in headers
        size = headers.get("Content-Length", type=int)
        fits = unchanged or (status.startswith("200") and size is not None and size <= self.room // PART)
        milliseconds = (time.perf_counter() - begun) * 1000
        start(status, [*given, ("Server-Timing", f"cache;desc=miss, app;dur={milliseconds:.1f}")], *trace)
        if not (keepable and fits):
            return body
        try:
            whole = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        own = [(name, value) for name, value in given if name != "X-Request-Id"]
        etag = plain(unquote_etag(headers["ETag"])[0] or "")
        shelf.keep(key, Entry(own, None if unchanged else whole, etag, time.monotonic()))
        return [whole]


def key_of(environ: Environ) -> Key | None:
    """Return all of a request on which an answer depends; None for what is no plain read, or waits for changes."""
    query = environ["QUERY_STRING"]
    get = environ.get
    if environ["REQUEST_METHOD"] not in READS or "HTTP_AUTHORIZATION" in environ or "wait=" in query:
        return None
    if get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        return None
    address = (environ["wsgi.url_scheme"], get("HTTP_HOST"), environ["SCRIPT_NAME"], environ["PATH_INFO"], query)
    return (*address, get("HTTP_ACCEPT"), get("HTTP_ACCEPT_ENCODING"))


def is_behind(query: str, state: State) -> bool:
    """Tell whether a version is asked for that is still to come here."""
    asked = MIN_VERSION.search(query) if "min_version" in query else None
    return asked is not None and int(asked[1]) > state.version


def kept(shelf: Shelf, key: Key, environ: Environ, start: Start) -> list[bytes] | None:
    """Answer from the shelf; None where that can't be."""
    entry = shelf.find(key)
    return None if entry is None else reply(entry, environ, start)


def reply(entry: Entry, environ: Environ, start: Start) -> list[bytes] | None:
    """Answer with what is kept; None where that has no body, and one is needed."""
    given = environ.get("HTTP_IF_NONE_MATCH")
    own = matching(parse_etags(given), entry.etag) if given else None
    if own is None and entry.body is None:
        return None
    more = [
        ("X-Request-Id", request_name(environ.get("HTTP_X_REQUEST_ID", ""))),
        ("Age", str(int(time.monotonic() - entry.computed))),
        ("Server-Timing", "cache;desc=hit"),
    ]
    if own is not None:
        headers = [row for row in entry.headers if row[0].lower() not in OF_BODIES and row[0] != "ETag"]
        start("304 NOT MODIFIED", [*headers, ("ETag", f'"{own}"'), *more])
        return []
    start("200 OK", [*entry.headers, *more])
    return [entry.body or b""] if environ["REQUEST_METHOD"] == "GET" else []


class OnSQLite:
    """Asks the file at every request: each thread has a connection, on which a number changes when anyone else commits."""

    def __init__(self, database: Database) -> None:
        """Ask nothing yet."""
        self.path = database.path
        self.statement = str(NOW.compile(database.engine))
        self.local = threading.local()
        self.open: weakref.WeakSet[Witness] = weakref.WeakSet()
        event.listen(database.engine, "engine_disposed", lambda _: self.close())

    def state(self) -> State | None:
        """Return the state; None when it can't be told."""
        found = self.local.__dict__
        witness: Witness | None = found.get("witness")
        try:
            file = os.stat(self.path)  # noqa: PTH116 - the fastest way, at every request
            identity = (file.st_ino, file.st_dev, os.getpid())
            if witness is None or witness.identity != identity:
                witness = found["witness"] = Witness(self.path, identity)
                self.open.add(witness)
            (changes,) = witness.connection.execute("PRAGMA data_version").fetchone()
            if witness.changes != changes:
                witness.state = State(*witness.connection.execute(self.statement).fetchone())
                witness.changes = changes
        except (OSError, TypeError, sqlite3.Error):
            found.pop("witness", None)
            return None
        return witness.state

    def close(self) -> None:
        """Close every connection; who asks again gets a new one."""
        for witness in list(self.open):
            witness.connection.close()
        self.open.clear()
        self.local = threading.local()


class Witness:
    """A connection of one thread, and what it saw last."""

    def __init__(self, path: str, identity: tuple[int, int, int]) -> None:
        """Open the file, which must be there."""
        self.identity = identity
        address = f"file:{quote(path)}?mode=rw"
        self.connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        self.changes: int | None = None
        self.state: State | None = None


class OnPostgreSQL:
    """Asks the server when the last answer is older than `CACHE_LAG`, or this process has written since."""

    def __init__(self, database: Database) -> None:
        """Ask nothing yet."""
        self.database = database
        self.engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.statement = str(NOW.compile(database.engine))
        self.lag = database.settings.cache_lag / 1000
        self.lock = threading.Lock()
        self.seen: tuple[float, int, State | None] = (-1e9, -1, None)

    def state(self) -> State | None:
        """Return the state; None when it can't be told."""
        if (found := self._fresh(self.lag)) is None:
            with self.lock:
                # Somebody else may just have asked.
                found = self.seen = self._fresh(self.lag) or self._ask()
        elif self._fresh(self.lag * EARLY) is None and self.lock.acquire(blocking=False):
            try:
                asked = self._ask()
                # Where nobody answers, what is known is good until it is time.
                found = self.seen = asked if asked[2] else found
            finally:
                self.lock.release()
        return found[2]

    def _fresh(self, lag: float) -> tuple[float, int, State | None] | None:
        moment, commits, _ = seen = self.seen
        return seen if commits == self.database.commits and time.monotonic() - moment < lag else None

    def _ask(self) -> tuple[float, int, State | None]:
        # Noted before, so that what happens meanwhile is not taken for seen.
        moment, commits = time.monotonic(), self.database.commits
        try:
            # One statement needs no transaction: whoever is served meanwhile waits for Python's lock.
            with self.engine.connect() as connection:
                row = connection.exec_driver_sql(self.statement).one_or_none()
                state = State(*row) if row else None
        except SQLAlchemyError:
            # Whoever is asked for the answer itself says what is wrong; nobody else needs to find out at once.
            moment, state = time.monotonic(), None
        return moment, commits, state
