"""Many writers at once, a server that is killed, and everything that can be done in any order."""

import itertools
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings as limits
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select, text

from api.db.database import Database
from api.editing import entries, imports
from api.editing.imports import ImportOptions
from api.ledger import publish
from api.ledger.models import Revision
from api.ledger.verify import verify
from api.settings import Settings
from api.web import keys
from tests.support.applications import curating, serving
from tests.support.databases import SQLITE_FIRST, Store, opened
from tests.support.lengths import examples
from tests.support.processes import Server, at_once

Json = dict[str, Any]
WRITERS, RECORDS, TURNS = 8, 5, 5


@pytest.fixture
def office(settings: Settings) -> Iterator[tuple[Flask, str]]:
    """An application, and a key that may write."""
    with serving(replace(settings, write_limit="1000000/minute", pool_size=20)) as app:
        with app.extensions["database"].writing() as session:
            secret = keys.issue(session, "curator", ["write"], None)
        yield app, f"Bearer {secret}"


def add(client: FlaskClient, authorization: str, path: str, token: str, *, careless: bool) -> None:
    """Add a token to a record's summary, reading it again for as long as others are faster."""
    while True:
        read = client.get(path)
        summary = f"{read.get_json()['data']['summary'] or ''} {token}".strip()
        headers = {"Authorization": authorization, "If-Match": "*" if careless else read.headers["ETag"]}
        answer = client.patch(path, json={"summary": summary}, headers=headers)
        if answer.status_code == 200:
            return
        assert answer.status_code == 412, answer.get_json()


PATHS = [f"/cities/{id}" for id in ("boston-ma", "seattle-wa", "san-diego-ca", "san-jose-ca", "sacramento-ca")]
ACKNOWLEDGED = sorted(f"w{number}.{turn}" for number in range(WRITERS) for turn in range(TURNS))


def tokens_after_race(office: tuple[Flask, str], *, careless: bool) -> list[str]:
    """Let 8 writers change 5 records, and return the tokens that are there in the end."""
    app, authorization = office

    def work(number: int) -> None:
        client, chance = app.test_client(), random.Random(number)  # noqa: S311 - nothing is secret
        for turn in range(TURNS):
            add(client, authorization, chance.choice(PATHS), f"w{number}.{turn}", careless=careless)

    at_once(WRITERS, work)
    client = app.test_client()
    return [
        token
        for path in PATHS
        for token in (client.get(path).get_json()["data"]["summary"] or "").split()
        if token[:1] == "w" and token[1:2].isdigit()
    ]


@SQLITE_FIRST
def test_control_careless_writers_overwrite(office: tuple[Flask, str]) -> None:
    """With `If-Match: *`, some acknowledged writes are lost: the test below can fail."""
    assert len(tokens_after_race(office, careless=True)) < len(ACKNOWLEDGED)


def test_nobody_overwrites_anybody(office: tuple[Flask, str]) -> None:
    """8 writers change 5 records: every acknowledged write is there, in order."""
    app, _ = office
    assert len(PATHS) == RECORDS
    assert sorted(tokens_after_race(office, careless=False)) == ACKNOWLEDGED
    with app.extensions["database"].reading() as session:
        for path in PATHS:
            revisions = session.scalars(select(Revision).where(Revision.id == path[8:]).order_by(Revision.version))
            said = [(json.loads(row.document or "")["summary"] or "").split() for row in revisions]
            # Each state is the one before with one token more.
            assert all(
                after[: len(before)] == before and len(after) == len(before) + 1
                for before, after in itertools.pairwise(said[1:])
            )
        assert list(verify(session)) == []


def test_fifty_at_once_are_one(office: tuple[Flask, str]) -> None:
    """50 concurrent requests with one key make one record and get equal answers; without a key, 49 are conflicts."""
    app, authorization = office

    def send(body: Json, **headers: str) -> list[tuple[int, bytes]]:
        answers = at_once(
            50, lambda _: app.test_client().post("/cities", json=body, headers={"Authorization": authorization, **headers})
        )
        return [(answer.status_code, answer.get_data()) for answer in answers]

    city = {"id": "fresno-ca", "name": "Fresno", "state": "CA", "country": "US"}
    answers = send(city, **{"Idempotency-Key": "once"})
    assert len(set(answers)) == 1
    assert answers[0][0] == 201
    other = send({**city, "id": "oakland-ca", "name": "Oakland"})
    assert sorted(status for status, _ in other) == [201, *[409] * 49]
    with app.extensions["database"].reading() as session:
        assert len(session.scalars(select(Revision).where(Revision.id == "fresno-ca")).all()) == 1
        assert list(verify(session)) == []


@pytest.mark.slow
@pytest.mark.campaign
def test_killed_sixty_times(settings: Settings) -> None:
    """A server is killed 60 times while 4 clients write and retry: no acknowledged write is lost, and none applied twice."""
    with opened(settings) as database:
        with database.writing() as session:
            secret = keys.issue(session, "curator", ["write"], None)
        server, over = Server(settings), threading.Event()
        acknowledged: list[list[str]] = [[] for _ in range(4)]

        def write(number: int) -> None:
            for turn in itertools.count():
                if over.is_set():
                    return
                id = f"w-{number}-{turn}"
                body = {"id": id, "city": "boston-ma", "title": id, "summary": "S", "status": "pilot"}
                headers = {
                    "Authorization": f"Bearer {secret}",
                    "Content-Type": "application/json",
                    "Idempotency-Key": str(uuid.UUID(int=turn, version=4)) + str(number),
                }
                status, answer = server.send("POST", "/initiatives", json.dumps(body).encode(), headers)
                assert status == 201, answer
                acknowledged[number].append(id)

        chance = random.Random(1)  # noqa: S311 - nothing is secret
        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(write, number) for number in range(4)]
            try:
                for _ in range(60):
                    before = sum(map(len, acknowledged))
                    while sum(map(len, acknowledged)) == before and not any(writer.done() for writer in writers):
                        time.sleep(0.01)
                    time.sleep(chance.random() / 5)
                    server.kill()
                    server.process = server.start()
            finally:
                over.set()
                for writer in writers:
                    writer.result(60)
                server.kill()
        ids = [id for ids_of_one in acknowledged for id in ids_of_one]
        assert len(ids) >= 60
        with database.reading() as session:
            revisions = session.scalars(select(Revision.id).where(Revision.id.like("w-%")).order_by(Revision.id)).all()
            assert sorted(ids) == sorted(revisions)
            assert list(verify(session)) == []


# --- anything in any order

IDS = ["a-ca", "b-ca", "c-ca"]
NAMES = ["A", "B", "C", "Ä"]
# The members of cities that no change here sends.
UNSENT: Json = {"aliases": [], "identifiers": [], "location": None}
SUMMARIES = st.sampled_from(["S", "T", None])


class Model(RuleBasedStateMachine):
    """A dictionary of cities and the same cities in the API, changed by every route."""

    fresh: Callable[[], Settings]
    folder: Path

    def __init__(self) -> None:
        """Create the expected state."""
        super().__init__()
        self.stack = ExitStack()
        self.there: dict[str, Json] = {}
        self.history: dict[str, list[Json | None]] = {id: [] for id in IDS}

    @initialize()
    def begin(self) -> None:
        """Start an application on a new database."""
        app = self.stack.enter_context(serving(replace(type(self).fresh(), write_limit="1000000/minute")))
        self.database: Database = app.extensions["database"]
        self.client = curating(app.test_client(), self.database)

    def teardown(self) -> None:
        """Compare the whole history, and close."""
        with self.database.reading() as session:
            for id, states in self.history.items():
                revisions = session.scalars(
                    select(Revision).where(Revision.kind == "cities", Revision.id == id).order_by(Revision.version)
                )
                assert [row.document and bare(json.loads(row.document)) for row in revisions] == states
            assert list(verify(session)) == []
        self.stack.close()

    def note(self, id: str, city: Json | None) -> None:
        """Record a record's new state."""
        city = city and {**UNSENT, **city}
        if city != self.there.get(id):
            self.history[id].append(city)
        if city is None:
            self.there.pop(id, None)
        else:
            self.there[id] = city

    def taken(self, id: str, name: str) -> bool:
        """Tell whether another city has this name."""
        return any(city["name"] == name for other, city in self.there.items() if other != id)

    @rule(id=st.sampled_from(IDS), name=st.sampled_from(NAMES), summary=SUMMARIES)
    def create(self, id: str, name: str, summary: str | None) -> None:
        """Create a record."""
        city = {"id": id, "name": name, "state": "CA", "country": "US", "state_capital": None, "summary": summary}
        answer = self.client.post("/cities", json=city)
        if id in self.there or self.taken(id, name):
            assert answer.status_code == 409
        else:
            assert answer.status_code == 201
            self.note(id, city)

    @rule(id=st.sampled_from(IDS), name=st.sampled_from(NAMES), known=st.booleans())
    def put(self, id: str, name: str, known: bool) -> None:  # noqa: FBT001 - hypothesis passes it
        """Replace a record, or create it."""
        city = {"id": id, "name": name, "state": "CA", "country": "US", "state_capital": True, "summary": None}
        headers = {"If-Match": self.client.get(f"/cities/{id}").headers["ETag"]} if known and id in self.there else {}
        answer = self.client.put(f"/cities/{id}", json=city, headers=headers)
        if id in self.there and not headers:
            assert answer.status_code == 428
        elif self.taken(id, name):
            assert answer.status_code == 409
        else:
            assert answer.status_code == (200 if id in self.there else 201)
            self.note(id, city)

    @rule(id=st.sampled_from(IDS), summary=SUMMARIES, stale=st.booleans())
    def patch(self, id: str, summary: str | None, stale: bool) -> None:  # noqa: FBT001 - hypothesis passes it
        """Change a member of a record."""
        tag = '"0.0.0-1"' if stale else self.client.get(f"/cities/{id}").headers.get("ETag", '"0.0.0-1"')
        answer = self.client.patch(f"/cities/{id}", json={"summary": summary}, headers={"If-Match": tag})
        if stale or id not in self.there:
            assert answer.status_code == 412
        else:
            assert answer.status_code == 200
            self.note(id, {**self.there[id], "summary": summary})

    @rule(id=st.sampled_from(IDS))
    def delete(self, id: str) -> None:
        """Delete a record."""
        answer = self.client.delete(f"/cities/{id}", headers={"If-Match": "*"})
        assert answer.status_code == (204 if id in self.there else 412)
        self.note(id, None)

    @rule(rows=st.dictionaries(st.sampled_from(IDS), st.sampled_from(NAMES), min_size=1))
    def load(self, rows: dict[str, str]) -> None:
        """Import a file."""
        cities = [
            {"id": id, "name": name, "state": "CA", "country": "US", "state_capital": None, "summary": None}
            for id, name in rows.items()
        ]
        path = type(self).folder / "cities.json"
        path.write_text(json.dumps(cities), encoding="utf-8")
        files, ids, faults = entries.read([path])
        imported = imports.load(self.database, files, ids, ImportOptions())
        after = {**{id: city["name"] for id, city in self.there.items()}, **rows}
        clash = len(set(after.values())) < len(after)
        assert (faults, bool(imported.faults)) == ([], clash)
        if not clash:
            for city in cities:
                self.note(str(city["id"]), city)

    @precondition(lambda self: self.there)
    @rule(chance=st.randoms(use_true_random=False), summary=st.sampled_from(["Raw", "S"]), swept=st.booleans())
    def raw(self, chance: random.Random, summary: str, swept: bool) -> None:  # noqa: FBT001 - hypothesis passes it
        """Change a record past the application."""
        id = chance.choice(sorted(self.there))
        with self.database.writing() as session:
            session.execute(text("update cities set summary = :summary where id = :id"), {"summary": summary, "id": id})
        if not swept:
            # A refused write leaves everything as it was, so it does not publish the change either.
            assert self.client.post("/cities", json={}).status_code == 422
            assert bare(self.client.get(f"/cities/{id}").get_json()["data"]) == self.there[id]
        publish.sweep(self.database)
        self.note(id, {**self.there[id], "summary": summary})

    @rule(first=st.sampled_from(IDS), second=st.sampled_from(IDS), name=st.sampled_from(NAMES))
    def changeset(self, first: str, second: str, name: str) -> None:
        """Delete one record and create another, together."""
        city = {"id": second, "name": name, "state": "CA", "country": "US", "state_capital": None, "summary": "C"}
        rows: Sequence[Json] = [
            {"op": "delete", "kind": "cities", "id": first, "if_match": "*"},
            {"op": "create", "kind": "cities", "document": city},
        ]
        answer = self.client.post("/changesets", json={"operations": rows})
        others = {id: record["name"] for id, record in self.there.items() if id != first}
        fine = first in self.there and first != second and second not in self.there and name not in others.values()
        assert (answer.status_code == 200) == fine, answer.get_json()
        if fine:
            self.note(first, None)
            self.note(second, city)

    @invariant()
    def agrees(self) -> None:
        """Served records equal the expected ones; a deleted record is a 410, an unknown one a 404."""
        if not hasattr(self, "client"):
            return
        served = self.client.get(f"/cities?id={','.join(IDS)}").get_json()["data"]
        assert {record["id"]: bare(record) for record in served} == self.there
        for id in IDS:
            expected = 200 if id in self.there else 410 if self.history[id] else 404
            assert self.client.get(f"/cities/{id}").status_code == expected


def bare(document: Json) -> Json:
    """Return a document without the members that only the server sets."""
    return {name: value for name, value in document.items() if name not in {"attributions", "basis", "version", "updated_at"}}


def machine(store: Store, migrated: Settings, folder: Path) -> type[Model]:
    """Return the machine on one kind of database."""
    return type("On" + store.dialect, (Model,), {"fresh": staticmethod(lambda: store.copy(migrated)), "folder": folder})


@pytest.mark.hypothesis
def test_any_order(store: Store, migrated: Settings, tmp_path: Path) -> None:
    """After any sequence of changes, documents, history and refusals match those of a dictionary."""
    few = limits(max_examples=examples(5), stateful_step_count=12, deadline=None)
    run_state_machine_as_test(machine(store, migrated, tmp_path), settings=few)


@pytest.mark.slow
@pytest.mark.campaign
def test_any_order_at_length(store: Store, migrated: Settings, tmp_path: Path) -> None:
    """The same, at length."""
    many = limits(max_examples=150, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(machine(store, migrated, tmp_path), settings=many)
