"""`/reconcile`: matches names in tables of others with records, by the W3C reconciliation protocol, as OpenRefine speaks it."""

from collections.abc import Mapping
from typing import Any

from flask import Response, current_app, request
from sqlalchemy.orm import Session

from api import __version__
from api.endpoints.reconcile import schemas, suggesting
from api.endpoints.reconcile.reading import FORM, MAX_QUERIES, PARAMETERS, read_form, read_queries
from api.ledger import head
from api.query import parser
from api.query.directories import NAMED
from api.query.reconciliation import Answer, Lookup, answer, entity_id
from api.web import frames, tags
from api.web.blueprints import Blueprint, documents
from api.web.bodies import BODY_PROBLEMS
from api.web.consistency import ReadView, reading
from api.web.headers import CONDITIONS, HEADERS, NOT_KEPT, UNCHANGED
from api.web.openapi import TITLE
from api.web.parameters import query_parameters
from api.web.responses import JSON, conditional, json_response, negotiate, no_store, tagged
from api.web.urls import base_url

blueprint = Blueprint("reconcile", __name__, description="Match names in your table with records, as OpenRefine does.")
EXAMPLE = {"queries": schemas.QUERIES_EXAMPLE}
BODY = {"required": True, "content": {FORM: {"schema": schemas.FORM, "example": EXAMPLE}}}
PROBLEMS = ("invalid-query", "not-acceptable", "content-too-large", "unavailable")


@blueprint.route("/reconcile", endpoint="read")
class Service(ReadView):
    """The service, and queries in its address."""

    @blueprint.response(200, schemas.MANIFEST_OR_RESULTS, description="The manifest or the candidates.", headers=HEADERS)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, *PROBLEMS, "precondition-failed")
    @blueprint.doc(operationId="reconciliation", summary="Describe the reconciliation service")
    @blueprint.doc(parameters=[*query_parameters(PARAMETERS), *CONDITIONS])
    def get(self) -> Response:
        """Read the service's manifest or, with `queries`, the candidates of each query.

        It is version 0.2 of the [reconciliation protocol](https://reconciliation-api.github.io/specs/0.2/). In OpenRefine, add
        this address as a standard service.
        """
        negotiate(JSON)
        queries = parser.parse_named(PARAMETERS, request.args.lists()).get("queries")
        return frames.stable(json_response(manifest())) if queries is None else answer_address(read_queries(queries))


@blueprint.route("/reconcile", endpoint="match")
class Queries(ReadView):
    """Queries in a form."""

    @blueprint.response(200, schemas.RESULTS, description="The candidates of each query, by its name.", headers=NOT_KEPT)
    @documents(blueprint, *PROBLEMS, *BODY_PROBLEMS)
    @blueprint.doc(operationId="reconcile", summary="Match names with records", requestBody=BODY)
    def post(self) -> Response:
        """Find the records that names mean: those with the name or, if there is none, at most five similar ones.

        `match` is true for the only record with the name. A state, a country, a city or a year in `properties` tells records of
        one name apart. `/reconcile/suggest/property` lists the properties.
        """
        negotiate(JSON)
        parser.parse_named({}, request.args.lists())
        queries = read_queries(read_form(), problem="invalid-body")
        with reading() as session:
            return no_store(json_response(_results(session, queries)))


@blueprint.route("/reconcile/suggest/<string:of>", endpoint="suggest", parameters=[suggesting.OF, *CONDITIONS])
class Suggestions(ReadView):
    """Records, types or properties whose names begin as typed."""

    @blueprint.response(200, schemas.SUGGESTIONS, description="The suggestions.", headers=HEADERS)
    @blueprint.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
    @documents(blueprint, "invalid-query", "not-found", "not-acceptable", "precondition-failed", "unavailable")
    @blueprint.doc(operationId="reconcile_suggest", summary="Complete a name for reconciliation")
    @blueprint.doc(parameters=query_parameters(suggesting.PARAMETERS))
    def get(self, of: str) -> Response:
        """Complete the name of a record (`entity`), a noun (`type`) or a property as it is typed, ten at a time."""
        negotiate(JSON)
        return suggesting.read(of, parser.parse_named(suggesting.PARAMETERS, request.args.lists()))


def manifest() -> dict[str, Any]:
    """Return what the service can do, and where."""
    base = base_url()
    service = f"{base}/reconcile"
    return {
        "versions": ["0.2"],
        "name": TITLE,
        "identifierSpace": f"{base}/",
        "schemaSpace": f"{base}/openapi.json",
        "documentation": f"{base}/docs/reconcile",
        "serviceVersion": __version__,
        "defaultTypes": [schemas.type_of(noun) for noun in NAMED],
        "view": {"url": f"{base}/{{{{id}}}}"},
        "suggest": {name: {"service_url": service, "service_path": f"/suggest/{name}"} for name in suggesting.SUGGESTED},
        "batchSize": MAX_QUERIES,
    }


def answer_address(queries: Mapping[str, Lookup]) -> Response:
    """Answer queries that are part of the address, so that caches can keep the answer."""
    with reading() as session:
        etag = tags.of_dataset(head.state(session))
        return conditional(etag) or tagged(json_response(_results(session, queries)), etag)


def _results(session: Session, queries: Mapping[str, Lookup]) -> dict[str, Any]:
    directories = current_app.extensions["directories"]
    return {
        name: {"result": [_candidate(row) for row in answer(session, directories, lookup)]} for name, lookup in queries.items()
    }


def _candidate(row: Answer) -> dict[str, Any]:
    return {
        "id": entity_id(row.noun, row.candidate.id),
        "name": row.name,
        **({"description": row.details} if row.details else {}),
        "type": [schemas.type_of(row.noun)],
        "score": round(100 * row.candidate.score, 1),
        "match": row.match,
    }
