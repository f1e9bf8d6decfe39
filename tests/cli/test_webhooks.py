"""`webhooks run` sends due messages, continues, and ends on a signal."""

import itertools
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from api.cli import webhooks as webhook_commands
from api.db.database import Database
from api.settings import Settings
from api.webhooks import delivery
from tests.support.applications import curating, serving
from tests.support.databases import Store
from tests.support.processes import FLASK, PIPED, environment, wait_until
from tests.support.webhooks import PLAIN, Killed, Receiver, change, every, hold, receiving, status, subscribe


def test_run_once(settings: Settings, database: Database) -> None:
    """`webhooks run --once` sends due messages and ends; without the setting, one to this machine fails."""
    with receiving() as receiver, serving(settings) as strict, serving(replace(settings, webhooks_loopback=1)) as trying:

        def run(app: Flask) -> tuple[int, str]:
            result = app.test_cli_runner().invoke(args=["webhooks", "run", "--once"])
            return result.exit_code, result.output

        admin = curating(trying.test_client(), database, "admin")
        assert admin.post("/webhooks", json={"url": receiver.url}).status_code == 201
        assert run(trying) == (0, "Messages attempted: 0.\n")
        version = change(database)
        assert run(strict) == (0, "Messages attempted: 1.\n")
        assert (receiver.got, [row.last_outcome for row in every(database)]) == ([], [PLAIN])
        with database.writing() as session:
            session.execute(text("update webhooks set due_at = :now"), {"now": "2020-01-01 00:00:00.000000"})
        assert run(trying) == (0, "Messages attempted: 1.\n")
        assert run(trying) == (0, "Messages attempted: 0.\n")
    assert [attempt.data["version"] for attempt in receiver.got] == [version]
    assert [(row.told, row.last_outcome) for row in every(database)] == [(version, "status 204")]


def test_a_test_message(settings: Settings, database: Database) -> None:
    """`webhooks test` prints what the receiver answered; its status is 1 unless that was a success, and for an unknown id."""
    with receiving() as receiver, serving(settings) as strict, serving(replace(settings, webhooks_loopback=1)) as trying:
        id = subscribe(database, receiver.url).id

        def test(app: Flask, id: str) -> tuple[int, str]:
            result = app.test_cli_runner().invoke(args=["webhooks", "test", id])
            return result.exit_code, result.output

        assert test(trying, id) == (0, "status 204\n")
        receiver.behave = status(500)
        assert test(trying, id) == (1, "Error: status 500\n")
        assert test(strict, id) == (1, f"Error: {PLAIN}\n")
        assert test(trying, "wh-none") == (1, "Error: there is no webhook 'wh-none'\n")
    assert [attempt.data for attempt in receiver.got] == [{"webhook": id}] * 2
    assert [row.last_outcome for row in every(database)] == [None]


RUN = (*FLASK, "webhooks", "run")


@contextmanager
def running(arguments: tuple[str, ...], **variables: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program, and end all its processes."""
    with subprocess.Popen(arguments, **PIPED, env=environment(variables), start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_run(store: Store, settings: Settings, database: Database) -> None:
    """`webhooks run` sends each change until it gets a signal; it records messages in flight, and exits with status 0."""
    number = {"sqlite": signal.SIGTERM, "postgresql": signal.SIGINT}[store.dialect]
    held = threading.Event()
    with receiving() as receiver, running(RUN, DATABASE_URL=settings.database_url, WEBHOOKS_LOOPBACK=1) as process:
        try:
            subscribe(database, receiver.url)
            first = change(database)
            wait_until(lambda: every(database)[0].told == first, process)
            receiver.behave = partial(hold, held)
            second = change(database)
            wait_until(lambda: len(receiver.got) == 2, process)
            process.send_signal(number)
        finally:
            held.set()
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "Messages attempted: 1.\n" * 2)
    assert [attempt.data["version"] for attempt in receiver.got] == [first, second]
    assert [row.told for row in every(database)] == [second]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Leaves the handlers of signals as they were."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_run_goes_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """`webhooks run` does not end because the database is busy, or away, for a while."""
    looks = itertools.count()

    def start(*_: Any) -> list[Any]:
        """Find the database locked, and be killed when it is asked again."""
        raise OperationalError("", None, Exception("locked")) if next(looks) == 0 else Killed

    monkeypatch.setattr(delivery.Senders, "start", start)
    monkeypatch.setattr(webhook_commands, "POLL", 0)
    with serving(settings) as app, pytest.raises(Killed):
        app.test_cli_runner().invoke(args=["webhooks", "run"])


# `webhooks run` with short times: claims expire after a second, and failures are retried at once.
HASTY = """
import datetime, sys
from api.cli import webhooks
from api.webhooks import delivery
from flask.cli import main
webhooks.POLL, delivery.LEASE, delivery.SCHEDULE = 0.05, datetime.timedelta(seconds=1), (0.1,) * 1000
sys.argv = ["flask", "--app", "wsgi", "webhooks", "run"]
main()
"""


def all_got_more(receivers: Sequence[Receiver], before: Sequence[int]) -> bool:
    """Return whether each receiver has got more messages than before."""
    return all(len(receiver.got) > count for receiver, count in zip(receivers, before, strict=True))


@pytest.mark.slow
def test_killed_again_and_again(settings: Settings, database: Database) -> None:
    """Senders are killed 40 times during changes and failures: in the end each receiver has the newest version."""
    chance = random.Random(1)  # noqa: S311 - nothing is secret
    hasty = partial(running, (sys.executable, "-c", HASTY), DATABASE_URL=settings.database_url, WEBHOOKS_LOOPBACK=1)
    pause = threading.Event()
    with ExitStack() as stack:
        receivers = [stack.enter_context(receiving()) for _ in range(4)]
        for receiver in receivers:
            subscribe(database, receiver.url)
            receiver.behave = lambda handler: (pause.wait(chance.random() / 10), status(chance.choice([204, 500]))(handler))[1]
        for _ in range(20):
            with hasty() as one, hasty() as two:
                before = [len(receiver.got) for receiver in receivers]
                last = change(database)
                # Not more than one message each: when all four are accepted at once, no other follows.
                wait_until(partial(all_got_more, receivers, before), one)
                for process in (one, two):
                    pause.wait(chance.random() / 10)
                    process.kill()
        for receiver in receivers:
            receiver.behave = status(204)
        last = change(database)
        with hasty() as process:
            wait_until(lambda: {row.told for row in every(database)} == {last}, process)
        for receiver in receivers:
            assert receiver.got[-1].data["version"] == last
            bodies = {attempt.message for attempt in receiver.got}
            assert len(bodies) == len({id for id, _ in bodies})
