"""The past: the dataset at any of its versions, the revisions of a record, and the revisions of a commit."""

import datetime as dt
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from api.db import statements
from api.errors import nearest
from api.ledger import head
from api.ledger.head import AheadError, TrimmedError
from api.ledger.models import BATCH, CURRENT, ERASE, Head, Op, Revision
from api.ledger.parts import Part
from api.schema.canonical import PUBLICATION


class RevisionRow(NamedTuple):
    """The columns of a revision that readers are sent, without the cost of a mapped object."""

    version: int
    commit_version: int
    kind: str
    id: str
    op: Op
    erases: bool
    merged_into: str | None
    reason: str | None
    changed_at: dt.datetime
    leaf: bytes | None
    document: str | None


def effect(row: RevisionRow | Revision) -> str:
    """Return the effect of a revision as readers are told it."""
    return ERASE if row.erases else row.op.value


def is_cut(row: RevisionRow | Revision) -> bool:
    """Tell whether the document of a revision was trimmed or erased."""
    return row.op is Op.UPSERT and row.document is None


def revision_columns() -> list[Any]:
    """Return the columns of a `RevisionRow`, in its order."""
    return [getattr(Revision, name) for name in RevisionRow._fields]


def was_current(version: int) -> ColumnElement[bool]:
    """Return the condition that a revision was the last of its record at a version."""
    return and_(Revision.version <= version, or_(Revision.superseded.is_(None), Revision.superseded > version))


# --- the dataset


def at_time(session: Session, moment: dt.datetime) -> int:
    """Return the version that the dataset had at a time, 0 before its first. Raises AheadError."""
    if head.is_standby(session) and session.scalars(select(Head.changed_at)).one() < moment:
        raise AheadError(moment)
    earlier = select(Revision.version).where(Revision.changed_at <= moment)
    return session.scalar(earlier.order_by(Revision.changed_at.desc(), Revision.version.desc()).limit(1)) or 0


def require_untrimmed(session: Session, version: int) -> None:
    """Raise TrimmedError if any document of a version was cut."""
    trimmed = head.state(session).trimmed
    if version < trimmed:
        raise TrimmedError(trimmed)
    if session.scalar(select(exists().where(was_current(version), Revision.leaf.is_not(None), Revision.document.is_(None)))):
        raise TrimmedError(None)


def dataset_at(session: Session, version: int, part: Part) -> Generator[Revision]:
    """Yield every record of a part as it was at a version, in ascending order of their versions."""
    statement = select(Revision).where(*_of_part(session, version, part)).order_by(Revision.version)
    # Closed at once when the reader stops early, so that no cursor stays open.
    with closing(session.scalars(statement, part.values, execution_options={"yield_per": BATCH})) as revisions:
        yield from revisions


def count_at(session: Session, version: int, part: Part) -> int:
    """Return the number of records that a part had at a version."""
    return session.scalar(select(func.count()).where(*_of_part(session, version, part)), part.values) or 0


def _of_part(session: Session, version: int, part: Part) -> list[ColumnElement[bool]]:
    is_present = version >= head.state(session).version
    # The present has an index of its own, which is smaller than that of all revisions.
    at = CURRENT if is_present else (was_current(version), Revision.leaf.is_not(None))
    in_scope = [Revision.version.in_(part.versions()), part.inside(Revision.version)] if part.scopes else []
    return [*at, part.of_kinds(), *in_scope]


# --- a record


def newest(session: Session, kind: str, id: str) -> RevisionRow | None:
    """Return the last revision of a record, which may be a deletion; None if the record never existed."""
    rows = statements.rows(session, "newest", _newest, {"kind": kind, "id": id})
    return RevisionRow(*rows[0]) if rows else None


def _newest() -> Select[Any]:
    of_record = (Revision.kind == bindparam("kind"), Revision.id == bindparam("id"), Revision.superseded.is_(None))
    return select(*revision_columns()).where(*of_record)


def revision_at(session: Session, kind: str, id: str, version: int) -> RevisionRow | None:
    """Return the revision of a record that was its last at a version; None before its first. Raises TrimmedError."""
    of_record = (Revision.kind == kind, Revision.id == id, Revision.version <= version)
    statement = select(*revision_columns()).where(*of_record).order_by(Revision.version.desc()).limit(1)
    row = session.execute(statement).one_or_none()
    revision = RevisionRow(*row) if row else None
    if version < (trimmed := head.state(session).trimmed):
        raise TrimmedError(trimmed)
    if revision and is_cut(revision):
        raise TrimmedError(None)
    return revision


def revisions_of(session: Session, kind: str, id: str, before: int | None, limit: int) -> Sequence[Revision]:
    """Return at most ``limit`` revisions of a record, the newest first, all below ``before``; and one more to compare with."""
    of_record = select(Revision).where(Revision.kind == kind, Revision.id == id)
    if before is not None:
        of_record = of_record.where(Revision.version < before)
    return session.scalars(of_record.order_by(Revision.version.desc()).limit(limit + 1)).all()


def last_documents(session: Session, kind: str, ids: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Return the ids and the last documents of records, also of deleted ones, as far as a document is left."""
    later = aliased(Revision)
    of_record = (later.kind == Revision.kind, later.id == Revision.id, later.document.is_not(None))
    last = select(func.max(later.version)).where(*of_record).correlate(Revision).scalar_subquery()
    of_records = (Revision.kind == kind, Revision.id.in_(ids), Revision.version == last)
    rows = session.execute(select(Revision.id, Revision.document).where(*of_records))
    return [(id, document) for id, document in rows if document is not None]


def near_id(session: Session, kind: str, id: str) -> str | None:
    """Return the published id that a mistyped id probably stands for; None if none is near."""
    word = "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in id.lower()).split())[:200]
    # Only ids with the same first two letters: a range scan that costs the same for any size of table.
    alike = (Revision.kind == kind, Revision.id >= word[:2], Revision.id < word[:2] + "~")
    statement = select(Revision.id).where(*alike, *CURRENT).order_by(Revision.id).limit(500)
    candidates = session.scalars(statement).all() if word else []
    return next((candidate for candidate in candidates if candidate.startswith(word)), None) or nearest(word, candidates)


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the members that differ between two documents, without those that publication adds."""
    names = sorted(name for name in {**before, **after} if name not in PUBLICATION)
    return [
        {"pointer": f"/{name}", "before": before.get(name), "after": after.get(name)}
        for name in names
        if before.get(name) != after.get(name) or (name in before) != (name in after)
    ]


# --- a commit


def revisions_of_commit(session: Session, version: int, most: int) -> Sequence[Revision]:
    """Return at most ``most`` revisions of the commit whose first version this is; none if there is no such commit."""
    revisions = select(Revision).where(Revision.commit_version == version)
    return session.scalars(revisions.order_by(Revision.version).limit(most)).all()


def commit_of(session: Session, version: int) -> int | None:
    """Return the first version of the commit that a version belongs to; None if there is no such version."""
    return session.scalar(select(Revision.commit_version).where(Revision.version == version))


def last_version(session: Session, version: int) -> int | None:
    """Return the last version of the commit whose first version this is; None if there is no such commit."""
    return session.scalar(select(func.max(Revision.version)).where(Revision.commit_version == version))
