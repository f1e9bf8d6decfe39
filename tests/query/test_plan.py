"""The planner against the database's own choice, by the work that both take: no plan costs more than twice as much as none."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from api.db.database import Database
from api.query.plan import Plan, Planner
from bench.dataset import build
from tests.support.applications import serving
from tests.support.databases import Store

SIZE = 20_000
# A request costs at least so much, whatever it asks for: small differences between small numbers mean nothing.
LEAST = 50
# All rows of this list come late in its order, so that reading it in order is in vain.
IN_VAIN = "/initiatives?metric.as_of=2001,2002,2003,2004&sort=-started&limit=10"
# PostgreSQL reads at most this number of pages to test the relations of one row.
PAGES = 16
# Lists by what finds their rows on SQLite, for each branch of the decision.
LISTS = {
    # No relation, or nothing but one: there is nothing to choose.
    "/initiatives?status=pilot": Plan.DATABASE,
    "/initiatives?award.rank__lte=3": Plan.DATABASE,
    # The bitmap index knows both sizes.
    "/initiatives?award.rank__lte=3&status=pilot": Plan.RELATED,
    "/initiatives?award.rank__lte=3&status=pilot&sort=-started": Plan.RELATED,
    "/initiatives?award.rank__lte=3&status=pilot&count=none": Plan.RELATED,
    "/initiatives?city.state=CA&award.rank=1": Plan.RELATED,
    "/initiatives?priority=cybersecurity&city=boston-ma": Plan.OWN,
    "/initiatives?city.state=WY&priority=cybersecurity": Plan.OWN,
    # The relation is smaller, but not small.
    "/initiatives?partner.role=funder&status=in_operation,in_progress": "order",
    "/initiatives?partner.role=coordinator&status=in_operation": Plan.DATABASE,
    # It does not know one of them, or neither.
    "/initiatives?partner.role=builder&partner.type=company&status=draft": Plan.OWN,
    "/initiatives?metric.value__gte=9000000&status=in_operation": Plan.RELATED,
    "/initiatives?metric.value__gte=9000000&title__startswith=digital": Plan.RELATED,
    "/initiatives?metric.value__gte=1&title__startswith=digital": Plan.OWN,
    "/initiatives?metric.name=grant&title__startswith=d": Plan.DATABASE,
    # No index serves one of them.
    "/initiatives?award.rank__lte=3&title__contains=digital": Plan.DATABASE,
    "/initiatives?award.rank__lte=3&status__not=pilot": Plan.DATABASE,
    "/initiatives?version__gte=15000&award.rank=1": Plan.DATABASE,
    "/initiatives?metric.name__contains=grant&status=draft": Plan.OWN,
    "/initiatives?metric.name__contains=grant&status=in_operation": Plan.DATABASE,
    # A page is read in order: from the bitmap index, from the table, and in vain, where all rows come late.
    "/initiatives?priority=cybersecurity&sort=-started": "order",
    "/initiatives?metric.value__gte=1": "order",
    "/initiatives?metric.value__gte=1&sort=title&count=none": "order",
    IN_VAIN: "order",
    # A search finds the rows, or a filter that leaves few.
    "/initiatives?q=data&status=pilot": Plan.SEARCH,
    "/initiatives?q=data&status=draft&city.state=WY": Plan.DATABASE,
    "/initiatives?q=data&status=pilot,draft&sort=-started&limit=1": "order",
}


@dataclass(frozen=True)
class Noting(Planner):
    """Notes what it chooses, and how many rows a page may read in order."""

    chosen: list[Any] = field(default_factory=list)
    walks: list[int] = field(default_factory=list)

    def rows(self, *arguments: Any) -> Plan:
        """Note the plan for all rows; those for parts of the list come before the one for the list."""
        plan = super().rows(*arguments)
        self.chosen.append(plan)
        return plan

    def walked(self, *arguments: Any) -> int:
        """Note that a page is read in order."""
        walked = super().walked(*arguments)
        self.chosen.extend(["order"] if walked else [])
        self.walks.append(walked)
        return walked


@dataclass(frozen=True)
class Unplanned(Planner):
    """Leaves every choice to the database."""

    def rows(self, *_: Any) -> Plan:
        """Choose nothing."""
        return Plan.DATABASE

    def walked(self, *_: Any) -> int:
        """Read nothing in order."""
        return 0


@dataclass(frozen=True)
class Contrary(Planner):
    """Chooses the larger condition."""

    def rows(self, *arguments: Any) -> Plan:
        """Let the other condition find the rows."""
        plan = super().rows(*arguments)
        return {Plan.OWN: Plan.RELATED, Plan.RELATED: Plan.OWN}.get(plan, plan)


@pytest.fixture(scope="module")
def large(store: Store) -> Iterator[FlaskClient]:
    """Asks an application on a database that is large enough for a plan to matter."""
    settings = replace(store.empty(), statement_timeout=120)
    build(settings, SIZE)
    with serving(settings) as app:
        yield app.test_client()


@contextmanager
def worked(database: Database) -> Iterator[list[int]]:
    """Measure the work of the block: steps of SQLite's virtual machine, in tens, or pages that PostgreSQL reads."""
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
            work[0] += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

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


@pytest.mark.parametrize("path", LISTS)
def test_no_plan_is_half_as_fast_as_none(large: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Counting and reading by a plan take at most twice the work of the plain statements, and find the same.

    On PostgreSQL, reading in order in vain costs no more than the pages of the rows that were read.
    """
    planner = Noting()
    planned, answer = answered(large, monkeypatch, path, planner)
    unplanned, expected = answered(large, monkeypatch, path, Unplanned())
    assert answer == expected
    is_sqlite = large.application.extensions["database"].engine.dialect.name == "sqlite"
    most = 2 * max(unplanned, LEAST) if is_sqlite or path != IN_VAIN else unplanned + PAGES * planner.walks[-1]
    assert planned <= most, (planned, unplanned, planner.walks)
    if is_sqlite:
        assert "order" in planner.chosen if LISTS[path] == "order" else planner.chosen[-1] is LISTS[path], planner.chosen


def test_wrong_plans_are_seen(large: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: on SQLite, where the larger condition finds the rows, the same lists take more than twice the work."""
    if large.application.extensions["database"].engine.dialect.name == "postgresql":
        # Its statistics choose.
        return
    path = "/initiatives?metric.name__contains=grant&status=draft"
    wrong, _ = answered(large, monkeypatch, path, Contrary())
    planned, _ = answered(large, monkeypatch, path, Planner())
    assert wrong > 2 * planned
