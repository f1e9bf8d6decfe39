"""Metrics of all processes of a server, as OpenMetrics.

Each process counts in its own memory, which is cheap, and writes what it has counted to a file of a shared folder once a
second; the process that answers `/metrics` adds the files up. The files of processes that have ended stay, so that no counter
goes down. prometheus-client's own files for several processes are written with each request, which costs a quarter of the hot
rate.
"""

import json
import os
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest

PREFIX = "digital_cities"
# Upper bounds in seconds; a hit of the cache takes less than the first one.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Seconds between two writes of a process's file.
PERIOD = 1.0
EVENTS = {
    "limits_reached": ("limit", "Requests that a rate limit refused."),
    "database_failures": ("cause", "Requests that a failure of the database refused."),
}
# A method, a route, a status and the result of the cache; and a number of requests, their bytes and seconds, and how many
# took at most each of `BOUNDS` or longer.
Key = tuple[str, str, int, str]
Row = list[float]
# The name of a gauge, its help, and its values by label.
Gauge = tuple[str, str, str, Mapping[str, float]]


class Counts:
    """What one process has counted."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.lock = threading.Lock()
        self.rows: dict[Key, Row] = {}
        self.events: Counter[tuple[str, str]] = Counter()

    def add(self, key: Key, seconds: float, size: int) -> None:
        """Count a request."""
        place = bisect_left(BOUNDS, seconds)
        with self.lock:
            row = self.rows.get(key)
            if row is None:
                row = self.rows[key] = [0.0] * (len(BOUNDS) + 4)
            row[0] += 1
            row[1] += size
            row[2] += seconds
            row[3 + place] += 1

    def count(self, name: str, label: str) -> None:
        """Count an event of `EVENTS`."""
        with self.lock:
            self.events[name, label] += 1

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON can have it."""
        with self.lock:
            rows = [[*key, *row] for key, row in self.rows.items()]
            return {"requests": rows, "events": [[*key, number] for key, number in self.events.items()]}


class Folder:
    """The files of a server's processes."""

    def __init__(self, path: Path) -> None:
        """Use a folder that all processes share."""
        self.path, self.own = path, path / f"{os.getpid()}.json"
        self.lock = threading.Lock()

    def write(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the file of this process."""
        new = self.own.with_suffix(".new")
        with self.lock:
            new.write_text(json.dumps(snapshot), encoding="utf-8")
            new.replace(self.own)

    def others(self) -> Iterator[Mapping[str, Any]]:
        """Yield what other processes have counted, without the gauges of those that have ended."""
        for path in self.path.glob("*.json"):
            if path != self.own:
                with suppress(OSError, ValueError):
                    snapshot = json.loads(path.read_text(encoding="utf-8"))
                    yield snapshot if is_running(int(path.stem)) else {**snapshot, "gauges": []}


def is_running(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Metrics:
    """The metrics of a process, and with a folder those of all processes of its server."""

    def __init__(self, counts: Counts, gauges: Callable[[], Sequence[Gauge]], shared: Callable[[], Sequence[Gauge]]) -> None:
        """Take the counts; ``gauges`` reads what this process holds, which adds up, ``shared`` what all processes agree on."""
        self.counts, self.gauges, self.shared = counts, gauges, shared
        self.folder: Folder | None = None

    def share(self, path: Path) -> None:
        """Write what this process counts to a folder from now on, and read what others write there."""
        self.folder = Folder(path)
        threading.Thread(target=self._write_often, name="metrics", daemon=True).start()

    def save(self) -> Mapping[str, Any]:
        """Write what this process has counted, and return it; a folder that is gone belongs to a server that has stopped."""
        snapshot = self._snapshot()
        if self.folder is not None:
            with suppress(OSError):
                self.folder.write(snapshot)
        return snapshot

    def text(self) -> bytes:
        """Return all metrics as OpenMetrics."""
        registry = CollectorRegistry()
        registry.register(self)
        text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
        return text

    def collect(self) -> Iterable[Metric]:
        """Yield the families of metrics, as prometheus-client asks for them."""
        # What was told once must not go down when this process is killed.
        snapshots = [self.save(), *(self.folder.others() if self.folder else ())]
        yield from _requests(added(snapshots, "requests", 4))
        yield from _events(added(snapshots, "events", 2))
        of_processes: dict[tuple[str, str, str], Counter[str]] = {}
        for name, help, label, values in (gauge for snapshot in snapshots for gauge in snapshot["gauges"]):
            of_processes.setdefault((name, help, label), Counter()).update(values)
        for (name, help, label), values in of_processes.items():
            yield _gauge(name, help, label, values)
        yield from (_gauge(*row) for row in self.shared())

    def _snapshot(self) -> dict[str, Any]:
        return {**self.counts.snapshot(), "gauges": [list(gauge) for gauge in self.gauges()]}

    def _write_often(self) -> None:
        pause = threading.Event()
        while not pause.wait(PERIOD):
            self.save()


def added(snapshots: Iterable[Mapping[str, Any]], name: str, width: int) -> dict[tuple[Any, ...], Row]:
    """Return the numbers of all snapshots by their labels, the first ``width`` items of a row, added up."""
    sums: dict[tuple[Any, ...], Row] = {}
    for row in (row for snapshot in snapshots for row in snapshot[name]):
        key, numbers = tuple(row[:width]), row[width:]
        sums[key] = [a + b for a, b in zip(sums.get(key, [0] * len(numbers)), numbers, strict=True)]
    return sums


def _requests(sums: Mapping[Any, Row]) -> Iterator[Metric]:
    labels = ["method", "route", "status", "cache"]
    requests = CounterMetricFamily(f"{PREFIX}_requests", "Answered requests.", labels=labels)
    sizes = CounterMetricFamily(f"{PREFIX}_response_bytes", "Bytes of the bodies of answers.", labels=labels)
    times: dict[tuple[str, str], Row] = {}
    for (method, route, status, cache), (number, size, *rest) in sums.items():
        values = [method, route, str(status), cache]
        requests.add_metric(values, number)
        sizes.add_metric(values, size)
        before = times.get((route, cache), [0.0] * len(rest))
        times[route, cache] = [a + b for a, b in zip(before, rest, strict=True)]
    seconds = HistogramMetricFamily(
        f"{PREFIX}_request_duration_seconds", "Time until an answer was sent.", labels=["route", "cache"]
    )
    bounds = [*map(str, BOUNDS), "+Inf"]
    for (route, cache), (total, *numbers) in times.items():
        seconds.add_metric([route, cache], [*zip(bounds, accumulate(numbers), strict=True)], total)
    yield from (requests, sizes, seconds)


def _events(sums: Mapping[Any, Row]) -> Iterator[Metric]:
    for name, (label, help) in EVENTS.items():
        family = CounterMetricFamily(f"{PREFIX}_{name}", help, labels=[label])
        for (event, value), (number,) in sums.items():
            if event == name:
                family.add_metric([value], number)
        yield family


def _gauge(name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", help, labels=[label] if label else [])
    for value, number in values.items():
        family.add_metric([value] if label else [], number)
    return family
