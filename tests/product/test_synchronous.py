"""Synchronous replication: a standby has each write that is acknowledged."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.db.failures import UNCERTAIN
from tests.support.copies import city
from tests.support.replication import LATER, Pair, Postgres, application, refusal, until

NAMES = "synchronous_standby_names"
CANCELLED = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"
Result = TypeVar("Result")


def waits_for(server: Postgres, standbys: str) -> None:
    """Let a primary acknowledge a commit only after some standbys have it."""
    server.order(f"alter system set {NAMES} = '{standbys}'")
    server.ask("select pg_reload_conf()")
    until(lambda: server.ask(f"show {NAMES}") == standbys)


def cancelled(server: Postgres, work: Callable[[], Result]) -> Result:
    """Run what commits, and end its wait for a standby as an operator can."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        until(lambda: server.ask(CANCELLED) or done.done())
        return done.result()


def create(client: FlaskClient) -> TestResponse:
    """Create a city, as often as needed."""
    return client.post("/cities", json=city("once-zz"), headers={"Idempotency-Key": "once"})


@pytest.mark.slow
def test_a_write_that_no_standby_has(own_pair: Pair) -> None:
    """A commit whose wait for a standby was cancelled is a 503, and so is its repetition until a standby has it.

    The control: PostgreSQL itself calls such a commit done, and only warns.
    """
    server = own_pair.primary
    with application(server) as app, psycopg.connect(server.address, autocommit=True) as control:
        client = own_pair.client(app)
        waits_for(server, "absent")
        for _ in range(2):
            answer = cancelled(server, lambda: create(client))
            assert (refusal(answer), answer.get_json()["detail"]) == (LATER, UNCERTAIN)
        cancelled(server, lambda: control.execute("create table control ()"))
        assert server.ask("select count(*) from control") == 0
        waits_for(server, "")
        answer = create(client)
        assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
