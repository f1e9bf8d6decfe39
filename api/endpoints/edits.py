"""Writing the records of a noun: create, replace, change and delete."""

from collections.abc import Sequence
from typing import Any, ClassVar

from flask import Response
from flask.views import MethodView
from marshmallow import Schema
from sqlalchemy import UniqueConstraint

from api.editing.inputs import example_of, input_of, patch_of
from api.editing.operations import Operation
from api.editing.staging import referrers
from api.schema.resource import Resource
from api.web import auth
from api.web.blueprints import Blueprint, Decorators, documents, noun_view
from api.web.commits import (
    ETAG,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    LOCATION,
    PREFER,
    PREFERENCE,
    WRITE_PARAMETERS,
    WRITE_REFUSALS,
    WRITTEN,
    begin,
    carry_out,
    must_be_absent,
    read_arguments,
    read_if_match,
    record_written,
)
from api.web.parameters import id_parameter
from api.web.responses import JSON, read_body
from api.web.schemas import record_of

MERGE_PATCH = "application/merge-patch+json"
HEADERS = WRITTEN | ETAG | PREFERENCE
EXISTING = ("method-not-allowed", "precondition-failed", "precondition-required")
MISSING = ("record-not-found", "record-deleted")


class RecordCreation(MethodView):
    """The path under which a noun's records are created."""

    resource: ClassVar[Resource]

    def post(self) -> Response:
        """Create a record under the `id` in the body; a 409 if it exists already."""
        key = begin(write_scope(self.resource))
        operation = Operation(verb="create", resource=self.resource, body=read_body(JSON, exact=True))
        return carry_out(key, [operation], read_arguments(), record_written)


class RecordChange(MethodView):
    """The path under which one record is changed."""

    resource: ClassVar[Resource]

    def put(self, id: str) -> Response:
        """Replace a whole record, which needs `If-Match`, or create it."""
        key = begin(write_scope(self.resource))
        body, expected, absent = read_body(JSON, exact=True), read_if_match(), must_be_absent()
        operation = Operation(verb="put", resource=self.resource, id=id, body=body, expected=expected, absent=absent)
        return carry_out(key, [operation], read_arguments(), record_written)

    def patch(self, id: str) -> Response:
        """Change some members (JSON Merge Patch, RFC 7396): null empties a member, and a list is replaced as a whole."""
        key = begin(write_scope(self.resource))
        body = read_body(JSON, MERGE_PATCH, exact=True)
        operation = Operation(verb="patch", resource=self.resource, id=id, body=body, expected=read_if_match())
        return carry_out(key, [operation], read_arguments(), record_written)

    def delete(self, id: str) -> Response:
        """Delete a record and its citations; a 409 if other records refer to it."""
        key = auth.authorize(write_scope(self.resource))
        operation = Operation(verb="delete", resource=self.resource, id=id, expected=read_if_match())
        return carry_out(key, [operation], read_arguments(), record_written)


def write_scope(resource: Resource) -> str:
    """Return the scope that a key needs to change a noun's records."""
    return f"write:{resource.name}"


# --- routes


def add_routes(blp: Blueprint, resource: Resource) -> None:
    """Add the routes that change a noun's records to its blueprint."""
    creation = noun_view(RecordCreation, resource, post=_create_docs(blp, resource))
    change = noun_view(
        RecordChange,
        resource,
        put=_put_docs(blp, resource),
        patch=_patch_docs(blp, resource),
        delete=_delete_docs(blp, resource),
    )
    blp.add_url_rule(f"/{resource.name}", "create", creation)
    blp.add_url_rule(f"/{resource.name}/<record:id>", "change", change, parameters=[id_parameter(resource)])


def _create_docs(blp: Blueprint, resource: Resource) -> Decorators:
    return (
        blp.doc(operationId=f"create_{resource.singular}", summary=f"Create {_one(resource)}", requestBody=_whole(resource)),
        blp.doc(parameters=[*WRITE_PARAMETERS, IDEMPOTENCY_KEY, PREFER]),
        auth.documented(blp, write_scope(resource)),
        documents(blp, *WRITE_REFUSALS, "conflict"),
        blp.response(201, record_of(resource), **_created(resource)),
    )


def _put_docs(blp: Blueprint, resource: Resource) -> Decorators:
    summary = f"Create or replace {_one(resource)}"
    return (
        blp.doc(operationId=f"put_{resource.singular}", summary=summary, requestBody=_whole(resource)),
        blp.doc(parameters=[*WRITE_PARAMETERS, IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY_KEY, PREFER]),
        auth.documented(blp, write_scope(resource)),
        documents(blp, *WRITE_REFUSALS, *EXISTING, "conflict"),
        blp.alt_response(204, description="The record is changed.", headers=HEADERS, success=True),
        blp.alt_response(201, schema=record_of(resource), **_created(resource), success=True),
        blp.response(200, record_of(resource), **_changed(resource)),
    )


def _patch_docs(blp: Blueprint, resource: Resource) -> Decorators:
    body = _body(patch_of(resource), {resource.label.key: "A better one"}, JSON, MERGE_PATCH)
    return (
        blp.doc(operationId=f"patch_{resource.singular}", summary=f"Change {_one(resource)}", requestBody=body),
        blp.doc(parameters=[*WRITE_PARAMETERS, IF_MATCH, IDEMPOTENCY_KEY, PREFER]),
        auth.documented(blp, write_scope(resource)),
        documents(blp, *WRITE_REFUSALS, *EXISTING, *MISSING, *_clashes(resource)),
        blp.alt_response(204, description="The record is changed.", headers=HEADERS, success=True),
        blp.response(200, record_of(resource), **_changed(resource)),
    )


def _delete_docs(blp: Blueprint, resource: Resource) -> Decorators:
    in_use = ["conflict"] if referrers(resource) else []
    refusals = ("bad-request", "invalid-query", "unavailable", "idempotency-mismatch")
    return (
        blp.doc(operationId=f"delete_{resource.singular}", summary=f"Delete {_one(resource)}"),
        blp.doc(parameters=[*WRITE_PARAMETERS, IF_MATCH, IDEMPOTENCY_KEY]),
        auth.documented(blp, write_scope(resource)),
        documents(blp, *refusals, *EXISTING, *MISSING, *in_use),
        blp.response(204, description="The record and its citations are deleted.", headers=WRITTEN),
    )


def _body(schema: type[Schema], example: Any, *media_types: str) -> dict[str, Any]:
    return {"required": True, "content": {name: {"schema": schema, "example": example} for name in media_types}}


def _whole(resource: Resource) -> dict[str, Any]:
    return _body(input_of(resource.schema), example_of(resource), JSON)


def _created(resource: Resource) -> dict[str, Any]:
    return {"description": f"The {resource.singular} as it was created.", "headers": HEADERS | LOCATION}


def _changed(resource: Resource) -> dict[str, Any]:
    return {"description": f"The {resource.singular} after the change.", "headers": HEADERS}


def _clashes(resource: Resource) -> Sequence[str]:
    """Return the problem of a value that another record has already, if the noun has such a constraint."""
    constraints = resource.model.metadata.tables[resource.name].constraints
    return ["conflict"] if any(isinstance(constraint, UniqueConstraint) for constraint in constraints) else []


def _one(resource: Resource) -> str:
    return f"{'an' if resource.singular[0] in 'aeiou' else 'a'} {resource.singular}"
