"""Answers that are remembered, so that a request that is sent again is answered again, and not carried out again.

By draft-ietf-httpapi-idempotency-key-header. An answer is written in the transaction of what it tells of.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ForeignKey, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.db.types import Base

KEPT = dt.timedelta(hours=24)


class Answer(Base):
    """The answer to a request that a key made under an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"
    api_key: Mapped[str] = mapped_column(ForeignKey("api_keys.name", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(index=True)
    status: Mapped[int]
    headers: Mapped[str]
    body: Mapped[str]

    @property
    def header_rows(self) -> Sequence[tuple[str, str]]:
        """The answer's headers, as they were sent."""
        return [(name, value) for name, value in json.loads(self.headers)]


@dataclass(frozen=True)
class Request:
    """What a request is known by: whose it is, its `Idempotency-Key`, and a hash of all that it asks for."""

    api_key: str
    key: str
    sha256: str


def recall(session: Session, request: Request, now: dt.datetime) -> Answer | None:
    """Return the answer that a request, or another one under its key, got in the last 24 hours."""
    session.execute(delete(Answer).where(Answer.created_at < now - KEPT))
    return session.scalar(select(Answer).where(Answer.api_key == request.api_key, Answer.key == request.key))


def remember(  # noqa: PLR0913 - the members of an answer
    session: Session, request: Request, now: dt.datetime, *, status: int, headers: Sequence[tuple[str, str]], body: str
) -> None:
    """Keep an answer."""
    values = {"created_at": now, "status": status, "headers": json.dumps(headers), "body": body}
    session.add(Answer(api_key=request.api_key, key=request.key, request_sha256=request.sha256, **values))


def forget(session: Session, id: str) -> None:
    """Delete the stored answers that name a record: they may hold what it said."""
    session.execute(delete(Answer).where(Answer.body.contains(f'"{id}"', autoescape=True)))
