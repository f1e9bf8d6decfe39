"""The database layer: sessions that see one state, durable SQLite, and connections that no two processes share."""

import subprocess
import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import literal_column, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from api.db import statements
from api.db.database import Database
from api.db.engines import connection_of
from api.ledger.index import words
from api.query import lists
from api.query.language import Query
from api.resources import BY_NAME
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


def test_reading_sees_one_state(database: Database) -> None:
    """What another commits between two SELECTs of one reading session is not seen by it, and is by the next."""
    count = text("select count(*) from priorities")
    with database.reading() as session:
        before = session.scalar(count)
        with database.writing() as other:
            other.execute(text("insert into priorities (id, name, description) values ('new', 'new', 'new')"))
        assert session.scalar(count) == before
    with database.reading() as session:
        assert session.scalar(count) == (before or 0) + 1


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


def test_errors_of_prepared_statements(database: Database) -> None:
    """What a driver says of a prepared statement is SQLAlchemy's error; who was cut off is told so, and the next one is not."""
    with database.reading() as session, pytest.raises(DBAPIError) as caught:
        statements.rows(session, "wrong", lambda: select(literal_column("no_such_column")), {})
    assert not caught.value.connection_invalidated
    assert caught.value.statement == "SELECT no_such_column"
    alive = partial(statements.rows, shape="alive", build=lambda: select(literal_column("1")), values={})
    if database.engine.dialect.name == "postgresql":
        with database.reading() as session, database.engine.connect() as other:
            own = session.scalar(text("select pg_backend_pid()"))
            assert other.scalar(text("select pg_terminate_backend(:own, 5000)"), {"own": own})
            with pytest.raises(DBAPIError) as caught:
                alive(session)
            session.rollback()
        assert caught.value.connection_invalidated
    with database.reading() as session:
        assert alive(session) == [(1,)]


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


def test_reading_writes_nothing(database: Database) -> None:
    """What a session that reads changes all the same is refused, or gone with it."""
    count = text("select count(*) from citations")
    with suppress(DBAPIError), database.reading() as session:
        session.execute(text("delete from citations"))
    with database.reading() as session:
        assert session.scalar(count)


def test_what_raises_changes_nothing(database: Database) -> None:
    """A block of writing that raises is rolled back, and the next session is served."""
    count = text("select count(*) from citations")
    with suppress(ZeroDivisionError), database.writing() as session:
        session.execute(text("delete from citations"))
        assert session.scalar(count) == 0
        raise ZeroDivisionError
    with database.reading() as session:
        assert session.scalar(count)


def test_what_cannot_be_committed_locks_nobody_out(database: Database) -> None:
    """A commit that fails ends its transaction, so that another writer need not wait until it gives up."""
    if database.engine.dialect.name == "sqlite":
        later, wrong = "pragma defer_foreign_keys = on", "update citations set source_id = 'nobody'"
    else:
        later = "create temporary table once (x int unique deferrable initially deferred) on commit drop"
        wrong = "insert into once values (1), (1)"

    def fail() -> None:
        with database.writing() as session:
            session.execute(text(later))
            session.execute(text(wrong))

    with pytest.raises(IntegrityError):
        fail()
    with opened(replace(database.settings, lock_timeout=1)) as other, other.writing() as session:
        assert session.scalar(text("select count(*) from citations where source_id = 'nobody'")) == 0
        session.execute(text("delete from citations"))


def test_statements_stay_prepared(database: Database) -> None:
    """PostgreSQL keeps what one read has prepared for the next; the control, a read that is rolled back, forgets it."""
    if database.engine.dialect.name == "sqlite":
        # Its statements are kept by the driver, in this process.
        return
    kept = text("select count(*) from pg_prepared_statements where statement = 'SELECT 42'")
    for rolled_back, expected in ((False, 1), (True, 0)):
        # psycopg prepares what it has sent five times.
        for _ in range(7):
            with database.reading() as session:
                assert statements.rows(session, "kept", lambda: select(literal_column("42")), {}) == [(42,)]
                if rolled_back:
                    connection_of(session).rollback()
        with database.reading() as session:
            assert session.scalar(kept) == expected


def test_searches_are_planned_each_time(database: Database) -> None:
    """What depends on words is planned for them until its transaction ends, and nothing else is."""
    if database.engine.dialect.name == "sqlite":
        return
    mode = text("show plan_cache_mode")
    with database.reading() as session:
        lists.Listing(session, Query(resource=BY_NAME["initiatives"], search=words.parse("data")))
        assert session.scalar(mode) == "force_custom_plan"
    with database.reading() as session:
        lists.Listing(session, Query(resource=BY_NAME["initiatives"]))
        assert session.scalar(mode) == "auto"
