"""Sessions: reading sees one state, and writing is all or nothing."""

from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from api.db.database import Database
from tests.support.databases import opened


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
