"""SQLAlchemy's dialects of our databases, with transactions that begin as we need them.

Listeners of SQLAlchemy's events could do the same, but they make each statement slower by about 10 µs.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import psycopg
from psycopg.errors import Diagnostic, StatementCompletionUnknown
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from api.db.write_lock import begin_immediate

# The driver's name in a URL: `sqlite+begins`, `postgresql+begins`.
DRIVER = "begins"
# The key in a connection's `info` with the statement that begins its next transaction; None begins none.
BEGIN = "begin"
# The key with the time, of the monotonic clock, until which its next transaction waits for SQLite's write lock.
DEADLINE = "deadline"
# The keys with the place where SQLite's next transaction keeps what undoes one statement, and with the place that is set now.
# The values are those of `PRAGMA temp_store`. Memory spares each POST a temporary file, which it opens, writes and removes.
UNDO, UNDO_NOW = "undo", "undo now"
IN_FILES, IN_MEMORY = "default", "memory"
# The execution option of a statement that reads bytes.
BINARY_RESULTS = "binary_results"
# The execution option of a statement after which one need not wait for PostgreSQL: its errors are raised later.
UNAWAITED = "unawaited"
# The function of PostgreSQL that waits for synchronous standbys when a transaction commits.
SYNCHRONOUS_WAIT = "SyncRepWaitForLSN"


class SQLiteDialect(SQLiteDialect_pysqlite):
    """SQLite, whose transactions take the write lock at once: one that reads first cannot wait for the lock later."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin a transaction, one that may write unless the connection's `info` says otherwise."""
        info = dbapi_connection.info
        place = info.pop(UNDO, IN_FILES)
        if info.get(UNDO_NOW, IN_FILES) != place:
            dbapi_connection.execute(f"PRAGMA temp_store = {place}")
            info[UNDO_NOW] = place
        if BEGIN in info:
            _begin(dbapi_connection, info.pop(BEGIN))
        else:
            begin_immediate(dbapi_connection.driver_connection, info.pop(DEADLINE, None))


class PipelinedConnection(psycopg.Connection[Any]):
    """A connection to PostgreSQL with a pipeline, from the first statement that is not waited for to the transaction's end.

    See www.psycopg.org/psycopg3/docs/advanced/pipeline.html.
    """

    _opened: tuple[ExitStack, psycopg.Pipeline] | None = None

    def send(self, execute: Callable[[], object], *, awaited: bool) -> None:
        """Execute a statement. Unless it is ``awaited``, an error of it is raised by a later one or by the commit.

        Raises psycopg's Error for the first statement that failed.
        """
        if not awaited and self._opened is None:
            stack = ExitStack()
            self._opened = stack, stack.enter_context(self.pipeline())
        try:
            execute()
            if awaited and self._opened is not None:
                _, pipeline = self._opened
                pipeline.sync()
        except psycopg.Error:
            # The server refuses what follows in this pipeline. The errors of that would hide the first one.
            with suppress(psycopg.Error):
                self.end_pipeline()
            raise

    def end_pipeline(self) -> None:
        """Wait for all statements so far, and for each one from here on. Raises psycopg's Error for the first that failed."""
        if self._opened is not None:
            stack, _ = self._opened
            self._opened = None
            stack.close()

    def commit(self) -> None:
        """Commit, or roll back if a statement failed. Raises psycopg's Error."""
        if self._opened is None:
            super().commit()
            return
        try:
            # The server skips it after a failure, so it need not wait for the statements before it.
            self.send(partial(self.execute, "commit", prepare=False), awaited=False)
            self.end_pipeline()
        except psycopg.Error:
            # SQLAlchemy believes that a connection whose commit failed needs no rollback.
            with suppress(psycopg.Error):
                super().rollback()
            raise

    def rollback(self) -> None:
        """Roll back. Raises psycopg's Error."""
        # It does not matter any more whether a statement failed.
        with suppress(psycopg.Error):
            self.end_pipeline()
        super().rollback()


class PostgreSQLDialect(PGDialect_psycopg):
    """PostgreSQL, where one statement begins a transaction: psycopg would need several calls to set its isolation level."""

    supports_statement_cache = True

    def connect(self, *arguments: Any, **parameters: Any) -> Any:
        """Connect."""
        return PipelinedConnection.connect(*arguments, **parameters)

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin a transaction, one that may write unless the connection's `info` says otherwise."""
        _begin(dbapi_connection, dbapi_connection.info.pop(BEGIN, "BEGIN ISOLATION LEVEL READ COMMITTED"))

    def do_commit(self, dbapi_connection: Any) -> None:
        """Commit a transaction. Raises StatementCompletionUnknown if a standby that must have it may not have it.

        If an operator cancels the wait for a synchronous standby, PostgreSQL only warns, and calls the commit done.
        """
        sources: list[str | None] = []

        # PostgreSQL's library takes a notice back afterwards. Its text depends on the server's language.
        def note(notice: Diagnostic) -> None:
            sources.append(notice.source_function)

        dbapi_connection.add_notice_handler(note)
        try:
            dbapi_connection.commit()
        finally:
            dbapi_connection.remove_notice_handler(note)
        if SYNCHRONOUS_WAIT in sources:
            raise StatementCompletionUnknown

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Execute a statement; bytes arrive as they are, because it takes 2 to 5 times as long to read them as text."""
        connection: PipelinedConnection = cursor.connection
        if isinstance(cursor, psycopg.ServerCursor):
            # psycopg has none in a pipeline.
            connection.end_pipeline()
        options = context.execution_options if context else {}
        execute = partial(cursor.execute, statement, parameters, binary=options.get(BINARY_RESULTS))
        connection.send(execute, awaited=UNAWAITED not in options)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Execute a statement with each of several sets of parameters."""
        is_awaited = not context or UNAWAITED not in context.execution_options
        cursor.connection.send(partial(cursor.executemany, statement, parameters), awaited=is_awaited)


def _begin(dbapi_connection: Any, statement: str | None) -> None:
    if statement:
        cursor = dbapi_connection.cursor()
        cursor.execute(statement)
        cursor.close()


registry.register(f"sqlite.{DRIVER}", __name__, SQLiteDialect.__name__)
registry.register(f"postgresql.{DRIVER}", __name__, PostgreSQLDialect.__name__)
