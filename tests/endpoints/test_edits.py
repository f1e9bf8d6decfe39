"""What curators may do to records, and what is refused: the same on every noun, on both databases."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from api import __version__
from api.db.database import Database
from api.editing.inputs import example_of, members
from api.ledger.models import Revision
from api.ledger.verify import verify
from api.resources import RESOURCES
from api.schema.resource import Resource
from api.settings import Settings
from tests.support.answers import brief
from tests.support.applications import curating, serving
from tests.support.databases import Store

nouns = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
FRESNO = {"id": "fresno-ca", "name": "Fresno", "state": "CA", "country": "US"}
Json = dict[str, Any]


@pytest.fixture
def curator(own_client: FlaskClient, database: Database) -> FlaskClient:
    """Asks the application on this test's own database with a key that may write."""
    return curating(own_client, database)


@pytest.fixture(autouse=True)
def _verified(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test writes, the ledger and the tables agree afterwards."""
    database: Database | None = request.getfixturevalue("database") if "curator" in request.fixturenames else None
    yield
    if database:
        with database.reading() as session:
            assert list(verify(session)) == []


@pytest.fixture(scope="module")
def refused(store: Store, migrated: Settings) -> Iterator[FlaskClient]:
    """Asks an application that only gets what it refuses; at the end it holds what it held."""
    with serving(replace(store.copy(migrated), write_limit="1000000/minute")) as app:
        database = app.extensions["database"]
        client = curating(app.test_client(), database)
        before = version(client)
        yield client
        assert version(client) == before
        with database.reading() as session:
            assert list(verify(session)) == []


def version(client: FlaskClient) -> int:
    """Return the version that the dataset is at."""
    found: int = client.get("/cities?limit=1").get_json()["meta"]["version"]
    return found


def tag(record: Json) -> dict[str, str]:
    """Return the header that says which state of a record is known."""
    return {"If-Match": f'"{__version__}-{record["version"]}"'}


@nouns
def test_a_record_from_its_beginning_to_its_end(curator: FlaskClient, resource: Resource) -> None:
    """Every noun is created, read, replaced, changed and deleted; each answer has the record, its tag and its version."""
    example, before = example_of(resource), version(curator)
    created = curator.post(f"/{resource.name}", json=example)
    record = created.get_json()["data"]
    path = f"/{resource.name}/{example['id']}"
    assert (created.status_code, created.headers["Location"]) == (201, f"http://localhost{path}")
    assert {name: record[name] for name in example} == example
    assert record["version"] > before
    assert created.headers["ETag"] == f'"{__version__}-{record["version"]}"'
    assert created.get_json() == curator.get(path).get_json()

    replaced = curator.put(path, json=example, headers=tag(record))
    assert (replaced.status_code, replaced.get_json()["data"]) == (200, record), "what says the same has no new version"

    label = next((name for name in ("title", "name", "summary", "field") if name in members(resource.schema)), "")
    changed = curator.patch(path, json={label: "/changed"}, headers=tag(record))
    assert changed.status_code == 200
    after = changed.get_json()["data"]
    assert after == {**record, label: "/changed", "version": after["version"], "updated_at": after["updated_at"]}
    assert after["version"] == version(curator)
    assert changed.headers["ETag"] == f'"{__version__}-{after["version"]}"'

    deleted = curator.delete(path, headers=tag(after))
    assert (deleted.status_code, deleted.get_data(), "Content-Type" in deleted.headers) == (204, b"", False)
    assert curator.get(path).status_code == 410
    again = curator.put(path, json=example)
    assert (again.status_code, again.get_json()["data"]["version"]) == (201, after["version"] + 2)


@nouns
def test_read_only_and_unknown_members_are_refused(refused: FlaskClient, resource: Resource) -> None:
    """Nobody assigns what the ledger or other records say, nor what there is not; nothing is written."""
    before = version(refused)
    declared = [name for name in resource.members if name not in members(resource.schema)]
    wrong = {**dict.fromkeys(declared, 1), "__proto__": {"admin": True}, "constructor": 1, "Id": "x"}
    response = refused.post(f"/{resource.name}", json={**example_of(resource), **wrong})
    status, name, items = brief(response)
    assert (status, name) == (422, "invalid-body")
    assert {item["pointer"]: item["code"] for item in items} == {
        **{f"/{name}": "read-only" for name in declared},
        "/__proto__": "unknown-member",
        "/constructor": "unknown-member",
        "/Id": "unknown-member",
    }
    assert version(refused) == before


@nouns
def test_missing_members_are_named(curator: FlaskClient, resource: Resource) -> None:
    """A record without anything is told all that it needs; what can be null, or is a list, may be left out."""
    needed = {f"/{name}" for name, field in members(resource.schema).items() if field.required}
    _, _, items = brief(curator.post(f"/{resource.name}", json={"id": "x"}))
    assert {item["pointer"] for item in items if item["code"] == "missing"} == needed - {"/id"}
    example = example_of(resource)
    small = {name: example[name] for name, field in members(resource.schema).items() if field.required}
    answer = curator.post(f"/{resource.name}", json=small)
    assert answer.status_code == 201
    left_out = members(resource.schema).keys() - small.keys()
    assert all(answer.get_json()["data"][name] in ([], None) for name in left_out)


BODIES = [
    (b"{", "application/json", 400, "invalid-json"),
    (b'{"id": "a", "id": "b"}', "application/json", 400, "invalid-json"),
    (b'{"name": NaN}', "application/json", 400, "invalid-json"),
    (b"[" * 100_000, "application/json", 400, "invalid-json"),
    (b'{"a":' * 100_000, "application/json", 400, "invalid-json"),
    (b'{"name": "\xff"}', "application/json", 400, "invalid-json"),
    (b"", "application/json", 400, "invalid-json"),
    (b"{}", "text/plain", 415, "unsupported-media-type"),
    (b"{}", "application/json; charset=latin-1", 415, "unsupported-media-type"),
    (b'{"name": "' + b"x" * 1_000_000 + b'"}', "application/json", 413, "content-too-large"),
    (b"[]", "application/json", 422, "invalid-body"),
    (b'"x"', "application/json", 422, "invalid-body"),
    (b"null", "application/json", 422, "invalid-body"),
    (b'{"id": 5}', "application/json", 422, "invalid-body"),
    (b'{"id": "search"}', "application/json", 422, "invalid-body"),
    (b'{"id": "fresno-ca", "name": "a\\u0000b", "state": "CA", "country": "US"}', "application/json", 422, "invalid-body"),
    (b'{"id": "fresno-ca", "name": "\\ud800", "state": "CA", "country": "US"}', "application/json", 422, "invalid-body"),
    (b'{"id": "fresno-ca", "name": "x", "state": "WA", "country": "US"}', "application/json", 422, "invalid-body"),
    (b'{"id": "fresno-ca", "name": "", "state": "CA", "country": "US"}', "application/json", 422, "invalid-body"),
    (b'{"id": "fresno-ca", "name": {}, "state": ["CA"], "country": 1}', "application/json", 422, "invalid-body"),
    (b'{"id": "fresno-ca", "name": "F", "state": "CA", "country": "US", "state_capital": "true"}', "application/json", 422, "invalid-body"),
    (b'{"id": "fresno-ca", "name": "F", "state": "CA", "country": "US", "state_capital": 1}', "application/json", 422, "invalid-body"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "content_type", "status", "name"), BODIES, ids=lambda value: repr(value)[:40])
def test_bodies_that_are_none(refused: FlaskClient, body: bytes, content_type: str, status: int, name: str) -> None:
    """Whatever is sent that is no record is a 4xx that says so, and nothing is written."""
    before = version(refused)
    for method, path in (("POST", "/cities"), ("PUT", "/cities/fresno-ca"), ("POST", "/changesets")):
        response = refused.open(path, method=method, data=body, content_type=content_type)
        if not (method == "PUT" and body == b'{"id": "search"}'):
            assert (method, *brief(response)[:2]) == (method, status, name)
    assert version(refused) == before


NUMBERS = ["9007199254740993", "9007199254740992", "1e400", "0.1234567", "0.1000000000000000055", '"1"', "true", "null", "[1]"]


@pytest.mark.parametrize("written", NUMBERS)
def test_numbers_that_would_be_others(refused: FlaskClient, written: str) -> None:
    """A number that no reader could get back as it was sent is refused, and so is what only looks like one."""
    metric = '{"name": "a", "value": %s, "unit": "x", "qualifier": "exactly"}' % written  # noqa: UP031 - braces
    body = '{"id": "a", "city": "boston-ma", "title": "T", "summary": "S", "status": "pilot", "metrics": [%s]}' % metric  # noqa: UP031
    _, _, items = brief(refused.post("/initiatives", data=body, content_type="application/json"))
    assert [(item["pointer"], item["code"]) for item in items] == [("/metrics/0/value", "invalid-value")]


@pytest.mark.parametrize("written", ["9007199254740991", "-0.000001", "2.5e3", "123456789.123456", "0"])
def test_numbers_that_stay(curator: FlaskClient, written: str) -> None:
    """A number that is exact comes back as it was sent."""
    metric = '{"name": "a", "value": %s, "unit": "x", "qualifier": "exactly"}' % written  # noqa: UP031 - braces
    body = '{"id": "a", "city": "boston-ma", "title": "T", "summary": "S", "status": "pilot", "metrics": [%s]}' % metric  # noqa: UP031
    answer = curator.post("/initiatives", data=body, content_type="application/json")
    assert answer.get_json()["data"]["metrics"][0]["value"] == float(written)


REFERENCES = [
    ("initiatives", {"city": "bostn-ma"}, "/city", "boston-ma"),
    ("initiatives", {"priorities": ["cybersecurity", "cybersecurty"]}, "/priorities/1", "cybersecurity"),
    ("initiatives", {"partners": [{"organization": "amazon-web-service", "role": "builder"}]}, "/partners/0/organization", "amazon-web-services"),
    ("initiatives", {"awards": ["digital-cities-2024-san-diego"]}, "/awards/0", "digital-cities-2024-san-diego-ca"),
    ("initiatives", {"parent": "los-angeles-ca-myla31"}, "/parent", "los-angeles-ca-myla311"),
    ("citations", {"subject_id": "los-angeles-ca-myla3111"}, "/subject_id", "los-angeles-ca-myla311"),
    ("citations", {"source": "industry-insider-digital-cities-2024-part-2"}, "/source", "industry-insider-digital-cities-2024-part-1"),
    ("surveys", {"categories": [{"category": "all", "name": "All", "also_competing": ["seattle"]}]}, "/categories/0/also_competing/0", "seattle-wa"),
    ("organizations", {"city": "nowhere-zz"}, "/city", None),
]  # fmt: skip


@pytest.mark.parametrize(("noun", "said", "pointer", "suggestion"), REFERENCES)
def test_references_to_nothing(refused: FlaskClient, noun: str, said: Json, pointer: str, suggestion: str | None) -> None:
    """A reference to what is not there is a 422 that names it and the nearest that is."""
    resource = next(row for row in RESOURCES if row.name == noun)
    status, name, items = brief(refused.post(f"/{noun}", json={**example_of(resource), **said}))
    assert (status, name) == (422, "invalid-body")
    assert [(item["pointer"], item["code"], item.get("suggestion")) for item in items] == [
        (pointer, "unknown-reference", suggestion)
    ]


def test_a_category_that_the_survey_does_not_have(refused: FlaskClient) -> None:
    """A reference to a part of another record is a 422 that lists those that there are."""
    body = {"id": "x", "survey": "digital-cities-2024", "category": "all", "city": "boston-ma", "rank": 1}
    _, _, (item,) = brief(refused.post("/awards", json=body))
    assert (item["pointer"], item["allowed"]) == ("/category", ["500000-or-more"])
    _, _, (item,) = brief(refused.post("/awards", json={**body, "survey": "digital-cities-2023"}))
    assert (item["pointer"], item["suggestion"]) == ("/survey", "digital-cities-2024")


UNIQUE = [
    ("cities", {"id": "other-ca", "name": "San Diego", "state": "CA", "country": "US"}, "cities", "san-diego-ca"),
    ("initiatives", {"id": "x", "city": "los-angeles-ca", "title": "MyLA311", "summary": "S", "status": "pilot"}, "initiatives", "los-angeles-ca-myla311"),
    ("priorities", {"id": "x", "name": "Cybersecurity", "description": "D"}, "priorities", "cybersecurity"),
    ("awards", {"id": "x", "survey": "digital-cities-2024", "category": "500000-or-more", "city": "san-diego-ca", "rank": 3}, "awards", "digital-cities-2024-san-diego-ca"),
]  # fmt: skip


@pytest.mark.parametrize(("noun", "body", "kind", "id"), UNIQUE)
def test_what_another_record_has(refused: FlaskClient, noun: str, body: Json, kind: str, id: str) -> None:
    """What only one record can have is a 409 that names the record in the way."""
    status, name, (item,) = brief(refused.post(f"/{noun}", json=body))
    assert (status, name, item["code"], item["records"]) == (409, "conflict", "not-unique", [{"kind": kind, "id": id}])


def test_what_is_there_already(refused: FlaskClient) -> None:
    """Creating what is there is a 409; so is it for `If-None-Match: *`, as a 412 with what is there."""
    assert brief(refused.post("/cities", json={**FRESNO, "id": "san-diego-ca"}))[:2] == (409, "conflict")
    response = refused.put("/cities/san-diego-ca", json=FRESNO | {"id": "san-diego-ca"}, headers={"If-None-Match": "*"})
    assert (response.status_code, response.get_json()["current"]) == (
        412,
        refused.get("/cities/san-diego-ca").get_json()["data"],
    )


REFERRED = [
    ("/cities/boston-ma", "surveys", ["digital-cities-2024"]),
    ("/priorities/cybersecurity", "surveys", ["digital-cities-2024"]),
    ("/organizations/center-for-digital-government", "surveys", ["digital-cities-2024"]),
    ("/awards/digital-cities-2024-los-angeles-ca", "initiatives", None),
    ("/initiatives/los-angeles-ca-myla311", "initiatives", None),
    ("/sources/industry-insider-digital-cities-2024-part-1", "citations", None),
]


@pytest.mark.parametrize(("path", "kind", "ids"), REFERRED)
def test_what_others_refer_to_stays(refused: FlaskClient, path: str, kind: str, ids: list[str] | None) -> None:
    """Deleting what others refer to is a 409 that says who does, and how many more than are shown."""
    before = version(refused)
    status, name, items = brief(refused.delete(path, headers={"If-Match": "*"}))
    assert (status, name, {item["code"] for item in items}) == (409, "conflict", {"in-use"})
    found = [record["id"] for item in items for record in item["records"] if record["kind"] == kind]
    assert 1 <= len(found) <= 20
    assert ids is None or found == ids
    assert version(refused) == before


def test_citations_go_with_their_fact(curator: FlaskClient, database: Database) -> None:
    """A record that nothing refers to but citations is deleted with them, in one commit."""
    path = "/initiatives/sacramento-ca-high-speed-internet"
    cited = curator.get(f"/citations?subject={path.rpartition('/')[2]}&limit=500").get_json()["data"]
    assert cited
    assert curator.delete(path, headers={"If-Match": "*"}).status_code == 204
    with database.reading() as session:
        last = session.scalars(select(Revision).order_by(Revision.version.desc()).limit(1)).one()
        same = session.scalars(select(Revision).where(Revision.commit_version == last.commit_version)).all()
    assert {(row.kind, row.id, row.op.value) for row in same} == {
        ("initiatives", path.rpartition("/")[2], "delete"),
        *(("citations", record["id"], "delete") for record in cited),
    }
    assert curator.get(f"/citations/{cited[0]['id']}").status_code == 410


def test_a_category_in_use_stays(curator: FlaskClient) -> None:
    """A part of a record that others refer to can be changed, and not taken away."""
    path, every = "/surveys/digital-cities-2024", {"If-Match": "*"}
    survey = curator.get(path).get_json()["data"]
    (category,) = survey["categories"]
    status, name, items = brief(curator.patch(path, json={"categories": []}, headers=every))
    assert (status, name, items[0]["code"], items[0]["records"][0]["kind"]) == (409, "conflict", "in-use", "awards")
    more = [{**category, "name": "The largest"}, {"category": "small", "name": "Small"}]
    changed = curator.patch(path, json={"categories": more}, headers=every).get_json()["data"]["categories"]
    assert [row["name"] for row in changed] == ["The largest", "Small"]


def test_lists_are_replaced_in_their_order(curator: FlaskClient) -> None:
    """A patch replaces a list as a whole, in the order that was sent; what can't be twice is refused where it is."""
    path, every = "/initiatives/los-angeles-ca-myla311", {"If-Match": "*"}
    old = curator.get(path).get_json()["data"]
    backwards = curator.patch(path, json={"priorities": old["priorities"][::-1]}, headers=every).get_json()["data"]
    assert backwards["priorities"] == old["priorities"][::-1]
    assert backwards["metrics"] == old["metrics"]
    emptied = curator.patch(path, json={"metrics": None, "started": None}, headers=every).get_json()["data"]
    assert emptied["metrics"] == []
    _, _, (item,) = brief(curator.patch(path, json={"priorities": ["cybersecurity"] * 2}, headers=every))
    assert (item["pointer"], item["code"]) == ("/priorities/1", "named-twice")
    _, _, (item,) = brief(curator.patch(path, json={"title": None}, headers=every))
    assert (item["pointer"], item["code"]) == ("/title", "missing")


# --- who knows what


def test_nobody_overwrites_what_they_have_not_seen(curator: FlaskClient) -> None:
    """Without `If-Match` a change is a 428, with an old one a 412 that shows the record and what differs from what was sent."""
    first = curator.get("/cities/seattle-wa").get_json()["data"]
    for method in ("put", "patch", "delete"):
        response = getattr(curator, method)("/cities/seattle-wa", **({} if method == "delete" else {"json": {"summary": "A."}}))
        assert brief(response)[:2] == (428, "precondition-required")
    second = curator.patch("/cities/seattle-wa", json={"summary": "A."}, headers=tag(first)).get_json()["data"]
    response = curator.patch("/cities/seattle-wa", json={"summary": "B.", "name": "Seattle"}, headers=tag(first))
    assert (response.status_code, response.get_json()["current"]) == (412, second)
    assert [item.get("pointer", item.get("parameter")) for item in response.get_json()["errors"]] == ["If-Match", "/summary"]
    assert brief(curator.delete("/cities/seattle-wa", headers=tag(first)))[0] == 412
    assert curator.get("/cities/seattle-wa").get_json()["data"] == second


@pytest.mark.parametrize("written", ['"{}"', 'W/"{}"', '"x", "{}"', "*"])
def test_if_match(curator: FlaskClient, written: str) -> None:
    """A tag is known with others beside it, weakened by a proxy, from another release, and as anything at all."""
    record = curator.get("/cities/seattle-wa").get_json()["data"]
    header = {"If-Match": written.replace("{}", f"9.9-{record['version']}")}
    assert curator.patch("/cities/seattle-wa", json={"summary": "A."}, headers=header).status_code == 200


@pytest.mark.parametrize("written", ["", '"0.0.0-3"', "x", "*, *"])
def test_if_none_match_that_is_none(refused: FlaskClient, written: str) -> None:
    """Where something is written, `If-None-Match` is `*` or a 400."""
    response = refused.put("/cities/fresno-ca", json=FRESNO, headers={"If-None-Match": written})
    assert brief(response)[2][0]["allowed"] == ["*"]


@pytest.mark.parametrize("written", ["3", "seattle", '"0.0.0-3', ""])
def test_if_match_that_is_none(refused: FlaskClient, written: str) -> None:
    """What is no tag is a 400 that shows one."""
    response = refused.patch("/cities/seattle-wa", json={"summary": "A."}, headers={"If-Match": written})
    assert brief(response)[:2] == (400, "bad-request")


def test_what_is_not_there(curator: FlaskClient) -> None:
    """Changing what was never there is a 404 that suggests, what was deleted a 410, and what one thought one knew a 412."""
    assert brief(curator.patch("/cities/seattle", json={}, headers={}))[2][0]["suggestion"] == "seattle-wa"
    assert brief(curator.delete("/cities/seattle"))[:2] == (404, "record-not-found")
    assert brief(curator.delete("/cities/seattle", headers={"If-Match": "*"}))[:2] == (412, "precondition-failed")
    curator.post("/cities", json=FRESNO)
    curator.delete("/cities/fresno-ca", headers={"If-Match": "*"})
    assert brief(curator.patch("/cities/fresno-ca", json={}))[:2] == (410, "record-deleted")


def test_an_id_never_changes(refused: FlaskClient) -> None:
    """The id in a body is that of the path, or is refused."""
    for method in ("put", "patch"):
        response = getattr(refused, method)("/cities/seattle-wa", json=FRESNO, headers={"If-Match": "*"})
        _, _, items = brief(response)
        assert [(item["pointer"], item["code"], item["allowed"]) for item in items] == [("/id", "read-only", ["seattle-wa"])]


@pytest.mark.parametrize(
    "path", ["/cities?dry_ru=true", "/cities?message=a&message=b", "/cities?dry_run=yes", "/cities?limit=1"]
)
def test_parameters_of_writes(refused: FlaskClient, path: str) -> None:
    """A parameter that a write does not take is refused, and nothing is written."""
    assert brief(refused.post(path, json=FRESNO))[:2] == (400, "invalid-query")
    assert refused.get("/cities/fresno-ca").status_code == 404


def test_prefer_minimal(curator: FlaskClient) -> None:
    """Who prefers little gets the tag and the place, and no body."""
    prefer = {"Prefer": "return=minimal"}
    created = curator.post("/cities", json=FRESNO, headers=prefer)
    assert (created.status_code, created.get_data(), created.headers["Location"]) == (
        201,
        b"",
        "http://localhost/cities/fresno-ca",
    )
    patched = curator.patch("/cities/fresno-ca", json={"summary": "S."}, headers=prefer | {"If-Match": created.headers["ETag"]})
    assert (patched.status_code, patched.get_data(), patched.headers["Preference-Applied"]) == (204, b"", "return=minimal")
    assert patched.headers["ETag"] == curator.get("/cities/fresno-ca").headers["ETag"]


def test_dry_run_of_one(curator: FlaskClient) -> None:
    """A dry run answers as the real one would, to the byte but for the time, and writes nothing."""
    before = version(curator)
    dry = curator.post("/cities?dry_run=true", json=FRESNO)
    assert (version(curator), curator.get("/cities/fresno-ca").status_code) == (before, 404)
    real = curator.post("/cities", json=FRESNO)
    when = real.get_json()["data"]["updated_at"]
    said = {**dry.get_json(), "data": {**dry.get_json()["data"], "updated_at": when}}
    assert (dry.status_code, said, dry.headers["ETag"]) == (201, real.get_json(), real.headers["ETag"])


# --- once


def test_the_same_request_again(curator: FlaskClient) -> None:
    """Under one key a request is carried out once, and answered alike; another request under it is a 422."""
    key = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    first, second = (curator.post("/cities", json=FRESNO, headers=key) for _ in range(2))
    assert (second.status_code, second.get_data()) == (first.status_code, first.get_data())
    kept = {"Location", "ETag", "Content-Type", "Cache-Control"}
    assert {k: v for k, v in second.headers if k in kept} == {k: v for k, v in first.headers if k in kept}
    assert (first.headers.get("Idempotent-Replayed"), second.headers["Idempotent-Replayed"]) == (None, "true")
    other = curator.post("/cities", json={**FRESNO, "name": "Other"}, headers=key)
    assert brief(other)[:2] == (422, "idempotency-mismatch")
    bare = curator.post("/cities", json=FRESNO, headers={"Idempotency-Key": key["Idempotency-Key"].strip('"')})
    assert bare.get_data() == first.get_data()
    deleted = [curator.delete("/cities/fresno-ca", headers={"If-Match": "*", "Idempotency-Key": "d"}) for _ in range(2)]
    assert [(answer.status_code, answer.get_data(), "Content-Type" in answer.headers) for answer in deleted] == [
        (204, b"", False)
    ] * 2


def test_a_refusal_is_remembered(curator: FlaskClient) -> None:
    """What was refused is refused again under its key, though it would pass now; without it, it passes."""
    key, body = {"Idempotency-Key": "a"}, {**FRESNO, "id": "oakland-ca", "name": "San Diego"}
    first = curator.post("/cities", json=body, headers=key)
    assert first.status_code == 409
    curator.patch("/cities/san-diego-ca", json={"name": "Sun Diego"}, headers={"If-Match": "*"})
    assert curator.post("/cities", json=body, headers=key).get_data() == first.get_data()
    assert curator.post("/cities", json=body).status_code == 201


def test_a_day_later_it_is_forgotten(curator: FlaskClient, database: Database) -> None:
    """An answer is kept for 24 hours."""
    key = {"Idempotency-Key": "a"}
    curator.post("/cities", json=FRESNO, headers=key)
    with database.writing() as session:
        session.execute(text("update idempotency_keys set created_at = '2020-01-01 00:00:00'"))
    assert curator.post("/cities", json=FRESNO, headers=key).status_code == 409


@pytest.mark.parametrize("written", ["", '""', "é", "a b", "x" * 256])
def test_idempotency_key_that_is_none(refused: FlaskClient, written: str) -> None:
    """A key that is none is a 400, and nothing is written."""
    response = refused.post("/cities", json=FRESNO, headers={"Idempotency-Key": written})
    assert brief(response)[:2] == (400, "bad-request")
    assert refused.get("/cities/fresno-ca").status_code == 404


# --- changesets


def operations() -> list[Json]:
    """Return operations of which the first ones refer to what the last ones create."""
    own = {"summary": "S.", "status": "pilot", "city": "oakland-ca"}
    return [
        {
            "op": "create",
            "kind": "initiatives",
            "document": {"id": "oakland-ca-x", "title": "X", "parent": "oakland-ca-y", **own},
        },
        {"op": "create", "kind": "initiatives", "document": {"id": "oakland-ca-y", "title": "Y", **own}},
        {"op": "put", "kind": "cities", "id": "oakland-ca", "document": {"name": "Oakland", "state": "CA", "country": "US"}},
        {"op": "patch", "kind": "cities", "id": "seattle-wa", "if_match": "*", "document": {"summary": "By a sound."}},
        {"op": "delete", "kind": "initiatives", "id": "sacramento-ca-high-speed-internet", "if_match": "*"},
    ]


def test_a_changeset_is_one_commit(curator: FlaskClient) -> None:
    """Operations across nouns are one commit, with who and why, which its address shows; a dry run says the same before."""
    body = {"message": "Oakland joins.", "operations": operations()}
    dry = curator.post("/changesets?dry_run=true", json=body)
    assert curator.get("/cities/oakland-ca").status_code == 404
    real = curator.post("/changesets", json=body)
    assert (real.status_code, real.get_data()) == (200, dry.get_data())
    assert real.headers["Location"] == dry.headers["Location"]
    assert [row["status"] for row in real.get_json()["data"]] == ["created", "created", "created", "updated", "deleted"]
    commit = curator.get(real.headers["Location"]).get_json()["data"]
    assert (commit["author"], commit["message"]) == ("curator", "Oakland joins.")
    versions = {(row["kind"], row["id"]): row["version"] for row in commit["changes"]}
    for row in real.get_json()["data"]:
        assert versions[row["kind"], row["id"]] == row["version"]
    assert commit["last_version"] == version(curator) == real.get_json()["meta"]["version"]
    assert commit["version"] == real.get_json()["meta"]["commit"]


def test_a_changeset_in_lines(curator: FlaskClient) -> None:
    """A changeset can come as NDJSON, an operation a line, with its message beside it."""
    lines = "\n".join(json.dumps(row) for row in operations()) + "\n"
    answer = curator.post("/changesets?message=Lines", data=lines, content_type="application/x-ndjson")
    assert answer.status_code == 200
    assert curator.get(answer.headers["Location"]).get_json()["data"]["message"] == "Lines"
    broken = curator.post("/changesets", data=lines + "{", content_type="application/x-ndjson")
    assert brief(broken)[2][0]["detail"].startswith("Line 6 is no JSON")


def test_all_or_nothing_with_every_error(refused: FlaskClient) -> None:
    """One wrong operation, and nothing is written; every error of every operation is in one answer, each with its place."""
    before = version(refused)
    wrong = [
        {"op": "create", "kind": "cities", "document": {"id": "x-ca", "name": 5, "state": "CA", "country": "US"}},
        {"op": "patch", "kind": "cities", "id": "seattle", "document": {}},
        {"op": "delete", "kind": "cities", "id": "boston-ma"},
        {"op": "put", "kind": "cities", "id": "oakland-ca", "document": {}},
        {"op": "create", "kind": "cities", "document": {**FRESNO, "id": "san-jose-ca"}},
    ]
    response = refused.post("/changesets", json={"operations": [*operations(), *wrong]})
    status, name, items = brief(response)
    assert (status, name) == (422, "invalid-body")
    assert sorted((item["pointer"], item["code"]) for item in items) == [
        ("/operations/5/document/name", "invalid-value"),
        ("/operations/6/id", "unknown-id"),
        ("/operations/7/if_match", "precondition-required"),
        ("/operations/8/id", "named-twice"),
        ("/operations/9/document/id", "already-exists"),
    ]
    assert version(refused) == before
    assert refused.get("/cities/oakland-ca").status_code == 404


MALFORMED = [
    ({}, "/operations", "missing"),
    ([], "", "invalid-value"),
    ({"operations": None}, "/operations", "missing"),
    ({"operations": []}, "/operations", "wrong-number"),
    ({"operations": {}}, "/operations", "invalid-value"),
    ({"operations": [5]}, "/operations/0", "invalid-value"),
    ({"operations": [{"op": "pach", "kind": "cities", "id": "a", "document": {}}]}, "/operations/0/op", "invalid-value"),
    ({"operations": [{"op": [], "kind": "cities", "id": "a", "document": {}}]}, "/operations/0/op", "invalid-value"),
    ({"operations": [{"op": "patch", "kind": "citys", "id": "a", "document": {}}]}, "/operations/0/kind", "invalid-value"),
    ({"operations": [{"op": "patch", "kind": "cities", "id": "a"}]}, "/operations/0/document", "missing"),
    (
        {"operations": [{"op": "delete", "kind": "cities", "id": "a", "document": {}}]},
        "/operations/0/document",
        "invalid-value",
    ),
    ({"operations": [{"op": "delete", "kind": "cities", "id": "a", "if_match": 0}]}, "/operations/0/if_match", "invalid-value"),
    (
        {"operations": [{"op": "delete", "kind": "cities", "id": "a", "if_match": [1]}]},
        "/operations/0/if_match",
        "invalid-value",
    ),
    ({"operations": [{"op": "delete", "kind": "cities", "id": "a", "ifmatch": 1}]}, "/operations/0/ifmatch", "unknown-member"),
    ({"operations": [{"op": "delete", "kind": "cities", "id": 5}]}, "/operations/0/id", "invalid-value"),
    ({"operations": operations(), "message": 5}, "/message", "invalid-value"),
    ({"operations": operations(), "message": "\0"}, "/message", "invalid-value"),
    ({"operations": operations(), "message": "\ud800"}, "/message", "invalid-value"),
    ({"operations": operations(), "message": "x" * 501}, "/message", "invalid-value"),
    ({"operations": operations(), "massage": "x"}, "/massage", "unknown-member"),
    ({"operations": [{"op": "delete", "kind": "cities", "id": "a"}] * 1001}, "/operations", "wrong-number"),
]


@pytest.mark.parametrize(("body", "pointer", "code"), MALFORMED)
def test_changesets_that_are_none(refused: FlaskClient, body: Json, pointer: str, code: str) -> None:
    """What is no changeset is a 422 that says where and why, and nothing is written."""
    before = version(refused)
    status, name, items = brief(refused.post("/changesets", json=body))
    assert (status, name) == (422, "invalid-body")
    assert (pointer, code) in [(item["pointer"], item["code"]) for item in items]
    assert version(refused) == before


def test_a_thousand_operations(curator: FlaskClient) -> None:
    """As many operations as are allowed are one commit, and what was there for one is free for another."""
    rows = [
        {"op": "create", "kind": "initiatives", "document": {"id": f"x-{n}", "city": "boston-ma", "title": f"T{n}", "summary": "S", "status": "pilot"}}
        for n in range(998)
    ]  # fmt: skip
    rows += [
        {"op": "delete", "kind": "initiatives", "id": "san-diego-ca-records-digitization-playbook", "if_match": "*"},
        {
            "op": "create",
            "kind": "initiatives",
            "document": {
                "id": "y",
                "city": "san-diego-ca",
                "title": "Digitization playbook",
                "summary": "S",
                "status": "pilot",
            },
        },
    ]
    answer = curator.post("/changesets", json={"operations": rows})
    assert answer.status_code == 200
    assert {row["status"] for row in answer.get_json()["data"]} == {"created", "deleted"}
    commit = curator.get(answer.headers["Location"]).get_json()["data"]
    assert len(commit["changes"]) == 1000


def test_a_changeset_that_changes_nothing(curator: FlaskClient) -> None:
    """What says what is there already has no commit and no version."""
    before = version(curator)
    city = {
        name: value
        for name, value in curator.get("/cities/seattle-wa").get_json()["data"].items()
        if name not in {"version", "updated_at"}
    }
    answer = curator.post(
        "/changesets", json={"operations": [{"op": "put", "kind": "cities", "if_match": "*", "document": city}]}
    )
    assert answer.get_json()["data"][0]["status"] == "unchanged"
    assert (answer.get_json()["meta"], "Location" in answer.headers) == ({"version": before, "commit": None}, False)


def test_commits_of_others(refused: FlaskClient) -> None:
    """A migration's commit has no author; a version within a commit points to it; one beyond the last is a 404."""
    assert refused.get("/changesets/1").get_json()["data"]["author"] is None
    assert refused.get("/changesets/1").get_json()["data"]["message"] == "migration"
    _, name, (item,) = brief(refused.get("/changesets/2"))
    assert (name, item["suggestion"]) == ("not-found", "/changesets/1")
    for beyond in (999999, 2**53 - 1, 2**53, 10**30, 0):
        assert brief(refused.get(f"/changesets/{beyond}"))[0] == 404


def test_raw_changes_are_seen_first(curator: FlaskClient, database: Database) -> None:
    """What raw SQL has changed is published on its own before, and counts for `If-Match`."""
    record = curator.get("/cities/seattle-wa").get_json()["data"]
    with database.writing() as session:
        session.execute(text("update cities set summary = 'Raw.' where id = 'seattle-wa'"))
    response = curator.patch("/cities/seattle-wa", json={"summary": "Ours."}, headers=tag(record))
    assert (response.status_code, response.get_json()["current"]["summary"]) == (412, "Raw.")
    commit = curator.get(f"/changesets/{response.get_json()['current']['version']}").get_json()["data"]
    assert (commit["author"], commit["message"]) == (None, "sweep")


def test_what_raw_sql_broke_stops_nobody(own_client: FlaskClient, database: Database) -> None:
    """A record that raw SQL made into what can't be published stays as it was, and others are written all the same."""
    client = curating(own_client, database)
    with database.writing() as session:
        session.execute(text("update initiatives set started = '9999-99' where id = 'los-angeles-ca-myla311'"))
    assert client.post("/cities", json=FRESNO).status_code == 201
    assert client.get("/initiatives/los-angeles-ca-myla311").get_json()["data"]["started"] is None
    mended = client.patch("/initiatives/los-angeles-ca-myla311", json={"title": "MyLA"}, headers={"If-Match": "*"})
    assert (mended.status_code, mended.get_json()["data"]["started"]) == (200, None)
    with database.reading() as session:
        assert list(verify(session)) == []


@pytest.mark.parametrize("id", [5, [], {}, True, "", "A b", "search"])
def test_ids_that_are_none(refused: FlaskClient, id: Any) -> None:
    """What can be no id is refused where it stands, by every way of sending it."""
    document, member = "/operations/0/document/id", "/operations/0/id"
    for operation, pointer in (
        ({"op": "create", "kind": "cities", "document": {**FRESNO, "id": id}}, document),
        ({"op": "delete", "kind": "cities", "id": id}, document if isinstance(id, str) else member),
    ):
        _, name, items = brief(refused.post("/changesets", json={"operations": [operation]}))
        assert (name, [item["pointer"] for item in items]) == ("invalid-body", [pointer])
    assert brief(refused.post("/cities", json={**FRESNO, "id": id}))[2][0]["pointer"] == "/id"


def test_records_swap_what_only_one_can_have(curator: FlaskClient) -> None:
    """In one changeset, names go from one record to another and back; what refers to others can't, and is a 409."""
    names = {"cybersecurity": "Modernization", "modernization": "Cybersecurity"}
    rows = [
        {"op": "patch", "kind": "priorities", "id": id, "if_match": "*", "document": {"name": name}}
        for id, name in names.items()
    ]
    assert curator.post("/changesets", json={"operations": rows}).status_code == 200
    assert {id: curator.get(f"/priorities/{id}").get_json()["data"]["name"] for id in names} == names
    awards = {"digital-cities-2024-san-diego-ca": "san-jose-ca", "digital-cities-2024-san-jose-ca": "san-diego-ca"}
    rows = [
        {"op": "patch", "kind": "awards", "id": id, "if_match": "*", "document": {"city": city}} for id, city in awards.items()
    ]
    status, name, (item,) = brief(curator.post("/changesets", json={"operations": rows}))
    assert (status, name, item["code"]) == (409, "conflict", "not-unique")


def test_why(curator: FlaskClient) -> None:
    """A single write can say why, and its commit shows it with who it was."""
    made = curator.post("/cities?message=Fresno%20joins.", json=FRESNO).get_json()["data"]
    commit = curator.get(f"/changesets/{made['version']}").get_json()["data"]
    assert (commit["author"], commit["message"], commit["committed_at"]) == ("curator", "Fresno joins.", made["updated_at"])
    assert brief(curator.patch(f"/cities/fresno-ca?message={'x' * 501}", json={}))[:2] == (400, "invalid-query")
