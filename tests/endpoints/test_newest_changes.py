"""`/changes?order=-version`, and that of a noun: the newest changes first, with labels and authors, on both databases."""

import datetime as dt
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.ledger import retention
from api.resources import RESOURCES
from api.schema import strict_json
from tests.support.answers import ANY, Json, brief, read
from tests.support.copies import city, undo, write
from tests.support.editions import SEEDED

NEWEST, NEWEST_CITIES = "/changes?order=-version", "/changes/cities?order=-version"


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


def flat(row: Json) -> Json:
    """Return a change of `/changes` as that of its noun; the record's own members count."""
    deleted = row["op"] != "upsert"
    facts = {name: row[name] for name in ("id", "version", "changed_at", "cursor", "label", "author")}
    return {**facts, "deleted": deleted, **({"erased": True} if row["op"] == "erase" else {}), **(row["document"] or {})}


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


def test_newest_of_a_noun(curator: FlaskClient, database: Database) -> None:
    """`/changes/{noun}` has the changes of `/changes?kinds={noun}` in this order, flat, and of both with the same parameters."""
    write(curator, "a-zz", "b-zz", "c-zz")
    curator.delete("/cities/b-zz", headers=ANY)
    with database.writing() as session:
        retention.erase(session, "cities", "c-zz")
    source = {"id": "notes", "label": "Notes of ours", "type": "article", "language": "en", "text_sha256": "0" * 64}
    assert curator.post("/sources", json=source).status_code == 201
    assert curator.delete("/sources/notes", headers=ANY).status_code == 204
    rest = ("", "&history=true", f"&since={SEEDED}&limit=1", f"&as_of={SEEDED + 2}&limit=2", "&city=boston-ma,a-zz")
    for noun, more in (*(("cities", more) for more in rest), *((resource.name, "") for resource in RESOURCES)):
        path = f"/changes/{noun}?order=-version{more}"
        expected = [flat(row) for row in walked(curator, f"{NEWEST}{more}&kinds={noun}")]
        assert (path, [*walked(curator, path)]) == (path, expected)
        assert expected
    newest, *others = walked(curator, "/changes/sources?order=-version")
    assert (newest["deleted"], newest["label"]) == (True, "Notes of ours")
    assert {row["label"] for row in others} == {row["label"] for row in read(curator, "/sources")["data"]}
    # No member is there twice, which this reader refuses.
    assert strict_json.load(curator.get("/changes/sources?order=-version").data)


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
    for path in ("/changes", "/changes/cities"):
        assert read(client, f"{path}?order=version")["data"] == read(client, path)["data"]


@pytest.mark.parametrize("path", [NEWEST, NEWEST_CITIES])
@pytest.mark.parametrize(
    ("rest", "name", "parameter"),
    [
        ("&wait=1", "invalid-query", "wait"),
        ("&limit=0", "invalid-query", "limit"),
        ("&cursor=x", "invalid-cursor", "cursor"),
        ("&cursor=WyJ4Il0", "invalid-cursor", "cursor"),
    ],
)
def test_refused(client: FlaskClient, path: str, rest: str, name: str, parameter: str) -> None:
    """What is no request of this order is a 400 that names the parameter; so is a cursor of another order or list."""
    status, problem, items = brief(client.get(path + rest))
    assert (status, problem, [item["parameter"] for item in items]) == (400, name, [parameter])


def test_cursors_are_of_one_list(client: FlaskClient) -> None:
    """A cursor goes on with the order, nouns and bounds that it is from, and with no other; `wait=0` waits for nothing."""
    cursor = read(client, f"{NEWEST}&limit=1")["cursor"]
    assert len(read(client, f"{NEWEST}&wait=0&limit=2&cursor={cursor}")["data"]) == 2
    ascending = read(client, "/changes?limit=1")
    for path in (
        *(f"{NEWEST}&{rest}&cursor={cursor}" for rest in ("kinds=cities", "since=1", "history=true", f"as_of={SEEDED}")),
        f"/changes?cursor={cursor}",
        f"{NEWEST_CITIES}&cursor={cursor}",
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
    for path, id in {NEWEST: "a-zz", NEWEST_CITIES: "b-zz"}.items():
        tag = {"If-None-Match": curator.get(path).headers["ETag"]}
        assert curator.get(path, headers=tag).status_code == 304
        write(curator, id)
        assert curator.get(path, headers=tag).status_code == 200


def test_raw_sql_has_no_author(curator: FlaskClient, database: Database) -> None:
    """A change by raw SQL has no author, and a record that changed its name is shown by the new one."""
    with database.writing() as session:
        session.execute(text("update cities set name = 'Beantown' where id = 'boston-ma'"))
    curator.post("/cities", json=city("a-zz"))
    rows = read(curator, f"{NEWEST}&since={SEEDED}")["data"]
    assert [(row["label"], row["author"]) for row in rows if row["id"] == "boston-ma"] == [("Beantown", None)]
