"""The product, the limits and the peers on the same data, with the same two workers, in turn: A B A B.

`wrk` (of the system's packages) sends the requests. Every figure is a ratio to the product in the same round, as the median of
all rounds with the least and the greatest; a server that does not offer something has none. `make bench` runs it.
"""

import json
import os
import re
import shutil
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
from bench import limits
from bench.dataset import DatasetStore
from bench.peers import PEERS, PRODUCT, WORKLOADS, Facts, Peer, running
from bench.peers.check import ask
from bench.peers.copies import writable
from bench.peers.facts import facts_of
from bench.peers.process import ServerError
from bench.writes import initiative

CONNECTIONS, THREADS = 16, 1
SECONDS, ROUNDS = 3.0, 3
# An export is read from its first byte to its last, by one client.
WHOLE = "export"
HOT, COLD = (
    replace(PRODUCT, name="this API"),
    replace(PRODUCT, name="this API, cold", env=lambda _url, _port: {"CACHE_MB": "0"}),
)
SQL = "the bare SQL"
UNLIMITED = {"WRITE_LIMIT": "100000000/minute"}
POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{authorization}
local body, count, mark = [[{body}]], 0, tostring({{}}):gsub("%W", "")
function request()
    count = count + 1
    local id = "w-{stamp}-" .. mark .. "-" .. count
    return wrk.format(nil, nil, nil, (body:gsub("THE%-ID", id)))
end
"""


@dataclass
class Lane:
    """A server that takes part: where it answers, and what it did in each round of each workload."""

    name: str
    base: str
    paths: Mapping[str, str]
    rates: dict[str, list[float]] = field(default_factory=dict)
    slowest: dict[str, list[float]] = field(default_factory=dict)


def load(url: str, seconds: float, headers: Mapping[str, str], script: Path | None = None) -> tuple[float, float]:
    """Return the answers a second of a server, and the 99th percentile of their times in milliseconds.

    Raises SystemExit where some of them are errors: there is nothing to compare then.
    """
    command = ["wrk", f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--timeout", "30s", "--latency"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    command += [*(["-s", str(script)] if script else []), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own command
    if "Non-2xx" in said and "If-None-Match" not in headers:
        raise SystemExit(f"{url}: {said}")
    rate, slow = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    if not rate or not slow:
        raise SystemExit(f"wrk says of {url}: {said}")
    return float(rate[1]), float(slow[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[slow[2]]


def export(url: str) -> tuple[float, float]:
    """Return how many exports a second are read, one after the other, and how long one takes in milliseconds."""
    start = time.perf_counter()
    if ask(url).status != HTTPStatus.OK:
        raise SystemExit(f"{url} does not answer")
    seconds = time.perf_counter() - start
    return 1 / seconds, seconds * 1000


def measure(lane: Lane, workload: str, seconds: float, script: Path | None) -> None:
    """Let a server run once."""
    url, headers = lane.base + lane.paths[workload], {}
    if workload == "conditional":
        headers = {"If-None-Match": ask(url).headers["etag"]}
    rate, slow = export(url) if workload == WHOLE else load(url, seconds, headers, script)
    lane.rates.setdefault(workload, []).append(rate)
    lane.slowest.setdefault(workload, []).append(slow)


def is_prepared(peer: Peer, settings: Settings, folder: Path) -> bool:
    """Make what a peer serves, while nobody is connected to what it is made of; says so where that can't be."""
    try:
        peer.prepare(settings.database_url, folder)
    except (OSError, RuntimeError, subprocess.SubprocessError, psycopg.Error) as error:
        print(f"{peer.name} is left out: {error}", flush=True)
        return False
    return True


@contextmanager
def lanes(settings: Settings, facts: Facts, peers: Sequence[Peer], folder: Path) -> Iterator[list[Lane]]:
    """Start everyone who can take part."""
    prepared = [peer for peer in peers if is_prepared(peer, settings, folder)]
    with ExitStack() as stack:
        found = []
        for peer in (HOT, COLD, *prepared):
            paths = {name: path for name in WORKLOADS if name != "write" and (path := peer.path(name, facts))}
            try:
                found.append(Lane(peer.name, stack.enter_context(running(peer, settings, folder)), paths))
            except ServerError as error:
                print(f"{peer.name} is left out: {error}", flush=True)
        for name, path in found[0].paths.items():
            if name not in {WHOLE, "conditional"}:
                answer = ask(found[0].base + path)
                limits.keep(folder / "kept", name, answer.body, answer.headers)
        kept = {name: f"/{name}" for name in found[0].paths if name not in {WHOLE, "conditional"}}
        for name, serve in limits.SERVERS.items():
            own = {**kept, "conditional": "/list"} if name.startswith("nginx") else kept
            try:
                found.append(Lane(name, stack.enter_context(serve(folder / "kept")), own))
            except ServerError as error:
                print(f"{name} is left out: {error}", flush=True)
        yield found


def race(settings: Settings, peers: Sequence[Peer]) -> list[Lane]:
    """Let everyone run everything, round by round."""
    facts, seconds = facts_of(settings), float(os.environ.get("BENCH_SECONDS", SECONDS))
    turns = range(-1, int(os.environ.get("BENCH_ROUNDS", ROUNDS)))
    bare = Lane(SQL, "", {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with lanes(settings, facts, peers, folder) as found:
            for workload in (name for name in WORKLOADS if name != "write"):
                for turn in turns:
                    for lane in (lane for lane in found if workload in lane.paths):
                        # What is first warms everyone up.
                        measure(lane, workload, 1 if turn < 0 else seconds, None)
                    if workload == "list":
                        bare.rates.setdefault("list", []).append(limits.sql_rate(settings, facts, 1 if turn < 0 else seconds))
                print(f"{settings.sqlalchemy_url.get_backend_name()}: {workload} is done", flush=True)
        with writers(settings, [peer for peer in (HOT, *peers) if peer.path("write", facts)], folder) as able:
            for turn in turns:
                for lane, path in able:
                    measure(lane, "write", 1 if turn < 0 else seconds, path)
    every = [*found, bare]
    for written, _ in able:
        lane = next(lane for lane in every if lane.name == written.name)
        lane.rates |= written.rates
        lane.slowest |= written.slowest
    for lane in every:
        lane.rates = {name: rates[1:] for name, rates in lane.rates.items()}
        lane.slowest = {name: times[1:] for name, times in lane.slowest.items()}
    return every


@contextmanager
def writers(settings: Settings, peers: Sequence[Peer], folder: Path) -> Iterator[list[tuple[Lane, Path]]]:
    """Start those who take writes, each on a copy of the data of its own; yields what to send to each, too."""
    with ExitStack() as stack:
        found = []
        for number, peer in enumerate(peers):
            # A name, or its like while it is made, may have 63 characters.
            copy = stack.enter_context(writable(settings, folder, f"race_{number}", noted=peer is HOT))
            base = stack.enter_context(running(replace(peer, env=lambda _url, _port: UNLIMITED), copy, folder))
            lane = Lane(peer.name, base, {"write": peer.paths["write"] or ""})
            found.append((lane, script(copy, folder / f"{number}.lua", authorized=peer is HOT)))
        yield found


def script(settings: Settings, path: Path, *, authorized: bool) -> Path:
    """Write what `wrk` sends: an initiative with an id of its own each time."""
    authorization = ""
    if authorized:
        database = Database(settings)
        with database.writing() as session:
            session.execute(delete(keys.ApiKey).where(keys.ApiKey.name == "race"))
            authorization = f'wrk.headers["Authorization"] = "Bearer {keys.issue(session, "race", ["write"], None)}"'
        database.engine.dispose()
    body = json.dumps(initiative("THE-ID"))
    path.write_text(POST.format(authorization=authorization, body=body, stamp=time.time_ns()), encoding="utf-8")
    return path


def ratios(found: Sequence[Lane]) -> list[dict[str, Any]]:
    """Return, for each workload and server, its rate in parts of the product's, round by round, and both figures themselves."""
    own, *others = found
    rows = []
    for lane in (own, *others):
        for workload, rates in lane.rates.items():
            base = own.rates[workload]
            parts = [rate / mine for rate, mine in zip(rates, base, strict=True)]
            row = {"server": lane.name, "workload": workload, "rates": rates, "p99": lane.slowest.get(workload, [])}
            rows.append({**row, "ratio": statistics.median(parts), "least": min(parts), "most": max(parts)})
    return rows


def main(store: DatasetStore, dialects: Sequence[str], size: int, missing: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the ratios on databases of this size. Raises SystemExit where there is no `wrk`."""
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing: install the system's package of that name (apt-get install wrk)")
    for name, why in missing.items():
        print(f"{name} is left out: {why}", flush=True)
    rows = []
    for dialect in dialects:
        fit = [peer for peer in PEERS if dialect in peer.dialects and size <= (peer.largest or size)]
        found = race(store.get(dialect, size), [peer for peer in fit if peer.name not in missing])
        rows += [{"dialect": dialect, "size": size, **row} for row in ratios(found)]
    return rows
