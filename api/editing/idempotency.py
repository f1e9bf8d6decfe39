"""Stored answers: a request that is sent again gets its first answer, and is not carried out again.

Follows draft-ietf-httpapi-idempotency-key-header. An answer is stored in the transaction of the changes that it reports.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ForeignKey, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.db.types import Base

KEPT = dt.timedelta(hours=24)


class StoredAnswer(Base):
    """The answer to a request with an `Idempotency-Key`."""

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
        """The names and values of the headers that were sent."""
        return [(name, value) for name, value in json.loads(self.headers)]


@dataclass(frozen=True)
class RequestIdentity:
    """The identity of a request: the name of its API key, its `Idempotency-Key`, and a hash of its method, path and body."""

    api_key: str
    key: str
    sha256: str


def recall(session: Session, request: RequestIdentity, now: dt.datetime) -> StoredAnswer | None:
    """Return the answer of the last 24 hours to a request with the same keys, which may be another request."""
    session.execute(delete(StoredAnswer).where(StoredAnswer.created_at < now - KEPT))
    return find(session, request, now)


def find(session: Session, request: RequestIdentity, now: dt.datetime) -> StoredAnswer | None:
    """Return what `recall` does, and write nothing."""
    same = StoredAnswer.api_key == request.api_key, StoredAnswer.key == request.key
    return session.scalar(select(StoredAnswer).where(*same, StoredAnswer.created_at >= now - KEPT))


def remember(  # noqa: PLR0913 - the columns of an answer
    session: Session, request: RequestIdentity, now: dt.datetime, *, status: int, headers: Sequence[tuple[str, str]], body: str
) -> None:
    """Store an answer."""
    values = {"created_at": now, "status": status, "headers": json.dumps(headers), "body": body}
    session.add(StoredAnswer(api_key=request.api_key, key=request.key, request_sha256=request.sha256, **values))


def forget(session: Session, id: str) -> None:
    """Delete the stored answers that name a record, because they may have its document."""
    session.execute(delete(StoredAnswer).where(StoredAnswer.body.contains(f'"{id}"', autoescape=True)))
