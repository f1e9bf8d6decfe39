"""Full text in every noun at once: `/search` for results, `/suggest` for type-ahead."""

import json
from typing import Any

from flask import Response, current_app, request
from marshmallow import Schema, fields, validate

from api.ledger import head
from api.ledger.index import words
from api.query import parser, search
from api.query.language import SEARCHABLE, Find
from api.query.parameters import FIND_PARAMETERS
from api.resources import BY_NAME
from api.web import envelopes, tags
from api.web.blueprints import Blueprint, documents
from api.web.consistency import ReadView, reading
from api.web.headers import CONDITIONS, HEADERS, LINK, UNCHANGED
from api.web.parameters import query_parameters
from api.web.problems import base_url
from api.web.responses import JSON, address, conditional, json_response, negotiate, tagged
from api.web.schemas import LinksSchema, MetaSchema, PageSchema, highlights_field, schema_name


class HitSchema(Schema):
    """The name and the URL of a record."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf([resource.name for resource in SEARCHABLE]),
        metadata={"description": "The record's noun.", "example": "initiatives"},
    )
    id = fields.String(required=True, metadata={"description": "The record's id.", "example": "los-angeles-ca-myla311"})
    label = fields.String(required=True, metadata={"description": "Name or title of the record.", "example": "MyLA311"})
    url = fields.String(
        required=True,
        metadata={
            "description": "URL of the record.",
            "example": "https://api.example.org/initiatives/los-angeles-ca-myla311",
            "format": "uri",
        },
    )


class FoundSchema(HitSchema):
    """A record that the search finds."""

    record = fields.Raw(
        required=True,
        metadata={
            "description": "The record.",
            "anyOf": [{"$ref": f"#/components/schemas/{schema_name(resource)}"} for resource in SEARCHABLE],
        },
    )
    highlights = highlights_field()


class SearchAnswerSchema(Schema):
    """A page of the records that a search finds, the best first."""

    data = fields.List(fields.Nested(FoundSchema), required=True, metadata={"description": "The best first."})
    page = fields.Nested(PageSchema, required=True, metadata={"description": "Which part of the result this page is."})
    links = fields.Nested(LinksSchema, required=True, metadata={"description": "Links to this page and to the next one."})
    meta = fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."})


class SuggestAnswerSchema(Schema):
    """Records whose names have words that begin as typed."""

    data = fields.List(fields.Nested(HitSchema), required=True, metadata={"description": "At most 10 records, the best first."})
    meta = fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."})


blueprint = Blueprint("search", __name__, description="Full text in every noun at once.")


def _parameters(path: str) -> list[dict[str, Any]]:
    parameters = query_parameters(FIND_PARAMETERS[path])
    return [{**parameter, "required": True} if parameter["name"] == "q" else parameter for parameter in parameters]


@blueprint.route("/search", endpoint="find", parameters=CONDITIONS)
class SearchResults(ReadView):
    """Records of every noun that a search finds."""

    @blueprint.response(200, SearchAnswerSchema, description="A page of records.", headers=HEADERS | LINK)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, "invalid-query", "invalid-cursor", "not-acceptable", "precondition-failed", "unavailable")
    @blueprint.doc(operationId="search", summary="Search every noun", parameters=_parameters("search"))
    def get(self) -> Response:
        """Search all nouns for the words of `q`, the best records first.

        Records with all words side by side in the title come first, then those with all words in the title, then the others.
        Among these they are in order of the nouns, and of a noun the newest come first.
        """
        negotiate(JSON)
        return read_search(parser.parse_find("search", request.args.lists()))


@blueprint.route("/suggest", endpoint="suggest", parameters=CONDITIONS)
class Suggestions(ReadView):
    """Records whose names have words that begin as typed."""

    @blueprint.response(200, SuggestAnswerSchema, description="Records that may be meant.", headers=HEADERS)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, "invalid-query", "not-acceptable", "precondition-failed", "unavailable")
    @blueprint.doc(operationId="suggest", summary="Complete a text as it is typed", parameters=_parameters("suggest"))
    def get(self) -> Response:
        """Find records whose names have, for each word of `q`, a word that begins with it.

        Names that begin with `q` come first; the others follow by noun and name.
        """
        negotiate(JSON)
        return read_suggestions(parser.parse_find("suggest", request.args.lists()))


def read_search(query: Find) -> Response:
    """Answer with a page of the records of every noun that a search finds."""
    with reading(query.min_version) as session:
        state = head.state(session)
        etag = tags.of_dataset(state)
        if unchanged := conditional(etag):
            return unchanged
        planner = current_app.extensions["planner"]
        hits, cursor = search.find(session, query, planner)
        total, relation = search.find_total(session, query, planner)
    links = {"self": address(request.args), "next": cursor and address(request.args, cursor=cursor)}
    body = {
        "data": [_hit(hit, query) for hit in hits],
        "page": envelopes.page(query.limit, cursor, total, relation),
        "links": links,
        "meta": {"version": state.version},
    }
    return tagged(json_response(body, links), etag)


def read_suggestions(query: Find) -> Response:
    """Answer with the records whose names have words that begin as typed."""
    with reading(query.min_version) as session:
        state = head.state(session)
        etag = tags.of_dataset(state)
        if unchanged := conditional(etag):
            return unchanged
        hits = search.suggest(session, query, current_app.extensions["planner"])
    return tagged(json_response({"data": [_suggestion(hit) for hit in hits], "meta": {"version": state.version}}), etag)


def _suggestion(hit: search.Hit) -> dict[str, Any]:
    return {"kind": hit.kind, "id": hit.id, "label": search.label(hit), "url": f"{base_url()}/{hit.kind}/{hit.id}"}


def _hit(hit: search.Hit, query: Find) -> dict[str, Any]:
    record = json.loads(hit.document)
    row = {**_suggestion(hit), "record": record}
    return {**row, "highlights": words.highlights(query.search, BY_NAME[hit.kind], record)} if query.highlights else row
