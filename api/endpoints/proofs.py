"""Proofs of a copy, and the whole dataset at once: `/digest`, the nodes of its tree, and `/snapshot`."""

import itertools
import json
from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.errors import ProblemError
from api.ledger import digest, head, history, scopes
from api.ledger.cursors import Position
from api.ledger.parts import Part
from api.query import parser
from api.query.parameters import AS_OF, MIN_VERSION, VERSION, Parameter
from api.query.parts import KINDS, SCOPE_PARAMETERS, hints_of, part_of
from api.schema.formats import chunks
from api.web import envelopes, tags
from api.web.blueprints import Blueprint, documents
from api.web.consistency import ReadView, as_of_version, chain_of, reading, version_problems
from api.web.headers import CONDITIONS, HEADERS, UNCHANGED
from api.web.parameters import NOUN, noun_named, query_parameters
from api.web.places import streaming
from api.web.problem_types import PROBLEMS
from api.web.responses import JSON, NDJSON, conditional, json_response, negotiate, streamed, tagged
from api.web.schemas import document_field, hash_field, id_field, kind_field, version_field


class NounDigestSchema(Schema):
    """Digest of the records of a noun."""

    count = fields.Integer(required=True, metadata={"description": "Number of records.", "example": 46})
    root = hash_field("Hash over its records.")


class DigestSchema(Schema):
    """Digest of all records at a version."""

    version = version_field("Version of the dataset that the digest is of.")
    count = fields.Integer(required=True, metadata={"description": "Number of records.", "example": 603})
    root = hash_field("Hash over all nouns.")
    nouns = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(NounDigestSchema),
        required=True,
        metadata={"description": "Digest of each noun that has records.", "example": {}},
    )


class DigestAnswerSchema(Schema):
    """An answer with the digest."""

    data = fields.Nested(DigestSchema, required=True, metadata={"description": "The digest."})


class MemberSchema(Schema):
    """A record with its hash."""

    kind = kind_field()
    id = id_field()
    version = version_field("Version that last changed the record.")
    hash = hash_field("Leaf hash of the record in the digest.")
    document = document_field("The record.")


class NodeAnswerSchema(Schema):
    """A node of a noun's tree: a bucket has records, and an inner node has children."""

    data = fields.List(
        fields.Nested(MemberSchema),
        required=True,
        metadata={"description": "The records of a bucket, in the order of their keys."},
    )
    children = fields.List(
        hash_field("Hash of a child."),
        required=True,
        metadata={"description": "The hashes of the 16 children of an inner node.", "example": []},
    )
    count = fields.Integer(required=True, metadata={"description": "Number of records below the node.", "example": 46})
    hash = hash_field("Hash of the node.")
    version = version_field("Version of the dataset that the node is of.")


AT = Parameter("at", "Version of the dataset; the newest by default.", VERSION, example=lambda _: "603")
PREFIX = Parameter(
    "prefix",
    "The first hexadecimal digits of the keys of the records below the node; the top node by default.",
    {"type": "string", "pattern": "^[0-9a-f]{1,64}$"},
    example=lambda _: "3",
)
DIGEST_PARAMETERS = {row.name: row for row in (AT, MIN_VERSION)}
NODE_PARAMETERS = {row.name: row for row in (PREFIX, AT, MIN_VERSION)}
SNAPSHOT_PARAMETERS = {row.name: row for row in (KINDS, *SCOPE_PARAMETERS.values(), AS_OF, MIN_VERSION)}
PROOF_PROBLEMS = ("invalid-query", "cursor-diverged", "not-acceptable", "precondition-failed", "unavailable")
blueprint = Blueprint("proofs", __name__)


@blueprint.route("/digest", endpoint="read_digest", parameters=CONDITIONS, tags=["sync"])
class Digest(ReadView):
    """The digest of the dataset."""

    @blueprint.response(200, DigestAnswerSchema, description="The digest.", headers=HEADERS)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, *PROOF_PROBLEMS)
    @blueprint.doc(operationId="digest", summary="Prove a copy", parameters=query_parameters(DIGEST_PARAMETERS))
    def get(self) -> Response:
        """Read a SHA-256 Merkle root over all records at a version: a copy that has the same root is complete and correct."""
        if "buckets" in request.args:
            raise replaced()
        negotiate(JSON)
        return read_digest(parser.parse_named(DIGEST_PARAMETERS, request.args.lists()))


@blueprint.route("/digest/<string:noun>", endpoint="read_node", parameters=[NOUN, *CONDITIONS], tags=["sync"])
class DigestNode(ReadView):
    """A node of the digest."""

    @blueprint.response(200, NodeAnswerSchema, description="The node.", headers=HEADERS)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, *PROOF_PROBLEMS, "not-found")
    @blueprint.doc(operationId="digestNode", summary="Repair a copy", parameters=query_parameters(NODE_PARAMETERS))
    def get(self, noun: str) -> Response:
        """Read a node of a noun: its children, to compare them with those of a copy, or its records, which a copy takes."""
        negotiate(JSON)
        return read_node(noun_named(noun).name, parser.parse_named(NODE_PARAMETERS, request.args.lists()))


@blueprint.route("/snapshot", endpoint="snapshot", parameters=CONDITIONS, tags=["sync"])
class Snapshot(ReadView):
    """The whole dataset."""

    @blueprint.response(200, {"type": "string"}, content_type=NDJSON, description="The whole dataset.", headers=HEADERS)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, *PROOF_PROBLEMS)
    @blueprint.doc(operationId="snapshot", summary="Copy everything", parameters=query_parameters(SNAPSHOT_PARAMETERS))
    def get(self) -> Response:
        """Read the whole dataset at one version as lines of JSON: `version`, `cursor`, `count`, `root`; then every record.

        Continue with `/changes?cursor=` and that cursor.
        """
        negotiate(NDJSON)
        return read_snapshot(parser.parse_named(SNAPSHOT_PARAMETERS, request.args.lists()))


# --- the digest


def read_digest(query: dict[str, Any]) -> Response:
    """Answer with the digest at a version. Raises a 410."""
    with reading(query.get("min_version", 0)) as session:
        version, etag = _version_and_tag(session, query.get("at"))
        if unchanged := conditional(etag):
            return unchanged
        nouns = digest.digests(session, version)
    rows = {kind: {"count": row.count, "root": row.sha256.hex()} for kind, row in nouns.items()}
    return tagged(json_response({"data": {"version": version, **_summary(nouns), "nouns": rows}}), etag)


def read_node(kind: str, query: dict[str, Any]) -> Response:
    """Answer with a node at a version. Raises a 410."""
    with reading(query.get("min_version", 0)) as session:
        version, etag = _version_and_tag(session, query.get("at"))
        if unchanged := conditional(etag):
            return unchanged
        with version_problems(session, "at"):
            node, revisions = digest.node_at(session, kind, query.get("prefix", ""), version)
    children = [] if node.is_bucket else [child.hex() for child in node.children]
    facts = {"children": children, "count": node.records, "hash": node.sha256.hex(), "version": version}
    body = f'{{"data":[{",".join(map(envelopes.leaf, revisions))}],{json.dumps(facts, separators=(",", ":"))[1:]}'
    return tagged(Response(body, content_type=JSON), etag)


def replaced() -> ProblemError:
    """Return the 410 for copies that ask for the 256 buckets of the first digest."""
    return ProblemError("digest-replaced", PROBLEMS["digest-replaced"].detail)


def read_bucket(**_: str) -> Response:
    """Answer with a 410 where the buckets of the first digest were."""
    raise replaced()


def _version_and_tag(session: Session, at: int | None) -> tuple[int, str]:
    """Return the version that is read, the newest by default, and the tag of its answers. Raises a 410."""
    state = head.state(session)
    version = state.version if at is None else at
    return version, tags.of_version(state, version, chain_of(session, version, "at"))


def _summary(nouns: Mapping[str, digest.NounDigest]) -> dict[str, Any]:
    return {"count": sum(row.count for row in nouns.values()), "root": digest.root(nouns).hex()}


# --- the snapshot


def read_snapshot(query: dict[str, Any]) -> Response:
    """Answer with the dataset, or a part of it, at a version while it is read. Raises a 410."""
    with ExitStack() as stack:
        stack.enter_context(streaming())
        session = stack.enter_context(reading(query.get("min_version", 0)))
        version = _snapshot_version(session, query.get("as_of"))
        chain = head.chain_at(session, version)
        etag = tags.of_version(head.state(session), version, chain)
        if unchanged := conditional(etag):
            return unchanged
        part = part_of(query)
        cursor = Position(version, part.kinds, mark=part.mark).cursor(chain)
        first = {"version": version, "cursor": cursor, **_part_summary(session, version, part)}
        revisions = stack.enter_context(closing(history.dataset_at(session, version, part)))
        lines = itertools.chain([json.dumps(first, separators=(",", ":"))], map(envelopes.leaf, revisions))
        return tagged(streamed(stack, chunks(f"{line}\n" for line in lines), NDJSON), etag)


def _part_summary(session: Session, version: int, part: Part) -> dict[str, Any]:
    """Return the number of records and the root of a part; only all records of a noun have a digest."""
    if part.scopes:
        scopes.require_stored(session)
        count = history.count_at(session, version, part)
        return {"count": count, "root": None, **hints_of(session, part, count)}
    nouns = digest.digests(session, version)
    return _summary({kind: row for kind, row in nouns.items() if kind in (part.kinds or nouns)})


def _snapshot_version(session: Session, as_of: str | None) -> int:
    """Return the version that `as_of` names, the newest by default. Raises a 410 if its past was cut."""
    if as_of is None:
        return head.state(session).version
    version = as_of_version(session, as_of)
    with version_problems(session, "as_of"):
        history.require_untrimmed(session, version)
    return version
