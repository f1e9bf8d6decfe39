"""The list of proposals: its parameters, and a page of it."""

import datetime as dt
from dataclasses import replace
from typing import Any

from flask import Response, request

from api.editing import proposals
from api.editing.proposals import Proposal, State, Wanted
from api.errors import ProblemError, error_item
from api.query import cursors, parser
from api.query.language import DEFAULT_LIMIT, MAX_LIMIT
from api.query.parameters import PARAMETERS as OF_LISTS
from api.query.parameters import Parameter
from api.schema.fields import instant
from api.web.responses import address, json_response, no_store, writable

PARAMETERS = {
    row.name: row
    for row in (
        Parameter("state", "Only proposals in this state.", {"type": "string", "enum": [*State]}, example=lambda _: "open"),
        Parameter("author", "Only proposals by this key.", {"type": "string", "maxLength": 200}, example=lambda _: "intern"),
        Parameter(
            "limit",
            f"Greatest number of proposals; {DEFAULT_LIMIT} by default.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            example=lambda _: "20",
        ),
        replace(OF_LISTS["cursor"], description="Continue here: it is in `links.next`."),
    )
}


def read_list() -> Response:
    """Answer with a page of proposals, the newest first. Raises a 400."""
    query = parser.parse_named(PARAMETERS, request.args.lists())
    state, author, limit = (query.get(name) for name in ("state", "author", "limit"))
    limit, signature = limit or DEFAULT_LIMIT, cursors.digest(["proposals", state, author])
    now = dt.datetime.now(dt.UTC)
    with writable().reading() as session:
        before = None
        if "cursor" in query:
            (id,) = cursors.decode(query["cursor"], signature, [str])
            before = proposals.get(session, id) or _lost()
        rows = proposals.listed(session, Wanted(now, state and State(state), author, before), limit + 1)
    following = cursors.encode(signature, [rows[limit - 1].id]) if len(rows) > limit else None
    links = {"self": address(request.args), "next": following and address(request.args, cursor=following)}
    return no_store(json_response({"data": [summary(row, now) for row in rows[:limit]], "links": links}, links))


def _lost() -> Proposal:
    """Raise the 400 of a cursor whose proposal is gone."""
    detail = "The proposal at which this page begins is gone: begin again without `cursor`."
    raise ProblemError("invalid-cursor", detail, error_item("cursor", "invalid-cursor", detail))


def summary(proposal: Proposal, now: dt.datetime) -> dict[str, Any]:
    """Return what is known of a proposal as JSON."""
    return {
        "id": proposal.id,
        "state": proposal.state_at(now),
        "author": proposal.author,
        "message": proposal.message,
        "created_at": instant(proposal.created_at),
        "expires_at": instant(proposal.expires_at),
        "decided_by": proposal.decided_by,
        "decided_at": proposal.decided_at and instant(proposal.decided_at),
        "reason": proposal.reason,
        "version": proposal.version,
    }
