"""A refused request and a dry run cost little and write nothing."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from api.db.database import Database
from api.editing.idempotency import StoredAnswer
from api.errors import MAX_REFUSALS
from api.ledger import publish
from api.ledger.models import Bucket, DigestNode, Dirty, Head, Revision
from api.resources.cities import City
from api.settings import Settings
from tests.support.answers import ANY, brief
from tests.support.applications import curating, serving
from tests.support.databases import SQLITE_FIRST, Store
from tests.support.lengths import few
from tests.support.records import FRESNO

MAX_ANSWER = 100_000
MODELS = (City, Revision, Head, Dirty, Bucket, DigestNode, StoredAnswer)


@pytest.fixture(scope="module")
def impatient(store: Store, migrated: Settings) -> Iterator[FlaskClient]:
    """A client of an application whose writes wait at most a second for others."""
    with serving(replace(store.copy(migrated), write_limit="1000000/minute", lock_timeout=1)) as app:
        yield curating(app.test_client(), app.extensions["database"])


@pytest.fixture
def busy(impatient: FlaskClient) -> Iterator[FlaskClient]:
    """The same, while another writer holds the lock."""
    with impatient.application.extensions["database"].writing() as session:
        publish.wait(session)
        yield impatient


def rows(database: Database) -> dict[str, list[str]]:
    """Return the rows of the dataset, of its ledger and of the stored answers."""
    with database.reading() as session:
        return {model.__tablename__: sorted(map(repr, session.execute(select(model.__table__)))) for model in MODELS}


# --- nothing is left

NOTHING: list[tuple[str, Callable[[FlaskClient], TestResponse], int]] = [
    ("dry run", lambda client: client.post("/cities?dry_run=true", json=FRESNO), 201),
    (
        "dry run under a key",
        lambda client: client.post("/cities?dry_run=true", json=FRESNO, headers={"Idempotency-Key": "a"}),
        201,
    ),
    ("dry run of a refusal", lambda client: client.delete("/cities/boston-ma?dry_run=true", headers=ANY), 409),
    ("wrong body", lambda client: client.post("/cities", json={**FRESNO, "state": "C"}), 422),
    ("missing reference", lambda client: client.patch("/awards/digital-cities-2024-san-diego-ca", json={"city": "x"}, headers=ANY), 422),
    ("in use", lambda client: client.delete("/cities/boston-ma", headers=ANY), 409),
    ("unknown", lambda client: client.patch("/cities/nowhere-zz", json={}), 404),
    ("stale", lambda client: client.patch("/cities/boston-ma", json={}, headers={"If-Match": '"x-1"'}), 412),
    ("no version", lambda client: client.patch("/cities/boston-ma", json={}), 428),
    (
        "changeset",
        lambda client: client.post("/changesets", json={"operations": [{"op": "delete", "kind": "cities", "id": "boston-ma", "if_match": "*"}]}),
        409,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("send", "status"), [row[1:] for row in NOTHING], ids=[row[0] for row in NOTHING])
def test_nothing_is_left(
    curator: FlaskClient, database: Database, send: Callable[[FlaskClient], TestResponse], status: int
) -> None:
    """A refusal and a dry run write nothing and publish no raw SQL; the control: a write publishes both."""
    with database.writing() as session:
        session.execute(text("update cities set summary = 'Raw.' where id = 'seattle-wa'"))
    before = rows(database)
    assert (send(curator).status_code, rows(database)) == (status, before)
    assert curator.get("/cities/seattle-wa").get_json()["data"]["summary"] != "Raw."
    assert curator.post("/cities", json=FRESNO).status_code == 201
    assert curator.get("/cities/seattle-wa").get_json()["data"]["summary"] == "Raw."


def test_a_refusal_names_no_version_that_it_takes_back(curator: FlaskClient, database: Database) -> None:
    """If raw SQL changed a record, a stale write gets the record without a version, because another record may get that one."""
    stale = curator.get("/cities/seattle-wa").headers["ETag"]
    with database.writing() as session:
        session.execute(text("update cities set summary = 'Raw.' where id = 'seattle-wa'"))
        session.execute(text("delete from citations where subject_id = 'san-diego-ca-records-digitization-playbook'"))
        session.execute(text("delete from initiatives where id = 'san-diego-ca-records-digitization-playbook'"))
    refused = curator.patch("/cities/seattle-wa", json={"summary": "Ours."}, headers={"If-Match": stale})
    current = refused.get_json()["current"]
    assert (refused.status_code, current["summary"], {"version", "updated_at"} & current.keys()) == (412, "Raw.", set())
    assert "ledger sweep" in refused.get_json()["detail"]
    gone = curator.patch("/initiatives/san-diego-ca-records-digitization-playbook", json={})
    assert (gone.status_code, "version" in gone.get_json()) == (410, False)
    # The controls: after publication, both refusals have the version.
    curator.post("/cities", json=FRESNO)
    refused = curator.patch("/cities/seattle-wa", json={"summary": "Ours."}, headers={"If-Match": stale})
    assert refused.get_json()["current"] == curator.get("/cities/seattle-wa").get_json()["data"]
    gone = curator.patch("/initiatives/san-diego-ca-records-digitization-playbook", json={})
    assert gone.get_json()["version"] > 0


def test_a_refusal_under_a_key_is_stored_alone(curator: FlaskClient, database: Database) -> None:
    """The answer to a refused request with an `Idempotency-Key` is stored, and nothing else is."""
    before = rows(database)
    answers = [curator.delete("/cities/boston-ma", headers={**ANY, "Idempotency-Key": "a"}) for _ in range(2)]
    assert answers[0].get_data() == answers[1].get_data()
    after = rows(database)
    assert len(after.pop("idempotency_keys")) == 1
    before.pop("idempotency_keys")
    assert after == before


# --- small and fast


def initiative(**members: Any) -> dict[str, Any]:
    """Return a record with these members."""
    return {"id": "x", "city": "boston-ma", "title": "T", "summary": "S", "status": "pilot", **members}


HUGE = {
    "items": initiative(metrics=[{}] * 60_000),
    "faults in items": initiative(metrics=[{}] * 500, partners=[{"organization": 5, "role": "x"}] * 500),
    "members": initiative(**{f"m{n}": n for n in range(60_000)}),
    "members of items": initiative(metrics=[{f"m{n}": n for n in range(500)}] * 100),
    "long names": initiative(**{"/~" * 20_000 + str(n): n for n in range(20)}),
    "long texts": initiative(title="x" * 800_000),
    "nulls": initiative(title="\0" * 150_000),
    "texts with nulls": initiative(x=["\0"] * 80_000),
    "numbers": initiative(metrics=[{"name": "n", "value": "x" * 400, "unit": 5, "qualifier": []}] * 500),
}
REFERENCES = initiative(priorities=[f"{'nothing-' * 20}{n}" for n in range(500)], awards=[f"no-{n}" for n in range(500)])


def _changeset(number: int, document: dict[str, Any]) -> dict[str, Any]:
    """Return a changeset that creates a record this often."""
    rows = [{"op": "create", "kind": "initiatives", "document": {**document, "id": f"x-{n}"}} for n in range(number)]
    return {"operations": rows}


CHANGESETS = {
    "empty items": _changeset(1_000, initiative(metrics=[{}] * 100)),
    "members": _changeset(1_000, initiative(**{f"m{n}": 1 for n in range(60)})),
    "operations": {"operations": [{f"m{n}": 1 for n in range(60)}] * 1_000},
    "one record": _changeset(1, HUGE["faults in items"]),
    "one name": {"operations": [{"op": "create", "kind": "cities", "document": {"id": "a" * 200}}] * 1_000},
}


def is_small(response: TestResponse) -> None:
    """Fail if a refusal has many errors or many bytes, or none."""
    status, name, items = brief(response)
    assert (status, name) == (422, "invalid-body")
    assert 1 <= len(items) <= MAX_REFUSALS
    assert len(response.get_data()) <= MAX_ANSWER


@SQLITE_FIRST
@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("method", few(["POST", "PUT", "PATCH"], "POST"))
def test_refusals_of_a_body_are_small_and_wait_for_nobody(busy: FlaskClient, method: str, body: dict[str, Any]) -> None:
    """The refusal of any wrong body is small and comes while another writer holds the lock."""
    path = {"POST": "/initiatives", "PUT": "/initiatives/x", "PATCH": "/initiatives/los-angeles-ca-myla311"}[method]
    sent = {name: value for name, value in body.items() if name != "id" or method != "PATCH"}
    is_small(busy.open(path, method=method, json=sent, headers=ANY if method == "PATCH" else {}))


@pytest.mark.parametrize("body", CHANGESETS.values(), ids=CHANGESETS)
def test_refusals_of_a_changeset_are_small_and_wait_for_nobody(busy: FlaskClient, body: dict[str, Any]) -> None:
    """The same for each of a thousand operations."""
    is_small(busy.post("/changesets", json=body))


def test_control_a_valid_write_waits(busy: FlaskClient) -> None:
    """A body with nothing wrong does need the lock."""
    assert brief(busy.post("/cities", json=FRESNO))[:2] == (503, "unavailable")


def test_refusals_that_need_other_records_are_small(curator: FlaskClient, database: Database) -> None:
    """A thousand references to nothing are a small refusal, also where it is stored."""
    for path, body in (("/initiatives", REFERENCES), ("/changesets", _changeset(5, REFERENCES))):
        is_small(curator.post(path, json=body, headers={"Idempotency-Key": path}))
    with database.reading() as session:
        lengths = list(session.scalars(text("select length(body) from idempotency_keys")))
    assert len(lengths) == 2
    assert max(lengths) <= MAX_ANSWER


def test_the_length_comes_first(busy: FlaskClient) -> None:
    """A list that is too long is one error that states the maximum; the control: a shorter one is checked item by item."""
    _, _, items = brief(busy.post("/initiatives", json=HUGE["items"]))
    assert [(item["pointer"], item["detail"]) for item in items] == [
        ("/metrics", "`metrics` has 60000 items; at most 500 are allowed.")
    ]
    _, _, items = brief(busy.post("/initiatives", json=initiative(metrics=[{}])))
    assert {item["pointer"] for item in items} == {f"/metrics/0/{name}" for name in ("name", "kind", "unit")}


# --- odd names


@pytest.mark.parametrize("name", ["a/b", "~", "~1", "/", "", "é", "a b", '"', "x" * 150])
def test_pointers_of_odd_names(busy: FlaskClient, name: str) -> None:
    """A pointer leads to the wrong member, whatever its name, in every kind of body."""
    token = name.replace("~", "~0").replace("/", "~1")
    city = {**FRESNO, name: 1}
    operation = {"op": "create", "kind": "cities", "document": FRESNO}
    for path, body, place in (
        ("/cities", city, ""),
        ("/changesets", {"operations": [{**operation, "document": city}]}, "/operations/0/document"),
        ("/changesets", {"operations": [{**operation, name: 1}]}, "/operations/0"),
        ("/changesets", {"operations": [operation], name: 1}, ""),
        ("/initiatives", initiative(metrics=[{"name": "n", "value": 1, "unit": "u", "kind": "count", name: 1}]), "/metrics/0"),
        ("/cities/search", {"or": [{"not": {name: 1}}]}, "/or/0/not"),
    ):  # fmt: skip
        _, _, items = brief(busy.post(path, json=body))
        assert (path, [item["pointer"] for item in items]) == (path, [f"{place}/{token}"])


def test_a_name_that_is_too_long_is_pointed_to_from_outside(busy: FlaskClient) -> None:
    """A pointer is never cut within a token: it leads to the object that has the name."""
    body = {"operations": [{"op": "create", "kind": "cities", "document": {**FRESNO, "~" * 300: 1}}]}
    _, _, (item,) = brief(busy.post("/changesets", data=json.dumps(body), content_type="application/json"))
    assert item["pointer"] == "/operations/0/document"
