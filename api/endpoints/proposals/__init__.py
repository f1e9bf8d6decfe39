"""`/proposals`: changesets that are stored, reviewed and published, or refused; only keys can read them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, request
from flask.views import MethodView
from sqlalchemy.orm import Session

from api.editing import proposals
from api.editing.changes import checked
from api.editing.operations import Operation, Refused
from api.editing.proposals import Decision, Proposal, State
from api.editing.writer import Outcome
from api.endpoints.proposals.listing import PARAMETERS as OF_LIST
from api.endpoints.proposals.listing import read_list
from api.endpoints.proposals.schemas import ProposalAnswerSchema, ProposalListSchema, RefusalSchema
from api.endpoints.proposals.showing import answer, existing, read_one
from api.errors import ProblemError, error_item
from api.ledger.publish import Publication
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
    carry_out_plan,
    checked_bodies,
    identity,
    once,
    read_arguments,
)
from api.web.headers import LINK
from api.web.keys import PROPOSE, PUBLISH, ApiKey
from api.web.operations import BODIES, Changeset, operations_of, read_changeset
from api.web.outcomes import ChangesetAnswerSchema, committed
from api.web.parameters import query_parameters
from api.web.responses import JSON, database, writable
from api.web.urls import base_url

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
        return propose(key, read_changeset(), options)


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
        """Carry out a proposal as one commit of its author. `message` takes the place of the author's own."""
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
        """Refuse a proposal, with a reason. Its author can withdraw it so, without the scope."""
        key = begin(PROPOSE)
        parser.parse_named({}, request.args.lists())
        return refuse(key, id, bodies.read(RefusalSchema())["reason"])


def propose(key: ApiKey, changeset: Changeset, arguments: Mapping[str, Any]) -> Response:
    """Store a changeset as a proposal if it could be carried out now. Raises a 422 for errors of its bodies."""
    known = identity(key, arguments)
    operations = checked_bodies(changeset.operations)

    def store(session: Session) -> Response:
        refused, now = Refused(), dt.datetime.now(dt.UTC)
        changes = proposals.rehearsed(session, operations, refused)
        refused.raise_any()
        why, days = arguments.get("message") or changeset.message, database().settings.proposal_days
        proposal = proposals.add(session, changeset.rows, author=key.name, message=why, now=now, days=days)
        response = answer(proposal, now, changes, status=201)
        response.headers["Location"] = f"{base_url()}/proposals/{proposal.id}"
        return response

    return once(known, store, arguments)


def publish(key: ApiKey, id: str, *, message: str | None = None, dry_run: bool = False) -> Response:
    """Publish a proposal, and note who did it. Raises a 404, and a 403 for its author if another key must publish it."""
    now = dt.datetime.now(dt.UTC)
    with writable().reading() as session:
        proposal = existing(session, id)
    if proposal.author == key.name and database().settings.proposal_review:
        detail = f"The key `{key.name}` made this proposal: another key must publish it."
        raise ProblemError("forbidden", detail, error_item("Authorization", "own-proposal", detail))
    publication = Publishing(key, proposal, now, message)
    arguments = {"message": message or proposal.message, "author": proposal.author, "dry_run": dry_run}
    return carry_out_plan(key, publication.operations, arguments, publication.answer)


class Publishing:
    """The publication of a proposal: its operations once no other can decide on it, and then the note that it was published."""

    def __init__(self, key: ApiKey, proposal: Proposal, now: dt.datetime, reason: str | None) -> None:
        """Take what the note says."""
        self.key, self.proposal, self.now, self.reason = key, proposal, now, reason
        self.session: Session

    def operations(self, session: Session) -> Sequence[Operation]:
        """Return the operations of the proposal. Raises a 409 if it is not open, and a 422 if this release refuses them."""
        self.session, refused = session, Refused()
        proposals.open_one(session, self.proposal.id, self.now)
        operations = checked(operations_of(self.proposal.rows), refused)
        refused.raise_any()
        return operations

    def answer(self, outcomes: Sequence[Outcome], publication: Publication) -> Response:
        """Note the decision, and return the answer of the changeset."""
        commit = publication.before + 1 if publication.revisions else None
        known = Decision(State.PUBLISHED, self.key.name, self.now, self.reason, commit)
        proposals.decide(self.session, self.proposal.id, known)
        return committed(outcomes, publication)


def refuse(key: ApiKey, id: str, reason: str) -> Response:
    """Note that a proposal is refused, and why. Raises a 404, and a 403 for a key that may not."""
    now = dt.datetime.now(dt.UTC)
    with writable().reading() as session:
        proposal = existing(session, id)
    if proposal.author != key.name:
        auth.require(key, PUBLISH)

    def note(session: Session) -> Response:
        proposals.open_one(session, id, now)
        proposals.decide(session, id, Decision(State.REFUSED, key.name, now, reason))
        return answer(existing(session, id), now, [])

    return once(identity(key, {}), note, {})
