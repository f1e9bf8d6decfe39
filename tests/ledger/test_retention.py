"""Superseded documents can be trimmed, and documents can be erased for legal reasons; the digest stays."""

from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import select, text

from api.db.database import Database
from api.ledger import retention
from api.ledger.models import Revision
from api.ledger.verify import verify
from tests.support.answers import ANY, brief, read
from tests.support.copies import city, write


def test_trim(curator: FlaskClient, database: Database) -> None:
    """A trimmed version is a 410 that names the oldest one left; the feed, the digest and every cursor stay the same."""
    write(curator, "a-zz")
    for summary in ("One.", "Two."):
        curator.patch("/cities/a-zz", json={"summary": summary}, headers=ANY)
    cursors = [read(curator, f"/changes?since={version}&as_of={version}")["cursor"] for version in (603, 604, 605)]
    before = (
        {version: read(curator, f"/digest?at={version}") for version in (603, 604, 606)},
        read(curator, "/changes?since=0"),
    )
    with database.writing() as session:
        moment = session.scalars(select(Revision.changed_at).where(Revision.version == 606)).one()
        assert retention.trim(session, moment.replace(year=2999)) == 2
        assert retention.trim(session, moment.replace(year=2999)) == 0
    for path in (
        "/cities/a-zz?as_of=604",
        "/snapshot?as_of=605",
        "/changes?as_of=604",
        "/changes?since=604&history=true",
        "/cities/boston-ma?as_of=604",
    ):
        response = curator.get(path)
        assert (*brief(response)[:2], response.get_json()["version"]) == (410, "history-trimmed", 606)
    assert read(curator, "/cities/a-zz?as_of=606")["data"]["summary"] == "Two."
    assert (
        {version: read(curator, f"/digest?at={version}") for version in (603, 604, 606)},
        read(curator, "/changes?since=0"),
    ) == before
    for cursor in cursors:
        assert [row["version"] for row in read(curator, f"/changes?cursor={cursor}")["data"]] == [606]
    assert [(row["version"], row["cut"]) for row in read(curator, "/cities/a-zz/history")["data"]] == [
        (606, False),
        (605, True),
        (604, True),
    ]
    with database.reading() as session:
        assert list(verify(session)) == []


def test_erase(curator: FlaskClient, database: Database) -> None:
    """Erasing removes a record's past, with remembered answers, from the database; other records' past and all proofs stay."""
    secret = "Unmistakable."  # noqa: S105 - what is to be forgotten
    curator.post("/cities", json=city("a-zz", summary=secret), headers={"Idempotency-Key": "once"})
    curator.patch("/cities/boston-ma", json={"summary": "Other."}, headers=ANY)
    curator.delete("/cities/a-zz", headers=ANY)
    before = read(curator, "/digest?at=604")
    done = curator.application.test_cli_runner().invoke(args=["ledger", "erase", "cities", "a-zz"])
    assert (done.exit_code, done.output) == (0, "Documents erased: 1.\n")
    with database.reading() as session:
        for table, column in (("revision", "document"), ("idempotency_keys", "body")):
            assert session.scalar(text(f"select count(*) from {table} where {column} like '%{secret}%'")) == 0
        assert list(verify(session)) == []
    if database.engine.dialect.name == "sqlite":
        assert secret.encode() not in Path(database.settings.sqlalchemy_url.database or "").read_bytes()
    assert read(curator, "/digest?at=604") == before
    response = curator.get("/cities/a-zz?as_of=604")
    assert (*brief(response)[:2], response.get_json()["version"]) == (410, "history-trimmed", None)
    assert read(curator, "/cities/boston-ma?as_of=604")["data"]["summary"] != "Other."
    assert brief(curator.get("/snapshot?as_of=604"))[:2] == (410, "history-trimmed")
    rows = read(curator, "/changes?since=603&history=true")["data"]
    assert [(row["op"], row["document"] is None) for row in rows] == [("erase", True), ("upsert", False), ("delete", True)]
