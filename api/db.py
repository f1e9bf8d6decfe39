"""The database: the declarative base, column types, engines, and the two kinds of session."""

import datetime as dt
import os
import select
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Enum,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    TypeDecorator,
    create_engine,
    event,
    func,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, Session, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from api.settings import ROOT, Settings

BUSY = "The database is busy."
# Each connection of SQLite keeps so many KiB of pages: by itself 2,000, fewer than what the sets of a facet or two are on.
CACHE_KIB = 8_000
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# The "C" collation orders UTF-8 by code point, as SQLite's BINARY does: one order on both databases.
Text = String().with_variant(String(collation="C"), "postgresql")
# At most 6 decimals and 15 digits: exact as a float, so every language reads the same number.
Number = Numeric(21, 6, asdecimal=False).with_variant(Numeric(22, 6, asdecimal=False), "postgresql")
Version = BigInteger().with_variant(Integer(), "sqlite")


class Instant(TypeDecorator[dt.datetime]):
    """A moment in UTC, to the millisecond; SQLite has no zones, so there it is stored without."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Store UTC; a naive time is refused, since nobody knows when it was."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(dt.UTC).replace(tzinfo=None if dialect.name == "sqlite" else dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002 - the interface's
        """Read UTC."""
        return value and value.replace(tzinfo=dt.UTC) if value is None or value.tzinfo is None else value.astimezone(dt.UTC)


def choice(values: type[StrEnum], name: str) -> Enum:
    """Return the type of a column that holds one of an enumeration's values, with a named check."""
    return Enum(
        values, name=name, native_enum=False, create_constraint=True, length=40, values_callable=lambda e: [m.value for m in e]
    )


def whole_number(column: str, condition: str) -> CheckConstraint:
    """Return the check of a whole number: SQLite would keep text, or a fraction, in an integer column."""
    return CheckConstraint(f"{condition} and cast({column} as integer) = {column}", name=column)


def folded(column: InstrumentedAttribute[str]) -> Index:
    """Index a text without regard to the case of ASCII letters, for what begins with something."""
    return Index(f"ix_{column.class_.__tablename__}_{column.key}_folded", func.lower(column))


class Base(DeclarativeBase):
    """Base of every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {str: Text, dt.datetime: Instant(), float: Number}  # noqa: RUF012 - SQLAlchemy's interface


class Record(Base):
    """Base of the nouns' tables: a record has an id that never changes."""

    __abstract__ = True
    id: Mapped[str] = mapped_column(primary_key=True, sort_order=-1)


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


def connection_of(session: Session) -> Connection:
    """Return the connection that a session of ours is bound to, to read by: to ask the session for it takes ten times as long.

    A session that has executed nothing itself neither commits nor rolls back what is done there.
    """
    found = session.get_bind()
    assert isinstance(found, Connection)
    return found


@contextmanager
def driven(connection: Connection, statement: str, parameters: Any = None) -> Iterator[Any]:
    """Open a cursor of the driver for a statement. Raises DBAPIError for what the driver raises.

    SQLAlchemy would make a result that knows columns by name, and rows of it: that takes longer than many a statement.
    """
    drivers = connection.dialect.loaded_dbapi.Error
    try:
        with closing(connection.connection.cursor()) as cursor:
            yield cursor
    except drivers as error:
        lost = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
        told = DBAPIError.instance(
            statement, parameters, error, drivers, connection_invalidated=lost, dialect=connection.dialect
        )
        if lost:
            connection.invalidate(error)
        raise told from error


def _renew_after_fork(engine: Engine) -> None:
    """Give a forked process connections of its own: two that share one would read each other's answers."""
    reference = weakref.ref(engine)

    def renew() -> None:
        if (inherited := reference()) is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=renew)


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


def _sqlite(settings: Settings, *, create: bool) -> Engine:
    path = Path(settings.sqlalchemy_url.database or "").resolve()
    # mode=rw: a server whose file is missing says so, and leaves no empty database in its place.
    mode = "rwc" if create else "rw"
    engine = create_engine(
        settings.sqlalchemy_url.set(database=f"file:{quote(str(path))}", query={"mode": mode, "uri": "true"}),
        connect_args={"timeout": settings.lock_timeout, "isolation_level": None, "check_same_thread": False},
        pool_size=settings.pool_size,
        pool_timeout=settings.connect_timeout,
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info["file"] = _identity(path)
        cursor = connection.cursor()
        # FULL, since NORMAL loses acknowledged commits when the power goes (www.sqlite.org/pragma.html#pragma_synchronous).
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def _same_file(_connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        # A file that was moved or restored is another one: what is still open would answer from the old.
        if record.info["file"] != _identity(path):
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE takes the writer's lock at once: a deferred transaction can't wait for it later.
        reads = connection.get_execution_options().get("reads")
        _begin_by(connection, "BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _begin_by(connection: Connection, statement: str) -> None:
    with driven(connection, statement) as cursor:
        cursor.execute(statement)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _postgresql(settings: Settings) -> Engine:
    own: dict[str, Any] = {
        "statement_timeout": settings.statement_timeout * 1000,
        "lock_timeout": settings.lock_timeout * 1000,
        "idle_in_transaction_session_timeout": 60_000,
        # Few rows of many are read, from memory or from a disk that does not turn: so by an index.
        "random_page_cost": 1.1,
    }
    limits = " ".join(f"-c {name}={value}" for name, value in own.items())
    given = settings.sqlalchemy_url.query.get("options", "")
    engine = create_engine(
        settings.sqlalchemy_url,
        # Transactions begin below, in one way there and back: the driver would tell its settings to SQLAlchemy each time.
        isolation_level="AUTOCOMMIT",
        pool_size=settings.pool_size,
        pool_timeout=settings.connect_timeout,
        connect_args={
            "connect_timeout": settings.connect_timeout,
            "options": f"{limits} {given if isinstance(given, str) else ' '.join(given)}".strip(),
        },
    )

    @event.listens_for(engine, "connect")
    def _new(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["new"] = True

    @event.listens_for(engine, "checkout")
    def _alive(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record.info.pop("new", False):
            return
        # A connection that was cut has something to read, its end: that is seen without asking the server.
        watched = select.poll()
        if not connection.closed:
            watched.register(connection.fileno(), select.POLLIN)
        if connection.closed or watched.poll(0):
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if "isolation_level" not in options:
            kind = "REPEATABLE READ, READ ONLY" if options.get("reads") else "READ COMMITTED"
            _begin_by(connection, f"BEGIN ISOLATION LEVEL {kind}")

    return engine
