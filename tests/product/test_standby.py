"""The API on a standby that lags, and on one that asks its primary."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from api.settings import Settings
from api.web import keys
from api.webhooks import subscriptions
from tests.support.answers import ANY, Json, brief, read
from tests.support.copies import Copy, apply, city, follow, root, write
from tests.support.databases import opened
from tests.support.desk import Desk
from tests.support.processes import at_once
from tests.support.replication import DIVERGED, LATER, Pair, application, diverged, proof, refusal, version_of, whole

# --- a standby that lags

# Requests for a version that a standby lacks; it has `before`.
AHEAD = (
    "/changes?cursor={cursor}",
    "/changes?since={version}",
    "/changes?since={version}&history=true",
    "/changes?since={before}&as_of={version}",
    "/changes/cities?cursor={cursor}",
    "/digest?at={version}",
    "/digest/cities?at={version}",
    "/snapshot?as_of={version}",
    "/cities/boston-ma?as_of={version}",
    "/cities/{id}?as_of={version}",
)


@contextmanager
def lag(pair: Pair, client: FlaskClient, id: str) -> Iterator[list[str]]:
    """Keep the standby one commit behind, a new city; yields the requests for that commit."""
    pair.standby.catch_up(pair.primary)
    pair.standby.pause()
    try:
        before = version_of(client)
        write(client, id)
        cursor = read(client, f"/changes?since={before}")["cursor"]
        yield [path.format(cursor=cursor, version=before + 1, before=before, id=id) for path in AHEAD]
    finally:
        pair.standby.resume()


def test_standby_that_lags(pair: Pair) -> None:
    """A request for a version that a standby lacks is a 503 with `Retry-After`, never a 410; once replicated, a 200."""
    with application(pair.primary) as app, application(pair.standby) as follower:
        client, reader = pair.client(app), pair.client(follower)
        with lag(pair, client, "lagging-zz") as paths:
            for path in [*paths, f"{paths[0]}&wait=20"]:
                assert refusal(reader.get(path)) == LATER
            assert reader.get("/cities/lagging-zz").status_code == 404
        pair.standby.catch_up(pair.primary)
        answers = {path: whole(reader, path) for path in paths}
        assert answers == {path: whole(client, path) for path in paths}
        assert {status for status, _, _ in answers.values()} == {200}


def test_standby_that_asks_its_primary(pair: Pair) -> None:
    """With `PRIMARY_URL`, a standby answers for a missing version as its primary does; a version that never was is a 410."""
    with application(pair.primary) as app, application(pair.standby, asks=pair.primary.address) as follower:
        client, reader = pair.client(app), pair.client(follower)
        with lag(pair, client, "asking-zz") as paths:
            answers = {path: whole(reader, path) for path in paths}
            assert answers == {path: whole(client, path) for path in paths}
            assert {status for status, _, _ in answers.values()} == {200}
            for path, (_, _, tag) in answers.items():
                assert reader.get(path, headers={"If-None-Match": tag or ""}).status_code == 304
            # The rest is answered by the standby itself.
            assert reader.get("/cities/asking-zz").status_code == 404
            never = version_of(client) + 1
            for path in (f"/changes?since={never}", f"/digest?at={never}", f"/snapshot?as_of={never}"):
                assert diverged(reader, path) == DIVERGED


def test_standby_whose_primary_is_away(pair: Pair, tmp_path: Path) -> None:
    """When `PRIMARY_URL` is unreachable, a missing version is a 503, and other requests are answered."""
    nowhere = f"postgresql://postgres@/postgres?host={tmp_path}"
    with application(pair.primary) as app, application(pair.standby, asks=nowhere) as follower:
        reader = follower.test_client()
        with lag(pair, pair.client(app), "alone-zz") as paths:
            for path in paths:
                assert refusal(reader.get(path)) == LATER
            assert reader.get("/changes?since=0").status_code == 200


def test_standby_that_forwards_writes(pair: Pair) -> None:
    """With `PRIMARY_URL`, writes to a standby are made on its primary, under the same rules; the control is a refusal without."""
    city = {"id": "forwarded-zz", "name": "Forwarded", "state": "ZZ", "country": "US"}
    with application(pair.standby) as alone:
        client = pair.client(alone)
        assert client.post("/cities", json=city).status_code == client.get("/readyz?writes=true").status_code == 503
    with application(pair.standby, asks=pair.primary.address) as follower, application(pair.primary) as app:
        client, key = pair.client(follower), {"Idempotency-Key": "forwarded"}
        assert client.get("/readyz?writes=true").get_json()["writes"] == "ok"
        answers = [client.post("/cities", json=city, headers=key) for _ in range(2)]
        assert [(answer.status_code, answer.headers.get("Idempotent-Replayed")) for answer in answers] == [
            (201, None),
            (201, "true"),
        ]
        version = answers[0].get_json()["data"]["version"]
        assert client.get(f"/cities/forwarded-zz?min_version={version}").get_json()["data"]["name"] == "Forwarded"
        assert client.patch("/cities/forwarded-zz", json={"summary": "New."}, headers={"If-Match": '"nope"'}).status_code == 412
        assert client.delete("/cities/forwarded-zz", headers=ANY).status_code == 204
        assert pair.client(app).get("/cities/forwarded-zz").status_code == 410
        with opened(Settings(database_url=pair.primary.address)) as database, database.writing() as session:
            leaving = keys.issue(session, "leaving", ["write"], None)
        pair.standby.catch_up(pair.primary)
        pair.standby.pause()
        try:
            assert pair.client(app).delete("/keys/leaving").status_code < 300
            refused = client.patch("/cities/boston-ma", json={}, headers={**ANY, "Authorization": f"Bearer {leaving}"})
            assert refused.status_code == 401
        finally:
            pair.standby.resume()


def test_desk_on_a_standby(pair: Pair) -> None:
    """What was saved at the desk of a standby is there at once, and can be changed again, before the standby has it."""
    with application(pair.standby, asks=pair.primary.address, cache_mb=10) as follower:
        desk, path = Desk(follower.test_client(), pair.secret), "/edit/cities/desk-zz"
        pair.standby.catch_up(pair.primary)
        pair.standby.pause()
        try:
            answer = desk.send("/edit/cities/new", "save", id="desk-zz", name="Desk", state="ZZ", country="US")
            assert answer.status_code == 303
            for text in ("First.", "Second."):
                assert desk.send(path, "save", summary=text).status_code == 303
                assert text in desk.page(path)
            assert follower.test_client().get("/cities/desk-zz").status_code == 404
        finally:
            pair.standby.resume()


def test_pages_of_both(pair: Pair) -> None:
    """A reader with a page from the primary gets the next one from a standby that is as new, and never an older state."""
    with application(pair.primary) as app, application(pair.standby) as follower:
        client, reader = pair.client(app), pair.client(follower)
        write(client, "changed-zz", "deleted-zz", "same-zz")
        copy: Copy = {}
        with lag(pair, client, "late-zz"):
            client.patch("/cities/changed-zz", json={"summary": "Later."}, headers=ANY)
            client.delete("/cities/deleted-zz", headers=ANY)
            page = read(client, "/changes?since=0&limit=1")
            apply(copy, page)
            answer = reader.get(f"/changes?cursor={page['cursor']}&limit=1")
            assert (brief(answer)[:2], answer.headers["Retry-After"]) == ((503, "unavailable"), "5")
        pair.standby.catch_up(pair.primary)
        cursor = follow(reader, copy, f"/changes?cursor={page['cursor']}&limit=1")
        assert root(copy) == proof(reader)
        follow(client, copy, f"/changes?cursor={cursor}&limit=1")
        assert root(copy) == proof(client)


# --- writing to a standby

WRITES: tuple[tuple[str, str, Json | None], ...] = (
    ("POST", "/cities", city("written-zz")),
    ("POST", "/cities?dry_run=true", city("written-zz")),
    ("PUT", "/cities/written-zz", city("written-zz")),
    ("PATCH", "/cities/boston-ma", {"summary": "Written."}),
    ("DELETE", "/cities/boston-ma", None),
    ("POST", "/changesets", {"operations": [{"op": "create", "kind": "cities", "document": city("written-zz")}]}),
    ("POST", "/keys", {"name": "written", "scopes": ["write"]}),
    ("POST", "/keys/curator/rotate", None),
    ("DELETE", "/keys/curator", None),
    ("POST", "/webhooks", {"url": "https://example.org/written"}),
    ("POST", "/webhooks/{webhook}/resume", None),
    ("POST", "/webhooks/{webhook}/rotate", None),
    ("DELETE", "/webhooks/{webhook}", None),
)


@pytest.mark.parametrize("fresh", [False, True])
def test_writing_to_a_standby(pair: Pair, fresh: bool) -> None:  # noqa: FBT001 - pytest passes it
    """Every write to a standby is a 503 with a reason, on new and on used connections; the primary accepts it."""
    with application(pair.primary) as app, application(pair.standby) as follower:
        client, other = pair.client(app), pair.client(follower)
        with app.extensions["database"].writing() as session:
            webhook = subscriptions.subscribe(session, "https://example.org/hook").id
        pair.standby.catch_up(pair.primary)
        for method, path, body in WRITES:
            if fresh:
                refill(follower.extensions["database"])
            headers = {"If-Match": "*", "Idempotency-Key": path} if method in {"PATCH", "DELETE"} else {}
            answer = other.open(path.format(webhook=webhook), method=method, json=body, headers=headers)
            assert refusal(answer) == LATER
            assert answer.get_json()["detail"] != "The database cannot be reached."
        write(client, f"written-{fresh:d}-zz")


def refill(database: Database) -> None:
    """Fill the pool with unused connections."""
    database.engine.dispose()
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(database.engine.connect())


@pytest.mark.slow
def test_reading_from_a_standby_with_a_key(pair: Pair) -> None:
    """A key reads from a standby repeatedly, although a standby cannot record the key's last use."""
    with application(pair.standby) as follower:
        reader = pair.client(follower)
        for path in ("/readyz", "/cities", "/cities/boston-ma", "/changes?since=0", "/keys", "/webhooks") * 2:
            assert reader.get(path).status_code == 200, path


# --- an address that leads to several standbys


@pytest.mark.slow
def test_standbys_behind_one_address(pair: Pair, spare: Pair) -> None:
    """Of two standbys behind one address, one lags: no answer is older than `min_version`, and none stays in the cache."""
    for standby in (pair.standby, spare.standby):
        standby.catch_up(pair.primary)
    address = f"postgresql://postgres@/{pair.primary.database}?load_balance_hosts=random&host={pair.standby.folder},{spare.standby.folder}"
    with (
        application(pair.primary) as app,
        application(pair.standby, asks=pair.primary.address, database_url=address, cache_mb=64, cache_lag=0) as follower,
    ):
        client = pair.client(app)
        spare.standby.pause()
        write(client, "divided-zz")
        newest = version_of(client)
        pair.standby.catch_up(pair.primary)

        def ask(number: int) -> list[int]:
            reader = pair.client(follower)
            paths = [f"/cities?limit={number * 10 + turn + 1}&fields=name" for turn in range(10)]
            assert {reader.get(path).status_code for path in paths} == {200}
            return [read(reader, f"{path}&min_version={newest}")["meta"]["version"] for path in paths]

        # Many at once, so that the pool has connections to both.
        assert {version for versions in at_once(8, ask) for version in versions} == {newest}
        spare.standby.resume()
        spare.standby.catch_up(pair.primary)
        reader = pair.client(follower)
        assert {read(reader, f"/cities?limit={limit}&fields=name")["meta"]["version"] for limit in range(1, 81)} == {newest}
