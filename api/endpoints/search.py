"""Full text in every noun at once: `/search` for results, `/suggest` for type-ahead."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Response, current_app, request
from marshmallow import Schema, fields, validate
from werkzeug.datastructures import MultiDict

from api.ledger import head
from api.ledger.index import words
from api.query import parser, search
from api.query.counts import capped
from api.query.labels import Hit, labels
from api.query.language import SEARCHABLE, Find
from api.query.parameters import FIND_PARAMETERS
from api.resources import BY_NAME
from api.schema.choices import label_of
from api.web import envelopes, frames, tags
from api.web.blueprints import Blueprint, documents
from api.web.consistency import ReadView, reading
from api.web.headers import CONDITIONS, HEADERS, LINK, UNCHANGED, VARY
from api.web.negotiation import HTML
from api.web.pages.lists import search_page
from api.web.parameters import query_parameters
from api.web.responses import JSON, address, conditional, json_response, negotiate, tagged
from api.web.schemas import FacetSchema, LinksSchema, MetaSchema, PageSchema, highlights_field, schema_name
from api.web.urls import base_url


class HitSchema(Schema):
    """The name and the URL of a record."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf([resource.name for resource in SEARCHABLE]),
        metadata={"description": "The record's noun.", "example": "initiatives"},
    )
    id = fields.String(required=True, metadata={"description": "The record's id.", "example": "los-angeles-ca-myla311"})
    label = fields.String(
        required=True,
        metadata={
            "description": "Name or title of the record, and the city that it belongs to; an award's placing in words.",
            "example": "MyLA311 (Los Angeles)",
        },
    )
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
    facets = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(FacetSchema),
        required=True,
        metadata={
            "description": "`kinds`: the records of each noun, counted as `total` is, but without `kinds`.",
            "example": {},
        },
    )
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

    @blueprint.response(200, SearchAnswerSchema, description="A page of records.", headers=HEADERS | LINK | VARY)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
    @documents(blueprint, "invalid-query", "invalid-cursor", "not-acceptable", "precondition-failed", "unavailable")
    @blueprint.doc(operationId="search", summary="Search every noun", parameters=_parameters("search"))
    def get(self) -> Response:
        """Search all nouns for the words of `q`, the best records first.

        Records with all words side by side in the title come first, then those with all words in the title, then the others.
        Among these they are in order of the nouns, and of a noun the newest come first.
        """
        media_type = negotiate(JSON, HTML)
        response = read_search(parser.parse_find("search", request.args.lists()), media_type)
        response.headers["Vary"] = "Accept"
        return response


@blueprint.route("/suggest", endpoint="suggest", parameters=CONDITIONS)
class Suggestions(ReadView):
    """Records whose names have words that begin as typed."""

    @blueprint.response(200, SuggestAnswerSchema, description="Records that may be meant.", headers=HEADERS)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, "invalid-query", "not-acceptable", "precondition-failed", "unavailable")
    @blueprint.doc(operationId="suggest", summary="Complete a text as it is typed", parameters=_parameters("suggest"))
    def get(self) -> Response:
        """Find records whose names have, for each word of `q`, a word that begins with it.

        Names that begin with `q` come first; the others follow by noun and name. Last come names that have such words if one
        word of `q` has a typing error: a letter is missing, too many, another one, or swapped with the next. If no name has the
        words, a city is found with its state, and a similar name is found as `/reconcile` finds it.
        """
        negotiate(JSON)
        return read_suggestions(parser.parse_find("suggest", request.args.lists()))


def read_search(query: Find, media_type: str) -> Response:
    """Answer with a page of the records of every noun that a search finds."""
    is_page = media_type == HTML
    query = replace(query, highlights=query.highlights or is_page)
    with reading(query.min_version) as session:
        state = head.state(session)
        etag = tags.of_dataset(state, *frames.tag_parts(media_type))
        if unchanged := frames.unchanged(etag, media_type):
            return unchanged
        planner = current_app.extensions["planner"]
        hits, cursor = search.find(session, query, planner)
        names, numbers = labels(session, hits), None if query.count == "none" else search.numbers(session, query, planner)
    total, relation = (None, None) if numbers is None else capped(sum(numbers[kind] for kind in query.kinds), query.count)
    links = {"self": address(request.args), "next": cursor and address(request.args, cursor=cursor)}
    body = {
        "data": [*map(partial(_hit, query), hits, names)],
        "facets": {} if numbers is None else _facets(query, numbers),
        "page": envelopes.page(query.limit, cursor, total, relation),
        "links": links,
        "meta": {"version": state.version},
    }
    return tagged(search_page(body, query.text) if is_page else json_response(body, links), etag)


def read_suggestions(query: Find) -> Response:
    """Answer with the records whose names have words that begin as typed."""
    with reading(query.min_version) as session:
        state = head.state(session)
        etag = tags.of_dataset(state)
        if unchanged := conditional(etag):
            return unchanged
        hits = search.suggest(session, query, current_app.extensions["planner"], current_app.extensions["directories"])
        names = labels(session, hits)
    return tagged(json_response({"data": [*map(_suggestion, hits, names)], "meta": {"version": state.version}}), etag)


def _suggestion(hit: Hit, label: str) -> dict[str, Any]:
    return {"kind": hit.kind, "id": hit.id, "label": label, "url": f"{base_url()}/{hit.kind}/{hit.id}"}


def _hit(query: Find, hit: Hit, label: str) -> dict[str, Any]:
    row = {**_suggestion(hit, label), "record": hit.record}
    return {**row, "highlights": words.highlights(query.search, BY_NAME[hit.kind], hit.record)} if query.highlights else row


def _facets(query: Find, numbers: Mapping[str, int]) -> dict[str, Any]:
    """Return the facet of the nouns, counted without `kinds`: those with records, the most first, and the selected ones."""
    selected = query.kinds if "kinds" in request.args else ()

    def link(kinds: Sequence[str]) -> str:
        kept = MultiDict((name, value) for name, value in request.args.items(multi=True) if name not in {"kinds", "cursor"})
        return address(kept, **({"kinds": ",".join(kinds)} if kinds else {}))

    values = [
        {
            "value": kind,
            "label": label_of(kind),
            "count": capped(number, query.count)[0],
            "selected": kind in selected,
            "add": link([*selected, *({kind} - {*selected})]),
            "remove": link([other for other in selected if other != kind]),
        }
        for kind, number in sorted(numbers.items(), key=lambda row: -row[1])
        if number or kind in selected
    ]
    return {"kinds": {"values": values, "more": False}}
