"""A cache in front: what it may keep, what it tells nobody else, and how it learns of a change."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from api.db.database import Database
from api.settings import ROOT, Settings
from api.web import keys
from tests.support.applications import serving
from tests.support.attacks import answers
from tests.support.databases import ON_SQLITE
from tests.support.metrics import samples, value
from tests.support.processes import SERVE, accepts, listening, unused_port, wait_until
from tests.support.unproved import unproved

# Varnish compiles its configuration.
VARNISH = shutil.which("gcc") and (shutil.which("varnishd") or shutil.which("varnishd", path="/usr/sbin"))
OF_CALLERS = ("X-Request-Id", "Server-Timing", "Age")
ROUTE = "/cities/{id}"


@ON_SQLITE
def test_answers_hold_nothing_of_one_caller(settings: Settings) -> None:
    """With `S_MAXAGE`, what a shared cache may keep has no header of one caller; the controls are the default and a 404."""
    with serving(replace(settings, s_maxage=60, stale_while_revalidate=5, cache_mb=8)) as app:
        client = app.test_client()
        for path in (
            "/cities",
            "/cities",
            "/cities/boston-ma",
            "/cities.csv",
            "/cities.html",
            "/changes?since=0",
            "/robots.txt",
        ):
            response = client.get(path, buffered=True)
            expected = "public, max-age=0, s-maxage=60, stale-while-revalidate=5, stale-if-error=300"
            assert response.headers["Cache-Control"] == expected, path
            assert [name for name in OF_CALLERS if name in response.headers] == []
            again = client.get(path, headers={"If-None-Match": response.headers["ETag"]}, buffered=True)
            assert (again.status_code, [name for name in OF_CALLERS if name in again.headers]) == (304, [])
        missing = client.get("/cities/unheard-of")
        assert "X-Request-Id" in missing.headers
        assert "s-maxage" not in missing.headers.get("Cache-Control", "")
        waited = client.get("/changes?since=0&wait=1", buffered=True)
        assert waited.headers["Cache-Control"] == "public, no-cache"
    with serving(replace(settings, cache_mb=8)) as app:
        response = app.test_client().get("/cities", buffered=True)
        assert response.headers["Cache-Control"] == "public, no-cache"
        assert "X-Request-Id" in response.headers


class Front:
    """The API behind Varnish."""

    def __init__(self, server: subprocess.Popen[str], port: int, behind: int, secret: str) -> None:
        """Know both addresses."""
        self.server, self.port, self.behind, self.secret = server, port, behind, secret

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
        """Ask the cache; returns status, headers and body."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(f"http://127.0.0.1:{self.port}{path}", body, names, method=method)
        try:
            with urlopen(request) as response:
                return response.status, response.headers, response.read()
        except HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def has_seen(self, route: str, number: float) -> bool:
        """Return whether the API has answered this number of requests; it counts each just after it was sent."""
        wait_until(lambda: self.seen(route) >= number, self.server)
        return self.seen(route) == number

    def seen(self, route: str) -> float:
        """Return how many requests the API has counted."""
        with urlopen(f"http://127.0.0.1:{self.behind}/metrics") as response:
            return value(samples(response.read().decode()), "requests_total", route=route)


@contextmanager
def varnish(folder: Path, port: int, behind: int) -> Iterator[None]:
    """Start Varnish with our configuration, and only the ports changed."""
    text = (ROOT / "deploy/varnish.vcl").read_text()
    file = folder / "varnish.vcl"
    file.write_text(re.sub(r'\.port = "8000"', f'.port = "{behind}"', text).replace(".interval = 2s", ".interval = 0.1s"))
    command = [
        VARNISH or "",
        "-j",
        "none",
        "-F",
        "-n",
        str(folder / "work"),
        "-a",
        f"127.0.0.1:{port}",
        "-f",
        str(file),
        "-s",
        "malloc,50m",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: accepts("127.0.0.1", port), process)
            yield
        finally:
            process.terminate()


@pytest.fixture
def front(settings: Settings, tmp_path: Path) -> Iterator[Front]:
    """The API with `S_MAXAGE`, behind Varnish."""
    database = Database(settings)
    with database.writing() as session:
        secret = keys.issue(session, "curator", ["write"], None)
    database.engine.dispose()
    behind, port = unused_port(), unused_port()
    variables = {"DATABASE_URL": settings.database_url, "PORT": behind, "S_MAXAGE": 3600, "WORKERS": 1, "STOP_DELAY": 0}
    with listening(SERVE, "127.0.0.1", behind, **variables) as server:
        wait_until(lambda: answers(behind, "/readyz"), server)
        with varnish(tmp_path, port, behind):
            front = Front(server, port, behind, secret)
            wait_until(lambda: front.ask("/cities")[0] == 200, server)
            yield front


@(ON_SQLITE if VARNISH else unproved("varnishd or gcc is missing"))
def test_varnish(front: Front) -> None:
    """Varnish answers by itself, each form apart, until a commit purges it, and while the API is away; writes pass."""
    asked = [front.ask("/cities/boston-ma", X_Request_Id=f"caller-{n}") for n in range(20)]
    assert {status for status, *_ in asked} == {200}
    assert front.has_seen(ROUTE, 1)
    assert not any("caller" in str(headers) for _, headers, _ in asked)
    assert front.ask("/cities/boston-ma", Accept="text/html,application/xhtml+xml")[1].get_content_type() == "text/html"
    assert front.ask("/cities/boston-ma", Accept="*/*")[1].get_content_type() == "application/json"
    assert front.ask("/cities/boston-ma", Accept="application/json, */*")[1].get_content_type() == "application/json"
    assert front.has_seen(ROUTE, 2)
    assert front.ask("/snapshot")[0] == front.ask("/snapshot", Accept="application/x-ndjson")[0] == 200
    etag = asked[0][1]["ETag"]
    assert front.ask("/cities/boston-ma", If_None_Match=etag)[0] == 304

    headers = {"Authorization": f"Bearer {front.secret}", "If_Match": "*", "Content_Type": "application/json"}
    assert front.ask("/cities/boston-ma", "PATCH", b'{"summary": "New."}', **headers)[0] == 200
    assert b"New." not in front.ask("/cities/boston-ma")[2]
    assert front.ask("/.purge", "POST", b"{}")[0] == 204
    assert b"New." in front.ask("/cities/boston-ma")[2]
    for _ in range(2):
        assert front.ask("/changes?since=0&wait=1")[0] == 200
    assert front.has_seen("/changes", 2)

    front.server.terminate()
    front.server.communicate(timeout=30)
    assert b"New." in front.ask("/cities/boston-ma")[2]
    assert front.ask("/cities/seattle-wa")[0] == 503
