"""Wires the application together, and nothing else."""

from threading import Semaphore
from typing import Any

from flask import Flask, Response
from flask_cors import CORS

from api import cli, docs, problems
from api.db import Database
from api.rest import RecordConverter
from api.settings import Settings

EXPOSED = ["ETag", "Link", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id", "Content-Disposition"]
READS = ["GET", "HEAD", "OPTIONS"]
# A path's methods as browsers are told of them.
METHODS: dict[Any, Any] = {r"/[a-z]+/search": {"methods": ["POST", "OPTIONS"]}, r"/*": {"methods": READS}}
MAX_BODY = 1_000_000


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application; it connects to nothing yet. Raises `SettingsError`."""
    app = Flask("api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.merge_slashes = False
    app.url_map.converters["record"] = RecordConverter
    database = Database(settings or Settings.from_env())
    app.extensions["database"] = database
    # A thread is left for everyone else.
    app.extensions["streams"] = Semaphore(max(1, database.settings.threads - 1))
    CORS(app, resources=METHODS, origins="*", send_wildcard=True, expose_headers=EXPOSED, max_age=86400)
    problems.register(app)
    docs.register(app)
    cli.register(app)
    app.after_request(finish)
    return app


def finish(response: Response) -> Response:
    """Name the request, and keep browsers from guessing what an answer is."""
    response.headers["X-Request-Id"] = problems.request_id()
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
