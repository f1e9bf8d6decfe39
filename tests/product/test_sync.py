"""Copies stay true while everything happens at once, and in any order."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st
from sqlalchemy import text

from api.db.database import Database
from api.ledger import head, publish
from api.ledger.cursors import Position
from api.ledger.verify import verify
from tests.support.answers import ANY, read
from tests.support.copies import Copy, city, follow, root
from tests.support.editions import SEEDED
from tests.support.lengths import examples
from tests.support.replication import until


def is_beyond(client: FlaskClient, version: int) -> bool:
    """Tell whether something was committed after a version."""
    return int(read(client, "/digest")["data"]["version"]) > version


def verified_syncs(database: Database, app: Any, syncs: int, writers: int) -> None:
    """Sync repeatedly during writes, each third time from nothing; each copy's root matches the server's at its version.

    Each sync begins after a commit that the one before did not see, whatever the speed of the machine.
    """
    over = threading.Event()

    def work(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - nothing is secret
        turn = 0
        while not over.is_set():
            turn += 1
            with database.writing() as session:
                id = f"w-{number}-{chance.randrange(6)}-zz"
                known = session.scalar(text("select count(*) from cities where id = :id"), {"id": id})
                change = (
                    "insert into cities (id, name, state, country) values (:id, :id, 'ZZ', 'US')"
                    if not known
                    else "delete from cities where id = :id"
                    if chance.random() < 0.3
                    else f"update cities set summary = 'Turn {turn}.' where id = :id"
                )
                session.execute(text(change), {"id": id})
                publish.publish(session)
                if chance.random() < 0.06:
                    session.rollback()

    client, cursor, version = app.test_client(), None, SEEDED
    copy: Copy = {}
    with ThreadPoolExecutor(writers) as pool:
        running = [pool.submit(work, number) for number in range(writers)]
        try:
            for sync in range(syncs):
                if sync % 3 == 0:
                    copy, cursor = {}, None
                until(partial(is_beyond, client, version))
                cursor = follow(client, copy, f"/changes?cursor={cursor}&limit=10" if cursor else "/changes?since=0&limit=100")
                version = Position.read(cursor)[0].version
                assert read(client, f"/digest?at={version}")["data"]["root"] == root(copy)
        finally:
            over.set()
    for future in running:
        future.result()
    with database.reading() as session:
        assert list(verify(session)) == []
        assert head.state(session).version > SEEDED + syncs


def test_verified_syncs(own_client: FlaskClient, database: Database) -> None:
    """Each of twelve syncs under 4 writers ends with a copy whose root is the server's at its version."""
    verified_syncs(database, own_client.application, 12, 4)


@pytest.mark.slow
def test_many_verified_syncs(own_client: FlaskClient, database: Database) -> None:
    """The same 200 times."""
    verified_syncs(database, own_client.application, 200, 4)


@configured(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["put", "delete", "patch", "sync"]), st.integers(0, 3)), min_size=5, max_size=25)
)
def test_any_order(curator: FlaskClient, steps: list[tuple[str, int]]) -> None:
    """After any sequence of writes, a copy that followed equals a new one, and both match the digest."""
    copy: Copy = {}
    cursor = follow(curator, copy, "/changes?since=0")
    for verb, number in steps:
        path = f"/cities/s-{number}-zz"
        if verb == "put":
            curator.put(path, json=city(f"s-{number}-zz"), headers=ANY if curator.get(path).status_code == 200 else {})
        elif verb == "patch":
            curator.patch(path, json={"summary": str(number)}, headers=ANY)
        elif verb == "delete":
            curator.delete(path, headers=ANY)
        else:
            cursor = follow(curator, copy, f"/changes?cursor={cursor}&limit=2")
    follow(curator, copy, f"/changes?cursor={cursor}&limit=1")
    anew: Copy = {}
    follow(curator, anew, "/changes?since=0")
    assert copy == anew
    assert root(copy) == read(curator, "/digest")["data"]["root"]
