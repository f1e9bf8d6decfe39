"""Wires the application together, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from threading import Semaphore
from typing import Any

from flask import Flask, Response, request
from flask_cors import CORS

from api import cli, endpoints
from api.db.database import Database
from api.resources import RESOURCES
from api.settings import Settings
from api.web import auth, problems
from api.web.cache import Cache
from api.web.compression import compress

EXPOSED = [
    "ETag",
    "Link",
    "Location",
    "Allow",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-Request-Id",
    "Content-Disposition",
    "Idempotent-Replayed",
    "Preference-Applied",
    "WWW-Authenticate",
]
READS = ["GET", "HEAD", "OPTIONS"]
RECORDS = "|".join(resource.name for resource in RESOURCES)
# A path's methods as browsers are told of them.
METHODS: dict[Any, Any] = {
    rf"/({RECORDS})/search": {"methods": ["POST", "OPTIONS"]},
    rf"/({RECORDS}|keys|webhooks)": {"methods": [*READS, "POST"]},
    rf"/({RECORDS})/[^/]+/history": {"methods": READS},
    rf"/({RECORDS})/[^/]+": {"methods": [*READS, "PUT", "PATCH", "DELETE"]},
    r"/changesets": {"methods": ["POST", "OPTIONS"]},
    r"/webhooks/[^/]+/resume": {"methods": ["POST", "OPTIONS"]},
    r"/webhooks/[^/]+": {"methods": ["DELETE", "OPTIONS"]},
    r"/keys/[^/]+/rotate": {"methods": ["POST", "OPTIONS"]},
    r"/keys/[^/]+": {"methods": ["DELETE", "OPTIONS"]},
    r"/*": {"methods": READS},
}
MAX_BODY = 1_000_000


class App(Flask):
    """A Flask application without a coroutine among its views, so that none is looked at for being one."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return it as it is: smorest asks some ten times a request."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application; it connects to nothing yet. Raises `SettingsError`."""
    app = App("api", static_folder=None, template_folder="endpoints/templates")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.merge_slashes = False
    database = Database(settings or Settings.from_env())
    app.extensions["database"] = database
    own = database.settings
    app.extensions["primary"] = Database(replace(own, database_url=own.primary_url)) if own.primary_url else None
    # A thread is left for everyone else.
    app.extensions["streams"] = Semaphore(max(1, database.settings.threads - 1))
    app.extensions["waiters"] = Semaphore(min(own.waiters, own.threads - 1))
    CORS(app, resources=METHODS, origins="*", send_wildcard=True, expose_headers=EXPOSED, max_age=86400)
    problems.register(app)
    endpoints.register(app)
    cli.register(app)
    auth.register(app, database.settings)
    if own.cache_mb:
        app.wsgi_app = Cache(app.wsgi_app, database)  # type: ignore[assignment, method-assign]
    app.after_request(finish)
    return app


def finish(response: Response) -> Response:
    """Name the request, keep browsers from guessing what an answer is, and compress what is read."""
    # Whoever can be told that nothing has changed.
    if "ETag" in response.headers and request.method in READS:
        response = compress(request, response)
    response.headers["X-Request-Id"] = problems.request_id()
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
