"""Proposals: operations that are stored, and published or refused later. Until then, no reader sees them."""

import datetime as dt
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Index, and_, delete, or_, select, update
from sqlalchemy.orm import Mapped, Session, defer, mapped_column

from api.db.database import begin_savepoint
from api.db.types import Base, Version, choice
from api.editing import store
from api.editing.operations import Change, Operation, Refused
from api.editing.writer import Writer
from api.errors import ProblemError, error_item
from api.schema import strict_json
from api.schema.fields import instant


class State(StrEnum):
    """What became of a proposal. One that is stored as open is expired once its time is over."""

    OPEN = "open"
    PUBLISHED = "published"
    REFUSED = "refused"
    EXPIRED = "expired"


class Proposal(Base):
    """Operations, as JSON like that of a changeset, and who decided on them; ``version`` is the first one of their commit."""

    __tablename__ = "proposals"
    id: Mapped[str] = mapped_column(primary_key=True)
    author: Mapped[str]
    message: Mapped[str | None]
    operations: Mapped[str]
    state: Mapped[State] = mapped_column(choice(State, "state"))
    created_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime]
    decided_by: Mapped[str | None]
    decided_at: Mapped[dt.datetime | None]
    reason: Mapped[str | None]
    version: Mapped[int | None] = mapped_column(Version)
    __table_args__ = (Index(None, "created_at", "id"),)

    @property
    def rows(self) -> Sequence[Any]:
        """The operations as they were sent."""
        rows: Sequence[Any] = strict_json.load(self.operations, exact=True)
        return rows

    def state_at(self, now: dt.datetime) -> State:
        """Return the state at a time."""
        return State.EXPIRED if self.state is State.OPEN and self.expires_at <= now else self.state


def add(  # noqa: PLR0913 - what is known of a proposal
    session: Session, rows: Sequence[Mapping[str, Any]], *, author: str, message: str | None, now: dt.datetime, days: int
) -> Proposal:
    """Store operations, as they were sent, as a proposal that is open for some days."""
    proposal = Proposal(
        id=f"pr-{secrets.token_hex(8)}",
        author=author,
        message=message,
        # Decimals have at most 6 fraction digits, and are stored in documents as floats.
        operations=json.dumps(rows, separators=(",", ":"), default=float),
        state=State.OPEN,
        created_at=now,
        expires_at=now + dt.timedelta(days=days),
    )
    session.add(proposal)
    session.flush()
    return proposal


def get(session: Session, id: str) -> Proposal | None:
    """Return a proposal by its id, None if there is none."""
    return session.get(Proposal, id)


@dataclass(frozen=True)
class Wanted:
    """Which proposals to list: those in a state, if one is named, by an author, and older than another one."""

    now: dt.datetime
    state: State | None = None
    author: str | None = None
    before: Proposal | None = None


def listed(session: Session, wanted: Wanted, limit: int) -> Sequence[Proposal]:
    """Return at most ``limit`` proposals, the newest first, without their operations: those of 500 could take 500 MB."""
    statement = select(Proposal).options(defer(Proposal.operations, raiseload=True))
    statement = statement.order_by(Proposal.created_at.desc(), Proposal.id.desc()).limit(limit)
    if wanted.author is not None:
        statement = statement.where(Proposal.author == wanted.author)
    if wanted.before:
        at, id = wanted.before.created_at, wanted.before.id
        statement = statement.where(or_(Proposal.created_at < at, and_(Proposal.created_at == at, Proposal.id < id)))
    if wanted.state is State.EXPIRED:
        statement = statement.where(Proposal.state == State.OPEN, Proposal.expires_at <= wanted.now)
    elif wanted.state is State.OPEN:
        statement = statement.where(Proposal.state == State.OPEN, Proposal.expires_at > wanted.now)
    elif wanted.state is not None:
        statement = statement.where(Proposal.state == wanted.state)
    return session.scalars(statement).all()


def open_one(session: Session, id: str, now: dt.datetime) -> Proposal:
    """Return a proposal as it is stored now, for a decision under the ledger's lock. Raises a 409 if it is not open."""
    statement = select(Proposal).where(Proposal.id == id).execution_options(populate_existing=True)
    proposal = session.scalars(statement).one_or_none()
    state = proposal.state_at(now) if proposal else None
    if proposal is None or state is not State.OPEN:
        detail = f"The proposal {_outcome(proposal, state)}." if proposal else "The proposal is gone: its record was erased."
        raise ProblemError("conflict", detail, error_item("id", "decided", detail))
    return proposal


def _outcome(proposal: Proposal, state: State | None) -> str:
    if state is State.EXPIRED:
        return f"expired on {instant(proposal.expires_at)}: propose it again"
    by = f"was {state} by `{proposal.decided_by}`"
    return f"{by}, as the changeset {proposal.version}" if proposal.version else by


class Decision(NamedTuple):
    """What was decided on a proposal: by whom, when and why, and the first version of its commit."""

    state: State
    by: str
    at: dt.datetime
    reason: str | None
    version: int | None = None


def decide(session: Session, id: str, decision: Decision) -> None:
    """Note a decision on a proposal that is open."""
    state, by, at, reason, version = decision
    values = {"state": state, "decided_by": by, "decided_at": at, "reason": reason, "version": version}
    session.execute(update(Proposal).where(Proposal.id == id).values(values))


def forget(session: Session, kind: str, id: str) -> None:
    """Delete the proposals that change a record, because they may have its document."""
    named = select(Proposal).where(Proposal.operations.contains(f'"{id}"', autoescape=True))
    gone = [row.id for row in session.scalars(named) if any(_names(operation, kind, id) for operation in row.rows)]
    session.execute(delete(Proposal).where(Proposal.id.in_(gone)))


def _names(operation: Mapping[str, Any], kind: str, id: str) -> bool:
    ids = {operation.get("id"), operation.get("to"), operation.get("into"), (operation.get("document") or {}).get("id")}
    return operation["kind"] == kind and id in ids


def rehearsed(session: Session, operations: Sequence[Operation], refused: Refused) -> list[Change]:
    """Carry out operations and take them back; returns their changes, and adds to ``refused`` why they cannot be published.

    ``operations`` are what `changes.checked` returned. The caller has the ledger's lock, and a savepoint ends the rehearsal. On
    private copies of the tables nobody would wait, but to make them takes longer than to carry out a hundred operations, and
    the longer the more records there are.

    Raises IntegrityError.
    """
    savepoint = begin_savepoint(session)
    try:
        writer = Writer(session)
        changes = writer.apply(operations, refused)
        if not refused:
            writer.rules.check(refused)
        if not refused:
            store.check_foreign_keys(session)
    finally:
        savepoint.rollback()
    return changes
