"""`/reconcile`: the reconciliation protocol 0.2, as OpenRefine speaks it, checked against schemas of the protocol."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.answers import Json, brief, read
from tests.support.copies import city
from tests.support.reconciliation import faults

BASE = "https://api.example.org"
BOSTON = {
    "id": "cities/boston-ma",
    "name": "Boston",
    "description": "MA, US",
    "type": [{"id": "cities", "name": "Cities"}],
    "score": 100.0,
    "match": True,
}


def ask(client: FlaskClient, *queries: Json) -> list[list[Json]]:
    """Send valid queries in a form; return the candidates of each, which the protocol's schema allows."""
    batch = {f"q{number}": query for number, query in enumerate(queries)}
    assert faults("queries", batch) == []
    answer = client.post("/reconcile", data={"queries": json.dumps(batch)})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store"), answer.get_json()
    assert faults("results", answer.get_json()) == []
    assert [*answer.get_json()] == [*batch]
    return [row["result"] for row in answer.get_json().values()]


def found(client: FlaskClient, **query: Any) -> list[tuple[str, bool]]:
    """Return the ids of a query's candidates, each with whether it is a match."""
    (rows,) = ask(client, query)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    return [(row["id"], row["match"]) for row in rows]


def test_the_manifest(client: FlaskClient) -> None:
    """The service says what it can do; all its addresses answer, and a view leads to the record."""
    manifest = read(client, "/reconcile")
    assert faults("manifest", manifest) == []
    assert [row["id"] for row in manifest["defaultTypes"]] == ["cities", "organizations", "priorities", "surveys", "sources"]
    for id in ("cities/boston-ma", "cities%2Fboston-ma"):
        record = client.get(manifest["view"]["url"].removeprefix(BASE).replace("{{id}}", id)).get_json()["data"]
        assert (record["id"], manifest["identifierSpace"]) == ("boston-ma", f"{BASE}/")
    for name, service in manifest["suggest"].items():
        path = f"{service['service_url']}{service['service_path']}".removeprefix(BASE)
        assert faults(name, read(client, f"{path}?prefix=s")) == []
    pages = [client.get(manifest[name].removeprefix(BASE)).status_code for name in ("documentation", "schemaSpace")]
    assert pages == [200, 200]


@pytest.mark.parametrize("path", ["/reconcile", "/reconcile?queries={", "/reconcile/suggest/entity", "/reconcile/suggest/city"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_others_may_read_it(routing_client: FlaskClient, method: str, path: str) -> None:
    """All answers, also refusals, can be read by programs in pages of other hosts."""
    answer = routing_client.open(path, method=method, headers={"Origin": "https://elsewhere.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_queries_in_the_address(client: FlaskClient) -> None:
    """`GET` answers as `POST` does, with a tag that caches can ask with."""
    queries = json.dumps({"a": {"query": "Boston, Mass."}, "b": {"query": "Nowhere"}})
    answer = client.get("/reconcile", query_string={"queries": queries})
    assert answer.get_json() == {"a": {"result": [BOSTON]}, "b": {"result": []}}
    etag = {"If-None-Match": answer.headers["ETag"]}
    assert client.get("/reconcile", query_string={"queries": queries}, headers=etag).status_code == 304


@pytest.mark.parametrize("text", ["Boston", "boston ma", "Boston (Mass.)", "cities/boston-ma", "boston-ma"])
def test_a_name_is_a_match(client: FlaskClient, text: str) -> None:
    """The only record with a name, also with its state, or with an id, is the match."""
    assert ask(client, {"query": text, "type": "cities", "type_strict": "should"}) == [[BOSTON]]


def test_an_alias_is_a_name(client: FlaskClient) -> None:
    """Aliases match as names do."""
    assert found(client, query="CPUC") == [("organizations/california-public-utilities-commission", True)]
    assert found(client, query="l.a.", type=["cities", "organizations"])[0] == ("cities/los-angeles-ca", True)


def test_a_similar_name_is_no_match(client: FlaskClient) -> None:
    """A record with a similar name is a candidate that a person confirms; types and the limit leave others out."""
    assert found(client, query="Bostn") == [("cities/boston-ma", False)]
    assert found(client, query="Bostn", type="priorities") == []
    both = [("organizations/san-jose-ca-city-government", True), ("cities/san-jose-ca", False)]
    assert found(client, query="City of San Jose") == both
    assert found(client, query="City of San Jose", limit=1) == both[:1]


def test_properties_tell_namesakes_apart(curator: FlaskClient) -> None:
    """Of two cities of one name neither is a match, and a state in any spelling, or one of several, leaves one."""
    for state in ("OR", "ME"):
        record = city(f"portland-{state.lower()}", name="Portland", state=state, country="US")
        assert curator.post("/cities", json=record).status_code == 201
    assert found(curator, query="Portland") == [("cities/portland-me", False), ("cities/portland-or", False)]
    for value in ("ME", "me", "Maine", ["Maine", "WA"], {"id": "ME", "name": "Maine"}):
        values = [{"pid": "state", "v": value}]
        assert found(curator, query="Portland", properties=values) == [("cities/portland-me", True)], value
    wrong = [{"pid": "state", "v": "TX"}, {"pid": "country", "v": "us"}]
    assert {match for _, match in found(curator, query="Portland", properties=wrong)} == {False}
    assert found(curator, properties=[{"pid": "state", "v": "Maine"}]) == [("cities/portland-me", False)]


def test_a_city_can_be_a_property(client: FlaskClient) -> None:
    """The city of an office is an id, a name, or a record that was matched before."""
    office = ("organizations/sacramento-ca-data-and-analytics-office", True)
    for value in ("sacramento-ca", "Sacramento, Calif.", {"id": "cities/sacramento-ca", "name": "Sacramento"}):
        values = [{"pid": "city", "v": value}]
        assert found(client, query="Data and Analytics Office", type="organizations", properties=values) == [office]
    elsewhere = [{"pid": "city", "v": "Boston"}]
    assert found(client, query="Data and Analytics Office", type="organizations", properties=elsewhere) == [(office[0], False)]


def test_a_year_is_a_number_of_any_kind(client: FlaskClient) -> None:
    """A year can be a text or a number, with decimals as in a spreadsheet, and what is blank tells nothing."""
    for value in ("2024", 2024, 2024.0, ["", 2024], "", [], " "):
        values = [{"pid": "year", "v": value}]
        matches = found(client, query="Digital Cities Survey", properties=values)
        assert matches == [("surveys/digital-cities-2024", True)], value
    values = [{"pid": "year", "v": 2023}]
    assert found(client, query="Digital Cities Survey", properties=values) == [("surveys/digital-cities-2024", False)]


def test_a_type_counts_once(client: FlaskClient) -> None:
    """A type that is named twice is searched once: the record stays the only one with the name."""
    assert ask(client, {"query": "Boston", "type": ["cities", "cities"]}) == [[BOSTON]]


@pytest.mark.parametrize(
    "more",
    [
        {"type": []},
        {"limit": 5.0},
        {"limit": 1_000},
        {"properties": []},
        {"properties": [{"pid": "state", "v": "MA", "name": "State"}]},
        {"properties": [{"pid": "state", "v": {"id": "MA", "name": "Massachusetts", "type": "state"}}]},
        {"properties": [{"pid": "state", "v": ["MA", True, 1.5]}]},
        *({"type_strict": value} for value in ("any", "should", "all")),
    ],
)
def test_what_the_protocol_allows_is_taken(client: FlaskClient, more: Json) -> None:
    """No type is all types, a limit can be any positive number, and an object in a query can have members of the client's own."""
    assert found(client, query="Boston", **more) == [("cities/boston-ma", True)]


def test_new_names(editor: FlaskClient) -> None:
    """A name is found as soon as it is written, and no longer than it is there."""
    assert found(editor, query="Zedville") == []
    assert editor.post("/cities", json=city("zedville-zz", name="Zedville", aliases=["Queen City"])).status_code == 201
    assert found(editor, query="queen city") == [("cities/zedville-zz", True)]
    assert editor.delete("/cities/zedville-zz", headers={"If-Match": "*"}).status_code == 204
    assert found(editor, query="queen city") == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("entity?prefix=bos", ["cities/boston-ma"]),
        ("entity?prefix=cities/boston-ma", ["cities/boston-ma"]),
        ("entity?prefix=sacramento+ca&type=cities", ["cities/sacramento-ca"]),
        ("entity?prefix=bos&cursor=1&spell=always&exact=false&prefixed=true&filter=(all+type:x)", []),
        ("entity", []),
        ("type", ["cities", "organizations", "priorities", "surveys", "sources"]),
        ("type?prefix=S", ["surveys", "sources"]),
        ("property", ["country", "state", "city", "year"]),
        ("property?prefix=sta", ["state"]),
        ("property?type=organizations", ["city"]),
    ],
)
def test_suggestions(client: FlaskClient, path: str, expected: list[str]) -> None:
    """Records, types and properties are completed; what OpenRefine sends besides is taken."""
    answer = read(client, f"/reconcile/suggest/{path}")
    assert faults(path.partition("?")[0], answer) == []
    assert [row["id"] for row in answer["result"]] == expected


def test_a_cursor_skips(client: FlaskClient) -> None:
    """A cursor continues where the suggestions before it end, and behind the last one there are none."""
    first, second = (read(client, f"/reconcile/suggest/entity?prefix=c&cursor={n}")["result"] for n in (0, 2))
    assert first[2:] == second[: len(first) - 2]
    assert len(first) > 2
    assert read(client, f"/reconcile/suggest/type?cursor={2**53 - 1}")["result"] == []


ONE = {"q0": {"query": "Boston"}}


@pytest.mark.parametrize(
    ("queries", "errors"),
    [
        ({"a/b": {}}, [("/a~1b", "missing")]),
        ({"q": {"query": ""}}, [("/q/query", "invalid-value")]),
        ({"q": {"query": "x" * 1001}}, [("/q/query", "invalid-value")]),
        ({"q": {"query": "x", "limit": 0}, "r": {"query": "x", "limit": 2**53}}, [("/q/limit", "invalid-value"), ("/r/limit", "invalid-value")]),
        ({"q": {"query": "x", "limit": 1.5}}, [("/q/limit", "invalid-value")]),
        ({"q": {"querry": "x", "query": "x"}}, [("/q/querry", "unknown-member")]),
        ({"q": {"query": "x", "type": ["cities", "city"]}}, [("/q/type", "unknown-name")]),
        ({"q": {"query": "x", "type": 1}}, [("/q/type", "unknown-name")]),
        ({"q": {"query": "x", "properties": [{"pid": "stat", "v": "x"}]}}, [("/q/properties/0/pid", "invalid-value")]),
        ({"q": {"query": "x", "type": "cities", "properties": [{"pid": "year", "v": 1}]}}, [("/q/properties/0/pid", "unknown-name")]),
        ({"q": {"query": "x", "properties": [{"pid": "state", "v": {"name": "x"}}]}}, [("/q/properties/0/v", "invalid-value")]),
        ({"q": {"query": "x", "properties": [{"pid": "state", "v": {"id": 5}}]}}, [("/q/properties/0/v", "invalid-value")]),
        ({"q": {"query": "x", "properties": [{"pid": "state", "v": ["x"] * 11}]}}, [("/q/properties/0/v", "invalid-value")]),
        ({"q": {"query": "x", "properties": [{"pid": "state", "v": "x"}] * 11}}, [("/q/properties", "invalid-value")]),
        ({"q": []}, [("/q", "invalid-value")]),
        ([ONE], [("queries", "invalid-value")]),
        ("{", [("queries", "invalid-json")]),
        ('{"q":{"query":"a"},"q":{"query":"b"}}', [("queries", "invalid-json")]),
    ],
)  # fmt: skip
def test_wrong_queries(routing_client: FlaskClient, queries: Any, errors: list[tuple[str, str]]) -> None:
    """What is wrong with a query is said with its place in `queries`: a 422 for a form, a 400 for an address."""
    text = queries if isinstance(queries, str) else json.dumps(queries)
    for answer, expected in (
        (routing_client.post("/reconcile", data={"queries": text}), (422, "invalid-body")),
        (routing_client.get("/reconcile", query_string={"queries": text}), (400, "invalid-query")),
    ):
        status, name, items = brief(answer)
        assert (status, name) == expected
        assert [(item.get("pointer") or item["parameter"], item["code"]) for item in items] == errors


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"data": {"extend": "{}"}}, (422, "invalid-body")),
        ({"data": {}, "content_type": "application/x-www-form-urlencoded"}, (422, "invalid-body")),
        ({"data": b"queries={}&queries={}", "content_type": "application/x-www-form-urlencoded"}, (422, "invalid-body")),
        ({"data": {"queries": json.dumps(dict.fromkeys(map(str, range(21)), ONE["q0"]))}}, (413, "content-too-large")),
        ({"data": {"queries": " " * 1_000_001}}, (413, "content-too-large")),
        ({"json": ONE}, (415, "unsupported-media-type")),
        ({"data": {"queries": "{}"}, "query_string": "callback=x"}, (400, "invalid-query")),
    ],
)
def test_wrong_forms(routing_client: FlaskClient, sent: dict[str, Any], expected: tuple[int, str]) -> None:
    """A body that is no form of few queries is refused."""
    assert brief(routing_client.post("/reconcile", **sent))[:2] == expected
