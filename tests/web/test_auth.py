"""Permissions: every operation with every kind of key; and secrets, which stay secret."""

import datetime as dt
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.resources import BY_NAME, RESOURCES
from api.settings import Settings
from api.web import keys
from tests.support.answers import Json, brief
from tests.support.applications import serving
from tests.support.databases import Store, template
from tests.support.desk import Desk
from tests.support.good_requests import Good, prepare
from tests.support.lengths import Sample

NOW = dt.datetime.now(dt.UTC)
# Kind of key: its scopes, or another header that is sent.
KINDS: dict[str, list[str] | str | None] = {
    "none": None,
    "malformed": "Basic Y3VyYXRvcjpzZWNyZXQ=",
    "unknown": "Bearer dca_unknown",
    "expired": ["admin"],
    "revoked": ["admin"],
    "none of use": [],
    "another noun": ["write:sources"],
    "this noun": ["write:cities"],
    "write": ["write"],
    "propose": ["propose"],
    "publish": ["publish"],
    "admin": ["admin"],
    # The cookie of a session of the desk, by an administrator.
    "cookie": [],
}
UNKNOWN = {"none": 401, "cookie": 401, "malformed": 401, "unknown": 401, "expired": 401, "revoked": 401, "none of use": 403}
NOBODY = UNKNOWN | {"propose": 403, "publish": 403}
CITIES = NOBODY | {"another noun": 403, "this noun": 200, "write": 200, "admin": 200}
SOURCES = NOBODY | {"another noun": 200, "this noun": 403, "write": 200, "admin": 200}
OTHERS = NOBODY | {"another noun": 403, "this noun": 403, "write": 200, "admin": 200}
ADMIN = NOBODY | {"another noun": 403, "this noun": 403, "write": 403, "admin": 200}
# Every key with a scope may propose, and read proposals.
PROPOSERS = dict.fromkeys(KINDS, 200) | UNKNOWN
PUBLISHERS = ADMIN | {"publish": 200}
OPEN = dict.fromkeys(KINDS, 200)
FORM = {"queries": '{"q0": {"query": "Boston"}}'}
# Status of each operation for each kind of key, 200 for any success; an operation that is missing here fails.
MATRIX = {
    **{f"{verb} /{row.name}{rest}": {"cities": CITIES, "sources": SOURCES}.get(row.name, OTHERS)
       for row in RESOURCES for verb, rest in (("POST", ""), ("PUT", "/{id}"), ("PATCH", "/{id}"), ("DELETE", "/{id}"))},
    **{f"GET /{row.name}{rest}": OPEN for row in RESOURCES for rest in ("", ".{format}", "/{id}", "/{id}/history")},
    **{f"POST /{row.name}/search": OPEN for row in RESOURCES},
    **{f"GET {path}": OPEN for path in ("/", "/docs", "/openapi.json", "/livez", "/readyz", "/search", "/suggest")},
    **{f"GET {path}": OPEN for path in ("/enums", "/problems", "/problems/{name}", "/changesets", "/changesets/{version}")},
    **{f"GET {path}": OPEN for path in ("/changes", "/changes/{noun}", "/digest", "/digest/{noun}", "/snapshot")},
    **dict.fromkeys(("GET /reconcile", "POST /reconcile", "GET /reconcile/suggest/{of}"), OPEN),
    # Their examples change a city.
    **{f"POST /changesets{rest}": CITIES for rest in ("", "/{version}/revert")},
    **dict.fromkeys(("GET /proposals", "POST /proposals", "GET /proposals/{id}", "POST /imports"), PROPOSERS),
    **{f"POST /proposals/{{id}}/{verb}": PUBLISHERS for verb in ("publish", "refuse")},
    **{f"{path}": ADMIN for path in ("GET /keys", "POST /keys", "POST /keys/{name}/rotate", "DELETE /keys/{name}")},
    **{f"{verb} /webhooks{rest}": ADMIN for verb, rest in (("GET", ""), ("POST", ""), ("DELETE", "/{id}"))},
    **{f"POST /webhooks/{{id}}/{verb}": ADMIN for verb in ("resume", "rotate", "test")},
}  # fmt: skip


@pytest.fixture(scope="module")
def routing_office(sqlite_store: Store) -> Iterator[tuple[FlaskClient, Database, dict[str, str | None]]]:
    """An application on one database, and each kind of key's `Authorization`; permissions are decided before any SQL."""
    settings = sqlite_store.copy(template(sqlite_store))
    with serving(
        Settings(database_url=settings.database_url, write_limit="100000/minute", refusal_limit="100000/minute")
    ) as app:
        database = app.extensions["database"]
        sent: dict[str, str | None] = {}
        with database.writing() as session:
            for kind, held in KINDS.items():
                if not isinstance(held, list):
                    sent[kind] = held
                    continue
                name = kind.replace(" ", "-")
                ends = NOW - dt.timedelta(seconds=1) if kind == "expired" else None
                sent[kind] = f"Bearer {keys.issue(session, name, held, ends)}"
                if kind == "revoked":
                    keys.revoke(session, name)
        sent["cookie"] = f"desk={Desk(app.test_client(), str(sent['admin']).removeprefix('Bearer ')).cookie}"
        yield app.test_client(), database, sent


def operations(document: Json) -> list[str]:
    """Return every operation of the document."""
    methods = ("get", "post", "put", "patch", "delete")
    return [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in methods if method in item]


def test_matrix(routing_office: tuple[FlaskClient, Database, dict[str, str | None]], sample: Sample) -> None:
    """Every operation of the document answers to every kind of key as the table says, and no operation is missing there."""
    client, database, sent = routing_office
    document = client.get("/openapi.json").get_json()
    admin = (sent["admin"] or "").removeprefix("Bearer ")
    statuses: dict[str, dict[str, int]] = {}
    assert {*operations(document)} == MATRIX.keys()
    for operation in sample(operations(document), 25):
        method, path = operation.split()
        statuses[operation] = {}
        good: Good | None = None
        for kind, authorization in sent.items():
            headers = {"Cookie" if kind == "cookie" else "Authorization": authorization} if authorization else {}
            if "security" in document["paths"][path][method.lower()]:
                # A successful request uses up its prepared data.
                good = good or prepare(client, database, operation, admin)
                answer = good.send(client, secret=None, headers=good.headers | headers)
                good = None if answer.status_code < 300 else good
            else:
                body = {"data": FORM} if path == "/reconcile" else {"json": {"version__gt": 0}}
                answer = client.open(known(path), method=method, headers=headers, **body if method == "POST" else {})
            statuses[operation][kind] = 200 if answer.status_code < 300 else answer.status_code
            answer.close()
    assert statuses == {operation: MATRIX[operation] for operation in statuses}


def known(path: str) -> str:
    """Fill in an address that answers."""
    noun = BY_NAME.get(re.split(r"[/.]", path)[1])
    filled = (
        path.replace("{id}", noun.fields["id"].example if noun else "").replace("{format}", "csv").replace("{version}", "1")
    )
    filled = filled.replace("{noun}", "cities").replace("{number}", "0").replace("{of}", "entity")
    return filled.replace("{name}", "not-found") + ("?q=a" if path in {"/search", "/suggest"} else "")


def test_what_a_document_says_of_scopes(routing_office: tuple[FlaskClient, Database, dict[str, str | None]]) -> None:
    """Each operation that needs a key names an existing scope; the others name none."""
    document = routing_office[0].get("/openapi.json").get_json()
    scopes = {
        f"{method.upper()} {path}": operation["security"][0]["bearer"]
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and "security" in operation
    }
    assert set(scopes) == {operation for operation, row in MATRIX.items() if row is not OPEN}
    assert {scope for named in scopes.values() for scope in named} <= set(keys.SCOPES)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


CHALLENGE = 'Bearer realm="digital-cities"'


@pytest.mark.parametrize(
    ("kind", "challenge"),
    [
        ("none", CHALLENGE),
        ("malformed", f'{CHALLENGE}, error="invalid_token"'),
        ("unknown", f'{CHALLENGE}, error="invalid_token"'),
        ("expired", f'{CHALLENGE}, error="invalid_token"'),
        ("another noun", f'{CHALLENGE}, error="insufficient_scope", scope="write:cities"'),
    ],
)
def test_challenges(routing_office: tuple[FlaskClient, Database, dict[str, str | None]], kind: str, challenge: str) -> None:
    """A refusal says how to authenticate (RFC 6750), and names the missing scope."""
    client, _, sent = routing_office
    authorization = sent[kind]
    response = client.post("/cities", json={}, headers={"Authorization": authorization} if authorization else {})
    assert response.headers["WWW-Authenticate"] == challenge
    assert brief(response)[1] == ("forbidden" if kind == "another noun" else "unauthorized")


def test_a_changeset_names_every_scope_that_is_missing(
    routing_office: tuple[FlaskClient, Database, dict[str, str | None]],
) -> None:
    """A changeset across nouns needs the scope of each, and nothing is written where one is missing."""
    client, _, sent = routing_office
    rows = [{"op": "delete", "kind": kind, "id": "x", "if_match": "*"} for kind in ("cities", "awards", "surveys")]
    response = client.post("/changesets", json={"operations": rows}, headers={"Authorization": sent["this noun"] or ""})
    assert [item["allowed"] for item in brief(response)[2]] == [["write:awards", "write:surveys"]]


@pytest.mark.parametrize("place", ["/cities?key={}", "/cities?access_token={}", "/cities/{}"])
def test_a_key_is_read_from_one_place(routing_office: tuple[FlaskClient, Database, dict[str, str | None]], place: str) -> None:
    """A key in an address is never taken for one."""
    client, _, sent = routing_office
    secret = (sent["admin"] or "").removeprefix("Bearer ")
    method = "PUT" if place.endswith("/{}") else "POST"
    assert client.open(place.format(secret), method=method, json={}).status_code == 401


def test_a_key_is_told_nobody(own_client: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """No log, no database and no answer but the first has a secret, even after errors."""
    caplog.set_level(logging.DEBUG)
    with database.writing() as session:
        admin = keys.issue(session, "admin", ["admin"], None)
    headers = {"Authorization": f"Bearer {admin}"}
    made = own_client.post("/keys", json={"name": "new", "scopes": ["write"]}, headers=headers)
    secret = made.get_json()["secret"]
    answers = [
        own_client.get("/keys", headers=headers),
        own_client.post("/cities", json={}, headers={"Authorization": f"Bearer {secret}"}),
        own_client.post("/keys", json={}, headers={"Authorization": f"Bearer {secret}"}),
        own_client.post("/cities", json={}, headers={"Authorization": f"Basic {secret}"}),
        own_client.post("/cities", json={}, headers={"Authorization": f"Bearer {secret}x"}),
    ]
    assert re.fullmatch(r"dca_[A-Za-z0-9_-]{43}", secret)
    for key_secret in (secret, admin):
        assert [answer for answer in answers if key_secret in answer.get_data(as_text=True) + str(answer.headers)] == []
        assert key_secret not in caplog.text
        with database.reading() as session:
            assert key_secret not in str(session.execute(text("select * from api_keys")).all())
    assert made.headers["Cache-Control"] == "no-store"


def test_lists_wait_for_no_writer(admin: FlaskClient, database: Database) -> None:
    """Keys and webhooks are listed during another write; the control, a new key, waits where only one writer is possible."""
    # The first use of a key is noted, which is a write.
    admin.get("/keys").close()
    with ThreadPoolExecutor(1) as pool:
        with database.writing():
            listed = [pool.submit(admin.get, path) for path in ("/keys", "/webhooks")]
            assert [answer.result(20).status_code for answer in listed] == [200, 200]
            made = pool.submit(admin.post, "/keys", json={"name": "new", "scopes": ["write"]})
            waits = not wait([made], timeout=5 if database.engine.dialect.name == "postgresql" else 0.5).done
        assert made.result(40).status_code == 201
    assert waits == (database.engine.dialect.name == "sqlite")
