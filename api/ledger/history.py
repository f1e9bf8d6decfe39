"""The dataset at any of its versions, and the revisions of a record."""

import datetime as dt
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, literal, or_, select
from sqlalchemy.orm import Session

from api.db import statements
from api.errors import nearest
from api.ledger.head import AheadError, TrimmedError, head, is_standby
from api.ledger.models import CURRENT, Head, Op, Revision
from api.resources import BY_NAME


def near_id(session: Session, kind: str, id: str) -> str | None:
    """Return the published id that was probably meant by one that is none, if any."""
    word = "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in id.lower()).split())[:200]
    # Those that begin alike: a range of an index, whatever the size of the table.
    alike = (Revision.kind == kind, Revision.id >= word[:2], Revision.id < word[:2] + "~")
    near = select(Revision.id).where(*alike, *CURRENT).order_by(Revision.id).limit(500)
    candidates = session.scalars(near).all() if word else []
    return next((found for found in candidates if found.startswith(word)), None) or nearest(word, candidates)


def commit(session: Session, version: int, most: int) -> Sequence[Revision]:
    """Return the first revisions of the commit that has this version as its first; none where there is no such commit."""
    revisions = select(Revision).where(Revision.commit_version == version)
    return session.scalars(revisions.order_by(Revision.version).limit(most)).all()


def commit_of(session: Session, version: int) -> int | None:
    """Return the commit that a version is of."""
    return session.scalar(select(Revision.commit_version).where(Revision.version == version))


def last_version(session: Session, version: int) -> int | None:
    """Return the last version of a commit."""
    return session.scalar(select(func.max(Revision.version)).where(Revision.commit_version == version))


BATCH = 500


def at_time(session: Session, moment: dt.datetime) -> int:
    """Return the version that the dataset had at a time; 0 before its first. Raises AheadError."""
    if is_standby(session) and session.scalars(select(Head.changed_at)).one() < moment:
        raise AheadError(moment)
    newest = select(Revision.version).where(Revision.changed_at <= moment)
    return session.scalar(newest.order_by(Revision.changed_at.desc(), Revision.version.desc()).limit(1)) or 0


def untrimmed(session: Session, version: int) -> None:
    """Raise TrimmedError for a version of which the past was cut, as a whole or of a record."""
    trimmed = head(session).trimmed
    if version < trimmed:
        raise TrimmedError(trimmed)
    if session.scalar(select(exists().where(_was(version), Revision.leaf.is_not(None), Revision.document.is_(None)))):
        raise TrimmedError(None)


def revision_at(session: Session, kind: str, id: str, version: int) -> "Change | None":
    """Return what a record was at a version; None before its first. Raises TrimmedError."""
    own = select(*_columns()).where(Revision.kind == kind, Revision.id == id, Revision.version <= version)
    row = session.execute(own.order_by(Revision.version.desc()).limit(1)).one_or_none()
    found = Change(*row) if row else None
    if version < (trimmed := head(session).trimmed):
        raise TrimmedError(trimmed)
    if found and found.op is Op.UPSERT and found.document is None:
        raise TrimmedError(None)
    return found


def newest(session: Session, kind: str, id: str) -> "Change | None":
    """Return what a record is, or that it is deleted; None where it never was."""
    found = statements.rows(session, "newest", _newest, {"kind": kind, "id": id})
    return Change(*found[0]) if found else None


def _newest() -> Select[Any]:
    own = (Revision.kind == bindparam("kind"), Revision.id == bindparam("id"), Revision.superseded.is_(None))
    return select(*_columns()).where(*own)


def _was(version: int) -> ColumnElement[bool]:
    """Return the condition of what was current at a version."""
    return and_(Revision.version <= version, or_(Revision.superseded.is_(None), Revision.superseded > version))


def _ours() -> ColumnElement[bool]:
    """Return the condition of the nouns that there are: those of a newer release are for that release.

    It is written so that no index serves it: what it is asked of is found by version.
    """
    return (Revision.kind + "").in_([literal(kind) for kind in BY_NAME])


class Change(NamedTuple):
    """A change, as the feed has it."""

    version: int
    commit_version: int
    kind: str
    id: str
    op: Op
    reason: str | None
    changed_at: dt.datetime
    leaf: bytes | None
    document: str | None


def _columns() -> list[Any]:
    return [getattr(Revision, name) for name in Change._fields]


def _streamed(session: Session, asked: Select[Revision]) -> Generator[Revision]:
    """Yield what is asked for, a batch at a time; nothing stays open when nobody wants the rest."""
    with closing(session.scalars(asked, execution_options={"yield_per": BATCH})) as rows:
        yield from rows


def state(session: Session, version: int) -> Generator[Revision]:
    """Yield every record as it was at a version, in the order of their changes."""
    # Of the present, the index of current revisions is read; of the past, all of them.
    is_present = version >= head(session).version
    then = CURRENT if is_present else (_was(version), Revision.leaf.is_not(None))
    asked = select(Revision).where(*then, _ours())
    yield from _streamed(session, asked.order_by(Revision.version))


def history(session: Session, kind: str, id: str, before: int | None, limit: int) -> Sequence[Revision]:
    """Return the revisions of a record, the newest first, those after ``before`` left out, and one more to compare with."""
    own = select(Revision).where(Revision.kind == kind, Revision.id == id)
    if before is not None:
        own = own.where(Revision.version < before)
    return session.scalars(own.order_by(Revision.version.desc()).limit(limit + 1)).all()
