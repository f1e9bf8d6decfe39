"""What records may be to one another: references, unique values, and what happens to the rows that depend on a record."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.editing.inputs import example_of
from api.ledger.models import Revision
from api.resources import RESOURCES
from tests.support.answers import Json, brief, version
from tests.support.records import FRESNO

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
    ("organizations", {"id": "x", "name": "Amazon Web Services", "type": "company"}, "organizations", "amazon-web-services"),
    ("organizations", {"id": "x", "name": "San Diego City Clerk", "type": "city_office", "city": "san-diego-ca"}, "organizations", "san-diego-ca-city-clerk"),
    ("priorities", {"id": "x", "name": "Cybersecurity", "description": "D"}, "priorities", "cybersecurity"),
    ("awards", {"id": "x", "survey": "digital-cities-2024", "category": "500000-or-more", "city": "san-diego-ca", "rank": 3}, "awards", "digital-cities-2024-san-diego-ca"),
]  # fmt: skip


@pytest.mark.parametrize(("noun", "body", "kind", "id"), UNIQUE)
def test_what_another_record_has(refused: FlaskClient, noun: str, body: Json, kind: str, id: str) -> None:
    """What only one record can have is a 409 that names the record in the way."""
    status, name, (item,) = brief(refused.post(f"/{noun}", json=body))
    assert (status, name, item["code"], item["records"]) == (409, "conflict", "not-unique", [{"kind": kind, "id": id}])


def test_nulls_in_a_key_are_equal(curator: FlaskClient, database: Database) -> None:
    """Organizations without a city have names of their own, by every route and in the database; those of cities may share one."""
    body = {"id": "zz-0", "name": "Office", "type": "company", "city": None}
    twin = {**body, "id": "zz-1"}
    rows = [{"op": "create", "kind": "organizations", "document": row} for row in (body, twin)]
    assert brief(curator.post("/changesets", json={"operations": rows}))[2][0]["code"] == "not-unique"
    assert curator.post("/organizations", json=body).status_code == 201
    assert curator.post("/organizations", json={**twin, "city": "boston-ma"}).status_code == 201
    assert brief(curator.patch("/organizations/zz-1", json={"city": None}, headers={"If-Match": "*"}))[:2] == (409, "conflict")
    assert curator.post("/organizations", json={**twin, "id": "zz-2", "city": "seattle-wa"}).status_code == 201
    with pytest.raises(IntegrityError), database.writing() as session:
        session.execute(text("update organizations set city_id = null where id = 'zz-1'"))


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
    named = [record["id"] for item in items for record in item["records"] if record["kind"] == kind]
    assert 1 <= len(named) <= 20
    assert ids is None or named == ids
    assert version(refused) == before


def test_citations_go_with_their_fact(editor: FlaskClient, database: Database) -> None:
    """A record that nothing refers to but citations is deleted with them, in one commit."""
    path = "/initiatives/sacramento-ca-high-speed-internet"
    cited = editor.get(f"/citations?subject_id={path.rpartition('/')[2]}&limit=500").get_json()["data"]
    assert cited
    assert editor.delete(path, headers={"If-Match": "*"}).status_code == 204
    with database.reading() as session:
        last = session.scalars(select(Revision).order_by(Revision.version.desc()).limit(1)).one()
        same = session.scalars(select(Revision).where(Revision.commit_version == last.commit_version)).all()
    assert {(row.kind, row.id, row.op.value) for row in same} == {
        ("initiatives", path.rpartition("/")[2], "delete"),
        *(("citations", record["id"], "delete") for record in cited),
    }
    assert editor.get(f"/citations/{cited[0]['id']}").status_code == 410


def test_a_category_in_use_stays(editor: FlaskClient) -> None:
    """A part of a record that others refer to can be changed, and not taken away."""
    path, every = "/surveys/digital-cities-2024", {"If-Match": "*"}
    survey = editor.get(path).get_json()["data"]
    (category,) = survey["categories"]
    other = [{"category": "small", "name": "Small"}]
    status, name, items = brief(editor.patch(path, json={"categories": other}, headers=every))
    assert (status, name) == (409, "conflict")
    assert [item["records"][0]["kind"] for item in items if item["code"] == "in-use"] == ["awards"]
    more = [{**category, "name": "The largest"}, {"category": "small", "name": "Small"}]
    changed = editor.patch(path, json={"categories": more}, headers=every).get_json()["data"]["categories"]
    assert [row["name"] for row in changed] == ["The largest", "Small"]


def test_lists_are_replaced_in_their_order(editor: FlaskClient) -> None:
    """A patch replaces a list as a whole, in the order that was sent; what can't be twice is refused where it is."""
    path, every = "/initiatives/zz", {"If-Match": "*"}
    like = editor.get("/initiatives/los-angeles-ca-myla311").get_json()["data"]
    lists = {name: like[name] for name in ("city", "summary", "status", "priorities", "metrics")}
    old = editor.post("/initiatives", json={**lists, "id": "zz", "title": "ZZ"}).get_json()["data"]
    backwards = editor.patch(path, json={"priorities": old["priorities"][::-1]}, headers=every).get_json()["data"]
    assert backwards["priorities"] == old["priorities"][::-1]
    assert backwards["metrics"] == old["metrics"]
    emptied = editor.patch(path, json={"metrics": None, "started": None}, headers=every).get_json()["data"]
    assert emptied["metrics"] == []
    _, _, (item,) = brief(editor.patch(path, json={"priorities": ["cybersecurity"] * 2}, headers=every))
    assert (item["pointer"], item["code"]) == ("/priorities/1", "named-twice")
    _, _, (item,) = brief(editor.patch(path, json={"title": None}, headers=every))
    assert (item["pointer"], item["code"]) == ("/title", "missing")


def test_citations_swap_their_sentences(editor: FlaskClient) -> None:
    """In one changeset, the places of two citations of one fact change sides, although no text of their key changes."""
    first = editor.get("/citations?locator.record__isnull=true&limit=1").get_json()["data"][0]
    second = {**first, "id": "zz", "sentence": first["sentence"] + 90}
    document = {name: value for name, value in second.items() if name not in {"version", "updated_at"}}
    assert editor.post("/citations", json=document).status_code == 201
    rows = [
        {"op": "patch", "kind": "citations", "id": row["id"], "if_match": "*", "document": {"sentence": other["sentence"]}}
        for row, other in ((first, second), (second, first))
    ]
    assert editor.post("/changesets", json={"operations": rows}).status_code == 200
    swapped = [editor.get(f"/citations/{row['id']}").get_json()["data"]["sentence"] for row in (first, second)]
    assert swapped == [second["sentence"], first["sentence"]]


def test_records_swap_what_only_one_can_have(editor: FlaskClient) -> None:
    """In one changeset, names go from one record to another and back; what refers to others can't, and is a 409."""
    names = {"cybersecurity": "Modernization", "modernization": "Cybersecurity"}
    rows = [
        {"op": "patch", "kind": "priorities", "id": id, "if_match": "*", "document": {"name": name}}
        for id, name in names.items()
    ]
    assert editor.post("/changesets", json={"operations": rows}).status_code == 200
    assert {id: editor.get(f"/priorities/{id}").get_json()["data"]["name"] for id in names} == names
    awards = {"digital-cities-2024-san-diego-ca": "san-jose-ca", "digital-cities-2024-san-jose-ca": "san-diego-ca"}
    rows = [
        {"op": "patch", "kind": "awards", "id": id, "if_match": "*", "document": {"city": city}} for id, city in awards.items()
    ]
    status, name, (item,) = brief(editor.post("/changesets", json={"operations": rows}))
    assert (status, name, item["code"]) == (409, "conflict", "not-unique")
