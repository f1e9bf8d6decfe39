"""The query language against a second opinion: random requests about random worlds, on both databases, and `oracle`."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sqlalchemy import text
from werkzeug.test import TestResponse

from api.db.database import Database
from api.ledger.verify import verify
from api.query.language import Filter, facetable, filters, includable, parameters, sortable
from api.resources import BY_NAME, RESOURCES
from api.schema.operators import MAX_VALUES
from api.schema.resource import Resource
from tests.support import oracle
from tests.support.applications import serving
from tests.support.databases import Store, opened, publishing, upgrade
from tests.support.oracle import ODD, Document, World

WORLDS = 4
BASE = "http://localhost"
DEPTH = 3
Arguments = list[tuple[str, str]]
nouns = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)


# --- the worlds, each in a database of either kind


class Place:
    """A world, and who answers about it from SQLite and from PostgreSQL."""

    def __init__(self, world: World, clients: Sequence[FlaskClient]) -> None:
        """Join them."""
        self.world, self.clients = world, clients

    def get(self, path: str) -> TestResponse:
        """Ask both, which say the same to the byte."""
        first, second = (client.get(path) for client in self.clients)
        assert (first.status_code, first.headers.get("ETag")) == (second.status_code, second.headers.get("ETag")), path
        if first.status_code == 200:
            assert first.get_data() == second.get_data()
        return first

    def ask(self, address: str) -> dict[str, Any]:
        """Ask for what is there."""
        response = self.get(address.removeprefix(BASE))
        body: dict[str, Any] = response.get_json()
        assert response.status_code == 200, body
        return body


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, postgresql: str) -> Iterator[list[Place]]:
    """Some worlds."""
    with ExitStack() as stack:
        clients: list[list[FlaskClient]] = []
        for dialect, server in (("sqlite", ""), ("postgresql", postgresql)):
            store = Store(dialect, tmp_path_factory.mktemp("worlds"), server)
            bare = store.empty()
            upgrade(bare)
            with opened(bare) as database, publishing(database) as session:
                oracle.clear(session)
            clients.append([])
            for seed in range(WORLDS):
                settings = store.copy(bare)
                with opened(settings) as database:
                    oracle.fill(database, seed)
                    with database.reading() as session:
                        assert list(verify(session)) == []
                clients[-1].append(stack.enter_context(serving(settings)).test_client())
        yield [Place(served(pair), pair) for pair in zip(*clients, strict=True)]


def served(clients: Sequence[FlaskClient]) -> World:
    """Read the world that is served."""
    answers = [
        {noun.name: client.get(f"/{noun.name}?limit=500").get_json()["data"] for noun in RESOURCES} for client in clients
    ]
    assert all(answer == answers[0] for answer in answers)
    return World({noun: {record["id"]: record for record in records} for noun, records in answers[0].items()})


# --- requests


@cache
def known(world: World, noun: str, name: str) -> list[Any]:
    """Return values to ask for: those that there are, and some that may not be."""
    path, _ = oracle.parsed(name)
    there = {value for record in world.all(noun) for value in oracle.values(world, noun, record, path)} - {None}
    return sorted(there) + {"text": ODD, "instant": INSTANTS}.get(oracle.KINDS[field_of(noun, path)], [])


INSTANTS = ["2099-12-31T23:59:59Z", "2100-01-01T02:00:00.000+02:00", "2100-01-01T00:00:01.500001Z", "9999-12-31T23:59:59Z"]


def field_of(noun: str, path: Sequence[str]) -> str:
    """Return the name of the field at the end of a path; of a relation, its key."""
    for name in path[:-1]:
        noun = oracle.WAYS[noun][name].to
    way = oracle.WAYS[noun].get(path[-1])
    return way.key if way and way.many else path[-1]


def value(draw: Callable[[Any], Any], world: World, noun: str, row: Filter) -> Any:
    """Draw a value for a filter, a list if it takes many."""
    if row.operator.of_null:
        return draw(st.booleans())
    there = known(world, noun, row.name) or [row.example]
    if row.operator.many:
        return draw(st.lists(st.sampled_from(there), min_size=1, max_size=3))
    found = draw(st.sampled_from(there))
    if row.operator.folds:
        begin = 0 if row.operator.name == "startswith" else draw(st.integers(0, 3))
        change = draw(st.sampled_from([str, str.upper, str.lower]))
        return change(found[begin : begin + draw(st.integers(1, 9))])
    return found


def conditions(draw: Callable[[Any], Any], world: World, noun: Resource, most: int) -> dict[str, Any]:
    """Draw filters with their values; often several about the same related record."""
    found: dict[str, Any] = {}
    names = list(filters(noun))
    for _ in range(draw(st.integers(1, most))):
        alike = [
            name for name in names if found and "." in name and name.split(".")[0] == re.split(r"\.|__", next(iter(found)))[0]
        ]
        name = draw(st.sampled_from(alike if alike and draw(st.booleans()) else names))
        found[name] = value(draw, world, noun.name, filters(noun)[name])
    return found


def expression(draw: Callable[[Any], Any], world: World, noun: Resource, depth: int) -> dict[str, Any]:
    """Draw what `filter` takes."""
    found = conditions(draw, world, noun, 2) if depth == 1 or draw(st.booleans()) else {}
    if depth > 1 and (not found or draw(st.booleans())):
        connective = draw(st.sampled_from(oracle.CONNECTIVES))
        below = [expression(draw, world, noun, depth - 1) for _ in range(1 if connective == "not" else draw(st.integers(1, 2)))]
        found[connective] = below[0] if connective == "not" else below
    return found


def escaped(value: str) -> str:
    """Write a text as one value of a list."""
    return re.sub(r"([\\,])", r"\\\1", value)


def written(wanted: Any) -> str:
    """Write a value as a query has it."""
    if isinstance(wanted, float):
        return f"{wanted:.6f}"
    return wanted if isinstance(wanted, str) else json.dumps(wanted)


def flat(asked: Mapping[str, Any], *, repeated: bool = False) -> Arguments:
    """Write filters as parameters, lists by comma or by repetition."""
    found: Arguments = []
    for name, wanted in asked.items():
        values = [escaped(written(one)) for one in wanted] if isinstance(wanted, list) else [written(wanted)]
        found += [(name, one) for one in (values if repeated else [",".join(values)])]
    return found


def narrowed(draw: Callable[[Any], Any], place: Place, noun: Resource) -> tuple[list[Document], Arguments]:
    """Draw filters; returns the records that they leave, by id, and the parameters."""
    own = conditions(draw, place.world, noun, 3) if draw(st.booleans()) else {}
    nested = expression(draw, place.world, noun, DEPTH) if draw(st.booleans()) else {}
    arguments = flat(own, repeated=draw(st.booleans()))
    left = [record for record in place.world.all(noun.name) if oracle.matches(place.world, noun.name, record, own)]
    if nested:
        arguments.append(("filter", json.dumps(nested)))
        left = [record for record in left if oracle.matches(place.world, noun.name, record, nested)]
    return left, arguments


# --- what comes back


@nouns
def test_oracle_knows(places: list[Place], resource: Resource) -> None:
    """There is a second opinion on every filter, order, facet and include: a new one must get its own."""
    world, noun = places[0].world, resource.name
    records = world.all(noun)
    assert records
    for name, row in filters(resource).items():
        wanted = [row.example] if row.operator.many else row.example
        assert {oracle.matches(world, noun, record, {name: wanted}) for record in records} <= {True, False}
    assert all(len(oracle.ordered(records, [key])) == len(records) for key in sortable(resource))
    assert all(oracle.facet(world, noun, records, name) for name in facetable(resource))
    assert [*oracle.included(world, noun, records, includable(resource))]


def directed(noun: Resource) -> list[str]:
    """Return what a noun can be ordered by, both ways."""
    return [sign + name for name in sortable(noun) for sign in ("", "-")]


def fieldwise(key: str) -> str:
    """Return what a key orders by: a field is named once."""
    name = key.removeprefix("-")
    return "subject_id" if name == "subject" else name


def compare(place: Place, noun: Resource, arguments: Arguments, expected: Sequence[Document], limit: int) -> None:
    """Ask for a list in pages and compare each of them."""
    given = dict(arguments)
    counted = (None, None) if given.get("count") == "none" else (len(expected), "eq")
    paths = given["include"].split(",") if "include" in given else []
    address: str | None = f"/{noun.name}?{urlencode([*arguments, ('limit', str(limit))])}"
    for start in range(0, len(expected) or 1, limit):
        assert address
        answer = place.ask(address)
        assert [record["id"] for record in answer["data"]] == [record["id"] for record in expected[start : start + limit]]
        assert answer["data"] == expected[start : start + limit]
        assert (answer["page"]["total"], answer["page"]["total_relation"]) == counted
        assert answer["included"] == oracle.included(place.world, noun.name, expected[start : start + limit], paths)
        address = answer["links"]["next"]
    assert address is None


def check_list(places: list[Place], data: st.DataObject) -> None:
    """Draw a request for a list, and compare what comes back."""
    draw = data.draw
    place, noun = places[draw(st.integers(0, WORLDS - 1))], BY_NAME[draw(st.sampled_from(list(BY_NAME)))]
    left, arguments = narrowed(draw, place, noun)
    keys = draw(st.lists(st.sampled_from(directed(noun)), max_size=3, unique_by=fieldwise))
    expected = oracle.ordered(left, keys or noun.default_sort.split(","))
    arguments += [("sort", ",".join(keys))] if keys else []
    arguments += draw(st.sampled_from([[], [("count", "capped")], [("count", "exact")], [("count", "none")]]))
    paths = draw(st.lists(st.sampled_from(list(includable(noun))), max_size=2, unique=True))
    arguments += [("include", ",".join(paths))] if paths else []
    compare(place, noun, arguments, expected, max(draw(st.integers(1, 30)), len(expected) // 2))


@pytest.mark.parametrize("name", ["cities", "awards"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_order_by_flag(places: list[Place], name: str, sign: str) -> None:
    """False comes before true, and null last; pages go on behind each of them."""
    noun, key = BY_NAME[name], f"{sign}{'tied' if name == 'awards' else 'state_capital'}"
    for place in places:
        compare(place, noun, [("sort", key)], oracle.ordered(place.world.all(name), [key]), 2)


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("initiatives", {"started__lte": "2100"}),
        ("initiatives", {"started__startswith": "2024"}),
        ("initiatives", {"metric.as_of": ["2024"]}),
        ("initiatives", {"parent.title__contains": "a"}),
        ("organizations", {"city": ["a", "b"]}),
        ("organizations", {"city.name__not": ["Boston"]}),
        ("awards", {"tied": [True]}),
        ("sources", {"part__gt": 1, "parts__gt": 2}),
        ("citations", {"source.publisher.name__contains": "a"}),
    ],
)
def test_not(places: list[Place], name: str, within: dict[str, Any]) -> None:
    """What `not` leaves is all that its expression doesn't, nulls too: nothing is in neither."""
    for place in places:
        for asked in ({"not": within}, {"not": {"not": within}}, {"not": {"or": [within, {"not": within}]}}):
            left = [record for record in place.world.all(name) if oracle.matches(place.world, name, record, asked)]
            arguments = [("filter", json.dumps(asked)), ("sort", "id")]
            compare(place, BY_NAME[name], arguments, oracle.ordered(left, ["id"]), 500)


@pytest.mark.parametrize("operator", ["", "__not", "__gt", "__gte", "__lt", "__lte"])
@pytest.mark.parametrize(
    "written", ["0.000001", "1e-06", "1E-6", "10e-7", "0.1000000000000000055", "-1.5000001", "2.5e0", "1e-300", "9e15", "-0.0"]
)
def test_numbers_as_json_has_them(places: list[Place], operator: str, written: str) -> None:
    """However JSON writes a number, and however many decimals it has, it is that number, in an address and in JSON."""
    name, value = f"metric.value{operator}", float(written)
    asked = {name: value if operator.startswith(("__g", "__l")) else [value]}
    for place in places:
        left = [
            record for record in place.world.all("initiatives") if oracle.matches(place.world, "initiatives", record, asked)
        ]
        for arguments in ([(name, written)], [("filter", f'{{"{name}":{written}}}')]):
            compare(place, BY_NAME["initiatives"], [*arguments, ("sort", "id")], oracle.ordered(left, ["id"]), 500)


@given(data=st.data())
@limits(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_list(places: list[Place], data: st.DataObject) -> None:
    """Whatever is asked, a list is what the second opinion says, page by page, on both databases."""
    check_list(places, data)


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.parametrize("part", range(4))
@given(data=st.data())
@limits(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_lists(places: list[Place], part: int, data: st.DataObject) -> None:
    """The same, at length."""
    assert part < 4
    check_list(places, data)


def check_facets(places: list[Place], data: st.DataObject) -> None:
    """Draw a request for facets, and compare what comes back."""
    draw = data.draw
    place, noun = places[draw(st.integers(0, WORLDS - 1))], BY_NAME[draw(st.sampled_from(list(BY_NAME)))]
    left, arguments = narrowed(draw, place, noun)
    names = draw(st.lists(st.sampled_from(list(facetable(noun))), min_size=1, max_size=3, unique=True))
    facets = place.ask(f"/{noun.name}?{urlencode([*arguments, ('facets', ','.join(names)), ('limit', '1')])}")["facets"]
    assert list(facets) == names
    for name, found in facets.items():
        counts = [(row["value"], row["count"]) for row in found["values"]]
        assert (name, counts, found["more"]) == (name, oracle.facet(place.world, noun.name, left, name), False)
        if found["values"]:
            row = draw(st.sampled_from(found["values"]))
            assert (row, place.ask(row["link"])["page"]["total"]) == (row, row["count"])


@given(data=st.data())
@limits(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_facets(places: list[Place], data: st.DataObject) -> None:
    """A facet counts the whole filtered set, whatever the page; each of its links leads to as many records."""
    check_facets(places, data)


@pytest.mark.slow
@pytest.mark.campaign
@given(data=st.data())
@limits(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_facets(places: list[Place], data: st.DataObject) -> None:
    """The same, at length."""
    check_facets(places, data)


@given(data=st.data())
@limits(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_shape(places: list[Place], data: st.DataObject) -> None:
    """A page has exactly the members that were asked for, and exactly the records that its own are related to."""
    draw = data.draw
    place, noun = places[draw(st.integers(0, WORLDS - 1))], BY_NAME[draw(st.sampled_from(list(BY_NAME)))]
    members = draw(st.lists(st.sampled_from(noun.members), min_size=1, max_size=4, unique=True))
    paths = draw(st.lists(st.sampled_from(list(includable(noun))), min_size=1, max_size=3, unique=True))
    shape = f"fields={','.join(members)}&include={','.join(paths)}"
    page = oracle.ordered(place.world.all(noun.name), ["-version"])[: draw(st.integers(1, 30))]
    answer = place.ask(f"/{noun.name}?sort=-version&limit={len(page)}&{shape}")
    assert answer["data"] == [{name: record[name] for name in members} for record in page]
    assert answer["included"] == oracle.included(place.world, noun.name, page, paths)
    record = draw(st.sampled_from(page))
    answer = place.ask(f"/{noun.name}/{record['id']}?{shape}")
    assert answer["data"] == {name: record[name] for name in members}
    assert answer["included"] == oracle.included(place.world, noun.name, [record], paths)


@pytest.mark.parametrize(
    ("path", "facet"),
    [
        ("cities?award.rank=1", "award.category"),
        ("cities?award.survey.year=2024", "award.rank"),
        ("cities?initiative.status=draft", "initiative.priority"),
        ("initiatives?partner.name__contains=a", "partner.role"),
        ("initiatives?priority.name__contains=a", "priority"),
        ("surveys?award.rank=1", "state"),
    ],
)
def test_facet_links(places: list[Place], path: str, facet: str) -> None:
    """A facet's link leads to as many records as it says, whatever relations were filtered by before."""
    for place in places:
        rows = place.ask(f"/{path}&facets={facet}")["facets"][facet]["values"]
        assert rows == [row for row in rows if place.ask(row["link"])["page"]["total"] == row["count"]]


def test_facet_links_of_one_of_many(places: list[Place]) -> None:
    """A facet of what is filtered by already counts, and leads to, what has both."""
    for priority in places[0].world.documents["priorities"]:
        rows = places[0].ask(f"/initiatives?priority={priority}&facets=priority")["facets"]["priority"]["values"]
        assert rows == [row for row in rows if places[0].ask(row["link"])["page"]["total"] == row["count"]]


@nouns
def test_extremes(places: list[Place], resource: Resource) -> None:
    """A number or a time at the edge of what is allowed is compared like any other."""
    for place, (name, row) in ((places[0], found) for found in filters(resource).items()):
        if row.field.type.name == "instant":
            edges: list[Any] = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
        elif {"minimum", "maximum"} <= row.schema.keys():
            edges = [row.schema["minimum"], row.schema["maximum"]]
        else:
            continue
        for edge in edges:
            asked = {name: [edge] if row.operator.many else edge}
            expected = [
                found for found in place.world.all(resource.name) if oracle.matches(place.world, resource.name, found, asked)
            ]
            assert (name, place.ask(f"/{resource.name}?limit=500&sort=id&{urlencode(flat(asked))}")["data"]) == (
                name,
                oracle.ordered(expected, ["id"]),
            )


# --- while others write


ADD = {
    "initiatives": [
        (
            "insert into initiatives (id, city_id, title, summary, status, started) "
            "values (:id, 'boston-ma', :id, '', :tie, :maybe)"
        )
    ],
    "awards": [
        "insert into cities (id, name, state, country) values (:id, :id, 'ZZ', 'ZZ')",
        (
            "insert into awards (id, survey_id, category, city_id, rank, tied) select :id, survey_id, category, :id, :rank, "
            ":flag from (select survey_id, category from survey_categories limit 1) as one"
        ),
    ],
}
REMOVE = {
    "initiatives": ["delete from initiatives where id = :id"],
    "awards": ["delete from awards where id = :id", "delete from cities where id = :id"],
}


def write(database: Database, statements: Sequence[str], rows: Sequence[Document]) -> None:
    """Publish rows, or their end."""
    with publishing(database) as session:
        for statement in statements if rows else ():
            session.execute(text(statement), rows)


CELLS = st.fixed_dictionaries(
    {
        "tie": st.sampled_from(["draft", "pilot"]),
        "maybe": st.sampled_from(["2024", "2024-07", "2024-07-31", None]),
        "rank": st.integers(1, 3),
        "flag": st.sampled_from([True, False, None]),
    }
)


@pytest.mark.parametrize("noun", ["initiatives", "awards"])
@given(data=st.data())
@limits(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_walk_while_others_write(own_client: FlaskClient, database: Database, noun: str, data: st.DataObject) -> None:
    """By any order, through ties and nulls: who stays during a walk is seen once and in order, whoever comes and goes."""
    draw = data.draw
    own = [row for row in own_client.get(f"/{noun}?limit=500").get_json()["data"] if row["id"].startswith("w-")]
    write(database, REMOVE[noun], own)
    rows = [{"id": f"w-{number}", **row} for number, row in enumerate(draw(st.lists(CELLS, min_size=4, max_size=20)))]
    leaving, late = rows[: len(rows) // 4], rows[len(rows) // 2 :]
    write(database, ADD[noun], rows[: len(rows) // 2])
    keys = draw(st.lists(st.sampled_from(directed(BY_NAME[noun])), min_size=1, max_size=3, unique_by=fieldwise))
    stay = {row["id"] for row in own_client.get(f"/{noun}?limit=500").get_json()["data"]} - {row["id"] for row in leaving}
    address: str | None = f"/{noun}?limit={draw(st.integers(1, 12))}&sort={','.join(keys)}"
    seen: list[Document] = []
    while address:
        answer = own_client.get(address.removeprefix(BASE)).get_json()
        seen += answer["data"]
        address = answer["links"]["next"]
        write(database, ADD[noun], [late.pop()] if late else [])
        write(database, REMOVE[noun], [leaving.pop()] if leaving else [])
    expected = oracle.ordered({row["id"]: row for row in seen}.values(), keys)
    assert [row["id"] for row in seen] == [row["id"] for row in expected]
    assert stay <= {row["id"] for row in seen}


# --- what people type, or worse

HOSTILE = [*ODD, "\0", "a\0b", "x" * 1000, "x" * 1001, "é" * 1001]
# As in an address; the last are no UTF-8: half a surrogate pair, no first byte, and a slash in two bytes.
RAW = [*(quote(found, safe="") for found in HOSTILE), "%ED%A0%80", "%FF", "%C0%AF"]


def takes_text(row: Filter) -> bool:
    """Tell whether a filter takes any text."""
    return not row.operator.of_null and (row.operator.folds or row.field.type.name == "text")


@nouns
def test_hostile_text_is_text(places: list[Place], resource: Resource) -> None:
    """Where any text is a value, nothing in it has a meaning: exactly the records come back that have it."""
    place, noun = places[0], resource.name
    names = [name for name, row in filters(resource).items() if takes_text(row) and row.operator.name != "not"]
    # All of them for its own fields, which those of others are compared like; some of them for each of those.
    leaves = [
        {name: found} for n, name in enumerate(names) for found in (ODD[n % 4 :: 4] if "." in name else [*ODD, "x" * 1000])
    ]
    for start in range(0, len(leaves), 49):
        asked = {"or": leaves[start : start + 49]}
        expected = [record["id"] for record in place.world.all(noun) if oracle.matches(place.world, noun, record, asked)]
        arguments = {"filter": json.dumps(asked), "limit": 500, "sort": "id", "count": "none"}
        found = place.ask(f"/{noun}?{urlencode(arguments)}")["data"]
        assert [record["id"] for record in found] == sorted(expected)
    for name in (name for name in names if filters(resource)[name].operator.many):
        expected = [record for record in place.world.all(noun) if oracle.matches(place.world, noun, record, {name: ODD})]
        compare(place, resource, [*flat({name: ODD}), ("sort", "id")], oracle.ordered(expected, ["id"]), 500)


@nouns
def test_hostile_value_is_refused(places: list[Place], resource: Resource) -> None:
    """Where only some values are possible, any other is a 400 that names each parameter that has it."""
    refusing = [*filters(resource), *sorted(parameters(resource).keys() - {"q", "cursor"})]
    for hostile in HOSTILE:
        broken = "\0" in hostile or len(hostile) > 1000
        # No more at once than an answer says what is wrong with, and an address can hold.
        step = 15 if len(hostile) < 100 else 5
        for start in range(0, len(refusing), step):
            some = refusing[start : start + step]
            wrong = [
                name for name in some if broken or name not in filters(resource) or not takes_text(filters(resource)[name])
            ]
            asked = urlencode({name: escaped(hostile) if name in filters(resource) else hostile for name in some})
            refused(places[0].get(f"/{resource.name}?{asked}"), wrong)
        refused(places[0].get(f"/{resource.name}?{urlencode({'cursor': hostile})}"), ["cursor"])


def refused(response: TestResponse, names: Sequence[str]) -> None:
    """Check that an answer is a problem about each of these parameters, if there are any."""
    if names:
        assert (response.status_code, response.content_type) == (400, "application/problem+json")
        assert {item["parameter"] for item in response.get_json()["errors"]} == set(names)
    else:
        assert response.status_code == 200


@nouns
def test_hostile_search_and_path(places: list[Place], resource: Resource) -> None:
    """What is searched for is text, and what is no id is nowhere; never is anything a fault of ours."""
    place = places[0]
    for hostile in RAW:
        if resource.search:
            assert place.get(f"/{resource.name}?q={hostile}&highlights=true").status_code in {200, 400}
        assert place.get(f"/{resource.name}/{hostile}").status_code == 404
    for name in (*filters(resource), *parameters(resource)):
        answer = place.get(f"/{resource.name}?{name}=%ED%A0%80")
        assert (name, answer.status_code in {200, 400}) == (name, True)
    for name in (found for found, row in filters(resource).items() if takes_text(row)):
        lone = quote(json.dumps({name: "\ud800"}))
        answer = place.get(f"/{resource.name}?filter={lone}").get_json()
        assert [(item["parameter"], item["pointer"]) for item in answer["errors"]] == [("filter", f"/{name}")]


@pytest.mark.parametrize("path", ["search", "suggest"])
def test_hostile_search(places: list[Place], path: str) -> None:
    """Across nouns too: any text that is short enough is searched for, and both databases find the same."""
    for hostile in RAW:
        assert (hostile, places[0].get(f"/{path}?q={hostile}").status_code) == (hostile, 400 if len(hostile) > 1000 else 200)


# --- lists of values


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
    """A comma parts values unless a backslash is before it, a backslash is one by itself, and parameters can be repeated."""
    names = ["", ",", "a", "b", "a,b", "a\\", r"a\,b", r"a\b", "a, b", "A"]
    with publishing(database) as session:
        rows = [{"id": f"w-{number}", "name": name} for number, name in enumerate(names)]
        session.execute(text("insert into priorities (id, name, description) values (:id, :name, '')"), rows)
    found = own_client.get(f"/priorities?{urlencode([('name', value) for value in values])}").get_json()["data"]
    assert [record["name"] for record in found] == expected


def test_repetition(client: FlaskClient) -> None:
    """A filter that is repeated takes any of its values, as one with commas does."""
    both = client.get("/cities?state=CA,WA").get_json()["data"]
    assert client.get("/cities?state=CA&state=WA").get_json()["data"] == both
    assert {record["state"] for record in both} == {"CA", "WA"}


def test_many_ids(client: FlaskClient) -> None:
    """As many ids as are allowed are looked up at once; one more is a 400 that says how many may be asked for."""
    ids = ["boston-ma", *(f"nobody-{number}" for number in range(MAX_VALUES - 1))]
    for query in (f"id={','.join(ids)}", "&".join(f"id={id}" for id in ids)):
        assert [record["id"] for record in client.get(f"/cities?{query}").get_json()["data"]] == ["boston-ma"]
    response = client.get(f"/cities?id={','.join([*ids, 'one-more'])}")
    detail = "`id` takes at most 500 values."
    item = {"parameter": "id", "code": "too-many-values", "detail": detail, "allowed": {"maximum": 500}}
    assert (response.status_code, response.get_json()["errors"]) == (400, [item])
