"""The application under a real instrumentation package, with the package's defaults, in a process of its own.

`python -m tests.support.instrumented sentry` prints, as JSON, the status and the SQL spans of each request, and the error that
a listener of the package raises without an execution context. The packages replace functions, so they start before our imports.
"""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

# The SQL statements of the spans so far; the list is emptied.
TakeStatements = Callable[[], list[str]]


def start_sentry() -> TakeStatements:
    """Initialize Sentry's SDK, with a transport that keeps the events."""
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.envelope import Envelope  # noqa: PLC0415
    from sentry_sdk.transport import Transport  # noqa: PLC0415

    envelopes: list[Envelope] = []

    class Memory(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            envelopes.append(envelope)

    def take() -> list[str]:
        events = [item.payload.json or {} for envelope in envelopes for item in envelope.items]
        envelopes.clear()
        spans = [span for event in events if event.get("type") == "transaction" for span in event["spans"]]
        return [span["description"] for span in spans if span["op"] == "db"]

    sentry_sdk.init(dsn="http://key@127.0.0.1/1", transport=Memory, traces_sample_rate=1)
    return take


def start_opentelemetry() -> TakeStatements:
    """Instrument SQLAlchemy and Flask with OpenTelemetry, and keep the spans."""
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.instrumentation.flask import FlaskInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument()
    # By default the package instruments nothing, since it was released for SQLAlchemy below 2.1. It also imports greenlet.
    SQLAlchemyInstrumentor().instrument(skip_dep_check=True)

    def take() -> list[str]:
        attributes = [span.attributes or {} for span in exporter.get_finished_spans()]
        exporter.clear()
        return [str(row["db.statement"]) for row in attributes if "db.statement" in row]

    return take


PACKAGES = {"sentry": start_sentry, "opentelemetry": start_opentelemetry}


def requests(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each path with a GET that anyone may make, with the address that the examples of its required parameters give."""
    shared = document["components"]["parameters"]
    for path, item in document["paths"].items():
        operation = item.get("get", {"security": []})
        if "security" in operation:
            continue
        rows = [*item.get("parameters", []), *operation.get("parameters", [])]
        rows = [shared[row["$ref"].split("/")[-1]] if "$ref" in row else row for row in rows]
        examples = {row["name"]: row.get("example", row["schema"].get("example")) for row in rows if row.get("required")}
        query = {name: value for name, value in examples.items() if f"{{{name}}}" not in path}
        yield path, path.format(**examples) + (f"?{urlencode(query)}" if query else "")


def main(package: str) -> None:
    """Send the requests, and print their results."""
    take_statements = PACKAGES[package]()
    from api.app import create_app  # noqa: PLC0415
    from api.db.statements import connection_of  # noqa: PLC0415
    from tests.support.applications import curating  # noqa: PLC0415

    app = create_app()
    client, database = app.test_client(), app.extensions["database"]
    document = client.get("/openapi.json").get_json()
    answers: dict[str, Any] = {}

    def note(name: str, *arguments: str, **options: Any) -> None:
        take_statements()
        with client.open(*arguments, **options) as response:
            response.get_data()
        answers[name] = (response.status_code, take_statements())

    for path, address in requests(document):
        note(path, address)
    curating(client, database)
    note("PATCH", "/cities/seattle-wa", method="PATCH", json={"summary": "Rain."}, headers={"If-Match": "*"})
    with database.reading() as session:
        error = error_without_context(connection_of(session))
    database.engine.dispose()
    print(json.dumps({"answers": answers, "error_without_context": error}))  # noqa: T201


def error_without_context(connection: Any) -> str | None:
    """Call the listeners without an execution context; return the name of the error that they raise."""
    try:
        for listener in connection.dispatch.before_cursor_execute:
            listener(connection, connection.connection.cursor(), "select 1", (), None, False)  # noqa: FBT003
    except AttributeError as error:
        return type(error).__name__
    return None


if __name__ == "__main__":
    main(sys.argv[1])
