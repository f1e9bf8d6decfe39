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

from api import __version__, digest, parsing, past
from api.answers import BucketAnswerSchema, ChangesSchema, DigestAnswerSchema, FlatChangesSchema
from api.db import Database
from api.documents import instant
from api.formats import FORMATS, chunks
from api.ledger import Op, Revision
from api.operators import TYPES
from api.problems import ProblemError, Refusals, mistake
from api.query import AS_OF, MIN_VERSION, VERSION, Parameter
from api.resource import Resource
from api.resources import BY_NAME, RESOURCES
from api.rest import parameter_component
from api.versions import readable, served, version_of, within
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
    held,
    link_header,
    negotiate,
    streaming,
    tagged,
    waiting,
)

NDJSON = FORMATS["ndjson"].media_type
DEFAULT_LIMIT, MAX_LIMIT, MAX_WAIT = 500, 1_000, 30
# Within a second of a commit, with time to answer.
EVERY = 0.25
NOUNS = [resource.name for resource in RESOURCES]

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
AT = Parameter("at", "The version of the dataset, the newest by itself.", VERSION, example=lambda _: "603")
DIGEST = {
    row.name: row
    for row in (
        AT,
        Parameter("buckets", "With `true`, the hash of each bucket.", TYPES["flag"].schema, example=lambda _: "false"),
        MIN_VERSION,
    )
}
BUCKET = {row.name: row for row in (AT, MIN_VERSION)}
SNAPSHOT = {row.name: row for row in (AS_OF, MIN_VERSION)}
NOUN = {
    "name": "noun",
    "in": "path",
    "description": "The noun.",
    "schema": {"type": "string", "enum": NOUNS},
    "example": "cities",
}
NUMBERS = [str(number) for number in range(digest.BUCKETS)]
NUMBER = {
    "name": "number",
    "in": "path",
    "description": "Number of the bucket.",
    "schema": {"type": "integer", "minimum": 0, "maximum": digest.BUCKETS - 1},
    "example": 0,
}

sync = Blueprint("sync", __name__, description="Copies: changes in order, proofs of completeness, and the whole at once.")


def parameters(rows: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Return parameters as OpenAPI has them."""
    return [{"name": name, "in": "query", **parameter_component(row)} for name, row in rows.items()]


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
    found = parsing.parse_named(rows, request.args.lists())
    wrong = Refusals()
    if found.get("wait") and "as_of" in found:
        wrong.refuse("wait", "not-together", "`wait` and `as_of` don't go together: leave one of them out.")
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
    return feed(asked(PARAMETERS), _change)


@sync.route("/changes/<string:noun>", parameters=[NOUN, IF_NONE_MATCH])
@sync.response(200, FlatChangesSchema, description="A page of changes.", headers=HEADERS | LINK)
@sync.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(sync, "invalid-query", "invalid-cursor", "cursor-diverged", "not-acceptable", "not-found", "unavailable")
@sync.doc(operationId="changes_of", summary="Follow every change of a noun", parameters=parameters(FLAT))
def changes_of(noun: str) -> Response:
    """Follow one noun, flat, as ETL tools like it: a record's own members with `changed_at` and `deleted`."""
    return feed(asked(FLAT, (known(noun).name,)), _flat)


def known(noun: str) -> Resource:
    """Return a noun by its name. Raises a 404."""
    if noun not in BY_NAME:
        detail = "There is no such noun."
        raise ProblemError("not-found", detail, mistake("noun", "unknown-name", detail, allowed=NOUNS))
    return BY_NAME[noun]


def feed(asked: Asked, write: Any) -> Response:
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
        now = past.head(session)
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
            readable(lambda: past.untrimmed(session, until), "as_of")
        if asked.history and since.version < now.trimmed:
            readable(lambda: past.untrimmed(session, since.version), "history")
        page = past.page(session, past.Feed(since, until, asked.kinds, asked.history), asked.limit)
        more = page.more or (asked.as_of is None and until < now.version)
        if not page.rows and not page.many and not more and not empty:
            return Response(status=204)
        position = page.position
        cursor = position.cursor(past.chain_at(session, position.known))
        links = {
            "self": address(request.args),
            "next": address(request.args, without="since", cursor=cursor) if more else None,
        }
        rest = json.dumps({"links": links, "cursor": cursor, "head": now.version}, separators=(",", ":"))
        rows = stack.enter_context(closing(past.changes(session, page)))
        body = itertools.chain(['{"data":['], _separated(map(write, rows)), ["],", rest[1:]])
        if page.many:
            stack.enter_context(streaming())
            response = Response(held(open_while_sent := stack.pop_all(), chunks(body)), content_type=JSON)
            response.call_on_close(open_while_sent.close)
        else:
            response = Response("".join(body), content_type=JSON)
    response.headers["Link"] = link_header(links)
    return tagged(response, etag)


def _position(session: Any, asked: Asked) -> past.Position:
    """Return where the caller stands. Raises a 400 for what is no cursor of ours, and a 410 for one of another past."""
    if asked.cursor is None:
        within(session, asked.since, "since")
        return past.Position(asked.since, asked.kinds)
    try:
        position, proof = past.Position.read(asked.cursor)
    except past.NoCursorError:
        detail = "Take it from `cursor` or `links.next` of an answer."
        raise ProblemError("invalid-cursor", "The cursor is none of ours.", _cursor(detail)) from None
    within(session, position.known, "cursor", lambda chain: position.holds(proof, chain))
    # ETL tools send where they began with every page: the cursor is further.
    if asked.since > position.version:
        wrong = Refusals()
        wrong.refuse("since", "not-together", "`since` is after where `cursor` is: leave one of them out.")
        wrong.raise_any()
    if not position.covers(asked.kinds):
        detail = f"The cursor knows changes of {', '.join(position.kinds)}: begin with `since=0` for others."
        raise ProblemError("invalid-cursor", detail, _cursor(detail))
    return position


def _cursor(detail: str) -> dict[str, Any]:
    return mistake("cursor", "invalid-cursor", detail)


def _separated(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f",{text}" if number else text


def _change(revision: past.Change) -> str:
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


def _flat(revision: past.Change) -> str:
    """Write a change as a record with more members; of one that is gone there is only its id."""
    deleted = revision.op is Op.DELETE
    more = {"changed_at": instant(revision.changed_at), "deleted": deleted}
    if revision.document is None:
        more = {"id": revision.id, "version": revision.version, **more}
    own = f"{revision.document[:-1]}," if revision.document else "{"
    return own + json.dumps(more, separators=(",", ":"))[1:]


# --- the digest


@sync.route("/digest", parameters=[IF_NONE_MATCH])
@sync.response(200, DigestAnswerSchema, description="The digest.", headers=HEADERS)
@sync.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(sync, "invalid-query", "cursor-diverged", "not-acceptable", "unavailable")
@sync.doc(operationId="digest", summary="Prove a copy", parameters=parameters(DIGEST))
def read_digest() -> Response:
    """Read a SHA-256 Merkle root over all records at a version: whoever computes the same from their copy has it all.

    `buckets=true` adds the hash of each bucket, to find what differs.
    """
    negotiate(JSON)
    found = parsing.parse_named(DIGEST, request.args.lists())

    def work(database: Database) -> Response:
        with database.reading() as session:
            now = past.head(session)
            version = found.get("at", now.version)
            within(session, version, "at")
            etag = f"{__version__}-{version}-{past.chain_at(session, version).hex()[:8]}"
            if unchanged := conditional(etag):
                return unchanged
            nouns = past.digests(session, version)
        body = {
            "version": version,
            "count": sum(row.count for row in nouns.values()),
            "root": past.root(nouns).hex(),
            "nouns": {kind: _noun(kind, row, whole=found.get("buckets", False)) for kind, row in nouns.items()},
        }
        return tagged(Response(json.dumps({"data": body}, separators=(",", ":")), content_type=JSON), etag)

    return served(work, found.get("min_version", 0))


def _noun(kind: str, row: past.NounDigest, *, whole: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"count": row.count, "root": digest.noun(kind, row.buckets).hex()}
    return {**answer, "buckets": [sha256.hex() for sha256 in row.buckets]} if whole else answer


@sync.route("/digest/buckets/<string:noun>/<string:number>", parameters=[NOUN, NUMBER, IF_NONE_MATCH])
@sync.response(200, BucketAnswerSchema, description="The bucket.", headers=HEADERS)
@sync.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(sync, "invalid-query", "cursor-diverged", "not-acceptable", "not-found", "unavailable")
@sync.doc(operationId="bucket", summary="Repair a copy", parameters=parameters(BUCKET))
def read_bucket(noun: str, number: str) -> Response:
    """Read the records of one bucket, by id, with their hashes: what a copy whose bucket differs should hold instead."""
    negotiate(JSON)
    kind = known(noun).name
    if number not in NUMBERS:
        detail = "There is no such bucket."
        item = mistake("number", "invalid-value", detail, allowed={"minimum": 0, "maximum": digest.BUCKETS - 1})
        raise ProblemError("not-found", detail, item)
    found = parsing.parse_named(BUCKET, request.args.lists())

    def work(database: Database) -> Response:
        with database.reading() as session:
            version = found.get("at", past.head(session).version)
            within(session, version, "at")
            etag = f"{__version__}-{version}-{past.chain_at(session, version).hex()[:8]}"
            if unchanged := conditional(etag):
                return unchanged
            rows = readable(lambda: past.bucket_at(session, kind, int(number), version), "at")
        sha256 = digest.bucket(row.leaf for row in rows).hex()
        data = ",".join(_member(row) for row in rows)
        return tagged(Response(f'{{"data":[{data}],"hash":"{sha256}","version":{version}}}', content_type=JSON), etag)

    return served(work, found.get("min_version", 0))


def _member(revision: Revision) -> str:
    """Write a record of a bucket or of a snapshot."""
    assert revision.leaf is not None
    facts = {"kind": revision.kind, "id": revision.id, "version": revision.version, "hash": revision.leaf.hex()}
    return f'{json.dumps(facts, separators=(",", ":"))[:-1]},"document":{revision.document}}}'


# --- the whole


@sync.route("/snapshot", parameters=[IF_NONE_MATCH])
@sync.response(200, {"type": "string"}, content_type=NDJSON, description="The whole dataset.", headers=HEADERS)
@sync.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(sync, "invalid-query", "cursor-diverged", "not-acceptable", "unavailable")
@sync.doc(operationId="snapshot", summary="Copy everything", parameters=parameters(SNAPSHOT))
def snapshot() -> Response:
    """Read the whole dataset at one version, a line of JSON each: `version`, `cursor`, `count`, `root`; then every record.

    Go on with `/changes?cursor=` and that cursor.
    """
    negotiate(NDJSON)
    found = parsing.parse_named(SNAPSHOT, request.args.lists())

    def work(database: Database) -> Response:
        with ExitStack() as stack:
            stack.enter_context(streaming())
            session = stack.enter_context(database.reading())
            version = past.head(session).version
            if "as_of" in found:
                version = version_of(session, found["as_of"])
                readable(lambda: past.untrimmed(session, version), "as_of")
            chain = past.chain_at(session, version)
            etag = f"{__version__}-{version}-{chain.hex()[:8]}"
            if unchanged := conditional(etag):
                return unchanged
            nouns = past.digests(session, version)
            first = {
                "version": version,
                "cursor": past.Position(version).cursor(chain),
                "count": sum(row.count for row in nouns.values()),
                "root": past.root(nouns).hex(),
            }
            rows = stack.enter_context(closing(past.state(session, version)))
            lines = itertools.chain([json.dumps(first, separators=(",", ":"))], map(_member, rows))
            body = chunks(f"{line}\n" for line in lines)
            open_while_sent = stack.pop_all()
        response = Response(held(open_while_sent, body), content_type=NDJSON)
        response.call_on_close(open_while_sent.close)
        return tagged(response, etag)

    return served(work, found.get("min_version", 0))
