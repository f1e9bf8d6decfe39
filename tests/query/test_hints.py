"""Hints about values that no record has."""

import json

import pytest
from flask.testing import FlaskClient

from tests.support.databases import counted


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("initiatives?metric.unit=usd", [("metric.unit", "USD")]),
        ("cities?state=CX", [("state", None)]),
        ("initiatives?city=san-diego", [("city", "san-diego-ca")]),
        ("initiatives?priority=cyber-security,zzz", [("priority", "cybersecurity"), ("priority", None)]),
        ('initiatives?filter={"and":[{"metric.unit":"percents"}]}', [("metric.unit", "percent")]),
        # Filters that have no facet.
        ("initiatives?id=zzz", [("id", None)]),
        ("cities?organization=nowhere", [("organization", None)]),
        ("awards?citation.source=nowhere", [("citation.source", None)]),
        ("organizations?source.type=report", [("source.type", None)]),
        ("surveys?award.city=san-diego", [("award.city", "san-diego-ca")]),
        ("surveys?award.category=nowhere", [("award.category", None)]),
        # The list is not empty, but one of its values is unknown.
        ("initiatives?city=san-diego-ca,nowhere", [("city", None)]),
        ("organizations?source.type=press_release,article", [("source.type", None)]),
        ("cities?id=san-diego,sacramento-ca,boston-ma", [("id", "san-diego-ca")]),
        # Texts, which are compared as a whole.
        ("cities?name=los%20angeles", [("name", None)]),
        ("initiatives?city.name=Los&status=pilot", [("city.name", None)]),
        ("cities?name=Los%20Angeles&country=CA", [("country", None)]),
        ("initiatives?parent=null", [("parent", None)]),
        ("initiatives?city=san-diego-ca", []),
        ("initiatives?city=san-diego-ca,sacramento-ca", []),
        ("initiatives?city__not=san-diego-ca,nowhere", []),
        # Each value exists, but no record has both.
        ("initiatives?city=sacramento-ca&status=draft", []),
        # Not required, or no equality.
        ("initiatives?metric.unit__not=usd&city=sacramento-ca&status=draft", []),
        ('initiatives?filter={"or":[{"metric.unit":"usd"}]}', []),
        ("initiatives?limit=0", []),
    ],
)
def test_hints(client: FlaskClient, query: str, expected: list[tuple[str, str | None]]) -> None:
    """A list says which values of its filters no record has, and which were probably meant."""
    meta = client.get(f"/{query}").get_json()["meta"]
    assert [(row["parameter"], row["suggestion"]) for row in meta.get("hints", [])] == expected


def test_the_nearest_numbers_and_few_hints(client: FlaskClient) -> None:
    """The hint for a number names the nearest one, and there are ten hints at most."""
    assert [row["suggestion"] for row in client.get("/awards?rank=99").get_json()["meta"]["hints"]] == [9]
    values = ",".join(f"zz{number}" for number in range(50))
    hints = client.get(f"/initiatives?city={values}&status=draft").get_json()["meta"]["hints"]
    assert [row["parameter"] for row in hints] == ["city"] * 10


def test_a_flag_is_not_answered_with_its_opposite(client: FlaskClient) -> None:
    """The hint for a flag that no record has suggests nothing, and spells it as JSON does."""
    (hint,) = client.get("/initiatives?evolving=false").get_json()["meta"]["hints"]
    assert (hint["detail"], hint["suggestion"]) == ("No initiative has `false` as its `evolving`.", None)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "cities?name=boston",
            "No city has `boston` as its `name`. It is compared as a whole; `name__contains` finds parts in any case.",
        ),
        (
            "initiatives?parent=null",
            "No initiative has `null` as its `parent`. For records without one, use `parent__isnull=true`.",
        ),
        ("initiatives?metric.unit=usd", "No initiative has `usd` as its `metric.unit`; did you mean `USD`?"),
    ],
)
def test_the_filter_that_was_meant(client: FlaskClient, query: str, said: str) -> None:
    """A hint names the filter that finds a part of a text, or null, unless it knows the value that was meant."""
    (hint,) = client.get(f"/{query}").get_json()["meta"]["hints"]
    assert hint["detail"] == said


@pytest.mark.parametrize(
    ("noun", "name", "values"),
    [
        ("initiatives", "city", ["san-diego-ca", "sacramento-ca", "san-jose-ca"]),
        ("initiatives", "status", ["in_operation", "pilot", "planned"]),
        ("cities", "organization", ["govai-coalition", "amazon-web-services", "california-public-utilities-commission"]),
    ],
)
def test_the_price_of_hints(client: FlaskClient, noun: str, name: str, values: list[str]) -> None:
    """A list of several values that are all there takes at most one statement more, whatever their number."""
    numbers = []
    for count in (1, 2, 3):
        path = f"/{noun}?{name}={','.join(values[:count])}"
        # The first reader finds out more.
        client.get(path)
        with counted(client.application.extensions["database"]) as statements:
            assert "hints" not in client.get(path).get_json()["meta"]
        numbers.append(len(statements))
    assert numbers[1] == numbers[2] <= numbers[0] + 1


def test_the_price_of_many_unknown_values(client: FlaskClient) -> None:
    """Many unknown ids, in a list or one by one, take as many statements as the ten that get a hint."""
    unknown = [f"zz-{number}" for number in range(45)]
    every = {"and": [{"organization": [id]} for id in unknown]}
    paths = [f"/cities?organization={','.join(ids)}" for ids in (unknown[:10], unknown)]
    numbers = []
    for path in (
        *paths,
        f"/cities?filter={json.dumps({**every, 'and': every['and'][:10]})}",
        f"/cities?filter={json.dumps(every)}",
    ):
        client.get(path)
        with counted(client.application.extensions["database"]) as statements:
            assert len(client.get(path).get_json()["meta"]["hints"]) == 10
        numbers.append(len(statements))
    assert numbers == numbers[:1] * 4


def test_a_record_that_nothing_refers_to(client: FlaskClient) -> None:
    """A city that exists, but has no initiative, is not suggested in its own place."""
    (hint,) = client.get("/initiatives?city=san-diego-ca,boston-ma").get_json()["meta"]["hints"]
    detail = "No initiative has `boston-ma` as its `city`."
    assert hint == {"parameter": "city", "detail": detail, "allowed": [], "suggestion": None}
