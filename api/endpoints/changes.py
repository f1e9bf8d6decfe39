"""The feed of changes: `/changes` for all nouns, `/changes/{noun}` for one."""

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from marshmallow import INCLUDE, Schema, fields
from sqlalchemy.orm import Session

from api.ledger import feed, head, history
from api.ledger.head import DatasetState
from api.ledger.models import ERASE
from api.query import parser
from api.query.parameters import AS_OF, MIN_VERSION, Parameter, read_names
from api.schema.formats import chunks
from api.schema.operators import TYPES
from api.web import envelopes, positions, tags
from api.web.blueprints import Blueprint, documents
from api.web.consistency import ReadView, as_of_version, reading, version_problems
from api.web.headers import CONDITIONS, HEADERS, LINK, UNCHANGED
from api.web.news import news
from api.web.parameters import NOUN, NOUNS, noun_named, query_parameters
from api.web.places import CHANGES, streaming, waiting
from api.web.responses import JSON, address, conditional, link_header, negotiate, streamed, tagged
from api.web.schemas import (
    LinksSchema,
    changed_at_field,
    document_field,
    hash_field,
    id_field,
    kind_field,
    op_field,
    reason_field,
    version_field,
)


def cursor_field() -> fields.String:
    """Return the field of the cursor of a change."""
    return fields.String(
        required=True,
        metadata={
            "description": "Continue after this change. Cursors have a fixed width and sort as texts in the order of the feed.",
            "example": "0000000000000603-0000000000000603-3c59dc048e885024",
        },
    )


class ChangeSchema(Schema):
    """A change of a record."""

    version = version_field("Version of the change: unique and ascending, without gaps within an epoch.")
    commit = version_field("First version of its commit, which names the commit: see `/changesets/{version}`.")
    kind = kind_field()
    id = id_field()
    op = op_field(
        "`upsert`: the record is now `document`; `delete`: it is deleted; `erase`: its past was erased, so delete all that you "
        "have of it up to this version. If the record lives on, its `upsert` follows in the same commit.",
        ERASE,
    )
    reason = reason_field()
    changed_at = changed_at_field()
    hash = hash_field("Leaf hash of the record in the digest; null for a deletion.", allow_none=True)
    cursor = cursor_field()
    document = document_field("The record; null for a deletion and for a document that was erased.", or_null=True)


class FlatChangeSchema(Schema):
    """A change of a record as one flat object: the record's own members and these; for a deletion, only these."""

    class Meta:
        """The members of the noun's records may follow."""

        unknown = INCLUDE

    id = id_field()
    version = version_field("Version of the change: unique and ascending.")
    changed_at = changed_at_field()
    deleted = fields.Boolean(required=True, metadata={"description": "Whether the record is deleted.", "example": False})
    erased = fields.Boolean(
        metadata={
            "description": "True in the row of an erasure: delete all that you have of the record up to this version. If it "
            "lives on, it follows in the same commit. No other row has this member.",
            "example": True,
        }
    )
    cursor = cursor_field()


def _page_of_changes(row: type[Schema]) -> dict[str, fields.Field[Any]]:
    links = {"description": "Links to this page and to the next one."}
    return {
        "data": fields.List(fields.Nested(row), required=True, metadata={"description": "The changes, by version."}),
        "links": fields.Nested(LinksSchema, required=True, metadata=links),
        "cursor": fields.String(
            required=True,
            metadata={"description": "Continue here, now or in years.", "example": "m3J1wYt9c2pUaDk0NjAzLjAu"},
        ),
        "head": version_field("Version of the dataset."),
    }


ChangesSchema = Schema.from_dict(_page_of_changes(ChangeSchema), name="ChangesSchema")
FlatChangesSchema = Schema.from_dict(_page_of_changes(FlatChangeSchema), name="FlatChangesSchema")

DEFAULT_LIMIT, MAX_LIMIT, MAX_WAIT = 500, 1_000, 30

FLAT_PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "since",
            "Only changes after this version, 0 for all; or after the change that has this `cursor`.",
            {"type": "string", "pattern": f"^({positions.SINCE.pattern})$"},
            refusal="`since` is a version of the dataset, or the `cursor` of a change.",
            example=lambda _: "0",
        ),
        Parameter(
            "cursor",
            "Continue here: `cursor` of the last answer or change. It never expires. An earlier `since` has no effect.",
            {"type": "string", "maxLength": 400},
        ),
        Parameter(
            "limit",
            f"About this number of changes on a page; {DEFAULT_LIMIT} by default. No commit is split, so there can be more.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            example=lambda _: "100",
        ),
        Parameter(
            "history",
            "With `true`, every change of a record, not only its last.",
            TYPES["flag"].schema,
            example=lambda _: "false",
        ),
        Parameter(
            "wait",
            "Seconds to wait for a change if there is none yet.",
            {"type": "integer", "minimum": 0, "maximum": MAX_WAIT},
            example=lambda _: "0",
        ),
        AS_OF,
        MIN_VERSION,
    )
}
KINDS = Parameter(
    "kinds", "Only changes of these nouns.", {"type": "string"}, lambda _: NOUNS, read=read_names, example=lambda _: "cities"
)
PARAMETERS = {**FLAT_PARAMETERS, KINDS.name: KINDS}
FEED_PROBLEMS = ("invalid-query", "invalid-cursor", "cursor-diverged", "not-acceptable", "precondition-failed", "unavailable")
Renderer = Callable[[history.RevisionRow, str], str]

blueprint = Blueprint(
    "sync", __name__, description="Copies: all changes in order, proofs of completeness, and everything at once."
)


@blueprint.route("/changes", endpoint="changes", parameters=CONDITIONS)
class Changes(ReadView):
    """The feed of all nouns."""

    @blueprint.response(200, ChangesSchema, description="A page of changes.", headers=HEADERS | LINK)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, *FEED_PROBLEMS)
    @blueprint.doc(operationId="changes", summary="Follow every change", parameters=query_parameters(PARAMETERS))
    def get(self) -> Response:
        """Read all changes in commit order: records as they are now, and tombstones for deleted ones.

        Begin with `since=0`, follow `links.next` to its end, keep `cursor`, and continue with it later. A commit is never split
        over two pages. If `links.next` is null, you have everything up to `head`.
        """
        return read_feed(read_query(PARAMETERS), envelopes.change)


@blueprint.route("/changes/<string:noun>", endpoint="changes_of", parameters=[NOUN, *CONDITIONS])
class NounChanges(ReadView):
    """The feed of one noun."""

    @blueprint.response(200, FlatChangesSchema, description="A page of changes.", headers=HEADERS | LINK)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, *FEED_PROBLEMS, "not-found")
    @blueprint.doc(
        operationId="changes_of", summary="Follow every change of a noun", parameters=query_parameters(FLAT_PARAMETERS)
    )
    def get(self, noun: str) -> Response:
        """Read the changes of one noun as flat objects for ETL tools: each record with `changed_at` and `deleted`."""
        return read_feed(read_query(FLAT_PARAMETERS, kinds=(noun_named(noun).name,)), envelopes.flat_change)


# --- the query


@dataclass(frozen=True)
class FeedQuery:
    """A request of the feed; no ``kinds`` stands for all nouns."""

    kinds: tuple[str, ...]
    since: str
    cursor: str | None
    limit: int
    history: bool
    wait: int
    as_of: str | None
    min_version: int


def read_query(rows: Mapping[str, Parameter], kinds: tuple[str, ...] = ()) -> FeedQuery:
    """Return the feed query of the request's parameters. Raises a 400 that names every error."""
    values = parser.parse_named(rows, request.args.lists())
    if values.get("wait") and "as_of" in values:
        raise positions.not_together("wait", "`wait` and `as_of` don't go together: leave one of them out.")
    return FeedQuery(
        kinds=kinds or tuple(noun for noun in NOUNS if noun in values.get("kinds", ())),
        since=values.get("since", "0"),
        cursor=values.get("cursor"),
        limit=values.get("limit", DEFAULT_LIMIT),
        history=values.get("history", False),
        wait=values.get("wait", 0),
        as_of=values.get("as_of"),
        min_version=values.get("min_version", 0),
    )


# --- the answer


def read_feed(query: FeedQuery, render: Renderer) -> Response:
    """Answer with a page of the feed; if it has no news yet, after waiting for some as long as the query allows.

    If too many requests wait already, or if the server stops, this one does not: a client that polls then comes again, as after
    a wait without news.
    """
    negotiate(JSON)
    commits = news()
    with waiting(CHANGES) if query.wait else nullcontext() as may_wait:
        deadline = time.monotonic() + (query.wait if may_wait else 0)
        while True:
            count = commits.count
            if response := _read_page(query, render, news_only=not commits.is_over(deadline)):
                return response
            commits.wait(count, deadline)


def _read_page(query: FeedQuery, render: Renderer, *, news_only: bool) -> Response | None:
    """Return the answer with the next page; with ``news_only``, None if that would tell the client nothing new."""
    with ExitStack() as stack:
        session = stack.enter_context(reading(query.min_version))
        now = head.state(session)
        etag = tags.of_dataset(now)
        if unchanged := conditional(etag):
            return None if news_only else unchanged
        page = feed.page(session, _feed(session, query, now), query.limit)
        more = page.more or (query.as_of is None and page.feed.until < now.version)
        if news_only and not (page.rows or page.oversized or more):
            return None
        chain = head.chain_at(session, page.feed.until)
        links, tail = _tail(page, chain, now.version, more=more)
        changes, cursor_of = stack.enter_context(closing(feed.changes(session, page))), page.cursors(chain)
        rows = envelopes.separated(render(row, cursor_of(row.version)) for row in changes)
        response = _send(stack, page, itertools.chain(['{"data":['], rows, ["],", tail]))
    response.headers["Link"] = link_header(links)
    return tagged(response, etag)


def _feed(session: Session, query: FeedQuery, now: DatasetState) -> feed.Feed:
    """Return the part of the ledger that the query reads. Raises 400 and 410, and AheadError."""
    since = positions.read(session, query.since, query.cursor, query.kinds)
    until = since.target or now.version
    if query.as_of is not None:
        until = max(as_of_version(session, query.as_of), since.version)
        if since.target not in {0, until} or since.compacted > until:
            raise positions.invalid_cursor(f"The cursor is on the way to version {since.known}: go on without `as_of`.")
        with version_problems(session, "as_of"):
            history.require_untrimmed(session, until)
    if query.history and since.version < now.trimmed:
        with version_problems(session, "history"):
            history.require_untrimmed(session, since.version)
    return feed.Feed(since, until, query.kinds, query.history)


def _tail(page: feed.Page, chain: bytes, version: int, *, more: bool) -> tuple[dict[str, str | None], str]:
    """Return the links of a page, and the envelope after its changes as text; ``chain`` is the hash at the end of its feed."""
    cursor = page.position.cursor(chain)
    following = address(request.args, without="since", cursor=cursor) if more else None
    links = {"self": address(request.args), "next": following}
    return links, json.dumps({"links": links, "cursor": cursor, "head": version}, separators=(",", ":"))[1:]


def _send(stack: ExitStack, page: feed.Page, body: Iterator[str]) -> Response:
    """Return the answer with a page; one with a commit that is longer than a page is streamed."""
    if page.oversized:
        stack.enter_context(streaming())
        return streamed(stack, chunks(body), JSON)
    return Response("".join(body), content_type=JSON)
