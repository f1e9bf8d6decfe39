"""The cities and surveys to which revisions belong."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.ledger import publish
from api.ledger.rebuild import reindex
from api.ledger.verify import verify
from tests.support.answers import read
from tests.support.databases import ON_SQLITE, head, publishing
from tests.support.editions import SEEDED
from tests.support.parts import begin
from tests.support.published import Changes

AWARD = "insert into awards (id, survey_id, category, city_id, rank) values ('a-zz', 's0-zz', 'aw0-zz', 'c0-zz', 1)"
INITIATIVE = "insert into initiatives (id, city_id, title) values ('i-zz', 'c0-zz', 'I')"
LINK = "insert into initiative_awards (initiative_id, award_id) values ('i-zz', 'a-zz')"
CITE = (
    "insert into citations (id, subject_kind, subject_id, field, source_id, paragraph, sentence, sentence_sha256, basis)"
    " select 'x-{1}', '{0}', '{1}', '/summary', min(id), 1, 1, '" + "0" * 64 + "', 'stated' from sources"
)
WORLD = [AWARD, INITIATIVE, LINK, CITE.format("awards", "a-zz"), CITE.format("initiatives", "i-zz")]


@pytest.fixture
def world(own_client: FlaskClient, database: Database) -> FlaskClient:
    """A client of a database with an award, its initiative, and a citation of each."""
    with publishing(database) as session:
        begin(session)
    with publishing(database) as session:
        for statement in WORLD:
            session.execute(text(statement))
    return own_client


def test_who_belongs_by_others_moves_with_them(world: FlaskClient, database: Database, changes: Changes) -> None:
    """An award that moves to another survey takes its initiative and their citations along, each with a version of its own.

    Other changes of it publish nothing else.
    """
    before = head(database)
    assert changes(database, "update awards set summary = 'S.' where id = 'a-zz'") == [("upsert", "awards", "a-zz")]
    assert changes(database, "update awards set survey_id = 's1-zz' where id = 'a-zz'") == [
        ("upsert", "awards", "a-zz"),
        ("upsert", "initiatives", "i-zz"),
        ("upsert", "citations", "x-a-zz"),
        ("upsert", "citations", "x-i-zz"),
    ]
    page = read(world, f"/changes?since={before + 1}")
    moved = {"a-zz": 2, "i-zz": 3, "x-a-zz": 4, "x-i-zz": 5}
    assert {row["id"]: row["document"]["version"] - before for row in page["data"]} == moved
    assert {row["commit"] for row in page["data"]} == {before + 2}
    revision = read(world, "/initiatives/i-zz/history")["data"][0]
    assert (revision["version"], revision["changes"]) == (before + 3, [])
    assert len(read(world, f"/changesets/{before + 2}")["data"]["changes"]) == 4
    for survey, op in (("s0-zz", "delete"), ("s1-zz", "upsert")):
        rows = read(world, f"/changes?since={before + 1}&survey={survey}")["data"]
        assert [(row["id"], row["op"]) for row in rows] == [(id, op) for id in moved]


@pytest.mark.usefixtures("world")
def test_who_still_belongs_stays(database: Database, changes: Changes) -> None:
    """An initiative that belongs to two surveys by three awards is not published when one of them moves between these."""
    with publishing(database) as session:
        for id, category, survey in (("b-zz", "aw1-zz", "s0-zz"), ("d-zz", "aw2-zz", "s1-zz")):
            award = AWARD.replace("a-zz", id).replace("aw0-zz", category).replace("s0-zz", survey)
            session.execute(text(award))
            session.execute(text(LINK.replace("a-zz", id)))
    assert changes(database, "update awards set survey_id = 's1-zz' where id = 'b-zz'") == [("upsert", "awards", "b-zz")]


def test_an_older_release_stores_no_scopes(world: FlaskClient, database: Database) -> None:
    """While changes of an older release have no scopes, a feed of a city is a 503; the next publication adds them."""
    path = f"/changes?since={SEEDED}&city=c0-zz"
    expected = read(world, path)["data"]
    with database.engine.begin() as connection:
        connection.execute(text(f"delete from revision_scope where version > {SEEDED}"))
        connection.execute(text(f"update ledger_head set scoped = {SEEDED}"))
    for refused in (path, "/snapshot?city=c0-zz", "/changes/awards?city=c0-zz", f"{path}&order=-version"):
        assert world.get(refused).status_code == 503
    assert world.get("/changes?since=0&kinds=awards").status_code == 200
    assert publish.sweep(database).revisions == 0
    assert read(world, path)["data"] == expected
    with database.reading() as session:
        assert list(verify(session)) == []


@ON_SQLITE
def test_wrong_scopes_are_found_and_mended(world: FlaskClient, database: Database) -> None:
    """`verify` names records with wrong scopes, and `reindex` publishes them again, so that copies hear of them."""
    before = head(database)
    with database.engine.begin() as connection:
        wrong = "select version from revision where id = 'i-zz'"
        connection.execute(text(f"update revision_scope set id = 'c1-zz' where kind = 'cities' and version in ({wrong})"))
    with database.reading() as session:
        assert [line.partition(":")[0] for line in verify(session)] == ["initiatives", "citations"]
    with database.writing() as session:
        reindex(session)
    for city, op in (("c0-zz", "upsert"), ("c1-zz", "delete")):
        rows = read(world, f"/changes?since={before}&city={city}")["data"]
        assert [(row["id"], row["op"]) for row in rows if row["kind"] == "initiatives"] == [("i-zz", op)]
    with database.reading() as session:
        assert list(verify(session)) == []
