"""The pages of the past: the history of a record, the list of changesets, and one of them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from flask import Response
from markupsafe import Markup
from sqlalchemy.orm import Session

from api.html import changesets as of_changesets
from api.html import lists as shown
from api.html import values
from api.html.addresses import Address
from api.html.differences import differences
from api.html.values import Reader
from api.ledger import changesets
from api.ledger.changesets import Changed, Committed, Effect
from api.query import labels
from api.resources import BY_NAME
from api.schema.canonical import Content
from api.schema.fields import instant
from api.schema.resource import Resource
from api.web.frames import here, page
from api.web.urls import root

# Records of a changeset that the list names, and changes of all its changesets together that it counts by what they did.
NAMED, COUNTED = 5, 2_000
# Changes of a changeset whose page also shows the facts of records that come or go.
WHOLE = 20
# Records of one noun that a page shows before the others fold.
FEW = 10


def history_page(
    session: Session, resource: Resource, id: str, rows: Sequence[Mapping[str, Any]], following: str | None
) -> Response:
    """Return the page of a record's history: who changed which members, when and why.

    Each revision has the document `before` it, empty for the first and after a deletion.
    """
    documents = [(resource, row[side]) for row in rows for side in ("document", "before") if row[side]]
    others = {(resource.name, row["merged_into"]) for row in rows if "merged_into" in row}
    reader = reader_of(session, documents, {(resource.name, id), *others})
    called = reader.names.get((resource.name, id), id)
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


def reader_of(session: Session, documents: Iterable[tuple[Resource, Content]], others: Iterable[tuple[str, str]]) -> Reader:
    """Return what a page knows of all that documents refer to, and of other records: deleted ones by their last names."""
    wanted = {*others}
    for resource, document in documents:
        wanted |= {*shown.references(resource, document)}
    names = labels.named(session, wanted)
    gone = wanted - names.keys()
    return Reader({**names, **labels.called_last(session, gone)}, root(), gone=gone)


def _filtered(name: str, value: str | None) -> Mapping[str, str] | None:
    """Return an author, or an import, with the address of its changesets."""
    return {"name": value, "address": str(Address(f"{root()}/changesets", [(name, value)]))} if value else None


def _revision(row: Mapping[str, Any], resource: Resource, reader: Reader) -> Mapping[str, Any]:
    """Return a revision as its row of a history shows it."""
    has_both = row["before"] and row["document"]
    into = row.get("merged_into")
    return {
        **row,
        "said": _in_words(row, resource),
        "by": _filtered("author", row["author"]),
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


def changesets_page(session: Session, commits: Sequence[Committed], following: str | None, version: int) -> Response:
    """Return the page of a list of changesets: when, who, why, and what they did to which records."""
    address = here().joined({"kinds"})
    changes = changesets.first_changes(session, commits, COUNTED, NAMED)
    first = {commit: sorted(rows, key=_order)[:NAMED] for commit, rows in changes.items()}
    reader = reader_of(session, [], {(row.revision.kind, row.revision.id) for rows in first.values() for row in rows})
    form, given = of_changesets.form(address), dict(address.arguments)
    return page(
        "changesets.html",
        alternates=("json",),
        title="Who changed what",
        address=address,
        form=form,
        hidden=address.hidden(row.name for row in form),
        chips=[*of_changesets.chips(address)],
        rows=[{**_commit(row, changes[row.version]), "named": _links(reader, first[row.version])} for row in commits],
        first=str(address.without("cursor")) if "cursor" in given else "",
        next=str(address.having("cursor", following)) if following else "",
        version=version,
    )


def _order(change: Changed) -> tuple[bool, int]:
    """Return the place of a change among the records that the list names: by noun, and last those that were only derived."""
    return change.effect is Effect.DERIVED, [*BY_NAME].index(change.revision.kind)


def _commit(row: Committed, changes: Sequence[Changed]) -> Mapping[str, Any]:
    """Return what is known of a commit; what it did is counted if all of its changes were read."""
    return {
        "version": row.version,
        "address": f"{root()}/changesets/{row.version}",
        "by": _filtered("author", row.author),
        "reason": row.reason,
        "moment": instant(row.changed_at),
        "import": _filtered("import_id", row.import_id),
        "size": row.size,
        "counts": of_changesets.counted(change.effect for change in changes) if len(changes) == row.size else "",
    }


def _links(reader: Reader, changes: Sequence[Changed]) -> Sequence[Markup]:
    """Return links to the records of changes, each once: an erasure of a record that lives on has two changes."""
    records = dict.fromkeys((change.revision.kind, change.revision.id) for change in changes)
    return [values.link(reader, noun, id) for noun, id in records]


@dataclass(frozen=True)
class _Told:
    """A change of a changeset, its documents before and after, empty where there is none, and whether these are compared."""

    change: Changed
    sides: tuple[Content, Content]
    is_compared: bool

    @classmethod
    def of(cls, commit: Committed, change: Changed) -> Self:
        """Return a change: of records that come or go, a short changeset has the facts, and a long one only the names."""
        before, after = ((row and row.document) or "{}" for row in (change.before, change.revision))
        sides = json.loads(before), json.loads(after)
        return cls(change, sides, commit.size <= WHOLE or all(sides))

    @property
    def resource(self) -> Resource:
        """The noun of its record."""
        return BY_NAME[self.change.revision.kind]

    @property
    def subject(self) -> tuple[str, str] | None:
        """The noun and id of the record that its record is about."""
        before, after = self.sides
        return values.subject(self.resource, after or before)

    @property
    def others(self) -> Iterable[tuple[str, str]]:
        """The nouns and ids of the records that its row names."""
        row = self.change.revision
        named = ((row.kind, row.id), self.subject, (row.kind, row.merged_into) if row.merged_into else None)
        return (one for one in named if one)


def changeset_page(session: Session, commit: Committed, changes: Sequence[Changed], version: int) -> Response:
    """Return the page of a changeset: each record with its differences in words."""
    rows = [_Told.of(commit, change) for change in changes]
    documents = [(row.resource, side) for row in rows if row.is_compared for side in row.sides if side]
    reader = reader_of(session, documents, {one for row in rows for one in row.others})
    more = [("since", str(changes[-1].revision.version)), ("as_of", str(commit.last_version)), ("history", "true")]
    return page(
        "changeset.html",
        alternates=("json",),
        title=f"Changeset {commit.version}",
        commit=_commit(commit, changes),
        groups=[*_groups([(row.change.effect, _record(reader, commit, row)) for row in rows])],
        shown=len(changes),
        more=str(Address(f"{root()}/changes", more)) if len(changes) < commit.size else "",
        version=version,
    )


def _record(reader: Reader, commit: Committed, told: _Told) -> Mapping[str, Any]:
    """Return a record as its changeset shows it; its reason, if it has one of its own."""
    row = told.change.revision
    stays = told.change.effect in {Effect.UPDATED, Effect.DERIVED} and row.document
    return {
        "noun": row.kind,
        "link": values.link(reader, row.kind, row.id),
        "about": values.link(reader, *told.subject) if told.subject else "",
        "into": values.link(reader, row.kind, row.merged_into) if row.merged_into else "",
        "reason": row.reason if row.reason != commit.reason else None,
        "then": str(Address(f"{root()}/{row.kind}/{row.id}", [("as_of", str(row.version))])) if stays else "",
        "differences": [*differences(reader, told.resource, *told.sides)] if told.is_compared and any(told.sides) else [],
    }


def _groups(records: Sequence[tuple[Effect, Mapping[str, Any]]]) -> Iterator[Mapping[str, Any]]:
    """Yield the records of a changeset by what it did to them, and by noun: those that were updated are never folded."""
    for effect, sentence in of_changesets.EFFECTS.items():
        by_noun: dict[str, list[Mapping[str, Any]]] = {}
        for _, record in (row for row in records if row[0] is effect):
            by_noun.setdefault(record["noun"], []).append(record)
        few = len(records) if effect is Effect.UPDATED else FEW
        if by_noun:
            nouns = [(noun, rows[:few], rows[few:]) for noun, rows in by_noun.items()]
            yield {"title": effect.capitalize(), "sentence": sentence, "nouns": nouns}
