"""What describes the API: the OpenAPI document, the interactive page, the index, the problem pages, health."""

import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from flask import Response, current_app, render_template, send_from_directory
from markupsafe import Markup, escape
from marshmallow import Schema, fields
from werkzeug.exceptions import NotFound

from api import __version__
from api.errors import ProblemError
from api.resources import RESOURCES
from api.web.blueprints import Blueprint, NoArguments, documents
from api.web.headers import HEADERS, IF_NONE_MATCH, NOT_KEPT, UNCHANGED, VARY
from api.web.openapi import SUMMARY, TITLE
from api.web.problem_types import PROBLEMS
from api.web.problems import ProblemSchema, base_url, example
from api.web.responses import JSON, conditional, database, negotiate, tagged

HTML = "text/html"
# Everything comes from here; the interactive page's style sheet needs inline styles and data: pictures.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SWAGGER_UI = Path(str(files("flask_swagger_ui"))) / "dist"
STATIC = Path(__file__).parent / "static"
ASSETS = {
    "docs.js": STATIC,
    "page.css": STATIC,
    "swagger-ui.css": SWAGGER_UI,
    "swagger-ui-bundle.js": SWAGGER_UI,
    "favicon-32x32.png": SWAGGER_UI,
}


class LinkSchema(Schema):
    """A place to go."""

    name = fields.String(required=True, metadata={"description": "What is there.", "example": "cities"})
    description = fields.String(required=True, metadata={"description": "What it is for.", "example": "Cities of a survey."})
    url = fields.String(
        required=True, metadata={"description": "Its address.", "example": "https://api.example.org/cities", "format": "uri"}
    )


class IndexSchema(Schema):
    """Where everything is."""

    title = fields.String(required=True, metadata={"description": "Name of the API.", "example": TITLE})
    description = fields.String(required=True, metadata={"description": "What it holds.", "example": SUMMARY})
    version = fields.String(required=True, metadata={"description": "Release of the software.", "example": __version__})
    nouns = fields.List(fields.Nested(LinkSchema), required=True, metadata={"description": "The lists, in reading order."})
    links = fields.List(fields.Nested(LinkSchema), required=True, metadata={"description": "Everything else."})


class HealthSchema(Schema):
    """A health check that passed."""

    status = fields.String(required=True, metadata={"description": "`ok`; anything else is a problem.", "example": "ok"})


class ProblemTypeSchema(Schema):
    """A kind of problem."""

    type = fields.String(
        required=True,
        metadata={"description": "Its address.", "example": "https://api.example.org/problems/not-found", "format": "uri"},
    )
    title = fields.String(required=True, metadata={"description": "What it is.", "example": "There is no such page"})
    status = fields.Integer(required=True, metadata={"description": "HTTP status that it comes with.", "example": 404})
    description = fields.String(
        required=True, metadata={"description": "What to do about it.", "example": "The path is none of ours."}
    )
    example = fields.Nested(ProblemSchema, required=True, metadata={"description": "What it looks like."})


class ProblemTypeListSchema(Schema):
    """Every kind of problem."""

    data = fields.List(fields.Nested(ProblemTypeSchema), required=True, metadata={"description": "The kinds of problem."})


meta = Blueprint("meta", __name__, description="The index, the documentation, the problem types and the health checks.")

PAGE: dict[str, Any] = {"schema": {"type": "string"}, "content_type": HTML}


@meta.route("/", parameters=[IF_NONE_MATCH])
@meta.arguments(NoArguments, location="query")
@meta.response(200, IndexSchema, description="Where everything is.", headers=HEADERS | VARY)
@meta.alt_response(200, **PAGE, description="Where everything is.", headers=HEADERS | VARY, success=True)
@meta.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
@documents(meta, "invalid-query", "not-acceptable")
@meta.doc(operationId="index", summary="Find everything")
def index(_arguments: dict[str, Any]) -> Response:
    """Links for machines (`application/json`), a readable page for people (`text/html`)."""
    base = base_url()
    links = [
        {"name": "example", "description": "A record, with its figures.", "url": f"{base}/initiatives/los-angeles-ca-myla311"},
        {"name": "search", "description": "Full text in every noun.", "url": f"{base}/search?q=digital"},
        {"name": "suggest", "description": "Completes what is typed.", "url": f"{base}/suggest?q=san"},
        {"name": "changes", "description": "Every change, to follow.", "url": f"{base}/changes?since=0"},
        {"name": "digest", "description": "Proves a copy.", "url": f"{base}/digest"},
        {"name": "snapshot", "description": "Everything at once.", "url": f"{base}/snapshot"},
        {"name": "docs", "description": "Interactive documentation.", "url": f"{base}/docs"},
        {"name": "openapi", "description": "The OpenAPI 3.1 document.", "url": f"{base}/openapi.json"},
        {"name": "problems", "description": "Every kind of error, with its cure.", "url": f"{base}/problems"},
        {"name": "livez", "description": "Whether the process is up.", "url": f"{base}/livez"},
        {"name": "readyz", "description": "Whether it can serve.", "url": f"{base}/readyz"},
    ]
    nouns = [{"name": row.name, "description": row.description, "url": f"{base}/{row.name}"} for row in RESOURCES]
    body = {"title": TITLE, "description": SUMMARY, "version": __version__, "nouns": nouns, "links": links}
    return _either("index.html", body)


@meta.route("/problems", parameters=[IF_NONE_MATCH])
@meta.arguments(NoArguments, location="query")
@meta.response(200, ProblemTypeListSchema, description="Every kind of problem.", headers=HEADERS | VARY)
@meta.alt_response(200, **PAGE, description="Every kind of problem.", headers=HEADERS | VARY, success=True)
@meta.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
@documents(meta, "invalid-query", "not-acceptable")
@meta.doc(operationId="list_problems", summary="List the kinds of problem")
def problem_types(_arguments: dict[str, Any]) -> Response:
    """Every `type` that an error can have: what it means and what to do."""
    return _either("problems.html", {"data": [_problem_type(name) for name in PROBLEMS]})


NAME = {
    "name": "name",
    "in": "path",
    "description": "Last part of a problem's `type`.",
    "schema": {"type": "string", "enum": list(PROBLEMS)},
    "example": "invalid-query",
}


@meta.route("/problems/<string:name>", parameters=[NAME, IF_NONE_MATCH])
@meta.arguments(NoArguments, location="query")
@meta.response(200, ProblemTypeSchema, description="The kind of problem.", headers=HEADERS | VARY)
@meta.alt_response(200, **PAGE, description="The kind of problem.", headers=HEADERS | VARY, success=True)
@meta.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
@documents(meta, "invalid-query", "not-found", "not-acceptable")
@meta.doc(operationId="get_problem", summary="Read about one kind of problem")
def problem_type(_arguments: dict[str, Any], name: str) -> Response:
    """Read what a problem's `type` points to."""
    if name not in PROBLEMS:
        raise ProblemError("not-found", "There is no such kind of problem; `/problems` lists them.")
    return _either("problem.html", _problem_type(name))


def _problem_type(name: str) -> dict[str, Any]:
    row = PROBLEMS[name]
    body = {"type": f"{base_url()}/problems/{name}", "title": row.title, "status": row.status}
    return {**body, "description": row.description, "example": example(row)}


@meta.route("/openapi.json", parameters=[IF_NONE_MATCH])
@meta.arguments(NoArguments, location="query")
@meta.response(200, {"type": "object"}, description="The document.", headers=HEADERS)
@meta.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(meta, "invalid-query", "not-acceptable")
@meta.doc(operationId="openapi", summary="Read the OpenAPI document")
def openapi(_arguments: dict[str, Any]) -> Response:
    """Read this document."""
    negotiate(JSON)
    return _stable(current_app.extensions["openapi"], JSON)


@meta.route("/docs", parameters=[IF_NONE_MATCH])
@meta.arguments(NoArguments, location="query")
@meta.response(200, {"type": "string"}, content_type=HTML, description="The page.", headers=HEADERS)
@meta.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(meta, "invalid-query", "not-acceptable")
@meta.doc(operationId="docs", summary="Read and try the API")
def docs(_arguments: dict[str, Any]) -> Response:
    """Interactive documentation for the browser; it loads nothing from elsewhere."""
    negotiate(HTML)
    return _stable(render_template("docs.html", title=TITLE).encode(), HTML)


@meta.route("/livez")
@meta.arguments(NoArguments, location="query")
@meta.response(200, HealthSchema, description="It is up.", headers=NOT_KEPT)
@documents(meta, "invalid-query")
@meta.doc(operationId="livez", summary="Ask whether the process is up")
def livez(_arguments: dict[str, Any]) -> Response:
    """Asks nothing of the database."""
    return _healthy()


@meta.route("/readyz")
@meta.arguments(NoArguments, location="query")
@meta.response(200, HealthSchema, description="It can serve.", headers=NOT_KEPT)
@documents(meta, "invalid-query", "unavailable")
@meta.doc(operationId="readyz", summary="Ask whether it can serve")
def readyz(_arguments: dict[str, Any]) -> Response:
    """Check that the database is reachable, and migrated to what this release needs."""
    reason = database().unreadiness()
    if reason:
        raise ProblemError("unavailable", reason)
    return _healthy()


def assets(name: str) -> Response:
    """Serve a file of the interactive documentation."""
    if name not in ASSETS:
        raise NotFound
    # Whole or not at all: a range or a failed If-Match would be an answer that is documented nowhere.
    response = send_from_directory(ASSETS[name], name, conditional=False)
    if unchanged := conditional(str(response.get_etag()[0])):
        response.close()
        response = unchanged
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


def _healthy() -> Response:
    response = Response('{"status":"ok"}', content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    return response


def code(text: str) -> Markup:
    """Show what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped, but for our two tags


def _either(template: str, body: dict[str, Any]) -> Response:
    """Answer with JSON or with a page, whichever the caller likes better."""
    media_type = negotiate(JSON, HTML)
    content = render_template(template, **body) if media_type == HTML else json.dumps(body, separators=(",", ":"))
    response = _stable(content.encode(), media_type)
    response.headers["Vary"] = "Accept"
    return response


def _stable(content: bytes, media_type: str) -> Response:
    """Answer with something that only a new release changes."""
    etag = hashlib.sha256(content).hexdigest()[:16]
    charset = "; charset=utf-8" if media_type == HTML else ""
    response = conditional(etag) or tagged(Response(content, content_type=media_type + charset), etag)
    if media_type == HTML:
        response.headers["Content-Security-Policy"] = POLICY
    return response
