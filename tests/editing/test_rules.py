"""Rules between records: parents make no circle, related records agree, and ties are mutual."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from tests.support.answers import ANY, Json, brief
from tests.support.applications import curating, serving
from tests.support.databases import SQLITE_FIRST, Store, opened, template
from tests.support.files import load, said, write
from tests.support.processes import at_once

IDS = ["zz-0", "zz-1", "zz-2"]
NOUNS = {
    "initiatives": {"city": "boston-ma", "summary": "S", "status": "pilot"},
    "organizations": {"type": "company"},
}
TITLES = {"initiatives": "title", "organizations": "name"}


def chain(kind: str, parents: list[str | None]) -> list[Json]:
    """Return three records with these parents."""
    return [{"id": id, TITLES[kind]: id, "parent": parent, **NOUNS[kind]} for id, parent in zip(IDS, parents, strict=True)]


def changeset(kind: str, op: str, rows: list[Json]) -> Json:
    """Return a changeset with one operation for each record."""
    match = {"if_match": "*"} if op == "patch" else {}
    return {"operations": [{"op": op, "kind": kind, "id": row["id"], "document": row, **match} for row in rows]}


@pytest.mark.parametrize("kind", NOUNS)
def test_no_circle_by_any_route(curator: FlaskClient, database: Database, tmp_path: Path, kind: str) -> None:
    """A circle of parents is a 422 that shows it, by PATCH, PUT, a changeset and an import; a chain is written."""
    chained = chain(kind, ["zz-1", "zz-2", None])
    assert curator.post("/changesets", json=changeset(kind, "create", chained)).status_code == 200
    circle = {**chained[2], "parent": "zz-0"}
    for answer in (
        curator.patch(f"/{kind}/zz-2", json={"parent": "zz-0"}, headers=ANY),
        curator.put(f"/{kind}/zz-2", json=circle, headers=ANY),
        curator.post("/changesets", json=changeset(kind, "patch", [{"id": "zz-2", "parent": "zz-0"}])),
    ):
        status, name, (item,) = brief(answer)
        assert (status, name, item["code"], item["pointer"].rpartition("/")[2]) == (422, "invalid-body", "circle", "parent")
        assert item["detail"].endswith("part of itself: `zz-2` > `zz-0` > `zz-1` > `zz-2`.")
    (line,) = said(load(database, write(tmp_path, f"{kind}.json", [circle])), tmp_path)
    assert line.startswith(f"{kind}.json:1: parent: ")
    # A changeset may turn the chain round.
    turned = [{"id": id, "parent": parent} for id, parent in zip(IDS, [None, "zz-0", "zz-1"], strict=True)]
    assert curator.post("/changesets", json=changeset(kind, "patch", turned)).status_code == 200


@pytest.mark.parametrize("kind", NOUNS)
def test_no_circle_of_new_records(curator: FlaskClient, database: Database, tmp_path: Path, kind: str) -> None:
    """Records that are created together make no circle either, and each is named."""
    circle = chain(kind, ["zz-1", "zz-2", "zz-0"])
    _, name, items = brief(curator.post("/changesets", json=changeset(kind, "create", circle)))
    assert (name, [item["pointer"] for item in items]) == (
        "invalid-body",
        [f"/operations/{n}/document/parent" for n in range(3)],
    )
    assert len(said(load(database, write(tmp_path, f"{kind}.json", circle)), tmp_path)) == 3


@SQLITE_FIRST
def test_a_long_chain_is_no_circle(curator: FlaskClient) -> None:
    """A thousand records, each the parent of the next, are checked at once; the control: the last closes the circle."""
    row = {"op": "create", "kind": "organizations"}
    rows = [
        {**row, "document": {"id": f"zz-{n}", "name": f"{n}", "type": "company", "parent": f"zz-{n + 1}"}} for n in range(999)
    ]
    for parent, status in ((None, 200), ("zz-0", 422)):
        last = {**row, "document": {"id": "zz-999", "name": "999", "type": "company", "parent": parent}}
        answer = curator.post("/changesets?dry_run=true", json={"operations": [*rows, last]})
        assert answer.status_code == status
        assert status == 200 or len(answer.get_data()) < 100_000


def circles(database: Database) -> int:
    """Return how many of two records are each other's parents."""
    with database.reading() as session:
        statement = "select count(*) from organizations a join organizations b on a.parent_id = b.id and b.parent_id = a.id"
        return int(session.scalar(text(statement)) or 0)


def test_two_at_once_make_no_circle(curator: FlaskClient, database: Database) -> None:
    """Of two requests at the same time that would make a circle together, one is refused."""
    rows = chain("organizations", [None, None, None])
    curator.post("/changesets", json=changeset("organizations", "create", rows))
    for _ in range(8):
        for id in IDS:
            curator.patch(f"/organizations/{id}", json={"parent": None}, headers=ANY)

        def send(number: int) -> int:
            client = curator.application.test_client()
            client.environ_base = curator.environ_base
            body = {"parent": IDS[1 - number]}
            return client.patch(f"/organizations/{IDS[number]}", json=body, headers=ANY).status_code

        assert sorted(at_once(2, send)) == [200, 422]
        assert circles(database) == 0


def test_control_without_the_lock_two_make_a_circle(scratch: Path, postgresql: str) -> None:
    """Without the lock of the ledger's head, each of two transactions sees no circle, and both together make one."""
    store = Store("postgresql", scratch, postgresql)
    with opened(store.copy(template(store))) as database:
        with serving(database.settings) as app:
            client = curating(app.test_client(), database)
            client.post("/changesets", json=changeset("organizations", "create", chain("organizations", [None] * 3)))
        with database.writing() as one, database.writing() as other:
            for session, id, parent in ((one, "zz-0", "zz-1"), (other, "zz-1", "zz-0")):
                session.execute(
                    text("update organizations set parent_id = :parent where id = :id"), {"id": id, "parent": parent}
                )
                above = session.scalar(text("select parent_id from organizations where id = :id"), {"id": parent})
                assert above is None
        assert circles(database) == 2


SACRAMENTO, BOSTON = "digital-cities-2024-sacramento-ca", {"city": "boston-ma", "title": "T", "summary": "S", "status": "pilot"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"parent": "los-angeles-ca-myla311"}, "/parent"), ({"awards": [SACRAMENTO]}, "/awards")],
)
def test_an_initiative_is_of_one_city(refused: FlaskClient, body: Json, pointer: str) -> None:
    """A parent in another city, or another city's award, is a 422."""
    status, name, (item,) = brief(refused.post("/initiatives", json={"id": "zz", **BOSTON, **body}))
    assert (status, name, item["code"], item["pointer"]) == (422, "invalid-body", "disagrees", pointer)
    assert "boston-ma" in item["detail"]


def test_a_city_does_not_change_under_its_initiatives(editor: FlaskClient) -> None:
    """An award that moves to another city is a 409 that names its initiatives; a parent that moves, those below it."""
    status, _, items = brief(editor.patch(f"/awards/{SACRAMENTO}", json={"city": "boston-ma"}, headers=ANY))
    assert (status, {item["code"] for item in items}, {item["pointer"] for item in items}) == (409, {"disagrees"}, {"/city"})
    answer = brief(editor.patch("/initiatives/los-angeles-ca-myla311", json={"city": "boston-ma", "awards": []}, headers=ANY))
    assert answer[0] == 409
    # In one changeset, a parent and its child move together.
    rows = [
        {"id": id, "title": id, "parent": parent, **NOUNS["initiatives"]} for id, parent in (("zz-0", None), ("zz-1", "zz-0"))
    ]
    assert editor.post("/changesets", json=changeset("initiatives", "create", rows)).status_code == 200
    moved = [{"id": row["id"], "city": "seattle-wa"} for row in rows]
    assert editor.post("/changesets", json=changeset("initiatives", "patch", moved[:1])).status_code == 409
    assert editor.post("/changesets", json=changeset("initiatives", "patch", moved[1:])).status_code == 422
    assert editor.post("/changesets", json=changeset("initiatives", "patch", moved)).status_code == 200


@pytest.mark.parametrize(
    ("placings", "status"),
    [
        ([(1, False)], 422),
        ([(2, False)], 422),
        ([(5, True)], 422),
        ([(5, False), (5, False)], 422),
        ([(5, True), (5, False)], 422),
        ([(5, True), (5, True)], 200),
        ([(5, None), (5, True)], 200),
        ([(5, None), (5, None)], 200),
        ([(2, True)], 200),
        ([(5, False)], 200),
        # No source says whether the first place is shared.
        ([(1, True)], 200),
        ([(5, None)], 200),
    ],
)
def test_ties_are_mutual(curator: FlaskClient, placings: list[tuple[int, bool | None]], status: int) -> None:
    """Two untied awards in one place, and a lone tie, are a 422 at `/tied`; what no source says may stay null."""
    category = {"survey": "digital-cities-2024", "category": "500000-or-more"}
    awards: list[Json] = [
        {"id": f"zz-{city}", "city": city, "rank": rank, "tied": tied, **category}
        for city, (rank, tied) in zip(("boston-ma", "seattle-wa"), placings, strict=False)
    ]
    answer = curator.post("/changesets?dry_run=true", json=changeset("awards", "create", awards))
    assert answer.status_code == status
    if status != 200:
        assert {item["pointer"].rpartition("/")[2] for item in answer.get_json()["errors"]} == {"tied"}


def test_a_tie_is_not_left_alone(editor: FlaskClient) -> None:
    """An award that leaves a tie of two is a refusal that names the other, unless the same changeset unties it."""
    one, other = "digital-cities-2024-los-angeles-ca", "digital-cities-2024-san-jose-ca"
    status, _, (item,) = brief(editor.patch(f"/awards/{other}", json={"rank": 3, "tied": False}, headers=ANY))
    assert (status, item["records"]) == (409, [{"kind": "awards", "id": one}])
    rows = [{"id": one, "tied": False}, {"id": other, "rank": 3, "tied": False}]
    assert editor.post("/changesets", json=changeset("awards", "patch", rows)).status_code == 200
