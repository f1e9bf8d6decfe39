"""Statements that are built, compiled and prepared once."""

from functools import partial

import pytest
from sqlalchemy import literal_column, select, text
from sqlalchemy.exc import DBAPIError

from api.db import statements
from api.db.database import Database
from api.db.engines import connection_of
from api.ledger.index import words
from api.query import lists
from api.query.language import Query
from api.resources import BY_NAME


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
        lists.read(session, Query(resource=BY_NAME["initiatives"], search=words.parse("data")))
        assert session.scalar(mode) == "force_custom_plan"
    with database.reading() as session:
        lists.read(session, Query(resource=BY_NAME["initiatives"]))
        assert session.scalar(mode) == "auto"
