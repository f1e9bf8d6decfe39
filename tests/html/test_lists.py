"""The page of a list keeps each condition of its address, and shows the columns that are asked for."""

from urllib.parse import urlencode, urlsplit

import pytest
from flask.testing import FlaskClient

from api.html.lists import label_member
from api.query.flat import selectable
from api.schema.resource import Resource
from tests.support.databases import ON_SQLITE
from tests.support.markup import page_of
from tests.support.records import nouns

SEVERAL = ("city=los-angeles-ca&city=san-diego-ca", "city=los-angeles-ca,san-diego-ca")


@ON_SQLITE
@pytest.mark.parametrize("query", [*SEVERAL, "status__not=pilot&status__not=draft", "filter=%7B%22status%22%3A%22pilot%22%7D"])
def test_show_keeps_every_condition(client: FlaskClient, query: str) -> None:
    """The form of a filtered list leads to the same list, also if a filter has several values."""
    page = page_of(client, f"/initiatives?{query}")
    again = urlencode({name: value for name, value in page.fields.items() if value})
    first, second, every = (
        [row["id"] for row in client.get(f"/initiatives?{text}").get_json()["data"]] for text in (query, again, "")
    )
    assert first == second
    assert 0 < len(first) < len(every)


@ON_SQLITE
@pytest.mark.parametrize("query", SEVERAL)
def test_several_values_are_one_condition(client: FlaskClient, query: str) -> None:
    """Values of one filter are said as alternatives, and removed together."""
    page = page_of(client, f"/initiatives?{query}&status=pilot")
    assert "City is Los Angeles or San Diego" in page.text
    removed = [href for href, text in page.links if text.endswith("Remove: City is Los Angeles or San Diego")]
    assert removed == ["/initiatives?status=pilot"]


@ON_SQLITE
@nouns
def test_fields_are_columns(client: FlaskClient, resource: Resource) -> None:
    """A page shows the members that `fields` names, those of related records and numbers of them, too."""
    names = selectable(resource)
    page = page_of(client, f"/{resource.name}?fields={','.join(names)}&limit=3")
    # The link of a record is its id and its label.
    assert len(page.heads) == len(names) - (label_member(resource) != "id")


@ON_SQLITE
def test_fields_of_related_records_have_names(client: FlaskClient) -> None:
    """A column of a related record's field shows it as that record's page does: references by name, numbers in words."""
    page = page_of(client, "/awards?fields=city.name,city.id,survey.conducted_by,initiatives.count&sort=city.name")
    assert page.heads == ["Award", "City name", "City id", "Survey conducted by", "Initiatives count"]
    hrefs = {urlsplit(href).path for href, _ in page.links}
    assert {"/cities/san-jose-ca", "/organizations/center-for-digital-government"} <= hrefs


@ON_SQLITE
def test_a_record_shows_the_fields_that_are_asked_for(client: FlaskClient) -> None:
    """The page of a record shows the members that `fields` names, and no others."""
    page = page_of(client, "/awards/digital-cities-2024-san-jose-ca?fields=rank,city.state")
    assert page.facts == ["Rank", "City state"]
