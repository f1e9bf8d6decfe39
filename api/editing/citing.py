"""Citations of records that move, or whose lists change because others move."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from api.editing.inputs import sendable
from api.editing.operations import RecordKey
from api.editing.replacing import Ids, replaced
from api.editing.staging import chunks
from api.ledger.models import CURRENT, Revision
from api.resources import BY_NAME
from api.resources.citations import Citation
from api.schema import pointers
from api.schema.canonical import Content

CITATIONS = Citation.__tablename__
# The members that tell citations apart, as the database requires.
KEY = ("subject_kind", "subject_id", "field", "source", "paragraph", "sentence", "locator")


@dataclass(frozen=True)
class Moved:
    """A record before and after its references change; ``key`` is its noun and id afterwards.

    ``target`` is the document of another record that takes its place.
    """

    key: RecordKey
    before: Content
    ids: Ids
    after: Content = field(init=False)
    places: Mapping[str, str] = field(init=False)
    target: Content | None = None

    def __post_init__(self) -> None:
        """Replace the references."""
        after, places = replaced(self.key[0], self.before, self.ids)
        object.__setattr__(self, "after", after)
        object.__setattr__(self, "places", places)

    def field_of(self, pointer: str) -> str | None:
        """Return where the fact at a pointer is afterwards; None if the record that takes the place has another one there."""
        way = pointer
        while way and way not in self.places:
            way = way.rpartition("/")[0]
        moved = self.places.get(way, way) + pointer.removeprefix(way)
        is_same = self.target is None or _value(self.target, moved) == _value(self.after, moved) is not None
        return moved if is_same else None


def _value(content: Content, pointer: str) -> Any:
    """Return the value at a pointer as a text; None if there is none."""
    try:
        return json.dumps(pointers.follow(content, pointer), sort_keys=True)
    except LookupError:
        return None


def of_sources(session: Session, sources: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the citations of some sources, each with its source."""
    for ids in chunks(sources):
        statement = select(Citation.id, Citation.source_id).where(Citation.source_id.in_(ids))
        yield from map(tuple, session.execute(statement))


def carried(
    session: Session, moved: Mapping[RecordKey, Moved], more: Sequence[str], ids: Ids
) -> Iterator[tuple[str, RecordKey, Content | None]]:
    """Yield the citations of records that change, and ``more`` ones: each with its subject, and as it is afterwards.

    One that would support another value, or that would be there twice, is None afterwards.
    """
    affected = _about(session, moved)
    for chunk in chunks(more):
        affected |= _documents(session, Citation.id.in_(chunk))
    after = {id: _after(content, moved, ids) for id, content in affected.items()}
    subjects = {(row["subject_kind"], row["subject_id"]) for row in after.values() if row}
    taken = {_key(row) for id, row in _about(session, subjects).items() if id not in affected}
    for id, row in sorted(after.items()):
        is_new = row is not None and _key(row) not in taken
        if row is not None:
            taken.add(_key(row))
        content = affected[id]
        yield id, (content["subject_kind"], content["subject_id"]), row if is_new else None


def _after(content: Content, moved: Mapping[RecordKey, Moved], ids: Ids) -> Content | None:
    row, _ = replaced(CITATIONS, content, ids)
    record = moved.get((content["subject_kind"], content["subject_id"]))
    if record is None:
        return row
    place = record.field_of(content["field"])
    return None if place is None else {**row, "subject_id": record.key[1], "field": place}


def _key(content: Content) -> str:
    return json.dumps([content[name] for name in KEY], sort_keys=True)


def _about(session: Session, subjects: Iterable[RecordKey]) -> dict[str, Content]:
    """Return the citations about some records, by id."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for kind, id in subjects:
        by_kind[kind].append(id)
    result: dict[str, Content] = {}
    for kind, ids in by_kind.items():
        for chunk in chunks(ids):
            result |= _documents(session, and_(Citation.subject_kind == kind, Citation.subject_id.in_(chunk)))
    return result


def _documents(session: Session, condition: ColumnElement[bool]) -> dict[str, Content]:
    """Return the published citations that fulfil a condition, by id."""
    of_record = and_(Revision.kind == CITATIONS, Revision.id == Citation.id, *CURRENT)
    statement = select(Citation.id, Revision.document).join(Revision, of_record).where(condition)
    return {id: sendable(BY_NAME[CITATIONS], json.loads(text or "")) for id, text in session.execute(statement)}
