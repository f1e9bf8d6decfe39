"""Proposals: changesets that are stored, reviewed by another key, and published or refused."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.editing.proposals import State
from tests.support.answers import ANY, Json, brief, read, version
from tests.support.applications import curating
from tests.support.databases import counted
from tests.support.records import FRESNO

Curating = Callable[..., FlaskClient]
SUMMARY = "Unmistakable."
PATCH = {"op": "patch", "kind": "cities", "id": "seattle-wa", "document": {"summary": SUMMARY}}
CREATE = {"op": "create", "kind": "cities", "document": {**FRESNO, "summary": SUMMARY}}
# Members of a proposal that nobody has decided on.
UNDECIDED = {"state": "open", "decided_by": None, "decided_at": None, "reason": None, "version": None}


@pytest.fixture
def office(own_client: FlaskClient, database: Database) -> Curating:
    """Returns clients of one application, each with a key of its own."""

    def client(name: str, *scopes: str) -> FlaskClient:
        return curating(own_client.application.test_client(), database, *scopes, name=name)

    return client


@pytest.fixture
def intern(office: Curating) -> FlaskClient:
    """A client that may propose."""
    return office("intern", "propose")


@pytest.fixture
def reviewer(office: Curating) -> FlaskClient:
    """A client that may publish proposals."""
    return office("reviewer", "publish")


def propose(client: FlaskClient, *operations: Json, **members: str) -> Json:
    """Propose operations and return the answer."""
    answer = client.post("/proposals", json={"operations": operations, **members})
    assert answer.status_code == 201, answer.get_json()
    body: Json = answer.get_json()
    assert answer.headers["Location"] == f"http://localhost/proposals/{body['data']['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    return body


def seattle(client: FlaskClient) -> Json:
    """Return Seattle as it is."""
    record: Json = read(client, "/cities/seattle-wa")["data"]
    return record


def test_from_a_proposal_to_a_changeset(intern: FlaskClient, reviewer: FlaskClient) -> None:
    """A proposal shows its differences; another key publishes it, as a commit of its author, and the proposal says so."""
    operations = [{**PATCH, "if_match": seattle(intern)["version"]}, CREATE]
    made = propose(intern, *operations, message="Both coasts.")
    assert made["operations"] == operations
    assert made["data"] | UNDECIDED | {"author": "intern", "message": "Both coasts."} == made["data"]
    assert (made["problem"], made["errors"]) == (None, [])
    assert [(row["kind"], row["id"], row["status"]) for row in made["changes"]] == [
        ("cities", "seattle-wa", "updated"),
        ("cities", "fresno-ca", "created"),
    ]
    assert made["changes"][0]["differences"] == [
        {"pointer": "/summary", "before": seattle(intern)["summary"], "after": SUMMARY}
    ]
    # Of a record that is new, only what it has.
    assert {row["pointer"] for row in made["changes"][1]["differences"]} == {f"/{name}" for name in CREATE["document"]}
    path = f"/proposals/{made['data']['id']}"
    assert read(reviewer, path) == made
    assert seattle(reviewer)["summary"] != SUMMARY
    published = reviewer.post(f"{path}/publish")
    assert (published.status_code, [row["status"] for row in published.get_json()["data"]]) == (200, ["updated", "created"])
    assert seattle(reviewer)["summary"] == SUMMARY
    commit = read(reviewer, published.headers["Location"])["data"]
    assert (commit["author"], commit["message"]) == ("intern", "Both coasts.")
    after = read(reviewer, path)
    assert after["data"] == made["data"] | {
        "state": "published",
        "decided_by": "reviewer",
        "decided_at": after["data"]["decided_at"],
        "version": commit["version"],
    }
    assert (after["changes"], after["operations"]) == ([], operations)


def test_no_reader_sees_a_proposal(intern: FlaskClient, database: Database) -> None:
    """Without a key a proposal is a 401; lists, search, pages, feed, snapshot, history and digest stay as they were."""
    paths = (
        "/cities.ndjson",
        "/cities.csv",
        "/cities?q=unmistakable",
        "/cities/fresno-ca",
        "/cities/seattle-wa/history",
        "/search?q=unmistakable",
        "/suggest?q=fresn",
        "/changes?since=0&limit=500&history=true",
        "/changes?order=-version",
        "/changesets",
        "/snapshot",
        "/digest",
        "/cities.html",
        "/sitemap-cities-0.xml",
    )
    public = intern.application.test_client()

    def seen() -> list[tuple[int, bytes, str | None]]:
        answers = [public.get(path, buffered=True) for path in paths]
        # Each problem has the number of its request.
        bodies = [b"" if answer.status_code == 404 else answer.get_data() for answer in answers]
        return [(answer.status_code, body, answer.headers.get("ETag")) for answer, body in zip(answers, bodies, strict=True)]

    before = seen()
    made = propose(intern, {**PATCH, "if_match": "*"}, CREATE)
    path = f"/proposals/{made['data']['id']}"
    read(intern, path)
    assert seen() == before
    assert [public.get(address).status_code for address in ("/proposals", path)] == [401, 401]
    with database.reading() as session:
        assert session.scalar(text("select count(*) from ledger_dirty")) == 0
    # The control: all of them show what is published.
    assert curating(intern, database, "publish", name="reviewer").post(f"{path}/publish").status_code == 200
    assert [path for path, old, new in zip(paths, before, seen(), strict=True) if old == new] == []


WRONG = [
    ({**PATCH}, 428, "precondition-required"),
    ({**PATCH, "if_match": 9_999}, 412, "precondition-failed"),
    ({**CREATE, "document": {**FRESNO, "id": "seattle-wa", "state": "WA"}}, 409, "conflict"),
    ({**CREATE, "document": {**FRESNO, "state": 5}}, 422, "invalid-body"),
    ({**CREATE, "if_match": None}, 422, "invalid-body"),
    ({"op": "delete", "kind": "cities", "id": "boston-ma", "if_match": "*"}, 409, "conflict"),
    ({"op": "patch", "kind": "initiatives", "id": "los-angeles-ca-myla311", "if_match": "*",
      "document": {"parent": "los-angeles-ca-myla311"}}, 422, "invalid-body"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "status", "name"), WRONG, ids=[str(row[1:]) for row in WRONG])
def test_a_proposal_is_checked_like_a_changeset(
    intern: FlaskClient, curator: FlaskClient, operation: Json, status: int, name: str
) -> None:
    """What a changeset is refused for, a proposal is, with the same errors, and nothing is stored."""
    proposed = intern.post("/proposals", json={"operations": [operation]})
    asked = curator.post("/changesets", json={"operations": [operation]})
    assert brief(proposed) == brief(asked)
    assert brief(proposed)[:2] == (status, name)
    assert read(intern, "/proposals")["data"] == []


def test_its_checks_are_those_of_today(intern: FlaskClient, reviewer: FlaskClient, curator: FlaskClient) -> None:
    """A proposal that others' changes are in the way of says so when it is read, and when it is published it changes nothing."""
    made = propose(intern, {**PATCH, "if_match": seattle(intern)["version"]}, CREATE)
    path = f"/proposals/{made['data']['id']}"
    curator.patch("/cities/seattle-wa", json={"summary": "First."}, headers=ANY)
    shown, before = read(reviewer, path), version(reviewer)
    assert (shown["problem"], [item["pointer"] for item in shown["errors"]]) == (
        "precondition-failed",
        ["/operations/0/if_match", "/operations/0/document/summary"],
    )
    # The other operation has its differences still.
    assert [row["id"] for row in shown["changes"]] == ["fresno-ca"]
    refused = reviewer.post(f"{path}/publish")
    assert brief(refused)[:2] == (412, "precondition-failed")
    assert [item["pointer"] for item in brief(refused)[2]] == [item["pointer"] for item in shown["errors"]]
    assert (version(reviewer), read(reviewer, path)["data"]["state"]) == (before, "open")


def test_refused_with_a_reason(intern: FlaskClient, reviewer: FlaskClient) -> None:
    """A refusal has a reason; nobody can publish a refused proposal, nor refuse it again."""
    path = f"/proposals/{propose(intern, CREATE)['data']['id']}"
    assert brief(reviewer.post(f"{path}/refuse", json={}))[:2] == (422, "invalid-body")
    answer = reviewer.post(f"{path}/refuse", json={"reason": "Not our source."})
    data = answer.get_json()["data"]
    assert (data["state"], data["decided_by"], data["reason"]) == ("refused", "reviewer", "Not our source.")
    for verb, body in (("publish", None), ("refuse", {"reason": "Again."})):
        status, name, items = brief(reviewer.post(f"{path}/{verb}", json=body))
        assert (status, name, items[0]["detail"]) == (409, "conflict", "The proposal was refused by `reviewer`.")


def test_an_author_withdraws(intern: FlaskClient, office: Curating) -> None:
    """Its author can withdraw a proposal without the scope `publish`; another key without it cannot refuse it."""
    path = f"/proposals/{propose(intern, CREATE)['data']['id']}"
    stranger = office("stranger", "write")
    assert brief(stranger.post(f"{path}/refuse", json={"reason": "No."}))[:2] == (403, "forbidden")
    assert intern.post(f"{path}/refuse", json={"reason": "Mine."}).get_json()["data"]["state"] == "refused"


def test_another_key_must_publish(office: Curating, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PROPOSAL_REVIEW=1 no author publishes his own proposal; the control: without it he may, and others may with it."""
    both, reviewer = office("both", "propose", "publish"), office("reviewer", "publish")
    served = both.application.extensions["database"]
    plain = served.settings
    monkeypatch.setattr(served, "settings", replace(plain, proposal_review=1))
    path = f"/proposals/{propose(both, CREATE)['data']['id']}"
    status, name, items = brief(both.post(f"{path}/publish"))
    assert (status, name, items[0]["code"]) == (403, "forbidden", "own-proposal")
    assert both.get("/cities/fresno-ca").status_code == 404
    assert reviewer.post(f"{path}/publish").status_code == 200
    other = f"/proposals/{propose(both, {**PATCH, 'if_match': '*'})['data']['id']}"
    monkeypatch.setattr(served, "settings", plain)
    assert both.post(f"{other}/publish").status_code == 200


def test_an_old_proposal_expires(intern: FlaskClient, reviewer: FlaskClient, database: Database) -> None:
    """After PROPOSAL_DAYS nobody can publish or refuse a proposal; the list tells it from an open one."""
    old, new = (propose(intern, row)["data"]["id"] for row in (CREATE, {**PATCH, "if_match": "*"}))
    now = dt.datetime.now(dt.UTC)
    with database.writing() as session:
        statement = text("update proposals set expires_at = :at where id = :id")
        session.execute(statement, {"at": (now - dt.timedelta(days=1)).isoformat(" "), "id": old})
    for verb, body in (("publish", None), ("refuse", {"reason": "Late."})):
        answer = reviewer.post(f"/proposals/{old}/{verb}", json=body)
        assert brief(answer)[:2] == (409, "conflict")
        assert "expired" in brief(answer)[2][0]["detail"]
    assert read(reviewer, f"/proposals/{old}")["data"]["state"] == "expired"
    listed = {state: [row["id"] for row in read(reviewer, f"/proposals?state={state}")["data"]] for state in State}
    assert listed == {"open": [new], "expired": [old], "published": [], "refused": []}


def test_pages_of_the_list(intern: FlaskClient, office: Curating) -> None:
    """The list has every proposal once, the newest first, by author and page by page, and does not read their operations."""
    made = [propose(intern, {**PATCH, "if_match": "*"})["data"]["id"] for _ in range(5)]
    other = propose(office("other", "write:sources"), CREATE)["data"]["id"]
    assert [row["id"] for row in read(intern, "/proposals")["data"]] == [other, *reversed(made)]
    seen, path = [], "/proposals?author=intern&limit=2"
    while path:
        page = read(intern, path)
        seen += [row["id"] for row in page["data"]]
        path = (page["links"]["next"] or "").removeprefix("http://localhost")
    assert seen == [*reversed(made)]
    with counted(intern.application.extensions["database"]) as statements:
        read(intern, "/proposals")
    assert [text for text in statements if "operations" in text] == []
    assert brief(intern.get("/proposals?cursor=x"))[:2] == (400, "invalid-cursor")
    assert brief(intern.get("/proposals?state=closed"))[:2] == (400, "invalid-query")


def test_repeated_requests(intern: FlaskClient, reviewer: FlaskClient) -> None:
    """Under one `Idempotency-Key`, a proposal is stored once and published once, with one answer; a dry run does neither."""
    body = {"operations": [CREATE]}
    dry = intern.post("/proposals?dry_run=true", json=body)
    assert (dry.status_code, read(intern, "/proposals")["data"]) == (201, [])
    made = [intern.post("/proposals", json=body, headers={"Idempotency-Key": "a"}) for _ in range(2)]
    assert made[0].get_data() == made[1].get_data()
    (row,) = read(intern, "/proposals")["data"]
    path, before = f"/proposals/{row['id']}/publish", version(intern)
    assert reviewer.post(f"{path}?dry_run=true").status_code == 200
    assert (version(intern), read(intern, "/proposals?state=open")["data"]) == (before, [row])
    published = [reviewer.post(path, headers={"Idempotency-Key": "b"}) for _ in range(2)]
    assert published[0].get_data() == published[1].get_data()
    assert [answer.status_code for answer in published] == [200, 200]
    assert brief(reviewer.post(path))[:2] == (409, "conflict")


def test_an_erased_record_is_in_no_proposal(intern: FlaskClient, curator: FlaskClient, database: Database) -> None:
    """`ledger erase` deletes the proposals that change a record, and no other one that names it."""
    secret = propose(intern, {**PATCH, "if_match": "*"})["data"]["id"]
    kept = propose(intern, {**CREATE, "document": {**FRESNO, "summary": 'Not "seattle-wa".'}})["data"]["id"]
    result = curator.application.test_cli_runner().invoke(args=["ledger", "erase", "cities", "seattle-wa"])
    assert result.exit_code == 0, result.output
    assert [row["id"] for row in read(intern, "/proposals")["data"]] == [kept]
    assert brief(intern.get(f"/proposals/{secret}"))[:2] == (404, "record-not-found")
    with database.reading() as session:
        assert session.scalar(text("select count(*) from proposals where operations like :text"), {"text": f"%{SUMMARY}%"}) == 0
