"""`/changes?order=-version`: the newest changes first, with labels and authors, on both databases."""

import datetime as dt
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.ledger import retention
from tests.support.answers import ANY, Json, brief, read
from tests.support.copies import city, undo, write
from tests.support.editions import SEEDED

NEWEST = "/changes?order=-version"


def walked(client: FlaskClient, path: str) -> Iterator[Json]:
    """Yield the changes of all pages."""
    following: str | None = path
    while following:
        page = read(client, following)
        yield from page["data"]
        following = page["links"]["next"] and page["links"]["next"].removeprefix("http://localhost")


def brought(rows: Iterator[Json]) -> list[tuple[int, str, str]]:
    """Return the version, the operation and the label of each change."""
    return [(row["version"], row["op"], row["label"]) for row in rows]


def test_newest_first(curator: FlaskClient) -> None:
    """The newest changes come first: each is the feed's own row, with its author, and its label even if it is deleted."""
    write(curator, "a-zz")
    record = {"id": "a-zz-plan", "title": "A plan", "city": "a-zz"}
    assert curator.post("/initiatives", json=record).status_code == 201
    assert curator.delete("/initiatives/a-zz-plan", headers=ANY).status_code == 204
    rows = [*walked(curator, f"{NEWEST}&since={SEEDED}")]
    assert brought(iter(rows)) == [(SEEDED + 3, "delete", "A plan (A-Zz)"), (SEEDED + 1, "upsert", "A-Zz")]
    assert {row["author"] for row in rows} == {"curator"}
    ascending = read(curator, f"/changes?since={SEEDED}")["data"]
    assert [{name: row[name] for name in row if name not in {"label", "author"}} for row in rows] == ascending[::-1]
    assert curator.delete("/cities/a-zz", headers=ANY).status_code == 204
    assert brought(walked(curator, f"{NEWEST}&limit=2"))[:2] == [
        (SEEDED + 4, "delete", "A-Zz"),
        (SEEDED + 3, "delete", "A plan"),
    ]


@pytest.mark.parametrize("rest", ["", "&history=true", "&kinds=cities,awards", "&kinds=cities&history=true&since=3"])
def test_pages(curator: FlaskClient, rest: str) -> None:
    """Pages of a few have the changes of one long page, each once, though records change and go meanwhile."""
    write(curator, "a-zz", "b-zz", "c-zz")
    curator.patch("/cities/a-zz", json={"summary": "Again."}, headers=ANY)
    curator.delete("/cities/b-zz", headers=ANY)
    whole = brought(walked(curator, f"{NEWEST}{rest}&limit=1000"))
    pages = walked(curator, f"{NEWEST}{rest}&limit=100")
    first = brought(iter([next(pages), next(pages)]))
    curator.patch("/cities/c-zz", json={"summary": "Later."}, headers=ANY)
    curator.delete("/cities/a-zz", headers=ANY)
    assert first + brought(pages) == whole
    assert [version for version, *_ in whole] == sorted({version for version, *_ in whole}, reverse=True)
    assert ((SEEDED + 1, "upsert", "A-Zz") in whole) == ("history" in rest)


def test_since_and_as_of(curator: FlaskClient) -> None:
    """`since` ends the list, as a version or as the cursor of a change, and `as_of` begins it; they go with each other."""
    write(curator, "a-zz", "b-zz", "c-zz")
    curator.patch("/cities/b-zz", json={"summary": "Later."}, headers=ANY)
    rows = read(curator, f"/changes?since={SEEDED}")["data"]
    for path, expected in {
        f"{NEWEST}&since={SEEDED + 2}": [SEEDED + 4, SEEDED + 3],
        f"{NEWEST}&since={rows[0]['cursor']}": [SEEDED + 4, SEEDED + 3],
        f"{NEWEST}&since={SEEDED}&as_of={SEEDED + 2}": [SEEDED + 2, SEEDED + 1],
        f"{NEWEST}&since={SEEDED}&as_of={SEEDED + 2}&limit=1": [SEEDED + 2, SEEDED + 1],
        f"{NEWEST}&since={SEEDED + 2}&as_of={SEEDED + 1}": [],
    }.items():
        assert (path, [row["version"] for row in walked(curator, path)]) == (path, expected)


def test_documents_that_were_cut(curator: FlaskClient, database: Database) -> None:
    """Changes whose documents were trimmed or erased are left out, and no list is refused; an erasure is shown, by its id without a name."""
    write(curator, "a-zz")
    curator.patch("/cities/a-zz", json={"summary": "Again."}, headers=ANY)
    with database.writing() as session:
        retention.erase(session, "cities", "a-zz")
    expected = [(SEEDED + 4, "upsert", "A-Zz"), (SEEDED + 3, "erase", "A-Zz"), (SEEDED + 2, "upsert", "A-Zz")]
    assert brought(walked(curator, f"{NEWEST}&since={SEEDED}&history=true")) == expected
    with database.writing() as session:
        retention.trim(session, dt.datetime.now(dt.UTC))
    assert brought(walked(curator, f"{NEWEST}&since={SEEDED}&history=true")) == [expected[0], (SEEDED + 3, "erase", "a-zz")]


def test_order_of_copies(client: FlaskClient) -> None:
    """`order=version` is the feed as it is without an order."""
    assert read(client, "/changes?order=version")["data"] == read(client, "/changes")["data"]


@pytest.mark.parametrize(
    ("rest", "name", "parameter"),
    [
        ("&wait=1", "invalid-query", "wait"),
        ("&limit=0", "invalid-query", "limit"),
        ("&cursor=x", "invalid-cursor", "cursor"),
        ("&cursor=WyJ4Il0", "invalid-cursor", "cursor"),
    ],
)
def test_refused(client: FlaskClient, rest: str, name: str, parameter: str) -> None:
    """What is no request of this order is a 400 that names the parameter; so is a cursor of another order or list."""
    status, problem, items = brief(client.get(NEWEST + rest))
    assert (status, problem, [item["parameter"] for item in items]) == (400, name, [parameter])


def test_cursors_are_of_one_list(client: FlaskClient) -> None:
    """A cursor goes on with the order, nouns and bounds that it is from, and with no other; `wait=0` waits for nothing."""
    cursor = read(client, f"{NEWEST}&limit=1")["cursor"]
    assert len(read(client, f"{NEWEST}&wait=0&limit=2&cursor={cursor}")["data"]) == 2
    ascending = read(client, "/changes?limit=1")
    for path in (
        *(f"{NEWEST}&{rest}&cursor={cursor}" for rest in ("kinds=cities", "since=1", "history=true", f"as_of={SEEDED}")),
        f"/changes?cursor={cursor}",
        *(f"{NEWEST}&cursor={other}" for other in (ascending["cursor"], ascending["data"][0]["cursor"])),
    ):
        assert (path, brief(client.get(path))[:2]) == (path, (400, "invalid-cursor"))


def test_a_restore(curator: FlaskClient, database: Database) -> None:
    """A cursor from versions that a restore lost is a 410."""
    write(curator, "a-zz", "b-zz")
    cursor = read(curator, f"{NEWEST}&limit=1")["cursor"]
    undo(database, SEEDED)
    write(curator, "c-zz", "d-zz")
    assert brief(curator.get(f"{NEWEST}&cursor={cursor}"))[:2] == (410, "cursor-diverged")


def test_unchanged(curator: FlaskClient) -> None:
    """The `ETag` holds until something changes."""
    tag = {"If-None-Match": curator.get(NEWEST).headers["ETag"]}
    assert curator.get(NEWEST, headers=tag).status_code == 304
    write(curator, "a-zz")
    assert curator.get(NEWEST, headers=tag).status_code == 200


def test_raw_sql_has_no_author(curator: FlaskClient, database: Database) -> None:
    """A change by raw SQL has no author, and a record that changed its name is shown by the new one."""
    with database.writing() as session:
        session.execute(text("update cities set name = 'Beantown' where id = 'boston-ma'"))
    curator.post("/cities", json=city("a-zz"))
    rows = read(curator, f"{NEWEST}&since={SEEDED}")["data"]
    assert [(row["label"], row["author"]) for row in rows if row["id"] == "boston-ma"] == [("Beantown", None)]
