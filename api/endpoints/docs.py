"""The documentation: its index, a page for each tag of the OpenAPI document, and a search."""

from collections.abc import Collection
from functools import cache
from typing import Any

from flask import Response, current_app, request
from werkzeug.exceptions import NotFound

from api.errors import ErrorList
from api.html import templates
from api.schema.operators import OPERATORS
from api.web import frames
from api.web.blueprints import Blueprint, NoArguments, documents
from api.web.headers import CONDITIONS, HEADERS, UNCHANGED, VARY
from api.web.negotiation import HTML
from api.web.openapi import TITLE
from api.web.reference import Reference
from api.web.responses import negotiate
from api.web.snippets import snippets
from api.web.urls import base_url, root

# Hits that a page of the search shows.
MOST = 100
# Characters that the search looks for.
LONGEST = 200


@cache
def reference(document: bytes) -> Reference:
    """Return the document as the pages show it: to read it takes longer than to answer."""
    return Reference(document)


def add_routes(blp: Blueprint) -> None:
    """Add the route of the index to a blueprint. Its pages are part of it: the OpenAPI document does not have them."""

    @blp.route("/docs", parameters=CONDITIONS)
    @blp.arguments(NoArguments, location="query")
    @blp.response(200, {"type": "string"}, content_type=HTML, description="The page.", headers=HEADERS | VARY)
    @blp.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
    @documents(blp, "invalid-query", "not-acceptable", "precondition-failed")
    @blp.doc(operationId="docs", summary="Read the documentation")
    def docs(_arguments: dict[str, Any]) -> Response:
        """Read the documentation in a browser, with examples to copy. Its pages load nothing from other hosts."""
        return _page("docs.html", operators=OPERATORS.values())


def page(name: str) -> Response:
    """Serve a page of the documentation. Raises a 404, and a 400 for an unknown parameter."""
    _refuse_others({"q"} if name == "find" else set())
    if name == "find":
        text = request.args.get("q", "")[:LONGEST]
        return _page("docs_search.html", q=text, hits=_reference().search(text), most=MOST)
    if name not in _reference().tags:
        raise NotFound
    return _page("docs_tag.html", tag=name, base=base_url(), snippets=snippets)


def _refuse_others(known: Collection[str]) -> None:
    errors = ErrorList()
    for name in {*request.args} - {*known}:
        errors.unknown(name, known)
    errors.raise_any()


def _page(template: str, **context: Any) -> Response:
    negotiate(HTML)
    frame = {
        "title": TITLE,
        "root": root(),
        "reference": _reference(),
        "tag": "",
        "q": "",
        "searched": template == "docs_search.html",
    }
    text = templates.render(template, **frame | context)
    return frames.stable(frames.guarded(text))


def _reference() -> Reference:
    return reference(current_app.extensions["openapi"])
