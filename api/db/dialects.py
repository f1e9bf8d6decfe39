"""SQLAlchemy's dialects of our databases, with transactions that begin as we need them.

Listeners of SQLAlchemy's events could do the same, but they make each statement slower by about 10 µs.
"""

from typing import Any

from psycopg.errors import Diagnostic, StatementCompletionUnknown
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

# The driver's name in a URL: `sqlite+begins`, `postgresql+begins`.
DRIVER = "begins"
# The key in a connection's `info` with the statement that begins its next transaction; None begins none.
BEGIN = "begin"
# The execution option of a statement that reads bytes.
BINARY_RESULTS = "binary_results"
# The function of PostgreSQL that waits for synchronous standbys when a transaction commits.
SYNCHRONOUS_WAIT = "SyncRepWaitForLSN"


class SQLiteDialect(SQLiteDialect_pysqlite):
    """SQLite, whose transactions take the write lock at once: one that reads first cannot wait for the lock later."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin a transaction, one that may write unless the connection's `info` says otherwise."""
        _begin(dbapi_connection, "BEGIN IMMEDIATE")


class PostgreSQLDialect(PGDialect_psycopg):
    """PostgreSQL, where one statement begins a transaction: psycopg would need several calls to set its isolation level."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin a transaction, one that may write unless the connection's `info` says otherwise."""
        _begin(dbapi_connection, "BEGIN ISOLATION LEVEL READ COMMITTED")

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
        binary = True if context and context.execution_options.get(BINARY_RESULTS) else None
        cursor.execute(statement, parameters, binary=binary)


def _begin(dbapi_connection: Any, default: str) -> None:
    if statement := dbapi_connection.info.pop(BEGIN, default):
        cursor = dbapi_connection.cursor()
        cursor.execute(statement)
        cursor.close()


registry.register(f"sqlite.{DRIVER}", __name__, SQLiteDialect.__name__)
registry.register(f"postgresql.{DRIVER}", __name__, PostgreSQLDialect.__name__)
