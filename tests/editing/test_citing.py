"""Citations point to facts that exist, and stay on the fact that they were written for."""

import itertools
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from api.ledger.verify import verify
from tests.support.answers import ANY, Json, brief
from tests.support.files import load, said, write

MYLA311 = "/initiatives/los-angeles-ca-myla311"
CITATION = {
    "id": "zz",
    "subject_kind": "initiatives",
    "subject_id": "los-angeles-ca-myla311",
    "field": "/title",
    "source": "industry-insider-digital-cities-2024-part-1",
    "paragraph": 1,
    "sentence": 99,
    "sentence_sha256": "0" * 64,
    "basis": "stated",
}


def citations_of(client: FlaskClient, field: str) -> list[list[str]]:
    """Return the ids of the citations of each item of a list of MyLA311."""
    rows = client.get(
        f"/citations?subject_id=los-angeles-ca-myla311&field__startswith={field}/&sort=field&limit=500"
    ).get_json()
    return [[row["id"] for row in group] for _, group in itertools.groupby(rows["data"], lambda row: row["field"])]


@pytest.mark.parametrize(
    ("field", "suggestion"),
    [
        ("/colour", None),
        ("/titel", "/title"),
        ("/metrics/99", None),
        ("/metrics/-", None),
        ("/metrics/00", None),
        ("/metrics/0/nam", "/metrics/0/name"),
        ("/title/0", None),
        ("/version", None),
        ("/priorities/0/x", None),
        ("/a~1b", None),
    ],
)
def test_a_pointer_to_nothing_is_refused(refused: FlaskClient, field: str, suggestion: str | None) -> None:
    """A citation of what its record does not have is a 422 that names pointers around it, by every route."""
    body = {**CITATION, "field": field}
    path = "/citations/initiatives-los-angeles-ca-myla311-title-p10-s2"
    operation = {"op": "create", "kind": "citations", "document": body}
    for answer in (
        refused.post("/citations", json=body),
        refused.put("/citations/zz", json=body),
        refused.patch(path, json={"field": field}, headers=ANY),
        refused.post("/changesets", json={"operations": [operation]}),
    ):
        status, name, (item,) = brief(answer)
        assert (status, name, item["code"], item["pointer"].rpartition("/")[2]) == (
            422,
            "invalid-body",
            "unknown-reference",
            "field",
        )
        assert suggestion is None or item["suggestion"] == suggestion
        assert item["allowed"]


@pytest.mark.parametrize("field", ["/title", "/started", "/metrics", "/metrics/0", "/metrics/0/value", "/priorities/1"])
def test_control_a_pointer_to_a_fact(curator: FlaskClient, field: str) -> None:
    """A member, also one that is null, a list, an item and a member of it can be cited."""
    assert curator.post("/citations?dry_run=true", json={**CITATION, "field": field}).status_code == 201


def test_a_derived_list_is_cited_where_it_is_written(refused: FlaskClient) -> None:
    """The surveys of a priority are written in the surveys, and cited there."""
    body = {**CITATION, "subject_kind": "priorities", "subject_id": "cybersecurity", "field": "/surveys/0"}
    assert brief(refused.post("/citations", json=body))[:2] == (422, "invalid-body")


def changed(metrics: list[Json]) -> dict[str, tuple[Json, set[int]]]:
    """Return changes of MyLA311's metrics, each with the numbers of the citations that it would mislead."""
    first, second, third = metrics
    return {
        "shorter": ({"metrics": [first, second]}, {2}),
        "none": ({"metrics": None}, {0, 1, 2}),
        "reordered": ({"metrics": [second, first, third]}, {0, 1}),
        "inserted": ({"metrics": [{**first, "name": "new"}, *metrics]}, {0, 1, 2}),
        "replaced": ({"metrics": [first, {**second, "name": "other"}, third]}, {1}),
        "appended": ({"metrics": [*metrics, {**first, "name": "new"}]}, set()),
        "corrected": ({"metrics": [{**first, "value": 5}, second, third]}, set()),
        "other member": ({"title": "T"}, set()),
    }


CASES = ("shorter", "none", "reordered", "inserted", "replaced", "appended", "corrected", "other member")


@pytest.mark.parametrize("name", CASES)
def test_a_list_does_not_slip_from_under_its_citations(editor: FlaskClient, name: str) -> None:
    """A change that leaves citations on another item, or on none, is a 409 that names exactly these; others are written."""
    record, cited = editor.get(MYLA311).get_json()["data"], citations_of(editor, "/metrics")
    patch, misled = changed(record["metrics"])[name]
    whole = {
        key: value for key, value in record.items() if key not in {"attributions", "basis", "version", "updated_at"}
    } | patch
    for answer in (
        editor.put(f"{MYLA311}?dry_run=true", json={**whole, "metrics": whole["metrics"] or []}, headers=ANY),
        editor.patch(MYLA311, json=patch, headers=ANY),
    ):
        if not misled:
            assert answer.status_code == 200
            continue
        status, problem, (item,) = brief(answer)
        assert (status, problem, item["code"], item["pointer"]) == (409, "conflict", "cited", "/metrics")
        assert {row["id"] for row in item["records"]} == {id for number in misled for id in cited[number]}


def operation(op: str, path: str, document: Json | None = None) -> Json:
    """Return an operation on an existing record."""
    _, kind, id = path.split("/")
    return {"op": op, "kind": kind, "id": id, "if_match": "*", **({} if document is None else {"document": document})}


def test_one_changeset_moves_a_list_and_its_citations(editor: FlaskClient, database: Database) -> None:
    """Citations that the same changeset changes, deletes or confirms do not stand in the way; the control: one is left out."""
    first, second, _ = editor.get(MYLA311).get_json()["data"]["metrics"]
    (one,), (two,), third = citations_of(editor, "/metrics")
    rows = [
        operation("patch", MYLA311, {"metrics": [second, {**first, "name": "Renamed"}]}),
        *(operation("delete", f"/citations/{each}") for each in third),
        operation("patch", f"/citations/{two}", {"field": "/metrics/0"}),
        operation("patch", f"/citations/{one}", {"field": "/metrics/1"}),
    ]
    for left_out in range(1, len(rows)):
        answer = editor.post("/changesets?dry_run=true", json={"operations": rows[:left_out] + rows[left_out + 1 :]})
        assert brief(answer)[1] == "conflict"
    assert editor.post("/changesets", json={"operations": rows}).status_code == 200
    rename = [operation("patch", MYLA311, {"metrics": [{**second, "name": "Other"}, {**first, "name": "Renamed"}]})]
    assert brief(editor.post("/changesets", json={"operations": rename}))[1] == "conflict"
    confirmed = [*rename, operation("patch", f"/citations/{two}", {})]
    assert editor.post("/changesets", json={"operations": confirmed}).status_code == 200
    with database.reading() as session:
        assert list(verify(session)) == []


def test_lists_that_are_published_in_an_order_of_their_own(editor: FlaskClient) -> None:
    """The number of an item is that in the published record, where states are sorted, and not that in the request."""
    path, states = (
        "/surveys/digital-cities-2024",
        [{"state": "WA", "cities_recognized": 1}, {"state": "CA", "cities_recognized": 13}],
    )
    assert editor.patch(path, json={"states": states}, headers=ANY).status_code == 200
    status, _, (item,) = brief(
        editor.patch(path, json={"states": [*states, {"state": "AZ", "cities_recognized": 1}]}, headers=ANY)
    )
    assert (status, item["pointer"]) == (409, "/states")


def test_a_record_and_its_citation_in_one_changeset(curator: FlaskClient) -> None:
    """A citation can come before its record, and points into the record as the changeset leaves it."""
    city = {"id": "fresno-ca", "name": "Fresno", "state": "CA", "country": "US"}
    for field, status in (("/name", 200), ("/metrics/0", 422)):
        body = {**CITATION, "subject_kind": "cities", "subject_id": "fresno-ca", "field": field}
        rows = [{"op": "create", "kind": kind, "document": row} for kind, row in (("citations", body), ("cities", city))]
        assert curator.post("/changesets?dry_run=true", json={"operations": rows}).status_code == status


def test_imports_obey(editor: FlaskClient, database: Database, tmp_path: Path) -> None:
    """A file that reorders a list is refused, even if it comes with unchanged citations; the control: changed ones."""
    record, cited = editor.get(MYLA311).get_json()["data"], citations_of(editor, "/metrics")
    first, second, third = record["metrics"]
    sent = {key: value for key, value in record.items() if key not in {"version", "updated_at"}}
    rows = [editor.get(f"/citations/{id}").get_json()["data"] for (id,) in cited[:2]]
    rows = [{key: value for key, value in row.items() if key not in {"version", "updated_at"}} for row in rows]
    write(tmp_path, "initiatives.json", [{**sent, "metrics": [second, first, third]}])
    (line,) = said(load(database, tmp_path), tmp_path)
    assert line.startswith("initiatives.json:1: metrics: Citations point")
    write(tmp_path, "citations.json", rows)
    assert len(said(load(database, tmp_path), tmp_path)) == 1
    write(tmp_path, "citations.json", [{**rows[0], "field": "/metrics/7"}, {**rows[1], "field": "/metrics/0"}])
    assert [line.partition(";")[0] for line in said(load(database, tmp_path), tmp_path)] == [
        "citations.json:1: field: The initiative `los-angeles-ca-myla311` has nothing at `/metrics/7`"
    ]
    write(tmp_path, "citations.json", [{**rows[0], "field": "/metrics/1"}, {**rows[1], "field": "/metrics/0"}])
    assert said(load(database, tmp_path), tmp_path) == []
