"""Webhooks: who is told that something has changed, and the telling; by the Standard Webhooks specification.

A message is a hint: its receiver then asks `/changes`, so one that is lost, late or doubled harms nobody. There is one message
at a time for each receiver; what changes meanwhile is in the next. All of its state is in the database, so any number of
senders can run, and be killed.
"""

import base64
import datetime as dt
import json
import random
import secrets
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column
from standardwebhooks import Webhook as Signer

from api.db.database import Database
from api.db.types import Base, Version, choice
from api.ledger.models import Head, Revision
from api.schema.fields import instant
from api.webhooks import outbound

TYPE = "dataset.changed"
# Seconds after which a message is sent again, as the specification has it; and how much earlier or later, by chance.
SCHEDULE = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
# A sender that was killed is taken for dead after this.
LEASE = dt.timedelta(minutes=2)
SENDERS = 8
GONE = 410
# What is said of a message that was not answered; the first that fits.
UNANSWERED = (
    (TimeoutError, "no answer in time"),
    (socket.gaierror, "no such host"),
    (ConnectionRefusedError, "connection refused"),
    (ssl.SSLError, "no secure connection"),
    (outbound.Failed, "no valid answer"),
    (OSError, "no connection"),
    (Exception, "not sent"),
)

Post = Callable[..., int]


class State(StrEnum):
    """Whether a receiver is told."""

    ACTIVE = "active"
    PAUSED = "paused"


class Webhook(Base):
    """A receiver, and the message that is on its way; ``told`` is the version that it knows of."""

    __tablename__ = "webhooks"
    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]
    state: Mapped[State] = mapped_column(choice(State, "state"))
    created_at: Mapped[dt.datetime]
    told: Mapped[int] = mapped_column(Version)
    message: Mapped[str | None]
    message_version: Mapped[int | None] = mapped_column(Version)
    message_body: Mapped[str | None]
    attempts: Mapped[int]
    due_at: Mapped[dt.datetime | None]
    last_attempt_at: Mapped[dt.datetime | None]
    last_outcome: Mapped[str | None]


@dataclass(frozen=True)
class Message:
    """What is to be sent to whom."""

    webhook: str
    url: str
    secret: str
    id: str
    body: str


def subscribe(session: Session, url: str, *, now: dt.datetime | None = None) -> Webhook:
    """Add a receiver, with a secret of its own; it is told of what changes from now on."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    version = session.execute(select(Head.version)).scalar_one()
    webhook = Webhook(
        id=f"wh-{secrets.token_hex(8)}",
        url=url,
        secret=secret,
        state=State.ACTIVE,
        created_at=now or dt.datetime.now(dt.UTC),
        told=version,
        attempts=0,
    )
    session.add(webhook)
    session.flush()
    return webhook


def every(session: Session) -> Sequence[Webhook]:
    """Return all receivers, the oldest first."""
    return session.scalars(select(Webhook).order_by(Webhook.created_at, Webhook.id)).all()


def deliver(database: Database, *, loopback: bool, now: dt.datetime | None = None, post: Post = outbound.post) -> int:
    """Send what is due, each message once; returns how many were taken."""
    moment = now or dt.datetime.now(dt.UTC)
    with database.reading() as session:
        due = session.scalars(select(Webhook.id).where(_is_due(moment)).order_by(Webhook.id)).all()
    with ThreadPoolExecutor(SENDERS) as pool:
        return sum(pool.map(lambda webhook: _tell(database, webhook, loopback=loopback, now=now, post=post), due))


def _tell(database: Database, id: str, *, loopback: bool, now: dt.datetime | None, post: Post) -> bool:
    """Take a message, send it and note what became of it; returns False where another sender was faster."""
    with database.writing() as session:
        message = _take(session, id, now or dt.datetime.now(dt.UTC))
    if message is None:
        return False
    status, said = _send(message, post, loopback=loopback)
    with database.writing() as session:
        _note(session, message, status, said, now or dt.datetime.now(dt.UTC))
    return True


def _is_due(now: dt.datetime) -> ColumnElement[bool]:
    has_news = Webhook.message.is_(None) & (Webhook.told != select(Head.version).scalar_subquery())
    return (Webhook.state == State.ACTIVE) & or_(Webhook.due_at <= now, Webhook.due_at.is_(None) & has_news)


def _take(session: Session, id: str, now: dt.datetime) -> Message | None:
    """Take a message to send, the one that failed before or a new one, and keep other senders from taking it as well."""
    webhook = session.scalar(select(Webhook).where(Webhook.id == id, _is_due(now)).with_for_update(skip_locked=True))
    if webhook is None:
        return None
    if webhook.message is None:
        version = session.execute(select(Head.version)).scalar_one()
        changed = select(Revision.kind).where(Revision.version > webhook.told).distinct().order_by(Revision.kind)
        data = {"version": version, "kinds": list(session.scalars(changed))}
        webhook.message = f"msg_{secrets.token_urlsafe(16)}"
        webhook.message_version = version
        webhook.message_body = json.dumps({"type": TYPE, "timestamp": instant(now), "data": data}, separators=(",", ":"))
    webhook.due_at = now + LEASE
    return Message(webhook.id, webhook.url, webhook.secret, webhook.message, webhook.message_body or "")


def headers(message: Message, now: dt.datetime) -> dict[str, str]:
    """Return the headers of a message that is sent now: its id, the time, and both signed with the body."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "digital-cities-api",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(message.secret).sign(message.id, now, message.body),
    }


def _send(message: Message, post: Post, *, loopback: bool) -> tuple[int, str]:
    """Send a message; returns the status, 0 where there was none, and what to say of it."""
    try:
        status = post(message.url, message.body.encode(), headers(message, dt.datetime.now(dt.UTC)), loopback=loopback)
    except outbound.Refused as error:
        return 0, str(error)
    except Exception as error:  # noqa: BLE001 - what is wrong at one receiver must harm no other
        return 0, next(said for kind, said in UNANSWERED if isinstance(error, kind))
    return status, f"status {status}"


def _note(session: Session, message: Message, status: int, said: str, now: dt.datetime) -> None:
    """Note what became of a message, unless its receiver was removed meanwhile."""
    same = select(Webhook).where(Webhook.id == message.webhook, Webhook.message == message.id)
    webhook = session.scalar(same.with_for_update())
    if webhook is None:
        return
    webhook.last_attempt_at, webhook.last_outcome = now, said
    webhook.attempts = min(webhook.attempts + 1, len(SCHEDULE))
    if 200 <= status < 300:  # noqa: PLR2004 - what HTTP calls successful
        webhook.told = webhook.message_version or webhook.told
        webhook.message = webhook.message_version = webhook.message_body = webhook.due_at = None
        webhook.attempts = 0
    elif status == GONE or webhook.state is State.PAUSED or webhook.attempts == len(SCHEDULE):
        webhook.state, webhook.due_at = State.PAUSED, None
    else:
        chance = 1 + random.uniform(-JITTER, JITTER)  # noqa: S311 - so that not all come back at once; nothing is secret
        webhook.due_at = now + dt.timedelta(seconds=SCHEDULE[webhook.attempts] * chance)


def resume(session: Session, id: str) -> Webhook | None:
    """Tell a receiver again that was given up; None where there is none of that id."""
    values = {"state": State.ACTIVE, "attempts": 0, "due_at": None, "message": None}
    session.execute(update(Webhook).where(Webhook.id == id, Webhook.state == State.PAUSED).values(**values))
    return session.get(Webhook, id, populate_existing=True)
