"""Copies that prove themselves: `/changes`, `/digest` and `/snapshot`."""

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response, request
from marshmallow import INCLUDE, Schema, fields, validate

from api import __version__
from api.db.database import Database
from api.errors import ErrorList, ProblemError, error_item
from api.ledger import feed, head, history
from api.ledger.models import Op
from api.query import parser
from api.query.language import AS_OF, MIN_VERSION, VERSION, Parameter
from api.schema.fields import instant
from api.schema.formats import chunks
from api.schema.operators import TYPES
from api.web.consistency import readable, served, version_of, within
from api.web.envelopes import LinksSchema, _any_document, _changed_at, _hash, _id, _kind, _version
from api.web.parameters import NOUN, NOUNS, known, parameters
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
    held,
    link_header,
    negotiate,
    streaming,
    tagged,
    waiting,
)


class ChangeSchema(Schema):
    """A change of a record."""

    version = _version("Its version: unique, ascending and dense.")
    commit = _version("The first version of the commit that it is of: see `/changesets/{version}`.")
    kind = _kind()
    id = _id()
    op = fields.String(
        required=True,
        validate=validate.OneOf(["upsert", "delete"]),
        metadata={"description": "`upsert`: the record is now as `document` says; `delete`: it is gone.", "example": "upsert"},
    )
    reason = fields.String(
        required=True, allow_none=True, metadata={"description": "Why, in the writer's words.", "example": "Corrects a date."}
    )
    changed_at = _changed_at()
    hash = _hash("The record's leaf in the digest; null of what is gone.", allow_none=True)
    document = _any_document(
        "The record; null of what is gone and, with `history=true`, of a past that was erased.", or_null=True
    )


class FlatChangeSchema(Schema):
    """A change of a record: its own members, as in its noun's list, and these; of one that is gone only these."""

    class Meta:
        """The noun's members are there, too."""

        unknown = INCLUDE

    id = _id()
    version = _version("Its version: unique and ascending.")
    changed_at = _changed_at()
    deleted = fields.Boolean(required=True, metadata={"description": "Whether it is gone.", "example": False})


def _page_of_changes(row: type[Schema]) -> dict[str, fields.Field[Any]]:
    return {
        "data": fields.List(fields.Nested(row), required=True, metadata={"description": "The changes, by version."}),
        "links": fields.Nested(LinksSchema, required=True, metadata={"description": "Addresses of this page and the next."}),
        "cursor": fields.String(
            required=True,
            metadata={"description": "Where to go on, now or in years.", "example": "m3J1wYt9c2pUaDk0NjAzLjAu"},
        ),
        "head": _version("The version that the dataset is at."),
    }


ChangesSchema = Schema.from_dict(_page_of_changes(ChangeSchema), name="ChangesSchema")
FlatChangesSchema = Schema.from_dict(_page_of_changes(FlatChangeSchema), name="FlatChangesSchema")

DEFAULT_LIMIT, MAX_LIMIT, MAX_WAIT = 500, 1_000, 30
# Within a second of a commit, with time to answer.
EVERY = 0.25

FLAT = {
    row.name: row
    for row in (
        Parameter(
            "since",
            "Changes after this version; 0 for everything.",
            VERSION,
            example=lambda _: "0",
        ),
        Parameter(
            "cursor",
            "Where to go on: `cursor` of the last answer, which can be kept for ever. A `since` before it changes nothing.",
            {"type": "string", "maxLength": 400},
        ),
        Parameter(
            "limit",
            f"About how many changes a page has, {DEFAULT_LIMIT} by itself: a commit is never split, so there can be more.",
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
            "Seconds to wait for a change when there is none.",
            {"type": "integer", "minimum": 0, "maximum": MAX_WAIT},
            example=lambda _: "0",
        ),
        AS_OF,
        MIN_VERSION,
    )
}
PARAMETERS = {
    **FLAT,
    "kinds": Parameter(
        "kinds", "Only changes of these nouns.", {"type": "string"}, lambda _: NOUNS, many=True, example=lambda _: "cities"
    ),
}
sync = Blueprint("sync", __name__, description="Copies: changes in order, proofs of completeness, and the whole at once.")


# --- changes


@dataclass(frozen=True)
class Asked:
    """What a request of the feed says."""

    kinds: tuple[str, ...]
    since: int
    cursor: str | None
    limit: int
    history: bool
    wait: int
    as_of: str | None
    min_version: int


def asked(rows: Mapping[str, Parameter], kinds: tuple[str, ...] = ()) -> Asked:
    """Read a request of the feed. Raises a 400 that names everything that is wrong."""
    found = parser.parse_named(rows, request.args.lists())
    wrong = ErrorList()
    if found.get("wait") and "as_of" in found:
        wrong.add("wait", "not-together", "`wait` and `as_of` don't go together: leave one of them out.")
    wrong.raise_any()
    names = found.get("kinds", ())
    return Asked(
        kinds=kinds or tuple(name for name in NOUNS if name in names),
        since=found.get("since", 0),
        cursor=found.get("cursor"),
        limit=found.get("limit", DEFAULT_LIMIT),
        history=found.get("history", False),
        wait=found.get("wait", 0),
        as_of=found.get("as_of"),
        min_version=found.get("min_version", 0),
    )


@sync.route("/changes", parameters=[IF_NONE_MATCH])
@sync.response(200, ChangesSchema, description="A page of changes.", headers=HEADERS | LINK)
@sync.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(sync, "invalid-query", "invalid-cursor", "cursor-diverged", "not-acceptable", "unavailable")
@sync.doc(operationId="changes", summary="Follow every change", parameters=parameters(PARAMETERS))
def changes() -> Response:
    """Every change in commit order: records as they now are, and tombstones of those that are gone.

    Begin with `since=0`, follow `links.next` to its end, keep `cursor`, and come back with it. A commit is never split over
    two pages. When `links.next` is null, you have everything up to `head`.
    """
    return answer(asked(PARAMETERS), _change)


@sync.route("/changes/<string:noun>", parameters=[NOUN, IF_NONE_MATCH])
@sync.response(200, FlatChangesSchema, description="A page of changes.", headers=HEADERS | LINK)
@sync.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(sync, "invalid-query", "invalid-cursor", "cursor-diverged", "not-acceptable", "not-found", "unavailable")
@sync.doc(operationId="changes_of", summary="Follow every change of a noun", parameters=parameters(FLAT))
def changes_of(noun: str) -> Response:
    """Follow one noun, flat, as ETL tools like it: a record's own members with `changed_at` and `deleted`."""
    return answer(asked(FLAT, (known(noun).name,)), _flat)


def answer(asked: Asked, write: Any) -> Response:
    """Answer with a page of changes, waiting for them if that is asked for."""
    negotiate(JSON)
    deadline = time.monotonic() + asked.wait
    with ExitStack() as stack:
        if asked.wait:
            stack.enter_context(waiting())
        while True:
            empty = time.monotonic() >= deadline
            response = served(partial(_page, asked=asked, write=write, empty=empty), asked.min_version)
            if response.status_code != 204:  # noqa: PLR2004 - nothing yet
                return response
            time.sleep(EVERY)


def _page(database: Database, *, asked: Asked, write: Any, empty: bool) -> Response:
    """Answer with a page; with a 204, which nobody gets to see, where there is nothing and that is not wanted yet."""
    with ExitStack() as stack:
        session = stack.enter_context(database.reading())
        now = head.state(session)
        # Of what was restored, the version alone may be that of another past.
        etag = f"{__version__}-{now.version}-{now.chain.hex()[:8]}-{now.cuts}"
        if request.if_none_match.contains_weak(etag) and not empty:
            return Response(status=204)
        if unchanged := conditional(etag):
            return unchanged
        since = _position(session, asked)
        until = since.target or now.version
        if asked.as_of is not None:
            until = max(version_of(session, asked.as_of), since.version)
            if since.target and since.target != until:
                detail = f"The cursor is on the way to version {since.target}: go on without `as_of`."
                raise ProblemError("invalid-cursor", detail, _cursor(detail))
            readable(lambda: history.require_untrimmed(session, until), "as_of")
        if asked.history and since.version < now.trimmed:
            readable(lambda: history.require_untrimmed(session, since.version), "history")
        page = feed.page(session, feed.Feed(since, until, asked.kinds, asked.history), asked.limit)
        more = page.more or (asked.as_of is None and until < now.version)
        if not page.rows and not page.oversized and not more and not empty:
            return Response(status=204)
        position = page.position
        cursor = position.cursor(head.chain_at(session, position.known))
        links = {
            "self": address(request.args),
            "next": address(request.args, without="since", cursor=cursor) if more else None,
        }
        rest = json.dumps({"links": links, "cursor": cursor, "head": now.version}, separators=(",", ":"))
        rows = stack.enter_context(closing(feed.changes(session, page)))
        body = itertools.chain(['{"data":['], _separated(map(write, rows)), ["],", rest[1:]])
        if page.oversized:
            stack.enter_context(streaming())
            response = Response(held(open_while_sent := stack.pop_all(), chunks(body)), content_type=JSON)
            response.call_on_close(open_while_sent.close)
        else:
            response = Response("".join(body), content_type=JSON)
    response.headers["Link"] = link_header(links)
    return tagged(response, etag)


def _position(session: Any, asked: Asked) -> feed.Position:
    """Return where the caller stands. Raises a 400 for what is no cursor of ours, and a 410 for one of another past."""
    if asked.cursor is None:
        within(session, asked.since, "since")
        return feed.Position(asked.since, asked.kinds)
    try:
        position, proof = feed.Position.read(asked.cursor)
    except feed.NoCursorError:
        detail = "Take it from `cursor` or `links.next` of an answer."
        raise ProblemError("invalid-cursor", "The cursor is none of ours.", _cursor(detail)) from None
    within(session, position.known, "cursor", lambda chain: position.holds(proof, chain))
    # ETL tools send where they began with every page: the cursor is further.
    if asked.since > position.version:
        wrong = ErrorList()
        wrong.add("since", "not-together", "`since` is after where `cursor` is: leave one of them out.")
        wrong.raise_any()
    if not position.covers(asked.kinds):
        detail = f"The cursor knows changes of {', '.join(position.kinds)}: begin with `since=0` for others."
        raise ProblemError("invalid-cursor", detail, _cursor(detail))
    return position


def _cursor(detail: str) -> dict[str, Any]:
    return error_item("cursor", "invalid-cursor", detail)


def _separated(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f",{text}" if number else text


def _change(revision: history.RevisionRow) -> str:
    """Write a change, around the document as it is stored."""
    facts = {
        "version": revision.version,
        "commit": revision.commit_version,
        "kind": revision.kind,
        "id": revision.id,
        "op": revision.op.value,
        "reason": revision.reason,
        "changed_at": instant(revision.changed_at),
        "hash": revision.leaf and revision.leaf.hex(),
    }
    return f'{json.dumps(facts, separators=(",", ":"))[:-1]},"document":{revision.document or "null"}}}'


def _flat(revision: history.RevisionRow) -> str:
    """Write a change as a record with more members; of one that is gone there is only its id."""
    deleted = revision.op is Op.DELETE
    more = {"changed_at": instant(revision.changed_at), "deleted": deleted}
    if revision.document is None:
        more = {"id": revision.id, "version": revision.version, **more}
    own = f"{revision.document[:-1]}," if revision.document else "{"
    return own + json.dumps(more, separators=(",", ":"))[1:]
