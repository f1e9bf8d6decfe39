"""The planner against the database's own choice, by work done: no plan costs more than twice the database's own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from api.db.database import Database
from api.query.plan import Plan, Planner, Walk
from bench.dataset import build
from tests.support.applications import serving
from tests.support.databases import ON_SQLITE, SQLITE_FIRST, Store, template

# The planner decides the same at both sizes; at the larger one, a wrong plan costs more.
SIZES = [4_000, pytest.param(20_000, marks=pytest.mark.slow)]
# Differences between smaller amounts of work mean nothing.
LEAST = 50
# Lists by the index that finds their rows on SQLite, for each branch of the decision.
LISTS = {
    # Without a relation, or with nothing else, there is no choice.
    "/initiatives?status=pilot": Plan.DATABASE,
    "/initiatives?award.rank__lte=3": Plan.DATABASE,
    # The bitmap index knows both sizes.
    "/initiatives?award.rank__lte=3&status=pilot": Plan.RELATED,
    "/initiatives?award.rank__lte=3&status=pilot&sort=-started": Plan.RELATED,
    "/initiatives?award.rank__lte=3&status=pilot&count=none": Plan.RELATED,
    "/initiatives?city.state=CA&award.rank=1": Plan.RELATED,
    "/initiatives?priority=cybersecurity&city=boston-ma": Plan.DIRECT,
    "/initiatives?city.state=WY&priority=cybersecurity": Plan.DIRECT,
    # The relation is smaller, but not small.
    "/initiatives?partner.role=funder&status=in_operation,in_development&limit=2": "order",
    "/initiatives?partner.role=funder&status=in_operation&limit=30": Plan.DATABASE,
    # The bitmap index does not know the size of one of them, or of either.
    "/initiatives?partner.role=builder&partner.type=company&status=draft": Plan.DIRECT,
    "/initiatives?metric.value__gte=9000000&status=in_operation": Plan.RELATED,
    "/initiatives?metric.value__gte=9000000&title__startswith=digital": Plan.RELATED,
    "/initiatives?metric.value__gte=1&title__startswith=digital": Plan.DIRECT,
    "/initiatives?metric.value__gte=1000000&title__startswith=b&limit=50": Plan.DATABASE,
    # No index serves one of them.
    "/initiatives?award.rank__lte=3&title__contains=digital": Plan.DATABASE,
    "/initiatives?award.rank__lte=3&status__not=pilot": Plan.DATABASE,
    "/initiatives?version__gte=5000&award.rank=1": Plan.DATABASE,
    "/initiatives?metric.name__contains=grant&status=draft": Plan.DIRECT,
    "/initiatives?metric.name__contains=grant&status=in_operation": Plan.DATABASE,
    # A page is read in order: from the bitmap index, and from the table.
    "/initiatives?priority=cybersecurity&sort=-started": "order",
    "/initiatives?metric.value__gte=1": "order",
    "/initiatives?metric.value__gte=1&sort=title&count=none": "order",
    # Reading in order without success, since all matching records come late: pages of few, of many and of most records.
    "/initiatives?metric.as_of=2001,2002,2003,2004&sort=-started&limit=1": "order",
    "/initiatives?metric.as_of=2001,2002,2003,2004&sort=-started&limit=5": "order",
    "/initiatives?metric.as_of=2001,2002,2003,2004,2005,2006,2007,2008&sort=-started&limit=20": "order",
    "/initiatives?metric.as_of__lt=2024&sort=-started&limit=10": "order",
    # A search finds the rows, or a filter that leaves few.
    "/initiatives?q=data&status=pilot": Plan.SEARCH,
    "/initiatives?q=data&city.state=CA&sort=-started&limit=50": Plan.SEARCH,
    "/initiatives?q=data&status=draft&city.state=WY": Plan.DATABASE,
    "/initiatives?q=data&status=pilot,draft&sort=-started&limit=1": "order",
}


@dataclass(frozen=True)
class Noting(Planner):
    """A planner that records its choices."""

    chosen: list[Any] = field(default_factory=list)

    def rows(self, *arguments: Any) -> Plan:
        """Record the plan for all rows; the plans for parts of the list come before it."""
        plan = super().rows(*arguments)
        self.chosen.append(plan)
        return plan

    def walk(self, *arguments: Any) -> Walk | None:
        """Note that a page is read in order."""
        walk = super().walk(*arguments)
        self.chosen.extend(["order"] if walk else [])
        return walk


@dataclass(frozen=True)
class Unplanned(Planner):
    """Leaves every choice to the database."""

    def rows(self, *_: Any) -> Plan:
        """Choose nothing."""
        return Plan.DATABASE

    def walk(self, *_: Any) -> None:
        """Read nothing in order."""


@dataclass(frozen=True)
class Contrary(Planner):
    """Chooses the larger condition."""

    def rows(self, *arguments: Any) -> Plan:
        """Find the rows by the other condition."""
        plan = super().rows(*arguments)
        return {Plan.DIRECT: Plan.RELATED, Plan.RELATED: Plan.DIRECT}.get(plan, plan)


@pytest.fixture(scope="module", params=SIZES)
def large(request: pytest.FixtureRequest, store: Store) -> Iterator[FlaskClient]:
    """A client of an application on a database that is large enough for plans to differ."""
    settings = replace(store.copy(template(store)), statement_timeout=120)
    build(settings, request.param)
    with serving(settings) as app:
        yield app.test_client()


def _passed(node: dict[str, Any]) -> float:
    """Return the number of rows that the nodes of a plan pass on."""
    rows: float = node["Actual Rows"] * node["Actual Loops"]
    return rows + sum(_passed(child) for child in node.get("Plans", ()))


@contextmanager
def worked(database: Database) -> Iterator[list[int]]:
    """Measure the work of the block: steps of SQLite's virtual machine, in tens, or what PostgreSQL reads and passes on.

    Its time for pages in memory follows the pages and a third of the rows: a semi-join and a sort of few pages can take longer
    than a walk over more of them.
    """
    work = [0]

    def tick() -> None:
        work[0] += 1

    def measure(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if database.engine.dialect.name == "sqlite":
            cursor.connection.set_progress_handler(tick, 10)
        elif statement.startswith("SELECT"):
            explaining = connection.connection.cursor()
            explaining.execute(f"explain (analyze, buffers, format json) {statement}", parameters)
            ((explained,),) = explaining.fetchall()
            plan = (explained if isinstance(explained, list) else json.loads(explained))[0]["Plan"]
            work[0] += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] + round(_passed(plan) / 3)

    event.listen(database.engine, "before_cursor_execute", measure)
    try:
        yield work
    finally:
        event.remove(database.engine, "before_cursor_execute", measure)


def answered(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str, planner: Planner) -> tuple[int, Any]:
    """Return the work for a request with a planner, and the body of its answer."""
    monkeypatch.setitem(client.application.extensions, "planner", planner)
    # The first request builds statements and counts the nouns.
    assert client.get(path).status_code == 200
    with worked(client.application.extensions["database"]) as work:
        response = client.get(path)
    return work[0], response.get_json()


@SQLITE_FIRST
def test_no_plan_is_half_as_fast_as_none(large: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting and reading by a plan take at most twice the work of the plain statements, and find the same.

    One test asks for all lists, so that parallel runs build each database once.
    """
    is_sqlite = large.application.extensions["database"].engine.dialect.name == "sqlite"
    slow, wrong = {}, {}
    for path, plan in LISTS.items():
        planner = Noting()
        planned, answer = answered(large, monkeypatch, path, planner)
        unplanned, expected = answered(large, monkeypatch, path, Unplanned())
        assert answer == expected, path
        if planned > 2 * max(unplanned, LEAST):
            slow[path] = planned, unplanned
        # When reading in order finds too few rows, another plan reads the page.
        if is_sqlite and plan not in (planner.chosen if plan == "order" else planner.chosen[-1:]):
            wrong[path] = planner.chosen
    assert (slow, wrong) == ({}, {})


@ON_SQLITE
def test_wrong_plans_are_seen(large: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: on SQLite, finding rows by the larger condition takes these lists more than twice the work."""
    path = "/initiatives?metric.name__contains=grant&status=draft"
    wrong, _ = answered(large, monkeypatch, path, Contrary())
    planned, _ = answered(large, monkeypatch, path, Planner())
    assert wrong > 2 * planned
