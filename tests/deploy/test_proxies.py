"""nginx, Caddy and HAProxy with the files of `deploy/` pass on everything that clients and the server need of one another."""

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from api.endpoints.changes.query import MAX_WAIT
from api.errors import MAX_QUERY_STRING
from api.settings import Settings
from api.web import keys
from tests.support.attacks import server
from tests.support.databases import Store, opened, template
from tests.support.editions import SEEDED
from tests.support.processes import unused_port
from tests.support.proxies import CASES, HOST, PROGRAMS, Answer, Proxy, started
from tests.support.replication import until

pytestmark = pytest.mark.slow
each = pytest.mark.parametrize("name", CASES)

FORGED = {
    "Forwarded": "for=192.0.2.9;host=evil.example;proto=http",
    "X-Forwarded-For": "192.0.2.9",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
}


@dataclass(frozen=True)
class Sites:
    """A server behind each proxy that this machine has, and a control that trusts none of them."""

    port: int
    trusted: dict[str, Proxy]
    control: dict[str, Proxy]
    # The control's database.
    written: Settings
    # The answers to polls that began with the servers.
    polls: dict[str, Future[Answer]]


@pytest.fixture(scope="module")
def sites(sqlite_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """All proxies in front of two servers, each with a database of its own: a write would end the polls."""
    copies = [sqlite_store.copy(template(sqlite_store)) for _ in range(2)]
    names = [name for name in PROGRAMS if shutil.which(name)]
    with ExitStack() as stack:
        ports = [
            stack.enter_context(server(settings, TRUSTED_PROXIES=trusted, REFUSAL_LIMIT="2/hour"))
            for settings, trusted in zip(copies, ("127.0.0.1", ""), strict=True)
        ]
        trusted, control = (
            {name: stack.enter_context(started(name, tmp_path_factory.mktemp(name), port)) for name in names} for port in ports
        )
        pool = stack.enter_context(ThreadPoolExecutor(len(names) + 1))
        polls = {name: pool.submit(proxy.ask, f"/changes?since={SEEDED}&wait={MAX_WAIT}") for name, proxy in trusted.items()}
        yield Sites(ports[0], trusted, control, copies[1], polls)


@each
def test_links_have_the_public_address(sites: Sites, name: str) -> None:
    """Links have the scheme and the host that the client used, whatever it wrote into the headers of proxies."""
    for headers in ({}, FORGED):
        answer = sites.trusted[name].ask("/cities?limit=1", headers)
        assert json.loads(answer.body)["links"]["self"] == f"https://{HOST}/cities?limit=1"


def refusals(proxy: Proxy, source: str, headers: dict[str, str]) -> list[int]:
    """Return the statuses of three requests with a key that is none."""
    wrong = {"Authorization": "Bearer wrong", **headers}
    return [proxy.ask("/cities/boston-ma", wrong, method="DELETE", source=source).status for _ in range(3)]


@each
def test_limits_count_the_client(sites: Sites, name: str) -> None:
    """Each client has a limit of its own, also if it claims to be another; the control: untrusted, the proxy is the one client."""
    own = {place: f"127.{place}.0.{list(PROGRAMS).index(name) + 2}" for place in (1, 2)}
    assert [refusals(sites.trusted[name], source, FORGED) for source in own.values()] == [[401, 401, 429]] * 2
    assert refusals(sites.control[name], own[1], {})[-1] == 429
    assert refusals(sites.control[name], own[2], {}) == [429] * 3


@each
def test_a_long_poll_survives(sites: Sites, name: str) -> None:
    """A poll that waits as long as it may gets the server's answer."""
    answer = sites.polls[name].result()
    assert (answer.status, json.loads(answer.body)["data"]) == (200, [])


@each
@pytest.mark.parametrize("path", ["/snapshot", "/citations.ndjson", "/citations.csv"])
def test_an_export_is_whole(sites: Sites, name: str, path: str) -> None:
    """An export has the same bytes as from the server itself."""
    with urlopen(f"http://127.0.0.1:{sites.port}{path}", timeout=60) as direct:
        assert sites.trusted[name].ask(path).body == direct.read()


@each
def test_errors_are_the_servers(sites: Sites, name: str) -> None:
    """Unknown and encoded paths, and the longest query, are answered by the server."""
    proxy = sites.trusted[name]
    cases = {
        "/nothing": 404,
        "/cities//boston-ma": 404,
        "/cities/..%2fawards": 404,
        f"/cities?q={'x' * (MAX_QUERY_STRING - 2)}": 400,
        f"/cities?q={'x' * MAX_QUERY_STRING}": 414,
    }
    for path, status in cases.items():
        answer = proxy.ask(path)
        assert (path[:30], answer.status, answer.headers["Content-Type"]) == (path[:30], status, "application/problem+json")
        assert json.loads(answer.body)["type"].startswith(f"https://{HOST}/problems/")


@each
def test_a_large_body_is_refused_by_the_server(sites: Sites, name: str) -> None:
    """A proxy passes on a body that is a little too large, so that the answer says what the limit is."""
    json_body = {"Content-Type": "application/json"}
    answer = sites.trusted[name].ask("/cities/search", json_body, method="POST", body=b" " * 1_500_000)
    assert (answer.status, json.loads(answer.body)["type"]) == (413, f"https://{HOST}/problems/content-too-large")


@each
def test_a_huge_body_is_refused(sites: Sites, name: str) -> None:
    """A body far over the limit is refused with a problem document, by nginx and HAProxy before it was sent."""
    sent = 3_000_000 if name == "caddy" else 8192
    answer = sites.trusted[name].ask("/cities/search", {"Content-Length": "3000000"}, method="POST", body=b" " * sent)
    assert (answer.status, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert json.loads(answer.body)["status"] == 413


@each
def test_nothing_is_cached(sites: Sites, name: str) -> None:
    """A write through the proxy has its key, its condition and its tag, and the next read has what was written."""
    proxy, path = sites.control[name], "/cities/boston-ma"
    with opened(sites.written) as database, database.writing() as session:
        secret = keys.issue(session, name, ["write"])
    before = proxy.ask(path)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json", "If-Match": before.headers["ETag"]}
    body = json.dumps({"aliases": [f"Boston behind {name}"]}).encode()
    written = proxy.ask(path, headers, method="PATCH", body=body)
    assert written.status == 200, written.body
    after = proxy.ask(path)
    assert json.loads(after.body)["data"]["aliases"] == [f"Boston behind {name}"]
    assert after.headers["ETag"] == written.headers["ETag"] != before.headers["ETag"]
    assert proxy.ask(path, headers, method="PATCH", body=body).status == 412
    assert proxy.ask(path, {"If-None-Match": after.headers["ETag"]}).status == 304


@each
def test_an_absent_server_is_a_problem(name: str, tmp_path: Path) -> None:
    """Without a server the proxy answers with a problem document, too."""
    with started(name, tmp_path, unused_port()) as proxy:
        answer = proxy.ask("/cities")
    assert answer.status in {502, 503}
    assert (answer.headers["Content-Type"], json.loads(answer.body)["status"]) == ("application/problem+json", answer.status)


class Node(BaseHTTPRequestHandler):
    """Stands for a server that can read; whether it can write depends."""

    can_write = threading.Event()

    def do_GET(self) -> None:
        """Answer the health checks, and every read."""
        is_ready = self.path != "/readyz?writes=true" or self.can_write.is_set()
        self.send_response(200 if is_ready else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        """Take a write."""
        self.do_GET()

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.mark.parametrize("name", CASES[-1:])
def test_writes_go_to_a_writer(name: str, tmp_path: Path) -> None:
    """HAProxy sends reads and searches to a server that only can read, and writes to none until one can write."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Node) as node:
        threading.Thread(target=node.serve_forever, daemon=True).start()
        with started(name, tmp_path, node.server_port) as proxy:
            until(lambda: proxy.ask("/changesets", method="POST").status == 503)
            assert [proxy.ask("/cities").status, proxy.ask("/cities/search", method="POST").status] == [200, 200]
            Node.can_write.set()
            until(lambda: proxy.ask("/changesets", method="POST").status == 200)
        node.shutdown()
