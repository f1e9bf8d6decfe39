"""Places for slow requests: their distribution, and the refusals."""

import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from api.db.database import Database
from api.settings import Settings
from api.web.places import CHANGES, HELD, STREAMS, VERSION, Places, client_of, on_gateway, on_threads
from tests.support.answers import brief
from tests.support.applications import NO_DATABASE, serving
from tests.support.databases import head
from tests.support.editions import SEEDED

NUMBERS = itertools.count(100)
POLL = "/changes?since={0}&wait=20"
ABSENT = "/cities?min_version={0}"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("", "", True),
    ],
)
def test_clients(one: str, other: str, *, is_same: bool) -> None:
    """An IPv4 address is a client, and so is a /64 network of IPv6."""
    assert (client_of(one) == client_of(other)) is is_same


@pytest.mark.parametrize("total", range(6))
def test_one_client_gets_half(total: int) -> None:
    """One client gets half of the places, rounded up, and another the rest; the control: several clients get all."""
    places = Places(total)
    taken = sum(places.take("192.0.2.1") for _ in range(10))
    assert taken == (total + 1) // 2
    assert sum(places.take("192.0.2.2") for _ in range(10)) == total - taken
    assert not places.take("192.0.2.3")
    if taken:
        places.release("192.0.2.1")
        assert places.take("192.0.2.3")


@pytest.mark.parametrize(("threads", "streams", "waiters"), [(1, 1, 0), (2, 1, 1), (4, 3, 3)])
def test_slow_requests_leave_a_thread(threads: int, streams: int, waiters: int) -> None:
    """On a server that gives each request a thread, streams and waiting requests share places, and leave one thread of two."""
    places = on_threads(replace(NO_DATABASE, threads=threads))
    assert (places[STREAMS].total, places[CHANGES].total, places[VERSION].total) == (streams, waiters, waiters)
    while places[STREAMS].take(f"192.0.2.{next(NUMBERS)}"):
        pass
    assert not places[CHANGES].take("192.0.2.1")
    assert on_threads(replace(NO_DATABASE, threads=threads, waiters=0))[CHANGES].total == 0


@pytest.mark.parametrize("kind", [STREAMS, CHANGES, VERSION])
def test_kinds_of_places_are_separate(kind: str) -> None:
    """On a server with threads for each kind, no kind of slow request takes the places of another."""
    places = on_gateway(NO_DATABASE)
    while places[kind].take(f"192.0.2.{next(NUMBERS)}"):
        pass
    assert {name for name, row in places.items() if row.take("192.0.2.1")} == {STREAMS, CHANGES, VERSION} - {kind}


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def test_without_a_place(settings: Settings) -> None:
    """With no place left, a poll is a 200 with nothing new at once, and a version that is not there a 503 at once."""
    with serving(replace(settings, threads=2)) as app:
        client, version = app.test_client(), SEEDED
        assert app.extensions["waiters"].take("192.0.2.1")
        poll = client.get(POLL.format(version))
        assert (poll.status_code, poll.get_json()["data"], poll.get_json()["head"]) == (200, [], version)
        took = seconds(lambda: client.get(POLL.format(version)))
        assert took < 5
        absent = client.get(ABSENT.format(version + 1))
        assert brief(absent) == (503, "unavailable", [])
        # The control: requests that need no place are answered as always, and a freed place is taken again.
        assert client.get(ABSENT.format(version)).status_code == 200
        app.extensions["waiters"].release("192.0.2.1")
        assert seconds(lambda: client.get(ABSENT.format(version + 1))) > 0.9


@pytest.mark.parametrize(("held", "may_wait"), [("waiters", True), ("version_waiters", True), ("", False)])
def test_a_place_that_the_server_took(settings: Settings, database: Database, held: str, *, may_wait: bool) -> None:
    """A server's place counts; one for changes is also one for a version, so that a request needs only one."""
    version = head(database)
    environ = {HELD: held}
    with serving(settings) as app:
        client = app.test_client()
        took = seconds(lambda: client.get(ABSENT.format(version + 1), environ_overrides=environ))
        assert (took > 0.9) is may_wait
        places = app.extensions["waiters"]
        assert all(places.take(f"192.0.2.{number}") for number in range(places.total))
        poll = f"{POLL.format(version - 1)}&min_version={version}"
        assert client.get(poll, environ_overrides=environ).status_code == 200


def test_one_place_for_both(settings: Settings, database: Database) -> None:
    """A poll that waits for a version first needs one place, and has given it back afterwards."""
    version = head(database)
    with serving(replace(settings, threads=2)) as app:
        client = app.test_client()
        assert seconds(lambda: client.get(f"{POLL.format(version)}&min_version={version + 1}")) > 0.9
        assert app.extensions["waiters"].take("192.0.2.1")
