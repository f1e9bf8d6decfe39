"""How lists are read from 100,000 rows: every default sort and every filter by an index, on both databases."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from api.query.language import Filter, filters
from api.resources import BY_NAME, RESOURCES
from api.schema.resource import Resource
from bench.dataset import build
from tests.support.applications import serving
from tests.support.databases import Store
from tests.support.plans import plans, written
from tests.support.records import nouns

pytestmark = pytest.mark.slow
SIZE = 100_000
# The tables that grow with each publication; the others are small.
LARGE = ("initiatives", "initiative_priorities", "initiative_partners", "initiative_metrics", "revision", "revision_scope")
INITIATIVES = BY_NAME["initiatives"]


@pytest.fixture(scope="module")
def large(store: Store) -> Iterator[FlaskClient]:
    """A client of an application on a database of 100,000 initiatives."""
    settings = replace(store.empty(), statement_timeout=120)
    build(settings, SIZE)
    with serving(settings) as app:
        yield app.test_client()


def scans(client: FlaskClient, path: str) -> list[str]:
    """Return the lines of a request's plans that read the whole of a large table without an index."""
    return large_scans(plans(client, path))


def large_scans(shown: Sequence[str]) -> list[str]:
    """Return the lines of plans that read the whole of a large table without an index."""
    lines = [line for plan in shown for line in plan.splitlines()]
    names = "|".join(LARGE)
    whole = re.compile(rf"Seq Scan on ({names})\b|SCAN ({names})(_\d+)?$")
    return [line for line in lines if whole.search(line)]


@nouns
def test_default_sorts_use_an_index(large: FlaskClient, resource: Resource) -> None:
    """The first page and the page behind it read no large table as a whole, and sort nothing of one."""
    cursor = large.get(f"/{resource.name}?limit=1").get_json()["page"]["cursor"]
    for rest in ("", f"&cursor={cursor}") if cursor else ("",):
        path = f"/{resource.name}?limit=1&count=none{rest}"
        assert scans(large, path) == []
        if resource is INITIATIVES:
            assert [plan for plan in plans(large, path) if "Sort" in plan or "TEMP B-TREE" in plan] == []


@pytest.mark.parametrize(
    "part", ["city={city}", "city={city},boston-ma", "city={city}&survey={survey}", "survey={survey}&kinds=awards"]
)
def test_feeds_of_parts_use_an_index(large: FlaskClient, part: str) -> None:
    """A page of a city's or a survey's feed, and its snapshot, read no large table as a whole, and sort no more than a page."""
    award = large.get("/awards?limit=1").get_json()["data"][0]
    for path in ("/changes?since=1&limit=2", "/changes?since=0&history=true", "/changes?order=-version", "/snapshot?"):
        assert scans(large, f"{path}&{part.format(**award)}") == []


def test_the_start_page_finds_the_largest_sums(large: FlaskClient) -> None:
    """The start page reads no large table as a whole, and the largest sums from an index that has their order."""
    shown = plans(large, "/index.html")
    assert large_scans(shown) == []
    assert [plan for plan in shown if "ix_initiative_metrics_kind_unit_value_initiative_id" in plan]


@pytest.mark.parametrize("rest", ["", "&kinds=initiatives", "&kinds=cities,initiatives"])
def test_typing_errors_are_found_by_words(large: FlaskClient, rest: str) -> None:
    """The index of words alone finds a text with a typing error: no entry is tested for hundreds of words."""
    plan = plans(large, f"/suggest?q=sacremento{rest}")[-1]
    assert "VIRTUAL TABLE INDEX" in plan or "Bitmap Index Scan on ix_search_index_vector" in plan
    assert [line for line in plan.splitlines() if re.search(r"Seq Scan on search|ix_search_index_kind|pk_search", line)] == []


@pytest.mark.parametrize("path", ["/changes?limit=10", "/changes?limit=10&kinds=initiatives", "/changes/initiatives?limit=10"])
def test_the_feed_is_walked(large: FlaskClient, path: str) -> None:
    """A page from the middle of the feed, of all nouns or of some, reads only its rows: no later row is read or sorted."""
    middle = large.get("/changes?limit=1").get_json()["head"] // 2
    shown = plans(large, f"{path}&since={middle}")
    assert shown
    # A sort of one page, or of one page per noun, may remain.
    assert [
        plan for plan in shown if re.search(r"Seq Scan on revision|ix_revision_kind_id_version|ix_revision_bucket", plan)
    ] == []


def condition(filter: Filter) -> str:
    """Return a filter with its example as a query has it."""
    return f"{filter.name}={written(filter.example)}"


@pytest.mark.parametrize(
    ("resource", "filter"),
    [
        pytest.param(resource, row, id=f"{resource.name}-{row.name}")
        for resource in RESOURCES
        for row in filters(resource).values()
        if row.operator.name not in {"not", "contains"}
    ],
)
def test_filters_use_an_index(large: FlaskClient, resource: Resource, filter: Filter) -> None:
    """A page of any noun by any of its filters reads no large table as a whole.

    But by `not` and `contains`, for which no order of an index is of use.
    """
    assert scans(large, f"/{resource.name}?limit=20&count=none&{condition(filter)}") == []


def test_scan_is_seen(large: FlaskClient) -> None:
    """The control: the query plan of a table scan is recognized."""
    engine = large.application.extensions["database"].engine
    with engine.connect() as connection:
        prefix = "explain query plan " if engine.dialect.name == "sqlite" else "explain "
        rows = connection.exec_driver_sql(prefix + "select * from initiatives where summary || '' = 'x'").all()
    text = "\n".join(str(row[-1]) for row in rows)
    assert re.search(r"Seq Scan on initiatives|SCAN initiatives$", text)
