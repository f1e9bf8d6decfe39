"""A limit on the time that a statement takes on SQLite, as PostgreSQL has one of its own."""

import sqlite3
import time
from typing import Any, Self

# SQLite looks at the clock after this number of its instructions, some milliseconds: each look waits for Python's lock.
INSTRUCTIONS = 100_000


class TimedCursor(sqlite3.Cursor):
    """A cursor that notes when a statement begins, and when the next rows of a stream are fetched."""

    connection: "TimedConnection"

    def execute(self, *arguments: Any) -> Self:
        """Execute a statement, with a new limit."""
        self.connection.begun = time.monotonic()
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> Self:
        """Execute a statement for many rows, with one limit for all."""
        self.connection.begun = time.monotonic()
        return super().executemany(*arguments)

    def fetchone(self) -> Any:
        """Fetch the next row, with a new limit: the reader of a stream takes its time."""
        self.connection.begun = time.monotonic()
        return super().fetchone()

    def fetchmany(self, *arguments: Any) -> list[Any]:
        """Fetch the next rows, with a new limit."""
        self.connection.begun = time.monotonic()
        return super().fetchmany(*arguments)


class TimedConnection(sqlite3.Connection):
    """A connection whose statements can have a limit; one that takes longer fails with `interrupted`."""

    begun = 0.0

    def cursor(self, *_factory: Any) -> TimedCursor:  # type: ignore[override]  # nobody asks for another class
        """Return a cursor that notes the time."""
        return super().cursor(TimedCursor)

    def limit(self, seconds: int) -> None:
        """Limit the time of each statement; 0 for no limit."""
        if seconds:
            self.set_progress_handler(lambda: time.monotonic() - self.begun > seconds, INSTRUCTIONS)
