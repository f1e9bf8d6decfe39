"""How a proposal is made: a changeset is checked as if it were carried out, and stored."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from api.editing import proposals
from api.editing.idempotency import RequestIdentity
from api.editing.operations import Change, Refused
from api.editing.proposals import Proposal
from api.endpoints.proposals.showing import answer
from api.web.commits import checked_bodies, once
from api.web.keys import ApiKey
from api.web.operations import Changeset
from api.web.responses import database
from api.web.urls import base_url

# Returns the answer with a new proposal and its changes.
Answering = Callable[[Proposal, dt.datetime, Sequence[Change]], Response]
CREATED = partial(answer, status=HTTPStatus.CREATED)


def propose(
    key: ApiKey,
    known: RequestIdentity | None,
    changeset: Changeset,
    arguments: Mapping[str, Any],
    answering: Answering = CREATED,
) -> Response:
    """Store a changeset as a proposal if it could be carried out now. Raises a 422 for errors of its bodies."""
    operations = checked_bodies(changeset.operations)

    def store(session: Session) -> Response:
        refused, now = Refused(), dt.datetime.now(dt.UTC)
        changes = proposals.rehearsed(session, operations, refused)
        refused.raise_any()
        why, days = arguments.get("message", changeset.message), database().settings.proposal_days
        proposal = proposals.add(session, changeset.rows, author=key.name, message=why, now=now, days=days)
        response = answering(proposal, now, changes)
        response.headers["Location"] = f"{base_url()}/proposals/{proposal.id}"
        return response

    return once(known, store, arguments)
