"""Changesets: many operations as one commit, or none of them."""

import json

import pytest
from flask.testing import FlaskClient

from tests.support.answers import Json, brief, version
from tests.support.records import FRESNO


def operations() -> list[Json]:
    """Return operations whose first ones refer to records that the last ones create."""
    members = {"summary": "S.", "status": "pilot", "city": "oakland-ca"}
    return [
        {
            "op": "create",
            "kind": "initiatives",
            "document": {"id": "oakland-ca-x", "title": "X", "parent": "oakland-ca-y", **members},
        },
        {"op": "create", "kind": "initiatives", "document": {"id": "oakland-ca-y", "title": "Y", **members}},
        {"op": "put", "kind": "cities", "id": "oakland-ca", "document": {"name": "Oakland", "state": "CA", "country": "US"}},
        {"op": "patch", "kind": "cities", "id": "seattle-wa", "if_match": "*", "document": {"summary": "By a sound."}},
        {"op": "delete", "kind": "initiatives", "id": "sacramento-ca-high-speed-internet", "if_match": "*"},
    ]


def test_a_changeset_is_one_commit(editor: FlaskClient) -> None:
    """Operations on several nouns are one commit with author and reason, shown at its address; a dry run answers the same."""
    body = {"message": "Oakland joins.", "operations": operations()}
    dry = editor.post("/changesets?dry_run=true", json=body)
    assert editor.get("/cities/oakland-ca").status_code == 404
    real = editor.post("/changesets", json=body)
    assert (real.status_code, real.get_data()) == (200, dry.get_data())
    assert real.headers["Location"] == dry.headers["Location"]
    assert [row["status"] for row in real.get_json()["data"]] == ["created", "created", "created", "updated", "deleted"]
    commit = editor.get(real.headers["Location"]).get_json()["data"]
    assert (commit["author"], commit["message"]) == ("curator", "Oakland joins.")
    versions = {(row["kind"], row["id"]): row["version"] for row in commit["changes"]}
    for row in real.get_json()["data"]:
        assert versions[row["kind"], row["id"]] == row["version"]
    assert commit["last_version"] == version(editor) == real.get_json()["meta"]["version"]
    assert commit["version"] == real.get_json()["meta"]["commit"]


def test_a_changeset_in_lines(editor: FlaskClient) -> None:
    """A changeset can be NDJSON with one operation per line and the message in the query."""
    lines = "\n".join(json.dumps(row) for row in operations()) + "\n"
    answer = editor.post("/changesets?message=Lines", data=lines, content_type="application/x-ndjson")
    assert answer.status_code == 200
    assert editor.get(answer.headers["Location"]).get_json()["data"]["message"] == "Lines"
    broken = editor.post("/changesets", data=lines + "{", content_type="application/x-ndjson")
    assert brief(broken)[2][0]["detail"].startswith("Line 6 is not JSON")


def test_all_or_nothing_with_every_error(refused: FlaskClient) -> None:
    """One wrong operation refuses the whole changeset; the answer lists every error of every operation with its place."""
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
    ({"operations": None}, "/operations", "invalid-value"),
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
    ({"operations": operations(), "message": None}, "/message", "invalid-value"),
    *(
        ({"operations": [{"op": "delete", "kind": "cities", "id": "a", name: None}]}, f"/operations/0/{name}", "invalid-value")
        for name in ("op", "kind", "id", "if_match", "document", "into", "to")
    ),
    ({"operations": operations(), "message": "\0"}, "/message", "invalid-value"),
    ({"operations": operations(), "message": "\ud800"}, "/message", "invalid-value"),
    ({"operations": operations(), "message": "x" * 501}, "/message", "invalid-value"),
    ({"operations": operations(), "massage": "x"}, "/massage", "unknown-member"),
    ({"operations": [{"op": "delete", "kind": "cities", "id": "a"}] * 1001}, "/operations", "wrong-number"),
]


@pytest.mark.parametrize(("body", "pointer", "code"), MALFORMED)
def test_changesets_that_are_none(refused: FlaskClient, body: Json, pointer: str, code: str) -> None:
    """An invalid changeset is a 422 with place and reason, and writes nothing."""
    before = version(refused)
    status, name, items = brief(refused.post("/changesets", json=body))
    assert (status, name) == (422, "invalid-body")
    assert (pointer, code) in [(item["pointer"], item["code"]) for item in items]
    assert version(refused) == before


def test_a_thousand_operations(editor: FlaskClient) -> None:
    """The maximum number of operations is one commit, and an operation can reuse a value that another one frees."""
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
    answer = editor.post("/changesets", json={"operations": rows})
    assert answer.status_code == 200
    assert {row["status"] for row in answer.get_json()["data"]} == {"created", "deleted"}
    commit = editor.get(answer.headers["Location"]).get_json()["data"]
    assert len(commit["changes"]) == 1000


def test_a_changeset_that_changes_nothing(editor: FlaskClient) -> None:
    """A changeset that changes nothing makes no commit and no version."""
    before = version(editor)
    city = {
        name: value
        for name, value in editor.get("/cities/seattle-wa").get_json()["data"].items()
        if name not in {"attributions", "basis", "version", "updated_at"}
    }
    answer = editor.post(
        "/changesets", json={"operations": [{"op": "put", "kind": "cities", "if_match": "*", "document": city}]}
    )
    assert answer.get_json()["data"][0]["status"] == "unchanged"
    assert (answer.get_json()["meta"], "Location" in answer.headers) == ({"version": before, "commit": None}, False)


def test_commits_of_others(refused: FlaskClient) -> None:
    """A migration's commit tells who corrected the facts and why; a version inside it leads to it; a later version is a 404."""
    commit = refused.get("/changesets/1").get_json()["data"]
    assert (commit["author"], commit["message"].partition(":")[0]) == (
        "maintainers",
        "Correction of the Digital Cities Survey 2024",
    )
    inside = refused.get("/changesets/2")
    assert (inside.status_code, inside.headers["Location"]) == (303, "http://localhost/changesets/1")
    for beyond in (999999, 2**53 - 1, 2**53, 10**30, 0):
        assert brief(refused.get(f"/changesets/{beyond}"))[0] == 404
