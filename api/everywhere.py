"""Full text in every noun at once: `/search` for results, `/suggest` for type-ahead."""

import json
from typing import Any

from flask import Response, request

from api import __version__, dataset, hits, parsing, query, search
from api.answers import SearchAnswerSchema, SuggestAnswerSchema
from api.db import Database
from api.problems import base_url
from api.resources import BY_NAME
from api.rest import parameter_component
from api.versions import served
from api.web import (
    HEADERS,
    IF_NONE_MATCH,
    JSON,
    LINK,
    UNCHANGED,
    Blueprint,
    address,
    conditional,
    documents,
    link_header,
    negotiate,
    tagged,
)

finding = Blueprint("search", __name__, description="Full text in every noun at once.")


def parameters(path: str) -> list[dict[str, Any]]:
    """Return the parameters of a path as OpenAPI has them."""
    found = [{"name": name, "in": "query", **parameter_component(row)} for name, row in query.FIND_PARAMETERS[path].items()]
    return [{**row, "required": True} if row["name"] == "q" else row for row in found]


@finding.route("/search", parameters=[IF_NONE_MATCH])
@finding.response(200, SearchAnswerSchema, description="A page of what was found.", headers=HEADERS | LINK)
@finding.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(finding, "invalid-query", "invalid-cursor", "not-acceptable", "unavailable")
@finding.doc(operationId="search", summary="Search every noun", parameters=parameters("search"))
def find() -> Response:
    """Best first: all of `q` side by side in the title, then all in the title, then anywhere; by noun, the newest first."""
    negotiate(JSON)
    asked = parsing.parse_find("search", request.args.lists())
    return served(lambda database: _find(database, asked), asked.min_version)


def _find(database: Database, asked: query.Find) -> Response:
    with database.reading() as session:
        version = dataset.dataset_version(session)
        etag = f"{__version__}-{version}"
        if unchanged := conditional(etag):
            return unchanged
        rows, cursor = hits.find(session, asked)
        number, relation = hits.find_total(session, asked)
    links = {"self": address(request.args), "next": cursor and address(request.args, cursor=cursor)}
    body = {
        "data": [found(hit, asked) for hit in rows],
        "page": {"limit": asked.limit, "cursor": cursor, "total": number, "total_relation": relation},
        "links": links,
        "meta": {"version": version},
    }
    response = tagged(Response(json.dumps(body, separators=(",", ":")), content_type=JSON), etag)
    response.headers["Link"] = link_header(links)
    return response


@finding.route("/suggest", parameters=[IF_NONE_MATCH])
@finding.response(200, SuggestAnswerSchema, description="What may have been meant.", headers=HEADERS)
@finding.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(finding, "invalid-query", "not-acceptable", "unavailable")
@finding.doc(operationId="suggest", summary="Complete what is typed", parameters=parameters("suggest"))
def suggest() -> Response:
    """Find records with a word for each one typed that begins with it: names that begin so first, then by noun and name."""
    negotiate(JSON)
    asked = parsing.parse_find("suggest", request.args.lists())
    return served(lambda database: _suggest(database, asked), asked.min_version)


def _suggest(database: Database, asked: query.Find) -> Response:
    with database.reading() as session:
        version = dataset.dataset_version(session)
        etag = f"{__version__}-{version}"
        if unchanged := conditional(etag):
            return unchanged
        rows = hits.suggest(session, asked)
    body = {"data": [named(hit) for hit in rows], "meta": {"version": version}}
    return tagged(Response(json.dumps(body, separators=(",", ":")), content_type=JSON), etag)


def named(hit: hits.Hit) -> dict[str, Any]:
    """Return a record's name and address."""
    return {"kind": hit.kind, "id": hit.id, "label": hits.label(hit), "url": f"{base_url()}/{hit.kind}/{hit.id}"}


def found(hit: hits.Hit, asked: query.Find) -> dict[str, Any]:
    """Return a record with its name and address."""
    record = json.loads(hit.document)
    answer = {**named(hit), "record": record}
    if asked.highlights:
        answer["highlights"] = search.highlights(asked.search, BY_NAME[hit.kind], record)
    return answer
