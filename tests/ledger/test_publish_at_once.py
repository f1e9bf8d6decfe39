"""Many writers at once: versions appear in commit order, and no reader misses one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from sqlalchemy import select, text, update

from api.db.database import Database
from api.ledger import publish
from api.ledger.models import Revision
from api.ledger.verify import verify
from api.resources.initiatives import Initiative
from api.settings import Settings
from tests.support.databases import head, opened, publishing
from tests.support.published import published

WRITERS, WRITES = 8, 3


def race(database: Database, write: Callable[[int], None], poll: Callable[[], list[int]]) -> tuple[list[int], list[int]]:
    """Race writers and a poller; returns the versions that the poller got, and all versions at the end."""
    polled: list[int] = []
    done = threading.Event()
    start = threading.Barrier(WRITERS + 1)

    def writer(number: int) -> None:
        start.wait()
        for n in range(WRITES):
            write(number * WRITES + n)

    def poller() -> None:
        start.wait()
        while not done.is_set():
            polled.extend(poll())
        polled.extend(poll())

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        polling = pool.submit(poller)
        try:
            for future in [pool.submit(writer, number) for number in range(WRITERS)]:
                future.result()
        finally:
            done.set()
        polling.result()
    with database.reading() as session:
        return polled, list(session.scalars(select(Revision.version).order_by(Revision.version)))


@pytest.fixture
def racing(settings: Settings) -> Iterator[Database]:
    """A database with a connection for every thread of a race."""
    # On a busy machine a writer can wait longer for the others than a statement may take.
    patient = Settings(database_url=settings.database_url, pool_size=WRITERS + 2, lock_timeout=60, statement_timeout=60)
    with opened(patient) as database:
        yield database


def test_no_change_is_missed(racing: Database) -> None:
    """With 8 writers, a poller that reads beyond its last version gets every version once, without a gap."""
    last = first = head(racing)

    def write(number: int) -> None:
        with publishing(racing) as session:
            session.execute(
                text("insert into priorities (id, name, description) values (:id, :id, 'Raced.')"), {"id": f"race-{number}"}
            )
            # The races that matter: all writers also change the same record.
            session.execute(
                update(Initiative).where(Initiative.id == "los-angeles-ca-myla311").values(summary=f"Raced by {number}.")
            )

    def poll() -> list[int]:
        nonlocal last
        with racing.reading() as session:
            new = list(session.scalars(select(Revision.version).where(Revision.version > last).order_by(Revision.version)))
        last = new[-1] if new else last
        return new

    polled, there = race(racing, write, poll)
    assert polled == list(range(first + 1, first + 2 * WRITERS * WRITES + 1))
    assert there == list(range(1, polled[-1] + 1))
    with racing.reading() as session:
        assert list(verify(session)) == []


def test_control_plain_sequence_misses_changes(racing: Database) -> None:
    """The control: the same race on numbers that are taken before the commit loses some, so the race is one."""
    with racing.engine.begin() as connection:
        connection.execute(text("create table control (id integer primary key)"))
    numbers, overtaken = count(1), threading.Event()
    last = 0

    def write(_number: int) -> None:
        mine = next(numbers)
        if mine == 1:
            # The first writer commits after another one.
            overtaken.wait(30)
        with racing.engine.begin() as connection:
            connection.execute(text("insert into control (id) values (:id)"), {"id": mine})

    def poll() -> list[int]:
        nonlocal last
        with racing.reading() as session:
            new = list(session.scalars(text("select id from control where id > :last order by id"), {"last": last}))
        last = new[-1] if new else last
        if new:
            overtaken.set()
        return new

    polled, _ = race(racing, write, poll)
    with racing.reading() as session:
        there = set(session.scalars(text("select id from control")))
    assert len(there) == WRITERS * WRITES
    assert there - set(polled), "the poller missed nothing: this race proves nothing"


def test_writer_waits_for_the_head(racing: Database) -> None:
    """A second writer cannot publish before the first commits: nobody sees version 2 before 1."""
    before = head(racing)
    entered, release = threading.Event(), threading.Event()

    def first() -> None:
        with publishing(racing) as session:
            session.execute(text("insert into priorities (id, name, description) values ('first', 'first', 'x')"))
            publish.publish(session)
            entered.set()
            release.wait(30)

    def second() -> None:
        with publishing(racing) as session:
            session.execute(text("insert into priorities (id, name, description) values ('second', 'second', 'x')"))

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert entered.wait(30)
        two = pool.submit(second)
        with pytest.raises(TimeoutError):
            two.result(0.3)
        assert head(racing) == before
        release.set()
        one.result(30)
        two.result(30)
    with racing.reading() as session:
        assert published(session, before) == [("upsert", "priorities", "first"), ("upsert", "priorities", "second")]
