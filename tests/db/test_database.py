"""Sessions: a read sees one state, and a write happens as a whole or not at all."""

from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from api.db import statements
from api.db.database import Database, begin_savepoint
from api.ledger.epochs import locked_row
from tests.support.databases import opened


def test_reading_sees_one_state(database: Database) -> None:
    """A read does not see commits made during it; the next read does."""
    count = text("select count(*) from priorities")
    with database.reading() as session:
        before = session.scalar(count)
        with database.writing() as other:
            other.execute(text("insert into priorities (id, name, description) values ('new', 'new', 'new')"))
        assert session.scalar(count) == before
    with database.reading() as session:
        assert session.scalar(count) == (before or 0) + 1


def test_reading_writes_nothing(database: Database) -> None:
    """A read cannot change data: PostgreSQL refuses it, and SQLite rolls it back."""
    count = text("select count(*) from citations")
    with suppress(DBAPIError), database.reading() as session:
        session.execute(text("delete from citations"))
    with database.reading() as session:
        assert session.scalar(count)


def test_a_write_that_raises_changes_nothing(database: Database) -> None:
    """A write that raises is rolled back, and the next session works."""
    count = text("select count(*) from citations")
    with suppress(ZeroDivisionError), database.writing() as session:
        session.execute(text("delete from citations"))
        assert session.scalar(count) == 0
        raise ZeroDivisionError
    with database.reading() as session:
        assert session.scalar(count)


def test_a_failed_commit_releases_the_lock(database: Database) -> None:
    """A commit that fails releases the write lock, so that the next writer does not time out."""
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


def test_a_read_that_cannot_be_ended_is_logged(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """A read whose connection is cut after its last statement is answered and logged; the next one is served."""
    if database.engine.dialect.name == "sqlite":
        # A read ends without a round trip there.
        return
    with database.reading() as session, database.engine.connect() as other:
        pid = session.scalar(text("select pg_backend_pid()"))
        assert other.scalar(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    (record,) = caplog.records
    assert record.getMessage().startswith("A read was answered, but its transaction could not be ended: ")
    with database.reading() as session:
        assert session.scalar(text("select 1")) == 1
    assert len(caplog.records) == 1


def test_a_session_forgets_after_a_rollback(database: Database) -> None:
    """What a session has read is forgotten with the savepoint that is rolled back; the control: it is kept until then."""
    with database.writing() as session:
        first = locked_row(session)
        savepoint = begin_savepoint(session)
        assert locked_row(session) is first
        statements.change(session, "move", lambda: text("update ledger_head set cuts = cuts + 1"), {})
        savepoint.rollback()
        again = locked_row(session)
        assert again is not first
        assert again == first
        assert session.scalar(text("select cuts from ledger_head")) == 0


def test_a_session_commits_what_went_past_it(database: Database) -> None:
    """A session whose statements all went to its connection commits them at the end of the block."""
    with database.writing() as session:
        statements.change(session, "cut", lambda: text("update ledger_head set cuts = 7"), {})
    with database.reading() as session:
        assert session.scalar(text("select cuts from ledger_head")) == 7
