"""Tables of what was measured, in Markdown: each figure a ratio within one run."""

import datetime as dt
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from api.settings import ROOT

RESULTS = ROOT / "bench" / "results"
FILE = RESULTS / "results.json"
DIALECTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
Row = Mapping[str, Any]


def machine() -> str:
    """Say what kind of machine this is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def write(found: Mapping[str, Any]) -> None:
    """Write what was measured so far, and the tables of it, to ``bench/results``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    whole = {"date": dt.datetime.now(dt.UTC).date().isoformat(), "machine": machine(), **found}
    FILE.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (RESULTS / "tables.md").write_text(f"{tables(FILE)}\n", encoding="utf-8")


def tables(path: Path) -> str:
    """Return the tables of a file of results."""
    found = json.loads(path.read_text(encoding="utf-8"))
    parts = [f"`make bench` on {found['machine']}, {found['date']}."]
    for dialect, size in dict.fromkeys((row["dialect"], row["size"]) for row in found["race"]):
        own = [row for row in found["race"] if (row["dialect"], row["size"]) == (dialect, size)]
        parts.append(f"{dialect}, {size:,} initiatives: answers a second in parts of this API's, median (least to greatest).")
        parts.append(race(own, cell))
        parts.append("The 99th percentile of the times of the same answers, in parts of this API's.")
        parts.append(race(slowest(own), cell))
    if rows := found.get("scale"):
        parts.append("Uncached, by the number of initiatives: median time in parts of the smallest's, and the 99th percentile.")
        parts.append(scaled(rows, lambda row: f"{figure(row['ratio'])} ({figure(row['p99'])} ms)"))
    if rows := found.get("starts"):
        parts.append("Until the first answer, and the most memory of a worker that has then answered every page above.")
        parts.append(
            scaled([{"page": "start", **row} for row in rows], lambda row: f"{row['seconds']:.1f} s, {row['megabytes']:.0f} MB")
        )
    if rows := found.get("exports"):
        parts.append("Exports: what the worker's memory grew by; the control keeps what it reads.")
        parts.append(scaled(rows, lambda row: f"{row['grew']:.0f} MB"))
    if rows := found.get("writes"):
        parts.append(
            "Writes a second, in parts of one client's; operations of a changeset alike; the ledger's part of a write's time."
        )
        names = [name for name in rows[0] if name != "dialect"]
        lines = [f"| database | {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * (len(names) + 1) + "|"]
        parts.append(
            "\n".join([*lines, *(f"| {row['dialect']} | {' | '.join(figure(row[n]) for n in names)} |" for row in rows)])
        )
        parts.append(f"An import takes {figure(found['import'])} times as long as the bare SQL of its rows.")
    return "\n\n".join(parts)


def summary(path: Path) -> str:
    """Return the one table of the README: the race, each ratio without its spread."""
    found = json.loads(path.read_text(encoding="utf-8"))
    parts = [f"`make bench` on {found['machine']}, {found['date']}: answers a second, in parts of this API's own."]
    for dialect in dict.fromkeys(row["dialect"] for row in found["race"]):
        own = [row for row in found["race"] if row["dialect"] == dialect]
        parts.append(f"{DIALECTS[dialect]}, {own[0]['size']:,} initiatives:")
        parts.append(race(own, lambda row: figure(row["ratio"])))
    return "\n\n".join(parts)


def slowest(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the ratios of the 99th percentiles, of those that have any."""
    own = {row["workload"]: row["p99"] for row in rows if row["server"] == rows[0]["server"]}
    found = []
    for row in (row for row in rows if row["p99"]):
        parts = [slow / mine for slow, mine in zip(row["p99"], own[row["workload"]], strict=True)]
        found.append({**row, "ratio": statistics.median(parts), "least": min(parts), "most": max(parts)})
    return found


def race(rows: Sequence[Row], write: Callable[[Row], str]) -> str:
    """Return a table with a line for each server and a column for each workload; nothing where a server does not offer that."""
    workloads = list(dict.fromkeys(row["workload"] for row in rows))
    lines = [f"| server | {' | '.join(workloads)} |", "|---" * (len(workloads) + 1) + "|"]
    for server in dict.fromkeys(row["server"] for row in rows):
        cells = {row["workload"]: write(row) for row in rows if row["server"] == server}
        lines.append(f"| {server} | {' | '.join(cells.get(name, '') for name in workloads)} |")
    return "\n".join(lines)


def cell(row: Row) -> str:
    """Return a ratio with its spread."""
    return f"{figure(row['ratio'])} ({figure(row['least'])} to {figure(row['most'])})"


def figure(value: float) -> str:
    """Return a ratio with two digits that count."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004 - two digits


def scaled(rows: Sequence[Row], write: Callable[[Row], str]) -> str:
    """Return a table with a line for each kind of page and a column for each database and size."""
    columns = list(dict.fromkeys((row["dialect"], row["size"]) for row in rows))
    lines = [f"| page | {' | '.join(f'{dialect}, {size:,}' for dialect, size in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for page in dict.fromkeys(row["page"] for row in rows):
        cells = {(row["dialect"], row["size"]): write(row) for row in rows if row["page"] == page}
        lines.append(f"| {page} | {' | '.join(cells.get(column, '') for column in columns)} |")
    return "\n".join(lines)
