"""Checks the rules that hold between records, on the tables as a whole transaction leaves them.

A file is written piece by piece, and a changeset can break a rule with one operation and mend it with the next. So these
rules are checked at the end. The writer's lock keeps others from changing the records in between.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.editing.operations import Change, Operation, RecordKey, Refused
from api.editing.rows import Layout, layout
from api.editing.staging import chunks
from api.errors import nearest
from api.ledger.rendering import publishable
from api.resources import BY_NAME, RESOURCES
from api.resources.citations import Citation
from api.schema import pointers
from api.schema.canonical import Content
from api.schema.resource import Resource

CITATIONS = Citation.__tablename__
MAX_RECORDS = 20


@dataclass(frozen=True)
class Touched:
    """A record that an operation changed, without its content, and the names of the members that changed."""

    operation: Operation
    changed: AbstractSet[str]
    deleted: bool


@dataclass(frozen=True)
class Rules:
    """The rules between records, for the changes of one transaction.

    ``touched`` are the changed records, and citations that a changeset names without a change, which confirms them.
    ``places`` has the fact that each citation of a changed list pointed to.
    """

    session: Session
    touched: dict[RecordKey, Touched] = field(default_factory=dict)
    places: dict[str, "Place"] = field(default_factory=dict)

    def note(self, changes: Iterable[Change]) -> None:
        """Remember changes that are about to be written."""
        lists: dict[Resource, dict[str, Content]] = defaultdict(dict)
        for change in changes:
            operation = change.operation
            is_confirmed = operation.resource.name == CITATIONS and operation.verb != "upsert"
            if change.status == "unchanged" and not is_confirmed:
                continue
            slim = replace(operation, id=change.id, body=None, values=None)
            self.touched[operation.resource.name, change.id] = Touched(slim, change.changed, change.content is None)
            if change.before and change.content and {part.member for part in layout(operation.resource).parts} & change.changed:
                lists[operation.resource][change.id] = change.before
        for resource, documents in lists.items():
            self._note_places(resource, documents)

    def check(self, refused: Refused) -> None:
        """Add an error to ``refused`` for each rule that the written changes break."""
        _check_citations(self, refused)

    def _note_places(self, resource: Resource, documents: Mapping[str, Content]) -> None:
        for ids in chunks(documents):
            of_records = (Citation.subject_kind == resource.name, Citation.subject_id.in_(ids), Citation.field.like("/%/%"))
            for row in self.session.execute(select(Citation.id, Citation.subject_id, Citation.field).where(*of_records)):
                if place := place_of(layout(resource), documents[row.subject_id], row.field):
                    self.places[row.id] = place


# --- citations

# The way to a value: names of members, and of each list's item the key that tells it from the others.
Place = tuple[Any, ...]


def place_of(below: Layout, value: Any, pointer: str) -> Place | None:
    """Return the way to the value that a pointer leads to, with keys for the numbers of items; None if it leads nowhere."""
    place = []
    for token in pointers.tokens(pointer):
        is_list = isinstance(value, list)
        try:
            value = pointers.step(value, token)
        except LookupError:
            return None
        place.append(below.key_of(value) if is_list else token)
        below = below if is_list else next((part for part in below.parts if part.member == token), below)
    return tuple(place)


def _check_citations(rules: Rules, refused: Refused) -> None:
    """Refuse citations that point to nothing, and changes of lists that leave citations on another item."""
    touched = {id for (kind, id), row in rules.touched.items() if kind == CITATIONS and not row.deleted}
    stray: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for citation, content in _with_subjects(rules.session, touched | {*rules.places}):
        place = place_of(layout(BY_NAME[citation.subject_kind]), content, citation.field)
        if citation.id in touched and place is None:
            _refuse_pointer(rules.touched[CITATIONS, citation.id].operation, citation, content, refused)
        elif citation.id not in touched and place != rules.places[citation.id]:
            member = pointers.tokens(citation.field)[0]
            stray[citation.subject_kind, citation.subject_id, member].append(citation.id)
    for (kind, id, member), citations in stray.items():
        _refuse_move(rules.touched[kind, id].operation, member, citations, refused)


def _with_subjects(session: Session, ids: AbstractSet[str]) -> Iterator[tuple[Any, Content]]:
    """Yield citations with the facts of their subjects as the tables have them."""
    columns = (Citation.id, Citation.subject_kind, Citation.subject_id, Citation.field)
    for chunk in chunks(ids):
        citations = session.execute(select(*columns).where(Citation.id.in_(chunk)).order_by(Citation.id)).all()
        for resource in RESOURCES:
            mine = [row for row in citations if row.subject_kind == resource.name]
            contents, _ = publishable(session, resource, sorted({row.subject_id for row in mine})) if mine else ({}, {})
            for row in (row for row in mine if row.subject_id in contents):
                yield row, {name: contents[row.subject_id][name] for name in resource.facts}


def _refuse_pointer(operation: Operation, citation: Any, content: Content, refused: Refused) -> None:
    allowed = _pointers_near(content, citation.field)
    detail = f"The {BY_NAME[citation.subject_kind].singular} `{citation.subject_id}` has nothing at `{citation.field}`."
    suggestion = nearest(citation.field, allowed)
    refused.value(operation, "/field", "unknown-reference", detail, allowed=allowed, suggestion=suggestion)


def _pointers_near(content: Content, pointer: str) -> list[str]:
    """Return pointers to the members or items around the last value that a pointer leads to."""
    value, way = content, ""
    for token in pointers.tokens(pointer):
        try:
            below = pointers.step(value, token)
        except LookupError:
            break
        value, way = below, f"{way}/{token}"
    return [*([way] if way else []), *(f"{way}/{token}" for token in pointers.children(value)[:MAX_RECORDS])]


def _refuse_move(operation: Operation, member: str, citations: Sequence[str], refused: Refused) -> None:
    records = [{"kind": CITATIONS, "id": id} for id in citations[:MAX_RECORDS]]
    named = ", ".join(f"`{row['id']}`" for row in records) + (" and others" if len(citations) > len(records) else "")
    detail = (
        f"Citations point to items of `{member}` by their numbers, and would point to other ones or to none: {named}. "
        "Change or delete them in the same changeset; one that is still right can be named there with an empty patch."
    )
    refused.value(operation, f"/{member}", "cited", detail, problem="conflict", records=records)
