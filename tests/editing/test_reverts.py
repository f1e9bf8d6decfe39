"""Reverts: the opposite of a changeset, or the later changes that prevent it."""

import json
import random
import threading
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from api.db.database import Database
from api.editing import reverts
from api.editing.changes import checked
from api.editing.operations import Operation, Refused
from api.editing.writer import Writer
from api.errors import ProblemError
from api.ledger.retention import erase
from api.ledger.verify import verify
from api.resources import BY_NAME
from tests.support.answers import Json, brief, read
from tests.support.applications import curating
from tests.support.lengths import late
from tests.support.mirrors import initiative, published
from tests.support.records import FRESNO

Documents = dict[tuple[str, str], Json]
# What a random changeset does, and how often.
OPS = ("create", "create", "patch", "patch", "patch", "delete", "merge", "rename")
NOUNS = ("initiatives", "initiatives", "organizations", "priorities", "cities", "awards", "citations")


def documents(database: Database) -> Documents:
    """Return all documents without what each publication changes."""
    rows = {key: json.loads(text) for key, text in published(database).items()}
    return {key: {name: row[name] for name in row if name not in {"version", "updated_at"}} for key, row in rows.items()}


def commit(client: FlaskClient, *operations: Json, **more: Any) -> int:
    """Carry out a changeset, and return its version."""
    answer = client.post("/changesets", json={"operations": operations, **more})
    assert answer.status_code == 200, answer.get_json()
    number: int = answer.get_json()["meta"]["commit"]
    return number


def revert(client: FlaskClient, number: int, **headers: str) -> int:
    """Revert a changeset, and return the version of the revert."""
    answer = client.post(f"/changesets/{number}/revert", headers=headers)
    assert answer.status_code == 200, answer.get_json()
    made: int = answer.get_json()["meta"]["commit"]
    return made


def patch(id: str, kind: str = "cities", **members: Any) -> Json:
    """Return an operation that changes members."""
    return {"op": "patch", "kind": kind, "id": id, "if_match": "*", "document": members}


# --- random changesets


class Editor:
    """Makes random changesets; some of them are refused."""

    def __init__(self, client: FlaskClient, database: Database, seed: int) -> None:
        """Begin with a seed."""
        self.client, self.database, self.count = client, database, 0
        self.random = random.Random(seed)  # noqa: S311 - repeatable

    def commit(self) -> int | None:
        """Send a random changeset; returns its version, None if it was refused or changed nothing."""
        there = documents(self.database)
        rows = [row for row in (self.operation(there) for _ in range(self.random.choice((1, 1, 2, 5)))) if row]
        answer = self.client.post("/changesets", json={"operations": rows, "message": "Random."})
        assert answer.status_code in {200, 404, 409, 410, 412, 422}, answer.get_json()
        number: int | None = answer.get_json()["meta"]["commit"] if answer.status_code == 200 else None
        return number

    def operation(self, there: Documents) -> Json:
        """Return a random operation on a random record."""
        op, kind = self.random.choice(OPS), self.random.choice(NOUNS)
        id, other = (self.random.choice(self.ids(there, kind)) for _ in range(2))
        self.count += 1
        if op == "create":
            return {"op": op, "kind": "initiatives", "document": initiative(f"zz-{self.count}", **self.links(there))}
        if op in {"merge", "rename"}:
            return {"op": op, "kind": kind, "id": id, **({"into": other} if op == "merge" else {"to": f"zz-{self.count}-{id}"})}
        if op == "delete":
            return {"op": op, "kind": kind, "id": id, "if_match": "*"}
        members = self.links(there) if kind == "initiatives" else {"summary": f"S {self.count}."}
        return patch(id, kind, **({"basis": "inferred"} if kind == "citations" else members))

    def links(self, there: Documents) -> Json:
        """Return random lists of an initiative."""
        priorities = self.random.sample(self.ids(there, "priorities"), 3)
        partners = self.random.sample(self.ids(there, "organizations"), 2)
        rows = [{"organization": id, "role": "vendor"} for id in partners]
        return {"title": f"T {self.count}", "priorities": priorities, "partners": rows}

    def ids(self, there: Documents, kind: str) -> list[str]:
        """Return the ids of a noun, most of them of few records so that changesets meet."""
        ids = [id for noun, id in there if noun == kind]
        return sorted(ids)[:6] if self.random.random() < 0.7 else ids


@pytest.mark.parametrize("seed", [1, *(late(seed) for seed in range(2, 15))])
def test_reverts_of_the_last_changesets_bring_back_all(curator: FlaskClient, database: Database, seed: int) -> None:
    """After random changesets, reverts of the last ones, one by one, bring back every document but its version and time.

    So do reverts of these reverts.
    """
    editor = Editor(curator, database, seed)
    done: list[tuple[int, Documents]] = []
    while len(done) < 8:
        before = documents(database)
        if number := editor.commit():
            done.append((number, before))
    last, undone = documents(database), []
    for number, before in reversed(done):
        undone.append(revert(curator, number))
        assert documents(database) == before
    for number in reversed(undone):
        revert(curator, number)
    assert documents(database) == last
    with database.reading() as session:
        assert list(verify(session)) == []


# --- one by one


def test_a_revert_is_a_write(editor: FlaskClient, database: Database) -> None:
    """A revert has an author and a message, can be tried, is carried out once for a key, and needs the scopes of its nouns."""
    before = documents(database)
    number = commit(editor, patch("seattle-wa", summary="By a sound."))
    dry = editor.post(f"/changesets/{number}/revert?dry_run=true&message=Oops")
    real = editor.post(f"/changesets/{number}/revert?message=Oops", headers={"Idempotency-Key": "one"})
    again = editor.post(f"/changesets/{number}/revert?message=Oops", headers={"Idempotency-Key": "one"})
    assert dry.get_data() == real.get_data() == again.get_data()
    assert (real.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    made = read(editor, f"/changesets/{real.get_json()['meta']['commit']}")["data"]
    assert (made["author"], made["message"], len(made["changes"])) == ("curator", "Oops", 1)
    assert documents(database) == before
    assert (
        read(editor, f"/changesets/{revert(editor, made['version'])}")["data"]["message"]
        == f"Reverts changeset {made['version']}."
    )
    limited = curating(editor, database, "write:awards", name="limited")
    status, name, (item,) = brief(limited.post(f"/changesets/{number}/revert"))
    assert (status, name, item["allowed"]) == (403, "forbidden", ["write:cities"])


def test_later_changes_are_named(editor: FlaskClient) -> None:
    """A revert that would undo later changes is a 409 that names the changesets to revert first; once they are, it works."""
    first = commit(editor, patch("seattle-wa", summary="One."), patch("boston-ma", summary="One."))
    second = commit(editor, patch("seattle-wa", summary="Two."), message="Better.")
    third = commit(editor, patch("seattle-wa", summary="Three."))
    status, name, (item,) = brief(editor.post(f"/changesets/{first}/revert"))
    assert (status, name, item["code"], item["allowed"]) == (409, "conflict", "changed-later", [third, second])
    assert item["records"] == [{"kind": "cities", "id": "seattle-wa"}]
    assert f"in changeset {third} by `curator`" in item["detail"]
    for number in (third, second, first):
        revert(editor, number)
    assert brief(editor.post(f"/changesets/{first}/revert"))[2][0]["code"] == "changed-later"


def test_what_follows_by_itself_prevents_nothing(editor: FlaskClient) -> None:
    """A record that later changed only in members that others decide can go back."""
    number = commit(editor, patch("los-angeles-ca", summary="One."))
    cited = read(editor, "/citations?subject_id=los-angeles-ca&limit=1")["data"][0]
    commit(editor, patch(cited["id"], "citations", basis="inferred"))
    assert read(editor, "/cities/los-angeles-ca")["data"]["version"] > number
    revert(editor, number)


def test_later_references_prevent(editor: FlaskClient) -> None:
    """A record that is referred to, or cited, since cannot be taken back, and the refusal names what does."""
    number = commit(editor, {"op": "create", "kind": "cities", "document": FRESNO})
    citation = {
        "id": "zz",
        "subject_kind": "cities",
        "subject_id": "fresno-ca",
        "field": "/name",
        "basis": "stated",
        "source": "industry-insider-digital-cities-2024-part-1",
        "paragraph": 1,
        "sentence": 99,
        "sentence_sha256": "0" * 64,
    }
    cited = commit(editor, {"op": "create", "kind": "citations", "document": citation})
    item = brief(editor.post(f"/changesets/{number}/revert"))[2][0]
    assert (item["code"], item["allowed"]) == ("changed-later", [cited])
    revert(editor, cited)
    commit(editor, {"op": "create", "kind": "initiatives", "document": initiative("zz", city="fresno-ca")})
    item = brief(editor.post(f"/changesets/{number}/revert"))[2][0]
    assert (item["code"], item["records"]) == ("in-use", [{"kind": "initiatives", "id": "zz"}])


def test_versions_that_are_no_changesets(refused: FlaskClient) -> None:
    """A version within a commit, or none, is a 404, and so is an import that the commit is no piece of."""
    assert brief(refused.post("/changesets/2/revert"))[::2][1][0]["suggestion"] == "/changesets/1/revert"
    assert brief(refused.post("/changesets/999999/revert"))[0] == 404
    assert brief(refused.post("/changesets/1/revert?import_id=none"))[0] == 404


def test_an_erased_past_does_not_come_back(editor: FlaskClient, database: Database) -> None:
    """A changeset whose former documents were erased cannot be reverted."""
    number = commit(editor, patch("seattle-wa", summary="One."))
    with database.writing() as session:
        erase(session, "cities", "seattle-wa")
    assert brief(editor.post(f"/changesets/{number}/revert"))[2][0]["code"] == "history-trimmed"


def publish(database: Database, import_id: str, *documents: Json) -> None:
    """Publish cities as a piece of an import."""
    with database.writing() as session:
        writer = Writer(session)
        rows = [Operation(verb="merge", resource=BY_NAME["cities"], id=row["id"], body=row) for row in documents]
        writer.apply(checked(rows, Refused()))
        writer.publish(reason="import", author="importer", import_id=import_id)


def test_an_import_is_reverted_as_one(editor: FlaskClient, database: Database) -> None:
    """All pieces of an import are listed by its id, and reverted as one commit, also if one piece changed what another made."""
    before = documents(database)
    publish(database, "may", FRESNO)
    commit(editor, patch("boston-ma", summary="Meanwhile."))
    meanwhile = documents(database)[("cities", "boston-ma")]
    publish(
        database,
        "may",
        {**FRESNO, "summary": "S."},
        {"id": "seattle-wa", "name": "Seattle", "state": "WA", "country": "US", "summary": "T."},
    )
    pieces = read(editor, "/changesets?import_id=may")["data"]
    assert [(row["import_id"], row["author"]) for row in pieces] == [("may", "importer")] * 2
    answer = editor.post(f"/changesets/{pieces[0]['version']}/revert?import_id=may")
    assert answer.status_code == 200, answer.get_json()
    made = read(editor, f"/changesets/{answer.get_json()['meta']['commit']}")["data"]
    assert {(row["id"], row["effect"]) for row in made["changes"]} == {("fresno-ca", "deleted"), ("seattle-wa", "updated")}
    assert made["message"] == "Reverts the import may."
    assert documents(database) == {**before, ("cities", "boston-ma"): meanwhile}


# --- at once


@pytest.mark.parametrize("protected", [True, False])
def test_two_editors_and_a_revert_at_once(curator: FlaskClient, database: Database, *, protected: bool) -> None:
    """Edits that commit while a revert waits are never undone; the control plans its revert before it waits, and undoes one."""
    number = commit(curator, patch("seattle-wa", summary="One."), patch("san-jose-ca", summary="One."))
    with database.reading() as session:
        early = reverts.operations(session, [number])
    outcome: list[str] = []
    begun, waiting = threading.Event(), threading.Barrier(3)

    def undo() -> None:
        begun.wait()
        waiting.wait()
        with database.writing() as session:
            try:
                writer = Writer(session)
                writer.apply(reverts.operations(session, [number]) if protected else early)
                writer.publish(reason=None, author="undo")
                outcome.append("reverted")
            except ProblemError as error:
                session.rollback()
                outcome.append(error.name)

    def edit_another() -> None:
        waiting.wait()
        with database.writing() as session:
            replace(session, "boston-ma")

    def replace(session: Session, id: str) -> None:
        writer = Writer(session)
        begun.set()
        content = {**documents(database)["cities", id], "summary": "Two."}
        kept = {name: content[name] for name in BY_NAME["cities"].facts}
        writer.apply(checked([Operation(verb="replace", resource=BY_NAME["cities"], id=id, body=kept)], Refused()))
        writer.publish(reason=None, author="editor")

    threads = [threading.Thread(target=target) for target in (undo, edit_another)]
    for thread in threads:
        thread.start()
    with database.writing() as session:
        replace(session, "seattle-wa")
        # The others wait for the lock from here on.
        waiting.wait()
    for thread in threads:
        thread.join()
    kept = {id: read(curator, f"/cities/{id}")["data"]["summary"] == "Two." for id in ("seattle-wa", "boston-ma")}
    expected = (["conflict"], True) if protected else (["reverted"], False)
    assert (outcome, kept) == (expected[0], {"seattle-wa": expected[1], "boston-ma": True})
