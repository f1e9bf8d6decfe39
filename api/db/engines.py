"""Engines for SQLite and PostgreSQL: how their connections are set up, checked and put into a transaction."""

import os
import select
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from api.db.deadlines import TimedConnection
from api.db.dialects import BEGIN, DEADLINE, DRIVER, IN_MEMORY, UNDO
from api.settings import Settings

# FULL, because NORMAL loses acknowledged commits at a power failure (www.sqlite.org/pragma.html#pragma_synchronous).
# The page cache is in KiB: the default of 2,000 does not hold the bitmaps of two facets.
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "recursive_triggers = ON",
    "cache_size = -8000",
    # In bytes: a stream that lasts long makes the WAL grow, and after a checkpoint its file would keep that size.
    "journal_size_limit = 64000000",
)
BEGIN_READ = {"sqlite": "BEGIN", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"}
# For a transaction that writes to temporary tables only.
BEGIN_PRIVATE = {"sqlite": "BEGIN", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ"}
# Seconds that a transaction on PostgreSQL may wait for its next statement.
IDLE_LIMIT = 60


def engine_for(settings: Settings, *, create: bool = False) -> Engine:
    """Return the engine of the database in the settings, not yet connected; `create` lets SQLite make a missing file."""
    engine = _sqlite(settings, create=create) if settings.sqlalchemy_url.drivername == "sqlite" else _postgresql(settings)
    event.listen(engine, "checkout", _forget_begin)
    _renew_after_fork(engine)
    return engine


def begin_read(connection: Connection) -> None:
    """Begin a transaction that only reads. Raises DBAPIError."""
    connection.info[BEGIN] = BEGIN_READ[connection.dialect.name]
    connection.begin()


def begin_private(connection: Connection) -> None:
    """Begin a transaction that reads one state, and may write to temporary tables. Raises DBAPIError."""
    connection.info[BEGIN] = BEGIN_PRIVATE[connection.dialect.name]
    connection.begin()


def begin_write(connection: Connection, deadline: float, *, bounded: bool) -> None:
    """Begin a transaction that writes; on SQLite, it waits until the deadline for the write lock. Raises DBAPIError.

    Unless it is ``bounded``, SQLite keeps in files what it needs to undo one statement: a copy of each page that it changes.
    """
    connection.info[DEADLINE] = deadline
    if bounded:
        connection.info[UNDO] = IN_MEMORY
    connection.begin()


@contextmanager
def autocommit(engine: Engine) -> Iterator[Connection]:
    """Open a connection without a transaction: for VACUUM, which allows none, and for single statements."""
    with engine.connect() as connection:
        connection.info[BEGIN] = None
        yield connection


def _forget_begin(_connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Have the first transaction of a connection begin by a BEGIN, even if the last user began none."""
    record.info.pop(BEGIN, None)
    record.info.pop(DEADLINE, None)
    record.info.pop(UNDO, None)


def _renew_after_fork(engine: Engine) -> None:
    """Give each forked process its own connections: two processes that share one would read each other's results."""
    reference = weakref.ref(engine)
    # Kept, because psycopg warns when an open connection is collected, and only the parent may close these.
    kept = []

    def renew() -> None:
        if (inherited := reference()) is not None:
            kept.append(inherited.pool)
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=renew)


def _sqlite(settings: Settings, *, create: bool) -> Engine:
    file = _SqliteFile(Path(settings.sqlalchemy_url.database or "").resolve(), settings.statement_timeout)
    # With mode=rw, a server whose file is missing reports that, instead of creating an empty database.
    query = {"mode": "rwc" if create else "rw", "uri": "true"}
    url = settings.sqlalchemy_url.set(drivername=f"sqlite+{DRIVER}", database=f"file:{quote(str(file.path))}", query=query)
    # Looked up at each call, because OpenTelemetry replaces `sqlalchemy.create_engine`.
    engine = sqlalchemy.create_engine(
        url,
        connect_args={
            "timeout": settings.lock_timeout,
            "isolation_level": None,
            "check_same_thread": False,
            "factory": TimedConnection,
        },
        pool_size=settings.pool_size,
        pool_timeout=settings.connect_timeout,
        pool_use_lifo=True,
        hide_parameters=True,
    )
    if create:
        event.listen(engine, "do_connect", file.create)
    event.listen(engine, "connect", file.set_up)
    event.listen(engine, "checkout", file.check)
    return engine


@dataclass(frozen=True)
class _SqliteFile:
    """A SQLite file, and the check that a pooled connection still has this file open."""

    path: Path
    statement_timeout: int

    @property
    def identity(self) -> tuple[int, int] | None:
        """The device and inode of the file; None if it is missing."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def create(self, *_: object) -> None:
        """Make a missing file that only its owner can read; SQLite gives its WAL the same mode."""
        # If the file cannot be made, SQLite says why. One that exists is not opened: closing it would drop SQLite's locks.
        with suppress(OSError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def set_up(self, connection: Any, record: ConnectionPoolEntry) -> None:
        """Set the pragmas and the limit of a new connection, and note which file it opened."""
        record.info["file"] = self.identity
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        connection.limit(self.statement_timeout)

    def check(self, _connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        """Have the pool reconnect if the file was moved or restored: the open one would answer from the old data."""
        if record.info["file"] != self.identity:
            raise DisconnectionError


def _postgresql(settings: Settings) -> Engine:
    parameters = {
        "statement_timeout": settings.statement_timeout * 1000,
        "lock_timeout": settings.lock_timeout * 1000,
        "idle_in_transaction_session_timeout": IDLE_LIMIT * 1000,
        # With a pipeline open, a transaction does not count as idle: keepalives end that of a machine that is gone.
        **dict.fromkeys(("tcp_keepalives_idle", "tcp_keepalives_interval"), IDLE_LIMIT // 4),
        "tcp_keepalives_count": 3,
        # Queries read few of many rows, from memory or an SSD: an index is nearly always faster than a scan.
        "random_page_cost": 1.1,
    }
    options = [f"-c {name}={value}" for name, value in parameters.items()]
    # The operator's options come last, so that they win; a URL may repeat them.
    url_options = settings.sqlalchemy_url.query.get("options", ())
    options += [url_options] if isinstance(url_options, str) else url_options
    engine = sqlalchemy.create_engine(
        settings.sqlalchemy_url.set(drivername=f"postgresql+{DRIVER}"),
        # psycopg begins no transactions: the dialect does.
        isolation_level="AUTOCOMMIT",
        pool_size=settings.pool_size,
        pool_timeout=settings.connect_timeout,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={"connect_timeout": settings.connect_timeout, "options": " ".join(options)},
    )
    event.listen(engine, "connect", _mark_as_new)
    event.listen(engine, "checkout", _check_postgresql)
    return engine


def _mark_as_new(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["new"] = True


def _check_postgresql(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Have the pool reconnect if the server closed the connection: its socket is readable then, without a round trip."""
    if record.info.pop("new", False):
        return
    sockets = select.poll()
    if not connection.closed:
        sockets.register(connection.fileno(), select.POLLIN)
    if connection.closed or sockets.poll(0):
        raise DisconnectionError
