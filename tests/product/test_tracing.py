"""With a variable of theirs, OpenTelemetry and Sentry hear of the requests of a real server; without, nobody does."""

import gzip
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

import brotli
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api import tracing
from api.app import create_app
from api.settings import Settings, SettingsError
from tests.support.applications import NO_DATABASE
from tests.support.attacks import answers
from tests.support.databases import ON_SQLITE
from tests.support.processes import SERVE, listening, unused_port, wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
CODINGS = {"br": brotli.decompress, "gzip": gzip.decompress}
ASKED = ("/cities/boston-ma?include=awards", "/cities?name=hidden")


class Receiver(ThreadingHTTPServer):
    """Keeps the path and the body of each POST."""

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: queue.Queue[tuple[str, bytes]] = queue.Queue()

    def bodies(self) -> list[tuple[str, bytes]]:
        """Return what has arrived."""
        return [self.received.get_nowait() for _ in range(self.received.qsize())]


class Handler(BaseHTTPRequestHandler):
    """Answers each POST with 200."""

    server: Receiver

    def do_POST(self) -> None:
        """Keep the body."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.put((self.path, CODINGS.get(self.headers["Content-Encoding"], bytes)(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A collector of OTLP, and of Sentry's envelopes."""
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.shutdown()


@contextmanager
def served(settings: Settings, **variables: object) -> Iterator[None]:
    """Ask a real server, which ends by itself."""
    port = unused_port()
    of_server = {"DATABASE_URL": settings.database_url, "PORT": port, "WORKERS": 1, "STOP_DELAY": 0, "CACHE_MB": 0}
    with listening(SERVE, "127.0.0.1", port, **of_server, **variables) as process:
        wait_until(lambda: answers(port, "/readyz"), process)
        for path in ASKED:
            request = Request(f"http://127.0.0.1:{port}{path}", headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
            with urlopen(request) as response:
                assert response.status == 200
        process.terminate()
        process.communicate(timeout=30)
    yield


@pytest.mark.slow
@ON_SQLITE
def test_opentelemetry(settings: Settings, receiver: Receiver) -> None:
    """A collector gets a span for each request, in the trace that its client named, and one for each of its statements."""
    with served(settings, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.server_port}"):
        exports = [ExportTraceServiceRequest.FromString(body) for path, body in receiver.bodies() if path == "/v1/traces"]
    resources = [resource for export in exports for resource in export.resource_spans]
    names = {
        row.value.string_value for resource in resources for row in resource.resource.attributes if row.key == "service.name"
    }
    assert names == {"digital-cities"}
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    ours = [span for span in spans if span.trace_id.hex() == TRACE]
    requests = {span.span_id for span in ours if span.name in {"GET /cities/<record:id>", "GET /cities"}}
    assert len(requests) == len(ASKED)
    assert len([span for span in ours if span.parent_span_id in requests and span.name.startswith("SELECT")]) >= len(ASKED)


@pytest.mark.slow
@ON_SQLITE
def test_sentry(settings: Settings, receiver: Receiver) -> None:
    """Sentry gets a transaction for each request, in the trace of its client."""
    dsn = f"http://key@127.0.0.1:{receiver.server_port}/1"
    with served(settings, SENTRY_DSN=dsn, SENTRY_TRACES_SAMPLE_RATE="1"):
        lines = [json.loads(line) for _, body in receiver.bodies() for line in body.splitlines() if line.startswith(b"{")]
    transactions = [line for line in lines if line.get("transaction") and "spans" in line]
    assert len([row for row in transactions if row["request"]["url"].endswith(("/cities", "/cities/boston-ma"))]) == len(ASKED)


@pytest.mark.slow
@ON_SQLITE
def test_nobody_hears_without_a_variable(settings: Settings, receiver: Receiver) -> None:
    """The control: without a variable, nothing is sent."""
    with served(settings):
        assert receiver.bodies() == []


@pytest.mark.parametrize("variable", tracing.EXTRAS)
def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A variable of a package that is not installed stops the start with the command that installs it."""
    monkeypatch.setitem(tracing.EXTRAS, variable, ("unheard_of.package", "extra"))
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with pytest.raises(SettingsError, match=rf"{variable} needs .*: pip install 'digital-cities-api\[extra\]'"):
        create_app(NO_DATABASE)
