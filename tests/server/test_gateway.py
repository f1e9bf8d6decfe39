"""The gateway passes requests on as they were sent, and answers as the application does."""

import asyncio
import re
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPConnection
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from api.db.database import Database
from api.server.gateway import Gateway
from api.settings import Settings
from api.web import keys
from tests.support.applications import serving
from tests.support.attacks import GUEST, opened, server
from tests.support.databases import ON_SQLITE, SQLITE_FIRST, publishing

BODY = b'{"filter":{"id":"boston-ma"}}'
# Requests as they are on the wire, with the status and a part of the answer.
CASES: dict[str, tuple[bytes, int, bytes]] = {
    "no Host": (b"GET /cities HTTP/1.1\r\n\r\n", 400, b"The `Host` header is missing."),
    "no Host in HTTP/1.0": (b"GET /cities HTTP/1.0\r\n\r\n", 200, b'"data":['),
    "path beyond ASCII": (b"GET /cities/%C3%A9 HTTP/1.1\r\nHost: a\r\n\r\n", 404, b'"instance":"/cities/\\u00e9"'),
    "path that is no UTF-8": (b"GET /cities/%ff HTTP/1.1\r\nHost: a\r\n\r\n", 404, b'"instance":"/cities/\\ufffd"'),
    "HEAD": (b"HEAD /cities/boston-ma HTTP/1.1\r\nHost: a\r\n\r\n", 200, b"content-length: "),
    "HEAD of a stream": (b"HEAD /cities.csv HTTP/1.1\r\nHost: a\r\n\r\n", 200, b"content-type: text/csv"),
    "stream": (b"GET /cities.csv HTTP/1.1\r\nHost: a\r\n\r\n", 200, b"boston-ma"),
    "stream of nothing": (b"GET /cities.ndjson?id=nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 200, b"content-length: 0"),
    "header twice": (
        b"GET /cities.csv HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0\r\nAccept-Encoding: br\r\n\r\n",
        200,
        b"content-encoding: br",
    ),
    "header beyond ASCII": (b"POST /cities HTTP/1.1\r\nHost: a\r\nAuthorization: \xe9\r\n\r\n", 401, b"This needs a key"),
    "long headers": (b"GET /cities HTTP/1.1\r\nHost: a\r\nX-Long: %s\r\n\r\n" % (b"a" * 50_000), 200, b'"data":['),
    "longer headers": (b"GET /cities HTTP/1.1\r\nHost: a\r\nX-Long: %s\r\n\r\n" % (b"a" * 200_000), 431, b"content-length: 0"),
    "body of a GET": (b"GET /cities HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 200, b'"data":['),
    "chunks": (
        b"POST /cities/search HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
        422,
        b"filter",
    ),
}


def is_whole_answer(answer: bytes) -> bool:
    """Return whether an answer has as many bytes as it announces; others end with their connection, or with silence."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"^content-length: (\d+)", head, re.IGNORECASE | re.MULTILINE)
    return bool(end and length) and len(body) >= int(length[1] if length else 0)


@SQLITE_FIRST
def test_on_the_wire(settings: Settings) -> None:
    """Every form of a request is answered as the application answers it."""
    with server(settings) as port, ExitStack() as stack:
        for name, (request, status, part) in CASES.items():
            (connection,) = opened(stack, port, 1, request, GUEST)
            connection.settimeout(1)
            answer = b""
            try:
                while not is_whole_answer(answer) and (piece := connection.recv(65536)):
                    answer += piece
            except TimeoutError:
                pass
            assert (name, int(answer.split()[1]), part in answer, answer) == (name, status, True, answer)


@SQLITE_FIRST
def test_cached_answers(settings: Settings, database: Database) -> None:
    """A cached answer has the same bytes, is a 304 for its tag, has no body for HEAD, and ends with the next commit."""
    with server(settings, CACHE_LAG=0) as port:

        def ask(method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            with closing(connection):
                sent = {name.replace("_", "-"): value for name, value in headers.items()}
                connection.request(method, "/cities?limit=1&sort=-version", headers=sent)
                answer = connection.getresponse()
                return answer.status, answer.headers["ETag"], answer.read()

        status, tag, body = ask()
        assert [ask() for _ in range(3)] == [(status, tag, body)] * 3
        assert ask("HEAD") == (200, tag, b"")
        assert ask(If_None_Match=tag) == (304, tag, b"")
        with publishing(database) as session:
            session.execute(text("update cities set summary = 'Another.' where id = 'boston-ma'"))
        changed = ask()
        assert (changed[0], changed[1] == tag, b"Another." in changed[2]) == (200, False, True)
        assert ask(If_None_Match=tag) == changed


class Proto:
    """What granian sends an answer with: keeps the answers."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.answers: list[tuple[int, dict[str, str]]] = []

    def response_bytes(self, status: int, headers: list[tuple[str, str]], _body: bytes) -> None:
        """Keep the status and the headers."""
        self.answers.append((status, dict(headers)))


@ON_SQLITE
@pytest.mark.parametrize("headers", [{}, {"x-forwarded-for": "192.0.2.7"}], ids=["direct", "behind a proxy"])
def test_a_cached_answer_needs_no_loop(settings: Settings, database: Database, headers: dict[str, str]) -> None:
    """A cached answer is sent in the first step of its request; the control: after a commit, the first step sends nothing."""
    settings = replace(settings, cache_mb=10, trusted_proxies="127.0.0.1")
    with serving(settings) as app:
        gateway, proto = Gateway(app, settings), Proto()
        scope = SimpleNamespace(
            client="127.0.0.1:5", server="127.0.0.1:8000", scheme="http", method="GET", path="/cities", query_string="limit=1"
        )
        scope.headers, scope.http_version = {"host": "a", **headers}, "1.1"

        async def ask() -> None:
            gateway.loop = asyncio.get_running_loop()
            await gateway.__rsgi__(scope, proto)

        for summary in ("One.", "Another."):
            asyncio.run(ask())
            for _ in range(2):
                with pytest.raises(StopIteration):
                    gateway.__rsgi__(scope, proto).send(None)
            with publishing(database) as session:
                session.execute(text("update cities set summary = :summary where id = 'boston-ma'"), {"summary": summary})
            unanswered = gateway.__rsgi__(scope, proto)
            unanswered.send(None)
            unanswered.close()
    tags, timings = zip(*((row["ETag"], row["Server-Timing"].partition(",")[0]) for _, row in proto.answers), strict=True)
    assert timings == ("cache;desc=miss", "cache;desc=hit", "cache;desc=hit") * 2
    assert (len({*tags[:3]}), len({*tags[3:]}), len({*tags})) == (1, 1, 2)


@ON_SQLITE
def test_nobody_waits_until_a_use_is_noted(settings: Settings, database: Database) -> None:
    """A key's first use is noted after the answer, and by one thread, so its client does not wait for another writer."""
    with database.writing() as session:
        secret = keys.issue(session, "reader", ["admin"], None)
    with server(settings, LOCK_TIMEOUT=5) as port, database.writing():
        # More requests than threads.
        for _ in range(5):
            connection = HTTPConnection("127.0.0.1", port, timeout=3)
            with closing(connection):
                connection.request("GET", "/keys", headers={"Authorization": f"Bearer {secret}"})
                assert connection.getresponse().status == 200


SUFFIXED = (
    *(
        "/index.json",
        "/index.html",
        "/cities.html",
        "/cities/boston-ma.json",
        "/cities/boston-ma.html",
        "/changes.json?kinds=cities",
    ),
    *("/changes.html", "/changes.atom", "/changes/cities.html", "/search.html?q=data", "/search.json?q=data", "/enums.json"),
    *("/cities/boston-ma/history.html", "/problems.html", "/problems/conflict.json", "/suggest.json?q=bos", "/nowhere.html"),
)


@ON_SQLITE
def test_suffixes(settings: Settings) -> None:
    """A suffix goes before `Accept` on the wire as in the application, and what is cached under it is no other address's."""
    types = {"json": "application/json", "html": "text/html; charset=utf-8", "atom": "application/atom+xml; charset=utf-8"}
    browser = "text/html,application/xhtml+xml,*/*;q=0.8"
    with server(settings, CACHE_LAG=0) as port:

        def ask(path: str, accept: str) -> tuple[int, str | None, bytes, str]:
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            with closing(connection):
                connection.request("GET", path, headers={"Accept": accept})
                answer = connection.getresponse()
                timing = answer.headers.get("Server-Timing") or ""
                return answer.status, answer.headers["Content-Type"], answer.read(), timing.partition(",")[0]

        for path in SUFFIXED:
            suffix = path.partition("?")[0].rpartition(".")[2]
            status = 404 if "nowhere" in path else 200
            answers = [ask(path, accept) for accept in (browser, "*/*")]
            assert [(path, *answer[:2]) for answer in answers] == [(path, status, types[suffix])] * 2
            if status == 200:
                assert answers[0][2] == answers[1][2]
                assert answers[1][3] == "cache;desc=hit", path
        # Links of a page with a suffix lead to pages, and those of the address without one have none.
        pages = {path: ask(path, browser)[2] for path in ("/cities.html?state=CA", "/cities?state=CA")}
        assert b'href="/cities.html' in pages["/cities.html?state=CA"]
        assert b'href="/cities.html' not in pages["/cities?state=CA"]
