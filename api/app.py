"""Wires the application, and nothing else."""

from dataclasses import replace

from flask import Flask

from api import cli, endpoints, logs, tracing
from api.db.database import Database
from api.query.directories import Directories
from api.query.plan import PLANNER
from api.settings import Settings
from api.web import auth, middleware, observer, places, problems
from api.web.application import App
from api.web.cache import Cache
from api.web.news import News
from api.web.proxies import Proxies, networks


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application, which has not connected to its database yet. Raises `SettingsError`."""
    settings = settings or Settings.from_env()
    logs.register(settings.log_format, settings.log_level)
    app = App("api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.url_map.merge_slashes = False
    database = Database(settings)
    primary = Database(replace(settings, database_url=settings.primary_url)) if settings.primary_url else None
    app.extensions |= {
        "database": database,
        "primary": primary,
        "planner": PLANNER,
        "directories": Directories(),
        "news": News(database),
        "proxies": Proxies(networks(settings.trusted_proxies)),
    } | places.on_threads(settings)
    middleware.register(app)
    problems.register(app)
    cli.register(app)
    auth.register(app, settings)
    observer.register(app, settings)
    endpoints.register(app, settings)
    app.extensions["tracing"] = tracing.start(app)
    if settings.cache_mb:
        app.wsgi_app = Cache(app.wsgi_app, database)  # type: ignore[assignment, method-assign]
    app.after_request(middleware.finish)
    return app
