"""Webhooks over HTTP: keys, allowed addresses, and states."""

import base64
import itertools
import json
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient
from standardwebhooks import Webhook as Verifier

from api.db.database import Database
from api.endpoints import webhooks
from api.schema.fields import instant
from api.settings import Settings
from api.web.parameters import NOUNS
from api.web.problem_types import PROBLEMS
from api.webhooks.subscriptions import Webhook, WebhookState
from tests.support.answers import Json, brief, problem
from tests.support.applications import curating, serving
from tests.support.databases import Store, head, template
from tests.support.webhooks import (
    NOT_PUBLIC,
    NOW,
    PLAIN,
    URL,
    Handler,
    Wire,
    after,
    change,
    every,
    hold,
    loopback,
    noise,
    receiving,
    status,
    subscribe,
)

VERBS = ("resume", "rotate", "test")
FORM = "An address has the form https://host:port/path, where the port may be left out, with no user name and no fragment."


@pytest.fixture(scope="module")
def routing_admin(sqlite_store: Store) -> Iterator[FlaskClient]:
    """A client with an admin key, on one database without webhooks; bodies are parsed before any SQL."""
    with serving(replace(sqlite_store.copy(template(sqlite_store)), write_limit="1000000/minute")) as app:
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
    """A webhook is created, gets messages, is listed and removed, and each answer has its state."""
    made, begun = admin.post("/webhooks", json={"url": URL}), head(database)
    webhook, secret = made.get_json()["data"], made.get_json()["secret"]
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    assert made.get_json() == {
        "data": {
            "id": webhook["id"],
            "url": URL,
            "kinds": None,
            "state": "active",
            "told": begun,
            "created_at": webhook["created_at"],
            "previous_secret_expires_at": None,
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
    """A paused webhook is active again when its owner resumes it; an active one stays as it is."""
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


def test_kinds_over_http(admin: FlaskClient, database: Database) -> None:
    """A webhook of some nouns is created and listed with them, each once; null stands for all, as an absent list does."""
    some = admin.post("/webhooks", json={"url": URL, "kinds": ["awards", "cities", "awards"]}).get_json()["data"]
    every_noun = admin.post("/webhooks", json={"url": URL, "kinds": None}).get_json()["data"]
    assert (some["kinds"], every_noun["kinds"]) == (["awards", "cities"], None)
    assert admin.get("/webhooks").get_json() == {"data": [some, every_noun]}
    change(database, "initiatives")
    assert Wire().deliver(database) == 1


def test_rotated_over_http(admin: FlaskClient, database: Database) -> None:
    """A rotation answers with a new secret once, and lists until when the previous one is in use; nothing else changes."""
    made = admin.post("/webhooks", json={"url": URL}).get_json()
    answer = admin.post(f"/webhooks/{made['data']['id']}/rotate")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    webhook, secret = answer.get_json()["data"], answer.get_json()["secret"]
    (row,) = every(database)
    assert (secret, [*row.previous_secrets]) == (row.secret, [made["secret"]])
    assert secret != made["secret"]
    assert webhook == {**made["data"], "previous_secret_expires_at": row.previous_secrets[made["secret"]]}
    listed = admin.get("/webhooks")
    assert listed.get_json() == {"data": [webhook]}
    assert not any(key.removeprefix("whsec_") in listed.get_data(as_text=True) for key in (secret, made["secret"]))
    with database.writing() as session:
        session.get_one(Webhook, row.id).previous_secrets = {made["secret"]: instant(NOW.replace(year=2020))}
    assert admin.get("/webhooks").get_json() == {"data": [made["data"]]}


@pytest.fixture
def local_admin(settings: Settings) -> Iterator[FlaskClient]:
    """A client with an admin key of an application that may send to this machine."""
    with serving(replace(settings, webhooks_loopback=1)) as app:
        yield curating(app.test_client(), app.extensions["database"], "admin")


def test_a_test_message(local_admin: FlaskClient) -> None:
    """A test message is sent at once, signed, with a type of its own, also to a paused receiver; nothing else changes."""
    with receiving() as receiver:
        made = local_admin.post("/webhooks", json={"url": receiver.url}).get_json()
        id = made["data"]["id"]
        database: Database = local_admin.application.extensions["database"]
        change(database)
        Wire(410).deliver(database)
        before = local_admin.get("/webhooks").get_json()
        assert before["data"][0]["state"] == "paused"
        answers = [local_admin.post(f"/webhooks/{id}/test")]
        receiver.behave = status(500)
        answers.append(local_admin.post(f"/webhooks/{id}/test"))
        receiver.behave = noise
        answers.append(local_admin.post(f"/webhooks/{id}/test"))
        assert local_admin.get("/webhooks").get_json() == before
    answers.append(local_admin.post(f"/webhooks/{id}/test"))
    assert [answer.get_json() for answer in answers] == [
        {"data": {"status": 204, "outcome": "status 204"}},
        {"data": {"status": 500, "outcome": "status 500"}},
        {"data": {"status": None, "outcome": "no valid answer"}},
        {"data": {"status": None, "outcome": "connection refused"}},
    ]
    assert {(answer.status_code, answer.headers["Cache-Control"]) for answer in answers} == {(200, "no-store")}
    said = Verifier(made["secret"]).verify(receiver.got[0].body, receiver.got[0].headers)
    assert said == {"type": "webhook.test", "timestamp": said["timestamp"], "data": {"webhook": id}}
    assert len({attempt.message for attempt in receiver.got}) == 3


def test_a_test_message_goes_nowhere_private(local_admin: FlaskClient, admin: FlaskClient) -> None:
    """A test message to this machine is refused without the setting, and no connection is made; with it, it is sent."""
    with receiving() as receiver:
        id = local_admin.post("/webhooks", json={"url": receiver.url}).get_json()["data"]["id"]
        assert admin.post(f"/webhooks/{id}/test").get_json() == {"data": {"status": None, "outcome": PLAIN}}
        assert receiver.got == []
        assert local_admin.post(f"/webhooks/{id}/test").get_json()["data"]["status"] == 204


def hold_from(begun: threading.Event, end: threading.Event, handler: Handler) -> None:
    """Say that a request has come, and answer it when something has happened."""
    begun.set()
    hold(end, handler)


def test_one_test_message_at_a_time(local_admin: FlaskClient) -> None:
    """While a receiver is slow, another test is a 503 at once, and messages about changes are sent; then tests go on."""
    begun, end, database = threading.Event(), threading.Event(), local_admin.application.extensions["database"]
    with receiving() as receiver, ThreadPoolExecutor(1) as pool:
        id = local_admin.post("/webhooks", json={"url": receiver.url}).get_json()["data"]["id"]
        receiver.behave = partial(hold_from, begun, end)
        try:
            slow = pool.submit(local_admin.post, f"/webhooks/{id}/test")
            assert begun.wait(30)
            assert brief(local_admin.post(f"/webhooks/{id}/test"))[:2] == (503, "unavailable")
            change(database)
            assert Wire().deliver(database) == 1
        finally:
            end.set()
        assert slow.result(30).get_json()["data"]["status"] == 204
        assert local_admin.post(f"/webhooks/{id}/test").get_json()["data"]["status"] == 204


def test_many_are_listed(admin: FlaskClient) -> None:
    """All webhooks are listed, oldest first; one address can have two, with different secrets."""
    made = [admin.post("/webhooks", json={"url": URL}).get_json() for _ in range(4)]
    assert admin.get("/webhooks").get_json() == {"data": [row["data"] for row in made]}
    assert len({row["secret"] for row in made}) == len({row["data"]["id"] for row in made}) == 4


def test_a_secret_is_told_once(admin: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The first answer has the secret; no later answer, message or log has it, even after errors."""
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
    """Without a key each operation is a 401, with a key for writing a 403 that names the missing scope; nothing changes."""
    webhook = subscribe(database)
    change(database)
    Wire(410).deliver(database)
    before = own_client.get("/changes?since=0").get_json()["head"]
    paths = [("GET", "/webhooks"), ("POST", "/webhooks")]
    for id in (webhook.id, "wh-none"):
        paths += [("DELETE", f"/webhooks/{id}"), *(("POST", f"/webhooks/{id}/{verb}") for verb in VERBS)]

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
    """Return the item for an invalid address."""
    allowed = {"format": "uri", "pattern": "^https://"}
    return {"pointer": "/url", "code": "invalid-value", "detail": f"`url`: {detail}", "allowed": allowed}


NOT_A_NOUN = f"`kinds/1`: Must be one of: {', '.join(NOUNS)}; did you mean `cities`?"


def wrong_kinds(place: str = "", **members: Any) -> Json:
    """Return the item for invalid nouns."""
    return {"pointer": f"/kinds{place}", "code": "invalid-value", **members}


MISSING = {**wrong_url(""), "code": "missing", "detail": "`url` is missing."}


def unknown(name: str, pointer: str, suggestion: str | None = None) -> Json:
    """Return the item for an unknown member."""
    item: Json = {
        "pointer": pointer,
        "code": "unknown-member",
        "detail": f"`{name}` is not a member here.",
        "allowed": ["url", "kinds"],
    }
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
        ({"url": URL, "kinds": []}, [wrong_kinds(detail="`kinds`: Length must be between 1 and 8.", allowed=NOUNS)]),
        ({"url": URL, "kinds": "cities"}, [wrong_kinds(detail="`kinds` is a list.")]),
        (
            {"url": URL, "kinds": ["cities", "citys"]},
            [wrong_kinds("/1", detail=NOT_A_NOUN, allowed=NOUNS, suggestion="cities")],
        ),
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
def test_webhooks_that_are_none(routing_admin: FlaskClient, body: Any, errors: list[Json]) -> None:
    """An invalid receiver is a 422 with place, reason and suggestion; no webhook is created."""
    answer = routing_admin.post("/webhooks", data=json.dumps(body), content_type="application/json")
    detail = " ".join(item["detail"] for item in errors)
    assert numberless(problem(answer)) == refusal("invalid-body", "/webhooks", detail, *errors)
    assert routing_admin.get("/webhooks").get_json() == {"data": []}


def test_more_unknown_members(routing_admin: FlaskClient) -> None:
    """Several unknown members are named in the order in which they were sent."""
    names = [f"m{number}" for number in range(8)]
    errors = brief(routing_admin.post("/webhooks", json={**dict.fromkeys(names), "url": URL}))[2]
    assert [item["pointer"] for item in errors] == [f"/{name}" for name in names]


def test_requests_that_are_none(routing_admin: FlaskClient) -> None:
    """Other faults of a request, and an invalid id, are refused as everywhere else; no webhook is created."""
    detail = "No webhook has that id; `/webhooks` lists all of them."
    item = {"parameter": "id", "code": "unknown-id", "detail": detail}
    for method, path in (("DELETE", "/webhooks/wh-none"), *(("POST", f"/webhooks/wh-none/{verb}") for verb in VERBS)):
        assert numberless(problem(routing_admin.open(path, method=method))) == refusal("record-not-found", path, detail, item)
    refused = [
        routing_admin.post("/webhooks?x=1", json={"url": URL}),
        routing_admin.post("/webhooks", data="{", content_type="application/json"),
        routing_admin.post("/webhooks", data=URL, content_type="text/plain"),
        routing_admin.post("/webhooks", json={"url": URL}, headers={"Accept": "text/csv"}),
        routing_admin.post("/webhooks", data=b"{" + b" " * 1_000_001, content_type="application/json"),
        routing_admin.put("/webhooks", json={"url": URL}),
    ]
    assert [brief(answer)[:2] for answer in refused] == [
        (400, "invalid-query"),
        (400, "invalid-json"),
        (415, "unsupported-media-type"),
        (406, "not-acceptable"),
        (413, "content-too-large"),
        (405, "method-not-allowed"),
    ]
    assert routing_admin.get("/webhooks").get_json() == {"data": []}


# One address of each kind; `test_a_literal_address_is_checked_at_once` has all.
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "0xa9fea9fe", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]"])
def test_private_addresses_are_no_receivers(routing_admin: FlaskClient, host: str) -> None:
    """No form of an address that is not public can be a receiver; no webhook is created and no connection made."""
    with loopback() as (port, untouched):
        answer = routing_admin.post("/webhooks", json={"url": f"https://{host}:{port}/"})
        assert numberless(problem(answer)) == refusal(
            "invalid-body", "/webhooks", f"`url`: {NOT_PUBLIC}", wrong_url(NOT_PUBLIC)
        )
        assert untouched()
    assert routing_admin.get("/webhooks").get_json() == {"data": []}


def test_removed_twice_at_once(admin: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """When two requests remove a webhook at once, one is a 204 and the other a 404; neither is a 500."""
    path, plain, looks = f"/webhooks/{subscribe(database).id}", webhooks.existing, itertools.count()
    others: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as pool:

        def existing(webhook: Webhook | None) -> Webhook:
            """Return the webhook, and make the other request look at the same moment."""
            if next(looks) == 0:
                others.append(pool.submit(other_client.delete, path))
                wait(others, timeout=0.5)
            return plain(webhook)

        other_client = admin.application.test_client()
        other_client.environ_base["HTTP_AUTHORIZATION"] = admin.environ_base["HTTP_AUTHORIZATION"]
        monkeypatch.setattr(webhooks, "existing", existing)
        answers = [admin.delete(path), others[0].result(30)]
    assert sorted(answer.status_code for answer in answers) == [204, 404]
