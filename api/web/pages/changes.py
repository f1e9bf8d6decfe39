"""The page of the newest changes, and their Atom feed (RFC 4287)."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from api.html import templates, texts, values
from api.html.addresses import Address
from api.ledger.feed import NewChange
from api.ledger.history import differences
from api.query import labels
from api.resources import BY_NAME
from api.schema.fields import instant
from api.web.frames import here, page, quoted
from api.web.negotiation import ATOM
from api.web.urls import base_url, root

# Characters that no XML 1.0 may have, and a reason may.
NOT_IN_XML = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ufffe\\uffff]")
# Changes of one noun that the page shows before the others fold.
FEW = 5
# Members that citations decide: their changes are no news to a reader.
DERIVED = {"basis", "attributions"}
# A feed without entries was never updated.
NEVER = "1970-01-01T00:00:00Z"


def changes_page(rows: Sequence[dict[str, Any]], following: str | None, version: int) -> Response:
    """Return the page of changes in words, by day and by what their authors say of them."""
    return page(
        "changes.html",
        alternates=("json", "atom"),
        title="Changes",
        days=[(day, [*_together(of_day)]) for day, of_day in itertools.groupby(rows, key=itemgetter("day"))],
        first=str(here().without("cursor")) if "cursor" in request.args else "",
        next=str(here().having("cursor", following)) if following else "",
        version=version,
    )


def _together(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what was said of changes that follow one another, with these changes by noun."""
    for (commit, author, reason), said in itertools.groupby(rows, key=itemgetter("commit", "author", "reason")):
        nouns = [(noun, [*same]) for noun, same in itertools.groupby(said, key=itemgetter("noun"))]
        yield {
            "commit": commit,
            "author": author,
            "reason": reason,
            "nouns": [(noun, same[:FEW], same[FEW:]) for noun, same in nouns],
        }


def atom_feed(rows: Sequence[dict[str, Any]]) -> Response:
    """Return the Atom feed of changes in words."""
    query, updated = str(Address("", [*request.args.items(multi=True)])), rows[0]["moment"] if rows else NEVER
    shown = {"base": base_url(), "path": quoted(request.path), "query": query, "rows": rows, "updated": updated}
    text = NOT_IN_XML.sub("", templates.render("changes.xml", **shown))
    return Response(text, content_type=f"{ATOM}; charset=utf-8")


def changes_in_words(session: Session, changes: Sequence[NewChange], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return changes in words, with the labels and the addresses of their records, and of what these are about."""
    subjects = [values.subject(BY_NAME[change.row.kind], json.loads(change.document or "{}")) for change in changes]
    called = labels.named(session, sorted({subject for subject in subjects if subject}))
    return [
        {
            "day": f"{change.row.changed_at:%-d %B %Y}",
            "moment": instant(change.row.changed_at),
            "noun": change.row.kind,
            "id": change.row.id,
            "version": change.row.version,
            "commit": change.row.commit_version,
            "label": name,
            "about": called.get(subject, "") if subject else "",
            "is_gone": change.row.document is None,
            "said": _in_words(change),
            "author": change.author,
            "reason": change.row.reason,
            "address": f"{root()}/{change.row.kind}/{change.row.id}{'/history' if change.row.document is None else ''}",
        }
        for change, name, subject in zip(changes, names, subjects, strict=True)
    ]


def _in_words(change: NewChange) -> str:
    """Return what a change did to its record: the names of the members that it changed."""
    if change.row.document is None:
        return "deleted"
    if change.is_first:
        return "added"
    # The document before may have been trimmed or erased.
    rows = differences(json.loads(change.before), json.loads(change.row.document)) if change.before else []
    left_out = DERIVED - {*BY_NAME[change.row.kind].facts}
    names = [row["pointer"].strip("/") for row in rows]
    members = [texts.title(name) for name in names if name not in left_out]
    return f"changed: {', '.join(members).lower()}" if members else "changed"
