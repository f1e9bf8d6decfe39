"""The commits of the past: the list of them, and what each did to its records."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from api.ledger.history import is_cut
from api.ledger.models import IS_FIRST, Op, Revision
from api.resources import BY_NAME
from api.schema.canonical import Content


class Effect(StrEnum):
    """What a commit did to a record.

    A record is derived if only members changed that other records decide, or if it was published again for readers of a part.
    """

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    DERIVED = "derived"
    ERASED = "erased"


class Committed(NamedTuple):
    """A commit: its first and last version, and what is known of it."""

    version: int
    last_version: int
    author: str | None
    reason: str | None
    changed_at: dt.datetime
    import_id: str | None

    @property
    def size(self) -> int:
        """The number of its changes: the versions of a commit have no gaps."""
        return self.last_version - self.version + 1


@dataclass(frozen=True)
class Wanted:
    """Which commits to list: those whose times fulfil ``conditions``, that have an author or an import id, or touch a noun."""

    conditions: Sequence[ColumnElement[bool]] = ()
    kinds: Sequence[str] = ()


def commits(session: Session, wanted: Wanted, below: int, limit: int) -> Sequence[Committed]:
    """Return at most ``limit`` commits below a version, the newest first."""
    following, last, within = aliased(Revision), aliased(Revision), aliased(Revision)
    # The version after a commit is not always the next number: epochs have gaps between them.
    after = (following.version > Revision.version, following.version == following.commit_version)
    end = select(func.min(following.version)).where(*after).correlate(Revision).scalar_subquery()
    before_end = select(func.max(last.version)).where(last.version < end).correlate(Revision).scalar_subquery()
    newest = select(func.max(last.version)).scalar_subquery()
    last_version = func.coalesce(before_end, newest)
    facts = (Revision.author, Revision.reason, Revision.changed_at, Revision.import_id)
    statement = select(Revision.version, last_version, *facts).where(IS_FIRST, Revision.version < below, *wanted.conditions)
    if wanted.kinds:
        # By the versions of the commit: the index by noun has them in order.
        of_commit = (within.kind.in_(wanted.kinds), within.version.between(Revision.version, last_version))
        statement = statement.where(exists().where(*of_commit).correlate(Revision))
    rows = session.execute(statement.order_by(Revision.version.desc()).limit(limit))
    return [Committed(*row) for row in rows]


def of_import(session: Session, import_id: str) -> Sequence[int]:
    """Return the first versions of the commits that are the pieces of an import, in their order."""
    return session.scalars(select(Revision.version).where(Revision.import_id == import_id).order_by(Revision.version)).all()


def kinds_of(session: Session, versions: Sequence[int]) -> Sequence[str]:
    """Return the nouns whose records some commits changed."""
    statement = select(Revision.kind).where(Revision.commit_version.in_(versions)).distinct()
    return session.scalars(statement.order_by(Revision.kind)).all()


class Changed(NamedTuple):
    """A change of a commit: the revision, and the one before it of the same record, None for the first."""

    revision: Revision
    before: Revision | None

    @property
    def effect(self) -> Effect:
        """What the commit did to the record."""
        row, before = self.revision, self.before
        if row.erases:
            return Effect.ERASED
        if row.op is Op.DELETE:
            return Effect.DELETED
        if before is None or before.op is Op.DELETE:
            return Effect.CREATED
        return Effect.DERIVED if facts(before) == facts(row) and not self.is_cut else Effect.UPDATED

    @property
    def is_cut(self) -> bool:
        """Whether one of the two documents was trimmed or erased."""
        return is_cut(self.revision) or bool(self.before and is_cut(self.before))


def changes(session: Session, version: int, most: int) -> Sequence[Changed]:
    """Return at most ``most`` changes of the commit whose first version this is; none if there is no such commit."""
    return _changes(session, Revision.commit_version == version, most)


def first_changes(session: Session, listed: Sequence[Committed], most: int, few: int) -> Mapping[int, Sequence[Changed]]:
    """Return changes of commits by the first versions of these.

    All changes of a commit are read if with the others they are at most ``most``, else only the first ``few``.
    """
    whole, parts, left = [], list[int](), most
    for commit in listed:
        if commit.size <= left:
            whole.append(commit.version)
            left -= commit.size
        else:
            parts += range(commit.version, commit.version + few)
    result: dict[int, list[Changed]] = {commit.version: [] for commit in listed}
    wanted = or_(Revision.commit_version.in_(whole), Revision.version.in_(parts))
    for change in _changes(session, wanted, most + len(parts)):
        result[change.revision.commit_version].append(change)
    return result


def _changes(session: Session, wanted: ColumnElement[bool], most: int) -> Sequence[Changed]:
    before = aliased(Revision)
    of_record = (before.kind == Revision.kind) & (before.id == Revision.id) & (before.superseded == Revision.version)
    statement = select(Revision, before).outerjoin(before, of_record).where(wanted)
    return [Changed(*row) for row in session.execute(statement.order_by(Revision.version).limit(most))]


def facts(revision: Revision | None) -> Content | None:
    """Return the members of a revision that curators set; None if there was no record, or if its document was cut.

    Documents of former releases may lack members of this one, and may have others.
    """
    if revision is None or revision.document is None:
        return None
    document: dict[str, Any] = json.loads(revision.document)
    resource = BY_NAME.get(revision.kind)
    return {name: value for name, value in document.items() if resource is None or name in resource.facts}
