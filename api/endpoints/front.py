"""The start: a page for people, and an index for machines."""

from typing import Any, NamedTuple

from flask import Response, current_app
from marshmallow import Schema, fields

from api import __version__
from api.ledger import head
from api.resources import RESOURCES
from api.web import frames, tags
from api.web.blueprints import Blueprint, NoArguments, documents
from api.web.consistency import reading
from api.web.headers import CONDITIONS, HEADERS, UNCHANGED, VARY
from api.web.negotiation import HTML
from api.web.openapi import SUMMARY, TITLE
from api.web.pages.overviews import start_page
from api.web.responses import JSON, json_response, negotiate, tagged
from api.web.urls import base_url

PAGE: dict[str, Any] = {"schema": {"type": "string"}, "content_type": HTML}

blueprint = Blueprint("front", __name__, description="The start: a page for people, and an index for machines.")


class LinkSchema(Schema):
    """A link."""

    name = fields.String(required=True, metadata={"description": "Short name of the link.", "example": "cities"})
    description = fields.String(
        required=True, metadata={"description": "What is at the address.", "example": "Cities of a survey."}
    )
    url = fields.String(
        required=True, metadata={"description": "The address.", "example": "https://api.example.org/cities", "format": "uri"}
    )


class ApiIndexSchema(Schema):
    """Links to everything."""

    title = fields.String(required=True, metadata={"description": "Name of the API.", "example": TITLE})
    description = fields.String(required=True, metadata={"description": "What the dataset holds.", "example": SUMMARY})
    version = fields.String(required=True, metadata={"description": "Release of the software.", "example": __version__})
    nouns = fields.List(fields.Nested(LinkSchema), required=True, metadata={"description": "The lists, in reading order."})
    links = fields.List(fields.Nested(LinkSchema), required=True, metadata={"description": "All other links."})


class Link(NamedTuple):
    """A row of the table of links: a path that anyone can read, what it is for, and a query that it needs."""

    path: str
    description: str
    query: str = ""

    @property
    def name(self) -> str:
        """The last part of the path, without a suffix."""
        return self.path.rpartition("/")[2].partition(".")[0]


# Every path of the URL map without a variable part and a key, except for the index itself, the nouns, and those for crawlers
# and operators.
LINKS = (
    Link("/search", "Full-text search in every noun.", "?q=digital"),
    Link("/suggest", "Completes the beginning of a name.", "?q=san"),
    Link("/reconcile", "Matches names in your table with records, as OpenRefine does."),
    Link("/changes", "Every change, to keep a copy up to date.", "?since=0"),
    Link("/changesets", "Every commit, with who made it, when and why."),
    Link("/digest", "A checksum, to prove that a copy is complete."),
    Link("/snapshot", "All records in one answer."),
    Link("/docs", "The documentation, with examples to copy."),
    Link("/openapi.json", "The OpenAPI 3.1 document."),
    Link("/enums", "Every value of a member that has one of several, with its label and its meaning."),
    Link("/problems", "Every type of error, and what to do about it."),
    Link("/livez", "Whether the process runs."),
    Link("/readyz", "Whether the server can answer."),
)
EXAMPLE = {"name": "example", "description": "A record, with its figures.", "url": "/initiatives/los-angeles-ca-myla311"}


@blueprint.route("/", parameters=CONDITIONS)
@blueprint.arguments(NoArguments, location="query")
@blueprint.response(200, ApiIndexSchema, description="Links to everything.", headers=HEADERS | VARY)
@blueprint.alt_response(200, **PAGE, description="Links to everything.", headers=HEADERS | VARY, success=True)
@blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
@documents(blueprint, "invalid-query", "not-acceptable", "precondition-failed")
@blueprint.doc(operationId="get_index", summary="Find everything")
def index(_arguments: dict[str, Any]) -> Response:
    """Find every list and page, as JSON for programs (`application/json`) or as a page for people (`text/html`)."""
    if negotiate(JSON, HTML) == HTML:
        return read_front()
    base = base_url()
    links = [{"name": row.name, "description": row.description, "url": base + row.path + row.query} for row in LINKS]
    nouns = [{"name": row.name, "description": row.description, "url": f"{base}/{row.name}"} for row in RESOURCES]
    body = {
        "title": TITLE,
        "description": SUMMARY,
        "version": __version__,
        "nouns": nouns,
        "links": [EXAMPLE | {"url": base + EXAMPLE["url"]}, *links],
    }
    response = frames.stable(json_response(body))
    response.headers["Vary"] = "Accept"
    return response


def read_front() -> Response:
    """Answer with the start page for people."""
    with reading() as session:
        state = head.state(session)
        etag = tags.of_dataset(state, *frames.tag_parts(HTML))
        return frames.unchanged(etag, HTML) or tagged(
            start_page(session, current_app.extensions["planner"], state.version), etag
        )
