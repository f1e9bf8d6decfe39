"""`/proposals`: changesets that are stored, reviewed and published, or refused; only keys can read them."""

from flask import Response, request
from flask.views import MethodView

from api.endpoints.proposals.deciding import publish, refuse
from api.endpoints.proposals.imports import BODIES as FILES
from api.endpoints.proposals.imports import PARAMETERS as OF_IMPORTS
from api.endpoints.proposals.imports import import_file
from api.endpoints.proposals.listing import PARAMETERS as OF_LIST
from api.endpoints.proposals.listing import read_list
from api.endpoints.proposals.making import propose
from api.endpoints.proposals.schemas import ImportAnswerSchema, ProposalAnswerSchema, ProposalListSchema, RefusalSchema
from api.endpoints.proposals.showing import read_one
from api.query import parser
from api.schema.fields import SLUG
from api.web import auth, bodies
from api.web.blueprints import Blueprint, documents
from api.web.bodies import BODY_PROBLEMS
from api.web.commits import (
    IDEMPOTENCY_KEY,
    LOCATION,
    WRITE_PARAMETERS,
    WRITE_REFUSALS,
    WRITTEN,
    begin,
    identity,
    read_arguments,
)
from api.web.headers import LINK
from api.web.keys import PROPOSE, PUBLISH
from api.web.operations import BODIES, read_changeset
from api.web.outcomes import ChangesetAnswerSchema
from api.web.parameters import query_parameters
from api.web.responses import JSON

blueprint = Blueprint(
    "proposals",
    __name__,
    description="Proposals: changesets that are reviewed before they are published. Reading them needs a key with any scope.",
)
ID = {
    "name": "id",
    "in": "path",
    "description": "Id of the proposal.",
    "schema": {"type": "string", "pattern": SLUG},
    "example": "pr-6f1ed002ab559585",
}
READ_REFUSALS = ("invalid-query", "not-acceptable", "unavailable")
DECISION_REFUSALS = (
    *("bad-request", "invalid-query", "record-not-found", "not-acceptable"),
    *("conflict", "idempotency-mismatch", "unavailable"),
)
IMPORT_REFUSALS = (
    *("bad-request", "invalid-query", "invalid-body", "content-too-large", "unsupported-media-type"),
    *("not-acceptable", "idempotency-mismatch", "unavailable"),
)
# What can be wrong with operations, once the records are looked at.
OPERATION_REFUSALS = ("conflict", "precondition-failed", "precondition-required", "record-not-found", "record-deleted")
REFUSAL = {"required": True, "content": {JSON: {"schema": RefusalSchema, "example": {"reason": "The source says 2023."}}}}


@blueprint.route("/proposals")
class Proposals(MethodView):
    """All proposals."""

    @blueprint.response(200, ProposalListSchema, description="A page of proposals.", headers=WRITTEN | LINK)
    @documents(blueprint, *READ_REFUSALS, "invalid-cursor")
    @auth.documented(blueprint, PROPOSE)
    @blueprint.doc(operationId="list_proposals", summary="List proposals", parameters=query_parameters(OF_LIST))
    def get(self) -> Response:
        """List the proposals, the newest first."""
        begin(PROPOSE)
        return read_list()

    @blueprint.response(201, ProposalAnswerSchema, description="The proposal.", headers=WRITTEN | LOCATION)
    @documents(blueprint, *WRITE_REFUSALS, *OPERATION_REFUSALS)
    @auth.documented(blueprint, PROPOSE)
    @blueprint.doc(operationId="create_proposal", summary="Propose a changeset", requestBody=BODIES)
    @blueprint.doc(parameters=[*WRITE_PARAMETERS, IDEMPOTENCY_KEY])
    def post(self) -> Response:
        """Store a changeset for review. It is checked, and refused, as if it were carried out, but no reader sees it."""
        key = begin(PROPOSE)
        options = read_arguments()
        return propose(key, identity(key, options), read_changeset(), options)


@blueprint.route("/proposals/<string:id>", parameters=[ID])
class OneProposal(MethodView):
    """One proposal."""

    @blueprint.response(200, ProposalAnswerSchema, description="The proposal.", headers=WRITTEN)
    @documents(blueprint, *READ_REFUSALS, "record-not-found")
    @auth.documented(blueprint, PROPOSE)
    @blueprint.doc(operationId="get_proposal", summary="Read a proposal")
    def get(self, id: str) -> Response:
        """Read a proposal; while it is open, with its differences from today's data, and what is wrong with it today."""
        begin(PROPOSE)
        parser.parse_named({}, request.args.lists())
        return read_one(id)


@blueprint.route("/proposals/<string:id>/publish", parameters=[ID])
class Publications(MethodView):
    """The publication of a proposal."""

    @blueprint.response(200, ChangesetAnswerSchema, description="The outcome.", headers=WRITTEN | LOCATION)
    @documents(blueprint, *DECISION_REFUSALS, *OPERATION_REFUSALS)
    @auth.documented(blueprint, PUBLISH)
    @blueprint.doc(operationId="publish_proposal", summary="Publish a proposal")
    @blueprint.doc(parameters=[*WRITE_PARAMETERS, IDEMPOTENCY_KEY])
    def post(self, id: str) -> Response:
        """Carry out a proposal as one commit of its author. `message` replaces the author's own."""
        key = begin(PUBLISH)
        return publish(key, id, **read_arguments())


@blueprint.route("/proposals/<string:id>/refuse", parameters=[ID])
class Refusals(MethodView):
    """The refusal of a proposal."""

    @blueprint.response(200, ProposalAnswerSchema, description="The proposal.", headers=WRITTEN)
    @documents(blueprint, *DECISION_REFUSALS, *BODY_PROBLEMS)
    @auth.documented(blueprint, PUBLISH)
    @blueprint.doc(
        operationId="refuse_proposal", summary="Refuse a proposal", requestBody=REFUSAL, parameters=[IDEMPOTENCY_KEY]
    )
    def post(self, id: str) -> Response:
        """Refuse a proposal, with a reason. This is also how its author withdraws it, without the scope."""
        key = begin(PROPOSE)
        parser.parse_named({}, request.args.lists())
        return refuse(key, id, bodies.read(RefusalSchema())["reason"])


@blueprint.route("/imports")
class Imports(MethodView):
    """A file of records."""

    @blueprint.response(201, ImportAnswerSchema, description="The proposal.", headers=WRITTEN | LOCATION)
    @blueprint.alt_response(200, schema=ImportAnswerSchema, description="Nothing would change.", headers=WRITTEN, success=True)
    @documents(blueprint, *IMPORT_REFUSALS)
    @auth.documented(blueprint, PROPOSE)
    @blueprint.doc(operationId="propose_import", summary="Propose the records of a file", requestBody=FILES)
    @blueprint.doc(parameters=[*query_parameters(OF_IMPORTS), IDEMPOTENCY_KEY])
    def post(self) -> Response:
        """Read a table as people have it, or records, and store what it would change as a proposal.

        The answer, or the refusal, says what was read as what. A refusal has the place of each fault, and of each `question`: a
        text that can mean several things.
        """
        return import_file(begin(PROPOSE), parser.parse_named(OF_IMPORTS, request.args.lists()))
