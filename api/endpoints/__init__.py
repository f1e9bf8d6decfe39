"""What is at which path."""

from collections.abc import Sequence
from functools import cache

from flask import Flask

from api.endpoints import changesets, keys, webhooks
from api.endpoints.changes import sync
from api.endpoints.edits import add_edits
from api.endpoints.history import add_history
from api.endpoints.meta import assets, code, meta
from api.endpoints.proofs import proofs
from api.endpoints.records import blueprint
from api.endpoints.search import finding
from api.resources import RESOURCES
from api.web.blueprints import Blueprint
from api.web.openapi import document
from api.web.parameters import RecordConverter


@cache
def routes() -> Sequence[Blueprint]:
    """Return all routes, which every application of a process has."""
    nouns = [blueprint(resource) for resource in RESOURCES]
    for resource, own in zip(RESOURCES, nouns, strict=True):
        add_edits(own, resource)
        add_history(own, resource)
    return (*nouns, finding, sync, proofs, changesets.blueprint, keys.blueprint, webhooks.blueprint, meta)


def register(app: Flask) -> None:
    """Add the nouns, and everything that describes them, to the application."""
    app.url_map.converters["record"] = RecordConverter
    app.jinja_env.filters["code"] = code
    # An example shows its members in their own order.
    app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}
    for own in routes():
        app.register_blueprint(own)
    app.add_url_rule("/docs/<path:name>", view_func=assets)
    app.extensions["openapi"] = document(routes())
