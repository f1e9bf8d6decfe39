"""The page of changes: what belongs together is said once, and what a record is about."""

import datetime as dt

import pytest
from flask.testing import FlaskClient

from tests.support.answers import ANY, Json
from tests.support.databases import ON_SQLITE
from tests.support.markup import page_of


@ON_SQLITE
def test_a_reason_is_said_once(curator: FlaskClient) -> None:
    """Changes of one commit follow its reason and its author; the sixth and later ones of a noun are folded."""
    cities = [{"id": f"new-{n}-zz", "name": f"New {n}", "state": "ZZ", "country": "US"} for n in range(7)]
    operations = [{"op": "create", "kind": "cities", "document": city} for city in cities]
    assert curator.post("/changesets", json={"message": "Seven at once", "operations": operations}).status_code == 200
    page = page_of(curator, "/changes?kinds=cities&limit=8")
    assert page.text.count("Seven at once") == 1
    assert "More: 2 cities" in page.text
    assert [text for _, text in page.links if text.startswith("New ")] == [f"New {n}" for n in reversed(range(7))]


@ON_SQLITE
@pytest.mark.parametrize("query", ["wait=1", "order=version"])
def test_people_do_not_wait(client: FlaskClient, query: str) -> None:
    """A page and an Atom feed refuse what only programs can use, and say where that is; the control is the JSON."""
    for path in ("/changes.html", "/changes.atom", "/changes/cities.html"):
        response = client.get(f"{path}?since=0&{query}")
        assert response.status_code == 400
        assert "have the newest changes first, and do not wait" in response.text
    assert client.get(f"/changes.json?since=0&{query}").status_code == 200
    assert client.get("/changes.html?order=-version").status_code == 200


@ON_SQLITE
def test_a_citation_says_what_it_is_about(client: FlaskClient) -> None:
    """A citation on the page of changes names the record that it supports; records of other nouns are about none."""
    assert "added, about Digital Cities Survey 2024" in page_of(client, "/changes?kinds=citations&limit=3").text
    assert ", about " not in page_of(client, "/changes?kinds=cities&limit=3").text


@ON_SQLITE
def test_a_history_is_in_words(curator: FlaskClient) -> None:
    """Each revision says who made it, in which changeset, and what it changed, with the names also of records that are gone."""
    head = curator.get("/changesets?limit=1").get_json()["data"][0]["last_version"]
    rows: list[tuple[str, str, Json]] = [
        ("organizations", "zz", {"name": "Zed", "type": "company"}),
        ("cities", "a-zz", {"name": "A", "state": "ZZ", "country": "US"}),
        ("initiatives", "a-zz-x", {"city": "a-zz", "title": "X", "partners": [{"organization": "zz", "role": "builder"}]}),
    ]
    creations = [{"op": "create", "kind": noun, "document": {"id": id, **record}} for noun, id, record in rows]
    assert curator.post("/changesets", json={"message": "Three", "operations": creations}).status_code == 200
    changed = {"partners": [], "status": "pilot"}
    assert curator.patch("/initiatives/a-zz-x?message=Why.", json=changed, headers=ANY).status_code == 200
    assert curator.delete("/organizations/zz", headers=ANY).status_code == 204
    page = page_of(curator, "/initiatives/a-zz-x/history")
    lines = [" ".join(line.split()) for line in page.text.split("\n") if "changeset" in line]
    day = f"{dt.datetime.now(dt.UTC):%-d %B %Y}"
    assert lines == [
        f"{day}: changed by curator, in changeset {head + 4}. Why. As it was then",
        f"{day}: created by curator, in changeset {head + 1}. Three. As it was then",
    ]
    assert ("/changesets?author=curator", "curator") in page.links
    assert (f"/changesets/{head + 4}", f"changeset {head + 4}") in page.links
    assert "Status set to Pilot" in " ".join(page.text.split())
    assert "Partners removed Zed, Builder" in " ".join(page.text.split())
    assert "History of Zed" in page_of(curator, "/organizations/zz/history").text
