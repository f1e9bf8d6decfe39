"""Decisions on a proposal: it is published as a changeset, or refused."""

import datetime as dt
from collections.abc import Sequence

from flask import Response
from sqlalchemy.orm import Session

from api.editing import proposals
from api.editing.changes import checked
from api.editing.operations import Operation, Refused
from api.editing.proposals import Decision, Proposal, State
from api.editing.writer import Outcome
from api.endpoints.proposals.showing import answer, existing
from api.errors import ProblemError, error_item
from api.ledger.publish import Publication
from api.web import auth
from api.web.commits import carry_out_plan, identity, once
from api.web.keys import PUBLISH, ApiKey
from api.web.operations import operations_of
from api.web.outcomes import committed
from api.web.responses import database, writable


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
