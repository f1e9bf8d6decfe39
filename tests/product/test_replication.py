"""Writers race with readers of a primary and of its standby: no reader misses a commit."""

import itertools
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger import publish
from api.ledger.verify import verify
from tests.support.answers import Json, read
from tests.support.copies import apply, city, root
from tests.support.replication import Pair, application, proof, state, version_of

WRITERS = 8
LIMITS = (10, 100, 1000)


class Poller:
    """Follows the whole history by its cursor, asking one application after the other, and keeps every page."""

    def __init__(self, apps: Sequence[Flask], limit: int, since: int) -> None:
        """Begin after a version."""
        self.clients = itertools.cycle([app.test_client() for app in apps])
        self.limit, self.query = limit, f"since={since}"
        self.pages: list[list[Json]] = []

    @property
    def rows(self) -> list[Json]:
        """All rows of the pages."""
        return [row for page in self.pages for row in page]

    def poll(self) -> int:
        """Read all new changes; returns the version of the dataset at their end."""
        while True:
            page = read(next(self.clients), f"/changes?{self.query}&history=true&limit={self.limit}")
            self.query = f"cursor={page['cursor']}"
            if page["data"]:
                self.pages.append(page["data"])
            if page["links"]["next"] is None:
                head: int = page["head"]
                return head


class SequencePoller:
    """The control: follows a table by `id > last`, with ids from a sequence."""

    def __init__(self, database: Database) -> None:
        """Begin with nothing."""
        self.database = database
        self.ids: list[int] = []

    def poll(self) -> None:
        """Read new ids."""
        statement = text("select id from control where id > :last order by id")
        with self.database.reading() as session:
            self.ids.extend(session.scalars(statement, {"last": self.ids[-1] if self.ids else 0}))


class Writer:
    """Changes its own cities and one that all writers share, by requests and by SQL."""

    def __init__(self, client: FlaskClient, number: int) -> None:
        """Begin with no cities."""
        self.client, self.number = client, number
        self.database: Database = client.application.extensions["database"]
        self.chance = random.Random(number)  # noqa: S311 - nothing is secret
        self.there: set[str] = set()

    def write(self) -> None:
        """Make a commit, or one that is rolled back in its last moment."""
        ids = self.chance.sample([f"w-{self.number}-{n}-zz" for n in range(9)], self.chance.randint(1, 4))
        after = self.there ^ {id for id in ids if id not in self.there or self.chance.random() < 0.3}
        rolled_back = self.chance.random() < 0.06
        self.chance.choice([self._request, self._transact, self._transact])(ids, after, rolled_back=rolled_back)
        if not rolled_back:
            self.there = after

    def _request(self, ids: Sequence[str], after: set[str], *, rolled_back: bool) -> None:
        operations = [self._operation(id, after) for id in ids]
        answer = self.client.post(f"/changesets?dry_run={str(rolled_back).lower()}", json={"operations": operations})
        assert answer.status_code == 200, answer.get_json()

    def _operation(self, id: str, after: set[str]) -> Json:
        if id not in after:
            return {"op": "delete", "kind": "cities", "id": id, "if_match": "*"}
        if id not in self.there:
            return {"op": "create", "kind": "cities", "document": city(id)}
        document = {"summary": f"{self.chance.random()}"}
        return {"op": "patch", "kind": "cities", "id": id, "if_match": "*", "document": document}

    def _transact(self, ids: Sequence[str], after: set[str], *, rolled_back: bool) -> None:
        with self.database.writing() as session:
            session.execute(text("insert into control default values"))
            for id in ids:
                self._execute(session, id, after)
            summary = {"new": f"{self.chance.random()}"}
            session.execute(text("update cities set summary = :new where id = 'boston-ma'"), summary)
            publish.publish(session)
            if rolled_back:
                session.rollback()

    def _execute(self, session: Session, id: str, after: set[str]) -> None:
        statement = (
            "delete from cities where id = :id"
            if id not in after
            else "insert into cities (id, name, state, country) values (:id, :id, 'ZZ', 'US')"
            if id not in self.there
            else "update cities set summary = :new where id = :id"
        )
        session.execute(text(statement), {"id": id, "new": f"{self.chance.random()}"})


def without_cursor(row: Json) -> Json:
    """Return a change without its cursor, which also depends on the page that it came on."""
    return {name: value for name, value in row.items() if name != "cursor"}


def race(pair: Pair, commits: int, pause: float) -> None:
    """Race writers and pollers on both servers; each poller ends with every commit, the controls do not."""
    pair.primary.order("create table control (id bigserial primary key)")
    with (
        application(pair.primary) as leader,
        application(pair.standby) as follower,
        application(pair.standby, asks=pair.primary.address) as asking,
    ):
        first = version_of(leader.test_client())
        before = state(leader.test_client(), first)
        pair.standby.catch_up(pair.primary)
        apps = [[leader], [follower], [leader, asking]]
        pollers = [Poller(servers, limit, first) for servers in apps for limit in LIMITS]
        controls = [SequencePoller(app.extensions["database"]) for app in (leader, follower)]
        writers = [Writer(pair.client(leader), number) for number in range(WRITERS)]
        let_loose(writers, [*pollers, *controls], commits // WRITERS, pause, lambda: pair.standby.catch_up(pair.primary))
        after = Poller([leader], 1000, first)
        last = after.poll()
        with leader.extensions["database"].reading() as session:
            assert list(verify(session)) == []
            there = set(session.scalars(text("select id from control")))
        apply(before, {"data": after.rows})
        assert root(before) == proof(leader.test_client())
    assert [row["version"] for row in after.rows] == list(range(first + 1, last + 1))
    for poller in pollers:
        assert [*map(without_cursor, poller.rows)] == [*map(without_cursor, after.rows)]
        assert_whole(poller.pages)
    for control in controls:
        assert there - set(control.ids), "the control missed nothing: this race proves nothing"


def assert_whole(pages: Sequence[Sequence[Json]]) -> None:
    """No commit is on two pages, and a commit's number is its first version."""
    commits = [(commit, next(rows)["version"]) for page in pages for commit, rows in itertools.groupby(page, commit_of)]
    assert [commit for commit, _ in commits] == [version for _, version in commits]
    assert len(commits) == len(set(commits))


def commit_of(row: Json) -> int:
    """Return the commit of a change."""
    commit: int = row["commit"]
    return commit


def let_loose(
    writers: Sequence[Writer],
    pollers: Sequence[Poller | SequencePoller],
    turns: int,
    pause: float,
    end: Callable[[], None],
) -> None:
    """Run all at once; after the writers and ``end`` are done, each poller polls once more."""
    over = threading.Event()
    start = threading.Barrier(len(writers) + len(pollers))

    def work(writer: Writer) -> None:
        start.wait()
        for _ in range(turns):
            writer.write()

    def look(poller: Poller | SequencePoller) -> None:
        start.wait()
        # Pollers without a pause would starve the writers.
        while not over.wait(pause):
            poller.poll()
        poller.poll()

    with ThreadPoolExecutor(len(writers) + len(pollers)) as pool:
        looking = [pool.submit(look, poller) for poller in pollers]
        working = [pool.submit(work, writer) for writer in writers]
        try:
            for future in working:
                future.result()
            end()
        finally:
            over.set()
        for future in looking:
            future.result()


@pytest.mark.slow
def test_race(own_pair: Pair) -> None:
    """While 8 writers commit, pollers of both servers get whole commits, once, in order; `id > last` misses some."""
    race(own_pair, 200, 0.1)


@pytest.mark.slow
@pytest.mark.campaign
def test_long_race(own_pair: Pair) -> None:
    """The same with 4,000 commits."""
    race(own_pair, 4_000, 0.02)
