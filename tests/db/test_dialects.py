"""Statements of a transaction that nobody waits for: PostgreSQL gets them in a pipeline, SQLite carries them out at once."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import column, select, table, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from api.db import inserts, statements
from api.db.database import Database, begin_savepoint
from api.db.dialects import UNAWAITED

PROBE = table("probe", column("id"))


@pytest.fixture
def probed(database: Database) -> Database:
    """Return a database with a table of ids that holds the id 1."""
    with database.writing() as session:
        session.execute(text("create table probe (id integer primary key)"))
        send(session, 1)
    return database


def send(session: Session, *ids: int) -> None:
    """Insert ids without waiting for the database."""
    inserts.add(session, PROBE, [{"id": id} for id in ids], awaited=False)


def stored(session: Session) -> list[int]:
    """Return the ids in the table."""
    return [id for (id,) in statements.rows(session, "probed", lambda: select(PROBE.c.id).order_by(PROBE.c.id), {})]


def test_what_was_sent_is_there(probed: Database) -> None:
    """What was sent is seen by the next query, by a stream of rows, and by others after the commit."""
    with probed.writing() as session:
        send(session, 2)
        send(session, 3, 4)
        assert stored(session) == [1, 2, 3, 4]
        send(session, 5)
        streamed = session.execute(select(PROBE.c.id).order_by(PROBE.c.id).execution_options(yield_per=2))
        assert [*streamed.scalars()] == [1, 2, 3, 4, 5]
        send(session, 6)
    with probed.reading() as session:
        assert stored(session) == [1, 2, 3, 4, 5, 6]


def test_a_failure_prevents_the_commit(probed: Database, caplog: pytest.LogCaptureFixture) -> None:
    """If a statement fails after which nothing is awaited, the commit raises its error, and nothing is written or logged."""
    with pytest.raises(IntegrityError):
        write(probed, 2, 1, 3)
    assert write(probed, 4) == [1, 4]
    assert not caplog.records


def test_a_connection_is_clean_after_a_failed_commit(probed: Database) -> None:
    """The pool hands out the connection whose commit failed, in no transaction."""
    connections = []

    def insert(*ids: int) -> None:
        with probed.engine.connect() as connection:
            connections.append(connection.connection.driver_connection)
            connection.begin()
            connection.execute(PROBE.insert(), [{"id": id} for id in ids], execution_options={UNAWAITED: True})
            connection.commit()

    with pytest.raises(IntegrityError):
        insert(2, 1)
    insert(3)
    assert connections[0] is connections[1]
    assert write(probed, 4) == [1, 3, 4]


def test_a_failure_ends_with_its_savepoint(probed: Database) -> None:
    """A later statement raises the error; the transaction goes on from the savepoint before it."""
    with probed.writing() as session:
        send(session, 2)
        savepoint = begin_savepoint(session)
        with pytest.raises(IntegrityError):
            send_and_read(session, 1, 3)
        savepoint.rollback()
        assert send_and_read(session, 4) == [1, 2, 4]
    assert write(probed, 5) == [1, 2, 4, 5]


def test_another_error_takes_back_what_was_sent(probed: Database, caplog: pytest.LogCaptureFixture) -> None:
    """If the program fails, nothing that it sent is written, and an error of that is neither raised nor logged."""
    sent = [2] if probed.engine.dialect.name == "sqlite" else [2, 1]
    with pytest.raises(LookupError):
        write(probed, *sent, then=fail)
    assert write(probed, 4) == [1, 4]
    assert not caplog.records


def test_a_lost_connection(probed: Database) -> None:
    """If the server ends the connection, the commit says so, and the next write has another one."""
    if probed.engine.dialect.name == "postgresql":
        with pytest.raises(DBAPIError) as caught:
            write(probed, 2, then=partial(cut, probed))
        assert caught.value.connection_invalidated
    assert write(probed, 4) == [1, 4]


def write(database: Database, *ids: int, then: Callable[[Session], object] = lambda _session: None) -> list[int]:
    """Insert ids one by one in a transaction that does something else at its end, and return all ids."""
    with database.writing() as session:
        for id in ids:
            send(session, id)
        then(session)
    with database.reading() as session:
        return stored(session)


def send_and_read(session: Session, *ids: int) -> list[int]:
    """Insert ids and return all ids."""
    send(session, *ids)
    return stored(session)


def fail(_session: Session) -> None:
    """Fail, for a reason that has nothing to do with the database."""
    raise LookupError


def cut(database: Database, session: Session) -> None:
    """End the connection of a session, and send something."""
    process_id = session.scalar(text("select pg_backend_pid()"))
    with database.engine.connect() as other:
        assert other.scalar(text("select pg_terminate_backend(:process_id, 5000)"), {"process_id": process_id})
    send(session, 3)
