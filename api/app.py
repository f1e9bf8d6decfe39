"""Wires the application together, and nothing else."""

from flask import Flask, Response
from flask_cors import CORS

from api import cli, docs, problems
from api.db import Database
from api.settings import Settings

EXPOSED = ["ETag", "Link", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"]
READS = ["GET", "HEAD", "OPTIONS"]
MAX_BODY = 1_000_000


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application; it connects to nothing yet. Raises `SettingsError`."""
    app = Flask("api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.merge_slashes = False
    app.extensions["database"] = Database(settings or Settings.from_env())
    CORS(app, origins="*", methods=READS, send_wildcard=True, expose_headers=EXPOSED, max_age=86400)
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
