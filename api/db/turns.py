"""Turns: one program at a time does what takes many transactions, such as an import, and others learn who it is.

On SQLite, the holder has a lock on a file next to the database; on PostgreSQL, an advisory lock. Either ends with its process.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from api.db.database import Database
from api.db.engines import autocommit

# An arbitrary number that every release uses.
IMPORT_LOCK = 7_309_454
# PostgreSQL keeps this many bytes of an application's name, which names the holder, less the sign before it.
MAX_HOLDER = 62
SIGN = "@"


@contextmanager
def turn(database: Database, holder: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Wait for the turn, and have it until the block ends; ``holder`` is a line that others read meanwhile.

    ``waiting`` is called with the line of the holder if there is one; it may raise instead of waiting.
    """
    take = _postgresql if database.engine.dialect.name == "postgresql" else _sqlite
    line = " ".join(holder.split()).encode()[:MAX_HOLDER].decode(errors="ignore")
    with take(database, line, waiting):
        yield


@contextmanager
def _sqlite(database: Database, holder: str, waiting: Callable[[str], None]) -> Iterator[None]:
    path = Path(database.settings.sqlalchemy_url.database or "").resolve()
    file = os.open(path.with_name(f"{path.name}.turn"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting(os.pread(file, MAX_HOLDER, 0).decode(errors="replace"))
            fcntl.flock(file, fcntl.LOCK_EX)
        os.ftruncate(file, 0)
        os.pwrite(file, holder.encode(), 0)
        yield
    finally:
        os.close(file)


@contextmanager
def _postgresql(database: Database, holder: str, waiting: Callable[[str], None]) -> Iterator[None]:
    with autocommit(database.engine) as connection:
        # The connection waits as long as it must, and is not used again.
        connection.detach()
        for setting in ("lock_timeout", "statement_timeout"):
            connection.exec_driver_sql(f"set {setting} = 0")
        if not connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": IMPORT_LOCK}):
            waiting(_holder(connection))
            connection.execute(text("select pg_advisory_lock(:key)"), {"key": IMPORT_LOCK})
        connection.execute(text("select set_config('application_name', :name, false)"), {"name": SIGN + holder})
        try:
            yield
        finally:
            # The server would release it only some time after the connection is closed. If it is lost, so is the lock.
            with suppress(DBAPIError):
                connection.exec_driver_sql("select pg_advisory_unlock_all()")


def _holder(connection: Connection) -> str:
    statement = text(
        "select application_name from pg_stat_activity join pg_locks using (pid)"
        " where locktype = 'advisory' and granted and classid = 0 and objid = :key and application_name like :signed"
        " and datname = current_database()"
    )
    return str(connection.scalar(statement, {"key": IMPORT_LOCK, "signed": f"{SIGN}%"}) or "")[1:]
