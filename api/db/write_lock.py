"""SQLite's write lock: the threads of a process queue for it, and only the first polls SQLite.

SQLite itself asks again after pauses that grow to 100 ms. With many writers, the lock would lie idle for much of the time, and
one of them could wait for seconds.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Seconds between two attempts.
PAUSE = 0.001


class WriteTurns:
    """The turns of a process's threads."""

    def __init__(self) -> None:
        """Begin with nobody's turn."""
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, deadline: float) -> Iterator[None]:
        """Hold the turn in the block; after the deadline (monotonic clock), go on without it: SQLite says that it is busy."""
        is_ours = self._lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        try:
            yield
        finally:
            if is_ours:
                self._lock.release()


def begin_immediate(connection: sqlite3.Connection, deadline: float | None = None) -> None:
    """Begin a transaction that holds the write lock.

    Raises OperationalError if another one still holds it at the deadline, by default after the connection's busy timeout.
    """
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    deadline = deadline or time.monotonic() + patience / 1000
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while not _has_begun(connection, deadline):
            time.sleep(PAUSE)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience}")


def _has_begun(connection: sqlite3.Connection, deadline: float) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        # The last byte of an extended code, such as that of a WAL that another process recovers, is the code without details.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
            raise
        return False
    return True
