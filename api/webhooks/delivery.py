"""Send webhooks their messages, by the Standard Webhooks specification.

A message is a hint to read `/changes`, so one that is lost, late or sent twice does no harm. A webhook has one message at a
time; the next one covers all changes made meanwhile. All state is in the database, so any number of senders can run, and each
can be killed at any moment.
"""

import datetime as dt
import json
import random
import secrets
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Signer

from api.db.database import Database
from api.ledger import epochs
from api.ledger.models import Head, Revision
from api.schema.fields import instant
from api.webhooks import outbound
from api.webhooks.subscriptions import Webhook, WebhookState

CHANGED, TEST = "dataset.changed", "webhook.test"
# Seconds between two attempts, from the specification's example schedule, and the random part of each wait, which keeps
# webhooks that failed together from being retried together.
SCHEDULE = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
# Another sender takes a message over when its sender has not reported for this long, which means that it was killed.
LEASE = dt.timedelta(minutes=2)
SENDERS = 64
# The statuses that HTTP calls successful, and the one of a receiver that wants no more messages.
ACCEPTED, GONE = range(200, 300), 410
# What the owner of a webhook is told of a message that got no answer: the text of the first class that matches.
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
Clock = Callable[[], dt.datetime]


@dataclass(frozen=True)
class Message:
    """A message to send: the webhook's id, address and secrets, and the message's own id and body."""

    webhook: str
    url: str
    secrets: Sequence[str]
    id: str
    body: str


def utc_now() -> dt.datetime:
    """Return the current time in UTC."""
    return dt.datetime.now(dt.UTC)


class Senders:
    """Threads that send messages. None waits for another: a slow receiver delays only its own messages.

    Receivers that failed the last time get at most half of the threads.
    """

    def __init__(self, database: Database, *, loopback: bool, clock: Clock = utc_now, post: Post = outbound.post) -> None:
        """Start no thread yet."""
        self.database, self.clock = database, clock
        self.tell = partial(_tell, database, loopback=loopback, clock=clock, post=post)
        self.pools = {failed: ThreadPoolExecutor(max(1, SENDERS // 2)) for failed in (False, True)}
        self.sending: dict[str, Future[bool]] = {}

    def __enter__(self) -> Self:
        """Return the senders."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until each message that is on its way has its outcome."""
        for pool in self.pools.values():
            pool.shutdown()

    def start(self) -> list[Future[bool]]:
        """Begin to send each message that is due and not on its way; the results tell whether this sender took it.

        Raises what went wrong with a message that was begun before, such as a DBAPIError.
        """
        ended = [id for id, sent in self.sending.items() if sent.done()]
        for sent in [self.sending.pop(id) for id in ended]:
            sent.result()
        epochs.begin_if_lost(self.database)
        with self.database.reading() as session:
            due = session.execute(
                select(Webhook.id, Webhook.attempts).where(_is_due(self.clock())).order_by(Webhook.attempts, Webhook.id)
            ).all()
        started = {id: self.pools[attempts > 0].submit(self.tell, id) for id, attempts in due if id not in self.sending}
        self.sending |= started
        return list(started.values())


def _tell(database: Database, id: str, *, loopback: bool, clock: Clock, post: Post) -> bool:
    """Take a webhook's message, send it and record the outcome; returns False if another sender took it first."""
    with database.writing() as session:
        message = _take(session, id, clock())
    if message is None:
        return False
    status, outcome = _send(message, post, clock(), loopback=loopback)
    with database.writing() as session:
        _note(session, message, status, outcome, clock())
    return True


def _is_due(now: dt.datetime) -> ColumnElement[bool]:
    version, epoch = (select(column).scalar_subquery() for column in (Head.version, Head.epoch))
    has_news = Webhook.message.is_(None) & ((Webhook.told != version) | (Webhook.told_epoch != epoch))
    return (Webhook.state == WebhookState.ACTIVE) & or_(Webhook.due_at <= now, Webhook.due_at.is_(None) & has_news)


def _take(session: Session, id: str, now: dt.datetime) -> Message | None:
    """Return a webhook's failed or next message and lease it to this sender; None if it is not due any more."""
    webhook = session.scalar(select(Webhook).where(Webhook.id == id, _is_due(now)).with_for_update(skip_locked=True))
    if webhook is None:
        return None
    if webhook.message is None and not _begin(session, webhook, now):
        return None
    webhook.due_at = now + LEASE
    return _message(webhook, webhook.message or "", webhook.message_body or "", now)


def _begin(session: Session, webhook: Webhook, now: dt.datetime) -> bool:
    """Give a webhook its next message; returns False, and only moves its position, if no noun changed that it listens to."""
    version, epoch = session.execute(select(Head.version, Head.epoch)).one()
    changed = select(Revision.kind).where(Revision.version > webhook.told).distinct().order_by(Revision.kind)
    if webhook.kinds:
        changed = changed.where(Revision.kind.in_(webhook.kinds))
    data: dict[str, Any] = {"version": version, "kinds": list(session.scalars(changed))}
    if epoch != webhook.told_epoch:
        data["epoch"] = epoch
    elif webhook.kinds and not data["kinds"]:
        webhook.told = version
        return False
    webhook.message_version, webhook.message_epoch = version, epoch
    webhook.message, webhook.message_body = _new_id(), _body(CHANGED, data, now)
    return True


def _new_id() -> str:
    return f"msg_{secrets.token_urlsafe(16)}"


def _body(type: str, data: Mapping[str, Any], now: dt.datetime) -> str:
    return json.dumps({"type": type, "timestamp": instant(now), "data": data}, separators=(",", ":"))


def _message(webhook: Webhook, id: str, body: str, now: dt.datetime) -> Message:
    """Return a message, to be signed with each secret that is in use now."""
    return Message(webhook.id, webhook.url, (webhook.secret, *webhook.previous(now)), id, body)


def send_test(
    database: Database, id: str, *, loopback: bool, clock: Clock = utc_now, post: Post = outbound.post
) -> tuple[int, str] | None:
    """Send a webhook a test message now; returns the status of the answer, or 0, and the outcome in words.

    Returns None if there is no such webhook. Nothing is recorded, so the messages about changes are not affected.
    """
    with database.reading() as session:
        if (webhook := session.get(Webhook, id)) is None:
            return None
        message = _message(webhook, _new_id(), _body(TEST, {"webhook": id}, clock()), clock())
    return _send(message, post, clock(), loopback=loopback)


def headers(message: Message, now: dt.datetime) -> dict[str, str]:
    """Return the headers of a message that is sent now; each secret's signature covers its id, the time and the body."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "digital-cities-api",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Signer(secret).sign(message.id, now, message.body) for secret in message.secrets),
    }


def _send(message: Message, post: Post, now: dt.datetime, *, loopback: bool) -> tuple[int, str]:
    """Send a message; returns the status of the answer, or 0, and the outcome in words."""
    try:
        status = post(message.url, message.body.encode(), headers(message, now), loopback=loopback)
    except outbound.Refused as error:
        return 0, str(error)
    except Exception as error:  # noqa: BLE001 - a fault at one receiver must not stop the messages to others
        return 0, next(outcome for kind, outcome in UNANSWERED if isinstance(error, kind))
    return status, f"status {status}"


def _note(session: Session, message: Message, status: int, outcome: str, now: dt.datetime) -> None:
    """Record the outcome of a message, unless its webhook was removed meanwhile, and schedule the next attempt."""
    same = select(Webhook).where(Webhook.id == message.webhook, Webhook.message == message.id)
    webhook = session.scalar(same.with_for_update())
    if webhook is None:
        return
    webhook.last_attempt_at, webhook.last_outcome = now, outcome
    webhook.attempts = min(webhook.attempts + 1, len(SCHEDULE))
    if status in ACCEPTED:
        webhook.told = webhook.told if webhook.message_version is None else webhook.message_version
        webhook.told_epoch = webhook.told_epoch if webhook.message_epoch is None else webhook.message_epoch
        webhook.message = webhook.message_version = webhook.message_body = webhook.due_at = None
        webhook.attempts = 0
    elif status == GONE or webhook.state is WebhookState.PAUSED or webhook.attempts == len(SCHEDULE):
        webhook.state, webhook.due_at = WebhookState.PAUSED, None
    else:
        factor = 1 + random.uniform(-JITTER, JITTER)  # noqa: S311 - it spreads the load, and is no secret
        webhook.due_at = now + dt.timedelta(seconds=SCHEDULE[webhook.attempts] * factor)
