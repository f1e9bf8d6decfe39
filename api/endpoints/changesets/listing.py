"""The list of changesets: its parameters, and a page of it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import Response, request

from api.errors import ErrorList
from api.html.changesets import written
from api.ledger import changesets, head
from api.ledger.changesets import Committed, Wanted
from api.ledger.models import Revision
from api.query import cursors, parser
from api.query.language import DEFAULT_LIMIT, MAX_LIMIT
from api.query.parameters import MIN_VERSION, Parameter
from api.query.parameters import PARAMETERS as OF_LISTS
from api.query.parts import KINDS
from api.query.values import only_value
from api.schema.fields import MAX_INTEGER, instant
from api.schema.operators import OPERATORS, TYPES
from api.schema.resource import Resource
from api.web import frames, tags
from api.web.consistency import reading
from api.web.negotiation import HTML
from api.web.pages.past import changesets_page
from api.web.responses import address, json_response, tagged

# Changesets on a page for people.
FOR_PEOPLE = 20
NAME = {"type": "string", "maxLength": 200}
TIME = "committed_at"
# The conditions of times, by the name of the operator, in words.
TIMES = {"gt": "after", "gte": "at or after", "lt": "before", "lte": "at or before"}


def _read_time(row: Parameter, _: Resource, values: Sequence[str], errors: ErrorList) -> dt.datetime | None:
    text, type = only_value(row.name, values, errors), TYPES["instant"]
    try:
        return None if text is None else type.read(text)
    except (ValueError, OverflowError):
        errors.add(row.name, "invalid-value", f"`{row.name}` is {type.description}.", allowed={"format": "date-time"})
        return None


PARAMETERS = {
    row.name: row
    for row in (
        Parameter("author", "Only changesets by this author.", NAME, example=lambda _: "maintainers"),
        *(
            Parameter(
                f"{TIME}__{name}",
                f"Only changesets {words} this time.",
                TYPES["instant"].schema,
                read=_read_time,
                example=lambda _: "2025-01-31T12:00:00Z",
            )
            for name, words in TIMES.items()
        ),
        replace(KINDS, description="Only changesets that changed records of any of these nouns."),
        Parameter("import_id", "Only the pieces of this import.", NAME, example=lambda _: "part-two"),
        Parameter(
            "limit",
            f"Greatest number of changesets; {DEFAULT_LIMIT} by default.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            example=lambda _: "20",
        ),
        replace(OF_LISTS["cursor"], description="Continue here: it is in `links.next`, and never expires."),
        MIN_VERSION,
    )
}
COLUMNS = {"author": Revision.author, "import_id": Revision.import_id}


def read_list(media_type: str) -> Response:
    """Answer with a page of changesets, the newest first. Raises a 400."""
    is_page = media_type == HTML
    if is_page and (tidied := frames.tidy(written)):
        return tidied
    query = parser.parse_named(PARAMETERS, request.args.lists())
    identity = [[name, str(value)] for name, value in sorted(query.items()) if name not in {"limit", "cursor", "min_version"}]
    signature, limit = cursors.digest(["changesets", identity]), query.get("limit", FOR_PEOPLE if is_page else DEFAULT_LIMIT)
    (below,) = cursors.decode(query["cursor"], signature, [int]) if "cursor" in query else (MAX_INTEGER,)
    with reading(query.get("min_version", 0)) as session:
        state = head.state(session)
        etag = tags.of_dataset(state, *frames.tag_parts(media_type))
        if unchanged := frames.unchanged(etag, media_type):
            return unchanged
        rows = changesets.commits(session, _wanted(query), below, limit + 1)
        following = cursors.encode(signature, [rows[limit - 1].version]) if len(rows) > limit else None
        if is_page:
            return tagged(changesets_page(session, rows[:limit], following, state.version), etag)
    links = {"self": address(request.args), "next": following and address(request.args, cursor=following)}
    body = {"data": [summary(row) for row in rows[:limit]], "links": links, "meta": {"version": state.version}}
    return tagged(json_response(body, links), etag)


def _wanted(query: Mapping[str, Any]) -> Wanted:
    times = [(OPERATORS[name], query.get(f"{TIME}__{name}")) for name in TIMES]
    conditions: list[Any] = [column == query[name] for name, column in COLUMNS.items() if name in query]
    conditions += [operator.build(Revision.changed_at, value) for operator, value in times if value is not None]
    return Wanted(conditions, query.get("kinds", ()))


def summary(row: Committed) -> dict[str, Any]:
    """Return what is known of a commit as JSON."""
    return {
        "version": row.version,
        "last_version": row.last_version,
        "author": row.author,
        "message": row.reason,
        "committed_at": instant(row.changed_at),
        "import_id": row.import_id,
    }
