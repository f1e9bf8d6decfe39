"""Writes to every noun: what curators can do to a record, and which requests are refused."""

import json

import pytest
from flask.testing import FlaskClient

from api.editing.inputs import example_of, members
from api.schema.resource import Resource
from tests.support.answers import brief, record_state, tag, version
from tests.support.databases import ON_SQLITE
from tests.support.records import FRESNO, nouns


@nouns
def test_a_record_from_its_beginning_to_its_end(editor: FlaskClient, resource: Resource) -> None:
    """Every noun is created, read, replaced, changed and deleted; each answer has the record, its tag and its version."""
    example, before = example_of(resource), version(editor)
    created = editor.post(f"/{resource.name}", json=example)
    record = created.get_json()["data"]
    path = f"/{resource.name}/{example['id']}"
    assert (created.status_code, created.headers["Location"]) == (201, f"http://localhost{path}")
    assert {name: record[name] for name in example} == example
    assert record["version"] > before
    assert created.headers["ETag"].endswith(f'-{record_state(resource.name, record)}"')
    assert created.get_json() == editor.get(path).get_json()

    replaced = editor.put(path, json=example, headers=tag(record, resource.name))
    assert (replaced.status_code, replaced.get_json()["data"]) == (200, record), "what says the same has no new version"

    label = next((name for name in ("title", "name", "label", "summary", "field") if name in members(resource.schema)), "")
    changed = editor.patch(path, json={label: "/title"}, headers=tag(record, resource.name))
    assert changed.status_code == 200
    after = changed.get_json()["data"]
    assert after == {**record, label: "/title", "version": after["version"], "updated_at": after["updated_at"]}
    assert after["version"] == version(editor)
    assert changed.headers["ETag"] == editor.get(path).headers["ETag"] != created.headers["ETag"]

    deleted = editor.delete(path, headers=tag(after, resource.name))
    assert (deleted.status_code, deleted.get_data(), "Content-Type" in deleted.headers) == (204, b"", False)
    assert editor.get(path).status_code == 410
    again = editor.put(path, json=example)
    assert (again.status_code, again.get_json()["data"]["version"]) == (201, after["version"] + 2)


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
    """A body that is no record is a 4xx with a reason, and writes nothing."""
    before = version(refused)
    for method, path in (("POST", "/cities"), ("PUT", "/cities/fresno-ca"), ("POST", "/changesets")):
        response = refused.open(path, method=method, data=body, content_type=content_type)
        if not (method == "PUT" and body == b'{"id": "search"}'):
            assert (method, *brief(response)[:2]) == (method, status, name)
    assert version(refused) == before


def test_nobody_overwrites_what_they_have_not_seen(editor: FlaskClient) -> None:
    """A change without `If-Match` is a 428; with an old tag it is a 412 with the current record and the differences."""
    first = editor.get("/cities/seattle-wa").get_json()["data"]
    for method in ("put", "patch", "delete"):
        response = getattr(editor, method)("/cities/seattle-wa", **({} if method == "delete" else {"json": {"summary": "A."}}))
        assert brief(response)[:2] == (428, "precondition-required")
    second = editor.patch("/cities/seattle-wa", json={"summary": "A."}, headers=tag(first)).get_json()["data"]
    response = editor.patch("/cities/seattle-wa", json={"summary": "B.", "name": "Seattle"}, headers=tag(first))
    assert (response.status_code, response.get_json()["current"]) == (412, second)
    assert [item.get("pointer", item.get("parameter")) for item in response.get_json()["errors"]] == ["If-Match", "/summary"]
    assert brief(editor.delete("/cities/seattle-wa", headers=tag(first)))[0] == 412
    assert editor.get("/cities/seattle-wa").get_json()["data"] == second


def test_if_match(editor: FlaskClient) -> None:
    """`If-Match` accepts a tag in a list, weakened by a proxy or from another release, and `*` for any."""
    for written in ('"{}"', 'W/"{}"', '"x", "{}"', "*"):
        record = editor.get("/cities/seattle-wa").get_json()["data"]
        header = {"If-Match": written.replace("{}", tag(record)["If-Match"].strip('"'))}
        answer = editor.patch("/cities/seattle-wa", json={"summary": f"By {written}."}, headers=header)
        assert (written, answer.status_code) == (written, 200)


@pytest.mark.parametrize("written", ["", '"0.0.0-3"', "x", "*, *"])
def test_if_none_match_that_is_none(refused: FlaskClient, written: str) -> None:
    """Where something is written, `If-None-Match` is `*` or a 400."""
    response = refused.put("/cities/fresno-ca", json=FRESNO, headers={"If-None-Match": written})
    assert brief(response)[2][0]["allowed"] == ["*"]


@pytest.mark.parametrize("written", ["3", "seattle", '"0.0.0-3', ""])
def test_if_match_that_is_none(refused: FlaskClient, written: str) -> None:
    """An `If-Match` without a valid tag is a 400 with an example."""
    response = refused.patch("/cities/seattle-wa", json={"summary": "A."}, headers={"If-Match": written})
    assert brief(response)[:2] == (400, "bad-request")


def test_what_is_not_there(editor: FlaskClient) -> None:
    """Changing an unknown record is a 404 with a suggestion, with `If-Match` a 412; changing a deleted one is a 410."""
    assert brief(editor.patch("/cities/seattle", json={}, headers={}))[2][0]["suggestion"] == "seattle-wa"
    assert brief(editor.delete("/cities/seattle"))[:2] == (404, "record-not-found")
    assert brief(editor.delete("/cities/seattle", headers={"If-Match": "*"}))[:2] == (412, "precondition-failed")
    editor.post("/cities", json=FRESNO)
    editor.delete("/cities/fresno-ca", headers={"If-Match": "*"})
    assert brief(editor.patch("/cities/fresno-ca", json={}))[:2] == (410, "record-deleted")


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


@ON_SQLITE
@pytest.mark.parametrize(
    "written",
    [
        "return=minimal",
        'return="minimal"',
        "Return = Minimal",
        'respond-async, wait=10, return=minimal; why="a, b; return=representation"',
        'handling=lenient; note="return=representation", return=minimal, return=representation',
    ],
)
def test_prefer_minimal(editor: FlaskClient, written: str) -> None:
    """`Prefer: return=minimal`, in any form of RFC 7240, gets the tag and the location without a body."""
    prefer = {"Prefer": written}
    created = editor.post("/cities", json=FRESNO, headers=prefer)
    assert (created.status_code, created.get_data(), created.headers["Location"]) == (
        201,
        b"",
        "http://localhost/cities/fresno-ca",
    )
    patched = editor.patch("/cities/fresno-ca", json={"summary": "S."}, headers=prefer | {"If-Match": created.headers["ETag"]})
    assert (patched.status_code, patched.get_data(), patched.headers["Preference-Applied"]) == (204, b"", "return=minimal")
    assert patched.headers["ETag"] == editor.get("/cities/fresno-ca").headers["ETag"]


@ON_SQLITE
@pytest.mark.parametrize(
    "written", ["", "return", "return=representation", "return=representation, return=minimal", 'note="return=minimal"']
)
def test_prefer_something_else(editor: FlaskClient, written: str) -> None:
    """Other preferences keep the record in the answer; of several, the first counts (RFC 7240, 2)."""
    created = editor.post("/cities", json=FRESNO, headers={"Prefer": written})
    assert (created.get_json()["data"]["id"], "Preference-Applied" in created.headers) == ("fresno-ca", False)


def test_byte_order_mark(editor: FlaskClient) -> None:
    """A byte order mark before JSON or NDJSON is ignored, as RFC 8259 allows; inside a body it is an error."""
    body = b"\xef\xbb\xbf" + json.dumps(FRESNO).encode()
    assert editor.post("/cities", data=body, content_type="application/json").status_code == 201
    operation = {"op": "delete", "kind": "cities", "id": "fresno-ca", "if_match": "*"}
    line = b"\xef\xbb\xbf" + json.dumps(operation).encode() + b"\n"
    assert editor.post("/changesets", data=line, content_type="application/x-ndjson").status_code == 200
    for wrong in (b"\xef\xbb\xbf" + body, body[3:] + b"\xef\xbb\xbf"):
        assert brief(editor.post("/cities", data=wrong, content_type="application/json"))[:2] == (400, "invalid-json")


def test_dry_run_of_one(editor: FlaskClient) -> None:
    """A dry run answers like the real write, except for the time, and writes nothing."""
    before = version(editor)
    dry = editor.post("/cities?dry_run=true", json=FRESNO)
    assert (version(editor), editor.get("/cities/fresno-ca").status_code) == (before, 404)
    real = editor.post("/cities", json=FRESNO)
    when = real.get_json()["data"]["updated_at"]
    said = {**dry.get_json(), "data": {**dry.get_json()["data"], "updated_at": when}}
    assert (dry.status_code, said) == (201, real.get_json())
    # The digits at the end of the tag depend on the time.
    assert dry.headers["ETag"].rpartition("-")[0] == real.headers["ETag"].rpartition("-")[0]


def test_why(editor: FlaskClient) -> None:
    """A single write can state a reason, which its commit shows with the author."""
    made = editor.post("/cities?message=Fresno%20joins.", json=FRESNO).get_json()["data"]
    commit = editor.get(f"/changesets/{made['version']}").get_json()["data"]
    assert (commit["author"], commit["message"], commit["committed_at"]) == ("curator", "Fresno joins.", made["updated_at"])
    assert brief(editor.patch(f"/cities/fresno-ca?message={'x' * 501}", json={}))[:2] == (400, "invalid-query")
