"""What a record may hold as curators send it: members, numbers and ids, the same on every noun."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from api.editing.inputs import example_of, members
from api.schema.resource import Resource
from tests.support.answers import brief, version
from tests.support.databases import ON_SQLITE
from tests.support.records import FRESNO, nouns


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


# Members that can be null, but not together with others.
ALTERNATIVES = {
    "cities": ["state"],
    "awards": ["rank"],
    "sources": ["text_sha256"],
    "citations": ["paragraph", "sentence", "sentence_sha256"],
}


@ON_SQLITE
@nouns
def test_missing_members_are_named(editor: FlaskClient, resource: Resource) -> None:
    """A record without anything is told all that it needs; what can be null, or is a list, may be left out."""
    needed = {f"/{name}" for name, field in members(resource.schema).items() if field.required}
    _, _, items = brief(editor.post(f"/{resource.name}", json={"id": "x"}))
    assert {item["pointer"] for item in items if item["code"] == "missing"} == needed - {"/id"}
    example = example_of(resource)
    required = {name for name, field in members(resource.schema).items() if field.required}
    small = {name: example[name] for name in [*required, *ALTERNATIVES.get(resource.name, ())]}
    answer = editor.post(f"/{resource.name}", json=small)
    assert answer.status_code == 201
    left_out = members(resource.schema).keys() - small.keys()
    assert all(answer.get_json()["data"][name] in ([], None) for name in left_out)


NUMBERS = ["9007199254740993", "9007199254740992", "1e400", "0.1234567", "0.1000000000000000055", '"1"', "true", "null", "[1]"]


@pytest.mark.parametrize("written", NUMBERS)
def test_numbers_that_would_be_others(refused: FlaskClient, written: str) -> None:
    """A number that no reader could get back as it was sent is refused, and so is what only looks like one."""
    metric = '{"name": "a", "value": %s, "unit": "x", "kind": "count"}' % written  # noqa: UP031 - braces
    body = '{"id": "a", "city": "boston-ma", "title": "T", "summary": "S", "status": "pilot", "metrics": [%s]}' % metric  # noqa: UP031
    _, _, items = brief(refused.post("/initiatives", data=body, content_type="application/json"))
    assert [(item["pointer"], item["code"]) for item in items] == [("/metrics/0/value", "invalid-value")]


def test_numbers_that_stay(editor: FlaskClient) -> None:
    """A number that is exact comes back as it was sent."""
    numbers = ["9007199254740991", "-0.000001", "2.5e3", "123456789.123456", "0"]
    record = '{"id": "a-%d", "city": "boston-ma", "title": "T %d", "summary": "S", "status": "pilot", "metrics": [%s]}'
    metric = '{"name": "a", "value": %s, "unit": "x", "kind": "count"}'
    for n, written in enumerate(numbers):
        body = record % (n, n, metric % written)
        answer = editor.post("/initiatives", data=body, content_type="application/json")
        assert answer.get_json()["data"]["metrics"][0]["value"] == float(written)


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
