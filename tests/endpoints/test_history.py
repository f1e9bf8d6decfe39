"""The past of records: their revisions, and lists and records at a version."""

from flask.testing import FlaskClient

from tests.support.answers import ANY, brief, read
from tests.support.copies import write
from tests.support.editions import SEEDED


def test_history(curator: FlaskClient) -> None:
    """A record's history has author, time, reason and changes of each revision, the newest first, in pages."""
    write(curator, "a-zz")
    curator.patch("/cities/a-zz?message=Why.", json={"summary": "One.", "name": "A"}, headers=ANY)
    curator.delete("/cities/a-zz", headers=ANY)
    answer = read(curator, "/cities/a-zz/history?limit=2")
    gone, changed = answer["data"]
    assert (gone["op"], gone["version"], gone["document"], gone["author"]) == ("delete", SEEDED + 3, None, "curator")
    assert {row["pointer"] for row in gone["changes"]} >= {"/name", "/summary"}
    assert (changed["reason"], changed["document"]["version"]) == ("Why.", SEEDED + 2)
    assert changed["changes"] == [
        {"pointer": "/name", "before": "A-Zz", "after": "A"},
        {"pointer": "/summary", "before": None, "after": "One."},
    ]
    (made,) = read(curator, answer["links"]["next"].removeprefix("http://localhost"))["data"]
    assert (made["version"], made["cut"]) == (SEEDED + 1, False)
    assert read(curator, f"/cities/a-zz/history?before={SEEDED + 1}")["data"] == []
    assert brief(curator.get("/cities/nowhere/history"))[:2] == (404, "record-not-found")


def test_records_as_of(curator: FlaskClient) -> None:
    """A record as of a version or time has its state of then; before its creation it is a 404, after its deletion a 410."""
    write(curator, "a-zz")
    first = read(curator, "/cities/a-zz")["data"]
    curator.patch("/cities/a-zz", json={"summary": "One."}, headers=ANY)
    curator.delete("/cities/a-zz", headers=ANY)
    assert read(curator, f"/cities/a-zz?as_of={SEEDED + 1}")["data"] == first
    assert read(curator, f"/cities/a-zz?as_of={SEEDED + 2}&fields=id,summary")["data"] == {"id": "a-zz", "summary": "One."}
    assert [brief(curator.get(f"/cities/a-zz?as_of={version}"))[0] for version in (0, SEEDED, SEEDED + 3)] == [404, 404, 410]
    (seed,) = read(curator, "/cities/boston-ma/history")["data"]
    for moment in (seed["changed_at"], "2999-01-01T00:00:00Z"):
        assert read(curator, f"/cities/boston-ma?as_of={moment}")["data"]["id"] == "boston-ma"
    assert brief(curator.get("/cities/boston-ma?as_of=2001-01-01T00:00:00Z"))[0] == 404
    assert brief(curator.get(f"/cities/boston-ma?as_of={SEEDED}&include=awards"))[:2] == (400, "invalid-query")
