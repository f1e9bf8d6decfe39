"""Tracing and error reports, switched on by the variables that OpenTelemetry and Sentry have for it.

Both packages are extras. Answers that come from the cache have no span: they take less time than one.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from flask import Flask

from api.settings import SettingsError

NAME = "digital-cities"
# The variables that switch a package on, with the package and the extra that installs it.
OPENTELEMETRY, SENTRY = "OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"
EXTRAS = {OPENTELEMETRY: ("opentelemetry.instrumentation.flask", "otel"), SENTRY: ("sentry_sdk", "sentry")}


def start(app: Flask) -> Callable[[], None]:
    """Start what the environment asks for; returns a function that sends the rest. Raises `SettingsError`."""
    endings = [begin(app) for variable, begin in STARTS.items() if _is_on(variable)]

    def end() -> None:
        for ending in endings:
            ending()

    return end


def _is_on(variable: str) -> bool:
    if not os.environ.get(variable):
        return False
    package, extra = EXTRAS[variable]
    if not _is_installed(package):
        raise SettingsError(f"{variable} needs a package that is not installed: pip install '{NAME}-api[{extra}]'")
    return True


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _start_opentelemetry(app: Flask) -> Callable[[], None]:
    """Send a span for each request and each statement to `OTEL_EXPORTER_OTLP_ENDPOINT`, by HTTP."""
    from opentelemetry import trace  # noqa: PLC0415 - an extra
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.instrumentation.flask import FlaskInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    os.environ.setdefault("OTEL_SERVICE_NAME", NAME)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]
    engines: list[Any] = [app.extensions[name].engine for name in ("database", "primary") if app.extensions[name]]
    # The package declares that it needs an older SQLAlchemy; our tests say that it works with this one.
    SQLAlchemyInstrumentor().instrument(engines=engines, skip_dep_check=True)
    return provider.shutdown


def _start_sentry(app: Flask) -> Callable[[], None]:
    """Report errors to Sentry, and the part of the requests that `SENTRY_TRACES_SAMPLE_RATE` names."""
    import sentry_sdk  # noqa: PLC0415 - an extra
    from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware  # noqa: PLC0415

    sentry_sdk.init(traces_sample_rate=float(os.environ.get("SENTRY_TRACES_SAMPLE_RATE") or 0))
    # The gateway calls the WSGI application itself, and not `Flask.__call__`, which Sentry replaces.
    app.wsgi_app = SentryWsgiMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    return sentry_sdk.flush


STARTS = {OPENTELEMETRY: _start_opentelemetry, SENTRY: _start_sentry}
