"""Proofs of copies, and the whole at once."""

import itertools
import json
from contextlib import ExitStack, closing
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields

from api import __version__
from api.db.database import Database
from api.errors import ProblemError, error_item
from api.ledger import digest, feed, head, history, merkle
from api.ledger.models import Revision
from api.query import parser
from api.query.language import AS_OF, MIN_VERSION, VERSION, Parameter
from api.schema.formats import FORMATS, chunks
from api.schema.operators import TYPES
from api.web.consistency import readable, served, version_of, within
from api.web.envelopes import _any_document, _hash, _id, _kind, _version
from api.web.parameters import NOUN, known, parameters
from api.web.responses import (
    HEADERS,
    IF_NONE_MATCH,
    JSON,
    UNCHANGED,
    Blueprint,
    conditional,
    documents,
    held,
    negotiate,
    streaming,
    tagged,
)


class NounDigestSchema(Schema):
    """What proves a copy of a noun."""

    count = fields.Integer(required=True, metadata={"description": "How many records.", "example": 46})
    root = _hash("Hash of its buckets.")
    buckets = fields.List(
        _hash("Hash of a bucket."),
        metadata={"description": "With `buckets=true`: the hash of each of the 256 buckets.", "example": []},
    )


class DigestSchema(Schema):
    """What proves a copy."""

    version = _version("The version that it is of.")
    count = fields.Integer(required=True, metadata={"description": "How many records.", "example": 603})
    root = _hash("Hash of everything.")
    nouns = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(NounDigestSchema),
        required=True,
        metadata={"description": "Each noun that has records.", "example": {}},
    )


class DigestAnswerSchema(Schema):
    """What proves a copy."""

    data = fields.Nested(DigestSchema, required=True, metadata={"description": "The digest."})


class MemberSchema(Schema):
    """A record with its hash."""

    kind = _kind()
    id = _id()
    version = _version("The version that last changed it.")
    hash = _hash("Its leaf in the digest.")
    document = _any_document("The record.")


class BucketAnswerSchema(Schema):
    """The records of a bucket."""

    data = fields.List(fields.Nested(MemberSchema), required=True, metadata={"description": "The records, by id."})
    hash = _hash("The bucket's hash.")
    version = _version("The version that they are of.")


NDJSON = FORMATS["ndjson"].media_type
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
NUMBERS = [str(number) for number in range(merkle.BUCKETS)]
NUMBER = {
    "name": "number",
    "in": "path",
    "description": "Number of the bucket.",
    "schema": {"type": "integer", "minimum": 0, "maximum": merkle.BUCKETS - 1},
    "example": 0,
}


proofs = Blueprint("proofs", __name__)


# --- the digest


@proofs.route("/digest", parameters=[IF_NONE_MATCH], tags=["sync"])
@proofs.response(200, DigestAnswerSchema, description="The digest.", headers=HEADERS)
@proofs.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(proofs, "invalid-query", "cursor-diverged", "not-acceptable", "unavailable")
@proofs.doc(operationId="digest", summary="Prove a copy", parameters=parameters(DIGEST))
def read_digest() -> Response:
    """Read a SHA-256 Merkle root over all records at a version: whoever computes the same from their copy has it all.

    `buckets=true` adds the hash of each bucket, to find what differs.
    """
    negotiate(JSON)
    found = parser.parse_named(DIGEST, request.args.lists())

    def work(database: Database) -> Response:
        with database.reading() as session:
            now = head.state(session)
            version = found.get("at", now.version)
            within(session, version, "at")
            etag = f"{__version__}-{version}-{head.chain_at(session, version).hex()[:8]}"
            if unchanged := conditional(etag):
                return unchanged
            nouns = digest.digests(session, version)
        body = {
            "version": version,
            "count": sum(row.count for row in nouns.values()),
            "root": digest.root(nouns).hex(),
            "nouns": {kind: _noun(kind, row, whole=found.get("buckets", False)) for kind, row in nouns.items()},
        }
        return tagged(Response(json.dumps({"data": body}, separators=(",", ":")), content_type=JSON), etag)

    return served(work, found.get("min_version", 0))


def _noun(kind: str, row: digest.NounDigest, *, whole: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"count": row.count, "root": merkle.noun(kind, row.buckets).hex()}
    return {**answer, "buckets": [sha256.hex() for sha256 in row.buckets]} if whole else answer


@proofs.route("/digest/buckets/<string:noun>/<string:number>", parameters=[NOUN, NUMBER, IF_NONE_MATCH], tags=["sync"])
@proofs.response(200, BucketAnswerSchema, description="The bucket.", headers=HEADERS)
@proofs.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(proofs, "invalid-query", "cursor-diverged", "not-acceptable", "not-found", "unavailable")
@proofs.doc(operationId="bucket", summary="Repair a copy", parameters=parameters(BUCKET))
def read_bucket(noun: str, number: str) -> Response:
    """Read the records of one bucket, by id, with their hashes: what a copy whose bucket differs should hold instead."""
    negotiate(JSON)
    kind = known(noun).name
    if number not in NUMBERS:
        detail = "There is no such bucket."
        item = error_item("number", "invalid-value", detail, allowed={"minimum": 0, "maximum": merkle.BUCKETS - 1})
        raise ProblemError("not-found", detail, item)
    found = parser.parse_named(BUCKET, request.args.lists())

    def work(database: Database) -> Response:
        with database.reading() as session:
            version = found.get("at", head.state(session).version)
            within(session, version, "at")
            etag = f"{__version__}-{version}-{head.chain_at(session, version).hex()[:8]}"
            if unchanged := conditional(etag):
                return unchanged
            rows = readable(lambda: digest.bucket_at(session, kind, int(number), version), "at")
        sha256 = merkle.bucket(row.leaf for row in rows).hex()
        data = ",".join(_member(row) for row in rows)
        return tagged(Response(f'{{"data":[{data}],"hash":"{sha256}","version":{version}}}', content_type=JSON), etag)

    return served(work, found.get("min_version", 0))


def _member(revision: Revision) -> str:
    """Write a record of a bucket or of a snapshot."""
    assert revision.leaf is not None
    facts = {"kind": revision.kind, "id": revision.id, "version": revision.version, "hash": revision.leaf.hex()}
    return f'{json.dumps(facts, separators=(",", ":"))[:-1]},"document":{revision.document}}}'


# --- the whole


@proofs.route("/snapshot", parameters=[IF_NONE_MATCH], tags=["sync"])
@proofs.response(200, {"type": "string"}, content_type=NDJSON, description="The whole dataset.", headers=HEADERS)
@proofs.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(proofs, "invalid-query", "cursor-diverged", "not-acceptable", "unavailable")
@proofs.doc(operationId="snapshot", summary="Copy everything", parameters=parameters(SNAPSHOT))
def snapshot() -> Response:
    """Read the whole dataset at one version, a line of JSON each: `version`, `cursor`, `count`, `root`; then every record.

    Go on with `/changes?cursor=` and that cursor.
    """
    negotiate(NDJSON)
    found = parser.parse_named(SNAPSHOT, request.args.lists())

    def work(database: Database) -> Response:
        with ExitStack() as stack:
            stack.enter_context(streaming())
            session = stack.enter_context(database.reading())
            version = head.state(session).version
            if "as_of" in found:
                version = version_of(session, found["as_of"])
                readable(lambda: history.require_untrimmed(session, version), "as_of")
            chain = head.chain_at(session, version)
            etag = f"{__version__}-{version}-{chain.hex()[:8]}"
            if unchanged := conditional(etag):
                return unchanged
            nouns = digest.digests(session, version)
            first = {
                "version": version,
                "cursor": feed.Position(version).cursor(chain),
                "count": sum(row.count for row in nouns.values()),
                "root": digest.root(nouns).hex(),
            }
            rows = stack.enter_context(closing(history.dataset_at(session, version)))
            lines = itertools.chain([json.dumps(first, separators=(",", ":"))], map(_member, rows))
            body = chunks(f"{line}\n" for line in lines)
            open_while_sent = stack.pop_all()
        response = Response(held(open_while_sent, body), content_type=NDJSON)
        response.call_on_close(open_while_sent.close)
        return tagged(response, etag)

    return served(work, found.get("min_version", 0))
