"""The state of the dataset, looked up as cheaply as each database allows: the answer cache asks at every request."""

import os
import sqlite3
import threading
import time
import weakref
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from api.db import wal
from api.db.database import Database
from api.db.engines import autocommit
from api.ledger.models import Dirty, Head

# After this part of `CACHE_LAG`, one request asks PostgreSQL early, so that no other has to wait when the time is over.
EARLY = 0.5


class WatchedState(NamedTuple):
    """Everything that answers depend on: version, chain hash, number of cuts, and the last change that is not published yet."""

    version: int
    chain: bytes
    cuts: int
    dirty: int | None


CURRENT_STATE = select(Head.version, Head.chain, Head.cuts, select(func.max(Dirty.seq)).scalar_subquery())


class SqliteWatch:
    """Looks at the file at every request; all threads share a connection to it."""

    def __init__(self, database: Database) -> None:
        """Connect to nothing yet."""
        self.path = database.path
        self.statement = str(CURRENT_STATE.compile(database.engine))
        self.lock = threading.Lock()
        self.connection: WatchConnection | None = None

    def state(self) -> WatchedState | None:
        """Return the state; None if the file cannot be read."""
        try:
            file = os.stat(self.path)  # noqa: PTH116 - the fastest way, at every request
            identity = (file.st_ino, file.st_dev, os.getpid())
            with self.lock:
                # A new connection if the file was replaced or the process forked.
                if self.connection is None or self.connection.identity != identity:
                    self.connection = WatchConnection(self.path, identity)
                return self.connection.state(self.statement)
        except (OSError, TypeError, sqlite3.Error):
            self.connection = None
            return None

    # To look into the file takes some microseconds.
    state_at_once = state


class WatchConnection:
    """A connection to a SQLite file, with the state that it saw last."""

    def __init__(self, path: str, identity: tuple[int, int, int]) -> None:
        """Open the file, which must exist."""
        self.identity = identity
        address = f"file:{quote(path)}?mode=rw"
        # Requests that only need the cache ask, too, so it must not wait for a lock.
        self.sqlite = sqlite3.connect(address, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
        # Closed when nobody uses it any more, and not earlier: SQLite crashes the process that closes it while it is used.
        weakref.finalize(self, self.sqlite.close).atexit = False
        self.index = wal.map_index(self.sqlite, path)
        # What the file was like when its state was read, and the state.
        self.seen: tuple[bytes | int | None, WatchedState | None] = (None, None)

    def state(self, statement: str) -> WatchedState | None:
        """Return the state; it is read only if something was committed since."""
        mark, state = self.seen
        # Taken before the state, so that a commit in between counts as not seen.
        if (now := self._mark()) != mark:
            state = WatchedState(*self.sqlite.execute(statement).fetchone())
            self.seen = (now, state)
        return state

    def _mark(self) -> bytes | int:
        """Return what every commit changes: without a map of the index, a number that takes four system calls."""
        if self.index is not None:
            return self.index[:]
        (data_version,) = self.sqlite.execute("pragma data_version").fetchone()
        return int(data_version)


class PostgresWatch:
    """Asks the server if the last answer is older than `CACHE_LAG`, or if this process has written since."""

    def __init__(self, database: Database) -> None:
        """Connect to nothing yet."""
        self.database = database
        self.statement = str(CURRENT_STATE.compile(database.engine))
        self.lag = database.settings.cache_lag / 1000
        self.lock = threading.Lock()
        # When the server was asked, how often this process had written by then, and the state.
        self.seen: tuple[float, int, WatchedState | None] = (-1e9, -1, None)

    def state(self) -> WatchedState | None:
        """Return the state; None if the server cannot be asked."""
        if (seen := self._seen_within(self.lag)) is None:
            with self.lock:
                # Another request may have asked while this one waited for the lock.
                seen = self.seen = self._seen_within(self.lag) or self._ask()
        elif self._seen_within(self.lag * EARLY) is None and self.lock.acquire(blocking=False):
            try:
                answer = self._ask()
                # If the server does not answer, the last state stays valid until it is too old.
                seen = self.seen = answer if answer[2] else seen
            finally:
                self.lock.release()
        return seen[2]

    def state_at_once(self) -> WatchedState | None:
        """Return the state without asking the server; None if it is due to be asked, and no other request does so."""
        seen = self._seen_within(self.lag * EARLY) or (self._seen_within(self.lag) if self.lock.locked() else None)
        return seen[2] if seen else None

    def _seen_within(self, seconds: float) -> tuple[float, int, WatchedState | None] | None:
        moment, commits, _ = seen = self.seen
        return seen if commits == self.database.commits and time.monotonic() - moment < seconds else None

    def _ask(self) -> tuple[float, int, WatchedState | None]:
        # Taken before the query, so that a commit during the query counts as not seen.
        moment, commits = time.monotonic(), self.database.commits
        try:
            # One statement needs no transaction.
            with autocommit(self.database.engine) as connection:
                row = connection.exec_driver_sql(self.statement).one_or_none()
                state = WatchedState(*row) if row else None
        except SQLAlchemyError:
            # The request itself asks the database next and reports the error. Others need not find out at once.
            moment, state = time.monotonic(), None
        return moment, commits, state
