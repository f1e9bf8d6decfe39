"""The API beside a streaming standby: in a race, behind a lag, and over failovers that lose commits or none."""

import importlib.util
import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.test import TestResponse

from api.db.database import Database
from api.ledger import publish
from api.ledger.models import EPOCH, Head
from api.ledger.verify import verify
from api.settings import ROOT, Settings
from api.web import keys
from api.webhooks import subscriptions
from tests.support.answers import ANY, brief, read
from tests.support.applications import serving
from tests.support.copies import Copy, apply, city, follow, root, write
from tests.support.databases import opened, upgrade
from tests.support.replication import Postgres, copy_of, primary, standby_of

Json = dict[str, Any]
WRITERS = 8
LIMITS = (10, 100, 1000)
MANY = "1000000/minute"
LATER: tuple[int, str, list[Json], str] = (503, "unavailable", [], "5")
DIVERGED = (410, "cursor-diverged", "http://localhost/snapshot")


@dataclass(frozen=True)
class Pair:
    """A primary with its standby, and a key that may do everything."""

    primary: Postgres
    standby: Postgres
    secret: str

    def client(self, app: Flask) -> FlaskClient:
        """Ask an application with the key."""
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.secret}"
        return client


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A migrated primary with its standby, for all who leave each of them what it is."""
    with primary() as leader:
        settings = Settings(database_url=leader.address)
        upgrade(settings)
        with opened(settings) as database, database.writing() as session:
            secret = keys.issue(session, "curator", ["admin"], None)
        with standby_of(leader) as standby:
            yield Pair(leader, standby, secret)


@pytest.fixture
def own_pair(pair: Pair) -> Iterator[Pair]:
    """A copy of them that may be lost."""
    with copy_of(pair.primary) as leader, standby_of(leader) as standby:
        yield Pair(leader, standby, pair.secret)


@pytest.fixture
def spare(pair: Pair) -> Iterator[Pair]:
    """The primary with one more standby, which may be promoted: what the primary commits that it has not got is lost to it."""
    with standby_of(pair.primary) as standby:
        yield replace(pair, standby=standby)


@contextmanager
def application(server: Postgres, *, asks: str = "", **changed: Any) -> Iterator[Flask]:
    """Make an application on a server, which asks another address for what has not arrived there."""
    settings = Settings(database_url=server.address, primary_url=asks, pool_size=20, lock_timeout=60, write_limit=MANY)
    with serving(replace(settings, **{"cache_mb": 0, **changed})) as app:
        try:
            yield app
        finally:
            if app.extensions["primary"]:
                app.extensions["primary"].engine.dispose()


def version_of(client: FlaskClient) -> int:
    """Return the version that the dataset is at."""
    version: int = read(client, "/digest")["data"]["version"]
    return version


def versions(client: FlaskClient, path: str) -> list[int]:
    """Return the versions of a page of changes."""
    return [row["version"] for row in read(client, path)["data"]]


def ids(name: str, count: int) -> list[str]:
    """Return the ids of some cities."""
    return [f"{name}-{number}-zz" for number in range(count)]


def state(client: FlaskClient, version: int) -> Copy:
    """Return a copy of everything as it was."""
    copy: Copy = {}
    follow(client, copy, f"/changes?since=0&as_of={version}&limit=1000")
    return copy


def proof(client: FlaskClient) -> str:
    """Return what a complete copy proves itself with."""
    found: str = read(client, "/digest")["data"]["root"]
    return found


# --- a race


class Poller:
    """Follows the whole history by its cursor, asking one application after the other, and keeps every page."""

    def __init__(self, apps: Sequence[Flask], limit: int, since: int) -> None:
        """Begin after a version."""
        self.clients = itertools.cycle([app.test_client() for app in apps])
        self.limit, self.asked = limit, f"since={since}"
        self.pages: list[list[Json]] = []

    @property
    def rows(self) -> list[Json]:
        """All that there was on the pages."""
        return [row for page in self.pages for row in page]

    def poll(self) -> int:
        """Read what is new, to its end; returns the version of the dataset there."""
        while True:
            page = read(next(self.clients), f"/changes?{self.asked}&history=true&limit={self.limit}")
            self.asked = f"cursor={page['cursor']}"
            if page["data"]:
                self.pages.append(page["data"])
            if page["links"]["next"] is None:
                head: int = page["head"]
                return head


class SequencePoller:
    """The control: follows a table whose numbers are a sequence's, by `id > last`."""

    def __init__(self, database: Database) -> None:
        """Begin with nothing."""
        self.database = database
        self.seen: list[int] = []

    def poll(self) -> None:
        """Read what is new."""
        asked = text("select id from control where id > :last order by id")
        with self.database.reading() as session:
            self.seen.extend(session.scalars(asked, {"last": self.seen[-1] if self.seen else 0}))


class Writer:
    """Changes cities of its own, and one that all the others change as well: by requests, and by SQL."""

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


def race(pair: Pair, commits: int, pause: float) -> None:
    """Let writers and pollers loose on both servers; each poller has everything in the end, the controls have not."""
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
        pollers = [Poller(asked, limit, first) for asked in apps for limit in LIMITS]
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
        assert poller.rows == after.rows
        assert_whole(poller.pages)
    for control in controls:
        assert there - set(control.seen), "the control missed nothing: this race proves nothing"


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
    """Run all at once; the pollers go on until the writers are done and ``end`` has returned, and then look once more."""
    over = threading.Event()
    start = threading.Barrier(len(writers) + len(pollers))

    def work(writer: Writer) -> None:
        start.wait()
        for _ in range(turns):
            writer.write()

    def look(poller: Poller | SequencePoller) -> None:
        start.wait()
        # Those who never paused would leave the writers no time.
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


def test_race(own_pair: Pair) -> None:
    """While 8 writers commit, pollers of both servers get every version once, in order, commits whole; `id > last` does not."""
    race(own_pair, 200, 0.1)


@pytest.mark.slow
@pytest.mark.campaign
def test_long_race(own_pair: Pair) -> None:
    """The same with 4,000 commits."""
    race(own_pair, 4_000, 0.02)


# --- a standby that lags

# What asks for a version that a standby has not got; `before` is one that it has.
AHEAD = (
    "/changes?cursor={cursor}",
    "/changes?since={version}",
    "/changes?since={version}&history=true",
    "/changes?since={before}&as_of={version}",
    "/changes/cities?cursor={cursor}",
    "/digest?at={version}",
    "/digest/buckets/cities/7?at={version}",
    "/snapshot?as_of={version}",
    "/cities/boston-ma?as_of={version}",
    "/cities/{id}?as_of={version}",
)


@contextmanager
def lag(pair: Pair, client: FlaskClient, id: str) -> Iterator[list[str]]:
    """Let the standby be a commit behind, a new city; yields what asks for it."""
    pair.standby.catch_up(pair.primary)
    pair.standby.pause()
    try:
        before = version_of(client)
        write(client, id)
        cursor = read(client, f"/changes?since={before}")["cursor"]
        yield [path.format(cursor=cursor, version=before + 1, before=before, id=id) for path in AHEAD]
    finally:
        pair.standby.resume()


def told(answer: TestResponse) -> tuple[int, str, list[Json], str | None]:
    """Return what a refusal says, and when to come back."""
    return *brief(answer), answer.headers.get("Retry-After")


def whole(client: FlaskClient, path: str) -> tuple[int, bytes, str | None]:
    """Return an answer: its status, its body and its tag."""
    answer = client.get(path)
    return answer.status_code, answer.get_data(), answer.headers.get("ETag")


def diverged(client: FlaskClient, path: str) -> tuple[int, str, str]:
    """Return what is said to who has seen what was lost."""
    status, name, _ = brief(answer := client.get(path))
    return status, name, answer.get_json()["restart"]


def test_standby_that_lags(pair: Pair) -> None:
    """What a standby has not got yet is a 503 that says when to come back, and never a 410; when it has it, it answers."""
    with application(pair.primary) as app, application(pair.standby) as follower:
        client, reader = pair.client(app), pair.client(follower)
        with lag(pair, client, "lagging-zz") as paths:
            for path in [*paths, f"{paths[0]}&wait=20"]:
                assert told(reader.get(path)) == LATER
            assert reader.get("/cities/lagging-zz").status_code == 404
        pair.standby.catch_up(pair.primary)
        found = {path: whole(reader, path) for path in paths}
        assert found == {path: whole(client, path) for path in paths}
        assert {status for status, _, _ in found.values()} == {200}


def test_standby_that_asks_its_primary(pair: Pair) -> None:
    """With `PRIMARY_URL`, what a standby has not got is answered as the primary does; what that never had is a 410."""
    with application(pair.primary) as app, application(pair.standby, asks=pair.primary.address) as follower:
        client, reader = pair.client(app), pair.client(follower)
        with lag(pair, client, "asking-zz") as paths:
            found = {path: whole(reader, path) for path in paths}
            assert found == {path: whole(client, path) for path in paths}
            assert {status for status, _, _ in found.values()} == {200}
            for path, (_, _, tag) in found.items():
                assert reader.get(path, headers={"If-None-Match": tag or ""}).status_code == 304
            # The rest is answered by the standby itself.
            assert reader.get("/cities/asking-zz").status_code == 404
            never = version_of(client) + 1
            for path in (f"/changes?since={never}", f"/digest?at={never}", f"/snapshot?as_of={never}"):
                assert diverged(reader, path) == DIVERGED


def test_standby_whose_primary_is_away(pair: Pair, tmp_path: Path) -> None:
    """When `PRIMARY_URL` can't be reached, what has not arrived is a 503, and what has is answered."""
    nowhere = f"postgresql://postgres@/postgres?host={tmp_path}"
    with application(pair.primary) as app, application(pair.standby, asks=nowhere) as follower:
        reader = follower.test_client()
        with lag(pair, pair.client(app), "alone-zz") as paths:
            for path in paths:
                assert told(reader.get(path)) == LATER
            assert reader.get("/changes?since=0").status_code == 200


def test_pages_of_both(pair: Pair) -> None:
    """Who loads a page from the primary gets the next from a standby when that has come as far, and never one of an older state."""
    with application(pair.primary) as app, application(pair.standby) as follower:
        client, reader = pair.client(app), pair.client(follower)
        write(client, "changed-zz", "deleted-zz", "same-zz")
        copy: Copy = {}
        with lag(pair, client, "late-zz"):
            client.patch("/cities/changed-zz", json={"summary": "Later."}, headers=ANY)
            client.delete("/cities/deleted-zz", headers=ANY)
            page = read(client, "/changes?since=0&limit=1")
            apply(copy, page)
            answer = reader.get(f"/changes?cursor={page['cursor']}&limit=1")
            assert (brief(answer)[:2], answer.headers["Retry-After"]) == ((503, "unavailable"), "5")
        pair.standby.catch_up(pair.primary)
        cursor = follow(reader, copy, f"/changes?cursor={page['cursor']}&limit=1")
        assert root(copy) == proof(reader)
        follow(client, copy, f"/changes?cursor={cursor}&limit=1")
        assert root(copy) == proof(client)


# --- writing to a standby

WRITES: tuple[tuple[str, str, Json | None], ...] = (
    ("POST", "/cities", city("written-zz")),
    ("POST", "/cities?dry_run=true", city("written-zz")),
    ("PUT", "/cities/written-zz", city("written-zz")),
    ("PATCH", "/cities/boston-ma", {"summary": "Written."}),
    ("DELETE", "/cities/boston-ma", None),
    ("POST", "/changesets", {"operations": [{"op": "create", "kind": "cities", "document": city("written-zz")}]}),
    ("POST", "/keys", {"name": "written", "scopes": ["write"]}),
    ("POST", "/keys/curator/rotate", None),
    ("DELETE", "/keys/curator", None),
    ("POST", "/webhooks", {"url": "https://example.org/written"}),
    ("POST", "/webhooks/{webhook}/resume", None),
    ("DELETE", "/webhooks/{webhook}", None),
)


@pytest.mark.parametrize("fresh", [False, True])
def test_writing_to_a_standby(pair: Pair, fresh: bool) -> None:  # noqa: FBT001 - pytest passes it
    """Every write to a standby is a 503 that says why, whether its connection was read from before; the primary takes it."""
    with application(pair.primary) as app, application(pair.standby) as follower:
        client, other = pair.client(app), pair.client(follower)
        with app.extensions["database"].writing() as session:
            webhook = subscriptions.subscribe(session, "https://example.org/hook").id
        pair.standby.catch_up(pair.primary)
        for method, path, body in WRITES:
            if fresh:
                refill(follower.extensions["database"])
            headers = {"If-Match": "*", "Idempotency-Key": path} if method in {"PATCH", "DELETE"} else {}
            answer = other.open(path.format(webhook=webhook), method=method, json=body, headers=headers)
            assert told(answer) == LATER
            assert answer.get_json()["detail"] != "The database cannot be reached."
        write(client, f"written-{fresh:d}-zz")


def refill(database: Database) -> None:
    """Leave only connections that nobody has used yet."""
    database.engine.dispose()
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(database.engine.connect())


def test_reading_from_a_standby_with_a_key(pair: Pair) -> None:
    """A key may read from a standby, over and over, although nobody can note there when it was used."""
    with application(pair.standby) as follower:
        reader = pair.client(follower)
        for path in ("/readyz", "/cities", "/cities/boston-ma", "/changes?since=0", "/keys", "/webhooks") * 2:
            assert reader.get(path).status_code == 200, path


# --- failover


class Mirror:
    """A copy that the published client keeps, in memory; remembers what it asked for, and which changes it was told of."""

    def __init__(self) -> None:
        """Begin with nothing."""
        spec = importlib.util.spec_from_file_location("digital_cities", ROOT / "clients" / "python" / "digital_cities.py")
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.client, self.plain, self.store = module, module.ask, module.SQLiteStore(":memory:")
        module.ask = self._ask
        self.asked: list[str] = []
        self.told: list[int] = []

    def _ask(self, url: str) -> Iterator[Json]:
        name = urlsplit(url).path.removeprefix("/")
        self.asked.append(name)
        for line in self.plain(url):
            if name == "changes":
                self.told.extend(row["version"] for row in line["data"])
            yield line

    def go_on(self, url: str) -> int:
        """Bring the copy up to date, with what it asks for and is told noted anew; returns its version."""
        self.asked.clear()
        self.told.clear()
        version: int = self.client.mirror(url, self.store)
        return version

    @property
    def root(self) -> str:
        """What the copy proves itself with."""
        found: str = self.client.root(self.store)
        return found


@contextmanager
def mirrors(count: int) -> Iterator[list[Mirror]]:
    """Make mirrors with nothing in them."""
    with ExitStack() as stack:
        found = [Mirror() for _ in range(count)]
        for mirror in found:
            stack.enter_context(closing(mirror.store.db))
        yield found


@contextmanager
def listening(app: Flask) -> Iterator[str]:
    """Serve an application over HTTP; yields its address."""
    server = ThreadedWSGIServer("127.0.0.1", 0, app)
    # The threads are waited for, so none of them needs the database when it is closed.
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def places(client: FlaskClient, version: int) -> list[str]:
    """Return what readers ask who know everything up to a version: with the integer, and with cursors."""
    asked = f"/changes?since={version}&as_of={version}"
    cursor, own = (read(client, asked + kinds)["cursor"] for kinds in ("", "&kinds=cities"))
    return [f"/changes?since={version}", f"/changes?cursor={cursor}", f"/changes?cursor={own}&kinds=cities"]


def pasts(version: int) -> list[str]:
    """Return what asks for a version itself."""
    return [f"/digest?at={version}", f"/snapshot?as_of={version}", f"/cities/boston-ma?as_of={version}"]


def test_failover_that_loses_commits(own_pair: Pair) -> None:
    """After 50 commits are lost, whoever has seen one is told to begin again, at once and for ever; all others go on.

    The control: for who only counts, 50 of 60 new changes are nothing new.
    """
    with (
        application(own_pair.primary) as app,
        application(own_pair.standby) as follower,
        listening(app) as old_url,
        listening(follower) as url,
        mirrors(3) as (kept, early, late),
    ):
        client, successor = own_pair.client(app), own_pair.client(follower)
        write(client, *ids("kept", 2))
        base = kept.go_on(old_url)
        fine = {version: places(client, version) for version in (base - 1, base)}
        own_pair.standby.catch_up(own_pair.primary)
        own_pair.standby.cut()
        write(client, *ids("lost", 50))
        assert [mirror.go_on(old_url) for mirror in (early, late)] == [base + 50] * 2
        lost = [path for lost in (1, 10, 50) for path in (*places(client, base + lost), *pasts(base + lost))]
        own_pair.primary.stop("immediate")
        own_pair.standby.promote()

        def check(new: Sequence[int]) -> None:
            assert {path: diverged(successor, path) for path in lost} == dict.fromkeys(lost, DIVERGED)
            for version, paths in fine.items():
                for path in paths:
                    assert versions(successor, path) == [*range(version + 1, base + 1), *new]

        check([])
        assert early.go_on(url) == base
        assert early.asked == ["changes", "snapshot", "changes", "digest"]
        write(successor, "new-zz")
        check([EPOCH + 1])
        write(successor, *ids("new", 59))
        new = list(range(EPOCH + 1, EPOCH + 61))
        check(new)
        assert {diverged(successor, f"/changes?since={base + lost}") for lost in range(1, 61)} == {DIVERGED}
        assert [mirror.go_on(url) for mirror in (kept, early, late)] == [EPOCH + 60] * 3
        for mirror in (kept, early):
            assert (mirror.asked, mirror.told) == (["changes", "digest"], new)
        assert (late.asked, late.told) == (["changes", "snapshot", "changes", "digest"], [])
        assert {mirror.root for mirror in (kept, early, late)} == {proof(successor)}
        with follower.extensions["database"].reading() as session:
            assert list(verify(session)) == []
            counted = "(select row_number() over (order by version) as n from revision) as counted"
            assert session.scalar(text(f"select count(*) from {counted} where n > {base + 50}")) == 10


def test_control_without_an_epoch(spare: Pair) -> None:
    """Were no epoch begun, an integer of what was lost would be taken for one of what came instead; a cursor is not."""
    with application(spare.primary) as app, application(spare.standby) as follower:
        client, successor = spare.client(app), spare.client(follower)
        base = version_of(client)
        spare.standby.cut()
        write(client, *ids("forgotten", 5))
        (integer, *cursors), lost = places(client, base + 5), proof(client)
        spare.standby.promote()
        with follower.extensions["database"].writing() as session:
            session.execute(update(Head).values(origin=select(publish.ORIGIN).scalar_subquery()))
        write(successor, *ids("unheard", 6))
        assert versions(successor, integer) == [base + 6]
        assert read(successor, f"/digest?at={base + 5}")["data"]["root"] != lost
        assert {diverged(successor, path) for path in cursors} == {DIVERGED}


def test_failover_in_the_middle_of_a_load(spare: Pair) -> None:
    """Who was in the middle of a load, or on the way to a version, that was lost is told so, and has a whole copy afterwards."""
    with application(spare.primary) as app, application(spare.standby) as follower:
        client, successor = spare.client(app), spare.client(follower)
        write(client, *ids("loaded", 4))
        base = version_of(client)
        spare.standby.catch_up(spare.primary)
        spare.standby.cut()
        client.patch("/cities/loaded-0-zz", json={"summary": "Lost."}, headers=ANY)
        client.delete("/cities/loaded-1-zz", headers=ANY)
        # Neither page has anything that was lost; but of what was to change again nothing was sent.
        cursors = []
        for since in (0, base - 4):
            page = read(client, f"/changes?since={since}&limit=1")
            assert page["links"]["next"]
            cursors.append(page["cursor"])
        spare.standby.promote()
        for turn in range(2):
            assert {diverged(successor, f"/changes?cursor={cursor}&limit=1") for cursor in cursors} == {DIVERGED}
            copy: Copy = {}
            follow(successor, copy, "/changes?since=0&limit=1")
            assert root(copy) == proof(successor)
            successor.delete(f"/cities/loaded-{turn + 2}-zz", headers=ANY)


def test_answers_of_a_lost_primary(spare: Pair) -> None:
    """What a standby's application got from its primary, and that was lost with it, is not answered again from a cache."""
    with (
        application(spare.primary) as app,
        application(spare.standby, asks=spare.primary.address, cache_mb=64, cache_lag=0) as follower,
    ):
        reader = follower.test_client()
        base = version_of(reader)
        spare.standby.cut()
        write(spare.client(app), "vanished-zz")
        paths = [*places(app.test_client(), base + 1), *pasts(base + 1)]
        assert {reader.get(path).status_code for path in paths} == {200}
        spare.standby.promote()
        assert {path: diverged(reader, path) for path in paths} == dict.fromkeys(paths, DIVERGED)


def test_switchover(own_pair: Pair) -> None:
    """When nothing was lost nobody is told so: each cursor, integer and digest holds, and nobody reads anything twice.

    The next commit begins a new epoch, and the feed goes on over it. The old primary then follows, and says the same.
    """
    with (
        application(own_pair.primary) as app,
        application(own_pair.standby) as follower,
        listening(app) as old_url,
        listening(follower) as url,
        mirrors(2) as (half, done),
    ):
        client, successor = own_pair.client(app), own_pair.client(follower)
        base = half.go_on(old_url)
        write(client, *ids("old", 20))
        last = done.go_on(old_url)
        fine = {version: places(client, version) for version in (base, base + 7, last)}
        proofs = {path: whole(client, path) for version in fine for path in pasts(version)}
        own_pair.primary.stop("fast")
        own_pair.standby.promote()

        def check(reader: FlaskClient, new: Sequence[int]) -> None:
            assert {path: whole(reader, path) for path in proofs} == proofs
            for version, paths in fine.items():
                for path in paths:
                    assert versions(reader, path) == [*range(version + 1, last + 1), *new]

        check(successor, [])
        assert (done.go_on(url), done.asked, done.told) == (last, ["changes", "digest"], [])
        write(successor, *ids("new", 5))
        new = list(range(EPOCH + 1, EPOCH + 6))
        check(successor, new)
        for mirror, unknown in ((half, [*range(base + 1, last + 1), *new]), (done, new)):
            assert (mirror.go_on(url), mirror.asked, mirror.told) == (EPOCH + 5, ["changes", "digest"], unknown)
            assert mirror.root == proof(successor)
        with follower.extensions["database"].reading() as session:
            assert list(verify(session)) == []
            assert session.scalars(select(Head.epoch)).one() == 1
        own_pair.primary.follow(own_pair.standby)
        own_pair.primary.catch_up(own_pair.standby)
        check(client, new)
