"""What a message says, and how it is signed."""

import base64
import datetime as dt
import hashlib
import hmac
import itertools
import json
import re
from dataclasses import replace

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from api.db.database import Database
from api.schema.fields import instant
from api.webhooks import delivery
from tests.support.webhooks import URL, change, deliver, receiving, subscribe


def test_a_message(database: Database) -> None:
    """A message says what has changed up to which version, and is signed so that its receiver's own library takes it."""
    with receiving() as receiver:
        webhook = subscribe(database, receiver.url)
        version = change(database, "initiatives", "cities")
        # The verifier refuses a time that is long ago or to come.
        sent = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
        assert deliver(database, loopback=True, clock=lambda: sent) == 1
    (got,) = receiver.got
    said = f'{{"type":"dataset.changed","timestamp":"{instant(sent)}","data":{{"version":{version},"kinds":["cities","initiatives"]}}}}'
    assert got.body == said.encode()
    id, moment = got.headers["webhook-id"], got.headers["webhook-timestamp"]
    assert re.fullmatch("msg_[A-Za-z0-9_-]{22}", id)
    assert moment == str(int(sent.timestamp()))
    assert (got.url, got.headers) == (
        "/hook?a=b",
        {
            "Host": f"127.0.0.1:{receiver.server_port}",
            "Accept-Encoding": "identity",
            "Content-Length": str(len(got.body)),
            "Content-Type": "application/json",
            "User-Agent": "digital-cities-api",
            "webhook-id": id,
            "webhook-timestamp": moment,
            "webhook-signature": signature(webhook.secret, id, moment, got.body),
        },
    )
    assert Verifier(webhook.secret).verify(got.body, got.headers) == json.loads(said)


def signature(secret: str, id: str, moment: str, body: bytes) -> str:
    """Sign as the specification says, without anybody's help."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, f"{id}.{moment}.".encode() + body, hashlib.sha256)).decode()


REFERENCE = delivery.Message(
    webhook="wh-1",
    url=URL,
    secrets=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
    id="msg_p5jXN8AQM9LWM0D4loKWxJek",
    body='{"test": 2432232314}',
)


def test_signatures() -> None:
    """The signature is the one of the specification's own libraries for their example, and of an independent computation."""
    moment = dt.datetime.fromtimestamp(1614265330, dt.UTC)
    expected = {
        "Content-Type": "application/json",
        "User-Agent": "digital-cities-api",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert (
        delivery.headers(REFERENCE, moment) == delivery.headers(REFERENCE, moment + dt.timedelta(milliseconds=999)) == expected
    )
    for secret, body in itertools.product((bytes(24), bytes(range(64))), ("", "{}", '{"a":"ä"}')):
        message = replace(REFERENCE, secrets=["whsec_" + base64.b64encode(secret).decode()], body=body)
        signed = delivery.headers(message, moment)["webhook-signature"]
        assert signed == signature(message.secrets[0], message.id, "1614265330", body.encode())


@pytest.mark.parametrize("changed", [None, "body", "id", "timestamp", "secret", "before", "later"])
def test_what_is_not_ours_is_not_taken(changed: str | None) -> None:
    """Where the body, the id, the time or the secret is another, or the time is past or to come, the message is not taken."""
    moment = dt.datetime.now(dt.UTC)
    moment += {"before": -dt.timedelta(seconds=302), "later": dt.timedelta(seconds=302)}.get(changed or "", dt.timedelta())
    sent, body, secret = delivery.headers(REFERENCE, moment), REFERENCE.body, REFERENCE.secrets[0]
    if changed == "id":
        sent["webhook-id"] += "x"
    elif changed == "timestamp":
        sent["webhook-timestamp"] = str(int(sent["webhook-timestamp"]) + 1)
    elif changed == "body":
        body = body.replace("4", "5")
    elif changed == "secret":
        secret = secret.replace("M", "N")
    if changed is None:
        # The control.
        assert Verifier(secret).verify(body, sent) == {"test": 2432232314}
    else:
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(body, sent)
