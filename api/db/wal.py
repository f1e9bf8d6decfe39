"""SQLite's write-ahead log (WAL): how large it is, and how it is emptied.

A read keeps SQLite from using the log again from its beginning, so the log grows for as long as reads of old states overlap.
"""

from pathlib import Path

from sqlalchemy import Engine

from api.db.engines import autocommit
from api.settings import Settings

MEGABYTE = 1_000_000


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
