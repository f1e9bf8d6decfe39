"""What lists cost, from few initiatives to many, on both databases: pages in one process, exports from a real server.

`make bench` runs it, with nothing kept of any answer; it reads ``/proc``, so on Linux.
"""

import gc
import http.client
import itertools
import math
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask.cli import cli
from flask.testing import FlaskClient
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from api.app import create_app
from api.db.database import Database
from api.ledger import publish
from api.query import lists
from api.query.language import Query
from api.resources.initiatives import Initiative
from api.settings import ROOT, Settings
from bench.dataset import DatasetStore

DIALECTS = ("sqlite", "postgresql")
ASKED = "/initiatives?city.state=CA&priority=cybersecurity&include=city&sort=-started&limit=20"
PATHS = {
    "(a) California, cybersecurity, newest": f"{ASKED}&facets=city",
    "(a) without its facet": ASKED,
    "list page": "/initiatives?limit=20",
    "list page of a priority, with cities": "/initiatives?priority=cybersecurity&include=city&limit=20",
    "one status": "/initiatives?status=pilot&limit=20",
    "search, two words": "/initiatives?q=traffic+dashboard&limit=20",
    "search, the most frequent word": "/initiatives?q=digital&limit=20",
    "facet alone": "/initiatives?facets=city.state&limit=1",
    "facet of a priority": "/initiatives?priority=cybersecurity&facets=city&limit=1",
    "search of every noun": "/search?q=traffic+dashboard",
    "type-ahead": "/suggest?q=traf",
    "digest": "/digest",
}
DEEP = "deep page"
# In each of so many rounds so many requests, or as many as fit into so many seconds: at least one.
ROUNDS, REQUESTS, SECONDS, WARMING = 10, 20, 2, 2
FORMATS = ("csv", "ndjson")
CHUNK = 65_536
PAUSE = 3
MARK = "zz-written-during-the-export"
COMMANDS = {"served": ["flask", "--app", "wsgi", "serve"], "kept": ["bench.lists", "keep"]}


def timed(client: FlaskClient, path: str) -> tuple[int, list[float]]:
    """Return the status of an answer, and how long each of many took in milliseconds."""
    found: list[float] = []
    end = time.perf_counter() + SECONDS
    # The first ones compile statements and warm the database.
    while len(found) < WARMING + REQUESTS:
        start = time.perf_counter()
        status = client.get(path).status_code
        found.append((time.perf_counter() - start) * 1000)
        if status != HTTPStatus.OK or time.perf_counter() > end:
            break
    return status, found[WARMING:] or found


def deep(client: FlaskClient, size: int) -> str:
    """Walk to the middle of the list; return the address of a page there."""
    cursor = ""
    for _ in range(size // 2 // 500):
        cursor = client.get(f"/initiatives?limit=500&count=none&fields=id{cursor}").get_json()["page"]["cursor"]
        cursor = f"&cursor={cursor}"
    return f"/initiatives?limit=20{cursor}"


def asked(client: FlaskClient, size: int) -> dict[str, str]:
    """Return what is asked for of a dataset, by name."""
    first = client.get("/initiatives?limit=1").get_json()
    middle = first["meta"]["version"] - size // 2
    record = f"/initiatives/{first['data'][0]['id']}"
    return {**PATHS, DEEP: deep(client, size), "record": record, "changes": f"/changes?since={middle}&limit=100"}


def pages(stores: Mapping[tuple[str, int], Settings]) -> list[dict[str, Any]]:
    """Print median and 99th percentile of every kind of page, and the median's ratio to that of the smallest size.

    The sizes take turns, so that what slows the machine down does not slow only one.
    """
    rows = []
    print(f"{'page':40}{'database':12}{'initiatives':>12}{'requests':>10}{'p50 ms':>10}{'p99 ms':>10}{'ratio':>8}")
    for dialect in dict.fromkeys(dialect for dialect, _ in stores):
        apps = {size: create_app(replace(found, cache_mb=0)) for (of, size), found in stores.items() if of == dialect}
        clients = {size: app.test_client() for size, app in apps.items()}
        paths = {size: asked(client, size) for size, client in clients.items()}
        # As wsgi.py does.
        gc.collect()
        gc.freeze()
        for name in paths[min(paths)]:
            times: dict[int, list[float]] = {size: [] for size in clients}
            for _, (size, client) in itertools.product(range(ROUNDS), clients.items()):
                status, found = timed(client, paths[size][name])
                times[size] += found
                if status != HTTPStatus.OK:
                    print(f"{paths[size][name]}: {status}!", flush=True)
            for size, found in times.items():
                p50, p99 = statistics.median(found), sorted(found)[math.ceil(len(found) * 0.99) - 1]
                ratio = p50 / statistics.median(times[min(times)])
                print(f"{name:40}{dialect:12}{size:12,}{len(found):10}{p50:10.1f}{p99:10.1f}{ratio:8.1f}", flush=True)
                rows.append({"page": name, "dialect": dialect, "size": size, "p50": p50, "p99": p99, "ratio": ratio})
        for app in apps.values():
            app.extensions["database"].engine.dispose()
    return rows


@dataclass(frozen=True)
class Export:
    """What reading an export showed: its lines, bytes, seconds, the worker's growth in MB, and whether it saw a later write."""

    lines: int
    size: int
    seconds: float
    growth: float
    torn: bool


@contextmanager
def serving(settings: Settings, command: str) -> Iterator[tuple[int, int]]:
    """Start a server with one worker, as an operator would; yields its port and the worker's process id."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "DATABASE_URL": settings.database_url, "PORT": str(port), "WORKERS": "1", "HOST": "127.0.0.1"}
    run = [sys.executable, "-m", *COMMANDS[command]]
    process = subprocess.Popen(run, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    try:
        wait(port)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield port, max(map(int, children), key=lambda pid: memory(pid, "VmRSS"))
    finally:
        process.terminate()
        process.wait(30)


def wait(port: int) -> None:
    """Return when a server answers. Raises SystemExit when it does not."""
    for _ in range(300):
        try:
            ask(port, "/initiatives?limit=1&count=none").read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server does not answer")


def ask(port: int, path: str) -> http.client.HTTPResponse:
    """Send a request; the body is still to be read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", path)
    return connection.getresponse()


def memory(pid: int, what: str) -> float:
    """Return a process's memory in MB: ``VmRSS`` is what it has now, ``VmHWM`` the most that it had."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def export(settings: Settings, format: str, command: str = "served") -> Export:
    """Read an export without keeping it, and write to the database meanwhile."""
    with serving(settings, command) as (port, worker):
        warming = ask(port, f"/initiatives.{format}?limit=500")
        warming.read()
        before = memory(worker, "VmRSS")
        # Resets the peak (proc_pid_clear_refs(5)).
        Path(f"/proc/{worker}/clear_refs").write_text("5")
        start = time.perf_counter()
        response = ask(port, f"/initiatives.{format}")
        chunk = response.read(CHUNK)
        with marked(settings):
            # A server that goes on without its client keeps what it can't send.
            time.sleep(PAUSE)
            lines, size, torn, rest = 0, 0, response.headers["ETag"] != warming.headers["ETag"], b""
            while chunk:
                lines, size = lines + chunk.count(b"\n"), size + len(chunk)
                torn = torn or MARK.encode() in rest + chunk
                rest, chunk = chunk[-len(MARK) :], response.read(CHUNK)
            after = ask(port, f"/initiatives.{format}?id={MARK}")
            if MARK.encode() not in after.read() or after.headers["ETag"] == warming.headers["ETag"]:
                raise SystemExit("what was written during the export is not there after it: there is nothing to see")
        seconds = time.perf_counter() - start - PAUSE
        return Export(lines - (format == "csv"), size, seconds, memory(worker, "VmHWM") - before, torn)


@contextmanager
def marked(settings: Settings) -> Iterator[None]:
    """Publish an initiative that is the last of the list, for as long as the block runs."""
    database = Database(settings)
    row = {"id": MARK, "title": "\U0001f3c1", "summary": "Comes last.", "status": "draft"}
    try:
        with publish.writing(database) as session:
            city = session.scalars(select(Initiative.city_id).limit(1)).one()
            session.execute(insert(Initiative), [{**row, "city_id": city}])
        yield
    finally:
        with publish.writing(database) as session:
            session.execute(delete(Initiative).where(Initiative.id == MARK))
        database.engine.dispose()


def count(settings: Settings) -> int:
    """Return how many initiatives there are."""
    database = Database(settings)
    with database.reading() as session:
        found = session.scalar(select(func.count()).select_from(Initiative)) or 0
    database.engine.dispose()
    return found


def exports(stores: Mapping[tuple[str, int], Settings]) -> list[dict[str, Any]]:
    """Print and return what the worker's memory grew by in each export, beside a control that keeps what it reads."""
    print(f"{'export':40}{'database':12}{'initiatives':>12}{'rows':>10}{'MB':>8}{'seconds':>9}{'worker grew by, MB':>20}")
    smallest = min(size for _, size in stores)
    rows = []
    for (dialect, size), settings in stores.items():
        expected = count(settings)
        commands = ("served", "kept") if size == smallest else ("served",)
        for format, command in ((format, command) for format in FORMATS for command in commands):
            found = export(settings, format, command)
            name = f"/initiatives.{format}" + (", control: all kept" if command == "kept" else "")
            line = f"{found.lines:10,}{found.size / 1e6:8.0f}{found.seconds:9.1f}{found.growth:20.1f}"
            print(f"{name:40}{dialect:12}{size:12,}{line}", flush=True)
            figures = {"rows": found.lines, "seconds": found.seconds, "grew": found.growth}
            fine = found.lines == expected and not found.torn
            rows.append({"page": name, "dialect": dialect, "size": size, "fine": fine, **figures})
            if not fine:
                print(f"{name} has {found.lines} rows of {expected}; torn: {found.torn}", flush=True)
    return rows


def keep() -> None:
    """Serve as the product does, but with each stream kept whole in memory before it is sent."""
    stream = lists.stream

    def kept(session: Session, query: Query) -> Generator[str]:
        yield from list(stream(session, query))

    lists.stream = kept
    cli.main(["--app", "wsgi", "serve"])


def starts(stores: Mapping[tuple[str, int], Settings]) -> list[dict[str, Any]]:
    """Print and return how long a server takes to answer first, and its worker's memory after each kind of page."""
    print(f"{'start':40}{'database':12}{'initiatives':>12}{'seconds':>10}{'worker MB':>12}")
    rows = []
    for (dialect, size), settings in stores.items():
        begun = time.perf_counter()
        with serving(settings, "served") as (port, worker):
            seconds = time.perf_counter() - begun
            for path in PATHS.values():
                ask(port, path).read()
            most = memory(worker, "VmHWM")
            print(f"{'first answer':40}{dialect:12}{size:12,}{seconds:10.1f}{most:12.0f}", flush=True)
            rows.append({"dialect": dialect, "size": size, "seconds": seconds, "megabytes": most})
    return rows


def main(store: DatasetStore, sizes: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """Build what is missing; print and return what was measured of pages, starts and exports."""
    stores = {(dialect, size): store.get(dialect, size) for dialect in DIALECTS for size in sizes}
    return {"scale": pages(stores), "starts": starts(stores), "exports": exports(stores)}


if __name__ == "__main__":
    keep()
