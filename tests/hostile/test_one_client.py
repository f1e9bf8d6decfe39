"""One client cannot block others, whatever it holds; without the gateway it can."""

import json
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from api.db.database import Database
from api.settings import Settings
from tests.support.attacks import (
    ATTACKER,
    DECLARED,
    GUEST,
    answers,
    head,
    is_closed,
    opened,
    server,
    status,
    statuses,
    suffered,
    waiting,
)
from tests.support.databases import ON_SQLITE, publishing
from tests.support.editions import SEEDED
from tests.support.lengths import late

CHUNKED = head("POST /cities/search", "Content-Type: application/json", "Transfer-Encoding: chunked")
SNAPSHOT = head("GET /snapshot")
# Costly searches that one client sends at once.
SEARCHES = 60
# The end of a chunked answer that is complete.
LAST_CHUNK = b"\r\n0\r\n\r\n"
# Characters of a header that granian still takes.
LONG = 60_000
POLL = head(f"GET /changes?since={SEEDED}&wait=30")
# The gateway keeps these from the database, so one is enough.
BEFORE_SQL = ON_SQLITE
SOURCES = pytest.mark.parametrize("source", [late(ATTACKER), GUEST])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes the attackers' connections."""
    with ExitStack() as stack:
        yield stack


@BEFORE_SQL
@SOURCES
def test_half_sent_bodies(settings: Settings, stack: ExitStack, source: str) -> None:
    """Unfinished bodies are a 408 and a closed connection; meanwhile health and lists are answered."""
    with server(settings, BODY_TIMEOUT=3) as port:

        def attack() -> None:
            declared = opened(stack, port, 8, DECLARED + b"{", source)
            chunked = opened(stack, port, 8, CHUNKED + b"1\r\n{\r\n", source)
            assert statuses([*declared, *chunked], 20) == {408}
            assert all(is_closed(connection, 5) for connection in (*declared, *chunked))

        guest = suffered(port, f"A1 from {source}", attack)
    assert guest.failed == []


@pytest.mark.slow
@BEFORE_SQL
def test_half_sent_bodies_without_the_gateway(settings: Settings, stack: ExitStack) -> None:
    """The control: on granian's own interface for WSGI, the same connections block every client."""
    with server(settings, gateway=False) as port:
        opened(stack, port, 8, DECLARED + b"{")
        guest = suffered(port, "A1 without the gateway", lambda: time.sleep(1))
    assert guest.failed


@BEFORE_SQL
def test_bodies_of_one_client(settings: Settings, stack: ExitStack) -> None:
    """One client may send half of a process's bodies; its next is a 503, and another client's is received."""
    with server(settings, BODIES=4, BODY_TIMEOUT=30) as port:
        opened(stack, port, 2, DECLARED + b"{")
        (refused,) = opened(stack, port, 1, DECLARED + b"{")
        (guest,) = opened(stack, port, 1, DECLARED.replace(b"1000", b"2") + b"{}", GUEST)
        assert (status(refused, 10), status(guest, 10)) == (503, 422)


@BEFORE_SQL
def test_bodies_that_are_not_carried_out(settings: Settings, stack: ExitStack) -> None:
    """A chunked body is refused as soon as it is too large, and an interrupted one is a 400; neither is cut and processed."""
    with server(settings) as port:
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        (large,) = opened(stack, port, 1, CHUNKED)
        large.sendall(piece * 16)
        assert (status(large, 10), is_closed(large, 5)) == (413, True)
        (declared,) = opened(stack, port, 1, DECLARED.replace(b"1000", b"1000001"))
        assert status(declared, 10) == 413
        cut = opened(stack, port, 1, CHUNKED + b"2\r\n{}\r\n") + opened(stack, port, 1, DECLARED + b"{}")
        for connection in cut:
            time.sleep(0.2)
            connection.shutdown(socket.SHUT_WR)
        assert statuses(cut, 10) == {400}
        (whole,) = opened(stack, port, 1, CHUNKED + b"2\r\n{}\r\n0\r\n\r\n")
        assert status(whole, 10) == 422


@BEFORE_SQL
@pytest.mark.parametrize(
    ("line", "expected"), [("POST /cities/search", 413), late("GET /nothing", 404), late("DELETE /cities", 413)]
)
def test_a_body_that_is_not_wanted(settings: Settings, stack: ExitStack, line: str, expected: int) -> None:
    """A client that sends all of a large body before it reads can do so; the control: a body of a hundred megabytes."""
    with server(settings) as port:
        framings = {"Content-Length: 3000000": b"%s", "Transfer-Encoding: chunked": b"2dc6c0\r\n%s\r\n0\r\n\r\n"}
        for framing, form in framings.items():
            (connection,) = opened(stack, port, 1, head(line, "Content-Type: application/json", framing))
            # An answer would come now if the server did not wait for the body.
            select.select([connection], [], [], 0.3)
            connection.sendall(form % (b" " * 3_000_000))
            assert (framing, status(connection, 10)) == (framing, expected)
        (endless,) = opened(stack, port, 1, head(line, "Content-Type: application/json", "Content-Length: 100000000"))
        with pytest.raises(OSError):  # noqa: PT011 - a reset or a broken pipe
            endless.sendall(b" " * 100_000_000)


@BEFORE_SQL
def test_long_headers(settings: Settings, stack: ExitStack) -> None:
    """A header as long as the server takes it, which the event loop reads, keeps nobody waiting."""
    with server(settings) as port:

        def attack(name: str) -> None:
            blank, repeated = f"{name}: x{' ' * LONG}x", f"{name}: {'a,' * (LONG // 2)}"
            for header in (blank, repeated):
                assert statuses(opened(stack, port, 2, head("GET /cities", header)), 5) <= {200, 406}

        names = ("Accept", "Accept-Encoding", "If-None-Match")
        guests = [suffered(port, f"{name} of {LONG} characters", partial(attack, name)) for name in names]
    assert [guest.failed for guest in guests] == [[], [], []]


@BEFORE_SQL
@SOURCES
def test_silent_connections(settings: Settings, stack: ExitStack, source: str) -> None:
    """Silent connections are closed, at once if above one client's share; meanwhile others get in."""
    with server(settings, CONNECTIONS=200, KEEPALIVE_TIMEOUT=3) as port:

        def attack() -> None:
            connections = opened(stack, port, 250, source=source)
            assert all(is_closed(connection, 20) for connection in connections)

        guest = suffered(port, f"A2 from {source}", attack)
    assert guest.failed == []


@pytest.mark.slow
@BEFORE_SQL
def test_silent_connections_without_the_gateway(settings: Settings, stack: ExitStack) -> None:
    """The control: granian admits as many connections as its backlog, and closes no silent one."""
    with server(settings, gateway=False) as port:
        connections = opened(stack, port, 1100)
        guest = suffered(port, "A2 without the gateway", lambda: time.sleep(1))
        assert not is_closed(connections[0], 1)
    assert guest.failed


@pytest.mark.slow
@BEFORE_SQL
def test_connections_in_use_are_kept(settings: Settings, stack: ExitStack) -> None:
    """A connection with a request in flight is not idle, however long it waits; after its answer it is."""
    with server(settings, KEEPALIVE_TIMEOUT=1) as port:
        (poll,) = opened(stack, port, 1, head(f"GET /changes?since={SEEDED}&wait=3"))
        assert (status(poll, 10), is_closed(poll, 10)) == (200, True)


@BEFORE_SQL
@pytest.mark.parametrize(("threads", "waiters"), [late(1, 1), (4, 64)])
def test_polls(settings: Settings, stack: ExitStack, threads: int, waiters: int) -> None:
    """Polls wait in separate places; a poll without a place is answered at once, without changes."""
    with server(settings, THREADS=threads, WAITERS=waiters) as port:

        def attack() -> None:
            polls = opened(stack, port, 70, POLL)
            waiting_polls = waiting(polls, 3)
            answered = Counter(status(poll, 1) for poll in polls if poll not in waiting_polls)
            assert answered == {200: 70 - (waiters + 1) // 2}
            # Readers of a version have separate places.
            versions = opened(stack, port, 2, head(f"GET /cities?min_version={SEEDED + 1}"), GUEST)
            assert len(waiting(versions, 0.5)) == 2
            assert statuses(versions, 10) == {503}
            (news,) = opened(stack, port, 1, head(f"GET /changes?since={SEEDED - 1}&wait=20&min_version={SEEDED}"), GUEST)
            assert status(news, 10) == 200

        guest = suffered(port, f"A6 with {waiters} waiters", attack)
    assert guest.failed == []


@pytest.mark.slow
def test_polls_without_the_gateway(settings: Settings, stack: ExitStack) -> None:
    """The control: on the threads that answer requests, and without a share for one client, polls block every client."""
    with server(settings, gateway=False, THREADS=64) as port:
        opened(stack, port, 8, POLL)
        guest = suffered(port, "A6 without the gateway", lambda: time.sleep(1))
    assert guest.failed


@pytest.mark.slow
def test_slow_readers_without_the_gateway(settings: Settings, database: Database, stack: ExitStack) -> None:
    """The control: on the threads that answer requests, and without a share for one client, unread streams block every client."""
    fill(database)
    with server(settings, gateway=False, THREADS=64) as port:
        opened(stack, port, 8, SNAPSHOT)
        guest = suffered(port, "A4 without the gateway", lambda: time.sleep(1))
    assert guest.failed


@pytest.mark.slow
def test_slow_readers(settings: Settings, database: Database, stack: ExitStack) -> None:
    """Unread streams are cut off, which frees places; meanwhile other clients are answered."""
    fill(database)
    with server(settings, STREAMS=4, SEND_TIMEOUT=5) as port:

        def attack() -> None:
            streams = opened(stack, port, 8, SNAPSHOT)
            # One client gets half of the places and is refused more; another client gets the rest.
            assert sorted(status(stream, 10) for stream in streams) == [200, 200, *[503] * 6]
            assert answers(port, "/surveys.csv")
            # Not the same, which is in the cache now.
            assert not answers(port, "/surveys.ndjson", ATTACKER)
            time.sleep(8)
            assert answers(port, "/surveys.ndjson", ATTACKER)
            assert not any(rest(stream).endswith(LAST_CHUNK) for stream in streams[:2])

        guest = suffered(port, "A4", attack)
        # The control: a client that reads gets everything, with the mark of its end.
        (reader,) = opened(stack, port, 1, SNAPSHOT)
        assert rest(reader).endswith(LAST_CHUNK)
    assert guest.failed == []


def fill(database: Database) -> None:
    """Publish cities whose snapshot has 8 MB, more than the kernel keeps for a client that does not read."""
    rows = [{"id": f"zz-{number}", "text": f"{number} " + "word " * 400} for number in range(4_000)]
    with publishing(database) as session:
        session.execute(
            text("insert into cities (id, name, state, country, summary) values (:id, :id, 'ZZ', 'ZZ', :text)"), rows
        )


def rest(connection: socket.socket) -> bytes:
    """Return the last bytes on a connection until it is closed or silent for a while."""
    connection.settimeout(2)
    end = b""
    try:
        while piece := connection.recv(65536):
            end = (end + piece)[-100:]
    except (TimeoutError, ConnectionResetError):
        pass
    return end


@pytest.mark.slow
def test_costly_searches(settings: Settings, database: Database, stack: ExitStack) -> None:
    """The costliest searches of one client, repeated, delay no other client; costlier ones are refused without a query."""
    fill(database)
    with server(settings) as port:

        def attack() -> None:
            refused = opened(stack, port, 8, search(49))
            assert statuses(refused, 2) == {400}
            assert statuses(opened(stack, port, SEARCHES, search(10)), 60) <= {200, 503}

        guest = suffered(port, "A3", attack)
    assert guest.failed == []


@pytest.mark.slow
def test_costly_searches_without_the_gateway(settings: Settings, database: Database, stack: ExitStack) -> None:
    """The control: if the requests of all clients share one queue, the same searches keep every other client waiting."""
    fill(database)
    with server(settings, gateway=False, STATEMENT_TIMEOUT=0) as port:
        opened(stack, port, SEARCHES, search(10))
        guest = suffered(port, "A3 without the gateway", lambda: time.sleep(1))
    assert guest.failed


def search(count: int) -> bytes:
    """Return a search that looks for texts in every city, for the total, the page and each facet."""
    body = json.dumps({"not": {"or": [{"summary__contains": f"q1z{number}"} for number in range(count)]}}).encode()
    path = "/cities/search?count=exact&facets=state,country"
    return head(f"POST {path}", "Content-Type: application/json", f"Content-Length: {len(body)}") + body


@pytest.mark.slow
@ON_SQLITE
@pytest.mark.parametrize(("megabytes", "is_bounded"), [(5, True), (1000, False)])
def test_the_log_under_slow_readers(settings: Settings, database: Database, megabytes: int, *, is_bounded: bool) -> None:
    """Slow readers, one after the other, cannot make SQLite's log grow far above its limit; the control: a high limit."""
    fill(database)
    database.wal.empty()
    log, sizes, stopped = Path(f"{settings.sqlalchemy_url.database}-wal"), [], threading.Event()
    with server(settings, WAL_MB=megabytes, SEND_TIMEOUT=5) as port:
        reader = threading.Thread(target=read_slowly, args=(port, stopped))
        reader.start()
        try:
            for number in range(80):
                rows = [{"id": f"zz-{n}", "text": f"{number} " + "news " * 400} for n in range(50)]
                with publishing(database) as session:
                    session.execute(text("update cities set summary = :text where id = :id"), rows)
                sizes.append(log.stat().st_size)
        finally:
            stopped.set()
            reader.join()
    print(f"WAL with a limit of {megabytes} MB: {max(sizes) / 1e6:.1f} MB")  # noqa: T201
    assert (max(sizes) < 20_000_000) == is_bounded


def read_slowly(port: int, stopped: threading.Event) -> None:
    """Read snapshots, each a little at a time and from its beginning when it ends, until told to stop."""
    while not stopped.is_set():
        with ExitStack() as stack:
            (stream,) = opened(stack, port, 1, SNAPSHOT)
            try:
                while stream.recv(4096) and not stopped.wait(0.01):
                    pass
            except (TimeoutError, ConnectionResetError):
                pass
