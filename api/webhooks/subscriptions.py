"""Webhook subscriptions: which receiver is told of changes, and how far it is."""

import base64
import datetime as dt
import secrets
from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import JSON, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.db.types import Base, Version, choice
from api.ledger.models import Head
from api.schema.fields import instant

# Messages are signed with a secret for this long after another has replaced it, with the new one first. A receiver that was
# not told the new one, as when an answer was lost, can therefore rotate again.
OVERLAP = dt.timedelta(days=1)
MAX_SECRETS = 5


class WebhookState(StrEnum):
    """Whether a webhook is sent messages."""

    ACTIVE = "active"
    PAUSED = "paused"


class Webhook(Base):
    """A webhook and its pending message, if it has one.

    ``told`` is the version up to which it was told of all changes to its nouns (``kinds``, None for all), ``told_epoch`` the
    epoch of the dataset at that time. ``previous_secrets`` has the time at which each one expires.
    """

    __tablename__ = "webhooks"
    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]
    previous_secrets: Mapped[dict[str, str]] = mapped_column(JSON, server_default="{}")
    kinds: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
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

    def previous(self, now: dt.datetime) -> dict[str, str]:
        """Return the previous secrets that are still in use, the newest first, each with the time at which it expires."""
        return {secret: expiry for secret, expiry in self.previous_secrets.items() if expiry > instant(now)}


def subscribe(session: Session, url: str, *, kinds: Sequence[str] | None = None, now: dt.datetime | None = None) -> Webhook:
    """Add a webhook with a new secret; it is told of every change to these nouns, or to all, after the current version."""
    version, epoch = session.execute(select(Head.version, Head.epoch)).one()
    webhook = Webhook(
        id=f"wh-{secrets.token_hex(8)}",
        url=url,
        secret=_new_secret(),
        previous_secrets={},
        kinds=kinds and [*dict.fromkeys(kinds)],
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


def rotate(session: Session, id: str, *, now: dt.datetime | None = None) -> Webhook | None:
    """Give a webhook a new secret; returns the webhook, or None if there is none of that id."""
    webhook = session.get(Webhook, id, with_for_update=True)
    if webhook:
        now = now or dt.datetime.now(dt.UTC)
        previous = {webhook.secret: instant(now + OVERLAP), **webhook.previous(now)}
        webhook.previous_secrets = dict([*previous.items()][: MAX_SECRETS - 1])
        webhook.secret = _new_secret()
    return webhook


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
