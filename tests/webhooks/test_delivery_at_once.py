"""Many senders at once, and senders that are killed: each message goes out once each time that it is due."""

import datetime as dt
import itertools
import random
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Select, event, text
from sqlalchemy.orm import Session

from api.db.database import Database
from api.settings import Settings
from api.webhooks import delivery
from api.webhooks.subscriptions import WebhookState
from tests.support.databases import Store, opened
from tests.support.processes import at_once
from tests.support.webhooks import NOW, Killed, Wire, after, change, deliver, every, remove, resume, subscribe


@pytest.mark.parametrize("careless", [False, True])
def test_a_message_that_is_on_its_way_is_not_taken(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, *, careless: bool
) -> None:
    """What one sender is sending no other takes. The control, where nobody claims what is sent, sends it twice."""
    if careless:
        monkeypatch.setattr(delivery, "LEASE", dt.timedelta())
    wire, others = Wire(), Wire()
    subscribe(database)
    change(database)
    with opened(settings) as other:
        wire.meanwhile = lambda: others.deliver(other)
        assert wire.deliver(database) == 1
    assert [attempt.message for attempt in others.sent] == [attempt.message for attempt in wire.sent] * careless


@pytest.mark.parametrize("careless", [False, True])
def test_two_take_at_once(
    store: Store, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, *, careless: bool
) -> None:
    """What one sender is about to take no other takes, or waits for. The control, where nothing is locked, sends it twice."""
    if careless:
        monkeypatch.setattr(Select, "with_for_update", lambda statement, **_: statement)
    wire, commits = Wire(), itertools.count()
    others: list[Future[int]] = []
    subscribe(database)
    change(database)
    with opened(settings) as other, ThreadPoolExecutor(1) as pool:

        def look(session: Session) -> None:
            """Let the other sender look just before the first commits what it took; SQLite lets only one of them begin."""
            if session.dirty and next(commits) == 0:
                others.append(pool.submit(wire.deliver, other))
                assert store.dialect == "sqlite" or wait(others, timeout=20).done

        event.listen(Session, "before_commit", look)
        try:
            counts = [wire.deliver(database), others[0].result(30)]
        finally:
            event.remove(Session, "before_commit", look)
    assert (counts, len(wire.sent)) == (([1, 1], 2) if careless and store.dialect == "postgresql" else ([1, 0], 1))


def rounds(settings: Settings, senders: int, receivers: int, count: int) -> None:
    """Let so many senders, each with its own connections, tell so many receivers again and again; some answer, some fail."""
    chance = random.Random(1)  # noqa: S311 - nothing is secret
    with ExitStack() as stack:
        databases = [stack.enter_context(opened(settings)) for _ in range(senders)]
        urls = {subscribe(databases[0], f"https://r{number}.example/").url for number in range(receivers)}
        for turn in range(count):
            version = change(databases[0])
            wire = Wire(chance.choice([204, 204, 500]))
            send = partial(wire.deliver, now=after(days=2 * turn))
            at_once(senders, lambda number, send=send: send(databases[number]))  # type: ignore[misc]  # its default gives the type
            # Who answers again after a failure gets that message, and then the next.
            sent = Counter((attempt.url, attempt.data["version"]) for attempt in wire.sent)
            assert ({url for url, _ in sent}, set(sent.values())) == (urls, {1})
        wire = Wire()
        for turn in range(2):
            wire.deliver(databases[0], after(days=2 * (count + turn)))
        assert {row.told for row in every(databases[0])} == {version}


def test_each_message_goes_out_once(settings: Settings) -> None:
    """However many senders there are, each message goes out once each time that it is due."""
    rounds(settings, senders=4, receivers=6, count=3)


@pytest.mark.slow
def test_each_message_goes_out_once_at_length(settings: Settings) -> None:
    """The same, at length."""
    rounds(settings, senders=8, receivers=30, count=30)


def test_killed_while_sending(database: Database) -> None:
    """When a sender is killed before it could note what became of a message, that one is sent again, after two minutes."""
    wire = Wire(Killed())
    subscribe(database)
    version = change(database)
    with pytest.raises(Killed):
        wire.deliver(database)
    wire.outcome = 204
    assert wire.deliver(database, after(minutes=2) - dt.timedelta(microseconds=1)) == 0
    assert wire.deliver(database, after(minutes=2)) == 1
    assert [attempt.message for attempt in wire.sent] == [wire.sent[0].message] * 2
    (webhook,) = every(database)
    assert (webhook.told, webhook.message, webhook.attempts) == (version, None, 0)


@pytest.mark.parametrize(
    ("tried", "first", "second"),
    [
        *((9, 500, 500), (9, 410, 500), (9, 500, 410), (9, 204, 500), (9, 500, 204)),
        *((1, 500, 410), (1, 204, 410), (1, 410, 204), (1, 204, 204)),
    ],
)
def test_a_sender_that_comes_back(database: Database, tried: int, first: int, second: int) -> None:
    """When a sender that was taken for dead has its outcome after another's, who is paused stays so until it is asked for."""
    wire, other = Wire(500), Wire(second)
    webhook = subscribe(database)
    version = change(database)
    wire.deliver(database)
    with database.writing() as session:
        session.execute(text(f"update webhooks set attempts = {tried}"))
    wire.outcome = first
    wire.meanwhile = lambda: other.deliver(database, after(days=1, minutes=2))
    assert wire.deliver(database, after(days=1)) == 1
    assert [attempt.message for attempt in other.sent] == [wire.sent[0].message]
    (row,) = every(database)
    assert (row.told, row.due_at) == (version if 204 in {first, second} else webhook.told, None)
    version = change(database)
    wire.outcome, wire.meanwhile = 204, lambda: None
    assert wire.deliver(database, after(days=60)) == (row.state is WebhookState.ACTIVE)
    resume(database, webhook.id)
    wire.deliver(database, after(days=60))
    assert [(row.state, row.told, row.attempts) for row in every(database)] == [(WebhookState.ACTIVE, version, 0)]


@pytest.mark.parametrize("happens", ["removed", "told"])
def test_two_note_at_once(database: Database, monkeypatch: pytest.MonkeyPatch, happens: str) -> None:
    """While a sender notes a failure, the webhook is removed, or another notes that it was told: neither is undone."""
    webhook = subscribe(database)
    version = change(database)
    other, sending, go = Wire(), threading.Event(), threading.Event()

    def hang() -> None:
        """Let the other sender wait for its answer, a success, until the first is about to note a failure."""
        sending.set()
        assert go.wait(30)

    other.meanwhile = hang
    with ThreadPoolExecutor(2) as pool:
        noted: list[Future[Any]] = []
        if happens == "told":
            noted.append(pool.submit(other.deliver, database))
            assert sending.wait(30)

        def uniform(_low: float, _high: float) -> float:
            """Let it happen between the look and the note; it waits for the note, or is done."""
            go.set()
            if happens == "removed":
                noted.append(pool.submit(remove, database, webhook.id))
            wait(noted, timeout=0.5)
            return 0.0

        monkeypatch.setattr(random, "uniform", uniform)
        # The other's claim has ended, so the first sends the same message.
        assert Wire(500).deliver(database, after(minutes=3)) == 1
        noted[0].result(30)
    states = [(row.told, row.message, row.attempts, row.due_at) for row in every(database)]
    assert states == ([] if happens == "removed" else [(version, None, 0, None)])
    assert Wire().deliver(database, after(days=9)) == 0


def test_a_receiver_that_is_unlike_any_other(database: Database) -> None:
    """What nobody has foreseen, at one receiver, harms no other: what became of their messages is noted."""
    urls = [subscribe(database, f"https://r{number}.example/").url for number in range(5)]
    version = change(database)
    first = min(every(database), key=lambda row: row.id).url

    def post(url: str, *_: Any, **__: Any) -> int:
        if url == first:
            raise RuntimeError("can't start new thread")
        return 204

    with suppress(RuntimeError):
        deliver(database, loopback=False, clock=lambda: NOW, post=post)
    assert {row.url for row in every(database) if row.told == version} == {*urls} - {first}


def test_what_waits_for_its_turn_is_not_taken(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sender can't send at once it leaves to others, since its claim would end before its turn comes."""
    monkeypatch.setattr(delivery, "SENDERS", 1)
    wire, other = Wire(), Wire()
    for number in range(2):
        subscribe(database, f"https://r{number}.example/")
    version = change(database)

    def meanwhile() -> None:
        """While the first hangs, another sender has time for all that is due, once."""
        wire.meanwhile = lambda: None
        other.deliver(database, after(minutes=2))

    wire.meanwhile = meanwhile
    wire.deliver(database)
    Wire().deliver(database, after(minutes=9))
    assert {row.told for row in every(database)} == {version}
    slow = wire.sent[0].url
    assert Counter(attempt.url for attempt in [*wire.sent, *other.sent] if attempt.url != slow).most_common(1)[0][1] == 1
