"""Databases to test on, of both kinds: make, migrate, copy and drop them, and count their statements."""

import fcntl
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Dialect, Engine, event, select, text
from sqlalchemy.orm import Session
from sqlalchemy.util import LRUCache

from api.db.database import Database
from api.db.revisions import alembic_config
from api.ledger import publish
from api.ledger.models import Head
from api.settings import Settings
from tests.support.processes import SECRET, unused_port

DIALECTS = ("sqlite", "postgresql")
# Runs a test on SQLite alone, because its claim does not depend on the database.
ON_SQLITE = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
# For long tests of what hardly depends on the database: PostgreSQL's turn comes in the long run.
SQLITE_FIRST = pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
NUMBERS = itertools.count()
# The dialects of engines that have connected, by kind of database, and the statements that were compiled for them.
CONNECTED: dict[str, Dialect] = {}
COMPILED: LRUCache[Any, Any] = LRUCache(2_000)
# The templates on PostgreSQL, whose copies need not forget the origin.
WITHOUT_ORIGIN: set[Settings] = set()
# The database on PostgreSQL that each server has from its start.
MIGRATED = "migrated"
# Every revision of the schema, the oldest first.
REVISIONS = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()][::-1]


@contextmanager
def opened(settings: Settings, *, create: bool = False) -> Iterator[Database]:
    """Open a database, and close all its connections afterwards."""
    database = Database(settings, create=create)
    share_compiled(database.engine)
    try:
        yield database
    finally:
        database.engine.dispose()
        if database.engine.dialect.server_version_info:
            CONNECTED.setdefault(database.engine.dialect.name, database.engine.dialect)


def share_compiled(engine: Engine) -> None:
    """Let an engine use the statements that were compiled for others: each test would spend a sixth of its time on that.

    The dialect is part of their key. Only an engine that has connected knows what its dialect depends on.
    """
    if dialect := CONNECTED.get(engine.dialect.name):
        engine.dialect = dialect
        engine.update_execution_options(compiled_cache=COMPILED)


@contextmanager
def publishing(database: Database, *, reason: str | None = None) -> Iterator[Session]:
    """Open a session whose changes are published and committed together at the end of the block."""
    with database.writing() as session:
        yield session
        publish.publish(session, reason=reason)


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Migrate as the command line does, without its process."""
    with opened(settings, create=True) as database:
        command.upgrade(config(database), revision)


def config(database: Database) -> Config:
    """Return alembic's configuration for a database."""
    configuration = alembic_config()
    configuration.attributes["connection"] = database.engine
    return configuration


HAS_ORIGIN = "select 1 from information_schema.columns where table_name = 'ledger_head' and column_name = 'origin'"


@dataclass(frozen=True)
class Store:
    """Makes databases of one dialect, empty or as a copy of a migrated one."""

    dialect: str
    folder: Path
    server: str

    def empty(self, *, template: str = "template0") -> Settings:
        """Return the settings of a new database, without the cache of answers, which only its own tests switch on."""
        name = f"test_{os.getpid()}_{next(NUMBERS)}"
        if self.dialect == "postgresql":
            # Copying the files costs half as much as logging the copy, which is the default.
            self._execute(f"create database {name} template {template} strategy file_copy")
        return self.named(name)

    def named(self, name: str) -> Settings:
        """Return the settings of a database of this name."""
        sqlite = self.dialect == "sqlite"
        url = f"sqlite:///{self.folder / name}.sqlite3" if sqlite else self.server.replace("/postgres?", f"/{name}?")
        return Settings(database_url=url, lock_timeout=30, cache_mb=0)

    def copy(self, migrated: Settings) -> Settings:
        """Return the settings of a copy; PostgreSQL copies a database only while no client is connected to it."""
        if self.dialect == "postgresql":
            settings = self.empty(template=str(migrated.sqlalchemy_url.database))
            if migrated not in WITHOUT_ORIGIN:
                forget_origin(settings)
            return settings
        settings = self.empty()
        shutil.copy(migrated.database_url.removeprefix("sqlite:///"), settings.database_url.removeprefix("sqlite:///"))
        return settings

    def drop(self, settings: Settings) -> None:
        """Delete a database; each takes up to 12 MB."""
        if self.dialect == "postgresql":
            self._execute(f"drop database {settings.sqlalchemy_url.database} with (force)")
        else:
            for name in (database := settings.sqlalchemy_url.database or "", f"{database}.published"):
                Path(name).unlink(missing_ok=True)

    def _execute(self, statement: str) -> None:
        connected(self.server).execute(statement.encode())


@cache
def connected(server: str) -> psycopg.Connection[Any]:
    """Return a connection for all statements that create and drop databases: to connect takes half as long as they do."""
    return psycopg.connect(server, autocommit=True)


def forget_origin(settings: Settings) -> None:
    """Have a copy taken for another database, and not for another future of the first one."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        if connection.execute(HAS_ORIGIN).fetchone():
            connection.execute("update ledger_head set origin = null")


@cache
def template(store: Store, revision: str = "head") -> Settings:
    """Return a migrated database as a template for copies; it has no connections."""
    if store.dialect == "sqlite":
        name = f"revision_{revision}"
        once(store.folder / f"{name}.sqlite3", lambda file: upgrade(Settings(database_url=f"sqlite:///{file}"), revision))
        return store.named(name)
    if revision == "head":
        settings = store.named(MIGRATED)
    else:
        settings = store.empty()
        upgrade(settings, revision)
        forget_origin(settings)
    WITHOUT_ORIGIN.add(settings)
    return settings


def once(path: Path, make: Callable[[Path], None]) -> None:
    """Make a file or a folder, unless another process of this run has made it: the first of them makes it for all."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make(new := path.with_name(f"{path.name}.new"))
            new.rename(path)


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Collect the SELECT statements that run in the block."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.lstrip().lower().startswith("select"):
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def head(database: Database) -> int:
    """Return the newest version of the dataset."""
    with database.reading() as session:
        return session.scalars(select(Head.version)).one()


def missing(store: Store) -> Settings:
    """Return the settings of a database that does not exist."""
    settings = store.empty()
    return replace(settings, database_url=settings.database_url.replace("/test_", "/missing_"))


def unreachable(store: Store) -> Settings:
    """Return the settings of a database that cannot exist: on a port without a server, or in a missing folder."""
    if store.dialect == "sqlite":
        return Settings(database_url=f"sqlite:///{store.folder / 'missing' / 'file.sqlite3'}")
    return Settings(database_url=f"postgresql://me:{SECRET}@127.0.0.1:{unused_port()}/cities")


def unmigrated(store: Store) -> Settings:
    """Return the settings of an empty database."""
    settings = store.empty()
    with opened(settings, create=True) as database:
        database.engine.connect().close()
    return settings


def without_temporary_tables(database: Database) -> Settings:
    """Return the settings of a role on PostgreSQL that may change all records, but may make no temporary tables."""
    with database.writing() as session:
        name = session.scalar(text("select current_database()"))
        for statement in (
            f"create role weak_{name}",
            f"revoke temporary on database {name} from public",
            f"grant select, insert, update, delete on all tables in schema public to weak_{name}",
            f"grant usage on all sequences in schema public to weak_{name}",
        ):
            session.execute(text(statement))
    url = database.settings.sqlalchemy_url.update_query_dict({"options": f"-c role=weak_{name}"})
    return replace(database.settings, database_url=url.render_as_string(hide_password=False))


def earlier(store: Store) -> Settings:
    """Return the settings of a database of an earlier release."""
    return store.copy(template(store, REVISIONS[0]))


def later(store: Store, oldest: str = REVISIONS[-1]) -> Settings:
    """Return the settings of a database of a later release, which releases from a revision on may use."""
    settings = store.copy(template(store))
    with opened(settings) as database, database.writing() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
        session.execute(text("update schema_compatibility set oldest = :oldest"), {"oldest": oldest})
    return settings
