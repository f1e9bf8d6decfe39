"""Superseded documents can be trimmed, and documents can be erased for legal reasons; the digest stays."""

from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import select, text

from api.db.database import Database
from api.ledger import retention
from api.ledger.models import Revision
from api.ledger.verify import verify
from tests.support.answers import ANY, Json, brief, read
from tests.support.copies import Copy, city, follow, root, write
from tests.support.databases import SQLITE_FIRST, head
from tests.support.editions import SEEDED


def test_trim(curator: FlaskClient, database: Database) -> None:
    """A trimmed version is a 410 that names the oldest one left; the feed, the digest and every cursor stay the same."""
    write(curator, "a-zz")
    for summary in ("One.", "Two."):
        curator.patch("/cities/a-zz", json={"summary": summary}, headers=ANY)
    cursors = [
        read(curator, f"/changes?since={version}&as_of={version}")["cursor"] for version in (SEEDED, SEEDED + 1, SEEDED + 2)
    ]
    before = (
        {version: read(curator, f"/digest?at={version}") for version in (SEEDED, SEEDED + 1, SEEDED + 3)},
        read(curator, "/changes?since=0"),
    )
    with database.writing() as session:
        moment = session.scalars(select(Revision.changed_at).where(Revision.version == SEEDED + 3)).one()
        assert retention.trim(session, moment.replace(year=2999)) == 2
        assert retention.trim(session, moment.replace(year=2999)) == 0
    for path in (
        f"/cities/a-zz?as_of={SEEDED + 1}",
        f"/snapshot?as_of={SEEDED + 2}",
        f"/changes?as_of={SEEDED + 1}",
        f"/changes?since={SEEDED + 1}&history=true",
        f"/cities/boston-ma?as_of={SEEDED + 1}",
    ):
        response = curator.get(path)
        assert (*brief(response)[:2], response.get_json()["version"]) == (410, "history-trimmed", SEEDED + 3)
    assert read(curator, f"/cities/a-zz?as_of={SEEDED + 3}")["data"]["summary"] == "Two."
    assert (
        {version: read(curator, f"/digest?at={version}") for version in (SEEDED, SEEDED + 1, SEEDED + 3)},
        read(curator, "/changes?since=0"),
    ) == before
    for cursor in cursors:
        assert [row["version"] for row in read(curator, f"/changes?cursor={cursor}")["data"]] == [SEEDED + 3]
    assert [(row["version"], row["cut"]) for row in read(curator, "/cities/a-zz/history")["data"]] == [
        (SEEDED + 3, False),
        (SEEDED + 2, True),
        (SEEDED + 1, True),
    ]
    with database.reading() as session:
        assert list(verify(session)) == []


def test_erase(curator: FlaskClient, database: Database) -> None:
    """Erasing removes a record's past, with remembered answers, from the database; other records' past and all proofs stay."""
    secret = "Unmistakable."  # noqa: S105 - what is to be forgotten
    curator.post("/cities", json=city("a-zz", summary=secret), headers={"Idempotency-Key": "once"})
    curator.patch("/cities/boston-ma", json={"summary": "Other."}, headers=ANY)
    curator.delete("/cities/a-zz", headers=ANY)
    before = read(curator, f"/digest?at={SEEDED + 1}")
    done = curator.application.test_cli_runner().invoke(args=["ledger", "erase", "cities", "a-zz"])
    assert (done.exit_code, done.output) == (0, "Documents erased: 1.\n")
    with database.reading() as session:
        for table, column in (("revision", "document"), ("idempotency_keys", "body")):
            assert session.scalar(text(f"select count(*) from {table} where {column} like '%{secret}%'")) == 0
        assert list(verify(session)) == []
    if database.engine.dialect.name == "sqlite":
        assert secret.encode() not in Path(database.settings.sqlalchemy_url.database or "").read_bytes()
    assert read(curator, f"/digest?at={SEEDED + 1}") == before
    response = curator.get(f"/cities/a-zz?as_of={SEEDED + 1}")
    assert (*brief(response)[:2], response.get_json()["version"]) == (410, "history-trimmed", None)
    assert read(curator, f"/cities/boston-ma?as_of={SEEDED + 1}")["data"]["summary"] != "Other."
    assert brief(curator.get(f"/snapshot?as_of={SEEDED + 1}"))[:2] == (410, "history-trimmed")
    rows = read(curator, f"/changes?since={SEEDED}&history=true")["data"]
    assert [(row["op"], row["document"] is None) for row in rows] == [
        ("erase", True),
        ("upsert", False),
        ("delete", True),
        ("erase", True),
    ]


def erase(database: Database, id: str) -> int:
    """Erase the past of a city, as the operator's command does."""
    with database.writing() as session:
        return retention.erase(session, "cities", id)


def is_verified(database: Database) -> bool:
    """Tell whether the ledger agrees with the tables, with its own hashes and with its indexes."""
    with database.reading() as session:
        return list(verify(session)) == []


def change(row: Json) -> Json:
    """Return the parts of a change that say what happened to its record."""
    return {name: row[name] for name in ("version", "commit", "id", "op")} | {"summary": (row["document"] or {}).get("summary")}


@SQLITE_FIRST
def test_an_erasure_is_told(curator: FlaskClient, database: Database) -> None:
    """Who has an erased document is told to delete it, with and without `history`, and then what the record is now."""
    write(curator, "a-zz")
    for summary in ("Secret.", "Corrected."):
        curator.patch("/cities/a-zz", json={"summary": summary}, headers=ANY)
    cursor = read(curator, f"/changes?since={SEEDED + 1}&as_of={SEEDED + 2}")["cursor"]
    seen = read(curator, f"/changes?since={SEEDED + 3}")["cursor"]
    assert erase(database, "a-zz") == 2
    told = [
        {"version": SEEDED + 4, "commit": SEEDED + 4, "id": "a-zz", "op": "erase", "summary": None},
        {"version": SEEDED + 5, "commit": SEEDED + 4, "id": "a-zz", "op": "upsert", "summary": "Corrected."},
    ]
    current = {"version": SEEDED + 3, "commit": SEEDED + 3, "id": "a-zz", "op": "upsert", "summary": "Corrected."}
    for query, rows in (
        (f"cursor={seen}", told),
        (f"cursor={cursor}", told),
        (f"cursor={cursor}&history=true", [current, *told]),
        (f"since={SEEDED + 2}&history=true", [current, *told]),
        (f"since={SEEDED + 4}", told[1:]),
    ):
        assert [change(row) for row in read(curator, f"/changes?{query}")["data"]] == rows
    flat = read(curator, f"/changes/cities?cursor={seen}")["data"]
    assert [(row["id"], row["deleted"], row.get("erased"), row.get("summary")) for row in flat] == [
        ("a-zz", True, True, None),
        ("a-zz", False, None, "Corrected."),
    ]
    assert set(flat[0]) == {"id", "version", "changed_at", "deleted", "cursor", "erased"}
    # Who begins now has nothing to delete.
    assert not [row for row in read(curator, "/changes?since=0&kinds=cities&limit=1000")["data"] if row["op"] != "upsert"]
    assert [row["op"] for row in read(curator, f"/changesets/{SEEDED + 4}")["data"]["changes"]] == ["erase", "upsert"]
    assert [row["op"] for row in read(curator, "/cities/a-zz/history")["data"]] == ["upsert", "erase", *["upsert"] * 3]
    assert is_verified(database)


@SQLITE_FIRST
def test_an_erasure_is_told_once(curator: FlaskClient, database: Database) -> None:
    """A second erasure publishes nothing, unless there is more to erase; documents equal to the current one stay readable."""
    write(curator, "a-zz")
    curator.patch("/cities/a-zz", json={"summary": "Second."}, headers=ANY)
    assert (erase(database, "a-zz"), head(database)) == (1, SEEDED + 4)
    assert (erase(database, "a-zz"), head(database)) == (0, SEEDED + 4)
    assert read(curator, f"/cities/a-zz?as_of={SEEDED + 2}")["data"]["summary"] == "Second."
    curator.patch("/cities/a-zz", json={"summary": "Third."}, headers=ANY)
    assert (erase(database, "a-zz"), head(database)) == (2, SEEDED + 7)
    curator.delete("/cities/a-zz", headers=ANY)
    assert (erase(database, "a-zz"), head(database)) == (2, SEEDED + 9)
    assert (erase(database, "a-zz"), head(database)) == (0, SEEDED + 9)
    assert brief(curator.get("/cities/a-zz"))[:2] == (410, "record-deleted")
    assert (erase(database, "boston-ma"), head(database)) == (0, SEEDED + 9)
    assert is_verified(database)


@SQLITE_FIRST
def test_what_was_trimmed_is_erased_in_copies(curator: FlaskClient, database: Database) -> None:
    """Copies are told of an erasure even if the server itself has trimmed the documents before."""
    write(curator, "a-zz")
    curator.patch("/cities/a-zz", json={"summary": "Second."}, headers=ANY)
    with database.writing() as session:
        moment = session.scalars(select(Revision.changed_at).where(Revision.version == SEEDED + 2)).one()
        assert retention.trim(session, moment.replace(year=2999)) == 1
    assert (erase(database, "a-zz"), head(database)) == (0, SEEDED + 4)
    assert [row["op"] for row in read(curator, f"/changes?since={SEEDED + 2}")["data"]] == ["erase", "upsert"]
    assert is_verified(database)


@SQLITE_FIRST
def test_copies_stay_proved(curator: FlaskClient, database: Database) -> None:
    """A copy that follows the feed has the server's root before and after an erasure, and old roots do not change."""
    write(curator, "a-zz", "b-zz")
    curator.patch("/cities/a-zz", json={"summary": "Second."}, headers=ANY)
    curator.delete("/cities/b-zz", headers=ANY)
    copy: Copy = {}
    cursor, before = follow(curator, copy, "/changes?since=0"), read(curator, "/digest")["data"]["root"]
    assert root(copy) == before
    for id in ("a-zz", "b-zz"):
        assert erase(database, id) == 1
        cursor = follow(curator, copy, f"/changes?cursor={cursor}&limit=1")
        assert root(copy) == read(curator, "/digest")["data"]["root"]
    assert read(curator, f"/digest?at={SEEDED + 4}")["data"]["root"] == before
    # The erased record is found as before.
    assert [row["id"] for row in read(curator, "/cities?q=second")["data"]] == ["a-zz"]


@SQLITE_FIRST
def test_a_trimmed_history_goes_on(curator: FlaskClient, database: Database) -> None:
    """A reader of the whole history whose position was trimmed goes on without it to the end, and from there with it."""
    write(curator, "a-zz")
    cursor = read(curator, f"/changes?since={SEEDED}")["cursor"]
    for summary in ("One.", "Two."):
        curator.patch("/cities/a-zz", json={"summary": summary}, headers=ANY)
    with database.writing() as session:
        moment = session.scalars(select(Revision.changed_at).where(Revision.version == SEEDED + 3)).one()
        retention.trim(session, moment.replace(year=2999))
    trimmed = curator.get(f"/changes?cursor={cursor}&history=true")
    assert (*brief(trimmed)[:2], trimmed.get_json()["version"]) == (410, "history-trimmed", SEEDED + 3)
    assert "restart" not in trimmed.get_json()
    page = read(curator, f"/changes?cursor={cursor}")
    assert [row["version"] for row in page["data"]] == [SEEDED + 3]
    curator.patch("/cities/a-zz", json={"summary": "Three."}, headers=ANY)
    assert [row["version"] for row in read(curator, f"/changes?cursor={page['cursor']}&history=true")["data"]] == [SEEDED + 4]
