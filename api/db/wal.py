"""SQLite's write-ahead log (WAL): how large it is, how it is emptied, and how its index tells of each commit.

A read keeps SQLite from using the log again from its beginning, so the log grows for as long as reads of old states overlap.
"""

import ctypes
import mmap
import os
import sqlite3
import sys
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from api.db.engines import autocommit
from api.settings import Settings

MEGABYTE = 1_000_000
# The header of a WAL index: two copies of the same bytes, which begin with the version of the format. Each commit changes them,
# and SQLite's own readers compare them to find out whether there was one (sqlite.org/walformat.html).
HEADER_SIZE, INDEX_VERSION = 96, 3_007_000


class WriteAheadLog:
    """The log of a SQLite database; that of PostgreSQL, which needs no care, is never full."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Find the file, which need not exist."""
        url = settings.sqlalchemy_url
        self.engine, self.limit = engine, settings.wal_mb * MEGABYTE
        self.path = Path(f"{Path(url.database or '').resolve()}-wal") if url.drivername == "sqlite" else None

    def is_full(self) -> bool:
        """Return whether reads that last must end, so that the log can be used again."""
        try:
            return self.path is not None and self.path.stat().st_size > self.limit
        except FileNotFoundError:
            return False

    def empty(self) -> None:
        """Empty the log, unless somebody reads from it or writes; SQLite does that itself only when something is written."""
        with autocommit(self.engine) as connection:
            (patience,) = connection.exec_driver_sql("PRAGMA busy_timeout").one()
            # To wait for readers would keep writers waiting.
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            try:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience}")


def map_index(connection: sqlite3.Connection, path: str) -> mmap.mmap | None:
    """Return the header of a file's WAL index, mapped into memory. It is true as long as this connection to the file is open.

    Returns None if the file has no WAL, or an index in another format.
    """
    # SQLite opens the index at the first read, and keeps it until the connection is closed.
    connection.execute("select 1 from sqlite_master").fetchone()
    if connection.execute("pragma journal_mode").fetchone() != ("wal",):
        return None
    index = f"{path}-shm"
    try:
        file = os.stat(index)  # noqa: PTH116 - with the name as it is opened
        header = _mapped(index, file.st_dev, file.st_ino)
    except (OSError, ValueError):
        return None
    return header if int.from_bytes(header[:4], sys.byteorder) == INDEX_VERSION else None


@cache
def _mapped(path: str, _device: int, _inode: int) -> mmap.mmap:
    """Map the header of an index, once for each file, since neither the map nor its descriptor is ever closed.

    To close a descriptor of a file drops all locks that the process has on it, and SQLite relies on them
    (sqlite.org/howtocorrupt.html, 2.2).
    """
    header = mmap.mmap(os.open(path, os.O_RDONLY), HEADER_SIZE, access=mmap.ACCESS_READ)
    # This reference keeps the interpreter from closing the map when it ends, while threads may still write.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(header))
    return header
