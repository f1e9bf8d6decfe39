"""The endpoints: one module for each family of paths, with its schemas."""

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
    """Return the blueprints of all paths; every application of a process has the same."""
    nouns = [blueprint(resource) for resource in RESOURCES]
    for resource, noun in zip(RESOURCES, nouns, strict=True):
        add_edits(noun, resource)
        add_history(noun, resource)
    return (*nouns, finding, sync, proofs, changesets.blueprint, keys.blueprint, webhooks.blueprint, meta)


def register(app: Flask) -> None:
    """Add all paths, the converter and template filter that they use, and the OpenAPI document to an application."""
    app.url_map.converters["record"] = RecordConverter
    app.jinja_env.filters["code"] = code
    # Templates show the members of an example in the order of its dict.
    app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}
    for route in routes():
        app.register_blueprint(route)
    app.add_url_rule("/docs/<path:name>", view_func=assets)
    app.extensions["openapi"] = document(routes())
