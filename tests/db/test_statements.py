"""Statements that are built, compiled and prepared once."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import LargeBinary, String, bindparam, cast, event, literal_column, select, text
from sqlalchemy.engine.interfaces import CacheStats
from sqlalchemy.exc import DBAPIError

from api.db import statements
from api.db.database import Database
from api.db.statements import Listed
from api.db.types import table_of
from api.ledger.index import words
from api.query import lists
from api.query.language import Query
from api.resources import BY_NAME
from api.resources.cities import City
from tests.support.databases import counted


def test_errors_of_cached_statements(database: Database) -> None:
    """A cached statement raises SQLAlchemy's error, marked as invalidated if the connection was cut; the next read works."""
    with database.reading() as session, pytest.raises(DBAPIError) as caught:
        statements.rows(session, "wrong", lambda: select(literal_column("no_such_column")), {})
    assert not caught.value.connection_invalidated
    assert caught.value.statement == "SELECT no_such_column"
    alive = partial(statements.rows, shape="alive", build=lambda: select(literal_column("1")), values={})
    if database.engine.dialect.name == "postgresql":
        with database.reading() as session, database.engine.connect() as other:
            process_id = session.scalar(text("select pg_backend_pid()"))
            assert other.scalar(text("select pg_terminate_backend(:process_id, 5000)"), {"process_id": process_id})
            with pytest.raises(DBAPIError) as caught:
                alive(session)
            session.rollback()
        assert caught.value.connection_invalidated
    with database.reading() as session:
        assert alive(session) == [(1,)]


def test_statements_stay_prepared(database: Database) -> None:
    """PostgreSQL keeps a prepared statement between reads; the control, a read that is rolled back, loses it."""
    if database.engine.dialect.name == "sqlite":
        # The driver keeps its statements, in this process.
        return
    kept = text("select count(*) from pg_prepared_statements where statement = 'SELECT 42'")
    for rolled_back, expected in ((False, 1), (True, 0)):
        # psycopg prepares a statement that it has sent five times.
        for _ in range(7):
            with database.reading() as session:
                assert statements.rows(session, "kept", lambda: select(literal_column("42")), {}) == [(42,)]
                if rolled_back:
                    statements.connection_of(session).rollback()
        with database.reading() as session:
            assert session.scalar(kept) == expected


def test_searches_are_planned_for_their_words(database: Database) -> None:
    """A search is planned for its words, and any other list by a generic plan."""
    if database.engine.dialect.name == "sqlite":
        return
    mode = text("show plan_cache_mode")
    with database.reading() as session:
        lists.read(session, Query(resource=BY_NAME["initiatives"], search=words.parse("data")))
        assert session.scalar(mode) == "force_custom_plan"
    with database.reading() as session:
        lists.read(session, Query(resource=BY_NAME["initiatives"]))
        assert session.scalar(mode) == "auto"


def test_a_statement_is_compiled_once(database: Database) -> None:
    """The second request of a shape builds and compiles nothing; another shape is the control."""
    statistics: list[tuple[str, CacheStats]] = []
    built: list[int] = []

    def build(number: int) -> Any:
        built.append(number)
        return select(literal_column(f"{number}"), bindparam("value", type_=String()))

    def note(_connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: object) -> None:
        if statement.startswith("SELECT"):
            statistics.append((statement[:8], context.cache_hit))

    event.listen(database.engine, "before_cursor_execute", note)
    for number, value in ((1, "a"), (1, "b"), (2, "c")):
        with database.reading() as session:
            rows = statements.rows(session, ("compiled", number), partial(build, number), {"value": value})
            assert rows == [(number, value)]
    assert built == [1, 2]
    assert statistics == [
        ("SELECT 1", CacheStats.CACHE_MISS),
        ("SELECT 1", CacheStats.CACHE_HIT),
        ("SELECT 2", CacheStats.CACHE_MISS),
    ]


def test_bytes_are_read_in_binary(database: Database) -> None:
    """PostgreSQL sends the columns of a statement with bytes in binary format, and those of other statements as text."""
    if database.engine.dialect.name == "sqlite":
        return
    formats: list[int] = []
    event.listen(database.engine, "after_cursor_execute", lambda *row: formats.append(row[1].pgresult.fformat(0)))
    with database.reading() as session:
        for type in (LargeBinary(), String()):
            formats.clear()
            column = cast(literal_column("'a'"), type)
            ((value,),) = statements.rows(session, ("format", str(type)), partial(select, column), {})
            assert (value, formats) == ((b"a", [1]) if isinstance(type, LargeBinary) else ("a", [0]))


@pytest.mark.parametrize("count", [0, 1, 3, 700])
def test_listed_rows_are_looked_up_by_one_statement(database: Database, count: int) -> None:
    """Any number of keys is one parameter of one statement; keys that no row has, and nulls, find nothing."""
    table, ids = table_of(City), ["boston-ma", *(f"nowhere-{number}" for number in range(count))][:count]
    listed = [[id, None] for id in ids]

    def build(rows: Listed) -> Any:
        return rows.select([table.c.id, table.c.name], table.c.id == rows.columns[0])

    with database.reading() as session, counted(database) as executed:
        found = statements.of_listed(session, "listed", [table.c.id.type, table.c.name.type], listed, build)
    assert found == ([("boston-ma", "Boston")] if count else [])
    assert len(executed) == min(count, 1)
