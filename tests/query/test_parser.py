"""Hostile values: text stays text, and invalid values are refused."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from api.db.database import Database
from api.query.language import MAX_CONTAINS, Filter, filters
from api.query.parameters import parameters
from api.schema.operators import MAX_VALUES
from api.schema.resource import Resource
from tests.support import oracle
from tests.support.databases import SQLITE_FIRST, publishing
from tests.support.lengths import Sample
from tests.support.oracle import ODD
from tests.support.records import few_nouns
from tests.support.worlds import Place, compare, escaped, flat

# --- hostile values

HOSTILE = [*ODD, "\0", "a\0b", "x" * 1000, "x" * 1001, "é" * 1001]
# Percent-encoded; the last three are invalid UTF-8: half a surrogate pair, an invalid first byte, an overlong slash.
RAW = [*(quote(text, safe="") for text in HOSTILE), "%ED%A0%80", "%FF", "%C0%AF"]


def takes_text(row: Filter) -> bool:
    """Tell whether a filter accepts any text."""
    return not row.operator.of_null and (row.operator.folds or row.field.type.name == "text")


def batches(leaves: list[Any], size: int) -> list[list[Any]]:
    """Return lists of at most this many."""
    return [leaves[start : start + size] for start in range(0, len(leaves), size)]


@few_nouns
def test_hostile_text_is_text(places: list[Place], resource: Resource, sample: Sample) -> None:
    """Where any text is a value, no character has a special meaning: exactly the records with that text match."""
    place, noun = places[0], resource.name
    names = [name for name, row in filters(resource).items() if takes_text(row) and row.operator.name != "not"]
    # All texts for the noun's own fields, and a sample for each field of a relation, which compares the same way.
    leaves = [
        {name: records} for n, name in enumerate(names) for records in (ODD[n % 4 :: 4] if "." in name else [*ODD, "x" * 1000])
    ]
    containing = [leaf for leaf in leaves if next(iter(leaf)).endswith("__contains")]
    others = [leaf for leaf in leaves if leaf not in containing]
    for some in sample([*batches(others, 49), *batches(containing, MAX_CONTAINS)], 4):
        expression = {"or": some}
        expected = [record["id"] for record in place.world.all(noun) if oracle.matches(place.world, noun, record, expression)]
        arguments = {"filter": json.dumps(expression), "limit": 500, "sort": "id", "count": "none"}
        records = place.ask(f"/{noun}?{urlencode(arguments)}")["data"]
        assert [record["id"] for record in records] == sorted(expected)
    for name in sample([name for name in names if filters(resource)[name].operator.many], 4):
        expected = [record for record in place.world.all(noun) if oracle.matches(place.world, noun, record, {name: ODD})]
        compare(place, resource, [*flat({name: ODD}), ("sort", "id")], oracle.ordered(expected, ["id"]), 500)


@few_nouns
def test_hostile_value_is_refused(routing_client: FlaskClient, resource: Resource, sample: Sample) -> None:
    """Where only some values are possible, any other is a 400 that names each parameter that has it."""
    refusing = [*filters(resource), *sorted(parameters(resource).keys() - {"q", "cursor"})]
    for hostile in sample(HOSTILE, 8):
        broken = "\0" in hostile or len(hostile) > 1000
        # An answer lists a limited number of errors, and a URL has a limited length.
        step = 9 if len(hostile) < 100 else 5
        for start in range(0, len(refusing), step):
            some = refusing[start : start + step]
            wrong = [
                name for name in some if broken or name not in filters(resource) or not takes_text(filters(resource)[name])
            ]
            arguments = urlencode({name: escaped(hostile) if name in filters(resource) else hostile for name in some})
            refused(routing_client.get(f"/{resource.name}?{arguments}"), wrong)
        refused(routing_client.get(f"/{resource.name}?{urlencode({'cursor': hostile})}"), ["cursor"])


def refused(response: TestResponse, names: Sequence[str]) -> None:
    """Check that an answer is a problem about exactly these parameters, or a 200 if there are none."""
    if names:
        assert (response.status_code, response.content_type) == (400, "application/problem+json")
        assert {item["parameter"] for item in response.get_json()["errors"]} == set(names)
    else:
        assert response.status_code == 200


@few_nouns
def test_hostile_search_and_path(places: list[Place], resource: Resource, sample: Sample) -> None:
    """Search terms are text and an invalid id is a 404; no input causes a 500."""
    place = places[0]
    for hostile in sample(RAW, 8):
        if resource.search:
            assert place.get(f"/{resource.name}?q={hostile}&highlights=true").status_code in {200, 400}
        assert place.get(f"/{resource.name}/{hostile}").status_code == 404
    for name in sample([*filters(resource), *parameters(resource)], 40):
        answer = place.get(f"/{resource.name}?{name}=%ED%A0%80")
        assert (name, answer.status_code in {200, 400}) == (name, True)
    for name in sample([field for field, row in filters(resource).items() if takes_text(row)], 12):
        lone = quote(json.dumps({name: "\ud800"}))
        answer = place.get(f"/{resource.name}?filter={lone}").get_json()
        assert [(item["parameter"], item["pointer"]) for item in answer["errors"]] == [("filter", f"/{name}")]


@pytest.mark.parametrize("path", ["search", "suggest"])
def test_hostile_search(places: list[Place], sample: Sample, path: str) -> None:
    """Across nouns too: any text that is short enough is searched for, and both databases find the same."""
    for hostile in sample(RAW, 12):
        assert (hostile, places[0].get(f"/{path}?q={hostile}").status_code) == (hostile, 400 if len(hostile) > 1000 else 200)


# --- lists of values


@SQLITE_FIRST
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a"], ["a"]),
        (["a,b"], ["a", "b"]),
        ([r"a\,b"], ["a,b"]),
        ([r"a\,b,a"], ["a", "a,b"]),
        ([r"a\\,b"], ["a\\", "b"]),
        ([r"a\\\,b"], [r"a\,b"]),
        ([r"a\b"], [r"a\b"]),
        (["a\\"], ["a\\"]),
        ([","], [""]),
        (["", "b"], ["", "b"]),
        (["a", r"a\,b,b"], ["a", "a,b", "b"]),
        ([r"\,"], [","]),
    ],
)
def test_comma(own_client: FlaskClient, database: Database, values: list[str], expected: list[str]) -> None:
    """A comma separates values unless escaped by a backslash; other backslashes are plain, and parameters can be repeated."""
    names = ["", ",", "a", "b", "a,b", "a\\", r"a\,b", r"a\b", "a, b", "A"]
    with publishing(database) as session:
        rows = [{"id": f"w-{number}", "name": name} for number, name in enumerate(names)]
        session.execute(text("insert into priorities (id, name, description) values (:id, :name, '')"), rows)
    records = own_client.get(f"/priorities?{urlencode([('name', value) for value in values])}").get_json()["data"]
    assert [record["name"] for record in records] == expected


def test_repetition(client: FlaskClient) -> None:
    """A filter that is repeated takes any of its values, as one with commas does."""
    both = client.get("/cities?state=CA,WA").get_json()["data"]
    assert client.get("/cities?state=CA&state=WA").get_json()["data"] == both
    assert {record["state"] for record in both} == {"CA", "WA"}


def test_many_ids(client: FlaskClient) -> None:
    """The maximum number of ids is looked up at once; one more is a 400 that states the maximum."""
    ids = ["boston-ma", *(f"nobody-{number}" for number in range(MAX_VALUES - 1))]
    for query in (f"id={','.join(ids)}", "&".join(f"id={id}" for id in ids)):
        assert [record["id"] for record in client.get(f"/cities?{query}").get_json()["data"]] == ["boston-ma"]
    response = client.get(f"/cities?id={','.join([*ids, 'one-more'])}")
    detail = "`id` takes at most 500 values."
    item = {"parameter": "id", "code": "too-many-values", "detail": detail, "allowed": {"maximum": 500}}
    assert (response.status_code, response.get_json()["errors"]) == (400, [item])


def test_many_conditions_with_contains(client: FlaskClient) -> None:
    """Ten conditions with `contains` are accepted; one more is refused before any query, in any spelling."""
    rows = [{"name__contains": f"text {number}"} for number in range(MAX_CONTAINS + 1)]
    detail = "All filters together have at most 10 conditions with `contains`; `q` finds words faster."
    item = {"parameter": "filter", "code": "too-many-values", "detail": detail, "allowed": {"maximum": 10}}
    requests: list[Callable[[list[Any]], TestResponse]] = [
        lambda leaves: client.post("/cities/search", json={"not": {"or": leaves}}),
        lambda leaves: client.get("/cities", query_string={"filter": json.dumps({"or": leaves})}),
        lambda leaves: client.get("/cities", query_string={"name__contains": "a", "filter": json.dumps({"or": leaves[1:]})}),
    ]
    for request in requests:
        assert request(rows[:-1]).status_code == 200
        refused = request(rows)
        assert (refused.status_code, refused.get_json()["errors"]) == (400, [item])
