"""The query language against a second opinion: random requests about random worlds, on both databases, and `oracle`."""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sqlalchemy import text

from api.db.database import Database
from api.query.flat import selectable
from api.query.language import (
    Filter,
    facetable,
    filters,
    includable,
)
from api.query.order import sortable
from api.resources import BY_NAME
from api.schema.fields import MAX_INTEGER
from api.schema.formats import cell
from api.schema.resource import Resource
from tests.support import oracle
from tests.support.answers import Json
from tests.support.databases import SQLITE_FIRST, publishing
from tests.support.lengths import Sample, examples, few
from tests.support.oracle import ODD, Document, World
from tests.support.records import few_nouns, nouns
from tests.support.worlds import BASE, WORLDS, Arguments, Place, compare, flat

DEPTH = 3


# --- requests


@cache
def known(world: World, noun: str, name: str) -> list[Any]:
    """Return values for a filter: existing ones, and some that may not exist."""
    path, _ = oracle.parsed(name)
    there = {value for record in world.all(noun) for value in oracle.values(world, noun, record, path)} - {None}
    if oracle.KINDS[field_of(noun, path)] == "date":
        there = {date for date in there if oracle.period(date)}
    return sorted(there) + {"text": ODD, "instant": INSTANTS}.get(oracle.KINDS[field_of(noun, path)], [])


INSTANTS = ["2099-12-31T23:59:59Z", "2100-01-01T02:00:00.000+02:00", "2100-01-01T00:00:01.500001Z", "9999-12-31T23:59:59Z"]


# Values of operators that take another type than their field's.
VALUES: dict[str, list[Any]] = {
    "month": [*range(1, 13)],
    "beginning": ["2", "0", "20", "202", "2024", "2024-", "2024-0", "2024-1", "2024-07", "2024-07-", "2024-07-3", "2024-12-31"],
}


def field_of(noun: str, path: Sequence[str]) -> str:
    """Return the name of the field at the end of a path; for a relation, its key."""
    for name in path[:-1]:
        noun = oracle.WAYS[noun][name].to
    way = oracle.WAYS[noun].get(path[-1])
    return way.key if way and way.many else path[-1]


def value(draw: Callable[[Any], Any], world: World, noun: str, row: Filter) -> Any:
    """Draw a value for a filter, a list if it takes many."""
    if row.operator.of_null:
        return draw(st.booleans())
    there = VALUES.get(row.operator.takes or "") or known(world, noun, row.name) or [row.example]
    if row.operator.many:
        return draw(st.lists(st.sampled_from(there), min_size=1, max_size=3))
    drawn = draw(st.sampled_from(there))
    if row.operator.folds:
        begin = 0 if row.operator.name == "startswith" else draw(st.integers(0, 3))
        change = draw(st.sampled_from([str, str.upper, str.lower]))
        return change(drawn[begin : begin + draw(st.integers(1, 9))])
    return drawn


def conditions(draw: Callable[[Any], Any], world: World, noun: Resource, most: int) -> dict[str, Any]:
    """Draw filters with values, often several on the same related record."""
    drawn: dict[str, Any] = {}
    names = list(filters(noun))
    for _ in range(draw(st.integers(1, most))):
        alike = [
            name for name in names if drawn and "." in name and name.split(".")[0] == re.split(r"\.|__", next(iter(drawn)))[0]
        ]
        name = draw(st.sampled_from(alike if alike and draw(st.booleans()) else names))
        drawn[name] = value(draw, world, noun.name, filters(noun)[name])
    return drawn


def expression(draw: Callable[[Any], Any], world: World, noun: Resource, depth: int) -> dict[str, Any]:
    """Draw an expression for `filter`."""
    drawn = conditions(draw, world, noun, 2) if depth == 1 or draw(st.booleans()) else {}
    if depth > 1 and (not drawn or draw(st.booleans())):
        connective = draw(st.sampled_from(oracle.CONNECTIVES))
        below = [expression(draw, world, noun, depth - 1) for _ in range(1 if connective == "not" else draw(st.integers(1, 2)))]
        drawn[connective] = below[0] if connective == "not" else below
    return drawn


class Drawn(NamedTuple):
    """A request that is narrowed by flat filters, and by an expression."""

    flat: dict[str, Any]
    nested: dict[str, Any]
    arguments: Arguments

    def left(self, world: World, noun: str) -> list[Document]:
        """Return the matching records by id."""
        return [
            record
            for record in world.all(noun)
            if oracle.matches(world, noun, record, self.flat) and oracle.matches(world, noun, record, self.nested)
        ]


def narrowed(draw: Callable[[Any], Any], place: Place, noun: Resource) -> Drawn:
    """Draw filters."""
    flat_filters = conditions(draw, place.world, noun, 3) if draw(st.booleans()) else {}
    nested = expression(draw, place.world, noun, DEPTH) if draw(st.booleans()) else {}
    arguments = flat(flat_filters, repeated=draw(st.booleans()))
    return Drawn(flat_filters, nested, [*arguments, ("filter", json.dumps(nested))] if nested else arguments)


# --- answers


@nouns
def test_oracle_knows(places: list[Place], resource: Resource) -> None:
    """There is a second opinion on every filter, order, facet and include: a new one must get its own."""
    world, noun = places[0].world, resource.name
    records = world.all(noun)
    assert records
    for name, row in filters(resource).items():
        example = [row.example] if row.operator.many else row.example
        assert {oracle.matches(world, noun, record, {name: example}) for record in records} <= {True, False}
    assert all(len(oracle.ordered(records, [key], (world, noun))) == len(records) for key in sortable(resource))
    # A world can have no record with a value.
    assert all(isinstance(oracle.facet(world, noun, records, name), list) for name in facetable(resource))
    assert [*oracle.included(world, noun, records, includable(resource))]


def directed(noun: Resource) -> list[str]:
    """Return a noun's sort keys, both ways."""
    return [sign + name for name in sortable(noun) for sign in ("", "-")]


def fieldwise(key: str) -> str:
    """Return the field of a sort key; one request may name it once."""
    return key.removeprefix("-")


def check_list(places: list[Place], data: st.DataObject) -> None:
    """Draw a request for a list, and compare its answer."""
    draw = data.draw
    place, noun = places[draw(st.integers(0, WORLDS - 1))], BY_NAME[draw(st.sampled_from(list(BY_NAME)))]
    drawn = narrowed(draw, place, noun)
    left, arguments = drawn.left(place.world, noun.name), drawn.arguments
    keys = draw(st.lists(st.sampled_from(directed(noun)), max_size=3, unique_by=fieldwise))
    expected = oracle.ordered(left, keys or noun.default_sort.split(","), (place.world, noun.name))
    arguments += [("sort", ",".join(keys))] if keys else []
    arguments += draw(st.sampled_from([[], [("count", "capped")], [("count", "exact")], [("count", "none")]]))
    paths = draw(st.lists(st.sampled_from(list(includable(noun))), max_size=2, unique=True))
    arguments += [("include", ",".join(paths))] if paths else []
    compare(place, noun, arguments, expected, max(draw(st.integers(1, 30)), len(expected) // 2))


@pytest.mark.parametrize("name", ["cities", "awards"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_order_by_flag(places: list[Place], name: str, sign: str) -> None:
    """False sorts before true and null last; pages continue after each of them."""
    noun, key = BY_NAME[name], f"{sign}{'tied' if name == 'awards' else 'state_capital'}"
    for place in places:
        compare(place, noun, [("sort", key)], oracle.ordered(place.world.all(name), [key]), 2)


@nouns
def test_every_order_by_a_related_record(places: list[Place], sample: Sample, resource: Resource) -> None:
    """Each field of a to-one relation orders a list both ways, also behind another key and before one, over several pages."""
    place, first = places[0], resource.default_sort.split(",")[0]
    related = (key for key, row in sortable(resource).items() if row.relation)
    orders = [
        form.format(f"{sign}{key}") for key in related for sign in ("", "-") for form in ("{}", "{},-version", first + ",{}")
    ]
    size, records = len(place.world.all(resource.name)), place.world.all(resource.name)
    for order in sample(orders, 3):
        expected = oracle.ordered(records, order.split(","), (place.world, resource.name))
        compare(place, resource, [("sort", order)], expected, size // 3 + 1)


@pytest.mark.parametrize("key", ["version", "-updated_at"])
@pytest.mark.parametrize("first", ["id", "name"])
def test_order_by_the_ledger_second(places: list[Place], first: str, key: str) -> None:
    """A key of the ledger may follow one of the noun, also where the rows that a page needs are bounded by the first."""
    linked = {"initiative__isnull": False}
    for place in places:
        left = [record for record in place.world.all("priorities") if oracle.matches(place.world, "priorities", record, linked)]
        arguments = [("initiative__isnull", "false"), ("sort", f"{first},{key}")]
        compare(place, BY_NAME["priorities"], arguments, oracle.ordered(left, [first, key]), 2)


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("initiatives", {"started__lte": "2100"}),
        ("initiatives", {"started__startswith": "2024"}),
        ("initiatives", {"started__month": [12]}),
        ("initiatives", {"started": ["2024", "2023-12"]}),
        ("initiatives", {"metric.as_of": ["2024"]}),
        ("initiatives", {"parent.title__contains": "a"}),
        ("organizations", {"city": ["a", "b"]}),
        ("organizations", {"city.name__not": ["Boston"]}),
        ("awards", {"tied": [True]}),
        ("sources", {"part__gt": 1, "parts__gt": 2}),
        ("citations", {"source.publisher.name__contains": "a"}),
    ],
)
def test_not(places: list[Place], sample: Sample, name: str, within: dict[str, Any]) -> None:
    """`not` matches exactly the records that its expression does not, nulls included."""
    for place in places:
        for expression in sample(({"not": within}, {"not": {"not": within}}, {"not": {"or": [within, {"not": within}]}}), 1):
            left = [record for record in place.world.all(name) if oracle.matches(place.world, name, record, expression)]
            arguments = [("filter", json.dumps(expression)), ("sort", "id")]
            compare(place, BY_NAME[name], arguments, oracle.ordered(left, ["id"]), 500)


@pytest.mark.parametrize("operator", ["", "__not", "__gt", "__gte", "__lt", "__lte"])
@pytest.mark.parametrize(
    "written", ["0.000001", "1e-06", "1E-6", "10e-7", "0.1000000000000000055", "-1.5000001", "2.5e0", "1e-300", "9e15", "-0.0"]
)
def test_numbers_as_json_has_them(places: list[Place], operator: str, written: str) -> None:
    """Every JSON spelling of a number, with any decimals, is the same number, in the URL and in JSON."""
    name, value = f"metric.value{operator}", float(written)
    condition, place = {name: value if operator.startswith(("__g", "__l")) else [value]}, places[0]
    left = [
        record for record in place.world.all("initiatives") if oracle.matches(place.world, "initiatives", record, condition)
    ]
    for arguments in ([(name, written)], [("filter", f'{{"{name}":{written}}}')]):
        compare(place, BY_NAME["initiatives"], [*arguments, ("sort", "id")], oracle.ordered(left, ["id"]), 500)


@given(data=st.data())
@limits(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
def test_list(places: list[Place], data: st.DataObject) -> None:
    """For any request, the pages of a list equal the second opinion, on both databases."""
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
    """Draw a request for facets, and compare its answer."""
    draw = data.draw
    place, noun = places[draw(st.integers(0, WORLDS - 1))], BY_NAME[draw(st.sampled_from(list(BY_NAME)))]
    names = draw(st.lists(st.sampled_from(list(facetable(noun))), min_size=1, max_size=3, unique=True))
    drawn = narrowed(draw, place, noun)
    known_values = known(place.world, noun.name, names[0])
    is_chosen: bool = draw(st.booleans())
    if known_values and is_chosen:
        picked = draw(st.lists(st.sampled_from(known_values), min_size=1, max_size=2))
        drawn.flat[names[0]] = picked
        kept = [row for row in drawn.arguments if row[0] != names[0]]
        drawn = drawn._replace(arguments=[*kept, *flat({names[0]: picked}, repeated=False)])
    path = f"/{noun.name}?{urlencode([*drawn.arguments, ('facets', ','.join(names)), ('limit', '0')])}"
    facets = place.ask(path)["facets"]
    assert list(facets) == names
    for name, counted in facets.items():
        check_facet(place, noun, name, drawn, counted)
        if counted["values"]:
            follow(place, noun, name, drawn, draw(st.sampled_from(counted["values"])))


def rest(noun: Resource, name: str, drawn: Drawn) -> tuple[list[Any], Drawn]:
    """Return the values of a facet by which a request is narrowed, and the request without them."""
    chosen: list[Any] = []
    pruned = [oracle.pruned(each, name, chosen, nulls=not facetable(noun)[name].whole) for each in (drawn.flat, drawn.nested)]
    return [*dict.fromkeys(chosen)], drawn._replace(flat=pruned[0], nested=pruned[1])


def refined(place: Place, noun: Resource, name: str, drawn: Drawn, selected: list[Any]) -> list[Document]:
    """Return the records by values of a facet that take the place of those that a request chooses."""
    _, others = rest(noun, name, drawn)
    condition = {f"{name}__isnull": True} if None in selected else {name: selected} if selected else {}
    if drawn.flat != others.flat:
        others = others._replace(flat=others.flat | condition)
    elif drawn.nested != others.nested and condition:
        nulls = not facetable(noun)[name].whole
        others = others._replace(nested=oracle.pruned(drawn.nested, name, [], nulls=nulls, new=[condition]))
    else:
        left = others.left(place.world, noun.name)
        return [record for record in left if oracle.matches(place.world, noun.name, record, condition)]
    return others.left(place.world, noun.name)


def check_facet(place: Place, noun: Resource, name: str, drawn: Drawn, counted: Json) -> None:
    """Compare a facet: its counts do not depend on the values that are chosen from it, and these are all listed."""
    chosen, others = rest(noun, name, drawn)
    counts = oracle.facet(place.world, noun.name, others.left(place.world, noun.name), name)
    missing = [(value, 0) for value in chosen if value not in dict(counts)]
    rows = [(row["value"], row["count"], row["selected"]) for row in counted["values"]]
    assert (name, rows, counted["more"]) == (name, [(*row, row[0] in chosen) for row in [*counts, *missing]], False)


def follow(place: Place, noun: Resource, name: str, drawn: Drawn, row: Json) -> None:
    """Follow the links of a value: one adds it, the other removes it, and each changes nothing the second time."""
    chosen, _ = rest(noun, name, drawn)
    without = [value for value in chosen if value != row["value"]]
    added = [row["value"]] if None in (row["value"], *without) else [*without, row["value"]]
    whole = drawn.left(place.world, noun.name)
    for link, left in (
        ("add", whole if row["selected"] else refined(place, noun, name, drawn, added)),
        ("remove", refined(place, noun, name, drawn, without)),
    ):
        answer = place.ask(row[link])
        assert (link, row, answer["page"]["total"]) == (link, row, len(left))
        again = {str(other["value"]): other for other in answer["facets"][name]["values"]}
        if str(row["value"]) in again:
            assert place.ask(again[str(row["value"])][link]) == answer


@given(data=st.data())
@limits(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
def test_facets(places: list[Place], data: st.DataObject) -> None:
    """A facet counts the whole filtered set, whatever the page; each link leads to the number of records counted."""
    check_facets(places, data)


@pytest.mark.slow
@pytest.mark.campaign
@given(data=st.data())
@limits(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_facets(places: list[Place], data: st.DataObject) -> None:
    """The same, at length."""
    check_facets(places, data)


@given(data=st.data())
@limits(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
def test_shape(places: list[Place], data: st.DataObject) -> None:
    """A page has exactly the requested members and the included records of its own records."""
    draw = data.draw
    place, noun = places[draw(st.integers(0, WORLDS - 1))], BY_NAME[draw(st.sampled_from(list(BY_NAME)))]
    members = draw(st.lists(st.sampled_from(selectable(noun)), min_size=1, max_size=4, unique=True))
    paths = draw(st.lists(st.sampled_from(list(includable(noun))), min_size=1, max_size=3, unique=True))
    nouns = sorted({step.to or "" for path in paths for step in includable(noun)[path]})
    trimmed = {
        name: draw(st.lists(st.sampled_from(BY_NAME[name].members), min_size=1, max_size=3, unique=True))
        for name in draw(st.lists(st.sampled_from(nouns), unique=True))
    }
    shape = f"fields={','.join(members)}&include={','.join(paths)}"
    shape += "".join(f"&fields[{name}]={','.join(kept)}" for name, kept in trimmed.items())
    page = oracle.ordered(place.world.all(noun.name), ["-version"])[: draw(st.integers(1, 30))]
    answer = place.ask(f"/{noun.name}?sort=-version&limit={len(page)}&{shape}")
    rows = [{name: oracle.selected(place.world, noun.name, record, name) for name in members} for record in page]
    assert answer["data"] == rows
    assert answer["included"] == oracle.trimmed(oracle.included(place.world, noun.name, page, paths), trimmed)
    record = draw(st.sampled_from(page))
    answer = place.ask(f"/{noun.name}/{record['id']}?{shape}")
    assert answer["data"] == rows[page.index(record)]
    assert answer["included"] == oracle.trimmed(oracle.included(place.world, noun.name, [record], paths), trimmed)
    path = f"?sort=-version&limit={len(page)}&fields={','.join(members)}"
    assert [json.loads(line) for line in place.get(f"/{noun.name}.ndjson{path}").text.splitlines()] == rows
    # A row of one empty cell is an empty line, which Python reads as a row without cells.
    table = [row or [""] for row in csv.reader(io.StringIO(place.get(f"/{noun.name}.csv{path}").text, newline=""))]
    assert table == [members, *[[cell(row[name]) for name in members] for row in rows]]


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
    """To add a value leads to the number of records that it states, whatever relations the request filters by."""
    for place in places:
        rows = place.ask(f"/{path}&facets={facet}")["facets"][facet]["values"]
        assert rows == [row for row in rows if place.ask(row["add"])["page"]["total"] == row["count"]]


def test_a_facet_can_drive_a_sidebar(places: list[Place]) -> None:
    """A facet lists the other values of a chosen one, too, and those that are chosen although no record has them."""
    values = places[0].ask("/initiatives?facets=status&limit=0")["facets"]["status"]["values"]
    chosen = places[0].ask("/initiatives?status=draft&facets=status&limit=0&evolving=true")["facets"]["status"]["values"]
    assert len(values) > 1
    assert [row["value"] for row in values if row["selected"]] == []
    assert [row["value"] for row in chosen if row["selected"]] == ["draft"]
    nobody = places[0].ask("/initiatives?city=nowhere-zz&facets=city&limit=0")["facets"]["city"]["values"]
    assert [(row["value"], row["count"]) for row in nobody if row["selected"]] == [("nowhere-zz", 0)]


def test_a_hint_in_words(client: FlaskClient) -> None:
    """A hint says what no record has, and lists the nearest values that records have."""
    (hint,) = client.get("/cities?state=ZZ").get_json()["meta"]["hints"]
    assert hint == {
        "parameter": "state",
        "detail": "No city has `ZZ` as its `state`.",
        "allowed": ["CA", "MA", "WA"],
        "suggestion": None,
    }


def has_edges(row: Filter) -> bool:
    """Tell whether the values of a filter have a range."""
    return row.field.type.name == "instant" or {"minimum", "maximum"} <= row.schema.keys()


@few_nouns
def test_extremes(places: list[Place], resource: Resource, sample: Sample) -> None:
    """Numbers and times at the limits of their range compare like others."""
    place = places[0]
    for name, row in sample([(name, row) for name, row in filters(resource).items() if has_edges(row)], 12):
        if row.field.type.name == "instant":
            edges: list[Any] = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
        else:
            edges = [row.schema["minimum"], row.schema["maximum"]]
        for edge in edges:
            condition = {name: [edge] if row.operator.many else edge}
            expected = [
                record
                for record in place.world.all(resource.name)
                if oracle.matches(place.world, resource.name, record, condition)
            ]
            assert (name, place.ask(f"/{resource.name}?limit=500&sort=id&{urlencode(flat(condition))}")["data"]) == (
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
            "insert into awards (id, survey_id, category, city_id, rank, placement, tied) select :id, survey_id, category, :id, "
            ":rank, :tie, :flag from (select survey_id, category from survey_categories limit 1) as one"
        ),
    ],
    "cities": [
        (
            "insert into cities (id, name, state, country, state_capital, location_latitude, location_longitude) "
            "values (:id, :id, 'ZZ', 'ZZ', :flag, :number, :number)"
        )
    ],
}
REMOVE = {
    "cities": ["delete from cities where id = :id"],
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
        "rank": st.sampled_from([1, MAX_INTEGER, None]),
        "number": st.sampled_from([-90, 32.71571, None]),
        "flag": st.sampled_from([True, False, None]),
    }
)


@SQLITE_FIRST
@pytest.mark.parametrize("noun", few(ADD, "initiatives"))
@given(data=st.data())
@limits(max_examples=examples(5), deadline=None, suppress_health_check=list(HealthCheck))
def test_walk_while_others_write(own_client: FlaskClient, database: Database, noun: str, data: st.DataObject) -> None:
    """In any order, with ties and nulls, forth and back: a record that stays is seen once, while others come and go."""
    check_walk(own_client, database, noun, data.draw)


@pytest.mark.slow
@pytest.mark.parametrize("noun", ADD)
@given(data=st.data())
@limits(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_walks_while_others_write(own_client: FlaskClient, database: Database, noun: str, data: st.DataObject) -> None:
    """The same, at length."""
    check_walk(own_client, database, noun, data.draw)


def check_walk(own_client: FlaskClient, database: Database, noun: str, draw: Callable[[Any], Any]) -> None:
    """Walk through a list and back while records are added and removed."""
    left = [row for row in own_client.get(f"/{noun}?limit=500").get_json()["data"] if row["id"].startswith("w-")]
    write(database, REMOVE[noun], left)
    rows = [{"id": f"w-{number}", **row} for number, row in enumerate(draw(st.lists(CELLS, min_size=4, max_size=20)))]
    leaving, late = rows[: len(rows) // 4], rows[len(rows) // 2 :]
    write(database, ADD[noun], rows[: len(rows) // 2])
    # `fields` takes no part of a related record's object.
    names = [name for name in directed(BY_NAME[noun]) if name.count(".") < 2]
    keys = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique_by=fieldwise))
    stay = {row["id"] for row in own_client.get(f"/{noun}?limit=500").get_json()["data"]} - {row["id"] for row in leaving}
    # A record that is gone in the end still has what it was sorted by.
    members = [*BY_NAME[noun].members, *({key.removeprefix("-") for key in keys} & {*selectable(BY_NAME[noun])})]
    selected = f"&fields={','.join(dict.fromkeys(members))}"
    address: str | None = f"/{noun}?limit={draw(st.integers(1, 12))}&sort={','.join(keys)}{selected}"
    walked: list[Document] = []
    came: list[Document] = []
    gone: list[Document] = []
    while address:
        answer = own_client.get(address.removeprefix(BASE)).get_json()
        walked += answer["data"]
        address = answer["links"]["next"]
        coming, going = late[-1:], leaving[-1:]
        write(database, ADD[noun], coming)
        write(database, REMOVE[noun], going)
        came, late, gone, leaving = came + coming, late[:-1], gone + going, leaving[:-1]
    check_walked(walked, keys, stay)
    walked = answer["data"]
    while answer["links"]["prev"]:
        answer = own_client.get(answer["links"]["prev"].removeprefix(BASE)).get_json()
        if walked and answer["data"][:1] == walked[:1]:
            # All records before this place are gone, so this is the first page.
            assert answer["links"]["prev"] is None
            break
        walked = answer["data"] + walked
        write(database, ADD[noun], [gone.pop()] if gone else [])
        write(database, REMOVE[noun], [came.pop()] if came else [])
    check_walked(walked, keys, stay)


def check_walked(walked: list[Document], keys: list[str], stay: set[str]) -> None:
    """Check that each record came once, in order, and that none of those that stayed is missing."""
    expected = oracle.ordered({row["id"]: row for row in walked}.values(), keys)
    assert [row["id"] for row in walked] == [row["id"] for row in expected]
    assert stay <= {row["id"] for row in walked}
