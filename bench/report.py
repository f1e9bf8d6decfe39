"""Tables of the measurements, in Markdown: each figure is a ratio within one run."""

import datetime as dt
import json
import os
import platform
import re
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
    """Return the machine's processor, cores, memory and kernel, and the version of Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = f"{platform.system()} {platform.release()}"
    return f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {kernel}, Python {platform.python_version()}"


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, or its architecture if the kernel does not tell the name."""
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return name[1].strip() if name else platform.machine()


def today() -> str:
    """Return the date in UTC."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def write(results: Mapping[str, Any], path: Path = FILE) -> None:
    """Add today's results to the file, and write the tables again; earlier results stay if this machine measured them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    whole: dict[str, Any] = before if before.get("machine") == machine() else {"machine": machine()}
    whole |= {**results, "dates": whole.get("dates", {}) | dict.fromkeys(results, today())}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_name("tables.md").write_text(f"{tables(path)}\n", encoding="utf-8")


def tables(path: Path) -> str:
    """Return all tables of a file of results."""
    results = json.loads(path.read_text(encoding="utf-8"))
    dates, races = results["dates"], results.get("race", [])
    parts = [f"`make bench` on {results['machine']}."]
    for dialect, size in dict.fromkeys((row["dialect"], row["size"]) for row in races):
        rows = [row for row in races if (row["dialect"], row["size"]) == (dialect, size)]
        parts.append(
            f"{dialect}, {size:,} initiatives, {dates['race']}: responses a second as a ratio to this API's, median (least to "
            "greatest)."
        )
        parts.append(race(rows, cell))
        parts.append("The 99th percentile of the same responses' times, as a ratio to this API's.")
        parts.append(race(slowest(rows), cell))
    if rows := results.get("scale"):
        parts.append(
            f"Uncached, by the number of initiatives, {dates['scale']}: median time as a ratio to the smallest's, and the 99th "
            "percentile."
        )
        parts.append(scaled(rows, lambda row: f"{figure(row['ratio'])} ({figure(row['p99'])} ms)"))
    if rows := results.get("starts"):
        parts.append(
            f"Time to the first response, and the peak memory of a worker that has then served these pages, {dates['starts']}."
        )
        parts.append(
            scaled([{"page": "start", **row} for row in rows], lambda row: f"{row['seconds']:.1f} s, {row['megabytes']:.0f} MB")
        )
    if rows := results.get("exports"):
        parts.append(f"Exports, {dates['exports']}: growth of the worker's memory; the control keeps all that it reads.")
        parts.append(scaled(rows, lambda row: f"{row['grew']:.0f} MB"))
    if rows := results.get("writes"):
        parts.append(
            f"Writes a second as a ratio to one client's, {dates['writes']}; operations of a changeset alike; the ledger's "
            "share of a write's time."
        )
        parts.append(writes(rows))
        parts.append(f"An import takes {figure(results['import'])} times as long as the bare SQL of its rows.")
    return "\n\n".join(parts)


def summary(path: Path) -> str:
    """Return the race's tables for the documentation: each ratio without its spread."""
    results = json.loads(path.read_text(encoding="utf-8"))
    parts = [f"`make bench` on {results['machine']}, {results['dates']['race']}: responses a second, as a ratio to this API's."]
    for dialect in dict.fromkeys(row["dialect"] for row in results["race"]):
        rows = [row for row in results["race"] if row["dialect"] == dialect]
        parts.append(f"{DIALECTS[dialect]}, {rows[0]['size']:,} initiatives:")
        parts.append(race(rows, lambda row: figure(row["ratio"])))
    return "\n\n".join(parts)


def comparison(rows: Sequence[Row], size: int, commits: Sequence[str]) -> str:
    """Return the table of two checkouts: each one's median rate with its spread, and the ratio of the first to the second."""
    this, other = commits
    lines = ["| database | workload | this, a second | other, a second | this / other |", "|---|---|---|---|---|"]
    for row in rows:
        rates = [f"{statistics.median(row[of]):,.0f} ({min(row[of]):,.0f} to {max(row[of]):,.0f})" for of in ("this", "other")]
        ratio = f"{row['ratio']:.2f} ({row['least']:.2f} to {row['most']:.2f})"
        lines.append(f"| {DIALECTS[row['dialect']]} | {row['workload']} | {' | '.join(rates)} | {ratio} |")
    title = (
        f"This tree ({this}) and the other ({other}), {size:,} initiatives, median (least to greatest), {machine()}, {today()}."
    )
    return "\n\n".join([title, "\n".join(lines)])


def slowest(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows that have times, with the ratios of their 99th percentiles to the first server's."""
    base = {row["workload"]: row["p99"] for row in rows if row["server"] == rows[0]["server"]}
    ratios = []
    for row in (row for row in rows if row["p99"]):
        parts = [slow / mine for slow, mine in zip(row["p99"], base[row["workload"]], strict=True)]
        ratios.append({**row, "ratio": statistics.median(parts), "least": min(parts), "most": max(parts)})
    return ratios


def race(rows: Sequence[Row], write: Callable[[Row], str]) -> str:
    """Return a table with a line for each server and a column for each workload, and one for the durability of its writes.

    Writes come first, because that is where a reader will doubt us. A cell is empty where a server does not offer a workload.
    """
    workloads = sorted(dict.fromkeys(row["workload"] for row in rows), key=lambda name: name != "write")
    durability = {row["server"]: row["durability"] for row in rows if row.get("durability")}
    names = [*workloads, *(["durability of writes"] if durability else [])]
    lines = [f"| server | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for server in dict.fromkeys(row["server"] for row in rows):
        cells = {row["workload"]: write(row) for row in rows if row["server"] == server}
        cells["durability of writes"] = durability.get(server, "")
        lines.append(f"| {server} | {' | '.join(cells.get(name, '') for name in names)} |")
    return "\n".join(lines)


def writes(rows: Sequence[Row]) -> str:
    """Return a table with a line for each database and a column for each kind of write."""
    names = [name for name in rows[0] if name != "dialect"]
    lines = [f"| database | {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * (len(names) + 1) + "|"]
    return "\n".join(
        [
            *lines,
            *(
                f"| {row['dialect']} | {' | '.join(row[n] if isinstance(row[n], str) else figure(row[n]) for n in names)} |"
                for row in rows
            ),
        ]
    )


def cell(row: Row) -> str:
    """Return a ratio with its spread."""
    return f"{figure(row['ratio'])} ({figure(row['least'])} to {figure(row['most'])})"


def figure(value: float) -> str:
    """Return a ratio with two significant digits."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004 - two digits


def scaled(rows: Sequence[Row], write: Callable[[Row], str]) -> str:
    """Return a table with a line for each kind of page and a column for each database and size."""
    columns = list(dict.fromkeys((row["dialect"], row["size"]) for row in rows))
    lines = [f"| page | {' | '.join(f'{dialect}, {size:,}' for dialect, size in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for page in dict.fromkeys(row["page"] for row in rows):
        cells = {(row["dialect"], row["size"]): write(row) for row in rows if row["page"] == page}
        lines.append(f"| {page} | {' | '.join(cells.get(column, '') for column in columns)} |")
    return "\n".join(lines)
