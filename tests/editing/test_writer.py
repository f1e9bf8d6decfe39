"""Writing through the API after somebody changed the tables with SQL."""

from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.ledger.verify import verify
from tests.support.answers import tag
from tests.support.applications import curating
from tests.support.records import FRESNO


def test_raw_changes_are_seen_first(editor: FlaskClient, database: Database) -> None:
    """What raw SQL has changed counts for `If-Match`, and the next write publishes it in a commit of its own, before its own."""
    record = editor.get("/cities/seattle-wa").get_json()["data"]
    with database.writing() as session:
        session.execute(text("update cities set summary = 'Raw.' where id = 'seattle-wa'"))
    response = editor.patch("/cities/seattle-wa", json={"summary": "Ours."}, headers=tag(record))
    assert (response.status_code, response.get_json()["current"]["summary"]) == (412, "Raw.")
    written = editor.post("/cities", json=FRESNO).get_json()["data"]
    raw = editor.get("/cities/seattle-wa").get_json()["data"]
    assert (raw["summary"], raw["version"] + 1) == ("Raw.", written["version"])
    commit = editor.get(f"/changesets/{raw['version']}").get_json()["data"]
    assert (commit["author"], commit["message"]) == (None, "sweep")


def test_what_raw_sql_broke_stops_nobody(own_client: FlaskClient, database: Database) -> None:
    """A record that raw SQL made into what can't be published stays as it was, and others are written all the same."""
    client = curating(own_client, database)
    with database.writing() as session:
        session.execute(text("update initiatives set started = '9999-99' where id = 'los-angeles-ca-myla311'"))
    assert client.post("/cities", json=FRESNO).status_code == 201
    assert client.get("/initiatives/los-angeles-ca-myla311").get_json()["data"]["started"] is None
    mended = client.patch("/initiatives/los-angeles-ca-myla311", json={"title": "MyLA"}, headers={"If-Match": "*"})
    assert (mended.status_code, mended.get_json()["data"]["started"]) == (200, None)
    with database.reading() as session:
        assert list(verify(session)) == []
