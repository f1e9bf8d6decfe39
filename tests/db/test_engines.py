"""Each connection is set up, is in a transaction, belongs to one process, and is replaced when cut."""

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from api.db.database import Database
from api.db.engines import autocommit, begin_read
from api.settings import ROOT, Settings
from tests.support.databases import ON_SQLITE, SQLITE_FIRST, opened

FORKED = """
import gc, os, sys
from api.db.database import Database
from api.db.engines import autocommit, begin_read
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
    gc.collect()
    os._exit(inherited)
_, status = os.waitpid(child, 0)
database.engine.dispose()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@SQLITE_FIRST
def test_forked_process_has_its_own_connections(settings: Settings) -> None:
    """A worker forked after the application connected opens new connections."""
    environment = {"DATABASE_URL": settings.database_url, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@ON_SQLITE
def test_only_bounded_writes_keep_in_memory_what_undoes_a_statement(database: Database) -> None:
    """One connection serves reads, which may sort more rows than the memory holds, and both kinds of writes."""
    bounded = partial(database.writing, bounded=True)
    for begin, expected in ((bounded, 2), (database.reading, 0), (bounded, 2), (bounded, 2), (database.writing, 0)):
        with begin() as session:
            assert session.scalar(text("pragma temp_store")) == expected
    assert isinstance(database.engine.pool, QueuePool)
    assert database.engine.pool.checkedin() == 1


def test_every_connection_is_set_up(settings: Settings) -> None:
    """Each connection has the durability, the integrity checks and the limits that the settings and the ledger need."""
    with opened(replace(settings, lock_timeout=7, statement_timeout=9)) as database:
        if database.engine.dialect.name == "sqlite":
            expected = {
                "pragma journal_mode": "wal",
                "pragma synchronous": 2,
                "pragma foreign_keys": 1,
                "pragma recursive_triggers": 1,
                "pragma busy_timeout": 7000,
            }
        else:
            expected = {
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
                    begin_read(connection)
                    assert {ask: connection.exec_driver_sql(ask).scalar() for ask in expected} == expected


class Blind:
    """A poll that never sees anything to read."""

    def register(self, *_: object) -> None:
        """Ignore the socket."""

    def poll(self, _timeout: int) -> list[tuple[int, int]]:
        """Return no event."""
        return []


@pytest.mark.parametrize("seen", [True, False])
def test_a_cut_connection_is_replaced(database: Database, monkeypatch: pytest.MonkeyPatch, *, seen: bool) -> None:
    """A read or a write works although its pooled connection was cut, whether or not the poll sees the end of the connection."""
    if database.engine.dialect.name == "sqlite":
        return
    pid = text("select pg_backend_pid()")

    def cut() -> set[int]:
        """Cut both pooled connections; return their process ids."""
        with database.reading() as first, database.reading() as second:
            kept = {session.scalar(pid) or 0 for session in (first, second)}
        with opened(database.settings) as operator, operator.engine.connect() as other:
            for process_id in kept:
                assert other.scalar(text("select pg_terminate_backend(:process_id, 5000)"), {"process_id": process_id})
        return kept

    if not seen:
        monkeypatch.setattr("api.db.engines.select.poll", Blind)
    for opened_session in (database.reading, database.writing):
        gone = cut()
        with opened_session() as session:
            assert session.scalar(pid) not in gone
    gone = cut()
    assert database.query(lambda connection: connection.scalar(pid)) not in gone
    cut()
    # The control: without the retry, a connection whose end was not noticed fails.
    with nullcontext() if seen else pytest.raises(DBAPIError), database.engine.connect() as connection:
        connection.execute(pid)


def test_connections_are_in_a_transaction(database: Database) -> None:
    """A connection of the engine is in a transaction, also after one in autocommit, in which VACUUM works."""
    count = text("select count(*) from citations")
    vacuum = text("vacuum")
    with autocommit(database.engine) as connection:
        connection.execute(vacuum)
    with autocommit(database.engine):
        pass
    with database.engine.connect() as connection:
        with pytest.raises(DBAPIError, match="VACUUM"):
            connection.execute(vacuum)
        connection.rollback()
        connection.execute(text("delete from citations"))
        assert connection.scalar(count) == 0
    with database.reading() as session:
        assert session.scalar(count)
