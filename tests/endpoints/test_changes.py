"""The feed: changes in commit order, waiting for them, and the cursors of its readers."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from api.db.database import Database
from api.ledger import epochs, feed, head, merkle
from api.ledger.cursors import Position
from api.ledger.models import EPOCH, Head
from api.ledger.verify import verify
from api.schema.canonical import canonical
from api.settings import Settings
from tests.support.answers import ANY, brief, read
from tests.support.applications import serving
from tests.support.copies import Copy, apply, city, follow, pages, root, undo, write
from tests.support.databases import publishing
from tests.support.editions import SEEDED

# --- the feed


def test_changes(curator: FlaskClient, database: Database) -> None:
    """A change says its version, commit, noun, id, what it did, why, when, its hash and the whole record."""
    record = curator.post("/cities?message=New.", json=city("fresno-ca", state="CA")).get_json()["data"]
    page = read(curator, f"/changes?since={SEEDED}")
    leaf = merkle.leaf("cities", "fresno-ca", canonical(record)).hex()
    with database.reading() as session:
        chain = head.chain_at(session, SEEDED + 1)
    assert page == {
        "data": [
            {
                "version": SEEDED + 1,
                "commit": SEEDED + 1,
                "kind": "cities",
                "id": "fresno-ca",
                "op": "upsert",
                "reason": "New.",
                "changed_at": record["updated_at"],
                "hash": leaf,
                "cursor": f"{SEEDED + 1:016d}-{SEEDED + 1:016d}-{chain.hex()[:16]}",
                "document": record,
            }
        ],
        "links": {"self": f"http://localhost/changes?since={SEEDED}", "next": None},
        "cursor": Position(SEEDED + 1).cursor(chain),
        "head": SEEDED + 1,
    }
    assert curator.delete("/cities/fresno-ca?message=Gone.", headers=ANY).status_code == 204
    (row,) = read(curator, f"/changes?cursor={page['cursor']}")["data"]
    expected = {"version": SEEDED + 2, "commit": SEEDED + 2, "op": "delete", "reason": "Gone.", "hash": None, "document": None}
    assert row == {**page["data"][0], **expected, "changed_at": row["changed_at"], "cursor": row["cursor"]}


def test_a_commit_is_never_split(curator: FlaskClient) -> None:
    """Pages are of whole commits, about as long as was asked for; a commit of more is a page of its own."""
    write(curator, "a-zz", "b-zz")
    operations = [{"op": "create", "kind": "cities", "document": city(f"c-{n}-zz")} for n in range(7)]
    assert curator.post("/changesets", json={"operations": operations}).status_code == 200
    write(curator, "d-zz")
    versions = [[row["version"] for row in page["data"]] for page in pages(curator, f"/changes?since={SEEDED}&limit=3")]
    assert versions == [[SEEDED + 1, SEEDED + 2], [*range(SEEDED + 3, SEEDED + 10)], [SEEDED + 10]]
    assert [len(page["data"]) for page in pages(curator, "/changes?since=0&limit=1")] == [SEEDED, 1, 1, 7, 1]


def test_first_load_has_no_tombstones(curator: FlaskClient) -> None:
    """Who begins with nothing hears of no record that was gone before; who was there hears of each."""
    write(curator, "a-zz", "b-zz", "c-zz")
    for id in ("a-zz", "b-zz"):
        curator.delete(f"/cities/{id}", headers=ANY)
    first = [row for page in pages(curator, "/changes?since=0&limit=1") for row in page["data"]]
    assert [row["op"] for row in first] == ["upsert"] * (SEEDED + 1)
    assert [row["op"] for row in read(curator, f"/changes?since={SEEDED + 1}")["data"]] == ["upsert", "delete", "delete"]


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
    assert [row["version"] for row in read(curator, f"/changes?since={SEEDED}")["data"]] == [SEEDED + 5]
    rows = read(curator, f"/changes?since={SEEDED}&history=true")["data"]
    assert [(row["version"], row["op"]) for row in rows] == [
        *((version, "upsert") for version in (SEEDED + 1, SEEDED + 2, SEEDED + 3)),
        (SEEDED + 4, "delete"),
        (SEEDED + 5, "upsert"),
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
    (row,) = read(curator, f"/changes/cities?since={SEEDED}")["data"]
    assert row == {**record, "changed_at": record["updated_at"], "deleted": False, "cursor": row["cursor"]}
    curator.delete("/cities/a-zz", headers=ANY)
    (row,) = read(curator, f"/changes/cities?since={SEEDED + 1}")["data"]
    expected = {"id": "a-zz", "version": SEEDED + 2, "changed_at": row["changed_at"], "deleted": True, "cursor": row["cursor"]}
    assert row == expected


def test_as_of(curator: FlaskClient) -> None:
    """The feed as of a version is what it was then: what came later is not in it."""
    write(curator, "a-zz", "b-zz")
    curator.patch("/cities/a-zz", json={"summary": "Later."}, headers=ANY)
    page = read(curator, f"/changes?since={SEEDED}&as_of={SEEDED + 2}")
    assert [(row["version"], row["document"]["summary"]) for row in page["data"]] == [(SEEDED + 1, None), (SEEDED + 2, None)]
    assert [row["version"] for row in read(curator, f"/changes?cursor={page['cursor']}")["data"]] == [SEEDED + 3]
    assert read(curator, f"/changes?cursor={page['cursor']}&as_of={SEEDED + 1}")["data"] == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=-1", "since"), ("since=x", "since"), (f"since={SEEDED}-{SEEDED}-0", "since"), ("limit=0", "limit"), ("limit=1001", "limit"),
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
    page = curator.get(f"/changes?since={SEEDED}")
    tag = {"If-None-Match": page.headers["ETag"]}
    assert curator.get(f"/changes?since={SEEDED}", headers=tag).status_code == 304
    assert curator.head(f"/changes?since={SEEDED}").headers["ETag"] == page.headers["ETag"]
    write(curator, "a-zz")
    assert curator.get(f"/changes?since={SEEDED}", headers=tag).status_code == 200


# --- waiting


def test_wait(curator: FlaskClient, database: Database) -> None:
    """A poll that waits answers when another process commits, within a second, and with nothing when its time is over."""
    began = threading.Event()
    plain = feed.page

    def noted(*arguments: Any) -> feed.Page:
        began.set()
        return plain(*arguments)

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "page", noted)
        waiting = pool.submit(curator.application.test_client().get, f"/changes?since={SEEDED}&wait=20")
        assert began.wait(20)
        with publishing(database) as session:
            session.execute(text("update cities set summary = 'Now.' where id = 'boston-ma'"))
        committed = time.monotonic()
        page = waiting.result(20).get_json()
    assert [row["version"] for row in page["data"]] == [SEEDED + 1]
    assert time.monotonic() - committed < 5
    assert read(curator, f"/changes?since={SEEDED + 1}&wait=1")["data"] == []


def test_waiters_harm_nobody(settings: Settings) -> None:
    """With no place left, a poll is answered at once, with news or without, and a wait for a version is a 503."""
    with serving(replace(settings, threads=2)) as app:
        client = app.test_client()
        assert app.extensions["waiters"].take("192.0.2.1")
        begun = time.monotonic()
        nothing = client.get(f"/changes?since={SEEDED}&wait=5")
        news = client.get(f"/changes?since={SEEDED - 1}&wait=5&min_version={SEEDED}")
        refused = client.get(f"/changes?since={SEEDED}&min_version={SEEDED + 1}")
        assert time.monotonic() - begun < 4
        assert (nothing.status_code, nothing.get_json()["data"]) == (200, [])
        assert (news.status_code, [row["version"] for row in news.get_json()["data"]]) == (200, [SEEDED])
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        # The control: with a place, the poll waits.
        app.extensions["waiters"].release("192.0.2.1")
        begun = time.monotonic()
        assert client.get(f"/changes?since={SEEDED}&wait=1&min_version={SEEDED}").get_json()["data"] == []
        assert time.monotonic() - begun >= 1


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
    before = read(curator, f"/changes?since={SEEDED}")["cursor"]
    write(curator, "a-zz", "b-zz")
    lost = read(curator, f"/changes?since={SEEDED}")["cursor"]
    undo(database, SEEDED)
    for path in (
        f"/changes?cursor={lost}",
        f"/changes?since={SEEDED + 2}",
        f"/digest?at={SEEDED + 2}",
        f"/snapshot?as_of={SEEDED + 2}",
        f"/cities/boston-ma?as_of={SEEDED + 2}",
    ):
        response = curator.get(path)
        assert (*brief(response)[:2], response.get_json()["restart"]) == (410, "cursor-diverged", "http://localhost/snapshot")
    write(curator, "c-zz", "d-zz")
    assert brief(curator.get(f"/changes?cursor={lost}"))[:2] == (410, "cursor-diverged")
    assert [row["id"] for row in read(curator, f"/changes?cursor={before}")["data"]] == ["c-zz", "d-zz"]


def test_integers_after_a_new_epoch(curator: FlaskClient, database: Database) -> None:
    """After a restore and `ledger new-epoch`, no number stands for two pasts: an integer that was lost is a 410 for ever."""
    write(curator, "a-zz", "b-zz")
    undo(database, SEEDED)
    with database.writing() as session:
        assert epochs.new_epoch(session) == 1
    assert brief(curator.get(f"/changes?since={SEEDED + 1}"))[:2] == (410, "cursor-diverged")
    write(curator, "c-zz", "d-zz")
    assert brief(curator.get(f"/changes?since={SEEDED + 1}"))[:2] == (410, "cursor-diverged")
    rows = read(curator, f"/changes?since={SEEDED}")["data"]
    assert [(row["version"], row["id"]) for row in rows] == [(EPOCH + 1, "c-zz"), (EPOCH + 2, "d-zz")]
    with database.reading() as session:
        assert list(verify(session)) == []


def test_another_origin_is_another_epoch(curator: FlaskClient, database: Database) -> None:
    """Where PostgreSQL has come to another cluster or timeline, the next commit begins a new epoch by itself; once."""
    with database.writing() as session:
        epochs.lock_head(session)
        known = session.scalar(select(Head.origin))
        assert (known is not None) == (database.engine.dialect.name == "postgresql")
        session.execute(text("update ledger_head set origin = '1-00000001'"))
    write(curator, "a-zz", "b-zz")
    with database.reading() as session:
        head = session.scalars(select(Head)).one()
    assert (head.epoch, head.version, head.origin) == (1, EPOCH + 2, known)


# --- the cursors of changes


@pytest.mark.parametrize("feed", ["/changes", "/changes/cities"])
def test_cursor_of_a_change(curator: FlaskClient, database: Database, feed: str) -> None:
    """The cursor of each change, as `cursor` or as `since`, continues after it; cursors sort as texts in the order of versions."""
    write(curator, "a-zz", "b-zz")
    with database.writing() as session:
        epochs.new_epoch(session)
    write(curator, "c-zz", "d-zz")
    rows = read(curator, f"{feed}?since={SEEDED - 2}&history=true")["data"]
    cursors = [row["cursor"] for row in rows]
    assert cursors == sorted(cursors)
    assert {len(cursor) for cursor in cursors} == {50}
    for number, cursor in enumerate(cursors, 1):
        for parameter in ("cursor", "since"):
            page = read(curator, f"{feed}?{parameter}={cursor}&limit=1")
            assert [row["version"] for row in page["data"]] == [row["version"] for row in rows[number : number + 1]]
    page = read(curator, f"{feed}?since={cursors[0]}&limit=1")
    assert read(curator, page["links"]["next"].removeprefix("http://localhost") + f"&since={cursors[0]}")["data"]
    status, _, items = brief(curator.get(f"{feed}?cursor={cursors[0]}&since={cursors[-1]}"))
    assert (status, [(item["parameter"], item["code"]) for item in items]) == (400, [("since", "not-together")])


@pytest.mark.parametrize("parameter", ["cursor", "since"])
def test_cursor_of_a_lost_change(curator: FlaskClient, database: Database, parameter: str) -> None:
    """The cursor of a lost change is a 410, whatever takes its place; that of a kept one still holds."""
    (kept,) = read(curator, f"/changes?since={SEEDED - 1}")["data"]
    write(curator, "a-zz", "b-zz")
    lost = read(curator, f"/changes?since={SEEDED}")["data"]
    undo(database, SEEDED)
    paths = [f"/changes?{parameter}={row['cursor']}" for row in lost]
    for new in ([], ["c-zz"], ["c-zz", "d-zz"]):
        write(curator, *new[-1:])
        assert {brief(curator.get(path))[:2] for path in paths} == {(410, "cursor-diverged")}
        assert [row["id"] for row in read(curator, f"/changes?{parameter}={kept['cursor']}")["data"]] == new


def test_cursor_in_the_middle_of_a_load(curator: FlaskClient, database: Database) -> None:
    """The cursor of a change depends on all that its page left out: if the change that superseded it is lost, it is a 410.

    The control: the number of the change misses the record, which is again as it was before.
    """
    write(curator, "a-zz", "b-zz")
    curator.patch("/cities/a-zz", json={"summary": "Lost."}, headers=ANY)
    page = read(curator, f"/changes?since={SEEDED}&limit=1")
    (row,) = page["data"]
    assert row["id"] == "b-zz"
    assert read(curator, f"/changes?since={row['cursor']}")["data"][0]["id"] == "a-zz"
    for as_of in (SEEDED, SEEDED + 2):
        assert brief(curator.get(f"/changes?cursor={row['cursor']}&as_of={as_of}"))[:2] == (400, "invalid-cursor")
    with database.writing() as session:
        session.execute(text(f"delete from revision where version = {SEEDED + 3}"))
        session.execute(text(f"update revision set superseded = null where superseded = {SEEDED + 3}"))
        chain = session.execute(text(f"select chain from revision where version = {SEEDED + 2}")).scalar_one()
        session.execute(text(f"update ledger_head set version = {SEEDED + 2}, chain = :chain"), {"chain": chain})
    assert brief(curator.get(f"/changes?since={row['cursor']}"))[:2] == (410, "cursor-diverged")
    assert read(curator, f"/changes?since={row['version']}")["data"] == []


def test_mutated_cursors(client: FlaskClient) -> None:
    """A cursor that was tampered with is a 400 or a 410, or the very position that it was."""
    mutate(client, 500)


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


def test_since_beside_a_cursor(curator: FlaskClient) -> None:
    """Who sends with a cursor where they began gets what the cursor alone gets; a later `since` is refused."""
    write(curator, "a-zz", "b-zz")
    cursor = read(curator, f"/changes/cities?since={SEEDED}&limit=1")["cursor"]
    expected = read(curator, f"/changes/cities?cursor={cursor}")
    answer = read(curator, f"/changes/cities?cursor={cursor}&since={SEEDED}")
    assert (answer["data"], answer["cursor"]) == (expected["data"], expected["cursor"])
    status, _, items = brief(curator.get(f"/changes/cities?cursor={cursor}&since={SEEDED + 2}"))
    assert (status, [(item["parameter"], item["code"]) for item in items]) == (400, [("since", "not-together")])
