"""Search across nouns and type-ahead: labels, counts of each noun, aliases and typing errors, on both databases."""

from collections import Counter

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from tests.support.answers import Json, read
from tests.support.copies import city
from tests.support.databases import counted, publishing

BASE = "http://localhost"


def suggested(client: FlaskClient, parameters: str) -> list[str]:
    """Return the ids that complete a text."""
    return [row["id"] for row in read(client, f"/suggest?{parameters}")["data"]]


def test_labels_name_the_city(client: FlaskClient) -> None:
    """Records of a city are shown with its name, in both searches; others by their own name alone."""
    rows = read(client, "/suggest?q=ai+policy&kinds=initiatives")["data"]
    names = {row["id"]: row["name"] for row in read(client, "/cities?limit=500")["data"]}
    records = {row["id"]: row for row in read(client, "/initiatives?limit=500")["data"]}
    expected = [f"{records[row['id']]['title']} ({names[records[row['id']]['city']]})" for row in rows]
    assert len(rows) > 1
    assert [row["label"] for row in rows] == expected
    hits = read(client, "/search?q=ai+policy&limit=500")["data"]
    assert {row["kind"] for row in hits} > {"initiatives"}
    for row in hits:
        name = row["record"].get("name") or row["record"].get("title") or row["record"].get("label") or row["id"]
        place = row["record"].get("city")
        if row["kind"] not in CAPTIONED:
            assert row["label"] == (f"{name} ({names[place]})" if place else name)


CAPTIONED = {"awards", "surveys"}
LABEL = "{}, Digital Cities Survey 2024, 500,000 or more population: {}, CA"


def test_captions(client: FlaskClient) -> None:
    """An award is called by its placing, its survey, its category and its city, and an edition of a survey by its year."""
    placings = [("1st", "San Diego"), ("2nd", "Los Angeles"), ("2nd", "San Jose"), ("9th", "Sacramento")]
    awards = {
        f"digital-cities-2024-{city.lower().replace(' ', '-')}-ca": LABEL.format(placing, city) for placing, city in placings
    }
    found = {row["id"]: row["label"] for row in read(client, "/search?q=placed&kinds=awards&limit=500")["data"]}
    assert found == awards
    (survey,) = read(client, "/suggest?q=digital+cities&kinds=surveys")["data"]
    assert survey["label"] == "Digital Cities Survey 2024"
    facets = read(client, "/initiatives?facets=award,award.survey&limit=0")["facets"]
    labels = {row["value"]: row["label"] for facet in facets.values() for row in facet["values"] if row["value"]}
    changes = read(client, "/changes?order=-version&kinds=awards&limit=500")["data"]
    assert labels["digital-cities-2024"] == "Digital Cities Survey 2024"
    assert {id: label for id, label in labels.items() if id in awards}.items() <= awards.items()
    assert len(labels) > 2
    assert {row["id"]: row["label"] for row in changes if row["id"] in awards} == awards


def test_captions_of_a_facet_follow_a_write(own_client: FlaskClient, database: Database) -> None:
    """A facet asked for again has the captions of the present, also of records whose name is that of another."""

    def labels() -> set[str]:
        return {row["label"] for row in read(own_client, "/initiatives?facets=award&limit=0")["facets"]["award"]["values"]}

    first, again = labels(), labels()
    assert first == again
    assert LABEL.format("1st", "San Diego") in first
    with publishing(database) as session:
        session.execute(text("update cities set name = 'Saint Didacus' where id = 'san-diego-ca'"))
    assert labels() == {label.replace("San Diego", "Saint Didacus") for label in first}


def test_captions_take_no_statement_for_each_row(client: FlaskClient) -> None:
    """The captions of three awards take as many statements as the caption of one."""
    numbers = []
    # The first request of a process counts records.
    read(client, "/search?q=placed&kinds=awards")
    for limit in (1, 3):
        with counted(client.application.extensions["database"]) as statements:
            assert len(read(client, f"/search?q=placed&kinds=awards&limit={limit}&count=none")["data"]) == limit
        numbers.append(len(statements))
    assert numbers[0] == numbers[1]


def test_a_caption_of_what_is_gone(own_client: FlaskClient, database: Database) -> None:
    """A deleted award keeps its caption in the changes."""
    with publishing(database) as session:
        session.execute(text("update awards set rank = 112 where id = 'digital-cities-2024-sacramento-ca'"))
    with publishing(database) as session:
        session.execute(text("delete from initiative_awards where award_id = 'digital-cities-2024-sacramento-ca'"))
        session.execute(text("delete from awards where id = 'digital-cities-2024-sacramento-ca'"))
    (deleted, *_) = read(own_client, "/changes?order=-version&kinds=awards")["data"]
    assert (deleted["op"], deleted["label"]) == ("delete", LABEL.format("112th", "Sacramento"))


@pytest.mark.parametrize("query", ["data", "data -city", "-data", '"ai policy"', "unheardof"])
def test_counts_of_each_noun(client: FlaskClient, query: str) -> None:
    """The facet counts the records of each noun, also of those that `kinds` leaves out; its links add and remove a noun."""
    hits = client.get("/search", query_string={"q": query, "limit": 500}).get_json()
    numbers = Counter(row["kind"] for row in hits["data"])
    values = hits["facets"]["kinds"]["values"]
    assert {row["value"]: row["count"] for row in values} == numbers
    assert [row["count"] for row in values] == sorted(numbers.values(), reverse=True)
    some = client.get("/search", query_string={"q": query, "kinds": "cities,sources", "count": "exact"}).get_json()
    of_some = {row["value"]: row for row in some["facets"]["kinds"]["values"]}
    assert {kind: row["count"] for kind, row in of_some.items()} == {"cities": 0, "sources": 0} | numbers
    assert {kind for kind, row in of_some.items() if row["selected"]} == {"cities", "sources"}
    assert some["page"]["total"] == numbers["cities"] + numbers["sources"]
    for kind, row in of_some.items():
        added, removed = (client.get(row[name].removeprefix(BASE)).get_json() for name in ("add", "remove"))
        assert {row["kind"] for row in removed["data"]} == {"cities", "sources"} - {kind} & numbers.keys()
        assert added["page"]["total"] == sum(numbers[one] for one in {"cities", "sources", kind})


def test_nothing_is_counted(client: FlaskClient) -> None:
    """`count=none` counts no noun, either."""
    answer = read(client, "/search?q=data&count=none&limit=1")
    assert (answer["facets"], answer["page"]["total"]) == ({}, None)


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        *(
            (typed, "sacramento-ca")
            for typed in ("sacremento", "sacrmento", "sacraamento", "sarcamento", "dacramento", "sacrame")
        ),
        *((typed, "san-diego-ca") for typed in ("san deigo", "san diegp", "san diegoo")),
        ("l.a", "los-angeles-ca"),
        ("LA", "los-angeles-ca"),
    ],
)
def test_a_typing_error(client: FlaskClient, typed: str, first: str) -> None:
    """A letter that is missing, too many, another one or swapped still finds the city; an alias completes it, too."""
    assert suggested(client, f"q={typed}&kinds=cities")[0] == first


@pytest.mark.parametrize("typed", ["sxn", "dxegx sxn", "sacramentosacrementosacramento"])
def test_more_than_an_error(client: FlaskClient, typed: str) -> None:
    """An error in a short word, and a long text find no city."""
    assert suggested(client, f"q={typed}&kinds=cities") == []


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("sacremente", ["sacramento-ca"]),
        ("dxego sxn", ["san-diego-ca"]),
        ("sacramento ca", ["sacramento-ca"]),
        ("los angeles, calif.", ["los-angeles-ca"]),
        ("cities/boston-ma", ["boston-ma"]),
        ("bostn, mass.", ["boston-ma"]),
    ],
)
def test_names_as_people_write_them(client: FlaskClient, typed: str, found: list[str]) -> None:
    """What no name begins with is matched as a sheet's cells are: with the state of a city, and with several errors."""
    assert [
        row["id"] for row in client.get("/suggest", query_string={"q": typed, "kinds": "cities"}).get_json()["data"]
    ] == found


def test_a_name_comes_before_similar_ones(client: FlaskClient) -> None:
    """The record that has the text as a name comes first, and those with a similar name follow."""
    rows = client.get("/suggest", query_string={"q": "San Jose, Calif."}).get_json()["data"]
    assert [(row["kind"], row["label"]) for row in rows] == [
        ("cities", "San Jose"),
        ("organizations", "City of San Jose (San Jose)"),
    ]


def test_exact_beginnings_come_first(curator: FlaskClient) -> None:
    """Names that begin as typed come before names that do so but for an error, whatever their nouns and names."""
    for id, name in (("barton-zz", "Barton"), ("boston-zz", "Bostok"), ("north-bosto-zz", "North Bostonia")):
        assert curator.post("/cities", json=city(id, name=name)).status_code == 201
    assert suggested(curator, "q=boston") == ["boston-ma", "north-bosto-zz", "boston-zz"]
    assert suggested(curator, "q=boston&limit=2") == ["boston-ma", "north-bosto-zz"]


def test_new_aliases(editor: FlaskClient) -> None:
    """An alias completes its record as soon as it is written, and no longer than it is there."""
    record: Json = city("zedville-zz", name="Zedville", aliases=["Queen City", "Z.V."])
    assert editor.post("/cities", json=record).status_code == 201
    for typed in ("quee", "qeuen city", "city qu", "zv", "zedv"):
        assert suggested(editor, f"q={typed}&kinds=cities") == ["zedville-zz"]
    assert editor.patch("/cities/zedville-zz", json={"aliases": []}, headers={"If-Match": "*"}).status_code == 200
    assert suggested(editor, "q=quee&kinds=cities") == []
