"""The database: one engine, and its two kinds of session."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from api.db.engines import _postgresql, _renew_after_fork, _sqlite
from api.settings import ROOT, Settings

BUSY = "The database is busy."


class Database:
    """One engine with its sessions; made once per application.

    Reads see one state from their first statement to their last (SQLite: a deferred transaction on
    WAL; PostgreSQL: REPEATABLE READ, READ ONLY). Writes are BEGIN IMMEDIATE or READ COMMITTED, as the
    ledger's lock requires.
    """

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        """Build the engine; nothing is connected yet. ``create`` lets SQLite make a missing file."""
        self.settings = settings
        # How often this process may have changed something.
        self.commits = 0
        self.engine = _sqlite(settings, create=create) if settings.database_url.startswith("sqlite") else _postgresql(settings)
        _renew_after_fork(self.engine)
        self._reader = self.engine.execution_options(reads=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that sees one consistent state and writes nothing."""
        # The transaction is the connection's own: to begin one by a session takes longer.
        with self._begun(self._reader) as connection, Session(connection, expire_on_commit=False) as session:
            try:
                yield session
            finally:
                # With ROLLBACK, psycopg would forget the statements that it has prepared. What was read is read, even so.
                if self.engine.dialect.name == "postgresql":
                    with suppress(SQLAlchemyError):
                        connection.commit()

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a session that commits at the end of the block and rolls back if it raises."""
        try:
            with (
                self._begun(self.engine) as connection,
                Session(connection, join_transaction_mode="control_fully", expire_on_commit=False) as session,
            ):
                yield session
                try:
                    session.commit()
                except SQLAlchemyError:
                    # SQLite's transaction goes on when it can't be committed, and with it the writer's lock.
                    connection.invalidate()
                    raise
        finally:
            self.commits += 1

    def _begun(self, engine: Engine, gone: int = 0) -> Connection:
        """Return a connection in a transaction: any of those that were kept can be gone, and is passed over."""
        connection = engine.connect()
        try:
            connection.begin()
        except BaseException as error:
            connection.close()
            if gone < self.settings.pool_size and isinstance(error, DBAPIError) and error.connection_invalidated:
                return self._begun(engine, gone + 1)
            raise
        return connection

    @property
    def path(self) -> str:
        """The file of a SQLite database."""
        return str(Path(self.settings.sqlalchemy_url.database or "").resolve())

    def unreadiness(self) -> str | None:
        """Say in one sentence why the database can't serve, or None when it can."""
        try:
            with self._reader.connect() as connection:
                found = frozenset(MigrationContext.configure(connection).get_current_heads())
        except (DBAPIError, PoolTimeoutError) as error:
            return unavailability(error)
        if found == wanted_heads():
            return None
        return "The database is not migrated to this release: run `alembic upgrade head`."


def unavailability(error: DBAPIError | PoolTimeoutError) -> str:
    """Say in one sentence why no connection could be had."""
    busy = isinstance(error, PoolTimeoutError) or "locked" in str(error)
    return BUSY if busy else "The database cannot be reached."


@cache
def wanted_heads() -> frozenset[str]:
    """Return the revisions that this release is made for."""
    return frozenset(ScriptDirectory.from_config(alembic_config()).get_heads())


def alembic_config() -> Config:
    """Return alembic's configuration, the one that its command line reads from pyproject.toml."""
    return Config(toml_file=ROOT / "pyproject.toml")
