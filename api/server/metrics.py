"""The metrics of all workers: a folder that they share, and a port of their own."""

import threading
import time
from pathlib import Path

from flask import Flask
from prometheus_client import CollectorRegistry, start_http_server

from api.settings import Settings
from api.web.metrics import Metrics

# Seconds after which a worker looks whether the port has become free, because the worker that had it has ended.
PERIOD = 1.0


def share(app: Flask, settings: Settings, folder: Path) -> None:
    """Join the metrics of a worker with those of the others, and serve them on their port, if they are switched on."""
    metrics: Metrics | None = app.extensions.get("metrics")
    if metrics is None:
        return
    metrics.share(folder)
    if settings.metrics_port:
        threading.Thread(target=_listen, args=(metrics, settings), name="metrics port", daemon=True).start()


def _listen(metrics: Metrics, settings: Settings) -> None:
    """Serve the metrics as soon as no other worker does."""
    registry = CollectorRegistry()
    registry.register(metrics)
    while True:
        try:
            _, thread = start_http_server(settings.metrics_port, settings.host, registry)
        except OSError:
            time.sleep(PERIOD)
        else:
            thread.join()
