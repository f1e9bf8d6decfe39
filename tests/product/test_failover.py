"""Failovers that lose commits, or none: no reader takes one past for another."""

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from werkzeug.serving import ThreadedWSGIServer

from api.ledger import epochs
from api.ledger.models import EPOCH, Head
from api.ledger.verify import verify
from api.settings import ROOT
from tests.support.answers import ANY, Json, read
from tests.support.copies import Copy, follow, root, write
from tests.support.replication import DIVERGED, Pair, application, diverged, ids, proof, version_of, versions, whole


class Mirror:
    """An in-memory copy kept by the published client; records the client's requests and the versions it receives."""

    def __init__(self) -> None:
        """Begin with nothing."""
        spec = importlib.util.spec_from_file_location("digital_cities", ROOT / "clients" / "python" / "digital_cities.py")
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.client, self.plain, self.store = module, module.ask, module.SQLiteStore(":memory:")
        module.ask = self._ask
        self.requests: list[str] = []
        self.changes: list[int] = []

    def _ask(self, url: str) -> Iterator[Json]:
        name = urlsplit(url).path.removeprefix("/")
        self.requests.append(name)
        for line in self.plain(url):
            if name == "changes":
                self.changes.extend(row["version"] for row in line["data"])
            yield line

    def go_on(self, url: str) -> int:
        """Clear the records, bring the copy up to date, and return its version."""
        self.requests.clear()
        self.changes.clear()
        version: int = self.client.mirror(url, self.store)
        return version

    @property
    def root(self) -> str:
        """The copy's root hash."""
        root: str = self.client.root(self.store)
        return root


@contextmanager
def mirrors(count: int) -> Iterator[list[Mirror]]:
    """Make mirrors with nothing in them."""
    with ExitStack() as stack:
        copies = [Mirror() for _ in range(count)]
        for mirror in copies:
            stack.enter_context(closing(mirror.store.db))
        yield copies


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
    """Return the requests of readers at a version: with the integer, and with two cursors."""
    path = f"/changes?since={version}&as_of={version}"
    cursor, of_cities = (read(client, path + kinds)["cursor"] for kinds in ("", "&kinds=cities"))
    return [f"/changes?since={version}", f"/changes?cursor={cursor}", f"/changes?cursor={of_cities}&kinds=cities"]


def pasts(version: int) -> list[str]:
    """Return requests that name a version."""
    return [f"/digest?at={version}", f"/snapshot?as_of={version}", f"/cities/boston-ma?as_of={version}"]


@pytest.mark.slow
def test_failover_that_loses_commits(own_pair: Pair) -> None:
    """After 50 commits are lost, readers who saw one must begin again, always; all others go on.

    The control: a reader that only compares integers misses 50 of 60 new changes.
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
        lost.append(f"/cities/boston-ma?min_version={base + 50}")
        own_pair.primary.stop("immediate")
        own_pair.standby.promote()

        def check(new: Sequence[int]) -> None:
            assert {path: diverged(successor, path) for path in lost} == dict.fromkeys(lost, DIVERGED)
            for version, paths in fine.items():
                for path in paths:
                    assert versions(successor, path) == [*range(version + 1, base + 1), *new]

        check([])
        assert early.go_on(url) == base
        assert early.requests == ["changes", "snapshot", "changes", "digest"]
        write(successor, "new-zz")
        check([EPOCH + 1])
        write(successor, *ids("new", 59))
        new = list(range(EPOCH + 1, EPOCH + 61))
        check(new)
        assert {diverged(successor, f"/changes?since={base + lost}") for lost in range(1, 61)} == {DIVERGED}
        assert [mirror.go_on(url) for mirror in (kept, early, late)] == [EPOCH + 60] * 3
        for mirror in (kept, early):
            assert (mirror.requests, mirror.changes) == (["changes", "digest"], new)
        assert (late.requests, late.changes) == (["changes", "snapshot", "changes", "digest"], [])
        assert {mirror.root for mirror in (kept, early, late)} == {proof(successor)}
        with follower.extensions["database"].reading() as session:
            assert list(verify(session)) == []
            counted = "(select row_number() over (order by version) as n from revision) as counted"
            assert session.scalar(text(f"select count(*) from {counted} where n > {base + 50}")) == 10


@pytest.mark.slow
def test_control_without_an_epoch(spare: Pair) -> None:
    """The control: without a new epoch, an integer of a lost version means another one; a cursor does not."""
    with application(spare.primary) as app, application(spare.standby) as follower:
        client, successor = spare.client(app), spare.client(follower)
        base = version_of(client)
        spare.standby.cut()
        write(client, *ids("forgotten", 5))
        (integer, *cursors), lost = places(client, base + 5), proof(client)
        spare.standby.promote()
        with follower.extensions["database"].writing() as session:
            session.execute(update(Head).values(origin=select(epochs.ORIGIN).scalar_subquery()))
        write(successor, *ids("unheard", 6))
        assert versions(successor, integer) == [base + 6]
        assert read(successor, f"/digest?at={base + 5}")["data"]["root"] != lost
        assert {diverged(successor, path) for path in cursors} == {DIVERGED}


@pytest.mark.slow
def test_failover_in_the_middle_of_a_load(spare: Pair) -> None:
    """A reader whose load or target version was lost is told to begin again, and ends with a whole copy."""
    with application(spare.primary) as app, application(spare.standby) as follower:
        client, successor = spare.client(app), spare.client(follower)
        write(client, *ids("loaded", 4))
        base = version_of(client)
        spare.standby.catch_up(spare.primary)
        spare.standby.cut()
        client.patch("/cities/loaded-0-zz", json={"summary": "Lost."}, headers=ANY)
        client.delete("/cities/loaded-1-zz", headers=ANY)
        # Neither page has a lost change, but the record that was to change again was not sent.
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


@pytest.mark.slow
def test_answers_of_a_lost_primary(spare: Pair) -> None:
    """An answer that came from the lost primary is not served from a standby's cache."""
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


@pytest.mark.slow
def test_switchover(own_pair: Pair) -> None:
    """After a switchover without loss, every cursor, integer and digest holds, and readers get nothing twice.

    The next commit begins a new epoch, and the feed continues across it. The old primary follows and answers the same.
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
        assert (done.go_on(url), done.requests, done.changes) == (last, ["changes", "digest"], [])
        write(successor, *ids("new", 5))
        new = list(range(EPOCH + 1, EPOCH + 6))
        check(successor, new)
        for mirror, unknown in ((half, [*range(base + 1, last + 1), *new]), (done, new)):
            assert (mirror.go_on(url), mirror.requests, mirror.changes) == (EPOCH + 5, ["changes", "digest"], unknown)
            assert mirror.root == proof(successor)
        with follower.extensions["database"].reading() as session:
            assert list(verify(session)) == []
            assert session.scalars(select(Head.epoch)).one() == 1
        own_pair.primary.follow(own_pair.standby)
        own_pair.primary.catch_up(own_pair.standby)
        check(client, new)
