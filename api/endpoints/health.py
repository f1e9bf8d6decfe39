"""The health checks: whether the process runs, and whether the server can answer and write."""

from typing import Any

from flask import Response, request
from marshmallow import Schema, fields

from api.errors import ProblemError
from api.query import parser
from api.query.parameters import Parameter
from api.schema.operators import TYPES
from api.web.blueprints import Blueprint, NoArguments, documents
from api.web.headers import NOT_KEPT
from api.web.news import news
from api.web.parameters import query_parameters
from api.web.responses import database, json_response, no_store, writable

READY_PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "writes",
            "With `true`, a server that can read but not write, such as a standby, is not ready.",
            TYPES["flag"].schema,
            example=lambda _: "false",
        ),
    )
}


class HealthSchema(Schema):
    """The answer of a health check that passed."""

    status = fields.String(
        required=True, metadata={"description": "Always `ok`: a failed check is a problem.", "example": "ok"}
    )


class ReadySchema(HealthSchema):
    """The answer of a server that can answer."""

    writes = fields.String(
        required=True, metadata={"description": "`ok`, or why this server cannot write at the moment.", "example": "ok"}
    )


blueprint = Blueprint("health", __name__)


@blueprint.route("/livez", tags=["meta"])
@blueprint.arguments(NoArguments, location="query")
@blueprint.response(200, HealthSchema, description="The process runs.", headers=NOT_KEPT)
@documents(blueprint, "invalid-query")
@blueprint.doc(operationId="livez", summary="Check that the process runs")
def livez(_arguments: dict[str, Any]) -> Response:
    """Check that the process runs. The database is not queried."""
    return no_store(json_response({"status": "ok"}))


@blueprint.route("/readyz", tags=["meta"])
@blueprint.response(200, ReadySchema, description="The server can answer.", headers=NOT_KEPT)
@documents(blueprint, "invalid-query", "unavailable")
@blueprint.doc(operationId="readyz", summary="Check that the server can answer", parameters=query_parameters(READY_PARAMETERS))
def readyz() -> Response:
    """Check that the server is not stopping, and that the database can be read and is migrated to what this release needs.

    A database of a newer release can be read, too. `writes` says whether the server can write, as far as its last write shows.
    """
    arguments = parser.parse_named(READY_PARAMETERS, request.args.lists())
    if news().has_ended:
        raise ProblemError("unavailable", "The server is stopping.")
    reads, writes = database().readiness().reads, writable().readiness().writes
    if reason := writes if arguments.get("writes") else reads:
        raise ProblemError("unavailable", reason)
    return no_store(json_response({"status": "ok", "writes": writes or "ok"}))
