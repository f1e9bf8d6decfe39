"""Merging and renaming: every reference moves, the old id leads to the record, and a revert brings all back."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from api.ledger.retention import erase
from api.ledger.verify import verify
from api.resources import RESOURCES
from tests.support.answers import ANY, Json, brief, read, walk
from tests.support.databases import SQLITE_FIRST
from tests.support.records import FRESNO, nouns

SACRAMENTO = "sacramento-ca"


def move(client: FlaskClient, *operations: Json, **more: Any) -> Json:
    """Carry out operations, and return the answer."""
    answer = client.post("/changesets", json={"operations": operations, **more})
    body: Json = answer.get_json()
    assert answer.status_code == 200, body
    return body


def everything(client: FlaskClient) -> dict[str, dict[str, Json]]:
    """Return the facts of all records, by noun and id, without what publication adds."""
    return {
        noun.name: {row["id"]: {name: row[name] for name in noun.facts} for row in walk(client, f"/{noun.name}?limit=500")}
        for noun in RESOURCES
    }


def renamed(value: Any, old: str, new: str) -> Any:
    """Return a value with another text in place of one, wherever it is; lists that are sorted stay so."""
    if isinstance(value, dict):
        rows = {name: renamed(below, old, new) for name, below in value.items()}
        return {name: sorted(row) if name in {"awards", "also_competing"} else row for name, row in rows.items()}
    if isinstance(value, list):
        return [renamed(below, old, new) for below in value]
    return new if value == old else value


@SQLITE_FIRST
@nouns
def test_a_renamed_record_keeps_all_references(editor: FlaskClient, resource: Any) -> None:
    """A rename changes nothing in the whole dataset but the id, wherever it is; its revert changes that back."""
    before = everything(editor)
    old = next(
        (id for id in before[resource.name] if any(id in str(rows) for noun, rows in before.items() if noun != resource.name)),
        next(iter(before[resource.name])),
    )
    new = f"zz-{old}"
    answer = move(editor, {"op": "rename", "kind": resource.name, "id": old, "to": new})
    after = everything(editor)
    expected = {
        noun: {(new if (noun, id) == (resource.name, old) else id): renamed(row, old, new) for id, row in rows.items()}
        for noun, rows in before.items()
    }
    assert after == expected
    response = editor.get(f"/{resource.name}/{old}")
    assert (response.status_code, response.headers["Location"]) == (308, f"http://localhost/{resource.name}/{new}")
    revert = editor.post(f"/changesets/{answer['meta']['commit']}/revert")
    assert revert.status_code == 200, revert.get_json()
    assert everything(editor) == before
    assert (editor.get(f"/{resource.name}/{old}").status_code, editor.get(f"/{resource.name}/{new}").status_code) == (200, 410)


@SQLITE_FIRST
def test_a_merge_moves_what_both_have_once(editor: FlaskClient, database: Database) -> None:
    """References of two records become those of one; what then would be there twice stays once, with its citations."""
    before = everything(editor)
    initiative = next(row for row in before["initiatives"].values() if len(row["priorities"]) > 2)
    gone, stays, last = initiative["priorities"][:3]
    answer = move(editor, {"op": "merge", "kind": "priorities", "id": gone, "into": stays}, message="The same.")
    after = read(editor, f"/initiatives/{initiative['id']}")["data"]
    assert after["priorities"][:2] == [stays, last]
    cited = walk(editor, f"/citations?subject_id={initiative['id']}&field__startswith=/priorities/&limit=500")
    former = [row for row in before["citations"].values() if row["subject_id"] == initiative["id"]]
    moved = {f"/priorities/{number + 1}": f"/priorities/{number}" for number in range(len(initiative["priorities"]))}
    moved |= {"/priorities/0": "/priorities/0"}
    expected = {(moved[row["field"]], row["paragraph"], row["sentence"]) for row in former if row["field"] in moved}
    assert {(row["field"], row["paragraph"], row["sentence"]) for row in cited} == expected
    tombstone = next(row for row in answer["data"] if row["id"] == gone)
    assert (tombstone["status"], tombstone["merged_into"]) == ("deleted", stays)
    with database.reading() as session:
        assert list(verify(session)) == []
    assert editor.post(f"/changesets/{answer['meta']['commit']}/revert").status_code == 200
    assert everything(editor) == before


def test_a_citation_moves_only_with_its_fact(editor: FlaskClient) -> None:
    """A citation goes to the record that stays if its fact is the same there, and otherwise with the record that goes."""
    twin = {**FRESNO, "id": "fresno-2-ca", "name": "Fresno City"}
    for city in (FRESNO, twin):
        assert editor.post("/cities", json=city).status_code == 201
    source = {"source": "industry-insider-digital-cities-2024-part-1", "paragraph": 1, "sentence": 99}
    common = {**source, "subject_kind": "cities", "subject_id": "fresno-2-ca", "sentence_sha256": "0" * 64, "basis": "stated"}
    for id, field in (("zz-state", "/state"), ("zz-name", "/name")):
        assert editor.post("/citations", json={**common, "id": id, "field": field}).status_code == 201
    answer = move(editor, {"op": "merge", "kind": "cities", "id": "fresno-2-ca", "into": "fresno-ca"})
    assert {(row["id"], row["status"]) for row in answer["data"]} == {
        ("fresno-2-ca", "deleted"),
        ("zz-state", "updated"),
        ("zz-name", "deleted"),
    }
    assert read(editor, "/citations/zz-state")["data"]["subject_id"] == "fresno-ca"


def test_a_chain_of_merges_leads_to_its_end(editor: FlaskClient, database: Database) -> None:
    """Each id of a chain leads to the last record, in the same form and with the same parameters; `as_of` shows what was.

    An erasure of its past leaves an id where it leads.
    """
    for letter in "abc":
        editor.post("/organizations", json={"id": letter, "name": letter, "type": "company"})
    born = read(editor, "/organizations/a")["data"]["version"]
    first = move(editor, {"op": "merge", "kind": "organizations", "id": "a", "into": "b"})["meta"]["version"]
    move(editor, {"op": "merge", "kind": "organizations", "id": "b", "into": "c"})
    for path, there in (
        ("/a?fields=id,name", "/c?fields=id,name"),
        ("/b.html", "/c.html"),
        (f"/a?as_of={first}", f"/b?as_of={first}"),
    ):
        answer = editor.get(f"/organizations{path}")
        assert (answer.status_code, answer.headers["Location"]) == (308, f"http://localhost/organizations{there}")
    assert read(editor, f"/organizations/a?as_of={born}")["data"]["name"] == "a"
    history = read(editor, "/organizations/a/history")["data"]
    assert [(row["op"], row.get("merged_into")) for row in history] == [("delete", "b"), ("upsert", None)]
    feed = read(editor, f"/changes?since={first - 1}")["data"]
    assert {row["id"]: row.get("merged_into") for row in feed if row["op"] == "delete"} == {"a": "b", "b": "c"}
    flat = read(editor, f"/changes/organizations?since={first - 1}")["data"]
    assert {row["id"]: row.get("merged_into") for row in flat if row["deleted"]} == {"a": "b", "b": "c"}
    with database.writing() as session:
        erase(session, "organizations", "a")
    assert editor.get("/organizations/a").headers["Location"] == "http://localhost/organizations/c"


REFUSED = [
    ({"id": "boston-ma", "into": "boston-ma"}, 422, "invalid-value", "/operations/0/into"),
    ({"id": "boston-ma"}, 422, "missing", "/operations/0/into"),
    ({"id": "boston-ma", "into": "x-ca", "document": {}}, 422, "invalid-value", "/operations/0/document"),
    ({"id": "boston-ma", "into": "seattle-wa", "to": "x-ca"}, 422, "invalid-value", "/operations/0/to"),
    ({"id": "boston-ma", "into": "no-such-ca"}, 409, "unknown-id", "/operations/0/into"),
    ({"id": "no-such-ca", "into": "boston-ma"}, 404, "unknown-id", "/operations/0/id"),
    ({"id": "boston-ma", "into": "seattle-wa", "if_match": 1}, 412, "precondition-failed", "/operations/0/if_match"),
    ({"op": "rename", "id": "boston-ma", "to": "seattle-wa"}, 409, "already-exists", "/operations/0"),
    ({"op": "rename", "id": "boston-ma", "to": "Boston"}, 422, "invalid-value", "/operations/0/to"),
]


@pytest.mark.parametrize(("members", "status", "code", "pointer"), REFUSED)
def test_moves_that_are_none(refused: FlaskClient, members: Json, status: int, code: str, pointer: str) -> None:
    """A merge or a rename that cannot be carried out is refused with the place and the reason."""
    operation = {"op": "merge", "kind": "cities", **members}
    answer = brief(refused.post("/changesets", json={"operations": [operation]}))
    assert (answer[0], code, pointer) == (
        status,
        *next((row["code"], row["pointer"]) for row in answer[2] if row["code"] == code),
    )


def test_an_id_that_leads_elsewhere_is_taken(editor: FlaskClient) -> None:
    """A new record cannot silently take an id that leads elsewhere: the refusal names the other record and the changeset."""
    for city in (FRESNO, {**FRESNO, "id": "fresno-2-ca", "name": "Fresno City"}):
        editor.post("/cities", json=city)
    commit = move(editor, {"op": "merge", "kind": "cities", "id": "fresno-2-ca", "into": "fresno-ca"})["meta"]["commit"]
    body = {**FRESNO, "id": "fresno-2-ca", "name": "Another Fresno"}
    rename = {"operations": [{"op": "rename", "kind": "cities", "id": "boston-ma", "to": "fresno-2-ca"}]}
    for answer in (
        editor.post("/cities", json=body),
        editor.put("/cities/fresno-2-ca", json=body),
        editor.post("/changesets", json=rename),
    ):
        status, _, (item, *_) = brief(answer)
        assert (status, item["code"], item["records"]) == (409, "redirects", [{"kind": "cities", "id": "fresno-ca"}])
        assert f"changeset {commit}" in item["detail"]
    for answer in (
        editor.patch("/cities/fresno-2-ca", json={}, headers=ANY),
        editor.delete("/cities/fresno-2-ca", headers=ANY),
    ):
        status, name, (item,) = brief(answer)
        assert (status, name, item["suggestion"]) == (410, "record-deleted", "fresno-ca")
    wrong = brief(editor.post("/organizations", json={"id": "x", "name": "x", "type": "company", "city": "fresno-2-ca"}))
    assert wrong[2][0]["suggestion"] == "fresno-ca"
    assert editor.post(f"/changesets/{commit}/revert").status_code == 200
    assert read(editor, "/cities/fresno-2-ca")["data"]["name"] == "Fresno City"
    again = editor.patch("/cities/fresno-2-ca", json={"name": "Another Fresno"}, headers=ANY)
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("path", "kind", "id", "new"),
    [
        ("/initiatives?city=", "cities", "boston-ma", "hub-ma"),
        ("/organizations?parent=", "organizations", "e-republic", "zz"),
    ],
)
def test_a_filter_by_an_old_id_names_the_new_one(editor: FlaskClient, path: str, kind: str, id: str, new: str) -> None:
    """A filter does not follow a redirect: the list is empty, and its hint names the id to filter by."""
    move(editor, {"op": "rename", "kind": kind, "id": id, "to": new})
    answer = read(editor, f"{path}{id}")
    assert (answer["data"], answer["meta"]["hints"][0]["suggestion"]) == ([], new)
    assert "was merged into" in answer["meta"]["hints"][0]["detail"]
