"""Receivers after a restore, and receivers that are slow."""

import threading
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Any

from sqlalchemy import text

from api.db.database import Database
from api.ledger import epochs
from api.ledger.models import EPOCH
from api.webhooks import delivery
from tests.support.copies import undo
from tests.support.webhooks import Wire, after, change, subscribe


def test_a_new_epoch_is_told(database: Database) -> None:
    """A receiver hears of a new epoch without waiting for a write, once; the next message has no epoch."""
    wire = Wire()
    subscribe(database)
    with database.writing() as session:
        before = session.execute(text("select epoch from ledger_head")).scalar_one()
        version = session.execute(text("select version from ledger_head")).scalar_one()
        assert epochs.new_epoch(session) == before + 1
    assert wire.deliver(database) == 1
    assert wire.deliver(database, after(days=1)) == 0
    first = change(database)
    assert wire.deliver(database, after(days=1)) == 1
    assert [attempt.data for attempt in wire.sent] == [
        {"version": version, "kinds": [], "epoch": before + 1},
        {"version": first, "kinds": ["cities"]},
    ]


def test_a_restored_database_is_noticed(database: Database) -> None:
    """Whoever delivers notices that versions are lost, and tells receivers of the epoch that it begins.

    The control: without a look at what is remembered, nobody is told.
    """
    wire, kept = Wire(), change(database)
    change(database)
    undo(database, kept)
    subscribe(database)
    assert wire.deliver(database) == 1
    (attempt,) = wire.sent
    assert attempt.data == {"version": kept, "kinds": [], "epoch": kept // EPOCH + 1}
    database.memory.path = None
    assert wire.deliver(database, after(days=1)) == 0


def test_slow_receivers_delay_nobody(database: Database) -> None:
    """While sixteen receivers do not answer, another is told of each change at once."""
    slow = {f"https://slow-{number}.example.org/" for number in range(16)}
    for url in slow:
        subscribe(database, url)
    subscribe(database)
    end, held, told = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    def post(url: str, *_: Any, **__: Any) -> int:
        if url in slow:
            held.release()
            assert end.wait(30)
        else:
            told.release()
        return 204

    with delivery.Senders(database, loopback=False, post=post) as senders:
        change(database)
        started = senders.start()
        assert len(started) == 17
        for _ in slow:
            assert held.acquire(timeout=30)
        assert told.acquire(timeout=30)
        wait(started, timeout=30, return_when=FIRST_COMPLETED)
        for _ in range(2):
            change(database)
            (sent,) = senders.start()
            assert told.acquire(timeout=30)
            assert sent.result(30)
        end.set()
