"""The two clients that keep a copy: complete, proved, mended, and begun again, whatever the network and the server do."""

import ast
import gzip
import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st
from sqlalchemy import select
from werkzeug import Request, Response

from api.db.database import Database
from api.ledger import merkle
from api.ledger.models import CURRENT, Revision
from api.schema.canonical import canonical
from api.schema.fields import MAX_INTEGER
from api.settings import Settings
from api.web import keys
from tests.support.answers import ANY, Json, read
from tests.support.applications import serving
from tests.support.copies import city, undo, write
from tests.support.databases import Store, opened
from tests.support.mirrors import CLIENT, FIGURES, JAVASCRIPT, PYTHON, TEXTS, initiative
from tests.support.node import Node, NodeError
from tests.support.processes import Server, unused_port
from tests.support.watched import Answer, Watched, as_it_is, watching

Key = tuple[str, str]
# What a client raises that gives up.
GAVE_UP = (OSError, ValueError, EOFError, HTTPException, NodeError)
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture
def server(settings: Settings) -> Iterator[Watched]:
    """The server, on this test's own database."""
    with watching(settings) as server:
        yield server


@pytest.fixture(scope="module")
def shared_server(store: Store, migrated: Settings) -> Iterator[Watched]:
    """One for all tests that do not write."""
    with watching(store.copy(migrated)) as server:
        yield server


@pytest.fixture
def seeds(shared_server: Watched) -> Watched:
    """The same, as if nobody had asked anything."""
    shared_server.asked.clear()
    shared_server.fault = as_it_is
    return shared_server


class Copy(Protocol):
    """A copy that one of the clients keeps."""

    def mirror(self, url: str, **options: Any) -> int:
        """Bring it up to date."""

    def verify(self, url: str, version: int) -> int:
        """Prove it, and mend it."""

    def root(self) -> str:
        """Return its root."""

    def cursor(self) -> str | None:
        """Return where it is."""

    def records(self) -> dict[Key, Json]:
        """Return what it has."""

    def hashes(self) -> dict[str, list[str]]:
        """Return the hashes of its buckets."""

    def put(self, rows: Mapping[Key, str | None]) -> None:
        """Change documents behind the client's back."""


class PythonCopy:
    """In a file, by the Python client."""

    def __init__(self, file: Path) -> None:
        """Open the file."""
        self.file, self.store = file, CLIENT.SQLiteStore(file)

    def mirror(self, url: str, **options: Any) -> int:
        """Bring it up to date."""
        found: int = CLIENT.mirror(url, self.store, **options)
        return found

    def verify(self, url: str, version: int) -> int:
        """Prove it, and mend it."""
        found: int = CLIENT.verify(url, self.store, version)
        return found

    def root(self) -> str:
        """Return its root."""
        found: str = CLIENT.root(self.store)
        return found

    def cursor(self) -> str | None:
        """Return where it is."""
        found: str | None = self.store.cursor()
        return found

    def records(self) -> dict[Key, Json]:
        """Return what it has."""
        return {(kind, id): json.loads(text) for kind in self.store.kinds() for id, text in self.store.records(kind)}

    def hashes(self) -> dict[str, list[str]]:
        """Return the hashes of its buckets."""
        found = {kind: CLIENT.buckets(kind, self.store.records(kind)) for kind in self.store.kinds()}
        return {kind: [sha256.hex() for sha256 in buckets] for kind, buckets in found.items()}

    def put(self, rows: Mapping[Key, str | bytes | None]) -> None:
        """Change documents behind the client's back."""
        for key, document in rows.items():
            self.store.db.execute("delete from record where kind = ? and id = ?", key)
            if document is not None:
                self.store.db.execute("insert into record values (?, ?, cast(? as text))", (*key, document))


class JavaScriptCopy:
    """In the memory of a process of Node, by the JavaScript client."""

    def __init__(self, node: Node) -> None:
        """Hold the process."""
        self.node = node

    def mirror(self, url: str, **options: Any) -> int:
        """Bring it up to date."""
        found: int = self.node.run("return client.mirror(given[0], store, given[1])", [url, options])
        return found

    def verify(self, url: str, version: int) -> int:
        """Prove it, and mend it."""
        found: int = self.node.run("return client.verify(given[0], store, given[1])", [url, version])
        return found

    def root(self) -> str:
        """Return its root."""
        found: str = self.node.run("return client.root(store)")
        return found

    def cursor(self) -> str | None:
        """Return where it is."""
        found: str | None = self.node.run("return store.cursor()")
        return found

    def records(self) -> dict[Key, Json]:
        """Return what it has."""
        rows = self.node.run("return [...store.records].flatMap(([kind, rows]) => [...rows].map((row) => [kind, ...row]))")
        return {(kind, id): document for kind, id, document in rows}

    def hashes(self) -> dict[str, list[str]]:
        """Return the hashes of its buckets."""
        found: dict[str, list[str]] = self.node.run(
            "const found = {};"
            "for (const kind of await store.kinds()) found[kind] = (await client.buckets(kind, await store.all(kind))).map(client.hex);"
            "return found;"
        )
        return found

    def put(self, rows: Mapping[Key, str | None]) -> None:
        """Change documents behind the client's back."""
        self.node.run(
            "for (const [kind, id, text] of given) {"
            "  if (text === null) store.records.get(kind).delete(id);"
            "  else store.records.get(kind).set(id, JSON.parse(text));"
            "}",
            [[*key, document] for key, document in rows.items()],
        )


@pytest.fixture(params=["python", "javascript"])
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copy]:
    """An empty copy; every test that asks for it runs with each client."""
    if request.param == "python":
        copy = PythonCopy(tmp_path / "copy.sqlite3")
        yield copy
        copy.store.db.close()
    else:
        with Node(JAVASCRIPT) as node:
            yield JavaScriptCopy(node)


@pytest.fixture
def node() -> Iterator[Node]:
    """A process of Node with the JavaScript client."""
    with Node(JAVASCRIPT) as node:
        yield node


def published(database: Database) -> dict[Key, str]:
    """Return the bytes of every document, as the server has them."""
    with database.reading() as session:
        return {(row.kind, row.id): row.document or "" for row in session.scalars(select(Revision).where(*CURRENT))}


def is_equal(server: Watched, copy: Copy) -> bool:
    """Tell whether a copy has what the server has, and both have one root for it."""
    theirs = {key: json.loads(text) for key, text in published(server.database).items()}
    return copy.records() == theirs and copy.root() == read(server.curator, "/digest")["data"]["root"]


# --- the whole


def kept(url: str, send: Callable[..., Any], copies: Sequence[Copy]) -> None:
    """Keep copies while everything happens that can happen to a record: they are equal to the server and to each other."""

    def check() -> None:
        theirs = send("GET", "/digest")["data"]
        for copy in copies:
            assert (copy.mirror(url, limit=2), copy.root()) == (theirs["version"], theirs["root"])
        first, *others = (copy.records() for copy in copies)
        assert [*others] == [first] * len(others)
        assert len(first) == theirs["count"]

    check()
    for id in ("a-zz", "b-zz", "c-zz"):
        send("POST", "/cities", city(id))
    check()
    send("PATCH", "/cities/a-zz", {"summary": "Changed."})
    send("DELETE", "/cities/b-zz")
    send("DELETE", "/cities/c-zz")
    check()
    for id in ("b-zz", "c-zz"):
        send("POST", "/cities", city(id))
    send("DELETE", "/cities/c-zz")
    check()


def test_both_clients(server: Watched, tmp_path: Path, node: Node) -> None:
    """Both copies are equal to the server and to each other, from nothing, and after everything that can happen."""

    def send(method: str, path: str, body: Json | None = None) -> Any:
        answer = server.curator.open(path, method=method, json=body, headers=ANY if method in {"PATCH", "DELETE"} else {})
        assert answer.status_code in {200, 201, 204}, answer.get_json()
        return answer.get_json(silent=True)

    python = PythonCopy(tmp_path / "copy.sqlite3")
    kept(server.address, send, [python, JavaScriptCopy(node)])
    python.store.db.close()


@pytest.mark.slow
def test_both_clients_of_a_real_server(settings: Settings, tmp_path: Path, node: Node) -> None:
    """The same of the server as it is run, in processes of its own."""
    with opened(settings) as database, database.writing() as session:
        secret = keys.issue(session, "curator", ["write"], None)
    server, python = Server(settings), PythonCopy(tmp_path / "copy.sqlite3")
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

    def send(method: str, path: str, body: Json | None = None) -> Any:
        more = ANY if method in {"PATCH", "DELETE"} else {}
        status, answer = server.send(method, path, json.dumps(body).encode() if body else b"", {**headers, **more})
        assert status in {200, 201, 204}, answer
        return json.loads(answer) if answer else None

    try:
        send("GET", "/livez")
        kept(f"http://127.0.0.1:{server.port}", send, [python, JavaScriptCopy(node)])
    finally:
        server.kill()
        python.store.db.close()


def test_short_and_independent() -> None:
    """Each client is one file of less than 150 lines that needs nothing else."""
    assert max(len(file.read_text(encoding="utf-8").splitlines()) for file in (PYTHON, JAVASCRIPT)) < 150
    statements = [node for node in ast.walk(ast.parse(PYTHON.read_text(encoding="utf-8"))) if isinstance(node, ast.Import)]
    assert {name.name.split(".")[0] for node in statements for name in node.names} <= sys.stdlib_module_names
    assert not re.search(r"\bimport\b|\brequire\b|\bprocess\b", JAVASCRIPT.read_text(encoding="utf-8"))


@on_sqlite
def test_any_store_will_do(seeds: Watched) -> None:
    """The Python client keeps its copy in any object that has the methods of its own store."""

    class Lists:
        """Keeps rows in a list."""

        position: str | None = None

        def __init__(self) -> None:
            """Begin with nothing."""
            self.rows: list[tuple[str, str, str]] = []

        def cursor(self) -> str | None:
            """Return where it is."""
            return self.position

        def save(self, cursor: str | None, changes: Iterable[tuple[str, str, Json | None]], clear: Any = ()) -> None:
            """Write changes."""
            new = {(kind, id): document for kind, id, document in changes}
            self.rows = [
                row for row in self.rows if clear is not None and row[:2] not in new and (row[0], bucket(row[:2])) not in clear
            ] + [(*key, CLIENT.canonical(document)) for key, document in new.items() if document is not None]
            self.position = cursor

        def kinds(self) -> list[str]:
            """Return the nouns."""
            return sorted({kind for kind, _, _ in self.rows})

        def records(self, noun: str) -> list[tuple[str, str]]:
            """Return a noun's records."""
            return sorted((id, text) for kind, id, text in self.rows if kind == noun)

    store = Lists()
    assert CLIENT.mirror(seeds.address, store) == 603
    # A record that is twice in it is one too many.
    row = store.rows[17]
    store.rows.append(row)
    assert CLIENT.verify(seeds.address, store, 603) == 1
    assert (store.rows.count(row), len(store.rows), CLIENT.verify(seeds.address, store, 603)) == (1, 603, 0)


def test_nasty_records(server: Watched, node: Node, tmp_path: Path) -> None:
    """For every text and figure that the API takes, the server and both clients have the same bytes and the same leaf."""
    long = "".join(TEXTS) * 40
    documents = [initiative(f"t-{number}", title=f"{number}{text}", summary=text) for number, text in enumerate(TEXTS)]
    documents.append(initiative("long", title=long[:400], summary=long[:20_000]))
    marks = [f"MARK{number}" for number in range(len(FIGURES))]
    figures = [{"name": mark, "value": mark, "unit": TEXTS[n], "qualifier": "exactly"} for n, mark in enumerate(marks)]
    documents.append(initiative("figures", metrics=figures))
    body = json.dumps({"operations": [{"op": "create", "kind": "initiatives", "document": row} for row in documents]})
    # As they are written, which no language's numbers keep.
    for mark, figure in zip(marks, FIGURES, strict=True):
        body = body.replace(f'"value": "{mark}"', f'"value": {figure}')
    answer = server.curator.post("/changesets", data=body, content_type="application/json")
    assert answer.status_code == 200, answer.get_json()

    rows = read(server.curator, "/changes?since=603")["data"]
    written = published(server.database)
    assert len(rows) == len(documents)
    assert [metric["value"] for metric in json.loads(written["initiatives", "figures"])["metrics"]] == list(map(float, FIGURES))
    assert {row["id"]: row["document"]["summary"] for row in rows} == {row["id"]: row["summary"] for row in documents}
    python, javascript = PythonCopy(tmp_path / "copy.sqlite3"), JavaScriptCopy(node)
    python.mirror(server.address)
    javascript.mirror(server.address)
    code = "return Promise.all(given.map(async ([kind, id]) => { const text = client.canonical(store.records.get(kind).get(id)); return [text, client.hex(await client.sha256('leaf', `${kind}\\n${id}\\n${text}`))]; }))"
    theirs = [[written[row["kind"], row["id"]], row["hash"]] for row in rows]
    assert node.run(code, [[row["kind"], row["id"]] for row in rows]) == theirs
    texts = {(kind, id): text for kind in python.store.kinds() for id, text in python.store.records(kind)}
    assert texts == written
    assert [
        [text, CLIENT.sha256("leaf", f"{row['kind']}\n{row['id']}\n{text}").hex()]
        for row in rows
        for text in [CLIENT.canonical(row["document"])]
    ] == theirs
    assert python.root() == javascript.root() == read(server.curator, "/digest")["data"]["root"]
    python.store.db.close()


def test_texts_that_have_no_bytes(seeds: Watched) -> None:
    """A null character, or half of a surrogate pair, is refused, so no client ever has to write it."""
    for text in ("\0", "a\0b", "\ud800", "\udfff", "x\udc00y", "\ude00\ud83d"):
        body = json.dumps({"operations": [{"op": "create", "kind": "initiatives", "document": initiative("a", summary=text)}]})
        assert seeds.curator.post("/changesets", data=body, content_type="application/json").status_code == 422


def is_written(value: float) -> bool:
    """Tell whether a document can have a number."""
    return Decimal(repr(value)) == round(Decimal(repr(value)), 6) and abs(value) <= MAX_INTEGER and str(value) != "-0.0"


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
DECIMALS = st.one_of(
    st.integers(-MAX_INTEGER, MAX_INTEGER).map(lambda whole: whole / 10**6),
    st.decimals(-(10**6), 10**6, places=6).map(float),
    st.decimals(-MAX_INTEGER, MAX_INTEGER, places=1).map(float),
).filter(is_written)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-MAX_INTEGER, MAX_INTEGER), DECIMALS, NAMES),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(NAMES, below, max_size=6)),
    max_leaves=8,
)
DOCUMENTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=8), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def canonical_in_node() -> Iterator[Callable[[Sequence[Json]], list[str]]]:
    """What JavaScript makes of documents, in one process for many."""
    with Node(JAVASCRIPT) as node:
        yield lambda documents: node.run("return given.map(client.canonical)", documents)


@configured(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents=DOCUMENTS)
def test_canonical(canonical_in_node: Callable[[Sequence[Json]], list[str]], documents: list[Json]) -> None:
    """Both clients write every document that there can be as the server does, members in the order of UTF-16."""
    theirs = [canonical(document).decode() for document in documents]
    assert [CLIENT.canonical(document) for document in documents] == theirs
    assert canonical_in_node(documents) == theirs
    assert [CLIENT.canonical(json.loads(text)) for text in theirs] == theirs


# --- damage


def bucket(key: Key) -> int:
    """Return a record's bucket, by the page and without the product's help."""
    return hashlib.sha256(b"digital-cities/key/1\n" + "\n".join(key).encode()).digest()[0]


def flipped(chance: random.Random, text: str) -> bytes:
    """Flip one bit."""
    data = bytearray(text.encode())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def changed(chance: random.Random, text: str) -> str:
    """Change a letter of a text within a document, which is one still."""
    place = chance.choice([found.start(1) for found in re.finditer(r'":"[^"\\]*?([a-z])', text)])
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
    theirs = {kind: row["buckets"] for kind, row in read(server.curator, "/digest?buckets=true")["data"]["nouns"].items()}
    assert copy.hashes() == theirs
    flip = flipped if isinstance(copy, PythonCopy) else changed
    every = list(damages(random.Random(7), published(server.database), count, flip))  # noqa: S311 - the same ones each time
    for start in range(0, count, at_once):
        some = every[start : start + at_once]
        copy.put({key: document for rows, _ in some for key, document in rows.items()})
        expected = {(key[0], bucket(key)) for _, keys in some for key in keys}
        hashes = {**dict.fromkeys(theirs, [merkle.EMPTY.hex()] * 256), **copy.hashes()}
        assert {(kind, n) for kind, row in theirs.items() for n in range(256) if hashes[kind][n] != row[n]} == expected
        assert copy.verify(server.address, version) == len(expected)
        assert copy.hashes() == theirs
    assert is_equal(server, copy)
    assert copy.verify(server.address, version) == 0


@on_sqlite
def test_damage(seeds: Watched, copy: Copy) -> None:
    """Of 100 records, flipped, dropped, doubled and reordered, each is found in its bucket, and all are mended."""
    damaged(seeds, copy, 100, 50)


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
    assert copy.verify(seeds.address, 603) == 1
    assert seeds.paths() == ["/digest"]
    assert is_equal(seeds, copy)


# --- a mirror that is killed

MIRROR = """
import sys
from digital_cities import SQLiteStore, mirror
mirror(sys.argv[1], SQLiteStore(sys.argv[2]), limit=1, patience=0)
"""
# Dies within its first save, with a part of a page written; the careless one has already said that it has it all.
DYING = """
import os, signal, sys
from digital_cities import SQLiteStore, mirror
class Dying(SQLiteStore):
    def save(self, cursor, changes, clear=()):
        if sys.argv[3] == "careless":
            super().save(cursor, [])
        super().save(cursor, self.dying(changes), clear)
    def dying(self, changes):
        for number, change in enumerate(changes):
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            yield change
mirror(sys.argv[1], Dying(sys.argv[2]), limit=1, patience=0)
"""


def start(program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start a program with the Python client."""
    environ = {**os.environ, "PYTHONPATH": str(PYTHON.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], env=environ)


def killed(server: Watched, file: Path, kills: int) -> None:
    """Kill a mirror again and again, wherever it is: nothing is lost, and at most one page is read again each time."""
    copy = PythonCopy(file)
    copy.mirror(server.address)
    chance = random.Random(kills)  # noqa: S311 - the same requests each time
    for commit in range(kills * 8 + 1):
        write(server.curator, f"k-{commit}-zz")
    server.paths()
    for _ in range(kills):
        before = len(server.asked)
        with start(MIRROR, server.address, file) as process:
            wanted = before + chance.randint(1, 6)
            server.wait(lambda asked, wanted=wanted: len(asked) >= wanted)  # type: ignore[misc]
            time.sleep(chance.random() / 100)
            process.kill()
        assert process.returncode == -9
    with start(MIRROR, server.address, file) as process:
        pass
    assert process.returncode == 0
    cursors = Counter(re.findall(r"cursor=([^&]+)", " ".join(server.asked)))
    assert len(cursors) == kills * 8 + 1
    assert cursors.total() - len(cursors) <= kills
    # Nothing had to be mended.
    assert {*server.paths()} == {"/changes", "/digest"}
    assert is_equal(server, copy)
    copy.store.db.close()


@on_sqlite
def test_killed(server: Watched, tmp_path: Path) -> None:
    """A mirror that is killed 5 times ends with an equal copy, and reads at most a page again each time."""
    killed(server, tmp_path / "copy.sqlite3", 5)


@pytest.mark.slow
def test_killed_twenty_times(server: Watched, tmp_path: Path) -> None:
    """The same 20 times."""
    killed(server, tmp_path / "copy.sqlite3", 20)


@on_sqlite
@pytest.mark.parametrize("way", ["together", "careless"])
def test_killed_while_writing(server: Watched, tmp_path: Path, way: str) -> None:
    """Killed within a page, the copy has nothing of it and its cursor neither. The control, cursor first, has lost it."""
    file = tmp_path / "copy.sqlite3"
    copy = PythonCopy(file)
    copy.mirror(server.address)
    before = copy.cursor()
    operations = [{"op": "create", "kind": "cities", "document": city(f"k-{number}-zz")} for number in range(3)]
    assert server.curator.post("/changesets", json={"operations": operations}).status_code == 200
    with start(DYING, server.address, file, way) as process:
        pass
    assert process.returncode == -9
    assert (copy.cursor() == before, len(copy.records())) == (way == "together", 603)
    server.paths()
    copy.mirror(server.address)
    # What was lost is found by its proof only.
    assert (server.paths().count("/digest/buckets/cities/" + str(bucket(("cities", "k-0-zz")))) == 1) == (way == "careless")
    assert is_equal(server, copy)
    copy.store.db.close()


# --- again, and from the beginning


def test_resumes(server: Watched, copy: Copy) -> None:
    """Who was there asks only for what is new and for its proof."""
    copy.mirror(server.address)
    assert server.paths() == ["/snapshot", "/changes", "/digest"]
    copy.mirror(server.address)
    assert server.paths() == ["/changes", "/digest"]
    write(server.curator, "a-zz")
    cursor = copy.cursor()
    copy.mirror(server.address)
    assert server.asked == [f"/changes?cursor={cursor}&limit=1000&wait=0", "/digest?at=604&buckets=true"]
    assert is_equal(server, copy)


@on_sqlite
def test_begins_again(server: Watched, copy: Copy) -> None:
    """When the server has lost what the copy has seen, the copy is made anew, and holds nothing of that."""
    write(server.curator, "a-zz", "b-zz")
    copy.mirror(server.address)
    undo(server.database, 603)
    write(server.curator, "c-zz", "d-zz", "e-zz")
    server.paths()
    assert copy.mirror(server.address, patience=0) == 606
    assert server.paths() == ["/changes", "/snapshot", "/changes", "/digest"]
    assert is_equal(server, copy)


@on_sqlite
@pytest.mark.parametrize("told", [True, False])
def test_restored_backup(settings: Settings, copy: Copy, tmp_path: Path, told: bool) -> None:  # noqa: FBT001 - pytest passes it
    """After a restore a copy's cursor is a 410, and with `ledger new-epoch` an old integer is, too. Without, it is wrong."""
    file, backup = Path(settings.sqlalchemy_url.database or ""), tmp_path / "backup.sqlite3"
    with watching(settings, "before") as server:
        write(server.curator, "kept-zz")
    # Nobody is connected, so the file is all that there is.
    assert not list(file.parent.glob(f"{file.name}-*"))
    shutil.copy(file, backup)
    with watching(settings, "lost") as server:
        write(server.curator, "lost-1-zz", "lost-2-zz")
        assert copy.mirror(server.address) == 606
    shutil.copy(backup, file)
    if told:
        with serving(settings) as app:
            assert app.test_cli_runner().invoke(args=["ledger", "new-epoch"]).exit_code == 0
    with watching(settings, "after") as server:
        write(server.curator, "new-1-zz", "new-2-zz", "new-3-zz")
        by_integer = server.curator.get("/changes?since=606")
        by_cursor = server.curator.get(f"/changes?cursor={copy.cursor()}")
        assert (by_integer.status_code, by_cursor.status_code) == (410 if told else 200, 410)
        if not told:
            # Of three new records it has one, and says nothing of the others, nor of those that are no more.
            assert [row["id"] for row in by_integer.get_json()["data"]] == ["new-3-zz"]
        server.paths()
        copy.mirror(server.address)
        assert server.paths() == ["/changes", "/snapshot", "/changes", "/digest"]
        assert is_equal(server, copy)


# --- a network and a server that fail


def unavailable(path: str, times: int, after: str | None = "0") -> Callable[[Request, Answer], Response]:
    """Return the fault of a server that can't answer a path so many times."""
    left = [None] * times
    headers = {} if after is None else {"Retry-After": after}

    def fault(request: Request, answer: Answer) -> Response:
        if request.path == path and left:
            left.pop()
            return Response("Not now.", 503, headers)
        return answer()

    return fault


@on_sqlite
def test_unavailable(seeds: Watched, copy: Copy) -> None:
    """A server that is unavailable is asked again `patience` times in a row, whatever it can't answer; then that is raised."""
    for path in ("/snapshot", "/changes", "/digest"):
        seeds.fault = unavailable(path, 1_000)
        with pytest.raises(GAVE_UP, match="503"):
            copy.mirror(seeds.address, patience=3)
        assert (path, seeds.paths().count(path)) == (path, 4)
    seeds.fault = unavailable("/digest", 3)
    assert copy.mirror(seeds.address, patience=3) == 603
    assert is_equal(seeds, copy)


@on_sqlite
def test_comes_back_when_it_is_told_to(seeds: Watched, tmp_path: Path, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries is as much time as `Retry-After` says; a second where it says none, or a date."""
    pauses: list[float] = []
    monkeypatch.setattr(CLIENT, "time", SimpleNamespace(sleep=pauses.append))
    copy = PythonCopy(tmp_path / "copy.sqlite3")
    for after in ("7", None, "Mon, 02 Dec 2024 09:30:00 GMT"):
        seeds.fault = unavailable("/changes", 2, after)
        copy.mirror(seeds.address)
    assert pauses == [7, 7, 1, 1, 1, 1]
    copy.store.db.close()
    seeds.fault = unavailable("/changes", 1, "2")
    began = time.monotonic()
    JavaScriptCopy(node).mirror(seeds.address)
    assert time.monotonic() - began >= 2


@on_sqlite
@pytest.mark.parametrize(("path", "options", "status"), [("/nowhere", {}, "404"), ("", {"limit": 0}, "400")])
def test_what_will_not_get_better(seeds: Watched, copy: Copy, path: str, options: Json, status: str) -> None:
    """What another try can't change is raised at once."""
    with pytest.raises(GAVE_UP, match=status):
        copy.mirror(seeds.address + path, **options)
    assert seeds.paths() == ([f"{path}/snapshot"] if path else ["/snapshot", "/changes"])


def test_nobody_is_there(copy: Copy) -> None:
    """A server that does not answer at all is tried again, and then that is raised."""
    began = time.monotonic()
    with pytest.raises(GAVE_UP):
        copy.mirror(f"http://127.0.0.1:{unused_port()}", patience=1)
    assert time.monotonic() - began >= 1


def cut(data: bytes, request: Request) -> Iterator[bytes]:
    """Send the half of a body, and close the connection."""
    yield data[: len(data) // 2]
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    yield data[len(data) // 2 :]


def lines(data: bytes) -> bytes:
    """Return the first half of lines."""
    some = data.splitlines(keepends=True)
    return b"".join(some[: len(some) // 2])


GZIP = {"Content-Encoding": "gzip"}
TRUNCATED: dict[str, Callable[[Request, bytes], Response]] = {
    "connection closed": lambda request, data: Response(cut(data, request)),
    "connection closed, length known": lambda request, data: Response(
        cut(data, request), headers={"Content-Length": str(len(data))}
    ),
    "within a line": lambda _, data: Response(data[: len(data) // 2]),
    "after a line": lambda _, data: Response(lines(data)),
    "after the first line": lambda _, data: Response(data[: data.index(b"\n") + 1]),
    "empty": lambda _, __: Response(b""),
    "compressed, connection closed": lambda request, data: Response(cut(gzip.compress(data), request), headers=GZIP),
    "compressed, within": lambda _, data: Response(gzip.compress(data)[:-50], headers=GZIP),
    "compressed, after a line": lambda _, data: Response(gzip.compress(lines(data)), headers=GZIP),
}


def plain(response: Response) -> bytes:
    """Return the body without compression."""
    data = response.get_data()
    response.close()
    return gzip.decompress(data) if response.headers.get("Content-Encoding") == "gzip" else data


@on_sqlite
def test_truncated_snapshot(seeds: Watched, copy: Copy) -> None:
    """Of a snapshot that is cut, in whatever way, nothing is ever in the copy."""

    def fault(request: Request, answer: Answer) -> Response:
        return TRUNCATED[way](request, plain(answer())) if request.path == "/snapshot" else answer()

    seeds.fault = fault
    for way in TRUNCATED:
        with pytest.raises(GAVE_UP):
            copy.mirror(seeds.address, patience=0)
        assert (way, seeds.paths(), copy.cursor(), copy.records()) == (way, ["/snapshot"], None, {})
    seeds.fault = as_it_is
    copy.mirror(seeds.address)
    assert is_equal(seeds, copy)


@on_sqlite
def test_truncated_page(server: Watched, copy: Copy) -> None:
    """Of a page that is cut nothing is in the copy, and it is asked for again."""
    copy.mirror(server.address)
    before = copy.cursor()
    write(server.curator, "a-zz")
    server.fault = lambda request, answer: TRUNCATED[way](request, plain(answer()))
    for way in ("connection closed", "connection closed, length known", "within a line", "empty"):
        with pytest.raises(GAVE_UP):
            copy.mirror(server.address, patience=0)
        assert (way, copy.cursor(), len(copy.records())) == (way, before, 603)
    server.fault = as_it_is
    copy.mirror(server.address)
    assert is_equal(server, copy)


@on_sqlite
def test_compressed(seeds: Watched, copy: Copy) -> None:
    """The snapshot comes compressed, and every other answer is read when something on the way has compressed it."""
    codings: dict[str, str | None] = {}

    def fault(request: Request, answer: Answer) -> Response:
        response = answer()
        codings[request.path] = response.headers.get("Content-Encoding")
        if request.path == "/snapshot":
            return response
        return Response(gzip.compress(plain(response)), content_type=response.content_type, headers=GZIP)

    seeds.fault = fault
    copy.mirror(seeds.address)
    assert (codings["/snapshot"], [*codings]) == ("gzip", ["/snapshot", "/changes", "/digest"])
    assert is_equal(seeds, copy)


def lie(response: Response, change: Callable[[Json], None]) -> Response:
    """Change a body."""
    body = json.loads(plain(response))
    change(body)
    return Response(json.dumps(body), content_type="application/json")


LIES: dict[str, Callable[[Json], None]] = {
    "root": lambda data: data.update(root="0" * 64),
    "bucket": lambda data: data["nouns"]["cities"]["buckets"].__setitem__(7, "0" * 64) or data.update(root="0" * 64),
    "noun": lambda data: data["nouns"].pop("cities") and data.update(root="0" * 64),
}


@on_sqlite
def test_a_server_that_lies(seeds: Watched, copy: Copy) -> None:
    """A digest that no copy can have ends in an error, at once and without an endless loop."""

    def fault(request: Request, answer: Answer) -> Response:
        return lie(answer(), lambda body: LIES[what](body["data"])) if request.path == "/digest" else answer()

    seeds.fault = fault
    for what in LIES:
        with pytest.raises((RuntimeError, NodeError), match="can't be repaired"):
            copy.mirror(seeds.address)
        assert (what, seeds.paths().count("/digest")) == (what, 1)


@on_sqlite
def test_lost_for_ever(seeds: Watched, copy: Copy) -> None:
    """A server that takes no cursor, not even the one that it has just given, ends in an error."""

    def fault(request: Request, answer: Answer) -> Response:
        return Response("Gone.", 410) if request.path == "/changes" else answer()

    seeds.fault = fault
    with pytest.raises(GAVE_UP, match="410"):
        copy.mirror(seeds.address, patience=2)
    assert seeds.paths() == ["/snapshot", "/changes"] * 4


@on_sqlite
def test_old_while_the_new_is_on_its_way(server: Watched, copy: Copy) -> None:
    """A copy that begins again keeps what it has until it has the new."""
    write(server.curator, "a-zz")
    copy.mirror(server.address)
    undo(server.database, 603)
    server.fault = unavailable("/snapshot", 1_000)
    with pytest.raises(GAVE_UP, match="503"):
        copy.mirror(server.address, patience=1)
    assert (copy.cursor(), len(copy.records())) == (None, 604)


# --- following

SEEN = """
const save = store.save.bind(store);
store.save = async (...given) => {
  await save(...given);
  if (store.records.get("cities")?.has("a-zz")) throw Object.assign(new Error("seen"), { answer: new Response() });
};
try {
  await client.mirror(given, store, { follow: true, patience: 1 });
} catch (error) {
  if (error.message !== "seen") throw error;
}
"""


class SeenError(Exception):
    """Ends what would go on for ever."""


def following(copy: Copy, url: str) -> Future[None]:
    """Follow until there is a certain city, in a thread that no failure has to wait for."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            follow(copy, url)
            future.set_result(None)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def follow(copy: Copy, url: str) -> None:
    """Follow until there is a certain city."""
    if isinstance(copy, JavaScriptCopy):
        copy.node.run(SEEN, url)
        return
    assert isinstance(copy, PythonCopy)

    class Store(CLIENT.SQLiteStore):  # type: ignore[misc]
        """Knows what it waits for."""

        def save(self, cursor: str, changes: Iterable[Any], clear: Any = ()) -> None:
            """Write changes."""
            super().save(cursor, changes, clear)
            if "a-zz" in dict(self.records("cities")):
                raise SeenError

    store = Store(copy.file)
    try:
        CLIENT.mirror(url, store, follow=True, patience=1)
    except SeenError:
        pass
    finally:
        store.db.close()


@on_sqlite
def test_follows(server: Watched, copy: Copy) -> None:
    """Who follows has a change long before their wait of 25 seconds is over."""
    ending = following(copy, server.address)
    server.wait(lambda asked: any("wait=25" in url for url in asked))
    write(server.curator, "a-zz")
    committed = time.monotonic()
    ending.result(20)
    assert time.monotonic() - committed < 12
    assert server.paths() == ["/snapshot", "/changes", "/digest", "/changes"]
    assert is_equal(server, copy)


@on_sqlite
def test_follows_without_a_place_to_wait(server: Watched, copy: Copy) -> None:
    """Who is refused a long poll, since too many wait, goes on without one, for as long as that lasts."""

    def fault(request: Request, answer: Answer) -> Response:
        return Response("Too many wait.", 503, {"Retry-After": "0"}) if request.args.get("wait") == "25" else answer()

    server.fault = fault
    ending = following(copy, server.address)
    server.wait(lambda asked: sum("wait=25" in url for url in asked) >= 10)
    write(server.curator, "a-zz")
    ending.result(20)
    assert is_equal(server, copy)
