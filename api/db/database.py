"""The database: one engine, and its two kinds of session."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from api.db.engines import begin_read, engine_for
from api.db.wal import WriteAheadLog
from api.settings import ROOT, Settings

BUSY = "The database is busy."
TOO_LONG = "The query took too long: ask for less, such as fewer conditions or facets, or no exact total."
# PostgreSQL's error code of a statement that was canceled (query_canceled).
CANCELED = "57014"
logger = logging.getLogger(__name__)


class Database:
    """One engine with its sessions, made once per application.

    A read sees one state of the data from its first statement to its last (SQLite: a deferred transaction on WAL; PostgreSQL:
    REPEATABLE READ, READ ONLY). A write is BEGIN IMMEDIATE or READ COMMITTED, which the ledger's lock requires.
    """

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        """Make the engine without connecting; `create` lets SQLite make a missing file."""
        self.settings = settings
        # The number of writes in this process, whether they committed or failed.
        self.commits = 0
        self.engine = engine_for(settings, create=create)
        self.wal = WriteAheadLog(self.engine, settings)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that sees one state of the data and writes nothing.

        Raises DBAPIError if there is no connection, and SQLAlchemy's TimeoutError if none became free in time.
        """
        # The connection begins the transaction: a session would take longer to do so.
        with self._begun(begin_read) as connection, Session(connection, expire_on_commit=False) as session:
            try:
                yield session
            finally:
                if self.engine.dialect.name == "postgresql" and not connection.invalidated:
                    _commit_read(connection)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a session that commits at the end of the block, or rolls back if the block raises.

        Raises DBAPIError if there is no connection, if another writer holds the lock for too long, or if the commit fails, and
        SQLAlchemy's TimeoutError if no connection became free in time.
        """
        try:
            with (
                self._begun(Connection.begin) as connection,
                Session(connection, join_transaction_mode="control_fully", expire_on_commit=False) as session,
            ):
                yield session
                try:
                    session.commit()
                except SQLAlchemyError:
                    # If a commit fails, SQLite keeps the transaction open, and with it the write lock.
                    connection.invalidate()
                    raise
        finally:
            self.commits += 1

    def _begun(self, begin: Callable[[Connection], object], *, retry: bool = True) -> Connection:
        """Return a connection in a transaction, also if the server has closed the pooled ones."""
        connection = self.engine.connect()
        try:
            begin(connection)
        except BaseException as error:
            connection.close()
            # SQLAlchemy has dropped every pooled connection that is as old as the closed one, so the next one is new.
            if retry and isinstance(error, DBAPIError) and error.connection_invalidated:
                return self._begun(begin, retry=False)
            raise
        return connection

    @property
    def path(self) -> str:
        """The file of a SQLite database."""
        return str(Path(self.settings.sqlalchemy_url.database or "").resolve())

    def unreadiness(self) -> str | None:
        """Return a sentence that says why the database cannot serve requests, or None if it can."""
        try:
            with self._begun(begin_read) as connection:
                heads = frozenset(MigrationContext.configure(connection).get_current_heads())
        except (DBAPIError, PoolTimeoutError) as error:
            return unavailability(error)
        if heads == release_heads():
            return None
        return "The database is not migrated to this release: run `alembic upgrade head`."


def _commit_read(connection: Connection) -> None:
    """Commit a read, because psycopg forgets its prepared statements at a ROLLBACK.

    A failure is logged and not raised: the rows were read from one state of the data, so the answer is right.
    """
    try:
        connection.commit()
    except SQLAlchemyError as error:
        logger.warning("A read was answered, but its transaction could not be ended: %s", error)


def is_late(error: DBAPIError | PoolTimeoutError) -> bool:
    """Return whether a statement took longer than `STATEMENT_TIMEOUT`."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None) == CANCELED or str(cause) == "interrupted"


def unavailability(error: DBAPIError | PoolTimeoutError) -> str:
    """Return a sentence that says why there is no connection."""
    busy = isinstance(error, PoolTimeoutError) or "locked" in str(error)
    return BUSY if busy else "The database cannot be reached."


@cache
def release_heads() -> frozenset[str]:
    """Return the alembic revisions that this release needs."""
    return frozenset(ScriptDirectory.from_config(alembic_config()).get_heads())


def alembic_config() -> Config:
    """Return alembic's configuration from pyproject.toml, as its command line reads it."""
    return Config(toml_file=ROOT / "pyproject.toml")
