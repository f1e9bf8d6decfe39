"""One proposal as JSON: what is known of it, and its differences from today's data and what is wrong with it today."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.editing import proposals
from api.editing.changes import checked
from api.editing.operations import Change, Refused
from api.editing.proposals import Proposal, State
from api.endpoints.proposals.listing import summary
from api.errors import Item, ProblemError, error_item
from api.ledger import history, publish
from api.web.commits import broken_constraint
from api.web.operations import operations_of
from api.web.problems import fitting
from api.web.responses import JSON, no_store, writable
from api.web.urls import base_url


def read_one(id: str) -> Response:
    """Answer with a proposal. Raises a 404."""
    now = dt.datetime.now(dt.UTC)
    with writable().reading() as session:
        proposal = existing(session, id)
    if proposal.state_at(now) is not State.OPEN:
        return answer(proposal, now, [])
    with writable().writing() as session:
        publish.wait(session)
        changes, problem = _checked(session, proposal)
    return answer(proposal, now, changes, problem)


def existing(session: Session, id: str) -> Proposal:
    """Return a proposal. Raises a 404 if there is none."""
    proposal = proposals.get(session, id)
    if proposal is None:
        detail = "No proposal has that id; `/proposals` lists all of them."
        raise ProblemError("record-not-found", detail, error_item("id", "unknown-id", detail))
    return proposal


def _checked(session: Session, proposal: Proposal) -> tuple[Sequence[Change], ProblemError | None]:
    """Return the changes that a proposal would make today, and the problem that prevents it."""
    refused, changes = Refused(), list[Change]()
    try:
        changes = proposals.rehearsed(session, checked(operations_of(proposal.rows), refused), refused)
        refused.raise_any()
    except IntegrityError as error:
        return changes, broken_constraint(error)
    except ProblemError as error:
        return changes, error
    return changes, None


def answer(
    proposal: Proposal, now: dt.datetime, changes: Sequence[Change], problem: ProblemError | None = None, status: int = 200
) -> Response:
    """Return an answer with a proposal, which caches may not store."""
    errors: Sequence[Item] = fitting(base_url(), problem.errors) if problem else []
    body = {
        "data": summary(proposal, now),
        "operations": proposal.rows,
        "changes": [shown_change(change) for change in changes],
        "problem": problem.name if problem else None,
        "errors": errors,
    }
    text = json.dumps(body, separators=(",", ":"), default=float)
    return no_store(Response(text, status, content_type=JSON))


def shown_change(change: Change) -> Mapping[str, Any]:
    """Return what a proposal would do to a record as JSON; of one that comes or goes, the members that have a value."""
    differences = history.differences(change.before or {}, change.content or {})
    return {
        "kind": change.operation.resource.name,
        "id": change.id,
        "status": change.status,
        "differences": differences if change.before and change.content else [row for row in differences if _has_value(row)],
    }


def _has_value(difference: Mapping[str, Any]) -> bool:
    return any(difference[name] not in (None, []) for name in ("before", "after"))
