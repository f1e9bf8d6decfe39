"""The engines: how connections to SQLite and PostgreSQL are set up, checked and begun."""

import os
import select
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from api.settings import Settings

# Each connection of SQLite keeps so many KiB of pages: by itself 2,000, fewer than what the sets of a facet or two are on.
CACHE_KIB = 8_000


def connection_of(session: Session) -> Connection:
    """Return the connection that a session of ours is bound to, to read by: to ask the session for it takes ten times as long.

    A session that has executed nothing itself neither commits nor rolls back what is done there.
    """
    found = session.get_bind()
    assert isinstance(found, Connection)
    return found


@contextmanager
def driven(connection: Connection, statement: str, parameters: Any = None) -> Iterator[Any]:
    """Open a cursor of the driver for a statement. Raises DBAPIError for what the driver raises.

    SQLAlchemy would make a result that knows columns by name, and rows of it: that takes longer than many a statement.
    """
    drivers = connection.dialect.loaded_dbapi.Error
    try:
        with closing(connection.connection.cursor()) as cursor:
            yield cursor
    except drivers as error:
        lost = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
        told = DBAPIError.instance(
            statement, parameters, error, drivers, connection_invalidated=lost, dialect=connection.dialect
        )
        if lost:
            connection.invalidate(error)
        raise told from error


def _renew_after_fork(engine: Engine) -> None:
    """Give a forked process connections of its own: two that share one would read each other's answers."""
    reference = weakref.ref(engine)

    def renew() -> None:
        if (inherited := reference()) is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=renew)


def _sqlite(settings: Settings, *, create: bool) -> Engine:
    path = Path(settings.sqlalchemy_url.database or "").resolve()
    # mode=rw: a server whose file is missing says so, and leaves no empty database in its place.
    mode = "rwc" if create else "rw"
    engine = create_engine(
        settings.sqlalchemy_url.set(database=f"file:{quote(str(path))}", query={"mode": mode, "uri": "true"}),
        connect_args={"timeout": settings.lock_timeout, "isolation_level": None, "check_same_thread": False},
        pool_size=settings.pool_size,
        pool_timeout=settings.connect_timeout,
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info["file"] = _identity(path)
        cursor = connection.cursor()
        # FULL, since NORMAL loses acknowledged commits when the power goes (www.sqlite.org/pragma.html#pragma_synchronous).
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def _same_file(_connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        # A file that was moved or restored is another one: what is still open would answer from the old.
        if record.info["file"] != _identity(path):
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE takes the writer's lock at once: a deferred transaction can't wait for it later.
        reads = connection.get_execution_options().get("reads")
        _begin_by(connection, "BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _begin_by(connection: Connection, statement: str) -> None:
    with driven(connection, statement) as cursor:
        cursor.execute(statement)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _postgresql(settings: Settings) -> Engine:
    own: dict[str, Any] = {
        "statement_timeout": settings.statement_timeout * 1000,
        "lock_timeout": settings.lock_timeout * 1000,
        "idle_in_transaction_session_timeout": 60_000,
        # Few rows of many are read, from memory or from a disk that does not turn: so by an index.
        "random_page_cost": 1.1,
    }
    limits = " ".join(f"-c {name}={value}" for name, value in own.items())
    given = settings.sqlalchemy_url.query.get("options", "")
    engine = create_engine(
        settings.sqlalchemy_url,
        # Transactions begin below, in one way there and back: the driver would tell its settings to SQLAlchemy each time.
        isolation_level="AUTOCOMMIT",
        pool_size=settings.pool_size,
        pool_timeout=settings.connect_timeout,
        connect_args={
            "connect_timeout": settings.connect_timeout,
            "options": f"{limits} {given if isinstance(given, str) else ' '.join(given)}".strip(),
        },
    )

    @event.listens_for(engine, "connect")
    def _new(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["new"] = True

    @event.listens_for(engine, "checkout")
    def _alive(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record.info.pop("new", False):
            return
        # A connection that was cut has something to read, its end: that is seen without asking the server.
        watched = select.poll()
        if not connection.closed:
            watched.register(connection.fileno(), select.POLLIN)
        if connection.closed or watched.poll(0):
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if "isolation_level" not in options:
            kind = "REPEATABLE READ, READ ONLY" if options.get("reads") else "READ COMMITTED"
            _begin_by(connection, f"BEGIN ISOLATION LEVEL {kind}")

    return engine
