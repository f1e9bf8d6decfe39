"""What a record has been: who changed what, when and why."""

import itertools
import json
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields, validate
from sqlalchemy.orm import Session

from api import __version__
from api.db.database import Database
from api.ledger import head, history
from api.ledger.models import Op, Revision
from api.query import parser
from api.query.language import DEFAULT_LIMIT, MAX_LIMIT, MIN_VERSION, VERSION, Parameter
from api.schema.canonical import PUBLICATION
from api.schema.fields import instant, is_slug
from api.schema.resource import Resource
from api.web.consistency import served, unknown_record
from api.web.envelopes import LinksSchema, MetaSchema, _any_document, _changed_at, _hash, _version
from api.web.parameters import id_of, parameter_component
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


class DifferenceSchema(Schema):
    """A member that a revision changed."""

    pointer = fields.String(required=True, metadata={"description": "The member (RFC 6901).", "example": "/summary"})
    before = fields.Raw(
        required=True, allow_none=True, metadata={"description": "What it said; null if nothing.", "example": None}
    )
    after = fields.Raw(
        required=True, allow_none=True, metadata={"description": "What it says; null if nothing.", "example": "A port."}
    )


class RevisionSchema(Schema):
    """A state of a record, and how it came to it."""

    version = _version("Its version.")
    commit = _version("The first version of the commit that it is of.")
    op = fields.String(
        required=True,
        validate=validate.OneOf(["upsert", "delete"]),
        metadata={"description": "`upsert`, or `delete`.", "example": "upsert"},
    )
    author = fields.String(
        required=True, allow_none=True, metadata={"description": "Name of the key that wrote it.", "example": "curator"}
    )
    reason = fields.String(
        required=True, allow_none=True, metadata={"description": "Why, in the writer's words.", "example": "Corrects a date."}
    )
    changed_at = _changed_at()
    hash = _hash("Its leaf in the digest; null of a deletion.", allow_none=True)
    document = _any_document("The record; null of a deletion, and of a past that was cut.", or_null=True)
    cut = fields.Boolean(required=True, metadata={"description": "Whether its document was cut.", "example": False})
    changes = fields.List(
        fields.Nested(DifferenceSchema),
        required=True,
        allow_none=True,
        metadata={"description": "What it changed, by member; null where that is not known any more."},
    )


class HistoryAnswerSchema(Schema):
    """The revisions of a record, the newest first."""

    data = fields.List(fields.Nested(RevisionSchema), required=True, metadata={"description": "The newest first."})
    links = fields.Nested(LinksSchema, required=True, metadata={"description": "Addresses of this page and the next."})
    meta = fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."})


PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "limit",
            f"How many revisions there are at most, {DEFAULT_LIMIT} by itself.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            example=lambda _: "10",
        ),
        Parameter("before", "Only revisions before this version.", VERSION, example=lambda _: "604"),
        MIN_VERSION,
    )
}
ASKED = [{"name": name, "in": "query", **parameter_component(row)} for name, row in PARAMETERS.items()]


def add_history(blp: Blueprint, resource: Resource) -> None:
    """Add the path of a record's past to the routes of its noun."""
    singular = resource.singular

    @blp.route(f"/{resource.name}/<record:id>/history", endpoint="history", parameters=[id_of(resource), IF_NONE_MATCH])
    @blp.response(200, HistoryAnswerSchema, description=f"Revisions of the {singular}.", headers=HEADERS | LINK)
    @blp.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blp, "invalid-query", "record-not-found", "not-acceptable", "unavailable")
    @blp.doc(operationId=f"history_of_{singular}", summary=f"Read what a {singular} has been", parameters=ASKED)
    def history(id: str) -> Response:
        """Every revision, the newest first, a deletion too: who, when, why, and which members it changed."""
        negotiate(JSON)
        found = parser.parse_named(PARAMETERS, request.args.lists())
        return served(lambda database: _history(database, resource, id, found), found.get("min_version", 0))


def _history(database: Database, resource: Resource, id: str, asked: dict[str, Any]) -> Response:
    limit = asked.get("limit", DEFAULT_LIMIT)
    with database.reading() as session:
        newest = _revisions(session, resource, id, None, 1)
        if not newest:
            raise unknown_record(session, resource, id)
        etag = f"{__version__}-{newest[0].version}-{head.state(session).cuts}"
        if unchanged := conditional(etag):
            return unchanged
        rows = _revisions(session, resource, id, asked.get("before"), limit)
    shown = [_shown(row, before) for row, before in itertools.zip_longest(rows, rows[1:])][:limit]
    following = address(request.args, before=str(rows[limit - 1].version)) if len(rows) > limit else None
    links = {"self": address(request.args), "next": following}
    body = {"data": shown, "links": links, "meta": {"version": newest[0].version}}
    response = Response(json.dumps(body, separators=(",", ":")), content_type=JSON)
    response.headers["Link"] = link_header(links)
    return tagged(response, etag)


def _revisions(session: Session, resource: Resource, id: str, before: int | None, limit: int) -> list[Revision]:
    return list(history.revisions_of(session, resource.name, id, before, limit)) if is_slug(id) else []


def _shown(row: Revision, before: Revision | None) -> dict[str, Any]:
    document = row.document and json.loads(row.document)
    return {
        "version": row.version,
        "commit": row.commit_version,
        "op": row.op.value,
        "author": row.author,
        "reason": row.reason,
        "changed_at": instant(row.changed_at),
        "hash": row.leaf and row.leaf.hex(),
        "document": document,
        "cut": _is_cut(row),
        "changes": None if _is_cut(row) or (before and _is_cut(before)) else differences(_content(before), _content(row)),
    }


def _is_cut(row: Revision) -> bool:
    return row.op is Op.UPSERT and row.document is None


def _content(row: Revision | None) -> dict[str, Any]:
    return json.loads(row.document) if row and row.document else {}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the members that differ between two documents, what publication adds left out."""
    names = sorted(name for name in {**before, **after} if name not in PUBLICATION)
    return [
        {"pointer": f"/{name}", "before": before.get(name), "after": after.get(name)}
        for name in names
        if before.get(name) != after.get(name) or (name in before) != (name in after)
    ]
