"""Delivery of webhooks: who is told, of what, when it is sent again, and where it never goes."""

import datetime as dt
import json
import random
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier

from api.db.database import Database
from api.webhooks import outbound, subscriptions
from api.webhooks.subscriptions import WebhookState
from tests.support.answers import Json
from tests.support.databases import head, publishing
from tests.support.processes import unused_port
from tests.support.receivers import LOOPBACK, PRIVATE, PUBLIC, listening, told
from tests.support.webhooks import (
    ATTEMPTS,
    NOT_PUBLIC,
    NOW,
    PLAIN,
    Handler,
    Wire,
    after,
    change,
    deliver,
    every,
    hold,
    loopback,
    noise,
    receiving,
    remove,
    resume,
    silence,
    status,
    subscribe,
)

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
        assert deliver(database, loopback=True, clock=lambda: moments[0], post=post) == len(urls)
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
        assert deliver(database, loopback=True, clock=lambda: moments[1], post=post) == len(urls)
        for receiver in receivers.values():
            said = tried[receiver.url].message_body or ""
            messages = [attempt.message for attempt in receiver.got]
            assert messages == [(tried[receiver.url].message, said.encode())] * (1 if receiver is receivers["closed"] else 2)
            for attempt, moment in zip(receiver.got[::-1], moments[::-1], strict=False):
                assert attempt.headers["webhook-timestamp"] == str(int(moment.timestamp()))
                assert Verifier(secrets[receiver.url]).verify(attempt.body, attempt.headers) == json.loads(said)
        assert {(row.attempts, row.told, row.last_outcome) for row in every(database)} == {(0, first, "status 204")}
        assert deliver(database, loopback=True, clock=lambda: moments[1], post=post) == len(urls)
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
            deliver(database, loopback=loopback, clock=lambda: now, post=partial(outbound.post, resolve=resolve, timeout=0.5))
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


def test_nothing_goes_to_private_addresses(database: Database) -> None:
    """Had such an address, or a name that means one, become a receiver's all the same, then nothing would be sent to it."""
    with loopback() as (port, untouched):
        # Some of them; that each is refused is tested where the addresses are.
        ours = [f"https://{host}:{port}/" for host in LOOPBACK[::3]]
        others = [f"https://{host}:{port}/" for host in PRIVATE[::8]]
        plain = [f"http://{host}:{port}/" for host in LOOPBACK[::3]]
        with database.writing() as session:
            for url in (*ours, *others, *plain):
                subscriptions.subscribe(session, url)
        change(database)
        refused = dict.fromkeys([*ours, *others], NOT_PUBLIC) | dict.fromkeys(plain, PLAIN)
        assert deliver(database, loopback=False, clock=lambda: NOW) == len(refused)
        assert {row.url: row.last_outcome for row in every(database)} == refused
        assert untouched()
        # The control: with loopback, this machine's own are connected to, where nobody answers; the others still are not.
        post = partial(outbound.post, timeout=0.1)
        assert deliver(database, loopback=True, clock=lambda: after(seconds=6), post=post) == len(refused)
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
