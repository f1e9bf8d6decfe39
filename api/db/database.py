"""The database: one engine, and its two kinds of session."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, event, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, SessionTransaction

from api import logs
from api.db import failures, revisions
from api.db.engines import autocommit, begin_read, begin_write, engine_for
from api.db.memory import NOTHING, memory_of
from api.db.statements import connection_of
from api.db.wal import WriteAheadLog
from api.db.write_lock import WriteTurns
from api.settings import Settings

# Names in the `info` of a session: the memory of its database, and a function that returns the version it is about to publish.
MEMORY, HEAD = "memory", "head"
logger = logs.sparing(__name__)
Answer = TypeVar("Answer")


class Readiness(NamedTuple):
    """Sentences that say why a database cannot serve reads, or writes; None if it can."""

    reads: str | None
    writes: str | None


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
        # Why the last write failed, if the next one will fail for the same reason.
        self.write_failure: str | None = None
        self.engine = engine_for(settings, create=create)
        self.wal = WriteAheadLog(self.engine, settings)
        self.memory = memory_of(settings)
        # On PostgreSQL, writers queue for the lock on the ledger's head.
        self._turn = WriteTurns().turn if self.engine.dialect.name == "sqlite" else nullcontext

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that sees one state of the data and writes nothing.

        Raises DBAPIError if there is no connection, and SQLAlchemy's TimeoutError if none became free in time.
        """
        # The connection begins the transaction: a session would take longer to do so.
        with (
            self._begun(begin_read) as connection,
            Session(connection, expire_on_commit=False, info={MEMORY: self.memory}) as session,
        ):
            try:
                yield session
            finally:
                if self.engine.dialect.name == "postgresql" and not connection.invalidated:
                    _commit_read(connection)

    @contextmanager
    def writing(self, *, bounded: bool = False) -> Iterator[Session]:
        """Open a session that commits at the end of the block, or rolls back if the block raises.

        It is ``bounded`` if no statement changes or sorts more than some ten thousand rows.

        Raises DBAPIError if there is no connection, if another writer holds the lock for too long, or if the commit fails, and
        SQLAlchemy's TimeoutError if no connection became free in time.
        """
        deadline = time.monotonic() + self.settings.lock_timeout
        try:
            with (
                self._turn(deadline),
                self._begun(partial(begin_write, deadline=deadline, bounded=bounded)) as connection,
                WritingSession(
                    connection,
                    join_transaction_mode="control_fully",
                    expire_on_commit=False,
                    info={MEMORY: self.memory},
                ) as session,
            ):
                yield session
                head = session.info.get(HEAD)
                published = head(session) if head else NOTHING
                try:
                    session.commit()
                except SQLAlchemyError:
                    # If a commit fails, SQLite keeps the transaction open, and with it the write lock.
                    connection.invalidate()
                    raise
            self.memory.keep(published)
            self.write_failure = None
        except DBAPIError as error:
            self.write_failure = failures.lasting(error)
            raise
        finally:
            self.commits += 1

    def query(self, read: Callable[[Connection], Answer]) -> Answer:
        """Return what a function reads by one statement, which needs no transaction.

        Raises DBAPIError if there is no connection, and SQLAlchemy's TimeoutError if none became free in time.
        """
        try:
            with autocommit(self.engine) as connection:
                return read(connection)
        except DBAPIError as error:
            # The server has closed the pooled connections. SQLAlchemy has dropped them, so the next one is new.
            if not error.connection_invalidated:
                raise
        with autocommit(self.engine) as connection:
            return read(connection)

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

    def readiness(self) -> "Readiness":
        """Return whether the database can serve reads and writes.

        Whether a write succeeds is known from the last one: to try it would wait for other writers.
        """
        try:
            with self._begun(begin_read) as connection:
                refusal = revisions.refusal(connection)
                is_standby = self._is_standby(connection)
        except (DBAPIError, PoolTimeoutError) as error:
            reason = failures.reason(error) or failures.UNREACHABLE
            return Readiness(reason, reason)
        if refusal:
            return Readiness(refusal, refusal)
        return Readiness(None, failures.STANDBY if is_standby else self.write_failure)

    def is_newer(self) -> bool:
        """Return whether the database is migrated to a newer release; the servers of both share it during a rolling deploy."""
        with self._begun(begin_read) as connection:
            return revisions.are_newer(revisions.heads_of(connection))

    def _is_standby(self, connection: Connection) -> bool:
        return self.engine.dialect.name == "postgresql" and bool(connection.scalar(select(func.pg_is_in_recovery())))


class WritingSession(Session):
    """A session that writes: after a rollback, also one to a savepoint, it remembers nothing that it has read.

    Most statements bypass the ORM, so its transaction may never begin. `commit` and `rollback` end it if it did, and then the
    connection's.
    """

    def commit(self) -> None:
        """Commit. Raises SQLAlchemyError."""
        if self.in_transaction():
            super().commit()
        if (connection := connection_of(self)).in_transaction():
            connection.commit()

    def rollback(self) -> None:
        """Roll back."""
        super().rollback()
        connection_of(self).rollback()
        _forget(self)


@event.listens_for(WritingSession, "after_soft_rollback")
def _forget(session: Session, _transaction: SessionTransaction | None = None) -> None:
    for name in session.info.keys() - {MEMORY, HEAD}:
        del session.info[name]


def begin_savepoint(session: Session) -> SessionTransaction:
    """Begin a savepoint at once: a session would wait for its own next statement, and most statements do not go through it."""
    savepoint = session.begin_nested()
    session.connection()
    return savepoint


def _commit_read(connection: Connection) -> None:
    """Commit a read, because psycopg forgets its prepared statements at a ROLLBACK.

    A failure is logged and not raised: the rows were read from one state of the data, so the answer is right.
    """
    try:
        connection.commit()
    except SQLAlchemyError as error:
        logger.warning("A read was answered, but its transaction could not be ended: %s", logs.describe(error))
