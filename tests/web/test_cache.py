"""The cache of answers: equal to computed answers, never older than promised, limited in size, and computed once."""

import json
import random
import re
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings as limits
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import event, text
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from api.db.database import Database
from api.db.engines import autocommit
from api.ledger import publish, retention
from api.settings import Settings
from api.web import keys
from api.web.cache import Answers, Cache
from api.web.negotiation import CODINGS
from tests.support.answers import brief
from tests.support.applications import curating, serving
from tests.support.databases import ON_SQLITE, Store, counted, head, opened, publishing, template
from tests.support.editions import SEEDED
from tests.support.lengths import Sample, examples, late
from tests.support.processes import Server

Json = dict[str, Any]
ANY = {"If-Match": "*"}
# Headers that differ between any two answers, cached or not.
VOLATILE = {"X-Request-Id", "Server-Timing", "Age"}
PATHS = (
    "/cities",
    "/cities?state=CA&fields=id,name",
    "/cities?sort=-name&limit=2",
    "/cities/boston-ma",
    "/cities/boston-ma?include=awards",
    "/initiatives?priority=cybersecurity&include=city&facets=city&limit=3",
    "/search?q=boston",
    "/suggest?q=bos",
    f"/changes?since={SEEDED}",
    "/digest",
    "/cities/boston-ma/history",
    "/cities?stat=CA",
    "/cities/nowhere",
)


@pytest.fixture
def kept(settings: Settings) -> Iterator[Flask]:
    """An application with a cache, on this test's own database; it serves no cached answer while the database is away."""
    with serving(replace(settings, cache_mb=4, write_limit="1000000/minute", stale_if_error=0)) as app:
        yield app


@pytest.fixture
def cached(kept: Flask) -> FlaskClient:
    """A client of that application."""
    assert isinstance(kept.wsgi_app, Cache)
    return kept.test_client()


@pytest.fixture
def routing_kept(sqlite_store: Store) -> Iterator[tuple[FlaskClient, FlaskClient]]:
    """Two clients on one database, the first with a cache; for tests in which the request's headers decide."""
    settings = sqlite_store.copy(template(sqlite_store))
    with serving(replace(settings, cache_mb=4)) as kept, serving(settings) as plain:
        yield kept.test_client(), plain.test_client()


def timing(answer: TestResponse) -> str:
    """Return the source of an answer, as `Server-Timing` names it."""
    return answer.headers.get("Server-Timing", "").partition(";desc=")[2].partition(",")[0]


def whole(answer: TestResponse) -> tuple[int, Json, bytes]:
    """Return everything of an answer that must not depend on the cache."""
    headers = {name: value for name, value in answer.headers.items() if name not in VOLATILE}
    body = re.sub(rb'"request_id":"[^"]*"|Request [0-9a-f]{32}', b"", answer.get_data())
    return answer.status_code, headers, body


def test_hit(cached: FlaskClient) -> None:
    """The second of two equal requests gets the first one's answer without a query, and `Server-Timing` says so."""
    first, second = cached.get("/cities?limit=2"), cached.get("/cities?limit=2", headers={"X-Request-Id": "mine"})
    assert whole(second) == whole(first)
    assert (timing(first), timing(second)) == ("miss", "hit")
    assert "Age" not in first.headers
    assert 0 <= int(second.headers["Age"]) < 60
    assert second.headers["X-Request-Id"] == "mine"
    assert cached.get("/cities?limit=2", headers={"X-Request-Id": "not this!"}).headers["X-Request-Id"] != "not this!"


def test_age(cached: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Age` counts the seconds since an answer was computed."""
    cached.get("/cities")
    later = time.monotonic() + 7
    monkeypatch.setattr("api.web.cache.time.monotonic", lambda: later)
    answer = cached.get("/cities")
    assert timing(answer) == "hit"
    assert 7 <= int(answer.headers["Age"]) < 60


VARIANTS: list[tuple[str, Json]] = [
    (method, headers)
    for method in ("GET", "HEAD")
    for headers in (
        {},
        *({"Accept-Encoding": coding} for coding in (*CODINGS, "identity", "gzip;q=0", "br, gzip", "*")),
        *({"Accept": form} for form in ("application/json", "text/csv", "application/x-ndjson", "text/html", "image/png")),
        {"Origin": "https://example.org"},
        {"Host": "other.example.org"},
        *(
            {"If-None-Match": written, **accepts}
            for written in ("{}", "W/{}", '"x", {}', "{gzip}", "{gzip}, {}", "{apache}", "{apache-gzip}")
            for accepts in ({}, {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity"})
        ),
        {"If-Match": "{}"},
        {"If-Match": '"x"'},
        {"If-None-Match": "*"},
        {"If-None-Match": ""},
        {"Authorization": "Bearer nobody"},
    )
]


@pytest.mark.parametrize(
    "path",
    ["/cities", late("/cities?fields=id"), "/cities/boston-ma", "/cities.csv", late("/search?q=san"), "/docs", "/changes"],
)
def test_every_variant(routing_kept: tuple[FlaskClient, FlaskClient], sample: Sample, path: str) -> None:
    """For every method, `Accept`, coding and condition, a cached answer equals that of an application without a cache."""
    kept, plain = routing_kept
    tag = plain.get(path, buffered=True).headers["ETag"]
    tags = {"": tag, "gzip": f'{tag[:-1]}:gzip"', "apache": f'{tag[:-1]}-gzip"', "apache-gzip": f'{tag[:-1]}:gzip-gzip"'}
    orders = [random.Random(seed).sample(VARIANTS, len(VARIANTS)) for seed in sample((1, 2), 1)]  # noqa: S311 - nothing is secret
    for method, written in (row for order in orders for row in order):
        headers = {name: re.sub(r"\{([a-z-]*)\}", lambda name: tags[name[1]], text) for name, text in written.items()}
        expected = whole(plain.open(path, method=method, headers=headers, buffered=True))
        answer = whole(kept.open(path, method=method, headers=headers, buffered=True))
        assert (method, headers, answer) == (method, headers, expected)


@pytest.mark.parametrize("host", [{}, {"HTTP_HOST": ""}], ids=["missing", "empty"])
def test_no_host(routing_kept: tuple[FlaskClient, FlaskClient], host: dict[str, str]) -> None:
    """HTTP/1.1 without a `Host` is refused, also after HTTP/1.0, which needs none, got the same answer."""
    kept, _ = routing_kept
    environ = EnvironBuilder("/cities").get_environ()
    del environ["HTTP_HOST"]

    def status(protocol: str) -> str:
        _, status, _ = run_wsgi_app(kept.application, environ | host | {"SERVER_PROTOCOL": protocol}, buffered=True)
        return status.partition(" ")[0]

    assert [status(protocol) for protocol in ("HTTP/1.0", "HTTP/1.1", "HTTP/1.1")] == ["200", "400", "400"]


def test_unchanged_without_a_query(cached: FlaskClient, kept: Flask) -> None:
    """A poll with the newest tag is a 304 without a query, even for a path that nobody has read."""
    tag = cached.get("/cities").headers["ETag"]
    cached.get("/surveys", headers={"If-None-Match": tag})
    # A longer lag keeps the cache from asking PostgreSQL for its position.
    kept.wsgi_app.watch.lag = 60  # type: ignore[attr-defined]
    with counted(kept.extensions["database"]) as statements:
        for path in ("/cities", "/surveys"):
            answer = cached.get(path, headers={"If-None-Match": tag})
            assert (answer.status_code, timing(answer), answer.get_data(), answer.headers["ETag"]) == (304, "hit", b"", tag)
    assert statements == []
    assert (cached.get("/surveys").status_code, timing(cached.get("/surveys"))) == (200, "hit")


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/cities/nowhere", "/cities?stat=CA", "/snapshot", "/cities?limit=1&wait=1"]
)
def test_never_kept(routing_kept: tuple[FlaskClient, FlaskClient], path: str) -> None:
    """Errors, streams without a known end, and answers that must not be cached are computed each time."""
    kept, _ = routing_kept
    assert [timing(kept.get(path, buffered=True)) for _ in range(2)] in (["miss", "miss"], ["", ""])


@pytest.mark.parametrize("path", ["/edit", "/edit/sign-in", "/edit/cities/boston-ma.html", "/edit.json"])
def test_the_desk_passes_by(cached: FlaskClient, path: str) -> None:
    """No page of the desk is looked for in the cache, nor waited for while it is made for another one."""
    assert timing(cached.get(path, headers={"Accept": "text/html"})) == ""
    assert timing(cached.get("/cities")) != ""


def test_own_writes_are_seen_at_once(cached: FlaskClient, kept: Flask, database: Database) -> None:
    """A process shows its own writes in its next answer, even if it rarely looks at the database."""
    kept.wsgi_app.watch.lag = 3600  # type: ignore[attr-defined]
    curator = curating(kept.test_client(), database)
    for number in range(20):
        cached.get("/cities/boston-ma")
        assert curator.patch("/cities/boston-ma", json={"summary": f"{number}"}, headers=ANY).status_code == 200
        answer = cached.get("/cities/boston-ma")
        assert (answer.get_json()["data"]["summary"], timing(answer)) == (f"{number}", "miss")


def test_others_writes_are_seen_in_time(cached: FlaskClient, kept: Flask, settings: Settings) -> None:
    """A write by another process is visible to the next request on SQLite, and after `CACHE_LAG` on PostgreSQL.

    The control: with a lag of an hour, PostgreSQL's write stays invisible.
    """
    is_sqlite = settings.database_url.startswith("sqlite")
    watch = kept.wsgi_app.watch  # type: ignore[attr-defined]
    with opened(settings) as other:
        for lag, visible in ((3600, is_sqlite), (0.05, True)):
            watch.lag = lag
            cached.get("/cities/boston-ma")
            with publishing(other) as session:
                session.execute(text("update cities set summary = :said where id = 'boston-ma'"), {"said": f"after {lag}"})
            if not is_sqlite:
                age(watch, 0.05)
            answer = cached.get("/cities/boston-ma")
            assert (answer.get_json()["data"]["summary"] == f"after {lag}", lag) == (visible, lag)


def test_one_asks_early(cached: FlaskClient, kept: Flask) -> None:
    """One request asks PostgreSQL for its position before the lag is over, without delaying others; after it, all wait."""
    watch = seen_long_ago(cached)
    if watch is None:
        return
    asking, go, statements = threading.Event(), threading.Event(), []

    def hold(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        """Hold up the query for PostgreSQL's position."""
        if statement == watch.statement:
            statements.append(1)
            asking.set()
            assert go.wait(30)

    event.listen(watch.database.engine, "before_cursor_execute", hold)
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(lambda: kept.test_client().get("/cities"))
        assert asking.wait(30)
        assert timing(cached.get("/cities")) == "hit"
        age(watch, 40)
        late = pool.submit(lambda: kept.test_client().get("/cities"))
        # The control: after the lag, a request waits for the running query and gets no older answer.
        assert not late.done()
        go.set()
        assert [timing(answer.result(30)) for answer in (early, late)] == ["hit", "hit"]
    assert statements == [1]


def test_nobody_answers_early(cached: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the early query for PostgreSQL's position fails, cached answers are served until the lag is over, and no longer."""
    watch = seen_long_ago(cached)
    if watch is None:
        return
    monkeypatch.setattr(watch, "statement", "select nothing from nowhere")
    assert timing(cached.get("/cities")) == "hit"
    age(watch, 40)
    assert [timing(cached.get("/cities")) for _ in range(2)] == ["", ""]


def seen_long_ago(client: FlaskClient) -> Any:
    """Cache an answer and move the end of the lag near; returns the watch, or None on SQLite, which is asked each time."""
    if client.application.extensions["database"].engine.dialect.name == "sqlite":
        return None
    watch = client.application.wsgi_app.watch  # type: ignore[attr-defined]
    watch.lag = 60
    client.get("/cities")
    age(watch, 40)
    return watch


def age(watch: Any, seconds: float) -> None:
    """Move a process's last look at the database into the past."""
    watch.seen = (watch.seen[0] - seconds, *watch.seen[1:])


def test_cut_and_unpublished(cached: FlaskClient, database: Database, settings: Settings) -> None:
    """Erased data disappears from cached answers, and unpublished raw SQL shows, as without a cache."""
    with serving(settings) as app:
        plain = app.test_client()
        path, history = "/cities?state=ZZ&fields=id", "/cities/boston-ma/history"
        for work in (
            lambda session: session.execute(text("update cities set summary = 'Secret.' where id = 'boston-ma'")),
            publish.publish,
            lambda session: session.execute(text("update cities set state = 'ZZ' where id = 'san-jose-ca'")),
            publish.publish,
            lambda session: session.execute(text("update cities set summary = null where id = 'boston-ma'")),
            publish.publish,
            lambda session: retention.erase(session, "cities", "boston-ma"),
        ):
            with database.writing() as session:
                work(session)
            # On PostgreSQL, others are seen after a while.
            if database.engine.dialect.name == "postgresql":
                watch = cached.application.wsgi_app.watch  # type: ignore[attr-defined]
                watch.seen = (-1e9, -1, None)
            for _ in range(2):
                for address in (path, history):
                    assert whole(cached.get(address)) == whole(plain.get(address))
    assert b"Secret" not in cached.get(history).get_data()


def test_min_version(cached: FlaskClient, kept: Flask, settings: Settings) -> None:
    """A request with `min_version` gets an answer with that version, waiting for it, or a 503 with `Retry-After`."""
    kept.wsgi_app.watch.lag = 3600  # type: ignore[attr-defined]
    for path in (
        "/cities/boston-ma",
        "/cities",
        "/cities.csv",
        "/search?q=boston",
        "/suggest?q=bos",
        "/changes",
        "/digest",
        "/snapshot",
    ):
        sign = "&" if "?" in path else "?"
        assert cached.get(f"{path}{sign}min_version={SEEDED}").status_code == 200
        for wrong in ("x", "-1", "9" * 20, "9" * 5_000, "%C2%B2"):
            refused = cached.get(f"{path}{sign}min_version={wrong}")
            assert (refused.status_code, refused.content_type) == (400, "application/problem+json")
    cached.get(f"/cities/boston-ma?min_version={SEEDED + 1}")
    with opened(settings) as other, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: kept.test_client().get(f"/cities/boston-ma?min_version={SEEDED + 1}"))
        with publishing(other) as session:
            session.execute(text("update cities set summary = 'New.' where id = 'boston-ma'"))
        answers = [
            waiting.result(),
            cached.get(f"/cities/boston-ma?min_version={SEEDED + 1}"),
            cached.get(f"/cities?min_version={SEEDED + 1}&id=boston-ma"),
        ]
    assert [answer.status_code for answer in answers] == [200] * 3
    for answer in answers:
        assert "New." in answer.get_data(as_text=True)
    late = cached.get(f"/cities/boston-ma?min_version={SEEDED + 2}")
    assert (brief(late)[:2], late.headers["Retry-After"]) == ((503, "unavailable"), "5")


@pytest.mark.parametrize("lag", [50, 60_000])
def test_two_processes(settings: Settings, lag: int) -> None:
    """Both processes of a server show every write, at once on SQLite and within `CACHE_LAG` on PostgreSQL.

    The control, with a lag of a minute, shows the old state.
    """
    is_sqlite = settings.database_url.startswith("sqlite")
    with opened(settings) as database, database.writing() as session:
        headers = {
            **ANY,
            "Content-Type": "application/json",
            "Authorization": f"Bearer {keys.issue(session, 'a', ['write'], None)}",
        }
    server = Server(settings, WORKERS="2", CACHE_MB="4", CACHE_LAG=str(lag))
    try:
        late = 0
        for number in range(8):
            body = json.dumps({"summary": f"{number}"}).encode()
            assert server.send("PATCH", "/cities/boston-ma", body, headers)[0] == 200
            if not is_sqlite:
                time.sleep(0.05)
            # A new connection for each request reaches both processes.
            answers = [json.loads(server.send("GET", "/cities/boston-ma", b"", {})[1]) for _ in range(8)]
            late += sum(answer["data"]["summary"] != f"{number}" for answer in answers)
        assert (late > 0) == (lag > 50 and not is_sqlite)
    finally:
        server.kill()


def test_a_stampede_is_one_computation(kept: Flask) -> None:
    """200 equal requests at once run the queries of one; without the cache they run them 200 times."""
    inner = kept.wsgi_app.app  # type: ignore[attr-defined]

    def stampede(app: Any) -> int:
        gate, begun, calls = threading.Event(), threading.Semaphore(0), []

        def slow(environ: Any, start: Any) -> Any:
            calls.append(1)
            begun.release()
            gate.wait(30)
            return inner(environ, start)

        kept.wsgi_app = app(slow)  # type: ignore[method-assign]

        def ask(_: int) -> bytes:
            return kept.test_client().get("/initiatives?facets=city").get_data()

        with ThreadPoolExecutor(200) as pool:
            answers = pool.map(ask, range(200))
            begun.acquire()
            gate.set()
            assert len(set(answers)) == 1
        return len(calls)

    def cached(app: Any) -> Cache:
        return Cache(app, kept.extensions["database"])

    assert (stampede(cached), stampede(lambda app: app)) == (1, 200)


def test_who_computes_fails(kept: Flask) -> None:
    """When a computation fails, the requests that wait for it compute their answers themselves; none waits forever."""
    cache = kept.wsgi_app
    assert isinstance(cache, Cache)
    inner, gate, first = cache.app, threading.Event(), threading.Semaphore(1)

    def failing(environ: Any, start: Any) -> Any:
        if first.acquire(blocking=False):
            gate.wait(30)
            raise RuntimeError("gone")
        return inner(environ, start)

    cache.app = failing

    def ask(_: int) -> int:
        try:
            return kept.test_client().get("/cities").status_code
        except RuntimeError:
            return 0

    with ThreadPoolExecutor(5) as pool:
        statuses = pool.map(ask, range(5))
        gate.set()
        assert sorted(statuses) == [0, 200, 200, 200, 200]


def test_spellings_share_an_answer(cached: FlaskClient, kept: Flask) -> None:
    """All spellings of `Accept` and `Accept-Encoding` that choose the same representation share one cached answer."""
    for number in range(1, 500):
        spelling = {"Accept": f"application/json, x/y{number}, */*;q=0.{number}", "Accept-Encoding": f"gzip, x{number};q=.5"}
        assert timing(cached.get("/cities", headers=spelling)) == ("miss" if number == 1 else "hit")
    assert timing(cached.get("/cities", headers={"Accept-Encoding": "gzip", "Accept": "*/*"})) == "hit"
    assert timing(cached.get("/cities", headers={"Accept": "text/csv", "Accept-Encoding": "gzip"}, buffered=True)) == "miss"
    assert len(kept.wsgi_app.answers.kept) == 2  # type: ignore[attr-defined]


def test_threads_that_see_different_states(cached: FlaskClient, kept: Flask, database: Database) -> None:
    """Threads that see a state and the one before take turns, and both are answered from the cache.

    The control: the first answer of each state is computed.
    """
    watch: Any = kept.wsgi_app.watch  # type: ignore[attr-defined]
    states = [watch.state()]
    with publishing(database) as session:
        session.execute(text("update cities set summary = 'New.' where id = 'boston-ma'"))
    states.append(states[0]._replace(version=states[0].version + 1))
    for turn in range(3):
        for state in states:
            kept.wsgi_app.watch = SimpleNamespace(state=lambda state=state: state)  # type: ignore[attr-defined]
            assert timing(cached.get("/cities")) == ("hit" if turn else "miss")


def test_nobody_waits_for_ever(kept: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request waits a limited time for another that computes the same answer, and then computes it itself."""
    cache: Any = kept.wsgi_app
    monkeypatch.setattr("api.web.cache.PATIENCE", 0.2)
    inner, gate, begun, first = cache.app, threading.Event(), threading.Event(), threading.Semaphore(1)

    def stuck(environ: Any, start: Any) -> Any:
        if first.acquire(blocking=False):
            begun.set()
            gate.wait(30)
        return inner(environ, start)

    cache.app = stuck
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: kept.test_client().get("/cities").status_code)
        assert begun.wait(30)
        assert kept.test_client().get("/cities").status_code == 200
        assert not slow.done()
        gate.set()
        assert slow.result(30) == 200


def test_a_flood_stays_within_its_bytes(cached: FlaskClient, kept: Flask) -> None:
    """Under a flood of different addresses, the cache stays within its limit and holds the newest answers."""
    cache: Any = kept.wsgi_app
    cache.answers = Answers(200_000)
    for number in range(1, 400):
        cached.get(f"/initiatives?limit=5&version__gt={number}")
        assert sum(answer.size for answer in cache.answers.kept.values()) <= 200_000
    assert 10 < len(cache.answers.kept) < 399
    assert timing(cached.get("/initiatives?limit=5&version__gt=399")) == "hit"
    assert timing(cached.get("/initiatives?limit=5&version__gt=1")) == "miss"
    assert [timing(cached.get("/citations?limit=500")) for _ in range(2)] == ["miss", "miss"]


@ON_SQLITE
def test_the_pool_closes_only_its_own(cached: FlaskClient, database: Database) -> None:
    """A burst of reads ends with surplus connections closed, but none with which other threads look at the state."""
    cached.get("/cities")
    watch: Any = cached.application.wsgi_app.watch  # type: ignore[attr-defined]
    connection = watch.connection
    pool = cached.application.extensions["database"]
    closed = list[object]()
    event.listen(pool.engine, "close", lambda *_: closed.append(_))
    with ExitStack() as stack:
        for _ in range(pool.settings.pool_size + 1):
            stack.enter_context(pool.reading())
    assert len(closed) == 1
    assert watch.connection is connection
    assert watch.state().version == head(database)


def test_no_database(tmp_path: Path) -> None:
    """While the database is away, no cached answer is served; when it is back, all is as before."""
    with serving(Settings(database_url=f"sqlite:///{tmp_path}/none.sqlite3")) as app:
        assert [app.test_client().get("/cities").status_code for _ in range(2)] == [503, 503]
        assert app.test_client().get("/livez").status_code == 200


def test_gone_and_back(cached: FlaskClient, settings: Settings, store: Store) -> None:
    """The next request notices that a SQLite file is gone or back, and that connections were cut."""
    cached.get("/cities")
    cached.application.extensions["database"].engine.dispose()
    if store.dialect == "sqlite":
        path = Path(settings.database_url.removeprefix("sqlite:///"))
        with sqlite3.connect(path) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()
        away = path.rename(path.with_suffix(".away"))
        assert cached.get("/cities").status_code == 503
        away.rename(path)
    assert cached.get("/cities").status_code == 200


@contextmanager
def taken_away(settings: Settings, store: Store) -> Iterator[None]:
    """Make the database unreachable in the block."""
    if store.dialect == "sqlite":
        path = Path(settings.sqlalchemy_url.database or "")
        away = path.rename(path.with_suffix(".away"))
        yield
        away.rename(path)
        return
    name = settings.sqlalchemy_url.database
    with opened(replace(settings, database_url=store.server)) as server, autocommit(server.engine) as connection:
        connection.execute(text(f"alter database {name} allow_connections false"))
        connection.execute(text("select pg_terminate_backend(pid) from pg_stat_activity where datname = :name"), {"name": name})
        yield
        connection.execute(text(f"alter database {name} allow_connections true"))


def test_stale_while_the_database_is_away(settings: Settings, store: Store) -> None:
    """While the database is away, cached answers are served for a time, and marked; others and the control are a 503."""
    with (
        serving(replace(settings, cache_mb=4, cache_lag=0)) as app,
        serving(replace(settings, cache_mb=4, cache_lag=0, stale_if_error=0)) as without,
    ):
        client, control = app.test_client(), without.test_client()
        fresh = client.get("/cities")
        etag = {"If-None-Match": fresh.headers["ETag"]}
        assert control.get("/cities").status_code == 200
        with taken_away(settings, store):
            stale = client.get("/cities")
            assert (timing(fresh), timing(stale)) == ("miss", "stale")
            assert whole(stale) == whole(fresh)
            assert client.get("/cities", headers=etag).status_code == 304
            future = client.get(f"/cities?min_version={fresh.get_json()['meta']['version'] + 1}")
            answers = [client.get("/cities?limit=2"), future, control.get("/cities")]
            assert [answer.status_code for answer in answers] == [503] * 3
        assert timing(client.get("/cities")) == "hit"


class Interleaving(RuleBasedStateMachine):
    """Two processes' applications on one database, the first with a cache, and every kind of writer."""

    make: Callable[[], Settings]

    @initialize()
    def begin(self) -> None:
        """Start both."""
        settings = type(self).make()
        self.apps = [serving(replace(settings, cache_mb=mb, cache_lag=0, write_limit="1000000/minute")) for mb in (1, 0)]
        self.kept, self.plain = (app.__enter__().test_client() for app in self.apps)
        self.database: Database = self.plain.application.extensions["database"]
        self.number = 0
        self.curators = [
            curating(client.application.test_client(), self.database, name=f"c{n}")
            for n, client in enumerate((self.kept, self.plain))
        ]

    def teardown(self) -> None:
        """Close both."""
        for app in getattr(self, "apps", ()):
            app.__exit__(None, None, None)

    @rule(
        path=st.sampled_from(PATHS),
        method=st.sampled_from(["GET", "HEAD"]),
        coding=st.sampled_from(["identity", "gzip"]),
        again=st.booleans(),
    )
    def read(self, path: str, method: str, coding: str, again: bool) -> None:  # noqa: FBT001 - hypothesis passes it
        """A kept answer is the answer."""
        headers = {"Accept-Encoding": coding}
        if again and (tag := self.kept.get(path, headers=headers).headers.get("ETag")):
            headers["If-None-Match"] = tag
        assert whole(self.kept.open(path, method=method, headers=headers)) == whole(
            self.plain.open(path, method=method, headers=headers)
        )

    @rule(who=st.sampled_from([0, 1]), id=st.sampled_from(["boston-ma", "san-jose-ca"]))
    def write(self, who: int, id: str) -> None:
        """Either of them writes over HTTP."""
        self.number += 1
        assert self.curators[who].patch(f"/cities/{id}", json={"summary": f"{self.number}"}, headers=ANY).status_code == 200

    @rule(who=st.sampled_from([0, 1]))
    def come_and_go(self, who: int) -> None:
        """A record comes, or goes."""
        client = self.curators[who]
        answer = client.delete("/cities/a-zz", headers=ANY)
        if answer.status_code != 204:
            assert (
                client.put("/cities/a-zz", json={"id": "a-zz", "name": "A", "state": "ZZ", "country": "US"}).status_code == 201
            )

    @rule(sweep=st.booleans())
    def raw(self, sweep: bool) -> None:  # noqa: FBT001 - hypothesis passes it
        """Somebody writes by raw SQL, and publishes it or not."""
        self.number += 1
        with self.database.writing() as session:
            session.execute(
                text("update cities set name = :said, summary = :said where id = 'boston-ma'"), {"said": f"raw {self.number}"}
            )
        if sweep:
            publish.sweep(self.database)

    @rule()
    def load(self) -> None:
        """Somebody imports a file."""
        self.number += 1
        row = {"id": "boston-ma", "name": "Boston", "state": "MA", "country": "US", "summary": f"file {self.number}"}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cities.ndjson"
            path.write_text(json.dumps(row), encoding="utf-8")
            done = self.plain.application.test_cli_runner().invoke(args=["data", "import", str(path)])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("steps", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_any_interleaving(store: Store, migrated: Settings, steps: int) -> None:
    """After any sequence of reads and writes by two processes, every cached answer equals the computed one."""

    class OfStore(Interleaving):
        make = staticmethod(lambda: store.copy(migrated))

    run_state_machine_as_test(OfStore, settings=limits(max_examples=examples(4), stateful_step_count=steps, deadline=None))
