"""Redirects: ids of records that were merged into others, or renamed. The tombstone of such a record names the other one."""

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from api.ledger.models import Revision


def target(session: Session, kind: str, into: str, version: int | None = None) -> str:
    """Return the id at the end of a chain of merges that begins with a merge into ``into``, now or at a version."""
    passed: dict[str, None] = {}
    following: str | None = into
    while following is not None and following not in passed:
        passed[following] = None
        following = _merged_into(session, kind, following, version)
    return [*passed][-1]


def _merged_into(session: Session, kind: str, id: str, version: int | None) -> str | None:
    """Return the id of the record into which another one was merged; None if it was not, or came back."""
    last = select(Revision.merged_into).where(Revision.kind == kind, Revision.id == id)
    if version is not None:
        last = last.where(Revision.version <= version)
    return session.scalar(last.order_by(Revision.version.desc()).limit(1))


def ends_at(session: Session, kind: str, id: str) -> str | None:
    """Return the id to which another one redirects; None if it does not."""
    into = _merged_into(session, kind, id, None)
    if into is None:
        return None
    other = aliased(Revision)
    end = target(session, kind, into)
    current = select(other.version).where(other.kind == kind, other.id == end, other.superseded.is_(None))
    return end if session.scalar(current.where(other.document.is_not(None))) else None
