"""The endpoints: one module for each family of paths, with its schemas."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from flask import Flask

from api.endpoints import (
    changes,
    changesets,
    docs,
    edit,
    edits,
    front,
    health,
    history,
    keys,
    messages,
    metrics,
    pages,
    proofs,
    proposals,
    reconcile,
    records,
    search,
    webhooks,
)
from api.endpoints.meta import meta
from api.resources import RESOURCES
from api.schema.resource import Resource
from api.settings import Settings
from api.web.blueprints import Blueprint
from api.web.openapi import document
from api.web.parameters import RecordConverter

# The OpenAPI document of this release, as `make docs` writes it.
DOCUMENT = Path(__file__).parent / "static" / "openapi.json"


@cache
def routes() -> Sequence[Blueprint]:
    """Return the blueprints of all routes; all applications of a process share them."""
    nouns = [_noun_routes(resource) for resource in RESOURCES]
    docs.add_routes(meta)
    others = [module.blueprint for module in (search, reconcile, changes, proofs, changesets, proposals, keys, webhooks)]
    return (*nouns, *others, front.blueprint, meta, health.blueprint)


def _noun_routes(resource: Resource) -> Blueprint:
    blueprint = records.blueprint_of(resource)
    edits.add_routes(blueprint, resource)
    history.add_routes(blueprint, resource)
    return blueprint


def described() -> bytes:
    """Return the OpenAPI document of the routes. It is made for each release, and not at each start, which it would delay."""
    return document(routes(), messages.WEBHOOKS, messages.SCHEMAS)


def register(app: Flask, settings: Settings) -> None:
    """Add all routes and the OpenAPI document to an application."""
    app.url_map.converters["record"] = RecordConverter
    for blueprint in routes():
        app.register_blueprint(blueprint)
    edit.add_routes(app)
    app.add_url_rule("/docs/<path:name>", view_func=docs.page)
    app.add_url_rule("/static/<string:name>", view_func=pages.static)
    app.add_url_rule("/digest/buckets/<noun>/<number>", view_func=proofs.read_bucket)
    app.add_url_rule("/robots.txt", view_func=pages.robots)
    app.add_url_rule("/sitemap.xml", view_func=pages.sitemap)
    app.add_url_rule("/sitemap-<string:noun>-<int:part>.xml", view_func=pages.sitemap_part)
    metrics.register(app, settings)
    app.extensions["openapi"] = DOCUMENT.read_bytes()
    # What answers look like: another release has another document.
    app.extensions["release"] = hashlib.sha256(app.extensions["openapi"]).hexdigest()
