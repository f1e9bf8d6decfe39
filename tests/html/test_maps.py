"""Maps: dots where the records are, on outlines that are where they should be, at any place of the earth."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser

from api.html.maps import LABELLED, MOST, OUTLINES, Map, areas, map_of
from api.resources import BY_NAME, RESOURCES
from tests.support.browser import visiting
from tests.support.databases import ON_SQLITE
from tests.support.markup import ask

STATES = re.findall(
    r"\w+",
    """AK AL AR AZ CA CO CT DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS
    MT NC ND NE NH NJ NM NV NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY""",
)
# Places by name: country, region, latitude, longitude.
PLACES = {
    "Seattle": ("US", "WA", 47.6, -122.3),
    "Boston": ("US", "MA", 42.4, -71.1),
    "Anchorage": ("US", "AK", 61.2, -149.9),
    "Honolulu": ("US", "HI", 21.3, -157.9),
    "Anadyr": ("RU", "CHU", 64.7, 177.5),
    "Auckland": ("NZ", None, -36.9, 174.8),
    "Suva": ("FJ", None, -18.1, 178.4),
    "Paris": ("FR", None, 48.9, 2.4),
    "Tokyo": ("JP", None, 35.7, 139.7),
    "Longyearbyen": ("NO", None, 78.2, 15.6),
}
# What is wrong with the texts of a page's map: those that leave it, and the pairs that overlap.
CLASHES = """() => {
    const whole = document.querySelector(".map > svg").getBoundingClientRect();
    const texts = [...document.querySelectorAll(".map text")].map((one) => [one.textContent, one.getBoundingClientRect()])
        .filter(([, { width }]) => width);
    const apart = (a, b) => a.right < b.left || b.right < a.left || a.bottom < b.top + 2 || b.bottom < a.top + 2;
    return {
        shown: texts.map(([text]) => text),
        outside: texts.filter(([, { left, right }]) => left < whole.left || right > whole.right).map(([text]) => text),
        pairs: texts.flatMap(([text, a], n) => texts.slice(n + 1).filter(([, b]) => !apart(a, b)).map(([other]) => [text, other])),
    };
}"""


def rings(path: str) -> list[list[tuple[int, int]]]:
    """Return the rings of a path: points in hundredths of a degree, eastward and southward."""
    found = []
    for text in re.findall(r"M([^z]+)z", path):
        numbers = [int(word) for word in re.findall(r"-?\d+", text)]
        x, y = 0, 0
        found.append([(x := x + dx, y := y + dy) for dx, dy in zip(numbers[::2], numbers[1::2], strict=True)])
    return found


def is_inside(code: str, place: Any) -> bool:
    """Tell whether a place is in an area: a line from it crosses the outline an odd number of times."""
    x, y = 100 * place["longitude"], -100 * place["latitude"]
    crossed = 0
    for *_, path in areas()[code]["parts"]:
        for ring in rings(path):
            for (a, b), (c, d) in zip(ring, [*ring[1:], ring[0]], strict=True):
                crossed += (b > y) != (d > y) and x < (c - a) * (y - b) / (d - b) + a
    return crossed % 2 == 1


def mapped(*names: str) -> Map:
    """Return the map of these places."""
    records = [
        {"id": name, "country": country, "state": region, "location": {"latitude": latitude, "longitude": longitude}}
        for name, (country, region, latitude, longitude) in ((name, PLACES[name]) for name in names)
    ]
    made = map_of(BY_NAME["cities"], records, {}, "")
    assert made
    return made


def scattered(count: int) -> Sequence[dict[str, Any]]:
    """Return cities all over the USA."""
    return [
        {"id": f"c{n}", "country": "US", "state": None, "location": {"latitude": 30 + n % 17, "longitude": -120 + n % 43}}
        for n in range(count)
    ]


def test_outlines_are_complete() -> None:
    """There is an outline of each state; they say where they are from, and take at most 100 kB."""
    assert OUTLINES.stat().st_size <= 100_000
    text = json.loads(OUTLINES.read_text(encoding="utf-8"))
    assert "U.S. Census Bureau" in text["origin"]
    assert "public domain" in text["licence"]
    assert len(STATES) == 50
    assert {"US", "CA", "MX", "FR", "SG", *(f"US-{state}" for state in STATES)} <= areas().keys()


def test_outlines_are_where_they_should_be() -> None:
    """Each part lies in the bounds that it has, and has a size."""
    for code, area in areas().items():
        assert 1 <= area["main"] <= len(area["parts"])
        for west, north, east, south, path in area["parts"]:
            xs, ys = zip(*rings(path)[0], strict=True)
            assert (min(xs), min(ys), max(xs), max(ys)) == (west, north, east, south), code
            assert -9_000 < north < south < 9_000
            assert 0 < east - west < 18_000


@ON_SQLITE
def test_cities_are_in_their_states(client: FlaskClient) -> None:
    """The location of each city lies in the outline of its state, and of no other."""
    cities = [row for row in client.get("/cities?limit=500").get_json()["data"] if row["location"] and row["country"] == "US"]
    assert cities
    for city in cities:
        assert [state for state in STATES if is_inside(f"US-{state}", city["location"])] == [city["state"]], city["id"]


@ON_SQLITE
def test_a_list_has_a_dot_for_each_place(client: FlaskClient) -> None:
    """The map of a list links to each record with a place, and keyboards and screen readers use the table instead."""
    html = ask(client, "/cities").text
    figure = re.search(r'<figure class="map">\n<svg aria-hidden="true".*?</figure>', html, re.DOTALL)
    assert figure
    located = [row["id"] for row in client.get("/cities?limit=500").get_json()["data"] if row["location"]]
    assert re.findall(r'<a href="/cities/(\S+)" tabindex="-1"><title>', figure[0]) == located
    assert f"Where these {len(located)} cities are." in figure[0]
    assert "GeoNames" in figure[0], "the licence of the locations wants that"


@ON_SQLITE
def test_a_record_has_a_small_map(client: FlaskClient) -> None:
    """The page of a city has a map without links to itself."""
    html = ask(client, "/cities/boston-ma").text
    assert html.count('<figure class="map small">') == 1
    assert "Where Boston is." in html
    assert "tabindex" not in html[html.index("<figure") : html.index("</figure>")]


@ON_SQLITE
@pytest.mark.parametrize(
    "path",
    ["/awards", "/cities?fields=name", "/cities?location__isnull=true", "/cities/boston-ma?fields=name", "/cities?q=zzz"],
)
def test_no_map(client: FlaskClient, path: str) -> None:
    """A page has no map if its noun declares none, if no place is known, or if other fields were chosen."""
    assert "<figure" not in ask(client, path).text


@ON_SQLITE
def test_places_that_were_chosen(client: FlaskClient) -> None:
    """A page has a map if its fields include the location."""
    assert "<figure" in ask(client, "/cities?fields=name,location").text


@pytest.mark.parametrize("resource", [row for row in RESOURCES if row.look.map], ids=lambda row: row.name)
def test_declarations(resource: Any) -> None:
    """What a noun declares for its map are members of its documents."""
    assert {*resource.look.map} <= {*resource.members}


@pytest.mark.parametrize(
    ("names", "west_to_east", "degrees"),
    [
        (["Boston", "Seattle"], ["Seattle", "Boston"], 70),
        (["Honolulu", "Anchorage", "Boston"], ["Honolulu", "Anchorage", "Boston"], 150),
        (["Honolulu", "Auckland", "Suva"], ["Auckland", "Suva", "Honolulu"], 140),
        (["Anchorage", "Anadyr"], ["Anadyr", "Anchorage"], 280),
        (["Tokyo", "Paris", "Boston"], ["Boston", "Paris", "Tokyo"], 310),
        (["Longyearbyen"], ["Longyearbyen"], 360),
        ([*PLACES], None, 360),
    ],
)
def test_places_far_apart(names: list[str], west_to_east: list[str] | None, degrees: int) -> None:
    """A map shows all of its places from west to east, across the 180th meridian if that is shorter, with their outlines."""
    made = mapped(*names)
    _, _, width, height = made.box
    assert 0 < width <= 100 * degrees
    assert 0 < height < 100 * 300
    assert all(0 < dot.x < 100 and 0 < dot.y < 100 for dot in made.dots)
    assert west_to_east in (None, [dot.name for dot in sorted(made.dots, key=lambda dot: dot.x)])
    assert len([kind for kind, *_ in made.outlines if kind == "area"]) == len(names)


def test_a_country_behind_its_states() -> None:
    """States from coast to coast are shown on their country; one state, and neighbours, are shown alone."""
    kinds = [
        [kind for kind, *_ in mapped(*names).outlines] for names in (["Seattle", "Boston"], ["Seattle"], ["Seattle", "Paris"])
    ]
    assert kinds == [["land", "area", "area"], ["area"], ["area", "area"]]


@pytest.mark.parametrize("count", [LABELLED, LABELLED + 1, MOST, MOST + 1])
def test_many_places(count: int) -> None:
    """A map of many records has no labels, and one of very many has points instead of links."""
    made = map_of(BY_NAME["cities"], scattered(count), {}, "")
    assert made
    assert any(dot.side for dot in made.dots) == (count <= LABELLED)
    assert len(made.dots) == (count if count <= MOST else 0)
    assert made.crowd.count("M") == (0 if count <= MOST else count)


@pytest.mark.parametrize(("width", "least"), [(320, 4), (1280, 6)])
def test_labels_have_room(browser: Browser, site: str, width: int, least: int) -> None:
    """The labels of a map are inside of it and do not overlap, on a phone and on a wide screen."""
    with visiting(browser, f"{site}/cities") as visit:
        visit.look(width, "light")
        found = visit.page.evaluate(CLASHES)
        assert (found["outside"], found["pairs"]) == ([], [])
        assert len(found["shown"]) >= least


def test_labels_without_room_are_found(browser: Browser, site: str) -> None:
    """The other test would find the labels that a phone leaves out."""
    with visiting(browser, f"{site}/cities") as visit:
        visit.look(320, "light")
        visit.page.evaluate("document.querySelectorAll('.map text').forEach((one) => one.classList.remove('wide'))")
        assert visit.page.evaluate(CLASHES)["pairs"]
