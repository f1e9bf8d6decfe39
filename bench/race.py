"""The race: this API, the limits and the peers serve the same data with two workers each, in turn: A B A B.

`wrk` sends the requests. Each figure is a ratio to this API in the same round: the median of all rounds, the least and the
greatest. A server that does not offer a workload has no figure for it.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import delete

from api.db.database import Database
from api.settings import Settings
from api.web import keys
from bench import limits, wrk
from bench.dataset import DatasetStore
from bench.peers import PEERS, PRODUCT, WORKLOADS, Facts, Peer, running
from bench.peers.client import send
from bench.peers.copies import writable
from bench.peers.durability import durability_of
from bench.peers.facts import facts_of
from bench.peers.process import ServerError
from bench.writes import initiative

SECONDS, ROUNDS = 3.0, 3
# One client reads an export from its first byte to its last.
EXPORT = "export"
HOT, COLD = (
    replace(PRODUCT, name="this API"),
    replace(PRODUCT, name="this API, cold", env=lambda _url, _port: {"CACHE_MB": "0"}),
)
# What a page for people shows, as data.
PAGE_AS_JSON = {"html": "/initiatives?priority={priority}&include=city,priorities&facets=city,priority,status&limit=20"}
AS_JSON = [replace(peer, name=f"{peer.name}, as JSON", paths=PAGE_AS_JSON) for peer in (HOT, COLD)]
SQL = "the bare SQL"
UNLIMITED = {"WRITE_LIMIT": "100000000/minute"}


@dataclass
class Lane:
    """A server in the race: its address, the paths of its workloads, and its figures by workload, round by round."""

    name: str
    base: str
    paths: Mapping[str, str]
    rates: dict[str, list[float]] = field(default_factory=dict)
    slowest: dict[str, list[float]] = field(default_factory=dict)
    durability: str = ""


def export(url: str) -> wrk.Measurement:
    """Read an export once. Raises SystemExit if it fails."""
    start = time.perf_counter()
    if send(url).status != HTTPStatus.OK:
        raise SystemExit(f"{url} failed")
    seconds = time.perf_counter() - start
    return wrk.Measurement(1 / seconds, seconds * 1000)


def measure(lane: Lane, workload: str, seconds: float, script: Path | None = None) -> None:
    """Measure a workload of a server once and append the figures."""
    url, headers = lane.base + lane.paths[workload], {}
    if workload == "conditional":
        headers = {"If-None-Match": send(url).headers["etag"]}
    measurement = export(url) if workload == EXPORT else wrk.load(url, seconds, headers=headers, script=script)
    lane.rates.setdefault(workload, []).append(measurement.rate)
    lane.slowest.setdefault(workload, []).append(measurement.p99)


def is_prepared(peer: Peer, settings: Settings, folder: Path) -> bool:
    """Make the data that a peer serves, and tell whether that worked; it prints why not.

    It happens before any server starts, because PostgreSQL copies a database only while nothing is connected to it.
    """
    try:
        peer.prepare(settings.database_url, folder)
    except (OSError, RuntimeError, subprocess.SubprocessError, psycopg.Error) as error:
        print(f"{peer.name} is left out: {error}", flush=True)
        return False
    return True


@contextmanager
def lanes(settings: Settings, facts: Facts, peers: Sequence[Peer], folder: Path) -> Iterator[list[Lane]]:
    """Start this API, the peers and the limits; yield those that started."""
    prepared = [peer for peer in peers if is_prepared(peer, settings, folder)]
    with ExitStack() as stack:
        started: list[Lane] = []
        for peer in (HOT, COLD, *AS_JSON, *prepared):
            paths = {name: path for name in WORKLOADS if name != "write" and (path := peer.path(name, facts))}
            try:
                started.append(Lane(peer.name, stack.enter_context(running(peer, settings, folder)), paths))
            except ServerError as error:
                print(f"{peer.name} is left out: {error}", flush=True)
        kept = keep_responses(started[0], folder / "kept")
        for name, serve in limits.SERVERS.items():
            paths = {**kept, "conditional": "/list"} if name.startswith("nginx") else kept
            try:
                started.append(Lane(name, stack.enter_context(serve(folder / "kept")), paths))
            except ServerError as error:
                print(f"{name} is left out: {error}", flush=True)
        yield started


def keep_responses(lane: Lane, folder: Path) -> dict[str, str]:
    """Keep this API's responses as files for the limits; return the path of each by workload."""
    names = [name for name in lane.paths if name not in {EXPORT, "conditional"}]
    for name in names:
        response = send(lane.base + lane.paths[name])
        limits.keep(folder, name, response.body, response.headers)
    return {name: f"/{name}" for name in names}


def race(settings: Settings, peers: Sequence[Peer]) -> list[Lane]:
    """Measure every workload of every server, round by round; return the servers, this API first."""
    facts, seconds = facts_of(settings), float(os.environ.get("BENCH_SECONDS", SECONDS))
    # The round before the first one warms everything up and is dropped.
    durations = [1.0, *[seconds] * int(os.environ.get("BENCH_ROUNDS", ROUNDS))]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with lanes(settings, facts, peers, folder) as readers:
            bare = Lane(SQL, "", {})
            for workload in (name for name in WORKLOADS if name != "write"):
                for duration in durations:
                    for lane in (lane for lane in readers if workload in lane.paths):
                        measure(lane, workload, duration)
                    if workload == "list":
                        bare.rates.setdefault("list", []).append(limits.sql_rate(settings, facts, duration))
                print(f"{settings.sqlalchemy_url.get_backend_name()}: {workload} is done", flush=True)
        every = {lane.name: lane for lane in (*readers, bare)}
        with writers(settings, [peer for peer in (HOT, *peers) if peer.path("write", facts)], folder) as scripts:
            for duration in durations:
                for lane, script in scripts:
                    measure(lane, "write", duration, script)
        for lane, _ in scripts:
            every.setdefault(lane.name, lane).durability = lane.durability
            every[lane.name].rates |= lane.rates
            every[lane.name].slowest |= lane.slowest
    for lane in every.values():
        lane.rates = {name: rates[1:] for name, rates in lane.rates.items()}
        lane.slowest = {name: times[1:] for name, times in lane.slowest.items()}
    return list(every.values())


@contextmanager
def writers(settings: Settings, peers: Sequence[Peer], folder: Path) -> Iterator[list[tuple[Lane, Path]]]:
    """Start the servers that take writes, each on its own copy of the data; yield each with its script for `wrk`.

    Raises SystemExit if the writes of one could be lost in a power cut.
    """
    with ExitStack() as stack:
        started = []
        for number, peer in enumerate(peers):
            # PostgreSQL's names have at most 63 characters, so the copy has a number and not the peer's name.
            copy = stack.enter_context(writable(settings, folder, f"race_{number}", noted=peer is HOT))
            durability = durability_of(peer.connection, copy.database_url)
            base = stack.enter_context(running(replace(peer, env=lambda _url, _port: UNLIMITED), copy, folder))
            lane = Lane(peer.name, base, {"write": peer.paths["write"] or ""}, durability=durability)
            key = issued_key(copy) if peer is HOT else None
            started.append((lane, wrk.write_script(folder / f"{number}.lua", json.dumps(initiative(wrk.ID)), key)))
        yield started


def issued_key(settings: Settings) -> str:
    """Issue an API key that may write, and return its secret."""
    database = Database(settings)
    with database.writing() as session:
        session.execute(delete(keys.ApiKey).where(keys.ApiKey.name == "race"))
        secret = keys.issue(session, "race", ["write"], None)
    database.engine.dispose()
    return secret


def ratios(lanes: Sequence[Lane]) -> list[dict[str, Any]]:
    """Return a row for each workload of each server: its rates, its times, and its ratio to the first server's rate."""
    rows = []
    for lane in lanes:
        for workload, rates in lane.rates.items():
            parts = [rate / base for rate, base in zip(rates, lanes[0].rates[workload], strict=True)]
            row = {"server": lane.name, "workload": workload, "rates": rates, "p99": lane.slowest.get(workload, [])}
            spread = {"ratio": statistics.median(parts), "least": min(parts), "most": max(parts)}
            rows.append({**row, **spread, "durability": lane.durability if workload == "write" else ""})
    return rows


def main(store: DatasetStore, dialects: Sequence[str], size: int, missing: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows of the race on databases of `size` initiatives. Raises SystemExit if there is no `wrk`."""
    wrk.require()
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}", flush=True)
    rows = []
    for dialect in dialects:
        able = [peer for peer in PEERS if dialect in peer.dialects and size <= (peer.largest or size)]
        lanes = race(store.get(dialect, size), [peer for peer in able if peer.name not in missing])
        rows += [{"dialect": dialect, "size": size, **row} for row in ratios(lanes)]
    return rows
