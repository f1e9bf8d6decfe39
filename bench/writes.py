"""The cost of writing: records a second from 1, 4 and 16 clients, a changeset compared with single writes, an import of files.

`BENCH_IMPORT` (100000) is the number of initiatives that are imported. It reads ``/proc``, so it runs on Linux.
"""

import json
import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from sqlalchemy import delete

from api.app import create_app
from api.db.database import Database
from api.editing import entries
from api.editing.imports import ImportOptions, load
from api.editing.sources import opened
from api.ledger import publish
from api.settings import ROOT, Settings
from api.web import keys
from bench.dataset import DatasetStore
from bench.lists import serving
from bench.peers.copies import writable
from bench.peers.durability import durability_of

DIALECTS = ("sqlite", "postgresql")
CLIENTS = (1, 4, 16)
SECONDS = 5
OPERATIONS = 1_000
SINGLE = 200
UNLIMITED = "100000000/minute"
PEAK = "peak"


def initiative(id: str) -> dict[str, Any]:
    """Return a record to send."""
    metric = {"name": "cost", "kind": "money", "value": 2500000, "unit": "USD", "qualifier": "more_than"}
    return {
        "id": id,
        "city": "boston-ma",
        "title": f"Title of {id}",
        "summary": "A digital portal for permits and requests, in use and being extended.",
        "status": "pilot",
        "started": "2024-07",
        "priorities": ["cybersecurity", "modernization"],
        "partners": [{"organization": "amazon-web-services", "role": "builder"}],
        "metrics": [metric],
    }


@contextmanager
def issued_key(settings: Settings) -> Iterator[str]:
    """Issue an API key that may write; yield its secret."""
    database = Database(settings)
    with database.writing() as session:
        session.execute(delete(keys.ApiKey).where(keys.ApiKey.name == "bench"))
        secret = keys.issue(session, "bench", ["write"], None)
    yield secret
    database.engine.dispose()


def rate(port: int, secret: str, clients: int, prefix: str) -> float:
    """Return the records a second that `clients` create at once."""
    counts, end = [0] * clients, time.perf_counter() + SECONDS

    def work(number: int) -> None:
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
            while time.perf_counter() < end:
                id = f"{prefix}-{clients}-{number}-{counts[number]}"
                connection.request("POST", "/initiatives", json.dumps(initiative(id)), headers)
                response = connection.getresponse()
                response.read()
                if response.status != HTTPStatus.CREATED:
                    raise SystemExit(f"a write got {response.status}")
                counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def rates(store: DatasetStore, folder: Path) -> list[dict[str, Any]]:
    """Print and return, for each database, writes a second, the speed of a changeset, and the ledger's share of a write."""
    print(f"{'writes':40}{'database':12}{'clients':>10}{'a second':>10}")
    rows = []
    for dialect in DIALECTS:
        os.environ["WRITE_LIMIT"] = UNLIMITED
        prefix = f"w{time.time_ns()}"
        with writable(store.get(dialect, 1000), folder, "writes", noted=True) as copy, issued_key(copy) as secret:
            durability = durability_of("product", copy.database_url)
            settings = replace(copy, write_limit=UNLIMITED)
            with serving(settings, "served") as (port, _):
                by_clients = {clients: rate(port, secret, clients, prefix) for clients in CLIENTS}
            for clients, number in by_clients.items():
                print(f"{'POST /initiatives':40}{dialect:12}{clients:10}{number:10.0f}", flush=True)
            operations, share = changeset(settings, secret, prefix), ledgers_share(settings, secret, prefix)
        print(f"{f'a changeset of {OPERATIONS:,}':40}{dialect:12}{1:10}{operations:10.0f}", flush=True)
        print(f"{'of a single write, in the ledger':40}{dialect:12}{1:10}{share:10.0%}", flush=True)
        single = by_clients[CLIENTS[0]]
        ratios = {f"clients_{clients}": number / single for clients, number in by_clients.items()}
        figures = {**ratios, "changeset": operations / single, "ledger": share}
        rows.append({"dialect": dialect, **figures, "durability": durability})
    return rows


def changeset(settings: Settings, secret: str, prefix: str) -> float:
    """Return how many operations a second a changeset makes."""
    app = create_app(settings)
    rows = [{"op": "create", "kind": "initiatives", "document": initiative(f"{prefix}-c-{n}")} for n in range(OPERATIONS)]
    start = time.perf_counter()
    response = app.test_client().post("/changesets", json={"operations": rows}, headers={"Authorization": f"Bearer {secret}"})
    seconds = time.perf_counter() - start
    if response.status_code != HTTPStatus.OK:
        raise SystemExit(f"a changeset got {response.get_data(as_text=True)[:500]}")
    app.extensions["database"].engine.dispose()
    return OPERATIONS / seconds


def ledgers_share(settings: Settings, secret: str, prefix: str) -> float:
    """Return the share of a single write's time that its publication takes: rendering, hashing, indexing, the ledger's rows."""
    app, untimed, total = create_app(settings), publish.publish, 0.0

    def timed(*arguments: Any, **named: Any) -> Any:
        nonlocal total
        start = time.perf_counter()
        try:
            return untimed(*arguments, **named)
        finally:
            total += time.perf_counter() - start

    client, headers = app.test_client(), {"Authorization": f"Bearer {secret}"}
    publish.publish = timed
    try:
        start = time.perf_counter()
        for n in range(SINGLE):
            response = client.post("/initiatives", json=initiative(f"{prefix}-l-{n}"), headers=headers)
            if response.status_code != HTTPStatus.CREATED:
                raise SystemExit(f"a write got {response.status_code}")
        return total / (time.perf_counter() - start)
    finally:
        publish.publish = untimed
        app.extensions["database"].engine.dispose()


def imports(folder: Path, count: int) -> float:
    """Return an import's time as a ratio to the bare SQL of its rows; print its rows a second and its peak memory."""
    settings = Settings(database_url=f"sqlite:///{folder / 'import.sqlite3'}")
    environ = {**os.environ, "DATABASE_URL": settings.database_url}
    subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], check=True, cwd=ROOT, env=environ)
    path = folder / "initiatives.ndjson"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(initiative(f"i-{n}")) + "\n" for n in range(count))
    start = time.perf_counter()
    command = [sys.executable, "-m", "bench.writes", PEAK, str(path)]
    done = subprocess.run(command, check=True, cwd=ROOT, env=environ, capture_output=True, text=True)  # noqa: S603 - our own
    seconds = time.perf_counter() - start
    bare = bare_sql(folder, count)
    print(f"{'import':40}{'database':12}{'rows':>10}{'seconds':>10}{'a second':>10}{'peak MB':>10}{'x bare SQL':>12}")
    figures = f"{count:10,}{seconds:10.1f}{count / seconds:10.0f}{int(done.stdout) / 1024:10.0f}{seconds / bare:12.1f}"
    print(f"{'data import initiatives.ndjson':40}{'sqlite':12}{figures}", flush=True)
    return seconds / bare


def bare_sql(folder: Path, count: int) -> float:
    """Return the seconds that the rows alone take, without checks, ledger or full text: the control."""
    rows = [initiative(f"i-{n}") for n in range(count)]
    start = time.perf_counter()
    with closing(sqlite3.connect(folder / "bare.sqlite3")) as connection, connection:
        connection.execute("create table initiatives (id text primary key, city text, title text, summary text, status text)")
        connection.execute("create table parts (id text, kind text, position integer, value text)")
        connection.executemany("insert into initiatives values (:id, :city, :title, :summary, :status)", rows)
        kinds = ("priorities", "partners", "metrics")
        parts = ((row["id"], kind, n, str(value)) for row in rows for kind in kinds for n, value in enumerate(row[kind]))
        connection.executemany("insert into parts values (?, ?, ?, ?)", parts)
    return time.perf_counter() - start


def peak(paths: Sequence[str]) -> None:
    """Import files and print the peak memory of that, in KB."""
    database = Database(Settings.from_env())
    with opened(database, [Path(path) for path in paths]) as sources:
        files, ids, faults = entries.read(sources.taken)
        result = load(database, files, ids, ImportOptions())
        if found := sources.with_faults([*faults, *result.faults]):
            raise SystemExit(str(found[:3]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main(store: DatasetStore, folder: Path) -> dict[str, Any]:
    """Measure writes and an import."""
    return {"writes": rates(store, folder), "import": imports(folder, int(os.environ.get("BENCH_IMPORT", "100000")))}


if __name__ == "__main__":
    peak(sys.argv[2:])
