"""Full text in every noun at once: `/search` for results, `/suggest` for type-ahead."""

import json
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields, validate

from api import __version__
from api.db.database import Database
from api.ledger import head
from api.ledger.index import words
from api.query import language, parser, search
from api.query.language import SEARCHABLE
from api.resources import BY_NAME
from api.web.consistency import served
from api.web.envelopes import LinksSchema, MetaSchema, PageSchema, _title, highlights_of
from api.web.parameters import parameter_component
from api.web.problems import base_url
from api.web.responses import (
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


class HitSchema(Schema):
    """A record that was found."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf([resource.name for resource in SEARCHABLE]),
        metadata={"description": "Its noun.", "example": "initiatives"},
    )
    id = fields.String(required=True, metadata={"description": "Its id.", "example": "los-angeles-ca-myla311"})
    label = fields.String(required=True, metadata={"description": "What a reader calls it.", "example": "MyLA311"})
    url = fields.String(
        required=True,
        metadata={
            "description": "Its address.",
            "example": "https://api.example.org/initiatives/los-angeles-ca-myla311",
            "format": "uri",
        },
    )


class FoundSchema(HitSchema):
    """A record that was found, with all that it says."""

    record = fields.Raw(
        required=True,
        metadata={
            "description": "The record.",
            "anyOf": [{"$ref": f"#/components/schemas/{_title(resource)}"} for resource in SEARCHABLE],
        },
    )
    highlights = highlights_of()


class SearchAnswerSchema(Schema):
    """Records of every noun that were found, the best first."""

    data = fields.List(fields.Nested(FoundSchema), required=True, metadata={"description": "The best first."})
    page = fields.Nested(PageSchema, required=True, metadata={"description": "Where this page stands in the list."})
    links = fields.Nested(LinksSchema, required=True, metadata={"description": "Addresses of this page and the next."})
    meta = fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."})


class SuggestAnswerSchema(Schema):
    """Records whose names have words that begin as typed."""

    data = fields.List(fields.Nested(HitSchema), required=True, metadata={"description": "At most 10, the best first."})
    meta = fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."})


finding = Blueprint("search", __name__, description="Full text in every noun at once.")


def parameters(path: str) -> list[dict[str, Any]]:
    """Return the parameters of a path as OpenAPI has them."""
    found = [{"name": name, "in": "query", **parameter_component(row)} for name, row in language.FIND_PARAMETERS[path].items()]
    return [{**row, "required": True} if row["name"] == "q" else row for row in found]


@finding.route("/search", parameters=[IF_NONE_MATCH])
@finding.response(200, SearchAnswerSchema, description="A page of what was found.", headers=HEADERS | LINK)
@finding.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(finding, "invalid-query", "invalid-cursor", "not-acceptable", "unavailable")
@finding.doc(operationId="search", summary="Search every noun", parameters=parameters("search"))
def find() -> Response:
    """Best first: all of `q` side by side in the title, then all in the title, then anywhere; by noun, the newest first."""
    negotiate(JSON)
    asked = parser.parse_find("search", request.args.lists())
    return served(lambda database: _find(database, asked), asked.min_version)


def _find(database: Database, asked: language.Find) -> Response:
    with database.reading() as session:
        version = head.state(session).version
        etag = f"{__version__}-{version}"
        if unchanged := conditional(etag):
            return unchanged
        rows, cursor = search.find(session, asked)
        number, relation = search.find_total(session, asked)
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
    asked = parser.parse_find("suggest", request.args.lists())
    return served(lambda database: _suggest(database, asked), asked.min_version)


def _suggest(database: Database, asked: language.Find) -> Response:
    with database.reading() as session:
        version = head.state(session).version
        etag = f"{__version__}-{version}"
        if unchanged := conditional(etag):
            return unchanged
        rows = search.suggest(session, asked)
    body = {"data": [named(hit) for hit in rows], "meta": {"version": version}}
    return tagged(Response(json.dumps(body, separators=(",", ":")), content_type=JSON), etag)


def named(hit: search.Hit) -> dict[str, Any]:
    """Return a record's name and address."""
    return {"kind": hit.kind, "id": hit.id, "label": search.label(hit), "url": f"{base_url()}/{hit.kind}/{hit.id}"}


def found(hit: search.Hit, asked: language.Find) -> dict[str, Any]:
    """Return a record with its name and address."""
    record = json.loads(hit.document)
    answer = {**named(hit), "record": record}
    if asked.highlights:
        answer["highlights"] = words.highlights(asked.search, BY_NAME[hit.kind], record)
    return answer
