"""What a real server tells of its requests: metrics of all its processes, and one line of the access log for each."""

import json
import re
from http.client import HTTPConnection
from urllib.request import Request, urlopen

import psutil
import pytest

from api.db.database import Database
from api.settings import Settings
from api.web import keys
from tests.support.attacks import answers
from tests.support.databases import ON_SQLITE
from tests.support.metrics import Samples, samples, value
from tests.support.processes import SERVE, listening, unused_port, wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z 127\.0\.0\.1 GET /cities/\{id\} 200 [\d.]+ms \d+B cache=(hit|miss) key=- id=[0-9a-f]{32} trace=-"
)


def scrape(port: int) -> Samples:
    """Return the samples of a server, asked as Prometheus asks."""
    request = Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with urlopen(request) as response:
        return samples(response.read().decode())


@ON_SQLITE
def test_metrics_of_all_processes(settings: Settings) -> None:
    """The port of the metrics counts the requests of both workers, and goes on counting when the one that has it is killed."""
    port, metrics = unused_port(), unused_port()
    variables = {"DATABASE_URL": settings.database_url, "PORT": port, "METRICS_PORT": metrics, "WORKERS": 2}
    with listening(SERVE, "127.0.0.1", port, **variables) as process:
        wait_until(lambda: answers(port, "/readyz"), process)
        wait_until(lambda: answers(metrics, "/metrics"), process)
        for _ in range(20):
            assert answers(port, "/cities/boston-ma")
        wait_until(lambda: value(scrape(metrics), "requests_total", route="/cities/{id}") == 20, process)
        assert not answers(port, "/metrics")
        (worker,) = (
            child
            for child in psutil.Process(process.pid).children()
            if any(row.laddr.port == metrics for row in child.net_connections("tcp") if row.status == "LISTEN")
        )
        worker.kill()
        wait_until(lambda: answers(metrics, "/metrics"), process)
        assert value(scrape(metrics), "requests_total", route="/cities/{id}") == 20


@ON_SQLITE
def test_access_log(settings: Settings) -> None:
    """Each request has one line of JSON with its id, its trace and the name of its key; no line has a secret or a path."""
    database = Database(settings)
    with database.writing() as session:
        secret = keys.issue(session, "curator", ["write"], None)
    database.engine.dispose()
    port = unused_port()
    variables = {
        "DATABASE_URL": settings.database_url,
        "PORT": port,
        "ACCESS_LOG": "json",
        "LOG_FORMAT": "json",
        "STOP_DELAY": 0,
    }
    headers = {"Authorization": f"Bearer {secret}", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-Id": "mine"}
    with listening(SERVE, "127.0.0.1", port, **variables) as process:
        wait_until(lambda: answers(port, "/readyz"), process)
        connection = HTTPConnection("127.0.0.1", port)
        for method, path in (("DELETE", "/cities/unheard-of"), ("GET", "/cities?name=hidden"), ("GET", "/initiatives.csv")):
            connection.request(method, path, headers=headers if method == "DELETE" else {})
            connection.getresponse().read()
        connection.close()
        process.terminate()
        output, _ = process.communicate(timeout=30)
    lines = [json.loads(line) for line in output.splitlines()[1:]]
    delete, names, export = (line for line in lines if line.get("route") not in {None, "/readyz"})
    assert delete["method"] == "DELETE"
    assert (delete["status"], delete["route"], delete["key"]) == (404, "/cities/{id}", "curator")
    assert (delete["request_id"], delete["trace_id"], delete["cache"]) == ("mine", TRACE, "")
    assert (names["status"], names["cache"], names["key"], names["trace_id"]) == (200, "miss", None, None)
    assert (export["route"], export["status"], export["bytes"] > 10_000) == ("/initiatives.{format}", 200, True)
    assert {line["message"] for line in lines if "message" in line} > {"Started worker-1"}
    assert secret not in output
    assert "hidden" not in output


@pytest.mark.slow
@ON_SQLITE
def test_access_log_as_text(settings: Settings) -> None:
    """The same for a person, and none by default."""
    port = unused_port()
    variables = {"DATABASE_URL": settings.database_url, "PORT": port, "STOP_DELAY": 0, "WORKERS": 1}
    for format, expected in (("text", ["miss", "hit", "hit"]), ("off", [])):
        with listening(SERVE, "127.0.0.1", port, **variables, ACCESS_LOG=format) as process:
            wait_until(lambda: answers(port, "/readyz"), process)
            for _ in range(3):
                assert answers(port, "/cities/boston-ma")
            process.terminate()
            output, _ = process.communicate(timeout=30)
        assert [match[1] for line in output.splitlines() if (match := LINE.fullmatch(line))] == expected


@ON_SQLITE
def test_the_cache_answers_behind_a_proxy(settings: Settings) -> None:
    """A request through a trusted proxy is answered from the cache, with the address that its client asked for."""
    port = unused_port()
    variables = {"DATABASE_URL": settings.database_url, "PORT": port, "WORKERS": 1, "TRUSTED_PROXIES": "127.0.0.1"}
    through = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.org"}
    with listening(SERVE, "127.0.0.1", port, **variables) as process:
        wait_until(lambda: answers(port, "/readyz"), process)
        told = []
        for headers in (through, through, {}, {}):
            with urlopen(Request(f"http://127.0.0.1:{port}/cities", headers=headers)) as response:
                link = json.load(response)["links"]["self"]
                told.append((link.partition("/cities")[0], response.headers["Server-Timing"].partition(",")[0]))
    own = f"http://127.0.0.1:{port}"
    assert told == [
        ("https://api.example.org", "cache;desc=miss"),
        ("https://api.example.org", "cache;desc=hit"),
        (own, "cache;desc=miss"),
        (own, "cache;desc=hit"),
    ]
