"""A new secret replaces the previous one without a gap."""

import datetime as dt

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from api.db.database import Database
from api.webhooks import delivery
from api.webhooks.subscriptions import OVERLAP
from tests.support.webhooks import Attempt, Wire, change, every, rotate, subscribe

SECOND = dt.timedelta(seconds=1)


def takes(secret: str, attempt: Attempt) -> bool:
    """Tell whether a receiver with a secret takes a message, by the specification's own library."""
    try:
        Verifier(secret).verify(attempt.body, attempt.headers)
    except WebhookVerificationError:
        return False
    return True


@pytest.mark.parametrize(("passed", "is_over"), [(dt.timedelta(), False), (OVERLAP - SECOND, False), (OVERLAP, True)])
def test_both_secrets_sign_for_a_day(database: Database, passed: dt.timedelta, is_over: bool) -> None:  # noqa: FBT001 - a row of the table
    """During a rotation each message is taken by receivers with either secret; a day later only by those with the new one.

    The control: another receiver's secret takes none.
    """
    now, wire, webhook = dt.datetime.now(dt.UTC), Wire(), subscribe(database)
    other = subscribe(database, "https://example.org/other").secret
    new = rotate(database, webhook.id, now - passed)
    change(database)
    wire.deliver(database, now)
    attempt = next(row for row in wire.sent if row.url == webhook.url)
    assert [takes(secret, attempt) for secret in (new, webhook.secret, other)] == [True, not is_over, False]
    assert len(attempt.headers["webhook-signature"].split(" ")) == 2 - is_over


def test_a_failed_message_is_signed_with_the_new_secret(database: Database) -> None:
    """A message that failed before a rotation is signed with both secrets when it is sent again."""
    now, wire, webhook = dt.datetime.now(dt.UTC), Wire(500), subscribe(database)
    change(database)
    wire.deliver(database, now)
    new = rotate(database, webhook.id, now)
    wire.deliver(database, now + dt.timedelta(seconds=10))
    first, second = wire.sent
    assert first.message == second.message
    assert [takes(secret, first) for secret in (webhook.secret, new)] == [True, False]
    assert [takes(secret, second) for secret in (webhook.secret, new)] == [True, True]


def test_who_lost_the_answer_rotates_again(database: Database) -> None:
    """After two rotations within a day messages are signed with all three secrets, the newest first; with at most five."""
    now, wire, webhook = dt.datetime.now(dt.UTC), Wire(), subscribe(database)
    secrets = [webhook.secret]
    for number in range(6):
        secrets.append(rotate(database, webhook.id, now))
        change(database)
        wire.deliver(database, now)
        in_use = secrets[::-1][:5]
        signed = wire.sent[-1].headers["webhook-signature"].split(" ")
        message = delivery.Message("", "", in_use, wire.sent[-1].headers["webhook-id"], wire.sent[-1].body.decode())
        assert signed == delivery.headers(message, now)["webhook-signature"].split(" ")
        assert len(signed) == min(number + 2, 5)
    assert takes(secrets[-5], wire.sent[-1])
    assert not takes(secrets[-6], wire.sent[-1])


@pytest.mark.parametrize("passed", [OVERLAP, 2 * OVERLAP])
def test_expired_secrets_are_dropped(database: Database, passed: dt.timedelta) -> None:
    """A rotation forgets the secrets that are no longer in use."""
    webhook, now = subscribe(database), dt.datetime.now(dt.UTC)
    second = rotate(database, webhook.id, now - passed)
    rotate(database, webhook.id, now)
    assert list(every(database)[0].previous_secrets) == [second]
