"""The two clients that keep a copy, and the values that they are most likely to get wrong."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy import select

from api.db.database import Database
from api.ledger.models import CURRENT, Revision
from api.settings import ROOT
from tests.support.answers import Json, read
from tests.support.node import Node, NodeError
from tests.support.watched import Watched

PYTHON, JAVASCRIPT = ROOT / "clients" / "python" / "digital_cities.py", ROOT / "clients" / "javascript" / "digital-cities.mjs"


def load(file: Path) -> Any:
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLIENT = load(PYTHON)


TEXTS = (
    [chr(code) for code in [*range(1, 0x20), *range(0x7F, 0xA1), 0xAD, 0x200B, 0x200D, 0x2028, 0x2029, 0xFEFF]]
    + [f"{chr(code)}." for code in (0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F600, 0x10FFFF, 0x10000)]
    + ['"', "\\", '\\"', "\\u0041", "\\ud800", "/", "</script>", "'", "`${x}`", "%00", "{}", "null", " ", "  two  spaces  "]
    + ["\u00e9", "e\u0301", "\u1e9b\u0323", "\ufb01", "\u0130", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0939\u093f\u0928"]
    + ["\u05d0\u05d1 \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u202eabc\u202c", "\u202d\u2066x\u2069", "\U0001d11e", "\u0000".replace("\0", "\r\n")]
)  # fmt: skip
FIGURES = [
    "0", "-0", "-0.0", "0.0", "1e0", "1E3", "2.5e3", "1.0", "10", "100.50", "1e-6", "-1e-6", "0.000001", "0.00001", "0.0001",
    "0.1", "0.7", "-0.5", "0.999999", "0.123456", "1.5", "1.000001", "123456.654321", "123456789.123456", "8589934592.5",
    "1000000000000000.5", "4503599627370495.5", "99999999999.1", "9007199254740991", "-9007199254740991", "9007199254740990",
    "1e15", "123e-6", "33.333333", "-273.15", "2400000",
]  # fmt: skip


def initiative(id: str, **members: Any) -> Json:
    """Return an initiative to create."""
    return {"id": id, "city": "boston-ma", "title": id, "summary": "S", "status": "pilot", **members}


Key = tuple[str, str]
# The errors of a client that gives up.
GAVE_UP = (OSError, ValueError, EOFError, HTTPException, NodeError)
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


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
        """Return its documents."""

    def find(self, kind: str, id: str) -> str | None:
        """Return the id of the record that an id leads to."""

    def hashes(self) -> dict[str, str]:
        """Return the hashes of its nouns."""

    def put(self, rows: Mapping[Key, str | None]) -> None:
        """Change documents behind the client's back."""


class PythonCopy:
    """In a file, by the Python client."""

    def __init__(self, file: Path) -> None:
        """Open the file."""
        self.file, self.store = file, CLIENT.SQLiteStore(file)

    def mirror(self, url: str, **options: Any) -> int:
        """Bring it up to date."""
        version: int = CLIENT.mirror(url, self.store, **options)
        return version

    def verify(self, url: str, version: int) -> int:
        """Prove it, and mend it."""
        proved: int = CLIENT.verify(url, self.store, version)
        return proved

    def root(self) -> str:
        """Return its root."""
        root: str = CLIENT.root(self.store)
        return root

    def cursor(self) -> str | None:
        """Return where it is."""
        cursor: str | None = self.store.cursor()
        return cursor

    def records(self) -> dict[Key, Json]:
        """Return its documents."""
        return {(kind, id): json.loads(text) for kind in self.store.kinds() for id, text in self.store.records(kind)}

    def find(self, kind: str, id: str) -> str | None:
        """Return the id of the record that an id leads to."""
        document: Json | None = self.store.find(kind, id)
        return None if document is None else str(document["id"])

    def hashes(self) -> dict[str, str]:
        """Return the hashes of its nouns."""
        tops = {kind: CLIENT.node(CLIENT.leaves(kind, self.store.records(kind))) for kind in self.store.kinds()}
        return {kind: CLIENT.sha256("noun", f"{kind}\n", top).hex() for kind, top in tops.items()}

    def put(self, rows: Mapping[Key, str | bytes | None]) -> None:
        """Change documents behind the client's back."""
        for key, document in rows.items():
            self.store.db.execute("delete from record where kind = ? and id = ?", key)
            if document is not None:
                self.store.db.execute("insert into record values (?, ?, cast(? as text))", (*key, document))


class JavaScriptCopy:
    """In the memory of a process of Node, by the JavaScript client."""

    def __init__(self, node: Node) -> None:
        """Keep the process."""
        self.node = node

    def mirror(self, url: str, **options: Any) -> int:
        """Bring it up to date."""
        version: int = self.node.run("return client.mirror(given[0], store, given[1])", [url, options])
        return version

    def verify(self, url: str, version: int) -> int:
        """Prove it, and mend it."""
        proved: int = self.node.run("return client.verify(given[0], store, given[1])", [url, version])
        return proved

    def root(self) -> str:
        """Return its root."""
        root: str = self.node.run("return client.root(store)")
        return root

    def cursor(self) -> str | None:
        """Return where it is."""
        cursor: str | None = self.node.run("return store.cursor()")
        return cursor

    def records(self) -> dict[Key, Json]:
        """Return its documents."""
        rows = self.node.run("return [...store.records].flatMap(([kind, rows]) => [...rows].map((row) => [kind, ...row]))")
        return {(kind, id): document for kind, id, document in rows}

    def find(self, kind: str, id: str) -> str | None:
        """Return the id of the record that an id leads to."""
        found: str | None = self.node.run("return (await store.find(given[0], given[1]))?.id ?? null", [kind, id])
        return found

    def hashes(self) -> dict[str, str]:
        """Return the hashes of its nouns."""
        hashes: dict[str, str] = self.node.run(
            "const found = {};"
            "for (const kind of await store.kinds()) {"
            "  const top = await client.node(await client.leaves(kind, await store.all(kind)));"
            "  found[kind] = client.hex(await client.sha256('noun', `${kind}\\n`, top));"
            "}"
            "return found;"
        )
        return hashes

    def put(self, rows: Mapping[Key, str | None]) -> None:
        """Change documents behind the client's back."""
        self.node.run(
            "for (const [kind, id, text] of given) {"
            "  if (text === null) store.records.get(kind).delete(id);"
            "  else store.records.get(kind).set(id, JSON.parse(text));"
            "}",
            [[*key, document] for key, document in rows.items()],
        )


def published(database: Database) -> dict[Key, str]:
    """Return the bytes of every document, as the server has them."""
    with database.reading() as session:
        return {(row.kind, row.id): row.document or "" for row in session.scalars(select(Revision).where(*CURRENT))}


def is_equal(server: Watched, copy: Copy) -> bool:
    """Tell whether a copy has the server's records and root."""
    theirs = {key: json.loads(text) for key, text in published(server.database).items()}
    return copy.records() == theirs and copy.root() == read(server.curator, "/digest")["data"]["root"]


def digits(key: Key) -> str:
    """Return the digits that lead to a record, by the page and without the product's help."""
    return hashlib.sha256(b"digital-cities/key/1\n" + "\n".join(key).encode()).hexdigest()


def bucket(key: Key, keys: Iterable[Key]) -> str:
    """Return the prefix of the bucket that has a record, or that would have it, in the tree of some records."""
    path, others = digits(key), [digits(other) for other in keys if other[0] == key[0]]
    while_many = (path[:length] for length in range(len(path)))
    return next(prefix for prefix in while_many if sum(other.startswith(prefix) for other in others) <= 32)


def start(program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start a program with the Python client."""
    environ = {**os.environ, "PYTHONPATH": str(PYTHON.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], env=environ)
