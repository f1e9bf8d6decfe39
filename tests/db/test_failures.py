"""Answers, the command line and `/readyz` name the cause of a database's failure."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from api.db.database import Database
from api.db.failures import BUSY, DAMAGED, FULL, LOCKED, REASONS, UNREACHABLE, reason
from api.settings import Settings
from tests.support.answers import problem
from tests.support.applications import curating, serving
from tests.support.databases import Store, opened, template

READ_ONLY = REASONS["SQLITE_READONLY"]


def patch(client: FlaskClient) -> Any:
    """Write a little."""
    body = {"summary": "A longer summary than before, " * 50}
    return client.patch("/cities/boston-ma", json=body, headers={"If-Match": "*"})


@pytest.mark.parametrize(
    ("pragma", "undo", "sentence"),
    [("max_page_count = 1", "max_page_count = 1000000", FULL), ("query_only = on", "query_only = off", READ_ONLY)],
)
def test_a_database_that_cannot_be_written(sqlite_store: Store, pragma: str, undo: str, sentence: str) -> None:
    """Answers name a full disk and a read-only file, and `/readyz` does until a write succeeds; reads go on."""
    settings = sqlite_store.copy(template(sqlite_store))
    with opened(settings) as database, database.engine.connect() as connection:
        # Without free pages, which a write could use.
        connection.connection.execute("vacuum")
    with serving(settings) as app:
        client = curating(app.test_client(), app.extensions["database"])
        engine = app.extensions["database"].engine
        states = [pragma]
        event.listen(engine, "checkout", lambda connection, *_: connection.execute(f"PRAGMA {states[-1]}"))
        body = problem(patch(client))
        assert (body["status"], body["detail"]) == (503, sentence)
        assert client.get("/readyz").get_json() == {"status": "ok", "writes": sentence}
        assert problem(client.get("/readyz?writes=true"))["detail"] == sentence
        assert client.get("/cities/boston-ma").status_code == 200
        states.append(undo)
        assert patch(client).status_code == 200
        assert client.get("/readyz?writes=true").get_json() == {"status": "ok", "writes": "ok"}


def test_a_damaged_file(tmp_path: Path) -> None:
    """A file that is no database is damaged, not away."""
    path = tmp_path / "text.sqlite3"
    path.write_text("This is no database. " * 100, encoding="utf-8")
    with serving(Settings(database_url=f"sqlite:///{path}")) as app:
        assert problem(app.test_client().get("/cities"))["detail"] == DAMAGED


def test_a_lock(settings: Settings, database: Database) -> None:
    """A writer that waits too long for another gets a 503; `/readyz` is not affected, since the lock ends with that writer."""
    with serving(replace(settings, lock_timeout=1)) as app:
        client = curating(app.test_client(), database)
        with database.writing() as session:
            session.execute(text("update ledger_head set one = 1"))
            assert problem(patch(client))["detail"] == LOCKED
        assert client.get("/readyz").get_json() == {"status": "ok", "writes": "ok"}


def test_bugs_are_not_excused(database: Database) -> None:
    """An error that an operator cannot repair has no reason and stays a 500; the control has one."""
    with database.reading() as session, pytest.raises(DBAPIError) as caught:
        session.execute(text("select nothing from nowhere"))
    assert reason(caught.value) is None
    caught.value.connection_invalidated = True
    assert reason(caught.value) == UNREACHABLE
    assert BUSY != UNREACHABLE


def test_a_newer_database_is_served(settings: Settings, database: Database) -> None:
    """A server of the old release reads a database migrated further; the control, one without migrations, is a 503."""
    revision = text("update alembic_version set version_num = :revision")
    with serving(settings) as app:
        client = app.test_client()
        for known, status in (("ffffffffffff", 200), ("0001", 503)):
            with database.engine.begin() as connection:
                connection.execute(revision, {"revision": known})
            assert client.get("/readyz").status_code == status


def test_files_are_private(sqlite_store: Store, tmp_path: Path) -> None:
    """A new database and its WAL are readable by their owner only; an existing one keeps its mode."""
    path = tmp_path / "new.sqlite3"
    with opened(Settings(database_url=f"sqlite:///{path}"), create=True) as database, database.writing() as session:
        session.execute(text("create table t (n int)"))
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert {name: oct(mode) for name, mode in modes.items()} == dict.fromkeys(modes, "0o600")
    assert {"new.sqlite3", "new.sqlite3-wal"} <= modes.keys()
    other = tmp_path / "other.sqlite3"
    shutil.copy(sqlite_store.copy(template(sqlite_store)).sqlalchemy_url.database or "", other)
    other.chmod(0o644)
    with opened(Settings(database_url=f"sqlite:///{other}"), create=True) as database, database.reading() as session:
        session.execute(text("select 1"))
    assert other.stat().st_mode & 0o777 == 0o644


def test_readiness_takes_a_flag(routing_client: FlaskClient) -> None:
    """`writes` is true or false; another value, and another parameter, is a 400 that says what works."""
    body = problem(routing_client.get("/readyz?writes=maybe"))
    assert (body["status"], body["errors"][0]["code"], body["errors"][0]["allowed"]) == (
        400,
        "invalid-value",
        ["true", "false"],
    )
    body = problem(routing_client.get("/readyz?write=true"))
    assert (body["errors"][0]["code"], body["errors"][0]["suggestion"]) == ("unknown-parameter", "writes")
    assert routing_client.get("/readyz?writes=false").status_code == 200
