"""`backup` and `restore` on running servers: nothing that was acknowledged before is missing, and nobody is misled afterwards."""

import os
import re
import resource
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.backups import postgresql, sqlite
from api.ledger.models import EPOCH
from api.ledger.verify import verify
from api.settings import ROOT, Settings
from api.web import keys
from tests.support import programs
from tests.support.answers import ANY, read
from tests.support.applications import curating, serving
from tests.support.copies import city, write
from tests.support.databases import ON_SQLITE, REVISIONS, SQLITE_FIRST, Store, head, later, opened, template
from tests.support.editions import SEEDED
from tests.support.followers import INTEGERS, Followers
from tests.support.lengths import few
from tests.support.mirrors import PythonCopy, is_equal
from tests.support.processes import FLASK, SECRET, environment
from tests.support.replication import ids
from tests.support.watched import Watched, watching
from tests.support.webhooks import Wire, subscribe

KEPT, LOST, NEW = ids("kept", 2), ids("lost", 5), ids("new", 8)


@pytest.fixture(autouse=True)
def _programs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put PostgreSQL's programs on PATH."""
    if store.dialect == "postgresql":
        monkeypatch.setenv("PATH", programs.path())


def run(app: Flask, *arguments: object) -> tuple[int, list[str]]:
    """Run a command; returns its exit status and its lines."""
    result = app.test_cli_runner().invoke(args=[str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output.splitlines()


def backed_up(settings: Settings, file: Path) -> list[str]:
    """Back a database up, and return what the command says."""
    with serving(settings) as app:
        status, lines = run(app, "backup", file)
    assert status == 0, lines
    return lines


@dataclass
class Busy:
    """A thread that does something again and again; its results are kept in order."""

    work: Callable[[int], Any]
    results: list[Any] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Go on until told to end."""
        while not self.ended.is_set():
            self.results.append(self.work(len(self.results)))
            self.begun.set()


@contextmanager
def busy(work: Callable[[int], Any]) -> Iterator[list[Any]]:
    """Do something again and again in a thread, at least once before the block and once in it; yields the results."""
    task = Busy(work)
    thread = threading.Thread(target=task.run)
    thread.start()
    try:
        assert task.begun.wait(30)
        yield task.results
        task.begun.clear()
        assert task.begun.wait(30)
    finally:
        task.ended.set()
        thread.join()


def other_client(server: Watched) -> FlaskClient:
    """Return a client with the key of a server's curator, for another thread."""
    client = server.app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = server.curator.environ_base["HTTP_AUTHORIZATION"]
    return client


@SQLITE_FIRST
def test_a_backup_beside_writers(store: Store, settings: Settings, tmp_path: Path) -> None:
    """A backup made while somebody writes has each commit up to its version, and no later one; the writer is not refused.

    It can be read by its owner only, and is not replaced without `--force`.
    """
    file = tmp_path / "backup"
    with watching(settings) as server:
        writer = other_client(server)
        before = head(server.database)
        with busy(lambda number: writer.post("/cities", json=city(f"busy-{number}-zz")).status_code) as statuses:
            status, (line,) = run(server.app, "backup", file)
        assert (status, set(statuses)) == (0, {201})
        made = (sqlite if store.dialect == "sqlite" else postgresql).read(file)
        assert before < made.version <= head(server.database)
        by = "" if store.dialect == "sqlite" else f", by {postgresql.version_of('pg_dump')}"
        size = f"{file.stat().st_size:,} bytes"
        assert line == f"{file}: version {made.version}, epoch 0, revision {REVISIONS[-1]}, {size}{by}."
        assert file.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["backup"]
        refusal = f"Error: {file} exists already: choose another name, or add --force."
        assert run(server.app, "backup", file) == (1, [refusal])
        assert run(server.app, "backup", file, "--force")[0] == 0
    with opened(settings) as database, database.reading() as session:
        count = "select count(*) from revision where version > {} and version <= {}"
        expected = session.scalar(text(count.format(before, made.version)))
    target = store.empty()
    with serving(target) as app:
        assert run(app, "restore", file, "--yes")[0] == 0
        assert read(app.test_client(), "/cities?q=busy&limit=0")["page"]["total"] >= expected


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_control_without_a_transaction(settings: Settings, tmp_path: Path) -> None:
    """SQLite copies from the beginning again after each write, unless a transaction keeps one state: writers could delay it for ever."""
    seen: dict[bool, list[int]] = {}
    for number, kept in enumerate((True, False)):
        with opened(settings) as database, opened(settings) as other, database.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute("begin").connection.execute("select * from ledger_head").fetchall()
            if not kept:
                raw.execute("rollback")
            left = seen[kept] = []

            def note(_: int, remaining: int, __: int, left: list[int] = left) -> None:
                left.append(remaining)
                if len(left) < 3:
                    with other.writing() as session:
                        session.execute(text(f"update cities set summary = 'Number {len(left)}.' where id = 'boston-ma'"))

            with closing(sqlite3.connect(tmp_path / str(number))) as target:
                raw.backup(target, pages=100, progress=note)
    assert seen[True] == sorted(seen[True], reverse=True)
    assert len(set(seen[True])) == len(seen[True])
    assert len(set(seen[False])) < len(seen[False])


@dataclass
class Drill:
    """A running server that lost versions by a restore, with those who saw them."""

    server: Watched
    followers: Followers
    said: list[str]


def lose(server: Watched, copy: PythonCopy, file: Path) -> Drill:
    """Back up, write what will be lost, and restore, while a reader reads."""
    write(server.curator, *KEPT)
    assert run(server.app, "backup", file)[0] == 0
    write(server.curator, *LOST)
    assert server.curator.patch("/cities/kept-0-zz", json={"summary": "Lost."}, headers=ANY).status_code == 200
    followers = Followers(server.curator)
    copy.mirror(server.address)
    reader = other_client(server)
    with busy(lambda _: reader.get("/cities?limit=100").status_code) as statuses:
        status, said = run(server.app, "restore", file, "--yes")
    assert status == 0, said
    assert set(statuses) == {200}
    return Drill(server, followers, said)


@pytest.mark.slow
@SQLITE_FIRST
def test_a_restore_beside_readers(settings: Settings, tmp_path: Path) -> None:
    """A restore under a running server: its readers go on, and those who saw lost versions are told, before and after a write.

    A copy begins again and is proved; a webhook hears of the epoch; the ledger and the tables agree.
    """
    wire, file = Wire(), tmp_path / "backup"
    with watching(replace(settings, cache_mb=16)) as server:
        subscribe(server.database)
        copy = PythonCopy(tmp_path / "copy.sqlite3")
        drill = lose(server, copy, file)
        kept, lost = SEEDED + len(KEPT), SEEDED + len(KEPT) + len(LOST) + 1
        assert drill.said == [
            f"{file}: version {kept}, epoch 0, revision {REVISIONS[-1]}. The versions after {kept}, up to {lost}, are lost.",
            f"Restored: the dataset is at version {kept}. Epoch 1 has begun: its first version is {EPOCH + 1}. Webhooks that will be told: 1.",
        ]
        assert drill.followers.misled(server.curator) <= {"min_version"}
        server.paths()
        copy.mirror(server.address)
        assert server.paths() == ["/changes", "/snapshot", "/changes", "/digest"]
        assert is_equal(server, copy)
        write(server.curator, *NEW)
        assert drill.followers.misled(server.curator) == set()
        assert [row["id"] for row in read(server.curator, f"/changes?since={kept}")["data"]] == NEW
        copy.mirror(server.address)
        assert is_equal(server, copy)
        assert wire.deliver(server.database) == 1
        assert [attempt.data["epoch"] for attempt in wire.sent] == [1]
        with server.database.reading() as session:
            assert list(verify(session)) == []
        copy.store.db.close()


@SQLITE_FIRST
def test_control_without_an_epoch(settings: Settings, tmp_path: Path) -> None:
    """If the restore began no epoch, and nothing outside of the database remembered, numbers of lost versions would mean new ones."""
    with watching(settings, "before") as server:
        copy = PythonCopy(tmp_path / "copy.sqlite3")
        drill = lose(server, copy, tmp_path / "backup")
        copy.store.db.close()
        with server.database.writing() as session:
            session.execute(text("update ledger_head set epoch = 0"))
    if server.database.memory.path:
        server.database.memory.path.unlink()
    with serving(settings) as app:
        client = curating(app.test_client(), app.extensions["database"], name="late")
        write(client, *NEW)
        assert drill.followers.misled(client) == INTEGERS


@SQLITE_FIRST
def test_what_was_lost_is_said(settings: Settings, tmp_path: Path) -> None:
    """A restore names the records to erase again and the keys to revoke again, and asks before it changes anything."""
    file = tmp_path / "backup"
    with serving(settings) as app:
        database = app.extensions["database"]
        client = curating(app.test_client(), database)
        with database.writing() as session:
            keys.issue(session, "leaked", ["write"])
        client.patch("/cities/boston-ma", json={"summary": "Private."}, headers=ANY)
        assert run(app, "backup", file)[0] == 0
        client.patch("/cities/boston-ma", json={"summary": "Public."}, headers=ANY)
        assert run(app, "ledger", "erase", "cities", "boston-ma")[0] == 0
        assert run(app, "keys", "revoke", "leaked")[0] == 0
        before = head(database)
        status, lines = run(app, "restore", file)
        assert (status, lines[0].startswith(f"{file}: version"), head(database)) == (1, True, before)
        status, lines = run(app, "restore", file, "--yes")
        assert (status, lines[2:]) == (
            0,
            [
                "Erased after the backup was made; erase it again: flask --app wsgi ledger erase cities boston-ma",
                "Revoked after the backup was made; revoke it again: flask --app wsgi keys revoke leaked",
            ],
        )


@ON_SQLITE
def test_writes_meanwhile_are_said(settings: Settings, tmp_path: Path) -> None:
    """On SQLite, what is written while a backup is verified is not refused; the command says that it is lost, too."""
    file = tmp_path / "backup"
    with watching(settings) as server:
        assert run(server.app, "backup", file)[0] == 0
        writer = other_client(server)
        with busy(lambda number: writer.post("/cities", json=city(f"busy-{number}-zz")).status_code) as statuses:
            status, lines = run(server.app, "restore", file, "--yes")
        assert (status, set(statuses)) == (0, {201})
        assert re.fullmatch(r"Versions up to [0-9]+, which were written meanwhile, are lost, too\.", lines[1])


@pytest.mark.slow
def test_two_restores(settings: Settings, tmp_path: Path) -> None:
    """A second restore of the same backup begins an epoch above that of the first, whose versions are lost, too."""
    file = tmp_path / "backup"
    backed_up(settings, file)
    for epoch in (1, 2):
        with serving(settings) as app:
            assert f"Epoch {epoch} has begun" in run(app, "restore", file, "--yes")[1][1]
            client = curating(app.test_client(), app.extensions["database"])
            write(client, "new-zz")
            assert read(client, "/changes?since=0")["head"] == epoch * EPOCH + 1
            assert run(app, "ledger", "verify") == (0, ["The ledger and the tables agree."])


def old_backup(store: Store, revision: str, file: Path) -> Path:
    """Make a backup of a database of an earlier release."""
    with opened(store.copy(template(store, revision))) as database, database.reading() as session:
        raw: Any = session.connection().connection.driver_connection
        (sqlite.copy if store.dialect == "sqlite" else postgresql.dump)(raw, file)
    return file


@SQLITE_FIRST
@pytest.mark.slow
@pytest.mark.parametrize("revision", ["0016", REVISIONS[-2]])
@pytest.mark.parametrize("into", ["empty", "migrated"])
def test_a_backup_of_an_earlier_release(store: Store, tmp_path: Path, into: str, revision: str) -> None:
    """A backup of an earlier release is upgraded, into an empty database as into one of this release, and verified.

    Readers wait on PostgreSQL, where tables are replaced, and may be told to try again.
    """
    file = old_backup(store, revision, tmp_path / "backup")
    settings = store.empty() if into == "empty" else store.copy(template(store))
    with serving(settings) as app:
        reader = app.test_client()
        if into == "migrated":
            write(curating(app.test_client(), app.extensions["database"]), *LOST)
        with busy(lambda _: reader.get("/cities" if into == "migrated" else "/livez").status_code) as statuses:
            status, lines = run(app, "restore", file, "--yes")
        assert status == 0, lines
        assert set(statuses) <= {200, 503}
        assert app.test_client().get("/readyz").status_code == 200
        assert read(app.test_client(), "/cities?q=lost&limit=0")["page"]["total"] == 0
        assert run(app, "ledger", "verify") == (0, ["The ledger and the tables agree."])


def flip(content: bytes) -> bytes:
    """Change some bytes in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 4096]) + content[middle + 4096 :]


# What is done to a backup, and the beginning of what is said of it, by the kind of database.
WRONG: dict[str, tuple[Callable[[bytes], bytes], dict[str, str]]] = {
    "cut": (lambda content: content[: len(content) // 2], {"sqlite": "{} is damaged: ", "postgresql": "pg_restore failed: "}),
    "changed": (flip, {"sqlite": "{} is damaged: ", "postgresql": "pg_restore failed: "}),
    "a text": (
        lambda _: b"This is no database.\n" * 500,
        {"sqlite": "{} is no backup of this service: it is no SQLite database.", "postgresql": "pg_restore failed: "},
    ),
    "nothing": (
        lambda _: b"",
        {"sqlite": "{} is no backup of this service: it has no ledger.", "postgresql": "pg_restore failed: "},
    ),
}


@SQLITE_FIRST
@pytest.mark.parametrize("wrong", few(WRONG, "cut", "a text"))
def test_a_wrong_file(settings: Settings, tmp_path: Path, wrong: str) -> None:
    """A damaged or foreign file is refused in one sentence, and nothing is changed."""
    file = tmp_path / "backup"
    backed_up(settings, file)
    change, said = WRONG[wrong]
    file.write_bytes(change(file.read_bytes()))
    with serving(settings) as app:
        before = head(database := app.extensions["database"])
        status, (line,) = run(app, "restore", file, "--yes")
        assert status == 1
        assert line.startswith(f"Error: {said[database.engine.dialect.name].format(file)}")
        assert line.endswith(" Nothing was changed.")
        assert head(database) == before


@SQLITE_FIRST
def test_a_newer_file(store: Store, settings: Settings, tmp_path: Path) -> None:
    """A backup of a newer release can be made by this one, but not put back."""
    file = tmp_path / "backup"
    backed_up(later(store), file)
    expected = f"Error: {file} is from a newer release, with revision 9999: restore it with that release. Nothing was changed."
    with serving(settings) as app:
        assert run(app, "restore", file, "--yes") == (1, [expected])


@SQLITE_FIRST
def test_a_backup_that_does_not_verify(settings: Settings, tmp_path: Path) -> None:
    """A backup whose ledger and tables disagree is put back only on demand; without, the database stays as it is."""
    file = tmp_path / "backup"
    with serving(settings) as app:
        database = app.extensions["database"]
        change = text("update cities set summary = '{}' where id = 'boston-ma'")
        with database.writing() as session:
            session.execute(text(change.text.format("By hand.")))
            session.execute(text("delete from ledger_dirty"))
        assert run(app, "backup", file)[0] == 0
        with database.writing() as session:
            session.execute(text(change.text.format("Later.")))
        status, lines = run(app, "restore", file, "--yes")
        assert (status, lines[1].partition(":")[0]) == (1, "cities/boston-ma")
        assert lines[-1].endswith("add --unverified to restore it all the same. Nothing was changed.")
        summary = text("select summary from cities where id = 'boston-ma'")
        with database.reading() as session:
            assert session.scalar(summary) == "Later."
        assert run(app, "restore", file, "--yes", "--unverified")[0] == 0
        with database.reading() as session:
            assert session.scalar(summary) == "By hand."


def limit_files() -> None:
    """Let this process write no file of more than 100 kB, as if its disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@SQLITE_FIRST
@pytest.mark.parametrize("place", few(["backup", "copy.sqlite3"], "copy.sqlite3"))
def test_a_full_disk(store: Store, settings: Settings, tmp_path: Path, place: str) -> None:
    """A disk that is full while a backup is made, or put back, is named in one sentence; no part of a file stays."""
    file = tmp_path / "backup"
    command = ["restore", file, "--yes"] if place == "copy.sqlite3" else ["backup", file]
    if command[0] == "restore":
        if store.dialect == "postgresql":
            # What the server does on a full disk is PostgreSQL's business.
            return
        backed_up(settings, file)
        settings = replace(settings, database_url=f"sqlite:///{tmp_path / place}")
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [*FLASK, *map(str, command)],
        cwd=ROOT,
        env=environment({"DATABASE_URL": settings.database_url}),
        preexec_fn=limit_files,
        capture_output=True,
        text=True,
        check=False,
    )
    expected = {
        "sqlite": f"The disk of {tmp_path} does not work, or lets no file become as large.",
        "postgresql": "pg_dump failed: could not write to output file: File too large.",
    }
    ending = " Nothing was changed." if command[0] == "restore" else ""
    assert (done.returncode, done.stderr) == (1, f"Error: {expected[store.dialect]}{ending}\n")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_without_the_programs(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PostgreSQL's programs both commands print what to run elsewhere, without the password, and exit with 1."""
    file = tmp_path / "backup"
    backed_up(settings, file)
    monkeypatch.setenv("PATH", "")
    place = f"host={settings.sqlalchemy_url.query['host']} port=5432"
    name = settings.sqlalchemy_url.database
    with serving(replace(settings, database_url=settings.database_url.replace("postgres:", f"postgres:{SECRET}"))) as app:
        for command in (("backup", file, "--force"), ("restore", file)):
            status, lines = run(app, *command)
            assert status == 1
            assert lines[0].endswith("they take the password from PGPASSWORD or ~/.pgpass:")
            assert all(part in lines[1] for part in (f"dbname={name}", *place.split()[:1], str(file)))
            assert SECRET not in "".join(lines)


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_password_is_on_no_command_line(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs get the password in their environment, and never as an argument, which every user of the machine can read."""
    log = tmp_path / "log"
    for name in programs.NAMES:
        script = tmp_path / name
        original = shutil.which(name)
        script.write_text(f'#!/bin/sh\necho "$PGPASSWORD: $*" >> {log}\nexec {original} "$@"\n', "utf-8")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with_password = replace(settings, database_url=settings.database_url.replace("postgres:", f"postgres:{SECRET}"))
    backed_up(with_password, tmp_path / "backup")
    lines = log.read_text("utf-8").splitlines()
    assert len(lines) > 2
    assert [line for line in lines if SECRET in line.partition(": ")[2]] == []
    assert f"{SECRET}: --format=custom" in lines[0]
