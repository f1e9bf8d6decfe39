"""Copies of some cities or surveys stay true while records move, go, return and are erased."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from api.ledger.verify import verify
from tests.support.answers import Json, read
from tests.support.copies import Copy, apply, follow, pages
from tests.support.databases import publishing
from tests.support.lengths import few
from tests.support.parts import PARTS, begin, part, turn, world_of


@dataclass
class Mirror:
    """A copy of a part, which reads now and then, and not always to the end."""

    client: FlaskClient
    query: str
    chance: random.Random
    takes_tombstones: bool = True
    copy: Copy = field(default_factory=dict)
    cursor: str | None = None

    def read(self, most: int | None = None) -> None:
        """Read at most ``most`` pages, and maybe only some changes of the last one."""
        if self.cursor is None and self.chance.random() < 0.5:
            self._load()
        begin = "since=0" if self.cursor is None else f"cursor={self.cursor}"
        limit = self.chance.choice([1, 2, 5, 1000])
        for page in islice(pages(self.client, f"/changes?{begin}&limit={limit}&{self.query}"), most):
            rows, self.cursor = page["data"], page["cursor"]
            if most and rows and self.chance.random() < 0.3:
                rows = rows[: self.chance.randrange(1, len(rows) + 1)]
                self.cursor = rows[-1]["cursor"]
            apply(self.copy, {"data": [row for row in rows if self.takes_tombstones or row["op"] == "upsert"]})
            if rows is not page["data"]:
                break

    def _load(self) -> None:
        first, *rows = snapshot(self.client, self.query)
        assert first["count"] == len(rows)
        self.copy, self.cursor = {(row["kind"], row["id"]): row["document"] for row in rows}, first["cursor"]


def snapshot(client: FlaskClient, query: str) -> list[Json]:
    """Return the lines of a snapshot."""
    answer = client.get(f"/snapshot?{query}")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def mirrored(client: FlaskClient, database: Database, seed: int, turns: int, *, takes_tombstones: bool = True) -> list[Mirror]:
    """Return mirrors that read to the end, after a random sequence of commits and partial reads."""
    chance = random.Random(seed)  # noqa: S311 - nothing is secret
    mirrors = [Mirror(client, query, chance, takes_tombstones) for query in PARTS]
    past: Mapping[str, Copy] = {}
    with publishing(database) as session:
        begin(session)
    for _ in range(turns):
        if turn(database, chance):
            past = {}
        if chance.random() < 0.2:
            now, world = read(client, "/digest")["data"]["version"], world_of(database)
            past = {f"{query}&as_of={now}": part(world, query) for query in PARTS}
        if chance.random() < 0.7:
            chance.choice(mirrors).read(chance.randrange(1, 3))
    for query, expected in past.items():
        _, *rows = snapshot(client, query)
        assert {(row["kind"], row["id"]): row["document"] for row in rows} == expected
    for mirror in mirrors:
        mirror.read()
    return mirrors


@pytest.mark.parametrize("seed", few(range(12), 0))
def test_mirrors_of_parts(own_client: FlaskClient, database: Database, seed: int) -> None:
    """However records move and readers stop, each copy of a part ends as that part of the whole; so does a new one."""
    mirrors = mirrored(own_client, database, seed, 20)
    world = world_of(database)
    for mirror in mirrors:
        expected = part(world, mirror.query)
        assert mirror.copy == expected
        for more in ("", "&history=true"):
            new: Copy = {}
            follow(own_client, new, f"/changes?since=0&limit=7&{mirror.query}{more}")
            assert new == expected
        assert {(row["kind"], row["id"]): row["document"] for row in snapshot(own_client, mirror.query)[1:]} == expected
    with database.reading() as session:
        assert list(verify(session)) == []


def test_control_without_tombstones_mirrors_differ(own_client: FlaskClient, database: Database) -> None:
    """The control: copies that ignore deletions keep records that left."""
    mirrors = mirrored(own_client, database, 0, 20, takes_tombstones=False)
    world = world_of(database)
    assert [mirror.query for mirror in mirrors if mirror.copy != part(world, mirror.query)] != []
