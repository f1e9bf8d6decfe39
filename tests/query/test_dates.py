"""Dates in lists: filters, order and cursors by the documented examples, on both databases, by index and by table."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.ledger import rebuild
from api.ledger.verify import verify
from api.query.plan import PLANNER
from api.settings import Settings
from tests.support.answers import brief
from tests.support.databases import ON_SQLITE, SQLITE_FIRST, Store, opened, publishing
from tests.support.dates import FILTERS, MEANINGS
from tests.support.lengths import few

REINDEX = "run `flask --app wsgi ledger reindex`"
BY_DATE = {f"date-{number}": date for number, date in enumerate(MEANINGS)}


@pytest.fixture(scope="module")
def migrated(store: Store, migrated: Settings) -> Settings:
    """The template, with the documented dates, each of an initiative and its metric, by raw SQL; one initiative has none."""
    settings = store.copy(migrated)
    rows = [{"id": id, "date": date} for id, date in {**BY_DATE, "date-none": None}.items()]
    with opened(settings) as database, publishing(database) as session:
        session.execute(text("delete from citations where subject_kind = 'initiatives'"))
        session.execute(text("delete from initiatives"))
        columns = "id, city_id, title, summary, status, started"
        session.execute(
            text(f"insert into initiatives ({columns}) values (:id, 'boston-ma', :id, 'S.', 'pilot', :date)"),
            rows,
        )
        columns = "initiative_id, position, name, value, unit, kind, as_of"
        session.execute(
            text(f"insert into initiative_metrics ({columns}) values (:id, 0, 'n', 1, 'u', 'count', :date)"),
            rows,
        )
    with opened(settings) as database, database.reading() as session:
        assert list(verify(session)) == []
    return settings


def ids(client: FlaskClient, query: Mapping[str, Any]) -> set[str]:
    """Return the ids of a list of initiatives, whose total is right."""
    body = client.get("/initiatives", query_string={**query, "limit": 500, "count": "exact"}).get_json()
    assert body["page"]["total"] == len(body["data"])
    return {row["id"] for row in body["data"]}


@pytest.mark.parametrize("bitmaps", [True, False])
def test_examples(own_client: FlaskClient, monkeypatch: pytest.MonkeyPatch, *, bitmaps: bool) -> None:
    """Each documented filter finds the documented dates, of the record itself and of its parts, and `not` finds all others."""
    monkeypatch.setitem(own_client.application.extensions, "planner", replace(PLANNER, bitmaps=bitmaps))
    every = {*BY_DATE, "date-none"}
    for filter in FILTERS:
        operator, _, value = filter.partition("=")
        expected = {id for id, date in BY_DATE.items() if filter in MEANINGS[date].found_by}
        expected |= {"date-none"} if operator == "__not" else set()
        for field in ("started", "metric.as_of"):
            name = f"{field}{operator}"
            assert (name, ids(own_client, {name: value})) == (name, expected)
            nested = {"not": {name: int(value) if operator == "__month" else value}}
            assert (name, ids(own_client, {"filter": json.dumps(nested)})) == (name, every - expected)
    assert ids(own_client, {"started__isnull": "true"}) == {"date-none"}
    assert ids(own_client, {"started__isnull": "false"}) == set(BY_DATE)
    assert ids(own_client, {"started": "2024,2025-03"}) == ids(own_client, {"started": "2024~,2025-03-01/2025-03-31"})
    # A date that does not say its year is known at all, and one that is absent, are compared with nothing.
    known = {id for id, date in BY_DATE.items() if MEANINGS[date].earliest}
    assert ids(own_client, {"started__lte": "9999"}) == ids(own_client, {"started__gte": "0001"}) == known


def walked(client: FlaskClient, sort: str, limit: int) -> list[str]:
    """Return the ids of all initiatives, page by page."""
    rows, cursor = list[str](), ""
    while cursor is not None:
        body = client.get(f"/initiatives?sort={sort}&limit={limit}{cursor and f'&cursor={cursor}'}").get_json()
        rows += [row["id"] for row in body["data"]]
        cursor = body["page"]["cursor"]
    return rows


def test_order(own_client: FlaskClient) -> None:
    """A list is sorted by the earliest day, then by the latest; dates of unknown years come last, both ways, with nulls."""
    known = {id: date for id, date in BY_DATE.items() if MEANINGS[date].earliest}
    ends = {
        id: [MEANINGS[date].earliest.replace("no start", "0001-01-01"), MEANINGS[date].latest] for id, date in known.items()
    }
    others = sorted({*BY_DATE, "date-none"} - known.keys())
    upwards = sorted(known, key=lambda record: (ends[record], record))
    assert walked(own_client, "started", 500) == [*upwards, *others]
    assert walked(own_client, "-started", 500) == [*upwards[::-1], *others[::-1]]
    for limit in (1, 2, 5):
        assert walked(own_client, "started", limit) == [*upwards, *others]
        assert walked(own_client, "-started", limit) == [*upwards[::-1], *others[::-1]]


def decoded(cursor: str) -> list[Any]:
    """Return the contents of a cursor."""
    content: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return content


def encoded(content: list[Any]) -> str:
    """Return a cursor with these contents."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.mark.parametrize("query", ["", "&started__gte=2023&started__lte=2024"])
@pytest.mark.parametrize("sort", ["started", "-started"])
def test_former_cursors(own_client: FlaskClient, sort: str, query: str) -> None:
    """A cursor of a release that stored the date itself goes on at the same place; one with anything else is refused."""
    path = f"/initiatives?sort={sort}{query}&limit=1"
    body = own_client.get(path).get_json()
    signature, period, id = decoded(body["page"]["cursor"])
    date = body["data"][-1]["started"]
    assert period != date
    expected = own_client.get(f"{path}&cursor={body['page']['cursor']}").get_json()["data"]
    assert own_client.get(f"{path}&cursor={encoded([signature, date, id])}").get_json()["data"] == expected
    wrongs: list[Any] = ["XXXX-12", "2024-13", "July", "", 2024, []]
    for wrong in wrongs:
        response = own_client.get(f"{path}&cursor={encoded([signature, wrong, id])}")
        assert (response.status_code, response.get_json()["errors"][0]["code"]) == (400, "invalid-cursor")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("started=July+2024", "a date of a known year as `2024`, "),
        ("started=2023-02-29", "a date of a known year as `2024`, "),
        ("started__gte=XXXX-12", "a date of a known year as `2024`, "),
        ("metric.as_of__not=%5B2023,2024%5D", "a date of a known year as `2024`, "),
        ("started__month=13", "the number of a month from 1 to 12"),
        ("started__month=XXXX-12", "the number of a month from 1 to 12"),
        ("started__startswith=2024%3F", "the first characters of a day, as `202`, `2024` or `2024-0`"),
        ("started__startswith=July", "the first characters of a day, as `202`, `2024` or `2024-0`"),
    ],
)
def test_wrong_values(routing_client: FlaskClient, query: str, named: str) -> None:
    """A value that is no date is refused, and the answer says what would have worked."""
    status, problem, items = brief(routing_client.get(f"/initiatives?{query}"))
    assert (status, problem, items[0]["code"]) == (400, "invalid-query", "invalid-value")
    assert named in items[0]["detail"]
    assert "^" not in items[0]["detail"]
    # A pattern of dates has 500 characters: the examples say it in short.
    assert items[0]["allowed"].keys() in ({"maxLength", "examples"}, {"minimum", "maximum"})


TAMPERINGS = (
    "update initiatives set started_period = '2024-01-01/2024-01-01' where id = 'date-0'",
    "update initiatives set started_month = 3 where id = 'date-0'",
    "update initiative_metrics set as_of_period = null where initiative_id = 'date-0'",
)


@SQLITE_FIRST
@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_filled_by_publication(database: Database, tampering: str) -> None:
    """Publication puts right what raw SQL does to the columns that stand for dates, and leaves no note and no revision."""
    with publishing(database) as session:
        before = session.scalar(text("select version from ledger_head"))
        session.execute(text(tampering))
    with database.reading() as session:
        assert list(verify(session)) == []
        assert session.scalar(text("select version from ledger_head")) == before


@SQLITE_FIRST
@pytest.mark.parametrize("tampering", few(TAMPERINGS, TAMPERINGS[0]))
def test_verified(database: Database, tampering: str) -> None:
    """What no trigger noted is named by `verify`, and put right by `ledger reindex`."""
    with database.writing() as session:
        session.execute(text(tampering))
        session.execute(text("delete from ledger_dirty"))
    with database.reading() as session:
        line = f"initiatives/date-0: its filters and sort keys do not stand for its dates; {REINDEX}"
        assert list(verify(session)) == [line]
    with database.writing() as session:
        rebuild.reindex(session)
        assert list(verify(session)) == []


@ON_SQLITE
def test_written(editor: FlaskClient) -> None:
    """A date that is written is served as it was written, and can be found at once; a wrong one is refused with a sentence."""
    path, tag = "/initiatives/dated", {"If-Match": "*"}
    metric = {"name": "n", "value": 1, "unit": "u", "kind": "count", "qualifier": None, "as_of": "XXXX-06"}
    record = {"id": "dated", "city": "boston-ma", "title": "T", "summary": "S.", "status": "pilot", "metrics": [metric]}
    assert editor.post("/initiatives", json={**record, "started": "XXXX-06"}).status_code == 201
    assert [row["id"] for row in editor.get("/initiatives?started__month=6").get_json()["data"]] == ["dated"]
    for date in MEANINGS:
        answer = editor.patch(path, json={"started": date}, headers=tag)
        assert (answer.status_code, answer.get_json()["data"]["started"]) == (200, date)
        listed = editor.get("/initiatives?metric.as_of__month=6").get_json()["data"]
        assert [row["started"] for row in listed] == [date]
        month = MEANINGS[date].month
        assert [row["id"] for row in editor.get(f"/initiatives?id=dated&started__month={month or 1}").get_json()["data"]] == (
            ["dated"] if month else []
        )
    for wrong in ("2023-02-29", "July 2024", "[2023,2024]", "2024/2023", ""):
        status, problem, items = brief(editor.patch(path, json={"started": wrong}, headers=tag))
        assert (status, problem, [item["pointer"] for item in items]) == (422, "invalid-body", ["/started"])
        assert items[0]["detail"].startswith("`started`: ")
        assert items[0]["allowed"].keys() == {"maxLength", "examples"}
