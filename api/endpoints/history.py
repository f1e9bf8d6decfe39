"""The history of a record: who changed which members, when and why."""

import itertools
import json
from typing import Any, ClassVar

from flask import Response, request
from marshmallow import Schema, fields

from api.ledger import head, history
from api.ledger.models import ERASE, Revision
from api.query import parser
from api.query.language import DEFAULT_LIMIT, MAX_LIMIT
from api.query.parameters import MIN_VERSION, VERSION, Parameter
from api.schema.fields import instant, is_slug
from api.schema.resource import Resource
from api.web import frames, tags
from api.web.blueprints import Blueprint, documents, noun_view
from api.web.consistency import ReadView, reading, unknown_record
from api.web.envelopes import merged_into
from api.web.headers import CONDITIONS, HEADERS, LINK, UNCHANGED, VARY
from api.web.negotiation import HTML
from api.web.pages.past import history_page
from api.web.parameters import id_parameter, query_parameters
from api.web.responses import JSON, address, json_response, negotiate, tagged
from api.web.schemas import (
    DifferenceSchema,
    LinksSchema,
    MetaSchema,
    author_field,
    changed_at_field,
    document_field,
    hash_field,
    merged_into_field,
    op_field,
    reason_field,
    version_field,
)


class RevisionSchema(Schema):
    """A revision of a record, and how it differs from the one before."""

    version = version_field("Version of the revision.")
    commit = version_field("First version of its commit, which names the commit.")
    op = op_field("`upsert`: the record was created or changed; `delete`: it was deleted; `erase`: its past was erased.", ERASE)
    merged_into = merged_into_field()
    author = author_field()
    reason = reason_field()
    changed_at = changed_at_field()
    hash = hash_field("Leaf hash of the record in the digest; null for a deletion.", allow_none=True)
    document = document_field("The record; null for a deletion, and if the document was cut from the history.", or_null=True)
    cut = fields.Boolean(
        required=True, metadata={"description": "Whether the document was cut from the history.", "example": False}
    )
    changes = fields.List(
        fields.Nested(DifferenceSchema),
        required=True,
        allow_none=True,
        metadata={"description": "The members that it changed; null if one of the two documents was cut."},
    )


class HistoryAnswerSchema(Schema):
    """The revisions of a record, the newest first."""

    data = fields.List(fields.Nested(RevisionSchema), required=True, metadata={"description": "The newest first."})
    links = fields.Nested(LinksSchema, required=True, metadata={"description": "Links to this page and to the next one."})
    meta = fields.Nested(MetaSchema, required=True, metadata={"description": "About the answer."})


PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "limit",
            f"Greatest number of revisions; {DEFAULT_LIMIT} by default.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            example=lambda _: "10",
        ),
        Parameter("before", "Only revisions before this version.", VERSION, example=lambda _: "604"),
        MIN_VERSION,
    )
}


class RecordHistory(ReadView):
    """The history of a record."""

    resource: ClassVar[Resource]

    def get(self, id: str) -> Response:
        """Read every revision of a record, deletions too, the newest first: who wrote it, when, why, and what it changed."""
        media_type = negotiate(JSON, HTML)
        query = parser.parse_named(PARAMETERS, request.args.lists())
        response = read_history(self.resource, id, query, media_type)
        response.headers["Vary"] = "Accept"
        return response


def add_routes(blp: Blueprint, resource: Resource) -> None:
    """Add the route of a record's history to its noun's blueprint."""
    singular, parameters = resource.singular, query_parameters(PARAMETERS)
    docs = (
        blp.doc(operationId=f"history_of_{singular}", summary=f"Read the history of a {singular}", parameters=parameters),
        documents(blp, "invalid-query", "record-not-found", "not-acceptable", "precondition-failed", "unavailable"),
        blp.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True),
        blp.response(200, HistoryAnswerSchema, description=f"Revisions of the {singular}.", headers=HEADERS | LINK | VARY),
    )
    view = noun_view(RecordHistory, resource, get=docs)
    path = f"/{resource.name}/<record:id>/history"
    blp.add_url_rule(path, "history", view, parameters=[id_parameter(resource), *CONDITIONS])


def read_history(resource: Resource, id: str, query: dict[str, Any], media_type: str) -> Response:
    """Answer with revisions of a record, or with the page of them. Raises a 404."""
    limit, is_page = query.get("limit", DEFAULT_LIMIT), media_type == HTML
    with reading(query.get("min_version", 0)) as session:
        newest = history.newest(session, resource.name, id) if is_slug(id) else None
        if newest is None:
            raise unknown_record(session, resource, id)
        state = head.state(session)
        etag = tags.of_version(state, newest.version, head.chain_at(session, newest.version))
        # A page has the names of other records.
        etag = tags.of_dataset(state, *frames.tag_parts(media_type)) if is_page else etag
        if unchanged := frames.unchanged(etag, media_type):
            return unchanged
        # One more than the page has, to compare the last of the page with.
        revisions = history.revisions_of(session, resource.name, id, query.get("before"), limit)
        pairs = [*itertools.zip_longest(revisions, revisions[1:])][:limit]
        rows = [_row(revision, before) for revision, before in pairs]
        following = address(request.args, before=str(revisions[limit - 1].version)) if len(revisions) > limit else None
        if is_page:
            pages = [{**row, "before": _content(before)} for row, (_, before) in zip(rows, pairs, strict=True)]
            return tagged(history_page(session, resource, id, pages, following), etag)
    links = {"self": address(request.args), "next": following}
    return tagged(json_response({"data": rows, "links": links, "meta": {"version": newest.version}}, links), etag)


def _row(revision: Revision, before: Revision | None) -> dict[str, Any]:
    is_known = not history.is_cut(revision) and not (before and history.is_cut(before))
    return {
        "version": revision.version,
        "commit": revision.commit_version,
        "op": history.effect(revision),
        **merged_into(revision),
        "author": revision.author,
        "reason": revision.reason,
        "changed_at": instant(revision.changed_at),
        "hash": revision.leaf and revision.leaf.hex(),
        "document": revision.document and json.loads(revision.document),
        "cut": history.is_cut(revision),
        "changes": history.differences(_content(before), _content(revision)) if is_known else None,
    }


def _content(revision: Revision | None) -> dict[str, Any]:
    return json.loads(revision.document) if revision and revision.document else {}
