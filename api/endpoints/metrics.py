"""`/metrics`: what the server counts and holds, for Prometheus."""

from flask import Flask, Response, current_app
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from api.settings import Settings
from api.web import gauges
from api.web.metrics import Metrics
from api.web.observer import observer_of
from api.web.places import CHANGES, STREAMS, VERSION
from api.web.responses import no_store

# The kinds of places that an application may have; only a gateway receives bodies.
KINDS = (CHANGES, VERSION, STREAMS, "bodies")


def register(app: Flask, settings: Settings) -> None:
    """Add the metrics to an application, and their route unless they have a port of their own."""
    database = app.extensions["database"]
    if (counts := observer_of(app).counts) is None:
        return
    app.extensions["metrics"] = Metrics(
        counts,
        # A gateway replaces the places.
        lambda: gauges.of_process(database, {kind: app.extensions[kind] for kind in KINDS if kind in app.extensions}),
        lambda: gauges.of_dataset(database),
    )
    if not settings.metrics_port:
        app.add_url_rule("/metrics", view_func=read)


def read() -> Response:
    """Answer with all metrics as OpenMetrics."""
    metrics: Metrics = current_app.extensions["metrics"]
    return no_store(Response(metrics.text(), content_type=CONTENT_TYPE_LATEST))
