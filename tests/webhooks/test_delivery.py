"""Webhooks: who is told, what a message says, when it is sent again, and where it never goes."""

import base64
import datetime as dt
import hashlib
import hmac
import itertools
import json
import logging
import random
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sqlalchemy import Select, text
from sqlalchemy.exc import OperationalError
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from api.cli import webhooks as webhook_commands
from api.db.database import Database
from api.endpoints import webhooks
from api.schema.fields import instant
from api.settings import Settings
from api.web.problem_types import PROBLEMS
from api.webhooks import delivery, outbound, subscriptions
from api.webhooks.subscriptions import Webhook, WebhookState
from tests.support.answers import brief, problem
from tests.support.applications import curating, serving
from tests.support.databases import Store, head, opened, publishing
from tests.support.processes import FLASK, PIPED, at_once, environment, unused_port, wait_until
from tests.support.receivers import LOOPBACK_FORMS, NEVER, PUBLIC, listening, told

Json = dict[str, Any]
URL = "https://example.org/hook"
NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
# The specification's table: how long after the first attempt each is made.
ATTEMPTS = [
    "00:00:00",
    "00:00:05",
    "00:05:05",
    "00:35:05",
    "02:35:05",
    "07:35:05",
    "17:35:05",
    "31:35:05",
    "51:35:05",
    "75:35:05",
]
FORM = "An address has the form https://host:port/path, where the port may be left out, with no user name and no fragment."
PLAIN = "An address begins with https://, since what is sent over http:// can be read on the way."
NOT_PUBLIC = "The host of this address is not on the public internet."
COUNT = itertools.count()


@pytest.fixture(scope="module")
def shared(store: Store, migrated: Settings) -> Settings:
    """A migrated database of these tests' own."""
    return store.copy(migrated)


@pytest.fixture
def settings(shared: Settings) -> Settings:
    """The same for each test, with nobody to tell: to copy one would take longer than most of these tests."""
    with opened(shared) as database, database.writing() as session:
        for table in ("webhooks", "api_keys"):
            session.execute(text(f"delete from {table}"))
    return shared


def after(**passed: float) -> dt.datetime:
    """Return a moment after the beginning."""
    return NOW + dt.timedelta(**passed)


def change(database: Database, *kinds: str) -> int:
    """Commit a change of a record of each noun, of a city by default; returns the version that the dataset is at."""
    with publishing(database) as session:
        for kind in kinds or ["cities"]:
            statement = f"update {kind} set summary = :summary where id = (select min(id) from {kind})"
            session.execute(text(statement), {"summary": f"Number {next(COUNT)}."})
    return head(database)


def subscribe(database: Database, url: str = URL) -> Webhook:
    """Add a receiver, as its owner does."""
    with database.writing() as session:
        return subscriptions.subscribe(session, url, now=NOW)


def every(database: Database) -> list[Webhook]:
    """Return all receivers as they are now."""
    with database.reading() as session:
        return list(subscriptions.every(session))


def resume(database: Database, id: str) -> None:
    """Tell a receiver again, as its owner does."""
    with database.writing() as session:
        assert subscriptions.resume(session, id)


@dataclass(frozen=True)
class Attempt:
    """What a receiver was sent."""

    url: str
    body: bytes
    headers: dict[str, str]

    @property
    def message(self) -> tuple[str, bytes]:
        """What stays the same when it is sent again."""
        return self.headers["webhook-id"], self.body

    @property
    def data(self) -> Json:
        """What the message says."""
        data: Json = json.loads(self.body)["data"]
        return data


class Wire:
    """Stands for the network and all receivers: keeps what is sent, and answers what it is told to."""

    def __init__(self, outcome: int | BaseException = 204) -> None:
        """Answer with a status, or raise what goes wrong."""
        self.outcome = outcome
        self.sent: list[Attempt] = []
        # What a test lets happen while a message is on its way.
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, url: str, body: bytes, headers: dict[str, str], **_: Any) -> int:
        """Take a message."""
        self.sent.append(Attempt(url, body, headers))
        self.meanwhile()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def deliver(self, database: Database, now: dt.datetime = NOW) -> int:
        """Send over it what is due at a moment."""
        return delivery.deliver(database, loopback=False, clock=lambda: now, post=self)


class Receiver(HTTPServer):
    """A receiver on this machine: keeps what it is sent, and does with it what it is told to."""

    def __init__(self, port: int = 0) -> None:
        """Listen."""
        super().__init__(("127.0.0.1", port), Handler)
        self.got: list[Attempt] = []
        self.behave: Callable[[Handler], None] = status(204)
        self.url = f"http://127.0.0.1:{self.server_port}/hook?a=b"


class Handler(BaseHTTPRequestHandler):
    """Takes a request for a receiver."""

    server: Receiver

    def do_POST(self) -> None:
        """Keep the request, and answer; whoever was killed takes no answer."""
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        # Whoever is killed while it sends has said nothing.
        if len(body) < length:
            return
        self.server.got.append(Attempt(self.path, body, dict(self.headers)))
        with suppress(OSError):
            self.server.behave(self)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def status(number: int, **headers: str) -> Callable[[Handler], None]:
    """Answer with a status."""

    def behave(handler: Handler) -> None:
        handler.send_response(number)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return behave


def noise(handler: Handler) -> None:
    """Answer with what is not HTTP."""
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


def hold(end: threading.Event, handler: Handler) -> None:
    """Answer when something has happened."""
    end.wait(30)
    status(204)(handler)


def silence(_: Handler) -> None:
    """Close the connection, and say nothing."""


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Let a receiver take what it is sent."""
    with Receiver(port) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join(30)


# --- over HTTP


@pytest.fixture
def admin(own_client: FlaskClient, database: Database) -> FlaskClient:
    """Asks with a key that may make webhooks."""
    return curating(own_client, database, "admin", name="admin")


@pytest.fixture(scope="module")
def office(store: Store, migrated: Settings) -> Iterator[FlaskClient]:
    """The same, where nothing is made."""
    with serving(replace(store.copy(migrated), write_limit="1000000/minute")) as app:
        yield curating(app.test_client(), app.extensions["database"], "admin")


def refusal(name: str, path: str, detail: str, *errors: Json) -> Json:
    """Return the whole body of a problem, except for its number."""
    row = PROBLEMS[name]
    head = {"type": f"http://localhost/problems/{name}", "title": row.title, "status": row.status, "detail": detail}
    return {**head, "instance": path, "errors": list(errors)}


def numberless(body: Json) -> Json:
    """Leave out the number of a request."""
    return {name: value for name, value in body.items() if name != "request_id"}


def test_a_webhook_from_its_beginning_to_its_end(admin: FlaskClient, database: Database) -> None:
    """A webhook is made, told, listed and removed, and each answer says how it stands."""
    made, begun = admin.post("/webhooks", json={"url": URL}), head(database)
    webhook, secret = made.get_json()["data"], made.get_json()["secret"]
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    assert made.get_json() == {
        "data": {
            "id": webhook["id"],
            "url": URL,
            "state": "active",
            "told": begun,
            "created_at": webhook["created_at"],
            "attempts": 0,
            "next_attempt_at": None,
            "last_attempt_at": None,
            "last_outcome": None,
        },
        "secret": secret,
    }
    assert re.fullmatch("wh-[0-9a-f]{16}", webhook["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", webhook["created_at"])
    # The specification wants 24 to 64 bytes.
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert admin.get("/webhooks").get_json() == {"data": [webhook]}
    version = change(database)
    Wire(500).deliver(database)
    tried = {"attempts": 1, "last_attempt_at": instant(NOW), "last_outcome": "status 500"}
    (shown,) = admin.get("/webhooks").get_json()["data"]
    assert shown == {**webhook, **tried, "next_attempt_at": shown["next_attempt_at"]}
    Wire(204).deliver(database, after(seconds=10))
    passed = {"told": version, "last_attempt_at": instant(after(seconds=10)), "last_outcome": "status 204"}
    assert admin.get("/webhooks").get_json() == {"data": [{**webhook, **passed}]}
    gone = admin.delete(f"/webhooks/{webhook['id']}")
    assert (gone.status_code, gone.get_data(), gone.headers["Cache-Control"]) == (204, b"", "no-store")
    assert admin.get("/webhooks").get_json() == {"data": []}
    change(database)
    assert Wire().deliver(database, after(days=9)) == 0


def test_resumed_over_http(admin: FlaskClient, database: Database) -> None:
    """A webhook that is paused is told again when its owner asks for it, and one that is active stays as it is."""
    id = admin.post("/webhooks", json={"url": URL}).get_json()["data"]["id"]
    change(database)
    Wire(410).deliver(database)
    (paused,) = admin.get("/webhooks").get_json()["data"]
    assert {**paused, "id": id, "state": "paused", "attempts": 1, "last_outcome": "status 410"} == paused
    answer = admin.post(f"/webhooks/{id}/resume")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.get_json() == {"data": {**paused, "state": "active", "attempts": 0}}
    Wire(500).deliver(database)
    (waiting,) = admin.get("/webhooks").get_json()["data"]
    assert admin.post(f"/webhooks/{id}/resume").get_json() == {"data": waiting}
    assert waiting["next_attempt_at"] is not None


def test_many_are_listed(admin: FlaskClient) -> None:
    """All webhooks are listed, the oldest first; one address can have two, each with a secret of its own."""
    made = [admin.post("/webhooks", json={"url": URL}).get_json() for _ in range(4)]
    assert admin.get("/webhooks").get_json() == {"data": [row["data"] for row in made]}
    assert len({row["secret"] for row in made}) == len({row["data"]["id"] for row in made}) == 4


def test_a_secret_is_told_once(admin: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The secret is in the first answer, and in no later one, no message and no log, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    made = admin.post("/webhooks", json={"url": URL}).get_json()
    id, secret = made["data"]["id"], made["secret"].removeprefix("whsec_")
    wire = Wire(410)
    answers = []
    for _ in range(2):
        change(database)
        wire.deliver(database)
        answers += [admin.get("/webhooks"), admin.post(f"/webhooks/{id}/resume"), admin.post("/webhooks", json={"url": secret})]
    answers += [admin.delete(f"/webhooks/{id}"), admin.delete(f"/webhooks/{id}"), admin.get("/changes"), admin.get("/snapshot")]
    assert [answer.status_code for answer in answers] == [200, 200, 422, 200, 200, 422, 204, 404, 200, 200]
    assert [answer for answer in answers if secret in answer.get_data(as_text=True) + str(answer.headers)] == []
    assert [attempt for attempt in wire.sent if secret in f"{attempt}"] == []
    assert secret not in caplog.text
    assert len(wire.sent) == 2


def test_only_with_admin(own_client: FlaskClient, database: Database) -> None:
    """Without a key each operation is a 401, and with one that may write a 403 that says what is missing; nothing is done."""
    webhook = subscribe(database)
    change(database)
    Wire(410).deliver(database)
    before = own_client.get("/changes?since=0").get_json()["head"]
    paths = [("GET", "/webhooks"), ("POST", "/webhooks")]
    for id in (webhook.id, "wh-none"):
        paths += [("DELETE", f"/webhooks/{id}"), ("POST", f"/webhooks/{id}/resume")]

    def ask(method: str, path: str) -> Json:
        return numberless(problem(own_client.open(path, method=method, json={"url": URL} if path == "/webhooks" else None)))

    detail = "This needs a key: send it as `Authorization: Bearer KEY`."
    item: Json = {"parameter": "Authorization", "code": "unauthorized", "detail": detail}
    for method, path in paths:
        assert ask(method, path) == refusal("unauthorized", path, detail, item)
    curating(own_client, database)
    detail = "The key `curator` has the scopes `write`; this needs `admin`."
    item = {"parameter": "Authorization", "code": "missing-scope", "detail": detail, "allowed": ["admin"]}
    for method, path in paths:
        assert ask(method, path) == refusal("forbidden", path, detail, item)
    assert [(row.id, row.state) for row in every(database)] == [(webhook.id, WebhookState.PAUSED)]
    assert own_client.get("/changes?since=0").get_json()["head"] == before


def wrong_url(detail: str) -> Json:
    """Return the item for an address that is none."""
    allowed = {"format": "uri", "pattern": "^https://"}
    return {"pointer": "/url", "code": "invalid-value", "detail": f"`url`: {detail}", "allowed": allowed}


MISSING = {**wrong_url(""), "code": "missing", "detail": "`url` is missing."}


def unknown(name: str, pointer: str, suggestion: str | None = None) -> Json:
    """Return the item for a member that is none."""
    item: Json = {"pointer": pointer, "code": "unknown-member", "detail": f"`{name}` is not a member here.", "allowed": ["url"]}
    meant = {"detail": f"`{name}` is not a member here; did you mean `{suggestion}`?", "suggestion": suggestion}
    return item | (meant if suggestion else {})


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        *(
            (body, [{"pointer": "", "code": "invalid-value", "detail": "The body is an object."}])
            for body in ([], [URL], "x", 5, None, True)
        ),
        ({}, [MISSING]),
        ({"url": None}, [wrong_url("Field may not be null.")]),
        *(({"url": url}, [wrong_url("Not a valid string.")]) for url in (5, [URL], {"href": URL}, True)),
        ({"url": ""}, [wrong_url(FORM)]),
        ({"ulr": URL}, [unknown("ulr", "/ulr", "url"), MISSING]),
        ({"url": URL, "URL": URL}, [unknown("URL", "/URL", "url")]),
        ({"url": URL, "secret": "whsec_x"}, [unknown("secret", "/secret")]),
        ({"url": URL, "a/b~": 1}, [unknown("a/b~", "/a~1b~0")]),
        *(({"url": f"http://{host}/hook"}, [wrong_url(PLAIN)]) for host in ("example.org", "localhost", "127.1:80", "[::1]")),
        ({"url": "ftp://example.org/hook"}, [wrong_url(FORM)]),
        ({"url": "https://example.org"}, [wrong_url(FORM)]),
        ({"url": "https://me:word@example.org/"}, [wrong_url(FORM)]),
        ({"url": "https://example.org/#part"}, [wrong_url(FORM)]),
        ({"url": "https://example.org:0/"}, [wrong_url("A port is a number from 1 to 65535.")]),
        ({"url": "https://example.org/a b"}, [wrong_url("An address has printable ASCII characters only, and no spaces.")]),
        ({"url": "https://example.org/" + "a" * 1981}, [wrong_url("An address has at most 2000 characters.")]),
    ],
    ids=lambda value: json.dumps(value)[:40] if not isinstance(value, list) or value[:1] == [URL] else "",
)
def test_webhooks_that_are_none(office: FlaskClient, body: Any, errors: list[Json]) -> None:
    """What is no receiver is a 422 that says where and why, and what was probably meant; nothing is made."""
    answer = office.post("/webhooks", data=json.dumps(body), content_type="application/json")
    detail = " ".join(item["detail"] for item in errors)
    assert numberless(problem(answer)) == refusal("invalid-body", "/webhooks", detail, *errors)
    assert office.get("/webhooks").get_json() == {"data": []}


def test_more_unknown_members(office: FlaskClient) -> None:
    """Several unknown members are named in the order in which they were sent."""
    names = [f"m{number}" for number in range(8)]
    errors = brief(office.post("/webhooks", json={**dict.fromkeys(names), "url": URL}))[2]
    assert [item["pointer"] for item in errors] == [f"/{name}" for name in names]


def test_requests_that_are_none(office: FlaskClient) -> None:
    """What is wrong with a request, and an id that is none, is refused as everywhere else; nothing is made."""
    detail = "No webhook has that id; `/webhooks` lists all of them."
    item = {"parameter": "id", "code": "unknown-id", "detail": detail}
    for method, path in (("DELETE", "/webhooks/wh-none"), ("POST", "/webhooks/wh-none/resume")):
        assert numberless(problem(office.open(path, method=method))) == refusal("record-not-found", path, detail, item)
    refused = [
        office.post("/webhooks?x=1", json={"url": URL}),
        office.post("/webhooks", data="{", content_type="application/json"),
        office.post("/webhooks", data=URL, content_type="text/plain"),
        office.post("/webhooks", json={"url": URL}, headers={"Accept": "text/csv"}),
        office.post("/webhooks", data=b"{" + b" " * 1_000_001, content_type="application/json"),
        office.put("/webhooks", json={"url": URL}),
    ]
    assert [brief(answer)[:2] for answer in refused] == [
        (400, "invalid-query"),
        (400, "invalid-json"),
        (415, "unsupported-media-type"),
        (406, "not-acceptable"),
        (413, "content-too-large"),
        (405, "method-not-allowed"),
    ]
    assert office.get("/webhooks").get_json() == {"data": []}


# --- what a message is


def test_a_message(database: Database) -> None:
    """A message says what has changed up to which version, and is signed so that its receiver's own library takes it."""
    with receiving() as receiver:
        webhook = subscribe(database, receiver.url)
        version = change(database, "initiatives", "cities")
        # The verifier refuses a time that is long ago or to come.
        sent = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
        assert delivery.deliver(database, loopback=True, clock=lambda: sent) == 1
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
    secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  # noqa: S106 - the specification's own
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
        message = replace(REFERENCE, secret="whsec_" + base64.b64encode(secret).decode(), body=body)
        signed = delivery.headers(message, moment)["webhook-signature"]
        assert signed == signature(message.secret, message.id, "1614265330", body.encode())


@pytest.mark.parametrize("changed", [None, "body", "id", "timestamp", "secret", "before", "later"])
def test_what_is_not_ours_is_not_taken(changed: str | None) -> None:
    """Where the body, the id, the time or the secret is another, or the time is past or to come, the message is not taken."""
    moment = dt.datetime.now(dt.UTC)
    moment += {"before": -dt.timedelta(seconds=302), "later": dt.timedelta(seconds=302)}.get(changed or "", dt.timedelta())
    sent, body, secret = delivery.headers(REFERENCE, moment), REFERENCE.body, REFERENCE.secret
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


# --- one message at a time


def test_nothing_new_is_nothing_sent(database: Database) -> None:
    """A receiver is told of nothing from before it was added, nor of what it knows, nor of a commit that changed nothing."""
    wire = Wire()
    change(database)
    subscribe(database)
    assert wire.deliver(database, after(days=1)) == 0
    change(database)
    assert wire.deliver(database, after(days=1)) == 1
    with publishing(database) as session:
        session.execute(text("update cities set summary = summary"))
    assert wire.deliver(database, after(days=9)) == 0
    assert len(wire.sent) == 1


def test_many_commits_are_one_message(database: Database) -> None:
    """Whatever number of commits there were, there is one message, of all the nouns that they changed."""
    wire = Wire()
    begun = subscribe(database).told
    for kind in ("initiatives", "cities", "cities", "initiatives"):
        version = change(database, kind)
    assert wire.deliver(database) == 1
    assert wire.deliver(database, after(days=1)) == 0
    assert [attempt.data for attempt in wire.sent] == [{"version": version, "kinds": ["cities", "initiatives"]}]
    assert version == begun + 4


@pytest.mark.parametrize("outcome", [204, 500, OSError()], ids=["taken", "refused", "lost"])
def test_what_changes_meanwhile_is_in_the_next(database: Database, outcome: int | OSError) -> None:
    """What changes while a message is on its way or waits is in the next: the first is sent to its end, and there are never two."""
    wire = Wire(outcome)
    subscribe(database)
    first = change(database)
    wire.meanwhile = lambda: change(database, "initiatives")
    assert wire.deliver(database) == 1
    wire.meanwhile = lambda: None
    if outcome != 204:
        change(database, "initiatives")
        assert wire.deliver(database, after(seconds=3.9)) == 0
        wire.outcome = 204
        assert wire.deliver(database, after(seconds=6)) == 1
    last = head(database)
    assert wire.deliver(database, after(seconds=6)) == 1
    assert wire.deliver(database, after(days=1)) == 0
    *before, after_all = wire.sent
    assert {attempt.message for attempt in before} == {before[0].message}
    assert [attempt.data for attempt in before] == [{"version": first, "kinds": ["cities"]}] * len(before)
    assert after_all.data == {"version": last, "kinds": ["initiatives"]}
    assert after_all.message[0] != before[0].message[0]


def test_removed_while_it_is_told(database: Database) -> None:
    """A receiver that is removed while a message is on its way stays removed, and nobody minds."""
    for outcome in (204, 500, 410, OSError()):
        id, wire = subscribe(database).id, Wire(outcome)
        wire.meanwhile = partial(remove, database, id)
        change(database)
        assert wire.deliver(database) == 1
        assert every(database) == []
        assert wire.deliver(database, after(days=9)) == 0


def remove(database: Database, id: str) -> None:
    """Remove a receiver, as its owner does."""
    with database.writing() as session:
        session.delete(session.get_one(Webhook, id))


# --- what goes wrong


def test_told_when_it_is_back(database: Database) -> None:
    """Whatever kept a receiver from being told, it is told when it is back: the same message, signed at that moment."""
    # The verifier refuses a time that is long ago or to come.
    moments = [dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)]
    moments.append(moments[0] + dt.timedelta(seconds=6))
    back, port = threading.Event(), unused_port()
    with ExitStack() as stack:
        elsewhere = stack.enter_context(listening())
        faults: dict[str, Callable[[Handler], None]] = {
            "status 302": status(302, Location=f"http://127.0.0.1:{elsewhere.port}/"),
            "status 404": status(404),
            "status 429": status(429),
            "status 500": status(500),
            "no valid answer": noise,
            "no valid answer ": silence,
            "no answer in time": partial(hold, back),
        }
        receivers = {said: stack.enter_context(receiving()) for said in faults}
        stack.callback(back.set)
        urls = {receiver.url: said for said, receiver in receivers.items()}
        urls[f"http://127.0.0.1:{port}/hook?a=b"] = "connection refused"
        secrets = {url: subscribe(database, url).secret for url in urls}
        for said, receiver in receivers.items():
            receiver.behave = faults[said]

        def post(url: str, body: bytes, headers: dict[str, str], *, loopback: bool) -> int:
            return outbound.post(url, body, headers, loopback=loopback, timeout=0.3 if urls[url] == "no answer in time" else 20)

        begun, first = head(database), change(database)
        assert delivery.deliver(database, loopback=True, clock=lambda: moments[0], post=post) == len(urls)
        tried = {row.url: row for row in every(database)}
        assert {url: row.last_outcome for url, row in tried.items()} == {url: said.strip() for url, said in urls.items()}
        assert {(row.state, row.attempts, row.told, row.last_attempt_at) for row in tried.values()} == {
            (WebhookState.ACTIVE, 1, begun, moments[0])
        }
        assert elsewhere.untouched()
        back.set()
        for receiver in receivers.values():
            receiver.behave = status(204)
        receivers["closed"] = stack.enter_context(receiving(port))
        second = change(database)
        assert delivery.deliver(database, loopback=True, clock=lambda: moments[1], post=post) == len(urls)
        for receiver in receivers.values():
            said = tried[receiver.url].message_body or ""
            messages = [attempt.message for attempt in receiver.got]
            assert messages == [(tried[receiver.url].message, said.encode())] * (1 if receiver is receivers["closed"] else 2)
            for attempt, moment in zip(receiver.got[::-1], moments[::-1], strict=False):
                assert attempt.headers["webhook-timestamp"] == str(int(moment.timestamp()))
                assert Verifier(secrets[receiver.url]).verify(attempt.body, attempt.headers) == json.loads(said)
        assert {(row.attempts, row.told, row.last_outcome) for row in every(database)} == {(0, first, "status 204")}
        assert delivery.deliver(database, loopback=True, clock=lambda: moments[1], post=post) == len(urls)
        assert {row.told for row in every(database)} == {second}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ssl.SSLCertVerificationError("self-signed certificate"), "no secure connection"),
        (ConnectionResetError(), "no connection"),
        (RuntimeError("can't start new thread"), "not sent"),
    ],
)
def test_what_is_said_of_it(database: Database, fault: Exception, said: str) -> None:
    """What went wrong is said in words, and shows nothing of ours."""
    subscribe(database)
    change(database)
    Wire(fault).deliver(database)
    assert [row.last_outcome for row in every(database)] == [said]


def test_success(database: Database) -> None:
    """Every status of success is one, and no other."""
    wire = Wire()
    begun = subscribe(database).told
    for number in (200, 201, 202, 204, 299):
        wire.outcome, begun = number, change(database)
        assert wire.deliver(database) == 1
        assert [(row.told, row.message, row.attempts, row.due_at) for row in every(database)] == [(begun, None, 0, None)]
    change(database)
    for turn, number in enumerate((100, 199, 300, 304, 400, 503, 599), 1):
        wire.outcome = number
        assert wire.deliver(database, after(days=2 * turn)) == 1
        assert [(row.told, row.attempts, row.last_outcome) for row in every(database)] == [(begun, turn, f"status {number}")]


def test_gone(database: Database) -> None:
    """A receiver that answers 410 is told no more, until its owner asks for it: then of all that has changed, by a new message."""
    wire = Wire(410)
    webhook = subscribe(database)
    change(database)
    assert wire.deliver(database) == 1
    last = change(database, "initiatives")
    assert wire.deliver(database, after(days=30)) == 0
    (paused,) = every(database)
    assert (paused.state, paused.due_at, paused.told) == (WebhookState.PAUSED, None, webhook.told)
    wire.outcome = 204
    resume(database, webhook.id)
    assert wire.deliver(database, after(days=30)) == 1
    first, second = wire.sent
    assert second.data == {"version": last, "kinds": ["cities", "initiatives"]}
    assert second.message[0] != first.message[0]
    assert wire.deliver(database, after(days=60)) == 0


def test_a_name_that_changes_its_meaning(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was public at first and is this machine's when it is tried again is refused, and nothing connects."""
    connect, went = socket.create_connection, []

    def out(address: tuple[str, int], timeout: float) -> socket.socket:
        """Let nothing leave this machine."""
        went.append(address)
        if address[0] == PUBLIC:
            raise ConnectionRefusedError
        return connect(address, timeout)

    monkeypatch.setattr("socket.create_connection", out)
    answers = {"rebinding.example": [PUBLIC, "127.0.0.1", "127.0.0.1"], "mixed.example": [PUBLIC, PUBLIC, PUBLIC]}

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        if host not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        address = answers[host].pop(0)
        return told(address, *["10.0.0.1"] * (host == "mixed.example"))(host, port)

    def outcomes(now: dt.datetime, *, loopback: bool = False) -> Json:
        assert (
            delivery.deliver(
                database, loopback=loopback, clock=lambda: now, post=partial(outbound.post, resolve=resolve, timeout=0.5)
            )
            == 3
        )
        return {row.url.partition(".")[0]: row.last_outcome for row in every(database)}

    with listening() as receiver:
        for name in ("rebinding", "mixed", "unknown"):
            subscribe(database, f"https://{name}.example:{receiver.port}/")
        change(database)
        others = {"https://mixed": NOT_PUBLIC, "https://unknown": "no such host"}
        assert outcomes(NOW) == {"https://rebinding": "connection refused", **others}
        assert outcomes(after(seconds=6)) == {"https://rebinding": NOT_PUBLIC, **others}
        assert receiver.untouched()
        assert went == [(PUBLIC, receiver.port)]
        # The control: where loopback is allowed, there is somebody to connect to.
        assert outcomes(after(hours=1), loopback=True) == {"https://rebinding": "no answer in time", **others}
        assert not receiver.untouched()


# --- where nothing goes

# Not every system's resolver takes a name with a dot at its end.
LOOPBACK = [*(host for host in LOOPBACK_FORMS if not host.endswith(".")), "[::1]", "[0:0:0:0:0:0:0:1]"]
PRIVATE = [
    *NEVER,
    *["10.0.0.1", "0xa.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "0xa9fea9fe", "2852039166"],
    *["168.63.129.16", "224.0.0.1", "255.255.255.255", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]"],
    *["[::ffff:10.0.0.1]", "[::ffff:0:7f00:1]", "[2002:a9fe:a9fe::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]"],
    *["[fec0::1]", "[ff02::1]", "[2001:db8::1]"],
]


@contextmanager
def loopback() -> Iterator[tuple[int, Callable[[], bool]]]:
    """Listen on one port of 127.0.0.1 and of ::1, if there is one; gives the port, and tells whether nobody has connected."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0)))]
        port: int = listeners[0].getsockname()[1]
        with suppress(OSError):
            listeners.append(stack.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6)))
        yield port, lambda: select.select(listeners, [], [], 0) == ([], [], [])


@pytest.mark.parametrize("host", [host for host in [*LOOPBACK, *PRIVATE] if "localhost" not in host.lower()])
def test_private_addresses_are_no_receivers(office: FlaskClient, host: str) -> None:
    """However an address is written that is not public, it can't be a receiver's; nothing is made, and nothing connects."""
    with loopback() as (port, untouched):
        answer = office.post("/webhooks", json={"url": f"https://{host}:{port}/"})
        assert numberless(problem(answer)) == refusal(
            "invalid-body", "/webhooks", f"`url`: {NOT_PUBLIC}", wrong_url(NOT_PUBLIC)
        )
        assert untouched()
    assert office.get("/webhooks").get_json() == {"data": []}


def test_nothing_goes_to_private_addresses(database: Database) -> None:
    """Had such an address, or a name that means one, become a receiver's all the same, then nothing would be sent to it."""
    with loopback() as (port, untouched):
        ours = [f"https://{host}:{port}/" for host in LOOPBACK]
        others = [f"https://{host}:{port}/" for host in PRIVATE[::4]]
        plain = [f"http://{host}:{port}/" for host in LOOPBACK]
        with database.writing() as session:
            for url in (*ours, *others, *plain):
                subscriptions.subscribe(session, url)
        change(database)
        refused = dict.fromkeys([*ours, *others], NOT_PUBLIC) | dict.fromkeys(plain, PLAIN)
        assert delivery.deliver(database, loopback=False, clock=lambda: NOW) == len(refused)
        assert {row.url: row.last_outcome for row in every(database)} == refused
        assert untouched()
        # The control: with loopback, this machine's own are connected to, where nobody answers; the others still are not.
        post = partial(outbound.post, timeout=0.1)
        assert delivery.deliver(database, loopback=True, clock=lambda: after(seconds=6), post=post) == len(refused)
        said = {row.url: row.last_outcome for row in every(database)}
        assert {url: said[url] for url in others} == dict.fromkeys(others, NOT_PUBLIC)
        assert {said[url] for url in (*ours, *plain)} & {NOT_PUBLIC, PLAIN} == set()
        assert not untouched()


# --- when it is sent again


def test_schedule(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance aside, attempts are made when the specification's table says, and not sooner; after the last, the webhook is paused."""
    monkeypatch.setattr(random, "uniform", lambda _low, _high: 0.0)
    wire = Wire(500)
    webhook = subscribe(database)
    version = change(database)
    moments = [
        NOW + dt.timedelta(**dict(zip(("hours", "minutes", "seconds"), map(int, row.split(":")), strict=True)))
        for row in ATTEMPTS
    ]
    for number, (moment, following) in enumerate(zip(moments, [*moments[1:], None], strict=True), 1):
        if moment > NOW:
            assert wire.deliver(database, moment - dt.timedelta(microseconds=1)) == 0
        assert wire.deliver(database, moment) == 1
        (row,) = every(database)
        state = WebhookState.ACTIVE if following else WebhookState.PAUSED
        assert (row.state, row.attempts, row.due_at, row.last_attempt_at) == (state, number, following, moment)
    last = change(database)
    assert wire.deliver(database, after(days=365)) == 0
    assert {attempt.message for attempt in wire.sent} == {wire.sent[0].message}
    assert [attempt.data["version"] for attempt in wire.sent] == [version] * len(ATTEMPTS)
    resume(database, webhook.id)
    wire.outcome = 204
    assert wire.deliver(database, after(days=365)) == 1
    assert wire.sent[-1].data == {"version": last, "kinds": ["cities"]}
    assert wire.sent[-1].message[0] != wire.sent[0].message[0]
    assert [(row.state, row.told, row.attempts) for row in every(database)] == [(WebhookState.ACTIVE, last, 0)]


def test_chance(database: Database) -> None:
    """Each delay is longer or shorter by a fifth at most, so that not all come back at once."""
    random.seed(1)
    now, shares = NOW, []
    for _ in range(4):
        subscribe(database)
    change(database)
    delays = [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    for delay in delays[1:]:
        assert Wire(500).deliver(database, now) == 4
        shares += [(row.due_at - now).total_seconds() / delay for row in every(database) if row.due_at]
        now += dt.timedelta(days=2)
    assert len(shares) == len(set(shares)) == 36
    assert 0.8 <= round(min(shares), 6) < 0.9
    assert 1.1 < round(max(shares), 6) <= 1.2


class Killed(BaseException):
    """Stands for a sender that ends while a message is on its way: nothing of it is noted."""


@dataclass(frozen=True)
class Step:
    """What happens next."""

    what: str
    outcome: int | BaseException = 204
    passed: dt.timedelta = dt.timedelta()
    other: int | BaseException = 204


OUTCOMES: list[int | BaseException] = [204, 500, 302, 410, OSError(), outbound.Refused("No."), Killed()]
PASSED = [
    dt.timedelta(seconds=1),
    dt.timedelta(seconds=6),
    dt.timedelta(minutes=3),
    dt.timedelta(hours=1),
    dt.timedelta(days=2),
]
STEPS = st.one_of(
    st.builds(Step, st.sampled_from(["change", "resume"])),
    st.builds(Step, st.just("wait"), passed=st.sampled_from(PASSED)),
    st.builds(Step, st.sampled_from(["deliver", "deliver a change"]), st.sampled_from(OUTCOMES)),
    # Another sender takes this one for dead, and sends the message as well.
    st.builds(Step, st.just("deliver late"), st.sampled_from(OUTCOMES), other=st.sampled_from(OUTCOMES)),
    # A failure and a day, until it is paused.
    st.builds(Step, st.just("fail"), st.sampled_from([500, OSError()])),
)


class Story:
    """One receiver, and all that may happen to it; checks after each step what must always hold."""

    def __init__(self, database: Database) -> None:
        """Begin with nothing to tell."""
        self.database, self.now = database, NOW
        with database.writing() as session:
            session.execute(text("delete from webhooks"))
        self.id = subscribe(database).id
        self.told = head(database)
        self.known = self.there().told
        self.pending: tuple[str, bytes] | None = None
        self.faults: list[str] = []

    def there(self) -> Webhook:
        """Return the receiver as it is now."""
        (webhook,) = every(self.database)
        return webhook

    def deliver(self, outcome: int | BaseException, meanwhile: Callable[[], object] = lambda: None) -> int:
        """Send what is due, and let this come of it."""

        def post(_url: str, body: bytes, headers: dict[str, str], **_: Any) -> int:
            version = json.loads(body)["data"]["version"]
            if self.pending not in {None, (headers["webhook-id"], body)}:
                self.faults.append("two messages at once")
            if version < self.told:
                self.faults.append("older than what was told")
            self.pending = headers["webhook-id"], body
            meanwhile()
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome == 204:
                self.told = version
            return outcome

        with suppress(Killed):
            return delivery.deliver(self.database, loopback=False, clock=lambda: self.now, post=post)
        return 0

    def late(self, other: int | BaseException) -> None:
        """Let another sender do the same when this one seems to be dead."""
        self.now += dt.timedelta(minutes=2)
        self.deliver(other)

    def do(self, step: Step) -> None:
        """Do one thing."""
        if step.what == "change":
            change(self.database)
        elif step.what == "resume":
            resume(self.database, self.id)
        elif step.what == "wait":
            self.now += step.passed
        elif step.what == "fail":
            self.deliver(step.outcome)
            self.now += dt.timedelta(days=2)
        else:
            happens: dict[str, Callable[[], object]] = {
                "deliver": lambda: None,
                "deliver a change": lambda: change(self.database),
                "deliver late": lambda: self.late(step.other),
            }
            self.deliver(step.outcome, happens[step.what])
        self.check()

    def check(self) -> None:
        """See what must always hold."""
        assert self.faults == []
        row = self.there()
        assert self.known <= row.told <= self.told <= head(self.database)
        self.known = row.told
        if row.message is None:
            self.pending = None
            assert row.due_at is None
            assert row.attempts == 0
        else:
            assert self.pending == (row.message, (row.message_body or "").encode())
        assert (row.due_at is None) == (row.message is None or row.state is WebhookState.PAUSED)
        assert row.attempts <= len(ATTEMPTS)

    def end(self) -> None:
        """Let the receiver be reachable at last: it is told of the newest version, once."""
        self.do(Step("resume"))
        for _ in range(2):
            self.do(Step("wait", passed=dt.timedelta(days=2)))
            self.do(Step("deliver"))
        assert self.told == self.there().told == head(self.database)
        self.do(Step("wait", passed=dt.timedelta(days=2)))
        assert self.deliver(204) == 0


def tell(database: Database, steps: list[Step]) -> None:
    """Tell a story to its end."""
    story = Story(database)
    for step in steps:
        story.do(step)
    story.end()


ANYTHING = given(steps=st.lists(STEPS, max_size=12))
FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@limits(max_examples=25, deadline=None, suppress_health_check=FIXTURE)
@ANYTHING
def test_whatever_happens(database: Database, steps: list[Step]) -> None:
    """Whatever happens in whatever order, there is one message at a time, never an older one, and in the end the newest is told."""
    tell(database, steps)


@pytest.mark.slow
@pytest.mark.campaign
@limits(max_examples=150, deadline=None, suppress_health_check=FIXTURE)
@given(steps=st.lists(STEPS, max_size=40))
def test_whatever_happens_at_length(database: Database, steps: list[Step]) -> None:
    """The same, at length."""
    tell(database, steps)


# --- many senders


@pytest.mark.parametrize("careless", [False, True])
def test_a_message_that_is_on_its_way_is_not_taken(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, *, careless: bool
) -> None:
    """What one sender is sending no other takes. The control, where nobody claims what is sent, sends it twice."""
    if careless:
        monkeypatch.setattr(delivery, "LEASE", dt.timedelta())
    wire, others = Wire(), Wire()
    subscribe(database)
    change(database)
    with opened(settings) as other:
        wire.meanwhile = lambda: others.deliver(other)
        assert wire.deliver(database) == 1
    assert [attempt.message for attempt in others.sent] == [attempt.message for attempt in wire.sent] * careless


@pytest.mark.parametrize("careless", [False, True])
def test_two_take_at_once(
    store: Store, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, *, careless: bool
) -> None:
    """What one sender is about to take no other takes, or waits for. The control, where nothing is locked, sends it twice."""
    if careless:
        monkeypatch.setattr(Select, "with_for_update", lambda statement, **_: statement)
    wire, plain, looks = Wire(), delivery._take, itertools.count()  # noqa: SLF001 - the seam between taking and committing
    others: list[Future[int]] = []
    subscribe(database)
    change(database)
    with opened(settings) as other, ThreadPoolExecutor(1) as pool:

        def take(*given: Any) -> Any:
            """Take, and let the other sender look before that is committed; SQLite lets only one of them begin."""
            taken = plain(*given)
            if next(looks) == 0:
                others.append(pool.submit(wire.deliver, other))
                assert store.dialect == "sqlite" or wait(others, timeout=20).done
            return taken

        monkeypatch.setattr(delivery, "_take", take)
        count = wire.deliver(database)
        counts = [count, others[0].result(30)]
    assert (counts, len(wire.sent)) == (([1, 1], 2) if careless and store.dialect == "postgresql" else ([1, 0], 1))


def rounds(settings: Settings, senders: int, receivers: int, count: int) -> None:
    """Let so many senders, each with its own connections, tell so many receivers again and again; some answer, some fail."""
    chance = random.Random(1)  # noqa: S311 - nothing is secret
    with ExitStack() as stack:
        databases = [stack.enter_context(opened(settings)) for _ in range(senders)]
        urls = {subscribe(databases[0], f"https://r{number}.example/").url for number in range(receivers)}
        for turn in range(count):
            version = change(databases[0])
            wire = Wire(chance.choice([204, 204, 500]))
            send = partial(wire.deliver, now=after(days=2 * turn))
            at_once(senders, lambda number, send=send: send(databases[number]))  # type: ignore[misc]  # its default gives the type
            # Who answers again after a failure gets that message, and then the next.
            sent = Counter((attempt.url, attempt.data["version"]) for attempt in wire.sent)
            assert ({url for url, _ in sent}, set(sent.values())) == (urls, {1})
        wire = Wire()
        for turn in range(2):
            wire.deliver(databases[0], after(days=2 * (count + turn)))
        assert {row.told for row in every(databases[0])} == {version}


def test_each_message_goes_out_once(settings: Settings) -> None:
    """However many senders there are, each message goes out once each time that it is due."""
    rounds(settings, senders=4, receivers=6, count=3)


@pytest.mark.slow
def test_each_message_goes_out_once_at_length(settings: Settings) -> None:
    """The same, at length."""
    rounds(settings, senders=8, receivers=30, count=30)


def test_killed_while_sending(database: Database) -> None:
    """When a sender is killed before it could note what became of a message, that one is sent again, after two minutes."""
    wire = Wire(Killed())
    subscribe(database)
    version = change(database)
    with pytest.raises(Killed):
        wire.deliver(database)
    wire.outcome = 204
    assert wire.deliver(database, after(minutes=2) - dt.timedelta(microseconds=1)) == 0
    assert wire.deliver(database, after(minutes=2)) == 1
    assert [attempt.message for attempt in wire.sent] == [wire.sent[0].message] * 2
    (webhook,) = every(database)
    assert (webhook.told, webhook.message, webhook.attempts) == (version, None, 0)


@pytest.mark.parametrize(
    ("tried", "first", "second"),
    [
        *((9, 500, 500), (9, 410, 500), (9, 500, 410), (9, 204, 500), (9, 500, 204)),
        *((1, 500, 410), (1, 204, 410), (1, 410, 204), (1, 204, 204)),
    ],
)
def test_a_sender_that_comes_back(database: Database, tried: int, first: int, second: int) -> None:
    """When a sender that was taken for dead has its outcome after another's, who is paused stays so until it is asked for."""
    wire, other = Wire(500), Wire(second)
    webhook = subscribe(database)
    version = change(database)
    wire.deliver(database)
    with database.writing() as session:
        session.execute(text(f"update webhooks set attempts = {tried}"))
    wire.outcome = first
    wire.meanwhile = lambda: other.deliver(database, after(days=1, minutes=2))
    assert wire.deliver(database, after(days=1)) == 1
    assert [attempt.message for attempt in other.sent] == [wire.sent[0].message]
    (row,) = every(database)
    assert (row.told, row.due_at) == (version if 204 in {first, second} else webhook.told, None)
    version = change(database)
    wire.outcome, wire.meanwhile = 204, lambda: None
    assert wire.deliver(database, after(days=60)) == (row.state is WebhookState.ACTIVE)
    resume(database, webhook.id)
    wire.deliver(database, after(days=60))
    assert [(row.state, row.told, row.attempts) for row in every(database)] == [(WebhookState.ACTIVE, version, 0)]


@pytest.mark.parametrize("happens", ["removed", "told"])
def test_two_note_at_once(database: Database, monkeypatch: pytest.MonkeyPatch, happens: str) -> None:
    """While a sender notes a failure, the webhook is removed, or another notes that it was told: neither is undone."""
    webhook = subscribe(database)
    version = change(database)
    noted: list[Future[None]] = []

    def note_success() -> None:
        (row,) = every(database)
        message = delivery.Message(row.id, row.url, row.secret, row.message or "", row.message_body or "")
        with database.writing() as session:
            delivery._note(session, message, 204, "status 204", NOW)  # noqa: SLF001 - half of what a sender does

    with ThreadPoolExecutor(1) as pool:

        def uniform(_low: float, _high: float) -> float:
            """Let it happen between the look and the note; it waits for the note, or is done."""
            noted.append(pool.submit(partial(remove, database, webhook.id) if happens == "removed" else note_success))
            wait(noted, timeout=0.5)
            return 0.0

        monkeypatch.setattr(random, "uniform", uniform)
        assert Wire(500).deliver(database) == 1
        noted[0].result(30)
    found = [(row.told, row.message, row.attempts, row.due_at) for row in every(database)]
    assert found == ([] if happens == "removed" else [(version, None, 0, None)])
    assert Wire().deliver(database, after(days=9)) == 0


def test_removed_twice_at_once(admin: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two requests that remove a webhook at the same moment, one finds it and the other does not, and neither is our mistake."""
    path, plain, looks = f"/webhooks/{subscribe(database).id}", webhooks.existing, itertools.count()
    others: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as pool:

        def existing(webhook: Webhook | None) -> Webhook:
            """Find it, and let the other request find it, too; or wait, if it does."""
            if next(looks) == 0:
                others.append(pool.submit(own.delete, path))
                wait(others, timeout=0.5)
            return plain(webhook)

        own = admin.application.test_client()
        own.environ_base["HTTP_AUTHORIZATION"] = admin.environ_base["HTTP_AUTHORIZATION"]
        monkeypatch.setattr(webhooks, "existing", existing)
        answers = [admin.delete(path), others[0].result(30)]
    assert sorted(answer.status_code for answer in answers) == [204, 404]


def test_a_receiver_that_is_unlike_any_other(database: Database) -> None:
    """What nobody has foreseen, at one receiver, harms no other: what became of their messages is noted."""
    urls = [subscribe(database, f"https://r{number}.example/").url for number in range(5)]
    version = change(database)
    first = min(every(database), key=lambda row: row.id).url

    def post(url: str, *_: Any, **__: Any) -> int:
        if url == first:
            raise RuntimeError("can't start new thread")
        return 204

    with suppress(RuntimeError):
        delivery.deliver(database, loopback=False, clock=lambda: NOW, post=post)
    assert {row.url for row in every(database) if row.told == version} == {*urls} - {first}


def test_what_waits_for_its_turn_is_not_taken(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sender can't send at once it leaves to others, since its claim would end before its turn comes."""
    monkeypatch.setattr(delivery, "SENDERS", 1)
    wire, other = Wire(), Wire()
    for number in range(2):
        subscribe(database, f"https://r{number}.example/")
    version = change(database)

    def meanwhile() -> None:
        """While the first hangs, another sender has time for all that is due, once."""
        wire.meanwhile = lambda: None
        other.deliver(database, after(minutes=2))

    wire.meanwhile = meanwhile
    wire.deliver(database)
    Wire().deliver(database, after(minutes=9))
    assert {row.told for row in every(database)} == {version}
    slow = wire.sent[0].url
    assert Counter(attempt.url for attempt in [*wire.sent, *other.sent] if attempt.url != slow).most_common(1)[0][1] == 1


# --- the command


def test_run_once(settings: Settings, database: Database) -> None:
    """`webhooks run --once` sends what is due and ends; to this machine itself only where that is set, and is said to be tried."""
    with receiving() as receiver, serving(settings) as strict, serving(replace(settings, webhooks_loopback=1)) as trying:

        def run(app: Flask) -> tuple[int, str]:
            result = app.test_cli_runner().invoke(args=["webhooks", "run", "--once"])
            return result.exit_code, result.output

        admin = curating(trying.test_client(), database, "admin")
        assert admin.post("/webhooks", json={"url": receiver.url}).status_code == 201
        assert run(trying) == (0, "Messages attempted: 0.\n")
        version = change(database)
        assert run(strict) == (0, "Messages attempted: 1.\n")
        assert (receiver.got, [row.last_outcome for row in every(database)]) == ([], [PLAIN])
        with database.writing() as session:
            session.execute(text("update webhooks set due_at = :now"), {"now": "2020-01-01 00:00:00.000000"})
        assert run(trying) == (0, "Messages attempted: 1.\n")
        assert run(trying) == (0, "Messages attempted: 0.\n")
    assert [attempt.data["version"] for attempt in receiver.got] == [version]
    assert [(row.told, row.last_outcome) for row in every(database)] == [(version, "status 204")]


RUN = (*FLASK, "webhooks", "run")


@contextmanager
def running(arguments: tuple[str, ...], **variables: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program; nothing of it is left afterwards."""
    with subprocess.Popen(arguments, **PIPED, env=environment(variables), start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_run(store: Store, settings: Settings, database: Database) -> None:
    """`webhooks run` tells of each change, until it is asked to stop: what is on its way then is noted, and the status is 0."""
    number = {"sqlite": signal.SIGTERM, "postgresql": signal.SIGINT}[store.dialect]
    held = threading.Event()
    with receiving() as receiver, running(RUN, DATABASE_URL=settings.database_url, WEBHOOKS_LOOPBACK=1) as process:
        try:
            subscribe(database, receiver.url)
            first = change(database)
            wait_until(lambda: every(database)[0].told == first, process)
            receiver.behave = partial(hold, held)
            second = change(database)
            wait_until(lambda: len(receiver.got) == 2, process)
            process.send_signal(number)
        finally:
            held.set()
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "Messages attempted: 1.\n" * 2)
    assert [attempt.data["version"] for attempt in receiver.got] == [first, second]
    assert [row.told for row in every(database)] == [second]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Leaves the handlers of signals as they were."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_run_goes_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """`webhooks run` does not end because the database is busy, or away, for a while."""
    looks = itertools.count()

    def deliver(*_: Any, **__: Any) -> int:
        """Find the database locked, and be killed when it is asked again."""
        raise OperationalError("", None, Exception("locked")) if next(looks) == 0 else Killed

    monkeypatch.setattr(delivery, "deliver", deliver)
    monkeypatch.setattr(webhook_commands, "POLL", 0)
    with serving(settings) as app, pytest.raises(Killed):
        app.test_cli_runner().invoke(args=["webhooks", "run"])


# `webhooks run`, in a hurry: what was claimed is free again after a second, and what failed is tried again at once.
HASTY = """
import datetime, sys
from api.cli import webhooks
from api.webhooks import delivery
from flask.cli import main
webhooks.POLL, delivery.LEASE, delivery.SCHEDULE = 0.05, datetime.timedelta(seconds=1), (0.1,) * 1000
sys.argv = ["flask", "--app", "wsgi", "webhooks", "run"]
main()
"""


@pytest.mark.slow
def test_killed_again_and_again(settings: Settings, database: Database) -> None:
    """Senders are killed 40 times while the data changes and receivers fail: in the end each is told of the newest version."""
    chance = random.Random(1)  # noqa: S311 - nothing is secret
    hasty = partial(running, (sys.executable, "-c", HASTY), DATABASE_URL=settings.database_url, WEBHOOKS_LOOPBACK=1)
    pause = threading.Event()
    with ExitStack() as stack:
        receivers = [stack.enter_context(receiving()) for _ in range(4)]
        for receiver in receivers:
            subscribe(database, receiver.url)
            receiver.behave = lambda handler: (pause.wait(chance.random() / 10), status(chance.choice([204, 500]))(handler))[1]
        for _ in range(20):
            with hasty() as one, hasty() as two:
                before = [len(receiver.got) for receiver in receivers]
                last = change(database)
                wait_until(lambda: sum(len(receiver.got) for receiver in receivers) > sum(before) + 4, one)  # noqa: B023 - is called at once
                for process in (one, two):
                    pause.wait(chance.random() / 10)
                    process.kill()
        for receiver in receivers:
            receiver.behave = status(204)
        last = change(database)
        with hasty() as process:
            wait_until(lambda: {row.told for row in every(database)} == {last}, process)
        for receiver in receivers:
            assert receiver.got[-1].data["version"] == last
            bodies = {attempt.message for attempt in receiver.got}
            assert len(bodies) == len({id for id, _ in bodies})
