"""Copies that prove themselves: the feed, its cursors, the digest, snapshots, and the past."""

import gzip
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st
from sqlalchemy import select, text

from api.db.database import Database
from api.ledger import feed, head, merkle, publish, retention
from api.ledger.models import EPOCH, Head, Revision
from api.ledger.verify import verify
from api.resources import RESOURCES
from api.schema.canonical import canonical
from api.settings import Settings
from tests.support.answers import ANY, brief, read
from tests.support.applications import curating, serving
from tests.support.copies import Copy, apply, city, follow, pages, root, undo, write
from tests.support.databases import publishing


@pytest.fixture
def curator(own_client: FlaskClient, database: Database) -> FlaskClient:
    """Writes to this test's own database, whose seeds are one commit of 603 versions."""
    return curating(own_client, database)


# --- the feed


def test_changes(curator: FlaskClient, database: Database) -> None:
    """A change says its version, commit, noun, id, what it did, why, when, its hash and the whole record."""
    record = curator.post("/cities?message=New.", json=city("fresno-ca", state="CA")).get_json()["data"]
    page = read(curator, "/changes?since=603")
    leaf = merkle.leaf("cities", "fresno-ca", canonical(record)).hex()
    with database.reading() as session:
        chain = head.chain_at(session, 604)
    assert page == {
        "data": [
            {
                "version": 604,
                "commit": 604,
                "kind": "cities",
                "id": "fresno-ca",
                "op": "upsert",
                "reason": "New.",
                "changed_at": record["updated_at"],
                "hash": leaf,
                "document": record,
            }
        ],
        "links": {"self": "http://localhost/changes?since=603", "next": None},
        "cursor": feed.Position(604).cursor(chain),
        "head": 604,
    }
    assert curator.delete("/cities/fresno-ca?message=Gone.", headers=ANY).status_code == 204
    (row,) = read(curator, f"/changes?cursor={page['cursor']}")["data"]
    expected = {"version": 605, "commit": 605, "op": "delete", "reason": "Gone.", "hash": None, "document": None}
    assert row == {**page["data"][0], **expected, "changed_at": row["changed_at"]}


def test_a_commit_is_never_split(curator: FlaskClient) -> None:
    """Pages are of whole commits, about as long as was asked for; a commit of more is a page of its own."""
    write(curator, "a-zz", "b-zz")
    operations = [{"op": "create", "kind": "cities", "document": city(f"c-{n}-zz")} for n in range(7)]
    assert curator.post("/changesets", json={"operations": operations}).status_code == 200
    write(curator, "d-zz")
    found = [[row["version"] for row in page["data"]] for page in pages(curator, "/changes?since=603&limit=3")]
    assert found == [[604, 605], [*range(606, 613)], [613]]
    assert [len(page["data"]) for page in pages(curator, "/changes?since=0&limit=1")] == [603, 1, 1, 7, 1]


def test_first_load_has_no_tombstones(curator: FlaskClient) -> None:
    """Who begins with nothing hears of no record that was gone before; who was there hears of each."""
    write(curator, "a-zz", "b-zz", "c-zz")
    for id in ("a-zz", "b-zz"):
        curator.delete(f"/cities/{id}", headers=ANY)
    first = [row for page in pages(curator, "/changes?since=0&limit=1") for row in page["data"]]
    assert [row["op"] for row in first] == ["upsert"] * 604
    assert [row["op"] for row in read(curator, "/changes?since=604")["data"]] == ["upsert", "delete", "delete"]


def test_changed_and_deleted_before_loading(curator: FlaskClient) -> None:
    """Whatever changed again, or went, before a load by pages began, each page has as many changes as asked for, and no more."""
    ids = [f"c{n}-zz" for n in range(12)]
    write(curator, *ids)
    for id in ids[:8]:
        curator.patch(f"/cities/{id}", json={"summary": "Again."}, headers=ANY)
    for id in ids[4:8]:
        curator.delete(f"/cities/{id}", headers=ANY)
    pages, path, copy = [], "/changes/cities?since=0&limit=3", {}
    while path:
        answer = read(curator, path)
        pages.append(len(answer["data"]))
        copy.update({row["id"]: row for row in answer["data"]})
        path = (answer["links"]["next"] or "").removeprefix("http://localhost")
    # The seeds are one commit.
    assert pages == [6, 3, 3, 2]
    assert sorted(copy) == sorted([*[row["id"] for row in read(curator, "/cities?limit=500")["data"]]])


def test_deleted_while_loading(curator: FlaskClient) -> None:
    """A record that goes while a first load is on its way is deleted in the copy, too."""
    write(curator, "a-zz", "b-zz", "c-zz")
    copy: Copy = {}
    page = read(curator, "/changes?since=0&limit=1")
    while ("cities", "a-zz") not in copy:
        apply(copy, page)
        page = read(curator, page["links"]["next"].removeprefix("http://localhost"))
    curator.delete("/cities/a-zz", headers=ANY)
    apply(copy, page)
    follow(curator, copy, page["links"]["next"].removeprefix("http://localhost"))
    assert ("cities", "a-zz") not in copy
    assert root(copy) == read(curator, "/digest")["data"]["root"]


def test_compacted_and_whole_history(curator: FlaskClient) -> None:
    """Of a record only the last change counts, unless the history is wanted."""
    write(curator, "a-zz")
    for summary in ("One.", "Two."):
        curator.patch("/cities/a-zz", json={"summary": summary}, headers=ANY)
    curator.delete("/cities/a-zz", headers=ANY)
    write(curator, "a-zz")
    assert [row["version"] for row in read(curator, "/changes?since=603")["data"]] == [608]
    rows = read(curator, "/changes?since=603&history=true")["data"]
    assert [(row["version"], row["op"]) for row in rows] == [
        *((version, "upsert") for version in (604, 605, 606)),
        (607, "delete"),
        (608, "upsert"),
    ]
    assert [row["document"] and row["document"]["summary"] for row in rows] == [None, "One.", "Two.", None, None]


def test_kinds(curator: FlaskClient) -> None:
    """Only the nouns that are asked for; their cursor goes on with them, and is refused where it would miss others' changes."""
    write(curator, "a-zz")
    copy: Copy = {}
    cursor = follow(curator, copy, "/changes?since=0&kinds=cities,awards")
    assert {kind for kind, _ in copy} == {"cities", "awards"}
    for path in ("/changes?kinds=cities,awards", "/changes?kinds=awards", "/changes/cities?"):
        assert read(curator, f"{path}&cursor={cursor}")["data"] == []
    for path in ("/changes?", "/changes?kinds=surveys", "/changes/surveys?"):
        status, name, (item,) = brief(curator.get(f"{path}&cursor={cursor}"))
        assert (status, name, item["parameter"]) == (400, "invalid-cursor", "cursor")
    whole = follow(curator, copy, "/changes")
    assert read(curator, f"/changes/cities?cursor={whole}")["data"] == []


def test_flat(curator: FlaskClient) -> None:
    """A noun by itself is flat: its members, when it changed, and whether it is gone."""
    write(curator, "a-zz")
    record = read(curator, "/cities/a-zz")["data"]
    (row,) = read(curator, "/changes/cities?since=603")["data"]
    assert row == {**record, "changed_at": record["updated_at"], "deleted": False}
    curator.delete("/cities/a-zz", headers=ANY)
    (row,) = read(curator, "/changes/cities?since=604")["data"]
    assert row == {"id": "a-zz", "version": 605, "changed_at": row["changed_at"], "deleted": True}


def test_as_of(curator: FlaskClient) -> None:
    """The feed as of a version is what it was then: what came later is not in it."""
    write(curator, "a-zz", "b-zz")
    curator.patch("/cities/a-zz", json={"summary": "Later."}, headers=ANY)
    page = read(curator, "/changes?since=603&as_of=605")
    assert [(row["version"], row["document"]["summary"]) for row in page["data"]] == [(604, None), (605, None)]
    assert [row["version"] for row in read(curator, f"/changes?cursor={page['cursor']}")["data"]] == [606]
    assert read(curator, f"/changes?cursor={page['cursor']}&as_of=604")["data"] == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=-1", "since"), ("since=x", "since"), ("since=9007199254740992", "since"), ("limit=0", "limit"), ("limit=1001", "limit"),
        ("kinds=mayors", "kinds"), ("wait=31", "wait"), ("history=yes", "history"), ("sinse=1", "sinse"), ("as_of=yesterday", "as_of"),
        ("as_of=2024-13-01T00:00:00Z", "as_of"), ("wait=1&as_of=1", "wait"), ("cursor=x", "cursor"),
        ("cursor=", "cursor"), ("as_of=", "as_of"),
    ],
)  # fmt: skip
def test_refused(client: FlaskClient, query: str, parameter: str) -> None:
    """What is no request of the feed is a 400 that names the parameter."""
    status, _, items = brief(client.get(f"/changes?{query}"))
    assert (status, [item["parameter"] for item in items]) == (400, [parameter])


def test_unchanged(curator: FlaskClient) -> None:
    """When nothing has changed, a poll with the last `ETag` is a 304 that looks at the head only."""
    page = curator.get("/changes?since=603")
    tag = {"If-None-Match": page.headers["ETag"]}
    assert curator.get("/changes?since=603", headers=tag).status_code == 304
    assert curator.head("/changes?since=603").headers["ETag"] == page.headers["ETag"]
    write(curator, "a-zz")
    assert curator.get("/changes?since=603", headers=tag).status_code == 200


# --- waiting


def test_wait(curator: FlaskClient, database: Database) -> None:
    """A poll that waits answers when another process commits, within a second, and with nothing when its time is over."""
    began = threading.Event()
    plain = feed.page

    def noted(*given: Any) -> feed.Page:
        began.set()
        return plain(*given)

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "page", noted)
        waiting = pool.submit(curator.application.test_client().get, "/changes?since=603&wait=20")
        assert began.wait(20)
        with publishing(database) as session:
            session.execute(text("update cities set summary = 'Now.' where id = 'boston-ma'"))
        committed = time.monotonic()
        page = waiting.result(20).get_json()
    assert [row["version"] for row in page["data"]] == [604]
    assert time.monotonic() - committed < 5
    assert read(curator, "/changes?since=604&wait=1")["data"] == []


def test_waiters_harm_nobody(settings: Settings) -> None:
    """No more requests wait than may: the next is a 503 that says when to come back, and everyone else is served."""
    with serving(settings) as app:
        places = app.extensions["waiters"]
        taken = 0
        while places.acquire(blocking=False):
            taken += 1
        client = app.test_client()
        refused = client.get("/changes?since=603&wait=5")
        assert (taken, refused.status_code, refused.headers["Retry-After"]) == (settings.waiters, 503, "5")
        assert client.get("/changes?since=603").status_code == 200
        places.release()
        assert client.get("/changes?since=603&wait=0").status_code == 200


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_wait_with_a_tag(curator: FlaskClient, coding: str) -> None:
    """A poll that waits with the last `ETag`, compressed or not, is a 304 when its time is over, and not before."""
    accepts = {"Accept-Encoding": coding}
    tag = {"If-None-Match": curator.get("/changes?since=0", headers=accepts).headers["ETag"]}
    assert tag["If-None-Match"].endswith(':gzip"') == (coding == "gzip")
    began = time.monotonic()
    assert curator.get("/changes?since=0&wait=1", headers=accepts | tag).status_code == 304
    assert time.monotonic() - began >= 1


# --- cursors


def test_cursor_of_another_past(curator: FlaskClient, database: Database) -> None:
    """When commits were lost, what was seen of them is a 410 that says where to begin; what was seen before still holds."""
    before = read(curator, "/changes?since=603")["cursor"]
    write(curator, "a-zz", "b-zz")
    lost = read(curator, "/changes?since=603")["cursor"]
    undo(database, 603)
    for path in (
        f"/changes?cursor={lost}",
        "/changes?since=605",
        "/digest?at=605",
        "/snapshot?as_of=605",
        "/cities/boston-ma?as_of=605",
    ):
        response = curator.get(path)
        assert (*brief(response)[:2], response.get_json()["restart"]) == (410, "cursor-diverged", "http://localhost/snapshot")
    write(curator, "c-zz", "d-zz")
    assert brief(curator.get(f"/changes?cursor={lost}"))[:2] == (410, "cursor-diverged")
    assert [row["id"] for row in read(curator, f"/changes?cursor={before}")["data"]] == ["c-zz", "d-zz"]


def test_integers_after_a_new_epoch(curator: FlaskClient, database: Database) -> None:
    """After a restore and `ledger new-epoch`, no number stands for two pasts: an integer that was lost is a 410 for ever."""
    write(curator, "a-zz", "b-zz")
    undo(database, 603)
    with database.writing() as session:
        assert publish.new_epoch(session) == 1
    assert brief(curator.get("/changes?since=604"))[:2] == (410, "cursor-diverged")
    write(curator, "c-zz", "d-zz")
    assert brief(curator.get("/changes?since=604"))[:2] == (410, "cursor-diverged")
    rows = read(curator, "/changes?since=603")["data"]
    assert [(row["version"], row["id"]) for row in rows] == [(EPOCH + 1, "c-zz"), (EPOCH + 2, "d-zz")]
    with database.reading() as session:
        assert list(verify(session)) == []


def test_another_origin_is_another_epoch(curator: FlaskClient, database: Database) -> None:
    """Where PostgreSQL has come to another cluster or timeline, the next commit begins a new epoch by itself; once."""
    with database.writing() as session:
        known = session.scalar(select(Head.origin))
        assert (known is not None) == (database.engine.dialect.name == "postgresql")
        session.execute(text("update ledger_head set origin = '1-00000001'"))
    write(curator, "a-zz", "b-zz")
    with database.reading() as session:
        head = session.scalars(select(Head)).one()
    assert (head.epoch, head.version, head.origin) == (1, EPOCH + 2, known)


def test_mutated_cursors(client: FlaskClient) -> None:
    """A cursor that was tampered with is a 400 or a 410, or the very position that it was."""
    mutate(client, 2_000)


@pytest.mark.slow
def test_many_mutated_cursors(client: FlaskClient) -> None:
    """The same 100,000 times."""
    mutate(client, 100_000)


def mutate(client: FlaskClient, times: int) -> None:
    """Ask with many broken cursors."""
    chance = random.Random(1)  # noqa: S311 - the same ones each time
    good = read(client, "/changes?since=0&kinds=cities")["cursor"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ %.\u00e9"
    seen = set()
    for _ in range(times):
        cursor = list(good)
        for _ in range(chance.choice([1, 1, 1, 2, 5])):
            place = chance.randrange(len(cursor) + 1)
            cursor[place : place + chance.choice([0, 1, 1, 1, 3])] = chance.choice(alphabet) * chance.choice([0, 1, 1])
        response = client.get("/changes", query_string={"cursor": "".join(cursor), "kinds": "cities"})
        seen.add(response.status_code)
        assert response.status_code in {400, 410} or "".join(cursor) == good
    assert seen - {200} == {400, 410}


@given(
    st.integers(0, 2**53 - 1),
    st.sets(st.sampled_from([row.name for row in RESOURCES])),
    st.integers(0, 2**53 - 1),
    st.booleans(),
    st.binary(min_size=32, max_size=32),
)
def test_cursor_round_trip(version: int, kinds: set[str], target: int, fresh: bool, chain: bytes) -> None:  # noqa: FBT001
    """A cursor says its position again, and holds for the chain that it was made with, and no other."""
    position = feed.Position(version, tuple(sorted(kinds)), target, fresh)
    found, proof = feed.Position.read(position.cursor(chain))
    assert (found, found.holds(proof, chain), found.holds(proof, bytes(32))) == (position, True, chain == bytes(32))


# --- the digest, and snapshots


def test_digest(curator: FlaskClient) -> None:
    """The root is the one that anyone computes from a copy, at every version that there was."""
    copy: Copy = {}
    roots = {}
    cursor = follow(curator, copy, "/changes?since=0")
    for step in range(6):
        roots[603 + step] = (root(copy), len(copy))
        if step % 3 == 2:
            curator.delete(f"/cities/c-{step - 1}-zz", headers=ANY)
        else:
            write(curator, f"c-{step}-zz")
        cursor = follow(curator, copy, f"/changes?cursor={cursor}")
    roots[609] = (root(copy), len(copy))
    answers = {version: read(curator, f"/digest?at={version}")["data"] for version in roots}
    assert {version: (answer["root"], answer["count"]) for version, answer in answers.items()} == roots
    assert read(curator, "/digest")["data"] == answers[609]
    empty = read(curator, "/digest?at=0")["data"]
    assert (empty["count"], empty["root"], empty["nouns"]) == (0, root({}), {})


def test_digest_in_the_middle_of_a_commit(curator: FlaskClient) -> None:
    """At any version, not only where a commit ends, the digest is of just the records up to it."""
    rows = read(curator, "/changes?since=0")["data"]
    copy: Copy = {}
    apply(copy, {"data": rows[:50]})
    assert read(curator, "/digest?at=50")["data"]["root"] == root(copy)


def test_buckets(client: FlaskClient) -> None:
    """The buckets hash to their noun, and each has just the records whose keys fall into it, by id."""
    data = read(client, "/digest?buckets=true")["data"]
    for noun in ("cities", "citations"):
        hashes = [bytes.fromhex(found) for found in data["nouns"][noun]["buckets"]]
        assert merkle.noun(noun, hashes).hex() == data["nouns"][noun]["root"]
        number = next(number for number, found in enumerate(hashes) if found != merkle.EMPTY)
        answer = read(client, f"/digest/buckets/{noun}/{number}")
        ids = [row["id"] for row in answer["data"]]
        every = [record["id"] for record in read(client, f"/{noun}?limit=500&sort=id")["data"]]
        assert set(ids) >= {id for id in every if merkle.bucket_of(noun, id) == number}
        assert ids == sorted(ids)
        for row in answer["data"]:
            assert row["hash"] == merkle.leaf(noun, row["id"], canonical(row["document"])).hex()
        assert (
            answer["hash"] == merkle.bucket(bytes.fromhex(row["hash"]) for row in answer["data"]).hex() == hashes[number].hex()
        )


@pytest.mark.parametrize(
    "path",
    [
        "/digest/buckets/mayors/1",
        "/digest/buckets/cities/256",
        "/digest/buckets/cities/01",
        "/digest/buckets/cities/x",
        "/changes/mayors",
    ],
)
def test_what_is_not_there(client: FlaskClient, path: str) -> None:
    """A noun or a bucket that there is not is a 404 that names those that there are."""
    status, name, (item,) = brief(client.get(path))
    assert (status, name, bool(item["allowed"])) == (404, "not-found", True)


def test_snapshot(curator: FlaskClient) -> None:
    """A snapshot is everything at one version, counted and proved, and the feed goes on from its cursor."""
    write(curator, "a-zz")
    first, *rows = [json.loads(line) for line in curator.get("/snapshot").get_data().splitlines()]
    copy = {(row["kind"], row["id"]): row["document"] for row in rows}
    proof = read(curator, "/digest")["data"]
    assert first == {"version": 604, "cursor": first["cursor"], "count": len(rows), "root": root(copy)}
    assert (first["root"], first["count"]) == (proof["root"], proof["count"])
    write(curator, "b-zz")
    for path in (f"/changes?cursor={first['cursor']}", "/changes?since=604"):
        assert [row["id"] for row in read(curator, path)["data"]] == ["b-zz"]
    then = curator.get("/snapshot?as_of=604")
    assert then.get_data().splitlines()[1:] == [
        json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() for row in rows
    ]


def test_snapshot_compressed(client: FlaskClient) -> None:
    """A snapshot is compressed for who says so, under a tag of its own, and says what it depends on."""
    plain, packed = (
        client.get("/snapshot", headers={"Accept-Encoding": coding}, buffered=True) for coding in ("identity", "gzip, br;q=0.5")
    )
    refused = client.get("/snapshot", headers={"Accept-Encoding": "gzip;q=0"}, buffered=True)
    assert gzip.decompress(packed.get_data()) == plain.get_data() == refused.get_data()
    assert [answer.headers.get("Content-Encoding") for answer in (plain, packed, refused)] == [None, "gzip", None]
    assert {answer.headers["Vary"] for answer in (plain, packed, refused)} == {"Accept-Encoding"}
    assert plain.headers["ETag"] != packed.headers["ETag"]
    again = client.get("/snapshot", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
    assert (again.status_code, again.headers["Vary"]) == (304, "Accept-Encoding")


# --- the past


def test_since_beside_a_cursor(curator: FlaskClient) -> None:
    """Who sends with a cursor where they began gets what the cursor alone gets; a later `since` is refused."""
    write(curator, "a-zz", "b-zz")
    cursor = read(curator, "/changes/cities?since=603&limit=1")["cursor"]
    expected = read(curator, f"/changes/cities?cursor={cursor}")
    answer = read(curator, f"/changes/cities?cursor={cursor}&since=603")
    assert (answer["data"], answer["cursor"]) == (expected["data"], expected["cursor"])
    status, _, items = brief(curator.get(f"/changes/cities?cursor={cursor}&since=605"))
    assert (status, [(item["parameter"], item["code"]) for item in items]) == (400, [("since", "not-together")])


def test_history(curator: FlaskClient) -> None:
    """A record's past says who, when, why and what changed, the newest first, a page at a time."""
    write(curator, "a-zz")
    curator.patch("/cities/a-zz?message=Why.", json={"summary": "One.", "name": "A"}, headers=ANY)
    curator.delete("/cities/a-zz", headers=ANY)
    answer = read(curator, "/cities/a-zz/history?limit=2")
    gone, changed = answer["data"]
    assert (gone["op"], gone["version"], gone["document"], gone["author"]) == ("delete", 606, None, "curator")
    assert {row["pointer"] for row in gone["changes"]} >= {"/name", "/summary"}
    assert (changed["reason"], changed["document"]["version"]) == ("Why.", 605)
    assert changed["changes"] == [
        {"pointer": "/name", "before": "A-Zz", "after": "A"},
        {"pointer": "/summary", "before": None, "after": "One."},
    ]
    (made,) = read(curator, answer["links"]["next"].removeprefix("http://localhost"))["data"]
    assert (made["version"], made["cut"]) == (604, False)
    assert read(curator, "/cities/a-zz/history?before=604")["data"] == []
    assert brief(curator.get("/cities/nowhere/history"))[:2] == (404, "record-not-found")


def test_records_as_of(curator: FlaskClient) -> None:
    """A record as of a version or a time is what it was; before its first it is a 404, and after its end a 410."""
    write(curator, "a-zz")
    first = read(curator, "/cities/a-zz")["data"]
    curator.patch("/cities/a-zz", json={"summary": "One."}, headers=ANY)
    curator.delete("/cities/a-zz", headers=ANY)
    assert read(curator, "/cities/a-zz?as_of=604")["data"] == first
    assert read(curator, "/cities/a-zz?as_of=605&fields=id,summary")["data"] == {"id": "a-zz", "summary": "One."}
    assert [brief(curator.get(f"/cities/a-zz?as_of={version}"))[0] for version in (0, 603, 606)] == [404, 404, 410]
    (seed,) = read(curator, "/cities/boston-ma/history")["data"]
    for moment in (seed["changed_at"], "2999-01-01T00:00:00Z"):
        assert read(curator, f"/cities/boston-ma?as_of={moment}")["data"]["id"] == "boston-ma"
    assert brief(curator.get("/cities/boston-ma?as_of=2001-01-01T00:00:00Z"))[0] == 404
    assert brief(curator.get("/cities/boston-ma?as_of=603&include=awards"))[:2] == (400, "invalid-query")


def test_trim(curator: FlaskClient, database: Database) -> None:
    """What was cut is a 410 that says from where on there is a past; the feed, the digest and every cursor are as they were."""
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
    """A record's past is erased from the database, remembered answers too; others' is there, and all proofs hold."""
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
    assert [row["document"] is None for row in read(curator, "/changes?since=603&history=true")["data"]] == [True, False, True]


# --- everything at once


def verified_syncs(database: Database, app: Any, syncs: int, writers: int) -> None:
    """Sync again and again while others write, each third time from nothing; every copy proves itself at its own version."""
    over = threading.Event()

    def work(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - nothing is secret
        turn = 0
        while not over.is_set():
            turn += 1
            with database.writing() as session:
                id = f"w-{number}-{chance.randrange(6)}-zz"
                known = session.scalar(text("select count(*) from cities where id = :id"), {"id": id})
                change = (
                    "insert into cities (id, name, state, country) values (:id, :id, 'ZZ', 'US')"
                    if not known
                    else "delete from cities where id = :id"
                    if chance.random() < 0.3
                    else f"update cities set summary = 'Turn {turn}.' where id = :id"
                )
                session.execute(text(change), {"id": id})
                publish.publish(session)
                if chance.random() < 0.06:
                    session.rollback()

    client, cursor = app.test_client(), None
    copy: Copy = {}
    with ThreadPoolExecutor(writers) as pool:
        running = [pool.submit(work, number) for number in range(writers)]
        try:
            for sync in range(syncs):
                if sync % 3 == 0:
                    copy, cursor = {}, None
                cursor = follow(client, copy, f"/changes?cursor={cursor}&limit=10" if cursor else "/changes?since=0&limit=100")
                version = feed.Position.read(cursor)[0].version
                assert read(client, f"/digest?at={version}")["data"]["root"] == root(copy)
        finally:
            over.set()
    for future in running:
        future.result()
    with database.reading() as session:
        assert list(verify(session)) == []
        assert head.state(session).version > 603 + syncs


def test_verified_syncs(own_client: FlaskClient, database: Database) -> None:
    """Twelve syncs under 4 writers each end with a copy whose root is the server's at its version."""
    verified_syncs(database, own_client.application, 12, 4)


@pytest.mark.slow
def test_many_verified_syncs(own_client: FlaskClient, database: Database) -> None:
    """The same 200 times."""
    verified_syncs(database, own_client.application, 200, 4)


@configured(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["put", "delete", "patch", "sync"]), st.integers(0, 3)), min_size=5, max_size=25)
)
def test_any_order(curator: FlaskClient, steps: list[tuple[str, int]]) -> None:
    """Whatever is written in whatever order, a copy that follows equals one that begins anew, and both prove it."""
    copy: Copy = {}
    cursor = follow(curator, copy, "/changes?since=0")
    for verb, number in steps:
        path = f"/cities/s-{number}-zz"
        if verb == "put":
            curator.put(path, json=city(f"s-{number}-zz"), headers=ANY if curator.get(path).status_code == 200 else {})
        elif verb == "patch":
            curator.patch(path, json={"summary": str(number)}, headers=ANY)
        elif verb == "delete":
            curator.delete(path, headers=ANY)
        else:
            cursor = follow(curator, copy, f"/changes?cursor={cursor}&limit=2")
    follow(curator, copy, f"/changes?cursor={cursor}&limit=1")
    anew: Copy = {}
    follow(curator, anew, "/changes?since=0")
    assert copy == anew
    assert root(copy) == read(curator, "/digest")["data"]["root"]
