"""What a proposal would do to each record, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from api.html import values
from api.html.differences import differences
from api.resources import BY_NAME
from api.schema.canonical import Content
from api.schema.resource import Resource
from api.web.pages.past import reader_of

# Records that a page shows with their differences.
MOST = 200


def in_words(session: Session, changes: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the changes of an answer of `/proposals/{id}` or `/imports` as a page shows them."""
    rows = [(change, BY_NAME[change["kind"]], _sides(change)) for change in changes[:MOST]]
    documents = [(resource, side) for _, resource, sides in rows for side in sides if side]
    reader = reader_of(session, documents, {(change["kind"], change["id"]) for change, *_ in rows})
    return [
        {
            "link": values.link(reader, resource.name, change["id"]) if change["status"] != "created" else change["id"],
            "noun": resource.singular,
            "status": change["status"],
            "differences": [*differences(reader, resource, *sides)],
        }
        for change, resource, sides in rows
    ]


def _sides(change: Mapping[str, Any]) -> tuple[Content | None, Content | None]:
    """Return the members that a change names, before and after; None of a record that comes or goes."""
    blank: dict[str, Any] = _blank(BY_NAME[change["kind"]])
    before = {**blank, **{row["pointer"][1:]: row["before"] for row in change["differences"]}}
    after = {**blank, **{row["pointer"][1:]: row["after"] for row in change["differences"]}}
    return (None if change["status"] == "created" else before), (None if change["status"] == "deleted" else after)


def _blank(resource: Resource) -> dict[str, Any]:
    return dict.fromkeys(resource.facts)
