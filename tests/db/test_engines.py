"""Connections: set up alike, never shared by two processes, and replaced when they are cut."""

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api.db.database import Database
from api.settings import ROOT, Settings
from tests.support.databases import opened

FORKED = """
import os, sys
from api.db.database import Database
from api.settings import Settings
from sqlalchemy import text

database = Database(Settings.from_env())
with database.reading() as session:
    session.execute(text("select 1"))
assert database.engine.pool.checkedin() == 1
child = os.fork()
if child == 0:
    inherited = database.engine.pool.checkedin()
    with database.reading() as session:
        session.execute(text("select 1"))
    os._exit(inherited)
_, status = os.waitpid(child, 0)
database.engine.dispose()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_forked_process_has_its_own_connections(settings: Settings) -> None:
    """A server that loads the application and then forks leaves its workers no connection of its own."""
    environment = {"DATABASE_URL": settings.database_url, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_connection_is_set_up(settings: Settings) -> None:
    """Each connection has the durability, integrity and limits that the settings and the ledger call for."""
    with opened(replace(settings, lock_timeout=7, statement_timeout=9)) as database:
        if database.engine.dialect.name == "sqlite":
            wanted = {
                "pragma journal_mode": "wal",
                "pragma synchronous": 2,
                "pragma foreign_keys": 1,
                "pragma recursive_triggers": 1,
                "pragma busy_timeout": 7000,
            }
        else:
            wanted = {
                "show statement_timeout": "9s",
                "show lock_timeout": "7s",
                "show idle_in_transaction_session_timeout": "1min",
                "show transaction_isolation": "repeatable read",
                "show transaction_read_only": "on",
            }
            with database.writing() as session:
                shown = [session.scalar(text(f"show transaction_{name}")) for name in ("isolation", "read_only")]
            assert shown == ["read committed", "off"]
        for _ in range(2):
            with database.engine.connect() as one, database.engine.connect() as two:
                for connection in (one, two):
                    if database.engine.dialect.name == "sqlite":
                        connection.rollback()
                    assert {
                        ask: connection.execution_options(reads=True).exec_driver_sql(ask).scalar() for ask in wanted
                    } == wanted


class Blind:
    """Sees nothing to read anywhere."""

    def register(self, *_: object) -> None:
        """Watch nothing."""

    def poll(self, _timeout: int) -> list[tuple[int, int]]:
        """See nothing."""
        return []


@pytest.mark.parametrize("seen", [True, False])
def test_a_cut_connection_is_not_noticed(database: Database, monkeypatch: pytest.MonkeyPatch, *, seen: bool) -> None:
    """Where a connection was cut while nobody used it, reads and writes begin on another, whether its end is seen or not."""
    if database.engine.dialect.name == "sqlite":
        return
    pid = text("select pg_backend_pid()")

    def cut() -> set[int]:
        """Cut all connections that are kept: two."""
        with database.engine.connect() as other:
            with database.reading() as first, database.reading() as second:
                kept = {session.scalar(pid) or 0 for session in (first, second)}
            for own in kept:
                assert other.scalar(text("select pg_terminate_backend(:own, 5000)"), {"own": own})
            other.invalidate()
        return kept

    if not seen:
        monkeypatch.setattr("api.db.engines.select.poll", Blind)
    for opened_session in (database.reading, database.writing):
        gone = cut()
        with opened_session() as session:
            assert session.scalar(pid) not in gone
    cut()
    # The control: who does not begin anew is told, unless it was seen before.
    with nullcontext() if seen else pytest.raises(DBAPIError), database.engine.connect() as connection:
        connection.execute(pid)
