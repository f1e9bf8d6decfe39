"""The cost of lists, from few initiatives to many, on both databases: pages in one process, exports from a real server.

The response cache is off. It reads ``/proc``, so it runs on Linux.
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
from api.query.plan import PLANNER, Planner
from api.resources.initiatives import Initiative
from api.settings import ROOT, Settings
from bench.dataset import DatasetStore

DIALECTS = ("sqlite", "postgresql")
CALIFORNIA = "/initiatives?city.state=CA&priority=cybersecurity&include=city&sort=-started&limit=20"
PATHS = {
    "(a) California, cybersecurity, newest": f"{CALIFORNIA}&facets=city",
    "(a) without its facet": CALIFORNIA,
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
# In each round at most this many requests, for at most this many seconds, but at least one.
ROUNDS, REQUESTS, SECONDS, WARMUP = 10, 20, 2, 2
FORMATS = ("csv", "ndjson")
CHUNK = 65_536
PAUSE = 3
MARK = "zz-written-during-the-export"
COMMANDS = {"served": ["flask", "--app", "wsgi", "serve"], "kept": ["bench.lists", "keep"]}


def timed(client: FlaskClient, path: str) -> tuple[int, list[float]]:
    """Return the status of the last response, and the time of each in milliseconds."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    # The first requests compile statements and fill the page cache.
    while len(times) < WARMUP + REQUESTS:
        start = time.perf_counter()
        status = client.get(path).status_code
        times.append((time.perf_counter() - start) * 1000)
        if status != HTTPStatus.OK or time.perf_counter() > end:
            break
    return status, times[WARMUP:] or times


def deep(client: FlaskClient, size: int) -> str:
    """Return the path of a page in the middle of the list."""
    cursor = ""
    for _ in range(size // 2 // 500):
        cursor = client.get(f"/initiatives?limit=500&count=none&fields=id{cursor}").get_json()["page"]["cursor"]
        cursor = f"&cursor={cursor}"
    return f"/initiatives?limit=20{cursor}"


def paths_of(client: FlaskClient, size: int) -> dict[str, str]:
    """Return the paths to measure on a dataset, by name."""
    first = client.get("/initiatives?limit=1").get_json()
    middle = first["meta"]["version"] - size // 2
    record = f"/initiatives/{first['data'][0]['id']}"
    return {**PATHS, DEEP: deep(client, size), "record": record, "changes": f"/changes?since={middle}&limit=100"}


def pages(stores: Mapping[tuple[str, int], Settings]) -> list[dict[str, Any]]:
    """Print and return the median and 99th percentile of every kind of page, and the median's ratio to the smallest size's.

    The sizes take turns, so that a slow moment of the machine does not slow only one of them.
    """
    rows = []
    print(f"{'page':40}{'database':12}{'initiatives':>12}{'requests':>10}{'p50 ms':>10}{'p99 ms':>10}{'ratio':>8}")
    for dialect in dict.fromkeys(dialect for dialect, _ in stores):
        apps = {size: create_app(replace(row, cache_mb=0)) for (of, size), row in stores.items() if of == dialect}
        clients = {size: app.test_client() for size, app in apps.items()}
        paths = {size: paths_of(client, size) for size, client in clients.items()}
        # wsgi.py does the same.
        gc.collect()
        gc.freeze()
        for name in paths[min(paths)]:
            times: dict[int, list[float]] = {size: [] for size in clients}
            for _, (size, client) in itertools.product(range(ROUNDS), clients.items()):
                status, measured = timed(client, paths[size][name])
                times[size] += measured
                if status != HTTPStatus.OK:
                    print(f"{paths[size][name]}: {status}!", flush=True)
            for size, measured in times.items():
                p50, p99 = statistics.median(measured), sorted(measured)[math.ceil(len(measured) * 0.99) - 1]
                ratio = p50 / statistics.median(times[min(times)])
                print(f"{name:40}{dialect:12}{size:12,}{len(measured):10}{p50:10.1f}{p99:10.1f}{ratio:8.1f}", flush=True)
                rows.append({"page": name, "dialect": dialect, "size": size, "p50": p50, "p99": p99, "ratio": ratio})
        for app in apps.values():
            app.extensions["database"].engine.dispose()
    return rows


@dataclass(frozen=True)
class Export:
    """An export as it was read: its lines, bytes, seconds, the worker's growth in MB, and whether it contains a later write."""

    lines: int
    size: int
    seconds: float
    growth: float
    torn: bool


@contextmanager
def serving(settings: Settings, command: str) -> Iterator[tuple[int, int]]:
    """Start a server with one worker, as an operator does; yields its port and the worker's process id."""
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
    """Return as soon as a server responds. Raises SystemExit if it does not within 30 seconds."""
    for _ in range(300):
        try:
            get(port, "/initiatives?limit=1&count=none").read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server does not respond")


def get(port: int, path: str) -> http.client.HTTPResponse:
    """Return the response to a request, with its body unread."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", path)
    return connection.getresponse()


def memory(pid: int, measure: str) -> float:
    """Return a process's memory in MB: ``VmRSS`` is its current size, ``VmHWM`` its peak."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(measure))
    return int(line.split()[1]) / 1024


def export(settings: Settings, format: str, command: str = "served") -> Export:
    """Read an export without keeping it, while the database is written to."""
    with serving(settings, command) as (port, worker):
        warmup = get(port, f"/initiatives.{format}?limit=500")
        warmup.read()
        before = memory(worker, "VmRSS")
        # Resets the peak (proc_pid_clear_refs(5)).
        Path(f"/proc/{worker}/clear_refs").write_text("5")
        start = time.perf_counter()
        response = get(port, f"/initiatives.{format}")
        chunk = response.read(CHUNK)
        with marked(settings):
            # A server that does not wait for its client keeps in memory what it cannot send.
            time.sleep(PAUSE)
            lines, size, torn, rest = 0, 0, response.headers["ETag"] != warmup.headers["ETag"], b""
            while chunk:
                lines, size = lines + chunk.count(b"\n"), size + len(chunk)
                torn = torn or MARK.encode() in rest + chunk
                rest, chunk = chunk[-len(MARK) :], response.read(CHUNK)
            after = get(port, f"/initiatives.{format}?id={MARK}")
            if MARK.encode() not in after.read() or after.headers["ETag"] == warmup.headers["ETag"]:
                raise SystemExit("the write during the export is missing after it, so the export proves nothing")
        seconds = time.perf_counter() - start - PAUSE
        return Export(lines - (format == "csv"), size, seconds, memory(worker, "VmHWM") - before, torn)


@contextmanager
def marked(settings: Settings) -> Iterator[None]:
    """Publish an initiative that sorts last, and remove it at the end of the block."""
    database = Database(settings)
    row = {"id": MARK, "title": "\U0001f3c1", "summary": "Comes last.", "status": "draft"}
    try:
        with database.writing() as session:
            city = session.scalars(select(Initiative.city_id).limit(1)).one()
            session.execute(insert(Initiative), [{**row, "city_id": city}])
            publish.publish(session)
        yield
    finally:
        with database.writing() as session:
            session.execute(delete(Initiative).where(Initiative.id == MARK))
            publish.publish(session)
        database.engine.dispose()


def count(settings: Settings) -> int:
    """Return the number of initiatives."""
    database = Database(settings)
    with database.reading() as session:
        number = session.scalar(select(func.count()).select_from(Initiative)) or 0
    database.engine.dispose()
    return number


def exports(stores: Mapping[tuple[str, int], Settings]) -> list[dict[str, Any]]:
    """Print and return the growth of the worker's memory in each export, and in a control that keeps all that it reads."""
    print(f"{'export':40}{'database':12}{'initiatives':>12}{'rows':>10}{'MB':>8}{'seconds':>9}{'worker grew by, MB':>20}")
    smallest = min(size for _, size in stores)
    rows = []
    for (dialect, size), settings in stores.items():
        expected = count(settings)
        commands = ("served", "kept") if size == smallest else ("served",)
        for format, command in ((format, command) for format in FORMATS for command in commands):
            result = export(settings, format, command)
            name = f"/initiatives.{format}" + (", control: all kept" if command == "kept" else "")
            line = f"{result.lines:10,}{result.size / 1e6:8.0f}{result.seconds:9.1f}{result.growth:20.1f}"
            print(f"{name:40}{dialect:12}{size:12,}{line}", flush=True)
            figures = {"rows": result.lines, "seconds": result.seconds, "grew": result.growth}
            fine = result.lines == expected and not result.torn
            rows.append({"page": name, "dialect": dialect, "size": size, "fine": fine, **figures})
            if not fine:
                print(f"{name} has {result.lines} rows of {expected}; torn: {result.torn}", flush=True)
    return rows


def keep() -> None:
    """Serve as the product does, but keep each stream whole in memory before it is sent: the control."""
    stream = lists.stream

    def kept(session: Session, query: Query, planner: Planner = PLANNER) -> Generator[str]:
        yield from list(stream(session, query, planner))

    lists.stream = kept
    cli.main(["--app", "wsgi", "serve"])


def starts(stores: Mapping[tuple[str, int], Settings]) -> list[dict[str, Any]]:
    """Print and return the time to a server's first response, and its worker's peak memory after each kind of page."""
    print(f"{'start':40}{'database':12}{'initiatives':>12}{'seconds':>10}{'worker MB':>12}")
    rows = []
    for (dialect, size), settings in stores.items():
        start = time.perf_counter()
        with serving(settings, "served") as (port, worker):
            seconds = time.perf_counter() - start
            for path in PATHS.values():
                get(port, path).read()
            peak = memory(worker, "VmHWM")
            print(f"{'first response':40}{dialect:12}{size:12,}{seconds:10.1f}{peak:12.0f}", flush=True)
            rows.append({"dialect": dialect, "size": size, "seconds": seconds, "megabytes": peak})
    return rows


def main(store: DatasetStore, sizes: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """Build the missing databases; measure pages, starts and exports."""
    stores = {(dialect, size): store.get(dialect, size) for dialect in DIALECTS for size in sizes}
    return {"scale": pages(stores), "starts": starts(stores), "exports": exports(stores)}


if __name__ == "__main__":
    keep()
