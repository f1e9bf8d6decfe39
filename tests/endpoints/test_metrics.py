"""`/metrics` counts what was answered, and shows what the server holds."""

from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.settings import Settings
from tests.support.applications import curating, serving
from tests.support.databases import ON_SQLITE, SQLITE_FIRST
from tests.support.metrics import Samples, samples, value


def scrape(client: FlaskClient) -> Samples:
    """Return the samples of the application."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    return samples(response.text)


@ON_SQLITE
def test_requests_are_counted(settings: Settings) -> None:
    """Each request counts once, by method, route, status and the result of the cache, with its bytes and its time."""
    with serving(replace(settings, cache_mb=8)) as app:
        client = app.test_client()
        before = scrape(client)
        size = sum(len(client.get("/cities/boston-ma", buffered=True).data) for _ in range(3))
        client.head("/cities/boston-ma", buffered=True)
        client.get("/initiatives.csv", buffered=True)
        found = scrape(client)
    route = "/cities/{id}"
    assert value(before, "requests_total", route=route) == 0
    assert value(found, "requests_total", route=route, method="GET", status="200", cache="miss") == 1
    assert value(found, "requests_total", route=route, method="GET", status="200", cache="hit") == 2
    assert value(found, "requests_total", route=route, method="HEAD", status="200", cache="hit") == 1
    assert value(found, "response_bytes_total", route=route, method="GET") == size
    assert value(found, "request_duration_seconds_count", route=route) == 4
    assert value(found, "request_duration_seconds_bucket", route=route, le="+Inf") == 4
    assert value(found, "requests_total", route="/initiatives.{format}") == 1


@ON_SQLITE
def test_clients_cannot_make_labels(settings: Settings) -> None:
    """Any number of unknown paths, ids, parameters and methods counts under the same few names."""
    with serving(settings) as app:
        client = app.test_client()
        for n in range(3):
            client.get(f"/unheard-of-{n}", buffered=True)
            client.get(f"/cities/unheard-of-{n}?x{n}=1", buffered=True)
            client.open("/cities", method=f"BREW{n}", buffered=True)
        found = scrape(client)
    assert value(found, "requests_total", method="GET", route="", status="404") == 3
    assert value(found, "requests_total", method="GET", route="/cities/{id}", status="400") == 3
    assert value(found, "requests_total", method="other", route="", status="405") == 3
    assert [key for key in found if "unheard-of" in str(key) or "BREW" in str(key)] == []


@ON_SQLITE
def test_limits_that_are_reached_are_counted(settings: Settings) -> None:
    """A request that a rate limit refuses counts by the limit."""
    with serving(replace(settings, write_limit="1/hour")) as app:
        client = curating(app.test_client(), app.extensions["database"])
        statuses = [client.patch("/cities/boston-ma", json={}, headers={"If-Match": "*"}).status_code for _ in range(3)]
        assert statuses[1:] == [429, 429]
        found = scrape(client)
    assert value(found, "limits_reached_total", limit="writes") == 2
    assert value(found, "limits_reached_total", limit="refusals") == 0


@SQLITE_FIRST
def test_what_the_server_holds(settings: Settings) -> None:
    """The gauges say at which version and epoch the ledger is, which notes wait, and which webhooks."""
    with serving(settings) as app:
        client = app.test_client()
        found = scrape(client)
        version = client.get("/cities").get_json()["meta"]["version"]
        assert (value(found, "database_up"), value(found, "ledger_version")) == (1, version)
        assert value(found, "ledger_unpublished_notes") == 0
        with client.application.extensions["database"].engine.begin() as connection:
            connection.execute(text("update cities set summary = 'By SQL.' where id = 'boston-ma'"))
        found = scrape(client)
    assert value(found, "ledger_unpublished_notes") > 0
    assert value(found, "webhooks", state="active") == value(found, "webhooks_due") == 0
    assert value(found, "places", kind="streams") > value(found, "places_used", kind="streams") == 0
    assert value(found, "database_connections") > 0


@ON_SQLITE
def test_a_database_that_is_away(settings: Settings) -> None:
    """Without a database the metrics say so, and count the requests that failed."""
    away = replace(settings, database_url=settings.database_url.replace(".sqlite3", "-missing/x.sqlite3"))
    with serving(away) as app:
        client = app.test_client()
        assert client.get("/cities", buffered=True).status_code == 503
        found = scrape(client)
    assert value(found, "database_up") == 0
    assert value(found, "database_failures_total") == 1
    assert value(found, "requests_total", status="503") == 1


@ON_SQLITE
@pytest.mark.parametrize(("metrics", "port"), [(0, 0), (1, 9100)], ids=["off", "own port"])
def test_metrics_can_be_elsewhere(settings: Settings, metrics: int, port: int) -> None:
    """`METRICS=0` switches them off, and `METRICS_PORT` moves them away from where everyone can read them."""
    with serving(replace(settings, metrics=metrics, metrics_port=port)) as app:
        assert app.test_client().get("/metrics").status_code == 404
