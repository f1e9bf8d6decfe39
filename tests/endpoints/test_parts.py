"""The feed and the snapshot of some nouns, cities and surveys."""

import json
import time

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from api.ledger import retention
from tests.support.answers import ANY, Json, brief, read
from tests.support.copies import city, pages
from tests.support.databases import ON_SQLITE
from tests.support.editions import SEEDED

SAN_DIEGO = "city=san-diego-ca"
OFFICE = {"id": "office-zz", "name": "Office", "type": "company", "city": "san-diego-ca"}


def told(client: FlaskClient, path: str) -> list[tuple[str, str]]:
    """Return the id and the effect of each change."""
    return [(row["id"], row["op"]) for page in pages(client, path) for row in page["data"]]


def lines(client: FlaskClient, path: str) -> list[Json]:
    """Return the lines of a snapshot."""
    answer = client.get(path)
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def moved(curator: FlaskClient) -> FlaskClient:
    """A client of a database in which an organization has moved from San Diego to Boston."""
    assert curator.post("/organizations", json=OFFICE).status_code == 201
    answer = curator.patch("/organizations/office-zz?message=Moved.", json={"city": "boston-ma"}, headers=ANY)
    assert answer.status_code == 200
    return curator


def test_a_record_that_leaves_is_a_tombstone(moved: FlaskClient) -> None:
    """Readers who know a record that leaves a city are told as of a deletion; others get nothing, or the record itself."""
    path = f"/changes?since={SEEDED + 1}&{SAN_DIEGO}"
    page = read(moved, path)
    (whole,) = read(moved, f"/changes?since={SEEDED + 1}")["data"]
    tombstone = {**whole, "op": "delete", "hash": None, "document": None}
    assert page == {
        "data": [tombstone],
        "links": {"self": f"http://localhost{path}", "next": None},
        "cursor": page["cursor"],
        "head": SEEDED + 2,
    }
    assert read(moved, f"/changes?since={SEEDED + 1}&city=boston-ma")["data"] == [whole]
    assert read(moved, f"/changes?since={SEEDED + 1}&city=los-angeles-ca")["data"] == []
    flat = read(moved, f"/changes/organizations?since={SEEDED + 1}&{SAN_DIEGO}")["data"]
    members = {name: tombstone[name] for name in ("id", "version", "changed_at", "cursor")}
    assert flat == [{**members, "deleted": True}]
    (newest,) = read(moved, f"/changes?order=-version&limit=1&{SAN_DIEGO}")["data"]
    assert newest == {**tombstone, "label": "Office (Boston)", "author": "curator"}


def test_tombstones_are_for_those_who_know_the_record(moved: FlaskClient) -> None:
    """A first load has no tombstones; a history has each, and an earlier state has the record."""
    assert "office-zz" not in [id for id, _ in told(moved, f"/changes?since=0&{SAN_DIEGO}")]
    history = told(moved, f"/changes?since=0&history=true&{SAN_DIEGO}")
    assert history[-2:] == [("office-zz", "upsert"), ("office-zz", "delete")]
    assert told(moved, f"/changes?since={SEEDED}&as_of={SEEDED + 1}&{SAN_DIEGO}") == [("office-zz", "upsert")]
    assert lines(moved, f"/snapshot?{SAN_DIEGO}&as_of={SEEDED + 1}")[-1]["id"] == "office-zz"
    moved.patch("/organizations/office-zz", json={"city": "san-diego-ca"}, headers=ANY)
    assert told(moved, f"/changes?since={SEEDED + 1}&{SAN_DIEGO}") == [("office-zz", "upsert")]
    moved.delete("/organizations/office-zz", headers=ANY)
    assert told(moved, f"/changes?since={SEEDED}&{SAN_DIEGO}") == [("office-zz", "delete")]


def test_values_of_a_parameter_are_alternatives(moved: FlaskClient) -> None:
    """A move between two cities of a feed is a change; a city and a survey must both hold; `kinds` chooses among the rest."""
    assert told(moved, f"/changes?since={SEEDED + 1}&{SAN_DIEGO},boston-ma") == [("office-zz", "upsert")]
    both = told(moved, f"/changes?since=0&{SAN_DIEGO}&survey=digital-cities-2024&kinds=awards")
    assert both == [("digital-cities-2024-san-diego-ca", "upsert")]
    assert told(moved, "/changes?since=0&city=boston-ma&survey=digital-cities-2024&kinds=cities,awards") == []


def test_an_erasure_reaches_all_who_had_the_record(moved: FlaskClient, database: Database) -> None:
    """Copies of a city that the record has left are told of an erasure, too; only those of its city now get it again."""
    with database.writing() as session:
        retention.erase(session, "organizations", "office-zz")
    assert told(moved, f"/changes?since={SEEDED + 2}&{SAN_DIEGO}") == [("office-zz", "erase")]
    assert told(moved, f"/changes?since={SEEDED + 2}&city=boston-ma") == [("office-zz", "erase"), ("office-zz", "upsert")]
    assert told(moved, f"/changes?since={SEEDED + 2}&city=los-angeles-ca") == []


def test_snapshots_of_parts(moved: FlaskClient) -> None:
    """A snapshot has the records of its part, their number, a root if it has whole nouns, and the cursor of its feed."""
    everything = lines(moved, "/snapshot")[1:]
    digest = read(moved, "/digest")["data"]
    first, *rows = lines(moved, "/snapshot?kinds=awards,surveys")
    assert rows == [row for row in everything if row["kind"] in {"awards", "surveys"}]
    assert (first["version"], first["count"]) == (SEEDED + 2, len(rows))
    assert first["root"] not in {None, digest["root"]}
    first, *rows = lines(moved, f"/snapshot?{SAN_DIEGO}&kinds=cities,organizations")
    of_city = [
        row for row in everything if row["document"]["id"] == "san-diego-ca" or row["document"].get("city") == "san-diego-ca"
    ]
    assert rows == [row for row in of_city if row["kind"] in {"cities", "organizations"}]
    assert (first["count"], first["root"]) == (len(rows), None)
    moved.patch("/organizations/office-zz", json=OFFICE, headers=ANY)
    assert told(moved, f"/changes?cursor={first['cursor']}&kinds=cities,organizations&{SAN_DIEGO}") == [("office-zz", "upsert")]


def test_a_cursor_belongs_to_its_cities_and_surveys(moved: FlaskClient) -> None:
    """A cursor of other cities or surveys, or of all, is refused, and says what to do; the order of values does not matter."""
    cursor = read(moved, "/changes?since=0&city=boston-ma,san-diego-ca")["cursor"]
    assert moved.get(f"/changes?cursor={cursor}&city=san-diego-ca,boston-ma,san-diego-ca").status_code == 200
    unfiltered = read(moved, "/changes?since=0")["cursor"]
    detail = "The cursor is of other cities or surveys: send those of its request, or begin with `since=0`."
    error = {"name": "cursor", "in": "query", "code": "invalid-cursor", "detail": detail}
    for path in (f"?cursor={cursor}", f"?cursor={cursor}&city=boston-ma", f"?cursor={unfiltered}&survey=digital-cities-2024"):
        status, name, errors = brief(moved.get(f"/changes{path}"))
        assert (status, name) == (400, "invalid-cursor")
        assert errors[0]["detail"] == error["detail"]
    newest = read(moved, f"/changes?order=-version&limit=1&{SAN_DIEGO}")["cursor"]
    assert moved.get(f"/changes?order=-version&cursor={newest}&city=boston-ma").status_code == 400


def test_unknown_cities_are_hinted_at(moved: FlaskClient) -> None:
    """A city that there never was has no changes, and a hint says so; one that is gone has none; no id is a 400."""
    hint = {
        "parameter": "city",
        "detail": "There never was a city `san-diego`; did you mean `san-diego-ca`?",
        "allowed": ["san-diego-ca"],
        "suggestion": "san-diego-ca",
    }
    for path in ("/changes?", "/changes?order=-version&", "/changes/awards?", "/changes?since=2&"):
        page = read(moved, f"{path}city=san-diego")
        assert (page["data"], page["hints"]) == ([], [hint])
    assert read(moved, "/changes?limit=1&city=san-diego,boston-ma")["hints"] == [hint]
    (first,) = lines(moved, "/snapshot?city=san-diego")
    assert (first["count"], first["root"], first["hints"]) == (0, None, [hint])
    moved.post("/cities", json=city("gone-zz"))
    moved.delete("/cities/gone-zz", headers=ANY)
    assert "hints" not in read(moved, "/changes?city=gone-zz")
    status, name, (error,) = brief(moved.get("/changes?survey=San%20Diego"))
    assert (status, name) == (400, "invalid-query")
    assert error["detail"] == "`survey` takes ids in lower-case letters, digits and single hyphens; `San Diego` is none."
    ids = ",".join(f"c{n}" for n in range(21))
    assert brief(moved.get(f"/snapshot?city={ids}"))[2][0]["detail"] == "`city` takes at most 20 ids."


@ON_SQLITE
def test_waiting_for_a_city(moved: FlaskClient) -> None:
    """A change elsewhere does not end a wait for a city; when its time is over, the cursor is behind that change."""
    cursor = read(moved, f"/changes?since=0&{SAN_DIEGO}")["cursor"]
    moved.post("/cities", json=city("other-zz"))
    began = time.monotonic()
    page = read(moved, f"/changes?cursor={cursor}&{SAN_DIEGO}&wait=1")
    assert time.monotonic() - began >= 1
    assert (page["data"], page["head"]) == ([], SEEDED + 3)
    assert page["cursor"] != cursor
