"""The page on the proof: its vectors, and its two programs, which are run as they stand there."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from api.ledger import merkle, tree
from api.schema.canonical import canonical
from api.settings import ROOT, Settings
from tests.support.answers import Json
from tests.support.databases import Store
from tests.support.mirrors import CLIENT, FIGURES, JAVASCRIPT, TEXTS, initiative
from tests.support.node import NODE, Node
from tests.support.watched import Watched, watching

PAGE = (ROOT / "docs" / "digest.md").read_text(encoding="utf-8")
KEYS = [("cities", "gilroy-ca"), ("cities", "indio-ca"), ("initiatives", "indio-ca-sensors")]
UPSERTED, DELETED = "2024-12-02T09:30:00.000Z", "2024-12-03T10:00:00.000Z"

Records = Sequence[tuple[str, Json]]
MANY: Records = [(f"p-{number}", {"id": f"p-{number}"}) for number in range(1, 601)]


def blocks(language: str) -> list[str]:
    """Return the code of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


# --- the vectors


class Maths(Protocol):
    """The calculations that the page explains, with hashes in hexadecimal."""

    def canonical(self, document: Json) -> str:
        """Write a document."""

    def hash(self, label: str, *parts: str | bytes) -> str:
        """Hash texts and bytes below a label."""

    def node(self, kind: str, records: Records, prefix: str) -> tuple[str, int]:
        """Hash a node; returns its number of records, too."""

    def root(self, copy: Mapping[str, Records]) -> str:
        """Hash everything."""


class Product:
    """As the server has it."""

    def canonical(self, document: Json) -> str:
        """Write a document."""
        return canonical(document).decode()

    def hash(self, label: str, *parts: str | bytes) -> str:
        """Hash by the function for that label."""
        data = [part.encode() if isinstance(part, str) else part for part in parts]
        match label:
            case "key":
                return hashlib.sha256(merkle.KEY + data[0]).hexdigest()
            case "leaf":
                kind, id, document = data[0].split(b"\n", 2)
                return merkle.leaf(kind.decode(), id.decode(), document).hex()
            case "noun":
                return merkle.noun(data[0].decode().strip(), data[1]).hex()
            case _:
                *facts, _end = data[1].decode().split("\n")
                return merkle.link(data[0], *facts, leaf=data[2] or None).hex()

    def tree(self, kind: str, records: Records) -> tree.Tree:
        """Return the tree of a noun, made of one record after the other."""
        result = tree.Tree({}, lambda _: {})
        for id, document in records:
            entry = tree.Entry(merkle.leaf(kind, id, canonical(document)), 1)
            result.change(tree.top(kind), {merkle.key(kind, id): entry})
        return result

    def node(self, kind: str, records: Records, prefix: str) -> tuple[str, int]:
        """Hash a node; returns its number of records, too."""
        node = self.tree(kind, records).nodes.get(tree.top(kind) + prefix, tree.EMPTY)
        return node.sha256.hex(), node.records

    def root(self, copy: Mapping[str, Records]) -> str:
        """Hash everything."""
        tops = {kind: self.tree(kind, records).nodes[tree.top(kind)] for kind, records in copy.items()}
        return merkle.root({kind: merkle.noun(kind, node.sha256) for kind, node in tops.items()}).hex()


class Python:
    """As the Python client has it."""

    def canonical(self, document: Json) -> str:
        """Write a document."""
        text: str = CLIENT.canonical(document)
        return text

    def hash(self, label: str, *parts: str | bytes) -> str:
        """Hash texts and bytes below a label."""
        text: str = CLIENT.sha256(label, *parts).hex()
        return text

    def node(self, kind: str, records: Records, prefix: str) -> tuple[str, int]:
        """Hash a node; returns its number of records, too."""
        rows = CLIENT.leaves(kind, [(id, CLIENT.canonical(document)) for id, document in records])
        below = [row for row in rows if row[0].startswith(prefix)]
        return CLIENT.node(below, len(prefix)).hex(), len(below)

    def root(self, copy: Mapping[str, Records]) -> str:
        """Hash everything."""
        store = CLIENT.SQLiteStore(":memory:")
        store.save(None, [(kind, id, document) for kind, records in copy.items() for id, document in records])
        text: str = CLIENT.root(store)
        store.db.close()
        return text


class JavaScript:
    """As the JavaScript client has it."""

    def __init__(self, node: Node) -> None:
        """Keep the process."""
        self.process = node

    def canonical(self, document: Json) -> str:
        """Write a document."""
        text: str = self.process.run("return client.canonical(given)", document)
        return text

    def hash(self, label: str, *parts: str | bytes) -> str:
        """Hash texts and bytes below a label."""
        text: str = self.process.run(
            "const parts = given.map((part) => (typeof part === 'string' ? part : Uint8Array.from(part)));"
            "return client.hex(await client.sha256(...parts));",
            [label, *(part if isinstance(part, str) else list(part) for part in parts)],
        )
        return text

    def node(self, kind: str, records: Records, prefix: str) -> tuple[str, int]:
        """Hash a node; returns its number of records, too."""
        hash, count = self.process.run(
            "const rows = (await client.leaves(given[0], given[1])).filter(([key]) => key.startsWith(given[2]));"
            "return [client.hex(await client.node(rows, given[2].length)), rows.length];",
            [kind, records, prefix],
        )
        return hash, count

    def root(self, copy: Mapping[str, Records]) -> str:
        """Hash everything."""
        rows = [(kind, id, document) for kind, records in copy.items() for id, document in records]
        text: str = self.process.run("await store.save(null, given, null); return client.root(store)", rows)
        return text


def vectors(maths: Maths, documents: Sequence[Json]) -> Iterator[tuple[str, str, str]]:
    """Yield the rows of the page's table: a hash, its kind, and its input."""
    leaves = {}
    for kind, id in KEYS:
        yield "key", f"`{kind}`, `{id}`", maths.hash("key", f"{kind}\n{id}")
    for (kind, id), document in zip(KEYS, documents, strict=True):
        leaves[kind, id] = maths.hash("leaf", f"{kind}\n{id}\n{maths.canonical(document)}")
        yield "leaf", f"`{kind}`, `{id}`", leaves[kind, id]
    copy = {
        noun: [(id, document) for (kind, id), document in zip(KEYS, documents, strict=True) if kind == noun]
        for noun in ("cities", "initiatives")
    }
    yield "bucket", "empty", maths.node("cities", [], "")[0]
    for noun, records in (*copy.items(), ("priorities", MANY)):
        for prefix in ("38", "3", "0", "") if records is MANY else ("",):
            hash, count = maths.node(noun, records, prefix)
            place = f", below `{prefix}`" if prefix else ""
            yield "bucket" if count <= 32 else "node", f"`{noun}`{place}: {count} record{'s' * (count > 1)}", hash
        yield "noun", f"`{noun}`", maths.hash("noun", f"{noun}\n", bytes.fromhex(maths.node(noun, records, "")[0]))
    yield "root", "cities and initiatives", maths.root(copy)
    yield "root", "priorities", maths.root({"priorities": MANY})
    yield "root", "nothing", maths.root({})
    changes = [(*key, "upsert", UPSERTED, leaves[key]) for key in KEYS] + [(*KEYS[-1], "delete", DELETED, "")]
    chain = "00" * 32
    for version, (kind, id, op, time, leaf) in enumerate(changes, 1):
        lines = f"{version}\n{kind}\n{id}\n{op}\n{time}\n"
        chain = maths.hash("chain", bytes.fromhex(chain), lines, bytes.fromhex(leaf))
        yield "chain", f"version {version}", chain


@pytest.fixture(params=["product", "python", "javascript"])
def maths(request: pytest.FixtureRequest) -> Iterator[Maths]:
    """The server's and the clients'."""
    if request.param == "javascript":
        with Node(JAVASCRIPT) as node:
            yield JavaScript(node)
    else:
        yield Product() if request.param == "product" else Python()


def test_vectors(maths: Maths) -> None:
    """The server and both clients make of the page's documents every hash that the page has."""
    (lines,) = blocks("json")
    documents = [json.loads(line) for line in lines.splitlines()]
    assert [maths.canonical(document) for document in documents] == lines.splitlines()
    assert re.findall(r"^\| (\w+) \| (.+) \| `([0-9a-f]{64})` \|$", PAGE, re.MULTILINE) == list(vectors(maths, documents))


def test_labels() -> None:
    """The page names the label of every hash, and no other."""
    named = re.findall(r"^\| (\w+) \| `(digital-cities/\w+/1)\\n`, ", PAGE, re.MULTILINE)
    labels = (merkle.KEY, merkle.LEAF, merkle.BUCKET, merkle.NODE, merkle.NOUN, merkle.ROOT, merkle.CHAIN)
    assert [f"{label}\n".encode() for _, label in named] == list(labels)
    assert [label.split("/")[1] for _, label in named] == [name for name, _ in named]


# --- the programs


@pytest.fixture(scope="module")
def server(store: Store, migrated: Settings) -> Iterator[Watched]:
    """A server with the most difficult records."""
    with watching(store.copy(migrated)) as server:
        documents = [initiative(f"t-{n}", title=f"Title {n}", summary=text) for n, text in enumerate(TEXTS)]
        metrics = [
            {"name": figure, "value": float(figure), "unit": "x", "kind": "count", "qualifier": None} for figure in FIGURES
        ]
        documents.append(initiative("figures", metrics=metrics))
        operations = [{"op": "create", "kind": "initiatives", "document": document} for document in documents]
        assert server.curator.post("/changesets", json={"operations": operations}).status_code == 200
        yield server


@pytest.fixture
def folder(server: Watched, tmp_path: Path) -> Path:
    """A folder with the page's programs, and a copy."""
    for name, language in (("verify.py", "python"), ("verify.mjs", "javascript")):
        (program,) = blocks(language)
        (tmp_path / name).write_text(program, encoding="utf-8")
    (tmp_path / "copy.ndjson").write_bytes(server.curator.get("/snapshot", headers={"Accept-Encoding": "identity"}).get_data())
    return tmp_path


def run(server: Watched, folder: Path, command: str) -> str:
    """Run a command of the page; returns its output."""
    path = os.pathsep.join([str(Path(sys.executable).parent), str(Path(NODE).parent), os.environ["PATH"]])
    command = command.replace("http://127.0.0.1:8000", server.address)
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()


def commands() -> list[tuple[str, str]]:
    """Return the commands of the page, with their documented output."""
    return [(command, said) for block in blocks("console") for command, said in re.findall(r"^\$ (.*)\n([^$]*)", block)]


def test_short_and_independent() -> None:
    """Each program has less than 30 lines; Python's needs only the standard library, and JavaScript's needs no Node."""
    (python,), (javascript,) = blocks("python"), blocks("javascript")
    assert max(len(program.splitlines()) for program in (python, javascript)) < 30
    (imported,) = re.findall(r"^import (.*)$", python, re.MULTILINE)
    assert {name.split(".")[0] for name in imported.split(", ")} <= sys.stdlib_module_names
    assert not re.search(r"\bimport\b|\brequire\b|\bprocess\b", javascript)


def test_programs(server: Watched, folder: Path) -> None:
    """The page's commands print their documented output: a copy is made, and both programs find it equal."""
    (folder / "copy.ndjson").unlink()
    assert [run(server, folder, command) for command, _ in commands()] == [said for _, said in commands()]


def test_a_changed_byte(server: Watched, folder: Path) -> None:
    """Of a copy in which one byte of a record is another, or which lacks a record or has one twice, both say that it differs."""
    file, chance = folder / "copy.ndjson", random.Random(5)  # noqa: S311 - the same ones each time
    first, *rows = file.read_bytes().splitlines(keepends=True)
    number = chance.randrange(len(rows))
    row = rows[number]
    place = chance.choice([match.start(1) for match in re.finditer(rb'":"[^"\\]*?([a-z])', row[row.index(b'"document"') :])])
    place += row.index(b'"document"')
    changed = row[:place] + (b"x" if row[place : place + 1] == b"y" else b"y") + row[place + 1 :]
    assert sum(old != new for old, new in zip(row, changed, strict=True)) == 1
    _, (python, equal), (javascript, true) = commands()
    for others in ([changed], [], [row, row]):
        file.write_bytes(first + b"".join([*rows[:number], *others, *rows[number + 1 :]]))
        assert (run(server, folder, python), run(server, folder, javascript)) == ("not equal\n", "false\n")
    assert (equal, true) == ("equal\n", "true\n")
