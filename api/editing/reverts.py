"""Reverts: the operations that undo commits of the past, or the later changes that prevent it."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api.editing.changes import last_revisions, with_values
from api.editing.operations import ANY, Operation, RecordKey
from api.editing.rows import layout
from api.editing.staging import chunks
from api.errors import MAX_REFUSALS, MAX_SUMMARY, Item, ProblemError, error_item
from api.ledger.changesets import facts
from api.ledger.history import is_cut, was_current
from api.ledger.models import Op, Revision
from api.resources import BY_NAME, RESOURCES
from api.resources.citations import Citation
from api.schema.fields import instant

CITATIONS = Citation.__tablename__


def operations(session: Session, commits: Collection[int]) -> list[Operation]:
    """Return the operations that make the opposite of commits, given by their first versions, as one.

    Only members that curators set count: what other records decide follows by itself. Raises a 409 that names the later changes
    that would be lost.
    """
    undo = _Undo(session, frozenset(commits))
    result = [
        operation for resource in RESOURCES for ids in undo.ids(resource.name) for operation in undo.of(resource.name, ids)
    ]
    keys = {(operation.resource.name, str(operation.id)): operation for operation in result}
    undo.refuse_new_citations(keys)
    if undo.faults:
        detail = " ".join(item["detail"] for item in undo.faults[:MAX_SUMMARY])
        raise ProblemError("conflict", detail, *undo.faults[:MAX_REFUSALS])
    return [*result, *undo.confirmed(keys)]


def message(commits: Sequence[int], import_id: str | None) -> str:
    """Return the reason of a revert that has none of its own."""
    return f"Reverts the import {import_id}." if import_id else f"Reverts changeset {commits[0]}."


@dataclass
class _Undo:
    """Commits of the past that are to be undone, and what prevents that."""

    session: Session
    commits: frozenset[int]
    faults: list[Item] = field(default_factory=list)

    @property
    def first(self) -> int:
        """The first of the versions."""
        return min(self.commits)

    def ids(self, kind: str) -> Iterator[Sequence[str]]:
        """Yield the ids of the records of a noun that the commits changed, in pieces."""
        ids: set[str] = set()
        for chunk in chunks(self.commits):
            statement = select(Revision.id).where(Revision.commit_version.in_(chunk), Revision.kind == kind)
            ids |= {*self.session.scalars(statement)}
        return chunks(ids)

    def of(self, kind: str, ids: Sequence[str]) -> Iterator[Operation]:
        """Yield the operation that undoes what happened to each record, if its facts changed."""
        # Their revisions since then, and the last one before each.
        since = or_(Revision.version >= self.first, Revision.superseded >= self.first)
        statement = select(Revision).where(Revision.kind == kind, Revision.id.in_(ids), since).order_by(Revision.version)
        by_id: dict[str, list[Revision]] = defaultdict(list)
        for revision in self.session.scalars(statement):
            by_id[revision.id].append(revision)
        for id, every in sorted(by_id.items()):
            start = next(number for number, row in enumerate(every) if row.commit_version in self.commits)
            before, revisions = every[start - 1] if start else None, every[start:]
            if fault := self._fault(kind, id, before, revisions):
                self.faults.append(fault)
            elif facts(before) != facts(revisions[-1]):
                yield _opposite(kind, id, before, revisions[-1])

    def _changes(self, revisions: Sequence[Revision | None]) -> Iterator[Revision]:
        """Yield the revisions of a record that others have made between and after the commits, unless they undid each other."""
        others: list[Revision] = []
        start: dict[str, Any] | None = None
        for before, revision in pairwise(revisions):
            assert revision
            if revision.commit_version in self.commits:
                if others and start != facts(before):
                    yield from others
                others = []
            elif facts(before) != facts(revision):
                start = start if others else facts(before)
                others.append(revision)
        if others and start != facts(revisions[-1]):
            yield from others

    def _fault(self, kind: str, id: str, before: Revision | None, revisions: Sequence[Revision]) -> Item | None:
        """Return why a record cannot go back; None if it can."""
        if later := [*self._changes([before, *revisions])]:
            return _prevented(f"The {_named(kind, id)} was changed", kind, id, later)
        mine = [*([before] if before else []), *(row for row in revisions if row.commit_version in self.commits)]
        if any(map(is_cut, mine)) or any(row.erases for row in mine):
            detail = f"The {_named(kind, id)} cannot go back: that part of its history was trimmed or erased."
            return error_item("version", "history-trimmed", detail, records=[{"kind": kind, "id": id}])
        return None

    def refuse_new_citations(self, keys: Mapping[RecordKey, Operation]) -> None:
        """Add a fault for each citation that others have made since of a record that is to go: it would go with the record."""
        for row in self._citations({key for key, operation in keys.items() if operation.verb == "delete"}):
            if (CITATIONS, row.id) not in keys:
                text = f"The {_named(row.subject_kind, row.subject_id)} was cited"
                newest = last_revisions(self.session, [(CITATIONS, row.id)]).values()
                self.faults.append(_prevented(text, CITATIONS, row.id, [*newest]))

    def confirmed(self, keys: Mapping[RecordKey, Operation]) -> Iterator[Operation]:
        """Yield an empty change of each citation that is as it was then, if lists of its record go back: it is right again."""
        subjects = {key for key, operation in keys.items() if operation.verb == "put" and layout(operation.resource).parts}
        ids = [row.id for row in self._citations(subjects) if (CITATIONS, row.id) not in keys]
        now = last_revisions(self.session, [(CITATIONS, id) for id in ids])
        for chunk in chunks(ids):
            then = select(Revision).where(Revision.kind == CITATIONS, Revision.id.in_(chunk), was_current(self.first - 1))
            for revision in self.session.scalars(then.order_by(Revision.id)):
                if facts(revision) == facts(now[CITATIONS, revision.id]):
                    yield Operation(
                        verb="patch", resource=BY_NAME[CITATIONS], id=revision.id, body={}, expected=ANY, implied=True
                    )

    def _citations(self, subjects: Collection[RecordKey]) -> Iterator[Citation]:
        for resource in RESOURCES:
            for ids in chunks(id for kind, id in subjects if kind == resource.name):
                of_records = (Citation.subject_kind == resource.name, Citation.subject_id.in_(ids))
                yield from self.session.scalars(select(Citation).where(*of_records).order_by(Citation.id))


def _opposite(kind: str, id: str, before: Revision | None, now: Revision) -> Operation:
    """Return the operation that makes a record what it was."""
    content = facts(before)
    if content is None:
        into = before.merged_into if before else None
        return Operation(verb="delete", resource=BY_NAME[kind], id=id, expected=ANY, into=into, implied=True)
    verb, expected = ("create", None) if now.op is Op.DELETE else ("put", ANY)
    operation = Operation(verb=verb, resource=BY_NAME[kind], id=id, body=content, expected=expected, implied=True, revives=True)
    return with_values(operation, MAX_REFUSALS)


def _prevented(text: str, kind: str, id: str, later: Sequence[Revision]) -> Item:
    """Return the refusal that names later changes; ``allowed`` are the changesets to revert first, the newest first."""
    newest, commits = later[-1], sorted({row.commit_version for row in later}, reverse=True)
    by, why = f" by `{newest.author}`" if newest.author else "", f": {newest.reason}" if newest.reason else ""
    detail = f"{text} later, in changeset {newest.commit_version}{by} at {instant(newest.changed_at)}{why}"
    return error_item(
        "version", "changed-later", f"{detail.rstrip('.')}.", allowed=commits[:MAX_REFUSALS], records=[{"kind": kind, "id": id}]
    )


def _named(kind: str, id: str) -> str:
    return f"{BY_NAME[kind].singular} `{id}`"
