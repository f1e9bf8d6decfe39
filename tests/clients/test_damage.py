"""Damage to a copy is found and mended, wherever it is."""

import json
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.answers import read
from tests.support.copies import city
from tests.support.editions import SEEDED
from tests.support.lengths import late
from tests.support.mirrors import Copy, JavaScriptCopy, Key, PythonCopy, bucket, is_equal, on_sqlite, published
from tests.support.watched import Watched


def flipped(chance: random.Random, text: str) -> bytes:
    """Flip one bit."""
    data = bytearray(text.encode())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def changed(chance: random.Random, text: str) -> str:
    """Change a letter of a text within a document, which is one still."""
    place = chance.choice([match.start(1) for match in re.finditer(r'":"[^"\\]*?([a-z])', text)])
    return text[:place] + ("x" if text[place] == "y" else "y") + text[place + 1 :]


def damages(chance: random.Random, rows: Mapping[Key, str], count: int, flip: Any) -> Iterator[tuple[dict[Key, Any], set[Key]]]:
    """Yield so many damages, each to records of its own: what to put where, and the records whose hashes that changes."""
    names = list(rows)
    chance.shuffle(names)
    for number in range(count):
        key, kind = names.pop(), number % 4
        if kind == 0:
            yield {key: flip(chance, rows[key])}, {key}
        elif kind == 1:
            yield {key: None}, {key}
        elif kind == 2:
            other = (key[0], f"{key[1]}-x")
            yield {other: rows[key]}, {other}
        else:
            other = next((name for name in names if name[0] == key[0]), (key[0], f"{key[1]}-y"))
            if other in rows:
                names.remove(other)
            yield {key: rows.get(other), other: rows[key]}, {key, other}


def damaged(server: Watched, copy: Copy, count: int, at_once: int) -> None:
    """Damage so many records of a copy, some at once: their buckets differ and no others, and they are mended."""
    version = copy.mirror(server.address)
    theirs = {kind: row["root"] for kind, row in read(server.curator, "/digest")["data"]["nouns"].items()}
    assert copy.hashes() == theirs
    flip, rows = flipped if isinstance(copy, PythonCopy) else changed, published(server.database)
    every = list(damages(random.Random(7), rows, count, flip))  # noqa: S311 - the same ones each time
    for start in range(0, count, at_once):
        some = every[start : start + at_once]
        copy.put({key: document for changes, _ in some for key, document in changes.items()})
        expected = {(key[0], bucket(key, rows)) for _, keys in some for key in keys}
        server.asked.clear()
        assert copy.verify(server.address, version) == len(expected)
        asked = {
            (path, prefix) for path, prefix in re.findall(r"/digest/(\w+)\?at=\d+(?:&prefix=(\w+))?", " ".join(server.asked))
        }
        assert asked == {(kind, prefix[:length]) for kind, prefix in expected for length in range(len(prefix) + 1)}
        assert copy.hashes() == theirs
    assert is_equal(server, copy)
    assert copy.verify(server.address, version) == 0


@on_sqlite
@pytest.mark.parametrize("count", [40, late(100)])
def test_damage(seeds: Watched, copy: Copy, count: int) -> None:
    """Of many records, flipped, dropped, doubled and reordered, each is found in its bucket, and all are mended."""
    damaged(seeds, copy, count, count // 2)


@pytest.mark.slow
@on_sqlite
def test_damage_by_and_by(server: Watched, copy: Copy) -> None:
    """The same of 1,000 records, a few at a time."""
    cities = [{"op": "create", "kind": "cities", "document": city(f"c-{number}-zz")} for number in range(1_000)]
    assert server.curator.post("/changesets", json={"operations": cities}).status_code == 200
    damaged(server, copy, 1_000, 25)


@on_sqlite
def test_records_of_no_noun(seeds: Watched, copy: Copy) -> None:
    """What a copy has of a noun that the server does not know is taken out, and nobody asks for it."""
    copy.mirror(seeds.address)
    text = json.dumps(city("a-zz"))
    if isinstance(copy, JavaScriptCopy):
        copy.node.run("store.records.set('mayors', new Map())")
    copy.put({("mayors", "a-zz"): text})
    seeds.paths()
    assert copy.verify(seeds.address, SEEDED) == 1
    assert seeds.paths() == ["/digest"]
    assert is_equal(seeds, copy)
