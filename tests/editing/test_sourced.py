"""Members that say how much a source says: kinds of figures, other names, and lists that it leaves open."""

from contextlib import nullcontext
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.types import Base
from tests.support.answers import ANY, Json, brief

LAKE = "/initiatives/los-angeles-ca-data-lake"
SURVEY = "/surveys/digital-cities-2024"
COUNT: Json = {"name": "n", "kind": "count", "value": 5, "unit": "u"}
RECORD: Json = {"name": "r", "kind": "record", "unit": "permits", "direction": "highest", "period": "2005/.."}


@pytest.mark.parametrize(
    ("member", "metric"),
    [
        ("value", {**COUNT, "value": None}),
        ("value", {**RECORD, "value": 2005}),
        ("unit", {**COUNT, "kind": "money", "unit": "dollars"}),
        ("direction", {**COUNT, "kind": "change"}),
        ("direction", {**COUNT, "kind": "change", "direction": "highest"}),
        ("direction", {**COUNT, "direction": "increase"}),
        ("direction", {**RECORD, "direction": None}),
        ("period", {**RECORD, "period": None}),
        ("period", {**RECORD, "period": "since 2005"}),
        ("qualifier", {**COUNT, "qualifier": "roughly"}),
        ("kind", {"name": "n", "value": 5, "unit": "u"}),
    ],
)
def test_members_of_a_figure_go_together(refused: FlaskClient, member: str, metric: Json) -> None:
    """What a kind of figure needs, and what it cannot have, is a 422 that names the member."""
    status, name, (item,) = brief(refused.patch(LAKE, json={"metrics": [metric]}, headers=ANY))
    assert (status, name, item["pointer"]) == (422, "invalid-body", f"/metrics/0/{member}")


def test_figures_of_each_kind(curator: FlaskClient) -> None:
    """Figures of each kind are served as they were sent, with null for what was left out."""
    sent: list[Json] = [
        COUNT,
        {"name": "m", "kind": "money", "value": 2.5, "unit": "EUR", "qualifier": "up_to", "as_of": "2024"},
        {"name": "s", "kind": "share", "value": 9, "unit": "percent", "qualifier": "less_than"},
        {"name": "c", "kind": "change", "value": 4, "unit": "percent", "direction": "decrease", "period": "2023/2024"},
        RECORD,
    ]
    nulls = dict.fromkeys(["value", "qualifier", "direction", "period", "as_of"])
    answer = curator.patch(LAKE, json={"metrics": sent}, headers=ANY)
    assert answer.get_json()["data"]["metrics"] == [{**nulls, **metric} for metric in sent]
    found = curator.get("/initiatives?metric.kind=record&metric.period__lte=2006&metric.direction=highest&fields=id").get_json()
    assert {"id": "los-angeles-ca-data-lake"} in found["data"]


def test_other_names(curator: FlaskClient) -> None:
    """Other names are stored clean and sorted, each once, and found by their words, their beginning and as a whole."""
    answer = curator.patch(LAKE, json={"aliases": [" Lago  de datos ", "DL-1"]}, headers=ANY)
    assert answer.get_json()["data"]["aliases"] == ["DL-1", "Lago de datos"]
    for query in ("q=lago", "alias=DL-1", "alias__startswith=lago", "alias__contains=de%20datos", "alias__isnull=false"):
        assert [row["id"] for row in curator.get(f"/initiatives?{query}").get_json()["data"]] == ["los-angeles-ca-data-lake"]
    assert curator.get("/initiatives?q=lago&highlights=true").get_json()["highlights"]["los-angeles-ca-data-lake"] == {
        "aliases": [
            {"text": "DL-1, ", "match": False},
            {"text": "Lago", "match": True},
            {"text": " de datos", "match": False},
        ]
    }
    for aliases, pointer in ((["a", "A"], "/aliases/1"), (["a\u202eb"], "/aliases/0"), ([5], "/aliases/0")):
        status, _, (item,) = brief(curator.patch(LAKE, json={"aliases": aliases}, headers=ANY))
        assert (status, item["pointer"]) == (422, pointer)


@pytest.mark.parametrize(
    ("path", "incomplete", "pointer"),
    [
        (LAKE, ["/summary"], "/incomplete/0"),
        (LAKE, ["/awards", "/awards"], "/incomplete/1"),
        (SURVEY, ["/name"], "/incomplete/0"),
        (SURVEY, ["/categories/1/also_competing"], "/incomplete"),
    ],
)
def test_open_lists_that_are_none(refused: FlaskClient, path: str, incomplete: list[Any], pointer: str) -> None:
    """Only lists of the record can be left open, each once."""
    status, _, (item,) = brief(refused.patch(path, json={"incomplete": incomplete}, headers=ANY))
    assert (status, item["pointer"]) == (422, pointer)


@pytest.mark.parametrize(
    ("path", "incomplete"),
    [(LAKE, ["/priorities", "/partners"]), (SURVEY, ["/states", "/priorities", "/categories/0/also_competing", "/categories"])],
)
def test_open_lists(curator: FlaskClient, path: str, incomplete: list[str]) -> None:
    """The lists that a source leaves open are sorted, and a filter finds the record by them."""
    answer = curator.patch(path, json={"incomplete": incomplete}, headers=ANY)
    assert answer.get_json()["data"]["incomplete"] == sorted(incomplete)
    noun, id = path.strip("/").split("/")
    assert curator.get(f"/{noun}?incomplete=/priorities&fields=id").get_json()["data"] == [{"id": id}]


ABROAD: Json = {"id": "genova-ge", "name": "Genova", "country": "IT", "state": "GE"}


def test_cities_abroad(curator: FlaskClient) -> None:
    """A city can have a region of any country, or none; its id ends with it, or with the country, and names stay unique."""
    assert curator.post("/cities", json=ABROAD).status_code == 201
    monaco: Json = {"id": "monaco-mc", "name": "Monaco", "country": "MC", "location": {"latitude": 43.738, "longitude": 7.424}}
    created = curator.post("/cities", json=monaco).get_json()["data"]
    assert (created["state"], created["location"]) == (None, monaco["location"])
    assert [row["id"] for row in curator.get("/cities?location.longitude__gte=0").get_json()["data"]] == ["monaco-mc"]
    status, name, (item,) = brief(curator.post("/cities", json={**monaco, "id": "monaco-2-mc", "name": "MONACO"}))
    assert (status, name, item["code"]) == (409, "conflict", "not-unique")
    twice = {"identifiers": [{"scheme": "geonames", "value": "1"}]}
    assert curator.patch("/cities/monaco-mc", json=twice, headers=ANY).get_json()["data"]["identifiers"] == twice["identifiers"]
    assert curator.get("/cities?identifier.scheme=geonames&identifier.value=1&fields=id").get_json()["data"] == [
        {"id": "monaco-mc"}
    ]
    status, name, (item,) = brief(curator.patch("/cities/genova-ge", json=twice, headers=ANY))
    assert (status, name, item["code"], item["pointer"]) == (409, "conflict", "not-unique", "/identifiers/0/value")
    assert "monaco-mc" in item["detail"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"id": "genova-it"}, "/id"),
        ({"state": None}, "/id"),
        ({"state": "Ge"}, "/state"),
        ({"id": "genova-ca1", "state": "CA1", "country": "US"}, "/state"),
        ({"location": {"latitude": 90.5, "longitude": 0}}, "/location/latitude"),
        ({"location": {"latitude": 1.0000001, "longitude": 0}}, "/location/latitude"),
        ({"location": {"latitude": 1}}, "/location/longitude"),
        ({"location": [1, 2]}, "/location"),
        ({"identifiers": [{"scheme": "Geo Names", "value": "1"}]}, "/identifiers/0/scheme"),
        ({"identifiers": [{"scheme": "a", "value": "1"}, {"scheme": "a", "value": "1"}]}, "/identifiers/1/value"),
    ],
)
def test_cities_that_are_none(refused: FlaskClient, changes: Json, pointer: str) -> None:
    """A region, a point or an id elsewhere that cannot be is a 422 that names it."""
    status, _, (item,) = brief(refused.post("/cities", json={**ABROAD, **changes}))
    assert (status, item["pointer"]) == (422, pointer)


def test_a_placing_in_words(curator: FlaskClient) -> None:
    """An award has a rank, or the source's words for the placing; those without a rank come last."""
    award: Json = {"survey": "digital-cities-2024", "category": "500000-or-more", "city": "boston-ma"}
    words = {**award, "id": "digital-cities-2024-boston-ma", "placement": "finalist"}
    assert curator.post("/awards", json=words).get_json()["data"]["rank"] is None
    for sort in ("rank", "-rank"):
        assert curator.get(f"/awards?sort={sort}&fields=rank").get_json()["data"][-1] == {"rank": None}
    assert curator.get("/awards?placement=finalist&fields=id").get_json()["data"] == [{"id": words["id"]}]
    status, _, (item,) = brief(curator.patch(f"/awards/{words['id']}", json={"placement": None}, headers=ANY))
    assert (status, item["pointer"]) == (422, "/rank")


def test_the_database_refuses_a_citation_twice(database: Database) -> None:
    """Raw SQL cannot cite a fact twice from one place, although the places of the other form are null."""
    table = Base.metadata.tables["citations"]
    with database.reading() as session:
        row = dict(session.execute(select(table).limit(1)).mappings().one())
    value = {"paragraph": None, "sentence": None, "sentence_sha256": None, "value_sha256": "0" * 64}
    of_value = {**row, **value, "id": "zz-value", "locator_record": "1", "locator_column": "name"}
    for rows, is_refused in (
        ([{**row, "id": "zz"}], True),
        ([{**row, "id": "zz", "sentence": 99}], False),
        ([of_value], False),
        ([{**of_value, "id": "zz-other", "locator_column": "code"}], False),
        ([{**of_value, "id": "zz-again"}], True),
    ):
        with pytest.raises(IntegrityError) if is_refused else nullcontext(), database.writing() as session:
            session.execute(insert(table), rows)
