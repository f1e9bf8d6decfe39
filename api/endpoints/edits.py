"""Writing over HTTP: the verbs of every noun, and how a request is carried out once."""

from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema
from sqlalchemy import UniqueConstraint

from api.editing.constraints import referrers
from api.editing.inputs import example_of, input_of, patch_of
from api.editing.operations import Operation
from api.schema.resource import Resource
from api.web import auth
from api.web.commits import (
    ASKED,
    ETAG,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    LOCATION,
    PREFER,
    PREFERENCE,
    WRITE_REFUSALS,
    WRITTEN,
    absent,
    arguments,
    begin,
    carry_out,
    expected,
    written,
)
from api.web.envelopes import record_of
from api.web.parameters import id_of
from api.web.responses import JSON, Blueprint, documents, read_body

MERGE_PATCH = "application/merge-patch+json"


# --- the verbs


def add_verbs(blp: Blueprint, resource: Resource) -> None:
    """Add what changes the records of a noun to its routes."""
    name, singular, scope = resource.name, resource.singular, f"write:{resource.name}"
    headers = WRITTEN | ETAG | PREFERENCE
    kept: dict[str, Any] = {"description": f"The {singular} as it is now.", "headers": headers}
    made: dict[str, Any] = {"description": f"The {singular} as it was created.", "headers": headers | LOCATION}
    nothing: dict[str, Any] = {"description": "It is changed.", "headers": headers, "success": True}

    def body(schema: type[Schema], example: Any, *media_types: str) -> dict[str, Any]:
        return {"required": True, "content": {kind: {"schema": schema, "example": example} for kind in media_types}}

    at_path = ("method-not-allowed", "precondition-failed", "precondition-required")
    missing = ("record-not-found", "record-deleted")
    clashes = (
        ["conflict"]
        if any(isinstance(found, UniqueConstraint) for found in resource.model.metadata.tables[name].constraints)
        else []
    )
    in_use = ["conflict"] if referrers(resource) else []
    whole = body(input_of(resource.schema), example_of(resource), JSON)

    @blp.route(f"/{name}", endpoint="create")
    class Creation(MethodView):
        @blp.response(201, record_of(resource), **made)
        @documents(blp, *WRITE_REFUSALS, "conflict")
        @auth.documented(blp, scope)
        @blp.doc(operationId=f"create_{singular}", summary=f"Create {_a(singular)}", requestBody=whole)
        @blp.doc(parameters=[*ASKED, IDEMPOTENCY_KEY, PREFER])
        def post(self) -> Response:
            """Create a record under the `id` in the body; one that is there already is a 409."""
            key = begin(scope)
            operation = Operation(verb="create", resource=resource, body=read_body(JSON, exact=True))
            return carry_out(key, [operation], arguments(), written)

    @blp.route(f"/{name}/<record:id>", endpoint="change", parameters=[id_of(resource)])
    class Change(MethodView):
        @blp.response(200, record_of(resource), **kept)
        @blp.alt_response(201, schema=record_of(resource), **made, success=True)
        @blp.alt_response(204, **nothing)
        @documents(blp, *WRITE_REFUSALS, *at_path, *clashes)
        @auth.documented(blp, scope)
        @blp.doc(operationId=f"put_{singular}", summary=f"Create or replace {_a(singular)}", requestBody=whole)
        @blp.doc(parameters=[*ASKED, IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY_KEY, PREFER])
        def put(self, id: str) -> Response:
            """Replace a record as a whole, which needs `If-Match`, or create it."""
            key = begin(scope)
            body = read_body(JSON, exact=True)
            operation = Operation(verb="put", resource=resource, id=id, body=body, expected=expected(), absent=absent())
            return carry_out(key, [operation], arguments(), written)

        @blp.response(200, record_of(resource), **kept)
        @blp.alt_response(204, **nothing)
        @documents(blp, *WRITE_REFUSALS, *at_path, *clashes, *missing)
        @auth.documented(blp, scope)
        @blp.doc(operationId=f"patch_{singular}", summary=f"Change {_a(singular)}")
        @blp.doc(requestBody=body(patch_of(resource), {resource.label.key: "A better one"}, JSON, MERGE_PATCH))
        @blp.doc(parameters=[*ASKED, IF_MATCH, IDEMPOTENCY_KEY, PREFER])
        def patch(self, id: str) -> Response:
            """Change some members (JSON Merge Patch, RFC 7396): null empties one, and a list is replaced as a whole."""
            key = begin(scope)
            body = read_body(JSON, MERGE_PATCH, exact=True)
            operation = Operation(verb="patch", resource=resource, id=id, body=body, expected=expected())
            return carry_out(key, [operation], arguments(), written)

        @blp.response(204, description="It is gone, and its citations with it.", headers=WRITTEN)
        @documents(blp, "bad-request", "invalid-query", "unavailable", "idempotency-mismatch", *at_path, *in_use, *missing)
        @auth.documented(blp, scope)
        @blp.doc(operationId=f"delete_{singular}", summary=f"Delete {_a(singular)}")
        @blp.doc(parameters=[*ASKED, IF_MATCH, IDEMPOTENCY_KEY])
        def delete(self, id: str) -> Response:
            """Delete a record, unless others refer to it."""
            key = auth.authorize(scope)
            operation = Operation(verb="delete", resource=resource, id=id, expected=expected())
            return carry_out(key, [operation], arguments(), written)


def _a(singular: str) -> str:
    return f"{'an' if singular[0] in 'aeiou' else 'a'} {singular}"
