"""Webhook subscriptions: which receiver is told of changes, and how far it is."""

import base64
import datetime as dt
import secrets
from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.db.types import Base, Version, choice
from api.ledger.models import Head


class WebhookState(StrEnum):
    """Whether a webhook is sent messages."""

    ACTIVE = "active"
    PAUSED = "paused"


class Webhook(Base):
    """A webhook and its pending message, if it has one.

    ``told`` is the last version that it received a message about, ``told_epoch`` the epoch of the dataset at that time.
    """

    __tablename__ = "webhooks"
    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]
    state: Mapped[WebhookState] = mapped_column(choice(WebhookState, "state"))
    created_at: Mapped[dt.datetime]
    told: Mapped[int] = mapped_column(Version)
    told_epoch: Mapped[int] = mapped_column(server_default="0")
    message: Mapped[str | None]
    message_version: Mapped[int | None] = mapped_column(Version)
    message_epoch: Mapped[int | None]
    message_body: Mapped[str | None]
    attempts: Mapped[int]
    due_at: Mapped[dt.datetime | None]
    last_attempt_at: Mapped[dt.datetime | None]
    last_outcome: Mapped[str | None]


def subscribe(session: Session, url: str, *, now: dt.datetime | None = None) -> Webhook:
    """Add a webhook with a new secret; it is told of every change after the current version."""
    version, epoch = session.execute(select(Head.version, Head.epoch)).one()
    webhook = Webhook(
        id=f"wh-{secrets.token_hex(8)}",
        url=url,
        secret="whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        state=WebhookState.ACTIVE,
        created_at=now or dt.datetime.now(dt.UTC),
        told=version,
        told_epoch=epoch,
        attempts=0,
    )
    session.add(webhook)
    session.flush()
    return webhook


def every(session: Session) -> Sequence[Webhook]:
    """Return all webhooks, the oldest first."""
    return session.scalars(select(Webhook).order_by(Webhook.created_at, Webhook.id)).all()


def resume(session: Session, id: str) -> Webhook | None:
    """Make a paused webhook active and drop its failed message; returns the webhook, or None if there is none of that id."""
    values = {"state": WebhookState.ACTIVE, "attempts": 0, "due_at": None, "message": None}
    session.execute(update(Webhook).where(Webhook.id == id, Webhook.state == WebhookState.PAUSED).values(**values))
    return session.get(Webhook, id, populate_existing=True)
