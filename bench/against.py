"""Two checkouts side by side: ``python -m bench against FOLDER`` races this tree and the one in FOLDER, in alternation.

Each builds its data with its own code and serves it with its own code; both run with this Python and its packages.
`BENCH_RACE` (1000) is the number of initiatives; `BENCH_ROUNDS` (5) and `BENCH_SECONDS` (3) say how often and how long.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.settings import ROOT
from bench import report, wrk
from bench.dataset import DatasetStore
from bench.peers import THREADS, WORKERS
from bench.peers.client import send
from bench.peers.process import free_port, started
from bench.writes import initiative

DIALECTS = ("sqlite", "postgresql")
ROUNDS = 5
LIST = "/initiatives?priority=cybersecurity&include=city&limit=20"
BUILD = (
    "import sys; from api.settings import Settings; from bench.dataset import build; "
    "build(Settings(database_url=sys.argv[1], statement_timeout=0), int(sys.argv[2]))"
)
COLD = {"CACHE_MB": "0"}
HOT = {"WRITE_LIMIT": "100000000/minute"}


@dataclass
class Checkout:
    """A checkout in the race: its folder, the addresses of its two servers, and its rates by workload, round by round."""

    name: str
    folder: Path
    cold: str = ""
    hot: str = ""
    record: str = ""
    script: Path | None = None
    rates: dict[str, list[float]] = field(default_factory=dict)

    def run(self, *arguments: str, url: str) -> str:
        """Run a command of this Python in the folder, for a database; return what it prints."""
        environ = {**os.environ, "DATABASE_URL": url}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.folder, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - our own

    def measure(self, workload: str, seconds: float) -> None:
        """Measure a workload once and append the rate."""
        measurement = {
            "cold list page": lambda: wrk.load(self.cold + LIST, seconds),
            "cold record": lambda: wrk.load(self.cold + self.record, seconds),
            "hot list page": lambda: wrk.load(self.hot + LIST, seconds),
            "single write": lambda: wrk.load(f"{self.hot}/initiatives", seconds, connections=1, script=self.script),
        }[workload]()
        self.rates.setdefault(workload, []).append(measurement.rate)


WORKLOADS = ("cold list page", "cold record", "hot list page", "single write")


@contextmanager
def serving(checkout: Checkout, url: str, folder: Path) -> Iterator[None]:
    """Serve a checkout twice, without and with the response cache, and prepare its requests."""
    key = checkout.run("-m", "flask", "--app", "wsgi", "keys", "create", "bench", "--scope", "write", url=url).split()[-1]
    checkout.script = wrk.write_script(folder / f"{checkout.name}.lua", json.dumps(initiative(wrk.ID)), key)
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "serve"]
    environ = {"DATABASE_URL": url, "WORKERS": str(WORKERS), "THREADS": str(THREADS)}
    with ExitStack() as stack:
        checkout.cold, checkout.hot = (
            stack.enter_context(started(command, free_port(), environ | extra, ready="/readyz", cwd=checkout.folder))
            for extra in (COLD, HOT)
        )
        checkout.record = f"/initiatives/{send(checkout.cold + LIST).content['data'][0]['id']}"
        yield


def race(checkouts: Sequence[Checkout], dialect: str, size: int, folder: Path) -> list[dict[str, Any]]:
    """Return a row for each workload: the rates of both checkouts, round by round, and the ratio of the first to the second."""
    seconds, rounds = float(os.environ.get("BENCH_SECONDS", "3")), int(os.environ.get("BENCH_ROUNDS", ROUNDS))
    store = DatasetStore(folder / dialect)
    try:
        with ExitStack() as stack:
            for checkout in checkouts:
                checkout.rates.clear()
                url = store.empty(dialect, checkout.name)
                with store.building(dialect, f"{dialect}, {size:,} initiatives, {checkout.name}"):
                    checkout.run("-c", BUILD, url, str(size), url=url)
                stack.enter_context(serving(checkout, url, folder))
            for workload in WORKLOADS:
                # The first round warms everything up. The order changes from round to round, so that neither goes first.
                for number in range(rounds + 1):
                    for checkout in checkouts if number % 2 else reversed(checkouts):
                        checkout.measure(workload, seconds if number else 1)
                print(f"{dialect}: {workload} is done", flush=True)
    finally:
        store.close()
    return [row(dialect, workload, *(checkout.rates[workload][1:] for checkout in checkouts)) for workload in WORKLOADS]


def row(dialect: str, workload: str, this: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """Return the rates of both, and the median, least and greatest ratio of the rounds."""
    parts = [mine / theirs for mine, theirs in zip(this, other, strict=True)]
    spread = {"ratio": statistics.median(parts), "least": min(parts), "most": max(parts)}
    return {"dialect": dialect, "workload": workload, "this": list(this), "other": list(other), **spread}


def main(other: Path) -> None:
    """Race this tree and another checkout on both databases, and print the table. Raises SystemExit if there is no `wrk`."""
    wrk.require()
    size = int(os.environ.get("BENCH_RACE", "1000"))
    checkouts = (Checkout("this", ROOT), Checkout("other", other.resolve(strict=True)))
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for dialect in DIALECTS for row in race(checkouts, dialect, size, Path(folder))]
    print(report.comparison(rows, size, [_commit(checkout.folder) for checkout in checkouts]))


def _commit(folder: Path) -> str:
    """Return the commit of a checkout, and whether files differ from it; its folder's name if it has none."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    return done.stdout.strip() or folder.name
