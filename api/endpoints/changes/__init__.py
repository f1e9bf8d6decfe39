"""The feed of changes: `/changes` for all nouns, `/changes/{noun}` for one."""

from flask import Response

from api.endpoints.changes.newest_first import read_newest
from api.endpoints.changes.oldest_first import read_feed
from api.endpoints.changes.query import FLAT_PARAMETERS, PARAMETERS, FeedQuery, read_query
from api.endpoints.changes.schemas import ChangesSchema, FlatChangesSchema
from api.web import envelopes
from api.web.blueprints import Blueprint, documents
from api.web.consistency import ReadView
from api.web.envelopes import ChangeRenderer
from api.web.headers import CONDITIONS, HEADERS, LINK, UNCHANGED, VARY
from api.web.negotiation import ATOM, HTML
from api.web.parameters import NOUN, noun_named, query_parameters
from api.web.responses import JSON, negotiate

FEED_PROBLEMS = ("invalid-query", "invalid-cursor", "cursor-diverged", "not-acceptable", "precondition-failed", "unavailable")

blueprint = Blueprint(
    "sync", __name__, description="Copies: all changes in order, proofs of completeness, and everything at once."
)


@blueprint.route("/changes", endpoint="changes", parameters=CONDITIONS)
class Changes(ReadView):
    """The feed of all nouns."""

    @blueprint.response(200, ChangesSchema, description="A page of changes.", headers=HEADERS | LINK | VARY)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
    @documents(blueprint, *FEED_PROBLEMS)
    @blueprint.doc(operationId="changes", summary="Follow every change", parameters=query_parameters(PARAMETERS))
    def get(self) -> Response:
        """Read all changes in commit order: records as they are now, and tombstones for deleted ones.

        Begin with `since=0`, follow `links.next` to its end, keep `cursor`, and continue with it later. A commit is never split
        over two pages. If `links.next` is null, you have everything up to `head`. With `order=-version`, for people,
        the newest changes come first, deletions too, each with its label and its author. A browser gets these as a page, and
        `/changes.atom` as an Atom feed.
        """
        media_type = negotiate(JSON, HTML, ATOM)
        query = read_query(PARAMETERS, for_people=media_type != JSON)
        return _answer(query, envelopes.change, media_type)


@blueprint.route("/changes/<string:noun>", endpoint="changes_of", parameters=[NOUN, *CONDITIONS])
class NounChanges(ReadView):
    """The feed of one noun."""

    @blueprint.response(200, FlatChangesSchema, description="A page of changes.", headers=HEADERS | LINK | VARY)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
    @documents(blueprint, *FEED_PROBLEMS, "not-found")
    @blueprint.doc(
        operationId="changes_of", summary="Follow every change of a noun", parameters=query_parameters(FLAT_PARAMETERS)
    )
    def get(self, noun: str) -> Response:
        """Read the changes of one noun as flat objects for ETL tools: each record with `changed_at` and `deleted`.

        With `order=-version`, for people, the newest changes come first, each with its label and its author. A browser gets
        these as a page, and `/changes/{noun}.atom` as an Atom feed.
        """
        media_type = negotiate(JSON, HTML, ATOM)
        query = read_query(FLAT_PARAMETERS, kinds=(noun_named(noun).name,), for_people=media_type != JSON)
        return _answer(query, envelopes.flat_change, media_type)


def _answer(query: FeedQuery, render: ChangeRenderer, media_type: str) -> Response:
    response = read_newest(query, render, media_type) if query.newest_first else read_feed(query, render)
    response.headers["Vary"] = "Accept"
    return response
