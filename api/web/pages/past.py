"""The pages of the past: the history of a record, the list of changesets, and one of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from api.html import lists as shown
from api.html import values
from api.html.addresses import Address
from api.html.differences import differences
from api.html.values import Names, Reader
from api.query import labels
from api.schema.canonical import Content
from api.schema.resource import Resource
from api.web.frames import page
from api.web.urls import root


def history_page(
    session: Session, resource: Resource, id: str, rows: Sequence[Mapping[str, Any]], following: str | None
) -> Response:
    """Return the page of a record's history: who changed which members, when and why.

    Each revision has the document `before` it, empty for the first and after a deletion.
    """
    documents = [row[side] for row in rows for side in ("document", "before") if row[side]]
    others = {(resource.name, row["merged_into"]) for row in rows if "merged_into" in row}
    names = _names(session, [(resource, document) for document in documents], {(resource.name, id), *others})
    reader, called = Reader(names, root()), names.get((resource.name, id), id)
    return page(
        "history.html",
        alternates=("json",),
        resource=resource,
        title=f"History of {called}",
        name=called,
        address=f"{root()}/{resource.name}/{id}",
        rows=[_revision(row, resource, reader) for row in rows],
        next=following or "",
    )


def _names(session: Session, documents: Iterable[tuple[Resource, Content]], others: Iterable[tuple[str, str]] = ()) -> Names:
    """Return the names of all that documents refer to, and of others, as they were called last."""
    wanted = {*others}
    for resource, document in documents:
        wanted |= {*shown.references(resource, document)}
    return labels.ever_named(session, wanted)


def _author(name: str | None) -> Mapping[str, str] | None:
    """Return an author with the address of what this one did."""
    return {"name": name, "address": str(Address(f"{root()}/changesets", [("author", name)]))} if name else None


def _revision(row: Mapping[str, Any], resource: Resource, reader: Reader) -> Mapping[str, Any]:
    """Return a revision as its row of a history shows it."""
    has_both = row["before"] and row["document"]
    into = row.get("merged_into")
    return {
        **row,
        "said": _in_words(row, resource),
        "by": _author(row["author"]),
        "changeset": f"{root()}/changesets/{row['commit']}",
        "into": values.link(reader, resource.name, into) if into else "",
        "differences": [*differences(reader, resource, row["before"], row["document"])] if has_both else [],
    }


def _in_words(row: Mapping[str, Any], resource: Resource) -> str:
    """Return what a revision did to its record."""
    changed = {change["pointer"].strip("/") for change in row["changes"] or ()}
    is_derived = row["changes"] is not None and not changed & {*resource.facts}
    upsert = "created" if "id" in changed else "changed because of other records" if is_derived else "changed"
    return {"upsert": upsert, "delete": "deleted", "erase": "erased"}[str(row["op"])]
