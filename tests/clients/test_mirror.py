"""The two clients that keep a copy: complete, proved, and begun again when they have to."""

import ast
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from werkzeug import Request, Response

from api.ledger.models import EPOCH
from api.settings import Settings
from api.web import keys
from tests.support import former
from tests.support.answers import ANY, Json
from tests.support.applications import serving
from tests.support.copies import city, undo, write
from tests.support.databases import SQLITE_FIRST, Store, opened, upgrade
from tests.support.editions import SEEDED
from tests.support.lengths import late
from tests.support.mirrors import CLIENT, JAVASCRIPT, PYTHON, Copy, JavaScriptCopy, Key, PythonCopy, digits, is_equal, on_sqlite
from tests.support.node import Node
from tests.support.processes import Server
from tests.support.watched import Answer, Watched, watching


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


@SQLITE_FIRST
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
    """Each client is one file of less than 205 lines that needs nothing else."""
    assert max(len(file.read_text(encoding="utf-8").splitlines()) for file in (PYTHON, JAVASCRIPT)) < 205
    statements = [node for node in ast.walk(ast.parse(PYTHON.read_text(encoding="utf-8"))) if isinstance(node, ast.Import)]
    assert {name.name.split(".")[0] for node in statements for name in node.names} <= sys.stdlib_module_names
    assert not re.search(r"\bimport\b|\brequire\b|\bprocess\b", JAVASCRIPT.read_text(encoding="utf-8"))


def is_below(key: Key, nodes: Iterable[Key]) -> bool:
    """Tell whether a record is below one of these nodes, each with its noun and prefix."""
    return any(kind == key[0] and digits(key).startswith(prefix) for kind, prefix in nodes)


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
                row for row in self.rows if clear is not None and row[:2] not in new and not is_below(row[:2], clear)
            ] + [(*key, CLIENT.canonical(document)) for key, document in new.items() if document is not None]
            self.position = cursor

        def kinds(self) -> list[str]:
            """Return the nouns."""
            return sorted({kind for kind, _, _ in self.rows})

        def records(self, noun: str) -> list[tuple[str, str]]:
            """Return a noun's records."""
            return sorted((id, text) for kind, id, text in self.rows if kind == noun)

    store = Lists()
    assert CLIENT.mirror(seeds.address, store) == SEEDED
    # A record that is twice in it is one too many.
    row = store.rows[17]
    store.rows.append(row)
    assert CLIENT.verify(seeds.address, store, SEEDED) == 1
    assert (store.rows.count(row), len(store.rows), CLIENT.verify(seeds.address, store, SEEDED)) == (1, SEEDED, 0)


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
    assert server.asked == [f"/changes?cursor={cursor}&limit=1000&wait=0", f"/digest?at={SEEDED + 1}"]
    assert is_equal(server, copy)


@on_sqlite
@pytest.mark.parametrize("copy", ["python", late("javascript")], indirect=True)
def test_across_a_correction(store: Store, copy: Copy) -> None:
    """A copy of what the first release published follows an upgrade that corrects facts and changes the form of all documents."""
    settings = former.released(store)
    before = {(noun, content["id"]): content for noun, content in former.documents()}
    upgrade(settings)
    first: list[Json] = []

    def past(request: Request, answer: Answer) -> Response:
        """Answer the snapshot as the first release would."""
        if request.path != "/snapshot":
            return answer()
        request.environ |= {"QUERY_STRING": f"as_of={len(before)}", "HTTP_ACCEPT_ENCODING": "identity"}
        response = answer()
        first.extend(json.loads(line) for line in response.get_data(as_text=True).splitlines()[1:])
        return response

    with watching(settings) as server:
        server.fault = past
        copy.mirror(server.address)
        assert {*server.paths()} == {"/snapshot", "/changes", "/digest"}
        assert is_equal(server, copy)
    assert {(row["kind"], row["document"]["id"]): without_version(row["document"]) for row in first} == before
    assert before.keys() - copy.records().keys()


def without_version(row: Json) -> Json:
    """Return a document without the members that the ledger adds."""
    return {name: value for name, value in row.items() if name not in {"version", "updated_at"}}


@on_sqlite
def test_begins_again(server: Watched, copy: Copy) -> None:
    """When the server has lost what the copy has seen, the copy is made anew, and holds nothing of that."""
    write(server.curator, "a-zz", "b-zz")
    copy.mirror(server.address)
    undo(server.database, SEEDED)
    write(server.curator, "c-zz", "d-zz", "e-zz")
    server.paths()
    assert copy.mirror(server.address, patience=0) == EPOCH + 3
    assert server.paths() == ["/changes", "/snapshot", "/changes", "/digest"]
    assert is_equal(server, copy)


@on_sqlite
@pytest.mark.parametrize("told", ["by itself", late("new-epoch"), None])
@pytest.mark.parametrize("copy", ["python", late("javascript")], indirect=True)
def test_restored_backup(settings: Settings, copy: Copy, tmp_path: Path, told: str | None) -> None:
    """After a restore a copy's cursor is a 410, and an old integer is, too: by itself, and after `ledger new-epoch`.

    The control: where nothing is remembered, and no command was run, the integer is wrong.
    """
    file, backup = Path(settings.sqlalchemy_url.database or ""), tmp_path / "backup.sqlite3"
    with watching(settings, "before") as server:
        write(server.curator, "kept-zz")
    # Nobody is connected, so the file is all that there is.
    assert not list(file.parent.glob(f"{file.name}-*"))
    shutil.copy(file, backup)
    with watching(settings, "lost") as server:
        write(server.curator, "lost-1-zz", "lost-2-zz")
        assert copy.mirror(server.address) == SEEDED + 3
    shutil.copy(backup, file)
    if told != "by itself":
        file.with_name(f"{file.name}.published").unlink()
    if told == "new-epoch":
        with serving(settings) as app:
            assert app.test_cli_runner().invoke(args=["ledger", "new-epoch"]).exit_code == 0
    with watching(settings, "after") as server:
        write(server.curator, "new-1-zz", "new-2-zz", "new-3-zz")
        by_integer = server.curator.get(f"/changes?since={SEEDED + 3}")
        by_cursor = server.curator.get(f"/changes?cursor={copy.cursor()}")
        assert (by_integer.status_code, by_cursor.status_code) == (410 if told else 200, 410)
        if not told:
            # Of three new records it has one, and says nothing of the others, nor of those that are no more.
            assert [row["id"] for row in by_integer.get_json()["data"]] == ["new-3-zz"]
        server.paths()
        copy.mirror(server.address)
        assert server.paths() == ["/changes", "/snapshot", "/changes", "/digest"]
        assert is_equal(server, copy)


@on_sqlite
@pytest.mark.parametrize("copy", ["javascript", late("python")], indirect=True)
def test_merged_records(server: Watched, copy: Copy) -> None:
    """A copy stays equal through merges, renames and their reverts, and finds each record by every id that it had meanwhile."""
    for id in ("a-zz", "b-zz", "c-zz"):
        write(server.curator, id)
    copy.mirror(server.address)
    commits = []
    for op, id, member, other in (("merge", "a-zz", "into", "b-zz"), ("rename", "b-zz", "to", "d-zz")):
        rows = [{"op": op, "kind": "cities", "id": id, member: other}]
        commits.append(server.curator.post("/changesets", json={"operations": rows}).get_json()["meta"]["commit"])
        copy.mirror(server.address)
        assert is_equal(server, copy)
    ids = ("a-zz", "b-zz", "c-zz", "d-zz", "e-zz")
    assert [copy.find("cities", id) for id in ids] == ["d-zz", "d-zz", "c-zz", "d-zz", None]
    for number in reversed(commits):
        assert server.curator.post(f"/changesets/{number}/revert").status_code == 200
        copy.mirror(server.address)
        assert is_equal(server, copy)
    assert [copy.find("cities", id) for id in ids] == ["a-zz", "b-zz", "c-zz", None, None]
