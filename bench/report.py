"""Tables of what was measured, in Markdown: each figure a ratio within one run."""

import datetime as dt
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api.settings import ROOT

RESULTS = ROOT / "bench" / "results"
FILE = RESULTS / "results.json"
Row = Mapping[str, Any]


def machine() -> str:
    """Say what kind of machine this is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def write(rows: Sequence[Row], scale: Sequence[Row]) -> None:
    """Write what was measured, and the tables of it, to ``bench/results``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = {"date": dt.datetime.now(dt.UTC).date().isoformat(), "machine": machine(), "race": rows, "scale": scale}
    FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (RESULTS / "tables.md").write_text(f"{tables(FILE)}\n", encoding="utf-8")


def tables(path: Path) -> str:
    """Return the tables of a file of results."""
    found = json.loads(path.read_text(encoding="utf-8"))
    parts = [f"`make bench` on {found['machine']}, {found['date']}."]
    for dialect, size in dict.fromkeys((row["dialect"], row["size"]) for row in found["race"]):
        own = [row for row in found["race"] if (row["dialect"], row["size"]) == (dialect, size)]
        parts.append(f"{dialect}, {size:,} initiatives: answers a second in parts of this API's, median (least to greatest).")
        parts.append(race(own))
    if found["scale"]:
        parts.append("Uncached, by the number of initiatives: median time in parts of that at the smallest.")
        parts.append(scaled(found["scale"]))
    return "\n\n".join(parts)


def race(rows: Sequence[Row]) -> str:
    """Return a table with a line for each server and a column for each workload."""
    workloads = list(dict.fromkeys(row["workload"] for row in rows))
    lines = [f"| server | {' | '.join(workloads)} |", "|---" * (len(workloads) + 1) + "|"]
    for server in dict.fromkeys(row["server"] for row in rows):
        cells = {row["workload"]: row for row in rows if row["server"] == server}
        lines.append(f"| {server} | {' | '.join(cell(cells.get(name)) for name in workloads)} |")
    return "\n".join(lines)


def cell(row: Row | None) -> str:
    """Return a ratio with its spread; nothing where a server does not offer that."""
    return "" if row is None else f"{figure(row['ratio'])} ({figure(row['least'])} to {figure(row['most'])})"


def figure(value: float) -> str:
    """Return a ratio with two digits that count."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004 - two digits


def scaled(rows: Sequence[Row]) -> str:
    """Return a table with a line for each kind of page and a column for each database and size."""
    columns = list(dict.fromkeys((row["dialect"], row["size"]) for row in rows))
    lines = [f"| page | {' | '.join(f'{dialect}, {size:,}' for dialect, size in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for page in dict.fromkeys(row["page"] for row in rows):
        cells = {(row["dialect"], row["size"]): row for row in rows if row["page"] == page}
        shown = [f"{cells[column]['ratio']:.1f}" if column in cells else "" for column in columns]
        lines.append(f"| {page} | {' | '.join(shown)} |")
    return "\n".join(lines)
